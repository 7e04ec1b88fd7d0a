# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The session core under random use: whatever comes, however it is cut, it says the same and never breaks.

Two sessions hear the same octets. One hears each step in one piece and has its actions done behind it; the other hears
it in small pieces, and its actions are done while octets arrive. The queue and the password check fail now and then,
for both at the same point. Pieces of long texts are tiny, so that everything happens at their borders too.
"""

from __future__ import annotations

import base64
import itertools
import re

import pytest
import scramp
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from postern.smtp.state import Mode, StartTls
from session_peer import SessionPeer, check_password, make_site
from wire_peer import b64, plain
from wire_server import PASSWORD, USER

POLICY = """
event onEhlo { set (localDelivery, "all"); set (maxDataSize, "1"); set (maxReceivedHeaders, "3"); }
event onMailFrom { call (Sender); }
event onDataReceived { call (Text); }
method Sender { if (is (mailFromDomain, "bad.test")) { set (smtpAction, "reject"); } }
method Text { if (is (mailFrom, "text@x.test")) { set (smtpAction, "tmpreject"); } }
"""
BEGIN = b"RSET\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<u1@example.test>\r\nDATA\r\n"
#: Without STARTTLS: what it does depends on what arrived with it, so it has rules of its own.
FRAGMENTS = [
    BEGIN, BEGIN, BEGIN + b"\r\nx\r\n..\r\n.\r\n", b"EHLO client\r\n", b"EHLO client\r\n", b"HELO client\r\n",
    b"MAIL FROM:<text@x.test> SIZE=10 BODY=8BITMIME\r\n", "MAIL FROM:<é@bücher.test> SMTPUTF8\r\n".encode(),
    b"MAIL FROM:<a@bad.test>\r\n", b"RCPT TO:<u1@example.test>\r\n", "RCPT TO:<é@x.test>\r\n".encode(),
    b"RCPT TO:<x@elsewhere.test>\r\n", b"RCPT TO:<Postmaster>\r\n", b"DATA\r\n", b"Subject: x\r\n\r\n", b".\r\n",
    b"\r\n.\r\n", b"..\r\n", b"Received: x\r\n", b"RSET\r\n", b"NOOP\r\n", b"VRFY x\r\n", b"AUTH PLAIN\r\n",
    b"AUTH LOGIN\r\n", b"AUTH SCRAM-SHA-256\r\n", b"*\r\n", b"=\r\n", b"AUTH LOGIN dTFAZXhhbXBsZS50ZXN0\r\n",
    b"AUTH PLAIN " + plain(USER, PASSWORD).encode() + b"\r\n", b"AUTH PLAIN " + plain(USER, "x").encode() + b"\r\n",
    b64(USER).encode() + b"\r\n", b64(PASSWORD).encode() + b"\r\n", b"\n", b"\r", b"\0", b"\r\n", b"\xff\xfe\r\n",
    b"." * 40, b"x" * 700, b"AUTH " + b"A" * 12_300 + b"\r\n", b"x" * 2100, b"HELP\r\n",
]  # fmt: skip
STREAMS = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=6), min_size=1, max_size=8).map(b"".join)
#: How many octets come together, and whether an action is done behind them.
CUTS = st.lists(st.tuples(st.integers(1, 12) | st.integers(1, 900), st.booleans()), min_size=1, max_size=12)
#: Commands whose reply does not depend on what was before.
SIMPLE = {b"NOOP": 250, b"VRFY x": 252, b"EXPN x": 502, b"HELP": 214, b"BDAT 0 LAST": 502, b"XYZ": 500, b"RSET": 250}
LINES = st.lists(st.sampled_from([b"", b".", b"..", b".x", b"x", b"x" * 63, b"Received: x", b"x."]), max_size=60)
LINE = re.compile(rb"[2-5]\d\d[ -][\x20-\x7e]{0,506}")


class Sessions(RuleBasedStateMachine):
    """``one`` hears whole steps, ``other`` hears pieces."""

    directory = None

    @initialize(
        piece=st.sampled_from([5, 6, 7, 16, 64, 1000]),
        troubles=st.lists(st.sampled_from([*[""] * 10, "full", "failed"]), min_size=1, max_size=12),
        checks=st.lists(st.sampled_from([True, True, False]), min_size=1, max_size=5),
        implicit=st.booleans(),
    )
    def begin(self, piece, troubles, checks, implicit):
        self.one, self.other = (self._peer(piece, troubles, checks, implicit) for _turn in range(2))
        self.pair = (self.one, self.other)
        if implicit:
            self._secure()

    def _peer(self, piece, troubles, checks, implicit) -> SessionPeer:
        trouble, possible = itertools.cycle(troubles), itertools.cycle(checks)
        numbers = itertools.count(1)
        # Errors enough for a long session, guesses enough to be sent away.
        site = make_site(
            self.directory, script=POLICY, piece=piece, max_errors=60, max_auth_errors=3, new_id=lambda: next(numbers)
        )
        return SessionPeer(
            site,
            implicit,
            trouble=lambda: next(trouble),
            check=lambda login, password: check_password(login, password) if next(possible) else None,
        )

    def _send(self, data: bytes, cuts) -> bytes:
        """Both hear ``data``; returns what they said."""
        before = len(self.one.said)
        self.one.send(data)
        position = 0
        for size, act in itertools.cycle(cuts):
            if position >= len(data):
                break
            self.other.feed(data[position : position + size])
            position += size
            if act:
                self.other.act()
        self.other.send(b"")
        return self.one.said[before:]

    def _secure(self) -> None:
        for peer in self.pair:
            peer.secure()

    def _is_idle(self) -> bool:
        """Whether the next octet begins a command."""
        session = self.one.session
        return self._hears() and session.mode is Mode.COMMAND and not session.bytes_behind()

    def _hears(self) -> bool:
        return not self.one.closed and self.one.action is None

    def _is_worn(self) -> bool:
        """A session in which something was done: what ends it may come now."""
        return self._is_idle() and self.one.session.tally.commands > 15

    # --- what a client does -----------------------------------------------------------------------

    @precondition(_hears)
    @rule(data=STREAMS, cuts=CUTS)
    def say(self, data, cuts):
        self._send(data, cuts)

    @precondition(_is_idle)
    @rule(commands=st.lists(st.sampled_from(sorted(SIMPLE)), min_size=1, max_size=9), cuts=CUTS)
    def say_a_group(self, commands, cuts):
        """RFC 2920 section 3.2: one reply each, in order."""
        said = self._send(b"".join(command + b"\r\n" for command in commands), cuts)
        codes = [int(line[:3]) for line in said.split(b"\r\n") if line]
        expected = [SIMPLE[command] for command in commands]
        if self.one.closed:
            assert codes.pop() == 421
            expected = expected[: len(codes)]
        assert codes == expected

    @precondition(_is_idle)
    @rule(texts=st.lists(LINES, min_size=1, max_size=4), cuts=CUTS)
    def send_messages(self, texts, cuts):
        """What is stored is what was sent, or nothing is. RFC 2920 section 3.1: one transaction behind the other."""
        # The header is empty, so that nothing in the text is one.
        texts = [b"\r\n" + b"".join(line + b"\r\n" for line in lines) for lines in texts]
        wire = b"".join(BEGIN + text.replace(b"\r\n.", b"\r\n..") + b".\r\n" for text in texts)
        before = len(self.one.stored)
        said = self._send(b"HELO client\r\n" + wire, cuts).split(b"\r\n")[1:-1]
        if self.one.closed:
            return
        # RSET, MAIL, RCPT, DATA and the reply to the end of the text.
        assert len(said) == 5 * len(texts)
        stored = iter(self.one.stored[before:])
        for position, text in enumerate(texts):
            code = said[5 * position + 4][:3]
            if code == b"250":
                _header, _end, kept = next(stored)[1].partition(b" -0000\r\n")
                assert kept == text and len(text) <= 1024
            else:
                assert code in (b"451", b"452") or (code == b"552" and len(text) > 1024)
        assert next(stored, None) is None
        # RFC 5321 section 4.1.1.4: the end of a text ends the transaction, whatever became of it.
        assert self.one.session.transaction is None

    @precondition(_is_worn)
    @rule(lines=LINES, place=st.integers(0, 500), cuts=CUTS,
          flaw=st.sampled_from([b"\r", b"\n", b"\0", b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n"]))  # fmt: skip
    def smuggle(self, lines, flaw, place, cuts):
        """Where a text ends is beyond doubt, or the connection does too."""
        wire = b"\r\n" + b"".join((b"." if line[:1] == b"." else b"") + line + b"\r\n" for line in lines)
        place = wire.rfind(b"\n", 0, min(place, len(wire) - 2)) + 1
        wire = wire[:place] + b"x" + flaw + b"x" + wire[place:]
        before = len(self.one.stored)
        said = self._send(b"HELO client\r\n" + BEGIN + wire + b".\r\nNOOP\r\n", cuts)
        assert self.one.closed and len(self.one.stored) == before
        assert said.split(b"\r\n")[-2][:3] == (b"550" if len(wire) <= 2048 else b"552") or b"\r\n421 " in said

    @precondition(_is_idle)
    @rule(password=st.sampled_from([PASSWORD, PASSWORD, "wrong"]), user=st.sampled_from([USER, "x@x.test"]), cuts=CUTS)
    def log_in_by_scram(self, password, user, cuts):
        client = scramp.ScramClient(["SCRAM-SHA-256"], user, password, c_nonce="client")
        said = self._send(b"EHLO c\r\nAUTH SCRAM-SHA-256 " + b64(client.get_client_first()).encode() + b"\r\n", cuts)
        if not said.rsplit(b"\r\n", 2)[-2].startswith(b"334 "):
            return
        client.set_server_first(base64.b64decode(said.rsplit(b"\r\n", 2)[-2][4:]).decode())
        said = self._send(b64(client.get_client_final()).encode() + b"\r\n", cuts)
        if said.startswith(b"334 "):
            assert (user, password) == (USER, PASSWORD)
            said = self._send(b"\r\n", cuts)
            assert said.startswith((b"235 ", b"454 ")) and self.one.session.user in (USER, "")
        else:
            assert (user, password) != (USER, PASSWORD) and not self.one.session.user

    # --- TLS --------------------------------------------------------------------------------------

    @precondition(_is_idle)
    @rule(before=st.sampled_from([b"", b"EHLO x\r\n", BEGIN[:-6]]), cuts=CUTS)
    def ask_for_tls(self, before, cuts):
        self._send(before + b"STARTTLS\r\n", cuts)

    @precondition(lambda self: isinstance(self.one.action, StartTls))
    @rule(injected=st.sampled_from([b"", b"RSET\r\n", b"MAIL FROM:<a@x.test>\r\n", b"NO"]), data=STREAMS, cuts=CUTS)
    def shake_hands(self, injected, data, cuts):
        """Nothing that came before is answered behind it, and nothing of it is remembered (RFC 3207 section 4.2)."""
        for peer in self.pair:
            assert peer.session.receive(injected).data == b""
        before = len(self.one.said)
        self._secure()
        assert len(self.one.said) == before and not self.one.session.hello and not self.one.session.user
        assert self._send(b"MAIL FROM:<a@x.test>\r\n", cuts).startswith(b"503 5.5.1 send EHLO")

    @precondition(lambda self: self._is_worn() and self.one.session.tls is None)
    @rule(data=st.sampled_from([b"N", b"\r\n", b"RSET\r\n", b"EHLO x\r\n", b"\x16\x03\x01"]))
    def inject_behind_starttls(self, data):
        """RFC 3207 section 4: what came with the command in one piece ends the session."""
        for peer in self.pair:
            before = len(peer.said)
            peer.send(b"STARTTLS\r\n" + data)
            said = peer.said[before:]
            assert peer.closed and said.startswith(b"554 5.5.1 ") and said.count(b"\r\n") == 1

    @precondition(lambda self: self.one.closed)
    @rule(data=STREAMS)
    def talk_to_nobody(self, data):
        for peer in self.pair:
            output = peer.session.receive(data)
            assert output.data == b"" and output.action is None

    # --- what always holds ------------------------------------------------------------------------

    @invariant()
    def the_cut_changes_nothing(self):
        one, other = self.pair
        assert one.said == other.said
        assert one.stored == other.stored
        assert one.kept == other.kept
        assert (one.closed, one.action) == (other.closed, other.action)
        for name in ("mode", "hello", "extended", "user", "transaction", "tally"):
            assert getattr(one.session, name) == getattr(other.session, name), name

    @invariant()
    def what_is_said_is_smtp(self):
        assert self.one.said.endswith(b"\r\n") or not self.one.said
        for line in self.one.said.split(b"\r\n")[:-1]:
            assert LINE.fullmatch(line), line

    @invariant()
    def each_message_has_one_reply(self):
        said = re.findall(rb"^250 2\.0\.0 queued as ([0-9a-f]{16})\r$", self.one.said, re.MULTILINE)
        assert [int(number, 16) for number in said] == [envelope.id for envelope, _text in self.one.stored]

    @invariant()
    def nothing_is_kept_without_a_text(self):
        assert not self.one.kept or self.one.session.mode is Mode.DATA


@pytest.fixture
def sessions(directory, monkeypatch):
    """The machine, with accounts, and with challenges that do not differ."""
    monkeypatch.setattr(scramp.core.Nonce, "create", lambda: scramp.core.Nonce("server"))
    return type("Sessions", (Sessions,), {"directory": directory})


def test_random_use(sessions):
    run_state_machine_as_test(sessions, settings=settings(max_examples=200, stateful_step_count=20, deadline=None))
