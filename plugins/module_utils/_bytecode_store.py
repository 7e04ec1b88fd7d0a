# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeps compiled code for later tasks on this host (see ``_bytecode``). A task never fails for it."""

from __future__ import annotations

import atexit
import marshal
import os
import stat
import tempfile
import typing as t
import zlib

from . import _bytecode

#: Files that stay, the newest: one for each module and Python, and as many for another version of the collection.
MAX_FILES = 32

_PARTIAL = ".partial-"


def at_exit(path: str, known: t.Mapping[str, bytes], new: t.Mapping[str, bytes]) -> None:
    """When the task is done, keep what is ``known`` and what is ``new`` by then in the file with this path."""
    atexit.register(_save_quietly, path, known, new)


def _save_quietly(path: str, known: t.Mapping[str, bytes], new: t.Mapping[str, bytes]) -> None:
    try:
        save(path, dict(known, **new))
    except (OSError, ValueError):
        # A home that cannot be written to, a full disk: the next task compiles, as this one did.
        pass


def save(path: str, codes: t.Mapping[str, bytes]) -> None:
    """Write the file, whole or not at all, where only this user can write. Raises ``OSError`` and ``ValueError``."""
    folder = os.path.dirname(path)
    base = os.path.dirname(folder)
    if not _bytecode.is_ours(os.stat(os.path.dirname(base) if not os.path.isdir(base) else base)):
        return
    os.makedirs(folder, mode=0o700, exist_ok=True)
    found = os.lstat(folder)
    body = marshal.dumps(dict(codes))
    if not (stat.S_ISDIR(found.st_mode) and _bytecode.is_ours(found)) or len(body) > _bytecode.MAX_SIZE:
        return
    handle, partial = tempfile.mkstemp(prefix=_PARTIAL, dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_bytecode.MAGIC + zlib.crc32(body).to_bytes(4, "big") + body)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
    _remove_old(folder)


def _remove_old(folder: str) -> None:
    """Files beyond :data:`MAX_FILES` go, the oldest first; with them what a task left that was killed while writing."""
    ages = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_bytecode.SUFFIX) or entry.name.startswith(_PARTIAL):
                ages.append((entry.stat(follow_symlinks=False).st_mtime, entry.path))
    for _age, path in sorted(ages, reverse=True)[MAX_FILES:]:
        os.unlink(path)
