# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Level "fingerprint": a peer is who has a certificate or a key that the policy knows; nothing else counts."""

from __future__ import annotations

import ssl

import pytest
import wire_certificates
from ansible_collections.securemail.smtp.plugins.module_utils._probe.sink import Sink
from conversation_harness import DOMAIN, HOST, Line, Scripted, server_context, talk
from postern.delivery.conversation import HostFailed
from postern.delivery.peer_tls import fingerprints, is_pinned
from postern.rules.relay import fingerprint
from wire_fingerprints import of_certificate, of_key

pytestmark = pytest.mark.filterwarnings("error")

LOGIN_USER, LOGIN_PASSWORD = "relay@example.test", "zebra crossing"
#: Of nobody.
STRANGE = bytes(range(32)).hex(":").upper()


@pytest.fixture(scope="module")
def certificates(authority, tmp_path_factory):
    """Certificate files by what other levels would find wrong about them."""
    stranger = wire_certificates.Authority(tmp_path_factory.mktemp("stranger"))
    return {
        "good": authority.issue("pinned-good.pem", names=[HOST, DOMAIN]),
        "self-signed": authority.issue_self_signed("pinned-self.pem", HOST),
        "wrong name": authority.issue("pinned-name.pem", name="mx.somebody-else.test"),
        "expired": authority.issue("pinned-expired.pem", names=[HOST], days=-1),
        "unknown authority": stranger.issue("pinned-stranger.pem", names=[HOST]),
        "RSA": stranger.issue("pinned-rsa.pem", wire_certificates.rsa_key(), names=[HOST]),
    }


KINDS = ("good", "self-signed", "wrong name", "expired", "unknown authority", "RSA")


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("kind", KINDS)
def test_whoever_has_a_known_certificate_or_key_gets_the_mail_and_nobody_else(kind, version, certificates, authority):
    path = certificates[kind]
    asked = {"ca_file": authority.ca_file}
    with Sink(certificate=path, versions=(version, version)) as sink:
        for known in (of_certificate(path), of_key(path)):
            result = talk(sink, "fingerprint", fingerprints=(STRANGE, fingerprint(known)), **asked)
            assert result.outcomes["b@example.test"].kind == "sent"
            assert (result.security.reached, result.security.protocol) == ("fingerprint", version)
            assert result.security.fingerprint == of_certificate(path)
        sink.wait_idle()
        assert len(sink.messages) == 2
        # A trusted authority and the right name are no substitute.
        for unknown in ((STRANGE,), ()):
            with pytest.raises(HostFailed) as failed:
                talk(sink, "fingerprint", fingerprints=unknown, **asked)
            assert (failed.value.status, failed.value.tls) == ("4.7.5", True)
            assert failed.value.reason == "the peer's certificate has none of the fingerprints of the policy"
            # TLS there was, with somebody, and the log says with whom.
            assert failed.value.security.reached == "encrypt"
            assert failed.value.security.fingerprint == of_certificate(path)
        sessions = sink.wait_idle()
    assert len(sessions) == 4 and len(sink.messages) == 2
    assert [session.verbs for session in sessions[2:]] == [("EHLO", "STARTTLS", "QUIT")] * 2
    assert {session.sni for session in sessions} == {HOST}


def test_a_rotated_certificate_is_known_by_its_key_or_by_the_second_fingerprint(authority):
    key = wire_certificates.rsa_key()
    old, new = (authority.issue(f"rotated-{name}.pem", key, names=[HOST]) for name in ("old", "new"))
    other = authority.issue("rotated-key.pem", names=[HOST])
    assert of_certificate(old) != of_certificate(new) and of_key(old) == of_key(new) != of_key(other)
    for path, known, good in (
        (new, (of_key(old),), True),
        (new, (of_certificate(old),), False),
        (other, (of_certificate(old), of_certificate(other)), True),
        (other, (of_certificate(old), of_key(old)), False),
    ):
        with Sink(certificate=path) as sink:
            known = tuple(fingerprint(each) for each in known)
            if good:
                assert talk(sink, "fingerprint", fingerprints=known).security.reached == "fingerprint"
            else:
                with pytest.raises(HostFailed):
                    talk(sink, "fingerprint", fingerprints=known)


def test_the_fingerprint_of_the_authority_is_not_that_of_its_customers(certificates, authority):
    """Levels of other programs take it; here one certificate is meant, and nobody is let in by a signature."""
    with Sink(certificate=certificates["good"]) as sink, pytest.raises(HostFailed):
        talk(sink, "fingerprint", fingerprints=(fingerprint(of_certificate(authority.ca_file)),))


@pytest.mark.parametrize("behaviour", [
    {"starttls": False}, {"starttls": "refused"}, {"starttls": "broken"}, {"starttls": "inject"},
    {"handshake": "alert"}, {"closes": "HANDSHAKE"}, {"versions": ("TLSv1", "TLSv1.1")},
], ids=str)  # fmt: skip
def test_nothing_goes_out_in_clear(behaviour, certificates):
    with Sink(certificate=certificates["good"], **behaviour) as sink:
        with pytest.raises(HostFailed) as failed:
            talk(sink, "fingerprint", fingerprints=(fingerprint(of_certificate(certificates["good"])),))
        sessions = sink.wait_idle()
    assert failed.value.status in ("4.7.4", "4.7.5") and failed.value.tls
    assert len(sessions) == 1 and set(sessions[0].verbs) <= {"EHLO", "STARTTLS", "QUIT"}


def test_a_known_key_behind_a_weak_handshake_proves_nothing(authority):
    """Without forward secrecy, whoever gets the key later reads the mail of today."""

    def act(line: Line):
        line.hello(b"STARTTLS")
        line.answer(b"220 go")
        context = server_context(path, maximum_version=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers("AES128-GCM-SHA256")
        line.tls(context)
        line.answer(b"250 me", b"550 no", b"221 bye")

    path = authority.issue("pinned-weak.pem", wire_certificates.rsa_key(), names=[HOST])
    with Scripted(act) as peer:
        assert talk(peer, "encrypt").security.cipher == "AES128-GCM-SHA256"
        with pytest.raises(HostFailed) as failed:
            talk(peer, "fingerprint", fingerprints=(fingerprint(of_key(path)),))
    assert failed.value.status == "4.7.5" and failed.value.tls


@pytest.mark.parametrize("way", [
    {"relay_host": HOST}, {"relay_host": HOST, "implicit": True}, {"relay_host": "127.0.0.1", "literal": True},
    {"domain": "[127.0.0.1]", "literal": True},
], ids=["relay host", "implicit TLS", "address of a relay host", "address literal"])  # fmt: skip
def test_a_login_waits_for_the_check_whatever_the_way(way, certificates):
    path = certificates["wrong name"]
    login = {"user": LOGIN_USER, "password": LOGIN_PASSWORD} if "relay_host" in way else {}
    auth = {"auth": {LOGIN_USER: LOGIN_PASSWORD}} if login else {}
    with Sink(certificate=path, implicit=way.get("implicit", False), **auth) as sink:
        with pytest.raises(HostFailed):
            talk(sink, "fingerprint", fingerprints=(STRANGE,), **login, **way)
        (session,) = sink.wait_idle()
        assert not session.logins and "AUTH" not in session.verbs and not sink.messages
        result = talk(sink, "fingerprint", fingerprints=(fingerprint(of_key(path)),), **login, **way)
        assert result.security.reached == "fingerprint"
        session = sink.wait_idle()[-1]
    assert session.sni == (None if way.get("literal") else HOST)
    assert session.clear_verbs == (() if "implicit" in way else ("EHLO", "STARTTLS"))
    assert [found.user for found in sink.messages] == [LOGIN_USER if login else None]


def test_what_is_no_certificate_is_known_to_nobody():
    assert fingerprints(None) == fingerprints(b"") == () and not is_pinned(None, (STRANGE,))
    assert len(fingerprints(b"\x30\x03\x02\x01\x01")) == 1 and not is_pinned(b"junk", ())


def test_the_log_names_the_level_asked_and_the_one_reached(lab, peer, domain):
    path = lab.authority.issue_self_signed(f"{domain}.pem", "x.invalid")
    first = peer(f"mx1.{domain}", certificate=lab.certificate(f"mx1.{domain}"))
    second = peer(f"mx2.{domain}", certificate=path)
    lab.mx(domain, first.behaviour.name, second.behaviour.name)
    lab.policy(tlsLevel="fingerprint", tlsFingerprints=f"sha256:{STRANGE} {of_key(path)} ")
    lab.submit(f"r@{domain}")
    # The level holds for the second exchanger as for the first: see who got the mail.
    failed, event = lab.events.wait("relay.host", domain=domain), lab.attempt(domain)
    assert (failed["level"], failed["host"]) == ("fingerprint", first.behaviour.name)
    assert failed["reason"] == "4.7.5 the peer's certificate has none of the fingerprints of the policy"
    assert (event["level"], event["reached"], event["result"]) == ("fingerprint", "fingerprint", "sent")
    assert (event["host"], event["fingerprint"]) == (second.behaviour.name, of_certificate(path))
    assert (len(first.messages), len(second.messages)) == (0, 1)
