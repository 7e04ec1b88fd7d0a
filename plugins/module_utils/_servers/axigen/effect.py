# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a script means what was asked for: a statement that runs later decides.

Basic settings that cannot hold are an error, rules without effect a warning. What a statement that is not understood
may set, or may keep from running, is not known, and that is said where it matters.
"""

from __future__ import annotations

import typing as t

from ..._policy import level as levels
from ..._policy.errors import PolicyError
from ..._policy.policy import Policy
from ..._policy.rule import AuthRule, ForcedTlsDomain, OpaqueRule, RelayTlsRule, Rule
from . import script as language
from .relay_host import lines
from .rule_forms import STARTTLS, VERSIONS
from .rules import EVENT_NAMES, RELAY_PLACE, STARTTLS_PLACES, Executed, RuleReader

#: Names in a message; more are counted.
_MAX_NAMES = 3

# --- settings that cannot hold --------------------------------------------------------------------


def check(reader: RuleReader, before: Policy, desired: Policy) -> None:
    """The new script must mean what was asked. Raises ``PolicyError`` with the rule that stands behind a setting."""
    uncarried = language.uncarried(reader.script.text)
    if uncarried is not None:
        raise PolicyError(
            "the policy script cannot be written: line %d of the new one has %s, so that the admin interface cannot "
            "carry it; change that line in WebAdmin" % uncarried
        )
    _check_rules(reader.rules(), desired.rules)
    _check_starttls(reader, desired)
    _check_opportunistic(reader, before, desired)
    if desired.relay != before.relay:
        _check_relay(reader, desired)


def _check_rules(found: t.Sequence[Rule], desired: t.Sequence[Rule]) -> None:
    """What was asked for must be what will be read: what is in the way is better known before than after writing."""
    present = {rule.name.lower(): rule for rule in found}
    for rule in desired:
        if not isinstance(rule, OpaqueRule) and present.get(rule.name.lower()) != rule:
            raise PolicyError("rule %s cannot be written so that it is understood again" % rule.name)
    for event in EVENT_NAMES:
        calls = [[r.name.lower() for r in rules if r.event == event and r.enabled] for rules in (found, desired)]
        if calls[0] != calls[1]:
            raise PolicyError(
                "the rules of event %s cannot be brought into this order: %s"
                % (EVENT_NAMES[event], ", ".join(r.name for r in desired if r.event == event and r.enabled))
            )


def _check_starttls(reader: RuleReader, desired: Policy) -> None:
    starttls, _notes = reader.starttls()
    for direction, (event, method) in STARTTLS_PLACES.items():
        wanted = getattr(desired.starttls, direction)
        if wanted is not None and getattr(starttls, direction) != wanted:
            where = reader.last_setter(event, STARTTLS)
            why = "nothing sets %s any more" % STARTTLS
            if where:
                why = "%s sets %s behind it; change or remove that rule" % (where, STARTTLS)
            value = "yes" if wanted else "no"
            raise PolicyError("STARTTLS %s cannot be set to %s in %s: %s" % (direction, value, method, why))


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
    names = [variable.lower() for variable, _value in lines(desired.relay, reader.dialect)]
    if found == desired.relay and not reader.settled(RELAY_PLACE[0], names).doubts:
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
    auth, rcpt, relay = (list(reader.executed(name)) for name in EVENT_NAMES.values())
    found = _overridden_auth(desired) + _overruled_auth(reader, desired, auth)
    found += _overruled_inbound(reader, desired, rcpt) + _overridden_relay(reader, relay)
    for event, statements in zip(EVENT_NAMES, (auth, rcpt, relay)):
        found += _not_reached(reader, event, desired, statements)
    return found + _lowered(desired) + _not_met(desired)


def _overridden_auth(desired: Policy) -> t.List[str]:
    rules_now = [rule for rule in desired.rules if isinstance(rule, AuthRule) and rule.enabled]
    deciding = {rule.connection: rule for rule in rules_now}
    return [
        "rule %s has no effect: rule %s stands behind it and decides about %s connections"
        % (rule.name, deciding[rule.connection].name, rule.connection)
        for rule in rules_now
        if deciding[rule.connection] is not rule
    ]


def _overruled_auth(reader: RuleReader, desired: Policy, statements: t.Sequence[Executed]) -> t.List[str]:
    """Authentication rules behind which something that is no rule of ours decides about the same variable."""
    found: t.List[str] = []
    dialect = reader.dialect
    deciding = {rule.connection: rule for rule in desired.rules if isinstance(rule, AuthRule) and rule.enabled}
    for connection, variable in (("plain", dialect.plain_auth_var), ("tls", dialect.tls_auth_var)):
        rule = deciding.get(connection)
        last = _last(reader, variable, statements) if rule is not None else None
        if rule is None or last is None or last[0].lower() == rule.name.lower():
            continue
        where, value = last
        if value is None:
            found.append("rule %s may have no effect: %s" % (rule.name, _unsure(where, variable)))
        elif set(dialect.mechanisms_from_script(value) or ()) != set(rule.mechanisms):
            found.append("rule %s has no effect: %s stands behind it and sets %s" % (rule.name, where, variable))
    return found


def _overruled_inbound(reader: RuleReader, desired: Policy, statements: t.Sequence[Executed]) -> t.List[str]:
    """Inbound domains behind which something takes their rejection back, whatever the domain."""
    last = _last(reader, "smtpAction", statements)
    if last is None or (last[1] is not None and last[1].strip().lower() == "reject"):
        return []
    inbound = {rule.name.lower(): rule.name for rule in desired.rules if _is_inbound(rule) and rule.enabled}
    places = [where.lower() for where, _statement in statements]
    end = len(places) - places[::-1].index(last[0].lower())
    names = [inbound[where] for where in dict.fromkeys(places[:end]) if where in inbound]
    if not names:
        return []
    if last[1] is None:
        return ["%s may have no effect: %s" % (_named(names), _unsure(last[0], "smtpAction"))]
    return ["%s without effect: %s stands behind and sets smtpAction to %s" % (_named(names), last[0], last[1].strip())]


def _not_reached(reader: RuleReader, event: str, desired: Policy, statements: t.Sequence[Executed]) -> t.List[str]:
    """Rules that stand behind a statement which is not understood and may end the event."""
    ours = {
        rule.name.lower(): rule.name
        for rule in desired.rules
        if rule.event == event and rule.enabled and not isinstance(rule, OpaqueRule)
    }
    end = ""
    names: t.Dict[str, None] = {}
    for where, statement in statements:
        if end and where.lower() in ours:
            names[ours[where.lower()]] = None
        elif not end and not isinstance(statement, language.Set) and reader.reach.may_end(statement):
            end = where
    if not names:
        return []
    return [
        "%s may not run: a statement in %s, which stands in front, is not understood and may end event %s"
        % (_named(list(names)), end, EVENT_NAMES[event])
    ]


def _last(
    reader: RuleReader, variable: str, statements: t.Sequence[Executed]
) -> t.Optional[t.Tuple[str, t.Optional[str]]]:
    """Who sets a variable last without a condition, and to what; None for what is not understood."""
    key = variable.lower()
    for where, statement in reversed(statements):
        if isinstance(statement, language.Set) and statement.variable.lower() == key:
            return where, statement.value
        if isinstance(statement, language.Unknown) and key in reader.reach.variables(statement):
            return where, None
    return None


def _unsure(where: str, variable: str) -> str:
    return "a statement in %s, which stands behind, is not understood and may set %s" % (where, variable)


def _named(names: t.Sequence[str]) -> str:
    more = " and %d more" % (len(names) - _MAX_NAMES) if len(names) > _MAX_NAMES else ""
    return "%s %s%s" % ("rule" if len(names) == 1 else "rules", ", ".join(names[:_MAX_NAMES]), more)


#: Who sets a variable, and to what; None for what is not understood.
_Behind = t.Dict[str, t.Tuple[str, t.Optional[str]]]


def _overridden_relay(reader: RuleReader, statements: t.Sequence[Executed]) -> t.List[str]:
    """Relay rules and outbound domains whose level, versions or names are set to something else further behind."""
    found: t.List[str] = []
    # What stands behind, seen from the end, and the same for single domains.
    general: _Behind = {}
    domains: t.Dict[str, _Behind] = {}
    rules_now = {
        rule.name.lower(): rule
        for rule in reader.rules()
        if rule.enabled and (isinstance(rule, RelayTlsRule) or _is_outbound(rule))
    }
    for where, statement in reversed(statements):
        rule = rules_now.get(where.lower())
        if isinstance(statement, language.Set):
            if isinstance(rule, RelayTlsRule):
                found += _losses(rule.name, statement, (general,), reader)
            general.setdefault(statement.variable.lower(), (where, statement.value))
        elif isinstance(statement, language.Unknown):
            for variable in reader.reach.variables(statement):
                general.setdefault(variable, (where, None))
        elif isinstance(rule, ForcedTlsDomain):
            own = domains.setdefault(rule.domain, {})
            for inner in reversed(statement.body):
                found += _losses(rule.name, inner, (own, general), reader)
                own.setdefault(inner.variable.lower(), (where, inner.value))
    return found[::-1]


def _is_inbound(rule: t.Any) -> bool:
    return isinstance(rule, ForcedTlsDomain) and rule.direction == "inbound"


def _is_outbound(rule: t.Any) -> bool:
    return isinstance(rule, ForcedTlsDomain) and rule.direction == "outbound"


def _losses(name: str, statement: t.Any, behind: t.Iterable[_Behind], reader: RuleReader) -> t.Iterator[str]:
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
        if value is None:
            yield "rule %s: %s perhaps no effect, because %s" % (name, what, _unsure(who, statement.variable))
            return
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
