# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What senders are told about mail in UTF-8 (RFC 6533), and by which words: as few in UTF-8 as can be."""

from __future__ import annotations

import email
import email.policy
import quopri
import re

import pytest
from postern.delivery import notification
from postern.delivery.notification import Undelivered
from postern.delivery.outcome import FAILED, Outcome
from postern.queue.store import Envelope, Recipient
from remote_harness import BODY, HOST_NAME, Relaying

UTF8 = ("8BITMIME", "SMTPUTF8")
HEADER = "From: u1@example.test\r\nSubject: Grüße\r\n"


@pytest.fixture
def relaying(tmp_path):
    """A queue that is sent from."""
    with Relaying(tmp_path) as relaying:
        yield relaying


def unescaped(text: str) -> str:
    """What a utf-8-addr-xtext stands for."""
    return re.sub(r"\\x\{([0-9A-F]+)\}", lambda found: chr(int(found.group(1), 16)), text)


def parts(report: bytes) -> list:
    """The three parts, parsed, and with no defect."""
    message = email.message_from_bytes(report, policy=email.policy.default)
    assert message.get_content_type() == "multipart/report" and message.get_param("report-type") == "delivery-status"
    found = list(message.iter_parts())
    assert not [defect for part in message.walk() for defect in part.defects] and len(found) == 3
    return found


def raw_body(report: bytes, number: int) -> bytes:
    """The octets of a part behind its header; the parser has its own mind about parts that hold a message."""
    boundary = email.message_from_bytes(report).get_boundary().encode()
    part = report.split(b"--" + boundary)[1 + number]
    return part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


def report(recipient: str = "ü@a.test", sender: str = "u1@example.test", header: bytes = b"Subject: x\r\n", **about):
    envelope = Envelope(7, sender, (), received=0.0, **about)
    about_it = Undelivered(recipient, Outcome(FAILED, "5.1.1", "nobody", 550), "mx.a.test")
    return notification.failure(HOST_NAME, envelope, header, 8, 0.0, [about_it])


# --- on the way -----------------------------------------------------------------------------------


@pytest.mark.parametrize("keywords", [(), UTF8])
def test_a_sender_with_a_plain_address_is_told_in_ascii(relaying, keywords):
    relaying.peer("a.test", keywords=("8BITMIME",))
    home = relaying.peer("home.test", keywords=keywords)
    relaying.put(
        "ü b@a.test", sender="me@home.test", body=HEADER.encode() + b"\r\nbody\r\n", smtputf8=True, eight_bit=True
    )
    message = home.wait_message()
    (mail,) = [c.line for session in home.sessions for c in session.commands if c.verb == "MAIL"]
    assert mail == "MAIL FROM:<>" and message.data.isascii()
    people, programs, original = parts(message.data)
    assert '<"ü b"@a.test>' in people.get_content() and "5.6.7" in people.get_content()
    assert programs.get_content_type() == "message/delivery-status"
    _general, block = programs.get_payload()
    assert block["Final-Recipient"] == r'utf-8; "\x{FC}\x{20}b"@a.test' and block["Status"] == "5.6.7"
    assert original.get_content_type() == "message/global-headers"
    assert original["Content-Transfer-Encoding"] == "quoted-printable"
    assert quopri.decodestring(raw_body(message.data, 2)).decode().replace("\n", "\r\n").replace("\r\r", "\r") == HEADER


def test_a_sender_with_an_address_in_utf8_is_told_in_utf8(relaying):
    relaying.peer("a.test", keywords=UTF8, replies={"RCPT": "550 5.1.1 niemand heißt so"})
    home = relaying.peer("home.test", keywords=UTF8)
    relaying.put("ü@a.test", "plain@a.test", sender='"ich selbstä"@home.test', body=HEADER.encode(), smtputf8=True)
    message = home.wait_message()
    (mail,) = [c.line for session in home.sessions for c in session.commands if c.verb == "MAIL"]
    assert mail == "MAIL FROM:<> BODY=8BITMIME SMTPUTF8"
    assert tuple(message.recipients) == ('"ich selbstä"@home.test',)
    assert b'\r\nTo: <"ich selbst\xc3\xa4"@home.test>\r\n' in message.data
    people, programs, original = parts(message.data)
    assert "<ü@a.test>" in people.get_content()
    assert programs.get_content_type() == "message/global-delivery-status"
    assert programs["Content-Transfer-Encoding"] == original["Content-Transfer-Encoding"] == "8bit"
    facts = raw_body(message.data, 1).decode()
    assert "\r\nFinal-Recipient: utf-8; ü@a.test\r\n" in facts
    assert "\r\nFinal-Recipient: rfc822; plain@a.test\r\n" in facts
    assert "\r\nDiagnostic-Code: smtp; 550 5.1.1 niemand heißt so\r\n" in facts
    assert original.get_content_type() == "message/global-headers" and raw_body(message.data, 2).decode() == HEADER


def test_a_sender_in_utf8_whose_host_does_not_offer_it_cannot_be_told(relaying):
    relaying.peer("a.test", keywords=UTF8, replies={"RCPT": "550 5.1.1 no"})
    home = relaying.peer("home.test", keywords=("8BITMIME",))
    relaying.put("x@a.test", sender="ü@home.test", smtputf8=True)
    line = relaying.log.wait("relay.dropped")
    assert (line["recipients"], line["reason"]) == ("ü@home.test", "it is a notification itself")
    assert relaying.attempt("home.test", result="failed")["reason"].startswith("5.6.7 ")
    relaying.settled(int(line["id"], 16))
    assert not home.messages and relaying.store.count() == 0


def test_a_mailbox_here_is_told_in_the_letters_of_its_address(relaying):
    relaying.peer("a.test", keywords=("8BITMIME",))
    relaying.put("ü@a.test", smtputf8=True)
    envelope, text = relaying.notification()
    assert envelope.recipients == (Recipient("u1", "example.test", True),)
    assert not envelope.smtputf8 and not envelope.eight_bit and text.isascii()


# --- the form -------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["ü@a.test", '"ü b"@a.test', "ü+x=y@a.test", '"\\\\ü"@a.test', "用户😀@a.test"])
def test_an_address_is_written_so_that_it_can_be_read_back(address):
    text = report(address)
    block = parts(text)[1].get_payload()[1]
    kind, escaped = block["Final-Recipient"].split("; ", 1)
    # RFC 6533 section 3: utf-8-addr-xtext.
    assert kind == "utf-8" and re.fullmatch(r"(?:[!-*,-<>-\[\]-~]|\\x\{[0-9A-F]{2,6}\})+", escaped)
    assert unescaped(escaped) == address and text.isascii()


def test_a_plain_address_stays_one_of_the_old_type():
    assert "rfc822; x@a.test" == parts(report("x@a.test"))[1].get_payload()[1]["Final-Recipient"]


@pytest.mark.parametrize("sender", ["u1@example.test", "ü@example.test"])
@pytest.mark.parametrize(
    ("header", "marked", "kind", "shown"),
    [
        (HEADER.encode(), True, "message/global-headers", HEADER),
        (HEADER.encode(), False, "text/rfc822-headers", HEADER.replace("ü", "??").replace("ß", "??")),
        (b"Subject: gr\xfcn\r\n", True, "text/rfc822-headers", "Subject: gr?n\r\n"),
        (b"Subject: plain\r\n", True, "text/rfc822-headers", "Subject: plain\r\n"),
        (b"Subject: a\0b\rc\r\n", True, "text/rfc822-headers", "Subject: a?b\r\nc\r\n"),
    ],
)
def test_the_header_of_the_message(header, marked, kind, shown, sender):
    text = report(header=header, sender=sender, smtputf8=marked)
    original = parts(text)[2]
    found = raw_body(text, 2)
    if original["Content-Transfer-Encoding"] == "quoted-printable":
        found = quopri.decodestring(found)
    assert (original.get_content_type(), found.decode()) == (kind, shown)


@pytest.mark.parametrize("sender", ["u1@example.test", "ü@example.test"])
def test_what_anybody_says_ends_no_field_and_no_part(sender):
    said = "no\r\nX: y\n\u2028--\x85" + notification.id_text(8) + "/0"
    about = Undelivered("ü\r\nX: y@a.test", Outcome(FAILED, "5.1.1", said, 550), "mx\r\nX: y")
    envelope = Envelope(7, sender, (), received=0.0, smtputf8=True)
    header = f"Subject: x\r\n --{notification.id_text(8)}/0--\r\nX-U: ü--{notification.id_text(8)}/1\r\n".encode()
    text = notification.failure(HOST_NAME, envelope, header, 8, 0.0, [about])
    assert text.count(b"\n") == text.count(b"\r\n") == text.count(b"\r")
    assert b"\r\nX: y" not in text and len(parts(text)) == 3


def test_a_notification_about_plain_mail_is_what_it_always_was():
    text = notification.failure(HOST_NAME, Envelope(7, "a@b.test", ()), BODY.partition(b"\r\n\r\n")[0], 8, 0.0, [])
    assert text.isascii() and b"utf-8" not in text and b"Content-Transfer-Encoding" not in text
