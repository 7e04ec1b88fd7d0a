# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where mail for a domain goes, with a real name server on the loopback."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("dns", reason="the sending half needs dnspython")

from dns_fixtures import Zone  # noqa: E402
from postern.delivery.resolver import LookupFailed, Resolver  # noqa: E402
from postern.delivery.route import MAX_HOPS, Hop, route  # noqa: E402
from postern.rules.relay import Relay  # noqa: E402
from zone import SERVFAIL  # noqa: E402

OWN = "mail.own.test"
RECORDS = {
    "a.test": {"MX": ["20 mx2.a.test", "10 mx1.a.test"]},
    "mx1.a.test": {"A": ["127.0.0.11"]},
    "mx2.a.test": {"A": ["127.0.0.12"]},
    "equal.test": {"MX": ["10 mx1.a.test", "10 mx2.a.test", "10 mx3.a.test", "20 mx4.a.test"]},
    "mx3.a.test": {"A": ["127.0.0.13"]},
    "mx4.a.test": {"A": ["127.0.0.14"]},
    "alias.test": {"CNAME": ["a.test"]},
    "plain.test": {"A": ["127.0.0.15"]},
    "plain-alias.test": {"CNAME": ["plain.test"]},
    "both.test": {"MX": ["10 mx.both.test"]},
    "mx.both.test": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
    "many.test": {"MX": [f"{number} mx{number}.many.test" for number in range(30)]},
    **{f"mx{number}.many.test": {"A": [f"127.0.1.{number}"]} for number in range(30)},
    "wide.test": {"A": [f"127.0.2.{number}" for number in range(1, 31)]},
    "text.test": {"TXT": ['"no host"']},
    "hollow.test": {"MX": ["10 nowhere.test", "20 text.test"]},
    "strange.test": {"MX": ["10 mx.strange.test", "20 mx2.a.test"]},
    "mx.strange.test": {"A": ["0.0.0.0", "224.0.0.1", "255.255.255.255"], "AAAA": ["::", "ff02::1", "::ffff:0.0.0.0"]},
    "mapped.test": {"AAAA": ["::ffff:127.0.0.15"], "A": ["127.0.0.15"]},
    "broken.test": {"MX": ["10 mx.broken.test", "20 mx2.a.test"]},
    "mx.broken.test": SERVFAIL,
    "all-broken.test": {"MX": ["10 mx.broken.test", "20 nowhere.test"]},
    "servfail.test": SERVFAIL,
    "null.test": {"MX": ["0 ."]},
    "backup.test": {"MX": ["10 mx1.a.test", f"20 {OWN}", "20 mx2.a.test", "30 mx3.a.test"]},
    "best.test": {"MX": [f"10 {OWN}", "20 mx2.a.test"]},
    "better-broken.test": {"MX": ["10 mx.broken.test", f"20 {OWN}"]},
    "by-address.test": {"MX": ["10 mx1.a.test", "20 other-name.test", "20 mx2.a.test", "30 mx3.a.test"]},
    "other-name.test": {"A": ["127.0.0.99"]},
    "own-best.test": {"MX": ["10 other-name.test", "20 mx2.a.test"]},
    OWN: {"A": ["127.0.0.99"]},
    "gate.test": {"A": ["127.0.0.20", "127.0.0.21"]},
}  # fmt: skip
MAY = Relay("may")


@pytest.fixture(scope="module")
def zone():
    with Zone(RECORDS) as zone:
        yield zone


def forwards(hosts: list) -> None:
    """No mixing, so that a test knows the order."""


@pytest.fixture
def find(zone):
    """A function that finds the hops of a domain; texts ``host address:port`` are compared easily."""
    resolver = Resolver((zone.address,))

    def find(domain, relay=MAY, own_addresses=(), shuffle=forwards):
        hops = asyncio.run(route(resolver, domain, relay, (OWN.upper(),), own_addresses, shuffle))
        assert hops and all(isinstance(hop, Hop) for hop in hops)
        return [f"{hop.host} {hop.address}:{hop.port}" for hop in hops]

    return find


def failure(find, *arguments, **more) -> tuple[str, bool, str]:
    with pytest.raises(LookupFailed) as caught:
        find(*arguments, **more)
    return caught.value.status, caught.value.temporary, str(caught.value)


# --- mail exchangers ------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", ["a.test", "alias.test"])
def test_exchangers_by_preference(find, domain):
    assert find(domain) == ["mx1.a.test 127.0.0.11:25", "mx2.a.test 127.0.0.12:25"]


def test_the_policy_may_name_another_port(find):
    assert find("a.test", Relay("may", port=2525))[0] == "mx1.a.test 127.0.0.11:2525"


def test_equal_exchangers_are_mixed(find):
    def backwards(hosts: list) -> None:
        hosts.reverse()

    assert [hop.split()[0] for hop in find("equal.test", shuffle=backwards)] == [
        "mx3.a.test", "mx2.a.test", "mx1.a.test", "mx4.a.test",
    ]  # fmt: skip


def test_a_domain_without_exchangers_is_a_host(find):
    assert find("plain.test") == ["plain.test 127.0.0.15:25"]
    # The certificate must be for what was asked for, not for what the DNS said.
    assert find("plain-alias.test") == ["plain-alias.test 127.0.0.15:25"]


def test_both_kinds_of_address_by_turns(zone, find):
    assert find("both.test") == ["mx.both.test 2001:db8::1:25", "mx.both.test 192.0.2.1:25"]
    with Zone({"t.test": {"A": ["192.0.2.1", "192.0.2.2", "192.0.2.3"], "AAAA": ["2001:db8::1"]}}) as other:
        hops = asyncio.run(route(Resolver((other.address,)), "t.test", MAY, (), ()))
    assert [":" in hop.address for hop in hops] == [True, False, False, False]


def test_a_limit_of_hops(find):
    found = find("many.test")
    assert len(found) == MAX_HOPS and found[-1].startswith(f"mx{MAX_HOPS - 1}.")
    assert len(find("wide.test")) == MAX_HOPS
    assert len(find("a.test", Relay("may", host="wide.test"))) == MAX_HOPS


def test_addresses_that_nobody_can_have(find):
    assert find("strange.test") == ["mx2.a.test 127.0.0.12:25"]
    assert find("mapped.test") == ["mapped.test 127.0.0.15:25"]


def test_a_broken_exchanger_leaves_the_others(find):
    assert find("broken.test") == ["mx2.a.test 127.0.0.12:25"]


@pytest.mark.parametrize(
    ("domain", "status", "temporary", "words"),
    [
        ("nowhere.test", "5.1.2", False, "nowhere.test does not exist"),
        ("text.test", "5.1.2", False, "text.test has no mail host"),
        ("hollow.test", "5.4.4", False, "no mail exchanger of hollow.test has an address"),
        ("null.test", "5.1.10", False, "null.test takes no mail"),
        ("servfail.test", "4.4.3", True, "SERVFAIL"),
        ("all-broken.test", "4.4.3", True, "SERVFAIL"),
    ],
)
def test_domains_that_cannot_be_reached(find, domain, status, temporary, words):
    found = failure(find, domain)
    assert found[:2] == (status, temporary) and words in found[2]


# --- loops ----------------------------------------------------------------------------------------


def test_what_is_not_preferred_to_us_is_left_out(find):
    assert find("backup.test") == ["mx1.a.test 127.0.0.11:25"]
    assert find("by-address.test", own_addresses=[("127.0.0.99", 25)]) == ["mx1.a.test 127.0.0.11:25"]
    assert len(find("by-address.test")) == 4


@pytest.mark.parametrize("everywhere", ["127.0.0.99", "0.0.0.0", "::ffff:127.0.0.99"])
def test_mail_that_would_come_back(find, everywhere):
    for domain, own in (("best.test", []), (OWN, []), ("own-best.test", [(everywhere, 25)])):
        status, temporary, reason = failure(find, domain, own_addresses=own)
        assert (status, temporary) == ("5.4.6", False) and f"mail for {domain} loops" in reason


def test_another_port_or_host_is_not_us(find):
    assert find("own-best.test", own_addresses=[("127.0.0.99", 587), ("127.0.0.98", 25)])[0].startswith("other-name")
    # 192.0.2.0/24 is documentation: no machine has it, so that no wildcard listener is meant.
    assert len(find("both.test", own_addresses=[("0.0.0.0", 25), ("::", 25)])) == 2


def test_a_loop_is_not_sure_while_a_better_host_is_unknown(find):
    assert failure(find, "better-broken.test")[:2] == ("4.4.3", True)


# --- address literals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "address"),
    [
        ("[127.0.0.30]", "127.0.0.30"),
        ("[IPv6:2001:db8::7]", "2001:db8::7"),
        ("[ipv6:::ffff:127.0.0.30]", "127.0.0.30"),
    ],
)
def test_address_literals(zone, domain, address):
    before = len(zone.queries)
    hops = asyncio.run(route(Resolver((zone.address,)), domain, MAY, (), ()))
    assert hops == (Hop(address, address, 25, literal=True),)
    assert len(zone.queries) == before


def test_address_literals_that_lead_nowhere(find):
    for domain in ("[0.0.0.0]", "[IPv6:::]", "[224.0.0.1]"):
        assert failure(find, domain)[:2] == ("5.1.2", False)
    assert failure(find, "[127.0.0.99]", own_addresses=[("127.0.0.99", 25)])[:2] == ("5.4.6", False)


# --- relay hosts ----------------------------------------------------------------------------------


def test_a_relay_host_takes_all(zone, find):
    before = len(zone.queries)
    gate = Relay("encrypt", host="gate.test", port=587)
    for domain in ("a.test", "null.test", "nowhere.test", "[127.0.0.30]"):
        assert sorted(find(domain, gate)) == ["gate.test 127.0.0.20:587", "gate.test 127.0.0.21:587"]
    assert {name for name, _kind, _transport in zone.queries[before:]} == {"gate.test"}
    assert not any(kind == "MX" for _name, kind, _transport in zone.queries[before:])


@pytest.mark.parametrize("address", ["127.0.0.20", "2001:db8::9"])
def test_a_relay_host_by_address(zone, address):
    relay = Relay("may", host=address, port=587)
    assert asyncio.run(route(Resolver((zone.address,)), "a.test", relay, (), ())) == (Hop(address, address, 587, True),)


@pytest.mark.parametrize(
    ("host", "status", "words"),
    [
        ("nowhere.test", "4.3.5", "relay host nowhere.test of the policy has no address"),
        ("0.0.0.0", "4.3.5", "relay host 0.0.0.0 of the policy has no address"),
        ("servfail.test", "4.4.3", "relay host servfail.test: DNS"),
        ("other-name.test", "4.3.5", "relay host other-name.test port 587 of the policy is this server itself"),
        ("127.0.0.99", "4.3.5", "is this server itself"),
    ],
)
def test_nothing_bounces_for_a_wrong_relay_host(find, host, status, words):
    found = failure(find, "a.test", Relay("may", host=host, port=587), own_addresses=[("127.0.0.99", 587)])
    assert found[:2] == (status, True) and words in found[2]


def test_another_program_on_this_host_can_be_the_relay_host(find):
    relay = Relay("may", host=OWN, port=10025)
    assert find("a.test", relay, own_addresses=[("0.0.0.0", 25)]) == [f"{OWN} 127.0.0.99:10025"]
