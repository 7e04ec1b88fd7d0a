# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The section about domains: level, where it comes from, exceptions with their reasons, and what was seen last.

What somebody has to look at comes first and in full. Plain domains may be thousands: they are folded away, and the page
shows the first ones.
"""

from __future__ import annotations

import typing as t
from xml.etree import ElementTree

from .coverage import Covered, HostDomains
from .element import element as e
from .language import Words
from .model import Report
from .parts import SYMBOLS, link, section, state, symbol, table, words
from .states import NOTHING, UNOBSERVABLE, WARNING

#: Where a level comes from: a rule for the domain itself, for its subdomains, for every domain.
SOURCES = ("exact", "parent", "default")

#: Plain domains of one host that are shown, and those of all hosts together.
SHOWN = 500
SHOWN_IN_ALL = 5000


def domains(report: Report, text: Words) -> t.Optional[ElementTree.Element]:
    """The section; None when no server was asked for its rules."""
    if not report.domains:
        return None
    shown = min(SHOWN, SHOWN_IN_ALL // len(report.domains))
    return section(
        "domains",
        text("domains"),
        e("p", text("domains.lead")),
        e("ul", [e("li", text("domains.means." + name)) for name in ("inbound", "outbound", "seen")]),
        [_host(host, number, shown, report.generated, text) for number, host in enumerate(report.domains, 1)],
    )


def _host(host: HostDomains, number: int, shown: int, generated: str, text: Words) -> t.List[t.Any]:
    made: t.List[t.Any] = [e("h3", host.host, id="domains-%d" % number)]
    if host.entries is None:
        said = [symbol(SYMBOLS[UNOBSERVABLE]), " ", text("domains.unread"), ": ", words(text.said(host.problem))]
        return made + [e("p", said)]
    if host.notes:
        notes = [e("li", words(text.said(note))) for note in host.notes]
        made += [e("p", text("domains.notes")), e("ul", notes)]
    if not host.entries:
        return made + [e("p", text("domains.none"))]
    telling = [covered for covered in host.entries if covered.telling]
    plain = [covered for covered in host.entries if not covered.telling]
    made.append(e("p", _count(host, text)))
    if telling:
        heads = [text("domains." + name) for name in ("domain", "direction", "level", "source", "exception", "seen")]
        rows = [_line(covered, generated, text) for covered in sorted(telling, key=_order)]
        made.append(table(text("domains.telling", host=host.host), heads, rows))
    return made + _plain(host.host, plain, shown, generated, text)


def _count(host: HostDomains, text: Words) -> str:
    names = {covered.domain for covered in host.entries or ()}
    said = text(
        "domains.count",
        domains=text.count(len(names), "domain"),
        exceptions=text.count(len(host.exceptions), "exception"),
    )
    return "%s %s" % (said, text("domains.expired", n=len(host.expired))) if host.expired else said


def _order(covered: Covered) -> t.Tuple[t.Any, ...]:
    """The default, then parents, then exceptions and others; both directions of a domain together."""
    kind = 0 if covered.domain == "*" else 1 if covered.domain.startswith(".") else 2
    return (kind, covered.domain, covered.direction)


def _plain(
    host: str, plain: t.Sequence[Covered], shown: int, generated: str, text: Words
) -> t.List[ElementTree.Element]:
    if not plain:
        return []
    # Those of which something was seen first: there are few of them.
    ordered = sorted(plain, key=lambda covered: (not covered.sights, covered.domain, covered.direction))
    heads = [text("domains." + name) for name in ("domain", "direction", "level", "source", "seen")]
    rows = [_line(covered, generated, text, exception=False) for covered in ordered[:shown]]
    cut = text("domains.cut", shown=len(rows), n=len(plain) - len(rows)) if len(plain) > len(rows) else None
    number = text.count(len({covered.domain for covered in plain}), "domain")
    return [
        e(
            "details",
            e("summary", text("domains.plain", domains=number)),
            table(text("domains.plain.caption", host=host), heads, rows) if rows else None,
            e("p", cut) if cut else None,
        )
    ]


def _line(covered: Covered, generated: str, text: Words, exception: bool = True) -> ElementTree.Element:
    return e(
        "tr",
        e("th", e("code", covered.domain), scope="row"),
        e("td", text("direction." + covered.direction), class_="short"),
        e("td", e("code", covered.level), class_="short"),
        e("td", _source(covered, text), class_="places"),
        _exception(covered, text) if exception else None,
        _seen(covered, generated, text),
    )


def _source(covered: Covered, text: Words) -> t.List[t.Any]:
    known = covered.source in SOURCES
    said = text("domains.source." + covered.source) if known else words(text.said(covered.source))
    return [said, [" ", e("small", e("code", covered.rule))] if covered.rule else None]


def _exception(covered: Covered, text: Words) -> ElementTree.Element:
    if not covered.exception:
        return e("td", text("domains.exception.no"))
    parts: t.List[t.Any] = [covered.reason or text("domains.exception.unexplained")]
    if covered.until:
        parts += ["; ", text("domains.exception.until", day=text.day(covered.until))]
    if covered.expired:
        parts += [": ", symbol(SYMBOLS[WARNING]), " ", text("domains.exception.expired")]
    return e("td", parts, class_=WARNING if covered.expired or not covered.reason else None)


def _seen(covered: Covered, generated: str, text: Words) -> ElementTree.Element:
    if not covered.sights:
        return e("td", text("domains.unseen"))
    found = covered.state
    sight = next(sight for sight in covered.sights if sight.state == found)
    return e(
        "td",
        # Somebody looked, and nobody had said what is to be seen.
        state(text, found) if found != NOTHING else [symbol(SYMBOLS[NOTHING]), " ", text("domains.unjudged")],
        " (",
        text.count(len(covered.sights), "look"),
        "): ",
        words(text.title(sight.row)),
        ": ",
        words(text.seen(sight.row["seen"])),
        " ",
        e("small", link(sight.listener), ", ", text("at", date=text.moment(generated))),
        class_="%s places" % found,
    )


def described(covered: t.Optional[Covered], text: Words) -> t.List[t.Any]:
    """Level, source and exception in one cell, as changes tell them."""
    if covered is None:
        return [text("changes.nothing")]
    made: t.List[t.Any] = [e("code", covered.level), ", ", _source(covered, text)]
    if covered.exception:
        made += ["; ", text("domains.exception"), ": ", list(_exception(covered, text).itertext())]
    return made
