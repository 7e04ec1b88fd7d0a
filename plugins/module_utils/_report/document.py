# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as JSON: the same content for programs, and what the next report is compared with."""

from __future__ import annotations

import hashlib
import json
import typing as t

from . import changes
from .coverage import HostDomains
from .model import NOT_ASKED, SCHEMA, SCHEMA_VERSION, Report, place
from .states import PASS, state_of
from .visible import visible


def document(report: Report, language: str, evidence: str) -> t.Dict[str, t.Any]:
    """The report as plain data. ``language`` and ``evidence`` are those of the page beside it.

    ``results`` has the form of the module's option, so that a report can be made of a document again.
    ``fingerprint`` is the same for two reports that found the same, whenever they were made.
    """
    essence = changes.fingerprint(report)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "generated": report.generated,
        "probed_from": report.probed_from,
        "title": report.title or None,
        "language": language,
        "evidence": evidence,
        "fingerprint": hashlib.sha256(essence.encode("utf-8", "surrogatepass")).hexdigest(),
        "profiles": [dict(profile) for profile in report.profiles],
        "summary": report.summary(),
        "changes": (report.changes or changes.Changes()).document(),
        "certificates": [
            dict(certificate, listeners=[{"host": one.host, "listener": one.address} for one in listeners])
            for certificate, listeners in report.certificates()
        ],
        "results": _results(report),
    }


def _results(report: Report) -> t.List[t.Dict[str, t.Any]]:
    reasons = {host.host: host.reason for host in report.unprobed}
    found: t.List[t.Dict[str, t.Any]] = []
    for name in report.hosts:
        own = [listener for listener in report.listeners if listener.host == name]
        result: t.Dict[str, t.Any] = {
            "host": name,
            "observations": [dict(listener.observation) for listener in own],
            "rows": [dict(row) for listener in own for row in listener.rows],
        }
        if reasons.get(name):
            result["error"] = reasons[name]
        for domains in report.domains:
            if domains.host == name:
                result.update(_coverage(domains, report.generated))
        found.append(result)
    return found


def _coverage(domains: HostDomains, generated: str) -> t.Dict[str, t.Any]:
    """The keys of a result about domains; what was seen is there for readers, and found anew when they are given back."""
    if domains.entries is None:
        return {"coverage_error": domains.problem, "coverage_notes": list(domains.notes)}
    return {
        "coverage": [covered.document(generated) for covered in domains.entries],
        "coverage_notes": list(domains.notes),
    }


def failed(report: Report, fail_on: str) -> t.List[str]:
    """What makes the run fail, in words: a host that could not be probed does so unless nothing shall.

    ``fail_on`` is ``error`` (which includes a listener of which nothing could be seen), ``warning`` (which includes what
    was not observable, but not what nobody asked the probe to look at; exceptions whose last day is over, too) or
    ``never``. A server that was asked for its rules and could not be read fails like one that could not be probed. What
    several rules ask for alike is there once.
    """
    if fail_on == "never":
        return []
    bad = ["%s: could not be probed" % host.host for host in report.unprobed]
    for listener in report.listeners:
        if listener.unseen and fail_on == "error":
            bad.append("%s: nothing could be seen" % place(listener))
        for row in listener.looked_at:
            state = state_of(row)
            if state == "fail" or (fail_on == "warning" and state != PASS and row.get("side") != NOT_ASKED):
                bad.append("%s: %s: %s" % (place(listener), row["title"], visible(row["seen"], 120)))
    for domains in report.domains:
        if domains.entries is None:
            bad.append("%s: its rules could not be read: %s" % (domains.host, visible(domains.problem, 120)))
        bad += [
            "%s: the exception for %s (%s) was until %s" % (domains.host, one.domain, one.direction, one.until)
            for one in domains.expired
            if fail_on == "warning"
        ]
    return list(dict.fromkeys(bad))


def _read(former: str) -> t.Dict[str, t.Any]:
    try:
        data = json.loads(former)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def found_the_same(former: str, data: t.Mapping[str, t.Any]) -> bool:
    """Whether the text of a document has the findings of ``data``."""
    return _read(former).get("fingerprint") == data["fingerprint"]


def says_the_same(former: str, data: t.Mapping[str, t.Any]) -> bool:
    """Whether it has them in the same form, too: language, title, evidence, place."""
    known = _read(former)
    return all(known.get(key) == data[key] for key in ("fingerprint", "language", "title", "evidence", "probed_from"))


def date_of(former: str) -> str:
    """The date in the text of a document, "" when it has none."""
    return str(_read(former).get("generated") or "")


def summary_of(former: str) -> t.Dict[str, t.Any]:
    """The numbers in the text of a document."""
    found = _read(former).get("summary")
    return found if isinstance(found, dict) else {}


def text(data: t.Mapping[str, t.Any]) -> str:
    """A document as text, in ASCII: no character in it can disturb who looks at it."""
    return json.dumps(data, indent=1, sort_keys=True) + "\n"
