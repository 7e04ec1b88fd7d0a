# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names: of mechanisms, of rules, and the explanations that rules give."""

from __future__ import annotations

import itertools
import re

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError, shown
from ansible_collections.securemail.smtp.plugins.module_utils._policy.mechanism import mechanisms
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule_name import (
    default_reject_message,
    forced_domain_rule_name,
    group_names,
    is_reserved,
    reject_message,
    rule_name,
)

# --- mechanisms ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ()),
        ((), ()),
        (["PLAIN"], ("PLAIN",)),
        (["plain", "Login"], ("PLAIN", "LOGIN")),
        (["LOGIN", "PLAIN", "SCRAM-SHA-256"], ("SCRAM-SHA-256", "PLAIN", "LOGIN")),
        (["PLAIN", "plain", " PLAIN "], ("PLAIN",)),
        ("PLAIN, LOGIN", ("PLAIN", "LOGIN")),
        ("cram-md5", ("CRAM-MD5",)),
        (["X-OWN", "A_NEW", "PLAIN"], ("PLAIN", "A_NEW", "X-OWN")),
        ({"LOGIN", "PLAIN"}, ("PLAIN", "LOGIN")),
        (["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"], ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")),
    ],
)
def test_mechanisms_are_a_set_in_fixed_order(given, expected):
    assert mechanisms(given) == expected
    assert mechanisms(list(expected)[::-1]) == expected


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (None, "or [] for no authentication; got nothing"),
        (True, "got the boolean true"),
        (False, "got the boolean false"),
        ({}, "got a dictionary"),
        ("", "write [] for no authentication"),
        ([""], "write [] for no authentication"),
        (["none"], "write [] for no authentication"),
        (["()"], "write [] for no authentication"),
        (["all"], "name the mechanisms that are wanted"),
        ([None], "got nothing"),
        ([False], "got the boolean false"),
        ([256], "got the number 256"),
        (["PLAIN LOGIN"], "is not a mechanism name"),
        (["PL\u0131AIN"], "is not a mechanism name"),
        (["PLAIN\r\n"], "is not a mechanism name"),
        (["A" * 21], "20 at most"),
    ],
)
def test_what_is_no_mechanism_is_refused(given, advice):
    with pytest.raises(PolicyError) as caught:
        mechanisms(given, "mechanisms")
    assert str(caught.value).startswith("mechanisms")
    assert advice in str(caught.value)


# --- names of rules -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", ["disableAUTH_on_non_SSL", "enableAUTH_on_SSL", "a", "A1", "WAX", "wa1", "x" * 64, " padded "]
)
def test_a_rule_name_is_an_identifier(given):
    assert rule_name(given) == given.strip()


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (None, "got nothing"),
        (True, "got the boolean true"),
        (7, "got the number 7"),
        ("", "a letter followed by"),
        ("1rule", "a letter followed by"),
        ("_rule", "a letter followed by"),
        ("my-rule", "a letter followed by"),
        ("my rule", "a letter followed by"),
        ("rule;call x", "a letter followed by"),
        ("rule\n", "a letter followed by"),
        ("r\u00e9gle", "a letter followed by"),
        ("x" * 65, "64 characters at most; got 65"),
        ("WA_Acceptance_basic", "belongs to the server"),
        ("wa_own", "belongs to the server"),
        ("Call", "is a word of the policy script"),
        ("ANYOF", "is a word of the policy script"),
    ],
)
def test_what_is_no_rule_name_is_refused(given, advice):
    with pytest.raises(PolicyError) as caught:
        rule_name(given, "auth_rules #1: name")
    assert str(caught.value).startswith("auth_rules #1: name")
    assert advice in str(caught.value)


def test_every_domain_has_a_text_of_its_own():
    assert default_reject_message("*") == "Accepting only secure delivery (STARTTLS)"


def test_reserved_names():
    assert is_reserved("WA_x") and is_reserved("Wa_x")
    assert not is_reserved("WAx") and not is_reserved("xWA_")


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        ("mydomain.com", "allow_only_tls_for_mydomain_com"),
        ("a.b.c.test", "allow_only_tls_for_a_b_c_test"),
        ("localhost", "allow_only_tls_for_localhost"),
        ("1.2.3.4.test", "allow_only_tls_for_1_2_3_4_test"),
    ],
)
def test_the_name_for_a_domain_is_readable(domain, name):
    assert forced_domain_rule_name(domain) == name


def test_two_domains_never_share_a_name():
    domains = [
        "a.b.test",
        "a-b.test",
        "a.b-test",
        ".a.b.test",
        ".a-b.test",
        "xn--bcher-kva.test",
        "xn.bcher.kva.test",
        "x" * 60 + ".test",
        "x" * 60 + ".tesu",
        "y." + "x" * 60 + ".test",
        ".".join(["a" * 49] * 5),
        "every.domain",
        "domains",
        "domains.0a1b2c3d",
        "a_b_test_outbound".replace("_", "."),
        "*",
    ]
    names = [forced_domain_rule_name(domain) for domain in domains]
    others = [forced_domain_rule_name(domain, "outbound") for domain in domains]
    others += [forced_domain_rule_name(domain, "inbound", True) for domain in domains]
    others += [name for direction in ("inbound", "outbound") for name in itertools.islice(group_names(direction, "x"), 3)]
    assert len(set(names + others)) == len(names + others)
    assert [rule_name(name) for name in others] == others
    assert len({name.lower() for name in names}) == len(domains)
    assert [rule_name(name) for name in names] == names
    assert names[1].startswith("allow_only_tls_for_a_b_test_")
    assert re.fullmatch("[0-9a-f]{8}", names[1].rpartition("_")[2])
    assert names[-1] == "allow_only_tls_for_every_domain"
    assert forced_domain_rule_name("fax.test", "outbound", True) == "tls_exception_for_fax_test_outbound"


# --- explanations -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        "Accepting only secure delivery (STARTTLS) for mydomain.com",
        "550 TLS: required",
        "TLS required # see wiki",
        "it's needed; {really} <now>",
        "x",
        "x" * 400,
    ],
)
def test_an_explanation_is_kept(given):
    assert reject_message(given) == given
    assert reject_message("  %s " % given) == given


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (None, "got nothing"),
        (550, "got the number 550, quote it"),
        (True, "got the boolean true"),
        ("", "must not be empty"),
        ("  ", "must not be empty"),
        ('say "TLS"', "it holds a double quote"),
        ("%domain% needs TLS", "it holds a percent sign"),
        ("back\\slash", "it holds a backslash"),
        ("one\r\ntwo", "it holds a line feed, a carriage return"),
        ("nul\0", "it holds a NUL"),
        ("a\tb", "it holds a tab"),
        ("Verschl\u00fcsselung n\u00f6tig", 'it holds "\u00f6", "\u00fc"'),
        ("\x7f", 'it holds "\\x7f"'),
        ("x" * 401, "400 characters at most; got 401"),
    ],
)
def test_what_would_break_a_script_or_a_reply_is_refused(given, advice):
    with pytest.raises(PolicyError) as caught:
        reject_message(given, "reject_message")
    assert str(caught.value).startswith("reject_message must")
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ("mydomain.com", "Accepting only secure delivery (STARTTLS) for mydomain.com"),
        (".cloud.test", "Accepting only secure delivery (STARTTLS) for subdomains of cloud.test"),
    ],
)
def test_the_explanation_when_nobody_gave_one(domain, message):
    assert default_reject_message(domain) == message
    assert reject_message(default_reject_message(domain)) == message


def test_the_longest_domain_still_has_an_explanation():
    domain = ".".join(["a" * 63] * 3 + ["a" * 61])
    assert reject_message(default_reject_message("." + domain))


# --- messages -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", '"plain"'),
        ("b\u00fccher", '"b\u00fccher"'),
        ("a\r\nb\0", '"a\\r\\nb\\x00"'),
        ("\u202etest", '"\\u202etest"'),
        (["x"], "\"['x']\""),
    ],
)
def test_a_value_in_a_message_stays_on_one_line(value, text):
    assert shown(value) == text


def test_problems_are_kept_one_by_one():
    error = PolicyError("one", "two")
    assert error.problems == ("one", "two")
    assert str(error) == "one; two"
