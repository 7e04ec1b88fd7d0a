# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What conditions, and statements that are not understood, may do when they run.

A condition may set what is set inside of it and in the methods that are called from there. Of a statement that the
grammar does not have only the words are known: it may set every variable and run every method that it names, and some
words may end the run of their method or event, so that what stands behind them does not count.
"""

from __future__ import annotations

import typing as t

from .script import Block, Call, If, Set, Unknown, tokens

#: Words that end something in most languages. A word of its own in front of a ";" is taken for one as well.
_ENDS = frozenset(("return", "exit", "stop", "break", "end", "quit", "abort", "leave", "finish", "goto", "jump"))


def words(statement: Unknown) -> t.FrozenSet[str]:
    """All names in a statement, lower case; a string that is nothing but a name is one."""
    return frozenset(_word(token) for token in tokens(statement.text) if token.kind in ("name", "string"))


class Reach:
    """Follows the calls of one script. ``methods``: lower-case name -> all blocks of that name."""

    def __init__(self, methods: t.Mapping[str, t.Sequence[Block]]) -> None:
        self._methods = methods
        self._of_method: t.Dict[str, t.FrozenSet[str]] = {}

    def variables(self, statement: t.Any) -> t.FrozenSet[str]:
        """The variables (lower case) that a statement may set; the words of one that is not understood."""
        if isinstance(statement, Set):
            return frozenset((statement.variable.lower(),))
        if isinstance(statement, Call):
            return self._method(statement.method.lower())
        if isinstance(statement, If):
            return frozenset().union(*(self.variables(inner) for inner in statement.body))
        found = words(statement)
        return found.union(*(self._method(name) for name in found))

    def may_end(self, statement: t.Any) -> bool:
        """Whether a statement may end the run of its method or event, so that what stands behind it does not count."""
        if isinstance(statement, If):
            return any(self.may_end(inner) for inner in statement.body)
        if not isinstance(statement, Unknown):
            return False
        name = False
        for token in tokens(statement.text):
            if token.kind in ("blank", "comment"):
                continue
            if (token.kind == "name" and token.text.lower() in _ENDS) or (name and token.text == ";"):
                return True
            name = token.kind == "name"
        return False

    def _method(self, key: str) -> t.FrozenSet[str]:
        if key not in self._methods:
            return frozenset()
        if key not in self._of_method:
            found: t.Set[str] = set()
            seen = {key}
            waiting = [statement for block in self._methods[key] for statement in block.statements]
            while waiting:
                statement = waiting.pop()
                names: t.Collection[str] = ()
                if isinstance(statement, Set):
                    found.add(statement.variable.lower())
                elif isinstance(statement, If):
                    waiting += statement.body
                elif isinstance(statement, Call):
                    names = (statement.method.lower(),)
                else:
                    names = words(statement)
                    found.update(names)
                for name in names:
                    if name not in seen and name in self._methods:
                        seen.add(name)
                        waiting += [inner for block in self._methods[name] for inner in block.statements]
            self._of_method[key] = frozenset(found)
        return self._of_method[key]


def _word(token: t.Any) -> str:
    text = token.text.strip('"').strip() if token.kind == "string" else token.text
    return t.cast(str, text.lower())
