# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The admin port: sockets, TLS, time-outs and connection limits around :mod:`session`."""

from __future__ import annotations

import asyncio
import ssl
import time
import typing as t
from collections import Counter, deque
from dataclasses import dataclass

from ..log import Log
from .protocol import LineBuffer, LineTooLong, answer
from .session import AdminSession, Output


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of the port: connections at a time and in ``span``, of all clients and of one. Times in seconds.

    The defaults are the documented ones of a listener. 0 is no limit for ``idle`` and for what comes in a span.
    """

    idle: float = 300.0
    handshake: float = 10.0
    total: int = 200
    per_peer: int = 20
    span: float = 60.0
    total_in_span: int = 600
    per_peer_in_span: int = 600


class _Arrivals:
    """Who was let in during the last ``span``."""

    def __init__(self, limits: ConnectionLimits, clock: t.Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._recent: deque[tuple[float, str]] = deque()
        self._peers: Counter[str] = Counter()

    def admit(self, peer: str) -> bool:
        """Count a connection, unless it is one too many."""
        now = self._clock()
        while self._recent and self._recent[0][0] <= now - self._limits.span:
            self._peers -= Counter({self._recent.popleft()[1]: 1})
        total, mine = self._limits.total_in_span, self._limits.per_peer_in_span
        if 0 < total <= len(self._recent) or 0 < mine <= self._peers[peer]:
            return False
        if total or mine:
            self._recent.append((now, peer))
            self._peers[peer] += 1
        return True


class AdminServer:
    """Listens on one address; ``new_session`` makes the state of a connection, given the peer's address."""

    def __init__(
        self,
        new_session: t.Callable[[str], AdminSession],
        log: Log,
        limits: ConnectionLimits = ConnectionLimits(),
        clock: t.Callable[[], float] = time.monotonic,
    ) -> None:
        self._new_session = new_session
        self._log = log
        self._limits = limits
        self._server: asyncio.Server | None = None
        self._peers: Counter[str] = Counter()
        self._arrivals = _Arrivals(limits, clock)
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> str:
        """Listen. Returns ``host:port`` as bound (port 0 becomes a real one); raises ``OSError``."""
        handshake = self._limits.handshake if tls else None
        self._server = await asyncio.start_server(
            self._connected, host, port, ssl=tls, ssl_handshake_timeout=handshake
        )
        bound = self._server.sockets[0].getsockname()
        return f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"

    async def close(self) -> None:
        """Stop listening and end all sessions; their uncommitted changes are lost."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = t.cast("asyncio.Task[None]", asyncio.current_task())
        peer = (writer.get_extra_info("peername") or ("unknown",))[0]
        self._tasks.add(task)
        self._peers[peer] += 1
        try:
            if not self._admit(peer):
                writer.write(answer(b"", False, "too many connections; try again later", ""))
                self._log.event("admin.refused", level="warning", peer=peer, reason="too many connections")
            else:
                await self._serve(self._new_session(peer), reader, writer)
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # The peer went, was silent for too long, or the server ends: nothing is pending that must be kept.
        except Exception as error:  # noqa: BLE001 - one session's fault must not end the server
            self._log.event("admin.fault", level="error", peer=peer, error=repr(error))
        finally:
            self._tasks.discard(task)
            self._peers -= Counter({peer: 1})
            await _close(writer)

    def _admit(self, peer: str) -> bool:
        """Whether a connection, which is counted already, may stay."""
        if self._peers.total() > self._limits.total or self._peers[peer] > self._limits.per_peer:
            return False
        return self._arrivals.admit(peer)

    async def _serve(self, session: AdminSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = LineBuffer()
        writer.write(session.greeting())
        while True:
            async with asyncio.timeout(self._limits.idle or None):
                await writer.drain()
                data = await reader.read(1 << 16)
            if not data:
                return
            buffer.feed(data)
            try:
                while (output := await _next_output(session, buffer)) is not None:
                    if output.data:
                        writer.write(output.data)
                    if output.close:
                        return
            except LineTooLong as error:
                writer.write(answer(b"", False, f"{error}; the connection is closed", ""))
                return


async def _next_output(session: AdminSession, buffer: LineBuffer) -> Output | None:
    """What a session says to what has come, None when more must come first."""
    ending = session.body_end
    if ending is None:
        line = buffer.next_line(session.line_limit)
        return None if line is None else await session.handle(line)
    # Scripts have a hundred thousand lines: they are not taken one by one.
    lines, ended = buffer.next_body(ending, session.line_limit)
    output = await session.handle_body(lines, ended)
    return output if ended else None


async def _close(writer: asyncio.StreamWriter) -> None:
    """Send what is written, then close; a peer that does not read is not waited for long."""
    try:
        async with asyncio.timeout(5):
            await writer.drain()
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError, asyncio.CancelledError):
        writer.transport.abort()
