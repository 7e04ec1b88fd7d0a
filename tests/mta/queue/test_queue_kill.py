# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``kill -9`` under load: whatever got its 250 is in the mailbox, once."""

from __future__ import annotations

import collections
import random
import re
import smtplib
import subprocess
import sys
import threading
import time
from pathlib import Path

SENDERS = 4
KILLS = 4


class Process:
    """The server as a process."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, str(Path(__file__).with_name("queue_server.py")), str(folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self._process.stdout.readline().split()[0])

    def kill(self) -> None:
        """SIGKILL: nothing in the process gets to run any more."""
        self._process.kill()
        self._process.wait(10)
        self._process.stdout.close()


class Load:
    """Clients that send numbered messages until the server is gone."""

    def __init__(self, port: int, turn: int) -> None:
        self.sent = threading.Event()
        self.accepted: list[str] = []
        self.unknown: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(port, f"{turn}-{n}")) for n in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def _run(self, port: int, prefix: str) -> None:
        try:
            client = smtplib.SMTP("127.0.0.1", port, timeout=10)
            for number in range(100_000):
                name = f"{prefix}-{number}"
                self.unknown.append(name)
                text = f"Subject: {name}\r\nX-Number: {name}\r\n\r\n" + "x" * random.randrange(20_000)
                client.sendmail("a@example.test", ["postmaster@example.test"], text)
                self.accepted.append(name)
                self.sent.set()
        except (smtplib.SMTPException, OSError):
            return

    def join(self) -> None:
        """Wait until all clients have noticed."""
        for thread in self._threads:
            thread.join(30)


def numbers(folder: Path) -> collections.Counter:
    """How often each message is in the mailbox."""
    new = folder / "domains" / "example.test" / "postmaster" / "Maildir" / "new"
    found = (re.search(rb"^X-Number: (\S+)$", path.read_bytes(), re.MULTILINE) for path in new.iterdir())
    return collections.Counter(match.group(1).decode() for match in found if match)


def test_killed_while_loaded(tmp_path):
    accepted: list[str] = []
    tried: set[str] = set()
    for turn in range(KILLS):
        process = Process(tmp_path)
        load = Load(process.port, turn)
        assert load.sent.wait(20)
        time.sleep(random.uniform(0, 0.4))
        process.kill()
        load.join()
        accepted += load.accepted
        tried |= set(load.unknown)
    process = Process(tmp_path)
    try:
        # Mail that is accepted last is delivered last.
        with smtplib.SMTP("127.0.0.1", process.port, timeout=10) as client:
            client.sendmail("a@example.test", ["postmaster@example.test"], "X-Number: last\r\n\r\nx")
        end = time.monotonic() + 60
        while not numbers(tmp_path)["last"]:
            assert time.monotonic() < end
            time.sleep(0.05)
        found = numbers(tmp_path)
    finally:
        process.kill()
    assert len(accepted) > KILLS * SENDERS
    missing = [name for name in accepted if not found[name]]
    assert not missing, f"{len(missing)} of {len(accepted)} accepted messages are lost"
    twice = {name: count for name, count in found.items() if count > 1}
    assert not twice
    assert set(found) - {"last"} <= tried
