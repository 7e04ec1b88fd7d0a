# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of the probe as values, without anybody being asked."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._probe import inquiry, question
from ansible_collections.securemail.smtp.plugins.module_utils._probe.declared import declared, forced_domains
from ansible_collections.securemail.smtp.plugins.module_utils._probe.inquiry import Expectation, Inquiry, expectation
from ansible_collections.securemail.smtp.plugins.module_utils._probe.observation import Credentials, ForcedDomain
from ansible_collections.securemail.smtp.plugins.module_utils._probe.requirement import Row

#: As smtp_info returns it.
POLICY = {
    "listeners": [
        {
            "address": "0.0.0.0:25",
            "enabled": True,
            "tls": "starttls",
            "versions": ["SSLv3", "TLSv1.2"],
            "ciphers": "SOME:OLD:NAMES",
            "certificate": "/etc/mail.pem",
            "max_connections": None,
        },
        {"address": "[::]:465", "enabled": False, "tls": "implicit", "versions": None},
    ],
    "starttls": {"inbound": True, "outbound": None},
    "relay": None,
    "auth_rules": [{"name": "closed", "connection": "plain", "mechanisms": [], "enabled": True}],
    "relay_tls": [{"name": "out", "level": "encrypt", "versions": ["TLSv1.2"], "enabled": True}],
    "forced_tls_domains": [
        {
            "domain": "a.example",
            "direction": "inbound",
            "reject_message": "Nur verschl\u00fcsselt",
            "level": None,
            "versions": None,
            "match": None,
            "name": "a",
            "enabled": True,
        },
    ],
    "other_rules": [{"name": "x", "event": "rcpt", "enabled": True}],
    "rule_order": {"ehlo": ["closed"], "relay": ["out"]},
}


def targets(*entries):
    return question.listeners(question.spelled_out({"targets": list(entries)})["targets"])


def problems(function, *arguments):
    with pytest.raises(PolicyError) as caught:
        function(*arguments)
    return caught.value.problems


# ---- short forms


@pytest.mark.parametrize(
    "given, spelled",
    [
        (["a:25"], [{"address": "a:25"}]),
        ("a:25,b:25", [{"address": "a:25"}, {"address": "b:25"}]),
        ([25], [{"address": 25}]),
        (["address=a:25"], ["address=a:25"]),
        (['{"address": "a:25"}'], ['{"address": "a:25"}']),
        ([None], [None]),
        (
            [{"address": "a:25", "forced_tls_domains": ["x.example", {"domain": "y.example"}]}],
            [{"address": "a:25", "forced_tls_domains": [{"domain": "x.example"}, {"domain": "y.example"}]}],
        ),
        (
            [{"address": "a:25", "forced_tls_domains": "x.example,y.example"}],
            [{"address": "a:25", "forced_tls_domains": [{"domain": "x.example"}, {"domain": "y.example"}]}],
        ),
        ({"address": "a:25"}, {"address": "a:25"}),
        (None, None),
    ],
)
def test_short_forms(given, spelled):
    before = copy.deepcopy(given)
    assert question.spelled_out({"targets": given, "other": 1}) == {"targets": spelled, "other": 1}
    assert given == before


def test_no_password_of_a_relay_host_is_kept():
    policy = {"relay": {"host": "a", "password": "Rel-pw"}, "listeners": [{"address": "x", "password": "Rel-pw"}]}
    found = question.spelled_out({"targets": [], "expect": policy})["expect"]
    assert found == {"relay": {"host": "a"}, "listeners": [{"address": "x"}]}
    assert policy["relay"]["password"] == "Rel-pw"


# ---- targets


def test_defaults_of_a_target():
    mail, submissions, address = targets("Mail.Example.org:25", "mail.example.org:465", "[2001:db8::25]:587")
    assert (mail.host, mail.port, mail.tls, mail.server_name) == ("mail.example.org", 25, "starttls", "mail.example.org")
    assert (submissions.tls, mail.credentials, mail.ca_file) == ("implicit", None, None)
    assert (address.host, address.server_name, address.tls) == ("2001:db8::25", None, "starttls")


def test_a_password_is_for_tls_only_even_on_this_host():
    # A port of this host may be the near end of a tunnel.
    (one,) = targets({"address": "127.0.0.1:25", "username": "anna", "password": "s3cret"})
    assert one.clear_password is False


def test_all_of_a_target():
    (one,) = targets(
        {
            "address": "192.0.2.25:465",
            "tls": False,
            "server_name": "b\u00fccher.example",
            "username": "anna",
            "password": "s3cret",
            "forced_tls_domains": ["A.example", {"domain": "b.example", "reject_message": "no"}, "a.example."],
            "other_domain": "other.example",
            "local_domain": "local.example",
            "recipient": "anna",
        }
    )
    assert (one.tls, one.server_name) == ("none", "xn--bcher-kva.example")
    assert one.credentials == Credentials("anna", "s3cret") and "s3cret" not in repr(one)
    assert one.forced_domains == (ForcedDomain("a.example"), ForcedDomain("b.example", "no"))
    assert (one.other_domain, one.local_domain, one.recipient) == ("other.example", "local.example", "anna")


def test_all_problems_are_named_with_their_places():
    found = problems(targets, "a", "b:25", {"address": "b:0", "tls": "ssl", "server_name": "1.2.3.4"}, "B:25")
    assert [problem[: len("targets #1")] for problem in found] == ["targets #1"] + ["targets #3"] * 3 + ["targets #4"]


def test_a_password_is_in_no_message():
    (problem,) = problems(targets, {"address": "a:25", "username": "anna", "password": "s3cret\0"})
    assert "NUL" in problem and "s3cret" not in problem


# ---- expectations


@pytest.mark.parametrize(
    "expect, profile, names",
    [
        (None, None, ()),
        ("modern", None, ("modern",)),
        ("modern, rfc9325", None, ("modern", "rfc9325")),
        (["modern", "modern"], ["rfc9325", "modern"], ("modern", "rfc9325")),
        ({"profile": "modern"}, None, ("modern",)),
        ({"profile": ["modern"]}, ["bsi-tr-02102-2"], ("modern", "bsi-tr-02102-2")),
    ],
)
def test_profiles(expect, profile, names):
    assert expectation(expect, profile) == Expectation(names, None)


def test_a_policy_is_usable_as_it_was_returned():
    before = copy.deepcopy(POLICY)
    found = expectation(dict(POLICY, profile="modern"))
    assert found.profiles == ("modern",) and found.policy is not None
    first, second = found.policy["listeners"]
    # What nobody may ask for, a server may have.
    assert (first["versions"], first["ciphers"]) == (["SSLv3", "TLSv1.2"], "SOME:OLD:NAMES")
    assert second["enabled"] is False
    assert [entry["domain"] for entry in forced_domains(found.policy)] == ["a.example"]
    assert POLICY == before


def test_a_policy_is_usable_as_people_write_it():
    found = declared(
        {
            "tls": {"versions": ["1.2", "tls1_3"], "ciphers": "HIGH"},
            "listeners": [
                {"address": "[0::0]:25", "tls": False},
                {"address": "10.0.0.1:587", "ciphers": "AES"},
                {"address": "10.0.0.1:26", "state": "absent"},
            ],
            "auth_rules": [{"name": "n", "connection": "tls", "mechanisms": "plain,scram-sha-256"}],
            "forced_tls_domains": [{"domain": "@B.Example", "direction": "both"}, {"domain": "c.example", "enabled": False}],
        }
    )
    first, second = found["listeners"]
    assert (first["address"], first["tls"], first["versions"]) == ("[::]:25", "none", ["TLSv1.2", "TLSv1.3"])
    assert (second["ciphers"], second["enabled"]) == ("AES", True)
    assert found["auth_rules"][0]["mechanisms"] == ["SCRAM-SHA-256", "PLAIN"]
    assert [(entry["domain"], entry["direction"]) for entry in found["forced_tls_domains"]] == [
        ("b.example", "inbound"),
        ("b.example", "outbound"),
        ("c.example", "inbound"),
    ]
    assert [entry["domain"] for entry in forced_domains(found)] == ["b.example"]


def test_all_problems_of_a_policy_are_named():
    found = problems(
        declared,
        {
            "listeners": [{"address": "x"}, {"address": "0.0.0.0:25", "versions": ["SSLv9"], "enabled": "yes"}],
            "auth_rules": [{"connection": "plain"}],
            "forced_tls_domains": [{"domain": "a.example", "direction": "up", "reject_message": 1}],
        },
    )
    places = ["expect.listeners #1", "expect.listeners #2", "expect.auth_rules #1", "expect.forced_tls_domains #1"]
    assert all(any(problem.startswith(place) for problem in found) for place in places)
    assert len(found) == 6


@pytest.mark.parametrize("nothing", [{}, [], ()])
def test_an_empty_expectation_would_pass_whatever_is_seen(nothing):
    assert problems(expectation, nothing) == ("expect is empty; leave it out to expect nothing",)


def test_a_wrong_client_name_is_one_problem():
    (found,) = problems(question.listeners, [{"address": "a:25"}], None, "two words")
    assert found.startswith("client_name must be a domain name")


def test_forced_domains_of_the_policy_are_tried_beside_those_of_the_target():
    (target,) = targets({"address": "a:25", "forced_tls_domains": ["own.example", "a.example"]})
    (found,) = inquiry.with_policy_domains([target], expectation(POLICY), [])
    assert [forced.domain for forced in found.forced_domains] == ["own.example", "a.example"]
    # What a target says of a domain is what holds for it.
    assert found.forced_domains[1].reject_message is None


def test_of_many_domains_the_first_are_tried_and_somebody_is_told():
    many = [{"domain": "d%d.example" % number} for number in range(inquiry.TRIED_DOMAINS + 1)]
    many.append({"domain": ".sub.example"})
    notices = []
    (found,) = inquiry.with_policy_domains(targets("a:25"), expectation({"forced_tls_domains": many}), notices)
    assert len(found.forced_domains) == inquiry.TRIED_DOMAINS
    (notice,) = notices
    assert str(inquiry.TRIED_DOMAINS + 1) in notice


# ---- the inquiry


@pytest.mark.parametrize(
    "asked, missing",
    [
        (["10.0.0.1:25", "10.0.0.1:587", "10.0.0.2:587"], ""),
        # One listener has the port: whatever address it is reached at, it is meant.
        (["mail.example.org:25", "10.0.0.1:587", "10.0.0.2:587"], ""),
        # One of two is meant, and only one is looked at.
        (["10.0.0.1:25", "mail.example.org:587"], "10.0.0.2:587"),
        (["10.0.0.1:26", "10.0.0.1:587"], "[::]:25, 10.0.0.2:587"),
    ],
)
def test_listeners_that_nobody_looks_at(asked, missing):
    addresses = ["[::]:25", "10.0.0.1:587", "10.0.0.2:587"]
    policy = {"listeners": [{"address": address} for address in addresses] + [{"address": "10.0.0.9:9", "enabled": False}]}
    found = inquiry.uncovered(targets(*asked), expectation(policy))
    assert [notice.rpartition("them: ")[2] for notice in found] == ([missing] if missing else [])


def test_a_message_names_what_several_rules_ask_for_once():
    def row(origin, source, number=25):
        return Row("a:%d" % number, "version", {}, "TLSv1", "refused", "accepted", "fail", "error", source, origin, "", ())

    rows = (row("policy", "policy"), row("modern", "RFC 8996"), row("rfc9325", "RFC 8996"), row("policy", "policy", 26))
    words = inquiry.Answer((), rows, 1, 0.0).words(rows)
    assert words == (
        "4 of 4 checks failed: a:25: TLSv1: expected refused, seen accepted (policy; RFC 8996); "
        "a:26: TLSv1: expected refused, seen accepted (policy)"
    )


def test_listeners_of_one_host_are_together():
    asked = Inquiry(tuple(targets("a:25", "b:25", "A:587", "[::1]:25", "a:465")))
    assert asked.hosts() == [[0, 2, 4], [1], [3]]
