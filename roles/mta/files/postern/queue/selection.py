# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of the mail that waits somebody means, and the queue file for whoever is not the server."""

from __future__ import annotations

import re
import sqlite3
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass

from .schema import FORMAT, HELD, file_format

_ID = re.compile(r"[0-9a-fA-F]{16}")


class Unreadable(Exception):
    """The file cannot be read, or changed, as a queue; the text names it and says why."""


@dataclass(frozen=True)
class Selection:
    """Recipients that meet all conditions; None is none.

    ``ids`` are queue ids. ``sender`` is an address, ``@domain`` for all of a domain, or empty for notifications;
    ``domain`` is the recipients'. ``before``: accepted before that moment (seconds since the epoch). ``held``: held or
    not.
    """

    ids: tuple[int, ...] | None = None
    sender: str | None = None
    domain: str | None = None
    before: float | None = None
    held: bool | None = None

    def where(self) -> tuple[str, list[object]]:
        """A condition of SQL over the tables ``message m`` and ``recipient r``, and its values."""
        terms: list[str] = ["1"]
        values: list[object] = []
        if self.ids is not None:
            # Of both tables: whichever is searched first, it is searched by its key.
            places = ", ".join("?" * len(self.ids))
            terms.append(f"m.id IN ({places}) AND r.message IN ({places})")
            values += self.ids * 2
        if self.sender is not None:
            sender = self.sender.lower()
            if sender.startswith("@"):
                terms.append("substr(lower(m.sender), ?) = ?")
                values += (-len(sender), sender)
            else:
                terms.append("lower(m.sender) = ?")
                values.append(sender)
        if self.domain is not None:
            terms.append("+r.domain = ?")
            values.append(self.domain.lower())
        if self.before is not None:
            terms.append("m.received < ?")
            values.append(self.before)
        if self.held is not None:
            terms.append(f"+r.is_local {'>=' if self.held else '<'} {HELD}")
        return " AND ".join(terms), values


def numbers(texts: Sequence[str]) -> tuple[int, ...]:
    """Queue ids as they are stored, from how they are written. Raises ValueError that names the wrong one."""
    for text in texts:
        if not _ID.fullmatch(text):
            raise ValueError(f"{text!r} is no queue id, which has 16 hexadecimal digits")
    return tuple(int(text, 16) for text in texts)


def opened(path: str, mode: str, patience: float) -> sqlite3.Connection:
    """The queue file that is there, read-only (``ro``) or not (``rw``); waits ``patience`` seconds for whoever writes.

    Raises :class:`Unreadable` when it has another format, and ``sqlite3.Error``.
    """
    place = f"file:{urllib.parse.quote(path)}?mode={mode}"
    connection = sqlite3.connect(place, uri=True, timeout=patience, isolation_level=None)
    found = file_format(connection)
    if found != FORMAT:
        connection.close()
        older = found < FORMAT
        what = "it becomes one of this version when the server starts" if older else "it is of a newer version"
        raise Unreadable(f"the queue {path} has format {found}: {what}")
    return connection
