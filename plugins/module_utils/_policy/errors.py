# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with a wish, in words for the person who wrote it."""

from __future__ import annotations

import contextlib
import typing as t

#: Longest part of a value that a message repeats, in characters.
SHOWN_LENGTH = 80

#: Most problems, or entries of a list, that one message shows.
SHOWN_ENTRIES = 20


class PolicyError(Exception):
    """Bad input or a contradiction; nothing was written.

    ``problems`` holds all that was found, one sentence each, so that a person mends a playbook once and not ten times.
    The message shows the first twenty of them (``shown``) and says how many more there are.
    """

    def __init__(self, *problems: str) -> None:
        self.problems: t.Tuple[str, ...] = tuple(problems)
        self.shown: t.List[str] = few(self.problems, "%d more")
        super().__init__("; ".join(self.shown))


class Problems:
    """Collects problems while the work goes on, and raises them together."""

    def __init__(self) -> None:
        self._found: t.Dict[str, None] = {}

    def add(self, problem: str) -> None:
        """Note one problem. A sentence that was noted before is not repeated."""
        self._found.setdefault(problem)

    @contextlib.contextmanager
    def collecting(self, prefix: str = "") -> t.Iterator[None]:
        """Note the problems of the block instead of passing them on; the rest of the block is skipped."""
        try:
            yield
        except PolicyError as error:
            for problem in error.problems:
                self.add(prefix + problem)

    def found(self) -> t.Tuple[str, ...]:
        """All that was noted."""
        return tuple(self._found)

    def raise_any(self) -> None:
        """Raise :class:`PolicyError` if anything was noted."""
        if self._found:
            raise PolicyError(*self._found)


def shown(value: t.Any) -> str:
    """A value as a message may repeat it: quoted, on one line, shortened, control characters escaped."""
    text = value if isinstance(value, str) else repr(value)
    if len(text) > SHOWN_LENGTH:
        text = text[: SHOWN_LENGTH - 3] + "..."
    return '"%s"' % "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def arrived(value: t.Any) -> str:
    """What YAML made of something that should have been text, with the quoting that helps."""
    if value is None:
        return "nothing"
    if value is True or value is False:
        return "the boolean %s" % str(value).lower()
    if isinstance(value, (int, float)):
        return "the number %s, quote it" % value
    return "a %s" % {"dict": "dictionary", "bytes": "byte string"}.get(type(value).__name__, type(value).__name__)


def listed(values: t.Any, option: str, example: str) -> t.List[t.Any]:
    """The entries of a list option; a string is taken apart at its commas, as Ansible does.

    Raises :class:`PolicyError` for anything else, None included: "not given" is the caller's business.
    """
    if isinstance(values, str):
        return [part.strip() for part in values.split(",")]
    if isinstance(values, (list, tuple, set, frozenset)):
        return sorted(values, key=str) if isinstance(values, (set, frozenset)) else list(values)
    raise PolicyError("%s must be a list like %s; got %s" % (option, example, arrived(values)))


def few(sentences: t.Sequence[str], rest: str) -> t.List[str]:
    """The first twenty of many sentences, and how many more there are; ``rest`` says of what, like ``%d more``."""
    if len(sentences) <= SHOWN_ENTRIES:
        return list(sentences)
    return [*sentences[:SHOWN_ENTRIES], "and " + rest % (len(sentences) - SHOWN_ENTRIES)]
