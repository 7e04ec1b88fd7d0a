# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where an answer of the admin line protocol ends.

An answer is payload lines, one status line, and a prompt without a line end. The protocol has no
length and no escaping, so a payload may contain lines that look like a status line and a prompt.
Three things tell a real end from such a line:

* something follows it. An end counts only at the end of what was received, and a non-blocking read
  is always made to see whether more is there already;
* what is known about the payload. A policy script or a configuration that stops inside a string or
  a block is not finished (:class:`Nesting`), nor is a ``SHOW`` that stops inside a quoted value: a line that
  begins with ``+OK`` can stand nowhere else;
* the blank line that ends tables and attributes. Without it the end is less likely one.

Where none decides, the connection must stay quiet for a moment before the end is believed. The
moment is spent waiting for the socket to become readable, so whatever arrives is seen at once.
"""

from __future__ import annotations

import re
import typing as t

#: Quiet time in seconds before an end is believed: behind foreign text; for an end that lacks its status line or
#: its blank line, or has an unexpected prompt; for a text that is visibly unfinished.
SETTLE = 0.03
GRACE = 0.3
DOUBT = 5.0

PASSWORD = "<password>"

#: Verbs whose payload is text that others wrote, which may contain lines like a status and a prompt.
_READING = frozenset(("SHOW", "LIST", "HELP"))

#: Objects of SHOW whose payload is one text with strings and blocks; the value tells whether a
#: backslash escapes a quote in it.
_TEXTS = {"SMTPFILTERS": False, "CONFIG": True}

MAX_PROMPT = 256
_MAX_STATUS = 64 * 1024

#: ANSI control sequences (ECMA-48 5.4), operating system commands such as a window's title, other escape sequences
#: (ECMA-35 13), and telnet commands (RFC 854): options, subnegotiations, and single ones such as GO AHEAD.
_NOISE = re.compile(
    rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\r\n]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-Z\\^-~]"
    rb"|\xff(?:[\xfb-\xfe][\x00-\xff]|\xfa(?:[^\xff]|\xff\xff)*\xff\xf0|[\xf1-\xf9])"
)
_UNFINISHED_NOISE = re.compile(
    rb"(?:\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b\r\n]*\x1b?|[ -/]*)|\xff(?:[\xfb-\xfe]|\xfa(?:[^\xff]|\xff\xff)*\xff?)?)\Z"
)
_LEADING_NOISE = re.compile(rb"(?:%s)+" % _NOISE.pattern)
_PROMPT = re.compile(rb"\A(<[^<>\r\n]*>)([ \t]*)\Z")
_STATUS = re.compile(rb"\A(\+OK|-ERR)(?![A-Za-z0-9]):?[ \t]*(.*?)[\r\n]*\Z", re.S)
_BLANK = re.compile(rb"(?:\A|\n)[ \t\r]*\n\Z")
_QUOTED = re.compile(rb"(?:\A|\n)[ \t]*[A-Za-z][A-Za-z0-9_.-]* = (?=\")")
_STRING = re.compile(rb'"[^"\\]*(?:\\[\x00-\xff][^"\\]*)*"')


class End(t.NamedTuple):
    """An apparent end of an answer. ``payload_end`` is an offset; ``ok`` is None without a status line.

    ``spaced`` says that the prompt is complete, its blank included. A control sequence may have begun behind it.
    """

    payload_end: int
    ok: t.Optional[bool]
    status: bytes
    prompt: str
    spaced: bool


def without_noise(data: bytes) -> bytes:
    """The bytes without terminal control sequences and telnet commands."""
    return _NOISE.sub(b"", data) if b"\x1b" in data or b"\xff" in data else data


def without_leading_noise(data: bytes) -> bytes:
    """The bytes without control sequences in front, which may be the late rest of the last prompt."""
    found = _LEADING_NOISE.match(data)
    return data[found.end():] if found else data


def unfinished_noise(data: bytes) -> bytes:
    """The control sequence that begins at the end of these bytes and is not complete; b"" when there is none."""
    found = _UNFINISHED_NOISE.search(data[-MAX_PROMPT:])
    return found.group() if found else b""


def find_end(buffer: bytearray) -> t.Optional[End]:
    """The end that the buffer stops with, or None. Looks at the last lines only."""
    size = len(buffer)
    line_start = buffer.rfind(b"\n", max(0, size - MAX_PROMPT)) + 1
    if line_start == 0 and size > MAX_PROMPT:
        return None
    line = bytes(buffer[line_start:])
    begun = unfinished_noise(line)
    prompt = _PROMPT.match(without_noise(line[:len(line) - len(begun)]))
    if prompt is None:
        return None
    name, spaced = prompt.group(1).decode("utf-8", "replace"), bool(prompt.group(2))
    if line_start:
        status_start = buffer.rfind(b"\n", max(0, line_start - 1 - _MAX_STATUS), line_start - 1) + 1
        status = _STATUS.match(without_noise(bytes(buffer[status_start:line_start])))
        if status is not None:
            return End(status_start, status.group(1) == b"+OK", status.group(2), name, spaced)
    return End(line_start, None, b"", name, spaced)


class Nesting:
    """Follows strings, comments and braces of a script or configuration as it arrives.

    ``escapes`` says whether a backslash can stand before a quote inside a string (configuration: yes).
    """

    def __init__(self, escapes: bool) -> None:
        string = rb'"[^"\\]*(?:\\[\x00-\xff][^"\\]*)*' if escapes else rb'"[^"]*'
        # What is whole and holds nothing that counts: nearly all of a text of five megabytes.
        self._whole = re.compile(rb'(?:%s)"|#[^\n]*|/\*.*?\*/' % string, re.S)
        self._token = re.compile(rb'(?:%s)(?P<string>"?)|#[^\n]*|/\*.*?(?P<comment>\*/|\Z)|[{}]' % string, re.S)
        self._position = 0
        self._depth = 0

    def finished(self, buffer: bytearray, end: int) -> bool:
        """Whether the first ``end`` bytes stop outside every string, comment and block."""
        region = bytes(buffer[self._position:end])
        done = len(region)
        rest = self._whole.sub(b"", region)
        if b'"' not in rest and b"/*" not in rest:
            self._position += done
            self._depth += rest.count(b"{") - rest.count(b"}")
            return self._depth <= 0
        for token in self._token.finditer(region):
            first = token.group()[:1]
            if first == b"{":
                self._depth += 1
            elif first == b"}":
                self._depth -= 1
            elif token.group("string") == b"" or token.group("comment") == b"":
                done = token.start()
                break
        self._position += done
        return done == len(region) and self._depth <= 0


def inside_value(payload: bytes) -> bool:
    """Whether the attributes of a ``SHOW`` stop inside a quoted value."""
    place = 0
    while True:
        begun = _QUOTED.search(payload, place)
        if begun is None:
            return False
        string = _STRING.match(payload, begun.end())
        if string is None:
            return True
        place = string.end()


class Ending:
    """Judges the end of one answer. What is known of the answer before it comes:

    ``possible`` tells the prompts that it may end with; ``nesting`` is given where the payload is one text in a known
    syntax, ``reading`` says that it is other people's text, ``attributes`` that it has the layout of SHOW.
    ``may_lack_status`` is for USER, which the bare password prompt answers. ``invited`` is the prompt that may still
    follow the invitation to an upload, in front of the answer. ``patience`` limits DOUBT, in seconds. ``text`` is
    True where every byte of the payload is meant.
    """

    def __init__(
        self,
        possible: t.Callable[[str], bool],
        nesting: t.Optional[Nesting] = None,
        reading: bool = False,
        attributes: bool = False,
        may_lack_status: bool = False,
        invited: str = "",
        patience: float = DOUBT,
    ) -> None:
        self.possible = possible
        self._nesting = nesting
        self._reading = reading
        self._attributes = attributes
        self.may_lack_status = may_lack_status
        self.text = nesting is not None
        self._patience = patience
        late_prompt = rb"[\r\n]*%s(?: [\r\n]*|(?=[^ ]))" % re.escape(invited.encode("utf-8"))
        self._late_prompt = re.compile(late_prompt) if invited else None

    @classmethod
    def of(
        cls,
        words: t.Sequence[str],
        possible: t.Callable[[str], bool],
        may_lack_status: bool = False,
        patience: float = DOUBT,
    ) -> Ending:
        """The ending of the answer to a command; ``words`` are its words as they are shown."""
        verb = words[0].upper()
        escapes = _TEXTS.get(words[1].upper()) if verb == "SHOW" and len(words) == 2 else None
        return cls(
            possible,
            nesting=None if escapes is None else Nesting(escapes),
            reading=verb in _READING,
            attributes=verb == "SHOW",
            may_lack_status=may_lack_status,
            patience=patience,
        )

    def judge(self, buffer: bytearray) -> t.Optional[float]:
        """Seconds of quiet after which the end of the buffer is the end of the answer; None when it has no end.

        Takes a late prompt of an invitation off the buffer.
        """
        if self._late_prompt is not None:
            late = self._late_prompt.match(buffer)
            if late is not None:
                length = late.end()
                del late
                del buffer[:length]
        end = find_end(buffer)
        if end is None or (self._late_prompt is not None and end.ok is None):
            return None
        if self._unfinished(buffer, end):
            return min(DOUBT, self._patience)
        if not end.spaced or not self.possible(end.prompt):
            return GRACE
        if end.ok is None:
            # USER is answered by the bare password prompt; everything else has a status line.
            return 0.0 if self.may_lack_status and end.prompt == PASSWORD else GRACE
        if self._nesting is not None or not self._reading:
            return 0.0
        closed = end.payload_end == 0 or _BLANK.search(buffer, max(0, end.payload_end - 80), end.payload_end)
        return SETTLE if closed else GRACE

    def _unfinished(self, buffer: bytearray, end: End) -> bool:
        if self._nesting is not None:
            return not self._nesting.finished(buffer, end.payload_end)
        return self._attributes and inside_value(bytes(buffer[:end.payload_end]))
