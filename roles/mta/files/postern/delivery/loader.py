# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read of the queue before an attempt: who waits, the envelope, and a short text.

To wake a thread costs more than to read a message, so all that is asked for while it reads is read together next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from ..queue.store import Envelope, Store, Waiting
from .content import Content

#: Octets of a text that is read before there is a place for its conversation, and how many messages go together.
SHORT, TOGETHER = 64 * 1024, 50


@dataclass(frozen=True)
class Loaded:
    """One message and its recipients at one domain, by their number. ``told``: its sender knows of a delay.

    ``envelope`` is None when the message is gone; ``content`` where nobody asked for it, or it is not short.
    """

    waiting: dict[int, Waiting]
    envelope: Envelope | None
    told: bool = False
    content: Content | None = None


class Loader:
    """Reads for one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wanted: list[tuple[int, str, Callable[[], bool], asyncio.Future[Loaded]]] = []
        self._reading: asyncio.Task[None] | None = None

    async def load(self, message: int, domain: str, with_text: Callable[[], bool]) -> Loaded:
        """Read; ``with_text`` is asked when it is read whether the text will be needed soon.

        Raises what the queue raises.
        """
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
