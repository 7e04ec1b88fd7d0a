# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries messages into the Maildirs of this server.

The files of a page are written first and synced together, then moved to where readers look, then their folders are synced;
only then are the recipients taken off the queue. A delivery that is repeated finds the file (see :mod:`maildir`).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from ..queue.store import Due, Store, id_text
from . import maildir
from .lane import EVERYTHING, Done, Left, Result, address
from .maildir import mailbox_folder

#: Octets that are written between two syncs.
AT_ONCE = 8 * 1024 * 1024

# What is wrong with the disk or the process, and with no mailbox in particular.
_EVERYWHERE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


class MaildirCarrier:
    """Delivers to ``<root>/<domain>/<local part>/Maildir``."""

    def __init__(self, store: Store, root: str | Path) -> None:
        self._store = store
        self._root = Path(root)
        self._syncs = maildir.Syncs()
        self._folder = lru_cache(maxsize=1000)(self._folder_of)

    def place(self, due: Due) -> str:
        """The Maildir. Raises ValueError for a name that cannot be a folder's."""
        return self._folder(due.recipient.domain, due.recipient.local_part)

    def carry(self, page: Sequence[Due], repeated: int) -> list[Result]:
        """Deliver a page; returns when all of it is durable."""
        results: list[Result] = []
        written: list[tuple[Due, maildir.Draft | None]] = []
        octets = 0
        for due in page:
            try:
                draft = self._write(due, repeated)
            except _Gone:
                continue
            except Exception as error:  # whatever is wrong with one message must not stop the others
                results.append(self._left(due, error))
                continue
            written.append((due, draft))
            octets += draft.size if draft is not None else 0
            if octets >= AT_ONCE:
                results += self._publish(written)
                written, octets = [], 0
        return results + self._publish(written)

    def rest(self) -> None:
        """Nothing is kept open."""

    def close(self) -> None:
        """End the threads that sync."""
        self._syncs.close()

    def _folder_of(self, domain: str, local_part: str) -> str:
        return str(mailbox_folder(self._root, domain, local_part))

    def _write(self, due: Due, repeated: int) -> maildir.Draft | None:
        """The message, not synced; None when it is in the mailbox already."""
        if due.body is not None:
            text: Iterable[bytes] = (due.body,)
        else:
            found = self._store.text(due.message)
            if found is None:
                raise _Gone
            text = found
        # RFC 5321 section 4.4: the last MTA writes the envelope sender as Return-Path.
        called = due.recipient.address or address(due)
        trace = f"Return-Path: <{due.sender}>\r\nDelivered-To: {called}\r\n".encode("utf-8", "replace")
        # The file's name never changes.
        name = f"{due.message >> 20}.{id_text(due.message)}-{due.number}.postern"
        return maildir.write(self.place(due), name, _behind(trace, text), due.message < repeated)

    def _publish(self, written: Sequence[tuple[Due, maildir.Draft | None]]) -> list[Result]:
        """Sync the files of a page, show them to readers, and sync that."""
        results: list[Result] = []
        errors = self._syncs.files([draft for _due, draft in written if draft is not None])
        there: list[tuple[Due, str]] = []
        for due, draft in written:
            if draft is None:
                there.append((due, "there"))
                continue
            error = errors.get(draft)
            if error is None:
                error = draft.publish()
            if error is None:
                there.append((due, "written"))
            else:
                results.append(self._left(due, error))
        # Also where nothing was written now: the crash may have come before the sync.
        unsynced = self._syncs.folders({self.place(due) for due, _result in there})
        for due, result in there:
            error = unsynced.get(self.place(due))
            results.append(Done(due, result) if error is None else self._left(due, error))
        return results

    def _left(self, due: Due, error: Exception) -> Left:
        if isinstance(error, OSError):
            return Left(due, EVERYTHING if error.errno in _EVERYWHERE else self.place(due), str(error))
        return Left(due, None, f"{type(error).__name__}: {error}", defect=True)


class _Gone(Exception):
    """The message is not in the queue any more."""


def _behind(trace: bytes, text: Iterable[bytes]) -> Iterator[bytes]:
    """The text with a line of trace in front, in one piece when it is a short one."""
    pieces = iter(text)
    yield trace + next(pieces, b"")
    yield from pieces
