# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The session core without sockets: whatever comes, however it is cut, it answers the same and never breaks."""

from __future__ import annotations

import random
import re

import pytest
from postern.rules.engine import compile_script
from postern.smtp.session import Session
from postern.smtp.state import CheckPassword, Ends, Site, StartTls, StoreMessage, TlsState
from wire_peer import b64, plain
from wire_server import OPEN_SCRIPT, PASSWORD, USER

BEGIN = b"RSET\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<u1@example.test>\r\nDATA\r\n"
PIECES = [
    BEGIN, BEGIN, BEGIN + b"x\r\n..\r\n.\r\n", BEGIN + b".\r\n",
    b"EHLO client\r\n", b"HELO client\r\n", b"MAIL FROM:<a@x.test>\r\n", b"MAIL FROM:<> SIZE=10 BODY=8BITMIME\r\n",
    b"RCPT TO:<u1@example.test>\r\n", b"RCPT TO:<x@elsewhere.test>\r\n", b"RCPT TO:<Postmaster>\r\n", b"DATA\r\n",
    b"Subject: x\r\n\r\n", b".\r\n", b"\r\n.\r\n", b"..\r\n", b"RSET\r\n", b"NOOP\r\n", b"VRFY x\r\n", b"QUIT\r\n",
    b"STARTTLS\r\n", b"AUTH PLAIN\r\n", b"AUTH LOGIN\r\n", b"AUTH SCRAM-SHA-256\r\n", b"*\r\n", b"=\r\n",
    b"AUTH PLAIN " + plain(USER, PASSWORD).encode() + b"\r\n", b64("n,,n=u1@example.test,r=abc").encode() + b"\r\n",
    b64(USER).encode() + b"\r\n", b64("wrong").encode() + b"\r\n", b"\n", b"\r", b"\0", b"\r\n", b"\xff\xfe\r\n", b" ",
    b"x" * 3000, b"MAIL FROM:<\"a\\\"@x.test>\r\n", b"RCPT TO:<@a,@b:u1@example.test>\r\n", b"EHLO \xc3\xa9\r\n",
]  # fmt: skip


def site(directory, log) -> Site:
    """A site with fixed ids and time, so that two runs can be compared."""
    return Site(
        server_name="mx.example.test",
        rules=compile_script(OPEN_SCRIPT),
        accounts=directory,
        new_id=lambda: 1,
        clock=lambda: 0.0,
        log=log,
        starttls=True,
        max_errors=40,
    )


def play(directory, chunks: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Feed a session; actions succeed at once. Returns everything it said and the messages it stored."""
    events: list = []
    session = Session(
        site(directory, lambda *names, **fields: events.append((names, fields))), Ends("192.0.2.1", 1, "::1", 25)
    )
    said, stored = [session.open().data], []
    closed = False
    for chunk in chunks:
        output = session.receive(chunk)
        while True:
            if not closed:
                said.append(output.data)
            closed = closed or output.close
            if closed or output.action is None:
                break
            if isinstance(output.action, StartTls):
                session = session.secured(TlsState("TLSv1.3", "TLS_AES_256_GCM_SHA384"))
                break
            if isinstance(output.action, CheckPassword):
                output = session.password_checked(USER if output.action.password == PASSWORD else False)
            elif isinstance(output.action, StoreMessage):
                stored.append(output.action.body)
                output = session.stored()
    text = repr(events)
    assert PASSWORD not in text and b64(PASSWORD) not in text
    return said, stored


def cut(data: bytes, chance: random.Random) -> list[bytes]:
    """The same octets in random portions."""
    chunks = []
    while data:
        size = chance.choice((1, 2, 3, 7, 50, 4000))
        chunks.append(data[:size])
        data = data[size:]
    return chunks


@pytest.mark.parametrize("seed", range(300))
def test_cuts_change_nothing(directory, seed):
    chance = random.Random(seed)
    # STARTTLS is about what is in the buffer, so it is left out where cuts are compared.
    pieces = [piece for piece in PIECES if not piece.startswith(b"STARTTLS")]
    data = b"EHLO client\r\n" + b"".join(chance.choices(pieces, k=60))
    whole_said, whole_stored = play(directory, [data])
    for _turn in range(3):
        said, stored = play(directory, cut(data, chance))
        # SCRAM challenges hold a random nonce.
        assert without_nonces(said) == without_nonces(whole_said)
        assert stored == whole_stored


def without_nonces(said: list[bytes]) -> bytes:
    """All replies as one text, SCRAM challenges blanked."""
    return re.sub(rb"334 cj[A-Za-z0-9+/=]+", b"334 ...", b"".join(said))


@pytest.mark.parametrize("seed", range(300))
def test_every_line_is_a_reply(directory, seed):
    chance = random.Random(seed)
    data = b"".join(chance.choices(PIECES, k=80))
    said, _stored = play(directory, cut(data, chance))
    text = b"".join(said)
    assert text.endswith(b"\r\n")
    for line in text[:-2].split(b"\r\n"):
        assert re.fullmatch(rb"[2-5]\d\d[ -][\x20-\x7e]*", line), line
        assert len(line) <= 510


def test_random_octets(directory):
    chance = random.Random(1)
    for _turn in range(200):
        said, stored = play(directory, [chance.randbytes(chance.randint(1, 400)) for _chunk in range(20)])
        assert not stored and b"".join(said).startswith(b"220 ")
