# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Peers that misbehave, and that come to their senses: nothing is lost, nothing is sent in clear, nothing hangs."""

from __future__ import annotations

import signal
import time

import pytest
import relay_lab
from relay_lab import PATIENCE


@pytest.fixture
def lab(busy_lab):
    """Every test here is about the lab that tries again after a moment."""
    return busy_lab


@pytest.fixture
def peer(busy_peer):
    """Its peers."""
    return busy_peer


@pytest.fixture
def start(lab, peer, domain):
    """A function: a peer with this behaviour takes the domain's mail, and a message is on its way to it."""

    def begin(level="may", recipients=("r",), **behaviour):
        sink = peer(f"mx.{domain}", certificate=lab.certificate(f"mx.{domain}"), **behaviour)
        lab.mx(domain, f"mx.{domain}")
        lab.policy(tlsLevel=level)
        lab.submit(*(f"{name}@{domain}" for name in recipients))
        return sink

    return begin


def recovered(lab, sink, domain, protocol="TLSv1.3", **normal):
    """Once the peer behaves, the message comes, once, inside TLS."""
    sink.change(**normal)
    event = lab.attempt(domain, result="sent")
    assert (event["protocol"], event["fallback"]) == (protocol or "", False)
    assert [message.protocol for message in sink.messages] == [protocol]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({"banner": b"\x00\x01\x02 garbage\r\n"}, "4.5.0"),
        ({"banner": b"SSH-2.0-OpenSSH_9.6\r\n"}, "4.5.0"),
        ({"banner": b"HTTP/1.0 400 Bad Request\r\n\r\n"}, "4.5.0"),
        ({"banner": b"220-" + b"x" * 200000}, "4."),
        ({"closes": "CONNECT"}, "4.4.2"),
        ({"closes": "EHLO"}, "4.4.2"),
        ({"closes": "MAIL"}, "4.4.2"),
        ({"closes": "RCPT"}, "4.4.2"),
        ({"closes": "DATA"}, "4.4.2"),
        ({"closes": "CONTENT"}, "4.4.2"),
        ({"closes": "."}, "4.4.2"),
        ({"banner": "421 4.3.2 Not today"}, "4.3.2"),
        ({"banner": "554 5.3.2 No mail here"}, "4.3.2"),
        ({"replies": {"EHLO": "451 4.3.0 Busy"}}, "4.3.0"),
        ({"replies": {"MAIL": "421 4.7.0 Too much"}}, "4.3.2 the peer ended"),
        ({"replies": {"MAIL": "450 4.7.1 Greylisted"}}, "450 4.7.1 Greylisted"),
        ({"replies": {"RCPT": "450 4.2.1 Mailbox busy"}}, "450 4.2.1 Mailbox busy"),
        ({"replies": {"DATA": "451 4.3.0 Later"}}, "451 4.3.0 Later"),
        ({"replies": {".": "452 4.3.1 Disk full"}}, "452 4.3.1 Disk full"),
    ],
    ids=str,
)
def test_a_peer_that_recovers_gets_the_message_in_the_end(lab, start, domain, behaviour, reason):
    sink = start("encrypt", **behaviour)
    event = lab.attempt(domain)
    assert (event["result"], event["reason"][: len(reason)]) == ("deferred", reason), event
    assert not sink.messages and 0 < event["retry"] < 10
    recovered(lab, sink, domain, closes="", banner=None, replies={})


@pytest.mark.parametrize("moment", ["CONNECT", "EHLO", "HANDSHAKE", "RCPT", "CONTENT", "."])
def test_a_peer_that_never_answers_is_left(lab, start, domain, moment):
    sink = start("encrypt", silent=moment)
    event = lab.attempt(domain)
    assert (event["result"], event["reason"][:2]) == ("deferred", "4.")
    assert not sink.messages
    recovered(lab, sink, domain, silent="")


def test_a_handshake_without_an_answer_is_a_failed_one(lab, start, domain):
    """At level "may" the message goes in clear then: the limit for the handshake is not the end of the attempt."""
    sink = start("may", silent="HANDSHAKE")
    event = lab.attempt(domain)
    assert (event["result"], event["reached"], event["fallback"]) == ("sent", "clear", True)
    assert [message.protocol for message in sink.messages] == [None]


def test_nobody_waits_for_a_silent_peer(lab, start, peer, domain):
    """While one peer keeps silent another one gets its mail."""
    silent = start("may", silent="CONNECT")
    silent.wait_session(lambda session: True)
    other = peer(f"mx.b{domain}", certificate=lab.certificate(f"mx.b{domain}"))
    lab.mx(f"b{domain}", other.behaviour.name)
    lab.submit(f"r@b{domain}")
    assert lab.attempt(f"b{domain}")["result"] == "sent"
    assert not lab.events.all("relay.attempt", domain=domain) and not silent.sessions[0].ended


def test_each_recipient_has_its_own_fate(lab, start, domain):
    replies = {f"RCPT full@{domain}": "452 4.2.2 Full", f"RCPT none@{domain}": "550 5.1.1 Nobody"}
    sink = start("verify", ("good", "full", "none"), replies=replies)
    assert lab.attempt(domain, result="sent")["recipients"] == 1
    assert lab.attempt(domain, result="deferred")["reason"] == "452 4.2.2 Full"
    assert lab.attempt(domain, result="failed")["reason"] == "550 5.1.1 Nobody"
    assert sink.messages[0].recipients == (f"good@{domain}",)
    sink.change(replies={})
    sink.wait_message(lambda message: message.recipients == (f"full@{domain}",))
    assert not [message for message in sink.messages if f"none@{domain}" in message.recipients]
    notification = wait_text(lab, f"none@{domain}")
    assert "5.1.1" in notification and f"good@{domain}" not in notification.partition("text/rfc822-headers")[0]


@pytest.mark.parametrize(
    "replies",
    [{"MAIL": "550 5.7.1 Not you"}, {"RCPT": "550 5.1.1 Nobody"}, {"DATA": "554 5.6.0 No"}, {".": "552 5.3.4 Too big"}],
    ids=str,
)
def test_what_a_peer_refuses_for_good_goes_back_to_the_sender(lab, start, domain, replies):
    sink = start("encrypt", replies=replies)
    (text,) = replies.values()
    event = lab.attempt(domain)
    assert (event["result"], event["reason"]) == ("failed", text)
    notification = wait_text(lab, f"r@{domain}")
    assert f"Status: {text.split(' ')[1]}" in notification and text in notification
    assert len(lab.events.all("relay.attempt", domain=domain)) == 1 and len(sink.sessions) == 1


def test_a_required_tls_that_comes_back_is_used(lab, start, domain):
    sink = start("encrypt", starttls=False)
    assert lab.attempt(domain, 3)["reason"].startswith("4.7.4")
    sink.change(starttls=True, versions=("TLSv1", "TLSv1.1"))
    sink.wait_session(lambda session: bool(session.tls_error))
    recovered(lab, sink, domain, "TLSv1.2", versions=("TLSv1.2", "TLSv1.2"))
    reasons = {event["reason"][:5] for event in lab.events.all("relay.attempt", domain=domain, result="deferred")}
    assert reasons == {"4.7.4", "4.7.5"}
    assert {verb for session in sink.sessions for verb in session.clear_verbs} == {"EHLO", "STARTTLS", "QUIT"}


def test_a_stricter_rule_holds_for_what_waits_already(lab, start, domain):
    sink = start("may", starttls=False, replies={"MAIL": "451 4.3.0 Later"})
    lab.attempt(domain)
    lab.policy(tlsLevel="encrypt")
    sink.change(replies={})
    before = len(lab.events.all("relay.attempt", domain=domain))
    # The attempt under way may still be one of the old rule, but the peer takes nothing in it.
    assert lab.attempt(domain, level="encrypt")["reason"].startswith("4.7.4") and before
    recovered(lab, sink, domain, starttls=True)


def test_what_waits_survives_the_end_of_the_server(tmp_path, authority):
    with relay_lab.Lab(tmp_path, authority, retry=(0.2,)) as lab:
        sink = lab.peer("mx.later.test", certificate=lab.certificate("mx.later.test"), starttls=False)
        with sink:
            lab.mx("later.test", "mx.later.test")
            lab.policy(tlsLevel="verify")
            numbers = {lab.submit("r@later.test", subject=f"message {count}") for count in range(5)}
            for number in (signal.SIGTERM, signal.SIGKILL):
                # One of them finds out for all.
                before = len(lab.events.all("relay.attempt", domain="later.test"))
                assert lab.attempt("later.test", before + 1)["reason"].startswith("4.7.4")
                lab.restart(number)
            sink.change(starttls=True)
            for each in numbers:
                assert lab.attempt("later.test", id=each, result="sent")["reached"] == "verify"
            subjects = {line for message in sink.messages for line in message.data.split(b"\r\n") if b"Subject" in line}
            assert subjects == {b"Subject: message %d" % count for count in range(5)}


def test_a_message_that_lasts_too_long_goes_back_and_is_not_sent_any_more(tmp_path, authority):
    """The lifetime is days; here it is a moment."""
    with relay_lab.Lab(tmp_path, authority, retry=(0.2,), lifetime=2, warn_after=1) as lab:
        with lab.peer("mx.never.test", certificate=lab.certificate("mx.never.test"), starttls=False) as sink:
            lab.mx("never.test", "mx.never.test")
            lab.policy(tlsLevel="encrypt")
            lab.submit("r@never.test")
            delayed = wait_text(lab, "Action: delayed")
            assert "4.7.4" in delayed
            failed = wait_text(lab, "Action: failed")
            assert "4.7.4" in failed or "5." in failed
            assert {verb for session in sink.sessions for verb in session.verbs} == {"EHLO", "QUIT"}


def wait_text(lab, *words):
    """The text of the first message in the sender's mailbox that holds these words."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for path in lab.mailbox().glob("*") if lab.mailbox().is_dir() else ():
            text = path.read_text()
            if all(word in text for word in words):
                return text
        # The mailbox is a folder: there is nobody who could say that something came.
        time.sleep(0.02)
    raise AssertionError(f"no message with {words}; the log says {lab.events.text()[-3000:]}")
