# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail that waits is held, released, tried now and deleted: ``postern queue``, and what becomes of it in a server."""

from __future__ import annotations

import asyncio
import email.policy
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import postern
import pytest
from postern.__main__ import run
from postern.directory import Directory
from postern.queue import listing, steering
from postern.queue.schema import FORMAT
from postern.queue.selection import Selection
from postern.queue.store import PIECE, Envelope, Recipient, Store, id_text

LOCAL = Recipient("u1", "example.test", True)
REMOTE = Recipient("x", "elsewhere.test", False)
OTHER = Recipient("y", "other.test", False)


@pytest.fixture
def messages(store):
    """Ids: a message for here and elsewhere, one for two places, a notification."""
    return [
        keep(store, "a@one.test", 1000.0, LOCAL, REMOTE),
        keep(store, "b@two.test", 2000.0, REMOTE, OTHER),
        keep(store, "", 3000.0, OTHER),
    ]


def queue_file(config: Path) -> Path:
    return config.parent / "state" / "queue.sqlite3"


def keep(store: Store, sender: str, received: float, *recipients: Recipient) -> int:
    return asyncio.run(store.add(Envelope(store.new_id(), sender, recipients, received=received), b"x"))


def ask(config: Path, *words: str) -> int:
    return run(["queue", "--config", str(config), *words])


def local(store: Store) -> list[int]:
    return [message for message, *_rest in store.due_local((-1, -1), 100)]


def remote(store: Store, now: float = 1e12) -> list[tuple[int, str]]:
    return sorted(store.due_remote(now, 100_000, 100_000)[0])


def test_held_mail_is_due_for_nobody_until_it_is_released(config, store, messages, capsys):
    assert ask(config, "hold", "--domain", "elsewhere.test") == 0
    assert capsys.readouterr().out == "2 messages\n"
    assert local(store) == messages[:1] and remote(store) == [(number, "other.test") for number in messages[1:]]
    assert ask(config, "list", "--held") == 0
    shown = capsys.readouterr().out
    assert shown.count("held, not tried yet") == 2 and "<u1@" not in shown
    # What is held already is not held twice, and nobody releases what is not held.
    assert ask(config, "hold", "--all") == 0
    assert capsys.readouterr().out == "3 messages\n" and not local(store) and not remote(store)
    assert ask(config, "hold", "--all") == 0
    assert capsys.readouterr().out == "0 messages\n"
    assert ask(config, "release", id_text(messages[0]), "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"messages": 1, "recipients": 2}
    assert local(store) == messages[:1] and remote(store) == [(messages[0], "elsewhere.test")]
    # The next format of the same thing: what is held says so to programs too.
    assert ask(config, "show", "--json", *map(id_text, messages[:2])) == 0
    one, two = map(json.loads, capsys.readouterr().out.splitlines())
    assert [entry["held"] for entry in one["recipients"] + two["recipients"]] == [False, False, True, True]
    assert [entry["local"] for entry in one["recipients"]] == [True, False]


def test_an_attempt_under_way_leaves_held_mail_held(config, store, messages):
    assert ask(config, "hold", id_text(messages[1])) == 0
    asyncio.run(store.record(messages[1], (0,), {1: (5.0, "4.4.1 refused")}))
    assert remote(store) == [(messages[0], "elsewhere.test"), (messages[2], "other.test")]
    assert ask(config, "release", "--all") == 0
    assert (messages[1], "other.test") in remote(store) and (messages[1], "elsewhere.test") not in remote(store)


def test_retry_makes_mail_due(config, store, messages):
    for number in messages[:2]:
        asyncio.run(store.record(number, (), {0: (1e11, "4.4.1"), 1: (1e11, "4.4.1")}))
    assert ask(config, "retry", "--sender", "@two.test") == 0
    assert [message for message, _domain in remote(store, 1e10)] == [messages[1]] * 2 + [messages[2]]


def test_delete_takes_recipients_and_with_the_last_one_the_message(config, store, messages):
    assert ask(config, "delete", "--domain", "other.test") == 0
    assert remote(store) == [(number, "elsewhere.test") for number in messages[:2]]
    assert store.envelope(messages[2]) is None and store.envelope(messages[1]) is not None
    # An attempt that was under way notes what it did to what is gone: nothing comes back.
    asyncio.run(store.record(messages[2], (), {0: (5.0, "4.4.1 refused")}))
    assert store.waiting(messages[2]) == {}
    assert ask(config, "delete", "--sender", "A@One.Test", "--older", "1h") == 0
    assert remote(store) == [(messages[1], "elsewhere.test")] and not local(store) and store.count() == 1


def test_a_long_message_goes_with_its_pieces(config, store, messages):
    async def fill() -> int:
        spool = store.spool(number := store.new_id())
        await spool.write(b"x" * (3 * PIECE))
        return await spool.finish(Envelope(number, "long@one.test", (REMOTE,)), b"end")

    number = asyncio.run(fill())
    assert ask(config, "delete", "--sender", "long@one.test") == 0
    with closing(sqlite3.connect(queue_file(config))) as file:
        assert file.execute("SELECT count(*) FROM piece").fetchone() == (0,)
    assert store.envelope(number) is None and store.count() == len(messages)


@pytest.mark.parametrize(
    "words, reason",
    [
        (("hold",), "hold needs to know which mail: ids, conditions, or --all"),
        (("delete", "--all", "--held"), "three ways to say which mail"),
        (("delete", "12"), "'12' is no queue id"),
        (("list", "--older", "soon"), "'soon' is no number of seconds"),
    ],
)
def test_what_is_not_understood_changes_nothing(config, store, messages, capsys, words, reason):
    assert ask(config, *words) == 2
    assert reason in capsys.readouterr().err
    assert len(remote(store)) == 4 and local(store) == messages[:1]


def test_messages_that_do_not_wait(config, store, messages, capsys):
    assert ask(config, "show", id_text(messages[0]), "0123456789abcdef") == 1
    assert ask(config, "delete", "0123456789abcdef") == 1
    assert ask(config, "list", "--sender", "nobody@one.test") == 0
    assert capsys.readouterr().out.endswith("no such message waits\n") and store.count() == 3


def test_a_page_of_a_long_list_does_not_read_the_rest(config, store):
    store.close()
    with closing(sqlite3.connect(queue_file(config), isolation_level=None)) as file:
        file.execute("BEGIN")
        file.executemany(
            "INSERT INTO message (id, sender, auth_user, peer, helo, tls, eight_bit, received, open_recipients, body)"
            " VALUES (?, 'a@one.test', '', '', '', '', 0, 1.0, 1, x'')",
            [(number,) for number in range(100_000)],
        )
        file.executemany(
            "INSERT INTO recipient (message, number, local_part, domain, is_local) VALUES (?, 0, 'x', 'y.test', 0)",
            [(number,) for number in range(100_000)],
        )
        file.execute("COMMIT")
    steps = []
    with closing(sqlite3.connect(queue_file(config))) as file:
        # Instructions of SQLite's machine: what a page costs, whatever this computer does besides.
        file.set_progress_handler(lambda: steps.append(1), 1000)
        list(file.execute("SELECT count(*) FROM recipient WHERE domain = 'y.test'"))
        all_of_it = len(steps)
        assert all_of_it > 100
    pages = listing.entries(str(queue_file(config)), Selection(domain="y.test"), after=50_000)
    assert next(pages).id == id_text(50_001)
    with closing(sqlite3.connect(queue_file(config))) as file:
        steps.clear()
        file.set_progress_handler(lambda: steps.append(1), 1000)
        where, values = Selection(domain="y.test").where()
        file.execute(listing.query(where), listing.values(values, 50_000)).fetchall()
    assert len(steps) < all_of_it / 10


@pytest.fixture
def many(config, store):
    """10,000 messages with three recipients each in the queue; their ids."""
    numbers = range(1, 10_001)
    with closing(sqlite3.connect(queue_file(config), isolation_level=None)) as file:
        file.execute("BEGIN")
        file.executemany(
            "INSERT INTO message (id, sender, auth_user, peer, helo, tls, eight_bit, received, open_recipients, body)"
            " VALUES (?, 'a@one.test', '', '', '', '', 0, 1.0, 3, x'')",
            [(number,) for number in numbers],
        )
        file.executemany(
            "INSERT INTO recipient (message, number, local_part, domain, is_local) VALUES (?, ?, 'x', 'y.test', 0)",
            [(number, place) for number in numbers for place in range(3)],
        )
        file.execute("COMMIT")
    return numbers


@pytest.mark.parametrize("condition", [steering._SENT, steering._FREE, "1"])
def test_a_page_of_many_changes_does_not_read_the_rest(config, many, condition):
    steps = []
    with closing(sqlite3.connect(queue_file(config))) as file:
        file.set_progress_handler(lambda: steps.append(1), 1000)
        assert file.execute("SELECT total(number) FROM recipient").fetchone() == (30_000,)
        all_of_it = len(steps)
        assert all_of_it > 50
        steps.clear()
        where, values = Selection(domain="y.test").where()
        assert len(next(steering._pages(file, f"{where} AND {condition}", values, 300))) == 300
    assert len(steps) < all_of_it / 5


def test_killed_in_the_middle(config, store, many):
    """Each message is there with all that it had, or gone."""
    code = (
        "import os, signal\nfrom postern.queue import steering\nfrom postern.queue.selection import Selection\n"
        "count = [0]\nreal = steering._changed\n"
        "def changed(path, selection, besides, change, *more):\n"
        "    def counted(file, rows):\n"
        "        count[0] += 1\n"
        "        change(file, rows)\n"
        "        if count[0] == 3:\n            os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(path, selection, besides, counted, *more)\n"
        f"steering._changed = changed\nsteering.delete({str(queue_file(config))!r}, Selection())\n"
    )
    place = str(Path(postern.__file__).parent.parent)
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": place}, check=False)
    assert done.returncode == -signal.SIGKILL
    left = {number: len(store.waiting(number)) for number in many}
    # A page is filled up with what belongs to its last message: 167 of them are more than 500 recipients.
    assert set(left.values()) == {0, 3} and sum(not count for count in left.values()) == 2 * 167
    assert store.count() == sum(map(bool, left.values()))
    assert steering.delete(str(queue_file(config)), Selection()) == steering.Done(10_000 - 334, 30_000 - 1002)
    assert store.count() == 0


def test_mail_is_taken_while_much_is_deleted(config, store, many):
    """Nobody waits for the whole of it, and what comes meanwhile is not what was meant."""

    async def both() -> tuple[list[tuple[int, int]], steering.Done]:
        deleting = asyncio.create_task(asyncio.to_thread(steering.delete, str(queue_file(config)), Selection()))
        came = []
        while not deleting.done():
            envelope = Envelope(store.new_id(), "new@one.test", (REMOTE,), received=1.0)
            came.append((await store.add(envelope, b"x"), store.count()))
        return came, await deleting

    came, done = asyncio.run(both())
    # What came before the deletion looked at the queue was meant, nothing that came later.
    left = [message for message, _domain in remote(store)]
    assert left and left == [number for number, _count in came][-len(left) :]
    assert done.messages + len(left) == 10_000 + len(came) and store.count() == len(left)
    # In between, not before and behind it.
    assert len({count for _number, count in came if 500 < count < 9900}) > 3


def test_a_sender_is_told_of_what_was_deleted(config, store):
    directory = Directory(str(config.parent / "state" / "directory.sqlite3"))
    directory.create_domain("example.test", "postmaster-password")
    directory.put_account("example.test", "u1", "password")
    directory.close()
    text = b"Subject: the first\r\n\r\nthe body\r\n"
    for sender in ("u1@example.test", "far@one.test", "", "nobody@example.test"):
        envelope = Envelope(store.new_id(), sender, (REMOTE, OTHER), received=1000.0)
        asyncio.run(store.add(envelope, text))
    assert ask(config, "delete", "--notify", "--older", "1h") == 0
    local = store.due_local((-1, -1), 10)
    (far,) = store.due_remote(1e12, 10, 10)[0]
    assert [(due[2].local_part, due[3]) for due in local] == [("u1", "")] and store.count() == 2
    assert far[1] == "one.test"
    report = email.message_from_bytes(store.text(local[0][0]).whole(), policy=email.policy.default)
    people, facts, header = report.iter_parts()
    assert "operator of this mail server has taken the message off its queue" in people.get_content()
    found = [part["Final-Recipient"] for part in facts.iter_parts() if part["Final-Recipient"]]
    assert found == ["rfc822; x@elsewhere.test", "rfc822; y@other.test"]
    assert "the first" in header.get_content() and b"the body" not in report.as_bytes()
    # Notifications do not bring notifications.
    assert ask(config, "delete", "--notify", "--all") == 0 and store.count() == 0
    assert ask(config, "hold", "--notify", "--all") == 2


BEFORE = {
    3: """
CREATE TABLE message (
    id INTEGER PRIMARY KEY, sender TEXT NOT NULL, auth_user TEXT NOT NULL, peer TEXT NOT NULL,
    helo TEXT NOT NULL, tls TEXT NOT NULL, eight_bit INTEGER NOT NULL, received REAL NOT NULL,
    open_recipients INTEGER NOT NULL, delay_told INTEGER NOT NULL DEFAULT 0,
    smtputf8 INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL DEFAULT 0, body BLOB NOT NULL);
CREATE TABLE recipient (
    message INTEGER NOT NULL, number INTEGER NOT NULL, local_part TEXT NOT NULL, domain TEXT NOT NULL,
    is_local INTEGER NOT NULL, due REAL NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT '', PRIMARY KEY (message, number)) WITHOUT ROWID;
CREATE INDEX recipient_due ON recipient (is_local, due, domain);
CREATE TABLE piece (
    id INTEGER PRIMARY KEY, message INTEGER NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL);
CREATE UNIQUE INDEX piece_of ON piece (message, number);
INSERT INTO message VALUES (7, 'a@one.test', '', '', '', '', 0, 1.0, 2, 1, 0, 5, 'x');
INSERT INTO piece VALUES (1, 7, 0, 'long');
INSERT INTO recipient VALUES (7, 0, 'u1', 'example.test', 1, 1.0, 0, '');
INSERT INTO recipient VALUES (7, 1, 'x', 'elsewhere.test', 0, 9.0, 3, '4.4.1 refused');
PRAGMA user_version=3;
""",
}
#: With recipients that are held.
BEFORE[4] = BEFORE[3].replace("example.test', 1", "example.test', 3").replace("user_version=3", "user_version=4")


@pytest.mark.parametrize("number", BEFORE)
def test_mail_of_the_formats_before_is_kept_and_steered(config, capsys, number):
    with closing(sqlite3.connect(queue_file(config))) as file:
        file.executescript(BEFORE[number])
    # The program leaves to the server what makes a file unreadable for the server that wrote it.
    assert number == FORMAT or ask(config, "hold", "--all") == 1
    assert number == FORMAT or "when the server starts" in capsys.readouterr().err
    with closing(Store(queue_file(config))) as store:
        assert store.text(7).whole() == b"longx" and store.envelope(7)[1] is True
        assert store.waiting(7)[1].attempts == 3 and local(store) == ([7] if number == 3 else [])
        assert ask(config, "release", "--all") == 0 and local(store) == [7]
        assert ask(config, "hold", "--domain", "example.test") == 0 and local(store) == []
    with closing(sqlite3.connect(queue_file(config))) as file:
        file.execute("PRAGMA user_version=99")
    assert ask(config, "release", "--all") == 1 and "newer version" in capsys.readouterr().err
