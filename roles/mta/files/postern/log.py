# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The server's log: one JSON object a line, appended in one write each."""

from __future__ import annotations

import json
import os
import sys
import typing as t
from datetime import datetime, timezone

LEVELS = ("debug", "info", "warning", "error")

#: Longer texts are cut, so that a client cannot fill the disk with one command.
MAX_TEXT = 2000


class Log:
    """Writes events to ``target``: a path, or a file descriptor (2 = standard error).

    ``level`` is the least important level that is written. Opening a path raises ``OSError``.
    """

    def __init__(self, target: str | int = 2, level: str = "info") -> None:
        self._least = LEVELS.index(level)
        self._descriptor = target if isinstance(target, int) else os.open(
            target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640
        )

    def event(self, name: str, *, level: str = "info", **fields: t.Any) -> None:
        """Write one event. Control characters come out as JSON escapes; a full disk never stops the server."""
        self.record(name, fields, level)

    def record(self, name: str, fields: t.Mapping[str, t.Any], level: str = "info") -> None:
        """The same for fields of any name: the ``level`` of an attempt to deliver is one of TLS."""
        if LEVELS.index(level) < self._least:
            return
        record: dict[str, t.Any] = {"time": datetime.now(timezone.utc).isoformat(timespec="milliseconds")}
        if level != "info":
            record["level"] = level
        record["event"] = name
        for key, value in fields.items():
            record[key] = _cut(value)
        line = json.dumps(record, default=str) + "\n"
        try:
            os.write(self._descriptor, line.encode("ascii"))
        except OSError:
            if self._descriptor != 2:
                print(line, end="", file=sys.stderr)


def _cut(value: t.Any) -> t.Any:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return value[:MAX_TEXT] + "…"
    return value
