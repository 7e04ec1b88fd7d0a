# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command ``postern queue``: what waits and why, and what an operator does about it.

It works on the queue file, whether a server runs or not, and then tells the one that runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sqlite3
import sys
import time
import typing as t
from contextlib import closing, suppress
from datetime import datetime, timezone

from . import bootstrap, supervisor
from .queue import listing, selection, steering

_CHANGES: dict[str, t.Callable[[str, selection.Selection], steering.Done]] = {
    "hold": steering.hold,
    "release": steering.release,
    "retry": steering.retry,
}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_OPTIONS = ("sender", "domain", "older")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """What may stand behind ``postern queue``."""
    about = "list (as without a word), hold until released, release, retry: send now, delete: for good"
    command.add_argument("action", nargs="?", default="list", choices=("list", "show", *_CHANGES, "delete"), help=about)
    command.add_argument("ids", nargs="*", metavar="ID", help="queue ids; without one what the options say")
    command.add_argument("--sender", metavar="ADDRESS", help="from this address, from @domain, or '' for notifications")
    command.add_argument("--domain", help="to recipients at this domain")
    command.add_argument("--older", metavar="SPAN", help="accepted longer ago: seconds, or a number with s, m, h or d")
    command.add_argument("--held", action="store_true", help="what is held")
    command.add_argument("--all", action="store_true", help="all that waits")
    command.add_argument("--notify", action="store_true", help="delete: tell the senders; without it nobody is told")
    command.add_argument("--json", action="store_true", help="one JSON object a line for each message")


def arguments(options: t.Any) -> list[str]:
    """The same arguments once more, for another process."""
    given = [options.action, *options.ids]
    for name in _OPTIONS:
        if getattr(options, name) is not None:
            given.append(f"--{name}={getattr(options, name)}")
    return given + [f"--{name}" for name in ("held", "all", "notify", "json") if getattr(options, name)]


def run(settings: bootstrap.Bootstrap, options: t.Any) -> int:
    """Do it; returns the exit status: 1 when a message that was named does not wait, 2 for a wrong argument."""
    try:
        chosen = _chosen(options)
    except ValueError as error:
        print(f"postern: {error}", file=sys.stderr)
        return 2
    path = queue_file(settings)
    if options.action in _CHANGES or options.action == "delete":
        if options.action == "delete":
            done = _delete(settings, chosen, options.notify)
        else:
            done = _CHANGES[options.action](path, chosen)
        _tell(settings)
        what = "messages" if done.messages != 1 else "message"
        print(json.dumps(dataclasses.asdict(done)) if options.json else f"{done.messages} {what}")
        return 0 if done.messages or not options.ids else 1
    found = 0
    for entry in listing.entries(path, chosen):
        found += 1
        print(json.dumps(_plain(entry)) if options.json else _shown(entry))
    if found < len(set(options.ids)):
        print("postern: not all of these messages wait", file=sys.stderr)
        return 1
    if not found and not options.json:
        print("the queue is empty" if chosen == selection.Selection() else "no such message waits")
    return 0


def queue_file(settings: bootstrap.Bootstrap) -> str:
    """Where the queue is."""
    return os.path.join(settings.state_dir, bootstrap.QUEUE_FILE)


def _delete(settings: bootstrap.Bootstrap, chosen: selection.Selection, notify: bool) -> steering.Done:
    path = queue_file(settings)
    if not notify or not os.path.exists(path):
        return steering.delete(path, chosen)
    # Here, so that the other commands start fast.
    from .delivery.removal import Removal
    from .directory import Directory

    accounts = os.path.join(settings.state_dir, "directory.sqlite3")
    try:
        with closing(Directory(accounts, settings.mailboxes)) as directory:
            return steering.delete(path, chosen, Removal(settings.host_name, directory))
    except sqlite3.Error as error:
        raise selection.Unreadable(f"{accounts} cannot be read: {error}") from None


def _chosen(options: t.Any) -> selection.Selection:
    conditions = [name for name in (*_OPTIONS, "held") if getattr(options, name) not in (None, False)]
    ways = bool(options.ids) + bool(conditions) + options.all
    if ways > 1:
        raise ValueError("ids, conditions and --all are three ways to say which mail: one of them")
    if not ways and options.action not in ("list",):
        raise ValueError(f"{options.action} needs to know which mail: ids, conditions, or --all")
    if options.notify and options.action != "delete":
        raise ValueError(f"--notify is for delete; {options.action} has nobody to tell")
    return selection.Selection(
        ids=selection.numbers(options.ids) if options.ids else None,
        sender=None if options.sender is None else options.sender.strip("<>"),
        domain=options.domain,
        before=None if options.older is None else time.time() - _span(options.older),
        held=True if options.held else None,
    )


def _span(text: str) -> int:
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise ValueError(f"--older {text!r} is no number of seconds, and no number with s, m, h or d")
    return int(number) * _UNITS[unit]


def _tell(settings: bootstrap.Bootstrap) -> None:
    """Have the server that runs look at its queue."""
    pid = supervisor.running_pid(settings)
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)


def _plain(entry: listing.Entry) -> dict[str, t.Any]:
    """An entry as JSON has it; times as in the log."""
    plain = dataclasses.asdict(entry)
    plain["received"] = _time(entry.received)
    for recipient in plain["recipients"]:
        recipient["next_attempt"] = _time(recipient["next_attempt"])
    return plain


def _shown(entry: listing.Entry) -> str:
    lines = [f"{entry.id} from <{entry.sender}>, {_time(entry.received)}, {entry.size} octets"]
    for recipient in entry.recipients:
        if recipient.local:
            what = "goes to a mailbox here"
        elif recipient.attempts:
            what = f"attempts {recipient.attempts}, next {_time(recipient.next_attempt)}, last: {recipient.reason}"
        else:
            what = "not tried yet"
        lines.append(f"    <{recipient.address}> {'held, ' if recipient.held else ''}{what}")
    # Reasons hold what peers say; it came cleaned, and a terminal is not the place to rely on that.
    return "\n".join("".join(letter if letter.isprintable() else "?" for letter in line) for line in lines)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
