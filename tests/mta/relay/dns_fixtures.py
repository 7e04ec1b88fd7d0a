# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Name servers that misbehave in ways that :class:`Zone` does not know."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import dns.message
import dns.rcode
import dns.rdatatype

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "devtools"))

from zone import Zone  # noqa: E402


class LastingZone(Zone):
    """Its records may be kept for ``seconds``."""

    def __init__(self, records, seconds: int) -> None:
        self._seconds = seconds
        super().__init__(records)

    def answer(self, wire: bytes, transport: str) -> bytes | None:
        reply = dns.message.from_wire(super().answer(wire, transport))
        for rrset in reply.answer:
            rrset.ttl = self._seconds
        return reply.to_wire()


class HalfZone(Zone):
    """Cannot answer about one type of record, as servers that have never heard of AAAA."""

    def __init__(self, records, without: str) -> None:
        self._without = dns.rdatatype.from_text(without)
        super().__init__(records)

    def answer(self, wire: bytes, transport: str) -> bytes | None:
        query = dns.message.from_wire(wire)
        if query.question[0].rdtype != self._without:
            return super().answer(wire, transport)
        reply = dns.message.make_response(query)
        reply.set_rcode(dns.rcode.SERVFAIL)
        return reply.to_wire()


class PairingZone(Zone):
    """Answers a question only when another one waits beside it."""

    def __init__(self, records) -> None:
        self._barrier = threading.Barrier(2, timeout=20)
        super().__init__(records)

    def answer(self, wire: bytes, transport: str) -> bytes | None:
        try:
            self._barrier.wait()
        except threading.BrokenBarrierError:
            return None
        return super().answer(wire, transport)
