# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much a listener is asked to bear: connections, seconds, and when a scanner has to stop knocking."""

from __future__ import annotations

import time
import typing as t

from .reply import BUDGET, SERVER_BUSY, Unobservable

#: So many connections in a row that a server turned away are its answer: no more of them.
PATIENCE = 2


class Budget:
    """The allowance for one listener, spent by :class:`~.visit.Visit`.

    ``max_connections`` in all; ``step_timeout`` seconds for each step (connecting, a reply, a handshake) and
    ``total_timeout`` seconds for all of them, counted from the making of this object; ``pause`` seconds between two
    connections. ``connections`` is how many were made, ``turned_away`` what the server said or did when it would not
    talk ("" when that never happened).
    """

    def __init__(
        self,
        max_connections: int = 60,
        step_timeout: float = 10.0,
        total_timeout: float = 60.0,
        pause: float = 0.0,
    ) -> None:
        self.max_connections = max_connections
        self.step_timeout = step_timeout
        self.total_timeout = total_timeout
        self.pause = pause
        self.connections = 0
        self.turned_away = ""
        self._started = time.monotonic()
        self._deadline = self._started + total_timeout
        self._in_a_row = 0
        self._now = False

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._started

    @property
    def stopped(self) -> str:
        """Why no further connection is made; "" while some may be."""
        error = self._refusal()
        return "" if error is None else error.reason

    def spend(self) -> int:
        """Take one connection and give its number, from 1. Raises :class:`~.reply.Unobservable` when there is none."""
        self._in_a_row = self._in_a_row if self._now else 0
        error = self._refusal()
        if error is not None:
            raise error
        if self.connections and self.pause:
            time.sleep(min(self.pause, self._left()))
            self.step()
        self._now = False
        self.connections += 1
        return self.connections

    def step(self) -> float:
        """Seconds that the next step may take, never 0. Raises :class:`~.reply.Unobservable` when all are used up."""
        left = self._left()
        if left <= 0:
            raise Unobservable("the %g s for this listener are used up" % self.total_timeout, BUDGET)
        return min(self.step_timeout, left)

    def sent_away(self, words: str, at_the_door: bool = True) -> None:
        """The server turned the present connection away (421, or no greeting where there was one before).

        ``at_the_door`` False: it had let the probe in before.
        """
        if at_the_door and not self._now:
            self._now = True
            self._in_a_row += 1
        self.turned_away = words

    def blocked(self, words: str) -> None:
        """The server has stopped talking to the probe: no further connection."""
        self.turned_away = words
        self._in_a_row = PATIENCE
        self._now = True

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _refusal(self) -> t.Optional[Unobservable]:
        if self._in_a_row >= PATIENCE:
            # A blocked scanner must stop knocking; each knock may make the block longer.
            return Unobservable("turned away: %s" % self.turned_away, SERVER_BUSY)
        if self.connections >= self.max_connections:
            return Unobservable("the budget of %d connections is used up" % self.max_connections, BUDGET)
        if self._left() <= 0:
            return Unobservable("the %g s for this listener are used up" % self.total_timeout, BUDGET)
        return None
