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
from .state import Action, CheckPassword, Ends, Output, Site, StartTls, StoreMessage, TlsState

#: Seconds for a TLS handshake; far below the time for a command, because a handshake needs no human.
HANDSHAKE_TIMEOUT = 30.0
#: Octets that may wait unparsed (while a message is being stored) before reading stops.
_MAX_WAITING = 256 * 1024
#: Seconds of silence within a message text. RFC 5321 section 4.5.3.2.5 asks for three minutes.
_DATA_TIMEOUT = 180.0
#: A text that comes slower than this (octets per second, over this many seconds) is cut: slow feeding.
_FLOOR_SPEED = 500
_FLOOR_TIME = 300.0
#: Seconds that a connection may last without a message or a login.
_IDLE_TOTAL = 600.0
#: Seconds for the peer to take the last reply (and answer the end of TLS) before the socket is closed under it.
LINGER = 2.0


@dataclass(frozen=True)
class Services:
    """What all connections share."""

    store: Store
    passwords: PasswordChecker
    log: Any


class Connection(asyncio.Protocol):
    """The asyncio side of one session. ``gone`` is called once, when the connection has ended."""

    def __init__(
        self,
        site: Site,
        ends: Ends,
        services: Services,
        context: ssl.SSLContext | None,
        idle_timeout: float,
        gone: Callable[["Connection"], None],
    ) -> None:
        self._site = site
        self._ends = ends
        self._services = services
        self._context = context
        self._idle_timeout = idle_timeout
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._task: asyncio.Task | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._started = self._last = self._loop.time()
        self._data_since: float | None = None
        self._data_octets = 0
        self._securing = False
        self._handshaking = False
        self._early = bytearray()
        self._choked = False
        self._ending = False
        self._lost = False

    # --- asyncio.Protocol -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        session = Session(self._site, self._ends)
        tls = _tls_state(transport)
        # Implicit TLS: the handshake is done; the session is the one inside, and greets there (RFC 8314 section 3).
        self._session = session.secured(tls) if tls else session
        if tls:
            self._log_handshake(tls)
        self._apply(self._session.open())
        self._arm()

    def data_received(self, data: bytes) -> None:
        self._last = self._loop.time()
        if self._ending:
            return
        if self._handshaking:
            # Decrypted already: TLS 1.3 lets the client's first command come with the end of the handshake.
            self._early += data
            return
        if self._securing:
            # Clear text behind STARTTLS (RFC 3207 section 4.2): never into the session inside TLS.
            self._transport.abort()
            return
        self._data_octets += len(data)
        self._apply(self._session.receive(data))
        if self._session.waiting_bytes > _MAX_WAITING:
            self._transport.pause_reading()

    def eof_received(self) -> bool | None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        if self._timer:
            self._timer.cancel()
        if self._session is not None:
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
        return self._session is not None and self._session.busy

    def shut_down(self) -> None:
        """Say 421 and close, unless an answer is still owed."""
        if self._session is None or self._securing:
            self.abort()
        elif not self._session.busy and not self._ending:
            self._apply(self._session.shut_down())

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- doing what the session says --------------------------------------------------------------

    def _apply(self, output: Output) -> None:
        if output.data:
            self._transport.write(output.data)
        if output.close:
            self._end()
        elif output.action is not None and self._task is None:
            if isinstance(output.action, StartTls):
                self._securing = True
                self._transport.pause_reading()
            self._task = self._loop.create_task(self._run(output.action))
        self._note_data()

    def _note_data(self) -> None:
        if not self._session.in_data:
            self._data_since = None
        elif self._data_since is None:
            self._data_since, self._data_octets = self._loop.time(), 0

    async def _run(self, action: Action) -> None:
        try:
            if isinstance(action, StartTls):
                await self._start_tls()
                return
            output = await (self._check(action) if isinstance(action, CheckPassword) else self._store(action))
            self._task = None
            self._last = self._loop.time()
            if not self._lost:
                self._apply(output)
                self._resume_reading()
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

    async def _start_tls(self) -> None:
        self._handshaking = True
        try:
            transport = await self._loop.start_tls(
                self._transport,
                self,
                self._context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                ssl_shutdown_timeout=LINGER,
            )
            tls = _tls_state(transport) if transport is not None else None
            if tls is None:
                raise ConnectionResetError("closed during the handshake")
        except (OSError, TimeoutError) as error:
            # ssl.SSLError is an OSError. There is no way back to clear text on this connection (RFC 3207 section 4.1).
            log_failed_handshake(self._services.log, self._ends, error)
            self._session.tally.reason = "TLS handshake failed"
            self._transport.abort()
            self.connection_lost(None)
            return
        self._transport = transport
        self._session = self._session.secured(tls)
        self._securing = self._handshaking = False
        self._task = None
        self._last = self._loop.time()
        self._log_handshake(tls)
        if self._early:
            early, self._early = bytes(self._early), bytearray()
            self.data_received(early)

    def _resume_reading(self) -> None:
        transport = self._transport
        if self._choked or self._securing or transport.is_closing() or transport.is_reading():
            return
        if self._ending or self._session.waiting_bytes <= _MAX_WAITING:
            transport.resume_reading()

    # --- ending -----------------------------------------------------------------------------------

    def _end(self) -> None:
        """Close so that the last reply arrives: closing a socket with unread input would make the peer drop it."""
        if self._ending:
            return
        self._ending = True
        transport = self._transport
        if transport.can_write_eof():
            transport.write_eof()
            self._resume_reading()
            self._loop.call_later(LINGER, transport.abort)
        else:
            transport.close()

    def _arm(self) -> None:
        delay = max(1.0, min(self._limits()) - self._loop.time())
        self._timer = self._loop.call_later(delay, self._look)

    def _limits(self) -> list[float]:
        """Points in time at which this connection is over unless something happens."""
        idle = self._idle_timeout or float("inf")
        if self._data_since is not None:
            return [self._last + min(idle, _DATA_TIMEOUT), max(self._data_since + _FLOOR_TIME, self._loop.time() + 60)]
        limits = [self._last + idle, self._loop.time() + 3600]
        tally = self._session.tally
        if not tally.messages and not tally.user and self._idle_timeout:
            limits.append(self._started + max(_IDLE_TOTAL, idle))
        return limits

    def _look(self) -> None:
        if self._lost or self._ending:
            return
        now = self._loop.time()
        if self._securing or self._session.busy:
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

    def _log_handshake(self, tls: TlsState) -> None:
        self._services.log.event(
            "smtp.tls", peer=self._ends.peer, result="established", version=tls.version, cipher=tls.cipher
        )

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


def log_failed_handshake(log: Any, ends: Ends, error: Exception) -> None:
    """One line for a handshake that failed, with OpenSSL's reason."""
    reason = getattr(error, "reason", None) or str(error) or type(error).__name__
    log.event("smtp.tls", peer=ends.peer, port=ends.local_port, result="failed", reason=reason)


def _tls_state(transport: asyncio.BaseTransport) -> TlsState | None:
    tls = transport.get_extra_info("ssl_object")
    if tls is None or tls.version() is None:
        return None
    return TlsState(tls.version(), (tls.cipher() or ("",))[0])
