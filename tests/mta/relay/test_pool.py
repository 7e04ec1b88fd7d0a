# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections that are kept for the next message, places at hosts, and hosts that are left alone."""

from __future__ import annotations

import dataclasses
import itertools
import time

import pytest
from conversation_harness import Scripted, server_context
from postern.delivery.conversation import Security
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
    assert [session.verbs for session in peer.sessions] == [("EHLO", *("MAIL", "RCPT", "DATA", "RSET", "MAIL", "RCPT", "DATA"))]


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
