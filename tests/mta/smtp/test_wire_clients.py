# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What clients of the real world do: log in in odd spellings, greet with odd names, talk before they are asked."""

from __future__ import annotations

import json

import pytest
from wire_peer import Peer, b64, plain, run_dialogue
from wire_server import PASSWORD, USER, listener


@pytest.fixture
def peer(server):
    """A fresh connection to the listener with STARTTLS."""
    with Peer("127.0.0.1", server.port("127.0.0.1")) as peer:
        yield peer


@pytest.fixture
def inside(server):
    """A connection inside implicit TLS, greeted."""
    with Peer("127.0.0.2", server.port("127.0.0.2")) as peer:
        peer.secure()
        peer.start()
        yield peer


# --- logging in (copiers, .NET, backup programs) --------------------------------------------------


def test_login_in_lower_case_with_the_name_on_the_same_line(peer):
    run_dialogue(
        peer,
        r"""
        S: 220 .*
        C: EHLO copier-2
        S: 250-.*STARTTLS.*
        C: STARTTLS
        S: 220 .*
        TLS
        C: ehlo copier-2
        S: 250-.*AUTH [A-Z0-9 -]*LOGIN.*
        C: AUTH login dTFAZXhhbXBsZS50ZXN0
        S: 334 UGFzc3dvcmQ6
        C: czNjcmV0
        S: 235 2\.7\.0 .*
        """,
    )


LOGINS = {
    "LOGIN in two steps": """
        C: auth Login
        S: 334 VXNlcm5hbWU6
        C: dTFAZXhhbXBsZS50ZXN0
        S: 334 UGFzc3dvcmQ6
        C: czNjcmV0
        S: 235 .*
    """,
    "trailing blanks": """
        C: auth   Login \u0020
        S: 334 VXNlcm5hbWU6
        C: dTFAZXhhbXBsZS50ZXN0 \u0020
        S: 334 UGFzc3dvcmQ6
        C: czNjcmV0\u0020
        S: 235 .*
    """,
    "PLAIN with initial response": f"""
        C: AUTH pLaIn {plain(USER, PASSWORD)}
        S: 235 .*
    """,
    "PLAIN without": f"""
        C: AUTH PLAIN
        S: 334\u0020
        C: {plain(USER, PASSWORD)}
        S: 235 .*
    """,
    "upper-case login name": f"""
        C: AUTH PLAIN {plain("U1@EXAMPLE.TEST", PASSWORD)}
        S: 235 .*
    """,
    "own name as the one to act for": f"""
        C: AUTH PLAIN {b64(USER + chr(0) + USER + chr(0) + PASSWORD)}
        S: 235 .*
    """,
    "= is an empty response": """
        C: AUTH LOGIN =
        S: 334 UGFzc3dvcmQ6
        C: czNjcmV0
        S: 535 5\\.7\\.8 .*
    """,
    "cancelled, then done": f"""
        C: AUTH LOGIN
        S: 334 .*
        C: *
        S: 501 5\\.7\\.0 .*
        C: AUTH PLAIN
        S: 334\u0020
        C: *
        S: 501 5\\.7\\.0 .*
        C: AUTH PLAIN {plain(USER, PASSWORD)}
        S: 235 .*
    """,
    "another name to act for": f"""
        C: AUTH PLAIN {b64("root@example.test" + chr(0) + USER + chr(0) + PASSWORD)}
        S: 535 5\\.7\\.8 .*
    """,
    "no base64": """
        C: AUTH PLAIN ###
        S: 501 5\\.5\\.2 .*
        C: AUTH LOGIN
        S: 334 .*
        C: ###
        S: 501 5\\.5\\.2 .*
    """,
    "PLAIN that is malformed": f"""
        C: AUTH PLAIN {b64("no NUL at all")}
        S: 501 5\\.5\\.2 .*
    """,
    "unknown mechanism": """
        C: AUTH CRAM-MD5
        S: 504 5\\.5\\.4 .*
        C: AUTH
        S: 501 5\\.5\\.4 .*
    """,
    "twice": f"""
        C: AUTH PLAIN {plain(USER, PASSWORD)}
        S: 235 .*
        C: AUTH PLAIN {plain(USER, PASSWORD)}
        S: 503 5\\.5\\.1 .*
    """,
    "after MAIL": f"""
        C: MAIL FROM:<a@example.test>
        S: 250 .*
        C: AUTH PLAIN {plain(USER, PASSWORD)}
        S: 503 5\\.5\\.1 .*
    """,
    "a line that is too long": f"""
        C: AUTH PLAIN
        S: 334\u0020
        C: {"A" * 12288}
        S: 500 5\\.5\\.6 .*
        C: NOOP
        S: 250 .*
    """,
    "a long initial response": f"""
        C: AUTH PLAIN {plain("x" * 4000 + "@example.test", PASSWORD)}
        S: 535 .*
    """,
}


@pytest.mark.parametrize("dialogue", LOGINS.values(), ids=LOGINS)
def test_login_dialogue(inside, dialogue):
    run_dialogue(inside, dialogue)


def test_no_credentials_in_the_log(inside, server):
    inside.expect(f"AUTH PLAIN {plain(USER, PASSWORD)}", 235)
    inside.expect(f"AUTH PLAIN {plain('wrong@example.test', 'guess-word')}", 503)
    inside.expect("QUIT", 221)
    server.log.wait("smtp.auth", mechanism="PLAIN", result="accepted", user=USER)
    text = json.dumps(server.log.records)
    for secret in (PASSWORD, b64(PASSWORD), plain(USER, PASSWORD), "guess-word", b64("guess-word")):
        assert secret not in text


# --- leaving ----------------------------------------------------------------------------------------


def test_a_client_that_leaves_without_waiting_for_the_last_reply(make_server):
    """The message is taken, and the reply that nobody reads is no defect."""
    server = make_server()
    server.activate(listener())
    for number in range(10):
        with Peer("127.0.0.1", server.port()) as peer:
            peer.start(f"leaving-{number}")
            peer.expect("MAIL FROM:<a@example.test>", 250)
            peer.expect("RCPT TO:<u1@example.test>", 250)
            peer.expect("DATA", 354)
            peer.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        server.log.wait("smtp.session", helo=f"leaving-{number}", messages=1)
    assert [record for record in server.log.records if record["level"] == "error"] == []


# --- names in EHLO --------------------------------------------------------------------------------

NAMES = [
    (b"EHLO DESKTOP-35_A", 250),
    (b"EHLO 192.0.2.7", 250),
    (b"EHLO [192.0.2.7]", 250),
    (b"EHLO [IPV6:2001:DB8::1]", 250),
    (b"EHLO [IPv6:::ffff:192.0.2.7]", 250),
    (b"EHLO host-.example.test", 250),
    (b"EHLO localhost", 250),
    (b"EHLO  client.example.test ", 250),
    (b"EHLO", 501),
    (b"EHLO ", 501),
    (b"EHLO a b", 501),
    (b"EHLO client\x01x", 501),
    ("EHLO café.example.test".encode(), 250),
    (b"EHLO caf\xe9.example.test", 501),
    (b"EHLO " + b"a" * 260, 501),
    (b"HELO client.example.test", 250),
    (b"HELO", 501),
]


@pytest.mark.parametrize(("line", "code"), NAMES, ids=[repr(line[:40]) for line, _code in NAMES])
def test_names_that_clients_announce(peer, line, code):
    peer.reply()
    text = peer.expect(line, code)
    if code == 501:
        assert text.startswith("501 5.5.4 ")
    # The session goes on.
    peer.expect("EHLO client.example.test", 250)
    peer.expect("MAIL FROM:<a@example.test>", 250)


def test_an_announced_name_is_recorded_escaped(peer, server):
    peer.reply()
    peer.expect('EHLO x)(;<evil>"é', 250)
    peer.expect("MAIL FROM:<named@example.test>", 250)
    peer.expect("RCPT TO:<u2@example.test>", 250)
    peer.expect("DATA", 354)
    peer.expect("Subject: x\r\n\r\nx\r\n.", 250)
    number = server.log.wait("smtp.message", sender="named@example.test")["id"]
    server.log.wait("delivery.local", id=number)
    (content,) = [path.read_text() for path in server.mailbox("u2").iterdir() if number in path.name]
    assert "Received: from x????evil??? ([127.0.0.1])\n" in content


# --- talking too early ----------------------------------------------------------------------------


def test_ehlo_before_the_banner(peer):
    peer.send(b"EHLO probe.example.test\r\n")
    assert peer.reply()[0] == 220
    assert peer.reply()[0] == 250


def test_ehlo_and_starttls_in_one_segment(peer):
    run_dialogue(
        peer,
        r"""
        S: 220 .*
        C> EHLO probe.example.test\r\nSTARTTLS\r\n
        S: 250-.*
        S: 220 2\.0\.0 .*
        TLS
        C: EHLO probe.example.test
        S: 250-.*
        """,
    )


def test_bytes_behind_starttls(peer, server):
    run_dialogue(
        peer,
        r"""
        S: 220 .*
        C> STARTTLS\r\nMAIL FROM:<a@example.test>\r\n
        S: 554 5\.5\.1 .*
        CLOSED
        """,
    )
    server.log.wait("smtp.session", reason="bytes behind STARTTLS")


def test_mail_without_ehlo_after_the_handshake(peer):
    run_dialogue(
        peer,
        r"""
        S: 220 .*
        C: EHLO probe.example.test
        S: 250-.*
        C: STARTTLS
        S: 220 .*
        TLS
        C: MAIL FROM:<a@example.test>
        S: 503 5\.5\.1 .*
        C: AUTH PLAIN
        S: 503 5\.5\.1 .*
        C: EHLO probe.example.test
        S: 250-.*
        C: MAIL FROM:<a@example.test>
        S: 250 .*
        """,
    )
