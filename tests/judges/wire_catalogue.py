# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the server promises on the wire, one entry for each promise, and the program that judges it.

``python tests/judges/wire_catalogue.py`` prints docs/wire-tests.md; with the path of a JUnit file, what came of a run.
A promise W5 that is judged here has tests whose names begin with ``test_w5_`` in the file that its entry names.
"""

from __future__ import annotations

import re
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import forced_tls

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Entry:
    """One promise. ``where`` is the file of its tests beside this one, or, of a promise that is judged elsewhere, a path
    from the project's root.

    ``apart``: what of it is not judged here, and why. ``honest``: why its judge cannot be fooled, where no test shows that
    a server that is wrong in this point is found out.
    """

    number: int
    promise: str
    judge: str
    where: str
    apart: str = ""
    honest: str = ""

    @property
    def name(self) -> str:
        """``W5``."""
        return f"W{self.number}"

    @property
    def here(self) -> bool:
        """Whether it is judged here."""
        return bool(self.where) and "/" not in self.where


_GREETING, _STARTTLS = "test_wire_judged_greeting.py", "test_wire_judged_starttls.py"
_LOGIN, _TLS = "test_wire_judged_login.py", "test_wire_judged_tls.py"
_FRAMING, _POLICY = "test_wire_judged_framing.py", "test_wire_judged_policy.py"
_LIMITS, _DURABLE = "test_wire_judged_limits.py", "test_wire_judged_durability.py"
_CERTIFICATES = "test_wire_judged_certificates.py"
_FORCED, _FINGER = "test_wire_judged_forced_tls.py", "posttls-finger, sockets that listen"
_TWO_HOSTS = "What comes after a host that is not good enough is judged by sockets alone: posttls-finger looks at one host."
_CLIENTS, _RECEIVERS = "test_wire_judged_clients.py", "test_wire_judged_receivers.py"
_RELAY = "tests/mta/relay"
_SENDING = "About mail that goes out."

CATALOGUE: tuple[Entry, ...] = (
    Entry(1, "In clear, port 25 offers STARTTLS and the usual keywords, and neither a login nor REQUIRETLS",
          "swaks", _GREETING),
    Entry(2, "Inside TLS nobody is offered STARTTLS again; 587 and 465 offer a login, and 25 none", "swaks", _GREETING),
    Entry(3, "587 refuses mail in clear: 530 5.7.0", "swaks", _POLICY),
    Entry(4, "587 and 465 refuse mail without a login: 530 5.7.0", "swaks", _POLICY),
    Entry(5, "A login in clear is refused at its first line, and the log does not have it", "bytes on a socket", _LOGIN),
    Entry(6, "A wrong password and an unknown user get the same 535 5.7.8, after the same work", "swaks", _LOGIN),
    Entry(7, "465 says nothing outside of TLS", "openssl s_client, bytes on a socket", _STARTTLS),
    Entry(8, "What stands behind STARTTLS in the same segment has no effect inside TLS", "bytes on a socket", _STARTTLS),
    Entry(9, "What comes in clear between 220 and the handshake ends the connection", "bytes on a socket", _STARTTLS),
    Entry(10, "After the handshake everything before it is forgotten", "bytes on a socket", _STARTTLS),
    Entry(11, "STARTTLS inside TLS: 503 5.5.1", "bytes on a socket", _STARTTLS),
    Entry(12, "TLS 1.2 and 1.3 only", "openssl s_client, sslscan, nmap ssl-enum-ciphers", _TLS),
    Entry(13, "The TLS settings as a whole are Mozilla's intermediate", "sslyze", _TLS),
    Entry(14, "No renegotiation by the client, no compression, none of the known holes", "sslyze", _TLS,
          apart="testssl.sh looks for the same holes and takes minutes: it is not run for this.",
          honest="Nothing of today has these holes any more; what sslyze did not look at is counted as a hole."),
    Entry(15, "Key exchange with X25519, P-256 and P-384 and no other group; suites of TLS 1.2 as configured",
          "openssl s_client", _TLS,
          apart="A profile without ChaCha20 in TLS 1.3 is not judged: Python cannot choose the suites of TLS 1.3 before 3.15, "
          "and they are OpenSSL's own."),
    Entry(16, "The name that a client asks for picks the certificate", "openssl s_client", _CERTIFICATES),
    Entry(17, "Nothing but CR LF . CR LF ends a message, and a message with a bare CR, LF or NUL is refused, once, and "
          "the connection closed", "bytes on a socket", _FRAMING),
    Entry(18, "Mail that goes out has no bare CR or LF, and its dots are stuffed", "a socket that listens",
          f"{_RELAY}/test_smuggling.py", apart=_SENDING),
    Entry(19, "However the bytes of a session are cut, the answers are the same", "bytes on a socket, hypothesis", _FRAMING),
    Entry(20, "Answers come in the order of the commands, and mail of five senders at a time arrives",
          "smtp-source, bytes on a socket", _FRAMING),
    Entry(21, "No open relay", "nmap smtp-open-relay, swaks", _POLICY),
    Entry(22, "TLS may be demanded for the domain of a sender or of a recipient", "swaks", _POLICY),
    Entry(23, "A client certificate may be demanded of a sender's domain: 554 5.7.0 without one", "swaks", _POLICY),
    Entry(24, "Mail that must go over TLS waits where there is no STARTTLS, and nothing is said past EHLO", _FINGER, _FORCED),
    Entry(25, "The levels encrypt, verify, secure and fingerprint do what they say with every kind of certificate", _FINGER,
          _FORCED, apart=_TWO_HOSTS),
    Entry(26, "After a handshake that failed only the level may goes on in clear, on a new connection", _FINGER, _FORCED),
    Entry(27, "Bytes that come with the 220 to STARTTLS end the attempt", _FINGER, _FORCED,
          apart="Postfix throws them away and goes on: a listed difference."),
    Entry(28, "DANE", "posttls-finger", "", apart=f"{_SENDING} The levels dane and dane-only are not there yet and refused by name."),
    Entry(29, "MTA-STS", "mta-sts-query", "", apart=f"{_SENDING} The level mta-sts is not there yet and refused by name."),
    Entry(30, "Every message that got its 250 is there after a kill, once", "smtp-source, kill -9", _DURABLE),
    Entry(31, "The sync of a message ends before its 250 is written", "strace", _DURABLE,
          apart="A disk that loses what was not synced is not simulated: that needs a device of the kernel or a library in "
          "front of the C library's."),
    Entry(32, "Whoever feeds a message an octet at a time is cut off, and others are served meanwhile", "200 sockets", _LIMITS),
    Entry(33, "Lines, sizes, recipients and texts have their limits and codes, and a flood of text is not kept in memory",
          "bytes on a socket, /proc", _LIMITS),
    Entry(34, "A client that says nothing hears 421 4.4.2 when its time is over", "bytes on a socket", _LIMITS),
    Entry(35, "Clients and servers of all kinds deliver over TLS, with a login at 587 and 465",
          "swaks, msmtp, curl, s-nail, smtplib, aiosmtplib, Exim, Postfix", _CLIENTS,
          apart="Postfix delivers to port 25 and does not log in: a plug-in of Cyrus SASL would have to be installed for that."),
    Entry(36, "Servers of other people take what is sent: plain, 8-bit, addresses in UTF-8, and all recipients but the one that "
          "they refuse", "Postfix, Exim, OpenSMTPD, smtp-sink, aiosmtpd", _RECEIVERS,
          apart="OpenSMTPD and smtp-sink in clear (smtp-sink has no TLS, and Debian 12's OpenSMTPD broke off each handshake "
          "that was tried); smtp-sink refuses no single recipient; neither has SMTPUTF8."),
    Entry(37, "What a host cannot take (SIZE, 8BITMIME, SMTPUTF8) comes back and says why", "aiosmtpd, smtp-sink, OpenSMTPD; flufl.bounce",
          _RECEIVERS, apart="REQUIRETLS is not offered."),
    Entry(38, "No password and no key is in the log, in a file, in a process list or in an answer", "a search", _LOGIN),
    Entry(39, "A new certificate is taken up at once, while 50 sessions go on and nobody is refused", "openssl s_client, 50 sockets",
          _CERTIFICATES),
    Entry(40, "A flood of handshakes does not stop the sessions of others", "ten openssl s_time", _LIMITS,
          honest="OpenSSL counts the handshakes that were made, and a server that stands still answers no NOOP in the meantime; both "
          "numbers stand in the outcome."),
)


def entry(number: int) -> Entry:
    """The entry of a promise."""
    return next(one for one in CATALOGUE if one.number == number)


# --- what came of a run ---------------------------------------------------------------------------


def outcomes(junit: Path) -> dict[int, tuple[str, str]]:
    """Of each promise with tests in a JUnit file: "passed", "FAILED" or "skipped", and what is to be said about it.

    One test that failed decides, and else one that passed; what a test has noted as ``seen`` is said.
    """
    found: dict[int, tuple[str, str]] = {}
    rank = ("skipped", "passed", "FAILED")
    for case in ElementTree.parse(junit).iter("testcase"):
        numbers = promised(case.get("name", ""))
        skipped = case.find("skipped")
        failed = case.find("failure") is not None or case.find("error") is not None
        outcome = "FAILED" if failed else "passed" if skipped is None else "skipped"
        said = [] if skipped is None else [skipped.get("message", "")]
        said += [one.get("value", "") for one in case.iterfind("properties/property") if one.get("name") == "seen"]
        for number in numbers:
            before, words = found.get(number, ("skipped", ""))
            words = "; ".join(dict.fromkeys([*filter(None, words.split("; ")), *said]))
            found[number] = (max(before, outcome, key=rank.index), words)
    return found


def promised(test: str) -> tuple[int, ...]:
    """The promises that a test is about, from its name: 12 of ``test_w12_versions``, 3 and 4 of ``test_w3_w4_…``."""
    head = re.match(r"test_((?:w\d+_)+)", test)
    return tuple(map(int, re.findall(r"\d+", head.group(1)))) if head else ()


def table(results: t.Mapping[int, tuple[str, str]]) -> str:
    """What came of a run, a line for each promise."""
    lines = []
    for one in CATALOGUE:
        outcome, words = results.get(one.number, ("not run", "")) if one.here else ("elsewhere" if one.where else "not there", one.where)
        said = " ".join(filter(None, [words, one.apart]))
        lines.append((one.name, one.promise, one.judge, outcome, said))
    head = ("", "promise", "judge", "outcome", "")
    widths = [max(len(line[place]) for line in (head, *lines)) for place in (0, 2, 3)]
    out = []
    for name, promise, judge, outcome, said in (head, *lines):
        out.append(f"{name:{widths[0]}}  {outcome:{widths[2]}}  {judge:{widths[1]}}  {promise}{': ' if said else ''}{said}")
    return "\n".join(out) + "\n"


# --- the page -------------------------------------------------------------------------------------

_INTRODUCTION = """\
# What the server promises on the wire

<!-- Made by: python tests/judges/wire_catalogue.py -->

Each line is a promise of the bundled server, and names the program that judges it: one that other people wrote, or, where the
bytes themselves are the question, a socket. All of them look at the running server, the real program with its bootstrap file;
what it receives at one that was hardened by the role `securemail.smtp.secure_smtp`.

    ./dev judges

runs them and prints what came of it. The programs are fetched on first use, as Debian's packages or into a virtual environment
of their own, and never installed: those that must be where their package puts them (Exim, OpenSMTPD, s-nail) run in a view of
the machine of their own, in which they are (a mount namespace, for root). Where a program cannot be had, or needs rights that
the user does not have, `./dev judges` fails and says which and why. The same tests are part of `./dev test`, where they are
skipped instead, unless `CI` is set.

A judge that never finds anything would prove nothing: for each promise a test shows that a server that breaks it is found
out, or the last column says why the judge cannot be fooled.
"""


def document() -> str:
    """The text of docs/wire-tests.md."""
    rows = [("", "promise", "judge", "tests", "not judged, or why the judge cannot be fooled"), ("---",) * 5]
    for one in CATALOGUE:
        where = f"`tests/judges/{one.where}`" if one.here else f"`{one.where}`" if one.where else "none"
        rows.append((one.name, one.promise, one.judge, where, " ".join(filter(None, [one.apart, one.honest]))))
    table = "".join("| " + " | ".join(row) + " |\n" for row in rows)
    return _INTRODUCTION + "\n" + table + "\n" + forced_tls.document()


if __name__ == "__main__":
    print(table(outcomes(Path(sys.argv[1]))) if len(sys.argv) > 1 else document(), end="")
