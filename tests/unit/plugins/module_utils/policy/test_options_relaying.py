# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options about mail that goes out become wishes in canonical form; everything wrong is said at once."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy import forced_options, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule_name import (
    NAME_LENGTH,
    forced_domain_rule_name,
    outbound_name,
    rule_name,
)


def problems_of(call, *arguments):
    with pytest.raises(PolicyError) as caught:
        call(*arguments)
    return list(caught.value.problems)


# --- relay TLS rules ----------------------------------------------------------------------------


def test_a_relay_tls_rule():
    entry = options.relay_tls({"name": " out ", "level": "Encrypt", "versions": ["1.2", "TLSv1.1"], "enabled": False})
    assert entry == {
        "label": "",
        "name": "out",
        "level": "encrypt",
        "versions": ("TLSv1.1", "TLSv1.2"),
        "match": None,
        "fingerprints": None,
        "enabled": False,
        "state": "present",
    }
    assert options.relay_tls({"name": "out", "level": "may"})["versions"] is None
    none = options.relay_tls({"name": "out", "level": "may", "versions": [], "match": [], "fingerprints": []})
    assert (none["versions"], none["match"], none["fingerprints"]) == ((), (), ())
    known = {"name": "out", "level": "fingerprint", "fingerprints": ["sha256:" + "b2" * 32, ":".join(["a1"] * 32)]}
    assert options.relay_tls(known)["fingerprints"] == (":".join(["A1"] * 32), ":".join(["B2"] * 32))
    # Those that the rule has may stay.
    assert options.relay_tls({"name": "out", "level": "fingerprint"})["fingerprints"] is None
    assert options.relay_tls({"name": "out", "state": "absent"})["state"] == "absent"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"level": None}, "level must be one of none, may, encrypt, "),
        (
            {"level": "none"},
            "level must be one of may, encrypt, verify, secure, fingerprint; got none: that no mail uses TLS is said by",
        ),
        ({"level": "no"}, "level must be one of may, encrypt, verify, secure, fingerprint; got none"),
        ({"match": ["x.test"]}, "match has a meaning with level: secure only; got level: may"),
        (
            {"level": "secure", "fingerprints": ["a1" * 32]},
            "fingerprints have a meaning with level: fingerprint only; got level: secure",
        ),
        ({"level": "fingerprint", "fingerprints": []}, "level: fingerprint needs fingerprints"),
        ({"level": "fingerprint", "fingerprints": ["a1" * 20]}, "(40 digits, as SHA-1 has)"),
        ({"level": "tls"}, 'got "tls"'),
        ({"versions": ["1.1", "1.3"]}, "versions has a gap: TLSv1.1 and TLSv1.3 without TLSv1.2 cannot be offered"),
        ({"versions": ["SSLv3"]}, "SSLv3 is broken and must not be used (RFC 7568)"),
        ({"name": "WA_x"}, 'name "WA_x" belongs to the server'),
    ],
)
def test_what_is_no_relay_tls_rule(given, said):
    (problem,) = problems_of(options.relay_tls, dict({"name": "out", "level": "may"}, **given))
    assert said in problem


def test_all_problems_of_a_rule_are_said_at_once():
    problems = problems_of(options.relay_tls, {"name": "-", "level": "x", "versions": ["y"]}, "relay_tls #2")
    assert [problem.split(" ")[2] for problem in problems] == ["name", "level", "versions"]
    assert {problem[:14] for problem in problems} == {"relay_tls #2: "}


# --- outbound domains ---------------------------------------------------------------------------


def test_an_outbound_domain():
    given = {
        "domain": "Bank.test",
        "direction": "outbound",
        "level": "SECURE",
        "versions": [1.3, 1.2],
        "match": [".Mail.B\u00fcro.test", "*.bank.test", "bank.test"],
    }
    (entry,), _notices = forced_options.forced_domains(given)
    assert {name: entry[name] for name in ("domain", "direction", "level", "versions", "match", "name")} == {
        "domain": "bank.test",
        "direction": "outbound",
        "level": "secure",
        "versions": ("TLSv1.2", "TLSv1.3"),
        "match": (".bank.test", ".mail.xn--bro-hoa.test", "bank.test"),
        "name": None,
    }


def test_both_directions_are_two_entries_each_with_its_own():
    inbound, outbound = forced_options.forced_domains(
        {"domain": "a.test", "direction": "both", "reject_message": "no", "level": "verify", "name": "n"}
    )[0]
    assert (inbound["direction"], inbound["reject_message"], inbound["level"]) == ("inbound", "no", "encrypt")
    assert (outbound["direction"], outbound["reject_message"], outbound["level"]) == ("outbound", None, "verify")
    assert (inbound["name"], outbound["name"]) == ("n", "n_outbound")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"direction": "outbound", "reject_message": "no"},
            "reject_message belongs to direction inbound and means nothing",
        ),
        (
            {"level": "verify"},
            "level: verify cannot be asked of mail that comes in, where the sending server decides how it looks; say",
        ),
        ({"versions": ["1.2"]}, "versions belongs to direction outbound and means nothing with direction inbound"),
        ({"match": ["x.test"]}, "match belongs to direction outbound and means nothing with direction inbound"),
        ({"direction": "sideways"}, 'direction must be one of inbound, outbound, both; got "sideways"'),
        ({"level": "no"}, "level: none cannot be asked of mail that comes in, where"),
        ({"direction": "outbound", "level": "tls"}, "level must be one of none, may, encrypt, dane,"),
        ({"direction": "outbound", "versions": ["1.0", "1.2"]}, "versions has a gap"),
        ({"direction": "outbound", "match": ["a b"]}, "match #1 must be a domain name"),
        (
            {"direction": "both", "match": ["x.test"], "level": "verify"},
            "match has a meaning with level: secure only; got level: verify",
        ),
    ],
)
def test_what_is_no_forced_domain(given, said):
    for params in (dict(given, domain="a.test"), dict(given, domains=["a.test", "b.test"])):
        (problem,) = problems_of(forced_options.forced_domains, params)
        assert problem.startswith(said)
    (problem,) = problems_of(options.policy_document, {"forced_tls_domains": [dict(given, domain="a.test")]})
    assert problem.startswith("forced_tls_domains #1: " + said)


def test_a_name_for_both_directions_leaves_room_for_the_second_one():
    given = {"domain": "a.test", "direction": "both", "name": "n" * 56}
    assert problems_of(forced_options.forced_domains, given) == [
        "name must have 55 characters at most when it is for both directions, because the outbound rule is called "
        "nnnnnnnn..._outbound; got 56"
    ]


def test_all_problems_of_a_domain_are_said_at_once():
    problems = problems_of(
        forced_options.forced_domains,
        {"domain": "a b", "direction": "outbound", "reject_message": "x", "level": "?", "versions": ["?"], "match": [1]},
    )
    names = {problem.split(" ")[0] for problem in problems}
    assert names == {"reject_message", "level", "versions", "match", "domain"} and len(problems) == len(names)


@pytest.mark.parametrize("given", [{"direction": "inbound"}, {"direction": "both"}, {"direction": "outbound", "level": "none"}])
def test_that_a_rule_names_none_can_be_said_everywhere(given):
    entries = forced_options.forced_domains(dict(given, domain="a.test", versions=[], match=[]))[0]
    assert [entry["versions"] or entry["match"] or None for entry in entries] == [None] * len(entries)


def test_whether_mail_goes_out_is_known_from_the_entries():
    def wanted(**given):
        return forced_options.has_outbound(forced_options.forced_domains(dict(given, domain="a.test"))[0])

    assert wanted(direction="outbound") and wanted(direction="both")
    assert not wanted(direction="inbound") and not wanted(direction="both", state="absent")


# --- names --------------------------------------------------------------------------------------


def test_names_of_outbound_rules_are_readable_short_enough_and_never_shared():
    domains = ["mydomain.com", "my-domain.com", "mydomain.com.outbound", "outbound", "x" * 30 + ".test"]
    domains += [".".join(["a" * 49] * 5), "x" * 44 + ".te", "x" * 43 + ".te"]
    names = [forced_domain_rule_name(domain, direction) for domain in domains for direction in ("inbound", "outbound")]
    assert len({name.lower() for name in names}) == 2 * len(domains)
    assert [rule_name(name) for name in names] == names
    assert names[1] == "allow_only_tls_for_mydomain_com_outbound"
    assert all(name.endswith("_outbound") for name in names[1::2])
    assert max(map(len, names)) <= NAME_LENGTH


def test_the_longest_name_for_both_directions():
    assert len(outbound_name("n" * 55)) == NAME_LENGTH


# --- the whole document -------------------------------------------------------------------------


def test_all_problems_of_a_document_are_said_at_once():
    problems = problems_of(
        options.policy_document,
        {
            "relay": {"host": "relay.test", "level": "dane"},
            "relay_tls": [{"name": "a", "level": "may"}, {"name": "b", "level": "none"}],
            "forced_tls_domains": [{"domain": "a.test", "direction": "outbound", "level": "must"}],
        },
    )
    assert [problem.split(":")[0].split(" must")[0].split(" is ")[0] for problem in problems] == [
        "relay_tls #2",
        "forced_tls_domains #1",
        "relay.port",
        "relay.level",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"relay_tls": [{"name": "a", "level": "may"}, {"name": "A", "level": "encrypt"}]},
            "relay_tls #1 and #2 both mean A and contradict each other: level",
        ),
        (
            {
                "forced_tls_domains": [
                    {"domain": "a.test", "direction": "both", "level": "verify"},
                    {"domain": "a.test", "direction": "outbound", "level": "encrypt", "versions": ["1.3"]},
                ]
            },
            "forced_tls_domains #1 and #2 both mean a.test and contradict each other: level, versions",
        ),
    ],
)
def test_contradictions_are_named_by_position(given, said):
    (problem,) = problems_of(options.policy_document, given)
    assert problem == said


def test_one_domain_in_two_directions_is_no_contradiction():
    document, _notices = options.policy_document(
        {
            "forced_tls_domains": [
                {"domain": "a.test", "reject_message": "no"},
                {"domain": "a.test", "direction": "outbound", "level": "verify"},
                {"domain": "A.test", "direction": "both", "reject_message": "no", "level": "verify"},
            ]
        }
    )
    assert [entry["direction"] for entry in document["forced_tls_domains"]] == ["inbound", "outbound"]
