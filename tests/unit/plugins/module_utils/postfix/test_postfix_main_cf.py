# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""main.cf as a text: what is read of it, and that an edit leaves the bytes of everything else."""

from __future__ import annotations

import random
import re

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix.main_cf import MainCf

# Blanks at the end of a line are no accident here.
ODD = """\
# a comment
compatibility_level = 3.6
a =1
b= 2{blanks}
list = one,
# in the middle

   two,
\tthree
empty =
a   =  3
  # an indented comment
last = x""".replace("{blanks}", "   ")


def test_what_is_read():
    main = MainCf.parse(ODD)
    assert main.text == ODD
    assert [(entry.name, entry.value, entry.line, entry.last_line) for entry in main.entries] == [
        ("compatibility_level", "3.6", 2, 2),
        ("a", "1", 3, 3),
        ("b", "2", 4, 4),
        ("list", "one, two, three", 5, 9),
        ("empty", "", 10, 10),
        ("a", "3", 11, 11),
        ("last", "x", 13, 13),
    ]
    assert main.get("a") == "3" and main.line("a") == 11 and main.doubles == ("a",)
    assert main.get("nothing") is None


@pytest.mark.parametrize("name, value, before, after", [
    ("b", "9", "b= 2   \n", "b= 9\n"),
    ("a", "4", "a   =  3\n", "a   =  4\n"),
    ("empty", "7", "empty =\n", "empty = 7\n"),
    ("list", "z", "list = one,\n# in the middle\n\n   two,\n\tthree\n", "list = z\n# in the middle\n\n"),
])
def test_a_value_changes_its_own_line_alone(name, value, before, after):
    expected = ODD.replace("a =1\n", "") if name == "a" else ODD
    assert MainCf.parse(ODD).with_value(name, value).text == expected.replace(before, after)


def test_a_double_that_says_the_same_may_stay_and_one_that_contradicts_goes():
    text = "a = 1\nx = 0\na = 2\na = 3\n"
    assert MainCf.parse(text).with_value("a", "2").text == "x = 0\na = 2\na = 2\n"


def test_what_is_there_is_not_written():
    main = MainCf.parse(ODD)
    assert main.with_value("list", "one, two, three") is main


def test_a_new_setting_behind_a_file_without_a_last_line_end():
    assert MainCf.parse("a = 1\n# end").with_value("b", "2").text == "a = 1\n# end\nb = 2\n"
    assert MainCf.parse("").with_value("b", "2").text == "b = 2\n"
    assert MainCf.parse("a = 1\r\n").with_value("b", "2").text == "a = 1\r\nb = 2\r\n"


def test_a_setting_goes_and_the_comments_inside_it_stay():
    assert MainCf.parse(ODD).without("list").text == ODD.replace("list = one,\n", "").replace("   two,\n\tthree\n", "")
    assert MainCf.parse(ODD).without("a").text == ODD.replace("a =1\n", "").replace("a   =  3\n", "")


@pytest.mark.parametrize("text, expected", [
    ("x = 1\n", "x = 1\nlist = NEW\n"),
    ("list =\n", "list = NEW\n"),
    ("list = a, b\n", "list = NEW, a, b\n"),
    ("list =\n    a,\n  b\n", "list =\n    NEW,\n    a,\n  b\n"),
    ("list = a,\n  # why\n  b\n", "list = NEW, a,\n  # why\n  b\n"),
])
def test_an_item_comes_first_and_goes_again(text, expected):
    main = MainCf.parse(text).with_first("list", "NEW")
    assert main.text == expected
    again = main.without_item("list", re.compile("NEW"))
    assert again.text == text.replace("list =\n", "") if text == "list =\n" else again.text == text


def test_what_does_not_mean_what_it_looks_like_is_told():
    text = "smtpd_tls_auth_only = yes  # never\nfine = yes\nlevel_x = a\n  smtpd_banner = hello\nnonsense\nmyhostname = a b\n"
    problems = MainCf.parse(text).problems
    assert [(problem.line, problem.name, problem.swallowed) for problem in problems] == [
        (1, "smtpd_tls_auth_only", False), (4, "level_x", True), (5, "", False),
    ]


def test_what_begins_with_a_blank_where_nothing_stands_above_is_left_out():
    main = MainCf.parse("# c\n  a = 1\n  2\nb = 3\n")
    assert [(entry.name, entry.line) for entry in main.entries] == [("b", 4)]
    assert [problem.line for problem in main.problems] == [2]
    assert main.with_value("a", "4").text == main.text + "a = 4\n"


def test_blanks_are_those_of_ascii():
    main = MainCf.parse("a = 1\n\f2\n\v\nb = 3\u2028\n\u00a0# no comment\n")
    assert (main.get("a"), main.get("b")) == ("1 2", "3\u2028")
    assert [problem.line for problem in main.problems] == [5]


def test_bytes_that_are_no_utf_8_and_other_line_ends_stay():
    raw = b"# \xff\xe9\r\na = \xe4\r\n\x0b\r\nb = 1\x85\r2\r\n"
    edited = MainCf.parse(raw.decode("utf-8", "surrogateescape")).with_value("a", "x").with_value("c", "y")
    assert edited.text.encode("utf-8", "surrogateescape") == raw.replace(b"= \xe4", b"= x") + b"c = y\r\n"


def test_a_list_whose_equals_sign_is_in_a_later_line():
    assert MainCf.parse("list\n  = a,\n  b\nx = 1\n").with_first("list", "NEW").text == "list = NEW, a, b\nx = 1\n"


def test_the_name_of_a_list_is_no_item_of_it():
    assert MainCf.parse("check_list = a, check, b\n").without_item("check_list", re.compile("check")).text == "check_list = a, b\n"


def test_a_value_has_one_line():
    with pytest.raises(ValueError):
        MainCf.parse("").with_value("a", "1\nb = 2")


PIECES = ("# c\n", "\n", "  # in\n", "a = 1\n", "b=2\n", "a = 3,\n  4\n", "c =\n\t5\n", "   \n", "d = $a ${b?x}\n")


@pytest.mark.parametrize("seed", range(200))
def test_random_edits_leave_everything_else(seed):
    dice = random.Random(seed)
    text = "".join(dice.choice(PIECES) for unused in range(dice.randrange(12)))
    text = text.rstrip("\n") if dice.random() < 0.3 else text
    main = MainCf.parse(text)
    values = {entry.name: entry.value for entry in main.entries}
    owned = set()
    for unused in range(dice.randrange(1, 5)):
        name = dice.choice("abcde")
        owned.add(name)
        if dice.random() < 0.3:
            main = main.without(name)
            values.pop(name, None)
        else:
            values[name] = dice.choice(("", "1", "x, y"))
            main = main.with_value(name, values[name])
        assert {entry.name: entry.value for entry in main.entries} == values
    kept = iter(main.text.splitlines())
    mine = False
    for line in text.splitlines():
        foreign = not line.strip() or line.lstrip().startswith("#")
        if not foreign and line[0] not in " \t":
            mine = line.partition("=")[0].strip() in owned
        if foreign or not mine:
            assert line in kept, (seed, line)
