# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a server has what it was given: a policy that was read again, against the desired one."""

from __future__ import annotations

import typing as t
from dataclasses import fields

from ._policy.policy import Listener, Policy, RelayHost
from ._policy.rule import OpaqueRule, Rule
from ._servers.base import ReadBackError


#: Differences, and names of rules in a row, that are shown; the rest is counted.
_MAX_SHOWN = 20


def verify(found: Policy, desired: Policy) -> None:
    """Everything desired must be there. Raises :class:`ReadBackError` with wanted and found values."""
    differences: t.List[str] = []
    present = {listener.address: listener for listener in found.listeners}
    for listener in desired.listeners:
        differences += _listener_differences(listener, present.pop(listener.address, None))
    differences += ["listener %s is there and should not be" % address for address in present]
    for direction in ("inbound", "outbound"):
        wanted, got = getattr(desired.starttls, direction), getattr(found.starttls, direction)
        if wanted is not None and wanted != got:
            differences.append("starttls %s: wanted %s, found %s" % (direction, wanted, got))
    differences += _relay_differences(found.relay, desired.relay)
    differences += _rule_differences(found.rules, desired.rules)
    if differences:
        more = len(differences) - _MAX_SHOWN
        raise ReadBackError(
            "read back what was written",
            "; ".join(differences[:_MAX_SHOWN]) + ("; and %d more differences" % more if more > 0 else ""),
            "The server accepted the change and does not have it.",
        )


def _listener_differences(wanted: Listener, found: t.Optional[Listener]) -> t.List[str]:
    if found is None:
        return ["listener %s is missing" % wanted.address]
    pairs = ((field.name, getattr(wanted, field.name), getattr(found, field.name)) for field in fields(Listener))
    return [
        "listener %s: %s: wanted %s, found %s" % (wanted.address, name, _shown(value), _shown(got))
        for name, value, got in pairs
        if value is not None and _comparable(value) != _comparable(got)
    ]


def _comparable(value: t.Any) -> t.Any:
    return frozenset(value) if isinstance(value, tuple) else value


def _shown(value: t.Any) -> str:
    return "[%s]" % ", ".join(value) if isinstance(value, tuple) else repr(value)


def _relay_differences(found: t.Optional[RelayHost], wanted: t.Optional[RelayHost]) -> t.List[str]:
    """What differs in the relay host. Its password is compared and never shown."""
    if found is None or wanted is None:
        if found is wanted:
            return []
        return ["relay host %s is missing" % wanted.host if wanted else "a relay host is there and should not be"]
    differences = []
    for field in fields(RelayHost):
        value, got = getattr(wanted, field.name), getattr(found, field.name)
        if value != got:
            shown = "wanted %s, found %s" % (_shown(value), _shown(got)) if field.repr else "another one was found"
            differences.append("relay host: %s: %s" % (field.name, shown))
    return differences


def _rule_differences(found: t.Sequence[Rule], desired: t.Sequence[Rule]) -> t.List[str]:
    """Typed rules must be equal, and the order of all enabled rules of an event must be the desired one."""
    differences = []
    present = {rule.name.lower(): rule for rule in found}
    for rule in desired:
        got = present.get(rule.name.lower())
        if got is None:
            differences.append("rule %s is missing" % rule.name)
        elif not isinstance(rule, OpaqueRule) and got != rule:
            differences.append("rule %s: wanted %s, found %s" % (rule.name, rule, got))
    wanted_names = {rule.name.lower() for rule in desired}
    differences += ["rule %s is there and should not be" % rule.name for rule in found if rule.name.lower() not in wanted_names]
    order, got_order = _order(desired), _order(found)
    for event in sorted({rule.event or "" for rule in desired}):
        names, got_names = order.get(event, []), got_order.get(event, [])
        if [name.lower() for name in names] != [name.lower() for name in got_names]:
            differences.append("order of rules at %s: wanted %s, found %s" % (event, _some(names), _some(got_names)))
    return differences


def _order(rules: t.Sequence[Rule]) -> t.Dict[t.Optional[str], t.List[str]]:
    """For each event the names of its enabled rules in order."""
    found: t.Dict[t.Optional[str], t.List[str]] = {}
    for rule in rules:
        if rule.enabled:
            found.setdefault(rule.event, []).append(rule.name)
    return found


def _some(names: t.Sequence[str]) -> str:
    more = " and %d more" % (len(names) - _MAX_SHOWN) if len(names) > _MAX_SHOWN else ""
    return ", ".join(names[:_MAX_SHOWN]) + more
