# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who commits a message: the event loop where the disk is quick, the writer's thread where it is not or has work."""

from __future__ import annotations

import asyncio
import threading

import pytest
from postern.queue.store import Store


@pytest.fixture(name="writer")
def _writer(tmp_path):
    store = Store(tmp_path / "queue.sqlite3")
    yield store._writer
    store.close()


def committed_by(writer, changes=1, apply=lambda connection: None):
    """The threads that make so many changes of one turn of the loop, and what each was told."""

    async def ask():
        loop = asyncio.get_running_loop()
        threads, told = [], []
        over = loop.create_future()

        def done(error):
            told.append(error)
            if len(told) == changes:
                over.set_result(None)

        def change(connection):
            threads.append(threading.current_thread().name)
            apply(connection)

        for _turn in range(changes):
            writer.change_soon(change, done)
        await asyncio.wait_for(over, 30)
        return threads, told

    return asyncio.run(ask())


def test_a_quick_disk_needs_no_thread(writer):
    # Nothing is known of the disk before the first commit.
    assert committed_by(writer) == (["queue-writer"], [None])
    writer._pace = 0.0001
    assert committed_by(writer, 3) == (["MainThread"] * 3, [None] * 3)


def test_one_slow_commit_is_enough_for_the_thread(writer):
    committed_by(writer)
    writer._pace = 1.0
    assert committed_by(writer) == (["queue-writer"], [None])
    # It is forgotten bit by bit.
    assert writer._pace < 1.0


def test_the_loop_does_not_wait_for_the_thread(writer):
    committed_by(writer)
    writer._pace = 0.0001
    begun, go_on = threading.Event(), threading.Event()
    held = writer.submit(lambda connection: (begun.set(), go_on.wait(30)))
    assert begun.wait(30)

    async def ask():
        told = asyncio.get_running_loop().create_future()
        threads = []
        writer.change_soon(lambda connection: threads.append(threading.current_thread().name), told.set_result)
        # Another turn of the loop: had it waited for the connection, it would never come to this.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        go_on.set()
        return threads, await asyncio.wait_for(told, 30)

    assert asyncio.run(ask()) == (["queue-writer"], None)
    assert held.result(30) is None


def test_a_bad_change_takes_no_company_with_it(writer):
    committed_by(writer)
    writer._pace = 0.0001
    turns = []

    def apply(connection):
        turns.append(1)
        if len(turns) % 3 == 2:
            connection.execute("INSERT INTO nowhere VALUES (1)")

    _threads, told = committed_by(writer, 3, apply)
    assert [error is None for error in told].count(False) == 1
