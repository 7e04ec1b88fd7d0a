# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The desired or observed state of a mail server's SMTP services, as immutable values.

Everywhere, None means "not known or not set" and never "empty": an empty tuple of versions,
an empty string for a file (no file) and an empty tuple of networks are values of their own.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .rule import ForcedTlsDomain, ForcedTlsGroup, RelayTlsRule, Rule
from .value import Value

#: Values of a listener's ``tls`` (RFC 8314 for implicit TLS, RFC 3207 for STARTTLS).
TLS_MODES = ("none", "starttls", "implicit")

#: TLS settings of a listener, in the order in which they are shown.
TLS_FIELDS = (
    "versions",
    "ciphers",
    "prefer_server_ciphers",
    "certificate",
    "ca_file",
    "dh_params",
    "request_client_certificate",
)

#: Connection limits of a listener: counts of connections, time spans in seconds.
LIMIT_FIELDS = (
    "idle_timeout",
    "max_connections",
    "max_interval_connections",
    "interval",
    "peer_max_connections",
    "peer_max_interval_connections",
    "peer_interval",
)


@dataclass(init=False, repr=False, eq=False)
class Listener(Value):
    """One address on which SMTP is received, with its TLS settings, limits and networks.

    ``address`` is in canonical form and is the key. ``versions`` is a tuple, oldest first.
    ``certificate`` is one PEM file on the server (key, leaf, chain); files are ``""`` for "no file".
    """

    address: str
    enabled: t.Optional[bool] = None
    tls: t.Optional[str] = None
    versions: t.Optional[t.Tuple[str, ...]] = None
    ciphers: t.Optional[str] = None
    prefer_server_ciphers: t.Optional[bool] = None
    certificate: t.Optional[str] = None
    ca_file: t.Optional[str] = None
    dh_params: t.Optional[str] = None
    request_client_certificate: t.Optional[bool] = None
    idle_timeout: t.Optional[int] = None
    max_connections: t.Optional[int] = None
    max_interval_connections: t.Optional[int] = None
    interval: t.Optional[int] = None
    peer_max_connections: t.Optional[int] = None
    peer_max_interval_connections: t.Optional[int] = None
    peer_interval: t.Optional[int] = None
    allowed_networks: t.Optional[t.Tuple[str, ...]] = None
    denied_networks: t.Optional[t.Tuple[str, ...]] = None


@dataclass(init=False, repr=False, eq=False)
class StartTls(Value):
    """STARTTLS of the whole server: offered to clients (``inbound``), used with peers that offer it (``outbound``)."""

    inbound: t.Optional[bool] = None
    outbound: t.Optional[bool] = None


@dataclass(init=False, repr=False, eq=False)
class RelayHost(Value):
    """The host that takes all mail that goes out, instead of the hosts that DNS names for each domain.

    ``host`` is a domain name or an IP address without brackets, ``tls`` is ``starttls`` or ``implicit``, ``level`` one
    of ``level.RELAY_HOST_LEVELS``. Credentials go inside TLS only, unless ``clear_text_login`` allows otherwise.
    """

    host: str
    port: int
    tls: str
    level: str
    username: str = ""
    password: str = field(default="", repr=False)
    clear_text_login: bool = False


@dataclass(init=False, repr=False, eq=False)
class Policy(Value):
    """Everything a server's SMTP hardening consists of.

    ``listeners`` is ordered by address (:func:`address.sort_key`); ``rules`` by event and, inside
    an event, in the order in which the server applies them. ``relay`` None: mail goes out as DNS says (MX).
    """

    listeners: t.Tuple[Listener, ...] = ()
    starttls: StartTls = StartTls()
    rules: t.Tuple[Rule, ...] = ()
    relay: t.Optional[RelayHost] = None

    def listener(self, address: str) -> t.Optional[Listener]:
        """The listener with this canonical address, or None."""
        return next((listener for listener in self.listeners if listener.address == address), None)

    def rule(self, name: str) -> t.Optional[Rule]:
        """The first rule with this name (names are compared without regard to case), or None."""
        return next((rule for rule in self.rules if rule.name.lower() == name.lower()), None)

    def relay_rules(self) -> t.Iterator[RelayTlsRule]:
        """The relay TLS rules in order."""
        return (rule for rule in self.rules if isinstance(rule, RelayTlsRule))

    def forced_domains(self) -> t.Iterator[ForcedTlsDomain]:
        """The rules for domains, those of groups one by one."""
        for rule in self.rules:
            if isinstance(rule, ForcedTlsDomain):
                yield rule
            elif isinstance(rule, ForcedTlsGroup):
                yield from rule.members()
