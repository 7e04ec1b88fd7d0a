# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many messages a second the bundled server and a Postfix beside it take, and keep.

A message is taken when it was answered by 250, which both do when it is on the disk. One of 10 KB is sent after the
other on connections that are kept, at one, ten and fifty sessions. Both hold what they have taken: in the state *best*
the queue only grows; in the state *steady* all of it is taken off several times a second, as it is where mail is
delivered. Both servers take turns, and a ratio is one of two runs that stand beside each other.

Two more rows go the whole way: taken and delivered into a Maildir, taken and relayed to ``smtp-sink``; a message counts
when it is there. The last row is that of the forced domains (see ``_forced.py``).

``./dev bench accept``, with ``--quick`` fewer messages, with ``--picture`` for the documentation.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _lab import is_quick  # noqa: E402

import _forced  # noqa: E402
from _figures import Figure, compared, show  # noqa: E402
from _receivers import Pair, Server, free_port, real, title  # noqa: E402

#: Sessions -> messages of a run, and what the ratio must be in each state.
RUNS = {1: 600, 10: 2500, 50: 2500}
TARGETS = {1: {"best": 1.5}, 10: {"best": 2.5, "steady": 5.0}, 50: {"best": 2.5, "steady": 5.0}}
ROUNDS = 5
#: Seconds between two looks at the queue in the steady state.
_TAKEN_OFF = 0.2
#: Messages that go all the way, at how many sessions; seconds for the last one to arrive.
WHOLE_WAY, WHOLE_WAY_SESSIONS, WHOLE_WAY_LIMIT = 1500, 10, 120.0
#: What the ratio must be for these.
WHOLE_WAY_TARGET = 1.5


@contextlib.contextmanager
def taken_off(server: Server) -> t.Iterator[None]:
    """Meanwhile all that is in the queue is taken off it again and again."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(_TAKEN_OFF):
            server.empty()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        done.set()
        worker.join()


def _rate(pair: Pair, server: Server, state: str, sessions: int, messages: int) -> float:
    if state == "best":
        return pair.send(server, sessions, messages)
    server.empty()
    with taken_off(server):
        return pair.send(server, sessions, messages)


def taken(rounds: int, share: float) -> list[Figure]:
    """The rows with targets. ``share``: of the messages."""
    found = []
    with Pair() as pair:
        if pair.missing:
            raise SystemExit("there is no Postfix to stand beside, and no smtp-source: %s" % pair.missing)
        for server in pair.servers:
            pair.send(server, 50, 200)  # Nobody's first messages count: processes start.
        for sessions, count in RUNS.items():
            messages = int(count * share)
            runs: dict[str, list[tuple[float, dict[str, float]]]] = {"best": [], "steady": []}
            for turn in range(rounds):
                for state in runs:
                    order = pair.servers if turn % 2 == 0 else pair.servers[::-1]
                    rates = {server.name: _rate(pair, server, state, sessions, messages) for server in order}
                    runs[state].append((rates["postern"], {"": rates["Postfix"]}))
            for state, measured in runs.items():
                wanted = TARGETS[sessions].get(state)
                label = "accepted at %d session%s, %s" % (sessions, "" if sessions == 1 else "s", state)
                found.append(compared(label, "messages/s", measured, {"": wanted} if wanted else None))
    return found


def delivered(rounds: int, messages: int) -> Figure:
    """Taken and delivered into a Maildir."""
    runs = []
    with Pair(hold=False) as pair:
        for _turn in range(rounds):
            rates = {}
            for server in pair.servers:
                before = len(list(server.mailbox().iterdir())) if server.mailbox().is_dir() else 0
                begun = time.perf_counter()
                pair.send(server, WHOLE_WAY_SESSIONS, messages)
                _wait(lambda: server.mailbox().is_dir() and len(list(server.mailbox().iterdir())) - before >= messages)
                rates[server.name] = messages / (time.perf_counter() - begun)
            runs.append((rates["postern"], {"": rates["Postfix"]}))
    return compared("accepted and delivered to a Maildir, 10 sessions", "messages/s", runs, {"": WHOLE_WAY_TARGET})


def relayed(rounds: int, messages: int) -> Figure:
    """Taken and relayed to a server that takes everything and keeps nothing."""
    runs = []
    root = real.unpacked()
    sink = ("127.0.0.2", free_port("127.0.0.2"))
    process = subprocess.Popen(
        [str(root / "usr" / "sbin" / "smtp-sink"), "-u", "nobody", "%s:%d" % sink, "1000"],
        env=real.program_environment(root), stdin=subprocess.DEVNULL,
    )
    try:
        with Pair(hold=False, relay=sink) as pair:
            for _turn in range(rounds):
                rates = {}
                for server in pair.servers:
                    begun = time.perf_counter()
                    pair.send(server, WHOLE_WAY_SESSIONS, messages, "x@elsewhere.example")
                    _wait(lambda: server.queued() == 0)
                    rates[server.name] = messages / (time.perf_counter() - begun)
                runs.append((rates["postern"], {"": rates["Postfix"]}))
    finally:
        process.terminate()
        process.wait()
    return compared("accepted and relayed to a sink, 10 sessions", "messages/s", runs, {"": WHOLE_WAY_TARGET})


def _wait(done: t.Callable[[], bool]) -> None:
    ends = time.monotonic() + WHOLE_WAY_LIMIT
    while not done():
        if time.monotonic() > ends:
            raise SystemExit("not all messages arrived within %.0f s" % WHOLE_WAY_LIMIT)
        # A folder of mail tells nobody that something came.
        time.sleep(0.02)


def forced() -> Figure:
    """The row of the forced domains: our own two rates, by the second of the server's processor."""
    none, many = _forced.rates()
    return Figure(
        "3 recipients, %d forced domains over none" % _forced.DOMAINS, "transactions a processor second", many,
        {"no domains": none}, {"no domains": many / none}, {"no domains": _forced.TARGET},
    )


def main() -> int:
    """Measure and print the table; 1 when a target is missed."""
    rounds, share = (2, 0.25) if is_quick() else (ROUNDS, 1.0)
    found = taken(rounds, share)
    found.append(delivered(rounds, int(WHOLE_WAY * share)))
    found.append(relayed(rounds, int(WHOLE_WAY * share)))
    found.append(forced())
    return show(title(), found)


if __name__ == "__main__":
    sys.exit(main())
