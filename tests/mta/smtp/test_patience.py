# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a client may take: real sessions and a clock that the test moves."""

from __future__ import annotations

import asyncio
import math

import pytest
import wire_server
from postern.emulation import ITSELF
from postern.receiving import Receiving
from postern.rules.compiled import Compiled
from postern.smtp.patience import Patience, Terms
from postern.smtp.session import Session
from postern.smtp.state import CheckPassword, Ends, Site, StoreMessage

BEGUN = 1_000.0
ENVELOPE = b"MAIL FROM:<a@example.test>\r\nRCPT TO:<u1@example.test>\r\n"


class Client:
    """A session and its patience; ``at`` moves the clock."""

    def __init__(self, directory, terms: Terms) -> None:
        rules = asyncio.run(Compiled(ITSELF).ready(wire_server.OPEN_SCRIPT.encode()))
        site = Site(
            server_name="mx.example.test",
            rules=rules,
            accounts=directory,
            new_id=lambda: 1,
            clock=lambda: 0.0,
            log=lambda *_args, **_fields: None,
        )
        self.session = Session(site, Ends("192.0.2.1", 1, "192.0.2.2", 25))
        self.session.open()
        self.patience = Patience(terms, BEGUN)
        self.now = 0.0

    def at(self, now: float, data: bytes) -> bool:
        """Send ``data`` that many seconds after the beginning; answer what the session asks for at once."""
        self.now = now
        output = self.session.receive(data)
        looked = self.patience.heard(self.session, len(data), BEGUN + now)
        if isinstance(output.action, StoreMessage):
            self.session.stored()
            self.patience.answered(self.session, BEGUN + now)
        elif isinstance(output.action, CheckPassword):
            self.session.password_checked(output.action.login)
            self.patience.answered(self.session, BEGUN + now)
        return looked

    def ends(self) -> tuple[float, str]:
        """When this client's time is up if it does nothing more, seconds after the beginning, and why.

        Goes from look to look as the connection does; no reason is ever given before the look that was asked for.
        """
        now = BEGUN + self.now
        for _turn in range(1000):
            reason = self.patience.spent(self.session, now)
            if reason:
                return now - BEGUN, reason
            following = self.patience.look_at(self.session, now)
            if following == math.inf:
                return math.inf, ""
            assert following > now
            assert not self.patience.spent(self.session, (following + now) / 2)
            now = following
        raise AssertionError("looked at for ever")


@pytest.fixture
def client(directory):
    """A function: a greeted client under these terms."""

    def make(idle: int = 300, port: int = 25, crowded=lambda: False, **receiving) -> Client:
        made = Client(directory, Terms.of(idle, port, Receiving(**receiving), crowded))
        made.at(0, b"EHLO client.example.test\r\n")
        return made

    return make


def test_silence(client):
    one = client()
    assert one.ends() == (300, "timeout")
    one.at(100, b"NOOP\r\n")
    assert one.ends() == (400, "timeout")


def test_no_limit_is_none(client):
    one = client(idle=0, transaction_time=0, crowded_idle=0)
    assert one.ends() == (math.inf, "")
    one.at(50, b"N")
    assert one.ends() == (350, "slow feeding")
    one.at(60, b"OOP\r\n")
    assert one.ends() == (math.inf, "")


def test_octets_are_no_commands(client):
    """One octet in ten seconds keeps nobody alive."""
    one = client()
    for number in range(1, 29):
        one.at(10 * number, b"N")
    assert one.ends() == (300, "timeout")


def test_a_line_that_was_begun_late_has_its_whole_span(client):
    one = client(idle=3600, transaction_time=0)
    one.at(3000, b"N")
    assert one.ends() == (3300, "slow feeding")


def test_the_rest_of_a_group_is_a_line_of_its_own(client):
    one = client(idle=3600, transaction_time=0)
    one.at(100, b"NOO")
    one.at(200, b"P\r\nNOO")
    assert one.ends() == (500, "slow feeding")


def test_a_line_that_is_too_long_has_no_more_time(client):
    one = client(idle=3600, transaction_time=0)
    for number in range(5):
        one.at(10 + number, b"x" * 3000)
    assert one.ends() == (310, "slow feeding")


def test_a_text_stops(client):
    """RFC 5321 section 4.5.3.2.5: three minutes; the idle timeout where that is less."""
    for idle, silence in ((300, 180), (0, 180), (60, 60)):
        one = client(idle=idle)
        one.at(1, ENVELOPE + b"DATA\r\n")
        one.at(2, b"x" * 70_000)
        assert one.ends() == (2 + silence, "timeout")


def test_a_text_that_drips_from_its_beginning(client):
    one = client()
    one.at(0, ENVELOPE + b"DATA\r\n")
    for number in range(1, 30):
        one.at(10 * number, b"x")
    when, reason = one.ends()
    assert reason == "slow feeding" and 300 <= when < 301


def test_a_text_that_was_fast_and_drips_then(client):
    """Ten megabytes at once are paid for five minutes, as the first octet is."""
    one = client()
    one.at(0, ENVELOPE + b"DATA\r\n")
    one.at(1, b"x" * 9_000_000)
    for number in range(1, 30):
        one.at(1 + 10 * number, b"x")
    when, reason = one.ends()
    assert reason == "slow feeding" and 301 <= when < 302


def test_a_text_at_the_floor_speed_goes_on_for_ever(client):
    one = client()
    one.at(0, ENVELOPE + b"DATA\r\n")
    for number in range(1, 300):
        one.at(100 * number, b"x" * 50_000)
        assert one.ends() == (100 * number + 180, "timeout")


def test_no_floor(client):
    one = client(floor_speed=0)
    one.at(0, ENVELOPE + b"DATA\r\n")
    for number in range(1, 100):
        one.at(100 * number, b"x")
    assert one.ends() == (9900 + 180, "timeout")


def test_no_message_for_ten_minutes(client):
    one = client()
    for number in range(1, 12):
        one.at(50 * number, b"NOOP\r\n")
    assert one.ends() == (600, "no message for too long")


def test_a_message_begins_the_ten_minutes_anew(client):
    one = client()
    one.at(290, ENVELOPE + b"DATA\r\n")
    one.at(400, b"x\r\n.\r\n")
    for number in range(1, 12):
        one.at(400 + 50 * number, b"NOOP\r\n")
    assert one.ends() == (1000, "no message for too long")


def test_a_message_in_one_piece_does_too(client):
    one = client()
    one.at(290, ENVELOPE + b"DATA\r\nx\r\n.\r\n")
    for number in range(1, 12):
        one.at(290 + 50 * number, b"NOOP\r\n")
    assert one.ends() == (890, "no message for too long")


def test_a_transaction_has_twice_the_time_and_no_more(client):
    one = client()
    one.at(290, ENVELOPE)
    for number in range(2, 24):
        one.at(50 * number + 200, b"NOOP\r\n")
        if 50 * number + 250 >= 1200:
            break
    assert one.ends() == (1200, "no message for too long")


def test_who_logged_in_stays(client):
    one = client()
    one.at(1, b"AUTH PLAIN AHUxQGV4YW1wbGUudGVzdABzM2NyZXQ=\r\n")
    assert one.session.user
    for number in range(1, 100):
        one.at(250 * number, b"NOOP\r\n")
    assert one.ends() == (250 * 99 + 300, "timeout")


def test_a_longer_idle_timeout_is_meant(client):
    one = client(idle=1200)
    assert one.ends() == (1200, "timeout")


def test_a_crowded_listener(client):
    one = client(crowded=lambda: True)
    assert one.ends() == (60, "timeout on a crowded listener")
    one.at(50, b"NOOP\r\n")
    assert one.ends() == (110, "timeout on a crowded listener")


def test_a_listener_that_becomes_crowded(client):
    """Who has been silent for a minute goes within ten seconds."""
    full = []
    one = client(crowded=lambda: bool(full))
    assert one.ends() == (300, "timeout")
    full.append(True)
    one.now = 150
    assert one.ends() == (150, "timeout on a crowded listener")


@pytest.mark.parametrize("special", [{"port": 587}, {"port": 465}, {"crowded_idle": 0}])
def test_crowded_is_not_about_submission(client, special):
    assert client(crowded=lambda: True, **special).ends() == (300, "timeout")


def test_crowded_is_not_about_texts_nor_about_who_logged_in(client):
    one = client(crowded=lambda: True)
    one.at(1, ENVELOPE + b"DATA\r\n")
    assert one.ends() == (181, "timeout")
    other = client(crowded=lambda: True)
    other.at(1, b"AUTH PLAIN AHUxQGV4YW1wbGUudGVzdABzM2NyZXQ=\r\n")
    assert other.ends() == (301, "timeout")


def test_a_shorter_idle_timeout_counts_on_a_crowded_listener_too(client):
    assert client(idle=20, crowded=lambda: True).ends() == (20, "timeout")


def test_a_limit_that_may_come_first_is_told(client):
    """The connection is looked at anew only then: whatever else happens makes its time longer."""
    one = client(idle=3600)
    assert [one.at(now, data) for now, data in enumerate((b"NO", b"OP", b"\r\n", ENVELOPE + b"DATA\r\n", b"x"), 1)] == [
        True,
        False,
        False,
        True,
        False,
    ]
