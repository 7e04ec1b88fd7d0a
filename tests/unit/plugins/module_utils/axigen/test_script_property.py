# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for every policy script, searched for counter-examples."""

from __future__ import annotations

import itertools
import re

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script import (
    Call,
    If,
    ScriptError,
    Set,
    Test as Condition,
    equal_but_line_ends,
    parse,
    tokens,
)
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script_edit import (
    ScriptEdit,
    new_set,
    same_meaning,
)

hypothesis = pytest.importorskip("hypothesis", reason="counter-examples are searched where hypothesis is installed")
st = pytest.importorskip("hypothesis.strategies", reason="counter-examples are searched where hypothesis is installed")

relaxed = hypothesis.settings(
    max_examples=70, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)

# --- scripts by the grammar, with what is meant ----------------------------------------------------

# Cheap to draw; some begin like a word of the grammar.
names = st.tuples(st.sampled_from(["n", "Setter", "if_", "CALL_", "2"]), st.text("aB9_.-", max_size=4)).map("".join)
# A backslash at the end of a string is a matter of its own.
values = st.text(
    st.one_of(
        st.characters(exclude_characters='"\\', exclude_categories=["Cs"]), st.sampled_from("\r\n\t{}();#%\udc80\udcff")
    ),
    max_size=20,
)
blanks = st.lists(
    st.one_of(
        st.sampled_from([" ", "\t", "\n", "\r\n", "\r", "\f"]),
        st.text(st.sampled_from('ab {}();,"#%\r\udcfc'), max_size=8).map(lambda text: "#" + text + "\n"),
    ),
    max_size=3,
).map("".join)
# Between all words of one script: a draw for each of them takes most of a test's time.
spaces = st.lists(blanks, min_size=1, max_size=7)
tests = st.builds(Condition, names, names, values)


def statements(children):
    return st.one_of(
        st.builds(Set, names, values),
        st.builds(Call, names),
        st.builds(
            If,
            st.sampled_from(["all", "any"]),
            st.lists(tests, min_size=1, max_size=3).map(tuple),
            st.lists(children, max_size=3).map(tuple),
        ),
    )


statement = st.recursive(st.builds(Call, names), statements, max_leaves=6)
blocks = st.lists(st.tuples(st.sampled_from(["event", "method"]), names, st.lists(statement, max_size=4)), max_size=4)


def words(one):
    """The words of a statement, between which anything blank may stand."""
    if isinstance(one, Set):
        return ["set", "(", one.variable, ",", '"%s"' % one.value, ")", ";"]
    if isinstance(one, Call):
        return ["call", "(", one.method, ")", ";"]
    result = ["if", "(", "%sOf" % one.match, "("]
    for number, test in enumerate(one.tests):
        result += [","] if number else []
        result += [test.name, "(", test.variable, ",", '"%s"' % test.value, ")"]
    result += [")", ")", "{"]
    for inner in one.body:
        result += words(inner)
    return [*result, "}"]


@st.composite
def scripts(draw, *always):
    """A script's text and its blocks as (kind, name, statements); ``always`` are strategies of blocks that it has."""
    meant = draw(blocks)
    for block in always:
        meant.insert(draw(st.integers(0, len(meant))), draw(block))
    space = itertools.cycle(draw(spaces))
    text = draw(st.sampled_from(["", "\ufeff"])) + next(space)
    for kind, name, body in meant:
        text += kind + (next(space) or " ") + name + next(space) + "{"
        for one in body:
            for word in words(one):
                text += next(space) + word
        text += next(space) + "}" + next(space)
    return text, meant


@hypothesis.given(scripts())
@relaxed
def test_what_is_written_is_what_is_read(made):
    text, meant = made
    script = parse(text)
    assert "".join(token.text for token in tokens(text)) == script.text == text
    found = sorted(script.events + script.methods, key=lambda block: block.span)
    assert [(block.kind, block.name) for block in found] == [(kind, name) for kind, name, _body in meant]
    for block, (_kind, _name, body) in zip(found, meant):
        assert same_meaning(block.statements, body)


@hypothesis.given(scripts(), st.lists(statement, max_size=3), st.booleans())
@relaxed
def test_a_method_that_comes_and_goes_leaves_no_trace(made, body, also_call):
    text, meant = made
    name = "own_rule_x"
    edit = ScriptEdit(parse(text))
    edit.put_method(name, body)
    added = edit.result()
    assert same_meaning(added.method(name).statements, body)
    assert len(added.events + added.methods) == len(meant) + 1
    edit = ScriptEdit(added)
    edit.put_method(name, body)
    assert edit.result() is added
    edit = ScriptEdit(added)
    edit.remove_method(name)
    assert edit.result().text == text


@hypothesis.given(scripts(st.tuples(st.just("method"), names, st.just([]))), st.data())
@relaxed
def test_every_statement_of_other_blocks_survives_a_replacement(made, choices):
    text, meant = made
    name = choices.draw(st.sampled_from([name for kind, name, _body in meant if kind == "method"]))
    edit = ScriptEdit(parse(text))
    body = [new_set("own", "value")]
    edit.put_method(name, body)
    edit.put_call("onOwn", name, after=())
    script = edit.result()
    assert same_meaning(script.method(name).statements, body)
    assert [call.method for call in script.event("onOwn").statements][:1] == [name]
    kept = [
        (block.kind, block.name, script.text[slice(*block.span)])
        for block in sorted(script.events + script.methods, key=lambda block: block.span)
    ]
    before = parse(text)
    for block in before.events + before.methods:
        if (
            block.kind == "event"
            and block.name.lower() != "onown"
            or block.kind == "method"
            and block.name.lower() != name.lower()
        ):
            assert (block.kind, block.name, text[slice(*block.span)]) in kept


full_method = st.tuples(st.just("method"), st.just("Full_one"), st.lists(statement, min_size=1, max_size=3))


@hypothesis.given(scripts(full_method, full_method), st.integers(1, 3))
@relaxed
def test_values_that_come_and_go_leave_no_trace(made, count):
    text, _meant = made
    name = "full_One"
    script = parse(text)
    edit = ScriptEdit(script)
    own = {"own_%d" % number: str(number) for number in range(count)}
    for variable, value in own.items():
        edit.set_value(name, variable, value)
    added = edit.result()
    for block in (block for block in added.methods if block.name.lower() == name.lower()):
        assert [(one.variable, one.value) for one in block.statements[-len(own) :]] == list(own.items())
    edit = ScriptEdit(added)
    for variable in own:
        edit.remove_value(name, variable.upper())
    assert edit.result().text == text


# --- what the line protocol carries ---------------------------------------------------------------

#: How a server keeps a script that it was sent, lines with LF behind them here.
KEEPS = {
    "as sent": lambda text: text,
    "with CR LF": lambda text: text.replace("\n", "\r\n"),
    "normalised": lambda text: re.sub("\r*\n", "\n", text),
    "without blank lines around": lambda text: re.sub("\\A(\r*\n)+|(\r*\n)+\\Z", "", text) + "\n",
}
#: What arrives of a kept script: each line with CR LF, of which the client takes one CR away.
SHOWS = {
    "each line end": lambda text: text,
    "as it is": lambda text: text.replace("\r\n", "\n"),
    "normalised": lambda text: re.sub("\r*\n", "\n", text),
}


@hypothesis.given(scripts(full_method), st.sampled_from(sorted(KEEPS)), st.sampled_from(sorted(SHOWS)))
@relaxed
def test_line_ends_are_never_a_reason_to_write_again(made, keeps, shows):
    stored, _meant = made
    keep, show = KEEPS[keeps], SHOWS[shows]

    def run():
        edit = ScriptEdit(parse(show(stored)))
        edit.put_method("own_x", [new_set("a", "b\nc")])
        return edit.script, edit.result()

    script, sent = run()
    assert sent is not script
    stored = keep(sent.text)
    assert equal_but_line_ends(show(stored), sent.text)
    script, again = run()
    assert again is script
    if (keeps, shows) == ("as sent", "each line end"):
        edit = ScriptEdit(script)
        edit.remove_method("own_x")
        assert edit.result().text == made[0]


# --- anything at all ---------------------------------------------------------------------------

fragments = st.lists(
    st.sampled_from(
        [
            "event e {",
            "method m {",
            "}",
            "{",
            "(",
            ")",
            ";",
            ",",
            '"',
            "#",
            "\n",
            "\r\n",
            " ",
            'set (a, "b");',
            "call (x);",
            'if (is (a, "b")) {',
            "else",
            "allOf (",
            "x",
            "\ufeff",
            "\udcfc",
            "\x00",
        ]
    ),
    max_size=30,
).map("".join)


@hypothesis.given(fragments)
@hypothesis.settings(relaxed, max_examples=500)
def test_anything_is_read_in_place_or_refused_with_a_place(text):
    try:
        script = parse(text)
    except ScriptError as error:
        lines = text.split("\n")
        assert 1 <= error.line <= len(lines) and 1 <= error.column <= len(lines[error.line - 1]) + 1
        return
    place = 0
    for block in sorted(script.events + script.methods, key=lambda block: block.span):
        assert place <= block.span[0]
        place = block.body_span[0]
        for one in block.statements:
            assert place <= one.span[0] < one.span[1]
            place = one.span[1]
        assert place <= block.body_span[1] == block.span[1] - 1
        place = block.span[1]
    assert place <= len(text)
    edit = ScriptEdit(script)
    edit.put_method("own", [new_set("a", "b")])
    added = edit.result()
    edit = ScriptEdit(added)
    edit.remove_method("own")
    assert edit.result().text == text
