# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What playbooks really hand over: values that YAML turned into something else, and one thing in many spellings.

The inputs are whole lists as people keep them. Letters beyond ASCII are escaped.
"""

from __future__ import annotations

import random

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy import document, edit, forced_options, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.address import listener_address
from ansible_collections.securemail.smtp.plugins.module_utils._policy.domain import domain_names
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Listener, Policy, StartTls
from ansible_collections.securemail.smtp.plugins.module_utils._policy.tls import tls_mode, tls_versions

# --- YAML turns mail vocabulary into something else ---------------------------------------------

#: What people write, and what a YAML 1.1 reader makes of it.
WRITTEN = [
    ("versions: [1.2, 1.3]", {"versions": [1.2, 1.3]}),
    ("versions: [1.10]", {"versions": [1.1]}),
    ("tls: off", {"tls": False}),
    ("tls: no", {"tls": False}),
    ("tls: yes", {"tls": True}),
    ("mechanisms:", {"mechanisms": None}),
    ("mechanisms: []", {"mechanisms": []}),
    ("address: 10:25", {"address": 625}),
    ("port: 0465", {"port": 309}),
    ("reject_message: TLS required # see wiki", {"reject_message": "TLS required"}),
    ("domain: 123.456", {"domain": 123.456}),
    ("domains: Example.TEST, other.test,partner.test", {"domains": "Example.TEST, other.test,partner.test"}),
    ('address: "[::]:25"', {"address": "[::]:25"}),
    ('domain: "*.example.test"', {"domain": "*.example.test"}),
    ('ciphers: "!aNULL:HIGH"', {"ciphers": "!aNULL:HIGH"}),
    ('reject_message: "550 TLS: required"', {"reject_message": "550 TLS: required"}),
]

#: What cannot be read at all and must be quoted.
UNREADABLE = [
    "address: [::]:25",
    "domain: *.example.test",
    "domain: @example.test",
    "ciphers: !aNULL:HIGH",
    "protocols: !SSLv2, !SSLv3",
    "reject_message: 550 TLS: required",
    "reject_message: %domain% needs TLS",
    "version: >=TLSv1.2",
]


@pytest.mark.parametrize(("text", "arrives"), WRITTEN)
def test_the_inputs_below_are_what_yaml_makes_of_them(text, arrives):
    yaml = pytest.importorskip("yaml", reason="PyYAML shows what a playbook becomes; it is not installed")
    assert yaml.safe_load(text) == arrives


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_cannot_be_read_without_quotes(text):
    yaml = pytest.importorskip("yaml", reason="PyYAML shows what a playbook becomes; it is not installed")
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load(text)


@pytest.mark.parametrize(
    "given", [[1.2, 1.3], ["1.2", "1.3"], ["tls1_2", "tls1_3"], ["TLSv1.2", "TLSv1.3"], ["tlsv1.2", 1.3]]
)
def test_all_spellings_of_versions_mean_the_same_set(given):
    assert tls_versions(given) == ("TLSv1.2", "TLSv1.3")


def test_a_version_is_not_guessed():
    assert tls_versions([1.1]) == ("TLSv1.1",)  # what 1.10 without quotes arrives as: one cannot tell
    for given in (["1.10"], [1.3, 1.1], [1.4], [12]):
        with pytest.raises(PolicyError):
            tls_versions(given)


def test_no_and_off_mean_none_and_yes_is_refused_with_the_choices():
    assert tls_mode(False) == "none"
    with pytest.raises(PolicyError, match='"none", "starttls", "implicit"; got the boolean true'):
        tls_mode(True)


def test_mechanisms_without_a_value_are_never_no_mechanisms():
    rule = {"name": "a", "connection": "tls"}
    assert options.auth_rule(dict(rule, mechanisms=[]))["mechanisms"] == ()
    with pytest.raises(PolicyError, match="got nothing"):
        options.auth_rule(dict(rule, mechanisms=None))


@pytest.mark.parametrize("arrived", [625, 309, "625"])
def test_a_number_where_an_address_is_needed_shows_the_quoted_form(arrived):
    with pytest.raises(PolicyError) as caught:
        listener_address(arrived)
    assert str(caught.value) == (
        'address must be like "0.0.0.0:25" or "[::]:25"; got the number %s, quote it' % arrived
    )


def test_a_comma_string_for_a_list_works_and_loses_the_blanks():
    assert options.auth_rule({"name": "a", "connection": "tls", "mechanisms": "PLAIN, LOGIN"})["mechanisms"] == (
        "PLAIN",
        "LOGIN",
    )
    assert domain_names("Example.TEST, other.test,partner.test")[0] == ("example.test", "other.test", "partner.test")


@pytest.mark.parametrize("arrived", [123.456, "123.456"])
def test_a_domain_that_is_a_number_is_refused_by_name(arrived):
    with pytest.raises(PolicyError, match="domain must be a domain name like .*; got the number 123.456"):
        forced_options.forced_domains({"domain": arrived})


def test_the_quoted_forms_work():
    values = options.listener_values({"ciphers": "!aNULL:HIGH"})
    assert values == {"ciphers": "!aNULL:HIGH"}
    (entry,), _notices = forced_options.forced_domains({"domain": "*.example.test", "reject_message": "550 TLS: required"})
    assert (entry["domain"], entry["reject_message"]) == (".example.test", "550 TLS: required")


# --- one domain in eleven spellings, and lists in another order ---------------------------------

#: A list of domains as it comes out of other people's systems.
DOMAINS = (
    "Partner.Test\npartner.test.\n  partner.test\t\n"
    "B\u00fccher.test\nxn--bcher-kva.test\nb\u00fccher.test.\n@kunde.test\n"
    "*.cloud.test\n.cloud.test\nCLOUD.test\n\nstra\u00dfe.test\nPARTNER.TEST\n"
)
CANONICAL_DOMAINS = (
    ".cloud.test",
    "cloud.test",
    "kunde.test",
    "partner.test",
    "xn--bcher-kva.test",
    "xn--strae-oqa.test",
)

ADDRESSES = [
    ("0.0.0.0:25", "0.0.0.0:25"),
    ("*:25", None),
    (":25", None),
    ("0:25", None),
    ("[::]:25", "[::]:25"),
    ("[0:0:0:0:0:0:0:0]:25", "[::]:25"),
    ("[::0]:25", "[::]:25"),
    ("[2001:DB8::25]:587", "[2001:db8::25]:587"),
    ("[2001:0db8:0000:0000:0000:0000:0000:0025]:587", "[2001:db8::25]:587"),
    ("2001:db8::25:587", None),
    ("[::ffff:192.0.2.1]:25", "[::ffff:192.0.2.1]:25"),
    ("[fe80::1%eth0]:25", None),
    ("localhost:25", None),
    ("192.0.2.1:smtp", None),
    ("192.0.2.1:00587", None),
    ("192.0.2.1:65536", None),
    ("192.0.2.256:25", None),
]


def test_a_list_of_domains_from_other_systems():
    entries, notices = forced_options.forced_domains({"domains": DOMAINS.splitlines()})
    assert tuple(entry["domain"] for entry in entries) == CANONICAL_DOMAINS
    assert notices == ['domains #7: "@kunde.test" was read as the domain kunde.test, without the @']


def test_a_shuffled_list_changes_nothing_and_has_no_diff():
    given = DOMAINS.splitlines()
    entries, _notices = forced_options.forced_domains({"domains": given})
    policy = edit.put_forced_domains(Policy(), entries)
    shown = document.policy_document(policy)
    for seed in range(20):
        random.Random(seed).shuffle(given)
        entries, _notices = forced_options.forced_domains({"domains": given})
        again = edit.put_forced_domains(policy, entries)
        assert again is policy
        assert document.policy_document(again) == shown


def test_everything_that_is_no_domain_is_named_in_one_error():
    bad = ["user@example.test", "exa mple.test", "-bad.test", "a" * 64 + ".test", "[192.0.2.1]", "*"]
    with pytest.raises(PolicyError) as caught:
        forced_options.forced_domains({"domains": ["good.test", ""] + bad})
    assert len(caught.value.problems) == len(bad)
    for position, value in enumerate(bad, 3):
        assert any(
            problem.startswith("domains #%d must be a domain name" % position) and value[:60] in problem
            for problem in caught.value.problems
        )


def test_duplicates_that_contradict_each_other_name_both_places():
    wishes = [
        {"domain": "b\u00fccher.test"},
        {"domain": "a.test"},
        {"domain": "XN--BCHER-KVA.TEST.", "direction": "both", "state": "absent"},
    ]
    with pytest.raises(PolicyError) as caught:
        options.policy_document({"forced_tls_domains": wishes})
    assert caught.value.problems == (
        "forced_tls_domains #1 and #3 both mean xn--bcher-kva.test and contradict each other: state",
    )


@pytest.mark.parametrize(("given", "canonical"), ADDRESSES)
def test_addresses_in_many_spellings(given, canonical):
    if canonical is not None:
        assert listener_address(given) == canonical
        return
    with pytest.raises(PolicyError) as caught:
        listener_address(given)
    assert 'got "%s": ' % given in str(caught.value)


def test_one_listener_in_two_spellings_is_one_listener():
    policy = Policy((Listener("[::]:25", True, "none"),), StartTls(True, True))
    for spelling in ("[::]:25", "[0:0:0:0:0:0:0:0]:25", "[::0]:25"):
        assert edit.put_listener(policy, Listener(listener_address(spelling), enabled=True)) is policy
    mapped = edit.put_listener(policy, Listener(listener_address("[::ffff:192.0.2.1]:25")))
    assert [listener.address for listener in mapped.listeners] == ["[::]:25", "[::ffff:192.0.2.1]:25"]
