# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the services of master.cf listen, in the canonical form of listeners (master(5), inet_interfaces in postconf(5)).

A service with a bare port stands for that port at each address of ``inet_interfaces`` in the families of ``inet_protocols``:
one entry, several listeners. One with an address listens there, whatever these parameters say.
"""

from __future__ import annotations

import re
import socket
import typing as t

from ..._policy.address import listener_address, split_address
from ..._policy.errors import PolicyError
from .configuration import _State
from .master_cf import Service

#: Names of ports, whatever the services database of a host calls them. 465 has had four.
PORTS = {
    "smtp": 25,
    "smtps": 465,
    "submissions": 465,
    "ssmtp": 465,
    "urd": 465,
    "submission": 587,
    "lmtp": 24,
    "qmqp": 628,
}

_WILDCARDS = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "[::]"}
_LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "[::1]"}
_FAMILIES = {"ipv4": (socket.AF_INET,), "ipv6": (socket.AF_INET6,), "all": (socket.AF_INET, socket.AF_INET6)}


class Sockets(t.NamedTuple):
    """Where one service listens: canonical addresses, and why some may be missing ("": none is)."""

    addresses: t.Tuple[str, ...]
    unknown: str = ""


def port_number(text: str) -> t.Optional[int]:
    """The number of a port by its name or number; None for a name that nobody knows."""
    if re.fullmatch(r"[0-9]{1,5}", text):
        number = int(text)
        return number if 1 <= number <= 65535 else None
    if text.lower() in PORTS:
        return PORTS[text.lower()]
    try:
        return socket.getservbyname(text, "tcp")
    except OSError:
        return None


def sockets(conf: _State, service: Service) -> Sockets:
    """Where a service of type inet listens."""
    host, colon, port = service.name.rpartition(":")
    number = port_number(port)
    if number is None:
        return Sockets((), "the port %s is not known on this host" % port)
    if not colon or not host:
        hosts, unknown = _interfaces(conf)
    else:
        hosts, unknown = _hosts(host, _families(conf))
    found, problems = [], [unknown] if unknown else []
    for one in hosts:
        try:
            found.append(listener_address("%s:%d" % (one, number)))
        except PolicyError as error:
            problems.append(str(error))
    return Sockets(tuple(dict.fromkeys(found)), "; ".join(problems))


def listening(conf: _State) -> t.Dict[str, t.List[Service]]:
    """For each address the enabled services of type inet that would listen there; more than one cannot."""
    found: t.Dict[str, t.List[Service]] = {}
    for service in conf.master.services:
        if service.type == "inet":
            for address in sockets(conf, service).addresses:
                found.setdefault(address, []).append(service)
    return found


def twice(conf: _State) -> t.List[str]:
    """Addresses with two services, in words: the second one cannot listen."""
    by_services: t.Dict[t.Tuple[str, ...], t.List[str]] = {}
    lines = {}
    for address, services in _overlapping(listening(conf)).items():
        key = tuple(service.id for service in services)
        by_services.setdefault(key, []).append(address)
        lines[key] = " and ".join("%s in line %d" % (service.name, service.line) for service in services)
    return [
        "master.cf: two services are for %s (%s): both cannot listen there; keep one of them" % (", ".join(found), lines[key])
        for key, found in by_services.items()
    ]


def _overlapping(found: t.Mapping[str, t.List[Service]]) -> t.Dict[str, t.List[Service]]:
    return {address: services for address, services in found.items() if len(services) > 1}


def overlaps(conf: _State, address: str) -> t.List[t.Tuple[str, Service]]:
    """Enabled services that serve a part of this address, or it as a part of theirs: for all addresses of a port stands one name.

    Postfix can have both (its sockets share a port), and the entry with the one address gets its connections.
    """
    host, port = split_address(address)
    everywhere = "::" if ":" in host else "0.0.0.0"
    found = []
    for other, services in listening(conf).items():
        other_host, other_port = split_address(other)
        same = other_port == port and (":" in other_host) == (":" in host)
        if same and other != address and everywhere in (host, other_host):
            found += [(other, service) for service in services]
    return found


def busy(address: str) -> str:
    """Why nothing could listen at this canonical address now, "" if something could.

    A port that is taken, or an address that this host does not have, would end Postfix's master process at the next
    reload, and with it every listener.
    """
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((host, port))
            probe.listen(1)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _families(conf: _State) -> t.Tuple[socket.AddressFamily, ...]:
    found: t.List[socket.AddressFamily] = []
    for word in re.split(r"[,\s]+", conf.value("inet_protocols").strip() or "all"):
        found += _FAMILIES.get(word.lower(), ())
    # Postfix goes on without a family that the kernel does not have.
    return tuple(family for family in dict.fromkeys(found or _FAMILIES["all"]) if family == socket.AF_INET or _has(family))


def _has(family: socket.AddressFamily, address: str = "") -> bool:
    """Whether this host has a family of addresses, or one address."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if address:
                probe.bind((address, 0))
    except OSError:
        return False
    return True


def _interfaces(conf: _State) -> t.Tuple[t.List[str], str]:
    families = _families(conf)
    found: t.List[str] = []
    problems = []
    for word in re.split(r"[,\s]+", conf.value("inet_interfaces").strip() or "all"):
        if word == "all":
            found += [_WILDCARDS[family] for family in families]
        elif word == "loopback-only":
            # A container often has no ::1, although it has the family.
            found += [_LOOPBACK[family] for family in families if family == socket.AF_INET or _has(family, "::1")]
        else:
            hosts, unknown = _hosts(word, families)
            found += hosts
            if unknown:
                problems.append("inet_interfaces: %s" % unknown)
    return found, "; ".join(problems)


def _hosts(text: str, families: t.Sequence[socket.AddressFamily]) -> t.Tuple[t.List[str], str]:
    """Addresses for a host as master.cf or inet_interfaces write it, in brackets if IPv6."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        found = socket.getaddrinfo(bare, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return [], "the host %s is not known here" % bare
    hosts, problem = [], "inet_protocols leaves out the family of %s, and Postfix would not start with it" % bare
    for family, unused, unused2, unused3, address in found:
        if family not in families:
            continue
        if family == socket.AF_INET6 and address[3]:
            problem = "the address %s has a zone, and means something on one network only" % bare
            continue
        host = str(address[0])
        hosts.append("[%s]" % host if family == socket.AF_INET6 else host)
    return list(dict.fromkeys(hosts)), "" if hosts else problem
