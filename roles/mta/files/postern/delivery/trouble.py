# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What cannot be done for now: said once when it begins; some of it is tried again after longer and longer waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass


@dataclass
class _Trouble:
    until: float
    wait: float
    asked: bool = False


class Troubles:
    """Things (a mailbox, a message, the disk) that are left alone for a while.

    The first wait is ``first`` seconds, each further one twice as long, up to ``most``. ``clock`` returns seconds.
    """

    def __init__(self, first: float, most: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._first, self._most, self._clock = first, max(first, most), clock
        self._known: dict[Hashable, _Trouble] = {}

    def met(self, what: Hashable) -> bool:
        """It went wrong now. Whether it had gone well before, so that somebody should be told."""
        known = self._known.get(what)
        if known is None:
            self._known[what] = _Trouble(self._clock() + self._first, self._first)
            return True
        # Of several that go wrong together only the first makes the wait longer.
        if known.until <= self._clock():
            known.wait = min(2 * known.wait, self._most)
            known.until, known.asked = self._clock() + known.wait, False
        return False

    def over(self, what: Hashable) -> bool:
        """It went well now. Whether it had gone wrong before."""
        return self._known.pop(what, None) is not None

    def blocked(self, what: Hashable) -> bool:
        """Whether it is to be left alone now."""
        known = self._known.get(what)
        return known is not None and known.until > self._clock()

    def due(self) -> bool:
        """Whether the wait for something has ended since this was last asked."""
        found = [each for each in self._known.values() if not each.asked and each.until <= self._clock()]
        for each in found:
            each.asked = True
        return bool(found)

    def next(self) -> float | None:
        """Seconds until the next wait ends; None when there is none."""
        waits = [each.until - self._clock() for each in self._known.values() if not each.asked]
        return max(0.0, min(waits)) if waits else None


class Said:
    """What is wrong and was said. Of at most ``limit`` things; an older one may then be said again."""

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._known: dict[Hashable, tuple[str, Hashable]] = {}

    def met(self, what: Hashable, reason: str, by: Hashable = None) -> bool:
        """It went wrong now. Whether that is to be said: it was well before, or had another reason.

        ``by``: whom it happened to.
        """
        if what in self._known and self._known[what][0] == reason:
            return False
        self._known[what] = reason, by
        if len(self._known) > self._limit:
            del self._known[next(iter(self._known))]
        return True

    def over(self, what: Hashable, by: Hashable = None) -> str:
        """It went well now: the reason that it had when it went wrong, empty if it did not.

        ``by``: whom it went well with; that others can do it does not mean that it is over. None: anybody will do.
        """
        if what not in self._known or by not in (None, self._known[what][1]):
            return ""
        return self._known.pop(what)[0]
