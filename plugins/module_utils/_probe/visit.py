# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One visit to a listener: every connection is paid from the budget, written down, and facts are noted on the way.

Connections are made one after the other, all to the same address, so that what one shows the next may rely on.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import typing as t

from .budget import Budget
from .library import lenient_context
from .observation import Dialogue, Fact, Listener
from .records import printable
from .reply import (
    BUDGET,
    LOCAL_LIBRARY,
    NETWORK,
    NOT_ASKED,
    SERVER_ALERT,
    SERVER_BUSY,
    SERVER_CLOSED,
    SERVER_REPLY,
    CertificateRefused,
    Reply,
    Unobservable,
    refusing_side,
)
from .sasl import Plain
from .smtp import STARS, Conversation
from .tls import Handshake, exchange
from .transcript import Transcript

MAX_WORDS = 400
PATIENCE_WITH_CLOSING = 5

#: How the first bytes of an answer are shown that are a 421 reply in clear.
_BUSY_IN_CLEAR = ": '421"


class Visit:
    """Listener, budget and record in one hand.

    ``facts`` are those noted so far. ``number`` is the number of the latest connection (0 before the first), ``let_in``
    of the latest that the server had a word for: a 220, an alert, a handshake.
    ``shaken``: whether a handshake of the local library, lenient as it can be, was completed.
    ``no_tls`` is why there is no TLS to be had at all, as soon as that is known: then no handshake is tried any more.
    """

    def __init__(self, listener: Listener, budget: Budget) -> None:
        self.listener = listener
        self.budget = budget
        self.facts: t.Dict[str, Fact] = {}
        self.no_tls: t.Optional[Unobservable] = None
        if listener.tls == "none":
            self.no_tls = Unobservable("a listener without TLS", NOT_ASKED)
        self._transcripts: t.List[Transcript] = []
        self._secrets = _secrets(listener)
        self.number = 0
        self.let_in = 0
        self._address = ""
        self._greeted = False
        self.shaken = False
        self._closes = False

    # ---- the record

    @property
    def dialogues(self) -> t.Tuple[Dialogue, ...]:
        """What was said on all connections so far."""
        return tuple(transcript.dialogue() for transcript in self._transcripts)

    def note(
        self,
        name: str,
        value: t.Any,
        seen: t.Any,
        side: str = "",
        evidence: t.Optional[t.Sequence[int]] = None,
    ) -> None:
        """Note a fact; ``seen`` is shown without the listener's password.

        ``evidence`` are numbers of connections, by default that of the latest one.
        """
        self.facts[name] = Fact(value, _words(self._clean(str(seen))), side, evidence=self._numbers(evidence))

    def unseen(self, name: str, error: Unobservable, evidence: t.Optional[t.Sequence[int]] = None) -> None:
        """Note that a fact could not be observed, and why."""
        words = _words(self._clean(error.reason))
        self.facts[name] = Fact(None, words, error.side, False, self._numbers(evidence))

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, STARS)
        return text

    def sees(self, name: str) -> bool:
        """Whether a fact is noted and could be observed."""
        return name in self.facts and self.facts[name].observable

    def _numbers(self, evidence: t.Optional[t.Sequence[int]]) -> t.Tuple[int, ...]:
        if evidence is None:
            return (self.number,) if self.number else ()
        return tuple(sorted(set(evidence)))

    # ---- connections; whoever gets one closes it

    def opened(self, purpose: str) -> Conversation:
        """Connected, nothing said, no banner awaited. Raises :class:`~.reply.Unobservable`, as all that connect."""
        self.number = self.budget.spend()
        transcript = Transcript(self.number, _words(purpose), self._clean)
        self._transcripts.append(transcript)
        try:
            addresses = [self._address] if self._address else self._resolve()
        except Unobservable as error:
            transcript.add("--", error.reason)
            raise
        refusal = Unobservable("no address for %s" % self.listener.host)
        for address in addresses:
            conversation = Conversation(
                address,
                self.listener.port,
                self.budget.step_timeout,
                self.listener.server_name,
                self.budget,
                transcript,
            )
            try:
                conversation.open()
            except Unobservable as error:
                refusal = error
                continue
            self._address = address
            return conversation
        if self._address:
            self._sent_away(refusal)
        raise refusal

    def greet(self, conversation: Conversation) -> Reply:
        """Wait for the banner of a connection that is open; whatever its code is."""
        try:
            banner = conversation.greet()
        except Unobservable as error:
            conversation.close()
            if self._greeted:
                self._sent_away(error)
            raise
        if banner.code == 220:
            self._greeted = True
            self.let_in = self.number
        elif self._greeted or 400 <= banner.code < 500:
            self.budget.sent_away(str(banner))
        return banner

    def clear(self, purpose: str) -> Conversation:
        """In clear, banner 220 read; no EHLO said."""
        conversation = self.opened(purpose)
        banner = self.greet(conversation)
        if banner.code != 220:
            conversation.close()
            raise Unobservable("greets with %s" % banner, refusing_side(banner))
        return conversation

    def secure(self, purpose: str, context: t.Optional[ssl.SSLContext] = None, banner: bool = True) -> Conversation:
        """Inside TLS: behind STARTTLS, or behind the handshake of an implicit listener and its banner (220).

        ``context`` is the lenient one by default. ``banner`` False: an implicit listener's banner is not awaited. No
        EHLO is said inside TLS.
        """
        conversation = self.at_hello(purpose)
        try:
            conversation.begin_tls(lenient_context() if context is None else context)
            self.let_in = self.number
            if context is None:
                self.shaken = True
            if self.listener.tls == "implicit" and banner:
                reply = self.greet(conversation)
                if reply.code != 220:
                    raise Unobservable("greets with %s" % reply, refusing_side(reply))
            elif self.listener.tls == "starttls":
                conversation.resume()
        except Unobservable as error:
            if context is None and self.shaken and not isinstance(error, CertificateRefused):
                # The same handshake worked before.
                self._sent_away(error)
            conversation.close()
            raise
        except BaseException:
            conversation.close()
            raise
        return conversation

    def at_hello(self, purpose: str) -> Conversation:
        """Where a ClientHello is the next thing to send: connected, or behind the 220 to STARTTLS.

        Raises :class:`~.reply.Unobservable` for everything that keeps the probe from coming so far, so that it never
        looks like an answer to the ClientHello.
        """
        if self.no_tls is not None:
            raise self.no_tls
        if self.listener.tls == "implicit":
            return self.opened(purpose)
        try:
            conversation = self.clear(purpose)
            try:
                conversation.ehlo(self.listener.client_name)
                reply = conversation.command("STARTTLS")
                if reply.code != 220:
                    raise Unobservable("STARTTLS refused: %s" % reply, refusing_side(reply))
            except BaseException:
                conversation.close()
                raise
        except Unobservable as error:
            # A server that closes before it was offered anything has not refused the offer.
            raise Unobservable(error.reason, SERVER_BUSY if error.side == SERVER_CLOSED else error.side) from None
        # From here on a QUIT in clear would be noise.
        conversation.abandon()
        return conversation

    def offer(
        self,
        version: str,
        ciphers: t.Optional[t.Sequence[str]] = None,
        purpose: t.Optional[str] = None,
        **hello: t.Any,
    ) -> Handshake:
        """Offer one TLS version and some suites by hand (:func:`.tls.exchange`, which names what ``hello`` may be).

        What the server answers to the ClientHello is in the result. Raises :class:`~.reply.Unobservable` when the
        connection did not come so far.
        """
        with self.at_hello(purpose or "%s offered" % version) as conversation:
            handshake = exchange(conversation, version, ciphers, self.listener.server_name, **hello)
        if handshake.version is not None or handshake.side == SERVER_ALERT:
            self.let_in = self.number
        elif handshake.side == SERVER_REPLY and _BUSY_IN_CLEAR in handshake.detail:
            self.budget.sent_away(handshake.detail)
            raise Unobservable(handshake.detail, SERVER_BUSY)
        elif self.listener.tls == "implicit" and self.shaken:
            self._control(handshake)
        return handshake

    def _control(self, handshake: Handshake) -> None:
        """Whether a server that had no word for an offer still has one for the handshake that worked before.

        Behind STARTTLS a banner shows that the probe is let in; a listener with implicit TLS that blocks it looks like
        one that refuses. A server that is known to refuse by closing is asked again when it closed more often than
        there are old versions.
        """
        if self._closes and self.number - self.let_in <= PATIENCE_WITH_CLOSING:
            return
        number = self.number
        try:
            self.secure("what worked before", banner=False).close()
            self._closes = True
        except Unobservable as error:
            if error.side in (BUDGET, LOCAL_LIBRARY):
                return
            words = "%s; what worked before does not work any more: %s" % (handshake.detail, error.reason)
            self.budget.blocked(words)
            raise Unobservable(words, SERVER_BUSY) from None
        finally:
            # What was asked about is the offer.
            self.number = number

    # ---- being turned away

    def _sent_away(self, error: Unobservable) -> None:
        if error.side not in (BUDGET, LOCAL_LIBRARY):
            self.budget.sent_away(error.reason)

    def _resolve(self) -> t.List[str]:
        host = self.listener.host
        try:
            ipaddress.ip_address(host)
            return [host]
        except ValueError:
            return _addresses(host, self.budget.step())


def _addresses(name: str, seconds: float) -> t.List[str]:
    """All addresses of a name. A resolver knows no deadline, so it gets a thread that may be left behind."""
    found: t.List[t.Any] = []

    def ask() -> None:
        try:
            found.append([str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)])
        except (OSError, UnicodeError) as error:
            found.append(getattr(error, "strerror", None) or str(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise Unobservable("no answer about the name %s in %g s" % (name, seconds), NETWORK)
    if isinstance(found[0], str):
        raise Unobservable("no address for %s: %s" % (name, found[0]), NETWORK)
    return list(dict.fromkeys(found[0]))


def _secrets(listener: Listener) -> t.List[str]:
    if listener.credentials is None:
        return []
    found = {listener.credentials.password}
    found.update(Plain(listener.credentials.user, listener.credentials.password).secrets())
    # The longest first: a password may be part of its own encoding.
    return sorted((secret for secret in found if secret), key=len, reverse=True)


def _words(text: str) -> str:
    text = printable(text.encode("utf-8", "backslashreplace"))[1:-1]
    return text if len(text) <= MAX_WORDS else text[: MAX_WORDS - 3] + "..."
