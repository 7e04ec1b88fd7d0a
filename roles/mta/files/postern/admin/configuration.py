# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The running configuration, how it is replaced, and how it is saved and loaded.

Tree and policy script are one thing here: they become active together, are saved together and come
back together at the next start. What was committed but not saved is lost at a restart, script included;
only a crash is no restart: the generation that was active is on disk before COMMIT is answered, and a
server that died without being asked to comes back with it.
"""

from __future__ import annotations

import asyncio
import os
import typing as t
from dataclasses import dataclass

from ..emulation import ITSELF, Emulation
from ..settings import ActivationError, Generation
from . import cfgfile, tree
from .tree import Node

SAVED_TREE = "postern.cfg"
SAVED_SCRIPT = os.path.join("filters", "smtpFilters.script")
#: The active generation, for the time after a crash: tree, NUL, script. Not there after a graceful end.
ACTIVE = "postern.active"
_FRESH = ".new"
_MARKER = "postern.save"


class Conflict(Exception):
    """Somebody else committed a change of the same thing in the meantime; the text names both generations."""


class LoadError(Exception):
    """The saved configuration cannot be read; the text names the file, the line and the reason."""


@dataclass(frozen=True)
class Running:
    """One generation as the admin side sees it. The tree is never changed."""

    number: int
    tree: Node
    script: bytes


class Configuration:
    """Running and saved configuration of one server.

    ``activate`` makes a generation active or raises ``ActivationError``. ``check_script`` raises
    ``ValueError`` with a line number for a script that cannot run. Files live below ``state_dir``. ``emulation`` says
    what the server pretends to be, and when an uploaded script counts.
    """

    def __init__(
        self,
        state_dir: str,
        host_name: str,
        activate: t.Callable[[Generation], t.Awaitable[None]],
        check_script: t.Callable[[bytes], None],
        emulation: Emulation = ITSELF,
    ) -> None:
        self.state_dir = state_dir
        self.emulation = emulation
        self._check_script = check_script
        self.running = Running(0, tree.new_server(), b"")
        self._host_name = host_name
        self._activate = activate
        self._lock = asyncio.Lock()

    # --- start ----------------------------------------------------------------------------------

    def load(self, initial_script: str = "") -> list[str]:
        """Read what was saved, without activating it. Returns notes for the log; raises :class:`LoadError`.

        ``initial_script`` is a path that is read while no script was ever saved.
        """
        self._finish_save()
        if self._recover():
            return ["the server died without being asked to: it takes up the configuration that was active"]
        notes: list[str] = []
        server = tree.new_server()
        path = os.path.join(self.state_dir, SAVED_TREE)
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                server, notes = cfgfile.read_server(file.read())
        except FileNotFoundError:
            notes.append("nothing was saved yet: the server listens nowhere until listeners are added")
        except (OSError, cfgfile.ConfigError) as error:
            raise LoadError(f"{path}: {error}") from None
        self.running = Running(0, server, self._load_script(initial_script))
        return notes

    def _recover(self) -> bool:
        """Take up the generation of a crashed server, once: what crashes it again must not come back for ever."""
        path = os.path.join(self.state_dir, ACTIVE)
        try:
            with open(path, "rb") as file:
                printed, _nul, script = file.read().partition(b"\0")
            os.unlink(path)
            server, _notes = cfgfile.read_server(printed.decode("utf-8", "surrogateescape"))
        except (OSError, cfgfile.ConfigError):
            return False
        self.running = Running(0, server, script)
        return True

    async def survived(self) -> None:
        """The server runs well: after a crash it may have its active generation back (again)."""
        async with self._lock:
            await asyncio.to_thread(self._keep_active, self.running.tree, self.running.script)
            await asyncio.to_thread(self._publish_active)

    def _load_script(self, initial_script: str) -> bytes:
        saved = os.path.join(self.state_dir, SAVED_SCRIPT)
        for path in (saved, initial_script):
            try:
                if path:
                    with open(path, "rb") as file:
                        return file.read()
            except FileNotFoundError:
                if path == initial_script:
                    raise LoadError(f"{path}: the initial script does not exist") from None
            except OSError as error:
                raise LoadError(f"{path}: {error.strerror}") from None
        return b""

    async def start(self) -> None:
        """Activate what was loaded. Raises ``ActivationError``."""
        async with self._lock:
            number, server, script = self.running.number + 1, self.running.tree, self.running.script
            await self._activate(self._generation(number, server, script))
            self.running = Running(number, server, script)

    async def check_script(self, script: bytes) -> None:
        """Raise ``ValueError`` with a line number when the script cannot run. Works in a thread: scripts are big."""
        await asyncio.to_thread(self._check_script, script)

    # --- change ---------------------------------------------------------------------------------

    async def commit(self, base: Running, mine: Node, script: bytes | None) -> Running:
        """Make ``mine`` and ``script`` (None = unchanged) active, all or nothing.

        ``base`` is what the session started from. Raises :class:`Conflict` when the running
        configuration has changed since in a place that this session changes too, and ``ActivationError``.
        """
        async with self._lock:
            current = self.running
            server, content = mine, base.script if script is None else script
            if current.number != base.number:
                self._check_overlap(base, mine, script, current)
                server = tree.merge(base.tree, mine, current.tree)
                content = current.script if script is None else script
            await self._replace(server.copy(), content)
            return self.running

    async def upload(self, script: bytes) -> None:
        """Where an upload needs no COMMIT: make ``script`` active at once, and keep it for the next start.

        Settings that are pending in a session stay pending. Raises ``ActivationError``; then the old script goes on.
        """
        path = os.path.join(self.state_dir, SAVED_SCRIPT)
        async with self._lock:
            old = self.running.script
            await self._replace(self.running.tree, script)
            try:
                await asyncio.to_thread(_write_over, path, script)
            except OSError as error:
                await self._replace(self.running.tree, old)
                raise ActivationError(f"{path}: {error.strerror}") from None

    def _check_overlap(self, base: Running, mine: Node, script: bytes | None, current: Running) -> None:
        old = tree.units(base.tree)
        both = tree.changed_units(old, tree.units(mine)) & tree.changed_units(old, tree.units(current.tree))
        if script is not None and current.script not in (base.script, script):
            both.add("policy script")
        if both:
            raise Conflict(
                f"generation {base.number} was read here, generation {current.number} is running: another session"
                f" changed {', '.join(sorted(both))} as well; go BACK and start again"
            )

    async def _replace(self, server: Node, script: bytes) -> None:
        """On disk, then active, then the one that a crash would bring back; whatever fails, the old one runs on."""
        old = self.running
        try:
            await asyncio.to_thread(self._keep_active, server, script)
            await self._activate(self._generation(old.number + 1, server, script))
            try:
                await asyncio.to_thread(self._publish_active)
            except OSError:
                await self._activate(self._generation(old.number, old.tree, old.script))
                raise
        except OSError as error:
            raise ActivationError(f"{error.filename or self.state_dir}: {error.strerror}") from None
        self.running = Running(old.number + 1, server, script)

    def _generation(self, number: int, server: Node, script: bytes) -> Generation:
        return tree.generation(server, script, number, self._host_name, self.state_dir)

    def _keep_active(self, server: Node, script: bytes) -> None:
        printed = cfgfile.print_server(server).encode("utf-8", "surrogateescape")
        write_durably(os.path.join(self.state_dir, ACTIVE + _FRESH), printed + b"\0" + script)

    def _publish_active(self) -> None:
        path = os.path.join(self.state_dir, ACTIVE)
        os.replace(path + _FRESH, path)
        _sync_directory(self.state_dir)

    # --- save -----------------------------------------------------------------------------------

    async def save(self) -> None:
        """Write the running configuration so that a restart loads it: both files or none. Raises ``OSError``."""
        async with self._lock:
            await asyncio.to_thread(self._save, self.running)

    def _save(self, running: Running) -> None:
        """Both files are complete on disk before the marker; the marker is the moment of the change."""
        self._finish_save()  # A marker that an earlier failure left must not vouch for half-written files.
        os.makedirs(os.path.join(self.state_dir, os.path.dirname(SAVED_SCRIPT)), mode=0o750, exist_ok=True)
        text = cfgfile.print_server(running.tree).encode("utf-8", "surrogateescape")
        for name, content in ((SAVED_TREE, text), (SAVED_SCRIPT, running.script)):
            write_durably(os.path.join(self.state_dir, name + _FRESH), content)
        write_durably(os.path.join(self.state_dir, _MARKER), b"both files below are complete\n")
        _sync_directory(self.state_dir)
        self._finish_save()

    def _finish_save(self) -> None:
        """Put fresh files in place when the marker says that they are complete; else forget them."""
        marker = os.path.join(self.state_dir, _MARKER)
        complete = os.path.exists(marker)
        for name in (SAVED_TREE, SAVED_SCRIPT):
            path = os.path.join(self.state_dir, name)
            if not os.path.exists(path + _FRESH):
                continue
            if complete:
                os.replace(path + _FRESH, path)
                _sync_directory(os.path.dirname(path))
            else:
                os.unlink(path + _FRESH)
        if complete:
            os.unlink(marker)
            _sync_directory(self.state_dir)


def saved_file(state_dir: str, name: str) -> str:
    """Where the next start will find ``SAVED_TREE`` or ``SAVED_SCRIPT``: a save that was cut short is finished by it."""
    path = os.path.join(state_dir, name)
    complete = os.path.exists(os.path.join(state_dir, _MARKER)) and os.path.exists(path + _FRESH)
    return path + _FRESH if complete else path


def forget_active(state_dir: str) -> None:
    """A graceful end, or a deliberate start: what was committed and not saved is lost."""
    try:
        os.unlink(os.path.join(state_dir, ACTIVE))
    except FileNotFoundError:
        pass


def _write_over(path: str, content: bytes) -> None:
    """Replace a file, or leave the old one whole. Its folder is made when it is not there. Raises ``OSError``."""
    os.makedirs(os.path.dirname(path), mode=0o750, exist_ok=True)
    write_durably(path + _FRESH, content)
    os.replace(path + _FRESH, path)
    _sync_directory(os.path.dirname(path))


def write_durably(path: str, content: bytes, mode: int = 0o640) -> None:
    """Write a file that is on disk when this returns, its directory entry included. Raises ``OSError``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _sync_directory(os.path.dirname(path))


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
