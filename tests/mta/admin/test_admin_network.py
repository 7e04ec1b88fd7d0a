# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an administrator does is what the network sees: the whole server, real sockets, real TLS."""

from __future__ import annotations

import json
import smtplib
import socket

import pytest

from postern.admin.authentication import set_password
from postern.admin.configuration import forget_active

pytest.importorskip("cryptography", reason="certificates for the tests are made with cryptography")
pytest.importorskip("scramp", reason="the receiving half needs scramp")
service = pytest.importorskip("postern.service")

from whole_server import ARTICLE, HASH, Whole, add_listener, free_port, put_script, refuses, smtp, tls  # noqa: E402


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
        admin.upload(b'event onEhlo {\n\tset (allowStartTLS, "no");\n}\n')
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


def test_a_transaction_goes_on_with_the_policy_it_began_with(hardened):
    _whole, admin, port = hardened
    with smtp(port) as client:
        client.ehlo("client.example")
        client.mail("a@client.example")
        put_script(admin, ARTICLE)
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
