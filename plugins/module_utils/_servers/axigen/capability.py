# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a server cannot hold is refused by name, before anything is written, and never made weaker.

Only what a plan adds or changes is looked at: what stands there already is the server's own business.
"""

from __future__ import annotations

import typing as t

from ..._policy.errors import PolicyError
from ..._policy.level import strength
from ..._policy.policy import Policy
from ..._policy.rule import (
    EVERY_DOMAIN,
    AuthRule,
    ForcedTlsDomain,
    ForcedTlsGroup,
    GeneralRule,
    OpaqueRule,
    RelayTlsRule,
    Rule,
)
from ..base import NotSupported, together
from . import relay_host, rule_forms


#: Domains in a message; more are counted.
_MAX_NAMES = 3

#: Refusals for names that are not known; each is a paragraph, and more of them say nothing new.
_MAX_UNKNOWN = 20


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
            if not found and len(unknown) < _MAX_UNKNOWN and written.get(rule.name.lower()) != rule_forms.content(rule):
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
    from . import domain_writing

    try:
        if isinstance(rule, (ForcedTlsDomain, ForcedTlsGroup)):
            domain_writing.check_names(rule, dialect)
        else:
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
    elif isinstance(rule, RelayTlsRule):
        strict = strength(rule.level) > strength("encrypt") and dialect.relay.level_var is not None
        if strict and rule.level not in dialect.relay.levels:
            from .refusals import no_level

            yield no_level(rule, dialect)
    elif isinstance(rule, (ForcedTlsDomain, ForcedTlsGroup)):
        yield from _domain_problems(rule, dialect, local_domains)


def _domain_problems(
    rule: t.Union[ForcedTlsDomain, ForcedTlsGroup], dialect: t.Any, local_domains: t.Collection[str]
) -> t.Iterator[str]:
    domains = rule.domains if isinstance(rule, ForcedTlsGroup) else (rule.domain,)
    if rule.direction == "inbound":
        # Groups are never exceptions.
        if rule.enabled and dialect.ssl_after_starttls is False and (isinstance(rule, ForcedTlsGroup) or rule.forces):
            yield (
                "rule %s: on this server a connection behind STARTTLS does not count as encrypted "
                "(encrypted_after_starttls: false in dialect_profile), so that mail for %s would be refused over TLS too"
                % (rule.name, _some(domains))
            )
        return
    # Where not even the variable is known there is more to say than which levels there are.
    if dialect.relay.level_var is not None and rule.level not in dialect.relay.levels:
        from .refusals import no_level

        yield no_level(rule, dialect)
    if rule.level == "none" and rule.versions is not None:
        yield "rule %s: level none is clear text, which has no protocol versions; leave versions out" % rule.name
    own = [domain for domain in domains if domain in local_domains] if rule.enabled else []
    if own:
        yield (
            "rule %s: %s is a domain of this server, so mail for it is delivered here and never sent to another "
            "host; direction: inbound is what forces TLS for mail that arrives for it" % (rule.name, _some(own))
        )


def _some(domains: t.Sequence[str]) -> str:
    named = ", ".join("every domain" if domain == EVERY_DOMAIN else domain for domain in domains[:_MAX_NAMES])
    return named + (" and %d more" % (len(domains) - _MAX_NAMES) if len(domains) > _MAX_NAMES else "")
