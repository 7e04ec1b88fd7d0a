# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What other people's mail servers see of the mail that the two hosts send."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import wire
from ansible_collections.securemail.smtp.plugins.module_utils._probe import judge, relaying, target

sys.path.insert(0, str(Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / "devtools"))

import peers as other_servers  # noqa: E402

NAMES = (
    "STARTTLS offered", "no STARTTLS", "STARTTLS offered later", "TLSv1 only", "TLSv1.1 only", "TLSv1.2 only", "TLSv1.3 only",
    "forced domain, no STARTTLS", "forced domain, certificates that prove nothing",
)


def submission(facts):
    """The endpoint where this host takes mail of its users."""
    return target.endpoints(judge.Target(**facts["target"]))[1]


@pytest.fixture(scope="module")
def peers():
    known = wire.facts()["peers"]
    folder = Path(known["ca_file"]).parent
    with other_servers.Peers("relay", folder, int(known["port"]), int(known["dns"].rpartition(":")[2])) as running:
        yield running


@pytest.fixture(scope="module")
def checks(peers):
    facts = wire.facts()
    found = judge.checks(judge.Target(**facts["target"]), facts["form"], facts["mechanisms"], partners=peers.partners)
    return {check.name.partition(": ")[2]: check for check in found if check.name.startswith("relaying: ")}


@pytest.mark.parametrize("name", NAMES)
def test_from_the_other_end(checks, name):
    verdict = checks[name].run()
    assert verdict.passed, f"expected {checks[name].expected}; seen {verdict} ({checks[name].source})"


def test_no_check_is_left_out(checks):
    assert tuple(checks) == NAMES


@pytest.fixture(scope="module")
def behind_the_provider():
    return submission(wire.facts(wire.folder("relayhost") / "target.json"))


def test_the_provider_gets_all_mail_after_a_login_inside_tls(peers, behind_the_provider):
    recipient = "somebody@nowhere.invalid"
    relaying.submit(behind_the_provider, recipient)
    message = peers.provider.wait_message(lambda message: recipient in message.recipients, 30)
    assert (message.protocol, message.user) == ("TLSv1.3", other_servers.PROVIDER_USER)


def test_a_false_provider_gets_neither_mail_nor_password(peers, behind_the_provider):
    recipient = "anybody@nowhere.invalid"
    certificate = peers.provider.behaviour.certificate
    old = peers.provider.sessions
    peers.provider.change(certificate=certificate.replace("/good/", "/other-name/"))
    try:
        relaying.submit(behind_the_provider, recipient)
        session = peers.provider.wait_session(
            lambda session: session.ended and not any(session is known for known in old), 30
        )
    finally:
        peers.provider.change(certificate=certificate)
    # With TLS 1.3 the name is known to be wrong when the handshake is over; a goodbye is all that follows.
    assert (set(session.verbs) <= {"QUIT"}, session.logins, session.messages) == (True, [], [])
    # It waited, and is sent to the true one.
    peers.provider.wait_message(lambda message: recipient in message.recipients, 30)
