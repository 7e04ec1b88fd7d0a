# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Any forced-TLS rule, written into a script that travels as octets and read back, is the same rule."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import (
    ForcedTlsDomain,
    ForcedTlsGroup,
    RelayTlsRule,
)
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import POSTERN
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.domain_lane import Lane
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rule_forms import read_rule, statements
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rules import RuleReader
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script import parse
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script_edit import ScriptEdit, rendered

hypothesis = pytest.importorskip("hypothesis", reason="counter-examples are searched where hypothesis is installed")
st = pytest.importorskip("hypothesis.strategies", reason="counter-examples are searched where hypothesis is installed")

relaxed = hypothesis.settings(
    max_examples=300, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)

whole = st.sampled_from(["a.test", "bank.test", "xn--bcher-kva.test", "b-1.co.test", "1.d.test"])
domains = st.one_of(whole, whole.map(lambda name: "." + name), st.just("*"))
messages = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"%\\'), min_size=1, max_size=40)
reasons = st.none() | st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters='"%\\'), min_size=1, max_size=40
)
untils = st.none() | st.dates().map(lambda day: day.isoformat())
version_sets = st.sampled_from([None, ("TLSv1.2",), ("TLSv1.2", "TLSv1.3"), ("TLSv1", "TLSv1.1", "TLSv1.2")])
matches = st.none() | st.lists(st.sampled_from(["a.test", ".b.test", "c.test"]), min_size=1, unique=True).map(tuple)
prints = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=20, unique=True).map(
    lambda found: tuple(sorted(octets.hex(":").upper() for octets in found))
)
everything = st.sampled_from(["verify", "secure", "fingerprint"])


@st.composite
def rules_for_all(draw):
    """Relay TLS rules at a level of their own."""
    level, enabled, versions = draw(everything), draw(st.booleans()), draw(version_sets)
    match = draw(matches) if level == "secure" else None
    return RelayTlsRule("m", level, versions, enabled, match, draw(prints) if level == "fingerprint" else None)


@st.composite
def rules(draw):
    """Every value that the options of a task can ask for."""
    name = draw(st.sampled_from(["m", "allow_only_tls_for_bank_test"]))
    direction = draw(st.sampled_from(["inbound", "outbound"]))
    compact = draw(st.booleans())
    first = draw(st.lists(whole, min_size=2, unique=True).map(lambda names: tuple(sorted(names))) if compact else domains)
    enabled = draw(st.booleans())
    noted = () if compact else (draw(reasons), draw(untils))
    kind = ForcedTlsGroup if compact else ForcedTlsDomain
    if direction == "outbound":
        level = draw(st.sampled_from(["none", "may", "encrypt", "verify", "secure", "fingerprint"][2 if compact else 0 :]))
        match = draw(matches) if level == "secure" else None
        versions = draw(version_sets) if level != "none" else None
        known = draw(prints) if level == "fingerprint" else None
        return kind(name, first, None, direction, enabled, level, versions, match, *noted, fingerprints=known)
    level = None if compact else draw(st.sampled_from([None, "may"]))
    message = draw(st.none() | messages if compact else messages) if level is None else None
    return kind(name, first, message, direction, enabled, level, None, None, *noted)


@hypothesis.given(rules() | rules_for_all())
@relaxed
def test_what_was_written_is_what_is_read(rule):
    edit = ScriptEdit(parse("event onRcptTo {\n}\n\nevent onRelay {\n}\n"))
    edit.put_method(rule.name, statements(rule, POSTERN))
    if rule.enabled:
        edit.put_call("onRcptTo" if rule.event == "rcpt" else "onRelay", rule.name)
    octets = edit.result().text.encode("utf-8", "surrogateescape")
    assert RuleReader(parse(octets.decode("utf-8", "surrogateescape")), POSTERN).rules() == (rule,)


@hypothesis.given(rules(), st.sampled_from(["", "\r", "x"]))
@relaxed
def test_the_fast_lane_writes_and_reads_as_the_long_way(rule, change):
    long_way = rendered(statements(rule, POSTERN))
    assert Lane("", POSTERN).write(rule) in (None, long_way)
    changed = long_way.replace("set (", "set  (") if change == "x" else long_way.replace("\n", change + "\n")
    text = "method %s {%s}\n" % (rule.name, changed)
    block = parse(text).method(rule.name)
    lane = Lane(text, POSTERN)
    expected = read_rule(block, True, POSTERN)
    # Once as the first method of its kind, once as the next one.
    for _time in range(2):
        assert lane.read(block, lambda one: read_rule(one, True, POSTERN)) == expected
