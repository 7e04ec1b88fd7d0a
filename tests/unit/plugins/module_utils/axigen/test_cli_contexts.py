# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Entering and leaving contexts, with the verbs that a server has."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.layout import SetValue
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import CommandRefused, ProtocolError
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.scripted import (
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


class TestContexts:
    LISTENER = Step(b"UPDATE Listener address 0.0.0.0:25", ok(b"<server-smtpIncoming-listener#> "))
    SMTP = Step(b"CONFIG SMTP-INCOMING", ok(b"<server-smtpIncoming#> "))

    def inside(self, server):
        session = open_session(server)
        session.enter("CONFIG", "SERVER")
        session.enter("CONFIG", "SMTP-INCOMING")
        session.enter("UPDATE", "Listener", "address", "0.0.0.0:25")
        return session

    def test_chain(self):
        steps = logged_in(
            ENTER, self.SMTP, self.LISTENER,
            Step(b"SET enable yes allowedVersions (tls1_2 tls1_3)", ok(b"<server-smtpIncoming-listener#> ")),
            Step(b"COMMIT", ok(b"<server-smtpIncoming#> ")),
            Step(b"COMMIT", ok(SERVER, payload=b"committing changes\r\n")),
            Step(b"COMMIT", ok(ROOT)),
        )
        with ScriptedServer(steps) as server:
            session = self.inside(server)
            assert session.depth == 3
            session.command("SET", "enable", "yes", "allowedVersions", SetValue(("tls1_2", "tls1_3")))
            for depth in (2, 1, 0):
                session.leave("COMMIT")
                assert session.depth == depth
            session.close()

    def test_error_names_object_and_command(self):
        steps = logged_in(
            ENTER, self.SMTP, self.LISTENER,
            Step(b'SET cipherSuite "a b"', err(b"<server-smtpIncoming-listener#> ", b"bad \x1b[7mvalue")),
        )
        with ScriptedServer(steps) as server:
            with pytest.raises(CommandRefused) as caught:
                self.inside(server).command("SET", "cipherSuite", "a b")
        assert str(caught.value) == 'SET cipherSuite "a b" in Listener 0.0.0.0:25: bad value'

    def test_other_saving_verb_is_tried_once(self):
        steps = logged_in(
            ENTER, self.SMTP,
            Step(b"DONE", err(b"<server-smtpIncoming#> ")),
            Step(b"COMMIT", ok(SERVER)),
        )
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            session.enter("CONFIG", "SMTP-INCOMING")
            session.leave("DONE")
            assert session.depth == 1
            session.close()

    def test_first_refusal_is_the_one_that_is_told(self):
        prompt = b"<server-smtpIncoming-listener#> "
        steps = logged_in(
            ENTER, self.SMTP, self.LISTENER,
            Step(b"COMMIT", err(prompt, b"port 25 is taken")), Step(b"DONE", err(prompt, b"unknown command")),
        )
        with ScriptedServer(steps) as server:
            session = self.inside(server)
            with pytest.raises(CommandRefused, match="COMMIT in Listener 0.0.0.0:25: port 25 is taken"):
                session.leave("COMMIT")
            assert session.depth == 3

    def test_refused_server_commit_is_final(self):
        """Where COMMIT is the only saving verb, a refusal must not be followed by another try to save."""
        with ScriptedServer(logged_in(ENTER, Step(b"COMMIT", err(SERVER, b"port 587 is taken")))) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            with pytest.raises(CommandRefused, match="COMMIT: port 587 is taken"):
                session.leave("COMMIT")
            session.close()
        assert server.received[-2:] == [b"COMMIT", b"QUIT"]

    def test_back_to_root(self):
        steps = logged_in(
            ENTER, self.SMTP, self.LISTENER,
            Step(b"BACK", ok(b"<server-smtpIncoming#> ")), Step(b"BACK", ok(SERVER)), Step(b"BACK", ok(ROOT)),
        )
        with ScriptedServer(steps) as server:
            session = self.inside(server)
            session.back_to_root()
            session.back_to_root()
            session.close()
        assert server.received.count(b"BACK") == 3

    def test_enter_that_stays(self):
        with ScriptedServer(logged_in(Step(b"CONFIG SERVER", ok(ROOT)))) as server:
            with pytest.raises(ProtocolError, match="did not change the context"):
                open_session(server).enter("CONFIG", "SERVER")

    def test_leave_that_stays(self):
        with ScriptedServer(logged_in(ENTER, Step(b"COMMIT", ok(SERVER)))) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            with pytest.raises(ProtocolError, match="did not leave the context"):
                session.leave("COMMIT")

    def test_refused_enter_keeps_the_context(self):
        steps = logged_in(
            ENTER, self.SMTP, Step(b"ADD Listener address 0.0.0.0:25", err(b"<server-smtpIncoming#> ", b"exists"))
        )
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            session.enter("CONFIG", "SMTP-INCOMING")
            with pytest.raises(CommandRefused, match="ADD Listener address 0.0.0.0:25: exists"):
                session.enter("ADD", "Listener", "address", "0.0.0.0:25")
            assert session.depth == 2

    def test_refusal_that_changes_the_context(self):
        with ScriptedServer(logged_in(ENTER, Step(b"CONFIG X", err(ROOT)))) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            with pytest.raises(ProtocolError, match="said no .* and changed the context"):
                session.enter("CONFIG", "X")
