# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may try another password: the tables, with a clock that the test moves."""

from __future__ import annotations

import tracemalloc

import pytest
from postern.receiving import Receiving
from postern.smtp.access import peer_group
from postern.smtp.guesses import MOST, Counts, Guesses

HERE, THERE = "192.0.2.1", "192.0.2.2"
THEIRS = "failures of this address"
FOR_IT = "failures for this account"
OWN = "failures of this address for this account"


class Clocked:
    """The tables, their clock and their log."""

    def __init__(self, **limits) -> None:
        self.now = 50_000.0
        self.log: list[dict] = []
        settings = Receiving(**{"peer_auth_failures": 3, "account_auth_failures": 5, "auth_window": 600.0, **limits})
        self.guesses = Guesses(settings, lambda: self.now, lambda name, **fields: self.log.append(fields))

    def fail(self, peer: str, login: str, times: int = 1) -> None:
        for _turn in range(times):
            self.guesses.wrong(peer, login, exists=True)

    def may(self, peer: str, login: str) -> str:
        return self.guesses.put_off(peer, login)


def test_an_address_that_failed_too_often():
    one = Clocked()
    one.fail(HERE, "a@x", 2)
    assert one.may(HERE, "a@x") == ""
    one.fail(HERE, "b@x")
    assert [one.may(HERE, login) for login in ("a@x", "b@x", "c@x", "nobody")] == [THEIRS] * 4
    assert one.may(THERE, "a@x") == ""
    one.now += 599
    assert one.may(HERE, "a@x") == THEIRS
    one.now += 1
    assert one.may(HERE, "a@x") == ""
    one.fail(HERE, "a@x", 2)
    assert one.may(HERE, "a@x") == ""


def test_an_account_that_was_guessed_at_from_many_addresses():
    one = Clocked()
    for number in range(5):
        assert one.may(f"198.51.100.{number}", "a@x") == ""
        one.fail(f"198.51.100.{number}", "A@X" if number % 2 else "a@x")
    assert (one.may(HERE, "a@x"), one.may(HERE, "b@x")) == (FOR_IT, "")
    one.now += 600
    assert one.may(HERE, "a@x") == ""


def test_an_owner_is_not_locked_out_by_others():
    one = Clocked()
    one.guesses.right(HERE, "a@x")
    for number in range(50):
        one.fail(f"198.51.100.{number}", "a@x")
    assert (one.may(HERE, "a@x"), one.may(THERE, "a@x")) == ("", FOR_IT)


def test_nor_by_others_at_the_same_address():
    """A whole office behind one address, and somebody in it who guesses."""
    one = Clocked()
    one.guesses.right(HERE, "a@x")
    one.fail(HERE, "b@x", 50)
    assert (one.may(HERE, "a@x"), one.may(HERE, "b@x"), one.may(HERE, "c@x")) == ("", THEIRS, THEIRS)


def test_a_device_with_an_old_password_hurts_itself_only():
    one = Clocked()
    one.guesses.right(HERE, "a@x")
    one.fail(HERE, "a@x", 50)
    assert (one.may(HERE, "a@x"), one.may(HERE, "b@x"), one.may(THERE, "a@x")) == (OWN, "", "")
    one.now += 600
    assert one.may(HERE, "a@x") == ""


def test_a_login_does_not_undo_failures():
    """Or who has an account could guess for ever, with a login of his own now and then."""
    one = Clocked()
    one.fail(HERE, "b@x", 2)
    one.guesses.right(HERE, "mine@x")
    one.fail(HERE, "b@x")
    assert (one.may(HERE, "b@x"), one.may(HERE, "mine@x")) == (THEIRS, "")


def test_known_good_ends():
    one = Clocked()
    one.guesses.right(HERE, "a@x")
    one.now += 31 * 86_400
    one.fail(HERE, "b@x", 3)
    assert one.may(HERE, "a@x") == THEIRS


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"peer_auth_failures": 0}, FOR_IT),
        ({"account_auth_failures": 0}, THEIRS),
        ({"peer_auth_failures": 0, "account_auth_failures": 0}, ""),
    ],
)
def test_no_limit(limits, expected):
    one = Clocked(**limits)
    one.fail(HERE, "a@x", 100)
    assert one.may(HERE, "a@x") == expected


def test_a_customer_of_ipv6_is_one_peer():
    one = Clocked()
    for number in range(3):
        one.fail(f"2001:db8:1:2::{number}", "a@x")
    assert one.may("2001:db8:1:2:ffff::1", "a@x") == THEIRS
    assert one.may("2001:db8:1:3::1", "a@x") == ""


def test_what_one_peer_is():
    assert peer_group("2001:db8::1") == peer_group("2001:DB8:0:0:ffff::") != peer_group("2001:db8:0:1::1")
    assert len({peer_group(HERE), peer_group(THERE), peer_group("::1")}) == 3


def test_that_a_limit_was_reached_is_said_once_and_names_no_stranger():
    one = Clocked()
    for number in range(10):
        one.guesses.wrong(f"198.51.100.{number}", "pass-word-in-the-wrong-field", exists=False)
        one.guesses.wrong(HERE, "a@x", exists=True)
    assert one.log == [
        {"level": "warning", "result": "too many failures", "failures": 3, "peer": HERE},
        {"level": "warning", "result": "too many failures", "failures": 5, "user": ""},
        {"level": "warning", "result": "too many failures", "failures": 5, "user": "a@x"},
    ]


def test_a_flood_does_not_grow_the_tables():
    tracemalloc.start()
    try:
        one = Clocked()
        one.fail(HERE, "a@x", 3)
        for number in range(3 * MOST):
            address = f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"
            one.guesses.wrong(address, "x" * 3000 + str(number), exists=False)
            one.guesses.right(address, f"{number}@x")
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert size < 10_000_000
    # Who is put off already does not get out of it by having others fail.
    assert one.may(HERE, "b@x") == THEIRS


def test_what_is_over_goes_first():
    counts = Counts(window=10, most=100)
    for number in range(100):
        counts.add(b"old%d" % number, 0)
    for number in range(100):
        counts.add(b"new%d" % number, 20)
    assert len(counts) == 100 and all(counts.of(b"new%d" % number, 21) == 1 for number in range(100))


def test_those_with_the_most_failures_stay():
    counts = Counts(window=10, most=100)
    for number in range(100):
        for _turn in range(1 + number % 4):
            counts.add(b"%d" % number, 0)
    counts.add(b"one more", 1)
    assert len(counts) == 51
    assert all(counts.of(b"%d" % number, 1) for number in range(3, 100, 4))
