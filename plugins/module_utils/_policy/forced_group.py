# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Groups of domains while they are edited: who leaves and who joins is noted, and each group is made anew once.

Domains that shall be in a group join one that has their settings, or make one when they are two at least. A member
whose settings change alone leaves; where all change alike, the group does. One member alone is a plain rule.
"""

from __future__ import annotations

import typing as t

from .errors import PolicyError, Problems
from .forced_rule import Settings, add_rule, check_collision, own_name, rule_of, settings_of
from .rule import DIRECTIONS, EVERY_DOMAIN, ForcedTlsDomain, ForcedTlsGroup, GeneralRule, OpaqueRule, Rule
from .rule_entry import Entry, free_name, label_of
from .rule_name import default_reject_message, forced_domain_rule_name, group_names, names_a_group
from .rule_table import DomainRule, RuleTable


class _Key(t.NamedTuple):
    """What all members of a group have in common."""

    direction: str
    reject_message: t.Optional[str]
    enabled: bool
    level: t.Optional[str]
    versions: t.Optional[t.Tuple[str, ...]]
    match: t.Optional[t.Tuple[str, ...]]
    fingerprints: t.Optional[t.Tuple[str, ...]]

    def group(self, name: str, domains: t.Iterable[str]) -> ForcedTlsGroup:
        direction, message, *rest = self
        return ForcedTlsGroup(name, tuple(sorted(domains)), message, direction, *rest)


def _key_of(rule: ForcedTlsGroup) -> _Key:
    return _Key(
        rule.direction, rule.reject_message, rule.enabled, rule.level, rule.versions, rule.match, rule.fingerprints
    )


def _key_for(domain: str, direction: str, settings: Settings) -> _Key:
    message = settings.reject_message
    if message is not None and message == default_reject_message(domain):
        message = None
    return _Key(
        direction,
        message,
        settings.enabled,
        settings.level,
        settings.versions,
        settings.match,
        settings.fingerprints,
    )


class Change(t.NamedTuple):
    """A domain with settings for which a place is sought. ``together``: in a group, if it finds one.

    ``rule`` is the rule that it has alone, ``origin`` the lower name of the group that it leaves.
    """

    entry: Entry
    settings: Settings
    together: bool
    exception: bool
    rule: t.Optional[ForcedTlsDomain] = None
    origin: t.Optional[str] = None

    @property
    def domain(self) -> str:
        return self.entry["domain"]

    @property
    def key(self) -> _Key:
        return _key_for(self.entry["domain"], self.entry["direction"], self.settings)


def may_be_together(domain: str, settings: Settings, exception: bool) -> bool:
    """Whether a rule may stand in a group: for a whole domain, and nothing to explain."""
    return not (exception or domain[0] in "." + EVERY_DOMAIN or settings.reason or settings.until)


def _taken(domain: str, direction: str, name: str) -> PolicyError:
    return PolicyError(
        "the rule for %s %s would be called %s, and there is a rule of this name; give it another name (option name)"
        % (domain, direction, name)
    )


class _Open:
    """A group that changes. ``members``: domain -> what changes, None for nothing."""

    def __init__(self, name: str, key: _Key, domains: t.Iterable[str], before: t.Optional[ForcedTlsGroup]) -> None:
        self.name = name
        self.key = key
        self.before = before
        self.members: t.Dict[str, t.Optional[Change]] = dict.fromkeys(domains)
        self.behind: t.List[Rule] = []
        #: Lower name of the rule in whose place a new group stands.
        self.anchor: t.Optional[str] = None


class Groups:
    """The groups of a table, with what is noted about them until :meth:`settle`."""

    def __init__(self, table: RuleTable) -> None:
        self._table = table
        self._open: t.Dict[str, _Open] = {}
        self._seeking: t.List[Change] = []
        #: Event -> lower name -> what stands there instead.
        self._replaced: t.Dict[str, t.Dict[str, t.List[Rule]]] = {event: {} for event in DIRECTIONS.values()}
        self._claimed: t.Set[str] = set()

    def known(self, domain: str, direction: str) -> t.List[DomainRule]:
        """The rules of the table for a domain, without the groups that it has left."""
        return [
            rule
            for rule in self._table.find_forced(domain, direction)
            if rule.name.lower() not in self._open or domain in self._open[rule.name.lower()].members
        ]

    def remove(self, rule: DomainRule, domain: str) -> None:
        """Take a domain away, out of a group or with its rule."""
        if isinstance(rule, ForcedTlsGroup):
            self._opened(rule).members.pop(domain, None)
        else:
            self._table.remove(rule.name)

    def drop_empty(self) -> None:
        """Take away the groups that have no member left, so that their names are free."""
        for key, group in list(self._open.items()):
            if not group.members:
                self._table.remove(group.name)
                del self._open[key]

    def change(self, rule: ForcedTlsGroup, change: Change) -> None:
        """Note what becomes of a member."""
        self._opened(rule).members[change.domain] = change

    def seek(self, change: Change) -> None:
        """Note that a domain is to be in a group."""
        self._seeking.append(change)

    def settle(self, problems: Problems) -> None:
        """Bring all that was noted into the table, in linear time."""
        if not self._open and not self._seeking:
            return
        for group in list(self._open.values()):
            self._split(group, problems)
        self._send_lonely()
        if self._seeking:
            self._gather(problems)
        for group in self._open.values():
            self._write(group)
        for event, replaced in self._replaced.items():
            if replaced:
                self._table.substitute(event, replaced)
        for group in self._open.values():
            if group.before is None and group.anchor is None:
                self._table.append(self._made(group))

    # --- who leaves -----------------------------------------------------------------------------

    def _opened(self, rule: ForcedTlsGroup) -> _Open:
        key = rule.name.lower()
        if key not in self._open:
            self._open[key] = _Open(rule.name, _key_of(rule), rule.domains, rule)
        return self._open[key]

    def _split(self, group: _Open, problems: Problems) -> None:
        """Those who stay as they are stay together; when nobody does, the first who agree with each other."""
        changes = [change for change in group.members.values() if change is not None]
        if not changes:
            return
        if len(changes) == len(group.members):
            together = [change for change in changes if change.together]
            keys = [change.key for change in together]
            if group.key not in keys and keys:
                group.key = keys[0]
        for change in changes:
            if change.together and change.key == group.key:
                group.members[change.domain] = None
                continue
            del group.members[change.domain]
            if change.together:
                self._seeking.append(change)
            else:
                self._leave(group, change, problems)

    def _send_lonely(self) -> None:
        """Who is left alone in a group seeks another one of the same kind, as it would in the next run."""
        alone = [group for group in self._open.values() if group.before is not None and len(group.members) == 1]
        if not alone:
            return
        kinds: t.Dict[_Key, int] = {}
        for rule in self._table.domain_rules():
            if isinstance(rule, ForcedTlsGroup):
                group = self._open.get(rule.name.lower())
                if group is None or group.members:
                    key = _key_of(rule) if group is None else group.key
                    kinds[key] = kinds.get(key, 0) + 1
        for group in alone:
            if kinds[group.key] > 1:
                kinds[group.key] -= 1
                (domain,) = group.members
                del group.members[domain]
                member = group.key.group(group.name, (domain,)).member(domain)
                entry = {"domain": domain, "direction": member.direction}
                self._seeking.append(Change(entry, settings_of(member), True, False, None, group.name.lower()))

    def _leave(self, group: _Open, change: Change, problems: Problems) -> None:
        """A rule of its own for a former member, right behind the group."""
        name = own_name(change.entry)
        if name is None or name.lower() == group.name.lower():
            name = forced_domain_rule_name(change.domain, group.key.direction, change.exception)
        with problems.collecting(label_of(change.entry)):
            self._claim(name, change.domain, group.key.direction)
            group.behind.append(rule_of(name, change.domain, group.key.direction, change.settings))

    def _claim(self, name: str, domain: str, direction: str) -> None:
        current = self._table.find(name)
        check_collision(current, name, domain, direction)
        if isinstance(current, (GeneralRule, OpaqueRule)) or name.lower() in self._claimed:
            raise _taken(domain, direction, name)
        free_name(name, None, DIRECTIONS[direction])
        self._claimed.add(name.lower())

    # --- who joins ------------------------------------------------------------------------------

    def _gather(self, problems: Problems) -> None:
        groups: t.Dict[_Key, t.List[_Open]] = {}
        for rule in self._table.domain_rules():
            if isinstance(rule, ForcedTlsGroup):
                opened = self._open.get(rule.name.lower())
                if opened is None:
                    groups.setdefault(_key_of(rule), []).append(_Open(rule.name, _key_of(rule), rule.domains, rule))
                elif opened.members:
                    groups.setdefault(opened.key, []).append(opened)
        seeking: t.Dict[_Key, t.List[Change]] = {}
        for change in self._seeking:
            seeking.setdefault(change.key, []).append(change)
        for key, changes in seeking.items():
            self._join(key, changes, groups.get(key, []), problems)

    def _join(self, key: _Key, changes: t.Sequence[Change], groups: t.List[_Open], problems: Problems) -> None:
        """Who names a group, or shares a name with another, goes there; all others go to the first one there is."""
        named: t.Dict[str, t.List[Change]] = {}
        rest: t.List[Change] = []
        for change in changes:
            name = (change.entry.get("name") or "").lower()
            if name and name != change.origin:
                named.setdefault(name, []).append(change)
            else:
                rest.append(change)
        for name, several in named.items():
            group = next((group for group in groups if group.name.lower() == name), None)
            if group is None and len(several) > 1:
                group = self._new_group(key, several, several[0].entry["name"], problems)
                groups.append(group)
            if group is None:
                rest += several
            else:
                self._enter(group, several, problems)
        if not rest:
            return
        if groups:
            self._enter(groups[0], rest, problems)
        elif len({change.domain for change in rest}) > 1:
            self._enter(self._new_group(key, rest, None, problems), rest, problems)
        else:
            for change in rest:
                self._stay_alone(change, problems)

    def _new_group(
        self, key: _Key, changes: t.Sequence[Change], name: t.Optional[str], problems: Problems
    ) -> _Open:
        leaving = {change.rule.name.lower() for change in changes if change.rule is not None}

        def free(name: str) -> bool:
            return name.lower() not in self._claimed and (self._table.find(name) is None or name.lower() in leaving)

        if name is not None and (free(name) or not names_a_group(name)):
            if not free(name):
                with problems.collecting(label_of(changes[0].entry)):
                    self._claim(name, changes[0].domain, key.direction)
        else:
            name = next(filter(free, group_names(key.direction, repr(tuple(key)))))
        self._claimed.add(name.lower())
        group = _Open(name, key, (), None)
        anchors = [change.rule.name if change.rule else change.origin for change in changes]
        group.anchor = self._table.earliest(DIRECTIONS[key.direction], filter(None, anchors))
        return group

    def _enter(self, group: _Open, changes: t.Sequence[Change], problems: Problems) -> None:
        self._open.setdefault(group.name.lower(), group)
        for change in changes:
            if change.domain in group.members:
                # It has a second rule, which is meant here, and cannot be in one group twice.
                self._stay_alone(change, problems)
                continue
            group.members[change.domain] = None
            if change.rule is not None:
                self._replaced[DIRECTIONS[group.key.direction]].setdefault(change.rule.name.lower(), [])

    def _stay_alone(self, change: Change, problems: Problems) -> None:
        if change.rule is not None:
            rule = change.rule
            if settings_of(rule) != change.settings:
                self._table.put(rule_of(rule.name, rule.domain, rule.direction, change.settings))
        elif change.origin is not None:
            self._leave(self._open[change.origin], change, problems)
        else:
            with problems.collecting(label_of(change.entry)):
                direction = change.entry["direction"]
                name = own_name(change.entry) or forced_domain_rule_name(change.domain, direction, change.exception)
                if name.lower() in self._claimed:
                    raise _taken(change.domain, direction, name)
                add_rule(self._table, change.entry, change.settings, change.exception)

    # --- the result -----------------------------------------------------------------------------

    def _write(self, group: _Open) -> None:
        replaced = self._replaced[DIRECTIONS[group.key.direction]]
        if group.before is None:
            if group.anchor is not None:
                replaced.setdefault(group.anchor, []).append(self._made(group))
            return
        made: t.List[Rule] = [self._made(group)] if group.members else []
        if made != [group.before] or group.behind:
            replaced.setdefault(group.name.lower(), [])[:0] = made + group.behind
        elif group.name.lower() in replaced:
            replaced[group.name.lower()].insert(0, group.before)

    def _made(self, group: _Open) -> Rule:
        """The group as a rule; a member that is alone has its own rule, under its own name where that is free."""
        if len(group.members) > 1:
            return group.key.group(group.name, group.members)
        (domain,) = group.members
        member = group.key.group(group.name, (domain,)).member(domain)
        if not names_a_group(group.name):
            return member
        name = forced_domain_rule_name(domain, group.key.direction)
        if self._table.find(name) is not None or name.lower() in self._claimed:
            return member
        self._claimed.add(name.lower())
        return rule_of(name, domain, group.key.direction, settings_of(member))
