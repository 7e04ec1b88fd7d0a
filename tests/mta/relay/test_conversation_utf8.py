# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses and headers in UTF-8 (RFC 6531), and octets that no host takes: what goes to whom."""

from __future__ import annotations

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._probe.sink import Sink
from conversation_harness import Scripted, server_context, talk

pytestmark = pytest.mark.filterwarnings("error")

EIGHT, UTF8 = ("SIZE", "8BITMIME"), ("SIZE", "8BITMIME", "SMTPUTF8")
PLAIN = b"Subject: hello\r\n\r\nHello\r\n"
HEADER = "Subject: Grüße\r\n\r\nHello\r\n".encode()
EIGHT_BIT = "Subject: hello\r\n\r\nGrüße\r\n".encode()


@pytest.mark.parametrize(
    ("body", "sender", "recipient", "smtputf8", "ending"),
    [
        (PLAIN, "a@client.test", "b@example.test", True, ""),
        (PLAIN, "a@client.test", "b@example.test", False, ""),
        (PLAIN, "ä@client.test", "b@example.test", True, " SMTPUTF8"),
        (PLAIN, "", "ß用户@example.test", True, " SMTPUTF8"),
        (PLAIN, "a@client.test", "ü@xn--exmple-cua.test", False, " SMTPUTF8"),
        (PLAIN, "a@client.test", '"ü b"@example.test', True, " SMTPUTF8"),
        (HEADER, "a@client.test", "b@example.test", True, " BODY=8BITMIME SMTPUTF8"),
        # Nobody said that this is UTF-8.
        (HEADER, "a@client.test", "b@example.test", False, " BODY=8BITMIME"),
        (EIGHT_BIT, "a@client.test", "b@example.test", True, " BODY=8BITMIME"),
        (b"\r\n" + HEADER, "a@client.test", "b@example.test", True, " BODY=8BITMIME"),
        (HEADER.partition(b"\r\n\r\n")[0], "a@client.test", "b@example.test", True, " BODY=8BITMIME SMTPUTF8"),
    ],
)
def test_smtputf8_is_asked_for_when_it_is_needed(body, sender, recipient, smtputf8, ending):
    with Sink(starttls=False, keywords=UTF8) as sink:
        outcome = talk(sink, body=body, sender=sender, recipients=(recipient,), smtputf8=smtputf8).outcomes[recipient]
        session = sink.wait_session()
    size = len(body) if body.endswith(b"\r\n") else len(body) + 2
    assert outcome.kind == "sent"
    assert session.commands[1].line == f"MAIL FROM:<{sender}> SIZE={size}{ending}"
    assert session.commands[2].line == f"RCPT TO:<{recipient}>"
    assert session.messages[0].data.startswith(body)


@pytest.mark.parametrize(
    ("body", "sender", "keywords", "status"),
    [
        (HEADER, "a@client.test", EIGHT, "5.6.7"),
        (HEADER, "a@client.test", (), "5.6.7"),
        (HEADER, "a@client.test", ("SMTPUTF8",), "5.6.3"),
        (EIGHT_BIT, "a@client.test", (), "5.6.3"),
        (PLAIN, "ä@client.test", EIGHT, "5.6.7"),
    ],
)
def test_what_the_next_host_does_not_offer_is_not_sent(body, sender, keywords, status):
    with Sink(starttls=False, keywords=keywords) as sink:
        result = talk(sink, body=body, sender=sender, smtputf8=True, recipients=("b@example.test", "c@example.test"))
        assert sink.wait_session().verbs == ("EHLO", "QUIT")
    assert [(outcome.kind, outcome.status) for outcome in result.outcomes.values()] == [("failed", status)] * 2


@pytest.mark.parametrize("replies", [{}, {"EHLO": "502 what?"}])
def test_a_recipient_in_utf8_does_not_keep_others_from_their_mail(replies):
    with Sink(starttls=False, keywords=EIGHT, replies=replies) as sink:
        result = talk(sink, recipients=("ü@example.test", "b@example.test"), smtputf8=True)
        assert sink.wait_message().recipients == ("b@example.test",)
        mail = next(command.line for command in sink.wait_session().commands if command.verb == "MAIL")
    assert "SMTPUTF8" not in mail
    assert [outcome.kind for outcome in result.outcomes.values()] == ["failed", "sent"]
    assert result.outcomes["ü@example.test"].status == "5.6.7"


def test_with_recipients_in_utf8_alone_there_is_no_transaction():
    with Sink(starttls=False, keywords=EIGHT) as sink:
        result = talk(sink, recipients=("ü@example.test", "ö@example.test"), smtputf8=True)
        assert sink.wait_session().verbs == ("EHLO", "QUIT")
    assert {outcome.status for outcome in result.outcomes.values()} == {"5.6.7"}


def test_the_answer_to_the_ehlo_inside_tls_counts(ec_file):
    def act(line):
        line.hello(b"STARTTLS", b"SMTPUTF8")
        line.answer(b"220 go")
        line.tls(server_context(ec_file))
        line.answer(b"250-me\r\n250 8BITMIME")
        seen.append(line.line())

    seen: list[bytes] = []
    with Scripted(act) as peer:
        outcome = talk(peer, recipients=("ü@example.test",), smtputf8=True).outcomes["ü@example.test"]
    assert (outcome.kind, outcome.status) == ("failed", "5.6.7") and seen == [b"QUIT"]


def test_a_local_part_counts_by_its_octets():
    long, fits = "ü" * 33 + "@example.test", "ü" * 32 + "@example.test"
    with Sink(starttls=False, keywords=UTF8) as sink:
        result = talk(sink, recipients=(long, fits), smtputf8=True)
        assert sink.wait_message().recipients == (fits,)
    assert (result.outcomes[long].kind, result.outcomes[long].status) == ("failed", "5.1.3")


@pytest.mark.parametrize("body", [b"Subject: x\r\n\r\na\r\n\0.\r\nMAIL FROM:<>\r\n", b"Subj\0ect: x\r\n\r\n"])
def test_a_message_with_a_nul_goes_nowhere(body):
    with Sink(starttls=False) as sink:
        outcome = talk(sink, body=body).outcomes["b@example.test"]
        assert sink.sessions == []
    assert (outcome.kind, outcome.status) == ("failed", "5.6.0")
