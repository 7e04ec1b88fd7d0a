# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole session, cut at every byte: no part of an answer is taken for the whole."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen import ending
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.recorded import FALSE_END, SESSION
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.scripted import (
    ENTER,
    Gap,
    ScriptedServer,
    Step,
    logged_in,
    open_session,
)

#: What terminals and telnet put around a prompt, in front of it and behind.
NOISE = [
    (b"\x1b[1m", b"\x1b[0m"),
    (b"\x1b]0;the title of a window\x07", b""),
    (b"\x1b]2;title\x1b\\\x1b(B", b"\x1b7\x1b[?25h"),
    (b"\xff\xfb\x01\xff\xfd\x03", b"\xff\xf9"),
    (b"\xff\xfa\x18\x00xterm\xff\xff\xff\xf0", b"\xff\xf1"),
]

exchanges = pytest.mark.parametrize("exchange", SESSION, ids=[" ".join(one.command) for one in SESSION])


def ending_of(exchange):
    return ending.Ending.of(exchange.command, lambda prompt: prompt == "<server#>")


def stands_in_text(exchange):
    """Whether the payload has quotes or blocks that tell that it is not over."""
    return FALSE_END in exchange.payload


@exchanges
@pytest.mark.parametrize("growing", [True, False], ids=["byte by byte", "in two"])
def test_no_part_is_the_whole(exchange, growing):
    """Where a part looks like the whole there is a wait; inside of a value or block, the longest one."""
    expected = ending_of(exchange)
    looked_finished = 0
    for cut in range(len(exchange.answer) - 1):
        if not growing:
            expected = ending_of(exchange)
        quiet = expected.judge(bytearray(exchange.answer[:cut]))
        assert quiet is None or quiet >= ending.GRACE, exchange.answer[:cut]
        if quiet is not None and cut < len(exchange.payload):
            looked_finished += 1
            assert quiet == ending.DOUBT or not stands_in_text(exchange), exchange.answer[:cut]
    assert looked_finished or b"\n<server#>" not in exchange.payload
    # Only the blank of the prompt may come late.
    assert expected.judge(bytearray(exchange.answer[:-1])) in (ending.GRACE, ending.SETTLE)
    assert expected.judge(bytearray(exchange.answer)) in (0.0, ending.SETTLE, ending.GRACE)


@exchanges
def test_every_line_in_two_segments(exchange, monkeypatch):
    """The same over a real connection: one command for each place near a line's end where a network may cut."""
    monkeypatch.setattr(ending, "SETTLE", 0.001)
    monkeypatch.setattr(ending, "GRACE", 0.05)
    answer = exchange.answer
    places = sorted(
        {place + step for place, byte in enumerate(answer) if byte in b"\n>" for step in (0, 1, 2)} - {0, len(answer)}
    )
    command = " ".join(exchange.command).encode()
    steps = [Step(command, answer[:cut], Gap(0.001), answer[cut:]) for cut in places if 0 < cut < len(answer)]
    with ScriptedServer(logged_in(ENTER, *steps)) as server:
        session = open_session(server)
        session.enter("CONFIG", "SERVER")
        wanted = exchange.payload.decode("utf-8", "surrogateescape").replace("\r\n", "\n").split("\n")[:-1]
        for _step in steps:
            found = session._exchange(exchange.command)
            assert (found.payload, found.ok) == (wanted, exchange.status.startswith(b"+OK"))
        session.close()
    assert server.received[-1] == b"QUIT"


@exchanges
@pytest.mark.parametrize("front, behind", NOISE)
def test_noise_around_the_end(exchange, front, behind):
    steps = logged_in(
        ENTER,
        Step(
            " ".join(exchange.command).encode(),
            exchange.payload + front + exchange.status + front + exchange.prompt.rstrip() + behind + b" ",
        ),
    )
    with ScriptedServer(steps) as server:
        session = open_session(server)
        session.enter("CONFIG", "SERVER")
        found = session._exchange(exchange.command)
        assert found.ok is exchange.status.startswith(b"+OK") and found.prompt == "<server#>"
        text = "".join(line + "\r\n" for line in found.payload)
        assert text.encode("utf-8", "surrogateescape") == exchange.payload
        session.close()


@pytest.mark.parametrize("front, behind", NOISE)
def test_noise_that_comes_late(front, behind, monkeypatch):
    """Behind the prompt, and cut anywhere: it belongs to nothing."""
    monkeypatch.setattr(ending, "GRACE", 0.01)
    monkeypatch.setattr(ending, "SETTLE", 0.01)
    noise = front + behind
    for cut in range(1, len(noise)):
        steps = logged_in(
            Step(b"SET a b", b"+OK: done\r\n<#> ", noise[:cut]),
            Step(b"SHOW", noise[cut:] + b"a = b\r\n\r\n+OK: done\r\n<#> "),
        )
        with ScriptedServer(steps) as server:
            session = open_session(server)
            session.command("SET", "a", "b")
            assert session.command("SHOW").payload == ["a = b", ""]
            session.close()
