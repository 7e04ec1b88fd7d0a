# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An authority, server certificates and Diffie-Hellman groups for the twin servers, made when a test asks for them."""

from __future__ import annotations

import base64
import datetime
import functools
import ssl
import warnings

import pytest

x509 = pytest.importorskip("cryptography.x509", reason="making certificates needs cryptography")

from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: E402

from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.twin import SERVER_NAME  # noqa: E402

#: Length in bits, and what makes it a prime: the groups of RFC 2409 section 6.2 and RFC 3526 section 3 (generator 2),
#: p = 2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) * pi) + k).
_GROUPS = {1024: 129093, 2048: 124476}


def _pi_bits(bits: int) -> int:
    # Machin's formula in integers: pi * 2^bits, rounded down.
    guard = bits + 64

    def arctan(inverse: int) -> int:
        term = (1 << guard) // inverse
        total, sign, divisor = term, -1, 3
        while term:
            term //= inverse * inverse
            total += sign * (term // divisor)
            sign, divisor = -sign, divisor + 2
        return total

    return (4 * (4 * arctan(5) - arctan(239))) >> 64


def dh_parameters(bits: int) -> bytes:
    """A DH file in PEM with the well-known MODP group of this length."""
    prime = (1 << bits) - (1 << (bits - 64)) - 1 + (1 << 64) * (_pi_bits(bits - 130) + _GROUPS[bits])
    number = prime.to_bytes(bits // 8 + 1, "big")
    inner = b"\x02\x82" + len(number).to_bytes(2, "big") + number + b"\x02\x01\x02"
    der = b"\x30\x82" + len(inner).to_bytes(2, "big") + inner
    return b"-----BEGIN DH PARAMETERS-----\n%s-----END DH PARAMETERS-----\n" % base64.encodebytes(der)


@functools.lru_cache(maxsize=None)
def _server_key(kind: str):
    # An RSA key takes a while, and nothing here depends on two servers having different ones.
    return rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())


class Authority:
    """Signs server certificates; ``ca_file`` is what a client trusts."""

    def __init__(self, folder) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "twin authority")])
        certificate = self._build(self._name, self._key.public_key(), 1, True)
        self.ca_file = str(folder / "ca.pem")
        (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _build(self, subject, public_key, days, is_ca, names=()):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=3))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if is_ca:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
        return builder.sign(self._key, hashes.SHA256())

    def server_pem(self, kind: str = "rsa", name: str = SERVER_NAME, days: int = 1) -> str:
        """A file with key and certificate; ``days`` may be negative for one that has expired."""
        key = _server_key(kind)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self._build(subject, key.public_key(), days, False, [name])
        path = self._folder / ("%s-%s-%d.pem" % (kind, name, days))
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return str(path)

    def context(
        self, minimum="TLSv1_2", maximum="TLSv1_3", ciphers=None, dh_bits=0, kind="ec", name=SERVER_NAME, days=1
    ) -> ssl.SSLContext:
        """A server's context. TLS 1.0 and 1.1 lower the security level, as a server that really wants them must."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_pem(kind, name, days))
        lowered = minimum in ("TLSv1", "TLSv1_1") or dh_bits and dh_bits < 2048
        if ciphers or lowered:
            context.set_ciphers((ciphers or "DEFAULT") + (":@SECLEVEL=0" if lowered else ""))
        with warnings.catch_warnings():
            # TLS 1.0 and 1.1 are asked for on purpose.
            warnings.simplefilter("ignore", DeprecationWarning)
            context.maximum_version = getattr(ssl.TLSVersion, maximum)
            context.minimum_version = getattr(ssl.TLSVersion, minimum)
        if dh_bits:
            path = self._folder / ("dh%d.pem" % dh_bits)
            path.write_bytes(dh_parameters(dh_bits))
            context.load_dh_params(str(path))
        return context
