# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The values around a session: what it is told, what it asks for, what it says."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ..queue.store import Envelope, Recipient
from ..rules.engine import RuleSet
from ..rules.variables import Variables
from .dataframe import PIECE
from .address import Mailbox
from .guesses import Guesses


class Accounts(Protocol):
    """What the session asks the directory."""

    def domains(self) -> list[str]: ...
    def has_domain(self, domain: str) -> bool: ...
    def destinations(self, local: str, domain: str) -> tuple[tuple[str, str, bool, str], ...] | None: ...
    def credentials(self, login: str) -> Any: ...
    def decoy_salt(self, login: str) -> bytes: ...


@dataclass(frozen=True)
class Site:
    """What holds for all sessions of one listener in one generation. ``starttls``: a usable certificate is loaded.

    ``latest`` returns the policy that runs now: of all that a generation has, it alone reaches sessions under way.
    ``piece``: octets of a text that are kept in memory; a longer one goes to the queue in pieces, and ``has_room`` says
    whether there is room for one of that many octets.
    """

    server_name: str
    rules: RuleSet
    accounts: Accounts
    new_id: Callable[[], int]
    clock: Callable[[], float]
    log: Callable[..., None]
    starttls: bool = False
    piece: int = PIECE
    max_errors: int = 20
    max_auth_errors: int = 5
    latest: Callable[[], RuleSet | None] = lambda: None
    has_room: Callable[[int], bool] = lambda octets: True
    guesses: Guesses = field(default_factory=Guesses)


@dataclass(frozen=True)
class Ends:
    """Both ends of the connection, as the script's variables name them."""

    peer: str
    peer_port: int
    local: str
    local_port: int


@dataclass(frozen=True)
class TlsState:
    """The TLS session under this SMTP session: ``TLSv1.3``, ``TLS_AES_256_GCM_SHA384``.

    ``verified``: the client has shown a certificate, and it is a good one; ``fingerprint`` is that of the certificate.
    """

    version: str
    cipher: str
    verified: bool = False
    fingerprint: str = ""

    def __str__(self) -> str:
        return f"{self.version} {self.cipher}"

    def variables(self) -> dict[str, str]:
        """What the policy script is told of it."""
        return {
            "sslVersion": self.version,
            "sslCipher": self.cipher,
            "sslClientVerified": "yes" if self.verified else "no",
            "sslClientFingerprint": self.fingerprint,
        }


@dataclass
class Tally:
    """Counts of a connection for its log line; survives STARTTLS."""

    commands: int = 0
    messages: int = 0
    refusals: int = 0
    user: str = ""
    reason: str = ""


@dataclass(frozen=True)
class StartTls:
    """Hand the socket to TLS; then go on with :meth:`Session.secured`."""


@dataclass(frozen=True)
class CheckPassword:
    """Compare a password; then call :meth:`Session.password_checked`."""

    login: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Spill:
    """Keep the next piece of a text that is long; then call :meth:`Session.spilled` or :meth:`Session.not_spilled`."""

    message_id: int
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Discard:
    """Forget the pieces of a text that is refused; then call :meth:`Session.discarded`.

    When the connection ends within a text, what was kept of it is forgotten without being asked.
    """

    message_id: int


@dataclass(frozen=True)
class StoreMessage:
    """Make a message durable; then call :meth:`Session.stored` or :meth:`Session.not_stored`.

    ``body`` is all of it, or with ``spooled`` what comes behind the pieces that were spilled.
    """

    envelope: Envelope
    body: bytes = field(repr=False)
    spooled: bool = False


@dataclass(frozen=True)
class Pause:
    """Let other sessions have their turn, and the peer read its replies; then call :meth:`Session.go_on`."""


Action = StartTls | CheckPassword | Spill | Discard | StoreMessage | Pause


class Output(NamedTuple):
    """What the adapter does next: send ``data``, then run ``action`` if there is one, then close if ``close``."""

    data: bytes
    action: Action | None = None
    close: bool = False


@dataclass
class Transaction:
    """From MAIL to the end of DATA (RFC 5321 section 3.3). ``addresses`` are what the client said, ``recipients`` who
    gets it."""

    sender: Mailbox
    variables: Variables
    eight_bit: bool = False
    smtputf8: bool = False
    recipients: list[Recipient] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)


class Mode(enum.Enum):
    """What the next bytes from the peer are."""

    COMMAND = "command"
    DATA = "data"
    AUTH = "auth"
    CLOSED = "closed"
