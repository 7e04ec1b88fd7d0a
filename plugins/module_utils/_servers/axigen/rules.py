# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of a policy, read from a policy script.

A rule is one method of the script and one ``call`` line in its event. What a method means decides
what rule it is, never its name alone: a method that says exactly what a kind of rule says (see
``rule_forms``) is typed, every other one is opaque.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..._policy.policy import RelayHost, StartTls
from ..._policy.rule import OpaqueRule, RelayTlsRule, Rule
from . import relay_host
from . import script as language
from .rule_forms import STARTTLS, read_rule

#: Script event -> event of the policy, in the order in which a mail transaction meets them.
EVENTS = {
    "onconnect": "connect",
    "onehlo": "ehlo",
    "onmailfrom": "mail",
    "onrcptto": "rcpt",
    "onheadersreceived": "headers",
    "ondatareceived": "data",
    "onrelay": "relay",
}
EVENT_NAMES = {
    "ehlo": "onEhlo",
    "rcpt": "onRcptTo",
    "relay": "onRelay",
}

#: Where WebAdmin keeps "Allow StartTLS" (acceptance) and "Use StartTLS if available" (routing).
STARTTLS_PLACES = {
    "inbound": ("onEhlo", "WA_Acceptance_basic"),
    "outbound": ("onRelay", "WA_Routing_basic"),
}

#: Where WebAdmin keeps the relay host ("outgoing delivery" of the routing page).
RELAY_PLACE = STARTTLS_PLACES["outbound"]

#: Calls inside calls that are followed.
_MAX_DEPTH = 16

#: A statement as it is executed: the method (or event) that it stands in, and itself.
Executed = t.Tuple[str, t.Any]


def is_basic(name: str) -> bool:
    """Whether a method belongs to the server's own basic settings pages."""
    return name.upper().startswith("WA_")


class RuleReader:
    """Reads one script with one dialect."""

    def __init__(self, script: language.Script, dialect: t.Any) -> None:
        self.script = script
        self.dialect = dialect
        self._methods = {block.name.lower(): block for block in reversed(script.methods)}
        self._typed: t.Dict[str, t.Optional[Rule]] = {}
        self._called = self._calling_events()

    # --- rules ----------------------------------------------------------------------------------

    def rules(self) -> t.Tuple[Rule, ...]:
        """All rules: those that an event calls in the order of the calls, then the disabled ones of the event."""
        by_event: t.Dict[str, t.List[Rule]] = {event: [] for event in EVENTS.values()}
        for block in self.script.events:
            event = EVENTS.get(block.name.lower(), block.name)
            group = by_event.setdefault(event, [])
            group += [self._rule(call.method, event) for call in block.statements if isinstance(call, language.Call)]
        idle: t.List[Rule] = []
        for key, block in self._in_file_order():
            if key in self._called:
                continue
            rule = self._read(key)
            if rule is None:
                idle.append(OpaqueRule(block.name, None, enabled=False, basic=is_basic(block.name)))
            else:
                by_event[rule.event or ""].append(replace(rule, enabled=False))
        return tuple(rule for group in by_event.values() for rule in group) + tuple(idle)

    def _calling_events(self) -> t.Dict[str, t.Set[str]]:
        """Methods (lower case) that something calls: the policy's events that do, "" for another method."""
        called: t.Dict[str, t.Set[str]] = {}
        for block in self.script.events:
            event = EVENTS.get(block.name.lower(), block.name)
            for statement in block.statements:
                if isinstance(statement, language.Call):
                    called.setdefault(statement.method.lower(), set()).add(event)
                else:
                    self._note_nested((statement,), called)
        for block in self.script.methods:
            self._note_nested(block.statements, called)
        return called

    def _note_nested(self, statements: t.Sequence[t.Any], called: t.Dict[str, t.Set[str]]) -> None:
        for statement in statements:
            if isinstance(statement, language.Call):
                called.setdefault(statement.method.lower(), set()).add("")
            elif isinstance(statement, language.If):
                self._note_nested(statement.body, called)

    def _in_file_order(self) -> t.Iterator[t.Tuple[str, t.Any]]:
        for block in self.script.methods:
            if self._methods[block.name.lower()] is block:
                yield block.name.lower(), block

    def _rule(self, name: str, event: str) -> Rule:
        """The rule that a call in an event is. A method that is called from elsewhere too is nobody's to change."""
        rule = self._read(name.lower())
        if rule is None or rule.event != event or self._called[name.lower()] != {event}:
            block = self._methods.get(name.lower())
            return OpaqueRule(block.name if block else name, event, basic=is_basic(name))
        return rule

    def _read(self, key: str) -> t.Optional[Rule]:
        """The typed rule that a method (lower case) says, as one that is called."""
        if key not in self._typed:
            block = self._methods.get(key)
            basic = block is None or is_basic(key)
            self._typed[key] = None if basic else read_rule(block, True, self.dialect)
        return self._typed[key]

    # --- settings of the whole server -----------------------------------------------------------

    def starttls(self) -> t.Tuple[StartTls, t.Tuple[str, ...]]:
        """What the script decides about STARTTLS in both directions, and notes on what depends on conditions.

        Relay rules are rules of their own: what they say about STARTTLS is not counted here.
        """
        notes: t.List[str] = []
        values: t.Dict[str, t.Optional[bool]] = {}
        for direction, (event, _method) in STARTTLS_PLACES.items():
            value = self.dialect.starttls_default
            for where, statement in self.executed(event, relay_rules=False):
                if isinstance(statement, language.Set) and statement.variable.lower() == STARTTLS.lower():
                    value = statement.value.strip().lower() == "yes"
                elif isinstance(statement, language.If) and _mentions(statement.body, (STARTTLS.lower(),)):
                    notes.append("%s STARTTLS depends on a condition in %s" % (direction, where))
            values[direction] = value
        return StartTls(**values), tuple(notes)

    def relay(self) -> t.Tuple[t.Optional[RelayHost], t.Tuple[str, ...]]:
        """The relay host, None when there is none, and notes on what depends on conditions."""
        notes: t.List[str] = []
        values: t.Dict[str, str] = {}
        names = {name.lower() for name in relay_host.variables(self.dialect)}
        # The level has conditions by design: rules for single domains.
        telling = names - {(self.dialect.relay.level_var or "").lower()}
        ssl = self.dialect.relay.ssl_var.lower()
        unknown_ssl = ""
        for where, statement in self.executed(RELAY_PLACE[0]):
            if isinstance(statement, language.Set) and statement.variable.lower() in names:
                values[statement.variable.lower()] = statement.value
            elif isinstance(statement, language.Set) and statement.variable.lower() == ssl:
                unknown_ssl = where if self.dialect.relay.ssl is None else ""
            elif isinstance(statement, language.If) and _mentions(statement.body, telling):
                notes.append("the relay host depends on a condition in %s" % where)
        relay = relay_host.read(values, self.dialect)
        if relay is not None and unknown_ssl:
            notes.append(
                "%s sets %s, and it is not known what that does at the relay host (dialect profile %s)"
                % (unknown_ssl, self.dialect.relay.ssl_var, self.dialect.name)
            )
        return relay, tuple(notes)

    def last_setter(self, event: str, variable: str) -> str:
        """The method (or event) whose unconditional ``set`` of a variable comes last, for messages."""
        found = ""
        for where, statement in self.executed(event):
            if isinstance(statement, language.Set) and statement.variable.lower() == variable.lower():
                found = where
        return found

    def calls(self, event: str, method: str) -> bool:
        """Whether an event runs a method, directly or through others."""
        block = self.script.event(event)
        return self._reaches(block.statements if block else (), method.lower(), 0)

    def _reaches(self, statements: t.Sequence[t.Any], key: str, depth: int) -> bool:
        for statement in statements:
            if isinstance(statement, language.Call):
                block = self._methods.get(statement.method.lower())
                if statement.method.lower() == key:
                    return True
                if block is not None and depth < _MAX_DEPTH and self._reaches(block.statements, key, depth + 1):
                    return True
        return False

    def executed(self, event: str, relay_rules: bool = True) -> t.Iterator[Executed]:
        """Statements of an event in the order of execution, calls followed; conditions are yielded and not entered.

        Without ``relay_rules`` the methods of typed relay rules are left out.
        """
        block = self.script.event(event)
        for statement in block.statements if block else ():
            if not relay_rules and isinstance(statement, language.Call):
                if isinstance(self._rule(statement.method, EVENTS[event.lower()]), RelayTlsRule):
                    continue
            yield from self._executed((statement,), event, 0)

    def _executed(self, statements: t.Sequence[t.Any], where: str, depth: int) -> t.Iterator[Executed]:
        for statement in statements:
            if isinstance(statement, language.Call):
                block = self._methods.get(statement.method.lower())
                if block is not None and depth < _MAX_DEPTH:
                    yield from self._executed(block.statements, block.name, depth + 1)
            else:
                yield where, statement


def _mentions(statements: t.Sequence[t.Any], variables: t.Collection[str]) -> bool:
    return any(
        (isinstance(statement, language.Set) and statement.variable.lower() in variables)
        or (isinstance(statement, language.If) and _mentions(statement.body, variables))
        for statement in statements
    )
