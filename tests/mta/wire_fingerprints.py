# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fingerprints of certificates and keys as people get them: from a program that knows nothing of our code."""

from __future__ import annotations

import subprocess


def openssl(*command: str, data: bytes = b"") -> bytes:
    """What the program prints."""
    return subprocess.run(["openssl", *command], input=data, capture_output=True, check=True, timeout=60).stdout


def of_certificate(path: str) -> str:
    """SHA-256 of the first certificate of a file: pairs with colons."""
    return openssl("x509", "-in", path, "-noout", "-fingerprint", "-sha256").decode().strip().rpartition("=")[2]


def of_key(path: str) -> str:
    """The same of its public key (SubjectPublicKeyInfo)."""
    der = openssl("pkey", "-pubin", "-outform", "DER", data=openssl("x509", "-in", path, "-noout", "-pubkey"))
    return openssl("dgst", "-sha256", "-c", data=der).decode().strip().rpartition("= ")[2]
