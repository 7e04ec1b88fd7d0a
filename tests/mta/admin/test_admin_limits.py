# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a session and the admin port put up with."""

from __future__ import annotations

import threading
import time

import pytest

from admin_harness import PASSWORD
from postern.admin.authentication import set_password
from postern.admin.server import ConnectionLimits
from postern.admin.session import Limits
from postern.passwords import hash_password


def test_failed_logins_end_the_session(new_server):
    server = new_server(Limits(max_auth_errors=3))
    client = server.client()
    for _attempt in range(2):
        client.ask("USER admin")
        assert client.ask("wrong").endswith("<login> ")
    client.ask("USER admin")
    assert "too many failed logins" in client.ask("wrong")
    assert client.at_end()
    server.client().login()


def test_commands_before_login_are_counted_good_and_bad(new_server):
    client = new_server(Limits(max_auth_commands=4)).client()
    for line in ("GET VERSION", "nonsense", "HELP", "SHOW"):
        assert client.ask(line).endswith("<login> ")
    assert client.ask("GET VERSION") == "-ERR: too many commands before login; the connection is closed\r\n"
    assert client.at_end()


def test_the_usual_limit_leaves_room_for_a_login(server):
    client = server.client()
    for _number in range(18):
        client.ask("GET VERSION")
    client.login()
    for _number in range(30):
        client.ok("SHOW")


def test_wrong_commands_end_the_session_with_everything_pending(new_server):
    server = new_server(Limits(max_errors=3))
    client = server.client().login()
    client.ok("CONFIG SERVER", "SET serverName pending")
    for _number in range(3):
        client.refused("nonsense")
    assert "too many errors" in client.ask("nonsense")
    assert client.at_end()
    assert server.client().login().ok("CONFIG SERVER", "SHOW").count('serverName = ""') == 1


def test_no_limit_is_zero(new_server):
    client = new_server(Limits(max_errors=0)).client().login()
    for _number in range(50):
        client.refused("nonsense")


@pytest.mark.parametrize("logged_in", [False, True])
def test_silence_ends_the_session(new_server, logged_in):
    server = new_server(connections=ConnectionLimits(idle=0.5))
    client = server.client()
    if logged_in:
        client.login()
    start = time.monotonic()
    assert client.at_end()
    assert 0.3 < time.monotonic() - start < 10


def test_silence_in_the_middle_of_an_upload_ends_the_session(new_server):
    server = new_server(connections=ConnectionLimits(idle=0.5))
    client = server.client().login()
    client.ok("CONFIG SERVER")
    client.send("UPDATE SmtpFilters")
    client.read_line()
    client.send("# half")
    assert client.at_end()


def test_connections_of_one_client_are_limited(new_server):
    server = new_server(connections=ConnectionLimits(per_peer=2))
    first, second = server.client(), server.client()
    third = server.client()
    assert third.greeting == b"-ERR: too many connections; try again later\r\n"
    assert third.at_end()
    second.send("QUIT")
    assert second.read() and second.at_end()
    assert first.ask("GET VERSION")
    assert server.client().login()


def test_a_line_that_is_too_long_ends_the_session(server):
    client = server.client().login()
    client.ok("CONFIG SERVER")
    client.ok("SET serverName " + "x" * 64)
    assert "64 characters" in client.refused("SET serverName " + "x" * 65)
    assert "letters, digits" in client.refused("SET serverName 'mx 250-FAKE'")
    assert "64 characters" in client.refused("SET serverName " + "x" * (8192 - len("SET serverName ")))
    answer = client.ask("SET serverName " + "x" * 9000)
    assert answer == "-ERR: the line is longer than 8192 bytes; the connection is closed\r\n"
    assert client.at_end()


def test_a_remembered_password_costs_no_hash(server):
    set_password(str(server.state_dir), hash_password(PASSWORD))
    server.client().login()
    start = time.monotonic()
    for _number in range(5):
        server.client().login()
    assert (time.monotonic() - start) / 5 < 0.05


def test_a_new_password_counts_at_once(server):
    server.client().login()
    set_password(str(server.state_dir), hash_password("another"))
    client = server.client()
    client.ask("USER admin")
    assert client.ask("correct horse").startswith("-ERR")
    server.client().login("another")


def test_logins_that_are_checked_do_not_stop_other_sessions(server):
    admin = server.client().login()
    set_password(str(server.state_dir), hash_password(PASSWORD))
    clients = [server.client() for _number in range(6)]

    def wrong(client):
        client.ask("USER admin")
        client.ask("wrong")

    threads = [threading.Thread(target=wrong, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    answers = 0
    while any(thread.is_alive() for thread in threads):
        admin.ok("SHOW")
        answers += 1
    # A check that held the others up would let one answer through behind it.
    assert answers > 4 * len(clients)


def test_without_a_password_nobody_gets_in(server):
    (server.state_dir / "admin.passwd").unlink()
    client = server.client()
    for password in ("", "correct horse"):
        client.ask("USER admin")
        assert client.ask(password).startswith("-ERR")


# --- the CLI context's settings -----------------------------------------------------------------


def set_cli(client, pairs):
    client.ok("CONFIG SERVER", "CONFIG CLI", f"SET {pairs}", "COMMIT", "COMMIT")


def test_limits_are_the_ones_of_the_cli_context_for_sessions_that_begin_later(server, admin):
    before = server.client()
    set_cli(admin, "maxErrors 1 maxAuthErrors 2 maxAuthCommands 3")
    after = server.client()
    for client, allowed in ((before, 20), (after, 3)):
        for _number in range(allowed):
            assert client.ask("GET VERSION").endswith("<login> ")
        assert "too many commands before login" in client.ask("GET VERSION")
        assert client.at_end()
    again = server.client()
    again.ask("USER admin")
    assert again.ask("wrong").endswith("<login> ")
    again.ask("USER admin")
    assert "too many failed logins" in again.ask("wrong")
    strict = server.client().login()
    strict.refused("nonsense")
    assert "too many errors" in strict.ask("nonsense")
    assert strict.at_end()


def test_documented_defaults(server, admin):
    assert (Limits().max_errors, Limits().max_auth_errors, Limits().max_auth_commands) == (20, 5, 20)
    ports = ConnectionLimits()
    assert (ports.idle, ports.total, ports.per_peer, ports.total_in_span, ports.span) == (300, 200, 20, 600, 60)
    admin.ok("CONFIG SERVER", "CONFIG CLI")
    shown = admin.shown()
    assert (shown["maxErrors"], shown["maxAuthErrors"], shown["maxAuthCommands"]) == ("20", "5", "20")


def test_zero_is_no_limit_before_login_either(server, admin):
    set_cli(admin, "maxAuthErrors 0 maxAuthCommands 0")
    client = server.client()
    for _number in range(30):
        client.ask("GET VERSION")
    for _number in range(7):
        client.ask("USER admin")
        assert client.ask("wrong").endswith("<login> ")
    client.login()


def test_connections_are_limited_in_number(new_server):
    server = new_server(connections=ConnectionLimits(total=1))
    first = server.client()
    assert server.client().greeting.startswith(b"-ERR: too many connections")
    assert first.ask("GET VERSION")


@pytest.mark.parametrize("limits", [ConnectionLimits(total_in_span=2), ConnectionLimits(per_peer_in_span=2)])
def test_connections_are_limited_in_a_span_of_time(new_server, limits):
    server = new_server(connections=limits)
    for _number in range(2):
        client = server.client()
        client.send("QUIT")
        assert client.read() and client.at_end()
    server.now += 59
    assert server.client().greeting.startswith(b"-ERR: too many connections")
    server.now += 1
    assert server.client().login()


def test_zero_idle_seconds_are_no_limit(new_server):
    client = new_server(connections=ConnectionLimits(idle=0)).client()
    assert client.ask("GET VERSION").endswith("<login> ")
