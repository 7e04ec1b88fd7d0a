# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The list of what waits, as an administrator gets it: ``postern queue``."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import postern
import pytest
from postern.__main__ import run
from postern.queue import listing
from postern.queue.store import Envelope, Recipient, Store, id_text

LOCAL = Recipient("u1", "example.test", True)
REMOTE = Recipient("x", "elsewhere.test", False)


def queue_file(config: Path) -> Path:
    """Where the queue is."""
    return config.parent / "state" / "queue.sqlite3"


def keep(store: Store, sender: str, *recipients: Recipient) -> int:
    """Store a message accepted at the epoch's second 1000; returns its id."""
    return asyncio.run(store.add(Envelope(store.new_id(), sender, recipients, received=1000.0), b"x" * 321))


def wait(store: Store, number: int, recipient: int, due: float, reason: str) -> None:
    """Note an attempt that failed."""
    asyncio.run(store.record(number, (), {recipient: (due, reason)}))


@pytest.mark.parametrize("closed", [False, True])
def test_who_waits_and_why(config, store, capsys, closed):
    """With the queue open, as in a running server, and after that."""
    first = keep(store, "a@example.test", LOCAL, REMOTE)
    wait(store, first, 1, 1300.0, "4.7.4 TLS is required, and the peer does not offer STARTTLS")
    wait(store, first, 1, 2200.0, "450 4.2.0 not\x1b[31m now")
    second = keep(store, "", Recipient("y", "z.test", False))
    if closed:
        store.close()
    assert run(["queue", "--config", str(config)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{id_text(first)} from <a@example.test>, 1970-01-01T00:16:40+00:00, 321 octets",
        "    <u1@example.test> goes to a mailbox here",
        "    <x@elsewhere.test> attempts 2, next 1970-01-01T00:36:40+00:00, last: 450 4.2.0 not?[31m now",
        f"{id_text(second)} from <>, 1970-01-01T00:16:40+00:00, 321 octets",
        "    <y@z.test> not tried yet",
    ]
    assert run(["queue", "--json", "--config", str(config)]) == 0
    one, two = map(json.loads, capsys.readouterr().out.splitlines())
    assert one["id"] == id_text(first) and two["sender"] == ""
    assert one["recipients"][1] == {
        "address": "x@elsewhere.test",
        "local": False,
        "attempts": 2,
        "next_attempt": "1970-01-01T00:36:40+00:00",
        "reason": "450 4.2.0 not\x1b[31m now",
        "held": False,
    }


def test_an_empty_queue_and_none_at_all(config, capsys):
    assert run(["queue", "--config", str(config)]) == 0
    assert capsys.readouterr().out == "the queue is empty\n" and not queue_file(config).exists()
    Store(queue_file(config)).close()
    assert run(["queue", "--config", str(config)]) == 0
    assert capsys.readouterr().out == "the queue is empty\n"
    assert run(["queue", "--json", "--config", str(config)]) == 0
    assert capsys.readouterr().out == ""


def test_more_than_one_page(config, store):
    numbers = [keep(store, "a@example.test", LOCAL, REMOTE) for _turn in range(450)]
    path = str(queue_file(config))
    found = list(listing.entries(path))
    assert [entry.id for entry in found] == [id_text(number) for number in numbers]
    assert {len(entry.recipients) for entry in found} == {2} and listing.count(path) == 450


def test_what_a_killed_server_left_is_listed(config, capsys):
    code = (
        "import asyncio, os, sys\nfrom postern.queue.store import *\nstore = Store(sys.argv[1])\n"
        "envelope = Envelope(store.new_id(), 'a@b.test', (Recipient('x', 'c.test', False),), received=1.0)\n"
        "asyncio.run(store.add(envelope, b'x'))\nos._exit(9)\n"
    )
    environment = dict(os.environ, PYTHONPATH=str(Path(postern.__path__[0]).parent))
    subprocess.run([sys.executable, "-c", code, str(queue_file(config))], check=False, env=environment)
    assert run(["queue", "--config", str(config)]) == 0
    assert "<x@c.test> not tried yet" in capsys.readouterr().out


def test_files_that_cannot_be_listed(config, capsys):
    queue_file(config).write_text("this is not a database, and it is long enough to be read as one " * 20)
    assert run(["queue", "--config", str(config)]) == 1
    assert "cannot be read: file is not a database" in capsys.readouterr().err
    queue_file(config).unlink()
    for number, text in ((1, "when the server starts"), (99, "newer version")):
        other = sqlite3.connect(queue_file(config))
        other.execute(f"PRAGMA user_version={number}")
        other.close()
        assert run(["queue", "--config", str(config)]) == 1
        assert text in capsys.readouterr().err


def test_whoever_reads_the_list_may_stop_at_any_time(config, store):
    for _turn in range(100):
        keep(store, "a" * 60 + "@example.test", *(Recipient(f"{n:050}", "elsewhere.test", False) for n in range(20)))
    environment = dict(os.environ, PYTHONPATH=str(Path(postern.__path__[0]).parent))
    command = [sys.executable, "-m", "postern", "queue", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
