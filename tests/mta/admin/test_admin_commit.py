# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running, pending and saved configuration; two administrators; what a restart and a crash keep."""

from __future__ import annotations

import os

import pytest

from postern.admin import configuration
from postern.admin.configuration import ACTIVE, SAVED_SCRIPT, SAVED_TREE, LoadError
from postern.settings import AccessRule


def add_listener(client, address, *sets):
    client.ok(f"ADD Listener {address}", *(f"SET {pair}" for pair in sets), "COMMIT")


def in_smtp(client):
    client.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING")
    return client


def listeners(server):
    return [listener.address for listener in server.smtp.generations[-1].listeners]


def test_script_and_tree_become_active_together(server, admin):
    admin.ok("CONFIG SERVER", "SET serverName mx.example.test")
    admin.upload(b"# new\n")
    admin.ok("CONFIG SMTP-INCOMING", "SET maxErrors 3 maxAuthErrors 2", "ADD Listener 127.0.0.1:2525")
    admin.ok("SET sslEnable yes idleTimeout 9", "ADD AllowRule 10.0.0.0/8", "SET enable yes priority 2", "DONE")
    admin.ok("ADD DenyRule 0.0.0.0/0", "CONFIG SSLCONTROL")
    admin.ok("SET certFile tls/cert.pem dhParamFile /etc/dh.pem allowedVersions (tls1_1 tls1_2)", "DONE", "COMMIT")
    assert len(server.smtp.generations) == 1, "nothing may reach the server before its own COMMIT"
    admin.ok("COMMIT")
    assert len(server.smtp.generations) == 1
    assert "generation 2" in admin.ok("COMMIT")
    generation = server.smtp.generations[-1]
    assert (generation.number, generation.server_name, generation.script) == (2, "mx.example.test", b"# new\n")
    assert (generation.max_errors, generation.max_auth_errors) == (3, 2)
    (listener,) = generation.listeners
    assert (listener.host, listener.port, listener.enable, listener.ssl_enable) == ("127.0.0.1", 2525, True, True)
    assert listener.idle_timeout == 9
    assert listener.allow_rules == (AccessRule("10.0.0.0/8", True, 2),)
    assert listener.deny_rules == (AccessRule("0.0.0.0/0", False, 500),)
    assert listener.tls.cert_file == str(server.state_dir / "tls/cert.pem")
    assert listener.tls.dh_param_file == "/etc/dh.pem"
    assert listener.tls.ca_file is None
    assert listener.tls.allowed_versions == ("tls1_1", "tls1_2")


def test_an_empty_server_name_is_the_bootstrap_one(server, admin):
    assert server.smtp.generations[-1].server_name == "mail.example.test"


def test_a_refused_activation_leaves_the_old_configuration_and_the_pending_one(server, admin):
    in_smtp(admin)
    add_listener(admin, "127.0.0.1:2525")
    admin.ok("COMMIT")
    admin.upload(b"# pending\n")
    server.smtp.refuse = "cannot listen on 127.0.0.1:2525: address already in use"
    reason = admin.refused("COMMIT")
    assert reason.startswith("cannot listen on 127.0.0.1:2525: address already in use") and "stays as it was" in reason
    assert server.configuration.running.number == 1
    assert admin.script() == b"# pending\n"
    other = server.client().login()
    other.ok("CONFIG SERVER")
    assert other.script() == b"" and "2525" not in other.ask("SHOW Config")
    server.smtp.refuse = ""
    admin.ok("COMMIT")
    assert listeners(server) == ["127.0.0.1:2525"]


def test_back_after_a_refused_activation_drops_everything(server, admin):
    admin.ok("CONFIG SERVER")
    admin.upload(b"# pending\n")
    server.smtp.refuse = "no"
    admin.refused("COMMIT")
    server.smtp.refuse = ""
    admin.ok("BACK", "CONFIG SERVER", "COMMIT")
    assert server.smtp.generations[-1].script == b""


def test_a_broken_connection_drops_what_is_pending(server):
    client = in_smtp(server.client().login())
    add_listener(client, "127.0.0.1:2525")
    client.ok("COMMIT")
    client.close()
    other = in_smtp(server.client().login())
    assert "2525" not in other.ask("LIST Listeners")


def test_a_removed_listener_goes_with_the_commit(server, admin):
    in_smtp(admin)
    add_listener(admin, "127.0.0.1:25")
    add_listener(admin, "127.0.0.1:26")
    admin.ok("COMMIT", "COMMIT")
    in_smtp(admin).ok("REMOVE Listener address 127.0.0.1:25")
    assert listeners(server) == ["127.0.0.1:25", "127.0.0.1:26"]
    admin.ok("COMMIT", "COMMIT")
    assert listeners(server) == ["127.0.0.1:26"]


def test_a_commit_without_a_change_activates_again(server, admin):
    """So that a certificate that was renewed under its old name is read again."""
    admin.ok("CONFIG SERVER", "COMMIT")
    assert [generation.number for generation in server.smtp.generations] == [1, 2]


# --- two administrators -------------------------------------------------------------------------


@pytest.fixture
def two(server, admin):
    in_smtp(admin)
    add_listener(admin, "127.0.0.1:25")
    add_listener(admin, "127.0.0.1:26")
    admin.ok("COMMIT", "COMMIT")
    return in_smtp(admin), in_smtp(server.client().login())


def commit(client):
    client.ok("COMMIT")
    return client


def test_the_same_listener_changed_twice_is_refused_and_both_generations_are_named(server, two):
    first, second = two
    for client, seconds in ((first, 7), (second, 8)):
        client.ok("UPDATE Listener 127.0.0.1:25", f"SET idleTimeout {seconds}", "COMMIT")
    commit(first).ok("COMMIT")
    reason = commit(second).refused("COMMIT")
    assert "generation 2 was read here, generation 3 is running" in reason and "listener 127.0.0.1:25" in reason
    assert server.smtp.generations[-1].listeners[0].idle_timeout == 7
    second.ok("BACK", "CONFIG SERVER", "CONFIG SMTP-INCOMING")
    assert second.shown("SHOW Listener 127.0.0.1:25")["idleTimeout"] == "7"


def test_different_listeners_are_merged(server, two):
    first, second = two
    first.ok("UPDATE Listener 127.0.0.1:25", "SET idleTimeout 7", "COMMIT")
    second.ok("UPDATE Listener 127.0.0.1:26", "SET idleTimeout 8", "COMMIT", "SET maxErrors 9")
    add_listener(second, "127.0.0.1:27")
    commit(first).ok("COMMIT")
    commit(second).ok("COMMIT")
    generation = server.smtp.generations[-1]
    assert [(one.address, one.idle_timeout) for one in generation.listeners] == [
        ("127.0.0.1:25", 7),
        ("127.0.0.1:26", 8),
        ("127.0.0.1:27", 300),
    ]
    assert generation.max_errors == 9


def test_removing_what_another_session_changed_is_refused(server, two):
    first, second = two
    first.ok("UPDATE Listener 127.0.0.1:25", "SET idleTimeout 7", "COMMIT")
    second.ok("REMOVE Listener 127.0.0.1:25")
    commit(first).ok("COMMIT")
    assert "listener 127.0.0.1:25" in commit(second).refused("COMMIT")
    assert listeners(server) == ["127.0.0.1:25", "127.0.0.1:26"]


def test_removing_twice_is_one_wish_of_two_people_but_one_change(server, two):
    first, second = two
    for client in two:
        client.ok("REMOVE Listener 127.0.0.1:25")
    commit(first).ok("COMMIT")
    assert "listener 127.0.0.1:25" in commit(second).refused("COMMIT")


def test_two_scripts_are_refused_and_script_and_listener_are_merged(server, two):
    first, second = two
    third = server.client().login()
    third.ok("CONFIG SERVER")
    for client, script in ((commit(first), b"# 1\n"), (commit(second), b"# 2\n")):
        client.upload(script)
    third.ok("CONFIG SMTP-INCOMING", "REMOVE Listener 127.0.0.1:26", "COMMIT")
    first.ok("COMMIT")
    assert "policy script" in second.refused("COMMIT")
    third.ok("COMMIT")
    assert server.smtp.generations[-1].script == b"# 1\n"
    assert listeners(server) == ["127.0.0.1:25"]


def test_reset_takes_up_the_newer_generation(server, two):
    first, second = two
    commit(first).upload(b"# 1\n")
    first.ok("COMMIT")
    commit(second).ok("RESET")
    second.upload(b"# 2\n")
    second.ok("COMMIT")
    assert server.smtp.generations[-1].script == b"# 2\n"


# --- saved --------------------------------------------------------------------------------------


def test_a_restart_keeps_what_was_saved_and_nothing_else(server, admin):
    in_smtp(admin)
    add_listener(admin, "127.0.0.1:25", "idleTimeout 7", "sslEnable yes")
    admin.ok("COMMIT")
    admin.upload(b"# saved\n")
    admin.ok("SET serverName mx", "COMMIT", "SAVE CONFIG")
    saved = server.smtp.generations[-1]
    in_smtp(admin)
    add_listener(admin, "127.0.0.1:26")
    admin.ok("COMMIT")
    admin.upload(b"# not saved\n")
    admin.ok("COMMIT")
    server.restart()
    loaded = server.smtp.generations[-1]
    assert (loaded.listeners, loaded.script, loaded.server_name) == (saved.listeners, b"# saved\n", "mx")


@pytest.mark.parametrize("place", [(), ("CONFIG SERVER",), ("CONFIG SERVER", "CONFIG SMTP-INCOMING")])
def test_save_config_is_there_in_root_server_and_service(server, admin, place):
    admin.ok(*place, "SAVE CONFIG") if place else admin.ok("SAVE CONFIG")
    assert (server.state_dir / SAVED_TREE).exists()
    assert "no path" in admin.refused("SAVE CONFIG /tmp/x")


def test_saving_that_fails_is_said_and_keeps_the_old_files(server, admin):
    admin.ok("SAVE CONFIG")
    before = (server.state_dir / SAVED_TREE).read_bytes()
    in_smtp(admin)
    add_listener(admin, "127.0.0.1:25")
    admin.ok("COMMIT", "COMMIT")
    blocker = server.state_dir / (SAVED_SCRIPT + ".new")
    blocker.mkdir()
    assert "cannot be saved" in admin.refused("SAVE CONFIG")
    blocker.rmdir()
    assert (server.state_dir / SAVED_TREE).read_bytes() == before
    server.restart()
    assert listeners(server) == []


@pytest.mark.parametrize("at", range(20))
def test_saving_is_all_or_nothing_wherever_it_stops(server, admin, monkeypatch, at):
    """The process ends at the n-th change of the file system: the next start finds one of both states, whole."""
    in_smtp(admin)
    add_listener(admin, "127.0.0.1:25")
    admin.ok("COMMIT")
    admin.upload(b"# old\n")
    admin.ok("COMMIT", "SAVE CONFIG")
    in_smtp(admin)
    add_listener(admin, "127.0.0.1:26")
    admin.ok("COMMIT")
    admin.upload(b"# new\n")
    admin.ok("COMMIT")
    steps = iter(range(1000))

    class Ended(OSError):
        filename, strerror = "x", "the process ends here"

    def counted(function):
        def run(*arguments, **keywords):
            if next(steps) >= at:
                raise Ended
            return function(*arguments, **keywords)

        return run

    with monkeypatch.context() as patch:
        for name in ("open", "replace", "unlink", "fsync"):
            patch.setattr(configuration.os, name, counted(getattr(os, name)))
        answer = admin.ask("SAVE CONFIG")
    server.restart()
    found = (listeners(server), server.smtp.generations[-1].script)
    old = (["127.0.0.1:25"], b"# old\n")
    new = (["127.0.0.1:25", "127.0.0.1:26"], b"# new\n")
    assert found == new if answer.startswith("+OK") else found in (old, new)
    assert not list(server.state_dir.rglob("*.new"))


def test_the_saved_file_is_readable_by_people_and_by_nobody_else(server, admin):
    admin.ok("SAVE CONFIG")
    text = (server.state_dir / SAVED_TREE).read_text()
    assert text.startswith("Server {\n    services = (smtpIncoming smtpOutgoing processing)\n    primaryDomain")
    assert (server.state_dir / SAVED_TREE).stat().st_mode & 0o007 == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Server {\n  serverName = \"x\"\n  smtpIncoming = {\n    maxErrors = 1000\n  }\n}\n", "line 4: maxErrors"),
        ("Server {\n", "line 1"),
        ("Client {}\n", "line 1"),
    ],
)
def test_a_saved_file_with_an_error_stops_the_start_with_its_line(server, text, reason):
    (server.state_dir / SAVED_TREE).write_text(text)
    with pytest.raises(LoadError) as caught:
        server.configuration.load()
    assert SAVED_TREE in str(caught.value) and reason in str(caught.value)


def test_the_initial_script_is_used_while_nothing_was_saved(server, admin, tmp_path):
    initial = tmp_path / "initial.script"
    initial.write_bytes(b"# initial\r\n")
    server.configuration.load(str(initial))
    assert server.configuration.running.script == b"# initial\r\n"
    admin.ok("CONFIG SERVER")
    admin.upload(b"# own\n")
    admin.ok("COMMIT", "SAVE CONFIG")
    server.configuration.load(str(initial))
    assert server.configuration.running.script == b"# own\n"
    with pytest.raises(LoadError, match="missing.script: the initial script does not exist"):
        (server.state_dir / SAVED_SCRIPT).unlink()
        server.configuration.load(str(tmp_path / "missing.script"))


# --- crash --------------------------------------------------------------------------------------


def test_a_crash_keeps_the_active_generation(server, admin):
    in_smtp(admin)
    add_listener(admin, "127.0.0.1:25")
    admin.ok("COMMIT")
    admin.upload(b"# \x00 active\xfc\r\n")
    admin.ok("COMMIT")
    server.crash()
    assert (listeners(server), server.smtp.generations[-1].script) == (["127.0.0.1:25"], b"# \x00 active\xfc\r\n")


def test_a_generation_that_crashes_the_server_comes_back_once(server, admin):
    in_smtp(admin)
    add_listener(admin, "127.0.0.1:25")
    admin.ok("COMMIT", "COMMIT")
    server.crash()
    server.crash()
    assert listeners(server) == []


def test_a_generation_that_was_refused_does_not_come_back_after_a_crash(server, admin):
    in_smtp(admin)
    add_listener(admin, "127.0.0.1:25")
    admin.ok("COMMIT", "COMMIT")
    in_smtp(admin)
    add_listener(admin, "127.0.0.1:26")
    admin.ok("COMMIT")
    server.smtp.refuse = "no"
    admin.refused("COMMIT")
    server.smtp.refuse = ""
    server.crash()
    assert listeners(server) == ["127.0.0.1:25"]


def test_what_cannot_be_published_is_taken_back(server, admin, monkeypatch):
    def fail(*_arguments):
        raise OSError(5, "Input/output error", "postern.active")

    admin.ok("CONFIG SERVER", "SET serverName other.example")
    with monkeypatch.context() as patch:
        patch.setattr(configuration.os, "replace", fail)
        assert "postern.active: Input/output error" in admin.refused("COMMIT")
    assert [generation.server_name for generation in server.smtp.generations[-2:]] == [
        "other.example",
        "mail.example.test",
    ]
    assert server.configuration.running.number == 1
    admin.ok("COMMIT")
    assert server.smtp.generations[-1].number == 2


def test_what_cannot_be_made_durable_does_not_become_active(server, admin):
    blocker = server.state_dir / (ACTIVE + ".new")
    blocker.mkdir()
    admin.ok("CONFIG SERVER", "SET serverName other")
    assert "postern.active" in admin.refused("COMMIT")
    assert server.smtp.generations[-1].server_name == "mail.example.test"
    blocker.rmdir()
    admin.ok("COMMIT")
