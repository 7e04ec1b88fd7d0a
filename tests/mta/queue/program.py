# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program as an administrator runs it, supervised, for tests that do something to its disk."""

from __future__ import annotations

import json
import os
import smtplib
import socket
import subprocess
import sys
import time
from pathlib import Path

import postern
from ansible_collections.securemail.smtp.tests.mta.admin.admin_harness import RawClient

PATIENCE = 60.0
SECRET = "boot strap"


class Program:
    """``postern start`` with its state and its log in ``place``, listening on ``port`` for mail to example.test."""

    def __init__(self, folder: Path, place: Path) -> None:
        self.config, self.state, self._log = folder / "postern.toml", place / "state", place / "log"
        admin, self.port = _free_port(), _free_port()
        user = f'user = "{"root" if os.geteuid() == 0 else ""}"\n'
        self.config.write_text(
            f'host_name = "mail.example.test"\nstate_dir = "{self.state}"\nrun_dir = "{folder}/run"\n'
            f'log_file = "{self._log}"\n{user}[admin]\naddress = "127.0.0.1:{admin}"\n'
        )
        self.run("passwd", text=SECRET + "\n")
        started = self.run("start")
        assert started.returncode == 0, started.stderr
        client = RawClient(("127.0.0.1", admin)).login(SECRET)
        client.ok("CREATE Domain name example.test postmasterPassword postmaster-password", "COMMIT")
        client.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", f"ADD Listener 127.0.0.1:{self.port}")
        client.ok("COMMIT", "COMMIT", "COMMIT")
        client.close()

    def run(self, command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command of the program."""
        return subprocess.run(
            [sys.executable, "-m", "postern", command, "--config", str(self.config)],
            input=text, capture_output=True, text=True, timeout=PATIENCE, cwd="/", check=False,
            env={**os.environ, "PYTHONPATH": str(Path(postern.__path__[0]).parent)},
        )  # fmt: skip

    def server(self) -> int:
        """Process id of the server itself."""
        return json.loads(self.run("status").stdout)["server_pid"]

    def events(self, name: str) -> list[dict]:
        """The lines of the log with that event; lines that had no room are none."""
        found = []
        for line in self._log.read_text().splitlines():
            if line.startswith("{") and line.endswith("}"):
                record = json.loads(line)
                if record["event"] == name:
                    found.append(record)
        return found

    def wait(self, name: str, count: int = 1) -> list[dict]:
        """The lines with that event, once there are as many."""
        end = time.monotonic() + PATIENCE
        while len(found := self.events(name)) < count:
            assert time.monotonic() < end, f"no {count} of {name}: {self._log.read_text()[-3000:]}"
            time.sleep(0.05)
        return found

    def send(self, text: str) -> int:
        """Send a message to the postmaster; returns the code of the reply to its end, or of the first refusal."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=PATIENCE) as client:
            client.helo("client.test")
            client.mail("a@example.test")
            code, _text = client.rcpt("postmaster@example.test")
            return client.data(text)[0] if code == 250 else code

    def offer(self, size: int) -> int:
        """The code of the reply to MAIL for a message of that many octets."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=PATIENCE) as client:
            client.ehlo("client.test")
            return client.mail("a@example.test", [f"SIZE={size}"])[0]

    def send_again(self, text: str) -> int:
        """The same as a client does it that tries again until somebody listens and takes it."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                code = self.send(text)
            except (OSError, smtplib.SMTPException):
                code = 0
            if code == 250 or time.monotonic() > end:
                return code
            time.sleep(0.1)

    def mailbox(self) -> list[bytes]:
        """What the postmaster has got."""
        new = self.state / "domains" / "example.test" / "postmaster" / "Maildir" / "new"
        return [path.read_bytes() for path in new.iterdir()] if new.exists() else []

    def arrived(self, *texts: str) -> None:
        """Wait until messages with these lines have arrived."""
        end = time.monotonic() + PATIENCE
        while missing := [text for text in texts if not any(text.encode() in mail for mail in self.mailbox())]:
            assert time.monotonic() < end, missing
            time.sleep(0.05)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]
