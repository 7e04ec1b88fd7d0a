# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page: one self-contained HTML document that needs no network and no script.

Made for three readers: somebody responsible, who reads the summary; an administrator, who reads what does not hold
and the details; an auditor, who wants evidence. Headings, landmarks, captions and scopes are for those who listen to
it.
"""

from __future__ import annotations

import re
import typing as t
from xml.etree import ElementTree

from .changes import Changes
from .details import Evidence, details
from .differences import differences
from .domains import domains
from .element import block, element as e, page
from .language import Words
from .model import Audited, Report
from .parts import SYMBOLS, badge, cell, link, listed, section, source, state, symbol, table, words
from .states import FAIL, NOTHING, PASS, STATES, UNOBSERVABLE, WARNING, worst
from .style import style

#: The end of a list of names that the probe cut.
_CUT = re.compile(r"\.\.\. and (\d+) more\Z")

#: From so many days on a certificate needs no attention; BSI and CAs ask for renewal a month before the end.
SOON = 30

#: With more listeners than this a browser does not draw their details before somebody goes there.
MANY = 40


def render(report: Report, language: str, evidence: str = "auto", files: t.Tuple[str, str] = ("", "")) -> str:
    """The page as text. ``files`` are the names of the JSON and the JUnit document that lie beside it.

    Raises ValueError for an unknown ``language`` or ``evidence``.
    """
    text = Words(language)
    shown = Evidence(evidence, report)
    title = report.title or text("title")
    parts = [
        ("summary", _summary(report, text)),
        ("findings", _findings(report, text)),
        ("unprobed", _unprobed(report, text) if report.unprobed else None),
        ("changes", differences(report.changes or Changes(), text)),
        ("matrix", _matrix(report, text)),
        ("certificates", _certificates(report, text)),
        ("domains", domains(report, text)),
        ("outside", _outside(report, text) if report.outside() else None),
        ("details", section("details", text("details"), _evidence_note(shown, text), details(report, text, shown))),
    ]
    sections = [(name, made) for name, made in parts if made is not None]
    return page(
        e(
            "html",
            e(
                "head",
                e("meta", charset="utf-8"),
                e("meta", name="viewport", content="width=device-width, initial-scale=1"),
                e("meta", name="color-scheme", content="light dark"),
                e("meta", name="robots", content="noindex"),
                # No request may leave the page, whatever somebody brings into it.
                _meta_http("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
                e("title", title),
                _style(),
                # Without it browsers ask the server, or the disk, for an icon.
                e("link", rel="icon", href="data:,"),
            ),
            e(
                "body",
                e("a", text("skip"), class_="skip", href="#main"),
                e("header", e("h1", title), e("p", text("at", date=text.moment(report.generated)), class_="soft")),
                e(
                    "nav",
                    e("ul", [e("li", e("a", text(name), href="#" + name)) for name, _made in sections]),
                    aria_label=text("contents"),
                ),
                e(
                    "main",
                    [made for _name, made in sections],
                    id="main",
                    tabindex="-1",
                    class_="many" if len(report.listeners) > MANY else None,
                ),
                e("footer", e("p", text("footer", json=files[0], junit=files[1]))),
            ),
            lang=language,
        )
    )


def _style() -> ElementTree.Element:
    return block("style", style().split("\n"))


def _meta_http(name: str, content: str) -> ElementTree.Element:
    made = e("meta", content=content)
    made.set("http-equiv", name)
    return made


def _evidence_note(evidence: Evidence, text: Words) -> t.List[ElementTree.Element]:
    if evidence.mode == "none":
        return [e("p", text("evidence.none"), class_="soft")]
    note = [e("p", text("evidence.legend"), class_="soft")]
    return note + [e("p", text("evidence.reduced"), class_="soft")] if evidence.mode == "problems" else note


# ---- summary


def _summary(report: Report, text: Words) -> ElementTree.Element:
    date = text.moment(report.generated)
    listeners, hosts = len(report.listeners), len(report.hosts) - len(report.unprobed)
    lead = [text("summary.none", date=date)]
    if listeners:
        lead = [
            text(
                "summary.looked",
                date=date,
                listeners=text.count(listeners, "listener"),
                hosts=text.count(hosts, "host"),
            )
        ]
    numbers = {name: len(report.in_state(name)) for name in STATES}
    sentences = [text("summary.fail.none")] if listeners and not numbers[FAIL] else []
    sentences += [
        text("summary." + name, listeners=text.count(numbers[name], "listener", "dative"))
        for name in STATES
        if numbers[name]
    ]
    if report.unprobed:
        sentences.append(text("summary.unprobed", hosts=text.count(len(report.unprobed), "host")))
    tiles = [(name, numbers[name], "tile." + name) for name in STATES if numbers[name] or name in (FAIL, PASS)]
    if report.unprobed:
        tiles.append((FAIL, len(report.unprobed), "tile.unprobed"))
    return section(
        "summary",
        text("summary"),
        e("p", lead, class_="lead"),
        e("ul", [e("li", sentence) for sentence in sentences]),
        e(
            "ul",
            [
                e("li", e("b", symbol(SYMBOLS[name]), " %d" % number), text(label), class_=name)
                for name, number, label in tiles
            ],
            class_="tiles",
        ),
        _scope(report, text),
        e("h3", text("scope.means")),
        e("ul", [e("li", text("scope.means." + name)) for name in ("moment", "unobservable", "side")]),
        e("h3", text("legend")),
        e("ul", [e("li", badge(text, name), " ", text("legend." + name)) for name in STATES]),
    )


def _scope(report: Report, text: Words) -> t.List[ElementTree.Element]:
    checks = sum(len(listener.checks) for listener in report.listeners)
    connections = sum(int(listener.observation.get("connections") or 0) for listener in report.listeners)
    known = {str(profile["name"]): profile for profile in report.profiles}
    rules: t.List[t.Any] = []
    caveats: t.List[t.Any] = []
    for origin in report.origins:
        profile = known.get(origin)
        if origin == "policy":
            rules.append(text("scope.policy"))
        elif profile is None:
            rules.append(text("scope.unknown", title=origin))
        else:
            rules.append(
                text(
                    "scope.drawn",
                    of=text.profile_words(profile.get("of") or profile.get("title") or origin),
                    name=origin,
                    version=profile.get("version"),
                    date=text.day(str(profile.get("date") or "")),
                )
            )
            caveats += [
                e(
                    "li",
                    e("b", origin),
                    ": ",
                    text("scope.opportunistic") if caveat.get("where") == "opportunistic" else None,
                    words(text.profile_words(caveat["text"])),
                )
                for caveat in profile.get("caveats") or ()
            ]
    what = text(
        "scope.what.is",
        listeners=text.count(len(report.listeners), "listener"),
        hosts=text.count(len(report.hosts) - len(report.unprobed), "host"),
        checks=text.count(checks, "check"),
        connections=text.count(connections, "connection"),
    )
    return [
        e("h3", text("scope")),
        e(
            "dl",
            e("dt", text("scope.when")),
            e("dd", e("time", text("at", date=text.moment(report.generated)), datetime=report.generated)),
            e("dt", text("scope.from")),
            e("dd", report.probed_from),
            e("dt", text("scope.what")),
            e("dd", what),
            e("dt", text("scope.by")),
            e("dd", [e("div", rule) for rule in rules or [text("state.nothing")]]),
        ),
    ] + ([e("h3", text("scope.caveats")), e("ul", caveats)] if caveats else [])


# ---- what does not hold


def _findings(report: Report, text: Words) -> ElementTree.Element:
    found = report.findings()
    if not found:
        return section("findings", text("findings"), e("p", text("findings.none")))
    rows = [
        e(
            "tr",
            cell(state(text, finding.state), class_=finding.state),
            e("th", words(text.title(finding.rows[0])), scope="row"),
            cell(text.expected(finding.rows[0])),
            e(
                "td",
                text.count(len(finding.listeners), "listener"),
                ": ",
                listed([link(listener) for listener in finding.listeners], text),
            ),
            e("td", source(finding.rows, text)),
        )
        for finding in found
    ]
    heads = [text(name) for name in ("state", "check", "expected", "where", "source")]
    return section("findings", text("findings"), table(text("findings.caption"), heads, rows))


def _unprobed(report: Report, text: Words) -> ElementTree.Element:
    rows = [
        e(
            "tr",
            e("th", host.host, scope="row"),
            cell(text.said(host.reason) if host.reason else text("unprobed.unknown")),
        )
        for host in report.unprobed
    ]
    return section("unprobed", text("unprobed"), table(text("unprobed.caption"), [text("host"), text("reason")], rows))


# ---- matrix


def _matrix(report: Report, text: Words) -> ElementTree.Element:
    groups = report.groups
    heads = [text("host"), text("listener"), text("overall")] + [text("group." + name) for name in groups]
    bodies = [_host(report, host, groups, text) for host in report.hosts]
    made = e(
        "table",
        e("caption", text("matrix.caption")),
        e("thead", e("tr", [e("th", head, scope="col") for head in heads])),
        bodies,
        class_="matrix",
    )
    only = e("label", e("input", type="checkbox", id="only"), " ", text("matrix.only"), class_="only")
    return section(
        "matrix",
        text("matrix"),
        only if any(listener.state == PASS for listener in report.listeners) else None,
        e("div", made, class_="scroll", role="region", tabindex="0", aria_label=text("matrix.scroll")),
    )


def _host(report: Report, host: str, groups: t.Sequence[str], text: Words) -> ElementTree.Element:
    """The lines of one host, as one group of lines."""
    listeners = [listener for listener in report.listeners if listener.host == host]
    good = " good" if all(listener.state == PASS for listener in listeners) else ""
    lost = [other for other in report.unprobed if other.host == host]
    head = e("th", host, scope="rowgroup", rowspan=str(len(listeners) + len(lost)))
    lines = [
        e(
            "tr",
            head if not number else None,
            e("th", e("a", listener.address, href="#" + listener.anchor), scope="row"),
            e("td", state(text, listener.state), class_=listener.state),
            [_cell(listener, name, text) for name in groups],
        )
        for number, listener in enumerate(listeners)
    ]
    for _unprobed_host in lost:
        lines.append(
            e(
                "tr",
                head if not lines else None,
                e("th", "–", scope="row"),
                e(
                    "td",
                    e("a", symbol(SYMBOLS[FAIL]), " ", text("unprobed.cell"), href="#unprobed"),
                    class_=FAIL,
                    colspan=str(len(groups) + 1),
                ),
            )
        )
    return e("tbody", lines, class_=good.strip() if good and not lost else None)


def _cell(listener: Audited, group: str, text: Words) -> ElementTree.Element:
    states = listener.states(group)
    found = worst(states)
    content: t.Any = state(text, found, states.count(found) if found not in (PASS, NOTHING) else 0)
    if found in (FAIL, WARNING, UNOBSERVABLE):
        content = e("a", content, href="#%s-%s" % (listener.anchor, group))
    return e("td", content, class_=found)


# ---- certificates


def _certificates(report: Report, text: Words) -> ElementTree.Element:
    found = report.certificates()
    if not found:
        return section("certificates", text("certificates"), e("p", text("certificates.none")))
    heads = [text("certificates." + name) for name in ("days", "until", "subject", "issuer", "key")] + [text("where")]
    rows = [
        e(
            "tr",
            _days_left(certificate, report.generated, text),
            e("td", text.day(str(certificate.get("not_after") or "")), class_="short"),
            e("th", _names(certificate, text), scope="row"),
            e("td", text("certificates.self") if certificate.get("self_signed") else certificate.get("issuer")),
            e("td", _key(certificate)),
            e("td", listed([link(listener) for listener in listeners], text), class_="places"),
        )
        for certificate, listeners in found
    ]
    return section("certificates", text("certificates"), table(text("certificates.caption"), heads, rows))


def _days_left(certificate: t.Mapping[str, t.Any], now: str, text: Words) -> ElementTree.Element:
    days = certificate.get("days_left")
    if not isinstance(days, int):
        return e("td", state(text, UNOBSERVABLE), class_=UNOBSERVABLE)
    if days < 0 or str(certificate.get("not_after") or now) < now:
        # Days are counted down to the next whole one: -3 is between two and three days ago.
        said = text("certificates.ended", days=text.count(max(-days - 1, 0), "day", "dative"))
        return e("td", symbol(SYMBOLS[FAIL]), " ", said, class_=FAIL)
    if str(certificate.get("not_before") or "") > now:
        return e("td", symbol(SYMBOLS[FAIL]), " ", text("certificates.early"), class_=FAIL)
    left = text.count(days, "day")
    if days < SOON:
        return e("td", symbol(SYMBOLS[WARNING]), " ", left, ": ", text("certificates.soon"), class_=WARNING)
    return e("td", left)


def _names(certificate: t.Mapping[str, t.Any], text: Words) -> str:
    names = [str(name) for name in certificate.get("names") or ()] or [str(certificate.get("subject") or "–")]
    shown = ", ".join(name if len(name) <= 80 else name[:80] + "…" for name in names[:4])
    more = len(names) - 4
    # The probe cuts long lists, too, and ends them with how many it left out.
    cut = _CUT.match(names[-1])
    if cut and more > 0:
        more += int(cut.group(1)) - 1
    return shown if more <= 0 else "%s %s" % (shown, text("more", n=more))


def _key(certificate: t.Mapping[str, t.Any]) -> str:
    """The kind of key and its curve, or its length where that is not what the curve says."""
    size = "curve" if certificate.get("curve") else "key_bits"
    return " ".join(str(certificate[name]) for name in ("key", size) if certificate.get(name))


# ---- what nobody can see


def _outside(report: Report, text: Words) -> ElementTree.Element:
    rows = [
        e(
            "tr",
            e("th", words(text.profile_words(row["title"])), scope="row"),
            cell(text.profile_words((row.get("parameters") or {}).get("why") or row["seen"])),
            e("td", source([row], text)),
        )
        for row in report.outside()
    ]
    heads = [text("outside.what"), text("outside.why"), text("source")]
    return section(
        "outside", text("outside"), e("p", text("outside.lead")), table(text("outside.caption"), heads, rows)
    )
