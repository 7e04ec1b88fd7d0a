# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a server cannot hold is refused by name, before anything is written, and never made weaker.

Only what a plan adds or changes is looked at: what stands there already is the server's own business.
"""

from __future__ import annotations

import typing as t

from ..._policy import level as levels
from ..._policy.errors import PolicyError
from ..._policy.policy import Policy
from ..._policy.rule import AuthRule, ForcedTlsDomain, GeneralRule, OpaqueRule, Rule
from ..base import NotSupported, together
from . import relay_host, rule_forms


def check(before: Policy, desired: Policy, dialect: t.Any, local_domains: t.Collection[str]) -> None:
    """Refuse new or changed rules and a relay host that the server cannot hold.

    ``local_domains`` are canonical. Raises ``PolicyError`` with all problems, :class:`NotSupported` with all names that
    are not known.
    """
    problems: t.List[str] = []
    unknown: t.List[NotSupported] = []
    if desired.rules != before.rules:
        present = set(before.rules)
        written = {rule.name.lower(): rule_forms.content(rule) for rule in before.rules}
        for rule in desired.rules:
            if rule in present or isinstance(rule, OpaqueRule):
                continue
            found = list(_problems(rule, dialect, local_domains))
            problems += found
            # One that stands there and is only called anew needs no name.
            if not found and written.get(rule.name.lower()) != rule_forms.content(rule):
                unknown += _unknown_names(rule, dialect)
    if desired.relay is not None and desired.relay != before.relay:
        try:
            problems += relay_host.problems(desired.relay, dialect)
        except NotSupported as refusal:
            unknown.append(refusal)
    if problems:
        raise PolicyError(*problems, *map(str, unknown))
    if unknown:
        raise together(unknown)


def _unknown_names(rule: Rule, dialect: t.Any) -> t.Iterator[NotSupported]:
    try:
        rule_forms.statements(rule, dialect)
    except NotSupported as refusal:
        yield refusal


def _problems(rule: Rule, dialect: t.Any, local_domains: t.Collection[str]) -> t.Iterator[str]:
    if isinstance(rule, AuthRule):
        missing = sorted(set(rule.mechanisms) - set(dialect.mechanisms))
        if missing and dialect.verified:
            yield "rule %s: this server has no mechanism %s; it has %s" % (
                rule.name,
                ", ".join(missing),
                ", ".join(dialect.mechanisms),
            )
        elif missing:
            yield (
                'rule %s: the dialect profile "%s" has no known script name for mechanism %s; it has %s. The playbook '
                "securemail.smtp.learn finds it (key mechanisms of dialect_profile) when a sample rule has it"
                % (rule.name, dialect.name, ", ".join(missing), ", ".join(dialect.mechanisms) or "none")
            )
    elif isinstance(rule, GeneralRule):
        from .general_forms import problems

        yield from problems(rule, dialect)
    elif isinstance(rule, ForcedTlsDomain) and rule.direction == "inbound":
        if rule.enabled and dialect.ssl_after_starttls is False:
            yield (
                "rule %s: on this server a connection behind STARTTLS does not count as encrypted "
                "(encrypted_after_starttls: false in dialect_profile), so that mail for %s would be refused over TLS too"
                % (rule.name, rule.domain)
            )
    elif isinstance(rule, ForcedTlsDomain):
        # Where not even the variable is known there is more to say than which levels there are.
        if dialect.relay.level_var is not None and rule.level not in dialect.relay.levels:
            there = ", ".join(level for level in dialect.relay.levels if levels.forces(level))
            yield "rule %s: this server has no TLS level %s; it has %s" % (rule.name, rule.level, there)
        if rule.enabled and rule.domain in local_domains:
            yield (
                "rule %s: %s is a domain of this server, so mail for it is delivered here and never sent to another "
                "host; direction: inbound is what forces TLS for mail that arrives for it" % (rule.name, rule.domain)
            )
