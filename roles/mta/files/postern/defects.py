# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What nobody catches: a line of the log for each, in place of a traceback on a stream that nobody reads."""

from __future__ import annotations

import asyncio
import sys
import traceback
import typing as t

from .log import Log


def report_to(log: Log, loop: asyncio.AbstractEventLoop) -> None:
    """Have ``server.defect`` written for what callbacks of the event loop and of libraries raise."""

    def failed(_loop: asyncio.AbstractEventLoop, context: dict[str, t.Any]) -> None:
        _write(log, str(context.get("message", "")), context.get("exception"))

    def unraisable(found: sys.UnraisableHookArgs) -> None:
        # A client asked for a name that is no text (SNI): OpenSSL has ended its handshake, which is in the log.
        if not isinstance(found.exc_value, UnicodeDecodeError):
            _write(log, found.err_msg or "an exception was ignored", found.exc_value)

    loop.set_exception_handler(failed)
    sys.unraisablehook = unraisable


def _write(log: Log, text: str, error: BaseException | None) -> None:
    place = ""
    if error is not None:
        text = f"{text}: {type(error).__name__}: {error}"
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    log.event("server.defect", level="error", error=text, place=place)
