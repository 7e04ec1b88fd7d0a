# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Figures of the bundled server beside Postfix': as a table, and as the picture of the documentation.

A benchmark that is given ``--picture`` puts its figures into ``docs/speed.svg``, which keeps those of the others.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import typing as t
from dataclasses import asdict, dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "speed.svg"
_HEADING = "%-62s %12s %12s %8s  %s"


@dataclass
class Figure:
    """One thing that was measured: medians of runs that took turns.

    ``theirs`` are those of Postfix in its states by name ("" where it has one only), empty where there is no Postfix.
    ``targets``: by state, what the ratio must be at least (``more``) or at most; ``limit``: what our own value may be
    at most, in the same unit.
    """

    label: str
    unit: str
    ours: float
    theirs: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    targets: dict[str, float] = field(default_factory=dict)
    limit: float | None = None
    more: bool = True

    def missed(self) -> list[str]:
        """The states in which the target is missed; "limit" for our own."""
        found = [
            state for state, wanted in self.targets.items()
            if state in self.ratios and (self.ratios[state] < wanted if self.more else self.ratios[state] > wanted)
        ]
        return found + (["limit"] if self.limit is not None and self.ours > self.limit else [])

    def lines(self) -> list[str]:
        """For the table."""
        word = "at least" if self.more else "at most"
        missed = self.missed()
        found = []
        for state in self.theirs or {"": 0.0}:
            wanted = [f"{word} {self.targets[state]:g} x"] if state in self.targets else []
            if self.limit is not None:
                wanted.append(f"at most {number(self.limit)} {self.unit}")
            mark = "  MISSED" if state in missed or "limit" in missed else ""
            label = f"{self.label}, {self.unit}" + (f" ({state})" if state else "")
            theirs = number(self.theirs[state]) if state in self.theirs else "-"
            ratio = f"{self.ratios[state]:.2f}" if state in self.ratios else "-"
            found.append(_HEADING % (label, number(self.ours), theirs, ratio, (", ".join(wanted) or "-") + mark))
        return found


def number(value: float) -> str:
    """A figure with as many digits as somebody reads."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def compared(
    label: str, unit: str, runs: t.Sequence[tuple[float, t.Mapping[str, float]]], targets: t.Mapping[str, float] | None = None,
    more: bool = True, limit: float | None = None,
) -> Figure:
    """Of runs in which both took turns, ours and theirs by state: the ratio is the median of each turn's own."""
    states = list(runs[0][1])
    return Figure(
        label, unit, statistics.median(ours for ours, _theirs in runs),
        {state: statistics.median(theirs[state] for _ours, theirs in runs) for state in states},
        {state: statistics.median(ours / theirs[state] for ours, theirs in runs) for state in states},
        dict(targets or {}), limit, more,
    )


def show(machine: str, found: t.Sequence[Figure]) -> int:
    """Print the table, with ``--picture`` take the figures into the picture; the exit status: 1 when one is missed."""
    print(machine)
    print(_HEADING % ("", "postern", "Postfix", "ratio", "target"))
    for figure in found:
        print("\n".join(figure.lines()), flush=True)
    if "--picture" in sys.argv[1:]:
        _draw(machine, found)
    return int(any(figure.missed() for figure in found))


# --- the picture ----------------------------------------------------------------------------------

_WIDTH, _LEFT, _ROW, _BAR = 900, 380, 46, 15
_METADATA = re.compile(r"<metadata>(.*?)</metadata>", re.DOTALL)


def _draw(machine: str, found: t.Sequence[Figure]) -> None:
    kept = {}
    if PICTURE.exists():
        content = _METADATA.search(PICTURE.read_text(encoding="utf-8"))
        kept = json.loads(content.group(1).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")) if content else {}
    kept.update({figure.label: dict(asdict(figure), machine=machine) for figure in found})
    PICTURE.write_text(_svg(kept), encoding="utf-8")


def _svg(figures: t.Mapping[str, dict[str, t.Any]]) -> str:
    """Bars of both for everything that has two sides; each pair has its own scale."""
    shown = {label: figure for label, figure in figures.items() if figure["theirs"]}
    machines = sorted({figure["machine"] for figure in shown.values()})
    parts: list[str] = []
    top = 64
    for label, figure in shown.items():
        bars = [("postern", figure["ours"], "#2f6f4f")]
        bars += [(f"Postfix {state}".strip(), value, "#9aa5b1") for state, value in figure["theirs"].items()]
        longest = max(value for _name, value, _colour in bars)
        middle = top + len(bars) * (_BAR + 3) / 2 + 4
        parts.append(f'<text x="{_LEFT - 120}" y="{middle:.0f}" text-anchor="end" class="label">{escape(label)}</text>')
        for name, value, colour in bars:
            length = max(1.0, (_WIDTH - _LEFT - 150) * value / longest)
            parts.append(f'<text x="{_LEFT - 8}" y="{top + 12}" text-anchor="end">{escape(name)}</text>')
            parts.append(f'<rect x="{_LEFT}" y="{top}" width="{length:.1f}" height="{_BAR}" fill="{colour}"/>')
            words = f"{number(value)} {figure['unit']}"
            parts.append(f'<text x="{_LEFT + length + 6:.1f}" y="{top + 12}">{escape(words)}</text>')
            top += _BAR + 3
        top += 14
    notes = [f'<text x="16" y="{top + 16 + 15 * place}" class="note">{escape(line)}</text>'
             for place, line in enumerate(machines)]
    height = top + 20 + 15 * len(machines)
    kept = escape(json.dumps(figures, indent=1))
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img">',
        "<title>postern beside Postfix on one machine</title>",
        f"<metadata>{kept}</metadata>",
        "<style>text{font:12px sans-serif;fill:#222}.label{font-weight:600}.head{font-size:17px;font-weight:600}"
        ".note{fill:#666;font-size:11px}</style>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        '<text x="16" y="30" class="head">postern beside Postfix, on one machine and one disk</text>',
        '<text x="16" y="48" class="note">Each group has a scale of its own. What is measured and how: docs/speed.md</text>',
        *parts,
        *notes,
        "</svg>",
        "",
    ])
