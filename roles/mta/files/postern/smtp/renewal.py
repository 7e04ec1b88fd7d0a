# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates, keys, authorities and DH parameters that change while the server runs: taken up without a restart.

One look a minute at all files finds what a renewal has put in their place; who cannot wait asks for it (SIGHUP). What
is new is made completely before anything is swapped. Connections that have TLS keep what they have; a file that cannot
be used leaves everything as it was.
"""

from __future__ import annotations

import asyncio
import os
import typing as t
from collections.abc import Callable, Iterable

from ..settings import ActivationError

#: Seconds between two looks at the files.
EVERY = 60.0
#: Seconds after which contexts are made anew though no file has changed: the keys of session tickets live in them.
LIFETIME = 86_400.0

#: What tells whether files are the same as before.
Stamp = tuple[tuple[int, ...] | None, ...]


class Renewable(t.Protocol):
    """Something made from files. ``prepare`` runs in a thread and raises ActivationError, ``take`` on the loop.

    ``stamp`` is that of the files from just before it was made.
    """

    name: str
    stamp: Stamp

    @property
    def files(self) -> tuple[str, ...]: ...
    def prepare(self) -> t.Any: ...
    def take(self, prepared: t.Any) -> None: ...


class Renewal:
    """Looks after all that ``current`` returns. ``changed`` is called when ``problems`` or ``count`` has changed.

    All methods run on one event loop.
    """

    def __init__(self, current: Callable[[], Iterable[Renewable]], log: t.Any, changed: Callable[[], None]) -> None:
        self._current = current
        self._log = log
        self._changed = changed
        self._known: dict[Renewable, tuple[Stamp, float]] = {}
        self._problems: dict[Renewable, str] = {}
        self._lock = asyncio.Lock()
        #: Times that somebody asked for it.
        self.count = 0

    @property
    def problems(self) -> list[str]:
        """What cannot be taken up, and why."""
        return sorted(self._problems.values())

    async def run(self) -> None:
        """Look again and again, without end."""
        await self.look()
        while True:
            await asyncio.sleep(EVERY)
            await self.look()

    async def reload(self) -> None:
        """Make everything anew, whether a file has changed or not."""
        await self.look(everything=True)
        self.count += 1
        self._changed()

    async def look(self, everything: bool = False) -> None:
        """Make anew what a file has changed for."""
        async with self._lock:
            current = list(self._current())
            for gone in self._known.keys() - set(current):
                del self._known[gone]
            before = self.problems
            self._problems = {one: self._problems[one] for one in current if one in self._problems}
            now = asyncio.get_running_loop().time()
            for one in current:
                stamp = await asyncio.to_thread(stamp_of, one.files)
                known, since = self._known.get(one, (one.stamp, now))
                if everything or stamp != known or now - since >= LIFETIME:
                    since = now
                    await self._renew(one, changed=stamp != known)
                # Taken before the files were read: what changes in between is found by the next look.
                self._known[one] = stamp, since
            if self.problems != before:
                self._changed()

    async def _renew(self, one: Renewable, changed: bool) -> None:
        try:
            prepared = await asyncio.to_thread(one.prepare)
        except Exception as error:
            # Whatever is wrong with one, or was while somebody wrote its file: the others are looked at, and it again.
            text = str(error) if isinstance(error, ActivationError) else f"{one.name}: {type(error).__name__}: {error}"
            if self._problems.get(one) != text:
                self._problems[one] = text
                self._log.event("tls.reload", level="error", result="failed", reason=f"{text}; the old one is kept")
            return
        one.take(prepared)
        was_wrong = self._problems.pop(one, None)
        if changed or was_wrong:
            self._log.event("tls.reload", result="changed", of=one.name)


def stamp_of(files: tuple[str, ...]) -> Stamp:
    """The stamp of files. Links are followed, since a renewal may change only these."""
    found: list[tuple[int, ...] | None] = []
    for path in files:
        try:
            seen = os.stat(path)
        except OSError:
            found.append(None)
        else:
            found.append((seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns))
    return tuple(found)
