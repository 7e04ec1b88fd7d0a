# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What clients of the real world do: log in in odd spellings, greet with odd names, talk before they are asked."""

from __future__ import annotations

import json

import pytest
from wire_peer import Peer, b64, plain
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


# --- logging in: the exchanges are written dialogues ------------------------------------------------


def test_no_credentials_in_the_log(inside, server):
    inside.expect(f"AUTH PLAIN {plain(USER, PASSWORD)}", 235)
    inside.expect(f"AUTH PLAIN {plain('wrong@example.test', 'guess-word')}", 503)
    inside.expect("QUIT", 221)
    server.log.wait("smtp.auth", mechanism="PLAIN", result="accepted", user=USER)
    text = json.dumps(server.log.records)
    for secret in (PASSWORD, b64(PASSWORD), plain(USER, PASSWORD), "guess-word", b64("guess-word")):
        assert secret not in text


LOGIN_FORMS = {
    "on the same line": [f"AUTH login {b64(USER)}", "{password}"],
    "in steps": ["auth Login", b64(USER), "{password}"],
    "without a response": ["AUTH PLAIN", "{plain}"],
    "with one": ["AUTH plain {plain}"],
}


@pytest.mark.parametrize(("password", "result"), [(PASSWORD, "accepted"), ("guess-word", "refused")])
@pytest.mark.parametrize("lines", LOGIN_FORMS.values(), ids=LOGIN_FORMS)
def test_no_form_of_a_login_is_in_the_log(make_server, lines, password, result):
    server = make_server()
    server.activate(listener())
    said = [line.format(password=b64(password), plain=plain(USER, password)) for line in lines]
    with Peer("127.0.0.1", server.port()) as peer:
        peer.start()
        codes = [peer.say(line)[0] for line in said]
    assert codes == [334] * (len(said) - 1) + [235 if result == "accepted" else 535]
    server.log.wait("smtp.auth", mechanism=lines[0].split()[1].upper(), result=result)
    text = json.dumps(server.log.records)
    for secret in (password, b64(password), plain(USER, password), b64(USER)):
        assert secret not in text


@pytest.mark.parametrize("name", ["LOGIN", "login", "Login"])
def test_a_mechanism_that_is_not_in_the_rule(make_server, name):
    """Neither offered nor accepted, in any spelling."""
    server = make_server()
    server.activate(listener(), script='event onEhlo { set (plainConnAuthTypes, "plain"); }')
    with Peer("127.0.0.1", server.port()) as peer:
        assert "AUTH PLAIN\r\n" in peer.start()
        for line in (f"AUTH {name}", f"AUTH {name} {b64(USER)}"):
            assert peer.expect(line, 504).startswith("504 5.5.4 ")
        peer.expect(f"AUTH plain {plain(USER, PASSWORD)}", 235)


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


def test_bytes_behind_starttls(peer, server):
    peer.reply()
    peer.send(b"STARTTLS\r\nMAIL FROM:<a@example.test>\r\n")
    assert peer.reply()[1].startswith("554 5.5.1 ")
    assert peer.is_closed()
    server.log.wait("smtp.session", reason="bytes behind STARTTLS")
