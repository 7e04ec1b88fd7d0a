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
from collections.abc import Callable, Collection, Coroutine, Hashable, Sequence

from ..queue.store import Envelope, Notification, Store, StoreError, id_text
from ..rules.engine import RuleSet
from ..rules.static_routes import Routes
from ..smtp.state import Accounts
from .attempt import Courier, Tried
from .backlog import HANDS, Backlog
from .content import Content
from .conversation import Limits, Outcome, Trust
from .destination import Bounds, Destinations
from .gathering import PATIENCE, Gathering
from .loader import Loaded, Loader
from .outcome import DEFERRED, same_for
from .pool import Busy
from .postmaster import Postmaster, Untold
from .resolver import Resolver
from .schedule import SLACK, Schedule
from .trouble import Said
from .verdict import Case, Work, judge, log_lines

#: Seconds after which the queue is tried again when it could not be read or written.
PAUSE = 60.0
#: Seconds that conversations get to come to their end when the server stops.
GRACE = 5.0
#: Seconds for which a text that was read counts as what the queue holds.
_FRESH = 1.0
#: The clock of the host may be set: what is due is looked at this often (seconds) at least.
_LOOK_EVERY = 900.0
#: What may be in trouble beside a message.
_SEARCH, _READ, _WRITE = "the search for what is due", "a look at a message", "the result of an attempt"


class RemoteDelivery:
    """Sends what the queue holds for other hosts. All methods run on one event loop.

    ``rules`` returns the running policy, None while there is none or sending is stopped: then nothing is sent.
    ``accounts`` says where a notification goes. ``own_names`` and ``own_addresses`` are what this server is called and
    listens on. ``clock`` returns seconds since the epoch; whoever sets it calls :meth:`wake`. ``gather``: seconds that a
    sender is not told of what failed while other domains of the message are being tried.
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
        gather: float = PATIENCE,
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
            resolver, trust, limits, host_name, names, own_addresses, log, routes, bounds, self._destinations,
            self._freed,
        )  # fmt: skip
        self._loader = Loader(store)
        self._backlog = Backlog(hands=max(HANDS, 4 * bounds.connections), hands_per_domain=bounds.per_domain)
        self._gathering = Gathering(self._tell, gather)
        self._said = Said()
        self._next = 0.0
        self._seen = 0.0
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
        for message in self._gathering.messages():
            self._tell(message)
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
                self._trouble(_SEARCH, error)
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
        if now < self._seen - SLACK:
            # The clock was set back: what is known of times is worth nothing.
            self._destinations.forget()
            self._next = 0.0
        self._seen = now
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
        horizon = now + self._schedule.longest
        found = await asyncio.to_thread(
            self._store.due_remote, now, self._backlog.limit, self._backlog.per_domain, horizon
        )
        self._backlog.fill(*found)
        self._due_at(await asyncio.to_thread(self._store.next_due, now))
        self._well(_SEARCH)

    def _due_at(self, due: float | None) -> None:
        if due is not None and due < self._next:
            self._next = due

    # --- one attempt ------------------------------------------------------------------------------

    async def _attempt(self, message: int, domain: str) -> None:
        attempt = "an attempt", message, domain
        try:
            await self._try(message, domain)
        except Busy as busy:
            self._backlog.park(message, domain, busy.address)
            self._wake.set()
            return
        except Exception as error:
            # The queue cannot be read, or there is a defect behind the attempt. The pair stays in hand meanwhile.
            self._trouble(_READ if isinstance(error, StoreError) else attempt, error, message, domain)
            try:
                await asyncio.sleep(self._pause)
            finally:
                self._next = 0.0
                self._over(message, domain)
        except asyncio.CancelledError:
            self._over(message, domain)
            raise
        else:
            self._well(_READ, (message, domain))
            self._well(attempt)
            self._over(message, domain)
        self._wake.set()

    def _over(self, message: int, domain: str) -> None:
        if self._gathering.has(message, domain):
            self._backlog.set_aside(message, domain)
        else:
            self._backlog.done(message, domain)
        if not self._backlog.open(message) and message in self._gathering:
            self._tell(message)

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
        verdict = judge(work, tried, self._schedule, self._clock())
        if verdict.failed and (self._backlog.open(message) > 1 or message in self._gathering):
            # Its sender will be told of all of it at once.
            failed, work = work.split(verdict.failed)
            self._gathering.add(failed, tried)
        if work.waiting:
            await asyncio.shield(self._begin(self._record([(work, tried)])))

    def _work(self, loaded: Loaded, domain: str) -> Work | None:
        """What is due; it may be less than was thought, because it was tried in the meantime."""
        now = self._clock()
        due = {
            number: recipient
            for number, recipient in loaded.waiting.items()
            if self._schedule.is_due(recipient.due, now)
        }
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
        defect = "a defect", work.envelope.id, work.domain
        try:
            tried = await self._courier.deliver(rules, work.envelope, work.domain, addresses, content)
        except Busy:
            raise
        except Exception as error:
            self._trouble(defect, error, work.envelope.id, work.domain)
            reason = f"an error of this server: {type(error).__name__}: {error}"
            return Tried(same_for(addresses, Outcome(DEFERRED, "4.3.0", reason)))
        self._well(defect)
        if tried is not None:
            self._destinations.note(work.domain, tried.until)
        return tried

    # --- what came of it --------------------------------------------------------------------------

    def _begin(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """To the end, even when the server stops now."""
        record = asyncio.get_running_loop().create_task(coroutine)
        self._records.add(record)
        record.add_done_callback(self._records.discard)
        return record

    def _tell(self, message: int) -> None:
        self._begin(self._record_gathered(message, self._gathering.take(message)))

    async def _record_gathered(self, message: int, attempts: Sequence[tuple[Work, Tried]]) -> None:
        try:
            await self._record(attempts)
        except Exception as error:
            self._trouble(("what was gathered", message), error, message)
        finally:
            for work, _tried in attempts:
                self._backlog.forget(message, work.domain)
        # What could not be written down is still due.
        self._next = 0.0
        self._wake.set()

    async def _record(self, attempts: Sequence[tuple[Work, Tried]]) -> None:
        """Write down what attempts to send one message did, and tell its sender."""
        now = self._clock()
        message = attempts[0][0].envelope.id
        cases = [Case(work, tried, judge(work, tried, self._schedule, now)) for work, tried in attempts]
        notifications: list[Notification] = []
        try:
            if any(case.verdict.failed or case.verdict.late for case in cases):
                notifications = await asyncio.to_thread(self._postmaster.notifications, cases, now)
        except Untold as untold:
            # Before it is done: a crash in between must not take the only trace of the message with it.
            self._log_dropped(cases, str(untold))
        except Exception as error:
            # A defect: who cannot be told keeps the message in the queue.
            self._trouble(("a notification", message), error, message)
            cases = [
                Case(work, tried, judge(work, tried, self._schedule, now, may_fail=False)) for work, tried in attempts
            ]
        else:
            self._well(("a notification", message))
        added = await self._write(cases, notifications)
        if added is None:
            return
        for case in cases:
            for due, _outcome in case.verdict.deferred.values():
                self._due_at(due)
            for fields in log_lines(case, now):
                self._log.record("relay.attempt", fields)
        for sent in added:
            self._log.event(
                "relay.notification",
                id=id_text(sent.envelope.id),
                about=id_text(message),
                kind="delayed" if sent.delay else "failed",
                recipient=cases[0].work.envelope.sender,
            )

    async def _write(
        self, cases: Sequence[Case], notifications: Sequence[Notification]
    ) -> tuple[Notification, ...] | None:
        """Until it is written: if it were given up, a message that was taken would be sent again."""
        work = cases[0].work
        finished = [number for case in cases for number in case.verdict.finished]
        waits = {
            number: (due, str(outcome)) for case in cases for number, (due, outcome) in case.verdict.deferred.items()
        }
        was_tried = not all(case.tried.until for case in cases)
        while True:
            try:
                added = await self._store.record(work.envelope.id, finished, waits, notifications, was_tried)
            except StoreError as error:
                self._trouble(_WRITE, error, work.envelope.id, work.domain)
            else:
                self._well(_WRITE)
                return added
            if self._closing:
                return None
            await asyncio.sleep(self._pause)

    # --- what is said -----------------------------------------------------------------------------

    def _trouble(self, what: Hashable, error: Exception, message: int | None = None, domain: str = "") -> None:
        """Something of this server's own went wrong: said once, and again when it is something else."""
        reason = f"{type(error).__name__}: {error}"
        if self._said.met(what, reason, (message, domain)):
            about = {"id": id_text(message)} if message is not None else {}
            if domain:
                about["domain"] = domain
            self._log.event("relay.error", level="error", **about, error=reason)

    def _well(self, what: Hashable, by: tuple[int, str] | None = None) -> None:
        if reason := self._said.over(what, by):
            self._log.event("relay.error_over", error=reason)

    def _log_dropped(self, cases: Sequence[Case], reason: str) -> None:
        """Nobody learns of a failure but who reads the log. A delay that cannot be told is none of that."""
        envelope = cases[0].work.envelope
        failed = [case.work.addresses[number] for case in cases for number in case.verdict.failed]
        if failed:
            self._log.event(
                "relay.dropped",
                level="warning",
                id=id_text(envelope.id),
                sender=envelope.sender,
                recipients=" ".join(failed),
                reason=reason,
            )
