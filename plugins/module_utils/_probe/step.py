# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steps of a conversation: one look each, taken once more elsewhere where the server hangs up."""

from __future__ import annotations

import typing as t

from .reply import BUDGET, NETWORK, SERVER_BUSY, SERVER_CLOSED, SERVER_REPLY, Reply, Unobservable
from .smtp import Conversation
from .visit import Visit

#: After so many refusals a session is left: Postfix is slow from its tenth error on, and hangs up at its twentieth.
REFUSALS = 9
#: After so many silences nothing more is said: each of them costs a whole time-out.
SILENCES = 2

MAX_TEXT = 2000


class Step(t.NamedTuple):
    """One look: the facts that it notes, and how."""

    names: t.Tuple[str, ...]
    look: t.Callable[[Conversation], None]


class Walk:
    """Takes steps on one connection after another; ``visit`` pays for them and keeps the facts."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self._silences = 0

    def through(
        self,
        steps: t.Sequence[Step],
        conversation: t.Optional[Conversation],
        again: t.Callable[[], Conversation],
    ) -> t.Optional[Conversation]:
        """Take steps one after the other. A step at which the server hangs up is taken once more elsewhere.

        The conversation that is left, open or not. Raises :class:`~.reply.Unobservable` when it makes no sense to go on.
        """
        try:
            for step in steps:
                for last in (False, True):
                    if conversation is None or not conversation.connected or conversation.refusals >= REFUSALS:
                        if conversation is not None:
                            conversation.close()
                        conversation = None
                        conversation = again()
                    if self._taken(step, conversation, last):
                        break
        except BaseException:
            if conversation is not None:
                conversation.close()
            raise
        return conversation

    def _taken(self, step: Step, conversation: Conversation, last: bool) -> bool:
        try:
            step.look(conversation)
        except Unobservable as error:
            missing = [name for name in step.names if not self.visit.sees(name)]
            lost = not conversation.connected
            if lost and error.side in (SERVER_CLOSED, SERVER_BUSY) and missing and not last:
                return False
            for name in missing:
                self.visit.unseen(name, error)
            if lost and error.side in (NETWORK, BUDGET):
                self._silences += 1
                if error.side == BUDGET or self._silences >= SILENCES:
                    raise
        return True


def settled(reply: Reply) -> Reply:
    """The reply. Raises :class:`~.reply.Unobservable` for a 4xx one: the server has not decided anything."""
    if 400 <= reply.code < 500:
        raise Unobservable(str(reply), SERVER_BUSY)
    return reply


def in_sequence(reply: Reply) -> bool:
    """Whether a command was taken for one in sequence: 503 says that it was not, any other reply that it was.

    Raises :class:`~.reply.Unobservable` for 530: who must log in first is not told whether the order was right.
    """
    if reply.code == 530:
        raise Unobservable("gets %s" % reply, SERVER_REPLY)
    return reply.code != 503


def answer(reply: Reply) -> t.Dict[str, t.Any]:
    """A reply as plain data."""
    return {"code": reply.code, "text": plain(reply.text, MAX_TEXT)}


def plain(text: str, length: int) -> str:
    """A server's text for a document, bounded; control characters and what is no character are escaped."""
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
    return shown if len(shown) <= length else shown[: length - 3] + "..."
