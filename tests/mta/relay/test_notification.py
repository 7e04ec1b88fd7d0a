# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What senders are told: when, once, by what words, and when nobody is."""

from __future__ import annotations

import email
import email.policy
import re
from email.utils import parsedate_to_datetime

import pytest
from flufl.bounce import all_failures
from postern.delivery import notification
from postern.delivery.notification import Undelivered
from postern.delivery.outcome import DEFERRED, FAILED, MAX_PEER_TEXT, Outcome
from postern.queue.store import Envelope, Recipient, id_text
from remote_harness import BODY, DAY, HOST_NAME, HOUR, Relaying

NOBODY = {"RCPT": "550 5.1.1 <x@a.test> no such user"}


@pytest.fixture
def relaying(tmp_path):
    """A queue that is sent from."""
    with Relaying(tmp_path) as relaying:
        yield relaying


def parts(text: bytes) -> tuple[str, list[dict], str]:
    """The text for people, the fields of each block for programs, and the header of the message."""
    report = email.message_from_bytes(text, policy=email.policy.default)
    assert report.get_content_type() == "multipart/report" and report.get_param("report-type") == "delivery-status"
    people, programs, original = report.iter_parts()
    assert programs.get_content_type() == "message/delivery-status"
    assert original.get_content_type() == "text/rfc822-headers"
    return people.get_content(), [dict(block.items()) for block in programs.get_payload()], original.get_payload()


# --- when -----------------------------------------------------------------------------------------


def test_a_refused_message_goes_back_to_its_sender(relaying):
    peer = relaying.peer("a.test", replies=NOBODY)
    number = relaying.put("x@a.test", "y@a.test")
    envelope, text = relaying.notification()
    relaying.settled(number)
    assert (envelope.sender, envelope.recipients) == ("", (Recipient("u1", "example.test", True),))
    people, (general, *recipients), original = parts(text)
    assert general["Reporting-MTA"] == f"dns; {HOST_NAME}" and general["X-Queue-ID"] == id_text(number)
    assert [block["Final-Recipient"] for block in recipients] == ["rfc822; x@a.test", "rfc822; y@a.test"]
    for block in recipients:
        assert (block["Action"], block["Status"]) == ("failed", "5.1.1")
        assert block["Remote-MTA"] == f"dns; {peer.behaviour.name}"
        assert block["Diagnostic-Code"] == "smtp; 550 5.1.1 <x@a.test> no such user"
        assert parsedate_to_datetime(block["Last-Attempt-Date"]).timestamp() == relaying.now
    assert parsedate_to_datetime(general["Arrival-Date"]).timestamp() == relaying.now
    assert "There is no such address. Check how it is written." in people and id_text(number) in people
    assert all_failures(email.message_from_bytes(text)) == (set(), {b"x@a.test", b"y@a.test"})
    assert f"{peer.behaviour.name} said: 550 5.1.1" in people
    assert original == "From: u1@example.test\r\nSubject: hello\r\n"
    (line,) = relaying.log.all("relay.notification")
    assert (line["about"], line["kind"], line["recipient"]) == (id_text(number), "failed", "u1@example.test")


def test_a_notification_for_a_sender_elsewhere_is_relayed(relaying):
    relaying.peer("a.test", replies=NOBODY)
    home = relaying.peer("home.test")
    relaying.put("x@a.test", sender='"the sender"@home.test')
    message = home.wait_message()
    assert (message.sender, tuple(message.recipients)) == ("", ('"the sender"@home.test',))
    assert parts(message.data)[1][1]["Status"] == "5.1.1"


@pytest.mark.parametrize(
    ("sender", "reason"),
    [("", "it is a notification itself"), ("gone@example.test", "its sender has no mailbox here")],
)
def test_what_nobody_can_be_told_is_logged(relaying, sender, reason):
    relaying.peer("a.test", replies=NOBODY)
    number = relaying.put("x@a.test", "y@a.test", sender=sender)
    line = relaying.log.wait("relay.dropped")
    assert (line["id"], line["reason"], line["recipients"]) == (id_text(number), reason, "x@a.test y@a.test")
    relaying.settled(number)
    assert relaying.store.count() == 0 and not relaying.log.all("relay.notification")


def test_a_domain_that_does_not_exist_is_told_at_once(relaying):
    relaying.put("x@no-such.test")
    _general, block = parts(relaying.notification()[1])[1]
    # Nobody said this over SMTP.
    assert block["Status"] == "5.1.2" and "Diagnostic-Code" not in block and "Remote-MTA" not in block


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [({"starttls": False}, "4.7.4"), ({"starttls": "refused"}, "4.7.4"), ({"starttls": "broken"}, "4.7.5"),
     ({"banner": "554 5.3.2 go away"}, "4.3.2")],
)  # fmt: skip
def test_required_tls_that_is_not_to_be_had_goes_back_after_five_days_and_not_before(relaying, behaviour, status):
    relaying.script('set (tlsLevel, "encrypt");')
    peer = relaying.peer("a.test", **behaviour)
    accepted = relaying.now
    number = relaying.put("x@a.test")
    count = 1
    while (line := relaying.attempt("a.test", count))["result"] == "deferred":
        assert line["reason"].startswith(status) and line["retry"] > 0
        relaying.go(line["retry"])
        count += 1
    assert line["result"] == "failed" and line["reason"].startswith(f"given up after 5.0 days: {status}")
    assert relaying.now == accepted + 5 * DAY
    relaying.settled(number)
    _general, block = parts(relaying.notification(kind="failed")[1])[1]
    assert (block["Action"], block["Status"]) == ("failed", status)
    assert len(relaying.log.all("relay.notification")) == 2
    peer.close()
    assert all(
        command.verb in ("EHLO", "STARTTLS", "QUIT") for session in peer.sessions for command in session.commands
    )


def test_a_delay_is_told_once_for_all_domains(relaying):
    relaying.peer("a.test", "b.test", banner="450 4.3.2 not now")
    accepted = relaying.now
    relaying.put("x@a.test", "y@b.test")
    count = 1
    while not relaying.log.all("relay.notification"):
        wait = relaying.attempt("a.test", count)["retry"]
        assert relaying.attempt("b.test", count)["retry"] == wait
        assert relaying.now <= accepted + 4 * HOUR
        relaying.go(wait)
        count += 1
        if relaying.now == accepted + 4 * HOUR:
            relaying.log.wait("relay.notification")
    _envelope, text = relaying.notification(kind="delayed")
    people, (_general, *recipients), _original = parts(text)
    assert {block["Final-Recipient"] for block in recipients} == {"rfc822; x@a.test", "rfc822; y@b.test"}
    assert {(block["Action"], block["Status"]) for block in recipients} == {("delayed", "4.3.2")}
    assert all("Will-Retry-Until" in block for block in recipients) and "You need not do anything" in people
    for domain in ("a.test", "b.test"):
        relaying.attempt(domain, count)
    relaying.go(4 * HOUR)
    for domain in ("a.test", "b.test"):
        relaying.attempt(domain, count + 1)
    assert len(relaying.log.all("relay.notification")) == 1


def test_nobody_is_told_that_a_notification_is_late(relaying):
    relaying.peer("a.test", banner="450 4.3.2 not now")
    number = relaying.put("x@a.test", sender="", age=5 * HOUR)
    assert relaying.attempt("a.test")["result"] == "deferred"
    relaying.go(4 * DAY)
    relaying.attempt("a.test", 2)
    relaying.go(DAY)
    relaying.settled(number)
    assert relaying.log.wait("relay.dropped")["recipients"] == "x@a.test"
    assert not relaying.log.all("relay.notification")


def test_mail_that_became_old_while_the_server_was_off_is_tried_before_it_goes_back(relaying):
    good, bad = relaying.peer("a.test"), relaying.peer("b.test", banner="450 4.3.2 not now")
    relaying.put("x@a.test", "y@b.test", age=7 * DAY)
    assert relaying.attempt("a.test")["result"] == "sent" and relaying.attempt("b.test")["result"] == "failed"
    assert len(good.messages) == 1 and bad.sessions
    assert [block.get("Final-Recipient") for block in parts(relaying.notification()[1])[1]] == [
        None,
        "rfc822; y@b.test",
    ]


# --- what ----------------------------------------------------------------------------------------


def report(header: bytes = b"Subject: x\r\n", *undelivered: Undelivered, sender: str = "a@example.test") -> bytes:
    """A notification of failure."""
    envelope = Envelope(5, sender, (), received=1_700_000_000.0)
    found = undelivered or (Undelivered("x@a.test", Outcome(FAILED, "5.1.1", "no", 550), "mx.a.test"),)
    return notification.failure(HOST_NAME, envelope, header, 6, 1_700_000_100.0, found)


def test_the_header_of_a_notification():
    found = email.message_from_bytes(report(), policy=email.policy.default)
    assert found["From"] == f"Mail Delivery System <postmaster@{HOST_NAME}>" and found["To"] == "a@example.test"
    assert found["Auto-Submitted"] == "auto-replied" and found["MIME-Version"] == "1.0"
    assert found["Message-ID"] == f"<{id_text(6)}@{HOST_NAME}>"
    assert found["Date"].datetime.timestamp() == 1_700_000_100 and not found.defects


@pytest.mark.parametrize(
    "said",
    ["no\r\nAction: delivered", "no\r\n\r\nFinal-Recipient: rfc822; other@a.test", "\x00\x1b[2J",
     "ünïcode \u2028 text", "x" * 5000, "=?utf-8?q?x?="],
)  # fmt: skip
def test_what_a_peer_says_stays_one_value(said):
    """It comes cleaned; this is about what happens if it ever does not."""
    bad = Undelivered("x@a.test", Outcome(FAILED, "5.1.1", said, 550), "mx\r\nX: y")
    people, (general, block), _original = parts(report(b"Subject: x\r\n", bad))
    assert set(general) == {"Reporting-MTA", "X-Queue-ID", "Arrival-Date"}
    assert set(block) == {"Final-Recipient", "Action", "Status", "Remote-MTA", "Diagnostic-Code"}
    assert block["Action"] == "failed" and block["Final-Recipient"] == "rfc822; x@a.test"
    assert re.fullmatch(r"[ -~\r\n]*", people)


def test_a_thousand_refused_recipients_are_all_named_and_the_notification_stays_small():
    """Every one with the longest answer that a peer can give: who it was and the status never fall away."""
    said = f"5.7.1 {'n' * (MAX_PEER_TEXT - 6)}"
    bad = [Undelivered(f"r{n:04}@a.test", Outcome(FAILED, "5.7.1", said, 550), "mx.a.test", 1.0) for n in range(1000)]
    text = report(b"X: y\r\n" * 5000, *bad)
    people, (_general, *blocks), _original = parts(text)
    assert [block["Final-Recipient"] for block in blocks] == [f"rfc822; {each.address}" for each in bad]
    assert {(block["Action"], block["Status"]) for block in blocks} == {("failed", "5.7.1")}
    assert "Diagnostic-Code" in blocks[0] and "Diagnostic-Code" not in blocks[-1]
    assert people.count("@a.test>") == 100 and "There are 900 more" in people
    assert len(all_failures(email.message_from_bytes(text))[1]) == 1000
    # A header of 30 KiB is among it.
    assert len(text) < 256 * 1024


def test_recipients_with_the_same_reason_are_told_together():
    outcomes = [Outcome(FAILED, "5.2.2", "full", 552), Outcome(FAILED, "5.1.1", "no", 550)]
    bad = [Undelivered(f"r{n}@a.test", outcomes[n % 2], "mx.a.test") for n in range(4)]
    people = parts(report(b"", *bad))[0].replace("\r\n", "\n")
    full, unknown = people.partition("<r1@a.test>")[::2]
    assert "<r0@a.test>\n<r2@a.test>\n    The mailbox is full." in full and people.count("The mailbox is full.") == 1
    assert unknown.startswith("\n<r3@a.test>\n    There is no such address.")


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [(Outcome(FAILED, "4.3.0", "an error of this server: KeyError: 'secret'"), "problem of its own"),
     (Outcome(FAILED, "4.3.5", "relay host secret: no route"), "problem of its own"),
     (Outcome(FAILED, "4.7.8", "the peer refused the login of secret"), "problem of its own"),
     (Outcome(FAILED, "4.4.3", "secret names no name server"), "cannot be found for now")],
)  # fmt: skip
def test_people_are_not_told_what_is_for_the_operator(outcome, shown):
    text = report(b"", Undelivered("x@a.test", outcome))
    assert b"secret" not in text and shown in parts(text)[0]


def test_people_are_told_what_the_policy_asked_for():
    text = report(b"", Undelivered("x@a.test", Outcome(FAILED, "4.7.4", "TLS is required, and the peer has none")))
    people = parts(text)[0]
    assert "must travel protected" in people and "4.7.4 TLS is required" in people


def test_no_line_is_longer_than_a_line_of_mail():
    """The header came from who takes longer lines, and a peer may have said anything."""
    bad = Undelivered("x@a.test", Outcome(FAILED, "5.0.0", "n" * 5000, 550), "m" * 5000)
    text = report(b"Subject: " + b"s" * 5000 + b"\r\nX: y\r\n", bad)
    assert max(map(len, text.split(b"\r\n"))) <= 998 and b"s\r\nX: y\r\n" in text


@pytest.mark.parametrize(
    "sender", ['"a b"@example.test', '"a\\"b,<c>"@example.test', '"=?utf-8?q?x?="@example.test', "a@[192.0.2.1]",
               "a!b%c@example.test", "a.@example.test", f"{'a' * 64}@{'b' * 60}.{'c' * 60}.test"]
)  # fmt: skip
def test_any_sender_can_be_written_to(sender):
    assert f"\r\nTo: <{sender}>\r\n".encode() in report(sender=sender)


def test_a_notification_is_seven_bit_text_with_the_right_line_ends():
    text = report("Subject: grün\r\nFrom someone\r\n.dot: x\r\nX: y\r\n z\r\n".encode())
    assert text.isascii() and text.count(b"\n") == text.count(b"\r\n") == text.count(b"\r")
    assert b"\r\nSubject: gr??n\r\nFrom someone\r\n.dot: x\r\nX: y\r\n z\r\n" in text


@pytest.mark.parametrize(
    ("body", "header"),
    [(BODY, b"From: u1@example.test\r\nSubject: hello\r\n"), (b"", b""), (b"no line end", b""),
     (b"A: b\r\n", b"A: b\r\n"), (b"\r\nbody only\r\n", b""), (b"A: b\r\n\r\n", b"A: b\r\n")],
)  # fmt: skip
def test_the_header_of_a_message(body, header):
    assert notification.header_of(body) == header


def test_a_header_without_end_is_cut():
    body = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 90) for n in range(2000))
    header = notification.header_of(body)
    assert body.startswith(header) and header.endswith(b"y\r\n")
    assert notification.MAX_HEADER - 200 < len(header) <= notification.MAX_HEADER + 2


@pytest.mark.parametrize(
    "outcome",
    [Outcome(DEFERRED, "4.2.1", "4.2.1 later", 450), Outcome(DEFERRED, "4.0.0", "later", 450),
     Outcome(DEFERRED, "4.0.0", "", 450), Outcome(DEFERRED, "4.7.4", "TLS is required")],
)  # fmt: skip
def test_the_reason_that_the_queue_keeps_says_it_all(outcome):
    assert notification.parse_status(str(outcome)) == outcome


def test_a_reason_of_unknown_form():
    assert notification.parse_status("odd") == Outcome(DEFERRED, "4.0.0", "odd")
