# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Texts of many lines, sent only when they are invited."""

from __future__ import annotations

import time

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import wire
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.layout import WordRefused
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import (
    AnswerTimeout,
    CommandRefused,
    Unreachable,
)
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.scripted import (
    CLOSE,
    ENTER,
    SERVER,
    STALL,
    Body,
    Gap,
    ScriptedServer,
    Step,
    err,
    logged_in,
    ok,
    open_session,
)


@pytest.fixture(params=[1, 7, 64 * 1024])
def segment(request, monkeypatch):
    """Every read takes at most so many bytes: what one segment for each of them looks like to the client."""
    monkeypatch.setattr(wire, "_CHUNK", request.param)


class TestUpload:
    TEXT = "event onEhlo {\n}\n\tx\r\n\n"
    BODY = b"event onEhlo {\r\n}\r\n\tx\r\r\n\r\n\r\n.\r\n"

    @pytest.mark.parametrize(
        "invitation",
        [
            (b"+OK: send it\r\n",),
            (b"+OK\r\n",),
            (b"+OK: send it\r\n<server#> ",),
            (b"+O", b"K: send it\r", b"\n<ser", b"ver#> "),
            (b"\x1b[1m+OK: send it\x1b[0m\r\n",),
        ],
    )
    def test_invitations(self, segment, invitation):
        steps = logged_in(
            ENTER,
            Step(b"UPDATE SmtpFilters", *invitation),
            Body(ok(SERVER, b"updated")),
            Step(b"SHOW", ok(SERVER)),
        )
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            assert session.upload("UPDATE", "SmtpFilters", text=self.TEXT).status == "updated"
            assert session.command("SHOW").payload == []
        assert server.bodies == [self.BODY]

    def test_prompt_of_the_invitation_comes_late(self):
        steps = logged_in(
            ENTER, Step(b"UPDATE SmtpFilters", b"+OK: go\r\n"), Body(b"<server#> ", Gap(0.5), ok(SERVER, b"updated"))
        )
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            assert session.upload("UPDATE", "SmtpFilters", text="x").status == "updated"

    def test_prompt_of_the_invitation_comes_in_two_halves(self):
        steps = logged_in(
            ENTER, Step(b"UPDATE SmtpFilters", b"+OK: go\r\n<ser"), Body(b"ver#> ", Gap(0.1), ok(SERVER, b"updated"))
        )
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            assert session.upload("UPDATE", "SmtpFilters", text="x", timeout=3).status == "updated"

    def test_refused_invitation_sends_no_body(self):
        steps = logged_in(ENTER, Step(b"UPDATE SmtpFilters", err(SERVER, b"no permission")))
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            with pytest.raises(CommandRefused, match="UPDATE SmtpFilters: no permission"):
                session.upload("UPDATE", "SmtpFilters", text="QUIT\nREMOVE everything")
            session.close()
        assert server.received[-2:] == [b"UPDATE SmtpFilters", b"QUIT"] and not server.bodies

    def test_no_invitation_sends_no_body(self):
        steps = logged_in(ENTER, Step(b"UPDATE SmtpFilters", then=STALL))
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            with pytest.raises(AnswerTimeout, match="The text was not sent"):
                session.upload("UPDATE", "SmtpFilters", text="x", timeout=0.3)
        assert server.received[-1] == b"UPDATE SmtpFilters"

    @pytest.mark.parametrize("then", [STALL, CLOSE])
    def test_text_without_an_answer(self, then):
        """A server may use a script as soon as it has it: nothing is claimed."""
        steps = logged_in(ENTER, Step(b"UPDATE SmtpFilters", b"+OK: go\r\n"), Body(then=then))
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            with pytest.raises((AnswerTimeout, Unreachable), match="UPDATE SmtpFilters: .*not known whether"):
                session.upload("UPDATE", "SmtpFilters", text="x", timeout=0.5)

    def test_refused_text(self):
        steps = logged_in(
            ENTER,
            Step(b"UPDATE SmtpFilters", b"+OK: go\r\n"),
            Body(b"line 3: syntax error\r\n" + err(SERVER, b"bad script")),
            Step(b"SHOW", ok(SERVER)),
        )
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            with pytest.raises(CommandRefused, match="UPDATE SmtpFilters: bad script; line 3: syntax error"):
                session.upload("UPDATE", "SmtpFilters", text="x")
            assert session.command("SHOW").ok

    @pytest.mark.parametrize("text", [".", "a\n.", "a\n.b\nc", "a\r.\nb", "a\x00b", "a\ud800"])
    def test_text_that_cannot_be_sent(self, text):
        with ScriptedServer(logged_in(ENTER)) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            with pytest.raises(WordRefused, match="Nothing was sent"):
                session.upload("UPDATE", "SmtpFilters", text=text)
            session.close()
        assert server.received[-2:] == [b"CONFIG SERVER", b"QUIT"]

    def test_five_megabytes_both_ways(self):
        """Linear in size: five megabytes take seconds at most, whatever they contain."""
        line = "\tset (smtpExplanation, \"<server#> \"); # +OK: <x>"
        text = "method a {\n%s\n}" % "\n".join([line] * (5 * 1024 * 1024 // len(line)))
        payload = text.replace("\n", "\r\n").encode("ascii") + b"\r\n"
        steps = logged_in(
            ENTER,
            Step(b"SHOW SmtpFilters", ok(SERVER, payload=payload)),
            Step(b"UPDATE SmtpFilters", b"+OK: go\r\n"), Body(ok(SERVER)),
        )
        with ScriptedServer(steps) as server:
            session = open_session(server, timeout=20.0)
            session.enter("CONFIG", "SERVER")
            started = time.monotonic()
            assert session.command("SHOW", "SmtpFilters").text == text
            session.upload("UPDATE", "SmtpFilters", text=text)
            assert time.monotonic() - started < 10
            session.close()
        assert server.bodies == [payload + b".\r\n"]
