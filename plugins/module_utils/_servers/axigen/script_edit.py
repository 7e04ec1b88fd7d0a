# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Edits of a policy script, collected and then made in one pass.

Everything is a splice: a place in the old text and what stands there instead. New text is written as the
server's own administration pages write it (tabs, one test per line), with the main line end of the script.
Adding a method or a call and removing it again gives the old bytes back.
"""

from __future__ import annotations

import re
import typing as t

from .script import Block, Call, Script, ScriptError, Set, parse

#: What may stand behind a statement on its line and belongs to the line: blanks and a comment.
_LINE_REST = re.compile(r"[ \t]*(?:#[^\n]*?)?(?=\r?\n|\Z)")


class NewSet(t.NamedTuple):
    """A ``set`` statement to be written."""

    variable: str
    value: str


class NewIf(t.NamedTuple):
    """An ``if`` statement to be written: tests are (name, variable, value)."""

    match: str
    tests: t.Tuple[t.Tuple[str, str, str], ...]
    body: t.Tuple[NewSet, ...]


def new_set(variable: str, value: str) -> NewSet:
    """``set (variable, "value");`` Raises :class:`ScriptError` for a value that no string can hold."""
    return NewSet(variable, _checked(value))


def new_if(match: str, tests: t.Iterable[t.Tuple[str, str, str]], body: t.Iterable[NewSet]) -> NewIf:
    """``if (allOf|anyOf (tests)) { body }``; ``match`` is ``all`` or ``any``."""
    return NewIf(match, tuple((name, variable, _checked(value)) for name, variable, value in tests), tuple(body))


def _checked(value: str) -> str:
    if '"' in value:
        raise ScriptError("a string of the policy script cannot hold a double quote")
    return value


class _Event:
    """The calls of one event while they are edited: old calls as :class:`Call`, new ones as names."""

    def __init__(self, name: str, block: t.Optional[Block]) -> None:
        self.name = name
        self.block = block
        self._items: t.List[t.Union[Call, str]] = []
        if block is not None:
            self._items = [statement for statement in block.statements if isinstance(statement, Call)]
        self._gone: t.Set[str] = set()
        self._places: t.Optional[t.Dict[str, int]] = None

    @property
    def items(self) -> t.List[t.Union[Call, str]]:
        """The calls in order. Removals wait until somebody looks, so that many of them cost one pass."""
        if self._gone:
            self._items = [item for item in self._items if _called(item) not in self._gone]
            self._gone.clear()
            self._places = None
        return self._items

    def remove(self, name: str) -> None:
        self._gone.add(name.lower())

    def place(self, name: str) -> t.Optional[int]:
        """Index of a call; the index is kept while calls are only appended."""
        items = self.items
        if self._places is None:
            self._places = {}
            for index, item in enumerate(items):
                self._places.setdefault(_called(item), index)
        return self._places.get(name.lower())

    def insert(self, index: int, name: str) -> None:
        if index == len(self.items) and self._places is not None:
            self._places[name.lower()] = index
        else:
            self._places = None
        self.items.insert(index, name)


def _called(item: t.Union[Call, str]) -> str:
    return (item.method if isinstance(item, Call) else item).lower()


class ScriptEdit:
    """A batch of edits of one script; :meth:`result` gives the new script and leaves the old one alone."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._newline = script.newline
        self._events: t.Dict[str, _Event] = {}
        self._bodies: t.Dict[str, t.Tuple[str, t.Tuple[t.Any, ...]]] = {}
        self._removed: t.Set[str] = set()
        self._values: t.Dict[t.Tuple[str, str], t.Tuple[str, str]] = {}

    # --- edits ----------------------------------------------------------------------------------

    def put_method(self, name: str, body: t.Iterable[t.Any]) -> None:
        """Give a method this body; a method that does not exist comes behind the last block."""
        self._unique(name)
        self._removed.discard(name.lower())
        self._bodies[name.lower()] = (name, tuple(body))

    def remove_method(self, name: str) -> None:
        """Take a method away, with the empty line before it."""
        self._unique(name)
        self._bodies.pop(name.lower(), None)
        self._removed.add(name.lower())

    def set_value(self, method: str, variable: str, value: str) -> None:
        """Replace the string of a method's last ``set`` of a variable, or add such a ``set`` at its end."""
        self._unique(method)
        self._values[(method.lower(), variable.lower())] = (variable, _checked(value))

    def put_call(
        self,
        event: str,
        name: str,
        before: t.Optional[str] = None,
        after: t.Union[None, str, t.Sequence[str]] = None,
    ) -> None:
        """Call a method from an event: before or behind another call, else last. An existing call moves.

        With several names ``after`` means behind the last of those that are called.
        """
        edited = self._event(event)
        if edited.place(name) is not None:
            edited.remove(name)
        edited.insert(self._index(edited, before, after), name)

    def remove_call(self, event: str, name: str) -> None:
        """Take all calls of a method out of an event."""
        if self._script.event(event) is not None or event.lower() in self._events:
            self._event(event).remove(name)

    @staticmethod
    def _index(event: _Event, before: t.Optional[str], after: t.Union[None, str, t.Sequence[str]]) -> int:
        if before is not None:
            place = event.place(before)
            if place is None:
                raise ScriptError("event %s does not call %s" % (event.name, before))
            return place
        if after is None:
            return len(event.items)
        names = (after,) if isinstance(after, str) else after
        places = [place for place in map(event.place, names) if place is not None]
        if not places:
            raise ScriptError("event %s does not call %s" % (event.name, ", ".join(names)))
        return max(places) + 1

    def _event(self, name: str) -> _Event:
        if name.lower() in (twice.lower() for twice in self._script.duplicate_events):
            raise ScriptError("event %s stands twice in the script; make it one block" % name)
        if name.lower() not in self._events:
            self._events[name.lower()] = _Event(name, self._script.event(name))
        return self._events[name.lower()]

    def _unique(self, name: str) -> None:
        if self._script.duplicate_methods and name.lower() in map(str.lower, self._script.duplicate_methods):
            raise ScriptError("method %s stands twice in the script; take one of them away" % name)

    # --- result ---------------------------------------------------------------------------------

    def result(self) -> Script:
        """The edited script. Raises :class:`ScriptError` if it would not parse."""
        splices: t.List[t.Tuple[int, int, str]] = []
        for event in self._events.values():
            splices += self._event_splices(event)
        splices += self._method_splices()
        splices += self._value_splices()
        if not splices:
            return self._script
        splices.sort(key=lambda splice: splice[:2])
        text, pieces, at = self._script.text, [], 0
        for start, end, new in splices:
            if start < at:
                raise ScriptError("two edits meet in one place of the script; make them one after the other")
            pieces += (text[at:start], new)
            at = end
        return parse("".join(pieces) + text[at:])

    def _method_splices(self) -> t.Iterator[t.Tuple[int, int, str]]:
        added = []
        for key, (name, body) in self._bodies.items():
            block = self._script.method(key)
            if block is None:
                added.append("method %s {%s}" % (name, self._body(body)))
            else:
                yield (*block.body_span, self._body(body))
        for key in self._removed:
            block = self._script.method(key)
            if block is not None:
                yield (*self._with_gap(block), "")
        if added:
            yield self._append_blocks(added, self._script.blocks)

    def _append_blocks(self, texts: t.Sequence[str], behind: t.Sequence[Block]) -> t.Tuple[int, int, str]:
        """New blocks behind the last of these, each with an empty line before it."""
        gap = self._newline * 2
        if behind:
            anchor = self._line_end(behind[-1].span[1])
            return (anchor, anchor, "".join(gap + text for text in texts))
        text = self._script.text
        lead = "" if not text or text.endswith("\n") else self._newline
        return (len(text), len(text), lead + gap.join(texts) + self._newline)

    def _with_gap(self, block: Block) -> t.Tuple[int, int]:
        """A block and the line end and empty line before it; for the first thing of a script the line end behind it."""
        start, end = block.span
        before = re.search(r"(?:\r?\n){1,2}\Z", self._script.text[max(0, start - 4):start])
        if before is not None:
            return (start - len(before.group()), end)
        behind = re.compile(r"\r?\n").match(self._script.text, end)
        return (start, behind.end() if behind else end)

    def _value_splices(self) -> t.Iterator[t.Tuple[int, int, str]]:
        for (method, key), (variable, value) in self._values.items():
            block = self._script.method(method)
            if block is None or method in self._bodies or method in self._removed:
                raise ScriptError("there is no method %s whose value could be set" % method)
            found = [s for s in block.statements if isinstance(s, Set) and s.variable.lower() == key]
            if found:
                yield (*found[-1].value_span, '"%s"' % value)
            else:
                last = block.statements[-1].span[1] if block.statements else block.body_span[0]
                yield self._insert_lines(block, last, ['set (%s, "%s");' % (variable, value)])

    def _event_splices(self, event: _Event) -> t.Iterator[t.Tuple[int, int, str]]:
        if event.block is None:
            if event.items:
                calls = "".join("%s\tcall (%s);" % (self._newline, item) for item in event.items)
                text = "event %s {%s%s}" % (event.name, calls, self._newline)
                events = self._script.events
                yield self._append_blocks([text], events) if events else self._prepend(text)
            return
        kept = {item.span for item in event.items if isinstance(item, Call)}
        for statement in event.block.statements:
            if isinstance(statement, Call) and statement.span not in kept:
                yield (*self._with_line(statement.span), "")
        run: t.List[str] = []
        previous: t.Optional[Call] = None
        for item in event.items:
            if isinstance(item, Call):
                if run:
                    yield self._insert_run(event.block, previous, item, run)
                previous, run = item, []
            else:
                run.append("call (%s);" % item)
        if run:
            yield self._insert_run(event.block, previous, None, run)

    def _insert_run(
        self, block: Block, previous: t.Optional[Call], following: t.Optional[Call], lines: t.List[str]
    ) -> t.Tuple[int, int, str]:
        if previous is not None:
            return self._insert_lines(block, previous.span[1], lines)
        if following is not None:
            start = following.span[0]
            line_start = self._script.text.rfind("\n", 0, start) + 1
            indent = self._script.text[line_start:start]
            if indent.strip():
                return (start, start, " ".join(lines) + " ")
            return (line_start, line_start, "".join(indent + line + self._newline for line in lines))
        others = [statement for statement in block.statements if not isinstance(statement, Call)]
        return self._insert_lines(block, others[-1].span[1] if others else block.body_span[0], lines)

    def _insert_lines(self, block: Block, offset: int, lines: t.Sequence[str]) -> t.Tuple[int, int, str]:
        """Lines of their own behind the line in which ``offset`` lies, or right there if more stands on it."""
        anchor = self._line_end(offset)
        new = "".join("%s\t%s" % (self._newline, line) for line in lines)
        if anchor >= block.body_span[1] or not re.compile(r"\r?\n").match(self._script.text, anchor):
            anchor = offset
            new += self._newline + ("" if offset >= block.body_span[1] else "\t")
        return (anchor, anchor, new)

    def _line_end(self, offset: int) -> int:
        rest = _LINE_REST.match(self._script.text, offset)
        return rest.end() if rest else offset

    def _with_line(self, span: t.Tuple[int, int]) -> t.Tuple[int, int]:
        """A statement with its whole line when nothing else stands on it."""
        text = self._script.text
        start = text.rfind("\n", 0, span[0]) + 1
        line_end = re.compile(r"[ \t]*(?:\r?\n)").match(text, span[1])
        if text[start:span[0]].strip() or line_end is None:
            return span
        return (start, line_end.end())

    def _prepend(self, text: str) -> t.Tuple[int, int, str]:
        at = 1 if self._script.text.startswith("\ufeff") else 0
        return (at, at, text + self._newline * 2)

    # --- rendering ------------------------------------------------------------------------------

    def _body(self, statements: t.Iterable[t.Any]) -> str:
        lines = [line for statement in statements for line in _lines(statement)]
        return self._newline + "".join("\t" + line + self._newline for line in lines)


def _lines(statement: t.Union[NewSet, NewIf]) -> t.List[str]:
    """A statement as the server's administration pages write it."""
    if isinstance(statement, NewSet):
        return ['set (%s, "%s");' % statement]
    tests = ['\t\t%s (%s, "%s")' % test for test in statement.tests]
    lines = ["if (", "\t%s (" % {"all": "allOf", "any": "anyOf"}[statement.match]]
    lines += [test + "," for test in tests[:-1]] + tests[-1:]
    lines += ["\t\t)", "\t) {"]
    lines += ["\t" + line for inner in statement.body for line in _lines(inner)]
    return lines + ["}"]
