# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sink, looked at by the probe's own client: what it does when asked, and that it tells what really came."""

from __future__ import annotations

import socket
import ssl
import threading

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._probe.sink import Behaviour, Sink
from ansible_collections.securemail.smtp.plugins.module_utils._probe.library import lenient_context
from ansible_collections.securemail.smtp.plugins.module_utils._probe.reply import Unobservable
from ansible_collections.securemail.smtp.plugins.module_utils._probe.smtp import Conversation

NAME = "mx.example.test"
PASSWORD = "pass word"


@pytest.fixture
def certificate(authority):
    return authority.server_pem("ec", NAME)


@pytest.fixture
def make_sink():
    """Sinks that are closed at the end of the test, each without a thread left."""
    made = []

    def make(**behaviour):
        sink = Sink(**behaviour)
        made.append(sink)
        return sink

    yield make
    for sink in made:
        sink.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sink")]


def client(sink, context=None):
    """A connected conversation that knows the server's name."""
    conversation = Conversation(sink.address, sink.port, 10, NAME)
    conversation.connect(context)
    return conversation


def deliver(conversation, content=b"Subject: hello\r\n\r\nhello\r\n", recipients=("b@example.test",)):
    """Send one message; returns the reply to its end."""
    conversation.command("MAIL FROM:<a@example.org>")
    for recipient in recipients:
        conversation.command("RCPT TO:<%s>" % recipient)
    assert conversation.command("DATA").code == 354
    conversation.send_bytes(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
    return conversation.reply()


def test_a_message_in_clear(make_sink):
    sink = make_sink(starttls=False)
    with client(sink) as smtp:
        assert "STARTTLS" not in smtp.ehlo("client.example.org")
        assert smtp.command("STARTTLS").code == 503
        assert deliver(smtp, b"Subject: dots\r\n\r\n.\r\n..two\r\n").code == 250
    message = sink.wait_message()
    session = sink.wait_session()
    assert (message.sender, message.recipients, message.protocol) == ("a@example.org", ("b@example.test",), None)
    assert message.data == b"Subject: dots\r\n\r\n.\r\n..two\r\n"
    assert session.verbs == ("EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "QUIT") == session.clear_verbs
    assert (session.helo, session.protocol, session.sni) == ("client.example.org", None, None)


@pytest.mark.parametrize("content", [b"", b".\r\n", b"a\r\n.b\r\n\r\n.\r\n"])
def test_the_content_comes_out_as_it_went_in_in_any_pieces(make_sink, content):
    sink = make_sink(starttls=False)
    stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"
    with client(sink) as smtp:
        smtp.ehlo()
        for line in ("MAIL FROM:<>", "RCPT TO:<b@example.test>", "DATA"):
            smtp.command(line)
        for number in range(len(stuffed)):
            smtp.send_bytes(stuffed[number : number + 1])
        assert smtp.reply().code == 250
    assert (sink.messages[0].data, sink.messages[0].sender) == (content, "")


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"])
def test_starttls_with_one_version(make_sink, certificate, version):
    sink = make_sink(certificate=certificate, versions=(version, version))
    others = {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"} - {version}
    with client(sink) as smtp:
        smtp.ehlo()
        assert smtp.starttls(lenient_context(version)).code == 220
        assert "STARTTLS" not in smtp.ehlo()
        deliver(smtp)
    session = sink.wait_session()
    assert session.messages[0].protocol == session.protocol == version
    assert session.cipher and session.messages[0].cipher == session.cipher
    assert (session.sni, session.clear_verbs) == (NAME, ("EHLO", "STARTTLS"))
    for other in others:
        with client(sink) as smtp:
            smtp.ehlo()
            with pytest.raises(Unobservable):
                smtp.starttls(lenient_context(other))
    assert all(session.tls_error and not session.messages for session in sink.wait_idle()[1:])


def test_implicit_tls(make_sink, certificate):
    sink = make_sink(certificate=certificate, implicit=True)
    with client(sink, lenient_context()) as smtp:
        assert "STARTTLS" not in smtp.ehlo()
        deliver(smtp)
    session = sink.wait_session()
    assert session.clear_verbs == () and session.messages[0].protocol == "TLSv1.3"


def test_starttls_refused(make_sink):
    sink = make_sink(starttls="refused")
    with client(sink) as smtp:
        assert "STARTTLS" in smtp.ehlo()
        assert smtp.command("STARTTLS").code == 454
        assert deliver(smtp).code == 250


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ({"starttls": "broken"}, "wrong version|record layer"),
        ({"handshake": "garbage"}, "wrong version|record layer"),
        ({"handshake": "alert"}, "handshake failure"),
        ({"closes": "handshake"}, "closed"),
        ({"implicit": True, "handshake": "garbage"}, "wrong version|record layer"),
        ({"implicit": True, "handshake": "alert"}, "handshake failure"),
        ({"implicit": True, "closes": "handshake"}, "closed"),
    ],
)
def test_broken_handshakes(make_sink, certificate, behaviour, words):
    sink = make_sink(certificate=certificate, **behaviour)
    implicit = sink.behaviour.implicit
    with pytest.raises(Unobservable, match=words):
        if implicit:
            client(sink, lenient_context())
        else:
            with client(sink) as smtp:
                smtp.ehlo()
                smtp.starttls(lenient_context())
    session = sink.wait_session()
    assert (session.protocol, session.verbs) == (None, () if implicit else ("EHLO", "STARTTLS"))


def test_the_injected_reply_comes_with_the_220(make_sink, certificate):
    sink = make_sink(certificate=certificate, starttls="inject")
    with client(sink) as smtp:
        smtp.ehlo()
        with pytest.raises(Unobservable, match="bytes in clear behind the reply to STARTTLS"):
            smtp.starttls(lenient_context())
    # One that does not look falls for it.
    with client(sink) as smtp:
        smtp.ehlo()
        assert smtp.command("STARTTLS").code == 220
        assert smtp.reply().text == "Injected"
        smtp.begin_tls(lenient_context())
        assert deliver_after_ehlo(smtp).code == 250


def deliver_after_ehlo(smtp):
    smtp.ehlo()
    return deliver(smtp)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("initial_response", [True, False])
def test_logins_are_compared_and_forgotten(make_sink, certificate, mechanism, initial_response):
    sink = make_sink(certificate=certificate, auth={"anna": PASSWORD})
    with client(sink) as smtp:
        assert "AUTH" not in smtp.ehlo()
        smtp.starttls(lenient_context())
        assert smtp.ehlo()["AUTH"] == "PLAIN LOGIN"
        assert smtp.command("MAIL FROM:<a@example.org>").code == 530
        assert smtp.auth(mechanism, "anna", "wrong", initial_response).code == 535
        assert smtp.auth(mechanism, "nobody", PASSWORD, initial_response).code == 535
        assert smtp.auth(mechanism, "anna", PASSWORD, initial_response).code == 235
        deliver(smtp)
    session = sink.wait_session()
    assert [(login.user, login.accepted) for login in session.logins] == [
        ("anna", False), ("nobody", False), ("anna", True)
    ]
    assert session.messages[0].user == "anna"
    shown = repr((sink, sink.behaviour, sink.sessions))
    for secret in (PASSWORD, "cGFzcyB3b3Jk", "d29yZA"):
        assert secret not in shown


def test_a_login_in_clear_is_refused_but_seen(make_sink, certificate):
    sink = make_sink(certificate=certificate, auth={"anna": PASSWORD})
    with client(sink) as smtp:
        smtp.ehlo()
        assert smtp.auth("PLAIN", "anna", PASSWORD).code == 538
    assert [(login.accepted, login.inside_tls) for login in sink.wait_session().logins] == [(True, False)]
    sink.change(clear_auth=True)
    with client(sink) as smtp:
        assert "AUTH" in smtp.ehlo()
        assert smtp.auth("PLAIN", "anna", PASSWORD).code == 235


def test_replies_by_verb_and_by_recipient(make_sink):
    replies = {
        "RCPT full@Example.test": "452 4.2.2 Full", "RCPT none@example.test": "550 5.1.1 Nobody", ".": "450 4.3.0 Later"
    }
    sink = make_sink(starttls=False, replies=replies)
    with client(sink) as smtp:
        smtp.ehlo()
        smtp.command("MAIL FROM:<a@example.org>")
        codes = [smtp.command("RCPT TO:<%s@example.test>" % name).code for name in ("full", "none", "good")]
        assert codes == [452, 550, 250]
        smtp.command("DATA")
        smtp.send_bytes(b"\r\n.\r\n")
        assert str(smtp.reply()) == "450 4.3.0 Later"
        assert sink.messages == []
        sink.change(replies={"DATA": "421 4.3.2 Going down"})
        assert deliver(smtp, recipients=("good@example.test",)).code == 450, "a connection keeps its behaviour"
    with client(sink) as smtp:
        smtp.ehlo()
        smtp.command("MAIL FROM:<a@example.org>")
        smtp.command("RCPT TO:<good@example.test>")
        with pytest.raises(Unobservable, match="Going down"):
            smtp.command("DATA")


@pytest.mark.parametrize("banner", [b"\x00\xff garbage\r\n", b"SSH-2.0-OpenSSH_9\r\n", "421 4.3.2 Not today"])
def test_odd_banners(make_sink, banner):
    sink = make_sink(starttls=False, banner=banner)
    with socket.create_connection((sink.address, sink.port), timeout=10) as sock:
        expected = banner if isinstance(banner, bytes) else banner.encode() + b"\r\n"
        assert sock.makefile("rb").read(len(expected)) == expected


@pytest.mark.parametrize("moment", ["connect", "banner", "EHLO", "MAIL", "DATA", "content", "."])
def test_it_closes_at_the_moment_that_was_named(make_sink, moment):
    sink = make_sink(starttls=False, closes=moment)
    with pytest.raises(Unobservable):
        with client(sink) as smtp:
            deliver_after_ehlo(smtp)
    session = sink.wait_session()
    expected = {"connect": 0, "banner": 0, "EHLO": 1, "MAIL": 2, "DATA": 4, "content": 4, ".": 4}[moment]
    # Behind the close the client may still get a line out; the sink must not have read one.
    assert len(session.verbs) == expected and sink.messages == []


@pytest.mark.parametrize(
    ("moment", "lines", "replies"),
    [
        ("connect", "", 0),
        ("EHLO", "EHLO x\r\n", 1),
        ("handshake", "EHLO x\r\nSTARTTLS\r\n", 7),
        (".", "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n", 9),
    ],
)
def test_silence_lasts_until_the_sink_is_closed(make_sink, certificate, moment, lines, replies):
    sink = make_sink(certificate=certificate, silent=moment)
    with socket.create_connection((sink.address, sink.port), timeout=10) as sock:
        stream = sock.makefile("rb")
        sock.sendall(lines.encode())
        for unused in range(replies):
            assert stream.readline()
        if moment == ".":
            sock.sendall(b".\r\n")
        sink.wait_session(lambda session: True)
        sink.close()
        assert stream.read() == b""
    assert sink.messages == [] and sink.wait_session().ended


def test_it_is_bounded(make_sink):
    sink = make_sink(starttls=False, max_size=1000, max_sessions=2)
    with client(sink) as smtp:
        smtp.ehlo()
        assert deliver(smtp, b"x" * 900 + b"\r\n").code == 250
        assert deliver(smtp, (b"x" * 70 + b"\r\n") * 1000).code == 552
        assert deliver(smtp, b"y" * 100000 + b"\r\n").code == 552
        assert deliver(smtp, b"z\r\n").code == 250
        with pytest.raises(Unobservable, match="too long"):
            smtp.command("NOOP " + "x" * 20000)
    with client(sink):
        with pytest.raises(Unobservable):
            client(sink)
    assert (len(sink.sessions), sink.turned_away) == (2, 1)
    assert [len(message.data) for message in sink.messages] == [902, 3]


def test_a_client_that_says_nothing_is_left(make_sink):
    sink = make_sink(starttls=False, timeout=0.05)
    with socket.create_connection((sink.address, sink.port), timeout=10) as sock:
        assert sock.makefile("rb").read().startswith(b"220 ")
    assert sink.wait_session().verbs == ()


def test_a_wait_ends(make_sink):
    sink = make_sink(starttls=False)
    for wait in (sink.wait_message, sink.wait_session):
        with pytest.raises(TimeoutError, match="saw no such"):
            wait(timeout=0.01)
    assert sink.wait_idle() == []


def test_several_sinks_can_be_awaited_together(make_sink):
    heard = threading.Condition()
    first, second = (make_sink(starttls=False, heard=heard) for unused in range(2))
    with client(second) as smtp:
        smtp.ehlo()
        deliver(smtp)
    with heard:
        assert heard.wait_for(lambda: second.messages, timeout=10)
    assert first.heard is second.heard is heard and not first.messages


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ({"starttls": "maybe"}, "starttls"),
        ({"starttls": False, "handshake": "odd"}, "handshake"),
        ({"starttls": False, "versions": ("TLSv1.2",)}, "versions"),
        ({"starttls": False, "versions": ("TLSv1.2", "TLSv9")}, "versions"),
        ({}, "certificate"),
        ({"implicit": True, "starttls": False}, "certificate"),
        ({"certificate": "/does/not/exist.pem"}, "/does/not/exist.pem"),
    ],
)
def test_a_behaviour_that_makes_no_sense_is_refused(behaviour, words):
    with pytest.raises(ValueError, match=words):
        Behaviour(**behaviour)


def test_the_default_is_a_modern_server(certificate):
    context = Behaviour(certificate=certificate).context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
