# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may connect to a listener: allowed and denied networks, and how many connections at once and in a while.

A listener has rules of its own, and its service has rules for all listeners. The rules of a listener come first; where
none of them is about a client, those of the service are asked, and where none of these is either, it is let in.
Limits of the listener are about all its connections. Those of an allowed network are about the connections that it has
let in, those of the service about the connections that no rule of their listener is about. A single address is an
IPv4 address or an IPv6 /64 where limits are counted, and exactly itself where networks are allowed or denied.
"""

from __future__ import annotations

import ipaddress
import socket
import typing as t
from collections.abc import Sequence
from dataclasses import dataclass

from ..rules.condition import address_range
from ..settings import AccessControl, AccessRule, ActivationError, FlowLimits, ListenerSettings
from .reply import Reply

#: Peers that a gate remembers. More are only those with connections, and there is a limit for these.
_MANY_PEERS = 10_000

DENIED = Reply(554, "5.7.1", "connections from your address are not accepted", close=True)
EARLY = Reply(554, "5.5.1", "a client has to wait for the greeting", close=True)
TOO_MANY = Reply(421, "4.7.0", "too many connections, try again later", close=True)


def peer_group(address: str) -> bytes:
    """Who counts as one peer: an IPv4 address, an IPv6 /64.

    A /64 is what a single customer gets at least (RFC 6177 section 2): each has more addresses in it than any table.
    """
    if ":" in address:
        return socket.inet_pton(socket.AF_INET6, address)[:8]
    return socket.inet_aton(address)


class _Entry(t.NamedTuple):
    """A rule with its network as the first and the last address."""

    low: t.Any
    high: t.Any
    allow: bool
    rule: AccessRule


class Networks:
    """Rules in the order of their priority. ``name`` is whose they are, for errors.

    Raises :class:`ActivationError` for a rule that is no network.
    """

    def __init__(self, allow: Sequence[AccessRule], deny: Sequence[AccessRule], name: str) -> None:
        rules = [(rule, True) for rule in allow if rule.enable] + [(rule, False) for rule in deny if rule.enable]
        # Priority 1 is the highest; of two rules with the same one, the denial counts.
        ordered = sorted(rules, key=lambda pair: (pair[0].priority, pair[1]))
        self._entries = [_Entry(*_range(rule, name), allowed, rule) for rule, allowed in ordered]

    @property
    def allowed(self) -> list[AccessRule]:
        """The rules that let somebody in."""
        return [entry.rule for entry in self._entries if entry.allow]

    def find(self, peer: str) -> tuple[bool, AccessRule] | None:
        """Whether the first rule about this address allows it, and that rule; None when no rule is about it."""
        if self._entries:
            address = ipaddress.ip_address(peer)
            for low, high, allow, rule in self._entries:
                if low.version == address.version and low <= address <= high:
                    return allow, rule
        return None


def _range(rule: AccessRule, name: str) -> tuple:
    try:
        return address_range(rule.ip_set)
    except ValueError as error:
        raise ActivationError(f"{name}: network {rule.ip_set!r}: {error}") from None


class Limits(t.Protocol):
    """Numbers of connections and time spans in seconds; a number of 0 means no limit."""

    max_connections: int
    max_interval_connections: int
    time_interval: int
    peer_max_connections: int
    peer_max_interval_connections: int
    peer_time_interval: int


@dataclass(slots=True)
class _Window:
    """Connections now, and those begun since the window was opened."""

    now: int = 0
    begun: int = 0
    opened: float = 0.0

    def full(self, at_once: int, in_window: int, length: float, clock: float) -> bool:
        if clock - self.opened >= length:
            self.opened, self.begun = clock, 0
        return bool((at_once and self.now >= at_once) or (in_window and self.begun >= in_window))

    def enter(self) -> None:
        self.now += 1
        self.begun += 1


class Gate:
    """Counts the connections that some limits are about. Survives a new generation, which may change the limits.

    A peer is an IPv4 address or an IPv6 /64 (:func:`peer_group`).
    """

    def __init__(self) -> None:
        self._all = _Window()
        self._peers: dict[bytes, _Window] = {}
        self._most = _MANY_PEERS

    @property
    def connections(self) -> int:
        """How many of its connections there are now."""
        return self._all.now

    def has_room(self, peer: str, limits: Limits, clock: float) -> bool:
        """Whether one more connection from ``peer`` is within the limits (``clock`` in seconds)."""
        if self._all.full(limits.max_connections, limits.max_interval_connections, limits.time_interval, clock):
            return False
        group = peer_group(peer)
        window = self._peers.get(group)
        if window is None:
            if len(self._peers) >= self._most:
                self._make_room(limits.peer_time_interval, clock)
            window = self._peers.setdefault(group, _Window(opened=clock))
        return not window.full(
            limits.peer_max_connections, limits.peer_max_interval_connections, limits.peer_time_interval, clock
        )

    def enter(self, peer: str) -> None:
        """Count a connection that :meth:`has_room` was just asked about."""
        self._all.enter()
        self._peers[peer_group(peer)].enter()

    def leave(self, peer: str) -> None:
        """A connection that :meth:`enter` counted has ended."""
        self._all.now -= 1
        window = self._peers.get(peer_group(peer))
        if window is not None:
            window.now -= 1

    def _make_room(self, length: float, clock: float) -> None:
        """Forget peers whose time span is over and, where these are few, all that have no connection.

        What is left may be much: then there is a next time only when it has doubled, so that it costs little.
        """
        peers = self._peers.items()
        kept = {group: found for group, found in peers if found.now or clock - found.opened < length}
        if len(kept) > _MANY_PEERS // 2:
            kept = {group: found for group, found in kept.items() if found.now}
        self._peers = kept
        self._most = max(_MANY_PEERS, 2 * len(kept))


class Refused(t.NamedTuple):
    """What a client is told, and why, for the log."""

    reply: Reply
    reason: str


#: Whose rule or limits: the address of the listener, "" for the service; the network of the rule, "" for no rule.
Name = tuple[str, str]


def _owner(name: Name) -> str:
    """``10.0.0.0/8 of the service``, ``listener 0.0.0.0:25``."""
    level, network = name
    owner = f"listener {level}" if level else "the service"
    return f"{network} of {owner}" if network else owner


class Gates:
    """The gates of one service: of its listeners, of their rules and of the service's own. Survives generations."""

    def __init__(self) -> None:
        self._gates: dict[Name, Gate] = {}

    def admit(self, access: Access, peer: str, clock: float) -> tuple[Gate, ...] | Refused:
        """Count a connection everywhere, or refuse it: then it is counted nowhere.

        Returns the gates that it has to leave when it ends.
        """
        denied, limits = access.judge(peer)
        if denied:
            return Refused(DENIED, f"deny rule {_owner(denied)}")
        found = [(name, self._gates.setdefault(name, Gate()), limit) for name, limit in limits]
        for name, gate, limit in found:
            if not gate.has_room(peer, limit, clock):
                return Refused(TOO_MANY, f"limits of {_owner(name)}")
        for _name, gate, _limit in found:
            gate.enter(peer)
        return tuple(gate for _name, gate, _limit in found)

    def connections(self, address: str) -> int:
        """How many connections the listener with this address has now."""
        gate = self._gates.get((address, ""))
        return gate.connections if gate is not None else 0

    def forget_all_but(self, accesses: t.Iterable[Access]) -> None:
        """Keep what the listeners of a new generation use; connections that go on leave their own gates."""
        used = {name for access in accesses for name in access.gates}
        self._gates = {name: gate for name, gate in self._gates.items() if name in used}


class Access:
    """Everything that decides about a connection to one listener. Raises :class:`ActivationError`."""

    def __init__(self, settings: ListenerSettings, service: AccessControl) -> None:
        self._settings = settings
        self._service = service
        name = f"listener {settings.address}"
        self._levels = (
            (settings.address, Networks(settings.allow_rules, settings.deny_rules, name)),
            ("", Networks(service.allow_rules, service.deny_rules, "access control of the service")),
        )

    @property
    def gates(self) -> set[Name]:
        """The names of all gates that a connection may have to pass."""
        rules = {(level, rule.ip_set) for level, networks in self._levels for rule in networks.allowed}
        return {(self._settings.address, ""), ("", "")} | rules

    def judge(self, peer: str) -> tuple[Name | None, list[tuple[Name, Limits]]]:
        """The rule that denies this address, if one does; and the limits that are about it with their owners."""
        limits: list[tuple[Name, Limits]] = [((self._settings.address, ""), self._settings)]
        for level, networks in self._levels:
            if not level and _limited(self._service.limits):
                limits.append((("", ""), self._service.limits))
            found = networks.find(peer)
            if found is None:
                continue
            allowed, rule = found
            if not allowed:
                return (level, rule.ip_set), []
            if _limited(rule.limits):
                limits.append(((level, rule.ip_set), rule.limits))
            break
        return None, limits


def _limited(limits: FlowLimits) -> bool:
    """Whether there is any limit; where there is none, nothing has to be remembered about clients."""
    return bool(
        limits.max_connections
        or limits.max_interval_connections
        or limits.peer_max_connections
        or limits.peer_max_interval_connections
    )
