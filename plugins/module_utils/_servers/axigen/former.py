# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Back to listeners as they were: from a server's own sections of the configuration, and not from the policy.

A policy knows the settings that modules manage. A listener that comes back after its removal must have all others too,
and a restored server must be the one that was backed up. So two configurations are compared attribute by attribute.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..._policy.address import network, sort_key
from ..._policy.errors import PolicyError
from ..base import CommandRefused
from .cli import AdminSession, SetValue
from .layout import Attributes
from .listeners import LISTENER, NETWORKS, SSLCONTROL, ListenerChange

#: Sections of listeners by canonical address.
Sections = t.Mapping[str, t.Any]

#: Attribute and value, as SET takes them.
Pairs = t.Tuple[t.Tuple[str, t.Any], ...]

_CONTROL = "sslControl"
_NETWORKS = {name: kind for _field, kind, name, _priority in NETWORKS}
_TABLES = {"": {item.name: item for item in LISTENER}, _CONTROL: {item.name: item for item in SSLCONTROL}}
_EVERY_SERVER = frozenset(name for table in _TABLES.values() for name in table) | {"sslEnable"}
_OPTIONS = {item.name: item.field for item in LISTENER + SSLCONTROL}
_OPTIONS.update({name: field for field, _kind, name, _priority in NETWORKS}, sslEnable="tls")

#: The key, and what has verbs of its own.
_NO_SETTINGS = {"address", _CONTROL.lower()} | {name.lower() for name in _NETWORKS}

#: The touched attribute of a change that is about the whole listener.
_WHOLE = "*"


@dataclass(frozen=True)
class ListenerReturn:
    """One listener to bring back. ``kind``: add, change, remove, or replace where an attribute must vanish again.

    ``address`` is canonical, ``here`` and ``there`` are the spellings of the server now and then. ``networks`` are
    network rules to remove and to add: verb, kind, ``ipSet``, its other attributes. ``names`` are what differs.
    """

    kind: str
    address: str
    here: str = ""
    there: str = ""
    listener: Pairs = ()
    control: Pairs = ()
    networks: t.Tuple[t.Tuple[str, str, str, Pairs], ...] = ()
    names: t.Tuple[str, ...] = ()

    @property
    def fields(self) -> t.Tuple[str, ...]:
        """What is set, by the names of the modules' options where they have one."""
        names = self.names if self.kind != "add" else [name for name, _value in self.listener + self.control]
        return tuple(dict.fromkeys(_OPTIONS.get(name.rpartition(".")[2], name) for name in names))

    def describe(self) -> str:
        """What is done, in one line."""
        verb = {"add": "bring back", "remove": "remove"}.get(self.kind, "set back")
        text = "%s listener %s" % (verb, self.address)
        return "%s (%s)" % (text, ", ".join(self.fields)) if self.names else text


def changes(now: Sections, former: Sections, dialect: t.Any, exact: bool = True) -> t.List[ListenerReturn]:
    """How to get from ``now`` to ``former``, in a safe order: changes, listeners that come back, removals.

    ``exact``: an attribute that is there now and was not there then goes, too, with the listener that is made anew.
    """
    result = []
    for address in sorted(former, key=lambda address: (address not in now, sort_key(address))):
        if address not in now:
            result.append(_added("add", address, "", former[address], ()))
            continue
        change = _changed(address, now[address], former[address], dialect, exact)
        if change is not None:
            result.append(change)
    for address in sorted(set(now) - set(former), key=sort_key):
        result.append(ListenerReturn("remove", address, here=_spelling(now[address])))
    return result


def ignored(now: Sections, former: Sections, exact: bool) -> t.List[str]:
    """What differs in listeners and stays as it is, for warnings.

    Objects that no command of this program sets, and without ``exact`` attributes of which the former state says nothing.
    """
    found = []
    for address in sorted(set(now) & set(former), key=sort_key):
        unknown: t.List[str] = []
        for table in () if exact else _TABLES:
            known = {name.lower() for name, _value in _pairs(_table(former[address], table))}
            unknown += [name for name, _value in _pairs(_table(now[address], table)) if name.lower() not in known]
        if unknown:
            found.append("listener %s: not known then and left as it is now: %s" % (address, ", ".join(unknown)))
        old, new = _inner(former[address]), _inner(now[address])
        found += [
            "listener %s: %s differs and is left as it is" % (address, name)
            for name in sorted(set(old) | set(new))
            if old.get(name) != new.get(name)
        ]
    return found


def foreign(now: Sections, before: Sections, planned: t.Iterable[t.Any], dialect: t.Any) -> t.List[str]:
    """Listeners in which something differs from ``before`` that the planned changes do not touch, in words."""
    touched = {change.address: _touched(change) for change in planned}
    found = []
    for change in changes(now, before, dialect):
        ours = touched.get(change.address, frozenset())
        strange = set(change.names or (_WHOLE,)) - ours
        if strange and _WHOLE not in ours:
            found.append("listener %s" % change.address)
    return found


def send(session: AdminSession, change: ListenerReturn, _spelt: t.Mapping[str, str]) -> None:
    """Enter one change in the SMTP-INCOMING context, up to the listener's COMMIT."""
    if change.kind in ("remove", "replace"):
        session.command("REMOVE", "Listener", "address", change.here)
    if change.kind == "remove":
        return
    fresh = change.kind != "change"
    session.enter("ADD" if fresh else "UPDATE", "Listener", "address", change.there if fresh else change.here)
    _set(session, change.listener, fresh)
    for verb, kind, spelling, pairs in change.networks:
        _send_network(session, verb, kind, spelling, pairs)
    if change.control:
        session.enter("CONFIG", "SSLCONTROL")
        _set(session, change.control, fresh)
        session.leave("DONE")
    session.leave("COMMIT")


# --- comparing ----------------------------------------------------------------------------------


def _changed(
    address: str, now: t.Any, former: t.Any, dialect: t.Any, exact: bool
) -> t.Optional[ListenerReturn]:
    listener, names, vanished = _differences(now, former, "", dialect, exact)
    inner, inner_names, inner_vanished = _differences(now, former, _CONTROL, dialect, exact)
    names += ["%s.%s" % (_CONTROL, name) for name in inner_names]
    networks = []
    for name, kind in _NETWORKS.items():
        steps = _network_steps(kind, _rules(now.get(name)), _rules(former.get(name)))
        networks += steps
        names += [name] if steps else []
    if not names:
        return None
    if vanished or inner_vanished:
        return _added("replace", address, _spelling(now), former, tuple(names))
    return ListenerReturn(
        "change", address, _spelling(now), _spelling(former), listener, inner, tuple(networks), tuple(names)
    )


def _added(kind: str, address: str, here: str, former: t.Any, names: t.Tuple[str, ...]) -> ListenerReturn:
    networks = tuple(
        step for name, noun in _NETWORKS.items() for step in _network_steps(noun, {}, _rules(former.get(name)))
    )
    return ListenerReturn(
        kind, address, here, _spelling(former), _pairs(former), _pairs(former.get(_CONTROL, {})), networks, names
    )


def _table(section: t.Any, table: str) -> t.Any:
    return section.get(table, {}) if table else section


def _differences(
    now: t.Any, former: t.Any, table: str, dialect: t.Any, exact: bool
) -> t.Tuple[Pairs, t.List[str], bool]:
    """Attributes to set, the names of all that differ, and whether there are now some that were not there before."""
    here, there = dict(_pairs(_table(now, table))), dict(_pairs(_table(former, table)))
    lower = {name.lower(): name for name in here}
    attributes = {name.lower(): item for name, item in _TABLES[table].items()}
    pairs = []
    for name, value in there.items():
        present = lower.pop(name.lower(), None)
        attribute = attributes.get(name.lower())
        if present is None or _meaning(here[present], attribute, dialect) != _meaning(value, attribute, dialect):
            pairs.append((name, value))
    vanished = list(lower.values()) if exact else []
    return tuple(pairs), [name for name, _value in pairs] + vanished, bool(vanished)


def _pairs(section: t.Any) -> Pairs:
    """The attributes that SET takes: no key, no objects, no lists of objects."""
    return tuple(
        (name, SetValue(value) if isinstance(value, tuple) else value)
        for name, value in section.items()
        if name.lower() not in _NO_SETTINGS and not _is_object(value)
    )


def _is_object(value: t.Any) -> bool:
    if isinstance(value, tuple):
        return any(not isinstance(part, str) for part in value)
    return isinstance(value, Attributes)


def _meaning(value: t.Any, attribute: t.Any, dialect: t.Any) -> t.Any:
    """A value in the form that compares; what a server may spell in several ways is one value."""
    if attribute is not None:
        try:
            value = attribute.read(value, dialect)
        except (PolicyError, ValueError, TypeError, KeyError):
            pass
    if isinstance(value, tuple):
        return frozenset(str(part).lower() for part in value)
    text = str(value).strip() if value is not None else ""
    return "" if text.lower() == "none" else text.lower() if text.lower() in ("yes", "no") else text


def _inner(section: t.Any) -> t.Dict[str, t.Any]:
    return {
        name.lower(): repr(value)
        for name, value in section.items()
        if _is_object(value) and name.lower() not in _NO_SETTINGS
    }


def _spelling(section: t.Any) -> str:
    return str(section["address"])


def _touched(change: t.Any) -> t.FrozenSet[str]:
    """Names of the attributes that a planned change sets, as :attr:`ListenerReturn.names` has them."""
    if change.kind in ("add", "remove"):
        return frozenset((_WHOLE,))
    if not isinstance(change, ListenerChange):
        return frozenset(change.names)
    names = [name for name, _value in change.listener]
    names += ["%s.%s" % (_CONTROL, name) for name, _value in change.control]
    kinds = {kind for _verb, kind, _value, _priority in change.networks}
    return frozenset(names + [name for name, kind in _NETWORKS.items() if kind in kinds])


# --- networks -----------------------------------------------------------------------------------


def _rules(rules: t.Any) -> t.Dict[str, t.Tuple[str, Pairs]]:
    """Network rules by canonical network: the server's spelling, and the other attributes."""
    found = {}
    for rule in rules or ():
        key = "ipSet" if "ipSet" in rule else "address"
        spelling = str(rule.get(key, ""))
        try:
            canonical = network(spelling)
        except PolicyError:
            canonical = spelling
        found[canonical] = (spelling, tuple(pair for pair in _pairs(rule) if pair[0].lower() != key.lower()))
    return found


def _network_steps(
    kind: str, now: t.Mapping[str, t.Tuple[str, Pairs]], former: t.Mapping[str, t.Tuple[str, Pairs]]
) -> t.List[t.Tuple[str, str, str, Pairs]]:
    def meaning(pairs: Pairs) -> t.Dict[str, t.Any]:
        return {name.lower(): _meaning(value, None, None) for name, value in pairs}

    gone, come = [], []
    # In the order in which they stood: nothing depends on it, and a server comes back as it was.
    for canonical in list(former) + [canonical for canonical in now if canonical not in former]:
        old, new = former.get(canonical), now.get(canonical)
        if old is not None and new is not None and meaning(old[1]) == meaning(new[1]):
            continue
        if new is not None:
            gone.append(("REMOVE", kind, new[0], ()))
        if old is not None:
            come.append(("ADD", kind) + old)
    return gone + come


# --- writing ------------------------------------------------------------------------------------


def _set(session: AdminSession, pairs: Pairs, fresh: bool) -> None:
    """One SET for each attribute. In a listener that is new, those that only some servers have may be refused.

    Not every attribute that a configuration shows can be set; what the server makes of it is read back.
    """
    for name, value in pairs:
        try:
            session.command("SET", name, value)
        except CommandRefused:
            if not fresh or name in _EVERY_SERVER:
                raise


def _send_network(session: AdminSession, verb: str, kind: str, spelling: str, pairs: Pairs) -> None:
    words = [word for pair in pairs for word in pair]
    if verb == "REMOVE":
        session.command("REMOVE", kind, spelling)
    elif kind == "DenyRule":
        session.command("ADD", kind, spelling, *words)
    else:
        session.enter("ADD", kind, spelling)
        _set(session, pairs, False)
        session.leave("DONE")
