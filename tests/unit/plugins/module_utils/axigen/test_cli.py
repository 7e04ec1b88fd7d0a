# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The admin session against a server that behaves as badly as servers and networks do."""

from __future__ import annotations

import socket
import time

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import wire
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.cli import AdminSession
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.layout import (
    Secret,
    SetValue,
    WordRefused,
    show_attributes,
)
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import (
    AnswerTimeout,
    CommandRefused,
    LoginRefused,
    ProtocolError,
    Unreachable,
)
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.scripted import (
    BANNER,
    CLOSE,
    DEAF,
    LOGIN,
    RESET,
    ROOT,
    STALL,
    Body,
    Gap,
    ScriptedServer,
    Step,
    err,
    logged_in,
    ok,
)

SERVER = b"<server#> "
PASSWORD = "s3cret"
ENTER = Step(b"CONFIG SERVER", ok(SERVER))
SCRIPT = (
    b'event onEhlo {\r\n\tcall (WA_Acceptance_basic);\r\n}\r\n\r\nmethod Text {\r\n\tset (smtpExplanation, "line\r\n'
    b"+OK: not yet\r\n<server#> \r\n-ERR: nor this\r\nf\xc3\xbcr\");\r\n}\r\n"
)
SCRIPT_TEXT = (
    'event onEhlo {\n\tcall (WA_Acceptance_basic);\n}\n\nmethod Text {\n\tset (smtpExplanation, "line\n'
    '+OK: not yet\n<server#> \n-ERR: nor this\nf\u00fcr");\n}'
)


def open_session(server, timeout=5.0, login=True):
    session = AdminSession("127.0.0.1", server.port, timeout=timeout)
    if login:
        session.login("admin", PASSWORD)
    return session


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
        monkeypatch.setattr(wire, "DOUBT", 0.2)
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
        monkeypatch.setattr(wire, "SETTLE", 1.0)
        steps = logged_in(Step(b"LIST Domains", b"a\r\n+OK: x\r\n<#> ", Gap(0.2), b"\r\nb\r\n" + ok(ROOT)))
        with ScriptedServer(steps) as server:
            assert open_session(server).command("LIST", "Domains").payload == ["a", "+OK: x", "<#> ", "b"]

    def test_short_pause_in_the_middle_of_the_banner(self, monkeypatch):
        """The rest of it comes in front of the first answer, and is not taken for one."""
        monkeypatch.setattr(wire, "GRACE", 3.0)
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

    def test_random_segments_give_the_same_answer(self):
        """Every cut of an answer into two: what the end detection says depends on the bytes alone."""
        whole = b'a {\r\n"+OK: x\r\n<server#> \r\n"\r\n}\r\n\x1b[1m+OK: fine\r\n<server#> \x1b[0m'
        for cut in range(len(whole) - len(b"\x1b[0m")):
            buffer = bytearray(whole[:cut])
            end = wire.find_end(buffer)
            finished = end is not None and end.ok is not None and wire.Nesting(False).finished(buffer, end.payload_end)
            assert not finished or whole[cut:].strip() in (b"", b"\x1b[0m"), whole[:cut]
        end = wire.find_end(bytearray(whole))
        assert (end.ok, end.status, end.prompt) == (True, b"fine", "<server#>")


def wait_for_bytes(session):
    """Block until something can be read, or the end was seen, without reading it."""
    connection = session._wire._socket
    if connection is None:
        return b""
    connection.settimeout(5)
    return connection.recv(1, socket.MSG_PEEK)


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
        assert wire.Nesting(False).finished(bytearray(text), len(text)) is finished

    def test_backslash(self):
        text = bytearray(b'"a\\"\n')
        assert wire.Nesting(False).finished(text, len(text))
        assert not wire.Nesting(True).finished(text, len(text))

    def test_goes_on_where_it_stopped(self):
        text = bytearray(b'm {\n"one\n+OK\n" "two\n" }\n')
        nesting = wire.Nesting(False)
        assert [nesting.finished(text, end) for end in range(len(text) + 1)].count(True) == sum(
            wire.Nesting(False).finished(text, end) for end in range(len(text) + 1)
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
                session.upload("UPDATE", "SmtpFilters", text="x" * 40 * 1024 * 1024, timeout=0.5)

    def test_close_never_raises(self):
        with ScriptedServer(logged_in(Step(b"SHOW", b"", then=CLOSE))) as server:
            session = open_session(server)
            with pytest.raises(Unreachable):
                session.command("SHOW")
            session.close()
            session.close()


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


class TestSecrets:
    def test_secret_word_is_sent_and_not_shown(self):
        answer = err(ROOT, b'value "p \\"w" is too weak, choose another than p "w')
        with ScriptedServer(logged_in(Step(b'SET password "p \\"w"', answer))) as server:
            with pytest.raises(CommandRefused) as caught:
                open_session(server).command("SET", "password", Secret('p "w'))
        assert str(caught.value) == 'SET password ********: value "********" is too weak, choose another than ********'

    def test_secret_by_index(self):
        with ScriptedServer(logged_in(Step(b'SET password "word"', err(ROOT, b"word")))) as server:
            with pytest.raises(CommandRefused) as caught:
                open_session(server).command("SET", "password", "word", secret=(2,))
        assert "word" not in str(caught.value).replace("password", "")

    def test_secret_in_a_context(self):
        prompt = b"<domain-account#> "
        steps = logged_in(Step(b'ADD Account name u password "hush"', ok(prompt)), Step(b"SHOW", err(prompt)))
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.enter("ADD", "Account", "name", "u", "password", Secret("hush"))
            with pytest.raises(CommandRefused) as caught:
                session.command("SHOW")
        assert "hush" not in str(caught.value) and "Account u" in str(caught.value)

    @pytest.mark.parametrize("word", ["a\r\nDELETE Domain name x", "a\n", "a\rb", "a\x00b", "a\tb", "a\x7f", "a\x85b"])
    def test_control_characters_never_reach_the_wire(self, word):
        with ScriptedServer(logged_in()) as server:
            session = open_session(server)
            for words in ((word,), ("SET", word), ("SET", "a", Secret(word)), ("SET", "a", SetValue((word,)))):
                with pytest.raises(WordRefused, match="control character"):
                    session.command(*words)
            session.close()
        assert server.received[-2:] == [b"s3cret", b"QUIT"]

    def test_too_long_a_line(self):
        with ScriptedServer(logged_in()) as server:
            session = open_session(server)
            with pytest.raises(WordRefused, match="longer than 8192 bytes"):
                session.command("SET", "a", "x" * 9000)
            session.close()
