# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing a message into a Maildir, at most once and durably.

The file name is made from the queue id and the recipient, never from the time of delivery: a delivery
that is repeated after a crash finds the file of the first attempt and writes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
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


def deliver(folder: Path, name: str, pieces: Iterable[bytes], again: bool = False) -> bool:
    """Put a message as ``new/<name>`` into the Maildir ``folder``, synced; False when it is there already.

    These are :func:`write`, :func:`publish` and :func:`sync`, which may be called on their own, so that many messages
    share a sync. Raises OSError (no room, no permission), and what reading ``pieces`` raises.
    """
    written = write(folder, name, pieces, again)
    if written:
        publish(folder, name)
    sync(folder)
    return written


def write(folder: Path, name: str, pieces: Iterable[bytes], again: bool = False) -> bool:
    """Write a message, synced, where no reader sees it; False when it is in the mailbox already.

    CR LF becomes LF: the Maildir convention keeps lines as the host's programs write them. ``again``: this may be a
    repetition. Then a reader of the mailbox may have moved the file to ``cur`` with flags behind a colon in the
    meantime; that counts as there. Raises OSError (no room, no permission), and what reading ``pieces`` raises; then
    nothing is left.
    """
    if os.path.exists(folder / "new" / name) or (again and _is_read(folder / "cur", name)):
        return False
    part = folder / "tmp" / name
    try:
        descriptor = _open(part)
    except FileNotFoundError:
        _make(folder)
        descriptor = _open(part)
    try:
        try:
            held = b""
            for piece in pieces:
                data = held + piece if held else piece
                # The LF of a CR at the end of a piece is in the next one.
                held = b"\r" if data.endswith(b"\r") else b""
                _write(descriptor, data[: len(data) - len(held)].replace(b"\r\n", b"\n"))
            _write(descriptor, held)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        # On a full disk half a message takes the room that a whole one could have.
        with suppress(OSError):
            os.unlink(part)
        raise
    return True


def publish(folder: Path, name: str) -> None:
    """Show readers a message that was written. Raises OSError."""
    source, target = folder / "tmp" / name, folder / "new" / name
    try:
        os.rename(source, target)
    except FileNotFoundError:
        _make(folder)
        os.rename(source, target)


def sync(folder: Path) -> None:
    """Make durable what was published. Raises OSError."""
    _sync_folder(folder / "new")


def _open(part: Path) -> int:
    # A file left in tmp by a crash is a torn copy of the same message: it is written anew.
    return os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _is_read(cur: Path, name: str) -> bool:
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
        _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
