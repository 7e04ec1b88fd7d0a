# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of a general rule: values as YAML makes them, the event that follows, what cannot be meant."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.securemail.smtp.plugins.module_utils._policy import edit
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.general_rule import general_rule, rule_meaning
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Policy
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    AuthRule,
    ForcedTlsDomain,
    GeneralRule,
    OpaqueRule,
)


def entry(text, **more):
    """The entry for a rule whose conditions and actions are written in YAML."""
    return general_rule(dict({"name": "r"}, **yaml.safe_load(text), **more))


def values(text):
    found = entry(text)
    return [one.value for one in found["conditions"]], [one.value for one in found["actions"]]


def problems(text, **more):
    with pytest.raises(PolicyError) as caught:
        entry(text, **more)
    return caught.value.problems


REJECT = "actions: [{set: smtpAction, value: reject}]"


def test_what_yaml_makes_of_a_value():
    """Case D01: switches arrive as booleans, numbers as numbers, versions as floats."""
    assert values("conditions: [{variable: isSSLConnection, value: off}, {variable: smtpPort, value: 587}]\n" + REJECT) == (
        ["no", "587"],
        ["reject"],
    )
    assert values("conditions: []\nactions: [{set: allowedSSLVersions, value: 1.2}, {set: sslEnabled, value: yes}]") == (
        [],
        ["TLSv1.2", "yes"],
    )
    assert values("conditions: []\nactions: [{set: secureConnAuthTypes, value: 'PLAIN, LOGIN'}]")[1] == ["PLAIN LOGIN"]
    assert values("conditions: []\nactions: [{set: plainConnAuthTypes, value: []}]")[1] == ["none"]
    assert values("conditions: []\nactions: [{set: smtpGreeting, value: 220}]")[1] == ["220"]
    assert values("conditions: []\nactions: [{set: tlsLevel, value: off}, {set: tlsUntil, value: 2026-12-31}]")[1] == [
        "none",
        "2026-12-31",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("conditions: [{variable: ehloHost, value: 1.10}]", "value must be a text; got the number 1.1, quote it"),
        ("conditions: [{variable: ehloHost, value: off}]", "value must be a text; got the boolean false"),
        ("conditions: [{variable: ehloHost, value:}]", "value must be a text; got nothing"),
        ("conditions: [{variable: smtpPort, value: 25.0}]", "smtpPort is a whole number from 0 to 65535; got the number 25.0"),
        ("conditions: [{variable: smtpPort, value: on}]", "got the boolean true"),
        ("conditions: [{variable: mailFromDomain, value: 123.456}]", "the number 123.456"),
        ("conditions: [{variable: isSSLConnection, value: 1}]", "isSSLConnection is yes or no; got the number 1"),
        ("conditions: [{variable: , value: x}]", "variable must be the name of a variable, like isSSLConnection; got nothing"),
        ("conditions: [isSSLConnection]", "conditions #1 must be a dictionary with variable, test and value; got a str"),
        ("conditions:", "conditions is missing; write [] for a rule that always holds"),
    ],
)
def test_what_cannot_be_right(text, reason):
    (said,) = problems("%s\n%s" % (text, REJECT))
    assert reason in said


@pytest.mark.parametrize(
    ("actions", "reason"),
    [
        ("[]", "actions is empty"),
        ("[{set: plainConnAuthTypes, value:}]", "actions #1 value"),
        ("[{set: smtpAction, value: reject, call: checkSPF}]", "with set and value, or with call"),
        ("[{value: reject}]", "with set and value, or with call"),
        ("[{call: checkSPF, value: x}]", "a method that is called has none"),
        ("[{call: checkDNSBL}]", "checkDNSBL needs DNSBLServer; set it in front of the call"),
        ("[{call: checkspff}]", "did you mean checkSPF"),
        ("[{set: smtpAction, value: reject}, {set: smtpaction, value: accept}]", "smtpAction is set twice"),
        ("[{set: smtpExplanation, value: 'a\\b'}]", "without double quotes and backslashes"),
        ("[{set: smtpExplanation, value: '%ehloHots%'}]", 'no variable "ehloHots"; did you mean ehloHost'),
        ("[{set: tlsUntil, value: 2026-02-30}]", "must be a day like"),
        ("[{set: smtpGreeting, value: x}, {set: remoteSmtpTls, value: starttls}]", "no event of a mail transaction"),
    ],
)
def test_actions_that_cannot_be_meant(actions, reason):
    try:
        said = problems("conditions: []\nactions: %s" % actions)
    except ValueError:
        # YAML itself knows that there is no such day.
        said = problems("conditions: []\nactions: %s" % actions.replace("2026-02-30", "'2026-02-30'"))
    assert len(said) == 1 and reason in said[0]


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("conditions: [{variable: remoteSmtpIp, value: 192.0.2.1}]\n" + REJECT, ("connect", "ehlo", "mail", "rcpt", "headers", "data")),
        ("conditions: [{variable: ehloHost, value: x}]\n" + REJECT, ("ehlo", "mail", "rcpt", "headers", "data")),
        ("conditions: [{variable: authUser, value: ''}]\n" + REJECT, ("mail", "rcpt", "headers", "data")),
        ("conditions: [{variable: rcptDomain, value: a.test}]\n" + REJECT, ("rcpt",)),
        ("conditions: []\nactions: [{set: smtpExplanation, value: 'not %rcptTo%'}]", ("rcpt",)),
        ("conditions: []\nactions: [{set: allowStartTLS, value: no}]", ("ehlo", "relay")),
        ("conditions: [{variable: rcptDomain, value: a.test}]\nactions: [{set: remoteSmtpHost, value: mx.test}]", ("relay",)),
    ],
)
def test_the_event_follows(text, events):
    assert entry(text)["events"] == events
    policy = edit.put_general_rule(Policy(), entry(text))
    assert policy.rules[0].event == events[0]
    assert edit.put_general_rule(Policy(), entry(text, event=events[-1])).rules[0].event == events[-1]


@pytest.mark.parametrize(
    ("conditions", "event"),
    [
        ("{variable: isSSLConnection, value: no}", "mail"),
        ("{variable: sslCipher, value: ''}, {variable: remoteSmtpIp, value: 192.0.2.1}", "mail"),
        ("{variable: isSSLConnection, value: no}, {variable: rcptDomain, value: a.test}", "rcpt"),
    ],
)
def test_who_is_refused_for_clear_text_had_time_for_starttls(conditions, event):
    wish = entry("conditions: [%s]\n" % conditions + REJECT)
    for enabled in (True, False):
        policy = edit.put_general_rule(Policy(), dict(wish, enabled=enabled))
        assert policy.rules[0].event == event and edit.put_general_rule(policy, wish) == policy
    assert edit.put_general_rule(Policy(), dict(wish, event=wish["events"][0])).rules[0].event == wish["events"][0]


def test_an_event_that_has_not_all():
    said = problems("conditions: [{variable: rcptDomain, value: a.test}]\n" + REJECT, event="onMailFrom")
    assert said == ("event mail has not all that the rule tests and sets; it can run in rcpt",)


LIMIT = """
conditions: [{variable: smtpPort, value: 25}, {variable: remoteSmtpIp, value: 192.0.2.0/24}]
actions: [{set: maxRcptCount, value: 5}, {set: maxDataSize, value: 10}]
"""
TURNED = """
conditions: [{variable: REMOTESMTPIP, value: [192.0.2.0/25, 192.0.2.0/24]}, {variable: smtpport, value: '025'}]
actions: [{set: MAXDATASIZE, value: '010'}, {set: maxRcptCount, value: 5}]
"""


def test_another_order_is_no_other_rule():
    policy = edit.put_general_rule(Policy(), entry(LIMIT))
    assert edit.put_general_rule(policy, entry(TURNED.replace("[192.0.2.0/25, 192.0.2.0/24]", "192.0.2.0/24"))) == policy
    changed = edit.put_general_rule(policy, entry(TURNED))
    assert rule_meaning(changed.rules[0]) != rule_meaning(policy.rules[0])


def test_who_has_the_name():
    said = "conditions: []\n" + REJECT
    policy = Policy(
        rules=(
            OpaqueRule("WA_r", "ehlo", basic=True),
            AuthRule("auth", "plain", ()),
            GeneralRule("R", "rcpt", "all", (), entry(said)["actions"], enabled=False),
            OpaqueRule("hand", "relay"),
            OpaqueRule("idle", None, enabled=False),
        )
    )
    # A rule that is off stays off, and keeps its spelling and its event; one that nothing calls comes to life.
    assert edit.put_general_rule(policy, entry(said)) == policy
    assert edit.put_general_rule(policy, entry(said, name="idle")).rule("idle").enabled is True
    assert isinstance(edit.put_general_rule(policy, entry(said, name="auth")).rule("auth"), GeneralRule)
    with pytest.raises(PolicyError, match="hand exists and is of another kind .event relay."):
        edit.put_general_rule(policy, entry(said, name="hand"))
    with pytest.raises(PolicyError, match="WA_"):
        edit.put_general_rule(policy, dict(entry(said), name="WA_r"))
    # The typed modules take it over, and it counts as new.
    wish = {"name": "r", "connection": "plain", "mechanisms": [], "enabled": None}
    assert edit.put_auth_rule(policy, wish).rule("r") == AuthRule("R", "plain", ())
    assert edit.remove_rule(policy, "r").rule("r") is None
    with pytest.raises(PolicyError, match="it is a general rule and not a forced-TLS domain"):
        edit.remove_rule(policy, "r", ForcedTlsDomain)
    with pytest.raises(PolicyError, match="not removed"):
        edit.remove_rule(policy, "hand")


def test_a_document_s_rules_stand_in_its_order():
    rules = [entry(LIMIT, name=name, state=state) for name, state in (("b", None), ("a", None), ("gone", "absent"))]
    greeting = entry("conditions: []\nactions: [{set: smtpGreeting, value: hi}]", name="hello")
    before = edit.put_general_rule(edit.put_general_rule(Policy(), rules[1]), entry(LIMIT, name="gone"))
    after = edit.put_document(before, {"rules": [rules[0], greeting, *rules[1:]]})
    assert [(rule.event, rule.name) for rule in after.rules] == [("connect", "hello"), ("ehlo", "b"), ("ehlo", "a")]
    assert edit.put_document(after, {"rules": [rules[0], greeting, *rules[1:]]}) == after
