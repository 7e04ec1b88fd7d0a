# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The thread that changes the queue file, the one that copies its log back, and what they make of errors.

The writer takes all changes that wait, commits them together and never waits for company, so a lone message is
committed at once and a crowd shares a sync. Pieces of long texts come second: a commit holds a few of them at most,
so that a message is not held up by the long one beside it.

Where the disk syncs in a moment, messages are committed on the event loop itself, all that came in one turn of it
together: to wake the thread, and the loop again, takes longer than such a sync. The thread has everything else, and
messages too as soon as one commit was slow.

A failed sync is the end (:attr:`Writer.broken`): the kernel may have dropped the pages it could not write, and a later
sync that succeeds would prove nothing. A disk without room and a file system that became read-only pass: nothing was
written, and the next change may be.
"""

from __future__ import annotations

import asyncio
import errno
import os
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from .schema import UnknownFormat, prepare

#: Pages of 4 KiB in the write-ahead log after which the checkpoint thread copies them into the file.
CHECKPOINT_PAGES = 2000
#: The writer itself checkpoints only when the thread cannot keep up, because it makes all wait.
_WRITER_CHECKPOINT_PAGES = 50_000
#: Pages of pieces that go into one commit.
_BULK_PAGES = 512
#: Octets of the disk that long texts leave free. What the log holds must find room in the file, or it cannot be used
#: again; then not even deleting, which needs the log too, would make room.
_KEPT_FREE = 16 * 1024 * 1024
#: A message of usual length and its recipients, in pages.
_MESSAGE_PAGES = 4
#: Seconds that a commit may take for the event loop to make it.
_QUICK = 0.002
#: What a lack of room looks like to whoever writes; a quota is one, although SQLite takes it for an I/O error.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

Apply = Callable[[sqlite3.Connection], object]


class StoreError(Exception):
    """A change that is not durable, or a read that failed. ``full`` is true when the disk has no room, false for any
    other reason. ``known``: the reason is one of the whole queue, which its listeners are told once."""

    def __init__(self, reason: str, full: bool = False, known: bool = False) -> None:
        super().__init__(reason)
        self.full = full
        self.known = known


class _Change:
    __slots__ = ("apply", "pages", "future", "loop", "then", "done")

    def __init__(
        self,
        apply: Apply,
        pages: int = 0,
        future: "asyncio.Future | Future | None" = None,
        loop: asyncio.AbstractEventLoop | None = None,
        then: Callable[[], None] | None = None,
        done: Callable[[StoreError | None], None] | None = None,
    ) -> None:
        self.done = done
        self.apply = apply
        self.pages = pages
        self.future = future
        self.loop = loop
        self.then = then

    def settle(self, error: StoreError | None) -> None:
        """Tell whoever waits. What follows on a change follows although nobody waits any more."""
        if error is None and self.then is not None:
            self.then()
        if self.done is not None:
            self.done(error)
            return
        if self.future.cancelled():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


class Writer:
    """Writes to the queue file at ``path``. Raises ``sqlite3.Error`` and :class:`StoreError` when it cannot be opened.

    ``changed_state`` is called in a thread of the writer when the queue as a whole gets into trouble or out of it:
    with the reason (empty: it is over) and whether it is final.
    """

    def __init__(self, path: str, changed_state: Callable[[str, bool], None]) -> None:
        self._path = path
        self._changed_state = changed_state
        self._waiting: queue.SimpleQueue[_Change | None] = queue.SimpleQueue()
        self._bulk: deque[_Change] = deque()
        self._postponed: deque[_Change] = deque()
        self._closed = False
        self._trouble = ""
        self._pages = 0
        #: Messages of this turn of the event loop; who may use the connection; seconds that commits take at the moment.
        self._at_once: list[_Change] = []
        self._turn = threading.Lock()
        self._pace = float("inf")
        self._checkpoint = threading.Event()
        self.broken = ""
        self.connection = self._open()
        self._thread = threading.Thread(target=self._write, name="queue-writer", daemon=True)
        self._copier = threading.Thread(target=self._copy_back, name="queue-checkpoint", daemon=True)
        self._thread.start()
        self._copier.start()

    def _open(self) -> sqlite3.Connection:
        connection = _connect(self._path)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA wal_autocheckpoint={_WRITER_CHECKPOINT_PAGES}")
            prepare(connection)
            # A process that ended after a failed sync left a log of which parts may be in memory only. Here all of it
            # is written again, into the file, and synced; nothing is put behind it before.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except UnknownFormat as error:
            connection.close()
            raise StoreError(f"the queue {self._path} {error}") from None
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    # --- changes ----------------------------------------------------------------------------------

    async def change(self, apply: Apply, pages: int = 0, then: Callable[[], None] | None = None) -> None:
        """Make a change; returns when it is durable. Raises :class:`StoreError` when it is not.

        ``pages``: how much it writes at most when it can wait for others, 0 when it cannot. ``then`` is called on the
        event loop once it is durable, also when the caller was cancelled meanwhile.
        """
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._put(_Change(apply, pages, future, loop, then))
        await future

    def change_soon(self, apply: Apply, done: Callable[["StoreError | None"], None]) -> None:
        """The same without anybody who waits: ``done`` is called on the event loop, with the error when there is one.

        Every message comes this way: a task for each would cost as much as its commands do.
        """
        loop = asyncio.get_running_loop()
        change = _Change(apply, loop=loop, done=done)
        if self._pace > _QUICK or self._closed or self.broken:
            self._put(change)
            return
        if not self._at_once:
            loop.call_soon(self._commit_at_once)
        self._at_once.append(change)

    def _commit_at_once(self) -> None:
        """On the event loop: commit what this turn of it has brought, unless the thread is at work."""
        batch, self._at_once = self._at_once, []
        if not self._turn.acquire(blocking=False):
            for change in batch:
                self._waiting.put(change)
            return
        try:
            outcomes = self._made(batch)
        finally:
            self._turn.release()
        _settle_all(outcomes)

    def submit(self, apply: Apply) -> "Future[None]":
        """The same for threads: the future ends when the change is durable. Raises :class:`StoreError`."""
        future: Future[None] = Future()
        self._put(_Change(apply, future=future))
        return future

    def in_background(self, apply: Apply, pages: int) -> None:
        """Make a change when there is time for it, and room; nobody learns whether it was made."""
        if not self._closed and not self.broken:
            self._waiting.put(_Change(apply, pages))

    def close(self) -> None:
        """Commit what waits, except for what is done in the background, stop the threads and close the file."""
        self._closed = True
        self._waiting.put(None)
        self._thread.join()
        self._checkpoint.set()
        self._copier.join()
        with self._turn:
            self.connection.close()

    def _put(self, change: _Change) -> None:
        if self._closed:
            raise StoreError("the queue is closed", known=True)
        if self.broken:
            raise StoreError(self.broken, known=True)
        self._waiting.put(change)

    # --- the thread -------------------------------------------------------------------------------

    def _batches(self) -> Iterator[list[_Change]]:
        waiting, bulk = self._waiting, self._bulk
        ending = False
        while not (ending and not bulk):
            batch: list[_Change] = []
            try:
                change = waiting.get_nowait() if bulk or ending else waiting.get()
                while True:
                    if change is None:
                        ending = True
                    elif change.pages:
                        bulk.append(change)
                    else:
                        batch.append(change)
                    change = waiting.get_nowait()
            except queue.Empty:
                pass
            room = _BULK_PAGES
            while bulk and (room == _BULK_PAGES or bulk[0].pages <= room):
                change = bulk.popleft()
                if not ending or change.future is not None:
                    room -= change.pages
                    batch.append(change)
            if batch:
                yield batch

    def _write(self) -> None:
        for batch in self._batches():
            with self._turn:
                outcomes = self._made(batch)
            self._tell(outcomes)

    def _made(self, batch: list[_Change]) -> list[tuple[_Change, StoreError | None]]:
        """Commit a batch; each change with what went wrong with it."""
        error = self._commit(batch)
        if error is None or len(batch) == 1 or error.known:
            outcomes = [(change, error) for change in batch]
        else:
            # One bad change must not take its company with it: each on its own now.
            outcomes = [(change, self._commit([change])) for change in batch]
        for change in batch:
            self._pages += change.pages or _MESSAGE_PAGES
        if self._pages > CHECKPOINT_PAGES:
            self._pages = 0
            self._checkpoint.set()
        return outcomes

    def _commit(self, batch: list[_Change]) -> StoreError | None:
        if self.broken:
            return StoreError(self.broken, known=True)
        connection = self.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for change in batch:
                change.apply(connection)
            begun = time.monotonic()
            connection.execute("COMMIT")
            taken = time.monotonic() - begun
            # One slow commit counts at once, and is forgotten bit by bit.
            self._pace = taken if taken > self._pace or self._pace == float("inf") else 0.9 * self._pace + 0.1 * taken
        except Exception as error:
            # Not only what SQLite says: a text that cannot be encoded must not end the thread either.
            failures = [error]
            try:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            except sqlite3.Error as second:
                failures.append(second)
            return self._judged(failures)
        if self._trouble:
            self._note("")
        while self._postponed:
            # By way of those that wait: the thread may be asleep, and this need not be the thread.
            self._waiting.put(self._postponed.popleft())
        return None

    def _tell(self, outcomes: list[tuple[_Change, StoreError | None]]) -> None:
        """One wake-up of a loop for a whole batch: it costs more than what is to be told."""
        loops: dict[asyncio.AbstractEventLoop, list[tuple[_Change, StoreError | None]]] = {}
        for change, error in outcomes:
            if change.loop is not None:
                loops.setdefault(change.loop, []).append((change, error))
            elif change.future is not None:
                change.settle(error)
            elif error is not None and error.known:
                self._postponed.append(change)
        for loop, settled in loops.items():
            try:
                loop.call_soon_threadsafe(_settle_all, settled)
            except RuntimeError:
                continue  # the loop is closed: the process is going down, and nobody was told 250

    def _copy_back(self) -> None:
        connection = _connect(self._path)
        try:
            while not self._closed:
                self._checkpoint.wait()
                self._checkpoint.clear()
                if self.broken:
                    return
                try:
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                except sqlite3.Error as error:
                    # Busy or full: the log stays longer, nothing is lost. A failed sync ends it here too.
                    if _name(error).startswith("SQLITE_IOERR"):
                        self._judged([error])
        finally:
            connection.close()

    def has_room(self, octets: int = 0) -> bool:
        """Whether a long text may take so much more of the disk: the last of it is for short ones, and for deleting."""
        try:
            found = os.statvfs(self._path)
        except OSError:
            return True  # the write will tell
        return found.f_bavail * found.f_frsize - octets >= _KEPT_FREE

    # --- errors -----------------------------------------------------------------------------------

    def _judged(self, failures: list[Exception]) -> StoreError:
        """What is to be said of a change that failed; takes note when it concerns the whole queue."""
        worst = failures[0]
        for failure in failures:
            if _name(failure).startswith("SQLITE_IOERR"):
                worst = failure
        name = _name(worst)
        if name.endswith("FSYNC"):
            return self._break(worst)
        if name == "SQLITE_FULL":
            return self._passing(f"the disk has no room: {worst}", True)
        if not name.startswith(("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")):
            return StoreError(f"not stored: {type(worst).__name__}: {worst}")
        # SQLite does not say which error of the system is behind it: memory of the log that cannot grow on a full disk
        # is an I/O error, a quota and a file system that became read-only are too. A write beside the queue tells.
        number = _why_not_writable(self._path)
        if number in _NO_ROOM:
            return self._passing(f"the disk has no room: {worst}", True)
        if number == errno.EROFS or name.startswith("SQLITE_READONLY"):
            return self._passing(f"the file system is read-only: {worst}", False)
        return self._break(worst)

    def _passing(self, reason: str, full: bool) -> StoreError:
        self._note(reason)
        return StoreError(f"not stored: {reason}", full, known=True)

    def _break(self, error: Exception) -> StoreError:
        if not self.broken:
            self.broken = f"the queue takes no more mail until a restart: {_name(error)}: {error}"
            self._changed_state(self.broken, True)
        return StoreError(self.broken, known=True)

    def _note(self, reason: str) -> None:
        if reason != self._trouble:
            self._trouble = reason
            self._changed_state(reason, False)


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    # Set on every connection: builds of SQLite differ in what they default to. Zeros over what was deleted would cost
    # as much as the message did, and no file system below keeps the promise that they make.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA secure_delete=FAST").fetchall()
    return connection


def _name(error: Exception) -> str:
    return str(getattr(error, "sqlite_errorname", ""))


def _why_not_writable(path: str) -> int:
    """The system's error when a little is written beside ``path``; 0 when that goes well."""
    probe = path + "-probe"
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            # More than a page of log memory, which grows by 32 KiB.
            os.write(descriptor, bytes(65536))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
            os.unlink(probe)
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _settle_all(outcomes: list[tuple[_Change, StoreError | None]]) -> None:
    for change, error in outcomes:
        try:
            change.settle(error)
        except Exception as defect:
            # One listener with a defect must not keep the others waiting.
            context = {"message": "a listener of the queue failed", "exception": defect}
            asyncio.get_running_loop().call_exception_handler(context)
