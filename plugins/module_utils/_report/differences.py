# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The section with the changes since an earlier report."""

from __future__ import annotations

import typing as t
from xml.etree import ElementTree

from .changes import Changes
from .domains import described
from .element import element as e
from .language import Words
from .model import place
from .parts import DIRECTIONS, link, listed, section, state, symbol, table, words
from .states import state_of

#: Lines of a table; a new profile may change the results of thousands of checks.
_SHOWN = 200


def differences(changes: Changes, text: Words) -> ElementTree.Element:
    """What has changed, or that nothing has, or that there is nothing to compare with."""
    return section("changes", text("changes"), _content(changes, text))


def _content(changes: Changes, text: Words) -> t.List[t.Any]:
    if changes.problem:
        return [e("p", text("changes.unreadable", reason=changes.problem))]
    if not changes.since:
        return [e("p", text("changes.first"))]
    since = text.moment(changes.since)
    if not changes.some:
        return [e("p", text("changes.none", date=since))]
    return [
        e("p", text("changes.some", date=since)),
        _rules(changes, text),
        _places(changes, text),
        _rows(changes, text),
        _domains(changes, text),
        _facts(changes, text),
    ]


def _rules(changes: Changes, text: Words) -> t.Optional[ElementTree.Element]:
    if not changes.more_rules and not changes.fewer_rules:
        return None
    made = [
        text(
            "changes.rules",
            more=text.count(changes.more_rules, "check"),
            fewer=text.count(changes.fewer_rules, "check"),
        )
    ]
    if changes.origins_before != changes.origins_after:
        made += [
            " ",
            text(
                "changes.rules.origins",
                before=", ".join(changes.origins_before) or "–",
                after=", ".join(changes.origins_after) or "–",
            ),
        ]
    return e("p", made)


def _places(changes: Changes, text: Words) -> t.Optional[ElementTree.Element]:
    lines: t.List[ElementTree.Element] = []
    for name in ("new_hosts", "gone_hosts", "lost_hosts", "found_hosts"):
        hosts = getattr(changes, name)
        if hosts:
            lines.append(e("li", text("changes." + name), ": ", ", ".join(hosts)))
    if changes.new_listeners:
        lines.append(
            e("li", text("changes.new_listeners"), ": ", listed([link(one) for one in changes.new_listeners], text))
        )
    if changes.gone_listeners:
        lines.append(
            e("li", text("changes.gone_listeners"), ": ", ", ".join(place(one) for one in changes.gone_listeners))
        )
    return e("ul", lines) if lines else None


def _rows(changes: Changes, text: Words) -> t.List[t.Any]:
    if not changes.rows:
        return []
    rows = [
        e(
            "tr",
            e("td", symbol(DIRECTIONS[change.direction]), " ", text("changes." + change.direction)),
            e("th", words(text.title(change.after)), scope="row"),
            e("td", link(change.listener)),
            [
                e("td", state(text, state_of(row)), ": ", words(text.seen(row["seen"])), class_=state_of(row))
                for row in (change.before, change.after)
            ],
        )
        for change in changes.rows[:_SHOWN]
    ]
    heads = [text("changes.direction"), text("check"), text("listener"), text("changes.before"), text("changes.after")]
    return [table(text("changes.caption"), heads, rows), _more(len(changes.rows), text)]


def _domains(changes: Changes, text: Words) -> t.List[t.Any]:
    if not changes.domains:
        return []
    rows = [
        e(
            "tr",
            e("th", e("code", change.covered.domain), scope="row"),
            e("td", text("direction." + change.covered.direction)),
            e("td", change.host),
            e("td", described(change.before, text)),
            e("td", described(change.after, text)),
        )
        for change in changes.domains[:_SHOWN]
    ]
    heads = [text(name) for name in ("domains.domain", "domains.direction", "host", "changes.before", "changes.after")]
    return [table(text("changes.domains"), heads, rows), _more(len(changes.domains), text)]


def _facts(changes: Changes, text: Words) -> t.List[t.Any]:
    if not changes.facts:
        return []
    rows = [
        e(
            "tr",
            e("th", e("code", change.fact), scope="row"),
            e("td", link(change.listener)),
            e("td", change.before),
            e("td", change.after),
        )
        for change in changes.facts[:_SHOWN]
    ]
    heads = [text("changes.fact"), text("listener"), text("changes.before"), text("changes.after")]
    return [table(text("changes.facts"), heads, rows), _more(len(changes.facts), text)]


def _more(number: int, text: Words) -> t.Optional[ElementTree.Element]:
    return e("p", text("changes.more", n=number - _SHOWN)) if number > _SHOWN else None
