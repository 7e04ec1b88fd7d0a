# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the queue and the trace learn of a message with SMTPUTF8 (RFC 6531), and of one without."""

from __future__ import annotations

import pytest
from postern.queue.store import Recipient
from session_peer import SessionPeer, make_site
from wire_peer import plain
from wire_server import PASSWORD, USER

POLICY = 'event onEhlo { set (remoteDelivery, "all"); }'


def send(directory, mail: str, *recipients: str, before: str = "", tls: bool = False, log=lambda *_n, **_f: None):
    """Send one message; envelope and text as the queue gets them."""
    peer = SessionPeer(make_site(directory, log, POLICY), tls)
    if tls:
        peer.secure()
    lines = ["EHLO c", *([before] if before else []), f"MAIL FROM:{mail}"]
    lines += [f"RCPT TO:<{recipient}>" for recipient in recipients] + ["DATA", "Subject: x", "", "x", ".", "QUIT"]
    peer.send("".join(line + "\r\n" for line in lines).encode())
    ((envelope, text),) = peer.stored
    return envelope, text.decode()


def test_envelope(directory):
    # U+0075 U+0308 in the local part: composed it is U+00FC.
    envelope, text = send(directory, "<\u00e9@B\u00dcCHER.test> SMTPUTF8 BODY=8BITMIME", "u\u0308@b\u00fccher.test")
    assert envelope.sender == "\u00e9@xn--bcher-kva.test"
    assert envelope.recipients == (Recipient("\u00fc", "xn--bcher-kva.test", False),)
    assert envelope.smtputf8 and envelope.eight_bit
    assert envelope.size == len(text.encode())
    assert " with UTF8SMTP id " in text and "\tfor <\u00fc@xn--bcher-kva.test>;" in text


def test_without_it(directory):
    envelope, text = send(directory, "<a@x.test>", "b@xn--bcher-kva.test")
    assert not envelope.smtputf8 and text.isascii()
    assert " with ESMTP id " in text and "\tfor <b@xn--bcher-kva.test>;" in text


def test_ascii_addresses_with_it(directory):
    envelope, text = send(directory, "<a@x.test> SMTPUTF8", "b@y.test", "c@y.test")
    assert envelope.smtputf8 and " with UTF8SMTP id " in text and "\tfor <" not in text


@pytest.mark.parametrize(("login", "protocol"), [(False, "UTF8SMTPS"), (True, "UTF8SMTPSA")])
def test_trace_inside_tls(directory, login, protocol):
    """RFC 6531 section 4.3."""
    before = f"AUTH PLAIN {plain(USER, PASSWORD)}" if login else ""
    _envelope, text = send(directory, "<a@x.test> SMTPUTF8", "b@y.test", before=before, tls=True)
    assert f" with {protocol} id " in text


def test_log(directory):
    events = []
    send(directory, "<\u00e9@x.test> SMTPUTF8", "b@y.test", log=lambda name, **fields: events.append((name, fields)))
    (fields,) = [fields for name, fields in events if name == "smtp.message"]
    assert fields["sender"] == "\u00e9@x.test"


def test_same_sign_in_two_spellings_is_one_recipient(directory):
    envelope, _text = send(directory, "<a@x.test> SMTPUTF8", "\u00fc@y.test", "u\u0308@Y.test")
    assert envelope.recipients == (Recipient("\u00fc", "y.test", False),)
