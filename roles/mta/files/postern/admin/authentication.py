# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checking administrators' passwords without stopping the event loop."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor

from ..passwords import Remembered, hash_password, verify
from .aacl import ADMIN, AccessList
from .configuration import write_durably
from .session import Busy

PASSWORD_FILE = "admin.passwd"

_WAITING = 8
_REMEMBERED_SECONDS = 300.0


class Authenticator:
    """Compares with the hash in ``path`` (of ``admin``) or in ``access`` (of everybody else).

    The file is read each time: a new password counts at once. A password that was right is remembered for some
    minutes, so that a tool that logs in for every task does not pay for a hash each time.
    """

    def __init__(self, path: str, access: AccessList | None = None) -> None:
        self._path = path
        self._access = access
        self._remembered = Remembered(_REMEMBERED_SECONDS, time.monotonic)
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="admin-password")
        self._waiting = 0
        # Made before anybody asks: the first unknown user would cost twice as much as a known one.
        self._decoy = self._pool.submit(hash_password, "decoy")

    async def check(self, user: str, password: str) -> bool:
        """Whether the pair is right. An unknown user costs as much time as a wrong password. Raises :class:`Busy`."""
        stored = self._stored(user.lower())
        if stored and self._remembered.knows(stored, password):
            return True
        if self._waiting >= _WAITING:
            raise Busy
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            right = await loop.run_in_executor(self._pool, self._verify, password, stored)
        finally:
            self._waiting -= 1
        if right:
            self._remembered.remember(stored, password)
        return right

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False)

    def _stored(self, user: str) -> str:
        if user != ADMIN:
            return self._access.password(user) if self._access else ""
        try:
            with open(self._path, encoding="ascii") as file:
                return file.read().strip()
        except (OSError, ValueError):
            return ""

    def _verify(self, password: str, stored: str) -> bool:
        if stored:
            return verify(password, stored)
        verify(password, self._decoy.result())
        return False


def set_password(state_dir: str, phc: str) -> None:
    """Store the administrator's password hash. Raises ``OSError``."""
    path = os.path.join(state_dir, PASSWORD_FILE)
    write_durably(path + ".new", phc.encode("ascii") + b"\n", mode=0o600)
    os.replace(path + ".new", path)


def stored_password(state_dir: str) -> str:
    """The administrator's password hash; empty when none was set. Raises ``OSError``."""
    try:
        with open(os.path.join(state_dir, PASSWORD_FILE), encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""
