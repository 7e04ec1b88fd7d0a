# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""master.cf as a text that is edited line by line (master(5)).

``postconf -P`` writes whole entries anew: columns, blanks and comments inside them move. Here one ``-o`` is one piece of a
line, and everything that an edit does not name keeps its bytes. A logical line is a line and the lines after it that begin with a
blank; comments and empty lines in between belong to nobody and do not end it.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ..._policy.value import Value

#: The columns between the type of a service and its command.
COLUMNS = ("private", "unprivileged", "chroot", "wakeup", "process_limit")

#: What a line begins with that is a part of an entry which was switched off here; the rest of it is the line as it was.
MARK = "#off# "

#: The indentation of options where an entry has none to go by.
_INDENT = "  "

#: What parts words.
_BLANK = " \t\r\n"

#: What an empty line consists of, and what a line that goes on begins with (isspace() of ASCII).
_SPACE = _BLANK + "\v\f"

#: The flags of a daemon up to the first that has a value, that flag, and what is behind it in the same word.
_FLAGS = re.compile(r"-([^-imnorst]*)([imnorst])(.*)\Z", re.DOTALL)

#: A line that was an entry and is a comment now.
_WAS_ENTRY = re.compile(r"\s*#\s*(\S+)\s+(inet|unix|fifo|pass|unix-dgram)(?:\s+[-yn0-9?]+){5}\s+\S+")


@dataclass(init=False, repr=False, eq=False)
class Service(Value):
    """One entry. ``id`` stays the same when others are edited; ``options`` are names and values of ``-o``, in order.

    ``columns`` are ``COLUMNS``; ``line`` and ``last_line`` are physical lines, counted from 1; ``lines`` those of the options.
    """

    id: str
    name: str
    type: str
    columns: t.Tuple[str, ...]
    command: str
    arguments: t.Tuple[str, ...]
    options: t.Tuple[t.Tuple[str, str], ...]
    line: int
    last_line: int
    lines: t.Tuple[int, ...] = ()

    def option_line(self, name: str) -> int:
        """Where the ``-o`` in force of this name is. Raises ``KeyError``."""
        for (option, unused), line in zip(reversed(self.options), reversed(self.lines)):
            if option == name:
                return line
        raise KeyError(name)

    def column(self, name: str) -> str:
        """The value of one of ``COLUMNS``."""
        return self.columns[COLUMNS.index(name)]


class Stray(t.NamedTuple):
    """Options below a line that was commented out: they belong to the service above. ``line`` is that comment."""

    line: int
    service_id: str
    options: t.Tuple[t.Tuple[str, str], ...]


class _Token(t.NamedTuple):
    """A word of an entry: where it begins and ends (index of the line, character), and what it says, in one line."""

    row: int
    start: int
    last_row: int
    end: int
    text: str


class _Entry(t.NamedTuple):
    service: Service
    rows: t.Tuple[int, ...]
    #: For each ``-o``: its tokens.
    spans: t.Tuple[t.Tuple[_Token, ...], ...]
    tokens: t.Tuple[_Token, ...]
    #: For each ``-o``: the flags that stand in the same word before it ("-v" of "-vo").
    flags: t.Tuple[str, ...]
    #: The first word behind the options; a ``-o`` behind it belongs to that command (pipe(8), spawn(8)).
    rest: t.Optional[_Token]


class MasterCf:
    """One master.cf. Immutable: edits return another one."""

    def __init__(self, lines: t.Sequence[str]) -> None:
        self._lines = tuple(lines)
        self._entries = _entries(self._lines)
        self.services = tuple(entry.service for entry in self._entries)

    @classmethod
    def parse(cls, text: str) -> MasterCf:
        """Any text is a master.cf; lines without eight columns are no services."""
        return cls(split_lines(text))

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._lines)

    @property
    def disabled(self) -> t.Tuple[Service, ...]:
        """The entries that were switched off here, as they were."""
        return tuple(entry.service for entry, unused in self._off())

    @property
    def strays(self) -> t.Tuple[Stray, ...]:
        """Options that stand below a commented entry and belong to the service above it."""
        found = []
        for entry in self._entries:
            for number in range(entry.service.line, entry.service.last_line):
                line = self._lines[number]
                if number in entry.rows or line.startswith(MARK) or not _WAS_ENTRY.match(line):
                    continue
                pairs = zip(entry.service.options, entry.service.lines)
                options = tuple(option for option, place in pairs if place > number + 1)
                if options:
                    found.append(Stray(number + 1, entry.service.id, options))
                    break
        return tuple(found)

    def service(self, identity: str) -> t.Optional[Service]:
        """The enabled service with this id, or None."""
        return next((service for service in self.services if service.id == identity), None)

    # --- edits of one service ---------------------------------------------------------------------

    def with_option(self, identity: str, name: str, value: str) -> MasterCf:
        """The last ``-o`` of this name gets the value; a new one comes behind the last option of the service."""
        entry = self._entry(identity)
        for number in reversed(range(len(entry.spans))):
            option, old = entry.service.options[number]
            if option == name:
                return self if old == value else MasterCf(_put(self._lines, entry, number, _option(name, value)))
        lines = list(self._lines)
        rest = entry.rest
        if rest is not None:
            line = lines[rest.row]
            if line[: rest.start].strip(_BLANK):
                lines[rest.row] = "%s-o %s %s" % (line[: rest.start], _option(name, value), line[rest.start :])
            else:
                lines.insert(rest.row, "%s-o %s%s" % (line[: rest.start], _option(name, value), _line_end(lines)))
            return MasterCf(lines)
        row = entry.rows[-1]
        end = _line_end(lines)
        if not lines[row].endswith("\n"):
            lines[row] += end
        lines.insert(row + 1, "%s-o %s%s" % (self._indent(entry), _option(name, value), end))
        return MasterCf(lines)

    def without_option(self, identity: str, name: str) -> MasterCf:
        """All ``-o`` of this name go."""
        edited = self
        while True:
            entry = edited._entry(identity)
            places = [number for number, (option, unused) in enumerate(entry.service.options) if option == name]
            if not places:
                return edited
            edited = MasterCf(_drop(edited._lines, entry, places[-1]))

    def with_column(self, identity: str, column: str, value: str) -> MasterCf:
        """One of ``COLUMNS`` gets a value; what stands behind it keeps its place where there is room."""
        token = self._entry(identity).tokens[2 + COLUMNS.index(column)]
        if token.text == value:
            return self
        lines = list(self._lines)
        line = lines[token.row]
        rest = line[token.end :]
        room = len(rest) - len(rest.lstrip(" "))
        rest = rest[max(min(room - 1, len(value) - len(token.text)), 0) :] if len(value) > len(token.text) else (
            " " * (len(token.text) - len(value)) + rest
        )
        lines[token.row] = line[: token.start] + value + rest
        return MasterCf(lines)

    # --- services that come and go ----------------------------------------------------------------

    def with_service(
        self, name: str, like: t.Optional[str] = None, options: t.Sequence[t.Tuple[str, str]] = (), kind: str = "inet"
    ) -> MasterCf:
        """A new service with the columns and the command of another one; it comes behind the last inet service of that command."""
        model = self.service(like) if like is not None else None
        columns = model.columns if model is not None else ("n", "-", "n", "-", "-")
        command = model.command if model is not None else "smtpd"
        lines = list(self._lines)
        rows = [entry.rows[-1] for entry in self._entries if (entry.service.type, entry.service.command) == (kind, command)]
        place = rows[-1] + 1 if rows else len(lines)
        if place == len(lines) and lines and not lines[-1].endswith("\n"):
            lines[-1] += _line_end(lines)
        words = "%-9s %-5s %-7s %-7s %-7s %-7s %-7s %s" % (name, kind, *columns, command)
        new = [line + _line_end(lines) for line in (words, *("%s-o %s" % (_INDENT, _option(*option)) for option in options))]
        return MasterCf(lines[:place] + new + lines[place:])

    def without_service(self, identity: str) -> MasterCf:
        """The entry goes, with its options; comments between them stay."""
        rows = frozenset(self._entry(identity).rows)
        return MasterCf([line for row, line in enumerate(self._lines) if row not in rows])

    def commented(self, identity: str) -> MasterCf:
        """The entry is switched off: a comment that :meth:`uncommented` makes an entry again, byte for byte."""
        rows = frozenset(self._entry(identity).rows)
        return MasterCf([MARK + line if row in rows else line for row, line in enumerate(self._lines)])

    def uncommented(self, identity: str) -> MasterCf:
        """The entry that was switched off is one again. Raises ``KeyError``."""
        for entry, rows in self._off():
            if entry.service.id == identity:
                marked = frozenset(rows)
                return MasterCf([line[len(MARK) :] if row in marked else line for row, line in enumerate(self._lines)])
        raise KeyError(identity)

    # --- inside -----------------------------------------------------------------------------------

    def _entry(self, identity: str) -> _Entry:
        for entry in self._entries:
            if entry.service.id == identity:
                return entry
        raise KeyError(identity)

    def _indent(self, entry: _Entry) -> str:
        """As the options of the service have it, else those of any other."""
        for one in (entry, *self._entries):
            for row in one.rows[1:]:
                line = self._lines[row]
                return line[: len(line) - len(line.lstrip(" \t"))]
        return _INDENT

    def _off(self) -> t.List[t.Tuple[_Entry, t.List[int]]]:
        """Entries that were switched off, each with its rows in this file."""
        rows = [row for row, line in enumerate(self._lines) if line.startswith(MARK)]
        found = []
        for entry in _entries([self._lines[row][len(MARK) :] for row in rows]):
            places = [rows[row] for row in entry.rows]
            line = places[0] + 1
            found.append((entry._replace(service=_moved(entry.service, line, places[-1] + 1)), places))
        return found


def split_lines(text: str) -> t.List[str]:
    """Lines with their ends. Line feeds alone end a line for Postfix."""
    parts = text.split("\n")
    lines = [part + "\n" for part in parts[:-1]]
    return lines + [parts[-1]] if parts[-1] else lines


def _moved(service: Service, line: int, last: int) -> Service:
    values = dict(vars(service), line=line, last_line=last, lines=())
    return Service(**values)


def _line_end(lines: t.Sequence[str]) -> str:
    return "\r\n" if lines and lines[0].endswith("\r\n") else "\n"


def _is_comment(line: str) -> bool:
    stripped = line.strip(_SPACE)
    return not stripped or stripped.startswith("#")


def _entries(lines: t.Sequence[str]) -> t.Tuple[_Entry, ...]:
    groups: t.List[t.List[int]] = []
    for row, line in enumerate(lines):
        if _is_comment(line):
            continue
        if line[0] in _SPACE and groups:
            groups[-1].append(row)
        else:
            groups.append([row])
    found = []
    counts: t.Dict[str, int] = {}
    for rows in groups:
        tokens = list(_tokens(rows, lines))
        # Postfix leaves out what begins with a blank where nothing stands above.
        if len(tokens) < 8 or lines[rows[0]][0] in _SPACE:
            continue
        base = "%s/%s" % (tokens[0].text, tokens[1].text)
        counts[base] = counts.get(base, 0) + 1
        identity = base if counts[base] == 1 else "%s#%d" % (base, counts[base])
        found.append(_entry(identity, rows, tokens))
    return tuple(found)


def _entry(identity: str, rows: t.Sequence[int], tokens: t.Sequence[_Token]) -> _Entry:
    arguments: t.List[str] = []
    options: t.List[t.Tuple[str, str]] = []
    spans: t.List[t.Tuple[_Token, ...]] = []
    flags: t.List[str] = []
    rest: t.Optional[_Token] = None
    words = list(tokens[8:])
    while words:
        word = words.pop(0)
        text = _bare(word.text)
        if not text.startswith("-") or text == "--":
            rest = word
            arguments += [_bare(one.text) for one in (word, *words)]
            break
        match = _FLAGS.match(text)
        if match is None or not (match.group(3) or words):
            arguments.append(text)
        elif match.group(2) != "o":
            arguments.append(text)
            if not match.group(3):
                arguments.append(_bare(words.pop(0).text))
        else:
            value = None if match.group(3) else words.pop(0)
            options.append(_pair(match.group(3) if value is None else value.text))
            spans.append((word,) if value is None else (word, value))
            flags.append("-" + match.group(1) if match.group(1) else "")
            arguments += flags[-1:] if flags[-1] else []
    service = Service(
        id=identity,
        name=tokens[0].text,
        type=tokens[1].text,
        columns=tuple(token.text for token in tokens[2:7]),
        command=tokens[7].text,
        arguments=tuple(arguments),
        options=tuple(options),
        line=rows[0] + 1,
        last_line=rows[-1] + 1,
        lines=tuple(span[-1].row + 1 for span in spans),
    )
    return _Entry(service, tuple(rows), tuple(spans), tuple(tokens), tuple(flags), rest)


def _bare(text: str) -> str:
    """A word without the braces around it."""
    return text[1:-1].strip(_BLANK) if text.startswith("{") and text.endswith("}") else text


def _pair(text: str) -> t.Tuple[str, str]:
    """``name=value`` or ``{name = value with blanks}``."""
    name, unused, value = _bare(text).partition("=")
    return name.strip(_BLANK), value.strip(_BLANK)


def _tokens(rows: t.Sequence[int], lines: t.Sequence[str]) -> t.Iterator[_Token]:
    """Words of an entry; blanks and line ends between braces, wherever in a word they are, part nothing (mystrtokq() of Postfix)."""
    depth, first, start = 0, -1, 0
    parts: t.List[str] = []
    for row in rows:
        line = lines[row]
        begin = 0
        for place, letter in enumerate(line):
            if first < 0 and letter not in _BLANK:
                first, start, begin = row, place, place
            elif first >= 0 and not depth and letter in _BLANK:
                yield _Token(first, start, row, place, _joined(parts + [line[begin:place]]))
                first, parts = -1, []
            if first >= 0:
                depth = max(depth + {"{": 1, "}": -1}.get(letter, 0), 0)
        if first >= 0:
            parts.append(line[begin:])
            if row == rows[-1] or not depth:
                yield _Token(first, start, row, len(line.rstrip(_BLANK)), _joined(parts))
                first, parts = -1, []


def _joined(parts: t.Sequence[str]) -> str:
    return " ".join(part.strip(_BLANK) for part in parts)


def _option(name: str, value: str) -> str:
    """How it is written behind ``-o``: with braces where there are blanks. Raises ``ValueError`` for what master.cf cannot hold."""
    braces = re.search(r"\s", value) or value.startswith("{")
    text = "{ %s = %s }" % (name, value) if braces else "%s=%s" % (name, value)
    if "\n" in value or text.count("{") != text.count("}") or [token.text for token in _tokens([0], [text])] != [text]:
        raise ValueError("an option has one line, and its braces go in pairs: %s" % name)
    return text


def _put(lines: t.Sequence[str], entry: _Entry, number: int, text: str) -> t.List[str]:
    """The lines with another text for an option."""
    span, flags = entry.spans[number], entry.flags[number]
    if len(span) == 1:
        # Braces are braces at the beginning of a word only.
        text = "%so%s%s" % (flags or "-", " " if text.startswith("{") else "", text)
    return _replaced(lines, entry, span[-1], text)


def _replaced(lines: t.Sequence[str], entry: _Entry, token: _Token, text: str) -> t.List[str]:
    edited = list(lines)
    edited[token.row] = lines[token.row][: token.start] + text + lines[token.last_row][token.end :]
    gone = frozenset(row for row in entry.rows if token.row < row <= token.last_row)
    return [line for row, line in enumerate(edited) if row not in gone]


def _drop(lines: t.Sequence[str], entry: _Entry, number: int) -> t.List[str]:
    """The lines without an option: without its line where nothing else is in it."""
    edited: t.List[t.Optional[str]] = list(lines)
    first, last, flags = entry.spans[number][0], entry.spans[number][-1], entry.flags[number]
    for row in entry.rows:
        if not first.row <= row <= last.last_row:
            continue
        line = lines[row]
        before = line[: first.start if row == first.row else len(line) - len(line.lstrip(_BLANK))]
        behind = line[last.end if row == last.last_row else len(line.rstrip(_BLANK)) :]
        if row == first.row and flags:
            edited[row] = before + flags + behind
        elif before.strip(_BLANK):
            edited[row] = before.rstrip(" \t") + behind
        else:
            edited[row] = before + behind.lstrip(" \t") if behind.strip(_BLANK) else None
    return [line for line in edited if line is not None]
