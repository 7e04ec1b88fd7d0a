# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listening sockets, and the change from one generation of settings to the next without losing one."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import resource
import socket
import time
from dataclasses import dataclass

from ..emulation import ITSELF, Emulation
from ..queue.store import Store
from ..receiving import Receiving
from ..rules.compiled import Compiled
from ..rules.engine import RuleSet
from ..rules.script import ScriptError
from ..settings import ActivationError, Generation, ListenerSettings
from .access import Access, Gate, Gates, Refused
from .connection import Connection
from .errands import Services
from .guesses import Guesses
from .handshakes import Handshakes
from .passwordcheck import PasswordChecker
from .patience import Terms
from .state import Ends, Site
from .tls import ListenerTls
from .watch import Watch

_BACKLOG = 512
#: Connections taken per wake-up, so that a flood of new ones cannot starve those that are there.
_ACCEPTS = 32
#: Octets that a client which is turned away may have sent already.
_UNREAD = 64 * 1024
#: Seconds without accepting when the process is out of file descriptors.
_EXHAUSTED_PAUSE = 1.0
#: A listener is crowded when this part of its connections is taken, or of the descriptors that the process may have.
_CROWDED = 0.8
#: Seconds that sessions get to finish what they do when the server stops.
_CLOSE_TIMEOUT = 10.0


@dataclass(frozen=True)
class _Binding:
    """Everything that new connections of one listener use, replaced as a whole."""

    settings: ListenerSettings
    site: Site
    tls: ListenerTls | None
    access: Access
    terms: Terms


@dataclass
class _Port:
    """An open listening socket and what is bound to it at the moment."""

    socket: socket.socket
    binding: _Binding

    @property
    def address(self) -> str:
        """``host:port`` as the kernel has it."""
        host, port = self.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class SmtpService:
    """The SMTP side of the server: :meth:`activate` a generation, serve it, :meth:`close`.

    ``directory`` and ``store`` stay the property of the caller. ``emulation`` says what names in the script mean,
    ``certificates`` are PEM files for all listeners with TLS, chosen by the name that a client asks for. All methods run
    on one event loop.
    """

    def __init__(
        self,
        directory,
        store: Store,
        log,
        host_name: str,
        emulation: Emulation = ITSELF,
        receiving: Receiving = Receiving(),
        certificates: tuple[str, ...] = (),
    ) -> None:
        self._directory = directory
        self._store = store
        self._log = log
        self._host_name = host_name
        self._compiled = Compiled(emulation)
        self._ports: dict[str, _Port] = {}
        self._gates = Gates()
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task] = set()
        self._receiving = receiving
        self._guesses = Guesses(receiving, time.monotonic, log.event)
        self._certificates = certificates
        loop = asyncio.get_running_loop()
        self._watch, self._handshakes = Watch(loop), Handshakes(loop)
        self._services = Services(store, PasswordChecker(directory), log, self._watch, self._handshakes, receiving)
        self._most_files = _most_files()
        # One method object for all connections.
        self._left = self._gone
        self._rules: RuleSet | None = None
        self._closed = False

    @property
    def listening(self) -> list[str]:
        """The addresses that accept connections now, as the kernel has them."""
        return sorted(port.address for port in self._ports.values())

    @property
    def addresses(self) -> frozenset[tuple[str, int]]:
        """The same as (IP address, port): what mail must not be sent to, because it would come back."""
        return frozenset(port.socket.getsockname()[:2] for port in self._ports.values())

    @property
    def sessions(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    @property
    def rules(self) -> RuleSet | None:
        """The policy script of the running generation, None before the first one."""
        return self._rules

    @property
    def tls(self) -> list[ListenerTls]:
        """TLS of the listeners that have it: what their files may change."""
        return [port.binding.tls for port in self._ports.values() if port.binding.tls is not None]

    def check_script(self, script: bytes) -> None:
        """Raise ``ValueError`` with a line number when a policy script cannot run. Call it in a thread: scripts are big."""
        self._compiled.check(script)

    async def activate(self, generation: Generation) -> None:
        """Make a generation the running one: all of it, or none and :class:`ActivationError`.

        The script is compiled (in a thread, unless it was checked), certificates are loaded and new sockets are opened
        first; then everything changes in one step of the event loop. Sessions under way go on with the settings with
        which they began; the script is the new one as soon as no transaction is under way.
        """
        try:
            rules = await self._compiled.ready(generation.script)
        except ScriptError as error:
            raise ActivationError(f"policy script: {error}") from None
        bindings = self._prepare(generation, rules)
        opened = self._open(bindings)
        self._rules = rules
        self._compiled.runs(generation.script, rules)
        for address in self._ports.keys() - bindings.keys():
            self._shut(self._ports.pop(address))
        for address, binding in bindings.items():
            if address in self._ports:
                self._ports[address].binding = binding
            else:
                port = self._ports[address] = _Port(opened[address], binding)
                asyncio.get_running_loop().add_reader(port.socket.fileno(), self._accept, port)
        self._gates.forget_all_but(binding.access for binding in bindings.values())
        self._log.event("smtp.generation", number=generation.number, listening=self.listening)

    async def close(self) -> None:
        """Stop accepting, let sessions finish what they are storing, say 421 to the others."""
        self._closed = True
        for port in self._ports.values():
            self._shut(port)
        self._ports.clear()
        for connection in tuple(self._connections):
            connection.shut_down()
        end = time.monotonic() + _CLOSE_TIMEOUT
        while any(connection.busy for connection in self._connections) and time.monotonic() < end:
            await asyncio.sleep(0.05)
            for connection in tuple(self._connections):
                connection.shut_down()
        # One turn of the loop, so that the last replies leave before the sockets go.
        await asyncio.sleep(0)
        for connection in tuple(self._connections):
            connection.abort()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=_CLOSE_TIMEOUT)
        self._watch.close()
        self._handshakes.close()
        self._services.passwords.close()

    # --- preparing a generation -------------------------------------------------------------------

    def _prepare(self, generation: Generation, rules: RuleSet) -> dict[str, _Binding]:
        bindings: dict[str, _Binding] = {}
        for settings in generation.listeners:
            if not settings.enable:
                continue
            if settings.address in bindings:
                raise ActivationError(f"listener {settings.address} is configured twice")
            tls = None
            if settings.tls.cert_file is not None:
                tls = ListenerTls(settings.tls, settings.address, self._certificates)
            if settings.ssl_enable and tls is None:
                raise ActivationError(f"listener {settings.address}: TLS from the first byte needs a certificate file")
            site = Site(
                server_name=generation.server_name or self._host_name,
                rules=rules,
                accounts=self._directory,
                guesses=self._guesses,
                new_id=self._store.new_id,
                clock=time.time,
                log=self._log.event,
                starttls=tls is not None and not settings.ssl_enable,
                max_errors=generation.max_errors,
                max_auth_errors=generation.max_auth_errors,
                latest=lambda: self._rules,
                has_room=self._store.has_room,
            )
            access, terms = Access(settings, generation.access), self._terms(settings)
            bindings[settings.address] = _Binding(settings, site, tls, access, terms)
        return bindings

    def _open(self, bindings: dict[str, _Binding]) -> dict[str, socket.socket]:
        """Bind the sockets that are not there yet. On failure none is left and the old ones are as before."""
        leaving = {address: port for address, port in self._ports.items() if address not in bindings}
        opened: dict[str, socket.socket] = {}
        displaced: dict[str, _Port] = {}
        try:
            for address, binding in bindings.items():
                if address not in self._ports:
                    opened[address] = self._bind(binding.settings, leaving, displaced)
        except ActivationError:
            for bound in opened.values():
                bound.close()
            for address, port in displaced.items():
                self._restore(address, port)
            raise
        return opened

    def _bind(
        self, settings: ListenerSettings, leaving: dict[str, _Port], displaced: dict[str, _Port]
    ) -> socket.socket:
        try:
            return bind(settings.host, settings.port)
        except OSError as error:
            ours = [address for address, port in leaving.items() if port.binding.settings.port == settings.port]
            if error.errno != errno.EADDRINUSE or not ours:
                raise _cannot_listen(settings, error) from None
        # From 0.0.0.0:25 to 192.0.2.1:25: the kernel has no room for both, so the old one goes a moment earlier.
        for address in ours:
            displaced[address] = leaving.pop(address)
            self._shut(displaced[address])
        try:
            return bind(settings.host, settings.port)
        except OSError as error:
            raise _cannot_listen(settings, error) from None

    def _restore(self, address: str, port: _Port) -> None:
        settings = port.binding.settings
        try:
            port.socket = bind(settings.host, settings.port)
        except OSError as error:
            # Somebody took the address in that moment; nothing can be done but say so.
            del self._ports[address]
            self._log.event("smtp.listener", level="error", address=address, error=str(_cannot_listen(settings, error)))
            return
        asyncio.get_running_loop().add_reader(port.socket.fileno(), self._accept, port)

    def _shut(self, port: _Port) -> None:
        if port.socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(port.socket.fileno())
            port.socket.close()

    # --- accepting --------------------------------------------------------------------------------

    def _accept(self, port: _Port) -> None:
        loop = asyncio.get_running_loop()
        for _turn in range(_ACCEPTS):
            try:
                client, address = port.socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._log.event("smtp.accept", level="error", address=port.address, error=str(error))
                loop.remove_reader(port.socket.fileno())
                loop.call_later(_EXHAUSTED_PAUSE, self._accept_again, port)
                return
            client.setblocking(False)
            peer = address[0].partition("%")[0]
            # RFC 5321 section 3.1: 554 instead of the greeting; 421 when it may be better later.
            admitted = self._gates.admit(port.binding.access, peer, time.monotonic())
            if isinstance(admitted, Refused):
                self._turn_away(port, client, peer, admitted)
            else:
                self._serve(port, client, peer, address[1], admitted)

    def _accept_again(self, port: _Port) -> None:
        if port.socket.fileno() >= 0:
            asyncio.get_running_loop().add_reader(port.socket.fileno(), self._accept, port)

    def _turn_away(self, port: _Port, client: socket.socket, peer: str, refused: Refused) -> None:
        reply = refused.reply
        self._log.event("smtp.refused", peer=peer, address=port.address, code=reply.code, reason=refused.reason)
        try:
            # Implicit TLS: not one octet in clear text (RFC 8314 section 3.3).
            if not port.binding.settings.ssl_enable:
                client.send(reply.wire)
                client.shutdown(socket.SHUT_WR)
                # A socket that is closed with unread input drops what was sent: the client would not learn why.
                client.recv(_UNREAD)
        except OSError:
            pass  # the peer has gone already, or has said nothing yet
        finally:
            client.close()

    def _serve(self, port: _Port, client: socket.socket, peer: str, peer_port: int, gates: tuple[Gate, ...]) -> None:
        binding = port.binding
        local, local_port = client.getsockname()[:2]
        ends = Ends(peer, peer_port, local.partition("%")[0], local_port)

        connection = Connection(
            binding.site,
            ends,
            self._services,
            binding.tls,
            binding.settings.ssl_enable,
            binding.terms,
            self._left,
            gates,
        )
        self._connections.add(connection)
        task = asyncio.get_running_loop().create_task(self._attach(connection, client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _gone(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.discard(connection)
            for gate in connection.gates:
                gate.leave(connection.peer)

    def _terms(self, settings: ListenerSettings) -> Terms:
        """The times of a listener. It is crowded when most of its connections are taken, or most of the process's."""

        def crowded() -> bool:
            most = settings.max_connections
            mine = self._gates.connections(settings.address)
            return bool(most and mine >= most * _CROWDED) or len(self._connections) >= self._most_files * _CROWDED

        return Terms.of(settings.idle_timeout, settings.port, self._receiving, crowded)

    async def _attach(self, connection: Connection, client: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, client)
        except OSError:
            client.close()
            self._gone(connection)


def _most_files() -> float:
    """How many descriptors this process may have."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return math.inf if soft == resource.RLIM_INFINITY else soft


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, because asyncio sets TCP_NODELAY on accepted sockets only then: without it every reply
    # inside TLS waits 40 ms for the peer's delayed acknowledgement.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # [::]:25 and 0.0.0.0:25 are two listeners, and an IPv4 peer never shows up as ::ffff:192.0.2.1.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setblocking(False)
        bound.bind((host, port))
        # At once: two sockets can be bound to one address as long as neither listens.
        bound.listen(_BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _cannot_listen(settings: ListenerSettings, error: OSError) -> ActivationError:
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    return ActivationError(f"cannot listen on {settings.address}: {reason}")
