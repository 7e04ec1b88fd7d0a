# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The vendor's own published client, unmodified, configures a running server: what it sets is what the network sees."""

from __future__ import annotations

import socket
import ssl

import pytest
from axigen import cli2
from mta_process import PASSWORD


@pytest.fixture
def client(mta):
    """A function that logs the vendor's client in; it sends passwords as they are."""
    opened = []

    def login():
        opened.append(cli2.CLI("127.0.0.1", mta.port, "admin", PASSWORD))
        return opened[-1]

    yield login
    for found in opened:
        found.sock.close()


def spoken(port, version, ca_file):
    """Whether a listener with implicit TLS speaks this version: the server's greeting inside, or None."""
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = context.maximum_version = version
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
            with context.wrap_socket(plain, server_hostname="mail.example.test") as secure:
                return secure.recv(1024)[:4]
    except ssl.SSLError:
        return None


def set_versions(client, address, versions):
    """From the root context down to SSLCONTROL and back by DONE and the chain of COMMITs."""
    client.config_server()
    client.config("SMTP-INCOMING")
    assert client.parse_resp(client.cmdr("UPDATE Listener address %s" % address))[0]
    client.config("SSLCONTROL")
    client.set("allowedVersions (%s)" % versions)
    assert client.get_show("allowedVersions") == "(%s)" % versions
    client.done()
    for context in ("server-smtpIncoming", "server", ""):
        client.commit()
        assert client.context == context


def test_listener_from_nothing_to_the_wire(mta, client, lab, free_port):
    port = free_port()
    address = "127.0.0.1:%d" % port
    vendor = client()
    vendor.config_server()
    vendor.config("SMTP-INCOMING")
    assert vendor.parse_resp(vendor.cmdr("ADD Listener address %s" % address))[0]
    vendor.set("enable yes sslEnable yes")
    vendor.config("SSLCONTROL")
    vendor.set('certFile "%s" allowedVersions (tls1_2)' % lab.ecdsa)
    vendor.done()
    for _context in ("listener", "service", "server"):
        vendor.commit()
    tls12, tls13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    assert (spoken(port, tls12, lab.ca_file), spoken(port, tls13, lab.ca_file)) == (b"220 ", None)
    vendor.save_config()

    set_versions(vendor, address, "tls1_3")
    assert (spoken(port, tls12, lab.ca_file), spoken(port, tls13, lab.ca_file)) == (None, b"220 ")
    vendor.save_config()
    mta.stop()
    mta.start()
    assert (spoken(port, tls12, lab.ca_file), spoken(port, tls13, lab.ca_file)) == (None, b"220 ")
    vendor = client()
    vendor.config_server()
    vendor.config("SMTP-INCOMING")
    rows = [line.split(" | ")[0].strip() for line in vendor.cmdr("LIST Listeners").split("\r\n")[5:-3]]
    assert rows == [address]


def test_domain_and_account_stay(mta, client, run):
    vendor = client()
    vendor.addDomain("example.com", "Pm-12345", "/ignored")
    vendor.addAccount("example.com", "user1", "Us-12345")
    assert vendor.getAccountsList("example.com") == ["postmaster", "user1"]
    found = run("smtp_account", check=True, domain="example.com", account="user1", password="Us-12345")
    assert found["changed"] is False
    mta.stop()
    mta.start()
    assert client().hasAccount("example.com", "user1")
