# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Local delivery: from the queue into the Maildirs of this server's accounts.

One thread reads the queue file a page at a time, the oldest message first; what was accepted meanwhile only tells it to
look again, so a large backlog is nowhere but on the disk. It delivers what it read at once, several files at a time,
because the syncs of files that are written together cost little more than one. Files are synced before the recipients
are taken off the queue, all of them in one transaction: a crash in between repeats the delivery, and the repeated
delivery finds the file (see :mod:`maildir`). Recipients at other domains are left to :mod:`remote`.

A mailbox that cannot be written is left alone for longer and longer; on a full disk all are. Nothing is lost, nobody
is told, and the mail goes on when there is room.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..queue.store import Envelope, Recipient, Store, id_text
from . import maildir
from .maildir import UnsafeName, mailbox_folder
from .trouble import Troubles

#: Seconds until a mailbox that could not be written (no room, no permission) is tried again, at first and at last.
RETRY_AFTER, RETRY_AT_LAST = 60.0, 600.0
#: Recipients that are read, delivered and taken off the queue together; files that are written at a time.
PAGE, WRITERS = 64, 8

# What is wrong with the disk or the process, and with no mailbox in particular.
_EVERYWHERE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
_ALL, _QUEUE = "all mailboxes", "the queue"
_START = (-1, -1)


@dataclass(frozen=True)
class _Job:
    """One recipient of one message."""

    message: int
    number: int
    recipient: Recipient
    sender: str
    folder: Path

    @property
    def name(self) -> str:
        """The file's name, which never changes."""
        return f"{self.message >> 20}.{id_text(self.message)}-{self.number}.postern"

    @property
    def address(self) -> str:
        return f"{self.recipient.local_part}@{self.recipient.domain}"


class LocalDelivery:
    """Delivers to ``<root>/<domain>/<local part>/Maildir``; ``root`` is ``<state_dir>/domains``."""

    def __init__(self, store: Store, root: str | Path, log, retry_after: float = RETRY_AFTER) -> None:
        self._store = store
        self._root = Path(root)
        self._log = log
        self._troubles = Troubles(retry_after, RETRY_AT_LAST)
        #: A message before this one may be in its mailbox already: from before the start, or before a failure.
        self._repeated = store.new_id()
        #: What is in mailboxes and could not be taken off the queue; nothing else is done before it is.
        self._undone: dict[int, list[int]] = {}
        self._lock = threading.Lock()
        self._asked: tuple[int, int] | None = _START
        self._look = threading.Event()
        self._stopping = threading.Event()
        self._going = threading.Event()
        self._going.set()
        self._thread = threading.Thread(target=self._run, name="local-delivery", daemon=True)

    def start(self) -> None:
        """Take up what the queue holds from before, then everything that is accepted from now on."""
        self._store.on_added(self._added)
        self._thread.start()

    def pause(self, paused: bool) -> None:
        """Leave in the queue what is there, or go on with it. What is in hand is finished."""
        if paused:
            self._going.clear()
        else:
            self._going.set()

    def look_again(self) -> None:
        """Go through the queue from its beginning: somebody else has changed it."""
        self._look_from(_START)

    def close(self) -> None:
        """Finish what is in hand and stop; what is left stays in the queue. Blocks until then."""
        self._stopping.set()
        self._going.set()
        self._look.set()
        if self._thread.ident is not None:
            self._thread.join()

    # --- what is to be done -----------------------------------------------------------------------

    def _added(self, envelope: Envelope) -> None:
        if any(recipient.is_local for recipient in envelope.recipients):
            # Ids grow, but a long message may be accepted behind others that began later.
            self._look_from((envelope.id, -1))

    def _look_from(self, place: tuple[int, int], wake: bool = True) -> None:
        with self._lock:
            self._asked = place if self._asked is None else min(self._asked, place)
        if wake:
            self._look.set()

    def _take(self) -> tuple[int, int] | None:
        with self._lock:
            asked, self._asked = self._asked, None
        return asked

    def _run(self) -> None:
        with ThreadPoolExecutor(WRITERS, "local-writer") as pool:
            while not self._stopping.is_set():
                try:
                    self._turn(pool)
                except Exception as error:  # the queue cannot be read or written, or there is a defect
                    self._note(_QUEUE, "delivery.error", f"{type(error).__name__}: {error}", "error")
                self._look.wait(self._troubles.next())
                self._look.clear()

    def _turn(self, pool: ThreadPoolExecutor) -> None:
        """Deliver page after page, until there is no more."""
        after = self._take()
        while True:
            self._going.wait()
            if self._troubles.due():
                after = _START
            if after is None:
                return
            if self._stopping.is_set() or self._troubles.blocked(_QUEUE) or self._troubles.blocked(_ALL):
                self._look_from(after, wake=False)
                return
            try:
                self._finish({})
                page = self._store.due_local(after, PAGE)
                self._finish(self._deliver(pool, self._jobs(page)))
            except BaseException:
                self._look_from(after, wake=False)
                raise
            self._settled(_QUEUE)
            places = [page[-1][:2] if page else None, self._take()]
            after = min((place for place in places if place is not None), default=None)

    def _jobs(self, page: Iterable[tuple[int, int, Recipient, str]]) -> Iterator[_Job]:
        for message, number, recipient, sender in page:
            address = f"{recipient.local_part}@{recipient.domain}"
            try:
                folder = mailbox_folder(self._root, recipient.domain, recipient.local_part)
            except UnsafeName as error:
                self._note((message, number), "delivery.failed", str(error), id=id_text(message), recipient=address)
                continue
            if not self._troubles.blocked(folder) and not self._troubles.blocked((message, number)):
                yield _Job(message, number, recipient, sender, folder)

    # --- what is done -----------------------------------------------------------------------------

    def _deliver(self, pool: ThreadPoolExecutor, jobs: Iterable[_Job]) -> dict[int, list[int]]:
        """Put messages into mailboxes; returns the numbers of recipients that have theirs, by message."""
        found = [(job, outcome) for job, outcome in pool.map(self._written, jobs) if outcome is not None]
        good = [(job, outcome) for job, outcome in found if not isinstance(outcome, Exception)]
        bad = [(job, outcome) for job, outcome in found if isinstance(outcome, Exception)]
        # Also where nothing was written now: the crash may have come before the sync.
        folders = {job.folder for job, _written in good}
        unsynced = {folder: error for folder, error in pool.map(_synced, folders) if error is not None}
        done: dict[int, list[int]] = {}
        for job, written in good:
            if job.folder in unsynced:
                bad.append((job, unsynced[job.folder]))
                continue
            done.setdefault(job.message, []).append(job.number)
            self._settled(job.folder)
            result = "written" if written else "there"
            self._log.event("delivery.local", id=id_text(job.message), recipient=job.address, result=result)
        for job, error in bad:
            self._failed(job, error)
        if done and not bad:
            # With some of a page gone wrong the others may have come before the disk was full.
            self._settled(_ALL)
        return done

    def _written(self, job: _Job) -> tuple[_Job, bool | Exception | None]:
        """Whether the file was written now, what went wrong, or None when the message is gone."""
        try:
            text = self._store.text(job.message)
            if text is None:
                return job, None
            # RFC 5321 section 4.4: the last MTA writes the envelope sender as Return-Path.
            trace = b"Return-Path: <%s>\r\n" % job.sender.encode("utf-8", "replace")
            written = maildir.write(job.folder, job.name, _behind(trace, text), job.message < self._repeated)
            if written:
                maildir.publish(job.folder, job.name)
            return job, written
        except Exception as error:  # whatever is wrong with one message must not stop the others
            return job, error

    def _failed(self, job: _Job, error: Exception) -> None:
        number = id_text(job.message)
        if isinstance(error, OSError):
            what = _ALL if error.errno in _EVERYWHERE else job.folder
            self._note(what, "delivery.failed", str(error), id=number, recipient=job.address)
        else:
            reason = f"{type(error).__name__}: {error}"
            self._note((job.message, job.number), "delivery.error", reason, "error", id=number)

    def _finish(self, done: dict[int, list[int]]) -> None:
        """Take recipients off the queue, all in one transaction; returns when it is durable.

        What raises is kept and comes first the next time: a mailbox may lose a message to its reader meanwhile, and
        would get it twice.
        """
        self._undone |= done
        futures = {message: self._store.finish(message, tuple(numbers)) for message, numbers in self._undone.items()}
        errors = {message: future.exception() for message, future in futures.items()}
        for message, error in errors.items():
            if error is None:
                del self._undone[message]
        for error in errors.values():
            if error is not None:
                raise error

    # --- what is said -----------------------------------------------------------------------------

    def _note(self, what: object, name: str, reason: str, level: str = "warning", **fields: str) -> None:
        """Say it once; whoever reads the log need not know how often it was tried since."""
        self._repeated = self._store.new_id()
        if self._troubles.met(what):
            self._log.event(name, level=level, error=reason, **fields)

    def _settled(self, what: object) -> None:
        if self._troubles.over(what):
            self._log.event("delivery.recovered", what=str(what))


def _behind(trace: bytes, text: Iterable[bytes]) -> Iterator[bytes]:
    """The text with a line of trace in front, in one piece when it is a short one."""
    pieces = iter(text)
    yield trace + next(pieces, b"")
    yield from pieces


def _synced(folder: Path) -> tuple[Path, Exception | None]:
    try:
        maildir.sync(folder)
    except OSError as error:
        return folder, error
    return folder, None
