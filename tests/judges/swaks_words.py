# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What swaks has seen, read from its transcript.

Its lines begin with an arrow: ``->`` and ``<-`` in clear, ``~>`` and ``<~`` inside TLS, a second ``*`` for a refusal.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

_LINE = re.compile(r"(?P<arrow> ->|<- |<\*\*| ~>|<~ |<~\*) (?P<text>.*)")


@dataclass
class Exchange:
    """A command and the reply to it, line by line; the banner is the reply to no command."""

    command: str
    inside_tls: bool
    reply: list[str] = field(default_factory=list)

    @property
    def last(self) -> str:
        """The reply's last line; empty when there was none."""
        return self.reply[-1] if self.reply else ""

    @property
    def keywords(self) -> dict[str, str]:
        """Of an answer to EHLO: keywords with their parameters."""
        pairs = (line[4:].strip().partition(" ") for line in self.reply[1:])
        return {keyword.upper(): parameters for keyword, _blank, parameters in pairs}


def exchanges(transcript: str) -> list[Exchange]:
    """All of a session, the banner first."""
    found = [Exchange("", False)]
    for line in transcript.splitlines():
        match = _LINE.match(line)
        if match is None:
            if "TLS started" in line and len(found) == 1 and not found[0].reply:
                # TLS from the first byte.
                found[0].inside_tls = True
            continue
        arrow, text = match.group("arrow").strip(), match.group("text").strip()
        if arrow in ("->", "~>"):
            found.append(Exchange(text, arrow == "~>"))
        else:
            found[-1].reply.append(text)
    return found


def answer(transcript: str, verb: str, inside_tls: t.Optional[bool] = None) -> Exchange:
    """The last exchange whose command begins with this verb. Raises AssertionError with the transcript."""
    for one in reversed(exchanges(transcript)):
        if one.command.upper().startswith(verb) and inside_tls in (None, one.inside_tls):
            return one
    raise AssertionError(f"swaks sent no {verb}:\n{transcript}")
