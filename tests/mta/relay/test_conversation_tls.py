# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS towards another host: every level with every kind of peer, and what may not go out before it."""

from __future__ import annotations

import dataclasses
import ssl

import pytest
import wire_certificates
from ansible_collections.securemail.smtp.plugins.module_utils._probe.sink import Sink
from conversation_harness import DOMAIN, HOST, LIMITS, Line, Scripted, server_context, talk
from postern.delivery.conversation import HostFailed, Security
from postern.rules.relay import VERSIONS

pytestmark = pytest.mark.filterwarnings("error")

LEVELS = ("none", "may", "encrypt", "verify", "secure")


@pytest.fixture(scope="module")
def certificates(authority, tmp_path_factory):
    """Certificate files by what is right or wrong about them."""
    stranger = wire_certificates.Authority(tmp_path_factory.mktemp("stranger"))
    return {
        # Named as both levels want it, and as one of them does.
        "good": authority.issue("good.pem", names=[HOST, DOMAIN]),
        "host": authority.issue("host.pem", names=["mx.elsewhere.test"]),
        "domain": authority.issue("domain.pem", names=[DOMAIN]),
        "common name": authority.issue("common.pem", name="mx.elsewhere.test", names=["x.invalid"]),
        "other": authority.issue("other.pem", name="other.invalid"),
        "expired": authority.issue("expired.pem", names=[HOST, DOMAIN], days=-1),
        "stranger": stranger.issue("stranger.pem", names=[HOST, DOMAIN]),
        "address": authority.issue("address.pem", name="x.invalid", names=["127.0.0.1"]),
    }


# What comes of each level, with each kind of peer: the level reached, "fallback", or the status of the failure.
PEERS = {
    "good": ({"certificate": "good"}, "clear encrypt encrypt verify secure"),
    "no STARTTLS": ({"starttls": False}, "clear clear 4.7.4 4.7.4 4.7.4"),
    "STARTTLS refused": ({"starttls": "refused"}, "clear fallback 4.7.4 4.7.4 4.7.4"),
    "STARTTLS refused for good": ({"starttls": "refused 554"}, "clear fallback 4.7.4 4.7.4 4.7.4"),
    "bytes behind the 220": ({"certificate": "good", "starttls": "inject"}, "clear fallback 4.7.5 4.7.5 4.7.5"),
    "no handshake": ({"starttls": "broken"}, "clear fallback 4.7.5 4.7.5 4.7.5"),
    "alert": ({"handshake": "alert"}, "clear fallback 4.7.5 4.7.5 4.7.5"),
    "closes at STARTTLS": ({"certificate": "good", "closes": "STARTTLS"}, "clear fallback 4.7.5 4.7.5 4.7.5"),
    "closes at the handshake": ({"certificate": "good", "closes": "HANDSHAKE"}, "clear fallback 4.7.5 4.7.5 4.7.5"),
    "old version": ({"certificate": "good", "versions": VERSIONS[:1] * 2}, "clear fallback 4.7.5 4.7.5 4.7.5"),
    "other name": ({"certificate": "other"}, "clear encrypt encrypt 4.7.5 4.7.5"),
    "expired": ({"certificate": "expired"}, "clear encrypt encrypt 4.7.5 4.7.5"),
    "unknown authority": ({"certificate": "stranger"}, "clear encrypt encrypt 4.7.5 4.7.5"),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", PEERS)
def test_every_level_with_every_kind_of_peer(kind, level, certificates, authority):
    behaviour, expected = PEERS[kind]
    behaviour = dict(behaviour)
    if behaviour.get("starttls") == "refused 554":
        behaviour |= {"starttls": "refused", "replies": {"STARTTLS": "554 5.7.0 never"}}
    if "certificate" in behaviour:
        behaviour["certificate"] = certificates[behaviour["certificate"]]
    wanted = expected.split()[LEVELS.index(level)]
    with Sink(**behaviour) as sink:
        if wanted.startswith("4"):
            with pytest.raises(HostFailed) as failed:
                talk(sink, level, ca_file=authority.ca_file)
            sessions = sink.wait_idle()
            assert (failed.value.status, failed.value.tls) == (wanted, True), failed.value
            assert failed.value.reason.isprintable() and failed.value.security.reached in ("clear", "encrypt")
            # Nothing is tried twice, and nothing is said but hello and goodbye.
            assert len(sessions) == 1 and set(sessions[0].verbs) <= {"EHLO", "STARTTLS", "QUIT"}
            return
        result = talk(sink, level, ca_file=authority.ca_file)
        sessions = sink.wait_idle()
        message = sink.wait_message()
    assert result.outcomes["b@example.test"].kind == "sent"
    reached = "clear" if wanted == "fallback" else wanted
    assert (result.security.reached, result.security.fallback) == (reached, wanted == "fallback")
    assert (message.protocol or "", message.cipher or "") == (result.security.protocol, result.security.cipher)
    assert len(sessions) == (2 if wanted == "fallback" else 1)
    # The second connection does not try TLS again, and says why it does not.
    assert "STARTTLS" not in sessions[-1].verbs or reached != "clear"
    assert bool(result.security.reason) is (wanted == "fallback")


@pytest.mark.parametrize("number", range(len(VERSIONS)))
def test_a_peer_with_one_version_is_met_by_a_window_that_holds_it(number, certificates):
    only = VERSIONS[number]
    with Sink(certificate=certificates["good"], versions=(only, only)) as sink:
        for first in range(len(VERSIONS)):
            for last in range(first, len(VERSIONS)):
                window = VERSIONS[first : last + 1]
                if only in window:
                    assert talk(sink, "encrypt", versions=window).security.protocol == only
                else:
                    with pytest.raises(HostFailed, match="version|cipher") as failed:
                        talk(sink, "encrypt", versions=window)
                    assert failed.value.status == "4.7.5" and failed.value.tls


def test_without_a_wish_only_versions_that_are_not_withdrawn(certificates):
    with Sink(certificate=certificates["good"], versions=("TLSv1", "TLSv1.1")) as sink:
        with pytest.raises(HostFailed):
            talk(sink, "encrypt")
        assert talk(sink, "may").security.fallback


@pytest.mark.parametrize("versions", [(), ("TLSv1.1", "TLSv1.3"), ("SSLv3",), ("TLSv1.2", "SSLv3")])
@pytest.mark.parametrize("level", ["may", "secure"])
def test_versions_that_make_no_window_never_lead_to_clear_text(versions, level, certificates):
    with Sink(certificate=certificates["good"]) as sink:
        with pytest.raises(HostFailed) as failed:
            talk(sink, level, versions=versions)
        assert sink.sessions == []
    assert failed.value.status == "4.3.5" and "TLS versions" in failed.value.reason


@pytest.mark.parametrize("level", ["", "dane", "MAY", "Fingerprint"])
def test_an_unknown_level_never_leads_to_clear_text(level):
    with Sink(starttls=False) as sink:
        with pytest.raises(HostFailed) as failed:
            talk(sink, level)
        assert sink.sessions == []
    assert failed.value.status == "4.7.5" and failed.value.tls


def test_a_missing_ca_file_is_named_and_nothing_goes_out(certificates, tmp_path):
    with Sink(certificate=certificates["good"]) as sink:
        with pytest.raises(HostFailed) as failed:
            talk(sink, "verify", ca_file=str(tmp_path / "none.pem"))
        assert sink.sessions == []
    assert failed.value.reason == f"CA file {tmp_path}/none.pem: no such file or directory"


# Certificate, level, what is asked for, and whether that will do. The host that is asked for is mx.elsewhere.test.
NAMES = [
    ("host", "verify", {}, True),
    ("domain", "verify", {}, False),
    ("common name", "verify", {}, False),
    ("host", "secure", {}, False),
    ("domain", "secure", {}, True),
    ("good", "secure", {}, True),  # mx.example.test is below example.test
    ("good", "secure", {"match": ("other.test", ".example.test")}, True),
    ("domain", "secure", {"match": (".example.test",)}, False),
    ("host", "secure", {"match": ("mx.elsewhere.test",)}, True),
    ("domain", "secure", {"match": ("mx.elsewhere.test",)}, False),
    ("host", "secure", {"relay_host": "mx.elsewhere.test"}, True),
    ("domain", "secure", {"relay_host": "mx.elsewhere.test"}, False),
    ("domain", "secure", {"relay_host": "mx.elsewhere.test", "match": ("example.test",)}, True),
    ("address", "verify", {"literal": True}, True),
    ("good", "verify", {"literal": True}, False),
    ("address", "secure", {"literal": True, "relay_host": "127.0.0.1"}, True),
    ("address", "secure", {"literal": True, "domain": "[127.0.0.1]"}, True),
    ("good", "secure", {"literal": True, "domain": "[127.0.0.1]"}, False),
]


@pytest.mark.parametrize("certificate, level, asked, enough", NAMES)
def test_the_names_that_a_level_wants(certificate, level, asked, enough, certificates, authority):
    asked = {"host": "mx.elsewhere.test"} | asked
    literal = asked.get("literal", False)
    if literal:
        del asked["host"]
    with Sink(certificate=certificates[certificate]) as sink:
        if enough:
            result = talk(sink, level, ca_file=authority.ca_file, **asked)
            assert result.security.reached == level
        else:
            with pytest.raises(HostFailed, match="the peer's certificate is for none of these names: ") as failed:
                talk(sink, level, ca_file=authority.ca_file, **asked)
            assert failed.value.status == "4.7.5" and failed.value.tls
            # TLS there was, with somebody.
            assert failed.value.security.reached == "encrypt" and failed.value.security.subject
        # RFC 6066 section 3: host names only. At "secure" too it is the name of the host.
        assert sink.wait_session().sni == (None if literal else "mx.elsewhere.test")


def test_a_weak_key_is_better_than_clear_text_and_proves_nothing(authority):
    def act(line: Line):
        line.hello(b"STARTTLS")
        line.answer(b"220 go")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("AES128-SHA:@SECLEVEL=0")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(weak)
        line.tls(context)
        line.answer(b"250 me", b"550 no", b"221 bye")

    weak = authority.issue("weak.pem", wire_certificates.rsa_key(1024), names=[HOST, DOMAIN])
    with Scripted(act) as peer:
        for level in ("may", "encrypt"):
            security = talk(peer, level).security
            assert (security.reached, security.cipher, security.fallback) == ("encrypt", "AES128-SHA", False)
        with pytest.raises(HostFailed) as failed:
            talk(peer, "verify", ca_file=authority.ca_file)
    assert failed.value.status == "4.7.5" and failed.value.tls


def test_the_subject_is_told_whether_or_not_it_was_verified(certificates, authority):
    with Sink(certificate=certificates["other"]) as sink:
        assert talk(sink, "may").security.subject == "CN=other.invalid"
    with Sink(certificate=certificates["good"]) as sink:
        security = talk(sink, "verify", ca_file=authority.ca_file).security
    assert security == Security("verify", "TLSv1.3", security.cipher, "CN=mx.example.test", verified="mx.example.test")


@pytest.mark.parametrize("hello", [[b"250 me"], [b"502 what?", b"250 me"]], ids=["EHLO", "HELO"])
def test_what_was_learned_before_tls_is_forgotten(hello, certificates):
    def act(line: Line):
        line.hello(b"STARTTLS", b"SIZE 1", b"8BITMIME")
        line.answer(b"220 go")
        line.tls(server_context(certificates["good"]))
        said.extend(line.answer(*hello, b"250 OK", b"550 no", b"221 bye"))

    said: list[bytes] = []
    with Scripted(act) as peer:
        # The message is too large for the first answer, which anybody may have written.
        assert talk(peer, "encrypt", eight_bit=True).outcomes["b@example.test"].code == 550
    assert said[len(hello)] == b"MAIL FROM:<sender@client.test>"


def test_bytes_behind_the_220_in_a_segment_of_their_own(certificates):
    def act(line: Line):
        line.hello(b"STARTTLS")
        line.line()
        line.send(b"220 go\r\n")
        # Clear text where the client's handshake is awaited, whichever comes first.
        line.send(b"250 injected\r\n")
        line.hang()

    with Scripted(act) as peer, pytest.raises(HostFailed) as failed:
        talk(peer, "encrypt")
    assert failed.value.status == "4.7.5" and failed.value.tls


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_peer_that_refuses_us_behind_the_handshake_has_failed_by_tls(version, certificates):
    """It demands a certificate of ours; with TLS 1.3 we hear of that when we think that all is well."""

    def act(line: Line):
        line.hello(b"STARTTLS")
        line.answer(b"220 go")
        line.tls(server_context(certificates["good"], verify_mode=ssl.CERT_REQUIRED, maximum_version=version))

    def in_clear(line: Line):
        line.hello(b"STARTTLS")
        line.answer(b"550 no", b"221 bye")

    with Scripted(act) as peer, pytest.raises(HostFailed) as failed:
        talk(peer, "encrypt")
    with Scripted(act, in_clear) as peer:
        assert talk(peer, "may").security.fallback
    assert failed.value.status == "4.7.5" and failed.value.tls and failed.value.security.reached == "clear"


def test_an_error_behind_the_handshake_that_is_not_of_tls(certificates):
    with Sink(certificate=certificates["good"], closes="MAIL") as sink:
        with pytest.raises(HostFailed) as failed:
            talk(sink, "may")
        assert len(sink.wait_idle()) == 1
    assert failed.value.status == "4.4.2" and not failed.value.tls and failed.value.security.reached == "encrypt"


@pytest.mark.parametrize("level", ["none", "may", "encrypt", "verify"])
def test_implicit_tls(level, certificates, authority):
    with Sink(certificate=certificates["good"], implicit=True) as sink:
        result = talk(sink, level, implicit=True, ca_file=authority.ca_file)
        session = sink.wait_session()
    assert result.security.reached == ("verify" if level == "verify" else "encrypt")
    assert session.clear_verbs == () and session.sni == HOST
    assert session.verbs == ("EHLO", "MAIL", "RCPT", "DATA", "QUIT")


@pytest.mark.parametrize("behaviour", [{"starttls": False}, {"implicit": True, "handshake": "garbage"}])
def test_there_is_no_clear_text_on_a_port_of_implicit_tls(behaviour):
    with Sink(**behaviour) as sink:
        with pytest.raises(HostFailed) as failed:
            talk(sink, "may", implicit=True)
        sessions = sink.wait_idle()
        # Whatever a server of clear text makes of a handshake, it is not our name.
        assert len(sessions) == 1 and "EHLO" not in sessions[0].verbs
    assert failed.value.status == "4.7.5" and failed.value.tls


def test_a_greeting_in_the_segment_of_the_handshake_is_heard(certificates):
    """With TLS 1.2 the server ends the handshake and may speak at once."""

    def act(line: Line):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = server_context(certificates["good"], maximum_version=ssl.TLSVersion.TLSv1_2)
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                line.send(outgoing.read())
                incoming.write(line.read())
        tls.write(b"521 we take no mail\r\n")
        line.send(outgoing.read())
        line.hang()

    with Scripted(act) as peer, pytest.raises(HostFailed) as failed:
        talk(peer, "encrypt", implicit=True)
    assert failed.value.reason == "refused at the greeting: 521 we take no mail"


def test_a_silent_handshake_is_left_at_its_limit(certificates):
    limits = dataclasses.replace(LIMITS, handshake=0.2)
    with Sink(certificate=certificates["good"], silent="HANDSHAKE") as sink:
        with pytest.raises(HostFailed) as failed:
            talk(sink, "encrypt", limits=limits)
        assert failed.value.reason == "no TLS handshake within 0.2 s" and failed.value.status == "4.7.5"
        assert talk(sink, "may", limits=limits).security.fallback


def test_a_name_that_tls_cannot_carry_is_a_failure_of_tls(certificates):
    with Sink(certificate=certificates["good"]) as sink, pytest.raises(HostFailed) as failed:
        talk(sink, "encrypt", host="x" * 64 + ".test")
    assert failed.value.tls and failed.value.status == "4.7.5"
