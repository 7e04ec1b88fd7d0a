# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one conversation shows: greeting, keywords, authentication, envelopes, in clear and inside TLS.

One connection goes all the way, from the banner in clear to QUIT inside TLS. A server bears only so many errors in one
session, and may break off at any of them: what was not seen then is looked at on another connection. No message is
ever sent, and no recipient accepted for more than the moment until RSET or STARTTLS.
"""

from __future__ import annotations

import functools
import re
import time
import typing as t

from .authentication import ALWAYS_CLEAR, ALWAYS_TLS, MAX_MECHANISMS, Authentication
from .envelope import Envelopes, known_domain
from .library import lenient_context
from .reply import (
    BUDGET,
    LOCAL_LIBRARY,
    NETWORK,
    SERVER_ALERT,
    SERVER_BUSY,
    SERVER_CLOSED,
    SERVER_REPLY,
    Reply,
    Unobservable,
    refusing_side,
)
from .sasl import offered_mechanisms
from .smtp import Conversation
from .step import Step, Walk, answer, in_sequence, plain, settled
from .visit import Visit

#: Replies to MAIL that are about everybody who speaks in clear (RFC 3207 section 4, RFC 4954 section 6).
ENCRYPTION_REQUIRED = (530, 538)

MAX_KEYWORDS = 100


def survey(visit: Visit, checks: t.Container[str]) -> ConversationSurvey:
    """Note ``reachable`` and the facts of the groups dialogue, auth, session, relay and forced_domains.

    Of the group session only what the one conversation shows, the rest is in :mod:`.session_survey`. Raises nothing for
    what a server or network does.
    """
    found = ConversationSurvey(visit, checks)
    found.run()
    return found


def fact_names(visit: Visit, checks: t.Container[str]) -> t.List[str]:
    """The facts that :func:`survey` notes in any case, whatever the server does."""
    listener = visit.listener
    clear, inside = listener.tls != "implicit", listener.tls != "none"
    found = []
    if "dialogue" in checks:
        found += ["banner", "size_limit"]
        found += ["keywords_clear", "starttls_offered"] if clear else []
        found += ["starttls_works"] if listener.tls == "starttls" else []
        found += ["keywords_tls", "tls_session", "starttls_inside_tls"] if inside else []
    if "auth" in checks:
        found += ["auth_offered_clear"] + ["auth_clear.%s" % name for name in ALWAYS_CLEAR] if clear else []
        found += ["auth_offered_tls"] + ["auth_tls.%s" % name for name in ALWAYS_TLS] if inside else []
    if "session" in checks and listener.tls == "starttls":
        found += ["transaction_forgotten", "ehlo_again"]
    if "relay" in checks:
        found += ["mail_clear"] if clear else []
        found += ["mail_tls"] if inside else []
        found += ["open_relay"]
    if "forced_domains" in checks:
        for forced in listener.forced_domains:
            found += ["%s.%s" % ("other_clear" if forced.exempt else "forced_clear", forced.domain)] if clear else []
            found += ["forced_tls.%s" % forced.domain] if inside and not forced.exempt else []
        found += ["other_clear.%s" % listener.other_domain] if clear and listener.other_domain else []
    return found


class ConversationSurvey:
    """The conversation with one listener, and the others that it may take."""

    def __init__(self, visit: Visit, checks: t.Container[str]) -> None:
        self.visit = visit
        self.listener = visit.listener
        self.checks = checks
        self.timing: t.Dict[str, t.Optional[float]] = dict.fromkeys(("connect", "banner", "ehlo", "handshake"))
        self.keywords: t.Dict[bool, t.Dict[str, str]] = {}
        self.walk = Walk(visit)
        self.envelopes = Envelopes(visit, checks)
        #: Why the rest could not be seen.
        self.trouble = Unobservable("the conversation did not come so far", SERVER_REPLY)
        #: The reply to MAIL inside TLS without a new EHLO that was not 503, and the number of its connection.
        self._unannounced: t.Optional[t.Tuple[Reply, int]] = None

    def run(self) -> None:
        """All of it."""
        try:
            self._converse()
        except Unobservable as error:
            self.trouble = error
        self._judge_unannounced()
        self.envelopes.judge_relay()
        self._sum_up()
        for name in fact_names(self.visit, self.checks):
            if name not in self.visit.facts:
                self.visit.unseen(name, self.trouble)

    @property
    def offered_inside(self) -> t.Optional[t.FrozenSet[str]]:
        """The mechanisms that EHLO inside TLS offered, None when it was not answered."""
        return offered_mechanisms(self.keywords[True]) if True in self.keywords else None

    def _converse(self) -> None:
        conversation: t.Optional[Conversation] = self._begin()
        if self.listener.tls == "implicit":
            self._inside(conversation)
            return
        conversation = self._clear(conversation)
        if self.listener.tls == "starttls":
            self._inside(self._upgraded(conversation))
        elif conversation is not None:
            conversation.close()

    # ---- the beginning

    def _begin(self) -> Conversation:
        """The first connection, up to EHLO in clear or up to the banner inside implicit TLS."""
        try:
            return self._first()
        except Unobservable as error:
            if error.side not in (SERVER_CLOSED, SERVER_BUSY) or not self.visit.facts["reachable"].value:
                raise
            if self.visit.shaken:
                # There is TLS, which does not wait for a banner. Not to be turned away twice is worth more.
                raise
            # Once is chance: a server that restarts, or one that was just asked by somebody else.
            return self._first()

    def _first(self) -> Conversation:
        visit, implicit = self.visit, self.listener.tls == "implicit"
        conversation = self._connected()
        try:
            if implicit:
                self._timed("handshake", lambda: conversation.begin_tls(lenient_context()))
                self._session(conversation)
            self._greeting(conversation)
            if not implicit:
                self._timed("ehlo", lambda: self._hello(conversation, inside=False))
        except Unobservable as error:
            conversation.close()
            if not implicit:
                # Nothing that comes later would come further.
                visit.no_tls = visit.no_tls or error
            raise
        except BaseException:
            conversation.close()
            raise
        if self.listener.tls == "starttls":
            visit.no_tls = None
        return conversation

    def _connected(self) -> Conversation:
        visit = self.visit
        try:
            conversation = self._timed("connect", lambda: visit.opened("conversation"))
        except Unobservable as error:
            if "reachable" not in visit.facts:
                if error.side == NETWORK:
                    visit.note("reachable", False, error.reason, error.side)
                else:
                    visit.unseen("reachable", error)
            visit.no_tls = visit.no_tls or error
            raise
        visit.note("reachable", True, "connected")
        return conversation

    def _greeting(self, conversation: Conversation) -> None:
        try:
            banner = self._timed("banner", lambda: self.visit.greet(conversation))
            if 400 <= banner.code < 500:
                raise Unobservable("greets with %s" % banner, SERVER_BUSY)
        except Unobservable as error:
            if "dialogue" in self.checks:
                self.visit.unseen("banner", error)
            raise
        if "dialogue" in self.checks:
            self.visit.note("banner", answer(banner), banner)
        if banner.code != 220:
            raise Unobservable("greets with %s" % banner, SERVER_REPLY)

    def _hello(self, conversation: Conversation, inside: bool) -> None:
        keywords = conversation.ehlo(self.listener.client_name)
        if inside in self.keywords:
            # Each new connection has to say it again; once is enough to note.
            return
        self.keywords[inside] = keywords
        offered = sorted(offered_mechanisms(keywords))
        if "dialogue" in self.checks:
            shown = {plain(word, 100): plain(keywords[word], 400) for word in sorted(keywords)[:MAX_KEYWORDS]}
            words = "offers " + (" ".join(sorted(keywords)) or "nothing")
            self.visit.note("keywords_tls" if inside else "keywords_clear", shown, words)
            if not inside:
                self.visit.note("starttls_offered", "STARTTLS" in keywords, words)
        if "auth" in self.checks:
            words = "offers AUTH " + " ".join(offered) if offered else "offers no AUTH"
            shown = [plain(name, 100) for name in offered[:MAX_MECHANISMS]]
            self.visit.note("auth_offered_tls" if inside else "auth_offered_clear", shown, words)

    def _session(self, conversation: Conversation) -> None:
        self.visit.shaken = True
        if "dialogue" in self.checks:
            session = {"version": conversation.tls_version, "cipher": conversation.cipher}
            self.visit.note("tls_session", session, "%(version)s %(cipher)s" % session)

    # ---- in clear

    def _clear(self, conversation: t.Optional[Conversation]) -> t.Optional[Conversation]:
        steps = []
        if "auth" in self.checks:
            steps += Authentication(self.visit).steps(self.keywords[False], inside=False)
        return self.walk.through(steps + self.envelopes.steps(inside=False), conversation, self._clear_again)

    def _clear_again(self) -> Conversation:
        conversation = self.visit.clear("conversation in clear, continued")
        return self._kept(conversation, lambda: self._hello(conversation, inside=False))

    # ---- the seam

    def _upgraded(self, conversation: t.Optional[Conversation]) -> t.Optional[Conversation]:
        """Through STARTTLS, with a sender named in clear. The conversation inside TLS, None when it was lost there."""
        for last in (False, True):
            if conversation is None or not conversation.connected:
                conversation = self._clear_again()
            try:
                self._ask_starttls(conversation)
                break
            except Unobservable as error:
                lost = not conversation.connected
                conversation.close()
                if last or not lost or error.side not in (SERVER_CLOSED, SERVER_BUSY):
                    raise
        return self._kept(conversation, lambda: self._handshake(conversation))

    def _ask_starttls(self, conversation: Conversation) -> None:
        visit, session = self.visit, "session" in self.checks
        sender = None
        if session:
            sender = conversation.command("MAIL FROM:<%s>" % self.listener.sender)
            if sender.code in ENCRYPTION_REQUIRED:
                # Any other 5xx may be about this sender only.
                words = "no transaction can begin in clear: MAIL gets %s" % sender
                visit.note("transaction_forgotten", True, words, SERVER_REPLY)
            elif not sender.accepted:
                error = Unobservable("MAIL in clear gets %s" % sender, refusing_side(sender))
                visit.unseen("transaction_forgotten", error)
        reply = conversation.command("STARTTLS")
        if reply.code == 503 and sender is not None and sender.accepted:
            # Nothing can be carried over where STARTTLS is out of sequence.
            visit.note("transaction_forgotten", True, "STARTTLS inside a transaction gets %s" % reply)
            conversation.command("RSET")
            reply = conversation.command("STARTTLS")
        if reply.code == 220:
            conversation.abandon()
            return
        error = Unobservable("STARTTLS refused: %s" % reply, refusing_side(reply))
        visit.no_tls = error
        if "dialogue" in self.checks:
            if error.side == SERVER_BUSY:
                visit.unseen("starttls_works", error)
            else:
                visit.note("starttls_works", False, error.reason, SERVER_REPLY)
        raise error

    def _handshake(self, conversation: Conversation) -> None:
        visit, dialogue = self.visit, "dialogue" in self.checks
        try:
            self._timed("handshake", lambda: conversation.begin_tls(lenient_context()))
        except Unobservable as error:
            if dialogue and error.side in (NETWORK, LOCAL_LIBRARY, BUDGET):
                visit.unseen("starttls_works", error)
            elif dialogue:
                visit.note("starttls_works", False, error.reason, error.side)
            raise
        conversation.resume()
        if dialogue:
            visit.note("starttls_works", True, "%s %s" % (conversation.tls_version, conversation.cipher))
        self._session(conversation)
        if "session" not in self.checks:
            return
        # What was said in clear counts on this one connection only: there is no second try.
        looks = [] if "transaction_forgotten" in visit.facts else [("transaction_forgotten", self._forgotten)]
        for name, look in looks + [("ehlo_again", self._out_of_sequence)]:
            try:
                look(conversation)
            except Unobservable as error:
                visit.unseen(name, error)

    def _forgotten(self, conversation: Conversation) -> None:
        """A sender named in clear is forgotten at STARTTLS: RCPT inside TLS is out of sequence."""
        reply = settled(conversation.command("RCPT TO:<%s@%s>" % (self.listener.recipient, known_domain(self.visit))))
        self.visit.note("transaction_forgotten", in_sequence(reply) is False, "RCPT gets %s" % reply)

    def _out_of_sequence(self, conversation: Conversation) -> None:
        """MAIL inside TLS without a new EHLO is out of sequence, whatever was said in clear (RFC 3207 section 4.2)."""
        reply = settled(conversation.command("MAIL FROM:<%s>" % self.listener.sender))
        if in_sequence(reply):
            self._unannounced = (reply, self.visit.number)
            # Until it is known what this server says to somebody who never said EHLO.
            raise Unobservable("MAIL gets %s" % reply, SERVER_REPLY)
        self.visit.note("ehlo_again", True, "MAIL gets %s" % reply)

    def _judge_unannounced(self) -> None:
        """A server that took MAIL without a new EHLO remembers the old one, or asks nobody for any."""
        if self._unannounced is None:
            return
        reply, number = self._unannounced
        words = "MAIL gets %s" % reply
        try:
            asks_nobody, control = self._without_ehlo()
        except Unobservable as error:
            words = "%s; without any EHLO: %s" % (words, error.reason)
            self.visit.unseen("ehlo_again", Unobservable(words, error.side), (number, self.visit.number))
            return
        self.visit.note("ehlo_again", asks_nobody, "%s; %s" % (words, control), "", (number, self.visit.number))

    def _without_ehlo(self) -> t.Tuple[bool, str]:
        """Whether MAIL is in sequence where no EHLO was said at all, inside TLS if that can be had."""
        with self.visit.clear("MAIL without any EHLO") as conversation:
            said = ""
            reply = settled(conversation.command("STARTTLS"))
            if reply.code == 220:
                conversation.abandon()
                conversation.begin_tls(lenient_context())
                conversation.resume()
            else:
                said = "STARTTLS gets %s, " % reply
            reply = settled(conversation.command("MAIL FROM:<%s>" % self.listener.sender))
            return in_sequence(reply), "without any EHLO %sMAIL gets %s" % (said, reply)

    # ---- inside TLS

    def _inside(self, conversation: t.Optional[Conversation]) -> None:
        if conversation is not None and conversation.connected:
            try:
                self._timed("ehlo", functools.partial(self._hello, conversation, inside=True))
            except Unobservable as error:
                if conversation.connected or error.side not in (SERVER_CLOSED, SERVER_ALERT, SERVER_BUSY):
                    conversation.close()
                    raise
        if True not in self.keywords:
            conversation = self._inside_at_last()
        steps = []
        if "dialogue" in self.checks:
            steps.append(Step(("starttls_inside_tls",), self._starttls_inside))
        if "auth" in self.checks:
            steps += Authentication(self.visit).steps(self.keywords[True], inside=True)
        left = self.walk.through(steps + self.envelopes.steps(inside=True), conversation, self._inside_again)
        if left is not None:
            left.close()

    def _inside_at_last(self) -> Conversation:
        try:
            return self._inside_again()
        except Unobservable as error:
            if error.side in (SERVER_CLOSED, SERVER_ALERT) and self.visit.sees("starttls_works"):
                # In TLS 1.3 a client is done with the handshake before the server has looked at its part of it.
                self.visit.note("starttls_works", False, "the handshake, but then %s" % error.reason, error.side)
            raise

    def _inside_again(self) -> Conversation:
        conversation = self.visit.secure("conversation inside TLS, continued")
        return self._kept(conversation, lambda: self._hello(conversation, inside=True))

    def _starttls_inside(self, conversation: Conversation) -> None:
        if "STARTTLS" in self.keywords[True]:
            self.visit.note("starttls_inside_tls", True, "STARTTLS offered inside TLS")
            return
        reply = settled(conversation.command("STARTTLS"))
        words = "not offered; asked for all the same: %s" % reply
        self.visit.note("starttls_inside_tls", reply.code < 500, words)
        if reply.code < 500:
            # Now a second handshake is due.
            conversation.abandon()
            conversation.close()

    # ---- the end

    def _sum_up(self) -> None:
        visit = self.visit
        if "dialogue" not in self.checks:
            return
        if self.timing["connect"] is None:
            visit.unseen("timing", self.trouble)
        else:
            took = ["%s %.0f ms" % (name, took * 1000) for name, took in self.timing.items() if took is not None]
            visit.note("timing", dict(self.timing), ", ".join(took), evidence=(1,))
        keywords = self.keywords.get(True, self.keywords.get(False))
        if keywords is not None:
            found = re.match(r"[0-9]{1,20}\Z", keywords.get("SIZE", ""))
            size = int(found.group()) if found and int(found.group()) else None
            shows = visit.facts["keywords_tls" if True in self.keywords else "keywords_clear"].evidence
            visit.note("size_limit", size, "SIZE %d" % size if size else "no limit is announced", evidence=shows)

    def _timed(self, name: str, step: t.Callable[[], t.Any]) -> t.Any:
        """Take a step and keep the time of the first of its name."""
        started = time.monotonic()
        result = step()
        if self.timing[name] is None:
            self.timing[name] = round(time.monotonic() - started, 4)
        return result

    def _kept(self, conversation: Conversation, step: t.Callable[[], None]) -> Conversation:
        """The conversation, behind a step; closed when that fails."""
        try:
            step()
        except BaseException:
            conversation.close()
            raise
        return conversation
