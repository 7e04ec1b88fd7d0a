# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An admin server on a real socket, and a client that shows every byte it receives.

Where a test is about the admin side alone, the SMTP side is a recorder of the seam between both.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import re
import socket
import threading
import typing as t
from pathlib import Path

from postern import eventloop
from postern.admin import aacl
from postern.admin.aacl import AccessList
from postern.admin.authentication import PASSWORD_FILE, Authenticator, set_password
from postern.admin.configuration import Configuration
from postern.admin.server import AdminServer, ConnectionLimits
from postern.admin.session import AdminSession, Limits
from postern.directory import Directory
from postern.log import Log
from postern.settings import ActivationError, Generation

PASSWORD = "correct horse"
_SALT = b"not secret at all"
#: Of the right form and cheap to check: a login for every test is not what the tests are about.
PHC = "$scrypt$ln=4,r=8,p=1${}${}".format(
    *(base64.b64encode(part).decode().rstrip("=") for part in (
        _SALT, hashlib.scrypt(PASSWORD.encode(), salt=_SALT, n=16, r=8, p=1, dklen=32),
    ))
)  # fmt: skip
_PROMPT = re.compile(rb"(?:^|\n)<[A-Za-z0-9-]*#?> \Z")


#: Directories that tests have opened beside the server's; closed when the test is over.
OPENED: list[Directory] = []


def opened(path: Path) -> Directory:
    """The directory in a file, until the test is over."""
    OPENED.append(Directory(str(path)))
    return OPENED[-1]


class SmtpRecorder:
    """Stands for the SMTP side: keeps the generations it is given; refuses with ``refuse`` when that is set."""

    def __init__(self) -> None:
        self.generations: list[Generation] = []
        self.refuse = ""

    async def activate(self, generation: Generation) -> None:
        if self.refuse:
            raise ActivationError(self.refuse)
        self.generations.append(generation)


def braces_match(script: bytes) -> None:
    """A script check for tests that are about the dialogue and not about the script language."""
    for number, line in enumerate(script.split(b"\n"), 1):
        if line.strip() == b"wrong":
            raise ValueError(f"line {number}: wrong")


class Loop:
    """An event loop in a thread, for servers that the test talks to from outside."""

    def __init__(self) -> None:
        self._loop = eventloop.new()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: t.Coroutine[t.Any, t.Any, t.Any]) -> t.Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class RawClient:
    """Sends lines and gives back whole answers as bytes."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=20)
        self.greeting = self.read()

    def read(self) -> bytes:
        """Up to a prompt at the end, or to the end of the connection."""
        data = bytearray()
        while not _PROMPT.search(data[-200:]):
            more = self.socket.recv(1 << 16)
            if not more:
                break
            data += more
        return bytes(data)

    def read_line(self) -> bytes:
        """One line, for answers without a prompt."""
        data = b""
        while not data.endswith(b"\n"):
            more = self.socket.recv(1)
            assert more, data
            data += more
        return data

    def send(self, line: str | bytes) -> None:
        self.socket.sendall((line if isinstance(line, bytes) else line.encode()) + b"\r\n")

    def ask(self, line: str | bytes) -> str:
        self.send(line)
        return self.read().decode("utf-8", "surrogateescape")

    def ok(self, *lines: str) -> str:
        """All lines must be answered by +OK; returns the last answer."""
        answer = ""
        for line in lines:
            answer = self.ask(line)
            status = answer.rstrip().split("\r\n")[-2]
            assert status.startswith("+OK: "), (line, answer)
        return answer

    def refused(self, line: str) -> str:
        """The line must be answered by -ERR and nothing else; returns the reason."""
        lines = self.ask(line).split("\r\n")
        assert len(lines) == 2 and lines[0].startswith("-ERR: "), (line, lines)
        return lines[0].removeprefix("-ERR: ")

    def login(self, password: str = PASSWORD) -> RawClient:
        self.ask("USER admin")
        assert self.ask(password).endswith("<#> ")
        return self

    def upload(self, body: bytes, command: str = "UPDATE SmtpFilters") -> str:
        self.send(command)
        assert self.read_line().startswith(b"+OK: ")
        self.socket.sendall(body.replace(b"\n", b"\r\n") + b"\r\n.\r\n")
        return self.read().decode()

    def shown(self, command: str = "SHOW") -> dict[str, str]:
        pairs = [line.split(" = ", 1) for line in self.ok(command).split("\r\n") if " = " in line]
        return dict(pairs)

    def script(self) -> bytes:
        """The policy script, undone from the line protocol."""
        self.send("SHOW SmtpFilters")
        return self.read().rpartition(b"\r\n+OK: ")[0].replace(b"\r\n", b"\n")

    def at_end(self) -> bool:
        """Whether the server has closed the connection."""
        return self.socket.recv(1) == b""

    def close(self) -> None:
        self.socket.close()


class AdminHarness:
    """The admin side of a server, restartable on the same state directory."""

    def __init__(self, loop: Loop, state_dir: Path, limits: Limits | None, connections: ConnectionLimits) -> None:
        self._loop = loop
        self.state_dir = state_dir
        self.limits = limits
        self.connections = connections
        #: What the server's clock says about arrivals, in seconds.
        self.now = 1000.0
        self.smtp = SmtpRecorder()
        self.clients: list[RawClient] = []
        self.log_path = state_dir / "log"
        set_password(str(state_dir), PHC)

    def start(self) -> None:
        self._loop.run(self._start())

    async def _start(self) -> None:
        self._log = Log(str(self.log_path))
        self._directory = Directory(str(self.state_dir / "directory.sqlite3"))
        self.configuration = Configuration(str(self.state_dir), "mail.example.test", self.smtp.activate, braces_match)
        self.configuration.load()
        await self.configuration.start()
        self._access = AccessList(str(self.state_dir / aacl.FILE))
        self._authenticator = Authenticator(str(self.state_dir / PASSWORD_FILE), self._access)
        self._server = AdminServer(self._session, self._log, self.connections, lambda: self.now)
        bound = await self._server.start("127.0.0.1", 0)
        self.address = ("127.0.0.1", int(bound.rpartition(":")[2]))

    def _session(self, peer: str) -> AdminSession:
        queue = str(self.state_dir / "queue.sqlite3")
        return AdminSession(
            self.configuration, self._directory, self._access, self._authenticator.check, self._log, peer, queue,
            self.limits,
        )  # fmt: skip

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()
        self._loop.run(self._server.close())
        self._directory.close()
        self._authenticator.close()

    def restart(self) -> None:
        """A deliberate restart: nothing of the active configuration is kept but what was saved."""
        from postern.admin.configuration import forget_active

        self.stop()
        forget_active(str(self.state_dir))
        self.start()

    def crash(self) -> None:
        """The process is gone without having been asked to end."""
        self.stop()
        self.start()

    def client(self) -> RawClient:
        client = RawClient(self.address)
        self.clients.append(client)
        return client

    def log(self) -> list[dict[str, t.Any]]:
        return [json.loads(line) for line in io.StringIO(self.log_path.read_text())]
