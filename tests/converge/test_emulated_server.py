# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server that pretends to be another one, over its admin interface: its version, and when its script counts."""

from __future__ import annotations

import smtplib
from contextlib import closing

import pytest
from mta_process import PASSWORD, SCRIPT

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.cli import AdminSession
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import CommandRefused

NO_AUTH = SCRIPT.replace(b"\tset (remoteDelivery", b'\tset (authForPlain, "nothing");\n\tset (remoteDelivery')
OTHER = """
[emulation]
version = "10.5.12|Linux|x86_64"
script_active = "%s"
extensions = false
[emulation.names]
plainConnAuthTypes = "authForPlain"
[emulation.values]
none = "nothing"
"""


@pytest.fixture
def emulated(start_mta, free_port):
    """A function: a server with a listener that emulates another one; returns it, a session in SERVER, the port."""
    sessions = []

    def start(script_active: str):
        mta, port = start_mta(bootstrap=OTHER % script_active), free_port()
        session = server_context(mta)
        sessions.append(session)
        add_listener(session, port)
        session.leave("COMMIT")
        session.enter("CONFIG", "SERVER")
        return mta, session, port

    yield start
    for session in sessions:
        session.close()


def server_context(mta) -> AdminSession:
    """A session that is in the SERVER context."""
    session = AdminSession("127.0.0.1", mta.port, timeout=20)
    session.get_version()
    session.login("admin", PASSWORD)
    session.enter("CONFIG", "SERVER")
    return session


def add_listener(session: AdminSession, port: int) -> None:
    """Add a listener; the changes wait for the server's COMMIT."""
    session.enter("CONFIG", "SMTP-INCOMING")
    session.enter("ADD", "Listener", "address", "127.0.0.1:%d" % port)
    session.leave("COMMIT")
    session.leave("COMMIT")


def offers_auth(port: int) -> bool:
    """Whether a new SMTP session is offered AUTH in clear."""
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.ehlo()
        return client.has_extn("auth")


def test_a_script_that_counts_at_its_upload(emulated, free_port):
    mta, session, port = emulated("upload")
    other = free_port()
    assert session.version == "10.5.12" and offers_auth(port)
    add_listener(session, other)
    session.upload("UPDATE", "SmtpFilters", text=NO_AUTH.decode())
    # Nothing was committed: the script holds, and the listener does not.
    assert mta.script() == NO_AUTH and not offers_auth(port)
    with pytest.raises(ConnectionRefusedError):
        offers_auth(other)
    # What is pending is neither lost nor an obstacle.
    session.leave("COMMIT")
    assert not offers_auth(other)
    # It was never saved, and is there after a restart; the listeners are not.
    mta.stop()
    mta.start()
    assert mta.script() == NO_AUTH
    with closing(server_context(mta)) as again:
        assert again.command("SHOW", "SmtpFilters").text == NO_AUTH.decode()


def test_a_script_that_counts_at_commit(emulated):
    mta, session, port = emulated("commit")
    session.upload("UPDATE", "SmtpFilters", text=NO_AUTH.decode())
    assert offers_auth(port) and not (mta.state / "filters").exists()
    session.leave("COMMIT")
    assert not offers_auth(port)


def test_a_script_that_cannot_be_kept_does_not_count(emulated):
    mta, session, port = emulated("upload")
    (mta.state / "filters").write_text("in the way")
    with pytest.raises(CommandRefused, match="the old script stays"):
        session.upload("UPDATE", "SmtpFilters", text=NO_AUTH.decode())
    assert session.command("SHOW", "SmtpFilters").text == SCRIPT.decode() and offers_auth(port)
