# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Words that are shown nowhere, and words that never reach the wire."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.layout import (
    Secret,
    SetValue,
    WordRefused,
)
from ansible_collections.securemail.smtp.plugins.module_utils._servers.base import CommandRefused
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.scripted import (
    ROOT,
    ScriptedServer,
    Step,
    err,
    logged_in,
    ok,
    open_session,
)


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
