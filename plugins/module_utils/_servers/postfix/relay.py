# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How all mail is sent: the security level of smtp(8) and the versions that it speaks (TLS_README, postconf(5)).

One rule for all mail is the level in main.cf. Entries of policy tables and options of transports in master.cf come before it;
those that ask for less are told.
"""

from __future__ import annotations

import typing as t

from ..._policy.errors import PolicyError
from ..._policy.policy import Policy, RelayHost
from ..._policy.rule import RelayTlsRule
from . import tls_values
from .configuration import Draft, _State
from .policy_tables import weaker_entries
from .sending_level import LEVEL, MATCHES, PROTOCOLS, items, level, unusable, use_sha256
from .strictest import weaker

_REQUIRED = ("encrypt", "verify", "secure", "fingerprint")

#: What holds at least where a domain's own records decide.
_AT_LEAST = {"dane": "may", "dane-only": "encrypt"}


def read(conf: _State, notes: t.List[str]) -> t.List[RelayTlsRule]:
    """The rule for all mail, where the level is more than STARTTLS if it is offered, or versions are chosen."""
    set_to = level(conf)
    found = _AT_LEAST.get(set_to, set_to)
    chosen = conf.main.get(PROTOCOLS[1] if found in _REQUIRED else PROTOCOLS[0]) is not None
    versions = tls_values.versions_of(conf.value(PROTOCOLS[found in _REQUIRED])) if chosen else None
    if found != set_to:
        notes.append("%s is %s: where a domain publishes records they decide; a rule for all mail says what holds at least" % (LEVEL, set_to))
    if found not in _REQUIRED and not (found == "may" and versions):
        return []
    match: t.Optional[t.Tuple[str, ...]] = None
    fingerprints: t.Optional[t.Tuple[str, ...]] = None
    if found == "fingerprint":
        fingerprints = tuple(sorted(items(conf.value(MATCHES[found]).upper())))
    elif found == "secure" and conf.main.get(MATCHES[found]) is not None:
        match = items(conf.value(MATCHES[found]).lower())
    return [RelayTlsRule("relay_tls", found, versions, match=match, fingerprints=fingerprints)]


def starttls(conf: _State) -> t.Optional[bool]:
    """Whether mail is sent over TLS to hosts that offer it."""
    return level(conf) != "none"


def host(conf: _State, notes: t.List[str]) -> t.Optional[RelayHost]:
    """The host that takes all mail; most have none."""
    if not conf.value("relayhost"):
        return None
    from . import relay_host

    return relay_host.read(conf, notes)


def write(draft: Draft, before: Policy, desired: Policy) -> None:
    """Set the level and the versions, and the relay host. Raises ``PolicyError``."""
    if desired.relay != before.relay:
        from . import relay_host

        relay_host.write(draft, before.relay, desired.relay)
    rule, old = _rule(desired), _rule(before)
    outbound = desired.starttls.outbound
    if rule == old and outbound in (None, before.starttls.outbound):
        return
    if rule is None:
        goal = "none" if outbound is False else level(draft) if level(draft) in _AT_LEAST else "may"
        if old is not None:
            for name in [*PROTOCOLS, *filter(None, [MATCHES.get(old.level)])]:
                draft.unset(name)
            draft.actions.append("take away the rule for all mail that is sent")
    else:
        if outbound is False and before.starttls.outbound is not False:
            raise PolicyError("starttls outbound: false contradicts rule %s, which sends mail over TLS (level %s)" % (rule.name, rule.level))
        _check(draft, rule)
        goal = level(draft) if level(draft) in _AT_LEAST else rule.level
        _set_versions(draft, rule, old)
        draft.actions.append(
            "send mail at level %s%s" % (rule.level, " with %s" % ", ".join(rule.versions) if rule.versions else "")
        )
    if level(draft) != goal:
        draft.set(LEVEL, goal)
        if rule is None:
            draft.actions.append("switch STARTTLS outbound %s" % ("off" if goal == "none" else "on"))
    if rule is not None:
        _look_at_transports(draft, rule)
        _look_at_tables(draft, rule)


def _rule(policy: Policy) -> t.Optional[RelayTlsRule]:
    return next(iter(policy.relay_rules()), None)


def _check(draft: Draft, rule: RelayTlsRule) -> None:
    problem = unusable(draft, rule.level)
    current = level(draft)
    if not problem and current in _AT_LEAST and not weaker(rule.level, current):
        problem = (
            "%s is %s, which level %s would take away from domains that publish records; take it out of main.cf first if that is "
            "meant, or ask for level %s at most" % (LEVEL, current, rule.level, _AT_LEAST[current])
        )
    if problem:
        raise PolicyError("rule %s: %s" % (rule.name, problem))


def _set_versions(draft: Draft, rule: RelayTlsRule, old: t.Optional[RelayTlsRule]) -> None:
    if rule.versions is None:
        if old is not None and old.versions is not None:
            for name in PROTOCOLS:
                draft.unset(name)
    else:
        from .tls_values import knows_ranges

        text = tls_values.protocols(rule.versions, knows_ranges(draft))
        for name in PROTOCOLS:
            if draft.main.get(name) is None or not tls_values.same_protocols(draft.value(name), text):
                draft.set(name, text)
    if rule.level == "fingerprint":
        draft.set(MATCHES["fingerprint"], ", ".join(rule.fingerprints or ()))
        use_sha256(draft)
    elif rule.level == "secure":
        if not rule.match:
            draft.unset(MATCHES["secure"])
        elif set(rule.match) != set(items(draft.value(MATCHES["secure"]).lower())):
            draft.set(MATCHES["secure"], ", ".join(rule.match))


def _look_at_transports(draft: Draft, rule: RelayTlsRule) -> None:
    """Options of transports come before main.cf. Raises ``PolicyError`` for those that ask for less."""
    problems = []
    for service in draft.master.services:
        if service.type != "unix" or service.command != "smtp":
            continue
        own = draft.own(LEVEL, service)
        if own is not None and weaker(own.lower() or "none", rule.level):
            problems.append(
                "master.cf line %d: the transport %s has %s=%s, less than the rule %s asks for; take that option away"
                % (service.option_line(LEVEL), service.name, LEVEL, own, rule.name)
            )
        for name in PROTOCOLS:
            value = draft.own(name, service)
            if value is not None and rule.versions and not set(tls_values.versions_of(value) or ()) <= set(rule.versions):
                problems.append(
                    "master.cf line %d: the transport %s has %s=%s, more than the rule %s allows; take that option away"
                    % (service.option_line(name), service.name, name, value, rule.name)
                )
    if problems:
        raise PolicyError(*problems)


def _look_at_tables(draft: Draft, rule: RelayTlsRule) -> None:
    """Entries of other people's tables that ask for less come before the rule: they are told and left alone."""
    weak = weaker_entries(draft, rule.level)
    if weak:
        shown = ", ".join(weak[:5]) + (" and %d more" % (len(weak) - 5) if len(weak) > 5 else "")
        draft.warnings.append("rule %s does not hold for these entries of smtp_tls_policy_maps, which ask for less: %s" % (rule.name, shown))
