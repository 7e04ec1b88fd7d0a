# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policy scripts are read without losing a byte, or refused with line and column."""

from __future__ import annotations

import random
import time

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import script as language
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script import (
    Call,
    If,
    ScriptError,
    Set,
    Unknown,
    equal_but_line_ends,
    one_line_end,
    parse,
    tokens,
)
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.script_files import (
    GENERATED,
    LOOKALIKE,
    PLUMBING,
    data,
    text,
)

ALL_BYTES = bytes(value for value in range(256) if value != 0x22)


def bare(statements):
    """Statements without their places."""
    result = []
    for statement in statements:
        if isinstance(statement, If):
            result.append((statement.match, [tuple(test) for test in statement.tests], bare(statement.body)))
        elif isinstance(statement, Set):
            result.append((statement.variable, statement.value))
        elif isinstance(statement, Call):
            result.append(statement.method)
        else:
            result.append(statement)
    return result


def method(body):
    """The statements of a method with this body."""
    (block,) = parse("method m {%s}" % body).methods
    return block.statements


def nested(script, statements):
    """All statements, bodies of conditions included, each checked to lie where it says."""
    for statement in statements:
        start, end = statement.span
        yield statement
        if isinstance(statement, Set):
            assert script.text[slice(*statement.value_span)] == statement.value
            assert script.text[statement.value_span[0] - 1] == script.text[statement.value_span[1]] == '"'
        elif isinstance(statement, If):
            assert script.text[end - 1] == "}"
            for inner in nested(script, statement.body):
                assert start < inner.span[0] and inner.span[1] < end
                yield inner
        elif isinstance(statement, Unknown):
            assert script.text[start:end] == statement.text


# --- files as found on servers ------------------------------------------------------------------


@pytest.mark.parametrize("content", [GENERATED, PLUMBING, LOOKALIKE], ids=["generated", "plumbing", "lookalike"])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r\r\n"], ids=["LF", "CRLF", "CRCRLF"])
def test_every_byte_is_kept(content, line_end):
    content = content.replace(b"\n", line_end)
    script = parse(text(content))
    assert data(script.text) == content
    assert data("".join(token.text for token in tokens(script.text))) == content
    for block in script.events + script.methods:
        assert script.text[slice(*block.span)].lower().startswith(block.kind)
        assert script.text[block.body_span[0] - 1] == "{" and script.text[block.body_span[1]] == "}"
        assert block.span[1] == block.body_span[1] + 1
        assert all(nested(script, block.statements))


def test_generated_file_keeps_both_line_ends_inside_strings():
    script = parse(text(GENERATED))
    (condition,) = script.method("WA_Processing_permanent_ndr").statements
    assert ("ndrMessage", "These addresses did not work:\r\n") in bare(condition.body)
    assert bare(script.method("WA_Processing_temporary_ndr").statements) == [
        ("ndrMessage", "Still trying:\n"),
        (
            "ndrMessageFooter",
            "Next try %ndrRescheduleDate%\n  (two spaces, a tab\tand a blank at the end) ",
        ),
    ]
    assert script.newline == "\n"


def test_events_hold_statements_that_are_not_calls_and_conditions_with_an_empty_body():
    script = parse(text(PLUMBING))
    assert bare(script.event("onConnect").statements) == [
        ("countriesOk_0", " "),
        ("countriesBad_0", ""),
        ("isBanned_0", "%isBanned%"),
        "WA_Acceptance_basic_banner",
    ]
    assert bare(script.method("WA_Country").statements) == [("any", [("isCase", "isBanned_0", "no")], [])]
    assert script.event("onRcptTo").statements == ()
    assert script.event("onMailFrom") is None
    assert bare(script.method("old_rule").statements) == [("localDelivery", "all")]


def test_comments_and_strings_are_no_script():
    script = parse(text(LOOKALIKE))
    assert [block.name for block in script.events] == ["onEhlo", "onRcptTo"]
    assert [block.name for block in script.methods] == [
        "Explain",
        "Night_Rule",
        "WA_Acceptance_basic",
        "WA_Routing_basic_delivery",
    ]
    assert bare(script.event("onEhlo").statements) == ["WA_Acceptance_basic", "WA_Routing_basic_delivery", "Night_Rule"]
    assert script.method("disableAUTH_on_non_SSL") is None
    assert bare(script.method("Explain").statements) == [
        (
            "all",
            [("isCase", "isSSLConnection", "no"), ("isCase", "rcptDomain", "old.example.test")],
            [
                ("smtpAction", "reject"),
                (
                    "smtpExplanation",
                    text(
                        b"Bitte f\xfcr old.example.test verschl\xfcsseln } call (Nothing); # 100 % } {\n"
                        b"second line of the text"
                    ),
                ),
            ],
        )
    ]


# --- white space, comments, bytes ---------------------------------------------------------------


def test_any_byte_in_a_string_and_in_a_comment():
    content = b"\xef\xbb\xbf# " + ALL_BYTES.replace(b"\n", b"") + b'"{\nmethod a { set (b, "' + ALL_BYTES + b'"); }'
    script = parse(text(content))
    assert data(script.text) == content
    (statement,) = script.method("a").statements
    assert data(statement.value) == ALL_BYTES
    assert script.position(script.text.index("method")) == (2, 1)


def test_byte_order_mark_only_in_front():
    assert parse("\ufeffevent a {}").event("a") is not None
    assert parse("\ufeff").events == ()
    with pytest.raises(ScriptError) as caught:
        parse("event a {}\ufeff")
    assert (caught.value.line, caught.value.column) == (1, 11)
    with pytest.raises(ScriptError) as caught:
        parse("\ufeff?")
    assert (caught.value.line, caught.value.column) == (1, 1)


@pytest.mark.parametrize("content", ["", "\n", "\r\n\r\n", "# nothing", "# no line end: event a {", " \t\f\v"])
def test_scripts_without_blocks(content):
    script = parse(content)
    assert (script.text, script.events, script.methods) == (content, (), ())


def test_comments_between_all_words():
    assert bare(method('set#"\n(# (\na#{\n,#,\n"#v"#"\n)#)\n;# ;\n')) == [("a", "#v")]
    body = 'if#\n(#\nanyOf#\n(#\nis#\n(#\na#\n,#\n"1"#\n)# is (c, "d")\n,#\nis (b, "2")#\n)#\n)#\n{#}\n}#else\n'
    assert bare(method(body)) == [("any", [("is", "a", "1"), ("is", "b", "2")], [])]
    assert bare(method("call#\n(#\nx#\n)#\n;# call (y);\n")) == ["x"]


def test_keywords_and_names_in_any_case():
    script = parse(
        'EVENT OnEhlo { CALL (One); }\nMethod ONE { SET (a, "1"); IF (ALLOF (IS (a, "1"))) { Set (B, "x"); } }'
    )
    assert bare(script.event("onehlo").statements) == ["One"]
    assert bare(script.method("one").statements) == [("a", "1"), ("all", [("IS", "a", "1")], [("B", "x")])]


def test_words_that_only_begin_like_keywords():
    kinds = [type(one) for one in method('settle (a, "b"); callee (x); iffy (is (a, "b")) { } end (a);')]
    assert kinds == [Unknown] * 4


def test_no_escapes_in_strings():
    assert bare(method('set (a, "back\\"); set (b, "");')) == [("a", "back\\"), ("b", "")]


def test_single_test_without_all_or_any():
    assert bare(method('if (is (a, "1")) { call (x); }')) == [("all", [("is", "a", "1")], ["x"])]


def test_nested_conditions():
    statements = method('if (is (a, "1")) { if (anyOf (is (b, "2"))) { set (c, "3"); } call (d); } call (e);')
    inner = ("any", [("is", "b", "2")], [("c", "3")])
    assert bare(statements) == [("all", [("is", "a", "1")], [inner, "d"]), "e"]


@pytest.mark.parametrize(
    "name", ["Größe-2.x", "2nd_rule", text(b"Gr\xf6\xdfe"), "7"], ids=["utf-8", "digit", "latin-1", "number"]
)
def test_names_that_are_not_in_the_grammar(name):
    script = parse('method %s { set (%s, "1"); }\nevent on_x { call (%s); }' % (name, name, name.lower()))
    assert script.method(name.lower()).name == name
    assert bare(script.method(name).statements) == [(name, "1")]
    assert bare(script.event("on_x").statements) == [name.lower()]


# --- duplicates, line ends ----------------------------------------------------------------------


def test_first_of_two_methods_counts_and_both_are_there():
    script = parse(
        'method A { set (x, "1"); } method b {} method a { set (x, "2"); } method a {} event e {} event E { }'
    )
    assert script.duplicate_methods == ("A",)
    assert bare(script.method("a").statements) == [("x", "1")]
    assert [block.name for block in script.methods] == ["A", "b", "a", "a"]
    assert script.event("e").name == "e" and len(script.events) == 2
    assert script.duplicate_events == ("e",) and parse("event e {} event f {}").duplicate_events == ()


@pytest.mark.parametrize(
    ("content", "newline"),
    [
        ("event a {}", "\n"),
        ("event a {\r\n}\r\n", "\r\n"),
        ("event a {\r\n}\r\n\n", "\r\n"),
        ("event a {\n}\r\n", "\n"),
        ('event a {\n}\nmethod b { set (c, "' + 30 * "a line\r\n" + '"); }\n', "\n"),
        ('# "\r\n# "\r\n' + 'event a {\r\nset (b, "\n\n\n\n\n\n");\r\n}', "\r\n"),
    ],
)
def test_main_line_end_is_that_of_lines_outside_of_strings(content, newline):
    assert parse(content).newline == newline


def test_comparison_ignores_line_ends_and_nothing_else():
    stored = text(GENERATED)
    for shown in (stored.replace("\r\n", "\n"), stored.replace("\n", "\r\n"), "\r\n" + stored.rstrip("\n")):
        assert shown != stored and equal_but_line_ends(shown, stored)
        assert one_line_end(shown) == one_line_end(stored)
    for other in (
        stored.replace("\tand", " and"),
        stored.replace("Date%\n  ", "Date%\n "),
        stored.replace("Date%\n", "Date%\n\n"),
        stored.replace("the end) ", "the end)"),
        stored.replace("Still", "still"),
        stored.replace("work:\r\n", "work:\r"),
    ):
        assert other != stored and not equal_but_line_ends(stored, other)


# --- what is not understood ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "checkSPF (a, b, c);",
        'set (a, "b", "c");',
        "set (a, b);",
        'set (a "b");',
        "call ();",
        "call (a, b);",
        ";",
        "{ call (a); }",
        'while (is (a, "b")) { set (c, "}"); }',
        'if (not (is (a, "b"))) { call (c); }',
        "if (allOf ()) { call (c); }",
        'if (is (a, "1"),) { }',
        "for (a; b; c) { call (d); }",
        'if (is (a, "1")) { call (b); } else { call (c); }',
        'if (is (a, "1")) { } # why\n else if (is (a, "2")) { } ELSE { if (is (a, "3")) { } else { } }',
        "if (x) { } else { }",
        'if (is (a, "1")) { } else call (c);',
        'include "file";',
        "event ;",
        "9lives (a);",
        "return;",
        "else { call (a); }",
        'foo (a, b, "c");',
        'set (a, "say \\"hi\\" to \\"them\\"");',
        'if (allOf (not (is (a, "b")), anyOf (is (c, "d")))) { return; }',
        "if (is (a, b)) { call (c); }",
        'call ("a");',
        "set (a, 'b');",
        text(b"\xfc (\xff);"),
        "\u00a0;",
    ],
)
def test_balanced_statements_are_kept_unread(statement):
    script = parse("method m {\n\tcall (one);\n\t%s\n\tcall (two);\n}" % statement)
    before, unknown, after = script.methods[0].statements
    start = script.text.index("\t" + statement) + 1
    assert unknown == Unknown(statement, (start, start + len(statement)))
    assert (before.method, after.method) == ("one", "two")


@pytest.mark.parametrize(
    ("content", "line", "column", "reason"),
    [
        ("junk", 1, 1, "only events and methods"),
        ("event a {}\n;", 2, 1, "only events and methods"),
        ("event a {}\n  }", 2, 3, 'no "{" for this "}"'),
        ('event a {}\n\n"x', 3, 1, "string never ends"),
        ("call (x);", 1, 1, "only events and methods"),
        ("event {}", 1, 1, "a name and a"),
        ("method -a {}", 1, 1, "a name and a"),
        ("method a (b) {}", 1, 1, "a name and a"),
        ('method "a" {}', 1, 1, "a name and a"),
        ('event a {}\ninclude "x";', 2, 1, "only events and methods"),
        ("event a b {}", 1, 1, "a name and a"),
        ("event a", 1, 1, "a name and a"),
        ("# c\nevent a {\n\tcall (b);\n", 2, 9, "never closed"),
        ("event a { # }", 1, 9, "never closed"),
        ("event a {\n\tcall (b);\n\nmethod c {\n}\n", 4, 1, 'a "}" is missing'),
        ('event a { if (is (b, "c")) { call (d); }', 1, 9, "never closed"),
        ('event a {\n if (is (b, "c")) {\n call (d);', 2, 19, "never closed"),
        ("event a {\n\tcall (b)\n}", 2, 2, 'does not end with ";"'),
        ("event a {\n\tcall (b;\n}", 2, 7, '"(" is not closed'),
        ("event a {\n\tcall b);\n}", 2, 8, 'no "(" for this ")"'),
        ("event a {\n\tx (b {)};\n}", 2, 7, '"{" is not closed'),
        ('event a {\n\tset (b, "c);\n}\n', 2, 10, "string never ends"),
        ('event a {\r\n\tset (b, "c");\r\n\tset (d, "e);\r\n}', 3, 10, "string never ends"),
        ("event a {\n\tx ((b);\n}", 2, 4, '"(" is not closed'),
        ("event a {\n\tx (b", 2, 4, '"(" is not closed'),
        ("event a {\n\tx", 2, 2, 'does not end with ";"'),
        ('event a { if (is (b, "c")) { } else', 1, 32, 'does not end with ";"'),
        ('event a { if (is (b, "c")) { } else {', 1, 37, '"{" is not closed'),
    ],
)
def test_refused_with_line_and_column(content, line, column, reason):
    with pytest.raises(ScriptError) as caught:
        parse(content)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert reason in caught.value.reason
    assert str(caught.value) == "line %d, column %d: %s" % (line, column, caught.value.reason)


@pytest.mark.parametrize(
    "content",
    [
        'method a { set (b, "\\"); set (c, "d"); }',
        'method a { set (b, "C:\\\\"); } method d { set (b, "\\\\"); }',
        'method a { set (b, "one \\" two"); }',
        '# \\"\nmethod a { set (b, "c"); } # \\"',
        'method a { if (is (b, "\\"x\\"")) { call (c); } }',
    ],
    ids=["one reading", "pairs", "the same place", "comments", "condition"],
)
def test_backslash_before_a_quote_that_makes_no_difference(content):
    try:
        assert parse(content).text == content
    except ScriptError as error:
        assert "backslash" not in error.reason


@pytest.mark.parametrize(
    ("content", "column"),
    [
        ('method a { set (b, "\\"); } method c { x (\\""); }', 22),
        ('method a { set (b, "\\"); call (x); y (\\""); }', 22),
        ('method a { if (is (b, "c")) { set (b, "\\"); call (x); y (\\""); } }', 41),
    ],
    ids=["blocks", "statements", "in a condition"],
)
def test_backslash_before_a_quote_that_makes_another_script(content, column):
    with pytest.raises(ScriptError, match="backslash stands before this quote") as caught:
        parse("\n" + content)
    assert (caught.value.line, caught.value.column) == (2, column)


def test_depth_of_conditions_is_limited():
    def deep(levels):
        return "method m {" + levels * 'if (is (a, "b")) {' + levels * "}" + "}"

    assert parse(deep(language.MAX_DEPTH)).methods[0].statements
    with pytest.raises(ScriptError, match="nested deeper"):
        parse(deep(language.MAX_DEPTH + 1))


def test_tokens_end_at_a_string_without_end():
    with pytest.raises(ScriptError) as caught:
        list(tokens('set (a,\n "b'))
    assert (caught.value.line, caught.value.column) == (2, 2)


@pytest.mark.parametrize("seed", range(40))
def test_damage_is_refused_or_kept_and_never_changed(seed):
    """Whatever is cut out of, or put into, a script: it is refused, or read with every part in its place."""
    chance = random.Random(seed)
    outcomes = set()
    for _round in range(60):
        content = text(chance.choice((GENERATED, PLUMBING, LOOKALIKE)))
        for _damage in range(chance.randint(1, 3)):
            start = chance.randrange(len(content))
            end = start + chance.choice((0, 1, 1, 5, 40))
            content = (
                content[:start] + chance.choice(("", "", "{", "}", '"', "(", ")", ";", "#", "\r", "x")) + content[end:]
            )
        try:
            script = parse(content)
        except ScriptError as error:
            lines = content.split("\n")
            assert 1 <= error.line <= len(lines)
            assert 1 <= error.column <= len(lines[error.line - 1]) + 1
            outcomes.add("refused")
            continue
        assert "".join(token.text for token in tokens(content)) == script.text == content
        blocks = sorted(script.events + script.methods, key=lambda block: block.span)
        for block, following in zip(blocks, blocks[1:]):
            assert block.span[1] <= following.span[0]
        for block in blocks:
            spans = [statement.span for statement in block.statements]
            assert spans == sorted(spans)
            assert all(nested(script, block.statements))
        outcomes.add("read")
    assert outcomes == {"refused", "read"}


# --- size ---------------------------------------------------------------------------------------


def seconds(content):
    start = time.process_time()
    try:
        parse(content)
    except ScriptError:
        pass
    return time.process_time() - start


RULE = (
    "method only_tls_%d {\n\tif (\n\t\tallOf (\n"
    '\t\t\tisCase (isSSLConnection, "no"),\n\t\t\tisCase (rcptDomain, "d%d.test")\n'
    '\t\t)\n\t) {\n\t\tset (smtpAction, "reject");\n\t\tset (smtpExplanation, "TLS only");\n\t}\n}\n\n'
)


def test_many_methods():
    content = "".join(RULE % (number, number) for number in range(30000))
    assert len(content) > 5000000
    start = time.process_time()
    script = parse(content)
    # Measured 0.7 s; the limit leaves room for slow machines and is far below what a quadratic parser needs.
    assert time.process_time() - start < 8
    assert len(script.methods) == 30000 and script.method("only_tls_29999") is not None


@pytest.mark.parametrize(
    "piece",
    [
        '"',
        "#",
        "# \n",
        " ",
        "\r",
        "set ",
        'set (a, "',
        'set (a, "b") ',
        "call (a) ",
        "if (",
        'if (is (a, "b")',
        "(",
        "{",
        'is (a, "b"), ',
        "x;",
        "} else {",
        "event ",
        "method m {",
        'if (allOf (is (a, "b")',
        "#\n\n",
        "a" * 50,
    ],
)
@pytest.mark.parametrize("start", ["", "event a {", 'event a { if (allOf (is (a, "b"), ', 'event a { set (a, "b")'])
def test_cost_grows_with_size_and_not_faster(start, piece):
    def best(count):
        return min(seconds(start + piece * count) for _try in range(3))

    # A quadratic cost would be 64 times as high; 0.02 s hides what cannot be measured.
    assert best(32000) < 24 * max(best(4000), 0.02 / 8)
