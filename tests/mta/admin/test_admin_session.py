# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dialogue byte by byte: prompts, status lines, layouts, contexts, uploads."""

from __future__ import annotations

import socket

import pytest

VERSION_LINE = r"10.6.30-postern|Linux|"


def enter_listener(client, address="0.0.0.0:25"):
    client.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", f"ADD Listener address {address}")


# --- before login -------------------------------------------------------------------------------


def test_greeting_ends_with_the_login_prompt(server):
    greeting = server.client().greeting
    assert greeting.endswith(b"\r\n<login> ")
    assert b"postern" in greeting and b"AXIGEN" not in greeting


def test_version_needs_no_login_and_is_the_first_line(server):
    lines = server.client().ask("GET VERSION").split("\r\n")
    assert lines[0].startswith(VERSION_LINE)
    assert lines[1:] == ["+OK: command successful", "<login> "]


def test_login(server):
    client = server.client()
    assert client.ask("USER admin") == "<password> "
    assert client.ask("wrong") == "-ERR: Authentication failed\r\n<login> "
    assert client.ask("user ADMIN") == "<password> "
    assert client.ask("correct horse") == "+OK: Authentication successful\r\n<#> "


def test_an_unknown_user_is_told_the_same_as_a_wrong_password(server):
    client = server.client()
    client.ask("USER nobody")
    assert client.ask("correct horse") == "-ERR: Authentication failed\r\n<login> "


@pytest.mark.parametrize("line", ["SHOW Config", "CONFIG SERVER", "SAVE CONFIG", "COMMIT", "BACK", "LIST Domains"])
def test_nothing_is_to_be_had_before_login(server, line):
    client = server.client()
    assert client.refused(line)


def test_options_before_login(server):
    client = server.client()
    client.ok("SET CONSOLE-CODES off", "SET QUIET off")
    assert client.shown() == {"quiet": "off", "console-codes": "off"}
    assert "on or off" in client.refused("SET QUIET maybe")
    assert "USER <name>" in client.ask("HELP")


def test_a_password_is_taken_raw(server):
    from postern.admin.authentication import set_password
    from postern.passwords import hash_password

    set_password(str(server.state_dir), hash_password("a 'b\" \\ (c ü"))
    server.client().login("a 'b\" \\ (c ü")


# --- prompts and contexts -----------------------------------------------------------------------


def test_prompts_of_all_contexts(admin):
    steps = [
        ("CONFIG SERVER", "server"),
        ("CONFIG SMTP-OUTGOING", "server-smtpOutgoing"),
        ("COMMIT", "server"),
        ("config smtpincoming", "server-smtpIncoming"),
        ("ADD Listener 0.0.0.0:25", "server-smtpIncoming-listener"),
        ("ADD AllowRule 10.0.0.0/8", "server-smtpIncoming-listener-allowRule"),
        ("DONE", "server-smtpIncoming-listener"),
        ("CONFIG sslControl", "server-smtpIncoming-listener-sslcontrol"),
        ("DONE", "server-smtpIncoming-listener"),
        ("COMMIT", "server-smtpIncoming"),
        ("BACK", "server"),
        ("BACK", ""),
        ("CREATE Domain example.com postmasterPassword x", "domain-create"),
        ("COMMIT", ""),
        ("UPDATE Domain example.com", "domain"),
        ("ADD Account a password b", "domain-account"),
        ("BACK", "domain"),
        ("COMMIT", ""),
    ]
    for line, prompt in steps:
        assert admin.ok(line).endswith(f"\r\n<{prompt}#> "), line


def test_the_end_of_a_session(server):
    for verb in ("EXIT", "quit"):
        client = server.client().login()
        client.ok("CONFIG SERVER")
        client.send(verb)
        assert client.read() == b"+OK: have a nice day\r\n"
        assert client.at_end()
    client = server.client()
    client.send("QUIT")
    assert client.read() == b"+OK: have a nice day\r\n"


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("CONFIG SERVER",),
        ("CONFIG SERVER", "CONFIG SMTP-INCOMING"),
        ("CONFIG SERVER", "CONFIG SMTP-OUTGOING"),
        ("CONFIG SERVER", "CONFIG SMTP-INCOMING", "ADD Listener 0.0.0.0:25"),
        ("CONFIG SERVER", "CONFIG SMTP-INCOMING", "ADD Listener 0.0.0.0:25", "CONFIG SSLCONTROL"),
        ("CONFIG SERVER", "CONFIG SMTP-INCOMING", "ADD Listener 0.0.0.0:25", "ADD AllowRule 10.0.0.1"),
        ("CREATE Domain example.com postmasterPassword x",),
    ],
)
def test_an_unknown_command_changes_nothing_anywhere(admin, path):
    prompt = (admin.ok(*path) if path else admin.ok("SHOW")).rpartition("\r\n")[2]
    for line in ("FROBNICATE", "SHOW nothing", "SET nothing 1", "LIST nothings", "(a b)", "''"):
        answer = admin.ask(line)
        assert answer.startswith("-ERR: ") and answer.endswith("\r\n" + prompt), (line, answer)
    assert admin.ask("HELP").endswith("+OK: command successful\r\n" + prompt)


def test_the_wrong_verb_to_leave_is_refused_and_stays(admin):
    enter_listener(admin)
    admin.refused("DONE")
    admin.ok("CONFIG SSLCONTROL")
    admin.refused("COMMIT")
    assert admin.ok("DONE").endswith("<server-smtpIncoming-listener#> ")
    admin.ok("ADD AllowRule 10.0.0.0/8")
    admin.refused("COMMIT")
    assert admin.ok("DONE", "COMMIT", "COMMIT").endswith("<server#> ")
    admin.refused("DONE")


def test_help_lists_every_verb_of_its_context(admin):
    enter_listener(admin)
    text = admin.ask("HELP")
    assert text.startswith("The commands available for the LISTENER context are:\r\n")
    for start in (
        "SHOW [ATTR <name>] - ",
        "SET [address <ip:port>] - ",
        "SET [idleTimeout <0-86400 seconds>] - ",
        "RESET - ",
        "CONFIG SSLCONTROL - ",
        "ADD AllowRule [ipSet] <ipSet>",
        "ADD DenyRule [ipSet] <ipSet> [enable <yes|no>] [priority <1-1000>] - ",
        "COMMIT - ",
        "BACK - ",
        "EXIT/QUIT - ",
    ):
        assert f"\r\n{start}" in text, start


# --- layouts ------------------------------------------------------------------------------------


def test_layout_of_show(admin):
    enter_listener(admin)
    lines = admin.ask("SHOW").split("\r\n")
    assert lines[1] == ""
    assert lines[2] == "address = 0.0.0.0:25"
    assert all(" = " in line for line in lines[2:-3])
    assert lines[-3:] == ["", "+OK: command successful", "<server-smtpIncoming-listener#> "]


def test_layout_of_show_attr(admin):
    enter_listener(admin)
    expected = "sslEnable = no\r\n+OK: command successful\r\n<server-smtpIncoming-listener#> "
    assert admin.ask("SHOW ATTR sslenable") == expected
    assert "unknown attribute" in admin.refused("SHOW ATTR nothing")


def test_layout_of_list(admin):
    enter_listener(admin)
    admin.ok("COMMIT", "ADD Listener [::]:587", "SET enable no", "COMMIT")
    lines = admin.ask("LIST Listeners").split("\r\n")
    assert lines[1:3] == ["", ""]
    assert [cell.strip() for cell in lines[3].split("|")][:3] == ["address", "enable", "sslEnable"]
    assert set(lines[4]) == {"-"} and len(lines[4]) >= 6
    assert [line.split(" | ")[0].strip() for line in lines[5:-3]] == ["0.0.0.0:25", "[::]:587"]
    assert lines[-3:] == ["", "+OK: command successful", "<server-smtpIncoming#> "]


def test_layout_of_an_empty_list(admin):
    admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING")
    lines = admin.ask("LIST Listeners").split("\r\n")
    assert set(lines[4]) == {"-"} and lines[5:] == ["", "+OK: command successful", "<server-smtpIncoming#> "]


def test_a_child_is_shown_without_entering_it(admin):
    enter_listener(admin)
    admin.ok("COMMIT")
    assert admin.shown("SHOW Listener address 0.0.0.0:25")["idleTimeout"] == "300"
    assert admin.ask("SHOW Listener 0.0.0.0:25 ATTR enable").startswith("enable = yes\r\n+OK")
    assert "there is no Listener 0.0.0.0:26" in admin.refused("SHOW Listener 0.0.0.0:26")


def test_line_feeds_alone_are_accepted(server):
    client = server.client()
    client.socket.sendall(b"GET VERSION\n")
    assert client.read().endswith(b"<login> ")


def test_an_answer_comes_in_one_write(admin):
    admin.ok("CONFIG SERVER")
    admin.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    admin.send("SHOW")
    assert admin.socket.recv(1 << 16).endswith(b"+OK: command successful\r\n<server#> ")


# --- values -------------------------------------------------------------------------------------


def test_verbs_attributes_and_choices_in_any_case_and_all_quotings(admin):
    enter_listener(admin)
    admin.ok("set ENABLE No idletimeout '5' \"peerMaxConnections\" 7", 'SET maxConnections "1"')
    shown = admin.shown()
    assert (shown["enable"], shown["idleTimeout"], shown["peerMaxConnections"]) == ("no", "5", "7")
    assert shown["maxConnections"] == "1"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("SET idleTimeout 86401", "idleTimeout: it must be a number from 0 to 86400"),
        ("SET idleTimeout -1", "number from"),
        ("SET idleTimeout 1e3", "number from"),
        ("SET idleTimeout ٣", "number from"),
        ("SET maxConnections 0", "number from 1 to 2048"),
        ("SET timeInterval 29", "number from 30"),
        ("SET enable maybe", "enable: it must be yes or no"),
        ("SET enable (yes)", "not a set"),
        ("SET enable", "no value"),
        ("SET", "needs an attribute"),
        ("SET idleTimeout 9 enable maybe", "enable:"),
        ("SET idleTimeout 9 nothing 1", "unknown attribute"),
        ("SET address 0.0.0.0", "ip:port"),
        ("SET address 0.0.0.0:0", "from 1 to 65535"),
        ("SET address 0.0.0.0:65536", "from 1 to 65535"),
        ("SET address ::1:25", "brackets"),
        ("SET address [1.2.3.4]:25", "brackets"),
        ("SET address mail.example.com:25", "ip:port"),
        ("SET address 300.0.0.1:25", "ip:port"),
    ],
)
def test_a_refused_value_leaves_everything_as_it_was(admin, line, reason):
    enter_listener(admin)
    before = admin.shown()
    assert reason in admin.refused(line)
    assert admin.shown() == before


@pytest.mark.parametrize(
    ("value", "shown"),
    [("(tls1_3 tls1_2)", "(tls1_2 tls1_3)"), ("tls1_2", "(tls1_2)"), ("(TLS1 tls1_1 tls1_2)", "(tls1 tls1_1 tls1_2)")],
)
def test_tls_versions(admin, value, shown):
    enter_listener(admin)
    admin.ok("CONFIG SSLCONTROL", f"SET allowedVersions {value}")
    assert admin.shown()["allowedVersions"] == shown


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("(ssl3 tls1)", "RFC 7568"),
        ("(ssl2)", "RFC 6176"),
        ("()", "at least one"),
        ("(tls1_4)", "known are: tls1, tls1_1, tls1_2, tls1_3"),
    ],
)
def test_tls_versions_that_are_refused(admin, value, reason):
    enter_listener(admin)
    admin.ok("CONFIG SSLCONTROL")
    assert reason in admin.refused(f"SET allowedVersions {value}")
    assert admin.shown()["allowedVersions"] == "(tls1_2 tls1_3)"


def test_texts_come_back_as_they_were_given(admin):
    enter_listener(admin)
    admin.ok("CONFIG SSLCONTROL", 'SET cipherSuite "A\\"B\\\\C:!D" certFile /etc/ssl/my\\ cert.pem caFile NONE')
    shown = admin.shown()
    assert shown["cipherSuite"] == '"A\\"B\\\\C:!D"'
    assert shown["certFile"] == '"/etc/ssl/my cert.pem"'
    assert shown["caFile"] == '"none"'


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3/255.0.0.0", "10.0.0.0/8"),
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1/32", "192.0.2.1"),
        ("10.0.0.1-10.0.0.20", "10.0.0.1-10.0.0.20"),
        ("2001:DB8::/32", "2001:db8::/32"),
    ],
)
def test_networks(admin, given, kept):
    enter_listener(admin)
    admin.ok(f"ADD DenyRule {given} enable yes priority 3")
    assert f"\r\n{kept}" in admin.ask("LIST DenyRules")
    assert "already exists" in admin.refused(f"ADD DenyRule ipSet {kept}")
    admin.ok(f"REMOVE DenyRule {given}")
    assert kept not in admin.ask("LIST DenyRules")


def test_networks_that_are_none(admin):
    enter_listener(admin)
    for value in ("10.0.0.9-10.0.0.1", "10.0.0.0/33", "::1-10.0.0.1", "everybody", "''"):
        admin.refused(f"ADD DenyRule {value}")
        admin.refused(f"ADD AllowRule {value}")
    assert "priority" in admin.refused("ADD DenyRule 10.0.0.0/8 priority 1001")
    assert "10.0" not in admin.ask("LIST DenyRules")


def test_a_deny_rule_is_one_shot_and_an_allow_rule_a_context(admin):
    enter_listener(admin)
    admin.ok("ADD DenyRule 0.0.0.0/0 enable yes", "UPDATE DenyRule 0.0.0.0/0 priority 9")
    assert admin.shown("SHOW DenyRule 0.0.0.0/0") == {"ipSet": "0.0.0.0/0", "enable": "yes", "priority": "9"}
    assert admin.ok("ADD AllowRule 10.0.0.0/8").endswith("allowRule#> ")
    admin.ok("SET enable yes priority 2", "DONE", "UPDATE AllowRule 10.0.0.0/8", "SET priority 1", "BACK")
    assert admin.shown("SHOW AllowRule 10.0.0.0/8")["priority"] == "2"


def test_an_address_is_one_listener_in_every_spelling(admin):
    enter_listener(admin, "[2001:DB8:0:0::1]:025")
    assert admin.shown()["address"] == "[2001:db8::1]:25"
    admin.ok("COMMIT")
    assert "already exists" in admin.refused("ADD Listener [2001:db8::1]:25")
    admin.ok("UPDATE Listener [2001:db8:0::1]:25", "BACK", "REMOVE Listener [2001:db8::0:1]:25")
    assert "2001" not in admin.ask("LIST Listeners")


def test_a_listener_can_move_but_not_onto_another(admin):
    enter_listener(admin)
    admin.ok("SET idleTimeout 7", "COMMIT", "ADD Listener 0.0.0.0:26", "COMMIT")
    admin.ok("UPDATE Listener 0.0.0.0:25", "SET address 0.0.0.0:26")
    assert "already exists" in admin.refused("COMMIT")
    assert admin.ok("SET address 0.0.0.0:27", "COMMIT").endswith("<server-smtpIncoming#> ")
    assert admin.shown("SHOW Listener 0.0.0.0:27")["idleTimeout"] == "7"
    admin.refused("SHOW Listener 0.0.0.0:25")


# --- pending ------------------------------------------------------------------------------------


def test_reset_goes_back_to_what_is_active(server, admin):
    enter_listener(admin)
    admin.ok("SET idleTimeout 7", "COMMIT", "COMMIT", "COMMIT")
    admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", "UPDATE Listener 0.0.0.0:25", "SET idleTimeout 9", "RESET")
    assert admin.shown()["idleTimeout"] == "7"
    admin.ok("BACK", "ADD Listener 0.0.0.0:99", "SET idleTimeout 9", "RESET")
    assert (admin.shown()["idleTimeout"], admin.shown()["address"]) == ("300", "0.0.0.0:99")


def test_back_drops_and_done_alone_does_not_reach_the_server(server, admin):
    enter_listener(admin)
    admin.ok("COMMIT", "COMMIT", "COMMIT")
    admin.ok("CONFIG SERVER", "CONFIG SMTP-INCOMING", "UPDATE Listener 0.0.0.0:25", "CONFIG SSLCONTROL")
    admin.ok("SET maxChainDepth 9", "DONE", "CONFIG SSLCONTROL")
    assert admin.shown()["maxChainDepth"] == "9"
    admin.ok("BACK", "BACK", "BACK", "BACK")
    assert server.smtp.generations[-1].listeners[0].tls.max_chain_depth == 4
    assert len(server.smtp.generations) == 2


def test_an_added_listener_that_is_not_committed_does_not_exist(admin):
    enter_listener(admin)
    admin.ok("BACK")
    assert "0.0.0.0:25" not in admin.ask("LIST Listeners")


def test_show_config_is_the_running_configuration_not_the_pending_one(admin):
    enter_listener(admin)
    admin.ok("ADD DenyRule 10.0.0.0/8 enable yes", "COMMIT", "COMMIT")
    assert "0.0.0.0:25" not in admin.ask("SHOW Config")
    admin.ok("COMMIT", "CONFIG SERVER")
    lines = admin.ask("SHOW Config").split("\r\n")
    assert lines[0] == "Server {"
    assert lines[-3:] == ["}", "+OK: command successful", "<server#> "]
    text = "\n".join(lines)
    for part in ("address = 0.0.0.0:25", "sslControl = {", "allowRules = ()", "ipSet = 10.0.0.0/8"):
        assert part in text


# --- the policy script --------------------------------------------------------------------------

SCRIPTS = {
    "ordinary": b"event onEhlo {\n\tset (a, \"b\");\n}\n",
    "no line end at the end": b"event onEhlo {\n}",
    "empty lines around": b"\n\n# x\n\n\n",
    "empty": b"",
    "carriage returns": b"# a\r\n# b\n\r\n\r\r\n# c\r",
    "not UTF-8": b"# \xfc \xff\xfe \xc3\n",
    "its own delimiters": b"# x\n+OK: not yet\n<server#> \n-ERR: no\n<#> ",
    "words that are commands": b"QUIT\nCOMMIT\nBACK\n",
    "NUL and escapes": b"# \x00 \x1b[31m\n",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_keeps_its_bytes(server, admin, name):
    script = SCRIPTS[name]
    admin.ok("CONFIG SERVER")
    assert admin.upload(script).endswith("<server#> ")
    admin.send("SHOW SmtpFilters")
    expected = script.replace(b"\n", b"\r\n") + b"\r\n+OK: command successful\r\n<server#> "
    received = b""
    while len(received) < len(expected):
        received += admin.socket.recv(len(expected) - len(received))
    assert received == expected
    admin.ok("COMMIT", "SAVE CONFIG")
    assert server.smtp.generations[-1].script == script
    assert (server.state_dir / "filters" / "smtpFilters.script").read_bytes() == script
    server.restart()
    assert server.smtp.generations[-1].script == script


def test_a_script_on_disk_is_shown_as_it_is(server):
    content = b"# a\r\n# b\n# \xfc"
    (server.state_dir / "filters").mkdir()
    (server.state_dir / "filters" / "smtpFilters.script").write_bytes(content)
    server.restart()
    client = server.client().login()
    client.ok("CONFIG SERVER")
    client.send("SHOW SmtpFilters")
    assert client.read() == b"# a\r\r\n# b\r\n# \xfc\r\n+OK: command successful\r\n<server#> "


def test_the_invitation_has_no_prompt(admin):
    admin.ok("CONFIG SERVER")
    admin.send("UPDATE SmtpFilters")
    assert admin.read_line().startswith(b"+OK: ")
    admin.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        admin.socket.recv(1)
    admin.socket.settimeout(20)
    admin.send(".")
    assert admin.read().endswith(b"<server#> ")


def test_dots_are_unstuffed(admin):
    admin.ok("CONFIG SERVER")
    admin.upload(b"# a\n..b\n...c\n.d")
    assert admin.script() == b"# a\n.b\n..c\n.d"


def test_another_end_mark(admin):
    admin.ok("SET multilineEOF EOF-77", "CONFIG SERVER")
    admin.send("UPDATE SmtpFilters")
    assert b'"EOF-77"' in admin.read_line()
    admin.socket.sendall(b".\r\n..\r\nEOF-77 \r\nEOF-77\r\n")
    assert admin.read().startswith(b"+OK: ")
    assert admin.script() == b".\n..\nEOF-77 "


def test_a_script_with_an_error_is_refused_with_its_line(server, admin):
    admin.ok("CONFIG SERVER")
    admin.upload(b"# good\n")
    answer = admin.upload(b"# one\n# two\nwrong\n")
    assert answer.startswith("-ERR: the script has an error: line 3") and answer.endswith("<server#> ")
    assert admin.script() == b"# good\n"


def test_the_pending_script_belongs_to_its_session(server, admin):
    other = server.client().login()
    other.ok("CONFIG SERVER")
    admin.ok("CONFIG SERVER")
    admin.upload(b"# mine\n")
    assert (admin.script(), other.script()) == (b"# mine\n", b"")
    admin.ok("BACK", "CONFIG SERVER")
    assert admin.script() == b""
    admin.upload(b"# mine\n")
    admin.ok("RESET")
    assert admin.script() == b""


def test_a_script_that_is_too_big_is_read_to_its_end_and_refused(admin, monkeypatch):
    monkeypatch.setattr("postern.admin.session.MAX_UPLOAD", 1000)
    admin.ok("CONFIG SERVER")
    answer = admin.upload(b"QUIT\n" * 1000)
    assert "larger than 1000 bytes" in answer and answer.endswith("<server#> ")
    assert admin.script() == b""


def test_five_megabytes_of_script(server, admin):
    script = b"".join(b"method M%d { set (smtpAction, \"reject\"); }\n" % number for number in range(110_000))
    assert len(script) > 5_000_000
    admin.ok("CONFIG SERVER")
    assert "+OK" in admin.upload(script)
    assert admin.script() == script
    admin.ok("COMMIT")
    assert server.smtp.generations[-1].script == script


def test_script_files_on_the_server(server, admin):
    inside = server.state_dir / "mine.script"
    inside.write_bytes(b"# from a file\r\n")
    admin.ok("CONFIG SERVER", "UPDATE SmtpFilters mine.script")
    assert admin.script() == b"# from a file\r\n"
    admin.ok(f"SHOW SmtpFilters {server.state_dir}/copy.script")
    assert (server.state_dir / "copy.script").read_bytes() == b"# from a file\r\n"
    inside.write_bytes(b"wrong\n")
    assert "line 1" in admin.refused("UPDATE SmtpFilters mine.script")


@pytest.mark.parametrize("verb", ["SHOW", "UPDATE"])
@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x.script", "/tmp/x.script", "admin.passwd", "filters/smtpFilters.script", "link.script", "log"],
)
def test_other_files_of_the_server_are_out_of_reach(server, admin, verb, path):
    (server.state_dir / "link.script").symlink_to("/etc/passwd")
    admin.ok("CONFIG SERVER")
    assert "only a *.script file below the state directory" in admin.refused(f"{verb} SmtpFilters {path}")


# --- log ----------------------------------------------------------------------------------------


def test_the_log_names_verb_and_object_and_nothing_else(server, admin):
    admin.ok("CONFIG SERVER", "SHOW Config", "SET serverName my-secret-name", "BACK")
    admin.ok("CREATE Domain example.com postmasterPassword my-secret-1", "COMMIT")
    admin.ok("UPDATE Domain example.com", "ADD Account a password my-secret-2", "SET password my-secret-3", "BACK")
    admin.refused("my-secret-4 my-secret-5")
    admin.refused("SHOW my-secret-6")
    seen = [(record["verb"], record["object"]) for record in server.log() if record["event"] == "admin.command"]
    assert ("SHOW", "Config") in seen and ("SET", "password") in seen and ("CREATE", "Domain") in seen
    assert ("?", "?") in seen and ("SHOW", "?") in seen and ("COMMIT", "") in seen
    assert "secret" not in server.log_path.read_text()
