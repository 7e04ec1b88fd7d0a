# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as JUnit XML: the schema that CI systems share, and nothing that reads as passed but did not."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
import sample_results as sample
from ansible_collections.securemail.smtp.plugins.module_utils._report import junit, model

#: Element -> (attributes that it must have, that it may have, children). The part of Jenkins' junit-10.xsd and of the
#: older Ant schema that both have.
SCHEMA = {
    "testsuites": ({"name", "tests", "failures", "errors"}, {"skipped", "time"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname", "id"}, {"package"}, {"testcase"}
    ),
    "testcase": ({"name", "classname", "time"}, set(), {"failure", "error", "skipped"}),
    "failure": ({"message", "type"}, set(), set()),
    "error": ({"message", "type"}, set(), set()),
    "skipped": ({"message"}, set(), set()),
}


def render(results, fail_on="error"):
    text = junit.render(model.build(results, sample.GENERATED, "scanner"), fail_on)
    return text, ElementTree.fromstring(text.encode("utf-8"))


def outcome(case):
    return case[0].tag if len(case) else "passed"


def outcomes(results, fail_on="error"):
    """How each test case of the first suite ended, by its name."""
    return {case.get("name"): outcome(case) for case in render(results, fail_on)[1][0]}


@pytest.mark.parametrize("fail_on", ["error", "warning", "never"])
def test_it_follows_the_schema(fail_on):
    text, root = render(sample.small() + sample.ruled(), fail_on)
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
    for element in root.iter():
        must, may, children = SCHEMA[element.tag]
        assert must <= set(element.attrib) <= must | may, element.tag
        assert {child.tag for child in element} <= children
    for suite in root:
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\Z", suite.get("timestamp"))
        float(suite.get("time"))
        assert len({case.get("name") for case in suite}) >= len(suite) - 1
        assert all(len(case) <= 1 for case in suite)
    assert not [char for char in text if (char < " " and char != "\n") or "\x7f" <= char < "\xa0" or char == "\u202e"]


def test_the_numbers_are_those_of_the_cases():
    _text, root = render(sample.small())
    for element in [root, *root]:
        cases = list(element.iter("testcase"))
        found = [outcome(case) for case in cases]
        assert int(element.get("tests")) == len(cases)
        for name, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(element.get(name)) == found.count(kind), name


def test_a_suite_for_each_listener_and_for_each_host_that_was_not_probed():
    _text, root = render(sample.small())
    names = [suite.get("name") for suite in root]
    assert names[0] == "mx1.example.org mx1.example.org:25"
    assert names[-2:] == ["lost.example.org", "silent.example.org"]
    assert [[outcome(case) for case in suite] for suite in root[-2:]] == [["error"], ["error"]]
    assert "UNREACHABLE" in root[-2][0][0].text


@pytest.mark.parametrize(("fail_on", "failed", "warned", "unseen"), [
    ("error", "failure", "skipped", "skipped"), ("never", "failure", "skipped", "skipped"), ("warning", "failure", "failure", "error"),
])
def test_nothing_reads_as_passed_that_did_not_pass(fail_on, failed, warned, unseen):
    lines = {
        sample.number_of("version", version="TLSv1"): ("fail", "accepted"),
        sample.number_of("ehlo_again"): ("fail", "250"),
        sample.number_of("open_relay"): ("unobservable", "451 greylisted", "server busy"),
        sample.number_of("certificate_trusted"): ("unobservable", "not looked at", "not asked for"),
    }
    found = outcomes([sample.result("mx.example.org", changed=lines)], fail_on)
    assert found["TLSv1 [intermediate]"] == failed
    assert found["MAIL inside TLS without EHLO [intermediate]"] == warned
    assert found["recipient elsewhere, no login [intermediate]"] == unseen
    assert found["certificate chain [intermediate]"] == "skipped"
    assert found["DNSSEC for the own zones [intermediate]"] == "skipped"
    assert found["TLSv1.1 [intermediate]"] == "passed"


def test_a_suite_of_which_nothing_could_be_seen_does_not_read_as_passed():
    dark = sample.result("mx.example.org")
    dark["rows"] = [
        dict(row, verdict="unobservable", side="server busy") if row["check"] not in ("reachable", "outside") else row
        for row in dark["rows"]
    ]
    assert outcomes([dark])["TLSv1 [intermediate]"] == "error"
    assert outcomes([dark], "never")["TLSv1 [intermediate]"] == "skipped"


def test_the_words_say_what_was_expected_and_seen():
    _text, root = render([sample.old_tls("mx.example.org")])
    (failure,) = [case[0] for case in root[0] if case.get("name") == "TLSv1 [intermediate]"]
    assert failure.get("message") == "expected refused, seen accepted"
    assert failure.text == "expected refused, seen accepted; side: -; source: RFC 8996 section 2"


@pytest.mark.parametrize(("fail_on", "ended"), [("error", "skipped"), ("warning", "failure")])
def test_a_case_for_reading_the_rules_and_one_for_each_exception(fail_on, ended):
    suites = {suite.get("name"): suite for suite in render(sample.ruled(), fail_on)[1]}
    cases = {case.get("name"): outcome(case) for case in suites["rules.example.org domains"]}
    assert cases == {
        "rules are read": "passed", "exception for old.gov.test (outbound)": "passed", "exception for fax.test (outbound)": ended,
        "exception for today.test (outbound)": "passed", "exception for bare.gov.test (inbound)": "passed",
    }
    assert [outcome(case) for case in suites["locked.example.org domains"]] == ["error"]
