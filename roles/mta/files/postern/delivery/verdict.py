# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an attempt means for each recipient: delivered, to be tried again, or over. Values, without I/O."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..queue.store import Envelope, Recipient, Waiting, id_text
from ..smtp.address import Mailbox
from .attempt import Tried, address_text
from .outcome import DEFERRED, FAILED, SENT, Outcome
from .schedule import Schedule

_NO_OUTCOME = Outcome(DEFERRED, "4.3.0", "an error of this server: the attempt had no outcome")


@dataclass(frozen=True)
class Work:
    """One message, and its recipients at one domain that are due, by their number.

    ``told``: the sender knows that the message is late.
    """

    envelope: Envelope
    told: bool
    domain: str
    waiting: dict[int, Waiting]

    @property
    def addresses(self) -> dict[int, str]:
        """The recipients as they stand between ``<`` and ``>``."""
        return {number: address(waiting.recipient) for number, waiting in self.waiting.items()}

    def split(self, numbers: Container[int]) -> tuple["Work", "Work"]:
        """These recipients and the others."""
        these = {number: waiting for number, waiting in self.waiting.items() if number in numbers}
        others = {number: waiting for number, waiting in self.waiting.items() if number not in numbers}
        return replace(self, waiting=these), replace(self, waiting=others)


@dataclass(frozen=True)
class Verdict:
    """By recipient number: ``sent``, ``failed`` (refused for good or ``given_up``), and ``deferred`` until a time in
    seconds since the epoch. ``late``: the sender is to be told that it waits."""

    sent: dict[int, Outcome]
    failed: dict[int, Outcome]
    given_up: frozenset[int]
    deferred: dict[int, tuple[float, Outcome]]
    late: bool

    @property
    def finished(self) -> tuple[int, ...]:
        """Recipients that leave the queue."""
        return (*self.sent, *self.failed)


@dataclass(frozen=True)
class Case:
    """An attempt and what it means."""

    work: Work
    tried: Tried
    verdict: Verdict


def address(recipient: Recipient) -> str:
    """The address as it stands between ``<`` and ``>``."""
    return str(Mailbox(recipient.local_part, recipient.domain))


def judge(work: Work, tried: Tried, schedule: Schedule, now: float, may_fail: bool = True) -> Verdict:
    """Sort the recipients. ``may_fail`` false: nobody can be told now, so who failed is tried again instead."""
    sent: dict[int, Outcome] = {}
    failed: dict[int, Outcome] = {}
    given_up: set[int] = set()
    deferred: dict[int, tuple[float, Outcome]] = {}
    received = work.envelope.received
    for number, path in work.addresses.items():
        outcome = tried.outcomes.get(path, _NO_OUTCOME)
        if outcome.kind == SENT:
            sent[number] = outcome
        elif may_fail and outcome.kind == FAILED:
            failed[number] = outcome
        elif may_fail and schedule.is_over(received, now, work.waiting[number].attempts):
            failed[number] = outcome
            given_up.add(number)
        else:
            # What was put off was not tried: only the hosts are waited for.
            due = (
                schedule.put_off(received, tried.until, now)
                if tried.until
                else schedule.next_attempt(received, work.waiting[number].attempts, now)
            )
            deferred[number] = (due, outcome)
    late = bool(deferred) and not work.told and schedule.is_late(received, now)
    return Verdict(sent, failed, frozenset(given_up), deferred, late)


def log_lines(case: Case, now: float) -> Iterator[dict[str, Any]]:
    """The fields of an attempt's line in the log; several lines only when recipients had different fates."""
    work, tried, verdict = case.work, case.tried, case.verdict
    security, hop = tried.security, tried.hop
    deferred = {number: outcome for number, (_due, outcome) in verdict.deferred.items()}
    for result, outcomes in ((SENT, verdict.sent), (DEFERRED, deferred), (FAILED, verdict.failed)):
        if not outcomes or (tried.until and result == DEFERRED):
            # The log has a line for the attempt that found the host silent, and none for each message behind it.
            continue
        first = min(outcomes)
        reason = str(outcomes[first])
        if first in verdict.given_up:
            reason = f"given up after {_span(now - work.envelope.received)}: {reason}"
        if security.fallback:
            reason = f"in clear because TLS failed ({security.reason}): {reason}"
        yield {
            "id": id_text(work.envelope.id),
            "domain": work.domain,
            "recipients": len(outcomes),
            "host": hop.host if hop else "",
            "address": address_text(hop) if hop else "",
            "level": tried.level,
            "level_reason": tried.why,
            "reached": security.reached,
            "protocol": security.protocol,
            "cipher": security.cipher,
            "subject": security.subject,
            "verified": security.verified,
            "fingerprint": security.fingerprint,
            "result": result,
            "reason": reason,
            "fallback": security.fallback,
            "retry": round(max(0.0, verdict.deferred[first][0] - now), 3) if result == DEFERRED else 0,
        }


def _span(seconds: float) -> str:
    return f"{seconds / 86400:.1f} days" if seconds >= 86400 else f"{seconds:.0f} seconds"
