# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One attempt: a message, its recipients at one domain, and the hosts that are tried one after the other.

What the rules decide holds for the whole attempt: a next host is asked for the same TLS level as the first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field

from ..queue.store import Envelope, id_text
from ..rules.engine import RuleSet
from ..rules.relay import Relay, RelayRefused, decide
from ..rules.static_routes import Routes
from .content import Content
from .conversation import Connection, HostFailed, Limits, Outcome, Result, Security, Trust, connect
from .destination import Bounds, Destinations, Rest
from .outcome import DEFERRED, FAILED, same_for
from .pool import Key, Place, Pool
from .resolver import LookupFailed, Resolver
from .route import Hop, route
from .transaction import Transaction

#: Failures that are this server's own: they say nothing about a host (RFC 3463: other system status, system incorrectly
#: configured).
_OUR_OWN = ("4.3.0", "4.3.5")


@dataclass(frozen=True)
class Tried:
    """What came of an attempt. ``level`` is the one asked for, empty when the rules did not get that far, ``why`` the
    reason that the rules give for it; ``hop`` the host that decided the matter, None when it did not come to a
    conversation. ``until``: nothing was tried, because none of the hosts is asked again before that time (seconds since
    the epoch); else 0."""

    outcomes: dict[str, Outcome]
    level: str = ""
    hop: Hop | None = None
    security: Security = field(default_factory=lambda: Security(reached=""))
    why: str = ""
    until: float = 0.0


class Courier:
    """Makes attempts. ``own_names`` and ``own_addresses`` say what this server itself is, at that moment; ``freed`` is
    that of :class:`Pool`, ``destinations`` who is left alone."""

    def __init__(
        self,
        resolver: Resolver,
        trust: Trust,
        limits: Limits,
        host_name: str,
        own_names: Callable[[], Collection[str]],
        own_addresses: Callable[[], Collection[tuple[str, int]]],
        log,
        routes: Routes | None,
        bounds: Bounds,
        destinations: Destinations,
        freed: Callable[[str, bool], None],
    ) -> None:
        self._resolver = resolver
        self._trust = trust
        self._limits = limits
        self._host_name = host_name
        self._own_names = own_names
        self._own_addresses = own_addresses
        self._log = log
        self._routes = routes
        self._pool = Pool(bounds, freed)
        self._destinations = destinations

    async def close(self, limit: float) -> None:
        """Say goodbye on the connections that are kept, within so many seconds."""
        await self._pool.close(limit)

    async def deliver(
        self,
        rules: RuleSet,
        envelope: Envelope,
        domain: str,
        recipients: Sequence[str],
        content: Callable[[], Awaitable[Content | None]],
    ) -> Tried | None:
        """Try to deliver a message to recipients (as they stand between ``<`` and ``>``) at one domain.

        ``content`` gives the text; it is called when a conversation is about to begin. Returns None when there is no
        text, because the message is gone. Raises :class:`Busy` when it did not begin.
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
        rests: list[tuple[Hop, Rest]] = []
        for hop in hops:
            if failures:
                self._note_failure(envelope, domain, relay, *failures[-1])
            key = Key.of(hop, relay, domain)
            if (rest := self._rest(envelope.id, key)) is not None:
                rests.append((hop, rest))
                continue
            place = await self._pool.take(key, patient=bool(failures))
            try:
                # Somebody else may have found out meanwhile.
                rest = self._rest(envelope.id, key)
                if rest is None or place.connection is not None:
                    found = await content()
                    if found is None:
                        return None
                    transaction = Transaction(
                        envelope.sender, recipients, found, envelope.eight_bit, envelope.smtputf8, self._limits
                    )
                    result = await self._converse(place, transaction, envelope.id)
                    return Tried(result.outcomes, relay.level, hop, result.security, relay.reason)
                rests.append((hop, rest))
            except HostFailed as failure:
                failures.append((hop, failure))
            finally:
                self._leave(place)
        return _nothing(recipients, relay, failures, rests)

    # --- one host -------------------------------------------------------------------------------

    async def _converse(self, place: Place, transaction: Transaction, message: int) -> Result:
        """The message over a place's connection, a new one if there is none. Raises :class:`HostFailed`."""
        if transaction.nobody_left:
            return Result(transaction.outcomes)
        if place.connection is not None:
            try:
                return await place.connection.send(transaction)
            except HostFailed:
                # The peer may have closed it long ago: that is no answer to this message.
                connection, place.connection = place.connection, None
                await connection.close()
        place.connection = await self._connect(place, message)
        return await place.connection.send(transaction)

    async def _connect(self, place: Place, message: int) -> Connection:
        key = place.key
        hop, relay = key.hop, key.relay
        try:
            connection = await connect(hop, relay, key.domain, self._host_name, self._trust, self._limits)
        except HostFailed as failure:
            place.failed = True
            if failure.status not in _OUR_OWN:
                # What depends on what was asked of it does not concern those who ask for something else.
                destination = key if failure.tls or failure.greeted else (hop.address, hop.port)
                self._note_rest(hop, self._destinations.failed(destination, failure, message))
            raise
        for rest in self._destinations.answered(key, (hop.address, hop.port)):
            fields = {"host": hop.host, "address": address_text(hop)}
            fields |= {"failures": rest.failures, "put_off": rest.put_off}
            self._log.record("relay.recovered", fields)
        self._pool.made(place)
        return connection

    def _leave(self, place: Place) -> None:
        if place.connection is not None:
            self._pool.keep(place, place.connection)
        else:
            self._pool.leave(place)

    def _rest(self, message: int, key: Key) -> Rest | None:
        return self._destinations.rest(message, key, (key.hop.address, key.hop.port))

    # --- the log --------------------------------------------------------------------------------

    def _note_rest(self, hop: Hop, rest: Rest | None) -> None:
        if rest is not None:
            fields = {
                "host": hop.host,
                "address": address_text(hop),
                "failures": rest.failures,
                "put_off": rest.put_off,
                "retry": round(self._destinations.left(rest), 3),
                "reason": f"{rest.failure.status} {rest.failure.reason}",
            }
            self._log.record("relay.backoff", fields)
            rest.put_off = 0

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


def _nothing(
    recipients: Sequence[str], relay: Relay, failures: list[tuple[Hop, HostFailed]], rests: list[tuple[Hop, Rest]]
) -> Tried:
    """What is to be said when no host took it: what it was tried for, or what is known of hosts that are left alone."""
    until = 0.0
    if not failures:
        until = min(rest.until for _hop, rest in rests)
        for _hop, rest in rests:
            rest.put_off += 1
    known = failures or [(hop, rest.failure) for hop, rest in rests]
    # What kept the mail from being protected is what somebody has to do something about.
    hop, failure = next((pair for pair in reversed(known) if pair[1].tls), known[-1])
    outcome = Outcome(DEFERRED, failure.status, failure.reason)
    return Tried(same_for(recipients, outcome), relay.level, hop, failure.security, relay.reason, until)


def address_text(hop: Hop) -> str:
    """``ip:port``, IPv6 in brackets."""
    return f"[{hop.address}]:{hop.port}" if ":" in hop.address else f"{hop.address}:{hop.port}"
