# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An operator steers mail of a running server: over the admin interface, and with the program beside it."""

from __future__ import annotations

import json
import re

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._probe.sink import Sink
from postern.__main__ import run


@pytest.fixture
def absent(lab):
    """A function: mail for a domain whose host is not there, tried once; returns the host's address."""

    def make(domain):
        address = lab.address()
        lab.zone.put(f"mx.{domain}", {"A": [address]})
        lab.mx(domain, f"mx.{domain}")
        lab.policy(tlsLevel="may")
        lab.submit(f"r@{domain}")
        assert lab.attempt(domain)["result"] == "deferred"
        return address

    return make


def steer(lab, *words):
    return run(["queue", "--config", str(lab.server.config), *words])


def test_retry_is_an_attempt_now(lab, absent, capsys):
    address = absent("later.test")
    with Sink(address, lab.port, starttls=False) as sink:
        admin = lab.admin()
        assert "1 messages" in admin.ok("ENTER QUEUE", "RETRY DOMAIN later.test")
        admin.close()
        assert sink.wait_message().recipients == ("r@later.test",)
    address = absent("muchlater.test")
    with Sink(address, lab.port, starttls=False) as sink:
        assert steer(lab, "retry", "--domain", "muchlater.test") == 0
        assert sink.wait_message().recipients == ("r@muchlater.test",)
    assert capsys.readouterr().out == "1 message\n"


def test_held_mail_is_not_tried_and_goes_on_when_released(lab, absent, capsys):
    address = absent("held.test")
    assert steer(lab, "hold", "--domain", "held.test") == 0
    lab.submit("other@held.test")
    lab.attempt("held.test", 2)
    with Sink(address, lab.port, starttls=False) as sink:
        assert steer(lab, "retry", "--domain", "held.test") == 0
        assert capsys.readouterr().out == "1 message\n1 message\n"
        assert sink.wait_message().recipients == ("other@held.test",) and len(sink.messages) == 1
        assert steer(lab, "release", "--domain", "held.test") == 0
        assert steer(lab, "retry", "--domain", "held.test") == 0
        assert sink.wait_message(lambda message: message.recipients == ("r@held.test",))


def test_deleted_mail_is_gone(lab, absent, capsys):
    absent("deleted.test")
    assert steer(lab, "list", "--domain", "deleted.test", "--json") == 0
    (entry,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert entry["recipients"][0]["attempts"] == 1
    assert steer(lab, "delete", entry["id"]) == 0 and steer(lab, "show", entry["id"]) == 1


def test_a_thousand_messages_for_a_dead_host(lab, absent):
    """Held by domain, released, sent now, and what is left of them deleted; over the admin interface."""
    address = absent("dead.test")
    for number in range(1000):
        lab.submit(f"r{number}@dead.test")
    admin = lab.admin()
    admin.ok("ENTER QUEUE")
    assert "1001 messages, 1001 recipients" in admin.ok("HOLD DOMAIN dead.test")
    lab.submit("free@dead.test")
    with Sink(address, lab.port, starttls=False) as sink:
        admin.ok("RETRY ALL")
        assert sink.wait_message().recipients == ("free@dead.test",)
        assert admin.shown()["heldRecipients"] == "1001"
        # The oldest was tried, and the schedule has its next attempt in an hour: this one is made now.
        oldest = re.search("[0-9a-f]{16}", admin.ok("LIST HELD")).group()
        assert "1 messages" in admin.ok(f"RELEASE {oldest}") and "1 messages" in admin.ok(f"RETRY {oldest}")
        assert sink.wait_message(lambda message: message.recipients == ("r@dead.test",))
        assert "1000 messages" in admin.ok("RELEASE FROM @example.test DOMAIN dead.test OLDER 0 HELD")
        admin.ok("RETRY DOMAIN dead.test")
        assert sink.wait_message(lambda message: message.recipients[0] not in ("r@dead.test", "free@dead.test"))
        # Attempts that are under way come to their end, and bring nothing back.
        admin.ok("DELETE ALL")
        assert admin.shown() == {"messages": "0", "heldRecipients": "0", "oldest": "none"}
        came = [message.recipients for message in sink.messages]
        assert len(set(came)) == len(came) < 1000
    admin.close()
