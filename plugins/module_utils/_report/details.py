# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything about each listener: what did not pass, what passed, and the dialogues that prove it."""

from __future__ import annotations

import typing as t
from xml.etree import ElementTree

from .element import block, element as e
from .language import Words
from .model import GROUPS, OTHER, Audited, Report, group_of, place
from .parts import badge, cell, source, state, table, words
from .states import PASS, STATES, UNOBSERVABLE, Row, state_of

MODES = ("auto", "all", "problems", "none")

#: Characters of dialogue up to which ``auto`` shows all of it: such a page opens at once.
ALL_UP_TO = 1500000

#: More rows than this that were not observable for the same reason are folded away together.
ALIKE = 5

#: Rows that differ in nothing but who asks.
_Check = t.Tuple[Row, ...]

_ORDER = [name for name, _checks in GROUPS] + [OTHER]


class Evidence:
    """Which dialogues the page shows. ``mode`` is all, problems or none; ``auto`` is decided by their size."""

    def __init__(self, mode: str, report: Report) -> None:
        if mode not in MODES:
            raise ValueError("evidence must be one of %s; got %r" % (", ".join(MODES), mode))
        if mode == "auto":
            size = sum(
                len(str(line))
                for listener in report.listeners
                for dialogue in listener.dialogues
                for line in dialogue["lines"]
            )
            mode = "all" if size <= ALL_UP_TO else "problems"
        self.mode = mode

    def of(self, listener: Audited) -> t.List[t.Mapping[str, t.Any]]:
        """The dialogues of a listener that are shown."""
        if self.mode == "none":
            return []
        if self.mode == "all":
            return list(listener.dialogues)
        cited = {number for row in listener.looked_at if state_of(row) != PASS for number in row.get("evidence") or ()}
        return [dialogue for dialogue in listener.dialogues if dialogue["number"] == 1 or dialogue["number"] in cited]


def details(report: Report, text: Words, evidence: Evidence) -> t.List[ElementTree.Element]:
    """One part for each listener."""
    return [_listener(listener, text, evidence) for listener in report.listeners]


def _listener(listener: Audited, text: Words, evidence: Evidence) -> ElementTree.Element:
    anchor = listener.anchor
    dialogues = evidence.of(listener)
    shown = {dialogue["number"] for dialogue in dialogues}
    checks = sorted(listener.checks, key=lambda rows: _ORDER.index(group_of(rows[0])))
    problems = sorted(
        (rows for rows in checks if state_of(rows[0]) != PASS), key=lambda rows: STATES.index(state_of(rows[0]))
    )
    problems, alike = _folded(problems)
    named: t.Set[str] = set()
    passed = [rows for rows in checks if state_of(rows[0]) == PASS]
    return e(
        "section",
        e("h3", place(listener), " ", badge(text, listener.state), id=anchor + "-h"),
        e("p", _about(listener, text), class_="soft"),
        _problems(listener, problems, shown, named, text) if problems else None,
        [_alike(listener, folded, shown, named, text) for folded in alike],
        _passed(listener, passed, shown, text) if passed else None,
        e("p", text("details.nothing")) if not checks else None,
        _evidence(listener, dialogues, text) if dialogues else None,
        class_="listener",
        id=anchor,
        aria_labelledby=anchor + "-h",
    )


def _about(listener: Audited, text: Words) -> str:
    observation = listener.observation
    mode = str(observation.get("tls") or "none")
    about = [text("details.mode", mode=text("mode." + mode) if mode in ("none", "starttls", "implicit") else mode)]
    if observation.get("server_name"):
        about.append(text("details.name", name=observation["server_name"]))
    about.append(
        text(
            "details.took",
            connections=text.count(int(observation.get("connections") or 0), "connection"),
            seconds="%.1f" % float(observation.get("seconds") or 0),
        )
    )
    return "; ".join(about)


def _problems(
    listener: Audited, checks: t.Sequence[_Check], shown: t.Collection[int], named: t.Set[str], text: Words
) -> ElementTree.Element:
    """A table; ``named`` are the groups that have a line with an id already, to which the matrix links."""
    heads = [text(name) for name in ("state", "check", "expected", "seen", "source", "evidence")]
    lines: t.List[ElementTree.Element] = []
    for rows in checks:
        group, state_name = group_of(rows[0]), state_of(rows[0])
        lines.append(
            e(
                "tr",
                e("td", state(text, state_name), class_=state_name),
                *_cells(listener, rows, shown, text),
                id=None if group in named else "%s-%s" % (listener.anchor, group),
            )
        )
        named.add(group)
    return table(text("details.problems"), heads, lines)


def _folded(checks: t.Sequence[_Check]) -> t.Tuple[t.List[_Check], t.List[t.List[_Check]]]:
    """Checks to show, and those of which many were not observable for one and the same reason."""
    reasons: t.Dict[t.Tuple[str, str], t.List[_Check]] = {}
    for rows in checks:
        if state_of(rows[0]) == UNOBSERVABLE:
            reasons.setdefault((rows[0]["seen"], str(rows[0].get("side"))), []).append(rows)
    alike = [same for same in reasons.values() if len(same) > ALIKE]
    folded = {id(rows) for same in alike for rows in same}
    return [rows for rows in checks if id(rows) not in folded], alike


def _alike(
    listener: Audited, checks: t.List[_Check], shown: t.Collection[int], named: t.Set[str], text: Words
) -> ElementTree.Element:
    summary = [
        badge(text, UNOBSERVABLE),
        " ",
        text.count(len(checks), "check"),
        ": ",
        words(text.seen(checks[0][0]["seen"])),
    ]
    return e("details", e("summary", summary), _problems(listener, checks, shown, named, text))


def _passed(
    listener: Audited, checks: t.Sequence[_Check], shown: t.Collection[int], text: Words
) -> ElementTree.Element:
    heads = [text(name) for name in ("check", "expected", "seen", "source", "evidence")]
    lines = [e("tr", *_cells(listener, rows, shown, text)) for rows in checks]
    summary = text("details.passed", checks=text.count(len(checks), "check"))
    return e("details", e("summary", summary), table(text("details.passed.caption"), heads, lines))


def _cells(
    listener: Audited, rows: t.Sequence[Row], shown: t.Collection[int], text: Words
) -> t.List[ElementTree.Element]:
    row = rows[0]
    seen: t.List[t.Any] = [words(text.seen(row["seen"]))]
    if row.get("side"):
        seen += [" ", e("small", "%s: " % text("side"), words(text.side(str(row["side"]))))]
    numbers = {number for one in rows for number in one.get("evidence") or ()}
    return [
        e("th", words(text.title(row)), scope="row"),
        cell(text.expected(row)),
        e("td", seen),
        e("td", source(rows, text)),
        e("td", _links(listener, numbers, shown)),
    ]


def _links(listener: Audited, numbers: t.Collection[int], shown: t.Collection[int]) -> t.List[t.Any]:
    """Links to connections; of neighbours, to the first one."""
    runs: t.List[t.List[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    made: t.List[t.Any] = []
    for run in runs:
        label = "#%d" % run[0] if len(run) == 1 else "#%d–%d" % (run[0], run[-1])
        made += [" "] if made else []
        made.append(e("a", label, href="#%s-d%d" % (listener.anchor, run[0])) if run[0] in shown else label)
    return made


def _evidence(listener: Audited, dialogues: t.Sequence[t.Mapping[str, t.Any]], text: Words) -> ElementTree.Element:
    made: t.List[ElementTree.Element] = []
    for dialogue in dialogues:
        purpose = text(
            "evidence.connection",
            number=dialogue["number"],
            purpose=dialogue["purpose"],
            seconds="%.2f" % float(dialogue["seconds"]),
        )
        made += [
            e("h4", "#%d " % dialogue["number"], purpose, id="%s-d%d" % (listener.anchor, dialogue["number"])),
            block("pre", dialogue["lines"], lang="en"),
        ]
    summary = text("evidence.summary", connections=text.count(len(dialogues), "connection"))
    return e("details", e("summary", summary), made)
