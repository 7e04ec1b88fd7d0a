# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A message as it goes over the wire: in pieces, with the right line ends and with every leading dot doubled.

Whatever the queue holds, no lone CR or LF leaves this server, because some receivers take one for the end of a line
and with it a dot for the end of the message (RFC 5321 section 2.3.8). Each of them becomes CR LF. A message with NUL is
marked: it goes nowhere, because there are receivers that drop a NUL, and what stood around it then meets.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

#: Octets of a text that are kept between the look at it and its way out, so that most messages are read once.
KEPT = 256 * 1024

_LINE_END = re.compile(rb"\r\n|\r|\n")


class LineEnds:
    """Makes every line end a CR LF. Pieces go in, pieces come out; a piece may begin and end anywhere."""

    def __init__(self) -> None:
        self._held = b""
        self._complete = False

    def feed(self, piece: bytes) -> bytes:
        """What can go out now; it never ends with a CR, whose LF may be in the next piece."""
        data = self._held + piece if self._held else piece
        self._held = b""
        if data.endswith(b"\r"):
            data, self._held = data[:-1], b"\r"
        # Counting is many times faster than looking at each line end.
        if not data.count(b"\n") == data.count(b"\r") == data.count(b"\r\n"):
            data = _LINE_END.sub(b"\r\n", data)
        if data:
            self._complete = data.endswith(b"\r\n")
        return data

    def end(self) -> bytes:
        """The rest: the last line gets an end when it has none, as has a message without any line."""
        return b"" if self._complete and not self._held else b"\r\n"


class Dots:
    """Doubles a dot at the beginning of a line (RFC 5321 section 4.5.2) of pieces that come from :class:`LineEnds`."""

    def __init__(self) -> None:
        self._at_start = True

    def feed(self, piece: bytes) -> bytes:
        """The piece with its dots doubled."""
        if not piece:
            return b""
        data = piece.replace(b"\r\n.", b"\r\n..")
        if self._at_start and data.startswith(b"."):
            data = b"." + data
        # A piece ends with a whole CR LF or within a line, never between the two.
        self._at_start = data.endswith(b"\r\n")
        return data


class _Header:
    """Looks for octets above 127 in the header of a message, whose text comes from :class:`LineEnds`."""

    def __init__(self) -> None:
        self.eight_bit = False
        self._open = True
        self._last = b"\r\n"

    def feed(self, data: bytes) -> None:
        if not self._open or not data:
            return
        seen = self._last + data
        end = seen.find(b"\r\n\r\n")
        if end >= 0:
            self._open = False
            seen = seen[:end]
        self._last = seen[-3:]
        self.eight_bit = self.eight_bit or not seen.isascii()


@dataclass(frozen=True)
class Content:
    """A message on its way to another host.

    ``text`` yields its pieces as often as it is asked; a tuple of pieces is fit for the wire as it is. ``size``: octets on the wire, before dots are doubled.
    ``eight_bit``: it has octets above 127, ``eight_bit_header``: in its header. ``nul``: it has a NUL.
    """

    text: Iterable[bytes]
    size: int
    eight_bit: bool
    eight_bit_header: bool
    nul: bool

    @classmethod
    def of(cls, text: Iterable[bytes]) -> "Content":
        """Look through a text; blocks while it is read."""
        ends, header = LineEnds(), _Header()
        kept: list[bytes] | None = []
        size = held = 0
        eight_bit = nul = False
        for piece in text:
            held += len(piece)
            eight_bit = eight_bit or not piece.isascii()
            nul = nul or b"\0" in piece
            data = ends.feed(piece)
            if kept is not None:
                kept.append(data)
                if held > KEPT:
                    kept = None
            header.feed(data)
            size += len(data)
        last = ends.end()
        size += len(last)
        if kept is not None:
            kept.append(last)
        return cls(text if kept is None else tuple(kept), size, eight_bit, header.eight_bit, nul)

    def whole(self, most: int) -> bytes | None:
        """All of the text with the right line ends, when it was kept and has at most so many octets."""
        return b"".join(self.text) if self.size <= most and isinstance(self.text, tuple) else None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The text with the right line ends; one piece is in memory at a time."""
        if isinstance(self.text, tuple):
            for piece in self.text:
                yield piece
            return
        ends = LineEnds()
        source = iter(self.text)
        while (piece := await asyncio.to_thread(next, source, None)) is not None:
            yield ends.feed(piece)
        yield ends.end()
