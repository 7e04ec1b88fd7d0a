# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read of the queue before an attempt: who waits, the envelope, and a short text.

To wake a thread costs more than to read a message, so all that is asked for while it reads is read together next. A
message that has just come is not read at all: it is in the queue, and for a moment here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..queue.store import Envelope, Store, Waiting
from .content import Content

#: Octets of a text that is read before there is a place for its conversation, and how many messages go together.
SHORT, TOGETHER = 64 * 1024, 50
#: Octets of texts that have just come and are remembered, and for how many seconds.
REMEMBERED, FRESH = 8 * 1024 * 1024, 5.0


@dataclass(frozen=True)
class Loaded:
    """One message and its recipients at one domain, by their number. ``told``: its sender knows of a delay.

    ``envelope`` is None when the message is gone; ``content`` where nobody asked for it, or it is not short.
    """

    waiting: dict[int, Waiting]
    envelope: Envelope | None
    told: bool = False
    content: Content | None = None


@dataclass
class _Fresh:
    """A message that has just come (the event loop's clock), and the domains that it was not loaded for yet."""

    envelope: Envelope
    body: bytes
    since: float
    domains: set[str]

    def loaded(self, domain: str) -> Loaded:
        self.domains.discard(domain)
        waiting = {
            number: Waiting(recipient, self.envelope.received, 0, "")
            for number, recipient in enumerate(self.envelope.recipients)
            if recipient.domain == domain and not recipient.is_local
        }
        return Loaded(waiting, self.envelope, content=Content.of((self.body,)))


class Loader:
    """Reads for one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wanted: list[tuple[int, str, Callable[[], bool], asyncio.Future[Loaded]]] = []
        self._reading: asyncio.Task[None] | None = None
        self._fresh: dict[int, _Fresh] = {}
        self._octets = 0

    def remember(self, envelope: Envelope, body: bytes, domains: set[str]) -> None:
        """A message was added to the queue, with recipients at these domains of others."""
        now = asyncio.get_running_loop().time()
        if len(body) <= SHORT:
            # The store knows the size; whoever handed it in need not.
            known = envelope if envelope.size == len(body) else replace(envelope, size=len(body))
            self._fresh[envelope.id] = _Fresh(known, body, now, domains)
            self._octets += len(body)
        while self._fresh:
            oldest = next(iter(self._fresh))
            if self._octets <= REMEMBERED and now - self._fresh[oldest].since < FRESH:
                break
            self._forget(oldest)

    def forget(self) -> None:
        """Somebody changed the queue: from here on it is read."""
        self._fresh.clear()
        self._octets = 0

    def _forget(self, message: int) -> None:
        self._octets -= len(self._fresh.pop(message).body)

    def _remembered(self, message: int, domain: str) -> Loaded | None:
        fresh = self._fresh.get(message)
        if fresh is None or domain not in fresh.domains:
            return None
        found = fresh.loaded(domain) if asyncio.get_running_loop().time() - fresh.since < FRESH else None
        if found is None or not fresh.domains:
            self._forget(message)
        return found

    async def load(self, message: int, domain: str, with_text: Callable[[], bool]) -> Loaded:
        """Read; ``with_text`` is asked when it is read whether the text will be needed soon.

        Raises what the queue raises.
        """
        if (found := self._remembered(message, domain)) is not None:
            return found
        future: asyncio.Future[Loaded] = asyncio.get_running_loop().create_future()
        self._wanted.append((message, domain, with_text, future))
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read_all())
        return await future

    async def text(self, message: int) -> Content | None:
        """The text alone, whatever its length; None when the message is gone."""
        return await asyncio.to_thread(self._content, message)

    async def _read_all(self) -> None:
        try:
            while self._wanted:
                batch, self._wanted = self._wanted[:TOGETHER], self._wanted[TOGETHER:]
                asked = [(message, domain, with_text()) for message, domain, with_text, _future in batch]
                answers = await asyncio.to_thread(self._read_batch, asked)
                for (*_asked, future), answer in zip(batch, answers):
                    if future.cancelled():
                        continue
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            self._reading = None

    def _read_batch(self, asked: list[tuple[int, str, bool]]) -> list[Loaded | Exception]:
        found: list[Loaded | Exception] = []
        for message, domain, with_text in asked:
            try:
                found.append(self._read(message, domain, with_text))
            except Exception as error:
                found.append(error)
        return found

    def _read(self, message: int, domain: str, with_text: bool) -> Loaded:
        waiting = self._store.waiting(message, domain)
        found = self._store.envelope(message) if waiting else None
        if found is None:
            return Loaded(waiting, None)
        envelope, told = found
        short = with_text and envelope.size <= SHORT
        return Loaded(waiting, envelope, told, self._content(message) if short else None)

    def _content(self, message: int) -> Content | None:
        text = self._store.text(message)
        return None if text is None else Content.of(text)
