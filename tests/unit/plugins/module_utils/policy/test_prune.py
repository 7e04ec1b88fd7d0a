# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which sections a document makes whole, what goes then, and what does not go by accident."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy import edit, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Listener, Policy
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    Action,
    AuthRule,
    ForcedTlsDomain,
    GeneralRule,
    OpaqueRule,
    RelayTlsRule,
)

CLOSED = AuthRule("no_clear_text", "plain", ())
RULES = (
    OpaqueRule("WA_Acceptance_basic", "ehlo", basic=True),
    CLOSED,
    AuthRule("over_tls", "tls", ("PLAIN",)),
    AuthRule("idle", "tls", ("LOGIN",), enabled=False),
    OpaqueRule("by_hand", "ehlo"),
    ForcedTlsDomain("in_a", "a.test", "No", "inbound"),
    RelayTlsRule("general", "may"),
    GeneralRule("some", "relay", "all", (), (Action("set", "tlsLevel", "verify"),)),
    ForcedTlsDomain("out_a", "a.test", None, "outbound", level="encrypt"),
    ForcedTlsDomain("out_b", "b.test", None, "outbound", level="encrypt"),
    OpaqueRule("nobody_calls_it", None, enabled=False),
)
POLICY = Policy(
    (
        Listener("0.0.0.0:25", True, "none"),
        Listener("127.0.0.1:25", True, "none"),
        Listener("127.0.0.1:587", False, "none"),
    ),
    rules=RULES,
)
SECURE = {"name": "no_clear_text", "connection": "plain", "mechanisms": []}


def pruned(policy=POLICY, **params):
    return edit.put_document(policy, options.policy_document(params)[0])


def lost(after, before=POLICY):
    there = [listener.address for listener in after.listeners] + [rule.name for rule in after.rules]
    return [
        name
        for name in [listener.address for listener in before.listeners] + [rule.name for rule in before.rules]
        if name not in there
    ]


@pytest.mark.parametrize("prune", [None, False, [], "no", "False"])
def test_nothing_goes_unasked(prune):
    assert pruned(prune=prune, listeners=[], auth_rules=[], forced_tls_domains=[], keep={"listeners": []}) is POLICY


@pytest.mark.parametrize("prune", [True, "yes", ["auth_rules", "forced_tls_domains"], "auth_rules, forced_tls_domains"])
def test_what_a_section_does_not_name_goes_and_other_sections_stay(prune):
    after = pruned(prune=prune, auth_rules=[SECURE], forced_tls_domains=[{"domain": "a.test"}])
    assert lost(after) == ["over_tls", "idle", "out_a", "out_b"]
    assert pruned(after, prune=prune, auth_rules=[SECURE], forced_tls_domains=[{"domain": "a.test"}]) is after


def test_each_section_by_itself_and_what_is_kept():
    sections = ("listeners", "auth_rules", "relay_tls", "rules", "forced_tls_domains")
    gone = {
        section: lost(pruned(prune=[section], allow_unsafe=True, **{section: []})) for section in sections
    }
    assert gone == {
        "listeners": ["0.0.0.0:25", "127.0.0.1:25", "127.0.0.1:587"],
        "auth_rules": ["no_clear_text", "over_tls", "idle"],
        "relay_tls": ["general"],
        "rules": ["some"],
        "forced_tls_domains": ["in_a", "out_a", "out_b"],
    }
    keep = {"listeners": ["127.0.0.1:*"], "auth_rules": ["NO_*"], "forced_tls_domains": ["b.TEST.", "in_?"], "rules": ["*"]}
    assert lost(pruned(prune=True, allow_unsafe=True, keep=keep, **{section: [] for section in sections})) == [
        "0.0.0.0:25",
        "over_tls",
        "idle",
        "general",
        "out_a",
    ]


def test_a_name_that_goes_may_be_taken_by_what_comes():
    after = pruned(prune=True, auth_rules=[SECURE], relay_tls=[{"name": "over_tls", "level": "encrypt"}])
    assert [(type(rule), rule.name) for rule in after.rules if rule.name in ("over_tls", "general")] == [
        (RelayTlsRule, "over_tls")
    ]


@pytest.mark.parametrize(
    ("params", "parts"),
    [
        ({"prune": ["rules"]}, ["prune names rules", "give rules: [] to mean none"]),
        ({"prune": "listener", "listeners": []}, ["prune #1 must be one of listeners, auth_rules", '"listener"']),
        ({"prune": [True], "listeners": []}, ["prune #1", "the boolean true"]),
        ({"prune": 1, "listeners": []}, ["prune must be a boolean or a list", "the number 1"]),
        ({"prune": True, "rules": [], "keep": {"listeners": ["", "localhost:25"]}}, ["keep.listeners #1", "keep.listeners #2"]),
        ({"prune": True, "rules": [], "keep": {"listeners": ["*"]}}, ["keep.listeners: listeners is not pruned; name it in prune"]),
        ({"listeners": [], "keep": {"listeners": ["*"]}}, ["keep.listeners: listeners is not pruned"]),
    ],
)
def test_what_cannot_be_meant(params, parts):
    with pytest.raises(PolicyError) as caught:
        options.policy_document(params)
    assert [part for part in parts if part not in str(caught.value)] == []


UNSAFE = [
    ({"listeners": []}, ["every enabled listener (0.0.0.0:25, 127.0.0.1:25, 127.0.0.1:587)", "keep.listeners", "allow_unsafe"]),
    ({"listeners": [{"address": "127.0.0.1:587"}]}, ["every enabled listener (0.0.0.0:25, 127.0.0.1:25)"]),
    ({"auth_rules": []}, ["rule no_clear_text", "keep.auth_rules", "allow_unsafe"]),
    (
        {"auth_rules": [{"name": "clear", "connection": "plain", "mechanisms": ["PLAIN"]}]},
        ["rule no_clear_text", "rule clear allows PLAIN"],
    ),
    ({"auth_rules": [dict(SECURE, name="off", enabled=False)]}, ["rule no_clear_text"]),
    (
        {"auth_rules": [], "rules": [{"name": "no_clear_text", "conditions": [], "actions": [{"set": "allowDSN", "value": "no"}]}]},
        ["rule no_clear_text", "allow_unsafe"],
    ),
    (
        {"forced_tls_domains": [{"domain": "a.test", "state": "absent"}]},
        ["forced_tls_domains names no domain", "(a.test outbound, b.test outbound)", "allow_unsafe"],
    ),
    (
        {"forced_tls_domains": [], "keep": {"forced_tls_domains": ["a.test"]}},
        ["but for what keep.forced_tls_domains names (b.test outbound)"],
    ),
]


@pytest.mark.parametrize(("params", "parts"), UNSAFE)
def test_a_server_without_listeners_or_with_passwords_in_clear_is_no_accident(params, parts):
    with pytest.raises(PolicyError) as caught:
        pruned(prune=True, **params)
    assert [part for part in parts if part not in str(caught.value)] == []
    assert pruned(prune=True, allow_unsafe=True, **params) != POLICY


@pytest.mark.parametrize(
    "params",
    [
        {"listeners": [{"address": "192.0.2.1:25"}]},
        {"listeners": [{"address": listener.address, "state": "absent"} for listener in POLICY.listeners]},
        {"listeners": [], "keep": {"listeners": ["*:25"]}},
        {"auth_rules": [dict(SECURE, name="another")]},
        {"auth_rules": [{"name": "no_clear_text", "state": "absent"}]},
        {"auth_rules": [], "keep": {"auth_rules": ["no_*"]}},
        {
            "auth_rules": [],
            "rules": [{"name": "closed", "conditions": [], "actions": [{"set": "plainConnAuthTypes", "value": []}]}],
        },
        {
            "forced_tls_domains": [
                {"domain": "a.test", "direction": "both", "state": "absent"},
                {"domain": "b.test", "direction": "outbound", "state": "absent"},
            ]
        },
    ],
)
def test_what_is_said_outright_or_replaced_is_meant(params):
    assert lost(pruned(prune=True, **params)) != []


def test_one_name_in_two_sections_is_named_by_both_positions():
    with pytest.raises(PolicyError) as caught:
        options.policy_document(
            {
                "auth_rules": [SECURE, dict(SECURE, name="twice")],
                "relay_tls": [{"name": "Twice", "level": "may"}],
                "forced_tls_domains": [{"domain": "a.test", "name": "TWICE"}, {"domain": "b.test", "name": "free"}],
            }
        )
    assert caught.value.problems == (
        "auth_rules #2 and relay_tls #1 are both called twice; give one of them another name",
        "auth_rules #2 and forced_tls_domains #1 are both called twice; give one of them another name",
    )


def test_a_name_that_a_domain_s_rule_will_have_is_named_by_both_positions_too():
    rule = {"conditions": [], "actions": [{"set": "smtpAction", "value": "accept"}]}
    domains = [{"domain": "a.test", "direction": "both", "level": "may"}, {"domain": "b.test"}, {"domain": "c.test", "name": "c"}]
    names = ["Allow_only_tls_for_b_test", "tls_exception_for_a_test_outbound", "allow_only_tls_for_c_test", "C"]
    with pytest.raises(PolicyError) as caught:
        options.policy_document({"rules": [dict(rule, name=name) for name in names], "forced_tls_domains": domains})
    assert sorted(problem.partition(" are both")[0] for problem in caught.value.problems) == [
        "rules #1 and forced_tls_domains #2",
        "rules #2 and forced_tls_domains #1",
        "rules #4 and forced_tls_domains #3",
    ]


# --- what somebody else made stays -----------------------------------------------------------------


OURS = (
    GeneralRule("ours_1_x", "mail", "all", (), (Action("set", "smtpAction", "reject"),)),
    GeneralRule("Ours_2_X", "mail", "all", (), (Action("set", "smtpAction", "accept"),)),
    GeneralRule("theirs", "mail", "all", (), (Action("set", "smtpAction", "tmpreject"),)),
)


def test_only_what_the_patterns_name_may_go():
    before = Policy(POLICY.listeners, rules=RULES[:5] + OURS + RULES[5:])
    only = {"rules": ["ours_*_x"]}
    assert lost(pruned(before, prune=["rules"], prune_only=only, rules=[]), before) == ["ours_1_x", "Ours_2_X"]
    named = [{"name": "ours_2_x", "conditions": [], "actions": [{"set": "smtpAction", "value": "accept"}]}]
    after = pruned(before, prune=["rules"], prune_only=only, rules=named)
    assert lost(after, before) == ["ours_1_x"]
    assert pruned(after, prune=["rules"], prune_only=only, rules=named) is after
    kept = pruned(before, prune=["rules"], prune_only=only, keep={"rules": ["ours_1_x"]}, rules=[])
    assert lost(kept, before) == ["Ours_2_X"]
    assert pruned(before, prune=["rules"], prune_only={"rules": []}, rules=[]) is before
    # Other sections are pruned as ever.
    both = pruned(before, prune=["rules", "auth_rules"], prune_only=only, rules=[], auth_rules=[SECURE])
    assert lost(both, before) == ["over_tls", "idle", "ours_1_x", "Ours_2_X"]


@pytest.mark.parametrize("prune", [None, False, ["auth_rules"]])
def test_patterns_for_what_is_not_pruned_are_refused(prune):
    with pytest.raises(PolicyError, match="prune_only.rules: rules is not pruned; name it in prune"):
        pruned(prune=prune, auth_rules=[SECURE], rules=[], prune_only={"rules": ["x*"]})
