# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From one policy to another in the script, and whether the new script means what was asked for."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Policy, RelayHost, StartTls
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    ForcedTlsDomain,
    RelayTlsRule,
)
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import capability, effect
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import AXIGEN, POSTERN
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import NotSupported
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rule_edit import edit_rules
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rules import RuleReader
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script import parse
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.script_files import (
    GENERATED,
    LOOKALIKE,
    PLUMBING,
    text,
)

RELAY = RelayHost("mx.test", 587, "starttls", "verify", "user", "secret-pw")
MAY = RelayTlsRule("may", "may", ("TLSv1.2",))
ENCRYPT = RelayTlsRule("encrypt", "encrypt", ("TLSv1.2", "TLSv1.3"))


def bank(level="secure", versions=None, match=None, name="bank", fingerprints=None):
    return ForcedTlsDomain(
        name, "bank.test", None, "outbound", True, level, versions, match, fingerprints=fingerprints
    )


def policy_of(content, dialect=POSTERN):
    reader = RuleReader(parse(content), dialect)
    return reader, Policy(starttls=reader.starttls()[0], rules=reader.rules(), relay=reader.relay()[0])


def put(content, dialect=POSTERN, **wanted):
    """The script with these values in its policy, checked as the server checks it; the warnings."""
    reader, before = policy_of(content, dialect)
    if "rules" in wanted:
        wanted["rules"] = before.rules + tuple(wanted["rules"])
    desired = replace(before, **wanted)
    edited = edit_rules(reader, before, desired)
    changed, found = policy_of(edited.script.text, dialect)
    effect.check(changed, before, edited.desired, reader)
    assert (found.relay, found.starttls) == (edited.desired.relay, edited.desired.starttls)
    assert sorted(map(str, found.rules)) == sorted(map(str, edited.desired.rules))
    return edited, effect.warnings(changed, before, edited.desired)


def without(content, **wanted):
    reader, before = policy_of(content)
    return edit_rules(reader, before, replace(before, **wanted))


# --- basic settings -------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [GENERATED, PLUMBING], ids=["generated", "plumbing"])
def test_relay_host_comes_and_goes(content):
    edited, warnings = put(text(content), relay=RELAY)
    assert edited.actions == ["set relay host mx.test port 587"]
    assert warnings == []
    assert '\tset (tlsLevel, "verify");\n' in edited.script.text
    assert "secret-pw" not in edited.script.text + repr(edited)
    again = without(edited.script.text, relay=None)
    assert again.actions == ["remove the relay host"]
    assert again.script.text == text(content)


def test_only_what_differs_is_named():
    edited, _warnings = put(text(GENERATED), relay=RELAY)
    changed, _warnings = put(edited.script.text, relay=replace(RELAY, password="other", level="secure"))
    assert changed.actions == ["change relay host mx.test port 587 (level, password)"]
    assert "user" in repr(changed.desired) and "other" not in repr(changed)


@pytest.mark.parametrize(
    "content",
    ["", "event onEhlo {\n}\n", "event onRelay {\n}\n", text(LOOKALIKE)],
    ids=["nothing", "no event", "empty event", "lookalike"],
)
def test_settings_that_have_no_method_yet_come_before_all_rules(content):
    edited, _warnings = put(content, relay=RELAY, starttls=StartTls(True, False), rules=[ENCRYPT, bank()])
    reader = RuleReader(parse(edited.script.text), POSTERN)
    names = [rule.name for rule in reader.rules() if rule.event == "relay"]
    assert names == ["WA_Routing_basic", "encrypt", "bank"]
    assert edited.script.text.count("method WA_Routing_basic {") == 1
    _reader, found = policy_of(edited.script.text)
    assert found.rules == edited.desired.rules


def test_settings_whose_method_is_not_called():
    content = 'event onRelay {\n\tcall (Mine);\n}\nmethod Mine {\n\tset (x, "1");\n}\n' + (
        'method wa_routing_basic {\n\tset (remoteSmtpPort, "2525");\n}\n'
    )
    edited, _warnings = put(content, relay=RELAY)
    assert "event onRelay {\n\tcall (wa_routing_basic);\n\tcall (Mine);\n}" in edited.script.text.replace(
        "WA_Routing_basic", "wa_routing_basic"
    )
    assert [rule.name for rule in edited.desired.rules] == ["wa_routing_basic", "Mine"]
    # What else is in that method begins to count, so it is said.
    assert edited.actions == ["set relay host mx.test port 587", "call rule WA_Routing_basic"]


def test_settings_that_are_reached_through_another_method_are_not_called_again():
    content = "event onRelay {\n\tcall (All);\n}\nmethod All {\n\tcall (WA_Routing_basic);\n}\n"
    edited, _warnings = put(content + "method WA_Routing_basic {\n}\n", relay=RELAY)
    assert edited.script.text.startswith(content)


def test_without_known_names_host_and_port_are_written():
    edited, _warnings = put(text(GENERATED), AXIGEN, relay=RelayHost("mx.test", 25, "starttls", "may"), rules=[MAY])
    added = [line for line in edited.script.text.split("\n") if line not in text(GENERATED).split("\n")]
    assert added == [
        "\tcall (may);",
        '\tset (remoteSmtpHost, "mx.test");',
        '\tset (remoteSmtpPort, "25");',
        "method may {",
        '\tset (allowedSSLVersions, "tls12 ");',
    ]


# --- relay rules and STARTTLS ---------------------------------------------------------------------


def test_relay_rules_are_no_switch_of_the_server():
    """A rule that comes or goes changes nothing else in the policy."""
    off = without(text(GENERATED), starttls=StartTls(True, False)).script.text
    edited, _warnings = put(off, rules=[ENCRYPT])
    assert policy_of(edited.script.text)[1].starttls.outbound is False
    with pytest.raises(PolicyError, match=r"STARTTLS outbound is off, and rule may \(level may\) turns it on"):
        put(off, rules=[MAY])
    on, _warnings = put(text(GENERATED), rules=[MAY])
    with pytest.raises(PolicyError, match="rule may"):
        put(on.script.text, starttls=StartTls(True, False))
    put(off, rules=[replace(MAY, enabled=False)])


def test_relay_host_that_uses_what_is_off():
    off = without(text(GENERATED), starttls=StartTls(True, False)).script.text
    may = replace(RELAY, level="may")
    with pytest.raises(PolicyError, match=r"outbound is off, and the relay host \(level may\) turns it on"):
        put(off, relay=may)
    for relay in (RELAY, replace(RELAY, level="none"), replace(may, tls="implicit")):
        put(off, relay=relay)
    on, _warnings = put(text(GENERATED), relay=may)
    with pytest.raises(PolicyError, match="the relay host"):
        put(on.script.text, starttls=StartTls(True, False))
    # There the level is not written, and the switch decides alone.
    put(off, AXIGEN, relay=RelayHost("mx.test", 25, "starttls", "may"))


def test_an_old_contradiction_is_left_alone():
    made = text(GENERATED).replace("\tcall (WA_Routing_basic);\n", "\tcall (WA_Routing_basic);\n\tcall (m);\n")
    place = 'method WA_Routing_basic {\n\tset (allowStartTLS, "%s");'
    made = made.replace(place % "yes", place % "no")
    made += 'method m {\n\tset (allowStartTLS, "yes");\n}\n'
    assert policy_of(made)[1].starttls.outbound is False
    put(made, rules=[bank()])
    _reader, before = policy_of(made)
    gone = without(made, rules=tuple(rule for rule in before.rules if rule.name != "m"))
    assert "call (m)" not in gone.script.text


def test_setting_that_cannot_hold():
    made = text(GENERATED).replace("\tcall (WA_Routing_basic);\n", "\tcall (WA_Routing_basic);\n\tcall (Late);\n")
    made += 'method Late { set (REMOTESMTPHOST, "late.test"); set (tlsLevel, "may"); }\n'
    with pytest.raises(PolicyError) as caught:
        put(made, relay=RELAY)
    assert str(caught.value) == (
        "the relay host cannot be set in WA_Routing_basic: Late sets remoteSmtpHost; change or remove that rule"
    )
    assert "secret-pw" not in str(caught.value)
    with pytest.raises(PolicyError, match="cannot be removed from WA_Routing_basic: Late sets remoteSmtpHost"):
        put(made, relay=None)
    # Other things can be changed beside it.
    put(made, rules=[ENCRYPT])


# --- rules without effect -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rules, expected",
    [
        ([ENCRYPT], []),
        ([ENCRYPT, replace(ENCRYPT, name="same")], []),
        ([ENCRYPT, bank(versions=("TLSv1.3",))], []),
        ([ENCRYPT, RelayTlsRule("level", "encrypt")], []),
        ([ENCRYPT, MAY], ["rule encrypt: its versions have no effect, because may stands behind it"]),
        ([ENCRYPT, replace(MAY, enabled=False)], []),
        ([bank(versions=("TLSv1.3",)), MAY], ["rule bank: its versions have no effect, because may stands behind it"]),
        ([bank(), MAY], []),
        (
            [bank(), bank("verify", name="other")],
            ["rule bank: its level has no effect, because other stands behind it and sets tlsLevel"],
        ),
        (
            [bank(match=("a.test",)), bank(match=("b.test",), name="other")],
            ["rule bank: its names have no effect, because other stands behind it and sets tlsMatch"],
        ),
    ],
)
def test_what_a_later_rule_overrides(rules, expected):
    _edited, warnings = put(text(GENERATED), rules=rules)
    assert len(warnings) == len(expected)
    for warning, start in zip(warnings, expected):
        assert warning.startswith(start)


@pytest.mark.parametrize(
    "behind, expected",
    [
        ('set (sslEnabled, "no");', "rule encrypt: its level has no effect, because Late stands behind it"),
        ('set (allowedSSLVersions, "tls10 ");', "rule encrypt: its versions have no effect, because Late"),
        ('set (tlsLevel, "may");', "rule bank: its level has no effect, because Late"),
        ('set (allowedSSLVersions, "tls13 tls12");', ""),
        ('if (isCase (authUser, "x")) { set (tlsLevel, "may"); }', ""),
    ],
)
def test_what_other_hands_override(behind, expected):
    """What another rule sets decides as well, whatever rule that is."""
    made, _warnings = put(text(GENERATED), rules=[ENCRYPT, bank()])
    late = made.script.text.replace("\tcall (bank);\n", "\tcall (bank);\n\tcall (Late);\n")
    late += "method Late { %s }\n" % behind
    _reader, before = policy_of(late)
    assert (before.rule("Late").event, before.rule("Late").enabled) == ("relay", True)
    _edited, warnings = put(late, rules=[replace(bank(), name="idle", domain="idle.test", enabled=False)])
    assert [warning[: len(expected)] for warning in warnings] == ([expected] if expected else [])


def test_domain_that_is_weaker_than_the_relay_host():
    _edited, warnings = put(text(GENERATED), relay=RELAY, rules=[bank("encrypt"), bank("secure", name="b", match=None)])
    assert "rule bank: mail for bank.test goes to the relay host at level encrypt, weaker than" in " ".join(warnings)
    assert not [warning for warning in warnings if warning.startswith("rule b:")]
    _edited, warnings = put(text(GENERATED), relay=replace(RELAY, level="none"), rules=[bank("encrypt")])
    assert warnings == []


# --- size -----------------------------------------------------------------------------------------


def steps(count):
    """Python calls and calls of built-in functions that it takes to read, edit and judge a script with many rules."""
    rules = [ForcedTlsDomain("in_%d" % number, "d%d.test" % number, "TLS only") for number in range(count)]
    rules += [bank(name="out_%d" % number, match=("x%d.test" % number,)) for number in range(count)]
    made = without(text(GENERATED), rules=tuple(rules)).script.text
    made = made.replace("event onConnect {", "event onConnect {\n\tfoo (a);", 1)
    more = [
        replace(rule, name="more_" + rule.name, domain="more." + rule.domain) for rule in rules if rule.level is None
    ]
    taken = 0

    def counted(_frame, event, _argument):
        nonlocal taken
        taken += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        put(made, rules=more)
    finally:
        sys.setprofile(before)
    return taken


def test_cost_grows_with_the_number_of_rules_and_not_faster():
    # Ten thousand rules are an everyday matter; a quadratic cost would be 16 times as high.
    assert steps(400) < 5 * steps(100)


# --- what a server cannot hold --------------------------------------------------------------------


def refused(before, after, domains=(), dialect=POSTERN):
    with pytest.raises(PolicyError) as caught:
        capability.check(before, after, dialect, frozenset(domains))
    return caught.value.problems


def test_all_problems_at_once_and_nothing_old():
    rules = (bank("dane"), bank("mta-sts", name="b"), bank("verify", name="c"))
    relay = replace(RELAY, level="fingerprint")
    local = (
        "bank.test is a domain of this server, so mail for it is delivered here and never sent to another host; "
        "direction: inbound is what forces TLS for mail that arrives for it"
    )
    later = (
        "comes later: what a domain publishes about itself (DANE, MTA-STS) is not looked up yet, and nothing weaker is "
        "taken instead; this server has none, may, encrypt, verify, secure, fingerprint"
    )
    assert refused(Policy(), Policy(rules=rules, relay=relay), ["bank.test"]) == (
        "rule bank: TLS level dane " + later,
        "rule bank: " + local,
        "rule b: TLS level mta-sts " + later,
        "rule b: " + local,
        "rule c: " + local,
        "relay: this server has no TLS level fingerprint; it has none, may, encrypt, verify, secure",
    )
    there = Policy(rules=rules, relay=relay)
    capability.check(there, replace(there, starttls=StartTls(True, True)), POSTERN, frozenset(["bank.test"]))


@pytest.mark.parametrize("level", ["dane", "verify", "secure", "fingerprint"])
def test_a_level_for_all_mail_that_a_server_cannot_hold(level):
    rule = RelayTlsRule("all", level, match=("x.test",) if level == "secure" else None)
    if level == "dane":
        (said,) = refused(Policy(), Policy(rules=(rule,)))
        assert said.startswith("rule all: TLS level dane comes later: ")
    with pytest.raises(NotSupported) as caught:
        capability.check(Policy(), Policy(rules=(rule,)), AXIGEN, frozenset())
    assert str(caught.value).startswith("write rule all (level %s): " % level)
    assert "names (match) and fingerprints" in str(caught.value)
    assert "This server can hold level may, and level encrypt where relay_ssl is required" in str(caught.value)


def test_fingerprints_on_a_server_without_levels():
    rule = bank("fingerprint", fingerprints=(":".join(["A1"] * 32),))
    with pytest.raises(NotSupported, match="write rule bank: .*TLS level, match and fingerprints"):
        capability.check(Policy(), Policy(rules=(rule,)), AXIGEN, frozenset())


def test_local_domains_matter_outbound_and_enabled_only():
    inbound = ForcedTlsDomain("in", "bank.test", "TLS please")
    capability.check(
        Policy(), Policy(rules=(inbound, replace(bank(), enabled=False))), POSTERN, frozenset(["bank.test"])
    )
    assert refused(Policy(rules=(replace(bank(), enabled=False),)), Policy(rules=(bank(),)), ["bank.test"])


# --- rules made by hand ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method, warned",
    [
        ('method may { set (allowedSSLVersions, "tls12 "); addHeader ("X", "1"); }\n', 1),
        ('method may { set (allowStartTLS, "yes"); set (allowedSSLVersions, "tls11 "); }\n', 0),
        ("", 0),
    ],
    ids=["does something else", "is understood", "called and not there"],
)
def test_what_a_method_of_the_name_did_beyond_the_task_is_not_lost_without_a_word(method, warned):
    reader, before = policy_of("event onRelay { call (may); }\n" + method)
    rules = tuple(rule for rule in before.rules if rule.name != "may") + (MAY,)
    edited = edit_rules(reader, before, replace(before, rules=rules))
    assert "addHeader" not in edited.script.text and "tls12" in edited.script.text
    assert [warning.startswith("rule may was made or changed by hand") for warning in edited.warnings] == [True] * warned
