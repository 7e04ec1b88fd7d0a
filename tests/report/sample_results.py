# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Results of the probe as it returns them, made up: a small fleet with everything that can happen, and a large one."""

from __future__ import annotations

import copy
from typing import Any

from ansible_collections.securemail.smtp.plugins.module_utils._probe import profiles
from ansible_collections.securemail.smtp.plugins.module_utils._probe.requirement import Requirement

GENERATED = "2026-11-25T17:00:00Z"

#: Text of a server that means harm: markup, controls, a bidirectional override, a lone surrogate, stacked accents, length.
HOSTILE = (
    "220 <script>alert(1)</script>&amp;\"'><img src=x onerror=alert(2)> \x00\x07\x1b[31m\x7f\x85 "
    "\u202efdp.exe\u2066 \u200b\u200d\ufeff\u2028 \ud800 \ufffe a\u0300\u0301\u0302\u0303\u0304\u0305\u0306 ]]> --> </pre></style> "
) + "x" * 3000

#: What is asked of each listener: check, parameters, severity, source, the seen words of a server that passes.
ASKED: tuple[tuple[str, dict[str, Any], str, str, str], ...] = (
    ("reachable", {}, "error", "intermediate", "taken after 0.01 s"),
    ("greeting", {}, "error", "RFC 5321 section 3.1", "220 mx.example.org ESMTP"),
    ("starttls_offered", {"offered": True}, "error", "RFC 3207 section 4", "offered"),
    ("starttls_works", {}, "error", "RFC 3207 section 4", "220, TLSv1.3"),
    ("starttls_inside_tls", {}, "error", "RFC 3207 section 4.2", "neither offered nor accepted"),
    ("version", {"version": "SSLv2", "accepted": False}, "error", "RFC 6176", "refused: connection closed"),
    ("version", {"version": "SSLv3", "accepted": False}, "error", "RFC 7568", "refused: protocol_version"),
    ("version", {"version": "TLSv1", "accepted": False}, "error", "RFC 8996 section 2", "refused: protocol_version"),
    ("version", {"version": "TLSv1.1", "accepted": False}, "error", "RFC 8996 section 2", "refused: protocol_version"),
    ("version", {"version": "TLSv1.2", "accepted": True}, "error", "RFC 9325 section 3.1.1", "accepted"),
    ("version", {"version": "TLSv1.3", "accepted": True}, "warning", "RFC 9325 section 3.1.1", "accepted"),
    ("suites", {"version": "TLSv1.2", "allowed": ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
                                                  "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"]},
     "error", "Mozilla 5.7", "ECDHE-ECDSA-AES256-GCM-SHA384, ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("suites", {"version": "TLSv1.2", "forbidden": ["null", "export", "rc4", "3des", "anonymous"]}, "error",
     "RFC 9325 section 4.1", "none of them"),
    ("suite_offered", {"version": "TLSv1.2", "any_of": ["ECDHE-RSA-AES128-GCM-SHA256"]}, "warning", "RFC 9325 section 4.2", "accepted"),
    ("server_preference", {"by": "server"}, "warning", "RFC 9325 section 4.2.1", "the server's order decides"),
    ("groups", {"allowed": ["X25519", "P-256", "P-384"]}, "error", "Mozilla 5.7", "X25519, P-256"),
    ("dh_size", {"bits": 2048}, "error", "RFC 9325 section 4.1", "no DHE suite is negotiated"),
    ("compression", {}, "error", "RFC 9325 section 3.3", "off"),
    ("extended_master_secret", {}, "warning", "RFC 9325 section 3.5", "used"),
    ("secure_renegotiation", {}, "error", "RFC 9325 section 3.5", "announced"),
    ("certificate_trusted", {}, "error", "RFC 8314 section 5.3", "leads to a trusted authority"),
    ("certificate_name", {}, "error", "RFC 9525", "mx.example.org"),
    ("certificate_valid", {"days_left": 14}, "error", "RFC 5280 section 4.1.2.5", "61 days left"),
    ("certificate_lifetime", {"days": 366}, "warning", "Mozilla 5.7", "90 days"),
    ("certificate_key", {"rsa_bits": 2048, "ec_bits": 256}, "error", "RFC 9325 section 4.5", "EC P-256"),
    ("certificate_signature", {"forbidden": ["md5", "sha1"]}, "error", "RFC 9155", "ecdsa-with-SHA256"),
    ("auth_offered_clear", {"mechanisms": []}, "error", "RFC 8314 section 3", "not offered"),
    ("auth_refused_clear", {"mechanism": "PLAIN"}, "error", "RFC 4954 section 4", "503 5.5.1 AUTH is not available"),
    ("auth_refused_clear", {"mechanism": "LOGIN"}, "error", "RFC 4954 section 4", "503 5.5.1 AUTH is not available"),
    ("auth_offered_tls", {"mechanisms": ["PLAIN", "LOGIN"]}, "error", "policy", "LOGIN, PLAIN"),
    ("injection", {}, "error", "RFC 3207 section 4.2", "no effect"),
    ("late_plaintext", {}, "error", "RFC 3207 section 4.2", "the handshake failed"),
    ("ehlo_again", {}, "warning", "RFC 3207 section 4.2", "503"),
    ("transaction_forgotten", {}, "warning", "RFC 3207 section 4.2", "503 at RCPT"),
    ("open_relay", {}, "error", "RFC 5321 section 3.6", "550 5.7.1 relaying denied"),
    ("forced_clear", {"domain": "secure.example.org", "reject_message": "TLS required"}, "error", "policy", "550 TLS required"),
    ("outside", {"what": "DNSSEC for the own zones", "why": "it is in the DNS, not on this listener"}, "error",
     "TR-03108-1", ""),
)

PROFILES = (profiles.load("intermediate"),)


def dialogues(hostile: bool = False, connections: int = 12) -> list[dict[str, Any]]:
    """Connections as evidence."""
    banner = "S: " + (HOSTILE if hostile else "220 mx.example.org ESMTP ready")
    opening = (banner[:400], "C: EHLO probe.invalid", "S: 250-mx.example.org", "S: 250-SIZE 52428800", "S: 250-STARTTLS",
               "S: 250 8BITMIME", "C: STARTTLS", "S: 220 2.0.0 go ahead")
    talk = opening + ("-- TLSv1.3 TLS_AES_256_GCM_SHA384", "C: EHLO probe.invalid", "S: 250-mx.example.org", "S: 250 AUTH PLAIN LOGIN",
                      "C: AUTH PLAIN (a login)", "S: 535 5.7.8 wrong", "C: QUIT", "S: 221 2.0.0 bye")
    found = [{"number": 1, "purpose": "conversation", "lines": list(talk), "seconds": 0.2134}]
    for number in range(2, connections + 1):
        lines = opening + ("C: ClientHello TLSv1.1, 41 suites", "S: alert protocol_version")
        found.append({"number": number, "purpose": "TLSv1.1 offered" if number == 5 else "an offer", "lines": list(lines), "seconds": 0.05})
    return found


def certificate(name: str, days: int = 61, **more: Any) -> dict[str, Any]:
    """A certificate as a fact's value."""
    return {
        "subject": f"CN={name}", "issuer": "CN=Example CA", "names": [name], "not_before": "2026-10-27T00:00:00Z",
        "not_after": f"{2027 if days > 36 else 2026 if days >= 0 else 2025}-12-{max(1, min(31, abs(days) % 31)):02d}T00:00:00Z",
        "begun": True, "days_left": days, "lifetime_days": 90, "key": "EC", "key_bits": 256, "curve": "P-256",
        "signature": "ecdsa-with-SHA256", "signature_hash": "sha256", "serial": "1f", "self_signed": False,
        "fingerprint_sha256": f"{name}-{days}", "spki_sha256": "00", **more,
    }


def fact(value: Any, seen: str = "", side: str = "", evidence: tuple[int, ...] = (1,)) -> dict[str, Any]:
    """A fact; one with the value None could not be observed."""
    return {"value": value, "seen": seen or str(value), "side": side, "observable": value is not None, "evidence": list(evidence)}


def row(listener: str, number: int, verdict: str = "pass", seen: str = "", side: str = "", origin: str = "") -> dict[str, Any]:
    """The row of a line of :data:`ASKED`."""
    check, parameters, severity, source, good = ASKED[number]
    origin = origin or ("policy" if source == "policy" else "intermediate")
    requirement = Requirement(check, parameters, severity, source, origin)
    if check == "outside":
        verdict, seen, side = "unobservable", parameters["why"], "not asked for"
    return {
        "listener": listener, "check": check, "parameters": copy.deepcopy(parameters), "title": requirement.title,
        "expected": requirement.expected, "seen": seen or good, "verdict": verdict, "severity": severity,
        "source": source, "origin": requirement.origin, "side": side, "evidence": [1] if number < 5 else [number % 12 + 1],
    }


def number_of(check: str, **parameters: Any) -> int:
    """The line of :data:`ASKED` with this check and these parameters."""
    return next(
        number for number, asked in enumerate(ASKED) if asked[0] == check and parameters.items() <= asked[1].items()
    )


def result(
    host: str, port: int = 25, tls: str = "starttls", changed: dict[int, tuple[str, ...]] | None = None, days: int = 61,
    hostile: bool = False, **facts: Any,
) -> dict[str, Any]:
    """What the probe returns for one host with one listener; ``changed`` has verdict, seen, side by line of :data:`ASKED`."""
    listener = f"{host}:{port}"
    rows = [row(listener, number, *(changed or {}).get(number, ())) for number in range(len(ASKED))]
    found = {
        "reachable": fact(True), "banner": fact({"code": 220, "text": HOSTILE if hostile else "mx ESMTP"}),
        "starttls_offered": fact(True), "version.TLSv1": fact(False, "refused: protocol_version", "server alert", (5,)),
        "version.TLSv1.2": fact(True), "timing": fact({"connect": 0.01, "banner": 0.02, "ehlo": 0.03, "handshake": 0.04}),
        "certificate": fact(certificate(HOSTILE if hostile else host, days)),
    }
    found.update(facts)
    return {
        "host": host,
        "observations": [{
            "listener": listener, "tls": tls, "server_name": host, "connections": 12, "seconds": 1.2345,
            "checks": ["dialogue", "versions", "certificate"], "facts": found, "dialogues": dialogues(hostile),
        }],
        "rows": rows,
    }


def old_tls(host: str, port: int = 25) -> dict[str, Any]:
    """A server that still speaks TLS 1.0 and 1.1, and whose TLS 1.3 is off."""
    changed = {
        number_of("version", version="TLSv1"): ("fail", "accepted"),
        number_of("version", version="TLSv1.1"): ("fail", "accepted"),
        number_of("version", version="TLSv1.3"): ("fail", "refused: protocol_version", "server alert"),
    }
    return result(host, port, changed=changed, **{"version.TLSv1": fact(True, "accepted", "", (5,))})


def throttling(host: str, port: int = 25) -> dict[str, Any]:
    """A server that blocks the probe after some connections."""
    busy = ("unobservable", "421 4.7.0 too many connections", "server busy")
    return result(host, port, changed={number: busy for number in range(11, 36)}, throttled=fact(True))


def unreachable(host: str, port: int = 25) -> dict[str, Any]:
    """A listener where nobody answers."""
    changed = {0: ("fail", "connection refused", "network")}
    changed.update({number: ("unobservable", "no connection", "network") for number in range(1, len(ASKED) - 1)})
    made = result(host, port, changed=changed, certificate=fact(None, "no connection", "network"))
    made["observations"][0].update(connections=1, dialogues=[
        {"number": 1, "purpose": "conversation", "lines": ["-- connection refused"], "seconds": 0.001}
    ])
    return made


def entry(domain: str, direction: str = "inbound", level: str = "encrypt", source: str = "exact", **more: Any) -> dict[str, Any]:
    """One entry of ``coverage`` as ``smtp_info`` returns it."""
    rule = f"allow_only_tls_for_{domain.strip('.').replace('.', '_')}"
    return {"domain": domain, "direction": direction, "level": level, "source": source, "exception": False, "reason": None,
            "until": None, "rule": rule, **more}


def covered(host: str, domains: int = 3) -> dict[str, Any]:
    """A host that was asked for its rules: a default, a parent, exceptions of each kind, and some plain domains."""
    made = result(host, changed={number_of("forced_clear"): ("fail", "250 2.1.5 Ok")})
    made["observations"][0]["facts"]["forced_clear.deep.gov.test"] = fact({"code": 550}, "550 5.7.1 TLS required for gov.test")
    made["coverage"] = [
        entry("*", "outbound", source="default"),
        entry(".gov.test", source="parent"),
        entry(".gov.test", "outbound", "secure", "parent"),
        entry("old.gov.test", "outbound", "may", exception=True, reason="appliance replaced, ticket 88", until="2027-04-01"),
        entry("fax.test", "outbound", "none", exception=True, reason="accepted by the CISO", until="2026-11-24"),
        entry("today.test", "outbound", "may", exception=True, reason=HOSTILE, until="2026-11-25"),
        entry("bare.gov.test", level="may", exception=True),
        entry("secure.example.org"),
        *(entry(f"d{number:05}.test") for number in range(domains)),
    ]
    made["coverage_notes"] = ["the rule added_by_hand was not understood: " + HOSTILE[:80]]
    return made


def small() -> list[dict[str, Any]]:
    """One host of each kind."""
    two = result("mail.example.org", 465, "implicit", days=12)
    more = result("mail.example.org", 587)
    for key in ("observations", "rows"):
        two[key] += more[key]
    warning = {number_of("ehlo_again"): ("fail", "250: MAIL was taken", "server reply")}
    return [
        result("mx1.example.org"),
        two,
        old_tls("old.example.org"),
        result("ended.example.org", changed={number_of("certificate_valid"): ("fail", "ended 3 days ago")}, days=-3),
        result("nearly.example.org", changed=warning),
        throttling("busy.example.org"),
        unreachable("gone.example.org"),
        result("evil.example.org", changed={1: ("fail", HOSTILE), 27: ("fail", HOSTILE, "server reply")}, hostile=True),
        {"host": "lost.example.org", "error": "UNREACHABLE: Failed to connect to the host via ssh"},
        {"host": "silent.example.org"},
    ]


def ruled() -> list[dict[str, Any]]:
    """A server that was asked for its rules, and one that did not answer."""
    locked = {**result("locked.example.org"), "coverage_error": "The admin interface at 127.0.0.1 port 7000 refuses connections"}
    return [covered("rules.example.org"), locked]


def fleet(listeners: int) -> list[dict[str, Any]]:
    """Many listeners, three on a host: most pass, every tenth has something."""
    found: list[dict[str, Any]] = []
    for number in range(listeners):
        host, port = f"mx{number // 3:03d}.example.org", (25, 587, 465)[number % 3]
        if number % 10 == 3:
            one = old_tls(host, port)
        elif number % 10 == 6:
            one = throttling(host, port)
        else:
            one = result(host, port, "implicit" if port == 465 else "starttls", days=10 + number)
        if found and found[-1]["host"] == host:
            for key in ("observations", "rows"):
                found[-1][key] += one[key]
        else:
            found.append(one)
    return found
