# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A dialogue that contains its own delimiters, and arrives in pieces."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import ending, wire
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.layout import show_attributes
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import AnswerTimeout
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.scripted import (
    BANNER,
    ENTER,
    LOGIN,
    PASSWORD,
    ROOT,
    SERVER,
    STALL,
    Body,
    Gap,
    ScriptedServer,
    Step,
    logged_in,
    ok,
    open_session,
)


SCRIPT = (
    b'event onEhlo {\r\n\tcall (WA_Acceptance_basic);\r\n}\r\n\r\nmethod Text {\r\n\tset (smtpExplanation, "line\r\n'
    b"+OK: not yet\r\n<server#> \r\n-ERR: nor this\r\nf\xc3\xbcr\");\r\n}\r\n"
)
SCRIPT_TEXT = (
    'event onEhlo {\n\tcall (WA_Acceptance_basic);\n}\n\nmethod Text {\n\tset (smtpExplanation, "line\n'
    '+OK: not yet\n<server#> \n-ERR: nor this\nf\u00fcr");\n}'
)


@pytest.fixture(params=[1, 7, 64 * 1024])
def segment(request, monkeypatch):
    """Every read takes at most so many bytes: what one segment for each of them looks like to the client."""
    monkeypatch.setattr(wire, "_CHUNK", request.param)


class TestDialogue:
    """The dialogue that contains its own delimiters, and arrives in pieces."""

    def dialogue(self):
        return [
            Step(None, b"### Authorised use only <#> ###\r\n+OK: motd\r\n", b"\x1b[1m<log", b"in> \x1b[0m"),
            Step(b"USER admin", b"<password> "),
            Step(b"s3cret", *[bytes([byte]) for byte in b"+OK: Authentication successful\r\n<#> "]),
            Step(b"CONFIG SERVER", b"+OK: command succ", b"essful\r\n<server", b"#> "),
            Step(
                b"SHOW SmtpFilters",
                SCRIPT[:SCRIPT.index(b"\xbc")],
                SCRIPT[SCRIPT.index(b"\xbc"):],
                b"+OK: command successful\r\n",
                b"<server#> ",
            ),
            Step(b"SHOW ATTR primaryDomain", b"primaryDomain = example.test\r\n", then=STALL),
        ]

    def test_whole(self, segment):
        with ScriptedServer(self.dialogue()) as server:
            session = open_session(server, timeout=1.0)
            session.enter("CONFIG", "SERVER")
            answer = session.command("SHOW", "SmtpFilters")
            assert answer.text == SCRIPT_TEXT
            assert (answer.ok, answer.status, answer.prompt) == (True, "command successful", "<server#>")
            with pytest.raises(AnswerTimeout) as caught:
                session.command("SHOW", "ATTR", "primaryDomain")
        assert "SHOW ATTR primaryDomain" in str(caught.value) and "1 seconds" in str(caught.value)
        assert "Nothing was committed" in str(caught.value)
        assert PASSWORD not in str(caught.value) and PASSWORD not in repr(caught.value)
        assert b"COMMIT" not in server.received

    @pytest.mark.parametrize("cut", [b"<server#>", b"<server#> ", b"+OK: not yet\r\n", b"-ERR: nor this\r\n"])
    def test_pause_in_the_middle_of_a_false_end(self, cut):
        """The answer stops for a while exactly where it looks finished; more follows."""
        at = SCRIPT.index(cut) + len(cut)
        steps = logged_in(ENTER, Step(b"SHOW SmtpFilters", SCRIPT[:at], Gap(0.6), SCRIPT[at:] + ok(SERVER)))
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            assert session.command("SHOW", "SmtpFilters").text == SCRIPT_TEXT
            session.close()

    def test_pause_behind_a_false_refusal(self):
        payload = b'method A {\r\n\tset (smtpExplanation, "\r\n-ERR: x\r\n<server#> '
        steps = logged_in(ENTER, Step(b"SHOW SmtpFilters", payload, Gap(0.5), b'\r\n");\r\n}\r\n' + ok(SERVER)))
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            assert session.command("SHOW", "SmtpFilters").payload[-2:] == ['");', "}"]

    def test_configuration_with_an_escaped_quote(self):
        payload = b'server = {\r\n  banner = "a \\" b\r\n+OK: x\r\n<server#> '
        steps = logged_in(ENTER, Step(b"SHOW Config", payload, Gap(0.5), b'\r\n"\r\n}\r\n' + ok(SERVER)))
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            assert session.command("SHOW", "Config").payload[-1] == "}"

    def test_broken_script_is_handed_over_after_a_while(self, monkeypatch):
        """A script that never closes its string is the parser's business; the client does not wait for ever."""
        monkeypatch.setattr(ending, "DOUBT", 0.2)
        steps = logged_in(ENTER, Step(b"SHOW SmtpFilters", b'method A {\r\n"\r\n' + ok(SERVER)))
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            assert session.command("SHOW", "SmtpFilters").text == 'method A {\n"'

    def test_false_end_in_a_list_that_comes_at_once(self):
        payload = b"note = a\r\n+OK: x\r\n<server#> "
        steps = logged_in(ENTER, Step(b"SHOW", payload, b"\r\nlast = b\r\n" + ok(SERVER)))
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            assert show_attributes(session.command("SHOW"))["last"] == "b"

    def test_short_pause_in_the_middle_of_a_list(self, monkeypatch):
        monkeypatch.setattr(ending, "SETTLE", 1.0)
        steps = logged_in(Step(b"LIST Domains", b"a\r\n+OK: x\r\n<#> ", Gap(0.2), b"\r\nb\r\n" + ok(ROOT)))
        with ScriptedServer(steps) as server:
            assert open_session(server).command("LIST", "Domains").payload == ["a", "+OK: x", "<#> ", "b"]

    def test_short_pause_in_the_middle_of_the_banner(self, monkeypatch):
        """The rest of it comes in front of the first answer, and is not taken for one."""
        monkeypatch.setattr(ending, "GRACE", 3.0)
        rest = Step(b"GET VERSION", b"\r\n" + BANNER, Gap(0.2), ok(LOGIN, payload=b"10.6.30|Linux|x86_64\r\n"))
        steps = [Step(None, b"Say hello at\r\n<login> "), rest] + logged_in()[1:]
        with ScriptedServer(steps) as server:
            session = open_session(server, login=False)
            assert session.get_version() == "10.6.30"
            session.login("admin", PASSWORD)
            session.close()

    def test_end_mark_and_line_ends(self):
        payload = b"a\r\r\nb\nc\r\n.\r\n"
        with ScriptedServer(logged_in(ENTER, Step(b"SHOW SmtpFilters", ok(SERVER, payload=payload)))) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            assert session.command("SHOW", "SmtpFilters").payload == ["a\r", "b", "c"]

    def test_undecodable_bytes_and_escapes_of_a_script_survive(self):
        payload = b'# \xfc \xff \x1b[31m"\r\n'
        steps = logged_in(
            ENTER,
            Step(b"SHOW SmtpFilters", ok(SERVER, payload=payload)),
            Step(b"UPDATE SmtpFilters", b"+OK: go\r\n"),
            Body(ok(SERVER)),
        )
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("CONFIG", "SERVER")
            session.upload("UPDATE", "SmtpFilters", text=session.command("SHOW", "SmtpFilters").text)
            session.close()
        assert server.bodies == [payload + b".\r\n"]

    def test_colours_and_telnet_options_elsewhere_are_ignored(self, segment):
        answer = b"\xff\xfb\x01\x1b[32mname = x\x1b[0m\r\n\x1b[1m+OK: \x1b[0mfine\r\n\x1b[1m<#>\x1b[0m "
        with ScriptedServer(logged_in(Step(b"SHOW", answer))) as server:
            answer = open_session(server).command("SHOW")
        assert (answer.payload, answer.status) == (["name = x"], "fine")
