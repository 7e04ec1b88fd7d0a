# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client of few lines that sends exactly what it is told."""

from __future__ import annotations

import base64
import socket
import ssl

TIMEOUT = 10.0


def client_context(ca_file: str | None = None, **limits) -> ssl.SSLContext:
    """A client's TLS context; without a CA file nothing is verified."""
    context = ssl.create_default_context(cafile=ca_file)
    if ca_file is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for name, value in limits.items():
        setattr(context, name, value)
    return context


class Peer:
    """One connection, from the address ``source`` if it is given. ``reply`` returns (code, whole text with CR LF)."""

    def __init__(self, host: str, port: int, source: str = "") -> None:
        own = (source, 0) if source else None
        self.socket: socket.socket = socket.create_connection((host, port), timeout=TIMEOUT, source_address=own)
        self._buffer = b""

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_exc) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def line(self) -> bytes:
        """One line with its end; empty when the server closed."""
        while b"\r\n" not in self._buffer:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                rest, self._buffer = self._buffer, b""
                return rest
            self._buffer += data
        line, _end, self._buffer = self._buffer.partition(b"\r\n")
        return line + b"\r\n"

    def reply(self) -> tuple[int, str]:
        """One whole reply; (0, "") when the server closed."""
        lines = []
        while True:
            line = self.line()
            if not line:
                return 0, ""
            lines.append(line.decode("ascii"))
            if line[3:4] != b"-":
                return int(line[:3]), "".join(lines)

    def say(self, command: str | bytes) -> tuple[int, str]:
        """Send a command and return its reply."""
        self.send((command.encode() if isinstance(command, str) else command) + b"\r\n")
        return self.reply()

    def expect(self, command: str | bytes, code: int) -> str:
        """Send a command whose reply must have this code; returns its text."""
        found, text = self.say(command)
        assert found == code, f"{command!r}: {text!r}"
        return text

    def start(self, name: str = "client.example.test") -> str:
        """Read the banner and say EHLO; returns the answer to it."""
        code, text = self.reply()
        assert code == 220, text
        return self.expect(f"EHLO {name}", 250)

    def secure(self, context: ssl.SSLContext | None = None, name: str = "mx.example.test") -> None:
        """Do a TLS handshake on this socket."""
        assert not self._buffer, f"bytes before the handshake: {self._buffer!r}"
        self.socket = (context or client_context()).wrap_socket(self.socket, server_hostname=name)

    def starttls(self, context: ssl.SSLContext | None = None) -> None:
        """STARTTLS and the handshake."""
        self.expect("STARTTLS", 220)
        self.secure(context)

    def is_closed(self) -> bool:
        """Whether the server closes the connection without another byte."""
        return self.line() == b""


def plain(user: str, password: str) -> str:
    """The initial response of AUTH PLAIN."""
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def b64(text: str) -> str:
    """Base64 of a text."""
    return base64.b64encode(text.encode()).decode()


def keywords(ehlo: str) -> dict[str, str]:
    """Keywords of an EHLO answer with their parameters."""
    pairs = (line[4:].strip().partition(" ") for line in ehlo.splitlines()[1:])
    return {keyword: parameters for keyword, _blank, parameters in pairs}
