# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses of DNS servers, as written in the bootstrap file and resolv.conf(5). Without dnspython: it starts slowly."""

from __future__ import annotations

import ipaddress

DNS_PORT = 53


def server_address(text: str) -> tuple[str, int]:
    """IP address and port of a DNS server: ``ip``, ``ip:port``, ``[ipv6]:port``. Raises ValueError."""
    try:
        return str(ipaddress.ip_address(text)), DNS_PORT
    except ValueError:
        host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    if not colon or bracketed != (address.version == 6):
        raise ValueError(f"{text!r} is not ip, ip:port or [ipv6]:port")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise ValueError(f"{port!r} is no port from 1 to 65535")
    return str(address), int(port)


def server_text(text: str) -> str:
    """The same server with its port: ``ip:port``, IPv6 in brackets. Raises ValueError."""
    address, port = server_address(text)
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def named_servers(configuration: str) -> list[tuple[str, int]]:
    """The ``nameserver`` lines of a resolv.conf; lines that hold no address are left out, as the C library does."""
    servers = []
    for line in configuration.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                servers.append((str(ipaddress.ip_address(words[1])), DNS_PORT))
            except ValueError:
                continue
    return servers
