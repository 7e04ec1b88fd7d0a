# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What needs a connection of its own: the seam between clear text and TLS under attack, silence in clear, logins."""

from __future__ import annotations

import secrets
import typing as t

from .envelope import known_domain
from .library import lenient_context
from .records import ALERT, printable
from .reply import (
    BUDGET,
    NETWORK,
    NOT_ASKED,
    SERVER_ALERT,
    SERVER_BUSY,
    SERVER_CLOSED,
    SERVER_REPLY,
    Reply,
    Unobservable,
    refusing_side,
)
from .sasl import MECHANISMS
from .smtp import Conversation
from .step import settled
from .visit import Visit

#: Seconds after which a listener that answers EHLO in clear with nothing is taken as silent.
SILENCE = 5.0


def silence(visit: Visit) -> None:
    """Note ``silent_in_clear`` of an implicit listener: EHLO in clear gets no SMTP reply, and no banner comes.

    The control is the conversation: a listener that is silent because it is broken is not observable. Raises nothing.
    """
    control = visit.facts.get("banner")
    if visit.no_tls is not None:
        visit.unseen("silent_in_clear", visit.no_tls)
        return
    try:
        with visit.opened("EHLO in clear") as conversation:
            conversation.record("C:", "EHLO %s" % visit.listener.client_name)
            conversation.send_bytes(b"EHLO %s\r\n" % visit.listener.client_name.encode("ascii"))
            data = conversation.receive_bytes(min(SILENCE, visit.budget.step()))
            words = "%d bytes" % len(data or b"")
            conversation.record("--", {None: "silence", b"": "connection closed"}.get(data, words))
    except Unobservable as error:
        if error.side != SERVER_CLOSED:
            visit.unseen("silent_in_clear", error)
            return
        data = b""
    if data and data.startswith(b"4"):
        visit.budget.sent_away(printable(data[:80]))
        visit.unseen("silent_in_clear", Unobservable("says in clear: %s" % printable(data[:80]), SERVER_BUSY))
        return
    # A TLS alert means that the server takes the line for a bad handshake, as it should.
    if data and data[0] != ALERT:
        visit.note("silent_in_clear", False, "speaks in clear: %s" % printable(data[:80]))
        return
    ending = {None: "silence", b"": "closed"}.get(data, "TLS alert")
    if control is None or not control.observable:
        words = "%s; inside TLS: %s" % (ending, control.seen if control else "not looked at")
        visit.unseen("silent_in_clear", Unobservable(words, control.side if control else NOT_ASKED))
        return
    side = {None: "", b"": SERVER_CLOSED}.get(data, SERVER_ALERT)
    words = "silent, then %s; inside TLS: %s" % (ending, control.seen)
    visit.note("silent_in_clear", True, words, side, (visit.number,) + control.evidence)


def seam(visit: Visit, answered: bool) -> None:
    """Note ``injection`` and ``late_plaintext`` of a listener with STARTTLS (RFC 3207 section 6). Raises nothing.

    Only where the conversation came through STARTTLS, and ``answered`` says that it went on inside TLS: that is the
    control, so that an ending is the server's answer.
    """
    for name, look in (("injection", _injection), ("late_plaintext", _late_plaintext)):
        try:
            if not visit.shaken or (name == "injection" and not answered):
                raise visit.no_tls or Unobservable("without it STARTTLS does not work either", SERVER_REPLY)
            look(visit)
        except Unobservable as error:
            visit.unseen(name, error)


def logins(
    visit: Visit,
    offered: t.Optional[t.Collection[str]],
    trouble: Unobservable,
    wrong: bool = False,
) -> None:
    """Note ``login.<MECHANISM>`` for the offered mechanisms that the probe speaks: one connection and one try for each.

    ``wrong``: with a made-up password; then it is ``wrong_password.<MECHANISM>``, the code of the reply (535: RFC 4954
    section 6). ``offered`` None: nobody knows what is offered, and the facts say why (``trouble``). Raises nothing.
    """
    for name in MECHANISMS:
        if offered is not None and name not in offered:
            continue
        fact = "%s.%s" % ("wrong_password" if wrong else "login", name)
        try:
            if offered is None:
                raise visit.no_tls or trouble
            reply = settled(_login(visit, name, "wrong-" + secrets.token_urlsafe(12) if wrong else None))
            visit.note(fact, reply.code if wrong else reply.code == 235, reply, "" if reply.accepted else SERVER_REPLY)
        except Unobservable as error:
            visit.unseen(fact, error)


def _login(visit: Visit, name: str, password: t.Optional[str]) -> Reply:
    credentials = visit.listener.credentials
    if credentials is None:
        raise Unobservable("no credentials are known", NOT_ASKED)
    purpose = "AUTH %s, %s password" % (name, "right" if password is None else "wrong")
    with visit.secure(purpose) as conversation:
        conversation.ehlo(visit.listener.client_name)
        # LOGIN with the name on the AUTH line is not understood everywhere; one prompt more is.
        first = name != "LOGIN"
        return conversation.auth(name, credentials.user, password or credentials.password, initial_response=first)


def doubt_silence(visit: Visit) -> None:
    """Take ``silent_in_clear`` back where the server has not had a word for the probe since: a block is silent too."""
    fact = visit.facts.get("silent_in_clear")
    if fact is not None and fact.value and visit.budget.turned_away and visit.let_in < fact.evidence[-1]:
        error = Unobservable("%s; but now: %s" % (fact.seen, visit.budget.turned_away), SERVER_BUSY)
        visit.unseen("silent_in_clear", error, fact.evidence)


# ---- the seam


def _injection(visit: Visit) -> None:
    """A command in one segment with STARTTLS has no effect and no reply inside TLS (CVE-2011-0411 and its kin)."""
    listener = visit.listener
    with _before_starttls(visit, "command injected behind STARTTLS") as conversation:
        injected = "MAIL FROM:<%s>" % listener.sender
        conversation.record("C:", "STARTTLS")
        conversation.record("C:", "%s (in the same segment)" % injected)
        conversation.send_bytes(b"STARTTLS\r\n%s\r\n" % injected.encode("utf-8"))
        try:
            reply = conversation.reply("reply to STARTTLS")
            if reply.code != 220:
                settled(reply)
                visit.note("injection", False, "refused: %s" % reply, SERVER_REPLY)
                return
            conversation.abandon()
            if conversation.pending:
                words = "answers the injected command in clear: %s" % printable(conversation.pending[:80])
                visit.note("injection", True, words)
                return
            conversation.begin_tls(lenient_context())
            # Were MAIL kept, RCPT would be taken in sequence; were it answered, the replies would be one behind.
            recipient = settled(conversation.command("RCPT TO:<%s@%s>" % (listener.recipient, known_domain(visit))))
            hello = conversation.command("EHLO " + listener.client_name)
        except Unobservable as error:
            if error.side == SERVER_REPLY and error.reason.startswith("bytes in clear"):
                visit.note("injection", True, error.reason)
                return
            if error.side != SERVER_CLOSED:
                raise
            visit.note("injection", False, error.reason, SERVER_CLOSED)
            return
    if recipient.code not in (503, 530):
        visit.note("injection", True, "the injected command has an effect: RCPT gets %s" % recipient)
    elif hello.code != 250 or len(hello.lines) < 2:
        visit.note("injection", True, "the injected command is answered inside TLS: EHLO gets %s" % hello)
    else:
        visit.note("injection", False, "taken for nothing: RCPT gets %s" % recipient, SERVER_REPLY)


def _late_plaintext(visit: Visit) -> None:
    """A command in clear after the 220 to STARTTLS, before the ClientHello, is a broken handshake and nothing else."""
    with _before_starttls(visit, "command between STARTTLS and the handshake") as conversation:
        reply = conversation.command("STARTTLS")
        if reply.code != 220:
            raise Unobservable("STARTTLS gets %s" % reply, refusing_side(reply))
        conversation.abandon()
        conversation.record("C:", "NOOP")
        conversation.send_bytes(b"NOOP\r\n")
        try:
            conversation.begin_tls(lenient_context())
        except Unobservable as error:
            if error.side in (NETWORK, SERVER_BUSY, BUDGET):
                raise
            # What the server says in clear now reads as a broken record; that it ends here is what counts.
            visit.note("late_plaintext", False, "the handshake fails: %s" % error.reason, error.side)
            return
    visit.note("late_plaintext", True, "the handshake goes on behind a command in clear")


def _before_starttls(visit: Visit, purpose: str) -> Conversation:
    if visit.no_tls is not None:
        raise visit.no_tls
    conversation = visit.clear(purpose)
    try:
        conversation.ehlo(visit.listener.client_name)
    except BaseException:
        conversation.close()
        raise
    return conversation
