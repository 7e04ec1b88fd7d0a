# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the host of the Postfix looks like after it was hardened, drifted, and hardened again."""

from __future__ import annotations

import socket

import pytest
import wire


@pytest.fixture
def facts():
    """What the verification knows about this scenario's host."""
    return wire.facts()


@pytest.fixture
def folder(facts):
    """The instance."""
    return f"{facts['prefix']}/postfix"


def test_only_the_master_process_is_root(host, folder):
    pid = host.file(f"{folder}/queue/pid/master.pid").content_string.split()[0]
    children = host.run("cat /proc/%s/task/%s/children", pid, pid).stdout.split()
    # Who gave up being root may not be looked into, so the owner of the file says nothing.
    users = {
        line.split()[2] for child in children for line in host.file(f"/proc/{child}/status").content_string.splitlines()
        if line.startswith("Uid:")
    }
    assert children and "0" not in users


def test_the_declared_listeners_answer_and_there_are_no_others(host, facts, folder):
    services = [
        line.split()[0] for line in host.file(f"{folder}/etc/postfix/master.cf").content_string.splitlines()
        if line[:1] not in ("#", " ", "\t", "") and line.split()[1] == "inet"
    ]
    assert sorted(services) == sorted(listener["address"] for listener in facts["server"]["listeners"])
    for address in services:
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 10):
            pass


def test_lines_of_others_survived(host, folder):
    main = host.file(f"{folder}/etc/postfix/main.cf").content_string
    for lines in (
        "# by hand:   spaces and all\nsmtpd_soft_error_limit   =   17\n",
        "# seen at night:\n\nsmtpd_hard_error_limit =\n  # a comment inside\n    19",
    ):
        assert lines in main
    master = host.file(f"{folder}/etc/postfix/master.cf").content_string
    assert "# Users; the office scanner needs the old versions (written by hand)\n" in master
    assert "#       -o smtp_helo_timeout=5 -o smtp_connect_timeout=5\n" in master
    assert "  -o syslog_name=postfix/submission\n" in master


def test_nothing_is_left_of_the_change(host, folder):
    found = host.run("find %s -name '*.securemail-*' -o -name journal.json", f"{folder}/etc/postfix").stdout
    assert found == ""


def test_no_password_is_in_the_files(host, facts, folder):
    assert host.run("grep -rF %s %s", facts["server"]["password"], f"{folder}/etc").rc == 1
