# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One TCP connection: carries bytes between a socket and a :class:`Session`, and does what the session asks for."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..queue.store import Store, StoreError
from .passwordcheck import PasswordChecker
from .session import Session
from .state import CheckPassword, Ends, Output, Site, StartTls, StoreMessage, TlsState
from .tlslayer import TlsLayer

#: Seconds for a TLS handshake; far below the time for a command, because a handshake needs no human.
_HANDSHAKE_TIMEOUT = 30.0
#: Octets that may wait unparsed (while a message is being stored) before reading stops.
_MAX_WAITING = 256 * 1024
#: Seconds of silence within a message text. RFC 5321 section 4.5.3.2.5 asks for three minutes.
_DATA_TIMEOUT = 180.0
#: A text that comes slower than this (octets per second, over this many seconds) is cut: slow feeding.
_FLOOR_SPEED = 500
_FLOOR_TIME = 300.0
#: Seconds that a connection may last without a message or a login.
_IDLE_TOTAL = 600.0
#: Limits change with what the session does, so they are looked at this often (seconds) at least.
_LOOK_EVERY = 60.0
#: Seconds for the peer to take the last reply before the socket is closed under it.
_LINGER = 2.0


@dataclass(frozen=True)
class Services:
    """What all connections share."""

    store: Store
    passwords: PasswordChecker
    log: Any


class Connection(asyncio.Protocol):
    """The asyncio side of one session. ``gone`` is called once, when the connection has ended.

    ``implicit``: TLS from the first byte, nothing is said before its handshake (RFC 8314 section 3.3).
    """

    def __init__(
        self,
        site: Site,
        ends: Ends,
        services: Services,
        context: ssl.SSLContext | None,
        implicit: bool,
        idle_timeout: float,
        gone: Callable[["Connection"], None],
    ) -> None:
        self._services = services
        self._ends = ends
        self._context = context
        self._implicit = implicit
        self._idle_timeout = idle_timeout
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._session = Session(site, ends)
        self._layer: TlsLayer | None = None
        self._task: asyncio.Task | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._started = self._started_tls = self._last = self._loop.time()
        self._data_since: float | None = None
        self._data_octets = 0
        self._choked = False
        self._peer_done = False
        self._ending = False
        self._lost = False

    # --- asyncio.Protocol -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        if self._implicit:
            self._begin_tls()
        else:
            self._apply(self._session.open())
        self._arm()

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        if self._layer is not None:
            data = self._through_tls(data)
        else:
            self._last = self._loop.time()
        if data and not self._ending:
            self._data_octets += len(data)
            self._apply(self._session.receive(data))
            if self._session.waiting_bytes > _MAX_WAITING:
                self._transport.pause_reading()
        if self._layer is not None and self._layer.ended:
            self._peer_done = True
            self._end_if_done()

    def eof_received(self) -> bool | None:
        # A client may stop sending and still wait for its last reply: then the socket stays open for that.
        self._peer_done = True
        return self.busy

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        if self._timer:
            self._timer.cancel()
        if self._handshaking and not self._ending:
            self._log_failed_handshake("closed by the peer")
        self._log_end(exc)
        self._gone(self)

    def pause_writing(self) -> None:
        # The peer does not read its replies: no more commands until it does.
        self._choked = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._choked = False
        self._resume_reading()

    # --- for the service --------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a message is being stored or a password checked."""
        return self._task is not None

    def shut_down(self) -> None:
        """Say 421 and close, unless an answer is still owed."""
        if self._transport is None or self._handshaking:
            self.abort()
        elif not self.busy and not self._ending:
            self._apply(self._session.shut_down())

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- TLS --------------------------------------------------------------------------------------

    @property
    def _handshaking(self) -> bool:
        return self._layer is not None and not self._layer.established

    def _begin_tls(self) -> None:
        self._layer = TlsLayer(self._context)
        self._started_tls = self._loop.time()
        if self._timer:
            self._timer.cancel()
            self._arm()

    def _through_tls(self, data: bytes) -> bytes:
        """Clear text from bytes of the socket; a handshake that becomes complete begins the session inside."""
        layer = self._layer
        new = not layer.established
        try:
            text = layer.receive(data)
        except ssl.SSLError as error:
            # There is no way back to clear text on this connection (RFC 3207 section 4.1). The alert goes out first.
            self._transport.write(layer.outgoing())
            self._session.tally.reason = "TLS handshake failed" if new else "TLS failed"
            self._log_failed_handshake(error.reason or str(error))
            self._end()
            return b""
        self._transport.write(layer.outgoing())
        if new and layer.established:
            self._secured(layer.state())
        if layer.established:
            self._last = self._loop.time()
        return text

    def _secured(self, tls: TlsState) -> None:
        log = self._services.log
        log.event("smtp.tls", peer=self._ends.peer, result="established", version=tls.version, cipher=tls.cipher)
        self._session = self._session.secured(tls)
        if self._implicit:
            self._apply(self._session.open())

    # --- doing what the session says --------------------------------------------------------------

    def _apply(self, output: Output) -> None:
        if output.data:
            self._send(output.data)
        if output.close:
            self._end()
        elif isinstance(output.action, StartTls):
            # From here on every byte of the socket is TLS. The session saw to it that none was read before.
            self._begin_tls()
        elif output.action is not None and self._task is None:
            self._task = self._loop.create_task(self._run(output.action))
        self._note_data()

    def _send(self, data: bytes) -> None:
        if self._layer is not None:
            self._layer.send(data)
            data = self._layer.outgoing()
        self._transport.write(data)

    def _note_data(self) -> None:
        if not self._session.in_data:
            self._data_since = None
        elif self._data_since is None:
            self._data_since, self._data_octets = self._loop.time(), 0

    async def _run(self, action: CheckPassword | StoreMessage) -> None:
        try:
            output = await (self._check(action) if isinstance(action, CheckPassword) else self._store(action))
            self._task = None
            self._last = self._loop.time()
            if not self._lost:
                self._apply(output)
                self._resume_reading()
                self._end_if_done()
        except Exception as error:
            # A defect: this session ends without an answer, which tells the peer to try again; the others go on.
            self._services.log.event("smtp.defect", level="error", error=f"{type(error).__name__}: {error}")
            self._transport.abort()

    async def _check(self, action: CheckPassword) -> Output:
        found = await self._services.passwords.check(action.login, action.password)
        return self._session.password_checked(found)

    async def _store(self, action: StoreMessage) -> Output:
        try:
            await self._services.store.add(action.envelope, action.body)
        except StoreError as error:
            self._services.log.event("queue.error", level="error", error=str(error))
            return self._session.not_stored(error.full)
        return self._session.stored()

    def _resume_reading(self) -> None:
        transport = self._transport
        if self._choked or transport.is_closing() or transport.is_reading():
            return
        if self._ending or self._session.waiting_bytes <= _MAX_WAITING:
            transport.resume_reading()

    # --- ending -----------------------------------------------------------------------------------

    def _end_if_done(self) -> None:
        if self._peer_done and not self.busy:
            self._end()

    def _end(self) -> None:
        """Close so that the last reply arrives: closing a socket with unread input would make the peer drop it."""
        if self._ending:
            return
        self._ending = True
        transport = self._transport
        if transport.is_closing():
            return
        if self._layer is not None:
            self._layer.end()
            transport.write(self._layer.outgoing())
        try:
            transport.write_eof()
        except OSError:
            # The peer has closed already and refused the reply: there is nobody left to wait for.
            transport.abort()
            return
        self._resume_reading()
        self._loop.call_later(_LINGER, transport.abort)

    def _arm(self) -> None:
        delay = min(_LOOK_EVERY, max(0.5, min(self._limits()) - self._loop.time()))
        self._timer = self._loop.call_later(delay, self._look)

    def _limits(self) -> list[float]:
        """Points in time at which this connection is over unless something happens."""
        idle = self._idle_timeout or float("inf")
        if self._handshaking:
            return [self._started_tls + _HANDSHAKE_TIMEOUT]
        if self._data_since is not None:
            return [self._last + min(idle, _DATA_TIMEOUT)]
        limits = [self._last + idle]
        tally = self._session.tally
        if not tally.messages and not tally.user and self._idle_timeout:
            limits.append(self._started + max(_IDLE_TOTAL, idle))
        return limits

    def _look(self) -> None:
        if self._lost or self._ending:
            return
        now = self._loop.time()
        if self._handshaking:
            if now >= self._started_tls + _HANDSHAKE_TIMEOUT:
                self._log_failed_handshake("timeout")
                self._session.tally.reason = "TLS handshake failed"
                self._end()
                return
        elif self.busy:
            self._last = now
        elif self._is_over(now):
            self._apply(self._session.timed_out())
            return
        self._arm()

    def _is_over(self, now: float) -> bool:
        if self._data_since is not None:
            idle = self._idle_timeout or float("inf")
            lasted = now - self._data_since
            slow = lasted >= _FLOOR_TIME and self._data_octets < _FLOOR_SPEED * lasted
            return slow or now - self._last >= min(idle, _DATA_TIMEOUT)
        return now >= min(self._limits())

    # --- logging ----------------------------------------------------------------------------------

    def _log_failed_handshake(self, reason: str) -> None:
        log = self._services.log
        log.event("smtp.tls", peer=self._ends.peer, port=self._ends.local_port, result="failed", reason=reason)

    def _log_end(self, exc: Exception | None) -> None:
        tally = self._session.tally
        reason = tally.reason or (f"lost: {exc}" if exc else "closed by the peer")
        self._services.log.event(
            "smtp.session",
            peer=self._ends.peer,
            port=self._ends.local_port,
            helo=self._session.hello,
            tls=str(self._session.tls or ""),
            user=tally.user,
            commands=tally.commands,
            messages=tally.messages,
            refusals=tally.refusals,
            seconds=round(self._loop.time() - self._started, 3),
            reason=reason,
        )
