# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables of TLS policies (smtp_tls_policy_maps in postconf(5)): what all of them together say, and what other people's do."""

from __future__ import annotations

import re
import typing as t

from . import strictest, table
from .configuration import _State
from .maps import Answer, Map, first_answers, maps

MAPS = "smtp_tls_policy_maps"

#: The own file.
TABLE = "outbound"


def in_force(conf: _State, chains: t.Mapping[str, t.Sequence[str]], notes: t.List[str]) -> t.Dict[str, Answer]:
    """What the tables of policies say of next hops, ours and all others. ``notes`` get those that cannot be looked into."""
    listed = maps(conf.value(MAPS))
    given = {one.text: table.in_force(conf, TABLE) or {} for one in listed if is_ours(one)}
    return first_answers(conf, listed, chains, notes, given)


def weaker_entries(conf: _State, level: str) -> t.List[str]:
    """Entries of other people's tables that can be listed and ask for less than this level: ``key level``."""
    return ["%s %s" % (key, found) for key, found in foreign_levels(conf) if strictest.weaker(found, level)]


def old_fingerprints(conf: _State) -> t.List[str]:
    """Next hops for which other people's tables have fingerprints that are no SHA-256 ones."""
    return [
        key
        for key, value in _foreign_entries(conf)
        if value.lower().startswith("fingerprint") and re.search(r"=[0-9A-Fa-f:|]{1,60}(?![0-9A-Fa-f:])", value)
    ]


def foreign_levels(conf: _State) -> t.Iterator[t.Tuple[str, str]]:
    """Keys and levels of other people's entries that can be listed."""
    for key, value in _foreign_entries(conf):
        yield key, re.split(r"[,\s]", value)[0].lower()


def _foreign_entries(conf: _State) -> t.Iterator[t.Tuple[str, str]]:
    """Keys and policies of other people's tables that can be listed."""
    from .maps import listing

    for one in maps(conf.value(MAPS)):
        if not is_ours(one):
            yield from listing(conf, one)


def is_ours(one: Map) -> bool:
    """Whether a table is the own one."""
    return one.text.endswith("/securemail/%s" % TABLE)
