# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How mail for each domain has to be protected, as the server's own rules say, beside what the probe saw of it.

The entries are those of ``coverage`` of ``smtp_info``. Nothing is judged here but the date: an exception whose last day
is over has ended, whether or not somebody has taken it away.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .._probe import catalogue
from .states import FAIL, NOTHING, UNOBSERVABLE, WARNING, Row, state_of, worst

DIRECTIONS = ("inbound", "outbound")

#: Checks about mail for one domain that arrives; the name of a fact is one of these, a dot and the domain.
_CHECKS = ("forced_clear", "forced_tls", "other_clear")

_KEYS = ("domain", "direction", "level", "source")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\Z")

Entry = t.Mapping[str, t.Any]


class Sight(t.NamedTuple):
    """What the probe saw of a domain at one listener; ``nothing`` is the state of what nobody had an expectation of."""

    listener: t.Any
    state: str
    row: Row


@dataclass(frozen=True)
class Covered:
    """One domain in one direction. ``expired``: it is an exception whose last day, ``until``, is over."""

    domain: str
    direction: str
    level: str
    source: str
    exception: bool = False
    reason: str = ""
    until: str = ""
    rule: str = ""
    expired: bool = False
    sights: t.Tuple[Sight, ...] = ()

    @property
    def state(self) -> str:
        """The worst that was seen, ``nothing`` when nothing was looked at."""
        return worst(sight.state for sight in self.sights)

    @property
    def telling(self) -> bool:
        """Whether a reader has to see it: it is no whole domain, is an exception, or something does not hold.

        That the default or a parent decides for a whole domain is said by the line of the default or parent.
        """
        return self.exception or self.domain[:1] in ".*" or self.state in (FAIL, WARNING)

    @property
    def said(self) -> t.Tuple[t.Any, ...]:
        """What the rules say of it, whatever was seen."""
        return (self.level, self.source, self.exception, self.reason, self.until, self.expired)

    def document(self, generated: str) -> t.Dict[str, t.Any]:
        """As plain data, with what was seen and when."""
        worst_sights = [sight for sight in self.sights if sight.state == self.state][:1]
        return {
            "domain": self.domain,
            "direction": self.direction,
            "level": self.level,
            "source": self.source,
            "exception": self.exception,
            "reason": self.reason or None,
            "until": self.until or None,
            "rule": self.rule or None,
            "expired": self.expired,
            "last_seen": {
                "state": self.state,
                "at": generated,
                "looks": len(self.sights),
                "listener": worst_sights[0].listener.address,
                "check": worst_sights[0].row["title"],
                "seen": worst_sights[0].row["seen"],
            }
            if worst_sights
            else None,
        }


@dataclass(frozen=True)
class HostDomains:
    """The domains of one host; ``entries`` is None when the server could not be asked, and ``problem`` is why."""

    host: str
    entries: t.Optional[t.Tuple[Covered, ...]]
    problem: str = ""
    notes: t.Tuple[str, ...] = ()

    @property
    def exceptions(self) -> t.List[Covered]:
        return [covered for covered in self.entries or () if covered.exception]

    @property
    def expired(self) -> t.List[Covered]:
        return [covered for covered in self.exceptions if covered.expired]


def of_host(where: str, result: Entry, listeners: t.Sequence[t.Any], generated: str) -> t.Optional[HostDomains]:
    """The domains of a result with the key ``coverage`` or ``coverage_error``, None without both.

    ``listeners`` are those of the host, ``generated`` is the moment (UTC, RFC 3339) of the report. Raises ValueError,
    beginning with ``where``, for entries that are not from ``smtp_info``.
    """
    host, notes = str(result["host"]), tuple(str(note) for note in result.get("coverage_notes") or ())
    if result.get("coverage_error"):
        return HostDomains(host, None, str(result["coverage_error"]), notes)
    entries = result.get("coverage")
    if entries is None:
        return None
    read = [_entry("%s.coverage[%d]" % (where, number), entry, generated[:10]) for number, entry in enumerate(entries)]
    sights = _Sights(listeners, {covered.domain for covered in read if covered.direction == "inbound"})
    seen = tuple(_with(covered, sights.of(covered)) for covered in read)
    return HostDomains(host, seen, "", notes)


def _entry(where: str, entry: t.Any, today: str) -> Covered:
    missing = [key for key in _KEYS if not entry.get(key)] if isinstance(entry, dict) else ["all"]
    if missing:
        raise ValueError("%s: not from smtp_info, without %s" % (where, ", ".join(missing)))
    if entry["direction"] not in DIRECTIONS:
        raise ValueError("%s: direction must be one of %s; got %s" % (where, ", ".join(DIRECTIONS), entry["direction"]))
    exception, until = bool(entry.get("exception")), str(entry.get("until") or "")
    return Covered(
        str(entry["domain"]),
        str(entry["direction"]),
        str(entry["level"]),
        str(entry["source"]),
        exception,
        str(entry.get("reason") or ""),
        until,
        str(entry.get("rule") or ""),
        # Days of this form are in order as texts.
        exception and _DAY.match(until) is not None and until < today,
    )


def _with(covered: Covered, sights: t.Tuple[Sight, ...]) -> Covered:
    # Most domains were not looked at; dataclasses.replace() costs a second for 100,000 of them.
    if not sights:
        return covered
    return Covered(
        covered.domain,
        covered.direction,
        covered.level,
        covered.source,
        covered.exception,
        covered.reason,
        covered.until,
        covered.rule,
        covered.expired,
        sights,
    )


class _Sights:
    """What was seen of mail that arrives, by the most special entry about the domain that was tried."""

    def __init__(self, listeners: t.Sequence[t.Any], domains: t.Container[str]) -> None:
        self._found: t.Dict[str, t.List[Sight]] = {}
        for listener in listeners:
            judged: t.Set[str] = set()
            for row in listener.looked_at:
                domain = (row.get("parameters") or {}).get("domain")
                if row["check"] in _CHECKS and isinstance(domain, str):
                    judged.add("%s.%s" % (row["check"], domain))
                    self._add(domains, domain, Sight(listener, state_of(row), row))
            for name, fact in listener.facts.items():
                check, _dot, domain = name.partition(".")
                if check in _CHECKS and name not in judged:
                    row = {
                        "check": check,
                        "parameters": {"domain": domain},
                        "title": catalogue.title(check, {"domain": domain}),
                        "seen": str(fact.get("seen") or ""),
                    }
                    state = NOTHING if fact.get("observable", True) else UNOBSERVABLE
                    self._add(domains, domain, Sight(listener, state, row))

    def _add(self, domains: t.Container[str], domain: str, sight: Sight) -> None:
        for name in _names(domain):
            if name in domains:
                self._found.setdefault(name, []).append(sight)
                return

    def of(self, covered: Covered) -> t.Tuple[Sight, ...]:
        """What was seen about one entry: mail that is sent cannot be looked at from outside."""
        return tuple(self._found.get(covered.domain, ())) if covered.direction == "inbound" else ()


def _names(domain: str) -> t.Iterator[str]:
    """The domain, its parents as entries write them, the longest first, and every domain."""
    yield domain
    labels = domain.strip(".").split(".")
    for number in range(1, len(labels)):
        yield "." + ".".join(labels[number:])
    yield "*"
