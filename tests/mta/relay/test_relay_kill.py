# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``kill -9`` while mail comes in and goes out: whatever got its 250 reaches its host, whole, at least once."""

from __future__ import annotations

import collections
import hashlib
import json
import os
import random
import re
import signal
import smtplib
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import postern
from ansible_collections.securemail.smtp.plugins.module_utils._probe.sink import Sink
from ansible_collections.securemail.smtp.plugins.module_utils._probe.sink_dialogue import Session
from ansible_collections.securemail.smtp.tests.mta.admin.admin_harness import RawClient
from postern.admin.authentication import set_password
from postern.delivery.destination import Bounds
from postern.passwords import hash_password
from postern.queue import listing

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "devtools"))

from zone import Zone  # noqa: E402

KILLS = 20
CLIENTS = 4
DOMAINS = ("a.test", "b.test", "c.test", "d.test", "e.test")
#: Messages that are under way before the clients wait: a longer queue would only take longer to empty.
UNDER_WAY = 40
PATIENCE = 60.0
PASSWORD = "adm1n pass"


class Server:
    """The real service, to be killed and started again on what it left."""

    def __init__(self, folder: Path, dns: str, script: str) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        set_password(str(self.state), hash_password(PASSWORD))
        (folder / "script").write_text(script)
        user = "root" if os.geteuid() == 0 else ""
        config = folder / "postern.toml"
        config.write_text(
            f'host_name = "mail.example.test"\nstate_dir = "{self.state}"\nrun_dir = "{folder}/run"\nuser = "{user}"\n'
            f'log_file = "{folder}/log"\ninitial_script = "script"\n[admin]\naddress = "127.0.0.1:0"\n'
            f'[dns]\nservers = ["{dns}"]\n[relay]\nretry = [0.2]\ncommand_timeout = 20\n'
        )
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("relay_server.py")), str(config)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=dict(os.environ, PYTHONPATH=str(Path(postern.__path__[0]).parent)),
        )  # fmt: skip
        self._pid = 0
        self.admin = ""

    def start(self) -> None:
        """Returns when it answers."""
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        status = json.loads(self._process.stdout.readline())
        assert not status["problem"], status
        self._pid, self.admin = status["pid"], status["admin"]

    def end(self, number: int = signal.SIGKILL) -> None:
        """Returns when nothing of it runs any more."""
        os.kill(self._pid, number)
        self._pid = 0
        assert self._process.stdout.readline() == "gone\n"

    def close(self) -> None:
        """End what runs, and what runs the servers."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
        self._process.communicate()


class Traffic:
    """Messages that clients submit and peers receive. Everything waits for ``heard``, which peers notify too."""

    def __init__(self, listener: tuple[str, int]) -> None:
        self.heard = threading.Condition()
        self.peers: list[Sink] = []
        #: Message and recipient: submitted; answered with 250; how often it arrived.
        self.tried: set[tuple[str, str]] = set()
        self.accepted: set[tuple[str, str]] = set()
        self.arrived: collections.Counter[tuple[str, str]] = collections.Counter()
        self._listener = listener
        self._threads: list[threading.Thread] = []
        self._over = False
        self._steps = 0
        self._known: collections.Counter[Sink] = collections.Counter()
        #: Sessions that go on, and how many of their messages are taken up.
        self._pending: list[tuple[Session, int]] = []

    # --- clients --------------------------------------------------------------------------------

    def submit(self, turn: int) -> None:
        """Have clients send numbered messages until the server is gone."""
        self._over = False
        self._threads = [threading.Thread(target=self._client, args=(f"{turn}-{n}",)) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """The server is gone: wait until all clients have noticed."""
        with self.heard:
            self._over = True
            self.heard.notify_all()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _client(self, prefix: str) -> None:
        try:
            client = smtplib.SMTP(*self._listener, timeout=PATIENCE)
            for number in range(100_000):
                with self.heard:
                    self.heard.wait_for(lambda: self._over or len(self.missing()) < UNDER_WAY, PATIENCE)
                self._send(client, f"{prefix}-{number}")
        except (smtplib.SMTPException, OSError):
            return

    def _send(self, client: smtplib.SMTP, name: str) -> None:
        text = "".join("x" * random.randrange(70) + "\r\n" for _line in range(random.randrange(300)))
        digest = hashlib.sha256(text.encode()).hexdigest()
        # Two domains: two attempts at a time for one message.
        recipients = [f"x@{domain}" for domain in random.sample(DOMAINS, 2)]
        pairs = {(name, recipient) for recipient in recipients}
        with self.heard:
            self.tried |= pairs
        client.sendmail("sender@b.test", recipients, f"X-Number: {name}\r\nX-Hash: {digest}\r\n\r\n{text}")
        with self.heard:
            self.accepted |= pairs

    # --- peers ----------------------------------------------------------------------------------

    def steps(self) -> int:
        """How many commands the peers have seen; takes up what arrived. Hold ``heard``."""
        for peer in self.peers:
            sessions = peer.sessions
            self._pending += [(session, 0) for session in sessions[self._known[peer] :]]
            self._known[peer] = len(sessions)
        waiting = []
        for session, seen in self._pending:
            # In this order: what comes after it is over is nothing.
            ended, messages = session.ended, session.messages
            for message in messages[seen:]:
                self.arrived[identity(message.data), *message.recipients] += 1
            if ended:
                self._steps += len(session.commands)
            else:
                # A connection is kept for the next message.
                waiting.append((session, len(messages)))
        self._pending = waiting
        return self._steps + sum(len(session.commands) for session, _seen in waiting)

    def missing(self) -> set[tuple[str, str]]:
        """What was accepted and did not arrive yet. Hold ``heard``."""
        self.steps()
        return self.accepted - self.arrived.keys()


def identity(data: bytes) -> str:
    """The name of a message; fails for a torn one."""
    head, _end, text = data.partition(b"\r\n\r\n")
    found = [re.search(rb"^%s: (.*?)\r?$" % field, head, re.MULTILINE) for field in (b"X-Number", b"X-Hash")]
    name, digest = (match.group(1).decode() for match in found)
    assert hashlib.sha256(text).hexdigest() == digest, f"message {name} is torn: {data[-200:]!r}"
    return name


def test_killed_while_relaying(tmp_path, record_property):
    with ExitStack() as stack:
        # Whoever holds this port at this address may use it at all others of the network.
        guard = stack.enter_context(socket.socket())
        guard.bind(("127.79.0.1", 0))
        port = guard.getsockname()[1]
        zone = stack.enter_context(Zone())
        traffic = Traffic(("127.79.0.2", port))
        for place, domain in enumerate(DOMAINS, 3):
            zone.put(domain, {"A": [f"127.79.0.{place}"]})
            peer = Sink(f"127.79.0.{place}", port, max_sessions=10**6, heard=traffic.heard, starttls=False)
            traffic.peers.append(stack.enter_context(peer))
        script = (
            'event onEhlo {\n\tset (remoteDelivery, "all");\n}\n'
            f'event onRelay {{\n\tset (remoteSmtpPort, "{port}");\n}}\n'
        )
        server = Server(tmp_path, zone.address, script)
        stack.callback(traffic.join)
        stack.callback(server.close)
        server.start()
        listen(server, port)
        for turn in range(KILLS):
            traffic.submit(turn)
            with traffic.heard:
                # Between two commands of some conversation, whichever that is.
                goal = traffic.steps() + random.randrange(1, 150)
                assert traffic.heard.wait_for(lambda: traffic.steps() >= goal, PATIENCE)
            server.end()
            traffic.join()
            server.start()
        with traffic.heard:
            traffic.heard.wait_for(lambda: not traffic.missing(), PATIENCE)
            assert not traffic.missing(), f"{len(traffic.missing())} of {len(traffic.accepted)} are lost"
        server.end(signal.SIGTERM)
        traffic.steps()
    unanswered = traffic.tried - traffic.accepted
    duplicates = sum(traffic.arrived.values()) - len(traffic.arrived)
    record_property("accepted", len(traffic.accepted))
    record_property("duplicates", duplicates)
    assert len(traffic.accepted) > KILLS * CLIENTS
    assert traffic.arrived.keys() <= traffic.tried
    # A message that arrives and whose arrival was not noted is sent again: as many as there were conversations.
    assert duplicates <= KILLS * Bounds().connections
    # What is left are messages for which no client had heard a 250 yet.
    left = list(listing.entries(str(server.state / "queue.sqlite3")))
    assert sum(len(entry.recipients) for entry in left) <= len(unanswered)


def listen(server: Server, port: int) -> None:
    """Give the server its listener, for this run and all that follow."""
    host, _colon, number = server.admin.rpartition(":")
    admin = RawClient((host, int(number))).login(PASSWORD)
    admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", f"ADD Listener 127.79.0.2:{port}")
    admin.ok("COMMIT", "COMMIT", "COMMIT", "SAVE CONFIG")
    admin.close()
