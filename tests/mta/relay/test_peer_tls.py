# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Contexts towards other mail servers, and whose certificate is whose."""

from __future__ import annotations

import datetime
import os
import ssl
from pathlib import Path

import pytest
import wire_certificates
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from postern.delivery.peer_tls import Trust, TrustError, matched_name, subject, wanted_names
from postern.rules.relay import DEFAULT_VERSIONS, VERSIONS

pytestmark = pytest.mark.filterwarnings("error")

# Wanted name, names in the certificate, and whether they are the same host.
PAIRS = [
    ("mx.example.test", ["mx.example.test"], True),
    ("MX.Example.Test", ["mx.EXAMPLE.test"], True),
    ("mx.example.test.", ["mx.example.test"], True),
    ("mx.example.test", ["x.invalid", "mx.example.test"], True),
    ("mx.example.test", ["example.test"], False),
    ("mx.example.test", ["amx.example.test"], False),
    ("mx.example.test", ["mx.example.test.evil.test"], False),
    ("mx.example.test", [], False),
    ("mx.example.test", ["*.example.test"], True),
    ("a.mx.example.test", ["*.example.test"], False),
    ("example.test", ["*.example.test"], False),
    ("mx.example.test", ["m*.example.test"], False),
    ("mx.example.test", ["*x.example.test"], False),
    ("mx.example.test", ["m*x.example.test"], False),
    ("xn--mller-kva.example.test", ["xn--*.example.test"], False),
    ("mx.example.test", ["mx.*.test"], False),
    ("mx.example.test", ["*.*.test"], False),
    ("mx.example.test", ["*"], False),
    ("example.test", ["*.test"], False),
    ("xn--mller-kva.example.test", ["*.example.test"], True),
    ("xn--mller-kva.example.test", ["xn--mller-kva.example.test"], True),
    ("127.0.0.1", ["127.0.0.1"], True),
    ("127.0.0.1", ["127.0.0.2"], False),
    ("2001:db8::1", ["2001:db8::1"], True),
]


@pytest.mark.parametrize("wanted, names, same", PAIRS)
def test_names_are_matched_as_openssl_does(wanted, names, same, authority, tmp_path):
    """Our judgement, and that of OpenSSL's own check in a real handshake."""
    path = authority.issue(f"name-{os.urandom(4).hex()}.pem", name=wanted[:60], names=names)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    client = ssl.create_default_context(cafile=authority.ca_file)
    client.hostname_checks_common_name = False
    assert (openssl_says(client, server, wanted), judged(client, server, wanted)) == (same, same)


def openssl_says(client: ssl.SSLContext, server: ssl.SSLContext, wanted: str) -> bool:
    """Whether a handshake with ``check_hostname`` succeeds."""
    client.check_hostname = True
    try:
        return bool(handshake(client, server, wanted.rstrip(".")))
    except ssl.SSLCertVerificationError as error:
        assert "match" in error.verify_message or "mismatch" in error.verify_message
        return False


def judged(client: ssl.SSLContext, server: ssl.SSLContext, wanted: str) -> bool:
    """What ``matched_name`` says about the same certificate."""
    client.check_hostname = False
    return bool(matched_name(handshake(client, server, None), (wanted,)))


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, name: str | None) -> dict:
    """The peer certificate that the client sees, without a network."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _flight in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends[0].getpeercert()


@pytest.mark.parametrize(
    "wanted, names, enough",
    [
        (".example.test", ["mx.example.test"], True),
        (".example.test", ["a.b.example.test"], True),
        (".example.test", ["*.example.test"], True),
        (".example.test", ["*.mx.example.test"], True),
        (".example.test", ["example.test"], False),
        (".example.test", ["badexample.test"], False),
        (".example.test", ["*.test"], False),
        (".example.test", ["*.badexample.test"], False),
        (".example.test", [".example.test"], False),
        (".Example.Test.", ["MX.example.test"], True),
        (".", ["mx.example.test"], False),
        ("", ["mx.example.test"], False),
        ("example.test", ["exa\0mple.test", "example.test\0.evil.test", "example test"], False),
        ("[127.0.0.1]", ["IP 127.0.0.1"], True),
        ("[IPv6:2001:db8::1]", ["IP 2001:DB8:0:0:0:0:0:1"], True),
        ("127.0.0.1", ["127.0.0.1"], False),  # an address that is written as a host name
        ("127.0.0.1", ["*.0.0.1"], False),
    ],
)
def test_what_openssl_does_not_know(wanted, names, enough):
    pairs = [("IP Address", name[3:]) if name.startswith("IP ") else ("DNS", name) for name in names]
    assert bool(matched_name({"subjectAltName": tuple(pairs)}, ["no.invalid", wanted])) is enough


def test_the_common_name_never_counts():
    certificate = {"subject": ((("commonName", "mx.example.test"),),)}
    assert not matched_name(certificate, ["mx.example.test"])
    assert not matched_name({}, ["mx.example.test"]) and not matched_name({}, [])


@pytest.mark.parametrize(
    "level, relay_host, match, wanted",
    [
        ("verify", "", (), ("mx.test",)),
        ("verify", "", ("a.test",), ("mx.test",)),
        ("secure", "", (), ("example.test", ".example.test")),
        ("secure", "", ("a.test", ".b.test"), ("a.test", ".b.test")),
        ("secure", "mx.test", (), ("mx.test",)),
        ("secure", "mx.test", ("a.test",), ("a.test",)),
    ],
)
def test_wanted_names(level, relay_host, match, wanted):
    assert wanted_names(level, "example.test", "mx.test", relay_host, match) == wanted


def test_a_context_is_made_once_for_each_kind(authority):
    trust = Trust(authority.ca_file)
    made = {
        (verified, window): trust.context(verified, window)
        for verified in (False, True)
        for window in (DEFAULT_VERSIONS, VERSIONS, ("TLSv1.3",))
    }
    assert len(set(map(id, made.values()))) == 6
    assert all(trust.context(*kind) is context for kind, context in made.items())


def test_what_a_context_allows(authority):
    trust = Trust(authority.ca_file)
    for window in (DEFAULT_VERSIONS, VERSIONS, VERSIONS[:2], ("TLSv1.3",)):
        for verified in (False, True):
            context = trust.context(verified, window)
            assert context.minimum_version.name == window[0].replace(".", "_")
            assert context.maximum_version.name == window[-1].replace(".", "_")
            assert context.options & ssl.OP_NO_COMPRESSION and context.options & ssl.OP_NO_RENEGOTIATION
            assert context.verify_mode == (ssl.CERT_REQUIRED if verified else ssl.CERT_NONE)
            assert context.security_level == (0 if window[0] in VERSIONS[:2] else 2 if verified else 1)
            for suite in context.get_ciphers():
                assert suite["auth"] not in ("auth-null", "auth-psk", "auth-srp", "auth-dss"), suite
                assert suite["strength_bits"] >= 128
                if verified and window[0] == "TLSv1.2":
                    assert suite["kea"] in ("kx-ecdhe", "kx-dhe", "kx-any")


def test_a_ca_file_that_changes_is_read_again(authority, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    stranger = wire_certificates.Authority(other)
    path = tmp_path / "ca.pem"
    path.write_bytes(Path(authority.ca_file).read_bytes())
    trust = Trust(str(path))
    before, unverified = trust.context(True, DEFAULT_VERSIONS), trust.context(False, DEFAULT_VERSIONS)
    os.replace(stranger.ca_file, path)
    after = trust.context(True, DEFAULT_VERSIONS)
    assert after is not before and after.get_ca_certs() != before.get_ca_certs()
    assert trust.context(True, DEFAULT_VERSIONS) is after and trust.context(False, DEFAULT_VERSIONS) is unverified


@pytest.mark.parametrize(
    "content, reason",
    [(None, "no such file or directory"), (b"", "no certificate"), (b"-----BEGIN CERTIFICATE-----\n", "no cert")],
)
def test_a_ca_file_that_cannot_be_used_is_named(content, reason, tmp_path):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrustError, match=f"CA file .*ca.pem: .*{reason}"):
        Trust(str(path)).check()


def test_without_a_ca_file_the_system_decides():
    Trust().check()
    context = Trust().context(True, DEFAULT_VERSIONS)
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_a_subject_in_words():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Exämple\u202e GmbH\x1b[2J"),
            x509.NameAttribute(NameOID.COMMON_NAME, "mx.example.test"),
        ]
    )
    assert subject(_certificate(key, name)) == "CN=mx.example.test, O=Exämple GmbH [2J, C=DE"
    assert subject(_certificate(key, x509.Name([]))) == ""


@pytest.mark.parametrize("der", [None, b"", b"\x30", b"no certificate", b"\x30\x80" * 50, bytes(1000)])
def test_a_certificate_that_cannot_be_read_has_no_subject(der):
    assert subject(der) == ""


def test_a_certificate_with_any_byte_changed_breaks_nothing():
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    der = _certificate(ec.generate_private_key(ec.SECP256R1()), name)
    for place in range(len(der)):
        for byte in (0, 0x80, 0xFF):
            assert isinstance(subject(der[:place] + bytes([byte]) + der[place + 1 :]), str)


def _certificate(key, name: x509.Name) -> bytes:
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
