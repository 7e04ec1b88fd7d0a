# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""main.cf as a text that is edited in place (postconf(5)).

A logical line is a line and the lines after it that begin with a blank. Comments and empty lines in between belong to nobody and do not end it.
The last entry of a name is the one in force. Everything that an edit does not name keeps its bytes.
"""

from __future__ import annotations

import re
import typing as t

#: ``name = value``; what else stands at the beginning of a line is no parameter.
_ENTRY = re.compile(r"([^\s=#][^\s=]*)[ \t]*=[ \t]*(.*)\Z", re.DOTALL)

#: What is blank to Postfix (isspace() of ASCII): a blank that Unicode alone knows is a letter to it.
_BLANK = " \t\r\n\v\f"

#: An indented line that somebody meant as a setting of its own.
_LIKE_A_SETTING = re.compile(r"[a-z][a-z0-9]*_[a-z0-9_]+\s*=\s*\S?|(?:relayhost|mynetworks|myhostname|mydomain|myorigin|mydestination)\s*=")

#: Parameters with one word as their value: what stands behind it was meant as a comment.
_ONE_WORD = re.compile(r"(yes|no|may|none|encrypt|dane|dane-only|verify|secure|fingerprint)\s+\S", re.IGNORECASE)


class Problem(t.NamedTuple):
    """Something in a file that does not mean what it looks like. ``name`` is the parameter, "" for none.

    ``swallowed``: somebody's setting is a part of the value, and would go with it.
    """

    line: int
    name: str
    text: str
    swallowed: bool = False


class Entry(t.NamedTuple):
    """One logical line: ``value`` as Postfix joins it, not expanded; the first and the last physical line, counted from 1."""

    name: str
    value: str
    line: int
    last_line: int


class MainCf:
    """One main.cf. Immutable: edits return another one."""

    def __init__(self, lines: t.Sequence[str]) -> None:
        self._lines = tuple(lines)
        self.entries, self._bad = _entries(self._lines)
        self._last = {entry.name: entry for entry in self.entries}

    @classmethod
    def parse(cls, text: str) -> MainCf:
        """Any text is a main.cf; what does not mean anything in it is in :attr:`problems`."""
        return cls(_split(text))

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._lines)

    def get(self, name: str) -> t.Optional[str]:
        """The value in force as it is written; None when the name is not there."""
        entry = self._last.get(name)
        return None if entry is None else entry.value

    def line(self, name: str) -> int:
        """The line of the entry in force. Raises ``KeyError``."""
        return self._last[name].line

    @property
    def doubles(self) -> t.Tuple[str, ...]:
        """Names that stand more than once."""
        seen: t.Set[str] = set()
        return tuple(dict.fromkeys(entry.name for entry in self.entries if entry.name in seen or seen.add(entry.name)))

    @property
    def problems(self) -> t.Tuple[Problem, ...]:
        """Lines that do not mean what they look like, in their order."""
        found = list(self._bad)
        for entry in self.entries:
            if _ONE_WORD.match(entry.value):
                found.append(
                    Problem(entry.line, entry.name, "what stands behind a value belongs to it: %s = %s" % (entry.name, entry.value))
                )
        return tuple(sorted(found))

    # --- edits ------------------------------------------------------------------------------------

    def with_value(self, name: str, value: str) -> MainCf:
        """The last entry of this name gets the value, earlier ones that say something else go; a new one is put at the end."""
        if "\n" in value:
            raise ValueError("a value has one line")
        entry = self._last.get(name)
        if entry is None:
            lines = list(self._lines)
            end = _line_end(lines)
            if lines and not lines[-1].endswith("\n"):
                # Else the setting would become a part of the last line.
                lines[-1] += end
            lines.append("%s = %s%s" % (name, value, end) if value else "%s =%s" % (name, end))
            return MainCf(lines)
        if entry.value == value and name not in self.doubles:
            return self
        edited = self
        for other in reversed([one for one in self.entries if one.name == name and one.value != value]):
            if other is not entry:
                edited = edited._without(other)
        return edited._replaced(name, value) if entry.value != value else edited

    def without(self, name: str) -> MainCf:
        """All entries of this name go."""
        edited = self
        for entry in reversed([one for one in self.entries if one.name == name]):
            edited = edited._without(entry)
        return edited

    def with_first(self, name: str, item: str) -> MainCf:
        """An item is put in front of a list, whose lines stay as somebody wrote them; a list that is not there is made."""
        entry = self._last.get(name)
        if entry is None or not entry.value:
            return self.with_value(name, item)
        first = self._lines[entry.line - 1]
        head = re.match(r"[^=]*=[ \t]*", first)
        body = first.rstrip("\r\n")
        lines = list(self._lines)
        if head and body[head.end() :].strip():
            lines[entry.line - 1] = "%s%s, %s" % (head.group(0), item, first[head.end() :])
            return MainCf(lines)
        if head is None:
            return self._replaced(name, "%s, %s" % (item, entry.value))
        # The list begins in a later line; the item gets one of its own before it.
        row = next(row for row in range(entry.line, entry.last_line) if _continues(lines[row]))
        indent = lines[row][: len(lines[row]) - len(lines[row].lstrip(" \t"))]
        lines.insert(row, "%s%s,%s" % (indent, item, _line_end(lines)))
        return MainCf(lines)

    def without_item(self, name: str, pattern: t.Pattern[str]) -> MainCf:
        """What matches goes out of a list, with the comma behind it; a list that is empty then goes itself."""
        entry = self._last.get(name)
        if entry is None:
            return self
        lines: t.List[t.Optional[str]] = list(self._lines)
        for row in range(entry.line - 1, entry.last_line):
            line = self._lines[row]
            if _is_comment(line) or not pattern.search(line):
                continue
            # The name itself is no item.
            head = re.match(r"[^=]*=[ \t]*", line) if row == entry.line - 1 else None
            start = head.end() if head else 0
            rest = line[:start] + re.sub(r"(?:%s)[ \t]*,?[ \t]*" % pattern.pattern, "", line[start:])
            lines[row] = rest if rest.strip() else None
        edited = MainCf([line for line in lines if line is not None])
        value = edited.get(name)
        return edited.without(name) if value is not None and not value.strip(", \t") else edited

    def _replaced(self, name: str, value: str) -> MainCf:
        entry = self._last[name]
        first = self._lines[entry.line - 1]
        body = first.rstrip("\r\n")
        # Name, equals sign and blanks stay as somebody wrote them.
        head = re.match(r"[^=]*=[ \t]*", body)
        written = (head.group(0) if head else "%s = " % name) + value
        if head and value and head.group(0).endswith("=") and not body[head.end() :].strip():
            written = "%s= %s" % (head.group(0)[:-1], value)
        return MainCf(self._spliced(entry, written.rstrip(" \t") + first[len(body) :]))

    def _without(self, entry: Entry) -> MainCf:
        return MainCf(self._spliced(entry, None))

    def _spliced(self, entry: Entry, first: t.Optional[str]) -> t.List[str]:
        """The lines with another first line of an entry, and without its others; comments inside it stay."""
        lines = []
        for number, line in enumerate(self._lines, 1):
            if number == entry.line:
                if first is not None:
                    lines.append(first)
            elif entry.line < number <= entry.last_line and _continues(line):
                continue
            else:
                lines.append(line)
        return lines


def _split(text: str) -> t.List[str]:
    """Lines at line feeds only: other characters that Python takes for line ends are none to Postfix."""
    parts = text.split("\n")
    lines = [part + "\n" for part in parts[:-1]]
    return lines + [parts[-1]] if parts[-1] else lines


def _line_end(lines: t.Sequence[str]) -> str:
    return "\r\n" if lines and lines[0].endswith("\r\n") else "\n"


def _is_comment(line: str) -> bool:
    """Comments and empty lines, which belong to nobody."""
    stripped = line.strip(_BLANK)
    return not stripped or stripped.startswith("#")


def _continues(line: str) -> bool:
    return line[:1] in tuple(_BLANK) and not _is_comment(line)


def _entries(lines: t.Sequence[str]) -> t.Tuple[t.Tuple[Entry, ...], t.List[Problem]]:
    found: t.List[Entry] = []
    bad: t.List[Problem] = []
    start, last, parts = 0, 0, []

    def close() -> None:
        if not start:
            return
        if _continues(lines[start - 1]):
            # Nothing stands above that it could go on with.
            bad.append(Problem(start, "", "Postfix leaves out what begins with a blank here: %s" % parts[0]))
            return
        match = _ENTRY.match(" ".join(parts))
        if match is None:
            bad.append(Problem(start, "", "there is no \"=\": %s" % parts[0]))
        else:
            found.append(Entry(match.group(1), match.group(2).strip(_BLANK), start, last))

    for number, line in enumerate(lines, 1):
        if _is_comment(line):
            continue
        if _continues(line) and start:
            stripped = line.strip(_BLANK)
            if _LIKE_A_SETTING.match(stripped):
                name = re.match(r"[^\s=]+", parts[0])
                bad.append(
                    Problem(number, name.group(0) if name else "", "an indented line goes on with the value above: %s" % stripped, True)
                )
            parts.append(stripped)
            last = number
            continue
        close()
        start, last, parts = number, number, [line.strip(_BLANK)]
    close()
    return tuple(found), bad
