# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policy script as something that runs.

Statements run in the order in which they stand, and a later ``set`` wins. ``call`` runs the method of that
name; names that no method has are the dialect's predefined methods (``checkSPF`` …), which do nothing here. Names of
variables, methods and events are compared without regard to case.

Ten thousand rules of the shape "recipient domain is X: reject" cost one look-up: a row of such calls that test the
same read-only variable for equality becomes a dictionary.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable

from ..emulation import ITSELF, OWN_TESTS, Emulation
from . import script as language
from .script import ScriptError
from .variables import ABOUT_LEVEL, DOMAINS, READ_ONLY, WRITABLE, Variables

Op = Callable[["_Run"], None]
Check = Callable[[Variables], bool]

_REFERENCE = re.compile(r"%([A-Za-z][A-Za-z0-9_]*)%")

#: Method calls in one event before the run is given up: methods that call each other twice grow without bound.
MAX_CALLS = 100_000
#: Calls inside calls; deeper ones are not made.
MAX_DEPTH = 64
#: Read-only variables with many possible values, so that a look-up separates the rules well; the best first.
_TELLING = (
    "relaydomain", "rcptdomain", "rcptto", "mailfromdomain", "mailfrom", "authuser", "remotesmtpip", "ehlohost",
)  # fmt: skip
#: A shorter row of equality rules is not worth a dictionary.
_MIN_ROW = 4


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


class _Method:
    """A compiled method. ``row_key``: (variable, value) when all it does depends on that one equality."""

    __slots__ = ("name", "ops", "row_key")

    def __init__(self, name: str) -> None:
        self.name = name
        self.ops: tuple[Op, ...] = ()
        self.row_key: tuple[str, str] | None = None

    def __call__(self, run: _Run) -> None:
        run.calls += 1
        if run.calls > MAX_CALLS:
            raise RuleError(f"the policy script makes more than {MAX_CALLS} calls in one event")
        # A method that is being run is not entered again: recursion ends here instead of in the interpreter.
        if self in run.active or len(run.active) >= MAX_DEPTH:
            return
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


class _Compiler:
    """From the script's names to canonical ones: what runs knows no others."""

    def __init__(self, script: language.Script, emulation: Emulation) -> None:
        self._script = script
        self._emulation = emulation
        self._variable = emulation.variable
        # The first of two blocks of one name counts, as for everything else that reads a script.
        self._blocks = {block.name.lower(): block for block in reversed(script.methods)}
        self._methods = {name: _Method(block.name) for name, block in self._blocks.items()}

    def result(self) -> RuleSet:
        for name, block in self._blocks.items():
            method = self._methods[name]
            method.row_key = self._row_key(block)
            method.ops = self._ops(block.statements)
        events: dict[str, tuple[Op, ...]] = {}
        for block in reversed(self._script.events):
            events[block.name.lower()] = self._rows(self._ops(block.statements))
        for method in self._methods.values():
            method.ops = self._rows(method.ops)
        return RuleSet(events, self._emulation)

    # --- statements -------------------------------------------------------------------------------

    def _ops(self, statements: Iterable[object]) -> tuple[Op, ...]:
        return tuple(op for statement in statements if (op := self._op(statement)) is not None)

    def _op(self, statement: object) -> Op | None:
        if isinstance(statement, language.Set):
            return _setter(self._variable(statement.variable), _Text(statement.value, self._variable))
        if isinstance(statement, language.Call):
            return self._methods.get(statement.method.lower())
        if isinstance(statement, language.If):
            # The parser limits how deep conditions stand in each other, so this recursion ends.
            return _branch(statement.match, tuple(self._checks(statement)), self._ops(statement.body))
        if self._emulation.unknown_statements == "ignored":
            return None
        raise self._error(statement.span[0], f"this server does not know the statement {_start(statement.text)!r}")

    def _checks(self, statement: language.If) -> Iterable[Check]:
        for test in statement.tests:
            make = _TESTS.get(self._emulation.test(test.name))
            if make is None:
                names = (name for name in _TEST_NAMES if self._emulation.extensions or name not in OWN_TESTS)
                known = ", ".join(sorted(self._emulation.tests.get(name.lower(), name) for name in names))
                raise self._error(statement.span[0], f"this server does not know the test {test.name} (it has {known})")
            try:
                yield make(self._variable(test.variable), _Text(test.value, self._variable))
            except ValueError as error:
                raise self._error(statement.span[0], f"{test.name} ({test.variable}, …): {error}") from None

    def _error(self, offset: int, reason: str) -> ScriptError:
        return ScriptError(*self._script.position(offset), reason)

    # --- rows of equality rules -------------------------------------------------------------------

    def _row_key(self, block: language.Block) -> tuple[str, str] | None:
        statements = tuple(block.statements)
        if len(statements) != 1 or not isinstance(statements[0], language.If):
            return None
        rule = statements[0]
        if rule.match == "any" and len(rule.tests) != 1:
            return None
        fixed = {
            self._variable(test.variable): test.value
            for test in rule.tests
            if self._emulation.test(test.name) == "iscase" and not _REFERENCE.search(test.value)
        }
        for variable in _TELLING:
            if variable in fixed:
                try:
                    return variable, _folded(variable, fixed[variable])
                except ValueError:
                    return None  # compiling the test itself will say what is wrong, with its line
        return None

    def _rows(self, ops: tuple[Op, ...]) -> tuple[Op, ...]:
        """Replace each row of calls whose methods depend on one read-only variable by a look-up of that variable.

        Read-only variables cannot change during a run, so all methods but those of the value would do nothing.
        """
        result: list[Op] = []
        row: list[_Method] = []

        def flush() -> None:
            if len(row) >= _MIN_ROW:
                result.append(_lookup(tuple(row)))
            else:
                result.extend(row)
            row.clear()

        for op in ops:
            fits = isinstance(op, _Method) and op.row_key is not None
            if row and not (fits and op.row_key[0] == row[0].row_key[0]):
                flush()
            if fits:
                row.append(op)
            else:
                result.append(op)
        flush()
        return tuple(result)


def _lookup(row: tuple[_Method, ...]) -> Op:
    variable = row[0].row_key[0]
    table: dict[str, list[_Method]] = {}
    for method in row:
        table.setdefault(method.row_key[1], []).append(method)

    def look_up(run: _Run) -> None:
        value = run.variables.get(variable)
        if value is not None:
            for method in table.get(value.lower(), ()):
                method(run)

    return look_up


def _branch(match: str | None, checks: tuple[Check, ...], body: tuple[Op, ...]) -> Op:
    decide = any if match == "any" else all

    def branch(run: _Run) -> None:
        variables = run.variables
        if decide(check(variables) for check in checks):
            for op in body:
                op(run)

    return branch


def _setter(variable: str, text: _Text) -> Op | None:
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
    """A new level is wanted for its own reason, and not for the one of the level before it."""

    def set_level(run: _Run) -> None:
        assign(run)
        for name in ABOUT_LEVEL:
            run.variables.pop(name, None)

    return set_level


def _assignment(variable: str, text: _Text) -> Op:
    value = text.value
    if not text.has_references:

        def set_text(run: _Run) -> None:
            run.variables[variable] = value

        return set_text

    def set_filled(run: _Run) -> None:
        run.variables[variable] = text.filled(run.variables)

    return set_filled


class _Text:
    """A text as it stands in the script. ``variable`` makes a variable's canonical name of its name there."""

    __slots__ = ("value", "has_references", "_variable")

    def __init__(self, value: str, variable: Callable[[str], str]) -> None:
        self.value = value
        self.has_references = _REFERENCE.search(value) is not None
        self._variable = variable

    def filled(self, variables: Variables) -> str:
        """``%name%`` replaced by the variable's value, once: what a value holds is never replaced again."""
        return _REFERENCE.sub(lambda found: variables.text(self._variable(found.group(1))), self.value)


def _start(text: str) -> str:
    return text.strip().split("\n")[0][:40]


# --- tests ----------------------------------------------------------------------------------------


def _folded(variable: str, value: str) -> str:
    return _domain(value) if variable in DOMAINS else value.lower()


def _domain(value: str) -> str:
    """A domain name as variables hold it. Raises ValueError."""
    value = value.strip().rstrip(".")
    try:
        return (value if value.isascii() else value.encode("idna").decode("ascii")).lower()
    except UnicodeError:
        raise ValueError(f"{value!r} is no domain name") from None


def _compared(variable: str, text: _Text, compare: Callable[[str, str], bool], fold: bool) -> Check:
    """A test of one variable against a text; false while the variable is not set."""
    if text.has_references:

        def check_filled(variables: Variables) -> bool:
            found = variables.get(variable)
            wanted = text.filled(variables)
            return found is not None and compare(found, wanted.lower() if fold else wanted)

        return check_filled
    wanted = _folded(variable, text.value) if fold else text.value

    def check(variables: Variables) -> bool:
        found = variables.get(variable)
        return found is not None and compare(found, wanted)

    return check


def _is_case(variable: str, text: _Text) -> Check:
    return _compared(variable, text, lambda found, wanted: found.lower() == wanted, fold=True)


def _is_subdomain_of(variable: str, text: _Text) -> Check:
    """True below a domain, not at it. A text that is no domain name when it comes to run has nothing below it."""
    if text.has_references:

        def below_filled(variables: Variables) -> bool:
            found = variables.get(variable)
            try:
                parent = _domain(text.filled(variables))
            except ValueError:
                return False
            return found is not None and bool(parent) and _is_below(found, parent)

        return below_filled
    parent = _parent(text.value)

    def below(variables: Variables) -> bool:
        found = variables.get(variable)
        return found is not None and _is_below(found, parent)

    return below


def _is_below(name: str, parent: str) -> bool:
    return name.lower().rstrip(".").endswith("." + parent)


def _parent(value: str) -> str:
    """The domain of ``isSubdomainOf``. Raises ValueError."""
    parent = _domain(value)
    if not parent or parent.startswith("."):
        raise ValueError(f"{value!r} is no domain name (it stands without a dot in front)")
    return parent


def _is(variable: str, text: _Text) -> Check:
    def same(found: str, wanted: str) -> bool:
        # The dialect writes numbers in quotes too: "05" and "5" are the same number.
        numbers = _number(found), _number(wanted)
        return found == wanted if None in numbers else numbers[0] == numbers[1]

    return _compared(variable, text, same, fold=False)


def _greater_than(variable: str, text: _Text) -> Check:
    def greater(found: str, wanted: str) -> bool:
        numbers = _number(found), _number(wanted)
        return None not in numbers and numbers[0] > numbers[1]

    return _compared(variable, text, greater, fold=False)


def _number(text: str) -> int | None:
    text = text.strip()
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None


def _ip_range(variable: str, text: _Text) -> Check:
    ranges = [address_range(word) for word in text.value.replace(",", " ").split()]
    if not ranges:
        raise ValueError("no address range is given")

    def inside(variables: Variables) -> bool:
        try:
            address = ipaddress.ip_address(variables.get(variable, ""))
        except ValueError:
            return False
        return any(low.version == address.version and low <= address <= high for low, high in ranges)

    return inside


def address_range(text: str) -> tuple:
    """First and last address of ``a-b``, ``net/bits``, ``net/mask`` or one address. Raises ValueError."""
    if "-" in text:
        low, high = (ipaddress.ip_address(part.strip()) for part in text.split("-", 1))
        if low.version != high.version or low > high:
            raise ValueError(f"{text!r} is no address range")
        return low, high
    network = ipaddress.ip_network(text, strict=False)
    return network[0], network[-1]


_TEST_NAMES = {
    "isCase": _is_case, "is": _is, "greaterThan": _greater_than, "ipRange": _ip_range,
    "isSubdomainOf": _is_subdomain_of,
}  # fmt: skip
_TESTS = {name.lower(): make for name, make in _TEST_NAMES.items()}
