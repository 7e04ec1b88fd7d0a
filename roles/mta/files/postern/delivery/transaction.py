# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""MAIL, RCPT, DATA: one message over a connection that is ready for it, and what became of each recipient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing

from .content import Content
from .outcome import DEFERRED, FAILED, SENT, Limits, Outcome, clean, from_reply, same_for
from .path import NoAddress, parse
from .wire import BLOCK, ConnectionFailed, Wire


class Transaction:
    """One message and its recipients; addresses are as they stand between ``<`` and ``>``."""

    def __init__(
        self,
        sender: str,
        recipients: Sequence[str],
        content: Content,
        eight_bit: bool,
        smtputf8: bool,
        limits: Limits,
    ) -> None:
        #: What is decided, by recipient. What no command may carry is decided before the first.
        self.outcomes: dict[str, Outcome] = {}
        #: Behind :meth:`send`: whether the next message may follow at once (True), after RSET (False), or not (None).
        self.clean: bool | None = True
        self._content = content
        self._declared_eight_bit = eight_bit
        #: Header fields in UTF-8 (RFC 6532). Octets that nobody declared are 8-bit text and no more.
        self._utf8_header = smtputf8 and content.eight_bit_header
        self._limits = limits
        self._paths: dict[str, bytes] = {}
        self._sender = b""
        sender_path = _path(sender, sender=True)
        if content.nul:
            # RFC 2045 sections 2.7 and 2.8: a NUL is in no 7-bit and in no 8-bit text. No receiver has to take one, and
            # those that drop it make CR LF NUL . CR LF the end of the message.
            sender_path = Outcome(FAILED, "5.6.0", "the message has a NUL, which no mail may have")
        if isinstance(sender_path, Outcome):
            self.outcomes = same_for(recipients, sender_path)
            return
        self._sender = sender_path
        for recipient in recipients:
            path = _path(recipient, sender=False)
            if isinstance(path, Outcome):
                self.outcomes[recipient] = path
            else:
                self._paths[recipient] = path

    @property
    def nobody_left(self) -> bool:
        """Whether all recipients are decided."""
        return not self._paths

    @property
    def sent(self) -> bool:
        """Whether the peer took the message."""
        return any(outcome.kind == SENT for outcome in self.outcomes.values())

    async def send(self, wire: Wire, extensions: Mapping[str, str], kept: bool = False) -> dict[str, Outcome]:
        """Go through the transaction; ``extensions`` are the peer's EHLO keywords (lower case) with their parameters.

        Raises :class:`ConnectionFailed` when the connection ends before everything is decided and nothing was refused
        for good by then. ``kept``: the connection had a message before; then it is raised also when something was
        refused, because nobody knows whether the peer still meant it, and a new connection will tell.
        """
        decided = dict(self.outcomes)
        self.clean = True
        impossible = self._impossible(extensions)
        if impossible is not None:
            self.outcomes = decided | same_for(self._paths, impossible)
            return self.outcomes
        paths = self._paths
        if "smtputf8" not in extensions:
            # RFC 6531 section 3.2: the others get their mail; it needs nothing that this host does not offer.
            decided |= {recipient: _no_utf8("address") for recipient, path in paths.items() if not path.isascii()}
            paths = {recipient: path for recipient, path in paths.items() if path.isascii()}
        try:
            if paths:
                self.clean = False
                await self._send(wire, extensions, paths, decided)
        except ConnectionFailed as error:
            self.clean = None
            left = [recipient for recipient in paths if recipient not in decided]
            # What was refused for good stays so, or a peer that always fails later would keep it in the queue.
            if left and (kept or not any(outcome.kind == FAILED for outcome in decided.values())):
                raise
            decided = same_for(paths, Outcome(DEFERRED, error.status, str(error))) | decided
        self.outcomes = decided
        return decided

    async def _send(
        self, wire: Wire, extensions: Mapping[str, str], paths: Mapping[str, bytes], decided: dict[str, Outcome]
    ) -> None:
        limits = self._limits
        mail = b" ".join((b"MAIL", *self._mail(extensions, paths)))
        asked = [(recipient, b"RCPT TO:" + path) for recipient, path in paths.items()]
        # RFC 2920 section 3.1: DATA may be the last of a group. All replies are taken, whatever the first ones say.
        together = "pipelining" in extensions
        if together:
            wire.say((mail, *(line for _recipient, line in asked), b"DATA"))

        async def step(verb: str, line: bytes, limit: float) -> tuple[int, str]:
            if not together:
                wire.say((line,), f"reply to {verb}")
            return _not_421(verb, await wire.hear(f"reply to {verb}", limit))

        code, text = await step("MAIL", mail, limits.mail)
        has_sender = code // 100 == 2
        if not has_sender:
            decided.update(same_for(paths, from_reply(code, text)))
            if not together:
                return
        accepted = []
        for recipient, line in asked:
            code, text = await step("RCPT", line, limits.rcpt)
            if not has_sender:
                # What a peer says of a recipient without a sender means nothing.
                continue
            if code // 100 == 2:
                accepted.append(recipient)
            else:
                decided[recipient] = from_reply(code, text)
        if not accepted and not together:
            return
        code, text = await step("DATA", b"DATA", limits.data)
        if not accepted:
            if code == 354:
                # RFC 2920 section 3.1: a peer may take DATA although there is nobody to get it. It gets an empty
                # message, and whatever it says of that, nobody's mail was in it.
                wire.say((b".",), "reply to the final dot")
                _not_421("the final dot", await wire.hear("reply to the final dot", limits.final))
            return
        if code != 354:
            # A 2xx here is no go-ahead (RFC 5321 section 4.1.1.4), and nothing was sent that it could be about.
            decided.update(same_for(accepted, from_reply(code if code >= 400 else 300, text)))
            return
        try:
            short = self._content.whole(BLOCK)
            if short is not None:
                code, text = await wire.whole(short, limits.block, limits.final)
            else:
                async with aclosing(self._content.pieces()) as pieces:
                    code, text = await wire.message(pieces, limits.block, limits.final)
        except ConnectionFailed as error:
            self.clean = None
            if not error.dot_sent:
                raise
            # RFC 5321 section 4.1.1.4: without the reply the message is still ours. It may arrive twice, never not at
            # all; but not by way of the next host at once.
            outcome = Outcome(DEFERRED, error.status, f"{error}; the peer may have taken the message")
        else:
            # Behind a reply to the dot there is no transaction (RFC 5321 section 4.1.1.4); behind 421 no connection.
            self.clean = None if code == 421 else True
            outcome = from_reply(code, text)
        decided.update(same_for(accepted, outcome))

    def _impossible(self, extensions: Mapping[str, str]) -> Outcome | None:
        """Why the peer can never take this message for anybody, from what it offers."""
        content = self._content
        if "smtputf8" not in extensions and (self._utf8_header or not self._sender.isascii()):
            # RFC 6531 section 3.2: not to a host that does not offer SMTPUTF8; nothing is converted here.
            return _no_utf8("header" if self._utf8_header else "sender")
        if content.eight_bit and "8bitmime" not in extensions:
            # RFC 6152 section 3: no 8-bit text to a peer that does not offer it; it is not converted here.
            return Outcome(FAILED, "5.6.3", "the message has 8-bit text, and the next host does not offer 8BITMIME")
        most = extensions.get("size", "").strip()
        # RFC 1870 section 4: no number or 0 means no fixed limit.
        if most.isascii() and most.isdigit() and len(most) <= 20 and 0 < int(most) < content.size:
            text = f"the message has {content.size} octets, and the next host takes {most}"
            return Outcome(FAILED, "5.3.4", text)
        return None

    def _mail(self, extensions: Mapping[str, str], paths: Mapping[str, bytes]) -> list[bytes]:
        words = [b"FROM:" + self._sender]
        if "size" in extensions:
            words.append(b"SIZE=%d" % self._content.size)
        if "8bitmime" in extensions and (self._content.eight_bit or self._declared_eight_bit):
            words.append(b"BODY=8BITMIME")
        # Only where it is needed (RFC 6531 section 3.4): without it the message may go to hosts behind this one that do
        # not know it. It is offered here, or what needs it would have been refused before.
        if self._utf8_header or not all(path.isascii() for path in (self._sender, *paths.values())):
            words.append(b"SMTPUTF8")
        return words


def _path(address: str, sender: bool) -> bytes | Outcome:
    """An address for MAIL or RCPT with its brackets; the failure when no command may carry it."""
    try:
        return f"<{parse(address, sender)}>".encode("utf-8")
    except NoAddress as error:
        # RFC 3463 section 3.2: bad sender syntax, bad recipient syntax.
        return Outcome(FAILED, "5.1.7" if sender else "5.1.3", f"{'sender' if sender else 'recipient'}: {error}")


def _no_utf8(what: str) -> Outcome:
    return Outcome(FAILED, "5.6.7", f"the {what} is not ASCII, and the next host does not offer SMTPUTF8")


def _not_421(verb: str, reply: tuple[int, str]) -> tuple[int, str]:
    code, text = reply
    if code == 421:
        # RFC 5321 section 3.8: the peer is about to close; nothing was accepted, and another host may be there.
        raise ConnectionFailed(f"the peer ended the conversation at {verb}: {code} {clean(text)}", "4.3.2")
    return reply
