# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Failures that wait for the other domains of their message, so that its sender is told once and not by each of them.

Nothing of it is on the disk, and nothing need be: until its sender is told a recipient is in the queue, and a crash has
it tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .attempt import Tried
from .verdict import Work

#: Seconds that a failure waits for the others at most: one slow host must not keep the sender from knowing.
PATIENCE = 60.0


class Gathering:
    """``ready`` is called on the event loop with a message whose failures waited for ``patience`` seconds."""

    def __init__(self, ready: Callable[[int], None], patience: float = PATIENCE) -> None:
        self._ready = ready
        self._patience = patience
        self._failed: dict[int, list[tuple[Work, Tried]]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def __contains__(self, message: int) -> bool:
        return message in self._failed

    def has(self, message: int, domain: str) -> bool:
        """Whether an attempt for this domain is kept."""
        return any(work.domain == domain for work, _tried in self._failed.get(message, ()))

    def messages(self) -> tuple[int, ...]:
        """All that something is kept of."""
        return tuple(self._failed)

    def add(self, work: Work, tried: Tried) -> None:
        """Keep an attempt, of which all recipients failed."""
        message = work.envelope.id
        self._failed.setdefault(message, []).append((work, tried))
        if message not in self._timers:
            self._timers[message] = asyncio.get_running_loop().call_later(self._patience, self._ready, message)

    def take(self, message: int) -> list[tuple[Work, Tried]]:
        """What was kept of a message, which is then to be told."""
        timer = self._timers.pop(message, None)
        if timer is not None:
            timer.cancel()
        return self._failed.pop(message, [])
