# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The vendor's own published client, unmodified, judges the dialect.

It is part of the test requirements and never skipped. Its ``upload_wmfilter`` sends texts where Python 3 wants
bytes, so no server can be judged by that one.
"""

from __future__ import annotations

import pytest
from axigen import cli2

from admin_harness import opened


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


@pytest.fixture
def domain(vendor):
    """A domain that the client has made, and an account in it."""
    vendor.create_domain("example.com", "Pm-1234")
    vendor.commit()
    vendor.addAccount("example.com", "user1", "Us-1234")
    return "example.com"


def test_lists_domains_and_accounts(vendor, domain):
    vendor.addDomain("example.org", "Pm-1234", "/ignored")
    assert vendor.getDomainsList() == [domain, "example.org"]
    assert vendor.getAccountsList(domain) == ["postmaster", "user1"]
    assert vendor.hasDomain(domain) and not vendor.hasDomain("example.net")
    assert vendor.hasAccount(domain, "user1") and not vendor.hasAccount(domain, "user2")


def test_shows_domains_and_accounts(vendor, domain):
    assert vendor.getDomainData(domain)["name"] == '"example.com"'
    assert vendor.get_show("name") == '"example.com"'
    assert vendor.accountDetails("user1", domain)["name"] == '"user1"'
    assert vendor.getAccountData("user1", domain)["emailAddress"] == "user1@example.com"


def test_changes_and_removes_accounts(server, vendor, domain):
    def stored():
        return opened(server.state_dir / "directory.sqlite3").credentials("user1@example.com")

    before = stored()
    vendor.setAccountData("user1", domain, {"password": "Us-5678"})
    assert before is not None and stored() != before
    vendor.delAccount(domain, "user1")
    assert vendor.getAccountsList(domain) == ["postmaster"]


def test_lists_that_are_empty(vendor, domain):
    vendor.update_domain(domain)
    assert (vendor.get_groups(), vendor.get_mlists(), vendor.get_accountClasses()) == ([], [], [])
    assert vendor.getAccountAliases("user1", domain) == []


@pytest.mark.parametrize(
    "keyword, context",
    [
        ("SMTP-INCOMING", "smtpIncoming"),
        ("SMTP-OUTGOING", "smtpOutgoing"),
        ("PROCESSING", "processing"),
        ("IMAP", "imap"),
        ("POP3", "pop3"),
        ("CLI", "cli"),
        ("WEBADMIN", "webadmin"),
        ("FTP-BACKUP", "ftpBackup"),
        ("CERTS", "certs"),
        ("SECURITY", "security"),
        ("LOG", "log"),
        ("DNR", "dnr"),
    ],
)
def test_contexts_of_the_server(vendor, keyword, context):
    """Each is entered, has a HELP and a SHOW that the client takes apart, and is left again."""
    vendor.config_server()
    vendor.config(keyword)
    assert vendor.context == "server-" + context
    assert "BACK - " in vendor.help()
    assert all(name.isalnum() for name in vendor.get_show())
    vendor.goto_root_context()


@pytest.mark.parametrize("name", ["QUEUE", "AACL"])
def test_special_contexts(vendor, name):
    assert vendor.parse_resp(vendor.cmdr("ENTER " + name))[0] == 1
    assert vendor.context == name.lower()
    vendor.goto_root_context()


def test_lists_content_filters(vendor):
    """Three titled tables in one answer, all of them empty."""
    vendor.config_server()
    vendor.config_filters()
    assert vendor.list_filters() == {"Socket": [], "Script": [], "Active": []}
    vendor.goto_root_context()


def test_downloads_and_uploads_the_policy_script(server, vendor):
    """As its own upload routine does: the command, one read, the lines, the dot."""
    script = "event onEhlo {\r\n\tcall (One);\r\n}\r\n\r\nmethod One {\r\n}"
    vendor.config_server()
    vendor.cmd("UPDATE SmtpFilters")
    assert vendor.sock.recv(4096).startswith(b"+OK")
    for line in script.split("\r\n"):
        vendor.cmd(line)
    assert vendor.parse_resp(vendor.cmdr("."))[0] == 1
    assert vendor.cmdr("SHOW SmtpFilters").startswith(script + "\r\n+OK: ")
    vendor.commit()
    assert server.smtp.generations[-1].script == script.replace("\r\n", "\n").encode()


def test_save_and_help(vendor):
    vendor.save_config()
    assert "CONFIG SERVER" in vendor.help()
    vendor.config_server()
    with pytest.raises(cli2.cli2.CLIErrorException, match="unknown"):
        vendor.config("NO-SUCH-CONTEXT")
    assert vendor.context == "server"
