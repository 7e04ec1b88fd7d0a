# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A policy as plain data: complete, deterministic, and different exactly when the policy differs."""

from __future__ import annotations

import json

from ansible_collections.securemail.smtp.plugins.module_utils._policy import document
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Listener, Policy, StartTls
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import AuthRule, ForcedTlsDomain, OpaqueRule

POLICY = Policy(
    listeners=(
        Listener("0.0.0.0:25", True, "starttls", ("TLSv1.2", "TLSv1.3"), "HIGH", certificate="/m.pem", dh_params=""),
        Listener("[::]:465", allowed_networks=("10.0.0.0/8",), denied_networks=()),
    ),
    starttls=StartTls(inbound=True),
    rules=(
        OpaqueRule("WA_Acceptance_basic", "ehlo", basic=True),
        AuthRule("second_by_name", "plain", ()),
        AuthRule("a_first_by_name", "tls", ("SCRAM-SHA-256", "PLAIN")),
        AuthRule("off_b", "tls", (), enabled=False),
        AuthRule("off_a", "tls", (), enabled=False),
        ForcedTlsDomain("z", "b.test", "no"),
        ForcedTlsDomain("y", "a.test", "no", enabled=False),
        ForcedTlsDomain("x", "a.test", "no", "both"),
        OpaqueRule("idle", None, enabled=False),
    ),
)


def test_the_whole_policy():
    shown = document.policy_document(POLICY)
    assert set(shown) == {"listeners", "starttls", "auth_rules", "forced_tls_domains", "other_rules", "rule_order"}
    assert shown["starttls"] == {"inbound": True, "outbound": None}
    assert [rule["name"] for rule in shown["auth_rules"]] == ["second_by_name", "a_first_by_name", "off_a", "off_b"]
    assert shown["auth_rules"][1] == {
        "name": "a_first_by_name",
        "connection": "tls",
        "mechanisms": ["SCRAM-SHA-256", "PLAIN"],
        "enabled": True,
    }
    assert [rule["name"] for rule in shown["forced_tls_domains"]] == ["x", "y", "z"]
    assert shown["forced_tls_domains"][1] == {
        "domain": "a.test",
        "direction": "inbound",
        "reject_message": "no",
        "name": "y",
        "enabled": False,
    }
    assert shown["other_rules"] == [
        {"name": "WA_Acceptance_basic", "event": "ehlo", "enabled": True},
        {"name": "idle", "event": None, "enabled": False},
    ]
    assert shown["rule_order"] == {"ehlo": ["WA_Acceptance_basic", "second_by_name", "a_first_by_name"]}


def test_it_is_plain_data():
    shown = document.policy_document(POLICY)
    assert json.loads(json.dumps(shown)) == shown


def test_not_known_is_not_empty():
    first, second = document.policy_document(POLICY)["listeners"]
    assert (first["versions"], first["dh_params"], first["ca_file"]) == (["TLSv1.2", "TLSv1.3"], "", None)
    assert (second["versions"], second["allowed_networks"], second["denied_networks"]) == (None, ["10.0.0.0/8"], [])
    assert list(first)[0] == "address"
    assert set(first) == set(vars(POLICY.listeners[0]))


def test_where_disabled_rules_stand_makes_no_difference():
    rules = POLICY.rules
    moved = Policy(POLICY.listeners, POLICY.starttls, rules[4:5] + rules[:1] + rules[3:4] + rules[1:3] + rules[5:])
    assert document.policy_document(moved) == document.policy_document(POLICY)


def test_the_order_of_domains_makes_no_difference_and_that_of_authentication_rules_does():
    rules = POLICY.rules
    shuffled = Policy(POLICY.listeners, POLICY.starttls, rules[:5] + (rules[7], rules[5], rules[6]) + rules[8:])
    assert document.policy_document(shuffled) == document.policy_document(POLICY)
    swapped = Policy(POLICY.listeners, POLICY.starttls, (rules[0], rules[2], rules[1]) + rules[3:])
    assert document.policy_document(swapped) != document.policy_document(POLICY)
    opaque_last = Policy(POLICY.listeners, POLICY.starttls, rules[1:3] + rules[:1] + rules[3:])
    assert document.policy_document(opaque_last)["rule_order"] != document.policy_document(POLICY)["rule_order"]


def test_one_rule_and_its_neighbours():
    assert document.rule_order(POLICY, "ehlo", "A_FIRST_by_name") == {
        "rule": document.policy_document(POLICY)["auth_rules"][1],
        "order": ["WA_Acceptance_basic", "second_by_name", "a_first_by_name"],
    }
    assert document.rule_order(POLICY, "ehlo", "nobody")["rule"] == {}
    assert document.rule_document(None) == {}


def test_some_domains():
    assert [rule["name"] for rule in document.forced_domain_documents(POLICY, {"a.test"})] == ["x", "y"]
    assert document.forced_domain_documents(POLICY, frozenset()) == []
    assert len(document.forced_domain_documents(POLICY, None)) == 3


def test_an_empty_policy():
    assert document.policy_document(Policy()) == {
        "listeners": [],
        "starttls": {"inbound": None, "outbound": None},
        "auth_rules": [],
        "forced_tls_domains": [],
        "other_rules": [],
        "rule_order": {"ehlo": []},
    }
