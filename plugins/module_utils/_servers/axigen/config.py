# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The server's configuration syntax (``axigen.cfg``), as ``SHOW Config`` prints it, read into plain data.

Attributes with a value, objects in braces (with or without ``=``), sets of words or of objects in
parentheses, ``#`` and ``/* */`` comments, double-quoted strings with backslash escapes. Attribute
names count in any case; values keep theirs. Hand-made files have commas in odd places: they mean nothing.
"""

from __future__ import annotations

import re
import typing as t

_TOKEN = re.compile(
    r"""(?P<skip>[\s,\ufeff]+|\#[^\n]*|/\*.*?\*/)|(?P<string>"(?:[^"\\]|\\.)*")|(?P<mark>[{}()=])"""
    r"""|(?P<open>"|/\*)|(?P<word>[^\s,{}()="\#]+)""",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class ConfigError(ValueError):
    """A configuration that is not understood. Line and column count from 1."""

    def __init__(self, reason: str, line: int, column: int) -> None:
        self.reason = reason
        self.line = line
        self.column = column
        super().__init__("line %d, column %d: %s" % (line, column, reason))


class Section(t.Dict[str, t.Any]):
    """The attributes of one object. Values are str, :class:`Section`, or a tuple of these; of two equal names the last counts."""

    def __setitem__(self, name: str, value: t.Any) -> None:
        super().__setitem__(name.lower(), value)

    def __getitem__(self, name: str) -> t.Any:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: t.Any = None) -> t.Any:
        """The value of an attribute, or ``default``."""
        return super().get(name.lower(), default)


def parse(text: str) -> Section:
    """The top level of a configuration as a section, in linear time. Raises :class:`ConfigError`."""
    return _Parser(text).section("")


class _Parser:
    """Recursive descent; ``_at`` is the index of the next token."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: t.List[t.Tuple[str, str, int]] = []
        for match in _TOKEN.finditer(text):
            kind = match.lastgroup or ""
            if kind == "open":
                what = "comment" if match.group() == "/*" else "string"
                raise self._error("the %s that begins here has no end" % what, match.start())
            if kind != "skip":
                self._tokens.append((kind, match.group(), match.start()))
        self._tokens.append(("end", "", len(text)))
        self._at = 0

    def section(self, closing: str) -> Section:
        """Attributes up to the closing mark, which is read as well; an empty one means the end of the text."""
        found = Section()
        while True:
            kind, text, start = self._next()
            if text == closing and kind in ("mark", "end"):
                return found
            if kind != "word":
                raise self._error("expected the name of an attribute, found %s" % _shown(text), start)
            if self._tokens[self._at][1] == "=" and self._tokens[self._at][0] == "mark":
                self._at += 1
            found[text] = self._value()

    def _value(self) -> t.Any:
        kind, text, start = self._next()
        if kind == "word":
            return text
        if kind == "string":
            return _ESCAPE.sub(r"\1", text[1:-1])
        if text == "{":
            return self.section("}")
        if text == "(":
            values = []
            while not (self._tokens[self._at][0] == "mark" and self._tokens[self._at][1] == ")"):
                values.append(self._value())
            self._at += 1
            return tuple(values)
        raise self._error("expected a value, found %s" % _shown(text), start)

    def _next(self) -> t.Tuple[str, str, int]:
        token = self._tokens[self._at]
        if token[0] != "end":
            self._at += 1
        return token

    def _error(self, reason: str, offset: int) -> ConfigError:
        line = self._text.count("\n", 0, offset) + 1
        return ConfigError(reason, line, offset - self._text.rfind("\n", 0, offset))


def _shown(text: str) -> str:
    return '"%s"' % text[:40] if text else "the end"
