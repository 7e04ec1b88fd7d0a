# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a rule is in a Postfix: its *slot*, and what it is called when nobody gave it a name.

Postfix has settings and no rules: one set of mechanisms for connections over TLS, one line of a table for a domain. So
each thing that a rule can say has exactly one place, two rules for one place would contradict each other, and an order
means nothing.
"""

from __future__ import annotations

import typing as t

from ..._policy.rule import EVENTS, AuthRule, ForcedTlsDomain, GeneralRule, RelayTlsRule, Rule
from ..._policy.rule_name import forced_domain_rule_name

#: In an event general rules stand behind the typed ones, as everywhere in a policy, but for those of domains.
_KINDS = (AuthRule, RelayTlsRule, GeneralRule, ForcedTlsDomain)


def slot(rule: Rule) -> str:
    """The slot of a rule: ``auth tls``, ``relay``, ``inbound example.com``, ``general submission_587_needs_tls``."""
    if isinstance(rule, AuthRule):
        return "auth " + rule.connection
    if isinstance(rule, RelayTlsRule):
        return "relay"
    if isinstance(rule, ForcedTlsDomain):
        return "%s %s" % (rule.direction, rule.domain)
    return "general " + canonical_name(rule)


def canonical_name(rule: Rule) -> str:
    """What a rule is called here when nobody gave it a name."""
    if isinstance(rule, AuthRule):
        return "auth_" + rule.connection
    if isinstance(rule, RelayTlsRule):
        return "relay_tls"
    if isinstance(rule, ForcedTlsDomain):
        return forced_domain_rule_name(rule.domain, rule.direction, not rule.forces)
    if isinstance(rule, GeneralRule):
        # Most servers have none, and a module's code is compiled anew in each task.
        from .submission import canonical_name as of_general

        return of_general(rule) or rule.name
    return rule.name


def in_order(rules: t.Iterable[Rule]) -> t.Tuple[Rule, ...]:
    """Rules in the one order that they have here: by event, kind and slot, those that are off behind the others."""

    def key(rule: Rule) -> t.Tuple[int, int, bool, str, str]:
        event = EVENTS.index(rule.event) if rule.event in EVENTS else len(EVENTS)
        kind = next((number for number, one in enumerate(_KINDS) if isinstance(rule, one)), len(_KINDS))
        return event, kind, not rule.enabled, slot(rule), rule.name

    return tuple(sorted(rules, key=key))
