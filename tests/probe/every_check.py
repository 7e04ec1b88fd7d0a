# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One requirement or more of each kind: what a hardened server must do, and what must not be said of one that was
never seen. Looking and judging, as the module does it."""

from __future__ import annotations

import typing as t

from ansible_collections.securemail.smtp.plugins.module_utils._probe.budget import Budget
from ansible_collections.securemail.smtp.plugins.module_utils._probe.observation import Listener, Observation, listener
from ansible_collections.securemail.smtp.plugins.module_utils._probe.requirement import Requirement, Row
from ansible_collections.securemail.smtp.plugins.module_utils._probe.suites import VERSIONS
from ansible_collections.securemail.smtp.plugins.module_utils._probe.survey import observe
from ansible_collections.securemail.smtp.plugins.module_utils._probe.verdict import judge

#: Suites that RFC 9325 section 4.2 recommends, and those of TLS 1.3.
STRONG = (
    "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
)
STRONG_13 = ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256")
GROUPS = ("X25519", "P-256", "P-384", "P-521", "X448", "ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192")

SAMPLES: tuple[tuple[str, dict[str, t.Any]], ...] = (
    ("reachable", {}),
    ("greeting", {}),
    ("tls_mode", {"mode": "starttls"}),
    ("tls_mode", {"mode": "implicit"}),
    ("silent_in_clear", {}),
    ("starttls_offered", {"offered": True}),
    ("starttls_offered", {"offered": False}),
    ("starttls_works", {}),
    ("starttls_inside_tls", {}),
    *(("version", {"version": version, "accepted": accepted}) for version in VERSIONS for accepted in (True, False)),
    ("suites", {"version": "TLSv1.2", "allowed": list(STRONG)}),
    ("suites", {"version": "TLSv1.2", "forbidden": ["rc4", "3des", "null", "cbc"]}),
    ("suites", {"version": "TLSv1.3", "allowed": list(STRONG_13)}),
    ("suite_offered", {"version": "TLSv1.2", "any_of": list(STRONG)}),
    ("server_preference", {"by": "server"}),
    ("server_preference", {"by": "client"}),
    ("groups", {"allowed": list(GROUPS)}),
    ("group_offered", {"group": "X25519"}),
    ("dh_size", {"bits": 2048}),
    ("compression", {}),
    ("extended_master_secret", {}),
    ("secure_renegotiation", {}),
    ("encrypt_then_mac", {}),
    ("certificate_trusted", {}),
    ("certificate_name", {}),
    ("certificate_valid", {"days_left": 7}),
    ("certificate_valid", {}),
    ("certificate_lifetime", {"days": 398}),
    ("certificate_key", {"rsa_bits": 2048, "ec_bits": 256}),
    ("certificate_signature", {"forbidden": ["md5", "sha1"]}),
    ("auth_offered_clear", {"mechanisms": []}),
    ("auth_refused_clear", {"mechanism": "PLAIN"}),
    ("auth_refused_clear", {"mechanism": "LOGIN"}),
    ("auth_offered_tls", {"mechanisms": ["LOGIN", "PLAIN"]}),
    ("auth_offered_tls", {"mechanisms": []}),
    ("auth_refused_tls", {"mechanism": "CRAM-MD5"}),
    ("login", {"mechanism": "PLAIN"}),
    ("wrong_password", {"mechanism": "PLAIN"}),
    ("injection", {}),
    ("late_plaintext", {}),
    ("ehlo_again", {}),
    ("transaction_forgotten", {}),
    ("open_relay", {}),
    ("mail_refused_clear", {"explanation": "530 5.7.0 Must issue a STARTTLS command first"}),
    ("mail_refused_clear", {}),
    ("mail_refused_tls", {"explanation": "530 5.7.0 Authentication required"}),
    ("mail_refused_tls", {}),
    ("forced_clear", {"domain": "forced.test", "reject_message": "TLS, please"}),
    ("forced_clear", {"domain": "forced.test"}),
    ("forced_tls", {"domain": "forced.test"}),
    ("other_clear", {"domain": "other.test"}),
    ("outside", {"what": "operations", "why": "they are no part of a conversation"}),
)


def requirement(check: str, parameters: t.Mapping[str, t.Any]) -> Requirement:
    """An error-level requirement of nobody in particular."""
    return Requirement(check, dict(parameters), "error", "this test", "test")


def rows_of(observation: Observation) -> list[Row]:
    """A row for each of the samples."""
    return judge(observation, [requirement(check, parameters) for check, parameters in SAMPLES])


def place(port: int, tls: str = "starttls", **more: t.Any) -> Listener:
    """The listener at a port of the loopback."""
    return listener(f"127.0.0.1:{port}", tls, more.pop("server_name", "mail.example.test"), **more)


def look(where: Listener, checks: t.Sequence[str], **budget: t.Any) -> Observation:
    """One observation with time-outs that suit a loopback."""
    budget = {"step_timeout": 5.0, "total_timeout": 30.0, "max_connections": 500, **budget}
    return observe(where, checks, Budget(**budget))
