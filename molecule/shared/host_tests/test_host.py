# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the server's host looks like, the same in every scenario."""

from __future__ import annotations

import json
import os
import socket

import pytest
import wire


@pytest.fixture
def facts():
    """What the verification knows about this scenario's host."""
    return wire.facts()


@pytest.fixture
def prefix(facts):
    """The folder that the server lives in."""
    return facts["prefix"]


@pytest.fixture
def server(facts):
    """Listeners, accounts and names of this scenario."""
    return facts["server"]


@pytest.fixture
def status(host, prefix):
    """What the server says about itself."""
    done = host.run("%s %s status --config %s", f"{prefix}/lib/venv/bin/python", f"{prefix}/lib/postern.pyz",
                    f"{prefix}/etc/postern.toml")
    assert done.rc == 0, done.stderr
    return json.loads(done.stdout)


def test_process_is_not_root(host, status):
    # Read from /proc: a small host has no "ps".
    owner = host.file(f"/proc/{status['server_pid']}/status").user
    assert owner == ("postern" if os.geteuid() == 0 else host.user().name)


def test_only_the_declared_ports_listen(status, facts, server):
    addresses = [listener["address"] for listener in server["listeners"]]
    if facts["form"] == "article":
        addresses.append(f"127.0.0.1:{facts['twin_port']}")
    assert sorted(status["listening"]) == sorted(addresses), "the drift removed one"
    for address in addresses:
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 10):
            pass


def test_secrets_are_private(host, prefix):
    for name in ("state/admin.passwd", "state/certs/server.pem"):
        assert host.file(f"{prefix}/{name}").mode == 0o600, name


def test_foreign_rule_survived(host, prefix):
    # Bytes: a script may have been written in the days of Latin-1.
    script = host.file(f"{prefix}/state/filters/smtpFilters.script").content
    assert b'method added_by_hand {' in script
    assert b'    set ( maxRcptCount,"77" ) ;   # not the usual style' in script


def test_no_password_in_the_log(host, prefix, server):
    log = host.file(f"{prefix}/log/postern.log").content_string
    assert "admin.command" in log
    assert server["password"] not in log
