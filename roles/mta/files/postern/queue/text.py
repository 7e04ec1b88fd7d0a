# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The text of a message in the queue, read a piece at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .schema import PIECE
from .writer import StoreError

Read = Callable[..., list[tuple]]


class Text:
    """The text of ``message``: ``size`` octets, of which the last ``rest`` are in its row and the others in pieces.

    Made by :meth:`Store.text`. Everything blocks while it reads, holds nothing open in between, and raises
    :class:`StoreError` when the queue cannot be read or the message is gone.
    """

    def __init__(self, read: Read, read_part: Callable[[int, int, int], bytes], message: int, size: int, rest: int):
        self._read = read
        self._read_part = read_part
        self._message = message
        self._rest = rest
        self.size = size

    def __iter__(self) -> Iterator[bytes]:
        """The text in pieces of at most ``PIECE`` octets, none of them empty."""
        done = number = 0
        while done < self.size - self._rest:
            piece = self._one("SELECT data FROM piece WHERE message = ? AND number = ?", self._message, number)
            number += 1
            done += len(piece)
            yield piece
        if self._rest > PIECE:
            # Older versions kept a text of any length in the row of its message.
            yield from self._row()
        elif self._rest:
            yield self._one("SELECT body FROM message WHERE id = ?", self._message)

    def head(self, octets: int) -> bytes:
        """The first octets of the text, all of it when it is shorter."""
        found: list[bytes] = []
        for piece in self:
            found.append(piece[:octets])
            octets -= len(piece)
            if octets <= 0:
                break
        return b"".join(found)

    def whole(self) -> bytes:
        """All of it at once: for messages that are known to be short."""
        return b"".join(self)

    def _row(self) -> Iterator[bytes]:
        try:
            first = self._read_part(self._message, 0, PIECE)
        except OverflowError:
            # Python 3.11.2 (Debian 12) opens no row whose number has more than 31 bits.
            whole = self._one("SELECT body FROM message WHERE id = ?", self._message)
            yield from (whole[start : start + PIECE] for start in range(0, self._rest, PIECE))
            return
        yield first
        for start in range(PIECE, self._rest, PIECE):
            yield self._read_part(self._message, start, PIECE)

    def _one(self, query: str, *values: object) -> bytes:
        rows = self._read(query, *values)
        if not rows:
            raise StoreError("the message is not in the queue any more")
        return bytes(rows[0][0], "utf-8") if isinstance(rows[0][0], str) else rows[0][0]
