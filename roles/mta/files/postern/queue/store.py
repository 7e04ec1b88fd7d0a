# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The durable queue: one SQLite file that holds envelopes, texts and what is still to be delivered.

A message is accepted when :meth:`Store.add` (or :meth:`Spool.finish` for a long one) returns: its transaction is
committed with ``synchronous=FULL`` in WAL mode, so the log was synced before the reply (RFC 5321 section 6.1: with
the 250 the responsibility is ours). One thread writes, see :mod:`writer`.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .schema import PIECE, SIZE
from .spool import Spool, insert, left_over, sweep
from .text import Text
from .writer import CHECKPOINT_PAGES, StoreError, Writer

__all__ = (
    "CHECKPOINT_PAGES", "PIECE", "Due", "Envelope", "Notification", "Recipient", "Spool", "Store", "StoreError", "Text",
    "Waiting", "id_text",
)  # fmt: skip


#: Octets of a text that is read together with its recipients.
_SHORT = 64 * 1024


@dataclass(frozen=True)
class Recipient:
    """One recipient: unquoted local part as given, domain as lower-case A-label; local = a mailbox of this server.

    ``address``: what a mailbox of this server was called, when that is not its own name (there is a tag); one mailbox
    is one recipient, whatever it is called.
    """

    local_part: str
    domain: str
    is_local: bool
    address: str = field(default="", compare=False)


@dataclass(frozen=True)
class Envelope:
    """What is known about a message besides its text. ``sender`` is empty for a notification (RFC 5321, 4.5.5).

    ``smtputf8``: the client said SMTPUTF8 (RFC 6531); addresses may then hold any letter. ``size``: octets of the text
    as it is stored; the store knows it, whoever hands in a message need not.
    """

    id: int
    sender: str
    recipients: tuple[Recipient, ...]
    auth_user: str = ""
    peer: str = ""
    helo: str = ""
    tls: str = ""
    eight_bit: bool = False
    received: float = 0.0
    smtputf8: bool = False
    size: int = 0


@dataclass(frozen=True)
class Waiting:
    """A recipient at another host as the schedule sees it: next attempt (seconds since the epoch), attempts made so
    far, and why the last one delivered nothing."""

    recipient: Recipient
    due: float
    attempts: int
    status: str


class Due(NamedTuple):
    """A recipient who is a mailbox of this server. ``body``: the text of a short message, None for a longer one."""

    message: int
    number: int
    recipient: Recipient
    sender: str
    received: float
    body: bytes | None


@dataclass(frozen=True)
class Notification:
    """A message of this server about another one. ``delay``: it says that mail waits, which is said once."""

    envelope: Envelope
    body: bytes
    delay: bool = False


def id_text(number: int) -> str:
    """The queue id as written in replies, headers, logs and file names: 16 lower-case hexadecimal digits."""
    return f"{number:016x}"


class _Ids:
    """Queue ids that grow with the clock and never repeat within a process or after a restart."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = random.randrange(1 << 20)

    def next(self) -> int:
        with self._lock:
            self._count = (self._count + 1) & 0xFFFFF
            return (int(time.time() * 1000) << 20) | self._count


class Store:
    """The queue file at ``path`` (created when missing, its folder must exist).

    Raises :class:`StoreError` when the file cannot be opened, is no queue, or was written by a newer version.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)
        self._ids = _Ids()
        self._listeners: list[Callable[[Envelope], None]] = []
        self._readers: list[Callable[[Envelope, bytes | None], None]] = []
        self._state_lock = threading.Lock()
        self._state: tuple[str, bool] = ("", False)
        self._state_listeners: list[Callable[[str, bool], None]] = []
        self._closed = False
        self._read_lock = threading.Lock()
        try:
            self._writer = Writer(self._path, self._changed_state)
            self._reader = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
            self._reader.execute("PRAGMA query_only=1")
            # Known to the writer's thread alone from here on.
            self._long, lost = left_over(self._reader)
        except sqlite3.Error as error:
            raise StoreError(f"cannot open the queue {self._path}: {error}") from error
        for message in lost:
            sweep(self._writer, message, self._long)

    # --- what the SMTP side uses ------------------------------------------------------------------

    def new_id(self) -> int:
        """A fresh queue id; needed before :meth:`add`, because the Received header names it."""
        return self._ids.next()

    async def add(self, envelope: Envelope, body: bytes) -> int:
        """Store a message of at most ``PIECE`` octets; returns its id when it is durable.

        Raises :class:`StoreError` when it is not. A longer one is taken too, at the expense of the others: it is for
        :meth:`spool`.
        """
        await self._writer.change(
            lambda connection: insert(connection, envelope, body, len(body)), then=lambda: self._announce(envelope, body)
        )
        return envelope.id

    def add_soon(self, envelope: Envelope, body: bytes, done: Callable[[StoreError | None], None]) -> None:
        """The same without a task: ``done`` is called on the event loop when it is durable, or with what went wrong."""

        def told(error: StoreError | None) -> None:
            if error is None:
                self._announce(envelope, body)
            done(error)

        self._writer.change_soon(lambda connection: insert(connection, envelope, body, len(body)), told)

    def has_room(self, octets: int) -> bool:
        """Whether a long message of that size would find room now. Others may take it before it comes."""
        return self._writer.has_room(octets)

    def spool(self, message: int) -> Spool:
        """Begin to store a long message under a fresh id; nothing of it is a message before its end."""
        return Spool(self._writer, message, self._long, self._announce)

    def on_added(self, listener: Callable[[Envelope], None]) -> None:
        """Have ``listener`` called (on the event loop) for each message once it is durable."""
        self._listeners.append(listener)

    def on_added_text(self, listener: Callable[[Envelope, bytes | None], None]) -> None:
        """The same with the text, for who would read it next; None where the queue has it in pieces."""
        self._readers.append(listener)

    def on_failed(self, listener: Callable[[str], None]) -> None:
        """Have ``listener`` called once, on the running event loop, with the reason why nothing is stored any more.

        A sync failed, or the disk did: only a new process can know what is on it. Every change is a
        :class:`StoreError` from then on.
        """
        self._on_state(lambda reason, final: listener(reason) if final else None)

    def on_trouble(self, listener: Callable[[str], None]) -> None:
        """Have ``listener`` called, on the running event loop, with the reason why nothing can be stored for now (no
        room, a read-only file system), and with an empty one when that is over."""
        self._on_state(lambda reason, final: None if final else listener(reason))

    # --- what the delivery side uses --------------------------------------------------------------

    def finish(self, message: int, numbers: tuple[int, ...]) -> "Future[None]":
        """Take recipients (by their place in the envelope) off a message; the last one takes the message with it.

        Raises :class:`StoreError`, at once or by the future.
        """
        return self._writer.submit(lambda connection: self._remove(connection, message, numbers))

    def finish_all(self, done: Mapping[int, Collection[int]]) -> "Future[None]":
        """The same for recipients (by number) of many messages, in one transaction."""

        def apply(connection: sqlite3.Connection) -> None:
            for message, numbers in done.items():
                self._remove(connection, message, numbers)

        return self._writer.submit(apply)

    async def record(
        self,
        message: int,
        finished: Collection[int],
        deferred: Mapping[int, tuple[float, str]],
        notifications: Sequence[Notification] = (),
        was_tried: bool = True,
    ) -> tuple[Notification, ...]:
        """Note what an attempt did, in one transaction: no crash loses a recipient or tells a sender twice.

        ``finished``: recipients (by number) that are delivered or given up; the last one takes the message with it.
        ``deferred``: when each of these is tried again (seconds since the epoch) and why. ``notifications`` are added
        to the queue, a ``delay`` only when none was made before; returns those that were added. Not ``was_tried``: it was
        put off without an attempt that would count. Outcomes that come together share a commit.
        Raises :class:`StoreError`; then nothing is noted.
        """
        added: list[Notification] = []

        def apply(connection: sqlite3.Connection) -> None:
            added[:] = [n for n in notifications if not n.delay or _tell_delay(connection, message)]
            for notification in added:
                insert(connection, notification.envelope, notification.body, len(notification.body))
            _defer(connection, message, deferred, was_tried)
            self._remove(connection, message, finished)

        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(error: StoreError | None) -> None:
            if error is None:
                for notification in added:
                    self._announce(notification.envelope)
            if future.cancelled():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self._writer.change_soon(apply, done)
        await future
        return tuple(added)

    def due_remote(
        self, now: float, limit: int, per_domain: int, horizon: float = float("inf")
    ) -> tuple[list[tuple[int, str]], bool]:
        """Message and domain of what is to be sent to other hosts at the time ``now``, the longest waiting first.

        What is due after ``horizon`` is taken, too: no wait is that long, so the clock was set back since.
        At most ``limit`` pairs, and ``per_domain`` of one domain, so that a large backlog hides nobody else's mail;
        the second value says whether there are more.
        """
        query = "SELECT message, domain FROM recipient WHERE is_local = 0 AND due {} ? ORDER BY due"
        pairs: dict[tuple[int, str], None] = {}
        counts: dict[str, int] = {}
        cut = False
        with self._reading() as reader:
            # The second search finds nothing as a rule.
            cursors = reader.execute(query.format("<="), (now,)), reader.execute(query.format(">"), (horizon,))
            for message, domain in itertools.chain(*cursors):
                if len(pairs) >= limit:
                    cut = True
                    break
                if counts.get(domain, 0) >= per_domain:
                    cut = True
                elif (message, domain) not in pairs:
                    pairs[message, domain] = None
                    counts[domain] = counts.get(domain, 0) + 1
            for cursor in cursors:
                cursor.close()
        return list(pairs), cut

    def next_due(self, now: float) -> float | None:
        """When the next recipient at another host becomes due after ``now``; None when none waits."""
        return self._read("SELECT min(due) FROM recipient WHERE is_local = 0 AND due > ?", now)[0][0]

    def envelope(self, message: int) -> tuple[Envelope, bool] | None:
        """Envelope without recipients and body, and whether the sender knows of a delay; None when it is gone."""
        rows = self._read(
            f"SELECT sender, auth_user, peer, helo, tls, eight_bit, received, smtputf8, {SIZE}, delay_told"
            " FROM message WHERE id = ?",
            message,
        )
        if not rows:
            return None
        sender, auth_user, peer, helo, tls, eight_bit, received, smtputf8, size, told = rows[0]
        envelope = Envelope(
            message, sender, (), auth_user, peer, helo, tls, bool(eight_bit), received, bool(smtputf8), size
        )
        return envelope, bool(told)

    def waiting(self, message: int, domain: str | None = None) -> dict[int, Waiting]:
        """The recipients of a message at other hosts (at ``domain`` when given), by their number."""
        rows = self._read(
            "SELECT number, local_part, domain, due, attempts, status FROM recipient"
            " WHERE message = ?1 AND is_local = 0 AND (?2 IS NULL OR domain = ?2) ORDER BY number",
            message,
            domain,
        )
        return {
            number: Waiting(Recipient(local_part, found, False), due, attempts, status)
            for number, local_part, found, due, attempts, status in rows
        }

    def text(self, message: int) -> Text | None:
        """The text of a message as it is sent, to be read in pieces; None when it is gone."""
        rows = self._read(f"SELECT {SIZE}, length(body) FROM message WHERE id = ?", message)
        return Text(self._read, self._read_part, message, *rows[0]) if rows else None

    def due_local(
        self, after: tuple[int, int], limit: int, but: Collection[str] = (), only: Collection[str] = ()
    ) -> list[Due]:
        """Local recipients behind the place ``after`` (message and number), the oldest message first; ``(-1, -1)`` is
        before all. ``only`` those at these domains when there are any, none of those at ``but``."""
        clauses = [f" AND r.domain {word} ({', '.join('?' * len(names))})"
                   for word, names in (("IN", only), ("NOT IN", but)) if names]  # fmt: skip
        # The plus keeps SQLite from collecting all local recipients over the other index and sorting them.
        rows = self._read(
            "SELECT r.message, r.number, r.local_part, r.domain, r.address, m.sender, m.received,"
            f" CASE WHEN m.size <= length(m.body) AND length(m.body) <= {_SHORT} THEN CAST(m.body AS BLOB) END"
            " FROM recipient r CROSS JOIN message m ON m.id = r.message"
            f" WHERE (r.message, r.number) > (?, ?) AND +r.is_local = 1{''.join(clauses)}"
            " ORDER BY r.message, r.number LIMIT ?",
            *after,
            *only,
            *but,
            limit,
        )
        return [
            Due(message, number, Recipient(local_part, domain, True, address), sender, received, body)
            for message, number, local_part, domain, address, sender, received, body in rows
        ]

    def open_local(self) -> list[int]:
        """Ids of all messages that have a local recipient, oldest first."""
        rows = self._read("SELECT DISTINCT message FROM recipient WHERE is_local = 1 ORDER BY message")
        return [row[0] for row in rows]

    def load(self, message: int) -> tuple[Envelope, dict[int, Recipient], bytes] | None:
        """Envelope, open recipients by their number, and body of one message; None when it is gone."""
        rows = self._read(
            f"SELECT sender, auth_user, peer, helo, tls, eight_bit, received, smtputf8, {SIZE}"
            " FROM message WHERE id = ?",
            message,
        )
        if not rows:
            return None
        recipients = {
            number: Recipient(local_part, domain, bool(is_local & 1))
            for number, local_part, domain, is_local in self._read(
                "SELECT number, local_part, domain, is_local FROM recipient WHERE message = ? ORDER BY number", message
            )
        }
        sender, auth_user, peer, helo, tls, eight_bit, received, smtputf8, size = rows[0]
        found = tuple(recipients.values())
        envelope = Envelope(
            message, sender, found, auth_user, peer, helo, tls, bool(eight_bit), received, bool(smtputf8), size
        )
        return envelope, recipients, text.whole() if (text := self.text(message)) else b""

    def count(self) -> int:
        """How many messages are in the queue."""
        return self._read("SELECT count(*) FROM message")[0][0]

    def close(self) -> None:
        """Commit what waits, stop the threads and close the file. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        with self._read_lock:
            self._reader.close()
        self._writer.close()

    # --- inside -----------------------------------------------------------------------------------

    def _announce(self, envelope: Envelope, body: bytes | None = None) -> None:
        for listener in self._listeners:
            listener(envelope)
        for reader in self._readers:
            reader(envelope, body)

    def _remove(self, connection: sqlite3.Connection, message: int, numbers: Collection[int]) -> None:
        removed = sum(
            connection.execute("DELETE FROM recipient WHERE message = ? AND number = ?", (message, number)).rowcount
            for number in numbers
        )
        connection.execute("UPDATE message SET open_recipients = open_recipients - ? WHERE id = ?", (removed, message))
        gone = connection.execute("DELETE FROM message WHERE id = ? AND open_recipients <= 0", (message,)).rowcount
        if gone and message in self._long:
            sweep(self._writer, message, self._long)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._read_lock:
            try:
                yield self._reader
            except sqlite3.Error as error:
                raise StoreError(f"the queue cannot be read: {error}") from error

    def _read(self, query: str, *values: object) -> list[tuple]:
        # All rows at once: an open statement would hold a snapshot and keep the log from being copied back.
        with self._reading() as reader:
            return reader.execute(query, values).fetchall()

    def _read_part(self, message: int, start: int, octets: int) -> bytes:
        with self._reading() as reader, reader.blobopen("message", "body", message, readonly=True) as blob:
            blob.seek(start)
            return blob.read(octets)

    def _on_state(self, listener: Callable[[str, bool], None]) -> None:
        loop = asyncio.get_running_loop()

        def tell(reason: str, final: bool) -> None:
            try:
                loop.call_soon_threadsafe(listener, reason, final)
            except RuntimeError:
                return  # the loop is closed: there is nobody left to tell

        with self._state_lock:
            self._state_listeners.append(tell)
            if self._state[0]:
                tell(*self._state)

    def _changed_state(self, reason: str, final: bool) -> None:
        with self._state_lock:
            self._state = (reason, final)
            for tell in self._state_listeners:
                tell(reason, final)


def _defer(
    connection: sqlite3.Connection, message: int, deferred: Mapping[int, tuple[float, str]], was_tried: bool
) -> None:
    # Who was put off was tried once, by way of another message to the same host.
    attempts = "attempts + 1" if was_tried else "max(attempts, 1)"
    connection.executemany(
        f"UPDATE recipient SET due = ?, attempts = {attempts}, status = ? WHERE message = ? AND number = ?",
        [(due, status, message, number) for number, (due, status) in deferred.items()],
    )


def _tell_delay(connection: sqlite3.Connection, message: int) -> bool:
    """Note that the sender knows of the delay; False when that was noted before."""
    query = "UPDATE message SET delay_told = 1 WHERE id = ? AND delay_told = 0"
    return connection.execute(query, (message,)).rowcount > 0
