# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A running SMTP side for tests: real sockets, real queue, real directory, on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

from postern import eventloop
from postern.delivery.local import LocalDelivery
from postern.directory import Directory
from postern.emulation import ITSELF, Emulation
from postern.queue.store import Store
from postern.receiving import Receiving
from postern.settings import Generation, ListenerSettings, TlsSettings
from postern.smtp.listener import SmtpService

OPEN_SCRIPT = 'event onEhlo {\n\tcall (Basic);\n}\nmethod Basic {\n\tset (localDelivery, "all");\n}\n'
HOST_NAME = "mx.example.test"
USER, PASSWORD = "u1@example.test", "s3cret"


class Events:
    """Takes the place of the log file: keeps events, and lets a test wait for one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.records: list[dict] = []

    def event(self, name: str, *, level: str = "info", **fields) -> None:
        with self._changed:
            self.records.append({"event": name, "level": level, **fields})
            self._changed.notify_all()

    def wait(self, name: str, timeout: float = 10, **fields) -> dict:
        """The first event with this name and these fields."""
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                for record in self.records:
                    if record["event"] == name and all(record.get(key) == value for key, value in fields.items()):
                        return record
                if not self._changed.wait(end - time.monotonic()):
                    raise AssertionError(f"no event {name} {fields} in {self.records}")


def make_directory(path: Path) -> Directory:
    """example.test with the user of the cases, other.test with nobody but its postmaster."""
    directory = Directory(str(path))
    directory.create_domain("example.test", "postmaster-password")
    directory.put_account("example.test", "u1", PASSWORD)
    directory.put_account("example.test", "u2", "pässword with blank")
    directory.create_domain("other.test", "postmaster-password")
    return directory


class Server:
    """The SMTP side with its queue in ``folder``."""

    def __init__(
        self,
        folder: Path,
        directory: Directory,
        emulation: Emulation = ITSELF,
        receiving: Receiving = Receiving(),
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.folder = folder
        self._emulation = emulation
        self._receiving = receiving
        self.log = Events()
        self.directory = directory
        self.store = Store(folder / "queue.sqlite3")
        self.delivery = LocalDelivery(self.store, folder / "domains", self.log)
        self.delivery.start()
        self._loop = loop or eventloop.new()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.service = self.run(self._make())
        self._number = 0

    async def _make(self) -> SmtpService:
        return SmtpService(self.directory, self.store, self.log, HOST_NAME, self._emulation, self._receiving)

    def run(self, coroutine, timeout: float = 20):
        """Run something on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    def activate(self, *listeners: ListenerSettings, script: str | bytes = OPEN_SCRIPT, **generation) -> None:
        """Make these listeners and this script the running generation."""
        self._number += 1
        content = script if isinstance(script, bytes) else script.encode()
        self.run(self.service.activate(Generation(self._number, HOST_NAME, listeners, content, **generation)))

    def port(self, host: str = "127.0.0.1") -> int:
        """The port on which ``host`` listens."""
        for address in self.service.listening:
            found, _colon, port = address.rpartition(":")
            if found.strip("[]") == host:
                return int(port)
        raise AssertionError(f"{host} is not listening: {self.service.listening}")

    def mailbox(self, local_part: str = "u1", domain: str = "example.test") -> Path:
        """The folder of new mail."""
        return self.folder / "domains" / domain / local_part / "Maildir" / "new"

    def delivery_settled(self, number: str, timeout: float = 10) -> None:
        """Wait until the local recipients of a message are off the queue."""
        end = time.monotonic() + timeout
        while int(number, 16) in self.store.open_local():
            assert time.monotonic() < end, f"{number} is still to be delivered"
            time.sleep(0.01)

    def close(self) -> None:
        """Stop everything."""
        self.run(self.service.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self.delivery.close()
        self.store.close()


def listener(host: str = "127.0.0.1", port: int = 0, tls: TlsSettings | None = None, **settings) -> ListenerSettings:
    """A listener without limits that would get in the way of a test."""
    limits = {"max_connections": 0, "max_interval_connections": 0}
    limits |= {"peer_max_connections": 0, "peer_max_interval_connections": 0}
    return ListenerSettings(host=host, port=port, tls=tls or TlsSettings(), **{**limits, **settings})
