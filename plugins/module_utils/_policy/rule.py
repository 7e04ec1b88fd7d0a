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

from .level import forces
from .rule_name import default_reject_message
from .value import Value

#: Events in the order in which a mail transaction meets them. A rule whose event is none of
#: these (a server's own processing events) comes behind them, in the server's order.
EVENTS = ("connect", "ehlo", "mail", "rcpt", "headers", "data", "relay")

CONNECTIONS = ("plain", "tls")

#: A domain that stands for every one.
EVERY_DOMAIN = "*"

#: Direction of a forced-TLS domain -> event of its rule.
DIRECTIONS = {"inbound": "rcpt", "outbound": "relay"}


@dataclass(init=False, repr=False, eq=False)
class AuthRule(Value):
    """Which SASL mechanisms (RFC 4954) a connection of one kind may use; none = no authentication."""

    name: str
    connection: str
    mechanisms: t.Tuple[str, ...]
    enabled: bool = True

    event = "ehlo"


@dataclass(init=False, repr=False, eq=False)
class RelayTlsRule(Value):
    """How mail to other hosts is sent, whatever its domain: ``level`` is one of ``level.GENERAL_LEVELS``.

    ``versions`` are the protocol versions that may be used, oldest first; None leaves them to the server. ``match`` and
    ``fingerprints`` are as in :class:`ForcedTlsDomain`.
    """

    name: str
    level: str
    versions: t.Optional[t.Tuple[str, ...]] = None
    enabled: bool = True
    match: t.Optional[t.Tuple[str, ...]] = None
    fingerprints: t.Optional[t.Tuple[str, ...]] = None

    event = "relay"


@dataclass(init=False, repr=False, eq=False)
class ForcedTlsDomain(Value):
    """How mail for ``domain`` must be protected in one direction: TLS or nothing, or the exception from that.

    ``domain`` is canonical; ``.example.com`` means the subdomains of that domain, ``*`` every domain. The most special
    rule decides: the domain itself, then the longest parent, then ``*``.

    ``inbound``: mail that arrives in clear is refused with ``reject_message`` (``level`` None), or taken all the same
    (``level`` ``may``, an exception). ``outbound``: mail is sent at ``level``
    (see the module ``level``), with the protocol ``versions`` named (None: the server's), and at level ``secure`` to
    hosts whose certificate has a name in ``match`` (a leading dot: any subdomain; None: the domain and its subdomains),
    at level ``fingerprint`` to hosts that have one of ``fingerprints`` (canonical, see the module ``fingerprint``).
    What belongs to the other direction is None.

    ``reason`` says why a rule is weaker than the one for more domains, ``until`` the last day (``YYYY-MM-DD``) on which
    that shall be so.
    """

    name: str
    domain: str
    reject_message: t.Optional[str]
    direction: str = "inbound"
    enabled: bool = True
    level: t.Optional[str] = None
    versions: t.Optional[t.Tuple[str, ...]] = None
    match: t.Optional[t.Tuple[str, ...]] = None
    reason: t.Optional[str] = None
    until: t.Optional[str] = None
    fingerprints: t.Optional[t.Tuple[str, ...]] = None

    @property
    def event(self) -> str:
        """The event of the direction."""
        return DIRECTIONS[self.direction]

    @property
    def forces(self) -> bool:
        """Whether mail never travels in clear under this rule."""
        return self.level is None if self.direction == "inbound" else forces(self.level or "")


@dataclass(init=False, repr=False, eq=False)
class ForcedTlsGroup(Value):
    """Two or more domains with the same settings in one rule: the compact form of :class:`ForcedTlsDomain`.

    ``domains`` are canonical, sorted, whole ones (no subdomains, no ``*``). ``reject_message`` None: the default one,
    which names the domain. Everything else as it is there; a group is never an exception.
    """

    name: str
    domains: t.Tuple[str, ...]
    reject_message: t.Optional[str]
    direction: str = "inbound"
    enabled: bool = True
    level: t.Optional[str] = None
    versions: t.Optional[t.Tuple[str, ...]] = None
    match: t.Optional[t.Tuple[str, ...]] = None
    fingerprints: t.Optional[t.Tuple[str, ...]] = None

    @property
    def event(self) -> str:
        """The event of the direction."""
        return DIRECTIONS[self.direction]

    @property
    def forces(self) -> bool:
        """Whether mail never travels in clear under this rule: a group is no exception."""
        return True

    def member(self, domain: str) -> ForcedTlsDomain:
        """The rule for one of the domains as it would be alone, under the name of the group."""
        message = self.reject_message
        if message is None and self.direction == "inbound":
            message = default_reject_message(domain)
        return ForcedTlsDomain(
            self.name,
            domain,
            message,
            self.direction,
            self.enabled,
            self.level,
            self.versions,
            self.match,
            fingerprints=self.fingerprints,
        )

    def members(self) -> t.Iterator[ForcedTlsDomain]:
        """The rule for each domain as it would be alone, all under the name of the group."""
        return map(self.member, self.domains)


class Condition(t.NamedTuple):
    """A test of a variable (in the spelling of ``general_rule``) against a value."""

    variable: str
    test: str
    value: str


class Action(t.NamedTuple):
    """``set``: the variable ``name`` gets ``value``; ``call``: the server's own method ``name`` runs (no value)."""

    kind: str
    name: str
    value: str = ""


@dataclass(init=False, repr=False, eq=False)
class GeneralRule(Value):
    """A rule of an administrator that no typed rule says: conditions and what is done when they hold.

    ``match`` is ``all`` or ``any``; without conditions the actions are always done. ``event`` follows from both.
    """

    name: str
    event: str
    match: str
    conditions: t.Tuple[Condition, ...]
    actions: t.Tuple[Action, ...]
    enabled: bool = True


@dataclass(init=False, repr=False, eq=False)
class OpaqueRule(Value):
    """A rule that the policy cannot type: its name and place are known, its content is never touched.

    ``basic`` marks the server's own basic settings, which stand before the administrator's rules.
    ``event`` is None for a rule that no event calls (it is disabled).
    """

    name: str
    event: t.Optional[str]
    enabled: bool = True
    basic: bool = False


Rule = t.Union[AuthRule, ForcedTlsDomain, ForcedTlsGroup, RelayTlsRule, GeneralRule, OpaqueRule]


def renamed(rule: Rule, name: str) -> Rule:
    """The same rule under another name."""
    return replace(rule, name=name)
