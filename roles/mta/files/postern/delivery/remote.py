# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Delivery to other hosts: from the queue, when it is due, until it is delivered or given up.

What an attempt did is written down before the next one is thought of, in one transaction with the notification that
it causes. A crash before that repeats the attempt: mail may arrive twice, it is never lost. Whatever goes wrong with
one message, a defect of ours included, it waits, and the others go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from ..queue.store import Envelope, Notification, Store, StoreError, id_text
from ..rules.engine import RuleSet
from ..rules.static_routes import Routes
from ..smtp.state import Accounts
from .attempt import Courier, Tried
from .backlog import HANDS, Backlog
from .content import Content
from .conversation import Limits, Outcome, Trust
from .destination import Bounds, Destinations
from .loader import Loaded, Loader
from .outcome import DEFERRED, same_for
from .pool import Busy
from .postmaster import Postmaster, Untold
from .resolver import Resolver
from .schedule import Schedule
from .verdict import Verdict, Work, judge, log_lines

#: Seconds after which the queue is tried again when it could not be read or written.
PAUSE = 60.0
#: Seconds that conversations get to come to their end when the server stops.
GRACE = 5.0
#: Seconds for which a text that was read counts as what the queue holds.
_FRESH = 1.0
#: The clock of the host may be set: what is due is looked at this often (seconds) at least.
_LOOK_EVERY = 900.0


class RemoteDelivery:
    """Sends what the queue holds for other hosts. All methods run on one event loop.

    ``rules`` returns the running policy, None while there is none or sending is stopped: then nothing is sent.
    ``accounts`` says where a notification goes. ``own_names`` and ``own_addresses`` are what this server is called and
    listens on. ``clock`` returns seconds since the epoch; whoever sets it calls :meth:`wake`.
    """

    def __init__(
        self,
        store: Store,
        resolver: Resolver,
        rules: Callable[[], RuleSet | None],
        trust: Trust,
        log,
        host_name: str,
        accounts: Accounts,
        own_addresses: Callable[[], Collection[tuple[str, int]]],
        schedule: Schedule = Schedule(),
        limits: Limits = Limits(),
        own_names: Callable[[], Collection[str]] = tuple,
        clock: Callable[[], float] = time.time,
        pause: float = PAUSE,
        grace: float = GRACE,
        routes: Routes | None = None,
        bounds: Bounds = Bounds(),
    ) -> None:
        def names() -> set[str]:
            return {host_name, *own_names()}

        self._store = store
        self._rules = rules
        self._log = log
        self._schedule = schedule
        self._clock = clock
        self._pause = pause
        self._grace = grace
        self._postmaster = Postmaster(store, accounts, host_name, schedule)
        self._destinations = Destinations(schedule, bounds.longest_wait, clock)
        self._courier = Courier(
            resolver, trust, limits, host_name, names, own_addresses, log, routes, bounds, self._destinations, self._freed
        )
        self._loader = Loader(store)
        self._backlog = Backlog(hands=max(HANDS, 4 * bounds.connections), hands_per_domain=bounds.per_domain)
        self._next = 0.0
        self._wake = asyncio.Event()
        self._closing = False
        self._running: asyncio.Task | None = None
        self._attempts: set[asyncio.Task] = set()
        self._records: set[asyncio.Task] = set()

    def start(self) -> None:
        """Take up what the queue holds, then everything that is accepted from now on."""
        self._store.on_added_text(self._added)
        self._running = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        """Look again: there are rules now, or sending goes on, or the clock was set."""
        self._wake.set()

    def look_again(self) -> None:
        """Somebody else has changed the queue: what is due now is tried, hosts that did not answer are asked again."""
        self._destinations.forget()
        self._loader.forget()
        self._next = 0.0
        self._wake.set()

    async def close(self) -> None:
        """Let conversations end, for some seconds; what is unfinished then stays in the queue."""
        self._closing = True
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=self._grace)
        for attempt in tuple(self._attempts):
            attempt.cancel()
        if self._attempts:
            await asyncio.wait(self._attempts)
        # Peers took these messages: forgetting that would send them twice.
        if self._records:
            await asyncio.wait(self._records, timeout=self._grace)
        await self._courier.close(self._grace)

    # --- what is due ------------------------------------------------------------------------------

    def _added(self, envelope: Envelope, body: bytes | None) -> None:
        domains = {recipient.domain for recipient in envelope.recipients if not recipient.is_local}
        for domain in domains:
            self._backlog.add(envelope.id, domain)
        if domains:
            if body is not None:
                self._loader.remember(envelope, body, domains.copy())
            self._wake.set()

    def _freed(self, address: str, more: bool) -> None:
        if self._backlog.unpark(address, all_of_them=not more):
            self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                delay = await self._turn()
            except Exception as error:
                self._log.event("relay.error", level="error", error=f"{type(error).__name__}: {error}")
                self._next, delay = 0.0, self._pause
            try:
                async with asyncio.timeout(delay):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _turn(self) -> float | None:
        """Begin what can begin; returns the seconds until there may be more, None when only an event brings it."""
        if self._rules() is None:
            return None
        now = self._clock()
        if now >= self._next or self._backlog.wants_more:
            await self._fill(now)
        while pair := self._backlog.take():
            attempt = asyncio.get_running_loop().create_task(self._attempt(*pair))
            self._attempts.add(attempt)
            attempt.add_done_callback(self._attempts.discard)
        return min(max(0.0, self._next - self._clock()), _LOOK_EVERY)

    async def _fill(self, now: float) -> None:
        # Attempts that end meanwhile may bring it forward.
        self._next = float("inf")
        self._backlog.begin_fill()
        found = await asyncio.to_thread(self._store.due_remote, now, self._backlog.limit, self._backlog.per_domain)
        self._backlog.fill(*found)
        self._due_at(await asyncio.to_thread(self._store.next_due, now))

    def _due_at(self, due: float | None) -> None:
        if due is not None and due < self._next:
            self._next = due

    # --- one attempt ------------------------------------------------------------------------------

    async def _attempt(self, message: int, domain: str) -> None:
        try:
            await self._try(message, domain)
        except Busy as busy:
            self._backlog.park(message, domain, busy.address)
            self._wake.set()
            return
        except Exception as error:
            # The queue cannot be read, or there is a defect behind the attempt. The pair stays in hand meanwhile.
            reason = f"{type(error).__name__}: {error}"
            self._log.event("relay.error", level="error", id=id_text(message), domain=domain, error=reason)
            try:
                await asyncio.sleep(self._pause)
            finally:
                self._next = 0.0
                self._backlog.done(message, domain)
        except asyncio.CancelledError:
            self._backlog.done(message, domain)
            raise
        else:
            self._backlog.done(message, domain)
        self._wake.set()

    async def _try(self, message: int, domain: str) -> None:
        if self._rules() is None:
            # Sending was stopped a moment ago: the queue is read again when it goes on.
            self._next = 0.0
            return
        loaded = await self._loader.load(message, domain, lambda: not self._destinations.is_quiet(domain))
        rules, work = self._rules(), self._work(loaded, domain)
        if rules is None:
            self._next = 0.0
            return
        if work is None:
            return
        tried = await self._deliver(rules, work, loaded.content)
        if tried is None:
            return
        # To the end, even when the server stops now.
        record = asyncio.get_running_loop().create_task(self._record(work, tried))
        self._records.add(record)
        record.add_done_callback(self._records.discard)
        await asyncio.shield(record)

    def _work(self, loaded: Loaded, domain: str) -> Work | None:
        """What is due; it may be less than was thought, because it was tried in the meantime."""
        now = self._clock()
        due = {number: recipient for number, recipient in loaded.waiting.items() if recipient.due <= now}
        if loaded.envelope is not None and due:
            return Work(loaded.envelope, loaded.told, domain, due)
        for recipient in loaded.waiting.values():
            self._due_at(recipient.due)
        return None

    async def _deliver(self, rules: RuleSet, work: Work, read: Content | None) -> Tried | None:
        clock = asyncio.get_running_loop().time
        stale = clock() + _FRESH

        async def content() -> Content | None:
            # None begins no conversation: a server that stops waits for those that are there.
            if self._closing:
                return None
            # Who waited long for a place looks whether the message is still there.
            return read if read is not None and clock() < stale else await self._loader.text(work.envelope.id)

        addresses = tuple(work.addresses.values())
        try:
            tried = await self._courier.deliver(rules, work.envelope, work.domain, addresses, content)
        except Busy:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            self._log.event(
                "relay.error", level="error", id=id_text(work.envelope.id), domain=work.domain, error=reason
            )
            return Tried(same_for(addresses, Outcome(DEFERRED, "4.3.0", f"an error of this server: {reason}")))
        if tried is not None:
            self._destinations.note(work.domain, tried.until)
        return tried

    # --- what came of it --------------------------------------------------------------------------

    async def _record(self, work: Work, tried: Tried) -> None:
        now = self._clock()
        number = id_text(work.envelope.id)
        verdict = judge(work, tried, self._schedule, now)
        notifications: list[Notification] = []
        try:
            if verdict.failed or verdict.late:
                notifications = await asyncio.to_thread(self._postmaster.notifications, work, tried, verdict, now)
        except Untold as untold:
            # Before it is done: a crash in between must not take the only trace of the message with it.
            self._log_dropped(work, verdict, str(untold))
        except Exception as error:
            # A defect: who cannot be told keeps the message in the queue.
            self._log.event("relay.error", level="error", id=number, error=f"{type(error).__name__}: {error}")
            verdict = judge(work, tried, self._schedule, now, may_fail=False)
        added = await self._write(work, verdict, notifications, was_tried=not tried.until)
        if added is None:
            return
        for due, _outcome in verdict.deferred.values():
            self._due_at(due)
        for fields in log_lines(work, tried, verdict, now):
            self._log.record("relay.attempt", fields)
        for sent in added:
            self._log.event(
                "relay.notification",
                id=id_text(sent.envelope.id),
                about=number,
                kind="delayed" if sent.delay else "failed",
                recipient=work.envelope.sender,
            )

    async def _write(
        self, work: Work, verdict: Verdict, notifications: list[Notification], was_tried: bool
    ) -> tuple[Notification, ...] | None:
        """Until it is written: if it were given up, a message that was taken would be sent again."""
        waits = {number: (due, str(outcome)) for number, (due, outcome) in verdict.deferred.items()}
        said = False
        while True:
            try:
                return await self._store.record(
                    work.envelope.id, verdict.finished, waits, notifications, was_tried
                )
            except StoreError as error:
                if not said:
                    number = id_text(work.envelope.id)
                    self._log.event("relay.error", level="error", id=number, domain=work.domain, error=str(error))
                said = True
            if self._closing:
                return None
            await asyncio.sleep(self._pause)

    def _log_dropped(self, work: Work, verdict: Verdict, reason: str) -> None:
        """Nobody learns of a failure but who reads the log. A delay that cannot be told is none of that."""
        if verdict.failed:
            self._log.event(
                "relay.dropped",
                level="warning",
                id=id_text(work.envelope.id),
                sender=work.envelope.sender,
                recipients=" ".join(work.addresses[number] for number in verdict.failed),
                reason=reason,
            )
