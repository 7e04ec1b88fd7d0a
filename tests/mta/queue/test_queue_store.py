# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The durable queue and the Maildir, as files."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from postern.delivery.local import LocalDelivery
from postern.delivery.maildir import UnsafeName, deliver, mailbox_folder
from postern.queue.store import Envelope, Notification, Recipient, Store, StoreError, Waiting, id_text


class Notes:
    """Keeps events and lets a test wait for one."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict]] = []
        self._changed = threading.Condition()

    def event(self, name: str, **fields) -> None:
        with self._changed:
            self.seen.append((name, fields))
            self._changed.notify_all()

    def wait(self, name: str, count: int = 1) -> list[dict]:
        """The fields of the first ``count`` events of that name."""
        with self._changed:
            found = self._changed.wait_for(lambda: len(self._of(name)) >= count, timeout=10)
            assert found, f"no {count} of {name} in {self.seen}"
            return self._of(name)[:count]

    def _of(self, name: str) -> list[dict]:
        return [fields for seen, fields in self.seen if seen == name]


def message(store: Store, *recipients: Recipient, sender: str = "a@example.test") -> Envelope:
    """An envelope with a fresh id."""
    return Envelope(store.new_id(), sender, recipients, received=1.0)


LOCAL = Recipient("u1", "example.test", True)
REMOTE = Recipient("x", "elsewhere.test", False)


@pytest.fixture
def store(tmp_path):
    """An empty queue."""
    store = Store(tmp_path / "queue.sqlite3")
    yield store
    store.close()


# --- the store ------------------------------------------------------------------------------------


def test_what_was_stored_is_there_after_a_restart(tmp_path):
    store = Store(tmp_path / "queue.sqlite3")
    envelope = replace(message(store, LOCAL, REMOTE, sender="ä@example.test"), smtputf8=True)
    asyncio.run(store.add(envelope, b"body \0 \xff"))
    store.close()
    store = Store(tmp_path / "queue.sqlite3")
    found, recipients, body = store.load(envelope.id)
    assert store.envelope(envelope.id) == (replace(envelope, recipients=(), size=8), False)
    store.close()
    assert found == replace(envelope, size=8) and body == b"body \0 \xff"
    assert recipients == {0: LOCAL, 1: REMOTE}


def test_every_connection_syncs_at_commit(store):
    assert store._writer.connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._writer.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_last_recipient_takes_the_message_with_it(store):
    envelope = message(store, LOCAL, REMOTE)
    asyncio.run(store.add(envelope, b"x"))
    store.finish(envelope.id, (0,)).result(10)
    assert list(store.load(envelope.id)[1].values()) == [REMOTE] and store.open_local() == []
    store.finish(envelope.id, (0,)).result(10)
    assert store.count() == 1
    store.finish(envelope.id, (1,)).result(10)
    assert store.count() == 0 and store.load(envelope.id) is None


def test_ids_grow_and_differ(store):
    numbers = [store.new_id() for _turn in range(10_000)]
    assert len(set(numbers)) == 10_000
    assert all(len(id_text(number)) == 16 for number in numbers[:10])


def test_many_at_once_share_commits(store):
    async def add_all() -> None:
        await asyncio.gather(*(store.add(message(store, LOCAL), b"x" * 1000) for _turn in range(500)))

    commits = []
    store._writer.connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    asyncio.run(add_all())
    assert store.count() == 500
    assert len(commits) < 250


def test_one_bad_message_does_not_take_its_company_with_it(store):
    envelopes = [message(store, LOCAL) for _turn in range(3)]

    async def add_all() -> list:
        again = [store.add(envelope, b"x") for envelope in (*envelopes, envelopes[0])]
        return await asyncio.gather(*again, return_exceptions=True)

    outcomes = asyncio.run(add_all())
    assert outcomes[:3] == [envelope.id for envelope in envelopes]
    assert isinstance(outcomes[3], StoreError)
    assert store.count() == 3


def test_no_room(tmp_path):
    store = Store(tmp_path / "queue.sqlite3")
    pages = store._writer.connection.execute("PRAGMA page_count").fetchone()[0]
    store._writer.connection.execute(f"PRAGMA max_page_count={pages + 20}")
    with pytest.raises(StoreError) as raised:
        asyncio.run(store.add(message(store, LOCAL), b"x" * 200_000))
    assert raised.value.full
    asyncio.run(store.add(message(store, LOCAL), b"x"))
    assert store.count() == 1
    store.close()


def test_a_closed_queue_takes_nothing(store):
    store.close()
    with pytest.raises(StoreError):
        asyncio.run(store.add(message(store, LOCAL), b"x"))


def test_files_that_are_no_queue(tmp_path):
    (tmp_path / "text").write_text("this is not a database, and it is long enough to be read as one " * 20)
    with pytest.raises(StoreError, match="cannot open the queue"):
        Store(tmp_path / "text")
    with pytest.raises(StoreError, match="cannot open the queue"):
        Store(tmp_path / "no such folder" / "queue")
    newer = sqlite3.connect(tmp_path / "newer")
    newer.execute("PRAGMA user_version=99")
    newer.close()
    with pytest.raises(StoreError, match="has format 99"):
        Store(tmp_path / "newer")


def test_the_log_is_copied_back_while_mail_comes(tmp_path):
    store = Store(tmp_path / "queue.sqlite3")

    async def add_all() -> None:
        for _turn in range(40):
            await asyncio.gather(*(store.add(message(store, LOCAL), b"x" * 20_000) for _one in range(50)))

    asyncio.run(add_all())
    size = os.path.getsize(tmp_path / "queue.sqlite3-wal")
    assert store.count() == 2000
    store.close()
    # 2,000 messages are 48 MB; without copying back the log would hold them all.
    assert size < 45_000_000


# --- the schedule of the store --------------------------------------------------------------------


def keep(store: Store, received: float, *recipients: Recipient, body: bytes = b"x") -> int:
    """Store a message that was accepted then; returns its id."""
    envelope = Envelope(store.new_id(), "a@example.test", recipients, received=received)
    return asyncio.run(store.add(envelope, body))


def test_what_goes_to_others_is_due_when_it_is_accepted(store):
    late = keep(store, 20.0, REMOTE)
    early = keep(store, 10.0, LOCAL, REMOTE, Recipient("y", "elsewhere.test", False), Recipient("z", "z.test", False))
    keep(store, 5.0, LOCAL)
    assert store.due_remote(9.0, 100, 100) == ([], False)
    assert store.next_due(9.0) == 10.0 and store.next_due(10.0) == 20.0 and store.next_due(20.0) is None
    everything = [(early, "elsewhere.test"), (early, "z.test"), (late, "elsewhere.test")]
    assert store.due_remote(20.0, 100, 100) == (everything, False)
    assert store.due_remote(20.0, 2, 100) == (everything[:2], True)
    assert store.due_remote(20.0, 100, 1) == (everything[:2], True)
    assert store.text(early).whole() == b"x" and store.text(1) is None and store.envelope(1) is None


def test_a_deferred_recipient_waits_and_says_why(tmp_path):
    store = Store(tmp_path / "queue.sqlite3")
    number = keep(store, 10.0, LOCAL, REMOTE, Recipient("z", "z.test", False))
    asyncio.run(store.record(number, (), {1: (310.0, "4.4.1 refused")}))
    asyncio.run(store.record(number, (), {1: (910.5, "4.4.2 silent")}))
    store.close()
    store = Store(tmp_path / "queue.sqlite3")
    assert store.due_remote(900.0, 100, 100)[0] == [(number, "z.test")]
    assert store.due_remote(911.0, 100, 100)[0] == [(number, "z.test"), (number, "elsewhere.test")]
    assert store.waiting(number, "elsewhere.test") == {1: Waiting(REMOTE, 910.5, 2, "4.4.2 silent")}
    assert list(store.waiting(number)) == [1, 2]
    asyncio.run(store.record(number, (1, 2), {}))
    assert store.waiting(number) == {} and store.open_local() == [number]
    store.close()


def test_a_notification_and_the_end_of_its_cause_are_one_change(store):
    number = keep(store, 10.0, REMOTE)
    seen = []
    store.on_added(seen.append)
    envelope = Envelope(store.new_id(), "", (LOCAL,), received=11.0)
    asyncio.run(store.record(number, (0,), {}, [Notification(envelope, b"sorry")]))
    assert seen == [envelope] and store.envelope(number) is None and store.text(envelope.id).whole() == b"sorry"
    # The second of two with the same id cannot be stored: then its cause must stay.
    second = keep(store, 12.0, REMOTE)
    with pytest.raises(StoreError):
        asyncio.run(store.record(second, (0,), {}, [Notification(envelope, b"again")]))
    assert list(store.waiting(second)) == [0] and [added.id for added in seen] == [envelope.id, second]


def test_a_delay_is_told_once(store):
    number = keep(store, 10.0, REMOTE)
    assert store.envelope(number)[1] is False
    for turn in range(2):
        told = Notification(Envelope(store.new_id(), "", (LOCAL,), received=11.0), b"wait", delay=True)
        added = asyncio.run(store.record(number, (), {0: (20.0, "4.4.1")}, [told]))
        assert len(added) == 1 - turn
    assert store.envelope(number)[1] is True and store.count() == 2 and store.waiting(number)[0].attempts == 2


def test_the_search_for_due_mail_reads_the_index_alone(store):
    plan = store._read(
        "EXPLAIN QUERY PLAN SELECT message, domain FROM recipient WHERE is_local = 0 AND due <= 1 ORDER BY due"
    )
    assert ["COVERING INDEX recipient_due" in row[3] for row in plan] == [True]


def test_local_recipients_come_by_the_page_and_in_order(store):
    numbers = [keep(store, 9.0 - turn, REMOTE, LOCAL, Recipient("u2", "example.test", True)) for turn in range(3)]
    keep(store, 1.0, REMOTE)
    places, after = [], (-1, -1)
    while page := store.due_local(after, 2):
        assert len(page) <= 2 and {due.sender for due in page} == {"a@example.test"}
        places += [(due.message, due.number, due.recipient.local_part) for due in page]
        after = page[-1][:2]
    assert places == [(number, place, name) for number in numbers for place, name in ((1, "u1"), (2, "u2"))]
    plan = store._read(
        "EXPLAIN QUERY PLAN SELECT r.message FROM recipient r CROSS JOIN message m ON m.id = r.message"
        " WHERE (r.message, r.number) > (1, 1) AND +r.is_local = 1 ORDER BY r.message, r.number LIMIT 9"
    )
    assert [row[3].split(" USING ")[1][:11] for row in plan] == ["PRIMARY KEY", "INTEGER PRI"]


FORMATS = {
    1: """
CREATE TABLE message (
    id INTEGER PRIMARY KEY, sender TEXT NOT NULL, auth_user TEXT NOT NULL, peer TEXT NOT NULL,
    helo TEXT NOT NULL, tls TEXT NOT NULL, eight_bit INTEGER NOT NULL, received REAL NOT NULL,
    open_recipients INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE recipient (
    message INTEGER NOT NULL, number INTEGER NOT NULL, local_part TEXT NOT NULL, domain TEXT NOT NULL,
    is_local INTEGER NOT NULL, PRIMARY KEY (message, number)) WITHOUT ROWID;
CREATE INDEX recipient_is_local ON recipient (is_local, message);
PRAGMA user_version=1;
""",
    2: """
CREATE TABLE message (
    id INTEGER PRIMARY KEY, sender TEXT NOT NULL, auth_user TEXT NOT NULL, peer TEXT NOT NULL,
    helo TEXT NOT NULL, tls TEXT NOT NULL, eight_bit INTEGER NOT NULL, received REAL NOT NULL,
    open_recipients INTEGER NOT NULL, delay_told INTEGER NOT NULL DEFAULT 0, body BLOB NOT NULL);
CREATE TABLE recipient (
    message INTEGER NOT NULL, number INTEGER NOT NULL, local_part TEXT NOT NULL, domain TEXT NOT NULL,
    is_local INTEGER NOT NULL, due REAL NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT '', PRIMARY KEY (message, number)) WITHOUT ROWID;
CREATE INDEX recipient_due ON recipient (is_local, due, domain);
PRAGMA user_version=2;
""",
}
INTO_MESSAGE = (
    "INSERT INTO message (id, sender, auth_user, peer, helo, tls, eight_bit, received, open_recipients, body) VALUES "
)


#: As the server makes them: more than 31 bits, which not every Python's sqlite3 takes everywhere.
LONG, SHORT = 0x1A22F211B3802F1E, 0x1A22F211BA802F1F


def older(path: Path, number: int) -> bytes:
    """A queue as a version before wrote it: two messages, one of them long; returns the long body."""
    body = bytes(range(256)) * 4000
    old = sqlite3.connect(path, isolation_level=None)
    old.execute("PRAGMA journal_mode=WAL")
    old.executescript(FORMATS[number])
    old.execute(INTO_MESSAGE + "(?, 'a@example.test', 'a', '127.0.0.1', 'h', '', 1, 1.5, 2, ?)", (LONG, body))
    old.execute(INTO_MESSAGE + "(?, '', '', '::1', 'h', 'TLSv1.3 x', 0, 2.5, 1, 'short')", (SHORT,))
    rows = [(LONG, 0, "x", "elsewhere.test", 0), (LONG, 1, "u1", "example.test", 1), (SHORT, 3, "u1", "example.test", 1)]
    old.executemany(
        "INSERT INTO recipient (message, number, local_part, domain, is_local) VALUES (?, ?, ?, ?, ?)", rows
    )
    old.close()
    return body


@pytest.mark.parametrize("number", FORMATS)
def test_a_file_of_an_older_format_becomes_one_of_this(tmp_path, number):
    body = older(tmp_path / "queue.sqlite3", number)
    for _turn in range(2):
        store = Store(tmp_path / "queue.sqlite3")
        assert store.open_local() == [LONG, SHORT] and store.due_remote(1.0, 9, 9)[0] == [(LONG, "elsewhere.test")]
        expected = Envelope(
            LONG, "a@example.test", (REMOTE, LOCAL), "a", "127.0.0.1", "h", "", True, 1.5, False, len(body)
        )
        assert store.load(LONG) == (expected, {0: REMOTE, 1: LOCAL}, body) and store.text(LONG).whole() == body
        assert store.waiting(LONG) == {0: Waiting(REMOTE, 0, 0, "")} and store.envelope(LONG)[1] is False
        store.close()
    store = Store(tmp_path / "queue.sqlite3")
    told = Notification(Envelope(store.new_id(), "", (LOCAL,), received=11.0), b"wait", delay=True)
    asyncio.run(store.record(LONG, (), {0: (20.0, "4.4.1")}, [told]))
    assert store.envelope(LONG)[0].size == len(body)
    new = keep(store, 3.0, REMOTE)
    assert store.envelope(new)[0].size == 1
    assert store.due_remote(30.0, 9, 9)[0] == [(new, "elsewhere.test"), (LONG, "elsewhere.test")]
    store.finish(SHORT, (3,)).result(10)
    assert store.load(SHORT) is None and store.count() == 3
    assert not store._read("SELECT 1 FROM sqlite_master WHERE name = 'recipient_is_local'")
    store.close()


@pytest.mark.parametrize("number", FORMATS)
def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path, number):
    older(tmp_path / "queue.sqlite3", number)
    old = sqlite3.connect(tmp_path / "queue.sqlite3", isolation_level=None)
    # In the way of the migration's last steps.
    old.execute("CREATE TABLE piece_of (x)")
    before = old.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    with pytest.raises(StoreError, match="cannot open the queue"):
        Store(tmp_path / "queue.sqlite3")
    assert old.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall() == before
    assert old.execute("PRAGMA user_version").fetchone() == (number,)
    old.execute("DROP TABLE piece_of")
    old.close()
    store = Store(tmp_path / "queue.sqlite3")
    assert store.count() == 2
    store.close()


# --- the Maildir ----------------------------------------------------------------------------------


def test_a_delivery_is_made_once(tmp_path):
    folder = tmp_path / "a" / "b" / "Maildir"
    assert deliver(folder, "1.name", [b"content"]) is True
    assert deliver(folder, "1.name", [b"content"]) is False
    assert (folder / "new" / "1.name").read_bytes() == b"content"
    assert oct((folder / "new" / "1.name").stat().st_mode & 0o777) == "0o600"
    assert sorted(path.name for path in folder.iterdir()) == ["cur", "new", "tmp"]
    assert list((folder / "tmp").iterdir()) == []


def test_a_message_that_was_read_is_not_delivered_again(tmp_path):
    deliver(tmp_path, "1.name", [b"content"])
    (tmp_path / "new" / "1.name").rename(tmp_path / "cur" / "1.name:2,S")
    assert deliver(tmp_path, "1.name", [b"content"], again=True) is False
    assert deliver(tmp_path, "1.nam", [b"content"], again=True) is True


def test_a_torn_copy_from_a_crash_is_written_anew(tmp_path):
    deliver(tmp_path, "0", [b""])
    (tmp_path / "tmp" / "1.name").write_bytes(b"a longer torn copy of another time")
    assert deliver(tmp_path, "1.name", [b"content"]) is True
    assert (tmp_path / "new" / "1.name").read_bytes() == b"content"


@pytest.mark.parametrize(
    ("domain", "local_part"), [("..", "x"), ("x", ".."), ("x", "a/b"), ("/", "x"), ("", "x"), ("x", "a\0b")]
)
def test_names_that_would_leave_the_folder(tmp_path, domain, local_part):
    with pytest.raises(UnsafeName):
        mailbox_folder(tmp_path, domain, local_part)


# --- local delivery -------------------------------------------------------------------------------


def test_local_recipients_are_delivered_and_remote_ones_stay(tmp_path, store):
    notes = Notes()
    before = message(store, LOCAL, sender="before@example.test")
    asyncio.run(store.add(before, b"Subject: 1\r\n\r\nbody\r\n"))
    delivery = LocalDelivery(store, tmp_path / "domains", notes)
    delivery.start()
    after = message(store, LOCAL, REMOTE, Recipient("u2", "example.test", True), sender="")
    asyncio.run(store.add(after, b"Subject: 2\r\n\r\nbody\r\n"))
    notes.wait("delivery.local", 3)
    delivery.close()
    new = tmp_path / "domains" / "example.test" / "u1" / "Maildir" / "new"
    contents = sorted(path.read_bytes() for path in new.iterdir())
    assert contents == [
        b"Return-Path: <>\nDelivered-To: u1@example.test\nSubject: 2\n\nbody\n",
        b"Return-Path: <before@example.test>\nDelivered-To: u1@example.test\nSubject: 1\n\nbody\n",
    ]
    assert store.load(before.id) is None
    assert list(store.load(after.id)[1].values()) == [REMOTE]


def test_a_mailbox_that_cannot_be_written_is_tried_again(tmp_path, store):
    notes = Notes()
    blocked = tmp_path / "domains" / "example.test" / "u1"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where a folder is needed")
    delivery = LocalDelivery(store, tmp_path / "domains", notes, retry_after=0.05)
    delivery.start()
    other = Recipient("u2", "example.test", True)
    asyncio.run(store.add(message(store, LOCAL, other), b"x\r\n"))
    notes.wait("delivery.failed")
    assert [fields["recipient"] for fields in notes.wait("delivery.local")] == ["u2@example.test"]
    blocked.unlink()
    notes.wait("delivery.local", 2)
    delivery.close()
    assert store.count() == 0
    assert len(list((blocked / "Maildir" / "new").iterdir())) == 1
    assert len(list((blocked.parent / "u2" / "Maildir" / "new").iterdir())) == 1


def test_a_delivery_that_was_made_but_not_noted_is_not_repeated(tmp_path):
    """The crash between the synced file and the change of the queue."""
    store = Store(tmp_path / "queue.sqlite3")
    envelope = message(store, LOCAL)
    asyncio.run(store.add(envelope, b"x\r\n"))
    store.close()
    shutil.copytree(tmp_path, tmp_path.parent / (tmp_path.name + "-before"))
    saved = tmp_path.parent / (tmp_path.name + "-before") / "queue.sqlite3"
    new = tmp_path / "domains" / "example.test" / "u1" / "Maildir" / "new"
    for turn in range(2):
        notes = Notes()
        store = Store(tmp_path / "queue.sqlite3")
        delivery = LocalDelivery(store, tmp_path / "domains", notes)
        delivery.start()
        (fields,) = notes.wait("delivery.local")
        assert fields["result"] == ("written", "there")[turn]
        delivery.close()
        store.close()
        assert len(list(new.iterdir())) == 1
        shutil.copy(saved, tmp_path / "queue.sqlite3")
