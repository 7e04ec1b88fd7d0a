# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many recipients the bundled MTA takes in a second, with no forced-TLS domain and with ten thousand.

The server runs in a process of its own; several connections in another one send whole transactions up to RCPT, to
domains that no rule is about: what is refused costs less or more, whoever refuses it. Both policies take turns in one
run and on the same connections, since a machine is never as quiet twice. What is compared is the work that a second of
the server's processor does: on a quiet machine that is the rate, and beside other work it is what a policy costs.
``./dev bench accept`` and ``./dev bench domains`` print it with their other figures.

Seen in November 2026 on two cores with Python 3.13, beside other work that kept the load at 8: 3451 and 3432
transactions of three recipients a processor second, 1651 and 1639 a second, ratio 1.01.
"""

from __future__ import annotations

import multiprocessing
import selectors
import socket
import statistics
import sys
import tempfile
import time
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "roles" / "mta" / "files"), str(ROOT / "tests" / "mta" / "smtp")]

DOMAINS = 10_000
CONNECTIONS = 8
#: Turns of each policy, and transactions of one turn on each connection.
TURNS, TRANSACTIONS = 20, 60
TARGET = 0.95


def script(domains: int) -> str:
    """A policy with a rule for each domain, one method each as the modules write them."""
    names = ["allow_only_tls_for_d%d_example_com" % number for number in range(domains)]
    calls = "".join("\tcall (%s);\n" % name for name in names)
    methods = "".join(
        '\nmethod %s {\n\tif (\n\t\tallOf (\n\t\t\tisCase (isSSLConnection, "no"),\n\t\t\tisCase (rcptDomain, '
        '"d%d.example.com")\n\t\t)\n\t) {\n\t\tset (smtpAction, "reject");\n\t\tset (smtpExplanation, "Accepting only '
        'secure delivery (STARTTLS) for d%d.example.com");\n\t}\n}\n' % (name, number, number)
        for number, name in enumerate(names)
    )
    basic = 'method Basic {\n\tset (remoteDelivery, "all");\n}\n'
    return "event onEhlo {\n\tcall (Basic);\n}\n\nevent onRcptTo {\n%s}\n\n%s%s" % (calls, basic, methods)


def _serve(pipe, folder: str) -> None:
    """A receiving server in a process of its own; what comes through ``pipe`` is its next policy."""
    from wire_server import Server, listener, make_directory

    class Quiet:
        def event(self, *_arguments, **_fields) -> None:
            """The log is the same with every policy."""

    directory = make_directory(Path(folder) / "directory.sqlite3")
    server = Server(Path(folder), directory)
    server.service._log = Quiet()
    # Always the same port: 0 would be another one with each generation.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    while True:
        text = pipe.recv()
        if text is None:
            break
        if text == "":
            pipe.send(time.process_time())
            continue
        server.activate(listener(port=port), script=text, max_errors=0)
        pipe.send(port)
    server.close()
    directory.close()


class _Client:
    """One connection that sends a transaction at a time, as a group of commands (RFC 2920)."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._said = self.socket.makefile("rb")
        self._said.readline()
        self.say("EHLO client.example.test")

    def say(self, *commands: str) -> list[bytes]:
        """Commands in one group, and the last line of each reply."""
        self.socket.sendall("".join(command + "\r\n" for command in commands).encode())
        return [self._last_line() for _command in commands]

    def _last_line(self) -> bytes:
        while True:
            line = self._said.readline()
            if line[3:4] != b"-":
                return line

    def close(self) -> None:
        self._said.close()
        self.socket.close()


#: One transaction, and how many replies it brings.
_GROUP = (
    b"MAIL FROM:<a@example.test>\r\nRCPT TO:<u1@example.test>\r\nRCPT TO:<x@elsewhere.test>\r\n"
    b"RCPT TO:<x@d.example.com>\r\nRSET\r\n"
)
_REPLIES = _GROUP.count(b"\r\n")


def _turn(clients: list[_Client]) -> float:
    """Transactions per second: all connections send at once, each its next one when the last is answered."""
    with selectors.DefaultSelector() as waiting:
        left = {client.socket.fileno(): TRANSACTIONS for client in clients}
        lines = dict.fromkeys(left, 0)
        begun = time.perf_counter()
        for client in clients:
            waiting.register(client.socket, selectors.EVENT_READ)
            client.socket.sendall(_GROUP)
        while left:
            for key, _events in waiting.select():
                lines[key.fd] += key.fileobj.recv(65536).count(b"\r\n")
                if lines[key.fd] < _REPLIES:
                    continue
                lines[key.fd] = 0
                left[key.fd] -= 1
                if left[key.fd]:
                    key.fileobj.sendall(_GROUP)
                else:
                    waiting.unregister(key.fileobj)
                    del left[key.fd]
        return len(clients) * TRANSACTIONS / (time.perf_counter() - begun)


class _Rates(t.NamedTuple):
    """Transactions of one turn by the second, and by the second of the server's processor."""

    seen: float
    possible: float


def _measured() -> dict[int, list[_Rates]]:
    """All turns, by the number of domains."""
    ours, theirs = multiprocessing.Pipe()

    def asked(text: str) -> t.Any:
        ours.send(text)
        return ours.recv()

    rates: dict[int, list[_Rates]] = {0: [], DOMAINS: []}
    texts = {count: script(count) for count in rates}
    with tempfile.TemporaryDirectory() as folder:
        server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, folder), daemon=True)
        server.start()
        # Ours alone: then its end is the end of a server that broke off, and nobody waits for ever.
        theirs.close()
        try:
            port = asked(texts[0])
            clients = [_Client(port) for _number in range(CONNECTIONS)]
            _turn(clients)  # Nobody's first turn counts.
            for turn in range(2 * TURNS):
                # 0 1 1 0 0 1 1 0: what grows or shrinks during the run is shared by both.
                count = (0, DOMAINS, DOMAINS, 0)[turn % 4]
                asked(texts[count])
                said = clients[0].say("MAIL FROM:<a@example.test>", "RCPT TO:<x@d77.example.com>", "RSET")[1]
                assert said.startswith(b"550" if count else b"250"), (count, said)
                before = asked("")
                seen = _turn(clients)
                rates[count].append(_Rates(seen, len(clients) * TRANSACTIONS / (asked("") - before)))
            for client in clients:
                client.close()
            ours.send(None)
            server.join(60)
        finally:
            if server.is_alive():
                server.kill()
    return rates


def rates() -> tuple[float, float]:
    """Transactions by the second of the server's processor, with no domain and with all of them: medians."""
    measured = _measured()
    none, many = (statistics.median(turn.possible for turn in measured[count]) for count in (0, DOMAINS))
    return none, many


def rows() -> list[tuple[str, str, str, str]]:
    """Measure; what was done, the figures, their ratio, and the target."""
    rates = _measured()
    none, many = (
        _Rates(*(statistics.median(values) for values in zip(*rates[count]))) for count in (0, DOMAINS)
    )
    ratio = many.possible / none.possible
    figures = "%.0f and %.0f transactions of 3 recipients a processor second (%.0f and %.0f a second)"
    return [
        (
            "accept rate with %d forced domains, over none" % DOMAINS,
            figures % (many.possible, none.possible, many.seen, none.seen),
            "%.2f" % ratio,
            "at least %.2f%s" % (TARGET, "" if ratio >= TARGET else "  MISSED"),
        )
    ]
