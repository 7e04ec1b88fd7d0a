# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at envelopes: which recipients a connection in clear or inside TLS may name. No message is ever sent."""

from __future__ import annotations

from .check import Unexpected, Verdict, judged
from .smtp import SERVER_BUSY, SERVER_REPLY, Conversation, Reply, Unobservable
from .target import Endpoint


def forced_domain_refused_in_clear(endpoint: Endpoint) -> Verdict:
    """A recipient of the forced domain is refused in clear, for good, with exactly the explanation."""
    target = endpoint.target
    with endpoint.clear() as conversation:
        _begin(conversation, endpoint)
        reply = _recipient(conversation, endpoint, target.forced_domain)
        return judged(reply.code >= 500 and reply.text == target.explanation, reply)


def other_domain_accepted_in_clear(endpoint: Endpoint) -> Verdict:
    """In one transaction in clear, the forced domain is refused and another domain accepted."""
    target = endpoint.target
    with endpoint.clear() as conversation:
        _begin(conversation, endpoint)
        forced = _recipient(conversation, endpoint, target.forced_domain)
        other = _recipient(conversation, endpoint, target.other_domain)
        seen = "%s gets %s; %s gets %s" % (target.forced_domain, forced, target.other_domain, other)
        return judged(forced.code >= 500 and other.accepted, seen)


def forced_domain_accepted_in_tls(endpoint: Endpoint) -> Verdict:
    """The same recipient is accepted inside TLS."""
    with endpoint.secure() as conversation:
        _begin(conversation, endpoint)
        reply = _recipient(conversation, endpoint, endpoint.target.forced_domain)
        return judged(reply.accepted, reply)


def relays_for_nobody(endpoint: Endpoint) -> Verdict:
    """Without a login, a recipient elsewhere is refused inside TLS; an own one is accepted (the control)."""
    target = endpoint.target
    with endpoint.secure() as conversation:
        conversation.ehlo(target.client_name)
        sender = conversation.command("MAIL FROM:<%s>" % target.sender)
        if sender.code == 530:
            # RFC 6409 section 4.3: a submission server may ask for a login before it looks at anything.
            return judged(True, sender)
        if not sender.accepted:
            raise Unobservable("MAIL gets %s" % sender, SERVER_REPLY)
        foreign = _recipient(conversation, endpoint, target.foreign_domain)
        if foreign.accepted:
            return judged(False, "%s gets %s" % (target.foreign_domain, foreign))
        own = _recipient(conversation, endpoint, target.local_domain)
        seen = "%s gets %s; %s gets %s" % (target.foreign_domain, foreign, target.local_domain, own)
        if foreign.code == 530 or own.accepted:
            return judged(foreign.code >= 500, seen)
        raise Unobservable("nobody is accepted: %s" % seen, SERVER_REPLY)


def _begin(conversation: Conversation, endpoint: Endpoint) -> None:
    conversation.ehlo(endpoint.target.client_name)
    reply = conversation.command("MAIL FROM:<%s>" % endpoint.target.sender)
    if not reply.accepted:
        raise Unexpected("MAIL refused: %s" % reply)


def _recipient(conversation: Conversation, endpoint: Endpoint, domain: str) -> Reply:
    reply = conversation.command("RCPT TO:<%s@%s>" % (endpoint.target.recipient, domain))
    if 400 <= reply.code < 500:
        # Greylisting and the like: the server has not made up its mind.
        raise Unobservable("RCPT for %s gets %s" % (domain, reply), SERVER_BUSY)
    return reply
