# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Long texts go to the queue while they come: what arrives was sent, and a text that ends badly leaves nothing."""

from __future__ import annotations

import sqlite3
import time
import tracemalloc

import pytest
from postern.queue.spool import Spool
from postern.settings import TlsSettings
from wire_peer import Peer
from wire_server import listener

POLICY = 'event onEhlo { set (localDelivery, "all"); set (maxDataSize, "204800"); }'
LINE = b"x" * 998 + b"\r\n"


@pytest.fixture
def long_server(make_server, ec_file):
    """A server that takes texts of 200 MB."""
    server = make_server()
    server.activate(listener("127.0.0.1", tls=TlsSettings(cert_file=ec_file)), script=POLICY)
    return server


def begin(peer: Peer, sender: str = "long@example.test") -> None:
    """Everything before the text."""
    peer.expect(f"MAIL FROM:<{sender}>", 250)
    peer.expect("RCPT TO:<u1@example.test>", 250)
    peer.expect("DATA", 354)


def pieces(server) -> int:
    """How many pieces the queue file holds."""
    connection = sqlite3.connect(server.folder / "queue.sqlite3")
    try:
        return connection.execute("SELECT count(*) FROM piece").fetchone()[0]
    finally:
        connection.close()


def wait_for(what, seconds: float = 20) -> None:
    """What the queue's own thread does has no event that a test could wait for."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "tls"])
def test_what_was_sent_arrives(long_server, encrypted):
    lines = [b"." * (number % 5) + b"%d" % number + b"y" * (number * 7919 % 900) for number in range(9_000)]
    text = b"Subject: long\r\n\r\n" + b"\r\n".join(lines) + b"\r\n"
    with Peer("127.0.0.1", long_server.port()) as peer:
        peer.start()
        if encrypted:
            peer.starttls()
            peer.expect("EHLO x", 250)
        begin(peer)
        peer.send(text.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        assert peer.reply()[0] == 250
    number = long_server.log.wait("smtp.message", result="accepted")["id"]
    long_server.log.wait("delivery.local", id=number)
    (path,) = long_server.mailbox().iterdir()
    assert path.read_bytes().endswith(b"\n" + text.replace(b"\r\n", b"\n"))
    wait_for(lambda: pieces(long_server) == 0)


@pytest.mark.parametrize("end", [b"a\nb\r\n.\r\n", b""], ids=["a bare line feed", "a lost connection"])
def test_a_text_that_ends_badly_leaves_nothing(long_server, end):
    with Peer("127.0.0.1", long_server.port()) as peer:
        peer.start()
        begin(peer)
        peer.send(b"\r\n" + LINE * 2000)
        wait_for(lambda: pieces(long_server) > 3)
        if end:
            peer.send(end)
            assert peer.reply()[1].startswith("550 5.5.2 ")
    long_server.log.wait("smtp.session")
    wait_for(lambda: pieces(long_server) == 0)
    assert long_server.store.count() == 0


def test_a_defect_within_a_text_leaves_nothing(long_server, monkeypatch):
    write = Spool.write

    async def breaks(spool, data):
        if spool.size > 1_000_000:
            raise ZeroDivisionError
        await write(spool, data)

    monkeypatch.setattr(Spool, "write", breaks)
    with Peer("127.0.0.1", long_server.port()) as peer:
        peer.start()
        begin(peer)
        peer.send(b"\r\n" + LINE * 1500)
        long_server.log.wait("smtp.defect")
    long_server.log.wait("smtp.session")
    wait_for(lambda: pieces(long_server) == 0)


def test_a_text_that_is_too_big_leaves_nothing_and_the_session_goes_on(make_server):
    server = make_server()
    server.activate(listener(), script='event onEhlo { set (localDelivery, "all"); set (maxDataSize, "1024"); }')
    with Peer("127.0.0.1", server.port()) as peer:
        peer.start()
        begin(peer)
        peer.send(b"\r\n" + LINE * 1500 + b".\r\n")
        assert peer.reply()[1].startswith("552 5.3.4 ")
        wait_for(lambda: pieces(server) == 0)
        begin(peer)
        peer.expect(b"\r\nx\r\n.", 250)


def test_memory_does_not_grow_with_the_text(long_server):
    with Peer("127.0.0.1", long_server.port()) as peer:
        peer.start()
        begin(peer)
        block = LINE * 500
        tracemalloc.start()
        try:
            peer.send(b"Subject: x\r\n\r\n")
            for _turn in range(120):
                peer.send(block)
            peer.send(b".\r\n")
            assert peer.reply()[0] == 250
            _now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # 60 MB came; the queue's file is on disk, a few pieces are under way.
    assert peak < 8_000_000
