# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order of proof: the sync of a message has ended before its 250 goes to the socket (RFC 5321 section 6.1)."""

from __future__ import annotations

import os
import re
import signal
import smtplib
import subprocess
import sys
from pathlib import Path

import pytest
from tracing import strace

CALLS = "fdatasync,fsync,pwrite64,sendto,sendmsg,write"
#: Octets of text: short, some pages, and two that come in pieces.
SIZES = (10, 30_000, 700_000, 10, 1_500_000, 2_000)
_CALL = re.compile(r"(\d+) +(\w+)\((\d+)")


def begun_and_ended(trace: str) -> list[tuple[str, str, str]]:
    """What began and what ended, in order: ``begin`` or ``end``, the call, the rest of the line."""
    found = []
    for line in trace.splitlines():
        if resumed := re.match(r"\d+ +<\.\.\. (\w+) resumed>(.*)", line):
            found.append(("end", resumed.group(1), resumed.group(2)))
        elif call := _CALL.match(line):
            found.append(("begin", call.group(2), line))
            if "<unfinished ...>" not in line:
                found.append(("end", call.group(2), line[line.rindex(")") :]))
    return found


def test_the_sync_comes_before_the_reply(tmp_path):
    command = [sys.executable, str(Path(__file__).with_name("queue_server.py")), str(tmp_path), "accept"]
    trace = tmp_path / "trace"
    tracer, environment = strace()
    traced = [*tracer, "-f", "-y", "-s", "64", "-e", f"trace={CALLS}", "-o", str(trace), *command]
    process = subprocess.Popen(traced, stdout=subprocess.PIPE, text=True, env=environment)
    greeting = process.stdout.readline()
    if not greeting:
        process.wait(10)
        pytest.skip("tracing of processes is not permitted here")
    port, server = map(int, greeting.split())
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
            for number, size in enumerate(SIZES):
                text = f"Subject: {number}\r\n\r\n" + ("x" * 70 + "\r\n") * (size // 72 + 1)
                client.sendmail("a@example.test", ["postmaster@example.test"], text)
    finally:
        os.kill(server, signal.SIGKILL)
        process.communicate(timeout=10)
    calls = begun_and_ended(trace.read_text())
    questions = [place for place, call in enumerate(calls) if call[0] == "begin" and '"354 ' in call[2]]
    replies = [place for place, call in enumerate(calls) if call[0] == "begin" and "queued as" in call[2]]
    assert len(questions) == len(replies) == len(SIZES)
    for question, reply in zip(questions, replies):
        between = calls[question:reply]
        # The last that was written to the log of the queue, and a sync of it that began later and ended well.
        written = max(
            place for place, call in enumerate(between) if call[1] == "pwrite64" and "queue.sqlite3-wal>" in call[2]
        )
        begun = next(
            place
            for place, call in enumerate(between)
            if place > written and call[0] == "begin" and "sync" in call[1] and "queue.sqlite3-wal>" in call[2]
        )
        ended = next(call for call in between[begun + 1 :] if call[0] == "end" and "sync" in call[1])
        assert re.search(r"\) += 0$", ended[2]), ended
