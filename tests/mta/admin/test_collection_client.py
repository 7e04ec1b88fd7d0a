# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's own client against the real admin side: what one writes the other reads."""

from __future__ import annotations

import select

import pytest

from admin_harness import PASSWORD
from postern.admin.cfgfile import print_server
from postern.admin.server import ConnectionLimits
from postern.admin.session import Limits

PACKAGE = "ansible_collections.securemail.smtp.plugins.module_utils._servers"
cli = pytest.importorskip(f"{PACKAGE}.axigen.cli", reason="the collection is not on the Python path")
config = pytest.importorskip(f"{PACKAGE}.axigen.config")
base = pytest.importorskip(f"{PACKAGE}.base")
services = pytest.importorskip(f"{PACKAGE}.axigen.services")


@pytest.fixture
def session(server):
    found = cli.AdminSession("127.0.0.1", server.address[1], timeout=20)
    yield found
    found.close()


@pytest.fixture
def logged_in(session):
    session.login("admin", PASSWORD)
    return session


def test_version_before_login_and_a_refused_login(session):
    assert session.get_version() == "10.6.30-postern"
    with pytest.raises(base.LoginRefused, match="Authentication failed") as caught:
        session.login("admin", "not the password")
    assert "not the password" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "event onEhlo {\n}\n",
        "event onEhlo {\n}",
        "",
        "\n\n",
        "# a\r\n# b\n\r\n",
        "# \udcfc \udcff\n",
        "# x\n+OK: not yet\n<server#> \n-ERR: no\n<#> ",
    ],
)
def test_scripts_come_back_as_they_were_sent(server, logged_in, text):
    logged_in.enter("CONFIG", "SERVER")
    logged_in.upload("UPDATE", "SmtpFilters", text=text)
    assert logged_in.command("SHOW", "SmtpFilters").text == text
    logged_in.leave("COMMIT")
    assert server.smtp.generations[-1].script == text.encode("utf-8", "surrogateescape")


def test_a_whole_listener_and_its_way_back(server, logged_in):
    logged_in.enter("CONFIG", "SERVER")
    logged_in.enter("CONFIG", "SMTP-INCOMING")
    logged_in.enter("ADD", "Listener", "address", "[::1]:465")
    logged_in.command("SET", "enable", "no", "sslEnable", "yes")
    logged_in.enter("CONFIG", "SSLCONTROL")
    logged_in.command("SET", "allowedVersions", cli.SetValue(("tls1_2", "tls1_3")))
    logged_in.command("SET", "cipherSuite", 'A:"B" \\ c')
    logged_in.command("SET", "certFile", "/etc/ssl/it's mine.pem")
    logged_in.leave("DONE")
    logged_in.command("ADD", "DenyRule", "0.0.0.0/0", "enable", "yes", "priority", "500")
    for _context in ("listener", "service", "server"):
        logged_in.leave("COMMIT")
    logged_in.enter("CONFIG", "SERVER")
    shown = config.parse(logged_in.command("SHOW", "Config").text)["Server"]
    (listener,) = shown["smtpIncoming"]["listeners"]
    assert (listener["address"], listener["enable"], listener["sslEnable"]) == ("[::1]:465", "no", "yes")
    assert listener["sslControl"]["cipherSuite"] == 'A:"B" \\ c'
    assert listener["sslControl"]["certFile"] == "/etc/ssl/it's mine.pem"
    assert list(listener["sslControl"]["allowedVersions"]) == ["tls1_2", "tls1_3"]
    assert listener["denyRules"][0]["ipSet"] == "0.0.0.0/0"
    assert print_server(server.configuration.running.tree).count("address = ") == 1


def test_a_refused_value_names_the_attribute_and_the_session_goes_on(logged_in):
    logged_in.enter("CONFIG", "SERVER")
    logged_in.enter("CONFIG", "SMTP-INCOMING")
    logged_in.enter("ADD", "Listener", "0.0.0.0:25")
    with pytest.raises(base.CommandRefused, match="idleTimeout: it must be a number from 0 to 86400"):
        logged_in.command("SET", "idleTimeout", "86401")
    logged_in.back_to_root()
    assert logged_in.depth == 0


def test_a_refused_activation_reaches_the_client(server, logged_in):
    server.smtp.refuse = "cannot listen on 0.0.0.0:25: address already in use"
    logged_in.enter("CONFIG", "SERVER")
    with pytest.raises(base.CommandRefused, match="0.0.0.0:25: address already in use"):
        logged_in.leave("COMMIT")
    logged_in.back_to_root()


def test_the_configuration_below_the_server_is_read(logged_in):
    """Services, access rules of the service, and sections that the client has no use for."""
    logged_in.enter("CONFIG", "SERVER")
    logged_in.enter("CONFIG", "SMTP-OUTGOING")
    logged_in.command("STOP", "Service")
    logged_in.leave("COMMIT")
    logged_in.enter("CONFIG", "SMTP-INCOMING")
    logged_in.enter("CONFIG", "AccessControl")
    logged_in.command("SET", "maxConnections", "9")
    logged_in.enter("ADD", "AllowRule", "10.0.0.0/8")
    logged_in.command("SET", "enable", "yes", "peerMaxConnections", "3")
    logged_in.leave("DONE")
    logged_in.command("ADD", "DenyRule", "0.0.0.0/0", "enable", "yes")
    for verb in ("DONE", "COMMIT", "COMMIT"):
        logged_in.leave(verb)
    logged_in.enter("CONFIG", "SERVER")
    text = logged_in.command("SHOW", "Config").text
    shown = config.parse(text)["Server"]
    assert shown["services"] == ("smtpIncoming", "processing")
    assert services.started(text) == {"receiving": True, "sending": False}
    access = shown["smtpIncoming"]["serviceAccessControl"]
    assert access["maxConnections"] == "9"
    assert [(rule["ipSet"], rule["peerMaxConnections"]) for rule in access["allowRules"]] == [("10.0.0.0/8", "3")]
    assert [rule["ipSet"] for rule in access["denyRules"]] == ["0.0.0.0/0"]
    assert shown["smtpIncoming"]["mappingData"]["userMap"] == "none"


# --- the server's limits ------------------------------------------------------------------------


def opened(server):
    """A session that is logged in, and what the server's log says of logins."""
    found = cli.AdminSession("127.0.0.1", server.address[1], timeout=20)
    found.login("admin", PASSWORD)
    return found


def logins(server):
    return [event["ok"] for event in server.log() if event["event"] == "admin.login"]


def test_a_session_that_was_idle_too_long(new_server):
    """It is told clearly, what was pending is gone, and nobody logs in again."""
    server = new_server(connections=ConnectionLimits(idle=2))
    session = opened(server)
    session.enter("CONFIG", "SERVER")
    session.command("SET", "serverName", "mx.example.test")
    # Readable: the end of the connection has come.
    assert select.select([session._wire._socket], [], [], 20)[0]
    with pytest.raises(base.Unreachable) as caught:
        session.leave("COMMIT")
    for part in ("COMMIT: the server has closed the connection", "idleTimeout", "run the task again"):
        assert part in str(caught.value)
    assert logins(server) == [True]
    assert server.smtp.generations[-1].server_name != "mx.example.test"


def test_one_failed_login_is_all_that_a_wrong_password_costs(new_server):
    server = new_server(Limits(max_auth_errors=1))
    session = cli.AdminSession("127.0.0.1", server.address[1], timeout=20)
    with pytest.raises(base.LoginRefused, match="too many failed logins"):
        session.login("admin", "wrong")
    with pytest.raises(base.ServerError):
        session.login("admin", PASSWORD)
    assert logins(server) == [False]


def test_few_commands_before_login(new_server):
    """Version and login fit into the smallest limit that lets anybody in."""
    server = new_server(Limits(max_auth_commands=2))
    session = cli.AdminSession("127.0.0.1", server.address[1], timeout=20)
    session.get_version()
    session.login("admin", PASSWORD)
    session.close()


def test_wrong_saving_verbs_do_not_use_up_the_errors_of_a_session(new_server):
    """Of thirty listeners the first teaches the verb; each refusal counts, and the third would end the session."""
    server = new_server(Limits(max_errors=2))
    session = opened(server)
    session.enter("CONFIG", "SERVER")
    session.enter("CONFIG", "SMTP-INCOMING")
    for number in range(30):
        session.enter("ADD", "Listener", "address", f"127.0.0.1:{2000 + number}")
        session.enter("CONFIG", "SSLCONTROL")
        session.leave("COMMIT")
        session.leave("DONE")
    session.leave("COMMIT")
    session.leave("COMMIT")
    assert len(server.smtp.generations[-1].listeners) == 30
    session.close()


def test_a_refusal_too_many_is_told_with_the_words_of_the_server(new_server):
    server = new_server(Limits(max_errors=1))
    session = opened(server)
    with pytest.raises(base.CommandRefused):
        session.command("FROBNICATE")
    with pytest.raises(base.Unreachable, match="FROBNICATE: .*last words were .*too many errors"):
        session.command("FROBNICATE")
