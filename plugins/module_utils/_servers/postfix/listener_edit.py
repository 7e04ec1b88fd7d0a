# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listeners of a policy written into master.cf and main.cf: entries that come, go and are switched, and their parameters.

What is changed for one of the listeners that are one entry holds for all of them.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import replace

from ..._policy.address import sort_key
from ..._policy.errors import PolicyError
from ..._policy.policy import TLS_FIELDS, Listener, Policy
from . import addresses, tls_values
from .configuration import Draft
from .listeners import EXCLUDES, GRADES, PROTOCOLS, certificate, level, seconds, yes
from .master_cf import Service

#: Parameters that main.cf is never given: the sending side reads them too, or they are about one port.
_OF_ONE_SERVICE = ("tls_high_cipherlist", "smtpd_tls_wrappermode")

#: What Postfix has no word for: only "no limit" can be said.
_NO_LIMIT = "max_interval_connections"

_Params = t.Dict[str, str]


class _Entry(t.NamedTuple):
    """One service with the listeners that it is."""

    service: Service
    addresses: t.Tuple[str, ...]


def settled(before: Policy, desired: Policy) -> t.Tuple[Policy, t.List[str]]:
    """The desired policy without what has no effect here, and what to say about that."""
    warnings = []
    listeners = []
    for listener in desired.listeners:
        old = before.listener(listener.address) or Listener(listener.address)
        if listener.interval is not None and not listener.max_interval_connections:
            # The span of a limit that there is not.
            listener = replace(listener, interval=old.interval)
        if listener.dh_params and listener.dh_params != old.dh_params and not _has_dhe(listener):
            warnings.append(
                "listener %s: dh_params was not set: its ciphers have no DHE suite, so that the file would have no effect"
                % listener.address
            )
            listener = replace(listener, dh_params=old.dh_params)
        listeners.append(listener)
    return replace(desired, listeners=tuple(listeners)), warnings


def _has_dhe(listener: Listener) -> bool:
    from ..._policy.tls import uses_dhe

    return listener.ciphers is None or uses_dhe(listener.ciphers)


def write(draft: Draft, before: Policy, desired: Policy) -> None:
    """Bring services and their parameters where the policy wants them. Raises ``PolicyError``."""
    if before.listeners == desired.listeners and before.starttls.inbound == desired.starttls.inbound:
        return
    problems = addresses.twice(draft)
    if problems:
        raise PolicyError(*problems)
    wanted = {listener.address: listener for listener in desired.listeners}
    gone = [listener.address for listener in before.listeners if listener.address not in wanted]
    problems = _check(before, desired)
    _remove(draft, gone, wanted, problems)
    _switch(draft, before, wanted, problems)
    if problems:
        raise PolicyError(*problems)
    off = _opened(draft, before, wanted)
    added = _add(draft, wanted, problems)
    off += [identity for address, identity in added.items() if wanted[address].enabled is False]
    if problems:
        raise PolicyError(*problems)
    wishes = _wishes(draft, before, wanted, added, problems)
    if problems:
        raise PolicyError(*problems)
    if desired.starttls.inbound not in (None, before.starttls.inbound):
        _switch_starttls(draft, bool(desired.starttls.inbound), wishes)
    _place(draft, wishes)
    for identity in off:
        draft.edit_master(draft.master.commented(identity))
    _check_files(draft, before, desired)


def _entries(draft: Draft) -> t.List[_Entry]:
    return [_Entry(service, addresses.sockets(draft, service).addresses) for service in draft.smtpd]


def _check(before: Policy, desired: Policy) -> t.List[str]:
    """What Postfix has no word for is refused, by the name of the option."""
    problems = []
    for listener in desired.listeners:
        old = before.listener(listener.address) or Listener(listener.address)
        changed = {name for name, value in vars(listener).items() if value is not None and value != getattr(old, name)}
        name = "listener %s" % listener.address
        if "max_interval_connections" in changed and listener.max_interval_connections:
            problems.append(
                "%s: max_interval_connections: Postfix counts new connections of one client only (peer_max_interval_connections); "
                "leave it out, or say 0 for no limit" % name
            )
        if "idle_timeout" in changed and listener.idle_timeout == 0:
            problems.append("%s: idle_timeout: 0 would be no limit, and Postfix always has one; its default is 300" % name)
        for networks in ("allowed_networks", "denied_networks"):
            if networks in changed and getattr(listener, networks):
                problems.append(
                    "%s: %s: networks of clients are a table of smtpd_client_restrictions in Postfix, which is not written here; "
                    "use a firewall, or a cidr table of your own" % (name, networks)
                )
    intervals = {listener.peer_interval for listener in desired.listeners if listener.peer_interval is not None}
    if len(intervals) > 1 and before.listeners != desired.listeners:
        asked = [one for one in desired.listeners if one.peer_interval != getattr(before.listener(one.address), "peer_interval", None)]
        if asked and len(asked) != len(desired.listeners):
            problems.append(
                "peer_interval: Postfix has one span for all listeners (anvil_rate_time_unit); say the same for each of them"
            )
    return problems


def _remove(draft: Draft, gone: t.Sequence[str], wanted: t.Mapping[str, Listener], problems: t.List[str]) -> None:
    for address in gone:
        for service in draft.master.disabled:
            where = addresses.sockets(draft, service).addresses
            if address in where and not any(one in wanted for one in where):
                draft.edit_master(draft.master.uncommented(service.id))
    for entry in _entries(draft):
        if not any(address in gone for address in entry.addresses):
            continue
        rest = [address for address in entry.addresses if address in wanted]
        if rest:
            problems.append(
                "listener %s cannot go alone: the entry %s in line %d of master.cf is %s too. Remove these with it, or split the "
                "entry by hand" % (entry.addresses[0] if entry.addresses[0] in gone else gone[0], entry.service.name, entry.service.line, ", ".join(rest))
            )
            continue
        draft.edit_master(draft.master.without_service(entry.service.id))
        draft.actions += ["remove listener %s" % address for address in entry.addresses if address in gone]


def _switch(draft: Draft, before: Policy, wanted: t.Mapping[str, Listener], problems: t.List[str]) -> None:
    """Entries that are switched on or off."""
    for service in draft.master.disabled:
        where = [address for address in addresses.sockets(draft, service).addresses if address in wanted]
        # An address that another entry serves is not this one's to bring back.
        if any(wanted[address].enabled and getattr(before.listener(address), "enabled", None) is False for address in where):
            draft.edit_master(draft.master.uncommented(service.id))
            draft.actions += ["change listener %s (enabled)" % address for address in where]
    for entry in _entries(draft):
        where = [address for address in entry.addresses if address in wanted]
        off = [address for address in where if wanted[address].enabled is False]
        if not off:
            continue
        asked = [address for address in where if getattr(before.listener(address), "enabled", None) != wanted[address].enabled]
        to = {wanted[address].enabled for address in asked}
        if len(to) > 1:
            problems.append(
                "listeners %s are one entry of master.cf (line %d) and cannot differ in enabled" % (", ".join(where), entry.service.line)
            )
            continue
        follow = [address for address in entry.addresses if address not in asked]
        if follow:
            draft.warnings.append(
                "master.cf has one entry for %s (%s): it is switched %s for all of them"
                % (" and ".join(entry.addresses), entry.service.name, "on" if to == {True} else "off")
            )
        if to == {True}:
            continue
        draft.edit_master(draft.master.commented(entry.service.id))
        draft.actions += ["change listener %s (enabled)" % address for address in where]


def _opened(draft: Draft, before: Policy, wanted: t.Mapping[str, Listener]) -> t.List[str]:
    """Make those entries that are off, and stay so, entries again while they are given other settings; returns their ids."""
    found = []
    busy = addresses.listening(draft)
    for service in draft.master.disabled:
        where = [address for address in addresses.sockets(draft, service).addresses if address in wanted and address not in busy]
        if not any(wanted[address].enabled is False and wanted[address] != before.listener(address) for address in where):
            continue
        known = {one.id for one in draft.master.services}
        draft.edit_master(draft.master.uncommented(service.id))
        found += [one.id for one in draft.master.services if one.id not in known]
    return found


def _add(draft: Draft, wanted: t.Mapping[str, Listener], problems: t.List[str]) -> t.Dict[str, str]:
    """New services: address -> id."""
    present = {address for entry in _entries(draft) for address in entry.addresses}
    present.update(
        address for service in draft.master.disabled for address in addresses.sockets(draft, service).addresses
    )
    added = {}
    for address in sorted(set(wanted) - present, key=sort_key):
        problems += [
            "listener %s: the entry %s in line %d of master.cf listens at %s already; change that listener, give it another address, "
            "or write a second entry by hand" % (address, service.name, service.line, other)
            for other, service in addresses.overlaps(draft, address)
        ]
        siblings = draft.smtpd
        known = {service.id for service in draft.master.services}
        master = draft.master.with_service(address, siblings[0].id if siblings else None)
        service = next(one for one in master.services if one.id not in known)
        if service.column("process_limit") != "-":
            master = master.with_column(service.id, "process_limit", "-")
        draft.edit_master(master)
        added[address] = service.id
        unknown = addresses.sockets(draft, service).unknown
        problems += ["listener %s: %s" % (address, unknown)] if unknown else []
        draft.actions.append("add listener %s" % address)
    return added


class _Wish(t.NamedTuple):
    """What a plan wants of one service: parameters, and the listeners and fields that they come from."""

    service: Service
    params: _Params
    fields: t.Dict[str, t.List[str]]


def _wishes(
    draft: Draft, before: Policy, wanted: t.Mapping[str, Listener], added: t.Mapping[str, str], problems: t.List[str]
) -> t.Dict[str, _Wish]:
    """For each service the parameters that its listeners want to be changed."""
    found: t.Dict[str, _Wish] = {}
    for entry in _entries(draft):
        wish = found[entry.service.id] = _Wish(entry.service, {}, {})
        asked: t.Dict[str, t.Tuple[str, t.Any]] = {}
        for address in entry.addresses:
            listener = wanted.get(address)
            if listener is None:
                continue
            old = before.listener(address) or Listener(address)
            for name, value in vars(listener).items():
                if name in ("address", "enabled", "interval") or value is None or _equal(value, getattr(old, name)):
                    continue
                if name == _NO_LIMIT or name.endswith("_networks"):
                    continue
                if name in asked and not _equal(asked[name][1], value):
                    problems.append(
                        "listeners %s and %s are one entry of master.cf (%s in line %d) and cannot differ in %s"
                        % (asked[name][0], address, entry.service.name, entry.service.line, name)
                    )
                    continue
                asked[name] = (address, value)
                wish.fields.setdefault(address, []).append(name)
        for name, (address, value) in asked.items():
            _want(draft, wish, name, value)
        follow = [address for address in entry.addresses if address not in wish.fields]
        if wish.fields and follow and not any(address in added for address in wish.fields):
            draft.warnings.append(
                "master.cf has one entry for %s (%s): what was changed holds for %s too"
                % (" and ".join(entry.addresses), entry.service.name, ", ".join(follow))
            )
        draft.actions += [
            "change listener %s (%s)" % (address, ", ".join(names)) for address, names in wish.fields.items() if address not in added
        ]
    return found


def _equal(one: t.Any, other: t.Any) -> bool:
    return frozenset(one) == frozenset(other) if isinstance(one, tuple) and isinstance(other, tuple) else one == other


def _want(draft: Draft, wish: _Wish, name: str, value: t.Any) -> None:
    """One field of a listener as parameters of its service."""
    params, service = wish.params, wish.service
    if name == "tls":
        params["smtpd_tls_wrappermode"] = "yes" if value == "implicit" else "no"
        if value == "none":
            params["smtpd_tls_security_level"] = "none"
        elif value == "starttls" and level(draft, service) not in tls_values.REQUIRED:
            # A listener that requires STARTTLS offers it.
            params["smtpd_tls_security_level"] = "may"
        hidden = draft.value("smtpd_discard_ehlo_keywords", service)
        if value == "starttls" and "starttls" in tls_values.words(hidden):
            words = [word for word in re.split(r"[,\s]+", hidden) if word and word.lower() != "starttls"]
            params["smtpd_discard_ehlo_keywords"] = ",".join(words)
    elif name == "versions":
        params.update(dict.fromkeys(PROTOCOLS, tls_values.protocols(value, tls_values.knows_ranges(draft), ",")))
    elif name == "ciphers":
        params["tls_high_cipherlist"] = value
        params.update(dict.fromkeys(GRADES, "high"))
        params.update(dict.fromkeys(EXCLUDES, ""))
    elif name == "prefer_server_ciphers":
        params["tls_preempt_cipherlist"] = "yes" if value else "no"
    elif name == "certificate":
        params.update(_certificate_params(draft, value))
    elif name == "ca_file":
        params["smtpd_tls_CAfile"] = value
    elif name == "dh_params":
        params["smtpd_tls_dh1024_param_file"] = value
    elif name == "request_client_certificate":
        params["smtpd_tls_ask_ccert"] = "yes" if value else "no"
        if not value:
            params["smtpd_tls_req_ccert"] = "no"
    elif name == "idle_timeout":
        params["smtpd_timeout"] = "%ds" % value
    elif name == "max_connections":
        draft.edit_master(draft.master.with_column(service.id, "process_limit", str(value)))
    elif name == "peer_max_connections":
        params["smtpd_client_connection_count_limit"] = str(value)
    elif name == "peer_max_interval_connections":
        params["smtpd_client_connection_rate_limit"] = str(value)
    elif name == "peer_interval":
        draft.set("anvil_rate_time_unit", "%ds" % value)


def _certificate_params(draft: Draft, path: str) -> _Params:
    if "smtpd_tls_chain_files" not in draft.known:
        # Before 3.4; one file can be both.
        return {"smtpd_tls_cert_file": path or "none", "smtpd_tls_key_file": path or "none"}
    return {"smtpd_tls_chain_files": path} if path else {"smtpd_tls_chain_files": "", "smtpd_tls_cert_file": "none"}


def _switch_starttls(draft: Draft, on: bool, wishes: t.Mapping[str, _Wish]) -> None:
    draft.actions.append("switch STARTTLS inbound %s" % ("on" if on else "off"))
    draft.set("smtpd_tls_security_level", "may" if on else "none")
    for wish in wishes.values():
        service = wish.service
        if "smtpd_tls_security_level" in wish.params or yes(draft.value("smtpd_tls_wrappermode", service)):
            continue
        own = draft.own("smtpd_tls_security_level", service)
        if not on and own is not None and own != "none":
            wish.params["smtpd_tls_security_level"] = "none"
        elif on and own is None and not certificate(draft, service):
            # Without a certificate nothing can be offered, and clients would be told so with an error.
            wish.params["smtpd_tls_security_level"] = "none"


def _place(draft: Draft, wishes: t.Mapping[str, _Wish]) -> None:
    """Put each parameter into main.cf where all listeners agree on it, else to the listeners that differ from main.cf."""
    names = dict.fromkeys(name for wish in wishes.values() for name in wish.params)
    for name in names:
        goals = {
            key: wish.params.get(name, draft.value(name, wish.service)) for key, wish in wishes.items()
        }
        values = list(goals.values())
        common = draft.value(name)
        shared = all(_same(name, value, values[0]) for value in values)
        if shared and name not in _OF_ONE_SERVICE and not _same(name, common, values[0]):
            draft.set(name, _spaced(values[0]))
            common = values[0]
        for key, wish in wishes.items():
            if name not in wish.params and not shared:
                continue
            goal = goals[key]
            if name in _OF_ONE_SERVICE and name != "smtpd_tls_wrappermode":
                draft.set(name, goal, wish.service)
            elif _same(name, common, goal):
                draft.unset(name, wish.service)
            elif not _same(name, draft.value(name, wish.service), goal):
                draft.set(name, goal, wish.service)


def _spaced(value: str) -> str:
    """As people write lists in main.cf."""
    return re.sub(r",(?=[!<>=T])", ", ", value)


def _same(name: str, one: str, other: str) -> bool:
    """Whether two values mean the same."""
    if name in PROTOCOLS:
        return one == other or tls_values.same_protocols(one, other)
    if name in EXCLUDES or name == "smtpd_discard_ehlo_keywords":
        return tls_values.words(one) == tls_values.words(other)
    if name == "smtpd_timeout":
        return seconds(one) == seconds(other)
    return one == other


def _check_files(draft: Draft, before: Policy, desired: Policy) -> None:
    """Look into certificates and DH files of listeners whose TLS changes. Raises ``PolicyError``."""
    from ... import _pem

    problems: t.List[str] = []
    for listener in desired.listeners:
        old = before.listener(listener.address) or Listener(listener.address)
        if all(getattr(listener, name) == getattr(old, name) for name in TLS_FIELDS + ("tls",)):
            continue
        if listener.tls == "none" and listener.certificate == old.certificate:
            continue
        name = "listener %s" % listener.address
        separate = listener.certificate == old.certificate and bool(listener.certificate)
        found = _pem.examine(
            # A certificate that is there may have its key in another file.
            certificate=None if separate else listener.certificate,
            dh_params=listener.dh_params,
            ca_file=listener.ca_file,
            ciphers=listener.ciphers,
            own_group=True,
        )
        problems += ["%s: %s" % (name, problem) for problem in found.problems]
        draft.warnings += ["%s: %s" % (name, warning) for warning in found.warnings]
        if not separate and listener.certificate and not found.problems:
            problems += ["%s: %s" % (name, problem) for problem in _order(listener.certificate)]
    if problems:
        raise PolicyError(*problems)


def _order(path: str) -> t.List[str]:
    """Postfix wants the key before the certificates; else STARTTLS is offered, and answered with 454."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            first = re.search(r"-----BEGIN ([A-Z0-9 ]+)-----", file.read())
    except OSError as error:
        return ["certificate %s: %s" % (path, error.strerror)]
    if first is not None and "PRIVATE KEY" not in first.group(1):
        return ["certificate %s: the private key must stand before the certificates, for Postfix" % path]
    return []
