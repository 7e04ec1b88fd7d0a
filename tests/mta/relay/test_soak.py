# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail for peers of all kinds for a while: what it took comes back. ``./dev bench soak`` is the long form."""

from __future__ import annotations

import asyncio
import os
import threading
import time

from postern.delivery.destination import Bounds
from postern.delivery.schedule import Schedule
from remote_harness import Relaying

#: Seconds for which mail is put into the queue.
SPAN = 8.0


def settled(relaying) -> tuple[int, int]:
    """Descriptors of the process and tasks of the loop, once the peers have nothing open."""

    async def tasks() -> int:
        return len(asyncio.all_tasks())

    end = time.monotonic() + 20
    while relaying.delivery._courier._pool.open or relaying.delivery._attempts:
        assert time.monotonic() < end, "connections that nobody closes"
        time.sleep(0.02)
    while sum(thread.name == "sink session" for thread in threading.enumerate()):
        assert time.monotonic() < end, "peers that still serve"
        time.sleep(0.02)
    return len(os.listdir("/proc/self/fd")), relaying.run(tasks())


def test_descriptors_and_tasks_come_back(tmp_path, authority):
    bounds = Bounds(kept=0.2, messages=7, longest_wait=1)
    schedule = Schedule(retry=(0.3,), lifetime=2, warn_after=0)
    with Relaying(tmp_path, bounds=bounds, schedule=schedule, clock=time.time) as relaying:
        relaying.now = time.time()
        relaying.script('set (allowStartTLS, "yes");')
        relaying.peer("plain.test")
        relaying.peer("tls.test", starttls=True, certificate=authority.issue("soak.pem"))
        relaying.peer("broken.test", starttls="broken")
        relaying.peer("refuses.test", replies={"RCPT": "550 5.1.1 nobody"})
        relaying.peer("closes.test", closes=".")
        relaying.zone.put("gone.test", {"A": ["127.78.255.1"]})
        domains = [f"{name}.test" for name in ("plain", "tls", "broken", "refuses", "closes", "gone", "no-such")]
        for domain in domains:
            relaying.put(f"first@{domain}")
        relaying.attempt("tls.test", result="sent")
        before = settled(relaying)
        end, count = time.monotonic() + SPAN, 0
        while time.monotonic() < end:
            relaying.now = time.time()
            for domain in domains:
                relaying.put(f"x@{domain}", sender="")
            count += 1
            time.sleep(0.01)
        relaying.attempt("plain.test", count, result="sent")
        relaying.attempt("gone.test", count, result="failed")
        relaying.attempt("closes.test", count, result="failed")
        after = settled(relaying)
    assert after == before
