# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lookup tables of others: which there are, and what they answer to many keys in one call (DATABASE_README)."""

from __future__ import annotations

import typing as t

from ..base import ServerError
from .configuration import _State

#: Types that answer from a list on this host.
LISTED = ("hash", "btree", "lmdb", "cdb", "dbm", "sdbm", "texthash", "inline")

#: Types that answer from what is on this host, always the same; others ask a network or a program.
STATIC = (*LISTED, "regexp", "pcre", "static", "cidr")

#: Types that are made of other tables.
_MADE_OF = ("unionmap", "pipemap")


class Map(t.NamedTuple):
    """A table as a parameter names it: ``type:name``."""

    text: str

    @property
    def bare(self) -> str:
        """Without ``proxy:``, which is a way to a table."""
        return self.text[len("proxy:") :] if self.text.startswith("proxy:") else self.text

    @property
    def kind(self) -> str:
        """Its type; behind ``proxy:`` the one that is asked."""
        return self.bare.partition(":")[0]

    @property
    def is_static(self) -> bool:
        """Whether it can be asked here for what it will say later."""
        if self.kind in _MADE_OF:
            inside = self.bare.partition(":")[2].strip()
            return inside.startswith("{") and all(one.is_static for one in maps(inside[1:-1]))
        return self.kind in STATIC


class Answer(t.NamedTuple):
    """What tables say of something: a text (None: nothing). ``behind``: one that cannot be asked here, and comes before."""

    text: t.Optional[str]
    behind: str = ""


def maps(text: str) -> t.List[Map]:
    """The tables of a parameter's value, braces kept together."""
    found, word, depth = [], "", 0
    for character in text + " ":
        if character in ", \t\r\n" and depth == 0:
            if word:
                found.append(Map(word))
            word = ""
            continue
        depth += {"{": 1, "}": -1}.get(character, 0)
        word += character
    return found


def ask(conf: _State, table: Map, keys: t.Sequence[str]) -> t.Dict[str, str]:
    """What a static table answers, by key; keys that it does not have are absent. Raises :class:`ServerError`."""
    if not keys:
        return {}
    stdin = "".join(key + "\n" for key in keys).encode("utf-8")
    return dict(_lines(conf, table, "-q", "-", stdin=stdin))


def listing(conf: _State, table: Map) -> t.List[t.Tuple[str, str]]:
    """All keys and values of a table that can be listed, keys in lower case. Raises :class:`ServerError`."""
    if table.kind not in LISTED:
        return []
    return [(key.strip().lower(), value.strip()) for key, value in _lines(conf, table, "-s")]


def first_answers(
    conf: _State,
    listed: t.Sequence[Map],
    chains: t.Mapping[str, t.Sequence[str]],
    broken: t.Optional[t.List[str]] = None,
    given: t.Optional[t.Mapping[str, t.Mapping[str, str]]] = None,
) -> t.Dict[str, Answer]:
    """For each thing what the tables say of it: each of its keys in order, and for each key the tables in order.

    ``broken``: gets words about tables that cannot be looked into; without it they are a :class:`ServerError`.
    ``given``: tables, by their texts, of which all answers are known.
    """
    keys = list(dict.fromkeys(key for chain in chains.values() for key in chain))
    known: t.List[t.Tuple[Map, t.Optional[t.Mapping[str, str]]]] = []
    for table in listed:
        answers = (given or {}).get(table.text)
        if answers is None and table.is_static:
            try:
                answers = ask(conf, table, keys)
            except ServerError as error:
                if broken is None:
                    raise
                broken.append("%s cannot be looked into: %s" % (table.text, error.said))
        known.append((table, answers))
    return {name: _first(known, chain) for name, chain in chains.items()}


def _first(known: t.Sequence[t.Tuple[Map, t.Optional[t.Mapping[str, str]]]], chain: t.Sequence[str]) -> Answer:
    behind = ""
    for key in chain:
        for table, answers in known:
            if answers is None:
                behind = behind or table.text
            elif key in answers:
                return Answer(answers[key], behind)
    return Answer(None, behind)


def _lines(conf: _State, table: Map, *arguments: str, stdin: t.Optional[bytes] = None) -> t.Iterator[t.Tuple[str, str]]:
    directory = getattr(conf, "base", conf).directory
    try:
        lines = conf.programs.postmap(*arguments, table.bare, stdin=stdin, directory=directory).lines
    except ServerError as error:
        raise ServerError(
            "ask the table %s" % table.text,
            error.said,
            "Postfix could not look into it either; build it with postmap, or take it out.",
        ) from None
    for line in lines:
        key, unused, value = line.partition("\t")
        yield key, value
