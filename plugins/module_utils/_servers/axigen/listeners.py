# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listeners of the policy as attributes of the admin dialect, and back.

The tables are the whole mapping: policy field, attribute, how a value is written and read.
Sources: the HELP of the listener and SSLCONTROL contexts and the ``axigen.cfg`` syntax.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ..._policy.address import listener_address, network, sort_key
from ..._policy.errors import PolicyError
from ..._policy.policy import Listener
from ..._policy.value import Value
from .cli import AdminSession, SetValue

#: Priorities of the two kinds of network rules: an allowed network is an exception to the denied ones.
ALLOW_PRIORITY = 100
DENY_PRIORITY = 500


class Attribute(t.NamedTuple):
    """One attribute: its policy field, its name, and how its value is written and read."""

    field: str
    name: str
    write: t.Callable[[t.Any, t.Any], t.Any]
    read: t.Callable[[t.Any, t.Any], t.Any]


def _yes(value: bool, _dialect: t.Any) -> str:
    return "yes" if value else "no"


def _is_yes(value: t.Any, _dialect: t.Any) -> bool:
    return str(value).strip().lower() == "yes"


def _text(value: t.Any, _dialect: t.Any) -> str:
    return str(value)


def _is_text(value: t.Any, _dialect: t.Any) -> t.Optional[str]:
    """An empty text is a setting that nobody made: the server's own choice holds."""
    return str(value) or None


def _number(value: t.Any, _dialect: t.Any) -> t.Optional[int]:
    """What is no number in a server's answer is not known; only what we write must be one."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _file(value: str, _dialect: t.Any) -> str:
    return value or "none"


def _is_file(value: t.Any, _dialect: t.Any) -> str:
    text = str(value).strip()
    return "" if text.lower() == "none" else text


def _versions(value: t.Tuple[str, ...], dialect: t.Any) -> SetValue:
    return SetValue(dialect.listener_tokens(value))


def _is_versions(value: t.Any, dialect: t.Any) -> t.Tuple[str, ...]:
    return dialect.listener_versions(value if isinstance(value, (list, tuple)) else str(value).strip("() ").split())


LISTENER = (
    Attribute("enabled", "enable", _yes, _is_yes),
    Attribute("idle_timeout", "idleTimeout", _text, _number),
    Attribute("max_connections", "maxConnections", _text, _number),
    Attribute("max_interval_connections", "maxIntervalConnections", _text, _number),
    Attribute("interval", "timeInterval", _text, _number),
    Attribute("peer_max_connections", "peerMaxConnections", _text, _number),
    Attribute("peer_max_interval_connections", "peerMaxIntervalConnections", _text, _number),
    Attribute("peer_interval", "peerTimeInterval", _text, _number),
)

SSLCONTROL = (
    Attribute("versions", "allowedVersions", _versions, _is_versions),
    Attribute("ciphers", "cipherSuite", _text, _is_text),
    Attribute("prefer_server_ciphers", "preferServerCipherSuiteOrder", _yes, _is_yes),
    Attribute("certificate", "certFile", _file, _is_file),
    Attribute("ca_file", "caFile", _file, _is_file),
    Attribute("dh_params", "dhParamFile", _file, _is_file),
    Attribute("request_client_certificate", "requestClientAuth", _yes, _is_yes),
)

#: Allowed values of the limits (HELP of the listener context); 0 in a range means "no limit".
RANGES = {
    "idle_timeout": (0, 86400),
    "max_connections": (1, 2048),
    "max_interval_connections": (0, 100000),
    "interval": (30, 86400),
    "peer_max_connections": (1, 2048),
    "peer_max_interval_connections": (0, 100000),
    "peer_interval": (30, 86400),
}

NETWORKS = (
    ("allowed_networks", "AllowRule", "allowRules", ALLOW_PRIORITY),
    ("denied_networks", "DenyRule", "denyRules", DENY_PRIORITY),
)


# --- reading ------------------------------------------------------------------------------------


def read_listener(section: t.Any, dialect: t.Any) -> Listener:
    """A listener from its section of the configuration. What the section does not say stays None."""
    values: t.Dict[str, t.Any] = {}
    for attribute in LISTENER:
        if attribute.name in section:
            values[attribute.field] = attribute.read(section[attribute.name], dialect)
    control = section.get("sslControl")
    for attribute in SSLCONTROL:
        if control is not None and attribute.name in control:
            values[attribute.field] = attribute.read(control[attribute.name], dialect)
    for field, _kind, name, _priority in NETWORKS:
        if name in section:
            values[field] = _read_networks(section[name])
    return Listener(
        address=listener_address(str(section["address"])), tls=_tls_mode(section, values.get("certificate")), **values
    )


def _tls_mode(section: t.Any, certificate: t.Optional[str]) -> t.Optional[str]:
    """``implicit`` by the listener's switch; else a certificate is what makes STARTTLS possible."""
    if _is_yes(section.get("sslEnable", "no"), None):
        return "implicit"
    if certificate is None:
        return None
    return "starttls" if certificate else "none"


def _read_networks(rules: t.Any) -> t.Tuple[str, ...]:
    """The enabled networks of a rule set, canonical and sorted."""
    return tuple(sorted(canonical for canonical, _text in _networks(rules)))


def _networks(rules: t.Any) -> t.Iterator[t.Tuple[str, str]]:
    """Canonical and server's form of each enabled network; a form that we cannot read is kept as it is."""
    for rule in rules or ():
        if not _is_yes(rule.get("enable", "no"), None):
            continue
        text = str(rule.get("ipSet", rule.get("address", "")))
        try:
            yield network(text), text
        except PolicyError:
            yield text, text


def spellings(section: t.Any) -> t.Dict[str, str]:
    """Canonical form -> the server's own spelling, for the listener's address and its networks: keys of commands."""
    found = {listener_address(str(section["address"])): str(section["address"])}
    for _field, _kind, name, _priority in NETWORKS:
        found.update(_networks(section.get(name)))
    return found


# --- writing ------------------------------------------------------------------------------------


@dataclass(init=False, repr=False, eq=False)
class ListenerChange(Value):
    """One listener to add, change or remove. Holds only what differs."""

    kind: str
    address: str
    listener: t.Tuple[t.Tuple[str, t.Any], ...] = ()
    control: t.Tuple[t.Tuple[str, t.Any], ...] = ()
    networks: t.Tuple[t.Tuple[str, str, str, int], ...] = ()
    fields: t.Tuple[str, ...] = ()

    def describe(self) -> str:
        """What is done, in one line."""
        text = "%s listener %s" % (self.kind, self.address)
        return "%s (%s)" % (text, ", ".join(self.fields)) if self.fields else text


def changes(
    before: t.Sequence[Listener], desired: t.Sequence[Listener], dialect: t.Any
) -> t.List[ListenerChange]:
    """What must be done to the listeners, in a safe order: changes, new ones, removals.

    A value that is None in the desired listener is left alone.
    """
    old = {listener.address: listener for listener in before}
    new = {listener.address: listener for listener in desired}
    result = []
    for address in sorted(new, key=lambda address: (address not in old, sort_key(address))):
        change = _change(old.get(address), new[address], dialect)
        if change is not None:
            result.append(change)
    for address in sorted(set(old) - set(new), key=sort_key):
        result.append(ListenerChange("remove", address))
    return result


def _change(old: t.Optional[Listener], new: Listener, dialect: t.Any) -> t.Optional[ListenerChange]:
    current = old if old is not None else Listener(new.address)
    fields: t.List[str] = []
    listener: t.List[t.Tuple[str, t.Any]] = []
    control: t.List[t.Tuple[str, t.Any]] = []
    for table, pairs in ((LISTENER, listener), (SSLCONTROL, control)):
        for attribute in table:
            value = getattr(new, attribute.field)
            if value is not None and value != getattr(current, attribute.field):
                fields.append(attribute.field)
                pairs.append((attribute.name, attribute.write(value, dialect)))
    if new.tls is not None and (new.tls == "implicit") != (current.tls == "implicit"):
        fields.append("tls")
        listener.append(("sslEnable", "yes" if new.tls == "implicit" else "no"))
    networks: t.List[t.Tuple[str, str, str, int]] = []
    for field, kind, _name, priority in NETWORKS:
        wanted, present = getattr(new, field), getattr(current, field) or ()
        if wanted is None or set(wanted) == set(present):
            continue
        fields.append(field)
        networks += [("REMOVE", kind, value, priority) for value in present if value not in wanted]
        networks += [("ADD", kind, value, priority) for value in wanted if value not in present]
    if old is not None and not fields:
        return None
    kind = "add" if old is None else "change"
    return ListenerChange(kind, new.address, tuple(listener), tuple(control), tuple(networks), tuple(fields))


def check_ranges(listeners: t.Iterable[Listener]) -> None:
    """Refuse limits outside the server's ranges. Raises ``PolicyError`` with all of them."""
    problems = []
    for listener in listeners:
        for field, (low, high) in RANGES.items():
            value = getattr(listener, field)
            if value is not None and not low <= value <= high:
                problems.append(
                    "listener %s: %s must be between %d and %d; got %d" % (listener.address, field, low, high, value)
                )
    if problems:
        raise PolicyError(*problems)


def send(session: AdminSession, change: ListenerChange, spelt: t.Mapping[str, str]) -> None:
    """Enter one change in the SMTP-INCOMING context, up to the listener's COMMIT.

    ``spelt`` gives the server's own spelling of what it has already (see :func:`spellings`).
    """
    spelling = spelt.get(change.address, change.address)
    if change.kind == "remove":
        session.command("REMOVE", "Listener", "address", spelling)
        return
    session.enter("ADD" if change.kind == "add" else "UPDATE", "Listener", "address", spelling)
    _set(session, change.listener)
    for verb, kind, value, priority in change.networks:
        _send_network(session, verb, kind, spelt.get(value, value) if verb == "REMOVE" else value, priority)
    if change.control:
        session.enter("CONFIG", "SSLCONTROL")
        _set(session, change.control)
        session.leave("DONE")
    session.leave("COMMIT")


def _set(session: AdminSession, pairs: t.Sequence[t.Tuple[str, t.Any]]) -> None:
    """One SET for each attribute: a refusal then names the attribute that it is about."""
    for name, value in pairs:
        session.command("SET", name, value)


def _send_network(session: AdminSession, verb: str, kind: str, value: str, priority: int) -> None:
    if verb == "REMOVE":
        session.command("REMOVE", kind, value)
    elif kind == "DenyRule":
        session.command("ADD", kind, value, "enable", "yes", "priority", str(priority))
    else:
        session.enter("ADD", kind, value)
        session.command("SET", "enable", "yes", "priority", str(priority))
        session.leave("DONE")


def without_certificate(listener: Listener) -> Listener:
    """``tls: none`` on a server where a certificate is what offers STARTTLS: the certificate goes."""
    return replace(listener, certificate="") if listener.tls == "none" else listener
