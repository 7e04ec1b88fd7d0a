# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a script means what was asked for: a statement that runs later decides.

Basic settings that cannot hold are an error, rules without effect a warning. What a statement that is not understood
may set, or may keep from running, is not known, and that is said where it matters.
"""

from __future__ import annotations

import typing as t

from ..._policy.errors import PolicyError
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
from . import domain_effect
from . import script as language
from .domain_effect import named, unsure
from .relay_host import lines
from .rule_forms import STARTTLS
from .rules import EVENT_NAMES, LEVELLED, RELAY_PLACE, STARTTLS_PLACES, Executed, RuleReader

# --- settings that cannot hold --------------------------------------------------------------------


def check(reader: RuleReader, before: Policy, desired: Policy, old: t.Optional[RuleReader] = None) -> None:
    """The new script must mean what was asked; ``old`` reads the one before, None: there was none.

    Raises ``PolicyError`` with the rule that stands behind a setting.
    """
    uncarried = language.uncarried(reader.script.text)
    if uncarried is not None:
        raise PolicyError(
            "the policy script cannot be written: line %d of the new one has %s, so that the admin interface cannot "
            "carry it; change that line in WebAdmin" % uncarried
        )
    _check_size(reader, old)
    _check_rules(reader.rules(), desired.rules)
    _check_starttls(reader, desired)
    _check_opportunistic(reader, before, desired)
    domain_effect.check(reader, before, desired, old)
    if desired.relay != before.relay:
        _check_relay(reader, desired)


def _check_size(reader: RuleReader, old: t.Optional[RuleReader]) -> None:
    """What the server would not take is better known before the upload. A long line that was there may stay."""
    dialect, text = reader.dialect, reader.script.text
    octets = text.encode("utf-8", "surrogateescape")
    if dialect.max_script is not None and len(octets) > dialect.max_script:
        raise PolicyError(
            "the policy script cannot be written: it would have %d octets, and this server takes %d at most; many "
            "domains with the same settings need a sixth of it as one rule (form: compact)"
            % (len(octets), dialect.max_script)
        )
    start = 0
    while len(octets) - start > dialect.max_line:
        end = octets.rfind(b"\n", start, start + dialect.max_line + 1)
        if end < 0:
            end = octets.find(b"\n", start)
            end = len(octets) if end < 0 else end
            line = octets[start:end].decode("utf-8", "surrogateescape")
            if old is None or line not in old.script.text:
                place = len(octets[:start].decode("utf-8", "surrogateescape"))
                raise PolicyError(
                    "rule %s cannot be written: line %d of the policy script would have %d octets, and %d are the most "
                    "that is sent to a server of the dialect profile %s; say less in it"
                    % (_method_at(reader, place), text.count("\n", 0, place) + 1, end - start, dialect.max_line, dialect.name)
                )
        start = end + 1


def _method_at(reader: RuleReader, place: int) -> str:
    blocks = reader.script.events + reader.script.methods
    return next((block.name for block in blocks if block.span[0] <= place < block.span[1]), "?")


def _check_rules(found: t.Sequence[Rule], desired: t.Sequence[Rule]) -> None:
    """What was asked for must be what will be read: what is in the way is better known before than after writing."""
    present = {rule.name.lower(): rule for rule in found}
    for rule in desired:
        if not isinstance(rule, OpaqueRule) and present.get(rule.name.lower()) != rule:
            raise PolicyError("rule %s cannot be written so that it is understood again" % rule.name)
    there, wanted = _names(found), _names(desired)
    for event, name in EVENT_NAMES.items():
        names = wanted.get(event, [])
        if [one.lower() for one in there.get(event, [])] != [one.lower() for one in names]:
            raise PolicyError("the rules of event %s cannot be brought into this order: %s" % (name, ", ".join(names)))


def _names(rules: t.Sequence[Rule]) -> t.Dict[t.Optional[str], t.List[str]]:
    """For each event the names of its enabled rules in order."""
    found: t.Dict[t.Optional[str], t.List[str]] = {}
    for rule in rules:
        if rule.enabled:
            found.setdefault(rule.event, []).append(rule.name)
    return found


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
    found = ["rule " + rule.name for rule in policy.rules if rule.enabled and _for_all(rule) and rule.level == "may"]
    relay = policy.relay
    # Where the level has no name it is not written, and the switch of the server alone decides.
    if relay is not None and (relay.level, relay.tls) == ("may", "starttls") and reader.dialect.relay.level_var:
        found.append("the relay host")
    return found


def _for_all(rule: t.Any) -> bool:
    """Whether a rule is about all mail that goes out."""
    if isinstance(rule, ForcedTlsDomain):
        return rule.domain == EVERY_DOMAIN and rule.direction == "outbound"
    return isinstance(rule, RelayTlsRule)


def _check_relay(reader: RuleReader, desired: Policy) -> None:
    found, _notes = reader.relay()
    names = [variable.lower() for variable, _value in lines(desired.relay, reader.dialect)]
    if found == desired.relay and not reader.settled(RELAY_PLACE[0], names, LEVELLED).doubts:
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
    run = {event: list(reader.executed(name, whole=True)) for event, name in EVENT_NAMES.items()}
    found = _overridden_auth(desired) + _overruled_auth(reader, desired, run["ehlo"])
    found += _overruled_inbound(reader, desired, run["rcpt"])
    found += domain_effect.Inbound(reader, run["rcpt"]).warnings()
    found += domain_effect.Outbound(reader, run["relay"], desired).warnings()
    for event, statements in run.items():
        found += _not_reached(reader, event, desired, statements)
    if any(isinstance(rule, GeneralRule) for rule in desired.rules):
        from .general_effect import warnings as general

        found += general(reader, before, desired, run)
    return found


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
            found.append("rule %s may have no effect: %s" % (rule.name, unsure(where, variable)))
        elif set(dialect.mechanisms_from_script(value) or ()) != set(rule.mechanisms):
            found.append("rule %s has no effect: %s stands behind it and sets %s" % (rule.name, where, variable))
    return found


def _overruled_inbound(reader: RuleReader, desired: Policy, statements: t.Sequence[Executed]) -> t.List[str]:
    """Inbound domains behind which something takes their rejection back, whatever the domain or for just this one."""
    found = _accepted(reader, desired, statements)
    last = _last(reader, "smtpAction", statements)
    if last is None or (last[1] is not None and last[1].strip().lower() == "reject"):
        return found
    inbound = {rule.name.lower(): rule.name for rule in desired.rules if rule.enabled and _rejects(rule, reader)}
    places = [where.lower() for where, _statement in statements]
    end = len(places) - places[::-1].index(last[0].lower())
    names = [inbound[where] for where in dict.fromkeys(places[:end]) if where in inbound]
    if not names:
        return found
    if last[1] is None:
        return found + ["%s may have no effect: %s" % (named(names), unsure(last[0], "smtpAction"))]
    why = "%s stands behind and sets smtpAction to %s" % (last[0], last[1].strip())
    return found + ["%s without effect: %s" % (named(names), why)]


def _accepted(reader: RuleReader, desired: Policy, statements: t.Sequence[Executed]) -> t.List[str]:
    """Inbound domains behind which a general rule accepts what they reject; one with further conditions is meant."""
    accepting: t.Dict[str, t.List[GeneralRule]] = {}
    for rule in desired.rules:
        if isinstance(rule, GeneralRule) and rule.enabled and rule.event == "rcpt" and rule.conditions:
            actions = [one.value for one in rule.actions if one.kind == "set" and one.name == "smtpAction"]
            if actions and actions[-1].lower() == "accept":
                for domain in _accepted_domains(rule):
                    accepting.setdefault(domain, []).append(rule)
    if not accepting:
        return []
    places = {where.lower(): place for place, (where, _statement) in enumerate(statements)}
    lost: t.Dict[str, t.List[str]] = {}
    for rule in desired.rules:
        if rule.enabled and _rejects(rule, reader):
            place = places.get(rule.name.lower(), len(places))
            for domain in domain_effect.domains_of(rule):
                for other in accepting.get(domain, []) + accepting.get(EVERY_DOMAIN, []):
                    names = lost.setdefault(other.name, [])
                    if places.get(other.name.lower(), -1) > place and rule.name not in names[-1:]:
                        names.append(rule.name)
    return [
        "%s without effect: rule %s stands behind and sets smtpAction to accept" % (named(names), name)
        for name, names in lost.items()
        if names
    ]


def _accepted_domains(rule: GeneralRule) -> t.List[str]:
    """The domains of which a rule says something whatever else holds of mail in clear; ``*`` for every one."""
    scopes = []
    for one in rule.conditions:
        if one.test == "isCase" and one.variable == "rcptDomain":
            scopes.append(one.value.lower())
        elif one.test == "isCase" and one.variable == "isSSLConnection" and one.value.lower() == "no":
            scopes.append(EVERY_DOMAIN)
        elif rule.match == "all":
            return []
    if rule.match == "any":
        return scopes
    # A recipient has one domain.
    return [scope for scope in scopes if scope != EVERY_DOMAIN][:1] or scopes[:1]


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
        % (named(list(names)), end, EVENT_NAMES[event])
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


def _rejects(rule: t.Any, reader: RuleReader) -> bool:
    """Whether a rule refuses mail by itself; where it sets a level the server does."""
    if isinstance(rule, ForcedTlsGroup):
        return rule.direction == "inbound"
    if not domain_effect.is_domain(rule, "inbound") or not rule.forces:
        return False
    return rule.domain[0] not in ".*" or reader.dialect.inbound_level_var is None
