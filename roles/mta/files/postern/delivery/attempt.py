# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One attempt: a message, its recipients at one domain, and the hosts that are tried one after the other.

What the rules decide holds for the whole attempt: a next host is asked for the same TLS level as the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ..queue.store import Envelope, id_text
from ..rules.engine import RuleSet
from ..rules.relay import Relay, RelayRefused, decide
from ..rules.static_routes import Routes
from .conversation import HostFailed, Limits, Outcome, Security, Trust, converse
from .outcome import DEFERRED, FAILED, same_for
from .resolver import LookupFailed, Resolver
from .route import Hop, route

#: Conversations at a time, and with one host: more is not welcome there.
CONVERSATIONS, PER_HOST = 20, 4


@dataclass(frozen=True)
class Tried:
    """What came of an attempt. ``level`` is the one asked for, empty when the rules did not get that far, ``why`` the
    reason that the rules give for it; ``hop`` the host that decided the matter, None when it did not come to a
    conversation."""

    outcomes: dict[str, Outcome]
    level: str = ""
    hop: Hop | None = None
    security: Security = field(default_factory=lambda: Security(reached=""))
    why: str = ""


class Slots:
    """Bounds conversations. Who waits for a busy host takes no slot away from those who go elsewhere."""

    def __init__(self, total: int = CONVERSATIONS, per_host: int = PER_HOST) -> None:
        self._total = asyncio.Semaphore(total)
        self._per_host = per_host
        self._hosts: dict[str, tuple[asyncio.Semaphore, list[None]]] = {}

    @asynccontextmanager
    async def at(self, host: str) -> AsyncIterator[None]:
        """Wait for a slot at ``host`` and hold it."""
        slots, users = self._hosts.setdefault(host, (asyncio.Semaphore(self._per_host), []))
        users.append(None)
        try:
            async with slots, self._total:
                yield
        finally:
            users.pop()
            if not users:
                del self._hosts[host]


class Courier:
    """Makes attempts. ``own_names`` and ``own_addresses`` say what this server itself is, at that moment."""

    def __init__(
        self,
        resolver: Resolver,
        trust: Trust,
        limits: Limits,
        host_name: str,
        own_names: Callable[[], Collection[str]],
        own_addresses: Callable[[], Collection[tuple[str, int]]],
        log,
        routes: Routes | None = None,
    ) -> None:
        self._resolver = resolver
        self._trust = trust
        self._limits = limits
        self._host_name = host_name
        self._own_names = own_names
        self._own_addresses = own_addresses
        self._log = log
        self._routes = routes
        self._slots = Slots()

    async def deliver(
        self,
        rules: RuleSet,
        envelope: Envelope,
        domain: str,
        recipients: Sequence[str],
        text: Callable[[], Awaitable[Iterable[bytes] | None]],
    ) -> Tried | None:
        """Try to deliver a message to recipients (as they stand between ``<`` and ``>``) at one domain.

        ``text`` opens the text, see :func:`converse`; it is called when a conversation is about to begin. Returns None
        when there is no text, because the message is gone.
        """
        try:
            relay = decide(rules, domain, envelope.sender, envelope.auth_user, self._routes)
        except RelayRefused as refused:
            return Tried(same_for(recipients, Outcome(DEFERRED, refused.status, str(refused))))
        try:
            hops = await route(self._resolver, domain, relay, self._own_names(), self._own_addresses())
        except LookupFailed as failed:
            kind = DEFERRED if failed.temporary else FAILED
            outcomes = same_for(recipients, Outcome(kind, failed.status, str(failed)))
            return Tried(outcomes, relay.level, why=relay.reason)
        failures: list[tuple[Hop, HostFailed]] = []
        for hop in hops:
            if failures:
                self._note_failure(envelope, domain, relay, *failures[-1])
            try:
                async with self._slots.at(hop.host):
                    found = await text()
                    if found is None:
                        return None
                    result = await converse(
                        hop, relay, domain, envelope.sender, recipients, found, envelope.eight_bit, envelope.smtputf8,
                        self._host_name, self._trust, self._limits,
                    )  # fmt: skip
            except HostFailed as failure:
                failures.append((hop, failure))
            else:
                return Tried(result.outcomes, relay.level, hop, result.security, relay.reason)
        # What kept the mail from being protected is what somebody has to do something about.
        hop, failure = next((pair for pair in reversed(failures) if pair[1].tls), failures[-1])
        outcome = Outcome(DEFERRED, failure.status, failure.reason)
        return Tried(same_for(recipients, outcome), relay.level, hop, failure.security, relay.reason)

    def _note_failure(self, envelope: Envelope, domain: str, relay: Relay, hop: Hop, failure: HostFailed) -> None:
        fields = {
            "id": id_text(envelope.id),
            "domain": domain,
            "host": hop.host,
            "address": address_text(hop),
            "level": relay.level,
            "reason": f"{failure.status} {failure.reason}",
        }
        self._log.record("relay.host", fields)


def address_text(hop: Hop) -> str:
    """``ip:port``, IPv6 in brackets."""
    return f"[{hop.address}]:{hop.port}" if ":" in hop.address else f"{hop.address}:{hop.port}"
