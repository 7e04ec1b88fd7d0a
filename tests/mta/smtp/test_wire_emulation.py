# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An emulated server on the wire."""

from __future__ import annotations

from dataclasses import replace

import pytest
import wire_server
from postern.emulation import Emulation
from postern.settings import TlsSettings
from wire_peer import Peer, client_context, keywords, plain
from wire_server import PASSWORD, USER, listener

OTHER = Emulation(
    extensions=False,
    names={"plainconnauthtypes": "authForPlain", "secureconnauthtypes": "authForTls", "rcptdomain": "recipientHost"},
    values={"none": "nothing", "plain": "clear"},
)
SCRIPT = """
event onEhlo {
    set (authForPlain, "nothing");
    set (authForTls, "clear login cram-md5 ");
}
event onRcptTo {
    if (allOf (isCase (isSSLConnection, "no"), isCase (recipientHost, "other.test"))) {
        set (smtpAction, "reject");
        set (smtpExplanation, "only with TLS");
    }
}
"""


@pytest.fixture
def connect(tmp_path, directory, ec_file):
    """A function: a server with these habits and this script; returns a peer. 127.0.0.2 is implicit TLS."""
    opened = []

    def connected(emulation: Emulation, script: str = SCRIPT, host: str = "127.0.0.1") -> Peer:
        if not opened:
            opened.append(wire_server.Server(tmp_path, directory, emulation))
            tls = TlsSettings(cert_file=ec_file)
            opened[0].activate(listener(tls=tls), listener("127.0.0.2", tls=tls, ssl_enable=True), script=script)
        opened.append(Peer(host, opened[0].port(host)))
        return opened[-1]

    yield connected
    for peer in opened[1:]:
        peer.socket.close()
    for server in opened[:1]:
        server.close()


def test_the_other_servers_names_decide(connect):
    peer = connect(OTHER)
    assert "AUTH" not in keywords(peer.start())
    peer.expect(f"AUTH PLAIN {plain(USER, PASSWORD)}", 538)
    peer.expect("MAIL FROM:<>", 250)
    assert "only with TLS" in peer.expect("RCPT TO:<postmaster@other.test>", 550)
    peer.starttls()
    # Exactly what the rule names and this server has: not its own mechanism, and none that it lacks.
    assert keywords(peer.expect("EHLO x", 250))["AUTH"] == "PLAIN LOGIN"
    peer.expect(f"AUTH PLAIN {plain(USER, PASSWORD)}", 235)
    peer.expect("MAIL FROM:<>", 250)
    peer.expect("RCPT TO:<postmaster@other.test>", 250)


def test_this_servers_own_names_mean_nothing_to_another_one(connect):
    script = SCRIPT.replace("authForPlain", "plainConnAuthTypes").replace("recipientHost", "rcptDomain")
    peer = connect(OTHER, script)
    assert keywords(peer.start())["AUTH"] == "PLAIN LOGIN"
    peer.expect("MAIL FROM:<>", 250)
    peer.expect("RCPT TO:<postmaster@other.test>", 250)


@pytest.mark.parametrize(("encrypted", "code"), [(True, 250), (False, 550)])
def test_whether_starttls_counts_as_encrypted(connect, encrypted, code):
    emulation = replace(OTHER, encrypted_after_starttls=encrypted)
    peer = connect(emulation)
    peer.start()
    peer.starttls()
    # What is offered depends on the connection itself, whatever the variable says.
    assert keywords(peer.expect("EHLO x", 250))["AUTH"] == "PLAIN LOGIN"
    peer.expect("MAIL FROM:<>", 250)
    peer.expect("RCPT TO:<postmaster@other.test>", code)
    implicit = connect(emulation, host="127.0.0.2")
    implicit.secure(client_context())
    implicit.start()
    implicit.expect("MAIL FROM:<>", 250)
    implicit.expect("RCPT TO:<postmaster@other.test>", 250)
