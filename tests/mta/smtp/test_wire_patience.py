# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clients that are silent, slow or do nothing, on sockets and with small limits."""

from __future__ import annotations

import os
import select
import socket
import time
from contextlib import ExitStack

import pytest
from postern.settings import TlsSettings
from wire_peer import Peer, plain
from wire_server import PASSWORD, USER, listener

#: Seconds after which a server that does nothing has failed.
FOREVER = 20.0
ENVELOPE = b"MAIL FROM:<a@example.test>\r\nRCPT TO:<u1@example.test>\r\n"


def drip(peer: Peer, octets: bytes = b"x", pause: float = 0.1) -> str:
    """Send these again and again until there is a reply."""
    end = time.monotonic() + FOREVER
    while time.monotonic() < end:
        ready, _write, _error = select.select([peer.socket], [], [], pause)
        if ready:
            return peer.reply()[1]
        try:
            peer.send(octets)
        except ConnectionError:
            pass  # The reply can still be read.
    raise AssertionError("the server waits for ever")


def text(peer: Peer) -> None:
    """A client that may send its text now."""
    peer.start()
    peer.send(ENVELOPE + b"DATA\r\n")
    assert [peer.reply()[0] for _turn in range(3)] == [250, 250, 354]


def test_an_idle_client(make_server):
    server = make_server()
    server.activate(listener(idle_timeout=1))
    with Peer("127.0.0.1", server.port()) as peer:
        peer.start()
        begun = time.monotonic()
        assert peer.reply()[1].startswith("421 4.4.2 ")
        assert 0.5 < time.monotonic() - begun < FOREVER
        assert peer.is_closed()
    server.log.wait("smtp.session", reason="timeout")


def test_a_client_that_never_greets(make_server):
    server = make_server()
    server.activate(listener(idle_timeout=1))
    with Peer("127.0.0.1", server.port()) as peer:
        assert [peer.reply()[0] for _turn in range(2)] == [220, 421]
        assert peer.is_closed()


def test_a_command_line_that_drips(make_server):
    server = make_server()
    server.activate(listener(idle_timeout=1))
    with Peer("127.0.0.1", server.port()) as peer:
        peer.start()
        assert drip(peer).startswith("421 4.4.2 ")


def test_a_command_line_that_drips_where_silence_has_no_limit(make_server):
    server = make_server(floor_span=1.0)
    server.activate(listener(idle_timeout=0))
    with Peer("127.0.0.1", server.port()) as peer:
        peer.start()
        assert drip(peer).startswith("421 4.4.2 ")
    server.log.wait("smtp.session", reason="slow feeding")


def test_a_login_that_drips(make_server):
    server = make_server(floor_span=1.0)
    server.activate(listener(idle_timeout=0))
    with Peer("127.0.0.1", server.port()) as peer:
        peer.start()
        peer.expect("AUTH PLAIN", 334)
        assert drip(peer).startswith("421 4.4.2 ")
    server.log.wait("smtp.session", reason="slow feeding")


def test_tls_records_that_drip(make_server, ec_file):
    """Octets of a record that is never whole are nothing that a client got done."""
    server = make_server()
    server.activate(listener(idle_timeout=1, tls=TlsSettings(cert_file=ec_file), ssl_enable=True))
    with Peer("127.0.0.1", server.port()) as peer:
        peer.secure()
        peer.start()
        with socket.socket(fileno=os.dup(peer.socket.fileno())) as bare:
            # The head of a record of 16 KiB.
            bare.sendall(b"\x17\x03\x03\x40\x00")
            end = time.monotonic() + FOREVER
            while not select.select([bare], [], [], 0.1)[0]:
                assert time.monotonic() < end
                bare.sendall(b"x")
    server.log.wait("smtp.session", reason="timeout")


def test_a_text_that_stops(make_server):
    server = make_server()
    server.activate(listener(idle_timeout=1))
    with Peer("127.0.0.1", server.port()) as peer:
        text(peer)
        peer.send(b"Subject: x\r\n")
        assert peer.reply()[1].startswith("421 4.4.2 ")
        assert peer.is_closed()
    server.log.wait("smtp.session", reason="timeout", messages=0)


@pytest.mark.parametrize("first", [b"x\r\n", b"x" * 900 + b"\r\n" * 1000], ids=["slow", "fast, then slow"])
def test_a_text_that_drips(make_server, first):
    server = make_server(floor_speed=1000, floor_span=1.0)
    server.activate(listener())
    with Peer("127.0.0.1", server.port()) as peer:
        text(peer)
        peer.send(first)
        assert drip(peer).startswith("421 4.4.2 ")
        assert peer.is_closed()
    server.log.wait("smtp.session", reason="slow feeding", messages=0)


def test_a_text_that_is_slow_enough(make_server):
    """Three times the span, above the floor."""
    server = make_server(floor_speed=1000, floor_span=1.0)
    server.activate(listener())
    with Peer("127.0.0.1", server.port()) as peer:
        text(peer)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert not select.select([peer.socket], [], [], 0.05)[0]
            peer.send(b"x" * 998 + b"\r\n")
        peer.expect(b".", 250)


def test_a_client_that_only_says_noop(make_server):
    server = make_server(transaction_time=2)
    server.activate(listener(idle_timeout=1))
    with Peer("127.0.0.1", server.port()) as peer:
        peer.start()
        end = time.monotonic() + FOREVER
        while (found := peer.say("NOOP"))[0] == 250:
            assert time.monotonic() < end
            assert not select.select([peer.socket], [], [], 0.1)[0] or peer.reply()[0] == 421
        server.log.wait("smtp.session", reason="no message for too long")
        assert found[0] in (421, 0)


def test_who_logged_in_may_say_noop_for_longer(make_server):
    server = make_server(transaction_time=1)
    server.activate(listener(idle_timeout=1))
    with Peer("127.0.0.1", server.port()) as peer, Peer("127.0.0.1", server.port()) as other:
        for one in (peer, other):
            one.start()
        peer.expect(f"AUTH PLAIN {plain(USER, PASSWORD)}", 235)
        # The other one's time is up before that of this one would be.
        while other.say("NOOP")[0] == 250:
            peer.expect("NOOP", 250)
        peer.expect("NOOP", 250)


def test_a_client_that_stops_sending_and_never_reads(make_server):
    """Replies that nobody takes do not keep the connection, nor its place."""
    server = make_server()
    server.activate(listener(idle_timeout=0))
    with socket.create_connection(("127.0.0.1", server.port()), timeout=FOREVER) as client:
        server.log.wait("smtp.generation")
        # Until the kernel takes no more of the replies. What is left is too little for the server to stop reading.
        sent = left = 0
        while not left:
            client.sendall(b"NOOP\r\n" * 300)
            sent += 300
            while (found := answered(server))[0] < sent:
                time.sleep(0.001)
            left = found[1]
        client.shutdown(socket.SHUT_WR)
        server.log.wait("smtp.session", timeout=FOREVER)


def test_a_client_with_thousands_of_commands_lets_others_in_between(make_server):
    """All of them are answered, also behind the end of what it sends, and no more at a time than it reads."""
    server = make_server()
    server.activate(listener())
    with socket.create_connection(("127.0.0.1", server.port()), timeout=FOREVER) as client:
        client.sendall(b"EHLO x\r\n" * 30_000 + b"RSET\r\n" * 3)
        client.shutdown(socket.SHUT_WR)
        with Peer("127.0.0.1", server.port()) as other:
            other.start()
            other.expect("NOOP", 250)
        # The client has read nothing: what waits for it is bounded.
        assert answered(server)[1] < 200_000
        replies = b"".join(iter(lambda: client.recv(1 << 20), b""))
    assert replies.count(b" greets x\r\n") == 30_000 and replies.endswith(b"250 2.0.0 OK\r\n" * 3)


def answered(server) -> tuple[int, int]:
    """Commands that a server with one connection has answered, and octets of the replies that it has still to send."""

    async def count():
        one = max(server.service._connections, key=lambda one: one._session.tally.commands)
        return one._session.tally.commands, one._transport.get_write_buffer_size() if one._transport else 0

    return server.run(count())


def test_a_crowded_listener_is_rid_of_silent_clients(make_server):
    server = make_server(crowded_idle=1)
    server.activate(listener(max_connections=5))
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer("127.0.0.1", server.port())) for _number in range(4)]
        for peer in peers:
            peer.start()
        # As soon as one has gone the listener is crowded no more.
        server.log.wait("smtp.session", timeout=FOREVER, reason="timeout on a crowded listener")
        with Peer("127.0.0.1", server.port()) as peer:
            peer.start()


def test_two_hundred_that_drip(make_server):
    """All of them are closed, and somebody else's mail is taken meanwhile."""
    server = make_server(floor_span=2.0)
    server.activate(listener(idle_timeout=0))
    with ExitStack() as stack:
        drips = [stack.enter_context(Peer("127.0.0.1", server.port())) for _number in range(200)]
        for peer in drips:
            peer.start()
        for peer in drips:
            peer.send(b"N")
        with Peer("127.0.0.1", server.port()) as other:
            text(other)
            other.expect(b"Subject: x\r\n\r\nx\r\n.", 250)
        left, end = set(drips), time.monotonic() + FOREVER
        while left:
            assert time.monotonic() < end
            ready = select.select([peer.socket for peer in left], [], [], 0.2)[0]
            for peer in [peer for peer in left if peer.socket in ready]:
                assert peer.reply()[1].startswith("421 4.4.2 ")
                left.discard(peer)
            for peer in left:
                try:
                    peer.send(b"x")
                except ConnectionError:
                    pass  # Its reply is there by now.
