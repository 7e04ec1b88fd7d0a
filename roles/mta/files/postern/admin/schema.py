# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the configuration tree can hold: sections, attributes, their types, ranges and defaults.

Every attribute of the administered server is declared here once; SET, SHOW, LIST, HELP, the saved
file and ``SHOW Config`` all follow from it.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass

from .protocol import Word

Value = t.Union[str, int, tuple[str, ...]]

#: Values longer than this are refused (limit of the configuration file format), in characters.
MAX_VALUE = 8192


class Kind:
    """A type of values. ``parse`` raises ``ValueError`` with the reason; ``render`` is its inverse."""

    description = ""

    def parse(self, word: Word) -> Value:
        """The value that a word means."""
        raise NotImplementedError

    def render(self, value: Value) -> str:
        """The value as it is shown and saved."""
        return str(value)

    @staticmethod
    def text(word: Word) -> str:
        """The word, when it is no set."""
        if isinstance(word, tuple):
            raise ValueError("one value is wanted, not a set")
        if len(word) > MAX_VALUE:
            raise ValueError(f"the value is longer than {MAX_VALUE} characters")
        return word


class YesNo(Kind):
    """``yes`` or ``no``, in any case."""

    description = "yes|no"

    def parse(self, word: Word) -> Value:
        text = self.text(word).lower()
        if text not in ("yes", "no"):
            raise ValueError("it must be yes or no")
        return text


class Number(Kind):
    """A decimal number inside a range, both ends included."""

    def __init__(self, low: int, high: int, unit: str = "") -> None:
        self.low, self.high = low, high
        self.description = f"{low}-{high}{' ' + unit if unit else ''}"

    def parse(self, word: Word) -> Value:
        text = self.text(word)
        if not (text.isascii() and text.isdigit() and len(text) <= 12 and self.low <= int(text) <= self.high):
            raise ValueError(f"it must be a number from {self.low} to {self.high}")
        return int(text)


class Text(Kind):
    """A text, shown in double quotes."""

    def __init__(self, longest: int = MAX_VALUE, description: str = "text") -> None:
        self.longest, self.description = longest, description

    def parse(self, word: Word) -> Value:
        text = self.text(word)
        if len(text) > self.longest:
            raise ValueError(f"it must not be longer than {self.longest} characters")
        return text

    def render(self, value: Value) -> str:
        return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


class HostName(Text):
    """A host or domain name in ASCII, or nothing: it is sent to SMTP peers as it is."""

    _SHAPE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|")

    def parse(self, word: Word) -> Value:
        text = str(super().parse(word))
        if not self._SHAPE.fullmatch(text):
            raise ValueError("it must be a name of letters, digits, dots and hyphens")
        return text


class Path(Text):
    """A file on the server's host, relative to its state directory; ``none`` for no file."""

    def __init__(self) -> None:
        super().__init__(4096, "path|none")

    def parse(self, word: Word) -> Value:
        text = str(super().parse(word))
        return "none" if text == "" or text.lower() == "none" else text


class Choice(Kind):
    """One of several tokens, in any case."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = tokens
        self.description = "|".join(tokens)

    def parse(self, word: Word) -> Value:
        text = self.text(word).lower()
        if text not in self.tokens:
            raise ValueError(f"it must be one of: {', '.join(self.tokens)}")
        return text


class TlsVersions(Kind):
    """A set of TLS versions, kept oldest first."""

    tokens = ("tls1", "tls1_1", "tls1_2", "tls1_3")
    refused = {
        "ssl2": "SSL 2.0 must not be used (RFC 6176) and this server does not have it",
        "ssl3": "SSL 3.0 must not be used (RFC 7568) and this server does not have it",
    }
    description = f"({' '.join(tokens)})"

    def parse(self, word: Word) -> Value:
        names = {name.lower() for name in (word if isinstance(word, tuple) else (word,))}
        for name in sorted(names):
            if name in self.refused:
                raise ValueError(f"{name}: {self.refused[name]}")
            if name not in self.tokens:
                raise ValueError(f"a version is not known; known are: {', '.join(self.tokens)}")
        if not names:
            raise ValueError("at least one version is needed")
        return tuple(name for name in self.tokens if name in names)

    def render(self, value: Value) -> str:
        return f"({' '.join(t.cast('tuple[str, ...]', value))})"


class SocketAddress(Kind):
    """``ip:port``, IPv6 in brackets, in canonical spelling: the key of a listener."""

    description = "ip:port"

    def parse(self, word: Word) -> Value:
        host, colon, port = self.text(word).rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        try:
            ip = ipaddress.ip_address(host[1:-1] if bracketed else host)
        except ValueError:
            raise ValueError("it must be ip:port, an IPv6 address in brackets") from None
        if not colon or bracketed != (ip.version == 6):
            raise ValueError("it must be ip:port, an IPv6 address in brackets")
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
            raise ValueError("the port must be a number from 1 to 65535")
        return f"[{ip}]:{int(port)}" if ip.version == 6 else f"{ip}:{int(port)}"


class IpSet(Kind):
    """A network (``a/bits``, ``a/mask``), a range (``a-b``) or one address, in canonical spelling."""

    description = "ip|ip/bits|ip/mask|ip-ip"

    def parse(self, word: Word) -> Value:
        text = self.text(word).replace(" ", "")
        try:
            if "-" in text:
                first, _dash, last = text.partition("-")
                low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
                if low.version != high.version or int(low) > int(high):
                    raise ValueError(text)
                return f"{low}-{high}"
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError("it must be an address, a network (10.0.0.0/8) or a range (10.0.0.1-10.0.0.9)") from None
        return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


@dataclass(frozen=True)
class Attribute:
    """One attribute. ``note`` is shown by HELP."""

    name: str
    kind: Kind
    default: Value = ""
    note: str = ""


@dataclass(frozen=True)
class Collection:
    """A list of sections of one type, each known by its key attribute.

    ``noun`` is the word on the command line, ``name`` the one in the file. A one-shot item has no
    context of its own: all its values are given with ADD or UPDATE.
    """

    name: str
    noun: str
    item: Section
    key: str
    columns: tuple[str, ...]
    one_shot: bool = False

    @property
    def plural(self) -> str:
        """The word behind LIST."""
        return self.noun + "s"


@dataclass(frozen=True)
class Part:
    """A section that exists exactly once in its parent; ``keyword`` is the word behind CONFIG."""

    name: str
    keyword: str
    section: Section


@dataclass(frozen=True)
class Section:
    """A type of section. ``save`` is the verb that keeps its changes: DONE or COMMIT.

    A ``service`` section can also save the running configuration.
    """

    segment: str
    title: str
    save: str
    attributes: tuple[Attribute, ...]
    parts: tuple[Part, ...] = ()
    lists: tuple[Collection, ...] = ()
    service: bool = False

    def attribute(self, name: str) -> Attribute | None:
        """An attribute by its name in any case; None when there is none."""
        wanted = name.lower()
        for attribute in self.attributes:
            if attribute.name.lower() == wanted:
                return attribute
        return None

    def part(self, keyword: str) -> Part | None:
        """A part by keyword or name, in any case; hyphens do not count (``SMTP-INCOMING``, ``smtpIncoming``)."""
        wanted = keyword.lower().replace("-", "")
        for part in self.parts:
            if wanted in (part.keyword.lower().replace("-", ""), part.name.lower()):
                return part
        return None

    def collection(self, noun: str) -> Collection | None:
        """A list by the noun of its items, in any case."""
        for collection in self.lists:
            if collection.noun.lower() == noun.lower():
                return collection
        return None


_YES_NO = YesNo()
_WITHOUT_EFFECT = "kept for the dialect's sake, without effect on this server"

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

_RULE_ATTRIBUTES = (
    Attribute("ipSet", IpSet(), "", "client addresses"),
    Attribute("enable", _YES_NO, "no", "whether the rule counts"),
    Attribute("priority", Number(1, 1000), 500, "1 is the highest"),
)
ALLOW_RULE = Section("allowRule", "ALLOWRULE", "DONE", _RULE_ATTRIBUTES)
DENY_RULE = Section("denyRule", "DENYRULE", "DONE", _RULE_ATTRIBUTES)

LISTENER = Section(
    "listener",
    "LISTENER",
    "COMMIT",
    (
        Attribute("address", SocketAddress(), "", "where to listen"),
        Attribute("enable", _YES_NO, "yes", "whether to listen"),
        Attribute("idleTimeout", Number(0, 86400, "seconds"), 300, "0 is no limit"),
        Attribute("maxConnections", Number(1, 2048), 200, "connections at a time"),
        Attribute("maxIntervalConnections", Number(0, 100000), 600, "new connections in timeInterval; 0 is no limit"),
        Attribute("timeInterval", Number(30, 86400, "seconds"), 60, "span of maxIntervalConnections"),
        Attribute("peerMaxConnections", Number(1, 2048), 20, "connections of one client at a time"),
        Attribute("peerMaxIntervalConnections", Number(0, 100000), 600, "of one client in peerTimeInterval"),
        Attribute("peerTimeInterval", Number(30, 86400, "seconds"), 60, "span of peerMaxIntervalConnections"),
        Attribute("sslEnable", _YES_NO, "no", "TLS from the first byte"),
    ),
    parts=(Part("sslControl", "SSLCONTROL", SSLCONTROL),),
    lists=(
        Collection("allowRules", "AllowRule", ALLOW_RULE, "ipSet", ("ipSet", "enable", "priority")),
        Collection("denyRules", "DenyRule", DENY_RULE, "ipSet", ("ipSet", "enable", "priority"), one_shot=True),
    ),
)

SMTP_INCOMING = Section(
    "smtpIncoming",
    "SMTP-INCOMING",
    "COMMIT",
    (
        Attribute("maxErrors", Number(0, 100), 20, "wrong commands of one session; 0 is no limit"),
        Attribute("maxAuthErrors", Number(0, 100), 5, "failed logins of one session; 0 is no limit"),
        Attribute("maxReceivedHeaders", Number(0, 1000), 30, _WITHOUT_EFFECT),
        Attribute("maxConnThreads", Number(1, 128), 20, _WITHOUT_EFFECT),
        Attribute("minConnThreads", Number(1, 128), 1, _WITHOUT_EFFECT),
        Attribute("logLevel", Number(0, 31), 15, _WITHOUT_EFFECT),
    ),
    lists=(
        Collection(
            "listeners", "Listener", LISTENER, "address",
            ("address", "enable", "sslEnable", "idleTimeout", "maxConnections", "peerMaxConnections"),
        ),
    ),
    service=True,
)  # fmt: skip

SMTP_OUTGOING = Section(
    "smtpOutgoing",
    "SMTP-OUTGOING",
    "COMMIT",
    (
        Attribute("enableIPv6", _YES_NO, "no", _WITHOUT_EFFECT),
        Attribute("maxConnThreads", Number(1, 128), 20, _WITHOUT_EFFECT),
        Attribute("minConnThreads", Number(1, 128), 1, _WITHOUT_EFFECT),
        Attribute("logLevel", Number(0, 31), 15, _WITHOUT_EFFECT),
    ),
    service=True,
)

SERVER = Section(
    "server",
    "SERVER",
    "COMMIT",
    (
        Attribute("primaryDomain", HostName(253, "domain"), "", _WITHOUT_EFFECT),
        Attribute(
            "serverName", HostName(64, "host name"), "", "name in greetings; empty for the one of the bootstrap file"
        ),
    ),
    parts=(
        Part("smtpIncoming", "SMTP-INCOMING", SMTP_INCOMING),
        Part("smtpOutgoing", "SMTP-OUTGOING", SMTP_OUTGOING),
    ),
    service=True,
)
