# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Long messages: they come in pieces, are messages at their end, are read in pieces, and go a few pieces at a time."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import postern
import pytest
from postern.queue import listing
from postern.queue.store import PIECE, Envelope, Recipient, Store, StoreError

LOCAL = Recipient("u1", "example.test", True)
REMOTE = Recipient("x", "elsewhere.test", False)
#: Three whole pieces and a little.
LONG = os.urandom(3 * PIECE + 777)


@pytest.fixture
def store(tmp_path):
    """An empty queue."""
    store = Store(tmp_path / "queue.sqlite3")
    yield store
    store.close()


def envelope(store: Store, *recipients: Recipient, number: int = 0) -> Envelope:
    """An envelope with a fresh id, or the one given."""
    return Envelope(number or store.new_id(), "a@example.test", recipients or (REMOTE,), received=1.0)


async def keep(store: Store, text: bytes, tail: int, *recipients: Recipient) -> int:
    """Store a long text of which the last octets come with its end; returns its id."""
    about = envelope(store, *recipients)
    spool = store.spool(about.id)
    await spool.write(text[: len(text) - tail])
    return await spool.finish(about, text[len(text) - tail :])


def pieces(store: Store) -> int:
    """How many pieces the file holds."""
    return store._read("SELECT count(*) FROM piece")[0][0]


def until(condition) -> None:
    """Wait until the writer has done in the background what it was asked for."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("tail", [0, 1, 1000, PIECE + 5])
def test_a_long_text_is_what_was_written(tmp_path, tail):
    store = Store(tmp_path / "queue.sqlite3")
    seen = []

    async def run() -> int:
        store.on_added(seen.append)
        return await keep(store, LONG, tail, LOCAL, REMOTE)

    number = asyncio.run(run())
    assert [(found.id, found.size, found.recipients) for found in seen] == [(number, len(LONG), (LOCAL, REMOTE))]
    for _turn in range(2):
        text = store.text(number)
        assert text.size == len(LONG) == store.envelope(number)[0].size
        found = list(text)
        assert b"".join(found) == LONG == text.whole() and 0 < min(map(len, found))
        assert max(map(len, found)) <= PIECE
        for octets in (0, 1, 1000, PIECE, PIECE + 1, len(LONG), len(LONG) + 1):
            assert text.head(octets) == LONG[:octets]
        assert [entry.size for entry in listing.entries(str(tmp_path / "queue.sqlite3"))] == [len(LONG)]
        store.close()
        store = Store(tmp_path / "queue.sqlite3")
    store.close()


def test_short_texts_are_read_the_same_way(store):
    short = envelope(store)
    asyncio.run(store.add(short, b"short"))
    text = store.text(short.id)
    assert (text.size, list(text), text.head(3), text.whole()) == (5, [b"short"], b"sho", b"short")
    empty = envelope(store)
    asyncio.run(store.add(empty, b""))
    assert list(store.text(empty.id)) == [] and store.text(empty.id).head(9) == b""
    assert store.text(1) is None


def test_a_long_row_of_an_older_version_is_read_in_pieces(store):
    old = envelope(store)
    asyncio.run(store.add(old, LONG))
    assert [len(piece) for piece in store.text(old.id)] == [PIECE, PIECE, PIECE, 777]
    assert store.text(old.id).whole() == LONG and pieces(store) == 0


def test_a_text_that_is_gone_says_so(store):
    async def run() -> None:
        number = await keep(store, LONG, 7)
        reading = iter(store.text(number))
        next(reading)
        await store.record(number, (0,), {})
        await asyncio.to_thread(until, lambda: pieces(store) == 0)
        with pytest.raises(StoreError, match="not in the queue any more"):
            next(reading)

    asyncio.run(run())


def test_before_its_end_it_is_no_message_and_dropped_it_leaves_nothing(store):
    async def run() -> None:
        about = envelope(store)
        spool = store.spool(about.id)
        await spool.write(LONG)
        assert pieces(store) == 4 and store.count() == 0 and store.text(about.id) is None
        await spool.drop()
        await spool.drop()
        for late in (spool.write(b"x"), spool.finish(about, b"x")):
            with pytest.raises(StoreError):
                await late
        await asyncio.to_thread(until, lambda: pieces(store) == 0)

    asyncio.run(run())


def test_dropping_does_nothing_to_a_message_that_was_finished(store):
    async def run() -> None:
        about = envelope(store)
        spool = store.spool(about.id)
        await spool.write(LONG)
        await spool.finish(about, b"")
        await spool.drop()
        # Behind everything that is done in the background.
        await keep(store, LONG, 0)
        assert store.text(about.id).whole() == LONG

    asyncio.run(run())


def test_an_end_that_fails_leaves_no_message_and_no_pieces(store):
    async def run() -> None:
        taken = envelope(store)
        await store.add(taken, b"x")
        spool = store.spool(taken.id)
        await spool.write(LONG)
        with pytest.raises(StoreError):
            await spool.finish(taken, b"")
        assert store.text(taken.id).size == 1
        # The pieces cannot be told from those of a message under this id while it is there.
        await store.record(taken.id, (0,), {})
        await asyncio.to_thread(until, lambda: pieces(store) == 0)

    asyncio.run(run())


def test_an_end_whose_client_went_away_is_announced_all_the_same(store):
    seen = []
    store.on_added(seen.append)

    async def run() -> None:
        about = envelope(store, LOCAL)
        spool = store.spool(about.id)
        await spool.write(LONG)
        task = asyncio.ensure_future(spool.finish(about, b"tail"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await store.add(envelope(store), b"behind it")
        assert [found.size for found in seen] == [len(LONG) + 4, 0]
        assert store.text(about.id).whole() == LONG + b"tail"

    asyncio.run(run())


def test_what_a_killed_server_left_is_removed_at_the_start(tmp_path):
    path = tmp_path / "queue.sqlite3"
    code = (
        "import asyncio, os, sys\nfrom postern.queue.store import *\n"
        "async def run():\n"
        "    store = Store(sys.argv[1])\n"
        "    kept = Envelope(store.new_id(), 'a@b.test', (Recipient('x', 'c.test', False),), received=1.0)\n"
        "    for ending in (True, False):\n"
        "        spool = store.spool(kept.id if ending else store.new_id())\n"
        "        await spool.write(b'x' * (20 * PIECE))\n"
        "        if ending:\n"
        "            await spool.finish(kept, b'tail')\n"
        "    os._exit(9)\n"
        "asyncio.run(run())\n"
    )
    environment = dict(os.environ, PYTHONPATH=str(Path(postern.__path__[0]).parent))
    ended = subprocess.run([sys.executable, "-c", code, str(path)], check=False, env=environment)
    assert ended.returncode == 9
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT count(*), count(DISTINCT message) FROM piece").fetchone() == (40, 2)
    raw.close()
    store = Store(path)
    until(lambda: pieces(store) == 20)
    assert store.count() == 1
    number = store._read("SELECT id FROM message")[0][0]
    assert store.text(number).whole() == b"x" * (20 * PIECE) + b"tail"
    # Known as a long one after a restart too.
    asyncio.run(store.record(number, (0,), {}))
    until(lambda: pieces(store) == 0)
    store.close()


def test_the_room_of_long_messages_is_used_again(tmp_path):
    store = Store(tmp_path / "queue.sqlite3")
    text = b"x" * (40 * PIECE)
    sizes = []
    for _turn in range(4):
        number = asyncio.run(keep(store, text, 5, LOCAL, REMOTE))
        asyncio.run(store.record(number, (1,), {}))
        assert store.text(number).size == len(text)
        store.finish(number, (0,)).result(10)
        until(lambda: pieces(store) == 0)
        sizes.append(store._read("PRAGMA page_count")[0][0] * 4096)
    store.close()
    assert sizes[-1] < sizes[0] + 4 * PIECE and sizes[-1] < 2 * len(text)


def test_others_go_on_between_the_pieces(store):
    """Pieces are many commits, short messages stand between them, and so does deleting."""
    order = []
    store._writer.connection.set_trace_callback(
        lambda sql: order.append("piece" if "INTO piece" in sql else sql.split()[0])
        if sql.startswith(("COMMIT", "DELETE FROM piece", "INSERT INTO message", "INSERT INTO piece"))
        else None
    )

    async def run() -> int:
        spools = [asyncio.ensure_future(keep(store, b"x" * (30 * PIECE), 1)) for _turn in range(8)]
        while not all(spool.done() for spool in spools):
            await store.add(envelope(store), b"short")
        await store.record(spools[0].result(), (0,), {})
        await asyncio.to_thread(until, lambda: pieces(store) == 7 * 30)

    asyncio.run(run())
    commits = " ".join(order).split("COMMIT")
    assert max(commit.count("piece") for commit in commits) <= 8
    assert sum("piece" in commit for commit in commits) >= 30
    assert sum("INSERT" in commit for commit in commits[: len(commits) // 2]) > 10
