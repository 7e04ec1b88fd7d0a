# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One timer for all connections: each is looked at when its time may be up, and none before.

A timer of its own for each of ten thousand idle connections costs memory and, when clients are busy, a heap full of
cancelled ones. Here a connection stands in the set of the quarter of a second in which it has to be looked at. What it
does meanwhile moves nothing; when its turn comes it says when it wants to be looked at again.
"""

from __future__ import annotations

import asyncio
import math
import typing as t

#: Seconds: how late a look may be.
TICK = 0.25


class Watched(t.Protocol):
    """What can be watched. ``turn`` belongs to the watch: the tick at which it is due, -1 when it is not watched."""

    turn: int

    def look(self, now: float) -> None:
        """Do what is due at ``now`` (seconds of the event loop's clock)."""


class Watch:
    """Calls :meth:`Watched.look` of many at their times. Belongs to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._turns: dict[int, set[Watched]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0

    def at(self, one: Watched, when: float) -> None:
        """Look at ``one`` at ``when`` (``math.inf``: never) or up to a tick later.

        It takes the place of what was said of this one before.
        """
        turn = math.ceil(when / TICK) if when != math.inf else -1
        if turn == one.turn:
            return
        self.forget(one)
        if turn < 0:
            return
        one.turn = turn
        waiting = self._turns.get(turn)
        if waiting is None:
            waiting = self._turns[turn] = set()
        waiting.add(one)
        if self._timer is None or turn < self._next:
            self._wake_at(turn)

    def forget(self, one: Watched) -> None:
        """Look at it no more."""
        waiting = self._turns.get(one.turn)
        if waiting is not None:
            waiting.discard(one)
            if not waiting:
                del self._turns[one.turn]
        one.turn = -1

    def close(self) -> None:
        """Look at nothing any more."""
        self._turns.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake_at(self, turn: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = turn
        self._timer = self._loop.call_at(turn * TICK, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._loop.time()
        for turn in sorted(turn for turn in self._turns if turn * TICK <= now + TICK / 100):
            for one in self._turns.pop(turn):
                # A look at one may have ended another.
                if one.turn == turn:
                    one.turn = -1
                    self._look(one, now)
        if self._turns:
            self._wake_at(min(self._turns))

    def _look(self, one: Watched, now: float) -> None:
        try:
            one.look(now)
        except Exception as defect:
            # One with a defect must not keep the others of its turn, and all later ones, from being looked at.
            self._loop.call_exception_handler({"message": "a look at a connection failed", "exception": defect})
