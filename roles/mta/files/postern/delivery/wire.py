# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One connection to another mail server, on aiosmtplib's parser of replies: commands, replies, time limits.

aiosmtplib gives the parser (8 KiB a line, 32 KiB a reply) and the check of what goes into a command. What it leaves
open is closed here: several commands may go out together, and their replies are taken in their order (RFC 2920); bytes that
no command asked for end the connection instead of being dropped or taken for the next reply (behind the 220 to STARTTLS
they are an attack, RFC 3207 section 6); each step has its own limit; a message goes out in blocks that the peer must
take. Replies whose lines end with LF alone are understood.

What is used of the protocol and is not public: ``_buffer`` and ``_read_response_from_buffer``. A new version of the
library needs a look at this file. Its tests notice.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable

from aiosmtplib.errors import SMTPException, SMTPResponseException
from aiosmtplib.protocol import COMMAND_INJECTION_REGEX, MAX_RESPONSE_LENGTH, SMTPProtocol
from aiosmtplib.response import SMTPResponse

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
        #: How many replies are to come, the greeting at first, and those that came and were not taken yet.
        self._owed = 1
        self._replies: deque[SMTPResponse | SMTPResponseException] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._stray = False
        self._ended = False
        self._error: Exception | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()
        #: Called when the connection ends, and when something comes that nothing asked for.
        self.on_end: Callable[[], None] | None = None

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
        if not self._listens or not self._owed:
            self._stray = True
            self._tell()
            return
        buffer = self._buffer
        buffer += data
        try:
            while self._owed and b"\n" in buffer and (reply := self._read_response_from_buffer()) is not None:
                self._owed -= 1
                self._replies.append(reply)
            if len(buffer) > MAX_RESPONSE_LENGTH:
                raise SMTPResponseException(-1, "Response too long")
        except SMTPResponseException as error:
            self._owed = 0
            self._replies.append(error)
        if buffer and not self._owed:
            self._stray = True
        if self._replies:
            # A refusal within a message ends it, also where the peer takes no more of it.
            self._writable.set()
            self._wake()

    def eof_received(self) -> bool:
        self._ended = True
        self._tell()
        # Closes the transport.
        return False

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writable.clear()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._error = exc
        super().connection_lost(exc)
        self._ended = True
        self._writable.set()
        self._lost.set()
        self._tell()

    def _tell(self) -> None:
        self._wake()
        if self.on_end is not None:
            self.on_end()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def is_quiet(self) -> bool:
        """Whether the peer has answered everything, has said nothing else, and is there."""
        return self.is_connected and not (self._ended or self._stray or self._owed or self._replies or self._buffer)

    # --- commands ---------------------------------------------------------------------------------

    async def banner(self, limit: float) -> tuple[int, str]:
        """The greeting: code and text. Raises :class:`ConnectionFailed`."""
        return await self.hear("greeting", limit)

    async def command(self, verb: str, *arguments: bytes, limit: float) -> tuple[int, str]:
        """Send ``verb`` and ``arguments``, return code and text of the reply. Raises :class:`ConnectionFailed`.

        Errors name the verb and never the arguments.
        """
        return await self.answer(verb, b" ".join((verb.encode("ascii"), *arguments)), limit)

    async def answer(self, verb: str, line: bytes, limit: float) -> tuple[int, str]:
        """Send a line that is no command (RFC 4954 section 4), else as :meth:`command`."""
        self.say((line,), f"reply to {verb}")
        return await self.hear(f"reply to {verb}", limit)

    def say(self, lines: Iterable[bytes], step: str = "reply to MAIL") -> None:
        """Send commands together (RFC 2920): a reply to each must be heard, in their order. ``step`` is for the error.

        Raises :class:`ConnectionFailed`, also when the peer sent more than it was asked for until now.
        """
        self._refuse_stray()
        lines = tuple(lines)
        if any(COMMAND_INJECTION_REGEX.search(line) for line in lines):
            self.abort()
            raise ConnectionFailed(f"{step}: the command holds a control character", CLOSED)
        if self._ended:
            raise self._closed(step)
        try:
            self.write(b"\r\n".join((*lines, b"")))
        except SMTPException:
            raise self._closed(step) from None
        # What comes is read by the event loop, which has no turn before this line.
        self._owed += len(lines)

    async def hear(self, step: str, limit: float) -> tuple[int, str]:
        """The next reply: code and text, within ``limit`` s. Raises :class:`ConnectionFailed`."""
        try:
            return await self._heard(step, limit)
        except ConnectionFailed:
            # What comes after this would be taken for the reply to something else.
            self.abort()
            raise

    async def _heard(self, step: str, limit: float) -> tuple[int, str]:
        if not self._replies and not self._ended:
            waiter = self._waiter = self._loop.create_future()
            # A timer of its own costs a third of what asyncio.timeout does.
            timer = self._loop.call_later(limit, self._wake)
            try:
                await waiter
            finally:
                timer.cancel()
                self._waiter = None
        if not self._replies:
            if self._stray and not self._ended:
                raise ConnectionFailed("the peer sent what no command asked for", GARBAGE)
            raise self._closed(step) if self._ended else ConnectionFailed(f"no {step} within the time limit", CLOSED)
        reply = self._replies.popleft()
        if isinstance(reply, SMTPResponseException):
            raise self._garbage(step, reply.message)
        if _CODE.fullmatch(str(reply.code).encode()) is None:
            raise self._garbage(step, reply.message)
        return reply.code, reply.message

    async def message(self, pieces: AsyncIterator[bytes], block: float, final: float) -> tuple[int, str]:
        """Send a message behind the 354 and return the reply to the final dot. Raises :class:`ConnectionFailed`.

        ``pieces`` come from :meth:`Content.pieces`, and what that raises ends the connection without the dot. A reply
        that comes before the dot ends the transfer: a refusal is returned, anything else is no answer to a message that
        is not through.
        """
        self._refuse_stray()
        self._owed += 1
        dots = Dots()
        rest = b""
        async for piece in pieces:
            stuffed = rest + dots.feed(piece)
            # The last block waits for the dot: most messages are one.
            whole = (len(stuffed) - 1) // BLOCK * BLOCK if stuffed else 0
            rest = stuffed[whole:]
            for start in range(0, whole, BLOCK):
                await self._send(stuffed[start : start + BLOCK], block)
                if self._replies:
                    return await self._refused(block)
        if self._replies:
            return await self._refused(block)
        return await self._finish(rest, block, final)

    async def whole(self, text: bytes, block: float, final: float) -> tuple[int, str]:
        """As :meth:`message`, for a text of one block."""
        self._refuse_stray()
        self._owed += 1
        return await self._finish(Dots().feed(text), block, final)

    async def _finish(self, rest: bytes, block: float, final: float) -> tuple[int, str]:
        await self._send(rest + b".\r\n", block, last=True)
        try:
            return await self.hear("reply to the final dot", final)
        except ConnectionFailed as error:
            raise ConnectionFailed(str(error), error.status, dot_sent=True) from None

    async def _refused(self, limit: float) -> tuple[int, str]:
        """What the peer answered to a message that is not through; the connection is of no use behind it."""
        code, text = await self.hear("reply to the message", limit)
        self.abort()
        if code >= 400:
            return code, text
        raise ConnectionFailed(f"the peer answered {code} before the message was through", GARBAGE)

    async def _send(self, data: bytes, limit: float, last: bool = False) -> None:
        try:
            self.write(data)
            if last and self._writable.is_set():
                # It is heard next anyway.
                return
            async with asyncio.timeout(limit):
                # A fast peer never makes us wait; it must be heard and others must be served nevertheless.
                await asyncio.sleep(0)
                await self._writable.wait()
        except TimeoutError:
            raise ConnectionFailed(f"the peer took no part of the message for {limit:g} s", CLOSED) from None
        except SMTPException:
            # A refusal may have come just before the end; it is a better answer than the end itself.
            if not self._replies:
                raise self._closed("end of the message") from None

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
