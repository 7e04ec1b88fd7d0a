# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What nobody understands is kept, never called known, and spoken of where it matters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy import edit
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Policy, RelayHost, StartTls
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    AuthRule,
    ForcedTlsDomain,
    OpaqueRule,
    RelayTlsRule,
)
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import effect
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import POSTERN
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rule_edit import edit_rules
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rules import RuleReader
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script import parse

NO_AUTH = AuthRule("no_auth", "plain", ())
DOMAIN = ForcedTlsDomain("only_tls", "a.test", "TLS, please")
ENCRYPT = RelayTlsRule("encrypt", "encrypt")
RELAY = RelayHost("mx.test", 587, "starttls", "verify")
BASIC = 'method WA_Acceptance_basic { set (allowStartTLS, "yes"); }\n'


def read(content):
    reader = RuleReader(parse(content), POSTERN)
    return reader, Policy(starttls=reader.starttls()[0], rules=reader.rules(), relay=reader.relay()[0])


def plan(content, change):
    """The new script and the warnings."""
    reader, before = read(content)
    desired = change(before)
    edited = edit_rules(reader, before, desired)
    changed = RuleReader(edited.script, POSTERN)
    effect.check(changed, before, edited.desired)
    return edited.script.text, effect.warnings(changed, before, edited.desired)


def put(content, rule, position=None):
    return plan(content, lambda policy: edit.put_rule(policy, rule, position))


def starttls(content, value):
    return plan(content, lambda policy: replace(policy, starttls=StartTls(value, policy.starttls.outbound)))


def inbound(content):
    found, notes = RuleReader(parse(content), POSTERN).starttls()
    return found.inbound, [note for note in notes if note.startswith("inbound")]


# --- STARTTLS and the relay host ------------------------------------------------------------------

DOUBTS = {
    "a function": 'foo (allowStartTLS, "no");',
    "in a string": 'assign ("allowStartTLS", "no");',
    "a branch": 'if (is (a, "b")) { set (AllowStartTLS, "no"); } else { }',
    "a call in a branch": 'if (is (a, "b")) { call (Off); } else { }',
    "a call of a call": "else { call (Deep); }",
    "a name": 'run ("Off");',
}
OFF = 'method Off { set (allowStartTLS, "no"); }\nmethod Deep { if (is (a, "b")) { call (Off); } }\n'


@pytest.mark.parametrize("statement", DOUBTS.values(), ids=DOUBTS)
def test_what_it_may_set_is_not_known(statement):
    content = "event onEhlo { call (WA_Acceptance_basic); %s }\n" % statement + BASIC + OFF
    expected = (
        "inbound STARTTLS is not known: a statement in onEhlo is not understood, and it may decide about allowStartTLS"
    )
    assert inbound(content) == (None, [expected])
    with pytest.raises(PolicyError, match="STARTTLS inbound cannot be set to yes in WA_Acceptance_basic: onEhlo sets"):
        starttls(content, True)
    # What is set behind it without a condition is known.
    behind = "event onEhlo { %s call (WA_Acceptance_basic); }\n" % statement + BASIC + OFF
    assert inbound(behind) == (True, [])
    assert '"no"' in starttls(behind, False)[0]


@pytest.mark.parametrize("statement", ['foo (other, "no");', "else { call (Idle); }", 'say ("allowStartTLS is no");'])
def test_what_it_does_not_name_it_does_not_set(statement):
    content = "event onEhlo { call (WA_Acceptance_basic); %s }\nmethod Idle { }\n" % statement + BASIC
    assert inbound(content) == (True, [])


@pytest.mark.parametrize(
    "statement", ["return;", "stop ();", 'if (is (a, "b")) { return; }', "if (a) { } else { exit; }"]
)
def test_what_may_end_the_event_makes_what_stands_behind_unsure(statement):
    content = "event onEhlo { call (Early); %s call (WA_Acceptance_basic); }\n" % statement + BASIC
    no = 'method Early { set (allowStartTLS, "no"); }\n'
    assert inbound(content + no)[0] is None
    # It says the same on both ways.
    assert inbound(content + no.replace('"no"', '"yes"')) == (True, [])


def test_conditions_count_the_methods_they_call():
    content = 'event onEhlo { call (WA_Acceptance_basic); if (is (a, "b")) { call (Deep); } }\n' + BASIC + OFF
    assert inbound(content) == (True, ["inbound STARTTLS depends on a condition in onEhlo"])


def test_value_that_is_neither_yes_nor_no():
    content = "event onEhlo { call (WA_Acceptance_basic); }\n" + BASIC.replace('"yes"', '"%other%"')
    assert inbound(content)[0] is None
    text, _warnings = starttls(content, True)
    assert text == content.replace('"%other%"', '"yes"')


def test_relay_host_that_something_may_change():
    content = "event onRelay { call (WA_Routing_basic); foo (remoteSmtpHost); }\nmethod WA_Routing_basic { }\n"
    reader, before = read(content.replace("{ }", '{ set (remoteSmtpHost, "mx.test"); }'))
    assert before.relay.host == "mx.test"
    assert "the relay host is not known for sure: a statement in onRelay" in reader.relay()[1][0]
    with pytest.raises(PolicyError, match="cannot be set in WA_Routing_basic: onRelay sets remoteSmtpHost"):
        plan(content, lambda policy: replace(policy, relay=RELAY))
    # Other tasks are not its business.
    put(content, ENCRYPT)


# --- rules ----------------------------------------------------------------------------------------


def test_rules_that_it_may_overrule():
    unsure = "rule %s may have no effect: a statement in Late, which stands behind, is not understood and may set %s"
    for rule, event, variable in (
        (NO_AUTH, "onEhlo", "plainConnAuthTypes"),
        (DOMAIN, "onRcptTo", "smtpAction"),
    ):
        content = "event %s { call (Late); }\nmethod Late { foo (%s); }\n" % (event, variable)
        assert put(content, rule, "first")[1] == [unsure % (rule.name, variable)]
        assert put(content, rule, "last")[1] == []
    content = "event onRelay { call (Late); }\nmethod Late { foo (sslEnabled); }\n"
    (warning,) = put(content, ENCRYPT, "first")[1]
    assert warning.startswith("rule encrypt: its level has perhaps no effect, because a statement in Late")
    assert put(content, ENCRYPT, "last")[1] == []


def test_rules_that_other_hands_overrule():
    content = 'event onEhlo { call (Late); }\nmethod Late { set (x, "1"); set (plainConnAuthTypes, "plain "); }\n'
    assert put(content, NO_AUTH, "first")[1] == [
        "rule no_auth has no effect: Late stands behind it and sets plainConnAuthTypes"
    ]
    assert put(content, replace(NO_AUTH, mechanisms=("PLAIN",)), "first")[1] == []
    content = 'event onRcptTo { call (Late); }\nmethod Late { set (x, "1"); set (smtpAction, "accept"); }\n'
    expected = "rule only_tls without effect: Late stands behind and sets smtpAction to accept"
    assert put(content, DOMAIN, "first")[1] == [expected]
    assert put(content.replace("accept", "reject"), DOMAIN, "first")[1] == []


def test_rules_that_may_not_be_reached():
    content = "event onRcptTo { call (A); call (B); }\nmethod A { return; }\nmethod B { }\n"
    expected = (
        "rule only_tls may not run: a statement in A, which stands in front, is not understood and may end event "
    )
    expected += "onRcptTo"
    assert put(content, DOMAIN)[1] == [expected]
    assert put(content, DOMAIN, "first")[1] == []
    assert put(content, replace(DOMAIN, enabled=False))[1] == []


def test_its_method_is_opaque_and_what_it_calls_is_called():
    content = (
        'event onEhlo { call (Mine); if (is (a, "b")) { call (no_auth); } else { } }\n'
        'method Mine { set (plainConnAuthTypes, "none"); return; }\n'
        'method no_auth { set (plainConnAuthTypes, "none"); }\n'
        "method Idle { else { } }\n"
    )
    _reader, policy = read(content)
    # no_auth is run by something: it is neither a rule of the event nor one that is switched off.
    assert policy.rules == (OpaqueRule("Mine", "ehlo"), OpaqueRule("Idle", None, False))
    for name in ("Mine", "Idle"):
        with pytest.raises(PolicyError, match="not removed: its content was made by other hands"):
            edit.remove_rule(policy, name)
    with pytest.raises(
        PolicyError, match="rule no_auth cannot be written: the policy script may run a method of that name"
    ):
        put(content, NO_AUTH)
    # It need not exist to be run when it does.
    for statement in ('run ("new_one");', 'if (is (a, "b")) { call (new_one); }'):
        with pytest.raises(PolicyError, match="rule new_one cannot be written: the policy script may run a method"):
            put(content + "method Other { %s }\n" % statement, replace(NO_AUTH, name="new_one"))
    text, _warnings = put(content, replace(NO_AUTH, name="Mine"))
    assert text.startswith(content.partition("\n")[0]) and "return" not in text


# --- two of a name --------------------------------------------------------------------------------


def test_two_methods_of_a_name_that_differ_are_opaque():
    content = "event onEhlo { call (no_auth); }\n" + 2 * 'method no_auth { set (plainConnAuthTypes, "none"); }\n'
    assert read(content)[1].rules == (NO_AUTH,)
    differing = content[:-11] + '"plain"); }\n'
    assert read(differing)[1].rules == (OpaqueRule("no_auth", "ehlo"),)
    text, _warnings = put(differing, NO_AUTH)
    assert text.rstrip() == content[: content.rindex("method")].rstrip()


def test_two_methods_of_basic_settings():
    content = "event onEhlo { call (WA_Acceptance_basic); }\n" + BASIC + BASIC.replace('"yes"', '"no"')
    assert inbound(content)[0] is None
    text, _warnings = starttls(content, False)
    assert text == content.replace('"yes"', '"no"')
    assert inbound(text) == (False, [])


def test_two_events_of_a_name():
    content = "event onEhlo { }\nevent onRelay { }\n\nevent ONEHLO { call (X); }\n"
    with pytest.raises(PolicyError, match="has event onEhlo at lines 1, 4, and it is not known which of them"):
        put(content, NO_AUTH)
    put(content, ENCRYPT)
    content = 'event onEhlo { call (WA_Acceptance_basic); }\nevent onEhlo { set (allowStartTLS, "no"); }\n' + BASIC
    assert inbound(content)[0] is None


def test_names_of_predefined_methods():
    content = "event onEhlo { call (checkSPF); }\n"
    assert read(content)[1].rules == (OpaqueRule("checkSPF", "ehlo"),)
    with pytest.raises(PolicyError, match="rule name checkSPF belongs to the server"):
        put(content, replace(NO_AUTH, name="checkSPF"))


# --- scripts without end --------------------------------------------------------------------------


def test_methods_that_call_each_other_come_to_an_end():
    circle = 'event onEhlo { call (a); }\nmethod a { call (b); set (allowStartTLS, "no"); }\nmethod b { call (a); }\n'
    assert inbound(circle) == (False, [])
    doubling = "event onEhlo { call (m0); }\n" + "".join(
        "method m%d { call (m%d); call (m%d); }\n" % (number, number + 1, number + 1) for number in range(60)
    )
    assert inbound(doubling + 'method m60 { set (allowStartTLS, "no"); }\n')[0] is None
    many = "".join("call (m%d);" % number for number in range(1, 60))
    text = "event onRelay { call (m0); }\n" + "".join("method m%d { %s }\n" % (number, many) for number in range(60))
    assert not RuleReader(parse(text), POSTERN).calls("onRelay", "WA_Routing_basic")
