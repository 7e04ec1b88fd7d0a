# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ten minutes of mail of all kinds: does the bundled server keep what it does not need?

Mail comes over connections that begin and end. Some of it is delivered to a mailbox, some is relayed to ``smtp-sink``
in clear and to a server inside TLS, some goes to peers that refuse, that close in the middle and that are not there, so
that it waits, is tried again, is given up, and its sender is told. Each minute the resident memory, the open
descriptors, the threads and the length of the queue are printed. At the end, when all is settled, descriptors must be
as many as at the beginning, and memory must not have grown by more than a share of what it was after the first minute.

``./dev bench soak``, with ``--quick`` one minute, where only descriptors count: memory has not settled by then.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import smtplib
import subprocess
import sys
import tempfile
import threading
import time
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _lab import is_quick  # noqa: E402

from _receivers import DOMAIN, SENDER, USER, Lab, Own, free_port, real, resident, title  # noqa: E402
from ansible_collections.securemail.smtp.plugins.module_utils._probe.sink import Sink  # noqa: E402

MINUTES, QUICK_MINUTES = 10.0, 1.0
SENDERS, MESSAGES_EACH, PAUSE = 4, 10, 0.5
#: By how much memory may grow behind the first minute, and kilobytes that are nothing.
GROWTH, NOISE = 0.10, 2048.0
#: Seconds for everything to be sent, given up and closed at the end.
SETTLING = 90.0
#: Seconds that the server keeps a connection for the next message.
KEPT = 5.0
_TABLES = """
[relay]
retry = [2, 4, 8]
lifetime = 20
warn_after = 10
longest_wait = 4
command_timeout = 10
"""
_BODY = "From: %s\r\nSubject: soak\r\n\r\n" % SENDER + "x" * 70 + "\r\n"


def _route(domain: str, address: str, port: int, level: str = "may") -> str:
    return '[[route]]\ndomain = "%s"\nhost = "%s"\nport = %d\nlevel = "%s"\n' % (domain, address, port, level)


@contextlib.contextmanager
def peers(certificate: str) -> t.Iterator[str]:
    """The receiving servers; yields the tables of the bootstrap file that lead to them."""
    root, plain = real.unpacked(), free_port("127.0.0.2")
    process = subprocess.Popen(
        [str(root / "usr" / "sbin" / "smtp-sink"), "-u", "nobody", "127.0.0.2:%d" % plain, "1000"],
        env=real.program_environment(root), stdin=subprocess.DEVNULL,
    )
    many = {"address": "127.0.0.3", "max_sessions": 1_000_000}
    try:
        with (
            Sink(starttls=True, certificate=certificate, **many) as secure,
            Sink(starttls=False, replies={"RCPT": "550 5.1.1 nobody"}, **many) as refusing,
            Sink(starttls=False, closes="CONTENT", **many) as closing,
            Sink(starttls="broken", **many) as broken,
        ):
            yield _TABLES + "".join((
                _route("*", "127.0.0.2", plain),
                _route("secure.example", secure.address, secure.port, "encrypt"),
                _route("refuses.example", refusing.address, refusing.port),
                _route("closes.example", closing.address, closing.port),
                _route("broken.example", broken.address, broken.port, "encrypt"),
                _route("gone.example", "127.0.0.4", free_port("127.0.0.4")),
            ))  # fmt: skip
    finally:
        process.terminate()
        process.wait()


def send(server: Own, until: float, sent: list[int]) -> None:
    """Connections with some messages each, until that moment."""
    names = ("plain", "secure", "secure", "refuses", "closes", "broken", "gone")
    recipients = [f"{USER}@{DOMAIN}", *(f"x@{name}.example" for name in names)]
    while time.monotonic() < until:
        with smtplib.SMTP(server.address, server.port, timeout=60) as client:
            for number in range(MESSAGES_EACH):
                client.sendmail(SENDER, recipients[(sent[0] + number) % len(recipients)], _BODY)
                sent[0] += 1
        # A pace that the peers in Python can hold too: the server is what is looked at.
        time.sleep(PAUSE)


def look(server: Own) -> tuple[float, int, int]:
    """Kilobytes, descriptors and threads of the serving process."""
    place = Path("/proc/%d" % server.pid)
    return resident(server.pid), len(os.listdir(place / "fd")), len(os.listdir(place / "task"))


def _settle(server: Own, descriptors: int = 0) -> tuple[float, int, int]:
    """Wait until nothing is queued, and then until what was kept for the next message is closed."""
    ends = time.monotonic() + SETTLING
    while server.queued() and time.monotonic() < ends:
        time.sleep(0.5)
    ends = min(ends, time.monotonic() + 2 * KEPT)
    while look(server)[1] > descriptors and time.monotonic() < ends:
        time.sleep(0.5)
    return look(server)


def soak(server: Own, minutes: float) -> list[str]:
    """Run, and print what is seen; returns what grew."""
    row = "%8s %10s %12s %8s %10s %8s"
    print(row % ("minute", "memory kB", "descriptors", "threads", "messages", "queued"))
    # Nobody's first messages count: threads start, contexts are made.
    warm = [0]
    send(server, time.monotonic() + 5.0, warm)
    before = _settle(server)
    print(row % ("start", "%.0f" % before[0], *before[1:], warm[0], server.queued()))
    begun, counts = time.monotonic(), [[0] for _number in range(SENDERS)]
    workers = [threading.Thread(target=send, args=(server, begun + 60 * minutes, count)) for count in counts]
    for worker in workers:
        worker.start()
    step, seen = (10.0 if minutes < 2 else 60.0), []
    for number in range(1, int(60 * minutes / step) + 1):
        time.sleep(max(0.0, begun + number * step - time.monotonic()))
        seen.append(look(server))
        shown = ("%.2g" % (number * step / 60), "%.0f" % seen[-1][0], *seen[-1][1:], sum(count[0] for count in counts))
        print(row % (*shown, server.queued()), flush=True)
    for worker in workers:
        worker.join()
    after = _settle(server, before[1])
    print(row % ("end", "%.0f" % after[0], *after[1:], sum(count[0] for count in counts), server.queued()))
    grown = []
    if after[1] > before[1]:
        grown.append("descriptors: %d, and %d at the start" % (after[1], before[1]))
    if server.queued():
        grown.append("queue: %d messages are still there" % server.queued())
    first, last = seen[0][0], seen[-1][0]
    if minutes >= 2 and last > first * (1 + GROWTH) + NOISE:
        grown.append("memory: %.0f kB, and %.0f kB after the first minute" % (last, first))
    return grown


def main() -> int:
    """Measure and print the table; 1 when something grew."""
    minutes = QUICK_MINUTES if is_quick() else MINUTES
    folder = Path(tempfile.mkdtemp(prefix="securemail-soak-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        certificate = Lab(folder).ecdsa
        (folder / "server").mkdir()
        with peers(certificate) as tables:
            server = Own(folder / "server", certificate, hold=False, tables=tables)
            try:
                print("%s; %g minutes" % (title(), minutes))
                grown = soak(server, minutes)
            finally:
                server.close()
    finally:
        shutil.rmtree(folder)
    for line in grown:
        print("GROWN  " + line)
    print("nothing has grown" if not grown else "see above")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
