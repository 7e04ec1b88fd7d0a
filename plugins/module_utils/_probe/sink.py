# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The other end of what a mail server sends: a receiving SMTP server that tells what it saw and delivers nothing.

It can have faults on purpose: no STARTTLS, a broken handshake, a single TLS version, bytes behind the reply to
STARTTLS, silence, any reply. What comes is evidence and kept as it came, with one exception: passwords are compared
and forgotten.
"""

from __future__ import annotations

import dataclasses
import socket
import ssl
import threading
import time
import typing as t
import warnings
from dataclasses import dataclass, field

from .sink_dialogue import ALERT, BROKEN, GARBAGE, INJECT, REFUSED, Dialogue, Message, Over, Session

VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_OLD = VERSIONS[:2]


@dataclass(frozen=True)
class Behaviour:
    """What a sink does. The defaults are a server that takes everything.

    ``name`` is the host name it greets with. ``certificate`` is a PEM file with key, certificate and chain; STARTTLS
    and ``implicit`` (TLS at once) need it. ``starttls``: True offers it, False does not, "refused" offers it and
    answers 454, "broken" answers 220 and speaks no TLS, "inject" sends a further reply in the segment of the 220.
    ``handshake``: "garbage" or "alert" instead of the ServerHello, behind STARTTLS and with ``implicit`` alike.
    ``versions`` are the oldest and the newest TLS version. ``auth`` maps user names to passwords: then a login is
    needed before MAIL; ``clear_auth`` offers it in clear too. ``banner`` is the first reply, or bytes that are sent as
    they are. ``replies`` overrule the answer to a verb, to "RCPT address" or to the end of the message ("."); one
    with 421 ends the connection. ``closes`` and ``silent`` name the moment (a verb or a constant of
    :mod:`.sink_dialogue`) at which the sink closes the connection, or says nothing any more, instead of answering.
    """

    name: str = "sink.invalid"
    certificate: t.Optional[str] = None
    implicit: bool = False
    starttls: t.Union[bool, str] = True
    handshake: str = ""
    versions: t.Tuple[str, str] = ("TLSv1.2", "TLSv1.3")
    auth: t.Optional[t.Mapping[str, str]] = field(default=None, repr=False)
    mechanisms: t.Tuple[str, ...] = ("PLAIN", "LOGIN")
    clear_auth: bool = False
    keywords: t.Tuple[str, ...] = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES")
    banner: t.Union[str, bytes, None] = None
    replies: t.Mapping[str, str] = field(default_factory=dict)
    closes: str = ""
    silent: str = ""

    def __post_init__(self) -> None:
        """Refuse what could only make a test or a proof say something else than was meant."""
        if self.starttls not in (True, False, REFUSED, BROKEN, INJECT):
            raise ValueError("starttls: %r is not True, False, refused, broken or inject" % (self.starttls,))
        if self.handshake not in ("", GARBAGE, ALERT):
            raise ValueError("handshake: %r is not garbage or alert" % self.handshake)
        if len(self.versions) != 2 or any(version not in VERSIONS for version in self.versions):
            known = ", ".join(VERSIONS)
            raise ValueError("versions: %r is not the oldest and the newest of %s" % (self.versions, known))
        if self.needs_certificate:
            self.context()

    @property
    def needs_certificate(self) -> bool:
        """Whether a handshake can come to its end."""
        return not self.handshake and (self.implicit or self.starttls in (True, INJECT))

    def context(self) -> ssl.SSLContext:
        """A new server context. Raises ValueError, naming the file or the versions, when it cannot be made."""
        if not self.certificate:
            raise ValueError("a sink that speaks TLS needs a certificate file (or starttls=False)")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.certificate)
        except OSError as error:
            raise ValueError("certificate %s: %s" % (self.certificate, error)) from None
        if self.versions[0] in _OLD:
            # OpenSSL 3 has TLS 1.0 and 1.1 at this security level only.
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings():
            # Python warns of TLS 1.0 and 1.1; here they are asked for by name.
            warnings.simplefilter("ignore", DeprecationWarning)
            oldest, newest = (getattr(ssl.TLSVersion, version.replace(".", "_")) for version in self.versions)
            context.maximum_version = newest
            context.minimum_version = oldest
        return context


class Sink:
    """A listening sink; it serves from the moment it is made until :meth:`close`. A context manager.

    ``behaviour`` are the fields of :class:`Behaviour`. ``address`` and ``port`` are where it listens (port 0: one that
    the kernel gives). At most ``max_sessions`` connections are served, later ones are closed at once and counted in
    ``turned_away``; a message may have ``max_size`` bytes; a client that says nothing for ``timeout`` seconds is left.
    ``heard`` is notified of everything that is seen; sinks that share one can be waited for together.
    Raises OSError when the address is taken, ValueError for a behaviour that makes no sense.
    """

    def __init__(
        self,
        address: str = "127.0.0.1",
        port: int = 0,
        max_sessions: int = 1000,
        max_size: int = 10 * 1024 * 1024,
        timeout: float = 60.0,
        heard: t.Optional[threading.Condition] = None,
        **behaviour: t.Any,
    ) -> None:
        self.behaviour = Behaviour(**behaviour)
        self.max_size = max_size
        self.turned_away = 0
        self._max_sessions = max_sessions
        self._timeout = timeout
        self.heard = heard or threading.Condition()
        self._sessions: t.List[Session] = []
        self._open: t.Dict[Dialogue, threading.Thread] = {}
        self._closed = False
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family, backlog=64)
        self.address = address
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, name="sink", daemon=True)
        self._accepting.start()

    def __repr__(self) -> str:
        return "<Sink %s port %d, %d sessions>" % (self.address, self.port, len(self.sessions))

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *unused: t.Any) -> None:
        self.close()

    def change(self, **different: t.Any) -> None:
        """Behave differently from the next connection on (fields of :class:`Behaviour`)."""
        self.behaviour = dataclasses.replace(self.behaviour, **different)

    def close(self) -> None:
        """Stop listening and end every connection; no thread is left. What was seen stays. May be called twice."""
        with self.heard:
            self._closed = True
            threads = list(self._open.values())
            for dialogue in self._open:
                _shut(dialogue.sock)
        # shutdown wakes the thread that waits in accept; close alone does not.
        _shut(self._listener)
        self._listener.close()
        for thread in [self._accepting] + threads:
            thread.join(self._timeout)

    # ---- what was seen

    @property
    def sessions(self) -> t.List[Session]:
        """All connections so far, the oldest first."""
        with self.heard:
            return list(self._sessions)

    @property
    def messages(self) -> t.List[Message]:
        """All messages that were taken so far."""
        return [message for session in self.sessions for message in session.messages]

    def wait_session(
        self, condition: t.Callable[[Session], bool] = lambda session: session.ended, timeout: float = 10.0
    ) -> Session:
        """The first session for which the condition holds (default: it has ended).

        Raises TimeoutError after ``timeout`` seconds, as the other waits do.
        """

        def first() -> t.Optional[Session]:
            return next((session for session in self._sessions if condition(session)), None)

        return self._wait(first, timeout, "session")

    def wait_message(
        self, condition: t.Callable[[Message], bool] = lambda message: True, timeout: float = 10.0
    ) -> Message:
        """The first message for which the condition holds (default: any). Raises TimeoutError after ``timeout`` s."""

        def first() -> t.Optional[Message]:
            return next((found for session in self._sessions for found in session.messages if condition(found)), None)

        return self._wait(first, timeout, "message")

    def wait_idle(self, timeout: float = 10.0) -> t.List[Session]:
        """All sessions, once every one of them has ended. Raises TimeoutError after ``timeout`` s."""

        def ended() -> t.Optional[t.List[Session]]:
            return list(self._sessions) if all(session.ended for session in self._sessions) else None

        return self._wait(ended, timeout, "end of all sessions")

    def _wait(self, look: t.Callable[[], t.Any], timeout: float, what: str) -> t.Any:
        end = time.monotonic() + timeout
        with self.heard:
            while True:
                found = look()
                if found is not None:
                    return found
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError("%r saw no such %s in %g s: %r" % (self, what, timeout, self._sessions))
                self.heard.wait(left)

    # ---- the threads

    def changed(self) -> _Changed:
        """For the dialogues: ``with sink.changed():`` what is seen inside wakes those who wait."""
        return _Changed(self.heard)

    def _accept(self) -> None:
        while True:
            try:
                sock, peer = self._listener.accept()
            except OSError:
                return
            with self.changed():
                if self._closed or len(self._sessions) >= self._max_sessions:
                    self.turned_away += 1
                    sock.close()
                    continue
                sock.settimeout(self._timeout)
                session = Session("%s:%d" % peer[:2])
                dialogue = Dialogue(self, sock, session)
                thread = threading.Thread(target=self._serve, args=(dialogue, session), name="sink session")
                thread.daemon = True
                self._sessions.append(session)
                self._open[dialogue] = thread
                thread.start()

    def _serve(self, dialogue: Dialogue, session: Session) -> None:
        try:
            dialogue.serve()
        except (OSError, EOFError, ValueError, Over):
            # The client is gone, has timed out, or the sink is being closed.
            pass
        finally:
            _shut(dialogue.sock)
            dialogue.sock.close()
            with self.changed():
                session.ended = True
                self._open.pop(dialogue, None)


class _Changed:
    def __init__(self, condition: threading.Condition) -> None:
        self._condition = condition

    def __enter__(self) -> None:
        self._condition.acquire()

    def __exit__(self, *unused: t.Any) -> None:
        self._condition.notify_all()
        self._condition.release()


def _shut(sock: socket.socket) -> None:
    try:
        # Of a wrapped socket the plain one's method: TLS is not said goodbye to.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except (OSError, ValueError):
        pass
