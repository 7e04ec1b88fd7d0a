# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Peers that are silent, slow, gone, talk nonsense or lie, and a conversation that is called off."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import threading

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._probe.sink import Sink
from conversation_harness import BODY, LIMITS, Scripted, conversation, talk
from postern.delivery.conversation import HostFailed
from postern.delivery.wire import Wire

pytestmark = pytest.mark.filterwarnings("error")

#: A limit that is over before a busy machine has looked at it twice.
SHORT = 0.2
#: More than the sockets of both ends hold.
LARGE = b"x" * 70 + b"\r\n"
LARGE = LARGE * 400_000


def limits(**short: float):
    """Long limits with some short ones."""
    return dataclasses.replace(LIMITS, **short)


def failure(peer, level: str = "none", **choices) -> HostFailed:
    """What a conversation with a bad peer ends in."""
    with pytest.raises(HostFailed) as failed:
        talk(peer, level, **choices)
    return failed.value


@pytest.mark.parametrize(
    "moment, limit, reason",
    [
        ("CONNECT", "banner", "no greeting within the time limit"),
        ("EHLO", "hello", "no reply to EHLO within the time limit"),
        ("MAIL", "mail", "no reply to MAIL within the time limit"),
        ("RCPT", "rcpt", "no reply to RCPT within the time limit"),
        ("DATA", "data", "no reply to DATA within the time limit"),
    ],
)
def test_a_silent_peer_is_left_at_the_limit_of_the_step(moment, limit, reason):
    with Sink(starttls=False, silent=moment) as sink:
        failed = failure(sink, limits=limits(**{limit: SHORT}))
        sink.wait_idle()
    assert (failed.reason, failed.status, failed.tls) == (reason, "4.4.2", False)


@pytest.mark.parametrize("moment", ["CONNECT", "BANNER", "EHLO", "MAIL", "RCPT", "DATA"])
def test_a_peer_that_closes(moment):
    with Sink(starttls=False, closes=moment) as sink:
        failed = failure(sink)
    assert failed.status == "4.4.2" and "the peer closed the connection before the" in failed.reason


def test_nobody_listens():
    with Scripted(lambda line: None) as peer:
        pass
    failed = failure(peer)
    assert (failed.reason, failed.status) == ("no connection: connection refused", "4.4.1")


def test_a_host_that_does_not_answer_the_connection():
    # A listener whose queue is full lets connections hang, as a filter that drops packets does.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = []
        try:
            for _each in range(8):
                one = socket.socket()
                one.setblocking(False)
                one.connect_ex(address)
                waiting.append(one)
            hop = type("Full", (), {"address": address[0], "port": address[1]})
            failed = failure(hop, limits=limits(connect=SHORT))
        finally:
            for one in waiting:
                one.close()
    assert (failed.reason, failed.status) == (f"no connection within {SHORT:g} s", "4.4.1")


@pytest.mark.parametrize("ending", ["closes", "silent"])
def test_no_reply_to_the_final_dot_is_no_host_failure(ending):
    """The message may be through: it waits, and does not go to the next host at once."""
    with Sink(starttls=False, **{ending: "."}) as sink:
        result = talk(sink, "none", limits=limits(final=SHORT if ending == "silent" else 30.0))
    outcome = result.outcomes["b@example.test"]
    assert (outcome.kind, outcome.status) == ("deferred", "4.4.2")
    assert outcome.text.endswith("; the peer may have taken the message")


@contextlib.contextmanager
def stops_reading(*words: bytes):
    """A peer that reads the beginning of a message, says ``words`` and reads no more."""

    def act(line):
        line.hello()
        line.answer(b"250 OK", b"250 OK", b"354 go on")
        line.read()
        line.send(b"".join(word + b"\r\n" for word in words))
        done.wait(30.0)

    done = threading.Event()
    with Scripted(act) as peer:
        try:
            yield peer
        finally:
            done.set()


def test_a_peer_that_takes_no_more_of_the_message():
    with stops_reading() as peer:
        failed = failure(peer, body=LARGE, limits=limits(block=SHORT))
    assert failed.reason == f"the peer took no part of the message for {SHORT:g} s" and failed.status == "4.4.2"


def test_a_peer_that_closes_within_the_message():
    with Sink(starttls=False, closes="CONTENT") as sink:
        failed = failure(sink, body=LARGE)
    assert failed.status == "4.4.2" and "may have taken" not in failed.reason


@pytest.mark.parametrize("reply, found", [(b"552 5.3.4 enough", "failed 5.3.4"), (b"451 4.3.1 full", "deferred 4.3.1")])
def test_a_refusal_within_the_message_counts(reply, found):
    with stops_reading(reply) as peer:
        outcome = talk(peer, "none", body=LARGE).outcomes["b@example.test"]
    assert f"{outcome.kind} {outcome.status}" == found


def test_an_acceptance_within_the_message_is_none():
    with stops_reading(b"250 2.0.0 taken") as peer:
        failed = failure(peer, body=LARGE)
    assert (failed.reason, failed.status) == ("the peer answered 250 before the message was through", "4.5.0")


@pytest.mark.parametrize(
    "replies", [(b"250 OK", b"250 OK", b"250 OK"), (b"250 OK", b"354 OK"), (b"354 OK",)], ids=["DATA", "RCPT", "MAIL"]
)
def test_a_reply_of_the_wrong_kind_is_no_consent(replies):
    def act(line):
        line.hello()
        line.answer(*replies, b"221 bye")

    with Scripted(act) as peer:
        found = talk(peer, "none").outcomes["b@example.test"]
    assert (found.kind, found.status) == ("deferred", "4.5.0")


GARBAGE = {
    "binary": bytes(range(128, 256)) + b"\r\n",
    "nul": b"\0\0\0\0\r\n",
    "html": b"<html>\r\n<body>\r\n",
    "no number": b"hello there\r\n",
    "short number": b"25 OK\r\n",
    "long number": b"2500\r\n"[:2] + b"x\r\n",
    "number of a class that is none": b"999 OK\r\n",
    "signed": b"+25 OK\r\n",
    "underscore": b"2_5 OK\r\n",
    "negative": b"-25 OK\r\n",
    "empty line": b"\r\n",
    "long line": b"220 " + b"x" * 9000 + b"\r\n",
    "line without end": b"220 " + b"x" * 100_000,
    "reply without end": b"220-" + b"x" * 70 + b"\r\n",
}
GARBAGE["reply without end"] *= 1000


@pytest.mark.parametrize("what", GARBAGE)
@pytest.mark.parametrize("step", ["greeting", "reply to EHLO", "reply to MAIL"])
def test_garbage_is_named_and_bounded(what, step):
    def act(line):
        if step != "greeting":
            line.send(b"220 hi\r\n")
            line.line()
        if step == "reply to MAIL":
            line.send(b"250 me\r\n")
            line.line()
        line.send(GARBAGE[what])
        line.hang()

    with Scripted(act) as peer:
        failed = failure(peer)
    assert failed.status == "4.5.0" and not failed.tls
    assert failed.reason.startswith(f"the {step} is no SMTP reply") and failed.reason.isprintable()
    assert len(failed.reason) < 300


def test_a_reply_that_drips_is_left_at_the_limit():
    def act(line):
        line.send(b"220")
        line.sock.settimeout(0.02)
        while True:
            try:
                line.read()
            except TimeoutError:
                line.send(b"x")

    with Scripted(act) as peer:
        failed = failure(peer, limits=limits(banner=SHORT * 2))
    assert (failed.reason, failed.status) == ("no greeting within the time limit", "4.4.2")


def test_a_second_reply_is_never_taken_for_the_next_command():
    def act(line):
        line.hello()
        line.line()
        line.send(b"550 no sender\r\n250 OK\r\n")
        line.hang()

    def early(line):
        line.hello()
        line.answer(b"250 OK\r\n250 OK\r\n354 go\r\n250 taken")
        line.hang()

    with Scripted(act) as peer:
        assert talk(peer, "none").outcomes["b@example.test"].code == 550
    with Scripted(early) as peer:
        failed = failure(peer)
    assert (failed.reason, failed.status) == ("the peer sent more than it was asked for", "4.5.0")


@pytest.mark.parametrize("moment", ["CONNECT", "EHLO", "STARTTLS", "HANDSHAKE", "MAIL", "RCPT", "DATA", "."])
def test_a_cancelled_conversation_leaves_nothing(moment, ec_file):
    async def called_off(sink):
        loop = asyncio.get_running_loop()
        complaints: list[dict] = []
        loop.set_exception_handler(lambda _loop, context: complaints.append(context))
        task = asyncio.create_task(conversation(sink, "may"))
        verb = {"CONNECT": "", "HANDSHAKE": "STARTTLS", ".": "DATA"}.get(moment, moment)
        await asyncio.to_thread(sink.wait_session, lambda session: not verb or verb in session.verbs)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Not in a while: now.
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.to_thread(sink.wait_idle)
        assert not complaints

    with Sink(certificate=ec_file, silent=moment) as sink:
        asyncio.run(called_off(sink), debug=True)


def test_a_conversation_that_is_cancelled_as_the_reply_comes_is_cancelled():
    """In the same turn of the loop: asyncio.wait_for forgets it before Python 3.12."""

    async def called_off(peer):
        wire = await Wire.open(peer.address, peer.port, False, 30.0)
        task = asyncio.create_task(wire.banner(30.0))
        wake = wire._wake
        wire._wake = lambda: (wake(), task.cancel())
        await asyncio.sleep(0)
        speak.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await wire.close()

    def act(line):
        speak.wait(30.0)
        line.send(b"220 hi\r\n")
        line.hang()

    speak = threading.Event()
    with Scripted(act) as peer:
        asyncio.run(called_off(peer), debug=True)


def test_a_message_that_is_through_stays_through_when_cancelled_in_the_goodbye():
    async def called_off(sink):
        task = asyncio.create_task(conversation(sink, "none"))
        await asyncio.to_thread(sink.wait_session, lambda session: "QUIT" in session.verbs)
        task.cancel()
        return await task

    with Sink(starttls=False, silent="QUIT") as sink:
        result = asyncio.run(called_off(sink), debug=True)
        sink.wait_idle()
    assert result.outcomes["b@example.test"].kind == "sent"


def test_a_peer_without_manners_costs_no_more_than_the_limit_for_the_goodbye():
    with Sink(starttls=False, silent="QUIT") as sink:
        result = talk(sink, "none", limits=limits(quit=SHORT))
        sink.wait_idle()
        assert sink.wait_message().data == BODY
    assert result.outcomes["b@example.test"].kind == "sent"
