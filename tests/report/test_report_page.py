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
    results, before = sample.small() + sample.ruled(), sample.small()[1:] + [sample.old_tls("mx1.example.org"), *sample.ruled()]
    before[-2]["coverage"] = before[-2]["coverage"][2:]
    return render(results, request.param, before=before)


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
    text = render(sample.small() + [sample.covered("rules.example.org")], "de")
    outline = Outline(text)
    said = "".join(outline.text)
    assert not re.search(r"\b(listeners?|expected|refused|observable|evidence|certificate|section|checks?)\b",
                         re.sub(r"\S*example\S*", "", _without_english(text)), re.IGNORECASE), said
    assert "Geprüft am 25.11.2026, 17:00 UTC: 10 Dienste auf 9 Hosts" in said
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


def section_of(text, name="domains"):
    """The words of one section, each run of blanks as one."""
    found = re.search(r'<section id="%s".*?</section>' % name, text, re.DOTALL)
    return re.sub(r"\s+", " ", "".join(Outline(found.group()).text)) if found else None


def lines_of(text):
    """The lines of the section's tables by domain and direction, the cells as text."""
    found = re.search(r'<section id="domains".*?</section>', text, re.DOTALL).group()
    rows = [[re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
            for row in re.findall(r"<tr>(.*?)</tr>", found)]
    return {tuple(row[:2]): row[2:] for row in rows}


def test_domains_are_listed_with_level_source_exception_and_the_last_look():
    text = render(sample.ruled())
    lines = lines_of(text)
    assert [domain for domain, _direction in lines][1:8] == [
        "*", ".gov.test", ".gov.test", "bare.gov.test", "fax.test", "old.gov.test", "secure.example.org",
    ], "what covers many first, then what somebody has to look at"
    assert lines["*", "outbound"][:3] == ["encrypt", "default allow_only_tls_for_*", "no"]
    assert lines[".gov.test", "outbound"][:2] == ["secure", "subdomains allow_only_tls_for_gov_test"]
    assert lines["old.gov.test", "outbound"][2] == "appliance replaced, ticket 88; until 2027-04-01"
    assert lines["fax.test", "outbound"][2] == "accepted by the CISO; until 2026-11-24: ▲ this day is over"
    assert lines["today.test", "outbound"][2].endswith("until 2026-11-25"), "the last day is a day on which it holds"
    assert lines["bare.gov.test", "inbound"][2] == "no reason is given"
    assert lines["secure.example.org", "inbound"][3].startswith(
        "✗ fail (looked at once): mail for secure.example.org in clear: 250 2.1.5 Ok rules.example.org:25, 2026-11-25, 17:00 UTC"
    )
    tried = "seen, and not judged (looked at once): mail for deep.gov.test in clear: 550 5.7.1 TLS required"
    assert tried in lines[".gov.test", "inbound"][3], "a subdomain was tried"
    assert lines["d00001.test", "inbound"][-1] == lines[".gov.test", "outbound"][-1] == "not looked at"
    said = section_of(text)
    assert "The rules name 10 domains, with 4 exceptions. The last day of 1 of them is over." in said
    assert "does not prove who sends it" in said and "added_by_hand was not understood" in said
    assert "could not be read: The admin interface at 127.0.0.1 port 7000 refuses connections" in said
    german = section_of(render(sample.ruled(), "de"))
    assert "bis 24.11.2026: ▲ dieser Tag ist vorüber" in german and "nicht betrachtet" in german


def test_no_list_of_domains_where_nobody_asked_for_the_rules():
    text = render(sample.small())
    assert section_of(text) is None and "#domains" not in text


def test_ten_thousand_domains_leave_the_page_usable():
    text = render([sample.covered("rules.example.org", 10000)])
    folded = re.search(r'<section id="domains".*?(<details>.*?</details>).*?</section>', text, re.DOTALL).group(1)
    assert folded.count("<tr>") == 501 and "the JSON document has the other 9500, too" in folded
    assert "10000 domains without exception or finding" in folded
    assert "old.gov.test" not in folded and len(text) < 400 * 1000


def test_another_level_or_exception_is_a_change():
    before, after = sample.ruled(), sample.ruled()
    after[0]["coverage"][3].update(level="none", reason="ticket 99")
    del after[0]["coverage"][0]
    said = section_of(render(after, before=before), "changes")
    assert "ticket 88; until 2027-04-01" in said and "ticket 99; until 2027-04-01" in said and "not there" in said
    alone = section_of(render(sample.ruled(), before=sample.ruled()), "changes")
    assert alone.count("until 2026-11-24") == 2 and "ticket" not in alone, "an exception ended in the week between"


def test_every_way_to_begin_tls_has_words():
    for language in ("en", "de"):
        for mode in MODES:
            assert "TLS: " in render([sample.result("mx.example.org", tls=mode)], language)


@pytest.mark.parametrize(("language", "evidence", "message"), [("fr", "all", "language must be"), ("en", "some", "evidence must be")])
def test_unknown_options_are_refused(language, evidence, message):
    with pytest.raises(ValueError, match=message):
        render([], language, evidence)
