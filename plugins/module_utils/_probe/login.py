# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at authentication (RFC 4954): what is offered where, what is accepted, and what a clear connection gets."""

from __future__ import annotations

import base64
import secrets
import typing as t

from .check import Verdict, judged
from .smtp import SERVER_BUSY, Conversation, Reply, Unobservable
from .target import Endpoint, mechanisms


def not_offered_in_clear(endpoint: Endpoint) -> Verdict:
    """EHLO in clear names no mechanism."""
    with endpoint.clear() as conversation:
        offered = mechanisms(conversation.ehlo(endpoint.target.client_name))
        return judged(not offered, "offers %s" % _words(offered))


def refused_in_clear(endpoint: Endpoint, mechanism: str) -> Verdict:
    """AUTH in clear is refused at the AUTH line: no 334 that asks for the password, no 235, no look at the credentials.

    The line goes out first without and then with an initial response.
    """
    target = endpoint.target
    with endpoint.clear() as conversation:
        conversation.ehlo(target.client_name)
        first = _settled(conversation.command("AUTH " + mechanism))
        if first.code == 334:
            conversation.cancel_auth()
            return judged(False, "asks for the password in clear: %s" % first)
        allowed = conversation.peer_is_loopback if target.clear_password is None else target.clear_password
        password = target.password if allowed else secrets.token_urlsafe(12)
        second = _settled(_with_credentials(conversation, mechanism, target.account, password))
        if second.code == 334:
            conversation.cancel_auth()
        # 535 would mean that the credentials were looked at, so that good ones could pass.
        good = first.code >= 500 and second.code >= 500 and second.code != 535
        return judged(good, "%s%s" % (second, "" if allowed else " (password made up)"))


def _with_credentials(conversation: Conversation, mechanism: str, account: str, password: str) -> Reply:
    if mechanism != "LOGIN":
        return conversation.auth(mechanism, account, password)
    # Only the name: the password of LOGIN travels in the answer to a 334, which is a failure already.
    return conversation.command("AUTH LOGIN " + base64.b64encode(account.encode("utf-8")).decode("ascii"))


def offered_in_tls(endpoint: Endpoint, chosen: t.Sequence[str]) -> Verdict:
    """EHLO inside TLS offers exactly the chosen mechanisms."""
    with endpoint.secure() as conversation:
        offered = mechanisms(conversation.ehlo(endpoint.target.client_name))
        return judged(offered == frozenset(chosen), "offers %s" % _words(offered))


def accepts(endpoint: Endpoint, mechanism: str) -> Verdict:
    """The right password is accepted by this mechanism inside TLS."""
    reply = _settled(_attempt(endpoint, mechanism, endpoint.target.password))
    return judged(reply.code == 235, reply)


def refuses_wrong_password(endpoint: Endpoint, mechanism: str) -> Verdict:
    """A wrong password is refused inside TLS with 535 (RFC 4954 section 6)."""
    reply = _settled(_attempt(endpoint, mechanism, "wrong-" + secrets.token_urlsafe(12)))
    return judged(reply.code == 535, reply)


def refuses_mechanism(endpoint: Endpoint, mechanism: str) -> Verdict:
    """A mechanism that was not chosen is refused at the AUTH line inside TLS, right password or not."""
    with endpoint.secure() as conversation:
        conversation.ehlo(endpoint.target.client_name)
        reply = _settled(conversation.command("AUTH " + mechanism))
        if reply.code == 334:
            conversation.cancel_auth()
            return judged(False, "asks for credentials: %s" % reply)
        account, password = endpoint.target.account, endpoint.target.password
        second = _settled(_with_credentials(conversation, mechanism, account, password))
        good = reply.code >= 500 and second.code >= 500 and second.code != 535
        return judged(good, second)


def _settled(reply: Reply) -> Reply:
    # 454 and the like: no decision about credentials or mechanisms (RFC 4954 section 6).
    if 400 <= reply.code < 500:
        raise Unobservable(str(reply), SERVER_BUSY)
    return reply


def _attempt(endpoint: Endpoint, mechanism: str, password: str) -> Reply:
    with endpoint.secure() as conversation:
        conversation.ehlo(endpoint.target.client_name)
        # LOGIN with the name on the AUTH line is not understood everywhere; one prompt more is.
        return conversation.auth(mechanism, endpoint.target.account, password, initial_response=mechanism != "LOGIN")


def _words(offered: t.AbstractSet[str]) -> str:
    return "AUTH " + " ".join(sorted(offered)) if offered else "no AUTH"
