# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""STARTTLS, implicit TLS and TLS settings, seen from the other end of the wire."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import warnings

import pytest
import wire_certificates
from postern.settings import ActivationError, TlsSettings
from postern.smtp import connection
from postern.smtp.tls import build_context
from wire_peer import Peer, client_context, keywords, plain
from wire_server import PASSWORD, USER, listener

ARTICLE_CIPHERS = (
    "DHE-RSA-AES128-SHA256:DHE-RSA-AES128-SHA:DHE-DSS-AES128-SHA256:"
    "DHE-RSA-AES256-SHA256:DHE-DSS-AES256-SHA:DHE-RSA-AES256-SHA"
)
ALL_VERSIONS = ("tls1", "tls1_1", "tls1_2", "tls1_3")


@pytest.fixture
def peer(server):
    """A fresh connection to the listener with STARTTLS."""
    with Peer("127.0.0.1", server.port("127.0.0.1")) as peer:
        yield peer


def client_of(version: ssl.TLSVersion, ciphers: str = "ALL:@SECLEVEL=0") -> ssl.SSLContext:
    """A client that speaks one version only, with its own library's reservations switched off."""
    context = client_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers(ciphers)
    return context


def handshake(server, context: ssl.SSLContext, host: str = "127.0.0.1") -> tuple[str, str] | None:
    """Version and cipher of a handshake after STARTTLS; None when the server refuses it."""
    with Peer(host, server.port(host)) as peer:
        peer.start()
        try:
            peer.starttls(context)
        except (ssl.SSLError, ConnectionError):
            return None
        peer.expect("NOOP", 250)
        return peer.socket.version(), peer.socket.cipher()[0]


# --- keywords -------------------------------------------------------------------------------------


def test_keywords_before_and_after_starttls(peer, authority):
    before = keywords(peer.start())
    plain_ones = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "STARTTLS")
    assert before == {**dict.fromkeys(plain_ones, ""), "SIZE": "1048576"}
    peer.starttls(client_context(authority.ca_file))
    after = keywords(peer.expect("EHLO client", 250))
    del before["STARTTLS"]
    assert after == {**before, "AUTH": "SCRAM-SHA-256 PLAIN LOGIN"}
    peer.expect(f"AUTH PLAIN {plain(USER, PASSWORD)}", 235)
    assert "AUTH" not in keywords(peer.expect("EHLO client", 250))


def test_implicit_tls_says_nothing_before_the_handshake(server, authority):
    with Peer("127.0.0.2", server.port("127.0.0.2")) as peer:
        peer.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            peer.socket.recv(1)
        peer.socket.settimeout(10)
        peer.secure(client_context(authority.ca_file))
        found = keywords(peer.start())
        assert "STARTTLS" not in found and found["AUTH"] == "SCRAM-SHA-256 PLAIN LOGIN"
        assert peer.expect("STARTTLS", 503).startswith("503 5.5.1 ")


def test_clear_text_to_implicit_tls_gets_no_reply(server):
    with socket.create_connection(("127.0.0.2", server.port("127.0.0.2")), timeout=10) as raw:
        raw.sendall(b"EHLO client.example.test\r\n")
        data = b""
        try:
            while chunk := raw.recv(4096):
                data += chunk
        except ConnectionResetError:
            pass
        # A TLS alert is allowed, an SMTP reply is not.
        assert not re.match(rb"[2-5]\d\d", data) and b"EHLO" not in data
    server.log.wait("smtp.tls", result="failed", port=server.port("127.0.0.2"))


def test_a_listener_without_certificate_does_not_offer_starttls(server):
    with Peer("127.0.0.3", server.port("127.0.0.3")) as peer:
        assert "STARTTLS" not in keywords(peer.start())
        assert peer.expect("STARTTLS", 502).startswith("502 5.5.1 ")
        peer.expect("NOOP", 250)


def test_the_script_can_switch_starttls_off(make_server, ec_file):
    server = make_server()
    script = 'event onEhlo { set (allowStartTLS, "no"); }'
    server.activate(listener(tls=TlsSettings(cert_file=ec_file)), script=script)
    with Peer("127.0.0.1", server.port()) as peer:
        assert "STARTTLS" not in keywords(peer.start())
        peer.expect("STARTTLS", 502)


def test_starttls_takes_no_argument(peer):
    peer.start()
    assert peer.expect("STARTTLS now", 501).startswith("501 5.5.4 ")
    peer.starttls()


# --- state and injection --------------------------------------------------------------------------


def test_state_from_before_the_handshake_is_gone(peer):
    peer.start()
    peer.expect("MAIL FROM:<a@example.test>", 250)
    peer.expect("RCPT TO:<u1@example.test>", 250)
    peer.starttls()
    assert peer.expect("DATA", 503).startswith("503 5.5.1 ")
    peer.expect("RCPT TO:<u1@example.test>", 503)
    peer.expect("MAIL FROM:<a@example.test>", 503)
    peer.expect("EHLO again", 250)
    peer.expect("RCPT TO:<u1@example.test>", 503)


def test_errors_from_before_the_handshake_are_gone(peer):
    peer.start()
    for _turn in range(20):
        peer.expect("NONSENSE", 500)
    peer.starttls()
    for _turn in range(20):
        peer.expect("NONSENSE", 500)


@pytest.mark.parametrize("injected", [b"MAIL FROM:<a@x.test>\r\n", b"RSET\r\n", b"N", b"\r\n", b"\x16\x03\x01"])
def test_anything_behind_starttls_ends_the_connection(peer, injected):
    peer.start()
    peer.send(b"STARTTLS\r\n" + injected)
    assert peer.reply()[0] == 554
    assert peer.is_closed()


def test_clear_text_between_the_reply_and_the_handshake(peer, server):
    peer.start()
    peer.expect("STARTTLS", 220)
    peer.send(b"RSET\r\n")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        peer.secure()
    server.log.wait("smtp.tls", result="failed", port=server.port("127.0.0.1"))


def test_first_command_in_the_flight_that_ends_the_handshake(peer):
    """TLS 1.3: the client's Finished and its EHLO may come in one segment; none of it may be lost."""
    peer.start()
    peer.expect("STARTTLS", 220)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context().wrap_bio(incoming, outgoing, server_hostname="mx.example.test")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    peer.socket.sendall(outgoing.read())
    while True:
        incoming.write(peer.socket.recv(65536))
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            continue
    tls.write(b"EHLO one-flight\r\nMAIL FROM:<a@example.test>\r\n")
    peer.socket.sendall(outgoing.read())
    text = b""
    while text.count(b"\r\n250 ") + text.startswith(b"250 ") < 2:
        incoming.write(peer.socket.recv(65536))
        try:
            while True:
                text += tls.read(65536)
        except ssl.SSLWantReadError:
            continue
    assert b"greets one-flight" in text and text.endswith(b"250 2.1.0 sender accepted\r\n")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_ends_tls_gets_the_same_answer(peer, version):
    """RFC 8446 section 6.1: without the server's own close_notify the client waits, or takes it for an attack."""
    peer.start()
    peer.starttls(client_of(version))
    peer.expect("NOOP", 250)
    peer.socket.unwrap()
    # What is left on the socket is in clear: nothing, and its end.
    assert peer.is_closed()


def test_a_refused_handshake_ends_with_an_alert(peer):
    """RFC 8446 section 6.2: the client learns why, and a tester can tell a refusal from a broken network."""
    peer.start()
    peer.expect("STARTTLS", 220)
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        peer.secure(client_of(ssl.TLSVersion.TLSv1_1))


def test_a_handshake_without_end(server, monkeypatch):
    monkeypatch.setattr(connection, "_HANDSHAKE_TIMEOUT", 0.5)
    for host in ("127.0.0.1", "127.0.0.2"):
        with Peer(host, server.port(host)) as peer:
            if host == "127.0.0.1":
                peer.start()
                peer.expect("STARTTLS", 220)
            peer.send(b"\x16\x03\x01")
            assert peer.is_closed()
            server.log.wait("smtp.tls", result="failed", reason="timeout", port=server.port(host))


def test_a_handshake_that_fails_closes_and_is_logged(peer, server):
    peer.start()
    peer.expect("STARTTLS", 220)
    peer.send(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        peer.secure()
    server.log.wait("smtp.session", reason="TLS handshake failed")


# --- versions and ciphers -------------------------------------------------------------------------

RANGES = [("tls1_2", "tls1_3"), ("tls1_3",), ("tls1_2",), ("tls1_1", "tls1_2"), ALL_VERSIONS, ("tls1",)]


@pytest.mark.parametrize("allowed", RANGES, ids=["+".join(versions) for versions in RANGES])
def test_exactly_the_allowed_versions(make_server, rsa_file, allowed):
    server = make_server()
    server.activate(listener(tls=TlsSettings(allowed_versions=allowed, cert_file=rsa_file)))
    names = {"tls1": "TLSv1", "tls1_1": "TLSv1.1", "tls1_2": "TLSv1.2", "tls1_3": "TLSv1.3"}
    found = {}
    for token, name in names.items():
        result = handshake(server, client_of(ssl.TLSVersion[name.replace(".", "_")]))
        found[token] = bool(result) and result[0] == name
    assert found == {token: token in allowed for token in names}


def test_one_listener_with_old_versions_leaves_the_others_strict(make_server, rsa_file):
    server = make_server()
    server.activate(
        listener("127.0.0.1", tls=TlsSettings(allowed_versions=ALL_VERSIONS, cert_file=rsa_file)),
        listener("127.0.0.2", tls=TlsSettings(cert_file=rsa_file)),
    )
    old = client_of(ssl.TLSVersion.TLSv1_1)
    assert handshake(server, old, "127.0.0.1")[0] == "TLSv1.1"
    assert handshake(server, old, "127.0.0.2") is None


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1", "TLSv1_2"])
def test_dhe_negotiates_with_a_dh_file(make_server, rsa_file, dh_file, version):
    server = make_server()
    tls = TlsSettings(ALL_VERSIONS, ARTICLE_CIPHERS, cert_file=rsa_file, dh_param_file=dh_file)
    server.activate(listener(tls=tls))
    found = handshake(server, client_of(ssl.TLSVersion[version]))
    assert found and found[1] in ARTICLE_CIPHERS.split(":")


def test_dhe_does_not_negotiate_without_a_dh_file(make_server, rsa_file):
    server = make_server()
    server.activate(listener(tls=TlsSettings(ALL_VERSIONS, ARTICLE_CIPHERS, cert_file=rsa_file)))
    assert handshake(server, client_of(ssl.TLSVersion.TLSv1_2)) is None
    assert handshake(server, client_of(ssl.TLSVersion.TLSv1_3))[0] == "TLSv1.3"


@pytest.mark.parametrize(("server_first", "wanted"), [(True, "AES256-GCM"), (False, "AES128-GCM")])
def test_whose_cipher_order_counts(make_server, rsa_file, server_first, wanted):
    server = make_server()
    ciphers = "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256"
    server.activate(listener(tls=TlsSettings(("tls1_2",), ciphers, server_first, cert_file=rsa_file)))
    client = client_of(ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384")
    assert wanted in handshake(server, client)[1]


def test_no_renegotiation_and_no_compression(make_server, rsa_file):
    server = make_server()
    server.activate(listener(tls=TlsSettings(("tls1_2",), cert_file=rsa_file)))
    # "R" on a line of its own asks for renegotiation.
    command = ["openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{server.port()}", "-tls1_2"]
    done = subprocess.run(command, input=b"R\nQUIT\n", capture_output=True, timeout=20, check=False)
    output = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert "Compression: NONE" in output and "RENEGOTIATING" in output
    assert "no renegotiation" in output


@pytest.mark.parametrize("known", [True, False], ids=["known CA", "unknown CA"])
def test_a_client_certificate_is_asked_for(make_server, tmp_path, authority, ec_file, known):
    server = make_server()
    server.activate(listener(tls=TlsSettings(cert_file=ec_file, ca_file=authority.ca_file, request_client_auth=True)))
    assert handshake(server, client_of(ssl.TLSVersion.TLSv1_2))
    (tmp_path / "foreign").mkdir()
    issuer = authority if known else wire_certificates.Authority(tmp_path / "foreign")
    context = client_of(ssl.TLSVersion.TLSv1_2)
    context.load_cert_chain(issuer.issue("client.pem", name="client.example.test"))
    assert bool(handshake(server, context)) is known


# --- settings that cannot work --------------------------------------------------------------------


def test_settings_that_cannot_work(tmp_path, authority, ec_file, rsa_file):
    missing = str(tmp_path / "missing.pem")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no PEM at all")
    mismatched = authority.issue_mismatched("mismatched.pem")
    encrypted = authority.issue_encrypted("encrypted.pem")
    table = [
        (TlsSettings(cert_file=missing), f"certificate file {missing}: no such file or directory"),
        (TlsSettings(cert_file=str(tmp_path)), f"certificate file {tmp_path}: "),
        (TlsSettings(cert_file=str(garbage)), f"certificate file {garbage}: it "),
        (TlsSettings(cert_file=authority.ca_file), f"certificate file {authority.ca_file}: it "),
        (TlsSettings(cert_file=mismatched), f"certificate file {mismatched}: the private key does not belong"),
        (TlsSettings(cert_file=encrypted), f"certificate file {encrypted} is encrypted"),
        (TlsSettings(cert_file=ec_file, ca_file=missing), f"CA file {missing}: no such file or directory"),
        (TlsSettings(cert_file=ec_file, dh_param_file=missing), f"DH parameter file {missing}: no such file"),
        (TlsSettings(cert_file=ec_file, dh_param_file=ec_file), f"DH parameter file {ec_file}: it "),
        (TlsSettings(cert_file=ec_file, request_client_auth=True), "no CA file"),
        (TlsSettings(cert_file=ec_file, cipher_suite="NONSENSE"), "cipher list 'NONSENSE' selects no suite"),
        (
            TlsSettings(ALL_VERSIONS, ARTICLE_CIPHERS, cert_file=ec_file),
            "no suite of the cipher list works with the ECDSA key",
        ),
        (TlsSettings(("tls1_2",), "ECDHE-ECDSA-AES128-GCM-SHA256", cert_file=rsa_file), "works with the RSA key"),
        (TlsSettings(("ssl3", "tls1_2"), cert_file=ec_file), "ssl3 is prohibited by RFC 7568"),
        (TlsSettings(("ssl2",), cert_file=ec_file), "ssl2 is prohibited by RFC 6176"),
        (TlsSettings(("tls1_4",), cert_file=ec_file), "unknown protocol version tls1_4"),
        (TlsSettings((), cert_file=ec_file), "no protocol version is allowed"),
        (TlsSettings(("tls1", "tls1_2"), cert_file=ec_file), "tls1_1 lies between allowed versions"),
    ]
    for settings, wanted in table:
        with pytest.raises(ActivationError) as raised:
            build_context(settings, "192.0.2.1:25")
        text = str(raised.value)
        assert text.startswith("listener 192.0.2.1:25: ") and wanted in text, (wanted, text)


def test_no_certificate_means_no_context():
    assert build_context(TlsSettings(), "192.0.2.1:25") is None
