# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The processes of one Postfix instance: whether they run, and how they are made to read their configuration (master(8)).

``postfix reload`` only sends a signal. Until the master process has acted on it, its listeners answer as they did before, and
it may end afterwards: a look that comes too early sees nothing of that.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
import typing as t

from ..base import CommandRefused, ServerError
from .programs import Programs

#: Seconds that the master process has to act on a signal.
_PATIENCE = 5.0

_PAUSE = 0.005

#: Seconds after which a signal is taken to be acted upon where nobody can look into processes.
_BLIND = 1.0


class MailSystem:
    """The master process of the instance in ``directory``, whose queue is in ``queue``."""

    def __init__(self, programs: Programs, directory: str, queue: str) -> None:
        self._programs = programs
        self._directory = directory
        self._pid_file = os.path.join(queue, "pid", "master.pid")
        self._unit = unit(self._pid())

    def is_running(self) -> bool:
        """Whether there is a master process. Raises :class:`ServerError`."""
        return _is_master(self._programs, self._directory, self._pid_file)

    def reload(self) -> None:
        """Have it read its files, and wait until it did, or ended. Raises :class:`CommandRefused`."""
        pid = self._pid()
        before = _sockets(pid)
        self._control("reload", "reload Postfix")
        end = time.monotonic() + (_PATIENCE if before else _BLIND)
        last = before
        while time.monotonic() < end:
            # The master process makes new sockets for its children's messages when it reads its files; no event tells.
            time.sleep(_PAUSE if before else _BLIND)
            now = _sockets(pid)
            if before and (not now or now == last and not before <= now):
                return
            last = now

    def restart(self) -> None:
        """Stop and start, for what a reload leaves as it is. Raises :class:`CommandRefused`."""
        if self._unit and self._systemctl():
            return
        self._control("stop", "stop Postfix")
        self.start()

    def start(self) -> None:
        """Start it where it has ended. Raises :class:`CommandRefused`."""
        if self._unit and self._systemctl():
            return
        self._control("start", "start Postfix")

    def _control(self, verb: str, operation: str) -> None:
        status, said = self._programs.control(verb, self._directory)
        if status:
            raise CommandRefused(operation, "; ".join(said.splitlines()[-5:]) or "it ended with status %d" % status)

    def _systemctl(self) -> bool:
        """Whether the service manager started it anew: what it started itself it can stop again."""
        program = shutil.which("systemctl")
        if program is None:
            return False
        try:
            done = subprocess.run(  # pylint: disable=ansible-bad-function
                [program, "restart", self._unit],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=self._programs.timeout,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0

    def _pid(self) -> t.Optional[int]:
        return _number_in(self._pid_file)


def is_running(programs: Programs, directory: str) -> bool:
    """Whether there is a master process. Only root may ask. Raises :class:`ServerError`."""
    queue = programs.postconf("-xh", "queue_directory", directory=directory).lines[0].strip()
    return _is_master(programs, directory, os.path.join(queue, "pid", "master.pid"))


def _number_in(path: str) -> t.Optional[int]:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read(100))
    except (OSError, ValueError):
        return None


def _is_master(programs: Programs, directory: str, pid_file: str) -> bool:
    """Looked up where processes can be seen: ``postfix status`` says what it has to say by way of postlogd(8), and waits for it."""
    if os.path.isdir("/proc/self"):
        pid = _number_in(pid_file)
        try:
            # One that has ended and is still listed has no words any more.
            with open("/proc/%d/cmdline" % (pid or 0), "rb") as file:
                return b"master" in file.read(4096)
        except OSError:
            return False
    status, said = programs.control("status", directory)
    if status and "not running" not in said:
        raise ServerError("ask whether Postfix runs", said or "postfix status ended with %d" % status)
    return status == 0


def unit(pid: t.Optional[int]) -> str:
    """The unit of the service manager that a process belongs to; "" for none (systemd.unit(5), cgroups(7))."""
    try:
        with open("/proc/%d/cgroup" % (pid or 0), encoding="ascii", errors="replace") as file:
            return unit_in(file.read())
    except OSError:
        return ""


def unit_in(text: str) -> str:
    """The service in the text of a ``cgroup`` file; "" for none."""
    found = re.search(r"^(?:0:|\d+:name=systemd):.*/([^/\n]+\.service)$", text, re.MULTILINE)
    return found.group(1) if found else ""


def _sockets(pid: t.Optional[int]) -> t.FrozenSet[str]:
    """The names of a process's sockets; empty when it has ended, or where there is no way to see them."""
    folder = "/proc/%d/fd" % (pid or 0)
    found = set()
    try:
        for name in os.listdir(folder):
            try:
                target = os.readlink(os.path.join(folder, name))
            except OSError:
                continue
            if target.startswith("socket:"):
                found.add(target)
    except OSError:
        pass
    return frozenset(found)
