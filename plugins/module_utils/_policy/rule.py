# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of a policy, as values.

A rule belongs to one event of a mail transaction. Rules are ordered per event; order across
events means nothing, because the events follow each other in every SMTP session.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

#: Events in the order in which a mail transaction meets them. A rule whose event is none of
#: these (a server's own processing events) comes behind them, in the server's order.
EVENTS = ("connect", "ehlo", "mail", "rcpt", "headers", "data", "relay")

CONNECTIONS = ("plain", "tls")

#: Direction of a forced-TLS domain -> event of its rule.
DIRECTIONS = {"inbound": "rcpt", "outbound": "relay"}


@dataclass(frozen=True)
class AuthRule:
    """Which SASL mechanisms (RFC 4954) a connection of one kind may use; none = no authentication."""

    name: str
    connection: str
    mechanisms: t.Tuple[str, ...]
    enabled: bool = True

    event = "ehlo"


@dataclass(frozen=True)
class RelayTlsRule:
    """How mail to other hosts is sent, whatever its domain: ``level`` is ``may`` or ``encrypt``.

    ``versions`` are the protocol versions that may be used, oldest first; None leaves them to the server.
    """

    name: str
    level: str
    versions: t.Optional[t.Tuple[str, ...]] = None
    enabled: bool = True

    event = "relay"


@dataclass(frozen=True)
class ForcedTlsDomain:
    """No mail for ``domain`` outside TLS, in one direction.

    ``inbound``: mail that arrives in clear is refused with ``reject_message``. ``outbound``: mail is sent at ``level``
    (see the module ``level``), with the protocol ``versions`` named (None: the server's), and at level ``secure`` to
    hosts whose certificate has a name in ``match`` (a leading dot: any subdomain; None: the domain and its subdomains).
    What belongs to the other direction is None.
    """

    name: str
    domain: str
    reject_message: t.Optional[str]
    direction: str = "inbound"
    enabled: bool = True
    level: t.Optional[str] = None
    versions: t.Optional[t.Tuple[str, ...]] = None
    match: t.Optional[t.Tuple[str, ...]] = None

    @property
    def event(self) -> str:
        """The event of the direction."""
        return DIRECTIONS[self.direction]


@dataclass(frozen=True)
class OpaqueRule:
    """A rule that the policy cannot type: its name and place are known, its content is never touched.

    ``basic`` marks the server's own basic settings, which stand before the administrator's rules.
    ``event`` is None for a rule that no event calls (it is disabled).
    """

    name: str
    event: t.Optional[str]
    enabled: bool = True
    basic: bool = False


Rule = t.Union[AuthRule, ForcedTlsDomain, RelayTlsRule, OpaqueRule]


def renamed(rule: Rule, name: str) -> Rule:
    """The same rule under another name."""
    return replace(rule, name=name)
