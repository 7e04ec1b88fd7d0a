# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Delivery to other hosts: the queue's side of it. What happens within a conversation is tested on its own."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from postern.delivery import loader, remote
from postern.delivery.backlog import Backlog
from postern.delivery.conversation import Limits
from postern.delivery.destination import Bounds
from postern.delivery.schedule import Schedule
from postern.queue.store import Store, StoreError, id_text
from remote_harness import BODY, DAY, HOUR, MINUTE, PATIENCE, Relaying

PER_HOST = Bounds().per_host


@pytest.fixture
def relaying(tmp_path):
    """A queue that is sent from."""
    with Relaying(tmp_path) as relaying:
        yield relaying


def test_mail_is_delivered_and_leaves_the_queue(relaying):
    peer = relaying.peer("a.test")
    number = relaying.put("x@a.test", "odd one@a.test")
    message = peer.wait_message()
    assert (message.sender, tuple(message.recipients)) == ("u1@example.test", ("x@a.test", '"odd one"@a.test'))
    assert message.data == BODY
    line = relaying.attempt("a.test")
    assert line["id"] == id_text(number) and line["recipients"] == 2 and line["result"] == "sent"
    assert line["host"] == peer.behaviour.name and line["address"] == f"{peer.address}:{peer.port}"
    assert (line["level"], line["reached"], line["retry"], line["fallback"]) == ("none", "clear", 0, False)
    relaying.settled(number)


def test_each_domain_of_a_message_is_delivered_on_its_own(relaying):
    first, second = relaying.peer("a.test"), relaying.peer("b.test", banner="450 4.3.2 not now")
    number = relaying.put("x@a.test", "y@b.test", "u1@example.test", "z@a.test")
    assert tuple(first.wait_message().recipients) == ("x@a.test", "z@a.test")
    relaying.attempt("b.test", result="deferred")
    relaying.attempt("a.test", result="sent")
    # The local recipient is left to those who deliver to mailboxes.
    assert relaying.store.open_local() == [number] and list(relaying.store.waiting(number)) == [1]
    second.change(banner=None)
    relaying.go(5 * MINUTE)
    assert tuple(second.wait_message().recipients) == ("y@b.test",)
    relaying.attempt("b.test", result="sent")
    assert relaying.store.waiting(number) == {} and relaying.store.open_local() == [number]


def test_recipients_of_one_message_have_different_fates(relaying):
    replies = {"RCPT late@a.test": "450 4.2.1 later", "RCPT none@a.test": "550 5.1.1 no such user"}
    peer = relaying.peer("a.test", replies=replies)
    number = relaying.put("x@a.test", "late@a.test", "none@a.test")
    assert tuple(peer.wait_message().recipients) == ("x@a.test",)
    assert relaying.attempt("a.test", result="sent")["recipients"] == 1
    assert relaying.attempt("a.test", result="deferred")["reason"] == "450 4.2.1 later"
    assert relaying.attempt("a.test", result="failed")["reason"] == "550 5.1.1 no such user"
    assert len(relaying.log.all("relay.attempt")) == 3
    assert {n: w.status for n, w in relaying.store.waiting(number).items()} == {1: "450 4.2.1 later"}
    peer.change(replies={})
    relaying.go(5 * MINUTE)
    relaying.settled(number)
    assert tuple(peer.messages[1].recipients) == ("late@a.test",)


def test_what_was_queued_before_the_start_is_sent(relaying):
    relaying.stop()
    relaying.store = Store(relaying.folder / "queue.sqlite3")
    number = relaying.put("x@a.test")
    relaying.store.close()
    peer = relaying.peer("a.test")
    relaying.start()
    peer.wait_message()
    relaying.settled(number)


def test_attempts_and_reasons_survive_a_restart(relaying):
    peer = relaying.peer("a.test", banner="450 4.3.2 not now")
    number = relaying.put("x@a.test")
    for turn, wait in enumerate((5 * MINUTE, 15 * MINUTE, 30 * MINUTE), 1):
        assert relaying.attempt("a.test", turn)["retry"] == wait
        found = relaying.store.waiting(number)[0]
        assert (found.attempts, found.due, found.status[:5]) == (turn, relaying.now + wait, "4.3.2")
        relaying.stop()
        relaying.start()
        relaying.go(wait)
    relaying.attempt("a.test", 4)
    peer.change(banner=None)
    relaying.go(HOUR)
    relaying.settled(number)
    assert len(peer.messages) == 1


def test_nothing_is_tried_before_it_is_due(relaying):
    peer, other = (relaying.peer(domain, banner="450 4.3.2 not now") for domain in ("a.test", "b.test"))
    relaying.put("x@a.test")
    relaying.attempt("a.test")
    relaying.go(5 * MINUTE - 1)
    # A later message passes through all that the first would have to pass through.
    relaying.put("x@b.test")
    relaying.attempt("b.test")
    assert len(relaying.log.all("relay.attempt", domain="a.test")) == 1
    assert len(peer.sessions) == len(other.sessions) == 1


def test_a_wait_ends_by_itself(tmp_path):
    """With the clock of the host and waits of a moment: nobody wakes the delivery."""
    with Relaying(tmp_path, schedule=Schedule(retry=(0.05,)), clock=time.time) as relaying:
        relaying.peer("a.test", banner="450 4.3.2 not now")
        relaying.now = time.time()
        relaying.put("x@a.test")
        relaying.attempt("a.test", 4)


# --- rules ----------------------------------------------------------------------------------------


def test_the_rules_of_the_moment_hold_for_each_attempt(relaying):
    peer = relaying.peer("a.test")
    relaying.script('set (tlsLevel, "encrypt"); set (tlsReason, "personal data");')
    number = relaying.put("x@a.test")
    line = relaying.attempt("a.test")
    assert (line["level"], line["reached"], line["result"]) == ("encrypt", "clear", "deferred")
    assert line["level_reason"] == "personal data"
    assert line["reason"].startswith("4.7.4 ")
    relaying.script()
    relaying.go(5 * MINUTE)
    assert relaying.attempt("a.test", result="sent")["level"] == "none"
    relaying.settled(number)
    assert [len(session.messages) for session in peer.wait_idle()] == [0, 1]


def test_nothing_is_sent_while_there_are_no_rules(relaying):
    peer = relaying.peer("a.test")
    rules, relaying.rules = relaying.rules, None
    number = relaying.put("x@a.test")
    relaying.go(DAY)
    relaying.stop()
    relaying.start()
    # Whatever was begun had to come to its end before the stop.
    assert not peer.sessions and relaying.store.waiting(number)[0].attempts == 0
    relaying.rules = rules
    relaying.wake()
    peer.wait_message()
    relaying.settled(number)


def test_what_was_to_be_tried_when_sending_stopped_is_not_forgotten(relaying, monkeypatch):
    peer = relaying.peer("a.test")
    rules, asked_again = relaying.rules, threading.Event()
    # Sending stops between the look at the queue and the attempt.
    answers = iter([rules, None])

    def ask():
        for answer in answers:
            return answer
        asked_again.set()
        return None

    monkeypatch.setattr(relaying.delivery, "_rules", ask)
    number = relaying.put("x@a.test")
    assert asked_again.wait(PATIENCE)
    assert not peer.sessions and relaying.store.waiting(number)[0].attempts == 0
    monkeypatch.setattr(relaying.delivery, "_rules", lambda: rules)
    relaying.wake()
    peer.wait_message()
    relaying.settled(number)


@pytest.mark.parametrize(
    ("statement", "status"),
    [('set (tlsLevel, "dane");', "4.7.5"), ('set (allowedSSLVersions, "tls11 tls13");', "4.7.5"),
     ('set (remoteSmtpPort, "none");', "4.3.5"), ("call (m0);", "4.3.5")],
)  # fmt: skip
def test_rules_that_cannot_be_followed_defer(relaying, statement, status):
    peer = relaying.peer("a.test")
    good = relaying.rules
    # A rule with a defect of its own: it makes more calls than are allowed.
    relaying.methods = "".join(f"method m{n} {{ {f'call (m{n + 1}); ' * 9} }}\n" for n in range(8)) + "method m8 {\n}\n"
    relaying.script(statement)
    number = relaying.put("x@a.test")
    line = relaying.attempt("a.test")
    assert line["result"] == "deferred" and line["reason"].startswith(status + " ") and line["level"] == ""
    assert not peer.sessions and relaying.store.waiting(number)[0].attempts == 1
    relaying.rules = good
    relaying.go(5 * MINUTE)
    relaying.settled(number)


# --- hosts ----------------------------------------------------------------------------------------


def test_the_next_host_is_tried_at_the_same_level(relaying):
    plain, secure = relaying.peer("a.test"), relaying.peer()
    relaying.zone.put("a.test", {"MX": [f"10 {plain.behaviour.name}", f"20 {secure.behaviour.name}"]})
    relaying.script('set (tlsLevel, "encrypt");')
    relaying.put("x@a.test")
    line = relaying.attempt("a.test")
    assert line["result"] == "deferred" and line["reason"].startswith("4.7.4 ")
    for peer in (plain, secure):
        assert [command.verb for command in peer.wait_session().commands] == ["EHLO", "QUIT"]
    first = relaying.log.wait("relay.host")
    assert (first["host"], first["level"]) == (plain.behaviour.name, "encrypt")


def test_a_host_that_cannot_be_reached_hides_no_tls_problem(relaying):
    plain = relaying.peer("a.test")
    relaying.zone.put("gone.test", {"A": ["127.78.255.1"]})
    relaying.zone.put("a.test", {"MX": [f"10 {plain.behaviour.name}", "20 gone.test"]})
    relaying.script('set (tlsLevel, "encrypt");')
    relaying.put("x@a.test")
    line = relaying.attempt("a.test")
    assert line["host"] == plain.behaviour.name and line["reason"].startswith("4.7.4 ")


def test_hosts_that_are_down_are_passed_over(relaying):
    peer = relaying.peer("a.test")
    relaying.zone.put("gone.test", {"A": ["127.78.255.1"]})
    relaying.zone.put("a.test", {"MX": ["10 gone.test", f"20 {peer.behaviour.name}"]})
    relaying.put("x@a.test")
    assert relaying.attempt("a.test")["host"] == peer.behaviour.name
    relaying.zone.put("b.test", {"MX": ["10 gone.test"]})
    relaying.go(5 * MINUTE)
    relaying.put("x@b.test")
    line = relaying.attempt("b.test")
    assert line["result"] == "deferred" and line["reason"].startswith("4.4.1 ") and line["host"] == "gone.test"


# --- bounds ---------------------------------------------------------------------------------------


def test_one_host_gets_five_conversations_and_the_others_go_on(relaying):
    silent = relaying.peer("a.test", "b.test", "c.test", silent="MAIL")
    numbers = [relaying.put(f"x@{domain}.test") for domain in "abc" for _turn in range(10)]
    with silent.heard:
        assert silent.heard.wait_for(lambda: sum("MAIL" in s.verbs for s in silent.sessions) >= PER_HOST, 10)
    other = relaying.peer("d.test")
    number = relaying.put("x@d.test")
    other.wait_message()
    relaying.settled(number)
    assert len(silent.sessions) == PER_HOST
    assert sum(bool(relaying.store.waiting(each)) for each in numbers) == len(numbers)


def test_twenty_conversations_at_a_time(tmp_path):
    with Relaying(tmp_path, bounds=Bounds(connections=20, kept=0)) as relaying:
        peers = [relaying.peer(f"d{n}.test", silent="MAIL") for n in range(6)]
        for n in range(6):
            for _turn in range(PER_HOST + 1):
                relaying.put(f"x@d{n}.test")

        def busy() -> int:
            return sum("MAIL" in session.verbs for peer in peers for session in peer.sessions)

        with relaying.heard:
            assert relaying.heard.wait_for(lambda: busy() >= 20, 10)
        # Who needs no conversation is not held up by those who wait for one.
        relaying.put("x@no-such.test")
        relaying.attempt("no-such.test", result="failed")
        assert busy() == 20 and max(len(peer.sessions) for peer in peers) == PER_HOST


def test_a_backlog_larger_than_the_memory_for_it(relaying, monkeypatch):
    monkeypatch.setattr(remote, "Backlog", lambda **_hands: Backlog(limit=6, per_domain=3, hands=4, hands_per_domain=2))
    relaying.stop()
    relaying.start()
    peer = relaying.peer("a.test", "b.test", "c.test")
    numbers = [relaying.put(f"x{turn}@{domain}.test") for turn in range(10) for domain in "abc"]
    for number in numbers:
        relaying.settled(number)
    assert len(peer.messages) == len(numbers)


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_defect_behind_one_message_defers_it_and_stops_no_other(relaying, monkeypatch):
    peer = relaying.peer("a.test", "b.test")
    real = relaying.delivery._courier.deliver

    async def deliver(rules, envelope, domain, recipients, body):
        if domain == "a.test":
            raise KeyError("a defect")
        return await real(rules, envelope, domain, recipients, body)

    monkeypatch.setattr(relaying.delivery._courier, "deliver", deliver)
    number = relaying.put("x@a.test")
    assert relaying.attempt("a.test")["reason"].startswith("4.3.0 an error of this server: KeyError")
    relaying.put("x@b.test")
    relaying.attempt("b.test", result="sent")
    monkeypatch.undo()
    relaying.go(5 * MINUTE)
    relaying.settled(number)
    assert len(peer.messages) == 2


def test_a_result_that_cannot_be_written_is_kept_and_nothing_sent_again(relaying, monkeypatch):
    peer = relaying.peer("a.test", "b.test")
    real, failures = relaying.store.record, []

    async def record(*arguments):
        if len(failures) < 3:
            failures.append(arguments)
            raise StoreError("not stored: disk full", full=True)
        return await real(*arguments)

    monkeypatch.setattr(relaying.store, "record", record)
    number = relaying.put("x@a.test")
    relaying.log.wait("relay.error", id=id_text(number))
    relaying.settled(number)
    assert len(failures) == 3 and len(relaying.log.all("relay.error")) == 1
    assert len(peer.messages) == 1 and len(failures) == 3


def test_a_queue_that_cannot_be_read_is_read_again_and_said_once(relaying, monkeypatch):
    peer = relaying.peer("a.test", "b.test")
    real, failures = relaying.store.waiting, []

    def waiting(*arguments):
        # That others are read does not mean that it is over.
        if arguments[1:] == ("a.test",) and len(failures) < 12:
            failures.append(arguments)
            raise StoreError("the queue cannot be read: disk I/O error")
        return real(*arguments)

    monkeypatch.setattr(relaying.store, "waiting", waiting)
    # What has just come is not read.
    monkeypatch.setattr(loader, "SHORT", -1)
    numbers = [relaying.put(f"x@{domain}.test") for domain in "aab"]
    assert "disk I/O error" in relaying.log.wait("relay.error_over")["error"]
    for number in numbers:
        relaying.settled(number)
    assert len(peer.messages) == 3 and len(failures) == 12
    assert len(relaying.log.all("relay.error")) == len(relaying.log.all("relay.error_over")) == 1


def test_who_cannot_be_told_keeps_the_message_queued(relaying, monkeypatch):
    relaying.peer("a.test", replies={"RCPT": "550 5.1.1 no such user"})

    def broken(*_arguments):
        raise ValueError("a defect in notifications")

    monkeypatch.setattr(relaying.delivery._postmaster, "notifications", broken)
    number = relaying.put("x@a.test")
    assert relaying.attempt("a.test")["result"] == "deferred"
    assert relaying.store.waiting(number)[0].status == "550 5.1.1 no such user"
    monkeypatch.undo()
    relaying.go(5 * MINUTE)
    relaying.notification()
    relaying.settled(number)


# --- the end --------------------------------------------------------------------------------------


def test_what_a_peer_took_is_written_down_when_the_server_stops(relaying, monkeypatch):
    peer = relaying.peer("a.test")
    real, taken, go_on = relaying.delivery._courier.deliver, threading.Event(), asyncio.Event()

    async def deliver(*arguments):
        tried = await real(*arguments)
        taken.set()
        await go_on.wait()
        return tried

    monkeypatch.setattr(relaying.delivery._courier, "deliver", deliver)
    number = relaying.put("x@a.test")
    assert taken.wait(10)
    closing = relaying.begin(relaying.delivery.close())

    async def release() -> None:
        go_on.set()

    relaying.run(release())
    closing.result(10)
    assert relaying.store.envelope(number) is None and len(peer.messages) == 1


def test_silent_peers_are_left_when_the_server_stops(tmp_path):
    with Relaying(tmp_path, grace=0.1, limits=Limits()) as relaying:
        peer = relaying.peer("a.test", silent="EHLO")
        numbers = [relaying.put("x@a.test") for _turn in range(10)]
        peer.wait_session(lambda session: bool(session.commands))
        relaying.stop()
        sessions = len(peer.wait_idle())
        peer.change(silent="")
        relaying.start()
        for number in numbers:
            relaying.settled(number)
        # None was begun while the server was stopping, and none was counted as an attempt.
        assert sessions <= PER_HOST and len(peer.messages) == 10
        assert not relaying.log.all("relay.attempt", result="deferred")


def test_no_conversation_begins_while_the_server_stops(relaying):
    peer = relaying.peer("a.test", "b.test", silent="MAIL")
    numbers = [relaying.put(f"x@{domain}.test") for domain in "ab" for _turn in range(3)]
    with relaying.heard:
        assert relaying.heard.wait_for(lambda: sum("MAIL" in s.verbs for s in peer.sessions) == PER_HOST, 10)
    closing = relaying.begin(relaying.delivery.close())
    relaying.run(asyncio.sleep(0))
    # Now there is a place for the one that waited.
    peer.close()
    closing.result(10)
    attempts = [relaying.store.waiting(number)[0].attempts for number in numbers]
    assert sorted(attempts) == [0, 1, 1, 1, 1, 1]


def test_what_is_being_written_down_is_written_when_time_is_up(tmp_path, monkeypatch):
    with Relaying(tmp_path, grace=1.0) as relaying:
        relaying.peer("a.test")
        real, writing, go_on = relaying.store.record, threading.Event(), asyncio.Event()

        async def record(*arguments):
            for attempt in relaying.delivery._attempts:
                attempt.add_done_callback(lambda _attempt: go_on.set())
            writing.set()
            await go_on.wait()
            return await real(*arguments)

        monkeypatch.setattr(relaying.store, "record", record)
        number = relaying.put("x@a.test")
        assert writing.wait(10)
        relaying.run(relaying.delivery.close())
        assert relaying.store.envelope(number) is None
