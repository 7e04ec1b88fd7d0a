# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates that a careful authority would not sign, as files for a server and as bytes."""

from __future__ import annotations

import datetime
import functools
import hashlib
import typing as t
import warnings
from pathlib import Path

from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.credentials import Authority
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

NAME = "mail.example.test"
#: DER of 1.2.840.113549.1.1.11 and .5 (RFC 8017 appendix A.2.4): of one length.
_SHA256_WITH_RSA = bytes.fromhex("06092a864886f70d01010b")
_SHA1_WITH_RSA = bytes.fromhex("06092a864886f70d010105")


@functools.lru_cache(maxsize=None)
def key_of(kind: str) -> t.Any:
    """A private key, the same for each call: "rsa1024", "rsa2048", "rsa4096", "P-256", "P-384", "ed25519"."""
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key({"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}[kind])


class Office(Authority):
    """An authority that signs whatever it is asked to."""

    def odd(
        self, file_name: str, key: str = "P-256", common_name: str | None = NAME, names: t.Sequence[str] | None = None,
        after: float = -3.0, days: float = 30.0, self_signed: bool = False,
        chain: int = 0,
    ) -> Path:
        """A PEM file with key and certificate.

        ``common_name`` None leaves the subject empty, ``names`` are the alternative names as they are written (default:
        ``NAME``, none when empty), valid from ``after`` to ``days`` days from now; ``chain`` more certificates follow.
        """
        private = key_of(key)
        subject = x509.Name([] if common_name is None else [_common_name(common_name)])
        certificate = self._certificate(subject, private, names, after, days, self_signed)
        path = self._folder / file_name
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        pem += certificate.public_bytes(serialization.Encoding.PEM)
        if chain:
            more = self._certificate(subject, key_of("P-256"), (), -3, 30, False)
            pem += more.public_bytes(serialization.Encoding.PEM) * chain
        path.write_bytes(pem)
        return path

    def _certificate(self, subject, private, names, after, days, self_signed) -> x509.Certificate:
        now = datetime.datetime.now(datetime.timezone.utc)
        signer = private if self_signed else self._key
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if self_signed else self._name)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=after))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        names = (NAME,) if names is None else names
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName._init_without_validation(name) for name in names])
            builder = builder.add_extension(alternatives, False)
        return builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256())

    def sha1(self, file_name: str) -> Path:
        """A certificate of an RSA key, signed by itself with SHA-1, which no library of today does any more."""
        path = self.odd(file_name, "rsa2048", self_signed=True)
        key, numbers = key_of("rsa2048"), key_of("rsa2048").private_numbers()
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        tbs = certificate.tbs_certificate_bytes.replace(_SHA256_WITH_RSA, _SHA1_WITH_RSA)
        # RFC 8017 section 9.2: the DigestInfo of SHA-1 behind the padding.
        info = bytes.fromhex("3021300906052b0e03021a05000414") + hashlib.sha1(tbs).digest()
        padded = b"\x00\x01" + b"\xff" * (256 - 3 - len(info)) + b"\x00" + info
        signature = pow(int.from_bytes(padded, "big"), numbers.d, numbers.public_numbers.n).to_bytes(256, "big")
        old = certificate.public_bytes(serialization.Encoding.DER)
        new = old.replace(_SHA256_WITH_RSA, _SHA1_WITH_RSA).replace(certificate.signature, signature)
        signed = x509.load_der_x509_certificate(new)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + signed.public_bytes(serialization.Encoding.PEM)
        )
        return path


def _common_name(text: str) -> x509.NameAttribute:
    with warnings.catch_warnings():
        # More than 64 characters are warned of: here they are wanted.
        warnings.simplefilter("ignore", UserWarning)
        return x509.NameAttribute(x509.NameOID.COMMON_NAME, text, _validate=False)


def der(path: Path) -> bytes:
    """The first certificate of a PEM file."""
    return x509.load_pem_x509_certificates(path.read_bytes())[0].public_bytes(serialization.Encoding.DER)
