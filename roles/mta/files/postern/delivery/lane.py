# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One way into mailboxes: a thread that reads the queue a page at a time and hands pages to a carrier.

The oldest message comes first; what was accepted meanwhile only tells it to look again, so a large backlog is nowhere but
on the disk. What was delivered is taken off the queue a page at once. A crash in between repeats the delivery.

What cannot be done is left alone for longer and longer: a mailbox, or all that this carrier has. Nothing is lost, nobody
is told, and the mail goes on when there is room.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..queue.store import Due, Envelope, Store, id_text
from .outcome import Outcome
from .trouble import Troubles

#: Seconds until a mailbox that could not be written (no room, no permission) is tried again, at first and at last.
RETRY_AFTER, RETRY_AT_LAST = 60.0, 600.0
#: Recipients that are read, delivered and taken off the queue together.
PAGE = 64
#: Seconds in which messages that come one after the other are gathered.
GATHER = 0.03

#: What is wrong with the way itself (the disk, the other server) and with no mailbox in particular.
EVERYTHING = "all mailboxes"
_QUEUE = "the queue"
_START = (-1, -1)


@dataclass(frozen=True)
class Done:
    """A mailbox has it. ``result``: the word for the log."""

    due: Due
    result: str


@dataclass(frozen=True)
class Left:
    """It stays in the queue, and so does everything else about ``what``: :data:`EVERYTHING`, a mailbox, or None for
    nothing else. ``defect``: it is an error of this server's own."""

    due: Due
    what: Hashable
    reason: str
    defect: bool = False


@dataclass(frozen=True)
class Refused:
    """Nobody will ever have it, and its sender is to be told."""

    due: Due
    outcome: Outcome


Result = Done | Left | Refused


class Carrier(Protocol):
    """Puts messages into mailboxes. All of it is called by the lane's thread."""

    def place(self, due: Due) -> Hashable:
        """The mailbox of a recipient. Raises ValueError when there can be none."""

    def carry(self, page: Sequence[Due], repeated: int) -> list[Result]:
        """Deliver; whoever is in no result has vanished from the queue. Messages before ``repeated`` may be there."""

    def rest(self) -> float | None:
        """Nothing is to be done now. Seconds until this wants to be called again, None for never."""

    def close(self) -> None:
        """The last call."""


def address(due: Due) -> str:
    """The mailbox's own name."""
    return f"{due.recipient.local_part}@{due.recipient.domain}"


class Lane:
    """Delivers by ``carrier`` to the domains ``only`` (all where empty) that are not in ``but``.

    ``refused`` is called with all recipients of a message that were refused for good. It tells the sender and takes them
    off the queue, or raises; then they are left for a while.
    """

    def __init__(
        self,
        store: Store,
        carrier: Carrier,
        log,
        retry_after: float = RETRY_AFTER,
        only: Collection[str] = (),
        but: Collection[str] = (),
        refused: Callable[[Sequence[Refused]], None] | None = None,
        name: str = "local-delivery",
    ) -> None:
        self._store = store
        self._carrier = carrier
        self._log = log
        self._only, self._but = frozenset(only), frozenset(but)
        self._refused = refused
        self._troubles = Troubles(retry_after, RETRY_AT_LAST)
        #: A message before this one may be in its mailbox already: from before the start, or before a failure.
        self._repeated = store.new_id()
        #: What is in mailboxes and could not be taken off the queue; nothing else is done before it is.
        self._undone: dict[int, list[int]] = {}
        self._lock = threading.Lock()
        self._asked: tuple[int, int] | None = _START
        self._look = threading.Event()
        self._stopping = threading.Event()
        self._going = threading.Event()
        self._going.set()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Take up what the queue holds from before, then everything that is accepted from now on."""
        self._thread.start()

    def pause(self, paused: bool) -> None:
        """Leave in the queue what is there, or go on with it. What is in hand is finished."""
        if paused:
            self._going.clear()
        else:
            self._going.set()

    def look_again(self) -> None:
        """Go through the queue from its beginning: somebody else has changed it."""
        self._look_from(_START)

    def close(self) -> None:
        """Finish what is in hand and stop; what is left stays in the queue. Blocks until then."""
        self._stopping.set()
        self._going.set()
        self._look.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._carrier.close()

    def added(self, envelope: Envelope) -> None:
        """A message is in the queue now."""
        if any(recipient.is_local and self._serves(recipient.domain) for recipient in envelope.recipients):
            # Ids grow, but a long message may be accepted behind others that began later.
            self._look_from((envelope.id, -1))

    # --- what is to be done -----------------------------------------------------------------------

    def _serves(self, domain: str) -> bool:
        return domain in self._only if self._only else domain not in self._but

    def _look_from(self, place: tuple[int, int], wake: bool = True) -> None:
        with self._lock:
            self._asked = place if self._asked is None else min(self._asked, place)
        if wake:
            self._look.set()

    def _take(self) -> tuple[int, int] | None:
        with self._lock:
            asked, self._asked = self._asked, None
        return asked

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._turn()
            except Exception as error:  # the queue cannot be read or written, or there is a defect
                self._note(_QUEUE, "delivery.error", f"{type(error).__name__}: {error}", "error")
            waits = [wait for wait in (self._troubles.next(), self._carrier.rest()) if wait is not None]
            if self._stopping.is_set():
                return
            self._look.wait(min(waits, default=None))
            self._look.clear()

    def _turn(self) -> None:
        """Deliver page after page, until there is no more."""
        after = self._take()
        while True:
            self._going.wait()
            if self._troubles.due():
                after = _START
            if after is None:
                return
            if self._stopping.is_set() or self._troubles.blocked(_QUEUE) or self._troubles.blocked(EVERYTHING):
                self._look_from(after, wake=False)
                return
            try:
                self._finish({})
                page = self._store.due_local(after, PAGE, self._but, self._only)
                self._settle(self._carrier.carry(list(self._open(page)), self._repeated))
            except BaseException:
                self._look_from(after, wake=False)
                raise
            self._settled(_QUEUE)
            if len(page) < PAGE and self._look.is_set():
                # More comes all the time: what shares its syncs costs less, and nobody notices a moment.
                self._stopping.wait(GATHER)
            # What is added behind the end of a page that is not full is announced.
            self._look.clear()
            places = [page[-1][:2] if len(page) == PAGE else None, self._take()]
            after = min((place for place in places if place is not None), default=None)

    def _open(self, page: Sequence[Due]) -> Iterator[Due]:
        """Without those who are left alone."""
        for due in page:
            try:
                place = self._carrier.place(due)
            except ValueError as error:
                who = {"id": id_text(due.message), "recipient": address(due)}
                self._note(due[:2], "delivery.failed", str(error), **who)
                continue
            if not self._troubles.blocked(place) and not self._troubles.blocked(due[:2]):
                yield due

    # --- what came of it --------------------------------------------------------------------------

    def _settle(self, results: Sequence[Result]) -> None:
        done: dict[int, list[int]] = {}
        refused: dict[int, list[Refused]] = {}
        left: list[Left] = []
        for result in results:
            due = result.due
            if isinstance(result, Left):
                left.append(result)
                continue
            self._settled(self._carrier.place(due))
            if isinstance(result, Refused):
                refused.setdefault(due.message, []).append(result)
                continue
            done.setdefault(due.message, []).append(due.number)
            self._log.event("delivery.local", id=id_text(due.message), recipient=address(due), result=result.result)
        for result in left:
            what = result.due[:2] if result.what is None else result.what
            who = {"id": id_text(result.due.message), "recipient": address(result.due)}
            name, level = ("delivery.error", "error") if result.defect else ("delivery.failed", "warning")
            self._note(what, name, result.reason, level, **who)
        if (done or refused) and not left:
            # With some of a page gone wrong the others may have come before the disk was full.
            self._settled(EVERYTHING)
        self._finish(done)
        for message, them in refused.items():
            self._give_up(message, them)

    def _give_up(self, message: int, them: Sequence[Refused]) -> None:
        try:
            if self._refused is None:
                raise RuntimeError("there is nobody who could tell the sender")
            self._refused(them)
        except Exception as error:  # who cannot be told keeps the message in the queue
            for each in them:
                reason = f"{type(error).__name__}: {error}"
                self._note(each.due[:2], "delivery.error", reason, "error", id=id_text(message), recipient=address(each.due))

    def _finish(self, done: dict[int, list[int]]) -> None:
        """Take recipients off the queue, all in one transaction; returns when it is durable.

        What raises is kept and comes first the next time: a mailbox may lose a message to its reader meanwhile, and
        would get it twice.
        """
        self._undone |= done
        if self._undone:
            self._store.finish_all(self._undone).result()
            self._undone = {}

    # --- what is said -----------------------------------------------------------------------------

    def _note(self, what: Hashable, name: str, reason: str, level: str = "warning", **fields: str) -> None:
        """Say it once; whoever reads the log need not know how often it was tried since."""
        self._repeated = self._store.new_id()
        if self._troubles.met(what):
            self._log.event(name, level=level, error=reason, **fields)

    def _settled(self, what: Hashable) -> None:
        if self._troubles.over(what):
            self._log.event("delivery.recovered", what=str(what))
