# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of a policy while they are edited: found by name and by domain without searching, ordered per event."""

from __future__ import annotations

import bisect
import typing as t

from .rule import DIRECTIONS, EVENTS, ForcedTlsDomain, ForcedTlsGroup, OpaqueRule, Rule

_Event = t.Optional[str]

#: A rule about one domain or several.
DomainRule = t.Union[ForcedTlsDomain, ForcedTlsGroup]


class RuleTable:
    """A mutable copy of a policy's rules.

    Every operation takes constant time but :meth:`move`, :meth:`arrange`, :meth:`substitute` and :meth:`reorder`, which
    are linear in the rules of an event; putting and removing a group is linear in its domains.

    A name may stand at several places (a server may call one rule twice); then a change is made at each of them.
    """

    def __init__(self, rules: t.Iterable[Rule]) -> None:
        self._groups: t.Dict[_Event, t.List[t.Optional[Rule]]] = {event: [] for event in EVENTS}
        self._places: t.Dict[str, t.List[t.Tuple[_Event, int]]] = {}
        #: Direction -> domain -> lower names; made when somebody looks for a domain.
        self._domains: t.Optional[t.Dict[str, t.Dict[str, t.Tuple[str, ...]]]] = None
        for rule in rules:
            self.append(rule)

    def result(self) -> t.Tuple[Rule, ...]:
        """All rules: events in the order of a mail transaction, then the server's own, then rules without an event."""
        events = [event for event in self._groups if event is not None] + [None]
        return tuple(rule for event in events for rule in self._groups.get(event, ()) if rule is not None)

    def find(self, name: str) -> t.Optional[Rule]:
        """The rule with this name, without regard to case, or None."""
        places = self._places.get(name.lower())
        if not places:
            return None
        event, index = places[0]
        return self._groups[event][index]

    def find_forced(self, domain: str, direction: str) -> t.List[DomainRule]:
        """The rules that are about this domain in exactly this direction, those of groups included."""
        if self._domains is None:
            self._domains = {}
            for rules in self._groups.values():
                for rule in rules:
                    self._note(rule)
        found = []
        for name in self._domains.get(direction, {}).get(domain, ()):
            rule = self.find(name)
            if isinstance(rule, (ForcedTlsDomain, ForcedTlsGroup)) and rule.direction == direction:
                found.append(rule)
        return found

    def find_domain(self, domain: str, direction: str) -> t.List[ForcedTlsDomain]:
        """The rules for this domain in exactly this direction as they would be alone."""
        return [
            rule.member(domain) if isinstance(rule, ForcedTlsGroup) else rule
            for rule in self.find_forced(domain, direction)
        ]

    def earliest(self, event: _Event, names: t.Iterable[str]) -> t.Optional[str]:
        """Which of these rules of an event stands first, in lower case; None without any."""
        keys = {name.lower() for name in names}
        places = [(index, key) for key in keys for at, index in self._places.get(key, ()) if at == event]
        return min(places)[1] if places else None

    def domain_rules(self) -> t.List[DomainRule]:
        """All rules about domains in order, those of mail that comes in first."""
        return [
            rule
            for event in DIRECTIONS.values()
            for rule in self._groups.get(event, ())
            if isinstance(rule, (ForcedTlsDomain, ForcedTlsGroup))
        ]

    def group(self, event: _Event) -> t.List[Rule]:
        """An event's rules in order."""
        return [rule for rule in self._groups.get(event, ()) if rule is not None]

    # --- changes --------------------------------------------------------------------------------

    def append(self, rule: Rule) -> None:
        """Add a rule behind the last one of its event."""
        group = self._groups.setdefault(rule.event, [])
        self._places.setdefault(rule.name.lower(), []).append((rule.event, len(group)))
        group.append(rule)
        self._note(rule)

    def put(self, rule: Rule) -> None:
        """Replace the rule of this name in its place; a rule that has no place in this event comes last."""
        key = rule.name.lower()
        places = self._places.get(key, [])
        self._forget(self.find(key))
        here = [place for place in places if place[0] == rule.event]
        for event, index in places:
            if event != rule.event:
                self._groups[event][index] = None
        self._places[key] = here
        if not here:
            self.append(rule)
            return
        for event, index in here:
            self._groups[event][index] = rule
        self._note(rule)

    def remove(self, name: str) -> None:
        """Take a rule away; nothing happens when there is none."""
        self._forget(self.find(name))
        for event, index in self._places.pop(name.lower(), ()):
            self._groups[event][index] = None

    def substitute(self, event: _Event, replaced: t.Mapping[str, t.Sequence[Rule]]) -> None:
        """Put other rules in the place of some: lower name -> what stands there instead, an empty list for nothing.

        A rule that stood at several places is replaced at the first one.
        """
        found: t.List[Rule] = []
        done: t.Set[str] = set()
        for rule in self.group(event):
            key = rule.name.lower()
            if key not in replaced:
                found.append(rule)
            elif key not in done:
                done.add(key)
                self._forget(rule)
                found += replaced[key]
        self.reorder(event, found)
        for rules in replaced.values():
            for rule in rules:
                self._note(rule)

    def reorder(self, event: _Event, rules: t.Sequence[Rule]) -> None:
        """Give an event these rules in this order."""
        for rule in self.group(event):
            key = rule.name.lower()
            self._places[key] = [place for place in self._places.get(key, ()) if place[0] != event]
        self._groups[event] = list(rules)
        for index, rule in enumerate(rules):
            self._places.setdefault(rule.name.lower(), []).append((event, index))

    def move(self, name: str, index: int) -> None:
        """Put a rule at one place: before the one that is at ``index`` when this rule is taken out of its event."""
        rule = self.find(name)
        if rule is None:
            raise KeyError(name)
        others = [other for other in self.group(rule.event) if other.name.lower() != name.lower()]
        self.reorder(rule.event, others[:index] + [rule] + others[index:])

    def arrange(
        self,
        event: _Event,
        names: t.Sequence[str],
        placed: t.Collection[str],
        end: t.Callable[[t.Sequence[Rule]], int] = len,
    ) -> None:
        """Bring rules into the order of ``names`` with as few moves as possible.

        ``placed`` (lower case) are those that have a place to keep; the others count as new. A rule that must move goes
        before the next one that stays, or to where ``end`` says that the rules of their kind end, but behind
        the last one that stays.
        """
        rank = {name.lower(): index for index, name in enumerate(names)}
        group = self.group(event)
        firsts = list(dict.fromkeys(rule.name.lower() for rule in group))
        kept = [key for key in firsts if key in rank and key in placed]
        staying = {kept[index] for index in longest_rising([rank[key] for key in kept])}
        if len(staying) == len(rank):
            return
        before: t.Dict[str, t.List[Rule]] = {}
        waiting: t.List[Rule] = []
        for name in names:
            if name.lower() in staying:
                before[name.lower()], waiting = waiting, []
            else:
                rule = self.find(name)
                if rule is not None:
                    waiting.append(rule)
        arranged: t.List[Rule] = []
        for rule in group:
            key = rule.name.lower()
            if key in rank and key not in staying:
                continue
            arranged += before.pop(key, [])
            arranged.append(rule)
        last = max((index + 1 for index, rule in enumerate(arranged) if rule.name.lower() in rank), default=0)
        index = max(end(arranged), last)
        self.reorder(event, arranged[:index] + waiting + arranged[index:])

    # --- inside ---------------------------------------------------------------------------------

    def _note(self, rule: t.Optional[Rule]) -> None:
        if self._domains is None or not isinstance(rule, (ForcedTlsDomain, ForcedTlsGroup)):
            return
        name, known = rule.name.lower(), self._domains.setdefault(rule.direction, {})
        for domain in _domains_of(rule):
            names = known.get(domain, ())
            if name not in names:
                known[domain] = (*names, name)

    def _forget(self, rule: t.Optional[Rule]) -> None:
        if self._domains is None or not isinstance(rule, (ForcedTlsDomain, ForcedTlsGroup)):
            return
        name, known = rule.name.lower(), self._domains.get(rule.direction, {})
        for domain in _domains_of(rule):
            names = tuple(other for other in known.get(domain, ()) if other != name)
            if names:
                known[domain] = names
            else:
                known.pop(domain, None)


def _domains_of(rule: DomainRule) -> t.Tuple[str, ...]:
    return rule.domains if isinstance(rule, ForcedTlsGroup) else (rule.domain,)


def basic_count(rules: t.Sequence[Rule]) -> int:
    """How many rules of an event stand at or before the last of the server's basic settings."""
    basic = [index for index, rule in enumerate(rules) if isinstance(rule, OpaqueRule) and rule.basic]
    return basic[-1] + 1 if basic else 0


def longest_rising(values: t.Sequence[int]) -> t.List[int]:
    """Indexes of a longest strictly rising subsequence: what may stay where it is (patience sorting, n log n)."""
    tails: t.List[int] = []
    tail_indexes: t.List[int] = []
    previous: t.List[int] = []
    for index, value in enumerate(values):
        place = bisect.bisect_left(tails, value)
        previous.append(tail_indexes[place - 1] if place else -1)
        if place == len(tails):
            tails.append(value)
            tail_indexes.append(index)
        else:
            tails[place] = value
            tail_indexes[place] = index
    chain: t.List[int] = []
    index = tail_indexes[-1] if tail_indexes else -1
    while index >= 0:
        chain.append(index)
        index = previous[index]
    return chain[::-1]
