# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lookup tables of others: which there are, and what they answer to many keys in one call (DATABASE_README)."""

from __future__ import annotations

import typing as t

from ..base import ServerError
from .configuration import _State

#: Types that answer from what is on this host, always the same; others ask a network or a program.
STATIC = ("hash", "btree", "lmdb", "cdb", "dbm", "sdbm", "texthash", "regexp", "pcre", "inline", "static", "cidr", "randmap")


class Map(t.NamedTuple):
    """A table as a parameter names it: ``type:name``."""

    text: str

    @property
    def kind(self) -> str:
        """Its type; behind ``proxy:`` the one that is asked."""
        words = self.text.split(":")
        return words[1] if words[0] == "proxy" and len(words) > 1 else words[0]

    @property
    def is_static(self) -> bool:
        """Whether it can be asked here for what it will say later."""
        return self.kind in STATIC


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
    directory = getattr(conf, "base", conf).directory
    text = table.text[len("proxy:") :] if table.text.startswith("proxy:") else table.text
    stdin = "".join(key + "\n" for key in keys).encode("utf-8")
    try:
        lines = conf.programs.postmap("-q", "-", text, stdin=stdin, directory=directory).lines
    except ServerError as error:
        raise ServerError(
            "ask the table %s" % table.text,
            error.said,
            "Postfix could not look into it either; build it with postmap, or take it out.",
        ) from None
    found = {}
    for line in lines:
        key, unused, value = line.partition("\t")
        found[key] = value
    return found
