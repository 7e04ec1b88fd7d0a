# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A long text on its way into the queue: it is kept in pieces while it comes, and becomes a message at its end."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from .schema import PIECE
from .writer import StoreError, Writer

if TYPE_CHECKING:
    from .store import Envelope

#: Pages of a piece in the file, what leads to it included.
_PIECE_PAGES = PIECE // 4096 + 4
#: Pieces that are deleted in one commit; others wait for it.
_SWEPT_AT_ONCE = 8

_INTO_PIECE = "INSERT INTO piece (message, number, data) VALUES (?, ?, ?)"


class Spool:
    """The text of the message that will have the id ``message``, until :meth:`finish` or :meth:`drop`.

    Made by :meth:`Store.spool`. One call at a time. ``size``: octets that are kept so far.
    """

    def __init__(
        self, writer: Writer, message: int, long: set[int], announce: Callable[["Envelope"], None]
    ) -> None:
        self._writer = writer
        self._message = message
        self._long = long
        self._announce = announce
        self._count = 0
        self._over = False
        self.size = 0

    async def write(self, data: bytes) -> None:
        """Keep more of the text; it is not safe from a crash yet. Raises :class:`StoreError`; then drop it all."""
        view = memoryview(data)
        for start in range(0, len(view), PIECE):
            self._check()
            if not self._writer.has_room():
                raise StoreError("not stored: what is left of the disk is not for long messages", full=True)
            piece = view[start : start + PIECE]
            values = (self._message, self._count, piece)
            self._count += 1
            await self._writer.change(lambda connection: connection.execute(_INTO_PIECE, values), _PIECE_PAGES)
            self.size += len(piece)

    async def finish(self, envelope: "Envelope", tail: bytes) -> int:
        """Make it a message: what was written and ``tail`` behind it. Returns its id when all of it is durable.

        ``envelope`` has the id that the spool was made for. Raises :class:`StoreError`; then there is no message, and
        what was written is removed.
        """
        self._check()
        if envelope.id != self._message:
            raise ValueError("a spool becomes the message it was made for")
        self._over = True
        whole = replace(envelope, size=self.size + len(tail))

        def apply(connection: sqlite3.Connection) -> None:
            self._long.add(whole.id)
            insert(connection, whole, tail, whole.size)

        try:
            await self._writer.change(apply, then=lambda: self._announce(whole))
        except BaseException:
            # Also when cancelled: it may be a message then, and what is of a message is not swept away.
            sweep(self._writer, self._message, self._long)
            raise
        return envelope.id

    async def drop(self) -> None:
        """Remove what was written; never raises. Does nothing to a message that was finished."""
        if not self._over:
            self._over = True
            if self._count:
                sweep(self._writer, self._message, self._long)

    def _check(self) -> None:
        if self._over:
            raise StoreError("this text is at its end already")


def insert(connection: sqlite3.Connection, envelope: "Envelope", body: bytes, size: int) -> None:
    """Add a message; ``size`` is more than the body when pieces come before it."""
    connection.execute(
        "INSERT INTO message (id, sender, auth_user, peer, helo, tls, eight_bit, received, open_recipients, smtputf8,"
        " size, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            envelope.id, envelope.sender, envelope.auth_user, envelope.peer, envelope.helo, envelope.tls,
            envelope.eight_bit, envelope.received, len(envelope.recipients), envelope.smtputf8, size, body,
        ),
    )  # fmt: skip
    connection.executemany(
        "INSERT INTO recipient (message, number, local_part, domain, is_local, due, address) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                envelope.id, number, recipient.local_part, recipient.domain, recipient.is_local, envelope.received,
                recipient.address,
            )
            for number, recipient in enumerate(envelope.recipients)
        ],
    )  # fmt: skip


def sweep(writer: Writer, message: int, long: set[int]) -> None:
    """Have the pieces of a message that is none removed, a few at a time; those of a message are left alone.

    ``long``: ids of messages that have pieces; the message leaves it with its last piece.
    """

    def step(connection: sqlite3.Connection) -> None:
        if connection.execute("SELECT 1 FROM message WHERE id = ?", (message,)).fetchone():
            return
        found = connection.execute(
            "SELECT id FROM piece WHERE message = ? ORDER BY number LIMIT ?", (message, _SWEPT_AT_ONCE)
        ).fetchall()
        if found:
            connection.executemany("DELETE FROM piece WHERE id = ?", found)
            writer.in_background(step, _PIECE_PAGES)
        else:
            long.discard(message)

    writer.in_background(step, _PIECE_PAGES)


def left_over(connection: sqlite3.Connection) -> tuple[set[int], set[int]]:
    """Ids of messages that have pieces, and ids under which there are pieces and no message."""
    long: set[int] = set()
    lost: set[int] = set()
    last = -1
    while row := connection.execute(
        "SELECT p.message, m.id IS NOT NULL FROM piece p LEFT JOIN message m ON m.id = p.message"
        " WHERE p.message > ? ORDER BY p.message LIMIT 1",
        (last,),
    ).fetchone():
        last = row[0]
        (long if row[1] else lost).add(last)
    return long, lost
