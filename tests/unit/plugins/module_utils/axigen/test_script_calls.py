# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The calls of an event stand where an edit says, and nothing around them moves."""

from __future__ import annotations

import random

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script import ScriptError, parse
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script_edit import ScriptEdit
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.script_files import (
    NO_AUTH,
    TLS_ONLY,
    call_names,
    edited,
)

FOUR = "event e {\n\tcall (WA_x);\n\tcall (a);\n\tcall (b);\n\tcall (c);\n}\n"


@pytest.mark.parametrize(
    ("name", "place", "expected"),
    [
        ("n", {}, "WA_x a b c n"),
        ("n", {"before": "A"}, "WA_x n a b c"),
        ("n", {"before": "WA_x"}, "n WA_x a b c"),
        ("n", {"after": "B"}, "WA_x a b n c"),
        ("n", {"after": "c"}, "WA_x a b c n"),
        ("n", {"after": ("b", "WA_X", "none")}, "WA_x a b n c"),
        ("n", {"after": ["none"]}, "n WA_x a b c"),
        ("n", {"after": ()}, "n WA_x a b c"),
        ("n", {"first_after_prefix": "wa_"}, "WA_x n a b c"),
        ("n", {"first_after_prefix": "none"}, "n WA_x a b c"),
        ("b", {}, "WA_x a b c"),
        ("b", {"before": "a"}, "WA_x b a c"),
        ("b", {"before": "c"}, "WA_x a b c"),
        ("b", {"after": "c"}, "WA_x a c b"),
        ("b", {"after": ("a", "WA_x", "b")}, "WA_x a b c"),
        ("c", {"first_after_prefix": "WA_"}, "WA_x c a b"),
        ("a", {"first_after_prefix": "WA_"}, "WA_x a b c"),
        ("WA_x", {"first_after_prefix": "WA_"}, "WA_x a b c"),
        ("WA_x", {"after": "c"}, "a b c WA_x"),
        ("c", {"after": ()}, "c WA_x a b"),
    ],
)
def test_places_of_a_call(name, place, expected):
    after = edited(FOUR, ("put_call", ("E", name), place))
    assert call_names(after) == expected.split()
    # One line for each, in the same shape, so that a call that did not move was not touched.
    assert after == "event e {\n" + "".join("\tcall (%s);\n" % one for one in expected.split()) + "}\n"


@pytest.mark.parametrize(
    "place", [{}, {"after": "a"}, {"before": "c"}, {"after": ("none", "a")}, {"first_after_prefix": "A"}]
)
def test_call_in_its_place_is_not_touched(place):
    before = "event e {\n    call(a);   call ( B ) ; # why\n\tcall (c);\n}\n"
    assert edited(before, ("put_call", ("e", "b"), place)) == before


def test_order_is_known_after_many_calls_in_one_gap():
    edit = ScriptEdit(parse(FOUR))
    for number in range(600):
        edit.put_call("e", "n%d" % number, after="WA_x")
    edit.put_call("e", "last", after=("n599", "n598"))
    edit.put_call("e", "other", after=("n0", "n1", "n599"))
    names = call_names(edit.result().text)
    assert names[1:4] == ["n599", "n598", "last"] and names[-6:] == ["n1", "n0", "other", "a", "b", "c"]


@pytest.mark.parametrize("place", [{"before": "none"}, {"after": "none"}, {"before": "a"}, {"after": "a"}])
def test_place_next_to_a_call_that_is_not_there_or_itself(place):
    with pytest.raises(ScriptError, match=r"event onE has no call \((none|a)\)"):
        ScriptEdit(parse("event OnE {\n\tcall (x);\n}\n")).put_call("onE", "a", **place)


def test_calls_in_conditions_are_no_calls_of_the_event():
    before = 'event e {\n\tif (is (a, "1")) { call (n); }\n\tcall (b);\n}\n'
    assert edited(before, ("put_call", ("e", "n"), {"after": ()})) == before.replace(
        "\tcall (b)", "\tcall (n);\n\tcall (b)"
    )
    assert edited(before, ("remove_call", ("e", "n"))) == before


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({}, "a x b"),
        ({"after": "b"}, "x b a"),
        ({"before": "x"}, "a x b"),
        ({"after": "x"}, "x a b"),
        ({"before": "b"}, "x a b"),
    ],
)
def test_call_that_stands_twice_stands_once_afterwards(place, expected):
    before = "event e {\n\tcall (a);\n\tcall (x);\n\tcall (A);\n\tcall (b);\n}\n"
    assert call_names(edited(before, ("put_call", ("e", "a"), place))) == expected.split()


def test_place_next_to_a_call_that_stands_twice():
    before = "event e {\n\tcall (a);\n\tcall (x);\n\tcall (a);\n\tcall (b);\n}\n"
    assert call_names(edited(before, ("put_call", ("e", "n"), {"after": "a"}))) == ["a", "x", "a", "n", "b"]
    assert call_names(edited(before, ("put_call", ("e", "n"), {"before": "a"}))) == ["n", "a", "x", "a", "b"]


@pytest.mark.parametrize(
    ("content", "edit", "expected"),
    [
        # A comment stays where it is.
        (
            "event e {\n\tcall (a);\t# about a\n\tcall (b);\n}\n",
            ("put_call", ("e", "a"), {"after": "b"}),
            "event e {\n\t# about a\n\tcall (b);\n\tcall (a);\n}\n",
        ),
        (
            "event e {\n\tcall (a); # about a }\n}\n",
            ("put_call", ("e", "n")),
            "event e {\n\tcall (a); # about a }\n\tcall (n);\n}\n",
        ),
        (
            "event e { # top }\n\t# about a\n\tcall (a);\n}\n",
            ("put_call", ("e", "n"), {"before": "a"}),
            "event e { # top }\n\t# about a\n\tcall (n);\n\tcall (a);\n}\n",
        ),
        ("event e { # top }\n}\n", ("put_call", ("e", "n")), "event e { # top }\n\tcall (n);\n}\n"),
        # Several statements on a line.
        (
            "event e { call (a); call (b); }\n",
            ("put_call", ("e", "n"), {"after": "a"}),
            "event e { call (a); call (n); call (b); }\n",
        ),
        (
            "event e { call (a); call (b); }\n",
            ("put_call", ("e", "n"), {"before": "a"}),
            "event e { call (n); call (a); call (b); }\n",
        ),
        (
            "event e { call (a); call (b); }\n",
            ("put_call", ("e", "a"), {"after": "b"}),
            "event e { call (b); call (a); }\n",
        ),
        ("event e { call (a); call (b); }\n", ("remove_call", ("e", "b")), "event e { call (a); }\n"),
        ("event e{call(a);call(b);}", ("remove_call", ("e", "a")), "event e{call(b);}"),
        ("event e\n{\n    call(a);   call (b);\n}\n", ("remove_call", ("e", "a")), "event e\n{\n    call (b);\n}\n"),
        ("event e\n{\n    call(a);   call (b);\n}\n", ("remove_call", ("e", "b")), "event e\n{\n    call(a);\n}\n"),
        # A call over several lines.
        (
            "event e {\n\tcall\n\t(\n\ta )\n\t;\n\tcall (b);\n}\n",
            ("remove_call", ("e", "a")),
            "event e {\n\tcall (b);\n}\n",
        ),
        # Nothing but the call.
        ("event e {}", ("put_call", ("e", "n")), "event e { call (n);}"),
        ("event e { \t}", ("put_call", ("e", "n")), "event e { call (n); \t}"),
        ("event e {\r\n}\r\n", ("put_call", ("e", "n")), "event e {\r\n\tcall (n);\r\n}\r\n"),
        ("event e {\n\n}\n", ("put_call", ("e", "n")), "event e {\n\n\tcall (n);\n}\n"),
        # Statements that are no calls.
        (
            'event e {\n\tset (a, "\n");\n\tfoo (x);\n}\n',
            ("put_call", ("e", "n"), {"after": ()}),
            'event e {\n\tset (a, "\n");\n\tfoo (x);\n\tcall (n);\n}\n',
        ),
        (
            'event e { set (a, "1"); }\nmethod m {}\n',
            ("put_call", ("e", "n")),
            'event e { set (a, "1"); call (n); }\nmethod m {}\n',
        ),
        # An event in two pieces.
        (
            "event e {\n\tcall (a);\n}\nevent E {\n\tcall (b);\n}\n",
            ("put_call", ("e", "n")),
            "event e {\n\tcall (a);\n}\nevent E {\n\tcall (b);\n\tcall (n);\n}\n",
        ),
        (
            "event e {\n\tcall (a);\n}\nevent E {\n\tcall (b);\n}\n",
            ("put_call", ("e", "n"), {"before": "b"}),
            "event e {\n\tcall (a);\n}\nevent E {\n\tcall (n);\n\tcall (b);\n}\n",
        ),
        (
            "event e {\n}\nevent E {\n}\n",
            ("put_call", ("e", "n"), {"first_after_prefix": "WA_"}),
            "event e {\n}\nevent E {\n\tcall (n);\n}\n",
        ),
    ],
)
def test_text_around_a_call(content, edit, expected):
    assert edited(content, edit) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "event onRcptTo {\n\tcall (n);\n\tcall (o);\n}\n"),
        ("method m {\n}\n", "method m {\n}\n\nevent onRcptTo {\n\tcall (n);\n\tcall (o);\n}\n"),
        (
            "event onEhlo {\n} # e\n\nevent onRelay {\n}\n\nmethod m {\n}\n",
            "event onEhlo {\n} # e\n\nevent onRcptTo {\n\tcall (n);\n\tcall (o);\n}\n"
            "\nevent onRelay {\n}\n\nmethod m {\n}\n",
        ),
        (
            "event onRelay {\r\n}\r\n",
            "event onRelay {\r\n}\r\n\r\nevent onRcptTo {\r\n\tcall (n);\r\n\tcall (o);\r\n}\r\n",
        ),
        (
            "event onEhlo {} event onRelay {}",
            "event onEhlo {}\n\nevent onRcptTo {\n\tcall (n);\n\tcall (o);\n}\n event onRelay {}",
        ),
        ("event onEhlo {}", "event onEhlo {}\n\nevent onRcptTo {\n\tcall (n);\n\tcall (o);\n}"),
    ],
)
def test_missing_event_is_made(content, expected):
    assert edited(content, ("put_call", ("onRcptTo", "n")), ("put_call", ("OnRcptTo", "o"), {"after": "n"})) == expected


def test_missing_events_are_made_in_their_order():
    after = edited(
        "event onConnect {\n}\n",
        ("put_call", ("own", "d")),
        ("put_call", ("onRcptTo", "b")),
        ("put_call", ("onRelay", "c")),
        ("put_call", ("onEhlo", "a")),
        ("put_method", ("a", NO_AUTH)),
    )
    assert [block.name for block in parse(after).events] == ["onConnect", "onEhlo", "onRcptTo", "onRelay", "own"]
    assert after.index("event own") < after.index("method a")


def test_batch_of_calls_that_refer_to_each_other():
    after = edited(
        FOUR,
        ("remove_call", ("e", "b")),
        ("put_call", ("e", "n1"), {"after": "a"}),
        ("put_call", ("e", "n2"), {"after": "n1"}),
        ("put_call", ("e", "n3"), {"before": "n2"}),
        ("put_call", ("e", "a"), {"after": "c"}),
        ("put_call", ("e", "n1"), {"first_after_prefix": "n"}),
        ("remove_call", ("e", "n2")),
        ("put_call", ("e", "b"), {"after": "a"}),
    )
    assert call_names(after) == ["WA_x", "n3", "n1", "c", "a", "b"]


def test_prefix_follows_the_edits():
    edit = ScriptEdit(parse(FOUR))
    edit.put_call("e", "n1", first_after_prefix="WA_")
    edit.put_call("e", "WA_y", after="a")
    edit.put_call("e", "n2", first_after_prefix="WA_")
    edit.remove_call("e", "WA_y")
    edit.put_call("e", "n3", first_after_prefix="WA_")
    assert call_names(edit.result().text) == ["WA_x", "n3", "n1", "a", "n2", "b", "c"]


# --- anything in any order ----------------------------------------------------------------------

PIECES = (
    "\tcall (%s);\n",
    "    call(%s);\n",
    "\tcall (%s);\t# } {\n",
    " call (%s); call (%s);\n",
    '\tset (x, "}\r\n# call (a);");\n',
    "\tfoo (%s) { call (%s); }\n",
    "\t# call (%s);\n",
    "\n",
    '\tif (is (a, "1")) { call (%s); }\n',
    "\tcall\n(%s)\n;\n",
)
FOREIGN = ("WA_a", "WA_b", "x", "y", "z")


def random_script(chance):
    def body():
        lines = []
        for _line in range(chance.randint(0, 6)):
            piece = chance.choice(PIECES)
            lines.append(piece % tuple(chance.choice(FOREIGN) for _name in range(piece.count("%s"))))
        return "".join(lines)

    newline = chance.choice(("\n", "\r\n"))
    blocks = []
    for number in range(chance.randint(1, 3)):
        blocks.append("event %s {%s%s}" % (chance.choice(("e", "E", "f")), "\n", body()))
        blocks.append("method %s%d {%s%s}" % (chance.choice(FOREIGN), number, "\n", body()))
    if chance.random() < 0.5:
        blocks.append("event e { call (x); call (y); }")
    else:
        blocks.append("event e {\n}")
    chance.shuffle(blocks)
    return newline.join(blocks).replace("\n", newline) + chance.choice(("", newline, 2 * newline, "# end", "\n# end\n"))


@pytest.mark.parametrize("seed", range(60))
def test_order_is_that_of_a_list_and_removal_gives_the_bytes_back(seed):
    """Random edits against a plain list as the model; at the end everything of ours goes, and nothing else went."""
    chance = random.Random(seed)
    original = current = random_script(chance)
    own = ["own_%d" % number for number in range(5)]
    model = [name.lower() for name in call_names(current)]
    for _batch in range(6):
        edit = ScriptEdit(parse(current))
        for _edit in range(chance.randint(1, 6)):
            name = chance.choice(own)
            others = [other for other in model if other != name]
            kind = chance.choice(("before", "after", "tuple", "prefix", "last", "remove"))
            if kind in ("before", "after") and not others:
                continue
            anchor = chance.choice(others) if others else ""
            edit.put_method(name, chance.choice((NO_AUTH, TLS_ONLY)))
            present = name in model
            if kind == "remove":
                edit.remove_call("e", name)
                edit.remove_method(name)
                model = others
            elif kind == "before":
                edit.put_call("e", name, before=anchor)
                others.insert(others.index(anchor), name)
                model = others
            elif kind == "last":
                edit.put_call("e", name)
                model = model if present else others + [name]
            else:
                if kind == "after":
                    wanted = [anchor]
                    edit.put_call("e", name, after=anchor)
                elif kind == "tuple":
                    wanted = [anchor, "own_1", "none"]
                    edit.put_call("e", name, after=tuple(wanted))
                else:
                    wanted = [other for other in others if other.startswith("wa_")]
                    edit.put_call("e", name, first_after_prefix="WA_")
                places = [place for place, other in enumerate(others) if other in wanted]
                others.insert(places[-1] + 1 if places else 0, name)
                model = others
        current = edit.result().text
        assert [name.lower() for name in call_names(current)] == model
        if chance.random() < 0.3:
            repeated = ScriptEdit(parse(current))
            for name in own:
                if name in model:
                    repeated.put_call("e", name)
            assert repeated.result() is repeated.script
    edit = ScriptEdit(parse(current))
    for name in chance.sample(own, len(own)):
        edit.remove_call("e", name)
        edit.remove_method(name)
    assert edit.result().text == original
