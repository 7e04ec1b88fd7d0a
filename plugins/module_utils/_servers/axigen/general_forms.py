# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""General rules as methods of the policy script, and back.

A method is a general rule when it says documented things only: one condition or none, values for known variables,
calls of the server's own methods. What a rule means must be sure: values that the server may compare in another way
than they look make a method opaque. Names come from the dialect where servers differ.
"""

from __future__ import annotations

import functools
import ipaddress
import typing as t
from dataclasses import replace

from ..._policy import coverage, general_rule
from ..._policy import general_variable as vocabulary
from ..._policy.errors import PolicyError, Problems
from ..._policy.policy import Policy
from ..._policy.rule import EVENTS, Action, Condition, ForcedTlsDomain, GeneralRule, OpaqueRule, Rule
from ..._policy.rule_table import RuleTable
from ..base import NotSupported
from . import script as language

#: Variables in which words count and neither their case nor blanks around them.
_LOOSE = frozenset(("yes_no", "number", "choice", "level", "mechanisms", "versions", "domains", "host", "fingerprints"))

#: Read-only variables that no public document shows in an event; servers whose names are all known have them there.
_RELAYED = frozenset(("authuser", "mailfrom", "mailfromdomain", "rcptdomain", "relaydomain"))
_OWN = frozenset(("mailfrom", "rcptto", "sslversion", "sslcipher", "sslclientverified", "sslclientfingerprint"))


class Names:
    """The script's names of one dialect. None is what it has no known name for."""

    def __init__(self, dialect: t.Any) -> None:
        self.dialect = dialect
        self.variables: t.Dict[str, t.Dict[str, t.Optional[str]]] = {event: self._of(event) for event in EVENTS}
        self._canonical: t.Dict[str, t.Dict[str, str]] = {}
        for event, names in self.variables.items():
            self._canonical[event] = {name.lower(): key for key, name in names.items() if name is not None}

    def _of(self, event: str) -> t.Dict[str, t.Optional[str]]:
        """Canonical name in lower case -> name in the script, in one event."""
        dialect, relay = self.dialect, self.dialect.relay
        names: t.Dict[str, t.Optional[str]] = {key: one.name for key, one in vocabulary.VARIABLES.items()}
        names.update(
            plainconnauthtypes=dialect.plain_auth_var,
            secureconnauthtypes=dialect.tls_auth_var,
            rcptdomain=dialect.rcpt_domain_var,
            relaydomain=relay.domain_var,
            sslenabled=relay.ssl_var,
            tlslevel=relay.level_var if event == "relay" else dialect.inbound_level_var,
            tlsexplanation=dialect.inbound_message_var,
            tlsmatch=relay.match_var,
            tlsfingerprints=relay.fingerprint_var,
            tlsreason=dialect.reason_var,
            tlsuntil=dialect.until_var,
            remotesmtptls=relay.tls_var,
        )
        if not dialect.verified:
            names.update({key: None for key in (*_OWN, *(_RELAYED if event == "relay" else ()))})
        return names

    def canonical(self, event: str, name: str) -> str:
        """The canonical name of a variable in a script. Raises ``KeyError`` for one that is not known."""
        return vocabulary.VARIABLES[self._canonical[event][name.lower()]].name

    def test(self, name: str, variable: str) -> t.Optional[str]:
        """The script's name of a test of a variable (canonical)."""
        if name == "isCase":
            encrypted = self.dialect.encryption_test if variable == "isSSLConnection" else None
            return t.cast(str, encrypted or self.dialect.equals_test)
        if name == "isSubdomainOf":
            return t.cast("t.Optional[str]", self.dialect.subdomain_test)
        return name

    def canonical_test(self, name: str, variable: str) -> str:
        """The canonical name of a test in a script. Raises ``KeyError`` for one that is not known."""
        for known in vocabulary.TESTS:
            if (self.test(known, variable) or "").lower() == name.lower():
                return known
        raise KeyError(name)


_names = functools.lru_cache(maxsize=8)(Names)


# --- reading ------------------------------------------------------------------------------------


def read(block: t.Any, event: t.Optional[str], enabled: bool, dialect: t.Any) -> t.Optional[GeneralRule]:
    """The general rule that a method is when ``event`` calls it, or None.

    ``event`` None: no event does, and the rule belongs to the one in which it would come (``first_event``).
    """
    statements = block.statements
    condition = statements[0] if len(statements) == 1 and isinstance(statements[0], language.If) else None
    body = condition.body if condition is not None else statements
    if not body or not all(isinstance(one, (language.Set, language.Call)) for one in body):
        return None
    names = _names(dialect)
    for place in (event,) if event is not None else EVENTS:
        try:
            said = _read_in(place, condition, body, names)
        except (KeyError, PolicyError, ValueError):
            continue
        if place in said["events"] if event is not None else place == general_rule.first_event(said):
            return GeneralRule(block.name, place, said["match"], said["conditions"], said["actions"], enabled)
    return None


def _read_in(event: str, condition: t.Any, body: t.Sequence[t.Any], names: Names) -> t.Dict[str, t.Any]:
    """What a method says, in canonical form. Raises ``KeyError``, ``PolicyError`` and ``ValueError``."""
    conditions = [_read_test(test, event, names) for test in (condition.tests if condition is not None else ())]
    actions = [_read_action(one, event, names) for one in body]
    match = condition.match if condition is not None else "all"
    return general_rule.content(match, conditions, actions)


def _read_test(test: t.Any, event: str, names: Names) -> t.Dict[str, str]:
    variable = names.canonical(event, test.variable)
    name = names.canonical_test(test.name, variable)
    value = _read_references(test.value, event, names)
    kind = vocabulary.VARIABLES[variable.lower()].kind
    found = vocabulary.tested_value(vocabulary.VARIABLES[variable.lower()], name, value, "value")
    loose = name == "ipRange" or (kind == "number" and name in ("is", "greaterThan"))
    folded = name in ("isCase", "isSubdomainOf") and kind in ("yes_no", "domain") and value.lower() == found
    # Whether another spelling is equal for the server is its secret.
    if not loose and not folded and value != found:
        raise ValueError(value)
    return {"variable": variable, "test": name, "value": found}


def _read_action(statement: t.Any, event: str, names: Names) -> t.Dict[str, str]:
    if isinstance(statement, language.Call):
        return {"call": vocabulary.METHODS[statement.method.lower()][0]}
    variable = names.canonical(event, statement.variable)
    return {"set": variable, "value": _read_value(variable, statement.value, event, names)}


def _read_value(variable: str, value: str, event: str, names: Names) -> str:
    kind = vocabulary.VARIABLES[variable.lower()].kind
    if kind == "mechanisms":
        found = names.dialect.mechanisms_from_script(value)
        if found is None:
            raise ValueError(value)
        return " ".join(found) or "none"
    if kind == "versions":
        words = value.strip("() ").lower().split()
        versions = names.dialect.script_versions(words)
        if {token.lower() for token in names.dialect.script_tokens(versions)} != set(words):
            raise ValueError(value)
        return " ".join(versions)
    if kind in _LOOSE:
        return value.strip()
    return _read_references(value, event, names)


def _read_references(value: str, event: str, names: Names) -> str:
    return vocabulary.with_references(value, lambda name: names.canonical(event, name))


# --- writing ------------------------------------------------------------------------------------


def statements(rule: GeneralRule, dialect: t.Any) -> t.List[t.Any]:
    """The body of the method. Raises :class:`NotSupported` for what has no known name on this server."""
    from .script_edit import new_if, new_set

    names = _names(dialect)
    operation = "write rule %s" % rule.name
    body: t.List[t.Any] = []
    for action in rule.actions:
        if action.kind == "call":
            body.append(language.Call(action.name))
            continue
        body.append(new_set(_name(action.name, rule, names), _written(action, rule, names)))
    if not rule.conditions:
        return body
    tests = []
    for condition in rule.conditions:
        test = names.test(condition.test, condition.variable)
        if test is None:
            raise NotSupported(
                operation,
                'the dialect profile "%s" has no known name for test %s' % (dialect.name, condition.test),
                "The bundled MTA has it. Elsewhere name each domain in a condition of its own, with match: any.",
            )
        tests.append((test, _name(condition.variable, rule, names), _compared(condition, rule, names)))
    return [new_if(rule.match, tests, body)]


def _name(variable: str, rule: GeneralRule, names: Names) -> str:
    """The script's name of a variable. Raises :class:`NotSupported`."""
    found = names.variables[rule.event][variable.lower()]
    if found is not None:
        return found
    operation = "write rule %s" % rule.name
    key = {
        "plainConnAuthTypes": "plain_auth_variable",
        "secureConnAuthTypes": "tls_auth_variable",
        "rcptDomain": "recipient_domain_variable" if rule.event != "relay" else "",
    }.get(variable)
    if key:
        from .refusals import unknown_name

        raise unknown_name(operation, "variable %s" % variable, names.dialect, key)
    raise NotSupported(
        operation,
        'the dialect profile "%s" has no known script name for variable %s in event %s'
        % (names.dialect.name, variable, rule.event),
        "No public document shows that a server of this kind has it there; the bundled MTA has it.",
    )


def _compared(condition: Condition, rule: GeneralRule, names: Names) -> str:
    if condition.test == "ipRange":
        return _ranges(condition.value, rule, names)
    return _references(condition.value, rule, names)


def _ranges(value: str, rule: GeneralRule, names: Names) -> str:
    """Networks as every server is known to take them: one, with a net mask where it is IPv4."""
    if names.dialect.verified:
        return value
    if " " in value:
        raise NotSupported(
            "write rule %s" % rule.name,
            'it is not known whether servers of the dialect profile "%s" take several ranges in one test: %s'
            % (names.dialect.name, value),
            "Give each range a condition of its own, with match: any.",
        )
    if "-" in value or ":" in value:
        return value
    return ipaddress.IPv4Network(value).with_netmask


def _written(action: Action, rule: GeneralRule, names: Names) -> str:
    kind = vocabulary.VARIABLES[action.name.lower()].kind
    dialect = names.dialect
    if kind == "mechanisms":
        words = () if action.value == "none" else action.value.split()
        if not words and dialect.auth_none is None:
            from .refusals import unknown_name

            raise unknown_name("write rule %s" % rule.name, "no authentication", dialect, "no_authentication")
        return t.cast(str, dialect.mechanisms_to_script(words))
    if kind == "versions":
        known = dict(dialect.version_names)
        unknown = [version for version in action.value.split() if version not in known]
        if unknown:
            from .refusals import unknown_name

            what = "the protocol version %s (known are %s)" % (", ".join(unknown), ", ".join(known) or "none")
            raise unknown_name("write rule %s" % rule.name, what, dialect, "script_versions")
        return "".join(token + " " for token in dialect.script_tokens(action.value.split()))
    if kind in ("domains", "fingerprints"):
        return "".join(name + " " for name in action.value.split())
    if kind == "host":
        from ..._policy.address import host_address

        return "[%s]" % action.value if host_address(action.value) else action.value
    return _references(action.value, rule, names)


def _references(value: str, rule: GeneralRule, names: Names) -> str:
    return vocabulary.with_references(value, lambda name: _name(name, rule, names))


# --- what a server has ----------------------------------------------------------------------------


def problems(rule: GeneralRule, dialect: t.Any) -> t.Iterator[str]:
    """What this server cannot hold or does not do, whatever it is called."""
    lacking = {name.lower() for name in dialect.lacks}
    parts = [condition.variable for condition in rule.conditions] + [action.name for action in rule.actions]
    for name in dict.fromkeys(parts):
        if name.lower() in lacking:
            yield "rule %s: this server does not have %s, and the rule would have no effect" % (rule.name, name)
    if rule.event in lacking:
        yield "rule %s: this server has no event %s, so that the rule would never run" % (rule.name, rule.event)
    for action in rule.actions:
        kind = vocabulary.VARIABLES[action.name.lower()].kind if action.kind == "set" else ""
        if kind == "mechanisms" and action.value != "none":
            missing = sorted(set(action.value.split()) - set(dialect.mechanisms))
            if missing:
                yield "rule %s: no mechanism %s is known on this server; it has %s" % (
                    rule.name,
                    ", ".join(missing),
                    ", ".join(dialect.mechanisms) or "none",
                )
        levels = dialect.relay.levels
        if kind == "level" and rule.event == "rcpt" and action.value == "fingerprint":
            yield (
                "rule %s: level fingerprint is for mail that goes out; a client that sends its certificate is known by "
                "sslClientFingerprint in a condition" % rule.name
            )
        if kind == "level" and rule.event == "relay" and levels and action.value not in levels:
            there = ", ".join(levels)
            yield "rule %s: this server has no TLS level %s; it has %s" % (rule.name, action.value, there)
        if action.name == "remoteSmtpHost" and not rule.conditions:
            yield (
                "rule %s: without conditions the relay host is the one for all mail; say it with smtp_policy (relay), "
                "which also knows its credentials and its TLS level" % rule.name
            )


# --- the typed rule that says the same --------------------------------------------------------------


def settled(before: Policy, desired: Policy, dialect: t.Any) -> Policy:
    """The desired policy with each new or changed general rule as the rule that will be read: a typed one, where it
    says exactly what that says."""
    present = set(before.rules)
    if not any(isinstance(rule, GeneralRule) and rule not in present for rule in desired.rules):
        return desired
    old = {rule.name.lower(): rule for rule in before.rules}
    after = tuple(
        _settled(rule, old.get(rule.name.lower()), dialect)
        if isinstance(rule, GeneralRule) and rule not in present
        else rule
        for rule in desired.rules
    )
    rules = after
    if [rule.event for rule in rules] != [rule.event for rule in desired.rules]:
        rules = RuleTable(rules).result()
    _check_exceptions(before, replace(desired, rules=rules), zip(desired.rules, after))
    return replace(desired, rules=rules)


def _check_exceptions(before: Policy, desired: Policy, pairs: t.Iterable[t.Tuple[Rule, Rule]]) -> None:
    """An exception that is said as a general rule has a reason like any other. Raises :class:`PolicyError`.

    ``pairs``: rules as they were asked for, and as they are.
    """
    entries = [
        {"domain": rule.domain, "direction": rule.direction, "label": "rule %s" % rule.name}
        for asked, rule in pairs
        if isinstance(asked, GeneralRule) and isinstance(rule, ForcedTlsDomain) and rule.enabled
    ]
    if entries:
        problems = Problems()
        coverage.check(before, desired, entries, problems)
        problems.raise_any()


def _settled(rule: GeneralRule, current: t.Optional[Rule], dialect: t.Any) -> Rule:
    from . import rule_forms

    try:
        body = statements(rule, dialect)
    except (NotSupported, ValueError):
        return rule  # Refused later, with everything else that is wrong.
    method = _Method(rule.name, tuple(body))
    typed = rule_forms.read_rule(method, rule.enabled, dialect)
    if typed is None and not rule.enabled:
        return read(method, None, False, dialect) or rule
    # A rule that no event calls has only the event that its content says.
    if typed is None or (rule.enabled and typed.event != rule.event):
        return rule
    if current is not None and not isinstance(current, (OpaqueRule, GeneralRule)):
        match = getattr(current, "match", None)
        if match is not None and sorted(match) == sorted(getattr(typed, "match", None) or ()):
            typed = replace(t.cast(t.Any, typed), match=match)  # The same names in another order.
        if rule_forms.content(current) == rule_forms.content(typed):
            return replace(current, enabled=rule.enabled)
    return typed


def view(rule: t.Optional[Rule], dialect: t.Any) -> t.Optional[GeneralRule]:
    """A rule as a general one; None where it is none that can be said so."""
    if rule is None or isinstance(rule, OpaqueRule):
        return None
    if isinstance(rule, GeneralRule):
        return rule
    from . import rule_forms

    try:
        body = rule_forms.statements(rule, dialect)
    except (NotSupported, ValueError):
        return None
    return read(_Method(rule.name, tuple(body)), rule.event, rule.enabled, dialect)


class _Method(t.NamedTuple):
    """A method that stands in no script."""

    name: str
    statements: t.Tuple[t.Any, ...]
