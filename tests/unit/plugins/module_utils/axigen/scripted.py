# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server that plays one scripted session over a real socket, faults included.

It exists for what a sound server never does: answers in pieces, stalls, broken shapes. What it expects
and does not get is raised in the test when the ``with`` block ends.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.cli import AdminSession

LOGIN = b"<login> "
BANNER = b"Welcome\r\n<login> "
ROOT = b"<#> "
SERVER = b"<server#> "
PASSWORD = "s3cret"

#: What happens when the sending of a step is over: wait for the client to close, close, reset the
#: connection, or stop reading until the test is over.
STALL, CLOSE, RESET, DEAF = "stall", "close", "reset", "deaf"


class Gap:
    """A pause between two segments, in which the client must not send anything."""

    def __init__(self, seconds):
        self.seconds = seconds


class Until:
    """Wait until the test has called :meth:`set`: the client has an answer and does nothing."""

    def __init__(self):
        self._event = threading.Event()
        self.set = self._event.set
        self.wait = self._event.wait


class Step:
    """Wait for one line from the client (None: do not wait), then send the pieces, then perhaps ``then``."""

    def __init__(self, line, *pieces, then=None):
        self.line = line
        self.pieces = pieces
        self.then = then


class Body(Step):
    """Wait for all lines of an upload up to the dot; they are appended to ``ScriptedServer.bodies``."""

    def __init__(self, *pieces, then=None):
        super().__init__(None, *pieces, then=then)


def ok(prompt, text=b"done", payload=b""):
    """A good answer in one piece."""
    return payload + b"+OK: " + text + b"\r\n" + prompt


def err(prompt, text=b"no"):
    """A refusal in one piece."""
    return b"-ERR: " + text + b"\r\n" + prompt


#: The step into the server context.
ENTER = Step(b"CONFIG SERVER", ok(SERVER))


def logged_in(*steps, password=b"s3cret"):
    """A whole session: the login, and then these steps."""
    return [
        Step(None, BANNER),
        Step(b"USER admin", b"<password> "),
        Step(password, ok(ROOT)),
        *steps,
    ]


def open_session(server, timeout=5.0, login=True):
    session = AdminSession("127.0.0.1", server.port, timeout=timeout)
    server.sessions.append(session)
    if login:
        session.login("admin", PASSWORD)
    return session


def wait_for_bytes(session):
    """Block until something can be read, or the end was seen, without reading it."""
    connection = session._wire._socket
    if connection is None:
        return b""
    connection.settimeout(5)
    return connection.recv(1, socket.MSG_PEEK)


class ScriptedServer:
    """Plays one session on a port of its own; ``received`` holds the client's lines as they came."""

    def __init__(self, steps, tls=None):
        self.received = []
        self.bodies = []
        self.sessions = []
        self._steps = steps
        self._tls = tls
        self._problem = None
        self._pending = b""
        self._connection = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, error, trace):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes a server that nobody has connected to
        self._listener.close()
        self._over.set()
        for session in self.sessions:
            # Left to the garbage collector it would be another test's leak.
            session._wire.close()
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        if self._problem is not None and kind is None:
            raise self._problem

    def wait(self):
        """Until the server has closed the connection, at the end of its steps."""
        self._thread.join(10)

    def _run(self):
        try:
            self._connection = self._listener.accept()[0]
            if self._tls is not None:
                self._connection = self._tls.wrap_socket(self._connection, server_side=True)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for step in self._steps:
                self._play(step)
            self._read_rest()
        except OSError:
            pass
        except AssertionError as error:
            self._problem = error
        finally:
            if self._connection is not None:
                self._connection.close()

    def _play(self, step):
        if isinstance(step, Body):
            self._read_body()
        elif step.line is not None:
            line = self._read_line()
            self.received.append(line)
            assert line == step.line, "expected %r, the client sent %r" % (step.line, line)
        for piece in step.pieces:
            if isinstance(piece, Gap):
                self._pause(piece.seconds)
            elif isinstance(piece, Until):
                piece.wait(10)
            else:
                self._connection.sendall(piece)
        if step.then == STALL:
            self._read_rest()
        elif step.then == DEAF:
            self._over.wait(60)
        elif step.then == RESET:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if step.then in (CLOSE, RESET):
            self._connection.close()
            raise OSError("closed on purpose")

    def _read_line(self):
        while b"\n" not in self._pending:
            self._receive()
        line, self._pending = self._pending.split(b"\n", 1)
        return line[:-1] if line.endswith(b"\r") else line

    def _read_body(self):
        while not (self._pending == b".\r\n" or self._pending.endswith(b"\r\n.\r\n")):
            self._receive()
        self.bodies.append(self._pending)
        self._pending = b""

    def _receive(self):
        chunk = self._connection.recv(1 << 20)
        if not chunk:
            raise OSError("the client has closed")
        self._pending += chunk

    def _pause(self, seconds):
        readable = select.select([self._connection], [], [], seconds)[0]
        if readable and not self._connection.recv(1, socket.MSG_PEEK):
            raise OSError("the client has closed")
        assert not readable, "the client went on before the answer had come to its end"

    def _read_rest(self):
        """Note whatever else the client sends, until it closes."""
        while True:
            line = self._read_line()
            self.received.append(line)
            if line == b"QUIT":
                self._connection.sendall(b"+OK: have a nice day\r\n")
                return
