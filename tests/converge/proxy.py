# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server with a fault: a relay in front of the real admin port that alters single lines or ends the connection."""

from __future__ import annotations

import socket
import threading
import typing as t


class FaultyAdmin:
    """Listens on ``port`` and relays to ``target``.

    ``ask`` sees each command line and returns the line to pass on, or None to end the connection; ``answer``
    sees each block of bytes that the server sends.
    """

    def __init__(
        self,
        target: int,
        ask: t.Callable[[bytes], t.Optional[bytes]] = lambda line: line,
        answer: t.Callable[[bytes], bytes] = lambda block: block,
    ) -> None:
        self._target, self._ask, self._answer = target, ask, answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _peer = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            threading.Thread(target=self._back, args=(server, client), daemon=True).start()
            with client.makefile("rb") as lines:
                for line in lines:
                    passed = self._ask(line)
                    if passed is None:
                        client.shutdown(socket.SHUT_RDWR)
                        break
                    server.sendall(passed)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        try:
            while block := server.recv(65536):
                client.sendall(self._answer(block))
        except OSError:
            return
