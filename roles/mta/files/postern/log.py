# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The server's log: one JSON object a line, appended in one write each."""

from __future__ import annotations

import json
import os
import time
import typing as t
from contextlib import suppress
from json.encoder import encode_basestring_ascii as _quoted

LEVELS = ("debug", "info", "warning", "error")
_IMPORTANCE = {level: place for place, level in enumerate(LEVELS)}

#: Longer texts are cut, so that a client cannot fill the disk with one command.
MAX_TEXT = 2000


class _Keys(dict[str, str]):
    """What stands between two values, made once for each key: their names are those in the source."""

    def __missing__(self, key: str) -> str:
        text = self[key] = ", %s: " % _quoted(key)
        return text


_KEYS = _Keys()


class Log:
    """Writes events to ``target``: a path, or a file descriptor (2 = standard error).

    ``level`` is the least important level that is written. Opening a path raises ``OSError``.
    """

    def __init__(self, target: str | int = 2, level: str = "info") -> None:
        self._least = _IMPORTANCE[level]
        #: Called with the name and the fields of each event, whether it is written or not, by any thread.
        self.watch: t.Callable[[str, t.Mapping[str, t.Any]], None] | None = None
        self._second = (0, "")
        #: The last line had no room for its end.
        self._torn = False
        self._descriptor = target if isinstance(target, int) else _opened(target)

    def reopen(self, target: str | int) -> None:
        """Go on writing into another file, or the same path anew, without losing a line. Raises ``OSError``; then
        it goes on as before. A descriptor is taken over."""
        fresh = target if isinstance(target, int) else _opened(target)
        try:
            # Standard output and error, where they lead there too: nothing shall keep the old file.
            old = _file(self._descriptor)
            for descriptor in sorted({1, 2, self._descriptor}):
                if _file(descriptor) == old:
                    # In one step for all threads.
                    os.dup2(fresh, descriptor, inheritable=descriptor <= 2)
        finally:
            os.close(fresh)

    def event(self, name: str, *, level: str = "info", **fields: t.Any) -> None:
        """Write one event. Control characters come out as JSON escapes; a full disk never stops the server."""
        self.record(name, fields, level)

    def record(self, name: str, fields: t.Mapping[str, t.Any], level: str = "info") -> None:
        """The same for fields of any name: the ``level`` of an attempt to deliver is one of TLS."""
        if self.watch is not None:
            self.watch(name, fields)
        if _IMPORTANCE[level] < self._least:
            return
        # Put together by hand: a general encoder takes several times as long, and every message has a line.
        line = '{"time": "%s", ' % self._now()
        if level != "info" and "level" not in fields:
            line += '"level": "%s", ' % level
        line += '"event": ' + _quoted(name)
        for key, value in fields.items():
            line += _KEYS[key] + (_quoted(value) if value.__class__ is str and len(value) <= MAX_TEXT else _json(value))
        line += "}\n"
        data = line.encode("ascii")
        try:
            if self._torn:
                data = b"\n" + data
            self._torn = os.write(self._descriptor, data) < len(data)
        except OSError:
            if self._descriptor != 2:
                # Where that leads may be on the same disk.
                with suppress(OSError):
                    os.write(2, data)

    def _now(self) -> str:
        """The time in UTC as RFC 3339 has it, with milliseconds."""
        second, thousandth = divmod(time.time_ns() // 1_000_000, 1000)
        known, text = self._second
        if known != second:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            # As one value: other threads write lines, too.
            self._second = (second, text)
        return "%s.%03d+00:00" % (text, thousandth)


def _file(descriptor: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _opened(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)


def _json(value: t.Any) -> str:
    if isinstance(value, str):
        return _quoted(value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "…")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return json.dumps(_cut(value), default=str)


def _cut(value: t.Any) -> t.Any:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return value[:MAX_TEXT] + "…"
    return value
