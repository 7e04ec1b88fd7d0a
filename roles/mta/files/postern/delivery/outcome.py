# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What came of a conversation with another host: values without I/O, and the time limits of its steps."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

#: Characters of a peer's text that go into a result; a peer decides neither how long a log line is nor what is in it.
MAX_PEER_TEXT = 200

SENT, DEFERRED, FAILED = "sent", "deferred", "failed"

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)")


@dataclass(frozen=True)
class Limits:
    """Seconds for each step; the defaults are those of RFC 5321 section 4.5.3.2 where it names one.

    ``connect`` is shorter than the operating system's own limit, ``handshake`` is for TLS, ``hello`` for EHLO, HELO and
    STARTTLS, ``login`` for each step of AUTH, ``block`` for each block of a message, ``final`` for the reply to the
    final dot, ``quit`` for the whole goodbye: the message is through, and nobody should wait for a peer's manners.
    """

    connect: float = 60.0
    banner: float = 300.0
    handshake: float = 30.0
    hello: float = 300.0
    login: float = 300.0
    mail: float = 300.0
    rcpt: float = 300.0
    data: float = 120.0
    block: float = 180.0
    final: float = 600.0
    quit: float = 5.0

    @classmethod
    def all(cls, seconds: float) -> "Limits":
        """The same limit for every step; 0 means the defaults."""
        return cls(**{each.name: seconds for each in fields(cls)}) if seconds else cls()


@dataclass(frozen=True)
class Security:
    """How a conversation was protected.

    ``reached``: ``clear`` (no TLS), ``encrypt`` (TLS, peer unknown), ``verify`` (trusted chain, name of the host),
    ``secure`` (trusted chain, one of the names that the policy wants), ``fingerprint`` (a certificate or a key that the
    policy knows; no chain, name or date). ``fingerprint`` is what the certificate has at that level, ``verified`` at
    the two before it the name in the certificate that counted. ``subject`` is the subject of the peer's
    certificate, which at ``encrypt`` is nothing but a claim. ``fallback``: in clear because TLS failed at level
    ``may``; ``reason`` then says how it failed.
    """

    reached: str = "clear"
    protocol: str = ""
    cipher: str = ""
    subject: str = ""
    fallback: bool = False
    reason: str = ""
    fingerprint: str = ""
    verified: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of one recipient.

    ``kind`` is ``sent``, ``deferred`` or ``failed``; ``status`` the enhanced code (RFC 3463); ``code`` the peer's reply
    code, 0 when we decided ourselves; ``text`` the peer's text, cleaned, or our own reason.
    """

    kind: str
    status: str
    text: str
    code: int = 0

    def __str__(self) -> str:
        return f"{self.code} {self.text}".rstrip() if self.code else f"{self.status} {self.text}"


@dataclass(frozen=True)
class Result:
    """One outcome for each recipient, and how the conversation was protected."""

    outcomes: dict[str, Outcome]
    security: Security = field(default_factory=Security)


class HostFailed(Exception):
    """Nothing was accepted there, and nothing was refused for good: the next host may be tried.

    ``status`` always begins with 4; ``tls`` is true when TLS was the reason, ``greeted`` when the host had answered
    EHLO: then it is there, and what is wrong is between it and what the policy asks of it.
    """

    def __init__(
        self, reason: str, status: str, tls: bool = False, security: Security | None = None, greeted: bool = False
    ) -> None:
        super().__init__(reason)
        self.greeted = greeted
        self.reason = reason
        self.status = status
        self.tls = tls
        self.security = security or Security()


def clean(text: str, limit: int = MAX_PEER_TEXT) -> str:
    """A peer's text without control characters, invisible ones and line ends, cut to ``limit`` characters."""
    # Cut before and behind: what a peer sends may be long, and every character is looked at.
    shown = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * limit])
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def from_reply(code: int, text: str) -> Outcome:
    """The outcome that a reply of the peer means (RFC 5321 section 4.2.1): 2xx sent, 5xx failed, all else deferred."""
    kind = {2: SENT, 4: DEFERRED, 5: FAILED}.get(code // 100)
    if kind is None:
        return Outcome(DEFERRED, "4.5.0", f"the peer answered what is no answer here: {code} {clean(text)}")
    return Outcome(kind, enhanced(code, text), clean(text), code)


def enhanced(code: int, text: str) -> str:
    """The enhanced code at the start of a reply's text; a general one when it is missing or of another class.

    RFC 2034 section 4 wants the same class in both codes.
    """
    found = _ENHANCED.match(text)
    if found and int(found.group(1)) == code // 100:
        return found.group(0)
    # RFC 5321 section 4.2.3: 421 is "the service is not available", which RFC 3463 section 3.4 calls X.3.2.
    return "4.3.2" if code == 421 else f"{code // 100}.0.0"


def same_for(recipients: Iterable[str], outcome: Outcome) -> dict[str, Outcome]:
    """The same outcome for all."""
    return {recipient: outcome for recipient in recipients}
