# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""On which line of a TOML file a key stands: the standard library's reader does not say.

Only for files that this reader has accepted, so it need not understand values beyond where they end.
"""

from __future__ import annotations

import re
from collections import Counter

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_PATH = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_HEAD = re.compile(rf"[ \t]*(\[\[?)[ \t]*({_PATH})[ \t]*\]")
_ASSIGNMENT = re.compile(rf"[ \t]*({_PATH})[ \t]*=")
#: What opens or closes something that may go on in the next line, in the order in which it is looked for.
_PIECES = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}]')

# In the first kind a backslash takes its meaning from the next character.
_ENDS = {'"""': re.compile(r'(?:\\.|[^\\])*?"""'), "'''": re.compile(r".*?'''")}


class TomlLines:
    """The places of tables and keys in a text."""

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[str, ...], int] = {}
        counts = Counter[str]()
        table: tuple[str, ...] = ()
        depth, inside = 0, ""
        for number, line in enumerate(text.split("\n"), 1):
            if not depth and not inside:
                head = _HEAD.match(line)
                if head:
                    table = _parts(head[2])
                    if head[1] == "[[":
                        # One of several tables: the first is name[1].
                        counts[head[2]] += 1
                        table = (*table[:-1], f"{table[-1]}[{counts[head[2]]}]")
                    self._lines.setdefault(table, number)
                    continue
                assignment = _ASSIGNMENT.match(line)
                if assignment:
                    path = (*table, *_parts(assignment[1]))
                    for end in range(len(table) + 1, len(path) + 1):
                        self._lines.setdefault(path[:end], number)
            depth, inside = _open(line, depth, inside)

    def of(self, key: str, section: str = "") -> int:
        """The line of ``key`` in the table ``section`` (of several tables of one name, ``name[1]`` is the first).

        Where the key is missing, or stands in braces, it is the line of the table; without that, the first.
        """
        path = (*section.split("."), key) if section else (key,)
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_PART, path))


def _open(line: str, depth: int, inside: str) -> tuple[int, str]:
    """How many brackets are open at the end of a line, and which quotes of a text of several lines."""
    place = 0
    while place < len(line):
        if inside:
            found = _ENDS[inside].match(line, place)
            if found is None:
                return depth, inside
            place, inside = found.end(), ""
            continue
        piece = _PIECES.search(line, place)
        if piece is None:
            return depth, ""
        place = piece.end()
        if piece[0] in ('"""', "'''"):
            inside = piece[0]
        elif piece[0] in "[{":
            depth += 1
        elif piece[0] in "]}":
            depth -= 1
    return depth, inside
