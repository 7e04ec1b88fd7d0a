# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policy script as something that runs.

Statements run in the order in which they stand, and a later ``set`` wins. ``call`` runs the method of that
name; names that no method has are the dialect's predefined methods (``checkSPF`` …), which do nothing here. Names of
variables, methods and events are compared without regard to case.

Ten thousand rules of the shape "recipient domain is X: reject" cost one look-up (see ``dispatch``), and so does one rule
with ten thousand domains. A method that consists of one condition is compiled when it runs for the first time: of very
many such methods most never do. What can be wrong in it is looked at before.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterable, Sequence

from ..emulation import ITSELF, OWN_TESTS, Emulation
from . import script as language
from .condition import BELOW, EQUAL, NAMES, TESTS, Check, Text, folded, has_references, one_of, parent_domain, together
from .dispatch import TELLING, Dispatch, Gate, Gates, in_a_row, union
from .script import ScriptError
from .variables import ABOUT_LEVEL, PROOF_OF_LEVEL, READ_ONLY, WRITABLE, Variables

Op = Callable[["_Run"], None]

#: Method calls in one event before the run is given up: methods that call each other twice grow without bound. Methods
#: of a row that are about somebody else are not called.
MAX_CALLS = 100_000
#: Calls inside calls; deeper ones are not made.
MAX_DEPTH = 64

_RANK = {variable: rank for rank, variable in enumerate(TELLING)}
#: Tests that take every text.
_ANY_TEXT = ("is", "greaterthan")


class RuleError(Exception):
    """A run that was given up. The session then refuses with a temporary error: rules fail closed."""


class _Run:
    """One run of one event: the variables, the methods being run, the calls made."""

    __slots__ = ("event", "variables", "active", "calls")

    def __init__(self, event: str, variables: Variables) -> None:
        self.event = event
        self.variables = variables
        self.active: list[_Method] = []
        self.calls = 0


class _Source(t.NamedTuple):
    """What a method is compiled from that was not needed yet. It does not hold what the parser made."""

    text: str
    emulation: Emulation

    def ops(self, place: int) -> tuple[Op, ...]:
        """What the method at an offset consists of."""
        block = t.cast(language.Block, language.block_at(self.text, place))
        return _Compiler(language.Script(self.text, (), (block,)), self.emulation).ops(block.statements)


class _Method:
    """A method. ``ops`` is what it consists of, or (None) what stands in ``source`` at ``place``."""

    __slots__ = ("name", "ops", "source", "place")

    def __init__(self, name: str, source: _Source, place: int) -> None:
        self.name = name
        self.ops: tuple[Op, ...] | None = None
        self.source = source
        self.place = place

    def __call__(self, run: _Run) -> None:
        run.calls += 1
        if run.calls > MAX_CALLS:
            raise RuleError(f"the policy script makes more than {MAX_CALLS} calls in one event")
        # A method that is being run is not entered again: recursion ends here instead of in the interpreter.
        if self in run.active or len(run.active) >= MAX_DEPTH:
            return
        if self.ops is None:
            self.ops = self.source.ops(self.place)
        run.active.append(self)
        for op in self.ops:
            op(run)
        run.active.pop()


class RuleSet:
    """A compiled script. Immutable after :func:`compile_script`; any number of sessions run it.

    ``emulation`` is what the script's names mean.
    """

    def __init__(self, events: dict[str, tuple[Op, ...]], emulation: Emulation) -> None:
        self._events = events
        self.emulation = emulation

    def says_nothing(self, event: str, variables: Variables) -> bool:
        """Whether ``event`` has nothing to do with ``variables``: there is nothing in it, or all of it is about others."""
        ops = self._events.get(event.lower())
        return not ops or (len(ops) == 1 and isinstance(ops[0], Dispatch) and ops[0].is_idle(variables))

    def run(self, event: str, variables: Variables) -> None:
        """Run the statements of ``event`` on ``variables``. Raises :class:`RuleError` when they do not end."""
        event = event.lower()
        ops = self._events.get(event)
        if ops:
            run = _Run(event, variables)
            for op in ops:
                op(run)


def compile_script(text: str, emulation: Emulation = ITSELF) -> RuleSet:
    """Compile a policy script. Raises :class:`ScriptError` with the line of what cannot be understood."""
    return _Compiler(language.parse(text), emulation).result()


class _Names(dict[str, str]):
    """Canonical names by names in the script, each found once."""

    def __init__(self, find: Callable[[str], str]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, name: str) -> str:
        found = self[name] = self._find(name)
        return found


class _Compiler:
    """From the script's names to canonical ones: what runs knows no others."""

    def __init__(self, script: language.Script, emulation: Emulation) -> None:
        self._script = script
        self._emulation = emulation
        self._variable = _Names(emulation.variable).__getitem__
        self._test = _Names(emulation.test).__getitem__
        # The first of two blocks of one name counts, as for everything else that reads a script.
        self._blocks = {block.name.lower(): block for block in reversed(script.methods)}
        source = _Source(script.text, emulation)
        self._methods = {name: _Method(block.name, source, block.span[0]) for name, block in self._blocks.items()}
        self._method_gates: dict[str, Gates] = {}
        # Of conditions inside of conditions, by what holds them: they are asked for once on each level.
        self._known_gates: dict[int, Gates] = {}

    def result(self) -> RuleSet:
        """The whole script. Raises :class:`ScriptError`."""
        others: list[tuple[_Method, language.Block]] = []
        for name, block in self._blocks.items():
            condition = block.condition
            if condition is None:
                others.append((self._methods[name], block))
                self._method_gates[name] = self._body_gates(block.statements)
            else:
                for test in condition.tests:
                    self._check_test(test, condition.span[0])
                self._method_gates[name] = self._condition_gates(condition)
        # What is called is known now, so that calls can be put in a row.
        for method, block in others:
            method.ops = self.ops(block.statements)
        events: dict[str, tuple[Op, ...]] = {}
        for block in reversed(self._script.events):
            events[block.name.lower()] = self.ops(block.statements)
        return RuleSet(events, self._emulation)

    # --- statements -------------------------------------------------------------------------------

    def ops(self, statements: Iterable[object]) -> tuple[Op, ...]:
        """What these statements do. Raises :class:`ScriptError`."""
        found = ((self._op(statement), statement) for statement in statements)
        return in_a_row([(op, self._gates(statement)) for op, statement in found if op is not None])

    def _op(self, statement: object) -> Op | None:
        if isinstance(statement, language.Set):
            return _setter(self._variable(statement.variable), Text(statement.value, self._variable))
        if isinstance(statement, language.Call):
            return self._methods.get(statement.method.lower())
        if isinstance(statement, language.If):
            # The parser limits how deep conditions stand in each other, so this recursion ends.
            return _branch(self._condition(statement), self.ops(statement.body))
        if self._emulation.unknown_statements == "ignored":
            return None
        raise self._error(statement.span[0], f"this server does not know the statement {_start(statement.text)!r}")

    def _condition(self, statement: language.If) -> Check:
        checks: list[Check] = []
        # Tests of one variable against very many texts become one.
        rows: dict[str, tuple[list[str], list[str]]] = {}
        for test in statement.tests:
            gate = self._gate(test, self._variable(test.variable)) if statement.match == "any" else None
            if gate is None:
                checks.append(self._check(test, statement.span[0]))
            else:
                rows.setdefault(gate.variable, ([], []))[gate.below].append(gate.value)
        checks += [one_of(variable, *row) for variable, row in rows.items()]
        return together(statement.match, checks)

    def _check(self, test: language.Test, place: int) -> Check:
        make = TESTS.get(self._test(test.name))
        if make is None:
            names = (name for name in NAMES if self._emulation.extensions or name not in OWN_TESTS)
            known = ", ".join(sorted(self._emulation.tests.get(name.lower(), name) for name in names))
            raise self._error(place, f"this server does not know the test {test.name} (it has {known})")
        try:
            return make(self._variable(test.variable), Text(test.value, self._variable))
        except ValueError as error:
            raise self._error(place, f"{test.name} ({test.variable}, …): {error}") from None

    def _check_test(self, test: language.Test, place: int) -> None:
        """Raise :class:`ScriptError` for a test that cannot be compiled."""
        name = self._test(test.name)
        if name in _ANY_TEXT or (name == EQUAL and test.value.isascii()):
            return
        self._check(test, place)

    def _error(self, offset: int, reason: str) -> ScriptError:
        return ScriptError(*self._script.position(offset), reason)

    # --- gates ------------------------------------------------------------------------------------

    def _gates(self, statement: object) -> Gates:
        if isinstance(statement, language.Call):
            return self._method_gates[statement.method.lower()]
        if not isinstance(statement, language.If):
            return None
        if id(statement) not in self._known_gates:
            gates = self._condition_gates(statement)
            self._known_gates[id(statement)] = self._body_gates(statement.body) if gates is None else gates
        return self._known_gates[id(statement)]

    def _body_gates(self, statements: Sequence[object]) -> Gates:
        """The gates of statements that are conditions. What is called may not be known yet here."""
        return union(self._gates(one) if isinstance(one, language.If) else None for one in statements)

    def _condition_gates(self, condition: language.If | language.Condition) -> Gates:
        match, tests = condition.match, condition.tests
        gates: list[Gate] = []
        for test in tests:
            variable = self._variable(test.variable)
            gate = self._gate(test, variable) if variable in _RANK else None
            if gate is not None:
                gates.append(gate)
            elif match == "any":
                return None
        if match == "any":
            return gates
        return [min(gates, key=lambda gate: (gate.below, _RANK[gate.variable]))] if gates else None

    def _gate(self, test: language.Test, variable: str) -> Gate | None:
        """What must hold, as something to look up; None when this test is not that simple."""
        name = self._test(test.name)
        if name not in (EQUAL, BELOW) or has_references(test.value):
            return None
        try:
            value = parent_domain(test.value) if name == BELOW else folded(variable, test.value)
        except ValueError:
            return None  # compiling the test itself will say what is wrong, with its line
        return Gate(variable, value, name == BELOW)


def _branch(condition: Check, body: tuple[Op, ...]) -> Op:
    def branch(run: _Run) -> None:
        if condition(run.variables):
            for op in body:
                op(run)

    return branch


def _setter(variable: str, text: Text) -> Op | None:
    if variable == "tlslevel":
        return _level(_assignment(variable, text))
    if variable not in READ_ONLY:
        return _assignment(variable, text)
    if variable not in WRITABLE:
        return None
    event, assign = WRITABLE[variable], _assignment(variable, text)

    def set_in_its_event(run: _Run) -> None:
        # Asked when it runs: a method may be called from several events.
        if run.event == event:
            assign(run)

    return set_in_its_event


def _level(assign: Op) -> Op:
    """A new level is wanted for its own reason, and proven in its own way: nothing of the level before it is left."""

    def set_level(run: _Run) -> None:
        replaced = "tlslevel" in run.variables
        assign(run)
        for name in PROOF_OF_LEVEL if replaced else ():
            run.variables.pop(name, None)
        for name in ABOUT_LEVEL:
            run.variables.pop(name, None)

    return set_level


def _assignment(variable: str, text: Text) -> Op:
    value = text.value
    if not text.has_references:

        def set_text(run: _Run) -> None:
            run.variables[variable] = value

        return set_text

    def set_filled(run: _Run) -> None:
        run.variables[variable] = text.filled(run.variables)

    return set_filled


def _start(text: str) -> str:
    return text.strip().split("\n")[0][:40]
