# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""No check that cannot fail, and none that cannot pass: for each kind a real server that does and one that does not."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
import zoo
from ansible_collections.securemail.smtp.plugins.module_utils._probe.catalogue import CATALOGUE
from ansible_collections.securemail.smtp.plugins.module_utils._probe.verdict import judge
from every_check import GROUPS, STRONG, STRONG_13, look, place, requirement
from odd_certificates import NAME
from running_postern import EXPLANATION, LOGIN_FIRST, STARTTLS_FIRST
from sites import FORCED, LOCAL, OTHER, SITES, Bench, where

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))

import postfix as real  # noqa: E402

#: Kind, parameters, the site that passes, the site that fails.
CASES = (
    ("reachable", {}, "twin", "closed"),
    ("reachable", {"reachable": False}, "closed", "twin"),
    ("greeting", {}, "hardened", "greets with 554"),
    ("tls_mode", {"mode": "starttls"}, "hardened", "without TLS"),
    ("tls_mode", {"mode": "none"}, "without TLS", "hardened"),
    ("tls_mode", {"mode": "implicit"}, "hardened implicit", "hardened"),
    ("silent_in_clear", {}, "hardened implicit", "answers in clear"),
    ("starttls_offered", {"offered": True}, "hardened", "without TLS"),
    ("starttls_offered", {"offered": False}, "without TLS", "hardened"),
    ("starttls_works", {}, "hardened", "broken handshake"),
    ("starttls_inside_tls", {}, "hardened", "STARTTLS inside TLS"),
    ("version", {"version": "SSLv2", "accepted": False}, "hardened", "SSL 2.0"),
    ("version", {"version": "SSLv3", "accepted": False}, "hardened", "SSL 3.0"),
    ("version", {"version": "TLSv1", "accepted": False}, "hardened", "all versions"),
    ("version", {"version": "TLSv1.1", "accepted": False}, "hardened", "all versions"),
    ("version", {"version": "TLSv1.2", "accepted": False}, "SSL 3.0", "hardened"),
    ("version", {"version": "TLSv1.2", "accepted": True}, "hardened", "SSL 3.0"),
    ("version", {"version": "TLSv1.3", "accepted": False}, "unhardened", "hardened"),
    ("version", {"version": "TLSv1.3", "accepted": True}, "hardened implicit", "by hand implicit"),
    ("version", {"version": "TLSv1", "accepted": True}, "all versions", "hardened"),
    ("suites", {"version": "TLSv1.2", "allowed": list(STRONG)}, "hardened", "unhardened"),
    ("suites", {"version": "TLSv1.2", "forbidden": ["rc4"]}, "hardened", "RC4"),
    ("suites", {"version": "TLSv1.3", "allowed": list(STRONG_13)}, "hardened", "CCM 8"),
    ("suite_offered", {"version": "TLSv1.2", "any_of": list(STRONG)}, "hardened", "RC4"),
    ("server_preference", {"by": "server"}, "hardened", "client's order"),
    ("server_preference", {"by": "client"}, "client's order by hand", "by hand"),
    ("groups", {"allowed": list(GROUPS)}, "hardened", "brainpool"),
    ("group_offered", {"group": "X25519"}, "hardened", "brainpool"),
    ("dh_size", {"bits": 2048}, "DH 2048", "DH 1024"),
    ("compression", {}, "hardened", "compression"),
    ("extended_master_secret", {}, "hardened", "old master secret"),
    ("secure_renegotiation", {}, "hardened", "old renegotiation"),
    ("encrypt_then_mac", {}, "unhardened", "MAC then encrypt"),
    ("certificate_trusted", {}, "hardened", "self-signed"),
    ("certificate_name", {}, "hardened", "other name"),
    ("certificate_valid", {}, "hardened", "expired"),
    ("certificate_valid", {}, "hardened", "not yet valid"),
    ("certificate_valid", {"days_left": 14}, "hardened", "ends soon"),
    ("certificate_lifetime", {"days": 398}, "hardened", "for ten years"),
    ("certificate_key", {"rsa_bits": 2048, "ec_bits": 256}, "RSA 2048", "RSA 1024"),
    ("certificate_key", {"rsa_bits": 2048, "ec_bits": 384}, "P-384", "hardened"),
    ("certificate_signature", {"forbidden": ["md5", "sha1"]}, "hardened", "SHA-1"),
    ("auth_offered_clear", {"mechanisms": []}, "hardened", "unhardened"),
    ("auth_refused_clear", {"mechanism": "PLAIN"}, "hardened", "unhardened"),
    ("auth_refused_clear", {"mechanism": "LOGIN"}, "hardened", "unhardened"),
    ("auth_offered_tls", {"mechanisms": ["LOGIN", "PLAIN"]}, "hardened", "SCRAM too"),
    ("auth_offered_tls", {"mechanisms": []}, "no AUTH", "twin"),
    ("auth_refused_tls", {"mechanism": "SCRAM-SHA-256"}, "hardened", "SCRAM too"),
    ("login", {"mechanism": "PLAIN"}, "hardened", "no password"),
    ("login", {"mechanism": "LOGIN"}, "hardened", "no password"),
    ("login", {"mechanism": "SCRAM-SHA-256"}, "SCRAM too", "SCRAM without password"),
    ("wrong_password", {"mechanism": "PLAIN"}, "hardened", "any password"),
    ("injection", {}, "hardened", "keeps the buffer"),
    ("late_plaintext", {}, "hardened", "skips late plaintext"),
    ("ehlo_again", {}, "hardened", "keeps the state"),
    ("transaction_forgotten", {}, "hardened", "keeps the state"),
    ("open_relay", {}, "hardened", "open relay"),
    ("mail_refused_clear", {"explanation": STARTTLS_FIRST}, "submission", "hardened"),
    ("mail_refused_clear", {"explanation": STARTTLS_FIRST}, "code as text", "other reply"),
    ("mail_refused_clear", {}, "other reply", "hardened"),
    ("mail_refused_tls", {"explanation": LOGIN_FIRST}, "submission", "hardened"),
    ("mail_refused_tls", {"explanation": LOGIN_FIRST}, "submission implicit", "hardened implicit"),
    ("mail_refused_tls", {}, "submission implicit", "hardened"),
    ("forced_clear", {"domain": FORCED, "reject_message": EXPLANATION}, "hardened", "other words"),
    ("forced_clear", {"domain": FORCED, "reject_message": EXPLANATION}, "twin", "unhardened"),
    ("forced_clear", {"domain": FORCED}, "hardened", "unhardened"),
    ("forced_tls", {"domain": FORCED}, "hardened", "forces inside TLS"),
    ("other_clear", {"domain": OTHER}, "hardened", "forces everything"),
)
#: Facts that no check is about: group, two sites at which they differ.
FACTS = (
    ("keywords_clear", "dialogue", "hardened", "without TLS"),
    ("keywords_tls", "dialogue", "hardened", "answers in clear"),
    ("tls_session", "dialogue", "hardened", "DH 2048"),
    ("size_limit", "dialogue", "hardened", "answers in clear"),
    ("timing", "dialogue", "hardened", "without TLS"),
    ("version_completed.TLSv1.2", "versions", "hardened", "breaks off"),
    ("chain", "certificate", "hardened", "self-signed"),
    ("throttled", "versions", "hardened", "throttling"),
    ("auth_tls.CRAM-MD5", "auth", "hardened", "hidden CRAM-MD5"),
    ("suites.SSLv3", "suites", "SSL 3.0", "SSL 3.0 with one suite"),
)
#: Facts that a check of another name is about.
JUDGED_AS = {
    "mail_clear": "mail_refused_clear", "mail_tls": "mail_refused_tls",
    "banner": "greeting", "auth_clear": "auth_refused_clear", "auth_tls": "auth_refused_tls", "dh_bits": "dh_size",
    "certificate": "certificate_valid",
}
#: What no server can pass.
NEVER = {"outside"}
#: What is about the policy alone: a listener that it does not name has failed before anybody looks.
OF_THE_POLICY = {"declared"}


def _groups(name):
    """What must be looked at for the cases of a site."""
    found = {CATALOGUE[check].group for check, unused, passes, fails in CASES if name in (passes, fails)}
    found |= {group for unused, group, *sites in FACTS if name in sites}
    return sorted(found - {"always", ""})


@pytest.fixture(scope="session")
def seen(office, tmp_path_factory):
    """A function that gives the observation of a site by its name; each site is looked at once."""
    known = {}
    with Bench(office, tmp_path_factory.mktemp("bench")) as bench:

        def observation(name):
            if name not in known:
                site = SITES[name]
                with site.start(bench) as server:
                    known[name] = look(where(site, server, office), _groups(name))
            return known[name]

        yield observation


def _row(observation, check, parameters):
    (row,) = judge(observation, [requirement(check, parameters)])
    return row


@pytest.mark.parametrize("check, parameters, passes, fails", CASES)
def test_a_server_passes_and_another_one_fails(seen, check, parameters, passes, fails):
    row = _row(seen(passes), check, parameters)
    assert row.verdict == "pass", (row, seen(passes).facts)
    row = _row(seen(fails), check, parameters)
    assert row.verdict == "fail", (row, seen(fails).facts)


@pytest.mark.parametrize("name, group, one, other", FACTS)
def test_a_fact_that_no_check_is_about_tells_servers_apart(seen, name, group, one, other):
    first, second = seen(one).fact(name), seen(other).fact(name)
    assert first.observable and second.observable, (first, second)
    assert first.value != second.value


def test_each_fact_is_looked_at_here(seen):
    known = set(CATALOGUE) | set(JUDGED_AS) | {name.partition(".")[0] for name, *unused in FACTS}
    assert {name.partition(".")[0] for site in ("hardened", "hardened implicit") for name in seen(site).facts} <= known


#: The same of a Postfix, where that can be had.
POSTFIX_CASES = (
    ("open_relay", {}, "Postfix", "open Postfix"),
    ("starttls_offered", {"offered": True}, "Postfix", "open Postfix"),
    ("auth_offered_clear", {"mechanisms": []}, "Postfix", None),
    ("version", {"version": "TLSv1.3", "accepted": True}, "Postfix", None),
    ("version", {"version": "TLSv1.1", "accepted": False}, "Postfix", None),
    ("injection", {}, "Postfix", None),
    ("late_plaintext", {}, "Postfix", None),
    ("transaction_forgotten", {}, "Postfix", None),
    ("starttls_inside_tls", {}, "Postfix", None),
    ("certificate_trusted", {}, "Postfix", None),
    # It asks for EHLO where smtpd_helo_required says so; by default nothing does, so that it has nothing to remember.
    ("ehlo_again", {}, "Postfix", None),
)
_OPEN = {
    "smtpd_tls_security_level": "none",
    "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
    "mynetworks": "127.0.0.0/8",
}


@pytest.fixture(scope="module")
def postfixes(office):
    """Observations of two Postfixes by name."""
    # Its daemons run as other users, who cannot enter pytest's folder.
    folder = Path(tempfile.mkdtemp(prefix="securemail-probe-"))
    folder.chmod(0o755)
    settings = {"Postfix": {}, "open Postfix": _OPEN}
    checks = ("dialogue", "auth", "session", "relay", "versions", "certificate")
    found = {}
    try:
        for name, different in settings.items():
            (folder / name).mkdir()
            with zoo.closed_port() as port:
                pass
            certificate = office.server_pem("ec", NAME, 60)
            try:
                postfix = real.Postfix(folder / name, "127.0.0.1", port, certificate, [LOCAL], **different)
            except real.Unavailable as reason:
                if os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
                    raise
                pytest.skip(str(reason))
            with postfix:
                where = place(port, local_domain=LOCAL, ca_file=office.ca_file)
                found[name] = look(where, checks)
        yield found
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("check, parameters, passes, fails", POSTFIX_CASES)
def test_a_postfix_passes_and_another_one_fails(postfixes, check, parameters, passes, fails):
    for name, verdict in ((passes, "pass"), (fails, "fail")):
        if name is not None:
            row = _row(postfixes[name], check, parameters)
            assert row.verdict == verdict, (row, postfixes[name].facts)


def test_each_kind_has_both():
    assert set(CATALOGUE) == {case[0] for case in CASES} | NEVER | OF_THE_POLICY


@pytest.mark.parametrize(
    "check, parameters",
    [
        ("suites", {"version": "TLSv1.2", "forbidden": ["RC4"]}),
        ("suites", {"version": "TLSv1.2", "forbidden": ["rc4", "week"]}),
        ("certificate_signature", {"forbidden": ["SHA-1"]}),
    ],
)
def test_a_slip_of_the_pen_forbids_nothing_and_is_refused(check, parameters):
    with pytest.raises(ValueError, match="cannot forbid"):
        requirement(check, parameters)
