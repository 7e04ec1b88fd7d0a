# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mailboxes of another program: aiosmtpd's LMTP server that does as it is told, and a real Dovecot."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiosmtpd.controller import UnixSocketController
from aiosmtpd.lmtp import LMTP
from postern.delivery import lane
from postern.delivery.lmtp_place import Place, read_place
from postern.delivery.local import LocalDelivery
from postern.delivery.postmaster import Postmaster
from postern.delivery.schedule import Schedule
from postern.queue.store import Envelope, Recipient, Store, id_text
from remote_harness import PATIENCE, Accounts, Events

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "devtools"))

import debian  # noqa: E402
import dovecot  # noqa: E402

BODY = b"Subject: x\r\n\r\nfirst\r\n.dot\r\n"


class Told:
    """What aiosmtpd's LMTP asks: takes everything, or answers as ``rcpt`` and ``data`` say (by local part)."""

    def __init__(self) -> None:
        self.rcpt: dict[str, str] = {}
        self.data: dict[str, str] = {}
        self.ends: set[str] = set()
        self.messages: list[tuple[str, list[str], bytes]] = []
        self.sessions: set[int] = set()

    async def handle_MAIL(self, _server, session, envelope, address, options):
        self.sessions.add(id(session))
        envelope.mail_from, envelope.mail_options = address, options
        return "250 2.1.0 OK"

    async def handle_RCPT(self, server, _session, envelope, address, _options):
        name = address.partition("@")[0]
        if name in self.ends:
            server.transport.close()
        if name in self.rcpt:
            return self.rcpt[name]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server, _session, envelope):
        self.messages.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        # RFC 2033 section 4.2: one reply for each.
        names = [address.partition("@")[0] for address in envelope.rcpt_tos]
        return "\r\n".join(self.data.get(name, "250 2.0.0 OK") for name in names)


class Post:
    """A queue whose local mail goes to ``place``, on a loop of its own. ``now`` is what the clock says."""

    def __init__(self, folder: Path, place: Place, **options) -> None:
        self.now = time.time()
        self.log = Events()
        self.store = Store(folder / "queue.sqlite3")
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        schedule = Schedule()
        postmaster = Postmaster(self.store, Accounts(), "mail.example.test", schedule)
        options = {"lmtp": {"*": place, "kept.test": None}, "retry_after": 0.02, **options}
        self.delivery = LocalDelivery(
            self.store, folder / "domains", self.log, postmaster=postmaster, schedule=schedule, clock=lambda: self.now, **options
        )
        self.run(self._start())

    async def _start(self) -> None:
        self.delivery.start()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)

    def put(self, *users: str, body: bytes = BODY, sender: str = "a@b.test", domain: str = "example.test", **about) -> int:
        """Store a message for mailboxes here; ``user+tag`` is one with a tag."""
        recipients = tuple(
            Recipient(user.partition("+")[0], domain, True, f"{user}@{domain}" if "+" in user else "") for user in users
        )
        envelope = Envelope(self.store.new_id(), sender, recipients, received=self.now, size=len(body), **about)
        return self.run(self.store.add(envelope, body))

    def empty(self) -> None:
        """Wait until nothing is queued."""
        end = time.monotonic() + PATIENCE
        while self.store.count():
            assert time.monotonic() < end, self.store.open_local()
            time.sleep(0.01)

    def close(self) -> None:
        self.delivery.close()
        self.store.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture
def told(tmp_path):
    handler = Told()
    controller = UnixSocketController(handler, str(tmp_path / "lmtp"))
    controller.factory = lambda: LMTP(handler, enable_SMTPUTF8=True)
    controller.start()
    yield handler
    controller.stop()


@pytest.fixture
def post(tmp_path, told, monkeypatch):
    monkeypatch.setattr(lane, "RETRY_AT_LAST", 0.1)
    post = Post(tmp_path, Place(path=str(tmp_path / "lmtp")))
    yield post
    post.close()


def test_one_transaction_and_one_reply_for_each(post, told):
    """One is taken, one waits, two are refused (at RCPT and behind the dot), and the sender is told once."""
    told.rcpt = {"gone": "550 5.1.1 no such user"}
    told.data = {"full": "452 4.2.2 over quota", "never": "554 5.7.1 not here"}
    number = post.put("one+tag", "full", "gone", "never")
    post.log.wait("delivery.refused", 2)
    post.log.wait("delivery.failed", recipient="full@example.test")
    assert told.messages[0] == ("a@b.test", [f"{name}@example.test" for name in ("one+tag", "full", "never")], BODY)
    assert [event["recipient"] for event in post.log.all("delivery.local")] == ["one@example.test"]
    event = post.log.wait("relay.notification")
    assert event["about"] == id_text(number) and event["recipient"] == "a@b.test"
    notice = post.store.text(int(event["id"], 16)).whole()
    assert notice.count(b"Final-Recipient:") == 2 and b"550 5.1.1 no such user" in notice and b"full@" not in notice
    assert post.store.open_local() == [number]
    told.data = {}
    post.log.wait("delivery.local", recipient="full@example.test")
    assert {tuple(names) for _sender, names, _text in told.messages[1:]} == {("full@example.test",)}
    assert len(post.log.all("relay.notification")) == 1 and len(post.log.all("delivery.failed")) == 1


def test_a_connection_is_kept_and_one_that_ended_meanwhile_is_made_anew(post, told):
    for _turn in range(5):
        post.put("u1")
    post.log.wait("delivery.local", 5)
    post.put("breaks")
    post.log.wait("delivery.local", recipient="breaks@example.test")
    assert len(told.sessions) <= 2


def test_a_message_that_breaks_the_connection_keeps_no_other(post, told):
    told.ends.add("breaks")
    post.put("breaks")
    for _turn in range(3):
        post.put("u1")
    post.log.wait("delivery.local", 3, recipient="u1@example.test")
    assert "the connection ended" in post.log.wait("delivery.failed", recipient="breaks@example.test")["error"]
    told.ends.clear()
    post.empty()
    assert not post.log.all("relay.notification")


@pytest.mark.parametrize("verb", ["greeting", "LHLO", "MAIL", "DATA"])
def test_a_refusal_of_everything_is_temporary(tmp_path, verb, monkeypatch):
    """Nobody is told, and the mail comes when the program has come to its senses."""
    monkeypatch.setattr(lane, "RETRY_AT_LAST", 0.1)
    right: set[str] = set()

    async def serve(reader, writer):
        async def say(step: str, line: str) -> None:
            writer.write((line if right or step != verb else "554 5.3.0 out of order").encode() + b"\r\n")
            await writer.drain()

        await say("greeting", "220 x")
        while line := (await reader.readline()).decode().upper().split()[:1]:
            good = {"LHLO": "250 PIPELINING", "DATA": "354 go"}.get(line[0], "250 2.0.0 OK")
            await say(line[0], good)
            if line == ["DATA"] and (right or verb != "DATA"):
                await reader.readuntil(b"\r\n.\r\n")
                await say("dot", "250 2.0.0 OK")
        writer.close()

    socket = tmp_path / "lmtp"
    post = Post(tmp_path, Place(path=str(socket)))
    server = post.run(asyncio.start_unix_server(serve, socket))
    try:
        number = post.put("u1")
        post.log.wait("delivery.failed")
        assert "554 5.3.0 out of order" in post.log.all("delivery.failed")[0]["error"] and post.store.open_local() == [number]
        right.add(verb)
        post.empty()
        assert not post.log.all("relay.notification") and len(post.log.all("delivery.failed")) == 1
    finally:
        server.close()
        post.close()


def test_mail_for_a_program_that_is_gone_comes_back_after_its_lifetime(tmp_path, monkeypatch):
    """And the Maildirs of another domain have their mail meanwhile."""
    monkeypatch.setattr(lane, "RETRY_AT_LAST", 0.1)
    post = Post(tmp_path, Place(path=str(tmp_path / "nobody")))
    try:
        number = post.put("u1")
        assert "no connection: no such file" in post.log.wait("delivery.failed")["error"]
        post.put("u1", domain="kept.test")
        post.log.wait("delivery.local", recipient="u1@kept.test")
        (file,) = (tmp_path / "domains" / "kept.test" / "u1" / "Maildir" / "new").iterdir()
        assert file.stat().st_mode & 0o7777 == 0o600 and file.parent.stat().st_mode & 0o7777 == 0o700
        post.now += 432_001
        assert post.log.wait("relay.notification")["about"] == id_text(number)
    finally:
        post.close()


def test_who_cannot_be_told_is_said_in_the_log(post, told):
    told.rcpt = {"gone": "550 5.1.1 no such user"}
    post.put("gone", sender="")
    assert "notification" in post.log.wait("relay.dropped", recipients="gone@example.test")["reason"]
    post.empty()


def test_a_real_dovecot(tmp_path_factory):
    """Its own replies for a user that it does not know, tags, long messages, and 60 recipients at once."""
    names = [f"u{number}" for number in range(60)]
    with ExitStack() as stack:
        # Its processes are other users', who cannot enter pytest's own folder.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="securemail-dovecot-")))
        folder.chmod(0o755)
        try:
            program = stack.enter_context(dovecot.Dovecot(folder, [f"{name}@example.test" for name in names]))
        except debian.Unavailable as reason:
            pytest.skip(str(reason))
        post = Post(tmp_path_factory.mktemp("post"), Place(path=str(program.socket)))
        try:
            long = b"Subject: long\r\n\r\n" + b".line of some length\r\n" * 20_000
            number = post.put("u1+tag", "nobody", *names[2:], body=long)
            post.log.wait("delivery.refused", recipient="nobody@example.test")
            assert post.log.wait("relay.notification")["about"] == id_text(number)
            assert len(post.log.all("delivery.local")) == 59
            (text,) = program.messages("u1@example.test")
            assert text.endswith(long.replace(b"\r\n", b"\n")) and text.startswith(b"Return-Path: <a@b.test>\n")
            assert all(len(program.messages(f"{name}@example.test")) == 1 for name in names[2:])
            # Of a message for several it keeps one text.
            post.put("u0+tag")
            post.log.wait("delivery.local", recipient="u0@example.test")
            assert b"\nDelivered-To: u0+tag@example.test\n" in program.messages("u0@example.test")[0]
        finally:
            post.close()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("unix:/run/dovecot/lmtp", Place(path="/run/dovecot/lmtp")),
        ("127.0.0.1:24", Place(host="127.0.0.1", port=24)),
        ("[::1]:24", Place(host="::1", port=24)),
        ("mail.example.org:24", Place(host="mail.example.org", port=24)),
        ("unix:run/lmtp", None),
        ("unix:/" + "x" * 107, None),
        ("127.0.0.1", None),
        ("::1:24", None),
        ("host:0", None),
        (":24", None),
        ("a b:24", None),
    ],
)
def test_places(text, place):
    if place is None:
        with pytest.raises(ValueError, match="is not unix:"):
            read_place(text)
    else:
        assert read_place(text) == place and str(place) == text
