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

from ..._policy.tls import VERSIONS
from ..._policy.value import Value
from . import tls_values

Versions = t.Optional[t.Tuple[str, ...]]

#: Level -> the weaker ones. Two levels of which neither has the other here cannot be compared: ``dane`` lets mail out in clear
#: where a domain publishes nothing, and what it publishes is another proof than a trusted authority.
_WEAKER: t.Dict[str, t.Tuple[str, ...]] = {
    "none": (),
    "may": ("none",),
    "encrypt": ("none", "may"),
    "dane": ("none", "may"),
    "dane-only": ("none", "may", "encrypt", "dane"),
    "verify": ("none", "may", "encrypt"),
    "secure": ("none", "may", "encrypt", "verify"),
    "fingerprint": ("none", "may", "encrypt"),
}

#: The names that a certificate must have at level secure where nobody says any: the domain and its subdomains.
DOMAIN = ("nexthop", "dot-nexthop")


class Incomparable(Exception):
    """Neither of two policies is as strict as the other, and both together cannot be said; the text says why."""


class Defaults(t.NamedTuple):
    """What main.cf says where an entry says nothing: versions of opportunistic and of mandatory TLS, names, fingerprints."""

    may: Versions = None
    must: Versions = None
    secure: t.Tuple[str, ...] = DOMAIN
    fingerprint: t.Tuple[str, ...] = ()


@dataclass(init=False, repr=False, eq=False)
class TlsPolicy(Value):
    """The right side of a policy table: level, names or fingerprints that must match, versions (None: the global ones), the rest."""

    level: str
    match: t.Tuple[str, ...] = ()
    versions: Versions = None
    rest: t.Tuple[str, ...] = ()

    def text(self, ranges: bool) -> str:
        """As a table has it. ``ranges``: this Postfix knows ``>=``."""
        words = [self.level]
        if self.match:
            words += ["match=" + one for one in self.match] if self.level == "fingerprint" else ["match=" + ":".join(self.match)]
        if self.versions is not None:
            words.append("protocols=" + _protocols(self.versions, ranges))
        return " ".join(words + list(self.rest))


def parse(text: str) -> TlsPolicy:
    """The right side of a policy table. Raises ``ValueError`` for one that Postfix refuses."""
    words = re.split(r"[,\s]+", text.strip())
    level = words[0].lower()
    if level not in _WEAKER:
        raise ValueError("Postfix has no level %s" % words[0])
    match: t.List[str] = []
    versions: Versions = None
    rest = []
    for word in words[1:]:
        name, unused, value = word.partition("=")
        if name.lower() == "match":
            match += [value.upper()] if level == "fingerprint" else [one.lower() for one in value.split(":") if one]
        elif name.lower() == "protocols":
            versions = tls_values.versions_of(value)
            if not versions:
                raise ValueError("%s allows no version" % word)
        elif value:
            rest.append(word)
        elif word:
            raise ValueError("%s is no attribute: blanks and commas end one" % word)
    if level == "fingerprint":
        match = [one for several in match for one in several.split("|") if one]
    return TlsPolicy(level, tuple(match), versions, tuple(rest))


def weaker(one: str, other: str) -> bool:
    """Whether a level is weaker than another one; False as well for those that cannot be compared."""
    return one in _WEAKER.get(other, ())


def covers(found: TlsPolicy, asked: TlsPolicy, defaults: Defaults, key: str = "") -> bool:
    """Whether one policy is at least as strict as another."""
    if found.level != asked.level and not weaker(asked.level, found.level):
        return False
    if asked.level == "none":
        return True
    mine, theirs = _versions(asked, defaults), _versions(found, defaults)
    if mine is not None and (theirs is None or not set(theirs) <= set(mine)):
        return False
    return asked.level != found.level or _within(_names(found, defaults), _asked(asked, defaults), key)


def combined(asked: TlsPolicy, found: TlsPolicy, defaults: Defaults, key: str = "") -> TlsPolicy:
    """Both together, as an entry for the next hop ``key``. Raises :class:`Incomparable`."""
    if found.level == asked.level:
        level, match = asked.level, _narrower(asked, found, defaults, key)
    elif weaker(found.level, asked.level):
        level, match = asked.level, asked.match
        if found.match and asked.level == "secure" and not _within(_asked(asked, defaults), found.match, key):
            raise Incomparable("they match different names (%s; %s)" % (_shown(_asked(asked, defaults)), _shown(found.match)))
        if level == "secure" and not match and defaults.secure != DOMAIN:
            match = DOMAIN
    elif weaker(asked.level, found.level):
        level, match = found.level, found.match
    else:
        raise Incomparable("%s and %s cannot be compared" % (asked.level, found.level))
    # Ciphers and what is excluded stay as somebody chose them.
    made = TlsPolicy(level, match, None, found.rest)
    versions = _common(_versions(asked, defaults), _versions(found, defaults))
    if asked.versions is None and found.versions is None and versions == _versions(made, defaults):
        return made
    return replace(made, versions=versions)


# --- inside ---------------------------------------------------------------------------------------


def _versions(policy: TlsPolicy, defaults: Defaults) -> Versions:
    if policy.versions is not None or policy.level == "none":
        return policy.versions
    return defaults.may if policy.level == "may" else defaults.must


def _names(policy: TlsPolicy, defaults: Defaults) -> t.Tuple[str, ...]:
    if policy.match:
        return policy.match
    return {"secure": defaults.secure, "fingerprint": defaults.fingerprint}.get(policy.level, ())


def _asked(policy: TlsPolicy, defaults: Defaults) -> t.Tuple[str, ...]:
    """A rule that names nobody means the domain, whatever main.cf says."""
    return _names(policy, defaults._replace(secure=DOMAIN))


def _narrower(asked: TlsPolicy, found: TlsPolicy, defaults: Defaults, key: str) -> t.Tuple[str, ...]:
    """Of two policies of one level what the stricter one matches a certificate with."""
    mine, theirs = _asked(asked, defaults), _names(found, defaults)
    if _within(theirs, mine, key):
        return found.match
    if _within(mine, theirs, key):
        return asked.match or (() if defaults.secure == DOMAIN else DOMAIN)
    raise Incomparable(
        "both are %s, and they match different %s (%s; %s)"
        % (asked.level, "certificates" if asked.level == "fingerprint" else "names", _shown(mine), _shown(theirs))
    )


def _within(names: t.Sequence[str], others: t.Sequence[str], key: str) -> bool:
    """Whether each certificate for one of these names is one for the others, too."""
    bare = re.sub(r"\A\[?([^\[\]:]+)\]?(:.*)?\Z", r"\1", key)
    known = {"nexthop": bare, "dot-nexthop": "." + bare} if bare and not bare.startswith(".") else {}
    wanted = [known.get(one, one) for one in others]
    return bool(others) == bool(names) and all(
        any(name == one or (one.startswith(".") and name.endswith(one)) for one in wanted)
        for name in (known.get(one, one) for one in names)
    )


def _shown(names: t.Sequence[str]) -> str:
    return ":".join(names[:3]) + (" and %d more" % (len(names) - 3) if len(names) > 3 else "")


def _common(one: Versions, other: Versions) -> Versions:
    if one is None or other is None:
        return one if other is None else other
    both = tuple(version for version in one if version in other)
    if not both:
        raise Incomparable("no protocol version is allowed by both (%s; %s)" % (", ".join(one), ", ".join(other)))
    return both


def _protocols(versions: t.Sequence[str], ranges: bool) -> str:
    spoken = tls_values.SPOKEN
    if spoken.index(versions[-1]) - spoken.index(versions[0]) == len(versions) - 1:
        return tls_values.protocols(versions, ranges, ":")
    # A range has no gaps.
    return ":".join("!" + version for version in VERSIONS if version not in versions)
