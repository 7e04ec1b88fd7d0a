# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Password checks off the event loop: two threads, a short queue, the same work for a user who does not exist.

Of the places in the queue one peer may have half, so that a single guesser does not keep all others waiting. Checks of
one pair of name and password that are asked for at the same time are one check: a program that opens twenty connections
at once and logs in on each has one place.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from ..passwords import Remembered, hash_password, verify
from .access import peer_group

THREADS = 2
#: Checks that may wait for a thread; more are put off with 454, so that a flood of guesses cannot fill memory.
MAX_WAITING = 8
#: Checks of one peer (see :func:`peer_group`) at a time.
PER_PEER = (THREADS + MAX_WAITING) // 2
#: Seconds for which a right password is not hashed again: clients that log in per message cost 0.1 s each otherwise.
REMEMBER = 300.0


class PasswordChecker:
    """Compares passwords with the scrypt hashes of a directory."""

    def __init__(self, accounts) -> None:
        self._accounts = accounts
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="password")
        self._remembered = Remembered(REMEMBER, time.monotonic)
        self._under_way: Counter[bytes] = Counter()
        self._pending: dict[bytes, asyncio.Future[bool]] = {}
        self._secret = os.urandom(16)
        # Made with the same cost as a real one; nobody knows its password.
        self._nobody = self._pool.submit(hash_password, secrets.token_hex(16))

    async def check(self, login: str, password: str, peer: str) -> str | None | bool:
        """The account's login when the password is right, False when not, None when too many checks wait.

        ``peer`` is the IP address that asks.
        """
        known = self._accounts.credentials(login)
        if known is not None and self._remembered.knows(known.scrypt, password):
            return known.login
        # The same for a name that exists and one that does not.
        pair = self._pair(known.scrypt if known is not None else login, password)
        pending = self._pending.get(pair)
        if pending is None:
            group = peer_group(peer)
            if self._under_way.total() >= THREADS + MAX_WAITING or self._under_way[group] >= PER_PEER:
                return None
            self._under_way[group] += 1
            pending = self._pending[pair] = asyncio.ensure_future(self._hash(known, password, pair, group))
        if not await asyncio.shield(pending):
            return False
        return known.login

    async def _hash(self, known, password: str, pair: bytes, group: bytes) -> bool:
        try:
            right = await asyncio.get_running_loop().run_in_executor(self._pool, self._compare, known, password)
        finally:
            del self._pending[pair]
            self._under_way[group] -= 1
            if not self._under_way[group]:
                del self._under_way[group]
        if right:
            self._remembered.remember(known.scrypt, password)
        return right

    def _pair(self, stored: str, password: str) -> bytes:
        text = f"{stored}\0{password}".encode("utf-8", "surrogateescape")
        return hashlib.blake2b(text, digest_size=16, key=self._secret).digest()

    def _compare(self, known, password: str) -> bool:
        # The hash of nobody costs what the hash of somebody costs: the time tells nothing (RFC 4954 section 9).
        right = verify(password, known.scrypt if known is not None else self._nobody.result())
        return right and known is not None

    def close(self) -> None:
        """Stop the threads; checks that wait are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)
