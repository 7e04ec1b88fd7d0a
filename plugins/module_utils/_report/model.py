# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a report says, as values: listeners with their rows, hosts that could not be probed, counts, certificates.

Input are the documents that ``smtp_probe`` returned, one for each host of the inventory. Nothing is judged here:
verdicts are the probe's, and a thing that was not looked at is told as such.
"""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass, field

from . import coverage
from .states import FAIL, PASS, STATES, UNOBSERVABLE, WARNING, Row, state_of, worst

#: Bumped when a reader of older documents would misunderstand a new one.
SCHEMA = "securemail.smtp/audit-report"
SCHEMA_VERSION = 1

#: A requirement that nobody can observe from outside: told once, and in no cell.
OUTSIDE = "outside"
#: The side of a row that nobody asked the probe to look at.
NOT_ASKED = "not asked for"

#: Columns of the matrix: name, kinds of checks. A kind that stands nowhere is in "other".
GROUPS: t.Tuple[t.Tuple[str, t.Tuple[str, ...]], ...] = (
    ("connection", ("declared", "reachable", "greeting")),
    ("starttls", ("tls_mode", "silent_in_clear", "starttls_offered", "starttls_works", "starttls_inside_tls")),
    ("versions", ("version",)),
    ("suites", ("suites", "suite_offered", "server_preference")),
    ("exchange", ("groups", "group_offered", "dh_size")),
    ("protocol", ("compression", "extended_master_secret", "secure_renegotiation", "encrypt_then_mac")),
    (
        "certificate",
        (
            "certificate_trusted",
            "certificate_name",
            "certificate_valid",
            "certificate_lifetime",
            "certificate_key",
            "certificate_signature",
        ),
    ),
    (
        "login",
        ("auth_offered_clear", "auth_refused_clear", "auth_offered_tls", "auth_refused_tls", "login", "wrong_password"),
    ),
    ("session", ("injection", "late_plaintext", "ehlo_again", "transaction_forgotten")),
    ("mail", ("open_relay", "mail_refused_clear", "mail_refused_tls", "forced_clear", "forced_tls", "other_clear")),
)
OTHER = "other"
GROUP_OF = {check: name for name, checks in GROUPS for check in checks}


def group_of(row: Row) -> str:
    """The group of checks that a row belongs to."""
    return GROUP_OF.get(row["check"], OTHER)


@dataclass(frozen=True)
class Audited:
    """One listener of one host. ``anchor`` is its name within the page."""

    host: str
    anchor: str
    observation: t.Mapping[str, t.Any]
    rows: t.Tuple[Row, ...]

    @property
    def address(self) -> str:
        return str(self.observation["listener"])

    @property
    def key(self) -> t.Tuple[str, str, str]:
        """What makes it the same listener in another report."""
        return (self.host, self.address, str(self.observation.get("server_name") or ""))

    @property
    def facts(self) -> t.Mapping[str, t.Mapping[str, t.Any]]:
        return self.observation.get("facts") or {}

    @property
    def dialogues(self) -> t.Sequence[t.Mapping[str, t.Any]]:
        return self.observation.get("dialogues") or ()

    @functools.cached_property
    def unseen(self) -> bool:
        """Whether nothing of what was asked could be seen but that the listener is there. One that is not there fails."""
        asked = [state_of(row) for row in self.looked_at if row.get("side") != NOT_ASKED]
        there = [state_of(row) for row in self.looked_at if row["check"] == "reachable" and state_of(row) != FAIL]
        return len(asked) > len(there) and asked.count(UNOBSERVABLE) == len(asked) - there.count(PASS)

    @functools.cached_property
    def looked_at(self) -> t.List[Row]:
        """The rows without those that nobody can observe from outside."""
        return [row for row in self.rows if row["check"] != OUTSIDE]

    @functools.cached_property
    def state(self) -> str:
        return worst(state_of(row) for row in self.looked_at)

    @functools.cached_property
    def checks(self) -> t.List[t.Tuple[Row, ...]]:
        """The same rows, those together that differ in nothing but who asks: two profiles often ask for one thing."""
        found: t.Dict[t.Tuple[str, ...], t.List[Row]] = {}
        for row in self.looked_at:
            key = tuple(str(row.get(name)) for name in ("check", "title", "expected", "seen", "side")) + (
                state_of(row),
            )
            found.setdefault(key, []).append(row)
        return [tuple(rows) for rows in found.values()]

    def states(self, group: str) -> t.List[str]:
        """The states of the checks of one group."""
        return [state_of(rows[0]) for rows in self.checks if group_of(rows[0]) == group]

    def value(self, fact: str) -> t.Any:
        """The value of a fact, None when it is absent or was not observable."""
        found = self.facts.get(fact) or {}
        return found.get("value") if found.get("observable", True) else None


def place(listener: Audited) -> str:
    """A listener as text: its address, and the host's name when that is another one."""
    address = listener.address
    return address if address.startswith(listener.host + ":") else "%s (%s)" % (address, listener.host)


@dataclass(frozen=True)
class Unprobed:
    """A host of which nothing is known, and why."""

    host: str
    reason: str


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, on all listeners where it is, with all rows that say so."""

    state: str
    rows: t.Tuple[Row, ...]
    listeners: t.Tuple[Audited, ...]


@dataclass(frozen=True)
class Report:
    """All of it. ``generated`` is UTC in RFC 3339 form; ``profiles`` are the documents of those that rows come from;
    ``hosts`` are all hosts in their order, those included that could not be probed. ``domains`` are those of the hosts
    whose servers were asked for their rules.
    """

    generated: str
    probed_from: str
    listeners: t.Tuple[Audited, ...]
    unprobed: t.Tuple[Unprobed, ...] = ()
    profiles: t.Tuple[t.Mapping[str, t.Any], ...] = ()
    title: str = ""
    hosts: t.Tuple[str, ...] = ()
    domains: t.Tuple[coverage.HostDomains, ...] = ()
    changes: t.Any = field(default=None, compare=False)

    @property
    def origins(self) -> t.Tuple[str, ...]:
        """Where the expectations come from: ``policy``, names of profiles."""
        return tuple(dict.fromkeys(str(row["origin"]) for listener in self.listeners for row in listener.rows))

    @property
    def groups(self) -> t.List[str]:
        """The columns that have something in them."""
        used = {group_of(row) for listener in self.listeners for row in listener.looked_at}
        return [name for name in [name for name, _checks in GROUPS] + [OTHER] if name in used]

    def in_state(self, state: str) -> t.List[Audited]:
        return [listener for listener in self.listeners if listener.state == state]

    def rows_in_state(self, state: str) -> int:
        return sum(state_of(row) == state for listener in self.listeners for row in listener.looked_at)

    def findings(self) -> t.List[Finding]:
        """What failed, the same thing of several listeners together: errors first, then by how many have it."""
        found: t.Dict[t.Tuple[str, ...], t.Tuple[t.List[Row], t.Dict[str, Audited]]] = {}
        for listener in self.listeners:
            for row in listener.looked_at:
                state = state_of(row)
                if state in (FAIL, WARNING):
                    rows, places = found.setdefault((state, row["check"], row["title"], row["expected"]), ([], {}))
                    rows.append(row)
                    places[listener.anchor] = listener
        findings = [Finding(key[0], tuple(rows), tuple(places.values())) for key, (rows, places) in found.items()]
        return sorted(findings, key=lambda finding: (STATES.index(finding.state), -len(finding.listeners)))

    def outside(self) -> t.List[Row]:
        """What cannot be seen from outside, each once."""
        rows = [row for listener in self.listeners for row in listener.rows if row["check"] == OUTSIDE]
        return list({(row["title"], row["source"], row["origin"]): row for row in rows}.values())

    def certificates(self) -> t.List[t.Tuple[t.Mapping[str, t.Any], t.List[Audited]]]:
        """Each certificate once with the listeners that show it, the one that ends first in front."""
        found: t.Dict[str, t.Tuple[t.Mapping[str, t.Any], t.List[Audited]]] = {}
        for listener in self.listeners:
            value = listener.value("certificate")
            if isinstance(value, dict):
                name = str(value.get("fingerprint_sha256") or listener.anchor)
                found.setdefault(name, (value, []))[1].append(listener)
        return sorted(found.values(), key=lambda pair: (_days(pair[0]), str(pair[0].get("subject"))))

    def summary(self) -> t.Dict[str, t.Any]:
        """Counts for machines: of listeners and rows by state, of domains where servers were asked for their rules."""
        entries = [covered for host in self.domains for covered in host.entries or ()]
        domains = {
            "all": len({(host.host, covered.domain) for host in self.domains for covered in host.entries or ()}),
            "exceptions": sum(covered.exception for covered in entries),
            "expired": sum(covered.expired for covered in entries),
        }
        found: t.Dict[str, t.Any] = {
            "hosts": len(self.hosts),
            "hosts_not_probed": len(self.unprobed),
            "listeners": dict({"all": len(self.listeners)}, **{name: len(self.in_state(name)) for name in STATES}),
            "rows": dict(
                {name: self.rows_in_state(name) for name in STATES[:-1]},
                outside=sum(row["check"] == OUTSIDE for listener in self.listeners for row in listener.rows),
            ),
        }
        return dict(found, domains=domains) if self.domains else found


def _days(certificate: t.Mapping[str, t.Any]) -> int:
    days = certificate.get("days_left")
    return days if isinstance(days, int) else 1 << 30


def build(results: t.Sequence[t.Mapping[str, t.Any]], generated: str, probed_from: str, **more: t.Any) -> Report:
    """The report of results ``{"host", "observations", "rows"}``; ``{"host", "error"}`` is a host that was not probed.

    Raises ValueError, with the place, for something else.
    """
    listeners: t.List[Audited] = []
    unprobed: t.List[Unprobed] = []
    domains: t.List[coverage.HostDomains] = []
    for number, result in enumerate(results):
        where = "results[%d]" % number
        if not isinstance(result, dict) or not result.get("host"):
            raise ValueError("%s: a dictionary with the key host is needed" % where)
        host = str(result["host"])
        if result.get("error"):
            unprobed.append(Unprobed(host, str(result["error"])))
        elif not result.get("observations"):
            unprobed.append(Unprobed(host, ""))
        first = len(listeners)
        for observation, rows in _joined(where, result.get("observations") or [], result.get("rows") or []):
            listeners.append(Audited(host, "l%d" % (len(listeners) + 1), observation, tuple(rows)))
        found = coverage.of_host(where, result, listeners[first:], generated)
        domains += [found] if found is not None else []
    hosts = tuple(dict.fromkeys(str(result["host"]) for result in results))
    return Report(
        generated, probed_from, tuple(listeners), tuple(unprobed), hosts=hosts, domains=tuple(domains), **more
    )


_ROW_KEYS = ("listener", "check", "title", "expected", "seen", "verdict", "severity", "source", "origin")


def _joined(
    where: str, observations: t.Sequence[t.Any], rows: t.Sequence[t.Any]
) -> t.List[t.Tuple[t.Mapping[str, t.Any], t.List[Row]]]:
    """Observations, each with its rows.

    One address may have been asked about twice, with two names: then a requirement stands twice, and the second
    time is about the second observation.
    """
    for kind, items, keys in (("observations", observations, ("listener",)), ("rows", rows, _ROW_KEYS)):
        for number, item in enumerate(items):
            missing = [key for key in keys if key not in item] if isinstance(item, dict) else ["all"]
            if missing:
                raise ValueError(
                    "%s.%s[%d]: not from smtp_probe, without %s" % (where, kind, number, ", ".join(missing))
                )
    joined: t.List[t.Tuple[t.Mapping[str, t.Any], t.List[Row]]] = [(observation, []) for observation in observations]
    places: t.Dict[str, t.List[t.List[Row]]] = {}
    for observation, own in joined:
        places.setdefault(str(observation["listener"]), []).append(own)
    seen: t.Dict[t.Tuple[str, str], int] = {}
    for number, row in enumerate(rows):
        own_places = places.get(str(row["listener"]))
        if own_places is None:
            raise ValueError("%s.rows[%d]: no observation of the listener %s" % (where, number, row["listener"]))
        key = (str(row["listener"]), identity(row))
        own_places[min(seen.get(key, 0), len(own_places) - 1)].append(row)
        seen[key] = seen.get(key, 0) + 1
    return joined


def identity(row: Row) -> str:
    """What makes it the same check in another report."""
    parameters = sorted((str(key), str(value)) for key, value in (row.get("parameters") or {}).items())
    return repr((row["check"], parameters, row["origin"], row["source"]))
