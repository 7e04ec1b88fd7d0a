# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rules for domains mean beside each other: exceptions that are none, rules without effect, limits, words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Policy, RelayHost
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    ForcedTlsDomain,
    ForcedTlsGroup,
    RelayTlsRule,
)
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import capability, effect
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import AXIGEN, POSTERN
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rule_edit import edit_rules
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rules import RuleReader
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script import parse
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.script_files import GENERATED, text

RELAY = RelayHost("smart.test", 587, "starttls", "verify")


def inbound(domain, level=None, name=None):
    return ForcedTlsDomain(name or "in_" + domain, domain, None if level else "TLS, please", "inbound", True, level)


def outbound(domain, level="encrypt", name=None, match=None, reason=None, fingerprints=None):
    name = name or "out_" + domain
    return ForcedTlsDomain(name, domain, None, "outbound", True, level, None, match, reason, None, fingerprints)


def named(rules):
    """The rules under names that a script can hold."""
    letters = str.maketrans(".*", "_a")
    return tuple(replace(rule, name=rule.name.translate(letters)) for rule in rules)


def plan(rules, relay=None, script=None, dialect=POSTERN, again=False):
    """Check the rules in this order and behind all others; the edit and its warnings."""
    reader = RuleReader(parse(text(GENERATED) if script is None else script), dialect)
    before = Policy(starttls=reader.starttls()[0], rules=reader.rules(), relay=reader.relay()[0])
    desired = replace(before, rules=before.rules + named(rules), relay=relay or before.relay)
    capability.check(before, desired, dialect, ())
    edited = edit_rules(reader, before, desired)
    changed = RuleReader(edited.script, dialect)
    effect.check(changed, before, edited.desired, reader if again else None)
    return edited, edited.warnings + effect.warnings(changed, before, edited.desired)


KEY = ":".join(["A1"] * 32)

FINE = [
    [outbound("*"), outbound(".gov.test", "secure"), outbound("old.gov.test", "may"), outbound("fax.test", "none")],
    [inbound("*"), inbound(".gov.test"), inbound("old.gov.test", "may"), inbound("bank.test")],
    [outbound("*", "may"), outbound("bank.test")],
    [outbound(".gov.test", "secure", match=("x.test",)), outbound("a.gov.test", "secure")],
    [RelayTlsRule("all", "verify"), outbound("*", "fingerprint", fingerprints=(KEY,)), outbound("b.test", "secure", reason="x")],
    [inbound("bank.test"), inbound("*", "may")],
    [ForcedTlsGroup("g", ("a.test", "b.test"), None, "outbound", True, "verify"), outbound("a.gov.test", "may")],
]


@pytest.mark.parametrize("rules", FINE)
def test_general_before_special_is_how_it_is_meant(rules):
    _edited, warnings = plan(rules)
    assert warnings == []


@pytest.mark.parametrize(
    "rules, relay, both",
    [
        ([RelayTlsRule("all", "encrypt"), outbound("fax.test", "none")], None, ("out_fax_test", "all sets sslEnabled")),
        ([outbound("fax.test", "may"), outbound("*")], None, ("out_fax_test", "out_a stands behind it")),
        ([outbound("a.gov.test", "may"), outbound(".gov.test")], None, ("out_a_gov_test", "out__gov_test stands behind")),
        ([outbound("a.gov.test", reason="x"), outbound(".test", "secure")], None, ("out_a_gov_test", "out__test stands")),
        ([outbound("fax.test", "none"), RelayTlsRule("late", "may")], None, ("out_fax_test", "late stands behind it")),
        (
            [outbound("a.test", "may"), ForcedTlsGroup("g", ("a.test", "b.test"), None, "outbound", True, "verify")],
            None,
            ("out_a_test", "g stands behind it"),
        ),
        ([outbound("fax.test", "may")], replace(RELAY, tls="implicit"), ("out_fax_test", "relay host smart.test")),
        ([outbound("fax.test", "none")], replace(RELAY, username="u", password="p"), ("out_fax_test", "wants a login")),
        ([inbound("fax.test", "may"), inbound("*")], None, ("in_fax_test", "in_a stands behind it")),
        ([inbound("a.gov.test", "may"), inbound(".gov.test")], None, ("in_a_gov_test", "in__gov_test stands")),
        ([inbound("a.test"), inbound("a.test", "may", "x")], None, ("rule x", "in_a_test refuses all")),
        ([ForcedTlsGroup("g", ("a.test", "b.test"), "no"), inbound("a.test", "may")], None, ("in_a_test", "g refuses all")),
    ],
)
def test_an_exception_that_is_none_is_an_error_that_names_both(rules, relay, both):
    with pytest.raises(PolicyError, match="would have no effect: .*Change or remove") as refused:
        plan(rules, relay)
    assert all(name in str(refused.value) for name in both)


def test_every_domain_in_the_form_of_webadmin_leaves_no_exception():
    script = (
        'event onRcptTo {\n\tcall (All);\n}\nmethod All {\n\tif (\n\t\tallOf (\n\t\t\tisCase (isSSLConnection, "no")\n'
        '\t\t)\n\t) {\n\t\tset (smtpAction, "reject");\n\t\tset (smtpExplanation, "x");\n\t}\n}\n'
    )
    with pytest.raises(PolicyError, match="in_a_test excepts mail for a.test .*rule All refuses all"):
        plan([inbound("a.test", "may")], script=script)


def test_an_old_contradiction_may_stay():
    script = text(GENERATED).replace("\tcall (WA_Routing_basic);\n", "\tcall (WA_Routing_basic);\n\tcall (m);\n\tcall (n);\n")
    script += 'method m { if (isCase (relayDomain, "a.test")) { set (tlsLevel, "may"); } }\nmethod n { set (tlsLevel, "verify"); }'
    with pytest.raises(PolicyError, match="rule m excepts"):
        plan([outbound("b.test")], script=script)
    plan([outbound("b.test")], script=script, again=True)
    with pytest.raises(PolicyError, match="rule out_c_test excepts.*out_a stands behind") as refused:
        plan([outbound("c.test", "may"), outbound("*", "verify")], script=script, again=True)
    assert "rule m excepts" not in str(refused.value)


@pytest.mark.parametrize(
    "rules, said",
    [
        ([outbound("a.gov.test", "secure"), outbound(".gov.test", "encrypt")], "rule out_a_gov_test: its level has no"),
        ([inbound(".gov.test"), inbound("*", "may")], "rule in__gov_test: its level has no effect, because in_a stands"),
        (
            [outbound("a.test", "secure"), RelayTlsRule("late", "fingerprint", fingerprints=(KEY,))],
            "rule out_a_test: its level has no effect, because late stands behind it",
        ),
        (
            [ForcedTlsGroup("g", ("a.test", "b.test"), None, "outbound", True, "secure"), outbound("a.test")],
            "rule g: its level has no effect, because out_a_test stands behind it",
        ),
    ],
)
def test_a_rule_without_effect_is_a_warning(rules, said):
    _edited, warnings = plan(rules)
    assert [warning[: len(said)] for warning in warnings] == [said]


def test_names_that_others_set_behind_a_level_count():
    late = 'event onRelay {\n\tcall (mine);\n\tset (tlsMatch, "x.test");\n}\nmethod mine { if (isCase (relayDomain, '
    late += '"a.test")) { set (tlsLevel, "secure"); } }\n'
    _edited, warnings = plan([outbound("b.test")], script=late)
    said = "rule mine: certificates are accepted for the names that onRelay sets, because there are none of its own (match)"
    assert warnings == [said]


def test_the_relay_host_may_have_other_fingerprints():
    relay = replace(RELAY, level="secure")
    _edited, warnings = plan([outbound("a.test", "fingerprint", fingerprints=(KEY,))], relay)
    assert warnings == [
        "rule out_a_test: mail for a.test goes to the relay host %s, and waits unless that has one of the fingerprints"
        % relay.host
    ]


@pytest.mark.parametrize("level", ["verify", "secure", "fingerprint"])
def test_a_level_for_all_mail_is_no_setting_of_the_relay_host(level):
    rule = RelayTlsRule("all", level, fingerprints=(KEY,) if level == "fingerprint" else None)
    edited, _warnings = plan([rule], replace(RELAY, level="verify"))
    reader = RuleReader(edited.script, POSTERN)
    assert reader.relay() == (replace(RELAY, level="verify"), ())
    assert [found for found in reader.rules() if isinstance(found, RelayTlsRule)] == [rule]


def test_every_domain_is_no_setting_of_the_server():
    """A script says both alike."""
    edited, _warnings = plan([outbound("*", "none", reason="x")], RELAY)
    reader = RuleReader(edited.script, POSTERN)
    assert reader.starttls() == RuleReader(parse(text(GENERATED)), POSTERN).starttls()
    assert reader.relay()[0] == RELAY


def test_many_without_effect_are_one_warning():
    relay = replace(RELAY, level="secure")
    _edited, warnings = plan([outbound("d%d.test" % number) for number in range(50)], relay)
    (warning,) = warnings
    assert warning.startswith("rules out_d0_test, out_d1_test, out_d2_test and 47 more: mail for d0.test, d1.test, d2.test")


def test_many_of_one_kind_are_one_action():
    edited, _warnings = plan([inbound("d%d.test" % number) for number in range(21)])
    assert edited.actions == [
        "%s 21 rules: in_d0_test, in_d1_test, in_d2_test and 18 more" % verb for verb in ("add", "call")
    ]
    edited, _warnings = plan([inbound("d%d.test" % number) for number in range(20)])
    assert edited.actions[0] == "add rule in_d0_test" and len(edited.actions) == 40


def test_a_compact_group_warns_where_webadmin_is():
    group = ForcedTlsGroup("g", ("a.test", "b.test"), None)
    _edited, warnings = plan([group], dialect=replace(AXIGEN, rcpt_domain_var="rcptDomain", ssl_after_starttls=True))
    assert "rule g is one rule for 2 domains" in warnings[0] and "overwrite" in warnings[0]
    assert plan([group])[1] == []


def test_limits_of_script_and_line_are_told_before_the_upload():
    many = tuple("mx%d.very-long-name-of-a-partner.test" % number for number in range(300))
    with pytest.raises(PolicyError, match="rule out_a_test cannot be written: line [0-9]+ .* octets, and 8192 are the most"):
        plan([outbound("a.test", "secure", match=many)])
    with pytest.raises(PolicyError, match="it would have [0-9]+ octets, and this server takes 9000 at most.*compact"):
        plan([inbound("d%d.test" % n) for n in range(40)], dialect=replace(POSTERN, max_script=9000))
    # What other hands have made may stay.
    long = text(GENERATED) + "# %s\n" % ("x" * 9000)
    assert plan([inbound("a.test")], script=long, again=True)[1] == []


def test_what_a_server_has_itself_is_refused_in_groups_too():
    group = ForcedTlsGroup("g", ("a.test", "b.test"), None, "outbound", True, "encrypt")
    rules = (group, outbound("*"), outbound(".b.test"))
    with pytest.raises(PolicyError) as refused:
        capability.check(Policy(), Policy(rules=rules), POSTERN, frozenset(("b.test",)))
    assert [problem[:40] for problem in refused.value.problems] == ["rule g: b.test is a domain of this server"[:40]]
