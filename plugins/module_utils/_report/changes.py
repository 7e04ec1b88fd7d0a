# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is different from an earlier report. What a clock makes different (durations, days left) is no change."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass

from .coverage import Covered
from .model import OUTSIDE, SCHEMA, SCHEMA_VERSION, Audited, Report, build, identity
from .states import STATES, UNOBSERVABLE, Row, state_of

#: Facts that are different each time, or follow from others.
_RESTLESS = frozenset(("timing", "banner", "throttled", "chain", "reachable"))

WORSE, BETTER, OTHER = "worse", "better", "other"


@dataclass(frozen=True)
class RowChange:
    """A check whose result is another one. ``direction`` is ``other`` where one of both was not observable."""

    listener: Audited
    before: Row
    after: Row
    direction: str


@dataclass(frozen=True)
class FactChange:
    """A fact that was seen both times and is another one; the values as short words."""

    listener: Audited
    fact: str
    before: str
    after: str


@dataclass(frozen=True)
class DomainChange:
    """A domain in one direction whose level, source or exception is another one; None where no rule was about it."""

    host: str
    before: t.Optional[Covered]
    after: t.Optional[Covered]

    @property
    def covered(self) -> Covered:
        """The later one of both."""
        found = self.after or self.before
        if found is None:
            raise ValueError("a change from nothing to nothing")
        return found

    def document(self) -> t.Dict[str, t.Any]:
        """As plain data."""
        sides = {}
        for name, side in (("before", self.before), ("after", self.after)):
            sides[name] = None if side is None else dict(zip(_SAID, side.said))
        return dict(sides, host=self.host, domain=self.covered.domain, direction=self.covered.direction)


#: Names of what :attr:`.coverage.Covered.said` has.
_SAID = ("level", "source", "exception", "reason", "until", "expired")


@dataclass(frozen=True)
class Changes:
    """Differences from the report made at ``since``; "" when there is none, and ``problem`` why it was not readable."""

    since: str = ""
    problem: str = ""
    new_hosts: t.Tuple[str, ...] = ()
    gone_hosts: t.Tuple[str, ...] = ()
    lost_hosts: t.Tuple[str, ...] = ()
    found_hosts: t.Tuple[str, ...] = ()
    new_listeners: t.Tuple[Audited, ...] = ()
    gone_listeners: t.Tuple[Audited, ...] = ()
    rows: t.Tuple[RowChange, ...] = ()
    facts: t.Tuple[FactChange, ...] = ()
    domains: t.Tuple[DomainChange, ...] = ()
    more_rules: int = 0
    fewer_rules: int = 0
    origins_before: t.Tuple[str, ...] = ()
    origins_after: t.Tuple[str, ...] = ()

    @property
    def some(self) -> bool:
        """Whether there is any difference."""
        return bool(
            self.new_hosts
            or self.gone_hosts
            or self.lost_hosts
            or self.found_hosts
            or self.new_listeners
            or self.gone_listeners
            or self.rows
            or self.facts
            or self.domains
            or self.more_rules
            or self.fewer_rules
        )

    def document(self) -> t.Dict[str, t.Any]:
        """As plain data."""
        return {
            "since": self.since or None,
            "problem": self.problem or None,
            "some": self.some,
            "new_hosts": list(self.new_hosts),
            "gone_hosts": list(self.gone_hosts),
            "lost_hosts": list(self.lost_hosts),
            "found_hosts": list(self.found_hosts),
            "new_listeners": [_place(listener) for listener in self.new_listeners],
            "gone_listeners": [_place(listener) for listener in self.gone_listeners],
            "rows": [
                dict(
                    _place(change.listener),
                    check=change.after["check"],
                    title=change.after["title"],
                    origin=change.after["origin"],
                    before={"verdict": change.before["verdict"], "seen": change.before["seen"]},
                    after={"verdict": change.after["verdict"], "seen": change.after["seen"]},
                    direction=change.direction,
                )
                for change in self.rows
            ],
            "facts": [
                dict(_place(change.listener), fact=change.fact, before=change.before, after=change.after)
                for change in self.facts
            ],
            "domains": [change.document() for change in self.domains],
            "more_rules": self.more_rules,
            "fewer_rules": self.fewer_rules,
        }


def _place(listener: Audited) -> t.Dict[str, t.Any]:
    return {"host": listener.host, "listener": listener.address, "server_name": listener.observation.get("server_name")}


def earlier(text: str) -> Report:
    """The report of a JSON document that this collection wrote. Raises ValueError with the reason for anything else."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no JSON: %s" % error) from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ValueError("it is no audit report of this collection")
    if document.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(
            "its schema version is %s, and this collection reads %d" % (document.get("schema_version"), SCHEMA_VERSION)
        )
    try:
        return build(document["results"], str(document["generated"]), str(document["probed_from"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("it is damaged: %s" % error) from None


def compare(before: Report, after: Report) -> Changes:
    """What is different in ``after``."""
    then, now = ({listener.key: listener for listener in report.listeners} for report in (before, after))
    unprobed_then, unprobed_now = ({host.host for host in report.unprobed} for report in (before, after))
    hosts_then, hosts_now = set(before.hosts), set(after.hosts)
    pairs = [(then[key], now[key]) for key in now if key in then]
    rows: t.List[RowChange] = []
    facts: t.List[FactChange] = []
    more = fewer = 0
    for old, new in pairs:
        changed, added, removed = _rows(old, new)
        rows += changed
        more, fewer = more + added, fewer + removed
        facts += _facts(old, new)
    order = (WORSE, OTHER, BETTER)
    return Changes(
        since=before.generated,
        new_hosts=tuple(host for host in after.hosts if host not in hosts_then),
        gone_hosts=tuple(host for host in before.hosts if host not in hosts_now),
        lost_hosts=tuple(host for host in after.hosts if host in unprobed_now and host in hosts_then - unprobed_then),
        found_hosts=tuple(host for host in after.hosts if host in unprobed_then and host not in unprobed_now),
        # Those of hosts that are told of as a whole are not told of again.
        new_listeners=tuple(
            now[key] for key in now if key not in then and key[0] in hosts_then and key[0] not in unprobed_then
        ),
        gone_listeners=tuple(
            then[key] for key in then if key not in now and key[0] in hosts_now and key[0] not in unprobed_now
        ),
        rows=tuple(sorted(rows, key=lambda change: order.index(change.direction))),
        facts=tuple(facts),
        domains=tuple(_domains(before, after)),
        more_rules=more,
        fewer_rules=fewer,
        origins_before=before.origins,
        origins_after=after.origins,
    )


def _rows(old: Audited, new: Audited) -> t.Tuple[t.List[RowChange], int, int]:
    """Changed rows, and how many checks are new and are no longer made."""
    then, now = ({identity(row): row for row in listener.rows if row["check"] != OUTSIDE} for listener in (old, new))
    changed = [
        RowChange(new, then[key], row, _direction(state_of(then[key]), state_of(row)))
        for key, row in now.items()
        if key in then and state_of(then[key]) != state_of(row)
    ]
    return changed, len(set(now) - set(then)), len(set(then) - set(now))


def _domains(before: Report, after: Report) -> t.Iterator[DomainChange]:
    """Of the servers whose rules could be read both times."""
    then, now = (
        {
            host.host: {(covered.domain, covered.direction): covered for covered in host.entries}
            for host in report.domains
            if host.entries is not None
        }
        for report in (before, after)
    )
    for host, covered in now.items():
        old = then.get(host)
        if old is None:
            continue
        # Sets would forget the order of the rules.
        for key in dict.fromkeys([*covered, *old]):
            pair = old.get(key), covered.get(key)
            if pair[0] is None or pair[1] is None or pair[0].said != pair[1].said:
                yield DomainChange(host, *pair)


def _direction(before: str, after: str) -> str:
    if UNOBSERVABLE in (before, after):
        return OTHER
    return WORSE if STATES.index(after) < STATES.index(before) else BETTER


def _facts(old: Audited, new: Audited) -> t.List[FactChange]:
    changes: t.List[FactChange] = []
    for name, fact in new.facts.items():
        if name in _RESTLESS or name not in old.facts:
            continue
        before, after = old.value(name), new.value(name)
        known = all(_essence(name, value) is not None for value in (before, after))
        if known and _essence(name, before) != _essence(name, after):
            changes.append(FactChange(new, name, _short(name, before), _short(name, after)))
    return changes


def _essence(name: str, value: t.Any) -> t.Any:
    """A value without what a clock or chance makes different."""
    if name == "certificate" and isinstance(value, dict):
        return value.get("fingerprint_sha256")
    if isinstance(value, dict) and "code" in value:
        return value["code"]
    if isinstance(value, dict) and isinstance(value.get("accepted"), list):
        if not value.get("complete", True):
            # What the probe's limits left out is different each time.
            return None
        return sorted(str(item) for item in value["accepted"])
    return value


def _short(name: str, value: t.Any) -> str:
    """A value as words for a table."""
    if name == "certificate" and isinstance(value, dict):
        return "%s, %s - %s" % tuple(value.get(key) for key in ("subject", "not_before", "not_after"))
    essence = _essence(name, value)
    if isinstance(essence, list):
        return ", ".join(str(item) for item in essence) or "-"
    return essence if isinstance(essence, str) else json.dumps(essence, sort_keys=True)


def fingerprint(report: Report) -> str:
    """A text that is the same for two reports that found the same, whenever they were made."""
    listeners = [
        [
            listener.key,
            sorted([identity(row), row["verdict"], str(row.get("severity"))] for row in listener.rows),
            sorted(
                [name, json.dumps(_essence(name, listener.value(name)), sort_keys=True)]
                for name in listener.facts
                if name not in _RESTLESS
            ),
        ]
        for listener in report.listeners
    ]
    essence: t.List[t.Any] = [listeners, [[host.host, host.reason] for host in report.unprobed]]
    if report.domains:
        # Left out without any, so that documents of older versions have the same text.
        essence.append(
            [
                [host.host, host.problem, sorted([one.domain, one.direction, *one.said] for one in host.entries or ())]
                for host in report.domains
            ]
        )
    return json.dumps(essence)
