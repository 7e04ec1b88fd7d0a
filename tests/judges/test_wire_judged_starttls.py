# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The step from clear text to TLS, byte by byte: what is sent in clear must have no effect inside (RFC 3207 section 4.2).

The servers that are wrong are twins with one fault each, the faults that real servers had.
"""

from __future__ import annotations

import socket
import ssl

import pytest
from ansible_collections.securemail.smtp.tests.mta.smtp.wire_peer import client_context
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.twin import scripted_twin, smtp_twin

import programs
from grid import HOST
from judged_server import SERVER_NAME, Place

#: Seconds that a server is given to say something that it must not say.
_SILENCE = 1.0


def test_w7_465_speaks_inside_tls_only(hardened):
    assert implicit_complaints(hardened.submissions) == []


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({"talks_before_tls": True}, "a banner in clear"),
        ({"answers_clear_on_implicit": True}, "an answer in clear"),
    ],
)
def test_w7_can_fail(authority, fault, complaint):
    with smtp_twin(context=authority.context(), implicit=True, **fault) as twin:
        assert complaint in implicit_complaints(Place(twin.port, True))


def test_w7_can_fail_without_tls():
    with scripted_twin(b"220 mail.example.test ESMTP\r\n") as twin:
        assert implicit_complaints(Place(twin.port, True)) == ["no banner inside TLS", "an answer in clear"]


def implicit_complaints(place: Place) -> list[str]:
    """What is wrong with a listener that begins with TLS."""
    found = []
    _status, said = programs.openssl(
        "s_client", "-connect", place.address, "-servername", SERVER_NAME, "-quiet", "-ign_eof", text="QUIT\r\n"
    )
    if "\n220 " not in "\n" + said or "\n221 " not in "\n" + said:
        found.append("no banner inside TLS")
    for first, complaint in ((b"", "a banner in clear"), (b"EHLO client.test\r\n", "an answer in clear")):
        with socket.create_connection((HOST, place.port), timeout=10) as sock:
            sock.sendall(first)
            sock.settimeout(_SILENCE)
            # An alert of TLS is no reply.
            if everything(sock)[:3].isdigit():
                found.append(complaint)
    return found


def everything(sock: socket.socket) -> bytes:
    """What comes until the peer closes or has been silent for the socket's time."""
    found = b""
    try:
        while data := sock.recv(4096):
            found += data
    except (TimeoutError, ConnectionResetError, ssl.SSLError):
        pass
    return found


# --- injection -----------------------------------------------------------------------------------


def injected(place: Place) -> list[str]:
    """What is wrong with a server that got commands in the segment of STARTTLS."""
    with place.connect() as peer:
        peer.start()
        peer.send(b"STARTTLS\r\nMAIL FROM:<injected@client.test>\r\n")
        code, _text = peer.reply()
        if code != 220:
            # Refusing is right, and then nothing may follow.
            return [] if peer.is_closed() else ["goes on in clear"]
        try:
            peer.secure(name=SERVER_NAME)
        except (OSError, AssertionError):
            return []
        peer.socket.settimeout(_SILENCE)
        try:
            if peer.line():
                return ["answers inside TLS what came in clear"]
            return []
        except TimeoutError:
            pass
        peer.socket.settimeout(10)
        code, text = peer.say("RCPT TO:<anna@example.test>")
        return [] if code in (0, 503) else [f"does inside TLS what came in clear: {text}"]


def test_w8_commands_behind_starttls_have_no_effect(hardened):
    for place in (hardened.relay, hardened.submission):
        assert injected(place) == []


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({"keeps_buffer": True}, "answers inside TLS what came in clear"),
        ({"obeys_buffer_silently": True}, "does inside TLS what came in clear: 250 2.1.5 OK\r\n"),
        ({"overrule": {"STARTTLS": "454 4.7.0 Not now"}}, "goes on in clear"),
    ],
)
def test_w8_can_fail(authority, fault, complaint):
    with smtp_twin(context=authority.context(), **fault) as twin:
        assert injected(Place(twin.port)) == [complaint]


def late_plaintext(place: Place) -> list[str]:
    """What is wrong with a server that got a line in clear after its 220 and before the handshake."""
    with place.connect() as peer:
        peer.start()
        peer.expect("STARTTLS", 220)
        peer.send(b"RSET\r\n")
        try:
            peer.secure(name=SERVER_NAME)
        except (ssl.SSLError, ConnectionError, EOFError):
            # Closed, and not in clear text again.
            return []
        return ["the handshake goes on after a line in clear"]


def test_w9_a_line_in_clear_before_the_handshake_ends_it(hardened):
    for place in (hardened.relay, hardened.submission):
        assert late_plaintext(place) == []


def test_w9_can_fail(authority):
    with smtp_twin(context=authority.context(), skips_late_plaintext=True) as twin:
        assert late_plaintext(Place(twin.port)) == ["the handshake goes on after a line in clear"]


# --- the state -----------------------------------------------------------------------------------


def remembered(place: Place, sender: str = "client@client.test", recipient: str = "anna@example.test") -> list[str]:
    """What a server remembers inside TLS of a transaction that was begun in clear, and of the client's EHLO."""
    found = []
    for command, complaint in (
        (f"RCPT TO:<{recipient}>", "the sender is remembered"),
        ("DATA", "the recipients are remembered"),
        (f"MAIL FROM:<{sender}>", "EHLO is remembered"),
    ):
        with place.connect() as peer:
            peer.start()
            # A server that refuses mail in clear has less to forget.
            for line in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>"):
                peer.say(line)
            peer.starttls(client_context())
            code, text = peer.say(command)
            if code == 503 and " 5.5.1 " in text:
                continue
            found.append(f"{complaint}: {text}")
    return found


def test_w10_the_handshake_makes_the_server_forget(hardened):
    for place in (hardened.relay, hardened.submission):
        assert remembered(place) == []


@pytest.mark.parametrize(
    ("fault", "complaints"),
    [
        ({"keeps_state": True}, ["the sender is remembered: 250 2.1.5 OK\r\n", "EHLO is remembered: 250 2.1.0 OK\r\n"]),
        ({"wants_ehlo": False}, ["EHLO is remembered: 250 2.1.0 OK\r\n"]),
    ],
)
def test_w10_can_fail(authority, fault, complaints):
    # A twin has no DATA: it says 500 there.
    fault = {**fault, "overrule": {"DATA": "503 5.5.1 No recipients"}}
    with smtp_twin(context=authority.context(), **fault) as twin:
        assert remembered(Place(twin.port)) == complaints


def twice(place: Place) -> list[str]:
    """What is wrong with the answer to STARTTLS inside TLS; nothing when it is 503 5.5.1 and the session goes on."""
    with place.connect() as peer:
        peer.start()
        if not place.implicit:
            peer.starttls(client_context())
            peer.expect("EHLO client.test", 250)
        code, text = peer.say("STARTTLS")
        if code != 503 or " 5.5.1 " not in text:
            return [text]
        return [] if peer.say("NOOP")[0] == 250 else ["the session is over"]


def test_w11_starttls_inside_tls_is_refused(hardened):
    for place in (hardened.relay, hardened.submission, hardened.submissions):
        assert twice(place) == []


def test_w11_can_fail(authority):
    with smtp_twin(context=authority.context(), starttls_inside_tls=True) as twin:
        assert twice(Place(twin.port)) == ["220 2.0.0 Ready\r\n"]
