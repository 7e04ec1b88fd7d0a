# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Any sequence of tasks on any script: foreign bytes stay, what was asked for is there, a second run does nothing."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._read_back import verify
from ansible_collections.securemail.smtp.plugins.module_utils._policy import edit, forced_options, general_rule, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Policy, StartTls
from ansible_collections.securemail.smtp.plugins.module_utils._policy.relay_host import relay_wish
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import AuthRule, GeneralRule, OpaqueRule, RelayTlsRule
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import effect, general_forms
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import POSTERN
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rule_edit import edit_rules
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rules import RuleReader
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script import parse
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.foreign_scripts import (
    OWN,
    SHUFFLED,
    leftover,
    scripts,
)

hypothesis = pytest.importorskip("hypothesis", reason="counter-examples are searched where hypothesis is installed")
st = pytest.importorskip("hypothesis.strategies", reason="counter-examples are searched where hypothesis is installed")

# --- tasks as the modules make them -------------------------------------------------------------------

enabled = st.sampled_from([None, None, True, False])
positions = st.sampled_from(
    [
        None,
        None,
        "first",
        "first",
        "first",
        "last",
        "last",
        *({side: name} for side in ("before", "after") for name in (*OWN[:4], "Foreign_3")),
    ]
)
mechanism_lists = st.sampled_from([[], ["PLAIN"], ["LOGIN", "PLAIN"], ["SCRAM-SHA-256"]])
version_lists = st.sampled_from([None, ["TLSv1.2"], ["TLSv1.3", "TLSv1.2"]])
names = st.sampled_from(OWN)
auth_names = st.sampled_from([*OWN[:2] * 3, *OWN])
relay_names = st.sampled_from([*OWN[2:4] * 3, *OWN])
auth_rules = st.fixed_dictionaries(
    {
        "name": auth_names,
        "connection": st.sampled_from(["plain", "tls"]),
        "mechanisms": mechanism_lists,
        "enabled": enabled,
    }
)
relay_rules = st.fixed_dictionaries(
    {"name": relay_names, "level": st.sampled_from(["may", "encrypt"]), "versions": version_lists, "enabled": enabled}
)
domains = st.one_of(
    st.fixed_dictionaries(
        {"domain": st.just("a.test"), "direction": st.just("inbound"), "enabled": enabled},
        optional={"reject_message": st.sampled_from(["TLS, please", "No mail in clear"])},
    ),
    st.fixed_dictionaries(
        {
            "domain": st.sampled_from(["a.test", "b.test"]),
            "direction": st.just("outbound"),
            "enabled": enabled,
            "level": st.sampled_from(["encrypt", "verify"]),
            "versions": version_lists,
            "name": st.sampled_from(OWN[4:]),
        }
    ),
)
general_rules = st.fixed_dictionaries(
    {
        "name": names,
        "conditions": st.lists(
            st.sampled_from(
                [
                    {"variable": "remoteSmtpIp", "value": "192.0.2.0/24"},
                    {"variable": "isSSLConnection", "value": False},
                    {"variable": "rcptDomain", "value": "a.test"},
                ]
            ),
            max_size=2,
        ),
        "actions": st.sampled_from(
            [
                [{"set": "smtpAction", "value": "reject"}, {"set": "smtpExplanation", "value": "TLS, please"}],
                [{"set": "plainConnAuthTypes", "value": "none"}],
                [{"set": "maxRcptCount", "value": 5}],
                [{"set": "allowStartTLS", "value": True}],
                [{"set": "tlsLevel", "value": "encrypt"}],
            ]
        ),
        "enabled": enabled,
    }
)
relay_hosts = st.sampled_from(
    [
        {"state": "absent"},
        {"host": "mx.test", "port": 25},
        {"host": "192.0.2.1", "port": 465, "tls": "implicit", "level": "verify"},
        {"host": "mx.test", "port": 587, "level": "verify", "username": "u", "password": 'p" ; } %x%'},
    ]
)


def put_auth(wish, position):
    entry = options.auth_rule(wish)
    return lambda policy: edit.put_auth_rule(policy, entry, position)


def put_relay_tls(wish, position):
    entry = options.relay_tls(wish)
    return lambda policy: edit.put_relay_tls(policy, entry, position)


def put_general(wish, position):
    entry = general_rule.general_rule(wish)
    return lambda policy: edit.put_general_rule(policy, entry, position)


def put_domain(wish):
    entries, _warnings = forced_options.forced_domain(wish)
    return lambda policy: edit.put_forced_domains(policy, entries)


def remove(name, kind):
    return lambda policy: edit.remove_rule(policy, name, kind)


def put_starttls(inbound, outbound):
    return lambda policy: edit.put_tls(policy, None, {}, StartTls(inbound, outbound))


def put_relay(wish):
    return lambda policy: edit.put_relay(policy, relay_wish(wish))


def put_document(auth, relay, forced, starttls):
    document, _warnings = options.policy_document(
        {"auth_rules": auth, "relay_tls": relay, "forced_tls_domains": forced, "starttls": {"inbound": starttls}}
    )
    return lambda policy: edit.put_document(policy, document)


unique = {"max_size": 2, "unique_by": lambda wish: wish["name"]}
switch = st.sampled_from([None, True, False])
tasks = st.one_of(
    st.tuples(st.just(put_auth), auth_rules, positions),
    st.tuples(st.just(put_relay_tls), relay_rules, positions),
    st.tuples(st.just(put_general), general_rules, positions),
    st.tuples(st.just(put_domain), domains),
    st.tuples(st.just(remove), names, st.sampled_from([None, AuthRule, RelayTlsRule])),
    st.tuples(st.just(put_starttls), switch, switch),
    st.tuples(st.just(put_relay), relay_hosts),
    st.tuples(
        st.just(put_document),
        st.lists(auth_rules, **unique),
        st.lists(relay_rules, **unique),
        st.lists(domains, max_size=1),
        switch,
    ),
)

# --- one run of a module ------------------------------------------------------------------------------


def read(script, dialect):
    reader = RuleReader(script, dialect)
    return reader, Policy(starttls=reader.starttls()[0], rules=reader.rules(), relay=reader.relay()[0])


class Refused(Exception):
    """A task that contradicts itself or what it meets."""


#: What may be in the way of a task that is well said.
MEANT = ("from another place than event", "cannot be set", "cannot be removed", "STARTTLS outbound is off")


def made_of(make, arguments):
    """The edit that a task means."""
    try:
        return make(*arguments)
    except PolicyError as error:
        raise Refused from error


def run(script, change, dialect):
    """The new script, and what was done; as the server does it."""
    reader, before = read(script, dialect)
    try:
        desired = change(before)
    except PolicyError as error:
        raise Refused from error
    try:
        return planned(reader, before, desired, dialect)
    except PolicyError as error:
        if not any(reason in str(error) for reason in MEANT):
            raise
        raise Refused from error


def planned(reader, before, desired, dialect):
    script = reader.script
    general = {rule.name.lower() for rule in desired.rules if isinstance(rule, GeneralRule)}
    desired = general_forms.settled(before, desired, dialect)
    if (before.rules, before.starttls, before.relay) == (desired.rules, desired.starttls, desired.relay):
        return script, []
    edited = edit_rules(reader, before, desired, general)
    changed, found = read(edited.script, dialect)
    effect.check(changed, before, edited.desired)
    effect.warnings(changed, before, edited.desired)
    verify(found, edited.desired)
    return edited.script, edited.actions


def converge(dialect, outcomes):
    @hypothesis.given(scripts(dialect), st.lists(tasks, min_size=1, max_size=8))
    @hypothesis.settings(
        max_examples=200,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def sequence(made, wanted):
        text, foreign = made
        script = parse(text)
        assert leftover(text, foreign) == ""
        opaque = [rule for rule in read(script, dialect)[1].rules if isinstance(rule, OpaqueRule)]
        taken = set()
        for make, *arguments in wanted:
            try:
                change = made_of(make, arguments)
                script, actions = run(script, change, dialect)
            except Refused:
                outcomes.append("refused")
                continue
            outcomes.append("changed" if actions else "unchanged")
            again, actions = run(script, change, dialect)
            assert (again.text, actions) == (script.text, [])
            assert leftover(script.text, foreign) == ""
            taken.update(name.lower() for name in OWN)
        # Nothing that is not understood was lost, and none of it changed sides.
        rules = read(script, dialect)[1].rules
        assert [rule for rule in opaque if rule.name.lower() not in taken and not rule.basic] == [
            rule for rule in rules if isinstance(rule, OpaqueRule) and rule.name.lower() not in taken and not rule.basic
        ]

    return sequence


@pytest.mark.parametrize("dialect", [POSTERN, SHUFFLED], ids=["postern", "learned"])
def test_any_tasks_on_any_script(dialect):
    outcomes = []
    converge(dialect, outcomes)()
    # Refusals are right, and must not be all there is.
    assert outcomes.count("changed") > 80, {one: outcomes.count(one) for one in set(outcomes)}


# --- and back -----------------------------------------------------------------------------------------

rule_tasks = st.one_of(
    st.tuples(st.just(put_auth), auth_rules, positions),
    st.tuples(st.just(put_relay_tls), relay_rules, positions),
    st.tuples(st.just(put_domain), domains),
)


@hypothesis.given(scripts(POSTERN, own=False), st.lists(rule_tasks, min_size=1, max_size=6))
@hypothesis.settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck))
def test_rules_that_come_and_go_leave_no_trace(made, wanted):
    text, _foreign = made
    script = parse(text)
    for make, *arguments in wanted:
        try:
            script, _actions = run(script, made_of(make, arguments), POSTERN)
        except Refused:
            continue
    for name in OWN:
        script, _actions = run(script, remove(name, None), POSTERN)
    assert script.text == text
