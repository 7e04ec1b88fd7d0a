# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A mail server seen from outside: its listeners, and what must be known about it to judge it."""

from __future__ import annotations

import ssl
import typing as t
from dataclasses import dataclass, field

from .check import Unexpected
from .smtp import SERVER_BUSY, Conversation, Reply, Unobservable, lenient_context, refusing_side
from .tls import Handshake, offer


@dataclass(frozen=True)
class Target:
    """What the checks need to know about a server.

    ``account`` is the login name as it is sent in AUTH ("user@domain"). ``local_domain`` is one that the server takes
    mail for, ``forced_domain`` one that takes mail over TLS only and refuses it in clear with exactly ``explanation``,
    ``other_domain`` one that takes mail in clear too; all three have the mailbox ``recipient`` (RFC 5321 section 4.5.1
    asks for postmaster). ``foreign_domain`` is one that the server neither hosts nor relays for. ``timeout`` is the
    deadline of a step in seconds, ``silence`` the time in seconds after which a listener that said nothing is taken as
    silent. ``clear_password``: whether the real password may be shown to the server in clear text to prove that it is
    refused; None means only when the server is this very machine. Where it may not, a made-up one takes its place.
    """

    host: str
    relay_port: int
    submission_port: int
    submissions_port: t.Optional[int]
    account: str
    password: str = field(repr=False)
    local_domain: str
    forced_domain: str
    other_domain: str
    explanation: str
    ca_file: t.Optional[str]
    server_name: t.Optional[str]
    recipient: str = "postmaster"
    sender: str = "probe@sender.invalid"
    foreign_domain: str = "elsewhere.example"
    client_name: str = "probe.invalid"
    timeout: float = 10.0
    silence: float = 0.5
    clear_password: t.Optional[bool] = None


@dataclass(frozen=True)
class Endpoint:
    """One listener of a target. ``name`` is the service's (RFC 6409, RFC 8314), ``mode`` "starttls" or "implicit"."""

    target: Target
    name: str
    port: int
    mode: str

    def conversation(self) -> Conversation:
        """A conversation that is not connected yet."""
        target = self.target
        return Conversation(target.host, self.port, target.timeout, target.server_name)

    def clear(self) -> Conversation:
        """Connected in clear, banner 220 read; only for a listener with STARTTLS."""
        return self._opened(lambda conversation: _greeted(conversation.connect()))

    def secure(self) -> Conversation:
        """Inside TLS: behind STARTTLS, or behind the banner of an implicit listener. No EHLO said inside TLS yet.

        Raises :class:`~.check.Unexpected` when the server refuses STARTTLS.
        """
        return self.through(lenient_context())

    def through(self, context: ssl.SSLContext) -> Conversation:
        """As :meth:`secure`, with a TLS context of the caller's."""

        def steps(conversation: Conversation) -> None:
            if self.mode == "implicit":
                _greeted(conversation.connect(implicit=context))
                return
            _greeted(conversation.connect())
            conversation.ehlo(self.target.client_name)
            reply = conversation.starttls(context)
            if reply.code != 220:
                raise _refusal("STARTTLS refused: %s" % reply, reply)

        return self._opened(steps)

    def _opened(self, steps: t.Callable[[Conversation], None]) -> Conversation:
        conversation = self.conversation()
        try:
            steps(conversation)
        except BaseException:
            conversation.close()
            raise
        return conversation

    def offer(self, version: str, ciphers: t.Optional[t.Sequence[str]] = None) -> Handshake:
        """Offer one TLS version and some suites by hand (:func:`.tls.offer`)."""
        target = self.target
        return offer(
            target.host, self.port, version, self.mode, ciphers, target.server_name, target.timeout, target.client_name
        )


def _greeted(banner: Reply) -> None:
    if banner.code != 220:
        raise _refusal("greets with %s" % banner, banner)


def _refusal(words: str, reply: Reply) -> Exception:
    side = refusing_side(reply)
    return Unobservable(words, side) if side == SERVER_BUSY else Unexpected(words)


def endpoints(target: Target) -> t.Tuple[Endpoint, ...]:
    """The listeners of a target: relay, submission and, when it has one, submissions."""
    found = [
        Endpoint(target, "relay", target.relay_port, "starttls"),
        Endpoint(target, "submission", target.submission_port, "starttls"),
    ]
    if target.submissions_port is not None:
        found.append(Endpoint(target, "submissions", target.submissions_port, "implicit"))
    return tuple(found)


def mechanisms(keywords: t.Mapping[str, str]) -> t.FrozenSet[str]:
    """The mechanisms that an EHLO reply offers, upper case, with the old ``AUTH=`` spelling counted too."""
    found = set(keywords.get("AUTH", "").upper().split())
    for keyword, parameters in keywords.items():
        if keyword.startswith("AUTH="):
            found.add(keyword[5:])
            found.update(parameters.upper().split())
    found.discard("")
    return frozenset(found)
