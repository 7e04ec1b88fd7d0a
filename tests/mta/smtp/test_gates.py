# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counting connections of very many clients, with a clock that the test moves."""

from __future__ import annotations

import tracemalloc

from postern.settings import FlowLimits
from postern.smtp.access import Gate

PEERS = [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(40_000)]


def test_a_64_is_one_client():
    gate, limits = Gate(), FlowLimits(peer_max_connections=2)
    for number in range(2):
        assert gate.has_room(f"2001:db8::{number}", limits, 0.0)
        gate.enter(f"2001:db8::{number}")
    assert not gate.has_room("2001:db8::ffff:9", limits, 0.0)
    assert gate.has_room("2001:db8:0:1::", limits, 0.0)
    gate.leave("2001:db8::1")
    assert gate.has_room("2001:db8::ffff:9", limits, 0.0)


def test_a_flood_of_clients_does_not_grow_the_table():
    limits = FlowLimits(peer_max_interval_connections=5, peer_time_interval=60)
    tracemalloc.start()
    try:
        gate = Gate()
        for number, peer in enumerate(PEERS):
            assert gate.has_room(peer, limits, number / 1000)
            gate.enter(peer)
            gate.leave(peer)
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert size < 6_000_000


def test_clients_with_connections_are_never_forgotten():
    gate, limits = Gate(), FlowLimits(peer_max_connections=1)
    for peer in PEERS:
        assert gate.has_room(peer, limits, 0.0)
        gate.enter(peer)
    assert not any(gate.has_room(peer, limits, 1000.0) for peer in PEERS)
    for peer in PEERS:
        gate.leave(peer)
    assert all(gate.has_room(peer, limits, 1000.0) for peer in PEERS) and gate.connections == 0


def test_what_a_client_did_lately_survives_those_whose_time_is_over():
    limits = FlowLimits(peer_max_interval_connections=1, peer_time_interval=60)
    gate = Gate()
    for number, peer in enumerate(PEERS[:12_000]):
        clock = 0.0 if number < 9_000 else 100.0
        assert gate.has_room(peer, limits, clock)
        gate.enter(peer)
        gate.leave(peer)
    assert not any(gate.has_room(peer, limits, 110.0) for peer in PEERS[9_000:12_000])
