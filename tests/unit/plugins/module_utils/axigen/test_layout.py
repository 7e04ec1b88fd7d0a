# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Words that are written and layouts that are read."""

from __future__ import annotations

import copy
import json

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.cli import Answer
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.layout import (
    Secret,
    SetValue,
    WordRefused,
    first_column,
    list_rows,
    printable,
    quote,
    show_attributes,
    shown,
)


def answer(text):
    return Answer(text.split("\n"), "done", True, "<#>")


@pytest.mark.parametrize(
    "word, written",
    [
        ("SHOW", "SHOW"),
        ("0.0.0.0:587", "0.0.0.0:587"),
        ("[::]:587", "[::]:587"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("", '""'),
        ("a b", '"a b"'),
        ('a"b', '"a\\"b"'),
        ("a\\b", '"a\\\\b"'),
        ('\\"', '"\\\\\\""'),
        ("it's", '"it\'s"'),
        ("(a)", '"(a)"'),
        ("ECDHE+AESGCM:!aNULL", '"ECDHE+AESGCM:!aNULL"'),
        ("\u00fc", '"\u00fc"'),
        (Secret("plain"), '"plain"'),
        (SetValue(()), "()"),
        (SetValue(("tls1_2", "tls1_3")), "(tls1_2 tls1_3)"),
        (SetValue(("a b", "c")), '("a b" c)'),
    ],
)
def test_quote(word, written):
    assert quote(word) == written


@pytest.mark.parametrize("code", list(range(0x20)) + list(range(0x7f, 0xa0)) + [0x2028, 0x2029])
def test_quote_refuses_control_characters(code):
    with pytest.raises(WordRefused, match=r"U\+%04X at position 3" % code):
        quote("ab%sSET x y" % chr(code))


def test_refusal_does_not_show_the_word():
    with pytest.raises(WordRefused) as caught:
        quote(Secret("hush\n"))
    assert "hush" not in str(caught.value) and isinstance(caught.value, ValueError)


def test_secret_shows_in_no_form():
    secret = Secret("hush")
    forms = [str(secret), repr(secret), "%s" % secret, "%r" % (secret,), "{0}".format(secret), f"{secret:>10}"]
    assert not any("hush" in form for form in forms)
    assert secret.reveal() == "hush" and not isinstance(secret.reveal(), Secret)
    assert "hush" not in shown(["SET", "password", secret]) and "hush" not in repr(copy.copy(secret))


def test_shown():
    words = ["SET", "a", "b c", "x\ny", SetValue(("d", "e")), "f"]
    assert shown(words, secret=(5,)) == 'SET a "b c" "x\\ny" (d e) ********'
    assert shown(["x" * 200]) == "x" * 100 + "..."


def test_printable():
    assert printable("a\x1b[1m\udcfc\u00fc", 100) == "a\\x1b[1m\\udcfc\u00fc"


SHOW = """The current context has the following attributes:

address = 0.0.0.0:587
idleTimeout = 300
serverName = "my \\"own\\" = name"
domainLocation = "C:\\\\mail"
note = "first line
second = line
third"
allowedVersions = (tls1_2 "a b" 'c d')
nothing = ()
empty =
limit = 2097152 [explicit, overrides inherited value: 1048576]
"""


def test_show():
    attributes = show_attributes(answer(SHOW))
    assert attributes["ADDRESS"] == "0.0.0.0:587" and "address" in attributes
    assert attributes["serverName"] == 'my "own" = name'
    assert attributes["domainLocation"] == "C:\\mail"
    assert attributes["note"] == "first line\nsecond = line\nthird"
    assert attributes["allowedVersions"] == SetValue(("tls1_2", "a b", "c d"))
    assert (attributes["nothing"], attributes["empty"]) == (SetValue(()), "")
    assert attributes["limit"].endswith("1048576]")
    assert list(attributes)[:2] == ["address", "idleTimeout"] and len(attributes) == 9
    assert "second" not in attributes
    assert attributes.get("absent") is None


def test_show_with_inheritance():
    assert show_attributes(answer(SHOW), inheritance=True)["limit"] == "2097152"


def test_show_attr_and_open_string():
    assert show_attributes(answer("sslEnable = no"))["sslenable"] == "no"
    assert show_attributes(answer('a = "open\nb = c'))["a"].startswith('"open')
    assert json.dumps(dict(show_attributes(answer("a = b")))) == '{"a": "b"}'


BARS = """The list of listeners for this service:


address          | enable | idleTimeout
----------------------------------------
0.0.0.0:25       | yes    | 300
0.0.0.0:587      | no     |
"""

SPACES = """The list of domains:


name               status
-----------------------------
example.com        enabled
two words.example  enabled

second             table
-----------------------------
ignored            yes
"""


def test_table_with_bars():
    assert list_rows(answer(BARS)) == [
        {"address": "0.0.0.0:25", "enable": "yes", "idleTimeout": "300"},
        {"address": "0.0.0.0:587", "enable": "no", "idleTimeout": ""},
    ]
    assert first_column(answer(BARS)) == ["0.0.0.0:25", "0.0.0.0:587"]


def test_table_with_bars_at_its_sides():
    assert list_rows(answer("| a | b |\n---------\n| x |   |\n")) == [{"a": "x", "b": ""}]


def test_table_with_spaces():
    assert list_rows(answer(SPACES))[0] == {"name": "example.com", "status": "enabled"}
    assert first_column(answer(SPACES)) == ["example.com", "two"]


def test_ruler_with_crossings():
    table = "a | b\n---+---+---\nx | y\n"
    assert list_rows(answer(table)) == [{"a": "x", "b": "y"}]


@pytest.mark.parametrize(
    "text", ["", "There are no domains.", "The list of listeners:\n\n\naddress | enable\n-----------------\n"]
)
def test_empty_lists(text):
    assert list_rows(answer(text)) == [] and first_column(answer(text)) == []


@pytest.mark.parametrize(
    "text, keys",
    [
        ("a.test | 3\nb.test | 1", ["a.test", "b.test"]),
        ("a.test|3\n\nb.test|1\n", ["a.test", "b.test"]),
        ("| a.test | 3 |", ["a.test"]),
        ("a.test   enabled\nb.test   disabled", ["a.test", "b.test"]),
        ("postmaster\nuser1", ["postmaster", "user1"]),
        ("There are no domains.", []),
        ("The list of domains for this server:\n\n", []),
        ("none", []),
        ("Empty", []),
        ("", []),
    ],
)
def test_rows_of_a_quiet_answer(text, keys):
    assert first_column(answer(text)) == keys


def test_quiet_table():
    assert first_column(answer("name | accounts\n----------\na.test | 2")) == ["a.test"]
    assert list_rows(answer("name | accounts\n----------\na.test | 2")) == [{"name": "a.test", "accounts": "2"}]


@pytest.mark.parametrize(
    "text",
    [
        "enable = yes\nnovelty = (a b)",
        "General parameters\nenable = yes [inherited]\n",
        "enable = yes\nno pair\n= x\n1 = 2",
    ],
)
def test_show_without_titles_and_with_lines_that_nobody_knows(text):
    assert show_attributes(answer(text), inheritance=True)["enable"] == "yes"
