# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables of the queue file, and how a file of an older version becomes one of this version."""

from __future__ import annotations

import sqlite3

#: What ``PRAGMA user_version`` says in a file of this version. 1: before the server sent mail to others. 2: before it
#: took addresses in UTF-8 and kept long messages in pieces. 3: before mail could be held. 4: before tags were kept.
FORMAT = 5

#: What is added to ``is_local`` while a recipient is held.
HELD = 2

#: Octets in which a long text is kept and read; a text of at most this length is in the row of its message.
PIECE = 256 * 1024

# size: octets of the text. A long text is in pieces; body is then the rest of it. In a file of an older version size
# and smtputf8 stand behind body, and rows from then have no size: whoever wants it asks for SIZE.
#
# is_local: 1 for a mailbox of this server, 0 for another host; HELD is added while it is held, so that nobody who looks
# for what is due finds it.
#
# address: what the mailbox is called in Delivered-To, where that is not its own name; empty as a rule.
#
# due: seconds since the epoch. status: why it was not delivered yet. The index holds all that the search for due mail
# looks at, so that it never touches a message. It begins with is_local and due: both grow with the clock, so a new
# message goes to the end of it and costs no page of its own.
_TABLES = (
    """CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY, sender TEXT NOT NULL, auth_user TEXT NOT NULL, peer TEXT NOT NULL,
    helo TEXT NOT NULL, tls TEXT NOT NULL, eight_bit INTEGER NOT NULL, received REAL NOT NULL,
    open_recipients INTEGER NOT NULL, delay_told INTEGER NOT NULL DEFAULT 0,
    smtputf8 INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL DEFAULT 0, body BLOB NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS recipient (
    message INTEGER NOT NULL, number INTEGER NOT NULL, local_part TEXT NOT NULL, domain TEXT NOT NULL,
    is_local INTEGER NOT NULL, due REAL NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT '', address TEXT NOT NULL DEFAULT '', PRIMARY KEY (message, number)) WITHOUT ROWID""",
)
_INDEX = "CREATE INDEX IF NOT EXISTS recipient_due ON recipient (is_local, due, domain)"
# Pieces without a message are what is left of one: of a text that never came to its end, or of a message that is gone.
_PIECES = (
    """CREATE TABLE IF NOT EXISTS piece (
    id INTEGER PRIMARY KEY, message INTEGER NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL)""",
    "CREATE UNIQUE INDEX IF NOT EXISTS piece_of ON piece (message, number)",
)

#: The octets of a message's text, as an expression over the table ``message``.
SIZE = "max(size, length(body))"

# Recipients of a file of format 1 were never tried: they are due at once, and nobody was told of a delay.
_FROM_1 = (
    "ALTER TABLE message ADD COLUMN delay_told INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE recipient ADD COLUMN due REAL NOT NULL DEFAULT 0",
    "ALTER TABLE recipient ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE recipient ADD COLUMN status TEXT NOT NULL DEFAULT ''",
    "DROP INDEX recipient_is_local",
    _INDEX,
)
_FROM_2 = (
    "ALTER TABLE message ADD COLUMN smtputf8 INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE message ADD COLUMN size INTEGER NOT NULL DEFAULT 0",
    *_PIECES,
)
_FROM_4 = ("ALTER TABLE recipient ADD COLUMN address TEXT NOT NULL DEFAULT ''",)
#: What makes a file of this version of one of the format that is the key; 0: there is no queue in it yet.
_STEPS = {
    0: (*_TABLES, _INDEX, *_PIECES), 1: (*_FROM_1, *_FROM_2, *_FROM_4), 2: (*_FROM_2, *_FROM_4), 3: _FROM_4, 4: _FROM_4,
}  # fmt: skip


class UnknownFormat(Exception):
    """The file was written by a newer version; the text says which format it has."""


def prepare(connection: sqlite3.Connection) -> None:
    """Bring the file to this version's format: all of it in one transaction, or nothing.

    ``connection`` must be in autocommit mode. Raises :class:`UnknownFormat` and ``sqlite3.Error``.
    """
    found = file_format(connection)
    if found > FORMAT:
        raise UnknownFormat(f"has format {found}; this version reads format {FORMAT}")
    if found == FORMAT:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in (*_STEPS[found], f"PRAGMA user_version={FORMAT}"):
            connection.execute(statement)
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def file_format(connection: sqlite3.Connection) -> int:
    """The format of the file; 0 when it holds no queue yet."""
    return connection.execute("PRAGMA user_version").fetchone()[0]
