# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every server that holds a policy offers, and the errors it raises."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .._policy.errors import few
from .._policy.policy import Policy
from .._policy.rule import ForcedTlsDomain
from .._policy.value import Value


class ServerError(Exception):
    """Something between this client and the server failed.

    ``operation`` names what was tried on which object, ``said`` is the server's own answer (or what
    the network did), ``advice`` what to do about it. After something was written, ``step`` is the step of the
    transaction that failed, ``state`` what the server is left with (see ``_transaction``) and ``backup`` the folder
    with the state before; until then all are empty.
    """

    def __init__(self, operation: str, said: str, advice: str = "") -> None:
        self.operation = operation
        self.said = said
        self.advice = advice
        self.step = ""
        self.state = ""
        self.backup = ""
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
    """This server cannot hold what is asked, or it is not known how it would be said.

    ``parts`` are the single refusals of one that was put together.
    """

    parts: t.Tuple[NotSupported, ...] = ()


def together(refusals: t.Sequence[NotSupported]) -> NotSupported:
    """One refusal that says what all of them say, each thing once."""
    parts = [part for refusal in refusals for part in refusal.parts or (refusal,)]
    distinct = list({part.said: part for part in reversed(parts)}.values())[::-1]
    if len(distinct) == 1:
        return distinct[0]
    operations = dict.fromkeys(part.operation for part in distinct)
    advice = dict.fromkeys(part.advice for part in distinct if part.advice)
    said = few([part.said for part in distinct], "%d more")
    refusal = NotSupported("; ".join(few(list(operations), "%d more")), "; ".join(said), " ".join(advice))
    refusal.parts = tuple(distinct)
    return refusal


class Conflict(ServerError):
    """Somebody else changed the server between reading and writing."""


class ReadBackError(ServerError):
    """The server took a value and does not have it."""


@dataclass(init=False, repr=False, eq=False)
class Snapshot(Value):
    """What was read: the policy, a token that tells whether it changed since, notes on what could not be typed.

    ``rule_notes`` are notes that say nothing to somebody who manages no rules. ``files`` is the state in the server's
    own form, by the names that a backup gives to its parts: all that :meth:`MailServer.restore` needs. Passwords may
    be in it.
    """

    policy: Policy
    token: str
    notes: t.Tuple[str, ...] = ()
    native: t.Any = field(default=None, compare=False, repr=False)
    rule_notes: t.Tuple[str, ...] = ()
    files: t.Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


@dataclass(init=False, repr=False, eq=False)
class Plan(Value):
    """What ``apply`` would do, in order, in words (``actions``); ``native`` is the server's own form of it."""

    desired: Policy
    actions: t.Tuple[str, ...] = ()
    warnings: t.Tuple[str, ...] = ()
    native: t.Any = field(default=None, compare=False, repr=False)


class MailServer:
    """A server that holds a policy. Used for one module call, by one thread, and then closed.

    ``kind`` is the word for it in results; ``keeps_backups``: whether the state before a change is kept where nobody says
    anything else; ``parts`` are the files that every backup of it has.
    """

    kind = ""
    keeps_backups = True
    parts: t.Tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """What the server says about its version."""
        raise NotImplementedError

    def started(self, snapshot: Snapshot) -> t.Tuple[t.Dict[str, t.Optional[bool]], t.List[str]]:
        """Whether it receives and sends (keys ``receiving``, ``sending``), and what to say about that."""
        raise NotImplementedError

    def general(self, rule: t.Any) -> t.Optional[t.Any]:
        """A rule as a ``GeneralRule`` with conditions and actions; None for one that cannot be said so."""
        raise NotImplementedError

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

        From then on :meth:`plan` refuses a new or changed rule for one of the server's own domains: such mail never goes
        out. Raises :class:`NotSupported`.
        """
        raise NotImplementedError

    def plan(self, snapshot: Snapshot, desired: Policy) -> Plan:
        """Work out how to get from ``snapshot`` to ``desired``; sends reading verbs at most.

        Raises :class:`NotSupported` or ``PolicyError`` for what this server cannot hold: here and
        not in :meth:`apply`, so that check mode refuses it too.
        """
        raise NotImplementedError

    def restore(self, snapshot: Snapshot, files: t.Mapping[str, str], exact: bool = True) -> Plan:
        """Work out how to get from ``snapshot`` back to a former one, of which these are the ``files``; sends nothing.

        ``exact``: a setting that is there now and was not there then goes, too. Not for states of long ago: a newer
        version of the server shows more of them.
        No actions means that the server is in that state. What a plan may hold is not asked: the server had it before.
        Raises :class:`ProtocolError` for files that cannot be read.
        """
        raise NotImplementedError

    def foreign(self, plan: Plan, snapshot: Snapshot) -> t.List[str]:
        """What differs in ``snapshot`` from the state before the plan and is not the plan's doing, in words.

        What the plan touches may have any value: a server may make something else of it than it was given.
        """
        raise NotImplementedError

    def unproven(self, before: Policy, desired: Policy, asked: bool) -> t.Tuple[ForcedTlsDomain, ...]:
        """New or changed rules of which only a look from outside can tell whether they let encrypted mail in.

        All that a look can tell something about when somebody has ``asked`` for it.
        """
        raise NotImplementedError

    def begin(self, plan: Plan) -> None:
        """Make sure that the server is still as it was when the plan was made, and stay where it is written.

        Writes nothing, and leaves nothing open when it raises :class:`Conflict` or another :class:`ServerError`.
        """
        raise NotImplementedError

    def apply(self, plan: Plan) -> None:
        """Do what the plan says, after :meth:`begin`. Raises :class:`ServerError`.

        Then anything may have happened, from nothing to all of it; :meth:`recover` and :meth:`read` tell.
        """
        raise NotImplementedError

    def recover(self) -> None:
        """Drop what is pending after an error, over a new session if need be. Raises :class:`ServerError`."""
        raise NotImplementedError

    def save(self) -> None:
        """Make the running configuration survive a restart of the server."""
        raise NotImplementedError

    def close(self) -> None:
        """End the session. Never raises."""
        raise NotImplementedError
