# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The vendor's own published client, unmodified, judges the dialect."""

from __future__ import annotations

import pytest

cli2 = pytest.importorskip("axigen.cli2", reason="the vendor's client (package axigen, 0.1.0) is not installed")


@pytest.fixture
def vendor(server, admin):
    admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING")
    for address in ("0.0.0.0:25", "0.0.0.0:587"):
        admin.ok(f"ADD Listener address {address}", "COMMIT")
    admin.ok("COMMIT", "COMMIT")
    client = cli2.CLI("127.0.0.1", server.address[1], "admin", "correct horse")
    yield client
    client.sock.close()


def test_login_and_version(vendor):
    assert vendor.context == ""
    assert vendor.V["version"].startswith("10.6.30")
    assert vendor.V["os"] == "Linux"
    assert vendor.V["platform"] not in ("", "UNKNOWN")


def test_wrong_password_is_an_error_and_the_right_one_works_after_it(server):
    client = cli2.CLI("127.0.0.1", server.address[1])
    with pytest.raises(cli2.cli2.CLIErrorException, match="Authentication failed"):
        client.auth("wrong")
    assert client.prompt == "<login> "
    assert client.auth("correct horse")
    client.sock.close()


def test_reads_the_listeners(vendor):
    vendor.config_server()
    vendor.config("SMTP-INCOMING")
    assert vendor.context == "server-smtpIncoming"
    answer = vendor.cmdr("LIST Listeners")
    rows = [line.split(" | ")[0].strip() for line in answer.split("\r\n")[5:-3]]
    assert rows == ["0.0.0.0:25", "0.0.0.0:587"]
    assert vendor.parse_resp(answer)[0] == 1


def test_reads_attributes_of_a_listener(vendor):
    vendor.config_server()
    vendor.config("SMTP-INCOMING")
    vendor.cmdr("UPDATE Listener 0.0.0.0:587")
    assert vendor.context == "server-smtpIncoming-listener"
    attributes = vendor.get_show()
    assert attributes["address"] == "0.0.0.0:587"
    assert attributes["idleTimeout"] == "300"
    assert attributes["peerTimeInterval"] == "60"
    assert vendor.get_show("sslEnable") == "no"
    vendor.config("SSLCONTROL")
    assert vendor.get_show()["requestClientAuth"] == "no"


def test_back_to_the_root_from_the_deepest_context(vendor):
    vendor.config_server()
    vendor.config("SMTP-INCOMING")
    vendor.cmdr("UPDATE Listener 0.0.0.0:587")
    vendor.config("SSLCONTROL")
    vendor.goto_root_context()
    assert vendor.context == ""


def test_manages_domains_and_accounts(vendor):
    vendor.create_domain("example.com", "Pm-1234")
    vendor.commit()
    assert vendor.get_domains() == ["example.com"]
    vendor.update_domain("example.com")
    vendor.add_account("user1", "Us-1234")
    vendor.commit()
    assert vendor.get_accounts() == ["postmaster", "user1"]
    vendor.goto_root_context()
    assert vendor.hasDomain("example.com")


def test_save_and_help(vendor):
    vendor.save_config()
    assert "CONFIG SERVER" in vendor.help()
    vendor.config_server()
    with pytest.raises(cli2.cli2.CLIErrorException, match="unknown"):
        vendor.config("NO-SUCH-CONTEXT")
    assert vendor.context == "server"
