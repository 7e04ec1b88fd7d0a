# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where new text of a policy script goes, and what goes with a removed piece.

Insertion and removal are made for each other: removing what was inserted gives the bytes from before. The price
is that a piece takes exactly the line ends that its insertion adds, and never a comment.
"""

from __future__ import annotations

import re
import typing as t

from .script import Block, Span

#: The text from start to end becomes another text.
Splice = t.Tuple[int, int, str]

_BLANKS = " \t"
_SPACE = " \t\r\n"
_RUN = re.compile(r"[ \t]*")
_SPACES = re.compile(r"[ \t\r\n]*")
# What may stand behind a statement if a new line is to begin behind it.
_REST_OF_LINE = re.compile(r"[ \t]*(?:\#[^\n]*|\r*)\n")
_BLANK_REST = re.compile(r"[ \t]*([ \t\r]*(?:\n|\Z))")


def spliced(text: str, splices: t.Iterable[Splice]) -> str:
    """The text with all splices made. Removals may overlap; several insertions in one place keep their order."""
    pieces: t.List[str] = []
    place = 0
    for start, end, new in sorted(splices, key=lambda splice: splice[0]):
        if start > place:
            pieces.append(text[place:start])
        pieces.append(new)
        place = max(place, start, end)
    pieces.append(text[place:])
    return "".join(pieces)


# --- statements -----------------------------------------------------------------------------------


def inserted(text: str, block: Block, previous: t.Optional[Span], lines: t.Sequence[str], newline: str) -> Splice:
    """New statements behind the statement at ``previous``, or in front of all others if that is None.

    They get lines of their own, unless the block keeps its statements on one line.
    """
    body_start, body_end = block.body_span
    inline = "".join(" " + line for line in lines)
    fresh = "".join("\t" + line + newline for line in lines)
    if previous is not None:
        rest = _REST_OF_LINE.match(text, previous[1])
        return (rest.end(), rest.end(), fresh) if rest else (previous[1], previous[1], inline)
    if block.statements:
        start = _line_start(text, block.statements[0].span[0])
        return (start, start, fresh) if start > body_start else (body_start, body_start, inline)
    # Nothing but blanks and comments, and a comment cannot stand in front of the brace on its line. Blanks stay.
    start = _line_start(text, body_end)
    return (start, start, fresh) if start > body_start else (body_start, body_start, inline)


def removed_statement(text: str, span: Span) -> Splice:
    """Without the statement: its whole lines, or only itself and a blank if something else stands on them."""
    start = _line_start(text, span[0])
    rest = _BLANK_REST.match(text, span[1])
    if rest is not None and not text[start : span[0]].strip(_BLANKS):
        return (start, rest.end(), "")
    return _removed_inline(text, span)


def _removed_inline(text: str, span: Span) -> Splice:
    start = _line_start(text, span[0])
    before = text[start : span[0]].rstrip(_BLANKS)
    if before:
        return (start + len(before), span[1], "")
    return (span[0], _end(_RUN, text, span[1]), "")


# --- blocks ---------------------------------------------------------------------------------------


def appended(text: str, blocks: t.Sequence[str], newline: str) -> t.List[Splice]:
    """New blocks behind everything but the blank lines at the end, each with an empty line in front of it."""
    if not blocks:
        return []
    start = _first(text)
    place = len(text.rstrip(_SPACE))
    if place <= start:
        return [(start, start, (newline + newline).join(blocks) + newline)]
    place = _end(_RUN, text, place)
    return [(place, place, "".join(newline + newline + block for block in blocks))]


def behind(text: str, place: int, block: str, newline: str) -> Splice:
    """A new block behind the one that ends at ``place``, with an empty line in front of it."""
    rest = _REST_OF_LINE.match(text, place)
    if rest is not None:
        place = _before_line_end(text, rest.end())
        return (place, place, newline + newline + block)
    tail = "" if _end(_SPACES, text, place) == len(text) else newline
    return (place, place, newline + newline + block + tail)


def removed_blocks(text: str, spans: t.Iterable[Span]) -> t.Iterator[Splice]:
    """Without these blocks (in file order), each with the empty line in front of it that :func:`appended` adds."""
    first = front = _first(text)
    for span in spans:
        start = max(_line_start(text, span[0]), first)
        rest = _BLANK_REST.match(text, span[1])
        if rest is None or text[start : span[0]].strip(_BLANKS):
            yield _removed_inline(text, span)
        elif start == first or (front > first and _end(_SPACES, text, front) == span[0]):
            # Nothing is left in front of it: what follows becomes the first line.
            yield (front, rest.end(), "")
            front = rest.end()
        else:
            start = _before_line_end(text, start)
            if start > first and text[start - 1] == "\n":
                start = _before_line_end(text, start)
            yield (start, rest.start(1), "")


def _first(text: str) -> int:
    return 1 if text.startswith("\ufeff") else 0


def _line_start(text: str, place: int) -> int:
    return text.rfind("\n", 0, place) + 1


def _before_line_end(text: str, place: int) -> int:
    """Where the line end begins that ends at ``place``."""
    place -= 1
    while place and text[place - 1] == "\r":
        place -= 1
    return place


def _end(pattern: t.Pattern[str], text: str, place: int) -> int:
    return t.cast("t.Match[str]", pattern.match(text, place)).end()
