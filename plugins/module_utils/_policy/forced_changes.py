# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run did to forced-TLS domains: of thousands, people want to see those that differ."""

from __future__ import annotations

import typing as t

from .policy import Policy
from .rule import ForcedTlsDomain, ForcedTlsGroup, Rule

_Key = t.Tuple[str, str]


class ForcedChanges:
    """The rules for domains that differ between two policies; those of groups are compared one by one."""

    def __init__(self, before: Policy, after: Policy) -> None:
        old, new = _forced(before), _forced(after)
        self._gone = _by_domain(rule for rule in old if rule not in new)
        self._come = _by_domain(rule for rule in new if rule not in old)
        for key in self._gone.keys() & self._come.keys():
            # The same domain in a group that is otherwise another one.
            same = [rule for rule in self._gone[key] if rule in self._come[key]]
            self._gone[key] = [rule for rule in self._gone[key] if rule not in same]
            self._come[key] = [rule for rule in self._come[key] if rule not in same]

    @property
    def before(self) -> t.Tuple[Rule, ...]:
        """The rules that were changed or removed, as they were."""
        return tuple(rule for rules in self._gone.values() for rule in rules)

    @property
    def after(self) -> t.Tuple[Rule, ...]:
        """The rules that were changed or added, as they are."""
        return tuple(rule for rules in self._come.values() for rule in rules)

    def counts(self, listed: t.Set[_Key]) -> t.Dict[str, int]:
        """How many domains, each direction counted, were added, changed or removed, and how many listed ones were not."""
        gone = {key for key, rules in self._gone.items() if rules}
        come = {key for key, rules in self._come.items() if rules}
        return {
            "listed": len(listed),
            "added": len(come - gone),
            "changed": len(come & gone),
            "removed": len(gone - come),
            "unchanged": len(listed - gone - come),
        }


def _forced(policy: Policy) -> t.Set[Rule]:
    return {rule for rule in policy.rules if isinstance(rule, (ForcedTlsDomain, ForcedTlsGroup))}


def _by_domain(rules: t.Iterable[Rule]) -> t.Dict[_Key, t.List[ForcedTlsDomain]]:
    found: t.Dict[_Key, t.List[ForcedTlsDomain]] = {}
    for rule in rules:
        members = rule.members() if isinstance(rule, ForcedTlsGroup) else [rule]
        for member in members:
            found.setdefault((member.domain, member.direction), []).append(member)
    return found
