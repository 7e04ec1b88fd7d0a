# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules for one domain, its subdomains, every one and many: the form that is written, and what else is read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    ForcedTlsDomain,
    ForcedTlsGroup,
)
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import AXIGEN, POSTERN
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rule_forms import read_rule, statements
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rules import RuleReader
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script import parse
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script_edit import ScriptEdit
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import NotSupported

#: A server of which as much is known as can be learned.
LEARNED = replace(AXIGEN, rcpt_domain_var="rcptDomain", ssl_after_starttls=True)
UMLAUTS = "Gerät wird bis Ostern ersetzt, Ticket 88 (Müller)"


def inbound(domain="bank.test", message="TLS, please", level=None, **noted):
    return ForcedTlsDomain("m", domain, message if level is None else None, "inbound", True, level, **noted)


def outbound(domain="bank.test", level="encrypt", versions=None, match=None, **noted):
    return ForcedTlsDomain("m", domain, None, "outbound", True, level, versions, match, **noted)


def written(rule, dialect=POSTERN):
    edit = ScriptEdit(parse(""))
    edit.put_method(rule.name, statements(rule, dialect))
    return edit.result().text


def read(body, dialect=POSTERN):
    return read_rule(parse("method m { %s }" % body).method("m"), True, dialect)


FORMS = [
    (
        inbound(".gov.test"),
        'method m {\n\tif (\n\t\tallOf (\n\t\t\tisSubdomainOf (rcptDomain, "gov.test")\n\t\t)\n\t) {\n'
        '\t\tset (tlsLevel, "encrypt");\n\t\tset (tlsExplanation, "TLS, please");\n\t}\n}\n',
    ),
    (inbound("*"), 'method m {\n\tset (tlsLevel, "encrypt");\n\tset (tlsExplanation, "TLS, please");\n}\n'),
    (
        inbound("fax.test", level="may", reason=UMLAUTS, until="2026-12-31"),
        'method m {\n\tif (\n\t\tallOf (\n\t\t\tisCase (rcptDomain, "fax.test")\n\t\t)\n\t) {\n'
        '\t\tset (tlsLevel, "may");\n\t\tset (tlsReason, "%s");\n\t\tset (tlsUntil, "2026-12-31");\n\t}\n}\n' % UMLAUTS,
    ),
    (
        outbound(".gov.test", "secure", None, (".gov.test",)),
        'method m {\n\tif (\n\t\tallOf (\n\t\t\tisSubdomainOf (relayDomain, "gov.test")\n\t\t)\n\t) {\n'
        '\t\tset (tlsLevel, "secure");\n\t\tset (tlsMatch, ".gov.test ");\n\t}\n}\n',
    ),
    (outbound("*", "encrypt"), 'method m {\n\tset (tlsLevel, "encrypt");\n}\n'),
    (
        outbound("fax.test", "none", reason="no TLS at all"),
        'method m {\n\tif (\n\t\tallOf (\n\t\t\tisCase (relayDomain, "fax.test")\n\t\t)\n\t) {\n'
        '\t\tset (tlsLevel, "none");\n\t\tset (allowStartTLS, "no");\n\t\tset (tlsReason, "no TLS at all");\n\t}\n}\n',
    ),
    (
        ForcedTlsGroup("m", ("a.test", "b.test"), None),
        'method m {\n\tif (\n\t\tallOf (\n\t\t\tisCase (isSSLConnection, "no")\n\t\t)\n\t) {\n\t\tif (\n\t\t\tanyOf (\n'
        '\t\t\t\tisCase (rcptDomain, "a.test"),\n\t\t\t\tisCase (rcptDomain, "b.test")\n\t\t\t)\n\t\t) {\n'
        '\t\t\tset (smtpAction, "reject");\n'
        '\t\t\tset (smtpExplanation, "Accepting only secure delivery (STARTTLS) for %rcptDomain%");\n\t\t}\n\t}\n}\n',
    ),
]


@pytest.mark.parametrize("rule, text", FORMS)
def test_each_rule_has_one_form(rule, text):
    assert written(rule) == text
    event = "onRcptTo" if rule.direction == "inbound" else "onRelay"
    assert RuleReader(parse("event %s { call (m); }\n%s" % (event, text)), POSTERN).rules() == (rule,)


def test_every_domain_where_no_level_is_known():
    """The form that WebAdmin can show; the bundled server reads it as well."""
    text = written(inbound("*"), LEARNED)
    assert "tlsLevel" not in text and text.count("isSSLConnection") == 1
    assert read_rule(parse(text).method("m"), True, LEARNED) == inbound("*")
    assert read_rule(parse(text).method("m"), True, POSTERN) == inbound("*")


@pytest.mark.parametrize(
    "rule, said",
    [
        (inbound(".gov.test"), "no known test for subdomains.*never match.*Name each subdomain"),
        (inbound("fax.test", level="may", reason="x"), "nothing can be excepted.*No key of dialect_profile"),
        (inbound("*", level="may"), "nothing can be excepted"),
        (inbound("fax.test", reason="x"), "reason of a rule and its last day.*Leave reason and until out"),
        (outbound("*"), "domain that mail is relayed to"),
        (outbound(".gov.test"), "domain that mail is relayed to"),
    ],
)
def test_what_has_no_name_is_refused(rule, said):
    with pytest.raises(NotSupported, match=said):
        statements(rule, LEARNED)
    with pytest.raises(NotSupported, match="recipient_domain_variable|known"):
        statements(rule, AXIGEN)
    assert statements(rule, POSTERN)


def test_a_compact_group_is_read_where_the_variable_is_known():
    group = ForcedTlsGroup("m", ("a.test", "b.test"), "TLS, please")
    assert read_rule(parse(written(group, LEARNED)).method("m"), True, LEARNED) == group
    assert read_rule(parse(written(group, LEARNED)).method("m"), True, AXIGEN) is None


@pytest.mark.parametrize(
    "body",
    [
        # Forms that mean nearly the same: nobody's wish says which.
        'if (isSubdomainOf (rcptDomain, "gov.test")) { set (tlsLevel, "secure"); set (tlsExplanation, "x"); }',
        'if (isSubdomainOf (rcptDomain, ".gov.test")) { set (tlsLevel, "encrypt"); set (tlsExplanation, "x"); }',
        'if (isSubdomainOf (rcptDomain, "Gov.Test.")) { set (tlsLevel, "encrypt"); set (tlsExplanation, "x"); }',
        'if (isCase (rcptDomain, "a.test")) { set (tlsLevel, "encrypt"); set (tlsExplanation, "x"); }',
        'if (isCase (rcptDomain, "a.test")) { set (tlsLevel, "none"); }',
        'if (isCase (rcptDomain, "a.test")) { set (tlsLevel, "may"); set (tlsExplanation, "x"); }',
        'if (isCase (rcptDomain, "a.test")) { set (tlsLevel, "may"); set (tlsReason, ""); }',
        'if (isCase (rcptDomain, "a.test")) { set (tlsLevel, "may"); set (tlsReason, "%rcptTo%"); }',
        'if (isCase (rcptDomain, "a.test")) { set (tlsLevel, "may"); set (tlsUntil, "31.12.2026"); }',
        'if (isCase (relayDomain, "a.test")) { set (tlsLevel, "none"); }',
        'if (isCase (relayDomain, "a.test")) { set (tlsLevel, "may"); set (allowStartTLS, "no"); }',
        'if (isCase (relayDomain, "a.test")) { set (tlsLevel, "none"); set (allowStartTLS, "no"); set (tlsMatch, "a"); }',
        'if (anyOf (isCase (relayDomain, "a.test"), isCase (relayDomain, "b.test"))) { set (tlsLevel, "may"); }',
        'if (anyOf (isCase (relayDomain, "a.test"), isCase (relayDomain, "A.test"))) { set (tlsLevel, "verify"); }',
        'if (anyOf (isCase (relayDomain, "a.test"), isCase (authUser, "b.test"))) { set (tlsLevel, "verify"); }',
        'if (allOf (isCase (relayDomain, "a.test"), isCase (relayDomain, "b.test"))) { set (tlsLevel, "verify"); }',
        'if (isCase (isSSLConnection, "no")) { set (smtpAction, "reject"); }',
        'if (isCase (isSSLConnection, "yes")) { set (smtpAction, "reject"); set (smtpExplanation, "x"); }',
        'if (isCase (isSSLConnection, "no")) { set (tlsLevel, "encrypt"); set (tlsExplanation, "x"); }',
        'set (tlsExplanation, "x");',
        'set (tlsLevel, "encrypt"); set (tlsExplanation, "x"); set (smtpAction, "accept");',
    ],
)
def test_what_is_nearly_a_form_is_left_alone(body):
    assert not isinstance(read(body), (ForcedTlsDomain, ForcedTlsGroup))


def test_every_domain_is_told_by_what_is_set_and_where_it_is_called():
    assert read('set (tlsLevel, "encrypt");') == outbound("*")
    assert read('set (tlsExplanation, "TLS, please"); set (tlsLevel, "encrypt");') == inbound("*")
    reader = RuleReader(parse('event onRcptTo { call (m); }\nmethod m { set (tlsLevel, "may"); }'), POSTERN)
    assert not isinstance(reader.rules()[0], ForcedTlsDomain)
