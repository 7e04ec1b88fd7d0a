# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as JUnit XML, for CI systems: a test suite for each listener, a test case for each check.

JUnit knows passed, failed, error and skipped. What was not observable is never "passed": it is skipped, with the
reason, and an error where it makes the run fail. A warning is skipped, too, and a failure where it makes the run fail.
"""

from __future__ import annotations

import typing as t
from xml.etree import ElementTree

from .coverage import HostDomains
from .element import add, element as e
from .model import NOT_ASKED, OUTSIDE, Audited, Report
from .states import FAIL, PASS, WARNING, Row, state_of


def render(report: Report, fail_on: str = "error") -> str:
    """The document as text. ``fail_on`` is as in the module; what is required and fails is a failure whatever it is."""
    suites = [
        _suite(
            report,
            number,
            listener.host,
            listener.address,
            [_case(listener, row, fail_on) for row in listener.rows],
            listener,
        )
        for number, listener in enumerate(report.listeners)
    ]
    for host in report.unprobed:
        case = e(
            "testcase",
            _outcome("error", "could not be probed", host.reason),
            classname=host.host,
            name="probe",
            time="0",
        )
        suites.append(_suite(report, len(suites), host.host, "", [case]))
    for domains in report.domains:
        suites.append(_suite(report, len(suites), domains.host, "domains", _exceptions(domains, fail_on)))
    root = e(
        "testsuites",
        suites,
        name=report.title or "securemail.smtp audit",
        **_counts([case for suite in suites for case in suite.iter("testcase")]),
    )
    ElementTree.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(
    report: Report,
    number: int,
    host: str,
    address: str,
    cases: t.List[ElementTree.Element],
    listener: t.Optional[Audited] = None,
) -> ElementTree.Element:
    seconds = float((listener.observation.get("seconds") if listener else 0) or 0)
    return e(
        "testsuite",
        cases,
        name=("%s %s" % (host, address)).strip(),
        id=str(number),
        hostname=host,
        time="%.3f" % seconds,
        # The schema's time stamp has no zone; it is UTC.
        timestamp=report.generated[:19],
        **_counts(cases),
    )


def _exceptions(domains: HostDomains, fail_on: str) -> t.List[ElementTree.Element]:
    """A case for reading the rules, and one for each exception."""
    place = "%s.domains" % domains.host
    read = e("testcase", classname=place, name="rules are read", time="0")
    if domains.entries is None:
        read.append(_outcome("error", "the rules could not be read", domains.problem))
    cases = [read]
    for one in domains.exceptions:
        case = e("testcase", classname=place, name="exception for %s (%s)" % (one.domain, one.direction), time="0")
        if one.expired:
            tag = "failure" if fail_on == "warning" else "skipped"
            case.append(_outcome(tag, "its last day was %s" % one.until, one.reason, "warning"))
        cases.append(case)
    return cases


def _counts(cases: t.Sequence[ElementTree.Element]) -> t.Dict[str, str]:
    def number(tag: str) -> str:
        return str(sum(case.find(tag) is not None for case in cases))

    return {
        "tests": str(len(cases)),
        "failures": number("failure"),
        "errors": number("error"),
        "skipped": number("skipped"),
    }


def _case(listener: Audited, row: Row, fail_on: str) -> ElementTree.Element:
    case = e(
        "testcase",
        classname="%s.%s" % (listener.host, listener.address),
        name="%s [%s]" % (row["title"], row["origin"]),
        time="0",
    )
    outcome = _outcome_of(row, "warning" if listener.unseen and fail_on == "error" else fail_on)
    if outcome is not None:
        case.append(outcome)
    return case


def _outcome_of(row: Row, fail_on: str) -> t.Optional[ElementTree.Element]:
    state = state_of(row)
    if row["check"] == OUTSIDE:
        return _outcome("skipped", "cannot be seen from outside: %s" % row["seen"], "")
    if state == PASS:
        return None
    # What nobody asked the probe to look at fails nothing.
    strict = fail_on == "warning" and row.get("side") != NOT_ASKED
    said = "expected %s, seen %s" % (row["expected"], row["seen"])
    words = "%s; side: %s; source: %s" % (said, row.get("side") or "-", row["source"])
    if state == FAIL or (state == WARNING and strict):
        return _outcome("failure", said, words, str(row.get("severity") or "error"))
    if state == WARNING:
        return _outcome("skipped", "warning: %s" % said, words)
    return _outcome(
        "error" if strict else "skipped", "not observable: %s" % row["seen"], words, "unobservable" if strict else ""
    )


def _outcome(tag: str, message: str, words: str, kind: str = "") -> ElementTree.Element:
    outcome = e(tag, message=message, type=None if tag == "skipped" else kind or "unobservable")
    add(outcome, words or None)
    return outcome
