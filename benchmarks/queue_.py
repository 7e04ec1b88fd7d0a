# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a server with 100,000 messages in its queue takes to start, and how much memory it then has.

Half of them are for mailboxes of this server, half for other hosts, from a thousand domains; all of them are put there by
the server's own code. Nothing leaves the queue, so that what is measured is what the queue itself costs.

``./dev bench queue``, with ``--quick`` 10,000 messages, with ``--picture`` for the documentation. (The file's name has an
underscore, since Python has a ``queue`` of its own.)
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _lab import is_quick  # noqa: E402

from _figures import Figure, show  # noqa: E402
from _receivers import DOMAIN, USER, Own, Pair, resident, title  # noqa: E402
from postern.queue.store import Envelope, Recipient, Store  # noqa: E402

MESSAGES, QUICK = 100_000, 10_000
ROUNDS = 3
#: Seconds until it answers; megabytes of resident memory.
START, MEMORY = 3.0, 200.0
_BODY = b"Subject: queued\r\n\r\n" + (b"x" * 76 + b"\r\n") * 25
_AT_ONCE = 1000


async def _fill(path: Path, count: int) -> None:
    store = Store(path)
    for start in range(0, count, _AT_ONCE):
        await asyncio.gather(*(store.add(_envelope(store.new_id(), start + number), _BODY) for number in range(_AT_ONCE)))
    await asyncio.to_thread(store.close)


def _envelope(message: int, number: int) -> Envelope:
    local = number % 2 == 0
    recipient = Recipient(USER, DOMAIN, True) if local else Recipient("x", "d%d.example" % (number % 1000), False)
    return Envelope(message, "a@client.example", (recipient,), peer="127.0.0.1", received=time.time())


def starts(own: Own, rounds: int) -> tuple[float, float]:
    """Seconds until it answers, and megabytes that it has afterwards: medians."""
    seconds, megabytes = [], []
    for _round in range(rounds):
        own.close()
        seconds.append(own.start())
        megabytes.append(resident(own.pid) * 1024 / 1e6)
    return statistics.median(seconds), statistics.median(megabytes)


def main() -> int:
    """Measure and print the table; 1 when a target is missed."""
    count = QUICK if is_quick() else MESSAGES
    with Pair(own_only=True) as pair:
        own = pair.servers[0]
        none = starts(own, ROUNDS)
        own.close()
        asyncio.run(_fill(own.queue, count))
        many = starts(own, ROUNDS)
        kept = own.queued()
    if kept != count:
        raise SystemExit("%d messages are in the queue, not %d" % (kept, count))
    return show(title(), [
        Figure("start with an empty queue", "s", none[0], more=False),
        Figure("start with %d messages" % count, "s", many[0], limit=START, more=False),
        Figure("memory with an empty queue", "MB", none[1], more=False),
        Figure("memory with %d messages" % count, "MB", many[1], limit=MEMORY, more=False),
    ])


if __name__ == "__main__":
    sys.exit(main())
