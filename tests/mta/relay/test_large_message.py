# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A message of a hundred megabytes, out to a peer and into a mailbox: the server's memory does not see it."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import subprocess
import sys
import threading

import pytest
from postern.queue.store import Envelope, Recipient, Store

SIZE, LINE = 100 * 1024 * 1024, b".0123456789 " + b"x" * 900 + b"\r\n"
MOST = 20 * 1024 * 1024
#: Delivers one long message of the queue in FOLDER, to a mailbox and to PORT; prints by how much its memory grew.
PROGRAM = """
import asyncio, sys
from pathlib import Path
from postern.delivery.conversation import Limits, Trust, converse
from postern.delivery.local import LocalDelivery
from postern.delivery.route import Hop
from postern.log import Log
from postern.queue.store import Store
from postern.rules.relay import Relay

def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024

async def main(folder, port, number):
    store = Store(folder / "queue.sqlite3")
    before = peak()
    text = store.text(number)
    result = await converse(Hop("mx.test", "127.0.0.1", port, True), Relay("none"), "a.test", "a@b.test", ["x@a.test"],
                            text, False, False, "client.test", Trust(""), Limits())
    assert result.outcomes["x@a.test"].kind == "sent", result
    delivery = LocalDelivery(store, folder / "domains", Log(str(folder / "log")))
    delivery.start()
    while store.open_local():
        await asyncio.sleep(0.05)
    delivery.close()
    store.close()
    print(peak() - before)

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
"""


class Counter:
    """A peer that takes one message and keeps nothing of it but its digest, as it is without the doubled dots."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        with self._listener, self._listener.accept()[0] as sock, sock.makefile("rb") as lines:
            sock.sendall(b"220 here\r\n")
            for reply in (b"250-me\r\n250 SIZE\r\n", b"250 OK\r\n", b"250 OK\r\n", b"354 go\r\n"):
                lines.readline()
                sock.sendall(reply)
            while (line := lines.readline()) != b".\r\n":
                assert line.endswith(b"\r\n")
                self.digest.update(line[1:] if line.startswith(b".") else line)
            sock.sendall(b"250 OK\r\n")
            lines.readline()
            sock.sendall(b"221 bye\r\n")


@pytest.fixture
def queued(tmp_path):
    """A queue with a message of 100 MB; its id and digest."""
    async def fill() -> tuple[int, str]:
        number, digest = store.new_id(), hashlib.sha256()
        spool = store.spool(number)
        head = b"Subject: large\r\n\r\n"
        piece = LINE * (256 * 1024 // len(LINE))
        digest.update(head)
        await spool.write(head)
        for _turn in range(SIZE // len(piece)):
            digest.update(piece)
            await spool.write(piece)
        await spool.finish(Envelope(number, "a@b.test", (Recipient("u1", "example.test", True),), received=1.0), b"")
        return number, digest.hexdigest()

    store = Store(tmp_path / "queue.sqlite3")
    try:
        return asyncio.run(fill())
    finally:
        store.close()


def test_a_large_message_takes_no_memory(tmp_path, queued):
    number, digest = queued
    peer = Counter()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(peer.port), str(number)]
    grown = int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=300).stdout)
    peer.thread.join(10)
    assert peer.digest.hexdigest() == digest
    (file,) = (tmp_path / "domains" / "example.test" / "u1" / "Maildir" / "new").iterdir()
    found = hashlib.sha256()
    with open(file, "rb") as stream:
        assert stream.readline() == b"Return-Path: <a@b.test>\n"
        assert stream.readline() == b"Delivered-To: u1@example.test\n"
        for line in stream:
            found.update(line.replace(b"\n", b"\r\n"))
    assert found.hexdigest() == digest
    print(f"grown by {grown} octets")
    assert grown < MOST
