# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fingerprints of certificates and public keys: SHA-256 of the DER form (RFC 5280, RFC 6698 section 2.1.2).

Canonical are upper-case pairs with colons, as OpenSSL and Postfix print them, each once and in sorted order: any of
them will do, so that their order means nothing.
"""

from __future__ import annotations

import re
import typing as t

from .errors import PolicyError, Problems, arrived, listed, shown

#: Most fingerprints that one rule may have: the old and the new one of each host of a domain, and spare ones.
MOST = 20

_EXAMPLE = '["9F:86:D0:...:0A:08"]'
#: What OpenSSL and others put in front.
_PREFIX = re.compile(r"sha-?256(?:[ _]fingerprint)?[ \t]*[:=][ \t]*", re.IGNORECASE)
#: Pairs with nothing, a colon or a blank between them.
_PAIRS = re.compile(r"[0-9A-Fa-f]{2}(?:[: ]?[0-9A-Fa-f]{2})*")
_DIGITS = 64
_OTHERS = {32: "MD5", 40: "SHA-1", 96: "SHA-384", 128: "SHA-512"}
_HOW = "openssl x509 -in cert.pem -noout -fingerprint -sha256 prints it"


def fingerprint(value: t.Any, option: str = "fingerprint") -> str:
    """One SHA-256 fingerprint. Taken as well: no colons or blanks for them, lower case, ``sha256:`` in front.

    Raises :class:`PolicyError`.
    """
    if not isinstance(value, str):
        raise PolicyError("%s must be a SHA-256 fingerprint; got %s" % (option, arrived(value)))
    text = value.strip(" \t")
    bare = _PREFIX.sub("", text, count=1) if _PREFIX.match(text) else text
    digits = re.sub("[: ]", "", bare) if _PAIRS.fullmatch(bare) else ""
    if len(digits) != _DIGITS:
        got = shown(text)
        if digits:
            other = _OTHERS.get(len(digits))
            got += " (%d digits%s)" % (len(digits), ", as %s has" % other if other else "")
        raise PolicyError(
            "%s must be a SHA-256 fingerprint, %d hexadecimal digits with or without colons; got %s; %s"
            % (option, _DIGITS, got, _HOW)
        )
    return ":".join(re.findall("..", digits.upper()))


def fingerprints(values: t.Any, option: str = "fingerprints") -> t.Tuple[str, ...]:
    """Canonical fingerprints, sorted, equal ones merged; an empty list gives none. Raises :class:`PolicyError`."""
    problems = Problems()
    found: t.Set[str] = set()
    for position, value in enumerate(listed(values, option, _EXAMPLE), 1):
        with problems.collecting():
            found.add(fingerprint(value, "%s #%d" % (option, position)))
    problems.raise_any()
    if len(found) > MOST:
        raise PolicyError("%s must name %d fingerprints at most; got %d" % (option, MOST, len(found)))
    return tuple(sorted(found))
