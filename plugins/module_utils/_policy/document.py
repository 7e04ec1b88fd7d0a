# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A policy as plain data, for people: in the diff, in results, in ``smtp_info``.

The same policy always gives the same data. What has no order (listeners, domains) is sorted; what has one
(authentication rules) is shown in it, and disabled rules come behind, by name, because they have no place.
"""

from __future__ import annotations

import typing as t
from dataclasses import fields

from .policy import Listener, Policy, StartTls
from .rule import AuthRule, ForcedTlsDomain, OpaqueRule, Rule


def policy_document(policy: Policy) -> t.Dict[str, t.Any]:
    """The whole policy. ``rule_order`` holds the names of all enabled rules of the authentication rules' event."""
    return {
        "listeners": [listener_document(listener) for listener in policy.listeners],
        "starttls": starttls_document(policy.starttls),
        "auth_rules": [rule_document(rule) for rule in _in_order(policy, AuthRule)],
        "forced_tls_domains": forced_domain_documents(policy, None),
        "other_rules": [rule_document(rule) for rule in policy.rules if isinstance(rule, OpaqueRule)],
        "rule_order": {AuthRule.event: _order(policy, AuthRule.event)},
    }


def listener_document(listener: Listener) -> t.Dict[str, t.Any]:
    """All fields of a listener; sets as lists, None for what is not known."""
    return {field.name: _plain(getattr(listener, field.name)) for field in fields(Listener)}


def starttls_document(starttls: StartTls) -> t.Dict[str, t.Optional[bool]]:
    """Both directions of STARTTLS."""
    return {"inbound": starttls.inbound, "outbound": starttls.outbound}


def rule_document(rule: t.Optional[Rule]) -> t.Dict[str, t.Any]:
    """One rule; empty for None."""
    if rule is None:
        return {}
    if isinstance(rule, AuthRule):
        return {
            "name": rule.name,
            "connection": rule.connection,
            "mechanisms": list(rule.mechanisms),
            "enabled": rule.enabled,
        }
    if isinstance(rule, ForcedTlsDomain):
        return {
            "domain": rule.domain,
            "direction": rule.direction,
            "reject_message": rule.reject_message,
            "name": rule.name,
            "enabled": rule.enabled,
        }
    return {"name": rule.name, "event": rule.event, "enabled": rule.enabled}


def rule_order(policy: Policy, event: str, name: str) -> t.Dict[str, t.Any]:
    """One rule and the names of all enabled rules of its event in order: what an edit of that rule can change."""
    return {"rule": rule_document(policy.rule(name)), "order": _order(policy, event)}


def forced_domain_documents(policy: Policy, domains: t.Optional[t.Collection[str]]) -> t.List[t.Dict[str, t.Any]]:
    """The rules for these canonical domains (None = all), sorted by domain."""
    found = [
        rule
        for rule in policy.rules
        if isinstance(rule, ForcedTlsDomain) and (domains is None or rule.domain in domains)
    ]
    return [rule_document(rule) for rule in sorted(found, key=lambda rule: (rule.domain, rule.direction, rule.name))]


def _plain(value: t.Any) -> t.Any:
    return list(value) if isinstance(value, tuple) else value


def _order(policy: Policy, event: str) -> t.List[str]:
    return [rule.name for rule in policy.rules if rule.event == event and rule.enabled]


def _in_order(policy: Policy, kind: t.Type[Rule]) -> t.List[Rule]:
    rules = [rule for rule in policy.rules if isinstance(rule, kind)]
    idle = sorted((rule for rule in rules if not rule.enabled), key=lambda rule: rule.name.lower())
    return [rule for rule in rules if rule.enabled] + idle
