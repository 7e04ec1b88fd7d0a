# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Edits of a policy script: many at once, each a splice of the text it owns, everything else as it was.

Owned are a method as a whole and its ``call`` line in an event. New text has the shape in which WebAdmin writes:
tabs, a blank before "(", one test on a line, closing parentheses on lines of their own. Edits are collected and
made in one pass; order, names and content are those of the last call for each method and event.
"""

from __future__ import annotations

import re
import typing as t

from .script import Block, Call, If, Script, ScriptError, Set, Span, Statement, Test, check_name, check_value, parse

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

_BLANKS = " \t"
_SPACE = " \t\r\n\f\v"
# What may follow a statement so that its line counts as its own: a comment, then the line end.
_REST_OF_LINE = re.compile(r"[ \t]*(?:\#[^\n]*)?\n|[ \t]*\r*\n")
_BLANK_REST = re.compile(r"[ \t]*(\r*\n|\Z)")
_EMPTY_LINE = re.compile(r"(\r*\n)\r*\n\Z")

#: A splice: the text from start to end becomes another text.
Splice = t.Tuple[int, int, str]
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
    """Whether two bodies say the same: names in any case, places in the text left out."""
    return _value_splices(one, other) == []


class ScriptEdit:
    """Edits of one script; :meth:`result` makes them. The script itself is not changed."""

    def __init__(self, script: Script) -> None:
        self.script = script
        # Lower-case method name -> what it shall be; None = removed.
        self._put: t.Dict[str, t.Optional[t.Tuple[str, t.List[Statement]]]] = {}
        self._values: t.Dict[str, t.Dict[str, t.Tuple[str, str]]] = {}
        self._events: t.Dict[str, _Calls] = {}
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
            body = put[1]
            index = _last_set(body, variable)
            if index is None:
                body.append(new)
            else:
                body[index] = Set(t.cast(Set, body[index]).variable, value)
        elif key in self._put or key not in self._blocks:
            raise ScriptError(0, 0, "the policy script has no method %s" % method)
        else:
            self._values.setdefault(key, {})[variable.lower()] = (variable, value)

    # --- calls ------------------------------------------------------------------------------------

    def put_call(
        self,
        event: str,
        name: str,
        before: t.Optional[str] = None,
        after: t.Union[None, str, t.Sequence[str]] = None,
        first_after_prefix: t.Optional[str] = None,
    ) -> None:
        """Make ``event`` call the method ``name`` once, and where: at most one of the three places is given.

        ``before`` or ``after`` another call; ``after`` several: behind the last of those that are there (none:
        before all calls); ``first_after_prefix``: behind the last call whose name starts so (none: before all
        calls). Without a place an existing call stays and a new one comes last. A call that stands right there
        already is not touched. A missing event is made. Raises :class:`ScriptError` if ``before`` or a single
        ``after`` names a call that is not there.
        """
        check_name(name, "method")
        calls = self._calls(event)
        if before is not None:
            calls.put_before(name, before)
        elif isinstance(after, str):
            calls.put_after(name, calls.last_of((after,), name) or calls.missing(after, name))
        elif after is not None:
            calls.put_after_or_first(name, calls.last_of(after, name))
        elif first_after_prefix is not None:
            calls.put_after_or_first(name, calls.last_with_prefix(first_after_prefix, name))
        else:
            calls.put_anywhere(name)

    def remove_call(self, event: str, name: str) -> None:
        """Remove all calls of ``name`` that stand directly in ``event``. None is not an error."""
        self._calls(event).remove(name)

    def _calls(self, event: str) -> "_Calls":
        key = event.lower()
        if key not in self._events:
            check_name(event, "event")
            self._events[key] = _Calls(event, [block for block in self.script.events if block.name.lower() == key])
        return self._events[key]

    # --- result -----------------------------------------------------------------------------------

    def result(self) -> Script:
        """The script with all edits made, parsed again."""
        text = self.script.text
        newline = self.script.newline
        splices: t.List[Splice] = []
        appended: t.List[str] = []
        removed: t.List[Span] = []
        for key, put in self._put.items():
            blocks = self._blocks.get(key, [])
            if put is None:
                removed += [block.span for block in blocks]
            elif blocks:
                removed += [block.span for block in blocks[1:]]
                splices += _replaced_body(blocks[0], put[1], newline)
            else:
                appended.append("method %s {%s" % (put[0], newline) + _rendered(put[1], 1, newline) + "}")
        for key, values in self._values.items():
            for variable, value in values.values():
                splices += _set_splices(text, self._blocks[key], variable, value, newline)
        new_events = []
        for calls in self._events.values():
            splices += calls.splices(text, newline)
            if not calls.blocks and calls.added:
                new_events.append(calls)
        splices += _new_event_splices(self.script, new_events, appended, newline)
        splices += _removals(text, sorted(removed))
        splices += _appended(text, appended, newline)
        return parse(_spliced(text, splices)) if splices else self.script
