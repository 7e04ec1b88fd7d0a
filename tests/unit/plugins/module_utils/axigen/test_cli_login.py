# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Login: one attempt, and nothing of the password in any message."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.layout import WordRefused
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import (
    AnswerTimeout,
    LoginRefused,
    ProtocolError,
)
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.scripted import (
    BANNER,
    CLOSE,
    LOGIN,
    PASSWORD,
    STALL,
    ScriptedServer,
    Step,
    err,
    logged_in,
    ok,
    open_session,
)


class TestLogin:
    def test_version_before_login(self):
        steps = logged_in()
        steps.insert(1, Step(b"GET VERSION", ok(LOGIN, payload=b"10.6.30-postern|Linux|x86_64\r\n")))
        with ScriptedServer(steps) as server:
            session = open_session(server, login=False)
            assert session.get_version() == "10.6.30-postern"
            session.login("admin", PASSWORD)
            assert (session.version, session.depth) == ("10.6.30-postern", 0)
            session.close()
        assert server.received == [b"GET VERSION", b"USER admin", b"s3cret", b"QUIT"]

    @pytest.mark.parametrize("answer", [err(LOGIN), b"8.1.0\r\n<login> "])
    def test_old_servers(self, answer):
        with ScriptedServer([Step(None, BANNER), Step(b"GET VERSION", answer)]) as server:
            assert open_session(server, login=False).get_version() in ("", "8.1.0")

    def test_user_answered_with_a_status(self):
        steps = logged_in()
        steps[1] = Step(b"USER admin", ok(b"<password> "))
        with ScriptedServer(steps) as server:
            open_session(server).close()

    def test_wrong_password_is_tried_once(self):
        steps = [Step(None, BANNER), Step(b"USER admin", b"<password> "), Step(b"s3cret", err(LOGIN, b"bad s3cret"))]
        with ScriptedServer(steps) as server:
            with pytest.raises(LoginRefused) as caught:
                open_session(server)
        assert 'log in to 127.0.0.1:%d as "admin": bad ********' % server.port in str(caught.value)
        assert PASSWORD not in repr(caught.value)
        assert server.received == [b"USER admin", b"s3cret"]

    def test_refused_and_closed(self):
        steps = [Step(None, BANNER), Step(b"USER admin", b"<password> "), Step(b"s3cret", b"-ERR: bye\r\n", then=CLOSE)]
        with ScriptedServer(steps) as server:
            with pytest.raises(LoginRefused, match="bye"):
                open_session(server)

    def test_unknown_user(self):
        with ScriptedServer([Step(None, BANNER), Step(b"USER admin", err(LOGIN, b"who"))]) as server:
            with pytest.raises(LoginRefused, match="who"):
                open_session(server)
        assert server.received == [b"USER admin"]

    def test_yes_that_is_none(self):
        steps = [Step(None, BANNER), Step(b"USER admin", b"<password> "), Step(b"s3cret", ok(LOGIN))]
        with ScriptedServer(steps) as server:
            with pytest.raises(ProtocolError, match="asks to log in again"):
                open_session(server)

    @pytest.mark.parametrize("password", ["a\nSET x y", "a\r", "a\x00", "\x07", "", "a\ud800"])
    def test_password_that_cannot_be_sent(self, password):
        with ScriptedServer([Step(None, BANNER)]) as server:
            session = open_session(server, login=False)
            with pytest.raises((WordRefused, LoginRefused)) as caught:
                session.login("admin", password)
            session.close()
        assert server.received == [b"QUIT"]
        assert not password or repr(password)[1:-1] not in str(caught.value)

    def test_stall_after_the_password(self):
        steps = [Step(None, BANNER), Step(b"USER admin", b"<password> "), Step(b"s3cret", b"s3cret", then=STALL)]
        with ScriptedServer(steps) as server:
            with pytest.raises(AnswerTimeout, match="log in to") as caught:
                open_session(server, timeout=0.3)
        assert PASSWORD not in str(caught.value)
