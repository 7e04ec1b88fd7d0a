# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A change that fails after it was written: the old state comes back, and the message says what the server has now."""

from __future__ import annotations

import contextlib
import signal
import threading

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.cli import AdminSession
from mta_process import PASSWORD, call
from proxy import FaultyAdmin

RULE = {"name": "closed", "connection": "plain", "mechanisms": []}

#: A server on which a script counts, and is on disk, as soon as it was uploaded.
AT_ONCE = '[emulation]\nscript_active = "upload"\n'


@pytest.fixture
def between():
    """A function that puts a relay in front of a server's admin port; faults as in :class:`FaultyAdmin`."""
    relays = []

    def make(mta, ask, **faults):
        relays.append(FaultyAdmin(mta.port, ask=ask, **faults))
        return relays[-1].port

    yield make
    for relay in relays:
        relay.close()


@contextlib.contextmanager
def administrator(mta):
    """A session in the server context, as a person has it."""
    session = AdminSession("127.0.0.1", mta.port)
    session.login("admin", PASSWORD)
    session.enter("CONFIG", "SERVER")
    yield session
    session.close()


@pytest.fixture
def listener(mta, run, lab, free_port):
    """A saved listener with settings that no module knows."""
    address = "127.0.0.1:%d" % free_port()
    with administrator(mta) as session:
        session.enter("CONFIG", "SMTP-INCOMING")
        session.enter("ADD", "Listener", "address", address)
        session.enter("ADD", "AllowRule", "10.1.0.0/16")
        session.command("SET", "enable", "no", "priority", "77")
        session.leave("DONE")
        session.command("ADD", "DenyRule", "198.51.100.0/24", "enable", "no", "priority", "5")
        session.enter("CONFIG", "SSLCONTROL")
        session.command("SET", "maxChainDepth", "7")
        session.leave("DONE")
        for _context in range(3):
            session.leave("COMMIT")
    made = run(
        "smtp_listener", address=address, certificate=lab.ecdsa, idle_timeout=77, allowed_networks=["10.0.0.0/8"],
        denied_networks=["192.0.2.0/24"],
    )  # fmt: skip
    assert made["changed"], made
    return address


def state(mta):
    """Running configuration and script, and what a restart would bring, byte for byte."""
    with administrator(mta) as session:
        running = [session.command("SHOW", what).text for what in ("Config", "SmtpFilters")]
    running[0] = running[0].splitlines()
    names = ("postern.cfg", "smtpFilters.script")
    saved = [path.read_bytes() for path in sorted(mta.state.rglob("*")) if path.name in names]
    return running, saved


def instead(old, new, times=10**9):
    """Pass on another line instead of each (or the first few) that contains ``old``; None ends the connection."""
    left = [times]

    def ask(line):
        if old.lower() in line.lower() and left[0] > 0:
            left[0] -= 1
            return new
        return line

    return ask


def test_value_that_is_taken_and_dropped(run, mta, between, listener):
    before = state(mta)
    port = between(mta, instead(b"cipherSuite", b"SET preferServerCipherSuiteOrder yes\r\n"))
    result = run("smtp_tls", admin_port=port, listeners=[listener], ciphers="ECDHE+AESGCM", versions=["TLSv1.3"])
    assert result["failed"] and not result["changed"]
    assert result["step"] == "read back" and result["server_state"] == "rolled back"
    assert "ciphers: wanted 'ECDHE+AESGCM', found None" in result["msg"]
    assert "The change was rolled back, and nothing was saved: the server is as it was before." in result["msg"]
    assert state(mta) == before


@pytest.mark.parametrize("said", [b"NOT-PERMITTED\r\n", None])
def test_save_that_fails_once(run, mta, between, listener, said):
    """Whether refused or never answered: what is running is saved again."""
    before = state(mta)
    port = between(mta, instead(b"SAVE CONFIG", said, times=1))
    result = run(
        "smtp_policy", admin_port=port, auth_rules=[RULE], listeners=[{"address": listener, "state": "absent"}]
    )
    assert result["failed"] and not result["changed"]
    assert result["step"] == "save" and result["server_state"] == "rolled back"
    assert "SAVE CONFIG" in result["msg"] and "saved again: the server is as it was before." in result["msg"]
    assert state(mta) == before


def test_answer_to_save_that_never_comes(run, mta, between, listener):
    """The new state was saved, and nobody heard of it."""
    before = state(mta)
    asked = []

    def lose(block):
        if asked == [1]:
            asked.append(2)
            return b""
        return block

    def ask(line):
        if line.upper().startswith(b"SAVE") and not asked:
            asked.append(1)
        return line

    port = between(mta, ask, answer=lose)
    result = run("smtp_auth_rule", admin_port=port, admin_timeout=1, **RULE)
    assert result["server_state"] == "rolled back", result
    # The listener's, the lost one, the old state's.
    assert len([verb for verb, _subject in mta.verbs() if verb == "SAVE"]) == 3
    assert state(mta) == before


def test_interrupt_from_the_keyboard(run, mta, between, listener):
    """While the answer to SAVE is awaited: the old state comes back before the run ends."""
    before = state(mta)

    def ask(line):
        if line.upper().startswith(b"SAVE") and not interrupted:
            interrupted.append(1)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            return b""
        return line

    interrupted = []
    # A shell starts what runs in its background with this signal ignored.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run("smtp_auth_rule", admin_port=between(mta, ask), **RULE)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert state(mta) == before


def test_save_that_always_fails(run, mta, between, listener):
    running, _saved = state(mta)
    result = run("smtp_auth_rule", admin_port=between(mta, instead(b"SAVE CONFIG", b"NOT-PERMITTED\r\n")), **RULE)
    assert result["failed"] and result["changed"]
    assert result["server_state"] == "unknown"
    assert "what is in force is as it was before" in result["msg"] and "save it by hand" in result["msg"]
    assert state(mta)[0] == running


def test_way_back_that_is_barred(run, mta, between, listener):
    """The connection ends behind the last COMMIT and never comes again: nobody knows, and the message says so."""
    seen = []

    def ask(line):
        seen.append(line.strip().upper())
        # The one that leaves the server context.
        return None if seen.count(b"COMMIT") == 1 and seen[-1] != b"COMMIT" else line

    result = run("smtp_auth_rule", admin_port=between(mta, ask), **RULE)
    assert result["server_state"] == "unknown" and result["changed"]
    assert "could not be rolled back" in result["msg"]


@pytest.mark.parametrize("said", [b"NOT-PERMITTED\r\n", None])
def test_script_that_counts_at_once(start_mta, between, said):
    """The upload took effect, and the COMMIT behind it fails: the old script is uploaded again."""
    mta = start_mta(bootstrap=AT_ONCE)
    connection = {"admin_port": mta.port, "admin_password": PASSWORD, "dialect": "axigen"}
    assert call("smtp_tls", connection | {"starttls_outbound": False}, False)["changed"]
    before = state(mta)
    port = between(mta, instead(b"COMMIT", said, times=1))
    result = call("smtp_tls", connection | {"admin_port": port, "starttls_inbound": False}, False)
    assert result["server_state"] == "rolled back", result
    assert result["step"] == "write"
    assert [verb for verb, subject in mta.verbs() if subject == "SmtpFilters"].count("UPDATE") == 3
    assert state(mta) == before


def test_somebody_else_is_never_overwritten(run, mta, between, listener):
    """Behind our COMMIT somebody else changes a listener; then our SAVE fails. Their work stays, and ours with it."""
    theirs = []

    def ask(line):
        if line.upper().startswith(b"SAVE"):
            if not theirs:
                theirs.append(run("smtp_listener", address=listener, idle_timeout=99, save=False))
            return b"NOT-PERMITTED\r\n"
        return line

    result = run("smtp_auth_rule", admin_port=between(mta, ask), **RULE)
    assert theirs[0]["changed"]
    assert result["server_state"] == "changed by somebody else" and result["changed"]
    assert "somebody else has changed listener %s: nothing was rolled back" % listener in result["msg"]
    policy = run("smtp_info")["policy"]
    assert policy["listeners"][0]["idle_timeout"] == 99
    assert [rule["name"] for rule in policy["auth_rules"]] == [RULE["name"]]


def test_somebody_else_adds_something_before_the_read_back(run, mta, between, free_port):
    """What is in force then is not saved, and no later run of this task would save it: the message says so."""
    address = "127.0.0.1:%d" % free_port()
    said, theirs = [], []

    def ask(line):
        if said and said[-1] == b"COMMIT" and line.strip() != b"COMMIT" and not theirs:
            theirs.append(run("smtp_listener", address=address, tls="none", save=False))
        said.append(line.strip().upper())
        return line

    result = run("smtp_auth_rule", admin_port=between(mta, ask), **RULE)
    assert theirs[0]["changed"]
    assert "listener %s is there and should not be" % address in result["msg"]
    assert "This run saved nothing: look at it, and keep it with SAVE CONFIG" in result["msg"]
    assert ("SAVE", "CONFIG") not in mta.verbs()


def test_somebody_else_commits_first(run, mta, between):
    """Between our look and our COMMIT: the server refuses ours, and theirs is not taken for what is left of it."""
    theirs = []

    def ask(line):
        if line.strip().upper() == b"COMMIT" and not theirs:
            theirs.append(run("smtp_auth_rule", name="theirs", connection="tls", mechanisms=["PLAIN"]))
        return line

    result = run("smtp_auth_rule", admin_port=between(mta, ask), **RULE)
    assert theirs[0]["changed"]
    assert result["operation"] == "COMMIT" and result["server_state"] == "changed by somebody else", result
    assert "somebody else has changed the policy script" in result["msg"]
    assert [rule["name"] for rule in run("smtp_info")["policy"]["auth_rules"]] == ["theirs"]


def test_somebody_else_changes_the_same(run, mta, between, listener):
    theirs = []

    def ask(line):
        if line.upper().startswith(b"SAVE"):
            if not theirs:
                theirs.append(run("smtp_listener", address=listener, idle_timeout=99, save=False))
            return b"NOT-PERMITTED\r\n"
        return line

    result = run("smtp_listener", admin_port=between(mta, ask), address=listener, idle_timeout=55)
    assert result["server_state"] == "changed by somebody else"
    assert run("smtp_info")["policy"]["listeners"][0]["idle_timeout"] == 99
