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
_BOUND = re.compile(r"(>=|<=)(.*)")

#: Numbers in the TLS protocol. SSLv2 has none, and is no bound for Postfix.
_NUMBERS = {version: 0x300 + place for place, version in enumerate(VERSIONS[1:])}

#: Levels of smtpd at which a client must use TLS, and all at which it can.
REQUIRED, OFFERED = ("encrypt",), ("may", "encrypt")

#: Levels of the sending side; smtpd takes them for ``encrypt``, and warns in the log.
_TAKEN_FOR_ENCRYPT = ("fingerprint", "verify", "secure")


def receiving_level(text: str) -> str:
    """The level at which smtpd works with this value ("" stays "")."""
    found = text.strip().lower()
    return "encrypt" if found in _TAKEN_FOR_ENCRYPT else found


def versions_of(text: str) -> t.Optional[t.Tuple[str, ...]]:
    """The versions that a list of protocols allows, oldest first; None for a list that Postfix refuses.

    Every form: ``>=TLSv1.2``, ``!SSLv2, !SSLv3``, ``TLSv1.2 TLSv1.3``, numbers of the TLS protocol as bounds (``>=0303``), with a
    colon between items as in policy tables. The last bound of a kind is in force, whichever is stricter.
    """
    listed, excluded = set(), set()
    bounds = {">=": 0, "<=": 0}
    for word in re.split(r"[,:\s]+", text.strip()):
        bound = _BOUND.fullmatch(word)
        if bound:
            number = _number(bound.group(2))
            if number is None:
                return None
            bounds[bound.group(1)] = number
        elif word:
            name = _KNOWN.get((word[1:] if word.startswith("!") else word).lower())
            if name is None:
                return None
            (excluded if word.startswith("!") else listed).add(name)
    return tuple(
        version
        for version in SPOKEN
        if bounds[">="] <= _NUMBERS[version] <= (bounds["<="] or _NUMBERS[SPOKEN[-1]])
        and version not in excluded
        and (not listed or version in listed)
    )


def _number(text: str) -> t.Optional[int]:
    """The number of a version in the TLS protocol by its name or itself, hexadecimal; 0 is no bound. None: Postfix refuses it."""
    if text.lower() in _KNOWN:
        return _NUMBERS.get(_KNOWN[text.lower()])
    if not re.fullmatch(r"(0x)?[0-9a-f]{0,4}", text, re.IGNORECASE):
        return None
    number = int(text or "0", 16)
    # What OpenSSL does not know it does not set.
    return number if number in _NUMBERS.values() else 0


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


def knows_ranges(draft: t.Any) -> bool:
    """Whether this Postfix reads ``>=TLSv1.2``; one that does not would break STARTTLS with it."""
    lines = draft.programs.postconf("-dh", "smtpd_tls_protocols", directory=draft.base.directory).lines
    return bool(lines) and lines[0].strip().startswith(">=")
