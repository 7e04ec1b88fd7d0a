# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS levels of mail that goes out, with Postfix's names.

Which of them a server can hold is the server's to say; here they only have a name, a meaning and an order.
"""

from __future__ import annotations

import typing as t

from .errors import PolicyError, arrived, shown

#: Level -> what it means, from the weakest to the strictest.
#: Levels between ``encrypt`` and ``verify`` stand in Postfix's order: they trust something else than authorities.
MEANINGS = {
    "none": "clear text, even when the other side offers TLS",
    "may": "STARTTLS when it is offered, else clear text",
    "encrypt": "TLS or no delivery; the certificate is not checked",
    "dane": "TLS as the TLSA records of the domain say (RFC 7672), as may where there are none",
    "dane-only": "TLS as the TLSA records of the domain say (RFC 7672), and no delivery without them",
    "fingerprint": "TLS with one of the certificates that are known by their fingerprints",
    "mta-sts": "TLS as the domain's own published policy says (RFC 8461)",
    "verify": "TLS with a trusted certificate for the name of the host",
    "secure": "TLS with a trusted certificate for the domain itself",
}

#: All levels, from the weakest to the strictest.
LEVELS = tuple(MEANINGS)

#: Levels that a rule for all mail may have: nothing that must be known about one domain is needed for them.
GENERAL_LEVELS = ("may", "encrypt")

#: Levels that a relay host may have.
RELAY_HOST_LEVELS = ("none", "may", "encrypt", "verify", "secure")

_STRENGTH = {level: number for number, level in enumerate(LEVELS)}

_FORCING = frozenset(LEVELS) - {"none", "may"}

#: What people write who know other mail servers, with what they mean.
_OTHER_WORDS = {
    "optional": "may",
    "opportunistic": "may",
    "required": "encrypt",
    "require": "encrypt",
    "mandatory": "encrypt",
    "sts": "mta-sts",
    "mtasts": "mta-sts",
    "verified": "verify",
    "dane_only": "dane-only",
    "daneonly": "dane-only",
}


def forces(level: str) -> bool:
    """Whether clear text is never good enough at this level; ``dane`` and ``mta-sts``: as the domain publishes it."""
    return level in _FORCING


def strength(level: str) -> int:
    """How strict a level is: a greater number is stricter."""
    return _STRENGTH[level]


def tls_level(value: t.Any, option: str = "level", known: t.Sequence[str] = LEVELS) -> str:
    """One level, in any case. YAML reads ``no`` and ``off`` as False, which means ``none``.

    Raises :class:`PolicyError` with the levels in ``known`` for everything else, ``yes`` included: it could mean
    each of the others.
    """
    if value is False:
        return _known("none", value, option, known)
    if not isinstance(value, str):
        raise PolicyError("%s must be one of %s; got %s" % (option, ", ".join(known), arrived(value)))
    word = value.strip(" \t").lower()
    return _known("none" if word in ("no", "off", "false") else word, value, option, known)


def _known(word: str, value: t.Any, option: str, known: t.Sequence[str]) -> str:
    if word in known:
        return word
    said = "%s must be one of %s; got %s" % (option, ", ".join(known), shown(value) if value is not False else "none")
    meant = _OTHER_WORDS.get(word)
    if meant in known:
        said += "; did you mean %s (%s)?" % (meant, MEANINGS[meant])
    raise PolicyError(said)
