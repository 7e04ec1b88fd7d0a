# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""W36 and W37: mail servers of other people take what the server sends, and what they cannot take comes back and says why."""

from __future__ import annotations

import copy

import pytest
from flufl.bounce import all_failures
from sent_to import IN_CLEAR, REFUSED, Sending, over_tls

_EIGHT_BIT = "Zw\u00f6lf Boxk\u00e4mpfer\r\n.\r\n..\u00fcber den Sylter Deich\r\n".encode()
_BODY = b"first\r\n.a dot\r\n..\r\nlast\r\n"
_WIDE = ("SMTPUTF8", "BODY=8BITMIME")


@pytest.fixture(scope="module")
def sending(tmp_path_factory, must_run):
    """The server and all receivers."""
    with must_run():
        made = Sending(tmp_path_factory.mktemp("sending"))
    with made:
        yield made


def message(subject: str, body: bytes = _BODY, *fields: str) -> bytes:
    """A message with its header."""
    return "\r\n".join([f"Subject: {subject}", "From: u1@example.test", *fields, "", ""]).encode() + body


def text(received) -> bytes:
    """The octets of a body as a receiver has them, with line ends of the wire."""
    return received.get_payload(decode=True).replace(b"\r\n", b"\n").rstrip(b"\n").replace(b"\n", b"\r\n") + b"\r\n"


@pytest.mark.parametrize("name", Sending.NAMES)
def test_w36_a_plain_message(sending, name):
    sending.submit(message(f"plain {name}"), f"r@{name}.test")
    received = sending.receivers[name].wait_message(f"plain {name}")
    assert text(received) == _BODY
    assert over_tls(received) == (name in Sending.SECURE), received["Received"]


@pytest.mark.parametrize("name", Sending.NAMES)
def test_w36_eight_bit_text(sending, name):
    fields = ("MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit")
    sending.submit(message(f"eight {name}", _EIGHT_BIT, *fields), f"r@{name}.test", options=["BODY=8BITMIME"])
    received = sending.receivers[name].wait_message(f"eight {name}")
    assert text(received) == _EIGHT_BIT
    assert received["Content-Transfer-Encoding"] == "8bit"


@pytest.mark.parametrize("name", Sending.WIDE)
def test_w36_addresses_in_utf8(sending, name):
    subject = f"wide {name}"
    number = sending.submit(message(subject, _BODY, "To: J\u00fcrgen <j\u00fcrgen@x.test>"), f"j\u00fcrgen@{name}.test", options=_WIDE)
    received = sending.receivers[name].wait_message(subject)
    assert "To: J\u00fcrgen <j\u00fcrgen@x.test>".encode() in received.as_bytes()
    assert sending.lab.attempt(f"{name}.test", id=number)["result"] == "sent"


@pytest.mark.parametrize("name", Sending.CHOOSY)
def test_w36_one_of_several_recipients_is_refused(sending, name):
    refused = f"{REFUSED}@{name}.test"
    number = sending.submit(message(f"several {name}"), f"a@{name}.test", refused, f"b@{name}.test")
    assert text(sending.receivers[name].wait_message(f"several {name}")) == _BODY
    assert all_failures(sending.report(number)) == (set(), {refused.encode()})


def test_w36_can_fail(sending):
    """Mail that went out in clear, and a body of which one dot is missing, are found."""
    sending.submit(message("in clear"), f"r@{IN_CLEAR}")
    received = sending.receivers["exim"].wait_message("in clear")
    assert not over_tls(received) and text(received) == _BODY
    damaged = copy.deepcopy(received)
    damaged.set_payload(received.get_payload().replace("\n..", "\n."))
    assert text(damaged) != _BODY


# --- what a receiver cannot take --------------------------------------------------------------------

#: The domain, the local part, the body, what was asked for at MAIL, the status that comes back.
LACKING = {
    "no room for so much": ("poor.test", "r", b"x" * 70 + b"\r\n", 60, (), "5.3.4"),
    "no 8BITMIME, smtp-sink": ("seven-bit.test", "r", _EIGHT_BIT, 1, ("BODY=8BITMIME",), "5.6.3"),
    "no 8BITMIME, aiosmtpd": ("poor.test", "r", _EIGHT_BIT, 1, ("BODY=8BITMIME",), "5.6.3"),
    "no SMTPUTF8, OpenSMTPD": ("opensmtpd.test", "j\u00fcrgen", _BODY, 1, _WIDE, "5.6.7"),
    "no SMTPUTF8, aiosmtpd": ("poor.test", "j\u00fcrgen", _BODY, 1, _WIDE, "5.6.7"),
}


def statuses(report) -> list[str]:
    """The statuses of a notification (RFC 3464 section 2.3.4), read by Python's parser."""
    return [str(part["Status"]) for part in report.walk() if part["Status"]]


@pytest.mark.parametrize("case", LACKING)
def test_w37_what_a_receiver_cannot_take_comes_back(sending, case):
    domain, local, body, times, options, status = LACKING[case]
    subject = f"lacking {case}"
    number = sending.submit(message(subject, body * times), f"{local}@{domain}", options=options)
    report = sending.report(number)
    assert statuses(report) == [status]
    assert report["Return-Path"] in (None, "<>") and report.get_content_type() == "multipart/report"
    if local.isascii():
        assert all_failures(report) == (set(), {f"{local}@{domain}".encode()})
    assert not [path for path in sending.receivers[domain.removesuffix(".test")].files if subject.encode() in path.read_bytes()]


def test_w37_can_fail(sending):
    """What these receivers can take they get, and nothing comes back: it is the message that made the difference."""
    for name in ("poor", "seven-bit"):
        number = sending.submit(message(f"small {name}"), f"r@{name}.test")
        assert text(sending.receivers[name].wait_message(f"small {name}")) == _BODY
        sending.lab.attempt(f"{name}.test", id=number, result="sent")
        assert not sending.lab.events.all("relay.notification", about=number)
