# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Contexts that look at the server at work: QUEUE, QUARANTINE, JSONQUERY, TRACER."""

from __future__ import annotations

import asyncio
import json

import pytest

from postern.admin import waiting
from postern.queue.store import Envelope, Recipient, Store, id_text


@pytest.fixture
def queued(server):
    """Puts messages into the queue file; returns their ids."""
    store = Store(str(server.state_dir / "queue.sqlite3"))

    def put(*senders, text=b"Subject: x\r\n\r\nx\r\n"):
        ids = []
        for sender in senders:
            recipients = (Recipient("u1", "example.test", True), Recipient("x", "elsewhere.test", False))
            envelope = Envelope(store.new_id(), sender, recipients, helo="client", received=1_800_000_000.0)
            asyncio.run(store.add(envelope, text))
            ids.append(id_text(envelope.id))
        return ids

    yield put
    store.close()


def rows(answer):
    lines = answer.split("\r\n")
    ruler = next(number for number, line in enumerate(lines) if line.startswith("------"))
    return [[cell.strip() for cell in line.split("|")] for line in lines[ruler + 1 :][: lines[ruler + 1 :].index("")]]


def test_an_empty_queue_and_one_that_was_never_made(server, admin, queued):
    admin.ok("ENTER QUEUE")
    assert rows(admin.ok("LIST")) == [] and admin.shown()["messages"] == "0"
    other = server.client().login()
    (server.state_dir / "queue.sqlite3").rename(server.state_dir / "elsewhere")
    other.ok("ENTER QUEUE")
    assert rows(other.ok("LIST")) == []


def test_what_waits_is_listed_and_shown(admin, queued):
    first, second = queued("a@client.example", "")
    assert admin.ok("ENTER QUEUE").endswith("<queue#> ")
    when = "2027-01-15T08:00:00+00:00"
    assert rows(admin.ok("LIST")) == [[first, when, "17", "<a@client.example>", "2"], [second, when, "17", "<>", "2"]]
    assert admin.shown() == {"messages": "2", "heldRecipients": "0", "oldest": when}
    shown = admin.shown(f"SHOW {first}")
    assert (shown["from"], shown["size"], shown["received"]) == ('"a@client.example"', "17", when)
    assert (shown["recipient1"], shown["state1"]) == ('"u1@example.test"', "local")
    assert shown["recipient2"] == '"x@elsewhere.test"' and shown["state2"].startswith("attempts 0, next ")
    assert admin.ok(f"LIST ID {second.lower()}").count("recipient2") == 1


def test_the_list_has_an_end(admin, queued, monkeypatch):
    monkeypatch.setattr(waiting, "MAX_LISTED", 2)
    admin.ok("ENTER QUEUE")
    ids = queued("a@client.example", "b@client.example")
    assert "more than" not in admin.ok("LIST")
    ids += queued("c@client.example")
    answer = admin.ok("LIST")
    assert [row[0] for row in rows(answer)] == ids[:2] and "more than 2 messages wait" in answer


@pytest.mark.parametrize("sender", ["x|y@client.example", "a\x1b[31m@client.example", "a\r\n+OK: x@client.example"])
def test_what_peers_say_stays_in_its_cell(admin, queued, sender):
    (number,) = queued(sender)
    admin.ok("ENTER QUEUE")
    (row,) = rows(admin.ok("LIST"))
    assert row[0] == number and len(row) == 5
    assert "\x1b" not in admin.ok("LIST") + admin.ok(f"SHOW {number}")


def test_a_queue_that_cannot_be_read_is_said(server, admin):
    (server.state_dir / "queue.sqlite3").write_bytes(b"no database" * 100)
    admin.ok("ENTER QUEUE")
    for line in ("LIST", "SHOW", "SHOW 0123456789abcdef", "HOLD ALL"):
        assert "cannot be" in (said := admin.refused(line)) and "not a database" in said


def test_holding_releasing_and_deleting(admin, queued):
    one, two, three = queued("a@client.example", "b@client.example", "a@other.example")
    admin.ok("ENTER QUEUE")
    assert "2 messages, 4 recipients" in admin.ok("HOLD FROM @client.example")
    assert [row[0] for row in rows(admin.ok("LIST HELD"))] == [one, two]
    assert "held" in admin.ok(f"SHOW {one}") and "held" not in admin.ok(f"SHOW {three}")
    assert "1 messages, 2 recipients" in admin.ok(f"RELEASE {one}")
    assert [row[0] for row in rows(admin.ok(f"LIST FROM a@client.example AFTER {'0' * 16}"))] == [one]
    assert rows(admin.ok(f"LIST OLDER 0 AFTER {three}")) == []
    assert "1 messages" in admin.ok("DELETE HELD") and "0 messages" in admin.ok("DELETE OLDER 999999999")
    assert [row[0] for row in rows(admin.ok("LIST"))] == [one, three]
    wrong = ("HOLD", "HOLD nothing", "HOLD FROM", "HOLD ALL HELD", "RETRY OLDER soon", "DELETE HELD HELD", "RELEASE X y")
    for line in wrong:
        admin.refused(line)
    assert "2 messages" in admin.ok("DELETE ALL") and admin.shown()["messages"] == "0"
    assert "extension" in next(line for line in admin.ok("HELP").splitlines() if line.strip().startswith("HOLD"))


def test_the_header_of_a_message_and_nothing_else(server, admin, queued):
    text = b"Subject: one\r\n +OK: done\r\nX-Odd: \x1b[31m\xff\r\n\r\nthe secret\r\n"
    (number,) = queued("a@client.example", text=text)
    (bare,) = queued("a@client.example", text=b"\r\nthe secret\r\n")
    admin.ok("ENTER QUEUE")
    shown = admin.ok(f"SHOW TEXT {number}")
    assert shown.split("\r\n")[2:5] == ["| Subject: one", "|  +OK: done", "| X-Odd: ?[31m\ufffd"]
    assert "secret" not in shown and "secret" not in admin.ok(f"SHOW TEXT {bare}")
    for line in ("SHOW TEXT", "SHOW TEXT x", "SHOW TEXT 0123456789abcdef", f"SHOW TEXT {number} {bare}"):
        admin.refused(line)


def test_deleting_with_a_word_to_the_sender(server, admin, queued):
    queued("a@client.example", "")
    admin.ok("ENTER QUEUE")
    assert "2 messages, 4 recipients" in admin.ok("DELETE NOTIFY ALL")
    # Nobody is told about a notification.
    (row,) = rows(admin.ok("LIST"))
    assert row[3] == "<>" and admin.shown(f"SHOW {row[0]}")["recipient1"] == '"a@client.example"'
    for line in ("DELETE NOTIFY", "HOLD NOTIFY ALL"):
        admin.refused(line)


def test_what_the_queue_cannot_do(admin, queued):
    queued("a@client.example")
    admin.ok("ENTER QUEUE")
    for line in ("SHOW nothing", "LIST ID", "LIST ID a b", "LIST everything", "DELETE x", "DONE", "COMMIT", "SET a b"):
        admin.refused(line)
    assert admin.shown()["messages"] == "1"
    assert admin.ok("BACK").endswith("<#> ")


def test_quarantine_is_inside_the_queue_and_empty(admin):
    assert admin.ok("ENTER QUEUE", "ENTER QUARANTINE").endswith("<queue-quarantine#> ")
    assert rows(admin.ok("LIST")) == []
    assert admin.ok("BACK").endswith("<queue#> ")
    assert "unknown object" in admin.ok("BACK") + admin.refused("ENTER QUARANTINE")


def test_domains_as_json(admin):
    admin.ok("CREATE Domain example.com postmasterPassword x", "COMMIT", "DISABLE Domain example.com")
    assert admin.ok("ENTER JSONQUERY").endswith("<jsonquery#> ")
    line = admin.ok("QUERY /domains").split("\r\n")[0]
    assert json.loads(line) == {"domains": [{"name": "example.com", "enabled": False, "accounts": 1}]}
    assert admin.shown() == {"queries": "(/domains)"}
    assert "there is: /domains" in admin.refused("QUERY /accounts")
    assert admin.ok("DONE").endswith("<#> ")


def test_the_tracer_has_nothing_to_trace(admin):
    assert admin.ok("ENTER TRACER").endswith("<tracer#> ")
    assert "unknown command" in admin.refused("ENABLE WEBDAV TRACE FOR USER a INTO b")
    assert admin.ok("BACK").endswith("<#> ")
