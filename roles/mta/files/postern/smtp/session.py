# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One SMTP session without any I/O: bytes go in, bytes and at most one action come out.

What takes time or touches the network is an action (see :mod:`state`): a TLS handshake, a password, the queue.
While an action is under way nothing is parsed, so replies keep their order (RFC 2920 section 3.2) and a client that is
faster than the disk waits. The verbs themselves are functions in :mod:`verbs`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ..queue.store import id_text
from ..rules.engine import RuleError
from ..rules.variables import DECIDED_ANEW, INCOMING_LEVELS, READ_ONLY, TLS_LEVELS, Variables
from . import auth, verbs
from .intake import Intake
from .reply import (
    AUTH_LINE_TOO_LONG,
    BAD_LINE,
    LINE_TOO_LONG,
    NO_ROOM,
    LOCAL_ERROR,
    PUT_OFF,
    SHUTTING_DOWN,
    TIMED_OUT,
    TOO_MANY_ERRORS,
    Reply,
)
from .state import (
    Action,
    CheckPassword,
    Ends,
    Mode,
    Output,
    Pause,
    Site,
    StartTls,
    Tally,
    TlsState,
    Transaction,
)

#: Octets of a command line with CR LF. RFC 5321 section 4.5.3.1.4 asks for 512, extensions add up to about 1,000.
MAX_COMMAND_LINE = 2048
#: Command lines that are answered before others have their turn. A peer may send many thousands in one piece.
_GROUP = 100
#: A reply code and an enhanced one of the same class at the beginning of an explanation's line
#: (RFC 5321 section 4.2: Reply-code; RFC 3463 section 2).
_CODES = re.compile(r"([45])([0-5][0-9])[ -](\1\.[0-9]{1,3}\.[0-9]{1,3})(?: |\Z)")


class Session:
    """The state of one session. ``base`` holds the variables of ``onConnect``, kept by :meth:`secured`."""

    def __init__(self, site: Site, ends: Ends, tls: TlsState | None = None, tally: Tally | None = None) -> None:
        self.site = site
        self.ends = ends
        self.tls = tls
        self.rules = site.rules
        self.tally = tally or Tally()
        self.mode = Mode.COMMAND
        self.base = self._first_variables()
        self.variables = self.base
        self.hello = ""
        self.extended = False
        self.user = ""
        self.transaction: Transaction | None = None
        self.mechanism_name = ""
        self.mechanism: Any = None
        self._intake: Intake | None = None
        self._buffer = bytearray()
        self._skipping: Reply | None = None
        self._action: Action | None = None
        self._errors = 0
        self._auth_failures = 0

    # --- what the adapter calls -------------------------------------------------------------------

    def open(self) -> Output:
        """Run ``onConnect`` and greet (RFC 5321 section 3.1), or refuse the connection."""
        refused = self.run_rules("onConnect", self.base)
        if refused is not None:
            # RFC 5321 section 3.1: 554 instead of 220; 421 for a refusal that may pass.
            code = 554 if refused.code >= 500 else 421
            return self._finish([replace(refused, code=code, close=True)])
        text = " ".join(self.base.text("smtpGreeting").split())
        name = self.site.server_name
        if text.split(" ", maxsplit=1)[0].lower() == name.lower():
            text = text[len(name) :].strip()
        return self._finish([Reply(220, "", f"{name} {text or 'ESMTP ready'}")])

    def secured(self, tls: TlsState) -> "Session":
        """The session inside TLS: everything the peer said before is forgotten (RFC 3207 section 4.2)."""
        fresh = Session(self.site, self.ends, tls, self.tally)
        fresh.rules = self.rules
        fresh.base = self.base.copy()
        upgraded = isinstance(self._action, StartTls)
        known = "yes" if not upgraded or self.rules.emulation.encrypted_after_starttls else "no"
        fresh.base.tell(isSSLConnection=known, **tls.variables())
        fresh.variables = fresh.base
        return fresh

    def receive(self, data: bytes) -> Output:
        """Take bytes from the peer."""
        mode = self.mode
        if mode is Mode.COMMAND and not self._buffer and self._action is None and self._skipping is None:
            # Nearly always it is one whole line, and nothing waits before it.
            size = len(data)
            if 0 < size <= MAX_COMMAND_LINE and data.find(b"\n") == size - 1:
                self.tally.commands += 1
                return self._finish(self._counted(self._command(data)))
        if mode is not Mode.CLOSED:
            self._buffer += data
        return self._advance([])

    def password_checked(self, login: str | bool | None) -> Output:
        """Result of a :class:`CheckPassword`: the account's login, False, or None when it could not be checked now."""
        self._action = None
        if login is None:
            # RFC 4954 section 6: 454 for a temporary failure.
            return self._advance([self.end_auth(Reply(454, "4.7.0", "cannot check credentials now, try again later"))])
        return self._advance(self.auth_result(login or None))

    def spilled(self) -> Output:
        """A piece of a text is kept (not durable yet)."""
        self._action = None
        return self._advance([])

    def not_spilled(self, full: bool) -> Output:
        """A piece could not be kept, and what was is forgotten. The text is read to its end, then refused."""
        self._action = None
        self._intake.not_spilled(full)
        return self._advance([])

    def discarded(self) -> Output:
        """What was kept of a text that is refused is forgotten."""
        self._action = None
        return self._advance(self._text_ended(self._intake.refused) if self._intake.ended else [])

    def go_on(self) -> Output:
        """After a :class:`Pause`."""
        self._action = None
        return self._advance([])

    def stored(self) -> Output:
        """The message is durable: only now it is accepted (RFC 5321 section 6.1)."""
        self._action = None
        name = id_text(self._intake.envelope.id)
        self.tally.messages += 1
        self._intake.log("accepted", id=name)
        return self._advance(self._text_ended(Reply(250, "2.0.0", f"queued as {name}")))

    def not_stored(self, full: bool) -> Output:
        """The message could not be made durable; ``full``: for lack of room."""
        self._action = None
        reply = NO_ROOM if full else LOCAL_ERROR
        self._intake.log("refused", code=reply.code, reason="not stored")
        return self._advance(self._text_ended(reply))

    def timed_out(self) -> Output:
        """The peer was silent for too long."""
        self.tally.reason = self.tally.reason or "timeout"
        return self._finish([TIMED_OUT])

    def shut_down(self) -> Output:
        """The server stops (RFC 5321 section 3.8: 421)."""
        self.tally.reason = self.tally.reason or "shutdown"
        return self._finish([SHUTTING_DOWN])

    @property
    def busy(self) -> bool:
        """Whether an action is under way; then nothing is parsed."""
        return self._action is not None

    @property
    def in_data(self) -> bool:
        """Whether a message text is being received."""
        return self.mode is Mode.DATA

    @property
    def waiting_bytes(self) -> int:
        """Octets that came while an action is under way, and wait for its end to be parsed."""
        return len(self._buffer) if self._action is not None else 0

    @property
    def line_begun(self) -> bool:
        """Whether a line was begun and its end has not come yet."""
        return self._action is None and self.mode is not Mode.DATA and bool(self._buffer)

    # --- what the verbs call ----------------------------------------------------------------------

    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms that this connection may use now, in the order in which they are offered."""
        return self.variables.mechanisms(self.tls is not None, self.rules.emulation)

    def wait_for(self, action: Action) -> None:
        """Stop parsing until the adapter reports the end of ``action``."""
        self._action = action

    def forget_transaction(self) -> None:
        """RFC 5321 section 4.1.1.5: RSET, EHLO and a finished message discard sender and recipients."""
        self.transaction = None

    def run_rules(self, event: str, variables: Variables) -> Reply | None:
        """Run one event of the script; the refusal when the script asks for one. What it decides starts empty.

        Where the script says nothing, what an earlier event decided is left, and nobody looks at it.
        """
        if self.rules.says_nothing(event, variables):
            return None
        for name in DECIDED_ANEW:
            variables.pop(name, None)
        try:
            self.rules.run(event, variables)
        except RuleError as error:
            self.site.log("rules.error", level="error", stage=event, error=str(error))
            return LOCAL_ERROR
        refused = self._refused_by_action(variables)
        if refused is None and event == "onRcptTo":
            refused = self._refused_by_level(variables)
        if refused is None:
            return None
        known = {name: variables.text(name) for name in ("mailFrom", "rcptTo") if name.lower() in variables}
        self.site.log(
            "rules.refused",
            peer=self.ends.peer,
            stage=event,
            code=refused.code,
            reason=refused.text,
            tls=bool(self.tls),
            **known,
        )
        return refused

    @staticmethod
    def _refused_by_action(variables: Variables) -> Reply | None:
        action = variables.text("smtpAction").strip().lower()
        if action not in ("reject", "tmpreject"):
            return None
        text = variables.text("smtpExplanation").strip()
        # RFC 5321 section 4.2.1: 5yz is for good, 4yz for now; a code of the other kind is text like any other.
        # The engine does not know why a rule refuses: 5.7.1 is "delivery not authorised" (RFC 3463 section 3.8).
        kind, code, enhanced = ("5", 550, "5.7.1") if action == "reject" else ("4", 451, "4.7.1")
        said = _CODES.match(text)
        if said is not None and said[1] == kind:
            # A code stands on each line of a reply (RFC 5321 section 4.2.1), and may do so in the explanation.
            own = re.compile(rf"{said[1]}{said[2]}[ -]{re.escape(said[3])}(?: |\Z)")
            text = "\n".join(own.sub("", line, count=1) if own.match(line) else line for line in text.splitlines())
            code, enhanced = int(said[1] + said[2]), said[3]
        # RFC 5321 section 3.8: whoever says 421 closes the connection.
        return Reply(code, enhanced, text.strip() or "refused by policy", close=code == 421)

    def _refused_by_level(self, variables: Variables) -> Reply | None:
        """What ``tlsLevel`` says of one recipient. It is about this connection as it is, whatever a script is told."""
        if "tlslevel" not in variables:
            return None
        # A text that came out empty is no wish for less: perhaps a variable in it was not set.
        word = variables.text("tlsLevel").strip().lower()
        if word not in INCOMING_LEVELS:
            self.site.log("rules.error", level="error", stage="onRcptTo", error=f"unknown tlsLevel {word[:60]!r}")
            return Reply(451, "4.7.5", "the TLS level of this recipient is not known to this server")
        if word in TLS_LEVELS and self.tls is None:
            text = " ".join(variables.text("tlsExplanation").split())
            return Reply(550, "5.7.1", text or "mail for this recipient is taken inside TLS only (STARTTLS)")
        return None

    def take_up_policy(self) -> Reply | None:
        """When another policy is running by now: it decides what it would have decided before. Its refusal, or None.

        A session may be as old as its client wants it to be. Who would be refused now is, until it says goodbye; what
        EHLO told is not told again. A transaction ends with the policy with which it began.
        """
        latest = self.site.latest()
        if latest is None or latest is self.rules:
            return None
        base = Variables({name: value for name, value in self.base.items() if name in READ_ONLY})
        before, self.rules = self.rules, latest
        refused = self.run_rules("onConnect", base)
        variables = base.copy()
        if refused is None and self.hello:
            self.tell_hello(variables, self.hello, self.extended)
            refused = self.run_rules("onEhlo", variables)
        if refused is not None:
            # It is asked again the next time: nothing of what it decided is taken up.
            self.rules = before
            return refused
        self.base, self.variables = base, variables
        return None

    def tell_hello(self, variables: Variables, name: str, extended: bool) -> None:
        """What is known of the client from EHLO on."""
        variables.tell(ehloHost=name, isESMTP="yes" if extended else "no", authUser=self.user)

    def begin_data(self) -> None:
        """The 354 is about to be sent; what follows is message text."""
        self._intake = Intake(self, self.transaction, self._buffer)
        self.mode = Mode.DATA

    def bytes_behind(self) -> bool:
        """Whether the peer already sent more than the command being answered."""
        return bool(self._buffer)

    def auth_step(self, step: auth.Step) -> list[Reply]:
        """Turn what a SASL mechanism wants into replies or an action."""
        if self._put_off():
            return [self.end_auth(PUT_OFF)]
        if isinstance(step, auth.Challenge):
            self.mode = Mode.AUTH
            return [Reply(334, "", auth.encode(step.data))]
        if isinstance(step, auth.Check):
            self.mode = Mode.COMMAND
            self.wait_for(CheckPassword(step.login, step.password))
            return []
        if isinstance(step, auth.Refused) and step.malformed:
            return [self.end_auth(Reply(501, "5.5.2", "the response is malformed"))]
        return self.auth_result(step.login if isinstance(step, auth.Accepted) else None)

    def auth_result(self, login: str | None) -> list[Reply]:
        """The end of an exchange: the login when it succeeded, None when the credentials are wrong."""
        # Others may have tried while a password was checked. Who is put off does not learn whether it was right.
        if self._put_off():
            return [self.end_auth(PUT_OFF)]
        name, claimed = self.mechanism_name, self.mechanism.login or ""
        if login is not None:
            self.site.guesses.right(self.ends.peer, claimed)
            self.user = self.tally.user = login
            self.variables.tell(authUser=login)
            self.site.log("smtp.auth", peer=self.ends.peer, mechanism=name, result="accepted", user=login)
            return [self.end_auth(Reply(235, "2.7.0", "authenticated"))]
        self._auth_failures += 1
        self.site.guesses.wrong(self.ends.peer, claimed, self.site.accounts.credentials(claimed) is not None)
        self.site.log("smtp.auth", peer=self.ends.peer, mechanism=name, result="refused")
        # RFC 4954 section 6: one text for an unknown user and a wrong password.
        replies = [self.end_auth(Reply(535, "5.7.8", "authentication credentials invalid"))]
        if 0 < self.site.max_auth_errors <= self._auth_failures:
            self.tally.reason = "authentication failures"
            replies.append(Reply(421, "4.7.0", "too many authentication failures, closing", close=True))
        return replies

    def _put_off(self) -> bool:
        """Whether this client, or everybody, has guessed too often to try this login now."""
        login = self.mechanism.login
        reason = self.site.guesses.put_off(self.ends.peer, login) if login is not None else ""
        if reason:
            name = self.mechanism_name
            self.site.log("smtp.auth", peer=self.ends.peer, mechanism=name, result="put off", reason=reason)
        return bool(reason)

    def end_auth(self, reply: Reply) -> Reply:
        """Forget the exchange under way."""
        self.mechanism = None
        self.mode = Mode.COMMAND
        return reply

    # --- the machine ------------------------------------------------------------------------------

    def _first_variables(self) -> Variables:
        variables = Variables()
        variables.tell(
            isSSLConnection="yes" if self.tls else "no",
            smtpIp=self.ends.local,
            smtpPort=str(self.ends.local_port),
            remoteSmtpIp=self.ends.peer,
            remoteSmtpPort=str(self.ends.peer_port),
            sslClientVerified="no",
            sslClientFingerprint="",
        )
        if self.tls:
            variables.tell(**self.tls.variables())
        return variables

    def _advance(self, replies: list[Reply]) -> Output:
        replies = self._counted(replies)
        lines = 0
        while self._action is None and self.mode is not Mode.CLOSED:
            if self.mode is Mode.DATA:
                step = self._data()
            elif lines == _GROUP and self._buffer:
                self.wait_for(Pause())
                break
            else:
                lines += 1
                step = self._line()
            if step is None:
                break
            replies.extend(self._counted(step))
        return self._finish(replies)

    def _counted(self, replies: list[Reply]) -> list[Reply]:
        """Count errors; behind the one too many comes the end of the session."""
        for position, reply in enumerate(replies):
            if reply.code < 500 and not reply.close and not self._errors:
                continue
            if reply.is_error:
                self._errors += 1
                self.tally.refusals += 1
            if reply.close:
                self.mode = Mode.CLOSED
                return replies[: position + 1]
            if self.site.max_errors and self._errors > self.site.max_errors:
                self.tally.reason = "errors"
                self.mode = Mode.CLOSED
                return [*replies[: position + 1], TOO_MANY_ERRORS]
        return replies

    def _finish(self, replies: list[Reply]) -> Output:
        close = bool(replies) and replies[-1].close
        if close:
            self.mode = Mode.CLOSED
            self._action = None
        data = replies[0].wire if len(replies) == 1 else b"".join([reply.wire for reply in replies])
        return Output(data, self._action, close)

    def _line(self) -> list[Reply] | None:
        """Take one line off the buffer and answer it; None when there is no whole line yet."""
        buffer = self._buffer
        if not buffer:
            return None
        end = buffer.find(b"\n")
        exchange = self.mode is Mode.AUTH
        limit, too_long = MAX_COMMAND_LINE, LINE_TOO_LONG
        if exchange or (not 0 <= end < limit and bytes(buffer[:5]).upper() == b"AUTH "):
            # RFC 4954 section 4: 12,288 octets and 500 5.5.6; RFC 5321 section 4.5.3.1.4: a 500 for commands.
            limit, too_long = auth.MAX_LINE, AUTH_LINE_TOO_LONG
        if end < 0:
            if len(buffer) >= limit:
                self._skipping = self._skipping or too_long
                # The last octet may be the CR of the line's end.
                del buffer[:-1]
            return None
        line = bytes(buffer[: end + 1])
        del buffer[: end + 1]
        self.tally.commands += 1
        if self._skipping is not None or len(line) > limit:
            too_long, self._skipping = self._skipping or too_long, None
            return [self.end_auth(too_long)]
        return self._command(line)

    def _command(self, line: bytes) -> list[Reply]:
        """Answer a line with its LF, be it a command or one of an exchange."""
        body = line[:-2]
        if line[-2:] != b"\r\n" or b"\r" in body or b"\0" in body:
            return [self.end_auth(BAD_LINE)]
        text = body.decode("utf-8", "surrogateescape")
        return self._respond(text) if self.mode is Mode.AUTH else verbs.answer(self, text)

    def _respond(self, text: str) -> list[Reply]:
        """One line of a SASL exchange."""
        if text.strip(" ") == "*":
            # RFC 4954 section 4: a lone "*" cancels.
            return [self.end_auth(Reply(501, "5.7.0", "authentication cancelled"))]
        try:
            return self.auth_step(self.mechanism.respond(auth.decode(text)))
        except auth.BadBase64:
            return [self.end_auth(Reply(501, "5.5.2", "the response is not base64"))]

    def _data(self) -> list[Reply] | None:
        step = self._intake.advance()
        if isinstance(step, Reply):
            return self._text_ended(step)
        if step is not None:
            self.wait_for(step)
            return []
        return None

    def _text_ended(self, reply: Reply) -> list[Reply]:
        """RFC 5321 section 4.1.1.4: with the reply to its end the transaction is over, whatever became of it."""
        self.mode = Mode.COMMAND
        self.transaction = self._intake = None
        return [reply]
