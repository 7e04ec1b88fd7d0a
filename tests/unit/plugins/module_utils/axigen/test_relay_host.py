# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The relay host as lines of the policy script, and back."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import RelayHost
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import relay_host
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import AXIGEN, POSTERN
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.profile import with_document
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.rules import RuleReader
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.script import parse
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import NotSupported

PLAIN = RelayHost("mx.test", 25, "starttls", "may")
FULL = RelayHost("mx.test", 587, "starttls", "verify", "user@mx.test", "secret", False)


def values(relay, dialect=POSTERN):
    return {name.lower(): value for name, value in relay_host.lines(relay, dialect) if value is not None}


@pytest.mark.parametrize(
    "relay",
    [
        PLAIN,
        FULL,
        replace(FULL, host="192.0.2.1", port=465, tls="implicit", clear_text_login=True),
        replace(FULL, host="2001:db8::1", port=465, level="none"),
        replace(FULL, host="::ffff:192.0.2.1"),
        replace(FULL, password='"); call (x); #\r\n\u20ac\udcff%authUser% base64:'),
    ],
)
def test_what_is_written_is_what_is_read(relay):
    assert relay_host.read(values(relay), POSTERN) == relay
    assert all('"' not in value and "%" not in value for value in values(relay).values())


def test_lines():
    assert relay_host.lines(replace(FULL, host="192.0.2.1"), POSTERN) == [
        ("remoteSmtpHost", "[192.0.2.1]"),
        ("remoteSmtpPort", "587"),
        ("remoteSmtpTls", "starttls"),
        ("tlsLevel", "verify"),
        ("remoteSmtpUser", "user@mx.test"),
        ("remoteSmtpPassword", "base64:" + base64.b64encode(b"secret").decode()),
        ("remoteSmtpClearLogin", None),
    ]
    assert {value for _name, value in relay_host.lines(None, POSTERN)} == {None}
    assert relay_host.lines(PLAIN, AXIGEN) == [("remoteSmtpHost", "mx.test"), ("remoteSmtpPort", "25")]


@pytest.mark.parametrize(
    "found, expected",
    [
        ({}, None),
        ({"remotesmtphost": " "}, None),
        ({"remotesmtphost": "[]"}, None),
        ({"remotesmtpport": "2525"}, None),
        ({"remotesmtphost": "MX.test."}, PLAIN),
        ({"remotesmtphost": "[192.0.2.1]"}, replace(PLAIN, host="192.0.2.1")),
        ({"remotesmtphost": "192.0.2.1"}, replace(PLAIN, host="192.0.2.1")),
        ({"remotesmtphost": "[IPv6:2001:DB8:0::1]"}, replace(PLAIN, host="2001:db8::1")),
        ({"remotesmtphost": "[MX.test]"}, PLAIN),
        ({"remotesmtphost": "not a host"}, replace(PLAIN, host="not a host")),
        ({"remotesmtphost": "mx.test", "remotesmtpport": " 465 "}, replace(PLAIN, port=465, tls="implicit")),
        ({"remotesmtphost": "mx.test", "remotesmtptls": "Implicit"}, replace(PLAIN, port=465, tls="implicit")),
        ({"remotesmtphost": "mx.test", "remotesmtpport": "x"}, replace(PLAIN, port=0)),
        ({"remotesmtphost": "mx.test", "tlslevel": " Verify"}, replace(PLAIN, level="verify")),
        ({"remotesmtphost": "mx.test", "remotesmtppassword": "by hand"}, replace(PLAIN, password="by hand")),
        ({"remotesmtphost": "mx.test", "remotesmtppassword": "base64:?"}, replace(PLAIN, password="base64:?")),
    ],
)
def test_read(found, expected):
    assert relay_host.read(found, POSTERN) == expected


def test_a_server_without_the_names_reads_host_and_port_only():
    found = {"remotesmtphost": "mx.test", "remotesmtpport": "465", "remotesmtpuser": "u", "tlslevel": "verify"}
    assert relay_host.read(found, AXIGEN) == RelayHost("mx.test", 465, "starttls", "may")


@pytest.mark.parametrize(
    "relay, what",
    [
        (replace(PLAIN, level="encrypt"), "the TLS level"),
        (replace(PLAIN, tls="implicit"), "implicit TLS"),
        (FULL, "the TLS level, the user name, the password"),
        (replace(PLAIN, clear_text_login=True), "a login in clear text"),
    ],
)
def test_unknown_names_are_refused(relay, what):
    with pytest.raises(NotSupported, match="no known script name for %s. .*Host and port alone" % what):
        list(relay_host.problems(relay, AXIGEN))
    assert list(relay_host.problems(relay, POSTERN)) == []
    assert list(relay_host.problems(PLAIN, AXIGEN)) == []


def test_a_switch_for_implicit_tls():
    """Where SSL of the routing settings is known to be TLS from the first byte, a relay host may have it."""
    dialect = with_document(AXIGEN, {"format": 1, "relay_ssl": "implicit", "relay_ssl_variable": "useSsl"})
    implicit = RelayHost("mx.test", 465, "implicit", "encrypt")
    assert list(relay_host.problems(implicit, dialect)) == []
    assert dict(relay_host.lines(implicit, dialect))["useSsl"] == "yes"
    assert dict(relay_host.lines(PLAIN, dialect))["useSsl"] == "no"
    assert dict(relay_host.lines(None, dialect)) == {"remoteSmtpHost": None, "remoteSmtpPort": None, "useSsl": None}
    for relay in (implicit, replace(implicit, port=2525), PLAIN):
        values = {name.lower(): value for name, value in relay_host.lines(relay, dialect)}
        assert relay_host.read(values, dialect) == relay
    # Without the switch a port is only a port.
    assert relay_host.read({"remotesmtphost": "mx.test", "remotesmtpport": "465"}, dialect).tls == "starttls"
    for refused in (replace(implicit, level="may"), replace(implicit, level="verify"), replace(PLAIN, level="encrypt")):
        with pytest.raises(NotSupported, match="for the TLS level.*or tls: implicit with level: encrypt"):
            list(relay_host.problems(refused, dialect))
    with pytest.raises(NotSupported, match="for implicit TLS.*where dialect_profile says relay_ssl: implicit"):
        list(relay_host.problems(replace(PLAIN, tls="implicit"), with_document(AXIGEN, {"format": 1})))


def test_what_a_server_cannot_hold():
    (problem,) = relay_host.problems(replace(FULL, level="dane"), POSTERN)
    assert problem == "relay: this server has no TLS level dane; it has none, may, encrypt, verify, secure"
    for username in ('a"b', "%mailFrom%", "a\nb"):
        (problem,) = relay_host.problems(replace(FULL, username=username), POSTERN)
        assert "username" in problem


# --- in a script ----------------------------------------------------------------------------------

SCRIPT = """event onRelay {
\tcall (WA_Routing_basic);
\tcall (Behind);
}
method WA_Routing_basic {
\tset (remoteSmtpHost, "mx.test");
\tset (tlsLevel, "verify");
}
method Behind {
\t%s
}
"""


def read(behind, dialect=POSTERN):
    return RuleReader(parse(SCRIPT % behind), dialect).relay()


def test_the_last_unconditional_set_counts():
    assert read("") == (replace(PLAIN, level="verify"), ())
    assert read('set (REMOTESMTPPORT, "2525");') == (replace(PLAIN, level="verify", port=2525), ())
    assert read('set (remoteSmtpHost, "");') == (None, ())


def test_conditions_are_notes():
    relay, notes = read('if (isCase (authUser, "x")) { set (remoteSmtpPort, "2525"); }')
    assert (relay, notes) == (replace(PLAIN, level="verify"), ("the relay host depends on a condition in Behind",))
    # The level of single domains is what rules are for.
    assert read('if (isCase (relayDomain, "x.test")) { set (tlsLevel, "secure"); }')[1] == ()


def test_a_switch_that_is_not_understood_is_a_note():
    assert read('set (sslEnabled, "yes");')[1] == ()
    relay, notes = read('set (sslEnabled, "yes");', AXIGEN)
    assert relay == PLAIN
    (note,) = notes
    assert note.startswith("Behind sets sslEnabled, and it is not known what that does at the relay host")
