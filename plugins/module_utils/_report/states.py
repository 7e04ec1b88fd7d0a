# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""States of everything that a report tells of, worst first, and how the probe's verdicts become one."""

from __future__ import annotations

import typing as t

#: States of a row, of a cell, of a listener, of a domain; worst first.
FAIL, WARNING, UNOBSERVABLE, PASS, NOTHING = "fail", "warning", "unobservable", "pass", "nothing"
STATES = (FAIL, WARNING, UNOBSERVABLE, PASS, NOTHING)

Row = t.Mapping[str, t.Any]


def state_of(row: Row) -> str:
    """The state of a row: a failed one of severity ``warning`` is a warning. An unknown verdict is not a pass."""
    verdict = row["verdict"]
    if verdict == "fail":
        return WARNING if row.get("severity") == "warning" else FAIL
    return PASS if verdict == "pass" else UNOBSERVABLE


def worst(states: t.Iterable[str]) -> str:
    """The worst of some states, ``nothing`` when there are none."""
    return min(states, key=STATES.index, default=NOTHING)
