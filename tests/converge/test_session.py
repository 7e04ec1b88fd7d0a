# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The admin session against the real server: what goes out comes back."""

from __future__ import annotations

import pytest
from mta_process import PASSWORD, SCRIPT

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.cli import AdminSession
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.layout import (
    SetValue,
    first_column,
    list_rows,
    show_attributes,
)
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import CommandRefused, LoginRefused

#: A status line and the very prompt of the context inside a string, a Latin-1 byte, mixed line ends.
AWKWARD = b'\nmethod Text {\n\tset (smtpExplanation, "a\r\n+OK: not yet\n<server#> \n-ERR: nor this\nf\xfcr");\n}\n\n'


@pytest.fixture
def session(mta):
    opened = AdminSession("127.0.0.1", mta.port, timeout=10)
    opened.get_version()
    opened.login("admin", PASSWORD)
    yield opened
    opened.close()


def text(content):
    return content.decode("utf-8", "surrogateescape")


def test_version(session):
    assert session.version.endswith("-postern") and session.version[0].isdigit()


def test_script_round_trip(mta, session):
    session.enter("CONFIG", "SERVER")
    assert session.command("SHOW", "SmtpFilters").text == text(SCRIPT)
    new = SCRIPT + AWKWARD
    session.upload("UPDATE", "SmtpFilters", text=text(new))
    assert session.command("SHOW", "SmtpFilters").text == text(new)
    session.leave("COMMIT")
    session.command("SAVE", "CONFIG")
    assert mta.script() == new


def test_refused_script_keeps_the_session_and_the_script(session):
    session.enter("CONFIG", "SERVER")
    with pytest.raises(CommandRefused, match="UPDATE SmtpFilters: .*line 2"):
        session.upload("UPDATE", "SmtpFilters", text="method A {\n\tnonsense\n}\n")
    assert session.command("SHOW", "SmtpFilters").text == text(SCRIPT)


def test_contexts_tables_and_attributes(session, free_port):
    address = "127.0.0.1:%d" % free_port()
    session.enter("CONFIG", "SERVER")
    session.enter("CONFIG", "SMTP-INCOMING")
    assert list_rows(session.command("LIST", "Listeners")) == []
    session.enter("ADD", "Listener", "address", address)
    session.enter("CONFIG", "SSLCONTROL")
    session.command("SET", "allowedVersions", SetValue(("tls1_2", "tls1_3")), "cipherSuite", "ECDHE+AESGCM:!aNULL")
    shown = show_attributes(session.command("SHOW"))
    assert shown["allowedVersions"] == SetValue(("tls1_2", "tls1_3")) and shown["ciphersuite"] == "ECDHE+AESGCM:!aNULL"
    assert session.depth == 4
    session.leave("DONE")
    with pytest.raises(CommandRefused, match="SET idleTimeout 99999999 in Listener 127.0.0.1"):
        session.command("SET", "idleTimeout", "99999999")
    session.leave("DONE")  # the other saving verb is the one that a listener has
    assert first_column(session.command("LIST", "Listeners")) == [address]
    session.back_to_root()
    session.enter("CONFIG", "SERVER")
    session.enter("CONFIG", "SMTP-INCOMING")
    assert first_column(session.command("LIST", "Listeners")) == []


def test_wrong_password(mta):
    session = AdminSession("127.0.0.1", mta.port, timeout=10)
    with pytest.raises(LoginRefused):
        session.login("admin", "Wrong-1234")
    assert len(mta.events("admin.login")) == 1
