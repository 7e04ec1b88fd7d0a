# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Of two TLS policies for one next hop the one that is at least as strict as both; nothing is ever weakened.

Postfix merges nothing: the first table with an answer decides, with all of it (smtp_tls_policy_maps in postconf(5)). So an entry
that goes in front of another one has to hold what that one asks for.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, replace

from ..._policy.value import Value
from . import tls_values

#: Levels that can be compared, from the weakest to the strictest.
ORDER = ("none", "may", "encrypt", "verify", "secure")

#: Attributes that our entries have; others of theirs are kept.
_KNOWN = ("match", "protocols")


class Incomparable(Exception):
    """Neither of two policies is as strict as the other, and both together cannot be said; the text says why."""


@dataclass(init=False, repr=False, eq=False)
class TlsPolicy(Value):
    """The right side of a policy table: level, names or fingerprints that must match, versions (None: the global ones), the rest."""

    level: str
    match: t.Tuple[str, ...] = ()
    versions: t.Optional[t.Tuple[str, ...]] = None
    rest: t.Tuple[str, ...] = ()

    def text(self, ranges: bool) -> str:
        """As a table has it. ``ranges``: this Postfix knows ``>=``."""
        words = [self.level]
        if self.match:
            words += ["match=" + one for one in self.match] if self.level == "fingerprint" else ["match=" + ":".join(self.match)]
        if self.versions is not None:
            words.append("protocols=" + tls_values.protocols(self.versions, ranges, ":"))
        return " ".join(words + list(self.rest))


def parse(text: str) -> TlsPolicy:
    """The right side of a policy table. Raises ``ValueError`` for one that Postfix refuses."""
    words = re.split(r"[,\s]+", text.strip())
    level = words[0].lower()
    match: t.List[str] = []
    versions: t.Optional[t.Tuple[str, ...]] = None
    rest = []
    for word in words[1:]:
        name, unused, value = word.partition("=")
        if name == "match":
            match += [value] if level == "fingerprint" else [one.lower() for one in value.split(":") if one]
        elif name == "protocols":
            versions = tls_values.versions_of(value)
            if not versions:
                raise ValueError("%s allows no version" % word)
        elif word:
            rest.append(word)
    return TlsPolicy(level, tuple(match), versions, tuple(rest))


def covers(found: TlsPolicy, asked: TlsPolicy, general: t.Optional[t.Tuple[str, ...]]) -> bool:
    """Whether one policy is at least as strict as another; ``general`` are the versions where it names none."""
    try:
        return combined(asked, found, general) == _plain(found, general)
    except Incomparable:
        return False


def combined(asked: TlsPolicy, found: TlsPolicy, general: t.Optional[t.Tuple[str, ...]]) -> TlsPolicy:
    """Both together. Raises :class:`Incomparable`."""
    found, asked = _plain(found, general), _plain(asked, general)
    if found.level not in ORDER or asked.level not in ORDER:
        if found.level == asked.level and set(found.match) == set(asked.match):
            return replace(found, versions=_common(asked.versions, found.versions))
        raise Incomparable("%s and %s cannot be compared" % (asked.level, found.level))
    stricter, other = (asked, found) if ORDER.index(asked.level) > ORDER.index(found.level) else (found, asked)
    if stricter.level == other.level and asked.match and found.match and set(asked.match) != set(found.match):
        raise Incomparable("both are %s, and they match different names (%s; %s)" % (asked.level, ":".join(asked.match), ":".join(found.match)))
    match = stricter.match or (other.match if other.level == stricter.level else ())
    # Ciphers and what is excluded stay as somebody chose them.
    return TlsPolicy(stricter.level, match, _common(asked.versions, found.versions), found.rest)


def _plain(policy: TlsPolicy, general: t.Optional[t.Tuple[str, ...]]) -> TlsPolicy:
    """With the versions that hold."""
    return replace(policy, versions=general) if policy.versions is None and general is not None else policy


def _common(one: t.Optional[t.Tuple[str, ...]], other: t.Optional[t.Tuple[str, ...]]) -> t.Optional[t.Tuple[str, ...]]:
    if one is None or other is None:
        return one if other is None else other
    both = tuple(version for version in one if version in other)
    if not both:
        raise Incomparable("no protocol version is allowed by both (%s; %s)" % (", ".join(one), ", ".join(other)))
    return both
