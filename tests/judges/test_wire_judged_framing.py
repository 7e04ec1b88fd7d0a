# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where commands and messages end: what smugglers try, reads that are cut anywhere, groups of commands."""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path

import pytest
from ansible_collections.securemail.smtp.tests.mta.smtp.wire_peer import Peer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import programs
from grid import HOST
from judged_server import DOMAIN, JudgedServer, Place
from sloppy import sloppy

ANNA, BEN, CAROL = (f"{user}@{DOMAIN}" for user in ("anna", "ben", "carol"))
#: What is no end of a message (RFC 5321 section 2.3.8 and 4.1.1.4), but was one for some server.
FALSE_ENDS = (
    b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\r\n.\r\r\n", b"\r\n\0.\r\n",
)
_SMUGGLED = b"MAIL FROM:<smuggled@client.test>\r\nRCPT TO:<%s>\r\nDATA\r\nSubject: smuggled\r\n\r\nX\r\n.\r\n" % BEN.encode()


# --- smuggling -------------------------------------------------------------------------------------


def smuggle(place: Place, false_end: bytes) -> list[str]:
    """All replies to a message with a false end in it and another message behind that; what is right is one of 5xx."""
    with place.connect() as peer:
        peer.start()
        peer.expect("MAIL FROM:<a@client.test>", 250)
        peer.expect(f"RCPT TO:<{ANNA}>", 250)
        peer.expect("DATA", 354)
        peer.send(b"Subject: outer\r\n\r\ntext" + false_end + _SMUGGLED)
        found = []
        while True:
            code, text = peer.reply()
            if not code:
                return found
            found.append(text)
            if len(found) > 9:
                return found


def kept(server: JudgedServer) -> int:
    """Messages that the server has taken for these two, delivered or not."""
    return len(server.queued()) + len(server.mailbox("anna")) + len(server.mailbox("ben"))


@pytest.mark.parametrize("false_end", FALSE_ENDS)
def test_w17_nothing_is_smuggled(hardened, false_end):
    before = kept(hardened)
    replies = smuggle(hardened.relay, false_end)
    assert len(replies) == 1 and re.match(r"5\d\d 5\.", replies[0]), replies
    assert kept(hardened) == before


def test_w17_can_fail():
    with sloppy(patience=0.3) as wrong:
        for false_end in FALSE_ENDS:
            replies = smuggle(Place(wrong.port), false_end)
            assert len(replies) > 1 and replies[0].startswith("250 "), (false_end, replies)


# --- reads -----------------------------------------------------------------------------------------

#: Right and wrong commands, and messages whose ends are near each other; no reply depends on how fast it comes.
SESSION = (
    b"EHLO client.test\r\nNOOP\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<x@elsewhere.test>\r\nRCPT TO:<%s>\r\nDATA\r\n"
    b"Subject: cut\r\n\r\n..\r\n.x\r\n\r\n..\r\n.\r\nRSET\r\nWHAT\r\nRCPT TO:<%s>\r\nMAIL FROM:<a@client.test> SIZE=x\r\n"
    b"NO\nOP\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<%s>\r\nDATA\r\nSubject: bare\r\n\r\na\rb\r\n.\r\n"
) % ((ANNA.encode(),) * 3)


def replies(place: Place, pieces: list[bytes]) -> bytes:
    """All that the server says to a session that comes in these pieces, each in a segment of its own, up to its end.

    What differs from session to session, numbers of messages, is not in it.
    """
    with socket.create_connection((HOST, place.port), timeout=30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = sock.getsockname()[1]
        found = b""
        try:
            for piece in pieces:
                sock.sendall(piece)
                until_read(place.port, client)
            while data := sock.recv(65536):
                found += data
        except ConnectionError:
            # It has closed before it had all.
            pass
    return re.sub(rb"[0-9A-Fa-f]{10,}", b"NUMBER", found)


def until_read(server: int, client: int, timeout: float = 20.0) -> None:
    """Wait until the server has read all that the client sent (both are ports): what is sent next is then read by itself.

    The kernel says how much it holds for the server's socket (proc(5), /proc/net/tcp: ``rx_queue``).
    """
    pair = f":{server:04X} [0-9A-F]{{8}}:{client:04X} .. [0-9A-F]{{8}}:([0-9A-F]{{8}}) "
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        found = re.search(pair, Path("/proc/self/net/tcp").read_text(encoding="ascii"))
        if found is None or int(found.group(1), 16) == 0:
            return
        os.sched_yield()
    raise TimeoutError(f"not read in {timeout:g} s")


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The pieces between these places."""
    edges = [0, *sorted(set(places)), len(data)]
    return [data[begin:end] for begin, end in zip(edges, edges[1:]) if begin < end]


def test_w19_one_byte_at_a_time(hardened):
    whole = replies(hardened.relay, [SESSION])
    # Both messages were read to their ends: one is taken, one is not and closes the connection.
    assert (whole.count(b"\r\n354 "), b"NUMBER" in whole, whole.splitlines()[-1][:3]) == (2, True, b"550"), whole
    assert replies(hardened.relay, cut(SESSION, list(range(len(SESSION))))) == whole


@pytest.fixture(scope="module")
def whole(hardened):
    """What the server says to the session when it comes in one piece."""
    return replies(hardened.relay, [SESSION])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(places=st.lists(st.sampled_from([place for place, octet in enumerate(SESSION) if octet in b"\r\n."]), max_size=12),
       shift=st.sampled_from([0, 1]))
def test_w19_cut_around_every_line_end(hardened, whole, places, shift):
    assert replies(hardened.relay, cut(SESSION, [place + shift for place in places])) == whole


def test_w19_can_fail():
    session = b"EHLO client.test\r\nNOOP\r\nQUIT\r\n"
    with sloppy() as wrong:
        whole = replies(Place(wrong.port), [session])
        # A line end that is cut is two to this one.
        assert replies(Place(wrong.port), cut(session, list(range(len(session))))) != whole


# --- groups of commands ------------------------------------------------------------------------------


def grouped(place: Place) -> list[str]:
    """The codes of the replies to a group with one bad recipient among three, and of what follows."""
    with Peer(HOST, place.port) as peer:
        peer.start()
        peer.send(
            f"MAIL FROM:<a@client.test>\r\nRCPT TO:<{ANNA}>\r\nRCPT TO:<nobody@elsewhere.test>\r\nRCPT TO:<{BEN}>\r\nDATA\r\n".encode()
        )
        found = [peer.reply()[1][:9].strip() for _each in range(5)]
        peer.send(b"Subject: grouped\r\n\r\ntext\r\n.\r\nNOOP\r\nQUIT\r\n")
        return found + [peer.reply()[1][:9].strip() for _each in range(3)]


def test_w20_replies_come_in_order(hardened):
    before = {user: set(hardened.mailbox(user)) for user in ("anna", "ben")}
    assert [words[:3] for words in grouped(hardened.relay)] == ["250", "250", "550", "250", "354", "250", "250", "221"]
    for user, there in before.items():
        (path,) = hardened.delivered(user, there, 1)
        assert b"Subject: grouped\r\n" in path.read_bytes().replace(b"\n", b"\r\n").replace(b"\r\r", b"\r")


def test_w20_five_at_a_time(hardened):
    before = set(hardened.mailbox("carol"))
    programs.get("smtp_source").run(
        "-s", "5", "-m", "100", "-l", "10240", "-f", "a@client.test", "-t", CAROL, f"{HOST}:{hardened.relay.port}", timeout=90
    )
    paths = hardened.delivered("carol", before, 100)
    assert min(path.stat().st_size for path in paths) > 10_240


def test_w20_can_fail():
    with sloppy() as wrong:
        # It takes the bad recipient too.
        assert grouped(Place(wrong.port))[2] != "550"
    with sloppy(forgets_input=True, patience=1.0) as wrong:
        with pytest.raises((AssertionError, ConnectionError)):
            assert grouped(Place(wrong.port))[1:] == ["250 2.0.0"] * 3
