# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a sender is told about mail that was not delivered, or is late: delivery status notifications.

A ``multipart/report`` (RFC 6522) of three parts: a text for people, the facts for programs (RFC 3464), and the header
of the message. The body of the message stays out of it: it would make a notification as large as what caused it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from email.policy import compat32
from email.utils import formatdate

from ..queue.store import Envelope, id_text
from .outcome import DEFERRED, Outcome, enhanced

#: Octets of the original header that go into a notification.
MAX_HEADER = 32 * 1024

# No folding, all values are short; and no parsing of what is ours: the library knows fewer addresses than there are.
_POLICY = compat32.clone(linesep="\r\n", max_line_length=None, mangle_from_=False)
_PEER_REPLY = re.compile(r"(\d{3})(?: (.*))?", re.DOTALL)
_OWN_REASON = re.compile(r"(\d\.\d{1,3}\.\d{1,3}) (.*)", re.DOTALL)


@dataclass(frozen=True)
class Undelivered:
    """One recipient (as between ``<`` and ``>``), why it has no mail, and the host that said so, empty if none did."""

    address: str
    outcome: Outcome
    host: str = ""


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
    facts = [_facts(recipient, "failed") for recipient in recipients]
    subject = "Your message was not delivered"
    return _report(host_name, envelope, header, number, now, subject, text, recipients, facts)


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
    facts = [_facts(recipient, "delayed", until) for recipient in recipients]
    return _report(host_name, envelope, header, number, now, "Your message waits", text, recipients, facts)


def header_of(body: bytes) -> bytes:
    """The header of a message, without the empty line behind it."""
    # Behind MAX_HEADER nothing is looked at: a message need not have an end of its header at all.
    head = body[: MAX_HEADER + 2]
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
    facts: Sequence[Message],
) -> bytes:
    report = Message(_POLICY)
    report["From"] = f"Mail Delivery System <postmaster@{host_name}>"
    report["To"] = f"<{_safe(envelope.sender)}>"
    report["Subject"] = subject
    report["Date"] = formatdate(now)
    report["Message-ID"] = f"<{id_text(number)}@{host_name}>"
    # RFC 3834 section 5: a machine wrote this, and no machine should answer.
    report["Auto-Submitted"] = "auto-replied"
    report["MIME-Version"] = "1.0"
    report["Content-Type"] = "multipart/report; report-type=delivery-status"
    report.set_payload([])
    report.attach(_text(f"This is the mail server {host_name}.\n\n{text}\n{_for_people(recipients)}"))
    general = Message(_POLICY)
    general["Reporting-MTA"] = f"dns; {host_name}"
    general["X-Queue-ID"] = id_text(envelope.id)
    general["Arrival-Date"] = formatdate(envelope.received)
    status = Message(_POLICY)
    status["Content-Type"] = "message/delivery-status"
    status.set_payload([general, *facts])
    report.attach(status)
    original = Message(_POLICY)
    original["Content-Type"] = "text/rfc822-headers"
    # A notification is 7-bit text, so that every host takes it.
    original.set_payload(header.decode("ascii", "replace").replace("\ufffd", "?").replace("\r\n", "\n"))
    report.attach(original)
    return report.as_bytes(policy=_POLICY)


def _text(text: str) -> Message:
    part = Message(_POLICY)
    part["Content-Type"] = 'text/plain; charset="us-ascii"'
    part.set_payload(text)
    return part


def _for_people(recipients: Sequence[Undelivered]) -> str:
    lines = []
    for recipient in recipients:
        outcome = recipient.outcome
        who = f"{_safe(recipient.host)} said: " if outcome.code and recipient.host else ""
        lines.append(f"<{_safe(recipient.address)}>\n    {who}{_safe(str(outcome))}\n")
    return "\n".join(lines)


def _facts(recipient: Undelivered, action: str, until: float | None = None) -> Message:
    """The fields for one recipient (RFC 3464 section 2.3)."""
    outcome = recipient.outcome
    facts = Message(_POLICY)
    facts["Final-Recipient"] = f"rfc822; {_safe(recipient.address)}"
    facts["Action"] = action
    # RFC 3463 section 3.5: the code of the actual problem rather than "expired", so a failure may have a 4.X.X.
    facts["Status"] = outcome.status
    if recipient.host:
        facts["Remote-MTA"] = f"dns; {_safe(recipient.host)}"
    if outcome.code:
        facts["Diagnostic-Code"] = f"smtp; {_safe(str(outcome))}"
    if until is not None:
        facts["Will-Retry-Until"] = formatdate(until)
    return facts


def _safe(text: str) -> str:
    """On one line, in ASCII: what others say cannot end a field or begin one."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)
