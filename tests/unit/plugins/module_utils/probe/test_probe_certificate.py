# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import ipaddress
import json
import sys
import warnings

import pytest

x509 = pytest.importorskip("cryptography.x509", reason="making certificates needs cryptography")

from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa  # noqa: E402

from ansible_collections.securemail.smtp.plugins.module_utils._probe.certificate import (  # noqa: E402
    MAX_NAMES,
    NAME_LENGTH,
    Certificate,
    Unreadable,
    curve_of,
    fingerprint,
    matches,
    short,
)

NOW = datetime.datetime(2026, 6, 1, 12, 0, 0, tzinfo=datetime.timezone.utc)
NAME = "mail.example.test"
KEY = ec.generate_private_key(ec.SECP256R1())


def dns(*names):
    # The library refuses to write what strangers do write.
    return [x509.DNSName._init_without_validation(name) for name in names]  # pylint: disable=protected-access


def certificate(names=(NAME,), subject=NAME, issuer="twin authority", key=KEY, begin=-30, days=60, signer=None, more=()):
    """A certificate in DER that begins ``begin`` days from NOW and ends ``days`` days from NOW."""
    signer = signer or KEY
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(issuer))
            .public_key(key.public_key())
            .serial_number(0xABC123)
            .not_valid_before(NOW + datetime.timedelta(days=begin))
            .not_valid_after(NOW + datetime.timedelta(days=days))
        )
        alternatives = dns(*names) + list(more)
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), False)
        algorithm = None if isinstance(signer, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)) else hashes.SHA256()
        return builder.sign(signer, algorithm).public_bytes(serialization.Encoding.DER)


def _name(text):
    if not text:
        return x509.Name([])
    attribute = x509.NameAttribute(x509.NameOID.COMMON_NAME, text, _validate=False)
    return x509.Name([attribute])


def facts(der):
    found = Certificate(der, NOW).facts
    # All of it travels as JSON, and none of it can move a cursor.
    assert json.dumps(found).isprintable()
    return found


def test_what_a_certificate_says():
    der = certificate()
    assert facts(der) == {
        "subject": "CN=mail.example.test",
        "issuer": "CN=twin authority",
        "names": [NAME],
        "not_before": "2026-05-02T12:00:00Z",
        "not_after": "2026-07-31T12:00:00Z",
        "begun": True,
        "days_left": 60,
        "lifetime_days": 90,
        "key": "EC",
        "key_bits": 256,
        "curve": "P-256",
        "signature": "ecdsa-with-SHA256",
        "signature_hash": "sha256",
        "serial": "abc123",
        "fingerprint_sha256": fingerprint(der),
        "self_signed": False,
        "spki_sha256": fingerprint(
            KEY.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        ),
    }
    assert str(Certificate(der, NOW)) == (
        "mail.example.test; EC P-256; ecdsa-with-SHA256; valid until 2026-07-31 (60 days)"
    )
    assert "names" not in Certificate(der, NOW).without_names()


@pytest.mark.parametrize(
    "make, key, bits, curve",
    [
        (lambda: rsa.generate_private_key(65537, 1024), "RSA", 1024, None),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "EC", 384, "P-384"),
        (lambda: ec.generate_private_key(ec.SECP521R1()), "EC", 521, "P-521"),
        (lambda: ec.generate_private_key(ec.BrainpoolP256R1()), "EC", 256, "brainpoolP256r1"),
        (ed25519.Ed25519PrivateKey.generate, "Ed25519", 256, None),
        (ed448.Ed448PrivateKey.generate, "Ed448", 456, None),
    ],
)
def test_keys_of_all_kinds(make, key, bits, curve):
    der = certificate(key=make())
    found = facts(der)
    assert (found["key"], found["key_bits"], found["curve"]) == (key, bits, curve)
    assert len(found["spki_sha256"]) == 64
    # The issuer's key is on another curve, and is not in the certificate.
    assert curve_of(der) == curve


@pytest.mark.parametrize(
    "signer, signature, digest",
    [
        (rsa.generate_private_key(65537, 1024), "sha256WithRSAEncryption", "sha256"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519", None),
    ],
)
def test_signatures_have_the_names_that_people_know(signer, signature, digest):
    found = facts(certificate(signer=signer))
    assert (found["signature"], found["signature_hash"]) == (signature, digest)


@pytest.mark.parametrize(
    "begin, days, left, lifetime",
    [(-30, 0, 0, 30), (-400, -1, -1, 399), (10, 100, 100, 90), (-30, 0.5, 0, 30), (-30, -0.5, -1, 29)],
)
def test_days(begin, days, left, lifetime):
    found = facts(certificate(begin=begin, days=days))
    assert (found["days_left"], found["lifetime_days"], found["begun"]) == (left, lifetime, begin < 0)


def test_the_last_second_belongs_to_the_lifetime():
    assert facts(certificate(begin=0, days=90 - 1 / 86400))["lifetime_days"] == 90


def test_self_signed_is_signed_with_its_own_key():
    assert facts(certificate(subject="same", issuer="same"))["self_signed"] is True
    if not hasattr(x509.Certificate, "verify_directly_issued_by"):
        pytest.skip("this version of cryptography checks no signature, and the names are all there is")
    other = ec.generate_private_key(ec.SECP256R1())
    assert facts(certificate(subject="same", issuer="same", signer=other))["self_signed"] is False


# ---- certificates that nobody should make


def test_nul_in_names_matches_nothing_and_is_shown_as_an_escape():
    read = Certificate(certificate([NAME + "\0.evil.test", "*\0.example.test"], "evil\0CN"), NOW)
    assert not read.is_for(NAME) and not read.is_for("evil.test")
    assert read.facts["names"][0] == "mail.example.test\\x00.evil.test"
    assert "\0" not in json.dumps(read.facts) and "\\x00" not in read.facts["subject"].replace("\\\\", "")


def test_no_subject_and_no_names():
    read = Certificate(certificate([], ""), NOW)
    assert (read.facts["subject"], read.facts["names"], read.names) == ("", [], ())
    assert "no subjectAltName" in read.name_trouble
    assert not read.is_for(NAME)
    assert str(read).startswith("no name;")


def test_a_common_name_is_no_name():
    assert not Certificate(certificate([], NAME), NOW).is_for(NAME)
    assert not Certificate(certificate(["other.test"], NAME), NOW).is_for(NAME)


def test_names_of_20_kilobytes_are_shortened_and_still_compared():
    long = ".".join(["x" * 60] * 330)
    read = Certificate(certificate([long, NAME], "c" * 20000), NOW)
    assert len(read.facts["names"][0]) == NAME_LENGTH and read.facts["names"][0].endswith("...")
    assert len(read.facts["subject"]) == NAME_LENGTH
    assert read.is_for(NAME)
    assert len(str(read)) < 4 * NAME_LENGTH


def test_thousands_of_names_are_counted_and_still_compared():
    read = Certificate(certificate(["n%d.test" % number for number in range(3000)] + [NAME]), NOW)
    assert len(read.facts["names"]) == MAX_NAMES + 1
    assert read.facts["names"][-1] == "... and %d more" % (3001 - MAX_NAMES)
    assert read.is_for(NAME)
    assert "2998 more" in str(read)


def test_terminal_sequences_are_shown_and_not_done():
    read = Certificate(certificate(["\x1b[2Jmail.test", "a\nb.test"], "\x1b]0;title\x07\u202e"), NOW)
    assert read.facts["names"][:2] == ["\\x1b[2Jmail.test", "a\\nb.test"]
    assert "title\\x07\\u202e" in read.facts["subject"]


def test_internationalised_names():
    read = Certificate(certificate(["xn--bcher-kva.example.test"], "b\u00fccher"), NOW)
    assert read.is_for("xn--bcher-kva.example.test")
    assert read.facts["subject"] == "CN=b\\xfccher"


def test_names_that_are_not_ascii_cannot_be_read_and_match_nothing():
    # RFC 5280 section 4.2.1.6: an IA5String; the library has no text for these bytes.
    der = certificate(["bXcher.test", NAME]).replace(b"bXcher.test", b"b\xfccher.test")
    read = Certificate(der, NOW)
    assert "cannot be read" in read.name_trouble and not read.is_for(NAME)
    assert read.facts["names"] == []


@pytest.mark.parametrize("cut", [0, 1, 10, 100, -1])
def test_what_is_no_certificate_is_unreadable(cut):
    with pytest.raises(Unreadable, match="cannot be read") as caught:
        Certificate(certificate()[:cut], NOW)
    assert caught.value.side == "server reply"


def test_a_damaged_certificate_raises_nothing_else():
    der = certificate(more=[x509.IPAddress(ipaddress.ip_address("192.0.2.1"))])
    read = 0
    for at in range(0, len(der), 3):
        for value in (0x00, 0xFF, der[at] ^ 0x10):
            try:
                facts(der[:at] + bytes([value]) + der[at + 1 :])
                read += 1
            except Unreadable as error:
                assert str(error).isprintable()
    assert read > 50


def test_a_key_of_an_unknown_kind():
    # id-ecPublicKey becomes another arc of ANSI X9.62.
    der = certificate(key=ec.generate_private_key(ec.SECP256R1()), signer=rsa.generate_private_key(65537, 1024))
    found = facts(der.replace(bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d0209")))
    assert found["key"].startswith("unknown") and found["key_bits"] == 0
    assert (found["curve"], found["spki_sha256"], found["subject"]) == (None, None, "CN=mail.example.test")


def test_an_unknown_signature_algorithm_is_shown_by_number():
    der = certificate(signer=rsa.generate_private_key(65537, 1024))
    changed = der.replace(bytes.fromhex("06092a864886f70d01010b"), bytes.fromhex("06092a864886f70d010163"))
    found = facts(changed)
    assert (found["signature"], found["signature_hash"]) == ("1.2.840.113549.1.1.99", None)


@pytest.mark.parametrize("number, name, digest", [("04", "md5WithRSAEncryption", "md5"), ("05", "sha1WithRSAEncryption", "sha1")])
def test_broken_hashes_are_named(number, name, digest):
    der = certificate(signer=rsa.generate_private_key(65537, 1024))
    changed = der.replace(bytes.fromhex("06092a864886f70d01010b"), bytes.fromhex("06092a864886f70d0101" + number))
    found = facts(changed)
    assert (found["signature"], found["signature_hash"]) == (name, digest)


def test_without_the_library_the_advice_is_to_install_it(monkeypatch):
    der = certificate()
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(Unreadable, match="install cryptography") as caught:
        Certificate(der, NOW)
    assert caught.value.side == "local library"
    assert len(fingerprint(der)) == 64
    assert curve_of(der) == "P-256"


# ---- names (RFC 9525)


@pytest.mark.parametrize(
    "presented, name, expected",
    [
        ("mail.example.test", "mail.example.test", True),
        ("MAIL.Example.TEST", "mail.example.test", True),
        ("mail.example.test.", "mail.example.test", True),
        ("mail.example.test", "mail.example.test.", True),
        ("mail.example.test", "xmail.example.test", False),
        ("example.test", "mail.example.test", False),
        ("*.example.test", "mail.example.test", True),
        ("*.example.test", "xn--bcher-kva.example.test", True),
        ("*.EXAMPLE.test", "mail.example.TEST", True),
        ("*.example.test", "a.mail.example.test", False),
        ("*.example.test", "example.test", False),
        ("*.example.test", ".example.test", False),
        ("m*.example.test", "mail.example.test", False),
        ("*l.example.test", "mail.example.test", False),
        ("mail.*.test", "mail.example.test", False),
        ("*.*.test", "mail.example.test", False),
        ("*", "mail", False),
        ("*.test", "example.test", False),
        ("", "", False),
        ("", "mail.example.test", False),
        ("mail.example.test\0.evil.test", "mail.example.test", False),
        ("xn--bcher-kva.test", "xn--bcher-kva.test", True),
    ],
)
def test_names(presented, name, expected):
    assert matches(presented, name) is expected
    assert Certificate(certificate([presented, "other.test"]), NOW).is_for(name) is expected


def test_addresses_are_compared_with_addresses_only():
    address = [x509.IPAddress(ipaddress.ip_address("192.0.2.1")), x509.IPAddress(ipaddress.ip_address("2001:db8::1"))]
    read = Certificate(certificate([NAME], more=address), NOW)
    assert read.is_for("192.0.2.1") and read.is_for("2001:db8:0::1") and read.is_for(NAME)
    assert not read.is_for("192.0.2.2")
    assert read.facts["names"] == [NAME, "192.0.2.1", "2001:db8::1"]


def test_an_address_written_as_a_dns_name_is_none():
    # RFC 9525 section 6.4: an IP-ID is an iPAddress, never a dNSName that looks like one.
    read = Certificate(certificate(["192.0.2.1", "*.0.2.2"]), NOW)
    assert not read.is_for("192.0.2.1") and not read.is_for("192.0.2.2")


def test_names_of_other_kinds_are_no_names_of_a_server():
    others = [x509.RFC822Name("postmaster@" + NAME), x509.UniformResourceIdentifier("smtp://" + NAME)]
    read = Certificate(certificate([], more=others), NOW)
    assert read.names == () and not read.is_for(NAME)


@pytest.mark.parametrize("length", [0, 1, NAME_LENGTH, NAME_LENGTH + 1, 20000])
def test_short(length):
    shown = short("\u00fc" * length)
    assert shown.isascii() and len(shown) <= NAME_LENGTH
    assert short("x" * length) == ("x" * length if length <= NAME_LENGTH else "x" * (NAME_LENGTH - 3) + "...")
