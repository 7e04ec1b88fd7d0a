# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real program, a name server and peers on the loopback: everything that mail for other domains passes through."""

from __future__ import annotations

import itertools
import json
import os
import signal
import smtplib
import socket
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from ansible_collections.securemail.smtp.plugins.module_utils._probe.sink import Sink
from ansible_collections.securemail.smtp.tests.converge.mta_process import Mta
from ansible_collections.securemail.smtp.tests.mta.admin.admin_harness import RawClient
from postern.passwords import hash_password

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "devtools"))

from zone import Zone  # noqa: E402

HOST_NAME = "mail.example.test"
DOMAIN, USER = "example.test", "u1@example.test"
ADMIN_PASSWORD, USER_PASSWORD = "adm1n pass", "us3r pass"
#: What a test waits for, at most; only a failing test waits that long.
PATIENCE = 30.0
#: Seconds. Long enough that a test about the first attempt sees no second one.
NEVER = 3600.0

_RECEIVING = """\
event onEhlo {
\tset (plainConnAuthTypes, "plain ");
\tset (localDelivery, "all");
\tset (remoteDelivery, "auth");
}
"""


class Events:
    """The events of a log that is a named pipe, as they come."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._changed = threading.Condition()
        self._records: list[dict] = []
        # For writing too, so that it does not end when the server does.
        self._stream = os.fdopen(os.open(path, os.O_RDWR), "rb")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            if line == b"\n":
                return
            with self._changed:
                self._records.append(json.loads(line))
                self._changed.notify_all()

    def all(self, name: str, **fields: object) -> list[dict]:
        """The events so far with this name and these fields."""
        with self._changed:
            return self._all(name, fields)

    def wait(self, name: str, count: int = 1, **fields: object) -> dict:
        """The event with this name and these fields, the ``count``-th one."""
        end = time.monotonic() + PATIENCE
        with self._changed:
            while len(found := self._all(name, fields)) < count:
                if not self._changed.wait(max(end - time.monotonic(), 0)):
                    seen = [record for record in self._records if record["event"].startswith("relay")]
                    raise AssertionError(f"no event {name} {fields} (number {count}) in {seen[-20:]}")
            return found[count - 1]

    def _all(self, name: str, fields: dict) -> list[dict]:
        return [
            record for record in self._records
            if record["event"] == name and all(record.get(key) == value for key, value in fields.items())
        ]  # fmt: skip

    def text(self) -> str:
        """Everything that was logged."""
        with self._changed:
            return json.dumps(self._records)

    def close(self, path: Path) -> None:
        with open(path, "wb") as pipe:
            pipe.write(b"\n")
        self._thread.join(10)
        self._stream.close()


class Lab:
    """A server whose mail to others goes to peers of the test.

    ``zone`` is its name server, ``events`` its log; ``port`` the one port of all peers and of the server's own
    listener, which is :attr:`listener`. ``retry`` are seconds between attempts; ``tables`` further tables of the
    bootstrap file, where PORT stands for that port. Connections are not kept: a peer that a test changes is asked anew.
    A context manager.
    """

    def __init__(
        self, folder: Path, authority, retry: tuple[float, ...] = (NEVER,), tables: str = "", **relay: object
    ) -> None:
        self.authority = authority
        self._stack = ExitStack()
        self._numbers = itertools.count(3)
        # Whoever holds this port at this address may use it at all others of the network.
        guard = self._stack.enter_context(socket.socket())
        guard.bind(("127.77.0.1", 0))
        self.port: int = guard.getsockname()[1]
        self.listener = ("127.77.0.2", self.port)
        self.zone = self._stack.enter_context(Zone())
        self.server = Mta(folder, hash_password(ADMIN_PASSWORD), self.script().encode())
        settings = {"ca_file": str(authority.ca_file), "retry": list(retry), "command_timeout": 10, "keep": 0} | relay
        lines = [f'[dns]\nservers = ["{self.zone.address}"]\n[relay]']
        lines += [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        tables = tables.replace("PORT", str(self.port))
        self.server.config.write_text(self.server.config.read_text() + "\n".join([*lines, tables]) + "\n")
        self.folder = folder
        self.events = Events(self.server.log)
        self._stack.callback(self.events.close, self.server.log)
        self._stack.callback(self.server.stop)
        self._sender: smtplib.SMTP | None = None
        try:
            self.server.start()
            self._configure()
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server and the name server."""
        self._disconnect()
        self._stack.close()

    # --- the server -----------------------------------------------------------------------------

    def admin(self) -> RawClient:
        """A new admin session."""
        return RawClient(("127.0.0.1", self.server.port)).login(ADMIN_PASSWORD)

    def _configure(self) -> None:
        admin = self.admin()
        admin.ok(f"CREATE Domain name {DOMAIN} postmasterPassword '{USER_PASSWORD}'", "COMMIT")
        admin.ok(f"UPDATE Domain name {DOMAIN}", f"ADD Account name u1 password '{USER_PASSWORD}'", "COMMIT", "COMMIT")
        admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", "ADD Listener {}:{}".format(*self.listener))
        admin.ok("COMMIT", "COMMIT", "COMMIT", "SAVE CONFIG")
        admin.close()

    def script(self, *rules: str, **general: str) -> str:
        """A policy script: ``general`` are the variables that are set for every domain, ``rules`` stand behind them."""
        lines = [f'\tset ({name}, "{value}");' for name, value in {"remoteSmtpPort": str(self.port), **general}.items()]
        return _RECEIVING + "event onRelay {\n" + "\n".join([*lines, *rules]) + "\n}\n"

    def policy(self, *rules: str, **general: str) -> None:
        """Make a script the running one; see :meth:`script`."""
        admin = self.admin()
        admin.ok("CONFIG SERVER")
        answer = admin.upload(self.script(*rules, **general).encode())
        assert "+OK: " in answer, answer
        admin.ok("COMMIT")
        admin.close()

    def restart(self, number: int = signal.SIGTERM) -> None:
        """End the server, with this signal, and start it again with the same policy."""
        self._disconnect()
        admin = self.admin()
        admin.ok("SAVE CONFIG")
        admin.close()
        self.server.stop(number)
        self.server.start()

    # --- mail -----------------------------------------------------------------------------------

    def submit(
        self, *recipients: str, subject: str = "hello", sender: str = USER, options: str = "", content: bytes = b""
    ) -> str:
        """Send a message as a logged-in user; returns its number in the queue. ``options`` are parameters of MAIL."""
        if self._sender is None:
            self._sender = smtplib.SMTP(*self.listener, timeout=PATIENCE)
            self._sender.login(USER, USER_PASSWORD)
            self._sender.command_encoding = "utf-8"
        mail = f"FROM:<{sender}> {options}".rstrip()
        for verb, argument in [("MAIL", mail), *(("RCPT", f"TO:<{each}>") for each in recipients)]:
            code, text = self._sender.docmd(verb, argument)
            assert code == 250, (verb, argument, text)
        plain = f"From: {sender}\r\nTo: {', '.join(recipients)}\r\nSubject: {subject}\r\n\r\nbody of {subject}\r\n"
        code, text = self._sender.data(content or plain)
        assert code == 250, text
        return text.decode().rpartition(" ")[2]

    def _disconnect(self) -> None:
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def attempt(self, domain: str, count: int = 1, **fields: object) -> dict:
        """The log line of an attempt to deliver to this domain."""
        return self.events.wait("relay.attempt", count, domain=domain, **fields)

    def notification(self, about: str) -> bytes:
        """What the user's mailbox has about a message."""
        number = self.events.wait("relay.notification", about=about)["id"]
        self.events.wait("delivery.local", id=number)
        (file,) = self.mailbox().glob(f"*{number}*")
        return file.read_bytes()

    def mailbox(self) -> Path:
        """Where new mail for the user comes."""
        return self.server.state / "domains" / DOMAIN / "u1" / "Maildir" / "new"

    # --- peers ----------------------------------------------------------------------------------

    def address(self) -> str:
        """A loopback address that nobody in this lab has had."""
        return "127.77.{}.{}".format(*divmod(next(self._numbers), 250))

    def peer(self, host: str, **behaviour: object) -> Sink:
        """A peer with this host name and an address of its own; close it, or use it as a context manager."""
        address = self.address()
        self.zone.put(host, {"A": [address]})
        return Sink(address, self.port, name=host, **behaviour)

    def mx(self, domain: str, *hosts: str) -> None:
        """The mail exchangers of a domain, the preferred one first; "10 host" sets the preference too."""
        records = [host if " " in host else f"{place} {host}" for place, host in enumerate(hosts, 1)]
        self.zone.put(domain, {"MX": records})

    def certificate(self, name: str, **how: object) -> str:
        """A PEM file for a peer with this host name, of the authority that the server trusts."""
        return self.authority.issue(f"{name}-{how.get('days', 30)}.pem", name=name, names=[name], **how)
