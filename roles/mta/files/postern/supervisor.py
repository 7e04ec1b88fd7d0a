# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes: starting the server in the background, keeping it alive, stopping it, saying whether it runs.

The lock on the pid file is the truth about "running": it is held by the supervisor and its child, so it is
free only when both are gone. The child and the supervisor share a socket: the child says on it when it
is ready, and the end of it tells the child that its supervisor is gone.
"""

from __future__ import annotations

import asyncio
import fcntl
import grp
import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
import typing as t

from . import __path__ as _package_path
from . import manager, opensslconf
from .admin.configuration import forget_active
from .bootstrap import STATUS_FILE, Bootstrap
from .log import Log

PID_FILE = "postern.pid"

_FIRST_DELAY = 0.5
_LONGEST_DELAY = 30.0
#: A child that lived this long (seconds) was healthy: its end starts the delays anew.
_HEALTHY = 60.0
#: What a server says that runs without listening for mail.
INACTIVE = "it answers to administrators only: {}"
#: Seconds that a start or a stop may take before it counts as failed.
_PATIENCE = 60.0


class ProcessError(Exception):
    """A start or stop that failed; the text says why."""


# --- the lock -----------------------------------------------------------------------------------


def pid_file(settings: Bootstrap) -> str:
    """Path of the pid file."""
    return os.path.join(settings.run_dir, PID_FILE)


def lock(settings: Bootstrap) -> int:
    """Take the lock for this process and write its pid. Returns the descriptor, -1 when the server runs already."""
    descriptor = os.open(pid_file(settings), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return -1
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
    return descriptor


def running_pid(settings: Bootstrap) -> int:
    """Pid of the process that holds the lock, 0 when none does."""
    try:
        descriptor = os.open(pid_file(settings), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return 0
    except BlockingIOError:
        return int(os.pread(descriptor, 20, 0).strip() or b"0")
    finally:
        os.close(descriptor)


def _wait_until_free(settings: Bootstrap) -> None:
    """Block until nobody holds the lock. Raises ``TimeoutError``."""

    def give_up(_number: int, _frame: t.Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    descriptor = os.open(pid_file(settings), os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        os.close(descriptor)


# --- commands -----------------------------------------------------------------------------------


def prepare(settings: Bootstrap) -> None:
    """Make the directories; as root the state belongs to the server's user. Raises ``OSError``."""
    os.makedirs(settings.run_dir, mode=0o755, exist_ok=True)
    os.makedirs(settings.state_dir, mode=0o750, exist_ok=True)
    if os.geteuid() == 0:
        entry = pwd.getpwnam(settings.user)
        os.chown(settings.state_dir, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def start(settings: Bootstrap) -> dict[str, t.Any] | None:
    """Start a supervised server in the background and wait until it answers.

    Returns its status, None when it ran already. Raises :class:`ProcessError` and ``OSError``.
    """
    prepare(settings)
    if running_pid(settings):
        return None
    forget_active(settings.state_dir)
    ours, theirs = socket.socketpair()
    with ours, theirs, open(log_descriptor(settings), "wb") as log, open(os.devnull, "rb") as nothing:
        process = subprocess.Popen(
            own_command("supervise", "--config", settings.path, "--report-fd", str(theirs.fileno())),
            stdin=nothing, stdout=log, stderr=log, cwd="/", start_new_session=True,
            pass_fds=[theirs.fileno()], env=own_environment(),
        )  # fmt: skip
        theirs.close()
        ours.settimeout(_PATIENCE)
        try:
            report = _read_report(ours)
        except TimeoutError:
            process.terminate()
            raise ProcessError(f"the server did not answer within {_PATIENCE:.0f} seconds; it was ended") from None
    if report.get("already"):
        return None
    if "failed" in report:
        raise ProcessError(f"{report['failed']} (log: {_log_path(settings)})")
    return report


def stop(settings: Bootstrap) -> bool:
    """End the server and wait until it is gone. False when it did not run. Raises :class:`ProcessError`."""
    pid = running_pid(settings)
    if not pid:
        return False
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # The supervisor was killed; its child ends by itself, and the lock says when.
    except PermissionError:
        raise ProcessError(f"process {pid} belongs to another user") from None
    try:
        _wait_until_free(settings)
    except TimeoutError:
        raise ProcessError(f"process {pid} did not end within {_PATIENCE:.0f} seconds") from None
    return True


def reload(settings: Bootstrap) -> list[str]:
    """Have the server take up certificates and other files of TLS, and wait until it has.

    Returns what it could not take up, or why it does not listen at all. Raises :class:`ProcessError`.
    """
    before = status(settings)
    if not before["running"]:
        raise ProcessError("it does not run")
    try:
        os.kill(before["pid"], signal.SIGHUP)
    except ProcessLookupError:
        raise ProcessError("it has just ended") from None
    except PermissionError:
        raise ProcessError(f"process {before['pid']} belongs to another user") from None
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        now = status(settings)
        # One that was started anew meanwhile has read the files too.
        if any(now.get(key) != before.get(key) for key in ("server_pid", "reloads")):
            kept = [f"{problem}; the old one is kept" for problem in now.get("tls_problems", [])]
            return [INACTIVE.format(now["problem"])] if now.get("problem") else kept
        time.sleep(0.02)
    raise ProcessError(f"process {before['pid']} did not answer within {_PATIENCE:.0f} seconds")


def status(settings: Bootstrap) -> dict[str, t.Any]:
    """``running``, and for a running server its pid and what it last said about itself."""
    pid = running_pid(settings)
    if not pid:
        return {"running": False}
    try:
        with open(os.path.join(settings.state_dir, STATUS_FILE), encoding="utf-8") as file:
            known = json.load(file)
    except (OSError, ValueError):
        known = {}
    child = known.pop("pid", None)
    return {"running": True, "pid": pid, "server_pid": child, **known}


# --- the supervisor -----------------------------------------------------------------------------


async def supervise(settings: Bootstrap, log: Log, report: socket.socket) -> int:
    """Keep a server running until SIGTERM. What the first start says goes to ``report``, which is then closed.

    SIGHUP is passed on to the server.
    Returns an exit status: 1 when the first start failed. Later failures are tried again for ever.
    """
    lock_descriptor = lock(settings)
    if lock_descriptor < 0:
        _send_report(report, {"already": True})
        return 0
    stop_event = asyncio.Event()
    loop = asyncio.get_running_loop()
    current = _Current(settings, log)

    def end() -> None:
        if stop_event.is_set():
            current.hurry()
        stop_event.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, current.reload)
    if not await _first_run(settings, lock_descriptor, report, stop_event, log, current):
        return 1
    delay = _FIRST_DELAY
    while not stop_event.is_set():
        log.event("supervisor.restart", level="error", delay=delay)
        try:
            async with asyncio.timeout(delay):
                await stop_event.wait()
        except TimeoutError:
            born = time.monotonic()
            await _run(settings, lock_descriptor, stop_event, log, current)
            delay = _FIRST_DELAY if time.monotonic() - born > _HEALTHY else min(delay * 2, _LONGEST_DELAY)
    return 0


async def _first_run(
    settings: Bootstrap,
    lock_descriptor: int,
    report: socket.socket,
    stop_event: asyncio.Event,
    log: Log,
    current: _Current,
) -> bool:
    """The run that somebody waits for. False when the server never answered: it is then not tried again."""
    try:
        child = await _Child.spawn(settings, lock_descriptor)
    except OSError as error:
        _send_report(report, {"failed": f"{error.filename}: {error.strerror}"})
        return False
    current.child = child
    said = await child.first_words(stop_event) or {"failed": "the server ended before it answered"}
    _send_report(report, said)
    if "failed" in said:
        await child.end()
        return False
    _record_end(log, child, await child.wait(stop_event))
    return True


async def _run(
    settings: Bootstrap, lock_descriptor: int, stop_event: asyncio.Event, log: Log, current: _Current
) -> None:
    try:
        child = await _Child.spawn(settings, lock_descriptor)
    except OSError as error:
        log.event("supervisor.failed", level="error", reason=f"{error.filename}: {error.strerror}")
        return
    current.child = child
    await child.first_words(stop_event)
    _record_end(log, child, await child.wait(stop_event))


def _record_end(log: Log, child: _Child, code: int) -> None:
    log.event("supervisor.child", level="info" if code == 0 else "error", pid=child.pid, exit=code)


class _Current:
    """The child of the moment."""

    def __init__(self, settings: Bootstrap, log: Log) -> None:
        self._settings = settings
        self._log = log
        self.child: _Child | None = None

    def reload(self) -> None:
        """Open the log anew, give it to the child, and pass SIGHUP on.

        The child may have no right on the log's folder, and shall have none: that is why it does not open it itself.
        """
        try:
            descriptor = log_descriptor(self._settings)
        except OSError as error:
            reason = f"{error.strerror or error}; it goes on in the old file"
            self._log.event("log.kept", level="error", path=_log_path(self._settings), reason=reason)
        else:
            if self.child is not None:
                self.child.give(descriptor)
            self._log.reopen(descriptor)
        if self.child is not None:
            self.child.reload()

    def hurry(self) -> None:
        """Have the child end at once."""
        if self.child is not None:
            self.child.ask_to_end()


class _Child:
    """One run of the server, and our end of the socket to it."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: t.Any, line: socket.socket
    ) -> None:
        #: The socket of reader and writer once more, for descriptors.
        self._line = line
        self._process = process
        self._reader = reader
        self._writer = writer
        self._ready = self._reload = False
        self.pid = process.pid

    @classmethod
    async def spawn(cls, settings: Bootstrap, lock_descriptor: int) -> _Child:
        ours, theirs = socket.socketpair()
        with theirs:
            command = own_command("serve", "--config", settings.path, "--parent-fd", str(theirs.fileno()))
            process = await asyncio.create_subprocess_exec(
                *as_user(settings, command),
                stdin=subprocess.DEVNULL,
                env=server_environment(settings),
                pass_fds=[theirs.fileno(), lock_descriptor],
            )
        line = ours.dup()
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(process, reader, writer, line)

    async def first_words(self, stop_event: asyncio.Event) -> dict[str, t.Any] | None:
        """What the child reports; None when it ends, or the supervisor is to stop, before."""
        reading = asyncio.ensure_future(self._reader.readline())
        stopping = asyncio.ensure_future(stop_event.wait())
        await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not reading.done():
            reading.cancel()
            return None
        line = reading.result()
        said = t.cast("dict[str, t.Any]", json.loads(line)) if line.endswith(b"\n") else None
        self._ready = said is not None and "failed" not in said
        if self._reload:
            self.reload()
        return said

    def give(self, descriptor: int) -> None:
        """Send it a log to go on in."""
        try:
            socket.send_fds(self._line, [b"l"], [descriptor])
        except OSError:
            pass  # it has ended, and the next one inherits the log

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        try:
            self._process.terminate()
        except ProcessLookupError:
            pass

    def _hang_up(self) -> None:
        self._writer.close()
        self._line.close()

    def reload(self) -> None:
        """Have it read its files again. One that is still starting is asked when it is ready: SIGHUP would end it."""
        if not self._ready:
            self._reload = True
            return
        try:
            self._process.send_signal(signal.SIGHUP)
        except ProcessLookupError:
            pass  # it has ended, and the next one reads them anyway

    async def wait(self, stop_event: asyncio.Event) -> int:
        """Exit status of the child; it is asked to end when the supervisor is to stop."""
        ending = asyncio.ensure_future(self._process.wait())
        stopping = asyncio.ensure_future(stop_event.wait())
        await asyncio.wait((ending, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ending.done():
            return await self.end()
        self._hang_up()
        return ending.result()

    async def end(self) -> int:
        """Ask the child to end; kill it when it does not."""
        self.ask_to_end()
        try:
            async with asyncio.timeout(_PATIENCE / 2):
                code = await self._process.wait()
        except TimeoutError:
            self._process.kill()
            code = await self._process.wait()
        self._hang_up()
        return code


# --- reports ------------------------------------------------------------------------------------


def _send_report(report: socket.socket, content: dict[str, t.Any]) -> None:
    with report:
        try:
            report.sendall(json.dumps(content).encode("ascii") + b"\n")
        except OSError:
            pass  # Whoever started us did not wait for the answer.


def _read_report(report: socket.socket) -> dict[str, t.Any]:
    data = b""
    while not data.endswith(b"\n"):
        more = report.recv(65536)
        if not more:
            return {"failed": "the supervisor ended before the server answered"}
        data += more
    return t.cast("dict[str, t.Any]", json.loads(data))


# --- how this program is run again --------------------------------------------------------------


def own_command(*arguments: str) -> list[str]:
    """The command line that runs this program, from the archive or directory that it was imported from."""
    place = os.path.dirname(_package_path[0])
    program = [place] if os.path.isfile(place) else ["-m", "postern"]
    return [sys.executable, *program, *arguments]


def own_environment() -> dict[str, str]:
    """The environment for :func:`own_command`: nothing of the caller's but what a server may see."""
    names = ("PATH", "LANG", "LC_ALL", "TZ", *manager.VARIABLES, opensslconf.VARIABLE)
    kept = {name: os.environ[name] for name in names if name in os.environ}
    place = os.path.dirname(_package_path[0])
    return {**kept, "PYTHONPATH": place, "PYTHONDONTWRITEBYTECODE": "1"}


def server_environment(settings: Bootstrap) -> dict[str, str]:
    """The same for the process that speaks TLS, with its OpenSSL configuration; an administrator's own one is kept.

    Raises ``OSError`` when the file cannot be written.
    """
    environment = own_environment()
    if not environment.get(opensslconf.VARIABLE):
        environment[opensslconf.VARIABLE] = opensslconf.write(settings.run_dir)
    return environment


def as_user(settings: Bootstrap, command: list[str]) -> list[str]:
    """``command`` with the rights of the server's user and the one capability to bind ports below 1024.

    Nothing changes when we are not root, or are to stay root.
    """
    if os.geteuid() != 0 or settings.user == "root":
        return command
    entry = pwd.getpwnam(settings.user)
    group = grp.getgrgid(entry.pw_gid).gr_name
    capability = "-all,+net_bind_service"
    return [
        "setpriv", f"--reuid={settings.user}", f"--regid={group}", "--init-groups",
        f"--inh-caps={capability}", f"--ambient-caps={capability}", f"--bounding-set={capability}",
        "--no-new-privs", "--", *command,
    ]  # fmt: skip


def _log_path(settings: Bootstrap) -> str:
    return os.path.join(settings.run_dir, "postern.log") if settings.log_file == "-" else settings.log_file


def log_descriptor(settings: Bootstrap) -> int:
    """The opened log, which belongs to the server's user. Raises ``OSError``."""
    descriptor = os.open(
        _log_path(settings), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640
    )
    if os.geteuid() == 0:
        entry = pwd.getpwnam(settings.user)
        os.fchown(descriptor, entry.pw_uid, entry.pw_gid)
    return descriptor
