# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An SMTP conversation as a stranger on the network has it, one polite step at a time (RFC 5321).

It waits for the banner and for each reply before it says the next thing, because a server may rightly cut off a
client that talks too early. What went wrong on the way is never mistaken for the server's answer: everything
that is not an answer is :class:`Unobservable`, with the side that is to blame.
"""

from __future__ import annotations

import base64
import binascii
import re
import socket
import ssl
import time
import typing as t

from .library import side_of, words_of
from .records import printable
from .reply import (
    LOCAL_LIBRARY,
    NETWORK,
    SERVER_BUSY,
    SERVER_CLOSED,
    SERVER_REPLY,
    CertificateRefused,
    Reply,
    Unobservable,
    parsed,
    refusing_side,
)
from .sasl import Mechanism, SaslError, mechanism as sasl_mechanism

if t.TYPE_CHECKING:
    from .budget import Budget
    from .transcript import Transcript

#: RFC 5321 section 4.5.3.1.5 allows 512 octets a line; servers send longer ones.
MAX_LINE = 8192
MAX_LINES = 256

#: What stands in the place of a secret.
STARS = "********"

_REPLY_LINE = re.compile(r"([2-5]\d\d)(?:([ -])(.*))?\Z", re.DOTALL)


class Conversation:
    """One connection to one SMTP listener. A context manager; leaving it says QUIT when that is still possible.

    ``timeout`` is the deadline of each step in seconds, ``server_name`` the name for SNI and for the
    certificate. Every method that talks raises :class:`Unobservable`; a 421 reply (RFC 5321 section 3.8) is one.
    No error and no repr holds what was sent.

    With a ``budget`` (:class:`~.budget.Budget`) no step goes beyond what is left of it, and it is told of a 421. With a
    ``transcript`` (:class:`~.transcript.Transcript`) all that is said is written down, but never what AUTH carries.
    """

    def __init__(
        self,
        host: str,
        port: int,
        timeout: float = 10.0,
        server_name: t.Optional[str] = None,
        budget: t.Optional[Budget] = None,
        transcript: t.Optional[Transcript] = None,
    ) -> None:
        self.host = host
        self.port = port
        self.timeout = timeout
        self.server_name = server_name
        self.banner: t.Optional[Reply] = None
        self.ehlo_reply: t.Optional[Reply] = None
        #: How many replies were 4xx or 5xx: servers bear so many and no more.
        self.refusals = 0
        self._settled = False
        self._socket: t.Optional[socket.socket] = None
        self._buffer = bytearray()
        self._usable = False
        self._budget = budget
        self.transcript = transcript
        self._secrets: t.Set[str] = set()
        self._private = False

    def __repr__(self) -> str:
        return "<Conversation with %s port %d>" % (self.host, self.port)

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *unused: t.Any) -> None:
        self.close()

    # ---- opening and closing

    def open(self) -> None:
        """Connect and nothing more: no TLS, no banner awaited."""
        try:
            self._socket = socket.create_connection((self.host, self.port), timeout=self._step())
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise self._lost("no connection to %s port %d: %s" % (self.host, self.port, words_of(error))) from None

    def connect(self, implicit: t.Optional[ssl.SSLContext] = None) -> Reply:
        """Connect, with ``implicit`` do the TLS handshake at once, and wait for the banner."""
        self.open()
        if implicit is not None:
            self._handshake(implicit)
        return self.greet()

    def greet(self) -> Reply:
        """Wait for the banner, on a connection that is open."""
        self._usable = True
        self.banner = self.reply("banner")
        return self.banner

    def close(self) -> None:
        """Say QUIT if the server still listens, wait for its reply, close. Never raises."""
        if self._socket is None:
            return
        if self._usable:
            # A goodbye is worth a moment, not a whole deadline.
            self.timeout = min(self.timeout, 2.0)
            try:
                self.command("QUIT")
            except Unobservable:
                pass
        self._drop()

    def abandon(self) -> None:
        """From now on the connection is not SMTP in clear any more: closing says no QUIT."""
        self._usable = False

    def resume(self) -> None:
        """The connection is SMTP again: closing says QUIT."""
        self._usable = self._socket is not None

    def _drop(self) -> None:
        self._usable = False
        sock, self._socket = self._socket, None
        if sock is not None:
            try:
                sock.close()
            except OSError:
                pass
        if self.transcript is not None:
            self.transcript.end()

    # ---- what is known about the connection

    @property
    def tls_version(self) -> t.Optional[str]:
        """The negotiated version ("TLSv1.3"), None in clear."""
        return self._socket.version() if isinstance(self._socket, ssl.SSLSocket) else None

    @property
    def cipher(self) -> t.Optional[str]:
        """The negotiated suite by OpenSSL's name, None in clear."""
        found = self._socket.cipher() if isinstance(self._socket, ssl.SSLSocket) else None
        return found[0] if found else None

    @property
    def certificate(self) -> t.Optional[bytes]:
        """The server's certificate in DER, None in clear."""
        return self._socket.getpeercert(binary_form=True) if isinstance(self._socket, ssl.SSLSocket) else None

    @property
    def tls_socket(self) -> t.Optional[ssl.SSLSocket]:
        """The socket inside TLS, None in clear."""
        return self._socket if isinstance(self._socket, ssl.SSLSocket) else None

    @property
    def connected(self) -> bool:
        """Whether the connection is still open on this side."""
        return self._socket is not None

    @property
    def peer_is_loopback(self) -> bool:
        """Whether the server is this very machine, so that nothing sent to it crosses a network."""
        try:
            address = self._socket.getpeername()[0] if self._socket is not None else ""
        except OSError:
            address = ""
        return address.startswith(("127.", "::ffff:127.")) or address == "::1"

    @property
    def pending(self) -> bytes:
        """What the server sent beyond the last reply and has already been read."""
        return bytes(self._buffer)

    # ---- steps of the dialogue

    def command(self, line: str) -> Reply:
        """Send one command line and wait for its reply. Raises ValueError for CR, LF or NUL in the line."""
        if any(char in line for char in "\r\n\0"):
            raise ValueError("a command is one line: CR, LF and NUL are not allowed in it")
        words = line.split(" ", 2)
        if words[0].upper() == "AUTH" and len(words) > 2:
            self._hide(words[2:])
            self.record("C:", "AUTH %s %s" % (words[1], STARS))
        else:
            self.record("C:", line)
        self.send_bytes(line.encode("utf-8") + b"\r\n")
        return self.reply("reply to %s" % words[0].upper())

    def ehlo(self, name: str = "probe.invalid") -> t.Dict[str, str]:
        """The keywords of the EHLO reply, upper case, each with its parameters as one string."""
        self.ehlo_reply = reply = self.command("EHLO " + name)
        if reply.code != 250:
            raise Unobservable("EHLO refused: %s" % reply, refusing_side(reply))
        self._settled = True
        keywords = {}
        for line in reply.lines[1:]:
            word, unused, parameters = line.strip().partition(" ")
            if word:
                keywords[word.upper()] = parameters.strip()
        return keywords

    def starttls(self, context: ssl.SSLContext) -> Reply:
        """Ask for STARTTLS and, at 220, do the handshake and forget all that was known (RFC 3207 section 4.2).

        Any other reply is returned and the conversation goes on in clear.
        """
        reply = self.command("STARTTLS")
        if reply.code == 220:
            self.begin_tls(context)
        return reply

    def begin_tls(self, context: ssl.SSLContext) -> None:
        """The handshake after a 220 reply. Bytes in clear behind that reply are an attack on the client."""
        if self._buffer:
            words = "bytes in clear behind the reply to STARTTLS: %s" % self._shown(self.pending)
            raise self._lost(words, SERVER_REPLY)
        self.ehlo_reply = None
        self._handshake(context)

    def auth(self, mechanism: str, user: str, password: str, initial_response: bool = True) -> Reply:
        """One login attempt; the last reply of the server: 235 accepted, 535 wrong, others: not possible.

        Raises ValueError for a mechanism that the probe does not speak.
        """
        attempt = sasl_mechanism(mechanism, user, password)
        self._hide(attempt.secrets())
        self._private = True
        try:
            return self._auth(attempt, initial_response)
        finally:
            self._private = False

    def _auth(self, attempt: Mechanism, initial_response: bool) -> Reply:
        line = "AUTH " + attempt.name
        if initial_response:
            line += " " + (_base64(attempt.first()) or "=")
        reply = self.command(line)
        first_is_due = not initial_response
        try:
            for unused in range(8):
                if reply.code != 334:
                    break
                answer = attempt.first() if first_is_due else attempt.step(_challenge(reply))
                first_is_due = False
                self._hide([_base64(answer)])
                self.record("C:", STARS)
                self.send_bytes(_base64(answer).encode("ascii") + b"\r\n")
                reply = self.reply("reply in AUTH %s" % attempt.name)
            if reply.code == 235:
                attempt.succeeded()
        except SaslError as error:
            raise self._lost("AUTH %s: %s" % (attempt.name, error), SERVER_REPLY) from None
        return reply

    def cancel_auth(self) -> Reply:
        """Leave an AUTH exchange at a 334 (RFC 4954 section 4): the server answers 501."""
        self.record("C:", "*")
        self.send_bytes(b"*\r\n")
        return self.reply("reply to the end of AUTH")

    # ---- bytes

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are, inside TLS when there is one."""
        sock = self._connected()
        try:
            sock.settimeout(self._step())
            sock.sendall(data)
        except OSError as error:
            raise self._failed("sending", error) from None

    def receive_bytes(self, seconds: float) -> t.Optional[bytes]:
        """What the server sends inside ``seconds``: bytes, b"" when it closed, None when it kept silent."""
        if self._buffer:
            data = self.pending
            self._buffer.clear()
            return data
        sock = self._connected()
        sock.settimeout(max(min(seconds, self._step(limited=False)), 0.001))
        try:
            return sock.recv(65536)
        except (socket.timeout, ssl.SSLWantReadError):
            return None
        except OSError:
            return b""

    def reply(self, what: str = "reply") -> Reply:
        """Wait for one whole reply; all of it is under one deadline."""
        deadline = time.monotonic() + self._step()
        lines: t.List[str] = []
        code = ""
        while len(lines) < MAX_LINES:
            raw = self._line(deadline, what)
            match = _REPLY_LINE.match(raw.decode("utf-8", "backslashreplace"))
            if match is None or (code and match.group(1) != code):
                raise self._lost("%s is not SMTP: %s" % (what, self._shown(raw)), SERVER_REPLY)
            code = match.group(1)
            lines.append(match.group(3) or "")
            if match.group(2) != "-":
                break
        else:
            raise self._lost("%s has more than %d lines" % (what, MAX_LINES), SERVER_REPLY)
        reply = parsed(int(code), lines if code == "334" else [self._clean(line) for line in lines])
        self.refusals += reply.code >= 400
        if reply.code == 421:
            if self._budget is not None:
                # Behind an EHLO it is this session that the server has enough of, not the client.
                self._budget.sent_away(str(reply), at_the_door=not self._settled)
            raise self._lost(str(reply), SERVER_BUSY)
        return reply

    def _line(self, deadline: float, what: str) -> bytes:
        while True:
            end = self._buffer.find(b"\n")
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                line = line[:-1] if line.endswith(b"\r") else line
                challenge = self._private and line.startswith(b"334")
                self.record("S:", "334 " + STARS if challenge else line.decode("utf-8", "backslashreplace"))
                return line
            if len(self._buffer) > MAX_LINE:
                raise self._lost("%s: a line of more than %d bytes" % (what, MAX_LINE), SERVER_REPLY)
            self._buffer += self._receive(deadline, what)

    def _receive(self, deadline: float, what: str) -> bytes:
        sock = self._connected()
        left = deadline - time.monotonic()
        if left <= 0:
            raise self._late("no %s" % what)
        try:
            sock.settimeout(left)
            data = sock.recv(65536)
        except OSError as error:
            raise self._failed("waiting for the %s" % what, error) from None
        if not data:
            raise self._lost("connection closed instead of the %s" % what, SERVER_CLOSED)
        return data

    def _handshake(self, context: ssl.SSLContext) -> None:
        plain = self._connected()
        name = self.server_name if self.server_name else (self.host if context.check_hostname else None)
        try:
            secure = context.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False)
            self._socket = secure
            secure.settimeout(self._step())
            secure.do_handshake()
        except ssl.SSLCertVerificationError as error:
            words = error.verify_message or "certificate not accepted"
            self.record("--", "certificate refused: %s" % words)
            self._drop()
            raise CertificateRefused(words, LOCAL_LIBRARY) from None
        except (OSError, ValueError) as error:
            raise self._failed("TLS handshake", error) from None
        self.record("--", "%s %s" % (self.tls_version, self.cipher))

    # ---- endings

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise Unobservable("the connection is already closed", SERVER_CLOSED)
        return self._socket

    def _lost(self, reason: str, side: str = NETWORK) -> Unobservable:
        self.record("--", "%s (%s)" % (reason, side))
        self._drop()
        return Unobservable(reason, side)

    def _failed(self, doing: str, error: Exception) -> Unobservable:
        if isinstance(error, socket.timeout):
            return self._late("%s: no answer" % doing)
        return self._lost("%s: %s" % (doing, words_of(error)), side_of(error))

    def _late(self, words: str) -> Unobservable:
        try:
            self._step()
        except Unobservable as error:
            # The time for all of it is over, not only the time for this step.
            return self._lost("%s; %s" % (words, error.reason), error.side)
        return self._lost("%s in %g s" % (words, self.timeout))

    def _step(self, limited: bool = True) -> float:
        """Seconds for the next step. Raises :class:`Unobservable` when the budget has none left."""
        left = self.timeout if self._budget is None else self._budget.step()
        return min(left, self.timeout) if limited else left

    # ---- what is written down

    def _hide(self, secrets: t.Iterable[str]) -> None:
        self._secrets.update(secret for secret in secrets if secret.strip("="))

    def _clean(self, text: str) -> str:
        # The longest first: a password may be part of its own encoding.
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, STARS)
        return text

    def _shown(self, data: bytes) -> str:
        return printable(self._clean(data.decode("utf-8", "backslashreplace"))[:80].encode("utf-8"))

    def record(self, mark: str, text: str) -> None:
        """Write a line into the transcript, without secrets (:meth:`~.transcript.Transcript.add`)."""
        if self.transcript is not None:
            self.transcript.add(mark, self._clean(text))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _challenge(reply: Reply) -> bytes:
    try:
        return base64.b64decode(reply.text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise SaslError("the challenge is not base64") from None
