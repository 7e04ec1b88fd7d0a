# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One connection to a :class:`~.sink.Sink`: what is said there, and the record of what came."""

from __future__ import annotations

import base64
import binascii
import hmac
import socket
import typing as t
from dataclasses import dataclass, field

if t.TYPE_CHECKING:
    from .sink import Sink

#: Values of ``starttls`` beside True (offered and good) and False (not offered).
REFUSED, BROKEN, INJECT = "refused", "broken", "inject"
#: Values of ``handshake`` beside "" (good).
GARBAGE, ALERT = "garbage", "alert"
#: Moments that are not verbs: no word at all, instead of the handshake, instead of what follows the banner,
#: in the middle of the message, instead of the reply to its end.
CONNECT, HANDSHAKE, BANNER, CONTENT, END = "CONNECT", "HANDSHAKE", "BANNER", "CONTENT", "."

MAX_LINE = 8192
MAX_COMMANDS = 1000
#: The record of a fatal handshake_failure alert (RFC 8446 section 6).
_ALERT_RECORD = b"\x15\x03\x03\x00\x02\x02\x28"


@dataclass(frozen=True)
class Command:
    """One line of the client; the secret part of an AUTH exchange is never in it."""

    line: str
    inside_tls: bool

    @property
    def verb(self) -> str:
        return self.line.split(" ", 1)[0].upper()


@dataclass(frozen=True)
class Login:
    """One attempt to log in. ``accepted`` says whether user and password were the right ones."""

    mechanism: str
    user: str
    accepted: bool
    inside_tls: bool


@dataclass(frozen=True)
class Message:
    """One message that the sink took. ``protocol`` and ``cipher`` are None when it came in clear."""

    sender: str
    recipients: t.Tuple[str, ...]
    data: bytes = field(repr=False)
    protocol: t.Optional[str]
    cipher: t.Optional[str]
    user: t.Optional[str]


@dataclass
class Session:
    """What came over one connection so far. ``ended``: it is over, nothing more will come.

    ``sni`` is the name that the client asked for, ``tls_error`` why a handshake failed, ``injected`` whether bytes
    stood behind the client's STARTTLS in clear.
    """

    peer: str
    helo: str = ""
    commands: t.List[Command] = field(default_factory=list)
    protocol: t.Optional[str] = None
    cipher: t.Optional[str] = None
    sni: t.Optional[str] = None
    tls_error: str = ""
    injected: bool = False
    logins: t.List[Login] = field(default_factory=list)
    messages: t.List[Message] = field(default_factory=list)
    ended: bool = False

    @property
    def verbs(self) -> t.Tuple[str, ...]:
        """The verbs in their order, in clear and inside TLS."""
        return tuple(command.verb for command in self.commands)

    @property
    def clear_verbs(self) -> t.Tuple[str, ...]:
        """The verbs that came in clear."""
        return tuple(command.verb for command in self.commands if not command.inside_tls)


class Over(Exception):
    """The connection is to be closed."""


class Dialogue:
    """One connection, served by one thread; everything that is seen goes through ``sink._changed``."""

    def __init__(self, sink: Sink, sock: socket.socket, session: Session) -> None:
        self._sink = sink
        self._behaviour = sink.behaviour
        self._session = session
        self.sock = sock
        self._buffer = b""
        self._reset()

    def _reset(self) -> None:
        self._user: t.Optional[str] = None
        self._sender: t.Optional[str] = None
        self._recipients: t.List[str] = []

    def serve(self) -> None:
        """Speak until one side ends it. Raises OSError, EOFError or :class:`Over`."""
        behaviour = self._behaviour
        self._moment(CONNECT)
        if behaviour.implicit:
            self._handshake()
        if isinstance(behaviour.banner, bytes):
            self.sock.sendall(behaviour.banner)
        else:
            self._say(behaviour.banner or "220 %s ESMTP" % behaviour.name)
        self._moment(BANNER)
        for unused in range(MAX_COMMANDS):
            line = self._line()
            verb = self._note(line)
            self._moment(verb)
            self._answer(verb, line)
        self._say("421 4.7.0 Too many commands")

    # ---- bytes

    def _say(self, reply: str) -> None:
        self.sock.sendall((reply.replace("\n", "\r\n") + "\r\n").encode("utf-8"))
        if reply.startswith(("421", "221")):
            raise Over

    def _line(self) -> str:
        while b"\n" not in self._buffer and len(self._buffer) <= MAX_LINE:
            self._buffer += self._receive()
        line, unused, self._buffer = self._buffer.partition(b"\n")
        if len(line) > MAX_LINE:
            self._say("421 4.5.2 Line too long")
        return line.rstrip(b"\r").decode("utf-8", "backslashreplace")

    def _receive(self) -> bytes:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        return data

    def _moment(self, moment: str) -> None:
        if moment and moment == self._behaviour.closes.upper():
            raise Over
        if moment and moment == self._behaviour.silent.upper():
            # What still comes is read and dropped, so that the client waits for an answer and not for a buffer.
            while True:
                self._receive()

    def _note(self, line: str) -> str:
        verb = line.split(" ", 1)[0].upper()
        shown = " ".join(line.split(" ")[:2] + ["********"]) if verb == "AUTH" and line.count(" ") > 1 else line
        with self._sink.changed():
            self._session.commands.append(Command(shown, self._inside_tls))
        return verb

    @property
    def _inside_tls(self) -> bool:
        return self._session.protocol is not None

    # ---- TLS

    def _handshake(self) -> None:
        behaviour, session = self._behaviour, self._session
        self._moment(HANDSHAKE)
        if behaviour.handshake or (behaviour.starttls == BROKEN and not behaviour.implicit):
            self._receive()
            self.sock.sendall(_ALERT_RECORD if behaviour.handshake == ALERT else b"500 5.5.1 This is no TLS\r\n" * 4)
            raise Over
        context = behaviour.context()

        def seen(unused: t.Any, name: t.Optional[str], unused_too: t.Any) -> None:
            session.sni = name

        context.sni_callback = seen
        with self._sink.changed():
            # Not while the sink is being closed: it would shut the socket that is given up here.
            self.sock = context.wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
        try:
            self.sock.do_handshake()
        except (OSError, ValueError) as error:
            with self._sink.changed():
                session.tls_error = getattr(error, "reason", None) or str(error) or type(error).__name__
            raise Over from None
        with self._sink.changed():
            session.protocol, session.cipher = self.sock.version(), self.sock.cipher()[0]

    # ---- the verbs

    def _answer(self, verb: str, line: str) -> None:
        overrule = self._overrule(verb, line)
        method = getattr(self, "_do_" + verb.lower(), None) if verb.isalpha() else None
        if overrule is not None and overrule[:1] not in ("2", "3"):
            self._say(overrule)
        elif method is None:
            self._say(overrule or "500 5.5.1 Command not known")
        else:
            method(line, overrule)

    def _overrule(self, verb: str, line: str) -> t.Optional[str]:
        replies = self._behaviour.replies
        if verb == "RCPT":
            wanted = "RCPT " + _path(line)
            for key, reply in replies.items():
                if key.lower() == wanted.lower():
                    return reply
        return replies.get(verb)

    def _do_ehlo(self, line: str, reply: t.Optional[str]) -> None:
        behaviour = self._behaviour
        self._sender, self._recipients = None, []
        self._session.helo = line[5:]
        keywords = list(behaviour.keywords)
        if behaviour.starttls and not self._inside_tls:
            keywords.append("STARTTLS")
        if behaviour.auth is not None and (self._inside_tls or behaviour.clear_auth):
            keywords.append("AUTH " + " ".join(behaviour.mechanisms))
        lines = [behaviour.name] + keywords
        self._say(reply or "\n".join(["250-" + text for text in lines[:-1]] + ["250 " + lines[-1]]))

    def _do_helo(self, line: str, reply: t.Optional[str]) -> None:
        self._session.helo = line[5:]
        self._say(reply or "250 " + self._behaviour.name)

    def _do_starttls(self, line: str, reply: t.Optional[str]) -> None:
        behaviour = self._behaviour
        if self._inside_tls or not behaviour.starttls:
            return self._say("503 5.5.1 Not now")
        if behaviour.starttls == REFUSED:
            return self._say("454 4.7.0 TLS not available")
        self._session.injected = bool(self._buffer)
        self._buffer = b""
        self._say((reply or "220 2.0.0 Ready") + ("\n250 2.1.0 Injected" if behaviour.starttls == INJECT else ""))
        self._handshake()
        self._reset()

    def _do_auth(self, line: str, reply: t.Optional[str]) -> None:
        behaviour = self._behaviour
        words = line.split(" ")
        mechanism = words[1].upper() if len(words) > 1 else ""
        if behaviour.auth is None or mechanism not in behaviour.mechanisms or mechanism not in ("PLAIN", "LOGIN"):
            return self._say("504 5.5.4 No such mechanism")
        try:
            first = self._decoded(words[2]) if len(words) > 2 else None
            if mechanism == "PLAIN":
                unused, user, password = (self._ask(b"") if first is None else first).split("\0")
            else:
                user = self._ask(b"Username:") if first is None else first
                password = self._ask(b"Password:")
        except ValueError:
            return self._say("501 5.5.2 Not a response of this mechanism")
        known = behaviour.auth.get(user)
        good = known is not None and hmac.compare_digest(known.encode("utf-8"), password.encode("utf-8"))
        with self._sink.changed():
            self._session.logins.append(Login(mechanism, user, good, self._inside_tls))
        if not (self._inside_tls or behaviour.clear_auth):
            return self._say("538 5.7.11 Encryption required")
        if good:
            self._user = user
        self._say((reply or "235 2.7.0 Welcome") if good else "535 5.7.8 Wrong user name or password")

    def _ask(self, challenge: bytes) -> str:
        self._say("334 " + base64.b64encode(challenge).decode("ascii"))
        return self._decoded(self._line())

    def _decoded(self, text: str) -> str:
        try:
            return base64.b64decode(text.encode("utf-8"), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            raise ValueError("not base64") from None

    def _do_mail(self, line: str, reply: t.Optional[str]) -> None:
        if self._behaviour.auth is not None and self._user is None:
            return self._say("530 5.7.0 Authentication required")
        self._sender, self._recipients = _path(line), []
        self._say(reply or "250 2.1.0 OK")

    def _do_rcpt(self, line: str, reply: t.Optional[str]) -> None:
        if self._sender is None:
            return self._say("503 5.5.1 MAIL first")
        self._recipients.append(_path(line))
        self._say(reply or "250 2.1.5 OK")

    def _do_data(self, line: str, reply: t.Optional[str]) -> None:
        if not self._recipients:
            return self._say("503 5.5.1 RCPT first")
        self._say("354 Go on")
        data = self._read_content()
        self._moment(END)
        reply = self._behaviour.replies.get(END)
        if data is None:
            reply = "552 5.3.4 Message too big"
        if reply is None or reply.startswith("2"):
            session = self._session
            envelope = (self._sender or "", tuple(self._recipients), data or b"")
            with self._sink.changed():
                session.messages.append(Message(*envelope, session.protocol, session.cipher, self._user))
        self._sender, self._recipients = None, []
        self._say(reply or "250 2.0.0 Taken")

    def _read_content(self) -> t.Optional[bytes]:
        """The message without dot-stuffing (RFC 5321 section 4.5.2), None when it is too big."""
        # The line end of DATA is part of what is looked at: the message may be empty.
        data = bytearray(b"\r\n" + self._buffer)
        too_big = False
        searched = 0
        while True:
            if len(data) > 2:
                self._moment(CONTENT)
            end = data.find(b"\r\n.\r\n", searched)
            if end >= 0:
                break
            if len(data) > self._sink.max_size:
                too_big = True
                del data[:-4]
            searched = max(len(data) - 4, 0)
            data += self._receive()
        self._buffer = bytes(data[end + 5 :])
        if too_big or end > self._sink.max_size:
            return None
        return bytes(data[: end + 2]).replace(b"\r\n..", b"\r\n.")[2:]

    def _do_rset(self, line: str, reply: t.Optional[str]) -> None:
        self._sender, self._recipients = None, []
        self._say(reply or "250 2.0.0 OK")

    def _do_noop(self, line: str, reply: t.Optional[str]) -> None:
        self._say(reply or "250 2.0.0 OK")

    def _do_quit(self, line: str, reply: t.Optional[str]) -> None:
        self._say(reply or "221 2.0.0 Bye")


def _path(line: str) -> str:
    """The address of a MAIL or RCPT line, without its brackets and parameters."""
    return line.partition("<")[2].partition(">")[0]
