# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bytes of a TLS handshake up to the point where keys are needed: a ClientHello written, the answer read.

Made by hand, because what the local TLS library refuses to say (SSL 3.0, TLS 1.0, withdrawn suites)
must still be asked of a server. No input and output here: bytes in, values out.
"""

from __future__ import annotations

import os
import struct
import typing as t
from dataclasses import dataclass

from .suites import (
    ALERTS, GROUPS, OLD_GROUPS, SSL2_SUITES, SUITE_NAMES, SUITES, TLS13_GROUPS, VERSION_NAMES, VERSIONS,
)

ALERT, HANDSHAKE = 21, 22
CONTENT_TYPES = (20, ALERT, HANDSHAKE, 23)

SERVER_HELLO, CERTIFICATE, SERVER_KEY_EXCHANGE, SERVER_HELLO_DONE = 2, 11, 12, 14

#: RFC 8446 section 5.2: 2^14 and 256 more for the encrypted form.
MAX_RECORD = 16384 + 2048

#: A chain of certificates is the longest message, and no client takes one like that, in bytes.
MAX_MESSAGE = 1 << 20

#: The random value that makes a ServerHello a HelloRetryRequest (RFC 8446 section 4.1.3).
HELLO_RETRY_REQUEST = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")

#: Stands in place of an empty renegotiation_info extension (RFC 5746 section 3.3).
RENEGOTIATION_SCSV = 0x00FF

#: RSA-PSS, ECDSA, EdDSA and, because old servers have nothing else, PKCS#1 and DSA down to SHA-1.
SIGNATURE_ALGORITHMS = (
    0x0804, 0x0805, 0x0806, 0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0809, 0x080A, 0x080B,
    0x0401, 0x0501, 0x0601, 0x0402, 0x0201, 0x0203, 0x0202,
)

#: X25519 first: it is the group for which a key share is sent. No ffdhe group is named: RFC 7919 would make a
#: server whose own DH file is none of them give up DHE.
OFFERED_GROUPS = ("X25519", "P-256", "P-384", "P-521", "X448")

#: Extensions by number (RFC 5746, RFC 7366, RFC 7627).
ENCRYPT_THEN_MAC, EXTENDED_MASTER_SECRET, RENEGOTIATION_INFO = 22, 23, 0xFF01

#: Compression methods (RFC 3749).
NO_COMPRESSION, DEFLATE = 0, 1


class NotTls(ValueError):
    """The bytes are not what TLS allows at this place."""


class Alert(Exception):
    """The peer sent a TLS alert; ``name`` is the registry's name."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = ALERTS.get(number, "alert %d" % number)
        super().__init__(self.name)


@dataclass(frozen=True)
class ServerHello:
    """``version`` is the negotiated one by name, ``cipher`` by OpenSSL's name; ``group`` only in TLS 1.3.

    ``extensions``: numbers of the extensions that the server answers. ``compressed``: it chose a compression.
    """

    version: str
    cipher: str
    retry: bool = False
    group: t.Optional[str] = None
    extensions: t.FrozenSet[int] = frozenset()
    compressed: bool = False


@dataclass(frozen=True)
class ServerKeyExchange:
    """``dh_bits`` is the length of the prime in bits (DHE), ``group`` the name of the curve (ECDHE)."""

    dh_bits: t.Optional[int] = None
    group: t.Optional[str] = None


def _vector(data: bytes, width: int) -> bytes:
    return len(data).to_bytes(width, "big") + data


def _extension(number: int, data: bytes) -> bytes:
    return struct.pack("!H", number) + _vector(data, 2)


def _numbers(values: t.Iterable[int]) -> bytes:
    return b"".join(struct.pack("!H", value) for value in values)


def client_hello(
    version: str,
    ciphers: t.Sequence[str],
    server_name: t.Optional[str] = None,
    groups: t.Sequence[str] = OFFERED_GROUPS,
    key_share: bool = True,
    compression: bool = False,
) -> bytes:
    """A ClientHello record that offers exactly one version and these suites (OpenSSL names).

    ``server_name`` is sent as SNI (RFC 6066 section 3) from TLS 1.0 on, ``groups`` (names of :data:`~.suites.GROUPS`)
    where a suite needs one. ``key_share``: send a share for the first group when that is X25519; without, a TLS 1.3
    server says in a HelloRetryRequest which group it would have. ``compression``: offer DEFLATE (before TLS 1.3).
    Raises ValueError for an unknown version, suite or group, so that a slip in a name never looks like a server's
    refusal.
    """
    if version not in VERSIONS:
        raise ValueError("unknown TLS version %r: known are %s" % (version, ", ".join(VERSIONS)))
    if version == "SSLv2":
        return _ssl2_hello(ciphers)
    unknown = [name for name in ciphers if name not in SUITES]
    if unknown or not ciphers:
        raise ValueError("unknown cipher suites: %s" % (", ".join(unknown) or "none named"))
    number = VERSIONS[version]
    suites = [SUITES[name] for name in ciphers]
    modern = version == "TLSv1.3"
    if not modern:
        suites.append(RENEGOTIATION_SCSV)
    body = struct.pack("!H", min(number, 0x0303)) + os.urandom(32)
    # A session id of 32 bytes is TLS 1.3's middlebox compatibility mode (RFC 8446 appendix D.4).
    body += _vector(os.urandom(32) if modern else b"", 1)
    body += _vector(_numbers(suites), 2)
    body += _vector(bytes([DEFLATE, NO_COMPRESSION] if compression and not modern else [NO_COMPRESSION]), 1)
    if version != "SSLv3":
        extensions = _extensions(version, ciphers, server_name, groups, key_share)
        # RFC 7685: there are servers that hang at a message of 256 to 511 bytes.
        size = 4 + len(body) + 2 + len(extensions)
        if 256 <= size < 512:
            extensions += _extension(21, bytes(max(512 - size - 4, 0)))
        body += _vector(extensions, 2)
    message = b"\x01" + _vector(body, 3)
    # The record says TLS 1.0 at most: RFC 8446 section 5.1, and what servers expect since RFC 5246 appendix E.
    return struct.pack("!BH", HANDSHAKE, min(number, 0x0301)) + _vector(message, 2)


def _extensions(
    version: str, ciphers: t.Sequence[str], server_name: t.Optional[str], groups: t.Sequence[str], key_share: bool
) -> bytes:
    extensions = b""
    modern = version == "TLSv1.3"
    if server_name:
        name = b"\x00" + _vector(server_name.encode("ascii"), 2)
        extensions += _extension(0, _vector(name, 2))
    if modern or any("ECDH" in name for name in ciphers):
        numbers = _group_numbers(groups, TLS13_GROUPS if modern else OLD_GROUPS)
        extensions += _extension(10, _vector(_numbers(numbers), 2))
        extensions += _extension(11, _vector(b"\x00", 1))
    if version in ("TLSv1.2", "TLSv1.3"):
        extensions += _extension(13, _vector(_numbers(SIGNATURE_ALGORITHMS), 2))
    if not modern:
        return extensions + _extension(ENCRYPT_THEN_MAC, b"") + _extension(EXTENDED_MASTER_SECRET, b"")
    extensions += _extension(43, _vector(_numbers([VERSIONS[version]]), 1))
    share = b""
    if key_share and groups[0] == "X25519":
        # Any 32 bytes are a public key of X25519 (RFC 7748 section 5). The handshake ends before it matters.
        share = struct.pack("!H", TLS13_GROUPS["X25519"]) + _vector(os.urandom(32), 2)
    return extensions + _extension(51, _vector(share, 2))


def _group_numbers(names: t.Sequence[str], numbers: t.Mapping[str, int]) -> t.List[int]:
    unknown = [name for name in names if name not in numbers]
    if unknown or not names:
        raise ValueError("unknown groups: %s" % (", ".join(unknown) or "none named"))
    return [numbers[name] for name in names]


def _ssl2_hello(ciphers: t.Sequence[str]) -> bytes:
    unknown = [name for name in ciphers if name not in SSL2_SUITES]
    if unknown or not ciphers:
        raise ValueError("unknown SSL 2.0 cipher kinds: %s" % (", ".join(unknown) or "none named"))
    kinds = b"".join(SSL2_SUITES[name].to_bytes(3, "big") for name in ciphers)
    challenge = os.urandom(16)
    body = struct.pack("!BHHHH", 1, VERSIONS["SSLv2"], len(kinds), 0, len(challenge)) + kinds + challenge
    return struct.pack("!H", 0x8000 | len(body)) + body


def is_ssl2_server_hello(data: bytes) -> bool:
    """Whether these first bytes of an answer are an SSL 2.0 SERVER-HELLO."""
    return len(data) >= 3 and bool(data[0] & 0x80) and data[2] == 4


def closing_alert(version: str) -> bytes:
    """A close_notify record in clear: the probe says that it goes."""
    return struct.pack("!BHH", ALERT, min(max(VERSIONS[version], 0x0300), 0x0303), 2) + b"\x01\x00"


class RecordReader:
    """Takes bytes as they arrive and gives whole handshake messages.

    ``messages()`` yields (type, body); a message may span records and a record hold several messages.
    Raises :class:`Alert` for an alert record and :class:`NotTls` for anything else.
    """

    def __init__(self) -> None:
        self._records = bytearray()
        self._handshake = bytearray()

    def feed(self, data: bytes) -> None:
        """Add bytes from the wire."""
        self._records += data

    def messages(self) -> t.Iterator[t.Tuple[int, bytes]]:
        """The messages that are complete so far; what is left stays for the next call."""
        while True:
            while len(self._handshake) >= 4:
                end = 4 + int.from_bytes(self._handshake[1:4], "big")
                if end > MAX_MESSAGE:
                    raise NotTls("a handshake message of %d bytes" % end)
                if len(self._handshake) < end:
                    break
                message = bytes(self._handshake[:end])
                del self._handshake[:end]
                yield message[0], message[4:]
            if not self._next_record():
                return

    def _next_record(self) -> bool:
        records = self._records
        if records and records[0] not in CONTENT_TYPES:
            raise NotTls("not a TLS record: %s" % printable(bytes(records[:80])))
        if len(records) < 5:
            return False
        kind, version, length = struct.unpack("!BHH", records[:5])
        if version >> 8 != 3 or length > MAX_RECORD:
            raise NotTls("not a TLS record: %s" % printable(bytes(records[:80])))
        if len(records) < 5 + length:
            return False
        content = bytes(records[5 : 5 + length])
        del records[: 5 + length]
        if kind == HANDSHAKE:
            self._handshake += content
        elif kind == ALERT and len(content) == 2:
            # A warning such as unrecognized_name does not end the handshake; close_notify does.
            if content[0] == 2 or content[1] == 0:
                raise Alert(content[1])
        else:
            raise NotTls("a record of type %d inside the handshake" % kind)
        return True


class _Fields:
    """Reads fields of a message from left to right; NotTls when they end too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise NotTls("a handshake message ends too early")
        part = self._data[self._at : end]
        self._at = end
        return part

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        return self.take(self.number(width))

    @property
    def left(self) -> int:
        return len(self._data) - self._at


def server_hello(body: bytes) -> ServerHello:
    """Read a ServerHello (RFC 5246 section 7.4.1.3, RFC 8446 section 4.1.3)."""
    fields = _Fields(body)
    version = fields.number(2)
    random = fields.take(32)
    fields.vector(1)
    suite = fields.number(2)
    compression = fields.number(1)
    group = None
    found = set()
    if fields.left:
        extensions = _Fields(fields.vector(2))
        while extensions.left:
            kind, data = extensions.number(2), extensions.vector(2)
            found.add(kind)
            if kind == 43 and len(data) == 2:
                version = int.from_bytes(data, "big")
            elif kind == 51 and len(data) >= 2:
                group = _group(int.from_bytes(data[:2], "big"))
    return ServerHello(
        version=VERSION_NAMES.get(version, "0x%04x" % version),
        cipher=SUITE_NAMES.get(suite, "0x%04x" % suite),
        retry=random == HELLO_RETRY_REQUEST,
        group=group,
        extensions=frozenset(found),
        compressed=compression != NO_COMPRESSION,
    )


def certificates(body: bytes) -> t.Tuple[bytes, ...]:
    """The chain of a Certificate message before TLS 1.3, leaf first, each in DER (RFC 5246 section 7.4.2)."""
    chain = _Fields(_Fields(body).vector(3))
    found = []
    while chain.left:
        found.append(chain.vector(3))
    return tuple(found)


def server_key_exchange(body: bytes, kind: str) -> ServerKeyExchange:
    """Read the parameters of a ServerKeyExchange; ``kind`` is "DHE" or "ECDHE" (RFC 5246 7.4.3, RFC 8422 5.4)."""
    fields = _Fields(body)
    if kind == "DHE":
        return ServerKeyExchange(dh_bits=int.from_bytes(fields.vector(2), "big").bit_length())
    if kind == "ECDHE":
        if fields.number(1) != 3:
            return ServerKeyExchange(group="explicit curve")
        return ServerKeyExchange(group=_group(fields.number(2)))
    return ServerKeyExchange()


def _group(number: int) -> str:
    return GROUPS.get(number, "group 0x%04x" % number)


def printable(data: bytes) -> str:
    """Bytes as one line of printable ASCII in quotes, for a message to a human."""
    text = data.decode("utf-8", "backslashreplace").rstrip("\r\n")
    return "'%s'" % "".join(char if " " <= char <= "~" else char.encode("unicode_escape").decode() for char in text)
