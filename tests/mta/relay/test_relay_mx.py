# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several mail exchangers, none, name servers that do not answer: where mail goes, and that the level goes along."""

from __future__ import annotations

import email
import email.policy
import time

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._probe.sink import Sink
from relay_lab import HOST_NAME, PATIENCE, USER
from zone import REFUSED, SERVFAIL, SILENT

#: What may be said to a host that does not give the required TLS.
HARMLESS = {"EHLO", "STARTTLS", "QUIT"}


def verbs(sink):
    """Everything that a peer was told."""
    return [verb for session in sink.wait_idle() for verb in session.verbs]


@pytest.fixture(scope="module", autouse=True)
def unanswered(lab):
    """A domain whose name server keeps silent, with mail on its way: giving up takes seconds that others can use."""
    domain = "unanswered.test"
    lab.zone.put(domain, SILENT)
    lab.policy(tlsLevel="may")
    lab.submit(f"r@{domain}")
    return domain


@pytest.fixture
def good(lab, peer):
    """A function: a peer with TLS and a certificate for its name."""
    return lambda host, **behaviour: peer(host, certificate=lab.certificate(host), **behaviour)


@pytest.fixture
def bounce(lab):
    """A function: the notification about a message, from its sender's mailbox."""
    return lambda domain: wait_bounce(lab, domain)


def wait_bounce(lab, domain):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for path in lab.mailbox().glob("*") if lab.mailbox().is_dir() else ():
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            if message.get_content_type() == "multipart/report" and domain in message.as_string():
                return message
        # The mailbox is a folder: there is nobody who could say that something came.
        time.sleep(0.02)
    attempts = lab.events.all("relay.attempt", domain=domain)
    raise AssertionError(f"no notification about {domain}; the log says {attempts}")


# --- several hosts --------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["encrypt", "verify", "secure"])
@pytest.mark.parametrize(
    "lacking",
    [{"starttls": False}, {"starttls": "refused"}, {"handshake": "garbage"}, {"versions": ("TLSv1", "TLSv1.1")}],
    ids=str,
)  # fmt: skip
def test_a_required_level_survives_the_way_to_the_next_host(lab, peer, good, domain, level, lacking):
    first = peer(f"mx1.{domain}", certificate=lab.certificate(f"mx1.{domain}"), **lacking)
    second = good(f"mx2.{domain}")
    lab.mx(domain, f"mx1.{domain}", f"mx2.{domain}")
    lab.policy(tlsLevel=level)
    lab.submit(f"r@{domain}")
    event = lab.attempt(domain)
    assert (event["result"], event["reached"], event["host"]) == ("sent", level, f"mx2.{domain}")
    assert second.wait_message().protocol == "TLSv1.3"
    assert set(verbs(first)) <= HARMLESS and not first.messages


@pytest.mark.parametrize("certificate", ["expired", "self-signed", "wrong name"])
def test_a_certificate_that_proves_nothing_sends_mail_to_the_next_host(lab, peer, good, domain, certificate):
    host = f"mx1.{domain}"
    path = {
        "expired": lambda: lab.certificate(host, days=-1),
        "self-signed": lambda: lab.authority.issue_self_signed(f"{host}.pem", host),
        "wrong name": lambda: lab.certificate("mx.somebody-else.test"),
    }[certificate]()
    first, second = peer(host, certificate=path), good(f"mx2.{domain}")
    lab.mx(domain, host, f"mx2.{domain}")
    lab.policy(tlsLevel="verify")
    lab.submit(f"r@{domain}")
    assert lab.attempt(domain)["host"] == f"mx2.{domain}"
    assert second.wait_message().protocol == "TLSv1.3"
    assert set(verbs(first)) <= HARMLESS and not first.messages


def test_without_tls_at_any_host_mail_waits(lab, peer, domain):
    sinks = [peer(f"mx{number}.{domain}", starttls=False) for number in (1, 2)]
    lab.mx(domain, *(sink.behaviour.name for sink in sinks))
    lab.policy(tlsLevel="encrypt")
    number = lab.submit(f"r@{domain}")
    event = lab.attempt(domain)
    assert (event["result"], event["reason"][:5], event["id"]) == ("deferred", "4.7.4", number)
    for sink in sinks:
        assert verbs(sink) == ["EHLO", "QUIT"]


def test_level_may_goes_to_the_first_host_in_clear(lab, peer, good, domain):
    first, second = peer(f"mx1.{domain}", starttls=False), good(f"mx2.{domain}")
    lab.mx(domain, f"mx1.{domain}", f"mx2.{domain}")
    lab.policy(tlsLevel="may")
    lab.submit(f"r@{domain}")
    assert lab.attempt(domain)["reached"] == "clear"
    assert first.wait_message().protocol is None and not second.sessions


@pytest.mark.parametrize(
    "first",
    [{"banner": "421 4.3.2 Not today"}, {"banner": "554 5.3.2 Never"}, {"banner": b"SSH-2.0-OpenSSH\r\n"},
     {"closes": "CONNECT"}, {"closes": "EHLO"}, {"replies": {"EHLO": "421 4.3.2 Not today"}}],
    ids=str,
)  # fmt: skip
def test_a_host_that_takes_no_mail_is_followed_by_the_next(lab, peer, good, domain, first):
    bad = peer(f"mx1.{domain}", starttls=False, **first)
    second = good(f"mx2.{domain}")
    lab.mx(domain, f"mx1.{domain}", f"mx2.{domain}")
    lab.policy(tlsLevel="may")
    lab.submit(f"r@{domain}")
    assert lab.attempt(domain)["host"] == f"mx2.{domain}"
    assert second.wait_message() and bad.sessions and not bad.messages


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "."])
def test_what_a_host_says_about_the_message_is_the_answer_of_the_domain(lab, good, domain, verb):
    """Who says "later" does not want to hear the same question from the side door: greylisting works like this."""
    good(f"mx1.{domain}", replies={verb: "451 4.7.1 Later"})
    second = good(f"mx2.{domain}")
    lab.mx(domain, f"mx1.{domain}", f"mx2.{domain}")
    lab.policy(tlsLevel="encrypt")
    lab.submit(f"r@{domain}")
    event = lab.attempt(domain)
    assert (event["result"], event["host"], event["reason"]) == ("deferred", f"mx1.{domain}", "451 4.7.1 Later")
    assert not second.sessions


def test_a_host_that_is_not_there_is_followed_by_the_next(lab, good, domain):
    lab.zone.put(f"mx1.{domain}", {"A": [lab.address()]})
    second = good(f"mx2.{domain}")
    # The third one has no address, the fourth one does not exist.
    lab.zone.put(f"mx3.{domain}", {"TXT": ["x"]})
    lab.mx(domain, f"mx1.{domain}", f"mx3.{domain}", f"mx4.{domain}", f"mx2.{domain}")
    lab.policy(tlsLevel="encrypt")
    lab.submit(f"r@{domain}")
    assert lab.attempt(domain)["host"] == f"mx2.{domain}"
    assert second.wait_message()


def test_hosts_of_equal_preference_share_the_mail(lab, good, domain):
    sinks = [good(f"mx{number}.{domain}") for number in (1, 2)]
    last = good(f"mx9.{domain}")
    lab.mx(domain, f"10 mx1.{domain}", f"10 mx2.{domain}", f"20 mx9.{domain}")
    lab.policy(tlsLevel="encrypt")
    # One of 2^30 runs would choose the same host every time.
    for count in range(1, 32):
        lab.submit(f"r@{domain}")
        lab.attempt(domain, count, result="sent")
        if all(sink.messages for sink in sinks):
            break
    assert all(sink.messages for sink in sinks) and not last.sessions


def test_all_addresses_of_a_host_are_tried(lab, good, domain):
    sink = good(f"mx.{domain}")
    lab.zone.put(f"mx.{domain}", {"A": [lab.address(), sink.address, lab.address()]})
    lab.mx(domain, f"mx.{domain}")
    lab.policy(tlsLevel="secure")
    lab.submit(f"r@{domain}")
    assert lab.attempt(domain)["result"] == "sent" and sink.wait_message()


# --- no MX ----------------------------------------------------------------------------------------


def test_without_mx_the_domain_itself_is_the_host(lab, good, domain):
    sink = good(domain)
    lab.policy(tlsLevel="secure")
    lab.submit(f"r@{domain}")
    assert (lab.attempt(domain)["host"], lab.attempt(domain)["reached"]) == (domain, "secure")
    assert sink.wait_message() and sink.sessions[0].sni == domain


def test_an_alias_of_the_domain_is_followed(lab, good, domain):
    sink = good(f"mx.real-{domain}")
    lab.zone.put(domain, {"CNAME": [f"real-{domain}"]})
    lab.mx(f"real-{domain}", f"mx.real-{domain}")
    lab.policy(tlsLevel="verify")
    lab.submit(f"r@{domain}")
    assert lab.attempt(domain)["reached"] == "verify" and sink.wait_message()


def test_an_address_literal(lab, good, domain):
    sink = good(f"mx.{domain}")
    lab.policy(tlsLevel="encrypt")
    lab.submit(f"r@[{sink.address}]")
    assert lab.attempt(f"[{sink.address}]")["result"] == "sent"
    assert sink.wait_message().recipients == (f"r@[{sink.address}]",) and sink.sessions[0].sni is None


@pytest.mark.parametrize(
    ("records", "status"),
    [
        ({"MX": ["0 ."]}, "5.1.10"),
        (None, "5.1.2"),
        ({"TXT": ["x"]}, "5.1.2"),
    ],
    ids=["null MX", "no such domain", "no MX and no address"],
)
def test_a_domain_that_takes_no_mail_is_told_to_the_sender(lab, bounce, domain, records, status):
    if records:
        lab.zone.put(domain, records)
    lab.policy(tlsLevel="encrypt")
    lab.submit(f"r@{domain}")
    event = lab.attempt(domain)
    assert (event["result"], event["reason"].split(" ")[0]) == ("failed", status)
    report = bounce(domain)
    assert report["To"].addresses[0].addr_spec == USER and report["Return-Path"] in (None, "<>")
    status_part = next(part for part in report.walk() if part.get_content_type() == "message/delivery-status")
    text = status_part.as_string()
    assert f"Status: {status}" in text and "Action: failed" in text and f"r@{domain}" in text
    assert HOST_NAME in text


# --- loops ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["own name", "own address", "behind a better host"])
def test_mail_that_would_come_back_to_this_server_is_returned(lab, bounce, domain, how):
    if how == "own address":
        lab.zone.put(f"mx.{domain}", {"A": [lab.listener[0]]})
        lab.mx(domain, f"mx.{domain}", f"backup.{domain}")
        lab.zone.put(f"backup.{domain}", {"A": [lab.address()]})
    elif how == "own name":
        lab.mx(domain, HOST_NAME, f"backup.{domain}")
    else:
        lab.mx(domain, f"10 {HOST_NAME}", f"10 mx.{domain}")
        lab.zone.put(f"mx.{domain}", {"A": [lab.address()]})
    lab.policy(tlsLevel="may")
    lab.submit(f"r@{domain}")
    event = lab.attempt(domain)
    assert (event["result"], event["reason"].split(" ")[0]) == ("failed", "5.4.6")
    assert "5.4.6" in bounce(domain).as_string()


def test_this_server_as_backup_sends_to_the_better_host_only(lab, good, domain):
    best, worse = good(f"mx1.{domain}"), good(f"mx3.{domain}")
    lab.mx(domain, f"mx1.{domain}", HOST_NAME, f"mx3.{domain}")
    lab.policy(tlsLevel="verify")
    lab.submit(f"r@{domain}")
    assert lab.attempt(domain)["host"] == f"mx1.{domain}" and best.wait_message() and not worse.sessions


# --- name servers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [SERVFAIL, REFUSED])
@pytest.mark.parametrize("where", ["MX", "address"])
def test_a_name_server_without_an_answer_means_later(lab, domain, fault, where):
    if where == "MX":
        lab.zone.put(domain, fault)
    else:
        lab.mx(domain, f"mx.{domain}")
        lab.zone.put(f"mx.{domain}", fault)
    lab.policy(tlsLevel="may")
    lab.submit(f"r@{domain}")
    event = lab.attempt(domain)
    assert (event["result"], event["reason"][:5]) == ("deferred", "4.4.3")


def test_a_silent_name_server_means_later(lab, unanswered):
    event = lab.attempt(unanswered)
    assert (event["result"], event["reason"][:5]) == ("deferred", "4.4.3")


@pytest.mark.parametrize("fault", [None, SERVFAIL, {"TXT": ["x"]}], ids=["NXDOMAIN", "SERVFAIL", "no address"])
def test_a_relay_host_that_cannot_be_found_means_later(lab, domain, fault):
    if fault:
        lab.zone.put(f"relay.{domain}", fault)
    lab.policy(tlsLevel="may", remoteSmtpHost=f"relay.{domain}")
    lab.submit(f"r@{domain}")
    event = lab.attempt(domain)
    # Nobody's mail comes back because of a typing mistake of the administrator's.
    assert (event["result"], event["reason"][:2]) == ("deferred", "4.")


def test_a_relay_host_that_is_this_server_means_later(lab, domain):
    lab.policy(tlsLevel="may", remoteSmtpHost=f"[{lab.listener[0]}]")
    lab.submit(f"r@{domain}")
    event = lab.attempt(domain)
    assert (event["result"], event["reason"][:5]) == ("deferred", "4.3.5")


def test_a_relay_host_by_address_is_asked_for_no_name(lab, peer, domain):
    address = lab.address()
    certificate = lab.authority.issue(f"{domain}.pem", name="relay", names=[address])
    with Sink(address, lab.port, certificate=certificate) as sink:
        lab.policy(tlsLevel="verify", remoteSmtpHost=f"[{address}]")
        lab.submit(f"r@{domain}")
        assert lab.attempt(domain)["reached"] == "verify"
        assert sink.wait_session().sni is None and sink.messages
    assert not [query for query in lab.zone.queries if domain in query[0]]


def test_several_domains_of_one_message_go_their_own_ways(lab, peer, good, domain):
    here, there = f"a-{domain}", f"b-{domain}"
    first, second = good(f"mx.{here}"), peer(f"mx.{there}", starttls=False)
    lab.mx(here, f"mx.{here}")
    lab.mx(there, f"mx.{there}")
    lab.policy(f'\tif (isCase (relayDomain, "{here}")) {{ set (tlsLevel, "verify"); }}')
    number = lab.submit(f"r@{here}", f"r@{there}", USER)
    assert (lab.attempt(here)["reached"], lab.attempt(there)["reached"]) == ("verify", "clear")
    assert first.wait_message().recipients == (f"r@{here}",) and second.wait_message().recipients == (f"r@{there}",)
    assert lab.attempt(here)["id"] == lab.attempt(there)["id"] == number
