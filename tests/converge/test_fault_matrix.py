# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every step of every module fails once, in every way that a server or a network can fail.

Afterwards the server has the old state or the new one, saved and running, the error names the step, and the same task
converges. One test is one task and one kind of harm to each of its steps. The second server takes a script at its
upload, as AXIGEN may: what cannot be undone there is what the error says.
"""

from __future__ import annotations

import base64
import os
import socket
import typing as t

import pytest
import shuffled
from fault_matrix import Bench, Task
from fault_relay import CUT, FRONTED, GARBLED, LOST, REFUSED, STALLED, TORN, TRAILED
from mta_process import SCRIPT, Mta

#: What every step is made to suffer, and what some tasks suffer in addition.
HARMS = (REFUSED, CUT, LOST, GARBLED, STALLED)
MORE = (TORN, FRONTED, TRAILED)
#: What lasts, too, and for which tasks in addition. A client that has failed no longer asks how: these stand for all.
LASTING = (LOST,)
LASTING_FOR = {"policy": (REFUSED,)}

#: This process has a network address of its own: nobody takes a listener's port while it is closed.
HOST = "127.%d.%d.%d" % (64 + (os.getpid() >> 16) % 64, os.getpid() >> 8 & 255, os.getpid() & 255)

PASSWORD = 'Pw-2 "x" %authUser% }#\\'
#: Pieces of it, as it is and as it stands in a script.
PIECES = (PASSWORD[:4], base64.b64encode(PASSWORD.encode()).decode()[:5])


class Addresses(t.NamedTuple):
    """Addresses of listeners: two that are there before each task, and one that is not."""

    first: str
    second: str
    new: str


def _address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return "%s:%d" % probe.getsockname()


def _base(lab, at: Addresses) -> Task:
    """What a server has before each task."""
    listeners = [
        {"address": at.first, "certificate": lab.ecdsa, "versions": ["1.2"], "denied_networks": ["192.0.2.0/24"]},
        {"address": at.second, "certificate": lab.ecdsa, "idle_timeout": 200},
    ]
    policy = {
        "listeners": listeners,
        "auth_rules": [{"name": "closed", "connection": "plain", "mechanisms": []}],
        "relay_tls": [{"name": "relaying", "level": "may", "versions": ["1.2"]}],
        "forced_tls_domains": [{"domain": "kept.test"}],
    }
    return Task("smtp_policy", policy)


def _everything(lab, at: Addresses) -> dict[str, t.Any]:
    return {
        "listeners": [
            {"address": at.first, "versions": ["1.2", "1.3"]},
            {"address": at.new, "certificate": lab.ecdsa, "tls": "implicit"},
            {"address": at.second, "state": "absent"},
        ],
        "auth_rules": [
            {"name": "open", "connection": "tls", "mechanisms": ["PLAIN"]},
            {"name": "closed", "connection": "plain", "mechanisms": ["LOGIN"]},
        ],
        "relay": {"host": "smarthost.test", "port": 587, "level": "encrypt", "username": "u", "password": PASSWORD},
        "relay_tls": [{"name": "relaying", "level": "may", "versions": ["1.3"]}],
        "forced_tls_domains": [{"domain": "kept.test", "state": "absent"}, {"domain": "new.test"}],
    }


def _tasks(lab, at: Addresses) -> dict[str, Task]:
    """A task of each module; more of those whose tasks have different commands."""
    networks = {"allowed_networks": ["10.0.0.0/8"], "denied_networks": []}
    listener = {"address": at.first, "versions": ["1.3"], "max_connections": 10}
    account = {"domain": "old.test", "account": "user1"}
    domain = {"domain": "new.test", "account": "user2", "password": PASSWORD, "postmaster_password": PASSWORD}
    return {
        "policy": Task("smtp_policy", _everything(lab, at), secrets=PIECES),
        "listener": Task("smtp_listener", listener | networks),
        "tls": Task("smtp_tls", {"listeners": [at.first], "versions": ["1.3"], "ciphers": "ECDHE+AESGCM"}),
        "auth_rule": Task("smtp_auth_rule", {"name": "open", "connection": "tls", "mechanisms": ["PLAIN"]}),
        "relay_tls": Task("smtp_relay_tls", {"name": "relaying", "level": "encrypt", "versions": ["1.3"]}),
        "forced_tls_domain": Task("smtp_forced_tls_domain", {"domains": ["new.test", "a.test"], "direction": "both"}),
        "domain_and_account": Task(
            "smtp_account",
            domain,
            secrets=PIECES,
            undo=Task("smtp_account", {"domain": "new.test", "state": "absent"}),
            staged=True,
        ),
        "password": Task(
            "smtp_account",
            account | {"password": PASSWORD, "update_password": "always"},
            secrets=PIECES,
            undo=Task("smtp_account", account | {"password": "old", "update_password": "always"}),
        ),
        "account_gone": Task(
            "smtp_account", account | {"state": "absent"}, undo=Task("smtp_account", account | {"password": "old"})
        ),
        "info": Task("smtp_info", {}),
        "dialect": Task("smtp_dialect", {}),
    }


def _restoration(bench: Bench, folder, other: Task) -> Task:
    """Back to a state that the server had once: the one behind ``other``."""
    bench.must(other)
    last = {"domain": "last.test", "backup": True, "backup_dir": str(folder)}
    made = bench.must(Task("smtp_forced_tls_domain", last))
    bench.go_back()
    # Behind a relay the server has another address.
    return Task("smtp_restore", {"src": made["backup_file"], "other_server": True})


@pytest.fixture(scope="module")
def bench(tmp_path_factory, lab, password_hash):
    """A server that makes script and settings active together, at COMMIT."""
    mta = Mta(tmp_path_factory.mktemp("matrix"), password_hash, SCRIPT)
    bench = Bench(mta, dialect="postern")
    at = Addresses(_address(), _address(), _address())
    mta.start()
    try:
        bench.must(_base(lab, at))
        passwords = {"password": "old", "postmaster_password": "old"}
        bench.must(Task("smtp_account", passwords | {"domain": "old.test", "account": "user1"}))
        bench.keep()
        bench.tasks = _tasks(lab, at)
        bench.tasks["restore"] = _restoration(bench, tmp_path_factory.mktemp("backups"), bench.tasks["listener"])
        yield bench
    finally:
        bench.close()
        mta.stop()


@pytest.fixture(scope="module")
def learned_bench(tmp_path_factory, lab, password_hash):
    """A server of another make, on which a script counts, and is on disk, when it was uploaded."""
    mta = Mta(tmp_path_factory.mktemp("learned"), password_hash, shuffled.SCRIPT, shuffled.bootstrap())
    profile = shuffled.PROFILE | {"encrypted_after_starttls": True}
    bench = Bench(mta, at_once=True, dialect_profile=profile)
    at = Addresses(_address(), _address(), _address())
    mta.start()
    try:
        bench.must(_base(lab, at))
        bench.keep()
        listener = {"address": at.first, "versions": ["1.3"]}
        both = {"listeners": [listener], "forced_tls_domains": [{"domain": "new.test"}]}
        bench.tasks = {"policy": Task("smtp_policy", both)}
        other = Task("smtp_listener", listener)
        bench.tasks["restore"] = _restoration(bench, tmp_path_factory.mktemp("backups"), other)
        yield bench
    finally:
        bench.close()
        mta.stop()


def suffer(bench: Bench, name: str, harm: str, beside: str = "") -> None:
    """The task with this harm to each of its steps, and where it can make a difference with one that lasts.

    Without the steps that the task ``beside`` has as well.
    """
    lasting = harm in LASTING + LASTING_FOR.get(name, ())
    known = bench.recording(bench.tasks[beside]) if beside else None
    problems = bench.problems(bench.recording(bench.tasks[name]), harm, lasting, known)
    assert not problems, "\n".join(["%d problems:" % len(problems), *problems])


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize(
    "name",
    [
        "policy", "listener", "tls", "auth_rule", "relay_tls", "forced_tls_domain", "restore",
        "domain_and_account", "info", "dialect",
    ],
)  # fmt: skip
def test_harm_to_each_step(bench, name, harm):
    suffer(bench, name, harm)


@pytest.mark.parametrize("name", ["password", "account_gone"])
def test_lost_answer_to_each_step_of_further_commands(bench, name):
    suffer(bench, name, LOST)


@pytest.mark.parametrize("harm", [harm for harm in HARMS if harm != LOST])
@pytest.mark.parametrize("name", ["password", "account_gone"])
def test_harm_to_each_further_command(bench, name, harm):
    suffer(bench, name, harm, beside="domain_and_account")


@pytest.mark.parametrize("harm", MORE)
def test_rarer_harm_to_each_step(bench, harm):
    suffer(bench, "auth_rule", harm)


@pytest.mark.parametrize("harm", [REFUSED, LOST, STALLED])
@pytest.mark.parametrize("name", ["policy", "restore"])
def test_harm_to_each_step_where_an_upload_counts(learned_bench, name, harm):
    suffer(learned_bench, name, harm)
