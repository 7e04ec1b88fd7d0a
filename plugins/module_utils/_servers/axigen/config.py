# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reader of the ``axigen.cfg`` syntax, in which ``SHOW Config`` prints the running configuration.

Grammar (``#`` to the end of the line and ``/*`` to ``*/`` are comments outside of quotes)::

    file   = { attribute }
    attribute = name ( "=" value | object | list ) [ "," ]
    value  = word | string | object | list
    object = "{" { attribute } "}"
    list   = "(" { value [ "," ] } ")"
    string = '"' { character | "\\" character } '"'

Names are matched in any case and values keep theirs. What a file does not say is absent, never a default.
"""

from __future__ import annotations

import re
import typing as t

from .layout import Attributes

#: A word or string as str, an object as :class:`Attributes`, a list as tuple.
Value = t.Union[str, Attributes, t.Tuple[t.Any, ...]]

#: Objects and lists inside each other; a real file has about eight levels.
MAX_DEPTH = 64

# One way to match only, so that the cost stays linear where a match fails: a slash is part of a word
# unless it opens a comment, and a quote is never part of one.
_PLAIN = r"""[^ \t\r\n\f\v\#{}()=,"/]"""
_TOKEN = re.compile(
    rf"""[ \t\r\n\f\v]+
      | \#[^\n]*
      | /\*[^*]*\*+(?:[^/*][^*]*\*+)*/
      | (?P<mark>[{{}}()=,])
      | "(?P<string>[^"\\]*(?:\\.[^"\\]*)*)"
      | (?P<word>(?:{_PLAIN}|/(?!\*)){_PLAIN}*(?:/(?!\*){_PLAIN}*)*)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class ConfigError(ValueError):
    """A text that is not in the syntax: ``line`` and ``column`` (1-based) and ``reason``."""

    def __init__(self, line: int, column: int, reason: str) -> None:
        self.line = line
        self.column = column
        self.reason = reason
        super().__init__("line %d, column %d: %s" % (line, column, reason))


class _Token(t.NamedTuple):
    """``kind`` is the mark itself, "word", "string" or "end"."""

    kind: str
    text: str
    start: int


def parse(text: str) -> Attributes:
    """The attributes of a configuration, objects and lists inside. Raises :class:`ConfigError`.

    Of an attribute that stands twice in one object the last one counts.
    """
    return _Reader(text).attributes("end", None, 0)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._read(1 if text.startswith("\ufeff") else 0)
        self._next = next(self._tokens)

    def attributes(self, closer: str, opener: t.Optional[_Token], depth: int) -> Attributes:
        """Attributes up to and including the closing token."""
        pairs: t.List[t.Tuple[str, Value]] = []
        while True:
            name = self._take()
            if name.kind == closer:
                return Attributes(pairs)
            if name.kind == "end":
                raise self._error(t.cast(_Token, opener), 'this "{" is never closed')
            if name.kind != "word":
                raise self._error(name, "the name of an attribute must stand here, not %s" % _shown(name))
            if self._next.kind == "=":
                self._take()
            elif self._next.kind not in ("{", "("):
                raise self._error(self._next, '"=" must follow the name of an attribute, not %s' % _shown(self._next))
            pairs.append((name.text, self._value(depth)))
            self._comma()

    def _value(self, depth: int) -> Value:
        token = self._take()
        if token.kind in ("word", "string"):
            return token.text
        if token.kind not in ("{", "("):
            raise self._error(token, "a value must stand here, not %s" % _shown(token))
        if depth == MAX_DEPTH:
            raise self._error(token, "objects and lists are nested deeper than %d" % MAX_DEPTH)
        return self.attributes("}", token, depth + 1) if token.kind == "{" else self._list(token, depth + 1)

    def _list(self, opener: _Token, depth: int) -> t.Tuple[Value, ...]:
        values: t.List[Value] = []
        while self._next.kind != ")":
            if self._next.kind == "end":
                raise self._error(opener, 'this "(" is never closed')
            values.append(self._value(depth))
            self._comma()
        self._take()
        return tuple(values)

    def _comma(self) -> None:
        if self._next.kind == ",":
            self._take()

    def _take(self) -> _Token:
        token = self._next
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    def _read(self, place: int) -> t.Iterator[_Token]:
        text = self._text
        for found in _TOKEN.finditer(text, place):
            if found.start() != place:
                break
            place = found.end()
            kind = found.lastgroup
            if kind == "mark":
                yield _Token(found.group(), found.group(), found.start())
            elif kind == "string":
                value = found.group("string")
                yield _Token(kind, _ESCAPE.sub(r"\1", value) if "\\" in value else value, found.start())
            elif kind is not None:
                yield _Token(kind, found.group(), found.start())
        end = _Token("end", "", place)
        if place < len(text):
            raise self._error(end, "this string never ends" if text[place] == '"' else "this comment never ends")
        yield end

    def _error(self, token: _Token, reason: str) -> ConfigError:
        line = self._text.count("\n", 0, token.start) + 1
        column = token.start - self._text.rfind("\n", 0, token.start)
        return ConfigError(line, column, reason)


def _shown(token: _Token) -> str:
    # A value could be a password: only marks and kinds are named.
    return {"word": "a word", "string": "a string", "end": "the end"}.get(token.kind, '"%s"' % token.kind)
