# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates, keys and DH parameters for tests, made with ``cryptography``."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dh, ec, rsa
from cryptography.x509.oid import NameOID

#: The group ffdhe2048 (RFC 7919 appendix A.1).
FFDHE2048 = int(
    "FFFFFFFFFFFFFFFFADF85458A2BB4A9AAFDC5620273D3CF1D8B9C583CE2D3695A9E13641146433FBCC939DCE249B3EF97D2FE363630C75D8"
    "F681B202AEC4617AD3DF1ED5D5FD65612433F51F5F066ED0856365553DED1AF3B557135E7F57C935984F0C70E0E68B77E2A689DAF3EFE872"
    "1DF158A136ADE73530ACCA4F483A797ABC0AB182B324FB61D108A94BB2C8E3FBB96ADAB760D7F4681D4F42A3DE394DF4AE56EDE76372BB19"
    "0B07A7C8EE0A6D709E02FCE1CDF7E2ECC03404CD28342F619172FE9CE98583FF8E4F1232EEF28183C3FE3B1B4C6FAD733BB5FCBC2EC22005"
    "C58EF1837D1683B2C6F34A26C1B2EFFA886B423861285C97FFFFFFFFFFFFFFFF",
    16,
)


class Lab:
    """A folder with an authority and server certificates for ``mail.example.test``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._now = datetime.datetime.now(datetime.timezone.utc)
        self._ca_key = ec.generate_private_key(ec.SECP256R1())
        self._ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lab authority")])
        builder = self._builder(self._ca_name, self._ca_key.public_key(), 30)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
        self._ca = builder.sign(self._ca_key, hashes.SHA256())
        self.ca_file = self._write("ca.pem", self._pem(self._ca))
        self.ecdsa = self.server("ecdsa.pem", ec.generate_private_key(ec.SECP256R1()))
        self._rsa_key = rsa.generate_private_key(65537, 2048)
        self.rsa = self.server("rsa.pem", self._rsa_key)
        self.dh_params = self._write(
            "dh.pem",
            dh.DHParameterNumbers(FFDHE2048, 2)
            .parameters()
            .parameter_bytes(serialization.Encoding.PEM, serialization.ParameterFormat.PKCS3),
        )

    def expired(self) -> str:
        """A certificate whose time is over."""
        return self.server("expired.pem", ec.generate_private_key(ec.SECP256R1()), days=-1)

    def mismatched(self) -> str:
        """A certificate with somebody else's key."""
        key = ec.generate_private_key(ec.SECP256R1())
        own = Path(self.ecdsa).read_bytes().partition(b"-----BEGIN CERTIFICATE-----")
        return self._write("mismatched.pem", self._key_pem(key) + own[1] + own[2])

    def server(self, name: str, key, days: int = 20) -> str:
        """One PEM file with key and certificate; returns its path."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.test")])
        builder = self._builder(subject, key.public_key(), days).add_extension(
            x509.SubjectAlternativeName([x509.DNSName("mail.example.test")]), critical=False
        )
        return self._write(name, self._key_pem(key) + self._pem(builder.sign(self._ca_key, hashes.SHA256())))

    def _builder(self, subject: x509.Name, key, days: int) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._ca_name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - datetime.timedelta(days=30))
            .not_valid_after(self._now + datetime.timedelta(days=days))
            # Strict verification (the default from Python 3.13) wants both (RFC 5280 section 4.2.1).
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._ca_key.public_key()), critical=False)
        )

    @staticmethod
    def _pem(certificate: x509.Certificate) -> bytes:
        return certificate.public_bytes(serialization.Encoding.PEM)

    @staticmethod
    def _key_pem(key) -> bytes:
        return key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def _write(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)
