# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Places for connections, and connections that are kept for the next message.

A connection is used again only for what it was made for: :class:`Key` holds all that it depends on, so what was made at
a weaker level, for another name or with another login is never taken. A place is held by a connection from before it
is made until it is closed, while it is kept too. Who waits at a busy host keeps nobody from another one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ..rules.relay import Relay
from .conversation import Connection
from .destination import Bounds
from .route import Hop

#: Attempts that wait for a place at one host; more of them wait as numbers only.
WAITING = 20


class Busy(Exception):
    """Enough attempts wait for a place at this ``address``."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


@dataclass(frozen=True)
class Key:
    """What makes a connection what it is: where it leads, and all that the policy said of it (level, versions, names,
    fingerprints, login). ``domain``: the recipient domain where it is what the certificate was judged by."""

    hop: Hop
    relay: Relay
    domain: str = ""

    @classmethod
    def of(cls, hop: Hop, relay: Relay, domain: str) -> "Key":
        """The key of a connection for mail to ``domain``. Why somebody wants the level makes no difference."""
        return cls(hop, replace(relay, reason="") if relay.reason else relay, domain if relay.level == "secure" else "")


@dataclass
class Place:
    """The right to one connection, until :meth:`Pool.leave` or :meth:`Pool.keep`; with one that was kept, or None.

    ``first``: nobody knows yet whether the host answers, and others wait for what comes of this one.
    ``failed``: no connection could be made.
    """

    key: Key
    connection: Connection | None = None
    first: bool = False
    failed: bool = False


@dataclass
class _Kept:
    key: Key
    connection: Connection
    timer: asyncio.TimerHandle | None = None


@dataclass
class _Host:
    """One IP address. ``open`` places are taken there; ``trying``: one of them by a connection that is the first."""

    open: int = 0
    known: bool = False
    trying: bool = False
    kept: list[_Kept] = field(default_factory=list)
    waiting: deque[tuple[Key, asyncio.Future]] = field(default_factory=deque)


class Pool:
    """All connections of one sender, on one event loop. ``freed`` is called with an address when an attempt that
    waited there waits no more, and whether others still do."""

    def __init__(self, bounds: Bounds, freed: Callable[[str, bool], None] = lambda _address, _more: None) -> None:
        self._bounds = bounds
        self._freed = freed
        self._hosts: dict[str, _Host] = {}
        self._open = 0
        #: Hosts where somebody waits only because there are too many connections in all, the longest waiting first.
        self._short: dict[str, None] = {}
        self._goodbyes: set[asyncio.Task] = set()
        self._closed = False

    @property
    def open(self) -> int:
        """Connections that are open, being made or being closed."""
        return self._open

    async def take(self, key: Key, patient: bool = True) -> Place:
        """Wait for a place, with a kept connection if there is one. Raises :class:`Busy` unless ``patient``."""
        address = key.hop.address
        host = self._hosts.setdefault(address, _Host())
        if (kept := self._kept(host, key)) is not None:
            return Place(key, kept)
        if not host.waiting and self._may_open(host):
            return self._place(host, key)
        if not patient and len(host.waiting) >= WAITING:
            raise Busy(address)
        waiter = asyncio.get_running_loop().create_future()
        host.waiting.append((key, waiter))
        self._serve(address)
        try:
            place = await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                place = waiter.result()
                if place.connection is not None:
                    self.keep(place, place.connection)
                else:
                    self.leave(place)
            elif address in self._hosts:
                # It is passed over, now that it is cancelled.
                self._serve(address)
            raise
        finally:
            self._freed(address, bool(host.waiting))
        return place

    def made(self, place: Place) -> None:
        """The connection of a place stands: the host answers, and others may come."""
        host = self._hosts[place.key.hop.address]
        host.known, place.first = True, False
        host.trying = False
        self._serve(place.key.hop.address)

    def leave(self, place: Place) -> None:
        """Give the place back; its connection is closed, or there was none."""
        host = self._hosts[place.key.hop.address]
        if place.first:
            host.trying = False
        if place.failed:
            host.known = False
        self._free(place.key.hop.address)

    def keep(self, place: Place, connection: Connection) -> None:
        """Give the place back with a connection that may have the next message."""
        bounds, address = self._bounds, place.key.hop.address
        host = self._hosts[address]
        now = asyncio.get_running_loop().time()
        used_up = connection.messages >= bounds.messages or now - connection.opened >= bounds.age
        if self._closed or used_up or bounds.kept <= 0 or not connection.is_usable or (self._short and host.open > 1):
            self._say_goodbye(address, connection)
            return
        for waiting in host.waiting:
            key, waiter = waiting
            if key == place.key and not waiter.done():
                host.waiting.remove(waiting)
                waiter.set_result(Place(key, connection))
                return
        kept = _Kept(place.key, connection)
        kept.timer = asyncio.get_running_loop().call_later(bounds.kept, self._expire, address, kept)
        connection.on_end(lambda: self._expire(address, kept))
        host.kept.append(kept)
        self._serve(address)
        self._serve_short()

    async def close(self, limit: float) -> None:
        """Say goodbye to all peers, within so many seconds."""
        self._closed = True
        for address, host in tuple(self._hosts.items()):
            for kept in tuple(host.kept):
                self._expire(address, kept)
        if self._goodbyes:
            await asyncio.wait(self._goodbyes, timeout=limit)
        for goodbye in tuple(self._goodbyes):
            goodbye.cancel()
        if self._goodbyes:
            await asyncio.wait(self._goodbyes)

    # --- who may --------------------------------------------------------------------------------

    def _may_open(self, host: _Host) -> bool:
        # Nobody knows yet whether that host answers: one finds out, for all.
        if host.trying and not host.known:
            return False
        return host.open < self._bounds.per_host and self._open < self._bounds.connections

    def _place(self, host: _Host, key: Key) -> Place:
        host.open += 1
        self._open += 1
        host.trying = not host.known
        return Place(key, first=host.trying)

    def _serve(self, address: str) -> None:
        """Give places at one host to those who wait there, in their order."""
        host = self._hosts[address]
        while host.waiting:
            key, waiter = host.waiting[0]
            if waiter.done():
                host.waiting.popleft()
            elif (kept := self._kept(host, key)) is not None:
                host.waiting.popleft()
                waiter.set_result(Place(key, kept))
            elif self._may_open(host):
                host.waiting.popleft()
                waiter.set_result(self._place(host, key))
            else:
                break
        self._short.pop(address, None)
        if not host.waiting:
            if not host.open:
                del self._hosts[address]
            return
        if host.trying and not host.known:
            return
        if host.open >= self._bounds.per_host:
            if host.kept:
                # Kept for others than those who wait here.
                self._expire(address, host.kept[0])
        elif self._open >= self._bounds.connections:
            self._short[address] = None
            self._make_room()

    def _serve_short(self) -> None:
        for address in tuple(self._short):
            if self._open < self._bounds.connections:
                self._serve(address)
            else:
                self._make_room()
                return

    def _make_room(self) -> None:
        """End one kept connection, wherever it is."""
        for address, host in self._hosts.items():
            if host.kept:
                self._expire(address, host.kept[0])
                return

    # --- connections that are kept --------------------------------------------------------------

    def _kept(self, host: _Host, key: Key) -> Connection | None:
        # The one that was used last is the one that the peer has waited for least.
        for number in range(len(host.kept) - 1, -1, -1):
            kept = host.kept[number]
            if kept.key == key:
                del host.kept[number]
                kept.timer.cancel()
                kept.connection.on_end(None)
                if kept.connection.is_usable:
                    return kept.connection
                self._say_goodbye(key.hop.address, kept.connection)
        return None

    def _expire(self, address: str, kept: _Kept) -> None:
        host = self._hosts.get(address)
        if host is None or kept not in host.kept:
            return
        host.kept.remove(kept)
        kept.timer.cancel()
        kept.connection.on_end(None)
        self._say_goodbye(address, kept.connection)

    def _say_goodbye(self, address: str, connection: Connection) -> None:
        async def goodbye() -> None:
            try:
                if connection.is_usable:
                    await connection.leave()
            finally:
                try:
                    await connection.close()
                finally:
                    self._free(address)

        task = asyncio.get_running_loop().create_task(goodbye())
        self._goodbyes.add(task)
        task.add_done_callback(self._goodbyes.discard)

    def _free(self, address: str) -> None:
        host = self._hosts[address]
        host.open -= 1
        self._open -= 1
        self._serve(address)
        self._serve_short()
