# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reply codes that a rule of the policy script says itself, at the beginning of its explanation."""

from __future__ import annotations

import pytest
from postern.settings import TlsSettings
from wire_peer import Peer
from wire_server import listener


@pytest.fixture
def refusing(make_server, ec_file):
    """A function: a server whose script refuses MAIL with this action and explanation; returns a greeted peer."""
    peers = []
    server = make_server()

    def connect(action: str, explanation: str, event: str = "onMailFrom") -> Peer:
        script = f'event {event} {{ set (smtpAction, "{action}"); set (smtpExplanation, "{explanation}"); }}'
        server.activate(listener(tls=TlsSettings(cert_file=ec_file)), script=script)
        peer = Peer("127.0.0.1", server.port())
        peers.append(peer)
        return peer

    connect.server = server
    yield connect
    for peer in peers:
        peer.socket.close()


SAID = {
    # RFC 3207 section 4 and RFC 4954 section 6.
    "starttls": ("reject", "530 5.7.0 Must issue a STARTTLS command first", "530 5.7.0 Must issue a STARTTLS command first"),
    "long detail": ("reject", "523 5.7.10 Encryption needed", "523 5.7.10 Encryption needed"),
    "temporary": ("tmpreject", "450 4.2.1 Later", "450 4.2.1 Later"),
    "no text": ("reject", "530 5.7.0", "530 5.7.0 refused by policy"),
    "blanks around": ("reject", "  554  5.7.1 No", "550 5.7.1 554  5.7.1 No"),
    # A code that does not fit the action, or that is none, is text.
    "success": ("reject", "250 2.0.0 OK", "550 5.7.1 250 2.0.0 OK"),
    "temporary in a rejection": ("reject", "451 4.7.1 Later", "550 5.7.1 451 4.7.1 Later"),
    "permanent in a delay": ("tmpreject", "550 5.7.1 No", "451 4.7.1 550 5.7.1 No"),
    "two classes": ("reject", "530 4.7.0 Mixed", "550 5.7.1 530 4.7.0 Mixed"),
    "no enhanced code": ("reject", "530 Must log in", "550 5.7.1 530 Must log in"),
    "no reply code": ("reject", "5.7.0 Must log in", "550 5.7.1 5.7.0 Must log in"),
    # RFC 5321 section 4.2: the second digit is 0 to 5.
    "a number": ("reject", "587 5.7.0 is the port", "550 5.7.1 587 5.7.0 is the port"),
    "an address": ("reject", "530 5.7.0.1 is blocked", "550 5.7.1 530 5.7.0.1 is blocked"),
    "inside the text": ("reject", "No: 530 5.7.0 x", "550 5.7.1 No: 530 5.7.0 x"),
}


@pytest.mark.parametrize("case", SAID)
def test_a_code_in_an_explanation(refusing, case):
    action, explanation, reply = SAID[case]
    peer = refusing(action, explanation)
    peer.start()
    found, text = peer.say("MAIL FROM:<a@example.test>")
    assert (found, text) == (int(reply[:3]), reply + "\r\n")
    logged = refusing.server.log.wait("rules.refused", stage="onMailFrom")
    assert (logged["code"], logged["reason"]) == (found, reply.split(" ", 2)[2])
    peer.expect("NOOP", 250)


@pytest.mark.parametrize("repeated", ["", "530 5.7.0 ", "530-5.7.0 "])
def test_a_code_holds_for_all_lines(refusing, repeated):
    peer = refusing("reject", f"530-5.7.0 Log in\n{repeated}on port 465\r\n{repeated}550 5.7.1 is a code")
    peer.start()
    text = peer.expect("MAIL FROM:<a@example.test>", 530)
    assert text == "530-5.7.0 Log in\r\n530-5.7.0 on port 465\r\n530 5.7.0 550 5.7.1 is a code\r\n"
    peer.expect("NOOP", 250)


def test_421_closes_the_connection(refusing):
    """RFC 5321 section 3.8."""
    peer = refusing("tmpreject", "421 4.3.2 Too much to do")
    peer.start()
    assert peer.expect("MAIL FROM:<a@example.test>", 421) == "421 4.3.2 Too much to do\r\n"
    assert peer.is_closed()


def test_a_code_at_the_connection_is_the_one_of_a_greeting(refusing):
    """RFC 5321 section 3.1: 554, whatever the rule says; its enhanced code and text are kept."""
    peer = refusing("reject", "530 5.7.0 Not here", event="onConnect")
    assert peer.reply() == (554, "554 5.7.0 Not here\r\n")
    assert peer.is_closed()


@pytest.mark.parametrize(
    "event, commands",
    [
        ("onEhlo", ["EHLO x"]),
        ("onRcptTo", ["EHLO x", "MAIL FROM:<a@example.test>", "RCPT TO:<u1@example.test>"]),
        (
            "onDataReceived",
            ["EHLO x", "MAIL FROM:<a@example.test>", "RCPT TO:<u1@example.test>", "DATA", "Subject: x\r\n\r\nx\r\n."],
        ),
    ],
)
def test_a_code_in_each_event(refusing, event, commands):
    peer = refusing("reject", "530 5.7.0 Log in", event=event)
    assert peer.reply()[0] == 220
    for command in commands[:-1]:
        assert peer.say(command)[0] < 400
    assert peer.expect(commands[-1], 530) == "530 5.7.0 Log in\r\n"


def test_what_a_client_says_is_no_code(refusing):
    """A variable in an explanation is text of a stranger, and an address holds no blanks outside of quotes."""
    peer = refusing("tmpreject", "%mailFrom% is not wanted")
    peer.start()
    text = peer.expect('MAIL FROM:<"421 4.3.2 x"@example.test>', 451)
    assert text == '451 4.7.1 "421 4.3.2 x"@example.test is not wanted\r\n'
    peer.expect("NOOP", 250)
