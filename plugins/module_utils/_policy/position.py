# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a rule stands among the rules of its event."""

from __future__ import annotations

import typing as t

from .errors import PolicyError
from .rule import ForcedTlsDomain, ForcedTlsGroup, OpaqueRule, RelayTlsRule, Rule
from .rule_table import RuleTable, basic_count

#: ``"first"``, ``"last"``, ``{"before": name}``, ``{"after": name}``, or None: keep the place; a new rule comes last,
#: a relay TLS rule before the rules of single domains.
Position = t.Union[None, str, t.Mapping[str, str]]


def place(table: RuleTable, name: str, position: Position, placed: bool) -> None:
    """Move one rule of the table to a position among the rules of its event. Raises :class:`PolicyError`.

    A rule that was ``placed`` before only moves when it stands on the wrong side; a new one comes right beside its
    anchor.
    """
    rule = t.cast(Rule, table.find(name))
    if position is None:
        if isinstance(rule, RelayTlsRule) and not placed:
            table.move(name, general_end(_others(table, rule)))
    elif position == "first":
        table.move(name, basic_count(_others(table, rule)))
    elif position == "last":
        table.move(name, len(_others(table, rule)))
    elif isinstance(position, t.Mapping) and len(position) == 1 and set(position) <= {"before", "after"}:
        ((side, anchor_name),) = position.items()
        _place_beside(table, rule, side, anchor_name, placed)
    else:
        raise PolicyError('position must be "first", "last", {"before": name} or {"after": name}; got %r' % (position,))


def general_end(rules: t.Sequence[Rule]) -> int:
    """Where a rule for all mail comes that has no place yet: before those of single domains, which decide after it."""
    for index, rule in enumerate(rules):
        if isinstance(rule, (ForcedTlsDomain, ForcedTlsGroup)) and rule.enabled:
            return max(index, basic_count(rules))
    return len(rules)


def _others(table: RuleTable, rule: Rule) -> t.List[Rule]:
    return [other for other in table.group(rule.event) if other.name.lower() != rule.name.lower()]


def _place_beside(table: RuleTable, rule: Rule, side: str, anchor_name: str, placed: bool) -> None:
    wish = "rule %s cannot be placed %s %s" % (rule.name, side, anchor_name)
    anchor = table.find(anchor_name)
    if anchor is None:
        names = [other.name for other in _others(table, rule)]
        there = "rules there are %s" % ", ".join(names[:20]) if names else "there is no other rule"
        raise PolicyError("%s, which does not exist; %s" % (wish, there))
    if anchor.name.lower() == rule.name.lower():
        raise PolicyError("%s: a rule has no place relative to itself" % wish)
    if not rule.enabled:
        return  # No event calls it: it has no place, and the event that it belongs to may be another one next time.
    if anchor.event != rule.event:
        where = "is called by no event" if anchor.event is None else "belongs to another event (%s)" % anchor.event
        raise PolicyError("%s, which %s; order exists inside one event only (%s)" % (wish, where, rule.event))
    if side == "before" and isinstance(anchor, OpaqueRule) and anchor.basic:
        raise PolicyError("%s, which belongs to the server's basic settings; those stand before all rules" % wish)
    if not anchor.enabled:
        return  # Where a disabled rule stands is not known: the server does not call it.
    names = [other.name.lower() for other in table.group(rule.event)]
    index, beside = names.index(rule.name.lower()), names.index(anchor.name.lower())
    if placed and ((index < beside) if side == "before" else (index > beside)):
        return
    names = [name for name in names if name != rule.name.lower()]
    table.move(rule.name, names.index(anchor.name.lower()) + (side == "after"))
