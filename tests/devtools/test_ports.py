# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports of the labs: free where they are needed, also when somebody else has the preferred ones."""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))

import ports  # noqa: E402


def bound(address, port=0, kind=socket.SOCK_STREAM):
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind((address, port))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    return sock


@pytest.fixture
def preferred(monkeypatch):
    """A lab whose preferred ports nobody else knows; the list can be changed."""
    with ExitStack() as stack:
        chosen = []
        for _name in ports.NAMES:
            chosen.append(stack.enter_context(bound("127.0.0.1")).getsockname()[1])
    monkeypatch.setitem(ports.PREFERRED, "relay", tuple(chosen))
    return dict(zip(ports.NAMES, chosen))


def test_ports_are_all_different(preferred):
    assert len(set(ports.choose("relay").values())) == len(ports.NAMES)


@pytest.mark.parametrize("name, number, kind", [
    ("admin", None, socket.SOCK_STREAM),
    ("dns", None, socket.SOCK_STREAM),
    ("dns", None, socket.SOCK_DGRAM),
    ("peers", 1, socket.SOCK_STREAM),
    ("peers", ports.PEER_COUNT, socket.SOCK_STREAM),
])
def test_a_port_that_is_taken_anywhere_it_is_needed_is_replaced(preferred, name, number, kind):
    address = ports.peer_address("relay", number) if number else "127.0.0.1"
    with bound(address, preferred[name], kind):
        chosen = ports.choose("relay")
    assert chosen[name] != preferred[name]
    assert len(set(chosen.values())) == len(ports.NAMES)


def test_every_lab_of_molecule_has_its_variables():
    variables = ports.scenario_variables()
    assert {"SECUREMAIL_PORT_RELAY_PEERS", "SECUREMAIL_PORT_RELAY_DNS", "SECUREMAIL_PORT_ARTICLE_ADMIN"} <= set(variables)
    assert "SECUREMAIL_PORT_DEFAULT_PEERS" not in variables
