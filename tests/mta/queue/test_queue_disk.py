# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A disk that fails, is full or becomes read-only under a running server: what was accepted stays, the rest gets 4xx.

A full disk is a small file system in memory. The kernel lets nobody make a file system read-only that has files open
for writing; what it answers when it does so itself after an error is put into the system calls by ``strace``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from program import PATIENCE, Program
from tracing import strace

pytest.importorskip("scramp", reason="the receiving half needs scramp")

LONG = ("x" * 76 + "\r\n") * 20_000


class Injected:
    """System calls of a process that fail, until the end of the block."""

    def __init__(self, pid: int, calls: str, error: str) -> None:
        tracer, self._environment = strace()
        self._command = [*tracer, "-f", "-q", "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}"]
        self._command += ["-p", str(pid), "-o", os.devnull]
        self._pid = pid

    def __enter__(self) -> "Injected":
        self._strace = subprocess.Popen(self._command, stderr=subprocess.PIPE, env=self._environment)
        end = time.monotonic() + PATIENCE
        tasks = Path(f"/proc/{self._pid}/task")
        # All threads that are there are traced, or strace has ended because it may not.
        while not all("TracerPid:\t0" not in (task / "status").read_text() for task in tasks.iterdir()):
            if self._strace.poll() is not None or time.monotonic() > end:
                pytest.skip(f"tracing of processes is not permitted here: {self._strace.stderr.read()}")
            time.sleep(0.01)
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._strace.poll() is None:
            self._strace.send_signal(signal.SIGTERM)
        self._strace.communicate(timeout=PATIENCE)


@pytest.fixture
def program(tmp_path):
    """The program with its state on the disk of the tests."""
    (tmp_path / "place").mkdir()
    program = Program(tmp_path, tmp_path / "place")
    yield program
    program.run("stop")


def test_a_failed_sync_ends_the_process_and_a_new_one_goes_on(program):
    assert program.send("X: before\r\n\r\nx") == 250
    program.arrived("X: before")
    first = program.server()
    with Injected(first, "fsync,fdatasync", "EIO"):
        # An answer in time, or a closed connection; never 250.
        try:
            assert program.send("X: meanwhile\r\n\r\nx") in (421, 451)
        except OSError:
            assert program.events("queue.failed")
        (ended,) = program.wait("supervisor.child")
    assert ended["exit"] == 4 and ended["pid"] == first
    (failed,) = program.events("queue.failed")
    assert "SQLITE_IOERR_FSYNC" in failed["reason"] and failed["level"] == "error"
    # It listens again as before: the configuration that ran was never saved.
    assert program.send_again("X: after\r\n\r\nx") == 250
    program.arrived("X: before", "X: after")
    assert program.server() != first and len(program.events("supervisor.restart")) == 1


def test_a_file_system_that_becomes_read_only_and_writable_again(program):
    assert program.send("X: before\r\n\r\nx") == 250
    program.arrived("X: before")
    server = program.server()
    with Injected(server, "pwrite64,fdatasync,fsync,openat,unlink,rename,mkdir", "EROFS"):
        for _turn in range(3):
            assert program.send("X: meanwhile\r\n\r\nx") == 451
    (trouble,) = program.events("queue.trouble")
    assert "read-only" in trouble["reason"]
    assert program.send_again("X: after\r\n\r\nx") == 250
    program.arrived("X: after")
    program.wait("queue.recovered")
    assert program.server() == server and not program.events("queue.error") and not program.events("queue.failed")


@pytest.fixture
def small(tmp_path):
    """A file system of 48 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr!r}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(path: Path) -> None:
    """Take all room that is left."""
    with open(path, "ab", buffering=0) as file:
        for octets in (1 << 20, 4096):
            try:
                while file.write(bytes(octets)) == octets:
                    pass
            except OSError:
                continue


def test_a_full_disk_and_room_again(tmp_path, small):
    program = Program(tmp_path, small)
    try:
        assert program.send("X: before\r\n\r\nx") == 250
        program.arrived("X: before")
        server = program.server()
        fill(small / "filler")
        accepted = []
        # The log of the queue has some room of its own yet; then there is none.
        codes = set()
        for number in range(400):
            code = program.send(f"X: number-{number}-\r\n\r\n{'x' * 20_000}")
            codes.add(code)
            if code == 250:
                accepted.append(f"X: number-{number}-")
            elif code == 452 and number > len(accepted) + 5:
                break
        assert codes <= {250, 452} and 452 in codes
        assert program.send(f"X: long\r\n\r\n{LONG}") == 452
        # Who says how long it is need not send it (RFC 1870 section 6.1).
        assert program.offer(len(LONG)) == 452 and program.offer(1000) == 250
        (small / "filler").unlink()
        assert program.send("X: after\r\n\r\nx") == 250
        assert program.offer(len(LONG)) == 250 and program.send(f"X: long\r\n\r\n{LONG}") == 250
        # The log is on the same disk: what it had to say meanwhile may be missing, what it says now is not.
        assert all("no room" in trouble["reason"] for trouble in program.events("queue.trouble"))
        assert program.wait("queue.recovered") and len(program.events("queue.trouble")) <= 5
        assert program.server() == server and not program.events("queue.failed")
        # Mail that waited for room in the mailbox goes at the latest after the first wait of the delivery: a restart
        # need not be waited for.
        program.run("restart")
        program.arrived("X: before", *accepted)
    finally:
        program.run("stop")
