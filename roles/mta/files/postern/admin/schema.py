# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the configuration tree can hold: sections, attributes, their types, ranges and defaults.

Every attribute of the administered server is declared here once; SET, SHOW, LIST, HELP, the saved
file and ``SHOW Config`` all follow from it. Contexts of the dialect for what this server does not have (other
protocols, content filters, logging, clusters) are there and have no settings.
"""

from __future__ import annotations

from dataclasses import replace

from .kinds import (
    Choice,
    HostName,
    IpSet,
    Kind,
    Number,
    Path,
    ProxyProtocol,
    SocketAddress,
    Text,
    TlsVersions,
    YesNo,
)
from .section import Attribute, Collection, Part, Section

_YES_NO = YesNo()


def _kept(name: str, kind: Kind, default: str | int | tuple[str, ...] = "", note: str = "") -> Attribute:
    """An attribute of the dialect that means nothing to this server."""
    return Attribute(name, kind, default, note, effect=False)


_LOGGING = (
    _kept("logLevel", Number(0, 31), 15, "1 critical + 2 error + 4 warning + 8 information + 16 protocol"),
    _kept("logType", Choice("internal", "system", "remote"), "internal"),
    _kept("logHost", SocketAddress(), "127.0.0.1:2000"),
)
_THREADS = (_kept("maxConnThreads", Number(1, 128), 20), _kept("minConnThreads", Number(1, 128), 1))

SSLCONTROL = Section(
    "sslcontrol",
    "SSLCONTROL",
    "DONE",
    (
        Attribute("allowedVersions", TlsVersions(), ("tls1_2", "tls1_3"), "TLS versions that a client may use"),
        Attribute("cipherSuite", Text(), "", "OpenSSL cipher list up to TLS 1.2; empty for AEAD with forward secrecy"),
        Attribute("preferServerCipherSuiteOrder", _YES_NO, "yes", "the server's order decides"),
        Attribute("useEphemeralKey", _YES_NO, "yes", "key exchange with forward secrecy"),
        Attribute("certFile", Path(), "none", "PEM: key, certificate, chain; STARTTLS needs it"),
        Attribute("caFile", Path(), "none", "PEM: authorities for client certificates"),
        Attribute("dhParamFile", Path(), "none", "PEM: DH parameters; DHE suites need them"),
        Attribute("maxChainDepth", Number(1, 16), 4, "longest chain of a client certificate"),
        Attribute("requestClientAuth", _YES_NO, "no", "ask the client for a certificate"),
    ),
)


def _flow(connections: tuple[int, int], at_once: int, in_interval: int, peer_at_once: int) -> tuple[Attribute, ...]:
    """Limits of connections: the range of how many there may be at a time, and defaults."""
    return (
        Attribute("maxConnections", Number(*connections), at_once, "connections at a time"),
        Attribute("maxIntervalConnections", Number(0, 100000), in_interval, "new ones in timeInterval; 0 is no limit"),
        Attribute("timeInterval", Number(30, 86400, "seconds"), 60, "span of maxIntervalConnections"),
        Attribute("peerMaxConnections", Number(*connections), peer_at_once, "connections of one client at a time"),
        Attribute("peerMaxIntervalConnections", Number(0, 100000), in_interval, "of one client in peerTimeInterval"),
        Attribute("peerTimeInterval", Number(30, 86400, "seconds"), 60, "span of peerMaxIntervalConnections"),
    )


#: Rules and services have no limits of their own until they are set: a listener's limits always hold.
_OWN_FLOW = _flow((0, 2048), 0, 0, 0)

_RULE = (
    Attribute("ipSet", IpSet(), "", "client addresses; changed after UPDATE only"),
    Attribute("enable", _YES_NO, "no", "whether the rule counts"),
    Attribute("priority", Number(1, 1000), 500, "1 is the highest"),
)
ALLOW_RULE = Section("allowRule", "ALLOWRULE", "DONE", (*_RULE, *_OWN_FLOW))
DENY_RULE = Section("denyRule", "DENYRULE", "DONE", _RULE)
_RULES = (
    Collection("allowRules", "AllowRule", ALLOW_RULE, "ipSet", ("ipSet", "enable", "priority")),
    Collection("denyRules", "DenyRule", DENY_RULE, "ipSet", ("ipSet", "enable", "priority"), one_shot=True),
)

LISTENER = Section(
    "listener",
    "LISTENER",
    "COMMIT",
    (
        Attribute("address", SocketAddress(), "", "where to listen; changed after UPDATE only"),
        Attribute("enable", _YES_NO, "yes", "whether to listen"),
        Attribute("idleTimeout", Number(0, 86400, "seconds"), 300, "0 is no limit"),
        *_flow((1, 2048), 200, 600, 20),
        Attribute("sslEnable", _YES_NO, "no", "TLS from the first byte"),
        _kept("proxyProtocol", ProxyProtocol(), (), "addresses that a proxy in front tells"),
        _kept("proxyProtocolTimeout", Number(0, 86400, "seconds"), 10),
        _kept("nonClusterListener", _YES_NO, "no"),
        _kept("listenerDomain", HostName(253, "domain"), "", "primary domain of this listener"),
    ),
    parts=(Part("sslControl", "SSLCONTROL", SSLCONTROL),),
    lists=_RULES,
)

ACCESS_CONTROL = Section("access-control", "ACCESS-CONTROL", "DONE", _OWN_FLOW, lists=_RULES)

MAPPING_DATA = Section(
    "mappingData",
    "MAPPINGDATA",
    "DONE",
    (
        _kept("userMap", Text(), "none"),
        _kept("mappingHost", HostName(253, "host"), "127.0.0.1"),
        _kept("mappingPort", Number(1, 65535), 1200),
    ),
    back_keeps=True,
)

SMTP_INCOMING = Section(
    "smtpIncoming",
    "SMTP-INCOMING",
    "COMMIT",
    (
        Attribute("maxErrors", Number(0, 100), 20, "wrong commands of one session; 0 is no limit"),
        Attribute("maxAuthErrors", Number(0, 100), 5, "failed logins of one session; 0 is no limit, 5 stands for 3"),
        _kept("maxReceivedHeaders", Number(0, 1000), 30, "the policy script's variable of this name decides"),
        *_THREADS,
        *_LOGGING,
        _kept("userdbConnectorType", Choice("local", "ldap", "ldapBind"), "local", "accounts are local here"),
        _kept("userdbConnectorName", Text()),
        _kept("enableSmtpRouting", _YES_NO, "no"),
    ),
    parts=(
        Part("mappingData", "mappingData", MAPPING_DATA),
        Part("serviceAccessControl", "AccessControl", ACCESS_CONTROL),
    ),
    lists=(
        Collection(
            "listeners", "Listener", LISTENER, "address",
            ("address", "enable", "sslEnable", "idleTimeout", "maxConnections", "peerMaxConnections"),
        ),
    ),
    saves_config=True,
    resets=True,
    service=True,
)  # fmt: skip

SMTP_OUTGOING = Section(
    "smtpOutgoing",
    "SMTP-OUTGOING",
    "COMMIT",
    (_kept("enableIPv6", _YES_NO, "no", "both address families are used"), *_THREADS, *_LOGGING),
    saves_config=True,
    resets=True,
    service=True,
)

#: Queue and retry: the times are settings of the bootstrap file.
PROCESSING = Section("processing", "PROCESSING", "COMMIT", saves_config=True, resets=True, service=True)

CLI = Section(
    "cli",
    "CLI",
    "COMMIT",
    (
        Attribute("maxErrors", Number(0, 100), 20, "wrong commands of one session; 0 is no limit"),
        Attribute("maxAuthErrors", Number(0, 100), 5, "failed logins of one session; 0 is no limit"),
        Attribute("maxAuthCommands", Number(0, 100), 20, "commands of one session before login; 0 is no limit"),
    ),
    saves_config=True,
    resets=True,
)


def _without_settings(name: str, keyword: str, save: str = "COMMIT") -> Part:
    """A context of the dialect for something that this server does not have."""
    return Part(name, keyword, Section(name, keyword, save, saves_config=save == "COMMIT", resets=save == "COMMIT"))


#: Content filters, which this server does not have: clients take the three tables apart.
FILTERS = replace(
    _without_settings("filters", "FILTERS").section,
    listed=(
        (
            "Filters",
            (
                ("List of Script Filters:", ("name", "type", "file")),
                ("List of Socket Filters:", ("name", "type", "file")),
                ("List of Active Filters:", ("priority", "filterName", "filterType")),
            ),
        ),
    ),
)

SERVER = Section(
    "server",
    "SERVER",
    "COMMIT",
    (
        _kept("primaryDomain", HostName(253, "domain")),
        Attribute(
            "serverName", HostName(64, "host name"), "", "name in greetings; empty for the one of the bootstrap file"
        ),
        _kept("caBundlePath", Text(4096, "path"), "", "authorities for sending are in the bootstrap file"),
        _kept("sslRandomFile", Path(), "none"),
        _kept("enableSRS", _YES_NO, "no"),
    ),
    parts=(
        Part("smtpIncoming", "SMTP-INCOMING", SMTP_INCOMING),
        Part("smtpOutgoing", "SMTP-OUTGOING", SMTP_OUTGOING),
        Part("processing", "PROCESSING", PROCESSING),
        _without_settings("imap", "IMAP"),
        _without_settings("pop3", "POP3"),
        _without_settings("webmail", "WEBMAIL"),
        _without_settings("webadmin", "WEBADMIN"),
        Part("cli", "CLI", CLI),
        _without_settings("ftpBackup", "FTP-BACKUP"),
        Part("filters", "FILTERS", FILTERS),
        _without_settings("certs", "CERTS", "DONE"),
        _without_settings("security", "SECURITY"),
        _without_settings("log", "LOG"),
        _without_settings("calLog", "CALLOG"),
        _without_settings("jobLog", "JOBLOG"),
        _without_settings("srvLog", "SRVLOG"),
        _without_settings("userdb", "USERDB"),
        _without_settings("dnr", "DNR"),
        _without_settings("cluster", "CLUSTER", "DONE"),
        _without_settings("permissions", "PERMISSIONS", "DONE"),
    ),
    saves_config=True,
    resets=True,
)
