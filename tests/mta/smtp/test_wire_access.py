# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may connect, on sockets: rules of listeners and of the service; limits of both and of allowed networks."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager

import pytest
from postern.settings import AccessControl, AccessRule, ActivationError, FlowLimits
from wire_peer import Peer
from wire_server import listener

HERE = "127.0.0.1"


@pytest.fixture
def server(make_server):
    """A server without listeners."""
    return make_server()


def greeting(server, host: str = HERE) -> str:
    """The first three digits that a client hears, which then goes."""
    with Peer(host, server.port(host)) as peer:
        return peer.reply()[1][:3]


@contextmanager
def connections(server, *hosts: str):
    """Sessions that stay."""
    with ExitStack() as stack:
        for host in hosts:
            stack.enter_context(Peer(host, server.port(host))).start()
        yield


def rule(ip_set: str = HERE, priority: int = 500, **limits: int) -> AccessRule:
    return AccessRule(ip_set, True, priority, FlowLimits(**limits))


# --- rules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_listener", "of_service", "code"),
    [
        ({}, {"deny_rules": (rule(),)}, "554"),
        ({}, {"deny_rules": (rule("127.0.0.9"),)}, "220"),
        ({}, {"deny_rules": (AccessRule(HERE),)}, "220"),
        ({}, {"deny_rules": (rule("127.0.0.0/8"),), "allow_rules": (rule(priority=100),)}, "220"),
        # The listener's rules come first, whatever the priorities.
        ({"allow_rules": (rule(priority=1000),)}, {"deny_rules": (rule(priority=1),)}, "220"),
        ({"deny_rules": (rule(priority=1000),)}, {"allow_rules": (rule(priority=1),)}, "554"),
        ({"deny_rules": (rule("127.0.0.9"),)}, {"deny_rules": (rule(),)}, "554"),
    ],
)
def test_rules_of_the_service(server, of_listener, of_service, code):
    server.activate(listener(**of_listener), access=AccessControl(**of_service))
    assert greeting(server) == code


def test_rules_of_the_service_hold_for_all_listeners_and_change_with_a_generation(server):
    hosts = ("127.0.0.1", "127.0.0.2")
    server.activate(*map(listener, hosts), access=AccessControl(deny_rules=(rule("127.0.0.0/8"),)))
    assert [greeting(server, host) for host in hosts] == ["554", "554"]
    server.activate(*map(listener, hosts))
    assert [greeting(server, host) for host in hosts] == ["220", "220"]


def test_a_rule_of_the_service_that_is_no_network(server):
    with pytest.raises(ActivationError, match=r"access control of the service: network '10\.0\.0'"):
        server.activate(listener(), access=AccessControl(deny_rules=(rule("10.0.0"),)))


def test_the_log_says_which_rule_or_limit_it_was(server):
    of_listener = rule("127.0.0.0/24", peer_max_interval_connections=1)
    server.activate(
        listener("127.0.0.1", allow_rules=(of_listener,)),
        listener("127.0.0.2", max_connections=1, deny_rules=(rule("127.0.0.1"),)),
        listener("127.0.0.3"),
        listener("127.0.0.4", max_interval_connections=1),
        access=AccessControl(limits=FlowLimits(max_interval_connections=1)),
    )
    told = [greeting(server, host) for host in ("127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.4", "127.0.0.3")]
    assert told == ["220", "421", "554", "220", "421"]
    for reason in (
        "limits of 127.0.0.0/24 of listener 127.0.0.1:0",
        "deny rule 127.0.0.1 of listener 127.0.0.2:0",
        "limits of the service",
    ):
        server.log.wait("smtp.refused", reason=reason)
    assert greeting(server, "127.0.0.4") == "421"
    server.log.wait("smtp.refused", reason="limits of listener 127.0.0.4:0")


# --- limits ---------------------------------------------------------------------------------------

AT_ONCE = ("max_connections", "peer_max_connections")
IN_A_WHILE = ("max_interval_connections", "peer_max_interval_connections")


@pytest.mark.parametrize("limit", IN_A_WHILE)
def test_a_listener_counts_the_connections_that_begin(server, limit):
    server.activate(listener(**{limit: 2}))
    assert [greeting(server) for _number in range(3)] == ["220", "220", "421"]


@pytest.mark.parametrize("span", ["time_interval", "peer_time_interval"])
def test_after_the_time_span_a_listener_takes_connections_again(server, span):
    limit = IN_A_WHILE[span == "peer_time_interval"]
    server.activate(listener(**{limit: 1, span: 1}))
    assert greeting(server) == "220"
    end = time.monotonic() + 20
    while greeting(server) != "220":
        assert time.monotonic() < end


@pytest.mark.parametrize("level", ["listener", "service"])
@pytest.mark.parametrize("limit", AT_ONCE)
def test_connections_at_once_that_a_rule_lets_in(server, level, limit):
    rules = {"allow_rules": (rule(**{limit: 1}),)}
    if level == "listener":
        server.activate(listener(**rules))
    else:
        server.activate(listener(), access=AccessControl(**rules))
    with connections(server, HERE):
        assert greeting(server) == "421"
    server.log.wait("smtp.session")
    assert greeting(server) == "220"


def test_connections_in_a_while_that_a_rule_lets_in(server):
    server.activate(listener(allow_rules=(rule(max_interval_connections=2),)))
    assert [greeting(server) for _number in range(3)] == ["220", "220", "421"]


def test_limits_of_a_rule_are_about_its_own_clients(server):
    server.activate(listener(allow_rules=(rule("127.0.0.9", max_connections=1), rule(priority=900))))
    with connections(server, HERE):
        assert greeting(server) == "220"


def test_the_listeners_limits_hold_beside_those_of_a_rule(server):
    server.activate(listener(max_connections=1, allow_rules=(rule(max_connections=5),)))
    with connections(server, HERE):
        assert greeting(server) == "421"


def test_limits_of_the_service_are_about_all_listeners_together(server):
    limits = AccessControl(limits=FlowLimits(max_connections=2))
    server.activate(listener("127.0.0.1"), listener("127.0.0.2"), access=limits)
    with connections(server, "127.0.0.1", "127.0.0.2"):
        assert (greeting(server, "127.0.0.1"), greeting(server, "127.0.0.2")) == ("421", "421")
        # What runs is counted by the next generation too.
        server.activate(listener("127.0.0.1"), listener("127.0.0.2"), access=limits)
        assert greeting(server, "127.0.0.1") == "421"
        server.activate(listener("127.0.0.1"), listener("127.0.0.2"))
        assert greeting(server, "127.0.0.1") == "220"


def test_limits_of_the_service_are_not_about_what_a_rule_of_the_listener_lets_in(server):
    access = AccessControl(limits=FlowLimits(max_interval_connections=1))
    server.activate(listener("127.0.0.1", allow_rules=(rule(),)), listener("127.0.0.2"), access=access)
    assert [greeting(server, "127.0.0.1") for _number in range(3)] == ["220"] * 3
    assert [greeting(server, "127.0.0.2") for _number in range(2)] == ["220", "421"]


def test_a_refused_connection_counts_nowhere(server):
    """The listener has room and the service has not: only what is let in uses up the listener's limit."""
    access = AccessControl(limits=FlowLimits(max_connections=1))
    server.activate(listener(max_interval_connections=2), access=access)
    with connections(server, HERE):
        assert [greeting(server) for _number in range(3)] == ["421"] * 3
    server.log.wait("smtp.session")
    assert greeting(server) == "220"


# --- IPv6 -----------------------------------------------------------------------------------------


def test_one_listener_for_each_family(server):
    """[::1] and 127.0.0.1 have rules and limits of their own, and a rule for one is not about the other."""
    server.activate(
        listener("::1", allow_rules=(rule("::1", priority=100),)),
        listener("127.0.0.1"),
        access=AccessControl(deny_rules=(rule("::/0"), rule("127.0.0.9"))),
    )
    assert (greeting(server, "::1"), greeting(server, "127.0.0.1")) == ("220", "220")
    server.activate(listener("::1"), listener("127.0.0.1"), access=AccessControl(deny_rules=(rule("::/0"),)))
    assert (greeting(server, "::1"), greeting(server, "127.0.0.1")) == ("554", "220")


def test_connections_of_one_client_over_ipv6(server):
    server.activate(listener("::1", peer_max_connections=1))
    with connections(server, "::1"):
        assert greeting(server, "::1") == "421"
    server.log.wait("smtp.session")
    assert greeting(server, "::1") == "220"
