# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a sender is told about mail that was not delivered, or is late: delivery status notifications.

Three parts: a text for people, the facts for programs (RFC 3464), and the header of the message; their form is in
:mod:`report`. The body of the message stays out of it: it would make a notification as large as what caused it.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate

from ..queue.store import Envelope, id_text
from .advice import advice
from .outcome import DEFERRED, Outcome, enhanced
from .report import Form

#: Octets of the original header that go into a notification.
MAX_HEADER = 32 * 1024
#: Octets of a message that are looked at: with the end of a line behind the longest header.
LOOKED_AT = MAX_HEADER + 2
#: Recipients that people are told of; the others are among the facts.
MAX_NAMED = 100
#: Characters of facts about recipients that may be left out, then they are: a thousand refused recipients must not make
#: a notification of a megabyte. Who it was and which status it got is always there.
MAX_DETAILS = 64 * 1024

_WIDTH = 76

_PEER_REPLY = re.compile(r"(\d{3})(?: (.*))?", re.DOTALL)
_OWN_REASON = re.compile(r"(\d\.\d{1,3}\.\d{1,3}) (.*)", re.DOTALL)


@dataclass(frozen=True)
class Undelivered:
    """One recipient (as between ``<`` and ``>``), why it has no mail, the host that said so, empty if none did, and
    when it was tried for the last time (seconds since the epoch), 0 if that is not known."""

    address: str
    outcome: Outcome
    host: str = ""
    tried: float = 0.0


def parse_status(text: str) -> Outcome:
    """The outcome whose text (``str(outcome)``) the queue kept for a recipient that waits."""
    if found := _PEER_REPLY.fullmatch(text):
        code, said = int(found.group(1)), found.group(2) or ""
        return Outcome(DEFERRED, enhanced(code, said), said, code)
    if found := _OWN_REASON.fullmatch(text):
        return Outcome(DEFERRED, found.group(1), found.group(2))
    return Outcome(DEFERRED, "4.0.0", text)


def failure(
    host_name: str, envelope: Envelope, header: bytes, number: int, now: float, recipients: Sequence[Undelivered]
) -> bytes:
    """Mail could not be delivered and is not tried any more. ``number`` is the queue id of the notification itself,
    ``header`` the header of the message, ``now`` in seconds since the epoch."""
    text = (
        "Your message could not be delivered to the following recipients, and it is\n"
        "not tried any more. If you want it to arrive, you have to send it again.\n"
    )
    subject = "Your message was not delivered"
    people = _for_people(recipients, gives_advice=True)
    return _report(host_name, envelope, header, number, now, subject, text + people, recipients, [("Action", "failed")])


def delay(
    host_name: str,
    envelope: Envelope,
    header: bytes,
    number: int,
    now: float,
    recipients: Sequence[Undelivered],
    until: float,
) -> bytes:
    """Mail waits and is tried until ``until`` (seconds since the epoch). The rest is as for :func:`failure`."""
    text = (
        "Your message waits for the following recipients. You need not do anything:\n"
        f"it is tried again and again until {formatdate(until)}.\n"
    )
    action = [("Action", "delayed"), ("Will-Retry-Until", formatdate(until))]
    text += _for_people(recipients, gives_advice=False)
    return _report(host_name, envelope, header, number, now, "Your message waits", text, recipients, action)


def needs_utf8(envelope: Envelope) -> bool:
    """Whether the notification about this message is in UTF-8 and needs SMTPUTF8 on its way."""
    return not envelope.sender.isascii()


def header_of(body: bytes) -> bytes:
    """The header of a message, of which ``body`` may be the first part, without the empty line behind it."""
    # Behind MAX_HEADER nothing is looked at: a message need not have an end of its header at all.
    head = body[:LOOKED_AT]
    if head.startswith(b"\r\n"):
        return b""
    end = head.find(b"\r\n\r\n")
    if end >= 0:
        return head[: end + 2]
    return head[: head.rfind(b"\r\n") + 2] if b"\r\n" in head else b""


def _report(
    host_name: str,
    envelope: Envelope,
    header: bytes,
    number: int,
    now: float,
    subject: str,
    text: str,
    recipients: Sequence[Undelivered],
    action: Sequence[tuple[str, str]],
) -> bytes:
    form = Form(needs_utf8(envelope))
    fields = [
        ("From", f"Mail Delivery System <postmaster@{host_name}>"),
        ("To", f"<{form.line(envelope.sender)}>"),
        ("Subject", subject),
        ("Date", formatdate(now)),
        ("Message-ID", f"<{id_text(number)}@{host_name}>"),
        # RFC 3834 section 5: a machine wrote this, and no machine should answer.
        ("Auto-Submitted", "auto-replied"),
    ]
    general = [
        ("Reporting-MTA", f"dns; {host_name}"),
        ("X-Queue-ID", id_text(envelope.id)),
        ("Arrival-Date", formatdate(envelope.received)),
    ]
    facts = [general, *_facts(form, recipients, action)]
    reference = f"The postmaster of {host_name} knows this message as {id_text(envelope.id)}."
    people = f"This is the mail server {host_name}.\n\n{text}\n{reference}\n"
    return form.report(fields, people, facts, header, envelope.smtputf8, id_text(number))


def _for_people(recipients: Sequence[Undelivered], gives_advice: bool) -> str:
    """Who has no mail, what happened, and what can be done; those with the same reason together."""
    # People read an address best as it is, and their part of a notification may hold any letter.
    addresses, others = Form(utf8=True), Form(utf8=False)
    reasons: dict[str, list[str]] = {}
    for recipient in recipients[:MAX_NAMED]:
        outcome = recipient.outcome
        hint = advice(outcome.status, ours=not outcome.code)
        words = [f"{hint.happened} {hint.todo}" if gives_advice else hint.happened]
        if outcome.code or hint.tells:
            who = f"{others.line(recipient.host)} said: " if outcome.code and recipient.host else ""
            words.append(who + others.line(str(outcome)))
        text = "".join(f"{_indented(line)}\n" for line in words)
        reasons.setdefault(text, []).append(f"<{addresses.line(recipient.address)}>\n")
    blocks = ["\n" + "".join(names) + text for text, names in reasons.items()]
    if len(recipients) > MAX_NAMED:
        blocks.append(f"\nThere are {len(recipients) - MAX_NAMED} more, which the details behind this text name.\n")
    return "".join(blocks)


def _indented(line: str) -> str:
    # Words are not broken: a word may be an address.
    return textwrap.fill(
        line, _WIDTH, initial_indent="    ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def _facts(
    form: Form, recipients: Sequence[Undelivered], action: Sequence[tuple[str, str]]
) -> list[list[tuple[str, str]]]:
    """The fields for each recipient (RFC 3464 section 2.3)."""
    found, room = [], MAX_DETAILS
    for recipient in recipients:
        outcome = recipient.outcome
        facts = [
            ("Final-Recipient", form.address(recipient.address)),
            action[0],
            # RFC 3463 section 3.5: the code of the actual problem, not "expired", so a failure may have a 4.X.X.
            ("Status", outcome.status),
        ]
        details = []
        if recipient.host:
            details.append(("Remote-MTA", f"dns; {form.line(recipient.host)}"))
        if outcome.code:
            details.append(("Diagnostic-Code", f"smtp; {form.line(str(outcome))}"))
        if recipient.tried:
            details.append(("Last-Attempt-Date", formatdate(recipient.tried)))
        room -= sum(len(name) + len(value) for name, value in details)
        found.append([*facts, *(details if room >= 0 else ()), *action[1:]])
    return found
