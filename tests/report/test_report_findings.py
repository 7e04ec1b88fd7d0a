# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a report says: states, findings, certificates, and what is different from an earlier one."""

from __future__ import annotations

import copy
import json

import pytest
import sample_results as sample
from ansible_collections.securemail.smtp.plugins.module_utils._report import changes, document, model

LATER = "2026-12-02T17:00:00Z"


def build(results, date=sample.GENERATED):
    return model.build(results, date, "scanner")


def compared(before, after):
    """The changes from one list of results to another, by way of the JSON document that a run leaves behind."""
    text = document.text(document.document(build(before), "en", "auto"))
    return changes.compare(changes.earlier(text), build(after, LATER))


@pytest.fixture
def small():
    return sample.small()


def state_of(report, host):
    return model.worst(listener.state for listener in report.listeners if listener.host == host)


def test_the_worst_row_is_the_state_of_a_listener(small):
    report = build(small)
    states = {name: state_of(report, name + ".example.org") for name in ("mx1", "old", "nearly", "busy", "gone")}
    assert states == {"mx1": "pass", "old": "fail", "nearly": "warning", "busy": "unobservable", "gone": "fail"}


def test_an_unknown_verdict_is_no_pass(small):
    small[0]["rows"][3]["verdict"] = "splendid"
    assert state_of(build(small), "mx1.example.org") == "unobservable"


def test_no_expectation_is_no_pass(small):
    small[0]["rows"] = []
    report = build(small)
    assert state_of(report, "mx1.example.org") == "nothing"
    assert report.summary()["listeners"]["nothing"] == 1


def test_what_nobody_can_see_is_told_once_and_makes_no_state(small):
    report = build(small)
    assert [row["title"] for row in report.outside()] == ["DNSSEC for the own zones"]
    assert report.summary()["rows"]["outside"] == len(report.listeners)
    assert "outside" not in {row["check"] for listener in report.listeners for row in listener.looked_at}


def test_hosts_stay_in_their_order_and_none_is_lost(small):
    small.insert(2, {"host": "first-lost.example.org", "error": "no way"})
    report = build(small)
    assert list(report.hosts) == [result["host"] for result in small]
    assert [(host.host, host.reason) for host in report.unprobed] == [
        ("first-lost.example.org", "no way"),
        ("lost.example.org", "UNREACHABLE: Failed to connect to the host via ssh"),
        ("silent.example.org", ""),
    ]


def test_the_same_finding_of_several_listeners_is_one():
    report = build(sample.fleet(60))
    found = {finding.rows[0]["title"]: finding for finding in report.findings()}
    assert len(found["TLSv1"].listeners) == 6
    states = [finding.state for finding in report.findings()]
    assert states == sorted(states, key=model.STATES.index)


def test_what_two_profiles_ask_for_alike_is_one_check():
    one = sample.result("mx.example.org")
    both = copy.deepcopy(one)
    both["rows"] += [dict(row, origin="other", source="elsewhere") for row in one["rows"]]
    (alone,), (together,) = build([one]).listeners, build([both]).listeners
    assert len(together.checks) == len(alone.checks)
    assert {len(rows) for rows in together.checks} == {2}


def test_one_address_with_two_names_is_two_listeners():
    two = sample.result("mx.example.org")
    other = sample.result("mx.example.org", changed={5: ("fail", "accepted")})
    other["observations"][0]["server_name"] = "second.example.org"
    for key in ("observations", "rows"):
        two[key] += other[key]
    first, second = build([two]).listeners
    assert (first.state, second.state) == ("pass", "fail")
    assert len(first.rows) == len(second.rows)


def test_certificates_stand_by_the_days_that_are_left(small):
    found = build(small).certificates()
    days = [certificate["days_left"] for certificate, _listeners in found]
    assert days == sorted(days) and days[0] == -3
    shared = copy.deepcopy(small[:1]) + copy.deepcopy(small[:1])
    shared[1]["host"] = "twin.example.org"
    (_certificate, listeners), = build(shared).certificates()
    assert len(listeners) == 2


@pytest.mark.parametrize(("damage", "message"), [
    (lambda one: one.pop("host"), r"results\[0\]: a dictionary with the key host is needed"),
    (lambda one: one["rows"][2].pop("verdict"), r"results\[0\].rows\[2\]: not from smtp_probe, without verdict"),
    (lambda one: one["rows"].insert(1, "text"), r"results\[0\].rows\[1\]: not from smtp_probe, without all"),
    (lambda one: one["observations"][0].pop("listener"), r"results\[0\].observations\[0\]: not from smtp_probe, without listener"),
    (lambda one: one.update(coverage=[sample.entry("a.test"), {"domain": "b.test"}]),
     r"results\[0\].coverage\[1\]: not from smtp_info, without direction, level, source"),
    (lambda one: one.update(coverage=[sample.entry("a.test", "both")]), r"direction must be one of inbound, outbound; got both"),
    (lambda one: one["rows"][0].update(listener="other:25"), r"results\[0\].rows\[0\]: no observation of the listener other:25"),
])
def test_what_is_not_from_the_probe_is_refused_with_its_place(damage, message):
    one = sample.result("mx.example.org")
    damage(one)
    with pytest.raises(ValueError, match=message):
        build([one])


def test_the_document_is_the_report(small):
    text = document.text(document.document(build(small), "en", "auto"))
    assert text.isascii() and not any(char < " " and char != "\n" for char in text)
    back = changes.earlier(text)
    assert back.summary() == build(small).summary()
    assert back.hosts == build(small).hosts
    assert [listener.rows for listener in back.listeners] == [listener.rows for listener in build(small).listeners]
    data = json.loads(text)
    assert data["schema_version"] == 1 and data["results"][0]["observations"][0]["dialogues"]


def test_nothing_has_changed(small):
    assert not compared(small, sample.small()).some


def test_a_clock_changes_nothing():
    before, after = sample.result("mx.example.org", days=61), sample.result("mx.example.org", days=61)
    observation = after["observations"][0]
    observation["seconds"] = 99.0
    observation["facts"]["timing"]["value"]["connect"] = 5.0
    observation["facts"]["banner"]["value"]["text"] = "mx ESMTP; Wed, 02 Dec 2026 17:00:00 +0000"
    observation["facts"]["certificate"]["value"]["days_left"] = 54
    observation["dialogues"].pop()
    number = sample.number_of("certificate_valid")
    after["rows"][number]["seen"] = "54 days left"
    assert not compared([before], [after]).some
    assert changes.fingerprint(build([before])) == changes.fingerprint(build([after], LATER))


def test_what_the_probe_left_out_changes_nothing():
    suites = {"accepted": ["A", "B"], "complete": False}
    before = sample.result("mx.example.org", **{"suites.TLSv1.2": sample.fact(suites)})
    after = sample.result("mx.example.org", **{"suites.TLSv1.2": sample.fact({"accepted": ["A"], "complete": False})})
    assert not compared([before], [after]).some
    assert changes.fingerprint(build([before])) == changes.fingerprint(build([after]))
    whole = sample.result("mx.example.org", **{"suites.TLSv1.2": sample.fact({"accepted": ["B", "A"], "complete": True})})
    other = sample.result("mx.example.org", **{"suites.TLSv1.2": sample.fact({"accepted": ["A"], "complete": True})})
    (change,) = compared([whole], [other]).facts
    assert (change.before, change.after) == ("A, B", "A")


@pytest.mark.parametrize(("before", "after", "direction"), [
    ("pass", "fail", "worse"), ("fail", "pass", "better"), ("pass", "unobservable", "other"), ("unobservable", "fail", "other"),
])
def test_another_verdict_is_a_change_with_a_direction(before, after, direction):
    one, other = sample.result("mx.example.org"), sample.result("mx.example.org")
    one["rows"][7]["verdict"], other["rows"][7]["verdict"] = before, after
    found = compared([one], [other])
    (change,) = found.rows
    assert (change.direction, change.after["title"]) == (direction, "TLSv1")
    assert found.document()["rows"][0]["before"]["verdict"] == before
    assert changes.fingerprint(build([one])) != changes.fingerprint(build([other]))


def test_a_new_certificate_is_a_change_that_names_both():
    before, after = sample.result("mx.example.org", days=3), sample.result("mx.example.org", days=90)
    (change,) = compared([before], [after]).facts
    assert change.fact == "certificate"
    assert "2026-12-03" in change.before and "2027-12-28" in change.after


def test_listeners_and_hosts_come_and_go(small):
    after = [one for one in copy.deepcopy(small) if one["host"] not in ("old.example.org", "lost.example.org")]
    after[1]["observations"].pop()
    after[1]["rows"] = [row for row in after[1]["rows"] if row["listener"] == "mail.example.org:465"]
    after[0] = {"host": "mx1.example.org", "error": "no route"}
    after[-1] = sample.result("silent.example.org")
    after.append(sample.result("new.example.org"))
    found = compared(small, after)
    assert found.new_hosts == ("new.example.org",)
    assert found.gone_hosts == ("old.example.org", "lost.example.org")
    assert found.lost_hosts == ("mx1.example.org",)
    assert found.found_hosts == ("silent.example.org",)
    assert [listener.address for listener in found.gone_listeners] == ["mail.example.org:587"]
    assert found.new_listeners == ()
    assert [listener.address for listener in compared(after, small).new_listeners] == ["mail.example.org:587"]


def test_other_rules_are_told_as_such_and_not_as_changes_of_servers():
    before, after = sample.result("mx.example.org"), sample.result("mx.example.org")
    for row in after["rows"]:
        row["origin"] = "strict"
    found = compared([before], [after])
    assert found.rows == () and found.some
    assert found.more_rules == found.fewer_rules == len(sample.ASKED) - 1
    assert found.origins_after == ("strict",)


@pytest.mark.parametrize(("text", "reason"), [
    ("", "it is no JSON"), ("{", "it is no JSON"), ("[" * 100000, "it is no JSON"), ("[]", "no audit report"),
    ('{"schema": "other"}', "no audit report"),
    ('{"schema": "securemail.smtp/audit-report", "schema_version": 99}', "schema version is 99"),
    ('{"schema": "securemail.smtp/audit-report", "schema_version": 1}', "it is damaged"),
    ('{"schema": "securemail.smtp/audit-report", "schema_version": 1, "generated": "x", "probed_from": "y", "results": 5}', "damaged"),
])
def test_an_earlier_report_that_is_none_is_refused_with_a_reason(text, reason):
    with pytest.raises(ValueError, match=reason):
        changes.earlier(text)


@pytest.mark.parametrize(("fail_on", "hosts"), [
    ("never", set()),
    ("error", {"old", "ended", "gone", "evil", "lost", "silent"}),
    ("warning", {"old", "ended", "gone", "evil", "lost", "silent", "nearly", "busy"}),
])
def test_what_makes_a_run_fail(small, fail_on, hosts):
    found = document.failed(build(small), fail_on)
    assert {line.partition(".")[0] for line in found} == hosts
    assert len(found) == len(set(found))
    assert all("\x1b" not in line and len(line) < 400 for line in found)


def test_what_nobody_asked_to_look_at_fails_nothing_and_what_several_ask_for_is_told_once():
    narrow = sample.result("mx.example.org", changed={5: ("unobservable", "not looked at", "not asked for")})
    assert document.failed(build([narrow]), "warning") == []
    blind = sample.result("mx.example.org", changed={5: ("unobservable", "no answer", "network")})
    blind["rows"] += [dict(row, origin="other") for row in blind["rows"]]
    (line,) = document.failed(build([blind]), "warning")
    assert "no answer" in line


def test_rules_that_could_not_be_read_fail_a_run_and_exceptions_that_ended_are_a_warning():
    report = build(sample.ruled())
    unread = ["locked.example.org: its rules could not be read: The admin interface at 127.0.0.1 port 7000 refuses connections"]
    ended = ["rules.example.org: the exception for fax.test (outbound) was until 2026-11-24"]
    for fail_on, expected in (("never", []), ("error", unread), ("warning", unread + ended)):
        found = document.failed(report, fail_on)
        assert sorted(line for line in found if "mail for" not in line) == expected
    assert report.summary()["domains"] == {"all": 10, "exceptions": 4, "expired": 1}
    assert "domains" not in build(sample.small()).summary()


def test_the_document_has_every_domain_and_when_it_was_seen():
    data = document.document(build([sample.covered("rules.example.org", 2000)]), "en", "auto")
    (result,) = data["results"]
    found = {(one["domain"], one["direction"]): one for one in result["coverage"]}
    assert len(found) == 2008
    assert found["fax.test", "outbound"]["expired"] is True and found["today.test", "outbound"]["expired"] is False
    assert found["secure.example.org", "inbound"]["last_seen"] == {
        "state": "fail", "at": sample.GENERATED, "looks": 1, "listener": "rules.example.org:25",
        "check": "mail for secure.example.org in clear", "seen": "250 2.1.5 Ok",
    }
    assert found["d01999.test", "inbound"]["last_seen"] is None
    again = document.document(build(data["results"]), "en", "auto")
    assert json.dumps(again) == json.dumps(data)


def test_levels_and_exceptions_that_changed_are_told_of_servers_that_were_read_both_times():
    before, after = [sample.covered("rules.example.org")], [sample.covered("rules.example.org")]
    after[0]["coverage"][4]["until"] = "2027-11-24"
    after[0]["coverage"] += [sample.entry("new.test")]
    found = compared(before, after).document()["domains"]
    assert [(one["domain"], one["before"] and one["before"]["until"], one["after"]["until"]) for one in found] == [
        ("fax.test", "2026-11-24", "2027-11-24"), ("today.test", "2026-11-25", "2026-11-25"), ("new.test", None, ""),
    ], "a day that has passed ends an exception"
    del before[0]["coverage"]
    assert compared(before, after).domains == ()


def test_a_listener_of_which_nothing_could_be_seen_makes_a_run_fail():
    dark = sample.result("mx.example.org")
    dark["rows"] = [
        dict(row, verdict="unobservable", side="server busy") if row["check"] not in ("reachable", "outside") else row
        for row in dark["rows"]
    ]
    (line,) = document.failed(build([dark]), "error")
    assert line.endswith("nothing could be seen")
    assert document.failed(build([dark]), "never") == []
    dark["rows"][1] = dict(dark["rows"][1], verdict="pass", side="")
    assert document.failed(build([dark]), "error") == []
