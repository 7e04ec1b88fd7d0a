# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Figures for Prometheus after real sessions and deliveries, read with Prometheus's own parser."""

from __future__ import annotations

import base64
import json
import smtplib
import socket
import ssl
import time
import urllib.request
from pathlib import Path

import pytest
from cryptography import x509
from prometheus_client.parser import text_string_to_metric_families
from relay_lab import NEVER, PATIENCE, USER, USER_PASSWORD, Lab

SECURE = "127.77.0.9"


@pytest.fixture(scope="module")
def counted(tmp_path_factory, authority):
    """A lab that serves figures and has a second listener, with a certificate."""
    with Lab(tmp_path_factory.mktemp("metrics"), authority, tables='[metrics]\naddress = "127.0.0.1:0"') as lab:
        admin = lab.admin()
        admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", f"ADD Listener {SECURE}:{lab.port}", "CONFIG SSLCONTROL")
        admin.ok(f"SET certFile {authority.issue('metrics.pem')}", "DONE", "COMMIT", "COMMIT", "COMMIT")
        admin.close()
        yield lab


def status(lab) -> dict:
    """What the server says about itself."""
    return json.loads((lab.server.state / "status.json").read_text())


def figures(lab) -> dict:
    """All figures of the server by name and labels."""
    with urllib.request.urlopen(f"http://{status(lab)['metrics']}/metrics", timeout=PATIENCE) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    found = {}
    for family in families:
        for sample in family.samples:
            if sample.name.startswith("postern_") and not sample.name.endswith("_created"):
                found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def grown(before: dict, after: dict) -> dict:
    """What has been counted in between, by name and the values of the labels."""
    return {
        (name, *(value for _label, value in labels)): value - before.get((name, labels), 0)
        for (name, labels), value in after.items()
        if name.endswith("_total") and value != before.get((name, labels), 0)
    }


def deliver(lab, authority, there: str, waits: str) -> None:
    """One session with every kind of fate in it."""
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    context.check_hostname = False
    with smtplib.SMTP(SECURE, lab.port, timeout=PATIENCE) as client:
        client.starttls(context=context)
        client.ehlo()
        wrong = base64.b64encode(f"\0{USER}\0wrong".encode()).decode()
        assert client.docmd("AUTH", f"PLAIN {wrong}")[0] == 535
        client.login(USER, USER_PASSWORD)
        refused = client.sendmail(USER, [USER, "nobody@example.test", f"a@{there}", f"b@{there}", f"a@{waits}"], "x: y\n\nz")
        assert list(refused) == ["nobody@example.test"]
    lab.attempt(there, result="sent")
    lab.attempt(waits, result="deferred")
    lab.events.wait("delivery.local")
    lab.events.wait("smtp.session", user=USER)


def break_a_handshake(lab) -> None:
    """A client that says STARTTLS and goes on in clear."""
    with socket.create_connection((SECURE, lab.port), PATIENCE) as raw, raw.makefile("rb") as lines:
        lines.readline()
        raw.sendall(b"STARTTLS\r\n")
        assert lines.readline().startswith(b"220 ")
        raw.sendall(b"NOOP, or what a guesser's label would be\r\n")
        lines.read()
    lab.events.wait("smtp.tls", result="failed")
    lab.events.wait("smtp.session", user="")


def test_figures_are_those_of_the_sessions(counted, authority, domain):
    lab, there, waits = counted, f"there.{domain}", f"waits.{domain}"
    lab.policy(tlsLevel="encrypt")
    before = figures(lab)
    with lab.peer(there, certificate=lab.certificate(there)), lab.peer(waits, starttls=False):
        deliver(lab, authority, there, waits)
    break_a_handshake(lab)
    after = figures(lab)
    assert grown(before, after) == {
        ("postern_sessions_total",): 2,
        ("postern_messages_accepted_total",): 1,
        ("postern_refusals_total", "5xx", "recipient"): 1,
        ("postern_tls_handshakes_total", "TLSv1.3"): 1,
        ("postern_tls_handshakes_failed_total",): 1,
        ("postern_logins_total", "right"): 1,
        ("postern_logins_total", "wrong"): 1,
        ("postern_deliveries_total", "sent", "encrypt"): 2,
        ("postern_deliveries_total", "deferred", "clear"): 1,
        ("postern_local_deliveries_total",): 1,
    }
    # Peers make no series: whatever they send, there is a figure for it already.
    assert before.keys() == after.keys()
    state = status(lab)
    expected = {"generation": state["generation"], "listeners": 2, "listeners_shut": 0, "queue_trouble": 0,
                "sessions_open": 0, "tls_problems": 0, "queue_messages": 1, "queue_held_recipients": 0}  # fmt: skip
    assert {name: after[f"postern_{name}", ()] for name in expected} == expected
    assert 0 < after["postern_queue_oldest_seconds", ()] < NEVER


def test_the_end_of_a_certificate_in_use(counted, authority):
    lab = counted
    path = Path(authority.issue("metrics.pem", days=7))
    admin = lab.admin()
    admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", f"UPDATE Listener {SECURE}:{lab.port}", "CONFIG SSLCONTROL")
    admin.ok(f"SET certFile {path}", "DONE", "COMMIT", "COMMIT", "COMMIT")
    admin.close()
    end = x509.load_pem_x509_certificate(path.read_bytes()[path.read_bytes().index(b"-----BEGIN CERT") :])
    labels = (("file", str(path)), ("listener", f"{SECURE}:{lab.port}"))
    assert figures(lab)["postern_certificate_expiry_seconds", labels] == end.not_valid_after_utc.timestamp()
    assert end.not_valid_after_utc.timestamp() < time.time() + 8 * 86400


def test_a_client_that_says_nothing_keeps_nobody_waiting_for_long(counted):
    host, _colon, port = status(counted)["metrics"].rpartition(":")
    with socket.create_connection((host, int(port))):
        assert figures(counted)
