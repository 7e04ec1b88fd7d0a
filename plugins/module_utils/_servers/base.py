# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every server that holds a policy offers, and the errors it raises."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .._policy.policy import Policy


class ServerError(Exception):
    """Something between this client and the server failed.

    ``operation`` names what was tried on which object, ``said`` is the server's own answer (or what
    the network did), ``advice`` what to do about it.
    """

    def __init__(self, operation: str, said: str, advice: str = "") -> None:
        self.operation = operation
        self.said = said
        self.advice = advice
        text = "%s: %s" % (operation, said)
        super().__init__("%s. %s" % (text.rstrip("."), advice) if advice else text)


class Unreachable(ServerError):
    """No connection, or it ended too early."""


class LoginRefused(ServerError):
    """The server did not accept user and password. It is never tried twice."""


class CommandRefused(ServerError):
    """The server answered a command with an error."""


class AnswerTimeout(ServerError):
    """The answer did not come, or not to its end, inside the time limit."""


class ProtocolError(ServerError):
    """The answer does not have the shape that the protocol promises."""


class NotSupported(ServerError):
    """This server cannot hold what is asked, or it is not known how it would be said."""


class Conflict(ServerError):
    """Somebody else changed the server between reading and writing."""


class ReadBackError(ServerError):
    """The server took a value and does not have it."""


@dataclass(frozen=True)
class Snapshot:
    """What was read: the policy, a token that tells whether it changed since, notes on what could not be typed.

    ``rule_notes`` are notes that say nothing to somebody who manages no rules.
    """

    policy: Policy
    token: str
    notes: t.Tuple[str, ...] = ()
    native: t.Any = field(default=None, compare=False, repr=False)
    rule_notes: t.Tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What ``apply`` would do, in order, in words (``actions``); ``native`` is the server's own form of it."""

    desired: Policy
    actions: t.Tuple[str, ...] = ()
    warnings: t.Tuple[str, ...] = ()
    native: t.Any = field(default=None, compare=False, repr=False)


class MailServer:
    """A server that holds a policy. Used for one module call, by one thread, and then closed."""

    def read(self) -> Snapshot:
        """Read the whole policy. Raises :class:`ServerError`."""
        raise NotImplementedError

    def require(self, kind: t.Type[t.Any]) -> None:
        """Make sure that rules of this kind can be recognised here: what cannot be seen cannot be called absent.

        Raises :class:`NotSupported`.
        """
        raise NotImplementedError

    def require_outbound(self) -> None:
        """Make sure that forced-TLS domains of mail that goes out can be recognised here, and checked.

        From then on :meth:`read` reads the server's own domains too, and :meth:`plan` refuses a new or changed rule for
        one of them: such mail never goes out. Raises :class:`NotSupported`.
        """
        raise NotImplementedError

    def plan(self, snapshot: Snapshot, desired: Policy) -> Plan:
        """Work out how to get from ``snapshot`` to ``desired``; sends nothing.

        Raises :class:`NotSupported` or ``PolicyError`` for what this server cannot hold: here and
        not in :meth:`apply`, so that check mode refuses it too.
        """
        raise NotImplementedError

    def apply(self, plan: Plan) -> None:
        """Do what the plan says, all of it or nothing. Raises :class:`ServerError`."""
        raise NotImplementedError

    def save(self) -> None:
        """Make the running configuration survive a restart of the server."""
        raise NotImplementedError

    def close(self) -> None:
        """End the session. Never raises."""
        raise NotImplementedError
