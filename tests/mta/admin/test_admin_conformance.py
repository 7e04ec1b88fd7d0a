# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dialect's conformance list, one test for each of its lines and in its order.

A real server each time; where a line is about mail, mail is sent to it.
"""

from __future__ import annotations

import ssl

import pytest

from admin_harness import PASSWORD

pytest.importorskip("cryptography", reason="certificates for the tests are made with cryptography")
pytest.importorskip("scramp", reason="the receiving half needs scramp")

from whole_server import ARTICLE, add_listener, free_port, put_script, refuses, smtp, tls  # noqa: E402

cli = pytest.importorskip(
    "ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.cli",
    reason="the collection is not on the Python path",
)

SMTP_IN = ("CONFIG SERVER", "CONFIG SMTP-INCOMING")
LISTENER = "127.0.0.1:2525"
DOMAIN = ("CREATE Domain example.com postmasterPassword x", "COMMIT", "UPDATE Domain example.com")
AACL = ("ENTER AACL",)

#: The way into every context, and its prompt.
CONTEXTS = [
    ((), "<#> "),
    (("CONFIG SERVER",), "<server#> "),
    *(
        (("CONFIG SERVER", f"CONFIG {keyword}"), f"<server-{segment}#> ")
        for keyword, segment in (
            ("SMTP-INCOMING", "smtpIncoming"),
            ("SMTP-OUTGOING", "smtpOutgoing"),
            ("PROCESSING", "processing"),
            ("IMAP", "imap"),
            ("POP3", "pop3"),
            ("WEBMAIL", "webmail"),
            ("WEBADMIN", "webadmin"),
            ("CLI", "cli"),
            ("FTP-BACKUP", "ftpBackup"),
            ("FILTERS", "filters"),
            ("CERTS", "certs"),
            ("SECURITY", "security"),
            ("LOG", "log"),
            ("CALLOG", "calLog"),
            ("JOBLOG", "jobLog"),
            ("SRVLOG", "srvLog"),
            ("USERDB", "userdb"),
            ("DNR", "dnr"),
            ("CLUSTER", "cluster"),
            ("PERMISSIONS", "permissions"),
        )
    ),
    ((*SMTP_IN, "CONFIG AccessControl"), "<server-smtpIncoming-access-control#> "),
    ((*SMTP_IN, "CONFIG mappingData"), "<server-smtpIncoming-mappingData#> "),
    ((*SMTP_IN, f"ADD Listener {LISTENER}"), "<server-smtpIncoming-listener#> "),
    ((*SMTP_IN, f"ADD Listener {LISTENER}", "CONFIG SSLCONTROL"), "<server-smtpIncoming-listener-sslcontrol#> "),
    ((*SMTP_IN, f"ADD Listener {LISTENER}", "ADD AllowRule 10.0.0.1"), "<server-smtpIncoming-listener-allowRule#> "),
    (DOMAIN[:1], "<domain-create#> "),
    (DOMAIN, "<domain#> "),
    ((*DOMAIN[:2], "EDIT Domain example.com"), "<domain-edit#> "),
    ((*DOMAIN, "ADD Account a password b"), "<domain-account#> "),
    ((*DOMAIN, "UPDATE Account postmaster", "CONFIG ContactInfo"), "<domain-account-contactInfo#> "),
    (AACL, "<aacl#> "),
    ((*AACL, "ADD admin-user bot password x"), "<aacl-admin-user#> "),
    ((*AACL, "ADD admin-group bots"), "<aacl-admin-group#> "),
    (("ENTER QUEUE",), "<queue#> "),
    (("ENTER QUEUE", "ENTER QUARANTINE"), "<queue-quarantine#> "),
    (("ENTER JSONQUERY",), "<jsonquery#> "),
    (("ENTER TRACER",), "<tracer#> "),
]


def test_version_before_login(server):
    client = server.client()
    lines = client.ask("GET VERSION").split("\r\n")
    assert lines[0].split("|")[1] == "Linux" and lines[0][0].isdigit()
    assert lines[1].startswith("+OK: ") and lines[2:] == ["<login> "]


def test_a_wrong_password_then_the_right_one(server):
    client = server.client()
    assert client.ask("USER admin") == "<password> "
    answer = client.ask("wrong")
    assert answer.startswith("-ERR: ") and answer.endswith("\r\n<login> ")
    assert client.ask("USER admin") == "<password> "
    answer = client.ask(PASSWORD)
    assert answer.startswith("+OK: ") and answer.endswith("\r\n<#> ")


@pytest.mark.parametrize(("path", "prompt"), CONTEXTS, ids=[prompt.strip(" <>#") for _path, prompt in CONTEXTS])
def test_an_unknown_verb_in_each_context_keeps_the_context(admin, path, prompt):
    if path:
        assert admin.ok(*path).endswith(f"\r\n{prompt}")
    for line in ("FROBNICATE", "FROBNICATE now (a b)", "ADD Frobnicator x"):
        answer = admin.ask(line)
        assert answer.startswith("-ERR: unknown ") and answer.endswith(f"\r\n{prompt}") and answer.count("\r\n") == 1
    assert admin.ok("HELP").endswith(f"\r\n{prompt}")


def test_an_unknown_verb_before_login_keeps_the_context(server):
    client = server.client()
    answer = client.ask("FROBNICATE")
    assert answer.startswith("-ERR: unknown ") and answer.endswith("\r\n<login> ")


def test_set_out_of_range_keeps_the_old_value(admin):
    admin.ok(*SMTP_IN, f"ADD Listener {LISTENER}", "SET idleTimeout 86400")
    for value in ("86401", "-1", "many"):
        assert "idleTimeout" in admin.refused(f"SET idleTimeout {value}")
    assert "idleTimeout" in admin.refused("SET maxConnections 5 idleTimeout 86401")
    shown = admin.shown()
    assert (shown["idleTimeout"], shown["maxConnections"]) == ("86400", "200")


def test_done_without_commit_then_back_leaves_the_server_unchanged(server, admin):
    admin.ok(*SMTP_IN, f"ADD Listener {LISTENER}", "COMMIT", "COMMIT", "COMMIT")
    before = server.smtp.generations[-1]
    admin.ok(*SMTP_IN, f"UPDATE Listener {LISTENER}", "CONFIG SSLCONTROL", "SET maxChainDepth 9", "DONE")
    admin.ok("BACK", "BACK", "BACK")
    assert server.smtp.generations[-1] is before
    admin.ok(*SMTP_IN, f"UPDATE Listener {LISTENER}", "CONFIG SSLCONTROL")
    assert admin.shown()["maxChainDepth"] == "4"


def test_commit_without_save_is_lost_on_restart(whole):
    saved, lost = free_port(), free_port()
    admin = whole.admin()
    add_listener(admin, saved)
    admin.ok("SAVE CONFIG")
    add_listener(admin, lost)
    put_script(admin, b"# lost\n")
    with smtp(lost) as client:
        assert client.noop()[0] == 250
    whole.restart()
    assert whole.status["listening"] == [f"127.0.0.1:{saved}"] and refuses(lost)
    admin = whole.admin()
    admin.ok("CONFIG SERVER")
    assert admin.script() == b""


def test_add_of_an_existing_listener_fails(admin):
    admin.ok(*SMTP_IN, f"ADD Listener {LISTENER}", "SET idleTimeout 7", "COMMIT")
    for line in (f"ADD Listener {LISTENER}", f"ADD Listener address {LISTENER}"):
        assert "already exists" in admin.refused(line)
    assert admin.shown(f"SHOW Listener {LISTENER}")["idleTimeout"] == "7"


def test_remove_then_commit_closes_the_port(whole):
    port, admin = free_port(), whole.admin()
    add_listener(admin, port)
    admin.ok(*SMTP_IN, f"REMOVE Listener 127.0.0.1:{port}", "COMMIT")
    with smtp(port) as client:
        assert client.noop()[0] == 250, "nothing is closed before the server's own COMMIT"
    admin.ok("COMMIT")
    assert refuses(port)


def test_allowed_versions_narrow_the_handshake(whole, certificate):
    port, admin = free_port(), whole.admin()
    add_listener(admin, port, f"certFile {certificate}", "allowedVersions (tls1_2)")
    with smtp(port) as client:
        client.starttls(context=tls(certificate))
        assert client.sock.version() == "TLSv1.2"
    with smtp(port) as client, pytest.raises(ssl.SSLError):
        client.starttls(context=tls(certificate, minimum_version=ssl.TLSVersion.TLSv1_3))
    admin.ok(*SMTP_IN, f"UPDATE Listener 127.0.0.1:{port}", "CONFIG SSLCONTROL")
    admin.ok("SET allowedVersions (tls1_2 tls1_3)", "DONE", "COMMIT", "COMMIT", "COMMIT")
    with smtp(port) as client:
        client.starttls(context=tls(certificate, minimum_version=ssl.TLSVersion.TLSv1_3))
        assert client.sock.version() == "TLSv1.3"


def test_cert_file_none_disables_starttls(whole, certificate):
    port, admin = free_port(), whole.admin()
    add_listener(admin, port, f"certFile {certificate}")
    with smtp(port) as client:
        client.ehlo("client.example")
        assert client.has_extn("starttls")
    admin.ok(*SMTP_IN, f"UPDATE Listener 127.0.0.1:{port}", "CONFIG SSLCONTROL")
    admin.ok("SET certFile none", "DONE", "COMMIT", "COMMIT", "COMMIT")
    with smtp(port) as client:
        client.ehlo("client.example")
        assert not client.has_extn("starttls")
        assert client.docmd("STARTTLS")[0] == 502


@pytest.mark.parametrize(
    "script",
    [ARTICLE, ARTICLE.replace(b"\n", b"\r\n"), b"\n\n# \xfc \xff\n\t\n", b"# no line end", b"..\n.a\n", b""],
    ids=["lf", "crlf", "bytes", "no-line-end", "dots", "empty"],
)
def test_a_script_upload_round_trip_is_byte_identical(server, admin, script):
    admin.ok("CONFIG SERVER")
    # Dot-stuffing, as a client does it whose text may hold such lines.
    stuffed = b"\n".join(b"." + line if line.startswith(b".") else line for line in script.split(b"\n"))
    assert admin.upload(stuffed).startswith("+OK")
    assert admin.script() == script
    admin.ok("COMMIT", "SAVE CONFIG")
    assert (server.state_dir / "filters" / "smtpFilters.script").read_bytes() == script
    server.restart()
    again = server.client().login()
    again.ok("CONFIG SERVER")
    assert again.script() == script


def test_a_script_with_a_syntax_error_is_refused(whole):
    admin = whole.admin()
    put_script(admin, ARTICLE)
    admin.ok("CONFIG SERVER")
    answer = admin.upload(ARTICLE.replace(b"set (secureConnAuthTypes", b"set secureConnAuthTypes"))
    assert answer.startswith("-ERR: ") and "line 12" in answer
    assert admin.script() == ARTICLE
    admin.ok("COMMIT", "CONFIG SERVER")
    assert admin.script() == ARTICLE


def test_rule_order_changes_the_outcome(hardened):
    _whole, admin, port = hardened
    methods = b'method off { set (plainConnAuthTypes, "none"); }\nmethod on { set (plainConnAuthTypes, "plain "); }\n'
    for order, offered in ((b"call (off); call (on);", True), (b"call (on); call (off);", False)):
        put_script(admin, b"event onEhlo { " + order + b" }\n" + methods)
        with smtp(port) as client:
            client.ehlo("client.example")
            assert client.has_extn("auth") is offered


def test_rule_a_removes_auth_before_tls_and_rule_b_limits_it_after(hardened, certificate):
    _whole, admin, port = hardened
    with smtp(port) as client:
        client.ehlo("client.example")
        assert "PLAIN" in client.esmtp_features["auth"], "before the rules authentication is offered in the clear"
    put_script(admin, ARTICLE)
    with smtp(port) as client:
        client.ehlo("client.example")
        assert not client.has_extn("auth")
        assert client.docmd("AUTH", "LOGIN")[0] == 538
        client.starttls(context=tls(certificate))
        client.ehlo("client.example")
        assert client.esmtp_features["auth"].split() == ["LOGIN"]
        assert client.docmd("AUTH", "PLAIN")[0] == 504
        client.login("postmaster@mydomain.com", "secret-1")


def test_rule_c_rejects_in_clear_with_the_explanation_and_accepts_after_starttls(hardened, certificate):
    _whole, admin, port = hardened
    put_script(admin, ARTICLE)
    with smtp(port) as client:
        client.ehlo("client.example")
        client.mail("a@client.example")
        code, text = client.rcpt("postmaster@mydomain.com")
        assert code == 550 and b"Accepting only secure delivery (STARTTLS) for mydomain.com" in text
        assert client.rcpt("postmaster@other.example")[0] == 250, "the rule is about one domain"
        client.rset()
        client.starttls(context=tls(certificate))
        client.ehlo("client.example")
        client.mail("a@client.example")
        assert client.rcpt("postmaster@mydomain.com")[0] == 250


def test_two_sessions_the_last_commit_wins(server, admin):
    """Whoever commits last decides about what both changed, as soon as that session has seen the other one's change.

    That it must have seen it is this server's own: a COMMIT that would undo somebody's work unseen is refused. What
    only one of them changed is kept in any case.
    """
    first, second = admin, server.client().login()
    for client, errors in ((first, 3), (second, 4)):
        client.ok(*SMTP_IN, f"SET maxErrors {errors}")
    first.ok("SET maxAuthErrors 2", "COMMIT", "COMMIT")
    second.ok("COMMIT")
    assert "another session changed smtpIncoming maxErrors as well" in second.refused("COMMIT")
    assert server.smtp.generations[-1].max_errors == 3
    second.ok("BACK", *SMTP_IN, "SET maxErrors 4", "COMMIT", "COMMIT")
    found = server.smtp.generations[-1]
    assert (found.max_errors, found.max_auth_errors) == (4, 2)
    late, early = server.client().login(), server.client().login()
    late.ok(*SMTP_IN, "SET maxErrors 9", "COMMIT")
    early.ok("CONFIG SERVER", "SET serverName early.example", "COMMIT")
    late.ok("COMMIT")
    found = server.smtp.generations[-1]
    assert (found.max_errors, found.server_name) == (9, "early.example")


def test_a_payload_with_a_fake_status_line_and_prompt_does_not_confuse_the_client(server, admin):
    script = "# a\n+OK: command successful\n<server#> \n-ERR: refused\n<#> \n+OK: x\r\n<login> "
    session = cli.AdminSession("127.0.0.1", server.address[1], timeout=20)
    try:
        session.login("admin", PASSWORD)
        session.enter("CONFIG", "SERVER")
        session.upload("UPDATE", "SmtpFilters", text=script)
        assert session.command("SHOW", "SmtpFilters").text == script
        assert "+OK" not in session.command("SHOW", "ATTR", "serverName").text
        session.leave("COMMIT")
    finally:
        session.close()
    admin.ok("CONFIG SERVER")
    assert admin.script() == script.encode()
