# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Local delivery: from the queue into the mailboxes of this server's accounts.

Mailboxes are Maildirs here, or those of another program that takes them by LMTP. Each such place has a lane of its own, so
that one that is slow or gone keeps no mail of another. Recipients at other domains are left to :mod:`remote`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..queue.store import Envelope, Store, Waiting, id_text
from .attempt import Tried
from .lane import RETRY_AFTER, Lane, Refused, address
from .lmtp import LmtpCarrier
from .lmtp_place import OTHERS, Place
from .mailbox import MaildirCarrier
from .outcome import FAILED, Outcome
from .postmaster import Postmaster, Untold
from .schedule import Schedule
from .verdict import Case, Verdict, Work


class LocalDelivery:
    """Delivers to ``<root>/<domain>/<local part>/Maildir``; ``root`` is ``<state_dir>/domains``.

    ``lmtp`` says for which domains another program has the mailboxes, None for one whose Maildirs are here; then
    ``postmaster`` writes to senders whose mail that program refuses for good, or does not take in a ``schedule``'s lifetime.
    """

    def __init__(
        self,
        store: Store,
        root: str | Path,
        log,
        retry_after: float = RETRY_AFTER,
        lmtp: Mapping[str, Place | None] | None = None,
        postmaster: Postmaster | None = None,
        schedule: Schedule = Schedule(),
        host_name: str = "localhost",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._log = log
        self._postmaster = postmaster
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        lmtp = lmtp or {}
        places: dict[Place | None, list[str]] = {None: []}
        for domain, place in lmtp.items():
            places.setdefault(place, []).append(domain)
        named = frozenset(lmtp) - {OTHERS}
        self._lanes = []
        for number, (place, domains) in enumerate(places.items()):
            # Whoever has all others has them and those that are named with it.
            is_default = OTHERS in domains or (place is None and OTHERS not in lmtp)
            if not domains and not is_default:
                continue
            whose = {"but": named - set(domains)} if is_default else {"only": domains}
            name = f"local-delivery-{number}" if number else "local-delivery"
            carrier = MaildirCarrier(store, root) if place is None else LmtpCarrier(store, place, schedule, host_name, clock)
            refused = None if place is None else self._refused
            self._lanes.append(Lane(store, carrier, log, retry_after, refused=refused, name=name, **whose))

    def start(self) -> None:
        """Take up what the queue holds from before, then everything that is accepted from now on.

        With LMTP it is called on the event loop.
        """
        if self._postmaster is not None:
            self._loop = asyncio.get_running_loop()
        self._store.on_added(self._added)
        for lane in self._lanes:
            lane.start()

    def pause(self, paused: bool) -> None:
        """Leave in the queue what is there, or go on with it. What is in hand is finished."""
        for lane in self._lanes:
            lane.pause(paused)

    def look_again(self) -> None:
        """Go through the queue from its beginning: somebody else has changed it."""
        for lane in self._lanes:
            lane.look_again()

    def close(self) -> None:
        """Finish what is in hand and stop; what is left stays in the queue. Blocks until then."""
        for lane in self._lanes:
            lane.close()

    def _added(self, envelope: Envelope) -> None:
        for lane in self._lanes:
            lane.added(envelope)

    def _refused(self, them: Sequence[Refused]) -> None:
        """Tell the sender of a message who did not get it, and take them off the queue, in one transaction."""
        if self._postmaster is None or self._loop is None:
            raise RuntimeError("there is nobody who could tell the sender")
        message = them[0].due.message
        found = self._store.envelope(message)
        if found is None:
            return
        envelope, told = found
        outcomes: dict[int, Outcome] = {each.due.number: each.outcome for each in them}
        waiting = {each.due.number: Waiting(each.due.recipient, 0.0, 1, "") for each in them}
        given_up = frozenset(number for number, outcome in outcomes.items() if outcome.kind != FAILED)
        work = Work(envelope, told, them[0].due.recipient.domain, waiting)
        case = Case(work, Tried({}), Verdict({}, outcomes, given_up, {}, False))
        notifications = []
        try:
            notifications = self._postmaster.notifications([case], self._clock())
        except Untold as untold:
            who = " ".join(work.addresses.values())
            self._log.event(
                "relay.dropped", level="warning", id=id_text(message), sender=envelope.sender, recipients=who, reason=str(untold)
            )
        record = self._store.record(message, tuple(outcomes), {}, notifications)
        added = asyncio.run_coroutine_threadsafe(record, self._loop).result()
        for each in them:
            self._log.event(
                "delivery.refused", level="warning", id=id_text(message), recipient=address(each.due), reason=str(each.outcome)
            )
        for sent in added:
            self._log.event(
                "relay.notification", id=id_text(sent.envelope.id), about=id_text(message), kind="failed", recipient=envelope.sender
            )
