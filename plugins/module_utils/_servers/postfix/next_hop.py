# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where mail for a domain is handed to: the next hop is the key of every TLS policy (transport(5), smtp_tls_policy_maps).

An entry for a domain whose mail goes elsewhere is dead: it says nothing, mail goes out as it did, and nobody warns. One for
a next hop that takes mail of other domains too is about all of them.
"""

from __future__ import annotations

import re
import typing as t

from .configuration import _State
from .maps import Map, ask, first_answers, listing, maps

#: Parameters with domains whose mail stays on this host.
_OWN = ("mydestination", "virtual_mailbox_domains", "virtual_alias_domains")

#: Tables that are asked with whole addresses only (transport(5), REGULAR EXPRESSION TABLES).
_PATTERNS = ("regexp", "pcre")

#: A mailbox that stands for all of a domain, and a subdomain that stands for all of them.
_SOMEBODY, _SUBDOMAIN = "postmaster", "any"

_MAX_NAMES = 5


class Hop(t.NamedTuple):
    """The key for a domain, or why there is none (``problem``). ``remark``: mail of the domain that goes elsewhere."""

    key: str
    problem: str = ""
    remark: str = ""


class _Route(t.NamedTuple):
    """What transport_maps say of a domain; ``only``: for it and for no other."""

    transport: str
    hop: str
    only: bool


def chain(key: str) -> t.List[str]:
    """The keys with which policies are looked up for a next hop: for a mere domain its parents, too (smtp_tls_policy_maps)."""
    if not re.fullmatch(r"[A-Za-z0-9._-]+", key):
        return [key]
    places = [number for number, character in enumerate(key) if character == "." and number]
    return [key, *(key[number:] for number in places)]


def hops(conf: _State, domains: t.Sequence[str], remarks: t.List[str]) -> t.Dict[str, Hop]:
    """For each domain (``.example.com``: its subdomains) its next hop. ``remarks`` get what concerns all of them.

    Raises :class:`ServerError` where a table cannot be looked into.
    """
    if not domains:
        return {}
    services = {service.name: service for service in conf.master.services if service.type == "unix"}
    local = _members(conf, _OWN, domains)
    relayed = _members(conf, ("relay_domains",), domains, "relay_domains" in _with_parents(conf))
    asked = maps(conf.value("transport_maps"))
    for one in asked:
        if not one.is_static:
            remarks.append(
                "transport_maps has %s, which cannot be asked here: where it sends mail for a domain elsewhere, the rule for "
                "that domain has no effect" % one.text
            )
    routes = _routes(conf, [one for one in asked if one.is_static], domains)
    users = _users(conf, asked)
    ruled = set(domains)
    found = {}
    for domain in domains:
        if domain in local:
            found[domain] = Hop(
                "",
                "%s is a domain of this server, so mail for it never goes to another host; direction: inbound is what forces "
                "TLS for it" % domain,
            )
            continue
        route = routes.get(domain, _Route("", "", True))
        standard = conf.value("relay_transport" if domain in relayed else "default_transport")
        transport, unused, hop = standard.partition(":")
        problem, where = "", "relay_transport" if domain in relayed else "default_transport"
        if route.transport or route.hop:
            transport, hop, where = route.transport or transport, route.hop, "transport_maps"
        else:
            problem = _general(conf, hop, where, domain in relayed)
        problem = problem or _unfit(conf, services.get(transport or "smtp"), transport or "smtp", domain, where)
        key = hop.lower() if route.hop else domain
        if not problem and key != domain and not route.only:
            problem = (
                "mail for %s goes to %s together with that of other domains (transport_maps), and a rule would be about all of "
                "it; give the domain a line of its own there, or write a rule for all mail (smtp_relay_tls)" % (domain, key)
            )
        others = sorted({name.rpartition("@")[2] for name in users.get(key, ())} - ruled)
        if not problem and others:
            problem = "mail for %s goes to the next hop %s, and so does that of %s (transport_maps): a rule would be about all of it" % (
                domain,
                key,
                _some(others),
            )
        if problem:
            found[domain] = Hop("", problem)
        else:
            found[domain] = Hop(key, "", _elsewhere(domain, key, users) if users else "")
    return found


def _general(conf: _State, hop: str, where: str, relayed: bool) -> str:
    """Why the next hop of domains without a transport is not the domain, "" if it is."""
    if hop:
        return "mail for it goes to %s (%s), with that of other domains; a rule for all mail (smtp_relay_tls) is about it" % (hop, where)
    relay = conf.value("relayhost")
    if relay:
        return "mail for it goes to the relay host %s; a rule for all mail (smtp_relay_tls) is about it" % relay
    names = ("sender_dependent_relayhost_maps",) + (() if relayed else ("sender_dependent_default_transport_maps",))
    for name in names:
        if conf.value(name):
            return "%s sends mail of some senders elsewhere, and the rule would not hold for it" % name
    return ""


def _unfit(conf: _State, service: t.Any, transport: str, domain: str, where: str) -> str:
    """Why the transport that mail goes by does not ask our table, "" if it does."""
    if service is None or service.command != "smtp":
        return "mail for %s goes by the transport %s (%s), which knows no TLS policy of smtp(8)" % (domain, transport, where)
    if conf.own("smtp_tls_policy_maps", service) is not None:
        return "mail for %s goes by the transport %s, which has its own tables of policies (master.cf line %d: -o smtp_tls_policy_maps)" % (
            domain,
            transport,
            service.option_line("smtp_tls_policy_maps"),
        )
    return ""


def _with_parents(conf: _State) -> t.FrozenSet[str]:
    """The lists in which a name means its subdomains, too."""
    return frozenset(re.split(r"[,\s]+", conf.value("parent_domain_matches_subdomains")))


def _members(conf: _State, names: t.Sequence[str], domains: t.Sequence[str], parents: bool = False) -> t.Set[str]:
    """Those of the domains that these lists have. Tables that are databases are not asked."""
    plain: t.Set[str] = set()
    found: t.Set[str] = set()
    for name in names:
        for one in maps(conf.value(name)):
            if ":" not in one.text:
                plain.add(one.text.lower())
            elif one.is_static:
                keys = {domain: _parents(domain) if parents else [domain] for domain in domains}
                answers = first_answers(conf, [one], keys)
                found.update(domain for domain, answer in answers.items() if answer.text is not None)
    for domain in domains:
        if any(one in plain for one in (_parents(domain) if parents else [domain])):
            found.add(domain)
    return found


def _parents(domain: str) -> t.List[str]:
    """The domain, and its parents without a dot."""
    labels = domain.lstrip(".").split(".")
    return [".".join(labels[number:]) for number in range(len(labels))]


def _routes(conf: _State, asked: t.Sequence[Map], domains: t.Sequence[str]) -> t.Dict[str, _Route]:
    """What transport_maps have for these domains: whole addresses first, then domains, then everything (transport(5))."""
    if not asked:
        return {}
    addresses = {domain: "%s@%s" % (_SOMEBODY, _SUBDOMAIN + domain if domain.startswith(".") else domain) for domain in domains}
    whole = first_answers(conf, asked, {domain: [address] for domain, address in addresses.items()})
    fixed = [one for one in asked if one.kind not in _PATTERNS]
    dotted = "transport_maps" not in _with_parents(conf)
    keys = {domain: _keys(domain, dotted) for domain in domains}
    known = [ask(conf, one, list(dict.fromkeys(key for several in keys.values() for key in several))) for one in fixed]
    found = {}
    for domain in domains:
        text, only = whole[domain].text, False
        if text is None:
            for place, key in enumerate(keys[domain]):
                text = next((answers[key] for answers in known if key in answers), None)
                if text is not None:
                    only = place == 0
                    break
        if text is not None:
            transport, unused, hop = text.strip().partition(":")
            # A table that always answers the same is about everybody.
            found[domain] = _Route(transport, hop.strip(), only and not any(one.kind == "static" for one in fixed))
    return found


def _keys(domain: str, dotted: bool) -> t.List[str]:
    """In which order transport(5) looks: the domain, its parents, everything."""
    parents = _parents(domain)[1:]
    first = domain if dotted else domain.lstrip(".")
    return [first, *("." + one if dotted else one for one in parents), "*"]


def _users(conf: _State, asked: t.Sequence[Map]) -> t.Dict[str, t.Set[str]]:
    """Next hop -> the keys of tables that can be listed which send mail there, so far as they name it."""
    found: t.Dict[str, t.Set[str]] = {}
    for one in asked:
        for key, value in listing(conf, one):
            hop = value.partition(":")[2].strip().lower()
            # A transport without a next hop leaves the domain in its place.
            found.setdefault(hop or key.rpartition("@")[2], set()).add(key)
    if conf.value("relayhost"):
        found.setdefault(conf.value("relayhost").lower(), set()).add("*")
    return found


def _elsewhere(domain: str, key: str, users: t.Mapping[str, t.Set[str]]) -> str:
    """Mail of the domain that has a way of its own, in words."""
    end = domain if domain.startswith(".") else "@" + domain
    names = {name for hop, several in users.items() if hop != key for name in several if name.endswith(end) and name != domain}
    names -= set(users.get(key, ()))
    if not names:
        return ""
    return "mail for %s has a way of its own (transport_maps), for which the rule for %s says nothing" % (_some(sorted(names)), domain)


def _some(names: t.Sequence[str]) -> str:
    more = len(names) - _MAX_NAMES
    shown = ["all other domains" if name == "*" else name for name in names[:_MAX_NAMES]]
    return ", ".join(shown) + (" and %d more" % more if more > 0 else "")
