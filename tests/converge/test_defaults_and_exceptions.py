# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A default for every domain, rules for parents and single ones, and exceptions with a reason: what goes over the wire."""

from __future__ import annotations

import smtplib
import ssl

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import POSTERN
from ansible_collections.securemail.smtp.tests.mta.relay.relay_lab import ADMIN_PASSWORD, Lab
from ansible_collections.securemail.smtp.tests.mta.wire_certificates import Authority
from mta_process import PASSWORD, SCRIPT, call
from postern.admin.contexts import MAX_UPLOAD

APPLIANCE = "Gerät wird bis Ostern ersetzt, Ticket 88"
DOMAINS = [
    {"domain": "fax.test", "direction": "outbound", "level": "none", "reason": "no TLS at all", "until": "2099-12-31"},
    {"domain": "*", "direction": "outbound", "level": "encrypt"},
    {"domain": "old.gov.test", "direction": "outbound", "level": "may", "reason": APPLIANCE},
    {"domain": "bank.test", "direction": "outbound", "level": "secure", "match": ["mx.bank.test"]},
    {"domain": ".gov.test", "direction": "outbound", "level": "secure", "match": [".gov.test"]},
]


@pytest.fixture
def partners(tmp_path):
    """A server whose mail goes to hosts of the test."""
    for name in ("lab", "certificates"):
        (tmp_path / name).mkdir()
    with Lab(tmp_path / "lab", Authority(tmp_path / "certificates")) as lab:
        yield lab


def test_what_goes_out(partners):
    """Precedence: the domain itself, then the longest parent, then every domain; in whatever order they were given."""

    def declared(domains):
        options = {"admin_port": partners.server.port, "admin_password": ADMIN_PASSWORD, "forced_tls_domains": domains}
        return call("smtp_policy", options, False)

    assert declared(DOMAINS)["changed"] is True
    assert declared(DOMAINS[::-1])["changed"] is False
    expected = [
        # Domain, whether its host offers TLS, the level, what is reached, why.
        ("any.test", False, "encrypt", None, ""),
        ("partner.test", True, "encrypt", "encrypt", ""),
        ("tax.gov.test", True, "secure", "secure", ""),
        ("gov.test", True, "encrypt", "encrypt", ""),
        ("old.gov.test", False, "may", "clear", APPLIANCE),
        ("fax.test", True, "none", "clear", "no TLS at all"),
        ("bank.test", False, "secure", None, ""),
    ]
    for domain, tls, level, reached, why in expected:
        with partners.peer("mx." + domain, starttls=tls, certificate=partners.certificate("mx." + domain)) as peer:
            partners.mx(domain, "mx." + domain)
            partners.submit("somebody@" + domain)
            event = partners.attempt(domain)
            messages = [message for session in peer.wait_idle() for message in session.messages]
        assert (event["level"], event["level_reason"]) == (level, why), event
        if reached is None:
            assert messages == [] and event["result"] != "sent" and event["reason"].startswith("4.7.4"), event
        else:
            assert (event["result"], event["reached"]) == ("sent", reached), event
            assert [message.protocol is None for message in messages] == [reached == "clear"]


def test_an_exception_that_something_stricter_takes_back_is_refused(run):
    run("smtp_relay_tls", name="all", level="encrypt")
    refused = run("smtp_policy", forced_tls_domains=[DOMAINS[0]])
    assert refused["failed"] and "fax.test" in refused["msg"] and "rule all" in refused["msg"]


def test_what_comes_in(start_mta, lab, free_port):
    mta, port = start_mta(SCRIPT.replace(b'"auth"', b'"all"')), free_port()

    def declared(**parameters):
        return call("smtp_policy", {"admin_port": mta.port, "admin_password": PASSWORD, **parameters}, False)

    def replies(tls):
        context = ssl.create_default_context(cafile=str(lab.ca_file))
        context.check_hostname = False
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            if tls:
                client.starttls(context=context)
            client.ehlo()
            client.mail("sender@elsewhere.test")
            return [client.rcpt("somebody@" + domain) for domain in names]

    domains = [
        {"domain": "*", "direction": "inbound", "reject_message": "TLS for everybody"},
        {"domain": ".gov.test", "direction": "inbound", "level": "may", "reason": "old exchange"},
        {"domain": "tax.gov.test", "direction": "inbound"},
        {"domain": "fax.test", "direction": "inbound", "level": "may", "reason": "no TLS at all"},
    ]
    listener = {"address": "127.0.0.1:%d" % port, "tls": "starttls", "certificate": lab.rsa}
    assert declared(listeners=[listener], forced_tls_domains=domains)["changed"] is True
    assert declared(forced_tls_domains=domains[::-1])["changed"] is False
    names = ["any.test", "gov.test", "a.gov.test", "tax.gov.test", "fax.test", "a.fax.test", "FAX.test"]
    codes = [550, 550, 250, 550, 250, 550, 250]
    clear = replies(False)
    assert [code for code, _text in clear] == codes, clear
    assert clear[0][1] == b"5.7.1 TLS for everybody" and b"tax.gov.test" in clear[3][1]
    assert {code for code, _text in replies(True)} == {250}


def test_the_plan_knows_what_the_server_takes():
    assert POSTERN.max_script == MAX_UPLOAD
