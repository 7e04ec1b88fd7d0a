# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections that are kept for the next message, places at hosts, and hosts that are left alone."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time

import pytest
from conversation_harness import Scripted
from postern.delivery.conversation import Limits, Security
from postern.delivery.destination import Bounds, Destinations
from postern.delivery.outcome import HostFailed
from postern.delivery.pool import Key
from postern.delivery.route import Hop
from postern.delivery.schedule import Schedule
from postern.rules.relay import Relay
from remote_harness import MINUTE, Relaying

KEPT = Bounds(kept=60)


@pytest.fixture
def relaying(tmp_path):
    """A queue that is sent from, over connections that are kept for longer than the test."""
    with Relaying(tmp_path, bounds=KEPT) as relaying:
        yield relaying


def sent(relaying, *recipients: str) -> None:
    """Put a message and wait until it is delivered."""
    relaying.settled(relaying.put(*recipients))


# --- the same connection --------------------------------------------------------------------------


def test_messages_of_different_domains_share_a_connection_to_their_host(relaying):
    peer = relaying.peer("a.test", "b.test")
    for recipient in ("x@a.test", "y@b.test", "z@a.test"):
        sent(relaying, recipient)
    assert [session.verbs for session in peer.sessions] == [("EHLO", *("MAIL", "RCPT", "DATA") * 3)]
    relaying.stop()
    assert [session.verbs[-1] for session in peer.wait_idle()] == ["QUIT"]
    relaying.start()


def test_a_connection_ends_after_its_messages_and_after_its_time(tmp_path):
    with Relaying(tmp_path, bounds=Bounds(kept=60, messages=2)) as relaying:
        peer = relaying.peer("a.test")
        for _turn in range(3):
            sent(relaying, "x@a.test")
        assert [len(session.messages) for session in peer.sessions] == [2, 1]
        assert peer.wait_session().verbs[-1] == "QUIT"
    with Relaying(tmp_path, bounds=Bounds(kept=0.01)) as relaying:
        peer = relaying.peer("a.test")
        sent(relaying, "x@a.test")
        assert peer.wait_idle()[0].verbs[-1] == "QUIT"


def test_what_was_begun_and_not_finished_is_reset(relaying):
    peer = relaying.peer("a.test", replies={"RCPT none@a.test": "550 5.1.1 nobody"})
    relaying.put("none@a.test")
    relaying.notification()
    sent(relaying, "x@a.test")
    # The 503 to DATA without a recipient is no refusal of anything.
    message = ("MAIL", "RCPT", "DATA")
    assert [session.verbs for session in peer.sessions] == [("EHLO", *message, "RSET", *message)]


LEVELS = [Relay(level) for level in ("none", "may", "encrypt", "verify")] + [
    Relay("secure", match=("a.test",)), Relay("secure", match=("b.test",)),
    Relay("fingerprint", fingerprints=("AA",)), Relay("fingerprint", fingerprints=("BB",)),
    Relay("encrypt", versions=("TLSv1.3",)), Relay("encrypt", implicit=True), Relay("encrypt", host="h.test"),
    Relay("encrypt", host="h.test", user="u", password="p"), Relay("encrypt", host="h.test", user="u", password="q"),
]  # fmt: skip


def test_a_key_holds_all_that_a_connection_depends_on():
    hops = [Hop("h.test", "127.0.0.1", 25), Hop("h.test", "127.0.0.2", 25), Hop("i.test", "127.0.0.1", 25)]
    keys = [Key.of(hop, relay, "x.test") for hop in hops for relay in LEVELS]
    assert len(set(keys)) == len(keys) and "password='p'" not in repr(keys)
    # The next-hop domain is what "secure" verifies, and nothing to the others.
    assert Key.of(hops[0], Relay("secure"), "x.test") != Key.of(hops[0], Relay("secure"), "y.test")
    assert Key.of(hops[0], Relay("may"), "x.test") == Key.of(hops[0], Relay("may", reason="as ever"), "y.test")


def test_a_connection_of_level_may_is_never_used_for_secure(tmp_path, lab, authority):
    """Over the same address, with mail for both levels again and again."""
    with Relaying(tmp_path, bounds=KEPT) as relaying:
        good = relaying.peer("loose.test", "strict.test", starttls=True, certificate=lab.certificate("somebody.test"))
        relaying.script(
            'set (allowStartTLS, "yes");', 'if (isCase (relayDomain, "strict.test")) { set (tlsLevel, "secure"); }'
        )
        sent(relaying, "x@loose.test")
        number = relaying.put("x@strict.test")
        line = relaying.attempt("strict.test")
        assert (line["level"], line["result"], line["reason"][:5]) == ("secure", "deferred", "4.7.5")
        sent(relaying, "y@loose.test")
        assert relaying.store.waiting(number) and len(good.sessions) == 2
        assert [len(session.messages) for session in good.sessions] == [2, 0]


# --- a peer that has gone -------------------------------------------------------------------------


def test_a_kept_connection_that_the_peer_has_closed_costs_no_attempt(tmp_path):
    """Whenever the peer goes: before the next message, with a word or without, or when it begins."""
    taken = [b"250 OK", b"250 OK", b"354 go"]

    def one(line):
        line.hello(b"PIPELINING")
        line.answer(*taken)
        line.until(b"\r\n.\r\n")
        line.send(b"250 OK\r\n")

    def closes(line):
        one(line)

    def says_421(line):
        one(line)
        line.send(b"421 4.4.2 idle\r\n")

    def answers_421(line):
        one(line)
        line.answer(b"421 4.4.2 too long ago")

    def closes_within(line):
        one(line)
        line.answer(b"250 OK")

    def for_ever(line):
        one(line)
        while line.answer(*taken):
            line.until(b"\r\n.\r\n")
            line.send(b"250 OK\r\n")

    with Relaying(tmp_path, bounds=dataclasses.replace(KEPT, per_host=1)) as relaying:
        relaying.zone.put("mx.test", {"A": ["127.78.200.1"]})
        relaying.zone.put("a.test", {"MX": ["10 mx.test"]})
        acts = (closes, says_421, answers_421, closes_within, for_ever)
        with Scripted(*acts, address="127.78.200.1", port=relaying.port) as peer:
            for _turn in range(6):
                sent(relaying, "x@a.test")
            assert peer.connections == len(acts)
            assert {line["result"] for line in relaying.log.all("relay.attempt")} == {"sent"}
            assert not relaying.log.all("relay.host") and not relaying.log.all("relay.backoff")
            relaying.stop()
        relaying.start()


# --- how many -------------------------------------------------------------------------------------


class Counted(threading.Condition):
    """Is told of all that peers hear; ``most``: open connections at a time, up to the client's QUIT or end."""

    def __init__(self) -> None:
        super().__init__()
        self.peer = None
        self.most = 0

    def notify_all(self) -> None:
        if self.peer is not None:
            still = [session for session in self.peer.sessions if not session.ended and "QUIT" not in session.verbs]
            self.most = max(self.most, len(still))
        super().notify_all()


def test_a_peer_never_sees_more_connections_than_it_may(tmp_path):
    """Kept ones count, and make room for those that the next message needs."""
    with Relaying(tmp_path, bounds=Bounds(per_host=3, per_domain=2, kept=60)) as relaying:
        relaying.heard = Counted()
        domains = [f"d{number}.test" for number in range(6)]
        peer = relaying.heard.peer = relaying.peer(*domains)
        relaying.script('if (isCase (relayDomain, "d5.test")) { set (allowedSSLVersions, "tls12"); }')
        for number in [relaying.put(f"x{turn}@{domain}") for turn in range(8) for domain in domains]:
            relaying.settled(number)
        assert relaying.heard.most == 3 and len(peer.messages) == 48


def test_one_domain_gets_no_more_than_its_connections(tmp_path):
    with Relaying(tmp_path, bounds=Bounds(per_domain=2, kept=60), grace=0.05) as relaying:
        peer = relaying.peer("a.test", "b.test", silent="RCPT")
        for _turn in range(4):
            relaying.put("x@a.test", "x@b.test")
        with relaying.heard:
            assert relaying.heard.wait_for(lambda: sum("RCPT" in s.verbs for s in peer.sessions) == 4, 10)
        relaying.put("x@no-such.test")
        relaying.attempt("no-such.test")
        assert len(peer.sessions) == 4


@pytest.fixture
def patient(tmp_path):
    """A queue whose peers have all the time that they want, until it stops."""
    with Relaying(tmp_path, bounds=KEPT, limits=Limits(), grace=0.05) as relaying:
        yield relaying


def test_a_slow_host_of_many_domains_starves_nobody(patient):
    relaying, domains = patient, [f"d{number}.test" for number in range(45)]
    slow = relaying.peer(*domains, silent="MAIL")
    numbers = [relaying.put(f"x@{domain}") for _turn in range(5) for domain in domains]
    with slow.heard:
        assert slow.heard.wait_for(lambda: sum("MAIL" in s.verbs for s in slow.sessions) == KEPT.per_host, 10)
    relaying.peer("other.test")
    sent(relaying, "x@other.test")
    assert len(slow.sessions) == KEPT.per_host and all(relaying.store.waiting(number) for number in numbers)
    # They are not forgotten.
    slow.change(silent="")
    relaying.stop()
    relaying.start()
    for number in numbers:
        relaying.settled(number)


# --- hosts that do not answer ---------------------------------------------------------------------


def put_off(relaying, numbers, until: float) -> None:
    """Wait until all of these messages wait for that moment."""
    end = time.monotonic() + 20
    while any(found.due != until for number in numbers for found in relaying.store.waiting(number).values()):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_host_that_does_not_answer_is_asked_once_for_all(relaying):
    domains = ("a.test", "b.test", "c.test")
    peer, other = relaying.peer(*domains, banner="450 4.3.2 not now"), relaying.peer("other.test")
    begun = relaying.now
    numbers = [relaying.put(f"x{turn}@{domain}") for turn in range(60) for domain in domains]
    sent(relaying, "x@other.test")
    put_off(relaying, numbers, begun + 5 * MINUTE)
    assert len(peer.sessions) == 1 and len(relaying.log.all("relay.attempt", result="deferred")) == 1
    assert {found.status for number in numbers for found in relaying.store.waiting(number).values()} == {
        "4.3.2 refused at the greeting: 450 4.3.2 not now"
    }
    relaying.go(5 * MINUTE)
    line = relaying.log.wait("relay.backoff", 2)
    assert (line["failures"], line["retry"], line["put_off"]) == (2, 10 * MINUTE, len(numbers) - 1)
    # It is written down before the clock goes on.
    relaying.log.wait("relay.attempt", 2, result="deferred")
    assert len(peer.sessions) == 2 and len(other.messages) == 1
    peer.change(banner=None)
    relaying.go(30 * MINUTE)
    for number in numbers:
        relaying.settled(number)
    assert relaying.log.wait("relay.recovered")["failures"] == 2 and len(peer.messages) == len(numbers)


def test_what_is_wrong_with_tls_concerns_nobody_who_asks_for_less(relaying):
    peer = relaying.peer("a.test", "b.test")
    relaying.script('if (isCase (relayDomain, "a.test")) { set (tlsLevel, "encrypt"); }')
    first = relaying.put("x@a.test")
    relaying.attempt("a.test", result="deferred")
    second = relaying.put("y@a.test")
    put_off(relaying, (first, second), relaying.now + 5 * MINUTE)
    sent(relaying, "x@b.test")
    assert [session.verbs for session in peer.sessions] == [("EHLO", "QUIT"), ("EHLO", "MAIL", "RCPT", "DATA")]
    assert relaying.store.waiting(first) and relaying.store.waiting(second)


def test_a_wait_grows_and_is_never_longer_than_that_of_a_message():
    clock = itertools.count(0, 100_000).__next__
    failure = HostFailed("silent", "4.4.1", security=Security())

    def waits(longest: float, *retry: float) -> list[float]:
        places, now = Destinations(Schedule(retry), longest, lambda: now[0]), [0.0]
        found = []
        for _turn in range(6):
            now[0] = clock()
            found.append(places.left(places.failed("host", failure, 1)))
            assert places.failed("host", failure, 2) is None, "those under way are one failure"
            assert places.rest(1, "host") is None and places.rest(2, "host") is not None
        assert [rest.failures for rest in places.answered("host", "other")] == [6] and places.rest(2, "host") is None
        return found

    assert waits(1800, 300, 900, 1800, 3600) == [300, 600, 1200, 1800, 1800, 1800]
    assert waits(1800, 0.5) == [0.5] * 6
    assert waits(60, 300, 900) == [300] * 6
