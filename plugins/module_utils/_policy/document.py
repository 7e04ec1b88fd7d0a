# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A policy as plain data, for people: in the diff, in results, in ``smtp_info``.

The same policy always gives the same data. What has no order (listeners, domains) is sorted; what has one
(authentication rules, relay TLS rules) is shown in it, and disabled rules come behind, by name, because they have no
place. Names are those of the options of ``smtp_policy``, so that what was read can be asked for. No password is in it.
"""

from __future__ import annotations

import typing as t
from dataclasses import fields

from .policy import Listener, Policy, RelayHost, StartTls
from .rule import AuthRule, ForcedTlsDomain, OpaqueRule, RelayTlsRule, Rule


def policy_document(policy: Policy) -> t.Dict[str, t.Any]:
    """The whole policy. ``rule_order`` holds the names of all enabled rules of the events in which order matters."""
    return {
        "listeners": [listener_document(listener) for listener in policy.listeners],
        "starttls": starttls_document(policy.starttls),
        "relay": relay_document(policy.relay),
        "auth_rules": [rule_document(rule) for rule in _in_order(policy, AuthRule)],
        "relay_tls": [rule_document(rule) for rule in _in_order(policy, RelayTlsRule)],
        "forced_tls_domains": forced_domain_documents(policy, None),
        "other_rules": [rule_document(rule) for rule in policy.rules if isinstance(rule, OpaqueRule)],
        "rule_order": {event: _order(policy, event) for event in (AuthRule.event, RelayTlsRule.event)},
    }


def listener_document(listener: Listener) -> t.Dict[str, t.Any]:
    """All fields of a listener; sets as lists, None for what is not known."""
    return {field.name: _plain(getattr(listener, field.name)) for field in fields(Listener)}


def starttls_document(starttls: StartTls) -> t.Dict[str, t.Optional[bool]]:
    """Both directions of STARTTLS."""
    return {"inbound": starttls.inbound, "outbound": starttls.outbound}


def relay_document(relay: t.Optional[RelayHost]) -> t.Optional[t.Dict[str, t.Any]]:
    """The relay host without its password; None when mail goes out as DNS says."""
    if relay is None:
        return None
    return {
        "host": relay.host,
        "port": relay.port,
        "tls": relay.tls,
        "level": relay.level,
        "username": relay.username,
        "allow_clear_text_login": relay.clear_text_login,
    }


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
    if isinstance(rule, RelayTlsRule):
        return {
            "name": rule.name,
            "level": rule.level,
            "versions": _plain(rule.versions),
            "enabled": rule.enabled,
        }
    if isinstance(rule, ForcedTlsDomain):
        return {
            "domain": rule.domain,
            "direction": rule.direction,
            "reject_message": rule.reject_message,
            "level": rule.level,
            "versions": _plain(rule.versions),
            "match": _plain(rule.match),
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
