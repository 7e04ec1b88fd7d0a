# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Defaults and exceptions: which rule decides, what an exception needs, when it is over, what may not be forced."""

from __future__ import annotations

import datetime

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy import coverage, edit, exception, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Listener, Policy
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    ForcedTlsDomain,
    ForcedTlsGroup,
    OpaqueRule,
    RelayTlsRule,
)

#: A default, a parent that is stricter, exceptions with reasons, and one domain that is stricter than the default.
COMPLIANCE = (
    {"domain": "*", "direction": "outbound", "level": "encrypt"},
    {"domain": ".gov.test", "direction": "both", "level": "secure", "match": [".gov.test"]},
    {"domain": "old.gov.test", "direction": "outbound", "level": "may", "reason": "appliance", "until": "2027-04-01"},
    {"domain": "fax.test", "direction": "outbound", "level": "none", "reason": "no TLS at all", "until": "2026-12-31"},
    {"domain": "typo.test", "direction": "outbound", "level": "may", "reason": "typo"},
    {"domain": "bank.test", "direction": "both", "level": "secure", "match": ["mx.bank.test"]},
)


def document_of(*entries):
    document, _notices = options.policy_document({"forced_tls_domains": list(entries)})
    return document


def put(policy, *entries):
    return edit.put_document(policy, document_of(*entries))


def problems_of(call, *arguments):
    with pytest.raises(PolicyError) as caught:
        call(*arguments)
    return caught.value.problems


def covered(policy):
    return {
        (row["domain"], row["direction"]): (row["level"], row["source"], row["exception"])
        for row in coverage.effective(policy)
    }


POLICY = put(Policy(rules=(OpaqueRule("WA_Routing_basic", "relay", basic=True),)), *reversed(COMPLIANCE))


# --- what holds ---------------------------------------------------------------------------------


def test_the_most_special_rule_decides_and_exceptions_show():
    assert covered(put(POLICY, {"domain": "new.gov.test", "direction": "inbound", "enabled": False})) == {
        ("*", "outbound"): ("encrypt", "default", False),
        (".gov.test", "inbound"): ("encrypt", "parent", False),
        (".gov.test", "outbound"): ("secure", "parent", False),
        ("bank.test", "inbound"): ("encrypt", "exact", False),
        ("bank.test", "outbound"): ("secure", "exact", False),
        ("fax.test", "outbound"): ("none", "exact", True),
        ("new.gov.test", "inbound"): ("encrypt", "parent", False),
        ("new.gov.test", "outbound"): ("secure", "parent", False),
        ("old.gov.test", "inbound"): ("encrypt", "parent", False),
        ("old.gov.test", "outbound"): ("may", "exact", True),
        ("typo.test", "outbound"): ("may", "exact", True),
    }
    (row,) = [row for row in coverage.effective(POLICY) if row["domain"] == "fax.test"]
    assert row == {
        "domain": "fax.test",
        "direction": "outbound",
        "level": "none",
        "source": "exact",
        "exception": True,
        "reason": "no TLS at all",
        "until": "2026-12-31",
        "rule": "tls_exception_for_fax_test_outbound",
    }


def test_rules_stand_from_general_to_special_whatever_the_order_of_the_list():
    names = [rule.name for rule in POLICY.rules if rule.event == "relay"]
    assert names[:2] == ["WA_Routing_basic", "allow_only_tls_for_every_domain_outbound"]
    assert names[2].startswith("allow_only_tls_for_gov_test_")
    assert set(names[3:]) == {
        "tls_exception_for_old_gov_test_outbound",
        "tls_exception_for_fax_test_outbound",
        "tls_exception_for_typo_test_outbound",
        "allow_only_tls_for_bank_test_outbound",
    }
    assert put(POLICY, *COMPLIANCE) is POLICY


def test_members_of_a_group_are_covered_like_any_other_domain():
    group = ForcedTlsGroup("many", ("a.test", "b.test"), None, "outbound", True, "encrypt")
    rows = coverage.effective(Policy(rules=(ForcedTlsDomain("all", "*", None, "outbound", level="verify"), group)))
    assert [(row["domain"], row["level"], row["exception"], row["rule"]) for row in rows] == [
        ("*", "verify", False, "all"),
        ("a.test", "encrypt", True, "many"),
        ("b.test", "encrypt", True, "many"),
    ]


def test_where_no_level_is_said_the_strictest_wins():
    edited = put(POLICY, {"domain": "new.gov.test", "direction": "outbound"}, {"domain": "x.test", "direction": "outbound"})
    levels = {rule.domain: (rule.level, rule.match) for rule in edited.forced_domains() if rule.direction == "outbound"}
    assert levels["new.gov.test"] == ("secure", (".new.gov.test", "new.gov.test"))
    assert levels["x.test"] == ("encrypt", None)
    # An exception that somebody names without a level is one no longer; its reason goes with it.
    stricter = put(POLICY, {"domain": "fax.test", "direction": "outbound"}).rule("tls_exception_for_fax_test_outbound")
    assert (stricter.level, stricter.reason, stricter.until) == ("encrypt", None, None)
    # Without a level it would be none.
    for direction in ("inbound", "outbound"):
        with pytest.raises(PolicyError, match="new.test %s would be none: nothing says its level" % direction):
            put(Policy(), {"domain": "new.test", "direction": direction, "reason": "gateway", "until": "2027-12-31"})
    longer = put(POLICY, {"domain": "fax.test", "direction": "outbound", "until": "2027-12-31"})
    assert longer.rule("tls_exception_for_fax_test_outbound").level == "none"
    endless = put(POLICY, {"domain": "fax.test", "direction": "outbound", "until": ""})
    exception = endless.rule("tls_exception_for_fax_test_outbound")
    assert (exception.level, exception.reason, exception.until) == ("none", "no TLS at all", None)


# --- what must not arise ------------------------------------------------------------------------


def test_an_exception_without_a_reason_is_refused_with_what_it_is_an_exception_from():
    weaker = {"domain": "lab.gov.test", "direction": "outbound", "level": "verify"}
    (problem,) = problems_of(put, POLICY, weaker)
    gov = [rule.name for rule in POLICY.rules if getattr(rule, "domain", "") == ".gov.test"][1]
    assert problem == (
        "forced_tls_domains #1: lab.gov.test outbound at level verify is an exception from rule %s for .gov.test, which asks "
        "for secure; an exception is written as one: give it a reason (option reason; tlsReason in a general "
        "rule) and, if it shall end, a last day (until)" % gov
    )
    assert put(POLICY, dict(weaker, reason="lab")).rule("tls_exception_for_lab_gov_test_outbound").level == "verify"


@pytest.mark.parametrize("domain", ["*", "a.test", ".a.test"])
@pytest.mark.parametrize(("direction", "level"), [("inbound", "may"), ("outbound", "may"), ("outbound", "none")])
def test_mail_in_clear_is_an_exception_even_where_nothing_else_is_asked_for(domain, direction, level):
    entry = {"domain": domain, "direction": direction, "level": level}
    (problem,) = problems_of(put, Policy(), entry)
    assert "%s %s at level %s is an exception; an exception is written as one" % (domain, direction, level) in problem
    (rule,) = put(Policy(), dict(entry, reason="why")).rules
    assert (rule.level, rule.reason, rule.reject_message) == (level, "why", None)


def test_a_new_parent_makes_no_exceptions_of_rules_that_nobody_named():
    rules = tuple(ForcedTlsDomain("r%d" % n, "d%d.gov.test" % n, None, "outbound", level="encrypt") for n in range(23))
    (problem,) = problems_of(put, Policy(rules=rules), {"domain": ".gov.test", "direction": "outbound", "level": "verify"})
    assert "for .gov.test outbound at level verify would make exceptions of rules that the server has and nobody named: " in problem
    assert "d0.gov.test (encrypt), d1.gov.test (encrypt), " in problem
    assert "d19.gov.test (encrypt), and 3 more; name them with a level" in problem
    named = [{"domain": rule.domain, "direction": "outbound"} for rule in rules]
    edited = put(Policy(rules=rules), {"domain": ".gov.test", "direction": "outbound", "level": "verify"}, *named)
    assert {rule.level for rule in edited.rules} == {"verify"}


def test_a_weaker_member_of_a_group_is_found_and_one_with_a_reason_leaves_it():
    group = ForcedTlsGroup("many", ("a.test", "b.test", "c.test"), None, "outbound", True, "encrypt")
    default = {"domain": "*", "direction": "outbound", "level": "verify"}
    (problem,) = problems_of(put, Policy(rules=(group,)), default)
    assert "a.test (encrypt), b.test (encrypt), c.test (encrypt)" in problem
    reasons = [
        {"domain": domain, "direction": "outbound", "level": "encrypt", "reason": "old"} for domain in ("a.test", "c.test")
    ]
    edited = put(Policy(rules=(group,)), default, {"domain": "b.test", "direction": "outbound"}, *reasons)
    assert [(rule.name, rule.level) for rule in edited.rules] == [
        ("allow_only_tls_for_every_domain_outbound", "verify"),
        ("many", "verify"),
        ("tls_exception_for_a_test_outbound", "encrypt"),
        ("tls_exception_for_c_test_outbound", "encrypt"),
    ]


def test_an_old_exception_without_a_reason_is_left_alone_until_somebody_changes_it():
    old = Policy(rules=(ForcedTlsDomain("old", "a.test", None, "outbound", level="may"),))
    same = {"domain": "a.test", "direction": "outbound", "level": "may"}
    assert put(old, same) is old
    assert [rule.name for rule in put(old, {"domain": "b.test"}).rules] == ["allow_only_tls_for_b_test", "old"]
    (problem,) = problems_of(put, old, dict(same, level="none"))
    assert "a.test outbound at level none is an exception" in problem


def test_two_entries_for_one_domain_contradict_each_other_in_any_spelling():
    again = {"domain": "BANK.test.", "direction": "inbound", "level": "encrypt"}
    (problem,) = problems_of(document_of, *COMPLIANCE, again)
    assert problem.startswith("forced_tls_domains #6 and #7 both mean bank.test and contradict each other: level")


def test_an_exception_is_never_taken_for_more_than_it_is():
    entry = {"domain": "dane.test", "direction": "outbound", "level": "may", "reason": "typo", "override": ["dane"]}
    (problem,) = problems_of(document_of, entry)
    assert "this server does neither DANE nor MTA-STS, so there is nothing to override; leave it out" in problem


GENERAL = {"name": "general", "level": "encrypt", "enabled": None, "versions": None}


def test_an_exception_that_a_relay_tls_rule_leaves_no_effect_is_refused():
    exempt = {"domain": "fax.test", "direction": "outbound", "level": "may", "reason": "old"}
    said = (
        "relay TLS rule general asks for TLS wherever mail goes, and these exceptions outbound would have no effect: "
        'fax.test (may); say the default as a domain "*" with level: encrypt instead, from which there are exceptions'
    )
    general = edit.put_relay_tls(Policy(), GENERAL)
    assert problems_of(put, general, exempt) == (said,)
    assert problems_of(edit.put_document, Policy(), dict(document_of(exempt), relay_tls=[GENERAL])) == (said,)
    assert problems_of(edit.put_relay_tls, put(Policy(), exempt), GENERAL) == (said,)
    # Where a server has both, the report says what holds, and the rules stay as they are.
    both = Policy(rules=general.rules + put(Policy(), exempt).rules)
    assert put(both, exempt) is both and edit.put_relay_tls(both, GENERAL) is both
    (row,) = coverage.effective(both)
    assert (row["level"], row["source"], row["exception"], row["rule"]) == ("encrypt", "default", False, "general")
    assert put(general, dict(exempt, level="verify"), dict(exempt, direction="inbound", domain="a.test"))
    assert put(edit.put_relay_tls(Policy(), dict(GENERAL, level="may")), exempt)


# --- names for certificates ---------------------------------------------------------------------


def test_the_names_of_a_parent_do_not_reach_what_is_secure_for_itself():
    child = ForcedTlsDomain("child", "a.gov.test", None, "outbound", level="secure")
    group = ForcedTlsGroup("many", ("b.gov.test", "c.test", "d.test"), None, "outbound", True, "secure")
    parent = {"domain": ".gov.test", "direction": "outbound", "level": "secure", "match": ["mx.gov.test"]}
    edited = put(Policy(rules=(child, group)), parent)
    assert [(rule.domain, rule.match) for rule in edited.forced_domains()] == [
        (".gov.test", ("mx.gov.test",)),
        ("a.gov.test", (".a.gov.test", "a.gov.test")),
        ("c.test", None),
        ("d.test", None),
        ("b.gov.test", (".b.gov.test", "b.gov.test")),
    ]
    assert put(edited, parent) is edited


def test_what_a_script_has_meant_all_along_is_not_changed():
    rules = (
        ForcedTlsDomain("parent", ".gov.test", None, "outbound", level="secure", match=("mx.gov.test",)),
        ForcedTlsDomain("child", "a.gov.test", None, "outbound", level="secure"),
    )
    policy = Policy(rules=rules)
    assert put(policy, {"domain": "a.gov.test", "direction": "outbound", "level": "secure"}) is policy
    assert put(policy, {"domain": "b.test", "direction": "outbound"}).rule("child") is rules[1]


# --- order --------------------------------------------------------------------------------------


def rule_of(word):
    if word == "hand":
        return OpaqueRule(word, "relay")
    if word == "relay_tls":
        return RelayTlsRule(word, "may")
    return ForcedTlsDomain(word, {"all": "*"}.get(word, word), None, "outbound", not word.startswith("off"), "verify")


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ("a.test hand b.test all", "all a.test hand b.test"),
        ("relay_tls a.test all", "relay_tls all a.test"),
        ("a.b.test hand .b.test c.test .test all", "all .test .b.test a.b.test hand c.test"),
        # Rules that have nothing to do with each other, and disabled ones, stay where they are.
        (".x.y.test a.test .z.test", ".x.y.test a.test .z.test"),
        ("off.test .test", "off.test .test"),
        ("b.test x.y.test .y.test .b.test", "b.test .y.test x.y.test .b.test"),
    ],
)
def test_a_general_rule_moves_before_the_first_one_that_it_covers(present, expected):
    policy = Policy(rules=tuple(map(rule_of, present.split())))
    edited = put(policy, {"domain": "*", "direction": "inbound"})
    assert " ".join(rule.name for rule in edited.rules[1:]) == expected


# --- the last day -------------------------------------------------------------------------------


def test_an_exception_holds_on_its_last_day_and_is_over_on_the_next():
    day = datetime.date(2026, 12, 31)
    assert exception.expired(POLICY, day) == []
    said = [
        "rule tls_exception_for_fax_test_outbound: the exception for fax.test outbound (level none) was to end on "
        "2026-12-31 (reason: no TLS at all); take it away or give it another until"
    ]
    assert exception.check_expired(POLICY, "warn", day + datetime.timedelta(1)) == said
    assert problems_of(exception.check_expired, POLICY, "fail", datetime.date(2027, 1, 1)) == tuple(said)
    assert len(exception.expired(POLICY, datetime.date(2027, 4, 2))) == 2
    off = put(POLICY, {"domain": "fax.test", "direction": "outbound", "level": "none", "enabled": False})
    assert exception.check_expired(off, "fail", datetime.date(2027, 1, 1)) == []


def test_a_last_day_of_what_is_no_exception_means_nothing():
    rules = (ForcedTlsDomain("r", "a.test", None, "outbound", level="verify", until="2020-01-01"),)
    assert exception.expired(Policy(rules=rules), datetime.date.today()) == []
    parent = ForcedTlsDomain("all", "*", None, "outbound", level="secure")
    assert len(exception.expired(Policy(rules=(parent,) + rules), datetime.date.today())) == 1


# --- every domain -------------------------------------------------------------------------------

EVERY = {"domain": "*", "direction": "inbound"}


def listening(*addresses, enabled=None):
    return Policy(listeners=tuple(Listener(address, enabled) for address in addresses))


@pytest.mark.parametrize("address", ["0.0.0.0:25", "192.0.2.25:25", "[::]:25", "[2001:db8::25]:25"])
def test_every_domain_on_a_public_port_25_needs_a_flag(address):
    policy = listening("127.0.0.1:2525", address)
    (problem,) = problems_of(put, policy, EVERY)
    assert problem.startswith('domain "*" inbound: listener %s on port 25 would refuse all mail in clear' % address)
    assert "RFC 3207" in problem and "allow_unsafe: true" in problem
    wanted = document_of(EVERY)
    allowed = edit.put_document(policy, dict(wanted, allow_unsafe=True))
    assert edit.put_document(allowed, wanted) is allowed, "what is there already is not refused"
    assert put(policy, dict(EVERY, enabled=False)).rules
    assert put(policy, {"domain": "*", "direction": "outbound"}).rules


@pytest.mark.parametrize(
    "policy",
    [
        listening("127.0.0.1:25", "[::1]:25", "127.8.8.8:25"),
        listening("0.0.0.0:587", "0.0.0.0:465", "0.0.0.0:2525"),
        listening("0.0.0.0:25", enabled=False),
        Policy(),
    ],
    ids=["loopback", "submission", "disabled", "none"],
)
def test_every_domain_is_the_normal_state_elsewhere(policy):
    (rule,) = put(policy, EVERY).rules
    assert (rule.name, rule.domain) == ("allow_only_tls_for_every_domain", "*")


def test_a_public_port_25_behind_a_rule_for_every_domain_needs_the_flag_too():
    forced = put(listening("0.0.0.0:587"), EVERY)
    document, _notices = options.policy_document({"listeners": [{"address": "0.0.0.0:25"}]})
    (problem,) = problems_of(edit.put_document, forced, document)
    assert "0.0.0.0:25" in problem


CLEAR = {"variable": "isSSLConnection", "value": False}
REJECTS = [{"set": "smtpAction", "value": "reject"}]
FORCES = [{"set": "tlsLevel", "value": "verify"}]


def general(conditions, actions, **others):
    return dict({"name": "mine", "event": "rcpt", "conditions": conditions, "actions": actions}, **others)


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        (general([CLEAR], REJECTS), True),
        (general([CLEAR], REJECTS, event="mail"), True),
        (general([CLEAR, {"variable": "smtpPort", "value": 25}, {"variable": "authUser", "value": ""}], REJECTS), True),
        (general([CLEAR, {"variable": "rcptDomain", "value": "a.test"}], REJECTS, match="any"), True),
        (general([], FORCES), True),
        (general([], [{"set": "tlsLevel", "value": "may"}]), False),
        (general([CLEAR, {"variable": "rcptDomain", "value": "a.test"}], REJECTS), False),
        (general([CLEAR, {"variable": "smtpPort", "value": 587}], REJECTS), False),
        (general([{"variable": "isSSLConnection", "value": True}], FORCES), False),
        (general([{"variable": "authUser", "value": ""}], REJECTS), False),
        (general([], FORCES, event="relay"), False),
        (general([], FORCES, enabled=False), False),
    ],
)
def test_a_general_rule_that_forces_every_domain_needs_the_flag_too(rule, refused):
    policy = listening("0.0.0.0:25")
    document, _notices = options.policy_document({"rules": [rule]})
    allowed = edit.put_document(policy, dict(document, allow_unsafe=True))
    said = coverage.shut_out(policy, allowed)
    assert (said is not None) == refused and coverage.shut_out(allowed, allowed) is None
    if refused:
        assert said.startswith("rule mine: listener 0.0.0.0:25 on port 25") and "RFC 3207 section 4" in said
        assert problems_of(edit.put_document, policy, document)[0].startswith(said)
        closed = edit.put_document(listening("0.0.0.0:587"), document)
        assert coverage.shut_out(closed, edit.put_listener(closed, Listener("0.0.0.0:25"))) == said
