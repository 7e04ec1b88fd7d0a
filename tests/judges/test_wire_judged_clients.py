# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""W35: clients and servers of all kinds deliver, over TLS and with a login."""

from __future__ import annotations

import re
import smtplib
import ssl

import clients
import pytest
from clients import CLIENTS, RECIPIENT, SENDER, Mail
from grid import HOST

#: The word of RFC 3848 in the server's Received line, and the TLS version.
_RECEIVED = re.compile(r"^Received: .*? with (?P<word>\w+) id .*?^\S", re.DOTALL | re.MULTILINE)


def complaints(text: str, subject: str, word: str) -> list[str]:
    """What is wrong about a message as it lies in the mailbox."""
    head, _gap, body = text.replace("\r\n", "\n").partition("\n\n")
    received = _RECEIVED.search(head + "\nEnd")
    found = [] if received and received["word"] == word else [f"it came by {received['word'] if received else 'nothing'}"]
    if not received or not re.search(r"TLSv1\.[23]", received[0]):
        found.append("no TLS in the Received line")
    if body != ".a dot first\nlast line\n":
        found.append(f"the body is {body!r}")
    if f"\nSubject: {subject}\n" not in head + "\n":
        found.append("another subject")
    return found


@pytest.mark.parametrize("port", ["submission", "submissions"])
@pytest.mark.parametrize("name", CLIENTS)
def test_w35_clients_deliver_with_a_login_over_tls(hardened, must_run, name, port):
    with must_run():
        text = clients.deliver(hardened, CLIENTS[name], getattr(hardened, port), f"{name} {port}")
    assert complaints(text, f"{name} {port}", "ESMTPSA") == []


def test_w35_another_server_delivers_over_tls(hardened, must_run):
    with must_run():
        text = clients.deliver(hardened, clients.postfix_relay, hardened.relay, "from Postfix")
    assert complaints(text, "from Postfix", "ESMTPS") == []


def test_w35_can_fail(hardened, stranger):
    """Mail in clear is found, and a client that trusts somebody else does not deliver: its check is none for show."""

    def in_clear(mail: Mail) -> None:
        with smtplib.SMTP(HOST, mail.place.port, timeout=20) as client:
            client.sendmail(SENDER, [RECIPIENT], mail.wire)

    text = clients.deliver(hardened, in_clear, hardened.relay, "in clear")
    assert complaints(text, "in clear", "ESMTPSA") == ["it came by ESMTP", "no TLS in the Received line"]
    before = hardened.mailbox(RECIPIENT.partition("@")[0])
    for name in ("swaks", "msmtp", "curl", "s-nail", "smtplib", "aiosmtplib"):
        with pytest.raises((RuntimeError, AssertionError, OSError, ssl.SSLError)):
            clients.deliver(hardened, CLIENTS[name], hardened.submission, "strange", stranger)
    assert hardened.mailbox(RECIPIENT.partition("@")[0]) == before
