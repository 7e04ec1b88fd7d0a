# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Postfix's words for TLS settings: lists of protocol versions, and what a level means (postconf(5), TLS_README)."""

from __future__ import annotations

import re
import typing as t

from ..._policy.tls import VERSIONS

#: What Postfix can speak. SSLv2 is gone, SSLv3 from every OpenSSL that distributions build.
SPOKEN = VERSIONS[2:]

_KNOWN = {version.lower(): version for version in VERSIONS}
_BOUND = re.compile(r"(>=|<=)(.+)")

#: Levels of smtpd at which a client must use TLS, and all at which it can.
REQUIRED, OFFERED = ("encrypt",), ("may", "encrypt")

LEVELS = ("none", "may", "encrypt")


def versions_of(text: str) -> t.Optional[t.Tuple[str, ...]]:
    """The versions that a list of protocols allows, oldest first; None for a list that Postfix refuses.

    Every form: ``>=TLSv1.2``, ``!SSLv2, !SSLv3``, ``TLSv1.2 TLSv1.3``, with a colon between items as in policy tables.
    """
    listed, excluded = set(), set()
    low, high = 0, len(VERSIONS) - 1
    for word in re.split(r"[,:\s]+", text.strip()):
        if not word:
            continue
        bound = _BOUND.fullmatch(word)
        name = _KNOWN.get((bound.group(2) if bound else word.lstrip("!")).lower())
        if name is None:
            return None
        if bound and bound.group(1) == ">=":
            low = max(low, VERSIONS.index(name))
        elif bound:
            high = min(high, VERSIONS.index(name))
        elif word.startswith("!"):
            excluded.add(name)
        else:
            listed.add(name)
    return tuple(
        version
        for version in VERSIONS[low : high + 1]
        if version in SPOKEN and version not in excluded and (not listed or version in listed)
    )


def allows_sslv3(text: str) -> bool:
    """Whether a list leaves SSLv3 in, which no library speaks any more."""
    return "SSLv3" not in text and not re.search(r">=\s*TLS", text, re.IGNORECASE) and not re.search(r"(^|[,:\s])TLS", text)


def protocols(versions: t.Sequence[str], ranges: bool, separator: str = ", ") -> str:
    """A list of protocols for versions without a gap. ``ranges``: this Postfix knows ``>=`` (since 3.6)."""
    first, last = SPOKEN.index(versions[0]), SPOKEN.index(versions[-1])
    if ranges:
        items = [">=" + versions[0]]
        if last < len(SPOKEN) - 1:
            items.append("<=" + versions[-1])
        return separator.join(items)
    return separator.join("!" + version for version in VERSIONS if version not in SPOKEN[first : last + 1])


def same_protocols(one: str, other: str) -> bool:
    """Whether two lists allow the same versions."""
    return versions_of(one) is not None and versions_of(one) == versions_of(other)


def words(text: str) -> t.FrozenSet[str]:
    """The items of a list, as a set, in lower case."""
    return frozenset(word.lower() for word in re.split(r"[,\s]+", text.strip()) if word)
