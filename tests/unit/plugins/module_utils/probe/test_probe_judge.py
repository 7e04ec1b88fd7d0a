# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every check passes on a hardened twin and fails on a twin that differs in the one thing that the check is about."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._probe import judge
from ansible_collections.securemail.smtp.plugins.module_utils._probe.check import Check, Verdict
from ansible_collections.securemail.smtp.plugins.module_utils._probe.smtp import Unobservable
from ansible_collections.securemail.smtp.plugins.module_utils._probe.suites import ARTICLE_SUITES
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.twin import (
    ACCOUNT,
    EXPLANATION,
    FORCED,
    LOCAL,
    OTHER,
    PASSWORD,
    SERVER_NAME,
    smtp_twin,
)

MODERN = {"kind": "rsa", "ciphers": "ECDHE+AESGCM:ECDHE+CHACHA20"}
ARTICLE = {"kind": "rsa", "ciphers": ":".join(ARTICLE_SUITES), "minimum": "TLSv1", "dh_bits": 2048}
EVERYTHING = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
OLD_TLS = {"kind": "rsa", "minimum": "TLSv1"}


@contextlib.contextmanager
def server(context, **different):
    """The target of three twins that share a behaviour: relay, submission, submissions."""
    with contextlib.ExitStack() as stack:
        ports = [
            stack.enter_context(smtp_twin(context=context, implicit=implicit, **different)).port
            for implicit in (False, False, True)
        ]
        yield judge.Target(
            "127.0.0.1", *ports, account=ACCOUNT, password=PASSWORD, local_domain=LOCAL, forced_domain=FORCED,
            other_domain=OTHER, explanation=EXPLANATION, ca_file=None, server_name=SERVER_NAME,
            timeout=5.0, silence=0.1,
        )


@pytest.mark.parametrize("form, settings", [("modern", MODERN), ("article", ARTICLE)])
@pytest.mark.parametrize("mechanisms", [("PLAIN", "LOGIN"), ("SCRAM-SHA-256",), ("PLAIN", "LOGIN", "SCRAM-SHA-256")])
def test_a_hardened_server_passes_every_check(authority, form, settings, mechanisms):
    with server(authority.context(**settings), tls_mechanisms=mechanisms) as target:
        target = dataclasses.replace(target, ca_file=authority.ca_file)
        found = judge.checks(target, form, mechanisms)
        verdicts = judge.run_all(found)
    assert [(check.name, str(verdict)) for check, verdict in zip(found, verdicts) if not verdict.passed] == []
    assert len(found) >= 60


#: What a check is called, behind the listener's name, and what is different about a twin on which it must fail.
#: "tls" makes another context; the rest are fields of the twin's behaviour.
FAILS = [
    ("greeting in clear", {"greeting": "554 5.7.1 Not for you"}),
    ("STARTTLS in clear", {"offers_starttls": False}),
    ("AUTH in clear", {"clear_mechanisms": ("PLAIN",)}),
    ("AUTH PLAIN in clear", {"clear_mechanisms": ("PLAIN",)}),
    ("AUTH PLAIN in clear", {"accepts_unoffered": True}),
    ("AUTH PLAIN in clear", {"overrule": {"AUTH": "535 5.7.8 Wrong"}}),
    ("AUTH PLAIN in clear", {"overrule": {"AUTH": "235 2.7.0 Welcome"}}),
    ("AUTH LOGIN in clear", {"clear_mechanisms": ("LOGIN",)}),
    ("AUTH LOGIN in clear", {"overrule": {"AUTH": "535 5.7.8 Wrong"}}),
    ("STARTTLS inside TLS", {"starttls_inside_tls": True}),
    ("AUTH inside TLS", {"tls_mechanisms": ("PLAIN",)}),
    ("AUTH inside TLS", {"tls_mechanisms": ("PLAIN", "LOGIN", "SCRAM-SHA-256")}),
    ("AUTH inside TLS", {"tls_mechanisms": ()}),
    ("in clear", {"talks_before_tls": True}),
    ("in clear", {"answers_clear_on_implicit": True}),
    ("AUTH PLAIN, right password", {"no_password": True}),
    ("AUTH LOGIN, right password", {"no_password": True}),
    ("AUTH LOGIN, right password", {"tls_mechanisms": ("PLAIN",)}),
    ("AUTH PLAIN, wrong password", {"any_password": True}),
    ("AUTH LOGIN, wrong password", {"any_password": True}),
    ("AUTH PLAIN, wrong password", {"tls_mechanisms": ()}),
    ("AUTH SCRAM-SHA-256, not chosen", {"hidden_mechanisms": ("SCRAM-SHA-256",)}),
    ("AUTH SCRAM-SHA-256, not chosen", {"overrule": {"AUTH": "535 5.7.8 Wrong"}}),
    ("TLSv1.2", {"tls": {"kind": "rsa", "minimum": "TLSv1_3"}}),
    ("TLSv1.3", {"tls": {"kind": "rsa", "maximum": "TLSv1_2"}}),
    ("RSA key exchange", {"tls": {"kind": "rsa", "ciphers": "AES256-SHA:AES128-SHA256"}}),
    ("RSA key exchange", {"tls": {"kind": "rsa", "ciphers": "AES256-GCM-SHA384"}}),
    ("anonymous and NULL suites", {"tls": {"kind": "rsa", "ciphers": "NULL-SHA256:@SECLEVEL=0"}}),
    ("certificate", {"tls": {"name": "other.example.test"}}),
    ("certificate", {"tls": {"days": -1}}),
    ("command injected behind STARTTLS", {"keeps_buffer": True}),
    ("command injected behind STARTTLS", {"keeps_buffer": True, "keeps_state": True}),
    ("command injected behind STARTTLS", {"answers_buffer_in_clear": True}),
    ("command between STARTTLS and handshake", {"skips_late_plaintext": True}),
    ("TLSv1.2", {"breaks_off_behind_hello": True}),
    ("TLSv1.3", {"breaks_off_behind_hello": True}),
    ("MAIL inside TLS without EHLO", {"keeps_state": True}),
    ("MAIL from before STARTTLS", {"keeps_state": True}),
    ("forced domain in clear", {"forces": ()}),
    ("forced domain in clear", {"explanation": "Only secure delivery for forced.test"}),
    ("other domain in clear", {"forces": (FORCED, OTHER)}),
    ("other domain in clear", {"forces": ()}),
    ("forced domain inside TLS", {"forces_inside_tls": True}),
    ("recipient elsewhere, no login", {"relays": True}),
]

FAILS_MODERN = FAILS + [
    ("TLSv1", {"tls": OLD_TLS}),
    ("TLSv1.1", {"tls": OLD_TLS}),
    ("CBC suites", {"tls": {"kind": "rsa", "ciphers": "ECDHE-RSA-AES128-SHA256"}}),
    ("CBC suites", {"tls": {"kind": "rsa", "ciphers": "DHE-RSA-AES128-SHA", "dh_bits": 2048}}),
]

FAILS_ARTICLE = FAILS + [
    ("TLSv1", {"tls": dict(ARTICLE, minimum="TLSv1_1")}),
    ("TLSv1.1", {"tls": dict(ARTICLE, minimum="TLSv1_2")}),
    ("DHE suites", {"tls": dict(ARTICLE, dh_bits=0)}),
    ("DHE suites", {"tls": dict(ARTICLE, dh_bits=1024)}),
    ("DHE suites", {"tls": MODERN}),
    ("DHE suites", {"breaks_off_behind_hello": True}),
    ("TLSv1", {"breaks_off_behind_hello": True}),
]

#: No library of today speaks these; hand-made twins are in the tests of the handshake.
WITHOUT_TWIN = {"SSLv2", "SSLv3"}

CASES = [("modern", MODERN) + case for case in FAILS_MODERN] + [("article", ARTICLE) + case for case in FAILS_ARTICLE]


def bare(check):
    return check.name.split(": ", 1)[1]


@pytest.mark.parametrize("form, settings, name, different", CASES)
def test_a_check_fails_on_the_twin_that_does_it_wrong(authority, form, settings, name, different):
    different = dict(different)
    context = authority.context(**different.pop("tls", settings))
    with server(context, **different) as target:
        target = dataclasses.replace(target, ca_file=authority.ca_file)
        found = [check for check in judge.checks(target, form) if bare(check) == name]
        assert found
        outcomes = {check.name: check.run() for check in found}
    assert {name: str(verdict) for name, verdict in outcomes.items() if verdict.outcome != "fail"} == {}


@pytest.mark.parametrize("form, cases", [("modern", FAILS_MODERN), ("article", FAILS_ARTICLE)])
def test_every_check_of_the_list_has_a_twin_on_which_it_fails(form, cases):
    target = judge.Target("192.0.2.1", 25, 587, 465, "a", "b", LOCAL, FORCED, OTHER, EXPLANATION, None, None)
    named = {name for name, unused in cases} | WITHOUT_TWIN
    assert {bare(check) for check in judge.checks(target, form)} == named


def test_a_server_that_cuts_off_an_injection_passes(authority):
    with server(authority.context(), cuts_off_injection=True) as target:
        verdicts = [check.run() for check in judge.checks(target) if "injected" in check.name]
    assert {verdict.seen for verdict in verdicts} == {"refused: 554 5.5.1 Nothing may follow STARTTLS"}
    assert all(verdict.passed for verdict in verdicts)


# ---- what is not the server's answer is neither pass nor fail


@pytest.mark.parametrize("different", [
    {"greeting": "421 4.7.0 Too many connections"},
    {"overrule": {"EHLO": "421 4.3.2 Shutting down"}},
    {"overrule": {"EHLO": "451 4.3.0 Try again"}},
    {"overrule": {"STARTTLS": "454 4.7.0 TLS not available"}},
])
def test_a_server_that_has_no_time_is_not_observable(authority, different):
    with server(authority.context(**MODERN), **different) as target:
        found = judge.checks(dataclasses.replace(target, ca_file=authority.ca_file))
        outcomes = {check.name: check.run().outcome for check in found}
    assert {name for name, outcome in outcomes.items() if outcome == "fail"} == set()
    # What needs no STARTTLS may come all the same.
    passed = {name for name, outcome in outcomes.items() if outcome == "pass"}
    assert all(" in clear" in name or name.startswith("submissions: ") for name in passed), passed


def test_a_host_where_nothing_listens_is_not_observable():
    target = judge.Target(
        "127.0.0.1", 1, 1, 1, ACCOUNT, PASSWORD, LOCAL, FORCED, OTHER, EXPLANATION, None, SERVER_NAME, timeout=2.0
    )
    for form in judge.FORMS:
        assert {verdict.outcome for verdict in judge.run_all(judge.checks(target, form))} == {"unobservable"}


def test_a_listener_that_refuses_every_handshake_has_not_refused_old_versions(authority):
    context = authority.context()
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # no suite for this key, and
    context.maximum_version = context.minimum_version   # nothing newer either: nobody gets in
    with server(context) as target:
        names = ("CBC suites", "RSA key exchange")
        outcomes = {check.name: check.run() for check in judge.checks(target) if bare(check) in names}
    assert {verdict.outcome for verdict in outcomes.values()} == {"unobservable"}
    assert all("takes nothing else either" in verdict.seen for verdict in outcomes.values())


def test_greylisting_is_not_observable(authority):
    with server(authority.context(), overrule={"RCPT": "451 4.7.1 Come back later"}) as target:
        found = [check for check in judge.checks(target) if "domain" in check.name or "elsewhere" in check.name]
        assert {check.run().outcome for check in found} == {"unobservable"}


# ---- gentle and discreet


def test_the_real_password_is_not_shown_in_clear_to_another_machine(authority):
    seen = []
    with server(authority.context(), overrule={"AUTH": "538 5.7.11 Encryption required"}) as target:
        for allowed in (None, True, False):
            asked = dataclasses.replace(target, clear_password=allowed)
            seen += [check.run() for check in judge.checks(asked) if bare(check) == "AUTH PLAIN in clear"]
    assert all(verdict.passed for verdict in seen)
    assert ["made up" in verdict.seen for verdict in seen] == [False, False, False, False, True, True]


def test_a_target_and_its_checks_do_not_show_the_password():
    target = judge.Target("h", 1, 2, None, ACCOUNT, PASSWORD, LOCAL, FORCED, OTHER, EXPLANATION, None, None)
    assert PASSWORD not in "%r %r" % (target, judge.checks(target))


def test_a_target_without_submissions_has_no_such_checks():
    target = judge.Target("h", 1, 2, None, ACCOUNT, PASSWORD, LOCAL, FORCED, OTHER, EXPLANATION, None, None)
    assert {check.name.split(":")[0] for check in judge.checks(target)} == {"relay", "submission"}


def test_names_are_unique_and_everything_has_a_source():
    target = judge.Target("h", 1, 2, 3, ACCOUNT, PASSWORD, LOCAL, FORCED, OTHER, EXPLANATION, None, None)
    for form in judge.FORMS:
        found = judge.checks(target, form, ("PLAIN", "SCRAM-SHA-256"))
        assert len({check.name for check in found}) == len(found)
        assert all(check.source and check.expected for check in found)


@pytest.mark.parametrize("arguments", [("strict",), ("modern", ["CRAM-MD5"])])
def test_slips_of_the_caller(arguments):
    target = judge.Target("h", 1, 2, 3, ACCOUNT, PASSWORD, LOCAL, FORCED, OTHER, EXPLANATION, None, None)
    with pytest.raises(ValueError, match="known are|knows"):
        judge.checks(target, *arguments)


# ---- the table


def sample(name, look, before=""):
    return Check(name, "expected words", "RFC 0", look, before)


def unobservable():
    raise Unobservable("421 busy", "server busy")


def test_rows_say_what_was_proven():
    yes, no = Verdict("pass", "yes"), Verdict("fail", "no")

    def good():
        return yes

    def bad():
        return no

    found = [sample("a", good), sample("b", good, "always so"), sample("c", good), sample("d", bad)]
    found.append(sample("e", unobservable))
    after = judge.run_all(found)
    before = [no, yes, yes, no, no]
    rows = judge.compare(found, before, after)
    assert [row[4] for row in rows] == ["ok", "ok (held before: always so)", "PROVES NOTHING", "FAILED", "FAILED"]
    assert judge.proven(rows) == 2
    assert rows[4][3] == "? 421 busy (server busy)"


def test_run_all_reports_each_verdict_in_order():
    told = []
    found = [sample("a", lambda: Verdict("pass", "1")), sample("b", unobservable)]
    verdicts = judge.run_all(found, lambda check, verdict: told.append((check.name, verdict.outcome)))
    assert told == [("a", "pass"), ("b", "unobservable")]
    assert [verdict.outcome for verdict in verdicts] == ["pass", "unobservable"]


def test_the_table_is_aligned_and_loses_nothing():
    rows = [("short", "- no", "this", "+ yes", "ok"), ("long " * 20, "x" * 100, "", "+ yes", "FAILED")]
    text = judge.table(rows)
    lines = text.splitlines()
    assert lines[0].split() == list(("check", "before", "expected", "after", "verdict"))
    column = lines[0].index("verdict")
    assert lines[2][column:] == "ok"
    assert lines[3][column:] == "FAILED"
    assert all(line[column - 1 : column] in ("", " ") for line in lines[2:])
    assert text.count("long") == 20
    assert text.count("x") == 101  # one in the head
