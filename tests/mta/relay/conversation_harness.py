# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Conversations with real peers: the collection's sink, or a peer that follows a script to the byte."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import socket
import ssl
import threading
from collections.abc import Callable

from postern import eventloop
from postern.delivery.conversation import Limits, Result, Trust, converse
from postern.delivery.route import Hop
from postern.rules.relay import Relay

HOST = "mx.example.test"
DOMAIN = "example.test"
BODY = b"Subject: hello\r\n\r\nHello\r\n"

#: Long enough for a busy machine; a test about a limit makes that one short.
LIMITS = dataclasses.replace(Limits.all(30.0), quit=1.0)


def talk(peer, level: str = "may", **choices) -> Result:
    """One conversation with ``peer`` (anything with ``address`` and ``port``) in an event loop of its own.

    ``choices``: arguments of ``converse`` or fields of the Hop and the Relay. Whatever comes of it, no task, no
    socket and no complaint of the loop may be left.
    """

    async def alone() -> Result:
        complaints: list[dict] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
        try:
            return await conversation(peer, level, **choices)
        finally:
            left = asyncio.all_tasks() - {asyncio.current_task()}
            gc.collect(1)
            await asyncio.sleep(0)
            assert not left and not complaints, (left, complaints)

    # The server's loop; the tests of whole deliveries run on Python's own.
    return eventloop.run(alone())


def conversation(peer, level: str = "may", **choices):
    """The coroutine of :func:`talk` alone."""
    names = {each.name for each in dataclasses.fields(Relay)}
    relay = Relay(level, **{name: choices.pop(name) for name in names & set(choices) - {"host"}})
    relay = dataclasses.replace(relay, host=choices.pop("relay_host", ""))
    literal = choices.pop("literal", False)
    arguments = {
        "hop": Hop(peer.address if literal else choices.pop("host", HOST), peer.address, peer.port, literal),
        "relay": relay,
        "domain": DOMAIN,
        "sender": "sender@client.test",
        "recipients": ("b@example.test",),
        "text": [choices.pop("body", BODY)],
        "eight_bit": False,
        "smtputf8": False,
        "helo": "client.test",
        "trust": Trust(choices.pop("ca_file", "")),
        "limits": LIMITS,
    }
    assert not set(choices) - set(arguments), choices
    return converse(**arguments | choices)


class Line:
    """The peer's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.sock.sendall(data)

    def read(self) -> bytes:
        """What comes next; raises EOFError at the end."""
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        return data

    def line(self) -> bytes:
        """One line, without its CR LF."""
        return self.until(b"\r\n")

    def until(self, end: bytes) -> bytes:
        """Everything before ``end``."""
        while end not in self._buffer:
            self._buffer += self.read()
        found, _end, self._buffer = self._buffer.partition(end)
        return found

    def answer(self, *replies: bytes) -> list[bytes]:
        """Read a line for each reply; returns the lines."""
        lines = []
        for reply in replies:
            lines.append(self.line())
            self.send(reply + b"\r\n")
        return lines

    def hello(self, *keywords: bytes) -> None:
        """Greeting and EHLO."""
        self.send(b"220 scripted ESMTP\r\n")
        self.answer(b"\r\n".join([b"250-scripted", *(b"250-" + each for each in keywords), b"250 HELP"]))

    def hang(self) -> None:
        """Say nothing until the client has gone."""
        try:
            while True:
                self.read()
        except (EOFError, OSError):
            return

    def tls(self, context: ssl.SSLContext) -> None:
        """The server's side of a handshake."""
        self.sock = context.wrap_socket(self.sock, server_side=True)


class Scripted:
    """A peer whose connections are served by functions, one after the other, the last one for all further ones.

    A connection closes when its function returns. A context manager; leaving it raises what went wrong in a function.
    It listens on ``address`` and ``port`` (0: one that the kernel gives).
    """

    def __init__(self, *acts: Callable[[Line], object], address: str = "127.0.0.1", port: int = 0) -> None:
        self._acts = acts
        self._listener = socket.create_server((address, port))
        self.address, self.port = self._listener.getsockname()
        self.connections = 0
        self._wrong: list[Exception] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Scripted":
        return self

    def __exit__(self, *_exc) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        if self._wrong:
            raise self._wrong[0]

    def _serve(self) -> None:
        while True:
            try:
                sock, _peer = self._listener.accept()
            except OSError:
                return
            act = self._acts[min(self.connections, len(self._acts) - 1)]
            self.connections += 1
            sock.settimeout(30.0)
            line = Line(sock)
            try:
                act(line)
            except (EOFError, ConnectionError, ssl.SSLError):
                pass  # the client has gone, which is what many tests are about
            except Exception as error:
                self._wrong.append(error)
            finally:
                line.sock.close()


def server_context(certificate: str, **settings) -> ssl.SSLContext:
    """A server's TLS context with a certificate; ``settings`` are its attributes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    for name, value in settings.items():
        setattr(context, name, value)
    return context
