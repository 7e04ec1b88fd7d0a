# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text of strangers: what cannot be seen becomes visible, and the result stands in XML and UTF-8."""

from __future__ import annotations

import random
import sys
from xml.etree import ElementTree

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._report.element import element, page
from ansible_collections.securemail.smtp.plugins.module_utils._report.visible import MAX_LENGTH, visible


@pytest.mark.parametrize("text", [
    "220 mx.example.org ESMTP", "Grüße aus München", "日本語のメール", "Ελληνικά", "שלום", "ü with a separate umlaut: u\u0308", "",
])
def test_what_people_write_stays(text):
    assert visible(text) == text


@pytest.mark.parametrize(("char", "shown"), [
    ("\x00", "‹U+0000›"), ("\n", "‹U+000A›"), ("\t", "‹U+0009›"), ("\x1b", "‹U+001B›"), ("\x7f", "‹U+007F›"), ("\x85", "‹U+0085›"),
    ("\u00ad", "‹U+00AD›"), ("\u200b", "‹U+200B›"), ("\u202e", "‹U+202E›"), ("\u2066", "‹U+2066›"), ("\u2028", "‹U+2028›"),
    ("\ufeff", "‹U+FEFF›"), ("\ud800", "‹U+D800›"), ("\ufffe", "‹U+FFFE›"), ("\ue000", "‹U+E000›"), ("\U000e0041", "‹U+E0041›"),
])
def test_what_cannot_be_seen_is_shown(char, shown):
    assert visible("a%sb" % char) == "a%sb" % shown


def test_stacked_accents_do_not_cover_other_lines():
    shown = visible("a" + "\u0300" * 40)
    assert shown.count("\u0300") == 3
    assert shown.count("‹U+0300›") == 37


def test_long_text_is_cut_and_says_so():
    assert visible("x" * MAX_LENGTH) == "x" * MAX_LENGTH
    assert visible("x" * 20000) == "x" * MAX_LENGTH + "… (20000)"


def test_every_character_can_stand_in_a_document():
    generator = random.Random(5)
    codes = list(range(0x300)) + [generator.randrange(sys.maxunicode + 1) for _number in range(5000)] + [0xD800, 0xDFFF, 0xFFFF]
    for start in range(0, len(codes), 40):
        text = "".join(chr(code) for code in codes[start : start + 40])
        made = element("p", visible(text), title=text)
        back = ElementTree.fromstring(ElementTree.tostring(made, encoding="unicode").encode("utf-8"))
        assert back.text == visible(text)
        assert back.get("title") == visible(text)
        page(made).encode("utf-8")


def test_markup_is_text():
    made = page(element("p", "<script>alert(1)</script>&amp;", element("b", "</p>"), "]]>", title="\"'><img>"))
    assert "<script" not in made and "<img>" not in made.partition("<p")[2].partition(">")[2].replace("&lt;img&gt;", "")
    assert "&lt;script&gt;" in made and "&amp;amp;" in made


def test_attributes_have_the_names_of_html():
    made = element("label", None, ["a", ["b"]], class_="c", for_="d", aria_label="e", hidden=True, id=None, lang=False)
    assert made.attrib == {"class": "c", "for": "d", "aria-label": "e", "hidden": ""}
    assert made.text == "ab"
