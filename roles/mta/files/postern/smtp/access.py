# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may connect to a listener: allowed and denied networks, and how many connections at once and in a while."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from ..rules.engine import address_range
from ..settings import AccessRule, ActivationError, ListenerSettings
from .reply import Reply

#: Peers that are remembered before those without connections are forgotten.
_MANY_PEERS = 10_000

DENIED = Reply(554, "5.7.1", "connections from your address are not accepted", close=True)
TOO_MANY = Reply(421, "4.7.0", "too many connections, try again later", close=True)


class Networks:
    """A listener's rules in the order of their priority; an address that none matches is let in.

    Raises :class:`ActivationError` for a rule that is no network.
    """

    def __init__(self, settings: ListenerSettings) -> None:
        rules = [(rule, True) for rule in settings.allow_rules] + [(rule, False) for rule in settings.deny_rules]
        # Priority 1 is the highest; of two rules with the same one, the denial counts.
        ordered = sorted((rule.priority, allow, _range(rule, settings)) for rule, allow in rules if rule.enable)
        self._rules = [(low, high, allow) for _priority, allow, (low, high) in ordered]

    def admit(self, peer: str) -> bool:
        """Whether a connection from this address may be served."""
        if not self._rules:
            return True
        address = ipaddress.ip_address(peer)
        for low, high, allow in self._rules:
            if low.version == address.version and low <= address <= high:
                return allow
        return True


def _range(rule: AccessRule, settings: ListenerSettings) -> tuple:
    try:
        return address_range(rule.ip_set)
    except ValueError as error:
        raise ActivationError(f"listener {settings.address}: network {rule.ip_set!r}: {error}") from None


@dataclass
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
    """Counts the connections of one listening socket. A limit of 0 means none. Survives a new generation."""

    def __init__(self) -> None:
        self._all = _Window()
        self._peers: dict[str, _Window] = {}

    def enter(self, peer: str, settings: ListenerSettings, clock: float) -> bool:
        """Count a connection from ``peer`` (``clock`` in seconds); False when it is too many: not counted."""
        s = settings
        if self._all.full(s.max_connections, s.max_interval_connections, s.time_interval, clock):
            return False
        window = self._peers.get(peer)
        if window is None:
            if len(self._peers) >= _MANY_PEERS:
                self._peers = {name: found for name, found in self._peers.items() if found.now}
            window = self._peers.setdefault(peer, _Window(opened=clock))
        if window.full(s.peer_max_connections, s.peer_max_interval_connections, s.peer_time_interval, clock):
            return False
        self._all.enter()
        window.enter()
        return True

    def leave(self, peer: str) -> None:
        """A connection that :meth:`enter` counted has ended."""
        self._all.now -= 1
        window = self._peers.get(peer)
        if window is not None:
            window.now -= 1
