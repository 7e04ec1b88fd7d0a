# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every context below the server: how it is entered, left and explained; rules, mapping, RESET; what is saved."""

from __future__ import annotations

import re

import pytest

from postern.admin.cfgfile import read_server
from postern.emulation import Emulation
from postern.settings import AccessControl, AccessRule, FlowLimits

#: Context keyword, prompt segment, the verb that keeps.
SETTINGS = [("SMTP-INCOMING", "smtpIncoming"), ("SMTP-OUTGOING", "smtpOutgoing"), ("CLI", "cli")]
NO_SETTINGS = [
    ("PROCESSING", "processing"),
    ("IMAP", "imap"),
    ("POP3", "pop3"),
    ("WEBMAIL", "webmail"),
    ("WEBADMIN", "webadmin"),
    ("FTP-BACKUP", "ftpBackup"),
    ("FILTERS", "filters"),
    ("SECURITY", "security"),
    ("LOG", "log"),
    ("CALLOG", "calLog"),
    ("JOBLOG", "jobLog"),
    ("SRVLOG", "srvLog"),
    ("USERDB", "userdb"),
    ("DNR", "dnr"),
]
#: Left with DONE.
DONE = [("CERTS", "certs"), ("CLUSTER", "cluster"), ("PERMISSIONS", "permissions")]

SERVICES = "services = (smtpIncoming smtpOutgoing processing)"


def in_server(client):
    client.ok("CONFIG SERVER")
    return client


def help_lines(client):
    lines = client.ok("HELP").split("\r\n")
    assert lines[-3:-1] == ["", "+OK: command successful"]
    return lines[:-3]


# --- the tree -----------------------------------------------------------------------------------


def several(server, contexts):
    """Contexts and a client for each, a new one now and then: a session may make 20 errors."""
    for number, (keyword, segment) in enumerate(contexts):
        if number % 8 == 0:
            client = in_server(server.client().login())
        yield client, keyword, segment


def test_every_context_is_entered_and_left(server):
    for client, keyword, segment in several(server, SETTINGS + NO_SETTINGS + DONE):
        right, wrong = ("DONE", "COMMIT") if (keyword, segment) in DONE else ("COMMIT", "DONE")
        prompt = f"\r\n<server-{segment}#> "
        assert client.ok(f"CONFIG {keyword}").endswith(prompt), keyword
        assert client.ask(wrong).endswith(prompt) and client.ask("FROBNICATE").endswith(prompt), keyword
        assert client.ok(right).endswith("\r\n<server#> "), keyword
        assert client.ok(f"config {keyword.lower()}", "BACK").endswith("\r\n<server#> "), keyword


def test_contexts_without_settings(server):
    for client, keyword, segment in several(server, NO_SETTINGS + DONE):
        client.ok(f"CONFIG {keyword}")
        lines = client.ask("SHOW").split("\r\n")
        assert lines[1:] == ["", "", "+OK: command successful", f"<server-{segment}#> "]
        lines = help_lines(client)
        assert lines[0] == f"The commands available for the {keyword} context are:"
        verbs = [line.partition(" ")[0] for line in lines[1:]]
        assert "SET" not in verbs
        assert {"SHOW", "BACK", "HELP", "EXIT/QUIT", "DONE" if (keyword, segment) in DONE else "COMMIT"} <= set(verbs)
        assert "unknown" in client.refused("SET logLevel 1")
        client.ok("BACK")


def test_back_and_commit_through_all_contexts_activate_nothing_new(server, admin):
    in_server(admin)
    before = admin.ask("SHOW Config")
    for keyword, _segment in NO_SETTINGS:
        admin.ok(f"CONFIG {keyword}", "COMMIT")
    admin.ok("COMMIT")
    assert in_server(admin).ask("SHOW Config") == before


# --- HELP ---------------------------------------------------------------------------------------

PLACES = {
    "SERVER": (),
    "SMTP-INCOMING": ("CONFIG SMTP-INCOMING",),
    "ACCESS-CONTROL": ("CONFIG SMTP-INCOMING", "CONFIG AccessControl"),
    "MAPPINGDATA": ("CONFIG SMTP-INCOMING", "CONFIG mappingData"),
    "LISTENER": ("CONFIG SMTP-INCOMING", "ADD Listener 0.0.0.0:25"),
    "SSLCONTROL": ("CONFIG SMTP-INCOMING", "ADD Listener 0.0.0.0:25", "CONFIG SSLCONTROL"),
    "ALLOWRULE": ("CONFIG SMTP-INCOMING", "ADD Listener 0.0.0.0:25", "ADD AllowRule 10.0.0.0/8"),
    "SMTP-OUTGOING": ("CONFIG SMTP-OUTGOING",),
    "CLI": ("CONFIG CLI",),
}


@pytest.mark.parametrize("title", PLACES)
def test_help_is_one_line_for_each_command_and_names_every_attribute(admin, title):
    in_server(admin).ok("SHOW", *PLACES[title])
    lines = help_lines(admin)
    assert lines[0] == f"The commands available for the {title} context are:"
    assert all(re.fullmatch(r"[A-Z]+(/[A-Z]+)?( \S.*)? - \S.*", line) for line in lines[1:]), lines
    settable = re.findall(r"^SET \[(\w+) <", "\n".join(lines), re.MULTILINE)
    assert settable == [name for name in admin.shown() if name != "services"]
    for line in lines:
        # Everything that HELP names is understood.
        if line.startswith(("CONFIG ", "LIST ")):
            command = line.partition(" - ")[0]
            assert admin.ask(command).split("\r\n")[-2].startswith("+OK"), command
            if command.startswith("CONFIG "):
                admin.ok("BACK")


def test_help_says_what_the_dialect_does_not_have(admin):
    in_server(admin).ok("CONFIG SMTP-INCOMING")
    marked = [line for line in help_lines(admin) if line.endswith(" (extension of this server)")]
    assert [line.partition(" - ")[0] for line in marked] == [
        "RESET <name>",
        "ADD Listener [address] <address> <name> <value>...",
        "UPDATE Listener [address] <address> <name> <value>...",
    ]
    admin.ok("ADD Listener 0.0.0.0:25")
    marked = [line for line in help_lines(admin) if line.endswith(" (extension of this server)")]
    assert [line.partition(" - ")[0] for line in marked] == [
        "RESET",
        "RESET <name>",
        "ADD AllowRule [ipSet] <ipSet> <name> <value>...",
        "UPDATE AllowRule [ipSet] <ipSet> <name> <value>...",
    ]


def test_a_server_that_plays_another_one_has_no_extensions(server):
    server.configuration.emulation = Emulation(extensions=False)
    client = server.client().login()
    for step in ("CONFIG SERVER", "CONFIG SMTP-INCOMING", "ADD Listener 0.0.0.0:25", "CONFIG SSLCONTROL"):
        assert "extension" not in client.ok("HELP")
        client.ok(step)
    assert "unknown command" in client.refused("RESET")
    client.ok("BACK", "BACK", "RESET")
    assert "too many words" in client.refused("RESET maxErrors")


def test_help_says_what_is_kept_without_effect(admin):
    in_server(admin).ok("CONFIG SMTP-INCOMING", "ADD Listener 0.0.0.0:25")
    without = {line.split("[")[1].split()[0] for line in help_lines(admin) if "without effect" in line}
    assert without == {"proxyProtocol", "proxyProtocolTimeout", "nonClusterListener", "listenerDomain"}


# --- documented values --------------------------------------------------------------------------


def test_defaults_of_smtp_incoming(admin):
    in_server(admin).ok("CONFIG SMTP-INCOMING")
    assert admin.shown() == {
        "maxErrors": "20",
        "maxAuthErrors": "5",
        "maxReceivedHeaders": "30",
        "maxConnThreads": "20",
        "minConnThreads": "1",
        "logLevel": "15",
        "logType": "internal",
        "logHost": "127.0.0.1:2000",
        "userdbConnectorType": "local",
        "userdbConnectorName": '""',
        "enableSmtpRouting": "no",
    }


def test_defaults_of_the_others(admin):
    in_server(admin)
    assert admin.ok("SHOW ATTR services").startswith(SERVICES)
    admin.ok("CONFIG SMTP-OUTGOING")
    assert admin.shown() == {
        "enableIPv6": "no",
        "maxConnThreads": "20",
        "minConnThreads": "1",
        "logLevel": "15",
        "logType": "internal",
        "logHost": "127.0.0.1:2000",
    }
    admin.ok("BACK", "CONFIG CLI")
    assert admin.shown() == {"maxErrors": "20", "maxAuthErrors": "5", "maxAuthCommands": "20"}
    admin.ok("BACK", "CONFIG SMTP-INCOMING", "CONFIG mappingData")
    assert admin.shown() == {"userMap": '"none"', "mappingHost": '"127.0.0.1"', "mappingPort": "1200"}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("logType SYSTEM", "system"),
        ("logHost 192.0.2.1:514", "192.0.2.1:514"),
        ("userdbConnectorType LDAPBIND", "ldapBind"),
        ("logLevel 31", "31"),
    ],
)
def test_values_of_smtp_incoming(admin, given, shown):
    in_server(admin).ok("CONFIG SMTP-INCOMING", f"SET {given}")
    assert admin.shown()[given.split()[0]] == shown


@pytest.mark.parametrize(
    "given", ["logType syslog", "logHost localhost:514", "userdbConnectorType oauth", "logLevel 32"]
)
def test_values_that_smtp_incoming_refuses(admin, given):
    in_server(admin).ok("CONFIG SMTP-INCOMING")
    assert admin.refused(f"SET {given}").startswith(f"{given.split()[0]}: it must be ")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("(allowV1 ALLOWV2)", "(allowV1 allowV2)"),
        ("(isOptional allowAll)", "(allowAll isOptional)"),
        ("Disabled", "disabled"),
        ("()", "disabled"),
    ],
)
def test_the_proxy_protocol_of_a_listener_is_kept(admin, given, shown):
    in_server(admin).ok("CONFIG SMTP-INCOMING", "ADD Listener 0.0.0.0:25", "SET proxyProtocol (allowAll)")
    admin.ok(f"SET proxyProtocol {given}")
    assert admin.shown()["proxyProtocol"] == shown
    assert "disabled, or a set of" in admin.refused("SET proxyProtocol (allowV3)")


# --- access control and mapping -----------------------------------------------------------------


def test_access_control_of_the_service(server, admin):
    in_server(admin).ok("CONFIG SMTP-INCOMING")
    assert admin.ok("CONFIG AccessControl").endswith("\r\n<server-smtpIncoming-access-control#> ")
    admin.ok("SET maxConnections 7 peerTimeInterval 30", "ADD DenyRule 10.0.0.0/8 enable yes priority 3")
    assert admin.ok("ADD AllowRule 10.1.0.0/16").endswith("\r\n<server-smtpIncoming-access-control-allowRule#> ")
    admin.ok("SET enable yes priority 2 maxConnections 5 peerMaxIntervalConnections 9", "DONE")
    assert admin.ask("LIST AllowRules").split("\r\n")[5] == "10.1.0.0/16 | yes    | 2"
    assert admin.ask("LIST DenyRules").split("\r\n")[5] == "10.0.0.0/8 | yes    | 3"
    admin.refused("COMMIT")
    admin.ok("DONE", "COMMIT", "COMMIT")
    assert server.smtp.generations[-1].access == AccessControl(
        (AccessRule("10.1.0.0/16", True, 2, FlowLimits(max_connections=5, peer_max_interval_connections=9)),),
        (AccessRule("10.0.0.0/8", True, 3),),
        FlowLimits(max_connections=7, peer_time_interval=30),
    )
    assert server.smtp.generations[0].access == AccessControl()


def test_back_from_access_control_drops(admin):
    in_server(admin).ok("CONFIG SMTP-INCOMING", "CONFIG AccessControl", "ADD DenyRule 10.0.0.0/8", "BACK")
    admin.ok("CONFIG AccessControl")
    assert "10.0.0.0" not in admin.ask("LIST DenyRules")


def test_limits_of_an_allow_rule_of_a_listener(server, admin):
    in_server(admin).ok("CONFIG SMTP-INCOMING", "ADD Listener 127.0.0.1:25", "ADD AllowRule 10.0.0.0/8")
    assert admin.shown()["maxConnections"] == "0"
    assert "maxConnections: it must be a number from 0 to 2048" in admin.refused("SET maxConnections 2049")
    admin.ok("SET enable yes peerMaxConnections 3", "DONE", "COMMIT", "COMMIT", "COMMIT")
    (listener,) = server.smtp.generations[-1].listeners
    assert listener.allow_rules == (AccessRule("10.0.0.0/8", True, 500, FlowLimits(peer_max_connections=3)),)


def test_back_does_not_cancel_in_mapping_data(server, admin):
    in_server(admin).ok("CONFIG SMTP-INCOMING", "CONFIG mappingData")
    (line,) = [line for line in help_lines(admin) if line.startswith("BACK - ")]
    assert "kept" in line
    admin.ok("SET mappingHost proxy.example.test mappingPort 25", "BACK", "CONFIG mappingData")
    assert admin.shown()["mappingHost"] == '"proxy.example.test"'
    admin.ok("SET mappingPort 26", "DONE", "COMMIT", "COMMIT")
    in_server(admin)
    assert "mappingPort = 26" in admin.ask("SHOW Config")


def test_the_key_of_something_new_is_the_one_that_it_was_added_with(admin):
    in_server(admin).ok("CONFIG SMTP-INCOMING", "ADD Listener 0.0.0.0:25")
    assert "after UPDATE only" in admin.refused("SET idleTimeout 9 address 0.0.0.0:26")
    assert (admin.shown()["address"], admin.shown()["idleTimeout"]) == ("0.0.0.0:25", "300")
    admin.ok("ADD AllowRule 10.0.0.0/8")
    assert "after UPDATE only" in admin.refused("SET ipSet 10.0.0.0/9")
    admin.ok("DONE", "UPDATE AllowRule 10.0.0.0/8", "SET ipSet 10.0.0.0/9", "DONE", "COMMIT")
    admin.ok("UPDATE Listener 0.0.0.0:25", "SET address 0.0.0.0:26")
    assert admin.ask("LIST AllowRules").split("\r\n")[5].startswith("10.0.0.0/9 ")


# --- RESET --------------------------------------------------------------------------------------


def test_reset_of_single_attributes(server, admin):
    in_server(admin).ok("CONFIG SMTP-INCOMING", "SET maxErrors 1", "COMMIT", "COMMIT")
    in_server(admin).ok("CONFIG SMTP-INCOMING", "SET maxErrors 2 maxAuthErrors 3 logLevel 4")
    admin.ok("RESET maxerrors LOGLEVEL")
    shown = admin.shown()
    assert (shown["maxErrors"], shown["maxAuthErrors"], shown["logLevel"]) == ("1", "3", "15")
    assert "unknown attribute" in admin.refused("RESET maxAuthErrors nothing")
    assert admin.shown()["maxAuthErrors"] == "3"
    admin.ok("RESET")
    assert admin.shown()["maxAuthErrors"] == "5"


def test_reset_of_one_attribute_of_something_new_is_its_default(admin):
    in_server(admin).ok("CONFIG SMTP-INCOMING", "ADD Listener 0.0.0.0:25", "SET idleTimeout 9 enable no")
    admin.ok("RESET idleTimeout")
    assert (admin.shown()["idleTimeout"], admin.shown()["enable"]) == ("300", "no")


def test_reset_of_one_attribute_of_the_server_keeps_the_pending_script(admin):
    in_server(admin)
    admin.upload(b"# pending\n")
    admin.ok("SET serverName a", "RESET serverName")
    assert admin.shown()["serverName"] == '""'
    assert admin.script() == b"# pending\n"


# --- services -----------------------------------------------------------------------------------


def test_stop_and_start_count_at_commit(server, admin):
    in_server(admin).ok("CONFIG SMTP-INCOMING", "ADD Listener 127.0.0.1:25", "COMMIT", "COMMIT", "COMMIT")
    in_server(admin).ok("CONFIG SMTP-INCOMING", "STOP Service", "COMMIT")
    assert admin.shown()["services"] == "(smtpOutgoing processing)"
    assert len(server.smtp.generations) == 2 and server.smtp.generations[-1].listeners
    admin.ok("COMMIT")
    assert server.smtp.generations[-1].listeners == ()
    in_server(admin).ok("CONFIG SMTP-INCOMING")
    assert "127.0.0.1:25" in admin.ask("LIST Listeners")
    admin.ok("START Service", "COMMIT", "COMMIT")
    assert [listener.port for listener in server.smtp.generations[-1].listeners] == [25]


@pytest.mark.parametrize(
    ("keyword", "left", "processing", "sending"),
    [
        ("SMTP-OUTGOING", "(smtpIncoming processing)", True, False),
        ("PROCESSING", "(smtpIncoming smtpOutgoing)", False, False),
    ],
)
def test_a_stopped_service_is_saved(server, admin, keyword, left, processing, sending):
    in_server(admin).ok(f"CONFIG {keyword}", "STOP Service", "COMMIT", "COMMIT", "SAVE CONFIG")
    server.restart()
    generation = server.smtp.generations[-1]
    assert (generation.processing, generation.sending) == (processing, sending)
    again = in_server(server.client().login())
    assert again.shown()["services"] == left
    again.ok(f"CONFIG {keyword}", "START Service", "COMMIT", "COMMIT")
    assert server.smtp.generations[-1].processing and server.smtp.generations[-1].sending


def test_back_and_reset_drop_a_stop(server, admin):
    in_server(admin).ok("CONFIG SMTP-OUTGOING", "STOP Service", "BACK")
    assert admin.shown()["services"] == "(smtpIncoming smtpOutgoing processing)"
    admin.ok("CONFIG SMTP-OUTGOING", "STOP Service", "RESET", "COMMIT", "COMMIT")
    assert server.smtp.generations[-1].sending


def test_services_are_shown_and_not_set(admin):
    in_server(admin)
    assert "START Service" in admin.refused("SET services (smtpIncoming)")
    assert "unknown" in admin.ask("START Service")
    admin.ok("CONFIG IMAP")
    assert "unknown" in admin.refused("START Service")


def test_two_administrators_may_stop_different_services(server, admin):
    other = in_server(server.client().login())
    in_server(admin).ok("CONFIG SMTP-OUTGOING", "STOP Service", "COMMIT", "COMMIT")
    other.ok("CONFIG PROCESSING", "STOP Service", "COMMIT", "COMMIT")
    assert in_server(admin).shown()["services"] == "(smtpIncoming)"


def test_two_administrators_at_one_service(server, admin):
    other = in_server(server.client().login())
    in_server(admin).ok("CONFIG SMTP-OUTGOING", "STOP Service", "COMMIT", "COMMIT")
    in_server(admin).ok("CONFIG SMTP-OUTGOING", "START Service", "COMMIT", "COMMIT")
    other.ok("CONFIG SMTP-OUTGOING", "STOP Service", "COMMIT", "COMMIT")
    in_server(admin).ok("CONFIG SMTP-OUTGOING", "SET logLevel 1", "COMMIT")
    in_server(other).ok("CONFIG SMTP-OUTGOING", "START Service", "COMMIT", "COMMIT")
    admin.ok("COMMIT")
    assert server.smtp.generations[-1].sending


def test_two_administrators_at_the_access_control(server, admin):
    other = in_server(server.client().login())
    for client, network in ((in_server(admin), "10.0.0.0/8"), (other, "192.0.2.0/24")):
        client.ok("CONFIG SMTP-INCOMING", "CONFIG AccessControl", f"ADD DenyRule {network}", "DONE", "COMMIT", "COMMIT")
    assert [rule.ip_set for rule in server.smtp.generations[-1].access.deny_rules] == ["10.0.0.0/8", "192.0.2.0/24"]
    clash = in_server(server.client().login())
    step = ("CONFIG SMTP-INCOMING", "CONFIG AccessControl")
    in_server(admin).ok(*step, "UPDATE DenyRule 10.0.0.0/8 priority 1", "DONE", "COMMIT", "COMMIT")
    clash.ok(*step, "REMOVE DenyRule 10.0.0.0/8", "DONE", "COMMIT")
    assert "smtpIncoming serviceAccessControl denyrule 10.0.0.0/8" in clash.refused("COMMIT")


# --- the file -----------------------------------------------------------------------------------


def test_show_config_has_what_can_be_set_and_no_more(admin):
    in_server(admin)
    text = admin.ask("SHOW Config").replace("\r\n", "\n")
    assert text.startswith(f"Server {{\n    {SERVICES}\n")
    assert re.findall(r"^    (\w+) = \{", text, re.MULTILINE) == ["smtpIncoming", "smtpOutgoing", "cli"]
    assert re.findall(r"^        (\w+) = \{", text, re.MULTILINE) == ["mappingData", "serviceAccessControl"]


def test_the_file_of_an_earlier_version_is_read():
    text = """Server {
    primaryDomain = "example.test"
    serverName = ""
    smtpIncoming = {
        maxErrors = 7
        logLevel = 15
        listeners = (
            {
                address = 127.0.0.1:25
                allowRules = (
                    {
                        ipSet = 10.0.0.0/8
                        enable = yes
                        priority = 100
                    }
                )
                denyRules = ()
                sslControl = {
                    certFile = "a.pem"
                }
            }
        )
    }
    smtpOutgoing = {
        enableIPv6 = no
    }
}
"""
    server, notes = read_server(text)
    assert notes == []
    assert not any(service.stopped for service in server.services.values())
    assert server.parts["smtpIncoming"].values["maxErrors"] == 7
    (listener,) = server.parts["smtpIncoming"].lists["listeners"].values()
    assert listener.lists["allowRules"]["10.0.0.0/8"].values["maxConnections"] == 0


@pytest.mark.parametrize(
    ("services", "stopped", "noted"),
    [
        ("(log processing smtpIncoming smtpOutgoing pop3 imap webmail cli webadmin ftpBackup)", [], ""),
        ("(processing smtp)", [], ""),
        ("(SMTPINCOMING rpop processing reporting)", ["smtpOutgoing"], "reporting, rpop"),
        ("()", ["smtpIncoming", "smtpOutgoing", "processing"], ""),
    ],
)
def test_lists_of_services(services, stopped, noted):
    server, notes = read_server(f"Server {{ services = {services} }}")
    assert [name for name, node in server.services.items() if node.stopped] == stopped
    assert [note.rpartition(": ")[2] for note in notes] == ([noted] if noted else [])


def test_a_real_servers_file_is_read_with_a_note_for_each_thing_that_is_not_here():
    server, notes = read_server("""Server {
    services = (log processing smtpIncoming smtpOutgoing)
    smtpFiltersFile = "filters/smtpFilters.script"
    log = {
        logType = internal
        rules = ({ priority = 100 })
    }
    imap = { listeners = ({ address = 0.0.0.0:143 }) }
    filters {}
    smtpIncoming = {
        serviceAccessControl = {
            maxConnections = 200
            allowRules = ({ ipSet = 0.0.0.0-254.255.255.255 enable = yes priority = 1000 maxConnections = 0 })
            denyRules = ()
        }
        mappingData = { userMap = "none" mappingHost = "127.0.0.1" mappingPort = 1200 }
    }
}""")
    assert [note.partition(" ")[2].partition(" and ")[0] for note in notes] == [
        "3: smtpfiltersfile is not known in server",
        "4: log has no settings on this server; its own were left out",
        "8: imap has no settings on this server; its own were left out",
    ]
    access = server.parts["smtpIncoming"].parts["serviceAccessControl"]
    assert access.values["maxConnections"] == 200
    assert list(access.lists["allowRules"]) == ["0.0.0.0-254.255.255.255"]


def test_a_list_of_services_that_is_none():
    with pytest.raises(ValueError, match="line 1: services must be a list of names"):
        read_server("Server { services = smtp }")
