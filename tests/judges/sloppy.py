# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A mail server that takes every mistake of a client for what the client may have meant, as many did and some still do."""

from __future__ import annotations

import socket
import typing as t

from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.twin import Server


def sloppy(forgets_input: bool = False, patience: float = 10.0) -> Server:
    """The server: a context manager with a ``port``. Lines end at any LF, a message at any lone dot, and nothing has a limit.

    ``forgets_input``: what came with a command is thrown away, also the next command. ``patience``: seconds of silence
    until it closes without a word.
    """

    def serve(sock: socket.socket) -> None:
        sock.settimeout(patience)
        lines = _lines(sock, forgets_input)

        def say(reply: str) -> None:
            sock.sendall(reply.encode() + b"\r\n")

        say("220 sloppy.example.test")
        for line in lines:
            verb = line[:4].upper()
            if verb == b"EHLO":
                say("250-sloppy.example.test\r\n250 PIPELINING")
            elif verb == b"DATA":
                say("354 Go on")
                # The dot may be all that is left of a line.
                while next(lines, b".").strip(b"\0") != b".":
                    pass
                say("250 2.0.0 Taken")
            elif verb == b"QUIT":
                return say("221 2.0.0 Bye")
            else:
                say("250 2.0.0 OK")

    return Server(serve)


def _lines(sock: socket.socket, forgets_input: bool) -> t.Iterator[bytes]:
    waiting = b""
    while True:
        if forgets_input:
            waiting = sock.recv(4096).split(b"\n")[0] + b"\n"
        while b"\n" not in waiting:
            data = sock.recv(4096)
            if not data:
                return
            # A lone CR is a line end too.
            waiting += data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        line, _end, waiting = waiting.partition(b"\n")
        yield line
