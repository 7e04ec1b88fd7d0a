# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wrong passwords on sockets: limits of a connection, of an address, of an account, of the checks at a time."""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter

import pytest
import scramp
from postern.directory import Directory
from wire_peer import Peer, b64, plain
from wire_server import PASSWORD, USER, listener

PUT_OFF = "454 4.7.0 too many authentication failures, try again later\r\n"
WRONG = "535 5.7.8 authentication credentials invalid\r\n"


def attempt(server, source: str, user: str = USER, password: str = "wrong") -> str:
    """The reply to a login from an address."""
    with Peer("127.0.0.1", server.port(), source) as peer:
        peer.start()
        return peer.say(f"AUTH PLAIN {plain(user, password)}")[1]


@pytest.fixture
def guarded(make_server):
    """A server that takes three failures of an address and five for an account."""
    server = make_server(peer_auth_failures=3, account_auth_failures=5)
    server.activate(listener(), max_auth_errors=0)
    return server


def test_an_address_that_failed_three_times(guarded):
    users = (USER, "nobody@example.test", "u2@example.test")
    assert [attempt(guarded, "127.0.0.11", user) for user in users] == [WRONG] * 3
    # Whoever it is, and whether the password is right or not.
    assert attempt(guarded, "127.0.0.11", USER, PASSWORD) == PUT_OFF
    assert attempt(guarded, "127.0.0.11", "nobody@example.test") == PUT_OFF
    assert attempt(guarded, "127.0.0.12", USER, PASSWORD).startswith("235 ")
    guarded.log.wait("smtp.auth", result="too many failures", level="warning", peer="127.0.0.11", failures=3)
    guarded.log.wait("smtp.auth", result="put off", peer="127.0.0.11", reason="failures of this address")


@pytest.mark.parametrize("user", [USER, "nobody@example.test"])
def test_an_account_that_many_guess_at(guarded, user):
    """One that does not exist is treated alike."""
    if user == USER:
        assert attempt(guarded, "127.0.0.10", USER, PASSWORD).startswith("235 ")
    assert [attempt(guarded, f"127.0.0.{number}", user) for number in range(11, 16)] == [WRONG] * 5
    assert attempt(guarded, "127.0.0.16", user, PASSWORD) == PUT_OFF
    assert attempt(guarded, "127.0.0.16", "u2@example.test") == WRONG
    if user == USER:
        # Its owner is where it was before, and goes on.
        assert attempt(guarded, "127.0.0.10", USER, PASSWORD).startswith("235 ")
    guarded.log.wait("smtp.auth", result="too many failures", user=USER if user == USER else "", failures=5)


def test_what_is_put_off_is_not_asked_for_a_password(guarded):
    for _turn in range(3):
        attempt(guarded, "127.0.0.11")
    with Peer("127.0.0.1", guarded.port(), "127.0.0.11") as peer:
        peer.start()
        assert peer.say(f"AUTH LOGIN {b64(USER)}")[1] == PUT_OFF
        client = scramp.ScramClient(["SCRAM-SHA-256"], USER, PASSWORD)
        assert peer.say(f"AUTH SCRAM-SHA-256 {b64(client.get_client_first())}")[1] == PUT_OFF
        # The session goes on.
        peer.expect("MAIL FROM:<a@example.test>", 250)


def test_scram_counts_too(guarded):
    for user in (USER, "nobody@example.test", USER):
        with Peer("127.0.0.1", guarded.port(), "127.0.0.11") as peer:
            peer.start()
            client = scramp.ScramClient(["SCRAM-SHA-256"], user, "wrong")
            challenge = peer.expect(f"AUTH SCRAM-SHA-256 {b64(client.get_client_first())}", 334)
            client.set_server_first(base64.b64decode(challenge[4:]).decode())
            assert peer.say(b64(client.get_client_final()))[1] == WRONG
    assert attempt(guarded, "127.0.0.11", USER, PASSWORD) == PUT_OFF


@pytest.mark.parametrize(("limit", "refused"), [(1, 1), (3, 3), (5, 5), (0, 8)])
def test_failures_of_one_connection(make_server, limit, refused):
    """The attribute decides; 0 is no limit."""
    server = make_server()
    server.activate(listener(), max_auth_errors=limit)
    with Peer("127.0.0.1", server.port()) as peer:
        peer.start()
        assert [peer.say(f"AUTH PLAIN {plain(USER, 'wrong')}")[1] for _turn in range(refused)] == [WRONG] * refused
        if limit:
            assert peer.reply()[1].startswith("421 4.7.0 ")
            assert peer.is_closed()
        else:
            peer.expect("NOOP", 250)


def test_neither_guesses_nor_names_that_do_not_exist_are_logged(guarded):
    for number in range(8):
        attempt(guarded, f"127.0.0.{11 + number % 2}", "a-secret-in-the-wrong-field", "guess-word")
    text = json.dumps(guarded.log.records)
    for secret in ("a-secret-in-the-wrong-field", "guess-word", b64("guess-word")):
        assert secret not in text


# --- checks at a time -----------------------------------------------------------------------------


def at_once(server, *logins: tuple[str, str, str]) -> Counter[int]:
    """Log in with (source, user, password) all at the same moment; how often each code came."""
    codes: list[int] = []
    ready = threading.Barrier(len(logins))

    def log_in(source: str, user: str, password: str) -> None:
        with Peer("127.0.0.1", server.port(), source) as peer:
            peer.start()
            ready.wait(20)
            codes.append(peer.say(f"AUTH PLAIN {plain(user, password)}")[0])

    threads = [threading.Thread(target=log_in, args=login) for login in logins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(codes) == len(logins)
    return Counter(codes)


@pytest.fixture
def open_server(make_server):
    """A server that counts no failures."""
    server = make_server(peer_auth_failures=0, account_auth_failures=0)
    server.activate(listener())
    return server


def test_too_many_checks_at_once(open_server):
    """Two are computed, eight wait, the others are put off; nobody waits for ever."""
    found = at_once(open_server, *((f"127.0.0.{number}", f"x{number}@x", "x") for number in range(11, 51)))
    assert set(found) == {535, 454} and found[535] >= 10


def test_one_address_leaves_places_for_others(open_server):
    mine = [("127.0.0.11", f"x{number}@x", "x") for number in range(40)]
    found = at_once(open_server, *mine, ("127.0.0.12", USER, PASSWORD))
    assert found[235] == 1 and found[454] > 0 and found[535] >= 5


def test_the_same_login_many_times_is_one_check(open_server):
    """A program that logs in on each of its connections is not put off."""
    assert at_once(open_server, *[("127.0.0.11", USER, PASSWORD)] * 30) == {235: 30}


def test_a_salt_for_nobody_outlives_the_server(tmp_path):
    """One that changed with a restart would tell who does not exist."""
    salts = []
    directory = Directory(str(tmp_path / "directory.sqlite3"))
    directory.create_domain("example.test", "x")
    real = directory.credentials("postmaster@example.test")
    directory.close()
    for _turn in range(2):
        directory = Directory(str(tmp_path / "directory.sqlite3"))
        salts.append([directory.decoy_salt(login) for login in ("A@example.test", "a@Example.Test.", "b@example.test")])
        directory.close()
    assert salts[0] == salts[1]
    first, same, other = salts[0]
    assert first == same != other and len(first) == len(real.scram_salt)
