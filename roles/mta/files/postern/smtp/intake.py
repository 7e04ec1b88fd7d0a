# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One message text between the 354 and the reply to its end: what of it is kept, and whether it is taken.

A short text is stored whole when it ends. A long one is spilled piece by piece, so that it is never whole in memory;
what was spilled of a message that is refused is discarded. Whatever was found wrong on the way, the text is read to its
true end (RFC 5321 section 4.1.1.4: the reply comes after the end of data).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..queue.store import Envelope
from .dataframe import DataFrame, header_ends, received_headers
from .received import received_header
from .reply import LOCAL_ERROR, NO_ROOM, SMUGGLED, THROWN_AWAY, Reply
from .state import Discard, Spill, StoreMessage, Transaction

if TYPE_CHECKING:
    from .session import Session

#: A text that goes on to this many times its limit is not read any further.
_OVERRUN = 2


class Intake:
    """Takes the text of a transaction off the front of ``buffer``.

    ``envelope`` is there once something of the message is stored, ``refused`` once it is known that it is not taken.
    """

    def __init__(self, session: "Session", transaction: Transaction, buffer: bytearray) -> None:
        self._session = session
        self._transaction = transaction
        self._limit = transaction.variables.max_data()
        self._frame = DataFrame(buffer, self._limit, _OVERRUN * self._limit, session.site.piece)
        self._spilled = False
        self._header = 0
        self.envelope: Envelope | None = None
        self.refused: Reply | None = None

    def advance(self) -> Spill | Discard | StoreMessage | Reply | None:
        """What to do next: an action, the reply that ends the text, or None when more octets are needed."""
        frame = self._frame
        while True:
            text = frame.take()
            if text is None:
                return None
            if frame.overrun:
                self._session.tally.reason = "message too big"
                self.log("refused", code=552, reason="overrun")
                return replace(self._too_big(), close=True)
            self.refused = self.refused or self._judge(text)
            if frame.ended:
                return self._end(text)
            if self.refused is None:
                data = text if self._spilled else self._begin(text)
                self._spilled = True
                return Spill(self.envelope.id, data)
            if self._spilled:
                return self._discard()

    def not_spilled(self, full: bool) -> None:
        """A piece could not be kept, and none is any more. The reply comes when the text has ended."""
        self._spilled = False
        self.refused = NO_ROOM if full else LOCAL_ERROR

    @property
    def ended(self) -> bool:
        """Whether the text has come to its end."""
        return self._frame.ended

    def log(self, result: str, **fields: Any) -> None:
        """The log line about the message."""
        session, transaction = self._session, self._transaction
        session.site.log(
            "smtp.message",
            result=result,
            sender=str(transaction.sender),
            recipients=len(transaction.recipients),
            peer=session.ends.peer,
            user=session.user,
            tls=str(session.tls or ""),
            **fields,
        )

    def _judge(self, text: bytes) -> Reply | None:
        """What is wrong with the message as far as it came; ``text`` is the latest piece."""
        frame = self._frame
        if frame.too_big:
            return self._too_big()
        if frame.has_long_line:
            return Reply(550, "5.6.0", "a line of the message is too long")
        if frame.pieces == 1:
            if received_headers(text) >= self._transaction.variables.max_received():
                # RFC 5321 section 6.3, RFC 3463 section 3.5: X.4.6.
                return Reply(554, "5.4.6", "too many Received headers: the message is in a loop")
            if not frame.ended and not header_ends(text):
                return Reply(552, "5.3.4", "the header of the message is too big")
        return None

    def _end(self, text: bytes) -> StoreMessage | Discard | Reply:
        if not self._frame.clean:
            self._session.tally.reason = "bare CR, LF or NUL"
            self.refused = SMUGGLED
        if self.refused is None:
            self.refused = self._session.run_rules("onDataReceived", self._transaction.variables)
        if self.refused is not None:
            self.log("refused", code=self.refused.code, reason=self.refused.text)
            return self._discard() if self._spilled and not self.refused.close else self.refused
        if not self._transaction.recipients:
            self.refused = THROWN_AWAY
            self.log("thrown away")
            return self._discard() if self._spilled else self.refused
        if not self._spilled:
            data = self._begin(text)
            return StoreMessage(self.envelope, data)
        # What is stored is the text, and the header that was put before it.
        self.envelope = replace(self.envelope, size=self._header + self._frame.size)
        return StoreMessage(self.envelope, text, True)

    def _begin(self, text: bytes) -> bytes:
        """Make the envelope, and put the trace (RFC 5321 section 4.4) before the text or its first piece."""
        session, transaction = self._session, self._transaction
        message, now = session.site.new_id(), session.site.clock()
        header = received_header(session, transaction, message, now)
        self._header = len(header)
        self.envelope = Envelope(
            id=message,
            sender=str(transaction.sender),
            recipients=tuple(transaction.recipients),
            auth_user=session.user,
            peer=session.ends.peer,
            helo=session.hello,
            tls=str(session.tls or ""),
            eight_bit=transaction.eight_bit,
            received=now,
            smtputf8=transaction.smtputf8,
            size=len(header) + len(text),
        )
        return header + text

    def _discard(self) -> Discard:
        self._spilled = False
        return Discard(self.envelope.id)

    def _too_big(self) -> Reply:
        # RFC 1870 section 6.3.
        return Reply(552, "5.3.4", f"message too big, the limit is {self._limit} octets")
