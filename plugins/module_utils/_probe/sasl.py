# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client's side of the SASL mechanisms that a probe logs in with: PLAIN, LOGIN, SCRAM-SHA-256.

Each mechanism is an object with ``first()``, the initial response, and ``step(challenge)``, the answer to a
challenge of the server; bytes both ways, without base64. The objects show no password in their repr.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import typing as t
import unicodedata

#: More rounds than this would only be a server that wants to keep the client busy (RFC 5802 section 9 asks for 4096
#: at least; the usual figures are below a million).
MAX_ITERATIONS = 5000000


class SaslError(Exception):
    """The server's side of the exchange breaks the rules of the mechanism. Never holds a secret."""


class Mechanism:
    """One login attempt. Raises ValueError for a user or password that the mechanism cannot carry."""

    name = ""

    def __init__(self, user: str, password: str) -> None:
        if "\0" in user or "\0" in password:
            raise ValueError("NUL cannot be part of a user name or password (RFC 4616)")
        self._user = _prepared(user)
        self._password = _prepared(password)

    def __repr__(self) -> str:
        return "<%s>" % type(self).__name__

    def first(self) -> bytes:
        """The initial response, which may travel on the AUTH line (RFC 4954 section 4)."""
        raise NotImplementedError

    def step(self, challenge: bytes) -> bytes:
        """The answer to a challenge. Raises :class:`SaslError`."""
        raise SaslError("the server asks again where %s has nothing more to say" % self.name)

    def succeeded(self) -> None:
        """Called at 235. Raises :class:`SaslError` when the server left out its own proof."""

    def secrets(self) -> t.Tuple[str, ...]:
        """Every form in which the password could come back in a server's reply."""
        encoded = base64.b64encode(self._password).decode("ascii")
        plain = base64.b64encode(b"\0" + self._user + b"\0" + self._password).decode("ascii")
        return tuple(text for text in (plain, encoded, self._password.decode("utf-8")) if text)


class Plain(Mechanism):
    """RFC 4616."""

    name = "PLAIN"

    def first(self) -> bytes:
        return b"\0" + self._user + b"\0" + self._password


class Login(Mechanism):
    """The mechanism without an RFC: the user's name, then the password, whatever the prompts say."""

    name = "LOGIN"

    def __init__(self, user: str, password: str) -> None:
        super().__init__(user, password)
        self._asked = False

    def first(self) -> bytes:
        return self._user

    def step(self, challenge: bytes) -> bytes:
        if self._asked:
            return super().step(challenge)
        self._asked = True
        return self._password


class ScramSha256(Mechanism):
    """RFC 5802 and RFC 7677, without channel binding. The server must prove that it knows the password too."""

    name = "SCRAM-SHA-256"

    def __init__(self, user: str, password: str) -> None:
        super().__init__(user, password)
        self._nonce = base64.b64encode(os.urandom(18))
        name = self._user.replace(b"=", b"=3D").replace(b",", b"=2C")
        self._bare = b"n=" + name + b",r=" + self._nonce
        self._signature = b""
        self._proved = False

    def first(self) -> bytes:
        return b"n,," + self._bare

    def step(self, challenge: bytes) -> bytes:
        if not self._signature:
            return self._prove(challenge)
        if self._proved:
            return super().step(challenge)
        attributes = _attributes(challenge)
        if b"e" in attributes:
            raise SaslError("the server ends SCRAM with an error")
        if not hmac.compare_digest(_decoded(attributes.get(b"v", b"")), self._signature):
            raise SaslError("the server's SCRAM signature is wrong: it does not know the password")
        self._proved = True
        return b""

    def succeeded(self) -> None:
        if not self._proved:
            raise SaslError("the server accepts without its own SCRAM signature (RFC 5802 section 3)")

    def _prove(self, challenge: bytes) -> bytes:
        attributes = _attributes(challenge)
        nonce = attributes.get(b"r", b"")
        salt = _decoded(attributes.get(b"s", b""))
        try:
            iterations = int(attributes.get(b"i", b""))
        except ValueError:
            iterations = 0
        if not nonce.startswith(self._nonce) or nonce == self._nonce or not salt:
            raise SaslError("the server's first SCRAM message has no nonce of its own or no salt")
        if not 0 < iterations <= MAX_ITERATIONS:
            raise SaslError("the server asks for an impossible number of SCRAM iterations")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, iterations)
        client_key = _hmac(salted, b"Client Key")
        without_proof = b"c=" + base64.b64encode(b"n,,") + b",r=" + nonce
        message = b",".join((self._bare, challenge, without_proof))
        client_signature = _hmac(hashlib.sha256(client_key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client_key, client_signature))
        self._signature = _hmac(_hmac(salted, b"Server Key"), message)
        return without_proof + b",p=" + base64.b64encode(proof)


MECHANISMS: t.Dict[str, t.Type[Mechanism]] = {kind.name: kind for kind in (Plain, Login, ScramSha256)}


def mechanism(name: str, user: str, password: str) -> Mechanism:
    """The login attempt for a mechanism's name (any case). Raises ValueError for one that the probe does not speak."""
    kind = MECHANISMS.get(name.upper())
    if kind is None:
        raise ValueError("the probe does not speak %r: it knows %s" % (name, ", ".join(MECHANISMS)))
    return kind(user, password)


def offered_mechanisms(keywords: t.Mapping[str, str]) -> t.FrozenSet[str]:
    """The mechanisms that an EHLO reply offers, upper case, with the old ``AUTH=`` spelling counted too."""
    found = set(keywords.get("AUTH", "").upper().split())
    for keyword, parameters in keywords.items():
        if keyword.startswith("AUTH="):
            found.add(keyword[5:])
            found.update(parameters.upper().split())
    found.discard("")
    return frozenset(found)


def _prepared(text: str) -> bytes:
    # SASLprep (RFC 4013) comes down to NFKC for everything that people really use.
    return unicodedata.normalize("NFKC", text).encode("utf-8")


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def _attributes(message: bytes) -> t.Dict[bytes, bytes]:
    return {part[:1]: part[2:] for part in message.split(b",") if part[1:2] == b"="}


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise SaslError("the server's SCRAM message is not valid base64") from None
