# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was promised with 250 is there after a kill, and is on the disk before it is promised."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

import programs
from grid import HOST
from judged_server import DOMAIN, JudgedServer
from overheard import Overheard

_SESSIONS = 4
#: Octets of a text of smtp-source: large enough to be told from others in a trace.
_TEXT = 2000


@pytest.fixture(scope="module")
def immortal(tmp_path_factory, authority):
    """A server that is killed and started again."""
    with JudgedServer(tmp_path_factory.mktemp("mortal"), authority) as server:
        server.accounts()
        limits = {"peer_max_connections": 100, "peer_max_interval_connections": 0, "max_interval_connections": 0, "tls": "none"}
        server.module("smtp_listener", address=server.relay.address, **limits)
        yield server


@pytest.fixture
def mortal(immortal):
    """The same with no mail in it."""
    settled(immortal)
    for path in immortal.mailbox("anna"):
        path.unlink()
    return immortal


def settled(server: JudgedServer) -> None:
    """Wait until nothing is left to be delivered."""
    end = time.monotonic() + 60
    while server.queued() and time.monotonic() < end:
        time.sleep(0.05)


def numbers(server: JudgedServer) -> Counter[str]:
    """The messages in the mailbox and in the queue, by the number that the server's Received line has."""
    found: Counter[str] = Counter()
    for path in server.mailbox("anna"):
        head = path.read_bytes()[:2000].decode("ascii", "replace")
        found[re.search(r"\bid ([0-9A-Fa-f]+)", head).group(1)] += 1
    for entry in server.queued():
        if entry["id"] not in found:
            # One that is in the mailbox may still stand in the queue: then it was killed between both.
            found[entry["id"]] += 1
    return found


def promised_before_kill(server: JudgedServer, least: int) -> set[str]:
    """Send with smtp-source until the server is killed, at once after so many promises; the numbers of what it promised."""
    source = programs.get("smtp_source")
    promised: set[str] = set()
    dead = threading.Event()

    def heard(data: bytes) -> None:
        promised.update(re.findall(r"queued as ([0-9A-Fa-f]+)", data.decode("ascii", "replace")))
        if len(promised) >= least and not dead.is_set():
            os.kill(server.pid, signal.SIGKILL)
            dead.set()

    with Overheard(server.relay.port, heard) as between:
        # It ends when there is no server any more.
        source.run(
            "-s", str(_SESSIONS), "-m", "100000", "-l", str(_TEXT), "-f", "a@client.test", "-t", f"anna@{DOMAIN}",
            f"{HOST}:{between.port}", timeout=60, statuses=range(256),
        )
    assert dead.is_set(), promised
    return promised


@pytest.mark.parametrize("least", [20, 57])
def test_w30_what_was_promised_is_there_once(mortal, record_property, least):
    promised = promised_before_kill(mortal, least)
    mortal.stop()
    mortal.start()
    # What was not delivered yet is delivered now.
    settled(mortal)
    there = numbers(mortal)
    record_property("seen", f"{len(promised)} promised before a kill, {len(promised & set(there))} of them there after it")
    assert broken(promised, there) == []


def broken(promised: set[str], there: Counter[str]) -> list[str]:
    """What is wrong with these messages after such promises."""
    found = [f"{number} is there {times} times" for number, times in there.items() if times > 1]
    found += [f"{number} is lost" for number in sorted(promised - set(there))]
    # A message may be on the disk that was not promised any more: one for each session.
    return found + (["more than was sent"] if len(there) > len(promised) + _SESSIONS else [])


def test_w30_can_fail():
    there = Counter("abcdef")
    assert broken(set("abcdef"), there) == []
    assert broken(set("abcdefg"), there) == ["g is lost"]
    assert broken(set("abcdef"), there + Counter("a")) == ["a is there 2 times"]
    assert broken({"a"}, there) == ["more than was sent"]


# --- the order of sync and promise -------------------------------------------------------------------


def unsynced(trace: str) -> list[str]:
    """The promises in a trace of system calls that no sync went before, since the text that they are about came in."""
    complaints, synced = [], False
    for line in trace.splitlines():
        if re.search(r"\b(fdatasync|fsync)\b.*= 0$", line):
            synced = True
        elif '"354 ' in line:
            synced = False
        elif re.search(r'"250 2\.0\.0 [^"]*queued', line) and not synced:
            complaints.append(line)
    return complaints


def traced(server: JudgedServer, messages: int) -> str:
    """The system calls of the server while smtp-source sends it messages, one after the other."""
    strace = programs.get("strace")
    with tempfile.NamedTemporaryFile("r", encoding="ascii", errors="replace") as output:
        tracer = subprocess.Popen(
            [strace.program, "-f", "-s", "200", "-e", "trace=fsync,fdatasync,sendto,sendmsg,write,writev", "-o", output.name,
             "-p", str(server.pid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        try:
            # It says when it has attached itself.
            words = tracer.stderr.readline()
            if "attached" not in words:
                pytest.skip(f"no process may be traced here: {words}")
            programs.get("smtp_source").run(
                "-m", str(messages), "-l", str(_TEXT), "-f", "a@client.test", "-t", f"anna@{DOMAIN}", f"{HOST}:{server.relay.port}"
            )
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.communicate(timeout=30)
        return Path(output.name).read_text(encoding="ascii", errors="replace")


def test_w31_the_sync_ends_before_the_promise(mortal):
    trace = traced(mortal, 5)
    assert len(re.findall(r'"250 2\.0\.0 [^"]*queued', trace)) == 5, trace[-3000:]
    assert unsynced(trace) == []


@pytest.mark.parametrize(
    "calls",
    [
        # No sync at all; one that is not over; one that was for the message before.
        [],
        ["12 fdatasync(9 <unfinished ...>"],
        ["12 fdatasync(9) = 0", '11 sendto(7, "354 go on\\r\\n", 11, 0, NULL, 0) = 11'],
    ],
)
def test_w31_can_fail(calls):
    first, last = '11 sendto(7, "354 go on\\r\\n", 11, 0, NULL, 0) = 11', '11 sendto(7, "250 2.0.0 queued as 12\\r\\n", 24 <unfinished ...>'
    assert unsynced("\n".join([first, *calls, last])) == [last]
    assert unsynced("\n".join([first, *calls, "12 <... fdatasync resumed>) = 0", last])) == []
