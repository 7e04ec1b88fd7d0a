# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An authoritative name server on the loopback, for mail servers that must not ask the Internet.

``python devtools/zone.py FILE [ADDRESS:PORT]`` serves the records of a JSON file until it is stopped and prints its
address first. Needs dnspython.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import struct
import sys
import threading
import typing as t

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

#: What a name can do instead of having records: an error, no answer at all, or one that fits into TCP only.
SERVFAIL, REFUSED, SILENT = "SERVFAIL", "REFUSED", "SILENT"
TRUNCATED = "TRUNCATED"

#: Records by type, in the form of a zone file; or one of the words above.
Records = t.Union[str, t.Mapping[str, t.Sequence[str]]]

_TRIES = 20
_CHAIN = 8
#: Seconds until a server sees that it is to stop.
_POLL = 0.05


class Zone:
    """Answers for all names; names without records do not exist (NXDOMAIN). A context manager.

    ``records`` is by name: ``{"a.test": {"MX": ["10 mx1.a.test"]}, "mx1.a.test": {"A": ["127.0.0.2"]},
    "null.test": {"MX": ["0 ."]}, "bad.test": SERVFAIL}``. Names are absolute, with or without the last dot. Time to
    live is 0. With the type ``TRUNCATED`` (``{"TRUNCATED": [], "MX": [...]}``) the answer over UDP says: ask over TCP.
    ``address`` is "ip:port" of UDP and TCP, ``queries`` what was asked: (name, type, "udp" or "tcp").
    Raises OSError when the address is taken, ValueError for a record that is none.
    """

    def __init__(self, records: t.Mapping[str, Records] | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        self._lock = threading.Lock()
        self._names: dict[dns.name.Name, dict[dns.rdatatype.RdataType, dns.rrset.RRset] | str] = {}
        self._truncated: set[dns.name.Name] = set()
        self.queries: list[tuple[str, str, str]] = []
        for name, value in (records or {}).items():
            self.put(name, value)
        self._servers = _bind(self, host, port)
        found = self._servers[0].server_address
        self.address = f"[{found[0]}]:{found[1]}" if ":" in found[0] else f"{found[0]}:{found[1]}"
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(_POLL,), daemon=True) for server in self._servers
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> "Zone":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def put(self, name: str, records: Records) -> None:
        """Set all that a name has, in place of what it had. Raises ValueError, naming the record."""
        owner = _name(name)
        if isinstance(records, str):
            if records not in (SERVFAIL, REFUSED, SILENT):
                raise ValueError(f"{name}: {records!r} is not {SERVFAIL}, {REFUSED} or {SILENT}")
            value: dict | str = records
        else:
            value = {}
            for kind, texts in records.items():
                if kind != TRUNCATED:
                    value[dns.rdatatype.from_text(kind)] = _rrset(owner, kind, texts)
        with self._lock:
            self._names[owner] = value
            (self._truncated.add if TRUNCATED in records else self._truncated.discard)(owner)

    def remove(self, name: str) -> None:
        """From now on the name does not exist."""
        with self._lock:
            self._names.pop(_name(name), None)

    def answer(self, wire: bytes, transport: str) -> bytes | None:
        """The reply to one query, None for silence."""
        try:
            query = dns.message.from_wire(wire)
            question = query.question[0]
        except (dns.exception.DNSException, IndexError):
            return None
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA | (query.flags & dns.flags.RD) | dns.flags.RA
        with self._lock:
            self.queries.append((str(question.name).rstrip("."), dns.rdatatype.to_text(question.rdtype), transport))
            if question.name in self._truncated and transport == "udp":
                reply.flags |= dns.flags.TC
            elif not self._fill(reply, question.name, question.rdtype):
                return None
        # Over TCP there is room; a question's own limit is about UDP (RFC 6891 section 6.2.5).
        return reply.to_wire(max_size=65535 if transport == "tcp" else 0)

    def _fill(self, reply: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> bool:
        for _step in range(_CHAIN):
            records = self._names.get(name)
            if records == SILENT:
                return False
            if isinstance(records, str):
                reply.set_rcode(dns.rcode.from_text(records))
                return True
            if records is None:
                # A name with something below it exists, it has no records (RFC 8020).
                if not any(other.is_subdomain(name) for other in self._names):
                    reply.set_rcode(dns.rcode.NXDOMAIN)
                return True
            if kind in records:
                reply.answer.append(records[kind])
                return True
            alias = records.get(dns.rdatatype.CNAME)
            if alias is None:
                return True
            reply.answer.append(alias)
            name = alias[0].target
        reply.set_rcode(dns.rcode.SERVFAIL)
        return True

    def close(self) -> None:
        """Stop answering."""
        for server, thread in zip(self._servers, self._threads):
            server.shutdown()
            server.server_close()
            thread.join()


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True
    block_on_close = False


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True


def _bind(zone: Zone, host: str, port: int) -> tuple[socketserver.BaseServer, socketserver.BaseServer]:
    """One port for both transports: the kernel gives one for TCP, and another one when it is taken for UDP."""

    class OverUdp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            wire, sock = self.request
            reply = zone.answer(wire, "udp")
            if reply is not None:
                sock.sendto(reply, self.client_address)

    class OverTcp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(10)
            with contextlib.suppress(OSError), self.request.makefile("rb") as stream:
                while len(head := stream.read(2)) == 2:
                    reply = zone.answer(stream.read(*struct.unpack("!H", head)), "tcp")
                    if reply is not None:
                        self.request.sendall(struct.pack("!H", len(reply)) + reply)

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    tcp_class = type("Tcp", (_Tcp,), {"address_family": family})
    udp_class = type("Udp", (_Udp,), {"address_family": family})
    for attempt in range(_TRIES):
        tcp = tcp_class((host, port), OverTcp)
        try:
            return tcp, udp_class(tcp.server_address[:2], OverUdp)
        except OSError:
            tcp.server_close()
            if port or attempt == _TRIES - 1:
                raise
    raise AssertionError("not reached")


def _name(text: str) -> dns.name.Name:
    return dns.name.from_text(text)


def _rrset(owner: dns.name.Name, kind: str, texts: t.Sequence[str]) -> dns.rrset.RRset:
    rrset = dns.rrset.RRset(owner, dns.rdataclass.IN, dns.rdatatype.from_text(kind))
    for text in texts:
        try:
            rrset.add(dns.rdata.from_text("IN", kind, text, origin=dns.name.root, relativize=False), 0)
        except (dns.exception.DNSException, ValueError) as error:
            raise ValueError(f"{owner}: {kind} {text!r}: {error}") from None
    return rrset


def main(arguments: list[str]) -> int:
    """Serve a file of records until the process is ended."""
    if not 1 <= len(arguments) <= 2:
        print("usage: zone.py FILE [ADDRESS:PORT]", file=sys.stderr)
        return 2
    with open(arguments[0], encoding="utf-8") as stream:
        records = json.load(stream)
    host, _colon, port = (arguments[1:] or ["127.0.0.1:0"])[0].rpartition(":")
    with Zone(records, host.strip("[]"), int(port)) as zone:
        print(zone.address, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
