# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Immutable values, as ``dataclass(frozen=True)`` makes them, without the time that it takes.

For each class ``dataclass`` writes its methods as a text and compiles that. A module's process lives for one task, and
with twenty classes this was a sixth of all the time that a task of ours took beyond Ansible's own. Here all classes
share their methods; ``fields`` and ``replace`` of the module ``dataclasses`` work as ever::

    @dataclass(init=False, repr=False, eq=False)
    class Listener(Value):
        ...
"""

from __future__ import annotations

import dataclasses
import operator
import typing as t


class _Layout:
    """What the methods of :class:`Value` need to know of a class."""

    def __init__(self, cls: type) -> None:
        found = dataclasses.fields(cls)
        self.names = tuple(field.name for field in found)
        #: All fields in their order; those without a default have None.
        self.template = {field.name: None if field.default is dataclasses.MISSING else field.default for field in found}
        self.factories = tuple(
            (field.name, field.default_factory) for field in found if field.default_factory is not dataclasses.MISSING
        )
        self.required = tuple(
            field.name
            for field in found
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        self.shown = tuple(field.name for field in found if field.repr)
        self.compared = operator.itemgetter(*(field.name for field in found if field.compare))


_LAYOUTS: t.Dict[type, _Layout] = {}


def _layout(cls: type) -> _Layout:
    found = _LAYOUTS.get(cls)
    if found is None:
        found = _LAYOUTS[cls] = _Layout(cls)
    return found


class Value:
    """Base of immutable values. Fields may be given by position or by name; ``TypeError`` for those that are not right."""

    def __init__(self, *args: t.Any, **given: t.Any) -> None:
        layout = _layout(self.__class__)
        state = self.__dict__
        state.update(layout.template)
        for name, factory in layout.factories:
            if name not in given:
                state[name] = factory()
        if args:
            state.update(zip(layout.names, args))
            if len(args) > len(layout.names) or not given.keys().isdisjoint(layout.names[:len(args)]):
                raise TypeError("%s: too many values" % self.__class__.__name__)
        state.update(given)
        missing = [name for name in layout.required[len(args):] if name not in given]
        if missing or len(state) != len(layout.names):
            unknown = [name for name in given if name not in layout.template]
            raise TypeError("%s: missing %s, unknown %s" % (self.__class__.__name__, missing, unknown))

    def __eq__(self, other: object) -> t.Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        compared = _layout(self.__class__).compared
        return compared(self.__dict__) == compared(other.__dict__)

    def __hash__(self) -> int:
        return hash(_layout(self.__class__).compared(self.__dict__))

    def __repr__(self) -> str:
        shown = ", ".join("%s=%r" % (name, self.__dict__[name]) for name in _layout(self.__class__).shown)
        return "%s(%s)" % (self.__class__.__qualname__, shown)

    def __setattr__(self, name: str, value: t.Any) -> None:
        raise dataclasses.FrozenInstanceError("cannot assign to field %r" % name)

    def __delattr__(self, name: str) -> None:
        raise dataclasses.FrozenInstanceError("cannot delete field %r" % name)
