# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing a message into a Maildir, at most once and durably.

The file name is made from the queue id and the recipient, never from the time of delivery: a delivery
that is repeated after a crash finds the file of the first attempt and writes nothing.
"""

from __future__ import annotations

import os
from pathlib import Path


class UnsafeName(ValueError):
    """A domain or local part that cannot be a folder name."""


def mailbox_folder(root: Path, domain: str, local_part: str) -> Path:
    """``<root>/<domain>/<local part>/Maildir``. Raises :class:`UnsafeName` for names that would leave the root."""
    for name in (domain, local_part):
        if not name or name in (".", "..") or "/" in name or "\0" in name:
            raise UnsafeName(f"{name!r} cannot be a folder name")
    return root / domain.lower() / local_part.lower() / "Maildir"


def deliver(folder: Path, name: str, content: bytes, again: bool = False) -> bool:
    """Put ``content`` as ``new/<name>`` into the Maildir ``folder``, synced; False when it is there already.

    ``again``: this may be a repetition. Then a reader of the mailbox may have moved the file to ``cur`` with flags
    behind a colon in the meantime; that counts as there. Raises OSError (no room, no permission); then nothing is
    visible to readers.
    """
    _make(folder)
    target = folder / "new" / name
    if target.exists() or (again and _is_read(folder / "cur", name)):
        return False
    part = folder / "tmp" / name
    # A file left in tmp by a crash is a torn copy of the same message: it is written anew.
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(part, target)
    _sync_folder(folder / "new")
    return True


def _is_read(cur: Path, name: str) -> bool:
    with os.scandir(cur) as entries:
        return any(entry.name == name or entry.name.startswith(name + ":") for entry in entries)


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
