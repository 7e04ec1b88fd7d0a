# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is seen in certificate, key and DH files. All files are made here, with the library that the code reads them with."""

from __future__ import annotations

import base64
import datetime
import importlib
import os
import sys

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils import _pem

pytest.importorskip("cryptography", reason="cryptography makes and reads the files of these tests; it is not installed")

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa  # noqa: E402
from cryptography.x509.oid import NameOID  # noqa: E402

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.timezone.utc)
DAY = datetime.timedelta(days=1)

ARTICLE = (
    "DHE-RSA-AES128-SHA256:DHE-RSA-AES128-SHA:DHE-DSS-AES128-SHA256:"
    "DHE-RSA-AES256-SHA256:DHE-DSS-AES256-SHA:DHE-RSA-AES256-SHA"
)

#: The 2048-bit group of RFC 7919 (appendix A.1), as PKCS #3 parameters.
FFDHE2048 = """-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""


# --- making files -------------------------------------------------------------------------------


def name_of(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def certificate_for(key, subject="mail.example.test", issuer=None, signed_by=None, start=-1, end=90, algorithm=None):
    signer = signed_by or key
    if algorithm is None and not isinstance(signer, ed25519.Ed25519PrivateKey):
        algorithm = hashes.SHA256()
    return (
        x509.CertificateBuilder()
        .subject_name(name_of(subject))
        .issuer_name(name_of(issuer or subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before((NOW + start * DAY).replace(tzinfo=None))
        .not_valid_after((NOW + end * DAY).replace(tzinfo=None))
        .sign(signer, algorithm)
    )


def pem(thing):
    """A certificate or a private key as text."""
    if isinstance(thing, str):
        return thing
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM).decode("ascii")
    return thing.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")


def old_style(key, password=None):
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, encryption
    ).decode("ascii")


KEYS = {}


def key_of(kind):
    """One key of each kind for all tests of this process: they take long to make."""
    if kind not in KEYS:
        KEYS[kind] = {
            "rsa": lambda: rsa.generate_private_key(65537, 2048),
            "rsa_other": lambda: rsa.generate_private_key(65537, 2048),
            "rsa1024": lambda: rsa.generate_private_key(65537, 1024),
            "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
            "ec_ca": lambda: ec.generate_private_key(ec.SECP256R1()),
            "ec192": lambda: ec.generate_private_key(ec.SECP192R1()),
            "ed25519": ed25519.Ed25519PrivateKey.generate,
            "dsa": lambda: dsa.generate_private_key(2048),
        }[kind]()
    return KEYS[kind]


@pytest.fixture(name="write")
def fixture_write(tmp_path):
    """Writes things one after the other into a file and returns its path."""

    def write(*things, name="mail.pem"):
        path = tmp_path / name
        path.write_text("".join(pem(thing) for thing in things), encoding="utf-8")
        return str(path)

    return write


def examine(certificate=None, dh_params=None, ca_file=None, ciphers=None):
    return _pem.examine(certificate, dh_params, ca_file, ciphers, now=NOW)


# --- good files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
@pytest.mark.parametrize("key_first", [True, False])
def test_a_good_file(write, kind, key_first):
    key = key_of(kind)
    things = [key, certificate_for(key)] if key_first else [certificate_for(key), key]
    assert examine(write(*things), ciphers="ECDHE+AESGCM:ECDHE+CHACHA20") == _pem.Findings((), ())


def test_a_good_chain_with_text_around(write):
    key, authority = key_of("rsa"), key_of("ec_ca")
    leaf = certificate_for(key, issuer="Lab CA", signed_by=authority)
    path = write("subject=mail\n", leaf, "\nintermediate:\n", certificate_for(authority, "Lab CA"), old_style(key))
    assert examine(path, ca_file=write(certificate_for(authority, "Lab CA"), name="ca.pem")) == _pem.Findings()


def test_an_old_style_key_with_parameters_in_front(write):
    key = key_of("ec")
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    assert examine(write(parameters, old_style(key), certificate_for(key))) == _pem.Findings()


@pytest.mark.parametrize("path", [None, "", "axigen_cert.pem", "no/such/file.pem"])
def test_no_file_and_a_file_of_the_servers_own_folder_are_not_looked_at(path):
    assert examine(path, path, path, "ECDHE+AESGCM") == _pem.Findings()


def test_dates_are_compared_with_the_present_when_nothing_is_said(write):
    key = key_of("ec")
    (warning,) = _pem.examine(write(key, certificate_for(key, start=-9999, end=-9000)), None, None, None).warnings
    assert "expired on" in warning


# --- files that cannot be used ------------------------------------------------------------------


@pytest.mark.parametrize("option", ["certificate", "dh_params", "ca_file"])
def test_a_missing_file_is_named(tmp_path, option):
    path = str(tmp_path / "missing.pem")
    assert examine(**{option: path}).problems == (
        "%s %s: there is no such file here (server_files: remote, if the server runs on another host)" % (option, path),
    )
    below_a_file = str(tmp_path / "file")
    with open(below_a_file, "w", encoding="utf-8"):
        pass
    assert "there is no such file" in examine(**{option: below_a_file + "/x.pem"}).problems[0]


@pytest.mark.parametrize("option", ["certificate", "dh_params", "ca_file"])
def test_a_folder_is_not_a_file(tmp_path, option):
    (problem,) = examine(**{option: str(tmp_path)}).problems
    assert problem.startswith("%s %s: cannot be read" % (option, tmp_path))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("certificate", "there is no certificate in it"),
        ("dh_params", "there are no DH parameters in it"),
        ("ca_file", "there is no certificate in it"),
    ],
)
@pytest.mark.parametrize("content", ["", "garbage\n", "-----BEGIN CERTIFICATE-----\nno end\n", "\0\xff" * 50])
def test_a_file_with_something_else_in_it(write, option, said, content):
    (problem,) = examine(**{option: write(content)}).problems
    assert said in problem


def test_a_file_that_is_no_pem_file_at_all_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "big"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    (problem,) = examine(str(path)).problems
    assert "too big to be a PEM file" in problem


DAMAGED = "-----BEGIN %s-----\nAAAA\n-----END %s-----\n"


@pytest.mark.parametrize(
    ("option", "label", "said"),
    [
        ("certificate", "CERTIFICATE", "a certificate in it is damaged"),
        ("ca_file", "CERTIFICATE", "a certificate in it is damaged"),
        ("dh_params", "DH PARAMETERS", "the DH parameters are damaged"),
    ],
)
def test_a_damaged_file(write, option, label, said):
    (problem,) = examine(**{option: write(DAMAGED % (label, label))}).problems
    assert said in problem


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("PRIVATE KEY", "the private key is damaged or of an unknown kind"),
        ("RSA PRIVATE KEY", "the private key is damaged or of an unknown kind"),
        ("ENCRYPTED PRIVATE KEY", "protected by a passphrase"),
    ],
)
def test_a_damaged_key(write, kind, said):
    (problem,) = examine(write(DAMAGED % (kind, kind), certificate_for(key_of("ec")))).problems
    assert said in problem


def test_keys_with_a_passphrase_cannot_be_used(write):
    key = key_of("ec")
    modern = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret passphrase"),
    ).decode("ascii")
    for text in (modern, old_style(key, b"secret passphrase")):
        (problem,) = examine(write(text, certificate_for(key))).problems
        assert "protected by a passphrase" in problem
        assert "secret" not in problem


def test_a_file_without_a_key(write):
    (problem,) = examine(write(certificate_for(key_of("rsa")))).problems
    assert "there is no private key in it" in problem


def test_a_key_of_another_certificate(write):
    (problem,) = examine(write(key_of("rsa_other"), certificate_for(key_of("rsa")))).problems
    assert "the private key does not belong to CN=mail.example.test" in problem


def test_the_certificate_of_the_key_comes_first(write):
    key, authority = key_of("rsa"), key_of("ec_ca")
    leaf = certificate_for(key, issuer="Lab CA", signed_by=authority)
    (problem,) = examine(write(key, certificate_for(authority, "Lab CA"), leaf)).problems
    assert "the certificate of the private key (CN=mail.example.test) must be the first one" in problem


# --- weak and old -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "said"), [("rsa1024", "the RSA key has 1024 bits"), ("ec192", "the ECDSA key has 192 bits")]
)
def test_a_weak_key_is_a_problem(write, kind, said):
    key = key_of(kind)
    (problem,) = examine(write(key, certificate_for(key))).problems
    assert said in problem and "too weak" in problem


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (-90, -1, "CN=mail.example.test expired on 2026-05-31"),
        (1, 90, "CN=mail.example.test is not valid before 2026-06-02"),
    ],
)
def test_dates_are_a_warning(write, start, end, said):
    key = key_of("ec")
    found = examine(write(key, certificate_for(key, start=start, end=end)))
    assert found.problems == ()
    assert len(found.warnings) == 1 and said in found.warnings[0]


def test_an_expired_authority_in_the_chain_and_in_the_list_is_a_warning(write):
    key, authority = key_of("ec"), key_of("ec_ca")
    leaf = certificate_for(key, issuer="Lab CA", signed_by=authority)
    old = certificate_for(authority, "Lab CA", start=-90, end=-1)
    found = examine(write(key, leaf, old), ca_file=write(old, name="ca.pem"))
    assert found.problems == ()
    assert ["CN=Lab CA" in warning and "expired" in warning for warning in found.warnings] == [True, True]


def signed_with(certificate, last_byte):
    """The certificate as if RSA with another hash had signed it (RFC 8017: the last byte of the name of the algorithm).

    Today's libraries do not make such signatures any more; whether it is right is nobody's business here.
    """
    rsa_with_hash = bytes.fromhex("06092a864886f70d0101")
    content = certificate.public_bytes(serialization.Encoding.DER)
    changed = content.replace(rsa_with_hash + b"\x0b", rsa_with_hash + bytes([last_byte]))
    assert changed.count(rsa_with_hash + bytes([last_byte])) == 2
    return x509.load_der_x509_certificate(changed)


@pytest.mark.parametrize(("last_byte", "algorithm"), [(4, "MD5"), (5, "SHA1")])
def test_a_broken_signature_is_a_warning_but_not_that_of_a_root(write, last_byte, algorithm):
    key, authority = key_of("rsa"), key_of("rsa_other")
    leaf = signed_with(certificate_for(key, issuer="Lab CA", signed_by=authority), last_byte)
    root = signed_with(certificate_for(authority, "Lab CA"), last_byte)
    found = examine(write(key, leaf, root))
    assert found.problems == ()
    (warning,) = found.warnings
    assert "CN=mail.example.test is signed with %s, which peers refuse" % algorithm in warning


# --- Diffie-Hellman -----------------------------------------------------------------------------


def der_length(size):
    return bytes([size]) if size < 128 else bytes([0x82, size >> 8, size & 0xFF])


def dh_file(modulus):
    """PKCS #3 parameters with generator 2 for any number, without waiting for a real group."""
    number = modulus.to_bytes(modulus.bit_length() // 8 + 1, "big")
    inside = b"\x02" + der_length(len(number)) + number + b"\x02\x01\x02"
    text = base64.encodebytes(b"\x30" + der_length(len(inside)) + inside).decode("ascii")
    return "-----BEGIN DH PARAMETERS-----\n%s-----END DH PARAMETERS-----\n" % text


def test_a_group_of_2048_bits_is_good(write):
    assert examine(dh_params=write(FFDHE2048)) == _pem.Findings()


@pytest.mark.parametrize("bits", [64, 512, 1024, 2047])
def test_a_small_group_is_a_problem(write, bits):
    path = write(dh_file((1 << bits) - 1))
    assert examine(dh_params=path).problems == (
        "dh_params %s: a group of %d bits is too weak; at least 2048 are needed" % (path, bits),
    )


def test_a_big_group_is_good(write):
    assert examine(dh_params=write("comment\n", dh_file((1 << 4096) - 1))) == _pem.Findings()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "MA==",
        "MAA=",
        "MAMCAQU=",
        "MAYCAQUCAQI",
        "AgEF",
        "MAYCAQUCAQIA",
        "MAYCAfsCAQI=",
        "MIIBCAKCAQEA",
        "MIIB",
        "%%%%",
    ],
)
def test_parameters_that_are_cut_off_or_something_else(write, content):
    path = write("-----BEGIN DH PARAMETERS-----\n%s\n-----END DH PARAMETERS-----\n" % content)
    assert examine(dh_params=path).problems == ("dh_params %s: the DH parameters are damaged" % path,)


def test_dhe_suites_without_a_dh_file_draw_one_warning(write):
    key = key_of("rsa")
    path = write(key, certificate_for(key))
    suites = "DHE-RSA-AES128-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
    assert examine(path, ciphers=suites).warnings == (
        "ciphers: DHE-RSA-AES128-SHA256 are never negotiated without a DH file (dh_params)",
    )
    assert examine(path, write(FFDHE2048, name="dh.pem"), ciphers=suites) == _pem.Findings()
    assert examine(path, "relative/dh.pem", ciphers=suites) == _pem.Findings()
    assert examine(path, ciphers="HIGH:!aNULL") == _pem.Findings()


# --- ciphers and keys ---------------------------------------------------------------------------


def test_the_list_of_the_article_with_an_rsa_key_draws_one_warning_about_dss(write):
    key = key_of("rsa")
    found = examine(write(key, certificate_for(key)), write(FFDHE2048, name="dh.pem"), ciphers=ARTICLE)
    assert found.problems == ()
    (warning,) = found.warnings
    assert "DHE-DSS-AES128-SHA256, DHE-DSS-AES256-SHA can never be used" in warning


@pytest.mark.parametrize(
    ("kind", "ciphers"),
    [
        ("ec", ARTICLE),
        ("ed25519", ARTICLE),
        ("ec", "AES128-SHA:AES256-SHA"),
        ("rsa", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("rsa", "aDSS"),
        ("rsa", "ADH"),
    ],
)
def test_a_key_that_makes_the_whole_list_dead_is_a_problem(write, kind, ciphers):
    key = key_of(kind)
    (problem,) = examine(write(key, certificate_for(key)), write(FFDHE2048, name="dh.pem"), ciphers=ciphers).problems
    assert "every suite of ciphers needs" in problem
    assert "take another certificate or other ciphers" in problem


def test_a_dss_key_fits_the_dss_suites(write):
    key = key_of("dsa")
    found = examine(write(key, certificate_for(key)), write(FFDHE2048, name="dh.pem"), ciphers="DHE-DSS-AES256-SHA")
    assert found == _pem.Findings()


def test_a_list_of_words_draws_no_warning_about_the_other_kinds(write):
    key = key_of("rsa")
    assert examine(write(key, certificate_for(key)), ciphers="ECDHE+AESGCM") == _pem.Findings()


# --- what cannot be seen ------------------------------------------------------------------------


@pytest.fixture(name="as_nobody")
def fixture_as_nobody():
    """Root may read every file, so it is somebody else for one test."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.mark.parametrize("option", ["certificate", "dh_params", "ca_file"])
def test_a_file_that_only_the_server_may_read_is_left_to_the_server(tmp_path, option, as_nobody):
    path = str(tmp_path / "only_root.pem")
    if os.geteuid() == os.getuid():
        with open(path, "w", encoding="utf-8"):
            os.chmod(path, 0)
    found = examine(**{option: path})
    assert found.problems == ()
    assert "not observable" in found.warnings[0]


@pytest.fixture(name="good_file")
def fixture_good_file(write):
    key = key_of("rsa")
    return write(key, certificate_for(key))


@pytest.fixture(name="without_library")
def fixture_without_library(good_file, monkeypatch):
    """The module as it is on a host without cryptography: the import statement itself finds nothing."""
    for loaded in [module for module in sys.modules if module.split(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    yield importlib.reload(_pem)
    monkeypatch.undo()
    importlib.reload(_pem)


def test_without_the_library_keys_are_not_observable_and_the_rest_is(write, good_file, tmp_path, without_library):
    missing = str(tmp_path / "missing.pem")
    weak = write(dh_file((1 << 1024) - 1), name="dh.pem")
    found = without_library.examine(good_file, weak, missing, ARTICLE)
    assert found.problems == (
        "ca_file %s: there is no such file here (server_files: remote, if the server runs on another host)" % missing,
        "dh_params %s: a group of 1024 bits is too weak; at least 2048 are needed" % weak,
    )
    (warning,) = found.warnings
    assert warning.startswith("certificate %s: not observable" % good_file)
    assert "install cryptography" in warning


def test_without_the_library_and_without_files_nothing_is_said(without_library):
    assert without_library.examine("", None, "", "ECDHE+AESGCM") == without_library.Findings()
