# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses of listeners and networks of clients: one spelling for each, advice for everything else."""

from __future__ import annotations

import random

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.address import (
    listener_address,
    network,
    networks,
    sort_key,
    split_address,
)
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError

CANONICAL = [
    ("0.0.0.0:25", "0.0.0.0:25"),
    ("192.0.2.1:587", "192.0.2.1:587"),
    (" 192.0.2.1:587\t", "192.0.2.1:587"),
    ("192.0.2.1:1", "192.0.2.1:1"),
    ("192.0.2.1:65535", "192.0.2.1:65535"),
    ("[::]:25", "[::]:25"),
    ("[0:0:0:0:0:0:0:0]:25", "[::]:25"),
    ("[0000:0000:0000:0000:0000:0000:0000:0000]:25", "[::]:25"),
    ("[::0]:25", "[::]:25"),
    ("[0::]:25", "[::]:25"),
    ("[0::0]:25", "[::]:25"),
    ("[::0.0.0.0]:25", "[::]:25"),
    ("[::1]:465", "[::1]:465"),
    ("[2001:DB8::25]:587", "[2001:db8::25]:587"),
    ("[2001:0db8:0000:0000:0000:0000:0000:0025]:587", "[2001:db8::25]:587"),
    ("[2001:db8:0:0:1:0:0:1]:25", "[2001:db8::1:0:0:1]:25"),
    ("[2001:db8:0:1:1:1:1:1]:25", "[2001:db8:0:1:1:1:1:1]:25"),
    ("[2001:0:0:1:0:0:0:1]:25", "[2001:0:0:1::1]:25"),
    ("[::ffff:192.0.2.1]:25", "[::ffff:192.0.2.1]:25"),
    ("[::FFFF:192.0.2.1]:25", "[::ffff:192.0.2.1]:25"),
    ("[::ffff:c000:201]:25", "[::ffff:192.0.2.1]:25"),
    ("[0:0:0:0:0:ffff:192.0.2.1]:25", "[::ffff:192.0.2.1]:25"),
    ("[64:ff9b::192.0.2.1]:25", "[64:ff9b::c000:201]:25"),
]

REFUSED = [
    (625, "got the number 625, quote it"),
    ("625", "got the number 625, quote it"),
    ("309", "got the number 309, quote it"),
    (0.25, "got the number 0.25, quote it"),
    ("25.587", "got the number 25.587, quote it"),
    (True, "got the boolean true"),
    (False, "got the boolean false"),
    (None, "got nothing"),
    ("", "got nothing"),
    ([], "got a list"),
    ({}, "got a dictionary"),
    ("*:25", 'write "0.0.0.0:25" for every IPv4 address, "[::]:25"'),
    (":25", 'write "0.0.0.0:25"'),
    ("0:25", 'write "0.0.0.0:25"'),
    ("localhost:25", "host names are not looked up"),
    ("mail.example.test:25", "host names are not looked up"),
    ("192.0.2.1:smtp", "service names are not looked up"),
    ("192.0.2.1:", "the port must be a number"),
    ("192.0.2.1:00587", "without leading zeros"),
    ("192.0.2.1:025", "without leading zeros"),
    ("192.0.2.1:0", "between 1 and 65535"),
    ("192.0.2.1:65536", "between 1 and 65535"),
    ("192.0.2.1:99999999999999999999", "between 1 and 65535"),
    ("192.0.2.1:999999999999999999999", "the port must be a number"),
    ("192.0.2.1:-25", "the port must be a number"),
    ("192.0.2.1:+25", "the port must be a number"),
    ("192.0.2.1:\uff12\uff15", "characters that no address has"),
    ("192.0.2.1: 25", "the port must be a number"),
    ("192.0.2.256:25", "not an IPv4 address"),
    ("192.0.2:25", "not an IPv4 address"),
    ("192.0.2.1.1:25", "not an IPv4 address"),
    ("192.0.02.1:25", "leading zeros"),
    ("0300.0.2.1:25", "leading zeros"),
    ("192.0.2.1", 'write "192.0.2.1:25"'),
    ("example.test", "the port is missing"),
    ("::", 'write "[::]:25"'),
    ("[::]", 'write "[::]:25"'),
    ("2001:db8::25:587", '"[2001:db8::25]:587"'),
    ("2001:db8::25", 'write "[2001:db8::25]:25"'),
    ("::ffff:192.0.2.1:25", "IPv6 needs brackets"),
    ("[fe80::1%eth0]:25", "zone"),
    ("[fe80::1%25eth0]:25", "zone"),
    ("[192.0.2.1]:25", "brackets are for IPv6 only"),
    ("[::1:25", "a closing bracket, a colon and the port"),
    ("[::1]25", "a closing bracket, a colon and the port"),
    ("[::1]:25:25", "a closing bracket, a colon and the port"),
    ("[]:25", "not an IPv6 address"),
    ("[1:2:3]:25", "not an IPv6 address"),
    ("[::12345]:25", "not an IPv6 address"),
    ("[1::2::3]:25", "not an IPv6 address"),
    ("[::ffff:192.0.2.001]:25", "leading zeros"),
    ("[::ffff:192.0.2.256]:25", "not an IPv4 address"),
    ("192.0.2.1:25\nQUIT", "characters that no address has"),
    ("192.0.2.1:25\r", "characters that no address has"),
    ("192.0.2.1\0:25", "characters that no address has"),
    ("192.0.2.1/24:25", "not an IP address"),
    ("https://192.0.2.1:25", "IPv6 needs brackets"),
]


@pytest.mark.parametrize(("given", "canonical"), CANONICAL)
def test_an_address_has_one_spelling(given, canonical):
    assert listener_address(given) == canonical
    assert listener_address(canonical) == canonical


@pytest.mark.parametrize(("given", "advice"), REFUSED)
def test_what_is_no_address_is_refused_with_advice(given, advice):
    with pytest.raises(PolicyError) as caught:
        listener_address(given, "listeners #2")
    (problem,) = caught.value.problems
    assert problem.startswith('listeners #2 must be like "0.0.0.0:25" or "[::]:25"; got ')
    assert advice in problem
    assert problem.isprintable()


def test_the_message_about_a_number_is_the_documented_one():
    with pytest.raises(PolicyError) as caught:
        listener_address(625)
    assert str(caught.value) == 'address must be like "0.0.0.0:25" or "[::]:25"; got the number 625, quote it'


def test_a_long_value_is_shortened_in_the_message():
    with pytest.raises(PolicyError) as caught:
        listener_address("x" * 5000 + ":25")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("canonical", "parts"),
    [("0.0.0.0:25", ("0.0.0.0", 25)), ("[::]:587", ("::", 587)), ("[::ffff:192.0.2.1]:25", ("::ffff:192.0.2.1", 25))],
)
def test_a_canonical_address_is_taken_apart(canonical, parts):
    assert split_address(canonical) == parts


def test_listeners_are_ordered_by_numbers_and_not_by_letters():
    ordered = [
        "0.0.0.0:25",
        "0.0.0.0:465",
        "9.0.0.1:25",
        "10.0.0.1:25",
        "192.0.2.1:25",
        "[::]:25",
        "[::]:2525",
        "[::1]:25",
        "[2001:db8::1]:25",
    ]
    shuffled = ordered[:]
    random.Random(4).shuffle(shuffled)
    assert sorted(shuffled, key=sort_key) == ordered


NETWORKS = [
    ("10.0.0.0/8", "10.0.0.0/8"),
    ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
    ("0.0.0.0/0", "0.0.0.0/0"),
    ("0.0.0.0/0.0.0.0", "0.0.0.0/0"),
    ("192.0.2.1", "192.0.2.1/32"),
    ("192.0.2.1/32", "192.0.2.1/32"),
    ("192.0.2.1/255.255.255.255", "192.0.2.1/32"),
    ("10.0.0.1-10.0.0.20", "10.0.0.1-10.0.0.20"),
    (" 10.0.0.1 - 10.0.0.20 ", "10.0.0.1-10.0.0.20"),
    ("10.0.0.0-10.0.0.255", "10.0.0.0/24"),
    ("10.0.0.7-10.0.0.7", "10.0.0.7/32"),
    ("0.0.0.0-255.255.255.255", "0.0.0.0/0"),
    ("10.0.0.4-10.0.0.7", "10.0.0.4/30"),
    ("10.0.0.6-10.0.0.9", "10.0.0.6-10.0.0.9"),
    ("10.0.0.4-10.0.0.6", "10.0.0.4-10.0.0.6"),
    ("2001:db8::-2001:db8::ffff", "2001:db8::/112"),
    ("::1", "::1/128"),
    ("[::1]", "::1/128"),
    ("2001:DB8::/32", "2001:db8::/32"),
    ("2001:db8:0:0::/64", "2001:db8::/64"),
    ("::/0", "::/0"),
    ("2001:db8::1-2001:db8::F", "2001:db8::1-2001:db8::f"),
    ("::ffff:192.0.2.0/120", "::ffff:192.0.2.0/120"),
]

BAD_NETWORKS = [
    (10, "got the number 10"),
    (None, "got nothing"),
    ("", "got nothing"),
    ("10.0.0.1/8", 'write "10.0.0.0/8" for the network or "10.0.0.1" for the one address'),
    ("2001:db8::1/32", 'write "2001:db8::/32"'),
    ("10.0.0.0/33", "prefix length from 0 to 32"),
    ("::/129", "prefix length from 0 to 128"),
    ("10.0.0.0/08", "prefix length"),
    ("10.0.0.0/", "prefix length"),
    ("10.0.0.0/-1", "not a"),
    ("10.0.0.0/255.0.255.0", "prefix length"),
    ("10.0.0.0/0.0.0.255", "prefix length"),
    ("2001:db8::/255.0.0.0", "prefix length"),
    ("10.0.0.20-10.0.0.1", "ends before it begins"),
    ("10.0.0.1-::1", "one family"),
    ("10.0.0.1-", "not an IP"),
    ("10.0.0-10.0.1", "not an IPv4 address"),
    ("all", '"0.0.0.0/0"'),
    ("ANY", '"0.0.0.0/0"'),
    ("*", '"0.0.0.0/0"'),
    ("office.example.test", "host names are not looked up"),
    ("010.0.0.0/8", "leading zeros"),
    ("fe80::1%eth0", "zone"),
    ("10.0.0.0/8\nREMOVE", "characters"),
]


@pytest.mark.parametrize(("given", "canonical"), NETWORKS)
def test_a_network_has_one_spelling(given, canonical):
    assert network(given) == canonical
    assert network(canonical) == canonical


@pytest.mark.parametrize(("given", "advice"), BAD_NETWORKS)
def test_what_is_no_network_is_refused_with_advice(given, advice):
    with pytest.raises(PolicyError, match="denied_networks must be like") as caught:
        network(given, "denied_networks")
    assert advice in str(caught.value)


def test_networks_are_a_set_in_order_of_address():
    given = ["::1", "192.0.2.1", "10.0.0.0/8", "10.0.0.0/255.0.0.0", "9.0.0.0/8"]
    expected = ("9.0.0.0/8", "10.0.0.0/8", "192.0.2.1/32", "::1/128")
    assert networks(given, "allowed_networks") == expected
    assert networks(given[::-1], "allowed_networks") == expected
    assert networks("192.0.2.1, 10.0.0.0/8", "allowed_networks") == ("10.0.0.0/8", "192.0.2.1/32")
    assert networks([], "allowed_networks") == ()


def test_all_bad_networks_are_named_together_with_their_places():
    with pytest.raises(PolicyError) as caught:
        networks(["10.0.0.0/8", "x", "10.0.0.1/8"], "allowed_networks")
    assert [problem.split(" must")[0] for problem in caught.value.problems] == [
        "allowed_networks #2",
        "allowed_networks #3",
    ]


def test_no_networks_is_not_the_same_as_an_empty_list():
    with pytest.raises(PolicyError, match="must be a list"):
        networks(None, "allowed_networks")
