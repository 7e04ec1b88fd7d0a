# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clients that talk before they are greeted, or before they are answered."""

from __future__ import annotations

import select
import threading

import pytest
from postern.settings import AccessControl, AccessRule, TlsSettings
from wire_peer import Peer, plain
from wire_server import PASSWORD, USER, listener

REFUSED = "554 5.5.1 a client has to wait for the greeting\r\n"


class EarlyPeer(Peer):
    """A client whose first octets are there before the server has taken its connection.

    The server's loop is held up while it connects: what it sends meanwhile waits in the kernel with the connection.
    """

    def __init__(self, server, data: bytes) -> None:
        port, held, go = server.port(), threading.Event(), threading.Event()

        async def hold() -> None:
            held.set()
            go.wait(10)

        blocked = threading.Thread(target=server.run, args=(hold(),))
        blocked.start()
        held.wait(10)
        try:
            super().__init__("127.0.0.1", port)
            self.send(data)
        finally:
            go.set()
            blocked.join(10)


def test_who_waits_is_greeted_after_the_delay(make_server):
    server = make_server(greet_delay=0.5, early_talkers="refuse")
    server.activate(listener())
    with Peer("127.0.0.1", server.port()) as peer:
        assert not select.select([peer.socket], [], [], 0.1)[0]
        peer.start()


def test_who_talks_within_the_delay_is_refused(make_server):
    server = make_server(greet_delay=5.0, early_talkers="refuse")
    server.activate(listener())
    with Peer("127.0.0.1", server.port()) as peer:
        peer.send(b"EHLO probe.example.test\r\nMAIL FROM:<a@example.test>\r\n")
        assert peer.reply() == (554, REFUSED)
        assert peer.is_closed()
    server.log.wait("smtp.refused", reason="talked before the greeting", code=554, peer="127.0.0.1")
    server.log.wait("smtp.session", reason="talked before the greeting", commands=0)


def test_who_is_served_gets_all_answers_after_the_delay(make_server):
    server = make_server(greet_delay=0.5)
    server.activate(listener())
    with Peer("127.0.0.1", server.port()) as peer:
        peer.send(b"EHLO probe.example.test\r\nNOOP\r\n")
        assert not select.select([peer.socket], [], [], 0.1)[0]
        assert [peer.reply()[0] for _turn in range(3)] == [220, 250, 250]


def test_a_client_that_goes_within_the_delay(make_server):
    server = make_server(greet_delay=0.5, early_talkers="refuse")
    server.activate(listener(max_connections=1))
    with Peer("127.0.0.1", server.port()):
        pass
    server.log.wait("smtp.session", commands=0)
    with Peer("127.0.0.1", server.port()) as peer:
        peer.start()


def test_without_a_delay_what_is_there_already_counts(make_server):
    server = make_server(early_talkers="refuse")
    server.activate(listener())
    with EarlyPeer(server, b"EHLO probe.example.test\r\n") as peer:
        assert peer.reply() == (554, REFUSED)
        assert peer.is_closed()
    with Peer("127.0.0.1", server.port()) as peer:
        peer.start()


def test_a_stop_within_the_delay(make_server):
    server = make_server(greet_delay=30.0)
    server.activate(listener())
    with Peer("127.0.0.1", server.port()) as peer:
        server.run(server.service.close())
        # Nothing where the server had not taken the connection yet.
        assert peer.reply()[0] in (421, 0)
        assert peer.is_closed()


def test_inside_tls_there_is_no_delay_and_nothing_in_clear(make_server, ec_file):
    server = make_server(greet_delay=30.0, early_talkers="refuse")
    server.activate(listener(tls=TlsSettings(cert_file=ec_file), ssl_enable=True))
    with Peer("127.0.0.1", server.port()) as peer:
        peer.secure()
        peer.start()
    with Peer("127.0.0.1", server.port()) as peer:
        peer.send(b"EHLO probe.example.test\r\n")
        # An alert of TLS at most (RFC 8446 section 6), and no line of SMTP.
        rest = peer.line()
        assert not rest or rest[0] == 21


def test_after_starttls_there_is_no_delay(make_server, ec_file):
    server = make_server(greet_delay=0.3, early_talkers="refuse")
    server.activate(listener(tls=TlsSettings(cert_file=ec_file)))
    with Peer("127.0.0.1", server.port()) as peer:
        peer.start()
        peer.starttls()
        peer.expect("EHLO client.example.test", 250)


def test_a_denied_client_that_talks_early_hears_why(make_server):
    server = make_server()
    denied = AccessControl(deny_rules=(AccessRule("127.0.0.1", True),))
    server.activate(listener(), access=denied)
    for _turn in range(20):
        with EarlyPeer(server, b"EHLO probe.example.test\r\n") as peer:
            assert peer.reply()[1].startswith("554 5.7.1 ")


# --- behind commands that end a group -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "codes"),
    [
        (b"EHLO x\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<u1@example.test>\r\n", [250, 250, 250]),
        (b"EHLO x\r\nEHLO y\r\nNOOP\r\nVRFY u1\r\nEXPN u1\r\nNOOP\r\n", [250, 250, 250, 252, 502, 250]),
        (f"EHLO x\r\nAUTH PLAIN {plain(USER, PASSWORD)}\r\nNOOP\r\n".encode(), [250, 235, 250]),
        (f"EHLO x\r\nAUTH PLAIN\r\n{plain(USER, PASSWORD)}\r\nNOOP\r\n".encode(), [250, 334, 235, 250]),
        (f"EHLO x\r\nAUTH PLAIN {plain(USER, 'wrong')}\r\nMAIL FROM:<a@example.test>\r\n".encode(), [250, 535, 250]),
        (b"EHLO x\r\nQUIT\r\nNOOP\r\n", [250, 221]),
    ],
)
def test_the_answers_come_in_order(make_server, sent, codes):
    """RFC 2920 section 3.1 has these commands end a group. Who sends more at once is answered as if it had waited."""
    server = make_server()
    server.activate(listener())
    with Peer("127.0.0.1", server.port()) as peer:
        assert peer.reply()[0] == 220
        peer.send(sent)
        assert [peer.reply()[0] for _turn in codes] == codes
        if codes[-1] == 221:
            assert peer.is_closed()
        else:
            peer.expect("NOOP", 250)


def test_errors_from_before_tls_are_forgotten(server):
    """RFC 3207 section 4.2, with the number of errors that a session may have."""
    with Peer("127.0.0.1", server.port("127.0.0.1")) as peer:
        peer.start()
        for _turn in range(20):
            peer.expect("NONSENSE", 500)
        peer.starttls()
        for _turn in range(20):
            peer.expect("NONSENSE", 500)
        peer.expect("EHLO client.example.test", 250)


def test_nothing_behind_starttls_is_ever_answered_inside(server):
    with Peer("127.0.0.1", server.port("127.0.0.1")) as peer:
        peer.start()
        peer.send(b"STARTTLS\r\nNOOP\r\n")
        assert peer.reply()[1].startswith("554 5.5.1 ")
        assert peer.is_closed()
