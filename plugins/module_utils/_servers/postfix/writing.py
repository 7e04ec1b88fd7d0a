# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing a configuration, all of it or nothing, and seeing that Postfix lives with it.

``postfix check`` looks at files and permissions; it is no validation. What it passes over can end the whole mail system with
exit status 0. So new texts are tried in a folder beside, new listeners by a bind, and afterwards each listener is
connected to. Until then a journal beside the files says what is being replaced; a run that finds one undoes it first.

A server uses :class:`Installation` so: :meth:`~Installation.side` for a plan, also when nothing will be written; then
:meth:`~Installation.begin` with the files that the plan was made for, :meth:`~Installation.apply` with those that change,
after an error :meth:`~Installation.finish_interrupted`, and :meth:`~Installation.close` at the end.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
import typing as t

from ..._policy.address import split_address
from ..._policy.errors import PolicyError
from ..base import CommandRefused, Conflict, ReadBackError, ServerError
from . import addresses, answering, configuration, processes, table
from .configuration import MAIN, MASTER, OWN_FILES, OWN_FOLDER, SASL_FOLDER, Draft, own_path
from .journal import NEW, Journal, Replacement, digest_of, reason, remove, sync, write_new
from .main_cf import MainCf
from .master_cf import MasterCf
from .programs import Programs

#: Own files that nobody else may read, and those that Postfix does not read.
_SECRET = ("relay_password",)
_UNREAD = ("notes.json",)

#: What Postfix says of a parameter that it does not know and that nothing refers to.
_UNUSED = re.compile(r": unused parameter: (\w+)=")

#: Files of an instance that its check and its types of tables need.
_COMPANIONS = ("dynamicmaps.cf", "dynamicmaps.cf.d", "postfix-files", "postfix-files.d", "post-install", "postfix-script", "makedefs.out")

#: What Postfix takes over only when it starts.
_AT_START = ("inet_interfaces", "inet_protocols")


class Installation:
    """The files and processes of one instance. Used by one thread."""

    def __init__(self, programs: Programs, directory: str) -> None:
        self._programs = programs
        self._directory = directory
        self._journal = Journal(directory)
        self._lock: t.Optional[int] = None
        self._before: t.Optional[configuration.Configuration] = None
        #: None: it does not run, and is not started.
        self._system: t.Optional[processes.MailSystem] = None
        #: Listeners that did not answer before anything was changed.
        self._silent: t.FrozenSet[str] = frozenset()

    # --- looking ----------------------------------------------------------------------------------

    def is_running(self) -> t.Optional[bool]:
        """Whether the master process runs; None where nobody but root may ask. Raises :class:`ServerError`."""
        return processes.is_running(self._programs, self._directory) if os.geteuid() == 0 else None

    @contextlib.contextmanager
    def side(self, draft: Draft) -> t.Iterator[str]:
        """A folder with the configuration as the draft has it; the draft gets warnings about how it would be written.

        Raises ``PolicyError`` for what could not work, and :class:`ServerError` for what Postfix's own check says.
        """
        self._check_folders()
        problems = _in_the_way(draft)
        if problems:
            raise PolicyError(*problems)
        self._warn(draft)
        folder = tempfile.mkdtemp(prefix="securemail-postfix-")
        try:
            self._furnish(folder, draft)
            if os.geteuid() == 0:
                self._check(folder, draft)
            # Behind the check: it has words about links that lead elsewhere.
            for name in set(os.listdir(self._directory)).difference(os.listdir(folder)):
                os.symlink(os.path.join(self._directory, name), os.path.join(folder, name))
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _warn(self, draft: Draft) -> None:
        running = self.is_running()
        if running is None:
            draft.warnings.append(
                "this user is not root: what Postfix's own check says of the plan is not known, and only root can write it"
            )
        elif not running:
            draft.warnings.append(
                "Postfix is not running, and is not started: the files are written, and nobody has seen it answer with them"
            )
        elif _starts_anew(draft):
            draft.warnings.append(
                "%s: Postfix takes that over only when it starts, so that it is stopped and started" % ", ".join(_starts_anew(draft))
            )

    def _furnish(self, folder: str, draft: Draft) -> None:
        """Fill a side folder with what is needed to try it."""
        for name in _COMPANIONS:
            source, target = os.path.join(self._directory, name), os.path.join(folder, name)
            if os.path.isdir(source):
                shutil.copytree(source, target)
            elif os.path.exists(source):
                shutil.copy2(source, target)
        for name in (OWN_FOLDER, SASL_FOLDER):
            os.mkdir(os.path.join(folder, name), 0o755)
        for path, content in draft.files().items():
            with open(os.path.join(folder, path), "wb") as file:
                file.write(content)
            configuration.settle_file(os.path.join(folder, path))
        for name, kind in table.references(draft).items():
            path = own_path(name)
            if kind not in table.COMPILED or draft.own_text(name) is None:
                continue
            index = os.path.join(self._directory, path + table.COMPILED[kind])
            if path not in draft.changed_files() and os.path.exists(index):
                # As it is, even where it says something else than its text.
                shutil.copy2(index, os.path.join(folder, path + table.COMPILED[kind]))
            else:
                self._programs.postmap("%s:%s" % (kind, os.path.join(folder, path)), directory=folder)

    def _check(self, folder: str, draft: Draft) -> None:
        status, said = self._programs.control("check", folder)
        lines = [line.replace(folder, self._directory) for line in said.splitlines()]
        if not lines and status == 0:
            return
        # What Postfix complains of already is not this plan's business.
        known = set(map(_words, self._programs.control("check", self._directory)[1].splitlines()))
        # A parameter that stands twice is told once or twice, as the file is young or old.
        new = [line for line in lines if _words(line) not in known and "overriding earlier entry" not in line]
        # Somebody's own parameter, to which nothing refers any more: it is theirs, and does no harm.
        idle = {
            line: match.group(1)
            for line, match in zip(new, map(_UNUSED.search, new))
            if match and draft.base.main.get(match.group(1)) is not None
        }
        draft.warnings += ["main.cf: nothing refers to %s any more" % name for name in sorted(set(idle.values()))]
        new = [line for line in new if line not in idle]
        if status == 0 and not new:
            return
        raise CommandRefused(
            "try the new configuration (postfix check)",
            "; ".join((new or lines)[:5]) or "it ended with status %d" % status,
            "Nothing was changed.",
        )

    # --- writing ----------------------------------------------------------------------------------

    def begin(self, files: t.Mapping[str, bytes]) -> None:
        """Keep others out, and see that nothing changed since ``files`` were read.

        Raises :class:`Conflict` and other :class:`ServerError`.
        """
        if os.geteuid() != 0:
            raise ServerError(
                "change %s" % self._directory, "only root can do that; this is user number %d" % os.geteuid(), "Use become: true."
            )
        self._check_folders()
        if self._lock is None:
            self._lock = self._locked()
        try:
            if self._journal.is_there():
                raise ServerError("change %s" % self._directory, "an interrupted change is still to be undone", "Run the task again.")
            if configuration.read_files(self._directory) != dict(files):
                raise Conflict("change %s" % self._directory, "its files changed since they were read", "Run the task again.")
            self._before = configuration.Configuration(self._programs, self._directory, files)
            self._sweep()
            self._look(self._before)
        except (ServerError, OSError) as error:
            self.close()
            if isinstance(error, OSError):
                raise ServerError("change %s" % self._directory, reason(error)) from None
            raise

    def _look(self, conf: configuration.Configuration) -> None:
        """What runs and answers."""
        self._system, self._silent = None, frozenset()
        system = processes.MailSystem(self._programs, self._directory, conf.value("queue_directory"))
        if system.is_running():
            self._system = system
            doors = answering.doors(conf)
            self._silent = frozenset(address for address, door in doors.items() if answering.silent(door, address, 2.0))

    def apply(self, changes: t.Mapping[str, t.Optional[bytes]]) -> None:
        """Replace these files, have Postfix read them, and see that it answers. Raises :class:`ServerError`.

        Only after :meth:`begin`. After an error :meth:`finish_interrupted` brings everything back.
        """
        if self._before is None or self._lock is None:
            raise ValueError("apply() without begin()")
        draft = _drafted(self._before, changes)
        problems = _in_the_way(draft) if self._system else []
        if problems:
            raise ServerError("change %s" % self._directory, "; ".join(problems), "Nothing was changed.")
        anew = bool(_starts_anew(draft))
        needed = self._system is not None and self._must_read(changes, draft)
        notes = {"running": self._system is not None, "anew": anew, "silent": sorted(self._silent)}
        try:
            self._journal.open_folder()
            self._journal.replace(self._prepared(changes, draft), notes)
        except OSError as error:
            raise ServerError("write %s" % self._directory, reason(error)) from None
        finally:
            if not self._journal.is_there():
                with contextlib.suppress(OSError):
                    self._sweep()
        if self._system is None:
            self._check_written()
        elif needed:
            if anew:
                self._system.restart()
            else:
                self._system.reload()
            self._see(self._read())
        try:
            self._journal.done(self._places())
        except OSError as error:
            raise ServerError("end the change of %s" % self._directory, reason(error)) from None
        self._before = None

    def finish_interrupted(self) -> None:
        """Undo what a run began and did not end: the files as they were, and Postfix running if it ran.

        Raises :class:`ServerError` where that cannot be.
        """
        if not self._journal.is_there():
            return
        if os.geteuid() != 0:
            raise ServerError(
                "undo an interrupted change of %s" % self._directory, "only root can do that", "Run a task with become: true."
            )
        self._check_folders()
        mine = self._lock is None
        if mine:
            self._lock = self._locked()
        try:
            undone = self._journal.undo()
            notes = undone.notes
            if notes.get("running") and undone.moved:
                self._silent = frozenset(notes["silent"])
                self._bring_back(bool(notes["anew"]))
            if notes:
                self._journal.done([*self._places(), *notes["paths"]])
        except OSError as error:
            raise ServerError("undo an interrupted change of %s" % self._directory, reason(error)) from None
        finally:
            if mine:
                self.close()

    def close(self) -> None:
        """Let others in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # --- inside -----------------------------------------------------------------------------------

    def _read(self) -> configuration.Configuration:
        return configuration.read(self._programs, self._directory)

    def _check_folders(self) -> None:
        """Nobody else may be able to replace what is written. Raises :class:`ServerError`."""
        places = [os.path.realpath(os.path.join(self._directory, name)) for name in (MAIN, MASTER)]
        folders = [self._directory, self._journal.folder, *map(os.path.dirname, places)]
        for folder in dict.fromkeys(folders):
            try:
                found = os.stat(folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise ServerError("look at %s" % folder, reason(error)) from None
            if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or found.st_uid != 0:
                raise ServerError(
                    "change %s" % self._directory,
                    "the folder %s belongs to user number %d and has mode %04o: others could replace what is written there"
                    % (folder, found.st_uid, stat.S_IMODE(found.st_mode)),
                    "Make it root's own, with mode 0755.",
                )

    def _locked(self) -> int:
        try:
            handle = os.open(self._directory, os.O_RDONLY)
        except OSError as error:
            raise ServerError("change %s" % self._directory, reason(error)) from None
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
                # A lock that is waited for without end could not be given up.
                time.sleep(0.05)

    def _places(self) -> t.List[str]:
        """All files that a change may replace, where they are behind symbolic links."""
        names = [MAIN, MASTER, *map(own_path, OWN_FILES), *configuration.sasl_files(self._directory)]
        names += [own_path(name) + end for name in table.INDEXED for end in sorted(set(table.COMPILED.values()))]
        return [os.path.realpath(os.path.join(self._directory, name)) for name in names] + [self._journal.path]

    def _sweep(self) -> None:
        """Remove what a run left that ended before anything was replaced."""
        for name in table.INDEXED:
            for end in sorted(set(table.COMPILED.values())):
                remove(os.path.realpath(os.path.join(self._directory, own_path(name))) + NEW + end)
        self._journal.sweep(self._places())

    def _prepared(self, changes: t.Mapping[str, t.Optional[bytes]], draft: Draft) -> t.List[Replacement]:
        """Everything that is to be moved lies ready beside its place; what others refer to comes first."""
        files = t.cast("configuration.Configuration", self._before).files
        texts: t.Dict[str, Replacement] = {}
        for path, content in changes.items():
            target = os.path.realpath(os.path.join(self._directory, path))
            if content is not None:
                write_new(target, content, 0o600 if path in map(own_path, _SECRET) else 0o644)
            before = digest_of(files.get(path))
            texts[path] = Replacement(target, content is not None, before)
        indexes = self._indexes(changes, draft)
        own = [texts[path] for path in sorted(texts) if path not in (MAIN, MASTER)]
        comes = [one for one in [*indexes, *own] if one.comes]
        goes = [one for one in [*own, *indexes] if not one.comes]
        return [*comes, *(texts[path] for path in (MAIN, MASTER) if path in texts), *goes]

    def _indexes(self, changes: t.Mapping[str, t.Optional[bytes]], draft: Draft) -> t.List[Replacement]:
        """Indexes of tables whose text or type changes, built beside; those that nobody refers to any more go."""
        found: t.List[Replacement] = []
        kinds = table.references(draft)
        for name in table.INDEXED:
            path = own_path(name)
            base = os.path.realpath(os.path.join(self._directory, path))
            text, kind = draft.own_text(name), kinds.get(name, "")
            wanted = base + table.COMPILED[kind] if kind in table.COMPILED and text is not None else None
            for end in sorted(set(table.COMPILED.values())):
                if base + end != wanted and os.path.exists(base + end):
                    found.append(Replacement(base + end, False, made=True))
            if wanted is None or (path not in changes and os.path.exists(wanted)):
                continue
            if path not in changes:
                write_new(base, configuration.bytes_of(text or ""), 0o600 if name in _SECRET else 0o644)
            self._programs.postmap("%s:%s" % (kind, base + NEW), directory=self._directory)
            os.replace(base + NEW + table.COMPILED[kind], wanted + NEW)
            sync(wanted + NEW)
            if path not in changes:
                remove(base + NEW)
            found.append(Replacement(wanted, True, made=True))
        return found

    def _must_read(self, changes: t.Mapping[str, t.Optional[bytes]], draft: Draft) -> bool:
        """Whether Postfix has to be told. It finds by itself that the index of a table is another one (DATABASE_README)."""
        kinds = table.references(draft)
        for path, content in changes.items():
            name = path.rpartition("/")[2]
            if name in _UNREAD:
                continue
            kind = kinds.get(name, "")
            if name not in table.INDEXED or content is None or kind not in table.COMPILED:
                return True
            if table.in_force(draft.base, name) is None:
                # A process that could not open the table does not try it again.
                return True
        return False

    def _check_written(self) -> None:
        """What stands there passes Postfix's own check, where nothing else can tell."""
        status, said = self._programs.control("check", self._directory)
        if status:
            raise CommandRefused("check what was written (postfix check)", said or "it ended with status %d" % status)

    def _bring_back(self, anew: bool) -> None:
        """Postfix with its former files, running again, whatever the others made of it. Raises :class:`ServerError`."""
        conf = self._read()
        system = self._system or processes.MailSystem(self._programs, self._directory, conf.value("queue_directory"))
        if system.is_running():
            if not anew:
                try:
                    system.reload()
                    self._see(conf, 3.0)
                    return
                except ServerError:
                    # A listener whose processes failed is left alone for a minute; a new master process knows nothing of that.
                    if not system.is_running():
                        system.start()
                        self._see(conf)
                        return
            system.restart()
        else:
            system.start()
        self._see(conf)

    def _see(self, conf: configuration.Configuration, patience: float = answering.PATIENCE) -> None:
        """Every listener answers, but for those that did not before. Raises :class:`ReadBackError`."""
        for address, door in answering.doors(conf).items():
            if address not in self._silent:
                trouble = answering.silent(door, address, patience, lambda: not self.is_running())
                if trouble:
                    raise ReadBackError(
                        "see that listener %s answers" % address, trouble if self.is_running() else "Postfix has ended (%s)" % trouble
                    )
        if not self.is_running():
            raise ReadBackError("see that Postfix runs", "it has ended")


def _drafted(before: configuration.Configuration, changes: t.Mapping[str, t.Optional[bytes]]) -> Draft:
    """What these files would mean."""
    draft = Draft(before)
    for path, content in changes.items():
        text = None if content is None else configuration.text_of(content)
        if path == MAIN:
            draft.edit_main(MainCf.parse(text or ""))
        elif path == MASTER:
            draft.edit_master(MasterCf.parse(text or ""))
        else:
            draft.table(path.rpartition("/")[2], text)
    return draft


def _starts_anew(draft: Draft) -> t.List[str]:
    """The parameters for which Postfix has to be stopped and started."""
    if draft.main is draft.base.main:
        return []
    return [name for name in _AT_START if draft.value(name) != draft.base.value(name)]


def _in_the_way(draft: Draft) -> t.List[str]:
    """Why Postfix would end at its next reload: what stands in the way of listeners that are new, in words."""
    before, after = addresses.listening(draft.base), addresses.listening(draft)
    problems = []
    for address, services in after.items():
        if len(services) > max(1, len(before.get(address, ()))):
            lines = " and ".join("line %d" % service.line for service in services)
            problems.append("listener %s: two services of master.cf are for it (%s); keep one of them" % (address, lines))
        if address in before:
            continue
        host, port = split_address(address)
        # Where Postfix itself listens now, and will not any more, only the address can be tried.
        own = any(other not in after and _same_port(address, other) for other in before)
        trouble = addresses.busy("%s:0" % address.rpartition(":")[0] if own else address)
        if trouble:
            problems.append(
                "listener %s: Postfix could not listen there (port %d of %s: %s), and would end with all its listeners"
                % (address, port, host, trouble)
            )
    return problems


def _same_port(one: str, other: str) -> bool:
    """Whether two different addresses are for the same connections: one of them is for all of this host."""
    (host, port), (host2, port2) = split_address(one), split_address(other)
    return port == port2 and (":" in host) == (":" in host2) and {host, host2} & {"0.0.0.0", "::"} != set()


def _words(line: str) -> str:
    """A message without the number of the process that said it."""
    head, unused, rest = line.partition(": ")
    return rest or head
