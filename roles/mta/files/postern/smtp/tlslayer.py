# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS between a socket and a session, without I/O: bytes of the socket in, clear text out, and the other way round.

asyncio's own TLS transport drops the alert that says why a handshake failed, keeps 256 KiB of buffer per
connection, and lets a client's first command arrive before ``start_tls`` returns. Here STARTTLS is one assignment:
from that moment every byte of the socket is TLS, and nothing read before can get into it (RFC 3207 section 4).
"""

from __future__ import annotations

import ssl

from .state import TlsState

_CHUNK = 64 * 1024


class TlsLayer:
    """The server's side of one TLS connection."""

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
        return b"".join(pieces)

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
        """What was negotiated."""
        return TlsState(self._tls.version() or "", (self._tls.cipher() or ("",))[0])
