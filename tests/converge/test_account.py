# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Domains and accounts on the real server: the second run changes nothing, check mode predicts and writes nothing."""

from __future__ import annotations

import pytest

NEW = {"domain": "Example.TEST.", "account": "user1", "password": 'Us-1 "q" \\ 4', "postmaster_password": "Pm-1234567"}

#: All that may be sent in check mode; UPDATE enters the context of a domain that exists.
READING = {
    ("GET", "VERSION"),
    ("USER", "?"),
    ("LIST", "ALLDOMAINS"),
    ("UPDATE", "DOMAIN"),
    ("LIST", "ACCOUNTS"),
    ("BACK", ""),
    ("QUIT", ""),
}


@pytest.fixture
def password_is(mta):
    """Whether the server holds this password for this address."""
    from postern.directory import Directory
    from postern.passwords import verify

    def check(address, password):
        directory = Directory(str(mta.state / "directory.sqlite3"))
        try:
            credentials = directory.credentials(address)
            return credentials is not None and verify(password, credentials.scrypt)
        finally:
            directory.close()

    return check


def test_create_then_nothing(mta, run, password_is):
    dry = run("smtp_account", check=True, **NEW)
    assert not password_is("user1@example.test", NEW["password"])
    first = run("smtp_account", **NEW)
    assert first["changed"] is True and {name: first[name] for name in ("actions", "diff", "account")} == {
        name: dry[name] for name in ("actions", "diff", "account")
    }
    assert first["actions"] == ["create domain example.test", "add account user1@example.test"]
    assert password_is("user1@example.test", NEW["password"]) and password_is("postmaster@example.test", "Pm-1234567")
    assert ("SAVE", "CONFIG") in mta.verbs()
    assert run("smtp_account", **NEW)["changed"] is False
    assert run("smtp_account", **dict(NEW, account="USER1"))["changed"] is False


def test_check_mode_only_reads_and_navigates(mta, run):
    run("smtp_account", **NEW)
    before = len(mta.verbs())
    variants = [{"account": "user2"}, {"state": "absent"}, {"update_password": "always"}, {"domain": "other.test"}]
    for changes in ({}, *variants):
        assert "failed" not in run("smtp_account", check=True, **dict(NEW, **changes))
    run("smtp_account", check=True, domain="example.test", state="absent")
    assert {(verb, target.upper()) for verb, target in mta.verbs()[before:]} <= READING


def test_password_on_create_and_always(run, password_is):
    run("smtp_account", **NEW)
    other = dict(NEW, password="Another-1")
    assert run("smtp_account", **other)["changed"] is False
    assert password_is("user1@example.test", NEW["password"])
    for _time in range(2):
        result = run("smtp_account", update_password="always", **other)
        assert result["actions"] == ["set password postmaster@example.test", "set password user1@example.test"]
    assert password_is("user1@example.test", "Another-1")


def test_every_printable_character_of_a_password_arrives(run, password_is):
    """Quotes, backslashes, brackets: nothing of it may be taken for syntax on the way."""
    awkward = "".join(chr(code) for code in range(0x20, 0x7F)) + "\u00fc\u20ac"
    assert run("smtp_account", **dict(NEW, password=awkward))["changed"] is True
    assert password_is("user1@example.test", awkward)


def test_absent(run, password_is):
    run("smtp_account", **NEW)
    gone = {"domain": "example.test", "account": "user1", "state": "absent"}
    assert run("smtp_account", check=True, **gone)["changed"] is True
    assert password_is("user1@example.test", NEW["password"])
    assert run("smtp_account", **gone)["actions"] == ["remove account user1@example.test"]
    assert not password_is("user1@example.test", NEW["password"])
    assert run("smtp_account", **gone)["changed"] is False
    assert run("smtp_account", domain="example.test", state="absent")["actions"] == ["delete domain example.test"]
    assert run("smtp_account", domain="example.test", state="absent")["changed"] is False
    assert run("smtp_account", **gone)["changed"] is False


def test_domain_alone_survives_a_restart(mta, run):
    assert run("smtp_account", domain="example.test", postmaster_password="Pm-1234567")["changed"] is True
    mta.stop()
    mta.start()
    assert run("smtp_account", domain="example.test", postmaster_password="Pm-1234567")["changed"] is False


def test_umlauts(run):
    wish = dict(NEW, domain="m\u00fcller.test")
    assert run("smtp_account", **wish)["account"] == "user1@xn--mller-kva.test"
    assert run("smtp_account", **dict(wish, domain="XN--MLLER-KVA.test"))["changed"] is False


def test_refusal_of_the_server_is_told_and_nothing_is_half_done(mta, run):
    """A password that this server does not take: the domain that was made before it is named."""
    result = run("smtp_account", **dict(NEW, password="x" * 5000))
    assert result["failed"] is True and "x" * 100 not in result.output
    assert result["actions"] == ["create domain example.test"] and result["changed"] is True
    assert "user1" in result["msg"] and "done before: create domain example.test" in result["msg"]
    assert run("smtp_account", **NEW)["actions"] == ["add account user1@example.test"]


def test_wrong_admin_password_is_tried_once(mta, run):
    result = run("smtp_account", **dict(NEW, admin_password="Wrong-1234"))
    assert result["failed"] is True and "admin_password" in result["msg"] and "Wrong-1234" not in result["msg"]
    assert [event["ok"] for event in mta.events("admin.login")] == [False]


def test_server_that_is_down(mta, run):
    mta.stop()
    result = run("smtp_account", **NEW)
    assert result["failed"] is True and "connection refused" in result["msg"]


def test_no_secret_in_output_or_log(mta, run):
    results = [
        run("smtp_account", **NEW),
        run("smtp_account", update_password="always", **NEW),
        run("smtp_account", domain="example.test", state="absent"),
    ]
    text = mta.log.read_text() + "".join(result.output for result in results)
    assert not any(secret in text for secret in (NEW["password"], "Pm-1234567", "Adm-1"))
