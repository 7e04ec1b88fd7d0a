# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is told about mail that was not delivered, and with which words."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from ..queue.store import Envelope, Notification, Recipient, Store
from ..smtp.state import Accounts
from . import notification
from .notification import Undelivered
from .outcome import Outcome
from .path import NoAddress, parse
from .schedule import Schedule
from .verdict import Case, address


class Untold(Exception):
    """There is nobody to tell; the text says why."""


class Postmaster:
    """Writes the notifications of this server. ``accounts`` says which addresses are mailboxes here."""

    def __init__(self, store: Store, accounts: Accounts, host_name: str, schedule: Schedule) -> None:
        self._store = store
        self._accounts = accounts
        self._host_name = host_name
        self._schedule = schedule

    def notifications(self, cases: Sequence[Case], now: float) -> list[Notification]:
        """What the sender is to be told about attempts to send one message; blocks while the queue is read.

        At most one notification of failure, for all recipients that failed, and one of delay.
        Raises :class:`Untold` when something is to be told and nobody can be.
        """
        failed = [each for case in cases for each in _undelivered(case, case.verdict.failed, now)]
        late = any(case.verdict.late for case in cases)
        if not failed and not late:
            return []
        about = cases[0].work.envelope
        recipients = recipients_of(about.sender, self._accounts)
        original = self._store.text(about.id)
        header = notification.header_of(original.head(notification.LOOKED_AT) if original else b"")
        found = []
        if failed:
            envelope = self._envelope(about, recipients, now)
            text = notification.failure(self._host_name, about, header, envelope.id, now, failed)
            found.append(Notification(envelope, text))
        if late:
            envelope = self._envelope(about, recipients, now)
            waits = [each for case in cases for each in _undelivered(case, _waiting(case), now)]
            waits += self._others({number for case in cases for number in case.work.waiting}, about.id)
            until = about.received + self._schedule.lifetime
            text = notification.delay(self._host_name, about, header, envelope.id, now, waits, until)
            found.append(Notification(envelope, text, delay=True))
        return found

    def _others(self, known: Container[int], message: int) -> list[Undelivered]:
        """The recipients at other domains that wait too: a delay is told once for the whole message."""
        return [
            Undelivered(address(other.recipient), notification.parse_status(other.status))
            for number, other in self._store.waiting(message).items()
            if number not in known and other.attempts
        ]

    def _envelope(self, about: Envelope, recipients: tuple[Recipient, ...], now: float) -> Envelope:
        utf8 = notification.needs_utf8(about)
        return Envelope(
            self._store.new_id(), "", recipients, helo=self._host_name, eight_bit=utf8, received=now, smtputf8=utf8
        )


def recipients_of(sender: str, accounts: Accounts) -> tuple[Recipient, ...]:
    """Who gets what the sender of a message is told. Raises :class:`Untold`."""
    if not sender:
        # RFC 5321 section 4.5.5: never about a notification.
        raise Untold("it is a notification itself")
    try:
        mailbox = parse(sender, sender=True)
    except NoAddress as error:
        raise Untold(f"its sender is no address: {error}") from None
    local = not mailbox.literal and accounts.has_domain(mailbox.domain)
    found = ((mailbox.local_part, mailbox.domain, False, ""),)
    if local:
        found = accounts.destinations(mailbox.local_part, mailbox.domain)
    if not found:
        raise Untold("its sender has no mailbox here")
    return tuple(Recipient(*one) for one in found)


def _undelivered(case: Case, outcomes: Mapping[int, Outcome], now: float) -> list[Undelivered]:
    host = case.tried.hop.host if case.tried.hop else ""
    # What was put off was not tried now.
    at = 0.0 if case.tried.until else now
    addresses = case.work.addresses
    return [Undelivered(addresses[number], outcome, host, at) for number, outcome in outcomes.items()]


def _waiting(case: Case) -> dict[int, Outcome]:
    return {number: outcome for number, (_due, outcome) in case.verdict.deferred.items()}
