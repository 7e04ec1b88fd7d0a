# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is told about mail that was not delivered, and with which words."""

from __future__ import annotations

from collections.abc import Mapping

from ..queue.store import Envelope, Notification, Recipient, Store, Waiting
from ..smtp.state import Accounts
from . import notification
from .attempt import Tried
from .notification import Undelivered
from .path import NoAddress, parse
from .schedule import Schedule
from .verdict import Verdict, Work, address


class Untold(Exception):
    """There is nobody to tell; the text says why."""


class Postmaster:
    """Writes the notifications of this server. ``accounts`` says which addresses are mailboxes here."""

    def __init__(self, store: Store, accounts: Accounts, host_name: str, schedule: Schedule) -> None:
        self._store = store
        self._accounts = accounts
        self._host_name = host_name
        self._schedule = schedule

    def notifications(self, work: Work, tried: Tried, verdict: Verdict, now: float) -> list[Notification]:
        """What the sender is to be told about an attempt; blocks while the queue is read.

        At most one notification of failure, for all recipients that failed, and one of delay.
        Raises :class:`Untold` when something is to be told and nobody can be.
        """
        if not verdict.failed and not verdict.late:
            return []
        recipient = self._recipient(work.envelope.sender)
        original = self._store.text(work.envelope.id)
        header = notification.header_of(original.head(notification.LOOKED_AT) if original else b"")
        host = tried.hop.host if tried.hop else ""
        # What was put off was not tried now.
        at = 0.0 if tried.until else now
        found = []
        if verdict.failed:
            envelope = self._envelope(work.envelope, recipient, now)
            about = [Undelivered(work.addresses[number], outcome, host, at) for number, outcome in verdict.failed.items()]
            text = notification.failure(self._host_name, work.envelope, header, envelope.id, now, about)
            found.append(Notification(envelope, text))
        if verdict.late:
            envelope = self._envelope(work.envelope, recipient, now)
            about = [
                Undelivered(work.addresses[number], outcome, host, at)
                for number, (_due, outcome) in verdict.deferred.items()
            ]
            about += self._others(work, self._store.waiting(work.envelope.id))
            until = work.envelope.received + self._schedule.lifetime
            text = notification.delay(self._host_name, work.envelope, header, envelope.id, now, about, until)
            found.append(Notification(envelope, text, delay=True))
        return found

    def _others(self, work: Work, waiting: Mapping[int, Waiting]) -> list[Undelivered]:
        """The recipients at other domains that wait too: a delay is told once for the whole message."""
        return [
            Undelivered(address(other.recipient), notification.parse_status(other.status))
            for number, other in waiting.items()
            if number not in work.waiting and other.attempts
        ]

    def _recipient(self, sender: str) -> Recipient:
        if not sender:
            # RFC 5321 section 4.5.5: never about a notification.
            raise Untold("it is a notification itself")
        try:
            mailbox = parse(sender, sender=True)
        except NoAddress as error:
            raise Untold(f"its sender is no address: {error}") from None
        local = not mailbox.literal and self._accounts.has_domain(mailbox.domain)
        names = self._accounts.mailbox(mailbox.local_part, mailbox.domain) if local else None
        if local and names is None:
            raise Untold("its sender has no mailbox here")
        return Recipient(*(names or (mailbox.local_part, mailbox.domain)), local)

    def _envelope(self, about: Envelope, recipient: Recipient, now: float) -> Envelope:
        utf8 = notification.needs_utf8(about)
        return Envelope(
            self._store.new_id(), "", (recipient,), helo=self._host_name, eight_bit=utf8, received=now, smtputf8=utf8
        )
