# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers that do not do what they say: the run fails with what is wrong, and leaves nothing behind."""

from __future__ import annotations

import socket

import pytest
from proxy import FaultyAdmin


@pytest.fixture
def faulty(mta):
    """A function that puts a fault in front of the server's admin port."""
    proxies = []

    def make(**faults):
        proxies.append(FaultyAdmin(mta.port, **faults))
        return proxies[-1].port

    yield make
    for proxy in proxies:
        proxy.close()


@pytest.fixture
def listener(run, lab, free_port):
    """A listener with a certificate and TLS 1.2."""
    address = "127.0.0.1:%d" % free_port()
    assert run("smtp_listener", address=address, certificate=lab.ecdsa, versions=["1.2"])["changed"]
    return address


def wanted(address):
    return {"listeners": [address], "versions": ["TLSv1.2", "TLSv1.3"], "ciphers": "ECDHE+AESGCM"}


def test_value_that_is_taken_and_dropped(run, faulty, listener):
    def keep_the_old_ciphers(line):
        return b"SET preferServerCipherSuiteOrder yes\r\n" if b"cipherSuite" in line else line

    result = run("smtp_tls", admin_port=faulty(ask=keep_the_old_ciphers), **wanted(listener))
    assert result["failed"]
    for part in (listener, "ciphers", "ECDHE+AESGCM", "found None"):
        assert part in result["msg"]


def test_set_in_another_order_is_no_difference(run, faulty, listener):
    def other_order(block):
        return block.replace(b"(tls1_2 tls1_3)", b"(tls1_3 tls1_2)")

    port = faulty(answer=other_order)
    assert run("smtp_tls", admin_port=port, **wanted(listener))["changed"] is True
    again = run("smtp_tls", admin_port=port, **wanted(listener))
    assert again["changed"] is False
    assert again["diff"]["before"] == again["diff"]["after"]


def test_read_only_administrator(run, mta, faulty, listener):
    """COMMIT is refused: check mode predicts the change, the run fails, nothing pending is left."""

    def refuse_commit(line):
        return b"NOT-PERMITTED\r\n" if line.strip().upper() == b"COMMIT" else line

    port = faulty(ask=refuse_commit)
    assert run("smtp_tls", check=True, admin_port=port, **wanted(listener))["changed"] is True
    before = run("smtp_info")["policy"]
    result = run("smtp_tls", admin_port=port, **wanted(listener))
    assert result["failed"]
    assert "COMMIT" in result["msg"]
    assert run("smtp_info")["policy"] == before


def test_server_that_cannot_save(run, faulty):
    """Neither the new state nor the old one: what runs is the old one, and what is saved is not claimed."""
    before = run("smtp_info")["policy"]
    port = faulty(ask=lambda line: None if line.upper().startswith(b"SAVE") else line)
    result = run("smtp_auth_rule", admin_port=port, name="closed", connection="plain", mechanisms=[])
    assert result["failed"]
    assert result["server_state"] == "unknown"
    assert "SAVE CONFIG" in result["msg"]
    assert run("smtp_info")["policy"] == before


def test_port_that_is_taken(run, mta):
    """The server refuses the COMMIT, the old configuration stays, and the message names the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        before = run("smtp_info")["policy"]
        assert run("smtp_listener", check=True, address=address)["changed"] is True
        result = run("smtp_listener", address=address)
        assert result["failed"]
        assert address in result["msg"]
        assert run("smtp_info")["policy"] == before
        assert mta.events("admin.command")


def test_somebody_else_changes_the_server_once(run, mta, faulty, listener, free_port):
    """A change between reading and writing is noticed, and the run plans anew on top of it."""
    other = []

    def meanwhile(line):
        if line.upper().startswith(b"BACK") and not other:
            other.append(run("smtp_auth_rule", name="theirs", connection="plain", mechanisms=[]))
        return line

    result = run("smtp_auth_rule", admin_port=faulty(ask=meanwhile), name="ours", connection="tls", mechanisms=["PLAIN"])
    assert other[0]["changed"] and result["changed"]
    assert run("smtp_info")["policy"]["rule_order"]["ehlo"][2:] == ["theirs", "ours"]


def test_somebody_else_keeps_changing_the_server(run, faulty, listener):
    rounds = []

    def meanwhile(line):
        if line.upper().startswith(b"BACK") and len(rounds) < 5:
            rounds.append(1)
            run("smtp_auth_rule", name="theirs%d" % len(rounds), connection="plain", mechanisms=[])
        return line

    result = run("smtp_auth_rule", admin_port=faulty(ask=meanwhile), name="ours", connection="tls", mechanisms=["PLAIN"])
    assert result["failed"]
    assert "changed since it was read" in result["msg"]


def test_wrong_password_is_tried_once_and_never_shown(run, mta):
    result = run("smtp_info", admin_password="not-the-password")
    assert result["failed"]
    assert "admin_password" in result["msg"]
    assert "not-the-password" not in result.output
    assert [verb for verb, _subject in mta.verbs()].count("USER") == 1


def test_server_down(run, free_port):
    port = free_port()
    result = run("smtp_info", admin_port=port)
    assert result["failed"]
    assert "127.0.0.1:%d" % port in result["msg"]


def test_server_that_speaks_something_else(run):
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.listen()
        import threading

        def greet():
            connection, _peer = other.accept()
            connection.sendall(b"220 mail.example.test ESMTP\r\n")
            connection.recv(1024)
            connection.close()

        threading.Thread(target=greet, daemon=True).start()
        result = run("smtp_info", admin_port=other.getsockname()[1], admin_timeout=2)
    assert result["failed"]
    assert "login prompt" in result["msg"]
    assert "ESMTP" in result["msg"]


def test_clear_text_to_another_host_is_refused(run):
    result = run("smtp_info", admin_host="192.0.2.1")
    assert result["failed"]
    assert "allow_clear_text" in result["msg"]


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("check", [True, False])
def test_what_cannot_be_recognised_is_not_called_absent(run, state, check):
    """Without the script's name for the recipient's domain, a hand-made rule cannot be seen: nothing is claimed about it."""
    run("smtp_forced_tls_domain", domain="b.test")
    for module, parameters in (
        ("smtp_forced_tls_domain", {"domain": "b.test", "state": state}),
        ("smtp_policy", {"forced_tls_domains": [{"domain": "b.test", "state": state}]}),
    ):
        result = run(module, check=check, dialect="axigen", **parameters)
        assert result.get("failed"), result
        assert "the domain of the recipient" in result["msg"]
    assert [rule["domain"] for rule in run("smtp_info")["policy"]["forced_tls_domains"]] == ["b.test"]
