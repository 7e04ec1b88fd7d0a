# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may send what to whom: what swaks and nmap are refused, with which words. The servers that are wrong are twins."""

from __future__ import annotations

import tempfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.twin import smtp_twin

import grid
import programs
import swaks_words
from judged_server import (
    DOMAIN, EXPLANATION, FORCED_DOMAIN, FORCED_SENDER, SENDER_EXPLANATION, USER_PASSWORD, VERIFIED_SENDER, Place
)

ANNA = f"anna@{DOMAIN}"


def last_words(place: Place, last: str, *options: str) -> str:
    """What the server says to MAIL or RCPT (``last``) of swaks."""
    transcript = programs.get("swaks").run(
        *place.swaks, "--helo", "client.test", "--quit-after", last, "--to", ANNA, *options, statuses=range(64)
    )
    return swaks_words.answer(transcript, last).last


@pytest.fixture
def twin(authority):
    """A server that serves everybody who has a message for a domain of its own."""
    with smtp_twin(context=authority.context(), forces=()) as server:
        yield Place(server.port)


# --- submission ------------------------------------------------------------------------------------


def test_w3_no_mail_in_clear_on_587(hardened):
    assert last_words(hardened.submission, "MAIL", "--from", f"a@{DOMAIN}").startswith("530 5.7.0 ")


def test_w3_can_fail(twin):
    assert last_words(twin, "MAIL", "--from", f"a@{DOMAIN}") == "250 2.1.0 OK"


def test_w4_no_mail_without_a_login_on_587_and_465(hardened):
    for place in (hardened.submission, hardened.submissions):
        secure = () if place.implicit else ("--tls",)
        assert last_words(place, "MAIL", *secure, "--from", ANNA).startswith("530 5.7.0 ")
        login = ("--auth", "PLAIN", "--auth-user", ANNA, "--auth-password", USER_PASSWORD)
        assert last_words(place, "RCPT", *secure, *login, "--from", ANNA).startswith("250 2.1.5 ")


def test_w4_can_fail(twin):
    assert last_words(twin, "MAIL", "--tls", "--from", ANNA) == "250 2.1.0 OK"


# --- relaying --------------------------------------------------------------------------------------


def relayed(place: Place) -> list[str]:
    """What of mail for strangers the server takes from strangers, by nmap's sixteen ways to ask and by swaks."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "nmap-services").write_text(f"smtp\t{place.port}/tcp\t1.0\n", encoding="ascii")
        xml = programs.get("nmap").run(
            "--datadir", folder, "-Pn", "-n", "-sT", "-p", str(place.port), "--script", "+smtp-open-relay",
            "--script-args", "smtp-open-relay.domain=client.test", "-oX", "-", grid.HOST,
        )
    (said,) = [one.get("output", "") for one in ElementTree.fromstring(xml).iter("script")]
    found = [] if "doesn't seem to be an open relay, all tests failed" in said else [f"nmap: {said}"]
    words = last_words(place, "RCPT", "--from", "a@client.test", "--to", "x@elsewhere.test")
    return found + ([] if words.startswith("550 5.7.1 ") else [f"swaks: {words}"])


def test_w21_no_open_relay(hardened):
    assert relayed(hardened.relay) == []


def test_w21_can_fail(authority):
    taken = {"RSET": "250 2.0.0 OK", "RCPT": "250 2.1.5 OK"}
    with smtp_twin(context=authority.context(), overrule=taken) as twin:
        nmap, swaks = relayed(Place(twin.port))
    assert nmap.startswith("nmap: ") and "is an open relay" in nmap
    assert swaks == "swaks: 250 2.1.5 OK"


# --- TLS that a rule demands -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--from", f"a@{FORCED_SENDER}"), SENDER_EXPLANATION),
        (("--from", "a@client.test", "--to", f"anna@{FORCED_DOMAIN}"), EXPLANATION),
    ],
)
def test_w22_tls_is_demanded_for_a_domain(hardened, options, words):
    # A refusal of the sender may come with MAIL or with the recipient: swaks ends at the first one.
    transcript = programs.get("swaks").run(
        *hardened.relay.swaks, "--to", ANNA, *options, "--helo", "client.test", "--quit-after", "RCPT", statuses=range(64)
    )
    refused = [one.last for one in swaks_words.exchanges(transcript) if one.last.startswith("5")]
    assert refused == [f"550 5.7.1 {words}"]
    assert last_words(hardened.relay, "RCPT", "--tls", *options).startswith("250 2.1.5 ")


def test_w22_can_fail(twin):
    assert last_words(twin, "RCPT", "--from", f"a@{FORCED_SENDER}") == "250 2.1.5 OK"


def with_certificate(place: Place, pem: str | None) -> str:
    """What the server says to mail from a domain that must show a certificate, to a client with this one."""
    shown = ("--tls-cert", pem, "--tls-key", pem) if pem else ()
    return last_words(place, "MAIL", "--tls", *shown, "--from", f"a@{VERIFIED_SENDER}")


def test_w23_a_certificate_is_demanded_of_a_domain(hardened, authority):
    assert with_certificate(hardened.relay, None).startswith("554 5.7.0 ")
    assert with_certificate(hardened.relay, authority.server_pem("ec", "client.test")).startswith("250 2.1.0 ")
    # Who is not asked for one needs none.
    assert last_words(hardened.relay, "MAIL", "--tls", "--from", "a@client.test").startswith("250 2.1.0 ")


def test_w23_a_certificate_of_somebody_else_is_none(hardened, stranger):
    words = programs.get("swaks").run(
        *hardened.relay.swaks, "--tls", "--tls-cert", stranger, "--tls-key", stranger, "--helo", "client.test",
        "--quit-after", "MAIL", "--from", f"a@{VERIFIED_SENDER}", statuses=range(64),
    )
    accepted = [one for one in swaks_words.exchanges(words) if one.command.startswith("MAIL") and one.last.startswith("2")]
    assert accepted == []


def test_w23_can_fail(twin):
    assert with_certificate(twin, None) == "250 2.1.0 OK"
