# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page as markup: what people who listen to it need, nothing from elsewhere, and no power for what strangers say."""

from __future__ import annotations

import html.parser
import re
from collections import Counter

import pytest
import sample_results as sample
from ansible_collections.securemail.smtp.plugins.module_utils._probe.observation import MODES
from ansible_collections.securemail.smtp.plugins.module_utils._report import changes, html as page, model

VOID = {"meta", "link", "br", "input"}
#: Nothing else is in the page, whatever strangers say.
TAGS = set("""a b body br caption code dd details div dl dt footer h1 h2 h3 h4 head header html input label li link main meta nav p pre
    section small span style summary table tbody td th thead time title tr ul""".split())


class Outline(html.parser.HTMLParser):
    """Tags with their attributes in order, the text, and whether everything is closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        #: Tables, each with its direct parts; rows as lists of (tag, attributes).
        self.tables: list[dict] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), attrs
        self.tags.append((tag, attributes))
        if tag == "table":
            self.tables.append({"caption": "", "rows": []})
        elif tag == "tr":
            self.tables[-1]["rows"].append([])
        elif tag in ("th", "td"):
            self.tables[-1]["rows"][-1].append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "caption":
            self.tables[-1]["caption"] += data
        if "style" not in self.open:
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def render(results, language="en", evidence="auto", before=None):
    report = model.build(results, sample.GENERATED, "scanner.example.org", profiles=sample.PROFILES)
    if before is not None:
        earlier = model.build(before, "2026-11-18T17:00:00Z", "scanner.example.org")
        report = model.build(
            results, sample.GENERATED, "scanner.example.org", profiles=sample.PROFILES, changes=changes.compare(earlier, report)
        )
    return page.render(report, language, evidence, ("a.json", "a.xml"))


@pytest.fixture(scope="module", params=["en", "de"])
def text(request):
    return render(sample.small(), request.param, before=sample.small()[1:] + [sample.old_tls("mx1.example.org")])


@pytest.fixture(scope="module")
def outline(text):
    return Outline(text)


def test_it_is_well_formed_and_has_nothing_but_known_elements(outline):
    assert outline.open == []
    assert {tag for tag, _attributes in outline.tags} <= TAGS


def test_it_can_be_listened_to(text, outline):
    assert text.startswith("<!DOCTYPE html>\n<html lang=")
    assert outline.all("html")[0]["lang"] in ("en", "de")
    for landmark in ("h1", "main", "header", "nav", "footer", "title"):
        assert len(outline.all(landmark)) == 1, landmark
    body = [tag for tag, _attributes in outline.tags][[tag for tag, _attributes in outline.tags].index("body") + 1 :]
    assert body[0] == "a" and outline.all("a")[0]["href"] == "#main"
    levels = [int(tag[1]) for tag in body if re.match(r"h[1-4]\Z", tag)]
    assert levels[0] == 1 and all(after <= before + 1 for before, after in zip(levels, levels[1:]))


def test_every_table_says_what_it_is_and_what_its_heads_are_about(outline):
    assert len(outline.tables) > 10
    for table in outline.tables:
        assert table["caption"].strip()
        assert {attributes.get("scope") for tag, attributes in table["rows"][0]} == {"col"}
        for row in table["rows"]:
            assert all(attributes.get("scope") in ("col", "row", "rowgroup") for tag, attributes in row if tag == "th")
        assert all(any(tag == "th" for tag, _attributes in row) for row in table["rows"])


def test_every_line_of_the_matrix_is_as_wide_as_its_head(outline):
    (matrix,) = [table for table in outline.tables if any(attributes.get("scope") == "rowgroup" for row in table["rows"]
                                                          for _tag, attributes in row)]
    width, left = len(matrix["rows"][0]), 0
    for row in matrix["rows"][1:]:
        cells = sum(int(attributes.get("colspan", 1)) for _tag, attributes in row)
        spans = [int(attributes["rowspan"]) for _tag, attributes in row if "rowspan" in attributes]
        if spans:
            (left,) = spans
        else:
            cells += 1
        left -= 1
        assert (cells, left >= 0) == (width, True)


def test_every_link_has_a_place_and_every_place_one_name(outline):
    names = Counter(attributes["id"] for _tag, attributes in outline.tags if "id" in attributes)
    assert [name for name, number in names.items() if number > 1] == []
    targets = [attributes["href"] for attributes in outline.all("a")]
    assert targets and all(target.startswith("#") and target[1:] in names for target in targets)
    labels = [attributes["aria-labelledby"] for attributes in outline.all("section")]
    assert len(labels) == len(outline.all("section")) and set(labels) <= set(names)


def test_it_needs_nothing_from_elsewhere(text, outline):
    assert not {"script", "img", "iframe", "object", "form"} & {tag for tag, _attributes in outline.tags}
    assert [attributes["href"] for attributes in outline.all("link")] == ["data:,"]
    assert not any(name.startswith("on") or name in ("src", "style", "action") for _tag, attributes in outline.tags for name in attributes)
    policy = [attributes["content"] for attributes in outline.all("meta") if "http-equiv" in attributes]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_what_strangers_say_is_only_text(text, outline):
    said = "".join(outline.text)
    assert "<script>alert(1)</script>&amp;\"'><img src=x onerror=alert(2)>" in said
    assert "‹U+202E›" in said and "‹U+0000›" in said and "‹U+D800›" in said
    hidden = [char for char in text if (char < " " and char != "\n") or "\x7f" <= char < "\xa0" or char in "\u202e\u2066\u200b\ufeff\u2028\ufffe"]
    assert hidden == []
    text.encode("utf-8")


def test_a_certificate_is_told_in_whole_days_names_and_its_curve_once():
    many = ["n%d.example.org" % number for number in range(100)] + ["... and 200 more"]
    page = render([sample.result("ended.example.org", days=-3), _with_names(many, 60)], "en")
    assert "ended 2 days ago" in page and "and 296 more" in page
    assert "EC P-256<" in page


def _with_names(names, days):
    found = sample.result("many.example.org", days=days)
    found["observations"][0]["facts"]["certificate"]["value"]["names"] = names
    return found


def test_a_state_is_told_by_a_word_and_not_by_its_colour_alone(text, outline):
    coloured = re.findall(r'<(td|li) class="(?:%s)"[^>]*>(.*?)</\1>' % "|".join(model.STATES), text)
    assert len(coloured) > 100
    for _tag, content in coloured:
        assert re.search(r"[^\W\d_]{4}", re.sub(r"<[^>]*>", "", content)), content
    words = "".join(outline.text)
    states = {attributes["class"] for attributes in outline.all("td") if attributes.get("class") in model.STATES}
    assert states >= {"fail", "warning", "unobservable", "pass"}
    expected = ("fail", "warning", "not observable", "pass")
    if outline.all("html")[0]["lang"] == "de":
        expected = ("nicht erfüllt", "Warnung", "nicht beobachtbar", "erfüllt")
    for word in expected:
        assert word in words


def test_the_summary_says_what_was_checked_and_promises_nothing():
    said = "".join(Outline(render(sample.small())).text)
    summary = said.partition("What does not hold")[2].partition("What does not hold")[0]
    for part in (
        "2026-11-25, 17:00 UTC", "9 listeners on 8 hosts", "scanner.example.org", "checks drawn from: Mozilla Server Side TLS 5.7",
        "the policy that was declared", "Meant for web servers", "2 hosts could not be probed", "never counted as a pass",
    ):
        assert part in summary, part
    assert not re.search(r"conform|compliant|complies", said.replace("No row says that a server conforms", ""), re.IGNORECASE)


def test_the_german_page_is_german():
    """Outside of what is marked as English, no words of the English page are left."""
    outline = Outline(render(sample.small(), "de"))
    said = "".join(outline.text)
    assert not re.search(r"\b(listeners?|expected|refused|observable|evidence|certificate|section|checks?)\b",
                         re.sub(r"\S*example\S*", "", _without_english(render(sample.small(), "de"))), re.IGNORECASE), said
    assert "Geprüft am 25.11.2026, 17:00 UTC: 9 Dienste auf 8 Hosts" in said
    assert any(attributes.get("lang") == "en" for attributes in outline.all("span"))


def _without_english(text):
    """The text of a page without its elements in English, styles and names of files."""
    text = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'<(span|td|pre)( class="[^"]*")? lang="en"[^>]*>.*?</\1>', "", text, flags=re.DOTALL)
    return re.sub(r"<[^>]*>", " ", text)


@pytest.mark.parametrize("mode", ["all", "problems", "none"])
def test_how_much_evidence_there_is(mode):
    text = render(sample.small(), evidence=mode)
    numbers = set(re.findall(r'<h4 id="(l1-d\d+)"', text))
    assert numbers == {"all": {"l1-d%d" % number for number in range(1, 13)}, "problems": {"l1-d1"}, "none": set()}[mode]
    proven = re.findall(r'<h4 id="(l4-d\d+)"', text)
    assert ("l4-d8" in proven) is (mode != "none"), "TLSv1 of the fourth listener was accepted on connection 8"
    Outline(text)


def test_evidence_is_cut_down_where_there_is_much_of_it():
    assert 'id="l1-d12"' in render(sample.fleet(20))
    much = sample.fleet(20)
    for observation in [one for result in much for one in result["observations"]]:
        for dialogue in observation["dialogues"]:
            dialogue["lines"] *= 60
    large = render(much)
    assert 'id="l1-d12"' not in large and "the JSON document has all of them" in large


def test_a_report_of_200_listeners_is_small_enough():
    assert len(render(sample.fleet(200), "de").encode("utf-8")) < 8 * 1000 * 1000


def test_many_rows_with_one_reason_are_folded_away():
    text = render([sample.unreachable("gone.example.org")])
    table = text.partition('id="details"')[2]
    assert table.partition("<details>")[0].count("<tr") == 2, "a head, and the connection that failed"


def test_an_empty_report_says_so():
    said = "".join(Outline(render([])).text)
    assert "no listener could be looked at" in said and "No certificate was seen" in said


def test_changes_are_told():
    before = sample.small()
    said = "".join(Outline(render(sample.small(), before=before)).text)
    assert "Nothing has changed since the report of 2026-11-18, 17:00 UTC." in said
    before[2] = sample.result("old.example.org")
    said = "".join(Outline(render(sample.small(), before=before)).text)
    section = said.partition("Compared with the report of 2026-11-18, 17:00 UTC.")[2]
    assert "worse" in section and "TLSv1" in section and "version.TLSv1" in section


def test_every_way_to_begin_tls_has_words():
    for language in ("en", "de"):
        for mode in MODES:
            assert "TLS: " in render([sample.result("mx.example.org", tls=mode)], language)


@pytest.mark.parametrize(("language", "evidence", "message"), [("fr", "all", "language must be"), ("en", "some", "evidence must be")])
def test_unknown_options_are_refused(language, evidence, message):
    with pytest.raises(ValueError, match=message):
        render([], language, evidence)
