# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One look at real servers, the bundled one and Postfix: what is seen, and how much of a server's patience it takes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._probe.budget import Budget
from ansible_collections.securemail.smtp.plugins.module_utils._probe.observation import (
    Credentials,
    ForcedDomain,
    listener,
)
from ansible_collections.securemail.smtp.plugins.module_utils._probe.survey import CHECKS, observe
from running_postern import (
    ACCOUNT,
    EXPLANATION,
    PASSWORD,
    SERVER_NAME,
    RunningServer,
    hardened,
    initial,
    listener as postern_listener,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))

import postfix as real  # noqa: E402

MODERN = {"allowed_versions": ("tls1_2", "tls1_3")}
KNOWN = {
    "credentials": Credentials(ACCOUNT, PASSWORD),
    "forced_domains": (ForcedDomain("mydomain.example", EXPLANATION),),
    "other_domain": "other.example",
    "local_domain": "example.test",
}
#: What a hardened listener with STARTTLS shows; one with implicit TLS shows what is not about clear text.
EXPECTED = {
    "reachable": True, "starttls_offered": True, "starttls_works": True, "starttls_inside_tls": False,
    "size_limit": 20971520, "auth_offered_clear": [], "auth_offered_tls": ["LOGIN", "PLAIN"],
    "auth_clear.PLAIN": "refused", "auth_clear.LOGIN": "refused",
    "auth_tls.PLAIN": "accepted", "auth_tls.LOGIN": "accepted",
    "auth_tls.SCRAM-SHA-256": "refused", "auth_tls.CRAM-MD5": "refused",
    "injection": False, "late_plaintext": False, "ehlo_again": True, "transaction_forgotten": True,
    "open_relay": False, "version.SSLv2": False, "version.SSLv3": False, "version.TLSv1": False,
    "version.TLSv1.1": False, "version.TLSv1.2": True, "version.TLSv1.3": True,
    "version_completed.TLSv1.2": True, "version_completed.TLSv1.3": True,
    "certificate_trusted": True, "certificate_name": True, "compression": False, "throttled": False,
    "login.PLAIN": True, "login.LOGIN": True,
}
ABOUT_CLEAR_TEXT = (
    "starttls_offered", "starttls_works", "auth_offered_clear", "auth_clear.PLAIN", "auth_clear.LOGIN", "injection",
    "late_plaintext", "ehlo_again", "transaction_forgotten",
)


@pytest.fixture(scope="module")
def certificate(office):
    return office.server_pem("ec", SERVER_NAME, 60)


@contextlib.contextmanager
def postern(folder, script, implicit=False, **tls):
    with RunningServer(folder) as server:
        server.activate(script, postern_listener("127.0.0.1", implicit, **tls))
        yield server


def seen_of(server, office, tls="starttls", checks=None, **more):
    where = listener(f"127.0.0.1:{server.port}", tls, SERVER_NAME, ca_file=office.ca_file, **more)
    return observe(where, checks, Budget())


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_hardened_listener(tmp_path, office, certificate, tls):
    with postern(tmp_path, hardened("plain login "), tls == "implicit", cert_file=certificate, **MODERN) as server:
        seen = seen_of(server, office, tls, **KNOWN)
        log = server.log.read_text()
    expected = dict(EXPECTED)
    if tls == "implicit":
        expected = {name: value for name, value in EXPECTED.items() if name not in ABOUT_CLEAR_TEXT}
        expected["silent_in_clear"] = True
    else:
        assert seen.fact("forced_clear.mydomain.example").value == {"code": 550, "text": EXPLANATION}
        assert seen.fact("other_clear.other.example").value["code"] == 250
    assert {name: seen.fact(name).value for name in expected} == expected
    assert seen.fact("forced_tls.mydomain.example").value["code"] == 250
    # Nothing was left open but what a server of this kind does not have.
    assert {name for name, fact in seen.facts.items() if not fact.observable} <= {"dh_bits", "encrypt_then_mac"}
    for secret in (PASSWORD, "AGFubmFA"):
        assert secret not in json.dumps(seen.document())
    assert "too many" not in log


def test_how_little_it_takes(tmp_path, office, certificate):
    """The usual checks of a listener with STARTTLS: connections are counted, because servers count them too."""
    with postern(tmp_path, hardened("plain login "), cert_file=certificate, **MODERN) as server:
        seen = seen_of(server, office)
    assert [dialogue.number for dialogue in seen.dialogues] == list(range(1, seen.connections + 1))
    assert seen.connections <= 30
    purposes = [dialogue.purpose for dialogue in seen.dialogues]
    assert len([purpose for purpose in purposes if purpose.startswith("conversation")]) == 2


def test_an_unhardened_listener(tmp_path, office, certificate):
    old = {"allowed_versions": ("tls1", "tls1_1", "tls1_2"), "cipher_suite": "ALL:!aNULL:!eNULL"}
    with postern(tmp_path, initial("unhardened"), cert_file=certificate, **old) as server:
        seen = seen_of(server, office, checks=CHECKS, **KNOWN)
    assert seen.fact("auth_clear.PLAIN").value == "accepted"
    assert "PLAIN" in seen.fact("auth_offered_clear").value
    assert seen.fact("forced_clear.mydomain.example").value["code"] == 250
    assert (seen.fact("version.TLSv1.1").value, seen.fact("version.TLSv1.3").value) == (True, False)
    assert (seen.fact("login.PLAIN").value, seen.fact("wrong_password.PLAIN").value) == (True, 535)
    assert seen.fact("open_relay").value is False


# ---- Postfix


@pytest.fixture
def start_postfix(office):
    # Its daemons run as other users, who cannot enter pytest's folder.
    folder = Path(tempfile.mkdtemp(prefix="securemail-postfix-"))
    folder.chmod(0o755)
    running = []

    def start(**settings):
        with socket.create_server(("127.0.0.1", 0)) as reserved:
            port = reserved.getsockname()[1]
        certificate = shutil.copy(office.server_pem("ec", SERVER_NAME, 60), folder / "certificate.pem")
        running.append(real.Postfix(folder, "127.0.0.1", port, str(certificate), ["example.test"], **settings))
        return running[-1]

    try:
        real.unpacked()
    except real.Unavailable as reason:
        shutil.rmtree(folder)
        if os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
            raise
        pytest.skip(str(reason))
    yield start
    for postfix in running:
        postfix.close()
    shutil.rmtree(folder)


@pytest.mark.parametrize("patience", [20, 4])
def test_postfix_is_seen_whole_whatever_it_bears(start_postfix, office, patience):
    """Its usual limit is twenty errors in a session, ten of which it answers at once."""
    settings = {"smtpd_hard_error_limit": str(patience), "smtpd_helo_required": "yes"}
    server = start_postfix(**settings)
    groups = ("dialogue", "auth", "session", "relay")
    seen = seen_of(server, office, checks=groups, local_domain="example.test")
    assert {name: fact.seen for name, fact in seen.facts.items() if not fact.observable} == {}
    found = {name: seen.fact(name).value for name in EXPECTED if name in seen.facts}
    assert found == {
        **{name: EXPECTED[name] for name in found}, "size_limit": 10240000, "auth_offered_tls": [],
        "auth_tls.PLAIN": "refused", "auth_tls.LOGIN": "refused", "throttled": patience == 4,
    }
    # Two of them are the attacks.
    assert seen.connections == (4 if patience == 20 else 6)
