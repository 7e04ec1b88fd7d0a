# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which listeners a rule is tried with, as they are reached from here."""

from __future__ import annotations

import socket

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils import _connection, _proof
from ansible_collections.securemail.smtp.plugins.module_utils._goal import Safety
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.policy import Listener, Policy, StartTls
from ansible_collections.securemail.smtp.plugins.module_utils._policy.rule import ForcedTlsDomain

RULE = ForcedTlsDomain("rule", "example.com", "Only over TLS")

#: On the server itself; from another host; from another host that has the server's files; at one end of a tunnel.
HERE = {"admin_host": "localhost", "server_files": "auto"}
REMOTE = {"admin_host": "mail.example.com", "server_files": "auto"}
SHARED = {"admin_host": "mail.example.com", "server_files": "local"}
TUNNEL = {"admin_host": "127.0.0.1", "server_files": "remote"}


def places(connection, *addresses, **settings):
    """Where one would ask, for listeners with STARTTLS on these addresses."""
    listeners = tuple(Listener(address, **({"tls": "starttls", "enabled": True} | settings)) for address in addresses)
    safety = Safety(hosts=_connection.seen_as(connection))
    return _proof.Proof([RULE], Policy(listeners=listeners), safety)._places


@pytest.mark.parametrize(
    ("connection", "address", "expected"),
    [
        (HERE, "0.0.0.0:25", [("127.0.0.1", 25)]),
        (HERE, "[::]:25", [("127.0.0.1", 25), ("::1", 25)]),
        (HERE, "127.0.0.1:25", [("127.0.0.1", 25)]),
        (HERE, "192.0.2.1:25", [("192.0.2.1", 25)]),
        (REMOTE, "0.0.0.0:587", [("mail.example.com", 587)]),
        (REMOTE, "[2001:db8::1]:25", [("2001:db8::1", 25)]),
        (REMOTE, "127.0.0.1:25", []),
        (REMOTE, "[::1]:25", []),
        (SHARED, "127.0.0.2:25", [("127.0.0.2", 25)]),
        (SHARED, "0.0.0.0:25", [("mail.example.com", 25), ("127.0.0.1", 25)]),
        (TUNNEL, "0.0.0.0:25", []),
        (TUNNEL, "127.0.0.1:25", []),
        (TUNNEL, "192.0.2.1:25", [("192.0.2.1", 25)]),
    ],
)
def test_addresses(connection, address, expected):
    if expected:
        assert places(connection, address) == expected
        return
    with pytest.raises(PolicyError, match="rule rule: .* no enabled listener with STARTTLS that is reached from here"):
        places(connection, address)


def test_port_25_comes_first_and_no_place_twice():
    assert places(HERE, "0.0.0.0:587", "0.0.0.0:25", "127.0.0.1:25") == [("127.0.0.1", 25), ("127.0.0.1", 587)]


@pytest.mark.parametrize("settings", [{"tls": "none"}, {"tls": "implicit"}, {"enabled": False}])
def test_listeners_that_are_no_help(settings):
    with pytest.raises(PolicyError):
        places(HERE, "0.0.0.0:25", **settings)


def test_starttls_that_is_switched_off():
    policy = Policy(listeners=(Listener("0.0.0.0:25", tls="starttls"),), starttls=StartTls(inbound=False))
    with pytest.raises(PolicyError):
        _proof.Proof([RULE], policy, Safety(hosts=("127.0.0.1",)))
    named = Safety(hosts=("127.0.0.1",), probe_address="[2001:db8::25]:2525")
    assert _proof.Proof([RULE], policy, named)._places == [("2001:db8::25", 2525)]


def test_a_listener_that_never_answers_leaves_time_for_the_next():
    with socket.socket() as silent, socket.socket() as closed:
        for one in (silent, closed):
            one.bind(("127.0.0.1", 0))
        silent.listen(1)
        addresses = ["127.0.0.1:%d" % one.getsockname()[1] for one in (silent, closed)]
        policy = Policy(listeners=tuple(Listener(address, tls="starttls") for address in addresses))
        with pytest.raises(_proof.NotProven) as caught:
            _proof.Proof([RULE], policy, Safety(hosts=("127.0.0.1",), timeout=1.0)).run()
    first, second = caught.value.said.split("; ")
    assert first.startswith("127.0.0.1 port %s: waiting for the banner: no answer" % addresses[0].rpartition(":")[2])
    assert second.startswith("no connection to 127.0.0.1 port %s: " % addresses[1].rpartition(":")[2])
