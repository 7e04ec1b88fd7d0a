# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where an answer ends: shapes of the end, and texts that are not finished."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import ending
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import ProtocolError, Unreachable
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.scripted import (
    ROOT,
    SERVER,
    STALL,
    Gap,
    ScriptedServer,
    Step,
    logged_in,
    ok,
    open_session,
    wait_for_bytes,
)


class TestEndOfAnswer:
    def test_prompt_without_status_is_an_error(self):
        with ScriptedServer(logged_in(Step(b"SHOW", b"something\r\n<#> ", then=STALL))) as server:
            session = open_session(server)
            with pytest.raises(ProtocolError, match="SHOW: the answer has no status line"):
                session.command("SHOW")
            with pytest.raises(Unreachable, match="has ended"):
                session.command("SHOW")

    def test_bare_status_and_lf_only(self):
        with ScriptedServer(logged_in(Step(b"SHOW", b"a\n+OK\n<#> "))) as server:
            answer = open_session(server).command("SHOW")
        assert (answer.payload, answer.status, answer.ok) == (["a"], "", True)

    def test_status_must_be_a_word(self):
        answer = b"+OKAY\r\n<#> \r\n" + ok(ROOT)
        with ScriptedServer(logged_in(Step(b"SHOW", answer))) as server:
            assert open_session(server).command("SHOW").payload == ["+OKAY", "<#> "]

    def test_prompt_without_its_space(self):
        steps = logged_in(Step(b"SHOW", b"+OK: a\r\n<#>"), Step(b"LIST", ok(ROOT, payload=b"x\r\n")))
        with ScriptedServer(steps) as server:
            session = open_session(server)
            assert session.command("SHOW").ok
            assert session.command("LIST").payload == ["x"]

    def test_space_of_the_prompt_comes_late(self):
        """One byte for each segment: the space must not become part of the next answer."""
        steps = logged_in(Step(b"SHOW", b"+OK: a\r\n<#>", Gap(0.1), b" "), Step(b"LIST", ok(ROOT, payload=b"x\r\n")))
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.command("SHOW")
            assert session.command("LIST").payload == ["x"]

    def test_command_that_changes_the_context_is_an_error(self):
        with ScriptedServer(logged_in(Step(b"SHOW", ok(SERVER)))) as server:
            with pytest.raises(ProtocolError, match="unexpected prompt <server#>"):
                open_session(server).command("SHOW")

    def test_unasked_bytes_end_the_session(self):
        steps = logged_in(Step(b"SET a b", ok(ROOT)), Step(None, Gap(0.1), b"+OK: again\r\n<#> "))
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.command("SET", "a", "b")
            assert wait_for_bytes(session)
            with pytest.raises(ProtocolError, match="nothing asked for"):
                session.command("SET", "a", "c")
        assert b"SET a c" not in server.received


class TestNesting:
    @pytest.mark.parametrize(
        "text, finished",
        [
            (b"", True),
            (b"event a {\n}\n", True),
            (b"event a {\n", False),
            (b'set (x, "a\n', False),
            (b'# it is "quoted\n', True),
            (b"# { brace\n", True),
            (b'"{"\n', True),
            (b"/* { \n", False),
            (b"/* { */\n", True),
            (b'"# not a comment\n"\n', True),
        ],
    )
    def test_finished(self, text, finished):
        assert ending.Nesting(False).finished(bytearray(text), len(text)) is finished

    def test_backslash(self):
        text = bytearray(b'"a\\"\n')
        assert ending.Nesting(False).finished(text, len(text))
        assert not ending.Nesting(True).finished(text, len(text))

    def test_goes_on_where_it_stopped(self):
        text = bytearray(b'm {\n"one\n+OK\n" "two\n" }\n')
        nesting = ending.Nesting(False)
        assert [nesting.finished(text, end) for end in range(len(text) + 1)].count(True) == sum(
            ending.Nesting(False).finished(text, end) for end in range(len(text) + 1)
        )
