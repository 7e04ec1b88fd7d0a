# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much memory an idle connection holds, in clear text and inside TLS, and how much one large message takes.

Connections are made up to EHLO (inside TLS after STARTTLS) and then left alone. What counts is the proportional set size
of the server's processes, less what it was before, by connection. Postfix has a process for each, so fewer of them are
measured there. The large message is one of 100 MB; the resident memory is looked at all the time while it comes in, and
the growth is counted from what it was after a small one.

``./dev bench memory``, with ``--quick`` fewer connections, with ``--picture`` for the documentation.
"""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _lab import is_quick  # noqa: E402

from _figures import Figure, show  # noqa: E402
from _receivers import DOMAIN, USER, Own, Pair, Server, proportional, resident, title  # noqa: E402
from tls import _read, _say  # noqa: E402

CONNECTIONS, THEIR_CONNECTIONS = 1000, 100
#: Kilobytes that a connection may hold.
CLEAR, SECURE = 4.0, 50.0
#: Octets of the large message, and megabytes by which the server may grow meanwhile.
LARGE, GROWTH = 100_000_000, 20.0
_PIECE = (b"x" * 76 + b"\r\n") * 840


def idle(server: Server, count: int, secure: bool) -> float:
    """Kilobytes of each of so many idle connections."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    before = proportional(server.pid)
    held: list[socket.socket] = []
    try:
        for _number in range(count):
            one = socket.create_connection((server.address, server.port), timeout=60)
            held.append(one)
            _read(one)
            _say(one, b"EHLO client.example")
            if secure:
                _say(one, b"STARTTLS")
                held[-1] = context.wrap_socket(one)
                _say(held[-1], b"EHLO client.example")
        return (proportional(server.pid) - before) / count
    finally:
        for one in held:
            one.close()


def send(server: Server, size: int) -> None:
    """One message of this size. Raises ``SystemExit`` when it is refused."""
    with socket.create_connection((server.address, server.port), timeout=120) as one:
        _read(one)
        _say(one, b"EHLO client.example")
        _say(one, b"MAIL FROM:<a@client.example> SIZE=%d" % size)
        _say(one, b"RCPT TO:<%s@%s>" % (USER.encode(), DOMAIN.encode()))
        one.sendall(b"DATA\r\n")
        if not one.recv(4096).startswith(b"354"):
            raise SystemExit("DATA was refused")
        one.sendall(b"Subject: large\r\n\r\n")
        left = size
        while left > 0:
            one.sendall(_PIECE[: max(78, left - left % 78)] if left < len(_PIECE) else _PIECE)
            left -= len(_PIECE)
        _say(one, b".")


def growth(server: Own, size: int) -> float:
    """Megabytes by which the server grows at most while such a message comes in."""
    send(server, 1000)
    before = most = resident(server.pid)
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.01):
            most = max(most, resident(server.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        send(server, size)
    finally:
        done.set()
        watcher.join()
    return (most - before) * 1024 / 1e6


def main() -> int:
    """Measure and print the table; 1 when a target is missed."""
    share = 0.2 if is_quick() else 1.0
    found = []
    for label, secure, limit in (("clear", False, CLEAR), ("TLS", True, SECURE)):
        # Servers of their own: what is left of the connections before would hide what these take.
        with Pair() as pair:
            counts = {"postern": CONNECTIONS, "Postfix": THEIR_CONNECTIONS}
            held = {server.name: idle(server, int(counts[server.name] * share), secure) for server in pair.servers}
        theirs = {"": held["Postfix"]} if "Postfix" in held else {}
        ratios = {"": held["postern"] / held["Postfix"]} if theirs else {}
        found.append(Figure("idle connection, %s" % label, "KB", held["postern"], theirs, ratios, limit=limit, more=False))
    with Pair(own_only=True, max_data_kb=200_000) as pair:
        grown = growth(pair.servers[0], LARGE)
    found.append(Figure("growth while one message of 100 MB comes in", "MB", grown, limit=GROWTH, more=False))
    return show(title(), found)


if __name__ == "__main__":
    sys.exit(main())
