# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The durable queue and the Maildir, as files."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import smtplib
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from postern.delivery.local import LocalDelivery
from postern.delivery.maildir import UnsafeName, deliver, mailbox_folder
from postern.queue.store import Envelope, Recipient, Store, StoreError, id_text


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
    envelope = message(store, LOCAL, REMOTE)
    asyncio.run(store.add(envelope, b"body \0 \xff"))
    store.close()
    store = Store(tmp_path / "queue.sqlite3")
    found, recipients, body = store.load(envelope.id)
    store.close()
    assert found == envelope and body == b"body \0 \xff"
    assert recipients == {0: LOCAL, 1: REMOTE}


def test_every_connection_syncs_at_commit(store):
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


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
    store._connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
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
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count={pages + 20}")
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


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_the_sync_comes_before_the_reply(tmp_path):
    command = [sys.executable, str(Path(__file__).with_name("queue_server.py")), str(tmp_path)]
    trace = tmp_path / "trace"
    traced = ["strace", "-f", "-e", "trace=fdatasync,fsync,sendto", "-o", str(trace), *command]
    process = subprocess.Popen(traced, stdout=subprocess.PIPE, text=True)
    greeting = process.stdout.readline()
    if not greeting:
        process.wait(10)
        pytest.skip("tracing of processes is not permitted here")
    port, server = map(int, greeting.split())
    try:
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.sendmail("a@example.test", ["postmaster@example.test"], "Subject: x\r\n\r\nx")
    finally:
        os.kill(server, signal.SIGKILL)
        process.communicate(timeout=10)
    calls = [line for line in trace.read_text().splitlines() if "sync(" in line or "sendto(" in line]
    reply = next(place for place, line in enumerate(calls) if "queued as" in line)
    question = next(place for place, line in enumerate(calls) if "354 " in line)
    assert any("sync(" in line for line in calls[question:reply])


# --- the Maildir ----------------------------------------------------------------------------------


def test_a_delivery_is_made_once(tmp_path):
    folder = tmp_path / "a" / "b" / "Maildir"
    assert deliver(folder, "1.name", b"content") is True
    assert deliver(folder, "1.name", b"content") is False
    assert (folder / "new" / "1.name").read_bytes() == b"content"
    assert oct((folder / "new" / "1.name").stat().st_mode & 0o777) == "0o600"
    assert sorted(path.name for path in folder.iterdir()) == ["cur", "new", "tmp"]
    assert list((folder / "tmp").iterdir()) == []


def test_a_message_that_was_read_is_not_delivered_again(tmp_path):
    deliver(tmp_path, "1.name", b"content")
    (tmp_path / "new" / "1.name").rename(tmp_path / "cur" / "1.name:2,S")
    assert deliver(tmp_path, "1.name", b"content", again=True) is False
    assert deliver(tmp_path, "1.nam", b"content", again=True) is True


def test_a_torn_copy_from_a_crash_is_written_anew(tmp_path):
    deliver(tmp_path, "0", b"")
    (tmp_path / "tmp" / "1.name").write_bytes(b"a longer torn copy of another time")
    assert deliver(tmp_path, "1.name", b"content") is True
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
        b"Return-Path: <>\nSubject: 2\n\nbody\n",
        b"Return-Path: <before@example.test>\nSubject: 1\n\nbody\n",
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
    notes.wait("delivery.failed", 2)
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
