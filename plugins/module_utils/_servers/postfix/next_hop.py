# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where mail for a domain is handed to: the next hop is the key of every TLS policy (transport(5), smtp_tls_policy_maps).

An entry for a domain whose mail goes elsewhere is dead: it says nothing, mail goes out as it did, and nobody warns.
"""

from __future__ import annotations

import re
import typing as t

from .configuration import _State
from .maps import ask, maps

#: Parameters with domains whose mail stays on this host.
_OWN = ("mydestination", "virtual_mailbox_domains", "virtual_alias_domains")


class Hop(t.NamedTuple):
    """The key for a domain, or why there is none (``problem``)."""

    key: str
    problem: str = ""


def hops(conf: _State, domains: t.Sequence[str], problems: t.List[str]) -> t.Dict[str, Hop]:
    """For each domain (``.example.com``: its subdomains) its next hop. ``problems`` get what concerns all of them."""
    smtp = {service.name for service in conf.master.services if service.type == "unix" and service.command == "smtp"}
    own = _own_domains(conf)
    routes = _routes(conf, domains, problems)
    general = _general(conf)
    found = {}
    for domain in domains:
        if domain in own:
            found[domain] = Hop(
                "", "%s is a domain of this server, so mail for it never goes to another host; direction: inbound is what forces TLS for it" % domain
            )
            continue
        route = routes.get(domain)
        if route is None:
            found[domain] = Hop(domain) if not general else Hop("", "%s: %s" % (domain, general))
            continue
        transport, hop = route
        if transport and transport not in smtp:
            found[domain] = Hop("", "mail for %s goes to the transport %s, which knows no TLS policy" % (domain, transport))
        elif not hop:
            found[domain] = Hop(domain)
        elif domain.startswith("."):
            found[domain] = Hop("", "mail for subdomains of %s goes to %s (transport_maps): write the rule for that domain" % (domain[1:], hop))
        else:
            found[domain] = Hop(hop.lower())
    return found


def _general(conf: _State) -> str:
    """Why the next hop of domains without a transport is not the domain, "" if it is."""
    relay = conf.value("relayhost")
    if relay:
        return "mail goes to the relay host %s, whose TLS is that of all mail (a rule for all mail, smtp_relay_tls)" % relay
    transport, unused, hop = conf.value("default_transport").partition(":")
    if hop:
        return "mail goes to %s (default_transport), whose TLS is that of all mail" % hop
    if transport not in ("", "smtp"):
        return "mail goes by the transport %s (default_transport), which need not know a TLS policy" % transport
    for name in ("sender_dependent_relayhost_maps", "sender_dependent_default_transport_maps"):
        if conf.value(name):
            return "%s sends mail of some senders elsewhere, and the rule would not hold for it" % name
    return ""


def _own_domains(conf: _State) -> t.FrozenSet[str]:
    """Those that are written out; tables of domains are not asked, since they may be databases."""
    found: t.Set[str] = set()
    for name in _OWN:
        found.update(word.lower() for word in re.split(r"[,\s]+", conf.value(name)) if word and ":" not in word and "/" not in word)
    return frozenset(found)


def _routes(
    conf: _State, domains: t.Sequence[str], problems: t.List[str]
) -> t.Dict[str, t.Tuple[str, str]]:
    """Domain -> transport and next hop ("" for none), for those that transport_maps has."""
    asked = maps(conf.value("transport_maps"))
    if not asked:
        return {}
    keys = {domain: _keys(domain) for domain in domains}
    every = list(dict.fromkeys(key for several in keys.values() for key in several))
    answers: t.Dict[str, str] = {}
    for one in asked:
        if not one.is_static:
            problems.append(
                "transport_maps has %s, which cannot be asked here: if it sends mail for one of these domains elsewhere, its rule has no effect"
                % one.text
            )
            continue
        for key, value in ask(conf, one, every).items():
            answers.setdefault(key, value)
    found = {}
    for domain, several in keys.items():
        for key in several:
            if key in answers:
                transport, unused, hop = answers[key].partition(":")
                if transport or hop:
                    found[domain] = (transport, hop)
                break
    return found


def _keys(domain: str) -> t.List[str]:
    """In which order transport(5) looks: the domain, its parents with a dot, everything."""
    bare = domain[1:] if domain.startswith(".") else domain
    labels = bare.split(".")
    first = [domain] if domain.startswith(".") else [bare]
    return [*first, *("." + ".".join(labels[number:]) for number in range(1, len(labels))), "*"]
