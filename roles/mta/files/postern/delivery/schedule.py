# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""When mail that could not be sent is tried again, when its sender is told, and when it is given up."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Seconds by which clocks are corrected all the time, and which mean nothing.
SLACK = 60.0


@dataclass(frozen=True)
class Schedule:
    """All times in seconds. ``retry``: the waits after the first, second, … attempt, the last one for all others.

    Mail is given up ``lifetime`` after it was accepted (RFC 5321 section 4.5.4.1: four to five days), and its sender
    is told of the delay once after ``warn_after`` (0: never).

    The times are those of the host's clock, which may be set. Set forward, mail is tried earlier, and what is too old
    is given up after an attempt. Set back, no mail waits longer than the longest of the waits.
    """

    retry: tuple[float, ...] = (300, 900, 1800, 3600, 7200, 14400)
    lifetime: float = 432_000
    warn_after: float = 14_400

    def next_attempt(self, received: float, attempts: int, now: float) -> float:
        """When to try again after an attempt that failed ``now``; ``attempts`` were made before it.

        The moments at which the sender is told and the mail given up are attempts too: what a notification says then
        is what was seen just before.
        """
        return self.put_off(received, now + self.retry[min(attempts, len(self.retry) - 1)], now)

    def put_off(self, received: float, until: float, now: float) -> float:
        """When to try again what cannot be tried before ``until``: earlier where its sender is to be told something."""
        moments = [received + span for span in (self.warn_after, self.lifetime) if span]
        # The clock may have been set back since ``until`` was known.
        return min([until, now + self.longest, *(moment for moment in moments if moment > now)])

    @property
    def longest(self) -> float:
        """No moment for the next attempt is further away than this."""
        return max(self.retry) + SLACK

    def is_due(self, due: float, now: float) -> bool:
        """Whether to try now what was to be tried at ``due``."""
        # Further away than any wait: the clock was set back since.
        return due <= now or due > now + self.longest

    def is_late(self, received: float, now: float) -> bool:
        """Whether the sender is to be told that the mail waits."""
        return self.warn_after > 0 and now >= received + self.warn_after

    def is_over(self, received: float, now: float, attempts: int = 0) -> bool:
        """Whether the mail is not tried any more; ``attempts`` were made before the one that failed now."""
        if received > now + SLACK:
            # It came when the clock was wrong, and nobody knows how old it is. A clock that was years ahead must not
            # keep it for years.
            return attempts + 1 >= self._attempts_in_a_lifetime
        return now >= received + self.lifetime

    @property
    def _attempts_in_a_lifetime(self) -> int:
        *first, last = self.retry
        return 1 + len(first) + math.ceil(max(0.0, self.lifetime - sum(first)) / max(last, 0.001))
