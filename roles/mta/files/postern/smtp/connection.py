# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One TCP connection: carries bytes between a socket and a :class:`Session`, and does what the session asks for."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from ..queue.store import StoreError
from ..receiving import Receiving
from .access import EARLY, Gate
from .errands import Errands, Services, log_unstored
from .patience import Patience, Terms
from .session import Session
from .state import CheckPassword, Discard, Ends, Output, Pause, Site, Spill, StartTls, StoreMessage, TlsState
from .tls import ListenerTls
from .tlslayer import TlsLayer

#: Seconds for a TLS handshake and for waiting for one; far below that for a command, because it needs no human.
_HANDSHAKE_TIMEOUT = 30.0
#: Octets that may wait unparsed (while a message is being stored) before reading stops.
_MAX_WAITING = 256 * 1024
#: Seconds for the peer to take the last reply before the socket is closed under it.
_LINGER = 2.0
#: Seconds between two looks at a connection whose client waits for the server.
_LOOK_EVERY = 10.0
#: People's programs log in here, and some talk early: they are never made to wait for the greeting (RFC 6409).
_SUBMISSION_PORT = 587
_EARLY = "talked before the greeting"


class Connection(asyncio.Protocol):
    """The asyncio side of one session. ``gone`` is called once, when the connection has ended.

    ``implicit``: TLS from the first byte, nothing is said before its handshake (RFC 8314 section 3.3). ``gates`` are
    those that the connection has to leave. There may be ten thousand of these, hence no dictionary in each.
    """

    __slots__ = (
        "_choked",
        "_ending",
        "_ends",
        "_errands",
        "_gone",
        "_greet_at",
        "_held",
        "_implicit",
        "_layer",
        "_loop",
        "_lost",
        "_patience",
        "_peer_done",
        "_queued",
        "_resting",
        "_services",
        "_session",
        "_storing",
        "_started",
        "_started_tls",
        "_task",
        "_tls",
        "_transport",
        "gates",
        "turn",
    )

    def __init__(
        self,
        site: Site,
        ends: Ends,
        services: Services,
        tls: ListenerTls | None,
        implicit: bool,
        terms: Terms,
        gone: Callable[["Connection"], None],
        gates: tuple[Gate, ...] = (),
    ) -> None:
        self._services = services
        self._ends = ends
        self._tls = tls
        self._implicit = implicit
        self._gone = gone
        self.gates = gates
        self.turn = -1
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._session = Session(site, ends)
        self._layer: TlsLayer | None = None
        self._task: asyncio.Task | None = None
        self._errands: Errands | None = None
        self._storing = False
        self._started = self._started_tls = self._loop.time()
        self._patience = Patience(terms, self._started)
        self._greet_at: float | None = None
        # Not one octet of what comes is clear text where TLS is implicit.
        self._queued = implicit
        #: What came before this side was ready for it: how early a transport begins to read differs between event
        #: loops. None: what comes goes on at once.
        self._held: bytes | None = b""
        self._resting = False
        self._choked = False
        self._peer_done = False
        self._ending = False
        self._lost = False

    # --- asyncio.Protocol -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        if self._ending:
            transport.abort()
        else:
            # A turn later: a transport may begin to read behind this call, paused or not.
            self._loop.call_soon(self._begin)
        self._watch()

    def _begin(self) -> None:
        if self._lost or self._ending:
            return
        if self._implicit:
            self._begin_tls()
        else:
            self._prepare_greeting()
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        if self._held is not None:
            self._hold(data)
            return
        if self._layer is not None:
            data = self._through_tls(data)
        if data and not self._ending:
            self._apply(self._session.receive(data))
            if self._patience.heard(self._session, len(data), self._loop.time()):
                self._watch()
            if self._session.waiting_bytes > _MAX_WAITING:
                self._transport.pause_reading()
        if self._layer is not None and self._layer.ended:
            self._peer_done = True
            self._end_if_done()

    def eof_received(self) -> bool | None:
        # A client may stop sending and still wait for its last reply: then the socket stays open for that.
        self._peer_done = True
        if self.busy or self._resting or self._held is not None:
            return True
        # The transport closes behind what it has still to send. A peer that never reads would keep it for ever.
        self._services.watch.at(self, self._loop.time() + _LINGER)
        return False

    def _hold(self, data: bytes) -> None:
        """Keep what came too early; it is one piece or two, because nothing more is read."""
        if self._greet_at is not None and self._receiving.refuses_early:
            self._refuse_early()
            return
        self._held += data
        self._transport.pause_reading()

    def _let_go(self) -> None:
        """Go on with what came too early."""
        held, self._held = self._held, None
        self._resume_reading()
        if held:
            self.data_received(held)
        self._end_if_done()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        self._services.watch.forget(self)
        if self._handshaking and not self._ending:
            self._log_failed_handshake("closed by the peer")
        self._leave_handshakes()
        if self._errands is not None and self._errands.keeps_text and self._task is None:
            # Within a text that was kept in part. An action that is under way sees to it itself.
            self._task = self._loop.create_task(self._errands.forget_text())
        self._log_end(exc)
        self._gone(self)

    def pause_writing(self) -> None:
        # The peer does not read its replies: no more commands until it does.
        self._choked = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._choked = False
        if self._resting:
            self._loop.call_soon(self._rested)
        self._resume_reading()

    # --- for the service --------------------------------------------------------------------------

    @property
    def peer(self) -> str:
        """The client's address."""
        return self._ends.peer

    @property
    def busy(self) -> bool:
        """Whether a message is being stored or a password checked."""
        return self._task is not None or self._storing

    def shut_down(self) -> None:
        """Say 421 and close, unless an answer is still owed."""
        if self._transport is None or self._handshaking:
            self.abort()
        elif not self.busy and not self._ending:
            self._apply(self._session.shut_down())

    def abort(self) -> None:
        """Close at once; when the transport is not there yet, as soon as it is."""
        self._ending = True
        if self._transport is not None:
            self._transport.abort()

    # --- TLS --------------------------------------------------------------------------------------

    @property
    def _handshaking(self) -> bool:
        return self._queued or (self._layer is not None and not self._layer.established)

    def _begin_tls(self) -> None:
        self._started_tls = self._loop.time()
        self._queued = True
        if self._held is None:
            self._held = b""
        self._services.handshakes.begin(self, self._ends.peer)
        if self._queued:
            # Others have theirs first. Meanwhile the peer's ClientHello stays where it is.
            self._transport.pause_reading()
        self._watch()

    def start_handshake(self) -> None:
        """There is a place among the handshakes in progress: from here on every byte of the socket is TLS."""
        self._queued = False
        self._layer = TlsLayer(self._tls.context(self._services.handshakes.is_forgiven(self._ends.peer)))
        self._let_go()

    def _leave_handshakes(self) -> None:
        self._queued = False
        self._services.handshakes.end(self, self._ends.peer)

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
            self._log_failed_handshake(self._why(error))
            self._end()
            return b""
        out = layer.outgoing()
        if out:
            self._transport.write(out)
        if new:
            if layer.established:
                self._secured(layer.state())
            else:
                self._services.handshakes.heard(self)
        return text

    def _acknowledge(self) -> None:
        """Have the kernel acknowledge the end of the handshake at once.

        After STARTTLS it is the client's turn, and TLS 1.3 without tickets has no answer to its Finished: a client
        that sends EHLO in a packet of its own would wait 40 ms for the delayed acknowledgement (RFC 1122 4.2.3.2).
        """
        raw = self._transport.get_extra_info("socket")
        if raw is not None and hasattr(socket, "TCP_QUICKACK"):
            try:
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            except OSError:
                pass  # the peer has gone already

    def _why(self, error: ssl.SSLError) -> str:
        """Why TLS failed. A peer whose certificate is not good has its next handshakes without being asked for one."""
        if not isinstance(error, ssl.SSLCertVerificationError):
            return error.reason or str(error)
        # The library ends the handshake. Mail from such a peer must not end with it: most would send it in clear text.
        self._services.handshakes.forgive(self._ends.peer)
        return f"client certificate: {error.verify_message}; it is not asked for one for a while"

    def _secured(self, tls: TlsState) -> None:
        self._leave_handshakes()
        if not self._implicit:
            self._acknowledge()
        log = self._services.log
        certificate = {"client_certificate": tls.fingerprint} if tls.verified else {}
        log.event(
            "smtp.tls",
            peer=self._ends.peer,
            result="established",
            version=tls.version,
            cipher=tls.cipher,
            **certificate,
        )
        self._session = self._session.secured(tls)
        self._patience.begin(self._loop.time())
        self._watch()
        if self._implicit:
            self._apply(self._session.open())

    # --- doing what the session says --------------------------------------------------------------

    def _apply(self, output: Output) -> None:
        if output.data:
            self._send(output.data)
        if output.close:
            self._end()
        elif isinstance(output.action, StartTls):
            # What comes next on the socket is TLS. The session saw to it that none of it was read before.
            self._begin_tls()
        elif isinstance(output.action, Pause):
            if not self._resting:
                self._resting = True
                self._loop.call_soon(self._rested)
        elif output.action is not None and not self.busy:
            if isinstance(output.action, StoreMessage) and not output.action.spooled:
                self._store_soon(output.action)
                return
            if self._errands is None:
                self._errands = Errands(self._services, self._ends.peer)
            self._task = self._loop.create_task(self._run(output.action))

    def _rested(self) -> None:
        """Others had their turn: go on, but not before the peer has taken the replies that it has so far."""
        if not self._resting or self._choked or self._ending or self._lost:
            return
        self._resting = False
        try:
            self._apply(self._session.go_on())
            self._patience.heard(self._session, 0, self._loop.time())
            self._watch()
            self._resume_reading()
            self._end_if_done()
        except Exception as defect:
            self._broke_off(defect)

    def _send(self, data: bytes) -> None:
        if self._lost:
            return
        if self._layer is not None:
            self._layer.send(data)
            data = self._layer.outgoing()
        self._transport.write(data)

    async def _run(self, action: CheckPassword | Spill | Discard | StoreMessage) -> None:
        try:
            output = await self._errands.run(self._session, action)
            self._task = None
            if self._lost:
                await self._errands.forget_text()
                return
            self._go_on(output)
        except Exception as error:
            self._task = None
            self._broke_off(error)
            if self._lost:
                await self._errands.forget_text()

    def _go_on(self, output: Output) -> None:
        """What the session says behind an action."""
        if self._ending:
            # TLS broke off meanwhile: nothing can be said any more.
            return
        self._apply(output)
        self._patience.answered(self._session, self._loop.time())
        self._watch()
        self._resume_reading()
        self._end_if_done()

    def _broke_off(self, error: Exception) -> None:
        # A defect: this session ends without an answer, which tells the peer to try again; the others go on.
        self._services.log.event("smtp.defect", level="error", error=f"{type(error).__name__}: {error}")
        self._transport.abort()

    def _store_soon(self, action: StoreMessage) -> None:
        """Have a message that is whole stored. Without a task, which would cost as much as the commands before it."""
        self._storing = True
        try:
            self._services.store.add_soon(action.envelope, action.body, self._stored)
        except StoreError as error:
            self._loop.call_soon(self._stored, error)

    def _stored(self, error: StoreError | None) -> None:
        self._storing = False
        try:
            if error is None:
                output = self._session.stored()
            else:
                log_unstored(self._services, error)
                output = self._session.not_stored(error.full)
            if not self._lost:
                self._go_on(output)
        except Exception as defect:
            self._broke_off(defect)

    def _resume_reading(self) -> None:
        transport = self._transport
        if self._choked or self._queued or transport.is_closing() or transport.is_reading():
            return
        if self._ending or self._session.waiting_bytes <= _MAX_WAITING:
            transport.resume_reading()

    # --- ending -----------------------------------------------------------------------------------

    def _end_if_done(self) -> None:
        if self._peer_done and not self.busy and not self._resting:
            self._end()

    def _end(self) -> None:
        """Close so that the last reply arrives: closing a socket with unread input would make the peer drop it."""
        if self._ending:
            return
        self._ending = True
        self._leave_handshakes()
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
        self._services.watch.at(self, self._loop.time() + _LINGER)

    # --- time -------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Be looked at when the time of the client may be up."""
        if self._lost or self._ending or self._transport.is_closing():
            return
        now = self._loop.time()
        if self._handshaking:
            when = self._started_tls + _HANDSHAKE_TIMEOUT
        elif self._greet_at is not None:
            when = self._greet_at
        elif self.busy:
            when = now + _LOOK_EVERY
        else:
            when = self._patience.look_at(self._session, now)
        self._services.watch.at(self, when)

    def look(self, now: float) -> None:
        """Called by the watch: end what has lasted too long."""
        if self._ending or self._transport.is_closing():
            self._transport.abort()
        elif self._lost:
            return
        elif self._handshaking:
            if now >= self._started_tls + _HANDSHAKE_TIMEOUT:
                self._log_failed_handshake("timeout")
                self._session.tally.reason = "TLS handshake failed"
                self._end()
        elif self._greet_at is not None:
            self._greet()
        elif not self.busy:
            reason = self._patience.spent(self._session, now)
            if reason:
                self._session.tally.reason = reason
                self._apply(self._session.timed_out())
        self._watch()

    # --- the greeting -----------------------------------------------------------------------------

    def _prepare_greeting(self) -> None:
        """Greet now or in a while. Who talks before is refused where the bootstrap file says so."""
        receiving = self._receiving
        if receiving.refuses_early and (self._held or self._has_talked()):
            self._refuse_early()
        elif not receiving.greet_delay:
            self._greet()
        else:
            self._greet_at = self._loop.time() + receiving.greet_delay
            if not receiving.refuses_early:
                self._transport.pause_reading()

    @property
    def _receiving(self) -> Receiving:
        """What the bootstrap file says of clients on this port."""
        return Receiving() if self._ends.local_port == _SUBMISSION_PORT else self._services.receiving

    def _has_talked(self) -> bool:
        """Whether there is anything to read already; it stays there."""
        try:
            with self._transport.get_extra_info("socket").dup() as raw:
                return bool(raw.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            # Nothing yet, or no descriptor is left to look with.
            return False

    def _greet(self) -> None:
        self._greet_at = None
        self._apply(self._session.open())
        self._patience.begin(self._loop.time())
        self._let_go()

    def _refuse_early(self) -> None:
        """RFC 5321 section 3.1: a client waits for the greeting; 554 instead of it refuses the connection."""
        self._greet_at = None
        log = self._services.log
        log.event("smtp.refused", peer=self._ends.peer, port=self._ends.local_port, code=EARLY.code, reason=_EARLY)
        self._session.tally.reason = _EARLY
        self._send(EARLY.wire)
        self._end()

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
