# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a STARTTLS handshake costs the server's processor, beside Postfix.

A client connects, says EHLO and STARTTLS, makes a full handshake (TLS 1.3, X25519, an ECDSA certificate, no session is
resumed) and says QUIT inside. The processor time of the server's own processes is counted, not the client's. The same
without STARTTLS is done too, so that what a connection costs and what its handshake costs stand beside each other.

``./dev bench tls``, with ``--quick`` fewer connections, with ``--picture`` for the documentation.
"""

from __future__ import annotations

import socket
import ssl
import sys
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _lab import is_quick  # noqa: E402

from _figures import Figure, compared, show  # noqa: E402
from _receivers import Pair, Server, processor_seconds, title  # noqa: E402

#: Connections of one run, and runs of each kind.
CONNECTIONS, ROUNDS = 600, 5
TARGET = 0.7


class Client:
    """One connection after the other to one server; each is a conversation of its own."""

    def __init__(self, server: Server) -> None:
        self._place = (server.address, server.port)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3

    def visit(self, secure: bool) -> None:
        """A connection from the greeting to QUIT."""
        with socket.create_connection(self._place, timeout=60) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _read(plain)
            _say(plain, b"EHLO client.example")
            if not secure:
                _say(plain, b"QUIT")
                return
            _say(plain, b"STARTTLS")
            with self._context.wrap_socket(plain) as inside:
                _say(inside, b"QUIT")


def _say(connection: socket.socket, command: bytes) -> bytes:
    connection.sendall(command + b"\r\n")
    return _read(connection)


def _read(connection: socket.socket) -> bytes:
    """A whole reply; raises SystemExit for a refusal."""
    said = b""
    while not said.endswith(b"\r\n") or said.rsplit(b"\r\n", 2)[-2][3:4] == b"-":
        more = connection.recv(65536)
        if not more:
            raise SystemExit("the server closed the connection: %r" % said)
        said += more
    if said[:1] not in b"23":
        raise SystemExit("the server refused: %r" % said)
    return said


def cost(server: Server, connections: int, secure: bool) -> float:
    """Microseconds of the server's processor for each connection."""
    client = Client(server)
    before = processor_seconds(server.pid)
    for _number in range(connections):
        client.visit(secure)
    return (processor_seconds(server.pid) - before) / connections * 1e6


def figures(rounds: int, connections: int) -> list[Figure]:
    """All rows."""
    costs: dict[str, list[dict[str, float]]] = {"TLS": [], "clear": []}
    with Pair() as pair:
        for server in pair.servers:
            cost(server, 20, True)
        for turn in range(rounds):
            order = pair.servers if turn % 2 == 0 else pair.servers[::-1]
            for kind, found in costs.items():
                found.append({server.name: cost(server, connections, kind == "TLS") for server in order})
    beyond = [{name: both[name] - clear[name] for name in both} for both, clear in zip(costs["TLS"], costs["clear"])]
    rows: list[tuple[str, t.Any, dict[str, float]]] = [
        ("STARTTLS: a connection with its handshake", costs["TLS"], {"": TARGET}),
        ("STARTTLS: what the handshake adds to a connection", beyond, {"": TARGET}),
        ("a connection without TLS", costs["clear"], {}),
    ]
    return [
        compared(label, "µs of processor", [(run["postern"], {k: v for k, v in [("", run.get("Postfix"))] if v}) for run in runs],
                 wanted, more=False)
        for label, runs, wanted in rows
    ]


def main() -> int:
    """Measure and print the table; 1 when a target is missed."""
    rounds, connections = (2, 150) if is_quick() else (ROUNDS, CONNECTIONS)
    return show(title(), figures(rounds, connections))


if __name__ == "__main__":
    sys.exit(main())
