# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What came with which version of AXIGEN, as far as it is documented: for messages, and where HELP says nothing."""

from __future__ import annotations

import re
import typing as t

#: Name of a verb's object, an attribute or a value -> (the newest version known to lack it, () when none is; the oldest
#: one known to have it). Sources: the commented configuration file of the 8/9 era, a configuration of 10.3, the HELP
#: of 10.5 and 10.6.
CAME_WITH: t.Mapping[str, t.Tuple[t.Tuple[int, ...], t.Tuple[int, ...]]] = {
    "preferServerCipherSuiteOrder": ((9,), (10, 3)),
    "tls1_3": ((9,), (10, 3)),
    "SmtpFilters": ((), (10, 5)),
}


def numbers(version: str) -> t.Tuple[int, ...]:
    """The numbers that a version begins with; () when it is not known. Development builds call themselves 0.0.0.0."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    parts = tuple(int(part) for part in found.group().split(".")) if found else ()
    return parts if any(parts) else ()


def lacks(version: str, name: str) -> bool:
    """Whether a server of this version is known to lack something."""
    newest_without = CAME_WITH.get(name, ((), ()))[0]
    known = numbers(version)
    return bool(known and newest_without) and known[:len(newest_without)] <= newest_without


def came_with(name: str) -> str:
    """The oldest version that is known to have something, as a sentence; "" when nothing is known."""
    if name not in CAME_WITH:
        return ""
    return "AXIGEN is known to have %s from %s on" % (name, ".".join(str(part) for part in CAME_WITH[name][1]))


def hint(version: str, words: t.Iterable[str]) -> str:
    """Why a server of this version may have refused a command with these words; "" when nothing is known."""
    known = numbers(version)
    named = {word.lower() for word in words}
    for name, (_without, oldest_with) in CAME_WITH.items():
        if known and known < oldest_with and name.lower() in named:
            return "%s; this server is of version %s." % (came_with(name), version)
    return ""
