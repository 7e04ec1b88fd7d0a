# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at authentication (RFC 4954): which mechanisms ask for credentials, in clear and inside TLS, offered or not."""

from __future__ import annotations

import base64
import functools
import re
import secrets
import typing as t

from .reply import SERVER_REPLY, Reply
from .sasl import MECHANISMS, offered_mechanisms
from .smtp import Conversation
from .step import Step, settled
from .visit import Visit

#: Asked for whether they are offered or not.
ALWAYS_CLEAR = ("PLAIN", "LOGIN")
ALWAYS_TLS = ("PLAIN", "LOGIN", "SCRAM-SHA-256", "CRAM-MD5")

MAX_MECHANISMS = 16

_MECHANISM = re.compile(r"[A-Z0-9_-]{1,20}\Z")


class Authentication:
    """The facts ``auth_clear.<MECHANISM>`` and ``auth_tls.<MECHANISM>`` of a visit."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.listener = visit.listener

    def steps(self, keywords: t.Mapping[str, str], inside: bool) -> t.List[Step]:
        """One step for each mechanism to ask for; ``keywords`` are those of EHLO there."""
        prefix, always, look = ("auth_clear", ALWAYS_CLEAR, self._clear)
        if inside:
            prefix, always, look = ("auth_tls", ALWAYS_TLS, self._inside)
        offered = sorted(offered_mechanisms(keywords))
        names = list(always) + [name for name in offered if name not in always and _MECHANISM.match(name)]
        return [
            Step(("%s.%s" % (prefix, name),), functools.partial(look, name, name in offered)) for name in names[:MAX_MECHANISMS]
        ]

    def _clear(self, name: str, offered: bool, conversation: Conversation) -> None:
        """AUTH in clear, first without and then with an initial response."""
        fact = "auth_clear.%s" % name
        first = settled(conversation.command("AUTH " + name))
        if first.code < 500 or (first.code == 535 and offered):
            words = "asks for the password in clear: %s" if first.code == 334 else "looks at credentials in clear: %s"
            self.visit.note(fact, "accepted", words % first)
            _leave(conversation, first)
            return
        if name not in MECHANISMS:
            self.visit.note(fact, "refused", first, SERVER_REPLY)
            return
        credentials, clear_password = self.listener.credentials, self.listener.clear_password
        allowed = conversation.peer_is_loopback if clear_password is None else clear_password
        real = credentials is not None and allowed
        user = credentials.user if credentials else "probe@%s" % self.listener.foreign_domain
        password = credentials.password if credentials and real else secrets.token_urlsafe(12)
        second = settled(_with_credentials(conversation, name, user, password))
        # 535 means that the credentials were looked at, so that good ones could pass.
        refused = second.code >= 500 and second.code != 535
        words = "%s%s" % (second, "" if real else " (password made up)")
        self.visit.note(fact, "refused" if refused else "accepted", words, SERVER_REPLY if refused else "")
        _leave(conversation, second)

    def _inside(self, name: str, offered: bool, conversation: Conversation) -> None:
        """AUTH inside TLS without credentials: the line alone, and ``*`` at a 334 (RFC 4954 section 4).

        Some servers say 535 at once to a mechanism that they neither offer nor have.
        """
        reply = settled(conversation.command("AUTH " + name))
        refused = reply.code >= 500 and (reply.code != 535 or not offered)
        words = "asks for credentials: %s" % reply if reply.code == 334 else str(reply)
        note = ("refused", words, SERVER_REPLY) if refused else ("accepted", words, "")
        self.visit.note("auth_tls.%s" % name, *note)
        _leave(conversation, reply)


def _with_credentials(conversation: Conversation, name: str, user: str, password: str) -> Reply:
    """AUTH with an initial response; of LOGIN only the user's name, for the password travels in the answer to a 334."""
    if name != "LOGIN":
        return conversation.auth(name, user, password)
    return conversation.command("AUTH LOGIN " + base64.b64encode(user.encode("utf-8")).decode("ascii"))


def _leave(conversation: Conversation, reply: Reply) -> None:
    if reply.code == 334:
        conversation.cancel_auth()
    elif reply.accepted:
        # Whoever is logged in sees another server: this connection shows nothing more.
        conversation.close()
