# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules for mail that goes out: the one form in which each is written and read, and what stays opaque."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.domain import domain_name
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    AuthRule,
    ForcedTlsDomain,
    OpaqueRule,
    RelayTlsRule,
)
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import AXIGEN, POSTERN
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.refusals import check_outbound
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rule_forms import (
    read_rule,
    statements,
)
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rules import RuleReader
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script import parse
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script_edit import ScriptEdit
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import NotSupported


def outbound(domain="bank.test", level="encrypt", versions=None, match=None, name="m"):
    return ForcedTlsDomain(name, domain, None, "outbound", True, level, versions, match)


def read(body, dialect=POSTERN):
    return read_rule(parse("method m { %s }" % body).method("m"), True, dialect)


def written(rule, dialect=POSTERN):
    edit = ScriptEdit(parse(""))
    edit.put_method(rule.name, statements(rule, dialect))
    return edit.result().text


RULES = [
    (RelayTlsRule("m", "encrypt"), 'set (sslEnabled, "yes");'),
    (
        RelayTlsRule("m", "encrypt", ("TLSv1.1", "TLSv1.2")),
        'set (sslEnabled, "yes");\n\tset (allowedSSLVersions, "tls11 tls12 ");',
    ),
    (RelayTlsRule("m", "may"), 'set (allowStartTLS, "yes");'),
    (RelayTlsRule("m", "may", ("TLSv1",)), 'set (allowStartTLS, "yes");\n\tset (allowedSSLVersions, "tls10 ");'),
]
KEY = ":".join(["A1"] * 32)
LEVELLED = [
    (RelayTlsRule("m", "verify"), 'set (sslEnabled, "yes");\n\tset (tlsLevel, "verify");'),
    (
        RelayTlsRule("m", "secure", ("TLSv1.3",), True, ("x.test",)),
        'set (sslEnabled, "yes");\n\tset (tlsLevel, "secure");\n\tset (allowedSSLVersions, "tls13 ");\n\tset (tlsMatch, "x.test ");',
    ),
    (
        RelayTlsRule("m", "fingerprint", fingerprints=(KEY,)),
        'set (sslEnabled, "yes");\n\tset (tlsLevel, "fingerprint");\n\tset (tlsFingerprints, "%s ");' % KEY,
    ),
]


@pytest.mark.parametrize("rule, body", LEVELLED)
def test_a_level_for_all_mail_is_written_and_read_in_one_form(rule, body):
    assert written(rule) == "method m {\n\t%s\n}\n" % body
    assert read(body) == rule
    assert read(body.replace(KEY + " ", "sha256:" + KEY.replace(":", "").lower() + ", " + KEY)) == rule
    # A level begins without what stands in front of it.
    backwards = "\n".join(body.split("\n")[::-1])
    assert read(backwards) == (rule if rule.level == "verify" else None)


@pytest.mark.parametrize("rule, body", RULES)
def test_relay_tls_is_written_and_read_in_one_form(rule, body):
    assert written(rule) == "method m {\n\t%s\n}\n" % body
    assert read(body) == rule
    # Order, case and blanks are nobody's wish.
    mixed = " ".join(line.strip().replace("set (", "SET(").upper() for line in body.split("\n")[::-1])
    assert read(mixed.replace("TLS1", "tls1")) == rule


@pytest.mark.parametrize(
    "rule, body",
    [
        (outbound(), 'set (tlsLevel, "encrypt");'),
        (outbound(level="verify"), 'set (tlsLevel, "verify");'),
        (
            outbound("xn--bcher-kva.test", "secure", ("TLSv1.3",), ("a.test", ".b.test")),
            'set (tlsLevel, "secure");\n\t\tset (allowedSSLVersions, "tls13 ");\n'
            '\t\tset (tlsMatch, "a.test .b.test ");',
        ),
    ],
)
def test_outbound_domain_is_written_and_read_in_one_form(rule, body):
    text = 'method m {\n\tif (\n\t\tallOf (\n\t\t\tisCase (relayDomain, "%s")\n\t\t)\n\t) {\n\t\t%s\n\t}\n}\n'
    assert written(rule) == text % (rule.domain, body)
    reader = RuleReader(parse("event onRelay { call (m); }\n" + written(rule)), POSTERN)
    assert reader.rules() == (rule,)


@pytest.mark.parametrize(
    "body",
    [
        'if (isCase (relayDomain, "Bank.Test.")) { set (tlsLevel, "Encrypt"); }',
        'if (anyOf (ISCASE (RELAYDOMAIN, "bank.test"))) { set (TLSLEVEL, "encrypt"); }',
    ],
)
def test_outbound_domain_by_hand(body):
    assert read(body) == outbound()


@pytest.mark.parametrize(
    "body",
    [
        # More or less than one switch.
        "",
        'set (allowedSSLVersions, "tls12 ");',
        'set (sslEnabled, "no");',
        'set (allowStartTLS, "no");',
        'set (sslEnabled, "%x%");',
        'set (sslEnabled, "yes"); set (allowStartTLS, "yes");',
        'set (sslEnabled, "yes"); set (sslEnabled, "yes");',
        'set (sslEnabled, "yes"); set (remoteSmtpPort, "2525");',
        'set (sslEnabled, "yes"); call (other);',
        'if (isCase (authUser, "x")) { set (sslEnabled, "yes"); }',
        # Levels that are said in another way, and peers that nobody could be.
        'set (sslEnabled, "yes"); set (tlsLevel, "encrypt");',
        'set (sslEnabled, "yes"); set (tlsLevel, "dane");',
        'set (sslEnabled, "yes"); set (tlsLevel, "fingerprint");',
        'set (sslEnabled, "yes"); set (tlsLevel, "fingerprint"); set (tlsFingerprints, "A1:A1");',
        'set (sslEnabled, "yes"); set (tlsLevel, "verify"); set (tlsMatch, "x.test");',
        'set (allowStartTLS, "yes"); set (tlsLevel, "verify");',
        'if (isCase (relayDomain, "bank.test")) { set (tlsLevel, "fingerprint"); }',
        'if (isCase (relayDomain, "bank.test")) { set (tlsMatch, "x.test"); set (tlsLevel, "secure"); }',
        # Sets of versions that nobody can ask for.
        'set (sslEnabled, "yes"); set (allowedSSLVersions, "");',
        'set (sslEnabled, "yes"); set (allowedSSLVersions, "tls11 tls13");',
        'set (sslEnabled, "yes"); set (allowedSSLVersions, "ssl3 tls10");',
        'set (sslEnabled, "yes"); set (allowedSSLVersions, "tls12 tls14");',
        'set (sslEnabled, "yes"); set (allowedSSLVersions, "TLSv1.2");',
        # Domains: another test, another level, more conditions.
        'if (isCase (relayDomain, "bank.test")) { set (tlsLevel, "mayhap"); }',
        'if (isCase (relayDomain, "bank.test")) { set (tlsLevel, "none"); }',
        'if (isCase (relayDomain, "bank.test")) { set (tlsLevel, "dane"); }',
        'if (isCase (relayDomain, "bank.test")) { set (tlsLevel, ""); }',
        'if (isCase (relayDomain, "bank.test")) { set (allowedSSLVersions, "tls12"); }',
        'if (isCase (relayDomain, "bank.test")) { set (tlsLevel, "verify"); set (allowedSSLVersions, "tls1 "); }',
        'if (isCase (relayDomain, "bank.test")) { set (tlsLevel, "encrypt"); set (tlsMatch, "bank.test"); }',
        'if (isCase (relayDomain, "bank.test")) { set (tlsLevel, "secure"); set (tlsMatch, " "); }',
        'if (isCase (relayDomain, "bank.test")) { set (tlsLevel, "encrypt"); set (sslEnabled, "yes"); }',
        'if (isCase (relayDomain, "bank.test")) { set (tlsLevel, "encrypt"); } else { set (tlsLevel, "may"); }',
        'if (isCase (relayDomain, ".bank.test")) { set (tlsLevel, "encrypt"); }',
        'if (isCase (relayDomain, "[192.0.2.1]")) { set (tlsLevel, "encrypt"); }',
        'if (isCase (relayDomain, "")) { set (tlsLevel, "encrypt"); }',
        'if (contains (relayDomain, "bank.test")) { set (tlsLevel, "encrypt"); }',
        'if (isCase (rcptTo, "bank.test")) { set (tlsLevel, "encrypt"); }',
        'if (anyOf (isCase (relayDomain, "a.test"), isCase (relayDomain, "b.test"))) { set (tlsLevel, "may"); }',
        'if (allOf (isCase (relayDomain, "a.test"), isCase (authUser, "x"))) { set (tlsLevel, "encrypt"); }',
    ],
)
def test_everything_else_is_opaque(body):
    assert read(body) is None


@pytest.mark.parametrize(
    "text",
    ["a.b", "a1.b-c.test", "1.a", "a.b.c.d.e", "a.b.c.d.e.f", "xn--bcher-kva.test", "a--b.test", "ab--c.test",
     "test", "a.test-", "-a.test", "a-.test", "a..test", "a.1", "a.1b", "a_b.test", "A.test", "a.test\n", " a.test",
     "a.test.", "a" * 63 + ".test", "a" * 64 + ".test", ".".join(["a" * 63] * 3) + ".test", "a.tes-t", "a." + "t" * 40],
)  # fmt: skip
def test_domain_is_read_as_a_wish_for_it_is(text):
    try:
        expected = domain_name(text)
    except PolicyError:
        expected = None
    rule = read('if (isCase (relayDomain, "%s")) { set (tlsLevel, "encrypt"); }' % text)
    assert (rule and rule.domain) == expected


# --- where a rule is called from ------------------------------------------------------------------

BOTH = 'method m { set (allowStartTLS, "yes"); }\n'


def test_disabled_rules_belong_to_their_event():
    reader = RuleReader(parse(BOTH + written(outbound(name="d"))), POSTERN)
    assert [(rule.name, rule.event, rule.enabled) for rule in reader.rules()] == [
        ("m", "relay", False),
        ("d", "relay", False),
    ]


@pytest.mark.parametrize(
    "events",
    [
        "event onDeliveryFailure { call (m); }",
        "event onEhlo { call (m); }\nevent onRelay { call (m); }",
        "event onRelay { call (m); call (n); }\nmethod n { call (m); }",
        'event onRelay { call (m); if (isCase (authUser, "x")) { call (m); } }',
    ],
)
def test_a_method_that_is_called_from_elsewhere_too_is_opaque(events):
    rules = RuleReader(parse(events + "\n" + BOTH), POSTERN).rules()
    assert {type(rule) for rule in rules if rule.name == "m"} == {OpaqueRule}


# --- a server whose names are not known -----------------------------------------------------------


def test_what_is_not_known_is_not_recognised():
    assert read('set (sslEnabled, "yes");', AXIGEN) is None
    assert read('if (isCase (relayDomain, "bank.test")) { set (tlsLevel, "encrypt"); }', AXIGEN) is None
    assert read('set (allowStartTLS, "yes"); set (allowedSSLVersions, "tls12");', AXIGEN) == RelayTlsRule(
        "m", "may", ("TLSv1.2",)
    )


def test_what_is_not_known_is_not_written():
    may = RelayTlsRule("m", "may", ("TLSv1.2",))
    assert statements(may, AXIGEN) == statements(may, POSTERN)
    with pytest.raises(NotSupported, match="not known what sslEnabled does.*WebAdmin.*Level may"):
        statements(RelayTlsRule("m", "encrypt"), AXIGEN)
    with pytest.raises(NotSupported, match="domain that mail is relayed to"):
        statements(outbound(), AXIGEN)
    with pytest.raises(NotSupported, match="^manage: "):
        check_outbound("manage", AXIGEN)
    check_outbound("manage", POSTERN)


def test_what_has_no_content_is_not_written():
    with pytest.raises(NotSupported, match="opaque"):
        statements(OpaqueRule("m", "relay"), POSTERN)
    assert read('set (plainConnAuthTypes, "none");') == AuthRule("m", "plain", ())
