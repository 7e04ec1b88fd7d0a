# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a status (RFC 3463) means for who wrote the message: what happened, and what can be done about it."""

from __future__ import annotations

from dataclasses import dataclass, replace

# What goes wrong within a server: other and incorrectly configured system (RFC 3463 section 3.4), its login elsewhere.
_WITHIN_IT = ("3.0", "3.5", "7.0", "7.8")
#: What is known of these is for the operator: it names files, name servers and relays of this server.
_FOR_THE_OPERATOR = (*_WITHIN_IT, "4.3")

_ASK = "Ask the recipient in another way."


@dataclass(frozen=True)
class Advice:
    """``happened`` and ``todo`` are sentences; ``tells``: the reason as it is in the log may be told, too."""

    happened: str
    todo: str = _ASK
    tells: bool = True


_NO_PROTECTION = Advice(
    "The message must travel protected (TLS), and the other side cannot, or cannot prove who it is.",
    "The recipient's mail administrator can change that.",
)
_TOO_LARGE = Advice("The message is too large.", "Send it smaller, or its attachments in another way.")
_NO_ADDRESS = Advice("There is no such address.", "Check how it is written.")
_NO_ANSWER = Advice("The recipient's mail server cannot be reached.")
_UNWANTED = Advice("The recipient's mail server does not accept this message.")
_OPERATOR = "Ask the postmaster."

#: By subject and detail; the subject alone is for all that have no line of their own.
_ADVICE = {
    "1": Advice("Something is wrong with the address.", "Check how it is written."),
    "1.1": _NO_ADDRESS,
    "1.2": Advice("There is no such domain that takes mail.", "Check how the part behind the @ is written."),
    "1.3": Advice("This cannot be an address.", "Check how it is written."),
    "1.6": Advice("The mailbox has moved."),
    "1.7": Advice("The address of the sender is not accepted.", _OPERATOR),
    "1.8": Advice("The address of the sender is not accepted.", _OPERATOR),
    "1.10": Advice("This domain takes no mail.", "Check how the part behind the @ is written."),
    "2": Advice("The mailbox cannot take the message."),
    "2.1": Advice("The mailbox does not take mail."),
    "2.2": Advice("The mailbox is full."),
    "2.3": _TOO_LARGE,
    "3": Advice("The recipient's mail server has a problem."),
    "3.4": _TOO_LARGE,
    "4": _NO_ANSWER,
    "4.3": Advice("The mail server of the domain cannot be found for now."),
    "4.6": Advice("The message went in circles between mail servers.", _OPERATOR),
    "5": Advice("The mail servers did not understand each other.", _OPERATOR),
    "5.3": Advice("The message has too many recipients.", "Send it to fewer at a time."),
    "6": Advice("The recipient's mail server cannot take a message of this kind."),
    "6.0": Advice("The message is damaged.", "Write it anew, and attach its files again."),
    "6.3": Advice(
        "The message has 8-bit text, which the recipient's mail server does not take.",
        "Send it as quoted-printable or base64, or with plain letters alone.",
    ),
    "6.7": Advice(
        "An address or the header has letters that the recipient's mail server does not take.",
        "Use addresses, and a subject, with plain letters.",
    ),
    "7": _UNWANTED,
    "7.4": _NO_PROTECTION,
    "7.5": _NO_PROTECTION,
}
#: The status of what an operator took off the queue, which is nobody else's doing.
DELETED = "5.0.0"
_DELETED = Advice("The operator of this mail server has taken the message off its queue.", _OPERATOR, tells=False)
_OTHER = Advice("The recipient's mail server did not take the message.")
_WITHIN = Advice("A mail server has a problem of its own, which its operator has to solve.", _OPERATOR, tells=False)


def advice(status: str, ours: bool) -> Advice:
    """What to say about a status (``class.subject.detail``). ``ours``: no other server said so."""
    _kind, _dot, rest = status.partition(".")
    if ours and status == DELETED:
        return _DELETED
    if ours and rest in _WITHIN_IT:
        return _WITHIN
    found = _ADVICE.get(rest) or _ADVICE.get(rest.partition(".")[0]) or _OTHER
    return replace(found, tells=False) if ours and rest in _FOR_THE_OPERATOR else found
