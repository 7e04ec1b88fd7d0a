# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A message in pieces: wherever it is cut, the same octets go over the wire, and no line end but CR LF."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postern.delivery import content
from postern.delivery.content import Content, Dots

#: What a receiver may take for the end of a message, each in front of a command of its own.
SEQUENCES = (
    b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\r\n.\r\r\n", b"\r\n.\r\n", b"\n\r\n.\n\r",
    b"\r.\n",
)  # fmt: skip

BODIES = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"a", b"\xc3\xbc", b":", *SEQUENCES]), max_size=40
).map(b"".join)


class Gone:
    """A text that is read again and again, and never the same way: what was kept cannot be told from what was read."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self.reads = 0

    def __iter__(self):
        self.reads += 1
        return iter(self._pieces)


def cut(body: bytes, places: list[int]) -> list[bytes]:
    """The body in pieces."""
    borders = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in zip(borders, borders[1:])]


async def _on_the_wire(found: Content) -> bytes:
    dots = Dots()
    return b"".join([dots.feed(piece) async for piece in found.pieces()])


def on_the_wire(pieces) -> tuple[Content, bytes]:
    """What is known about a text, and its octets between the 354 and the final dot."""
    found = Content.of(pieces)
    return found, asyncio.run(_on_the_wire(found))


def lines(body: bytes) -> list[bytes]:
    """The lines of a text whose line ends are of all kinds: the definition that the wire is held against."""
    found = re.split(rb"\r\n|\r|\n", body)
    return found[:-1] if len(found) > 1 and not found[-1] else found


@settings(max_examples=300, deadline=None)
@given(BODIES, st.lists(st.integers(0, 1000), max_size=10))
def test_wherever_a_text_is_cut_the_same_goes_out(body, places):
    found, sent = on_the_wire(cut(body, places))
    expected = [b"." + line if line.startswith(b".") else line for line in lines(body)]
    assert sent == b"".join(line + b"\r\n" for line in expected)
    assert found.size == sum(len(line) + 2 for line in lines(body))
    assert found.eight_bit == (not body.isascii()) and not found.nul
    header = b"\n".join(lines(body)).partition(b"\n\n")[0] if body and lines(body)[0] else b""
    assert found.eight_bit_header == (not header.isascii())


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_nothing_in_a_text_ends_it(sequence):
    body = b"Subject: x\r\n\r\nhello" + sequence + b"MAIL FROM:<evil@client.test>\r\n"
    for place in range(len(body)):
        _found, sent = on_the_wire(cut(body, [place]))
        assert re.search(rb"(?<!\r)\n|\r(?!\n)", sent) is None
        assert not re.search(rb"(^|\r\n)\.\r\n", sent) and sent.endswith(b"\r\n")


@pytest.mark.parametrize(("kept", "reads"), [(4, 2), (8, 1)])
def test_a_small_text_is_read_once_and_a_large_one_again(monkeypatch, kept, reads):
    monkeypatch.setattr(content, "KEPT", kept)
    text = Gone([b"abcd", b"efgh"])
    assert on_the_wire(text)[1] == b"abcdefgh\r\n" and text.reads == reads


@pytest.mark.parametrize("pieces", [[b"a\0b"], [b"a", b"\0"]])
def test_a_nul_is_seen(pieces):
    assert Content.of(pieces).nul
