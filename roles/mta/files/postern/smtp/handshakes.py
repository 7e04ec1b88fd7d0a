# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many TLS handshakes are in progress at a time, who waits for one, and who is not asked for a certificate.

A handshake is what a stranger can make the server compute most with: many times the work of a command. So a few are in
progress at once, and a waiting one costs a socket and nothing else: its ClientHello is not read. Peers take turns.
A place is lent: a client that says nothing for a moment is not computed for, so its place goes to one that waits;
it goes on when it speaks. Else twenty silent connections would keep TLS from everybody.
"""

from __future__ import annotations

import asyncio
import typing as t

from .access import peer_group

#: Handshakes in progress at a time, in the process and of one peer (an IPv4 address, an IPv6 /64).
MOST = 20
MOST_OF_PEER = 10
#: Seconds of silence after which a place goes to a handshake that waits for one.
SILENCE = 0.25
#: Seconds for which a peer is not asked for a certificate after one that failed, and how many such peers are known.
FORGIVEN = 3600.0
_MOST_FORGIVEN = 10_000


class Candidate(t.Protocol):
    """A connection that is to speak TLS."""

    def start_handshake(self) -> None: ...


class Handshakes:
    """All handshakes of a server. All methods run on ``loop``."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # Who has a place: the peer, and when it was heard of last.
        self._holders: dict[Candidate, tuple[bytes, float]] = {}
        self._of_peer: dict[bytes, int] = {}
        self._waiting: dict[bytes, dict[Candidate, None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._forgiven: dict[str, float] = {}

    def begin(self, one: Candidate, peer: str) -> None:
        """Have ``start_handshake`` called: at once, or when there is room. Until then nothing may be read."""
        group = peer_group(peer)
        if group not in self._waiting and self._has_room(group):
            self._admit(one, group)
            return
        self._waiting.setdefault(group, {})[one] = None
        self._arm()

    def heard(self, one: Candidate) -> None:
        """The peer said something."""
        if one in self._holders:
            self._holders[one] = self._holders[one][0], self._loop.time()

    def end(self, one: Candidate, peer: str) -> None:
        """The handshake is over, or its connection. May be called again."""
        if one in self._holders:
            self._release(one)
            self._let_in()
        elif self._waiting:
            group = peer_group(peer)
            queue = self._waiting.get(group, {})
            if one in queue:
                del queue[one]
                if not queue:
                    del self._waiting[group]

    def close(self) -> None:
        """Nobody is let in any more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    # --- client certificates ----------------------------------------------------------------------

    def forgive(self, peer: str) -> None:
        """The certificate of this peer did not do: for a while it is not asked for one."""
        self._forgiven.pop(peer, None)
        if len(self._forgiven) >= _MOST_FORGIVEN:
            del self._forgiven[next(iter(self._forgiven))]
        self._forgiven[peer] = self._loop.time() + FORGIVEN

    def is_forgiven(self, peer: str) -> bool:
        """Whether this peer is not to be asked for a certificate."""
        until = self._forgiven.get(peer)
        if until is None:
            return False
        if self._loop.time() < until:
            return True
        del self._forgiven[peer]
        return False

    # --- places -----------------------------------------------------------------------------------

    def _has_room(self, peer: bytes) -> bool:
        return len(self._holders) < MOST and self._of_peer.get(peer, 0) < MOST_OF_PEER

    def _admit(self, one: Candidate, peer: bytes) -> None:
        self._holders[one] = peer, self._loop.time()
        self._of_peer[peer] = self._of_peer.get(peer, 0) + 1
        one.start_handshake()

    def _release(self, one: Candidate) -> None:
        peer, _heard = self._holders.pop(one)
        self._of_peer[peer] -= 1
        if not self._of_peer[peer]:
            del self._of_peer[peer]

    def _let_in(self) -> None:
        """Give free places away, one to each peer in turn."""
        while len(self._holders) < MOST:
            peer = next((peer for peer in self._waiting if self._has_room(peer)), None)
            if peer is None:
                return
            queue = self._waiting.pop(peer)
            one = next(iter(queue))
            del queue[one]
            if queue:
                self._waiting[peer] = queue
            self._admit(one, peer)

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(SILENCE, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        quiet_since = self._loop.time() - SILENCE
        for one in [one for one, (_peer, heard) in self._holders.items() if heard <= quiet_since]:
            self._release(one)
        self._let_in()
        if self._waiting:
            self._arm()
