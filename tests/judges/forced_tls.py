# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of mail at each TLS level, for each kind of peer: the table that the server and Postfix are held against.

It is written by hand and says what must come out, so that it can disagree with the program. docs/wire-tests.md has it too.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

LEVELS = ("none", "may", "encrypt", "verify", "secure", "fingerprint")
#: ``clear``: delivered in clear. ``again``: the same, on a second connection after TLS failed on the first. ``tls``:
#: delivered inside TLS. A status: nothing delivered, nothing said past EHLO, tried again later.
CLEAR, AGAIN, TLS = "clear", "again", "tls"
_NO_TLS = (CLEAR, CLEAR, *("4.7.4",) * 4)
_REFUSED = (CLEAR, AGAIN, *("4.7.4",) * 4)
_BROKEN = (CLEAR, AGAIN, *("4.7.5",) * 4)
_GOOD = (CLEAR, *(TLS,) * 5)
_UNPROVEN = (CLEAR, TLS, TLS, *("4.7.5",) * 3)
_ELSEWHERE = (CLEAR, TLS, TLS, TLS, "4.7.5", TLS)
_PINNED = (CLEAR, TLS, TLS, "4.7.5", "4.7.5", TLS)

#: Whose fingerprint the policy names: the certificate's own, its key's, or somebody else's.
OWN, KEY, STRANGE = "own", "key", "strange"


@dataclass(frozen=True)
class Kind:
    """A peer. ``behaviour`` is that of its sink, ``certificate`` what it shows, ``known`` what the policy knows of it.

    ``expected`` is in the order of LEVELS. ``first``: how the preferred one of two hosts behaves, where this is the
    second; None is a host where nobody listens. ``literal``: mail to an
    address in place of a domain. ``elsewhere``: the host's name has nothing of the domain's. ``unasked``: why posttls-finger has no opinion.
    """

    promise: int
    name: str
    expected: tuple[str, ...]
    behaviour: t.Mapping[str, t.Any] = field(default_factory=dict)
    certificate: str = "good"
    known: str = OWN
    two_hosts: bool = False
    first: t.Mapping[str, t.Any] | None = None
    first_certificate: str = "good"
    literal: bool = False
    elsewhere: bool = False
    unasked: str = ""

    def verdict(self, level: str) -> str:
        """What must come out at this level."""
        return self.expected[LEVELS.index(level)]


_TWO = "It looks at one host, not at what comes after it."

KINDS: tuple[Kind, ...] = (
    Kind(25, "certificate that is good in every way", _GOOD),
    Kind(25, "certificate for the host, whose name has nothing of the domain's", _ELSEWHERE, elsewhere=True),
    Kind(25, "self-signed certificate", _UNPROVEN, certificate="self-signed", known=STRANGE),
    Kind(25, "certificate for another name", _UNPROVEN, certificate="wrong name", known=STRANGE),
    Kind(25, "certificate that has expired", _UNPROVEN, certificate="expired", known=STRANGE),
    Kind(25, "certificate of another authority", _UNPROVEN, certificate="another authority", known=STRANGE),
    Kind(25, "self-signed certificate whose fingerprint is known", _PINNED, certificate="self-signed"),
    Kind(25, "another certificate for a key that is known", _PINNED, certificate="another authority", known=KEY),
    Kind(25, "address in place of a domain, certificate for the address", _GOOD, literal=True),
    Kind(25, "first host shows a self-signed certificate, second is good", _GOOD, two_hosts=True, first={},
         first_certificate="self-signed", unasked=_TWO),
    Kind(24, "no STARTTLS", _NO_TLS, {"starttls": False}),
    Kind(24, "STARTTLS refused for now (454)", _REFUSED, {"starttls": "refused"}),
    Kind(24, "STARTTLS refused for good (554)", _REFUSED, {"replies": {"STARTTLS": "554 5.7.0 Not for you"}}),
    Kind(24, "nobody at the first host, second is good", _GOOD, two_hosts=True, unasked=_TWO),
    Kind(24, "first host without STARTTLS, second is good", (CLEAR, CLEAR, *(TLS,) * 4), two_hosts=True,
         first={"starttls": False}, unasked=_TWO),
    Kind(26, "garbage in place of the handshake", _BROKEN, {"handshake": "garbage"}),
    Kind(26, "alert in place of the handshake", _BROKEN, {"handshake": "alert"}),
    Kind(26, "connection closed in place of the handshake", _BROKEN, {"closes": "HANDSHAKE"}),
    Kind(26, "TLS 1.1 only", _BROKEN, {"versions": ("TLSv1", "TLSv1.1")}),
    Kind(27, "a reply injected behind the 220 to STARTTLS", _BROKEN, {"starttls": "inject"}),
)


@dataclass(frozen=True)
class Observed:
    """What became of one message: what the server says of it (``verdict``), and ``wrong``: what its peers saw otherwise."""

    verdict: str
    wrong: tuple[str, ...] = ()


def verdict(event: t.Mapping[str, t.Any]) -> str:
    """The verdict in a ``relay.attempt`` event."""
    if event["result"] != "sent":
        return str(event["reason"])[:5]
    return (AGAIN if event["fallback"] else CLEAR) if event["reached"] == "clear" else TLS


def faults(kind: Kind, level: str, observed: Observed) -> list[str]:
    """What is not as the table says; empty when all is."""
    wanted = kind.verdict(level)
    found = [f"{kind.name}, {level}: {observed.verdict}, not {wanted}"] if observed.verdict != wanted else []
    return [*found, *observed.wrong]


# --- Postfix's opinion ----------------------------------------------------------------------------

#: The first word that is found decides.
_SAYS = (
    ("verified", re.compile(r"^Verified TLS connection established")),
    ("tls", re.compile(r"^(?:Trusted|Untrusted|Anonymous) TLS connection established")),
    ("refused", re.compile(r"^STARTTLS rejected")),
    ("failed", re.compile(r"SSL_connect error")),
)
DEFERRED = "deferred"


def postfix_says(level: str, output: str) -> str:
    """``clear``, ``tls`` or ``deferred``: what Postfix would do at this level, of what posttls-finger prints.

    posttls-finger says how far TLS came; what a level makes of that is Postfix's TLS_README, "Client-side TLS".
    """
    lines = [line.removeprefix("posttls-finger: ") for line in output.splitlines()]
    word = next((name for name, pattern in _SAYS for line in lines if pattern.search(line)), "clear")
    if level == "none":
        return CLEAR if word == "clear" else TLS
    if level == "may":
        return TLS if word in ("verified", "tls") else CLEAR
    good = ("verified", "tls") if level == "encrypt" else ("verified",)
    return TLS if word in good else DEFERRED


def plain(said: str) -> str:
    """A verdict in Postfix's three words."""
    return said if said in (CLEAR, TLS) else CLEAR if said == AGAIN else DEFERRED


@dataclass(frozen=True)
class Difference:
    """Postfix would do something else, and why. A difference that is listed and not seen is a fault of the list."""

    kind: str
    levels: tuple[str, ...]
    postfix: str
    why: str


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "a reply injected behind the 220 to STARTTLS", LEVELS[1:], TLS,
        "Postfix throws away what came with the 220 and goes on inside TLS. Both hold that nothing of it counts "
        "(CVE-2011-0411); who injected can do more than that, so the server does not go on with that peer.",
    ),
)


def differs(kind: Kind, level: str) -> Difference | None:
    """The listed difference of this cell."""
    return next((one for one in DIFFERENCES if one.kind == kind.name and level in one.levels), None)


_HEAD = """\
## What becomes of mail at each TLS level

Each message of this table is sent by the running server, and posttls-finger (Postfix) is asked about the same peer at the same
level. `clear`: delivered in clear. `again`: the same, on a second connection after TLS failed on the first. `tls`: delivered
inside TLS. A status: nothing is delivered, nothing said past EHLO and STARTTLS, and the message waits. Level `fingerprint` is
told the fingerprint of the certificate or of the key where the line says that it is known or where all is good. An asterisk
marks what Postfix would do otherwise; of a host and the one after it (unasked) posttls-finger has no opinion, it looks at one.
"""


def document() -> str:
    """The table and the differences, in Markdown."""
    rows = [("peer", *LEVELS, "promise"), ("---",) * (len(LEVELS) + 2)]
    for kind in KINDS:
        cells = [kind.verdict(level) + ("\\*" if differs(kind, level) else "") for level in LEVELS]
        rows.append((kind.name + (" (unasked)" if kind.unasked else ""), *cells, f"W{kind.promise}"))
    table = "".join("| " + " | ".join(row) + " |\n" for row in rows)
    notes = "".join(f"* {one.kind}, {', '.join(one.levels)}: Postfix `{one.postfix}`. {one.why}\n" for one in DIFFERENCES)
    return _HEAD + "\n" + table + "\nPostfix would do something else here:\n\n" + notes
