# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of the login context, which change every answer of the session: QUIET and CONSOLE-CODES."""

from __future__ import annotations

import re

import pytest

PASSWORD = b"correct horse"


def read(client, ending):
    """All bytes up to an ending; the harness's own reader knows ordinary prompts only."""
    data = b""
    while not data.endswith(ending):
        more = client.socket.recv(1 << 16)
        assert more, data
        data += more
    return data


@pytest.fixture
def quiet(server):
    """A quiet session that is logged in."""
    client = server.client()
    assert client.ask("SET QUIET on") == "+OK\r\n<login> "
    assert client.ask("USER admin") == "<password> "
    assert client.ask(PASSWORD) == "+OK\r\n<#> "
    return client


def test_quiet_answers_have_a_bare_status(quiet):
    assert quiet.ask("CONFIG SERVER") == "+OK\r\n<server#> "
    assert quiet.ask("COMMIT") == "+OK\r\n<#> "
    quiet.send("QUIT")
    assert quiet.read() == b"+OK\r\n" and quiet.at_end()


def test_quiet_errors_keep_their_reason(quiet):
    assert quiet.ask("nonsense").startswith("-ERR: unknown command")


def test_quiet_payloads_have_no_titles_and_no_blank_lines(quiet):
    quiet.ask("CONFIG SERVER")
    quiet.ask("CONFIG SMTP-INCOMING")
    quiet.ask("ADD Listener 127.0.0.1:2525")
    assert quiet.ask("SHOW").startswith("address = 127.0.0.1:2525\r\nenable = yes\r\n")
    assert quiet.ask("SHOW ATTR enable") == "enable = yes\r\n+OK\r\n<server-smtpIncoming-listener#> "
    quiet.ask("COMMIT")
    lines = quiet.ask("LIST Listeners").split("\r\n")
    assert lines[0].startswith("address") and set(lines[1]) == {"-"} and lines[2].startswith("127.0.0.1:2525 ")
    assert lines[3:] == ["+OK", "<server-smtpIncoming#> "]
    assert " - " in quiet.ask("HELP").split("\r\n")[0]
    assert "\r\n\r\n" not in quiet.ask("HELP")


def test_quiet_leaves_texts_of_any_content_alone(quiet):
    script = b"\n# a title\n\n+OK: x\n\n"
    quiet.ask("CONFIG SERVER")
    quiet.send("UPDATE SmtpFilters")
    assert quiet.read_line() == b"+OK\r\n"
    quiet.send(script.replace(b"\n", b"\r\n") + b"\r\n.")
    assert quiet.read() == b"+OK\r\n<server#> "
    quiet.send("SHOW SmtpFilters")
    assert quiet.read() == script.replace(b"\n", b"\r\n") + b"\r\n+OK\r\n<server#> "


def test_the_version_stays_the_first_line(quiet):
    assert re.match(r"\d+\.\d+\.\d+[^|\r\n]*\|Linux\|[^\r\n]+\r\n\+OK\r\n<#> \Z", quiet.ask("GET VERSION"))


def test_quiet_can_be_left_before_login_only(server, quiet):
    assert quiet.ask("SET QUIET off").startswith("-ERR")
    client = server.client()
    client.ask("SET QUIET on")
    client.ok("SET QUIET off")
    client.login().ok("SHOW")


def test_a_session_is_not_quiet_because_another_one_is(server, quiet):
    assert server.client().login().ask("CONFIG SERVER") == "+OK: command successful\r\n<server#> "


def test_console_codes_stand_around_each_prompt(server):
    client = server.client()
    client.send("SET CONSOLE-CODES on")
    assert read(client, b"\x1b[0m") == b"+OK: command successful\r\n\x1b[1m<login> \x1b[0m"
    client.send("USER admin")
    assert read(client, b"\x1b[0m") == b"\x1b[1m<password> \x1b[0m"
    client.send(PASSWORD)
    assert read(client, b"\x1b[0m") == b"+OK: Authentication successful\r\n\x1b[1m<#> \x1b[0m"
    client.send("nonsense")
    assert read(client, b"\x1b[0m").endswith(b"HELP lists the commands\r\n\x1b[1m<#> \x1b[0m")
    client.send("CONFIG SERVER")
    read(client, b"\x1b[1m<server#> \x1b[0m")
    client.send("UPDATE SmtpFilters")
    assert read(client, b"\r\n").startswith(b"+OK: ")
    client.send("# x\r\n.")
    assert read(client, b"\x1b[0m").endswith(b"\r\n\x1b[1m<server#> \x1b[0m")
    client.send("QUIT")
    assert read(client, b"\n") == b"+OK: have a nice day\r\n"


def test_both_options_together(server):
    client = server.client()
    client.ask("SET QUIET on")
    client.send("SET CONSOLE-CODES on")
    assert read(client, b"\x1b[0m") == b"+OK\r\n\x1b[1m<login> \x1b[0m"
    client.send("SET CONSOLE-CODES off")
    assert client.read() == b"+OK\r\n<login> "
    assert client.ask("SHOW") == "quiet = on\r\nconsole-codes = off\r\n+OK\r\n<login> "
