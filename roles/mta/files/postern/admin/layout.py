# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Payloads of SHOW, LIST and HELP.

Clients count lines: SHOW has two lines before the first attribute, LIST five lines before the first
row with the ruler as the fifth, and both have exactly one blank line behind the last one. A list of items has
two lines before the first one. In a quiet session titles and blank lines are left out.
"""

from __future__ import annotations

import typing as t


class Payload(bytes):
    """Complete protocol lines; ``quiet`` are the ones that a quiet session is sent."""

    quiet: bytes

    def __new__(cls, content: bytes, quiet: bytes) -> Payload:
        made = super().__new__(cls, content)
        made.quiet = quiet
        return made


def _framed(head: tuple[str, ...], body: t.Sequence[str]) -> Payload:
    return Payload(lines(*head, *body, ""), lines(*body))


def lines(*texts: str) -> bytes:
    """Texts as complete protocol lines."""
    return "".join(f"{text}\r\n" for text in texts).encode("utf-8", "surrogateescape")


def raw_text(content: bytes) -> bytes:
    """A text of any bytes as complete protocol lines: split at LF, whatever else a line holds stays in it."""
    return content.replace(b"\n", b"\r\n") + b"\r\n"


def quoted(text: str) -> str:
    """A text as SHOW has it: in double quotes, on one line."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def attributes(title: str, pairs: t.Iterable[tuple[str, str]]) -> bytes:
    """Layout of SHOW."""
    return _framed((title, ""), [f"{name} = {value}" for name, value in pairs])


def pair(name: str, value: str) -> bytes:
    """Layout of SHOW ATTR: the pair on the first line."""
    return lines(f"{name} = {value}")


def table(title: str, header: t.Sequence[str], rows: t.Iterable[t.Sequence[str]]) -> Payload:
    """Layout of LIST; an empty list keeps header and ruler."""
    body = [list(row) for row in rows]
    widths = [max(len(row[column]) for row in [list(header), *body]) for column in range(len(header))]

    def line(cells: t.Sequence[str]) -> str:
        return " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()

    ruler = "-" * max(6, sum(widths) + 3 * (len(widths) - 1))
    return _framed((title, "", ""), [line(header), ruler, *(line(row) for row in body)])


def tables(several: t.Sequence[Payload]) -> Payload:
    """Layout of LIST with more than one table, each with its title."""
    return Payload(b"".join(several), b"".join(one.quiet for one in several))


def items(title: str, names: t.Iterable[str]) -> bytes:
    """Layout of a list without columns: aliases, addresses, permissions."""
    return _framed((title, ""), list(names))


def commands(context: str, entries: t.Iterable[tuple[str, str]]) -> bytes:
    """Layout of HELP."""
    return _framed((f"The commands available for the {context} context are:",), [f"{a} - {b}" for a, b in entries])
