# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server in a process of its own, to be killed at any moment: ``python queue_server.py FOLDER [accept|again]``.

Prints its port and its process id when it listens. Everything is in FOLDER, so that it can be started again there.
With ``accept`` it only takes mail and delivers none. With ``again`` each line on standard input starts a fresh one as a
child of this process, because loading the program takes longer than all else; "gone" is said when it has ended.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from postern.delivery.local import LocalDelivery
from postern.directory import Directory
from postern.log import Log
from postern.queue.store import Store
from postern.settings import Generation, ListenerSettings
from postern.smtp.listener import SmtpService


async def main(folder: Path, deliver: bool) -> None:
    """Serve until killed."""
    log = Log(str(folder / "log"))
    directory = Directory(str(folder / "directory.sqlite3"))
    if not directory.has_domain("example.test"):
        directory.create_domain("example.test", "postmaster-password")
    store = Store(folder / "queue.sqlite3")
    if deliver:
        LocalDelivery(store, folder / "domains", log).start()
    service = SmtpService(directory, store, log, "mx.example.test")
    limits = {"max_connections": 0, "max_interval_connections": 0}
    limits |= {"peer_max_connections": 0, "peer_max_interval_connections": 0}
    listener = ListenerSettings("127.0.0.1", 0, **limits)
    await service.activate(Generation(1, "mx.example.test", (listener,), b""))
    print(service.listening[0].rpartition(":")[2], os.getpid(), flush=True)
    await asyncio.Event().wait()


def again(folder: Path) -> None:
    """Start servers until standard input ends."""
    for _line in sys.stdin:
        child = os.fork()
        if not child:
            asyncio.run(main(folder, True))
        os.waitpid(child, 0)
        print("gone", flush=True)


if __name__ == "__main__":
    if sys.argv[2:] == ["again"]:
        again(Path(sys.argv[1]))
    else:
        asyncio.run(main(Path(sys.argv[1]), sys.argv[2:] != ["accept"]))
