# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ``axigen.cfg`` syntax: printing a tree, and reading one back.

Grammar as read (names in any case)::

    file   = name object
    object = "{" { name [ "=" ] value [ "," ] } "}"
    value  = object | "(" { value [ "," ] } ")" | "quoted text" | bare
    "#" to the end of the line, and "/*" to "*/", are comments outside of quotes
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .section import Section
from .tree import SERVICES, Node, new_server

_STEP = "    "


class ConfigError(ValueError):
    """A configuration that cannot be read; the text starts with the line number."""

    def __init__(self, line: int, reason: str) -> None:
        self.line = line
        super().__init__(f"line {line}: {reason}")


# --- printing -----------------------------------------------------------------------------------


def print_server(server: Node) -> str:
    """The tree as one ``Server`` object, every attribute with its value. Sections without settings are left out."""
    return "\n".join(["Server {", *_body(server, _STEP), "}"]) + "\n"


def _body(node: Node, indent: str) -> t.Iterator[str]:
    for name, value in node.shown():
        yield f"{indent}{name} = {value}"
    for name, items in node.lists.items():
        if not items:
            yield f"{indent}{name} = ()"
            continue
        yield f"{indent}{name} = ("
        for item in items.values():
            yield f"{indent}{_STEP}{{"
            yield from _body(item, indent + 2 * _STEP)
            yield f"{indent}{_STEP}}}"
        yield f"{indent})"
    for name, part in node.parts.items():
        if part.section.empty:
            continue
        yield f"{indent}{name} = {{"
        yield from _body(part, indent + _STEP)
        yield f"{indent}}}"


# --- reading ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Raw:
    """A value as it stands in the file: text, list or object (lower-case name → value)."""

    line: int
    value: str | list[_Raw] | dict[str, _Raw]


def read_server(text: str) -> tuple[Node, list[str]]:
    """The tree of a ``Server`` object, and notes on attributes that this version does not know.

    What the text does not say has its default. Raises :class:`ConfigError`.
    """
    reader = _Reader(text)
    name, raw = reader.top()
    if name.lower() != "server" or not isinstance(raw.value, dict):
        raise ConfigError(raw.line, "the file must hold one object: Server { … }")
    notes: list[str] = []
    server = new_server()
    _fill(server, raw, notes)
    return server, notes


def _fill(node: Node, raw: _Raw, notes: list[str]) -> None:
    known = _names(node.section)
    for name, value in t.cast("dict[str, _Raw]", raw.value).items():
        if name == SERVICES and node.services:
            _fill_services(node, value, notes)
        elif name not in known:
            notes.append(f"line {value.line}: {name} is not known in {node.section.segment} and was left out")
        elif known[name] in node.parts:
            if not isinstance(value.value, dict):
                raise ConfigError(value.line, f"{known[name]} must be an object in braces")
            if value.value and node.parts[known[name]].section.empty:
                notes.append(f"line {value.line}: {known[name]} has no settings on this server; its own were left out")
                continue
            _fill(node.parts[known[name]], value, notes)
        elif known[name] in node.lists:
            _fill_list(node, known[name], value, notes)
        else:
            _fill_value(node, known[name], value)


#: One word of the dialect for two services.
_BOTH = {"smtp": ("smtpincoming", "smtpoutgoing")}


def _fill_services(server: Node, raw: _Raw, notes: list[str]) -> None:
    """The list of running services. Those that it does not name are stopped."""
    if not isinstance(raw.value, list) or not all(isinstance(item.value, str) for item in raw.value):
        raise ConfigError(raw.line, f"{SERVICES} must be a list of names in parentheses")
    given = [t.cast(str, item.value) for item in raw.value]
    running = {service for name in given for service in _BOTH.get(name.lower(), (name.lower(),))}
    for name, node in server.services.items():
        node.stopped = name.lower() not in running
    strange = running - {part.name.lower() for part in server.section.parts}
    if strange:
        notes.append(f"line {raw.line}: services that this server does not have: {', '.join(sorted(strange))}")


def _names(section: Section) -> dict[str, str]:
    names = [item.name for item in section.attributes]
    names += [part.name for part in section.parts] + [collection.name for collection in section.lists]
    return {name.lower(): name for name in names}


def _fill_value(node: Node, name: str, raw: _Raw) -> None:
    attribute = node.section.attribute(name)
    if attribute is None or isinstance(raw.value, dict):
        raise ConfigError(raw.line, f"{name} must not be an object")
    word: str | tuple[str, ...]
    if isinstance(raw.value, str):
        word = raw.value
    else:
        word = tuple(item.value if isinstance(item.value, str) else "" for item in raw.value)
    try:
        node.values[name] = attribute.kind.parse(word)
    except ValueError as error:
        raise ConfigError(raw.line, f"{name}: {error}") from None


def _fill_list(node: Node, name: str, raw: _Raw, notes: list[str]) -> None:
    collection = next(item for item in node.section.lists if item.name == name)
    for entry in raw.value if isinstance(raw.value, list) else ():
        if not isinstance(entry.value, dict) or collection.key.lower() not in entry.value:
            raise ConfigError(entry.line, f"{name} must hold objects with the attribute {collection.key}")
        item = Node.new(collection.item)
        _fill(item, entry, notes)
        key = str(item.values[collection.key])
        if key in node.lists[name]:
            raise ConfigError(entry.line, f"{collection.noun.lower()} {key} stands twice")
        node.lists[name][key] = item
    if not isinstance(raw.value, list):
        raise ConfigError(raw.line, f"{name} must be a list in parentheses")


_TOKEN = re.compile(
    r"""(?P<blank>[\s,]+ | \#[^\n]* | /\*.*?\*/)
      | (?P<mark>[{}()=])
      | "(?P<quoted>(?:[^"\\]|\\.)*)"
      | (?P<bare>[^\s,{}()="\#]+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str, int]] = []
        position, line = 0, 1
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise ConfigError(line, "a quote is never closed")
            kind = t.cast(str, match.lastgroup)
            content = match.group(kind)
            if kind == "quoted":
                content = _ESCAPE.sub(r"\1", content)
            if kind != "blank":
                self._tokens.append((kind, content, line))
            line += match.group().count("\n")
            position = match.end()
        self._tokens.append(("end", "", line))
        self._next = 0

    def _peek(self) -> tuple[str, str, int]:
        return self._tokens[self._next]

    def _take(self) -> tuple[str, str, int]:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _at(self, mark: str) -> bool:
        return self._peek()[:2] == ("mark", mark)

    def top(self) -> tuple[str, _Raw]:
        """The one named object of the file."""
        name, raw = self._member()
        kind, _text, line = self._peek()
        if kind != "end":
            raise ConfigError(line, "the file must end behind the first object")
        return name, raw

    def _member(self) -> tuple[str, _Raw]:
        kind, name, line = self._take()
        if kind != "bare":
            raise ConfigError(line, "the name of an attribute is missing")
        if self._at("="):
            self._take()
        return name, self._value()

    def _value(self) -> _Raw:
        kind, text, line = self._take()
        if kind in ("bare", "quoted"):
            return _Raw(line, text)
        if text == "{":
            return _Raw(line, self._object(line))
        if text == "(":
            return _Raw(line, self._list(line))
        raise ConfigError(line, "a value is missing")

    def _object(self, start: int) -> dict[str, _Raw]:
        members: dict[str, _Raw] = {}
        while not self._at("}"):
            if self._peek()[0] == "end":
                raise ConfigError(start, "the brace that opens here is never closed")
            name, value = self._member()
            if name.lower() in members:
                raise ConfigError(value.line, f"{name} stands twice")
            members[name.lower()] = value
        self._take()
        return members

    def _list(self, start: int) -> list[_Raw]:
        items: list[_Raw] = []
        while not self._at(")"):
            if self._peek()[0] == "end":
                raise ConfigError(start, "the parenthesis that opens here is never closed")
            items.append(self._value())
        self._take()
        return items
