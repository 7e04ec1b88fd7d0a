# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two looks at a policy script: what the second must know of the first, and the sample rules that came between.

No text of a script gets into a description, because a script may hold a password.
"""

from __future__ import annotations

import hashlib
import re
import typing as t

from ..._policy.errors import PolicyError, arrived
from . import sample as samples
from . import script as language

#: The one shape of a description so far.
FORMAT = 1


class SampleError(Exception):
    """A sample rule does not say what was asked for; the text says why."""


def describe(script: language.Script, version: str) -> t.Dict[str, t.Any]:
    """What the second look must know of the first one, as plain data.

    Names of methods and calls, and digests of their shape. Texts and comments are left out of the digests, because
    from the digest of a text that is short, as a password is, the text can be found.
    """
    methods: t.Dict[str, t.List[str]] = {}
    for block in script.methods:
        methods.setdefault(block.name, []).append(_shape(script.text[slice(*block.span)]))
    return {
        "format": FORMAT,
        "server_version": version,
        "shape": _shape(script.text),
        "methods": {name: _digest(" ".join(shapes)) for name, shapes in methods.items()},
        "calls": {
            block.name: [one.method for one in block.statements if isinstance(one, language.Call)]
            for block in script.events
        },
    }


def _shape(text: str) -> str:
    parts = ('"' if token.kind == "string" else token.text for token in language.tokens(text) if _counts(token.kind))
    return _digest(" ".join(parts))


def _counts(kind: str) -> bool:
    return kind not in ("blank", "comment")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def checked_description(document: t.Any, option: str = "before") -> t.Dict[str, t.Any]:
    """A description as :func:`describe` gives it. Raises ``PolicyError`` for anything else."""
    if not isinstance(document, t.Mapping):
        got = arrived(document)
        raise PolicyError("%s must be the dictionary that the first step returned; got %s" % (option, got))
    if document.get("format") not in (FORMAT, str(FORMAT)) or not isinstance(document.get("methods"), t.Mapping):
        raise PolicyError("%s is not what the first step returned as before (format %d)" % (option, FORMAT))
    return dict(document)


def sample_methods(names: t.Iterable[str]) -> t.List[str]:
    """Those of the names that are sample rules."""
    return [name for name in names if bare_name(samples.PREFIX) in bare_name(name)]


class Finder:
    """Sample rules in a script, by name, with what makes one unusable."""

    def __init__(self, before: t.Mapping[str, t.Any], script: language.Script) -> None:
        self.script = script
        self.old = {bare_name(str(name)) for name in before["methods"]}
        self.unchanged = before.get("shape") == _shape(script.text)
        self._wanted: t.Set[str] = set()

    def expect(self, names: t.Iterable[str]) -> None:
        """Names that are looked for: none of them is taken for another one."""
        self._wanted |= {bare_name(name) for name in names}

    def find(self, name: str) -> t.Optional[language.Block]:
        """The method of a sample, None when there is none. Raises :class:`SampleError`."""
        key = bare_name(name)
        blocks = [block for block in self.script.methods if bare_name(block.name) == key]
        # WebAdmin may put something of its own before or behind a name.
        blocks = blocks or [
            block
            for block in self.script.methods
            if key in bare_name(block.name) and bare_name(block.name) not in self._wanted | self.old
        ]
        if len(blocks) > 1:
            raise SampleError("it stands %d times in the script (%s): leave one" % (len(blocks), _names(blocks)))
        if not blocks:
            return None
        if bare_name(blocks[0].name) in self.old:
            raise SampleError(
                "a rule of this name was there at the first look already, so that nobody knows who made it and when: "
                "remove it and begin again with the first step"
            )
        return blocks[0]

    def absence(self, name: str) -> str:
        """Why a sample is not there, as far as that can be said."""
        if self.unchanged:
            return "there is no such rule, and the script is the one of the first look: were the rules saved?"
        new = [block.name for block in self.script.methods if bare_name(block.name) not in self.old | self._wanted]
        if new:
            return "there is no rule of this name; new are %s: give it the name %s exactly" % (", ".join(new), name)
        return "there is no rule of this name: it was not made or not saved, or WebAdmin does not save disabled rules"

    def events(self, block: language.Block) -> t.List[str]:
        """The events that call a method directly."""
        return [
            event.name
            for event in self.script.events
            if any(
                isinstance(one, language.Call) and one.method.lower() == block.name.lower() for one in event.statements
            )
        ]


def _names(blocks: t.Iterable[language.Block]) -> str:
    return ", ".join(block.name for block in blocks)


def bare_name(name: str) -> str:
    """A name without what WebAdmin may have changed in it: case, blanks, punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
