# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Three contracts that say "TLS with a verified certificate", and the peers that an auditor would send instead."""

from __future__ import annotations

import pytest
import wire_fingerprints

#: A bank names its hosts, a hospital is hosted elsewhere, a factory has an authority of its own.
RULES = """
    if (isCase (relayDomain, "bank.test")) {
        set (tlsLevel, "secure"); set (tlsMatch, "mx1.bank.test mx2.bank.test ");
        set (allowedSSLVersions, "tls12 tls13 ");
    }
    if (isCase (relayDomain, "klinik.test")) { set (tlsLevel, "secure"); set (tlsMatch, ".mail.hosting.test "); }
    if (isCase (relayDomain, "werk.test")) { set (tlsLevel, "fingerprint"); set (tlsFingerprints, "sha256:PINNED"); }
"""

HOSTS = {"bank.test": "mx1.bank.test", "klinik.test": "c1.mail.hosting.test", "werk.test": "gate.werk.test"}
#: Domain, names in the certificate, how the peer behaves, the status while the mail waits (empty: it was sent).
PEERS = [
    ("bank.test", "mx1.bank.test", {}, ""), ("bank.test", "mx2.bank.test", {}, ""),
    ("bank.test", "mx3.bank.test", {}, "4.7.5"), ("bank.test", "mx.other.test", {}, "4.7.5"),
    ("bank.test", "bank.test", {}, "4.7.5"), ("bank.test", "expired", {}, "4.7.5"),
    ("bank.test", "self-signed", {}, "4.7.5"),
    ("bank.test", "mx1.bank.test", {"starttls": False}, "4.7.4"),
    ("bank.test", "mx1.bank.test", {"starttls": "refused"}, "4.7.4"),
    ("bank.test", "mx1.bank.test", {"closes": "HANDSHAKE"}, "4.7.5"),
    ("bank.test", "mx1.bank.test", {"versions": ("TLSv1", "TLSv1.1")}, "4.7.5"),
    ("klinik.test", "c1.mail.hosting.test", {}, ""), ("klinik.test", "*.mail.hosting.test", {}, ""),
    ("klinik.test", "c1.mail.hosting.test.evil.test", {}, "4.7.5"), ("klinik.test", "klinik.test", {}, "4.7.5"),
    ("werk.test", "pinned", {}, ""), ("werk.test", "gate.werk.test", {}, "4.7.5"),
]  # fmt: skip


@pytest.fixture(scope="module")
def contracts(lab):
    """The lab with the three rules; returns what makes a certificate file."""
    own = {
        "expired": lab.authority.issue("contract-expired.pem", names=["mx1.bank.test"], days=-1),
        "self-signed": lab.authority.issue_self_signed("contract-self.pem", "mx1.bank.test"),
        "pinned": lab.authority.issue_self_signed("contract-pinned.pem", "gate.werk.test"),
    }
    lab.policy(RULES.replace("PINNED", wire_fingerprints.of_certificate(own["pinned"])))
    return lambda name: own.get(name) or lab.authority.issue("contract.pem", name="x.invalid", names=[name])


@pytest.mark.parametrize(("domain", "certificate", "behaviour", "status"), PEERS, ids=str)
def test_who_gets_the_mail_of_a_partner(lab, peer, contracts, domain, certificate, behaviour, status):
    seen = len(lab.events.all("relay.attempt", domain=domain))
    path = contracts(certificate)
    sink = peer(HOSTS[domain], certificate=path, **behaviour)
    lab.mx(domain, HOSTS[domain])
    number = lab.submit(f"r@{domain}")
    event = lab.attempt(domain, seen + 1)
    (session,) = sink.wait_idle()
    level = "fingerprint" if domain == "werk.test" else "secure"
    assert (event["id"], event["level"], event["host"]) == (number, level, HOSTS[domain])
    if status:
        # It waits, for as long as any other mail: a partner may mend what is wrong.
        assert (event["result"], event["reason"][:5]) == ("deferred", status)
        assert event["reached"] in ("clear", "encrypt") and event["retry"] > 0
        assert not sink.messages and set(session.verbs) <= {"EHLO", "STARTTLS", "QUIT"}
        assert lab.events.all("relay.notification", about=number) == [] and event["verified"] == ""
        return
    (message,) = sink.messages
    assert (event["result"], event["reached"], session.sni) == ("sent", level, HOSTS[domain])
    assert (event["protocol"], event["cipher"]) == (message.protocol, message.cipher)
    assert event["verified"] == ("" if level == "fingerprint" else certificate)
    assert event["fingerprint"] == (wire_fingerprints.of_certificate(path) if level == "fingerprint" else "")
