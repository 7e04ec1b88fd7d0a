# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Colours that can be read: the contrast of WCAG 2.2, computed from the palettes."""

from __future__ import annotations

import re

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._report import style


def luminance(colour):
    """The relative luminance of "#rrggbb"."""
    channels = [int(colour[start : start + 2], 16) / 255.0 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """From 1 (the same) to 21 (black on white)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_formula():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("palette", [style.LIGHT, style.DARK], ids=["light", "dark"])
@pytest.mark.parametrize("pair", style.PAIRS, ids="-".join)
def test_text_can_be_read(palette, pair):
    text, ground = (palette[name] for name in pair)
    assert contrast(text, ground) >= 4.5


@pytest.mark.parametrize("palette", [style.LIGHT, style.DARK], ids=["light", "dark"])
def test_lines_and_focus_can_be_seen(palette):
    """Success criterion 1.4.11: 3 to 1."""
    for name in ("line", "link"):
        assert contrast(palette[name], palette["ground"]) >= 3


def test_every_colour_is_in_both_palettes_and_no_other_colour_is_used():
    assert set(style.LIGHT) == set(style.DARK)
    sheet = style.style()
    assert set(re.findall(r"var\(--([\w-]+)\)", sheet)) <= set(style.LIGHT)
    assert set(re.findall(r"#[0-9a-f]{3,6}\b", sheet)) <= set(style.LIGHT.values()) | set(style.DARK.values())


def test_the_sheet_asks_nobody():
    assert not re.search(r"url\(|@import|https?:", style.style())
