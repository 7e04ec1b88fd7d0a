# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much of this server another host gets, and which hosts are left alone for a while because they did not answer.

A host that does not answer is asked again by one message, not by each of ten thousand: the others are put off until
then. The wait grows with every failure and is never longer than that of a message which was tried as often; the message
that found out goes by its own schedule, so a lone one is never put off.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from .outcome import HostFailed
from .schedule import Schedule

#: Destinations that are remembered; beyond that the oldest failures are forgotten, and these hosts are asked again.
_REMEMBERED = 10_000


@dataclass(frozen=True)
class Bounds:
    """What sending may take. ``connections`` in all, ``per_host`` to one IP address, ``per_domain`` for the mail to one
    recipient domain. A connection is ``kept`` for so many seconds behind a message (0: it is not), has at most
    ``messages`` and is no older than ``age`` seconds when one begins. ``longest_wait``: seconds between two looks at a
    host that does not answer."""

    connections: int = 50
    per_host: int = 5
    per_domain: int = 5
    kept: float = 5.0
    messages: int = 100
    age: float = 300.0
    longest_wait: float = 1800.0


@dataclass
class Rest:
    """A destination that is left alone: until when (seconds since the epoch), after how many failures in a row, the
    last of them, the message that was to be sent then, and how many others were put off since."""

    until: float
    failures: int
    failure: HostFailed
    message: int
    put_off: int = 0


class Destinations:
    """Who is left alone. A destination is anything that can be a key: an address with its port, or what is asked of it
    beside that. ``clock`` returns seconds since the epoch."""

    def __init__(self, schedule: Schedule, longest_wait: float, clock: Callable[[], float]) -> None:
        self._schedule = schedule
        self._longest = longest_wait
        self._clock = clock
        self._rests: dict[Hashable, Rest] = {}
        #: Recipient domains whose mail was put off, until when.
        self._quiet: dict[str, float] = {}

    def rest(self, message: int, *destinations: Hashable) -> Rest | None:
        """The longest rest that one of these has now; None when all of them may be tried with this message."""
        if not self._rests:
            return None
        now = self._clock()
        found = [rest for key in destinations if (rest := self._rests.get(key)) is not None]
        found = [rest for rest in found if self._holds(rest.until, now) and rest.message != message]
        return max(found, key=lambda rest: rest.until, default=None)

    def failed(self, destination: Hashable, failure: HostFailed, message: int) -> Rest | None:
        """It was tried in vain; returns the rest that begins, None when another attempt had begun it."""
        now = self._clock()
        known = self._rests.get(destination)
        if known is not None and self._holds(known.until, now):
            # Several were under way when the first one failed: together they are one failure.
            return None
        failures = known.failures + 1 if known is not None else 1
        if known is None and len(self._rests) >= _REMEMBERED:
            del self._rests[next(iter(self._rests))]
        put_off = known.put_off if known is not None else 0
        rest = self._rests[destination] = Rest(now + self._wait(failures), failures, failure, message, put_off)
        return rest

    def answered(self, *destinations: Hashable) -> list[Rest]:
        """They are there; returns the rests that this ends."""
        if not self._rests:
            return []
        return [rest for key in destinations if (rest := self._rests.pop(key, None)) is not None]

    def forget(self) -> None:
        """All may be tried again."""
        self._rests.clear()
        self._quiet.clear()

    def note(self, domain: str, until: float) -> None:
        """Mail for this domain was put off until then; 0: it was not."""
        if until:
            self._quiet[domain] = until
            if len(self._quiet) > _REMEMBERED:
                del self._quiet[next(iter(self._quiet))]
        elif self._quiet:
            self._quiet.pop(domain, None)

    def is_quiet(self, domain: str) -> bool:
        """Whether mail for this domain will probably be put off."""
        return bool(self._quiet) and self._holds(self._quiet.get(domain, 0.0), self._clock())

    def left(self, rest: Rest) -> float:
        """Seconds until it ends."""
        return max(0.0, rest.until - self._clock())

    def _holds(self, until: float, now: float) -> bool:
        # What is further away than any wait was said before the clock was set back.
        return now < until <= now + self._schedule.longest

    def _wait(self, failures: int) -> float:
        first = self._schedule.retry[0]
        of_a_message = self._schedule.retry[min(failures, len(self._schedule.retry)) - 1]
        return min(of_a_message, first * 2.0 ** min(failures - 1, 30), max(first, self._longest))
