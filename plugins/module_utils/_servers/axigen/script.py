# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policy script: text in, events, methods and statements out, each with its place in the text.

The parser keeps the text as it is and only notes places in it, so whatever is not edited stays byte
for byte. It takes str; bytes are decoded by the caller with UTF-8 and ``surrogateescape``, which gives
every byte back. The bundled MTA uses this file too: standard library only, Python 3.9.

Grammar (from a generated script and the published language pages): events and methods at the top,
``set``, ``call`` and ``if`` inside, ``#`` comments to the end of the line. A string ends at the next
double quote; it may hold line ends, and no escape is known.
"""

from __future__ import annotations

import re
import typing as t

Span = t.Tuple[int, int]

_TOKEN = re.compile(
    r"""(?P<space>[\s\ufeff]+)|(?P<comment>\#[^\n]*)|(?P<string>"[^"]*")|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"""
    r"""|(?P<mark>[{}();,])|(?P<open>")|(?P<other>[^\s"{}();,\#]+)"""
)


class ScriptError(ValueError):
    """A script that is not understood, or an edit that it does not allow. Line and column count from 1."""

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        self.reason = reason
        self.line = line
        self.column = column
        super().__init__("line %d, column %d: %s" % (line, column, reason) if line else reason)


class Test(t.NamedTuple):
    """One condition: ``name (variable, "value")``."""

    name: str
    variable: str
    value: str


class Set(t.NamedTuple):
    """``set (variable, "value");`` ``value_span`` includes the quotes."""

    variable: str
    value: str
    span: Span
    value_span: Span


class Call(t.NamedTuple):
    """``call (method);``"""

    method: str
    span: Span


class If(t.NamedTuple):
    """``if (condition) { … }``; ``match`` is ``all`` or ``any``, ``all`` for a single bare test."""

    match: str
    tests: t.Tuple[Test, ...]
    body: t.Tuple[t.Any, ...]
    span: Span


class Unknown(t.NamedTuple):
    """A statement of a kind that is not known, with balanced brackets; kept as it is."""

    text: str
    span: Span


class Block(t.NamedTuple):
    """An ``event`` or a ``method``. ``body_span`` lies between its braces."""

    kind: str
    name: str
    statements: t.Tuple[t.Any, ...]
    span: Span
    body_span: Span


class Script:
    """A parsed script. Names of events and methods are compared without regard to case."""

    def __init__(self, text: str, blocks: t.Sequence[Block]) -> None:
        self.text = text
        self.blocks = tuple(blocks)
        self.events = tuple(block for block in blocks if block.kind == "event")
        self.methods = tuple(block for block in blocks if block.kind == "method")
        self._events = _index(self.events)
        self._methods = _index(self.methods)

    @property
    def newline(self) -> str:
        """The main line end of the text."""
        windows = self.text.count("\r\n")
        return "\r\n" if windows * 2 > self.text.count("\n") else "\n"

    @property
    def duplicate_methods(self) -> t.Tuple[str, ...]:
        """Names that more than one method has."""
        return _duplicates(self.methods)

    @property
    def duplicate_events(self) -> t.Tuple[str, ...]:
        """Names that more than one event block has."""
        return _duplicates(self.events)

    def event(self, name: str) -> t.Optional[Block]:
        """The first event block of this name."""
        return self._events.get(name.lower())

    def method(self, name: str) -> t.Optional[Block]:
        """The first method of this name."""
        return self._methods.get(name.lower())


def _index(blocks: t.Sequence[Block]) -> t.Dict[str, Block]:
    return {block.name.lower(): block for block in reversed(blocks)}


def _duplicates(blocks: t.Sequence[Block]) -> t.Tuple[str, ...]:
    seen: t.Set[str] = set()
    twice: t.Dict[str, str] = {}
    for block in blocks:
        key = block.name.lower()
        if key in seen:
            twice.setdefault(key, block.name)
        seen.add(key)
    return tuple(twice.values())


def parse(text: str) -> Script:
    """Parse a whole script, in linear time.

    Raises :class:`ScriptError` with the place of what is not understood: unbalanced brackets or quotes,
    anything but events and methods at the top.
    """
    return Script(text, _Parser(text).blocks())


def equal_but_line_ends(one: str, other: str) -> bool:
    """Whether two texts are the same but for CR LF against LF, and blank lines at their ends."""
    return _unified(one) == _unified(other)


def _unified(text: str) -> str:
    return text.replace("\r\n", "\n").strip("\n")


class _NoMatch(Exception):
    """A statement does not have the known form; it may still be a balanced one."""


class _Parser:
    """Recursive descent over the significant tokens; ``_at`` is the index of the next one."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._kinds: t.List[str] = []
        self._texts: t.List[str] = []
        self._starts: t.List[int] = []
        for match in _TOKEN.finditer(text):
            kind = match.lastgroup or ""
            if kind == "space" or kind == "comment":
                continue
            if kind == "open":
                raise self._error("the string that begins here has no closing quote", match.start())
            self._kinds.append(kind)
            self._texts.append(match.group())
            self._starts.append(match.start())
        self._kinds.append("end")
        self._texts.append("")
        self._starts.append(len(text))
        self._at = 0

    def blocks(self) -> t.List[Block]:
        found = []
        while self._kinds[self._at] != "end":
            found.append(self._block())
        return found

    # --- grammar --------------------------------------------------------------------------------

    def _block(self) -> Block:
        start = self._starts[self._at]
        kind = self._texts[self._at].lower()
        if self._kinds[self._at] != "word" or kind not in ("event", "method"):
            raise self._here("expected event or method, found %s" % self._shown())
        self._at += 1
        if self._kinds[self._at] != "word":
            raise self._here("expected the name of the %s, found %s" % (kind, self._shown()))
        name = self._texts[self._at]
        self._at += 1
        if self._texts[self._at] != "{":
            raise self._here("expected { behind %s %s, found %s" % (kind, name, self._shown()))
        self._at += 1
        body_start = self._starts[self._at - 1] + 1
        statements = self._statements("%s %s" % (kind, name), start)
        body_end = self._starts[self._at]
        self._at += 1
        return Block(kind, name, statements, (start, body_end + 1), (body_start, body_end))

    def _statements(self, where: str, opened: int) -> t.Tuple[t.Any, ...]:
        """Statements up to the closing brace, which is left to be read."""
        found = []
        while self._texts[self._at] != "}":
            if self._kinds[self._at] == "end":
                raise self._error("%s, which begins here, has no closing brace" % where, opened)
            found.append(self._statement(where, opened))
        return tuple(found)

    def _statement(self, where: str, opened: int) -> t.Any:
        at = self._at
        reader = self._KNOWN.get(self._texts[at].lower()) if self._kinds[at] == "word" else None
        if reader is not None:
            try:
                return reader(self)
            except _NoMatch:
                self._at = at
        return self._unknown(where, opened)

    def _set(self) -> Set:
        start = self._take("word")
        self._mark("(")
        variable = self._word()
        self._mark(",")
        at = self._take("string")
        value = self._texts[at]
        self._mark(")")
        end = self._mark(";")
        value_start = self._starts[at]
        return Set(variable, value[1:-1], (self._starts[start], end), (value_start, value_start + len(value)))

    def _call(self) -> Call:
        start = self._take("word")
        self._mark("(")
        method = self._word()
        self._mark(")")
        return Call(method, (self._starts[start], self._mark(";")))

    def _if(self) -> If:
        start = self._starts[self._take("word")]
        self._mark("(")
        name = self._word()
        self._mark("(")
        match = {"allof": "all", "anyof": "any"}.get(name.lower())
        if match is None:
            match, tests = "all", [self._test(name)]
        else:
            tests = [self._named_test()]
            while self._texts[self._at] == ",":
                self._at += 1
                tests.append(self._named_test())
            self._mark(")")
        self._mark(")")
        self._mark("{")
        body = self._statements("the body of if", start)
        end = self._mark("}")
        if self._texts[self._at].lower() == "else":
            raise _NoMatch
        return If(match, tuple(tests), body, (start, end))

    def _named_test(self) -> Test:
        name = self._word()
        self._mark("(")
        return self._test(name)

    def _test(self, name: str) -> Test:
        variable = self._word()
        self._mark(",")
        value = self._texts[self._take("string")][1:-1]
        self._mark(")")
        return Test(name, variable, value)

    def _unknown(self, where: str, opened: int) -> Unknown:
        """A statement that ends with a semicolon or with the brace that closes its block."""
        start = self._starts[self._at]
        open_brackets: t.List[int] = []
        while True:
            kind, text = self._kinds[self._at], self._texts[self._at]
            if kind == "end":
                raise self._error("%s, which begins here, has no closing brace" % where, opened)
            if kind == "mark" and text in "({":
                open_brackets.append(self._at)
            elif kind == "mark" and text in ")}":
                if not open_brackets or (self._texts[open_brackets.pop()] == "(") != (text == ")"):
                    raise self._here("unexpected %s in a statement" % text)
                if text == "}" and not open_brackets and self._texts[self._at + 1].lower() != "else":
                    break
            elif text == ";" and not open_brackets:
                break
            self._at += 1
        end = self._starts[self._at] + 1
        self._at += 1
        return Unknown(self._text[start:end], (start, end))

    _KNOWN: t.Dict[str, t.Callable[["_Parser"], t.Any]] = {"set": _set, "call": _call, "if": _if}

    # --- tokens ---------------------------------------------------------------------------------

    def _take(self, kind: str) -> int:
        at = self._at
        if self._kinds[at] != kind:
            raise _NoMatch
        self._at = at + 1
        return at

    def _word(self) -> str:
        return self._texts[self._take("word")]

    def _mark(self, mark: str) -> int:
        """Read one mark; returns the offset behind it."""
        at = self._at
        if self._texts[at] != mark:
            raise _NoMatch
        self._at = at + 1
        return self._starts[at] + 1

    def _shown(self) -> str:
        return '"%s"' % self._texts[self._at][:40] if self._texts[self._at] else "the end of the script"

    def _here(self, reason: str) -> ScriptError:
        return self._error(reason, self._starts[self._at])

    def _error(self, reason: str, offset: int) -> ScriptError:
        line = self._text.count("\n", 0, offset) + 1
        return ScriptError(reason, line, offset - self._text.rfind("\n", 0, offset))
