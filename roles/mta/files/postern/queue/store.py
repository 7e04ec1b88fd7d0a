# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The durable queue: one SQLite file that holds envelopes, bodies and what is still to be delivered.

A message is accepted when :meth:`Store.add` returns: its transaction is committed with
``synchronous=FULL`` in WAL mode, so the log was synced before the reply (RFC 5321 section 6.1: with
the 250 the responsibility is ours). One thread writes; it takes all changes that wait, commits them
together and never waits for company, so a lone message is committed at once and a crowd shares a sync.
"""

from __future__ import annotations

import asyncio
import queue
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from .schema import SIZE, UnknownFormat, prepare

#: Pages of 4 KiB in the write-ahead log after which the checkpoint thread copies them into the file.
CHECKPOINT_PAGES = 2000
#: The writer itself checkpoints only when the thread cannot keep up, because it makes all wait.
_WRITER_CHECKPOINT_PAGES = 50_000


class StoreError(Exception):
    """A change that is not durable. ``full`` is true when the disk has no room, false for any other reason."""

    def __init__(self, reason: str, full: bool = False) -> None:
        super().__init__(reason)
        self.full = full


@dataclass(frozen=True)
class Recipient:
    """One recipient: unquoted local part as given, domain as lower-case A-label; local = a mailbox of this server."""

    local_part: str
    domain: str
    is_local: bool


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


@dataclass
class _Change:
    apply: Callable[[sqlite3.Connection], object]
    done: Callable[[object, BaseException | None], None]


class Store:
    """The queue file at ``path`` (created when missing, its folder must exist).

    Raises :class:`StoreError` when the file cannot be opened, is no queue, or was written by a newer version.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)
        self._ids = _Ids()
        self._waiting: queue.SimpleQueue[_Change | None] = queue.SimpleQueue()
        self._listeners: list[Callable[[Envelope], None]] = []
        self._broken: str | None = None
        self._closed = False
        self._pages = 0
        self._checkpoint = threading.Event()
        self._read_lock = threading.Lock()
        try:
            self._connection = self._open()
            self._reader = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
            self._reader.execute("PRAGMA query_only=1")
        except sqlite3.Error as error:
            raise StoreError(f"cannot open the queue {self._path}: {error}") from error
        self._writer = threading.Thread(target=self._write, name="queue-writer", daemon=True)
        self._checkpointer = threading.Thread(target=self._copy_back, name="queue-checkpoint", daemon=True)
        self._writer.start()
        self._checkpointer.start()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            # Set on every connection: builds of SQLite differ in what they default to.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint={_WRITER_CHECKPOINT_PAGES}")
            prepare(connection)
        except UnknownFormat as error:
            connection.close()
            raise StoreError(f"the queue {self._path} {error}") from None
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    # --- what the SMTP side uses ------------------------------------------------------------------

    def new_id(self) -> int:
        """A fresh queue id; needed before :meth:`add`, because the Received header names it."""
        return self._ids.next()

    async def add(self, envelope: Envelope, body: bytes) -> int:
        """Store a message; returns its id when it is durable. Raises :class:`StoreError` when it is not."""
        await self._changed(lambda connection: _insert(connection, envelope, body))
        self._announce(envelope)
        return envelope.id

    def on_added(self, listener: Callable[[Envelope], None]) -> None:
        """Have ``listener`` called (on the event loop) for each message once it is durable."""
        self._listeners.append(listener)

    # --- what the delivery side uses --------------------------------------------------------------

    def finish(self, message: int, numbers: tuple[int, ...]) -> "Future[None]":
        """Take recipients (by their place in the envelope) off a message; the last one takes the message with it."""
        future: Future[None] = Future()

        def done(_result: object, error: BaseException | None) -> None:
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self._submit(lambda connection: _remove(connection, message, numbers), done)
        return future

    async def record(
        self,
        message: int,
        finished: Collection[int],
        deferred: Mapping[int, tuple[float, str]],
        notifications: Sequence[Notification] = (),
    ) -> tuple[Notification, ...]:
        """Note what an attempt did, in one transaction: no crash loses a recipient or tells a sender twice.

        ``finished``: recipients (by number) that are delivered or given up; the last one takes the message with it.
        ``deferred``: when each of these is tried again (seconds since the epoch) and why. ``notifications`` are added
        to the queue, a ``delay`` only when none was made before; returns those that were added.
        Raises :class:`StoreError`; then nothing is noted.
        """
        added: list[Notification] = []

        def apply(connection: sqlite3.Connection) -> None:
            added[:] = [n for n in notifications if not n.delay or _tell_delay(connection, message)]
            for notification in added:
                _insert(connection, notification.envelope, notification.body)
            _defer(connection, message, deferred)
            _remove(connection, message, finished)

        await self._changed(apply)
        for notification in added:
            self._announce(notification.envelope)
        return tuple(added)

    def due_remote(self, now: float, limit: int, per_domain: int) -> tuple[list[tuple[int, str]], bool]:
        """Message and domain of what is to be sent to other hosts at the time ``now``, the longest waiting first.

        At most ``limit`` pairs, and ``per_domain`` of one domain, so that a large backlog hides nobody else's mail;
        the second value says whether there are more.
        """
        query = "SELECT message, domain FROM recipient WHERE is_local = 0 AND due <= ? ORDER BY due"
        pairs: dict[tuple[int, str], None] = {}
        counts: dict[str, int] = {}
        cut = False
        with self._read_lock:
            cursor = self._reader.execute(query, (now,))
            for message, domain in cursor:
                if len(pairs) >= limit:
                    cut = True
                    break
                if counts.get(domain, 0) >= per_domain:
                    cut = True
                elif (message, domain) not in pairs:
                    pairs[message, domain] = None
                    counts[domain] = counts.get(domain, 0) + 1
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

    def body(self, message: int) -> bytes | None:
        """The text of a message as it is sent; None when it is gone."""
        rows = self._read("SELECT body FROM message WHERE id = ?", message)
        return rows[0][0] if rows else None

    def open_local(self) -> list[int]:
        """Ids of all messages that have a local recipient, oldest first."""
        rows = self._read("SELECT DISTINCT message FROM recipient WHERE is_local = 1 ORDER BY message")
        return [row[0] for row in rows]

    def load(self, message: int) -> tuple[Envelope, dict[int, Recipient], bytes] | None:
        """Envelope, open recipients by their number, and body of one message; None when it is gone."""
        rows = self._read(
            f"SELECT sender, auth_user, peer, helo, tls, eight_bit, received, smtputf8, {SIZE}, body"
            " FROM message WHERE id = ?",
            message,
        )
        if not rows:
            return None
        recipients = {
            number: Recipient(local_part, domain, bool(is_local))
            for number, local_part, domain, is_local in self._read(
                "SELECT number, local_part, domain, is_local FROM recipient WHERE message = ? ORDER BY number", message
            )
        }
        sender, auth_user, peer, helo, tls, eight_bit, received, smtputf8, size, body = rows[0]
        found = tuple(recipients.values())
        envelope = Envelope(
            message, sender, found, auth_user, peer, helo, tls, bool(eight_bit), received, bool(smtputf8), size
        )
        return envelope, recipients, body

    def count(self) -> int:
        """How many messages are in the queue."""
        return self._read("SELECT count(*) FROM message")[0][0]

    def close(self) -> None:
        """Commit what waits, stop the threads and close the file. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._waiting.put(None)
        self._writer.join()
        self._checkpoint.set()
        self._checkpointer.join()
        with self._read_lock:
            self._reader.close()
        self._connection.close()

    async def _changed(self, apply: Callable[[sqlite3.Connection], object]) -> None:
        """Have the writer make a change; returns when it is durable. Raises :class:`StoreError` when it is not."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def settle(error: BaseException | None) -> None:
            if future.cancelled():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        def done(_result: object, error: BaseException | None) -> None:
            try:
                loop.call_soon_threadsafe(settle, error)
            except RuntimeError:
                return  # the loop is closed: the process is going down, and nobody was told 250

        self._submit(apply, done)
        await future

    def _announce(self, envelope: Envelope) -> None:
        for listener in self._listeners:
            listener(envelope)

    # --- the writer -------------------------------------------------------------------------------

    def _read(self, query: str, *values: object) -> list[tuple]:
        # All rows at once: an open statement would hold a snapshot and keep the log from being copied back.
        with self._read_lock:
            return self._reader.execute(query, values).fetchall()

    def _submit(self, apply: Callable[[sqlite3.Connection], object], done: Callable) -> None:
        if self._closed:
            raise StoreError("the queue is closed")
        if self._broken:
            raise StoreError(self._broken)
        self._waiting.put(_Change(apply, done))

    def _batches(self) -> Iterator[list[_Change]]:
        ending = False
        while not ending:
            batch: list[_Change] = []
            change = self._waiting.get()
            while True:
                if change is None:
                    ending = True
                else:
                    batch.append(change)
                try:
                    change = self._waiting.get_nowait()
                except queue.Empty:
                    break
            if batch:
                yield batch

    def _write(self) -> None:
        for batch in self._batches():
            error = StoreError(self._broken) if self._broken else self._commit(batch)
            if isinstance(error, StoreError) and len(batch) > 1 and not self._broken:
                # One bad change must not take its company with it: each on its own now.
                for change in batch:
                    change.done(None, self._commit([change]))
            else:
                for change in batch:
                    change.done(None, error)
            self._pages += len(batch)
            if self._pages * 4 > CHECKPOINT_PAGES:
                self._pages = 0
                self._checkpoint.set()

    def _commit(self, batch: list[_Change]) -> StoreError | None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for change in batch:
                change.apply(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            failure = error
            try:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            except sqlite3.Error as second:
                failure = second
            name = getattr(failure, "sqlite_errorname", "")
            if name.startswith("SQLITE_IOERR"):
                # After a failed sync the kernel may have dropped the pages: a later success would prove nothing.
                self._broken = f"the queue takes no more mail until a restart: {failure}"
            return StoreError(f"not stored: {failure}", full=name == "SQLITE_FULL")
        return None

    def _copy_back(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            while not self._closed:
                self._checkpoint.wait()
                self._checkpoint.clear()
                try:
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                except sqlite3.OperationalError:
                    continue  # busy or full: the log stays longer, nothing is lost
        finally:
            connection.close()


def _insert(connection: sqlite3.Connection, envelope: Envelope, body: bytes) -> None:
    connection.execute(
        "INSERT INTO message (id, sender, auth_user, peer, helo, tls, eight_bit, received, open_recipients, smtputf8,"
        " size, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            envelope.id, envelope.sender, envelope.auth_user, envelope.peer, envelope.helo, envelope.tls,
            envelope.eight_bit, envelope.received, len(envelope.recipients), envelope.smtputf8, len(body), body,
        ),
    )  # fmt: skip
    connection.executemany(
        "INSERT INTO recipient (message, number, local_part, domain, is_local, due) VALUES (?, ?, ?, ?, ?, ?)",
        [
            (envelope.id, number, recipient.local_part, recipient.domain, recipient.is_local, envelope.received)
            for number, recipient in enumerate(envelope.recipients)
        ],
    )


def _remove(connection: sqlite3.Connection, message: int, numbers: Collection[int]) -> None:
    removed = sum(
        connection.execute("DELETE FROM recipient WHERE message = ? AND number = ?", (message, number)).rowcount
        for number in numbers
    )
    connection.execute("UPDATE message SET open_recipients = open_recipients - ? WHERE id = ?", (removed, message))
    connection.execute("DELETE FROM message WHERE id = ? AND open_recipients <= 0", (message,))


def _defer(connection: sqlite3.Connection, message: int, deferred: Mapping[int, tuple[float, str]]) -> None:
    connection.executemany(
        "UPDATE recipient SET due = ?, attempts = attempts + 1, status = ? WHERE message = ? AND number = ?",
        [(due, status, message, number) for number, (due, status) in deferred.items()],
    )


def _tell_delay(connection: sqlite3.Connection, message: int) -> bool:
    """Note that the sender knows of the delay; False when that was noted before."""
    query = "UPDATE message SET delay_told = 1 WHERE id = ? AND delay_told = 0"
    return connection.execute(query, (message,)).rowcount > 0
