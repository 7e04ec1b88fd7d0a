# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration file syntax: what is printed is read back, and what people write is read too."""

from __future__ import annotations

import pytest

from postern.admin.cfgfile import ConfigError, print_server, read_server
from postern.admin.schema import LISTENER
from postern.admin.tree import Node, new_server


ODD = 'a "b" \\ # no comment /* nor this */ { } ( ) , ='


def test_what_is_printed_is_read_back():
    server = new_server()
    server.values["serverName"] = "mx.example.test"
    incoming = server.parts["smtpIncoming"]
    incoming.values["maxErrors"] = 7
    for address in ("0.0.0.0:25", "[2001:db8::1]:587"):
        listener = Node.new(LISTENER)
        listener.values.update(address=address, enable="no", idleTimeout=1)
        listener.parts["sslControl"].values.update(allowedVersions=("tls1", "tls1_1"), cipherSuite=ODD)
        for name in ("allowRules", "denyRules"):
            rule = Node.new(next(item for item in LISTENER.lists if item.name == name).item)
            rule.values.update(ipSet="10.0.0.1-10.0.0.9", enable="yes", priority=1)
            listener.lists[name]["10.0.0.1-10.0.0.9"] = rule
        incoming.lists["listeners"][address] = listener
    found, notes = read_server(print_server(server))
    assert found == server and found is not server
    assert notes == []
    assert print_server(found) == print_server(server)


HAND_WRITTEN = '''
# a comment with { and "
Server {
    Services = (processing smtpIncoming, log)
    SERVERNAME="mx.example.test"
    /* switched off:
    smtpIncoming = { maxErrors = 1 }
    */
    SmtpIncoming {
        Listeners = (
            {
                ADDRESS=0.0.0.0:25   # behind
                SSLControl = { CipherSuite="a \\"b\\" # not a comment /* nor this */"
                    allowedVersions = (tls1_1 tls1_2), certFile = none }
                futureAttribute = ( a { b = c } )
            },
            { address = "127.0.0.1:587" enable = NO }
        ),
        maxErrors = 19
    }
}
'''


def test_what_people_write_is_read():
    server, notes = read_server(HAND_WRITTEN)
    incoming = server.parts["smtpIncoming"]
    first, second = incoming.lists["listeners"].values()
    assert server.values["serverName"] == "mx.example.test"
    assert first.parts["sslControl"].values["cipherSuite"] == 'a "b" # not a comment /* nor this */'
    assert incoming.values["maxErrors"] == 19
    assert list(incoming.lists["listeners"]) == ["0.0.0.0:25", "127.0.0.1:587"]
    assert first.parts["sslControl"].values["allowedVersions"] == ("tls1_1", "tls1_2")
    assert first.values["enable"] == "yes" and second.values["enable"] == "no"
    assert [name for name, service in server.services.items() if service.stopped] == ["smtpOutgoing"]
    assert [note.split(":")[0] for note in notes] == ["line 15"]
    assert "futureattribute" in notes[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: the name of an attribute is missing"),
        ("Server", "line 1: a value is missing"),
        ("Server {\n\n", "line 1: the brace that opens here"),
        ("Server {\n serverName = \"x\n}\n", "line 2: a quote is never closed"),
        ("Server {\n smtpIncoming = {\n listeners = (\n}", "line 4: a value is missing"),
        ("Server {\n smtpIncoming = {\n listeners = ( {} )\n}}", "line 3: listeners must hold objects"),
        ("Server {\n smtpIncoming = {\n listeners = yes\n}}", "line 3: listeners must be a list"),
        ("Server {\n smtpIncoming = yes\n}", "line 2: smtpIncoming must be an object"),
        ("Server {\n serverName = {}\n}", "line 2: serverName must not be an object"),
        ("Server {\n serverName = (a b)\n}", "line 2: serverName: one value is wanted"),
        ("Server {\n serverName = a\n ServerName = b\n}", "line 3: ServerName stands twice"),
        ("Server {\n smtpIncoming { maxErrors = 101 }\n}", "line 2: maxErrors: it must be a number from 0 to 100"),
        ("Server {}\nServer {}", "line 2: the file must end"),
        ("Server (a)", "line 1: the file must hold one object"),
        (
            "Server { smtpIncoming { listeners = (\n{ address = 0.0.0.0:25 }\n{ address = 0.0.0.0:025 }) } }",
            "line 3: listener 0.0.0.0:25 stands twice",
        ),
    ],
)
def test_errors_name_their_line(text, reason):
    with pytest.raises(ConfigError) as caught:
        read_server(text)
    assert str(caught.value).startswith(reason)
