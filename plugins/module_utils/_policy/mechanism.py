# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of SASL mechanisms (RFC 4422 section 3.1, registry of the IANA)."""

from __future__ import annotations

import re
import typing as t

from .errors import PolicyError, Problems, arrived, listed, shown

#: The order in which mechanisms are shown and compared; others follow by name. Passwords in clear come last.
ORDER = (
    "EXTERNAL",
    "GSSAPI",
    "SCRAM-SHA-512-PLUS",
    "SCRAM-SHA-512",
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-1",
    "OAUTHBEARER",
    "XOAUTH2",
    "DIGEST-MD5",
    "CRAM-MD5",
    "NTLM",
    "PLAIN",
    "LOGIN",
)

_EXAMPLE = "[SCRAM-SHA-256, PLAIN], or [] for no authentication"
_SHAPE = re.compile(r"[A-Za-z0-9_-]{1,20}")
_RANK = {name: rank for rank, name in enumerate(ORDER)}


def mechanisms(values: t.Any, option: str = "mechanisms") -> t.Tuple[str, ...]:
    """The set of mechanisms, upper case, in a fixed order, equal ones merged. Empty means no authentication.

    Which mechanisms exist is the server's to say. Raises :class:`PolicyError` for None (not the same as an
    empty list), for words that only some server's files know (``all``, ``none``) and for what is no mechanism name.
    """
    problems = Problems()
    found: t.Set[str] = set()
    for position, value in enumerate(listed(values, option, _EXAMPLE), 1):
        with problems.collecting("%s #%d: " % (option, position)):
            found.add(_mechanism(value))
    problems.raise_any()
    return in_order(found)


def in_order(names: t.Iterable[str]) -> t.Tuple[str, ...]:
    """Names of mechanisms in the order in which a policy has them, equal ones merged."""
    return tuple(sorted(set(names), key=lambda name: (_RANK.get(name, len(ORDER)), name)))


def _mechanism(value: t.Any) -> str:
    if not isinstance(value, str):
        raise PolicyError("a mechanism is a name like SCRAM-SHA-256; got %s" % arrived(value))
    text = value.strip(" \t")
    name = text.upper()
    if name in ("", "NONE", "()", "FALSE", "NO", "OFF"):
        raise PolicyError("%s is not a mechanism; write [] for no authentication" % shown(value))
    if name in ("ALL", "ANY", "TRUE", "YES"):
        raise PolicyError("%s is not a mechanism; name the mechanisms that are wanted" % shown(value))
    if not _SHAPE.fullmatch(text):
        raise PolicyError("%s is not a mechanism name (letters, digits, hyphen, underscore, 20 at most)" % shown(value))
    return name
