# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import socket

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._probe.sasl import ScramSha256, mechanism
from ansible_collections.securemail.smtp.plugins.module_utils._probe.library import lenient_context, verifying_context
from ansible_collections.securemail.smtp.plugins.module_utils._probe.reply import CertificateRefused, Unobservable
from ansible_collections.securemail.smtp.plugins.module_utils._probe.smtp import Conversation
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.twin import (
    ACCOUNT,
    PASSWORD,
    SERVER_NAME,
    Server,
    smtp_twin,
)

MECHANISMS = ("PLAIN", "LOGIN", "SCRAM-SHA-256")


def talk(server, timeout=5.0):
    return Conversation("127.0.0.1", server.port, timeout, SERVER_NAME)


def test_banner_ehlo_and_commands():
    with smtp_twin() as server, talk(server) as conversation:
        assert (conversation.connect().code, conversation.tls_version, conversation.cipher) == (220, None, None)
        assert conversation.ehlo("me.test") == {"PIPELINING": "", "8BITMIME": ""}
        reply = conversation.command("MAIL FROM:<>")
        assert (reply.code, reply.enhanced, reply.text) == (250, "2.1.0", "OK")


def test_starttls_and_implicit_tls(authority):
    context = authority.context()
    with smtp_twin(context=context) as server, talk(server) as conversation:
        conversation.connect()
        conversation.ehlo()
        assert conversation.starttls(verifying_context(authority.ca_file)).code == 220
        assert conversation.tls_version == "TLSv1.3"
        assert conversation.ehlo_reply is None
        assert conversation.ehlo()["AUTH"] == "PLAIN LOGIN"
    with smtp_twin(context=context, implicit=True) as server, talk(server) as conversation:
        assert conversation.connect(implicit=verifying_context(authority.ca_file)).code == 220
        assert conversation.cipher.startswith("TLS_")
        assert conversation.certificate


def test_a_refused_starttls_leaves_the_conversation_in_clear():
    with smtp_twin() as server, talk(server) as conversation:
        conversation.connect()
        assert conversation.starttls(lenient_context()).code == 502
        assert conversation.command("NOOP").code == 250


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3"])
def test_the_lenient_context_speaks_every_version_of_tls(authority, version):
    context = authority.context(version, version, kind="rsa")
    with smtp_twin(context=context, implicit=True) as server, talk(server) as conversation:
        conversation.connect(implicit=lenient_context())
        assert conversation.tls_version == version.replace("_", ".")


@pytest.mark.parametrize("different, words", [
    ({"name": "other.example.test"}, "mail.example.test"),
    ({"days": -1}, "expired"),
])
def test_a_bad_certificate_is_named(authority, different, words):
    with smtp_twin(context=authority.context(**different), implicit=True) as server, talk(server) as conversation:
        with pytest.raises(CertificateRefused, match=words):
            conversation.connect(implicit=verifying_context(authority.ca_file))


def test_an_unknown_authority_and_a_missing_ca_file(authority):
    with smtp_twin(context=authority.context(), implicit=True) as server, talk(server) as conversation:
        with pytest.raises(CertificateRefused, match="local issuer"):
            conversation.connect(implicit=verifying_context(None))
    with pytest.raises(Unobservable, match="CA file /nowhere.pem: No such file"):
        verifying_context("/nowhere.pem")


# ---- AUTH


@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("name", MECHANISMS)
@pytest.mark.parametrize("password, code", [(PASSWORD, 235), ("wrong", 535)])
def test_login(authority, name, initial, password, code):
    with smtp_twin(context=authority.context(), implicit=True, tls_mechanisms=MECHANISMS) as server:
        with talk(server) as conversation:
            conversation.connect(implicit=lenient_context())
            conversation.ehlo()
            assert conversation.auth(name, ACCOUNT, password, initial).code == code


def test_scram_refuses_a_server_that_does_not_know_the_password(authority):
    with smtp_twin(context=authority.context(), implicit=True, tls_mechanisms=MECHANISMS, scram_lies=True) as server:
        with talk(server) as conversation:
            conversation.connect(implicit=lenient_context())
            conversation.ehlo()
            with pytest.raises(Unobservable, match="signature is wrong"):
                conversation.auth("SCRAM-SHA-256", ACCOUNT, PASSWORD)


def test_scram_refuses_a_server_that_skips_its_proof():
    with smtp_twin(overrule={"AUTH": "235 2.7.0 Come in"}) as server, talk(server) as conversation:
        conversation.connect()
        with pytest.raises(Unobservable, match="without its own SCRAM signature"):
            conversation.auth("SCRAM-SHA-256", ACCOUNT, PASSWORD)


def test_scram_example_of_rfc_7677():
    attempt = ScramSha256("user", "pencil")
    attempt._nonce = b"rOprNGfwEbeRWgbNEkqO"
    attempt._bare = b"n=user,r=rOprNGfwEbeRWgbNEkqO"
    first = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    assert attempt.step(first) == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert attempt.step(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") == b""
    attempt.succeeded()


@pytest.mark.parametrize("challenge", ["334 !!!", "334 cj0=", "334 " + base64.b64encode(b"r=x,s=AAAA,i=4096").decode()])
def test_a_broken_scram_challenge_is_the_servers_fault(challenge):
    with smtp_twin(overrule={"AUTH": challenge}) as server, talk(server) as conversation:
        conversation.connect()
        with pytest.raises(Unobservable) as caught:
            conversation.auth("SCRAM-SHA-256", ACCOUNT, PASSWORD)
        assert caught.value.side == "server reply"


def test_no_secret_in_reprs_errors_or_replies():
    plain = base64.b64encode(b"\0%s\0%s" % (ACCOUNT.encode(), PASSWORD.encode())).decode()
    with smtp_twin(overrule={"AUTH": "501 bad AUTH PLAIN %s for %s" % (plain, PASSWORD)}) as server:
        with talk(server) as conversation:
            conversation.connect()
            reply = conversation.auth("PLAIN", ACCOUNT, PASSWORD)
            shown = "%s %r %r %r" % (reply, reply, conversation, mechanism("PLAIN", ACCOUNT, PASSWORD))
            assert PASSWORD not in shown
            assert plain not in shown
            assert "********" in shown


@pytest.mark.parametrize("name", ["CRAM-MD5", ""])
def test_a_mechanism_that_the_probe_does_not_speak(name):
    with pytest.raises(ValueError, match="does not speak"):
        mechanism(name, "user", "password")


# ---- being polite


def test_nothing_is_sent_before_the_banner():
    early = []

    def late(sock):
        sock.settimeout(0.3)
        try:
            early.append(sock.recv(1))
        except socket.timeout:
            pass
        sock.settimeout(5)
        sock.sendall(b"220 late.test\r\n")
        assert sock.recv(100) == b"QUIT\r\n"
        sock.sendall(b"221 Bye\r\n")

    with Server(late) as server, talk(server) as conversation:
        assert conversation.connect().text == "late.test"
    assert early == []


def test_a_reply_may_come_in_pieces_and_one_command_is_sent_at_a_time():
    seen = []

    def pieces(sock):
        for byte in b"220-one\r\n220 two\r\n":
            sock.sendall(bytes([byte]))
        seen.append(sock.recv(1000))
        sock.sendall(b"250-2.0.0 first\r\n250 2.0.0 second\r\n")
        seen.append(sock.recv(1000))
        sock.sendall(b"221 2.0.0 Bye\r\n")

    with Server(pieces) as server, talk(server) as conversation:
        assert conversation.connect().lines == ("one", "two")
        reply = conversation.command("NOOP")
        assert (reply.enhanced, reply.text) == ("2.0.0", "first second")
    assert seen == [b"NOOP\r\n", b"QUIT\r\n"]


@pytest.mark.parametrize("line", ["RSET\r\nNOOP", "NOOP\n", "NOOP\0"])
def test_a_command_is_one_line(line):
    with smtp_twin() as server, talk(server) as conversation:
        conversation.connect()
        with pytest.raises(ValueError, match="one line"):
            conversation.command(line)


# ---- what cannot be observed


@pytest.mark.parametrize(
    "answer, side, words",
    [
        (b"421 4.7.0 Too many connections\r\n", "server busy", "421 4.7.0 Too many connections"),
        (b"", "server closed", "connection closed instead of the banner"),
        (b"220 no end of line", "server closed", "connection closed"),
        (b"SSH-2.0-OpenSSH_9\r\n", "server reply", "banner is not SMTP: 'SSH-2.0-OpenSSH_9'"),
        (b"220-one\r\n250 two\r\n", "server reply", "not SMTP"),
        (b"220 " + b"x" * 9000, "server reply", "more than 8192 bytes"),
        (b"220-x\r\n" * 300, "server reply", "more than 256 lines"),
        (b"\x15\x03\x01\x00\x02\x02\x46\r\n", "server reply", "not SMTP"),
    ],
)
def test_banners_that_are_none(answer, side, words):
    with Server(lambda sock: sock.sendall(answer)) as server, talk(server) as conversation:
        with pytest.raises(Unobservable) as caught:
            conversation.connect()
        assert caught.value.side == side
        assert words in str(caught.value)


def test_silence_ends_at_the_deadline():
    with Server(lambda sock: sock.recv(1)) as server, talk(server, 0.2) as conversation:
        with pytest.raises(Unobservable, match=r"no answer in 0.2 s \(network\)"):
            conversation.connect()


def test_a_drip_of_bytes_does_not_move_the_deadline():
    def drip(sock):
        while True:
            sock.sendall(b"2")
            sock.settimeout(0.05)
            try:
                if not sock.recv(1):
                    return
            except socket.timeout:
                pass

    with Server(drip) as server, talk(server, 0.4) as conversation:
        with pytest.raises(Unobservable, match="network"):
            conversation.connect()


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Conversation("127.0.0.1", port) as conversation:
        with pytest.raises(Unobservable, match=r"refused \(network\)"):
            conversation.connect()


def test_who_ended_the_handshake(authority):
    old = authority.context("TLSv1", "TLSv1", kind="rsa")
    with smtp_twin(context=old, implicit=True) as server, talk(server) as conversation:
        with pytest.raises(Unobservable) as caught:
            conversation.connect(implicit=verifying_context(authority.ca_file))
        # A careful client does not speak TLS 1.0: whoever says so first, it is never "network".
        assert caught.value.side in ("server alert", "local library")
    with Server(lambda sock: sock.recv(1000)) as server, talk(server) as conversation:
        with pytest.raises(Unobservable) as caught:
            conversation.connect(implicit=lenient_context())
        assert caught.value.side == "server closed"


def test_bytes_behind_the_reply_to_starttls_are_an_attack(authority):
    with smtp_twin(context=authority.context(), overrule={"STARTTLS": "220 go\n250 injected"}) as server:
        with talk(server) as conversation:
            conversation.connect()
            with pytest.raises(Unobservable, match="bytes in clear behind the reply to STARTTLS"):
                conversation.starttls(lenient_context())
