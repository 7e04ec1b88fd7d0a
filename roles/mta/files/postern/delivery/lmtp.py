# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mailboxes of another program: messages are handed over by LMTP (RFC 2033), at a socket of this host or at a port.

All recipients of a message that are read together go in one transaction, and each has its own reply behind the final dot.
A reply to a recipient that is permanent ends its mail. One to the whole connection (no connection, a refused greeting,
LHLO, MAIL or DATA) is no word about a recipient: the program is out of order, and everything waits.

LMTP is in clear here; it is for sockets, loopback and networks of one's own.
"""

from __future__ import annotations

import os
import smtplib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby

from ..queue.store import Due, Envelope, Store
from .content import Dots, LineEnds
from .lane import EVERYTHING, Done, Left, Refused, Result, address
from .lmtp_place import Place
from .outcome import DEFERRED, FAILED, SENT, Outcome, clean, from_reply
from .path import parse
from .schedule import Schedule

#: Seconds for a connection and for each reply but the last, and for those behind the final dot (RFC 5321 section 4.5.3.2).
REPLY, FINAL = 300.0, 600.0
CONNECT = 30.0
#: Seconds that a connection is kept for the next message.
KEPT = 5.0


class Unusable(Exception):
    """The program is not there, or out of order: no message will fare better. The text says why."""


class Broken(Exception):
    """A transaction did not come to its end; ``silent``: the program said nothing within its time. The text says why."""

    def __init__(self, reason: str, silent: bool = False) -> None:
        super().__init__(reason)
        self.silent = silent


class LmtpCarrier:
    """Hands messages to the program at ``place``. Who is not taken in the lifetime of ``schedule`` is refused."""

    def __init__(
        self, store: Store, place: Place, schedule: Schedule, host_name: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._place = place
        self._schedule = schedule
        self._host_name = host_name
        self._clock = clock
        self._session: _Session | None = None
        self._used = 0.0
        #: Messages whose transaction broke: the others of a page go before them.
        self._broke: set[int] = set()

    def place(self, due: Due) -> str:
        """The mailbox's name. Raises ValueError for one that no command can carry."""
        parse(address(due), sender=False)
        return address(due)

    def carry(self, page: Sequence[Due], repeated: int) -> list[Result]:
        """One transaction for each message."""
        results: list[Result] = []
        groups = [list(group) for _message, group in groupby(page, lambda due: due.message)]
        groups.sort(key=lambda them: them[0].message in self._broke)
        for number, them in enumerate(groups):
            try:
                results += self._message(them)
                self._broke.discard(them[0].message)
            except Unusable as error:
                for late in groups[number:]:
                    results += self._waits(late, f"{self._place}: {error}", EVERYTHING)
                break
            except Broken as error:
                self._broke.add(them[0].message)
                results += self._waits(them, f"{self._place}: {error}", None)
                if error.silent:
                    for late in groups[number:]:
                        results += [Left(due, EVERYTHING, f"{self._place}: {error}") for due in late]
                    break
            except Exception as error:  # whatever is wrong with one message must not stop the others
                self._drop()
                results += [Left(due, None, f"{type(error).__name__}: {error}", defect=True) for due in them]
        self._used = time.monotonic()
        return results

    def rest(self) -> float | None:
        """Close a connection that was kept long enough."""
        if self._session is None:
            return None
        left = self._used + KEPT - time.monotonic()
        if left > 0:
            return left
        self.close()
        return None

    def close(self) -> None:
        """Say goodbye."""
        if self._session is not None:
            self._session.quit()
            self._session = None

    # --- inside -----------------------------------------------------------------------------------

    def _message(self, them: Sequence[Due]) -> list[Result]:
        found = self._store.envelope(them[0].message)
        if found is None:
            return []
        envelope = found[0]
        names = [due.recipient.address or address(due) for due in them]

        def text() -> Iterable[bytes]:
            body = them[0].body
            return (body,) if body is not None else (self._store.text(envelope.id) or ())

        kept = self._session is not None
        try:
            outcomes = self._connected().send(envelope, names, text)
        except _Stale as stale:
            self._drop()
            # The program has closed a connection that nobody used; it has not heard of this message.
            if not kept:
                raise Broken(str(stale)) from None
            return self._message(them)
        except BaseException:
            self._drop()
            raise
        if self._session is not None and self._session.is_over:
            self._drop()
        return [self._result(due, outcome, self.place(due)) for due, outcome in zip(them, outcomes)]

    def _waits(self, them: Sequence[Due], reason: str, what: str | None) -> list[Result]:
        return [self._result(due, Outcome(DEFERRED, "4.4.2", reason), what) for due in them]

    def _result(self, due: Due, outcome: Outcome, what: str | None) -> Result:
        if outcome.kind == SENT:
            return Done(due, "sent")
        if outcome.kind == FAILED or self._schedule.is_over(due.received, self._clock()):
            return Refused(due, outcome)
        return Left(due, what, outcome.text if not outcome.code else str(outcome))

    def _connected(self) -> "_Session":
        if self._session is None:
            self._session = _Session(self._place, self._host_name)
        return self._session

    def _drop(self) -> None:
        if self._session is not None:
            self._session.drop()
            self._session = None


class _Stale(Exception):
    """The connection ended before the program could have taken anything of this message."""


class _Session:
    """One connection, greeted. Raises :class:`Unusable`. ``is_over``: it is not to be used again."""

    def __init__(self, place: Place, host_name: str) -> None:
        self._wire = smtplib.LMTP(local_hostname=host_name, timeout=CONNECT)
        self.is_over = False
        try:
            # smtplib takes a path for a socket of this host.
            self._greeted("the greeting", self._wire.connect(place.path or place.host, place.port))
            self._wire.sock.settimeout(REPLY)
            self._greeted("LHLO", self._wire.ehlo())
        except (OSError, smtplib.SMTPException) as error:
            self.drop()
            raise Unusable(f"no connection: {_reason(error)}") from None
        except Unusable:
            self.drop()
            raise

    def send(self, envelope: Envelope, names: Sequence[str], text: Callable[[], Iterable[bytes]]) -> list[Outcome]:
        """One message; an outcome for each of ``names``, in their order.

        Raises :class:`Unusable`, :class:`Broken` and :class:`_Stale`, after each of which the connection is of no use.
        """
        options = self._options(envelope, names)
        if options is None:
            # RFC 6531 section 3.5.
            refused = Outcome(FAILED, "5.6.7", "the program with the mailboxes takes no addresses in UTF-8")
            return [refused] * len(names)
        commands = [f"MAIL FROM:<{parse(envelope.sender, sender=True)}>{options}"]
        commands += [f"RCPT TO:<{parse(name, sender=False)}>" for name in names]
        (code, said), *replies = self._ask(commands)
        if code // 100 != 2:
            self._reset()
            if code in (552, 555):
                # RFC 1870 section 6.1: too big, and so it will be the next time.
                return [from_reply(code, said)] * len(names)
            reason = Outcome(DEFERRED, "4.5.0", f"MAIL was answered {code} {clean(said)}")
            return [reason] * len(names)
        outcomes = [from_reply(*reply) for reply in replies]
        taken = [place for place, outcome in enumerate(outcomes) if outcome.kind == SENT]
        if not taken:
            self._reset()
            return outcomes
        self._text(text(), outcomes, taken)
        return outcomes

    def quit(self) -> None:
        """Say goodbye, and wait for nobody."""
        with suppress(OSError, smtplib.SMTPException):
            self._wire.sock.settimeout(1.0)
            self._wire.quit()
        self.drop()

    def drop(self) -> None:
        """Close the connection."""
        self.is_over = True
        self._wire.close()

    # --- inside -----------------------------------------------------------------------------------

    def _options(self, envelope: Envelope, names: Sequence[str]) -> str | None:
        """Parameters of MAIL; None where the program lacks one that is needed."""
        wire, found = self._wire, ""
        if envelope.smtputf8 or not all(name.isascii() for name in (envelope.sender, *names)):
            if not wire.has_extn("smtputf8"):
                return None
            found += " SMTPUTF8"
        if wire.has_extn("size"):
            found += f" SIZE={envelope.size}"
        if envelope.eight_bit and wire.has_extn("8bitmime"):
            found += " BODY=8BITMIME"
        return found

    def _ask(self, commands: Sequence[str]) -> list[tuple[int, str]]:
        """Together where the program takes them so (RFC 2033 section 5: it must offer it); the first reply decides."""
        together = self._wire.has_extn("pipelining")
        replies: list[tuple[int, str]] = []
        try:
            if together:
                self._wire.sock.sendall("".join(f"{command}\r\n" for command in commands).encode())
            for command in commands:
                if not together:
                    self._wire.sock.sendall(f"{command}\r\n".encode())
                replies.append(self._reply())
                if not together and replies[0][0] // 100 != 2:
                    break
        except (OSError, smtplib.SMTPException) as error:
            if _is_silence(error):
                raise Broken("no reply within the time limit", silent=True) from None
            raise _Stale(f"the connection ended before DATA: {_reason(error)}") from None
        return replies

    def _text(self, text: Iterable[bytes], outcomes: list[Outcome], taken: Sequence[int]) -> None:
        """RFC 2033 section 4.2: behind the dot, a reply for each recipient that was taken, in the order of RCPT."""
        unheard = list(taken)
        wire = self._wire
        try:
            wire.sock.sendall(b"DATA\r\n")
            code, said = self._reply()
            if code != 354:
                self._reset()
                for place in taken:
                    outcomes[place] = Outcome(DEFERRED, "4.5.0", f"DATA was answered {code} {clean(said)}")
                return
            for piece in _stuffed(text):
                wire.sock.sendall(piece)
            wire.sock.settimeout(FINAL)
            for place in taken:
                outcomes[place] = from_reply(*self._reply())
                unheard.remove(place)
            wire.sock.settimeout(REPLY)
        except (OSError, smtplib.SMTPException) as error:
            # Of those whose reply came it is known; the others are tried again, and may get it twice.
            if len(unheard) == len(taken):
                reason = f"the connection ended within a message: {_reason(error)}"
                raise Broken(reason, silent=_is_silence(error)) from None
            self.is_over = True
            for place in unheard:
                outcomes[place] = Outcome(DEFERRED, "4.4.2", "the connection ended before the reply")

    def _reset(self) -> None:
        try:
            self._wire.sock.sendall(b"RSET\r\n")
            if self._reply()[0] // 100 != 2:
                self.is_over = True
        except (OSError, smtplib.SMTPException, Unusable):
            self.is_over = True

    def _reply(self) -> tuple[int, str]:
        code, said = self._wire.getreply()
        text = said.decode("utf-8", "replace")
        if code == 421:
            # RFC 5321 section 4.2.3: it is about the program and not about what was asked.
            raise Unusable(f"421 {clean(text)}")
        return code, text

    @staticmethod
    def _greeted(step: str, reply: tuple[int, bytes]) -> None:
        code, said = reply
        if code // 100 != 2:
            raise Unusable(f"{step} was answered {code} {clean(said.decode('utf-8', 'replace'))}")


def _stuffed(text: Iterable[bytes]) -> Iterator[bytes]:
    """The text and the dot as they go over the wire."""
    ends, dots = LineEnds(), Dots()
    for piece in text:
        yield dots.feed(ends.feed(piece))
    yield dots.feed(ends.end()) + b".\r\n"


def _is_silence(error: Exception) -> bool:
    # smtplib wraps what the socket raises.
    return isinstance(error, TimeoutError) or "timed out" in str(error)


def _reason(error: Exception) -> str:
    return clean(os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error))
