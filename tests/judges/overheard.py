# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands between a client and a server and hears what the server says; what passes is not changed."""

from __future__ import annotations

import socket
import threading
import typing as t

from grid import HOST


class Overheard:
    """Listens at ``port`` and passes everything on to the server's port. A context manager.

    ``heard`` is called with each piece that the server says, before the client gets it, by one thread at a time.
    """

    def __init__(self, server_port: int, heard: t.Callable[[bytes], None]) -> None:
        self._server_port = server_port
        self._heard = heard
        self._one = threading.Lock()
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def __enter__(self) -> Overheard:
        return self

    def __exit__(self, *_exc: object) -> None:
        for sock in (self._listener, *self._open):
            try:
                # close alone does not wake the thread that waits there.
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(10)
        for sock in (self._listener, *self._open):
            sock.close()

    def _start(self, work: t.Callable[..., None], *arguments: t.Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
                self._open.append(client)
                server = socket.create_connection((HOST, self._server_port), timeout=10)
            except ConnectionError:
                # The server is gone, and so is its client.
                client.close()
                continue
            except OSError:
                return
            server.settimeout(None)
            self._open.append(server)
            self._start(self._pass_on, client, server, False)
            self._start(self._pass_on, server, client, True)

    def _pass_on(self, source: socket.socket, target: socket.socket, listen: bool) -> None:
        try:
            while data := source.recv(65536):
                if listen:
                    with self._one:
                        self._heard(data)
                target.sendall(data)
        except OSError:
            pass
        try:
            target.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
