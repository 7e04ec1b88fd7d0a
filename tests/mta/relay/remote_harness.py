# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Delivery to other hosts without a server around it: real queue, real name server, real peers, a clock to be set."""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path

from ansible_collections.securemail.smtp.plugins.module_utils._probe.sink import Sink
from postern.delivery.conversation import Limits, Trust
from postern.delivery.destination import Bounds
from postern.delivery.remote import RemoteDelivery
from postern.delivery.resolver import Resolver
from postern.delivery.schedule import Schedule
from postern.queue.store import Envelope, Recipient, Store
from postern.rules.engine import RuleSet, compile_script

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "devtools"))

from zone import Zone  # noqa: E402

HOST_NAME = "mail.example.test"
#: What a test waits for, at most; only a failing test waits that long.
PATIENCE = 20.0
BODY = b"From: u1@example.test\r\nSubject: hello\r\n\r\nthe body\r\n"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


class Events:
    """Takes the place of the log file: keeps events, and lets a test wait for one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._records: list[dict] = []

    def event(self, name: str, *, level: str = "info", **fields) -> None:
        self.record(name, fields, level)

    def record(self, name: str, fields, level: str = "info") -> None:
        with self._changed:
            self._records.append({"event": name, "severity": level, **fields})
            self._changed.notify_all()

    def all(self, name: str, **fields) -> list[dict]:
        """The events so far with this name and these fields."""
        with self._changed:
            return self._all(name, fields)

    def wait(self, name: str, count: int = 1, **fields) -> dict:
        """The ``count``-th event with this name and these fields."""
        with self._changed:
            found = self._changed.wait_for(lambda: len(self._all(name, fields)) >= count, PATIENCE)
            assert found, f"no event {name} {fields} (number {count}) in {self._records}"
            return self._all(name, fields)[count - 1]

    def _all(self, name: str, fields: dict) -> list[dict]:
        return [
            record for record in self._records
            if record["event"] == name and all(record.get(key) == value for key, value in fields.items())
        ]  # fmt: skip


class Accounts:
    """One local domain with one mailbox."""

    def domains(self) -> list[str]:
        return ["example.test"]

    def has_domain(self, domain: str) -> bool:
        return domain == "example.test"

    def destinations(self, local: str, domain: str) -> tuple[tuple[str, str, bool, str], ...] | None:
        return (("u1", domain, True, ""),) if (local.lower(), domain) == ("u1", "example.test") else None

    def credentials(self, login: str) -> None:
        return None


class Relaying:
    """A queue in ``folder`` and what sends from it. ``now`` is what its clock says. A context manager."""

    def __init__(self, folder: Path, **options) -> None:
        self.folder = folder
        self.now = 1_800_000_000.0
        self.log = Events()
        self.options = options
        self._numbers = itertools.count(3)
        self.heard = threading.Condition()
        self._stack = ExitStack()
        # Whoever holds this port at this address may use it at all others of the network.
        guard = self._stack.enter_context(socket.socket())
        guard.bind(("127.78.0.1", 0))
        self.port: int = guard.getsockname()[1]
        self.zone = self._stack.enter_context(Zone())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        #: Methods of the policy, for statements to call.
        self.methods = ""
        self.rules: RuleSet | None = None
        self.script()
        self.start()

    def __enter__(self) -> "Relaying":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._stack.close()

    def begin(self, coroutine) -> Future:
        """Begin something on the loop of the delivery."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine):
        """Run something on the loop of the delivery."""
        return self.begin(coroutine).result(PATIENCE)

    def start(self) -> None:
        """Open the queue and begin to send."""
        self.store = Store(self.folder / "queue.sqlite3")
        self.run(self._start())

    async def _start(self) -> None:
        options = {"schedule": Schedule(), "limits": Limits.all(5), "pause": 0.05, "clock": lambda: self.now}
        # A peer that a test changes is asked anew: that connections are kept is tested where they are.
        options["bounds"] = Bounds(kept=0)
        options |= self.options
        self.delivery = RemoteDelivery(
            self.store, Resolver((self.zone.address,)), lambda: self.rules, Trust(), self.log, HOST_NAME,
            Accounts(), lambda: [("127.78.0.2", self.port)], **options,
        )  # fmt: skip
        self.delivery.start()

    def stop(self) -> None:
        """End the delivery and close the queue."""
        self.run(self.delivery.close())
        self.store.close()

    def wake(self) -> None:
        """Have the delivery look at the clock and the rules."""
        self._loop.call_soon_threadsafe(self.delivery.wake)

    def script(self, *statements: str) -> None:
        """Make the running policy: statements of ``onRelay``."""
        body = "\n".join([f'set (remoteSmtpPort, "{self.port}");', 'set (allowStartTLS, "no");', *statements])
        self.rules = compile_script(f"event onRelay {{\n{body}\n}}\n{self.methods}")

    def go(self, seconds: float) -> None:
        """Let this much time pass."""
        self.now += seconds
        self.wake()

    def put(
        self, *recipients: str, sender: str = "u1@example.test", body: bytes = BODY, age: float = 0, **about
    ) -> int:
        """Store a message; a recipient is local when it is u1's mailbox. ``about``: further fields of the envelope.

        Returns its id.
        """
        pairs = [recipient.rpartition("@") for recipient in recipients]
        found = tuple(Recipient(local, domain, domain == "example.test") for local, _at, domain in pairs)
        envelope = Envelope(self.store.new_id(), sender, found, received=self.now - age, **about)
        return self.run(self.store.add(envelope, body))

    def address(self) -> str:
        """A loopback address that nobody here has had."""
        return "127.78.{}.{}".format(*divmod(next(self._numbers), 250))

    def peer(self, *domains: str, **behaviour: object) -> Sink:
        """A peer that is the mail exchanger of these domains, behind those that they have already."""
        address = self.address()
        name = f"mx{address.rpartition('.')[2]}.test"
        self.zone.put(name, {"A": [address]})
        for domain in domains:
            self.zone.put(domain, {"MX": [f"10 {name}"]})
        return self._stack.enter_context(
            Sink(address, self.port, name=name, heard=self.heard, **({"starttls": False} | behaviour))
        )

    def attempt(self, domain: str, count: int = 1, **fields) -> dict:
        """The log line of an attempt."""
        return self.log.wait("relay.attempt", count, domain=domain, **fields)

    def settled(self, message: int) -> None:
        """Wait until a message has left the queue."""
        end = time.monotonic() + PATIENCE
        while self.store.envelope(message) is not None:
            assert time.monotonic() < end, f"still queued: {self.store.waiting(message)}"
            time.sleep(0.01)

    def quiet(self, *messages: int) -> None:
        """Wait until each of these was tried or put off, and none of them is due."""
        end = time.monotonic() + PATIENCE
        for message in messages:
            while any(not each.attempts or each.due <= self.now for each in self.store.waiting(message).values()):
                assert time.monotonic() < end, f"still due: {self.store.waiting(message)}"
                time.sleep(0.01)

    def notification(self, count: int = 1, **fields) -> tuple[Envelope, bytes]:
        """A message of the server itself, which stays in the queue, because nobody delivers to mailboxes here."""
        number = self.log.wait("relay.notification", count, **fields)["id"]
        envelope, _recipients, body = self.store.load(int(number, 16))
        return envelope, body
