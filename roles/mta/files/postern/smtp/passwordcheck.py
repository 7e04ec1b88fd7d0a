# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Password checks off the event loop: two threads, a short queue, the same work for a user who does not exist."""

from __future__ import annotations

import asyncio
import secrets
import time
from concurrent.futures import ThreadPoolExecutor

from ..passwords import Remembered, hash_password, verify

THREADS = 2
#: Checks that may wait for a thread; more are put off with 454, so that a flood of guesses cannot fill memory.
MAX_WAITING = 8
#: Seconds for which a right password is not hashed again: clients that log in per message cost 0.1 s each otherwise.
REMEMBER = 300.0


class PasswordChecker:
    """Compares passwords with the scrypt hashes of a directory."""

    def __init__(self, accounts) -> None:
        self._accounts = accounts
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="password")
        self._remembered = Remembered(REMEMBER, time.monotonic)
        self._under_way = 0
        # Made with the same cost as a real one; nobody knows its password.
        self._nobody = self._pool.submit(hash_password, secrets.token_hex(16))

    async def check(self, login: str, password: str) -> str | None | bool:
        """The account's login when the password is right, False when not, None when too many checks wait."""
        known = self._accounts.credentials(login)
        if known is not None and self._remembered.knows(known.scrypt, password):
            return known.login
        if self._under_way >= THREADS + MAX_WAITING:
            return None
        self._under_way += 1
        try:
            loop = asyncio.get_running_loop()
            right = await loop.run_in_executor(self._pool, self._compare, known, password)
        finally:
            self._under_way -= 1
        if not right:
            return False
        self._remembered.remember(known.scrypt, password)
        return known.login

    def _compare(self, known, password: str) -> bool:
        # The hash of nobody costs what the hash of somebody costs: the time tells nothing (RFC 4954 section 9).
        right = verify(password, known.scrypt if known is not None else self._nobody.result())
        return right and known is not None

    def close(self) -> None:
        """Stop the threads; checks that wait are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)
