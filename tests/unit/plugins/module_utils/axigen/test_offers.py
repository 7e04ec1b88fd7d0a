# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a server offers, from HELP texts in several layouts, and from what is known about versions."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import offers
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.layout import SetValue
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.listeners import ListenerChange
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import Unreachable
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.scripted import (
    CLOSE,
    ENTER,
    ROOT,
    SERVER,
    ScriptedServer,
    Step,
    err,
    logged_in,
    ok,
    open_session,
)

SMTP = b"<server-smtpIncoming#> "
LISTENER = b"<server-smtpIncoming-listener#> "
CONTROL = b"<server-smtpIncoming-listener-sslcontrol#> "

HELP = b"""The commands available for the LISTENER context are:
SET [address <ip:port>] [enable <yes|no>] [idleTimeout <seconds>] [maxConnections <number>]
    [peerMaxConnections <number>] [sslEnable <yes|no>] - change attributes
LIST AllowRules - list the allow rules
LIST DenyRules - list the deny rules
CONFIG SSLCONTROL - enter
BACK - drop the changes

""".replace(b"\n", b"\r\n")

CONTROL_HELP = b"""The commands available for the SSLCONTROL context are:
SET allowedVersions (ssl3 | tls1 | tls1_1 | tls1_2 | tls1_3) - which versions
SET certFile <file> - certificate
SET caFile <file> - authorities
SET cipherSuite <text> - ciphers
SET preferServerCipherSuiteOrder <yes|no> - order

""".replace(b"\n", b"\r\n")

ADDRESS = "0.0.0.0:25"
SPELT = {ADDRESS: {ADDRESS: "*:25"}, "0.0.0.0:587": {"0.0.0.0:587": "0.0.0.0:587"}}


def changes(listener=(), control=(), networks=(), kind="change", address=ADDRESS):
    return [ListenerChange(kind, address, tuple(listener), tuple(control), tuple(networks))]


def visit(listener=None, control=None, key=b'"*:25"'):
    """The steps of looking at a listener's HELP, and at that of its SSLCONTROL."""
    steps = [
        ENTER,
        Step(b"CONFIG SMTP-INCOMING", ok(SMTP)),
        Step(b"UPDATE Listener address " + key, ok(LISTENER)),
    ]
    if listener is not None:
        steps.append(Step(b"HELP", listener))
    if control is not None:
        steps += [Step(b"CONFIG SSLCONTROL", ok(CONTROL)), Step(b"HELP", control), Step(b"BACK", ok(LISTENER))]
    return steps + [Step(b"BACK", ok(SMTP)), Step(b"BACK", ok(SERVER)), Step(b"BACK", ok(ROOT))]


def check(steps, wanted, spelt=None, version=""):
    """The problems; nothing but these steps is sent, and the session stands at the root context afterwards."""
    with ScriptedServer(logged_in(*steps)) as server:
        session = open_session(server)
        session.version = version
        problems = offers.check(session, wanted, SPELT if spelt is None else spelt)
        assert session.depth == 0
        session.close()
    assert server.received[-1] == b"QUIT"
    assert len(server.received) == len(steps) + 3
    return problems


def test_all_is_there():
    wanted = changes(
        listener=[("enable", "yes"), ("idleTimeout", "60"), ("sslEnable", "no")],
        control=[("allowedVersions", SetValue(("tls1_2", "tls1_3"))), ("certFile", "x"), ("cipherSuite", "y")],
        networks=[("ADD", "AllowRule", "10.0.0.0/8", 100), ("ADD", "DenyRule", "0.0.0.0/0", 500)],
    )
    wanted += changes(listener=[("maxConnections", "5")], kind="add", address="0.0.0.0:465")
    assert check(visit(ok(LISTENER, payload=HELP), ok(CONTROL, payload=CONTROL_HELP)), wanted) == []


def test_missing_attributes_by_name_and_option():
    wanted = changes(
        listener=[("peerMaxIntervalConnections", "5"), ("enable", "yes")],
        control=[("dhParamFile", "x"), ("allowedVersions", SetValue(("ssl2", "tls1_2")))],
    )
    problems = check(visit(ok(LISTENER, payload=HELP), ok(CONTROL, payload=CONTROL_HELP)), wanted, version="10.4.1")
    assert problems == [
        "listener 0.0.0.0:25: this server (version 10.4.1) has no peerMaxIntervalConnections, "
        "which the option peer_max_interval_connections needs",
        "listener 0.0.0.0:25: this server (version 10.4.1) has no dhParamFile, which the option dh_params needs",
        "listener 0.0.0.0:25: this server (version 10.4.1) has no ssl2 among its allowedVersions, "
        "which the option versions needs",
    ]


def test_missing_rules():
    help_without = HELP.replace(b"LIST DenyRules - list the deny rules\r\n", b"")
    networks = [("ADD", "DenyRule", "0.0.0.0/0", 500), ("REMOVE", "DenyRule", "10.0.0.0/8", 500)]
    (problem,) = check(visit(ok(LISTENER, payload=help_without)), changes(networks=networks))
    assert "has no DenyRule, which the option denied_networks needs" in problem


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"Usage: SET <attribute> <value>\r\nSee the manual for all of them.\r\n",
        b"SET [allowedVersions <set>] - e.g. (tls1_2 tls1_3)\r\n",
    ],
)
def test_help_that_says_nothing(text):
    """Then the SET's own refusal decides, except for what a version is known to lack."""
    wanted = changes(control=[("preferServerCipherSuiteOrder", "yes"), ("allowedVersions", SetValue(("tls1_3",)))])
    for version, count in (("", 0), ("0.0.0.0", 0), ("9.0.1", 2), ("8.1", 2), ("10.0.0", 0), ("10.6.30", 0)):
        problems = check(visit(control=ok(CONTROL, payload=text)), wanted, version=version)
        assert len(problems) == count, version
        assert all("from 10.3 on" in problem for problem in problems)


def test_an_example_of_versions_is_no_list():
    text = CONTROL_HELP.replace(b"(ssl3 | tls1 | tls1_1 | tls1_2 | tls1_3)", b"<set>, as (tls1_1 tls1_2)")
    wanted = changes(control=[("allowedVersions", SetValue(("tls1_2", "tls1_3")))])
    assert check(visit(control=ok(CONTROL, payload=text)), wanted) == []


def test_no_help():
    assert check(visit(err(LISTENER)), changes(listener=[("enable", "yes")])) == []


def test_listener_that_cannot_be_entered():
    steps = visit(ok(LISTENER))[:3]
    steps[2] = Step(b'UPDATE Listener address "*:25"', err(SMTP))
    steps += [Step(b"BACK", ok(SERVER)), Step(b"BACK", ok(ROOT))]
    assert check(steps, changes(listener=[("enable", "yes")])) == []


@pytest.mark.parametrize("version, count", [("9.0", 1), ("10.6", 0)])
def test_without_a_listener_nothing_is_entered(version, count):
    wanted = changes(control=[("preferServerCipherSuiteOrder", "yes")], kind="add")
    assert len(check([], wanted, spelt={}, version=version)) == count


def test_new_listener_is_judged_by_another_one():
    wanted = changes(listener=[("timeInterval", "60")], kind="add", address="0.0.0.0:465")
    (problem,) = check(visit(ok(LISTENER, payload=HELP)), wanted)
    assert problem.startswith("listener 0.0.0.0:465: ") and "timeInterval" in problem


@pytest.mark.parametrize("wanted", [[], changes(kind="remove"), changes()])
def test_nothing_to_ask(wanted):
    assert check([], wanted) == []


def test_session_that_breaks():
    steps = visit(ok(LISTENER))[:3] + [Step(b"HELP", then=CLOSE)]
    with ScriptedServer(logged_in(*steps)) as server:
        with pytest.raises(Unreachable, match="HELP in Listener "):
            offers.check(open_session(server), changes(listener=[("enable", "yes")]), SPELT)
