# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing a message into a Maildir, at most once and durably.

The file name is made from the queue id and the recipient, never from the time of delivery: a delivery
that is repeated after a crash finds the file of the first attempt and writes nothing.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path


class UnsafeName(ValueError):
    """A domain or local part that cannot be a folder name."""


def mailbox_folder(root: Path, domain: str, local_part: str) -> Path:
    """``<root>/<domain>/<local part>/Maildir``. Raises :class:`UnsafeName` for names that would leave the root."""
    for name in (domain, local_part):
        if not name or name in (".", "..") or "/" in name or "\0" in name:
            raise UnsafeName(f"{name!r} cannot be a folder name")
    return root / domain.lower() / local_part.lower() / "Maildir"


def deliver(folder: str | Path, name: str, pieces: Iterable[bytes], again: bool = False) -> bool:
    """Put a message as ``new/<name>`` into the Maildir ``folder``, synced; False when it is there already.

    These are :func:`write`, :meth:`Draft.publish` and the syncs of :class:`Syncs`, which many messages may share.
    Raises OSError (no room, no permission), and what reading ``pieces`` raises.
    """
    syncs = Syncs()
    draft = write(str(folder), name, pieces, again)
    if draft is not None:
        error = syncs.files([draft]).get(draft) or draft.publish()
        if error is not None:
            raise error
    for error in syncs.folders({str(folder)}).values():
        raise error
    return draft is not None


class Draft:
    """A message that was written where no reader sees it. It has a descriptor until :meth:`Syncs.files`."""

    __slots__ = ("folder", "name", "descriptor", "size")

    def __init__(self, folder: str, name: str, descriptor: int, size: int) -> None:
        self.folder, self.name, self.descriptor, self.size = folder, name, descriptor, size

    def publish(self) -> OSError | None:
        """Show it to readers, once it is synced."""
        source, target = f"{self.folder}/tmp/{self.name}", f"{self.folder}/new/{self.name}"
        try:
            try:
                os.rename(source, target)
            except FileNotFoundError:
                _make(Path(self.folder))
                os.rename(source, target)
        except OSError as error:
            return error
        return None

    def end(self, keep: bool) -> None:
        """Close it; what is not to be kept goes: on a full disk half a message takes the room of a whole one."""
        with suppress(OSError):
            os.close(self.descriptor)
        if not keep:
            with suppress(OSError):
                os.unlink(f"{self.folder}/tmp/{self.name}")


def write(folder: str, name: str, pieces: Iterable[bytes], again: bool = False) -> Draft | None:
    """Write a message, not synced; None when it is in the mailbox already.

    CR LF becomes LF: the Maildir convention keeps lines as the host's programs write them. ``again``: this may be a
    repetition. Then a reader of the mailbox may have moved the file to ``cur`` with flags behind a colon in the
    meantime; that counts as there. Raises OSError (no room, no permission), and what reading ``pieces`` raises; then
    nothing is left.
    """
    if os.path.exists(f"{folder}/new/{name}") or (again and _is_read(f"{folder}/cur", name)):
        return None
    part = f"{folder}/tmp/{name}"
    try:
        descriptor = _open(part)
    except FileNotFoundError:
        _make(Path(folder))
        descriptor = _open(part)
    draft = Draft(folder, name, descriptor, 0)
    try:
        held = b""
        for piece in pieces:
            data = held + piece if held else piece
            # The LF of a CR at the end of a piece is in the next one.
            held = b"\r" if data.endswith(b"\r") else b""
            data = (data[: len(data) - len(held)] if held else data).replace(b"\r\n", b"\n")
            _write(descriptor, data)
            draft.size += len(data)
        _write(descriptor, held)
    except BaseException:
        draft.end(keep=False)
        raise
    return draft


class Syncs:
    """Makes files and folders durable.

    Many files together are synced by one syncfs(2), which is several times cheaper than an fsync(2) of each, and tells of
    errors since Linux 5.8 (on overlays since 5.11). It also writes what others have left to be written on that file
    system; where that takes long, files are synced one by one for a while, several at a time.
    """

    #: Files from which on one syncfs is cheaper; seconds that it may take, and how long it is left alone if not.
    LEAST, QUICK, AWHILE = 4, 0.5, 60.0
    _THREADS = 8

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._not_before = 0.0 if _SYNCFS is not None else float("inf")

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def files(self, drafts: Sequence[Draft]) -> dict[Draft, OSError]:
        """Sync and close these; what went wrong, with which of them. Nothing is left of those."""
        open_ones = list(drafts)
        if len(drafts) >= self.LEAST and time.monotonic() >= self._not_before:
            open_ones = self._together(drafts)
        errors = dict(zip(open_ones, self._each(lambda draft: _fsync(draft.descriptor), open_ones)))
        found = {draft: error for draft, error in errors.items() if error is not None}
        for draft in drafts:
            draft.end(keep=draft not in found)
        return found

    def folders(self, folders: Collection[str]) -> dict[str, OSError]:
        """Make durable what was published in these Maildirs; what went wrong, with which of them."""
        names = list(folders)
        errors = zip(names, self._each(lambda name: _sync_folder(f"{name}/new"), names))
        return {name: error for name, error in errors if error is not None}

    def _each(self, sync: Callable[..., OSError | None], what: Sequence) -> Iterable[OSError | None]:
        if len(what) < 2:
            return [sync(one) for one in what]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._THREADS, "mailbox-sync")
        return self._pool.map(sync, what)

    def _together(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Those that were not synced."""
        devices: dict[str, int] = {}
        groups: dict[int, list[Draft]] = {}
        for draft in drafts:
            if draft.folder not in devices:
                devices[draft.folder] = os.fstat(draft.descriptor).st_dev
            groups.setdefault(devices[draft.folder], []).append(draft)
        unsynced: list[Draft] = []
        for group in groups.values():
            begun = time.monotonic()
            # It tells of errors since the descriptor was opened: the first one was before all others were written.
            if len(group) < self.LEAST or not _syncfs(group[0].descriptor):
                # An error may be somebody else's: each file knows its own.
                unsynced += group
            if time.monotonic() - begun > self.QUICK:
                self._not_before = time.monotonic() + self.AWHILE
        return unsynced


def _find_syncfs() -> Callable[[int], int] | None:
    """The system's call; None where it does not tell of errors."""
    system = os.uname()
    version = re.match(r"(\d+)\.(\d+)", system.release)
    if system.sysname != "Linux" or version is None or (int(version[1]), int(version[2])) < (5, 11):
        return None
    try:
        # Where memory must not become code it may not be to be had.
        import ctypes

        return ctypes.CDLL(None).syncfs
    except (ImportError, MemoryError, OSError, AttributeError):
        return None


_SYNCFS = _find_syncfs()


def _syncfs(descriptor: int) -> bool:
    """Whether all of the descriptor's file system is on the disk."""
    return _SYNCFS is not None and _SYNCFS(descriptor) == 0


def _fsync(descriptor: int) -> OSError | None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        return error
    return None


def _open(part: str) -> int:
    # A file left in tmp by a crash is a torn copy of the same message: it is written anew.
    return os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def _write(descriptor: int, data: bytes) -> None:
    done = os.write(descriptor, data) if data else 0
    while done < len(data):
        done += os.write(descriptor, memoryview(data)[done:])


def _is_read(cur: str, name: str) -> bool:
    try:
        with os.scandir(cur) as entries:
            return any(entry.name == name or entry.name.startswith(name + ":") for entry in entries)
    except FileNotFoundError:
        return False


def _make(folder: Path) -> None:
    """Create the Maildir and its parents, each made durable in its parent before anything is put into it."""
    if (folder / "tmp").is_dir() and (folder / "cur").is_dir() and (folder / "new").is_dir():
        return
    missing = [folder / part for part in ("new", "cur", "tmp")]
    place = folder
    while not place.is_dir():
        missing.append(place)
        place = place.parent
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
        error = _sync_folder(str(path.parent))
        if error is not None:
            raise error


def _sync_folder(path: str) -> OSError | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return error
    return None
