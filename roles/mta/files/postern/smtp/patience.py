# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a client may take for what it does (RFC 5321 section 4.5.3.2).

What counts is what a client gets done and not what it sends: a whole command line, a piece of a message text. So an
octet now and then keeps nobody alive.

* Silence: the listener's idle timeout, counted from the last whole command. In a text it is counted from the last
  octet, and three minutes are the most (section 4.5.3.2.5).
* Slowness: a text has a floor speed. Each octet buys time at that speed, and never more than one span of it, so being
  fast first does not help who is slow then. A command line that was begun has to be whole within the same span.
* A client without login has some minutes to get a message accepted, and as much again when it is in a transaction;
  then again as much from the last text on.
* On a crowded listener a client without login has a minute of silence, where section 4.5.3.2.7 recommends five. That
  does not hold on the ports of submission, where whoever stays has a login.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..receiving import Receiving
from .session import Session

#: Ports on which people and their programs log in (RFC 6409, RFC 8314).
SUBMISSION_PORTS = frozenset((465, 587))
#: Seconds of silence within a message text.
TEXT_SILENCE = 180.0
#: Seconds between two looks at a client that goes as soon as its listener is crowded.
_LOOK_EVERY = 10.0

_NEVER = math.inf


@dataclass(frozen=True)
class Terms:
    """The limits of one listener in seconds, without limit ``math.inf``. ``crowded`` says whether it is at the moment.

    ``floor_speed`` in octets a second, 0 for none.
    """

    idle: float = 300.0
    text_silence: float = TEXT_SILENCE
    floor_speed: float = 500.0
    floor_span: float = 300.0
    crowded_idle: float = _NEVER
    transaction_time: float = 600.0
    crowded: Callable[[], bool] = lambda: False

    @classmethod
    def of(cls, idle_timeout: int, port: int, receiving: Receiving, crowded: Callable[[], bool]) -> "Terms":
        """From a listener's ``idle_timeout`` (seconds, 0 for no limit) and what the bootstrap file says."""
        idle = float(idle_timeout) or _NEVER
        shorter = receiving.crowded_idle if receiving.crowded_idle and port not in SUBMISSION_PORTS else _NEVER
        # Who lets clients be silent for an hour, or for ever, does not want to be rid of them in ten minutes.
        total = max(receiving.transaction_time, idle) if receiving.transaction_time else _NEVER
        return cls(
            idle=idle,
            text_silence=min(idle, TEXT_SILENCE),
            floor_speed=receiving.floor_speed,
            floor_span=receiving.floor_span,
            crowded_idle=shorter if shorter < idle else _NEVER,
            transaction_time=total,
            crowded=crowded,
        )


class Patience:
    """The times of one connection. ``now`` is always seconds of one clock that does not go back."""

    __slots__ = ("_commands", "_in_text", "_last", "_messages", "_paid_until", "_since", "_terms")

    def __init__(self, terms: Terms, now: float) -> None:
        self._terms = terms
        #: The last whole command or answer, or the last octets of a text.
        self._last = now
        #: The beginning, or the end of the last text.
        self._since = now
        #: When what was begun (a line, a text) has taken too long.
        self._paid_until = _NEVER
        self._commands = 0
        self._messages = 0
        self._in_text = False

    def heard(self, session: Session, octets: int, now: float) -> bool:
        """``session`` has just received that many octets. Whether a limit began that may come first now."""
        if session.in_data:
            return self._heard_text(octets, now)
        if self._in_text:
            self._in_text = False
            self._last = self._since = now
            self._paid_until = _NEVER
        tally = session.tally
        if tally.commands != self._commands:
            self._commands = tally.commands
            self._last = now
            self._paid_until = _NEVER
        if not session.line_begun:
            self._paid_until = _NEVER
        elif self._paid_until == _NEVER:
            self._paid_until = now + self._terms.floor_span
            return True
        return False

    def _heard_text(self, octets: int, now: float) -> bool:
        terms = self._terms
        most = now + terms.floor_span if terms.floor_speed else _NEVER
        self._last = now
        if not self._in_text:
            self._in_text = True
            self._paid_until = most
            return True
        if terms.floor_speed:
            self._paid_until = min(most, self._paid_until + octets / terms.floor_speed)
        return False

    def answered(self, session: Session, now: float) -> None:
        """What ``session`` had asked for is done: until now the client had to wait, so its time begins anew."""
        self._last = now
        if session.tally.messages != self._messages:
            self._messages = session.tally.messages
            self._since = now
        limited = self._terms.floor_speed if session.in_data else session.line_begun
        self._paid_until = now + self._terms.floor_span if limited else _NEVER
        self._in_text = session.in_data

    def begin(self, now: float) -> None:
        """The client could not talk before: it was greeted just now, or its handshake has just ended."""
        self._last = now

    def spent(self, session: Session, now: float) -> str:
        """Why this client has had its time, for the log; empty while it has not."""
        when, reason = self._end(session)
        if now >= when:
            return reason
        if self._may_be_crowded_out(session) and now >= self._last + self._terms.crowded_idle:
            return "timeout on a crowded listener" if self._terms.crowded() else ""
        return ""

    def look_at(self, session: Session, now: float) -> float:
        """When to ask :meth:`spent` again, unless the client does something; it may be asked earlier."""
        when = self._end(session)[0]
        if self._may_be_crowded_out(session):
            crowded = self._last + self._terms.crowded_idle
            return min(when, crowded if crowded > now else now + _LOOK_EVERY)
        return when

    def _end(self, session: Session) -> tuple[float, str]:
        terms = self._terms
        if session.in_data:
            return min((self._last + terms.text_silence, "timeout"), (self._paid_until, "slow feeding"))
        when, reason = min((self._last + terms.idle, "timeout"), (self._paid_until, "slow feeding"))
        if not session.tally.user:
            span = terms.transaction_time * (1 if session.transaction is None else 2)
            if self._since + span < when:
                return self._since + span, "no message for too long"
        return when, reason

    def _may_be_crowded_out(self, session: Session) -> bool:
        return self._terms.crowded_idle != _NEVER and not session.in_data and not session.tally.user
