# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a check is, how a list of them is run, and how the outcome is shown to people."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .smtp import LOCAL_LIBRARY, NETWORK, SERVER_BUSY, Reply, Unobservable
from .tls import Handshake

PASS, FAIL, UNOBSERVABLE = "pass", "fail", "unobservable"

#: Columns of :func:`table`.
COLUMNS = ("check", "before", "expected", "after", "verdict")


@dataclass(frozen=True)
class Verdict:
    """``outcome`` is "pass", "fail" or "unobservable"; ``seen`` is what the server did, for people."""

    outcome: str
    seen: str

    @property
    def passed(self) -> bool:
        return self.outcome == PASS

    def __str__(self) -> str:
        return self.seen if self.outcome != UNOBSERVABLE else "not observable: %s" % self.seen


def judged(good: bool, seen: t.Union[str, Reply, Handshake]) -> Verdict:
    """Pass or fail, with what was seen."""
    return Verdict(PASS if good else FAIL, str(seen))


class Unexpected(Exception):
    """On the way to what a check looks at, the server did something that fails the check already."""


@dataclass(frozen=True)
class Check:
    """One sentence about a server that anybody on the network can verify.

    ``name`` is unique in its list, ``expected`` says in words what a passing server does, ``source`` where that is
    asked for. ``before`` says why the check may pass on an unhardened server too; "" means that it must fail there.
    ``look`` does the conversations.
    """

    name: str
    expected: str
    source: str
    look: t.Callable[[], Verdict] = field(repr=False, compare=False)
    before: str = ""

    def run(self) -> Verdict:
        """Have a look now. Never raises for what a server or network does."""
        try:
            return self.look()
        except Unexpected as error:
            return Verdict(FAIL, str(error))
        except Unobservable as error:
            return Verdict(UNOBSERVABLE, str(error))


def unobservable(handshake: Handshake) -> Verdict:
    """The verdict for an offer that came to nothing without the server's doing."""
    return Verdict(UNOBSERVABLE, "%s (%s)" % (handshake.detail, handshake.side))


def blameless(handshake: Handshake) -> bool:
    """Whether that an offer came to nothing says nothing about the server's settings."""
    return handshake.side in (NETWORK, LOCAL_LIBRARY, SERVER_BUSY)


def run_all(
    checks: t.Iterable[Check], on_verdict: t.Optional[t.Callable[[Check, Verdict], None]] = None
) -> t.List[Verdict]:
    """Run checks one after the other, never two connections of different checks at once; verdicts in the same order.

    ``on_verdict`` is called after each one, for showing progress.
    """
    verdicts = []
    for check in checks:
        verdict = check.run()
        verdicts.append(verdict)
        if on_verdict is not None:
            on_verdict(check, verdict)
    return verdicts


def compare(
    checks: t.Sequence[Check], before: t.Sequence[Verdict], after: t.Sequence[Verdict]
) -> t.List[t.Tuple[str, str, str, str, str]]:
    """Rows for :func:`table` from two runs of the same list, before and after hardening.

    The verdict is "ok" when the check passes after and failed before, "ok (held before: why)" when it passed before
    and the check says why it may, "FAILED" when it does not pass after, and "PROVES NOTHING" when it passed before
    without a reason.
    """
    rows = []
    for check, old, new in zip(checks, before, after):
        if not new.passed:
            verdict = "FAILED"
        elif not old.passed:
            verdict = "ok"
        else:
            verdict = "ok (held before: %s)" % check.before if check.before else "PROVES NOTHING"
        rows.append((check.name, _marked(old), check.expected, _marked(new), verdict))
    return rows


def proven(rows: t.Iterable[t.Sequence[str]]) -> int:
    """How many rows of :func:`compare` are in order."""
    return sum(1 for row in rows if row[4].startswith("ok"))


def table(rows: t.Iterable[t.Sequence[str]], columns: t.Sequence[str] = COLUMNS, width: int = 34) -> str:
    """Rows as plain text with aligned columns. A cell longer than ``width`` characters goes on in the next line."""
    body = [[_wrapped(str(cell), width) for cell in row] for row in rows]
    head = [_wrapped(name, width) for name in columns]
    widths = [
        max(len(line) for row in [head] + body for line in row[index])
        for index in range(len(columns))
    ]
    lines = _lines(head, widths)
    lines.append("  ".join("-" * size for size in widths))
    for row in body:
        lines.extend(_lines(row, widths))
    return "\n".join(lines)


def _marked(verdict: Verdict) -> str:
    return "%s %s" % ({PASS: "+", FAIL: "-", UNOBSERVABLE: "?"}[verdict.outcome], verdict.seen)


def _lines(row: t.Sequence[t.Sequence[str]], widths: t.Sequence[int]) -> t.List[str]:
    height = max(len(cell) for cell in row)
    lines = []
    for number in range(height):
        cells = [cell[number] if number < len(cell) else "" for cell in row]
        lines.append("  ".join(cell.ljust(size) for cell, size in zip(cells, widths)).rstrip())
    return lines


def _wrapped(text: str, width: int) -> t.List[str]:
    lines = [""]
    for word in text.split():
        while len(word) > width:
            if lines[-1]:
                lines.append("")
            lines[-1], word = word[:width], word[width:]
            lines.append("")
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines
