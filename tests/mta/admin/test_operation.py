# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a service manager sees of the server, how it ends, how its log is rotated. Real processes."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import smtplib
import socket
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import pytest
from test_opensslconf import tls_port
from test_program import PLACE

README = PLACE.parent / "README.md"


class Notes:
    """The notes that a service manager gets, as systemd would read them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._notes: queue.Queue[dict[str, str]] = queue.Queue()
        # As it comes: a queue that is full takes no more.
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while data := self._socket.recv(4096):
            self._notes.put(dict(line.split("=", 1) for line in data.decode().split("\n")))

    def next(self, key: str) -> dict[str, str]:
        """The next note that has this key."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            note = self._notes.get(timeout=60)
            if key in note:
                return note
        raise AssertionError(f"no note with {key}")

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self.path))
        self._thread.join(10)
        self._socket.close()


@pytest.fixture
def notes(tmp_path):
    with contextlib.closing(Notes(tmp_path / "notify")) as found:
        yield found


def test_the_manager_hears_of_everything(program, notes, authority):
    process = program.popen("serve", NOTIFY_SOCKET=str(notes.path), WATCHDOG_USEC="200000")
    assert notes.next("READY")["STATUS"] == "configuration 1, listens on nowhere, no listener was added yet"
    port = tls_port(program, authority.issue("manager.pem"))
    assert notes.next("STATUS")["STATUS"] == f"configuration 2, listens on 127.0.0.1:{port}"
    assert program.run("reload").returncode == 0
    assert int(notes.next("RELOADING")["MONOTONIC_USEC"]) > 0
    assert notes.next("READY")["STATUS"].endswith(f"127.0.0.1:{port}")
    assert notes.next("WATCHDOG") == {"WATCHDOG": "1"}
    process.send_signal(signal.SIGTERM)
    assert notes.next("STOPPING")["STATUS"] == "ending sessions"
    assert process.wait(30) == 0


def test_the_watchdog_is_of_the_event_loop(program, notes):
    process = program.popen("serve", NOTIFY_SOCKET=str(notes.path), WATCHDOG_USEC="200000", WATCHDOG_PID="1")
    notes.next("READY")
    program.run("reload")
    assert list(notes.next("RELOADING")) == ["RELOADING", "MONOTONIC_USEC"]
    process.send_signal(signal.SIGTERM)
    seen = []
    while "STOPPING" not in (note := notes.next("STATUS")):
        seen.append(note)
    assert not any("WATCHDOG" in note for note in seen) and process.wait(30) == 0


# --- the end ------------------------------------------------------------------------------------


def plain_port(program) -> int:
    """A listener in clear."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    client = program.admin()
    client.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", f"ADD Listener 127.0.0.1:{port}", "COMMIT", "COMMIT", "COMMIT")
    client.close()
    return port


def test_sessions_end_with_421(program):
    process = program.popen("serve")
    program.event("server.started")
    with smtplib.SMTP("127.0.0.1", plain_port(program), timeout=30) as client:
        client.ehlo()
        process.send_signal(signal.SIGTERM)
        assert client.getreply()[0] == 421
        assert client.file.readline() == b""
        client.close()
    assert program.event("server.stopped") and process.wait(30) == 0


@contextlib.contextmanager
def message_that_cannot_be_stored(program, port: int):
    """A session with nothing to do, while another one waits for its message to be stored: somebody holds the queue."""
    client = program.admin()
    client.ok("CREATE Domain name held.test postmasterPassword secret-1", "COMMIT", "CONFIG SERVER")
    assert client.upload(b'event onEhlo {\n\tset (localDelivery, "all");\n}\n').startswith("+OK")
    client.ok("COMMIT")
    client.close()
    with contextlib.closing(sqlite3.connect(program.state_dir / "queue.sqlite3", isolation_level=None)) as held:
        held.execute("BEGIN IMMEDIATE")
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as busy, smtplib.SMTP("127.0.0.1", port, timeout=30) as idle:
            busy.ehlo()
            for command in ("MAIL FROM:<>", "RCPT TO:<postmaster@held.test>", "DATA"):
                assert busy.docmd(command)[0] in (250, 354)
            busy.send(b"a: b\r\n\r\nc\r\n.\r\n")
            # Answered behind what came before it.
            assert idle.docmd("NOOP")[0] == 250
            yield idle
            busy.close()
            idle.close()


@pytest.mark.parametrize("command", ["serve", "start"])
def test_a_second_signal_ends_it_at_once(program, command):
    process = program.popen(command)
    program.event("server.started")
    port = plain_port(program)
    pid = program.status()["pid"]
    with message_that_cannot_be_stored(program, port) as idle:
        os.kill(pid, signal.SIGTERM)
        assert idle.getreply()[0] == 421
        os.kill(pid, signal.SIGTERM)
        assert program.event("server.abandoned")["reason"] == "a second signal"
        program.wait_until_gone()
    assert process.wait(30) == 0 and not (program.state_dir / "status.json").exists()


# --- the log ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["start", "serve"])
def test_a_log_that_was_moved_away_is_made_anew(program, command):
    log, old = program.folder / "plain.log", program.folder / "plain.log.1"
    program.config.write_text(program.config.read_text().replace('log_file = "log"', 'log_file = "plain.log"'))
    process = program.popen(command)
    while not program.run("status").stdout.startswith('{"running": true') or "admin" not in program.status():
        assert process.poll() in (None, 0)
    os.rename(log, old)
    assert program.run("reload").returncode == 0
    program.admin().close()
    assert program.run("stop").returncode == 0 and process.wait(30) == 0
    before, after = (
        [json.loads(line)["event"] for line in path.read_text().splitlines()] for path in (old, log)
    )  # fmt: skip
    assert "server.started" in before and "admin.login" not in before
    assert "admin.login" in after and after[-1] in ("server.stopped", "supervisor.child")


# --- the unit -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unit(tmp_path_factory):
    """The unit as the role writes it."""
    jinja2 = pytest.importorskip("jinja2")
    environment = jinja2.Environment(keep_trailing_newline=True)
    environment.filters |= {
        "comment": lambda text: f"# {text}", "to_json": json.dumps, "dirname": os.path.dirname,
        "regex_replace": lambda text, old, new: re.sub(old, new, text),
    }  # fmt: skip
    template = (PLACE.parent / "templates" / "postern.service.j2").read_text()
    path = tmp_path_factory.mktemp("unit") / "postern.service"
    path.write_text(
        environment.from_string(template).render(
            ansible_managed="by a test", mta_program=["/bin/true", "/opt/postern/postern.pyz"], mta_user="daemon",
            mta_with_config=["--config", "/etc/postern/postern.toml"], mta_run_dir="/run/postern",
            mta_state_dir="/var/lib/postern", mta_log_file="/var/log/postern/postern.log",
        )
    )  # fmt: skip
    return path


def analyze(*arguments: str) -> str:
    """What systemd-analyze says; it needs no systemd that runs."""
    try:
        done = subprocess.run(
            ["systemd-analyze", *arguments, "--no-pager"], capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError:
        pytest.skip("systemd-analyze is not here")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_unit_is_right_and_as_closed_as_its_documentation_says(unit):
    assert analyze("verify", str(unit)) == ""
    score = re.search(r"exposure level for postern.service: ([\d.]+)", analyze("security", "--offline=yes", str(unit)))
    assert float(score[1]) <= 1.5
    assert f"`systemd-analyze security` gives it {score[1]}" in README.read_text()
