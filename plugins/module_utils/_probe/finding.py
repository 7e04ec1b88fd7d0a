# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Findings: a verdict on one requirement, and the few ways to come from facts to one."""

from __future__ import annotations

import typing as t

from .observation import Fact, Observation
from .requirement import FAIL, PASS, UNOBSERVABLE

#: Names of a list that are shown before it is cut.
_SHOWN = 8

Parameters = t.Mapping[str, t.Any]
Judge = t.Callable[[Observation, Parameters], "Finding"]


class Finding(t.NamedTuple):
    """A verdict, in words what it rests on, the side that refused or is in the way, and the evidence."""

    verdict: str
    seen: str
    side: str = ""
    evidence: t.Tuple[int, ...] = ()


def settled(good: bool, facts: t.Sequence[Fact], seen: t.Optional[str] = None) -> Finding:
    """Pass or fail; words and side are those of the first fact unless there are better words."""
    evidence = sorted({number for fact in facts for number in fact.evidence})
    words = facts[0].seen if seen is None else seen
    return Finding(PASS if good else FAIL, words, facts[0].side, tuple(evidence))


def unseen(fact: Fact, seen: t.Optional[str] = None) -> Finding:
    """Not observable, for the reason that the fact gives unless there are better words."""
    return Finding(UNOBSERVABLE, fact.seen if seen is None else seen, fact.side, fact.evidence)


def listed(names: t.Sequence[str]) -> str:
    """Names in one line, a long list cut."""
    if len(names) <= _SHOWN:
        return ", ".join(names)
    return "%s and %d more" % (", ".join(names[:_SHOWN]), len(names) - _SHOWN)


def simple(name: str, wanted: t.Any) -> Judge:
    """The judge of a fact that has exactly one good value."""

    def look(observation: Observation, _parameters: Parameters) -> Finding:
        fact = observation.fact(name)
        return settled(fact.value == wanted, [fact]) if fact.observable else unseen(fact)

    return look


def all_refused(observation: Observation, versions: t.Sequence[str]) -> t.Optional[t.List[Fact]]:
    """The facts that show that none of these versions is accepted, or None when they do not show it."""
    facts = [observation.fact("version." + version) for version in versions]
    return facts if all(fact.observable and fact.value is False for fact in facts) else None
