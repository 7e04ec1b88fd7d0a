# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host that takes all mail of a real Postfix, with a login there, and how mail goes to it."""

from __future__ import annotations

import stat

import pytest
from sending import Sending

PROVIDER, PASSWORD = "smtp.provider.test", "pr0vider: pass"


@pytest.fixture
def world():
    with Sending() as made:
        yield made


@pytest.fixture
def ask(world, run, monkeypatch):
    """Run smtp_policy on the instance of this test."""

    def asked(check=False, **options):
        for name, value in world.host.environment().items():
            monkeypatch.setenv(name, value)
        result = run(world.host, "smtp_policy", check=check, **options)
        assert PASSWORD not in result.output
        return result

    return asked


def relay(world, **more):
    return {"host": PROVIDER, "port": world.port, "tls": "starttls", "level": "verify", "username": "me", "password": PASSWORD, **more}


def test_all_mail_goes_there_inside_tls_and_after_a_login(world, ask):
    sink = world.put(PROVIDER, auth={"me": PASSWORD})
    host = world.run()
    for check in (True, False):
        first = ask(check=check, relay=relay(world))
        assert first.get("changed"), first
    assert "password" not in first["policy"]["relay"] and first["policy"]["relay"]["level"] == "verify"
    assert "status=sent" in world.send("a@anybody.test")
    (session,) = [one for one in sink.sessions if one.messages]
    assert [(one.user, one.accepted, one.inside_tls) for one in session.logins] == [("me", True, True)]
    assert not ask(relay=relay(world))["changed"]
    secret = host.config_directory / "securemail" / "relay_password"
    for path in secret.parent.glob("relay_password*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert PASSWORD not in host.log and PASSWORD not in host.main_cf.read_text()
    # Another password is a change, and nothing of either is shown.
    assert ask(relay=relay(world, password=PASSWORD + "2")).get("changed")
    assert ask(relay={"state": "absent"}).get("changed")
    assert not list(secret.parent.glob("relay_password*"))
    assert host.postconf("-h", "relayhost", "smtp_sasl_auth_enable").split() == ["no"]


def test_who_cannot_prove_who_it_is_gets_neither_mail_nor_password(world, ask):
    sink = world.put(PROVIDER, certificate="somebody.else.test", auth={"me": PASSWORD})
    world.run()
    assert ask(relay=relay(world)).get("changed")
    assert "status=deferred" in world.send("a@anybody.test")
    assert not sink.messages and not any(session.logins for session in sink.sessions)


def test_in_clear_no_password_travels(world, ask):
    sink = world.put(PROVIDER, starttls=False, auth={"me": PASSWORD}, clear_auth=True)
    world.run()
    result = ask(relay=relay(world, level="may"))
    assert result["failed"] and "in clear text" in result["msg"]
    assert ask(relay=relay(world, level="encrypt")).get("changed")
    assert "status=deferred" in world.send("a@anybody.test")
    assert not any(session.logins for session in sink.sessions)


@pytest.mark.parametrize("change, words", [
    ({"username": "me:you"}, "colon"),
    ({"password": " x"}, "blank"),
])
def test_a_login_that_a_table_cannot_hold_is_refused(world, ask, change, words):
    host = world.run()
    before = host.main_cf.read_bytes()
    result = ask(relay=relay(world, **change))
    assert result["failed"] and words in result["msg"], result
    assert host.main_cf.read_bytes() == before
