# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Edits of rules: recognised, taken over, placed, kept in order, removed."""

from __future__ import annotations

import random
import time

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy import edit, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Policy
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    EVENTS,
    AuthRule,
    ForcedTlsDomain,
    OpaqueRule,
    renamed,
)
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule_name import forced_domain_rule_name
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule_table import RuleTable, longest_rising

BASIC = OpaqueRule("WA_Acceptance_basic", "ehlo", basic=True)
BASIC_RCPT = OpaqueRule("WA_Rcpt_basic", "rcpt", basic=True)
OWN = OpaqueRule("own", "ehlo")
DATA = OpaqueRule("scan", "data")
IDLE = OpaqueRule("idle", None, enabled=False)
NO_PLAIN = AuthRule("disableAUTH_on_non_SSL", "plain", ())
OVER_TLS = AuthRule("enableAUTH_on_SSL", "tls", ("SCRAM-SHA-256",))
MYDOMAIN = ForcedTlsDomain("allow_only_tls_for_mydomain_com", "mydomain.com", "TLS please")
OTHER = ForcedTlsDomain("by_hand", "other.test", "TLS please")

POLICY = Policy(rules=(BASIC, OWN, NO_PLAIN, OVER_TLS, BASIC_RCPT, MYDOMAIN, OTHER, DATA, IDLE))


def names(policy, event="ehlo", enabled=None):
    return [rule.name for rule in policy.rules if rule.event == event and enabled in (None, rule.enabled)]


def with_rules(*rules):
    return Policy(rules=rules)


def problem_of(call, *arguments):
    with pytest.raises(PolicyError) as caught:
        call(*arguments)
    (problem,) = caught.value.problems
    return problem


def reread(policy):
    """The policy as a server without places for disabled rules shows it: they come behind, in another order."""
    rules = []
    for event in EVENTS:
        group = [rule for rule in policy.rules if rule.event == event]
        rules += [rule for rule in group if rule.enabled]
        rules += sorted((rule for rule in group if not rule.enabled), key=lambda rule: rule.name)
    return Policy(
        policy.listeners, policy.starttls, tuple(rules) + tuple(r for r in policy.rules if r.event not in EVENTS)
    )


# --- recognising --------------------------------------------------------------------------------


def test_a_new_rule_comes_last_in_its_event():
    rule = AuthRule("third", "tls", ("PLAIN",))
    edited = edit.put_rule(POLICY, rule)
    assert names(edited) == ["WA_Acceptance_basic", "own", "disableAUTH_on_non_SSL", "enableAUTH_on_SSL", "third"]
    assert edited.rule("third") == rule
    assert names(edited, "rcpt") == names(POLICY, "rcpt")
    domain = ForcedTlsDomain("d", "d.test", "TLS")
    assert names(edit.put_rule(POLICY, domain), "rcpt")[-1] == "d"


def test_the_same_rule_changes_nothing():
    assert edit.put_rule(POLICY, NO_PLAIN) is POLICY
    assert edit.put_rule(POLICY, MYDOMAIN) is POLICY


@pytest.mark.parametrize(
    "changed",
    [
        AuthRule("disableAUTH_on_non_SSL", "tls", ()),
        AuthRule("disableAUTH_on_non_SSL", "plain", ("PLAIN",)),
        AuthRule("disableAUTH_on_non_SSL", "plain", (), enabled=False),
        ForcedTlsDomain("allow_only_tls_for_mydomain_com", "mydomain.com", "another text"),
        ForcedTlsDomain("allow_only_tls_for_mydomain_com", "mydomain.com", "TLS please", enabled=False),
    ],
)
def test_a_changed_rule_keeps_its_place(changed):
    edited = edit.put_rule(POLICY, changed)
    assert edited.rule(changed.name) == changed
    assert [rule.name for rule in edited.rules] == [rule.name for rule in POLICY.rules]
    assert edit.put_rule(edited, changed) is edited


def test_names_are_the_same_in_any_case_and_the_existing_spelling_stays():
    edited = edit.put_rule(POLICY, renamed(NO_PLAIN, "DISABLEauth_ON_NON_ssl"))
    assert edited is POLICY


def test_a_domain_is_recognised_by_what_the_rule_says_and_keeps_its_name():
    wanted = ForcedTlsDomain(forced_domain_rule_name("other.test"), "other.test", "new text")
    edited = edit.put_rule(POLICY, wanted)
    assert names(edited, "rcpt") == names(POLICY, "rcpt")
    assert edited.rule("by_hand") == ForcedTlsDomain("by_hand", "other.test", "new text")


def test_a_rule_made_by_hand_is_taken_over_in_its_place():
    edited = edit.put_rule(POLICY, AuthRule("OWN", "plain", ()))
    assert edited.rules[1] == AuthRule("own", "plain", ())
    assert names(edited) == names(POLICY)
    unread = with_rules(BASIC_RCPT, OpaqueRule("by_hand", "rcpt"), OpaqueRule("z", "rcpt"))
    assert edit.put_rule(unread, OTHER).rules == (BASIC_RCPT, OTHER, OpaqueRule("z", "rcpt"))


def test_an_idle_method_is_taken_over_as_a_new_rule():
    entry = {"name": "idle", "connection": "tls", "mechanisms": ("PLAIN",), "enabled": None}
    edited = edit.put_auth_rule(POLICY, entry)
    assert names(edited)[-1] == "idle"
    assert edited.rule("idle") == AuthRule("idle", "tls", ("PLAIN",), enabled=True)
    assert names(edited, None) == []


def test_a_rule_that_is_called_twice_changes_at_both_places():
    twice = with_rules(NO_PLAIN, OVER_TLS, NO_PLAIN)
    changed = AuthRule(NO_PLAIN.name, "plain", ("PLAIN",))
    assert edit.put_rule(twice, changed).rules == (changed, OVER_TLS, changed)
    assert edit.put_rule(twice, changed, "last").rules == (OVER_TLS, changed)
    assert edit.remove_rule(twice, NO_PLAIN.name).rules == (OVER_TLS,)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (AuthRule("WA_Acceptance_basic", "tls", ()), "WA_Acceptance_basic belongs to the server's basic settings"),
        (AuthRule("WA_new", "tls", ()), "WA_new belongs to the server"),
        (ForcedTlsDomain("WA_Rcpt_basic", "x.test", "m"), "WA_Rcpt_basic belongs to the server's basic settings"),
        (AuthRule("scan", "tls", ()), "rule scan exists and is of another kind (event data)"),
        (
            AuthRule("by_hand", "tls", ()),
            "rule by_hand forces TLS for other.test; an authentication rule needs another name",
        ),
        (
            ForcedTlsDomain("enableAUTH_on_SSL", "x.test", "m"),
            "cannot be called enableAUTH_on_SSL: an authentication rule",
        ),
        (ForcedTlsDomain("own", "x.test", "m"), "rule own exists and is of another kind (event ehlo)"),
        (
            ForcedTlsDomain("BY_hand", "x.test", "m"),
            "the rules for other.test and for x.test would both be called BY_hand",
        ),
        (OpaqueRule("own", "ehlo"), "rule own cannot be written: its content is not known"),
    ],
)
def test_a_name_that_belongs_to_something_else_is_refused(rule, said):
    assert said in problem_of(edit.put_rule, POLICY, rule)


def test_one_domain_in_two_directions_is_not_two_rules_of_one_name():
    outbound = ForcedTlsDomain(MYDOMAIN.name, "mydomain.com", None, "outbound", level="encrypt")
    said = problem_of(edit.put_rule, POLICY, outbound)
    assert said == (
        "rule allow_only_tls_for_mydomain_com forces TLS for mydomain.com inbound; "
        "give the rule for direction outbound another name (option name)"
    )
    named = edit.put_rule(POLICY, renamed(outbound, "out"))
    assert [rule.direction for rule in named.rules if getattr(rule, "domain", "") == "mydomain.com"] == [
        "inbound",
        "outbound",
    ]
    assert named.rule(MYDOMAIN.name) == MYDOMAIN


# --- enabled ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wanted", "expected"), [(None, False), (True, True), (False, False)])
def test_a_disabled_rule_stays_so_unless_somebody_says_otherwise(wanted, expected):
    disabled = with_rules(AuthRule("a", "tls", (), enabled=False))
    entry = {"name": "a", "connection": "tls", "mechanisms": (), "enabled": wanted}
    assert edit.put_auth_rule(disabled, entry).rule("a").enabled is expected


@pytest.mark.parametrize(("wanted", "expected"), [(None, True), (True, True), (False, False)])
def test_a_new_rule_is_enabled_unless_somebody_says_otherwise(wanted, expected):
    entry = {"name": "a", "connection": "tls", "mechanisms": (), "enabled": wanted}
    assert edit.put_auth_rule(Policy(), entry).rule("a").enabled is expected
    (rule,) = edit.put_forced_domains(Policy(), [{"domain": "a.test", "direction": "inbound", "enabled": wanted}]).rules
    assert rule.enabled is expected


# --- positions ----------------------------------------------------------------------------------

A, B, C, D = (AuthRule(name, "tls", ()) for name in "ABCD")
OFF = AuthRule("OFF", "tls", (), enabled=False)


@pytest.mark.parametrize(
    ("rules", "position", "expected"),
    [
        ([BASIC, A, B, C], None, "A B C"),
        ([BASIC, A, B, C], "first", "B A C"),
        ([BASIC, A, B, C], "last", "A C B"),
        ([BASIC, B, A, C], "first", "B A C"),
        ([BASIC, A, C, B], "last", "A C B"),
        ([BASIC, A, B, C], {"before": "A"}, "B A C"),
        ([BASIC, A, B, C], {"before": "C"}, "A B C"),
        ([BASIC, B, A, C], {"before": "C"}, "B A C"),
        ([BASIC, A, C, B], {"before": "C"}, "A B C"),
        ([BASIC, A, B, C], {"after": "C"}, "A C B"),
        ([BASIC, A, B, C], {"after": "A"}, "A B C"),
        ([BASIC, A, C, B], {"after": "A"}, "A C B"),
        ([BASIC, B, A, C], {"after": "A"}, "A B C"),
        ([BASIC, B, A, C], {"after": "a"}, "A B C"),
        ([BASIC, B, A, C], {"after": "WA_Acceptance_basic"}, "B A C"),
        ([B, BASIC, A, C], {"after": "WA_Acceptance_basic"}, "B A C"),
        ([B, BASIC, A, C], "first", "B A C"),
        ([BASIC, A, C], None, "A C B"),
        ([BASIC, A, C], "first", "B A C"),
        ([BASIC, A, C], "last", "A C B"),
        ([BASIC, A, C], {"before": "C"}, "A B C"),
        ([BASIC, A, C], {"after": "A"}, "A B C"),
        ([A, C], "first", "B A C"),
        ([], "first", "B"),
        ([], "last", "B"),
        ([BASIC, B, A, OFF], {"after": "OFF"}, "B A OFF"),
        ([BASIC, A, OFF], {"before": "OFF"}, "A OFF B"),
    ],
)
def test_positions(rules, position, expected):
    edited = edit.put_rule(with_rules(DATA, *rules), B, position)
    assert [name for name in names(edited) if not name.startswith("WA_")] == expected.split()
    assert edit.put_rule(edited, B, position) is edited
    assert names(edited, "data") == ["scan"]


def test_first_is_behind_the_basic_settings():
    edited = edit.put_rule(with_rules(A, BASIC, B), C, "first")
    assert names(edited) == ["A", "WA_Acceptance_basic", "C", "B"]
    edited = edit.put_rule(with_rules(B, A, BASIC), B, "first")
    assert names(edited) == ["A", "WA_Acceptance_basic", "B"]


@pytest.mark.parametrize(
    ("position", "said"),
    [
        ({"before": "missing"}, "before missing, which does not exist; rules there are WA_Acceptance_basic, A"),
        ({"after": "missing"}, "after missing, which does not exist"),
        ({"before": "B"}, "no place relative to itself"),
        ({"after": "b"}, "no place relative to itself"),
        ({"before": "scan"}, "belongs to another event (data)"),
        ({"after": "idle"}, "is called by no event"),
        ({"before": "WA_Acceptance_basic"}, "belongs to the server's basic settings"),
        ("middle", 'position must be "first", "last"'),
        ({"before": "A", "after": "A"}, "position must be"),
        ({}, "position must be"),
        ({"behind": "A"}, "position must be"),
        (3, "position must be"),
    ],
)
@pytest.mark.parametrize("present", [True, False])
def test_a_position_that_cannot_be_is_refused(position, said, present):
    rules = [BASIC, A] + ([B] if present else []) + [DATA, IDLE]
    assert said in problem_of(edit.put_rule, with_rules(*rules), B, position)


def test_two_rules_before_a_third_do_not_push_each_other_away():
    policy = edit.put_rule(edit.put_rule(with_rules(C), A, {"before": "C"}), B, {"before": "C"})
    again = edit.put_rule(edit.put_rule(policy, A, {"before": "C"}), B, {"before": "C"})
    assert names(policy) == ["A", "B", "C"]
    assert again is policy


def test_positions_of_domains():
    edited = edit.put_rule(POLICY, OTHER, "first")
    assert names(edited, "rcpt") == ["WA_Rcpt_basic", "by_hand", MYDOMAIN.name]
    assert names(edit.put_rule(edited, OTHER, {"after": MYDOMAIN.name}), "rcpt") == names(POLICY, "rcpt")


# --- many domains -------------------------------------------------------------------------------


def entry(domain, **values):
    return dict({"domain": domain, "direction": "inbound"}, **values)


def test_many_domains_at_once():
    edited = edit.put_forced_domains(
        POLICY, [entry("b.test"), entry("other.test"), entry("a.test", reject_message="no")]
    )
    assert names(edited, "rcpt") == names(POLICY, "rcpt") + ["allow_only_tls_for_b_test", "allow_only_tls_for_a_test"]
    assert edited.rule("by_hand") == OTHER
    assert edited.rule("allow_only_tls_for_a_test").reject_message == "no"
    assert edited.rule("allow_only_tls_for_b_test").reject_message == (
        "Accepting only secure delivery (STARTTLS) for b.test"
    )


def test_the_order_in_which_existing_domains_are_named_does_not_matter():
    entries = [entry("d%d.test" % number) for number in range(50)]
    edited = edit.put_forced_domains(POLICY, entries)
    random.Random(1).shuffle(entries)
    assert edit.put_forced_domains(edited, entries) is edited


def test_names_that_collide_are_all_explained():
    taken = ForcedTlsDomain("allow_only_tls_for_a_test", "moved.test", "m")
    entries = [
        entry("a.test", label="domains #1"),
        entry("b.test", name="same", label="domains #2"),
        entry("c.test", name="Same", label="domains #3"),
    ]
    with pytest.raises(PolicyError) as caught:
        edit.put_forced_domains(with_rules(taken), entries)
    assert caught.value.problems == (
        "domains #1: the rules for moved.test and for a.test would both be called allow_only_tls_for_a_test; "
        "give one of them another name (option name)",
        "domains #3: the rules for b.test and for c.test would both be called Same; "
        "give one of them another name (option name)",
    )


def test_a_name_that_is_given_up_can_be_taken_in_the_same_edit():
    taken = ForcedTlsDomain("x", "old.test", "m")
    entries = [entry("new.test", name="x", state="present"), entry("old.test", state="absent")]
    edited = edit.put_forced_domains(with_rules(taken), entries)
    assert [(rule.name, rule.domain) for rule in edited.rules] == [("x", "new.test")]


def test_ten_thousand_domains_take_well_under_a_second_of_processor_time():
    entries = [entry("d%d.example.test" % number) for number in range(10000)]
    times = []
    for _attempt in range(5):
        started = time.process_time()
        edited = edit.put_forced_domains(POLICY, entries)
        assert edit.put_forced_domains(edited, entries) is edited
        smaller = edit.remove_forced_domains(edited, {wish["domain"] for wish in entries[1:]}, "inbound")
        times.append(time.process_time() - started)
        assert len(edited.rules) == len(POLICY.rules) + 10000
        assert len(smaller.rules) == len(POLICY.rules) + 1
    assert min(times) < 1.0


# --- removing -----------------------------------------------------------------------------------


def test_a_removed_rule_is_gone_and_absent_again_changes_nothing():
    edited = edit.remove_rule(POLICY, "ENABLEauth_on_SSL")
    assert names(edited) == ["WA_Acceptance_basic", "own", "disableAUTH_on_non_SSL"]
    assert edit.remove_rule(edited, "enableAUTH_on_SSL") is edited


@pytest.mark.parametrize("direction", ["inbound", None])
def test_a_removed_domain_is_gone_whatever_its_rules_are_called(direction):
    policy = edit.put_rule(POLICY, MYDOMAIN)
    policy = Policy(rules=policy.rules + (ForcedTlsDomain("second", "mydomain.com", "m"),))
    edited = edit.remove_forced_domain(policy, "mydomain.com", direction)
    assert names(edited, "rcpt") == ["WA_Rcpt_basic", "by_hand"]
    assert edit.remove_forced_domain(edited, "mydomain.com", direction) is edited


def test_a_domain_in_another_direction_stays():
    assert edit.remove_forced_domain(POLICY, "mydomain.com", "outbound") is POLICY


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("WA_Acceptance_basic", "belongs to the server's basic settings and is not removed"),
        ("own", "rule own is not removed: its content was made by other hands"),
        ("idle", "rule idle is not removed"),
    ],
)
def test_what_is_not_ours_is_never_removed(name, said):
    assert said in problem_of(edit.remove_rule, POLICY, name)


# --- order of a whole list ----------------------------------------------------------------------


def document(*rules, **more):
    return dict({"auth_rules": [{"name": name, "connection": "tls", "mechanisms": ()} for name in rules]}, **more)


@pytest.mark.parametrize(
    ("present", "wanted", "expected"),
    [
        ("", "A B C", "A B C"),
        ("A B C", "A B C", "A B C"),
        ("A B C", "C", "A B C"),
        ("A B C", "A C", "A B C"),
        ("C B A", "A B C", "A B C"),
        ("B A", "A B", "A B"),
        ("own A", "A B", "own A B"),
        ("A own B", "A B", "A own B"),
        ("A own", "A B", "A own B"),
        ("B own", "A B", "A B own"),
        ("own B", "A B", "own A B"),
        ("A C", "A B C", "A B C"),
        ("A own C", "A B C", "A own B C"),
        ("A x B y C", "A B C", "A x B y C"),
        ("x C y A z B", "A B C", "x y A z B C"),
        ("B C D A", "A B C D", "A B C D"),
        ("x", "x A", "x A"),
        ("x y", "y x", "y x"),
    ],
)
def test_listed_rules_stand_in_the_order_of_the_list_with_few_moves(present, wanted, expected):
    rules = [AuthRule(n, "tls", ()) if n in "ABCD" else OpaqueRule(n, "ehlo") for n in present.split()]
    edited = edit.put_document(with_rules(BASIC, *rules), document(*wanted.split()))
    assert names(edited)[1:] == expected.split()
    assert names(edited)[0] == BASIC.name
    assert edit.put_document(edited, document(*wanted.split())) is edited


def test_a_rule_that_becomes_enabled_gets_the_place_of_the_list():
    policy = with_rules(B, AuthRule("A", "tls", (), enabled=False))
    entries = {"auth_rules": [dict(wish, enabled=True) for wish in document("A", "B")["auth_rules"]]}
    edited = edit.put_document(policy, entries)
    assert names(edited, enabled=True) == ["A", "B"]
    assert edit.put_document(reread(edited), entries).rules == edited.rules


def test_order_and_idempotence_hold_for_any_list():
    choose = random.Random(20)
    everyone = [chr(letter) for letter in range(ord("A"), ord("M"))]
    for _round in range(300):
        present = choose.sample(everyone, choose.randint(0, 12))
        rules = [
            OpaqueRule(name, "ehlo") if choose.random() < 0.3 else AuthRule(name, "tls", (), choose.random() < 0.8)
            for name in present
        ]
        policy = reread(with_rules(BASIC, *rules))
        wanted = choose.sample(everyone, choose.randint(0, 8))
        wishes = [
            {"name": name, "connection": "plain", "mechanisms": (), "enabled": choose.choice([None, True, False])}
            for name in wanted
        ]
        edited = edit.put_document(policy, {"auth_rules": wishes})
        order = names(edited, enabled=True)
        listed = [name for name in wanted if edited.rule(name).enabled]
        assert [name for name in order if name in listed] == listed
        others = [name for name in names(policy, enabled=True) if name not in wanted]
        assert [name for name in order if name in others] == others
        assert order[0] == BASIC.name
        again = edit.put_document(reread(edited), {"auth_rules": wishes})
        assert names(again, enabled=True) == order
        assert set(again.rules) == set(edited.rules)


# --- the table ----------------------------------------------------------------------------------


def test_the_longest_part_that_may_stay():
    choose = random.Random(3)
    assert longest_rising([]) == []
    assert longest_rising([3, 1, 2]) == [1, 2]
    for _round in range(50):
        values = [choose.randint(0, 9) for _index in range(choose.randint(1, 8))]
        chain = [values[index] for index in longest_rising(values)]
        assert all(one < other for one, other in zip(chain, chain[1:]))
        best = max(
            len(picked)
            for mask in range(1 << len(values))
            for picked in [[value for index, value in enumerate(values) if mask >> index & 1]]
            if all(one < other for one, other in zip(picked, picked[1:]))
        )
        assert len(chain) == best


def test_rules_are_grouped_by_event_in_the_order_of_a_transaction():
    odd = OpaqueRule("odd", "onProcess")
    mixed = (IDLE, DATA, odd, MYDOMAIN, NO_PLAIN, BASIC_RCPT, OVER_TLS)
    assert RuleTable(mixed).result() == (NO_PLAIN, OVER_TLS, MYDOMAIN, BASIC_RCPT, DATA, odd, IDLE)


def test_a_table_knows_what_was_removed_and_put():
    table = RuleTable(POLICY.rules)
    table.remove("by_HAND")
    assert table.find("by_hand") is None
    assert table.find_domain("other.test", "inbound") == []
    table.put(renamed(OTHER, "again"))
    assert table.find_domain("other.test", "inbound") == [renamed(OTHER, "again")]
    table.put(ForcedTlsDomain("again", "third.test", "m"))
    assert table.find_domain("other.test", "inbound") == []
    with pytest.raises(KeyError):
        table.move("nobody", 0)


# --- the rule for some connections decides about them --------------------------------------------


AUTH_LIST = [
    {"name": "plain", "connection": "plain", "mechanisms": []},
    {"name": "secure", "connection": "tls", "mechanisms": ["PLAIN"]},
]
NOT_ON_25 = {
    "name": "not_on_25",
    "event": "ehlo",
    "conditions": [{"variable": "smtpPort", "value": 25}],
    "actions": [{"set": "secureConnAuthTypes", "value": "none"}],
}


def _document(policy, **sections):
    return edit.put_document(policy, options.policy_document(sections)[0])


def _order(policy):
    return [rule.name for rule in policy.rules if rule.event == "ehlo" and rule.enabled]


@pytest.mark.parametrize("before", [
    (),
    ("not_on_25",),
    ("plain", "not_on_25"),
    ("not_on_25", "plain", "secure"),
    ("plain", "not_on_25", "secure"),
    ("secure", "not_on_25", "plain"),
    ("plain", "secure", "not_on_25"),
])
def test_an_authentication_rule_never_stands_behind_the_special_one(before):
    whole = _document(with_rules(), auth_rules=AUTH_LIST, rules=[NOT_ON_25])
    start = with_rules(*(whole.rule(name) for name in before))
    after = _document(start, auth_rules=AUTH_LIST, rules=[NOT_ON_25])
    assert _order(after) == ["plain", "secure", "not_on_25"]
    assert _document(after, auth_rules=AUTH_LIST, rules=[NOT_ON_25]) is after


def test_rules_that_are_no_contradiction_keep_their_places():
    whole = _document(with_rules(), auth_rules=AUTH_LIST, rules=[NOT_ON_25])
    behind = with_rules(*(whole.rule(name) for name in ("not_on_25", "plain", "secure")))
    # One of the two alone is no document about both.
    assert _document(behind, auth_rules=AUTH_LIST) is behind
    assert _document(behind, rules=[NOT_ON_25]) is behind
    off = dict(NOT_ON_25, enabled=False)
    assert _order(_document(behind, auth_rules=AUTH_LIST, rules=[off])) == ["plain", "secure"]
    other = dict(NOT_ON_25, actions=[{"set": "allowDSN", "value": "no"}])
    assert _order(_document(behind, auth_rules=AUTH_LIST, rules=[other])) == ["not_on_25", "plain", "secure"]
