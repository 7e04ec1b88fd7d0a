# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run did to forced-TLS domains: of thousands, people want to see those that differ."""

from __future__ import annotations

import typing as t

from .document import forced_domain_documents
from .policy import Policy
from .rule import ForcedTlsDomain, ForcedTlsGroup, Rule

_Key = t.Tuple[str, str]


class ForcedChanges:
    """The rules for domains that differ between two policies; those of groups are compared one by one."""

    def __init__(self, before: Policy, after: Policy) -> None:
        old, new = _forced(before), _forced(after)
        gone = _by_domain(rule for rule in old if rule not in new)
        come = _by_domain(rule for rule in new if rule not in old)
        # Other members of a group are as they were.
        same = {key for key, rules in gone.items() if rules == come.get(key)}
        self._gone, self._come = gone.keys() - same, come.keys() - same
        self._before, self._after = before, after

    def before(self) -> t.List[t.Dict[str, t.Any]]:
        """The rules that were changed or removed, as they were."""
        return _documents(self._before, self._gone)

    def after(self, most: t.Optional[int] = None) -> t.List[t.Dict[str, t.Any]]:
        """The rules that were changed or added, as they are; ``most`` domains, the first ones by name."""
        keys = self._come if most is None or len(self._come) <= most else set(sorted(self._come)[:most])
        return _documents(self._after, keys)

    def counts(self, listed: t.Set[_Key]) -> t.Dict[str, int]:
        """How many domains were added, changed or removed, and how many listed ones were not; each direction counts."""
        return {
            "listed": len(listed),
            "added": len(self._come - self._gone),
            "changed": len(self._come & self._gone),
            "removed": len(self._gone - self._come),
            "unchanged": len(listed - self._gone - self._come),
        }


def _documents(policy: Policy, keys: t.Set[_Key]) -> t.List[t.Dict[str, t.Any]]:
    found = forced_domain_documents(policy, {domain for domain, _direction in keys})
    return [entry for entry in found if (entry["domain"], entry["direction"]) in keys]


def _forced(policy: Policy) -> t.Set[Rule]:
    return {rule for rule in policy.rules if isinstance(rule, (ForcedTlsDomain, ForcedTlsGroup))}


def _by_domain(rules: t.Iterable[Rule]) -> t.Dict[_Key, t.List[ForcedTlsDomain]]:
    found: t.Dict[_Key, t.List[ForcedTlsDomain]] = {}
    for rule in rules:
        members = rule.members() if isinstance(rule, ForcedTlsGroup) else [rule]
        for member in members:
            found.setdefault((member.domain, member.direction), []).append(member)
    return found
