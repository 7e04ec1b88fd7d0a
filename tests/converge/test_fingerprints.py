# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail that goes to known certificates and keys only: the tasks, the script that they make, and what goes over the wire."""

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.securemail.smtp.tests.mta.relay.relay_lab import ADMIN_PASSWORD, Lab
from ansible_collections.securemail.smtp.tests.mta.wire_certificates import Authority
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mta_process import call
from test_relay import decided
from test_steps import Walk

KEYS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]
CANONICAL = [bytes.fromhex(key).hex(":").upper() for key in KEYS]


@pytest.fixture
def walk(mta, run):
    return Walk(mta, run)


def test_a_domain(walk, mta):
    def step(changed, **parameters):
        given = dict({"domain": "partner.test", "direction": "outbound"}, **parameters)
        return walk.step("smtp_forced_tls_domain", changed, **given)["forced_tls_domains"]

    (rule,) = step(True, level="fingerprint", fingerprints=KEYS[:2], versions=["1.3"])
    assert (rule["level"], rule["fingerprints"], rule["match"]) == ("fingerprint", sorted(CANONICAL[:2]), [])
    assert (decided(mta).level, decided(mta).fingerprints) == ("fingerprint", tuple(sorted(CANONICAL[:2])))
    assert b'set (tlsFingerprints, "%s ");' % " ".join(sorted(CANONICAL[:2])).encode() in mta.script()
    step(False, fingerprints=["sha256:" + KEYS[1], CANONICAL[0], KEYS[0].upper()])
    step(False, level="fingerprint")
    step(False)
    assert step(True, fingerprints=KEYS[2:])[0]["fingerprints"] == CANONICAL[2:]
    assert step(True, level="secure", match=["mx.test"])[0]["fingerprints"] == []
    assert (decided(mta).level, decided(mta).match, decided(mta).fingerprints) == ("secure", ("mx.test",), ())
    # Many at once, in one rule, and the gathered document as input.
    many = {"domains": ["a.test", "b.test"], "direction": "outbound", "level": "fingerprint", "fingerprints": KEYS}
    walk.step("smtp_forced_tls_domain", True, **many, form="compact")
    assert decided(mta, "b.test").fingerprints == tuple(sorted(CANONICAL))
    gathered = walk.state()["forced_tls_domains"]
    walk.step("smtp_policy", False, forced_tls_domains=gathered, prune=True)
    walk.step("smtp_policy", True, forced_tls_domains=gathered[:1], prune=True)
    walk.step("smtp_policy", True, forced_tls_domains=gathered, prune=True)
    assert walk.state()["forced_tls_domains"] == gathered


def test_the_default_for_all_mail(walk, run, mta):
    def step(changed, **parameters):
        return walk.step("smtp_relay_tls", changed, **dict({"name": "all"}, **parameters))["rule"]

    assert step(True, level="fingerprint", fingerprints=KEYS[:1])["fingerprints"] == CANONICAL[:1]
    assert (decided(mta).level, decided(mta).fingerprints) == ("fingerprint", tuple(CANONICAL[:1]))
    step(False, level="fingerprint")
    # A domain of which nothing else is said has what all have, and one that has less is an exception.
    (rule,) = run("smtp_forced_tls_domain", domain="partner.test", direction="outbound")["forced_tls_domains"]
    assert (rule["level"], rule["fingerprints"]) == ("fingerprint", CANONICAL[:1])
    weaker = {"domain": "partner.test", "direction": "outbound", "level": "secure"}
    said = run("smtp_forced_tls_domain", **weaker)["msg"]
    assert "partner.test outbound at level secure is an exception from rule all" in said and "fingerprint" in said
    walk.step("smtp_forced_tls_domain", True, **weaker, reason="they change it daily")
    assert (decided(mta).level, decided(mta).match, decided(mta).fingerprints) == ("secure", (), ())
    assert decided(mta, "other.test").level == "fingerprint"
    assert step(True, level="secure", match=[".mx.test"])["match"] == [".mx.test"]
    assert (decided(mta, "other.test").match, decided(mta).match) == ((".mx.test",), ())
    assert step(True, level="verify")["match"] == []
    assert decided(mta, "other.test").level == "verify" and decided(mta).level == "secure"
    run("smtp_relay_tls", name="all", state="absent")
    run("smtp_forced_tls_domain", domain="weak.test", direction="outbound", level="encrypt")
    refused = run("smtp_relay_tls", name="all", level="verify")
    assert refused["failed"] and "would make exceptions of rules" in refused["msg"] and "weak.test" in refused["msg"]


def fingerprint(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


def test_what_goes_out(tmp_path):
    """One peer whose certificate is named, one whose key is, and two whose certificates are the authority's word only."""
    for name in ("lab", "certificates"):
        (tmp_path / name).mkdir()
    with Lab(tmp_path / "lab", Authority(tmp_path / "certificates")) as lab:
        known, files = {}, {}
        for name in ("cert.test", "key.test", "other.test", "nobody.test"):
            files[name] = lab.certificate("mx." + name)
            with open(files[name], "rb") as file:
                known[name] = x509.load_pem_x509_certificate(file.read())
        public = known["key.test"].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        connection = {"admin_port": lab.server.port, "admin_password": ADMIN_PASSWORD}
        pinned = {"direction": "outbound", "level": "fingerprint"}
        own = fingerprint(known["cert.test"].public_bytes(Encoding.DER))
        domains = [
            dict(pinned, domain="cert.test", fingerprints=[KEYS[0], own]),
            dict(pinned, domain="key.test", fingerprints=[fingerprint(public)]),
            dict(pinned, domain="other.test", fingerprints=KEYS),
        ]
        everything = [{"name": "all", "level": "fingerprint", "fingerprints": [own]}]
        wish = dict(connection, forced_tls_domains=domains, relay_tls=everything)
        assert [call("smtp_policy", wish, False)["changed"] for _run in range(2)] == [True, False]
        for domain, sent in (("cert.test", True), ("key.test", True), ("other.test", False), ("nobody.test", False)):
            with lab.peer("mx." + domain, certificate=files[domain]) as peer:
                lab.mx(domain, "mx." + domain)
                lab.submit("somebody@" + domain)
                event = lab.attempt(domain)
                messages = [message for session in peer.wait_idle() for message in session.messages]
            assert event["level"] == "fingerprint" and bool(messages) is sent, event
            if sent:
                assert (event["result"], event["reached"]) == ("sent", "fingerprint"), event
            else:
                assert event["result"] != "sent" and event["reason"].startswith("4.7."), event
