# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers that say the same in other ways: one run converges, the next changes nothing, the result is the same."""

from __future__ import annotations

import pytest
from habits import Fakes, Noisy, OtherServer, OtherVerbs, Reformats, Wordy
from mta_process import PASSWORD

from ansible_collections.securemail.smtp.plugins.module_utils import _converge, _goal
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import accounts, ending
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.cli import AdminSession
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import POSTERN
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.server import AxigenServer


def policy(lab, port):
    """Two listeners with all that a listener has, rules, and STARTTLS."""
    return {
        "listeners": [
            {
                "address": "127.0.0.1:%d" % port,
                "certificate": lab.ecdsa,
                "versions": ["1.2", "1.3"],
                "ciphers": "ECDHE+AESGCM",
                "idle_timeout": 120,
                "allowed_networks": ["127.0.0.0/8"],
                "denied_networks": ["10.0.0.0/8"],
            },
            {"address": "0.0.0.0:587", "enabled": False, "tls": "none"},
        ],
        "auth_rules": [{"name": "closed", "connection": "plain", "mechanisms": []}],
        "forced_tls_domains": [{"domain": "partner.test"}],
        "starttls": {"inbound": True},
    }


@pytest.mark.parametrize("habits", [Noisy, Wordy, OtherVerbs, Reformats, Fakes])
def test_same_result_in_other_words(run, mta, lab, free_port, habits):
    wanted = policy(lab, free_port())
    server = OtherServer(mta.port, habits())
    try:
        first = run("smtp_policy", admin_port=server.port, **wanted)
        assert first.get("changed") is True, first
        again = run("smtp_policy", admin_port=server.port, **wanted)
        assert again.get("changed") is False, again
        assert again["diff"]["before"] == again["diff"]["after"]
        seen = run("smtp_info", admin_port=server.port)["policy"]
    finally:
        server.close()
    assert seen == run("smtp_info")["policy"]
    assert run("smtp_policy", **wanted)["changed"] is False


@pytest.fixture
def quiet(mta):
    """A session that is quiet from its first command on, as an administrator or a server may have it."""
    session = AdminSession("127.0.0.1", mta.port, timeout=20)
    session.command("SET", "QUIET", "on")
    session.get_version()
    session.login("admin", PASSWORD)
    yield session
    session.close()


def test_quiet_session(run, quiet, lab, free_port):
    """The whole way of a change over reduced answers: rules, a listener, read back, save, domains."""
    server = AxigenServer(quiet, POSTERN, True, lambda: quiet)
    wanted = policy(lab, free_port())
    empty = server.read().policy
    assert run("smtp_policy", **wanted)["changed"]
    filled = server.read().policy
    assert {listener.address for listener in filled.listeners} == {entry["address"] for entry in wanted["listeners"]}
    for goal in (empty, filled):
        outcome = _converge.converge(server, _goal.Edited(lambda _old, goal=goal: goal), False, _goal.Safety())
        assert outcome.changed and outcome.after == goal
    assert run("smtp_policy", **wanted)["changed"] is False

    assert quiet.command("LIST", "Domains").payload[0].split(" | ")[0].strip() == "name", "not a quiet answer"
    store = accounts.AccountStore(quiet)
    assert store.domains() == frozenset()
    run("smtp_account", domain="example.test", account="user1", password="Us-12345", postmaster_password="Pm-12345")
    assert store.domains() == {"example.test"}
    assert store.read("example.test").accounts == ("postmaster", "user1")


def test_recorded_session_has_no_early_end(run, mta, lab, free_port):
    """Every answer of a real run, cut at every byte: no part of one is taken for the whole."""

    class Recorder(Wordy):
        heard = []

        def answer(self, line, answer):
            answer = super().answer(line, answer)
            self.heard.append((line, answer))
            return answer

    server = OtherServer(mta.port, Recorder())
    port = free_port()
    try:
        assert run("smtp_policy", admin_port=server.port, **policy(lab, port))["changed"] is True
        tls = run("smtp_tls", admin_port=server.port, listeners=["127.0.0.1:%d" % port], versions=["1.3"])
        assert tls["changed"] is True
        account = {"domain": "example.test", "postmaster_password": "Pm-12345"}
        assert run("smtp_account", admin_port=server.port, **account)["changed"] is True
        assert run("smtp_account", admin_port=server.port, **account)["changed"] is False
    finally:
        server.close()
    commands = [(line, answer) for line, answer in Recorder.heard if line and answer.endswith(b"> ")]
    verbs = {line.split()[0].upper() for line, _answer in commands}
    assert {b"CONFIG", b"SHOW", b"UPDATE", b"ADD", b"SET", b"HELP", b"DONE", b"COMMIT", b"SAVE", b"BACK"} <= verbs
    for line, answer in commands:
        prompt = answer[answer.rindex(b"<"):-1].decode()
        expected = ending.Ending.of(line.decode("latin-1").split(), lambda found, prompt=prompt: found == prompt)
        for cut in range(len(answer) - 1):
            quiet = expected.judge(bytearray(answer[:cut]))
            assert quiet is None or quiet >= ending.GRACE, answer[:cut]
        assert expected.judge(bytearray(answer)) is not None
