# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Own lookup tables: their type, their source text, and the index that Postfix looks into (postmap(1))."""

from __future__ import annotations

import os
import re
import typing as t

from .configuration import OWN_FOLDER, _State, own_path

#: The own tables that are looked up by key; the others are read as they are.
INDEXED = ("inbound", "outbound", "relay_password")

#: Types that have a compiled file, with what its name ends in.
COMPILED = {"lmdb": ".lmdb", "cdb": ".cdb", "hash": ".db", "btree": ".db"}

#: A type that needs no compiled file; every Postfix has it.
PLAIN = "texthash"

_REFERENCE = re.compile(r"([a-z]+):\$\{config_directory\}/%s/([a-z_]+)" % OWN_FOLDER)


def reference(kind: str, name: str) -> str:
    """How main.cf names an own table."""
    return "%s:${config_directory}/%s/%s" % (kind, OWN_FOLDER, name)


def references(conf: _State) -> t.Dict[str, str]:
    """The types by which main.cf and master.cf mean own tables: name -> type."""
    found = {}
    for text in (conf.main.text, conf.master.text):
        for kind, name in _REFERENCE.findall(text):
            found[name] = kind
    return found


def kind(conf: _State) -> str:
    """The type for own tables: one that this host's tables have already, else lmdb, else Postfix's choice, else a plain one.

    A type that cannot be opened would make every lookup a temporary error, and with it all mail.
    """
    # A btree is what Postfix keeps its own caches in.
    used = re.findall(r"(?<![a-z:{])(lmdb|cdb|hash):", conf.main.text)
    for name in [*used, "lmdb", conf.default_type]:
        if name in COMPILED and name in conf.types:
            return name
    return PLAIN


def unopenable(conf: _State) -> t.List[str]:
    """Tables of others whose type this Postfix does not have, in words."""
    found = []
    for entry in conf.main.entries:
        for name in dict.fromkeys(re.findall(r"(?<![a-z:])([a-z]+):(?=[/$])", entry.value)):
            if name in COMPILED and name not in conf.types:
                found.append(
                    "main.cf line %d: %s has a table of type %s, which this Postfix cannot open (it has %s): each lookup is a "
                    "temporary error" % (entry.line, entry.name, name, ", ".join(conf.types))
                )
    return found


def index_path(directory: str, kind_: str, name: str) -> t.Optional[str]:
    """The compiled file of an own table; None for a type without one."""
    end = COMPILED.get(kind_)
    return None if end is None else os.path.join(directory, own_path(name) + end)


def in_force(conf: _State, name: str) -> t.Optional[t.Dict[str, str]]:
    """What Postfix finds in an own table, by key in lower case; None: it is not there, or cannot be opened.

    Read from the index: a text that was edited and never compiled says nothing.
    """
    from ..base import ServerError

    kind_ = references(conf).get(name)
    base = getattr(conf, "base", conf)
    if kind_ is None or kind_ not in conf.types:
        return None
    path = os.path.join(base.directory, own_path(name))
    if kind_ not in COMPILED:
        text = conf.own_text(name)
        return None if text is None else dict(entries(text))
    if not os.path.exists(path + COMPILED[kind_]):
        return None
    try:
        lines = conf.programs.postmap("-s", "%s:%s" % (kind_, path), directory=base.directory).lines
    except ServerError:
        return None
    found = {}
    for line in lines:
        key, unused, value = line.partition("\t")
        found[key.strip().lower()] = value.strip()
    return found


def entries(text: str) -> t.Iterator[t.Tuple[str, str]]:
    """Keys in lower case and values of a source text, continuation lines joined."""
    logical: t.List[str] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t" and logical:
            logical[-1] += " " + line.strip()
        else:
            logical.append(line.strip())
    for line in logical:
        key, *value = line.split(None, 1)
        yield key.lower(), " ".join(value)


def source(title: str, lines: t.Mapping[str, str]) -> str:
    """A source text, with a line that says whose it is, keys in order."""
    head = "# %s\n# Written by the Ansible collection securemail.smtp: change it there.\n" % title
    return head + "".join("%s\t%s\n" % (key, value) for key, value in sorted(lines.items()))
