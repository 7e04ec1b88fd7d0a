# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers on real sockets for the probe: the twins of the unit tests, TLS made by hand, and scripted misbehaviour.

Each is a context manager with ``port``, ``address`` and ``connections``. What waits in a script waits on an event that
the end of the test sets, so that no server outlives it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe import twin

from handmade import Tls


class Caller:
    """One connection as a script sees it: ``number`` counts from 1, ``over`` is set when the server is to end."""

    def __init__(self, sock: socket.socket, number: int, over: threading.Event) -> None:
        self.sock, self.number, self.over = sock, number, over
        self._buffer = b""

    def say(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.sock.sendall(data)

    def line(self) -> bytes:
        """One line of the client, without its end. Raises EOFError when it goes."""
        while b"\n" not in self._buffer:
            data = self.sock.recv(4096)
            if not data:
                raise EOFError
            self._buffer += data
        line, unused, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def drip(self, data: bytes, seconds: float) -> None:
        """Send one byte after the other with a pause of ``seconds`` behind each."""
        for at in range(len(data)):
            self.say(data[at : at + 1])
            if self.over.wait(seconds):
                raise EOFError

    def flood(self, data: bytes, limit: int) -> None:
        """Send the same bytes again and again, up to ``limit`` bytes in all."""
        for unused in range(limit // len(data)):
            if self.over.is_set():
                raise EOFError
            self.say(data)

    def hold(self) -> None:
        """Keep the connection open without a word until the client goes."""
        while self.sock.recv(65536):
            pass


Script = t.Callable[[Caller], None]


class Place(twin.Server):
    """A twin server that ends its connections itself. ``limit``: so many are accepted, then it listens no more."""

    def __init__(self, script: Script, limit: int | None = None, host: str = "127.0.0.1") -> None:
        self._script, self._limit, self._host = script, limit, host
        self._lock = threading.Lock()
        self.over = threading.Event()
        #: What the scripts noted, in the order of its coming; a script may append to it.
        self.seen: list[t.Any] = []
        super().__init__(self._meet, host)

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{self._host}:{self.port}"

    def _meet(self, sock: socket.socket) -> None:
        with self._lock:
            number = len(self.seen) + 1
            self.seen.append(time.monotonic())
            self._open.add(sock)
        if number == self._limit:
            self._stop_listening()
        sock.settimeout(20)
        try:
            if not self.over.is_set():
                self._script(Caller(sock, number, self.over))
        except (ValueError, IndexError):
            # Nonsense of the client is no concern of a server here.
            pass
        finally:
            with self._lock:
                self._open.discard(sock)

    def _stop_listening(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __exit__(self, *unused: t.Any) -> None:
        self.over.set()
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        super().__exit__(*unused)


@dataclass
class Behaviour(twin.Behaviour):
    """What a twin does, and more. ``by_hand`` replaces the handshake. ``keywords``: further lines of the EHLO reply.

    ``before`` is called with each connection before the greeting and may take it over by raising EOFError.
    ``tls_greeting`` is the first reply inside TLS of an implicit listener, default the greeting.
    """

    by_hand: t.Callable[[socket.socket], None] | None = None
    keywords: tuple[str, ...] = ()
    before: Script | None = None


class Session(twin.Session):
    """A twin's session with the further behaviours."""

    behaviour: Behaviour

    def handshake(self) -> None:
        if self.behaviour.by_hand is not None:
            self.behaviour.by_hand(self.sock)
            raise EOFError
        super().handshake()

    def do_ehlo(self, line: str) -> None:
        b = self.behaviour
        self.greeted, self.sender = True, None
        keywords = ["PIPELINING", "8BITMIME", *b.keywords]
        if (b.context or b.by_hand) and b.offers_starttls and (not self.inside_tls or b.starttls_inside_tls):
            keywords.append("STARTTLS")
        if self.mechanisms():
            keywords.append("AUTH " + " ".join(self.mechanisms()))
        lines = ["twin.example.test", *keywords]
        self.say(*["250-" + text for text in lines[:-1]], "250 " + lines[-1])

    def do_starttls(self, line: str) -> None:
        if self.behaviour.by_hand is None:
            return super().do_starttls(line)
        self.say("220 2.0.0 Ready")
        return self.handshake()

    def do_rset(self, line: str) -> None:
        self.sender = None
        self.say("250 2.0.0 OK")


def smtp(limit: int | None = None, host: str = "127.0.0.1", **different: t.Any) -> Place:
    """An SMTP server: hardened but for what is named (fields of :class:`Behaviour`)."""
    behaviour = Behaviour(**different)

    def script(caller: Caller) -> None:
        if behaviour.before is not None:
            behaviour.before(caller)
        session = Session(caller.sock, behaviour)
        try:
            session.serve()
        finally:
            session.sock.close()

    return Place(script, limit, host)


def by_hand(implicit: bool = False, **different: t.Any) -> Place:
    """A server whose TLS is made by hand (fields of :class:`~handmade.Tls`), behind STARTTLS or from the first byte."""
    return smtp(by_hand=Tls(**different).serve, implicit=implicit)


def behind_starttls(answer: bytes | Script | None) -> Place:
    """A server that offers STARTTLS, reads the ClientHello and gives ``answer`` in place of a handshake."""
    return smtp(by_hand=lambda sock: _instead(sock, answer))


def from_the_first_byte(answer: bytes | Script | None) -> Place:
    """The same for implicit TLS: the client's first bytes are read, then comes ``answer``; None closes."""
    return Place(lambda caller: _instead(caller.sock, answer, caller))


def _instead(sock: socket.socket, answer: bytes | Script | None, caller: Caller | None = None) -> None:
    if not sock.recv(4096) or answer is None:
        return
    caller = caller or Caller(sock, 0, threading.Event())
    if callable(answer):
        answer(caller)
        return
    caller.say(answer)
    # Not to close before the client has read: wait until it goes.
    caller.hold()


def says(banner: bytes) -> Place:
    """A server that says one thing and then listens for ever."""

    def script(caller: Caller) -> None:
        caller.say(banner)
        caller.hold()

    return Place(script)


@contextlib.contextmanager
def closed_port() -> t.Iterator[int]:
    """A port that refuses: somebody has it, bound and not listening, so that nobody else gets it meanwhile."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@contextlib.contextmanager
def filtered_port() -> t.Iterator[int]:
    """A port that does not answer at all: the queue of its listener is full, the kernel drops each further SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for unused in range(3):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                caller.connect(listener.getsockname())
        yield listener.getsockname()[1]
