# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Blocks in the shapes that programs write are read another way than all others, and mean the same."""

from __future__ import annotations

import re

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import script as language
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script import ScriptError, parse

hypothesis = pytest.importorskip("hypothesis", reason="counter-examples are searched where hypothesis is installed")
st = pytest.importorskip("hypothesis.strategies", reason="counter-examples are searched where hypothesis is installed")

DOMAIN = """method %s {
\tif (
\t\tallOf (
\t\t\tisCase (isSSLConnection, "no"),
\t\t\tisCase (rcptDomain, "d.example")
\t\t)
\t) {
\t\tset (smtpAction, "reject");
\t\tset (smtpExplanation, "only with TLS {x} # \\ %%rcptDomain%%");
\t}
}
"""
PIECES = (
    DOMAIN % "allow_only_tls_for_d_example",
    DOMAIN.replace("\n", "\r\n") % "w\u00f6rd",
    'method auth { set (plainConnAuthTypes, "none"); set(a,"1") ; }\n',
    'method Any { if (anyOf (isCase (relayDomain, "a"), isCase(b , "#"))) { set (tlsLevel, "may"); } }',
    'method nested { if (allOf (is (a, "b"))) { if (anyOf (isCase (c, "d"), isCase (c, "e"))) { set (f, "g"); } } }',
    'method two { if (allOf (is (a, "b"))) { } set (c, "d"); }',
    'method else_ { if (allOf (is (a, "b"))) { set (c, "d"); } else { set (c, "e"); } }',
    "method empty { }",
    'METHOD shouting { SET (a, "b"); IF (ALLOF (IS (a, "b"))) { CALL (empty); } }',
    "event onRcptTo {\n\tcall (one);\n\tcall (two) ;\n\tcall(three);\n}\n",
    'event onEhlo { set (a, "b"); call (x); call (y); set (c, "d"); CALL (z); }',
    "method commented { # set\n call (x); # call\n call (y); call (z); }",
    "# a comment { \n",
    "\n\n",
)
texts = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)


@st.composite
def damaged(draw):
    """A script in which a few characters are gone, or others are there."""
    text = draw(texts)
    for _turn in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 2)))
        text = text[:start] + draw(st.sampled_from(["", " ", "\n", "#", '"', "\\", "{", "}", "(", ";", ",", "x"])) + text[end:]
    return text


def read(text):
    """Everything that a script says, or why it is none."""
    try:
        script = parse(text)
    except ScriptError as error:
        return str(error)
    return [
        [(one.kind, one.name, one.statements, one.span, one.body_span) for one in blocks]
        for blocks in (script.events, script.methods)
    ]


@hypothesis.given(damaged())
@hypothesis.settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck))
def test_a_shape_is_read_as_the_grammar_has_it(text):
    short = read(text)
    never = re.compile(r"(?!)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "_PLAIN_METHOD", never)
        patch.setattr(language, "_PLAIN_CALLS", never)
        patch.setattr(language, "_EACH_TEST", language._ONE_TEST)
        assert read(text) == short


def test_all_of_these_shapes_are_met():
    for text in PIECES[:4]:
        assert language._PLAIN_METHOD.match(text)
    assert not any(language._PLAIN_METHOD.match(text) for text in PIECES[4:] if "empty" not in text)
    assert language._PLAIN_CALLS.search(PIECES[9]).group().count("call") == 3


def test_a_block_is_a_value():
    one, other = parse(PIECES[0]).methods[0], parse(PIECES[0]).methods[0]
    assert one == other and hash(one) == hash(other) and one != parse("\n" + PIECES[0]).methods[0]
    assert repr(one).startswith("Block(kind='method', name='allow_only_tls_for_d_example', statements=(If(match='all', ")
    assert len({one, other}) == 1
