# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""When mail that could not be sent is tried again, when its sender is told, and when it is given up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """All times in seconds. ``retry``: the waits after the first, second, … attempt, the last one for all others.

    Mail is given up ``lifetime`` after it was accepted (RFC 5321 section 4.5.4.1: four to five days), and its sender
    is told of the delay once after ``warn_after`` (0: never).
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
        return min([until, *(moment for moment in moments if moment > now)])

    def is_late(self, received: float, now: float) -> bool:
        """Whether the sender is to be told that the mail waits."""
        return self.warn_after > 0 and now >= received + self.warn_after

    def is_over(self, received: float, now: float) -> bool:
        """Whether the mail is not tried any more."""
        return now >= received + self.lifetime
