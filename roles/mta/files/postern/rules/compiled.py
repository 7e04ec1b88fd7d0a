# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compiled policy scripts of one server: each script is compiled once, and never by the event loop.

A script is looked at when it is uploaded and runs when it is committed. In between it waits here, so that COMMIT takes
no longer than a swap, whatever the script's length.
"""

from __future__ import annotations

import asyncio
import threading

from ..emulation import ITSELF, Emulation
from .engine import RuleSet, compile_script


class Compiled:
    """Compiles scripts as ``emulation`` reads them."""

    #: Scripts that were uploaded and are not running, at most; two sessions may take turns.
    KEPT = 2

    def __init__(self, emulation: Emulation = ITSELF) -> None:
        self._emulation = emulation
        self._lock = threading.Lock()
        self._running: tuple[bytes, RuleSet] | None = None
        self._checked: list[tuple[bytes, RuleSet]] = []

    def check(self, script: bytes) -> RuleSet:
        """The compiled script. Raises :class:`ScriptError`. It takes as long as compiling takes: call it in a thread."""
        # One at a time: two threads would be slower, and sessions wait for both.
        with self._lock:
            found = self._found(script)
            if found is None:
                found = compile_script(script.decode("utf-8", "surrogateescape"), self._emulation)
                self._checked = [*self._checked[1 - self.KEPT :], (script, found)]
            return found

    async def ready(self, script: bytes) -> RuleSet:
        """The same for the event loop, which goes on meanwhile; at once when the script was checked before."""
        return self._found(script) or await asyncio.to_thread(self.check, script)

    def runs(self, script: bytes, rules: RuleSet) -> None:
        """This script is the running one now: what else was compiled may go, but the one that ran may come back."""
        before, self._running = self._running, (script, rules)
        self._checked = [before] if before is not None and before[0] != script else []

    def _found(self, script: bytes) -> RuleSet | None:
        known = [*self._checked, *([self._running] if self._running else [])]
        return next((rules for content, rules in known if content == script), None)
