# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS levels of mail that goes out, with Postfix's names.

Which of them a server can hold is the server's to say; here they only have a name, a meaning and an order.
"""

from __future__ import annotations

import typing as t

from .errors import PolicyError, arrived, shown

#: Level -> what it means, from the weakest to the strictest. Levels between ``encrypt`` and ``verify`` trust what a
#: domain publishes; ``fingerprint`` trusts nobody but who wrote it down.
MEANINGS = {
    "none": "clear text, even when the other side offers TLS",
    "may": "STARTTLS when it is offered, else clear text",
    "encrypt": "TLS or no delivery; the certificate is not checked",
    "dane": "TLS as the TLSA records of the domain say (RFC 7672), as may where there are none",
    "dane-only": "TLS as the TLSA records of the domain say (RFC 7672), and no delivery without them",
    "mta-sts": "TLS as the domain's own published policy says (RFC 8461)",
    "verify": "TLS with a trusted certificate for the name of the host",
    "secure": "TLS with a trusted certificate for the domain itself",
    "fingerprint": "TLS with one of the certificates or keys that are known by their fingerprints",
}

#: All levels, from the weakest to the strictest.
LEVELS = tuple(MEANINGS)

#: Levels that only some servers have, or none yet: what a domain publishes about itself has to be looked up.
LATER_LEVELS = ("dane", "dane-only", "mta-sts")

#: Levels that a rule for all mail may have; that no mail uses TLS is a setting of the server.
GENERAL_LEVELS = ("may", "encrypt", "verify", "secure", "fingerprint")

#: Levels that a relay host may have.
RELAY_HOST_LEVELS = ("none", "may", "encrypt", "verify", "secure")

_STRENGTH = {level: number for number, level in enumerate(LEVELS)}

_PROVING = frozenset(("verify", "secure", "fingerprint"))

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


def asks_who(level: str) -> bool:
    """Whether a peer must prove who it is at this level."""
    return level in _PROVING


def strength(level: str) -> int:
    """How strict a level is: a greater number is stricter."""
    return _STRENGTH[level]


def proof_problem(
    level: t.Optional[str],
    match: t.Optional[t.Sequence[str]],
    fingerprints: t.Optional[t.Sequence[str]],
    whose: str = "",
) -> t.Optional[str]:
    """What does not fit together in a level and in how a peer proves who it is; None: it does.

    ``match`` and ``fingerprints`` None: not said. ``whose`` rule it is, as in "the rule for example.com".
    """
    found = "%s has level: %s; say level: %%s" % (whose, level) if whose else "got level: %s" % level
    if match and level != "secure":
        return "match has a meaning with level: secure only; " + found.replace("%s", "secure")
    if fingerprints and level != "fingerprint":
        return "fingerprints have a meaning with level: fingerprint only; " + found.replace("%s", "fingerprint")
    if level == "fingerprint" and not fingerprints:
        return (
            "level: fingerprint needs fingerprints%s, the SHA-256 of certificates or of public keys: without any nobody "
            "could prove who it is" % (" (%s has none)" % whose if whose else "")
        )
    return None


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
