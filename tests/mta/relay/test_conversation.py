# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A conversation with another host: what goes over the wire, and what comes of it for each recipient."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._probe.sink import Sink
from conversation_harness import BODY, LIMITS, Scripted, talk
from postern.delivery.conversation import HostFailed, Limits, Outcome
from postern.delivery.outcome import MAX_PEER_TEXT

pytestmark = pytest.mark.filterwarnings("error")

THREE = ("b@example.test", "c@example.test", "d@example.test")


def kinds(result) -> list[str]:
    """What became of the recipients, in their order."""
    return [outcome.kind for outcome in result.outcomes.values()]


def test_the_steps_and_the_words_of_a_delivery(ec_file):
    with Sink(certificate=ec_file, keywords=("SIZE 10000", "8BITMIME")) as sink:
        result = talk(sink, sender="", recipients=THREE, eight_bit=True)
        session = sink.wait_session()
    assert [command.line for command in session.commands] == [
        "EHLO client.test",
        "STARTTLS",
        "EHLO client.test",
        f"MAIL FROM:<> SIZE={len(BODY)} BODY=8BITMIME",
        "RCPT TO:<b@example.test>",
        "RCPT TO:<c@example.test>",
        "RCPT TO:<d@example.test>",
        "DATA",
        "QUIT",
    ]
    assert session.clear_verbs == ("EHLO", "STARTTLS")
    assert session.messages[0].recipients == THREE and session.messages[0].data == BODY
    assert result.outcomes["b@example.test"] == Outcome("sent", "2.0.0", "2.0.0 Taken", 250)
    assert kinds(result) == ["sent"] * 3


@pytest.mark.parametrize(
    "body, sent",
    [
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\rb\r", b"a\r\nb\r\n"),
        (b"a\r\r\nb", b"a\r\n\r\nb\r\n"),
        (b"a\n\r\nb\r\n", b"a\r\n\r\nb\r\n"),
        (b"a\n.\nb\n", b"a\r\n..\r\nb\r\n"),
        (b"a\r.\rMAIL FROM:<>\r", b"a\r\n..\r\nMAIL FROM:<>\r\n"),
        (b".\r\n", b"..\r\n"),
        (b".a\r\n..b\r\n.", b"..a\r\n...b\r\n..\r\n"),
        (b"", b"\r\n"),
        (b"no end", b"no end\r\n"),
    ],
)
def test_a_message_never_holds_a_lone_cr_lf_or_dot(body, sent):
    def act(line):
        line.hello()
        line.answer(b"250 OK", b"250 OK", b"354 go on")
        seen.append(line.until(b"\r\n.\r\n") + b"\r\n" if body else line.until(b".\r\n"))
        line.send(b"250 OK\r\n")
        line.answer(b"221 bye")

    seen: list[bytes] = []
    with Scripted(act) as peer:
        assert kinds(talk(peer, body=body)) == ["sent"]
    assert seen == [sent]


def test_a_large_message_arrives_whole():
    body = b"".join(b".%d " % number + b"x" * 900 + b"\r\n" for number in range(3000))
    with Sink(starttls=False) as sink:
        assert kinds(talk(sink, body=body)) == ["sent"]
        assert sink.wait_message().data == body


def test_recipients_stand_for_themselves():
    replies = {"RCPT b@example.test": "550 5.1.1 nobody", "RCPT c@example.test": "450 4.2.1 greylisted"}
    with Sink(starttls=False, replies=replies) as sink:
        result = talk(sink, recipients=THREE)
        assert sink.wait_message().recipients == ("d@example.test",)
    assert result.outcomes == {
        "b@example.test": Outcome("failed", "5.1.1", "5.1.1 nobody", 550),
        "c@example.test": Outcome("deferred", "4.2.1", "4.2.1 greylisted", 450),
        "d@example.test": Outcome("sent", "2.0.0", "2.0.0 Taken", 250),
    }


def test_without_a_recipient_there_is_no_data():
    with Sink(starttls=False, keywords=(), replies={"RCPT": "550 no"}) as sink:
        assert kinds(talk(sink, recipients=THREE)) == ["failed"] * 3
        assert sink.wait_session().verbs == ("EHLO", "MAIL", "RCPT", "RCPT", "RCPT", "QUIT")


@pytest.mark.parametrize("refused", ["MAIL", "RCPT"])
@pytest.mark.parametrize("said", [b"250 2.0.0 thanks for nothing", b"554 5.5.1 no valid recipients"])
def test_a_peer_that_takes_data_for_nobody_gets_an_empty_message(refused, said):
    """RFC 2920 section 3.1: the group was out before the refusal was heard."""
    heard = []

    def act(line):
        line.hello(b"PIPELINING")
        group = line.until(b"DATA\r\n")
        no, yes = b"550 5.7.1 no", b"250 OK"
        replies = [no, yes, yes, yes] if refused == "MAIL" else [yes, no, no, no]
        # Sent in two parts, the cut within a reply.
        answer = b"\r\n".join([*replies, b"354 go", b""])
        line.send(answer[:20])
        line.send(answer[20:])
        heard.extend([group, line.line()])
        line.send(said + b"\r\n")
        heard.extend(line.answer(b"221 bye"))

    with Scripted(act) as peer:
        result = talk(peer, recipients=THREE)
    assert kinds(result) == ["failed"] * 3
    assert heard[0].count(b"RCPT TO:") == 3 and heard[1:] == [b".", b"QUIT"]


def test_a_group_is_judged_in_order_and_a_reply_too_many_is_stray():
    def act(line):
        line.hello(b"PIPELINING")
        line.until(b"DATA\r\n")
        line.send(b"250 OK\r\n250 OK\r\n450 4.2.1 later\r\n250-one\r\n250 more\r\n354 go\r\n")
        line.until(b"\r\n.\r\n")
        line.send(b"250 2.0.0 taken\r\n")
        line.answer(b"221 bye")

    def one_more(line):
        line.hello(b"PIPELINING")
        line.until(b"DATA\r\n")
        line.send(b"250 OK\r\n" * 4 + b"354 go\r\n250 2.0.0 taken\r\n")
        line.hang()

    with Scripted(act) as peer:
        outcomes = talk(peer, recipients=THREE).outcomes
    assert [outcomes[recipient].kind for recipient in THREE] == ["sent", "deferred", "sent"]
    with Scripted(one_more) as peer, pytest.raises(HostFailed) as failed:
        talk(peer, recipients=THREE)
    assert "more than it was asked for" in failed.value.reason


@pytest.mark.parametrize(
    "verb, reply, kind, status",
    [
        ("MAIL", "550 5.7.1 not you", "failed", "5.7.1"),
        ("MAIL", "451 later", "deferred", "4.0.0"),
        ("MAIL", "552 5.3.4 too big", "failed", "5.3.4"),
        ("RCPT", "452 5.1.1 of another class", "deferred", "4.0.0"),
        ("DATA", "554 no", "failed", "5.0.0"),
        ("DATA", "451 4.3.0 no disk", "deferred", "4.3.0"),
        (".", "554 5.6.0 spam", "failed", "5.6.0"),
        (".", "452 4.3.1 no room", "deferred", "4.3.1"),
        (".", "421 4.3.2 stopping", "deferred", "4.3.2"),
    ],
)
def test_a_refusal_is_taken_as_it_comes(verb, reply, kind, status):
    with Sink(starttls=False, replies={verb: reply}) as sink:
        outcome = talk(sink).outcomes["b@example.test"]
    assert (outcome.kind, outcome.status, outcome.code) == (kind, status, int(reply[:3]))


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
def test_421_before_the_message_leaves_the_host(verb):
    def act(line):
        line.hello()
        replies = {"MAIL": 0, "RCPT": 1, "DATA": 2}[verb] * [b"250 OK"] + [b"421 4.3.2 closing\x1b[2J"]
        line.answer(*replies)

    with Scripted(act) as peer, pytest.raises(HostFailed) as failed:
        talk(peer)
    assert failed.value.status == "4.3.2" and not failed.value.tls
    assert failed.value.reason == f"the peer ended the conversation at {verb}: 421 4.3.2 closing [2J"


def test_what_was_refused_for_good_stays_so_when_the_peer_goes_away():
    def act(line):
        line.hello()
        line.answer(b"250 OK", b"550 5.1.1 nobody", b"450 4.2.0 not now", b"421 closing")

    with Scripted(act) as peer:
        result = talk(peer, recipients=THREE)
    assert kinds(result) == ["failed", "deferred", "deferred"]
    assert [outcome.status for outcome in result.outcomes.values()] == ["5.1.1", "4.2.0", "4.3.2"]


@pytest.mark.parametrize(
    "keywords, body, eight_bit, ending, outcome",
    [
        (("8BITMIME",), "ü", False, " BODY=8BITMIME", "sent"),
        (("8bitmime",), "ü", True, " BODY=8BITMIME", "sent"),
        (("8BITMIME",), "u", True, " BODY=8BITMIME", "sent"),
        (("8BITMIME",), "u", False, "", "sent"),
        ((), "u", True, "", "sent"),
        ((), "ü", True, None, "failed 5.6.3"),
        ((), "ü", False, None, "failed 5.6.3"),
        (("SIZE 5",), "u", False, " SIZE=5", "sent"),
        (("SIZE 4",), "u", False, None, "failed 5.3.4"),
        (("SIZE 0",), "u", False, " SIZE=5", "sent"),
        (("SIZE",), "u", False, " SIZE=5", "sent"),
        (("SIZE much",), "u", False, " SIZE=5", "sent"),
        (("SIZE " + "9" * 5000,), "u", False, " SIZE=5", "sent"),
        (("SIZE 4", "8BITMIME"), "ü", False, None, "failed 5.3.4"),
    ],
)
def test_what_the_peer_offers_decides_what_is_sent(keywords, body, eight_bit, ending, outcome):
    content = b"\r\n" + body.encode("latin-1") + b"\n"
    with Sink(starttls=False, keywords=keywords) as sink:
        found = talk(sink, body=content, eight_bit=eight_bit).outcomes["b@example.test"]
        session = sink.wait_session()
    mails = [command.line for command in session.commands if command.verb == "MAIL"]
    assert mails == ([] if ending is None else ["MAIL FROM:<sender@client.test>" + ending])
    assert f"{found.kind} {found.status}".startswith(outcome)


BAD_ADDRESSES = [
    ("b@example.test\r\nRCPT TO:<victim@example.test>", "5.1.3"),
    ("b@example.test\nDATA", "5.1.3"),
    ("b\0@example.test", "5.1.3"),
    ("b@example.test> NOTIFY=NEVER X=<a", "5.1.3"),
    ("b@example.test> NOTIFY=NEVER", "5.1.3"),
    ("b c@example.test", "5.1.3"),
    ('"b"@example.test>', "5.1.3"),
    ("bü@example.test", "5.6.7"),
    ("b\x85@example.test", "5.1.3"),
    ("bü>@example.test", "5.1.3"),
    ("b\udcfc@example.test", "5.1.3"),
    ("b@@example.test", "5.1.3"),
    ("", "5.1.3"),
]


@pytest.mark.parametrize("address, status", BAD_ADDRESSES)
def test_an_address_that_no_command_may_carry_is_refused_alone(address, status):
    with Sink(starttls=False) as sink:
        result = talk(sink, recipients=(address, "c@example.test"))
        assert sink.wait_message().recipients == ("c@example.test",)
        assert sink.wait_session().verbs == ("EHLO", "MAIL", "RCPT", "DATA", "QUIT")
    assert kinds(result) == ["failed", "sent"] and result.outcomes[address].status == status


@pytest.mark.parametrize("sender", ["a@b\r\nRSET", "a@b> SIZE=1", "a\0@b"])
def test_a_bad_sender_fails_all_without_a_connection(sender):
    with Sink(starttls=False) as sink:
        assert kinds(talk(sink, sender=sender, recipients=THREE)) == ["failed"] * 3
        assert sink.sessions == []


@pytest.mark.parametrize("address", ['"b c"@example.test', r'"b\"c"@example.test', "postmaster", "b@[127.0.0.1]"])
def test_an_unusual_address_goes_out_as_it_is(address):
    with Sink(starttls=False) as sink:
        assert kinds(talk(sink, recipients=(address,))) == ["sent"]
        assert sink.wait_session().commands[2].line == f"RCPT TO:<{address}>"


@pytest.mark.parametrize("code", [500, 502, 504])
@pytest.mark.parametrize("level", ["none", "may"])
def test_a_peer_that_does_not_know_ehlo_hears_helo(code, level):
    with Sink(starttls=False, replies={"EHLO": f"{code} what?"}) as sink:
        assert kinds(talk(sink, level)) == ["sent"]
        assert sink.wait_session().verbs == ("EHLO", "HELO", "MAIL", "RCPT", "DATA", "QUIT")


@pytest.mark.parametrize("choices", [{"level": "encrypt"}, {"level": "verify"}, {"user": "u", "password": "p"}])
def test_helo_is_not_enough_for_tls_or_a_login(choices):
    with Sink(starttls=False, replies={"EHLO": "502 what?"}) as sink:
        with pytest.raises(HostFailed) as failed:
            talk(sink, **choices)
        assert sink.wait_session().verbs == ("EHLO", "QUIT")
    assert failed.value.status == "4.7.4" and failed.value.tls


@pytest.mark.parametrize(
    "reply, status", [("421 4.7.0 go away", "4.7.0"), ("450 later", "4.0.0"), ("554 5.3.2 no", "4.3.2")]
)
@pytest.mark.parametrize("step", ["banner", "EHLO", "HELO"])
def test_a_refusal_before_the_sender_is_about_the_host_and_never_final(step, reply, status):
    replies = {"EHLO": "500 what?", "HELO": reply} if step == "HELO" else {step: reply}
    with Sink(starttls=False, banner=reply if step == "banner" else None, replies=replies) as sink:
        with pytest.raises(HostFailed) as failed:
            talk(sink)
        assert "MAIL" not in sink.wait_session().verbs
    assert (failed.value.status, failed.value.tls) == (status, False)


def test_text_of_a_peer_is_cleaned_and_cut():
    def act(line):
        line.hello()
        last = b"550 5.1.1 " + "\u202eb".encode() + b"x" * 5000
        line.answer(b"250 OK", b"550-5.1.1 a\x1b[31m\x07\r\n550-\xff\xfe\r\n" + last)

    with Scripted(act) as peer:
        outcome = talk(peer).outcomes["b@example.test"]
    assert len(outcome.text) == MAX_PEER_TEXT and outcome.text.isprintable() and outcome.text.endswith("x…")
    assert outcome.text.startswith("5.1.1 a [31m") and outcome.status == "5.1.1"
    outcome.text.encode("utf-8")


def test_a_reply_with_lone_lf_is_understood():
    def act(line):
        line.send(b"220-hi\n220 there\n")
        line.line()
        line.send(b"250-me\n250 SIZE\n")
        line.line()
        line.send(b"250 OK\n")
        line.answer(b"250 OK", b"354 go")
        line.until(b"\r\n.\r\n")
        line.send(b"250 OK\n")
        line.answer(b"221 bye")

    with Scripted(act) as peer:
        assert kinds(talk(peer)) == ["sent"]


def test_one_setting_is_a_limit_for_every_step():
    assert set(dataclasses.astuple(Limits.all(7))) == {7}
    assert Limits.all(0) == Limits() != LIMITS
