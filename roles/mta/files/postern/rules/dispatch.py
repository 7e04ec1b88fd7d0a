# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Statements in a row of which most concern others: a look-up finds those that are about this recipient.

A statement has *gates* when it does nothing unless one of them is open: a read-only variable has a value, or is a name
below a domain. Read-only variables do not change during a run, so that which gates are open is known before the first
statement runs; the open ones and those without gates then run in the order of the script, each once.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Sequence

from .condition import parents

_Op = t.TypeVar("_Op", bound=Callable[..., None])

#: Read-only variables with many possible values, so that a look-up separates rules well; the best first.
TELLING = (
    "relaydomain", "rcptdomain", "rcptto", "mailfromdomain", "mailfrom", "authuser", "remotesmtpip", "ehlohost",
)  # fmt: skip
#: Fewer statements with gates are not worth a dictionary.
MIN_ROW = 4


class Gate(t.NamedTuple):
    """``variable`` is ``value`` (folded), or with ``below`` a name below it."""

    variable: str
    value: str
    below: bool


#: None: no gate, it always runs. An empty sequence: there is nothing that it could do.
Gates = t.Optional[Sequence[Gate]]


def union(all_gates: t.Iterable[Gates]) -> Gates:
    """The gates of statements that run together."""
    found: list[Gate] = []
    for gates in all_gates:
        if gates is None:
            return None
        found += gates
    return found


def in_a_row(statements: Sequence[tuple[_Op, Gates]]) -> tuple[_Op, ...]:
    """What does the same as these statements one after the other."""
    ops = tuple(op for op, _gates in statements)
    if sum(gates is not None for _op, gates in statements) < MIN_ROW:
        return ops
    return (t.cast(_Op, Dispatch(ops, [gates for _op, gates in statements])),)


class Dispatch:
    """The statements of a row: a call runs those that are about this run's variables."""

    __slots__ = ("_ops", "_always", "_tables")

    def __init__(self, ops: Sequence[Callable[..., None]], all_gates: Sequence[Gates]) -> None:
        self._ops = ops
        self._always = [number for number, gates in enumerate(all_gates) if gates is None]
        # Variable -> value -> numbers of statements; one for equal values, one for values below.
        tables: dict[str, tuple[dict[str, list[int]], dict[str, list[int]]]] = {}
        for number, gates in enumerate(all_gates):
            for variable, value, below in gates or ():
                table = tables.setdefault(variable, ({}, {}))[below]
                table.setdefault(value, []).append(number)
        self._tables = tuple((variable, *both) for variable, both in tables.items())

    def __call__(self, run: t.Any) -> None:
        hits = self._open(run.variables)
        # A statement may be behind several gates that are open.
        for number in sorted({*hits, *self._always}) if hits else self._always:
            self._ops[number](run)

    def is_idle(self, variables: t.Mapping[str, str]) -> bool:
        """Whether none of the statements is about these variables."""
        return not self._always and not self._open(variables)

    def _open(self, variables: t.Mapping[str, str]) -> list[int]:
        hits: list[int] = []
        for variable, equal, below in self._tables:
            value = variables.get(variable)
            if value is None:
                continue
            hits += equal.get(value.lower(), ())
            if below:
                for parent in parents(value):
                    hits += below.get(parent, ())
        return hits
