# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two configurations of listeners: what brings the former one back, and what was not this program's doing."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import config, former
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.dialect import AXIGEN
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.listeners import ListenerChange

ADDRESS = "127.0.0.1:25"
SECTION = """
address = 127.0.0.1:25
enable = yes
idleTimeout = 300
proxyProtocol = (allowV1 allowV2)
allowRules = ( { ipSet = 10.0.0.0/255.0.0.0 enable = yes priority = 100 limits = 0 } )
denyRules = ( { ipSet = 192.0.2.1 enable = no priority = 7 } )
sslControl = {
    allowedVersions = (tls1_2 tls1_3)
    cipherSuite = "ECDHE+AESGCM"
    certFile = "mail.pem"
    maxChainDepth = 4
}
cluster = { member = yes }
"""


def section(*changes, text=SECTION):
    """The listener with some texts replaced."""
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return {ADDRESS: config.parse(text)}


def changes(now, before, exact=True):
    return former.changes(now, before, AXIGEN, exact)


@pytest.mark.parametrize(
    "spelling",
    [
        ("(tls1_2 tls1_3)", "(TLS1_3 tls1_2)"),
        ("(allowV1 allowV2)", "(allowV2 allowV1)"),
        ("enable = yes\nidle", "Enable = YES\nidle"),
        ("10.0.0.0/255.0.0.0", '"10.0.0.0/8"'),
        ("priority = 7", 'PRIORITY = "7"'),
    ],
)
def test_another_spelling_is_no_difference(spelling):
    assert changes(section(spelling), section()) == []
    assert changes(section(), section(spelling)) == []


@pytest.mark.parametrize(
    ("difference", "listener", "control", "networks"),
    [
        (("300", "60"), [("idleTimeout", "300")], [], []),
        (("(allowV1 allowV2)", "(allowV1)"), [("proxyProtocol", ("allowV1", "allowV2"))], [], []),
        (("mail.pem", "none"), [], [("certFile", "mail.pem")], []),
        (("maxChainDepth = 4", "maxChainDepth = 5"), [], [("maxChainDepth", "4")], []),
        (
            ("limits = 0", "limits = 3"),
            [],
            [],
            [
                ("REMOVE", "AllowRule", "10.0.0.0/255.0.0.0", ()),
                (
                    "ADD",
                    "AllowRule",
                    "10.0.0.0/255.0.0.0",
                    (("enable", "yes"), ("priority", "100"), ("limits", "0")),
                ),
            ],
        ),
        (
            ("denyRules = ( { ipSet = 192.0.2.1 enable = no priority = 7 } )", "denyRules = ()"),
            [],
            [],
            [("ADD", "DenyRule", "192.0.2.1", (("enable", "no"), ("priority", "7")))],
        ),
    ],
)
def test_what_differs_is_set_back_and_nothing_else(difference, listener, control, networks):
    (change,) = changes(section(difference), section())
    assert change.kind == "change"
    assert [list(change.listener), list(change.control), list(change.networks)] == [listener, control, networks]


def test_listeners_that_come_and_go():
    other = {"127.0.0.1:587": config.parse("address = 127.0.0.1:587")}
    added, removed = changes(other, section())
    assert (added.kind, added.there, added.describe()) == ("add", ADDRESS, "bring back listener %s" % ADDRESS)
    assert dict(added.listener)["proxyProtocol"] == ("allowV1", "allowV2") and len(added.networks) == 2
    assert "address" not in dict(added.listener) and dict(added.control)["maxChainDepth"] == "4"
    assert (removed.kind, removed.here, removed.describe()) == (
        "remove",
        "127.0.0.1:587",
        "remove listener 127.0.0.1:587",
    )


def test_setting_that_was_not_there():
    shorter = section(('    cipherSuite = "ECDHE+AESGCM"\n', ""))
    (change,) = changes(section(), shorter)
    assert change.kind == "replace" and change.fields == ("ciphers",) and "cipherSuite" not in dict(change.control)
    assert changes(section(), shorter, exact=False) == []
    assert former.ignored(section(), shorter, False) == [
        "listener %s: not known then and left as it is now: cipherSuite" % ADDRESS
    ]
    assert former.ignored(section(), shorter, True) == []


def test_object_that_nothing_sets():
    now = section(("member = yes", "member = no"))
    assert changes(now, section()) == []
    assert former.ignored(now, section(), True) == ["listener %s: cluster differs and is left as it is" % ADDRESS]


@pytest.mark.parametrize(
    ("planned", "now", "foreign"),
    [
        ([("idleTimeout", "60")], ("300", "60"), False),
        ([("idleTimeout", "60")], ("300", "61"), False),
        ([("idleTimeout", "60")], ("enable = yes\nidle", "enable = no\nidle"), True),
        ([], ("ECDHE+AESGCM", "HIGH"), True),
    ],
)
def test_what_somebody_else_did(planned, now, foreign):
    plan = [ListenerChange("change", ADDRESS, listener=tuple(planned))] if planned else []
    found = former.foreign(section(now), section(), plan, AXIGEN)
    assert found == (["listener %s" % ADDRESS] if foreign else [])


def test_listener_that_is_ours_as_a_whole():
    for kind, now, before in (("add", section(), {}), ("remove", {}, section())):
        assert former.foreign(now, before, [ListenerChange(kind, ADDRESS)], AXIGEN) == []
        assert former.foreign(now, before, [], AXIGEN) == ["listener %s" % ADDRESS]
