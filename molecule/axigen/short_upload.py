# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An admin port that says yes to a policy script and loses its end: a relay before the real one.

``python short_upload.py PORT ADMIN_PORT``. Only the first script loses its last method; whatever comes later, on this
connection or another, passes as it is. It ends by itself when that has happened and nobody is connected any more.
"""

from __future__ import annotations

import socket
import sys
import threading

#: Seconds after which it ends although nothing was uploaded.
PATIENCE = 300


def shortened(body: bytes) -> bytes:
    """The script without its last method and what stands behind it."""
    return body[: body.rindex(b"\nmethod ") + 1]


class Relay:
    """Takes connections on one port of 127.0.0.1 and hands them to another one."""

    def __init__(self, port: int, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", port))
        self._open: set[threading.Thread] = set()
        self._shortened = False

    def serve(self) -> None:
        """Until the fault has happened and the last connection has ended."""
        self._listener.settimeout(1)
        for _second in range(PATIENCE):
            try:
                client, _peer = self._listener.accept()
            except TimeoutError:
                self._open = {thread for thread in self._open if thread.is_alive()}
                if self._shortened and not self._open:
                    return
                continue
            client.settimeout(None)
            thread = threading.Thread(target=self._relay, args=(client,), daemon=True)
            self._open.add(thread)
            thread.start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server, client.makefile("rb") as lines:
            threading.Thread(target=_copy, args=(server, client), daemon=True).start()
            for line in lines:
                server.sendall(line)
                if line.upper().startswith(b"UPDATE SMTPFILTERS"):
                    server.sendall(self._upload(lines))

    def _upload(self, lines) -> bytes:
        body = b""
        for line in lines:
            if line == b".\r\n":
                break
            body += line
        if not self._shortened:
            body, self._shortened = shortened(body), True
        return body + b".\r\n"


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while block := source.recv(65536):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


if __name__ == "__main__":
    Relay(int(sys.argv[1]), int(sys.argv[2])).serve()
