# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A desired policy as a Postfix can have it: one rule for each slot, single domains, one order."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..._policy.errors import PolicyError
from ..._policy.policy import Listener, Policy
from ..._policy.rule import ForcedTlsDomain, ForcedTlsGroup, GeneralRule, OpaqueRule, Rule
from .notes import Notes
from .slot import canonical_name, in_order, slot

#: Differences that are named in an error; more are counted.
_MAX_SHOWN = 20


def settled(before: Policy, desired: Policy, notes: Notes) -> Policy:
    """The desired policy with canonical rules. Raises ``PolicyError`` for two rules that would say one thing.

    A rule that is there and was never given a name makes way for one that is: it is the same setting.
    """
    if desired.rules is before.rules:
        return desired
    there = {slot(rule): rule for rule in before.rules if rule.enabled}
    by_slot: t.Dict[str, Rule] = {}
    found: t.List[Rule] = []
    problems = []
    for rule in _single(desired.rules, there):
        if isinstance(rule, OpaqueRule):
            problems.append("rule %s: its content is not known, so it cannot be brought here" % rule.name)
            continue
        if not rule.enabled:
            found.append(rule)
            continue
        if isinstance(rule, GeneralRule):
            # Most policies have none, and a module's code is compiled anew in each task.
            from .submission import canonical

            try:
                rule = canonical(rule)
            except PolicyError as error:
                problems += error.problems
                continue
        place = slot(rule)
        other = by_slot.get(place)
        if other is not None and other != rule:
            if _makes_way(other, there, notes):
                by_slot[place] = rule
            elif not _makes_way(rule, there, notes):
                problems.append(_twice(place, other, rule))
        else:
            by_slot[place] = rule
    if problems:
        raise PolicyError(*problems)
    return replace(desired, rules=in_order(found + list(by_slot.values())))


def _single(rules: t.Iterable[Rule], there: t.Mapping[str, Rule]) -> t.Iterator[Rule]:
    """Groups as their domains, each under the name that it has already."""
    for rule in rules:
        if not isinstance(rule, ForcedTlsGroup):
            yield rule
            continue
        for member in rule.members():
            known = there.get(slot(member)) if member.enabled else None
            yield replace(member, name=known.name if known is not None else canonical_name(member))


def _makes_way(rule: Rule, there: t.Mapping[str, Rule], notes: Notes) -> bool:
    """Whether this is a setting that was found, and not a rule that somebody declared."""
    return there.get(slot(rule)) == rule and rule.name == canonical_name(rule) and not notes.has_name(rule)


def _twice(place: str, one: Rule, other: Rule) -> str:
    kind, unused, what = place.partition(" ")
    words = {
        "auth": "the mechanisms of %s connections" % ("clear" if what == "plain" else "TLS"),
        "relay": "how all mail is sent",
        "inbound": "mail that arrives for %s" % what,
        "outbound": "mail that is sent to %s" % what,
    }.get(kind, what)
    return "rules %s and %s: both say %s. Postfix has one setting for it; keep one of the rules" % (one.name, other.name, words)


def unfulfilled(before: Policy, desired: Policy, found: Policy) -> t.List[str]:
    """What was asked for and would not be there: ``found`` is what a plan was read as. All of it in words.

    What nobody asked to change may follow: one entry of master.cf can be two listeners.
    """
    problems = []
    for listener in desired.listeners:
        problems += _listener(before.listener(listener.address), listener, found.listener(listener.address))
    wanted = {listener.address for listener in desired.listeners}
    problems += [
        "listener %s would be there all the same" % listener.address
        for listener in found.listeners
        if listener.address not in wanted and before.listener(listener.address) is not None
    ]
    for name in ("inbound", "outbound"):
        value, got = getattr(desired.starttls, name), getattr(found.starttls, name)
        if value is not None and value != got and value != getattr(before.starttls, name):
            problems.append("starttls %s: wanted %s, would be %s" % (name, value, got))
    if desired.relay != before.relay and desired.relay != found.relay:
        problems.append("the relay host would not be %s" % (desired.relay.host if desired.relay else "gone"))
    problems += _rules(before.rules, desired.rules, found.rules)
    more = len(problems) - _MAX_SHOWN
    return problems[:_MAX_SHOWN] + (["and %d more" % more] if more > 0 else [])


def _listener(before: t.Optional[Listener], wanted: Listener, found: t.Optional[Listener]) -> t.List[str]:
    if found is None:
        return ["listener %s would be missing" % wanted.address]
    problems = []
    for name, value in vars(wanted).items():
        if value is None or (before is not None and value == getattr(before, name)):
            continue
        got = getattr(found, name)
        same = frozenset(value) == frozenset(got or ()) if isinstance(value, tuple) else value == got
        if not same:
            problems.append("listener %s: %s: wanted %s, would be %s" % (wanted.address, name, value, got))
    return problems


def _rules(before: t.Sequence[Rule], wanted: t.Sequence[Rule], found: t.Sequence[Rule]) -> t.List[str]:
    if wanted == found:
        return []
    there = {(slot(rule), rule.enabled, rule.name): rule for rule in found}
    problems = []
    for rule in wanted:
        got = there.pop((slot(rule), rule.enabled, rule.name), None)
        if got is None:
            problems.append("rule %s would be missing" % rule.name)
        elif got != rule and not (rule in before and _follows(rule, got)):
            problems.append("rule %s: wanted %s, would be %s" % (rule.name, rule, got))
    # Connections in clear have some mechanisms or none, whether anybody says so or not.
    problems += ["rule %s would be there all the same" % rule.name for rule in there.values() if rule.name != "auth_plain"]
    return problems


def _follows(rule: Rule, got: Rule) -> bool:
    """Whether a domain whose explanation was not in force gets the one of others: there is one for all."""
    from .inbound import is_untold

    if not isinstance(rule, ForcedTlsDomain) or not isinstance(got, ForcedTlsDomain):
        return False
    return is_untold(rule) and got == replace(rule, reject_message=got.reject_message)
