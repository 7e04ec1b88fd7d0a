# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits that a server sets to a session: commands before login, failed logins, refused commands, time."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import (
    CommandRefused,
    LoginRefused,
    ServerError,
    Unreachable,
)
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.scripted import (
    BANNER,
    CLOSE,
    ENTER,
    LOGIN,
    RESET,
    ROOT,
    SERVER,
    STALL,
    ScriptedServer,
    Step,
    Until,
    err,
    logged_in,
    ok,
    open_session,
    wait_for_bytes,
)

SMTP = b"<server-smtpIncoming#> "
LISTENER = b"<server-smtpIncoming-listener#> "
CONTROL = b"<server-smtpIncoming-listener-sslcontrol#> "


class TestBeforeLogin:
    @pytest.mark.parametrize(
        "last",
        [
            Step(b"s3cret", err(LOGIN, b"Authentication failed")),
            Step(b"s3cret", b"-ERR: too many failed logins\r\n", then=CLOSE),
            Step(b"s3cret", then=CLOSE),
            Step(b"s3cret", then=RESET),
        ],
    )
    def test_one_attempt_in_few_commands(self, last):
        """Whatever the answer to the password is, it is sent once, and the limit of twenty commands is far."""
        steps = [
            Step(None, BANNER),
            Step(b"GET VERSION", ok(LOGIN, payload=b"10.6.30|Linux|x86_64\r\n")),
            Step(b"USER admin", b"<password> "),
            last,
        ]
        with ScriptedServer(steps) as server:
            session = open_session(server, login=False)
            session.get_version()
            with pytest.raises((LoginRefused, Unreachable)):
                session.login("admin", "s3cret")
            for again in (lambda: session.login("admin", "s3cret"), lambda: session.command("SHOW")):
                with pytest.raises(ServerError):
                    again()
        assert server.received == [b"GET VERSION", b"USER admin", b"s3cret"]

    def test_limit_that_is_reached(self):
        """By somebody who shares the limit, or on a server that allows nothing: its words are told."""
        steps = [Step(None, BANNER), Step(b"GET VERSION", b"-ERR: too many commands before login\r\n", then=CLOSE)]
        with ScriptedServer(steps) as server:
            with pytest.raises(Unreachable, match='GET VERSION: .*last words were "too many commands before login"'):
                open_session(server, login=False).get_version()


class TestRefusedCommands:
    def test_other_saving_verb_is_remembered(self):
        """Two refusals for twenty listeners, not forty: at the twentieth refusal a server ends the session."""
        one = [
            Step(b"UPDATE Listener address 0.0.0.0:25", ok(LISTENER)),
            Step(b"CONFIG SSLCONTROL", ok(CONTROL)),
            Step(b"COMMIT", ok(LISTENER)),
            Step(b"DONE", ok(SMTP)),
        ]
        first = one[:2] + [Step(b"DONE", err(CONTROL))] + one[2:3] + [Step(b"COMMIT", err(LISTENER))] + one[3:]
        end = [Step(b"COMMIT", ok(SERVER)), Step(b"COMMIT", ok(ROOT))]
        steps = logged_in(ENTER, Step(b"CONFIG SMTP-INCOMING", ok(SMTP)), *first, *one * 19, *end)
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            session.enter("CONFIG", "SMTP-INCOMING")
            for _listener in range(20):
                session.enter("UPDATE", "Listener", "address", "0.0.0.0:25")
                session.enter("CONFIG", "SSLCONTROL")
                session.leave("DONE")
                session.leave("COMMIT")
            session.leave("COMMIT")
            session.leave("COMMIT")
            assert session.depth == 0
            session.close()

    def test_what_was_remembered_can_be_wrong_too(self):
        """Each leaving tries at most two verbs, and the refusal of the first one is told."""
        enter = [Step(b"UPDATE Listener address 0.0.0.0:25", ok(LISTENER))]
        steps = [Step(b"COMMIT", err(LISTENER)), Step(b"DONE", ok(SMTP))]
        later = [Step(b"DONE", err(LISTENER, b"port 25 is taken")), Step(b"COMMIT", err(LISTENER, b"unknown"))]
        with ScriptedServer(
            logged_in(ENTER, Step(b"CONFIG SMTP-INCOMING", ok(SMTP)), *enter, *steps, *enter, *later)
        ) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            session.enter("CONFIG", "SMTP-INCOMING")
            session.enter("UPDATE", "Listener", "address", "0.0.0.0:25")
            session.leave("COMMIT")
            session.enter("UPDATE", "Listener", "address", "0.0.0.0:25")
            with pytest.raises(CommandRefused, match="port 25 is taken"):
                session.leave("COMMIT")
            session.close()

    def test_older_word_for_back(self):
        with ScriptedServer(logged_in(ENTER, Step(b"BACK", err(SERVER)), Step(b"CANCEL", ok(ROOT)))) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            session.back_to_root()
            session.close()

    def test_refused_once_too_often(self):
        steps = logged_in(Step(b"SET a b", b"-ERR: unknown attribute; too many errors\r\n", then=CLOSE))
        with ScriptedServer(steps) as server:
            with pytest.raises(Unreachable, match='SET a b: .*last words were "unknown attribute; too many errors"'):
                open_session(server).command("SET", "a", "b")


class TestTime:
    @pytest.mark.parametrize("farewell", [b"", b"-ERR: idle for too long\r\n", b"\r\n-ERR: idle for too long\r\n"])
    def test_ended_while_idle(self, farewell):
        """Noticed before the next command is sent, told in the server's words, and not repaired by a new login."""
        idle = Until()
        with ScriptedServer(logged_in(ENTER, Step(b"SET a b", ok(SERVER), idle, farewell, then=CLOSE))) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            session.command("SET", "a", "b")
            idle.set()
            server.wait()
            with pytest.raises(Unreachable) as caught:
                session.leave("COMMIT")
            assert session.closed
        for part in ("COMMIT: the server ", "idleTimeout", "not committed is dropped"):
            assert part in str(caught.value)
        assert ("idle for too long" in str(caught.value)) is bool(farewell)
        assert server.received[-1] == b"SET a b"

    def test_farewell_without_the_end(self):
        """The words are there and the end of the connection is still on its way: the same is told."""
        idle = Until()
        steps = logged_in(Step(b"SET a b", ok(ROOT), idle, b"\r\n-ERR: idle for too long\r\n", then=STALL))
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.command("SET", "a", "b")
            idle.set()
            assert wait_for_bytes(session)
            with pytest.raises(Unreachable, match='with the words "idle for too long".*idleTimeout'):
                session.command("SET", "a", "c")
            assert session.closed

    def test_ended_by_a_reset_while_idle(self):
        with ScriptedServer(logged_in(Step(b"SET a b", ok(ROOT), then=RESET))) as server:
            session = open_session(server)
            assert session.command("SET", "a", "b").ok
            server.wait()
            with pytest.raises(Unreachable, match="SET a c: the connection broke.*idleTimeout.*run the task again"):
                session.command("SET", "a", "c")

    def test_ended_instead_of_an_answer(self):
        with ScriptedServer(logged_in(ENTER, Step(b"COMMIT", then=CLOSE))) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            with pytest.raises(Unreachable, match="COMMIT: .* closed .*instead of an answer.*not known whether"):
                session.leave("COMMIT")

    def test_second_error_repeats_nothing(self):
        """What ended the session was said once; afterwards every command says that it has ended."""
        with ScriptedServer(logged_in(Step(b"SET a b", ok(ROOT), then=CLOSE))) as server:
            session = open_session(server)
            session.command("SET", "a", "b")
            server.wait()
            with pytest.raises(Unreachable, match="idleTimeout"):
                session.command("SET", "a", "c")
            with pytest.raises(Unreachable) as caught:
                session.command("SET", "a", "d")
        assert "idleTimeout" not in str(caught.value)
