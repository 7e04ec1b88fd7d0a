# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of a policy, read from a policy script and written into it.

A rule is one method of the script and one ``call`` line in its event. What a method means decides
what rule it is, never its name alone: a method that says exactly what an authentication rule or a
forced-TLS domain says is typed, every other one is opaque. Names of variables come from the dialect.
"""

from __future__ import annotations

import typing as t

from ..._policy.policy import Policy, StartTls
from ..._policy.rule import AuthRule, ForcedTlsDomain, OpaqueRule, Rule
from ..._policy.rule_table import longest_rising
from ..base import NotSupported
from . import script as language
from .script_edit import ScriptEdit, new_if, new_set

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


def is_basic(name: str) -> bool:
    """Whether a method belongs to the server's own basic settings pages."""
    return name.upper().startswith("WA_")


# --- reading ------------------------------------------------------------------------------------


def _sets(statements: t.Sequence[t.Any]) -> t.Optional[t.Dict[str, str]]:
    """The variables (lower case) that a list of plain ``set`` statements gives a value, None for anything else."""
    values: t.Dict[str, str] = {}
    for statement in statements:
        if not isinstance(statement, language.Set):
            return None
        values[statement.variable.lower()] = statement.value
    return values


class RuleReader:
    """Reads one script with one dialect."""

    def __init__(self, script: language.Script, dialect: t.Any) -> None:
        self.script = script
        self.dialect = dialect
        self._methods = {block.name.lower(): block for block in reversed(script.methods)}

    def rules(self) -> t.Tuple[Rule, ...]:
        """All rules: those that an event calls in the order of the calls, then the disabled ones of the event."""
        by_event: t.Dict[str, t.List[Rule]] = {event: [] for event in EVENTS.values()}
        called: t.Set[str] = set()
        for block in self.script.events:
            event = EVENTS.get(block.name.lower(), block.name)
            group = by_event.setdefault(event, [])
            for statement in block.statements:
                if isinstance(statement, language.Call):
                    called.add(statement.method.lower())
                    group.append(self._rule(statement.method, event))
        for block in self.script.methods:
            called.update(self._nested_calls(block.statements))
        idle: t.List[Rule] = []
        for key, block in self._in_file_order():
            if key in called:
                continue
            rule = self._typed(block, enabled=False)
            if rule is None:
                idle.append(OpaqueRule(block.name, None, enabled=False, basic=is_basic(block.name)))
            else:
                by_event[rule.event].append(rule)
        return tuple(rule for group in by_event.values() for rule in group) + tuple(idle)

    def starttls(self) -> t.Tuple[StartTls, t.Tuple[str, ...]]:
        """What the script decides about STARTTLS in both directions, and notes on what depends on conditions."""
        notes: t.List[str] = []
        values: t.Dict[str, t.Optional[bool]] = {}
        for direction, (event, _method) in STARTTLS_PLACES.items():
            value = self.dialect.starttls_default
            block = self.script.event(event)
            for where, statement in self._executed(block.statements if block else (), event):
                if isinstance(statement, language.Set) and statement.variable.lower() == "allowstarttls":
                    value = statement.value.strip().lower() == "yes"
                elif isinstance(statement, language.If) and _mentions(statement.body, "allowstarttls"):
                    notes.append("%s STARTTLS depends on a condition in %s" % (direction, where))
            values[direction] = value
        return StartTls(**values), tuple(notes)

    def last_setter(self, event: str, variable: str) -> str:
        """The method (or event) whose unconditional ``set`` of a variable comes last, for messages."""
        found = ""
        block = self.script.event(event)
        for where, statement in self._executed(block.statements if block else (), event):
            if isinstance(statement, language.Set) and statement.variable.lower() == variable:
                found = where
        return found

    def _in_file_order(self) -> t.Iterator[t.Tuple[str, t.Any]]:
        for block in self.script.methods:
            if self._methods[block.name.lower()] is block:
                yield block.name.lower(), block

    def _executed(self, statements: t.Sequence[t.Any], where: str, depth: int = 0) -> t.Iterator[t.Tuple[str, t.Any]]:
        """Statements in the order of execution, calls followed; conditions are yielded and not entered."""
        for statement in statements:
            if isinstance(statement, language.Call):
                block = self._methods.get(statement.method.lower())
                if block is not None and depth < 16:
                    yield from self._executed(block.statements, block.name, depth + 1)
            else:
                yield where, statement

    def _nested_calls(self, statements: t.Sequence[t.Any]) -> t.Iterator[str]:
        for statement in statements:
            if isinstance(statement, language.Call):
                yield statement.method.lower()
            elif isinstance(statement, language.If):
                yield from self._nested_calls(statement.body)

    def _rule(self, name: str, event: str) -> Rule:
        block = self._methods.get(name.lower())
        rule = None if block is None or is_basic(name) else self._typed(block, enabled=True)
        if rule is None or rule.event != event:
            return OpaqueRule(block.name if block else name, event, basic=is_basic(name))
        return rule

    def _typed(self, block: t.Any, enabled: bool) -> t.Optional[Rule]:
        if is_basic(block.name):
            return None
        return self._auth_rule(block, enabled) or self._forced_domain(block, enabled)

    def _auth_rule(self, block: t.Any, enabled: bool) -> t.Optional[AuthRule]:
        values = _sets(block.statements)
        if values is None or len(values) != 1 or len(block.statements) != 1:
            return None
        variable, value = next(iter(values.items()))
        for connection, name in (("plain", self.dialect.plain_auth_var), ("tls", self.dialect.tls_auth_var)):
            if name is not None and variable == name.lower():
                mechanisms = self.dialect.mechanisms_from_script(value)
                return None if mechanisms is None else AuthRule(block.name, connection, mechanisms, enabled)
        return None

    def _forced_domain(self, block: t.Any, enabled: bool) -> t.Optional[ForcedTlsDomain]:
        if len(block.statements) != 1 or not isinstance(block.statements[0], language.If):
            return None
        (condition,) = block.statements
        tests = {test.variable.lower(): test for test in condition.tests}
        secure = tests.get("issslconnection")
        domain = tests.get((self.dialect.rcpt_domain_var or "").lower())
        if condition.match != "all" or len(condition.tests) != 2 or secure is None or domain is None:
            return None
        equals = self.dialect.equals_test.lower()
        if any(test.name.lower() != equals for test in condition.tests) or secure.value.lower() != "no":
            return None
        values = _sets(condition.body)
        if values is None or set(values) != {"smtpaction", "smtpexplanation"} or len(condition.body) != 2:
            return None
        if values["smtpaction"].lower() != "reject" or not domain.value.strip():
            return None
        return ForcedTlsDomain(block.name, domain.value.lower(), values["smtpexplanation"], enabled=enabled)


def _mentions(statements: t.Sequence[t.Any], variable: str) -> bool:
    return any(
        (isinstance(statement, language.Set) and statement.variable.lower() == variable)
        or (isinstance(statement, language.If) and _mentions(statement.body, variable))
        for statement in statements
    )


# --- writing ------------------------------------------------------------------------------------


def statements(rule: Rule, dialect: t.Any) -> t.List[t.Any]:
    """The body of the method that says what a typed rule says.

    Raises :class:`NotSupported` when the dialect has no known name for a part of it.
    """
    if isinstance(rule, AuthRule):
        variable = dialect.plain_auth_var if rule.connection == "plain" else dialect.tls_auth_var
        if variable is None or dialect.auth_none is None:
            what = "the authentication types of %s connections" % rule.connection
            raise unknown_name("write rule %s" % rule.name, what, dialect)
        return [new_set(variable, dialect.mechanisms_to_script(rule.mechanisms))]
    if isinstance(rule, ForcedTlsDomain):
        if dialect.rcpt_domain_var is None:
            raise unknown_name("write rule %s" % rule.name, "the domain of the recipient", dialect)
        if rule.domain.startswith("."):
            raise NotSupported(
                "write rule %s" % rule.name,
                "this server compares whole domains, so that one rule for all subdomains of %s would never match"
                % rule.domain[1:],
                "Name each subdomain.",
            )
        tests = [
            (dialect.equals_test, "isSSLConnection", "no"),
            (dialect.equals_test, dialect.rcpt_domain_var, rule.domain),
        ]
        return [new_if("all", tests, [new_set("smtpAction", "reject"), new_set("smtpExplanation", rule.reject_message)])]
    raise NotSupported("write rule %s" % rule.name, "an opaque rule has no content to write")


def unknown_name(operation: str, what: str, dialect: t.Any) -> NotSupported:
    """The refusal of an operation that needs a name which the dialect profile does not have."""
    return NotSupported(
        operation,
        'the dialect profile "%s" has no known script name for %s' % (dialect.name, what),
        "No public document shows that name. Make one such rule by hand in WebAdmin to see it; "
        "the bundled MTA's profile (dialect: postern) knows all names.",
    )


def edit_rules(script: language.Script, before: Policy, desired: Policy, dialect: t.Any) -> t.Tuple[str, t.List[str]]:
    """The script text that holds ``desired`` instead of ``before``, and what was done in words.

    Only methods and call lines of rules that differ are touched.
    """
    edit = ScriptEdit(script)
    actions: t.List[str] = []
    old = {rule.name.lower(): rule for rule in before.rules if not isinstance(rule, OpaqueRule)}
    opaque = {rule.name.lower() for rule in before.rules if isinstance(rule, OpaqueRule)}
    new = {rule.name.lower(): rule for rule in desired.rules}
    for key, rule in old.items():
        if key not in new:
            edit.remove_call(EVENT_NAMES[rule.event], rule.name)
            edit.remove_method(rule.name)
            actions.append("remove rule %s" % rule.name)
    for key, rule in new.items():
        if isinstance(rule, OpaqueRule):
            continue
        current = old.get(key)
        if current is not None and _content(current) == _content(rule):
            continue
        edit.put_method(rule.name, statements(rule, dialect))
        actions.append("%s rule %s" % ("change" if current is not None or key in opaque else "add", rule.name))
    for event, name in EVENT_NAMES.items():
        actions += _place_calls(edit, name, _calls(before, event), _calls(desired, event), set(old) - set(new))
    for direction, (event, method) in STARTTLS_PLACES.items():
        wanted = getattr(desired.starttls, direction)
        if wanted is None or wanted == getattr(before.starttls, direction):
            continue
        _set_starttls(edit, script, event, method, wanted)
        actions.append("set STARTTLS %s to %s" % (direction, "yes" if wanted else "no"))
    return edit.result().text, actions


def _content(rule: Rule) -> t.Tuple[t.Any, ...]:
    """What the method of a rule says: everything but whether it is called."""
    if isinstance(rule, AuthRule):
        return ("auth", rule.connection, frozenset(rule.mechanisms))
    if isinstance(rule, ForcedTlsDomain):
        return ("forced", rule.domain, rule.direction, rule.reject_message)
    return ("opaque", rule.name)


def _calls(policy: Policy, event: str) -> t.List[str]:
    return [rule.name for rule in policy.rules if rule.event == event and rule.enabled]


def _place_calls(
    edit: ScriptEdit, event: str, before: t.List[str], desired: t.List[str], removed: t.Set[str]
) -> t.List[str]:
    """Move as few calls as possible so that the event calls ``desired`` in order."""
    actions: t.List[str] = []
    wanted = {name.lower(): index for index, name in enumerate(desired)}
    staying = []
    for name in before:
        if name.lower() in wanted:
            staying.append(name)
        elif name.lower() not in removed:
            edit.remove_call(event, name)
            actions.append("disable rule %s" % name)
    still = {staying[index].lower() for index in longest_rising([wanted[name.lower()] for name in staying])}
    present = {name.lower() for name in before}
    following: t.List[t.Optional[str]] = [None] * len(desired)
    next_still = None
    for index in range(len(desired) - 1, -1, -1):
        following[index] = next_still
        if desired[index].lower() in still:
            next_still = desired[index]
    for index, name in enumerate(desired):
        if name.lower() in still:
            continue
        if index:
            edit.put_call(event, name, after=desired[index - 1])
        elif following[index] is not None:
            edit.put_call(event, name, before=following[index])
        else:
            edit.put_call(event, name)
        actions.append("%s rule %s" % ("move" if name.lower() in present else "call", name))
    return actions


def _set_starttls(edit: ScriptEdit, script: language.Script, event: str, method: str, wanted: bool) -> None:
    value = "yes" if wanted else "no"
    if script.method(method) is not None:
        edit.set_value(method, "allowStartTLS", value)
        return
    edit.put_method(method, [new_set("allowStartTLS", value)])
    block = script.event(event)
    first = next((s.method for s in (block.statements if block else ()) if isinstance(s, language.Call)), None)
    edit.put_call(event, method, before=first)
