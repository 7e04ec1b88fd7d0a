# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command line of the server.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 (``status``) not running, 4 (``serve``) the queue became unusable while
the server ran: it is to be started again, 5 it works, but not as it should: the server runs and answers to
administrators, while a problem keeps its listeners shut (``start``, ``restart``), or there are warnings (``check``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import ssl
import sys
import typing as t

from . import __version__, bootstrap, eventloop, footprint, opensslconf, operating, supervisor
from .admin.authentication import set_password, stored_password
from .log import Log
from .manager import Manager
from .passwords import check_password, hash_password, verify
from .queue import listing

#: Exit status of what works, but not as it should.
IMPAIRED = 5

_COMMANDS = {
    "serve": "run in the foreground",
    "start": "run in the background, restarted when it dies; returns when it answers (exit status 5: not to mail)",
    "stop": "end it; returns when it is gone",
    "restart": "stop and start; what was not saved is lost",
    "reload": "read certificates, keys, authorities and DH files again (exit status 1: a file is wrong)",
    "status": "say as JSON whether it runs, and from what that was replaced since (exit status 3: it does not)",
    "queue": "list the mail that waits, and why; hold, release, retry or delete some of it",
    "check": "say all that would be wrong at the next start, with file and line (exit status 5: nothing but warnings)",
    "passwd": "set the administrator's password from standard input",
    "version": "print the version",
    "supervise": argparse.SUPPRESS,
}


def main() -> t.NoReturn:
    """Entry point of the program and of its archive."""
    sys.exit(run())


def run(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = _parser()
    options, more = parser.parse_known_args(arguments)
    if options.command == "queue" and not any(word.startswith("-") for word in more):
        # Ids behind an option: the parser of Python takes words in one place only.
        options.ids += more
    elif more:
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    if options.command == "version":
        print(f"postern {__version__}")
        return 0
    try:
        if options.command == "check":
            return _check(options)
        settings = bootstrap.load(options.config)
        return int(_RUN[options.command](settings, options))
    except BrokenPipeError:
        # Whoever read the list has seen enough. Nothing is to be flushed into the pipe at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (bootstrap.BootstrapError, supervisor.ProcessError, listing.Unreadable, OSError) as error:
        print(f"postern: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="postern", description="A small mail server with a policy.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, about in _COMMANDS.items():
        hidden = about == argparse.SUPPRESS
        command = commands.add_parser(name) if hidden else commands.add_parser(name, help=about, description=about)
        if name == "version":
            continue
        command.add_argument("--config", required=name != "check", metavar="FILE", help="the bootstrap file")
        if name == "check":
            command.add_argument("--script", metavar="FILE", help="look at this policy script, and at nothing else")
            command.add_argument("--as", dest="shown_as", metavar="PATH", help="the path that the file will have")
            command.add_argument("--lenient", action="store_true", help="exit status 0 for warnings, which are printed")
        if name == "passwd":
            command.add_argument("--verify", action="store_true", help="only compare: exit status 0 same, 1 other")
        if name == "queue":
            operating.add_arguments(command)
        if name == "serve":
            command.add_argument("--parent-fd", type=int, default=-1, help=argparse.SUPPRESS)
            command.add_argument("--lock-fd", type=int, default=-1, help=argparse.SUPPRESS)
            command.add_argument("--log-fd", type=int, default=2, help=argparse.SUPPRESS)
        if name == "supervise":
            command.add_argument("--report-fd", type=int, required=True)
    return parser


# --- the server ---------------------------------------------------------------------------------


def _serve(settings: bootstrap.Bootstrap, options: t.Any) -> int:
    from .service import FAILED_STATUS, QueueFailed, StartError, serve  # here, so that the other commands start fast

    supervised = options.parent_fd >= 0
    if not supervised and options.lock_fd < 0:
        supervisor.prepare(settings)
        if not _must_drop(settings) and not os.environ.get(opensslconf.VARIABLE):
            # OpenSSL reads its configuration once, before any line of this program: so the same process begins again.
            os.environ[opensslconf.VARIABLE] = opensslconf.write(settings.run_dir)
            sys.stdout.flush()
            os.execv(sys.executable, sys.orig_argv)
        descriptor = supervisor.lock(settings)
        if descriptor < 0:
            raise supervisor.ProcessError(f"it runs already, as process {supervisor.running_pid(settings)}")
        if _must_drop(settings):
            log_descriptor = 2 if settings.log_file == "-" else supervisor.log_descriptor(settings)
            for inherited in (descriptor, log_descriptor):
                os.set_inheritable(inherited, True)
            more = ["--lock-fd", str(descriptor), "--log-fd", str(log_descriptor)]
            _become_user(settings, "serve", "--config", settings.path, *more)
    # The log was opened by whoever had more rights: the server needs none on the log's folder.
    log = Log(options.log_fd if supervised or options.lock_fd >= 0 or settings.log_file == "-" else settings.log_file)
    report = socket.socket(fileno=options.parent_fd) if supervised else None
    configuration = os.environ.get(opensslconf.VARIABLE, "")
    whose = "postern" if configuration == opensslconf.path(settings.run_dir) else "the administrator"
    log.event("server.loop", of=eventloop.name())
    log.event("tls.library", version=ssl.OPENSSL_VERSION, configuration=configuration, of=whose)

    def ready(state: dict[str, t.Any]) -> None:
        if report is not None:
            report.sendall(json.dumps(state).encode("ascii") + b"\n")

    # Under a supervisor of our own it is that which is told.
    variables = os.environ if report is None else {}
    told = Manager(variables, lambda reason: log.event("manager.untold", level="warning", reason=reason))
    try:
        eventloop.run(serve(settings, log, ready, report, told))
    except QueueFailed:
        return FAILED_STATUS
    except StartError as error:
        log.event("server.failed", level="error", reason=str(error))
        if report is None:
            raise supervisor.ProcessError(str(error)) from None
        report.sendall(json.dumps({"failed": str(error)}).encode("ascii") + b"\n")
        return 1
    return 0


def _supervise(settings: bootstrap.Bootstrap, options: t.Any) -> int:
    return asyncio.run(supervisor.supervise(settings, Log(2), socket.socket(fileno=options.report_fd)))


def _must_drop(settings: bootstrap.Bootstrap) -> bool:
    return os.geteuid() == 0 and settings.user != "root"


def _become_user(settings: bootstrap.Bootstrap, *arguments: str) -> t.NoReturn:
    """Replace this process by the same command with the rights of the server's user."""
    command = supervisor.as_user(settings, supervisor.own_command(*arguments))
    sys.stdout.flush()
    serving = arguments[0] == "serve"
    environment = supervisor.server_environment(settings) if serving else supervisor.own_environment()
    os.execvpe(command[0], command, environment)


# --- the other commands -------------------------------------------------------------------------


def _start(settings: bootstrap.Bootstrap, _options: t.Any) -> int:
    state = supervisor.start(settings)
    print("already running" if state is None else "started")
    problem = (supervisor.status(settings) if state is None else state).get("problem")
    if problem:
        print("postern: " + supervisor.INACTIVE.format(problem), file=sys.stderr)
    return IMPAIRED if problem else 0


def _stop(settings: bootstrap.Bootstrap, _options: t.Any) -> int:
    print("stopped" if supervisor.stop(settings) else "not running")
    return 0


def _restart(settings: bootstrap.Bootstrap, options: t.Any) -> int:
    supervisor.stop(settings)
    return _start(settings, options)


def _reload(settings: bootstrap.Bootstrap, _options: t.Any) -> int:
    problems = supervisor.reload(settings)
    for problem in problems:
        print(f"postern: {problem}", file=sys.stderr)
    if not problems:
        print("reloaded")
    return 1 if problems else 0


def _status(settings: bootstrap.Bootstrap, _options: t.Any) -> int:
    state = supervisor.status(settings)
    if state["running"]:
        # Only then: where no server has it open, looking at the queue file makes files beside it, of whoever looks.
        try:
            state["queued"] = listing.count(operating.queue_file(settings))
        except listing.Unreadable as error:
            print(f"postern: {error}", file=sys.stderr)
        state["stale"] = footprint.stale(state, settings)
    print(json.dumps(state))
    return 0 if state["running"] else 3


def _queue(settings: bootstrap.Bootstrap, options: t.Any) -> int:
    if _must_drop(settings):
        _become_user(settings, "queue", "--config", settings.path, *operating.arguments(options))
    return operating.run(settings, options)


def _check(options: t.Any) -> int:
    from . import checking  # here, so that the other commands start fast

    if bool(options.config) == bool(options.script):
        print("postern: check needs --config or --script", file=sys.stderr)
        return 2
    shown = os.path.abspath(options.shown_as or options.config or options.script)
    try:
        if options.script:
            found = checking.check_script(options.script, shown)
        else:
            found = checking.check(options.config, shown, lambda known: bool(supervisor.running_pid(known)))
    except bootstrap.BootstrapError as error:
        print(error, file=sys.stderr)
        return 1
    for line in (*found.mistakes, *found.warnings):
        print(line, file=sys.stderr)
    if found.mistakes:
        return 1
    print(f"{shown}: ok")
    return IMPAIRED if found.warnings and not options.lenient else 0


def _passwd(settings: bootstrap.Bootstrap, options: t.Any) -> int:
    if _must_drop(settings):
        supervisor.prepare(settings)
        extra = ["--verify"] if options.verify else []
        _become_user(settings, "passwd", "--config", settings.path, *extra)
    password = sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    if options.verify:
        return 0 if verify(password, stored_password(settings.state_dir)) else 1
    try:
        check_password(password)
    except ValueError as error:
        print(f"postern: {error}", file=sys.stderr)
        return 1
    supervisor.prepare(settings)
    set_password(settings.state_dir, hash_password(password))
    return 0


_RUN: dict[str, t.Callable[[bootstrap.Bootstrap, t.Any], int]] = {
    "serve": _serve,
    "supervise": _supervise,
    "start": _start,
    "stop": _stop,
    "restart": _restart,
    "reload": _reload,
    "status": _status,
    "queue": _queue,
    "passwd": _passwd,
}

if __name__ == "__main__":
    main()
