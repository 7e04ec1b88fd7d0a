# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What START, STOP, access rules and limits mean on the network: the whole server, real sockets, real mail."""

from __future__ import annotations

import re
import smtplib
import socket
import time

import pytest

pytest.importorskip("scramp", reason="the receiving half needs scramp")

from whole_server import add_listener, free_port, refuses, smtp  # noqa: E402

SCRIPT = """event onEhlo {{ set (remoteDelivery, "all"); }}
event onRelay {{
\tset (remoteSmtpHost, "[127.0.0.1]");
\tset (remoteSmtpPort, "{port}");
\tset (allowStartTLS, "no");
}}
"""


def commit(client, context, *commands):
    """Commands in one context below the server, and the way back."""
    client.ok("CONFIG SERVER", f"CONFIG {context}", *commands, "COMMIT", "COMMIT")


def wait_for(path):
    """The first file of a folder, when there is one."""
    end = time.monotonic() + 20
    while not (found := list(path.glob("*"))):
        assert time.monotonic() < end, f"nothing came into {path}"
        time.sleep(0.02)
    return found[0]


def code(port):
    """What a client is greeted with."""
    try:
        with smtp(port):
            return 220
    except smtplib.SMTPConnectError as error:
        return error.smtp_code


def waiting(client):
    """The mail that waits, as the queue is listed."""
    listed = client.ok("ENTER QUEUE", "LIST")
    client.ok("BACK")
    return listed


@pytest.fixture
def domain(whole):
    """An administrator's session on a server that has a domain and a listener; and that listener's port."""
    admin, port = whole.admin(), free_port()
    admin.ok("CREATE Domain example.test postmasterPassword Pm-12345", "COMMIT")
    add_listener(admin, port)
    return admin, port


def test_a_stopped_smtp_incoming_listens_nowhere_and_a_started_one_again(whole, domain):
    admin, port = domain
    commit(admin, "SMTP-INCOMING", "STOP Service")
    assert refuses(port)
    admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING")
    assert admin.shown(f"SHOW Listener 127.0.0.1:{port}")["enable"] == "yes"
    admin.ok("BACK", "BACK", "SAVE CONFIG")
    whole.restart()
    assert refuses(port)
    admin = whole.admin()
    commit(admin, "SMTP-INCOMING", "START Service")
    assert code(port) == 220


def test_a_session_goes_on_when_its_service_is_stopped(domain):
    admin, port = domain
    with smtp(port) as client:
        commit(admin, "SMTP-INCOMING", "STOP Service")
        assert client.ehlo("client.example")[0] == 250


def test_mail_for_others_waits_while_smtp_outgoing_is_stopped(whole, domain):
    admin, port = domain
    with socket.create_server(("127.0.0.1", 0)) as peer:
        peer.settimeout(20)
        admin.ok("CONFIG SERVER")
        admin.upload(SCRIPT.format(port=peer.getsockname()[1]).encode())
        admin.ok("CONFIG SMTP-OUTGOING", "STOP Service", "COMMIT", "COMMIT")
        with smtp(port) as client:
            client.sendmail("a@example.test", ["b@other.test", "postmaster@example.test"], "Subject: x\r\n\r\nx\r\n")
        # Local mail is delivered all the same; what is behind it in time has been looked at.
        wait_for(whole.state_dir / "domains" / "example.test" / "postmaster" / "Maildir" / "new")
        assert "<a@example.test>" in waiting(admin)
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.accept()
        peer.settimeout(20)
        commit(admin, "SMTP-OUTGOING", "START Service")
        accepted, _address = peer.accept()
        accepted.close()


def test_nothing_leaves_the_queue_while_processing_is_stopped(whole, domain):
    admin, port = domain
    commit(admin, "PROCESSING", "STOP Service")
    with smtp(port) as client:
        client.sendmail("", ["postmaster@example.test"], "Subject: x\r\n\r\nx\r\n")
    admin.ok("SAVE CONFIG")
    whole.restart()
    admin = whole.admin()
    box = whole.state_dir / "domains" / "example.test" / "postmaster" / "Maildir" / "new"
    assert not list(box.glob("*"))
    commit(admin, "PROCESSING", "START Service")
    assert b"Subject: x" in wait_for(box).read_bytes()


def test_access_rules_of_the_service_on_the_network(domain):
    admin, port = domain
    commit(admin, "SMTP-INCOMING", "CONFIG AccessControl", "ADD DenyRule 127.0.0.0/8 enable yes", "DONE")
    assert code(port) == 554
    # The listener's own rule comes first.
    commit(admin, "SMTP-INCOMING", f"UPDATE Listener 127.0.0.1:{port}", "ADD AllowRule 127.0.0.1", "SET enable yes",
           "DONE", "COMMIT")  # fmt: skip
    assert code(port) == 220
    commit(admin, "SMTP-INCOMING", f"UPDATE Listener 127.0.0.1:{port}", "UPDATE AllowRule 127.0.0.1",
           "SET maxIntervalConnections 2", "DONE", "COMMIT")  # fmt: skip
    assert [code(port) for _number in range(3)] == [220, 220, 421]


def test_limits_of_a_listener_on_the_network(domain):
    admin, port = domain
    listener = f"UPDATE Listener 127.0.0.1:{port}"
    commit(admin, "SMTP-INCOMING", listener, "SET peerMaxConnections 1", "COMMIT")
    with smtp(port):
        assert code(port) == 421
    commit(admin, "SMTP-INCOMING", listener, "SET idleTimeout 1 peerMaxConnections 20", "COMMIT")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as silent:
        heard = b"".join(iter(lambda: silent.recv(4096), b""))
    assert re.match(rb"220 .*\r\n421 4\.4\.2 ", heard), heard


def test_a_failing_start_leaves_the_service_stopped(domain):
    """The listener's port was taken meanwhile."""
    admin, port = domain
    commit(admin, "SMTP-INCOMING", "STOP Service")
    with socket.create_server(("127.0.0.1", port)):
        admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", "START Service", "COMMIT")
        assert f"cannot listen on 127.0.0.1:{port}" in admin.refused("COMMIT")
        admin.ok("BACK", "CONFIG SERVER")
        assert admin.shown()["services"] == "(smtpOutgoing processing)"
