# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Domains that are disabled, edited and have aliases: over the admin dialect, and what mail and logins find of it."""

from __future__ import annotations

import smtplib
import time

import pytest

from admin_harness import opened
from postern.directory import DirectoryError

pytestmark = pytest.mark.usefixtures("cheap_hashes")

DOMAIN = "example.com"


@pytest.fixture
def domain(admin):
    """A client, and a domain with an account."""
    admin.ok(f"CREATE Domain {DOMAIN} postmasterPassword x", "COMMIT", f"UPDATE Domain {DOMAIN}")
    admin.ok("ADD Account u1 password u1-secret", "COMMIT", "COMMIT")
    return admin


def rows(answer):
    lines = answer.split("\r\n")
    ruler = next(number for number, line in enumerate(lines) if line.startswith("------"))
    return [[cell.strip() for cell in line.split("|")] for line in lines[ruler + 1 :][: lines[ruler + 1 :].index("")]]


def items(answer):
    """A list without a ruler: two lines, the items, a blank line, status, prompt."""
    lines = answer.split("\r\n")
    assert lines[1] == "" and lines[-3] == ""
    return lines[2:-3]


# --- disabled -----------------------------------------------------------------------------------


def test_a_disabled_domain_is_only_in_the_list_of_all(server, domain):
    domain.ok(f"DISABLE Domain name {DOMAIN}")
    assert rows(domain.ok("LIST Domains")) == []
    assert rows(domain.ok("LIST AllDomains")) == [[DOMAIN, "2", "no"]]
    assert domain.shown(f"SHOW Domain {DOMAIN}")["enabled"] == "no"
    assert "disabled; ENABLE it first" in domain.refused(f"UPDATE Domain {DOMAIN}")
    assert "disabled already" in domain.refused(f"DISABLE Domain {DOMAIN}")
    assert "already exists" in domain.refused(f"CREATE Domain {DOMAIN} postmasterPassword x")
    server.restart()
    client = server.client().login()
    assert rows(client.ok("LIST Domains")) == []
    client.ok(f"ENABLE Domain name {DOMAIN}", f"UPDATE Domain {DOMAIN}")
    assert rows(client.ok("LIST Accounts")) == [["postmaster"], ["u1"]]
    assert "enabled already" in client.ok("BACK") + client.refused(f"ENABLE Domain {DOMAIN}")


def test_a_disabled_domain_can_be_deleted_and_made_anew(domain):
    domain.ok(f"DISABLE Domain {DOMAIN}", f"DELETE Domain {DOMAIN}")
    assert rows(domain.ok("LIST AllDomains")) == []
    domain.ok(f"CREATE Domain {DOMAIN} postmasterPassword x", "COMMIT")
    assert rows(domain.ok("LIST Domains")) == [[DOMAIN, "1"]]


def test_a_disabled_domain_takes_no_mail_and_no_logins_and_nobody_else_gets_its_mail(whole):
    from whole_server import add_listener, free_port

    port, admin = free_port(), whole.admin()
    admin.ok(f"CREATE Domain {DOMAIN} postmasterPassword x", "COMMIT")
    add_listener(admin, port)
    for change, code, logged_in in (("DISABLE", 550, 535), ("ENABLE", 250, 235)):
        admin.ok(f"{change} Domain {DOMAIN}")
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.ehlo("client.example")
            client.mail("a@client.example")
            answer = client.rcpt(f"postmaster@{DOMAIN}")
            assert answer[0] == code and b"relaying" not in answer[1]
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.ehlo("client.example")
            client.user, client.password = f"postmaster@{DOMAIN}", "x"
            try:
                found = client.auth("PLAIN", client.auth_plain)[0]
            except smtplib.SMTPAuthenticationError as error:
                found = error.smtp_code
            assert found == logged_in


# --- created and edited -------------------------------------------------------------------------


def test_the_forms_of_creation_that_clients_use(admin):
    admin.ok("CREATE Domain name a.example domainLocation /x wmFilterTemplatePath none postmasterPassword p")
    assert admin.ok("ADD MessagesLocation /y", "COMMIT").endswith("<#> ")
    admin.ok("CREATE Domain b.example postmasterPasswd p", "SET name c.example postmasterPassword q", "COMMIT")
    assert rows(admin.ok("LIST Domains")) == [["a.example", "1"], ["c.example", "1"]]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("SET", "needs an attribute"),
        ("SET name", "no value"),
        (f"SET name {DOMAIN}", "already exists"),
        ("SET postmasterPassword ''", "password is empty"),
        ("SET wmFilterTemplatePath /etc/x.sieve", "must be none"),
        ("SET colour red", "unknown attribute"),
        ("ADD MessagesLocation", "takes one path"),
        ("DONE", "unknown command"),
    ],
)
def test_what_a_new_domain_cannot_be(domain, line, reason):
    domain.ok("CREATE Domain new.example postmasterPassword x")
    assert reason in domain.refused(line)
    domain.ok("COMMIT")
    assert [DOMAIN] in [row[:1] for row in rows(domain.ok("LIST Domains"))]


def test_a_domain_that_is_edited_stays_as_it_is(domain):
    assert domain.ok(f"EDIT Domain name {DOMAIN}").endswith("<domain-edit#> ")
    assert domain.shown()["name"] == f'"{DOMAIN}"'
    assert "unknown command" in domain.refused("SET domainLocation /x")
    assert domain.ok("COMMIT").endswith("<#> ")
    assert "there is no domain" in domain.refused("EDIT Domain nobody.example")


def test_one_attribute_of_a_domain_and_an_account(domain):
    assert domain.ask(f"SHOW Domain {DOMAIN} ATTR enabled") == "enabled = yes\r\n+OK: command successful\r\n<#> "
    domain.ok(f"UPDATE Domain {DOMAIN}")
    assert domain.ask("SHOW ATTR accounts").startswith("accounts = 2\r\n")
    assert domain.ask("SHOW Account u1 ATTR name").startswith('name = "u1"\r\n')
    assert "unknown attribute" in domain.refused("SHOW ATTR colour")


@pytest.mark.parametrize("noun", ["Group", "List", "FolderRcpt", "accountClass"])
def test_what_this_server_has_not_is_refused_and_says_so(domain, noun):
    domain.ok(f"UPDATE Domain {DOMAIN}")
    plural = "AccountClasses" if noun == "accountClass" else f"{noun}s"
    assert rows(domain.ok(f"LIST {plural}")) == []
    assert "this server has no" in domain.refused(f"ADD {noun} name x")
    for verb in ("UPDATE", "REMOVE", "SHOW"):
        assert f"there is no such {noun}" in domain.refused(f"{verb} {noun} x")
    assert f"ADD {noun} [name] <name> - refused: this server has no" in domain.ask("HELP")


# --- aliases ------------------------------------------------------------------------------------


def test_aliases_of_a_domain_come_and_go_with_its_commit(server, domain):
    domain.ok(f"UPDATE Domain {DOMAIN}", "ADD Alias alias.example", "ADD Alias Second.Example.")
    assert items(domain.ok("LIST Aliases")) == ["alias.example", "second.example"]
    domain.ok("REMOVE Alias second.example", "BACK", f"UPDATE Domain {DOMAIN}")
    assert items(domain.ok("LIST Aliases")) == []
    domain.ok("ADD Alias alias.example", "COMMIT")
    server.restart()
    client = server.client().login()
    client.ok(f"UPDATE Domain {DOMAIN}")
    assert items(client.ok("LIST Aliases")) == ["alias.example"]
    assert client.shown()["aliases"] == "(alias.example)"
    client.ok("REMOVE Alias alias.example", "COMMIT", f"UPDATE Domain {DOMAIN}")
    assert items(client.ok("LIST Aliases")) == []


def test_an_alias_is_no_domain_of_its_own(domain):
    domain.ok(f"UPDATE Domain {DOMAIN}", "ADD Alias alias.example", "COMMIT")
    assert "already exists" in domain.refused("CREATE Domain alias.example postmasterPassword x")
    for verb in ("UPDATE", "DISABLE", "DELETE"):
        assert "there is no domain alias.example" in domain.refused(f"{verb} Domain alias.example")
    domain.ok("CREATE Domain other.example postmasterPassword x", "COMMIT", "UPDATE Domain other.example")
    assert "exists already" in domain.refused("ADD Alias alias.example")
    assert "exists already" in domain.refused(f"ADD Alias {DOMAIN}")
    assert "not a domain name" in domain.refused("ADD Alias 'a b'")
    assert "has no alias" in domain.refused("REMOVE Alias alias.example")


def test_aliases_of_an_account(server, domain):
    domain.ok(f"UPDATE Domain {DOMAIN}", "UPDATE Account u1", "ADD Alias info", "ADD Alias Sales.Team", "COMMIT")
    assert domain.shown("SHOW Account u1")["aliases"] == "(info sales.team)"
    assert "another name of an account" in domain.refused("ADD Account info password x")
    domain.ok("UPDATE Account postmaster")
    assert "exists already" in domain.refused("ADD Alias info")
    assert "exists already" in domain.refused("ADD Alias u1")
    domain.ok("BACK", "UPDATE Account u1", "SET password y", "REMOVE Alias sales.team", "COMMIT")
    assert domain.shown("SHOW Account u1")["aliases"] == "(info)", "a new password does not cost the aliases"
    domain.ok("REMOVE Account u1", "COMMIT", f"UPDATE Domain {DOMAIN}", "ADD Account info password x", "COMMIT")


def test_mail_and_logins_by_other_names_reach_the_account(whole):
    from whole_server import add_listener, free_port

    port, admin = free_port(), whole.admin()
    admin.ok(f"CREATE Domain {DOMAIN} postmasterPassword x", "COMMIT", f"UPDATE Domain {DOMAIN}")
    admin.ok("ADD Alias alias.example", "ADD Account u1 password u1-secret", "ADD Alias info", "COMMIT", "COMMIT")
    add_listener(admin, port)
    to = [f"info@{DOMAIN}", "U1@Alias.Example", "INFO@alias.example"]
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.login("info@alias.example", "u1-secret")
        client.sendmail("a@client.example", to, b"Subject: to all names\r\n\r\nx\r\n")
        assert client.mail("a@client.example")[0] == 250
        assert client.rcpt("nobody@alias.example")[0] == 550
        assert client.rcpt("@alias.example")[0] != 250
    domains = whole.state_dir / "domains"
    end = time.monotonic() + 20
    while not list(domains.glob("*/u1/Maildir/new/*")):
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.02)
    # Closing finishes the message in hand, with all its recipients.
    whole.stop()
    found = [str(path.relative_to(domains)) for path in domains.glob("*/*/Maildir/new/*")]
    assert len(found) == 1 and found[0].startswith(f"{DOMAIN}/u1/"), "one mailbox gets one copy"
    whole.start()


def test_an_account_and_an_alias_of_one_name_cannot_be_stored(tmp_path):
    directory = opened(tmp_path / "d")
    directory.create_domain(DOMAIN, "x")
    directory.put_account(DOMAIN, "u1", "x")
    directory.set_account_aliases(DOMAIN, "u1", ["info"], [])
    directory.set_domain_aliases(DOMAIN, ["alias.example"], [])
    with pytest.raises(DirectoryError, match="another name of an account"):
        directory.put_account(DOMAIN, "info", "x")
    with pytest.raises(DirectoryError, match="already exists"):
        directory.set_account_aliases(DOMAIN, "postmaster", ["u1"], [])
    with pytest.raises(DirectoryError, match="another name of domain example.com"):
        directory.create_domain("alias.example", "x")
    with pytest.raises(DirectoryError, match="another name of domain example.com"):
        directory.set_domain_aliases(DOMAIN, ["alias.example"], [])
    assert directory.mailbox("INFO", "Alias.Example.") == ("u1", DOMAIN)
    directory.delete_domain(DOMAIN)
    assert directory.mailbox("info", "alias.example") is None and not directory.has_domain("alias.example")


def test_a_file_of_an_older_version_gets_the_new_tables(tmp_path):
    import sqlite3

    old = sqlite3.connect(tmp_path / "d")
    old.execute("CREATE TABLE domains (name TEXT PRIMARY KEY) WITHOUT ROWID")
    old.execute("INSERT INTO domains VALUES ('example.com')")
    old.commit()
    old.close()
    directory = opened(tmp_path / "d")
    assert directory.domains() == [DOMAIN] and directory.is_enabled(DOMAIN)
    directory.enable_domain(DOMAIN, False)
    assert directory.domains() == [] and directory.all_domains() == [DOMAIN]
