# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every difference between our probe and an independent judge, with the reason: the table of docs/judges.md.

``python tests/judges/differences.py`` prints that document.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from fnmatch import fnmatchcase

import grid
from claims import ACCEPTED, NOTHING, Disagreement
from witnesses import TESTSSL_SERVERS

#: The judges' names for people, and the versions that the table was written for. Another version may have learned.
JUDGES = {
    "sslscan": ("sslscan", "2.0."),
    "nmap": ("nmap", "7.93"),
    "sslyze": ("sslyze", "6.3."),
    "testssl": ("testssl.sh", "3.0."),
}


def every_but(*names: str) -> tuple[str, ...]:
    """All servers of the grid but these."""
    unknown = set(names) - set(grid.NAMES)
    if unknown:
        raise ValueError(f"no servers of the grid: {unknown}")
    return tuple(name for name in grid.NAMES if name not in names)


EVERY = every_but()
STARTTLS = tuple(server.name for server in grid.GRID if server.tls == "starttls")
IMPLICIT = tuple(server.name for server in grid.GRID if server.tls == "implicit" and server.greets)


@dataclass(frozen=True)
class Difference:
    """Judges that differ from ours on each of these servers. ``claim`` is a pattern as in a shell."""

    judges: tuple[str, ...]
    servers: tuple[str, ...]
    claim: str
    why: str
    ours: str = "*"
    theirs: str = NOTHING

    def explains(self, judge: str, server: str, disagreement: Disagreement) -> bool:
        """Whether a disagreement is this one."""
        said = ((disagreement.claim, self.claim), (disagreement.ours, self.ours), (disagreement.theirs, self.theirs))
        return self.concerns(judge, server) and all(fnmatchcase(text, pattern) for text, pattern in said)

    def concerns(self, judge: str, server: str) -> bool:
        """Whether it must be seen with this judge at this server."""
        if judge == "testssl" and server not in TESTSSL_SERVERS:
            return False
        return judge in self.judges and server in self.servers


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        ("sslyze",), ("postfix-default", "postfix-wrapper", "openssl-everything"), "TLSv1.2 ADH-CAMELLIA???-SHA256",
        "sslyze does not ask for the two anonymous Camellia suites with SHA-256 (RFC 5932: 0x00BF and 0x00C5). sslscan "
        "and nmap find them, as we do.", ACCEPTED,
    ),
    Difference(
        ("sslscan",), ("tlslite-ssl3",), "SSLv3 *",
        "sslscan finds SSL 3.0 with bytes of its own, but lists suites with the distribution's OpenSSL, which is built "
        "without SSL 3.0. nmap and sslyze list the same as we do.", ACCEPTED,
    ),
    Difference(
        ("nmap",), ("tlslite-ssl3",), "certificate *",
        "nmap reads the certificate with the distribution's OpenSSL at its usual security level, which ends a handshake "
        "of TLS 1.0 at the server's signature.",
    ),
    Difference(("nmap",), EVERY, "SSLv2", "nmap's ssl-enum-ciphers does not ask for SSL 2.0."),
    Difference(
        ("sslscan",), ("postern-modern", "postern-intermediate", "postern-implicit", "postfix-wrapper", "python"),
        "certificate key length", "sslscan 2.0 says how long an RSA key is, but not an EC key.",
    ),
    Difference(
        ("sslscan", "sslyze"), every_but("postern-modern"), "order of suites",
        "sslscan and sslyze do not say whose order decides. nmap does, and testssl.sh.",
    ),
    Difference(
        ("sslscan", "sslyze", "testssl"), (*STARTTLS, *IMPLICIT), "EHLO",
        "They look at TLS and not at SMTP; nmap's smtp-commands names the same keywords as we do.",
    ),
    Difference(
        ("sslscan", "sslyze", "testssl"), (*STARTTLS, *IMPLICIT), "STARTTLS inside TLS",
        "They do not ask again inside TLS.",
    ),
    Difference(
        ("nmap",), STARTTLS, "STARTTLS inside TLS",
        "nmap asks for the keywords once: with STARTTLS that is in clear, with implicit TLS inside it.",
    ),
    Difference(
        ("testssl",), ("postern-article",), "certificate *",
        "Not asked here: it would take testssl.sh another half a minute. At the other server it is asked.",
    ),
    Difference(
        ("testssl",), ("postern-article",), "least DH size", "Stands in checks of testssl.sh that take minutes.",
    ),
)


def is_known_version(judge: str, version: str) -> bool:
    """Whether the table was written for this version of a judge."""
    return version.startswith(JUDGES[judge][1])


_INTRODUCTION = """\
# Independent judges

<!-- Made by: python tests/judges/differences.py -->

Our probe is proven against scanners that other people wrote. `tests/judges` starts a grid of servers, has each looked
at by the probe and by every judge, and compares line by line what they say:

* which versions from SSL 2.0 to TLS 1.3 are accepted and refused,
* every cipher suite that is accepted, for each version,
* whose order of suites decides, and the shortest Diffie-Hellman prime,
* STARTTLS before and inside TLS, and the keywords of EHLO,
* the certificate: subject, names, dates, key, signature, SHA-256.

Whatever one of them says and the other does not, or says differently, must stand in the table of differences with its
reason, or the test fails; and a difference that stands there and is no longer seen fails it too.
The judges are fetched on first use into the cache folder and never installed; where one cannot be had, its tests are
skipped and say why. No judge's code is part of the collection.
"""
_JUDGES_TABLE = (
    ("sslscan", "Debian's package, unpacked", "every server"),
    ("nmap", "Debian's package, unpacked; scripts `ssl-enum-ciphers`, `ssl-cert`, `smtp-commands`", "every server"),
    ("sslyze", "version 6.3.1 in a virtual environment of its own (`tests/judges/requirements-sslyze.txt`)",
     "every server"),
    ("testssl", "Debian's package, unpacked", "two servers, because it takes its time"),
)


def document() -> str:
    """The text of docs/judges.md."""
    parts = [_INTRODUCTION, "## The servers\n", _table(
        ("name", "what it is", "TLS"), ((f"`{server.name}`", server.about, server.tls) for server in grid.GRID)
    ), "## The judges\n", _table(
        ("judge", "table written for", "where it comes from", "what it looks at"),
        ((JUDGES[name][0], JUDGES[name][1].rstrip("."), source, scope) for name, source, scope in _JUDGES_TABLE),
    ), "## The differences\n", _table(
        ("judge", "about", "ours says", "it says", "at", "why"),
        ((", ".join(JUDGES[judge][0] for judge in row.judges), f"`{row.claim}`", _words(row.ours), _words(row.theirs),
          _places(row), row.why) for row in DIFFERENCES),
    )]
    return "\n".join(parts)


def _words(said: str) -> str:
    return "something" if said == "*" else said


def _places(row: Difference) -> str:
    at = [name for name in grid.NAMES if any(row.concerns(judge, name) for judge in row.judges)]
    if at == list(EVERY):
        return "every server"
    if len(at) > len(EVERY) / 2:
        return "every server but " + ", ".join(f"`{name}`" for name in EVERY if name not in at)
    return ", ".join(f"`{name}`" for name in at)


def _table(head: t.Sequence[str], rows: t.Iterable[t.Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


if __name__ == "__main__":
    print(document(), end="")
