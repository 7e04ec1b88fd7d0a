# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wrong passwords: how many one address may try, and how many one account has to bear, in a while.

An address (IPv6: a /64) that failed too often is put off, whatever it tries. So is everybody for an account that was
guessed at too often, however many addresses that came from. A limit for an account must not be a way to lock its owner
out: an address from which this account was logged in to before is *known good* for it. What others do does not touch
it; it has a count of its own, and what it does to its own account counts nowhere else. So one device with an old
password does not shut a whole office out either.

Who is put off is told so by 454 (RFC 4954 section 6) whether the password was right or not, and no password is checked.
Names that no account has count like others, and a name counts as it was given: were aliases counted together, the
limit would tell which names mean one account.

All tables have a greatest size. Addresses and accounts that reached their limit are the last ones to be forgotten.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable

from ..receiving import Receiving
from .access import peer_group

#: Entries of a table. A flood of addresses costs about 2 MB and no more.
MOST = 10_000
#: Seconds for which an address stays known good after a login.
GOOD_FOR = 30 * 86_400.0


class Counts:
    """Failures by key, each key for one ``window`` (seconds) from its first failure on; at most ``most`` keys."""

    def __init__(self, window: float, most: int = MOST) -> None:
        self._window = window
        self._most = most
        self._found: dict[bytes, tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._found)

    def of(self, key: bytes, now: float) -> int:
        """The failures of ``key`` in its window."""
        count, ends = self._found.get(key, (0, 0.0))
        return count if now < ends else 0

    def add(self, key: bytes, now: float) -> int:
        """One failure more; returns how many there are."""
        count, ends = self._found.get(key, (0, 0.0))
        if now >= ends:
            count, ends = 0, now + self._window
            if len(self._found) >= self._most:
                self._make_room(now)
        self._found[key] = (count + 1, ends)
        return count + 1

    def _make_room(self, now: float) -> None:
        """Forget what is over, and then those with the fewest failures: half of the table, so that it pays."""
        self._found = {key: found for key, found in self._found.items() if now < found[1]}
        if len(self._found) > self._most // 2:
            fewest = sorted(self._found, key=lambda key: self._found[key][0])
            for key in fewest[: len(fewest) - self._most // 2]:
                del self._found[key]


class Guesses:
    """The failures of all listeners of a server. ``clock`` is in seconds and does not go back; ``log`` takes events."""

    def __init__(
        self,
        receiving: Receiving = Receiving(),
        clock: Callable[[], float] = time.monotonic,
        log: Callable[..., None] = lambda *_args, **_fields: None,
    ) -> None:
        self._per_peer = receiving.peer_auth_failures
        self._per_account = receiving.account_auth_failures
        self._clock = clock
        self._log = log
        self._secret = os.urandom(16)
        self._peers = Counts(receiving.auth_window)
        self._accounts = Counts(receiving.auth_window)
        self._pairs = Counts(receiving.auth_window)
        self._good: dict[bytes, float] = {}

    def put_off(self, peer: str, login: str) -> str:
        """Why ``peer`` (an IP address) must not try to log in as ``login`` now; empty when it may."""
        now = self._clock()
        group, account = self._keys(peer, login)
        if self._is_good(group + account, now):
            if 0 < self._per_peer <= self._pairs.of(group + account, now):
                return "failures of this address for this account"
        elif 0 < self._per_peer <= self._peers.of(group, now):
            return "failures of this address"
        elif 0 < self._per_account <= self._accounts.of(account, now):
            return "failures for this account"
        return ""

    def wrong(self, peer: str, login: str, exists: bool) -> None:
        """``peer`` did not prove to be ``login``.

        ``exists``: whether there is such an account, so that the log may name it; else it may be somebody's password.
        """
        now = self._clock()
        group, account = self._keys(peer, login)
        if self._is_good(group + account, now):
            self._note(self._pairs.add(group + account, now), self._per_peer, peer=peer, user=login if exists else "")
            return
        self._note(self._peers.add(group, now), self._per_peer, peer=peer)
        self._note(self._accounts.add(account, now), self._per_account, user=login if exists else "")

    def right(self, peer: str, login: str) -> None:
        """``peer`` proved to be ``login``."""
        key = b"".join(self._keys(peer, login))
        self._good.pop(key, None)
        if len(self._good) >= MOST:
            del self._good[next(iter(self._good))]
        self._good[key] = self._clock() + GOOD_FOR

    def _is_good(self, pair: bytes, now: float) -> bool:
        return now < self._good.get(pair, 0.0)

    def _keys(self, peer: str, login: str) -> tuple[bytes, bytes]:
        """Of the same size each, however long a name is; nobody can choose two that are the same."""
        name = login.lower().encode("utf-8", "surrogateescape")
        return self._digest(peer_group(peer)), self._digest(name)

    def _digest(self, data: bytes) -> bytes:
        return hashlib.blake2b(data, digest_size=8, key=self._secret).digest()

    def _note(self, count: int, limit: int, **whose: str) -> None:
        """Say once that a limit was reached."""
        if count == limit:
            self._log("smtp.auth", level="warning", result="too many failures", failures=count, **whose)
