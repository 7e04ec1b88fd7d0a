# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Words in the language of the report. What has no words there stays English, and is marked as English."""

from __future__ import annotations

import re
import typing as t

from .._probe import catalogue
from . import english, german
from .states import Row

LANGUAGES = ("en", "de")

_MOMENT = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}:\d{2}))?")


class Foreign(str):
    """Text that is English within a report in another language."""


class Words:
    """The words of one language: ``words("summary.fail", listeners=…)``. Raises ValueError for an unknown language."""

    def __init__(self, language: str) -> None:
        if language not in LANGUAGES:
            raise ValueError("language must be one of %s; got %r" % (", ".join(LANGUAGES), language))
        self.language = language
        self._module = german if language == "de" else english

    def __call__(self, name: str, /, **values: t.Any) -> str:
        text = self._module.TEXTS[name]
        return text % values if values else text

    def count(self, number: int, thing: str, case: str = "") -> str:
        """A number of things: ``count(2, "listener")`` is "2 listeners". ``case``: of a language that has cases."""
        form = "one" if number == 1 else "many"
        texts = self._module.TEXTS
        return (texts.get("%s.%s.%s" % (thing, case, form)) or texts["%s.%s" % (thing, form)]) % {"n": number}

    def title(self, row: Row) -> str:
        """What the check is called."""
        return self._of_check(row, "title", catalogue.title, "TITLES")

    def expected(self, row: Row) -> str:
        """What a passing server does."""
        return self._of_check(row, "expected", catalogue.expected, "EXPECTED")

    def _of_check(self, row: Row, key: str, fill: t.Callable[..., str], table: str) -> str:
        texts = getattr(self._module, table, None)
        if texts is None:
            return str(row[key])
        try:
            return fill(row["check"], row.get("parameters") or {}, texts)
        except (KeyError, TypeError, ValueError):
            # A check of a newer probe, or one with other parameters.
            return Foreign(row[key])

    def said(self, text: t.Any) -> str:
        """Words of the probe or of a profile: English, whatever the report's language."""
        return str(text) if self.language == "en" else Foreign(text)

    def profile_words(self, text: t.Any) -> str:
        """What a profile says about itself, or about what nobody can see from outside."""
        table = getattr(self._module, "PROFILE_WORDS", {})
        return table.get(text) or self.said(text)

    def seen(self, text: t.Any) -> str:
        """What the probe saw, in its words or those of the server."""
        found = getattr(self._module, "seen", None)
        return (found(str(text)) if found is not None else None) or self.said(text)

    def source(self, text: str) -> str:
        """Who asks for something: "RFC 9325 section 3.1.1"."""
        for word, other in getattr(self._module, "SOURCE_WORDS", ()):
            text = re.sub(r"\b%s\b" % word, other, text)
        return text

    def side(self, side: str) -> str:
        """Who refused, or who is in the way."""
        return self._module.SIDES.get(side) or self.said(side)

    def moment(self, text: str) -> str:
        """A day and time of RFC 3339 as people write it, without the zone; something else as it is."""
        match = _MOMENT.match(text or "")
        if match is None:
            return str(text or "")
        day = self._module.date(*(int(match.group(number)) for number in (1, 2, 3)))
        return "%s, %s" % (day, match.group(4)) if match.group(4) else day

    def day(self, text: str) -> str:
        """Only the day of it."""
        return self.moment((text or "")[:10])
