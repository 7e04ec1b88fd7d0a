# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policy script on the wire, logging in, and who may send where."""

from __future__ import annotations

import base64
import json

import pytest
import scramp
from postern.settings import TlsSettings
from wire_peer import Peer, b64, client_context, keywords, plain
from wire_server import PASSWORD, USER, listener

EXPLANATION = "Accepting only secure delivery (STARTTLS) for other.test"


@pytest.fixture
def peer(server):
    """A greeted connection to the hardened listener."""
    with Peer("127.0.0.1", server.port("127.0.0.1")) as peer:
        peer.start()
        yield peer


@pytest.fixture
def scripted(make_server, ec_file):
    """A function: a server with this script; returns a connected peer."""
    peers = []
    server = make_server()

    def connect(script: str, **generation) -> Peer:
        server.activate(listener(tls=TlsSettings(cert_file=ec_file)), script=script, **generation)
        peers.append(Peer("127.0.0.1", server.port()))
        return peers[-1]

    connect.server = server
    yield connect
    for peer in peers:
        peer.socket.close()


# --- AUTH in clear text ---------------------------------------------------------------------------


def test_auth_in_clear_text_is_refused_before_a_second_line(peer, server):
    for command in (f"AUTH PLAIN {plain(USER, PASSWORD)}", "AUTH LOGIN", "auth scram-sha-256", f"AUTH {b64(PASSWORD)}"):
        assert peer.expect(command, 538).startswith("538 5.7.11 ")
    server.log.wait("smtp.auth", result="refused in clear text", mechanism="PLAIN")
    server.log.wait("smtp.auth", result="refused in clear text", mechanism="other")
    text = json.dumps(server.log.records)
    assert b64(PASSWORD) not in text and plain(USER, PASSWORD) not in text


def test_without_a_rule_auth_is_offered_in_clear_text(scripted):
    peer = scripted("event onEhlo { }")
    assert keywords(peer.start())["AUTH"] == "SCRAM-SHA-256 PLAIN LOGIN"
    peer.expect(f"AUTH PLAIN {plain(USER, PASSWORD)}", 235)


def test_scram_alone_in_clear_text(scripted):
    peer = scripted('event onEhlo { set (plainConnAuthTypes, "scram-sha-256 "); }')
    assert keywords(peer.start())["AUTH"] == "SCRAM-SHA-256"
    assert peer.expect(f"AUTH PLAIN {plain(USER, PASSWORD)}", 504).startswith("504 5.5.4 ")
    assert scram(peer, USER, PASSWORD) == 235


def test_login_left_out_is_neither_offered_nor_taken(scripted):
    peer = scripted(
        'event onEhlo { set (plainConnAuthTypes, "none"); set (secureConnAuthTypes, "scram-sha-256 plain "); }'
    )
    peer.start()
    peer.starttls()
    assert keywords(peer.expect("EHLO x", 250))["AUTH"] == "SCRAM-SHA-256 PLAIN"
    for name in ("LOGIN", "login", "Login"):
        assert peer.expect(f"AUTH {name}", 504).startswith("504 5.5.4 ")


def test_no_mechanism_inside_tls(scripted):
    peer = scripted('event onEhlo { set (secureConnAuthTypes, "none"); }')
    peer.start()
    peer.starttls()
    assert "AUTH" not in keywords(peer.expect("EHLO x", 250))
    assert peer.expect(f"AUTH PLAIN {plain(USER, PASSWORD)}", 502).startswith("502 5.5.1 ")


# --- SCRAM and wrong credentials ------------------------------------------------------------------


def scram(peer: Peer, user: str, password: str, initial: bool = True) -> int:
    """A SCRAM-SHA-256 exchange; returns the final code. The server's proof is checked."""
    client = scramp.ScramClient(["SCRAM-SHA-256"], user, password)
    first = b64(client.get_client_first())
    if initial:
        code, text = peer.say(f"AUTH SCRAM-SHA-256 {first}")
    else:
        peer.expect("AUTH SCRAM-SHA-256", 334)
        code, text = peer.say(first)
    if code != 334:
        return code
    client.set_server_first(base64.b64decode(text[4:]).decode())
    code, text = peer.say(b64(client.get_client_final()))
    if code != 334:
        return code
    client.set_server_final(base64.b64decode(text[4:]).decode())
    return peer.say("")[0]


@pytest.fixture
def inside(server):
    """A greeted connection inside implicit TLS."""
    with Peer("127.0.0.2", server.port("127.0.0.2")) as peer:
        peer.secure()
        peer.start()
        yield peer


@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize(("user", "password"), [(USER, PASSWORD), ("u2@example.test", "pässword with blank")])
def test_scram(inside, user, password, initial):
    assert scram(inside, user, password, initial) == 235
    inside.expect("AUTH SCRAM-SHA-256", 503)


def test_scram_with_wrong_credentials(inside):
    assert scram(inside, USER, "wrong") == 535
    assert scram(inside, "nobody@example.test", PASSWORD) == 535


def test_scram_shows_a_stable_salt_for_nobody(inside):
    salts = set()
    for _turn in range(2):
        client = scramp.ScramClient(["SCRAM-SHA-256"], "nobody@example.test", "x")
        text = inside.expect(f"AUTH SCRAM-SHA-256 {b64(client.get_client_first())}", 334)
        salts.add(base64.b64decode(text[4:]).decode().partition(",")[2])
        inside.expect("*", 501)
    assert len(salts) == 1


@pytest.mark.parametrize("message", ["", "n,,n=u1@example.test", "n,,r=abc", "y,,x", "p=tls-unique,,n=a,r=b", "\x00"])
def test_scram_garbage(inside, message):
    inside.expect("AUTH SCRAM-SHA-256", 334)
    code, _text = inside.say(b64(message))
    assert code == 535
    inside.expect("NOOP", 250)


def test_scram_with_binary_garbage(inside):
    inside.expect("AUTH SCRAM-SHA-256 /////w==", 501)
    inside.expect("NOOP", 250)


def test_wrong_credentials_look_alike_and_end_the_session(inside, server):
    wrong = inside.expect(f"AUTH PLAIN {plain(USER, 'wrong')}", 535)
    unknown = inside.expect(f"AUTH PLAIN {plain('nobody@example.test', 'wrong')}", 535)
    assert wrong == unknown and wrong.startswith("535 5.7.8 ")
    for name in ("no-domain", ""):
        inside.expect(f"AUTH PLAIN {plain(name, 'wrong')}", 535)
    inside.send(f"AUTH PLAIN {plain('no-domain', 'wrong')}\r\nNOOP\r\n".encode())
    assert [inside.reply()[0] for _turn in range(2)] == [535, 421]
    assert inside.is_closed()
    server.log.wait("smtp.session", reason="authentication failures")


def test_commands_behind_a_login_are_answered_in_order(inside):
    inside.send(f"AUTH PLAIN {plain(USER, PASSWORD)}\r\nNOOP\r\nMAIL FROM:<{USER}>\r\nNONSENSE\r\n".encode())
    assert [inside.reply()[0] for _turn in range(4)] == [235, 250, 250, 500]


# --- forced TLS for a domain ----------------------------------------------------------------------


def test_a_forced_domain_in_clear_text_and_inside_tls(peer, server):
    peer.expect("MAIL FROM:<a@example.test>", 250)
    peer.expect("RCPT TO:<u1@example.test>", 250)
    assert peer.expect("RCPT TO:<postmaster@OTHER.test>", 550) == f"550 5.7.1 {EXPLANATION}\r\n"
    logged = server.log.wait(
        "rules.refused", stage="onRcptTo", rcptTo="postmaster@other.test", mailFrom="a@example.test"
    )
    assert (logged["code"], logged["reason"], logged["tls"]) == (550, EXPLANATION, False)
    # The other recipient of the transaction is not touched.
    peer.expect("DATA", 354)
    peer.expect("Subject: x\r\n\r\nx\r\n.", 250)
    peer.starttls()
    peer.expect("EHLO x", 250)
    peer.expect("MAIL FROM:<a@example.test>", 250)
    peer.expect("RCPT TO:<postmaster@OTHER.test>", 250)


LEVELS = """
event onMailFrom { set (tlsLevel, "secure"); }
event onRcptTo { call (Gov); call (Exception); call (Strange); call (Partner); }
method Gov {
    if (allOf (isSubdomainOf (rcptDomain, "test"))) {
        set (tlsLevel, "encrypt"); set (tlsExplanation, "only with TLS: %rcptDomain%");
    }
}
method Exception {
    if (allOf (isCase (rcptDomain, "example.test"))) { set (tlsLevel, "may"); set (tlsReason, "old scanner"); }
}
method Strange {
    if (allOf (isCase (rcptDomain, "strange.test"))) { set (tlsLevel, "%never%"); }
    if (allOf (isCase (rcptDomain, "pinned.test"))) { set (tlsLevel, "fingerprint"); set (tlsFingerprints, "00"); }
}
method Partner { if (allOf (isCase (rcptTo, "refused@example.test"))) { set (smtpAction, "tmpreject"); } }
"""


def test_a_level_for_a_recipient_and_an_exception_from_it(scripted):
    peer = scripted(LEVELS)
    peer.start()
    peer.expect("MAIL FROM:<a@example.test>", 250)
    assert peer.expect("RCPT TO:<postmaster@OTHER.test>", 550) == "550 5.7.1 only with TLS: other.test\r\n"
    logged = scripted.server.log.wait("rules.refused", stage="onRcptTo", rcptTo="postmaster@other.test")
    assert (logged["code"], logged["reason"], logged["tls"]) == (550, "only with TLS: other.test", False)
    peer.expect("RCPT TO:<u1@example.test>", 250)
    peer.expect("RCPT TO:<refused@example.test>", 451)
    # Neither the level of the event before nor that of the recipient before holds for this one.
    peer.expect("RCPT TO:<x@elsewhere.example>", 550)
    assert scripted.server.log.wait("smtp.recipient", recipient="x@elsewhere.example")["reason"] == "relaying denied"
    assert peer.expect("RCPT TO:<x@strange.test>", 451).startswith("451 4.7.5 ")
    peer.starttls()
    peer.expect("EHLO x", 250)
    peer.expect("MAIL FROM:<a@example.test>", 250)
    peer.expect("RCPT TO:<postmaster@OTHER.test>", 250)
    # A level that nobody knows may be more than TLS, and one for mail that goes out is: it closes.
    for domain in ("strange.test", "pinned.test"):
        assert peer.expect(f"RCPT TO:<x@{domain}>", 451).startswith("451 4.7.5 ")
    scripted.server.log.wait("rules.refused", rcptTo="x@strange.test", tls=True, code=451)


@pytest.mark.parametrize(
    "recipient",
    [
        "postmaster@other.test.",
        "postmaster@other.test ",
        "@relay.test:postmaster@other.test",
        '"postmaster"@other.test',
        "postmaster@OTHER.TEST",
    ],
)
def test_no_spelling_slips_past_the_rule(peer, recipient):
    peer.expect("MAIL FROM:<a@example.test>", 250)
    code, text = peer.say(f"RCPT TO:<{recipient}>")
    assert code == 501 or (code == 550 and EXPLANATION in text)


def test_an_explanation_of_several_lines_cannot_forge_replies(scripted):
    peer = scripted(
        'event onRcptTo { set (smtpAction, "reject");'
        'set (smtpExplanation, "first <%ehloHost%>\n250 OK\r\nümlaut\tx"); }'
    )
    peer.start("<evil>")
    peer.expect("MAIL FROM:<a@example.test>", 250)
    text = peer.expect("RCPT TO:<u1@example.test>", 550)
    assert text == "550-5.7.1 first <<evil>>\r\n550-5.7.1 250 OK\r\n550 5.7.1 ?mlaut x\r\n"
    peer.expect("NOOP", 250)


def test_a_temporary_refusal(scripted):
    peer = scripted('event onRcptTo { set (smtpAction, "tmpreject"); set (smtpExplanation, "later"); }')
    peer.start()
    peer.expect("MAIL FROM:<a@example.test>", 250)
    assert peer.expect("RCPT TO:<u1@example.test>", 451) == "451 4.7.1 later\r\n"


EVENTS = {
    "onConnect": [("", 554)],
    "onEhlo": [("", 220), ("EHLO x", 550), ("MAIL FROM:<a@example.test>", 503)],
    "onMailFrom": [("", 220), ("EHLO x", 250), ("MAIL FROM:<a@example.test>", 550), ("RCPT TO:<u1@example.test>", 503)],
    "onRcptTo": [("", 220), ("EHLO x", 250), ("MAIL FROM:<a@example.test>", 250), ("RCPT TO:<u1@example.test>", 550)],
    "onDataReceived": [
        ("", 220),
        ("EHLO x", 250),
        ("MAIL FROM:<a@example.test>", 250),
        ("RCPT TO:<u1@example.test>", 250),
        ("DATA", 354),
        ("Subject: x\r\n\r\nx\r\n.", 550),
        ("RCPT TO:<u1@example.test>", 503),
    ],
}


@pytest.mark.parametrize("event", EVENTS)
def test_a_refusal_in_each_event(scripted, event):
    peer = scripted(f'event {event} {{ set (smtpAction, "reject"); set (smtpExplanation, "because of {event}"); }}')
    for command, code in EVENTS[event]:
        found, text = peer.say(command) if command else peer.reply()
        assert found == code, (command, text)
        if code in (550, 554):
            assert text == f"{code} 5.7.1 because of {event}\r\n"
    if event == "onConnect":
        assert peer.is_closed()


def test_a_rule_on_one_recipient_does_not_hold_for_the_next(scripted):
    peer = scripted("""
        event onRcptTo { call (Partner); }
        method Partner { if (isCase (rcptDomain, "partner.test")) { set (remoteDelivery, "all"); } }
        """)
    peer.start()
    peer.expect("MAIL FROM:<a@example.test>", 250)
    peer.expect("RCPT TO:<x@partner.test>", 250)
    assert peer.expect("RCPT TO:<x@elsewhere.test>", 550) == "550 5.7.1 relaying denied\r\n"


def test_the_script_decides_anew_after_starttls(scripted):
    peer = scripted("""
        event onEhlo { call (Size); }
        method Size { if (isCase (isSSLConnection, "yes")) { set (maxDataSize, "100"); } }
        """)
    assert keywords(peer.start())["SIZE"] == str(10240 * 1024)
    peer.starttls()
    assert keywords(peer.expect("EHLO x", 250))["SIZE"] == str(100 * 1024)


def test_the_greeting_and_switched_off_extensions(scripted):
    peer = scripted(
        'event onConnect { set (smtpGreeting, "MX.example.test at\r\n250 your service"); }'
        'event onEhlo { set (allow8bitMime, "no"); set (allowPipelining, "no"); }'
    )
    assert peer.reply()[1] == "220 mx.example.test at 250 your service\r\n"
    assert set(keywords(peer.expect("EHLO x", 250))) == {"SIZE", "ENHANCEDSTATUSCODES", "STARTTLS", "AUTH"}
    peer.expect("MAIL FROM:<a@example.test> BODY=8BITMIME", 555)


def test_a_script_without_end_refuses_for_now(scripted):
    methods = "".join(f"method m{n} {{ call (m{n + 1}); call (m{n + 1}); }}" for n in range(40))
    peer = scripted("event onMailFrom { call (m0); }" + methods)
    peer.start()
    assert peer.expect("MAIL FROM:<a@example.test>", 451).startswith("451 4.3.0 ")


# --- who may send where ---------------------------------------------------------------------------


def test_no_open_relay(peer):
    peer.expect("MAIL FROM:<u1@example.test>", 250)
    for recipient in (
        "x@elsewhere.test",
        "x%elsewhere.test@relay.test",
        "x@[192.0.2.1]",
        "x@[127.0.0.1]",
        "@example.test:x@elsewhere.test",
        '"x@elsewhere.test"@relay.test',
    ):
        assert peer.expect(f"RCPT TO:<{recipient}>", 550) == "550 5.7.1 relaying denied\r\n"
    for recipient in (
        '"x@elsewhere.test"@example.test',
        "x%elsewhere.test@example.test",
        "elsewhere.test!x@example.test",
    ):
        assert peer.expect(f"RCPT TO:<{recipient}>", 550).startswith("550 5.1.1 ")


def test_an_authenticated_user_may_send_elsewhere_and_it_stays_queued(inside, server):
    inside.expect(f"AUTH PLAIN {plain(USER, PASSWORD)}", 235)
    inside.expect(f"MAIL FROM:<{USER}> AUTH=<>", 250)
    inside.expect("RCPT TO:<x@elsewhere.test>", 250)
    inside.expect("RCPT TO:<u2@example.test>", 250)
    inside.expect("DATA", 354)
    number = inside.expect("Subject: away\r\n\r\nx\r\n.", 250).split()[-1]
    server.log.wait("delivery.local", id=number)
    server.delivery_settled(number)
    envelope, recipients, body = server.store.load(int(number, 16))
    assert [(r.local_part, r.domain, r.is_local) for r in recipients.values()] == [("x", "elsewhere.test", False)]
    assert envelope.auth_user == USER and envelope.tls.startswith("TLSv1.3 ")
    assert b" with ESMTPSA id " + number.encode() in body and USER.encode() not in body.split(b"\r\n\r\n")[0]


@pytest.mark.parametrize(
    ("script", "user", "local", "remote"),
    [
        ("", False, "250", "550 5.7.1"),
        ("", True, "250", "250"),
        ('set (remoteDelivery, "all");', False, "250", "250"),
        ('set (remoteDelivery, "none");', True, "250", "550 5.7.1"),
        ('set (localDelivery, "auth");', False, "530 5.7.0", "550 5.7.1"),
        ('set (localDelivery, "auth");', True, "250", "250"),
        ('set (localDelivery, "none");', True, "550 5.7.1", "250"),
    ],
)
def test_delivery_permissions(scripted, script, user, local, remote):
    peer = scripted(f"event onEhlo {{ {script} }}")
    peer.start()
    if user:
        peer.expect(f"AUTH PLAIN {plain(USER, PASSWORD)}", 235)
    peer.expect("MAIL FROM:<a@example.test>", 250)
    assert peer.say("RCPT TO:<u1@example.test>")[1].startswith(local)
    assert peer.say("RCPT TO:<x@elsewhere.test>")[1].startswith(remote)


# --- commands and their order ---------------------------------------------------------------------

@pytest.mark.parametrize(
    ("local_part", "domain", "code"),
    [
        ("x" * 64, "y.test", 250),
        ("x" * 65, "y.test", 501),
        ("x", "y" * 240 + ".test", 250),
        ("x", "y" * 252 + ".test", 501),
    ],
)
def test_lengths_of_addresses(peer, local_part, domain, code):
    peer.expect(f"MAIL FROM:<{local_part}@{domain}>", code)


def test_certificate_is_verified_by_the_tests_themselves(server, authority):
    with Peer("127.0.0.1", server.port("127.0.0.1")) as peer:
        peer.start()
        peer.starttls(client_context(authority.ca_file))
        peer.expect("NOOP", 250)
