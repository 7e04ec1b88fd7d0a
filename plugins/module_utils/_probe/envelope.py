# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at envelopes: which recipients a connection in clear or inside TLS may name. No message is ever sent."""

from __future__ import annotations

import functools
import typing as t

from .reply import SERVER_BUSY, SERVER_REPLY, Unobservable, refusing_side
from .smtp import Conversation
from .step import Step, answer, settled
from .visit import Visit

#: So many recipients are named in one transaction.
RECIPIENTS = 5


class Envelopes:
    """The facts ``mail_clear``, ``mail_tls``, ``open_relay``, ``forced_clear.…``, ``forced_tls.…`` and ``other_clear.…`` of a visit."""

    def __init__(self, visit: Visit, checks: t.Container[str]) -> None:
        self.visit = visit
        self.listener = visit.listener
        self.checks = checks
        self._relay: t.List[t.Tuple[t.Optional[bool], str, str, int]] = []
        #: How many of them, the last ones, were inside TLS.
        self._inside = 0

    def steps(self, inside: bool) -> t.List[Step]:
        """The steps in clear, or those inside TLS."""
        listener, steps = self.listener, []
        if "forced_domains" in self.checks:
            prefix = "forced_tls" if inside else "forced_clear"
            asked = [
                ("%s.%s" % ("other_clear" if forced.exempt else prefix, forced.domain), forced.domain)
                for forced in listener.forced_domains
                if not (inside and forced.exempt)
            ]
            if listener.other_domain and not inside:
                asked.append(("other_clear.%s" % listener.other_domain, listener.other_domain))
            for start in range(0, len(asked), RECIPIENTS):
                part = asked[start : start + RECIPIENTS]
                names = tuple(name for name, unused in part)
                steps.append(Step(names, functools.partial(self._recipients, part)))
        if "relay" in self.checks:
            names = ("mail_tls" if inside else "mail_clear", "open_relay")
            steps.append(Step(names, functools.partial(self._relaying, inside)))
        return steps

    def _recipients(self, asked: t.Sequence[t.Tuple[str, str]], conversation: Conversation) -> None:
        sender = settled(conversation.command("MAIL FROM:<%s>" % self.listener.sender))
        for name, domain in asked:
            if not sender.accepted:
                # Mail is refused before any domain is named: the explanation of the domain never comes.
                self.visit.note(name, answer(sender), "MAIL gets %s" % sender, SERVER_REPLY)
                continue
            reply = conversation.command("RCPT TO:<%s@%s>" % (self.listener.recipient, domain))
            if 400 <= reply.code < 500:
                # Greylisting and the like: the server has not made up its mind.
                self.visit.unseen(name, Unobservable("RCPT for %s gets %s" % (domain, reply), SERVER_BUSY))
            else:
                self.visit.note(name, answer(reply), reply, "" if reply.accepted else SERVER_REPLY)
        if sender.accepted:
            conversation.command("RSET")

    def _relaying(self, inside: bool, conversation: Conversation) -> None:
        """Without a login, a recipient elsewhere is refused; an own one, if known, is accepted (the control)."""
        listener = self.listener
        where, number = "inside TLS" if inside else "in clear", self.visit.number
        sender = conversation.command("MAIL FROM:<%s>" % listener.sender)
        fact = "mail_tls" if inside else "mail_clear"
        if 400 <= sender.code < 500:
            self.visit.unseen(fact, Unobservable("MAIL gets %s" % sender, SERVER_BUSY))
        elif not sender.accepted:
            self.visit.note(fact, answer(sender), "MAIL gets %s" % sender, SERVER_REPLY)
        if not sender.accepted:
            # RFC 6409 section 4.3: a submission server may ask for a login before it looks at anything.
            found = False if sender.code == 530 else None
            self._inside += inside
            self._relay.append((found, "%s: MAIL gets %s" % (where, sender), refusing_side(sender), number))
            return
        foreign = conversation.command("RCPT TO:<%s@%s>" % (listener.recipient, listener.foreign_domain))
        words = "%s: %s gets %s" % (where, listener.foreign_domain, foreign)
        found = foreign.accepted if foreign.accepted or foreign.code >= 500 else None
        control = listener.local_domain or (None if not inside else listener.other_domain)
        own = None
        if not foreign.accepted and foreign.code != 530 and control:
            own = conversation.command("RCPT TO:<%s@%s>" % (listener.recipient, control))
            words += "; %s gets %s" % (control, own)
            # Where nobody is accepted, nothing is said about relaying. Who puts off strangers puts off all of them.
            found = False if own.accepted else None if own.code >= 500 else found
        elif found is False and foreign.code != 530:
            words += " (without a control: no domain of the server is known)"
        # A server may keep a refusal of the client or the sender until the first recipient is named.
        if foreign.code == 530 or (own is not None and own.code >= 500 and str(own)[:8] == str(foreign)[:8] and own.enhanced[1:3] == ".7"):
            self.visit.note(fact, answer(foreign), "MAIL gets %s; RCPT gets %s" % (sender, foreign), SERVER_REPLY)
        else:
            self.visit.note(fact, answer(sender), "MAIL gets %s" % sender)
        self._inside += inside
        self._relay.append((found, words, "" if foreign.accepted else refusing_side(foreign), number))
        conversation.command("RSET")

    def judge_relay(self) -> None:
        """Note ``open_relay`` of all that was tried, in clear and inside TLS.

        Where there is TLS, what is refused in clear says nothing: a server may want TLS of everybody and relay then.
        """
        if not self._relay:
            return
        found = [attempt[0] for attempt in self._relay]
        words = "; ".join(attempt[1] for attempt in self._relay)
        evidence = [attempt[3] for attempt in self._relay]
        side = self._relay[-1][2]
        if True in found:
            self.visit.note("open_relay", True, words, "", evidence)
        elif self.visit.shaken and self._inside == 0:
            # Why it did not come so far is noted already, or the conversation's trouble is the reason.
            return
        elif False in found[-self._inside :]:
            self.visit.note("open_relay", False, words, SERVER_REPLY, evidence)
        else:
            self.visit.unseen("open_relay", Unobservable(words, side), evidence)


def known_domain(visit: Visit) -> str:
    """A domain that the server probably takes mail for, the best that is known."""
    listener = visit.listener
    forced = listener.forced_domains[0].domain if listener.forced_domains else None
    return listener.local_domain or listener.other_domain or forced or listener.foreign_domain
