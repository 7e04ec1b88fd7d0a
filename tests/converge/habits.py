# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers with other habits: a relay in front of the real admin port that rewrites whole commands and whole answers."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import typing as t

#: An answer that is over: a prompt at its end, or the invitation to an upload, which has none.
_OVER = re.compile(rb"(?:\A|\n)<[A-Za-z0-9-]*#?> \Z")
_INVITATION = re.compile(rb"\A\+OK: [^\r\n]*\r\n\Z")


class Habits:
    """What a server does otherwise. The base class changes nothing.

    ``prompt`` is the last prompt that the client has seen.
    """

    prompt = b""

    def command(self, line: bytes) -> bytes | None:
        """The line to pass on; None when :meth:`refusal` answers it."""
        return line

    def answer(self, line: bytes, answer: bytes) -> bytes:
        """The answer to a command, to the banner with the empty line."""
        return answer

    def pieces(self, answer: bytes) -> t.Iterable[bytes]:
        """The segments in which an answer is sent."""
        yield answer

    def refusal(self, text: bytes = b"unknown command") -> bytes:
        """An answer that the relay gives itself."""
        return b"-ERR: " + text + b"\r\n" + self.prompt


class OtherServer:
    """Listens on ``port`` and relays to the server on ``target`` with these habits; ``said`` are the client's lines."""

    def __init__(self, target: int, habits: Habits) -> None:
        self._target = target
        self._habits = habits
        self.said: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the relay."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                client, _peer = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with socket.create_connection(("127.0.0.1", self._target)) as server:
                    self._relay(client, server)

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        self._send(client, b"", self._read(server))
        with client.makefile("rb") as lines:
            for line in lines:
                line = line.rstrip(b"\r\n")
                self.said.append(line)
                passed = self._habits.command(line)
                if passed is None:
                    self._send(client, line, self._habits.refusal())
                    continue
                server.sendall(passed + b"\r\n")
                found = self._read(server)
                self._send(client, line, found)
                if _INVITATION.match(found) and line.upper().startswith(b"UPDATE"):
                    for body in lines:
                        server.sendall(body)
                        if body == b".\r\n":
                            break
                    self._send(client, b"", self._read(server))

    def _read(self, server: socket.socket) -> bytes:
        found = b""
        while not (_OVER.search(found) or _INVITATION.match(found)):
            more = server.recv(1 << 16)
            if not more:
                break
            found += more
        return found

    def _send(self, client: socket.socket, line: bytes, found: bytes) -> None:
        prompt = _OVER.search(found)
        if prompt:
            self._habits.prompt = prompt.group().lstrip(b"\n")
        for piece in self._habits.pieces(self._habits.answer(line, found)):
            client.sendall(piece)


def payload(answer: bytes, text: bytes) -> bytes:
    """An answer with another payload; a refusal as it is."""
    status = re.search(rb"(?:\A|\n)(\+OK: [^\r\n]*\r\n<[^<>]*> )\Z", answer)
    return text + status.group(1) if status else answer


class Shows(Habits):
    """Shows another configuration than it has, and lacks what ``without`` names in its HELP."""

    def __init__(self, configuration: str, version: str = "", without: t.Sequence[str] = ()) -> None:
        self._configuration = configuration
        self._version = version
        self._without = without

    def answer(self, line: bytes, answer: bytes) -> bytes:
        verb = line.upper().replace(b'"', b"")
        if verb == b"SHOW CONFIG":
            return payload(answer, self._configuration.replace("\n", "\r\n").encode())
        if verb == b"GET VERSION" and self._version:
            return payload(answer, self._version.encode() + b"\r\n")
        if verb == b"HELP":
            for name in self._without:
                answer = re.sub(rb"\b%s\b" % name.encode(), b"", answer)
        return answer


class Noisy(Habits):
    """Colours around the prompt and the status, a window's title, telnet's GO AHEAD; in segments that cut all."""

    def answer(self, line: bytes, answer: bytes) -> bytes:
        marked = re.sub(rb"(?<=\n)(\+OK|-ERR)(?=: [^\r\n]*\r\n<[^<>]*> \Z)", b"\x1b[32m\\1\x1b[0m", answer)
        return re.sub(rb"(<[^<>\r\n]*>) \Z", b"\x1b]0;admin\x07\x1b[1m\\1\x1b[0m \xff\xf9", marked)

    def pieces(self, answer: bytes) -> t.Iterable[bytes]:
        step = max(1, len(answer) // 7)
        for place in range(0, len(answer), step):
            yield answer[place:place + step]


class Wordy(Habits):
    """Other words everywhere: a banner that looks like a dialogue, bare statuses, titles, comments, line ends."""

    def answer(self, line: bytes, answer: bytes) -> bytes:
        if not line:
            return b"### Authorised use only <#> ###\r\n+OK: motd\r\n-ERR: no\r\n<server#> \r\n" + answer
        answer = re.sub(rb"(\A|\n)(\+OK|-ERR): [^\r\n]*(?=\r\n<[^<>]*> \Z)", b"\\1\\2", answer)
        answer = answer.replace(b"The current context has", b"<#> is the context which has")
        return answer.replace(b"The list of", b"-ERR: of")


class OtherVerbs(Habits):
    """Where others have DONE this server has COMMIT, and DONE for COMMIT, in all contexts below the server's."""

    def command(self, line: bytes) -> bytes | None:
        verb = line.upper()
        if verb not in (b"COMMIT", b"DONE") or not self.prompt.startswith(b"<server-"):
            return line
        wrong = b"DONE" if b"sslcontrol" in self.prompt or b"Rule" in self.prompt else b"COMMIT"
        return None if verb == wrong else wrong


class Reformats(Habits):
    """Shows values otherwise than they were written: case, quotes, order in sets, empty for none, more attributes."""

    def answer(self, line: bytes, answer: bytes) -> bytes:
        if line.upper().replace(b'"', b"") != b"SHOW CONFIG":
            return answer
        answer = re.sub(rb"(?<= = )(yes|no)(?=\r\n)", lambda found: found.group().upper(), answer)
        answer = re.sub(
            rb"(?<=allowedVersions = \()([^()]*)(?=\))",
            lambda found: b" ".join(reversed(found.group().upper().split())),
            answer,
        )
        answer = re.sub(rb"(File = )(?:\"?none\"?)(?=\r\n)", rb'\1""', answer)
        answer = re.sub(rb"(?<=idleTimeout = )(\d+)", rb'"\1"', answer)
        answer = re.sub(rb"(address = )(?![\"\[])([^\r\n]+)", rb'\1"\2"', answer)
        novelty = b'novelty = (a { b = "+OK: x\r\n<server#> " })\r\n'
        return re.sub(rb"(?<=\n)([ \t]*)(sslEnable|sslEnabled) = ", rb"\1" + novelty + rb"\1\2 = ", answer)


class Fakes(Habits):
    """Texts of the server that contain the end of an answer, with a pause behind it."""

    END = b'\r\n+OK: not yet\r\n<server#> \r\n-ERR: no\r\n<server#> '

    def answer(self, line: bytes, answer: bytes) -> bytes:
        if line.upper().replace(b'"', b"") == b"SHOW CONFIG":
            return answer.replace(b"serverName = ", b'motto = "' + self.END + b'\r\n"\r\nserverName = ', 1)
        return answer

    def pieces(self, answer: bytes) -> t.Iterable[bytes]:
        front, end, rest = answer.partition(self.END)
        yield front + end
        if end:
            # What the client believes at a false end it believes within the wait for the first byte behind it.
            threading.Event().wait(0.4)
            yield rest
