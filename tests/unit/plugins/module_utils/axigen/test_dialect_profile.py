# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was learned of one AXIGEN: which documents are understood, and what rules can be held with them."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Policy
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    AuthRule,
    ForcedTlsDomain,
    OpaqueRule,
    RelayTlsRule,
)
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import capability, dialect, profile
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import script as language
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rule_edit import edit_rules
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rules import RuleReader
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import NotSupported

DOCUMENT = {
    "format": 1,
    "server_version": "10.5.12",
    "plain_auth_variable": "clearTypes",
    "tls_auth_variable": "TlsTypes",
    "no_authentication": "Nothing ",
    "recipient_domain_variable": "toDomain",
    "equals_test": "sameText",
    "encryption_test": "sameWord",
    "mechanisms": {"PLAIN": "Pl", "cram-md5": "cram"},
    "script_versions": {"TLSv1.3": "TLS13", "TLSv1": "tls1"},
    "encrypted_after_starttls": True,
    "relay_ssl": "required",
    "relay_ssl_variable": "useSsl",
}

RULES = (
    AuthRule("a", "plain", ()),
    AuthRule("b", "tls", ("CRAM-MD5", "PLAIN")),
    ForcedTlsDomain("c", "a.test", "TLS, please"),
    RelayTlsRule("d", "encrypt", ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")),
)

TEXT = """event onEhlo {
\tcall (a);
\tcall (b);
}

event onRcptTo {
\tcall (c);
}

event onRelay {
\tcall (d);
}

method a {
\tset (clearTypes, "Nothing ");
}

method b {
\tset (TlsTypes, "cram Pl ");
}

method c {
\tif (
\t\tallOf (
\t\t\tsameWord (isSSLConnection, "no"),
\t\t\tsameText (toDomain, "a.test")
\t\t)
\t) {
\t\tset (smtpAction, "reject");
\t\tset (smtpExplanation, "TLS, please");
\t}
}

method d {
\tset (useSsl, "yes");
\tset (allowedSSLVersions, "tls1 tls11 tls12 TLS13 ");
}
"""


def learned(**changes):
    """The profile with a document like DOCUMENT; None takes a key out."""
    document = {k: v for k, v in {**DOCUMENT, **changes}.items() if v is not None}
    return profile.with_document(dialect.profile("auto", "10.5.12"), document)


def test_all_of_it():
    found = learned()
    assert (found.name, found.verified) == ("axigen", False)
    assert (found.plain_auth_var, found.tls_auth_var, found.rcpt_domain_var) == ("clearTypes", "TlsTypes", "toDomain")
    assert (found.equals_test, found.encryption_test, found.auth_none) == ("sameText", "sameWord", "Nothing ")
    assert found.mechanisms == ("CRAM-MD5", "PLAIN")
    assert found.ssl_after_starttls is True
    assert (found.relay.ssl, found.relay.ssl_var) == ("required", "useSsl")


@pytest.mark.parametrize("nothing", [None, {}])
def test_no_document(nothing):
    assert profile.with_document(dialect.AXIGEN, nothing) is dialect.AXIGEN


def test_a_document_without_names_knows_no_more_than_the_sources():
    found = profile.with_document(dialect.AXIGEN, {"format": 1})
    assert (found.plain_auth_var, found.auth_none, found.rcpt_domain_var, found.ssl_after_starttls) == (None,) * 4
    assert found.relay == dialect.AXIGEN.relay
    assert found.version_names == dialect.AXIGEN.version_names
    # Which words mechanisms have is in no source: with a document, unknown is unknown.
    assert found.mechanisms == ()


def test_it_means_nothing_to_the_bundled_server():
    assert profile.with_document(dialect.profile("auto", "10.6.30-postern"), DOCUMENT) is dialect.POSTERN
    (note,) = profile.notes(profile.checked(DOCUMENT), dialect.POSTERN, "10.6.30-postern")
    assert "not used" in note


@pytest.mark.parametrize("version, warned", [("10.5.1", 0), ("10.5", 0), ("", 0), ("10.6.12", 1), ("11.5.12", 1)])
def test_another_version_is_worth_a_warning(version, warned):
    assert len(list(profile.notes(profile.checked(DOCUMENT), learned(), version))) == warned


def test_words_of_versions():
    # The documented words stay where the server's own ones agree with them.
    assert dict(learned().version_names) == {
        "TLSv1": "tls1", "TLSv1.1": "tls11", "TLSv1.2": "tls12", "TLSv1.3": "TLS13",
    }  # fmt: skip
    # A server that spells one of them otherwise, or uses the word for something else, is not trusted with the others.
    assert dict(learned(script_versions={"TLSv1.2": "new"}).version_names) == {"TLSv1.2": "new"}
    assert dict(learned(script_versions={"TLSv1": "tls12"}).version_names) == {"TLSv1": "tls12"}
    assert learned(script_versions={"TLSv1.2": "new"}).script_versions(["NEW", "tls12"]) == ("TLSv1.2", "tls12")


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"format": None}, "dialect_profile.format is missing; it must be 1"),
        ({"format": 2}, 'format must be 1, the only one that this release knows; got "2"'),
        ({"format": True}, "format must be 1"),
        ({"plain_auth_var": "x"}, 'there is no key "plain_auth_var"; keys are format, server_version'),
        ({"plain_auth_variable": "a b"}, 'plain_auth_variable must be a name of the policy script'),
        ({"plain_auth_variable": "1a"}, 'plain_auth_variable must be a name of the policy script'),
        ({"tls_auth_variable": True}, "tls_auth_variable must be a name of the policy script (a letter, then letters, "
                                      "digits, _); got the boolean true"),
        ({"equals_test": 'x"'}, "equals_test must be a name"),
        (
            {"mechanisms": {"PLAIN": "Nil"}, "no_authentication": "nil "},
            'mechanisms has the word "Nil" for PLAIN, which is no_authentication',
        ),
        ({"tls_auth_variable": "CLEARTYPES"}, "tls_auth_variable cannot be CLEARTYPES, which is plain_auth_variable"),
        ({"recipient_domain_variable": "smtpaction"}, "recipient_domain_variable cannot be smtpaction, whose meaning"),
        ({"no_authentication": False}, "no_authentication must be the text that stands in the policy script; got the "
                                       "boolean false: quote it"),
        ({"no_authentication": 'a"b'}, "no_authentication must not hold a double quote"),
        ({"no_authentication": "%x%"}, "no_authentication must not hold a double quote, a percent sign"),
        ({"mechanisms": ["PLAIN"]}, "mechanisms must be a dictionary like {PLAIN: plain}; got a list"),
        ({"mechanisms": {"PLAIN": "a b"}}, 'mechanisms has "a b" for PLAIN, and no word of a policy script can'),
        ({"mechanisms": {"PLAIN": ""}}, "mechanisms has"),
        ({"mechanisms": {"PLAIN": "x", "LOGIN": "X"}}, 'mechanisms has the word "X" for PLAIN and for LOGIN'),
        ({"mechanisms": {"all": "x"}}, '"all" is not a mechanism'),
        ({"script_versions": {"tls1_2": "tls12"}}, 'script_versions has no version "tls1_2"; there are SSLv2'),
        ({"encrypted_after_starttls": "yes"}, 'encrypted_after_starttls must be true, false or null, without quotes'),
        ({"relay_ssl": "yes"}, 'relay_ssl must be required or implicit or null; got "yes"'),
        ({"server_version": 10.5}, "server_version must be a text like 10.6.30; got the number 10.5"),
    ],
)  # fmt: skip
def test_what_is_no_profile(changes, said):
    with pytest.raises(PolicyError) as caught:
        learned(**changes)
    assert said in str(caught.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(PolicyError) as caught:
        learned(format=3, equals_test="", relay_ssl=1)
    assert len(caught.value.problems) == 3


def test_it_is_no_dictionary():
    with pytest.raises(PolicyError, match="must be a dictionary, as the playbook learn.yml writes it; got a list"):
        profile.checked([DOCUMENT])


# --- rules with it --------------------------------------------------------------------------------


def test_rules_are_written_with_the_learned_names_and_read_back():
    reader = RuleReader(language.parse(""), learned())
    written = edit_rules(reader, Policy(), Policy(rules=RULES)).script
    assert written.text.strip() == TEXT.strip()
    assert RuleReader(written, learned()).rules() == RULES
    # Without the profile, or with one in which a single name is another one, they are nobody's.
    assert {type(rule) for rule in RuleReader(written, dialect.AXIGEN).rules()} == {OpaqueRule}
    other = RuleReader(written, learned(encryption_test="sameText")).rules()
    assert [rule.name for rule in other if isinstance(rule, OpaqueRule)] == ["c"]


def refused(rule, found):
    """The refusal of one new rule."""
    before = RuleReader(language.parse(""), found)
    with pytest.raises((NotSupported, PolicyError)) as caught:
        capability.check(Policy(), Policy(rules=(rule,)), found, ())
        edit_rules(before, Policy(), Policy(rules=(rule,)))
    return str(caught.value)


@pytest.mark.parametrize(
    "key, rule, said",
    [
        ("plain_auth_variable", RULES[0], "the authentication types of plain connections"),
        ("tls_auth_variable", RULES[1], "the authentication types of tls connections"),
        ("no_authentication", RULES[0], "no authentication"),
        ("recipient_domain_variable", RULES[2], "the domain of the recipient"),
        ("script_versions", RULES[3], "the protocol version TLSv1 (known are TLSv1.1, TLSv1.2, TLSv1.3)"),
        ("mechanisms", RULES[1], "mechanism CRAM-MD5, PLAIN; it has none"),
    ],
)
def test_a_name_that_is_not_known_is_refused_with_the_way_out(key, rule, said):
    message = refused(rule, learned(**{key: None}))
    assert "no known script name for " + said in message
    assert "securemail.smtp.learn" in message
    assert "key %s" % key in message


def test_only_what_is_needed_must_be_known():
    found = learned(no_authentication=None, plain_auth_variable=None, recipient_domain_variable=None)
    edited = edit_rules(RuleReader(language.parse(""), found), Policy(), Policy(rules=(RULES[1],)))
    assert 'set (TlsTypes, "cram Pl ");' in edited.script.text


def test_the_relay_requirement():
    rule = RelayTlsRule("d", "encrypt")
    message = refused(rule, learned(relay_ssl=None))
    assert "it is not known what useSsl does" in message
    assert "relay_ssl: required (or implicit) in dialect_profile" in message
    message = refused(rule, learned(relay_ssl="implicit"))
    assert "useSsl opens TLS from the first byte" in message
    assert "no mail would leave" in message
    for meaning in ("required", "implicit", None):
        found = learned(relay_ssl=meaning)
        may = edit_rules(RuleReader(language.parse(""), found), Policy(), Policy(rules=(RelayTlsRule("d", "may"),)))
        assert 'set (allowStartTLS, "yes");' in may.script.text


def test_domains_of_mail_that_goes_out_stay_refused():
    message = refused(ForcedTlsDomain("o", "a.test", None, "outbound", level="encrypt"), learned())
    assert "they cannot be learned either" in message
    assert "smtp_relay_tls" in message
