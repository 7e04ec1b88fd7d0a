# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the queue into mailboxes: a page at a time, large messages in pieces, and disks that are full."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import time

import pytest
from postern.delivery import lane, maildir
from postern.delivery.local import LocalDelivery
from postern.delivery.trouble import Troubles
from postern.queue.store import Envelope, Recipient, Store, StoreError, id_text
from remote_harness import PATIENCE, Events

BODY = b"Subject: x\r\n\r\nbody\r\n"


class Post:
    """A queue and its mailboxes in a folder."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.log = Events()
        self.store = Store(folder / "queue.sqlite3")
        self.delivery: LocalDelivery | None = None

    def put(self, *users: str, body: bytes = BODY, **about) -> int:
        """Store a message for users here; returns its id."""
        recipients = tuple(Recipient(user, "example.test", True) for user in users)
        envelope = Envelope(self.store.new_id(), "a@b.test", recipients, received=time.time(), **about)
        return asyncio.run(self.store.add(envelope, body))

    def start(self, **options) -> None:
        self.delivery = LocalDelivery(self.store, self.folder / "domains", self.log, **options)
        self.delivery.start()

    def mailbox(self, user: str):
        return self.folder / "domains" / "example.test" / user / "Maildir"

    def files(self, user: str) -> list:
        return sorted((self.mailbox(user) / "new").iterdir()) if self.mailbox(user).exists() else []

    def empty(self) -> None:
        """Wait until nothing is queued."""
        end = time.monotonic() + PATIENCE
        while self.store.count():
            assert time.monotonic() < end, self.store.open_local()
            time.sleep(0.01)

    def close(self) -> None:
        if self.delivery is not None:
            self.delivery.close()
        self.store.close()


@pytest.fixture
def post(tmp_path):
    post = Post(tmp_path)
    yield post
    post.close()


def test_a_backlog_is_delivered_page_by_page(post, monkeypatch):
    monkeypatch.setattr(lane, "PAGE", 3)
    numbers = [post.put("u1", f"u{turn % 4}") for turn in range(20)]
    post.start()
    numbers += [post.put("u1", "u2") for _turn in range(5)]
    post.empty()
    assert [path.name.split(".")[1][:16] for path in post.files("u1")].count(id_text(numbers[0])) == 1
    assert len(post.log.all("delivery.local")) == 50 and not post.log.all("delivery.error")
    assert sum(len(post.files(f"u{n}")) for n in range(4)) == 50


def test_a_message_that_was_long_on_its_way_in_is_not_passed_over(post):
    early = post.store.new_id()
    post.start()
    post.put("u1")
    post.empty()
    asyncio.run(post.store.add(Envelope(early, "", (Recipient("u2", "example.test", True),)), BODY))
    post.empty()
    assert len(post.files("u2")) == 1


def test_what_is_for_others_stays(post):
    recipients = (Recipient("x", "a.test", False), Recipient("u1", "example.test", True))
    number = asyncio.run(post.store.add(Envelope(post.store.new_id(), "", recipients), BODY))
    post.start()
    post.log.wait("delivery.local", id=id_text(number))
    post.delivery.close()
    assert list(post.store.waiting(number)) == [0] and post.store.open_local() == []


def test_mail_in_utf8_is_delivered_as_it_is(post):
    body = "Subject: Grüße\r\n\r\nä\r\n".encode()
    recipient = Recipient("jürgen", "example.test", True)
    envelope = Envelope(post.store.new_id(), "ü@b.test", (recipient,), smtputf8=True)
    asyncio.run(post.store.add(envelope, body))
    post.start()
    post.empty()
    (file,) = post.files("jürgen")
    assert file.read_bytes() == "Return-Path: <ü@b.test>\nDelivered-To: jürgen@example.test\nSubject: Grüße\n\nä\n".encode()


# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_full_disk_is_said_once_and_nothing_is_lost(post, monkeypatch, number):
    real, refused = os.fsync, []

    def fsync(descriptor):
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return real(descriptor)
        refused.append(descriptor)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(maildir.os, "fsync", fsync)
    # What is said of all files together is asked of each.
    monkeypatch.setattr(maildir, "_SYNCFS", lambda _descriptor: -1)
    monkeypatch.setattr(lane, "RETRY_AT_LAST", 0.1)
    post.put("u1", "u2", "u3")
    post.start(retry_after=0.05)
    post.log.wait("delivery.failed")
    for turn in range(30):
        post.put(f"u{turn % 3}")
    seen, end = len(refused), time.monotonic() + PATIENCE
    while len(refused) < seen + 3:
        assert time.monotonic() < end, "what cannot be synced was taken for synced"
        time.sleep(0.01)
    assert len(post.log.all("delivery.failed")) == 1 and not post.log.all("delivery.local")
    monkeypatch.setattr(maildir.os, "fsync", real)
    post.empty()
    assert sum(len(post.files(f"u{n}")) for n in range(4)) == 33
    post.log.wait("delivery.recovered")


def test_a_mailbox_that_cannot_be_written_keeps_no_other_from_its_mail(post):
    blocked = post.mailbox("u1").parent
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where a folder is needed")
    post.start(retry_after=0.05)
    for _turn in range(5):
        post.put("u1", "u2")
    post.log.wait("delivery.local", 5, recipient="u2@example.test")
    assert [event["recipient"] for event in post.log.all("delivery.failed")] == ["u1@example.test"]
    blocked.unlink()
    post.empty()
    assert len(post.files("u1")) == len(post.files("u2")) == 5


def test_what_cannot_be_taken_off_the_queue_is_delivered_once(post, monkeypatch):
    """A reader takes the message away in the meantime: it must not come again."""
    real, refused = post.store.finish_all, []

    def finish_all(*arguments):
        if len(refused) < 3:
            refused.append(arguments)
            raise StoreError("not stored: the disk has no room", full=True)
        return real(*arguments)

    monkeypatch.setattr(post.store, "finish_all", finish_all)
    post.put("u1", "u2")
    post.start(retry_after=0.05)
    post.log.wait("delivery.error")
    for user in ("u1", "u2"):
        (file,) = post.files(user)
        file.unlink()
    post.empty()
    assert len(refused) == 3 and post.files("u1") == post.files("u2") == []
    assert len(post.log.all("delivery.error")) == 1 and len(post.log.all("delivery.local")) == 2


def test_a_folder_that_was_taken_away_is_made_again(post):
    post.start()
    post.put("u1")
    post.empty()
    (post.mailbox("u1") / "new").rename(post.folder / "old")
    post.put("u1")
    post.empty()
    assert len(post.files("u1")) == 1


def test_a_name_that_is_no_folder_stays_and_is_said_once(post):
    post.put("..", "u1")
    post.start(retry_after=0.02)
    post.log.wait("delivery.local")
    post.put("u1")
    post.log.wait("delivery.local", 2)
    assert [event["recipient"] for event in post.log.all("delivery.failed")] == ["..@example.test"]


def test_waits_grow_and_company_does_not_make_them_longer():
    now = [0.0]
    troubles = Troubles(10, 25, clock=lambda: now[0])
    assert troubles.next() is None and not troubles.due()
    assert troubles.met("a") and not troubles.met("a") and not troubles.met("a")
    assert troubles.blocked("a") and not troubles.blocked("b") and troubles.next() == 10
    now[0] = 10
    assert not troubles.blocked("a") and troubles.due() and not troubles.due() and troubles.next() is None
    assert not troubles.met("a") and troubles.next() == 20
    now[0] = 30
    assert not troubles.met("a") and troubles.next() == 25
    assert troubles.over("a") and not troubles.over("a") and not troubles.blocked("a")
    assert troubles.met("a") and troubles.next() == 10


# --- pieces ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", range(14))
def test_line_ends_are_found_wherever_a_text_is_cut(tmp_path, place):
    body = b"a\r\nb\r\r\nc\n\rd\r"
    maildir.deliver(tmp_path / "box", "one", [body[:place], body[place:]])
    assert (tmp_path / "box" / "new" / "one").read_bytes() == b"a\nb\r\nc\n\rd\r"


def test_a_text_that_cannot_be_read_leaves_nothing(tmp_path):
    def pieces():
        yield b"half"
        raise StoreError("the queue cannot be read")

    with pytest.raises(StoreError):
        maildir.deliver(tmp_path / "box", "one", pieces())
    assert not list((tmp_path / "box" / "new").iterdir()) and not list((tmp_path / "box" / "tmp").iterdir())
