# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where services of a master.cf listen, and lists of protocols, in the words of a policy."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._policy.tls import VERSIONS
from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix import addresses, tls_values
from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix.master_cf import MasterCf


HAS = addresses._has


@pytest.fixture(autouse=True)
def both_families(monkeypatch):
    """Hosts that tests run on may have no IPv6."""
    monkeypatch.setattr(addresses, "_has", lambda family, address="": True)


def conf(master, interfaces="all", protocols="ipv4, ipv6"):
    """What is asked of a configuration for its addresses."""
    values = {"inet_interfaces": interfaces, "inet_protocols": protocols}
    return SimpleNamespace(master=MasterCf.parse(master), value=values.get)


def where(name, **found):
    state = conf("%s inet n - n - - smtpd\n" % name, **found)
    return addresses.sockets(state, state.master.services[0])


@pytest.mark.parametrize("name, number", [
    ("smtps", 465), ("submissions", 465), ("ssmtp", 465), ("urd", 465), ("SMTPS", 465), ("465", 465),
    ("submission", 587), ("smtp", 25), ("2525", 2525), ("0", None), ("65536", None), ("no-such-port", None), ("", None),
])
def test_the_number_of_a_port(name, number):
    assert addresses.port_number(name) == number


@pytest.mark.parametrize("name, found", [
    ("127.0.0.1:2525", ("127.0.0.1:2525",)),
    ("[127.0.0.1]:2525", ("127.0.0.1:2525",)),
    ("[::1]:2525", ("[::1]:2525",)),
    ("::1:2525", ("[::1]:2525",)),
    ("[2001:DB8:0::25]:smtp", ("[2001:db8::25]:25",)),
    ("0.0.0.0:submission", ("0.0.0.0:587",)),
    ("[::]:smtps", ("[::]:465",)),
])
def test_an_address_is_where_it_says_whatever_the_interfaces_are(name, found):
    for interfaces in ("all", "loopback-only", "192.0.2.1"):
        assert where(name, interfaces=interfaces) == (found, "")


@pytest.mark.parametrize("interfaces, protocols, found", [
    ("all", "ipv4", ("0.0.0.0:25",)),
    ("", "ipv4", ("0.0.0.0:25",)),
    ("loopback-only", "ipv4", ("127.0.0.1:25",)),
    ("192.0.2.1, 192.0.2.2", "ipv4", ("192.0.2.1:25", "192.0.2.2:25")),
    ("192.0.2.1 192.0.2.1", "ipv4", ("192.0.2.1:25",)),
    ("192.0.2.1, [2001:db8::1]", "ipv4, ipv6", ("192.0.2.1:25", "[2001:db8::1]:25")),
])
@pytest.mark.parametrize("name", ["smtp", "25", ":25", ":smtp"])
def test_a_bare_port_is_that_port_of_each_interface(name, interfaces, protocols, found):
    assert where(name, interfaces=interfaces, protocols=protocols) == (found, "")


def test_an_address_of_a_family_that_is_left_out_ends_postfix():
    assert where("[::1]:25", protocols="ipv4") == ((), "inet_protocols leaves out the family of ::1, and Postfix would not start with it")
    assert where("127.0.0.1:25", protocols="ipv6").addresses == ()


@pytest.mark.parametrize("name, words", [("no-such-port", "no-such-port"), ("no-host.invalid:25", "no-host.invalid"), ("[fe80::1%lo]:25", "zone")])
def test_what_cannot_be_known_is_told(name, words):
    found = where(name)
    assert not found.addresses and words in found.unknown


def test_a_host_without_a_family_has_no_listeners_in_it(monkeypatch):
    real = socket.socket

    def without_ipv6(family=socket.AF_INET, *more, **named):
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(family, *more, **named)

    monkeypatch.setattr(addresses, "_has", HAS)
    monkeypatch.setattr(socket, "socket", without_ipv6)
    assert where("smtp", protocols="all").addresses == ("0.0.0.0:25",)
    assert where("smtp", interfaces="loopback-only", protocols="all").addresses == ("127.0.0.1:25",)


def test_two_services_of_one_port_are_told_with_both_lines_once():
    state = conf("smtps inet n - n - - smtpd\n# between\n465 inet n - n - - smtpd\n587 inet n - n - - smtpd\n", protocols="ipv4")
    (told,) = addresses.twice(state)
    assert "0.0.0.0:465" in told and "smtps in line 1 and 465 in line 3" in told


@pytest.mark.parametrize("new, others", [
    ("127.0.0.1:25", ["0.0.0.0:25"]),
    ("[2001:db8::1]:25", ["[::]:25"]),
    ("0.0.0.0:25", ["127.0.0.1:25"]),
    ("127.0.0.1:25", []),
    ("[::]:465", []),
    ("0.0.0.0:26", []),
])
def test_all_addresses_of_a_port_include_each_of_them(new, others):
    lines = {"127.0.0.1:25": "0.0.0.0:25 [::]:25 0.0.0.0:465", "[2001:db8::1]:25": "[::]:25 0.0.0.0:25", "0.0.0.0:25": "127.0.0.1:25 [::1]:25"}
    names = lines[new] if others else "0.0.0.0:465 127.0.0.2:25 [::1]:25"
    found = addresses.overlaps(conf("".join("%s inet n - n - - smtpd\n" % name for name in names.split())), new)
    assert [address for address, unused in found] == others


def test_a_port_that_somebody_has_is_busy():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        assert "in use" in addresses.busy("127.0.0.1:%d" % port)
        assert "in use" in addresses.busy("0.0.0.0:%d" % port)
    assert addresses.busy("127.0.0.1:%d" % port) == ""
    assert addresses.busy("192.0.2.1:2525")


SPANS = [VERSIONS[low : high + 1] for low in range(2, 6) for high in range(low, 6)]


@pytest.mark.parametrize("versions", SPANS)
def test_what_is_written_is_read_as_the_same_set(versions):
    for ranges in (True, False):
        for separator in (", ", ",", ":"):
            text = tls_values.protocols(versions, ranges, separator)
            assert tls_values.versions_of(text) == versions
            assert tls_values.same_protocols(text, tls_values.protocols(versions, not ranges))
    assert ">" not in tls_values.protocols(versions, False)


@pytest.mark.parametrize("text", ["TLSv2", "!!TLSv1", ">=TLSv2", ">=SSLv2", "TLSv1.2; TLSv1.3", "all"])
def test_what_is_no_list_of_protocols_is_none(text):
    assert tls_values.versions_of(text) is None
    assert not tls_values.same_protocols(text, text)
