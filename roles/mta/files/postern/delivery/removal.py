# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a sender is told about mail that an operator took off the queue."""

from __future__ import annotations

import time

from ..queue.store import Envelope
from ..smtp.state import Accounts
from . import notification
from .advice import DELETED
from .notification import Undelivered
from .outcome import FAILED, Outcome
from .postmaster import Untold, recipients_of


class Removal:
    """Writes these notifications, for :func:`steering.delete`. ``accounts`` says which addresses are mailboxes here."""

    def __init__(self, host_name: str, accounts: Accounts) -> None:
        self._host_name = host_name
        self._accounts = accounts

    def __call__(
        self, about: Envelope, head: bytes, addresses: tuple[str, ...], number: int
    ) -> tuple[Envelope, bytes] | None:
        """The notification of id ``number``, and its envelope; None where nobody can be told."""
        try:
            recipients = recipients_of(about.sender, self._accounts)
        except Untold:
            return None
        now = time.time()
        utf8 = notification.needs_utf8(about)
        outcome = Outcome(FAILED, DELETED, "taken off the queue by the operator")
        body = notification.failure(
            self._host_name, about, notification.header_of(head), number, now,
            [Undelivered(address, outcome) for address in addresses],
        )  # fmt: skip
        envelope = Envelope(
            number, "", recipients, helo=self._host_name, eight_bit=utf8, received=now, smtputf8=utf8, size=len(body)
        )
        return envelope, body
