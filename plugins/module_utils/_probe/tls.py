# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Offer a server one TLS version and some suites, and see what it says, whatever the local TLS library can do.

The ClientHello is made by hand and the answer is read up to ServerHelloDone (TLS 1.2 and older) or ServerHello
(TLS 1.3): far enough to know version, suite and the size of the Diffie-Hellman group. Then the probe leaves.
"""

from __future__ import annotations

import ipaddress
import time
import typing as t
from dataclasses import dataclass

from . import records
from .reply import NETWORK, SERVER_ALERT, SERVER_CLOSED, SERVER_REPLY, Unobservable, refusing_side
from .smtp import Conversation
from .suites import key_exchange, suites_of

MODES = ("starttls", "implicit")

#: The ``detail`` of a TLS 1.3 server that would have another group than the one with a key share.
RETRY = "asked for another group"


@dataclass(frozen=True)
class Handshake:
    """What came of one offer.

    ``accepted``: the server chose the offered version and one of the suites. ``version``, ``cipher``: what it chose
    (also when that is not what was offered). ``dh_bits``: length of the prime (DHE). ``group``: curve or group (ECDHE,
    TLS 1.3). ``chain``: certificates in DER, leaf first (TLS 1.2 and older). ``side``: who ended it, "" when accepted:
    "server alert" (``detail`` names the alert), "server closed", "server reply" (it said something that is not the
    handshake asked for), "server busy" (a 4xx reply), "network", "local library", "probe budget". ``extensions``:
    numbers of the extensions in the ServerHello; ``compressed``: it chose a compression.
    """

    accepted: bool
    version: t.Optional[str] = None
    cipher: t.Optional[str] = None
    dh_bits: t.Optional[int] = None
    group: t.Optional[str] = None
    side: str = ""
    detail: str = ""
    chain: t.Tuple[bytes, ...] = ()
    extensions: t.FrozenSet[int] = frozenset()
    compressed: bool = False

    @property
    def refused(self) -> bool:
        """Whether the *server* said no to the offer: by an alert, by closing, or by choosing another version."""
        return not self.accepted and (self.side in (SERVER_ALERT, SERVER_CLOSED) or self.version is not None)

    def __str__(self) -> str:
        if self.side == SERVER_REPLY:
            return self.detail
        if not self.accepted:
            return "%s: %s" % (self.side, self.detail)
        size = "DH %d bits" % self.dh_bits if self.dh_bits else (self.group or "")
        return " ".join(part for part in (self.version, self.cipher, size) if part)


def offer(
    host: str,
    port: int,
    version: str,
    mode: str,
    ciphers: t.Optional[t.Sequence[str]] = None,
    server_name: t.Optional[str] = None,
    timeout: float = 10.0,
    client_name: str = "probe.invalid",
    **more: t.Any
) -> Handshake:
    """Offer ``version`` ("SSLv2" … "TLSv1.3") with ``ciphers`` (OpenSSL names; None: all that the version has).

    ``mode`` is "starttls" or "implicit". ``timeout`` is the deadline of each step in seconds. ``more`` goes to
    :func:`hello`. Raises ValueError for an unknown version, mode or suite, and nothing else: what goes wrong on the
    way is in the result.
    """
    if mode not in MODES:
        raise ValueError("unknown TLS mode %r: known are %s" % (mode, ", ".join(MODES)))
    message = hello(version, ciphers, server_name, **more)
    with Conversation(host, port, timeout, server_name) as conversation:
        try:
            if mode == "starttls":
                _prepare(conversation, client_name)
            else:
                conversation.open()
        except Unobservable as error:
            return Handshake(False, side=error.side, detail=error.reason)
        return _exchanged(conversation, message)


def exchange(
    conversation: Conversation,
    version: str,
    ciphers: t.Optional[t.Sequence[str]] = None,
    server_name: t.Optional[str] = None,
    **more: t.Any
) -> Handshake:
    """Have one ClientHello answered on a connection where it is the next thing to send; then the server is left alone.

    Parameters as in :func:`hello`, whose ValueError is the only thing that is raised. The caller closes the connection.
    """
    return _exchanged(conversation, hello(version, ciphers, server_name, **more))


@dataclass(frozen=True)
class Hello:
    """A ClientHello: the one ``version`` that it offers, its suites, its bytes, and what it is in words."""

    version: str
    ciphers: t.Tuple[str, ...]
    data: bytes
    words: str


def hello(
    version: str,
    ciphers: t.Optional[t.Sequence[str]] = None,
    server_name: t.Optional[str] = None,
    groups: t.Optional[t.Sequence[str]] = None,
    key_share: bool = True,
    compression: bool = False,
) -> Hello:
    """A ClientHello; parameters as in :func:`.records.client_hello`, ``ciphers`` None: all that the version has.

    A literal address as ``server_name`` is left out. Raises ValueError for unknown names.
    """
    suites = tuple(ciphers or suites_of(version))
    offered = tuple(groups or records.OFFERED_GROUPS)
    data = records.client_hello(version, suites, _sni(server_name), offered, key_share, compression)
    words = "ClientHello %s, %s" % (version, _several(suites, "suite"))
    return Hello(version, suites, data, words + (", %s" % _several(offered, "group") if groups else ""))


def _exchanged(conversation: Conversation, message: Hello) -> Handshake:
    try:
        if conversation.pending:
            raise Unobservable("bytes in clear behind the reply to STARTTLS", SERVER_REPLY)
        _note(conversation, "C:", message.words)
        conversation.send_bytes(message.data)
        handshake = _read(conversation, message.version)
    except Unobservable as error:
        return Handshake(False, side=error.side, detail=error.reason)
    if handshake.accepted and handshake.cipher is not None and handshake.cipher not in message.ciphers:
        # RFC 5246 section 7.4.1.3: nonsense, which neither accepts nor refuses anything.
        handshake = Handshake(False, side=SERVER_REPLY, detail="chooses %s, which was not offered" % handshake.cipher)
    _note(conversation, "S:" if handshake.side in (SERVER_ALERT, SERVER_REPLY, "") else "--", _said(handshake))
    return handshake


def _note(conversation: Conversation, mark: str, words: str) -> None:
    if conversation.transcript is not None:
        conversation.transcript.add(mark, words)


def _said(handshake: Handshake) -> str:
    if handshake.side == SERVER_ALERT:
        return "alert %s" % handshake.detail
    if handshake.side and handshake.version is None:
        return handshake.detail
    parts = [part for part in (handshake.version, handshake.cipher, handshake.group) if part]
    if handshake.dh_bits:
        parts.append("DH %d bits" % handshake.dh_bits)
    return "%s %s" % ("HelloRetryRequest" if handshake.detail == RETRY else "ServerHello", ", ".join(parts))


def _several(names: t.Sequence[str], noun: str) -> str:
    if len(names) <= 3:
        return " ".join(names)
    return "%d %ss" % (len(names), noun)


def _sni(name: t.Optional[str]) -> t.Optional[str]:
    # RFC 6066 section 3: literal addresses are not allowed in the extension.
    try:
        ipaddress.ip_address(name or "")
    except ValueError:
        return name
    return None


def _prepare(conversation: Conversation, client_name: str) -> None:
    banner = conversation.connect()
    if banner.code != 220:
        raise Unobservable("greeted with %s" % banner, refusing_side(banner))
    conversation.ehlo(client_name)
    reply = conversation.command("STARTTLS")
    if reply.code != 220:
        raise Unobservable("STARTTLS refused: %s" % reply, refusing_side(reply))
    # From here on a QUIT in clear would be noise.
    conversation.abandon()


class _Answer:
    """Collects what the server's messages say."""

    def __init__(self, offered: str) -> None:
        self.offered = offered
        self.hello: t.Optional[records.ServerHello] = None
        self.chain: t.Tuple[bytes, ...] = ()
        self.exchange = records.ServerKeyExchange()

    def take(self, kind: int, body: bytes) -> bool:
        """Take one message; True when enough is known."""
        if self.hello is None:
            if kind != records.SERVER_HELLO:
                raise records.NotTls("handshake message %d instead of the ServerHello" % kind)
            self.hello = records.server_hello(body)
            return self.hello.version != self.offered or self.offered == "TLSv1.3"
        if kind == records.CERTIFICATE:
            self.chain = records.certificates(body)
        elif kind == records.SERVER_KEY_EXCHANGE:
            self.exchange = records.server_key_exchange(body, key_exchange(self.hello.cipher))
        return kind == records.SERVER_HELLO_DONE

    def handshake(self) -> Handshake:
        found = self.hello
        if found is None:
            raise records.NotTls("no ServerHello")
        chosen = {
            "version": found.version,
            "cipher": found.cipher,
            "dh_bits": self.exchange.dh_bits,
            "group": found.group or self.exchange.group,
            "chain": self.chain,
            "extensions": found.extensions,
            "compressed": found.compressed,
        }
        if found.version != self.offered:
            detail = "the server answers with %s" % found.version
            return Handshake(False, side=SERVER_REPLY, detail=detail, **chosen)
        return Handshake(True, detail=RETRY if found.retry else "", **chosen)


def _left(conversation: Conversation, version: str, handshake: Handshake) -> Handshake:
    try:
        conversation.send_bytes(records.closing_alert(version))
    except Unobservable:
        # All that was asked is known; a server that is already gone takes nothing away from it.
        pass
    return handshake


def _read(conversation: Conversation, version: str) -> Handshake:
    reader = records.RecordReader()
    answer = _Answer(version)
    timeout = conversation.timeout
    deadline = time.monotonic() + timeout
    first = True
    try:
        while True:
            data = conversation.receive_bytes(deadline - time.monotonic())
            if data is None:
                return Handshake(False, side=NETWORK, detail="no answer to the ClientHello in %g s" % timeout)
            if not data:
                return Handshake(False, side=SERVER_CLOSED, detail="connection closed in the handshake")
            if first and version == "SSLv2" and records.is_ssl2_server_hello(data):
                return Handshake(True, version="SSLv2")
            first = False
            reader.feed(data)
            for kind, body in reader.messages():
                if answer.take(kind, body):
                    return _left(conversation, version, answer.handshake())
    except records.Alert as alert:
        return Handshake(False, side=SERVER_ALERT, detail=alert.name)
    except records.NotTls as error:
        return Handshake(False, side=SERVER_REPLY, detail=str(error))
