# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listening sockets: generations that follow each other, addresses that are taken, who may connect."""

from __future__ import annotations

import socket

import pytest
from postern.rules.relay import decide
from postern.settings import AccessControl, AccessRule, ActivationError, TlsSettings
from postern.smtp.access import Access, Gate
from postern.smtp.listener import bind
from wire_peer import Peer, client_context, keywords
from wire_server import OPEN_SCRIPT, listener


@pytest.fixture
def server(make_server):
    """A server without listeners."""
    return make_server()


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody has at the moment."""
    with bind(host, 0) as found:
        return found.getsockname()[1]


def answers(host: str, port: int) -> bool:
    """Whether a server greets there."""
    try:
        with Peer(host, port) as peer:
            return peer.reply()[0] == 220
    except ConnectionRefusedError:
        return False


# --- generations ----------------------------------------------------------------------------------


def test_a_taken_address_changes_nothing(server):
    server.activate(listener("127.0.0.1"))
    before = server.service.listening
    with bind("127.0.0.5", 0) as other:
        taken = other.getsockname()[1]
        with pytest.raises(ActivationError) as raised:
            server.activate(listener("127.0.0.6"), listener("127.0.0.5", taken))
        assert str(raised.value) == f"cannot listen on 127.0.0.5:{taken}: address already in use"
        assert server.service.listening == before
        assert answers("127.0.0.1", server.port())
    server.activate(listener("127.0.0.6"), listener("127.0.0.5", taken))
    assert answers("127.0.0.5", taken) and answers("127.0.0.6", server.port("127.0.0.6"))


def test_what_sending_asks_the_running_generation(server):
    """Its rules and its addresses; a generation that is refused changes neither."""
    service = server.service
    assert (service.rules, service.addresses) == (None, frozenset())
    server.activate(listener("127.0.0.1"), listener("127.0.0.2"), script='event onRelay { set (sslEnabled, "yes"); }')
    rules, addresses = service.rules, service.addresses
    assert decide(rules, "b.example", "", "").level == "encrypt"
    assert addresses == {("127.0.0.1", server.port("127.0.0.1")), ("127.0.0.2", server.port("127.0.0.2"))}
    with pytest.raises(ActivationError, match="policy script"):
        server.activate(script="event onRelay {")
    with pytest.raises(ActivationError, match="cannot listen"):
        server.activate(listener("192.0.2.1", 2525), script=OPEN_SCRIPT)
    assert (service.rules, service.addresses) == (rules, addresses)
    # A server that takes no mail sends what it has.
    server.activate(listener(enable=False), script='event onRelay { set (allowStartTLS, "no"); }')
    assert (decide(service.rules, "b.example", "", "").level, service.addresses) == ("none", frozenset())


def test_an_address_that_is_not_ours(server):
    with pytest.raises(ActivationError, match=r"cannot listen on 192\.0\.2\.1:2525: cannot assign requested address"):
        server.activate(listener("192.0.2.1", 2525))


def test_unchanged_sockets_and_running_sessions_stay(server):
    server.activate(listener("127.0.0.1"), listener("127.0.0.2"))
    port, gone = server.port("127.0.0.1"), server.port("127.0.0.2")
    with Peer("127.0.0.1", port) as old, Peer("127.0.0.2", gone) as orphan:
        old.start()
        orphan.start()
        refusing = 'event onMailFrom { set (smtpAction, "reject"); }'
        server.activate(listener("127.0.0.1"), listener("127.0.0.3"), script=refusing)
        assert server.port("127.0.0.1") == port
        assert not answers("127.0.0.2", gone) and answers("127.0.0.3", server.port("127.0.0.3"))
        # Sessions live on, also where nobody listens any more; the new rules are about their next mail.
        for session in (old, orphan):
            session.expect("MAIL FROM:<a@example.test>", 550)
            session.expect("NOOP", 250)
        with Peer("127.0.0.1", port) as new:
            new.start()
            new.expect("MAIL FROM:<a@example.test>", 550)


def test_certificates_change_for_new_connections_only(server, ec_file, rsa_file):
    server.activate(listener(tls=TlsSettings(cert_file=ec_file)))
    context = client_context()

    def certificate(peer: Peer) -> bytes:
        peer.starttls(context)
        return peer.socket.getpeercert(binary_form=True)

    with Peer("127.0.0.1", server.port()) as before, Peer("127.0.0.1", server.port()) as waiting:
        before.start()
        first = certificate(before)
        waiting.start()
        server.activate(listener(tls=TlsSettings(cert_file=rsa_file)))
        before.expect("EHLO x", 250)
        assert certificate(waiting) == first
        with Peer("127.0.0.1", server.port()) as after:
            after.start()
            assert certificate(after) != first


def test_from_all_addresses_to_one_of_them_and_back(server):
    port = free_port("0.0.0.0")
    server.activate(listener("0.0.0.0", port))
    assert answers("127.0.0.9", port)
    server.activate(listener("127.0.0.1", port))
    assert answers("127.0.0.1", port) and not answers("127.0.0.9", port)
    server.activate(listener("0.0.0.0", port))
    assert answers("127.0.0.9", port)


def test_a_failure_behind_such_a_move_brings_the_old_socket_back(server):
    port = free_port("0.0.0.0")
    server.activate(listener("0.0.0.0", port))
    with bind("127.0.0.5", 0) as other:
        with pytest.raises(ActivationError):
            server.activate(listener("127.0.0.1", port), listener("127.0.0.5", other.getsockname()[1]))
    assert server.service.listening == [f"0.0.0.0:{port}"]
    assert answers("127.0.0.9", port)


def test_generations_that_contradict_themselves(server, ec_file):
    server.activate(listener("127.0.0.1"))
    bad = listener("127.0.0.2", ssl_enable=True)
    with pytest.raises(ActivationError, match=r"listener 127\.0\.0\.2:0: TLS from the first byte needs a certificate"):
        server.activate(bad)
    with pytest.raises(ActivationError, match=r"policy script: line 3, column 2: .*statement 'stop;'"):
        server.activate(listener("127.0.0.2"), script="event onEhlo {\n\n\tstop;\n}")
    with pytest.raises(ActivationError, match=r"listener 127\.0\.0\.2:0 is configured twice"):
        server.activate(listener("127.0.0.2"), listener("127.0.0.2"))
    with pytest.raises(ActivationError, match=r"listener 127\.0\.0\.2:0: network '10\.0\.0'"):
        server.activate(listener("127.0.0.2", deny_rules=(AccessRule("10.0.0", enable=True),)))
    assert len(server.service.listening) == 1 and answers("127.0.0.1", server.port())


def test_a_disabled_listener_is_closed(server):
    server.activate(listener("127.0.0.1"), listener("127.0.0.2"))
    port = server.port("127.0.0.2")
    server.activate(listener("127.0.0.1"), listener("127.0.0.2", enable=False))
    assert not answers("127.0.0.2", port)


def test_a_script_with_odd_bytes_runs(server):
    script = 'event onMailFrom { set (smtpAction, "reject"); set (smtpExplanation, "verschl\xfcsseln"); }'.encode(
        "latin-1"
    )
    server.activate(listener(), script=script)
    with Peer("127.0.0.1", server.port()) as peer:
        peer.start()
        assert peer.expect("MAIL FROM:<a@example.test>", 550) == "550 5.7.1 verschl?sseln\r\n"


def test_ipv4_and_ipv6_on_one_port(server):
    with bind("0.0.0.0", 0) as probe:
        # Free at every address, and not at one of them only.
        port = probe.getsockname()[1]
    server.activate(listener("0.0.0.0", port), listener("::", port))
    assert answers("127.0.0.1", port) and answers("::1", port)
    assert server.service.listening == [f"0.0.0.0:{port}", f"[::]:{port}"]
    server.activate(listener("::", port))
    assert not answers("127.0.0.1", port) and answers("::1", port)


def test_replies_do_not_wait_for_acknowledgements():
    with bind("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_closing_tells_the_sessions(make_server):
    server = make_server()
    server.activate(listener())
    port = server.port()
    with Peer("127.0.0.1", port) as peer:
        peer.start()
        server.run(server.service.close())
        assert peer.reply()[1].startswith("421 4.3.2 ")
        assert peer.is_closed()
    assert not answers("127.0.0.1", port)


# --- who may connect ------------------------------------------------------------------------------


def rules(*ip_sets: str, priority: int = 500) -> tuple[AccessRule, ...]:
    """Enabled rules."""
    return tuple(AccessRule(ip_set, enable=True, priority=priority) for ip_set in ip_sets)


@pytest.mark.parametrize(
    ("settings", "admitted"),
    [
        ({}, True),
        ({"deny_rules": rules("192.0.2.0/24")}, False),
        ({"deny_rules": rules("192.0.2.0/255.255.255.0")}, False),
        ({"deny_rules": rules("192.0.2.1-192.0.2.9")}, False),
        ({"deny_rules": rules("192.0.2.7")}, False),
        ({"deny_rules": rules("192.0.2.8")}, True),
        ({"deny_rules": rules("::/0")}, True),
        ({"deny_rules": (AccessRule("0.0.0.0/0", enable=False),)}, True),
        ({"deny_rules": rules("0.0.0.0/0"), "allow_rules": rules("192.0.2.7", priority=100)}, True),
        ({"deny_rules": rules("0.0.0.0/0"), "allow_rules": rules("192.0.2.8", priority=100)}, False),
        ({"deny_rules": rules("192.0.2.7", priority=1), "allow_rules": rules("0.0.0.0/0", priority=2)}, False),
        ({"deny_rules": rules("192.0.2.7"), "allow_rules": rules("192.0.2.7")}, False),
        ({"allow_rules": rules("10.0.0.0/8")}, True),
    ],
)
def test_networks(settings, admitted):
    assert (Access(listener(**settings), AccessControl()).judge("192.0.2.7")[0] is None) is admitted


def test_a_denied_client_is_told(server, ec_file):
    denied = rules("127.0.0.1")
    tls = TlsSettings(cert_file=ec_file)
    server.activate(
        listener("127.0.0.1", deny_rules=denied), listener("127.0.0.2", tls=tls, ssl_enable=True, deny_rules=denied)
    )
    with Peer("127.0.0.1", server.port("127.0.0.1")) as peer:
        assert peer.reply()[1].startswith("554 5.7.1 ")
        assert peer.is_closed()
    with Peer("127.0.0.2", server.port("127.0.0.2")) as peer:
        # Not a single octet in clear text.
        assert peer.is_closed()
    server.log.wait("smtp.refused", code=554, peer="127.0.0.1")


@pytest.mark.parametrize("limit", ["max_connections", "peer_max_connections"])
def test_connections_at_once(server, limit):
    server.activate(listener(**{limit: 2}))
    with Peer("127.0.0.1", server.port()) as first, Peer("127.0.0.1", server.port()) as second:
        first.start()
        second.start()
        with Peer("127.0.0.1", server.port()) as third:
            assert third.reply()[1].startswith("421 4.7.0 ")
            assert third.is_closed()
        # A place that becomes free is given away, also by a generation in between.
        server.activate(listener(**{limit: 2}), script=OPEN_SCRIPT)
        first.expect("QUIT", 221)
        assert first.is_closed()
        first.socket.close()
        server.log.wait("smtp.session", reason="quit")
        with Peer("127.0.0.1", server.port()) as fourth:
            fourth.start()


def test_connections_in_a_while():
    gate = Gate()
    settings = listener(
        max_interval_connections=3, time_interval=60, peer_max_interval_connections=2, peer_time_interval=30
    )

    def enter(peer: str, clock: float) -> bool:
        admitted = gate.has_room(peer, settings, clock)
        if admitted:
            gate.enter(peer)
            gate.leave(peer)
        return admitted

    assert [enter("192.0.2.1", 100), enter("192.0.2.1", 101), enter("192.0.2.1", 102)] == [True, True, False]
    assert [enter("192.0.2.2", 103), enter("192.0.2.3", 104)] == [True, False]
    assert enter("192.0.2.1", 161)


def test_a_thousand_connections_come_and_go(server):
    server.activate(listener())
    for _turn in range(10):
        peers = [Peer("127.0.0.1", server.port()) for _number in range(100)]
        for peer in peers:
            peer.start()
        for peer in peers:
            peer.socket.close()
    with Peer("127.0.0.1", server.port()) as peer:
        assert "SIZE" in keywords(peer.start())
