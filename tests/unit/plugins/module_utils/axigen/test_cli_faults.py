# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The admin session against servers and networks that fail."""

from __future__ import annotations

import socket
import time

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import wire
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.cli import AdminSession
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import (
    AnswerTimeout,
    ProtocolError,
    Unreachable,
)
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.scripted import (
    CLOSE,
    DEAF,
    ENTER,
    RESET,
    ROOT,
    STALL,
    Gap,
    ScriptedServer,
    Step,
    logged_in,
    ok,
    open_session,
    wait_for_bytes,
)


class TestFaults:
    def test_connection_refused(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with pytest.raises(Unreachable, match="the admin interface at 127.0.0.1:%d: connection refused" % port):
            AdminSession("127.0.0.1", port)

    def test_unknown_host(self):
        with pytest.raises(Unreachable, match="no-such-host.invalid:7000"):
            AdminSession("no-such-host.invalid", 7000)

    def test_another_service(self):
        with ScriptedServer([Step(None, b"220 mail ESMTP\r\n", then=STALL)]) as server:
            with pytest.raises(AnswerTimeout, match='it sent "220 mail ESMTP') as caught:
                open_session(server, timeout=0.3)
        assert "admin_tls" in str(caught.value)

    def test_banner_that_is_too_long(self, monkeypatch):
        monkeypatch.setattr(wire, "MAX_BANNER", 1000)
        with ScriptedServer([Step(None, b"x" * 2000, then=STALL)]) as server:
            with pytest.raises(ProtocolError, match="longer than 1000 bytes"):
                open_session(server)

    def test_closes_before_the_prompt(self):
        with ScriptedServer([Step(None, b"too many connections\r\n", then=CLOSE)]) as server:
            with pytest.raises(Unreachable, match="closed the connection.*too many connections"):
                open_session(server)

    def test_stall_in_mid_answer(self):
        with ScriptedServer(logged_in(Step(b"LIST Listeners", b"The list\r\n", then=STALL))) as server:
            session = open_session(server)
            started = time.monotonic()
            with pytest.raises(AnswerTimeout, match="LIST Listeners: no complete answer within 0.4 seconds"):
                session.command("LIST", "Listeners", timeout=0.4)
            assert time.monotonic() - started < 2
            with pytest.raises(Unreachable):
                session.command("LIST", "Listeners")
            session.close()
        assert server.received[-1] == b"LIST Listeners"

    def test_trickle_does_not_stretch_the_limit(self):
        trickle = [piece for _index in range(60) for piece in (b"x", Gap(0.05))]
        with ScriptedServer(logged_in(Step(b"SHOW", *trickle, then=STALL))) as server:
            session = open_session(server)
            started = time.monotonic()
            with pytest.raises(AnswerTimeout):
                session.command("SHOW", timeout=0.5)
            assert time.monotonic() - started < 1.5

    def test_flood_does_not_stretch_the_limit(self, monkeypatch):
        """A server that always has more to say, read in small bites."""
        with ScriptedServer(logged_in(Step(b"SHOW", *[b"x" * 65536] * 1024, then=STALL))) as server:
            session = open_session(server)
            monkeypatch.setattr(wire, "_CHUNK", 16)
            started = time.monotonic()
            with pytest.raises(AnswerTimeout):
                session.command("SHOW", timeout=0.3)
            assert time.monotonic() - started < 1.5

    def test_commit_that_stalls_leaves_a_doubt(self):
        steps = logged_in(ENTER, Step(b"COMMIT", b"committing changes\r\n", then=STALL))
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            with pytest.raises(AnswerTimeout, match="not known whether this took effect"):
                session.leave("COMMIT", timeout=0.3)

    @pytest.mark.parametrize("fault", [CLOSE, RESET])
    def test_ends_in_mid_answer(self, fault):
        with ScriptedServer(logged_in(Step(b"SHOW Config", b"server = {\r\n", then=fault))) as server:
            with pytest.raises(Unreachable, match="SHOW Config: the "):
                open_session(server).command("SHOW", "Config")

    def test_last_words_are_told(self):
        with ScriptedServer(logged_in(Step(b"SHOW", b"-ERR: too many errors\r\n", then=CLOSE))) as server:
            with pytest.raises(Unreachable, match='its last words were "too many errors"'):
                open_session(server).command("SHOW")

    def test_closed_while_idle(self):
        with ScriptedServer(logged_in(Step(b"SET a b", ok(ROOT), then=CLOSE))) as server:
            session = open_session(server)
            session.command("SET", "a", "b")
            wait_for_bytes(session)
            with pytest.raises(Unreachable, match="the server has closed the connection"):
                session.command("SET", "a", "b")

    def test_garbage(self):
        garbage = bytes(range(256)) * 40
        with ScriptedServer(logged_in(Step(b"SHOW", garbage, then=STALL))) as server:
            with pytest.raises(AnswerTimeout, match="10240 bytes came"):
                open_session(server, timeout=0.5).command("SHOW")

    def test_answer_that_is_too_long(self, monkeypatch):
        monkeypatch.setattr(wire, "MAX_ANSWER", 100000)
        with ScriptedServer(logged_in(Step(b"SHOW", b"x" * 200000, then=STALL))) as server:
            with pytest.raises(ProtocolError, match="longer than 100000 bytes"):
                open_session(server).command("SHOW")

    def test_server_that_does_not_read(self):
        """An upload that the server stops reading ends at the limit, too."""
        steps = logged_in(ENTER, Step(b"UPDATE SmtpFilters", b"+OK: go\r\n", then=DEAF))
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            with pytest.raises(AnswerTimeout, match="UPDATE SmtpFilters: the server did not take"):
                session.upload("UPDATE", "SmtpFilters", text="x" * 16 * 1024 * 1024, timeout=0.5)

    def test_close_never_raises(self):
        with ScriptedServer(logged_in(Step(b"SHOW", b"", then=CLOSE))) as server:
            session = open_session(server)
            with pytest.raises(Unreachable):
                session.command("SHOW")
            session.close()
            session.close()
