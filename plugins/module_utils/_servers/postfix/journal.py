# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replacing several files as if they were one.

Each new content lies ready beside its place before the first one is moved, and so does what is there, under a second name. A
journal says which. Whoever finds a journal knows that a change was not brought to its end, and can undo it: until the
journal is gone, nothing of what was there is lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import typing as t

from ..base import Conflict, ServerError
from .configuration import OWN_FOLDER, settle_file

JOURNAL = "journal.json"

#: What a content that comes and one that goes are called meanwhile, behind the name of their file.
NEW, OLD = ".securemail-new", ".securemail-old"


class Replacement(t.NamedTuple):
    """A file that gets what lies beside it (``comes``), or goes. ``path`` is no symbolic link.

    ``before`` is the digest of what is expected there now; None: nothing; "" whatever there is. ``made`` by a
    program: then the content may change by itself.
    """

    path: str
    comes: bool
    before: t.Optional[str] = ""
    made: bool = False


class Undone(t.NamedTuple):
    """What :meth:`Journal.undo` did: what the journal had noted beside the files, and whether files were moved."""

    notes: t.Mapping[str, t.Any]
    moved: bool


class Journal:
    """The journal of one configuration directory."""

    def __init__(self, directory: str) -> None:
        self.folder = os.path.join(directory, OWN_FOLDER)
        self.path = os.path.join(self.folder, JOURNAL)

    def is_there(self) -> bool:
        """Whether a change was begun and neither ended nor undone."""
        return os.path.exists(self.path)

    def open_folder(self) -> None:
        """Make the folder of the own files, if there is none."""
        if not os.path.isdir(self.folder):
            os.mkdir(self.folder)
            # Postfix's processes must be able to enter it, whatever this task's umask is.
            os.chmod(self.folder, 0o755)

    def replace(self, replacements: t.Sequence[Replacement], notes: t.Mapping[str, t.Any]) -> None:
        """Write the journal and move all files, in this order. Raises OSError, and :class:`Conflict` before anything is moved."""
        entries = []
        for one in replacements:
            before = digest(one.path)
            if one.before != "" and one.before != before:
                raise Conflict("replace %s" % one.path, "it changed since it was read", "Run the task again.")
            entry: t.Dict[str, t.Any] = {"path": one.path, "before": before, "made": one.made}
            entry["after"] = digest(one.path + NEW) if one.comes else None
            if before is not None:
                _keep(one.path)
            entries.append(entry)
        for folder in {os.path.dirname(one.path) for one in replacements}:
            sync(folder)
        text = json.dumps(dict(notes, format=1, files=entries), indent=1)
        write_new(self.path, text.encode("ascii"), 0o600)
        os.replace(self.path + NEW, self.path)
        sync(self.folder)
        for one in replacements:
            if one.comes:
                os.replace(one.path + NEW, one.path)
            else:
                remove(one.path)
            sync(os.path.dirname(one.path))

    def done(self, paths: t.Iterable[str]) -> None:
        """The change is good: the journal goes, then what would have been needed to undo it. Raises OSError."""
        remove(self.path)
        if os.path.isdir(self.folder):
            sync(self.folder)
        self.sweep(paths)

    def sweep(self, paths: t.Iterable[str]) -> None:
        """Remove what is left beside these files, and an own folder that is empty. Only where there is no journal."""
        for path in paths:
            remove(path + NEW)
            remove(path + OLD)
        with contextlib.suppress(OSError):
            os.rmdir(self.folder)

    def undo(self) -> Undone:
        """Put everything back that the journal names, and keep the journal until :meth:`done`.

        Raises :class:`ServerError`; then nothing was touched, or all of it can be tried again.
        """
        operation = "undo an interrupted change (%s)" % self.path
        try:
            with open(self.path, encoding="ascii") as file:
                journal = json.load(file)
            entries = [(entry["path"], entry["before"], entry["after"], entry["made"]) for entry in journal["files"]]
            now = {path: digest(path) for path, *unused in entries}
        except FileNotFoundError:
            # Somebody else was faster.
            return Undone({}, False)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ServerError(
                operation,
                "the journal cannot be used (%s)" % error,
                "Look at the files with %s beside main.cf and in %s, put right what is wrong, and remove the journal." % (OLD, self.folder),
            ) from None
        strange = [path for path, before, after, made in entries if not made and now[path] not in (before, after)]
        if strange:
            raise ServerError(
                operation,
                "somebody else has changed %s since" % ", ".join(strange),
                "Nothing was undone. Look at them and at the files with %s beside them, put right what is wrong, and remove "
                "the journal." % OLD,
            )
        moved = False
        try:
            for path, before, unused, unused2 in reversed(entries):
                remove(path + NEW)
                if now[path] == before:
                    continue
                moved = True
                if before is None:
                    remove(path)
                else:
                    os.replace(path + OLD, path)
                sync(os.path.dirname(path))
        except OSError as error:
            raise ServerError(operation, reason(error)) from None
        return Undone(dict(journal, paths=[path for path, *unused in entries]), moved)


def write_new(path: str, content: bytes, mode: int) -> None:
    """Lay a content beside its place, with mode and owner of what is there; ``mode`` where there is nothing. Raises OSError."""
    owner = None
    with contextlib.suppress(FileNotFoundError):
        found = os.stat(path)
        mode, owner = stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid)
    remove(path + NEW)
    handle = os.open(path + NEW, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(handle, "wb") as file:
        file.write(content)
        file.flush()
        if owner is not None:
            # Taking another owner may drop bits of the mode.
            os.fchown(handle, *owner)
        os.fchmod(handle, mode)
        settle_file(handle)
        os.fsync(handle)


def sync(path: str) -> None:
    """Have what was written to a file, or the names in a folder, on the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: str) -> None:
    """Remove a file, if it is there. Raises OSError."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(path)


def digest(path: str) -> t.Optional[str]:
    """Of a file's content; None: there is no file. Raises OSError."""
    try:
        with open(path, "rb") as file:
            return digest_of(file.read())
    except FileNotFoundError:
        return None


def digest_of(content: t.Optional[bytes]) -> t.Optional[str]:
    """Of a content that was read; None: there was none."""
    return None if content is None else hashlib.sha256(content).hexdigest()


def reason(error: OSError) -> str:
    """What the system said, and about which file."""
    return "%s: %s" % (error.filename, error.strerror) if error.filename else str(error)


def _keep(path: str) -> None:
    """Give what is there a second name."""
    remove(path + OLD)
    try:
        os.link(path, path + OLD)
    except OSError:
        # A file system without such names.
        shutil.copy2(path, path + OLD)
        found = os.stat(path)
        os.chown(path + OLD, found.st_uid, found.st_gid)
        sync(path + OLD)
