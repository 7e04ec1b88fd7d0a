# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Line ends, ends of data, limits: what must not be taken, and what must be taken whole."""

from __future__ import annotations

import random
import socket

import pytest
from wire_peer import Peer, keywords
from wire_server import listener


@pytest.fixture
def peer(server):
    """A greeted connection."""
    with Peer("127.0.0.1", server.port("127.0.0.1")) as peer:
        peer.start()
        yield peer


def begin(peer: Peer, sender: str = "a@example.test", recipient: str = "u1@example.test") -> None:
    """Everything before the text."""
    peer.expect(f"MAIL FROM:<{sender}>", 250)
    peer.expect(f"RCPT TO:<{recipient}>", 250)
    peer.expect("DATA", 354)


def delivered(server, sender: str) -> bytes:
    """The content of the delivered message with this sender."""
    number = server.log.wait("smtp.message", sender=sender, result="accepted")["id"]
    server.log.wait("delivery.local", id=number)
    (path,) = [path for path in server.mailbox().iterdir() if number in path.name]
    return path.read_bytes()


# --- smuggling ------------------------------------------------------------------------------------

FALSE_ENDS = [
    b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\r\n.\r\r\n", b"\r\n\0.\r\n",
    b"\n", b"\r", b"\0",
]  # fmt: skip


@pytest.mark.parametrize("false_end", FALSE_ENDS, ids=repr)
def test_a_false_end_of_data(peer, server, false_end):
    accepted = peer_messages(server)
    begin(peer, "smuggler@example.test")
    peer.send(b"Subject: one\r\n\r\nfirst" + false_end)
    peer.send(b"MAIL FROM:<evil@example.test>\r\nRCPT TO:<u1@example.test>\r\nDATA\r\nSubject: two\r\n\r\nx\r\n.\r\n")
    assert peer.reply()[1].startswith("550 5.5.2 ")
    assert peer.is_closed()
    assert peer_messages(server) == accepted


def peer_messages(server) -> int:
    return sum(1 for record in server.log.records if record.get("result") == "accepted" and "id" in record)


@pytest.mark.parametrize("size", [900_000, 1_500_000])
def test_a_false_end_in_a_text_that_is_dropped_in_parts(peer, size):
    begin(peer)
    peer.send(b"x\r\n" * (size // 6) + b"\n.\r\n" + b"y\r\n" * (size // 6) + b".\r\n")
    assert peer.reply()[1].startswith("550 5.5.2 ")
    assert peer.is_closed()


def test_a_bare_line_feed_ends_no_command(peer):
    peer.send(b"NOOP\nNOOP\r\n")
    assert peer.reply()[1].startswith("500 5.5.2 ")
    assert peer.reply()[0] == 250


@pytest.mark.parametrize(
    "line", [b"NOOP \rNOOP\r\n", b"NOOP\r\r\n", b"NOOP \0\r\n", b"MAIL FROM:<a\0@example.test>\r\n"]
)
def test_odd_bytes_in_a_command(peer, line):
    peer.send(line)
    assert peer.reply()[1].startswith("500 5.5.2 ")
    peer.expect("NOOP", 250)


# --- the text -------------------------------------------------------------------------------------


def test_dots_and_bytes_arrive_as_they_were(peer, server):
    begin(peer, "dots@example.test")
    text = b"Subject: dots\r\n\r\n..\r\n...two\r\n.unstuffed\r\nend \xff\x80.\r\n..x\r\n"
    peer.send(text + b".\r\n")
    assert peer.reply()[0] == 250
    content = delivered(server, "dots@example.test")
    assert content.startswith(
        b"Return-Path: <dots@example.test>\nDelivered-To: u1@example.test\n"
        b"Received: from client.example.test ([127.0.0.1])\n"
    )
    assert content.endswith(b"\n\n.\n..two\nunstuffed\nend \xff\x80.\n.x\n")
    assert b"\r" not in content


def test_an_empty_text(peer, server):
    begin(peer, "empty@example.test")
    peer.expect(b".", 250)
    assert delivered(server, "empty@example.test").count(b"Received:") == 1


def test_a_session_in_pieces_of_one_octet(server):
    with Peer("127.0.0.1", server.port("127.0.0.1")) as peer:
        peer.reply()
        session = (
            b"EHLO slow\r\nMAIL FROM:<pieces@example.test>\r\nRCPT TO:<nobody@example.test>\r\n"
            b"RCPT TO:<u1@example.test>\r\nDATA\r\n"
        )
        for octet in session:
            peer.send(bytes([octet]))
        assert [peer.reply()[0] for _turn in range(5)] == [250, 250, 550, 250, 354]
        for octet in b"Subject: x\r\n\r\n..\r\n.\r\n":
            peer.send(bytes([octet]))
        assert peer.reply()[0] == 250
    assert delivered(server, "pieces@example.test").endswith(b"\n\n.\n")


def test_everything_in_one_segment(peer):
    peer.send(
        b"MAIL FROM:<a@example.test>\r\nRCPT TO:<u1@example.test>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n"
        b"MAIL FROM:<b@example.test>\r\nRCPT TO:<u1@example.test>\r\nRCPT TO:<u1@elsewhere.test>\r\n"
        b"DATA\r\n.\r\nQUIT\r\n"
    )
    assert [peer.reply()[0] for _turn in range(9)] == [250, 250, 354, 250, 250, 250, 550, 354, 250]
    assert peer.reply()[0] == 221
    assert peer.is_closed()


def test_pipelined_text_for_nobody(peer):
    peer.send(b"MAIL FROM:<a@example.test>\r\nRCPT TO:<x@elsewhere.test>\r\nDATA\r\n.\r\nNOOP\r\n")
    assert [peer.reply()[0] for _turn in range(5)] == [250, 550, 503, 503, 250]


# --- limits ---------------------------------------------------------------------------------------


def test_size_is_checked_before_and_while_the_text_comes(peer):
    assert keywords(peer.expect("EHLO x", 250))["SIZE"] == "1048576"
    assert peer.expect("MAIL FROM:<a@example.test> SIZE=1048577", 552).startswith("552 5.3.4 ")
    peer.expect("MAIL FROM:<a@example.test> SIZE=x", 501)
    peer.expect("MAIL FROM:<a@example.test> SIZE=1048576 BODY=8BITMIME", 250)
    peer.expect("RCPT TO:<u1@example.test>", 250)
    peer.expect("DATA", 354)
    peer.send(b"x" * 98 + b"\r\n")
    peer.send((b"x" * 998 + b"\r\n") * 1100 + b".\r\n")
    assert peer.reply()[1].startswith("552 5.3.4 ")
    # The session goes on, the transaction is over.
    peer.expect("RCPT TO:<u1@example.test>", 503)


def test_a_text_of_exactly_the_limit(peer):
    begin(peer)
    peer.send(b"a" * 1000 + b"\r\n")
    left = 1024 * 1024 - 1002
    peer.send(
        b"b" * 62 + b"\r\n" + (b"c" * 510 + b"\r\n") * ((left - 64) // 512) + b"d" * ((left - 64) % 512 - 2) + b"\r\n"
    )
    peer.send(b".\r\n")
    assert peer.reply()[0] == 250


def test_a_text_without_end(peer):
    begin(peer)
    peer.send((b"x" * 998 + b"\r\n") * 2200)
    assert peer.reply()[1].startswith("552 5.3.4 ")
    assert peer.is_closed()


def test_lines_that_are_too_long(peer):
    peer.send(b"NOOP " + b"x" * 2042 + b"\r\n")
    assert peer.reply()[1].startswith("500 5.5.2 ")
    peer.send(b"NOOP " + b"x" * 2041 + b"\r\n")
    assert peer.reply()[0] == 250
    peer.send(b"x" * 500_000 + b"\r\nNOOP\r\n")
    assert [peer.reply()[0] for _turn in range(2)] == [500, 250]


def test_a_long_line_in_the_text(peer):
    begin(peer)
    peer.send(b"x" * 65_536 + b"\r\n.\r\n")
    assert peer.reply()[0] == 250
    begin(peer)
    peer.send(b"x\r\n" + b"x" * 65_537 + b"\r\n.\r\n")
    assert peer.reply()[1].startswith("550 5.6.0 ")


def test_recipients_one_by_one(make_server):
    server = make_server()
    server.activate(
        listener(), script='event onEhlo { set (localDelivery, "all"); set (maxRcptCount, "120"); }', max_errors=0
    )
    with Peer("127.0.0.1", server.port()) as peer:
        peer.start()
        peer.expect("MAIL FROM:<a@example.test>", 250)
        names = ["u1", "u2", "postmaster"] + [f"x{n}" for n in range(3)]
        codes = [peer.say(f"RCPT TO:<{name}@example.test>")[0] for name in names]
        assert codes == [250, 250, 250, 550, 550, 550]
        # One mailbox in many spellings is one recipient, and does not fill the limit.
        peer.send(b"".join(b"RCPT TO:<U1@example.test>\r\n" for _n in range(200)))
        assert {peer.reply()[0] for _n in range(200)} == {250}


def test_the_recipient_limit(make_server):
    server = make_server()
    script = 'event onEhlo { set (remoteDelivery, "all"); set (maxRcptCount, "100"); }'
    server.activate(listener(), script=script)
    with Peer("127.0.0.1", server.port()) as peer:
        peer.start()
        peer.expect("MAIL FROM:<a@example.test>", 250)
        for number in range(100):
            peer.expect(f"RCPT TO:<x{number}@elsewhere.test>", 250)
        assert peer.expect("RCPT TO:<one-more@elsewhere.test>", 452).startswith("452 4.5.3 ")


def test_too_many_errors(peer, server):
    for _turn in range(20):
        peer.expect("NONSENSE", 500)
    peer.send(b"NONSENSE\r\nNOOP\r\n")
    assert [peer.reply()[0] for _turn in range(2)] == [500, 421]
    assert peer.is_closed()
    server.log.wait("smtp.session", reason="errors")


def test_a_browser_is_sent_away(server):
    with Peer("127.0.0.1", server.port("127.0.0.1")) as peer:
        peer.send(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@example.test>\r\n")
        assert [peer.reply()[0] for _turn in range(2)] == [220, 554]
        assert peer.is_closed()


def test_replies_after_the_client_stopped_sending(server):
    """A client that closes its half of the connection still gets what it is owed."""
    with Peer("127.0.0.1", server.port("127.0.0.1")) as peer:
        peer.send(
            b"EHLO x\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<u1@example.test>\r\nDATA\r\nx: y\r\n\r\nx\r\n.\r\n"
        )
        peer.socket.shutdown(socket.SHUT_WR)
        assert [peer.reply()[0] for _turn in range(6)] == [220, 250, 250, 250, 354, 250]
        assert peer.is_closed()


def test_a_client_that_does_not_read(server):
    """It is not read from either, memory stays flat, and others are served."""
    with Peer("127.0.0.1", server.port("127.0.0.1")) as deaf:
        deaf.start()
        deaf.socket.settimeout(1)
        sent = 0
        try:
            while sent < 200_000_000:
                deaf.send(b"HELP\r\n" * 10_000)
                sent += 60_000
        except TimeoutError:
            pass
        assert sent < 200_000_000
        with Peer("127.0.0.1", server.port("127.0.0.1")) as other:
            other.start()


def test_a_loop(peer):
    begin(peer)
    peer.send(b"Received: from x by y; now\r\n" * 100 + b"\r\nx\r\n.\r\n")
    assert peer.reply()[1].startswith("554 5.4.6 ")


@pytest.mark.parametrize("seed", range(3))
def test_random_cuts_change_nothing(server, seed):
    """The same octets in other segments get the same replies."""
    session = (
        b"EHLO cut\r\nNOOP\nRSET\r\nMAIL FROM:<cut@example.test>\r\nRCPT TO:<u1@example.test>\r\nDATA\r\n"
        b"Subject: x\r\n\r\n.\r\r\n..\r\n. \r\n\r\n.\r\nNOOP\r\n"
    )
    chance = random.Random(seed)
    with Peer("127.0.0.1", server.port("127.0.0.1")) as peer:
        peer.reply()
        position = 0
        while position < len(session):
            step = chance.randint(1, 9)
            try:
                peer.send(session[position : position + step])
            except (BrokenPipeError, ConnectionResetError):
                break
            position += step
        codes = []
        while code := peer.reply()[0]:
            codes.append(code)
    assert codes == [250, 500, 250, 250, 250, 354, 550]
