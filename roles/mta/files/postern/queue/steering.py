# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator does to mail that waits: hold it, release it, have it tried now, delete it.

All of it is done to the queue file, by the server and beside it in the same way, some hundred recipients in one
transaction: a server that accepts mail meanwhile is held up for a moment at a time, and whoever is stopped in the middle
has done all to some messages and nothing to the others. An attempt that is under way comes to its end first: what it
delivered is delivered, and mail that was deleted meanwhile does not come back.

Whoever changed the file tells the server that runs (SIGHUP, :meth:`Service.queue_changed`).
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, contextmanager
from dataclasses import dataclass

from .schema import HELD
from .selection import Selection, Unreadable, opened

#: Recipients in one transaction; pieces of long texts in one.
_PAGE, _PIECES = 500, 16
#: Seconds to wait for whoever is writing.
_PATIENCE = 30.0


@dataclass(frozen=True)
class Done:
    """How many messages, and how many recipients of them."""

    messages: int
    recipients: int


_Rows = list[tuple[int, int]]
_Change = Callable[[sqlite3.Connection, _Rows], None]


def hold(path: str, selection: Selection) -> Done:
    """Have mail wait until it is released. Raises :class:`Unreadable`, as all of these."""
    query = f"UPDATE recipient SET is_local = is_local + {HELD} WHERE message = ? AND number = ?"
    return _changed(path, selection, f"r.is_local < {HELD}", lambda file, rows: file.executemany(query, rows))


def release(path: str, selection: Selection) -> Done:
    """Let mail that was held go on; it is due when it would have been."""
    query = f"UPDATE recipient SET is_local = is_local - {HELD} WHERE message = ? AND number = ?"
    return _changed(path, selection, f"r.is_local >= {HELD}", lambda file, rows: file.executemany(query, rows))


def retry(path: str, selection: Selection) -> Done:
    """Make mail for other hosts due now. What is held stays held."""
    now = time.time()
    query = "UPDATE recipient SET due = ? WHERE message = ? AND number = ?"

    def change(file: sqlite3.Connection, rows: _Rows) -> None:
        file.executemany(query, [(now, *row) for row in rows])

    return _changed(path, selection, "r.is_local = 0", change)


def delete(path: str, selection: Selection) -> Done:
    """Take mail off the queue for good; nobody is told."""
    gone: list[int] = []

    def change(file: sqlite3.Connection, rows: _Rows) -> None:
        for message, number in rows:
            file.execute("DELETE FROM recipient WHERE message = ? AND number = ?", (message, number))
            file.execute("UPDATE message SET open_recipients = open_recipients - 1 WHERE id = ?", (message,))
        for message in {message for message, _number in rows}:
            if file.execute("DELETE FROM message WHERE id = ? AND open_recipients <= 0", (message,)).rowcount:
                gone.append(message)

    done = _changed(path, selection, "1", change)
    if gone:
        _sweep(path, gone)
    return done


def _changed(path: str, selection: Selection, besides: str, change: _Change) -> Done:
    """Make a change to what is selected and meets one more condition, page after page."""
    if not os.path.exists(path):
        return Done(0, 0)
    where, values = selection.where()
    query = (
        "SELECT r.message, r.number FROM recipient r JOIN message m ON m.id = r.message"
        f" WHERE (r.message, r.number) > (?, ?) AND {where} AND {besides} ORDER BY r.message, r.number LIMIT {_PAGE}"
    )
    messages = recipients = 0
    last = (-1, -1)
    with _writing(path) as file:
        while True:
            file.execute("BEGIN IMMEDIATE")
            try:
                rows = file.execute(query, (*last, *values)).fetchall()
                change(file, rows)
            except BaseException:
                file.execute("ROLLBACK")
                raise
            file.execute("COMMIT")
            messages += len({message for message, _number in rows} - {last[0]})
            recipients += len(rows)
            if len(rows) < _PAGE:
                return Done(messages, recipients)
            last = rows[-1]


def _sweep(path: str, messages: list[int]) -> None:
    """Remove the pieces of long texts. What is left of them when this is stopped goes at the server's next start."""
    query = f"DELETE FROM piece WHERE id IN (SELECT id FROM piece WHERE message = ? ORDER BY number LIMIT {_PIECES})"
    with _writing(path) as file:
        for message in messages:
            while file.execute(query, (message,)).rowcount:
                continue


@contextmanager
def _writing(path: str):
    try:
        with closing(opened(path, "rw", _PATIENCE)) as file:
            # As the server's own connections: durable, and no zeros over what is deleted.
            file.execute("PRAGMA synchronous=FULL")
            file.execute("PRAGMA secure_delete=FAST").fetchall()
            yield file
    except sqlite3.Error as error:
        raise Unreadable(f"the queue {path} cannot be changed: {error}") from None
