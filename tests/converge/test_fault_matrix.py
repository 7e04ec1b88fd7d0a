# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every step of every module fails once, in every way that a server or a network can fail.

Afterwards the server has the old state or the new one, saved and running, the error names the step, and the same task
converges. One test is one task and one kind of harm to each of its steps.
"""

from __future__ import annotations

import os
import socket

import fault_relay
import pytest
from fault_matrix import Bench, Task
from mta_process import SCRIPT, Mta

ADDRESS = "127.%d.%d.%d" % (64 + (os.getpid() >> 16) % 64, os.getpid() >> 8 & 255, os.getpid() & 255)
RELAY_PASSWORD = 'Re-9 "x" %authUser% }#\\'
ACCOUNT_PASSWORD = 'Acc-2 "y" \\'

#: What every step is made to suffer, and what one task suffers in addition.
HARMS = (fault_relay.REFUSED, fault_relay.CUT, fault_relay.LOST, fault_relay.GARBLED, fault_relay.STALLED)
MORE = (fault_relay.TORN, fault_relay.FRONTED, fault_relay.TRAILED)
#: Those that last, too. A client that has failed does not know any more how, so these stand for the others.
LASTING = (fault_relay.REFUSED, fault_relay.CUT, fault_relay.LOST)


def _address() -> str:
    """A listener's address that nobody else on this host takes meanwhile: this process has a network address of its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((ADDRESS, 0))
        return "%s:%d" % probe.getsockname()


def _base(lab, first: str, second: str) -> list[Task]:
    """What the server has before each case."""
    listeners = [
        {"address": first, "certificate": lab.ecdsa, "versions": ["1.2"], "denied_networks": ["192.0.2.0/24"]},
        {"address": second, "certificate": lab.rsa, "idle_timeout": 200},
    ]
    policy = {
        "listeners": listeners,
        "auth_rules": [{"name": "closed", "connection": "plain", "mechanisms": []}],
        "relay_tls": [{"name": "relaying", "level": "may", "versions": ["1.2"]}],
        "forced_tls_domains": [{"domain": "kept.test"}, {"domain": "bank.test", "direction": "outbound"}],
    }
    return [
        Task("smtp_policy", policy),
        Task("smtp_account", {"domain": "old.test", "account": "user1", "password": "old", "postmaster_password": "old"}),
    ]


def _tasks(lab, first: str, second: str) -> dict[str, Task]:
    everything = {
        "listeners": [
            {"address": first, "versions": ["1.2", "1.3"], "ciphers": "ECDHE+AESGCM", "denied_networks": []},
            {"address": _address(), "certificate": lab.ecdsa, "tls": "implicit", "allowed_networks": ["10.0.0.0/8"]},
            {"address": second, "state": "absent"},
        ],
        "starttls": {"outbound": False},
        "auth_rules": [
            {"name": "open", "connection": "tls", "mechanisms": ["PLAIN"]},
            {"name": "closed", "connection": "plain", "mechanisms": ["LOGIN"]},
        ],
        "relay": {"host": "smarthost.test", "port": 587, "level": "encrypt", "username": "u", "password": RELAY_PASSWORD},
        "relay_tls": [{"name": "relaying", "level": "encrypt", "versions": ["1.3"]}],
        "forced_tls_domains": [{"domain": "kept.test", "state": "absent"}, {"domain": "new.test"}],
    }
    listener = {
        "address": first,
        "certificate": lab.rsa,
        "versions": ["1.3"],
        "prefer_server_ciphers": False,
        "idle_timeout": 100,
        "max_connections": 10,
        "allowed_networks": ["10.0.0.0/8"],
        "denied_networks": ["0.0.0.0/0"],
    }
    account = {"domain": "old.test", "account": "user1"}
    domain = {"domain": "new.test", "account": "user2"}
    passwords = {"password": ACCOUNT_PASSWORD, "postmaster_password": ACCOUNT_PASSWORD}
    return {
        "policy": Task("smtp_policy", everything, secrets=(RELAY_PASSWORD,)),
        "listener": Task("smtp_listener", listener),
        "tls": Task("smtp_tls", {"versions": ["1.3"], "certificate": lab.ecdsa, "starttls_inbound": False}),
        "auth_rule": Task("smtp_auth_rule", {"name": "open", "connection": "tls", "mechanisms": ["PLAIN"]}),
        "relay_tls": Task("smtp_relay_tls", {"name": "relaying", "level": "encrypt", "versions": ["1.3"]}),
        "forced_tls_domain": Task("smtp_forced_tls_domain", {"domains": ["new.test", "a.test"], "direction": "both"}),
        "domain_and_account": Task(
            "smtp_account",
            domain | passwords,
            secrets=(ACCOUNT_PASSWORD,),
            undo=Task("smtp_account", {"domain": "new.test", "state": "absent"}),
            staged=True,
        ),
        "password": Task(
            "smtp_account",
            account | {"password": ACCOUNT_PASSWORD, "update_password": "always"},
            secrets=(ACCOUNT_PASSWORD,),
            undo=Task("smtp_account", account | {"password": "old", "update_password": "always"}),
        ),
        "account_gone": Task(
            "smtp_account",
            account | {"state": "absent"},
            undo=Task("smtp_account", account | {"password": "old"}),
        ),
        "info": Task("smtp_info", {}),
    }


NAMES = (
    "policy", "listener", "tls", "auth_rule", "relay_tls", "forced_tls_domain",
    "domain_and_account", "password", "account_gone", "info",
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory, lab, password_hash):
    """A server for all cases, with the tasks that it is to suffer."""
    mta = Mta(tmp_path_factory.mktemp("matrix"), password_hash, SCRIPT)
    mta.start()
    bench = Bench(mta, dialect="postern")
    try:
        first, second = _address(), _address()
        for task in _base(lab, first, second):
            bench.must(task)
        bench.keep()
        bench.tasks = _tasks(lab, first, second)
        yield bench
    finally:
        bench.close()
        mta.stop()


@pytest.mark.parametrize(
    ("name", "harm"), [(name, harm) for name in NAMES for harm in HARMS + (MORE if name == "policy" else ())]
)
def test_harm_to_each_step(bench, name, harm):
    recording = bench.recording(bench.tasks[name])
    problems = bench.problems(recording, harm, harm in LASTING or name == "policy")
    assert not problems, "\n".join(["%d cases:" % len(problems), *problems])
