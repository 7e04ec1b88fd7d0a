# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a server says, and what stands in the place of it when nothing was to be seen: a reply, or a reason and a side."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .records import printable

#: Sides that an ending can come from.
SERVER_ALERT = "server alert"
SERVER_CLOSED = "server closed"
SERVER_REPLY = "server reply"
#: A 4xx reply: it may say something else next time.
SERVER_BUSY = "server busy"
NETWORK = "network"
LOCAL_LIBRARY = "local library"
#: The probe's own limits ended it, or nobody asked.
BUDGET = "probe budget"
NOT_ASKED = "not asked for"

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?: |\Z)")


class Unobservable(Exception):
    """What was to be seen could not be seen. ``side`` says who is to blame for that."""

    def __init__(self, reason: str, side: str = NETWORK) -> None:
        self.reason = reason
        self.side = side
        super().__init__("%s (%s)" % (reason, side))


class CertificateRefused(Unobservable):
    """The handshake ended because *this* side does not accept the server's certificate; ``reason`` says why."""


@dataclass(frozen=True)
class Reply:
    """A whole reply: ``code``, ``enhanced`` (RFC 3463, "" when there is none), ``lines`` without either."""

    code: int
    enhanced: str
    lines: t.Tuple[str, ...]

    @property
    def text(self) -> str:
        """The explanation, lines joined by a blank."""
        return " ".join(line for line in self.lines if line)

    @property
    def accepted(self) -> bool:
        return 200 <= self.code < 300

    def __str__(self) -> str:
        text = " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)
        text = printable(text.encode("utf-8"))[1:-1]
        return text if len(text) <= 160 else text[:157] + "..."


def refusing_side(reply: Reply) -> str:
    """The side to name for a reply that stands in the way: a 4xx one says nothing about the server's settings."""
    return SERVER_BUSY if 400 <= reply.code < 500 else SERVER_REPLY


def parsed(code: int, lines: t.Sequence[str]) -> Reply:
    """The reply of these lines, which have lost code and separator already."""
    match = _ENHANCED.match(lines[0])
    if match is None:
        return Reply(code, "", tuple(lines))
    found = match.group(1)
    bare = tuple(line[len(found) :].lstrip(" ") if line.startswith(found) else line for line in lines)
    return Reply(code, found, bare)
