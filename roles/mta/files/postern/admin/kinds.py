# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Types of values in the configuration tree: what a word on the command line or in the file may be."""

from __future__ import annotations

import ipaddress
import re
import typing as t

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
        for token in self.tokens:
            if token.lower() == text:
                return token
        raise ValueError(f"it must be one of: {', '.join(self.tokens)}")


class ProxyProtocol(Kind):
    """``disabled``, or a set of options in any case; an empty set is disabled too."""

    tokens = ("allowV1", "allowV2", "allowAll", "isOptional")
    description = f"disabled|({' '.join(tokens)})"

    def parse(self, word: Word) -> Value:
        names = {name.lower() for name in (word if isinstance(word, tuple) else (word,))}
        if names == {"disabled"}:
            return ()
        chosen = tuple(token for token in self.tokens if token.lower() in names)
        if len(chosen) != len(names):
            raise ValueError(f"it must be disabled, or a set of: {', '.join(self.tokens)}")
        return chosen

    def render(self, value: Value) -> str:
        return f"({' '.join(t.cast('tuple[str, ...]', value))})" if value else "disabled"


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
