# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The looks at mail that goes out, against the bundled server under policies that hold each promise or break it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._probe import relaying
from ansible_collections.securemail.smtp.plugins.module_utils._probe.observation import Credentials, listener

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))

import peers as other_servers  # noqa: E402

PASSWORD = "s3cret-Anna"
OLD, NEW = ["TLSv1.1", "TLSv1.2"], ["TLSv1.2", "TLSv1.3"]
FORCED = [{"domain": domain, "direction": "outbound", "level": "secure"} for domain in (other_servers.PARTNER, other_servers.BANK)]


@pytest.fixture
def peers(tmp_path):
    with other_servers.Peers("tests", tmp_path / "peers") as running:
        yield running


@pytest.fixture
def mta(start_mta, peers):
    """A server that sends in clear, to the peers' port."""
    script = """event onEhlo { call (WA_Acceptance_basic); }
event onRelay { call (WA_Routing_basic); }
method WA_Acceptance_basic { set (allowStartTLS, "yes"); set (localDelivery, "all"); set (remoteDelivery, "auth"); }
method WA_Routing_basic {
\tset (allowStartTLS, "no");
\tset (remoteSmtpPort, "%d");
}
""" % peers.port
    tables = '[dns]\nservers = ["%s"]\n[relay]\nretry = [0.5]\nca_file = "%s"\n' % (peers.dns, peers.ca_file)
    return start_mta(script.encode(), tables)


@pytest.fixture
def verdicts(run, lab, free_port, peers):
    """A function: the verdicts about mail that goes out, by what the check is about."""
    submission = free_port()
    run("smtp_account", domain="example.test", postmaster_password=PASSWORD, account="anna", password=PASSWORD)
    run("smtp_listener", address="127.0.0.1:%d" % submission, tls="starttls", certificate=lab.rsa)
    asked = listener(
        "127.0.0.1:%d" % submission, "starttls", "mail.example.test", credentials=Credentials("anna@example.test", PASSWORD)
    )

    def judged(versions: tuple = tuple(NEW)) -> dict:
        return {check.name: check.run() for check in relaying.checks(asked, peers.partners, versions)}

    return judged


def policy(run, level: str, versions: list, forced: list) -> None:
    rule = {"name": "use_only_these_when_relaying", "level": level, "versions": versions}
    run("smtp_policy", starttls={"outbound": True}, relay_tls=[rule], forced_tls_domains=forced)


def failed(verdicts: dict) -> list[str]:
    return [name for name, verdict in verdicts.items() if verdict.outcome != "pass"]


def test_a_server_that_sends_in_clear_holds_nothing(verdicts):
    found = verdicts()
    assert len(found) == 9
    assert failed(found) == list(found)
    assert all(verdict.outcome == "fail" and "in clear" in verdict.seen for verdict in found.values())


@pytest.mark.parametrize("versions", [NEW, OLD])
def test_the_whole_hardening_holds_everything(verdicts, run, versions):
    policy(run, "encrypt", versions, FORCED)
    found = verdicts(versions)
    assert failed(found) == [], found


def test_versions_of_another_form_are_seen(verdicts, run):
    policy(run, "encrypt", OLD, FORCED)
    assert failed(verdicts(NEW)) == ["TLSv1.1 only", "TLSv1.3 only"]


def test_opportunistic_tls_is_told_from_required(verdicts, run):
    policy(run, "may", NEW, [])
    found = verdicts()
    assert failed(found) == [
        "no STARTTLS", "STARTTLS offered later", "TLSv1 only", "TLSv1.1 only", "forced domain, no STARTTLS", "forced domain, certificates that prove nothing",
    ]
    # It tried with TLS first, and the look did not take the end of that for the end of the story.
    assert found["TLSv1.1 only"].seen == "in clear to mx.tlsv1-1.test"


def test_tls_without_proof_is_told_from_a_proven_server(verdicts, run):
    policy(run, "encrypt", NEW, [{"domain": other_servers.BANK, "direction": "outbound", "level": "encrypt"}])
    found = verdicts()
    assert failed(found) == ["forced domain, certificates that prove nothing"]
    assert found["forced domain, certificates that prove nothing"].seen == "with TLSv1.3 to mx1.bank.test"
