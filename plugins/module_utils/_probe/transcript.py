# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was said on one connection, written down as it is said; secrets are taken out before a line is kept."""

from __future__ import annotations

import time
import typing as t

from .observation import Dialogue
from .records import printable

MAX_LINES = 80
MAX_LENGTH = 400


class Transcript:
    """The record of the connection ``number``. Bounded: what comes behind the last line is counted only.

    ``clean`` takes secrets that are known beforehand out of a line, whoever says them.
    """

    def __init__(self, number: int, purpose: str, clean: t.Callable[[str], str] = str) -> None:
        self.number = number
        self.purpose = purpose
        self._clean = clean
        self._lines: t.List[str] = []
        self._more = 0
        self._started = self._ended = time.monotonic()

    def add(self, mark: str, text: str) -> None:
        """Write down one line. ``mark`` is "S:" (server), "C:" (client) or "--" (what happened)."""
        self._ended = time.monotonic()
        if len(self._lines) >= MAX_LINES - 1:
            self._more += 1
            return
        line = "%s %s" % (mark, printable(self._clean(text).encode("utf-8", "backslashreplace"))[1:-1])
        self._lines.append(line if len(line) <= MAX_LENGTH else line[: MAX_LENGTH - 3] + "...")

    def end(self) -> None:
        """The connection is closed."""
        self._ended = time.monotonic()

    def dialogue(self) -> Dialogue:
        """What is written so far."""
        lines = self._lines + (["-- %d more lines" % self._more] if self._more else [])
        return Dialogue(self.number, self.purpose, tuple(lines), self._ended - self._started)
