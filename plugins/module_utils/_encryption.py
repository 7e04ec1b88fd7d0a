# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a server's rules see of a connection: whether one that is encrypted after STARTTLS counts as encrypted.

A rule that rejects a recipient on connections in clear is asked twice, in clear and after STARTTLS. No mail is sent, and no
certificate is checked: a listener may have one that nobody here trusts.
"""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from ._policy.reply_code import split
from ._probe.library import lenient_context
from ._probe.reply import Reply, Unobservable
from ._probe.smtp import Conversation


@dataclass(frozen=True)
class Answer:
    """``after_starttls``: whether isSSLConnection is yes after STARTTLS; None with the ``reason`` when it was not seen.

    ``clear_login`` and ``tls_login`` are the mechanisms (upper case) that were offered in clear and after STARTTLS,
    None when the conversation did not get that far.
    """

    after_starttls: t.Optional[bool]
    reason: str
    clear_login: t.Optional[t.FrozenSet[str]] = None
    tls_login: t.Optional[t.FrozenSet[str]] = None


def ask(host: str, port: int, domain: str, explanation: str, timeout: float) -> Answer:
    """Ask the listener, where a rule rejects recipients of ``domain`` in clear with ``explanation``.

    ``timeout`` is the limit of all in seconds. Raises nothing: what stands in the way is the reason.
    """
    clear = tls = None
    end = time.monotonic() + timeout
    try:
        (reply,), clear = recipients(host, port, (domain,), False, end)
        if not says(reply, explanation):
            return Answer(
                None, "in clear, the recipient is not refused with the explanation of the rule (%s)" % reply, clear
            )
        (reply,), tls = recipients(host, port, (domain,), True, end)
    except Unobservable as error:
        return Answer(None, str(error), clear, tls)
    if says(reply, explanation):
        return Answer(False, "the rule rejects after STARTTLS too", clear, tls)
    if 400 <= reply.code < 500:
        return Answer(None, "after STARTTLS the server does not want to decide now (%s)" % reply, clear, tls)
    return Answer(True, "the rule rejects in clear and not after STARTTLS", clear, tls)


def recipients(
    host: str, port: int, domains: t.Sequence[str], encrypted: bool, end: float
) -> t.Tuple[t.List[Reply], t.FrozenSet[str]]:
    """What the server says to the postmaster of each domain as a recipient, and the mechanisms that it offers.

    RFC 5321 section 4.5.1: every domain has a postmaster. ``end`` is a time of ``time.monotonic``. Raises
    :class:`Unobservable`.
    """

    def in_time() -> Conversation:
        left = end - time.monotonic()
        if left <= 0:
            raise Unobservable("no answer in time")
        conversation.timeout = max(round(left, 1), 0.1)
        return conversation

    replies = []
    with Conversation(host, port) as conversation:
        _expect(in_time().connect(), "banner", 220)
        keywords = in_time().ehlo()
        if encrypted:
            if "STARTTLS" not in keywords:
                raise Unobservable("the listener offers no STARTTLS")
            _expect(in_time().starttls(lenient_context()), "reply to STARTTLS", 220)
            keywords = in_time().ehlo()
        for domain in domains:
            _expect(in_time().command("MAIL FROM:<>"), "reply to MAIL", 250)
            replies.append(in_time().command("RCPT TO:<postmaster@%s>" % domain))
            in_time().command("RSET")
    return replies, _login(keywords)


def says(reply: Reply, explanation: str) -> bool:
    """Whether a refusal is that of the rule: its text, in whatever lines and however blanks and case came through.

    A server may answer with the codes that the text begins with.
    """
    wanted = " ".join((split(explanation)[1] or explanation).lower().split())
    return bool(wanted) and reply.code >= 400 and wanted in " ".join(reply.text.lower().split())


def _expect(reply: Reply, what: str, code: int) -> None:
    if reply.code != code:
        raise Unobservable("the %s is %s" % (what, reply))


def _login(keywords: t.Mapping[str, str]) -> t.FrozenSet[str]:
    """The mechanisms of an EHLO reply, with the old ``AUTH=`` spelling counted too."""
    found = set(keywords.get("AUTH", "").upper().split())
    for keyword, parameters in keywords.items():
        if keyword.startswith("AUTH="):
            found.update([keyword[5:], *parameters.upper().split()])
    return frozenset(found - {""})
