# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every cell of the table of :mod:`forced_tls` tried once: a message by the real server, and Postfix asked about the same peer."""

from __future__ import annotations

import sys
import typing as t
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.securemail.smtp.plugins.module_utils._probe.sink import Sink
from ansible_collections.securemail.smtp.tests.mta.relay.relay_lab import Lab
from ansible_collections.securemail.smtp.tests.mta.wire_certificates import Authority
from ansible_collections.securemail.smtp.tests.mta.wire_fingerprints import of_certificate, of_key

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))

import forced_tls  # noqa: E402
import scanners  # noqa: E402
from forced_tls import CLEAR, KEY, KINDS, LEVELS, OWN, TLS, Kind, Observed  # noqa: E402

#: What may be said to a peer that is not good enough.
_HARMLESS = {"EHLO", "STARTTLS", "QUIT"}
#: Of nobody.
_STRANGE = bytes(range(32)).hex(":").upper()
Cell = t.Tuple[str, str]


@dataclass
class _Try:
    """One cell: its domain, what the policy says of it, its hosts (the last one is the peer in question)."""

    kind: Kind
    level: str
    domain: str
    host: str
    sinks: list[Sink]
    known: str


class Run:
    """All cells, each tried once when this is made; ``observed`` and ``asked`` are by kind and level.

    ``asked`` is what Postfix would do, None where it is not asked.
    """

    def __init__(self, folder: Path, finger: scanners.Scanner) -> None:
        self.observed: dict[Cell, Observed] = {}
        self.asked: dict[Cell, str | None] = {}
        self._finger = finger
        for name in ("trusted", "stranger", "lab"):
            (folder / name).mkdir()
        self._trusted, self._stranger = Authority(folder / "trusted"), Authority(folder / "stranger")
        with ExitStack() as stack:
            self._lab = stack.enter_context(Lab(folder / "lab", self._trusted))
            tries = [one for number, kind in enumerate(KINDS) for one in self._prepared(stack, kind, f"k{number}.test")]
            self._lab.policy(*map(_rule, tries))
            for one in tries:
                self._lab.submit(f"r@{one.domain}", subject=one.host)
            for one in tries:
                self.observed[one.kind.name, one.level] = self._outcome(one)
            # It needs its processor time; the server is done and its peers only wait.
            with ThreadPoolExecutor(4) as pool:
                for one, said in zip(tries, pool.map(self._ask, tries)):
                    self.asked[one.kind.name, one.level] = said

    def _prepared(self, stack: ExitStack, kind: Kind, parent: str) -> t.Iterator[_Try]:
        lab = self._lab
        addresses = {level: lab.address() for level in LEVELS}
        hosts = {level: f"mx.{level}.{'elsewhere-' * kind.elsewhere}{parent}" for level in LEVELS}
        # What it is that the peer shows is the same at all levels.
        names = [*hosts.values(), *addresses.values()]
        path = self._certificate(kind.certificate, parent, names)
        first = self._certificate(kind.first_certificate, f"first-{parent}", [f"mx0.{level}.{parent}" for level in LEVELS])
        known = {OWN: of_certificate(path), KEY: of_key(path)}.get(kind.known, _STRANGE)
        for level, host in hosts.items():
            domain = f"{level}.{parent}"
            behaviour = {"name": host, "certificate": path, **kind.behaviour}
            sinks = [stack.enter_context(Sink(addresses[level], lab.port, **behaviour))]
            lab.zone.put(host, {"A": [addresses[level]]})
            exchangers = [f"20 {host}"]
            if kind.two_hosts:
                lab.zone.put(f"mx0.{domain}", {"A": [other := lab.address()]})
                exchangers.append(f"10 mx0.{domain}")
                if kind.first is not None:
                    sinks.insert(0, stack.enter_context(
                        Sink(other, lab.port, **{"name": f"mx0.{domain}", "certificate": first, **kind.first})
                    ))
            if kind.literal:
                domain = f"[{addresses[level]}]"
            else:
                lab.zone.put(domain, {"MX": exchangers})
            yield _Try(kind, level, domain, host, sinks, known)

    def _certificate(self, how: str, name: str, names: list[str]) -> str:
        file = f"{name}.pem"
        if how == "self-signed":
            # Named as it should be: all that is wrong is who signed it.
            alone = Authority(self._folder(name))
            return alone.issue(file, names=names)
        if how == "another authority":
            return self._stranger.issue(file, names=names)
        if how == "wrong name":
            return self._trusted.issue(file, name="mx.somebody-else.test", names=["mx.somebody-else.test"])
        return self._trusted.issue(file, names=names, days=-1 if how == "expired" else 30)

    def _folder(self, name: str) -> Path:
        folder = self._trusted.folder / name
        folder.mkdir()
        return folder

    def _outcome(self, one: _Try) -> Observed:
        event = self._lab.attempt(one.domain)
        said = forced_tls.verdict(event)
        sessions = [session for sink in one.sinks for session in sink.wait_idle()]
        messages = [message for session in sessions for message in session.messages]
        where = f"{one.kind.name}, {one.level}"
        wrong = []
        if event["level"] != one.level:
            wrong.append(f"{where}: the server takes it for level {event['level']}")
        delivered = [TLS if message.protocol else CLEAR for message in messages]
        if delivered != ([forced_tls.plain(said)] if event["result"] == "sent" else []):
            wrong.append(f"{where}: the server says {said}, its peers had {delivered}")
        for session in sessions:
            if not session.messages and set(session.verbs) - _HARMLESS:
                wrong.append(f"{where}: a peer that got no message heard {session.verbs}")
            if session.injected:
                wrong.append(f"{where}: something came with STARTTLS in one segment")
        return Observed(said, tuple(wrong))

    def _ask(self, one: _Try) -> str | None:
        if one.kind.unasked:
            return None
        sink = one.sinks[-1]
        literal = one.kind.literal
        host = one.domain.strip("[]") if literal else one.host
        match = {"verify": [host], "secure": [one.domain, f".{one.domain}"], "fingerprint": [one.known]}.get(one.level, [])
        if literal and one.level == "secure":
            match = [host]
        name = [] if literal else ["-s", one.host]
        words = self._finger.run(
            "-c", "-l", one.level, "-F", self._trusted.ca_file, "-d", "sha256", "-p", ">=TLSv1.2", "-t", "20", "-T", "20",
            *name, f"[{sink.address}]:{sink.port}", *match,
        )
        return forced_tls.postfix_says(one.level, words)


def _rule(one: _Try) -> str:
    # "none" takes both: the stricter of the two wishes holds.
    wishes = {"tlsLevel": one.level, **({"allowStartTLS": "no"} if one.level == "none" else {})}
    if one.level == "fingerprint":
        wishes["tlsFingerprints"] = one.known
    sets = " ".join(f'set ({name}, "{value}");' for name, value in wishes.items())
    return f'\tif (isCase (relayDomain, "{one.domain}")) {{ {sets} }}'
