# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of a listener, and what became of it: requirements and rows, both plain data."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .catalogue import CATALOGUE, PARAMETERS, expected, title
from .family import FAMILIES
from .suites import SUITES

PASS = "pass"
FAIL = "fail"
UNOBSERVABLE = "unobservable"

ERROR = "error"
WARNING = "warning"
SEVERITIES = (ERROR, WARNING)

#: Words for what a certificate must not be signed with: hashes, RSA signatures other than PSS, all RSA signatures.
SIGNATURE_WORDS = ("md2", "md5", "sha1", "sha224", "sha256", "sha384", "sha512", "pkcs1", "rsa")

#: What ``forbidden`` may name, by check. A word that nobody knows would forbid nothing, and every server would pass.
_FORBIDDEN: t.Dict[str, t.Container[str]] = {
    "suites": frozenset(FAMILIES).union(SUITES),
    "certificate_signature": SIGNATURE_WORDS,
}

#: The origin of requirements that a policy makes; those of a profile have the profile's name.
POLICY = "policy"


@dataclass(frozen=True)
class Requirement:
    """One thing that is asked of a listener.

    ``check`` is a kind of :data:`.catalogue.CATALOGUE`, ``parameters`` are JSON-able. ``source`` says who asks for it
    ("RFC 8996 section 2", "policy"), ``origin`` is "policy" or the name of a profile. Raises ValueError for an unknown
    kind or severity, for missing parameters, for unknown ones, and for unknown words in ``forbidden``.
    """

    check: str
    parameters: t.Mapping[str, t.Any]
    severity: str
    source: str
    origin: str

    def __post_init__(self) -> None:
        if self.check not in CATALOGUE:
            raise ValueError("unknown check %r: known are %s" % (self.check, ", ".join(CATALOGUE)))
        if self.severity not in SEVERITIES:
            raise ValueError("severity must be one of %s; got %r" % (", ".join(SEVERITIES), self.severity))
        needed, allowed = PARAMETERS.get(self.check, ((), ()))
        missing = [name for name in needed if name not in self.parameters]
        if missing:
            raise ValueError("check %s needs %s" % (self.check, ", ".join(missing)))
        unknown = sorted(set(self.parameters) - set(needed) - set(allowed))
        if unknown:
            raise ValueError("check %s does not know %s" % (self.check, ", ".join(unknown)))
        known = _FORBIDDEN.get(self.check, ())
        strange = [str(word) for word in self.parameters.get("forbidden") or () if word not in known]
        if strange:
            raise ValueError("check %s cannot forbid %s" % (self.check, ", ".join(strange)))

    @property
    def title(self) -> str:
        """What is looked at, in English."""
        return title(self.check, self.parameters)

    @property
    def expected(self) -> str:
        """What a passing server does, in English."""
        return expected(self.check, self.parameters)


@dataclass(frozen=True)
class Row:
    """What became of one requirement at one listener.

    ``verdict`` is "pass", "fail" or "unobservable"; ``seen`` says what the server did, or why it could not be observed,
    and ``side`` who refused or is in the way. ``evidence`` are numbers of the observation's dialogues.
    """

    listener: str
    check: str
    parameters: t.Mapping[str, t.Any]
    title: str
    expected: str
    seen: str
    verdict: str
    severity: str
    source: str
    origin: str
    side: str
    evidence: t.Tuple[int, ...]

    def document(self) -> t.Dict[str, t.Any]:
        """The row as plain data."""
        return {
            "listener": self.listener,
            "check": self.check,
            "parameters": dict(self.parameters),
            "title": self.title,
            "expected": self.expected,
            "seen": self.seen,
            "verdict": self.verdict,
            "severity": self.severity,
            "source": self.source,
            "origin": self.origin,
            "side": self.side,
            "evidence": list(self.evidence),
        }
