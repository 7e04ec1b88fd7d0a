# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing a configuration, all of it or nothing, and seeing that Postfix lives with it.

``postfix check`` looks at files and permissions; it is no validation. What it passes over can end the whole mail system with
exit status 0. So new texts are tried in a folder beside, new listeners by a bind, and afterwards each listener is
connected to. Until then a journal beside the files says what is being replaced; a run that finds one undoes it first.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
import typing as t

from ..._policy.errors import PolicyError
from ..base import CommandRefused, Conflict, ReadBackError, ServerError
from . import addresses, answering, configuration, table
from .configuration import MAIN, MASTER, OWN_FOLDER, Configuration, Draft
from .programs import Programs

JOURNAL = "journal.json"

#: What a file that comes and one that goes are called meanwhile.
_NEW, _OLD = ".securemail-new", ".securemail-old"

#: Files of an instance that ``postfix check`` and table types need, copied into the folder that a plan is tried in.
_COMPANIONS = ("dynamicmaps.cf", "dynamicmaps.cf.d", "postfix-files", "postfix-files.d", "post-install", "postfix-script", "makedefs.out")

#: Own files that nobody else may read.
_SECRET = ("relay_password",)


class _Replacement(t.NamedTuple):
    """A file that is replaced (``content``, or a ready ``source`` beside it), or goes (neither)."""

    path: str
    content: t.Optional[bytes]
    source: str = ""


class Installation:
    """The files and processes of one instance."""

    def __init__(self, programs: Programs, directory: str) -> None:
        self._programs = programs
        self._directory = directory
        self._journal = os.path.join(directory, OWN_FOLDER, JOURNAL)
        self._lock: t.Optional[int] = None
        #: Listeners that were there and did not answer before anything was changed.
        self._silent: t.FrozenSet[str] = frozenset()
        self._ran = False

    # --- looking ----------------------------------------------------------------------------------

    def is_running(self) -> t.Optional[bool]:
        """Whether the master process runs; None where nobody but root may ask."""
        if os.geteuid() != 0:
            return None
        return self._programs.control("status", self._directory)[0] == 0

    @contextlib.contextmanager
    def side(self, draft: Draft) -> t.Iterator[str]:
        """A folder with the configuration as the draft has it. Raises ``PolicyError`` for what cannot work."""
        self._check_binds(draft)
        folder = tempfile.mkdtemp(prefix="securemail-postfix-")
        try:
            for name in _COMPANIONS:
                _copy(os.path.join(self._directory, name), os.path.join(folder, name))
            for name in (OWN_FOLDER, configuration.SASL_FOLDER):
                os.mkdir(os.path.join(folder, name), 0o755)
            for path, content in draft.files().items():
                with open(os.path.join(folder, path), "wb") as file:
                    file.write(content)
                configuration.settle_file(os.path.join(folder, path))
            for name, kind in table.references(draft).items():
                if kind in table.COMPILED and draft.own_text(name) is not None:
                    self._programs.postmap("%s:%s" % (kind, os.path.join(folder, configuration.own_path(name))), directory=folder)
            if os.geteuid() == 0:
                self._check(folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _check(self, folder: str) -> None:
        status, said = self._programs.control("check", folder)
        lines = [line.replace(folder, self._directory) for line in said.splitlines()]
        if not lines and status == 0:
            return
        # What Postfix complains of already is not this plan's business.
        before = self._programs.control("check", self._directory)[1].splitlines()
        new = [line for line in lines if _words(line) not in set(map(_words, before))]
        if status != 0 or new:
            raise CommandRefused(
                "try the new configuration (postfix check)",
                "; ".join((new or lines)[:5]) or "it ended with status %d" % status,
                "Nothing was changed.",
            )

    def _check_binds(self, draft: Draft) -> None:
        """Nothing may be in the way of a new listener: it would end Postfix at the next reload."""
        before = addresses.listening(draft.base)
        problems = addresses.twice(draft)
        for address in addresses.listening(draft):
            if address not in before:
                reason = addresses.busy(address)
                if reason:
                    problems.append("listener %s: Postfix could not listen there (%s), and would end with all its listeners" % (address, reason))
        if problems:
            raise PolicyError(*problems)

    # --- writing ----------------------------------------------------------------------------------

    def begin(self, files: t.Mapping[str, bytes]) -> None:
        """Keep others out, and see that nothing changed since ``files`` were read.

        Raises :class:`Conflict` and other :class:`ServerError`.
        """
        self._check_rights()
        if self._lock is None:
            self._lock = self._locked()
        try:
            if configuration.read_files(self._directory) != dict(files):
                raise Conflict("change %s" % self._directory, "its files changed since they were read", "Run the task again.")
            self._ran = bool(self.is_running())
            if self._ran:
                doors = answering.doors(self._read())
                self._silent = frozenset(address for address in doors.implicit if answering.silent(doors, address, 2.0))
        except ServerError:
            self.close()
            raise

    def apply(self, changes: t.Mapping[str, t.Optional[bytes]]) -> None:
        """Replace these files, have Postfix read them, and see that it answers. Raises :class:`ServerError`.

        After an error :meth:`finish_interrupted` brings everything back.
        """
        replacements: t.List[_Replacement] = []
        try:
            own = os.path.join(self._directory, OWN_FOLDER)
            if not os.path.isdir(own):
                os.mkdir(own, 0o755)
            replacements = self._prepared(changes)
            self._write_journal(replacements)
            for one in replacements:
                _move(one)
        except OSError as error:
            raise ServerError("write %s" % self._directory, _reason(error)) from None
        finally:
            for one in replacements:
                _remove(one.path + _NEW)
        if self._ran:
            self._reload()
            self._see(answering.doors(self._read()))
        self._forget(replacements)

    def finish_interrupted(self) -> None:
        """Undo what a run began and did not end: the files as they were, and Postfix running if it ran.

        Raises :class:`ServerError` where that cannot be.
        """
        if not os.path.exists(self._journal):
            return
        self._check_rights()
        mine = self._lock is None
        if mine:
            self._lock = self._locked()
        try:
            self._undo()
        finally:
            if mine:
                self.close()

    def close(self) -> None:
        """Let others in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # --- inside -----------------------------------------------------------------------------------

    def _read(self) -> Configuration:
        return configuration.read(self._programs, self._directory)

    def _check_rights(self) -> None:
        if os.geteuid() != 0:
            raise ServerError(
                "change %s" % self._directory, "only root can do that; this is user number %d" % os.geteuid(), "Use become: true."
            )
        mode = os.stat(self._directory)
        if mode.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or mode.st_uid != 0:
            raise ServerError(
                "change %s" % self._directory,
                "the folder belongs to user number %d and has mode %04o: others could replace what is written there"
                % (mode.st_uid, stat.S_IMODE(mode.st_mode)),
                "Make it root's own, with mode 0755.",
            )

    def _locked(self) -> int:
        handle = os.open(self._directory, os.O_RDONLY)
        end = time.monotonic() + self._programs.timeout
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return handle
            except OSError:
                if time.monotonic() > end:
                    os.close(handle)
                    raise ServerError(
                        "change %s" % self._directory, "another task has been changing it for %g s" % self._programs.timeout
                    ) from None
                # A lock that may be waited for without end could not be given up.
                time.sleep(0.05)

    def _prepared(self, changes: t.Mapping[str, t.Optional[bytes]]) -> t.List[_Replacement]:
        """Everything that is to be moved lies ready beside its place; what others refer to comes first."""
        after = dict(configuration.read_files(self._directory))
        for path, content in changes.items():
            if content is None:
                after.pop(path, None)
            else:
                after[path] = content
        found = self._tables(changes, Configuration(self._programs, self._directory, after))
        comes = [path for path in sorted(changes) if path not in (MAIN, MASTER) and changes[path] is not None]
        goes = [path for path in sorted(changes) if changes[path] is None]
        for path in [*comes, *(name for name in (MAIN, MASTER) if name in changes), *goes]:
            target = os.path.realpath(os.path.join(self._directory, path))
            content = changes[path]
            if content is not None:
                _write_new(target, content, 0o600 if path.rpartition("/")[2] in _SECRET else 0o644)
            found.append(_Replacement(target, content))
        gone = [one for one in found if one.content is None and not one.source]
        return [one for one in found if one not in gone] + gone

    def _tables(self, changes: t.Mapping[str, t.Optional[bytes]], after: Configuration) -> t.List[_Replacement]:
        """Indexes of tables whose text or type changes, built beside; those that nobody refers to any more go."""
        found: t.List[_Replacement] = []
        kinds = table.references(after)
        for name in table.INDEXED:
            path = configuration.own_path(name)
            text, kind = after.own_text(name), kinds.get(name)
            wanted = table.index_path(self._directory, kind, name) if kind and text is not None else None
            base = os.path.join(self._directory, path)
            for end in sorted(set(table.COMPILED.values())):
                if base + end != wanted and os.path.exists(base + end):
                    found.append(_Replacement(base + end, None))
            if wanted is None or kind is None or (path not in changes and os.path.exists(wanted)):
                continue
            source = base + _NEW
            _write_new(base, configuration.bytes_of(text or ""), 0o600 if name in _SECRET else 0o644)
            self._programs.postmap("%s:%s" % (kind, source), directory=self._directory)
            os.replace(source + table.COMPILED[kind], wanted + _NEW)
            if path not in changes:
                _remove(source)
            found.append(_Replacement(wanted, None, wanted + _NEW))
        return found

    def _write_journal(self, replacements: t.Sequence[_Replacement]) -> None:
        entries = []
        for one in replacements:
            entry: t.Dict[str, t.Any] = {"path": one.path, "there": os.path.exists(one.path)}
            if not one.source:
                entry["after"] = None if one.content is None else hashlib.sha256(one.content).hexdigest()
            if entry["there"]:
                _remove(one.path + _OLD)
                os.link(one.path, one.path + _OLD)
                entry["before"] = _digest(one.path)
            entries.append(entry)
        text = json.dumps({"format": 1, "ran": self._ran, "silent": sorted(self._silent), "files": entries}, indent=1)
        _write_new(self._journal, text.encode("ascii"), 0o600)
        os.replace(self._journal + _NEW, self._journal)
        _sync(os.path.dirname(self._journal))

    def _forget(self, replacements: t.Sequence[_Replacement]) -> None:
        """It is done: the journal goes first, then what it names."""
        _remove(self._journal)
        for one in replacements:
            _remove(one.path + _OLD)

    def _undo(self) -> None:
        try:
            with open(self._journal, encoding="ascii") as file:
                journal = json.load(file)
        except FileNotFoundError:
            # Another run was faster.
            return
        except (OSError, ValueError) as error:
            raise ServerError("undo an interrupted change (%s)" % self._journal, str(error)) from None
        strange = []
        moved = False
        try:
            for entry in reversed(journal["files"]):
                path = entry["path"]
                _remove(path + _NEW)
                now = _digest(path) if os.path.exists(path) else None
                if now == entry.get("before"):
                    _remove(path + _OLD)
                    continue
                if "after" in entry and now != entry["after"]:
                    strange.append(path)
                    continue
                moved = True
                if entry["there"]:
                    os.replace(path + _OLD, path)
                else:
                    _remove(path)
        except OSError as error:
            raise ServerError("undo an interrupted change in %s" % self._directory, _reason(error)) from None
        if strange:
            raise ServerError(
                "undo an interrupted change in %s" % self._directory,
                "somebody else changed %s meanwhile" % ", ".join(strange),
                "Look at them and at the files with %s beside them, put right what is wrong, and remove %s." % (_OLD, self._journal),
            )
        _remove(self._journal)
        if journal["ran"] and moved:
            self._silent = frozenset(journal["silent"])
            self._bring_back()

    def _bring_back(self) -> None:
        """Postfix with its former files, running again, whatever the others made of it."""
        doors = answering.doors(self._read())
        if self.is_running():
            self._programs.control("reload", self._directory)
            if not any(answering.silent(doors, address, 3.0) for address in doors.implicit if address not in self._silent):
                return
            # A listener whose processes failed is left alone for a minute; a new master process knows nothing of that.
            self._programs.control("stop", self._directory)
        status, said = self._programs.control("start", self._directory)
        if status:
            raise ServerError("start Postfix again with its former configuration", said or "it ended with status %d" % status)
        self._see(doors)

    def _reload(self) -> None:
        status, said = self._programs.control("reload", self._directory)
        if status:
            raise CommandRefused("reload Postfix", said or "it ended with status %d" % status)

    def _see(self, doors: answering.Doors) -> None:
        """Every listener answers, but for those that did not before. Raises :class:`ReadBackError`."""
        for address in doors.implicit:
            if address in self._silent:
                continue
            reason = answering.silent(doors, address)
            if reason:
                if not self.is_running():
                    reason = "Postfix has ended (%s)" % reason
                raise ReadBackError("see that listener %s answers" % address, reason)


def _words(line: str) -> str:
    """A message without the number of the process that said it."""
    head, unused, rest = line.partition(": ")
    return rest or head


def _copy(source: str, target: str) -> None:
    if os.path.isdir(source):
        shutil.copytree(source, target, symlinks=True)
    elif os.path.exists(source):
        shutil.copy2(source, target)


def _write_new(path: str, content: bytes, mode: int) -> None:
    """Lay a content beside its place, with the mode and owner of what is there."""
    owner = None
    with contextlib.suppress(FileNotFoundError):
        found = os.stat(path)
        mode, owner = stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid)
    _remove(path + _NEW)
    handle = os.open(path + _NEW, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(handle, mode)
        if owner is not None:
            os.fchown(handle, *owner)
        configuration.settle_file(handle)
        os.fsync(handle)


def _move(one: _Replacement) -> None:
    if one.content is None and not one.source:
        _remove(one.path)
    else:
        os.replace(one.path + _NEW, one.path)
    _sync(os.path.dirname(one.path))


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _sync(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _reason(error: OSError) -> str:
    return "%s: %s" % (error.filename, error.strerror) if error.filename else str(error)
