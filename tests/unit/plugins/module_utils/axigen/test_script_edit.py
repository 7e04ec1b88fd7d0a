# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Edits of policy scripts touch what they own and nothing else."""

from __future__ import annotations

import difflib
import time

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script import Call, ScriptError, parse
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script_edit import (
    ScriptEdit,
    new_if,
    new_set,
    same_meaning,
)
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.script_files import (
    GENERATED,
    LOOKALIKE,
    NO_AUTH,
    PLUMBING,
    TLS_ONLY,
    call_names,
    data,
    edited,
    text,
)

PLAIN = "disableAUTH_on_non_SSL"


def added_and_removed(before, after):
    lines = list(difflib.ndiff(before.splitlines(True), after.splitlines(True)))
    return [line[2:] for line in lines if line[0] == "+"], [line[2:] for line in lines if line[0] == "-"]


# --- files as found on servers ------------------------------------------------------------------


@pytest.mark.parametrize("content", [GENERATED, PLUMBING, LOOKALIKE], ids=["generated", "plumbing", "lookalike"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_rule_is_one_call_line_and_one_method(content, newline):
    before = text(content).replace("\r\n", "\n").replace("\n", newline) if newline == "\r\n" else text(content)
    after = edited(
        before,
        ("put_method", (PLAIN, NO_AUTH)),
        ("put_call", ("onEhlo", PLAIN), {"first_after_prefix": "WA_"}),
    )
    added, removed = added_and_removed(before, after)
    assert removed == []
    assert [line.replace(newline, "|") for line in added if line.strip()] == [
        "\tcall (disableAUTH_on_non_SSL);|",
        "method disableAUTH_on_non_SSL {|",
        '\tset (plainConnAuthTypes, "none");|',
        "}|",
    ]
    assert added.count(newline) == 1 and len(added) == 5
    assert call_names(after, "onEhlo").count(PLAIN) == 1
    assert data(edited(after, ("remove_method", (PLAIN,)), ("remove_call", ("onEhlo", PLAIN)))) == data(before)
    again = edited(
        after,
        ("put_method", (PLAIN, NO_AUTH)),
        ("put_call", ("onEhlo", PLAIN), {"first_after_prefix": "WA_"}),
    )
    assert again == after


def test_first_own_rule_stands_behind_the_basic_ones():
    after = edited(
        text(PLUMBING),
        ("put_method", (PLAIN, NO_AUTH)),
        ("put_call", ("onEhlo", PLAIN), {"first_after_prefix": "WA_"}),
        ("put_method", ("enableAUTH_on_SSL", [new_set("secureConnAuthTypes", "plain login ")])),
        ("put_call", ("onEhlo", "enableAUTH_on_SSL"), {"after": PLAIN}),
        ("put_call", ("onConnect", "early"), {"first_after_prefix": "Own_"}),
    )
    assert call_names(after, "onEhlo") == [
        "WA_Acceptance_basic",
        "WA_Routing_basic_delivery",
        PLAIN,
        "enableAUTH_on_SSL",
        "Branch_Relay",
    ]
    assert after.startswith(
        "event onConnect {\n"
        '\tset (countriesOk_0, " ");\n\tset (countriesBad_0, "");\n\tset (isBanned_0, "%isBanned%");\n'
        "\tcall (early);\n\tcall (WA_Acceptance_basic_banner);\n}\n"
    )


def test_commented_out_rule_is_not_the_rule():
    after = edited(text(LOOKALIKE), ("put_method", (PLAIN, NO_AUTH)), ("put_call", ("onEhlo", PLAIN)))
    assert "    call(WA_Acceptance_basic);   call (WA_Routing_basic_delivery);\n#   call (disable" in after
    assert "\tcall ( Night_Rule ) ;\n\tcall (disableAUTH_on_non_SSL);\n}" in after
    assert '# method disableAUTH_on_non_SSL {\n#\tset (plainConnAuthTypes, "none");\n# }\n' in after
    assert after.endswith('}\n\nmethod disableAUTH_on_non_SSL {\n\tset (plainConnAuthTypes, "none");\n}\n')
    assert b"Bitte f\xfcr old" in data(after)


def test_shape_of_a_new_rule():
    after = edited(
        "event onRcptTo {\n}\n", ("put_method", ("partner", TLS_ONLY)), ("put_call", ("onRcptTo", "partner"))
    )
    assert after == (
        "event onRcptTo {\n"
        "\tcall (partner);\n"
        "}\n"
        "\n"
        "method partner {\n"
        "\tif (\n"
        "\t\tallOf (\n"
        '\t\t\tisCase (isSSLConnection, "no"),\n'
        '\t\t\tisCase (rcptDomain, "partner.test")\n'
        "\t\t)\n"
        "\t) {\n"
        '\t\tset (smtpAction, "reject");\n'
        '\t\tset (smtpExplanation, "TLS only");\n'
        "\t}\n"
        "}\n"
    )
    assert same_meaning(parse(after).method("partner").statements, TLS_ONLY)


def test_nothing_to_do_gives_the_same_script():
    script = parse(text(GENERATED))
    edit = ScriptEdit(script)
    edit.remove_method("nobody")
    edit.remove_call("onEhlo", "nobody")
    edit.remove_call("onNothing", "nobody")
    edit.put_method("WA_Routing_basic_delivery", [new_set("REMOTEdelivery", "auth")])
    edit.set_value("WA_Acceptance_basic", "allowStartTLS", "yes")
    edit.put_call("onEhlo", "wa_acceptance_basic", before="WA_Routing_basic_delivery")
    edit.put_method("new", NO_AUTH)
    edit.remove_method("new")
    edit.put_call("onEhlo", "new")
    edit.put_call("onNowhere", "new")
    edit.remove_call("onEhlo", "NEW")
    edit.remove_call("onNowhere", "new")
    assert edit.result() is script


# --- methods ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tail",
    [
        "",
        "\n",
        "\n\n",
        "\n\n\n",
        "  \n",
        "\t",
        "\n \t\n",
        "\r\n",
        "\r\n\r\n",
        "\r\r\n",
        "\r",
        "\r \n",
        " # end",
        " # end\n",
        "\n# end {",
        "\n# end  \r\n",
        "\n\f\n",
    ],
)
@pytest.mark.parametrize(
    "head", ["event e {\n}", "method a { call (x); }", "\ufeffmethod a {\r\n}", "event e {}\r\nmethod b {\r\n}"]
)
def test_adding_and_removing_methods_gives_the_same_bytes(head, tail):
    one = edited(head + tail, ("put_method", ("one", NO_AUTH)))
    assert one != head + tail and one.startswith(head)
    assert edited(one, ("remove_method", ("ONE",))) == head + tail
    two = edited(one, ("put_method", ("two", TLS_ONLY)))
    assert two == edited(head + tail, ("put_method", ("one", NO_AUTH)), ("put_method", ("two", TLS_ONLY)))
    assert edited(two, ("remove_method", ("two",))) == one
    assert edited(two, ("remove_method", ("two",)), ("remove_method", ("one",))) == head + tail
    assert edited(edited(two, ("remove_method", ("one",))), ("remove_method", ("two",))) == head + tail


@pytest.mark.parametrize(
    "content", ["", "\n", "\n\n", "\r\n", "\ufeff", "\ufeff\n", "# notes {\n", "# notes", "\n# notes\n"]
)
def test_methods_in_a_file_without_blocks(content):
    one = edited(content, ("put_method", ("one", NO_AUTH)))
    two = edited(one, ("put_method", ("two", TLS_ONLY)))
    assert [block.name for block in parse(two).methods] == ["one", "two"]
    assert two == edited(content, ("put_method", ("one", NO_AUTH)), ("put_method", ("two", TLS_ONLY)))
    assert edited(one, ("remove_method", ("one",))) == content
    assert edited(two, ("remove_method", ("two",)), ("remove_method", ("one",))) == content
    assert edited(edited(two, ("remove_method", ("two",))), ("remove_method", ("one",))) == content


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("event e {\n}\n\nmethod m {\n}\n\nmethod n {\n}\n", "event e {\n}\n\nmethod n {\n}\n"),
        ("method m {\n}\n\nmethod n {\n}\n", "\nmethod n {\n}\n"),
        ("event e {\n}\n\n\n\nmethod m {\n}\n", "event e {\n}\n\n\n"),
        ("event e {\n}\nmethod m {\n}\nmethod n {\n}\n", "event e {\n}\nmethod n {\n}\n"),
        ("event e {\n}\n \nmethod m {\n}\n", "event e {\n}\n \n"),
        ("event e {\n}\n\n# about m\nmethod m {\n}\n# about n\n", "event e {\n}\n\n# about m\n# about n\n"),
        ("event e {\n}\n\nmethod m {\n} # end of m\n", "event e {\n}\n\n# end of m\n"),
        ("event e {} method m { call (x); } method n {}\n", "event e {} method n {}\n"),
        ("event e {} method m { call (x); }\n", "event e {}\n"),
        ("method m {} event e {}\n", "event e {}\n"),
        ("event e {\n}\n\n  method m {\n}  \n\nmethod n {}", "event e {\n}\n\nmethod n {}"),
        ("event e {\r\n}\r\n\r\nmethod m {\r\n}\r\n\r\n", "event e {\r\n}\r\n\r\n"),
        ("event e {\n}\n\nmethod M {\n}\n\nmethod n {\n}\n\nmethod m {}", "event e {\n}\n\nmethod n {\n}"),
    ],
)
def test_removing_a_method(content, expected):
    assert edited(content, ("remove_method", ("m",))) == expected


def test_changed_values_of_a_method_are_spliced():
    before = 'method  M\n{ # ours\n  set ( A , "1" ) ; # one\n  if (is(b,"2")) { call(x); set (C,"3"); } # two\n}\n'
    body = [new_set("a", "9"), new_if("any", [("IS", "B", "2")], [Call("X"), new_set("c", "")])]
    assert edited(before, ("put_method", ("m", body))) == before.replace('"1"', '"9"').replace('"3"', '""')


@pytest.mark.parametrize(
    "body",
    [
        NO_AUTH,
        [new_set("a", "1")],
        [new_set("a", "1"), new_if("all", [("is", "b", "3")], [])],
        [new_set("a", "1"), new_if("all", [("is", "b", "2"), ("is", "b", "2")], [])],
        [new_set("a", "1"), new_if("all", [("is", "b", "2")], [Call("x")])],
        [new_set("other", "1"), new_if("all", [("is", "b", "2")], [])],
        [Call("a"), new_if("all", [("is", "b", "2")], [])],
    ],
)
def test_other_content_replaces_the_body_in_place(body):
    before = 'method a {}\nmethod  M\n{ # ours\n  set (a, "1"); if (is (b, "2")) { } # x\n} # end\nmethod z {}\n'
    after = edited(before, ("put_method", ("m", body)))
    assert after.startswith("method a {}\nmethod  M\n{\n\t") and after.endswith("\n} # end\nmethod z {}\n")
    assert same_meaning(parse(after).method("m").statements, body)
    assert edited(after, ("put_method", ("M", body))) == after


def test_match_decides_only_with_several_tests():
    one = [new_if("any", [("is", "b", "2")], [])]
    assert same_meaning(one, [new_if("all", [("is", "b", "2")], [])])
    two = [new_if("any", [("is", "b", "2"), ("is", "c", "2")], [])]
    assert not same_meaning(two, [new_if("all", [("is", "b", "2"), ("is", "c", "2")], [])])
    assert not same_meaning(one, two)


def test_putting_a_method_that_stands_twice_leaves_one():
    before = 'method m {\n\tset (a, "1");\n}\n\nmethod n {\n}\n\nmethod M {\n\tcall (x);\n}\n'
    after = edited(before, ("put_method", ("m", [new_set("a", "2")])))
    assert after == 'method m {\n\tset (a, "2");\n}\n\nmethod n {\n}\n'


def test_unknown_statements_of_a_method_are_replaced_only_when_asked():
    before = 'method m { if (is (a, "1")) { } else { call (x); } }\n'
    assert edited(before, ("put_call", ("e", "m"))).startswith(before)
    assert edited(before, ("put_method", ("m", NO_AUTH))) == 'method m {\n\tset (plainConnAuthTypes, "none");\n}\n'


def test_last_edit_of_a_method_counts():
    before = text(GENERATED)
    name = "WA_Routing_basic_delivery"
    assert (
        edited(before, ("remove_method", (name,)), ("put_method", (name, [new_set("remoteDelivery", "auth")])))
        == before
    )
    assert edited(before, ("put_method", (name, NO_AUTH)), ("remove_method", (name,))) == edited(
        before, ("remove_method", (name,))
    )
    assert (
        edited(before, ("set_value", (name, "x", "1")), ("put_method", (name, [new_set("remoteDelivery", "auth")])))
        == before
    )


# --- set_value ----------------------------------------------------------------------------------


def test_set_value_replaces_the_last_string():
    before = 'method m {\n  set (a, "1"); set ( A , "2\r\n3" ) ; # keep\n\tif (is (x, "1")) { set (a, "4"); }\n}\n'
    assert edited(before, ("set_value", ("M", "a", "no"))) == before.replace("2\r\n3", "no")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("method m {\n}\n", 'method m {\n\tset (b, "1");\n}\n'),
        ("method m {\r\n\tcall (x);\r\n}\r\n", 'method m {\r\n\tcall (x);\r\n\tset (b, "1");\r\n}\r\n'),
        ("method m {}", 'method m { set (b, "1");}'),
        ("method m { }", 'method m { set (b, "1"); }'),
        ("method m { # c }\n # d }\n}", 'method m { # c }\n # d }\n\tset (b, "1");\n}'),
        ("method m{call(x);}", 'method m{call(x); set (b, "1");}'),
        ("method m {\n\tcall (x); # c\n\n\t# d\n}", 'method m {\n\tcall (x); # c\n\tset (b, "1");\n\n\t# d\n}'),
        ("method m {\n\tcall (x); }", 'method m {\n\tcall (x); set (b, "1"); }'),
        (
            'method m {\n\tif (is (b, "0")) { set (b, "2"); }\n}',
            'method m {\n\tif (is (b, "0")) { set (b, "2"); }\n\tset (b, "1");\n}',
        ),
    ],
)
def test_set_value_appends(content, expected):
    assert edited(content, ("set_value", ("m", "b", "1"))) == expected


def test_set_values_in_an_empty_method():
    """All lines at once, without an empty line between them."""
    edits = [("set_value", ("m", "a", "1")), ("set_value", ("m", "b", "2"))]
    assert edited("method m { }", *edits) == 'method m { set (a, "1"); set (b, "2"); }'
    assert edited("method m {\n}", *edits) == 'method m {\n\tset (a, "1");\n\tset (b, "2");\n}'


@pytest.mark.parametrize(
    "content, expected",
    [
        ('method m {\n\tset (a, "1");\n\tset (b, "2");\n}\n', 'method m {\n\tset (b, "2");\n}\n'),
        ('method m {\n\tset (a, "1");\t# why\n\tset (b, "2");\n}\n', 'method m {\n\t# why\n\tset (b, "2");\n}\n'),
        ('method m { set (A, "1"); set (b, "2"); set (a, "3"); }', 'method m { set (b, "2"); }'),
        ('method m { if (is (x, "y")) { set (a, "1"); } }', 'method m { if (is (x, "y")) { set (a, "1"); } }'),
        ('method m {\n\tset (b, "2");\n}\n', 'method m {\n\tset (b, "2");\n}\n'),
        ("method other {\n}\n", "method other {\n}\n"),
    ],
)
def test_remove_value(content, expected):
    assert edited(content, ("remove_value", ("m", "a"))) == expected


def test_remove_value_beside_other_edits():
    before = 'method m {\n\tset (a, "1");\n\tset (b, "2");\n}\n'
    edits = [("remove_value", ("m", "b")), ("set_value", ("m", "c", "3")), ("set_value", ("m", "a", "4"))]
    assert edited(before, *edits) == 'method m {\n\tset (a, "4");\n\tset (c, "3");\n}\n'
    assert edited(before, ("set_value", ("m", "a", "4")), ("remove_value", ("m", "a"))) == before.replace(
        '\tset (a, "1");\n', ""
    )
    assert edited(before, ("remove_value", ("m", "a")), ("set_value", ("m", "a", "4"))) == before.replace("1", "4")
    body = [new_set("a", "1"), new_set("b", "2")]
    assert edited("", ("put_method", ("m", body)), ("remove_value", ("m", "A"))) == 'method m {\n\tset (b, "2");\n}\n'


def test_set_value_several_times():
    assert (
        edited(
            "method m {\n}\n",
            ("set_value", ("m", "b", "1")),
            ("set_value", ("m", "c", "2")),
            ("set_value", ("M", "B", "3")),
        )
        == 'method m {\n\tset (B, "3");\n\tset (c, "2");\n}\n'
    )
    assert (
        edited(
            "",
            ("put_method", ("m", NO_AUTH)),
            ("set_value", ("m", "PLAINconnAuthTypes", "all")),
            ("set_value", ("m", "c", "2")),
        )
        == 'method m {\n\tset (plainConnAuthTypes, "all");\n\tset (c, "2");\n}\n'
    )


def test_set_value_reaches_each_method_of_a_name():
    before = 'method m { set (a, "1"); }\nmethod m {\n}\n'
    assert (
        edited(before, ("set_value", ("m", "a", "2"))) == 'method m { set (a, "2"); }\nmethod m {\n\tset (a, "2");\n}\n'
    )


def test_body_given_to_put_method_is_not_changed():
    body = [new_set("a", "1")]
    edited("", ("put_method", ("m", body)), ("set_value", ("m", "a", "2")))
    assert body == [new_set("a", "1")]


# --- values and names ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "1a", "a b", "a;", 'a"', "a\n", "a)", "#a", "a{"])
def test_names_that_are_none(name):
    edit = ScriptEdit(parse("event e {\n}\n"))
    for attempt in (
        lambda: new_set(name, "x"),
        lambda: new_if("all", [(name, "a", "b")], []),
        lambda: new_if("all", [("is", name, "b")], []),
        lambda: edit.put_method(name, NO_AUTH),
        lambda: edit.put_call("e", name),
        lambda: edit.put_call(name, "m"),
    ):
        with pytest.raises(ScriptError, match="cannot be the name"):
            attempt()
    assert edit.result() is edit.script


def test_values_with_a_double_quote():
    edit = ScriptEdit(parse("method m {\n}\n"))
    for attempt in (
        lambda: new_set("a", 'b"c'),
        lambda: new_if("all", [("is", "a", '"')], []),
        lambda: edit.set_value("m", "a", '"); call (x'),
    ):
        with pytest.raises(ScriptError, match="value of a cannot hold a double quote") as caught:
            attempt()
        assert (caught.value.line, caught.value.column) == (0, 0) and "line" not in str(caught.value)
    assert edit.result() is edit.script


@pytest.mark.parametrize(("match", "tests"), [("none", [("is", "a", "b")]), ("all", []), ("allOf", [("is", "a", "b")])])
def test_conditions_that_are_none(match, tests):
    with pytest.raises(ScriptError, match="at least one test"):
        new_if(match, tests, [])


def test_set_value_of_a_method_that_is_not_there():
    edit = ScriptEdit(parse("method m {\n}\n"))
    with pytest.raises(ScriptError, match="has no method other"):
        edit.set_value("other", "a", "b")
    edit.remove_method("m")
    with pytest.raises(ScriptError, match="has no method m"):
        edit.set_value("m", "a", "b")


def test_multi_line_values_and_odd_bytes_are_written_as_they_are():
    value = text(b"1 \r\n2 \xfc % # { }\n")
    after = edited("event e {\n}\n", ("put_method", ("m", [new_set("a", value)])))
    assert parse(after).method("m").statements[0].value == value
    assert b'set (a, "1 \r\n2 \xfc % # { }\n");\n' in data(after)


# --- size ---------------------------------------------------------------------------------------


def test_ten_thousand_rules():
    content = text(GENERATED)
    edit = ScriptEdit(parse(content))
    start = time.process_time()
    previous = None
    for number in range(10000):
        name = "only_tls_%d" % number
        edit.put_method(name, TLS_ONLY)
        edit.put_call("onRcptTo", name, after=previous)
        previous = name
    script = edit.result()
    # Measured 0.4 s; the limit leaves room for slow machines.
    assert time.process_time() - start < 5
    assert call_names(script.text, "onRcptTo") == ["only_tls_%d" % number for number in range(10000)]

    # The hardest order for the list: each one in the same gap.
    edit = ScriptEdit(script)
    start = time.process_time()
    for number in range(10, 10000):
        edit.put_call("onRcptTo", "only_tls_%d" % number, after=("only_tls_0", "only_tls_1"))
    after = edit.result()
    assert time.process_time() - start < 5
    assert call_names(after.text, "onRcptTo")[1:4] == ["only_tls_1", "only_tls_9999", "only_tls_9998"]

    edit = ScriptEdit(after)
    start = time.process_time()
    for number in range(10000):
        edit.remove_call("onRcptTo", "only_tls_%d" % number)
        edit.remove_method("only_tls_%d" % number)
    assert edit.result().text == content
    assert time.process_time() - start < 5
