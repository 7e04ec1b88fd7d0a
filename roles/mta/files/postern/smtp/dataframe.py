# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The message text behind DATA: where it ends, and whether it may be taken.

The only line end is CR LF and the only end is CR LF "." CR LF (RFC 5321 sections 2.3.8 and 4.1.1.4). Two servers
that disagree about that let a sender hide a second message in the first, so text with a bare CR or LF or with a NUL is
read to its true end and refused.
"""

from __future__ import annotations

import re

_END = b"\r\n.\r\n"
_RECEIVED = re.compile(rb"^received:", re.IGNORECASE | re.MULTILINE)

#: Octets of one line without CR LF. RFC 5321 asks for 998; mail of the real world has longer ones.
MAX_LINE = 65_536


class DataFrame:
    """Collects one message text. ``limit``: octets of the text that are kept; more is read and dropped.

    ``hard_limit``: octets read in all before :attr:`overrun` says that the peer does not stop.
    """

    def __init__(self, limit: int, hard_limit: int) -> None:
        # The CR LF of the DATA line itself opens the text, so that a lone "." line ends an empty message.
        self._buffer = bytearray(b"\r\n")
        self._limit = limit
        self._hard_limit = hard_limit
        self._read = 0
        self._scanned = 0
        self._lone = 0
        self._nul = False
        self.too_big = False

    @property
    def overrun(self) -> bool:
        """The peer sent more than the hard limit without an end."""
        return self._read > self._hard_limit

    def feed(self, data: bytes | bytearray) -> bytes | None:
        """Take bytes from the peer. None: the text goes on. Bytes: it ended, and these stood behind its end."""
        self._buffer += data
        self._read += len(data)
        end = self._buffer.find(_END, self._scanned)
        if end < 0:
            self._scanned = max(0, len(self._buffer) - len(_END) + 1)
            if len(self._buffer) > self._limit + len(_END):
                self.too_big = True
                self._drop(len(self._buffer) - len(_END))
            return None
        rest = bytes(self._buffer[end + len(_END) :])
        del self._buffer[end + 2 :]
        if len(self._buffer) - 2 > self._limit:
            self.too_big = True
        return rest

    def _drop(self, amount: int) -> None:
        """Forget the first octets of a text that is too big, but not what they say about its framing."""
        if self._buffer[amount - 1] == 0x0D:
            amount -= 1
        gone = self._buffer[:amount]
        self._judge(gone)
        del self._buffer[:amount]
        self._scanned = max(0, self._scanned - amount)

    def _judge(self, text: bytes | bytearray) -> None:
        # Three counts at C speed: every CR and every LF must belong to a pair.
        pairs = text.count(b"\r\n")
        self._lone += text.count(b"\r") + text.count(b"\n") - 2 * pairs
        self._nul = self._nul or b"\0" in text

    def is_clean(self) -> bool:
        """Whether the whole text had no bare CR, bare LF or NUL. Asked once, after its end."""
        self._judge(self._buffer)
        return not self._lone and not self._nul

    def has_long_line(self) -> bool:
        """Whether a line exceeds :data:`MAX_LINE`."""
        position = 0
        while position + MAX_LINE + 2 < len(self._buffer):
            found = self._buffer.rfind(b"\n", position, position + MAX_LINE + 2)
            if found < 0:
                return True
            position = found + 1
        return False

    def text(self) -> bytes:
        """The message text, dots unstuffed (RFC 5321 section 4.5.2: the first dot of any line goes)."""
        return bytes(self._buffer.replace(b"\r\n.", b"\r\n"))[2:]


def received_headers(text: bytes) -> int:
    """How many Received lines the header has (RFC 5321 section 6.3: the measure of a loop)."""
    end = text.find(b"\r\n\r\n")
    return len(_RECEIVED.findall(text[: end if end >= 0 else len(text)]))
