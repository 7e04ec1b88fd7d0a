# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Passwords at rest: scrypt (RFC 7914) as a PHC string, and SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677).

All functions burn processor time on purpose (about 0.1 s each): call them in a worker thread.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import typing as t
import unicodedata

SCRYPT_LOG_N = 15
SCRYPT_R = 8
SCRYPT_P = 1
#: RFC 7677 asks for 4096 at least; a stored verifier deserves more.
SCRAM_ITERATIONS = 20_000
SALT_BYTES = 16
#: Longer ones are refused: a hash of megabytes would be a way to burn the processor.
MAX_BYTES = 1024


def check_password(password: str) -> None:
    """Raise ``ValueError`` for a password that cannot be used: empty, too long, with control characters."""
    if not password:
        raise ValueError("the password is empty")
    if len(password.encode("utf-8", "surrogateescape")) > MAX_BYTES:
        raise ValueError(f"the password is longer than {MAX_BYTES} bytes")
    if any(unicodedata.category(character) == "Cc" for character in password):
        raise ValueError("the password contains control characters")


def hash_password(password: str) -> str:
    """A PHC string: ``$scrypt$ln=15,r=8,p=1$<salt>$<hash>``, salt and hash in unpadded base64."""
    salt = os.urandom(SALT_BYTES)
    derived = _scrypt(password, salt, SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P, 32)
    return f"$scrypt$ln={SCRYPT_LOG_N},r={SCRYPT_R},p={SCRYPT_P}${_encode(salt)}${_encode(derived)}"


def verify(password: str, phc: str) -> bool:
    """Whether ``password`` is the one of ``phc``; False too for a string that is no scrypt PHC string."""
    try:
        empty, name, costs, salt, expected = phc.split("$")
        cost = {key: int(value) for key, value in (pair.split("=") for pair in costs.split(","))}
        if empty or name != "scrypt" or not (1 <= cost["ln"] <= 20 and 1 <= cost["r"] <= 32 and 1 <= cost["p"] <= 16):
            return False
        wanted = _decode(expected)
        derived = _scrypt(password, _decode(salt), cost["ln"], cost["r"], cost["p"], len(wanted))
    except (ValueError, KeyError, binascii.Error):
        return False
    return hmac.compare_digest(derived, wanted)


def scram_verifier(password: str) -> tuple[bytes, int, bytes, bytes]:
    """``(salt, iterations, stored_key, server_key)`` for SCRAM-SHA-256 (RFC 5802, section 3).

    The password is normalised as scramp does on the client's side: SASLprep's NFKC mapping (RFC 4013).
    """
    salt = os.urandom(SALT_BYTES)
    normal = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogateescape")
    salted = hashlib.pbkdf2_hmac("sha256", normal, salt, SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return salt, SCRAM_ITERATIONS, hashlib.sha256(client_key).digest(), server_key


class Remembered:
    """Passwords that were right a short while ago, as HMACs under a key that dies with the process.

    A key is whatever the result depends on (the stored hash itself): a changed password is a new key.
    """

    def __init__(self, seconds: float, clock: t.Callable[[], float], most: int = 1000) -> None:
        self._seconds = seconds
        self._clock = clock
        self._most = most
        self._secret = os.urandom(32)
        self._known: dict[bytes, float] = {}

    def knows(self, phc: str, password: str) -> bool:
        """True when this pair was remembered and is not too old."""
        return self._known.get(self._digest(phc, password), 0.0) > self._clock()

    def remember(self, phc: str, password: str) -> None:
        """Keep the pair for the time span given at construction."""
        now = self._clock()
        if len(self._known) >= self._most:
            self._known = {digest: end for digest, end in self._known.items() if end > now}
            if len(self._known) >= self._most:
                self._known.clear()
        self._known[self._digest(phc, password)] = now + self._seconds

    def _digest(self, phc: str, password: str) -> bytes:
        return hmac.digest(self._secret, f"{phc}\0{password}".encode("utf-8", "surrogateescape"), "sha256")


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int, length: int) -> bytes:
    n = 1 << log_n
    memory = 128 * n * r + 128 * r * p + (1 << 20)
    data = password.encode("utf-8", "surrogateescape")
    return hashlib.scrypt(data, salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=length)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii").rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
