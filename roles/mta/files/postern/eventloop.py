# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The event loop of the server: uvloop's where it is installed, else the one of Python.

Both keep the same promises; uvloop takes less of the processor for its sockets.
"""

from __future__ import annotations

import asyncio
import typing as t

try:
    import uvloop
except ImportError:  # no wheel for this machine
    uvloop = None

T = t.TypeVar("T")


def name() -> str:
    """Which one it is, for the log."""
    return "asyncio" if uvloop is None else f"uvloop {uvloop.__version__}"


def new() -> asyncio.AbstractEventLoop:
    """A loop of that kind."""
    return asyncio.new_event_loop() if uvloop is None else uvloop.new_event_loop()


def run(main: t.Coroutine[t.Any, t.Any, T]) -> T:
    """Run a coroutine to its end on such a loop, as ``asyncio.run`` does."""
    with asyncio.Runner(loop_factory=new) as runner:
        return runner.run(main)
