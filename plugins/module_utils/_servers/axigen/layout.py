# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Words of a command and layouts of an answer in the admin dialect.

Writing: one LF is one command, so nothing that could end a line ever gets into a word. Reading:
attributes of ``SHOW``, tables and lists of ``LIST``. Titles and blank lines around them vary between
versions and are not relied on.
"""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping

from ..base import ServerError

#: Longest command line that every version can be expected to take, in bytes.
MAX_LINE = 8192

HIDDEN = "********"

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_BARE = re.compile(r"[A-Za-z0-9_.:/\[\]-]+\Z")
_PAIR = re.compile(r"[ \t]*([A-Za-z][A-Za-z0-9_.-]*) =(?: (.*))?\Z", re.S)
_RULER = re.compile(r"[ \t]*-[-+| \t]*-[ \t]*\Z")
_BARE_ROW = re.compile(r"(?!none\Z|empty\Z)[^\s|]+\Z|\S+(?:\t|  |[ \t]*\|).*\Z", re.I)
_INHERITANCE = re.compile(r" \[[^\[\]]*\]\Z")
_SET_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|\'([^\']*)\'|((?:[^\s\\]|\\.)+)', re.S)


class WordRefused(ServerError, ValueError):
    """A value that cannot be sent, because it would end the command or change its meaning."""


class Secret(str):
    """A word that is sent as it is and shown nowhere."""

    def reveal(self) -> str:
        """The word itself, for the wire only."""
        return str.__str__(self)

    def __str__(self) -> str:
        return HIDDEN

    def __repr__(self) -> str:
        return repr(HIDDEN)

    def __format__(self, format_spec: str) -> str:
        return format(HIDDEN, format_spec)


class SetValue(tuple):
    """A choice set: ``SetValue(("tls1_2", "tls1_3"))`` is written ``(tls1_2 tls1_3)``."""

    __slots__ = ()


Word = t.Union[str, SetValue]


def quote(word: Word) -> str:
    """A word as it stands in a command line: bare where that is safe, else in double quotes.

    Raises :class:`WordRefused` for control characters and for text that has no UTF-8 form.
    """
    if isinstance(word, SetValue):
        return "(%s)" % " ".join(quote(item) for item in word)
    text = word.reveal() if isinstance(word, Secret) else word
    check_text(text)
    if _BARE.match(text) and not isinstance(word, Secret):
        return text
    return '"%s"' % text.replace("\\", "\\\\").replace('"', '\\"')


def check_text(text: str, operation: str = "send a value") -> None:
    """Refuse text that cannot be part of one line. Raises :class:`WordRefused`, which never shows the text."""
    found = _CONTROL.search(text)
    if found:
        raise WordRefused(
            operation,
            "it contains the control character U+%04X at position %d" % (ord(found.group()), found.start() + 1),
            "The admin protocol is one command per line; nothing was sent.",
        )
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        pass
    else:
        return
    raise WordRefused(operation, "it contains characters that have no UTF-8 form", "Nothing was sent.")


def shown(words: t.Sequence[Word], secret: t.Collection[int] = ()) -> str:
    """Words for a message: as they are sent, long ones cut, secret ones hidden."""
    parts = []
    for index, word in enumerate(words):
        if isinstance(word, Secret) or index in secret:
            parts.append(HIDDEN)
        elif isinstance(word, SetValue):
            parts.append("(%s)" % shown(word))
        else:
            text = printable(word, 100)
            parts.append(text if _BARE.match(text) else '"%s"' % text)
    return " ".join(parts)


def printable(text: str, limit: int) -> str:
    """Text for a message: control characters and undecodable bytes escaped, cut at ``limit`` characters."""
    cut = text if len(text) <= limit else text[:limit] + "..."
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in cut)


class Attributes(Mapping):
    """Attributes of a ``SHOW``. Keys are as the server sent them; look-up is without regard to case."""

    def __init__(self, pairs: t.Iterable[t.Tuple[str, t.Any]]) -> None:
        self._values: t.Dict[str, t.Any] = {}
        self._names: t.Dict[str, str] = {}
        for name, value in pairs:
            self._names.setdefault(name.lower(), name)
            self._values[name.lower()] = value

    def __getitem__(self, name: str) -> t.Any:
        return self._values[name.lower()]

    def __iter__(self) -> t.Iterator[str]:
        return iter(self._names.values())

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return "Attributes(%r)" % (dict(self),)


def show_attributes(answer: t.Any, inheritance: bool = False) -> Attributes:
    """``name = value`` pairs of a ``SHOW`` or ``SHOW ATTR``.

    Strings lose their quotes, sets become :class:`SetValue`. With ``inheritance`` (account contexts)
    the remark in brackets behind a value is taken off. A quoted string may go on over several lines.
    """
    pairs = []
    lines = iter(answer.payload)
    for line in lines:
        found = _PAIR.match(line)
        if found is None:
            continue
        value = found.group(2) or ""
        while value.startswith('"') and not _string_closed(value):
            following = next(lines, None)
            if following is None:
                break
            value += "\n" + following
        if inheritance:
            value = _INHERITANCE.sub("", value)
        pairs.append((found.group(1), _value(value)))
    return Attributes(pairs)


def _string_closed(value: str) -> bool:
    return re.match(r'"(?:[^"\\]|\\.)*"', value, re.S) is not None


def _value(text: str) -> t.Any:
    text = text.strip()
    if len(text) >= 2 and text.startswith("(") and text.endswith(")"):
        return SetValue(_set_word(found) for found in _SET_WORD.finditer(text[1:-1]))
    if len(text) >= 2 and text.startswith('"') and text.endswith('"'):
        return _unescape(text[1:-1])
    return text


def _set_word(found: t.Any) -> str:
    quoted, literal, bare = found.groups()
    if literal is not None:
        return literal
    return _unescape(quoted if quoted is not None else bare)


def _unescape(text: str) -> str:
    return re.sub(r'\\(["\\])', r"\1", text)


def list_rows(answer: t.Any) -> t.List[t.Dict[str, str]]:
    """Rows of the first table of a ``LIST``, keyed by the header's names; no ruler means no rows.

    Cells are split at ``|`` where the header has one, else at two or more spaces.
    """
    header, lines = _table(answer.payload)
    if header is None:
        return []
    return [dict(zip(_cells(header, header), _cells(line, header))) for line in lines]


def first_column(answer: t.Any) -> t.List[str]:
    """The keys of a ``LIST``: the first cell of every row, in a table without ``|`` its first word.

    Without a ruler (QUIET reduces answers, and nobody says to what) the lines that can be rows are the rows: those
    with bars or wide gaps, or of one word. A sentence is none.
    """
    header, lines = _table(answer.payload)
    if header is not None:
        return [_cells(line, header)[0] if "|" in header else line.split()[0] for line in lines]
    lines = [line.strip("| \t") for line in answer.payload]
    return [re.split(r"[ \t|]", line, maxsplit=1)[0] for line in lines if _BARE_ROW.match(line)]


def _table(payload: t.Sequence[str]) -> t.Tuple[t.Optional[str], t.List[str]]:
    for index, line in enumerate(payload):
        if index and line.count("-") >= 6 and _RULER.match(line):
            rows = []
            for row in payload[index + 1:]:
                if not row.strip():
                    break
                rows.append(row)
            return payload[index - 1], rows
    return None, []


def _cells(line: str, header: str) -> t.List[str]:
    """Cells of a line of the table with this header, which may have bars at its sides too."""
    if "|" not in header:
        return re.split(r"[ \t]{2,}", line.strip())
    cells = [cell.strip() for cell in line.split("|")]
    return cells[1:-1] if header.strip().startswith("|") else cells
