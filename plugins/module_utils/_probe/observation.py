# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was seen of one listener: facts, the dialogues that show them, and what was asked about.

Facts say what a server did and judge nothing. They are JSON-able, so that they travel from the host that looked to
the one that reports.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass, field

from .._policy.domain import domain_name
from .._policy.errors import PolicyError
from .reply import NOT_ASKED

MODES = ("none", "starttls", "implicit")


@dataclass(frozen=True)
class Fact:
    """One thing that was looked at.

    ``value`` is JSON-able, None when it could not be observed. ``seen`` says in words what the server did, or why it
    could not be observed. ``side`` names who refused, or who is in the way (constants of :mod:`.reply`). ``evidence``
    are the numbers of the connections that show it, from 1.
    """

    value: t.Any
    seen: str
    side: str = ""
    observable: bool = True
    evidence: t.Tuple[int, ...] = ()

    def document(self) -> t.Dict[str, t.Any]:
        """The fact as plain data."""
        return {
            "value": self.value,
            "seen": self.seen,
            "side": self.side,
            "observable": self.observable,
            "evidence": list(self.evidence),
        }


@dataclass(frozen=True)
class Dialogue:
    """One connection as evidence: its number from 1, what it was for, its lines without secrets, its seconds."""

    number: int
    purpose: str
    lines: t.Tuple[str, ...]
    seconds: float

    def document(self) -> t.Dict[str, t.Any]:
        """The dialogue as plain data."""
        return {
            "number": self.number,
            "purpose": self.purpose,
            "lines": list(self.lines),
            "seconds": round(self.seconds, 4),
        }


@dataclass(frozen=True)
class Credentials:
    """A login: ``user`` as it is sent in AUTH, ``password`` in no repr."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class ForcedDomain:
    """A domain for mail over TLS only. ``reject_message``: what clients in clear must be told; None: anything.

    ``exempt``: it is an exception, and takes mail in clear.
    """

    domain: str
    reject_message: t.Optional[str] = None
    exempt: bool = False


@dataclass(frozen=True)
class Listener:
    """What is looked at, and what must be known to look at it. :func:`listener` makes one of what people write.

    ``address`` is "host:port" as it was given. ``host`` has no brackets, names in it are A-labels. ``tls`` is "none",
    "starttls" or "implicit". ``server_name`` goes into SNI and must be in the certificate. ``other_domain`` takes mail
    in clear too, ``local_domain`` takes mail at all: the controls of forced domains and of the open relay. All domains
    have the mailbox ``recipient`` (RFC 5321 section 4.5.1 asks for postmaster); ``foreign_domain`` is one that the
    server has nothing to do with. ``sender`` "" is the null sender. ``clear_password``: whether the real password may
    be shown in clear to prove that it is refused; None means only when the server is this very machine.
    """

    address: str
    host: str
    port: int
    tls: str = "starttls"
    server_name: t.Optional[str] = None
    credentials: t.Optional[Credentials] = None
    forced_domains: t.Tuple[ForcedDomain, ...] = ()
    other_domain: t.Optional[str] = None
    local_domain: t.Optional[str] = None
    recipient: str = "postmaster"
    sender: str = ""
    foreign_domain: str = "elsewhere.example"
    client_name: str = "probe.invalid"
    ca_file: t.Optional[str] = None
    clear_password: t.Optional[bool] = None


def listener(address: str, tls: t.Optional[str] = None, server_name: t.Optional[str] = None, **more: t.Any) -> Listener:
    """The listener at "host:port" ("mx.example.org:25", "[::1]:465"); ``more`` as in :class:`Listener`.

    ``tls`` is "implicit" at port 465 (RFC 8314 section 3.3) and "starttls" elsewhere when nothing is said;
    ``server_name`` is the host when that is a name. Raises ValueError with advice.
    """
    host, port = split_address(address)
    mode = tls or ("implicit" if port == 465 else "starttls")
    if mode not in MODES:
        raise ValueError("tls must be one of %s; got %r" % (", ".join(MODES), tls))
    name = host_name(server_name) if server_name else (None if _is_ip(host) else host)
    found = Listener(address, host, port, mode, name, **more)
    forced = [domain.domain for domain in found.forced_domains]
    words = [found.recipient, found.sender, found.foreign_domain, found.client_name, *forced]
    words += [found.other_domain or "", found.local_domain or ""]
    for word in words:
        # They become parts of SMTP commands.
        if not all(char.isprintable() and char not in " <>" for char in word):
            raise ValueError("no blanks, brackets and control characters in names and domains; got %r" % word)
    if found.credentials and any("\0" in text for text in (found.credentials.user, found.credentials.password)):
        raise ValueError("NUL cannot be part of a user name or password (RFC 4616)")
    return found


def split_address(address: str) -> t.Tuple[str, int]:
    """Host (no brackets, names as A-labels) and port of "host:port". Raises ValueError with advice."""
    match = re.match(r"(?:\[([^\]]+)\]|([^\[\]]*)):([0-9]{1,5})\Z", address.strip())
    if match is None or not 1 <= int(match.group(3)) <= 65535:
        raise ValueError('an address is like "mx.example.org:25" or "[::1]:465"; got %r' % address)
    host = match.group(1) or match.group(2)
    if match.group(1):
        if ":" not in host or not _is_ip(host):
            raise ValueError("brackets are for IPv6 addresses; got %r" % address)
        return host, int(match.group(3))
    if ":" in host:
        raise ValueError('IPv6 needs brackets, as in "[2001:db8::25]:25"; got %r' % address)
    return (host if _is_ip(host) else host_name(host)), int(match.group(3))


def host_name(text: str) -> str:
    """A host name in lower case, with umlauts and the like as A-labels (IDNA 2008). Raises ValueError."""
    name = text.strip()
    try:
        if not name.isascii():
            name = domain_name(name, "the host name")
    except PolicyError as error:
        raise ValueError(str(error)) from None
    name = name.lower().rstrip(".")
    # Underscores are no part of host names, but people's containers have them.
    if not re.match(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\Z", name) or len(name) > 253:
        raise ValueError("%r is not a host name" % text)
    return name


@dataclass(frozen=True)
class Observation:
    """All that was seen of one listener, with ``connections`` in ``seconds``; ``checks`` are the groups asked for."""

    listener: Listener
    facts: t.Mapping[str, Fact]
    dialogues: t.Tuple[Dialogue, ...]
    connections: int
    seconds: float
    checks: t.Tuple[str, ...]

    def fact(self, name: str) -> Fact:
        """A fact by its name; one that was not looked at is not observable."""
        found = self.facts.get(name)
        return Fact(None, "not looked at", NOT_ASKED, observable=False) if found is None else found

    def document(self) -> t.Dict[str, t.Any]:
        """The observation as plain data, without credentials."""
        return {
            "listener": self.listener.address,
            "tls": self.listener.tls,
            "server_name": self.listener.server_name,
            "connections": self.connections,
            "seconds": round(self.seconds, 4),
            "checks": list(self.checks),
            "facts": {name: fact.document() for name, fact in self.facts.items()},
            "dialogues": [dialogue.document() for dialogue in self.dialogues],
        }


def from_document(document: t.Mapping[str, t.Any]) -> Observation:
    """The observation that :meth:`Observation.document` describes. Raises KeyError, TypeError or ValueError for others.

    What is not in a document (credentials, controls) is not in its listener either.
    """
    facts = {
        name: Fact(fact["value"], fact["seen"], fact["side"], fact["observable"], tuple(fact["evidence"]))
        for name, fact in document["facts"].items()
    }
    dialogues = tuple(
        Dialogue(part["number"], part["purpose"], tuple(part["lines"]), part["seconds"])
        for part in document["dialogues"]
    )
    return Observation(
        listener=listener(document["listener"], document["tls"], document["server_name"]),
        facts=facts,
        dialogues=dialogues,
        connections=document["connections"],
        seconds=document["seconds"],
        checks=tuple(document["checks"]),
    )


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
