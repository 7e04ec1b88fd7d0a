# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing a plan, all of it or nothing: backup, apply, read back, prove, save; after any failure the way back.

A server has no transactions of its own that reach that far: what a COMMIT did whose answer was lost, and what a server
made active before it, nobody can tell without looking. So after a failure the server is read again, and what differs
from the state before is set back, over a new session when the old one broke. What somebody else changed meanwhile is
never overwritten.
"""

from __future__ import annotations

import typing as t

from ._policy.errors import PolicyError
from ._servers.base import (
    AnswerTimeout,
    MailServer,
    Plan,
    ProtocolError,
    ReadBackError,
    ServerError,
    Snapshot,
    Unreachable,
)

if t.TYPE_CHECKING:
    from ._goal import Goal, Safety

#: Steps of a transaction, for ``ServerError.step``.
WRITE, READ_BACK, PROVE, SAVE = "write", "read back", "prove", "save"

#: What a server is left with, for ``ServerError.state``.
UNCHANGED = "unchanged"
ROLLED_BACK = "rolled back"
FOREIGN = "changed by somebody else"
UNKNOWN = "unknown"

#: How often the way back is tried: what broke the change may break the first one, too.
_ATTEMPTS = 2

#: What to do when somebody else's change was left alone. A run that finds everything in place saves nothing.
_NOT_SAVED = "This run saved nothing: look at it, and keep it with SAVE CONFIG if it is right."
_MAYBE_SAVED = "Whether it was saved is not known: look at it, and keep it with SAVE CONFIG if it is right."


class _Foreign(Exception):
    """Somebody else changed the server after this run; the text says what."""


class Transaction:
    """One plan that is written. The constructor raises ``PolicyError`` for what forbids it, in check mode too."""

    def __init__(self, server: MailServer, goal: Goal, snapshot: Snapshot, plan: Plan, safety: Safety) -> None:
        self._server = server
        self._goal = goal
        self._before = snapshot
        self._plan = plan
        self._safety = safety
        self._after: t.Optional[Snapshot] = None
        self._backup = ""
        self._step = WRITE
        if safety.backup_dir:
            from . import _backup

            _backup.check_writable(safety.backup_dir)
        asked = bool(safety.probe_address)
        rules = server.unproven(snapshot.policy, plan.desired, asked) if goal.proves else ()
        if rules:
            from ._proof import Proof

            self._proof: t.Optional[Proof] = Proof(rules, plan.desired, safety)
        else:
            self._proof = None

    def run(self) -> str:
        """Do it. Returns the folder of the backup, "" for none.

        Raises ``PolicyError`` when there can be no backup, and :class:`ServerError` whose advice says what the server
        is left with. Before anything was written it is the error as it came.
        """
        if self._safety.backup_dir:
            from . import _backup

            self._backup = _backup.write(
                self._safety.backup_dir, self._safety.peer, self._before.files, self._safety.facts
            )
        self._server.begin(self._plan)
        try:
            self._write()
        except ServerError as error:
            raise self._failed(error) from error
        except BaseException:
            # An interrupt from the keyboard, or an error of this program.
            self._way_back()
            raise
        return self._backup

    def _write(self) -> None:
        self._server.apply(self._plan)
        self._step = READ_BACK
        after = self._server.read()
        self._goal.verify(self._server, self._plan, after)
        self._after = after
        if self._proof is not None:
            self._step = PROVE
            self._proof.run()
        if self._safety.save:
            self._step = SAVE
            self._server.save()

    # --- the way back ---------------------------------------------------------------------------

    def _failed(self, error: ServerError) -> ServerError:
        """The error with what became of the server."""
        step, operation = self._step, error.operation
        if step == READ_BACK and not isinstance(error, ReadBackError):
            operation = "read back what was written: %s" % operation
        state, words = self._way_back()
        # What the others advise is about a session whose end says nothing about the server any more.
        lost = isinstance(error, (AnswerTimeout, ProtocolError, Unreachable))
        advice = [words] if lost or not error.advice else [error.advice, words]
        if isinstance(error, AnswerTimeout):
            advice.append("Raise admin_timeout if the server is slow.")
            if state == UNCHANGED:
                advice.append("Should it still be at work on the change, that may come yet: look again later.")
        if self._backup and state in (FOREIGN, UNKNOWN):
            advice.append("The state before this run is in %s; smtp_restore brings it back." % self._backup)
        failed = type(error)(operation, error.said, " ".join(advice))
        failed.step, failed.state, failed.backup = step, state, self._backup
        return failed

    def _way_back(self) -> t.Tuple[str, str]:
        """Bring the old state back. Returns what the server is left with, as a state and in words. Never raises."""
        saving = self._step == SAVE
        wrote = restored = False
        reason = ""
        for _attempt in range(_ATTEMPTS):
            try:
                self._server.recover()
                wrote = self._roll_back() or wrote
                restored = True
                if saving:
                    # The SAVE that failed may have taken effect all the same.
                    self._server.save()
                return _restored(wrote, saving)
            except _Foreign as found:
                return FOREIGN, (
                    "Meanwhile somebody else has changed %s: nothing was rolled back, and what stands there now is "
                    "left as it is. %s" % (found, _MAYBE_SAVED if saving else _NOT_SAVED)
                )
            except ServerError as error:
                reason = "%s: %s" % (error.operation, error.said)
            except PolicyError as error:
                # A file of the connection's is not what it was.
                reason = str(error)
        if restored:
            return UNKNOWN, (
                "The change was rolled back: what is in force is as it was before. Saving that failed too (%s), so "
                "that it is not known what the server has saved; save it by hand (SAVE CONFIG) before it is restarted."
                % reason
            )
        return UNKNOWN, "The change could not be rolled back (%s): what is in force now is not known. %s" % (
            reason,
            _MAYBE_SAVED if saving else _NOT_SAVED,
        )

    def _roll_back(self) -> bool:
        """Whether there was something to set back. Raises :class:`ServerError`, :class:`_Foreign`."""
        found = self._server.read()
        back = self._server.restore(found, self._before.files)
        if not back.actions:
            return False
        strange = self._server.foreign(self._plan, found)
        if not strange and self._after is not None and self._server.restore(found, self._after.files).actions:
            strange = ["what this run had written"]
        if strange:
            raise _Foreign(", ".join(strange))
        # From here on the state may be half way: a second attempt must not take that for somebody else's.
        self._after = None
        self._server.begin(back)
        self._server.apply(back)
        left = self._server.restore(self._server.read(), self._before.files).actions
        if left:
            raise ServerError("roll the change back", "still to be done: %s" % "; ".join(left))
        return True


def _restored(wrote: bool, saved: bool) -> t.Tuple[str, str]:
    if saved:
        return ROLLED_BACK, "The change was rolled back and the old state saved again: the server is as it was before."
    if wrote:
        return ROLLED_BACK, "The change was rolled back, and nothing was saved: the server is as it was before."
    return UNCHANGED, "Nothing of the change is in force: the server is as it was before."
