# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logging in at a relay host: SCRAM-SHA-256, PLAIN, LOGIN, in this order (RFC 7677, RFC 4616, RFC 4954).

CRAM-MD5 is not spoken: it gives whoever listens an MD5 to guess against, and wants the password in clear at the server.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Collection

import scramp

from .outcome import clean
from .wire import ConnectionFailed, Wire

MECHANISMS = ("SCRAM-SHA-256", "PLAIN", "LOGIN")

#: The peer names the number of rounds and we do the work: more is no login but an attack (RFC 5802 section 9).
MAX_ROUNDS = 1_000_000

_ROUNDS = re.compile(r"(?:^|,)i=(\d{1,12})(?:,|$)")


class LoginFailed(Exception):
    """The peer did not let us in, or did not prove that it knows the password; ``status`` as in RFC 3463."""

    def __init__(self, reason: str, status: str = "4.7.8") -> None:
        super().__init__(reason)
        self.status = status


async def log_in(wire: Wire, offered: Collection[str], user: str, password: str, limit: float) -> str:
    """Log in with the best mechanism that is offered; returns its name. ``limit``: seconds for each step.

    Raises :class:`LoginFailed`, and :class:`ConnectionFailed` of the wire. No error holds the credentials,
    even when the peer's reply does.
    """
    known = {name.upper() for name in offered}
    usable = [name for name in MECHANISMS if name in known]
    if not usable:
        names = clean(" ".join(sorted(known))) or "none"
        raise LoginFailed(f"the peer offers no login mechanism that is known here (offered: {names})", "4.7.4")
    if "\0" in user or "\0" in password:
        raise LoginFailed("user name or password hold a NUL character; no mechanism can say that")
    attempt = _Attempt(wire, user, password, limit)
    try:
        await {"SCRAM-SHA-256": attempt.scram, "PLAIN": attempt.plain, "LOGIN": attempt.login}[usable[0]]()
    except scramp.ScramException:
        raise LoginFailed("SCRAM-SHA-256: the peer did not prove that it knows the password") from None
    except UnicodeError:
        raise LoginFailed("user name or password are no Unicode text") from None
    return usable[0]


class _Attempt:
    def __init__(self, wire: Wire, user: str, password: str, limit: float) -> None:
        self._wire = wire
        self._user = user
        self._password = password
        self._limit = limit

    async def plain(self) -> None:
        secret = _encode(f"\0{self._user}\0{self._password}".encode())
        self._expect(235, *await self._wire.command("AUTH", b"PLAIN", secret, limit=self._limit))

    async def login(self) -> None:
        self._expect(334, *await self._wire.command("AUTH", b"LOGIN", limit=self._limit))
        self._expect(334, *await self._continue(self._user.encode()))
        self._expect(235, *await self._continue(self._password.encode()))

    async def scram(self) -> None:
        # Without channel binding: the peer may be a proxy that ends TLS, and the level has judged its certificate.
        try:
            client = scramp.ScramClient(["SCRAM-SHA-256"], self._user, self._password)
            first = _encode(client.get_client_first().encode())
        except scramp.ScramException:
            # RFC 4013, which SCRAM prescribes, forbids control characters among others.
            raise LoginFailed("SCRAM-SHA-256: user name or password hold a character that it forbids") from None
        challenge = self._challenge(*await self._wire.command("AUTH", b"SCRAM-SHA-256", first, limit=self._limit))
        rounds = _ROUNDS.search(challenge)
        if rounds is None or not 1 <= int(rounds.group(1)) <= MAX_ROUNDS:
            raise LoginFailed("SCRAM-SHA-256: the peer wants a number of rounds that cannot be meant")
        client.set_server_first(challenge)
        # Some 0.1 s of work for the largest honest number of rounds; other conversations go on meanwhile.
        proof = await asyncio.to_thread(client.get_client_final)
        client.set_server_final(self._challenge(*await self._continue(proof.encode())))
        self._expect(235, *await self._continue(b""))

    async def _continue(self, data: bytes) -> tuple[int, str]:
        return await self._wire.answer("AUTH", _encode(data), self._limit)

    def _challenge(self, code: int, text: str) -> str:
        if code == 235:
            raise LoginFailed("SCRAM-SHA-256: the peer did not prove that it knows the password")
        self._expect(334, code, text)
        try:
            return base64.b64decode(text.strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            raise LoginFailed("the peer's challenge is no base64") from None

    def _expect(self, wanted: int, code: int, text: str) -> None:
        if code == wanted:
            return
        said = clean(self._without_secrets(text))
        if code == 421:
            raise ConnectionFailed(f"the peer ended the login: {code} {said}", "4.3.2")
        # RFC 4954 section 6: 4xx is a temporary failure of the peer's, all else a refusal.
        status = "4.7.0" if 400 <= code < 500 else "4.7.8"
        raise LoginFailed(f"the login was refused: {code} {said}", status)

    def _without_secrets(self, text: str) -> str:
        """A peer's text may repeat what we sent."""
        plain = f"\0{self._user}\0{self._password}".encode()
        for secret in (_encode(plain).decode(), _encode(self._password.encode()).decode(), self._password):
            if secret:
                text = text.replace(secret, "…")
        return text


def _encode(data: bytes) -> bytes:
    return base64.b64encode(data)
