# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an administrator does is what the network sees: the whole server, real sockets, real TLS."""

from __future__ import annotations

import datetime
import ipaddress
import json
import smtplib
import socket
import ssl

import pytest

from postern.admin.authentication import set_password
from postern.admin.configuration import forget_active

x509 = pytest.importorskip("cryptography.x509", reason="certificates for the tests are made with cryptography")
pytest.importorskip("scramp", reason="the receiving half needs scramp")
service = pytest.importorskip("postern.service")

from whole_server import HASH, Whole, add_listener, free_port, refuses, smtp  # noqa: E402

ARTICLE = b"""event onEhlo {
\tcall (disableAUTH_on_non_SSL);
\tcall (enableAUTH_on_SSL);
}
event onRcptTo {
\tcall (allow_only_tls_for_mydomain_com);
}
method disableAUTH_on_non_SSL {
\tset (plainConnAuthTypes, "none");
}
method enableAUTH_on_SSL {
\tset (secureConnAuthTypes, "login ");
}
method allow_only_tls_for_mydomain_com {
\tif (
\t\tallOf (
\t\t\tisCase (isSSLConnection, "no"),
\t\t\tisCase (rcptDomain, "mydomain.com")
\t\t)
\t) {
\t\tset (smtpAction, "reject");
\t\tset (smtpExplanation, "Accepting only secure delivery (STARTTLS) for mydomain.com");
\t}
}
"""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate with its key in one PEM file."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.example.test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + built.public_bytes(serialization.Encoding.PEM)
    )
    return path


def tls(certificate, **versions):
    context = ssl.create_default_context(cafile=str(certificate))
    for name, value in versions.items():
        setattr(context, name, value)
    return context


def test_a_listener_is_there_after_its_commit_and_gone_after_its_removal(whole):
    port = free_port()
    admin = whole.admin()
    add_listener(admin, port)
    with smtp(port) as client:
        assert client.ehlo("client.example")[0] == 250
    assert json.loads((whole.state_dir / "status.json").read_text())["listening"] == [f"127.0.0.1:{port}"]
    admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", f"REMOVE Listener 127.0.0.1:{port}", "COMMIT", "COMMIT")
    assert refuses(port)


def test_a_disabled_listener_does_not_listen(whole):
    port = free_port()
    add_listener(whole.admin(), port, sets=("enable no",))
    assert refuses(port)


def test_a_port_that_is_taken_refuses_the_whole_commit(whole):
    port = free_port()
    admin = whole.admin()
    add_listener(admin, port)
    with socket.create_server(("127.0.0.1", 0)) as blocker:
        taken = blocker.getsockname()[1]
        admin.ok("CONFIG SERVER")
        admin.upload(b"event onEhlo {\n\tset (allowStartTLS, \"no\");\n}\n")
        admin.ok("CONFIG SMTP-INCOMING", f"REMOVE Listener 127.0.0.1:{port}", f"ADD Listener 127.0.0.1:{taken}")
        admin.ok("COMMIT", "COMMIT")
        reason = admin.refused("COMMIT")
        assert f"127.0.0.1:{taken}" in reason and "address already in use" in reason
    with smtp(port) as client:
        assert client.ehlo("client.example")[0] == 250
    admin.ok("BACK", "CONFIG SERVER")
    assert admin.script() == b""
    assert f"address = 127.0.0.1:{port}" in admin.ask("SHOW Config")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("certFile missing.pem", ("missing.pem", "no such file")),
        ("certFile status.json", ("status.json",)),
        ("certFile CERT cipherSuite NONSENSE", ("NONSENSE",)),
        ("certFile CERT dhParamFile missing.pem", ("missing.pem", "no such file")),
        ("certFile CERT allowedVersions (tls1 tls1_3)", ("tls1_1",)),
    ],
)
def test_bad_tls_settings_refuse_the_commit_and_are_named(whole, certificate, setting, words):
    port = free_port()
    admin = whole.admin()
    admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", f"ADD Listener 127.0.0.1:{port}", "CONFIG SSLCONTROL")
    admin.ok("SET " + setting.replace("CERT", str(certificate)), "DONE", "COMMIT", "COMMIT")
    reason = admin.refused("COMMIT")
    for word in (f"127.0.0.1:{port}", *words):
        assert word in reason
    assert refuses(port)


def test_implicit_tls_without_a_certificate_is_refused(whole):
    admin = whole.admin()
    admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", f"ADD Listener 127.0.0.1:{free_port()}", "SET sslEnable yes")
    admin.ok("COMMIT", "COMMIT")
    assert "certificate" in admin.refused("COMMIT")


def test_allowed_versions_narrow_the_handshake(whole, certificate):
    port = free_port()
    admin = whole.admin()
    add_listener(admin, port, f"certFile {certificate}", "allowedVersions (tls1_2)")
    with smtp(port) as client:
        client.starttls(context=tls(certificate))
        assert client.sock.version() == "TLSv1.2"
    with smtp(port) as client, pytest.raises(ssl.SSLError):
        client.starttls(context=tls(certificate, minimum_version=ssl.TLSVersion.TLSv1_3))
    admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", f"UPDATE Listener 127.0.0.1:{port}", "CONFIG SSLCONTROL")
    admin.ok("SET allowedVersions (tls1_2 tls1_3)", "DONE", "COMMIT", "COMMIT", "COMMIT")
    with smtp(port) as client:
        client.starttls(context=tls(certificate, minimum_version=ssl.TLSVersion.TLSv1_3))
        assert client.sock.version() == "TLSv1.3"


def test_no_certificate_no_starttls(whole, certificate):
    port = free_port()
    admin = whole.admin()
    add_listener(admin, port, f"certFile {certificate}")
    with smtp(port) as client:
        client.ehlo("client.example")
        assert client.has_extn("starttls")
    admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", f"UPDATE Listener 127.0.0.1:{port}", "CONFIG SSLCONTROL")
    admin.ok("SET certFile none", "DONE", "COMMIT", "COMMIT", "COMMIT")
    with smtp(port) as client:
        client.ehlo("client.example")
        assert not client.has_extn("starttls")


def test_implicit_tls(whole, certificate):
    port = free_port()
    add_listener(whole.admin(), port, f"certFile {certificate}", sets=("sslEnable yes",))
    with smtplib.SMTP_SSL("127.0.0.1", port, timeout=10, context=tls(certificate)) as client:
        assert client.ehlo("client.example")[0] == 250
        assert not client.has_extn("starttls")


def test_networks_decide_who_may_talk(whole):
    port = free_port()
    admin = whole.admin()
    admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", f"ADD Listener 127.0.0.1:{port}")
    admin.ok("ADD DenyRule 127.0.0.0/8 enable yes priority 500", "COMMIT", "COMMIT", "COMMIT")
    with pytest.raises((smtplib.SMTPConnectError, smtplib.SMTPServerDisconnected)):
        smtp(port)
    admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", f"UPDATE Listener 127.0.0.1:{port}")
    admin.ok("ADD AllowRule 127.0.0.1", "SET enable yes priority 100", "DONE", "COMMIT", "COMMIT", "COMMIT")
    with smtp(port) as client:
        assert client.ehlo("client.example")[0] == 250


def test_a_script_with_a_syntax_error_is_refused_and_the_old_one_stays(whole):
    admin = whole.admin()
    admin.ok("CONFIG SERVER")
    admin.upload(ARTICLE)
    answer = admin.upload(ARTICLE.replace(b"set (secureConnAuthTypes", b"set secureConnAuthTypes"))
    assert answer.startswith("-ERR: ") and "line 12" in answer
    assert admin.script() == ARTICLE


@pytest.fixture
def hardened(whole, certificate):
    port = free_port()
    admin = whole.admin()
    admin.ok("CREATE Domain mydomain.com postmasterPassword secret-1", "COMMIT")
    admin.ok("CREATE Domain other.example postmasterPassword secret-2", "COMMIT")
    add_listener(admin, port, f"certFile {certificate}")
    return whole, admin, port


def put_script(admin, script):
    admin.ok("CONFIG SERVER")
    assert admin.upload(script).startswith("+OK")
    admin.ok("COMMIT")


def test_the_rules_of_the_article(hardened, certificate):
    _whole, admin, port = hardened
    with smtp(port) as client:
        client.ehlo("client.example")
        assert "PLAIN" in client.esmtp_features["auth"], "before the rules authentication is offered in the clear"
        client.mail("a@client.example")
        assert client.rcpt("postmaster@mydomain.com")[0] == 250
    put_script(admin, ARTICLE)
    with smtp(port) as client:
        client.ehlo("client.example")
        assert not client.has_extn("auth")
        client.mail("a@client.example")
        code, text = client.rcpt("postmaster@mydomain.com")
        assert code == 550 and b"Accepting only secure delivery (STARTTLS) for mydomain.com" in text
        assert client.rcpt("postmaster@other.example")[0] == 250
    with smtp(port) as client:
        client.starttls(context=tls(certificate))
        client.ehlo("client.example")
        assert client.esmtp_features["auth"].split() == ["LOGIN"]
        client.login("postmaster@mydomain.com", "secret-1")
        client.mail("a@client.example")
        assert client.rcpt("postmaster@mydomain.com")[0] == 250


def test_the_order_of_rules_decides(hardened):
    _whole, admin, port = hardened
    methods = b'method off { set (plainConnAuthTypes, "none"); }\nmethod on { set (plainConnAuthTypes, "plain "); }\n'
    for order, offered in ((b"call (off); call (on);", True), (b"call (on); call (off);", False)):
        put_script(admin, b"event onEhlo { " + order + b" }\n" + methods)
        with smtp(port) as client:
            client.ehlo("client.example")
            assert client.has_extn("auth") is offered


def test_a_session_goes_on_with_the_generation_it_began_with(hardened):
    _whole, admin, port = hardened
    with smtp(port) as client:
        client.ehlo("client.example")
        put_script(admin, ARTICLE)
        client.mail("a@client.example")
        assert client.rcpt("postmaster@mydomain.com")[0] == 250


def test_saved_and_unsaved_over_a_restart(hardened):
    whole, admin, port = hardened
    put_script(admin, ARTICLE)
    admin.ok("SAVE CONFIG")
    put_script(admin, b"# not saved\n")
    whole.restart()
    assert whole.status["listening"] == [f"127.0.0.1:{port}"]
    admin = whole.admin()
    admin.ok("CONFIG SERVER")
    assert admin.script() == ARTICLE
    with smtp(port) as client:
        client.ehlo("client.example")
        assert not client.has_extn("auth")


def test_a_server_that_cannot_listen_still_answers_to_its_administrator(hardened):
    whole, admin, port = hardened
    admin.ok("SAVE CONFIG")
    whole.stop()
    with socket.create_server(("127.0.0.1", port)):
        whole.start()
        assert whole.status["listening"] == [] and f"127.0.0.1:{port}" in whole.status["problem"]
        admin = whole.admin()
        other = free_port()
        admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", f"UPDATE Listener 127.0.0.1:{port}")
        admin.ok(f"SET address 127.0.0.1:{other}", "COMMIT", "COMMIT", "COMMIT")
    with smtp(other) as client:
        assert client.ehlo("client.example")[0] == 250
    assert json.loads((whole.state_dir / "status.json").read_text())["problem"] == ""


def test_a_server_that_cannot_listen_tries_again(hardened, monkeypatch):
    whole, admin, port = hardened
    admin.ok("SAVE CONFIG")
    whole.stop()
    monkeypatch.setattr(service, "_RETRY_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", port)):
        whole.start()
        assert whole.status["problem"]
        blocked = whole._service
    whole._loop.run(blocked._active.wait())
    with smtp(port) as client:
        assert client.ehlo("client.example")[0] == 250


def test_the_admin_port_in_tls(loop, tmp_path, certificate):
    set_password(str(tmp_path), HASH)
    server = Whole(loop, tmp_path, certificate).start()
    try:
        with socket.create_connection(server.address, timeout=10) as plain:
            with tls(certificate).wrap_socket(plain, server_hostname="127.0.0.1") as wrapped:
                assert wrapped.version() == "TLSv1.3"
                received = b""
                while not received.endswith(b"<login> "):
                    received += wrapped.recv(1000)
    finally:
        server.stop()


def test_an_admin_port_that_is_taken_ends_the_start(loop, tmp_path):
    server = Whole(loop, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as blocker:
        taken = blocker.getsockname()[1]
        object.__setattr__(server.settings, "admin_port", taken)
        with pytest.raises(service.StartError, match=f"admin address 127.0.0.1:{taken}: .*in use"):
            server.start()
    server.stop()
    forget_active(str(tmp_path))
