# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A policy as plain data: complete, deterministic, and different exactly when the policy differs."""

from __future__ import annotations

import json
from dataclasses import replace

from ansible_collections.securemail.smtp.plugins.module_utils._policy import document
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import (
    Listener,
    Policy,
    RelayHost,
    StartTls,
)
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    AuthRule,
    ForcedTlsDomain,
    OpaqueRule,
    RelayTlsRule,
)

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
        ForcedTlsDomain("x", "a.test", None, "outbound", True, "secure", ("TLSv1.2", "TLSv1.3"), (".a.test",)),
        RelayTlsRule("second_to_all", "encrypt", ("TLSv1.3",)),
        RelayTlsRule("off_to_all", "may", enabled=False),
        RelayTlsRule("first_by_name", "may"),
        OpaqueRule("idle", None, enabled=False),
    ),
    relay=RelayHost("relay.test", 587, "starttls", "encrypt", "user", "secret-word"),
)


def test_the_whole_policy():
    shown = document.policy_document(POLICY)
    assert set(shown) == {
        "listeners",
        "starttls",
        "relay",
        "auth_rules",
        "relay_tls",
        "rules",
        "forced_tls_domains",
        "other_rules",
        "rule_order",
    }
    assert shown["starttls"] == {"inbound": True, "outbound": None}
    assert [rule["name"] for rule in shown["auth_rules"]] == ["second_by_name", "a_first_by_name", "off_a", "off_b"]
    assert shown["auth_rules"][1] == {
        "name": "a_first_by_name",
        "connection": "tls",
        "mechanisms": ["SCRAM-SHA-256", "PLAIN"],
        "enabled": True,
    }
    assert [rule["name"] for rule in shown["forced_tls_domains"]] == ["y", "x", "z"]
    assert shown["forced_tls_domains"][0] == {
        "domain": "a.test",
        "direction": "inbound",
        "reject_message": "no",
        "level": None,
        "versions": None,
        "match": None,
        "fingerprints": None,
        "reason": None,
        "until": None,
        "form": "method",
        "name": "y",
        "enabled": False,
    }
    assert shown["forced_tls_domains"][1] == {
        "domain": "a.test",
        "direction": "outbound",
        "reject_message": None,
        "level": "secure",
        "versions": ["TLSv1.2", "TLSv1.3"],
        "match": [".a.test"],
        "fingerprints": [],
        "reason": None,
        "until": None,
        "form": "method",
        "name": "x",
        "enabled": True,
    }
    assert [rule["name"] for rule in shown["relay_tls"]] == ["second_to_all", "first_by_name", "off_to_all"]
    assert shown["relay_tls"][0] == {
        "name": "second_to_all",
        "level": "encrypt",
        "versions": ["TLSv1.3"],
        "match": [],
        "fingerprints": [],
        "enabled": True,
    }
    assert shown["relay_tls"][1]["versions"] == []
    (bare,) = document.forced_domain_documents(
        Policy(rules=(ForcedTlsDomain("b", "b.test", None, "outbound", level="encrypt"),)), None
    )
    assert (bare["versions"], bare["match"], bare["fingerprints"]) == ([], [], [])
    assert shown["other_rules"] == [
        {"name": "WA_Acceptance_basic", "event": "ehlo", "enabled": True},
        {"name": "idle", "event": None, "enabled": False},
    ]
    assert shown["rule_order"] == {
        "ehlo": ["WA_Acceptance_basic", "second_by_name", "a_first_by_name"],
        "relay": ["x", "second_to_all", "first_by_name"],
    }


def test_the_relay_host_is_shown_without_its_password():
    shown = document.policy_document(POLICY)
    assert shown["relay"] == {
        "host": "relay.test",
        "port": 587,
        "tls": "starttls",
        "level": "encrypt",
        "username": "user",
        "allow_clear_text_login": False,
    }
    assert "secret-word" not in json.dumps(shown) + repr(POLICY)
    assert document.relay_document(None) is None


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
    shuffled = rules[4:5] + rules[:1] + rules[3:4] + rules[1:3] + rules[5:]
    moved = replace(POLICY, rules=shuffled)
    assert document.policy_document(moved) == document.policy_document(POLICY)


def test_the_order_of_domains_makes_no_difference_and_that_of_authentication_rules_does():
    rules = POLICY.rules
    shuffled = replace(POLICY, rules=rules[:5] + (rules[7], rules[5], rules[6]) + rules[8:])
    assert document.policy_document(shuffled) == document.policy_document(POLICY)
    swapped = replace(POLICY, rules=(rules[0], rules[2], rules[1]) + rules[3:])
    assert document.policy_document(swapped) != document.policy_document(POLICY)
    opaque_last = replace(POLICY, rules=rules[1:3] + rules[:1] + rules[3:])
    assert document.policy_document(opaque_last)["rule_order"] != document.policy_document(POLICY)["rule_order"]


def test_one_rule_and_its_neighbours():
    assert document.rule_order(POLICY, "ehlo", "A_FIRST_by_name") == {
        "rule": document.policy_document(POLICY)["auth_rules"][1],
        "order": ["WA_Acceptance_basic", "second_by_name", "a_first_by_name"],
    }
    assert document.rule_order(POLICY, "ehlo", "nobody")["rule"] == {}
    assert document.rule_document(None) == {}


def test_some_domains():
    assert [rule["name"] for rule in document.forced_domain_documents(POLICY, {"a.test"})] == ["y", "x"]
    assert document.forced_domain_documents(POLICY, frozenset()) == []
    assert len(document.forced_domain_documents(POLICY, None)) == 3


def test_an_empty_policy():
    assert document.policy_document(Policy()) == {
        "listeners": [],
        "starttls": {"inbound": None, "outbound": None},
        "relay": None,
        "auth_rules": [],
        "relay_tls": [],
        "rules": [],
        "forced_tls_domains": [],
        "other_rules": [],
        "rule_order": {"ehlo": [], "relay": []},
    }
