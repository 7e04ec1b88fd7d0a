# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""General rules in the script: what is written is read, what is read can be asked for, what is not sure is nobody's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy import edit, general_rule
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.general_variable import METHODS, VARIABLES
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Policy
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    EVENTS,
    AuthRule,
    ForcedTlsDomain,
    ForcedTlsGroup,
    GeneralRule,
    OpaqueRule,
    RelayTlsRule,
)
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import capability, effect, general_forms
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import AXIGEN, POSTERN
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rule_edit import edit_rules
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rule_forms import content
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rules import EVENT_NAMES, RuleReader
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script import parse
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import NotSupported
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.foreign_scripts import SHUFFLED

hypothesis = pytest.importorskip("hypothesis", reason="counter-examples are searched where hypothesis is installed")
st = pytest.importorskip("hypothesis.strategies", reason="counter-examples are searched where hypothesis is installed")


def policy_of(text, dialect=POSTERN):
    reader = RuleReader(parse(text), dialect)
    return reader, Policy(starttls=reader.starttls()[0], rules=reader.rules(), relay=reader.relay()[0])


def run(text, wish, dialect=POSTERN, position=None):
    """The new script, what was done and the warnings, as the server does it; a second run does nothing."""
    reader, before = policy_of(text, dialect)
    entry = general_rule.general_rule(dict({"name": "mine"}, **wish))
    wanted = edit.put_general_rule(before, entry, position)
    desired = general_forms.settled(before, wanted, dialect)
    capability.check(before, desired, dialect, ())
    edited = edit_rules(reader, before, desired, {"mine"})
    changed, found = policy_of(edited.script.text, dialect)
    effect.check(changed, before, edited.desired, reader)
    again = general_forms.settled(found, edit.put_general_rule(found, entry, position), dialect)
    assert again == found
    return edited.script.text, edited.actions, edited.warnings + effect.warnings(changed, before, edited.desired)


@pytest.mark.parametrize("position", [{"after": "other"}, {"before": "other"}, "first", "last"])
def test_a_rule_that_is_off_has_no_place(position):
    """Which event it belongs to follows from what it says, and may be another one once it says something else."""
    forced = "if (allOf (isCase (rcptDomain, \"a.test\"), isCase (isSSLConnection, \"no\"))) "
    text = "event onRcptTo { call (other); }\nmethod other { checkSPF (); }\n" + (
        "method mine { " + forced + '{ set (smtpAction, "reject"); } }\n'
    )
    wish = {"conditions": [], "actions": [{"set": "smtpAction", "value": "reject"}]}
    changed, actions, _warnings = run(text, wish, position=position)
    assert actions == ["change rule mine"] and "call (mine)" not in changed
    # The one that it stands beside must be there all the same.
    with pytest.raises(PolicyError, match="nobody, which does not exist"):
        run(text, wish, position={"after": "nobody"})


def general(statements, event="onRcptTo", dialect=POSTERN):
    rules = policy_of("event %s { call (m); }\nmethod m { %s }\n" % (event, statements), dialect)[1].rules
    return rules[0] if isinstance(rules[0], GeneralRule) else None


# --- everything that can be said --------------------------------------------------------------------

VALUES = {
    "yes_no": st.sampled_from([True, False, "Yes", " no"]),
    "number": st.sampled_from([1, "25", " 0465 "]),
    "text": st.sampled_from(["", "a b", "x%RCPTDOMAIN%y", "%ehlohost%", 5]),
    "reason": st.sampled_from(["", "Übergang"]),
    "date": st.just("2026-12-31"),
    "level": st.sampled_from(["may", "NONE", False, "secure"]),
    "mechanisms": st.sampled_from(["none", [], ["login", "PLAIN"], "scram-sha-256"]),
    "versions": st.sampled_from([["1.3", 1.2], "TLSv1.2"]),
    "host": st.sampled_from(["MX.test.", "[192.0.2.1]", "2001:DB8::1"]),
    "domains": st.sampled_from(["a.test, .b.test", ["B.test."]]),
    "fingerprints": st.sampled_from(["a1" * 32, ["sha256:" + "A1" * 32, ":".join(["b2"] * 32)]]),
    "domain": st.sampled_from(["A.test.", "bücher.test", "xn--bcher-kva.test"]),
    "ip": st.sampled_from(["192.0.2.1", ["192.0.2.0/24", "2001:db8::/32"], "192.0.2.3 - 192.0.2.9"]),
}


@st.composite
def wishes(draw, lacking=()):
    event = draw(st.sampled_from([one for one in EVENTS if one not in lacking]))
    there = [one for one in VARIABLES.values() if one.name not in lacking]
    tested = [one for one in there if event in one.tested]
    written = [one for one in there if event in one.written]
    conditions = []
    for variable in draw(st.lists(st.sampled_from(tested), max_size=3, unique=True)):
        test = "isSubdomainOf" if variable.kind == "domain" and draw(st.booleans()) else None
        conditions.append({"variable": variable.name.swapcase(), "test": test, "value": draw(VALUES[variable.kind])})
    actions = [
        {
            "set": variable.name.upper(),
            "value": draw(st.sampled_from(variable.allowed)) if variable.kind == "choice" else draw(VALUES[variable.kind]),
        }
        for variable in draw(st.lists(st.sampled_from(written), min_size=1, max_size=3, unique=True))
    ]
    match = draw(st.sampled_from(["all", "any"]))
    return {"event": event, "match": match, "conditions": conditions, "actions": actions}


@pytest.mark.parametrize("dialect", [POSTERN, SHUFFLED], ids=["postern", "learned"])
def test_what_is_written_is_read_and_can_be_asked_for(dialect):
    outcomes = []

    @hypothesis.given(wishes(lacking=POSTERN.lacks))
    @hypothesis.settings(max_examples=150, deadline=None, database=None)
    def any_wish(wish):
        try:
            text, actions, _warnings = run("", wish, dialect)
        except PolicyError as error:
            outcomes.append(str(error))
            return
        outcomes.append("")
        assert actions == ["add rule mine", "call rule mine"]
        reader, found = policy_of(text, dialect)
        (rule,) = found.rules
        seen = general_forms.view(rule, dialect)
        assert seen.event == wish["event"]
        # What is shown is the input of a second task, and says the same.
        shown = general_rule.general_document(seen)
        assert run(text, shown, dialect)[:2] == (text, [])
        # A rule that nothing calls says the same too, in the first event in which it can run.
        idle = policy_of(text.replace("call (mine);", ""), dialect)[1].rules
        assert [content(replace(one, enabled=True)) for one in idle] == [content(rule)] or idle[0].event != rule.event

    any_wish()
    assert outcomes.count("") > 60, outcomes


# --- rules made by hand -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statements",
    [
        'if (isCase (isSSLConnection, "no")) { SET (SMTPACTION, " Reject "); }',
        'if (anyOf (is (smtpPort, "0587"), isSubdomainOf (rcptDomain, "A.test"))) { set (remoteDelivery, "none"); }',
        'set (smtpExplanation, "%RcptDomain% is %isSSLConnection%"); set (smtpAction, "tmpreject");',
        'if (ipRange (REMOTESMTPIP, "192.0.2.0/255.255.255.0")) { set (localDelivery, "all"); }',
    ],
)
def test_documented_things_in_other_words(statements):
    rule = general(statements)
    assert rule is not None
    document = general_rule.general_document(rule)
    entry = general_rule.general_rule(document)
    assert (entry["conditions"], entry["actions"], entry["match"]) == (rule.conditions, rule.actions, rule.match)


@pytest.mark.parametrize(
    ("statements", "event"),
    [
        ('set (mine, "1");', "onRcptTo"),
        ('set (authUser, "me");', "onRcptTo"),
        ('set (smtpAction, "reject"); return;', "onRcptTo"),
        ('if (isCase (ehloHost, "a")) { if (isCase (ehloHost, "a")) { set (smtpAction, "reject"); } }', "onRcptTo"),
        ('if (isCase (ehloHost, "a")) { set (smtpAction, "reject"); } else { set (smtpAction, "accept"); }', "onRcptTo"),
        ('set (smtpAction, "accept"); if (isCase (ehloHost, "a")) { set (smtpAction, "reject"); }', "onRcptTo"),
        ('if (contains (ehloHost, "a")) { set (smtpAction, "reject"); }', "onRcptTo"),
        ("call (addHeader);", "onRcptTo"),
        ("call (other);", "onRcptTo"),
        ('set (smtpAction, "%mailFrom%");', "onRcptTo"),
        ('set (smtpAction, "drop");', "onRcptTo"),
        ('set (smtpExplanation, "two\nlines");', "onRcptTo"),
        ('set (smtpExplanation, "%x%");', "onRcptTo"),
        ('set (smtpAction, "accept"); set (smtpAction, "reject");', "onRcptTo"),
        ("", "onRcptTo"),
        # Where the server has another idea of equality, the meaning is not sure.
        ('if (isCase (rcptDomain, "a.test.")) { set (smtpAction, "reject"); }', "onRcptTo"),
        ('if (is (isSSLConnection, "NO")) { set (smtpAction, "reject"); }', "onRcptTo"),
        ('if (isCase (rcptDomain, "b\xfccher.test")) { set (smtpAction, "reject"); }', "onRcptTo"),
        # Where it has no effect, or is not known yet.
        ('set (smtpGreeting, "x");', "onRcptTo"),
        ('if (isCase (rcptDomain, "a.test")) { set (smtpAction, "reject"); }', "onMailFrom"),
        ('set (smtpAction, "reject");', "onRelay"),
        ('set (smtpAction, "reject");', "onDeliveryFailure"),
    ],
)
def test_what_is_not_sure_is_nobodys(statements, event):
    assert general(statements, event) is None


def test_called_twice_or_elsewhere_it_is_nobodys():
    method = 'method m { set (smtpExplanation, "x"); }\n'
    for events in (
        "event onRcptTo { call (m); call (M); }\n",
        "event onRcptTo { call (m); }\nevent onMailFrom { call (m); }\n",
        "event onRcptTo { call (m); }\nmethod n { call (m); }\n",
        "event onRcptTo { call (m); }\n" + method,
    ):
        rules = [rule for rule in policy_of(events + method)[1].rules if rule.name == "m"]
        assert {type(rule) for rule in rules} == {OpaqueRule}, events


# --- the typed rules as general ones ------------------------------------------------------------------

TYPED = [
    AuthRule("mine", "plain", ()),
    AuthRule("mine", "tls", ("SCRAM-SHA-256", "PLAIN")),
    RelayTlsRule("mine", "may", ("TLSv1.2", "TLSv1.3")),
    RelayTlsRule("mine", "encrypt"),
    ForcedTlsDomain("mine", "a.test", "TLS, please"),
    ForcedTlsDomain("mine", ".a.test", "TLS, please"),
    ForcedTlsDomain("mine", "*", "TLS, please"),
    ForcedTlsDomain("mine", "a.test", None, level="may", reason="Übergang", until="2026-12-31"),
    ForcedTlsDomain("mine", "a.test", None, "outbound", True, "secure", ("TLSv1.3",), (".c.test", "b.test")),
    ForcedTlsDomain("mine", "*", None, "outbound", True, "encrypt"),
    ForcedTlsDomain("mine", ".a.test", None, "outbound", True, "none", reason="old"),
]


@pytest.mark.parametrize("dialect", [POSTERN, SHUFFLED], ids=["postern", "learned"])
@pytest.mark.parametrize("rule", TYPED, ids=str)
def test_a_typed_rule_is_what_its_general_view_says(rule, dialect):
    seen = general_forms.view(rule, dialect)
    document = general_rule.general_document(seen)
    text, actions, warnings = run("", document, dialect)
    assert policy_of(text, dialect)[1].rules == (rule,)
    # And nothing is left to do for it where the typed one stands, in any order of words.
    document["actions"].reverse()
    document["conditions"].reverse()
    assert run(text, document, dialect) == (text, [], [])


def test_names_in_another_order_are_the_same():
    text = 'event onRelay { call (mine); }\nmethod mine { if (isCase (relayDomain, "a.test")) { set (tlsLevel, "secure"); %s } }\n'
    text %= 'set (tlsMatch, "b.test .c.test ");'
    (rule,) = policy_of(text)[1].rules
    assert run(text, general_rule.general_document(general_forms.view(rule, POSTERN))) == (text, [], [])


def test_many_domains_in_one_rule_are_no_general_one():
    assert general_forms.view(ForcedTlsGroup("g", ("a.test", "b.test"), None), POSTERN) is None


# --- where names differ -------------------------------------------------------------------------------

SPAM = {"conditions": [{"variable": "mailFromDomain", "value": "a.test"}], "actions": [{"set": "smtpAction", "value": "reject"}]}


def wish(condition, action):
    return {"conditions": [condition] if condition else [], "actions": [action]}


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (wish(dict(variable="rcptDomain", value="a.test"), SPAM["actions"][0]), "recipient_domain_variable"),
        (wish(None, {"set": "plainConnAuthTypes", "value": "none"}), "plain_auth_variable"),
        (wish(dict(variable="mailFrom", value="a@b.test"), SPAM["actions"][0]), "variable mailFrom in event mail"),
        (wish(dict(variable="mailFromDomain", value="a.test"), {"set": "remoteSmtpHost", "value": "b.test"}), "in event relay"),
        (wish(dict(variable="mailFromDomain", test="isSubdomainOf", value="a.test"), SPAM["actions"][0]), "test isSubdomainOf"),
        (wish(dict(variable="smtpIp", value="10.0.0.0/8 192.0.2.0/24"), SPAM["actions"][0]), "several ranges"),
        (wish(None, {"set": "tlsLevel", "value": "encrypt"}), "variable tlsLevel in event rcpt"),
    ],
)
def test_what_is_not_known_is_refused_by_name(wanted, reason):
    with pytest.raises(NotSupported, match=reason):
        run("", wanted, AXIGEN)


def test_what_every_server_has_is_written_in_its_words():
    checked = {"conditions": [], "actions": [{"set": "DNSBLServer", "value": "bl.test"}, {"call": "checkdnsbl"}]}
    text, _actions, _warnings = run("", checked, AXIGEN)
    assert 'set (DNSBLServer, "bl.test");\n\tcall (checkDNSBL);' in text and "event onConnect {\n\tcall (mine);" in text
    peers = wish(dict(variable="remoteSmtpIp", value="192.0.2.0/24"), {"set": "maxRcptCount", "value": 5})
    assert 'ipRange (remoteSmtpIp, "192.0.2.0/255.255.255.0")' in run("", peers, AXIGEN)[0]
    with pytest.raises(PolicyError, match="does not have DNSBLServer.*does not have checkDNSBL"):
        run("", checked, POSTERN)


def test_every_event_has_its_name():
    assert tuple(EVENT_NAMES) == EVENTS
    assert {event for _name, events, _reads in METHODS.values() for event in events} <= set(EVENTS)


# --- what else there is to say -------------------------------------------------------------------------


def test_values_that_do_not_count_are_told_of():
    text = 'event onMailFrom { call (last); }\nmethod last { set (maxRcptCount, "9"); }\n'
    peers = wish(dict(variable="remoteSmtpIp", value="192.0.2.0/24"), {"set": "maxRcptCount", "value": 5})
    (said,) = run(text, dict(peers, event="mail"), position="first")[2]
    assert said == "rule mine: what it sets maxRcptCount to has no effect, because last stands behind it and sets maxRcptCount"
    assert run(text, dict(peers, event="mail"))[2] == []


def test_what_shuts_everybody_out_is_told_of():
    (said,) = run("", wish(None, {"set": "smtpAction", "value": "reject"}))[2]
    assert said == "rule mine has no conditions: it refuses everything in event connect"
    clear = wish(dict(variable="isSSLConnection", value=False), {"set": "smtpAction", "value": "reject"})
    assert "may be no" in run("", clear, AXIGEN)[2][0]
    assert run("", clear)[2] == []
    (said,) = run("", dict(clear, event="connect"))[2]
    assert said.startswith("rule mine refuses connections in clear in event connect, where every client that is going to use")
    assert "event onMailFrom {" in run("", clear)[0]
    assert run("", dict(clear, enabled=False))[2] == []


@pytest.mark.parametrize("inbound", [True, False])
def test_an_exception_in_general_words_has_a_reason(inbound):
    event, variable = ("onRcptTo", "rcptDomain") if inbound else ("onRelay", "relayDomain")
    sets = 'set (tlsLevel, "encrypt");' + (' set (tlsExplanation, "TLS only");' if inbound else "")
    text = 'event %s { call (every); }\nmethod every { %s }\n' % (event, sets)
    may = wish(dict(variable=variable, value="x.p.test"), {"set": "tlsLevel", "value": "may"})
    with pytest.raises(PolicyError) as caught:
        run(text, may)
    (problem,) = caught.value.problems
    assert problem.startswith("rule mine: x.p.test %s at level may is an exception from rule every" % ("inbound" if inbound else "outbound"))
    assert "tlsReason" in problem
    may["actions"].append({"set": "tlsReason", "value": "old gateway"})
    assert run(text, may)[1][0] == "add rule mine"
    # What stands there like that already is asked for as it is.
    there = text.replace("; }", "; call (mine); }", 1)
    there += 'method mine { if (allOf (isCase (%s, "x.p.test"))) { set (tlsLevel, "may"); } }\n' % variable
    assert run(there, dict(may, actions=may["actions"][:1]))[1] == []


def test_a_general_rule_in_front_of_a_typed_one():
    text = run("", wish(None, {"set": "plainConnAuthTypes", "value": "PLAIN"}))[0].replace("mine", "typed")
    both = {"conditions": [], "actions": [{"set": "plainConnAuthTypes", "value": []}, {"set": "allowDSN", "value": "no"}]}
    with pytest.raises(PolicyError, match="allowDSN"):
        run(text, both)
    both["actions"][1]["set"] = "allow8bitMime"
    assert run(text, both)[2] == ["rule typed has no effect: mine stands behind it and sets plainConnAuthTypes"]
    assert "what it sets plainConnAuthTypes to has no effect" in run(text, both, position="first")[2][0]


def test_an_event_that_a_rule_leaves():
    peers = wish(dict(variable="remoteSmtpIp", value="192.0.2.0/24"), {"set": "maxRcptCount", "value": 5})
    text, actions, _warnings = run("", dict(peers, event="mail"))
    assert "event onMailFrom {\n\tcall (mine);\n}" in text
    # It stays where it is, unless it cannot.
    assert run(text, peers)[1] == []
    moved, actions, _warnings = run(text, wish(None, {"set": "smtpGreeting", "value": "hi"}))
    assert "event onConnect {\n\tcall (mine);\n}" in moved and "event onMailFrom {\n}" in moved
    assert actions[0] == "change rule mine"
