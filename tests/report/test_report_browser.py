# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report in a real browser: what readers see, with a screen or on paper, with keys, without scripts, in a narrow window."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))

import axe  # noqa: E402
import browser as chromium  # noqa: E402
import render_sample  # noqa: E402
import sample_results  # noqa: E402

#: A page with everything that these tests look for: they would see it.
BAD = """<!DOCTYPE html><title>bad</title><style>
p { width: 900px; color: #ccc } @media print { summary { display: none } } summary { outline: none }</style>
<p>wide and pale</p><img src="http://picture.invalid/x.png"><details><summary>more</summary>inside</details>
<script>document.title = "scripted"; console.error("oh"); undefined.nothing</script>"""

OPEN_ALL = "document.querySelectorAll('details').forEach(one => { one.open = true })"
#: Width of the page and of the window, which scrolls sideways when they differ.
WIDTHS = "[document.documentElement.scrollWidth, innerWidth]"
FOCUS = """(() => { const one = document.activeElement, style = getComputedStyle(one);
  return [one.tagName, one.className, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2] })()"""


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests of this module."""
    try:
        running = chromium.Browser()
    except chromium.Unavailable as reason:
        _unavailable(reason)
    with running:
        yield running


@pytest.fixture(scope="module")
def with_axe():
    """axe-core is here."""
    try:
        axe.script()
    except axe.Unavailable as reason:
        _unavailable(reason)


def _unavailable(reason: Exception) -> None:
    """Skip, but not where it must work."""
    if os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
        raise reason
    pytest.skip(str(reason))


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The pages by name: one with everything that can happen in each language, a large one, one of nothing."""
    return Reports(tmp_path_factory.mktemp("reports"))


class Reports(dict):
    """Pages that are written when they are asked for: with several workers each needs only some."""

    def __init__(self, folder):
        super().__init__()
        self._folder = folder

    def __missing__(self, name):
        folder = self._folder / name
        if name == "few":
            # There it has an earlier one to compare with.
            before = _few()[:-1]
            del before[0]["coverage"][3:5]
            render_sample.render(folder, before, "de")
            render_sample.render(folder, _few(), "de", "problems")
        elif name == "fleet":
            render_sample.render(folder, sample_results.fleet(200), "de", "problems")
        elif name == "nothing":
            render_sample.render(folder, [])
        else:
            render_sample.render(folder, sample_results.small() + sample_results.ruled(), name)
        self[name] = folder / "smtp-audit.html"
        return self[name]


def _few():
    """One host in each state: what axe-core looks at, it looks at for long."""
    wanted = ("old", "mx1", "nearly", "busy", "lost")
    # A list of domains among them, with a change of an exception: the last host is not in the earlier report.
    ruled = sample_results.covered("rules.example.org")
    return [ruled] + [one for one in sample_results.small() if one["host"].partition(".")[0] in wanted]


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    path = tmp_path_factory.mktemp("bad") / "bad.html"
    path.write_text(BAD)
    return path


@pytest.mark.parametrize("name", ["en", "few", "nothing"])
def test_nothing_is_fetched_and_the_browser_has_no_complaint(browser, reports, name):
    with browser.page(reports[name]) as page:
        assert page.screenshot(bottom=400).startswith(b"\x89PNG")
        assert page.requests == [reports[name].as_uri()]
        assert page.console == []
        assert page.evaluate("document.compatMode") == "CSS1Compat"


def test_a_page_that_fetches_and_fails_is_seen(browser, bad):
    with browser.page(bad) as page:
        assert "http://picture.invalid/x.png" in page.requests
        assert [line.partition(":")[0] for line in page.console if "picture" not in line] == ["error", "exception"]


@pytest.mark.parametrize(
    ("name", "colours", "medium", "width"),
    [
        ("few", "light", "screen", 1280), ("few", "dark", "screen", 320), ("few", "light", "print", 1280),
        ("nothing", "light", "screen", 1280),
    ],
)
def test_nobody_is_kept_from_using_it(browser, with_axe, reports, name, colours, medium, width):
    """axe-core: WCAG 2.1 A and AA, and good practice. Weak contrast among them, so in both palettes."""
    with browser.page(reports[name], colours=colours, medium=medium, width=width) as page:
        page.evaluate(OPEN_ALL)
        assert axe.violations(page) == []


def test_what_keeps_people_from_using_a_page_is_seen(browser, with_axe, bad):
    with browser.page(bad) as page:
        found = {line.partition(":")[0] for line in axe.violations(page)}
    assert {"color-contrast", "image-alt", "html-has-lang", "landmark-one-main"} <= found


@pytest.mark.parametrize("name", ["en", "de"])
def test_the_page_never_scrolls_sideways(browser, reports, name):
    """WCAG 2.1, success criterion 1.4.10, asks for it down to 320; tables may scroll within their frames."""
    with browser.page(reports[name]) as page:
        page.evaluate(OPEN_ALL)
        for width in (320, 360, 768, 1280):
            page.resize(width)
            assert page.evaluate(WIDTHS) == [width, width]


def test_a_page_that_scrolls_sideways_is_seen(browser, bad):
    with browser.page(bad, width=360) as page:
        assert page.evaluate(WIDTHS)[0] > 360


def _tab_to(page, tag, strokes=400):
    """Go on with the tabulator until an element with this tag has the focus, which must be visible all the way."""
    for _stroke in range(strokes):
        page.press("Tab")
        focused, _class, visible = page.evaluate(FOCUS)
        if focused != "BODY":
            assert visible, f"nobody sees that {focused} has the focus"
        if focused == tag:
            return
    raise AssertionError(f"the tabulator does not reach {tag}")


@pytest.mark.parametrize("scripts", [True, False])
def test_keys_are_enough(browser, reports, scripts):
    is_open = "document.activeElement.parentElement.open"
    with browser.page(reports["few"], scripts=scripts) as page:
        page.press("Tab")
        assert page.evaluate(FOCUS)[:2] == ["A", "skip"]
        page.press("Enter")
        assert page.evaluate("[location.hash, document.activeElement.id]") == ["#main", "main"]
        _tab_to(page, "INPUT")
        rows = "document.querySelector('.matrix').getBoundingClientRect().height"
        before = page.evaluate(rows)
        page.press(" ")
        assert page.evaluate(rows) < before, "only what did not pass is shown"
        _tab_to(page, "SUMMARY")
        for key, expected in (("Enter", True), ("Enter", False), (" ", True)):
            page.press(key)
            assert page.evaluate(is_open) is expected


def test_a_hidden_focus_is_seen(browser, bad):
    with browser.page(bad) as page, pytest.raises(AssertionError, match="nobody sees"):
        _tab_to(page, "SUMMARY")


def test_every_link_leads_to_something_that_shows(browser, reports):
    """Evidence is folded away: who follows a link to it finds it open."""
    with browser.page(reports["en"]) as page:
        dead = """[...document.querySelectorAll('a')].map(one => one.getAttribute('href'))
          .filter(link => link[0] !== '#' || !document.getElementById(link.slice(1)))"""
        assert page.evaluate(dead) == []
        folded = "[...document.querySelectorAll('details a[href^=\"#\"], td a[href^=\"#\"]')].pop()"
        hidden = f"document.getElementById({folded}.hash.slice(1)).closest('details')?.open"
        assert page.evaluate(hidden) is False
        page.evaluate(f"{folded}.click()")
        assert page.evaluate(hidden) is True


def test_without_scripts_it_is_the_same_page(browser, reports):
    texts = []
    for scripts in (True, False):
        with browser.page(reports["few"], scripts=scripts) as page:
            texts.append(page.evaluate("document.documentElement.outerHTML + document.body.innerText"))
    assert texts[0] == texts[1]
    with browser.page(reports["en"]) as page:
        assert page.evaluate("document.scripts.length") == 0


def test_a_page_that_needs_scripts_is_seen(browser, bad):
    titles = []
    for scripts in (True, False):
        with browser.page(bad, scripts=scripts) as page:
            titles.append(page.evaluate("document.title"))
    assert titles == ["scripted", "bad"]


def test_paper_is_light_and_nothing_is_folded_away(browser, reports):
    """Whoever prints at night gets no black sheets, and no summary without what it sums up."""
    ground = "getComputedStyle(document.body).backgroundColor"
    shown = "[...document.querySelectorAll('details pre')].every(one => one.checkVisibility())"
    with browser.page(reports["en"], colours="dark") as page:
        assert (page.evaluate(ground), page.evaluate(shown)) == ("rgb(20, 22, 26)", False)
    with browser.page(reports["en"], colours="dark", medium="print") as page:
        assert page.evaluate(ground) == "rgb(255, 255, 255)"
        assert page.evaluate(shown) is True
        assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    with browser.page(reports["nothing"], colours="dark") as page:
        assert page.pdf().startswith(b"%PDF-")


def test_a_fleet_is_all_there(browser, reports):
    with browser.page(reports["fleet"]) as page:
        assert page.evaluate("document.querySelectorAll('.listener').length") == 200
        assert page.evaluate("document.querySelectorAll('.matrix tbody tr').length") == 200
        assert page.evaluate("document.documentElement.lang") == "de"
        assert (page.requests, page.console) == ([reports["fleet"].as_uri()], [])
        page.resize(360)
        assert page.evaluate(WIDTHS) == [360, 360]
