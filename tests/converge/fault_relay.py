# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A relay in front of the real admin port that records each exchange, and can do one harm to one of them.

The admin protocol is question and answer, so a conversation is a list of steps: the greeting of a connection, a
command, the password, the body of an upload. Steps are numbered over all connections of a run; the same run makes
the same steps, so that a number that was recorded once names the exchange that is harmed the next time.
"""

from __future__ import annotations

import itertools
import re
import socket
import threading
import typing as t
from dataclasses import dataclass, field

#: What can happen to one exchange.
REFUSED = "refused"  # the server says no, and does nothing
CUT = "cut"  # the connection ends before the server has seen the question
LOST = "lost"  # the server does what it was asked for, the connection ends before the answer
TORN = "torn"  # as before, in the middle of the answer
GARBLED = "garbled"  # the server does it, something else comes instead of its answer
FRONTED = "fronted"  # the server does it, bytes that nobody asked for stand in front of the answer
TRAILED = "trailed"  # the same behind the answer
STALLED = "stalled"  # the server does it, nothing comes, the connection stays
#: Two more for the body of an upload: half of it gets through.
HALF_CUT = "half cut"
HALF_STALLED = "half stalled"

_GARBAGE = b"\x00\x07\xfe garbage \xff\r\n"
_FOREIGN = b"*** the operator says: hello ***\r\n"
#: Where an answer of the bundled server ends: its status line, if it has one, and a prompt.
_END = re.compile(rb"(?:\A|\n)(?:\+OK|-ERR)[^\r\n]*\r\n<[^<>\r\n]*> \Z|(?:\A|\n)<(?:login|password)> \Z")
_INVITED = re.compile(rb"\A\+OK[^\r\n]*\r\n\Z")
_PROMPT = re.compile(rb"(<[^<>\r\n]*>) \Z")
_COUNTER = itertools.count()
#: Far more than any step takes: only a defect of this relay reaches it.
_LIMIT = 60.0


@dataclass
class Step:
    """One exchange. ``kind`` is connect, command, password or body; ``prompt`` is what the client saw before it."""

    number: int
    kind: str
    sent: bytes
    prompt: str
    answer: bytes = field(default=b"", repr=False)

    @property
    def line(self) -> str:
        """The command as text; empty for what is none."""
        return self.sent.decode("utf-8", "surrogateescape").strip() if self.kind == "command" else ""


class FaultRelay:
    """Listens on ``port`` and relays to ``target``; a context manager, at whose end all that it started is over.

    ``harm`` happens to step ``number``. With ``lasting`` things stay so: a server that refused refuses everything from
    then on, and behind any other harm there is no server any more. ``watch`` is called when the server has answered.
    """

    def __init__(
        self,
        target: int,
        number: int = -1,
        harm: str = "",
        lasting: bool = False,
        watch: t.Optional[t.Callable[[], object]] = None,
    ) -> None:
        self.steps: list[Step] = []
        self.struck: t.Optional[Step] = None
        self._target, self._number, self._harm, self._lasting = target, number, harm, lasting
        self.watch = watch
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._clients: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)

    def __enter__(self) -> FaultRelay:
        return self

    def __exit__(self, *_error: object) -> None:
        self._hang_up(self._listener)
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            self._hang_up(client)
        for thread in self._threads:
            thread.join()

    @property
    def later(self) -> list[Step]:
        """What the client still asked for after the harm, less its farewell."""
        if self.struck is None:
            return []
        return [step for step in self.steps[self.struck.number + 1:] if step.line != "QUIT"]

    def _start(self, work: t.Callable[..., None], *arguments: t.Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    @staticmethod
    def _hang_up(connection: socket.socket) -> None:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        connection.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _peer = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._clients.append(client)
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        try:
            # From an address of its own: a server lets one client have so many connections at a time, and sees the
            # end of one a little later than the client begins the next.
            source = ("127.0.%d.%d" % divmod(2 + next(_COUNTER) % 60000, 256), 0)
            with socket.create_connection(("127.0.0.1", self._target), _LIMIT, source) as server:
                _Conversation(self, client, server).run()
        except OSError:
            pass
        finally:
            self._hang_up(client)

    def begin(self, kind: str, sent: bytes, prompt: str) -> tuple[Step, str]:
        """The next step, and what happens to it."""
        with self._lock:
            step = Step(len(self.steps), kind, sent, prompt)
            self.steps.append(step)
            if self.struck is not None:
                return step, (REFUSED if self._harm == REFUSED else CUT) if self._lasting else ""
            if step.number != self._number:
                return step, ""
            self.struck = step
        if self._lasting and self._harm != REFUSED:
            self._hang_up(self._listener)
        return step, self._harm


class _Conversation:
    """One connection, step by step."""

    def __init__(self, relay: FaultRelay, client: socket.socket, server: socket.socket) -> None:
        self._relay, self._client, self._server = relay, client, server
        self._pending = b""
        self._prompt = ""

    def run(self) -> None:
        kind, sent = "connect", b""
        while True:
            step, harm = self._relay.begin(kind, sent, self._prompt)
            if not self._exchange(step, harm):
                return
            found = _PROMPT.search(step.answer)
            self._prompt = found.group(1).decode() if found else ""
            if found is None:
                kind, ending = "body", b"\r\n.\r\n"
            else:
                kind, ending = "password" if self._prompt == "<password>" else "command", b"\n"
            sent = self._ask(ending)
            if not sent:
                return

    def _ask(self, ending: bytes) -> bytes:
        """What the client sends up to ``ending``; nothing when it has gone."""
        while ending not in self._pending:
            block = self._client.recv(65536)
            if not block:
                return b""
            self._pending += block
        sent, _ending, self._pending = self._pending.partition(ending)
        return sent + ending

    def _exchange(self, step: Step, harm: str) -> bool:
        """Question and answer, harmed or not; whether the conversation goes on."""
        if harm == CUT:
            return False
        if harm in (HALF_CUT, HALF_STALLED):
            self._server.sendall(step.sent[: len(step.sent) // 2])
            return self._silence() if harm == HALF_STALLED else False
        if harm == REFUSED and step.kind == "connect":
            self._client.sendall(b"-ERR: too many connections\r\n")
            return False
        self._server.sendall(_refusable(step) if harm == REFUSED else step.sent)
        step.answer, ended = self._answer(step)
        if self._relay.watch is not None:
            self._relay.watch()
        if harm == LOST:
            return False
        if harm == STALLED:
            return self._silence()
        if harm == TORN:
            self._client.sendall(step.answer[: len(step.answer) // 2])
            return False
        self._client.sendall(_harmed(step.answer, harm))
        return not ended

    def _answer(self, step: Step) -> tuple[bytes, bool]:
        """The whole answer, and whether the server has ended the connection behind it."""
        invites = step.line.upper().startswith("UPDATE SMTPFILTERS")
        answer = b""
        while not _END.search(answer) and not (invites and _INVITED.match(answer)):
            block = self._server.recv(65536)
            if not block:
                return answer, True
            answer += block
        return answer, False

    def _silence(self) -> bool:
        """Wait until the client gives up."""
        while self._client.recv(65536):
            pass
        return False


def _refusable(step: Step) -> bytes:
    """Something in place of the question that the real server refuses, in its own words and with its own prompt."""
    if step.kind == "password":
        return b"not-the-password\r\n"
    if step.kind == "body":
        return b"event onConnect {\r\n.\r\n"
    return b"NOT-PERMITTED\r\n"


def _harmed(answer: bytes, harm: str) -> bytes:
    if harm == FRONTED:
        return _FOREIGN + answer
    if harm == TRAILED:
        return answer + _FOREIGN
    if harm == GARBLED:
        prompt = _PROMPT.search(answer)
        return _GARBAGE + (prompt.group() if prompt else b"")
    return answer
