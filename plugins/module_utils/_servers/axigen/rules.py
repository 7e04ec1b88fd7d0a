# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of a policy, read from a policy script.

A rule is one method of the script and one ``call`` line in its event. What a method means decides
what rule it is, never its name alone: a method that says exactly what a kind of rule says (see
``rule_forms``) is typed, one that says nothing but documented things is a general rule (see ``general_forms``), every
other one is opaque. So is one that something else calls as well, and one of two methods of one name that say different
things: which of them counts is the server's secret.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ..._policy.policy import RelayHost, StartTls
from ..._policy.rule import ForcedTlsDomain, ForcedTlsGroup, OpaqueRule, RelayTlsRule, Rule
from . import relay_host
from . import script as language
from .domain_lane import Lane
from .rule_forms import STARTTLS, content, read_rule

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
    "connect": "onConnect",
    "ehlo": "onEhlo",
    "mail": "onMailFrom",
    "rcpt": "onRcptTo",
    "headers": "onHeadersReceived",
    "data": "onDataReceived",
    "relay": "onRelay",
}

#: Where WebAdmin keeps "Allow StartTLS" (acceptance) and "Use StartTLS if available" (routing).
STARTTLS_PLACES = {
    "inbound": ("onEhlo", "WA_Acceptance_basic"),
    "outbound": ("onRelay", "WA_Routing_basic"),
}

#: Where WebAdmin keeps the relay host ("outgoing delivery" of the routing page).
RELAY_PLACE = STARTTLS_PLACES["outbound"]

#: Rules that say what TLS must be: what they set is no setting of the server, though a script says it alike.
LEVELLED = (RelayTlsRule, ForcedTlsDomain, ForcedTlsGroup)

#: Methods that every server has without showing them ("predefined methods" in AXIGEN's documentation).
PREDEFINED = frozenset(
    (
        "checkspf",
        "checkreversedns",
        "checkdnsbl",
        "addheader",
        "addifnotexistsheader",
        "modifyheader",
        "modifyifexistsheader",
        "removeheader",
        "removefirstheader",
        "addrcpt",
        "discardrcpt",
    )
)

#: Calls inside calls, and calls in one event, that are followed. The bundled MTA makes no more of them either.
_MAX_DEPTH = 64
_MAX_CALLS = 100000

#: Method (lower case) -> the policy's events that call it, "" for anything else.
_Called = t.Dict[str, t.FrozenSet[str]]
_NOBODY: t.FrozenSet[str] = frozenset()
_ANYTHING = frozenset(("",))

#: A statement as it is executed: the method (or event) that it stands in, and itself.
Executed = t.Tuple[str, t.Any]


class Settled(t.NamedTuple):
    """What an event leaves in variables (lower case).

    ``values``: what was set last without a condition. ``doubts``: variable -> the method (or event) with the statement
    because of which that is not sure. ``conditional``: methods (or events) whose conditions set any of them.
    """

    values: t.Dict[str, str]
    doubts: t.Dict[str, str]
    conditional: t.List[str]


def is_basic(name: str) -> bool:
    """Whether a method belongs to the server's own basic settings pages."""
    return name.upper().startswith("WA_")


def once(rules: t.Sequence[Rule]) -> t.List[Rule]:
    """The rules, each understood one in the last of its places only."""
    seen: t.Set[str] = set()
    kept: t.List[Rule] = []
    for rule in reversed(rules):
        if isinstance(rule, OpaqueRule) or rule.name.lower() not in seen:
            seen.add(rule.name.lower())
            kept.append(rule)
    return kept[::-1]


class RuleReader:
    """Reads one script with one dialect."""

    def __init__(self, script: language.Script, dialect: t.Any) -> None:
        self.script = script
        self.dialect = dialect
        self._methods: t.Dict[str, t.List[language.Block]] = {}
        for block in script.methods:
            self._methods.setdefault(block.name.lower(), []).append(block)
        self._reach: t.Any = None
        self._rules: t.Optional[t.Tuple[Rule, ...]] = None
        #: Reads most of the methods, and writes new ones.
        self.lane = Lane(script.text, dialect)
        self._typed: t.Dict[str, t.Optional[Rule]] = {}
        self._general: t.Dict[t.Tuple[str, t.Optional[str]], t.Optional[Rule]] = {}
        self.repeated: t.Set[str] = set()
        self._called = self._calling_events()

    # --- rules ----------------------------------------------------------------------------------

    def rules(self) -> t.Tuple[Rule, ...]:
        """All rules: those that an event calls in the order of the calls, then the disabled ones of the event.

        An opaque rule is there for each of its calls, another one for the last of them.
        """
        if self._rules is None:
            self._rules = self._all_rules()
        return self._rules

    def _all_rules(self) -> t.Tuple[Rule, ...]:
        by_event: t.Dict[str, t.List[Rule]] = {event: [] for event in EVENTS.values()}
        for block in self.script.events:
            event = EVENTS.get(block.name.lower(), block.name)
            group = by_event.setdefault(event, [])
            group += [self._rule(call.method, event) for call in block.statements if isinstance(call, language.Call)]
        by_event = {event: once(group) for event, group in by_event.items()}
        idle: t.List[Rule] = []
        for key, blocks in self._methods.items():
            if key in self._called:
                continue
            block = blocks[0]
            rule = self._read(key) or self._read_general(key, None)
            if rule is None:
                idle.append(OpaqueRule(block.name, None, enabled=False, basic=is_basic(block.name)))
            else:
                by_event[rule.event or ""].append(replace(rule, enabled=False))
        return tuple(rule for group in by_event.values() for rule in group) + tuple(idle)

    def _calling_events(self) -> _Called:
        """Methods (lower case) that something calls: the policy's events that do, "" for anything else."""
        called: _Called = {}
        for block in self.script.events:
            event = EVENTS.get(block.name.lower(), block.name)
            # One set for all of them: there may be a hundred thousand.
            alone = frozenset((event,))
            for statement in block.statements:
                if isinstance(statement, language.Call):
                    key = statement.method.lower()
                    if key in called:
                        self.repeated.add(key)
                        called[key] |= alone
                    else:
                        called[key] = alone
                else:
                    self._note_nested((statement,), called)
        for block in self.script.methods:
            if not block.plain:
                self._note_nested(block.statements, called)
        return called

    def _note_nested(self, statements: t.Sequence[t.Any], called: _Called) -> None:
        names: t.Collection[str]
        for statement in statements:
            if isinstance(statement, language.If):
                self._note_nested(statement.body, called)
                continue
            if isinstance(statement, language.Call):
                names = (statement.method.lower(),)
            elif isinstance(statement, language.Unknown):
                from .reach import words

                names = words(statement)
            else:
                continue
            for name in names:
                called[name] = called.get(name, _NOBODY) | _ANYTHING

    def called_elsewhere(self, name: str, event: str) -> bool:
        """Whether anything but direct calls of one of the policy's events runs the method of this name."""
        return not self._called.get(name.lower(), _NOBODY) <= {event}

    def _rule(self, name: str, event: str) -> Rule:
        """The rule that a call in an event is. A method that is called from elsewhere too is nobody's to change."""
        key = name.lower()
        rule = self._read(key)
        if (rule is None or rule.event != event) and key not in self.repeated:
            rule = self._read_general(key, event)
        if rule is None or rule.event != event or self._called[key] != {event}:
            blocks = self._methods.get(name.lower())
            return OpaqueRule(blocks[0].name if blocks else name, event, basic=is_basic(name))
        return rule

    def _read(self, key: str) -> t.Optional[Rule]:
        """The typed rule that a method (lower case) says, as one that is called."""
        if key not in self._typed:
            blocks = () if is_basic(key) else self._methods.get(key, ())
            found = [self._read_block(block) for block in blocks]
            rule = found[0] if found and None not in found else None
            if rule is not None and any(content(other) != content(rule) for other in found[1:]):
                rule = None
            self._typed[key] = rule
        return self._typed[key]

    def _read_block(self, block: language.Block) -> t.Optional[Rule]:
        return self.lane.read(block, self._long_way) if block.plain else self._long_way(block)

    def _long_way(self, block: language.Block) -> t.Optional[Rule]:
        return read_rule(block, True, self.dialect)

    def _read_general(self, key: str, event: t.Optional[str]) -> t.Optional[Rule]:
        """The general rule that a method (lower case) says where this event calls it, or no event (None)."""
        blocks = () if is_basic(key) else self._methods.get(key, ())
        if len(blocks) != 1 or (event is not None and event not in EVENT_NAMES):
            return None
        if (key, event) not in self._general:
            # Most scripts have none, and a module's code is compiled anew in each task.
            from .general_forms import read

            self._general[key, event] = read(blocks[0], event, True, self.dialect)
        return self._general[key, event]

    # --- settings of the whole server -----------------------------------------------------------

    def starttls(self) -> t.Tuple[StartTls, t.Tuple[str, ...]]:
        """What the script decides about STARTTLS in both directions, and notes on what depends on conditions.

        Rules are rules of their own: what they say about STARTTLS is not counted here. None is what is not known.
        """
        notes: t.List[str] = []
        values: t.Dict[str, t.Optional[bool]] = {}
        name = STARTTLS.lower()
        for direction, (event, _method) in STARTTLS_PLACES.items():
            settled = self.settled(event, (name,), LEVELLED)
            value = self.dialect.starttls_default
            if name in settled.values:
                value = {"yes": True, "no": False}.get(settled.values[name].strip().lower())
            for where in settled.doubts.values():
                value = None
                notes.append("%s STARTTLS is not known: %s" % (direction, _doubtful(where, STARTTLS)))
            notes += ["%s STARTTLS depends on a condition in %s" % (direction, where) for where in settled.conditional]
            values[direction] = value
        return StartTls(**values), tuple(notes)

    def relay(self) -> t.Tuple[t.Optional[RelayHost], t.Tuple[str, ...]]:
        """The relay host, None when there is none, and notes on what depends on conditions."""
        notes: t.List[str] = []
        names = self.dialect.relay
        variables = {name.lower(): name for name in relay_host.variables(self.dialect)}
        ssl = names.ssl_var.lower()
        settled = self.settled(RELAY_PLACE[0], (*variables, ssl), LEVELLED, self._telling())
        relay = relay_host.read({key: settled.values[key] for key in variables if key in settled.values}, self.dialect)
        for key, where in settled.doubts.items():
            if key in variables:
                notes.append("the relay host is not known for sure: %s" % _doubtful(where, variables[key]))
        notes += ["the relay host depends on a condition in %s" % where for where in settled.conditional]
        if relay is not None and ssl in settled.values and names.ssl is None and ssl not in variables:
            notes.append(
                "%s sets %s, and it is not known what that does at the relay host (dialect profile %s)"
                % (self.last_setter(RELAY_PLACE[0], ssl), names.ssl_var, self.dialect.name)
            )
        return relay, tuple(notes)

    def _telling(self) -> t.FrozenSet[str]:
        """The variables of a relay host but its level, which other rules set by design."""
        names = frozenset(name.lower() for name in relay_host.variables(self.dialect))
        return names - {(self.dialect.relay.level_var or "").lower()}

    def settled(
        self,
        event: str,
        variables: t.Collection[str],
        without: t.Tuple[t.Type[t.Any], ...] = (),
        telling: t.Optional[t.Collection[str]] = None,
    ) -> Settled:
        """What an event leaves in variables (lower case); ``telling`` are those whose conditions are told of.

        ``without``: as for :meth:`executed`.
        """
        found = Settled({}, {}, [])
        told = frozenset(variables if telling is None else telling)
        ended = ""
        for where, statement in self.executed(event, without):
            if isinstance(statement, language.Set):
                key = statement.variable.lower()
                if key in variables:
                    if not ended:
                        found.doubts.pop(key, None)
                    elif found.values.get(key) != statement.value:
                        found.doubts[key] = ended
                    found.values[key] = statement.value
                continue
            if isinstance(statement, language.If):
                if where not in found.conditional and told & self.reach.variables(statement):
                    found.conditional.append(where)
            else:
                for key in self.reach.variables(statement).intersection(variables):
                    found.doubts[key] = where
            if not ended and self.reach.may_end(statement):
                ended = where
        return found

    @property
    def reach(self) -> t.Any:
        """Follows what conditions, and statements that are not understood, may do."""
        if self._reach is None:
            # Most scripts have none where it matters, and a module's code is compiled anew in each task.
            from .reach import Reach

            self._reach = Reach(self._methods)
        return self._reach

    def last_setter(self, event: str, variable: str) -> str:
        """The method (or event) that sets a variable last, or may do so in a statement that is not understood."""
        found = ""
        for where, statement in self.executed(event):
            if isinstance(statement, language.If):
                continue
            if variable.lower() in self.reach.variables(statement):
                found = where
        return found

    def calls(self, event: str, method: str) -> bool:
        """Whether an event runs a method, directly or through others."""
        block = self.script.event(event)
        waiting = list(block.statements if block else ())
        seen: t.Set[str] = set()
        while waiting:
            statement = waiting.pop()
            key = statement.method.lower() if isinstance(statement, language.Call) else ""
            if key == method.lower():
                return True
            if key in self._methods and key not in seen:
                seen.add(key)
                waiting += self._methods[key][0].statements
        return False

    def executed(
        self, event: str, without: t.Tuple[t.Type[t.Any], ...] = (), whole: bool = False
    ) -> t.Iterator[Executed]:
        """Statements of an event in the order of execution, calls followed; conditions are yielded and not entered.

        ``without``: methods that are rules of these kinds are left out. ``whole``: where a rule for one domain says all
        that a method does, it stands for the method's statement; there may be a hundred thousand. What another block of the same name
        would do comes behind the first one's statements, as statements that are not understood.
        """
        blocks = [block for block in self.script.events if block.name.lower() == event.lower()]
        run = _Run(EVENTS.get(event.lower()) if whole else None)
        for statement in blocks[0].statements if blocks else ():
            if without and isinstance(statement, language.Call):
                if isinstance(self._rule(statement.method, EVENTS[event.lower()]), without):
                    continue
            yield from self._executed((statement,), event, run)
        yield from self._in_others(blocks, event)

    def _executed(self, statements: t.Sequence[t.Any], where: str, run: _Run) -> t.Iterator[Executed]:
        for statement in statements:
            if not isinstance(statement, language.Call):
                yield where, statement
                continue
            key = statement.method.lower()
            # A method that is being run is not entered again.
            if key not in self._methods or key in run.active or len(run.active) >= _MAX_DEPTH:
                continue
            run.calls += 1
            if run.calls > _MAX_CALLS:
                if run.calls == _MAX_CALLS + 1:
                    # Nobody can say what such a script does: it may do everything that stands in it.
                    yield where, language.Unknown(self.script.text)
                continue
            if run.event is not None:
                rule = self._read(key)
                if isinstance(rule, ForcedTlsDomain) and rule.event == run.event and _is_said(rule):
                    yield rule.name, rule
                    continue
            run.active.append(key)
            first = self._methods[key][0]
            yield from self._executed(first.statements, first.name, run)
            yield from self._in_others(self._methods[key], first.name)
            run.active.pop()

    def _in_others(self, blocks: t.Sequence[language.Block], where: str) -> t.Iterator[Executed]:
        """What further blocks of one name would do and the first one does not; nobody understands which counts."""
        text = self.script.text
        for other in blocks[1:]:
            if text[slice(*other.body_span)] == text[slice(*blocks[0].body_span)]:
                continue
            for statement in other.statements:
                if not _says(blocks[0], statement):
                    yield where, language.Unknown(text[slice(*statement.span)], statement.span)


class _Run:
    """How far an event has been followed: the methods (lower case) that are being run, and how many were called.

    ``event`` is the policy's one where rules stand for their methods.
    """

    def __init__(self, event: t.Optional[str]) -> None:
        self.event = event
        self.active: t.List[str] = []
        self.calls = 0


def _is_said(rule: ForcedTlsDomain) -> bool:
    """Whether the form of a rule follows from the rule."""
    return rule.domain[0] not in ".*" and (rule.direction == "outbound" or rule.forces)


def _says(block: language.Block, statement: t.Any) -> bool:
    """Whether a method has a ``set`` that says the same."""
    return isinstance(statement, language.Set) and any(
        isinstance(one, language.Set)
        and (one.variable.lower(), one.value) == (statement.variable.lower(), statement.value)
        for one in block.statements
    )


def _doubtful(where: str, variable: str) -> str:
    return "a statement in %s is not understood, and it may decide about %s" % (where, variable)
