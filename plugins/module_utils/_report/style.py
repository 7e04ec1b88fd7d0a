# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the report looks: one palette for light, one for dark, the same rules for both, and for paper.

Every pair of text and ground has a contrast of at least 4.5 to 1 (WCAG 2.2, success criterion 1.4.3); the tests
compute it.
"""

from __future__ import annotations

import typing as t

#: Names of colours, text and ground of each state among them.
LIGHT: t.Dict[str, str] = {
    "text": "#1b1d22",
    "ground": "#ffffff",
    "soft-text": "#4a4e58",
    "soft": "#f3f4f7",
    "line": "#8a8f9c",
    "link": "#0b4fae",
    "fail-text": "#8a1109",
    "fail": "#fde4e1",
    "warning-text": "#654300",
    "warning": "#fff0c9",
    "unobservable-text": "#3b3f4a",
    "unobservable": "#e4e6ec",
    "pass-text": "#11501f",
    "pass": "#e2f4e5",
    "nothing-text": "#555964",
    "nothing": "#ffffff",
}
DARK: t.Dict[str, str] = {
    "text": "#e9eaee",
    "ground": "#14161a",
    "soft-text": "#b9bdc8",
    "soft": "#1f2228",
    "line": "#7a808d",
    "link": "#8fbcff",
    "fail-text": "#ffb9b1",
    "fail": "#4a1510",
    "warning-text": "#ffd978",
    "warning": "#3d2f05",
    "unobservable-text": "#d3d6de",
    "unobservable": "#31353e",
    "pass-text": "#a6e4b1",
    "pass": "#12331b",
    "nothing-text": "#a9adb8",
    "nothing": "#14161a",
}

#: Text, and what it stands on.
PAIRS = (
    ("text", "ground"),
    ("text", "soft"),
    ("soft-text", "ground"),
    ("soft-text", "soft"),
    ("link", "ground"),
    ("link", "soft"),
    ("fail-text", "fail"),
    ("warning-text", "warning"),
    ("unobservable-text", "unobservable"),
    ("pass-text", "pass"),
    ("nothing-text", "nothing"),
)

_RULES = """
* { box-sizing: border-box }
html { scroll-padding-top: 1rem }
body { margin: 0; font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  color: var(--text); background: var(--ground) }
header, main, footer, nav { max-width: 100rem; margin: 0 auto; padding: 0 1.25rem }
header { padding-top: 1.5rem }
footer { border-top: 1px solid var(--line); margin-top: 3rem; padding-top: 1rem; padding-bottom: 2rem;
  color: var(--soft-text) }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem }
h2 { font-size: 1.4rem; line-height: 1.25; margin: 2.5rem 0 .75rem;
  padding-top: .5rem; border-top: 2px solid var(--line) }
h3 { font-size: 1.1rem; margin: 1.5rem 0 .4rem }
h4 { font-size: 1rem; margin: 1rem 0 .3rem }
h1, h2, h3, h4, p, li, dd { overflow-wrap: anywhere; hyphens: auto }
p, dl, ul { max-width: 62rem }
a { color: var(--link) }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
:target { outline: 2px solid var(--link); outline-offset: 4px }
.skip { position: absolute; left: -100vw }
.skip:focus { left: 1rem; top: 1rem; padding: .5rem 1rem; background: var(--ground); z-index: 9 }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none; padding: 0 }
.lead { font-size: 1.2rem; max-width: 62rem }
.soft, small { color: var(--soft-text) }
small { font-size: .85em }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; list-style: none; padding: 0; max-width: none }
.tiles li { padding: .6rem 1rem; border: 1px solid var(--line); border-radius: .5rem; min-width: 10rem }
.tiles b { display: block; font-size: 1.7rem; line-height: 1.2 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.25rem }
dt { font-weight: 600 } dd { margin: 0 }
.wide { overflow-x: auto }
.scroll { overflow: auto; max-height: 88vh; border: 1px solid var(--line) }
table { border-collapse: collapse; width: 100%; font-size: .92rem }
caption { text-align: left; padding: .4rem .2rem; color: var(--soft-text) }
th, td { text-align: left; vertical-align: top; padding: .3rem .55rem; border: 1px solid var(--line);
  overflow-wrap: anywhere;
  unicode-bidi: isolate }
td { min-width: 10ch }
.short { white-space: nowrap } .places { min-width: 30ch }
thead th { background: var(--soft); overflow-wrap: normal; hyphens: auto }
tbody th { font-weight: 600; min-width: 18ch }
.matrix { border-collapse: separate; border-spacing: 0; font-size: .85rem; line-height: 1.35 }
.matrix th, .matrix td { overflow-wrap: normal; min-width: 0; padding: .25rem .4rem; border-width: 0 1px 1px 0 }
.matrix caption { padding: .4rem .55rem }
.matrix thead th { position: sticky; top: 0; z-index: 2 }
.matrix tbody th { background: var(--ground) }
.matrix tbody th:not([scope=rowgroup]) { white-space: nowrap }
.matrix td a { color: inherit }
.fail { color: var(--fail-text); background: var(--fail) }
.warning { color: var(--warning-text); background: var(--warning) }
.unobservable { color: var(--unobservable-text); background: var(--unobservable) }
.pass { color: var(--pass-text); background: var(--pass) }
.nothing { color: var(--nothing-text); background: var(--nothing) }
.badge { display: inline-block; padding: 0 .5rem; border-radius: .4rem; font-size: .9rem; font-weight: 600;
  white-space: nowrap }
td.fail, td.warning, td.unobservable { font-weight: 600 }
.wide td:first-child:is(.fail, .warning, .unobservable) { white-space: nowrap }
.many .listener { content-visibility: auto; contain-intrinsic-size: auto 14rem }
.listener { border-left: 4px solid var(--line); padding-left: 1rem }
details { margin: .4rem 0 }
summary { cursor: pointer; padding: .2rem 0 }
pre { margin: .2rem 0 .8rem; padding: .6rem .8rem; background: var(--soft); border: 1px solid var(--line);
  white-space: pre-wrap;
  overflow-wrap: anywhere; font: .85rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  unicode-bidi: plaintext }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .95em; unicode-bidi: isolate }
.only { display: block; margin: .5rem 0 }
main:has(#only:checked) .matrix .good { display: none }
@media (max-width: 45rem) { .wide th, .wide td { min-width: 7.5rem } }
@media (max-width: 45rem) { dl { grid-template-columns: 1fr } dd { margin-bottom: .4rem } }
@media print {
  html { font-size: 9pt } nav, .skip, .only { display: none }
  header, main, footer { max-width: none; padding: 0 }
  .wide, .scroll { overflow: visible; max-height: none; border: 0 }
  .matrix thead th { position: static }
  .many .listener { content-visibility: visible }
  details::details-content { content-visibility: visible; block-size: auto }
  thead { display: table-header-group } tr, .tiles li { break-inside: avoid } h2, h3, h4, caption { break-after: avoid }
  .fail, .warning, .unobservable, .pass { print-color-adjust: exact; -webkit-print-color-adjust: exact }
  @page { size: A4 landscape; margin: 12mm }
}
"""


def style() -> str:
    """The style sheet. Paper gets the light palette, whatever the screen has."""
    return (
        ":root { color-scheme: light dark; %s }\n@media screen and (prefers-color-scheme: dark) { :root { %s } }%s"
        % (
            _variables(LIGHT),
            _variables(DARK),
            _RULES,
        )
    )


def _variables(palette: t.Mapping[str, str]) -> str:
    return "; ".join("--%s: %s" % pair for pair in palette.items())
