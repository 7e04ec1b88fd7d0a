# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""SASL mechanisms as state machines (RFC 4954): PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 (RFC 5802, RFC 7677).

A machine takes decoded responses and answers with what happens next. It checks no password itself: hashing takes a
tenth of a second, so PLAIN and LOGIN end in a :class:`Check` that the caller has done elsewhere. SCRAM compares keys
that are stored, which costs microseconds, and ends in :class:`Accepted` or :class:`Refused`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass, field
from typing import Protocol

import scramp

from ..directory import Credentials
from ..passwords import SCRAM_ITERATIONS

#: Octets of one line of the exchange (RFC 4954 section 4).
MAX_LINE = 12_288


@dataclass(frozen=True)
class Challenge:
    """Send this (not yet encoded) behind 334."""

    data: bytes


@dataclass(frozen=True)
class Check:
    """Compare a password; the exchange itself is complete."""

    login: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Accepted:
    """The peer proved to be ``login``."""

    login: str


@dataclass(frozen=True)
class Refused:
    """The peer proved nothing. ``malformed``: its response broke the mechanism's grammar."""

    malformed: bool = False


Step = Challenge | Check | Accepted | Refused


class Accounts(Protocol):
    """What the mechanisms ask the directory."""

    def credentials(self, login: str) -> Credentials | None: ...
    def decoy_salt(self, login: str) -> bytes: ...


class BadBase64(ValueError):
    """A response that is no base64 (RFC 4954 section 4: 501 5.5.2)."""


def decode(response: str) -> bytes:
    """A response line, or the initial response where ``=`` stands for an empty one. Raises :class:`BadBase64`."""
    text = response.strip(" ")
    if text == "=":
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadBase64 from None


def encode(data: bytes) -> str:
    """A challenge for the wire."""
    return base64.b64encode(data).decode("ascii")


class Plain:
    """``authzid NUL authcid NUL password`` in one message (RFC 4616 section 2).

    ``login`` of a mechanism is whom the exchange is about, None while that is not known.
    """

    def __init__(self, accounts: Accounts) -> None:
        self.login: str | None = None

    def start(self, initial: bytes | None) -> Step:
        """Begin, with the initial response when the client sent one."""
        return Challenge(b"") if initial is None else self.respond(initial)

    def respond(self, data: bytes) -> Step:
        """Take the client's next response."""
        try:
            identity, login, password = data.decode("utf-8").split("\0")
        except ValueError:
            return Refused(malformed=True)
        self.login = login
        # Acting for somebody else is not offered (RFC 4616 section 2: the server checks the right to do so).
        if identity and identity.lower() != login.lower():
            return Refused()
        return Check(login, password)


class Login:
    """The prompts of the old mechanism that copiers and .NET still use; the texts must be exactly these."""

    def __init__(self, accounts: Accounts) -> None:
        self.login: str | None = None
        self._named = False

    def start(self, initial: bytes | None) -> Step:
        """Begin; an initial response is the user name."""
        return Challenge(b"Username:") if initial is None else self.respond(initial)

    def respond(self, data: bytes) -> Step:
        """Take the client's next response."""
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            return Refused(malformed=True)
        if not self._named:
            self._named, self.login = True, text
            return Challenge(b"Password:")
        return Check(self.login, text)


class ScramSha256:
    """SCRAM-SHA-256 on keys that were stored; the password is never seen."""

    def __init__(self, accounts: Accounts) -> None:
        self.login: str | None = None
        self._accounts = accounts
        self._server = scramp.ScramMechanism("SCRAM-SHA-256").make_server(self._keys)
        self._known: Credentials | None = None
        self._proven = False

    def start(self, initial: bytes | None) -> Step:
        """Begin; SCRAM is client-first, so without an initial response an empty challenge asks for it."""
        return Challenge(b"") if initial is None else self.respond(initial)

    def respond(self, data: bytes) -> Step:
        """Take the client's next response."""
        if self._proven:
            # RFC 4954 section 4: data that comes with the success is sent as a challenge; the answer to it is empty.
            return Accepted(self._known.login) if not data else Refused(malformed=True)
        try:
            message = data.decode("utf-8")
            if self._server.stage is None:
                self._server.set_client_first(message)
                return Challenge(self._server.get_server_first().encode())
            self._server.set_client_final(message)
        except UnicodeDecodeError:
            return Refused(malformed=True)
        except scramp.ScramException:
            return Refused()
        if self._known is None:
            return Refused()
        self._proven = True
        return Challenge(self._server.get_server_final().encode())

    def _keys(self, login: str) -> tuple[bytes, bytes, bytes, int]:
        """Salt, stored key, server key and iterations of a user; made up, but stable, for one who does not exist."""
        self.login = login
        self._known = self._accounts.credentials(login)
        if self._known is None:
            never = hashlib.sha256(os.urandom(32)).digest()
            return self._accounts.decoy_salt(login), never, never, SCRAM_ITERATIONS
        known = self._known
        return known.scram_salt, known.scram_stored_key, known.scram_server_key, known.scram_iterations


#: In the order in which they are offered.
MECHANISMS = {"SCRAM-SHA-256": ScramSha256, "PLAIN": Plain, "LOGIN": Login}
