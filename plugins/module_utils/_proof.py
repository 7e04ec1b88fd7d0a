# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a forced-TLS rule lets encrypted mail in: asked of the server itself, over SMTP.

The script's ``isSSLConnection`` is documented, and whether it is yes after STARTTLS is not. Where it stays no, the rule
refuses everything. So an encrypted session asks for a recipient, and then one in clear does, on a connection of its
own, because variables of a script may live as long as a session. That the second one is refused shows that it is this
server and this rule that was asked. No message is sent, and no certificate is checked: a listener may have one that
nobody here trusts.
"""

from __future__ import annotations

import time
import typing as t

from ._encryption import recipients, says
from ._policy.errors import PolicyError
from ._policy.policy import Policy
from ._policy.rule import ForcedTlsDomain
from ._probe.reply import Unobservable
from ._servers.base import ServerError

if t.TYPE_CHECKING:
    from ._goal import Safety

#: Rules are of one form, and what they depend on is the server's habit: more of them would prove nothing else.
MAX_RULES = 10

_WAY_OUT = (
    "Name a listener with STARTTLS that is reached from here in probe_address, or say in dialect_profile what is known "
    "of this server (encrypted_after_starttls)."
)

#: A host and a port to connect to.
Place = t.Tuple[str, int]


class NotProven(ServerError):
    """A rule refuses encrypted mail, or nobody could tell."""


class Proof:
    """Rules to prove, and where. Raises ``PolicyError`` when there is no listener to prove them with."""

    def __init__(self, rules: t.Sequence[ForcedTlsDomain], policy: Policy, safety: Safety) -> None:
        self._rules = tuple(rules[:MAX_RULES])
        self._places = _places(policy, safety)
        self._timeout = safety.timeout
        if not self._places:
            raise PolicyError(
                "rule %s: it is not known whether this server calls a connection encrypted after STARTTLS, and it has "
                "no enabled listener with STARTTLS that is reached from here to try it with. %s"
                % (rules[0].name, _WAY_OUT)
            )

    def run(self) -> None:
        """Try one place after the other until one gives an answer. Raises :class:`NotProven`."""
        end = time.monotonic() + self._timeout
        reasons = []
        for index, (host, port) in enumerate(self._places):
            left = end - time.monotonic()
            # One that never answers must leave time for the others.
            limit = left if index == len(self._places) - 1 else left / 2
            try:
                reason = self._ask(host, port, time.monotonic() + limit)
            except Unobservable as error:
                reason = str(error)
            if reason is None:
                return
            place = "%s port %d" % (host, port)
            reasons.append(reason if place in reason else "%s: %s" % (place, reason))
        raise NotProven("prove rule %s over SMTP" % self._rules[0].name, "; ".join(reasons), _WAY_OUT)

    def _ask(self, host: str, port: int, end: float) -> t.Optional[str]:
        """None when encrypted mail comes in, or why that is not known. Raises :class:`NotProven`, ``Unobservable``."""
        domains = [rule.domain for rule in self._rules]
        secure, _login = recipients(host, port, domains, True, end)
        for rule, reply in zip(self._rules, secure):
            if says(reply, rule.reject_message or ""):
                raise NotProven(
                    "prove rule %s over SMTP" % rule.name,
                    "%s port %d refuses mail for %s over TLS too (%s)" % (host, port, rule.domain, reply),
                    "This server does not call a connection encrypted after STARTTLS, so that such rules would refuse "
                    "everything. Note it in dialect_profile (encrypted_after_starttls: false).",
                )
        clear, _login = recipients(host, port, domains, False, end)
        for rule, over_tls, in_clear in zip(self._rules, secure, clear):
            if says(in_clear, rule.reject_message or "") or (over_tls.accepted and not in_clear.accepted):
                return None
        return "mail for %s is answered alike over TLS (%s) and in clear (%s), so that the rule does not show" % (
            self._rules[0].domain,
            secure[0],
            clear[0],
        )


def _places(policy: Policy, safety: Safety) -> t.List[Place]:
    """Where to ask: the given address, or the server's own listeners, port 25 first: it takes mail from everybody."""
    if safety.probe_address:
        return [_split(safety.probe_address)]
    if policy.starttls.inbound is False:
        return []
    found: t.List[Place] = []
    for listener in policy.listeners:
        if listener.enabled is not False and listener.tls == "starttls":
            ip, port = _split(listener.address)
            found += [(host, port) for host in _hosts(ip, safety.hosts)]
    return sorted(dict.fromkeys(found), key=lambda place: place[1] != 25)


def _split(address: str) -> Place:
    host, _colon, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _hosts(ip: str, hosts: t.Sequence[str]) -> t.List[str]:
    """Names under which a listener's address is reached from here, none for loopback of another host."""
    if ip == "0.0.0.0":
        return [host for host in hosts if ":" not in host]
    if ip == "::":
        return list(hosts)
    local = "127.0.0.1" in hosts
    return [ip] if local or not (ip.startswith("127.") or ip == "::1") else []
