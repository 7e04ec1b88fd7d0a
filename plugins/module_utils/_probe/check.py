# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A look at what no single visit to a listener shows: what it is, and how it is run. The looks are in :mod:`.relaying`."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .reply import Unobservable
from .requirement import FAIL, PASS, UNOBSERVABLE


@dataclass(frozen=True)
class Verdict:
    """``outcome`` is "pass", "fail" or "unobservable"; ``seen`` is what the server did, for people."""

    outcome: str
    seen: str

    @property
    def passed(self) -> bool:
        return self.outcome == PASS

    def __str__(self) -> str:
        return self.seen if self.outcome != UNOBSERVABLE else "not observable: %s" % self.seen


def judged(good: bool, seen: str) -> Verdict:
    """Pass or fail, with what was seen."""
    return Verdict(PASS if good else FAIL, seen)


@dataclass(frozen=True)
class Check:
    """One sentence about a server that anybody on the network can verify.

    ``name`` is unique in its list, ``expected`` says in words what a passing server does, ``source`` where that is
    asked for. ``look`` does the conversations.
    """

    name: str
    expected: str
    source: str
    look: t.Callable[[], Verdict] = field(repr=False, compare=False)

    def run(self) -> Verdict:
        """Have a look now. Never raises for what a server or network does."""
        try:
            return self.look()
        except Unobservable as error:
            return Verdict(UNOBSERVABLE, str(error))
