# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real certificates and DH parameters for tests, made with ``cryptography``."""

from __future__ import annotations

import base64
import copy
import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

NAME = "mx.example.test"


class Authority:
    """A certificate authority with its own key; writes PEM files into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        self._certificate = self._sign(self._name, self._key.public_key(), authority=True)
        self.ca_file = self._write("ca.pem", _pem(self._certificate))

    def issue(self, file_name: str, key=None, name: str = NAME, names=None, days: int = 30) -> str:
        """Key, leaf and CA certificate in one PEM file; returns its path.

        ``name`` is the common name, ``names`` the alternative names (host names and IP addresses; default: the common
        name and 127.0.0.1), ``days`` from now its end: negative makes it expired.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        leaf = self._leaf(key, name, names, days)
        return self._write(file_name, _key_pem(key) + _pem(leaf) + _pem(self._certificate))

    def issue_self_signed(self, file_name: str, name: str = NAME) -> str:
        """A certificate that nobody but its own key has signed."""
        alone = copy.copy(self)
        alone._key = ec.generate_private_key(ec.SECP256R1())
        alone._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._write(file_name, _key_pem(alone._key) + _pem(alone._leaf(alone._key, name)))

    def issue_mismatched(self, file_name: str) -> str:
        """A certificate with the key of another one."""
        leaf = self._leaf(ec.generate_private_key(ec.SECP256R1()), NAME)
        return self._write(file_name, _key_pem(ec.generate_private_key(ec.SECP256R1())) + _pem(leaf))

    def issue_encrypted(self, file_name: str) -> str:
        """A certificate whose key needs a password."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self._write(file_name, _key_pem(key, b"secret") + _pem(self._leaf(key, NAME)))

    def _leaf(self, key, name: str, names=None, days: int = 30) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = [name, "127.0.0.1"] if names is None else names
        return self._sign(subject, key.public_key(), names=names, days=days)

    def _sign(self, subject, public_key, authority=False, names=(), days=30) -> x509.Certificate:
        usage = x509.KeyUsage(True, False, False, False, False, authority, authority, False, False)
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=100))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def rsa_key(bits: int = 2048):
    """A fresh RSA key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def dh_parameters() -> bytes:
    """The 2048-bit group of RFC 7919 appendix A.1 as PEM (PKCS #3); its prime is given by a formula with e = 2.718…"""
    spare = 200
    term = e = 1 << 1918 + spare
    n = 1
    while term:
        term //= n
        e += term
        n += 1
    prime = 2**2048 - 2**1984 + ((e >> spare) + 560316) * 2**64 - 1
    body = base64.encodebytes(_der(0x30, _der_integer(prime) + _der_integer(2)))
    return b"-----BEGIN DH PARAMETERS-----\n" + body + b"-----END DH PARAMETERS-----\n"


def _der_integer(value: int) -> bytes:
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key, password: bytes | None = None) -> bytes:
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
