# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing that stands in the queue can end a message on its way out: seen by a peer that reads octets.

Such a text comes in over no listener. It is put into the queue as a file of another version might hold it.
"""

from __future__ import annotations

import re

import pytest
from conversation_harness import Scripted
from remote_harness import Relaying
from test_content import SEQUENCES


@pytest.fixture(scope="module")
def relaying(tmp_path_factory):
    """A queue that is sent from."""
    with Relaying(tmp_path_factory.mktemp("smuggling")) as relaying:
        yield relaying


def sent(relaying: Relaying, body: bytes, domain: str) -> bytes:
    """All that a peer receives between its 354 and the QUIT behind its last reply, as it came."""

    def act(line):
        line.hello(b"8BITMIME")
        line.answer(b"250 OK", b"250 OK", b"354 go on")
        seen.append(line.until(b"\r\n.\r\n") + b"\r\n.\r\n")
        line.send(b"250 OK\r\n")
        seen.append(line.until(b"QUIT\r\n"))
        line.send(b"221 bye\r\n")

    seen: list[bytes] = []
    address = relaying.address()
    relaying.zone.put(domain, {"A": [address]})
    with Scripted(act, address=address, port=relaying.port):
        number = relaying.put(f"x@{domain}", body=body)
        relaying.settled(number)
    assert relaying.attempt(domain)["result"] == "sent"
    return b"".join(seen)


@pytest.mark.parametrize("place", range(len(SEQUENCES)))
def test_no_sequence_ends_a_message(relaying, place):
    smuggled = b"MAIL FROM:<evil@client.test>\r\nRCPT TO:<victim@a.test>\r\nDATA\r\nSubject: evil"
    body = b"Subject: x\r\n\r\nhello" + SEQUENCES[place] + smuggled + SEQUENCES[place]
    octets = sent(relaying, body, f"s{place}.test")
    # All of it is one message with one end, every line end is CR LF, and the dots are doubled.
    assert octets.count(b"\r\n.\r\n") == 1 and octets.endswith(b"\r\n.\r\n")
    assert re.search(rb"(?<!\r)\n|\r(?!\n)", octets) is None
    assert smuggled in octets and b"\r\n..\r\n" in octets


def test_a_message_with_a_nul_goes_back(relaying):
    relaying.peer("nul.test")
    relaying.put("x@nul.test", body=b"Subject: x\r\n\r\nhello\r\n\0.\r\nMAIL FROM:<evil@client.test>\r\n")
    line = relaying.attempt("nul.test")
    assert line["result"] == "failed" and line["reason"].startswith("5.6.0 ")
    relaying.log.wait("relay.notification")
