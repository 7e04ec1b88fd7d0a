# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a message needs and the next host does not offer, from the submission to the mailbox of its sender."""

from __future__ import annotations

import email
import email.policy

import pytest
from flufl.bounce import all_failures

_FIELDS = b"From: u1@example.test\r\nSubject: hello\r\n"
_PLAIN = _FIELDS + b"\r\nHello\r\n"
_EIGHT_BIT = _FIELDS + "\r\nGrüße\r\n".encode()
_WIDE = "From: u1@example.test\r\nSubject: Grüße\r\n\r\nHello\r\n".encode()

#: What the host offers, the parameters of MAIL, the message, the status, and what people read.
LACKING = {
    "SIZE": (("SIZE 100",), "", _PLAIN, "5.3.4", "Send it smaller"),
    "8BITMIME": (("SIZE",), "BODY=8BITMIME", _EIGHT_BIT, "5.6.3", "quoted-printable or base64"),
    "SMTPUTF8, for the header": (("8BITMIME",), "BODY=8BITMIME SMTPUTF8", _WIDE, "5.6.7", "plain letters"),
}
ALL = ("SIZE 100000", "8BITMIME", "SMTPUTF8")


@pytest.fixture(autouse=True)
def opportunistic(lab):
    """Whatever policy a test of another file left with the lab, here peers without STARTTLS are good enough."""
    lab.policy()


def parts(text: bytes) -> tuple[str, list, object]:
    """The text for people, the facts about each recipient, and the part with the header of the message."""
    report = email.message_from_bytes(text, policy=email.policy.default)
    assert report["Return-Path"] == "<>" and report["Auto-Submitted"] == "auto-replied"
    assert not [defect for part in report.walk() for defect in part.defects]
    people, facts, original = report.iter_parts()
    return people.get_content(), list(facts.get_payload())[1:], original


@pytest.mark.parametrize("keyword", LACKING)
def test_what_the_next_host_lacks_comes_back_and_says_why(lab, peer, domain, keyword):
    offered, options, content, status, advice = LACKING[keyword]
    host = peer(f"mx.{domain}", starttls=False, keywords=offered)
    lab.mx(domain, f"mx.{domain}")
    number = lab.submit(f"r@{domain}", options=options, content=content)
    found = lab.notification(number)
    people, (fact,), _original = parts(found)
    assert (fact["Action"], fact["Status"], fact["Final-Recipient"]) == ("failed", status, f"rfc822; r@{domain}")
    assert fact["Remote-MTA"] == f"dns; mx.{domain}" and advice in people
    assert all_failures(email.message_from_bytes(found)) == (set(), {f"r@{domain}".encode()})
    # Nothing of the message was said to the host, not even whom it is for.
    assert host.wait_session().verbs == ("EHLO", "QUIT")
    # It is what the host offers that made the difference.
    host.change(keywords=ALL)
    lab.submit(f"r@{domain}", options=options, content=content)
    assert host.wait_message().data.endswith(content.partition(b"\r\n\r\n")[2])


def test_only_the_address_that_needs_smtputf8_comes_back(lab, peer, domain):
    host = peer(f"mx.{domain}", starttls=False, keywords=("8BITMIME",))
    lab.mx(domain, f"mx.{domain}")
    number = lab.submit(f"jürgen@{domain}", f"r@{domain}", options="SMTPUTF8", content=_PLAIN)
    people, (fact,), original = parts(lab.notification(number))
    assert (fact["Status"], fact["Final-Recipient"]) == ("5.6.7", rf"utf-8; j\x{{FC}}rgen@{domain}")
    assert f"<jürgen@{domain}>" in people and original.get_content_type() == "text/rfc822-headers"
    assert host.wait_message().recipients == (f"r@{domain}",)
