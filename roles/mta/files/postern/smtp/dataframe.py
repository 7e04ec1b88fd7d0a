# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The message text behind DATA: where it ends, and whether it may be taken.

The only line end is CR LF and the only end is CR LF "." CR LF (RFC 5321 sections 2.3.8 and 4.1.1.4). Two servers
that disagree about that let a sender hide a second message in the first, so text with a bare CR or LF or with a NUL is
read to its true end and refused.

A text leaves in pieces, so that a large one is never whole in memory. Where it is cut depends on its octets alone, not
on how they arrived.
"""

from __future__ import annotations

import re

_END = b"\r\n.\r\n"
_CR, _LF = b"\r\n"
_RECEIVED = re.compile(rb"^received:", re.IGNORECASE | re.MULTILINE)
#: A line that is no header field and no part of one (RFC 5322 section 2.2).
_NO_FIELD = re.compile(rb"(?:\A|\r\n)(?![ \t]|[!-9;-~]+[ \t]*:)[^\r\n]*\r\n")

#: Octets of a text that are kept in memory; what is longer leaves in pieces of this size.
PIECE = 256 * 1024
#: Octets of one line without CR LF. RFC 5321 asks for 998; mail of the real world has longer ones.
MAX_LINE = 65_536


class DataFrame:
    """Takes one message text off the front of ``buffer``, which somebody else fills.

    ``limit``: octets that the text may have, as RFC 1870 section 5 counts them: with CR LF, without stuffed dots.
    ``hard_limit``: octets on the wire after which :attr:`overrun` says that the peer does not stop.
    ``piece``: octets on the wire of one piece.

    ``ended``: the last piece was taken. ``size``: octets so far. ``clean``: no bare CR, bare LF or NUL so far.
    """

    def __init__(self, buffer: bytearray, limit: int, hard_limit: int, piece: int = PIECE) -> None:
        # The CR LF of the DATA line itself opens the text, so that a lone "." line ends an empty message.
        buffer[:0] = b"\r\n"
        self._buffer = buffer
        self._limit = limit
        self._left = hard_limit + 2
        self._piece = max(piece, len(_END))
        self._scanned = 0
        self._open_line = 0
        self.pieces = 0
        self.size = 0
        self.clean = True
        self.ended = False
        self.overrun = False
        self.has_long_line = False

    @property
    def too_big(self) -> bool:
        """More octets came than the text may have."""
        return self.size > self._limit

    def take(self) -> bytes | None:
        """The next piece of the text, dots unstuffed; None when more octets are needed."""
        buffer = self._buffer
        bound = min(self._piece, self._left)
        end = buffer.find(_END, self._scanned, bound + len(_END))
        if end >= 0:
            self.ended = True
            cut, gone = end + 2, end + len(_END)
        elif len(buffer) < bound + len(_END):
            self._scanned = max(0, len(buffer) - len(_END) + 1)
            return None
        elif bound == self._left:
            self.overrun = True
            return b""
        else:
            # No cut behind a CR or within a stuffed dot's CR LF ".": what belongs together stays together.
            cut = bound
            if buffer[cut - 1] == _LF and buffer[cut - 2] == _CR:
                cut -= 2
            elif buffer[cut - 1] == _CR:
                cut -= 1
            gone = cut
        first = not self.pieces
        with memoryview(buffer) as view, view[2 if first else 0 : cut] as part:
            raw = bytes(part)
        del buffer[:gone]
        self._left -= gone
        self._scanned = 0
        self.pieces += 1
        return self._judged(raw, first)

    def _judged(self, raw: bytes, first: bool) -> bytes:
        # At C speed: every CR and every LF must belong to a pair, so that what is left without them is shorter by the
        # pairs alone.
        if len(raw) - 2 * raw.count(b"\r\n") != len(raw.translate(None, b"\r\n\0")):
            self.clean = False
        # RFC 5321 section 4.5.2: the first dot of any line goes.
        text = raw.replace(b"\r\n.", b"\r\n")
        if first and text.startswith(b"."):
            text = text[1:]
        self.size += len(text)
        if self._open_line + len(text) > MAX_LINE:
            self._look_for_long_line(text)
        last = text.rfind(b"\n")
        self._open_line = len(text) - last - 1 if last >= 0 else self._open_line + len(text)
        return text

    def _look_for_long_line(self, text: bytes) -> None:
        begun = -self._open_line
        while (stop := begun + MAX_LINE + 2) < len(text):
            found = text.rfind(b"\n", max(0, begun), max(0, stop))
            if found < 0:
                self.has_long_line = True
                return
            begun = found + 1


def received_headers(text: bytes) -> int:
    """How many Received lines the header has (RFC 5321 section 6.3: the measure of a loop)."""
    end = 0 if text.startswith(b"\r\n") else text.find(b"\r\n\r\n")
    return len(_RECEIVED.findall(text, 0, end if end >= 0 else len(text)))


def header_ends(text: bytes) -> bool:
    """Whether the header section ends in the beginning of a text: by an empty line, or by one that is no field."""
    return b"\r\n\r\n" in text or _NO_FIELD.search(text) is not None
