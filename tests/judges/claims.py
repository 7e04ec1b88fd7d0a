# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a judge says about a server, in words that all judges have in common, and where two of them disagree.

A claim is a line such as "TLSv1.2: accepted" or "certificate key: RSA". Suites have a line each, "TLSv1.2
AES128-SHA: accepted", and only those that are accepted: what a judge does not name, it did not find.
"""

from __future__ import annotations

import datetime
import functools

import shutil
import subprocess
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.securemail.smtp.plugins.module_utils._probe import suites

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))

import debian  # noqa: E402

ACCEPTED, REFUSED = "accepted", "refused"
#: In place of a claim that is not made; of a suite: it is not in the list of those that are accepted.
NOTHING = "nothing"
OFFERED, NOT_OFFERED = "offered", "not offered"

VERSIONS = tuple(suites.VERSIONS)

Claims = dict[str, str]


@dataclass(frozen=True)
class Disagreement:
    """One line that ours and another judge say differently."""

    claim: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        return f"{self.claim}: ours says {self.ours!r}, it says {self.theirs!r}"


def versions(accepted: t.Iterable[str]) -> Claims:
    """The claims of a judge that looked at all versions and names those that are accepted."""
    found = set(accepted)
    return {version: ACCEPTED if version in found else REFUSED for version in VERSIONS}


def version_suites(version: str, names: t.Iterable[str]) -> Claims:
    """The claims about the suites of a version; names of OpenSSL or of IANA."""
    return {f"{version} {openssl_name(name)}": ACCEPTED for name in names}


def certificate(
    subject: str, names: t.Iterable[str], not_before: str, not_after: str, key: str, bits: str | None, signature: str,
    fingerprint: str,
) -> Claims:
    """The claims about the server's certificate.

    ``subject`` is its common name. Dates are of any form that :func:`moment` knows. ``bits`` is None when the judge
    does not say how long the key is. The ``fingerprint`` is SHA-256 with or without colons.
    """
    said = {
        "certificate subject": subject,
        "certificate names": " ".join(sorted(names)),
        "certificate not before": moment(not_before),
        "certificate not after": moment(not_after),
        "certificate key": key.upper(),
        "certificate signature": signature.lower(),
        "certificate SHA-256": fingerprint.replace(":", "").lower(),
    }
    if bits is not None:
        said["certificate key length"] = bits
    return said


def moment(text: str) -> str:
    """A date as judges write it, in ISO 8601: with seconds and Z, or with neither where the judge has no seconds.

    All of them mean UTC. Raises ValueError for another form.
    """
    plain = text.strip().removesuffix(" GMT").removesuffix("Z").removesuffix("+00:00")
    for form in ("%Y-%m-%dT%H:%M:%S", "%b %d %H:%M:%S %Y", "%Y-%m-%d %H:%M"):
        try:
            found = datetime.datetime.strptime(plain, form)
        except ValueError:
            continue
        return found.strftime("%Y-%m-%dT%H:%M:%SZ" if form.endswith(("%S", "%Y")) else "%Y-%m-%dT%H:%M")
    raise ValueError(f"not a date that judges write: {text!r}")


def openssl_name(name: str) -> str:
    """OpenSSL's name of a suite that is named in any way; the name as it is when nobody knows another.

    Raises :class:`debian.Unavailable` where there is no OpenSSL to ask.
    """
    return _OPENSSL_SPELLINGS.get(name) or _from_iana().get(name.replace("TLS_AKE_WITH_", "TLS_"), name)


#: sslyze has the names of an older OpenSSL for these.
_OPENSSL_SPELLINGS = {
    "EDH-RSA-DES-CBC3-SHA": "DHE-RSA-DES-CBC3-SHA",
    "EDH-DSS-DES-CBC3-SHA": "DHE-DSS-DES-CBC3-SHA",
}


@functools.cache
def _from_iana() -> dict[str, str]:
    # From the local OpenSSL, and from the other library's registry what OpenSSL has given up: not from the table of our
    # own probe, which is on trial. Only the number leads from tlslite's names to OpenSSL's.
    names = {}
    try:
        from tlslite.constants import CipherSuite
    except ImportError:
        pass
    else:
        for number, iana in CipherSuite.ietfNames.items():
            if number in suites.SUITE_NAMES:
                names[iana.replace("_draft_00", "")] = suites.SUITE_NAMES[number]
    if not shutil.which("openssl"):
        raise debian.Unavailable("OpenSSL says which of its names is which of IANA's, and there is no openssl here")
    command = ["openssl", "ciphers", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        iana, _dash, openssl = line.split()[:3]
        names[iana] = openssl
    return names


def disagreements(ours: Claims, theirs: Claims) -> list[Disagreement]:
    """Every line that is not the same in both: said differently, or said by one of them only."""
    found = []
    for claim in sorted(ours.keys() | theirs.keys(), key=_order):
        mine, other = ours.get(claim, NOTHING), theirs.get(claim, NOTHING)
        if not _same(claim, mine, other):
            found.append(Disagreement(claim, mine, other))
    return found


def _same(claim: str, mine: str, other: str) -> bool:
    if claim.startswith("certificate not ") and other != NOTHING:
        # A judge without seconds.
        return mine.startswith(other)
    return mine == other


def _order(claim: str) -> tuple[int, str]:
    word = claim.split(" ", 1)[0]
    return (VERSIONS.index(word) if word in VERSIONS else len(VERSIONS), claim)
