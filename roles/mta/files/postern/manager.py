# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a service manager is told: systemd with ``Type=notify``, or whoever speaks its protocol (sd_notify(3))."""

from __future__ import annotations

import asyncio
import os
import socket
import time
import typing as t
from collections.abc import Callable, Mapping

#: Variables in which a manager says where and how often it wants to hear from the process.
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Manager:
    """Sends notes. ``variables`` are those of the environment; without a socket in them nobody is told anything.

    ``failed`` is called with the reason when the manager cannot be told; the server goes on.
    """

    def __init__(self, variables: Mapping[str, str], failed: Callable[[str], None] = lambda reason: None) -> None:
        path = variables.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._failed = failed
        self._ready = False
        self._last = ""
        self._every = _watchdog(variables) / 2
        self._timer: asyncio.TimerHandle | None = None

    def ready(self, text: str) -> None:
        """The server answers; ``text`` is a line for people. From here on the watchdog is fed by the event loop."""
        self._ready, self._last = True, text
        self._tell("READY=1", f"STATUS={text}")
        if self._address and self._every and self._timer is None:
            self._alive()

    def status(self, text: str) -> None:
        """A line for people that is shown until the next one."""
        if self._ready and text != self._last:
            self._last = text
            self._tell(f"STATUS={text}")

    def reloading(self) -> None:
        """Files are read again; :meth:`ready` says when that is over."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The end has begun. The watchdog is fed on: an end that hangs is one, too."""
        self._ready = False
        self._tell("STOPPING=1", "STATUS=ending sessions")

    def close(self) -> None:
        """Feed the watchdog no longer."""
        if self._timer is not None:
            self._timer.cancel()

    def _alive(self) -> None:
        # A callback of the loop that serves the mail: where that hangs, this does not come.
        self._tell("WATCHDOG=1")
        self._timer = asyncio.get_running_loop().call_later(self._every, self._alive)

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as note:
            # A manager that is busy has a full queue for a moment; a sign of life is one of many.
            note.settimeout(0.0 if lines == ("WATCHDOG=1",) else 1.0)
            try:
                note.sendto("\n".join(" ".join(line.split()) for line in lines).encode(), self._address)
            except OSError as error:
                self._failed(error.strerror or str(error))


def _watchdog(variables: Mapping[str, str]) -> float:
    """Seconds within which the manager wants a sign of life; 0: it does not, or from another process."""
    if variables.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = variables.get("WATCHDOG_USEC", "")
    return int(text) / 1_000_000 if text.isascii() and text.isdigit() else 0.0


def summary(status: Mapping[str, t.Any]) -> str:
    """A server's status as one line."""
    if status["problem"]:
        return f"listens for no mail: {status['problem']}"
    where = ", ".join(status["listening"]) or "nowhere, no listener was added yet"
    wrong = f"; {len(status['tls_problems'])} TLS files cannot be taken up" if status["tls_problems"] else ""
    return f"configuration {status['generation']}, listens on {where}{wrong}"
