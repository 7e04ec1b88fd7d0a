# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Questions to a real name server on the loopback."""

from __future__ import annotations

import asyncio
import socket

import pytest

pytest.importorskip("dns", reason="the sending half needs dnspython")

from dns_fixtures import HalfZone, LastingZone, PairingZone  # noqa: E402
from postern.delivery import nameserver, resolver as resolver_module  # noqa: E402
from postern.delivery.resolver import LookupFailed, Resolver  # noqa: E402
from zone import REFUSED, SERVFAIL, SILENT, TRUNCATED, Zone  # noqa: E402

RECORDS = {
    "a.test": {"MX": ["20 mx2.a.test", "10 MX1.a.test", "10 mx0.a.test"]},
    "mx1.a.test": {"A": ["127.0.0.3", "127.0.0.2"], "AAAA": ["2001:db8::1"]},
    "v4.test": {"A": ["127.0.0.2"]},
    "v6.test": {"AAAA": ["2001:db8::2"]},
    "txt.test": {"TXT": ['"nothing for mail"']},
    "null.test": {"MX": ["0 ."]},
    "half-null.test": {"MX": ["0 .", "10 mx.half-null.test"]},
    "odd.test": {"MX": [r"10 a\032b.odd.test"]},
    "alias.test": {"CNAME": ["a.test"]},
    "host-alias.test": {"CNAME": ["mx1.a.test"]},
    "dangling.test": {"CNAME": ["nowhere.test"]},
    "big.test": {TRUNCATED: [], "MX": [f"10 mx{number}.big.test" for number in range(20)]},
    "broken.test": SERVFAIL,
    "refused.test": REFUSED,
    "silent.test": SILENT,
}


@pytest.fixture(scope="module")
def zone():
    with Zone(RECORDS) as zone:
        yield zone


@pytest.fixture
def resolver(zone):
    return Resolver((zone.address,))


def mx(resolver: Resolver, domain: str) -> tuple:
    return asyncio.run(resolver.mx(domain))


def addresses(resolver: Resolver, host: str) -> tuple:
    return asyncio.run(resolver.addresses(host))


def failure(asked) -> tuple[str, bool, str]:
    with pytest.raises(LookupFailed) as caught:
        asyncio.run(asked)
    return caught.value.status, caught.value.temporary, str(caught.value)


# --- mail exchangers ------------------------------------------------------------------------------


def test_exchangers_in_their_order(resolver):
    assert mx(resolver, "a.test") == ((10, "mx0.a.test"), (10, "mx1.a.test"), (20, "mx2.a.test"))
    assert mx(resolver, "A.Test.") == mx(resolver, "alias.test") == mx(resolver, "a.test")


@pytest.mark.parametrize("domain", ["v4.test", "txt.test"])
def test_a_domain_without_exchangers(resolver, domain):
    assert mx(resolver, domain) == ()


def test_a_domain_that_takes_no_mail(resolver):
    status, temporary, reason = failure(resolver.mx("null.test"))
    assert (status, temporary) == ("5.1.10", False) and "null.test takes no mail" in reason
    assert mx(resolver, "half-null.test") == ((10, "mx.half-null.test"),)


@pytest.mark.parametrize("domain", ["nowhere.test", "dangling.test", "x" * 64 + ".test", "a..test"])
def test_a_domain_that_does_not_exist(resolver, domain):
    status, temporary, reason = failure(resolver.mx(domain))
    assert (status, temporary) == ("5.1.2", False) and domain in reason


@pytest.mark.parametrize(("domain", "said"), [("broken.test", "says SERVFAIL"), ("refused.test", "says REFUSED")])
def test_a_server_that_cannot_answer(resolver, zone, domain, said):
    port = zone.address.partition(":")[2]
    for asked, kind in ((resolver.mx, "MX"), (resolver.addresses, "A")):
        found = failure(asked(domain))
        assert found == ("4.4.3", True, f"DNS: no answer about {kind} of {domain}: 127.0.0.1 port {port} {said}")


def test_a_silent_server(zone):
    resolver = Resolver((zone.address,), timeout=0.3)
    for asked in (resolver.mx, resolver.addresses):
        status, temporary, reason = failure(asked("silent.test"))
        assert (status, temporary) == ("4.4.3", True) and "silent.test" in reason and "is silent" in reason


def test_a_big_answer_comes_over_tcp(zone, resolver):
    assert len(mx(resolver, "big.test")) == 20
    asked = [transport for name, _kind, transport in zone.queries if name == "big.test"]
    assert asked[:2] == ["udp", "tcp"]


def test_the_next_server_is_asked(zone):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        first = f"127.0.0.1:{mute.getsockname()[1]}"
        assert mx(Resolver((first, zone.address)), "half-null.test") == ((10, "mx.half-null.test"),)


# --- addresses ------------------------------------------------------------------------------------


def test_addresses_of_both_kinds(resolver):
    assert set(addresses(resolver, "MX1.a.test")) == {"127.0.0.3", "127.0.0.2", "2001:db8::1"}
    assert set(addresses(resolver, "host-alias.test")) == set(addresses(resolver, "mx1.a.test"))
    assert addresses(resolver, "v4.test") == ("127.0.0.2",)
    assert addresses(resolver, "v6.test") == ("2001:db8::2",)


@pytest.mark.parametrize("host", ["nowhere.test", "dangling.test", "txt.test", "a b.test", "", "x" * 64])
def test_hosts_without_addresses(resolver, host):
    assert addresses(resolver, host) == ()


def test_names_that_no_host_can_have(resolver):
    (found,) = mx(resolver, "odd.test")
    assert addresses(resolver, found[1]) == ()


@pytest.mark.parametrize("without", ["A", "AAAA"])
def test_one_kind_of_address_is_enough(without):
    with HalfZone({"v4.test": {"A": ["127.0.0.2"]}, "v6.test": {"AAAA": ["2001:db8::2"]}}, without) as zone:
        resolver = Resolver((zone.address,))
        there, lost = ("v4.test", "v6.test") if without == "AAAA" else ("v6.test", "v4.test")
        assert len(addresses(resolver, there)) == 1
        # That it has none cannot be said while one question is open.
        assert failure(resolver.addresses(lost))[:2] == ("4.4.3", True)


def test_both_kinds_are_asked_for_at_once():
    with PairingZone({"v4.test": {"A": ["127.0.0.2"]}}) as zone:
        assert addresses(Resolver((zone.address,), timeout=60), "v4.test") == ("127.0.0.2",)


# --- keeping answers ------------------------------------------------------------------------------


def asked_twice(seconds: int) -> int:
    """How often a server is asked when a resolver needs an answer twice."""
    with LastingZone({"a.test": {"MX": ["10 mx.a.test"]}}, seconds) as zone:
        resolver = Resolver((zone.address,))

        async def twice() -> None:
            assert await resolver.mx("a.test") == await resolver.mx("A.test") == ((10, "mx.a.test"),)

        asyncio.run(twice())
        return len(zone.queries)


def test_answers_are_kept_while_they_are_good(monkeypatch):
    assert asked_twice(3600) == 1
    assert asked_twice(0) == 2
    monkeypatch.setattr(resolver_module, "_MAX_AGE", 0)
    assert asked_twice(3600) == 2


# --- which servers --------------------------------------------------------------------------------


def test_the_systems_servers_are_read_when_they_change(zone, tmp_path, monkeypatch):
    # The file cannot say a port, and only root could answer at the usual one.
    monkeypatch.setattr(nameserver, "DNS_PORT", int(zone.address.partition(":")[2]))
    path = tmp_path / "resolv.conf"
    resolver = Resolver(configuration=str(path))
    status, temporary, reason = failure(resolver.mx("a.test"))
    assert (status, temporary) == ("4.4.3", True)
    assert f"there is no server to ask ({path}: No such file or directory)" in reason and "[dns] servers" in reason
    path.write_bytes(b"# \xff\nsearch test\nnameserver nonsense\nnameserver\n")
    assert f"({path} names none)" in failure(resolver.addresses("v4.test"))[2]
    path.write_text("options ndots:5\nsearch test\nnameserver nonsense\nnameserver 127.0.0.1\n")
    assert addresses(resolver, "v4.test") == ("127.0.0.2",)
    assert addresses(resolver, "v4") == ()
    path.unlink()
    assert failure(resolver.mx("a.test"))[:2] == ("4.4.3", True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)),
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("::1", ("::1", 53)),
        ("[2001:DB8::1]:5353", ("2001:db8::1", 5353)),
    ],
)
def test_addresses_of_servers(text, found):
    assert nameserver.server_address(text) == found
    assert nameserver.server_address(nameserver.server_text(text)) == found


@pytest.mark.parametrize("text", ["", "dns.test", "127.0.0.1:", "127.0.0.1:0", "[::1]", "[127.0.0.1]:53", "1.2.3.4:x"])
def test_what_is_no_server(text):
    with pytest.raises(ValueError):
        Resolver((text,))
