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
from .rule import EVENTS, AuthRule, ForcedTlsDomain, ForcedTlsGroup, GeneralRule, OpaqueRule, RelayTlsRule, Rule


def policy_document(policy: Policy) -> t.Dict[str, t.Any]:
    """The whole policy. ``rule_order`` holds the names of all enabled rules of the events in which order matters."""
    return {
        "listeners": [listener_document(listener) for listener in policy.listeners],
        "starttls": starttls_document(policy.starttls),
        "relay": relay_document(policy.relay),
        "auth_rules": [rule_document(rule) for rule in _in_order(policy, AuthRule)],
        "relay_tls": [rule_document(rule) for rule in _in_order(policy, RelayTlsRule)],
        "rules": [rule_document(rule) for rule in _in_order(policy, GeneralRule)],
        "forced_tls_domains": forced_domain_documents(policy, None),
        "other_rules": [rule_document(rule) for rule in policy.rules if isinstance(rule, OpaqueRule)],
        "rule_order": rule_orders(policy),
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
            "versions": list(rule.versions or ()),
            "match": list(rule.match or ()),
            "fingerprints": list(rule.fingerprints or ()),
            "enabled": rule.enabled,
        }
    if isinstance(rule, ForcedTlsDomain):
        return _domain_document(rule, "method")
    if isinstance(rule, ForcedTlsGroup):
        shown = _domain_document(next(rule.members()), "compact")
        del shown["domain"], shown["reason"], shown["until"]
        return dict(shown, domains=list(rule.domains), reject_message=rule.reject_message)
    if isinstance(rule, GeneralRule):
        # Few servers have any, and a module's code is compiled anew in each task.
        from .general_rule import general_document

        return general_document(rule)
    return {"name": rule.name, "event": rule.event, "enabled": rule.enabled}


def rule_order(policy: Policy, event: str, name: str) -> t.Dict[str, t.Any]:
    """One rule and the names of all enabled rules of its event in order: what an edit of that rule can change."""
    return {"rule": rule_document(policy.rule(name)), "order": _order(policy, event)}


def rule_place(policy: Policy, name: str) -> t.Dict[str, t.Any]:
    """The enabled rules next to one, without the rest of its event, which may be long: names, None where there is none."""
    rule = policy.rule(name)
    order = _order(policy, rule.event) if rule is not None and rule.enabled and rule.event else []
    keys = [one.lower() for one in order]
    index = keys.index(name.lower()) if name.lower() in keys else -1
    behind = order[index + 1] if 0 <= index < len(order) - 1 else None
    return {"after": order[index - 1] if index > 0 else None, "before": behind}


def forced_domain_documents(policy: Policy, domains: t.Optional[t.Collection[str]]) -> t.List[t.Dict[str, t.Any]]:
    """The rules for these canonical domains (None = all), sorted by domain; those of a group one by one."""
    found = []
    for rule in policy.rules:
        if isinstance(rule, ForcedTlsDomain):
            if domains is None or rule.domain in domains:
                found.append(_domain_document(rule, "method"))
        elif isinstance(rule, ForcedTlsGroup):
            members = [domain for domain in rule.domains if domains is None or domain in domains]
            found += [_domain_document(rule.member(domain), "compact") for domain in members]
    return sorted(found, key=lambda entry: (entry["domain"], entry["direction"], entry["name"]))


def _domain_document(rule: ForcedTlsDomain, form: str) -> t.Dict[str, t.Any]:
    return {
        "domain": rule.domain,
        "direction": rule.direction,
        "level": rule.level,
        "reject_message": rule.reject_message,
        "versions": _said(rule, rule.versions),
        "match": _said(rule, rule.match),
        "fingerprints": _said(rule, rule.fingerprints),
        "reason": rule.reason,
        "until": rule.until,
        "form": form,
        "name": rule.name,
        "enabled": rule.enabled,
    }


def rule_orders(policy: Policy) -> t.Dict[str, t.List[str]]:
    """The names of all enabled rules of the events in which order matters."""
    return {event: _order(policy, event) for event in _ordered_events(policy)}


def _plain(value: t.Any) -> t.Any:
    return list(value) if isinstance(value, tuple) else value


def _said(rule: ForcedTlsDomain, values: t.Optional[t.Tuple[str, ...]]) -> t.Optional[t.List[str]]:
    """What an outbound rule names; an empty list for nothing, which whoever asks for the same gets then."""
    return list(values or ()) if rule.direction == "outbound" else _plain(values)


def _ordered_events(policy: Policy) -> t.List[str]:
    """The events in which order matters: not one that has rules for whole domains only."""
    events = {AuthRule.event, RelayTlsRule.event}
    for rule in policy.rules:
        wide = isinstance(rule, ForcedTlsDomain) and rule.domain[0] in ".*"
        if rule.enabled and rule.event is not None and (wide or isinstance(rule, GeneralRule)):
            events.add(rule.event)
    return [event for event in EVENTS if event in events]


def _order(policy: Policy, event: str) -> t.List[str]:
    return [rule.name for rule in policy.rules if rule.event == event and rule.enabled]


def _in_order(policy: Policy, kind: t.Type[Rule]) -> t.List[Rule]:
    rules = [rule for rule in policy.rules if isinstance(rule, kind)]
    idle = sorted((rule for rule in rules if not rule.enabled), key=lambda rule: rule.name.lower())
    return [rule for rule in rules if rule.enabled] + idle
