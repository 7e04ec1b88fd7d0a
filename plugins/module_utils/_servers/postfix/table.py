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

#: A type that needs no compiled file; every Postfix since 2.8 has it.
PLAIN = "texthash"

_REFERENCE = re.compile(r"([a-z]+):\$\{config_directory\}/%s/([a-z_]+)" % OWN_FOLDER)

#: Types of tables of others that are files; a word before a colon and a path is not always one (``unix:/run/milter``).
_FILES = (*COMPILED, "dbm", "sdbm", "pcre", "regexp", "cidr", "texthash", "mysql", "pgsql", "ldap", "sqlite")
_FOREIGN = re.compile(r"(?<![a-z0-9_])(%s):(?=[/$])((?:\$\{[^}]*\}|[^\s,{}])+)" % "|".join(_FILES))


def reference(kind: str, name: str) -> str:
    """How main.cf names an own table."""
    return "%s:${config_directory}/%s/%s" % (kind, OWN_FOLDER, name)


def references(conf: _State) -> t.Dict[str, str]:
    """The types by which main.cf, and else master.cf, mean own tables: name -> type."""
    found: t.Dict[str, str] = {}
    for unused, value in values(conf):
        for kind_, name in _REFERENCE.findall(value):
            found.setdefault(name, kind_)
    return found


def values(conf: _State) -> t.Iterator[t.Tuple[str, str]]:
    """Values of main.cf and of options in master.cf, each with words for where it is. Comments are none."""
    for entry in conf.main.entries:
        yield "main.cf line %d: %s" % (entry.line, entry.name), entry.value
    for service in conf.master.services:
        for (name, value), line in zip(service.options, service.lines):
            yield "master.cf line %d: %s" % (line, name), value


def kind(conf: _State) -> str:
    """The type for own tables: theirs, else one that this host's tables have, else lmdb, else Postfix's choice, else a plain one.

    Only what this Postfix says it has (``postconf -m``): a type that cannot be opened would make every lookup a temporary
    error, and with it all mail.
    """
    own = references(conf)
    wanted = [own[name] for name in INDEXED if name in own]
    for unused, value in values(conf):
        # A btree is what Postfix keeps its own caches in.
        wanted += [found for found, path in _FOREIGN.findall(value) if found != "btree"]
    for name in [*wanted, "lmdb", conf.default_type]:
        if name in COMPILED and name in conf.types:
            return name
    return PLAIN


def unopenable(conf: _State) -> t.List[str]:
    """Tables of others whose type this Postfix does not have, in words."""
    found = []
    for where, value in values(conf):
        for name, path in dict.fromkeys(_FOREIGN.findall(value)):
            if name not in conf.types and not path.startswith("${config_directory}/%s/" % OWN_FOLDER):
                found.append(
                    "%s has a table of type %s, %s, which this Postfix cannot open (it has %s): each lookup is a temporary error"
                    % (where, name, path, ", ".join(conf.types))
                )
    return found


def in_force(conf: _State, name: str) -> t.Optional[t.Dict[str, str]]:
    """What Postfix finds in an own table, by key as it is folded; None: nobody refers to it, or it cannot be opened.

    Read from the index: a text that was edited and never compiled says nothing.
    """
    from ..base import ServerError

    kind_ = references(conf).get(name)
    base = getattr(conf, "base", conf)
    if kind_ is None or kind_ not in conf.types:
        return None
    text = conf.own_text(name)
    planned = base is not conf and (text != base.own_text(name) or kind_ != references(base).get(name))
    if kind_ not in COMPILED or planned:
        return None if text is None else dict(entries(text))
    path = os.path.join(base.directory, own_path(name))
    if not os.path.exists(path + COMPILED[kind_]):
        return None
    try:
        if kind_ == "cdb":
            # It cannot be listed, so it is asked for what it should have.
            keys = "".join(key + "\n" for key, unused in entries(text or "")).encode("utf-8", "surrogateescape")
            lines = conf.programs.postmap("-q", "-", "%s:%s" % (kind_, path), stdin=keys, directory=base.directory).lines
        else:
            lines = conf.programs.postmap("-s", "%s:%s" % (kind_, path), directory=base.directory).lines
    except ServerError:
        # A broken index is one that Postfix cannot look into either.
        return None
    found = {}
    for line in lines:
        key, unused, value = line.partition("\t")
        found[folded(key.strip())] = value.strip()
    return found


def folded(key: str) -> str:
    """A key as Postfix compares it: with all letters folded, a sharp s to ``ss``."""
    return key.lower() if key.isascii() else key.casefold()


def entries(text: str) -> t.Iterator[t.Tuple[str, str]]:
    """Keys, folded, and values of a source text, continuation lines joined (postmap(1))."""
    logical: t.List[str] = []
    for line in text.split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t" and logical:
            logical[-1] += " " + line.strip()
        else:
            logical.append(line.strip())
    for line in logical:
        key, *value = line.split(None, 1)
        yield folded(key), " ".join(value)


def source(title: str, lines: t.Mapping[str, str]) -> str:
    """A source text, with a line that says whose it is, keys in order."""
    head = "# %s\n# Written by the Ansible collection securemail.smtp: change it there.\n" % title
    return head + "".join("%s\t%s\n" % (key, value) for key, value in sorted(lines.items()))
