# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The server's half of a TLS handshake made by hand, up to the point where keys are needed.

No library of today speaks SSL 2.0 and 3.0, compresses, negotiates RC4 or leaves out secure renegotiation. A probe that
says "refused" of such things must have met a server that accepts them. Everything is read from the client's
ClientHello and answered as the registries say; nothing is signed, because nobody here gets as far as a signature.
"""

from __future__ import annotations

import os
import socket
import struct
import typing as t
from dataclasses import dataclass

from ansible_collections.securemail.smtp.plugins.module_utils._probe.suites import GROUPS, SUITES, VERSIONS

_NUMBERS = {name: number for number, name in GROUPS.items()}
_NAMES = {number: name for name, number in VERSIONS.items()}

#: Registry numbers of extensions: RFC 8422, 7366, 7627, 8446, 5746.
GROUP_LIST, POINT_FORMATS, ENCRYPT_THEN_MAC, EXTENDED_MASTER_SECRET = 10, 11, 22, 23
SUPPORTED_VERSIONS, KEY_SHARE, RENEGOTIATION_INFO = 43, 51, 0xFF01
_RENEGOTIATION_SCSV = 0x00FF
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")

PROTOCOL_VERSION, HANDSHAKE_FAILURE, CLOSE_NOTIFY = 70, 40, 0

#: Bytes of a public value in each group: what a real server's share would measure.
_SHARES = {
    "X25519": 32, "X448": 56, "P-256": 65, "P-384": 97, "P-521": 133, "brainpoolP256r1": 65, "brainpoolP384r1": 97,
    "brainpoolP512r1": 129, "ffdhe2048": 256, "ffdhe3072": 384, "ffdhe4096": 512, "ffdhe6144": 768, "ffdhe8192": 1024,
    "X25519MLKEM768": 1120,
}


def vector(data: bytes, width: int) -> bytes:
    """Bytes behind their length, as TLS writes a vector."""
    return len(data).to_bytes(width, "big") + data


def message(kind: int, body: bytes) -> bytes:
    """One handshake message."""
    return bytes([kind]) + vector(body, 3)


def record(content: bytes, kind: int = 22, version: int = 0x0303) -> bytes:
    """Content in as many records as it needs (at most 2^14 bytes each)."""
    parts = [content[at : at + 16384] for at in range(0, len(content), 16384)] or [b""]
    return b"".join(struct.pack("!BH", kind, version) + vector(part, 2) for part in parts)


def alert(number: int, level: int = 2) -> bytes:
    """An alert record."""
    return record(bytes([level, number]), kind=21)


def hello_body(version: int, suite: int, extensions: bytes = b"", random: bytes = b"r" * 32, compression: int = 0) -> bytes:
    """The body of a ServerHello."""
    tail = vector(extensions, 2) if extensions else b""
    return struct.pack("!H", version) + random + b"\x00" + struct.pack("!HB", suite, compression) + tail


def extension(number: int, data: bytes = b"") -> bytes:
    """One extension."""
    return struct.pack("!H", number) + vector(data, 2)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        if count > len(self.data):
            raise EOFError
        part, self.data = self.data[:count], self.data[count:]
        return part

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        return self.take(self.number(width))


def _words(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


@dataclass(frozen=True)
class ClientHello:
    """What a client offers: version names, suite numbers, compression methods, extensions, groups, key shares."""

    versions: tuple[str, ...]
    suites: tuple[int, ...]
    compressions: bytes
    extensions: t.Mapping[int, bytes]
    groups: tuple[str, ...]
    shares: tuple[str, ...]
    session: bytes = b""


def read_hello(read: t.Callable[[int], bytes]) -> ClientHello | None:
    """The ClientHello that ``read(count)`` gives byte for byte; None for SSL 2.0's. Raises EOFError for anything else."""
    head = read(2)
    if head[0] & 0x80:
        body = read(struct.unpack("!H", head)[0] & 0x7FFF)
        if body[:3] != b"\x01\x00\x02":
            raise EOFError
        return None
    content = b""
    while True:
        head += read(3)
        if head[0] not in (20, 22) or head[1] != 3:
            raise EOFError
        part = read(struct.unpack("!H", head[3:])[0])
        # A ChangeCipherSpec may stand before a second ClientHello (RFC 8446 appendix D.4).
        content += part if head[0] == 22 else b""
        if len(content) >= 4 and len(content) >= 4 + int.from_bytes(content[1:4], "big"):
            return _parsed(content[4:])
        head = read(2)


def _parsed(body: bytes) -> ClientHello:
    reader = _Reader(body)
    top = reader.number(2)
    reader.take(32)
    session, suites, compressions = reader.vector(1), reader.vector(2), reader.vector(1)
    extensions: dict[int, bytes] = {}
    if reader.data:
        inner = _Reader(reader.vector(2))
        while inner.data:
            number = inner.number(2)
            extensions[number] = inner.vector(2)
    if SUPPORTED_VERSIONS in extensions:
        versions = _words(extensions[SUPPORTED_VERSIONS][1:])
    else:
        versions = [number for number in VERSIONS.values() if 0x0300 <= number <= min(top, 0x0303)]
    shares = []
    if KEY_SHARE in extensions:
        inner = _Reader(_Reader(extensions[KEY_SHARE]).vector(2))
        while inner.data:
            shares.append(GROUPS.get(inner.number(2), "?"))
            inner.vector(2)
    groups = [GROUPS.get(number, "?") for number in _words(extensions.get(GROUP_LIST, b"")[2:])]
    names = tuple(_NAMES[number] for number in versions if number in _NAMES)
    return ClientHello(names, tuple(_words(suites)), compressions, extensions, tuple(groups), tuple(shares), session)


@dataclass(frozen=True)
class Tls:
    """A TLS server by hand. ``versions`` and ``suites`` (OpenSSL names) are what it accepts, in its order.

    ``prefers`` is "server" or "client": whose order of suites counts. ``groups`` are for ECDHE and TLS 1.3, ``dh_bits``
    for DHE. ``chain`` are certificates in DER. ``rest`` stands in place of everything behind the ServerHello.
    """

    versions: tuple[str, ...] = ("TLSv1.2",)
    suites: tuple[str, ...] = ("ECDHE-RSA-AES256-GCM-SHA384", "AES128-GCM-SHA256", "AES128-SHA")
    prefers: str = "server"
    groups: tuple[str, ...] = ("X25519", "P-256")
    dh_bits: int = 2048
    compression: bool = False
    extended_master_secret: bool = True
    secure_renegotiation: bool = True
    encrypt_then_mac: bool = True
    chain: tuple[bytes, ...] = ()
    rest: bytes | None = None

    def serve(self, sock: socket.socket) -> None:
        """Answer one ClientHello and wait until the client goes. Raises OSError and EOFError."""

        def read(count: int) -> bytes:
            data = b""
            while len(data) < count:
                part = sock.recv(count - len(data))
                if not part:
                    raise EOFError
                data += part
            return data

        hello = read_hello(read)
        sock.sendall(self._ssl2() if hello is None else self.answer(hello))
        if hello is not None and self._retries(hello):
            # The second ClientHello has the share that was asked for.
            again = read_hello(read)
            sock.sendall(self.answer(again) if again else alert(HANDSHAKE_FAILURE))
        while sock.recv(65536):
            pass

    def _ssl2(self) -> bytes:
        if "SSLv2" not in self.versions:
            return alert(PROTOCOL_VERSION)
        # SERVER-HELLO: no certificate, one cipher kind, a connection id of two bytes.
        body = b"\x04\x00\x01\x00\x02" + struct.pack("!HHH", 0, 3, 2) + b"\x01\x00\x80" + b"id"
        return struct.pack("!H", 0x8000 | len(body)) + body

    def _version(self, hello: ClientHello) -> str | None:
        common = [version for version in self.versions if version in hello.versions]
        return max(common, key=VERSIONS.__getitem__) if common else None

    def _retries(self, hello: ClientHello) -> bool:
        return self._version(hello) == "TLSv1.3" and self._group(hello) not in (None, *hello.shares)

    def _group(self, hello: ClientHello) -> str | None:
        return next((group for group in self.groups if group in hello.groups), None)

    def _suite(self, hello: ClientHello, version: str) -> str | None:
        mine = [name for name in self.suites if SUITES[name] in hello.suites and _fits(name, version)]
        if version != "TLSv1.3" and self._group(hello) is None:
            mine = [name for name in mine if "ECDH" not in name]
        if self.prefers == "client":
            mine.sort(key=lambda name: hello.suites.index(SUITES[name]))
        return mine[0] if mine else None

    def answer(self, hello: ClientHello) -> bytes:
        """The bytes that such an offer gets."""
        version = self._version(hello)
        if version is None:
            return alert(PROTOCOL_VERSION)
        suite, group = self._suite(hello, version), self._group(hello)
        if suite is None or version == "TLSv1.3" and group is None:
            return alert(HANDSHAKE_FAILURE)
        if version == "TLSv1.3":
            return self._modern(hello, suite, group)
        number = VERSIONS[version]
        compression = 1 if self.compression and 1 in hello.compressions else 0
        body = hello_body(number, SUITES[suite], self._extensions(hello, suite), os.urandom(32), compression)
        if self.rest is not None:
            return record(message(2, body), version=number) + self.rest
        chain = vector(b"".join(vector(certificate, 3) for certificate in self.chain), 3)
        flight = message(2, body) + message(11, chain) + self._exchange(suite, group) + message(14, b"")
        return record(flight, version=number)

    def _extensions(self, hello: ClientHello, suite: str) -> bytes:
        found = b""
        if self.secure_renegotiation and (RENEGOTIATION_INFO in hello.extensions or _RENEGOTIATION_SCSV in hello.suites):
            found += extension(RENEGOTIATION_INFO, b"\x00")
        if self.extended_master_secret and EXTENDED_MASTER_SECRET in hello.extensions:
            found += extension(EXTENDED_MASTER_SECRET)
        block = not any(word in suite for word in ("GCM", "CCM", "POLY1305", "RC4", "NULL"))
        if self.encrypt_then_mac and block and ENCRYPT_THEN_MAC in hello.extensions:
            found += extension(ENCRYPT_THEN_MAC)
        return found

    def _exchange(self, suite: str, group: str | None) -> bytes:
        if "ECDH" in suite and group:
            point = vector(b"\x04" * _SHARES[group], 1)
            return message(12, b"\x03" + struct.pack("!H", _NUMBERS[group]) + point + b"\x04\x01" + vector(b"s" * 256, 2))
        if suite.startswith(("DHE", "ADH")):
            prime = (1 << (self.dh_bits - 1) | 1).to_bytes(self.dh_bits // 8, "big")
            numbers = vector(prime, 2) + vector(b"\x02", 2) + vector(prime, 2)
            return message(12, numbers + b"\x04\x01" + vector(b"s" * 256, 2))
        return b""

    def _modern(self, hello: ClientHello, suite: str, group: str) -> bytes:
        version = extension(SUPPORTED_VERSIONS, struct.pack("!H", VERSIONS["TLSv1.3"]))
        if group not in hello.shares:
            share = extension(KEY_SHARE, struct.pack("!H", _NUMBERS[group]))
            body = hello_body(0x0303, SUITES[suite], version + share, _RETRY)
        else:
            share = extension(KEY_SHARE, struct.pack("!H", _NUMBERS[group]) + vector(b"\x04" * _SHARES[group], 2))
            body = hello_body(0x0303, SUITES[suite], version + share, os.urandom(32))
        # RFC 8446 section 4.1.3: the session id comes back as it was.
        return record(message(2, body[:34] + vector(hello.session, 1) + body[35:]))


def _fits(suite: str, version: str) -> bool:
    new = suite.startswith("TLS_")
    if version == "TLSv1.3":
        return new
    if version == "SSLv3" and "ECDH" in suite:
        return False
    return not new and (version == "TLSv1.2" or suite.endswith(("-SHA", "-MD5")))
