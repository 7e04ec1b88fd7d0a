# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses of listeners and networks of clients, each in one canonical spelling.

Decided, and the same on every Python (the standard library changed its mind about mixed notation in 3.13):

* A listener is an IP address and a port, nothing that must be looked up: ``*:25``, ``:25``, ``0:25``, host names,
  service names, ports with leading zeros and IPv6 without brackets are refused with the spelling that helps.
* IPv6 is written as RFC 5952 says. IPv4-mapped addresses keep their mixed form and are not IPv4.
* Zone identifiers (RFC 4007) are refused: they mean something on one machine only.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from .errors import PolicyError, Problems, arrived, listed, shown

_EXAMPLE = '"0.0.0.0:25" or "[::]:25"'
_NETWORK_EXAMPLE = '"10.0.0.0/8", "10.0.0.1-10.0.0.20" or "2001:db8::/32"'

_Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


class _Refusal(Exception):
    """Why a text is not an address; becomes a :class:`PolicyError` with option and value."""


# --- listeners ----------------------------------------------------------------------------------


def listener_address(value: t.Any, option: str = "address") -> str:
    """The canonical form of ``address:port``, such as ``0.0.0.0:25`` or ``[::]:587``.

    Raises :class:`PolicyError` with advice for everything that is not exactly one IP address and one port (1 to 65535).
    """
    text = _text(value, option, _EXAMPLE)
    try:
        host, port = _host_and_port(text)
        number = _port(port)
        if host.startswith("["):
            return "[%s]:%d" % (_ipv6_text(_ipv6(host[1:-1])), number)
        return "%s:%d" % (_ipv4(host), number)
    except _Refusal as refusal:
        raise PolicyError("%s must be like %s; got %s: %s" % (option, _EXAMPLE, shown(text), refusal)) from None


def host_address(text: str, option: str = "host") -> t.Optional[str]:
    """The canonical form of an IP address, with or without brackets, none in the result; None for a name.

    Raises :class:`PolicyError` for an address that is not written as it should be.
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" not in bare and not re.fullmatch(r"[0-9.]+", bare):
        return None
    try:
        return _ip_text(_ip(bare))
    except _Refusal as refusal:
        raise PolicyError("%s is not an IP address; got %s: %s" % (option, shown(text), refusal)) from None


def split_address(canonical: str) -> t.Tuple[str, int]:
    """Host (without brackets) and port of a canonical address."""
    host, _colon, port = canonical.rpartition(":")
    return host.strip("[]"), int(port)


def sort_key(canonical: str) -> t.Tuple[int, int, int]:
    """Order of listeners: IPv4 before IPv6, then by address and port as numbers."""
    host, port = split_address(canonical)
    address = ipaddress.ip_address(host)
    return address.version, int(address), port


def _text(value: t.Any, option: str, example: str) -> str:
    """The value as text. Ansible hands numbers over as text too, so digits alone count as a number."""
    if not isinstance(value, str):
        raise PolicyError("%s must be like %s; got %s" % (option, example, arrived(value)))
    text = value.strip(" \t")
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise PolicyError("%s must be like %s; got the number %s, quote it" % (option, example, text[:80]))
    if not text:
        raise PolicyError("%s must be like %s; got nothing" % (option, example))
    return text


def _host_and_port(text: str) -> t.Tuple[str, str]:
    if not text.isascii() or not text.isprintable():
        raise _Refusal("it holds characters that no address has")
    host, colon, port = text.rpartition(":")
    if text.startswith("[") and text.endswith("]"):
        raise _Refusal('the port is missing, write "%s:25"' % text)
    if text.startswith("[") and not host.endswith("]"):
        raise _Refusal("a closing bracket, a colon and the port must follow the address")
    if not colon:
        raise _Refusal('the port is missing, write "%s:25"' % text if _is_ip(text) else "the port is missing")
    if ":" in host and not host.startswith("["):
        if _is_ip(text):
            raise _Refusal('IPv6 needs brackets and a port, write "[%s]:25"%s' % (text, _or_split(host, port)))
        raise _Refusal('IPv6 needs brackets, write "[2001:db8::25]:25"')
    if host in ("", "*", "0"):
        raise _Refusal('write "0.0.0.0:%s" for every IPv4 address, "[::]:%s" for every IPv6 address' % (port, port))
    return host, port


def _or_split(host: str, port: str) -> str:
    return ' or "[%s]:%s"' % (host, port) if _is_ip(host) and port.isdigit() else ""


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,20}", text):
        raise _Refusal("the port must be a number, service names are not looked up")
    if len(text) > 1 and text.startswith("0"):
        raise _Refusal("the port must be written without leading zeros")
    if not 1 <= int(text) <= 65535:
        raise _Refusal("the port must be between 1 and 65535")
    return int(text)


def _ipv4(text: str) -> ipaddress.IPv4Address:
    if not re.fullmatch(r"[0-9.]+", text):
        if re.fullmatch(r"[A-Za-z0-9_.-]+", text):
            raise _Refusal("host names are not looked up, write the IP address")
        raise _Refusal("%s is not an IP address" % shown(text))
    if any(len(part) > 1 and part.startswith("0") for part in text.split(".")):
        raise _Refusal("%s has leading zeros, which some programs read as octal" % text)
    try:
        return ipaddress.IPv4Address(text)
    except ValueError:
        raise _Refusal("%s is not an IPv4 address" % text[:80]) from None


def _ipv6(text: str) -> ipaddress.IPv6Address:
    if "%" in text:
        raise _Refusal("addresses with a zone (the part behind %) are not supported, use an address without one")
    mixed = re.fullmatch(r"[0-9A-Fa-f:]*:([0-9.]*\.[0-9.]*)", text)
    if mixed:
        _ipv4(mixed.group(1))
    try:
        return ipaddress.IPv6Address(text)
    except ValueError:
        if _is_ip(text):
            raise _Refusal("brackets are for IPv6 only, write %s without them" % text) from None
        raise _Refusal("%s is not an IPv6 address" % shown(text)) from None


def _ipv6_text(address: ipaddress.IPv6Address) -> str:
    """RFC 5952 with the mixed notation for mapped addresses, whatever this Python's own choice is."""
    mapped = address.ipv4_mapped
    return str(address) if mapped is None else "::ffff:%s" % mapped


def _ip(text: str) -> _Address:
    return _ipv6(text.strip("[]")) if ":" in text else _ipv4(text)


def _ip_text(address: _Address) -> str:
    return _ipv6_text(address) if isinstance(address, ipaddress.IPv6Address) else str(address)


# --- networks -----------------------------------------------------------------------------------


def network(value: t.Any, option: str = "network") -> str:
    """The canonical form of a network: ``10.0.0.0/8``, ``192.0.2.1/32``, ``10.0.0.1-10.0.0.20``, ``2001:db8::/32``.

    A single address becomes a network of one, a net mask becomes a prefix length, a range that is a whole
    network becomes that network. Raises :class:`PolicyError`.
    """
    text = _text(value, option, _NETWORK_EXAMPLE)
    try:
        if not text.isascii() or not text.isprintable():
            raise _Refusal("it holds characters that no address has")
        if text.lower() in ("all", "any", "*"):
            raise _Refusal('write "0.0.0.0/0" for every IPv4 address, "::/0" for every IPv6 address')
        if "-" in text:
            return _range(*(part.strip() for part in text.split("-", 1)))
        address, slash, mask = text.partition("/")
        return _prefixed(_ip(address.strip()), mask.strip() if slash else None)
    except _Refusal as refusal:
        raise PolicyError("%s must be like %s; got %s: %s" % (option, _NETWORK_EXAMPLE, shown(text), refusal)) from None


def networks(values: t.Any, option: str) -> t.Tuple[str, ...]:
    """All networks of a list, equal ones merged, in order of address. Raises :class:`PolicyError` with all bad ones."""
    problems = Problems()
    found: t.Set[str] = set()
    for position, value in enumerate(listed(values, option, '["10.0.0.0/8"]'), 1):
        with problems.collecting():
            found.add(network(value, "%s #%d" % (option, position)))
    problems.raise_any()
    return tuple(sorted(found, key=_network_key))


def _network_key(canonical: str) -> t.Tuple[int, int, str]:
    address = ipaddress.ip_address(re.split("[/-]", canonical, maxsplit=1)[0])
    return address.version, int(address), canonical


def _range(first: str, last: str) -> str:
    low, high = _ip(first), _ip(last)
    if low.version != high.version:
        raise _Refusal("both ends of a range must be of one family")
    if int(low) > int(high):
        raise _Refusal("the range ends before it begins")
    size = int(high) - int(low) + 1
    if size & (size - 1) == 0 and int(low) % size == 0:
        return "%s/%d" % (_ip_text(low), low.max_prefixlen - size.bit_length() + 1)
    return "%s-%s" % (_ip_text(low), _ip_text(high))


def _prefixed(address: _Address, mask: t.Optional[str]) -> str:
    bits = address.max_prefixlen
    length = bits if mask is None else _prefix_length(mask, address)
    host_bits = int(address) & ((1 << (bits - length)) - 1)
    if host_bits:
        base = type(address)(int(address) - host_bits)
        raise _Refusal(
            'the address has bits behind the prefix, write "%s/%d" for the network or "%s" for the one address'
            % (_ip_text(base), length, _ip_text(address))
        )
    return "%s/%d" % (_ip_text(address), length)


def _prefix_length(mask: str, address: _Address) -> int:
    if re.fullmatch(r"0|[1-9][0-9]{0,2}", mask) and int(mask) <= address.max_prefixlen:
        return int(mask)
    if address.version == 4 and "." in mask:
        inverse = int(_ipv4(mask)) ^ 0xFFFFFFFF
        if inverse & (inverse + 1) == 0:
            return 32 - inverse.bit_length()
    raise _Refusal("%s is not a prefix length from 0 to %d" % (shown(mask), address.max_prefixlen))
