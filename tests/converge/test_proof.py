# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A forced-TLS rule on a server of which nobody knows what it calls encrypted: tried over SMTP, or taken back."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest
from mta_process import PASSWORD, SCRIPT, Mta, call

VERSION = '[emulation]\nversion = "10.5.12|Linux|x86_64"\n'
PROFILE = {"format": 1, "recipient_domain_variable": "rcptDomain"}
KNOWN = PROFILE | {"encrypted_after_starttls": True}
BLIND = PROFILE | {"encrypted_after_starttls": False}
DOMAIN = {"domain": "example.com", "postmaster_password": "Po-1 pw long"}
RULE = {"domain": "example.com", "reject_message": "Only over TLS, please"}


@pytest.fixture
def axigen(start_mta, lab, free_port):
    """A function: a server with a domain and a listener that calls itself AXIGEN; returns what runs modules."""

    def start(encrypted_after_starttls=True, tls="starttls", **settings):
        mta = start_mta(bootstrap=VERSION + "encrypted_after_starttls = %s\n" % str(encrypted_after_starttls).lower())

        def run(name, check=False, **parameters):
            parameters.setdefault("dialect_profile", PROFILE)
            connection = {"admin_port": mta.port, "admin_password": PASSWORD, "admin_timeout": 10}
            return call(name, connection | parameters, check)

        run.mta, run.address = mta, "127.0.0.1:%d" % free_port()
        listener = {"address": run.address, "certificate": lab.ecdsa, "tls": tls} | settings
        assert run("smtp_listener", backup=False, **listener)["changed"]
        assert call("smtp_account", {"admin_port": mta.port, "admin_password": PASSWORD} | DOMAIN, False)["changed"]
        return run

    return start


def rules(run):
    return run("smtp_info")["policy"]["forced_tls_domains"]


def test_rule_that_lets_encrypted_mail_in(axigen):
    run = axigen()
    assert run("smtp_forced_tls_domain", check=True, **RULE)["changed"]
    done = run("smtp_forced_tls_domain", **RULE)
    assert done.get("changed"), done
    assert [rule["domain"] for rule in rules(run)] == ["example.com"]
    # Both looks arrived: one was refused, one was not.
    assert [event["result"] for event in run.mta.events("smtp.tls")] == ["established"]
    assert len(run.mta.events("smtp.session")) == 2
    assert run("smtp_forced_tls_domain", **RULE)["changed"] is False


def test_rule_that_refuses_encrypted_mail_is_taken_back(axigen):
    run = axigen(encrypted_after_starttls=False)
    script = run.mta.script()
    before = run("smtp_info")["policy"]
    result = run("smtp_forced_tls_domain", **RULE)
    assert result["failed"] and not result["changed"]
    assert result["step"] == "prove" and result["server_state"] == "rolled back"
    for part in ("allow_only_tls_for_example_com", run.address.replace(":", " port "), "over TLS too", "Only over TLS",
                 "encrypted_after_starttls: false", "as it was before"):  # fmt: skip
        assert part in result["msg"], result["msg"]
    assert run("smtp_info")["policy"] == before and run.mta.script() == script
    assert (run.mta.state / "filters" / "smtpFilters.script").read_bytes() == script
    # Switched off it can be written, and switched on it is tried.
    assert run("smtp_forced_tls_domain", enabled=False, **RULE)["changed"]
    assert run("smtp_forced_tls_domain", enabled=True, **RULE)["step"] == "prove"
    assert [rule["enabled"] for rule in rules(run)] == [False]


def test_what_is_known_is_not_tried(axigen):
    run = axigen(encrypted_after_starttls=False)
    for check in (True, False):
        refused = run("smtp_forced_tls_domain", check=check, dialect_profile=BLIND, **RULE)
        assert "a connection behind STARTTLS does not count as encrypted" in refused["msg"]
    assert rules(run) == []
    # Somebody says so, who must know; and somebody wants to see it all the same.
    asked = run("smtp_forced_tls_domain", dialect_profile=KNOWN, probe_address=run.address, **RULE)
    assert asked["step"] == "prove" and asked["server_state"] == "rolled back"
    assert run("smtp_forced_tls_domain", dialect_profile=KNOWN, **RULE)["changed"]


def test_no_listener_to_try_it_with(axigen):
    """Refused before anything is written, in check mode too."""
    run = axigen()
    # From the other end of a tunnel a listener of this host is somebody else's.
    assert "no enabled listener" in run("smtp_forced_tls_domain", server_files="remote", **RULE)["msg"]
    for settings in ({"tls": "implicit"}, {"tls": "starttls", "enabled": False}):
        assert run("smtp_listener", address=run.address, **settings)["changed"]
        for check in (True, False):
            result = run("smtp_forced_tls_domain", check=check, **RULE)
            assert result["failed"] and "no enabled listener with STARTTLS" in result["msg"]
            assert "probe_address" in result["msg"] and "encrypted_after_starttls" in result["msg"]
            assert "step" not in result
    assert "probe_address must be like" in run("smtp_forced_tls_domain", probe_address="mail:25", **RULE)["msg"]
    # Rules that need no trial need no listener either.
    assert run("smtp_forced_tls_domain", dialect_profile=KNOWN, **RULE)["changed"]
    assert run("smtp_forced_tls_domain", domain="example.com", state="absent")["changed"]


@contextlib.contextmanager
def mail_server(*replies):
    """Something on a port that says these things, one for each thing that it is told, the first at once."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                client, _peer = listener.accept()
                with client, client.makefile("rb") as lines:
                    for reply in replies:
                        client.sendall(reply)
                        if not lines.readline():
                            break

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield "127.0.0.1:%d" % listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return "127.0.0.1:%d" % listener.getsockname()[1]


PLACES = [
    ("offers no STARTTLS", [b"220 hi\r\n", b"250-hi\r\n250 HELP\r\n", b"221 bye\r\n"]),
    ("the banner is 554 not today", [b"554 not today\r\n", b"221 bye\r\n"]),
    ("the reply to STARTTLS is 454", [b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n", b"454 no key\r\n", b"221 bye\r\n"]),
    ("is not SMTP", [b"+OK pop\r\n"]),
    ("no answer in", [b""]),
    ("no connection to", None),
]


def test_places_that_prove_nothing(axigen):
    run = axigen()
    script = run.mta.script()
    for said, replies in PLACES:
        with contextlib.nullcontext(closed_port()) if replies is None else mail_server(*replies) as address:
            seconds = 2 if replies == [b""] else 10
            result = run("smtp_forced_tls_domain", probe_address=address, admin_timeout=seconds, **RULE)
        assert result["failed"] and result["step"] == "prove" and result["server_state"] == "rolled back", result
        for part in (said, "probe_address", "encrypted_after_starttls"):
            assert part in result["msg"]
        # The place is named, and named once.
        assert result["msg"].count("port %s" % address.rpartition(":")[2]) == 1, result["msg"]
        assert run.mta.script() == script
    assert rules(run) == []


@pytest.fixture
def other(tmp_path, password_hash, lab, free_port):
    """The address of a listener of another server that has the domain and no rule."""
    (tmp_path / "other").mkdir()
    mta = Mta(tmp_path / "other", password_hash, SCRIPT)
    mta.start()
    connection = {"admin_port": mta.port, "admin_password": PASSWORD}
    address = "127.0.0.1:%d" % free_port()
    assert call("smtp_listener", connection | {"address": address, "certificate": lab.ecdsa}, False)["changed"]
    assert call("smtp_account", connection | DOMAIN, False)["changed"]
    yield address
    mta.stop()


def test_another_server_is_no_witness(axigen, other):
    """A server that takes the mail in clear too is not the one that has the rule."""
    run = axigen()
    result = run("smtp_forced_tls_domain", probe_address=other, **RULE)
    assert result["step"] == "prove" and "answered alike over TLS (250" in result["msg"], result
    assert rules(run) == []


def test_listener_that_lets_nobody_in(axigen):
    """What the same change does to the listener counts: this host is denied."""
    run = axigen()
    before = run("smtp_info")["policy"]
    denied = {"address": run.address, "denied_networks": ["127.0.0.0/8"]}
    result = run("smtp_policy", forced_tls_domains=[RULE], listeners=[denied])
    assert result["step"] == "prove" and result["server_state"] == "rolled back", result
    assert run("smtp_info")["policy"] == before


def test_first_listener_is_deaf(axigen, lab, free_port):
    """One that lets nobody in from here is passed by for the next one."""
    run = axigen(denied_networks=["127.0.0.0/8"])
    second = {"address": "0.0.0.0:%d" % free_port(), "certificate": lab.rsa, "tls": "starttls"}
    done = run("smtp_policy", listeners=[second], forced_tls_domains=[RULE])
    assert done.get("changed"), done


def test_many_domains_that_the_server_does_not_hold(axigen):
    """In clear a rule refuses the mail, over TLS something else does: that shows as much."""
    run = axigen()
    done = run("smtp_policy", forced_tls_domains=[{"domain": "d%d.example" % number} for number in range(40)])
    assert done.get("changed"), done
    assert len(rules(run)) == 40
