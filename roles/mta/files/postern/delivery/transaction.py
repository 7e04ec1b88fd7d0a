# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""MAIL, RCPT, DATA: one message over a connection that is ready for it, and what became of each recipient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing

from .content import Content
from .outcome import DEFERRED, FAILED, SENT, Limits, Outcome, clean, from_reply, same_for
from .path import NoAddress, parse
from .wire import ConnectionFailed, Wire


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

    async def send(self, wire: Wire, extensions: Mapping[str, str]) -> dict[str, Outcome]:
        """Go through the transaction; ``extensions`` are the peer's EHLO keywords (lower case) with their parameters.

        Raises :class:`ConnectionFailed` when the connection ends and nothing is decided for good by then.
        """
        decided = dict(self.outcomes)
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
                await self._send(wire, extensions, paths, decided)
        except ConnectionFailed as error:
            # What was refused for good stays so, or a peer that always fails later would keep it in the queue.
            if not any(outcome.kind == FAILED for outcome in decided.values()):
                raise
            decided = same_for(paths, Outcome(DEFERRED, error.status, str(error))) | decided
        self.outcomes = decided
        return decided

    async def _send(
        self, wire: Wire, extensions: Mapping[str, str], paths: Mapping[str, bytes], decided: dict[str, Outcome]
    ) -> None:
        mail = self._mail(extensions, paths)
        code, text = _not_421("MAIL", await wire.command("MAIL", *mail, limit=self._limits.mail))
        if code // 100 != 2:
            decided.update(same_for(paths, from_reply(code, text)))
            return
        accepted = []
        for recipient, path in paths.items():
            reply = await wire.command("RCPT", b"TO:" + path, limit=self._limits.rcpt)
            code, text = _not_421("RCPT", reply)
            if code // 100 == 2:
                accepted.append(recipient)
            else:
                decided[recipient] = from_reply(code, text)
        if not accepted:
            return
        code, text = _not_421("DATA", await wire.command("DATA", limit=self._limits.data))
        if code != 354:
            # A 2xx here is no go-ahead (RFC 5321 section 4.1.1.4), and nothing was sent that it could be about.
            decided.update(same_for(accepted, from_reply(code if code >= 400 else 300, text)))
            return
        try:
            async with aclosing(self._content.pieces()) as pieces:
                code, text = await wire.message(pieces, self._limits.block, self._limits.final)
        except ConnectionFailed as error:
            if not error.dot_sent:
                raise
            # RFC 5321 section 4.1.1.4: without the reply the message is still ours. It may arrive twice, never not at
            # all; but not by way of the next host at once.
            outcome = Outcome(DEFERRED, error.status, f"{error}; the peer may have taken the message")
        else:
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
