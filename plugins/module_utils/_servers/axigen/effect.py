# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a script means what was asked for: a statement that runs later decides.

Basic settings that cannot hold are an error, rules without effect a warning.
"""

from __future__ import annotations

import typing as t

from ..._policy import level as levels
from ..._policy.errors import PolicyError
from ..._policy.policy import Policy
from ..._policy.rule import AuthRule, ForcedTlsDomain, RelayTlsRule
from . import script as language
from .relay_host import lines
from .rule_forms import STARTTLS, VERSIONS
from .rules import RELAY_PLACE, STARTTLS_PLACES, RuleReader

# --- settings that cannot hold --------------------------------------------------------------------


def check(reader: RuleReader, before: Policy, desired: Policy) -> None:
    """The new script must mean what was asked. Raises ``PolicyError`` with the rule that stands behind a setting."""
    _check_starttls(reader, desired)
    _check_opportunistic(reader, before, desired)
    if desired.relay != before.relay:
        _check_relay(reader, desired)


def _check_starttls(reader: RuleReader, desired: Policy) -> None:
    starttls, _notes = reader.starttls()
    for direction, (event, method) in STARTTLS_PLACES.items():
        wanted = getattr(desired.starttls, direction)
        if wanted is not None and getattr(starttls, direction) != wanted:
            raise PolicyError(
                "STARTTLS %s cannot be set to %s in %s: %s sets %s behind it; change or remove that rule"
                % (direction, "yes" if wanted else "no", method, reader.last_setter(event, STARTTLS), STARTTLS)
            )


def _check_opportunistic(reader: RuleReader, before: Policy, desired: Policy) -> None:
    """STARTTLS outbound off, and something that uses it when it is offered; an old contradiction may stay.

    The stricter of two levels holds, so that may beats none. Levels that force TLS are exceptions on purpose.
    """
    found = _opportunistic(reader, desired)
    if found and found != _opportunistic(reader, before):
        raise PolicyError(
            "STARTTLS outbound is off, and %s (level may) turns it on; set STARTTLS outbound (smtp_policy: "
            "starttls.outbound, smtp_tls: starttls_outbound) to true, or give that another level, or remove it"
            % ", ".join(found)
        )


def _opportunistic(reader: RuleReader, policy: Policy) -> t.List[str]:
    if policy.starttls.outbound is not False:
        return []
    found = ["rule " + r.name for r in policy.rules if isinstance(r, RelayTlsRule) and r.enabled and r.level == "may"]
    relay = policy.relay
    # Where the level has no name it is not written, and the switch of the server alone decides.
    if relay is not None and (relay.level, relay.tls) == ("may", "starttls") and reader.dialect.relay.level_var:
        found.append("the relay host")
    return found


def _check_relay(reader: RuleReader, desired: Policy) -> None:
    found, _notes = reader.relay()
    if found == desired.relay:
        return
    event, method = RELAY_PLACE
    setters: t.Dict[str, str] = {}
    for variable, _value in lines(desired.relay, reader.dialect):
        where = reader.last_setter(event, variable)
        if where and where.lower() != method.lower():
            setters.setdefault(where, variable)
    raise PolicyError(
        "the relay host cannot be %s %s: %s; change or remove %s"
        % (
            "set in" if desired.relay is not None else "removed from",
            method,
            ", ".join("%s sets %s" % pair for pair in setters.items()) or "the script means another one",
            "that rule" if len(setters) < 2 else "those rules",
        )
    )


# --- rules without effect -------------------------------------------------------------------------


def warnings(reader: RuleReader, before: Policy, desired: Policy) -> t.List[str]:
    """Rules that stand in front of others which decide otherwise, if this plan changes any rule or the relay host."""
    if before.rules == desired.rules and before.relay == desired.relay:
        return []
    return _overridden_auth(desired) + _overridden_relay(reader) + _lowered(desired) + _not_met(desired)


def _overridden_auth(desired: Policy) -> t.List[str]:
    rules_now = [rule for rule in desired.rules if isinstance(rule, AuthRule) and rule.enabled]
    deciding = {rule.connection: rule for rule in rules_now}
    return [
        "rule %s has no effect: rule %s stands behind it and decides about %s connections"
        % (rule.name, deciding[rule.connection].name, rule.connection)
        for rule in rules_now
        if deciding[rule.connection] is not rule
    ]


def _overridden_relay(reader: RuleReader) -> t.List[str]:
    """Relay rules and outbound domains whose level, versions or names are set to something else further behind."""
    found: t.List[str] = []
    # What stands behind, seen from the end: variable -> (who, value), and the same for single domains.
    general: t.Dict[str, t.Tuple[str, str]] = {}
    domains: t.Dict[str, t.Dict[str, t.Tuple[str, str]]] = {}
    rules_now = {
        rule.name.lower(): rule
        for rule in reader.rules()
        if rule.enabled and (isinstance(rule, RelayTlsRule) or _is_outbound(rule))
    }
    for where, statement in reversed(list(reader.executed(RELAY_PLACE[0]))):
        rule = rules_now.get(where.lower())
        if isinstance(statement, language.Set):
            if isinstance(rule, RelayTlsRule):
                found += _losses(rule.name, statement, (general,), reader)
            general.setdefault(statement.variable.lower(), (where, statement.value))
        elif isinstance(rule, ForcedTlsDomain):
            own = domains.setdefault(rule.domain, {})
            for inner in reversed(statement.body):
                found += _losses(rule.name, inner, (own, general), reader)
                own.setdefault(inner.variable.lower(), (where, inner.value))
    return found[::-1]


def _is_outbound(rule: t.Any) -> bool:
    return isinstance(rule, ForcedTlsDomain) and rule.direction == "outbound"


def _losses(
    name: str, statement: t.Any, behind: t.Iterable[t.Mapping[str, t.Tuple[str, str]]], reader: RuleReader
) -> t.Iterator[str]:
    names = reader.dialect.relay
    what = {
        VERSIONS.lower(): "its versions have",
        names.ssl_var.lower(): "its level has",
        STARTTLS.lower(): "its level has",
        (names.level_var or "").lower(): "its level has",
        (names.match_var or "").lower(): "its names have",
    }[statement.variable.lower()]
    for later in behind:
        who, value = later.get(statement.variable.lower(), (name, statement.value))
        if sorted(value.lower().split()) != sorted(statement.value.lower().split()):
            reason = "because %s stands behind it and sets %s" % (who, statement.variable)
            yield "rule %s: %s no effect, %s" % (name, what, reason)
            return


def _lowered(desired: Policy) -> t.List[str]:
    """Outbound domains whose level is weaker than that of the relay host, which takes their mail."""
    if desired.relay is None or desired.relay.level not in levels.LEVELS:
        return []
    asked = levels.LEVELS.index(desired.relay.level)
    return [
        "rule %s: mail for %s goes to the relay host at level %s, weaker than the relay host's own level %s"
        % (rule.name, rule.domain, rule.level, desired.relay.level)
        for rule in desired.rules
        if _is_outbound(rule) and rule.enabled and levels.LEVELS.index(rule.level) < asked
    ]


def _not_met(desired: Policy) -> t.List[str]:
    """Outbound domains with names that the relay host, which takes their mail, cannot be expected to have."""
    if desired.relay is None:
        return []
    host = desired.relay.host
    return [
        "rule %s: mail for %s goes to the relay host %s, and waits unless the certificate there is for %s"
        % (rule.name, rule.domain, host, " or ".join(rule.match))
        for rule in desired.rules
        if _is_outbound(rule) and rule.enabled and rule.match and not any(_covers(name, host) for name in rule.match)
    ]


def _covers(name: str, host: str) -> bool:
    return host.endswith(name) if name.startswith(".") else host == name
