# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything about each listener: what did not pass, what passed, and the dialogues that prove it."""

from __future__ import annotations

import typing as t
from xml.etree import ElementTree

from .element import block, element as e
from .language import Words
from .model import GROUP_OF, GROUPS, OTHER, PASS, STATES, Audited, Report, Row, state_of
from .parts import badge, cell, place, source, state, table, words

MODES = ("auto", "all", "problems", "none")

#: Characters of dialogue up to which ``auto`` shows all of it: such a page opens at once.
ALL_UP_TO = 1500000

_ORDER = [name for name, _checks in GROUPS] + [OTHER]


class Evidence:
    """Which dialogues the page shows. ``mode`` is all, problems or none; ``auto`` is decided by their size."""

    def __init__(self, mode: str, report: Report) -> None:
        if mode not in MODES:
            raise ValueError("evidence must be one of %s; got %r" % (", ".join(MODES), mode))
        if mode == "auto":
            size = sum(
                len(str(line)) for listener in report.listeners for dialogue in listener.dialogues for line in dialogue["lines"]
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
    rows = sorted(listener.looked_at, key=lambda row: _ORDER.index(GROUP_OF.get(row["check"], OTHER)))
    problems = sorted((row for row in rows if state_of(row) != PASS), key=lambda row: STATES.index(state_of(row)))
    passed = [row for row in rows if state_of(row) == PASS]
    return e(
        "section",
        e("h3", place(listener), " ", badge(text, listener.state), id=anchor + "-h"),
        e("p", _about(listener, text), class_="soft"),
        _problems(listener, problems, shown, text) if problems else None,
        _passed(listener, passed, shown, text) if passed else None,
        e("p", text("details.nothing")) if not rows else None,
        _evidence(listener, dialogues, text) if dialogues else None,
        class_="listener", id=anchor, aria_labelledby=anchor + "-h",
    )


def _about(listener: Audited, text: Words) -> str:
    observation = listener.observation
    mode = str(observation.get("tls") or "none")
    about = [text("details.mode", mode=text("mode." + mode) if mode in ("none", "starttls", "implicit") else mode)]
    if observation.get("server_name"):
        about.append(text("details.name", name=observation["server_name"]))
    about.append(text(
        "details.took",
        connections=text.count(int(observation.get("connections") or 0), "connection"),
        seconds="%.1f" % float(observation.get("seconds") or 0),
    ))
    return "; ".join(about)


def _problems(listener: Audited, rows: t.Sequence[Row], shown: t.Collection[int], text: Words) -> ElementTree.Element:
    heads = [text(name) for name in ("state", "check", "expected", "seen", "source", "evidence")]
    named: t.Set[str] = set()
    lines: t.List[ElementTree.Element] = []
    for row in rows:
        group = GROUP_OF.get(row["check"], OTHER)
        line = e(
            "tr",
            e("td", state(text, state_of(row)), class_=state_of(row)),
            *_cells(listener, row, shown, text),
            # The matrix links to the first line of a group.
            id=None if group in named else "%s-%s" % (listener.anchor, group),
        )
        named.add(group)
        lines.append(line)
    return table(text("details.problems"), heads, lines)


def _passed(listener: Audited, rows: t.Sequence[Row], shown: t.Collection[int], text: Words) -> ElementTree.Element:
    heads = [text(name) for name in ("check", "expected", "seen", "source", "evidence")]
    lines = [e("tr", *_cells(listener, row, shown, text)) for row in rows]
    summary = text("details.passed", checks=text.count(len(rows), "check"))
    return e("details", e("summary", summary), table(text("details.passed.caption"), heads, lines))


def _cells(listener: Audited, row: Row, shown: t.Collection[int], text: Words) -> t.List[ElementTree.Element]:
    seen: t.List[t.Any] = [words(text.said(row["seen"]))]
    if row.get("side"):
        seen += [" ", e("small", "%s: " % text("side"), words(text.side(str(row["side"]))))]
    return [
        e("th", words(text.title(row)), scope="row"),
        cell(text.expected(row)),
        e("td", seen),
        e("td", source(row["source"], row["origin"], text)),
        e("td", _links(listener, row.get("evidence") or (), shown)),
    ]


def _links(listener: Audited, numbers: t.Sequence[int], shown: t.Collection[int]) -> t.List[t.Any]:
    made: t.List[t.Any] = []
    for number in numbers:
        made += [" "] if made else []
        made.append(
            e("a", "#%d" % number, href="#%s-d%d" % (listener.anchor, number)) if number in shown else "#%d" % number
        )
    return made


def _evidence(
    listener: Audited, dialogues: t.Sequence[t.Mapping[str, t.Any]], text: Words
) -> ElementTree.Element:
    made: t.List[ElementTree.Element] = []
    for dialogue in dialogues:
        purpose = text(
            "evidence.connection", number=dialogue["number"], purpose=dialogue["purpose"], seconds="%.2f" % float(dialogue["seconds"])
        )
        made += [
            e("h4", "#%d " % dialogue["number"], purpose, id="%s-d%d" % (listener.anchor, dialogue["number"])),
            block("pre", dialogue["lines"], lang="en"),
        ]
    summary = text("evidence.summary", connections=text.count(len(dialogues), "connection"))
    return e("details", e("summary", summary), made)
