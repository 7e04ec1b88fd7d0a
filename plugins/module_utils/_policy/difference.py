# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two states of a policy as YAML texts that hold only what differs: what people see as the diff of a task.

Of a list whose entries have a key only the entries that were added, removed or changed are there, and of a changed one
its key and the fields that differ. Of an order (a list of names) it is the stretch from the first to the last place
that differs, unless names only went, or came to its end, as the entries say. Where nothing differs both texts are
empty. No library for YAML is needed: texts are written as in JSON, which is YAML, too. Everything takes linear time.
"""

from __future__ import annotations

import json
import typing as t

Document = t.Mapping[str, t.Any]

#: Fields that tell the entries of a list apart, for the lists of ``document.policy_document``.
KEYS: t.Dict[str, t.Tuple[str, ...]] = {
    "listeners": ("address",),
    "auth_rules": ("name",),
    "relay_tls": ("name",),
    "rules": ("name",),
    "other_rules": ("name", "event"),
    "forced_tls_domains": ("domain", "direction"),
}

#: The section with the names of rules in order, for each event.
ORDER = "rule_order"

#: A key that several entries share is told from others by these.
_NAME = ("name",)

_Key = t.Tuple[t.Any, ...]
_Sides = t.Tuple[t.Any, t.Any]

#: In a pair of sides: there is nothing to show on this side.
_NOTHING = object()


def difference(before: Document, after: Document) -> t.Tuple[str, str]:
    """What differs between two documents (dictionaries of plain data), as two YAML texts."""
    sections: t.Tuple[t.Dict[str, t.Any], t.Dict[str, t.Any]] = ({}, {})
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name, _NOTHING) != after.get(name, _NOTHING)]
    for name in sorted(names, key=lambda name: name == ORDER):
        one, other = before.get(name, _NOTHING), after.get(name, _NOTHING)
        if name == ORDER and len(names) > 1:
            one, other = _unexpected(one, other)
        for side, value in zip(sections, _reduced(name, one, other)):
            if value is not _NOTHING:
                side[name] = value
    return yaml_text(sections[0]), yaml_text(sections[1])


def yaml_text(document: Document) -> str:
    """A dictionary of plain data as YAML in block style; the empty text for an empty one."""
    lines: t.List[str] = []
    _block(document, "", lines)
    return "".join(line + "\n" for line in lines)


# --- what differs -------------------------------------------------------------------------------


def _reduced(name: str, one: t.Any, other: t.Any) -> _Sides:
    if isinstance(one, dict) and isinstance(other, dict):
        return _fields(one, other, ())
    if isinstance(one, list) and isinstance(other, list):
        if name in KEYS:
            return _entries(one, other, KEYS[name])
        return _stretch(one, other)
    return one, other


def _unexpected(one: t.Any, other: t.Any) -> _Sides:
    """The orders that the entries do not tell: not those from which names only went, or to whose end they came."""
    sides: t.Tuple[t.Dict[str, t.Any], t.Dict[str, t.Any]] = ({}, {})
    for event in dict.fromkeys([*one, *other]):
        before, after = one.get(event, []), other.get(event, [])
        there = frozenset(after)
        kept = [name for name in before if name in there]
        if after[: len(kept)] != kept:
            sides[0][event], sides[1][event] = before, after
    return sides


def _fields(one: Document, other: Document, key: t.Sequence[str]) -> _Sides:
    """Two dictionaries with the fields of ``key`` and those that differ; lists of names inside are cut, too."""
    sides: t.Tuple[t.Dict[str, t.Any], t.Dict[str, t.Any]] = ({}, {})
    for name in dict.fromkeys([*one, *other]):
        pair = one.get(name, _NOTHING), other.get(name, _NOTHING)
        if pair[0] == pair[1]:
            if name not in key:
                continue
        elif not key and isinstance(pair[0], list) and isinstance(pair[1], list):
            pair = _stretch(*pair)
        for side, value in zip(sides, pair):
            if value is not _NOTHING:
                side[name] = value
    return tuple(side or _NOTHING for side in sides)  # type: ignore[return-value]


def _entries(one: t.Sequence[Document], other: t.Sequence[Document], key: t.Sequence[str]) -> _Sides:
    several = _shared(one, key) | _shared(other, key)
    old, new = _keyed(one, key, several), _keyed(other, key, several)
    sides: t.Tuple[t.List[t.Any], t.List[t.Any]] = ([], [])
    for place, entry in old.items():
        if place not in new:
            sides[0].append(entry)
        elif entry != new[place]:
            telling = key if len(place) == len(key) else (*key, *_NAME)
            for side, value in zip(sides, _fields(entry, new[place], telling)):
                side.append(value)
    sides[1].extend(entry for place, entry in new.items() if place not in old)
    if not sides[0] and not sides[1]:
        # The same entries in another order.
        return _stretch([_shown(entry, key) for entry in one], [_shown(entry, key) for entry in other])
    return tuple(side or _NOTHING for side in sides)  # type: ignore[return-value]


def _shared(entries: t.Sequence[Document], key: t.Sequence[str]) -> t.Set[_Key]:
    """The keys that more than one entry has."""
    seen: t.Set[_Key] = set()
    found: t.Set[_Key] = set()
    for entry in entries:
        place = tuple(entry.get(name) for name in key)
        (found if place in seen else seen).add(place)
    return found


def _keyed(entries: t.Sequence[Document], key: t.Sequence[str], several: t.Set[_Key]) -> t.Dict[_Key, Document]:
    found: t.Dict[_Key, Document] = {}
    counts: t.Dict[_Key, int] = {}
    for entry in entries:
        place = tuple(entry.get(name) for name in key)
        if place in several:
            place += tuple(entry.get(name) for name in _NAME)
            counts[place] = counts.get(place, 0) + 1
            place += (counts[place],)
        found[place] = entry
    return found


def _shown(entry: Document, key: t.Sequence[str]) -> t.Any:
    return entry[key[0]] if len(key) == 1 else {name: entry.get(name) for name in key}


def _stretch(one: t.Sequence[t.Any], other: t.Sequence[t.Any]) -> _Sides:
    """Two lists without what they begin and end with in common."""
    shorter = min(len(one), len(other))
    first = 0
    while first < shorter and one[first] == other[first]:
        first += 1
    last = 0
    while last < shorter - first and one[-1 - last] == other[-1 - last]:
        last += 1
    sides = (list(one[first : len(one) - last]), list(other[first : len(other) - last]))
    # What stands on one side only needs no "[]" on the other one.
    return sides[0] or _NOTHING, sides[1] or _NOTHING


# --- YAML ---------------------------------------------------------------------------------------


def _block(value: Document, indent: str, lines: t.List[str]) -> None:
    for name, inner in value.items():
        key = "%s%s:" % (indent, _scalar(name))
        if isinstance(inner, dict) and inner:
            lines.append(key)
            _block(inner, indent + "  ", lines)
        elif isinstance(inner, list) and inner and isinstance(inner[0], dict):
            lines.append(key)
            _items(inner, indent + "  ", lines)
        elif isinstance(inner, list) and len(inner) > 1 and not indent:
            lines.append(key)
            lines.extend("%s  - %s" % (indent, _flow(item)) for item in inner)
        else:
            lines.append("%s %s" % (key, _flow(inner)))


def _items(entries: t.Sequence[t.Any], indent: str, lines: t.List[str]) -> None:
    for entry in entries:
        start = len(lines)
        if isinstance(entry, dict) and entry:
            _block(entry, indent + "  ", lines)
            lines[start] = "%s- %s" % (indent, lines[start][len(indent) + 2 :])
        else:
            lines.append("%s- %s" % (indent, _flow(entry)))


def _flow(value: t.Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{%s}" % ", ".join("%s: %s" % (_scalar(name), _flow(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return "[%s]" % ", ".join(_flow(inner) for inner in value)
    if isinstance(value, str):
        return _text(value)
    # Most fields of many domains are empty, and an encoder takes its time.
    return "null" if value is None else json.dumps(value)


def _scalar(name: str) -> str:
    """A key; those of options need no quotes."""
    return name if name.isidentifier() and name.isascii() and name not in _WORDS else _text(name)


#: What YAML 1.1 takes for something else than a text, in lower case.
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))


def _text(value: str) -> str:
    text = value.replace("\\", "\\\\").replace('"', '\\"')
    if not text.isprintable():
        text = "".join(character if character.isprintable() else _escaped(character) for character in text)
    return '"%s"' % text


def _escaped(character: str) -> str:
    number = ord(character)
    if number < 0x100:
        return "\\x%02X" % number
    return "\\u%04X" % number if number < 0x10000 else "\\U%08X" % number
