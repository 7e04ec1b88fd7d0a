# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at the mail that a server sends: what other mail servers see of it, which the probe plays itself.

A look hands a message in as a logged-in user and waits until it arrives. That a mail server gets *nothing* cannot be
waited for; so a domain whose first mail exchanger must get nothing has a second one, which may have the message. A sender
tries them in their order (RFC 5321 section 5.1): when the message arrives at the last one, the others have been passed by.
"""

from __future__ import annotations

import functools
import secrets
import time
import typing as t
from dataclasses import dataclass

from .budget import Budget
from .check import Check, Verdict, judged
from .observation import Listener
from .reply import NETWORK, SERVER_REPLY, Reply, Unobservable, refusing_side
from .sasl import MECHANISMS, offered_mechanisms
from .sink import Message, Session, Sink
from .smtp import Conversation
from .visit import Visit

#: What a mail server may hear from a sender that then decides not to send to it.
HARMLESS = frozenset(("EHLO", "HELO", "STARTTLS", "NOOP", "RSET", "QUIT"))


@dataclass(frozen=True)
class Destination:
    """A recipient domain and its mail exchangers, in the order in which a sender tries them.

    All of them share one condition (:attr:`Sink.heard`).
    """

    domain: str
    peers: t.Tuple[Sink, ...]


@dataclass(frozen=True)
class Partners:
    """The domains that a server sends to while it is looked at.

    ``offering`` has one mail exchanger, which takes mail inside TLS and in clear. The first mail exchanger of
    ``without_tls`` has no STARTTLS, that of ``only[version]`` speaks this TLS version and no other; it takes mail in clear
    too. ``forced`` are domains whose servers must prove who they are, by what is wrong with the first mail exchanger. The
    last mail exchanger of these is one that gets the mail under every rule. ``later`` has one mail exchanger, which has no
    STARTTLS until it is told to. ``patience``: seconds that a message may take, with a second attempt where one is needed.
    """

    offering: Destination
    without_tls: Destination
    only: t.Mapping[str, Destination]
    forced: t.Mapping[str, Destination]
    later: Destination
    patience: float = 30.0


@dataclass(frozen=True)
class _Arrival:
    peer: Sink
    message: Message

    def __str__(self) -> str:
        protocol = self.message.protocol
        return "%s to %s" % ("with %s" % protocol if protocol else "in clear", self.peer.behaviour.name)


#: A sender that wants TLS does not send without it.
_REQUIRED = "RFC 3207 section 6, hardening article"

#: Versions, and who says what to do about them.
_VERSIONS = {
    "TLSv1": "RFC 8996",
    "TLSv1.1": "RFC 8996",
    "TLSv1.2": "RFC 9325 section 3.1.1",
    "TLSv1.3": "RFC 9325 section 3.1.1",
}


def checks(asked: Listener, partners: Partners, versions: t.Sequence[str]) -> t.List[Check]:
    """All looks at mail that is sent with TLS required in exactly these versions, and proven servers for the forced domains.

    Messages are handed in at the listener, with its credentials.
    """
    nothing = "gets nothing, and nothing in clear; the next host gets it inside TLS"
    waits = "waits, and is sent inside TLS then"
    lines: t.List[t.Tuple[t.Any, ...]] = [
        ("STARTTLS offered", "used", "RFC 3207 section 4", uses_starttls, partners.offering),
        ("no STARTTLS", nothing, _REQUIRED, passes_by, partners.without_tls),
        ("STARTTLS offered later", waits, _REQUIRED, waits_for_tls, partners.later),
    ]
    for version, destination in partners.only.items():
        name, source = "%s only" % version, _VERSIONS[version]
        if version in versions:
            lines.append((name, "gets it with %s" % version, source, sends_with, destination, version))
        else:
            lines.append((name, nothing, source, passes_by, destination))
    for fault, destination in partners.forced.items():
        lines.append(("forced domain, %s" % fault, nothing, _REQUIRED, passes_by, destination))
    return [
        Check(name, wanted, source, functools.partial(look, asked, destination, partners.patience, *more))
        for name, wanted, source, look, destination, *more in lines
    ]


def uses_starttls(asked: Listener, destination: Destination, patience: float) -> Verdict:
    """A mail server that offers STARTTLS gets the message inside TLS."""
    arrival = _send(asked, destination, patience)
    return judged(arrival.message.protocol is not None, str(arrival))


def sends_with(asked: Listener, destination: Destination, patience: float, version: str) -> Verdict:
    """A mail server that speaks one TLS version only gets the message, with this version."""
    arrival = _send(asked, destination, patience)
    good = arrival.peer is destination.peers[0] and arrival.message.protocol == version
    return judged(good, str(arrival))


def passes_by(asked: Listener, destination: Destination, patience: float) -> Verdict:
    """All mail exchangers but the last hear no sender, no recipient and no login; the last gets the message inside TLS."""
    passed = destination.peers[:-1]
    begun = [len(peer.sessions) for peer in passed]
    arrival = _send(asked, destination, patience)
    heard = [_verbs(peer.sessions[count:]) for peer, count in zip(passed, begun)]
    if arrival.peer is not destination.peers[-1]:
        return judged(False, str(arrival))
    words = ["%s hears %s" % (peer.behaviour.name, " ".join(verbs)) for peer, verbs in zip(passed, heard)]
    seen = "%s; then %s" % ("; ".join(words), arrival)
    if not all(heard):
        raise Unobservable("not asked first: %s" % seen, NETWORK)
    silent = all(HARMLESS.issuperset(verbs) for verbs in heard)
    return judged(silent and arrival.message.protocol is not None, seen)


def waits_for_tls(asked: Listener, destination: Destination, patience: float) -> Verdict:
    """The only mail exchanger has no STARTTLS: the message waits, and arrives inside TLS when STARTTLS is there."""
    (peer,) = destination.peers
    begun = len(peer.sessions)
    peer.change(starttls=False)
    recipient = _recipient(destination)
    submit(asked, recipient)
    first = _first(peer, begun, patience)
    peer.change(starttls=True)
    try:
        arrival = _wait(destination, recipient, patience)
    finally:
        peer.change(starttls=False)
    if not first.messages and HARMLESS.issuperset(first.verbs):
        return judged(arrival.message.protocol is not None, "hears %s; later %s" % (" ".join(first.verbs), arrival))
    return judged(False, str(arrival) if first.messages else "hears %s" % " ".join(first.verbs))


def _first(peer: Sink, begun: int, patience: float) -> Session:
    deadline = time.monotonic() + patience
    with peer.heard:
        while True:
            found = [session for session in peer.sessions[begun:] if session.ended]
            if found:
                return found[0]
            left = deadline - time.monotonic()
            if left <= 0:
                raise Unobservable("no connection to %s in %g s" % (peer.behaviour.name, patience), NETWORK)
            peer.heard.wait(left)


def _verbs(sessions: t.Sequence[Session]) -> t.Tuple[str, ...]:
    return tuple(verb for session in sessions for verb in session.verbs)


def _send(asked: Listener, destination: Destination, patience: float) -> _Arrival:
    recipient = _recipient(destination)
    submit(asked, recipient)
    return _wait(destination, recipient, patience)


def _recipient(destination: Destination) -> str:
    # Made up anew for each message, so that no other one is mistaken for it.
    return "probe-%s@%s" % (secrets.token_hex(6), destination.domain)


def _wait(destination: Destination, recipient: str, patience: float) -> _Arrival:
    deadline = time.monotonic() + patience
    heard = destination.peers[0].heard
    with heard:
        while True:
            for peer in destination.peers:
                for message in peer.messages:
                    if recipient in message.recipients:
                        return _Arrival(peer, message)
            left = deadline - time.monotonic()
            if left <= 0:
                raise Unobservable("a message for %s reached nobody in %g s" % (destination.domain, patience), NETWORK)
            heard.wait(left)


def submit(asked: Listener, recipient: str) -> None:
    """Hand in a message for this recipient, logged in with the listener's credentials, inside TLS.

    Raises :class:`~.reply.Unobservable` when it is not taken, ValueError for a listener without credentials.
    """
    if asked.credentials is None:
        raise ValueError("%s has no credentials to send with" % asked.address)
    user, password = asked.credentials.user, asked.credentials.password
    with Visit(asked, Budget()).secure("a message for %s" % recipient) as conversation:
        offered = offered_mechanisms(conversation.ehlo(asked.client_name))
        name = next((known for known in reversed(MECHANISMS) if known in offered), "")
        if not name:
            raise Unobservable("no login is offered, so nothing can be sent", SERVER_REPLY)
        reply = conversation.auth(name, user, password, initial_response=name != "LOGIN")
        _demand(reply, 235, "AUTH %s" % name)
        _step(conversation, "MAIL FROM:<%s>" % user, 250)
        _step(conversation, "RCPT TO:<%s>" % recipient, 250)
        _step(conversation, "DATA", 354)
        lines = ("From: <%s>" % user, "To: <%s>" % recipient, "Subject: Relaying", "", "A look at relaying.", ".", "")
        conversation.send_bytes("\r\n".join(lines).encode("utf-8"))
        _demand(conversation.reply("reply to the message"), 250, "the message")


def _step(conversation: Conversation, line: str, code: int) -> None:
    _demand(conversation.command(line), code, line)


def _demand(reply: Reply, code: int, what: str) -> None:
    if reply.code != code:
        raise Unobservable("%s gets %s" % (what, reply), refusing_side(reply))
