# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small SMTP servers on real sockets, each able to do one thing right or wrong: for a refusal, a twin that accepts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import os
import socket
import ssl
import threading
import typing as t
from dataclasses import dataclass

SERVER_NAME = "mail.example.test"
ACCOUNT, PASSWORD = "anna@example.test", "right horse"
LOCAL, FORCED, OTHER = "example.test", "forced.test", "other.test"
EXPLANATION = "Accepting only secure delivery (STARTTLS) for forced.test"


@dataclass
class Behaviour:
    """What a twin does. The defaults are a hardened server; each field makes one thing different."""

    greeting: str = "220 twin.example.test ESMTP"
    context: t.Optional[ssl.SSLContext] = None
    implicit: bool = False
    talks_before_tls: bool = False
    answers_clear_on_implicit: bool = False
    offers_starttls: bool = True
    starttls_inside_tls: bool = False
    hides_starttls_inside_tls: bool = False
    clear_mechanisms: t.Tuple[str, ...] = ()
    accepts_unoffered: bool = False
    tls_mechanisms: t.Tuple[str, ...] = ("PLAIN", "LOGIN")
    hidden_mechanisms: t.Tuple[str, ...] = ()
    any_password: bool = False
    no_password: bool = False
    wants_initial_response: bool = False
    keeps_buffer: bool = False
    obeys_buffer_silently: bool = False
    keeps_state: bool = False
    wants_ehlo: bool = True
    answers_buffer_in_clear: bool = False
    cuts_off_injection: bool = False
    skips_late_plaintext: bool = False
    breaks_off_behind_hello: bool = False
    forces: t.Tuple[str, ...] = (FORCED,)
    forces_inside_tls: bool = False
    explanation: str = EXPLANATION
    relays: bool = False
    hosts: t.Tuple[str, ...] = (LOCAL, FORCED, OTHER)
    overrule: t.Mapping[str, str] = ()
    #: The same inside TLS only.
    overrule_inside: t.Mapping[str, str] = ()
    scram_lies: bool = False
    #: Errors that a session may make; at the next one it gets a 421 and is over.
    patience: int = 1000
    #: Sessions that are let in, and what the others are told; nothing: they are closed without a word.
    admits: int = 1000
    turns_away: str = "421 4.7.0 Too many connections"


class Session:
    """One connection to a twin: blocking, line by line."""

    def __init__(self, sock: socket.socket, behaviour: Behaviour) -> None:
        self.sock = sock
        self.behaviour = behaviour
        self.buffer = b""
        self.inside_tls = False
        self.errors = 0
        self.reset()

    def reset(self) -> None:
        self.greeted = False
        self.sender: t.Optional[str] = None

    def say(self, *lines: str) -> None:
        self.errors += lines[-1][:1] in ("4", "5")
        if self.errors > self.behaviour.patience:
            lines = ("421 4.7.0 Too many errors",)
        self.sock.sendall("".join(line + "\r\n" for line in lines).encode("utf-8"))
        if self.errors > self.behaviour.patience:
            raise EOFError

    def line(self) -> str:
        while b"\n" not in self.buffer:
            data = self.sock.recv(4096)
            if not data:
                raise EOFError
            self.buffer += data
        raw, self.buffer = self.buffer.split(b"\n", 1)
        return raw.rstrip(b"\r").decode("latin-1")

    def serve(self) -> None:
        b = self.behaviour
        if b.implicit:
            if b.talks_before_tls:
                self.say(b.greeting)
            if b.answers_clear_on_implicit and self.sock.recv(1, socket.MSG_PEEK) != b"\x16":
                self.say("250 twin.example.test")
                return
            self.handshake()
        self.say(b.greeting)
        if not b.greeting.startswith("220"):
            return
        while True:
            line = self.line()
            verb = line.split(" ", 1)[0].upper()
            overrule = dict(b.overrule_inside if self.inside_tls and b.overrule_inside else b.overrule).get(verb)
            if overrule is not None:
                self.say(*overrule.split("\n"))
                if overrule.startswith("421"):
                    return
                continue
            if verb == "QUIT":
                self.say("221 2.0.0 Bye")
                return
            getattr(self, "do_" + verb.lower(), self.unknown)(line)

    def unknown(self, line: str) -> None:
        self.say("500 5.5.1 Command not known")

    def handshake(self) -> None:
        if self.behaviour.breaks_off_behind_hello:
            return self.half_a_handshake()
        self.sock = self.behaviour.context.wrap_socket(self.sock, server_side=True)
        self.inside_tls = True

    def half_a_handshake(self) -> None:
        # Says what the library says up to ServerHelloDone, and closes at the client's next message.
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        inside = self.behaviour.context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(self.sock.recv(4096))
        try:
            inside.do_handshake()
        except ssl.SSLWantReadError:
            self.sock.sendall(outgoing.read())
        self.sock.recv(4096)
        raise EOFError

    def mechanisms(self) -> t.Tuple[str, ...]:
        return self.behaviour.tls_mechanisms if self.inside_tls else self.behaviour.clear_mechanisms

    def do_ehlo(self, line: str) -> None:
        b = self.behaviour
        self.greeted, self.sender = True, None
        keywords = ["PIPELINING", "8BITMIME"]
        inside = b.starttls_inside_tls and not b.hides_starttls_inside_tls
        if b.context and b.offers_starttls and (not self.inside_tls or inside):
            keywords.append("STARTTLS")
        if self.mechanisms():
            keywords.append("AUTH " + " ".join(self.mechanisms()))
        lines = ["twin.example.test"] + keywords
        self.say(*["250-" + text for text in lines[:-1]], "250 " + lines[-1])

    def do_noop(self, line: str) -> None:
        self.say("250 2.0.0 OK")

    def do_starttls(self, line: str) -> None:
        b = self.behaviour
        if self.inside_tls and not b.starttls_inside_tls:
            return self.say("503 5.5.1 Already inside TLS")
        if b.context is None or not b.offers_starttls:
            return self.say("502 5.5.1 No TLS here")
        if self.buffer and b.cuts_off_injection:
            self.say("554 5.5.1 Nothing may follow STARTTLS")
            raise EOFError
        if self.buffer and b.answers_buffer_in_clear:
            return self.say("220 2.0.0 Ready", "250 2.1.0 OK")
        obeyed = self.buffer.decode("latin-1") if b.obeys_buffer_silently else ""
        if not b.keeps_buffer:
            self.buffer = b""
        self.say("220 2.0.0 Ready")
        if b.skips_late_plaintext and self.sock.recv(1, socket.MSG_PEEK) != b"\x16":
            # Byte by byte: the ClientHello may already stand behind the line.
            while self.sock.recv(1) != b"\n":
                pass
        self.handshake()
        if not b.keeps_state:
            self.reset()
        if obeyed:
            self.sender = obeyed

    def do_mail(self, line: str) -> None:
        if self.behaviour.wants_ehlo and not self.greeted:
            return self.say("503 5.5.1 EHLO first")
        self.sender = line[10:]
        self.say("250 2.1.0 OK")

    def do_rcpt(self, line: str) -> None:
        b = self.behaviour
        if self.sender is None:
            return self.say("503 5.5.1 MAIL first")
        domain = line.rsplit("@", 1)[1].rstrip(">")
        if domain in b.forces and (not self.inside_tls or b.forces_inside_tls):
            return self.say("550 5.7.1 " + b.explanation)
        if domain in b.hosts or b.relays:
            return self.say("250 2.1.5 OK")
        self.say("550 5.7.1 No relaying")

    # ---- AUTH

    def do_auth(self, line: str) -> None:
        b = self.behaviour
        words = line.split(" ")
        name = words[1].upper()
        open_here = name in self.mechanisms() or name in b.hidden_mechanisms or b.accepts_unoffered
        if not open_here:
            return self.say("504 5.5.4 No such mechanism" if self.inside_tls else "538 5.7.11 Encryption required")
        first = words[2] if len(words) > 2 else None
        if first is None and b.wants_initial_response:
            return self.say("501 5.5.4 Send it in one line")
        try:
            good = getattr(self, "auth_" + name.lower().replace("-", "_"), self.auth_any)(first)
        except ValueError:
            return self.say("501 5.7.0 Authentication ended")
        good = (good or b.any_password) and not b.no_password
        self.say("235 2.7.0 Welcome" if good else "535 5.7.8 Wrong user name or password")

    def ask(self, challenge: bytes) -> bytes:
        self.say("334 " + base64.b64encode(challenge).decode())
        line = self.line()
        if line == "*":
            raise ValueError("cancelled")
        return base64.b64decode(line)

    def auth_any(self, first: t.Optional[str]) -> bool:
        # A mechanism of no interest: asked, and never satisfied.
        self.ask(b"")
        return False

    def auth_plain(self, first: t.Optional[str]) -> bool:
        data = base64.b64decode(first) if first else self.ask(b"")
        return data == b"\0%s\0%s" % (ACCOUNT.encode(), PASSWORD.encode())

    def auth_login(self, first: t.Optional[str]) -> bool:
        user = base64.b64decode(first) if first else self.ask(b"Username:")
        return self.ask(b"Password:") == PASSWORD.encode() and user == ACCOUNT.encode()

    def auth_scram_sha_256(self, first: t.Optional[str]) -> bool:
        bare = (base64.b64decode(first) if first else self.ask(b"")).decode()[3:]
        nonce = bare.split(",r=")[1] + "twin"
        salt = os.urandom(12)
        challenge = "r=%s,s=%s,i=4096" % (nonce, base64.b64encode(salt).decode())
        final = self.ask(challenge.encode()).decode()
        without, proof = final.split(",p=")
        salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt, 4096)

        def digest(key: bytes, text: bytes) -> bytes:
            return hmac.new(key, text, "sha256").digest()

        stored = hashlib.sha256(digest(salted, b"Client Key")).digest()
        message = ",".join((bare, challenge, without)).encode()
        key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), digest(stored, message)))
        if hashlib.sha256(key).digest() != stored:
            return False
        signature = digest(digest(salted, b"Server Key"), message)
        if self.behaviour.scram_lies:
            signature = os.urandom(32)
        self.ask(b"v=" + base64.b64encode(signature))
        return True


class Server:
    """Listens on a free port of the loopback and serves each connection in a thread. A context manager."""

    def __init__(self, serve: t.Callable[[socket.socket], None], host: str = "127.0.0.1") -> None:
        self._serve = serve
        self._listener = socket.create_server((host, 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self._open: t.Set[socket.socket] = set()
        self._threads: t.List[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                sock = self._listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._one, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _one(self, sock: socket.socket) -> None:
        sock.settimeout(10)
        try:
            self._serve(sock)
        except (OSError, EOFError):
            pass
        finally:
            sock.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *unused: t.Any) -> None:
        # shutdown wakes the thread that waits in accept; close alone does not.
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self._accepting.join(5)
        for thread in self._threads:
            thread.join(5)


def smtp_twin(**different: t.Any) -> Server:
    """A twin that speaks SMTP: hardened but for what is named (fields of :class:`Behaviour`)."""
    behaviour = Behaviour(**different)
    numbers = itertools.count(1)

    def serve(sock: socket.socket) -> None:
        session = Session(sock, behaviour)
        if next(numbers) > behaviour.admits:
            if behaviour.turns_away:
                session.say(behaviour.turns_away)
            return
        try:
            session.serve()
        finally:
            session.sock.close()

    return Server(serve)


def scripted_twin(answer: t.Union[bytes, None, t.Callable[[socket.socket, bytes], None]]) -> Server:
    """A twin that reads the client's first bytes and sends ``answer``; with None it closes without a word."""

    def serve(sock: socket.socket) -> None:
        first = sock.recv(4096)
        if callable(answer):
            answer(sock, first)
            return
        if answer:
            sock.sendall(answer)
            # Not to close before the client has read: wait until it goes.
            while sock.recv(4096):
                pass

    return Server(serve)
