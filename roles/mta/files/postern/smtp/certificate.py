# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a certificate in a PEM file says of itself: the names that it is for, its end, its fingerprint."""

from __future__ import annotations

import hashlib
import re
import ssl
from pathlib import Path

from asn1crypto import x509

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def first(path: str) -> bytes:
    """The first certificate of a PEM file in DER; empty when there is none. Raises ``OSError``."""
    found = _PEM.search(Path(path).read_bytes())
    return ssl.PEM_cert_to_DER_cert(found.group().decode("ascii", "replace")) if found else b""


def names(path: str) -> tuple[str, ...]:
    """The host names that the first certificate of a PEM file is for, as A-labels in lower case.

    Those of subjectAltName (RFC 6125 section 6.4.4); the common name is none of them. Raises ``OSError``, and
    ``ValueError`` for what is no certificate.
    """
    der = first(path)
    if not der:
        raise ValueError("it holds no certificate")
    alternatives = x509.Certificate.load(der, strict=True).subject_alt_name_value
    if alternatives is None:
        return ()
    # As bytes of the certificate: asn1crypto's own reading turns A-labels into letters.
    return tuple(
        name.chosen.contents.decode("ascii", "replace").lower() for name in alternatives if name.name == "dns_name"
    )


def expiry(path: str) -> float:
    """When the first certificate of a PEM file ends, in seconds since the epoch. Raises ``OSError`` and ``ValueError``."""
    der = first(path)
    if not der:
        raise ValueError("it holds no certificate")
    return x509.Certificate.load(der, strict=True).not_valid_after.timestamp()


def fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate as Postfix writes it: upper-case hexadecimal pairs with colons."""
    return hashlib.sha256(der).digest().hex(":").upper()
