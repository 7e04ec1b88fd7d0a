# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``kill -9`` under load, again and again: whatever got its 250 is in the mailbox, whole, and none of it twice."""

from __future__ import annotations

import collections
import hashlib
import os
import random
import re
import signal
import smtplib
import subprocess
import sys
import threading
import time
from pathlib import Path

SENDERS = 4
KILLS = 50


class Forge:
    """Starts servers: the program is loaded once, and each server is a fresh process of it."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, str(Path(__file__).with_name("queue_server.py")), str(folder), "again"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self) -> tuple[int, int]:
        """Port and process id of a fresh server."""
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        port, server = map(int, self._process.stdout.readline().split())
        return port, server

    def kill(self, server: int) -> None:
        """SIGKILL: nothing in the process gets to run any more. Returns when it is gone."""
        os.kill(server, signal.SIGKILL)
        assert self._process.stdout.readline() == "gone\n"

    def close(self) -> None:
        """No more servers."""
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


class Load:
    """Clients that send numbered messages until the server is gone; a third are long ones."""

    def __init__(self, port: int, turn: int) -> None:
        self.sent = threading.Event()
        self.accepted: list[str] = []
        self.tried: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(port, f"{turn}-{n}")) for n in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def _run(self, port: int, prefix: str) -> None:
        try:
            client = smtplib.SMTP("127.0.0.1", port, timeout=10)
            for number in range(100_000):
                name = f"{prefix}-{number}"
                self.tried.append(name)
                long = random.randrange(3) == 0
                body = f"{random.randrange(1 << 30):x} " * random.randrange(36_000, 60_000) if long else "x" * 5000
                body = "\n".join(re.findall(".{1,70}", body)) + "\n"
                digest = hashlib.sha256(body.encode()).hexdigest()
                text = f"X-Number: {name}\nX-Digest: {digest}\n\n{body}".replace("\n", "\r\n")
                client.sendmail("a@example.test", ["postmaster@example.test"], text)
                self.accepted.append(name)
                self.sent.set()
        except (smtplib.SMTPException, OSError):
            return

    def join(self) -> None:
        """Wait until all clients have noticed."""
        for thread in self._threads:
            thread.join(30)


def take(folder: Path, found: collections.Counter, long: set[str]) -> None:
    """Count what is in the mailbox, each message whole, and move it away as whoever reads it does."""
    mailbox = folder / "domains" / "example.test" / "postmaster" / "Maildir"
    for path in (mailbox / "new").iterdir() if mailbox.exists() else ():
        header, _empty, body = path.read_bytes().partition(b"\n\n")
        name = re.search(rb"^X-Number: (\S+)$", header, re.MULTILINE).group(1).decode()
        digest = re.search(rb"^X-Digest: (\S+)$", header, re.MULTILINE).group(1).decode()
        assert hashlib.sha256(body).hexdigest() == digest, f"{name} is torn"
        found[name] += 1
        if len(body) > 256 * 1024:
            long.add(name)
        path.write_bytes(b"")
        path.rename(mailbox / "cur" / f"{path.name}:2,S")


def test_killed_while_loaded(tmp_path, record_property):
    accepted: list[str] = []
    tried: set[str] = set()
    found: collections.Counter = collections.Counter()
    long: set[str] = set()
    forge = Forge(tmp_path)
    try:
        for turn in range(KILLS):
            port, server = forge.start()
            load = Load(port, turn)
            assert load.sent.wait(20)
            time.sleep(random.uniform(0, 0.6))
            forge.kill(server)
            load.join()
            accepted += load.accepted
            tried |= set(load.tried)
            take(tmp_path, found, long)
        port, server = forge.start()
        missing = set(accepted)
        end = time.monotonic() + 60
        while missing and time.monotonic() < end:
            time.sleep(0.05)
            take(tmp_path, found, long)
            missing -= set(found)
        forge.kill(server)
    finally:
        forge.close()
    twice = {name: count for name, count in found.items() if count > 1}
    # Mail that was stored although its 250 was not heard any more: its sender may send it again (RFC 5321 section 6.1).
    unheard = set(found) - set(accepted)
    counts = {"accepted": len(accepted), "long": len(long), "twice": len(twice), "unheard": len(unheard)}
    for name, value in counts.items():
        record_property(name, value)
        print(name, value)
    assert len(accepted) > KILLS * SENDERS and len(long) > KILLS // 3
    assert not missing, f"{len(missing)} of {len(accepted)} accepted messages are lost"
    assert not twice
    assert set(found) <= tried
