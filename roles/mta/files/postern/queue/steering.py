# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator does to mail that waits: hold it, release it, have it tried now, delete it.

All of it is done to the queue file, by the server and beside it in the same way, some hundred recipients in one
transaction, and what is to be changed is looked for outside of it: a server that accepts mail meanwhile is held up for
a moment at a time. Whoever is stopped in the middle has done all to some messages and nothing to the others. An attempt
that is under way comes to its end first: what it delivered is delivered, and mail that was deleted does not come back.

Whoever changed the file tells the server that runs (SIGHUP, :meth:`Service.queue_changed`).
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby

from .schema import HELD
from .selection import Selection, Unreadable, opened
from .spool import insert
from .store import Envelope

#: Recipients in one transaction, all of a message besides; where senders are told; pieces of long texts in one.
_PAGE, _TOLD_PAGE, _PIECES = 500, 50, 16
#: Octets of a text that a notification is made from.
_HEAD = 33 * 1024
#: What can be held, released, tried. The plus keeps SQLite from collecting all of it over the index, for each page anew.
_FREE, _HELD, _SENT = f"+r.is_local < {HELD}", f"+r.is_local >= {HELD}", "+r.is_local = 0"
#: Seconds to wait for whoever is writing.
_PATIENCE = 30.0


@dataclass(frozen=True)
class Done:
    """How many messages, and how many recipients of them."""

    messages: int
    recipients: int


#: Writes a notification about a message whose recipients (as addresses) are taken off the queue: its envelope, the
#: first part of its text, and the id of the notification are given. Returns None where nobody can be told.
Notice = Callable[[Envelope, bytes, tuple[str, ...], int], "tuple[Envelope, bytes] | None"]

_Rows = list[tuple[int, int]]
_Change = Callable[[sqlite3.Connection, _Rows], None]


def hold(path: str, selection: Selection) -> Done:
    """Have mail wait until it is released. Raises :class:`Unreadable`, as all of these."""
    query = f"UPDATE recipient SET is_local = is_local + {HELD} WHERE message = ? AND number = ?"
    return _changed(path, selection, _FREE, lambda file, rows: file.executemany(query, rows))


def release(path: str, selection: Selection) -> Done:
    """Let mail that was held go on; it is due when it would have been."""
    query = f"UPDATE recipient SET is_local = is_local - {HELD} WHERE message = ? AND number = ?"
    return _changed(path, selection, _HELD, lambda file, rows: file.executemany(query, rows))


def retry(path: str, selection: Selection) -> Done:
    """Make mail for other hosts due now. What is held stays held."""
    now = time.time()
    query = "UPDATE recipient SET due = ? WHERE message = ? AND number = ?"

    def change(file: sqlite3.Connection, rows: _Rows) -> None:
        file.executemany(query, [(now, *row) for row in rows])

    return _changed(path, selection, _SENT, change)


def delete(path: str, selection: Selection, notice: Notice | None = None) -> Done:
    """Take mail off the queue for good. ``notice`` writes what each sender is told, in the same transaction; nobody is
    told without."""
    gone: list[int] = []

    def change(file: sqlite3.Connection, rows: _Rows) -> None:
        for message, places in groupby(rows, key=lambda row: row[0]):
            numbers = [number for _message, number in places]
            if notice is not None:
                _tell(file, notice, message, numbers)
            file.executemany(
                "DELETE FROM recipient WHERE message = ? AND number = ?", [(message, number) for number in numbers]
            )
            count = "UPDATE message SET open_recipients = open_recipients - ? WHERE id = ?"
            file.execute(count, (len(numbers), message))
            if file.execute("DELETE FROM message WHERE id = ? AND open_recipients <= 0", (message,)).rowcount:
                gone.append(message)

    done = _changed(path, selection, "1", change, _PAGE if notice is None else _TOLD_PAGE)
    if gone:
        _sweep(path, gone)
    return done


def _tell(file: sqlite3.Connection, notice: Notice, message: int, numbers: list[int]) -> None:
    sender, received, smtputf8, head = file.execute(
        "SELECT sender, received, smtputf8, CAST(substr(coalesce((SELECT data FROM piece WHERE message = m.id AND"
        f" number = 0), body), 1, {_HEAD}) AS BLOB) FROM message m WHERE id = ?",
        (message,),
    ).fetchone()
    addresses = [
        file.execute(
            "SELECT local_part || '@' || domain FROM recipient WHERE message = ? AND number = ?", (message, number)
        ).fetchone()[0]
        for number in numbers
    ]
    about = Envelope(message, sender, (), received=received, smtputf8=bool(smtputf8))
    written = notice(about, head, tuple(addresses), _fresh_id(file))
    if written is not None:
        envelope, body = written
        insert(file, envelope, body, len(body))


def _fresh_id(file: sqlite3.Connection) -> int:
    """As the server makes them, and none that is in the queue."""
    while True:
        number = (int(time.time() * 1000) << 20) | random.randrange(1 << 20)
        if not file.execute("SELECT 1 FROM message WHERE id = ?", (number,)).fetchone():
            return number


def _changed(path: str, selection: Selection, besides: str, change: _Change, page: int = _PAGE) -> Done:
    """Make a change to what is selected and meets one more condition, page after page."""
    if not os.path.exists(path):
        return Done(0, 0)
    messages = recipients = 0
    with _writing(path) as file:
        # Mail that comes meanwhile, notifications of this deletion above all, is not what somebody saw and meant.
        (newest,) = file.execute("SELECT max(id) FROM message").fetchone()
        where, values = selection.where()
        values = [*values, newest]
        for rows in _pages(file, f"{where} AND {besides} AND r.message <= ?", values, page):
            begun = time.monotonic()
            file.execute("BEGIN IMMEDIATE")
            try:
                # Deliveries go on: some of it may be gone since it was found.
                rows = _still(file, rows, f"{where} AND {besides} AND r.message <= ?", values)
                change(file, rows)
            except BaseException:
                file.execute("ROLLBACK")
                raise
            file.execute("COMMIT")
            messages += len({message for message, _number in rows})
            recipients += len(rows)
            # The server asks for the file again and again while somebody has it, and must come to its turn.
            time.sleep(min(time.monotonic() - begun, 1.0))
    return Done(messages, recipients)


def _pages(file: sqlite3.Connection, where: str, values: list[object], page: int) -> Iterator[_Rows]:
    """Places of recipients, those of one message in one page."""
    query = (
        "SELECT r.message, r.number FROM recipient r CROSS JOIN message m ON m.id = r.message"
        f" WHERE (r.message, r.number) > (?, ?) AND {where} ORDER BY r.message, r.number LIMIT ?"
    )
    rest = (
        "SELECT r.message, r.number FROM recipient r CROSS JOIN message m ON m.id = r.message"
        f" WHERE r.message = ? AND r.number > ? AND {where} ORDER BY r.number"
    )
    last = (-1, -1)
    while rows := file.execute(query, (*last, *values, page)).fetchall():
        rows += file.execute(rest, (*rows[-1], *values)).fetchall()
        yield rows
        last = rows[-1]


def _still(file: sqlite3.Connection, rows: _Rows, where: str, values: list[object]) -> _Rows:
    query = (
        "SELECT 1 FROM recipient r CROSS JOIN message m ON m.id = r.message"
        f" WHERE r.message = ? AND r.number = ? AND {where}"
    )
    return [row for row in rows if file.execute(query, (*row, *values)).fetchone()]


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
