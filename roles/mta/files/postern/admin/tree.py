# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration tree: values for the sections of :mod:`schema`, and what is done with whole trees.

A tree that is running is never changed: contexts work on copies, and a COMMIT makes a new one.
"""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field

from ..settings import AccessControl, AccessRule, FlowLimits, Generation, ListenerSettings, TlsSettings
from .kinds import Value
from .schema import SERVER
from .section import Collection, Section

#: The server's attribute that names the services that run.
SERVICES = "services"


@dataclass
class Node:
    """One section's values, its parts by name, and its lists by name and key. A service can be ``stopped``."""

    section: Section = field(compare=False, repr=False)
    values: dict[str, Value]
    parts: dict[str, Node]
    lists: dict[str, dict[str, Node]]
    stopped: bool = False

    @classmethod
    def new(cls, section: Section) -> Node:
        """A section with the defaults of its schema."""
        return cls(
            section,
            {attribute.name: attribute.default for attribute in section.attributes},
            {part.name: cls.new(part.section) for part in section.parts},
            {collection.name: {} for collection in section.lists},
        )

    def copy(self) -> Node:
        """An independent copy."""
        return Node(
            self.section,
            dict(self.values),
            {name: node.copy() for name, node in self.parts.items()},
            {name: {key: node.copy() for key, node in items.items()} for name, items in self.lists.items()},
            self.stopped,
        )

    @property
    def services(self) -> dict[str, Node]:
        """The parts that can be started and stopped."""
        return {name: node for name, node in self.parts.items() if node.section.service}

    def shown(self) -> list[tuple[str, str]]:
        """Own attributes and their values as text, in the schema's order; those of a server after its services."""
        pairs = [(item.name, item.kind.render(self.values[item.name])) for item in self.section.attributes]
        if services := self.services:
            running = " ".join(name for name, node in services.items() if not node.stopped)
            pairs.insert(0, (SERVICES, f"({running})"))
        return pairs

    def rows(self, collection: Collection) -> list[list[str]]:
        """The columns of a list's items, as text."""
        return [
            [dict(node.shown())[column] for column in collection.columns]
            for node in self.lists[collection.name].values()
        ]


def new_server() -> Node:
    """The tree of a server that was never configured: it listens nowhere."""
    return Node.new(SERVER)


# --- comparing and merging ----------------------------------------------------------------------

#: What is compared as one thing when two administrators change the server: a name for people and a value.
Units = dict[str, t.Any]


def units(server: Node) -> Units:
    """The server's tree as independent units: each attribute outside of lists, each service, each item of a list."""
    found: Units = dict(server.values)
    for name, node in server.parts.items():
        _collect(found, name, "", node)
    return found


def _collect(found: Units, name: str, parent: str, node: Node) -> None:
    found.update({f"{name} {attribute}": value for attribute, value in node.values.items()})
    if node.section.service:
        found[f"service {name}"] = node.stopped
    for collection in node.section.lists:
        items = node.lists[collection.name]
        found.update({f"{parent}{collection.noun.lower()} {key}": item for key, item in items.items()})
    for part, child in node.parts.items():
        _collect(found, f"{name} {part}", f"{name} {part} ", child)


def changed_units(before: Units, after: Units) -> set[str]:
    """Names of the units that differ, appeared or went."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def merge(base: Node, mine: Node, running: Node) -> Node:
    """``running`` with everything that ``mine`` changed against ``base``; the caller has ruled out overlaps."""
    result = running.copy()
    _merge(base, mine, result)
    return result


def _merge(base: Node, mine: Node, target: Node) -> None:
    target.values.update({name: value for name, value in mine.values.items() if value != base.values[name]})
    if mine.stopped != base.stopped:
        target.stopped = mine.stopped
    for name, items in target.lists.items():
        _merge_items(base.lists[name], mine.lists[name], items)
    for name, node in target.parts.items():
        _merge(base.parts[name], mine.parts[name], node)


def _merge_items(base: dict[str, Node], mine: dict[str, Node], target: dict[str, Node]) -> None:
    for key in base.keys() - mine.keys():
        target.pop(key, None)
    for key, node in mine.items():
        if node != base.get(key):
            target[key] = node.copy()


# --- handing over -------------------------------------------------------------------------------


def generation(server: Node, script: bytes, number: int, host_name: str, state_dir: str) -> Generation:
    """The tree and the script as the values that the SMTP side takes. Paths become absolute."""
    incoming, outgoing, processing = (server.parts[n] for n in ("smtpIncoming", "smtpOutgoing", "processing"))
    listeners = () if incoming.stopped else incoming.lists["listeners"].values()
    return Generation(
        number=number,
        server_name=str(server.values["serverName"]) or host_name,
        listeners=tuple(_listener(node, state_dir) for node in listeners),
        script=script,
        max_errors=_number(incoming, "maxErrors"),
        max_auth_errors=_number(incoming, "maxAuthErrors"),
        access=_access(incoming.parts["serviceAccessControl"]),
        processing=not processing.stopped,
        sending=not processing.stopped and not outgoing.stopped,
    )


def _access(node: Node) -> AccessControl:
    return AccessControl(_rules(node, "allowRules"), _rules(node, "denyRules"), _flow(node))


def _flow(node: Node) -> FlowLimits:
    return FlowLimits(
        max_connections=_number(node, "maxConnections"),
        max_interval_connections=_number(node, "maxIntervalConnections"),
        time_interval=_number(node, "timeInterval"),
        peer_max_connections=_number(node, "peerMaxConnections"),
        peer_max_interval_connections=_number(node, "peerMaxIntervalConnections"),
        peer_time_interval=_number(node, "peerTimeInterval"),
    )


def _listener(node: Node, state_dir: str) -> ListenerSettings:
    host, _colon, port = str(node.values["address"]).rpartition(":")
    return ListenerSettings(
        host=host.strip("[]"),
        port=int(port),
        enable=_yes(node, "enable"),
        ssl_enable=_yes(node, "sslEnable"),
        idle_timeout=_number(node, "idleTimeout"),
        **vars(_flow(node)),
        tls=_tls(node.parts["sslControl"], state_dir),
        allow_rules=_rules(node, "allowRules"),
        deny_rules=_rules(node, "denyRules"),
    )


def _tls(node: Node, state_dir: str) -> TlsSettings:
    return TlsSettings(
        allowed_versions=t.cast("tuple[str, ...]", node.values["allowedVersions"]),
        cipher_suite=str(node.values["cipherSuite"]),
        prefer_server_ciphers=_yes(node, "preferServerCipherSuiteOrder"),
        ephemeral_key=_yes(node, "useEphemeralKey"),
        cert_file=_path(node, "certFile", state_dir),
        ca_file=_path(node, "caFile", state_dir),
        dh_param_file=_path(node, "dhParamFile", state_dir),
        max_chain_depth=_number(node, "maxChainDepth"),
        request_client_auth=_yes(node, "requestClientAuth"),
    )


def _rules(node: Node, name: str) -> tuple[AccessRule, ...]:
    return tuple(
        AccessRule(
            str(rule.values["ipSet"]),
            _yes(rule, "enable"),
            _number(rule, "priority"),
            _flow(rule) if name == "allowRules" else FlowLimits(),
        )
        for rule in node.lists[name].values()
    )


def _yes(node: Node, name: str) -> bool:
    return node.values[name] == "yes"


def _number(node: Node, name: str) -> int:
    return int(t.cast(int, node.values[name]))


def _path(node: Node, name: str, state_dir: str) -> str | None:
    text = str(node.values[name])
    return None if text == "none" else os.path.join(state_dir, text)
