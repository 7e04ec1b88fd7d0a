# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a message for a domain goes: hosts and addresses in the order in which they are tried (RFC 5321 section 5.1).

Loops end here: our own host and every exchanger that is not preferred to it are left out. A relay host is the
administrator's doing and never the recipient's: its problems are temporary, and nothing bounces for a typing mistake.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import itertools
import random
import re
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass

from ..rules.relay import Relay
from .resolver import LookupFailed, Resolver

#: RFC 5321 section 5.1 allows a limit; a domain with more hosts or addresses cannot hold a message up for hours.
MAX_HOSTS, MAX_HOPS = 20, 20

_IP = ipaddress.IPv4Address | ipaddress.IPv6Address
_LOOP, _MISCONFIGURED = "5.4.6", "4.3.5"


@dataclass(frozen=True)
class Hop:
    """One address to try. ``host`` is the name that was asked for (SNI, certificate); with ``literal`` the address."""

    host: str
    address: str
    port: int
    literal: bool = False


async def route(
    resolver: Resolver,
    domain: str,
    relay: Relay,
    own_names: Collection[str],
    own_addresses: Collection[tuple[str, int]],
    shuffle: Callable[[list], None] = random.shuffle,
) -> tuple[Hop, ...]:
    """The hops for a recipient domain (A-label, or an address literal in brackets), at least one.

    ``own_names`` are the names of this host, ``own_addresses`` its listeners (an unspecified address stands for all of
    this host); ``shuffle`` mixes exchangers of equal preference. Raises :class:`LookupFailed`.
    """
    own = _Own(own_names, own_addresses, relay.port)
    if relay.host:
        return await _to_relay_host(resolver, relay, own)
    if domain.startswith("["):
        return _to_literal(domain, relay.port, own)
    exchangers = await resolver.mx(domain)
    # Without MX the domain itself is the host, with preference 0.
    return await _Exchangers(resolver, domain, relay.port, own, shuffle).hops(exchangers or ((0, domain),))


class _Own:
    """What is this server itself."""

    def __init__(self, names: Collection[str], addresses: Collection[tuple[str, int]], port: int) -> None:
        self._names = {name.lower().rstrip(".") for name in names}
        self._addresses = {ip for host, number in addresses if number == port and (ip := _ip(host)) is not None}

    def named(self, host: str) -> bool:
        return host.lower().rstrip(".") in self._names

    def at(self, address: _IP) -> bool:
        if address in self._addresses:
            return True
        everywhere = "0.0.0.0" if address.version == 4 else "::"
        return ipaddress.ip_address(everywhere) in self._addresses and _is_of_this_host(address)


class _Exchangers:
    """The hosts of one domain, group by group of equal preference."""

    def __init__(self, resolver: Resolver, domain: str, port: int, own: _Own, shuffle: Callable) -> None:
        self._resolver = resolver
        self._domain = domain
        self._port = port
        self._own = own
        self._shuffle = shuffle

    async def hops(self, exchangers: tuple[tuple[int, str], ...]) -> tuple[Hop, ...]:
        ours = [preference for preference, host in exchangers if self._own.named(host)]
        left = [pair for pair in exchangers if not ours or pair[0] < min(ours)][:MAX_HOSTS]
        looped = bool(ours)
        found: list[Hop] = []
        failures: list[LookupFailed] = []
        for _preference, group in itertools.groupby(left, key=lambda pair: pair[0]):
            hosts = list(dict.fromkeys(host for _preference, host in group))
            self._shuffle(hosts)
            answers = await asyncio.gather(*(self._addresses(host) for host in hosts))
            usable = [(host, ips) for host, ips in zip(hosts, answers) if not isinstance(ips, LookupFailed)]
            if any(self._own.at(ip) for _host, ips in usable for ip in ips):
                looped = True
                break
            failures += [answer for answer in answers if isinstance(answer, LookupFailed)]
            found += [Hop(host, str(ip), self._port) for host, ips in usable for ip in ips]
            if len(found) >= MAX_HOPS:
                break
        if found:
            return tuple(found[:MAX_HOPS])
        raise failures[0] if failures else self._nothing(looped, exchangers)

    async def _addresses(self, host: str) -> list[_IP] | LookupFailed:
        try:
            return _usable(await self._resolver.addresses(host))
        except LookupFailed as error:
            return error

    def _nothing(self, looped: bool, exchangers: tuple[tuple[int, str], ...]) -> LookupFailed:
        if looped:
            reason = f"mail for {self._domain} loops: this server is its best mail exchanger, but takes no mail for it"
            return LookupFailed(reason, _LOOP, temporary=False)
        if [host for _preference, host in exchangers] == [self._domain]:
            return LookupFailed(f"the domain {self._domain} has no mail host", "5.1.2", temporary=False)
        return LookupFailed(
            f"no mail exchanger of {self._domain} has an address that mail can be sent to", "5.4.4", temporary=False
        )


async def _to_relay_host(resolver: Resolver, relay: Relay, own: _Own) -> tuple[Hop, ...]:
    literal = _ip(relay.host) is not None
    try:
        texts = (relay.host,) if literal else await resolver.addresses(relay.host)
    except LookupFailed as error:
        raise LookupFailed(f"relay host {relay.host}: {error}", error.status, temporary=True) from None
    ips = _usable(texts)
    if not ips:
        reason = f"the relay host {relay.host} of the policy has no address that mail can be sent to"
        raise LookupFailed(reason, _MISCONFIGURED, temporary=True)
    others = [ip for ip in ips if not own.at(ip)]
    if not others:
        reason = f"the relay host {relay.host} port {relay.port} of the policy is this server itself"
        raise LookupFailed(reason, _MISCONFIGURED, temporary=True)
    return tuple(Hop(relay.host, str(ip), relay.port, literal) for ip in others[:MAX_HOPS])


def _to_literal(domain: str, port: int, own: _Own) -> tuple[Hop, ...]:
    """RFC 5321 section 4.1.3: ``[192.0.2.1]``, ``[IPv6:2001:db8::1]``."""
    ips = _usable((re.sub(r"(?i)^ipv6:", "", domain.strip("[]")),))
    if not ips:
        raise LookupFailed(f"{domain} is no address that mail can be sent to", "5.1.2", temporary=False)
    if own.at(ips[0]):
        raise LookupFailed(f"{domain} is this server, which takes no mail for it", _LOOP, temporary=False)
    return (Hop(str(ips[0]), str(ips[0]), port, literal=True),)


def _usable(addresses: Collection[str]) -> list[_IP]:
    """Addresses of one host that can be connected to, IPv6 and IPv4 by turns, each in the given order.

    Without the unspecified address, which means this host, and those that name no single host.
    """
    ips = list(dict.fromkeys(ip for text in addresses if (ip := _ip(text)) is not None))
    ips = [ip for ip in ips if not (ip.is_unspecified or ip.is_multicast or str(ip) == "255.255.255.255")]
    rows = ([ip for ip in ips if ip.version == version] for version in (6, 4))
    return [ip for pair in itertools.zip_longest(*rows) for ip in pair if ip is not None]


@functools.lru_cache(4096)
def _ip(text: str) -> _IP | None:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    # ::ffff:192.0.2.1 reaches 192.0.2.1, so it is judged as that.
    return getattr(ip, "ipv4_mapped", None) or ip


def _is_of_this_host(address: _IP) -> bool:
    """Whether the address is one of this machine's: only such an address can be bound."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
