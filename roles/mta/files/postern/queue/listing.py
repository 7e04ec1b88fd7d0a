# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What waits in the queue and why, for people: reads the file, also while the server runs, and changes nothing."""

from __future__ import annotations

import os
import sqlite3
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from .schema import FORMAT, SIZE, file_format
from .store import id_text

#: Messages that are read at a time: a snapshot that is held for long would keep the write-ahead log from being
#: copied back, and nobody knows how slowly the list is read.
_PAGE = 200


class Unreadable(Exception):
    """The file cannot be read as a queue; the text names it and says why."""


@dataclass(frozen=True)
class Open:
    """A recipient that still has no mail. ``next_attempt``: seconds since the epoch; ``reason``: of the last attempt,
    empty before the first. ``local``: the address is a mailbox of this server."""

    address: str
    local: bool
    attempts: int
    next_attempt: float
    reason: str


@dataclass(frozen=True)
class Entry:
    """A message: queue id, sender (empty: a notification), when it was accepted (seconds since the epoch), octets."""

    id: str
    sender: str
    received: float
    size: int
    recipients: tuple[Open, ...]


def count(path: str) -> int:
    """How many messages are in the queue file; 0 when there is no file yet. Raises :class:`Unreadable`."""
    # By the recipients: their table holds no bodies, so it is small.
    found = _query(path, "SELECT count(DISTINCT message) FROM recipient")
    return found[0][0] if found else 0


def entries(path: str) -> Iterator[Entry]:
    """All messages of the queue file, the oldest first. Raises :class:`Unreadable`."""
    last = -1
    while True:
        rows = _query(
            path,
            f"SELECT m.id, m.sender, m.received, {SIZE}, r.local_part || '@' || r.domain, r.is_local,"
            " r.attempts, r.due, r.status FROM message m JOIN recipient r ON r.message = m.id"
            " WHERE m.id IN (SELECT id FROM message WHERE id > ? ORDER BY id LIMIT ?) ORDER BY m.id, r.number",
            last,
            _PAGE,
        )
        if not rows:
            return
        found: dict[int, tuple[tuple, list[Open]]] = {}
        for number, sender, received, size, address, local, attempts, due, reason in rows:
            recipient = Open(address, bool(local), attempts, due, reason)
            found.setdefault(number, ((sender, received, size), []))[1].append(recipient)
        for number, (about, recipients) in found.items():
            yield Entry(id_text(number), *about, tuple(recipients))
            last = number


def _query(path: str, query: str, *values: object) -> list[tuple]:
    if not os.path.exists(path):
        return []
    try:
        with closing(sqlite3.connect(f"file:{urllib.parse.quote(path)}?mode=ro", uri=True, timeout=10)) as connection:
            found = file_format(connection)
            if found != FORMAT:
                older = found < FORMAT
                what = "it becomes one of this version when the server starts" if older else "it is of a newer version"
                raise Unreadable(f"the queue {path} has format {found}: {what}")
            return connection.execute(query, values).fetchall()
    except sqlite3.Error as error:
        raise Unreadable(f"the queue {path} cannot be read: {error}") from None
