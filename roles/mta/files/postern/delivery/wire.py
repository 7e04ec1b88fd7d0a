# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One connection to another mail server, on aiosmtplib's protocol: a command, its reply, its time limit.

aiosmtplib gives the parser of replies (8 KiB a line, 32 KiB a reply), the pairing of commands and replies, and the
check of what goes into a command. What it leaves open is closed here: bytes that no command asked for end the
connection instead of being dropped or taken for the next reply (behind the 220 to STARTTLS they are an attack, RFC 3207
section 6), each step has its own limit, and a message goes out in blocks that the peer must take. Replies whose lines
end with LF alone are understood.

The protocol's state that is used here (``_buffer``, ``_response_pending``, ``_response_waiter``) is not public:
a new version of the library needs a look at this file. Its tests notice.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import AsyncIterator

from aiosmtplib.errors import SMTPException, SMTPResponseException, SMTPServerDisconnected
from aiosmtplib.protocol import SMTPProtocol

from .content import Dots
from .outcome import clean

#: Octets of a message that are handed over at once; the limit for a block counts for each.
BLOCK = 64 * 1024

#: RFC 3463 section 3.5: no answer from the host, bad connection; section 3.6: protocol error.
UNREACHABLE, CLOSED, GARBAGE = "4.4.1", "4.4.2", "4.5.0"

_CODE = re.compile(rb"[2-5][0-9][0-9]")


class ConnectionFailed(Exception):
    """The connection is of no use any more; ``status`` as in RFC 3463: :data:`CLOSED`, :data:`GARBAGE` and others.

    ``dot_sent``: the message was out, its reply is not known.
    """

    def __init__(self, reason: str, status: str, dot_sent: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.dot_sent = dot_sent


class TlsFailed(Exception):
    """No TLS on this connection, or not the one that was wanted."""


class Wire(SMTPProtocol):
    """Client side of one connection. Only the coroutine that opened it uses it."""

    def __init__(self, speaks_first: bool) -> None:
        super().__init__(asyncio.get_running_loop())
        #: Whether what comes is for us: a peer with implicit TLS says nothing before the handshake.
        self._listens = speaks_first
        self._stray = False
        self._error: Exception | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()

    @classmethod
    async def open(cls, address: str, port: int, implicit: bool, limit: float) -> "Wire":
        """Connect to an IP address within ``limit`` seconds. Raises :class:`ConnectionFailed`."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(limit):
                _transport, wire = await loop.create_connection(lambda: cls(not implicit), address, port)
        except TimeoutError:
            raise ConnectionFailed(f"no connection within {limit:g} s", UNREACHABLE) from None
        except OSError as error:
            # asyncio puts the address where the operating system says why.
            reason = os.strerror(error.errno).lower() if error.errno else clean(str(error))
            raise ConnectionFailed(f"no connection: {reason}", UNREACHABLE) from None
        return wire

    # --- events of the transport ------------------------------------------------------------------

    def connection_made(self, transport) -> None:
        super().connection_made(transport)
        self._raw: asyncio.Transport = transport
        self._socket = transport.get_extra_info("socket")

    def data_received(self, data: bytes) -> None:
        waiting = self._response_pending and self._response_waiter is not None and not self._response_waiter.done()
        if waiting and self._listens:
            super().data_received(data)
            if self._is_answered():
                # A refusal within a message ends it, also where the peer takes no more of it.
                self._writable.set()
        else:
            self._stray = True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writable.clear()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._error = exc
        super().connection_lost(exc)
        self._writable.set()
        self._lost.set()

    # --- commands ---------------------------------------------------------------------------------

    async def banner(self, limit: float) -> tuple[int, str]:
        """The greeting: code and text. Raises :class:`ConnectionFailed`."""
        return await self._reply("greeting", self.read_response(), limit)

    async def command(self, verb: str, *arguments: bytes, limit: float) -> tuple[int, str]:
        """Send ``verb`` and ``arguments``, return code and text of the reply. Raises :class:`ConnectionFailed`.

        Errors name the verb and never the arguments.
        """
        self._refuse_stray()
        words = (verb.encode("ascii"), *arguments)
        return await self._reply(f"reply to {verb}", self.execute_command(*words), limit)

    async def answer(self, verb: str, line: bytes, limit: float) -> tuple[int, str]:
        """Send a line that is no command (RFC 4954 section 4), else as :meth:`command`."""
        self._refuse_stray()
        return await self._reply(f"reply to {verb}", self.execute_command(line), limit)

    async def message(self, pieces: AsyncIterator[bytes], block: float, final: float) -> tuple[int, str]:
        """Send a message behind the 354 and return the reply to the final dot. Raises :class:`ConnectionFailed`.

        ``pieces`` come from :meth:`Content.pieces`, and what that raises ends the connection without the dot. A reply
        that comes before the dot ends the transfer: a refusal is returned, anything else is no answer to a message that
        is not through.
        """
        self._refuse_stray()
        self._response_pending = True
        dots = Dots()
        async for piece in pieces:
            stuffed = dots.feed(piece)
            for start in range(0, len(stuffed), BLOCK):
                await self._send(stuffed[start : start + BLOCK], block)
                if self._is_answered():
                    code, text = await self._reply("reply to the message", self.read_response(), block)
                    self.abort()
                    if code >= 400:
                        return code, text
                    raise ConnectionFailed(f"the peer answered {code} before the message was through", GARBAGE)
        await self._send(b".\r\n", block)
        try:
            return await self._reply("reply to the final dot", self.read_response(), final)
        except ConnectionFailed as error:
            raise ConnectionFailed(str(error), error.status, dot_sent=True) from None

    async def _send(self, data: bytes, limit: float) -> None:
        try:
            self.write(data)
            async with asyncio.timeout(limit):
                # A fast peer never makes us wait; it must be heard and others must be served nevertheless.
                await asyncio.sleep(0)
                await self._writable.wait()
        except TimeoutError:
            raise ConnectionFailed(f"the peer took no part of the message for {limit:g} s", CLOSED) from None
        except SMTPException:
            # A refusal may have come just before the end; it is a better answer than the end itself.
            if not self._is_answered():
                raise self._closed("end of the message") from None

    def _is_answered(self) -> bool:
        waiter = self._response_waiter
        return waiter is not None and waiter.done() and waiter.exception() is None

    async def _reply(self, step: str, waiting, limit: float) -> tuple[int, str]:
        try:
            return await self._understood(step, waiting, limit)
        except ConnectionFailed:
            # What comes after this would be taken for the reply to something else.
            self.abort()
            raise

    async def _understood(self, step: str, waiting, limit: float) -> tuple[int, str]:
        try:
            # Not the library's own limit: it is wait_for, which before Python 3.12 forgets that the task was cancelled
            # when the reply comes at the same moment.
            async with asyncio.timeout(limit):
                response = await waiting
        except TimeoutError:
            raise ConnectionFailed(f"no {step} within the time limit", CLOSED) from None
        except SMTPServerDisconnected:
            raise self._closed(step) from None
        except SMTPResponseException as error:
            raise self._garbage(step, error.message) from None
        except (OSError, RuntimeError, ValueError) as error:
            raise ConnectionFailed(f"{step}: {clean(str(error))}", CLOSED) from None
        if _CODE.fullmatch(str(response.code).encode()) is None:
            raise self._garbage(step, response.message)
        return response.code, response.message

    def _closed(self, step: str) -> ConnectionFailed:
        if isinstance(self._error, ssl.SSLError):
            return ConnectionFailed(f"TLS failed before the {step}: {tls_reason(self._error)}", CLOSED)
        return ConnectionFailed(f"the peer closed the connection before the {step}", CLOSED)

    def _garbage(self, step: str, text: str) -> ConnectionFailed:
        # Whoever answers a login with rubbish may be repeating it.
        shown = "" if step.endswith("AUTH") else f": {clean(text)}"
        return ConnectionFailed(f"the {step} is no SMTP reply{shown}", GARBAGE)

    def _refuse_stray(self) -> None:
        if self._stray or self._buffer:
            raise ConnectionFailed("the peer sent more than it was asked for", GARBAGE)

    # --- TLS --------------------------------------------------------------------------------------

    async def start_tls_now(self, context: ssl.SSLContext, server_name: str | None, limit: float) -> asyncio.Transport:
        """The handshake, right behind the connection or the 220; returns the transport that knows what came of it.

        Raises :class:`TlsFailed`, also for anything that the peer said in clear since it was last asked (RFC 3207
        section 6), and :class:`ConnectionFailed` never.
        """
        if self._stray or self._buffer:
            raise TlsFailed("the peer sent clear text where the TLS handshake belongs")
        if self.transport is None or self.transport.is_closing():
            raise TlsFailed("the peer closed the connection before the TLS handshake")
        # start_tls changes the transport's protocol before it waits: from here on what comes has come through TLS,
        # and with TLS 1.2 it may come in the same segment as the end of the handshake.
        self._listens = True
        try:
            if server_name is not None:
                # The library does the same within the handshake, where its error would be the event loop's.
                server_name.encode("idna")
            transport = await self._loop.start_tls(
                self.transport,
                self,
                context,
                server_hostname=server_name,
                ssl_handshake_timeout=limit,
                ssl_shutdown_timeout=limit,
            )
        except ssl.SSLError as error:
            raise TlsFailed(f"the TLS handshake failed: {tls_reason(error)}") from None
        except ConnectionAbortedError:
            # asyncio's name for its own limit.
            raise TlsFailed(f"no TLS handshake within {limit:g} s") from None
        except (OSError, RuntimeError, ValueError) as error:
            raise TlsFailed(f"the TLS handshake failed: {clean(str(error)) or type(error).__name__}") from None
        if transport is None or self._lost.is_set():
            raise TlsFailed("the peer closed the connection in the TLS handshake")
        self.transport = transport
        self._over_ssl = True
        return transport

    # --- the end ----------------------------------------------------------------------------------

    async def quit(self, limit: float) -> None:
        """Say goodbye and close, all within ``limit`` s (RFC 5321 section 4.1.1.10). Raises nothing of its own."""
        if not self.is_connected:
            return
        try:
            async with asyncio.timeout(limit):
                await self.command("QUIT", limit=limit)
                if self.transport is not None:
                    self.transport.close()
                await self._lost.wait()
        except (TimeoutError, ConnectionFailed):
            return

    async def close(self) -> None:
        """Close the socket at once; it is closed when this returns, a few turns of the loop later."""
        self.abort()
        # connection_lost is no sign of it: asyncio does not call it when the connection ends in a TLS handshake.
        for _turn in range(20):
            if self._socket.fileno() == -1:
                return
            await asyncio.sleep(0)

    def abort(self) -> None:
        """Begin to close the socket, without waiting and whatever state TLS is in."""
        self._raw.abort()


_TLS_REASONS = {
    "WRONG_VERSION_NUMBER": "the peer does not speak TLS, or no version that is allowed here",
    "UNSUPPORTED_PROTOCOL": "the peer speaks no TLS version that is allowed here",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the peer speaks no TLS version that is allowed here",
    "NO_PROTOCOLS_AVAILABLE": "no TLS version is usable on this host",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the peer found no common cipher or version",
    "DH_KEY_TOO_SMALL": "the peer's DH parameters are too small",
    "EE_KEY_TOO_SMALL": "the key in the peer's certificate is too small",
}


def tls_reason(error: ssl.SSLError) -> str:
    """What the TLS library says, in words; the reason for a refused certificate as it is."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {clean(error.verify_message)}"
    name = (error.reason or "").upper().replace(" ", "_")
    return _TLS_REASONS.get(name) or name.lower().replace("_", " ") or clean(str(error))
