# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The calls of one event in the order in which they shall stand.

A linked list of the event's statements. Each edit costs the same however many there are, so that ten thousand
rules can be placed one behind the other.
"""

from __future__ import annotations

import typing as t

from .script import Block, Call, ScriptError, Span
from .splice import Splice, inserted, removed_statement

# Distance of two neighbours' labels. Each insertion between the same two halves it.
_GAP = 1 << 256


class _Node:
    """A statement, a new call (``span`` is None), or the start of a block (``name`` and ``span`` are None)."""

    __slots__ = ("name", "key", "span", "block", "previous", "next", "label")

    def __init__(self, name: t.Optional[str], span: t.Optional[Span], block: int) -> None:
        self.name = name
        self.key = name.lower() if name is not None else None
        self.span = span
        self.block = block
        self.previous: t.Optional[_Node] = None
        self.next: t.Optional[_Node] = None
        self.label = 0


class EventCalls:
    """Statements of all blocks of one event. An event that does not exist has no block."""

    def __init__(self, event: str, blocks: t.Sequence[Block]) -> None:
        self.event = event
        self.blocks = tuple(blocks)
        self._nodes: t.Dict[str, t.List[_Node]] = {}
        self._removed: t.List[Span] = []
        self._prefixes: t.Dict[str, t.Optional[_Node]] = {}
        self._head = self._tail = _Node(None, None, 0)
        for index, block in enumerate(self.blocks):
            if index:
                self._link(_Node(None, None, index), self._tail)
            for statement in block.statements:
                name = statement.method if isinstance(statement, Call) else None
                self._link(_Node(name, statement.span, index), self._tail)

    def has(self, name: str) -> bool:
        """Whether ``name`` is called."""
        return bool(self._nodes.get(name.lower()))

    # --- places -----------------------------------------------------------------------------------

    def existing(self, name: str, moved: str) -> t.List[_Node]:
        """The calls of ``name``, in relation to which ``moved`` is placed. Raises :class:`ScriptError`."""
        found = self._nodes.get(name.lower())
        if not found or name.lower() == moved.lower():
            raise ScriptError(0, 0, "event %s has no call (%s) to place call (%s) next to" % (self.event, name, moved))
        return found

    def last_of(self, names: t.Iterable[str], moved: str) -> t.Optional[_Node]:
        """The last call of any of these names; None if there is none."""
        found = [node for name in names if name.lower() != moved.lower() for node in self._nodes.get(name.lower(), ())]
        return max(found, key=lambda node: node.label) if found else None

    def last_with_prefix(self, prefix: str, moved: str) -> t.Optional[_Node]:
        """The last call whose name starts with ``prefix`` in any case; None if there is none."""
        prefix = prefix.lower()
        if moved.lower().startswith(prefix):
            return self._find_prefix(prefix, moved.lower())
        if prefix not in self._prefixes:
            self._prefixes[prefix] = self._find_prefix(prefix, None)
        return self._prefixes[prefix]

    def _find_prefix(self, prefix: str, moved: t.Optional[str]) -> t.Optional[_Node]:
        node: t.Optional[_Node] = self._tail
        while node is not None:
            if node.key is not None and node.key != moved and node.key.startswith(prefix):
                return node
            node = node.previous
        return None

    # --- edits ------------------------------------------------------------------------------------

    def put_after(self, name: str, anchor: _Node) -> None:
        """Call ``name`` right behind ``anchor``."""
        if anchor.next is None or not self._is_only(anchor.next, name):
            self.remove(name)
            self._insert(name, anchor)

    def put_before(self, name: str, anchor: _Node) -> None:
        """Call ``name`` right in front of ``anchor``."""
        if not self._is_only(t.cast(_Node, anchor.previous), name):
            self.remove(name)
            self._insert(name, t.cast(_Node, anchor.previous))

    def put_after_or_first(self, name: str, anchor: t.Optional[_Node]) -> None:
        """Call ``name`` right behind ``anchor``, or in front of all other calls if that is None."""
        if anchor is not None:
            self.put_after(name, anchor)
            return
        first = self._first_call()
        if first is not None and self._is_only(first, name):
            return
        self.remove(name)
        first = self._first_call()
        self._insert(name, self._tail if first is None else t.cast(_Node, first.previous))

    def _first_call(self) -> t.Optional[_Node]:
        node = self._head.next
        while node is not None and node.key is None:
            node = node.next
        return node

    def put_anywhere(self, name: str) -> None:
        """Call ``name`` where it is called already, or else last."""
        found = self._nodes.get(name.lower())
        if not found:
            self._insert(name, self._tail)
        for node in found[1:] if found else ():
            self._unlink(node)

    def remove(self, name: str) -> None:
        """Do not call ``name``."""
        for node in tuple(self._nodes.get(name.lower(), ())):
            self._unlink(node)

    def _is_only(self, node: _Node, name: str) -> bool:
        return node.key == name.lower() and len(self._nodes[node.key]) == 1

    def _insert(self, name: str, after: _Node) -> None:
        self._link(_Node(name, None, after.block), after)

    def _link(self, node: _Node, after: _Node) -> None:
        following = after.next
        if following is not None and following.label - after.label < 2:
            self._relabel()
        node.label = after.label + _GAP if following is None else (after.label + following.label) // 2
        node.previous, node.next = after, following
        after.next = node
        if following is None:
            self._tail = node
        else:
            following.previous = node
        if node.key is not None:
            # In order: a new call is made only when no other one of its name is left.
            self._nodes.setdefault(node.key, []).append(node)
            self._forget_prefixes(node.key)

    def _unlink(self, node: _Node) -> None:
        before = t.cast(_Node, node.previous)
        before.next = node.next
        if node.next is None:
            self._tail = before
        else:
            node.next.previous = before
        key = t.cast(str, node.key)
        self._nodes[key].remove(node)
        self._forget_prefixes(key)
        if node.span is not None:
            self._removed.append(node.span)

    def _relabel(self) -> None:
        node: t.Optional[_Node] = self._head
        label = 0
        while node is not None:
            node.label = label
            label += _GAP
            node = node.next

    def _forget_prefixes(self, key: str) -> None:
        for prefix in [prefix for prefix in self._prefixes if key.startswith(prefix)]:
            del self._prefixes[prefix]

    # --- result -----------------------------------------------------------------------------------

    def names(self) -> t.List[str]:
        """The names of all calls in order."""
        return [node.name for node in self._walk() if node.name is not None]

    def splices(self, text: str, newline: str) -> t.Iterator[Splice]:
        """What makes the event's blocks hold the calls. None for an event that does not exist."""
        for span in self._removed:
            yield removed_statement(text, span)
        if not self.blocks:
            return
        previous: t.Optional[Span] = None
        block = 0
        lines: t.List[str] = []
        for node in self._walk():
            if node.name is not None and node.span is None:
                lines.append("call (%s);" % node.name)
                continue
            if lines:
                yield inserted(text, self.blocks[block], previous, lines, newline)
                lines = []
            previous, block = node.span, node.block
        if lines:
            yield inserted(text, self.blocks[block], previous, lines, newline)

    def _walk(self) -> t.Iterator[_Node]:
        node: t.Optional[_Node] = self._head
        while node is not None:
            yield node
            node = node.next
