# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module options, as Ansible hands them over, become wishes in canonical form; everything wrong is said at once."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy import edit, forced_options, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import (
    LIMIT_FIELDS,
    TLS_FIELDS,
    Listener,
    Policy,
    StartTls,
)

PEM = "/etc/mail/mail.pem"


def problems_of(call, *arguments):
    with pytest.raises(PolicyError) as caught:
        call(*arguments)
    return list(caught.value.problems)


# --- listeners ----------------------------------------------------------------------------------


def test_nothing_given_is_nothing_wanted():
    nothing = dict.fromkeys(TLS_FIELDS + LIMIT_FIELDS + ("enabled", "tls", "allowed_networks", "denied_networks"))
    assert options.listener_values(nothing) == {}
    assert options.listener_values({}) == {}
    assert options.tls_values(nothing) == {}


def test_everything_given():
    values = options.listener_values(
        {
            "enabled": False,
            "tls": False,
            "versions": ["1.3", "1.2"],
            "ciphers": " ECDHE+AESGCM ",
            "prefer_server_ciphers": True,
            "certificate": "",
            "ca_file": "/ca.pem",
            "dh_params": "relative/dh.pem",
            "request_client_certificate": False,
            "idle_timeout": 0,
            "max_connections": 10,
            "allowed_networks": ["10.0.0.0/255.0.0.0"],
            "denied_networks": [],
            "something_else": "ignored",
        }
    )
    assert values == {
        "enabled": False,
        "tls": "none",
        "versions": ("TLSv1.2", "TLSv1.3"),
        "ciphers": "ECDHE+AESGCM",
        "prefer_server_ciphers": True,
        "certificate": "",
        "ca_file": "/ca.pem",
        "dh_params": "relative/dh.pem",
        "request_client_certificate": False,
        "idle_timeout": 0,
        "max_connections": 10,
        "allowed_networks": ("10.0.0.0/8",),
        "denied_networks": (),
    }
    assert Listener("0.0.0.0:25", **values)


def test_all_problems_of_a_listener_are_said_at_once():
    problems = problems_of(
        options.listener_values,
        {
            "tls": True,
            "versions": [],
            "ciphers": "NO-SUCH-SUITE",
            "certificate": "a\nb",
            "ca_file": "none",
            "dh_params": 5,
            "idle_timeout": -1,
            "max_connections": True,
            "interval": 1.5,
            "allowed_networks": ["x"],
        },
        "listener: ",
    )
    assert [problem.split(" ")[1].rstrip(":") for problem in problems] == [
        "versions",
        "ciphers",
        "certificate",
        "ca_file",
        "dh_params",
        "tls",
        "idle_timeout",
        "max_connections",
        "interval",
        "allowed_networks",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("none", 'write "" for no file'),
        ("None", 'write "" for no file'),
        ("/a\r\nSET enable no", "characters that no path should have"),
        ("/a\0", "characters that no path should have"),
        (True, "must be a path; got the boolean true"),
        (7, "must be a path; got the number 7"),
    ],
)
def test_what_is_no_path(given, said):
    (problem,) = problems_of(options.file_path, given, "certificate")
    assert problem.startswith("certificate") and said in problem


@pytest.mark.parametrize("path", ["", "/etc/mail/mail.pem", "axigen_cert.pem", "/with space/\u00fc.pem", "/it's.pem"])
def test_a_path_is_kept(path):
    assert options.file_path(path, "certificate") == path


def test_addresses_of_listeners():
    assert options.addresses(None, "listeners") is None
    assert options.addresses(["[::0]:25", "0.0.0.0:25", "[::]:25"], "listeners") == ("[::]:25", "0.0.0.0:25")
    assert options.addresses("0.0.0.0:25,0.0.0.0:587", "listeners") == ("0.0.0.0:25", "0.0.0.0:587")
    assert problems_of(options.addresses, [], "listeners") == [
        "listeners is empty; name listeners, or leave the option out to mean all of them"
    ]
    assert [problem[:12] for problem in problems_of(options.addresses, ["x", "0.0.0.0:25", 25], "listeners")] == [
        "listeners #1",
        "listeners #3",
    ]


# --- rules --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ("first", "first"),
        (" LAST ", "last"),
        ({"before": "a"}, {"before": "a"}),
        ({"after": " a "}, {"after": "a"}),
        ("after=enableAUTH", {"after": "enableAUTH"}),
    ],
)
def test_positions(given, expected):
    assert options.position(given) == expected


@pytest.mark.parametrize(
    "given",
    ["middle", "", 1, True, [], {}, {"before": None}, {"before": ""}, {"before": "a", "after": "b"}, {"at": "a"}],
)
def test_what_is_no_position(given):
    (problem,) = problems_of(options.position, given)
    assert problem.startswith("position must be first, last, or a dictionary with one of the keys before and after")


def test_an_authentication_rule():
    given = {"name": "enableAUTH_on_SSL", "connection": "tls", "mechanisms": "plain, scram-sha-256", "enabled": None}
    entry = options.auth_rule(given)
    assert (entry["name"], entry["connection"]) == ("enableAUTH_on_SSL", "tls")
    assert (entry["mechanisms"], entry["enabled"], entry["state"]) == (("SCRAM-SHA-256", "PLAIN"), None, "present")
    assert options.auth_rule({"name": "x", "state": "absent"})["state"] == "absent"


def test_no_mechanisms_is_not_the_same_as_mechanisms_not_given():
    assert options.auth_rule({"name": "x", "connection": "plain", "mechanisms": []})["mechanisms"] == ()
    (problem,) = problems_of(options.auth_rule, {"name": "x", "connection": "plain", "mechanisms": None})
    assert problem == "mechanisms must be a list like [SCRAM-SHA-256, PLAIN], or [] for no authentication; got nothing"


def test_all_problems_of_a_rule_are_said_at_once():
    problems = problems_of(
        options.auth_rule, {"name": "WA_x", "connection": "ssl", "mechanisms": ["?"]}, "auth_rules #4"
    )
    assert [problem[:15] for problem in problems] == ["auth_rules #4: "] * 3
    assert "connection must be one of plain, tls" in problems[1]


def test_one_domain():
    (entry,), notices = forced_options.forced_domains({"domain": "@Kunde.Test."})
    assert (entry["domain"], entry["direction"], entry["state"]) == ("kunde.test", "inbound", "present")
    assert (entry["reject_message"], entry["name"], entry["enabled"]) == (None, None, None)
    assert notices == ['domain: "@Kunde.Test." was read as the domain kunde.test, without the @']


def test_many_domains_have_their_settings_in_common():
    given = {"domains": ["b.test", "A.test", ""], "reject_message": "TLS", "direction": "both", "enabled": False}
    entries, notices = forced_options.forced_domains(given)
    assert [(entry["domain"], entry["direction"], entry["reject_message"]) for entry in entries] == [
        ("a.test", "inbound", "TLS"),
        ("a.test", "outbound", None),
        ("b.test", "inbound", "TLS"),
        ("b.test", "outbound", None),
    ]
    assert {entry["enabled"] for entry in entries} == {False}
    assert notices == []
    assert forced_options.forced_domains({"domains": []}) == ([], [])


def test_all_problems_of_domains_are_said_at_once():
    problems = problems_of(
        forced_options.forced_domains, {"domains": ["a b", "ok.test", "*"], "reject_message": '"', "name": "n"}
    )
    assert [problem.split(" ")[0] for problem in problems] == ["reject_message", "name", "domains", "domains"]
    problems = problems_of(forced_options.forced_domains, {"domain": 123.456, "reject_message": "\u00fc"})
    assert [problem.split(" ")[0] for problem in problems] == ["reject_message", "domain"]


# --- the whole document -------------------------------------------------------------------------

WHOLE = {
    "listeners": [
        {"address": "0.0.0.0:25", "tls": "starttls"},
        {"address": "[::0]:465", "tls": "implicit", "ciphers": "HIGH:!aNULL"},
        {"address": "127.0.0.1:2525", "tls": False},
        {"address": "0.0.0.0:26", "state": "absent"},
    ],
    "tls": {"versions": [1.2, 1.3], "ciphers": "ECDHE+AESGCM", "certificate": PEM, "dh_params": None},
    "starttls": {"inbound": True, "outbound": None},
    "auth_rules": [
        {"name": "disableAUTH_on_non_SSL", "connection": "plain", "mechanisms": []},
        {"name": "enableAUTH_on_SSL", "connection": "tls", "mechanisms": ["SCRAM-SHA-256"]},
        {"name": "old", "state": "absent"},
    ],
    "forced_tls_domains": [
        {"domain": "mydomain.com", "reject_message": "Accepting only secure delivery (STARTTLS) for mydomain.com"},
        {"domain": "@b\u00fccher.test", "direction": "inbound"},
    ],
}


def test_a_whole_document():
    document, notices = options.policy_document(WHOLE)
    policy = edit.put_document(Policy((Listener("0.0.0.0:26"),), StartTls(False, False)), document)
    common = {"versions": ("TLSv1.2", "TLSv1.3"), "enabled": True}
    assert policy.listeners == (
        Listener("0.0.0.0:25", tls="starttls", ciphers="ECDHE+AESGCM", certificate=PEM, **common),
        Listener("127.0.0.1:2525", tls="none", ciphers="ECDHE+AESGCM", **common),
        Listener("[::]:465", tls="implicit", ciphers="HIGH:!aNULL", certificate=PEM, **common),
    )
    assert policy.starttls == StartTls(True, False)
    assert [rule.name for rule in policy.rules][:3] == [
        "disableAUTH_on_non_SSL",
        "enableAUTH_on_SSL",
        "allow_only_tls_for_mydomain_com",
    ]
    assert policy.rules[3].domain == "xn--bcher-kva.test"
    assert [text.split(":")[0] for text in notices] == ["forced_tls_domains #2"]
    assert edit.put_document(policy, document) is policy


def test_an_empty_document_changes_nothing():
    policy = Policy((Listener("0.0.0.0:25", True, "none"),), StartTls(True, True))
    for given in ({}, dict.fromkeys(WHOLE), {"listeners": [], "auth_rules": [], "tls": {"ciphers": None}}):
        document, notices = options.policy_document(given)
        assert edit.put_document(policy, document) is policy
        assert notices == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {
                "listeners": [
                    {"address": "[::]:25"},
                    {"address": "0.0.0.0:25"},
                    {"address": "[0:0::0]:25", "tls": "none"},
                ]
            },
            "listeners #1 and #3 both mean [::]:25 and contradict each other: tls",
        ),
        (
            {"listeners": [{"address": "[::]:25"}, {"address": "[::0]:25", "state": "absent"}]},
            "listeners #1 and #2 both mean [::]:25 and contradict each other: state",
        ),
        (
            {
                "auth_rules": [
                    {"name": "a", "connection": "tls", "mechanisms": []},
                    {"name": "A", "connection": "plain", "mechanisms": ["PLAIN"]},
                ]
            },
            "auth_rules #1 and #2 both mean A and contradict each other: connection, mechanisms",
        ),
        (
            {
                "forced_tls_domains": [
                    {"domain": "a.test"},
                    {"domain": "b.test"},
                    {"domain": "A.test.", "direction": "both", "enabled": False},
                ]
            },
            "forced_tls_domains #1 and #3 both mean a.test and contradict each other: enabled",
        ),
        (
            {"forced_tls_domains": [{"domain": "a.test", "reject_message": "x"}, {"domain": "a.test"}]},
            "forced_tls_domains #1 and #2 both mean a.test and contradict each other: reject_message",
        ),
        (
            {"forced_tls_domains": [{"domain": "a.test", "name": "x"}, {"domain": "a.test"}]},
            "forced_tls_domains #1 and #2 both mean a.test and contradict each other: name",
        ),
        (
            {"tls": {"ciphers": "HIGH:!aNULL"}},
            "tls holds settings for the listeners of this document, and there are no listeners in it",
        ),
    ],
)
def test_contradictions_are_named_by_position(given, said):
    assert problems_of(options.policy_document, given) == [said]


def test_equal_duplicates_are_merged():
    document, _notices = options.policy_document(
        {
            "listeners": [{"address": "[::]:25", "versions": [1.2]}, {"address": "[::0]:25", "versions": ["TLSv1.2"]}],
            "auth_rules": [{"name": "a", "connection": "tls", "mechanisms": ["PLAIN", "LOGIN"]}] * 2
            + [{"name": "A", "connection": "tls", "mechanisms": ["login", "plain"]}],
            "forced_tls_domains": [{"domain": "b\u00fccher.test"}, {"domain": "XN--bcher-kva.test."}],
        }
    )
    assert [len(document[part]) for part in ("listeners", "auth_rules", "forced_tls_domains")] == [1, 1, 1]


def test_all_problems_of_a_document_are_said_at_once():
    problems = problems_of(
        options.policy_document,
        {
            "tls": {"versions": ["SSLv3"]},
            "listeners": [{"address": "*:25"}, {"address": 625, "tls": "maybe"}, {"address": "0.0.0.0:25"}],
            "auth_rules": [{"name": "bad name", "connection": "tls", "mechanisms": []}],
            "forced_tls_domains": [{"domain": "ok.test"}, {"domain": "user@example.test"}],
        },
    )
    assert [problem.split(": ")[0].split(" must")[0] for problem in problems] == [
        "tls.versions #1",
        "listeners #1",
        "listeners #2",
        "listeners #2",
        "auth_rules #1",
        "forced_tls_domains #2",
    ]


def test_problems_that_only_the_present_policy_shows_come_together_too():
    document, _notices = options.policy_document(
        {
            "listeners": [{"address": "0.0.0.0:465", "tls": "implicit"}, {"address": "0.0.0.0:25", "tls": "starttls"}],
            "starttls": {"inbound": False},
            "auth_rules": [{"name": "by_hand", "connection": "tls", "mechanisms": []}],
            "forced_tls_domains": [{"domain": "a.test", "name": "x"}, {"domain": "b.test", "name": "x"}],
        }
    )
    by_hand, _notices = options.policy_document({"forced_tls_domains": [{"domain": "z.test", "name": "by_hand"}]})
    present = edit.put_document(Policy((Listener("0.0.0.0:25", certificate=PEM),)), by_hand)
    problems = problems_of(edit.put_document, present, document)
    assert [problem.split(": ")[0] for problem in problems] == [
        "listener 0.0.0.0:25",
        "listener 0.0.0.0:465",
        "auth_rules #1",
        "forced_tls_domains #2",
    ]
    assert "the rules for a.test and for b.test would both be called x" in problems[3]
