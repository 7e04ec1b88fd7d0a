# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Domains and accounts over the admin dialect, and where they are stored."""

from __future__ import annotations

import hashlib
import hmac
import sqlite3

import pytest

from admin_harness import opened
from postern.directory import DirectoryError
from postern.passwords import verify


@pytest.fixture
def domain(admin):
    admin.ok("CREATE Domain name example.com domainLocation '/x/y' postmasterPassword 'Pm 1'", "COMMIT")
    return admin


def stored(server):
    return opened(server.state_dir / "directory.sqlite3")


def rows(answer):
    lines = answer.split("\r\n")
    ruler = next(number for number, line in enumerate(lines) if line.startswith("------"))
    return [line.split("|")[0].strip() for line in lines[ruler + 1 :][: lines[ruler + 1 :].index("")]]


def test_a_domain_exists_from_its_commit_on(server, admin):
    assert admin.ok("CREATE Domain example.com postmasterPassword secret").endswith("<domain-create#> ")
    assert rows(server.client().login().ok("LIST Domains")) == []
    admin.ok("BACK")
    assert rows(admin.ok("LIST Domains")) == []
    admin.ok("CREATE Domain name Example.COM. postmasterPasswd secret", "COMMIT")
    assert rows(admin.ok("LIST AllDomains")) == ["example.com"]
    assert verify("secret", stored(server).credentials("postmaster@example.com").scrypt)


def test_accounts(server, domain):
    domain.ok("UPDATE Domain name example.com", "ADD Account name User.One password 'a b\"c'", "COMMIT")
    assert rows(domain.ok("LIST Accounts")) == ["postmaster", "user.one"]
    assert rows(domain.ok("LIST Accounts user*")) == ["user.one"]
    directory = stored(server)
    assert directory.has_mailbox("USER.one", "EXAMPLE.com.") and not directory.has_mailbox("nobody", "example.com")
    assert verify('a b"c', directory.credentials("user.ONE@Example.com").scrypt)


def test_a_password_is_changed_at_commit_and_never_shown(server, domain):
    domain.ok("UPDATE Domain example.com", "UPDATE Account postmaster", "SET password first", "BACK")
    domain.ok("UPDATE Account postmaster", "SET password second")
    assert "second" not in domain.ask("SHOW")
    domain.ok("COMMIT")
    phc = stored(server).credentials("postmaster@example.com").scrypt
    assert verify("second", phc) and not verify("first", phc)
    content = b"".join(path.read_bytes() for path in server.state_dir.glob("directory.sqlite3*"))
    assert b"second" not in content


def test_an_account_needs_a_password(domain):
    domain.ok("UPDATE Domain example.com", "ADD Account a")
    assert "has no password yet" in domain.refused("COMMIT")
    assert "password is empty" in domain.refused("SET password ''")
    domain.ok("SET password x", "COMMIT")
    assert "a" in rows(domain.ok("LIST Accounts"))


def test_removal_waits_for_the_commit(server, domain):
    domain.ok("UPDATE Domain example.com", "ADD Account a password x", "COMMIT", "REMOVE Account name a")
    assert rows(domain.ok("LIST Accounts")) == ["postmaster"]
    assert stored(server).has_mailbox("a", "example.com")
    domain.ok("BACK", "UPDATE Domain example.com")
    assert rows(domain.ok("LIST Accounts")) == ["a", "postmaster"]
    domain.ok("REMOVE Account a", "COMMIT")
    assert not stored(server).has_mailbox("a", "example.com")


def test_a_domain_is_deleted_with_its_accounts(server, domain):
    domain.ok("DELETE Domain name example.com dontKeepCopy")
    assert rows(domain.ok("LIST Domains")) == []
    assert stored(server).credentials("postmaster@example.com") is None


def test_domains_survive_a_restart_without_save_config(server, domain):
    server.restart()
    assert rows(server.client().login().ok("LIST Domains")) == ["example.com"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("CREATE Domain", "the name of the domain is missing"),
        ("CREATE Domain other.example", "postmasterPassword is missing"),
        ("CREATE Domain other.example postmasterPassword", "no value"),
        ("CREATE Domain other.example postmasterPassword ''", "password is empty"),
        ("CREATE Domain other.example colour red postmasterPassword x", "unknown attribute"),
        ("CREATE Domain example.com postmasterPassword x", "already exists"),
        ("CREATE Domain 'exa mple.com' postmasterPassword x", "not a domain name"),
        ("CREATE Domain bücher.example postmasterPassword x", "xn--"),
        ("CREATE Domain -a.example postmasterPassword x", "not a domain name"),
        ("CREATE Domain ../../etc postmasterPassword x", "not a domain name"),
        ("CREATE Domain a..b postmasterPassword x", "not a domain name"),
        ("UPDATE Domain other.example", "there is no domain other.example"),
        ("DELETE Domain other.example", "there is no domain other.example"),
        ("DELETE Domain example.com please", "too many words"),
        ("SHOW Domain other.example", "there is no domain"),
    ],
)
def test_what_cannot_be_done_to_domains(domain, line, reason):
    assert reason in domain.refused(line)
    assert rows(domain.ok("LIST Domains")) == ["example.com"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("ADD Account", "is missing"),
        ("ADD Account postmaster password x", "already exists"),
        ("ADD Account 'a b' password x", "not an account name"),
        ("ADD Account a/b password x", "not an account name"),
        ("ADD Account .. password x", "not an account name"),
        ("ADD Account a..b password x", "not an account name"),
        ("ADD Account ü password x", "not an account name"),
        (f"ADD Account {'a' * 65} password x", "not an account name"),
        ("ADD Account a quota 5", "unknown attribute"),
        ("UPDATE Account nobody", "there is no account nobody"),
        ("REMOVE Account nobody", "there is no account nobody"),
        ("REMOVE Account postmaster", "every domain must have it"),
    ],
)
def test_what_cannot_be_done_to_accounts(domain, line, reason):
    domain.ok("UPDATE Domain example.com")
    assert reason in domain.refused(line)
    assert rows(domain.ok("LIST Accounts")) == ["postmaster"]


# --- storage ------------------------------------------------------------------------------------


def test_scram_keys_are_those_of_the_password(tmp_path):
    directory = opened(tmp_path / "d")
    directory.create_domain("example.com", "pencil")
    found = directory.credentials("postmaster@example.com")
    assert found.scram_iterations >= 10_000
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", found.scram_salt, found.scram_iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    assert hashlib.sha256(client_key).digest() == found.scram_stored_key
    assert hmac.digest(salted, b"Server Key", "sha256") == found.scram_server_key


def test_two_sessions_that_create_the_same(tmp_path):
    first, second = (opened(tmp_path / "d") for _number in range(2))
    first.create_domain("example.com", "x")
    with pytest.raises(DirectoryError, match="another session"):
        second.create_domain("example.com", "y")
    assert verify("x", first.credentials("postmaster@example.com").scrypt)


def test_what_is_not_stored_is_not_known(tmp_path):
    directory = opened(tmp_path / "d")
    directory.create_domain("example.com", "x")
    other = sqlite3.connect(tmp_path / "d", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    directory._connection.execute("PRAGMA busy_timeout = 10")
    with pytest.raises(DirectoryError, match="cannot be stored"):
        directory.put_account("example.com", "a", "x")
    assert not directory.has_mailbox("a", "example.com")
    other.execute("ROLLBACK")
    other.close()
    directory.put_account("example.com", "a", "x")
    assert directory.has_mailbox("a", "example.com")


@pytest.mark.parametrize(
    "text", ["", "x", "$scrypt$", "$scrypt$ln=99,r=8,p=1$AAAA$AAAA", "$argon2id$v=19$a$b$c", "$scrypt$ln=15$a$b"]
)
def test_a_hash_that_is_none_fits_no_password(text):
    assert verify("x", text) is False
