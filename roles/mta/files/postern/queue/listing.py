# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What waits in the queue and why, for people: reads the file, also while the server runs, and changes nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from .schema import HELD, SIZE
from .selection import Selection, Unreadable, opened
from .store import id_text

__all__ = ("Entry", "Open", "Selection", "Unreadable", "Totals", "count", "entries", "totals")

#: Messages that are read at a time: a snapshot that is held for long would keep the write-ahead log from being
#: copied back, and nobody knows how slowly the list is read.
_PAGE = 200
#: Octets of a header that are shown.
_HEADER = 32 * 1024


@dataclass(frozen=True)
class Open:
    """A recipient that still has no mail. ``next_attempt``: seconds since the epoch; ``reason``: of the last attempt,
    empty before the first. ``local``: the address is a mailbox of this server. ``held``: until somebody releases it."""

    address: str
    local: bool
    attempts: int
    next_attempt: float
    reason: str
    held: bool = False


@dataclass(frozen=True)
class Entry:
    """A message: queue id, sender (empty: a notification), when it was accepted (seconds since the epoch), octets."""

    id: str
    sender: str
    received: float
    size: int
    recipients: tuple[Open, ...]


@dataclass(frozen=True)
class Totals:
    """Messages, recipients that are held, and when the oldest message was accepted (seconds since the epoch)."""

    messages: int
    held: int
    oldest: float | None


def totals(path: str) -> Totals:
    """The queue file in three figures. Raises :class:`Unreadable`."""
    # By the recipients, whose table holds no bodies; the ids of messages grow with the time.
    rows = _query(
        path,
        "SELECT count(DISTINCT message), total(is_local >= ?),"
        " (SELECT received FROM message WHERE id = (SELECT min(message) FROM recipient)) FROM recipient",
        HELD,
    )
    messages, held, oldest = rows[0] if rows else (0, 0, None)
    return Totals(messages, int(held), oldest)


def count(path: str) -> int:
    """How many messages are in the queue file; 0 when there is no file yet. Raises :class:`Unreadable`."""
    # By the recipients: their table holds no bodies, so it is small.
    found = _query(path, "SELECT count(DISTINCT message) FROM recipient")
    return found[0][0] if found else 0


def entries(path: str, selection: Selection = Selection(), after: int = -1) -> Iterator[Entry]:
    """Messages of the queue file behind the one of id ``after``, the oldest first, with recipients that are selected.

    Raises :class:`Unreadable`.
    """
    where, given = selection.where()
    last = after
    while True:
        rows = _query(path, query(where), *values(given, last))
        if not rows:
            return
        found: dict[int, tuple[tuple, list[Open]]] = {}
        for number, sender, received, size, address, local, attempts, due, reason in rows:
            recipient = Open(address, bool(local & 1), attempts, due, reason, local >= HELD)
            found.setdefault(number, ((sender, received, size), []))[1].append(recipient)
        for number, (about, recipients) in found.items():
            yield Entry(id_text(number), *about, tuple(recipients))
            last = number


def header(path: str, message: int) -> bytes | None:
    """The header of a message, at most 32 KiB of it; None when it does not wait. Raises :class:`Unreadable`."""
    rows = _query(
        path,
        "SELECT CAST(substr(coalesce((SELECT data FROM piece WHERE message = m.id AND number = 0), body), 1, ?)"
        " AS BLOB) FROM message m WHERE id = ?",
        _HEADER + 2,
        message,
    )
    if not rows:
        return None
    head, end, _body = b"\r\n".join((b"", rows[0][0])).partition(b"\r\n\r\n")
    # Without its end it may be the text that follows.
    return head[2:] if end else b"" if len(head) <= _HEADER else head[2 : head.rfind(b"\r\n")]


def query(where: str) -> str:
    """One page of messages with what is selected of their recipients; :func:`values` has its values."""
    return (
        f"SELECT m.id, m.sender, m.received, {SIZE}, r.local_part || '@' || r.domain, r.is_local,"
        " r.attempts, r.due, r.status FROM message m JOIN recipient r ON r.message = m.id"
        f" WHERE {where} AND m.id IN (SELECT m.id FROM message m CROSS JOIN recipient r ON r.message = m.id"
        f" WHERE m.id > ? AND {where} GROUP BY m.id ORDER BY m.id LIMIT {_PAGE}) ORDER BY m.id, r.number"
    )


def values(given: list[object], after: int) -> tuple[object, ...]:
    """The values of :func:`query`: those of its condition, and the id behind which the page begins."""
    return (*given, after, *given)


def _query(path: str, sql: str, *given: object) -> list[tuple]:
    if not os.path.exists(path):
        return []
    try:
        with closing(opened(path, "ro", 10)) as connection:
            return connection.execute(sql, given).fetchall()
    except sqlite3.Error as error:
        raise Unreadable(f"the queue {path} cannot be read: {error}") from None
