# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Aliases, tags and addresses that are thrown away: what an address means, and what is queued for it."""

from __future__ import annotations

import smtplib
import sqlite3
from contextlib import closing

import pytest
import wire_server
from postern import mailboxes
from postern.directory import Directory

TABLE = {
    "aliases": {
        "info@example.test": ["u1@example.test", "Boss@partner.test"],
        "team@example.test": ["info@example.test", "u2@example.test", "boss@other.test"],
        "u2@example.test": ["u2@example.test", "copy@partner.test"],
        "@other.example.test": ["u1+rest@example.test"],
        "noreply@example.test": [],
        "one@example.test": ["two@example.test"],
        "two@example.test": ["one@example.test"],
        "nobody@example.test": ["missing@example.test"],
    }
}


def rules(table):
    problems = []
    found = mailboxes.read(table, lambda key, reason, section: problems.append(f"{section}.{key}: {reason}"))
    return found, problems


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A directory with u1 and u2 at example.test, the empty domain other.example.test, and these aliases."""
    found, problems = rules(TABLE)
    assert not problems
    directory = Directory(str(tmp_path_factory.mktemp("aliases") / "directory.sqlite3"), found)
    for domain in ("example.test", "other.example.test"):
        directory.create_domain(domain, "secret")
    for name in ("u1", "u2", "with+plus"):
        directory.put_account("example.test", name, "secret")
    directory.set_account_aliases("example.test", "u1", ["first.user"], [])
    directory.set_domain_aliases("example.test", ["example.alias"], [])
    yield directory
    directory.close()


@pytest.mark.parametrize(
    "address, expected",
    [
        ("u1@example.test", ["u1@example.test"]),
        ("U1@EXAMPLE.alias", ["u1@example.test"]),
        ("first.user+x@example.test", ["u1@example.test"]),
        ("u1+tag+more@example.test", ["u1@example.test"]),
        ("with+plus@example.test", ["with+plus@example.test"]),
        ("info@example.test", ["u1@example.test", "Boss@partner.test"]),
        ("Info+tag@example.alias", ["u1@example.test", "Boss@partner.test"]),
        ("u2@example.test", ["u2@example.test", "copy@partner.test"]),
        ("team@example.test", ["u1@example.test", "Boss@partner.test", "u2@example.test", "copy@partner.test", "boss@other.test"]),
        ("anything@other.example.test", ["u1@example.test"]),
        ("postmaster@other.example.test", ["postmaster@other.example.test"]),
        ("noreply@example.test", []),
        ("noreply+x@example.test", []),
        ("missing@example.test", None),
        ("nobody@example.test", None),
        ("one@example.test", None),
        ("+u1@example.test", None),
        ("", None),
    ],
)
def test_what_an_address_means(known, address, expected):
    found = known.destinations(*address.split("@")) if address else known.destinations("", "example.test")
    assert found is None if expected is None else [f"{local}@{domain}" for local, domain, *_rest in found] == expected
    for _local, domain, here, _called in found or ():
        assert here is domain.endswith("example.test")


def test_a_disabled_domain_has_no_aliases_either(known):
    known.enable_domain("example.test", False)
    assert known.destinations("info", "example.test") is None and known.destinations("x", "other.example.test") is None
    known.enable_domain("example.test", True)
    assert known.destinations("info", "example.test")


@pytest.mark.parametrize(
    "address, called",
    [
        ("u1+Tag@example.alias", "u1+Tag@example.test"),
        ("first.user+x+y@example.test", "u1+x+y@example.test"),
        ("x@other.example.test", "u1+rest@example.test"),
        ("with+plus@example.test", ""),
        ("u1@example.test", ""),
    ],
)
def test_a_tag_is_kept(known, address, called):
    assert [found[3] for found in known.destinations(*address.split("@"))] == [called]


def test_an_address_for_too_many_is_for_nobody(known):
    """Rather than for some of them: whoever sends would never know."""
    many = {"aliases": {
        "all@example.test": ["one@example.test", "two@example.test"],
        "one@example.test": [f"x{number}@partner.test" for number in range(60)],
        "two@example.test": [f"y{number}@partner.test" for number in range(60)],
    }}  # fmt: skip
    found = rules(many)[0]
    assert len(found.destinations("one", "example.test", lambda *_: None, lambda name: name == "example.test")) == 60
    assert found.destinations("all", "example.test", lambda *_: None, lambda name: name == "example.test") is None


def test_aliases_that_lead_everywhere_are_followed_once(known):
    """As a tree of all ways it would be 3 ** 9 look-ups and more; each alias is looked up once."""
    web = {f"a{n}{k}@example.test": [f"a{n + 1}{i}@example.test" for i in range(3)] for n in range(8) for k in range(3)}
    asked = []

    def account(local, _domain):
        asked.append(local)
        return local if local.startswith("a8") else None

    found = rules({"aliases": web})[0].destinations("a00", "example.test", account, lambda _domain: True)
    assert [local for local, *_rest in found] == ["a80", "a81", "a82"] and len(asked) < 30


def test_who_has_the_mailboxes():
    table = {"lmtp": {"Example.TEST": "unix:/run/lmtp", "other.test": "", "*": "[::1]:24"}}
    found, problems = rules(table)
    assert not problems and {name: place and str(place) for name, place in found.lmtp.items()} == {
        "example.test": "unix:/run/lmtp", "other.test": None, "*": "[::1]:24"
    }  # fmt: skip
    assert {name: str(place) for name, place in rules({"lmtp": "unix:/run/lmtp"})[0].lmtp.items()} == {"*": "unix:/run/lmtp"}


def test_bounds(known):
    many = {"aliases": {"all@example.test": [f"x{number}@partner.test" for number in range(100)]}}
    assert len(rules(many)[0].destinations("all", "example.test", lambda *_: None, lambda _: False)) == 100
    deep = {f"a{number}@example.test": [f"a{number + 1}@example.test"] for number in range(50)}
    found = rules({"aliases": deep | {"a50@example.test": ["end@partner.test"]}})[0]
    assert found.destinations("a0", "example.test", lambda *_: None, lambda domain: domain == "example.test") is None
    assert found.destinations("a45", "example.test", lambda *_: None, lambda domain: domain == "example.test")


@pytest.mark.parametrize(
    "table, problem",
    [
        ({"colour": 1}, "local.colour: unknown key; known are: subaddress, aliases, lmtp"),
        ({"subaddress": "ab"}, "local.subaddress: it must be one character, or empty"),
        ({"subaddress": "@"}, "local.subaddress: it must be one character"),
        ({"lmtp": 24}, "local.lmtp: it must be a text"),
        ({"lmtp": {"a.test": "lmtp"}}, "local.lmtp.a.test: 'lmtp' is not unix:/path, host:port or [ipv6]:port"),
        ({"aliases": ["x"]}, "local.aliases: it must be a table"),
        ({"aliases": {"x": []}}, "local.aliases.x: 'x' is no address"),
        ({"aliases": {"x@a.test": "y@b.test"}}, "local.aliases.x@a.test: it must be a list of addresses"),
        ({"aliases": {"x@a.test": ["y"]}}, "local.aliases.x@a.test: 'y' is no address"),
        ({"aliases": {"@[192.0.2.1]": []}}, "local.aliases.@[192.0.2.1]: 'x@[192.0.2.1]' is no address with a domain"),
        ({"aliases": {"x@a.test": [f"{number}@b.test" for number in range(101)]}}, "more than 100 addresses"),
    ],
)
def test_what_cannot_be_used_is_named(table, problem):
    found, problems = rules(table)
    assert len(problems) == 1 and problem in problems[0]
    assert found == mailboxes.Mailboxes()


def test_without_a_separator_a_tag_is_part_of_the_name(tmp_path):
    directory = Directory(str(tmp_path / "directory.sqlite3"), rules({"subaddress": ""})[0])
    directory.create_domain("example.test", "secret")
    assert directory.destinations("postmaster+x", "example.test") is None
    assert directory.destinations("postmaster", "example.test")
    directory.close()


def test_what_is_queued(tmp_path, known):
    """One copy for a mailbox, the client's address in the trace, nothing for who is thrown away, 550 for nobody."""
    server = wire_server.Server(tmp_path, known)
    try:
        server.activate(wire_server.listener("127.0.0.1"))
        with smtplib.SMTP("127.0.0.1", server.port(), timeout=20) as client:
            client.sendmail("a@client.test", ["info@example.test"], "Subject: alias\r\n\r\nx\r\n")
            client.sendmail("a@client.test", ["noreply@example.test"], "Subject: gone\r\n\r\n" + "x" * 70 * 10 + "\r\n")
            with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
                client.sendmail("a@client.test", ["one@example.test"], "Subject: loop\r\n\r\nx\r\n")
            assert refused.value.recipients["one@example.test"] == (550, b"5.1.1 no such mailbox here")
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                client.sendmail("a@client.test", ["boss@partner.test"], "Subject: relay\r\n\r\nx\r\n")
            client.sendmail("a@client.test", ["u1+x@example.test", "u1@example.test"], "Subject: twice\r\n\r\nx\r\n")
        for event in [server.log.wait("smtp.message", recipients=2), server.log.wait("smtp.message", recipients=1)]:
            server.delivery_settled(event["id"])
        texts = [path.read_text() for path in server.mailbox().iterdir()]
        assert sorted(text.split("Subject: ")[1].split("\n")[0] for text in texts) == ["alias", "twice"]
        assert [text.split("\n")[1] for text in texts if "Subject: twice" in text] == ["Delivered-To: u1+x@example.test"]
        (alias,) = [text for text in texts if "Subject: alias" in text]
        assert "for <info@example.test>" in alias and "partner" not in alias
        with closing(sqlite3.connect(tmp_path / "queue.sqlite3")) as queue:
            assert queue.execute("SELECT local_part, domain, is_local FROM recipient").fetchall() == [("Boss", "partner.test", 0)]
        thrown = [event for event in server.log.records if event.get("result") == "thrown away"]
        assert len(thrown) == 1 and thrown[0]["sender"] == "a@client.test"
    finally:
        server.close()
