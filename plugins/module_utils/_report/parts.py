# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small parts that every section of the page is made of."""

from __future__ import annotations

import typing as t
from xml.etree import ElementTree

from .element import element as e
from .language import Foreign, Words
from .model import Audited, place
from .states import Row

#: One sign for each state, beside its word and its colour.
SYMBOLS = {"fail": "✗", "warning": "▲", "unobservable": "?", "pass": "✓", "nothing": "–"}

#: What :class:`.changes.RowChange` calls a direction.
DIRECTIONS = {"worse": "▼", "better": "▲", "other": "◆"}


def words(text: t.Any) -> t.Any:
    """Text, marked as English where it is English in a page of another language."""
    return e("span", text, lang="en") if isinstance(text, Foreign) else text


def cell(content: t.Any, **attributes: t.Any) -> ElementTree.Element:
    """A table cell; one of nothing but English text is marked as a whole."""
    return e("td", content, lang="en" if isinstance(content, Foreign) else None, **attributes)


def symbol(sign: str) -> ElementTree.Element:
    """A sign that is not read aloud, because its word stands beside it."""
    return e("span", sign, aria_hidden="true")


def state(text: Words, name: str, number: int = 0) -> t.List[t.Any]:
    """Sign and word of a state, with how many there are when that is said."""
    return [symbol(SYMBOLS[name]), " ", "%d " % number if number else "", text("state." + name)]


def badge(text: Words, name: str) -> ElementTree.Element:
    return e("span", state(text, name), class_="badge " + name)


def table(
    caption: t.Any, heads: t.Sequence[t.Any], rows: t.Iterable[ElementTree.Element], **attributes: t.Any
) -> ElementTree.Element:
    """A table with a caption and one line of heads, in a frame within which it scrolls when the window is narrow."""
    made = e(
        "table",
        e("caption", caption) if caption else None,
        e("thead", e("tr", [e("th", head, scope="col") for head in heads])),
        e("tbody", list(rows)),
        **attributes,
    )
    # Where a link can have the focus, keys scroll the frame already.
    alone = made.find(".//a") is None
    return e(
        "div",
        made,
        class_="wide",
        role="group" if alone else None,
        tabindex="0" if alone else None,
        aria_label=caption if alone else None,
    )


def section(name: str, heading: t.Any, *content: t.Any) -> ElementTree.Element:
    """A part of the page with a heading that names it and that can be linked to."""
    return e("section", e("h2", heading, id=name + "-h"), *content, id=name, aria_labelledby=name + "-h")


def link(listener: Audited) -> ElementTree.Element:
    return e("a", place(listener), href="#" + listener.anchor)


def listed(items: t.Sequence[ElementTree.Element], text: Words, shown: int = 6) -> t.List[t.Any]:
    """Items with commas between them; many of them are folded away behind the first ones."""
    head = _joined(items[:shown])
    if len(items) <= shown:
        return head
    return head + [e("details", e("summary", text("more", n=len(items) - shown)), _joined(items[shown:]))]


def _joined(items: t.Sequence[ElementTree.Element]) -> t.List[t.Any]:
    parts: t.List[t.Any] = []
    for item in items:
        parts += [", ", item] if parts else [item]
    return parts


def source(rows: t.Iterable[Row], text: Words) -> t.List[t.Any]:
    """Who asks for it: the documents, each with the profiles or the policy that the check comes from."""
    origins: t.Dict[str, t.Dict[str, None]] = {}
    for row in rows:
        origin = text("origin.policy") if row["origin"] == "policy" else str(row["origin"])
        name = origin if row["source"] in (row["origin"], "policy") else text.source(str(row["source"]))
        origins.setdefault(name, {})[origin] = None
    made: t.List[t.Any] = []
    for name, found in origins.items():
        made += ["; "] if made else []
        made += [name] if list(found) == [name] else [name, " ", e("small", "(%s)" % ", ".join(found))]
    return made
