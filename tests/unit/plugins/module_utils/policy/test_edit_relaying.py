# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Edits of rules about mail that goes out: relay TLS rules and outbound domains, and how they stand to each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy import coverage, edit, forced_options, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Policy, RelayHost
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    Action,
    AuthRule,
    ForcedTlsDomain,
    GeneralRule,
    OpaqueRule,
    RelayTlsRule,
)

BASIC = OpaqueRule("WA_Routing_basic", "relay", basic=True)
OWN = OpaqueRule("own", "relay")
AUTH = AuthRule("login", "plain", ())
INBOUND = ForcedTlsDomain("in_a", "a.test", "TLS please")
OUT_A = ForcedTlsDomain("out_a", "a.test", None, "outbound", level="encrypt")
OUT_B = ForcedTlsDomain("out_b", "b.test", None, "outbound", level="secure", match=("b.test", ".b.test"))
GENERAL = RelayTlsRule("general", "may", ("TLSv1.2", "TLSv1.3"))
POLICY = Policy(rules=(AUTH, INBOUND, BASIC, GENERAL, OUT_A, OUT_B))


def names(policy, event="relay"):
    return [rule.name for rule in policy.rules if rule.event == event]


def problem_of(call, *arguments):
    with pytest.raises(PolicyError) as caught:
        call(*arguments)
    (problem,) = caught.value.problems
    return problem


def relay_tls(name, level="encrypt", **values):
    return dict({"name": name, "level": level, "versions": None, "enabled": None}, **values)


def outbound(domain, **values):
    return dict({"domain": domain, "direction": "outbound"}, **values)


def both(domain, **values):
    entries, _notices = forced_options.forced_domain(dict({"domain": domain, "direction": "both"}, **values))
    return entries


# --- relay TLS rules ----------------------------------------------------------------------------


def test_a_new_general_rule_stands_before_the_rules_of_domains():
    edited = edit.put_relay_tls(POLICY, relay_tls("new"))
    assert names(edited) == ["WA_Routing_basic", "general", "new", "out_a", "out_b"]
    assert edited.rule("new") == RelayTlsRule("new", "encrypt")
    assert edit.put_relay_tls(edited, relay_tls("new")) is edited
    assert names(edit.put_relay_tls(Policy(rules=(BASIC, OWN)), relay_tls("new")))[-1] == "new"


def test_it_stands_behind_the_basic_settings_even_where_those_stand_late():
    late = Policy(rules=(OUT_A, BASIC, OUT_B))
    assert names(edit.put_relay_tls(late, relay_tls("new"))) == ["out_a", "WA_Routing_basic", "new", "out_b"]


def test_the_rule_of_a_domain_that_is_switched_off_has_no_place_to_stand_before():
    off = Policy(rules=(BASIC, replace(OUT_A, enabled=False), GENERAL, OUT_B))
    assert names(edit.put_relay_tls(off, relay_tls("new"))) == ["WA_Routing_basic", "out_a", "general", "new", "out_b"]


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (None, "general new out_a out_b"),
        ("first", "new general out_a out_b"),
        ("last", "general out_a out_b new"),
        ({"before": "general"}, "new general out_a out_b"),
        ({"after": "out_a"}, "general out_a new out_b"),
    ],
)
def test_positions_of_a_new_rule(position, expected):
    edited = edit.put_relay_tls(POLICY, relay_tls("new"), position)
    assert names(edited)[1:] == expected.split()
    assert edit.put_relay_tls(edited, relay_tls("new"), position) is edited


def test_an_existing_rule_keeps_its_place():
    behind = Policy(rules=(BASIC, OUT_A, GENERAL))
    edited = edit.put_relay_tls(behind, relay_tls("GENERAL", "encrypt"))
    assert edited.rules == (BASIC, OUT_A, RelayTlsRule("general", "encrypt", GENERAL.versions))


def test_a_disabled_rule_that_becomes_enabled_is_a_new_one():
    off = Policy(rules=(BASIC, OUT_A, RelayTlsRule("general", "may", enabled=False)))
    assert names(edit.put_relay_tls(off, relay_tls("general", "may", enabled=True))) == [
        "WA_Routing_basic",
        "general",
        "out_a",
    ]
    assert edit.put_relay_tls(off, relay_tls("general", "may")).rule("general").enabled is False


def test_versions_that_nobody_named_stay():
    assert edit.put_relay_tls(POLICY, relay_tls("general", "may")) is POLICY
    edited = edit.put_relay_tls(POLICY, relay_tls("general", "may", versions=("TLSv1.3",)))
    assert edited.rule("general").versions == ("TLSv1.3",)


def test_a_rule_made_by_hand_is_taken_over_in_its_place():
    taken = edit.put_relay_tls(Policy(rules=(OUT_A, OWN)), relay_tls("OWN"))
    assert taken.rules == (OUT_A, RelayTlsRule("own", "encrypt"))
    idle = Policy(rules=(OUT_A, OpaqueRule("idle", None, enabled=False)))
    assert names(edit.put_relay_tls(idle, relay_tls("idle"))) == ["idle", "out_a"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: edit.put_relay_tls(POLICY, relay_tls("login")),
            "rule login is an authentication rule; a relay TLS rule needs another name",
        ),
        (
            lambda: edit.put_relay_tls(POLICY, relay_tls("out_a")),
            "rule out_a forces TLS for a.test; a relay TLS rule needs another name",
        ),
        (
            lambda: edit.put_auth_rule(POLICY, {"name": "general", "connection": "tls", "mechanisms": ()}),
            "rule general is a relay TLS rule; an authentication rule needs another name",
        ),
        (
            lambda: edit.put_forced_domains(POLICY, [outbound("x.test", name="general")]),
            "the rule for x.test cannot be called general: a relay TLS rule has that name; give it another name",
        ),
        (
            lambda: edit.put_relay_tls(POLICY, relay_tls("WA_Routing_basic")),
            "rule WA_Routing_basic belongs to the server's basic settings; choose another name",
        ),
        (
            lambda: edit.remove_rule(POLICY, "login", RelayTlsRule),
            "rule login is not removed: it is an authentication rule and not a relay TLS rule",
        ),
        (
            lambda: edit.remove_rule(POLICY, "out_a", RelayTlsRule),
            "rule out_a is not removed: it is a forced-TLS domain and not a relay TLS rule",
        ),
        (
            lambda: edit.remove_rule(POLICY, "general", AuthRule),
            "rule general is not removed: it is a relay TLS rule and not an authentication rule",
        ),
        (
            lambda: edit.put_document(POLICY, {"relay_tls": [{"name": "login", "state": "absent"}]}),
            "rule login is not removed: it is an authentication rule and not a relay TLS rule",
        ),
    ],
)
def test_a_name_that_belongs_to_another_kind_is_refused(call, said):
    assert problem_of(call) == said


def test_a_removed_rule_is_gone():
    edited = edit.remove_rule(POLICY, "GENERAL", RelayTlsRule)
    assert names(edited) == ["WA_Routing_basic", "out_a", "out_b"]
    assert edit.remove_rule(edited, "general", RelayTlsRule) is edited


# --- order of a whole list ----------------------------------------------------------------------


def rule_of(letter):
    if letter in "ABC":
        return RelayTlsRule(letter, "may")
    return ForcedTlsDomain(letter, letter + ".test", None, "outbound", level="encrypt")


@pytest.mark.parametrize(
    ("present", "wanted", "expected"),
    [
        ("", "A B", "A B"),
        ("x", "A B", "A B x"),
        ("A x y", "A B", "A B x y"),
        ("x A y", "A B", "A B x y"),
        ("x A", "A B", "A B x"),
        ("x C A", "A", "A x C"),
        ("B x", "A B", "A B x"),
        ("A x B", "A B", "A B x"),
        ("B A x", "A B", "A B x"),
        ("A C x", "A B C", "A B C x"),
        ("x y", "A", "A x y"),
    ],
)
def test_listed_rules_stand_in_the_order_of_the_list_before_domains(present, wanted, expected):
    document = {"relay_tls": [relay_tls(name, "may") for name in wanted.split()]}
    edited = edit.put_document(Policy(rules=(BASIC, *map(rule_of, present.split()))), document)
    assert names(edited) == ["WA_Routing_basic"] + expected.split()
    assert edit.put_document(edited, document) is edited


def test_a_new_rule_for_all_mail_comes_before_general_rules_which_keep_their_place():
    general = GeneralRule("some", "relay", "all", (), (Action("set", "tlsLevel", "verify"),))
    edited = edit.put_document(Policy(rules=(BASIC, general, rule_of("x"))), {"relay_tls": [relay_tls("A"), relay_tls("B")]})
    assert names(edited) == ["WA_Routing_basic", "A", "B", "some", "x"]


def test_general_rules_and_domains_of_one_document():
    document = {
        "forced_tls_domains": both("a.test") + both("b.test", level="verify"),
        "relay_tls": [relay_tls("second"), relay_tls("first"), relay_tls("off", enabled=False)],
    }
    edited = edit.put_document(Policy(rules=(BASIC,)), document)
    assert [rule.name for rule in edited.rules if rule.event == "relay" and rule.enabled] == [
        "WA_Routing_basic",
        "second",
        "first",
        "allow_only_tls_for_a_test_outbound",
        "allow_only_tls_for_b_test_outbound",
    ]
    assert names(edited, "rcpt") == ["allow_only_tls_for_a_test", "allow_only_tls_for_b_test"]
    assert edit.put_document(edited, document) is edited


# --- outbound domains ---------------------------------------------------------------------------


def test_a_new_outbound_domain_comes_last_and_needs_tls():
    edited = edit.put_forced_domains(POLICY, [outbound("c.test")])
    assert edited.rules[-1] == ForcedTlsDomain(
        "allow_only_tls_for_c_test_outbound", "c.test", None, "outbound", level="encrypt"
    )
    assert edit.put_forced_domains(edited, [outbound("c.test")]) is edited


def test_both_directions_are_two_rules_that_do_not_disturb_each_other():
    edited = edit.put_forced_domains(Policy(), both("c.test", reject_message="no", level="verify"))
    assert edited.rules == (
        ForcedTlsDomain("allow_only_tls_for_c_test", "c.test", "no"),
        ForcedTlsDomain("allow_only_tls_for_c_test_outbound", "c.test", None, "outbound", level="verify"),
    )
    quiet = edit.put_forced_domains(edited, [outbound("c.test", enabled=False)])
    assert [rule.enabled for rule in quiet.rules] == [True, False]
    without = edit.put_forced_domains(quiet, [outbound("c.test", state="absent")])
    assert without.rules == edited.rules[:1]
    assert edit.remove_forced_domains(edited, {"c.test"}, "inbound").rules == edited.rules[1:]
    assert edit.remove_forced_domain(edited, "c.test") == Policy()
    assert edit.put_forced_domains(edited, both("c.test", state="absent")) == Policy()


def test_a_name_for_both_directions():
    edited = edit.put_forced_domains(Policy(), both("c.test", name="partner"))
    assert [rule.name for rule in edited.rules] == ["partner", "partner_outbound"]


def test_what_nobody_named_stays():
    assert edit.put_forced_domains(POLICY, [outbound("a.test"), outbound("b.test")]) is POLICY
    assert edit.put_forced_domains(POLICY, [outbound("b.test", match=(".b.test", "b.test"))]) is POLICY
    versions = edit.put_forced_domains(POLICY, [outbound("b.test", versions=("TLSv1.3",))])
    assert versions.rule("out_b").match == ("b.test", ".b.test")
    assert versions.rule("out_b").versions == ("TLSv1.3",)
    again = edit.put_forced_domains(versions, [outbound("b.test", match=("c.test",), name="ignored")])
    assert again.rule("out_b").match == ("c.test",)
    assert again.rule("out_b").versions == ("TLSv1.3",)


def test_names_for_certificates_go_with_level_secure():
    edited = edit.put_forced_domains(POLICY, [outbound("b.test", level="verify")])
    assert (edited.rule("out_b").level, edited.rule("out_b").match) == ("verify", None)
    said = problem_of(edit.put_forced_domains, POLICY, [outbound("a.test", match=("a.test",))])
    assert said == (
        "match has a meaning with level: secure only; the rule for a.test has level: encrypt; say level: secure"
    )


KEY, NEXT_KEY = ":".join(["A1"] * 32), ":".join(["B2"] * 32)


def test_fingerprints_go_with_their_level():
    edited = edit.put_forced_domains(POLICY, [outbound("b.test", level="fingerprint", fingerprints=(KEY,))])
    assert (edited.rule("out_b").level, edited.rule("out_b").fingerprints) == ("fingerprint", (KEY,))
    for kept in ({}, {"level": "fingerprint"}, {"fingerprints": (KEY,)}):
        assert edit.put_forced_domains(edited, [outbound("b.test", **kept)]) is edited
    other = edit.put_forced_domains(edited, [outbound("b.test", fingerprints=(NEXT_KEY,))])
    assert (other.rule("out_b").level, other.rule("out_b").fingerprints) == ("fingerprint", (NEXT_KEY,))
    assert edit.put_forced_domains(edited, [outbound("b.test", level="secure")]).rule("out_b").fingerprints is None
    for domain in ("a.test", "b.test"):
        said = problem_of(edit.put_forced_domains, POLICY, [outbound(domain, level="fingerprint", label="domains #7")])
        assert said.startswith("domains #7: level: fingerprint needs fingerprints (the rule for %s has none)" % domain)
    assert problem_of(edit.put_forced_domains, edited, [outbound("b.test", fingerprints=())]).startswith("level: finger")
    said = problem_of(edit.put_forced_domains, POLICY, [outbound("a.test", fingerprints=(KEY,))])
    assert said == (
        "fingerprints have a meaning with level: fingerprint only; the rule for a.test has level: encrypt; say level: "
        "fingerprint"
    )


def test_what_nothing_else_is_said_about_has_the_fingerprints_of_its_parent():
    parent = outbound(".gov.test", level="fingerprint", fingerprints=(KEY,))
    edited = edit.put_forced_domains(POLICY, [parent, outbound("tax.gov.test")])
    (rule,) = [rule for rule in edited.rules if getattr(rule, "domain", "") == "tax.gov.test"]
    assert (rule.level, rule.fingerprints) == ("fingerprint", (KEY,))
    weaker = outbound("tax.gov.test", level="secure")
    assert "tax.gov.test outbound at level secure is an exception" in problem_of(edit.put_forced_domains, POLICY, [parent, weaker])
    edited = edit.put_forced_domains(POLICY, [parent, dict(weaker, reason="their key is lost")])
    assert edit.put_forced_domains(edited, [parent, weaker]) is edited
    # Of a rule that is no exception any more the reason can go, and of one that is it cannot.
    said = problem_of(edit.put_forced_domains, edited, [dict(weaker, reason="")])
    assert "tax.gov.test outbound at level secure is an exception" in said
    alone = edit.put_forced_domains(edited, [dict(parent, state="absent"), dict(weaker, reason="")])
    assert [rule.reason for rule in alone.rules if getattr(rule, "domain", "") == "tax.gov.test"] == [None]


@pytest.mark.parametrize(
    "wanted",
    [
        {"level": "verify"},
        {"level": "secure"},
        {"level": "secure", "match": (".gov.test", "mx.test")},
        {"level": "fingerprint", "fingerprints": (KEY, NEXT_KEY)},
    ],
)
def test_a_relay_tls_rule_is_the_default_of_domains(wanted):
    default = dict({"name": "all", "versions": None, "match": None, "fingerprints": None, "enabled": None}, **wanted)
    edited = edit.put_relay_tls(Policy(), default)
    assert edit.put_relay_tls(edited, default) is edited
    assert edit.put_relay_tls(edited, dict(default, match=None, fingerprints=None)) is edited
    plain = edit.put_forced_domains(edited, [outbound("a.test")])
    (rule,) = [rule for rule in plain.rules if isinstance(rule, ForcedTlsDomain)]
    assert (rule.level, rule.fingerprints) == (wanted["level"], wanted.get("fingerprints"))
    weak = outbound("a.test", level="encrypt")
    assert "a.test outbound at level encrypt is an exception from rule all for *" in problem_of(
        edit.put_forced_domains, edited, [weak]
    )
    # The other way round as well: whoever makes the default names what he makes an exception.
    before = edit.put_forced_domains(Policy(), [weak])
    said = problem_of(edit.put_relay_tls, before, default)
    assert said.startswith("rule all for * outbound at level %s would make exceptions of rules that" % wanted["level"])
    noted = edit.put_forced_domains(edited, [dict(weak, reason="old gateway")])
    shown = coverage.effective(noted)
    assert [(row["domain"], row["level"], row["exception"]) for row in shown] == [("a.test", "encrypt", True)]
    off = edit.put_relay_tls(noted, dict(default, enabled=False))
    assert [row["exception"] for row in coverage.effective(off)] == [False]


def test_a_relay_tls_rule_is_not_weaker_than_the_relay_host():
    policy = Policy(relay=RelayHost("mx.test", 25, "starttls", "secure"))
    rule = {"name": "all", "level": "verify", "versions": None, "enabled": None}
    assert problem_of(edit.put_relay_tls, policy, rule).startswith(
        "relay TLS rule all has level verify, and the relay host mx.test has level secure: the rule stands behind"
    )
    assert edit.put_relay_tls(policy, dict(rule, level="secure")).rule("all").level == "secure"
    assert edit.put_relay_tls(policy, dict(rule, level="encrypt")).rule("all").level == "encrypt"


@pytest.mark.parametrize("weak", ["may", "none", None])
def test_a_rule_for_a_domain_never_stays_at_a_level_that_forces_nothing(weak):
    found = Policy(rules=(ForcedTlsDomain("x", "a.test", None, "outbound", level=weak),))
    assert edit.put_forced_domains(found, [outbound("a.test")]).rule("x").level == "encrypt"


# --- several rules for one domain ---------------------------------------------------------------

TWINS = (
    ForcedTlsDomain("one", "t.test", "first"),
    ForcedTlsDomain("two", "t.test", "second", enabled=False),
    ForcedTlsDomain("three", "t.test", None, "outbound", level="encrypt"),
    ForcedTlsDomain("four", "t.test", None, "outbound", level="verify"),
)


def test_all_rules_of_a_domain_and_direction_are_switched_off():
    edited = edit.put_forced_domains(Policy(rules=TWINS[:1] + TWINS), [dict(outbound("t.test"), enabled=False)])
    assert {rule.name: rule.enabled for rule in edited.rules} == {
        "one": True,
        "two": False,
        "three": False,
        "four": False,
    }


def test_all_rules_of_a_domain_and_direction_get_what_was_asked_for():
    edited = edit.put_forced_domains(Policy(rules=TWINS), [outbound("t.test", level="secure")])
    assert [rule.level for rule in edited.rules] == [None, None, "secure", "secure"]
    kept = edit.put_forced_domains(Policy(rules=TWINS), [outbound("t.test", versions=("TLSv1.3",))])
    assert [(rule.level, rule.versions) for rule in kept.rules[2:]] == [
        ("encrypt", ("TLSv1.3",)),
        ("verify", ("TLSv1.3",)),
    ]


def test_a_refused_change_of_several_rules_changes_none():
    odd = Policy(rules=(OUT_B, ForcedTlsDomain("z", "b.test", None, "outbound", level="encrypt")))
    said = problem_of(edit.put_forced_domains, odd, [outbound("b.test", match=("x.test",))])
    assert "the rule for b.test has level: encrypt" in said


def document_of(*entries):
    document, _notices = options.policy_document({"forced_tls_domains": entries})
    return document


def test_twins_can_be_named_one_by_one():
    entries = [{"domain": "t.test", "name": "ONE"}, {"domain": "T.test", "name": "two", "enabled": True}]
    edited = edit.put_document(Policy(rules=TWINS), document_of(*entries))
    assert [(rule.name, rule.reject_message, rule.enabled) for rule in edited.rules[:2]] == [
        ("one", "first", True),
        ("two", "second", True),
    ]
    gone = edit.put_document(Policy(rules=TWINS), document_of(entries[0], dict(entries[1], state="absent")))
    assert [rule.name for rule in gone.rules] == ["one", "three", "four"]


@pytest.mark.parametrize("rules", [(), TWINS[:1]])
def test_twins_of_another_server_are_made_here(rules):
    document = document_of({"domain": "t.test", "name": "one"}, {"domain": "t.test", "name": "new"})
    edited = edit.put_document(Policy(rules=rules), document)
    assert names(edited, "rcpt") == ["one", "new"]
    assert edit.put_document(edited, document) is edited


def test_two_more_names_for_one_rule_are_refused():
    document = document_of({"domain": "t.test", "name": "new"}, {"domain": "t.test", "name": "newer"})
    said = "rule one forces TLS for t.test inbound, and there is no rule %s for it; one rule is enough, leave this entry out"
    with pytest.raises(PolicyError) as caught:
        edit.put_document(Policy(rules=TWINS[:1]), document)
    assert caught.value.problems == tuple(
        "forced_tls_domains #%d: %s" % (number, said % name) for number, name in ((1, "new"), (2, "newer"))
    )


def test_a_rule_gets_another_name_by_removing_the_old_one():
    document = document_of({"domain": "t.test", "name": "one", "state": "absent"}, {"domain": "t.test", "name": "new"})
    edited = edit.put_document(Policy(rules=TWINS[:1]), document)
    assert [rule.name for rule in edited.rules] == ["new"]
    assert edit.put_document(edited, document) is edited


def test_what_is_enabled_again_is_in_order_at_once():
    """Somebody took all calls away: one edit brings them back in the order that the next one leaves alone."""
    off = [replace(rule, enabled=False) for rule in (OUT_A, OUT_B, GENERAL)]
    wanted = {
        "relay_tls": [relay_tls("general", "encrypt", enabled=True)],
        "forced_tls_domains": [outbound("a.test", enabled=True), outbound("b.test", enabled=True)],
    }
    edited = edit.put_document(Policy(rules=(AUTH, BASIC, *off)), wanted)
    assert names(edited) == ["WA_Routing_basic", "general", "out_a", "out_b"]
    assert edit.put_document(edited, wanted) == edited
