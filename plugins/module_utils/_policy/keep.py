# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a prune must not take away, as shell patterns."""

from __future__ import annotations

import re
import typing as t

from .errors import PolicyError, Problems, arrived, listed, shown

_EXAMPLE = '["local_*"]'


class Keep:
    """Shell patterns for names of rules, domains or addresses, in any case; without patterns it keeps nothing.

    ``*`` stands for any text, the empty one too, ``?`` for one character. Brackets stand for themselves, because
    addresses have them. Patterns without a wildcard are names, and ``canonical`` gives these the form in which they are
    compared. ``option`` is what messages call the patterns. Raises :class:`PolicyError` for what is no pattern.
    """

    def __init__(
        self, patterns: t.Any, option: str = "keep", canonical: t.Optional[t.Callable[[str, str], str]] = None
    ) -> None:
        self._names: t.Set[str] = set()
        expressions: t.List[str] = []
        problems = Problems()
        values = [] if patterns is None else listed(patterns, option, _EXAMPLE)
        for number, value in enumerate(values, 1):
            with problems.collecting():
                place = "%s #%d" % (option, number)
                text = _text(value, place)
                if "*" in text or "?" in text:
                    expressions.append(_expression(text, place))
                else:
                    self._names.add((canonical(text, place) if canonical else text).lower())
        problems.raise_any()
        self._matches = re.compile("|".join(expressions), re.DOTALL).fullmatch if expressions else None

    def holds(self, *names: str) -> bool:
        """Whether a thing that has these names stays."""
        folded = [name.lower() for name in names]
        if any(name in self._names for name in folded):
            return True
        return self._matches is not None and any(self._matches(name) for name in folded)


class Only:
    """What stays where ``patterns`` name all that may go: everything else, and what ``kept`` holds."""

    def __init__(self, patterns: Keep, kept: Keep) -> None:
        self._patterns = patterns
        self._kept = kept

    def holds(self, *names: str) -> bool:
        """Whether a thing that has these names stays."""
        return self._kept.holds(*names) or not self._patterns.holds(*names)


def _text(value: t.Any, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise PolicyError(
            "%s must be a shell pattern like %s; got %s"
            % (place, _EXAMPLE[1:-1], shown(value) if isinstance(value, str) else arrived(value))
        )
    return value.strip()


def _expression(pattern: str, place: str) -> str:
    if not pattern.isascii():
        raise PolicyError(
            "%s: domains are compared as A-labels, and a pattern cannot be turned into one; got %s, write the letters "
            "beyond ASCII as xn--..." % (place, shown(pattern))
        )
    return re.escape(pattern.lower()).replace(r"\*", ".*").replace(r"\?", ".")
