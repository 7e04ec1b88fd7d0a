# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What other people's mail servers see of the mail that the hardened server sends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import wire
from ansible_collections.securemail.smtp.plugins.module_utils._probe import relaying

PROJECT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
sys.path.insert(0, str(PROJECT / "devtools"))

import outside  # noqa: E402
import peers as other_servers  # noqa: E402

NAMES = (
    "STARTTLS offered", "no STARTTLS", "STARTTLS offered later", "TLSv1 only", "TLSv1.1 only", "TLSv1.2 only", "TLSv1.3 only",
    "forced domain, no STARTTLS", "forced domain, certificates that prove nothing",
)


@pytest.fixture(scope="module")
def peers():
    known = wire.facts()["peers"]
    folder = Path(known["ca_file"]).parent
    with other_servers.Peers("relay", folder, int(known["port"]), int(known["dns"].rpartition(":")[2])) as running:
        yield running


@pytest.fixture(scope="module")
def checks(peers):
    found = relaying.checks(submission(), peers.partners, outside.RELAYED["rfc9325"])
    return {check.name: check for check in found}


@pytest.mark.parametrize("name", NAMES)
def test_from_the_other_end(checks, name):
    verdict = checks[name].run()
    assert verdict.passed, f"expected {checks[name].expected}; seen {verdict} ({checks[name].source})"


def test_no_check_is_left_out(checks):
    assert tuple(checks) == NAMES


def converge(folder: Path, relay: dict) -> str:
    """Run the role once more, with this relay host; returns the recap of the run."""
    variables = folder / "relay.json"
    variables.touch(mode=0o600)
    variables.write_text(json.dumps({"secure_smtp_relay": relay}))
    command = [sys.executable, "-m", "ansible", "playbook", "-i", os.environ["MOLECULE_INVENTORY_FILE"], "--diff"]
    command += ["-e", f"@{variables}", str(PROJECT / "playbooks" / "secure_smtp.yml")]
    done = subprocess.run(command, env=dict(os.environ, ANSIBLE_NOCOLOR="1"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert other_servers.PROVIDER_PASSWORD not in done.stdout + done.stderr
    return done.stdout.splitlines()[-2]


@pytest.fixture(scope="module")
def provider(peers, tmp_path_factory):
    """All mail goes through a provider who wants a login, inside TLS; afterwards by MX again."""
    folder = tmp_path_factory.mktemp("relay")
    relay = {
        "host": other_servers.PROVIDER, "port": peers.port, "tls": "implicit", "level": "verify",
        "username": other_servers.PROVIDER_USER, "password": other_servers.PROVIDER_PASSWORD,
    }
    assert "changed=1" in converge(folder, relay)
    assert "changed=0" in converge(folder, relay)
    yield peers.provider
    assert "changed=1" in converge(folder, {"state": "absent"})


def submission() -> object:
    """The listener where the server takes mail of its users."""
    return outside.question(wire.options()).listeners[1]


def test_the_provider_gets_all_mail_after_a_login_inside_tls(provider):
    recipient = "somebody@ordinary.test"
    relaying.submit(submission(), recipient)
    message = provider.wait_message(lambda message: recipient in message.recipients, 30)
    assert (message.protocol, message.user) == ("TLSv1.3", other_servers.PROVIDER_USER)


def test_a_false_provider_gets_neither_mail_nor_password(provider):
    recipient = "anybody@ordinary.test"
    certificate = provider.behaviour.certificate
    # A connection is kept for some seconds, and whoever is at its other end was proven to be the true one.
    old = provider.wait_idle(30)
    provider.change(certificate=certificate.replace("/good/", "/other-name/"))
    try:
        relaying.submit(submission(), recipient)
        session = provider.wait_session(lambda session: session.ended and not any(session is known for known in old), 30)
    finally:
        provider.change(certificate=certificate)
    # With TLS 1.3 the name is known to be wrong when the handshake is over; a goodbye is all that follows.
    assert (set(session.verbs) <= {"QUIT"}, session.logins, session.messages) == (True, [], [])
    # It waited, and is sent to the true one.
    provider.wait_message(lambda message: recipient in message.recipients, 30)
