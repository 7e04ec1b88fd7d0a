# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Days of a message that nobody takes, real peers, a clock that is moved: when it is tried, told of, given up."""

from __future__ import annotations

import email
import email.policy
import threading
from email.utils import parsedate_to_datetime

import pytest
from flufl.bounce import all_failures
from postern.delivery.schedule import Schedule
from postern.queue.store import id_text
from remote_harness import DAY, HOUR, MINUTE, PATIENCE, Relaying

#: Minutes after which a message is tried: as its operator wrote them, and when its sender is told, after four hours.
FIRST = [0, 5, 20, 50, 110, 230, 240]
ONE_DAY = [*FIRST, 480, 720, 960, 1200, 1440]
FIVE_DAYS = [*FIRST, *range(480, 7200 + 1, 240)]

#: How a peer can fail for now, and the status that this has.
TROUBLES = {
    "it answers 4xx to RCPT": ({"replies": {"RCPT": "450 4.2.1 not now"}}, "4.2.1"),
    "it greets with 4xx": ({"banner": "421 4.3.2 not now"}, "4.3.2"),
    "it closes": ({"closes": "MAIL"}, "4.4.2"),
    "it is not there": (None, "4.4.1"),
}


@pytest.fixture
def relaying(tmp_path):
    """A queue that is sent from."""
    with Relaying(tmp_path) as relaying:
        yield relaying


def walk(relaying, domain: str, accepted: float, at=lambda _minute: None) -> tuple[list[float], dict]:
    """Move the clock from attempt to attempt until there is none; ``at`` is called between. Returns when they were, in
    minutes, and the log line of the last one."""
    moments: list[float] = []
    while True:
        line = relaying.attempt(domain, len(moments) + 1)
        moments.append((relaying.now - accepted) / MINUTE)
        if line["result"] != "deferred":
            return moments, line
        at(moments[-1])
        relaying.go(line["retry"])


def blocks(text: bytes) -> list:
    """The facts of a notification (RFC 3464): about the message, then about each recipient."""
    report = email.message_from_bytes(text, policy=email.policy.default)
    return list(list(report.iter_parts())[1].get_payload())


def nowhere(relaying, domain: str) -> None:
    """A mail exchanger that is not there."""
    relaying.zone.put(f"mx.{domain}", {"A": [relaying.address()]})
    relaying.zone.put(domain, {"MX": [f"10 mx.{domain}"]})


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_day_of_a_peer_that_takes_nothing(tmp_path, trouble):
    behaviour, status = TROUBLES[trouble]
    with Relaying(tmp_path, schedule=Schedule(lifetime=DAY)) as relaying:
        peer = None
        if behaviour is None:
            nowhere(relaying, "a.test")
        else:
            peer = relaying.peer("a.test", **behaviour)
        accepted = relaying.now
        number = relaying.put("x@a.test")
        moments, last = walk(relaying, "a.test", accepted)
        assert moments == ONE_DAY and last["reason"].startswith("given up after 1.0 days: ")
        relaying.settled(number)
        _general, late = blocks(relaying.notification(kind="delayed")[1])
        assert (late["Action"], late["Status"]) == ("delayed", status)
        # RFC 3464 sections 2.3.7 and 2.3.9.
        assert parsedate_to_datetime(late["Last-Attempt-Date"]).timestamp() == accepted + 4 * HOUR
        assert parsedate_to_datetime(late["Will-Retry-Until"]).timestamp() == accepted + DAY
        general, failed = blocks(relaying.notification(kind="failed")[1])
        assert (failed["Action"], failed["Status"]) == ("failed", status) and "Will-Retry-Until" not in failed
        assert parsedate_to_datetime(failed["Last-Attempt-Date"]).timestamp() == accepted + DAY
        assert parsedate_to_datetime(general["Arrival-Date"]).timestamp() == accepted
        assert len(relaying.log.all("relay.notification")) == 2
        if peer is not None:
            assert len(peer.wait_idle()) == len(moments)


def test_five_days_with_a_restart_after_each_part_of_them(relaying):
    """The queue on the disk is all that is left of attempts, of the notice that was given and of the time."""
    relaying.peer("a.test", banner="450 4.3.2 not now")
    accepted = relaying.now
    restarts = []

    def restart(minute: float) -> None:
        if minute in (5, 240, 2880):
            relaying.stop()
            relaying.start()
            restarts.append(minute)

    number = relaying.put("x@a.test")
    moments, last = walk(relaying, "a.test", accepted, restart)
    assert moments == FIVE_DAYS and last["reason"].startswith("given up after 5.0 days: ") and len(restarts) == 3
    relaying.settled(number)
    assert [line["kind"] for line in relaying.log.all("relay.notification")] == ["delayed", "failed"]
    assert all_failures(email.message_from_bytes(relaying.notification(kind="failed")[1])) == (set(), {b"x@a.test"})
    delayed, failed = all_failures(email.message_from_bytes(relaying.notification(kind="delayed")[1]))
    assert (delayed, failed) == ({b"x@a.test"}, set())


def test_a_hundred_messages_for_a_silent_host_are_told_and_given_up_in_time(relaying):
    """Most of them are never tried, because one message asks for all: their senders know as soon as all others."""
    peer = relaying.peer("a.test", banner="450 4.3.2 not now")
    numbers = [relaying.put(f"x{n}@a.test") for n in range(100)]
    relaying.quiet(*numbers)
    # What is put off now would be put off beyond the moment at which its sender is to be told.
    relaying.go(4 * HOUR - MINUTE)
    relaying.quiet(*numbers)
    relaying.go(MINUTE)
    relaying.log.wait("relay.notification", 100, kind="delayed")
    relaying.quiet(*numbers)
    relaying.go(5 * DAY - 4 * HOUR)
    for number in numbers:
        relaying.settled(number)
    told = [line["about"] for line in relaying.log.all("relay.notification")]
    assert sorted(told) == sorted(2 * [id_text(number) for number in numbers])
    # Five at a time find out, at each of the four moments.
    assert len(peer.wait_idle()) <= 20


# --- a clock that is set --------------------------------------------------------------------------


def test_a_clock_that_is_set_back_makes_no_mail_wait(relaying):
    peer = relaying.peer("a.test", banner="450 4.3.2 not now")
    numbers = [relaying.put("x@a.test"), relaying.put("y@a.test")]
    relaying.quiet(*numbers)
    peer.change(banner=None)
    relaying.go(-DAY)
    for number in numbers:
        relaying.settled(number)


def test_a_clock_that_was_set_back_while_the_server_was_off_makes_no_mail_wait(relaying):
    peer = relaying.peer("a.test", banner="450 4.3.2 not now")
    number = relaying.put("x@a.test")
    relaying.attempt("a.test")
    relaying.stop()
    relaying.now -= DAY
    peer.change(banner=None)
    relaying.start()
    relaying.settled(number)


def test_a_clock_that_was_ten_years_ahead_keeps_no_mail_for_ten_years(relaying):
    relaying.peer("a.test", banner="450 4.3.2 not now")
    number = relaying.put("x@a.test")
    line = relaying.attempt("a.test")
    relaying.now -= 3650 * DAY
    corrected = relaying.now
    relaying.wake()
    moments, last = walk(relaying, "a.test", corrected, lambda _minute: None)
    relaying.settled(number)
    assert line["result"] == "deferred" and last["result"] == "failed"
    # As often as ever; nobody can know how long it is.
    assert len(moments) == 1 + len(Schedule().retry) - 1 + 30
    assert 4 * DAY / MINUTE < moments[-1] < 6 * DAY / MINUTE


def test_a_clock_that_is_set_forward_gives_no_mail_up_untried(relaying):
    good, bad = relaying.peer("a.test", banner="450 4.3.2 not now"), relaying.peer("b.test", banner="450 4.3.2 not now")
    first, second = relaying.put("x@a.test"), relaying.put("x@b.test")
    for domain in ("a.test", "b.test"):
        relaying.attempt(domain)
    good.change(banner=None)
    relaying.go(30 * DAY)
    relaying.settled(first)
    relaying.settled(second)
    assert len(good.messages) == 1 and len(bad.sessions) == 2
    assert relaying.notification()[0] and len(relaying.log.all("relay.notification", kind="failed")) == 1


# --- several domains ------------------------------------------------------------------------------


def refused(relaying, *domains: str) -> None:
    """Peers of these domains, each with a host of its own, that know nobody."""
    for domain in domains:
        relaying.peer(domain, replies={"RCPT": "550 5.1.1 no such user"})


def recipients(text: bytes) -> set[str]:
    """Who a notification is about."""
    return {block["Final-Recipient"].removeprefix("rfc822; ") for block in blocks(text)[1:]}


def test_domains_that_refuse_at_the_same_time_are_told_together(relaying):
    refused(relaying, "a.test", "b.test")
    good = relaying.peer("c.test")
    number = relaying.put("x@a.test", "x@b.test", "x@no-such.test", "x@c.test")
    relaying.settled(number)
    assert recipients(relaying.notification()[1]) == {"x@a.test", "x@b.test", "x@no-such.test"}
    assert len(relaying.log.all("relay.notification")) == 1 and len(good.messages) == 1
    assert {line["domain"]: line["result"] for line in relaying.log.all("relay.attempt")} == {
        "a.test": "failed", "b.test": "failed", "no-such.test": "failed", "c.test": "sent"
    }  # fmt: skip


def test_domains_whose_mail_is_given_up_are_told_together(relaying):
    for domain in ("a.test", "b.test"):
        relaying.peer(domain, banner="450 4.3.2 not now")
    number = relaying.put("x@a.test", "x@b.test", age=5 * DAY)
    relaying.settled(number)
    assert recipients(relaying.notification()[1]) == {"x@a.test", "x@b.test"}
    assert len(relaying.log.all("relay.notification")) == 1


def test_what_waits_for_its_sender_to_be_told_is_not_lost_when_the_server_stops(relaying):
    refused(relaying, "a.test", "b.test")
    slow = relaying.peer("c.test", silent="MAIL")
    number = relaying.put("x@a.test", "x@b.test", "x@c.test")
    slow.wait_session(lambda session: "MAIL" in session.verbs)
    stopping = threading.Thread(target=relaying.stop)
    stopping.start()
    slow.close()
    stopping.join(PATIENCE)
    relaying.start()
    assert recipients(relaying.notification()[1]) == {"x@a.test", "x@b.test"}
    assert [waiting.recipient.domain for waiting in relaying.store.waiting(number).values()] == ["c.test"]


def test_a_slow_domain_does_not_keep_the_sender_from_knowing_of_others(tmp_path):
    with Relaying(tmp_path, gather=0.05, grace=0.1) as relaying:
        refused(relaying, "a.test", "b.test")
        slow = relaying.peer("c.test", silent="MAIL")
        number = relaying.put("x@a.test", "x@b.test", "x@c.test")
        told = recipients(relaying.notification()[1])
        assert told and told <= {"x@a.test", "x@b.test"}
        assert slow.wait_session(lambda session: "MAIL" in session.verbs).ended is False
        assert "c.test" in [waiting.recipient.domain for waiting in relaying.store.waiting(number).values()]
