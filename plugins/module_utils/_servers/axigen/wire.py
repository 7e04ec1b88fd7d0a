# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bytes of the admin line protocol: the connection, and where an answer ends.

An answer is payload lines, one status line, and a prompt without a line end. The protocol has no
length and no escaping, so a payload may contain lines that look like a status line and a prompt.
Two things tell a real end from such a line:

* something follows it. An end counts only at the end of what was received, and a non-blocking read
  is always made to see whether more is there already;
* what is known about the payload. A policy script or a configuration that stops inside a string or
  a block is not finished (:class:`Nesting`): a line that begins with ``+OK`` can stand nowhere else.

Where neither decides, the connection must stay quiet for a moment before the end is believed. The
moment is spent waiting for the socket to become readable, so whatever arrives is seen at once.
"""

from __future__ import annotations

import re
import socket
import time
import typing as t

from ..base import AnswerTimeout, ProtocolError, Unreachable
from .layout import printable

if t.TYPE_CHECKING:
    # Loading the TLS library takes longer than a session in clear; whoever has a context has loaded it.
    import ssl

#: Quiet time in seconds before an end is believed: behind foreign text, for an end that lacks its
#: status line or has an unexpected prompt, and for a text that is visibly unfinished.
SETTLE = 0.03
GRACE = 0.3
DOUBT = 5.0

#: OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH.
_OTHER_NAME = frozenset((62, 64))
_MAX_NAMES = 5
#: Seconds that looking for the names may take: it only makes the message better.
_LOOK = 3.0

_CLOSED = "the server has closed the connection"

MAX_ANSWER = 64 * 1024 * 1024
MAX_BANNER = 64 * 1024
_MAX_PROMPT = 256
_MAX_STATUS = 64 * 1024
_CHUNK = 64 * 1024

#: ANSI control sequences (ECMA-48 5.4), two-character escapes, and telnet option triples (RFC 854).
_NOISE = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\^_]|\xff[\xfb-\xfe][\x00-\xff]")
_UNFINISHED_NOISE = re.compile(rb"(?:\x1b(?:\[[0-?]*[ -/]*)?|\xff[\xfb-\xfe]?)\Z")
_LEADING_NOISE = re.compile(rb"(?:%s)+" % _NOISE.pattern)
_PROMPT = re.compile(rb"\A(<[^<>\r\n]*>)([ \t]*)\Z")
_STATUS = re.compile(rb"\A(\+OK|-ERR)(?![A-Za-z0-9]):?[ \t]*(.*?)[\r\n]*\Z", re.S)


class Deadline:
    """A point in time until which everything that belongs to one command must have happened."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._end = time.monotonic() + limit

    def left(self) -> float:
        """Seconds that are left, never less than 0."""
        return max(0.0, self._end - time.monotonic())


class End(t.NamedTuple):
    """An apparent end of an answer. ``payload_end`` is an offset; ``ok`` is None without a status line."""

    payload_end: int
    ok: t.Optional[bool]
    status: bytes
    prompt: str
    spaced: bool


def peer_name(host: str, port: int) -> str:
    """Host and port for messages, an IPv6 address in brackets (RFC 3986 section 3.2.2)."""
    return "[%s]:%d" % (host, port) if ":" in host else "%s:%d" % (host, port)


def without_noise(data: bytes) -> bytes:
    """The bytes without terminal control sequences and telnet options."""
    return _NOISE.sub(b"", data) if b"\x1b" in data or b"\xff" in data else data


def without_leading_noise(data: bytes) -> bytes:
    """The bytes without control sequences in front, which may be the late rest of the last prompt."""
    found = _LEADING_NOISE.match(data)
    return data[found.end():] if found else data


def find_end(buffer: bytearray) -> t.Optional[End]:
    """The end that the buffer stops with, or None. Looks at the last lines only."""
    size = len(buffer)
    line_start = buffer.rfind(b"\n", max(0, size - _MAX_PROMPT)) + 1
    if line_start == 0 and size > _MAX_PROMPT:
        return None
    prompt = _PROMPT.match(without_noise(bytes(buffer[line_start:])))
    if prompt is None:
        return None
    name, spaced = prompt.group(1).decode("utf-8", "replace"), bool(prompt.group(2))
    if line_start:
        status_start = buffer.rfind(b"\n", max(0, line_start - 1 - _MAX_STATUS), line_start - 1) + 1
        status = _STATUS.match(without_noise(bytes(buffer[status_start:line_start])))
        if status is not None:
            return End(status_start, status.group(1) == b"+OK", status.group(2), name, spaced)
    return End(line_start, None, b"", name, spaced)


class Nesting:
    """Follows strings, comments and braces of a script or configuration as it arrives.

    ``escapes`` says whether a backslash can stand before a quote inside a string (configuration: yes).
    """

    def __init__(self, escapes: bool) -> None:
        string = rb'"[^"\\]*(?:\\[\x00-\xff][^"\\]*)*' if escapes else rb'"[^"]*'
        self._token = re.compile(rb'(?:%s)(?P<string>"?)|#[^\n]*|/\*.*?(?P<comment>\*/|\Z)|[{}]' % string, re.S)
        self._position = 0
        self._depth = 0

    def finished(self, buffer: bytearray, end: int) -> bool:
        """Whether the first ``end`` bytes stop outside every string, comment and block."""
        region = bytes(buffer[self._position:end])
        done = len(region)
        for token in self._token.finditer(region):
            first = token.group()[:1]
            if first == b"{":
                self._depth += 1
            elif first == b"}":
                self._depth -= 1
            elif token.group("string") == b"" or token.group("comment") == b"":
                done = token.start()
                break
        self._position += done
        return done == len(region) and self._depth <= 0


#: How long the connection must be quiet before the end of the buffer is the end of the answer;
#: None when it does not end with an end at all.
Judge = t.Callable[[bytearray], t.Optional[float]]


class Wire:
    """One connection to an admin interface. After an error it is closed and stays so."""

    def __init__(
        self, host: str, port: int, tls: t.Optional[ssl.SSLContext], server_hostname: t.Optional[str], timeout: float
    ) -> None:
        self.peer = peer_name(host, port)
        self.buffer = bytearray()
        self._why_ended = "the session has ended with the error before this one"
        self._socket: t.Optional[socket.socket] = None
        self._nothing_yet: t.Tuple[t.Type[OSError], ...] = (socket.timeout, BlockingIOError)
        operation = "connect to the admin interface at %s" % self.peer
        plain = self._connect(operation, host, port, timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = plain
            if tls is not None:
                self._socket = tls.wrap_socket(plain, server_hostname=server_hostname or host)
                from ssl import SSLWantReadError, SSLWantWriteError

                self._nothing_yet += (SSLWantReadError, SSLWantWriteError)
        except (OSError, ValueError) as error:
            self.close()
            plain.close()
            if getattr(error, "verify_code", None) in _OTHER_NAME:
                names = self._certified_names(host, port, tls, server_hostname or host, min(timeout, _LOOK))
                raise _other_name(operation, names, server_hostname or host)
            raise _tls_failed(operation, error, timeout)

    @staticmethod
    def _certified_names(host: str, port: int, tls: ssl.SSLContext, name: str, timeout: float) -> t.List[str]:
        """The names in a certificate that is not for ``name``, for the message; [] when they cannot be had.

        A connection whose certificate was refused does not show it any more, so this makes another one, which
        checks everything but the name, sends nothing and is closed.
        """
        tls.check_hostname = False
        try:
            with socket.create_connection((host, port), timeout=timeout) as plain:
                with tls.wrap_socket(plain, server_hostname=name) as connection:
                    return [str(value) for _kind, value in (connection.getpeercert() or {}).get("subjectAltName", ())]
        except (OSError, ValueError):
            return []
        finally:
            tls.check_hostname = True

    @staticmethod
    def _connect(operation: str, host: str, port: int, timeout: float) -> socket.socket:
        advice = "Check that the server runs and that admin_host and admin_port are right."
        try:
            return socket.create_connection((host, port), timeout=timeout)
        except socket.timeout:
            raise Unreachable(operation, "no answer within %g seconds" % timeout, advice)
        except (OSError, ValueError) as error:
            raise Unreachable(operation, _reason(error), advice)

    def send(self, data: bytes, deadline: Deadline, operation: str) -> None:
        """Send everything before the deadline. Raises :class:`AnswerTimeout` or :class:`Unreachable`."""
        view = memoryview(data)
        while view:
            connection = self._open(operation)
            connection.settimeout(max(deadline.left(), 0.001))
            try:
                view = view[connection.send(view):]
            except socket.timeout:
                self.close()
                raise AnswerTimeout(
                    operation,
                    "the server did not take the command within %g seconds" % deadline.limit,
                    "Nothing was committed by it. Raise admin_timeout if the server is slow.",
                )
            except OSError as error:
                self.close()
                raise Unreachable(operation, "the connection broke while sending: %s" % _reason(error))

    def read(self, judge: Judge, deadline: Deadline, operation: str, cap: int, advice: str = "") -> bytearray:
        """Everything up to an end that ``judge`` believes.

        Raises :class:`AnswerTimeout`, :class:`Unreachable` (closed or broken in mid-answer; the buffer
        keeps what came) and :class:`ProtocolError` (longer than ``cap`` bytes).
        """
        while True:
            quiet = judge(self.buffer)
            left = deadline.left()
            chunk = None
            if quiet is not None:
                chunk = self._receive(min(quiet, left), operation)
            elif left:
                # A server that sends all the time does not stretch the limit: with no time left nothing is read.
                chunk = self._receive(left, operation)
            if chunk is None:
                if quiet is not None:
                    return self._take()
                self.close()
                raise AnswerTimeout(
                    operation,
                    "no complete answer within %g seconds (%d bytes came)" % (deadline.limit, len(self.buffer)),
                    advice,
                )
            if not chunk:
                self._ended(_CLOSED)
                if quiet is not None:
                    return self._take()
                raise Unreachable(operation, "the server closed the connection in mid-answer", advice)
            self.buffer += chunk
            if len(self.buffer) > cap:
                self.close()
                raise ProtocolError(operation, "the answer is longer than %d bytes" % cap, "The rest was not read.")

    def unasked(self, operation: str) -> bytes:
        """Bytes that came although nothing was asked; spaces and control sequences do not count.

        Raises :class:`Unreachable` when the server has closed the connection meanwhile.
        """
        while len(self.buffer) <= MAX_BANNER:
            chunk = self._receive(0.0, operation)
            if chunk is None:
                break
            if not chunk:
                self._ended(_CLOSED)
                raise Unreachable(operation, _CLOSED)
            self.buffer += chunk
        came = bytes(self._take())
        begun = _UNFINISHED_NOISE.search(came[-_MAX_PROMPT:])
        if begun:
            # The rest of this control sequence is still to come, in front of the next answer.
            self.buffer += begun.group()
            came = came[:-len(begun.group())]
        return without_noise(came).strip(b" \t")

    def drain(self, deadline: Deadline) -> None:
        """Read until the server closes or the deadline; for a polite end. Never raises."""
        try:
            while self._receive(deadline.left(), "close"):
                pass
        except Unreachable:
            return

    def close(self) -> None:
        """Close the connection. Never raises; may be called twice."""
        connection, self._socket = self._socket, None
        if connection is not None:
            try:
                connection.close()
            except OSError:
                return

    @property
    def closed(self) -> bool:
        """Whether this end is closed."""
        return self._socket is None

    def _ended(self, why: str) -> None:
        self._why_ended = why
        self.close()

    def _open(self, operation: str) -> socket.socket:
        if self._socket is None:
            raise Unreachable(operation, self._why_ended)
        return self._socket

    def _receive(self, timeout: float, operation: str) -> t.Optional[bytes]:
        """One segment, b"" when the server has closed, None when nothing came in time."""
        connection = self._open(operation)
        connection.settimeout(timeout)
        try:
            return connection.recv(_CHUNK)
        except self._nothing_yet:
            return None
        except OSError as error:
            self.close()
            raise Unreachable(operation, "the connection broke: %s" % _reason(error))

    def _take(self) -> bytearray:
        taken, self.buffer = self.buffer, bytearray()
        return taken


def _other_name(operation: str, names: t.Sequence[str], host: str) -> Unreachable:
    shown = ", ".join(printable(name, 80) for name in names[:_MAX_NAMES])
    if len(names) > _MAX_NAMES:
        shown += " and %d more" % (len(names) - _MAX_NAMES)
    return Unreachable(
        operation,
        "its certificate is not for %s but for %s" % (host, shown or "another name"),
        "Set admin_host to a name that the certificate has, or give the server a certificate for this one.",
    )


def _tls_failed(operation: str, error: Exception, timeout: float) -> Unreachable:
    verdict = getattr(error, "verify_message", None)
    if verdict is not None:
        return Unreachable(
            operation,
            "its certificate is not accepted: %s" % verdict,
            "Name the authority that signed it in admin_ca_file.",
        )
    if isinstance(error, socket.timeout):
        said = "no TLS handshake within %g seconds" % timeout
    else:
        said = "the TLS handshake failed: %s" % _reason(error)
    return Unreachable(operation, said, "Set admin_tls to false if this port speaks clear text.")


def _reason(error: Exception) -> str:
    # Errors of the TLS library have their name in "reason".
    reason = getattr(error, "reason", None)
    if isinstance(error, OSError) and reason:
        return str(reason).replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror).lower()
    return str(error)
