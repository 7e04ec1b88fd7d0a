# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bytes of the admin line protocol: one connection to an admin interface, with a deadline for every command.

It takes whatever arrives, in pieces of any size; where an answer ends is somebody else's judgement (``ending``).
"""

from __future__ import annotations

import socket
import time
import typing as t

from ..base import AnswerTimeout, ProtocolError, Unreachable
from .ending import unfinished_noise, without_noise
from .layout import printable

if t.TYPE_CHECKING:
    # Loading the TLS library takes longer than a session in clear; whoever has a context has loaded it.
    import ssl

#: OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH.
_OTHER_NAME = frozenset((62, 64))
_MAX_NAMES = 5
#: Seconds that looking for the names may take: it only makes the message better.
_LOOK = 3.0

_CLOSED = "the server has closed the connection"

MAX_ANSWER = 160 * 1024 * 1024
MAX_BANNER = 64 * 1024
_CHUNK = 64 * 1024


class Deadline:
    """A point in time until which everything that belongs to one command must have happened."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._end = time.monotonic() + limit

    def left(self) -> float:
        """Seconds that are left, never less than 0."""
        return max(0.0, self._end - time.monotonic())


def peer_name(host: str, port: int) -> str:
    """Host and port for messages, an IPv6 address in brackets (RFC 3986 section 3.2.2)."""
    return "[%s]:%d" % (host, port) if ":" in host else "%s:%d" % (host, port)


#: How long the connection must be quiet before the end of the buffer is the end of the answer;
#: None when it does not end with an end at all.
Judge = t.Callable[[bytearray], t.Optional[float]]


class Wire:
    """One connection to an admin interface. After an error it is closed and stays so.

    ``left`` says that it was the server that ended it.
    """

    def __init__(
        self, host: str, port: int, tls: t.Optional[ssl.SSLContext], server_hostname: t.Optional[str], timeout: float
    ) -> None:
        self.peer = peer_name(host, port)
        self.buffer = bytearray()
        self.left = False
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
                try:
                    chunk = self._receive(min(quiet, left), operation)
                except Unreachable:
                    # The answer was complete; that the connection broke behind it is the next command's business.
                    return self._take()
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
                when = "in mid-answer" if self.buffer else "instead of an answer"
                raise Unreachable(operation, "the server closed the connection %s" % when, advice)
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
        begun = unfinished_noise(came)
        if begun:
            # The rest of this control sequence is still to come, in front of the next answer.
            self.buffer += begun
            came = came[:-len(begun)]
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
        self.left = True
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
            self._ended("the connection broke: %s" % _reason(error))
            raise Unreachable(operation, self._why_ended)

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
