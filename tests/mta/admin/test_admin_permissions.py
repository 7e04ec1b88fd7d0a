# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Delegated administrators: who they are, what they may do, and that nothing else is done."""

from __future__ import annotations

import itertools
import json

import pytest

from postern.admin import aacl, permissions
from postern.admin.aacl import AccessError, AccessList, Principal

pytestmark = pytest.mark.usefixtures("cheap_hashes")

BOT = ("manageCLI", "manageSMTPIn", "manageSMTPOut", "manageServerConfig", "manageServerFilters")


def add_user(admin, name, *names, password="bot-secret"):
    admin.ok("ENTER AACL", f"ADD admin-user name {name} password {password}")
    if names:
        admin.ok(f"GRANT permission ({' '.join(names)})")
    admin.ok("DONE", "DONE")


def login(server, name, password="bot-secret"):
    client = server.client()
    client.ask(f"USER {name}")
    assert client.ask(password).endswith("<#> ")
    return client


def denied(server, name, password="bot-secret"):
    client = server.client()
    client.ask(f"USER {name}")
    answer = client.ask(password)
    assert answer.startswith("-ERR: Authentication failed") and answer.endswith("<login> ")
    return answer


@pytest.fixture
def delegate(server, admin):
    """Makes a user with these permissions and logs in."""
    numbers = itertools.count()

    def make(*names):
        name = f"bot{next(numbers)}"
        add_user(admin, name, "manageCLI", *names)
        return login(server, name)

    return make


# --- who ----------------------------------------------------------------------------------------


def test_the_example_of_the_documentation(server, admin):
    prompts = [
        ("ENTER AACL", "aacl"),
        ("ADD admin-user name tlsbot password bot-secret", "aacl-admin-user"),
        (f"GRANT permission ({' '.join(BOT)})", "aacl-admin-user"),
        ("DONE", "aacl"),
        ("DONE", ""),
    ]
    for line, prompt in prompts:
        assert admin.ok(line).endswith(f"\r\n<{prompt}#> "), line
    bot = login(server, "TLSbot")
    bot.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", "ADD Listener 127.0.0.1:2525", "SET idleTimeout 9")
    bot.ok("CONFIG SSLCONTROL", "SET maxChainDepth 3", "DONE", "COMMIT", "COMMIT")
    bot.upload(b"# by the bot\n")
    bot.ok("COMMIT", "SAVE CONFIG")
    generation = server.smtp.generations[-1]
    assert (generation.listeners[0].idle_timeout, generation.script) == (9, b"# by the bot\n")


def test_a_user_exists_from_done_on(server, admin):
    admin.ok("ENTER AACL", "ADD admin-user bot password bot-secret", "GRANT permission (manageCLI)")
    denied(server, "bot")
    admin.ok("BACK")
    assert "there is no admin-user bot" in admin.refused("UPDATE admin-user bot")
    admin.ok("ADD admin-user bot password bot-secret", "GRANT permission manageCLI", "DONE")
    login(server, "bot")
    admin.ok("BACK")
    login(server, "bot")


def test_only_a_hash_is_stored_and_nothing_of_it_is_shown_or_logged(server, admin):
    add_user(admin, "bot", "manageCLI", password="very-secret-1")
    admin.ok("ENTER AACL", "UPDATE admin-user bot", "SET password very-secret-2", "DONE")
    assert "very-secret" not in admin.ask("SHOW admin-user bot") + admin.ask("LIST admin-users")
    path = server.state_dir / aacl.FILE
    content = path.read_text()
    assert "$scrypt$" in content and "very-secret" not in content and "$scrypt$" not in admin.ask("SHOW admin-user bot")
    assert path.stat().st_mode & 0o777 == 0o600
    assert "very-secret" not in server.log_path.read_text()
    denied(server, "bot", "very-secret-1")
    login(server, "bot", "very-secret-2")
    assert "very-secret" not in repr(AccessList(str(path)).find("bot", group=False))


def test_administrators_need_no_save_config_and_survive_a_restart(server, admin):
    add_user(admin, "bot", "manageCLI")
    server.restart()
    login(server, "bot")


def test_a_user_can_be_renamed_described_and_removed(server, admin):
    add_user(admin, "bot", "manageCLI")
    admin.ok("ENTER AACL", "UPDATE admin-user bot", "SET name robot description 'the one \"x\"'", "DONE")
    assert admin.shown("SHOW admin-user robot")["description"] == '"the one \\"x\\""'
    denied(server, "bot")
    robot = login(server, "robot")
    admin.ok("REMOVE admin-user name robot")
    denied(server, "robot")
    assert "manageCLI" in robot.refused("SHOW"), "a session of somebody who was removed can do nothing more"
    assert robot.ask("QUIT").startswith("+OK")


def test_a_delegated_user_changes_the_own_password(server, delegate):
    bot = delegate()
    assert "old password is wrong" in bot.refused("CHANGE password oldPassword x newPassword fresh")
    assert "32 characters" in bot.refused(f"CHANGE password oldPassword bot-secret newPassword {'x' * 33}")
    bot.ok("CHANGE password oldPassword bot-secret newPassword fresh")
    denied(server, "bot0")
    login(server, "bot0", "fresh")


def test_the_password_of_admin_is_not_to_be_had_here(admin):
    assert "passwd" in admin.refused("CHANGE password oldPassword x newPassword y")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("ADD admin-user", "is missing"),
        ("ADD admin-user bot", "takes a name, password"),
        ("ADD admin-user bot password", "takes a name, password"),
        ("ADD admin-user bot password ''", "password is empty"),
        (f"ADD admin-user bot password {'x' * 33}", "at most 32 characters"),
        ("ADD admin-user admin password x", "already exists"),
        ("ADD admin-user ADMIN password x", "already exists"),
        ("ADD admin-user known password x", "already exists"),
        ("ADD admin-user 'a b' password x", "is no name of an administrator"),
        ("ADD admin-user ../x password x", "is no name of an administrator"),
        ("ADD admin-group known-group", "already exists"),
        ("ADD admin-group g password x", "too many words"),
        ("REMOVE admin-user nobody", "there is no admin-user nobody"),
        ("REMOVE admin-group known-group now", "too many words"),
        ("REMOVE admin-group nobody", "there is no admin-group nobody"),
        ("SHOW admin-user nobody", "there is no admin-user nobody"),
        ("UPDATE admin-group known", "there is no admin-group known"),
        ("COMMIT", "unknown command"),
    ],
)
def test_what_cannot_be_done_to_the_list(server, admin, line, reason):
    add_user(admin, "known")
    admin.ok("ENTER AACL", "ADD admin-group known-group", "DONE")
    before = (server.state_dir / aacl.FILE).read_bytes()
    assert reason in admin.refused(line)
    assert (server.state_dir / aacl.FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("GRANT permission", "are missing"),
        ("GRANT permission ()", "no permission on the server"),
        ("GRANT permission (manageCLI manageWeather)", "no permission on the server"),
        ("GRANT permission (manageCLI) server x", "only domain"),
        ("GRANT permission (manageCLI) domain example.com", "no permission on a domain"),
        ("GRANT permission (createAccounts)", "no permission on the server"),
        ("GRANT permission (createAccounts) domain 'a b'", "not a domain name"),
        ("SET colour red", "it has: name, description, password"),
        ("SET password", "pairs of attribute"),
        ("SET name admin password ''", "password is empty"),
        (f"SET description {'x' * 257}", "256 characters"),
        ("ADD parent-group nobody", "there is no admin-group nobody"),
        ("REMOVE parent-group nobody", "does not belong"),
        ("COMMIT", "unknown command"),
    ],
)
def test_what_cannot_be_done_to_a_user(admin, line, reason):
    add_user(admin, "bot", "manageLog")
    admin.ok("ENTER AACL", "UPDATE admin-user bot")
    before = admin.shown()
    assert reason in admin.refused(line)
    assert admin.shown() == before


def test_a_user_cannot_become_admin(admin):
    add_user(admin, "bot")
    admin.ok("ENTER AACL", "UPDATE admin-user bot", "SET name admin")
    assert "admin-user admin already exists" in admin.refused("DONE")


# --- groups and denials -------------------------------------------------------------------------


def effective(client, where=""):
    return client.ok(f"SHOW effective-permissions {where}".strip()).split("\r\n")[2:-3]


def test_permissions_of_groups_are_inherited_and_a_denial_wins(server, admin):
    admin.ok("ENTER AACL", "ADD admin-group outer", "GRANT permission (manageCLI manageLog)", "DONE")
    admin.ok("ADD admin-group inner", "ADD parent-group outer", "GRANT permission (manageSMTPIn)", "DONE")
    admin.ok("ADD admin-user bot password bot-secret", "ADD parent-group name inner")
    assert effective(admin) == ["manageCLI", "manageLog", "manageSMTPIn"]
    admin.ok("DENY permission (manageLog)")
    assert effective(admin) == ["manageCLI", "manageSMTPIn"]
    admin.ok("GRANT permission (manageLog)", "DONE", "UPDATE admin-group outer", "DENY permission (manageLog)", "DONE")
    admin.ok("UPDATE admin-user bot")
    assert effective(admin) == ["manageCLI", "manageSMTPIn"], "a group's denial wins over the user's own grant"
    admin.ok("REVOKE permission (manageLog)")
    assert admin.shown()["granted"] == "()"
    admin.ok("DONE")
    assert admin.ok("UPDATE admin-group outer", "LIST members").split("\r\n")[2:-3] == ["inner"]
    login(server, "bot")


def test_permissions_on_a_domain_are_its_own(admin):
    add_user(admin, "bot", "manageCLI")
    admin.ok("ENTER AACL", "UPDATE admin-user bot", "GRANT permission (createAccounts) domain Example.COM", "DONE")
    admin.ok("UPDATE admin-user bot")
    assert effective(admin) == ["manageCLI"]
    assert effective(admin, "domain example.com") == ["createAccounts"]
    assert effective(admin, "domain other.example") == []
    assert admin.shown()["grantedOnexample.com"] == "(createAccounts)"


def test_a_group_with_members_is_only_removed_by_force(admin):
    admin.ok("ENTER AACL", "ADD admin-group g", "DONE", "ADD admin-user bot password x", "ADD parent-group g", "DONE")
    assert "has members (bot)" in admin.refused("REMOVE admin-group g")
    admin.ok("REMOVE admin-group g forced")
    assert admin.shown("SHOW admin-user bot")["groups"] == "()"


def test_a_renamed_group_keeps_its_members(admin):
    admin.ok("ENTER AACL", "ADD admin-group g", "DONE", "ADD admin-user bot password x", "ADD parent-group g", "DONE")
    admin.ok("UPDATE admin-group g", "SET name h", "DONE")
    assert admin.shown("SHOW admin-user bot")["groups"] == "(h)"


def test_a_group_cannot_belong_to_itself(admin):
    admin.ok("ENTER AACL", "ADD admin-group a", "DONE", "ADD admin-group b", "ADD parent-group a", "DONE")
    admin.ok("UPDATE admin-group a", "ADD parent-group b")
    assert "a group of itself" in admin.refused("DONE")


# --- what ---------------------------------------------------------------------------------------


def test_manage_cli_is_needed_to_log_in(server, admin):
    add_user(admin, "bot", "manageSMTPIn", "manageServerConfig")
    assert "manageCLI" in denied(server, "bot")
    admin.ok("ENTER AACL", "UPDATE admin-user bot", "GRANT permission (manageCLI)", "DONE")
    login(server, "bot")


def test_whoever_may_only_log_in_may_look_and_nothing_else(server, delegate):
    bot = delegate()
    bot.ok("SHOW", "LIST Domains", "LIST AllDomains", "HELP", "SET multilineEOF EOF", "CONFIG SERVER", "SHOW")
    bot.ok("SHOW Config", "CONFIG SMTP-INCOMING", "LIST Listeners", "SHOW ATTR maxErrors", "BACK")
    for line, name in (
        ("SET serverName x", "manageServerConfig"),
        ("COMMIT", "manageServerConfig"),
        ("SAVE CONFIG", "manageServerConfig"),
        ("SHOW SmtpFilters", "manageServerFilters"),
        ("UPDATE SmtpFilters", "manageServerFilters"),
    ):
        reason = bot.refused(line)
        assert f"needs the permission {name};" in reason and "nothing was changed" in reason
    assert len(server.smtp.generations) == 1


#: Context, a command that changes something, the permission that it needs.
CHANGES = [
    ((), "SAVE CONFIG", "manageServerConfig"),
    ((), "SET onboardingComplete yes", "manageServerConfig"),
    ((), "CREATE Domain other.example postmasterPassword x", "activateAnyDomain"),
    ((), "DISABLE Domain example.com", "deactivateAnyDomain"),
    ((), "DELETE Domain name example.com", "deactivateAnyDomain"),
    ((), "EDIT Domain example.com", "manageDomainStorageOnAnyDomain"),
    ((), "ENTER AACL", "manageAdminACL"),
    ((), "ENTER QUEUE", "manageProcessing"),
    (("CONFIG SERVER",), "SET serverName x", "manageServerConfig"),
    (("CONFIG SERVER",), "COMMIT", "manageServerConfig"),
    (("CONFIG SERVER",), "SHOW SmtpFilters", "manageServerFilters"),
    (("CONFIG SERVER", "CONFIG SMTP-INCOMING"), "ADD Listener 127.0.0.1:2526", "manageSMTPIn"),
    (("CONFIG SERVER", "CONFIG SMTP-INCOMING"), "UPDATE Listener 127.0.0.1:2525", "manageSMTPIn"),
    (("CONFIG SERVER", "CONFIG SMTP-INCOMING"), "REMOVE Listener 127.0.0.1:2525", "manageSMTPIn"),
    (("CONFIG SERVER", "CONFIG SMTP-INCOMING"), "SET maxErrors 3", "manageSMTPIn"),
    (("CONFIG SERVER", "CONFIG SMTP-INCOMING"), "STOP Service", "manageSMTPIn"),
    (("CONFIG SERVER", "CONFIG SMTP-INCOMING"), "SAVE CONFIG", "manageServerConfig"),
    (("CONFIG SERVER", "CONFIG SMTP-INCOMING", "CONFIG AccessControl"), "ADD DenyRule 10.0.0.1", "manageSMTPIn"),
    (("CONFIG SERVER", "CONFIG SMTP-OUTGOING"), "SET maxConnThreads 3", "manageSMTPOut"),
    (("CONFIG SERVER", "CONFIG SMTP-OUTGOING"), "COMMIT", "manageSMTPOut"),
    (("CONFIG SERVER", "CONFIG PROCESSING"), "COMMIT", "manageProcessing"),
    (("CONFIG SERVER", "CONFIG IMAP"), "COMMIT", "manageIMAP"),
    (("CONFIG SERVER", "CONFIG FTP-BACKUP"), "COMMIT", "manageFTPBackup"),
    (("CONFIG SERVER", "CONFIG CALLOG"), "COMMIT", "manageLog"),
    (("CONFIG SERVER", "CONFIG FILTERS"), "COMMIT", "manageServerFilters"),
    (("CONFIG SERVER", "CONFIG PERMISSIONS"), "DONE", "manageAdminACL"),
    (("CONFIG SERVER", "CONFIG CERTS"), "DONE", "manageServerConfig"),
    (("UPDATE Domain example.com",), "ADD Account a password x", "createAccountsOnAnyDomain"),
    (("UPDATE Domain example.com",), "REMOVE Account u1", "removeAccountsOnAnyDomain"),
    (("UPDATE Domain example.com",), "ADD Alias alias.example", "manageDomainAliasesOnAnyDomain"),
    (("UPDATE Domain example.com", "UPDATE Account u1"), "SET password y", "changeAccountsPasswordOnAnyDomain"),
    (("UPDATE Domain example.com", "UPDATE Account u1"), "ADD Alias alias", "manageAccountsOnAnyDomain"),
    (
        ("UPDATE Domain example.com", "UPDATE Account u1"),
        "CONFIG ContactInfo",
        "manageAccountsContactInformationOnAnyDomain",
    ),
]


@pytest.mark.parametrize(("path", "line", "permission"), CHANGES, ids=str)
def test_each_change_needs_its_permission_and_no_other(server, admin, delegate, path, line, permission):
    admin.ok("CREATE Domain example.com postmasterPassword x", "COMMIT", "UPDATE Domain example.com")
    admin.ok("ADD Account u1 password x", "COMMIT", "COMMIT", "CONFIG SERVER", "CONFIG SMTP-INCOMING")
    admin.ok("ADD Listener 127.0.0.1:2525", "COMMIT", "COMMIT", "COMMIT")
    everything_else = set(permissions.ON_SERVER.values()) - {permission}
    if line == "SET password y":
        everything_else -= {"createAccountsOnAnyDomain", "manageAccountsOnAnyDomain"}
    lacking, having = delegate(*everything_else), delegate(permission)
    for client in (lacking, having):
        if path:
            client.ok(*path)
    prompt = lacking.ok("HELP").rpartition("\r\n")[2]
    answer = lacking.ask(line)
    assert answer.startswith("-ERR: ") and permission in answer and answer.endswith(prompt)
    assert "-ERR: " not in having.ask(line), "the permission alone is enough"


def test_a_permission_on_one_domain_is_enough_for_that_domain(server, admin):
    for name in ("example.com", "other.example"):
        admin.ok(f"CREATE Domain {name} postmasterPassword x", "COMMIT")
    add_user(admin, "bot", "manageCLI")
    admin.ok("ENTER AACL", "UPDATE admin-user bot")
    admin.ok("GRANT permission (createAccounts deactivateDomain) domain example.com", "DONE")
    bot = login(server, "bot")
    bot.ok("UPDATE Domain example.com", "ADD Account a password x", "COMMIT", "COMMIT")
    bot.ok("UPDATE Domain other.example")
    assert "createAccountsOnAnyDomain" in bot.refused("ADD Account a password x")
    bot.ok("BACK")
    assert "deactivateAnyDomain" in bot.refused("DISABLE Domain other.example")
    assert "deactivateAnyDomain" in bot.refused("DISABLE Domain name other.example")
    bot.ok("DISABLE Domain name example.com")


def test_what_is_taken_away_counts_at_the_next_command(server, admin, delegate):
    bot = delegate("manageServerConfig")
    bot.ok("CONFIG SERVER", "SET serverName x")
    admin.ok("ENTER AACL", "UPDATE admin-user bot0", "REVOKE permission (manageServerConfig)", "DONE")
    assert "manageServerConfig" in bot.refused("COMMIT")
    assert len(server.smtp.generations) == 1


@pytest.mark.parametrize(
    ("entry", "permission", "lines"),
    [("AACL", "manageAdminACL", ("LIST admin-users", "SHOW admin-user bot0")), ("QUEUE", "manageProcessing", ("LIST",))],
)
def test_private_contexts_show_nothing_any_more(admin, delegate, entry, permission, lines):
    bot = delegate(permission)
    bot.ok(f"ENTER {entry}", *lines)
    admin.ok("ENTER AACL", "UPDATE admin-user bot0", f"DENY permission ({permission})", "DONE")
    for line in lines:
        assert permission in bot.refused(line)
    assert bot.ok("BACK").endswith("<#> ")


def test_the_log_says_who(server, delegate):
    bot = delegate()
    bot.ok("CONFIG SERVER")
    bot.refused("COMMIT")
    records = [record for record in server.log() if record.get("user") == "bot0"]
    seen = [(record["event"], record.get("verb"), record["ok"]) for record in records]
    assert seen == [("admin.login", None, True), ("admin.command", "CONFIG", True), ("admin.command", "COMMIT", False)]


def test_a_refused_upload_takes_no_body(delegate):
    bot = delegate("manageServerConfig")
    bot.ok("CONFIG SERVER")
    assert "manageServerFilters" in bot.refused("UPDATE SmtpFilters")
    bot.ok("SHOW")


def test_missing_permissions_count_as_errors(new_server):
    from postern.admin.session import Limits

    server = new_server(Limits(max_errors=1))
    add_user(server.client().login(), "bot", "manageCLI")
    bot = login(server, "bot")
    bot.refused("SAVE CONFIG")
    assert "too many errors" in bot.ask("SAVE CONFIG") and bot.at_end()


def test_every_command_of_every_context_is_decided(admin):
    """The table never leaves a command open by accident: what is open for everybody is listed here."""
    for path in ((), ("server",), ("server", "smtpIncoming", "listener", "sslcontrol"), ("domain",), ("nowhere",)):
        for words in (("FROBNICATE",), ("SET",), ("COMMIT",), ("DONE",), ("ADD", "THING"), ("UPDATE", "THING")):
            assert permissions.needed(path, words), (path, words)


def test_the_names_are_those_of_the_documentation():
    assert set(BOT) <= set(permissions.ON_SERVER.values())
    assert len(permissions.ON_SERVER) > 70 and len(permissions.ON_DOMAIN) > 55
    for wide in permissions.ON_SERVER.values():
        if wide.endswith("AnyDomain") and wide != "activateAnyDomain":
            assert permissions.on_domain(wide) in permissions.ON_DOMAIN.values(), wide


# --- the file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"format": 1}', '{"format": 1, "users": [{"name": 1}]}'])
def test_a_file_that_cannot_be_read_is_an_error_and_not_an_empty_list(tmp_path, text):
    path = tmp_path / "acl"
    path.write_text(text)
    with pytest.raises(AccessError, match=str(path)):
        AccessList(str(path))
    assert path.read_text() == text


def test_what_cannot_be_stored_does_not_count(tmp_path):
    access = AccessList(str(tmp_path / "acl"))
    access.put(Principal("a"), group=False)
    before = (tmp_path / "acl").read_bytes()
    (tmp_path / "acl.new").mkdir()
    with pytest.raises(AccessError, match="cannot be stored"):
        access.put(Principal("b"), group=False)
    assert access.names(group=False) == ["a"] and (tmp_path / "acl").read_bytes() == before


def test_two_sessions_that_change_the_same_user(tmp_path):
    access = AccessList(str(tmp_path / "acl"))
    access.put(Principal("a"), group=False)
    access.put(Principal("a").deny([("", "manageCLI")]), group=False, base=Principal("a"))
    with pytest.raises(AccessError, match="changed by another session"):
        access.put(Principal("a").grant([("", "manageCLI")]), group=False, base=Principal("a"))
    access.put(Principal("b"), group=False, base=access.find("a", group=False))
    with pytest.raises(AccessError, match="removed by another session"):
        access.put(Principal("a", "later"), group=False, base=Principal("a"))
    with pytest.raises(AccessError, match="already exists"):
        access.put(Principal("b"), group=False)
    assert json.loads((tmp_path / "acl").read_text())["users"][0]["name"] == "b"
