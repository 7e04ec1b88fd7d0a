# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One timer for many connections."""

from __future__ import annotations

import asyncio
import math

from postern.smtp.watch import TICK, Watch


class One:
    """Notes when it is looked at, and does something then."""

    def __init__(self, do=lambda now: None) -> None:
        self.turn = -1
        self.seen: list[float] = []
        self._do = do

    def look(self, now: float) -> None:
        self.seen.append(now)
        self._do(now)


def watched(play, seconds: float = 20.0) -> None:
    """Run ``play(watch, loop)``."""

    async def main():
        async with asyncio.timeout(seconds):
            loop = asyncio.get_running_loop()
            watch = Watch(loop)
            await play(watch, loop)
            watch.close()

    asyncio.run(main())


async def all_seen(*ones: One) -> None:
    """Until each was looked at."""
    while not all(one.seen for one in ones):
        await asyncio.sleep(TICK / 5)


def test_each_is_looked_at_when_it_is_due_and_not_before():
    async def play(watch, loop):
        begun = loop.time()
        ones = [One() for _number in range(40)]
        for number, one in enumerate(ones):
            watch.at(one, begun + (39 - number) / 50)
        await all_seen(*ones)
        for number, one in enumerate(ones):
            (seen,) = one.seen
            assert seen >= begun + (39 - number) / 50 - 0.01
            assert one.turn == -1

    watched(play)


def test_the_last_word_counts():
    async def play(watch, loop):
        later, sooner, forgotten, never, last = One(), One(), One(), One(), One()
        now = loop.time()
        watch.at(later, now + 0.1)
        watch.at(later, now + 3600)
        watch.at(sooner, now + 3600)
        watch.at(sooner, now + 0.1)
        watch.at(forgotten, now + 0.1)
        watch.forget(forgotten)
        watch.at(never, now + 0.1)
        watch.at(never, math.inf)
        watch.at(last, now + 0.1 + 3 * TICK)
        await all_seen(sooner, last)
        assert not later.seen and not forgotten.seen and not never.seen

    watched(play)


def test_a_look_may_ask_for_the_next_and_end_another():
    async def play(watch, loop):
        ends = loop.time()
        victims = []

        def again(now):
            if len(one.seen) < 3:
                watch.at(one, now + TICK / 2)
            for victim in victims:
                watch.forget(victim)

        one, last = One(again), One()
        watch.at(one, ends)
        for _number in range(20):
            victims.append(One(lambda now: [watch.forget(other) for other in (*victims, one)]))
            watch.at(victims[-1], ends)
        watch.at(last, ends + 6 * TICK)
        await all_seen(last)
        # Whoever of the first turn came first took all the others off.
        assert sum(len(victim.seen) for victim in victims) in (0, 1)
        assert len(one.seen) in (0, 3)

    watched(play)


def test_a_defect_of_one_keeps_no_other_from_being_looked_at():
    async def play(watch, loop):
        def fails(_now):
            raise ZeroDivisionError

        told: list[dict] = []
        loop.set_exception_handler(lambda _loop, context: told.append(context))
        now = loop.time()
        ones = [One(fails) for _number in range(5)]
        last = One()
        for one in ones:
            watch.at(one, now)
        watch.at(last, now + 3 * TICK)
        await all_seen(*ones, last)
        assert [type(context["exception"]) for context in told] == [ZeroDivisionError] * 5

    watched(play)


def test_nothing_is_left_of_what_ended():
    async def play(watch, loop):
        ones = [One() for _number in range(1000)]
        for number, one in enumerate(ones):
            watch.at(one, loop.time() + 10 + number)
        assert len([handle for handle in loop._scheduled if not handle.cancelled()]) <= 2
        for one in ones:
            watch.forget(one)
        assert not watch._turns

    watched(play)
