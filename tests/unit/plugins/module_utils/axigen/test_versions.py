# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Versions as servers tell them, and what came with which."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import dialect, versions
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.layout import SetValue
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import CommandRefused
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.scripted import (
    BANNER,
    ENTER,
    LOGIN,
    SERVER,
    ScriptedServer,
    Step,
    err,
    logged_in,
    ok,
    open_session,
)

#: What GET VERSION answers, before its status line, and the version that it is.
ANSWERS = [
    (b"10.6.30|Linux|x86_64\r\n", "10.6.30", (10, 6, 30)),
    (b"10.5.12|Windows|x86_64\r\n\r\n", "10.5.12", (10, 5, 12)),
    (b"\r\n10.3.1|FreeBSD|i386\r\n", "10.3.1", (10, 3, 1)),
    (b"10.0.0 Enterprise|Linux|x86_64\r\n", "10.0.0 Enterprise", (10, 0, 0)),
    (b"9.0.1\r\n", "9.0.1", (9, 0, 1)),
    (b"9\r\n", "9", (9,)),
    (b"0.0.0.0|Linux|x86_64\r\n", "0.0.0.0", ()),
    (b"X5\r\n", "X5", ()),
    (b"", "", ()),
]


@pytest.mark.parametrize("answer, version, numbers", ANSWERS)
def test_version_as_servers_tell_it(answer, version, numbers):
    steps = [Step(None, BANNER), Step(b"GET VERSION", ok(LOGIN, payload=answer))]
    with ScriptedServer(steps) as server:
        session = open_session(server, login=False)
        assert session.get_version() == version
        session.close()
    assert versions.numbers(version) == numbers
    assert dialect.profile("auto", version).name == "axigen"


def test_what_is_known_to_be_lacking():
    names = ("preferServerCipherSuiteOrder", "tls1_3")
    for version, lacking in (("8.1", True), ("9.0.1", True), ("10.0", False), ("10.6.30", False), ("", False)):
        assert {versions.lacks(version, name) for name in names} == {lacking}, version
    # That no older version has it is not known: it is tried.
    assert not versions.lacks("9.0.1", "SmtpFilters") and not versions.lacks("9.0.1", "enable")


@pytest.mark.parametrize(
    "version, told", [("9.0.1", True), ("10.4", True), ("10.5.0", False), ("10.6.30", False), ("", False)]
)
@pytest.mark.parametrize("command", [("SHOW", "SmtpFilters"), ("UPDATE", "smtpfilters")])
def test_refused_script_on_an_old_server(version, told, command):
    with ScriptedServer(logged_in(ENTER, Step(" ".join(command).encode(), err(SERVER, b"unknown object")))) as server:
        session = open_session(server)
        session.version = version
        session.enter("CONFIG", "SERVER")
        with pytest.raises(CommandRefused, match="unknown object") as caught:
            session.command(*command)
    assert ("AXIGEN is known to have SmtpFilters from 10.5 on; this server is of version" in str(caught.value)) is told


def test_refused_value_on_an_old_server():
    refused = Step(b"SET allowedVersions (tls1_2 tls1_3)", err(SERVER, b"bad value"))
    with ScriptedServer(logged_in(ENTER, refused)) as server:
        session = open_session(server)
        session.version = "10.2.1"
        session.enter("CONFIG", "SERVER")
        with pytest.raises(CommandRefused, match="bad value. AXIGEN is known to have tls1_3 from 10.3 on.*10.2.1"):
            session.command("SET", "allowedVersions", SetValue(("tls1_2", "tls1_3")))
