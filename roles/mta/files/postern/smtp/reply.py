# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A reply as a value: code, enhanced code, text; and the ones that several verbs share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

#: A reply line may have 512 octets with CR LF (RFC 5321 section 4.5.3.1.5); code and enhanced code need up to 15.
_TEXT_WIDTH = 480

_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True)
class Reply:
    """One SMTP reply (RFC 5321 section 4.2). ``enhanced`` as in RFC 3463, empty where RFC 2034 has none.

    ``text`` may have several lines. Whatever it holds, the bytes on the wire are printable ASCII and
    CR LF between lines: texts come from scripts and peers too. ``close``: the connection ends behind it.
    """

    code: int
    enhanced: str
    text: str
    close: bool = False

    @property
    def is_error(self) -> bool:
        """A permanent refusal: these count against the error limit."""
        return self.code >= 500

    @cached_property
    def wire(self) -> bytes:
        """The bytes for the wire. Most replies are values of this module, or of a verb's, and made once."""
        text = self.text
        if len(text) <= _TEXT_WIDTH and text.isascii() and text.isprintable():
            # Nearly all are one such line.
            code = f"{self.code} {self.enhanced}" if self.enhanced else str(self.code)
            return f"{code} {text}\r\n".encode("ascii")
        lines = [piece for line in self.text.splitlines() or [""] for piece in _fold(_printable(line))]
        prefix = f"{self.enhanced} " if self.enhanced else ""
        wire = [f"{self.code}-{prefix}{line}" for line in lines]
        wire[-1] = f"{self.code} {prefix}{lines[-1]}"
        return ("\r\n".join(wire) + "\r\n").encode("ascii")


def _printable(line: str) -> str:
    return _NOT_PRINTABLE.sub("?", line.replace("\t", " "))


def _fold(line: str) -> list[str]:
    return [line[start : start + _TEXT_WIDTH] for start in range(0, len(line), _TEXT_WIDTH)] or [""]


OK = Reply(250, "2.0.0", "OK")
SENDER_OK = Reply(250, "2.1.0", "sender accepted")
RECIPIENT_OK = Reply(250, "2.1.5", "recipient accepted")
GO_AHEAD = Reply(354, "", "end the message with <CRLF>.<CRLF>")
# What an administrator wants to be said of an address that nobody reads.
THROWN_AWAY = Reply(250, "2.0.0", "taken")
BAD_ORDER = "5.5.1"

# RFC 5321 section 4.2.4: 500 for what is not recognised, 502 for what is known and not offered.
UNKNOWN_COMMAND = Reply(500, "5.5.1", "command not recognised")
LINE_TOO_LONG = Reply(500, "5.5.2", "line too long")
AUTH_LINE_TOO_LONG = Reply(500, "5.5.6", "authentication exchange line too long")
BAD_LINE = Reply(500, "5.5.2", "lines end with CR LF; bare CR, bare LF and NUL are not allowed")
# RFC 5321 section 4.1.4: EHLO or HELO comes first.
HELLO_FIRST = Reply(503, BAD_ORDER, "send EHLO first")
NO_ARGUMENT = Reply(501, "5.5.4", "no argument allowed")
# RFC 5321 sections 3.8 and 4.5.3.2.7.
TIMED_OUT = Reply(421, "4.4.2", "timeout, closing the connection", close=True)
TOO_MANY_ERRORS = Reply(421, "4.7.0", "too many errors, closing the connection", close=True)
SHUTTING_DOWN = Reply(421, "4.3.2", "the service is shutting down", close=True)
# RFC 4954 section 6: a temporary failure.
PUT_OFF = Reply(454, "4.7.0", "too many authentication failures, try again later")
LOCAL_ERROR = Reply(451, "4.3.0", "local error, try again later")
# RFC 1870 section 6.1 and RFC 3463 section 3.4: 452 4.3.1 when there is no room now.
NO_ROOM = Reply(452, "4.3.1", "no room now, try again later")
# RFC 5321 section 4.1.1.5 and the practice since the smuggling advisories of December 2023.
SMUGGLED = Reply(550, "5.5.2", "message refused: bare CR, bare LF or NUL in the data", close=True)
