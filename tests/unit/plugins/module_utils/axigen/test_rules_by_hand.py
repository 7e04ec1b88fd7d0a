# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules made in WebAdmin or with an editor: recognised by meaning, taken over in place, placed beside, left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy import edit, forced_options, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Policy
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    AuthRule,
    ForcedTlsDomain,
    GeneralRule,
    OpaqueRule,
    RelayTlsRule,
)
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import effect
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import AXIGEN, POSTERN
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rule_edit import edit_rules
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rules import RuleReader
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script import parse
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.foreign_scripts import SHUFFLED

#: Another server's words for ours; the scripts below are written with ours.
WORDS = (
    ("plainConnAuthTypes", "authForClear"),
    ("SECURECONNAUTHTYPES", "AUTH_SECURE"),
    ("secureConnAuthTypes", "Auth_secure"),
    ("isCase (isSSL", "sameAs (isSSL"),
    ("ISCASE(isSSL", "SAMEAS(isSSL"),
    ("isCase", "Equals"),
    ("iscase", "equals"),
    ("rcptDomain", "to_Domain"),
    ("relayDomain", "next_Domain"),
    ("tlsLevel", "howSafe"),
    ("tlsMatch", "certs"),
    ("sslEnabled", "mustEncrypt"),
    ("scram-sha-256", "S256"),
    ("plain", "Simple"),
    ("login", "log-in"),
    ("none", "Nothing"),
    ("tls12", "V12"),
    ("tls13", "v1.3x"),
)


@pytest.fixture(params=["postern", "learned"])
def dialect(request):
    """The bundled MTA's names, and those of a server that was learned."""
    return POSTERN if request.param == "postern" else SHUFFLED


def said(content, dialect):
    """A script in the dialect's words."""
    for ours, theirs in WORDS if dialect is SHUFFLED else ():
        content = content.replace(ours, theirs)
    return content


def policy_of(content, dialect):
    reader = RuleReader(parse(content), dialect)
    return reader, Policy(starttls=reader.starttls()[0], rules=reader.rules(), relay=reader.relay()[0])


def run(content, change, dialect):
    """The new script and what was done; the second run does nothing."""
    reader, before = policy_of(content, dialect)
    desired = change(before)
    if desired == before:
        return content, []
    edited = edit_rules(reader, before, desired)
    effect.check(RuleReader(edited.script, dialect), before, edited.desired)
    _reader, found = policy_of(edited.script.text, dialect)
    assert change(found) == found
    return edited.script.text, edited.actions


def auth(name, connection, mechanisms, position=None, enabled=None):
    entry = options.auth_rule({"name": name, "connection": connection, "mechanisms": mechanisms, "enabled": enabled})
    return lambda policy: edit.put_auth_rule(policy, entry, position)


def inbound(domain, **more):
    entries, _warnings = forced_options.forced_domain({"domain": domain, "direction": "inbound", **more})
    return lambda policy: edit.put_forced_domains(policy, entries)


# --- recognised by meaning --------------------------------------------------------------------------

REJECT = 'set (smtpAction, "reject"); set (smtpExplanation, "TLS, please");'
FORMS = {
    "no authentication": (
        'method r { set (plainConnAuthTypes, "none"); }',
        AuthRule("r", "plain", ()),
    ),
    "other case and blanks": (
        'METHOD r\n{ # why\n\tSET( SECURECONNAUTHTYPES ,\n" login  plain") ; }',
        AuthRule("r", "tls", ("PLAIN", "LOGIN")),
    ),
    "empty set": ('method r { set (plainConnAuthTypes, " "); }', AuthRule("r", "plain", ())),
    "all": (
        'method r { set (secureConnAuthTypes, "all"); }',
        AuthRule("r", "tls", POSTERN.mechanisms),
    ),
    "may": (
        'method r { set (allowedSSLVersions, "tls13 tls12"); set (allowStartTLS, "yes"); }',
        RelayTlsRule("r", "may", ("TLSv1.2", "TLSv1.3")),
    ),
    "encrypt": ('method r { set (sslEnabled, " YES "); }', RelayTlsRule("r", "encrypt")),
    "inbound": (
        'method r { if ( allOf ( isCase (rcptDomain, "A.Test"), isCase (isSSLConnection, "NO") ) ) { %s } }' % REJECT,
        ForcedTlsDomain("r", "a.test", "TLS, please"),
    ),
    "inbound, other order and case": (
        'method r { IF(ALLOF(ISCASE(isSSLConnection,"no"),iscase(rcptDomain,"a.test"))){ %s } }'
        % 'SET (SMTPEXPLANATION, "one\r\ntwo"); set (smtpAction, "Reject ");',
        ForcedTlsDomain("r", "a.test", "one\ntwo"),
    ),
    "outbound, any of one": (
        'method r { if (anyOf (isCase (relayDomain, "a.test"))) {set(tlsLevel,"secure"); set (tlsMatch, "b.test "); } }',
        ForcedTlsDomain("r", "a.test", None, "outbound", True, "secure", None, ("b.test",)),
    ),
    "outbound, bare test": (
        'method r { if (isCase (relayDomain, "A.test")) { set (tlsLevel, "Encrypt"); } }',
        ForcedTlsDomain("r", "a.test", None, "outbound", True, "encrypt"),
    ),
}
OPAQUE = {
    "one more set": 'set (plainConnAuthTypes, "none"); set (x, "1");',
    "twice": 'set (plainConnAuthTypes, "none"); set (plainConnAuthTypes, "none");',
    "unknown word": 'set (plainConnAuthTypes, "plain magic");',
    "reference": 'set (plainConnAuthTypes, "%x%");',
    "condition": 'if (isCase (isSSLConnection, "no")) { set (plainConnAuthTypes, "none"); }',
    "unknown statement": 'set (plainConnAuthTypes, "none"); return;',
    "any of two": 'if (anyOf (isCase (isSSLConnection, "no"), isCase (rcptDomain, "a.test"))) { %s }' % REJECT,
    "one more test": 'if (allOf (isCase (isSSLConnection, "no"), isCase (rcptDomain, "a.test"), is (x, "1"))) { %s }'
    % REJECT,
    "no domain": 'if (allOf (isCase (isSSLConnection, "no"), isCase (rcptDomain, "a.test b.test"))) { %s }' % REJECT,
    "subdomains": 'if (allOf (isCase (isSSLConnection, "no"), isCase (rcptDomain, ".a.test"))) { %s }' % REJECT,
    "other spelling": 'if (allOf (isCase (isSSLConnection, "no"), isCase (rcptDomain, "a.test."))) { %s }' % REJECT,
    "other test": 'if (allOf (isCase (isSSLConnection, "no"), contains (rcptDomain, "a.test"))) { %s }' % REJECT,
    "encrypted": 'if (allOf (isCase (isSSLConnection, "yes"), isCase (rcptDomain, "a.test"))) { %s }' % REJECT,
    "empty": "",
}
#: Those that say documented things only, where an event calls them in which these have an effect.
GENERAL = {"condition": "onEhlo", "any of two": "onRcptTo", "encrypted": "onRcptTo"}


@pytest.mark.parametrize("name", FORMS)
def test_recognised_by_meaning(name, dialect):
    method, rule = FORMS[name]
    event = {"ehlo": "onEhlo", "rcpt": "ONRCPTTO", "relay": "onRelay"}[rule.event]
    called = said("event %s { CALL(R); }\n%s\n" % (event, method), dialect)
    assert policy_of(called, dialect)[1].rules == (rule,)
    # Not called: a rule that is switched off.
    idle = said("event %s { }\n%s\n" % (event, method), dialect)
    assert policy_of(idle, dialect)[1].rules == (replace(rule, enabled=False),)


@pytest.mark.parametrize("name", OPAQUE)
def test_anything_more_or_less_is_not_typed(name, dialect):
    for event in ("onEhlo", "onRcptTo"):
        called = said("event %s { call (r); }\nmethod r { %s }\n" % (event, OPAQUE[name]), dialect)
        (rule,) = policy_of(called, dialect)[1].rules
        kind = GeneralRule if GENERAL.get(name) == event else OpaqueRule
        assert (type(rule), rule.name, rule.enabled) == (kind, "r", True)


@pytest.mark.parametrize("name", FORMS)
def test_names_of_another_server_say_nothing(name):
    method, rule = FORMS[name]
    content = said("event onEhlo { }\nevent onRcptTo { }\nevent onRelay { }\n%s\n" % method, SHUFFLED)
    assert content != said(content, POSTERN) or SHUFFLED.plain_auth_var not in method
    for other in (POSTERN, AXIGEN):
        (found,) = policy_of(content, other)[1].rules
        assert found != replace(rule, enabled=False)


def test_what_a_method_says_is_compared_and_not_how(dialect):
    content = said("event onEhlo { call (r); }\n" + FORMS["other case and blanks"][0], dialect)
    assert run(content, auth("R", "tls", ["LOGIN", "PLAIN"]), dialect) == (content, [])
    content = said("event onRcptTo { call (r); }\n" + FORMS["inbound, other order and case"][0], dialect)
    # Without a message of its own the task leaves the one that stands there.
    assert run(content, inbound("a.test"), dialect) == (content, [])


# --- taken over in place ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [key for key in OPAQUE if "test" not in key and key != "encrypted"])
def test_taken_over_in_place(name, dialect):
    method = "METHOD  Mine { %s }" % OPAQUE[name]
    around = (
        "event onEhlo {\n\tcall (A); # a\n\tcall( mine ) ; # keep\n\tcall (B);\n}\n# before\n%s # behind\nmethod B {}\n"
    )
    content = said(around % method, dialect)
    text, actions = run(content, auth("mine", "plain", []), dialect)
    assert actions == ["change rule Mine"]
    word = said('set (plainConnAuthTypes, "none");', dialect)
    # Where it is only a value that differs, only that is changed.
    body = " %s " % word if name in ("unknown word", "reference") else "\n\t%s\n" % word
    assert text == said(around, dialect) % ("METHOD  Mine {%s}" % body)


TESTS = 'ISCASE(isSSLConnection ,"no") , # first\n isCase ( rcptDomain, "a.test" )'


def test_only_the_text_that_differs_changes(dialect):
    method = FORMS["inbound"][0].replace("A.Test", "a.test").replace("NO", "no")
    method = method.replace('isCase (rcptDomain, "a.test"), isCase (isSSLConnection, "no")', TESTS)
    content = said("event onRcptTo { call (r); }\n" + method, dialect)
    text, actions = run(content, inbound("a.test", reject_message="Use TLS"), dialect)
    assert (text, actions) == (content.replace("TLS, please", "Use TLS"), ["change rule r"])


def test_taken_over_from_a_place_that_nothing_calls(dialect):
    content = said('event onEhlo {\n\tcall (A);\n}\nmethod mine { set (x, "1"); }\n', dialect)
    text, actions = run(content, auth("mine", "plain", []), dialect)
    assert actions == ["change rule mine", "call rule mine"]
    assert "\tcall (A);\n\tcall (mine);\n}" in text and text.count("method") == 1


# --- placed beside, switched off, left alone ----------------------------------------------------------

EVENT = "event onEhlo {\n\tcall (WA_Acceptance_basic);\n%s}\nmethod B { foo (x); }\nmethod WA_Acceptance_basic { }\n"
LINES = ("\tCALL(A); # nowhere\n", "  call (B)\n\t;\n", "\tcall (A);\n")


def calls(*lines):
    return EVENT % "".join(lines)


@pytest.mark.parametrize(
    ("position", "index"),
    [("first", 0), ({"before": "a"}, 0), ({"after": "A"}, 1), ({"before": "B"}, 1), ({"after": "b"}, 2), ("last", 3)],
)
@pytest.mark.parametrize("start", [None, 0, 1, 2, 3])
def test_beside_foreign_rules_which_stay_where_they_are(position, index, start, dialect):
    lines = list(LINES)
    own = "\tcall (mine);\n"
    method = said('\nmethod mine {\n\tset (plainConnAuthTypes, "none");\n}\n', dialect)
    if start is not None:
        lines.insert(start, own)
        if isinstance(position, dict):
            side, anchor = next((key, value) for key, value in position.items())
            first = [line.upper().find(anchor.upper()) >= 0 and line != own for line in lines].index(True)
            if (start < first) == (side == "before"):
                index = start  # It stands on the right side already.
    content = calls(*lines) + (method if start is not None else "")
    text, _actions = run(content, auth("mine", "plain", [], position), dialect)
    assert text == calls(*LINES[:index], own, *LINES[index:]) + method


def test_switched_off_and_on_again(dialect):
    content = calls(*LINES[:2], "\tcall (mine);\n") + said(
        '\nmethod mine {\n\tset (plainConnAuthTypes, "none");\n}\n', dialect
    )
    off, actions = run(content, auth("mine", "plain", [], enabled=False), dialect)
    assert (off, actions) == (content.replace("\tcall (mine);\n", ""), ["disable rule mine"])
    assert policy_of(off, dialect)[1].rule("mine").enabled is False
    # Not said: it stays as it is. Said: it comes back.
    assert run(off, auth("mine", "plain", []), dialect) == (off, [])
    assert run(off, auth("mine", "plain", [], enabled=True), dialect) == (content, ["call rule mine"])


def test_what_is_not_understood_is_never_removed(dialect):
    content = calls(*LINES) + "method Idle { return; }\nmethod WA_Idle { }\n"
    _reader, policy = policy_of(content, dialect)
    assert [(rule.name, rule.enabled) for rule in policy.rules] == [
        ("WA_Acceptance_basic", True),
        ("A", True),
        ("B", True),
        ("A", True),
        ("Idle", False),
        ("WA_Idle", False),
    ]
    for rule in policy.rules:
        with pytest.raises(PolicyError, match="not removed"):
            edit.remove_rule(policy, rule.name)
    document = {"auth_rules": [dict(options.auth_rule({"name": "mine", "connection": "plain", "mechanisms": []}))]}
    text, actions = run(content, lambda policy: edit.put_document(policy, document), dialect)
    assert actions == ["add rule mine", "call rule mine"]
    own = said('\nmethod mine {\n\tset (plainConnAuthTypes, "none");\n}\n', dialect)
    assert text.replace("\tcall (mine);\n", "").replace(own, "") == content


def test_a_rule_that_is_called_twice(dialect):
    content = calls("\tcall (mine);\n", LINES[0], "\tcall (mine);\n", LINES[1]) + said(
        'method mine { set (plainConnAuthTypes, "none"); }\n', dialect
    )
    assert [rule.name for rule in policy_of(content, dialect)[1].rules] == ["WA_Acceptance_basic", "A", "mine", "B"]
    assert run(content, auth("mine", "plain", []), dialect) == (content, [])
    text, _actions = run(content, auth("mine", "plain", [], "last"), dialect)
    assert text.startswith(calls(LINES[0], LINES[1], "\tcall (mine);\n"))
    text, _actions = run(content, auth("mine", "plain", [], enabled=False), dialect)
    assert text.startswith(calls(LINES[0], LINES[1]))
