# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS between a socket and a session, without I/O: bytes of the socket in, clear text out, and the other way round.

asyncio's own TLS transport drops the alert that says why a handshake failed, keeps 256 KiB of buffer per
connection, and lets a client's first command arrive before ``start_tls`` returns. Here STARTTLS is one assignment:
from that moment every byte of the socket is TLS, and nothing read before can get into it (RFC 3207 section 4).
"""

from __future__ import annotations

import ssl

from . import certificate
from .state import TlsState

#: Octets that go in and out at a time: a record of TLS has no more (RFC 8446 section 5.1), and the buffers between
#: grow to what was in them at most and stay so as long as the connection.
_CHUNK = 16 * 1024


class TlsLayer:
    """The server's side of one TLS connection."""

    __slots__ = ("_incoming", "_outgoing", "_tls", "established", "ended")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.established = False
        self.ended = False

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the socket; returns the clear text that they complete.

        Raises ``ssl.SSLError`` when the peer breaks the protocol or no handshake is possible; the alert for the peer
        is then in :meth:`outgoing`.
        """
        if len(data) <= _CHUNK:
            return self._taken(data)
        return b"".join([self._taken(data[at : at + _CHUNK]) for at in range(0, len(data), _CHUNK)])

    def _taken(self, data: bytes) -> bytes:
        if self.ended:
            # What comes behind close_notify is ignored (RFC 8446 section 6.1), and must not pile up here.
            return b""
        self._incoming.write(data)
        if not self.established:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                return b""
            self.established = True
        pieces = []
        while True:
            try:
                piece = self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                piece = b""
            if not piece:
                # The peer's close_notify. Python reports it in either way, depending on what was sent before.
                self.ended = True
                break
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def send(self, data: bytes) -> None:
        """Encrypt clear text for the peer."""
        self._tls.write(data)

    def end(self) -> None:
        """Tell the peer that nothing more comes (RFC 8446 section 6.1)."""
        if not self.established:
            return
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            return  # the peer has not answered yet, and nobody waits for it

    def outgoing(self) -> bytes:
        """Bytes that must go to the socket now."""
        return self._outgoing.read()

    def state(self) -> TlsState:
        """What was negotiated. A certificate that the client has shown is a good one: else there is no handshake."""
        tls = self._tls
        shown = tls.getpeercert(binary_form=True)
        fingerprint = certificate.fingerprint(shown) if shown else ""
        return TlsState(tls.version() or "", (tls.cipher() or ("",))[0], bool(shown), fingerprint)
