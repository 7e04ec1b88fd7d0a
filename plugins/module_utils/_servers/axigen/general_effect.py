# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What there is to warn of in general rules: values that something else sets behind them, mail that nobody expects to
be refused, and encryption that the server may not see."""

from __future__ import annotations

import typing as t

from ..._policy.general_rule import BEFORE_STARTTLS
from ..._policy.policy import Policy
from ..._policy.rule import Condition, GeneralRule
from . import script as language


def warnings(
    reader: t.Any, before: Policy, desired: Policy, run: t.Mapping[str, t.Sequence[t.Tuple[str, t.Any]]]
) -> t.List[str]:
    """Warnings about the enabled general rules. ``run``: event -> its statements in order, each with its method."""
    rules = [rule for rule in desired.rules if isinstance(rule, GeneralRule) and rule.enabled]
    present = set(before.rules)
    found: t.List[str] = []
    for event in dict.fromkeys(rule.event for rule in rules):
        found += _overridden({rule.name.lower(): rule for rule in rules if rule.event == event}, run[event])
    for rule in rules:
        if rule not in present:
            found += _far_reaching(rule) + _too_early(rule) + _unseen(rule, reader.dialect)
    return found


def _overridden(
    rules: t.Mapping[str, GeneralRule], statements: t.Sequence[t.Tuple[str, t.Any]]
) -> t.Iterator[str]:
    """Rules of one event whose values are set to something else, whatever holds, further behind."""
    behind: t.Dict[str, t.Tuple[str, str]] = {}
    lost: t.Dict[str, t.Dict[str, t.Tuple[str, str]]] = {}
    for where, statement in reversed(statements):
        key = where.lower()
        inner = statement.body if isinstance(statement, language.If) else (statement,)
        for one in inner if key in rules else ():
            if isinstance(one, language.Set):
                later = behind.get(one.variable.lower())
                if later is not None and later[0].lower() != key and later[1] != one.value:
                    lost.setdefault(key, {})[one.variable] = later
        if isinstance(statement, language.Set):
            behind.setdefault(statement.variable.lower(), (where, statement.value))
    for key, variables in lost.items():
        for variable, (who, _value) in variables.items():
            yield "rule %s: what it sets %s to has no effect, because %s stands behind it and sets %s" % (
                rules[key].name,
                variable,
                who,
                variable,
            )


def _far_reaching(rule: GeneralRule) -> t.List[str]:
    actions = {action.name: action.value for action in rule.actions if action.kind == "set"}
    if rule.conditions or actions.get("smtpAction") not in ("reject", "tmpreject"):
        return []
    return ["rule %s has no conditions: it refuses everything in event %s" % (rule.name, rule.event)]


def _too_early(rule: GeneralRule) -> t.List[str]:
    """Clients are refused for speaking in clear before any of them can have begun TLS with STARTTLS (RFC 3207)."""
    clear = Condition("isSSLConnection", "isCase", "no")
    actions = {action.name: action.value for action in rule.actions if action.kind == "set"}
    if rule.event not in BEFORE_STARTTLS or actions.get("smtpAction") not in ("reject", "tmpreject"):
        return []
    if clear not in rule.conditions:
        return []
    return [
        "rule %s refuses connections in clear in event %s, where every client that is going to use STARTTLS still speaks "
        "in clear; with event: mail it refuses only those that have not" % (rule.name, rule.event)
    ]


def _unseen(rule: GeneralRule, dialect: t.Any) -> t.List[str]:
    if dialect.ssl_after_starttls or all(one.variable != "isSSLConnection" for one in rule.conditions):
        return []
    known = "is no" if dialect.ssl_after_starttls is False else "may be no (nobody has said what this server does)"
    return [
        "rule %s tests isSSLConnection, which %s on a connection behind STARTTLS; look with smtp_probe what the rule "
        "does to mail that comes over TLS" % (rule.name, known)
    ]
