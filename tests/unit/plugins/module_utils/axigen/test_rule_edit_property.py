# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From any relaying policy to any other: the script holds it, nothing foreign changes, the way back is exact."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Policy, RelayHost
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import ForcedTlsDomain, RelayTlsRule
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import POSTERN
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rule_edit import edit_rules
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rules import RuleReader
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script import parse
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.script_files import (
    GENERATED,
    PLUMBING,
    text,
)

hypothesis = pytest.importorskip("hypothesis", reason="counter-examples are searched where hypothesis is installed")
st = pytest.importorskip("hypothesis.strategies", reason="counter-examples are searched where hypothesis is installed")

relaxed = hypothesis.settings(
    max_examples=70, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)

version_sets = st.sampled_from([None, ("TLSv1.2",), ("TLSv1.2", "TLSv1.3"), ("TLSv1", "TLSv1.1", "TLSv1.2")])
matches = st.none() | st.lists(st.sampled_from(["a.test", ".b.test", "c.test"]), min_size=1, unique=True).map(tuple)


@st.composite
def relay_rules(draw):
    """Relay rules and outbound domains in any order, the disabled ones behind."""
    rules = []
    for number in range(draw(st.integers(0, 5))):
        enabled = draw(st.booleans())
        if draw(st.booleans()):
            level = draw(st.sampled_from(["may", "encrypt"]))
            rules.append(RelayTlsRule("rule_%d" % number, level, draw(version_sets), enabled))
        else:
            level = draw(st.sampled_from(["encrypt", "verify", "secure"]))
            match = draw(matches) if level == "secure" else None
            rules.append(
                ForcedTlsDomain(
                    "rule_%d" % number, "d%d.test" % number, None, "outbound", enabled, level, draw(version_sets), match
                )
            )
    return tuple(sorted(draw(st.permutations(rules)), key=lambda rule: not rule.enabled))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
hosts = st.none() | st.builds(
    RelayHost,
    st.sampled_from(["mx.test", "192.0.2.1", "2001:db8::1"]),
    st.integers(1, 65535),
    st.sampled_from(["starttls", "implicit"]),
    st.sampled_from(["none", "may", "encrypt", "verify", "secure"]),
    st.sampled_from(["", "user", "user@mx.test"]),
    texts,
    st.booleans(),
)
EMPTY = b"event onRelay { call (WA_Routing_basic); }\nmethod WA_Routing_basic {\n}\n"
scripts = st.sampled_from([GENERATED, PLUMBING, EMPTY])


def read(script):
    reader = RuleReader(script, POSTERN)
    return reader, Policy(starttls=reader.starttls()[0], rules=reader.rules(), relay=reader.relay()[0])


def enabled_order(policy):
    return [rule.name for rule in policy.rules if rule.event == "relay" and rule.enabled]


def put(script, rules, relay):
    """The script with exactly these relay rules and this relay host."""
    reader, before = read(script)
    kept = tuple(rule for rule in before.rules if not rule.name.startswith("rule_"))
    desired = replace(before, rules=kept + rules, relay=relay)
    edited = edit_rules(reader, before, desired)
    _reader, found = read(edited.script)
    assert found.relay == relay
    assert found.starttls == before.starttls
    assert set(found.rules) == set(desired.rules)
    assert enabled_order(found) == enabled_order(desired)
    again = edit_rules(_reader, found, found)
    assert (again.script.text, again.actions) == (edited.script.text, [])
    return edited.script


@hypothesis.given(scripts, relay_rules(), relay_rules(), hosts, hosts)
@relaxed
def test_every_way_leads_there_and_back(content, one, other, first, second):
    start = parse(text(content))
    changed = put(put(start, one, first), other, second)
    assert put(changed, (), None).text == start.text
