# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Edits of a policy script: many at once, each a splice of the text it owns, everything else as it was.

Owned are a method as a whole and its ``call`` line in an event. New text has the shape in which WebAdmin writes:
tabs, a blank before "(", one test on a line, closing parentheses on lines of their own. Edits are collected and
made in one pass; order, names and content are those of the last call for each method and event.
"""

from __future__ import annotations

import typing as t

from .script import (
    Block,
    Call,
    If,
    Script,
    ScriptError,
    Set,
    Span,
    Statement,
    Test,
    check_name,
    check_value,
    lines_of,
    parse,
)
from .script_calls import EventCalls
from .splice import Splice, appended, behind, inserted, removed_blocks, removed_statement, spliced

#: Events in the order in which WebAdmin writes them; a new event goes behind those that come before it.
EVENT_ORDER = (
    "onconnect",
    "onehlo",
    "onmailfrom",
    "onrcptto",
    "onheadersreceived",
    "onbodychunk",
    "ondatareceived",
    "onrelay",
    "ondeliveryfailure",
    "ontemporarydeliveryfailure",
    "onprocessing",
    "ondeliverysuccess",
)

AnyTest = t.Union[Test, t.Tuple[str, str, str]]


def new_set(variable: str, value: str) -> Set:
    """A ``set`` statement. Raises :class:`ScriptError` for what a script cannot hold."""
    return Set(check_name(variable, "variable"), check_value(value, variable))


def new_if(match: str, tests: t.Sequence[AnyTest], body: t.Sequence[Statement]) -> If:
    """An ``if``: ``match`` is "all" or "any", a test is (name, variable, value). Raises :class:`ScriptError`."""
    if match not in ("all", "any") or not tests:
        raise ScriptError(0, 0, 'a condition needs "all" or "any" and at least one test')
    checked = [
        Test(check_name(name, "test"), check_name(variable, "variable"), check_value(value, variable))
        for name, variable, value in tests
    ]
    return If(match, tuple(checked), tuple(body))


def same_meaning(one: t.Sequence[Statement], other: t.Sequence[Statement]) -> bool:
    """Whether two bodies say the same: names in any case, line ends and places in the text left out."""
    return _value_splices(one, other) == []


class ScriptEdit:
    """Edits of one script; :meth:`result` makes them. The script itself is not changed."""

    def __init__(self, script: Script) -> None:
        self.script = script
        # Lower-case method name -> what it shall be; None = removed. The body of a new one may be text.
        self._put: t.Dict[str, t.Optional[t.Tuple[str, t.Union[str, t.List[Statement]]]]] = {}
        # Lower-case method name -> lower-case variable -> its spelling and value; None = no such line.
        self._values: t.Dict[str, t.Dict[str, t.Tuple[str, t.Optional[str]]]] = {}
        self._events: t.Dict[str, EventCalls] = {}
        self._blocks: t.Dict[str, t.List[Block]] = {}
        for block in script.methods:
            self._blocks.setdefault(block.name.lower(), []).append(block)

    # --- methods ----------------------------------------------------------------------------------

    def put_method(self, name: str, body: t.Sequence[Statement]) -> None:
        """Make the method ``name`` hold ``body``, a sequence of :func:`new_set`, :func:`new_if` and ``Call``.

        An existing one keeps its place. Where only values of ``set`` differ, only these strings are replaced.
        Further methods of that name are removed. Raises :class:`ScriptError` for a name that is none.
        """
        key = name.lower()
        if key not in self._blocks:
            check_name(name, "method")
        self._values.pop(key, None)
        self._put[key] = (name, list(body))

    def put_new_method(self, name: str, body: str) -> None:
        """Make a method that is not there yet; ``body`` is the text between its braces, with LF line ends.

        Raises :class:`ScriptError` for a name that is none.
        """
        key = name.lower()
        if key in self._blocks:
            raise ScriptError(0, 0, "the policy script has a method %s already" % name)
        self._put[key] = (check_name(name, "method"), body)

    def remove_method(self, name: str) -> None:
        """Remove all methods of that name, each with the empty line in front of it. None is not an error."""
        key = name.lower()
        self._values.pop(key, None)
        if key in self._blocks:
            self._put[key] = None
        else:
            self._put.pop(key, None)

    def set_value(self, method: str, variable: str, value: str) -> None:
        """Give ``variable`` the value in the last unconditional ``set`` of a method, or append such a ``set``.

        Raises :class:`ScriptError` if there is no such method.
        """
        key = method.lower()
        new = new_set(variable, value)
        put = self._put.get(key)
        if put is not None:
            body = _statements(put)
            index = _last_set(body, variable)
            if index is None:
                body.append(new)
            else:
                body[index] = Set(t.cast(Set, body[index]).variable, value)
        elif key in self._put or key not in self._blocks:
            raise ScriptError(0, 0, "the policy script has no method %s" % method)
        else:
            self._values.setdefault(key, {})[variable.lower()] = (variable, value)

    def remove_value(self, method: str, variable: str) -> None:
        """Take all unconditional ``set`` lines of ``variable`` out of a method. None is not an error."""
        key = method.lower()
        put = self._put.get(key)
        if put is not None:
            body = _statements(put)
            body[:] = [one for one in body if not _sets(one, variable)]
        elif key not in self._put and key in self._blocks:
            self._values.setdefault(key, {})[variable.lower()] = (variable, None)

    # --- calls ------------------------------------------------------------------------------------

    def put_call(
        self,
        event: str,
        name: str,
        before: t.Optional[str] = None,
        after: t.Union[None, str, t.Sequence[str]] = None,
        first_after_prefix: t.Optional[str] = None,
        number: t.Optional[int] = None,
    ) -> None:
        """Make ``event`` call the method ``name`` once, and where: at most one of the three places is given.

        ``before`` or ``after`` another call; ``after`` several: behind the last of those that are there (none:
        before all calls); ``first_after_prefix``: behind the last call whose name starts so (none: before all
        calls). Without a place an existing call stays and a new one comes last. A call that stands right there
        already is not touched. ``number`` is the one that is meant, from 0, where the event calls ``before`` or
        ``after`` several times (None: the first one, the last one). A missing event is made. Raises
        :class:`ScriptError` if ``before`` or a single ``after`` names a call that is not there.
        """
        calls = self._calls(event)
        if name.lower() not in self._blocks and not calls.has(name):
            check_name(name, "method")
        if before is not None:
            calls.put_before(name, calls.existing(before, name)[0 if number is None else number])
        elif isinstance(after, str):
            calls.put_after(name, calls.existing(after, name)[-1 if number is None else number])
        elif after is not None:
            calls.put_after_or_first(name, calls.last_of(after, name))
        elif first_after_prefix is not None:
            calls.put_after_or_first(name, calls.last_with_prefix(first_after_prefix, name))
        else:
            calls.put_anywhere(name)

    def remove_call(self, event: str, name: str) -> None:
        """Remove all calls of ``name`` that stand directly in ``event``. None is not an error."""
        self._calls(event).remove(name)

    def _calls(self, event: str) -> EventCalls:
        key = event.lower()
        if key not in self._events:
            check_name(event, "event")
            self._events[key] = EventCalls(event, [block for block in self.script.events if block.name.lower() == key])
        return self._events[key]

    # --- result -----------------------------------------------------------------------------------

    def result(self) -> Script:
        """The script with all edits made, parsed again."""
        text = self.script.text
        newline = self.script.newline
        splices: t.List[Splice] = []
        new_blocks: t.List[str] = []
        removed: t.List[Span] = []
        for key, put in self._put.items():
            blocks = self._blocks.get(key, [])
            if put is None:
                removed += [block.span for block in blocks]
            elif isinstance(put[1], str):
                new_blocks.append("method %s {%s}" % (put[0], put[1].replace("\n", newline)))
            elif blocks:
                removed += [block.span for block in blocks[1:]]
                splices += _body_splices(blocks[0], put[1], newline)
            else:
                new_blocks.append(_block("method", put[0], put[1], newline))
        for key, values in self._values.items():
            for block in self._blocks[key]:
                splices += _set_splices(text, block, values.values(), newline)
        for calls in self._events.values():
            splices += calls.splices(text, newline)
        event_splices, loose_events = self._new_events(newline)
        splices += event_splices
        splices += removed_blocks(text, sorted(removed))
        splices += appended(text, loose_events + new_blocks, newline)
        return parse(spliced(text, splices)) if splices else self.script

    def _new_events(self, newline: str) -> t.Tuple[t.List[Splice], t.List[str]]:
        """Events to be made: behind an event that is there; texts of those for which there is none."""
        missing = [calls for calls in self._events.values() if not calls.blocks and calls.names()]
        missing.sort(key=lambda calls: _event_order(calls.event))
        splices: t.List[Splice] = []
        loose: t.List[str] = []
        for calls in missing:
            block = _block("event", calls.event, [Call(name) for name in calls.names()], newline)
            earlier = [one for one in self.script.events if _event_order(one.name) < _event_order(calls.event)]
            if self.script.events:
                splices.append(behind(self.script.text, (earlier or self.script.events)[-1].span[1], block, newline))
            else:
                loose.append(block)
        return splices, loose


def _event_order(name: str) -> int:
    key = name.lower()
    return EVENT_ORDER.index(key) if key in EVENT_ORDER else len(EVENT_ORDER)


def _statements(put: t.Tuple[str, t.Union[str, t.List[Statement]]]) -> t.List[Statement]:
    if isinstance(put[1], str):
        raise ScriptError(0, 0, "method %s is new and was given as text" % put[0])
    return put[1]


def _sets(statement: Statement, variable: str) -> bool:
    return isinstance(statement, Set) and statement.variable.lower() == variable.lower()


def _last_set(body: t.Sequence[Statement], variable: str) -> t.Optional[int]:
    for index in range(len(body) - 1, -1, -1):
        if _sets(body[index], variable):
            return index
    return None


# --- splices of a method ------------------------------------------------------------------------------


def _set_splices(
    text: str, block: Block, values: t.Iterable[t.Tuple[str, t.Optional[str]]], newline: str
) -> t.List[Splice]:
    """What gives each variable its value in a method, or takes its lines out. New lines come last, in order."""
    splices: t.List[Splice] = []
    lines: t.List[str] = []
    for variable, value in values:
        index = _last_set(block.statements, variable)
        if value is None:
            splices += [removed_statement(text, one.span) for one in block.statements if _sets(one, variable)]
        elif index is None:
            lines.append(_line(new_set(variable, value)))
        else:
            found = t.cast(Set, block.statements[index])
            splices += [] if found.value == value else [(*found.value_span, value)]
    if lines:
        previous = block.statements[-1].span if block.statements else None
        splices.append(inserted(text, block, previous, lines, newline))
    return splices


def _body_splices(block: Block, body: t.Sequence[Statement], newline: str) -> t.List[Splice]:
    splices = _value_splices(block.statements, body)
    if splices is not None:
        return splices
    return [(*block.body_span, newline + "".join(_rendered(body, "\t", newline)))]


def _value_splices(old: t.Sequence[Statement], new: t.Sequence[Statement]) -> t.Optional[t.List[Splice]]:
    """What makes ``old`` say what ``new`` says if only values of ``set`` differ, else None."""
    if len(old) != len(new):
        return None
    splices: t.List[Splice] = []
    for one, other in zip(old, new):
        if isinstance(one, Set) and isinstance(other, Set):
            if one.variable.lower() != other.variable.lower():
                return None
            if lines_of(one.value) != lines_of(other.value):
                splices.append((*one.value_span, other.value))
        elif isinstance(one, If) and isinstance(other, If):
            inner = _value_splices(one.body, other.body) if _same_condition(one, other) else None
            if inner is None:
                return None
            splices += inner
        elif isinstance(one, Call) and isinstance(other, Call):
            if one.method.lower() != other.method.lower():
                return None
        else:
            return None
    return splices


def _same_condition(one: If, other: If) -> bool:
    if one.match != other.match and len(one.tests) > 1:
        return False
    return [(x.name.lower(), x.variable.lower(), x.value) for x in one.tests] == [
        (x.name.lower(), x.variable.lower(), x.value) for x in other.tests
    ]


# --- new text in WebAdmin's shape ---------------------------------------------------------------------


def rendered(body: t.Sequence[Statement]) -> str:
    """What stands between the braces of a method, with LF line ends."""
    return "\n" + "".join(_rendered(body, "\t", "\n"))


def _block(kind: str, name: str, body: t.Sequence[Statement], newline: str) -> str:
    return "%s %s {%s%s}" % (kind, name, newline, "".join(_rendered(body, "\t", newline)))


def _rendered(body: t.Sequence[Statement], indent: str, newline: str) -> t.Iterator[str]:
    """Lines with their line ends."""
    for statement in body:
        if not isinstance(statement, If):
            yield indent + _line(statement) + newline
            continue
        yield indent + "if (" + newline
        yield indent + "\t%sOf (" % statement.match + newline
        for index, test in enumerate(statement.tests, 1):
            comma = "," if index < len(statement.tests) else ""
            yield indent + '\t\t%s (%s, "%s")%s' % (test.name, test.variable, test.value, comma) + newline
        yield indent + "\t)" + newline
        yield indent + ") {" + newline
        yield from _rendered(statement.body, indent + "\t", newline)
        yield indent + "}" + newline


def _line(statement: Statement) -> str:
    if isinstance(statement, Set):
        return 'set (%s, "%s");' % (statement.variable, statement.value)
    if isinstance(statement, Call):
        return "call (%s);" % statement.method
    raise TypeError("a %s cannot be written into a policy script" % type(statement).__name__)
