# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The server as one process: admin side, SMTP side, queue and delivery put together."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import signal
import socket
import sqlite3
import ssl
import threading
import time
import typing as t
from pathlib import Path

from . import __version__, footprint
from .admin import aacl
from .admin.aacl import AccessList
from .admin.authentication import PASSWORD_FILE, Authenticator
from .admin.configuration import Configuration, LoadError, forget_active
from .admin.server import AdminServer, ConnectionLimits
from .admin.session import AdminSession
from .admin.tls import AdminTls
from .bootstrap import QUEUE_FILE, STATUS_FILE, Bootstrap
from .defects import report_to
from .delivery.conversation import Limits, Trust
from .delivery.local import LocalDelivery
from .delivery.postmaster import Postmaster
from .delivery.remote import RemoteDelivery
from .delivery.resolver import Resolver
from .delivery.schedule import Schedule
from .directory import Directory
from .log import Log
from .manager import Manager, summary
from .queue.store import Store, StoreError
from .rules.static_routes import Routes
from .settings import ActivationError, Generation
from .smtp.listener import SmtpService
from .smtp.renewal import Renewal

if t.TYPE_CHECKING:
    from .metrics import Metrics

#: Seconds after which a configuration counts as one that does not crash the server.
_SURVIVED_SECONDS = 60.0

#: Seconds between attempts to activate the saved configuration when it could not be activated at the start.
_RETRY_SECONDS = 30.0

#: Exit status of a server whose queue became unusable: whoever keeps it alive starts it again.
FAILED_STATUS = 4

#: Seconds that an end takes at the most. Whoever waits for it (the supervisor, systemd) has more patience.
_LONGEST_END = 25.0

#: Seconds that the event loop has for an answer to another thread.
_ANSWER_SECONDS = 2.0


class StartError(Exception):
    """The server cannot start; the text names the file or port and the reason."""


class QueueFailed(Exception):
    """The queue became unusable, and only a new process can go on; the text says why."""


class Service:
    """One server. ``start`` raises :class:`StartError`; everything is closed by ``close``.

    ``failed`` says why the queue became unusable, empty while it is not; ``on_failed`` is called when that happens.
    """

    def __init__(
        self,
        settings: Bootstrap,
        log: Log,
        on_failed: t.Callable[[], None] = lambda: None,
        manager: Manager = Manager({}),
    ) -> None:
        self._settings = settings
        self._manager = manager
        self._log = log
        self._on_failed = on_failed
        self.failed = ""
        state_dir = settings.state_dir
        try:
            self._directory = Directory(os.path.join(state_dir, "directory.sqlite3"), settings.mailboxes)
            self._store = Store(os.path.join(state_dir, QUEUE_FILE))
            self._access = AccessList(os.path.join(state_dir, aacl.FILE))
        except (sqlite3.Error, StoreError, aacl.AccessError) as error:
            raise StartError(f"{state_dir}: {error}") from error
        self._smtp = SmtpService(
            self._directory,
            self._store,
            log,
            settings.host_name,
            settings.emulation,
            settings.receiving,
            settings.certificates,
        )
        schedule = Schedule(settings.relay_retry, settings.relay_lifetime, settings.relay_warn_after)
        lmtp = settings.mailboxes.lmtp
        self._delivery = LocalDelivery(
            self._store,
            os.path.join(state_dir, "domains"),
            log,
            lmtp=lmtp,
            postmaster=Postmaster(self._store, self._directory, settings.host_name, schedule) if lmtp else None,
            schedule=schedule,
            host_name=settings.host_name,
        )
        self._relaying = RemoteDelivery(
            self._store,
            Resolver(settings.dns_servers),
            lambda: self._smtp.rules if self._sending else None,
            Trust(settings.relay_ca_file),
            log,
            settings.host_name,
            self._directory,
            lambda: self._smtp.addresses,
            schedule,
            Limits.all(settings.relay_command_timeout),
            lambda: [str(self._configuration.running.tree.values["serverName"]) or settings.host_name],
            routes=Routes(settings.routes),
            bounds=settings.relay_bounds,
        )
        self._configuration = Configuration(
            state_dir, settings.host_name, self._activate, self._smtp.check_script, settings.emulation
        )
        self._authenticator = Authenticator(os.path.join(state_dir, PASSWORD_FILE), self._access)
        connections = settings.admin_interval_connections
        self._admin = AdminServer(
            self._new_session, log, ConnectionLimits(total_in_span=connections, per_peer_in_span=connections)
        )
        self._admin_address = ""
        self._admin_tls: list[AdminTls] = []
        self._renewal = Renewal(lambda: [*self._smtp.tls, *self._admin_tls], log, self._write_status)
        self._problem = ""
        self._number = 0
        self._sending = False
        self._active = asyncio.Event()
        self._started_from = footprint.of(settings)
        self._metrics: Metrics | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> dict[str, t.Any]:
        """Load and activate what was saved, then listen for administrators. Returns :meth:`status`."""
        if self._settings.metrics_address is not None:
            # Before anything happens that is to be counted.
            self._metrics = self._count()
        try:
            notes = self._configuration.load(self._settings.initial_script)
        except LoadError as error:
            raise StartError(str(error)) from None
        for note in notes:
            self._log.event("configuration.note", text=note)
        self._store.on_failed(self._queue_failed)
        self._store.on_trouble(self._queue_troubled)
        self._delivery.pause(self._configuration.running.tree.parts["processing"].stopped)
        self._delivery.start()
        self._relaying.start()
        try:
            await self._configuration.start()
        except ActivationError as error:
            self._problem = str(error)
            self._log.event("configuration.inactive", level="error", reason=self._problem)
            self._tasks.append(asyncio.create_task(self._try_again()))
        try:
            self._admin_address = await self._admin.start(
                self._settings.admin_host, self._settings.admin_port, self._tls()
            )
        except OSError as error:
            address = f"{self._settings.admin_host}:{self._settings.admin_port}"
            raise StartError(f"admin address {address}: {error.strerror or error}") from None
        self._tasks.append(asyncio.create_task(self._survive()))
        self._tasks.append(asyncio.create_task(self._renewal.run()))
        if not self._settings.admin_certificate and not ipaddress.ip_address(self._settings.admin_host).is_loopback:
            self._log.event("admin.cleartext", level="warning", text="passwords cross the network in the clear")
        if self._metrics is not None and self._settings.metrics_address is not None:
            try:
                self._metrics.serve(*self._settings.metrics_address)
            except OSError as error:
                # Mail does not wait for somebody who counts it.
                self._log.event("metrics.unserved", level="error", reason=error.strerror or str(error))
        self._write_status()
        self._log.event("server.started", version=__version__, **self.status())
        return self.status()

    def status(self) -> dict[str, t.Any]:
        """What a person wants to know about a running server. ``problem`` is why it does not listen, or empty."""
        return {
            "pid": os.getpid(),
            "admin": self._admin_address,
            "listening": list(self._smtp.listening),
            "generation": self._number,
            "problem": self._problem,
            "tls_problems": self._renewal.problems,
            "reloads": self._renewal.count,
            "metrics": self._metrics.address if self._metrics is not None else "",
            "started_from": self._started_from,
        }

    def reload(self) -> None:
        """Take up what has changed in certificates and other files of TLS, and in the queue by other hands.

        What came of the files is in :meth:`status`.
        """
        self.queue_changed()
        self._tasks.append(asyncio.get_running_loop().create_task(self._reload()))

    def queue_changed(self) -> None:
        """Look at the queue again: mail was released, or is to be sent now."""
        self._relaying.look_again()
        self._delivery.look_again()

    async def close(self) -> None:
        """End gracefully: sessions, listeners, delivery, storage."""
        for task in self._tasks:
            task.cancel()
        if self._metrics is not None:
            await asyncio.to_thread(self._metrics.close)
        await self._admin.close()
        await self._smtp.close()
        await self._relaying.close()
        await asyncio.to_thread(self._delivery.close)
        await asyncio.to_thread(self._store.close)
        self._directory.close()
        self._authenticator.close()
        if not self.failed:
            # Whoever starts it again goes on with what ran, as after a crash.
            forget_active(self._settings.state_dir)
        Path(self._settings.state_dir, STATUS_FILE).unlink(missing_ok=True)
        self._log.event("server.stopped")

    def abandon(self, reason: str) -> None:
        """End in the middle of :meth:`close`: what is in the queue is durable, and what is under way begins again.

        The process must end at once behind it.
        """
        if not self.failed:
            forget_active(self._settings.state_dir)
        Path(self._settings.state_dir, STATUS_FILE).unlink(missing_ok=True)
        self._log.event("server.abandoned", level="warning", reason=reason)

    # --- the queue in trouble -------------------------------------------------------------------

    def _queue_failed(self, reason: str) -> None:
        # Messages under way are refused with 451 from here on, because the queue takes none; what ends the process
        # says 421 to the sessions (RFC 5321 section 3.8).
        self.failed = reason
        self._log.event("queue.failed", level="error", reason=reason)
        self._on_failed()

    def _queue_troubled(self, reason: str) -> None:
        if reason:
            self._log.event("queue.trouble", level="error", reason=reason)
        else:
            self._log.event("queue.recovered")

    # --- inside ---------------------------------------------------------------------------------

    async def _activate(self, generation: Generation) -> None:
        await self._smtp.activate(generation)
        self._problem = ""
        self._number = generation.number
        self._active.set()
        self._sending = generation.sending
        self._delivery.pause(not generation.processing)
        self._relaying.wake()
        asyncio.get_running_loop().call_soon(self._write_status)

    async def _survive(self) -> None:
        await asyncio.sleep(_SURVIVED_SECONDS)
        await self._configuration.survived()

    async def _try_again(self) -> None:
        """A port may become free and a file may come back; an administrator's COMMIT ends the attempts too."""
        while not self._active.is_set():
            try:
                async with asyncio.timeout(_RETRY_SECONDS):
                    await self._active.wait()
            except TimeoutError:
                await self._attempt()

    async def _attempt(self) -> None:
        try:
            await self._configuration.start()
        except ActivationError as error:
            self._problem = str(error)
            self._write_status()

    async def _reload(self) -> None:
        self._manager.reloading()
        # A file that was mended may be all that kept the server from listening.
        if self._problem:
            await self._attempt()
        await self._renewal.reload()
        self._manager.ready(summary(self.status()))

    def _count(self) -> Metrics:
        from .metrics import Facts, Metrics  # here, since most servers run without it

        loop = asyncio.get_running_loop()

        def facts() -> Facts:
            return Facts(**_asked(loop, self._facts))

        counting = Metrics(facts, os.path.join(self._settings.state_dir, QUEUE_FILE), time.time)
        self._log.watch = counting.watch
        return counting

    def _facts(self) -> dict[str, t.Any]:
        return {
            "generation": self._number,
            "listeners": len(self._smtp.listening),
            "sessions": self._smtp.sessions,
            "shut": bool(self._problem),
            "tls_problems": len(self._renewal.problems),
            "expiries": {(tls.address, path): end for tls in self._smtp.tls for path, end in tls.expiries.items()},
        }

    def _write_status(self) -> None:
        self._manager.status(summary(self.status()))
        path = os.path.join(self._settings.state_dir, STATUS_FILE)
        try:
            with open(path + ".new", "w", encoding="utf-8") as file:
                json.dump(self.status(), file)
            os.replace(path + ".new", path)
        except OSError as error:
            self._log.event("status.unwritten", level="warning", path=path, reason=error.strerror)

    def _new_session(self, peer: str) -> AdminSession:
        return AdminSession(
            self._configuration,
            self._directory,
            self._access,
            self._authenticator.check,
            self._log,
            peer,
            os.path.join(self._settings.state_dir, QUEUE_FILE),
            queue_changed=self.queue_changed,
            host_name=self._settings.host_name,
        )

    def _tls(self) -> ssl.SSLContext | None:
        if not self._settings.admin_certificate:
            return None
        try:
            tls = AdminTls(self._settings.admin_certificate)
        except ActivationError as error:
            raise StartError(str(error)) from None
        self._admin_tls.append(tls)
        return tls.context


def _asked(loop: asyncio.AbstractEventLoop, what: t.Callable[[], dict[str, t.Any]]) -> dict[str, t.Any]:
    """What only the event loop may look at, for another thread. Raises ``TimeoutError`` when the loop does not answer."""

    async def answer() -> dict[str, t.Any]:
        return what()

    asking = asyncio.run_coroutine_threadsafe(answer(), loop)
    try:
        return asking.result(_ANSWER_SECONDS)
    finally:
        asking.cancel()


async def serve(
    settings: Bootstrap,
    log: Log,
    ready: t.Callable[[dict[str, t.Any]], None],
    parent: socket.socket | None = None,
    manager: Manager = Manager({}),
) -> None:
    """Run until SIGTERM or SIGINT, or until the other end of ``parent`` is closed.

    The end lets sessions and conversations finish what they have begun, for ``_LONGEST_END`` seconds; a second signal
    has it end at once. SIGHUP has it take up certificates and other files of TLS that have changed, and open its log
    anew: the one that ``parent`` has sent (a descriptor for each octet), else the path of the settings.

    ``ready`` is called once with the status. Raises :class:`StartError`, and :class:`QueueFailed` when everything is
    closed after the queue became unusable.
    """
    os.umask(0o077)
    loop = asyncio.get_running_loop()
    report_to(log, loop)
    stop, hurry = asyncio.Event(), asyncio.Event()

    def failed() -> None:
        # A disk that fails may keep a graceful end from coming to its own.
        last = threading.Timer(_LONGEST_END, os._exit, (FAILED_STATUS,))
        last.daemon = True
        last.start()
        stop.set()

    def end() -> None:
        (hurry if stop.is_set() else stop).set()

    def heard() -> None:
        if not _take_log(log, parent):
            loop.remove_reader(parent.fileno())
            stop.set()

    def reload() -> None:
        if parent is not None:
            heard()
        elif settings.log_file != "-":
            _reopen(log, settings.log_file)
        service.reload()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    service = Service(settings, log, failed, manager)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        state = await service.start()
        ready(state)
        manager.ready(summary(state))
        if parent is not None:
            parent.setblocking(False)
            loop.add_reader(parent.fileno(), heard)
        await stop.wait()
    finally:
        manager.stopping()
        await _close(service, hurry)
        manager.close()
    if service.failed:
        raise QueueFailed(service.failed)


async def _close(service: Service, hurry: asyncio.Event) -> None:
    """End gracefully, unless that takes too long for the one who waits for it."""
    closing, hurrying = asyncio.ensure_future(service.close()), asyncio.ensure_future(hurry.wait())
    await asyncio.wait((closing, hurrying), timeout=_LONGEST_END, return_when=asyncio.FIRST_COMPLETED)
    hurrying.cancel()
    if closing.done():
        closing.result()
        return
    service.abandon("a second signal" if hurry.is_set() else f"it took more than {_LONGEST_END:.0f} seconds")
    # Threads that wait for a disk or a peer would keep an ordinary end from coming.
    os._exit(FAILED_STATUS if service.failed else 0)


def _reopen(log: Log, target: str | int) -> None:
    try:
        log.reopen(target)
    except OSError as error:
        reason = f"{error.strerror or error}; it goes on in the old file"
        log.event("log.kept", level="error", path=target if isinstance(target, str) else "", reason=reason)


def _take_log(log: Log, parent: socket.socket) -> bool:
    """Go on in the newest log that the supervisor has sent, if there is one. False when the supervisor is gone."""
    while True:
        try:
            data, descriptors, _flags, _address = socket.recv_fds(parent, 1, 1)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        for descriptor in descriptors:
            _reopen(log, descriptor)
