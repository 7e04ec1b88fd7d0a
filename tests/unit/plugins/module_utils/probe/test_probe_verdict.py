# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every kind of check: an observation that passes it, one that fails it, one that cannot tell."""

from __future__ import annotations

import json

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._probe import catalogue, family, verdict
from ansible_collections.securemail.smtp.plugins.module_utils._probe.observation import Fact, Observation, listener
from ansible_collections.securemail.smtp.plugins.module_utils._probe.requirement import Requirement, Row
from ansible_collections.securemail.smtp.plugins.module_utils._probe.suites import all_suites_of


def observed(facts, tls="starttls"):
    """An observation. A value becomes a fact that two connections show, None one that could not be observed."""
    found = {
        name: Fact(None, "reset by peer", "network", False, (3,))
        if value is None
        else Fact(value, "seen: %s" % name, "server reply", True, (1, 2))
        for name, value in facts.items()
    }
    return Observation(listener("mx.example.org:2525", tls), found, (), 3, 0.5, ("dialogue",))


def judged(check, parameters, facts, tls="starttls"):
    (row,) = verdict.judge(observed(facts, tls), [Requirement(check, parameters, "error", "RFC 0", "policy")])
    return row


def suites(*names, **more):
    return {"accepted": list(names), "complete": more.get("complete", True)}


REFUSED = {"version.%s" % name: False for name in ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2")}
ONLY_TLS12 = dict(REFUSED, **{"version.TLSv1.2": True})
GCM, CBC, DHE = "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256"

CERTIFICATE = {
    "subject": "CN=mx.example.org",
    "not_before": "2026-10-01T00:00:00Z",
    "not_after": "2026-12-30T00:00:00Z",
    "begun": True,
    "days_left": 35,
    "lifetime_days": 90,
    "key": "EC",
    "key_bits": 256,
    "curve": "P-256",
    "signature": "ecdsa-with-SHA256",
    "signature_hash": "sha256",
    "self_signed": False,
}
RSA = {"key": "RSA", "key_bits": 2048, "curve": None, "signature": "sha256WithRSAEncryption"}
ROOT = dict(CERTIFICATE, subject="CN=Root", signature="sha1WithRSAEncryption", signature_hash="sha1", self_signed=True)


def certificate(**different):
    return {"certificate": dict(CERTIFICATE, **different)}


def chained(*more):
    return dict(certificate(), chain=[CERTIFICATE] + list(more))


BOTH = {"rsa_bits": 2048, "ec_bits": 256}

#: check -> (parameters, facts, [mode of the listener]) for each verdict. What a kind can never be is an empty list.
CASES = {
    "declared": {
        "pass": [],
        "fail": [({}, {}), ({"reason": "no listener of the policy has port 2525"}, {"reachable": True})],
        "unobservable": [],
    },
    "tls_mode": {
        "pass": [
            ({"mode": "starttls"}, {"banner": {"code": 220}, "starttls_offered": True}),
            ({"mode": "none"}, {"banner": {"code": 220}, "starttls_offered": False}),
            ({"mode": "implicit"}, {"banner": {"code": 220}}, "implicit"),
        ],
        "fail": [
            ({"mode": "starttls"}, {"banner": {"code": 220}, "starttls_offered": False}),
            ({"mode": "none"}, {"banner": {"code": 220}, "starttls_offered": True}),
            ({"mode": "implicit"}, {"banner": {"code": 220}, "starttls_offered": True}),
            ({"mode": "starttls"}, {"banner": {"code": 220}}, "implicit"),
        ],
        "unobservable": [
            ({"mode": "implicit"}, {"banner": None}),
            ({"mode": "starttls"}, {"banner": None}, "implicit"),
            ({"mode": "starttls"}, {"banner": {"code": 220}, "starttls_offered": None}),
        ],
    },
    "reachable": {
        "pass": [({}, {"reachable": True}), ({"reachable": False}, {"reachable": False})],
        "fail": [({}, {"reachable": False}), ({"reachable": False}, {"reachable": True})],
        "unobservable": [({}, {"reachable": None}), ({"reachable": False}, {"reachable": None}), ({}, {})],
    },
    "greeting": {
        "pass": [({}, {"banner": {"code": 220, "text": "hello"}})],
        "fail": [({}, {"banner": {"code": 554, "text": "go away"}}), ({}, {"banner": {"code": 500, "text": ""}})],
        "unobservable": [
            ({}, {"banner": None}),
            ({}, {"banner": {"code": 421, "text": "too many connections"}}),
            ({}, {"banner": {"code": 400, "text": ""}}),
        ],
    },
    "silent_in_clear": {
        "pass": [
            ({}, {"silent_in_clear": True}, "implicit"),
            ({}, {"banner": {"code": 220, "text": "hello"}}, "starttls"),
        ],
        "fail": [({}, {"silent_in_clear": False}, "implicit")],
        "unobservable": [({}, {"silent_in_clear": None}, "implicit"), ({}, {"banner": None}, "starttls"), ({}, {})],
    },
    "starttls_offered": {
        "pass": [({}, {"starttls_offered": True}), ({"offered": False}, {"starttls_offered": False})],
        "fail": [({}, {"starttls_offered": False}), ({"offered": False}, {"starttls_offered": True})],
        "unobservable": [({}, {"starttls_offered": None}), ({"offered": False}, {"starttls_offered": None})],
    },
    "starttls_works": {
        "pass": [({}, {"starttls_works": True})],
        "fail": [({}, {"starttls_works": False})],
        "unobservable": [({}, {"starttls_works": None})],
    },
    "starttls_inside_tls": {
        "pass": [({}, {"starttls_inside_tls": False})],
        "fail": [({}, {"starttls_inside_tls": True})],
        "unobservable": [({}, {"starttls_inside_tls": None})],
    },
    "version": {
        "pass": [
            ({"version": "TLSv1.2", "accepted": True}, {"version.TLSv1.2": True}),
            ({"version": "TLSv1", "accepted": False}, {"version.TLSv1": False}),
        ],
        "fail": [
            ({"version": "TLSv1.2", "accepted": True}, {"version.TLSv1.2": False}),
            ({"version": "TLSv1", "accepted": False}, {"version.TLSv1": True}),
        ],
        "unobservable": [
            ({"version": "TLSv1.2", "accepted": True}, {"version.TLSv1.2": None}),
            ({"version": "TLSv1", "accepted": False}, {"version.TLSv1": None}),
            ({"version": "TLSv1", "accepted": False}, {"version.TLSv1.1": False}),
        ],
    },
    "suites": {
        "pass": [
            ({"version": "TLSv1.2", "allowed": [GCM]}, dict(ONLY_TLS12, **{"suites.TLSv1.2": suites(GCM)})),
            ({"version": "TLSv1.2", "forbidden": ["cbc", "rsa"]}, dict(ONLY_TLS12, **{"suites.TLSv1.2": suites(GCM)})),
            ({"version": "TLSv1.2", "allowed": []}, REFUSED),
        ],
        "fail": [
            ({"version": "TLSv1.2", "allowed": [GCM]}, dict(ONLY_TLS12, **{"suites.TLSv1.2": suites(GCM, CBC)})),
            ({"version": "TLSv1.2", "forbidden": ["cbc"]}, dict(ONLY_TLS12, **{"suites.TLSv1.2": suites(GCM, CBC)})),
            # Something bad is bad whether the rest is known or not.
            (
                {"version": "TLSv1.2", "forbidden": ["cbc"]},
                dict(ONLY_TLS12, **{"suites.TLSv1.2": suites(CBC, complete=False)}),
            ),
        ],
        "unobservable": [
            (
                {"version": "TLSv1.2", "forbidden": ["cbc"]},
                dict(ONLY_TLS12, **{"suites.TLSv1.2": suites(GCM, complete=False)}),
            ),
            ({"version": "TLSv1.2", "allowed": [GCM]}, dict(ONLY_TLS12, **{"suites.TLSv1.2": None})),
            ({"version": "TLSv1.2", "allowed": [GCM]}, {"version.TLSv1.2": None}),
            ({"version": "TLSv1.2", "allowed": [GCM]}, {}),
            (
                {"version": "TLSv1.2", "ciphers": "KGOST", "reason": "the TLS library here does not know"},
                dict(ONLY_TLS12, **{"suites.TLSv1.2": suites(GCM)}),
            ),
        ],
    },
    "suite_offered": {
        "pass": [
            ({"version": "TLSv1.2", "any_of": [GCM, DHE]}, dict(ONLY_TLS12, **{"suites.TLSv1.2": suites(CBC, DHE)})),
            ({"version": "TLSv1.2", "any_of": [GCM]}, REFUSED),
            (
                {"version": "TLSv1.2", "any_of": [GCM]},
                dict(ONLY_TLS12, **{"suites.TLSv1.2": suites(GCM, complete=False)}),
            ),
        ],
        "fail": [({"version": "TLSv1.2", "any_of": [GCM]}, dict(ONLY_TLS12, **{"suites.TLSv1.2": suites(CBC)}))],
        "unobservable": [
            (
                {"version": "TLSv1.2", "any_of": [GCM]},
                dict(ONLY_TLS12, **{"suites.TLSv1.2": suites(CBC, complete=False)}),
            ),
            ({"version": "TLSv1.2", "any_of": [GCM]}, dict(ONLY_TLS12, **{"suites.TLSv1.2": None})),
            ({"version": "TLSv1.2", "any_of": [GCM]}, {"version.TLSv1.2": None}),
        ],
    },
    "server_preference": {
        "pass": [
            ({"by": "server"}, {"server_preference": "server"}),
            ({"by": "client"}, {"server_preference": "client"}),
            ({"by": "server"}, dict(ONLY_TLS12, **{"server_preference": None, "suites.TLSv1.2": suites(GCM)})),
            ({"by": "server"}, dict(REFUSED, server_preference=None)),
        ],
        "fail": [
            ({"by": "server"}, {"server_preference": "client"}),
            ({"by": "client"}, {"server_preference": "server"}),
        ],
        "unobservable": [
            ({"by": "server"}, {"server_preference": None}),
            ({"by": "server"}, dict(ONLY_TLS12, **{"server_preference": None, "suites.TLSv1.2": suites(GCM, DHE)})),
            (
                {"by": "server"},
                dict(ONLY_TLS12, **{"server_preference": None, "suites.TLSv1.2": suites(GCM, complete=False)}),
            ),
        ],
    },
    "groups": {
        "pass": [({"allowed": ["X25519", "P-256"]}, {"groups": suites("P-256")})],
        "fail": [
            ({"allowed": ["X25519"]}, {"groups": suites("X25519", "P-256")}),
            ({"allowed": ["X25519"]}, {"groups": suites("P-256", complete=False)}),
        ],
        "unobservable": [
            ({"allowed": ["X25519"]}, {"groups": suites("X25519", complete=False)}),
            ({"allowed": ["X25519"]}, {"groups": None}),
        ],
    },
    "group_offered": {
        "pass": [({"group": "P-256"}, {"groups": suites("X25519", "P-256", complete=False)})],
        "fail": [({"group": "P-256"}, {"groups": suites("X25519")})],
        "unobservable": [
            ({"group": "P-256"}, {"groups": suites("X25519", complete=False)}),
            ({"group": "P-256"}, {"groups": None}),
        ],
    },
    "dh_size": {
        "pass": [
            ({"bits": 2048}, {"dh_bits": 2048}),
            ({"bits": 2048}, dict(ONLY_TLS12, **{"dh_bits": None, "suites.TLSv1.2": suites(GCM)})),
            ({"bits": 2048}, dict(REFUSED, dh_bits=None)),
        ],
        "fail": [({"bits": 2048}, {"dh_bits": 1024})],
        "unobservable": [
            ({"bits": 2048}, {"dh_bits": None}),
            ({"bits": 2048}, dict(ONLY_TLS12, **{"dh_bits": None, "suites.TLSv1.2": suites(GCM, DHE)})),
            ({"bits": 2048}, dict(ONLY_TLS12, **{"dh_bits": None, "suites.TLSv1.2": suites(GCM, complete=False)})),
            ({"bits": 2048}, dict(REFUSED, **{"dh_bits": None, "version.SSLv3": None})),
        ],
    },
    "compression": {
        "pass": [({}, {"compression": False}), ({}, dict(REFUSED, compression=None))],
        "fail": [({}, {"compression": True})],
        "unobservable": [({}, {"compression": None}), ({}, dict(ONLY_TLS12, compression=None))],
    },
    "extended_master_secret": {
        "pass": [({}, {"extended_master_secret": True}), ({}, dict(REFUSED, extended_master_secret=None))],
        "fail": [({}, {"extended_master_secret": False})],
        "unobservable": [({}, {"extended_master_secret": None})],
    },
    "secure_renegotiation": {
        "pass": [({}, {"secure_renegotiation": True}), ({}, dict(REFUSED, secure_renegotiation=None))],
        "fail": [({}, {"secure_renegotiation": False})],
        "unobservable": [({}, {"secure_renegotiation": None})],
    },
    "encrypt_then_mac": {
        "pass": [
            ({}, {"encrypt_then_mac": True}),
            ({}, dict(ONLY_TLS12, **{"encrypt_then_mac": False, "suites.TLSv1.2": suites(GCM)})),
            ({}, dict(ONLY_TLS12, **{"encrypt_then_mac": None, "suites.TLSv1.2": suites(GCM)})),
            ({}, dict(REFUSED, encrypt_then_mac=None)),
        ],
        "fail": [({}, dict(ONLY_TLS12, **{"encrypt_then_mac": False, "suites.TLSv1.2": suites(GCM, CBC)}))],
        "unobservable": [
            ({}, {"encrypt_then_mac": None}),
            ({}, {"encrypt_then_mac": False}),
            ({}, dict(ONLY_TLS12, **{"encrypt_then_mac": None, "suites.TLSv1.2": suites(CBC)})),
        ],
    },
    "certificate_trusted": {
        "pass": [({}, {"certificate_trusted": True})],
        "fail": [({}, {"certificate_trusted": False})],
        "unobservable": [({}, {"certificate_trusted": None})],
    },
    "certificate_name": {
        "pass": [({}, {"certificate_name": True})],
        "fail": [({}, {"certificate_name": False})],
        "unobservable": [({}, {"certificate_name": None})],
    },
    "certificate_valid": {
        "pass": [
            ({}, certificate()),
            ({"days_left": 35}, certificate()),
            ({}, certificate(days_left=0)),
            ({}, certificate(days_left=90)),
        ],
        "fail": [
            ({}, certificate(days_left=-1)),
            ({"days_left": 36}, certificate()),
            ({}, certificate(begun=False)),
        ],
        "unobservable": [({}, {"certificate": None})],
    },
    "certificate_lifetime": {
        "pass": [({"days": 90}, certificate())],
        "fail": [({"days": 89}, certificate())],
        "unobservable": [({"days": 90}, {"certificate": None})],
    },
    "certificate_key": {
        "pass": [
            (BOTH, certificate()),
            (BOTH, certificate(**RSA)),
            (dict(BOTH, curves=["P-256"]), certificate()),
            (BOTH, certificate(key="Ed25519", key_bits=256, curve=None)),
            (dict(BOTH, curves=["P-256"]), certificate(**RSA)),
        ],
        "fail": [
            (BOTH, certificate(**(RSA | {"key_bits": 1024}))),
            (BOTH, certificate(key_bits=192, curve="P-192")),
            (dict(BOTH, curves=["P-256"]), certificate(curve="P-521", key_bits=521)),
            (dict(BOTH, curves=["P-256"]), certificate(key="Ed25519", curve=None)),
            ({"rsa_bits": None, "ec_bits": 256, "curves": ["P-256"]}, certificate(**(RSA | {"key_bits": 8192}))),
        ],
        "unobservable": [(BOTH, {"certificate": None}), (BOTH, certificate(key="unknown", key_bits=0, curve=None))],
    },
    "certificate_signature": {
        "pass": [
            ({"forbidden": ["sha1", "md5"]}, certificate()),
            ({"forbidden": ["sha1"]}, chained(ROOT)),
            ({"forbidden": ["pkcs1"]}, certificate(signature="rsassaPss")),
            ({"forbidden": ["sha1"], "of": "leaf"}, chained(dict(ROOT, self_signed=False))),
            ({"forbidden": ["sha1"]}, dict(certificate(), chain=None)),
        ],
        "fail": [
            ({"forbidden": ["sha1"]}, certificate(signature="sha1WithRSAEncryption", signature_hash="sha1")),
            ({"forbidden": ["sha1"]}, chained(dict(ROOT, self_signed=False))),
            ({"forbidden": ["pkcs1"]}, certificate(signature="sha256WithRSAEncryption")),
            ({"forbidden": ["rsa"]}, certificate(signature="rsassaPss")),
            # A server that shows nothing but its own signature on itself is judged by it.
            ({"forbidden": ["sha1"]}, certificate(signature_hash="sha1", self_signed=True)),
        ],
        "unobservable": [({"forbidden": ["sha1"]}, {"certificate": None, "chain": None})],
    },
    "auth_offered_clear": {
        "pass": [
            ({"mechanisms": []}, {"auth_offered_clear": []}),
            ({"mechanisms": ["PLAIN", "LOGIN"]}, {"auth_offered_clear": ["LOGIN", "PLAIN"]}),
        ],
        "fail": [
            ({"mechanisms": []}, {"auth_offered_clear": ["PLAIN"]}),
            ({"mechanisms": ["PLAIN"]}, {"auth_offered_clear": []}),
        ],
        "unobservable": [({"mechanisms": []}, {"auth_offered_clear": None})],
    },
    "auth_refused_clear": {
        "pass": [({"mechanism": "PLAIN"}, {"auth_clear.PLAIN": "refused"})],
        "fail": [({"mechanism": "PLAIN"}, {"auth_clear.PLAIN": "accepted"})],
        "unobservable": [
            ({"mechanism": "PLAIN"}, {"auth_clear.PLAIN": None}),
            ({"mechanism": "PLAIN"}, {"auth_clear.LOGIN": "refused"}),
        ],
    },
    "auth_offered_tls": {
        "pass": [
            ({"mechanisms": ["PLAIN"]}, {"auth_offered_tls": ["PLAIN"]}),
            ({"mechanisms": []}, {"auth_offered_tls": []}),
        ],
        "fail": [
            ({"mechanisms": ["PLAIN"]}, {"auth_offered_tls": ["LOGIN", "PLAIN"]}),
            ({"mechanisms": ["LOGIN", "PLAIN"]}, {"auth_offered_tls": ["PLAIN"]}),
        ],
        "unobservable": [({"mechanisms": ["PLAIN"]}, {"auth_offered_tls": None})],
    },
    "auth_refused_tls": {
        "pass": [({"mechanism": "LOGIN"}, {"auth_tls.LOGIN": "refused"})],
        "fail": [({"mechanism": "LOGIN"}, {"auth_tls.LOGIN": "accepted"})],
        "unobservable": [({"mechanism": "LOGIN"}, {"auth_tls.LOGIN": None})],
    },
    "login": {
        "pass": [({"mechanism": "PLAIN"}, {"login.PLAIN": True})],
        "fail": [({"mechanism": "PLAIN"}, {"login.PLAIN": False})],
        "unobservable": [({"mechanism": "PLAIN"}, {"login.PLAIN": None})],
    },
    "wrong_password": {
        "pass": [({"mechanism": "PLAIN"}, {"wrong_password.PLAIN": 535})],
        "fail": [
            ({"mechanism": "PLAIN"}, {"wrong_password.PLAIN": 235}),
            ({"mechanism": "PLAIN"}, {"wrong_password.PLAIN": 550}),
        ],
        "unobservable": [({"mechanism": "PLAIN"}, {"wrong_password.PLAIN": None}), ({"mechanism": "PLAIN"}, {})],
    },
    "injection": {
        "pass": [({}, {"injection": False})],
        "fail": [({}, {"injection": True})],
        "unobservable": [({}, {"injection": None})],
    },
    "late_plaintext": {
        "pass": [({}, {"late_plaintext": False})],
        "fail": [({}, {"late_plaintext": True})],
        "unobservable": [({}, {"late_plaintext": None})],
    },
    "ehlo_again": {
        "pass": [({}, {"ehlo_again": True})],
        "fail": [({}, {"ehlo_again": False})],
        "unobservable": [({}, {"ehlo_again": None})],
    },
    "transaction_forgotten": {
        "pass": [({}, {"transaction_forgotten": True})],
        "fail": [({}, {"transaction_forgotten": False})],
        "unobservable": [({}, {"transaction_forgotten": None})],
    },
    "open_relay": {
        "pass": [({}, {"open_relay": False})],
        "fail": [({}, {"open_relay": True})],
        "unobservable": [({}, {"open_relay": None})],
    },
    "mail_refused_clear": {
        "pass": [
            ({}, {"mail_clear": {"code": 530, "text": "log in"}}),
            ({"explanation": "TLS, please"}, {"mail_clear": {"code": 550, "text": "TLS, please"}}),
            ({"explanation": "530 5.7.0 TLS, please"}, {"mail_clear": {"code": 530, "text": "TLS, please"}}),
            ({"explanation": "530 5.7.0 TLS, please"}, {"mail_clear": {"code": 550, "text": "530 5.7.0 TLS, please"}}),
        ],
        "fail": [
            ({}, {"mail_clear": {"code": 250, "text": "OK"}}),
            ({"explanation": "530 5.7.0 TLS, please"}, {"mail_clear": {"code": 550, "text": "TLS, please"}}),
            ({"explanation": "530 5.7.0 TLS, please"}, {"mail_clear": {"code": 530, "text": "log in"}}),
            ({"explanation": "250 OK"}, {"mail_clear": {"code": 250, "text": "250 OK"}}),
        ],
        "unobservable": [({}, {"mail_clear": None}), ({}, {"mail_clear": {"code": 451, "text": "later"}})],
    },
    "mail_refused_tls": {
        "pass": [({"explanation": "530 5.7.0 Log in"}, {"mail_tls": {"code": 530, "text": "Log in"}})],
        "fail": [
            ({"explanation": "530 5.7.0 Log in"}, {"mail_tls": {"code": 250, "text": "OK"}}),
            ({}, {"mail_clear": {"code": 530, "text": "Log in"}, "mail_tls": {"code": 250, "text": "OK"}}),
        ],
        "unobservable": [({}, {"mail_tls": None, "mail_clear": {"code": 530, "text": "Log in"}})],
    },
    "forced_clear": {
        "pass": [
            ({"domain": "a.example"}, {"forced_clear.a.example": {"code": 550, "text": "no"}}),
            (
                {"domain": "a.example", "reject_message": "TLS only"},
                {"forced_clear.a.example": {"code": 550, "text": "TLS only"}},
            ),
            (
                {"domain": "a.example", "reject_message": "TLS only"},
                {"forced_clear.a.example": {"code": 530, "text": "TLS only"}},
            ),
        ],
        "fail": [
            ({"domain": "a.example"}, {"forced_clear.a.example": {"code": 250, "text": "OK"}}),
            ({"domain": "a.example", "reject_message": "no"}, {"forced_clear.a.example": {"code": 500, "text": ""}}),
            (
                {"domain": "a.example", "reject_message": "TLS only"},
                {"forced_clear.a.example": {"code": 550, "text": "TLS only."}},
            ),
            (
                {"domain": "a.example", "reject_message": "TLS only"},
                {"forced_clear.a.example": {"code": 250, "text": "TLS only"}},
            ),
        ],
        "unobservable": [
            ({"domain": "a.example"}, {"forced_clear.a.example": None}),
            ({"domain": "a.example"}, {"forced_clear.a.example": {"code": 451, "text": "later"}}),
            ({"domain": "a.example"}, {"forced_clear.a.example": {"code": 530, "text": "log in first"}}),
            (
                {"domain": "a.example", "reject_message": "TLS only"},
                {"forced_clear.a.example": {"code": 530, "text": "log in first"}},
            ),
        ],
    },
    "forced_tls": {
        "pass": [({"domain": "a.example"}, {"forced_tls.a.example": {"code": 250, "text": "OK"}})],
        "fail": [
            ({"domain": "a.example"}, {"forced_tls.a.example": {"code": 550, "text": "no"}}),
            ({"domain": "a.example"}, {"forced_tls.a.example": {"code": 500, "text": "no"}}),
        ],
        "unobservable": [
            ({"domain": "a.example"}, {"forced_tls.a.example": None}),
            ({"domain": "a.example"}, {"forced_tls.a.example": {"code": 450, "text": "greylisted"}}),
            ({"domain": "a.example"}, {"forced_tls.a.example": {"code": 530, "text": "log in first"}}),
        ],
    },
    "other_clear": {
        "pass": [({"domain": "b.example"}, {"other_clear.b.example": {"code": 250, "text": "OK"}})],
        "fail": [({"domain": "b.example"}, {"other_clear.b.example": {"code": 550, "text": "no"}})],
        "unobservable": [
            ({"domain": "b.example"}, {"other_clear.b.example": None}),
            ({"domain": "b.example"}, {"other_clear.b.example": {"code": 450, "text": "greylisted"}}),
        ],
    },
    "outside": {
        "pass": [],
        "fail": [],
        "unobservable": [({"what": "DANE", "why": "DNS is not asked"}, {"reachable": True})],
    },
}

#: What cannot be, by its nature: who is not declared never passes, and what cannot be seen is never judged.
NEVER = {("declared", "pass"), ("declared", "unobservable"), ("outside", "pass"), ("outside", "fail")}


@pytest.mark.parametrize(
    "words, found",
    [
        ("no connection to 192.0.2.1 port 25: Connection refused", "pass"),
        ("no connection to 192.0.2.1 port 25: no answer in time", "pass"),
        ("no address for mial.example: Name or service not known", "unobservable"),
        ("no answer about the name mail.example in 10 s", "unobservable"),
        ("no connection to 2001:db8::1 port 25: Network is unreachable", "unobservable"),
    ],
)
def test_nobody_is_gone_who_was_not_asked(words, found):
    seen = Observation(
        listener("mail.example:25"), {"reachable": Fact(False, words, "network")}, (), 1, 0.1, ("dialogue",)
    )
    (row,) = verdict.judge(seen, [Requirement("reachable", {"reachable": False}, "error", "policy", "policy")])
    assert (row.verdict, row.seen) == (found, words)
    (row,) = verdict.judge(seen, [Requirement("reachable", {}, "error", "RFC 5321", "policy")])
    assert row.verdict == "fail"


def test_every_kind_has_a_case_for_every_verdict():
    assert set(CASES) == set(catalogue.CATALOGUE)
    missing = {(check, name) for check, cases in CASES.items() for name in ("pass", "fail", "unobservable") if not cases[name]}
    assert missing == NEVER


@pytest.mark.parametrize(
    "check, wanted, case",
    [(check, wanted, case) for check, cases in CASES.items() for wanted in cases for case in cases[wanted]],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_verdict(check, wanted, case):
    row = judged(check, *case)
    assert (row.verdict, row.check) == (wanted, check), row.seen
    assert row.title and row.expected and row.seen
    assert json.loads(json.dumps(row.document())) == row.document()


@pytest.mark.parametrize("check", sorted(set(CASES) - {"declared", "outside"}))
def test_what_was_not_looked_at_is_not_observable_and_says_so(check):
    parameters = CASES[check]["fail"][0][0]
    row = judged(check, parameters, {})
    assert (row.verdict, row.side) == ("unobservable", "not asked for")
    assert "not looked at" in row.seen


def test_a_verdict_rests_on_the_connections_that_show_it():
    assert judged("starttls_works", {}, {"starttls_works": True}).evidence == (1, 2)
    row = judged("starttls_works", {}, {"starttls_works": None})
    assert (row.evidence, row.side, row.seen) == ((3,), "network", "reset by peer")


def test_a_row_names_what_is_bad_and_hides_nothing():
    facts = dict(ONLY_TLS12, **{"suites.TLSv1.2": suites(GCM, CBC, "AES128-SHA")})
    row = judged("suites", {"version": "TLSv1.2", "forbidden": ["cbc"]}, facts)
    assert row.seen == "accepts ECDHE-RSA-AES128-SHA256, AES128-SHA"
    many = all_suites_of("TLSv1.2")
    row = judged("suites", {"version": "TLSv1.2", "allowed": []}, dict(ONLY_TLS12, **{"suites.TLSv1.2": suites(*many)}))
    assert row.seen.endswith(" and %d more" % (len(many) - 8))


def test_a_list_that_is_cut_short_says_so():
    facts = dict(ONLY_TLS12, **{"suites.TLSv1.2": suites(GCM, complete=False)})
    row = judged("suites", {"version": "TLSv1.2", "allowed": [GCM]}, facts)
    assert "not all suites were tried" in row.seen and "seen: suites.TLSv1.2" in row.seen


def test_rows_keep_the_order_of_the_requirements():
    asked = [
        Requirement("starttls_works", {}, "error", "RFC 3207", "policy"),
        Requirement("reachable", {}, "warning", "RFC 5321", "modern"),
    ]
    rows = verdict.judge(observed({"reachable": False, "starttls_works": True}), asked)
    assert [(row.check, row.verdict, row.severity, row.origin, row.source, row.listener) for row in rows] == [
        ("starttls_works", "pass", "error", "policy", "RFC 3207", "mx.example.org:2525"),
        ("reachable", "fail", "warning", "modern", "RFC 5321", "mx.example.org:2525"),
    ]


def test_a_row_survives_the_way_through_json():
    row = judged("forced_clear", *CASES["forced_clear"]["fail"][1])
    document = json.loads(json.dumps(row.document()))
    assert Row(**(document | {"evidence": tuple(document["evidence"])})) == row
    assert set(row.document()) == set(Row.__dataclass_fields__)


# ---- what fails a run


def rows_of_every_kind():
    facts = {"reachable": False, "starttls_works": False, "banner": None}
    asked = [
        Requirement("starttls_works", {}, "warning", "", "policy"),
        Requirement("greeting", {}, "error", "", "policy"),
        Requirement("outside", {"what": "a", "why": "b"}, "error", "", "policy"),
        Requirement("reachable", {}, "error", "", "policy"),
        Requirement("reachable", {"reachable": False}, "error", "", "policy"),
    ]
    return verdict.judge(observed(facts), asked)


@pytest.mark.parametrize("fail_on, checks", [
    ("error", ["reachable"]),
    ("warning", ["reachable", "starttls_works", "greeting"]),
    ("never", []),
])
def test_what_fails_a_run(fail_on, checks):
    assert [row.check for row in verdict.failed(rows_of_every_kind(), fail_on)] == checks
    assert [row.check for row in verdict.failed(iter(rows_of_every_kind()), fail_on)] == checks


def test_a_listener_of_which_nothing_could_be_seen_fails_a_run():
    asked = [Requirement(check, {}, "error", "", "policy") for check in ("reachable", "greeting", "starttls_works")]
    there = verdict.judge(observed({"reachable": True, "banner": None, "starttls_works": None}), asked)
    assert [row.verdict for row in there] == ["pass", "unobservable", "unobservable"]
    assert [row.check for row in verdict.failed(there, "error")] == ["greeting"]
    assert verdict.failed(there, "never") == []
    # One thing that was seen is enough; what nobody asked about is no reason.
    some = verdict.judge(observed({"reachable": True, "banner": None, "starttls_works": True}), asked)
    assert verdict.failed(some, "error") == []
    assert verdict.failed(verdict.judge(observed({"reachable": True}), asked), "error") == []


def test_an_unknown_severity_to_fail_on():
    with pytest.raises(ValueError, match="fail_on must be one of error, warning, never; got 'always'"):
        verdict.failed([], "always")


# ---- requirements


@pytest.mark.parametrize("arguments, words", [
    (("starttls", {}, "error"), "unknown check 'starttls'"),
    (("reachable", {}, "fatal"), "severity must be one of error, warning; got 'fatal'"),
    (("version", {"version": "TLSv1"}, "error"), "check version needs accepted"),
    (("injection", {"mechanism": "PLAIN"}, "error"), "check injection does not know mechanism"),
    (("dh_size", {"bits": 2048, "bytes": 1}, "error"), "check dh_size does not know bytes"),
])
def test_a_requirement_that_makes_no_sense(arguments, words):
    with pytest.raises(ValueError, match=words):
        Requirement(*arguments, "RFC 0", "policy")


# ---- texts


def test_every_text_can_be_filled_in():
    seen = set()
    for check, cases in CASES.items():
        for case in cases["pass"] + cases["fail"] + cases["unobservable"]:
            key = catalogue.key(check, case[0])
            assert key in catalogue.EXPECTED
            assert "%" not in catalogue.title(check, case[0]) + catalogue.expected(check, case[0])
            seen.add(key)
    # Each variant of a text belongs to some case: none is left over, and none is missing here.
    assert set(catalogue.VARIANTS) <= seen
    assert set(catalogue.PARAMETERS) <= set(catalogue.CATALOGUE)


@pytest.mark.parametrize("check, parameters, words", [
    ("server_preference", {"by": "client"}, "the client's decides"),
    ("server_preference", {"by": "server"}, "the server's decides"),
    ("reachable", {"reachable": False}, "not taken"),
    ("version", {"version": "TLSv1", "accepted": False}, "refused"),
    ("auth_offered_tls", {"mechanisms": []}, "not offered"),
    ("auth_offered_tls", {"mechanisms": ["PLAIN", "LOGIN"]}, "offers exactly PLAIN, LOGIN"),
    ("certificate_valid", {}, "has begun and has not ended"),
    ("certificate_valid", {"days_left": 14}, "has begun, 14 days are left"),
    ("certificate_key", {"rsa_bits": None, "ec_bits": 256, "curves": ["P-256"]}, "one of the curves P-256"),
    ("suites", {"version": "TLSv1.2", "ciphers": "HIGH"}, "none but those of the list HIGH"),
])
def test_texts(check, parameters, words):
    assert catalogue.expected(check, parameters) == words


def test_a_text_of_another_language_has_the_same_placeholders():
    german = {"forced_clear": 'abgelehnt mit "%(reject_message)s"'}
    parameters = {"domain": "a.example", "reject_message": "100 % TLS"}
    assert catalogue.expected("forced_clear", parameters, german) == 'abgelehnt mit "100 % TLS"'


def test_a_long_list_is_cut_in_texts():
    names = ["suite-%d" % number for number in range(12)]
    words = catalogue.expected("suites", {"version": "TLSv1.2", "allowed": names})
    assert words == "none but suite-0, suite-1, suite-2, suite-3, suite-4, suite-5, suite-6, suite-7, ... (12)"


# ---- families


@pytest.mark.parametrize("name, families", [
    ("ECDHE-RSA-AES128-GCM-SHA256", set()),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", set()),
    ("TLS_AES_128_GCM_SHA256", set()),
    ("TLS_SHA256_SHA256", {"null"}),
    ("TLS_AES_128_CCM_8_SHA256", {"ccm8"}),
    ("AES128-GCM-SHA256", {"rsa"}),
    ("AES128-CCM8", {"rsa", "ccm8"}),
    ("DES-CBC3-SHA", {"rsa", "3des", "cbc", "sha1", "no-aead"}),
    ("EXP-EDH-RSA-DES-CBC-SHA", {"export", "dhe", "des", "cbc", "sha1", "no-aead"}),
    ("EXP1024-RC4-MD5", {"export", "rsa", "rc4", "md5", "no-aead"}),
    ("EXP-RC2-CBC-MD5", {"export", "rsa", "rc2", "cbc", "md5", "no-aead"}),
    ("ADH-AES128-SHA", {"anonymous", "dhe", "cbc", "sha1", "no-aead"}),
    ("AECDH-NULL-SHA", {"anonymous", "null", "sha1", "no-aead"}),
    ("NULL-SHA256", {"null", "rsa", "no-aead"}),
    ("ECDH-RSA-AES128-SHA", {"static-ecdh", "cbc", "sha1", "no-aead"}),
    ("DHE-RSA-AES256-GCM-SHA384", {"dhe"}),
    ("IDEA-CBC-SHA", {"idea", "rsa", "cbc", "sha1", "no-aead"}),
    ("RC4-SHA", {"rc4", "rsa", "sha1", "no-aead"}),
])
def test_families_of_a_suite(name, families):
    assert {word for word in family.FAMILIES if family.members([name], [word])} == families


def test_a_suite_can_be_forbidden_by_name():
    assert family.members(["AES128-SHA", "AES256-SHA"], ["AES256-SHA"]) == ["AES256-SHA"]
