# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A session with the admin interface: login, one command at a time, contexts, multi-line uploads.

One command is sent, one answer is read, under one deadline. Whatever leaves it unclear where the
session stands (a time-out, a shape that the protocol does not have) ends the session: the server
then drops everything that was not committed.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ..._policy.value import Value
from ..base import AnswerTimeout, CommandRefused, LoginRefused, ProtocolError, ServerError, Unreachable
from . import ending, wire
from .ending import PASSWORD, Ending
from .layout import HIDDEN, MAX_LINE, Secret, SetValue, Word, WordRefused, check_text, printable, quote, shown

if t.TYPE_CHECKING:
    import ssl

ROOT = "<#>"
LOGIN = "<login>"

#: The verbs that leave a context, and the one to try where the first is refused: which of the two saving verbs a
#: context has differs between versions, and older documentation calls BACK by another name.
_OTHER = {"COMMIT": "DONE", "DONE": "COMMIT", "BACK": "CANCEL"}

#: A line of an upload that would be its end, or could be taken for it.
_DOT_LINE = re.compile(r"(?:\A|[\r\n])\.")


@dataclass(init=False, repr=False, eq=False)
class Answer(Value):
    """One answer. ``status`` is the text behind ``+OK`` or ``-ERR``; it is for people, never to be branched on.

    ``said`` is the payload: lines, or one text where it is one, which may be large.
    """

    said: t.Union[str, t.List[str]]
    status: str
    ok: bool
    prompt: str

    @property
    def payload(self) -> t.List[str]:
        """The lines of the payload."""
        if isinstance(self.said, str):
            return self.said.split("\n") if self.said else []
        return self.said

    @property
    def text(self) -> str:
        """The payload as one text; lines end with LF, the last one has no line end."""
        return self.said if isinstance(self.said, str) else "\n".join(self.said)


@dataclass(init=False, repr=False, eq=False)
class _Context(Value):
    """An entered context: the words that led into it, and its prompt."""

    words: t.Tuple[str, ...]
    prompt: str

    def describe(self) -> str:
        """The object that the context edits, as ``Listener 0.0.0.0:587``."""
        keywords = [word for word in self.words[1:] if word.lower() not in ("address", "name")]
        return shown(keywords[:2])


class AdminSession:
    """A connection to the admin interface, up to its login prompt when the constructor returns.

    ``tls`` is the context for an admin port that speaks TLS, None for clear text; ``timeout`` is the
    limit in seconds for every command as a whole. Raises :class:`Unreachable`,
    :class:`AnswerTimeout` or :class:`ProtocolError`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: t.Optional[ssl.SSLContext] = None,
        server_hostname: t.Optional[str] = None,
        timeout: float = 30.0
    ) -> None:
        self.timeout = timeout
        self.version = ""
        self._secrets: t.List[str] = []
        self._stack: t.List[_Context] = []
        self._told = False
        self._leaving: t.Dict[t.Tuple[str, str], str] = {}
        self._prompt = LOGIN
        self._wire = wire.Wire(host, port, tls, server_hostname, timeout)
        self.peer = self._wire.peer
        self._read_banner(tls is not None)

    # --- before login ---------------------------------------------------------------------------

    def _read_banner(self, secure: bool) -> None:
        def judge(buffer: bytearray) -> t.Optional[float]:
            end = ending.find_end(buffer)
            if end is None or end.prompt.lower() != LOGIN:
                return None
            # Should this be no end, the next answer says so: it is not believed before it has a status line.
            return 0.0 if end.spaced else ending.GRACE

        operation = "wait for the login prompt of %s" % self.peer
        advice = "Check that this is the port of the admin interface%s." % (
            "" if secure else ", and set admin_tls if it speaks TLS"
        )
        try:
            self._wire.read(judge, wire.Deadline(self.timeout), operation, wire.MAX_BANNER, advice)
        except (AnswerTimeout, Unreachable) as error:
            greeting = printable(bytes(self._wire.buffer[:200]).decode("utf-8", "replace"), 120)
            said = '%s; it sent "%s"' % (error.said, greeting) if greeting else error.said
            raise type(error)(operation, said, error.advice)

    def get_version(self) -> str:
        """The server's version, as ``10.6.30``; empty when it does not tell. No login is needed."""
        answer = self._exchange(("GET", "VERSION"), may_lack_status=True)
        lines = [line.strip() for line in answer.payload if line.strip()]
        # Behind the last line's prompt, because the rest of a banner that paused at one may stand before.
        self.version = lines[-1].split("|")[0].rsplit(">")[-1].strip() if answer.ok and lines else ""
        return self.version

    def login(self, user: str, password: str) -> None:
        """Log in, with one attempt only: servers count failures and lock out.

        Raises :class:`LoginRefused` when the server says no.
        """
        operation = 'log in to %s as "%s"' % (self.peer, printable(user, 100))
        check_text(user, operation)
        secret = Secret(password)
        self._remember(secret)
        check_text(secret.reveal(), operation + ": the password cannot be sent")
        if not secret.reveal():
            raise LoginRefused(operation, "the password is empty", "Nothing was sent. Set admin_password.")
        asked = self._talk(
            "USER %s" % quote(user),
            operation,
            Ending(lambda prompt: prompt in (PASSWORD, LOGIN), may_lack_status=True),
        )
        if asked.prompt != PASSWORD:
            raise self._login_refused(operation, asked.status)
        try:
            answer = self._talk(secret.reveal(), operation, Ending(lambda prompt: prompt in (ROOT, LOGIN)))
        except Unreachable:
            said = _FIRST_STATUS.findall(bytes(self._wire.buffer))
            if not said or said[-1][0] != b"-ERR":
                raise
            raise self._login_refused(operation, _decode(said[-1][1]))
        if not answer.ok:
            raise self._login_refused(operation, answer.status)
        if answer.prompt == LOGIN:
            raise self._broken(operation, "the server said yes and asks to log in again")
        self._stack = [_Context((), answer.prompt)]
        self._prompt = answer.prompt

    def _login_refused(self, operation: str, said: str) -> LoginRefused:
        self._wire.close()
        return LoginRefused(
            operation,
            self._public(said) or "the server refused",
            "Check admin_user and admin_password. It was tried once; the server counts failed logins.",
        )

    # --- commands -------------------------------------------------------------------------------

    def command(self, *words: Word, secret: t.Collection[int] = (), timeout: t.Optional[float] = None) -> Answer:
        """One command that stays in its context.

        Words are quoted as needed. Those that are :class:`Secret`, or whose index is in ``secret``, are
        never shown. Raises :class:`CommandRefused` on ``-ERR``, and other :class:`ServerError`.
        """
        answer = self._exchange(words, secret=secret, timeout=timeout)
        if not answer.ok:
            raise self._refused(words, secret, answer)
        return answer

    def enter(self, *words: Word, secret: t.Collection[int] = (), timeout: t.Optional[float] = None) -> Answer:
        """One command that enters a context. Raises like :meth:`command`."""
        here = self._prompt
        answer = self._exchange(words, secret=secret, timeout=timeout, possible=lambda prompt: prompt.endswith("#>"))
        if not answer.ok:
            self._stay(words, secret, answer, here)
            raise self._refused(words, secret, answer)
        if answer.prompt == here:
            raise self._broken(self._operation(words, secret), "the server said yes and did not change the context")
        visible = tuple(HIDDEN if index in secret else str(word) for index, word in enumerate(words))
        self._stack.append(_Context(visible, answer.prompt))
        self._prompt = answer.prompt
        return answer

    def leave(self, verb: str, timeout: t.Optional[float] = None) -> Answer:
        """Leave a context with ``COMMIT``, ``DONE`` or ``BACK``.

        A refused verb is followed by the other one that means the same, once; the one that worked is the first
        choice for contexts of that kind from then on: servers count refused commands and end the session at twenty.
        Where the parent is the root context COMMIT is the only saving verb.
        """
        if not self.depth:
            raise ProtocolError(verb, "there is no context to leave", "This is an error of the program.")
        kind = (self._prompt, verb)
        verb = self._leaving.get(kind, verb)
        answer = self._leave_once(verb, timeout)
        if answer.ok:
            return answer
        other = _OTHER.get(verb)
        if other is not None and not (verb == "COMMIT" and self.depth == 1):
            second = self._leave_once(other, timeout)
            if second.ok:
                self._leaving[kind] = other
                return second
        raise self._refused((verb,), (), answer)

    def _leave_once(self, verb: str, timeout: t.Optional[float]) -> Answer:
        here, parent = self._prompt, self._stack[-2].prompt
        answer = self._exchange((verb,), timeout=timeout, possible=lambda prompt: prompt in (parent, here))
        if not answer.ok:
            self._stay((verb,), (), answer, here)
        elif answer.prompt != parent:
            raise self._broken(self._operation((verb,), ()), "the server said yes and did not leave the context")
        else:
            self._stack.pop()
            self._prompt = parent
        return answer

    def _stay(self, words: t.Sequence[Word], secret: t.Collection[int], answer: Answer, here: str) -> None:
        if answer.prompt != here:
            raise self._broken(
                self._operation(words, secret),
                "the server said no (%s) and changed the context" % self._public(answer.status),
            )

    @property
    def depth(self) -> int:
        """How many contexts deep the session stands below the root."""
        return max(0, len(self._stack) - 1)

    def back_to_root(self) -> None:
        """Drop everything pending. Raises :class:`ServerError`; the session is ended when it stays unclear."""
        for _attempt in range(self.depth + 2):
            if not self.depth:
                return
            self.leave("BACK")
        raise self._broken("BACK to the root context", "the server stays in %s" % self._prompt)

    def upload(self, *words: Word, text: str, timeout: t.Optional[float] = None) -> Answer:
        """A command whose value is a text of many lines, as ``UPDATE SmtpFilters``.

        Lines are what stands between LFs; each is sent with CR LF behind it. The text is sent only
        after the server has said ``+OK`` to the command itself: otherwise every line of it would be a
        command. Refuses a text with a line that starts with a dot, the end mark of uploads, and NUL.
        """
        operation = self._operation(words, ())
        body = self._body(operation, text)
        deadline = wire.Deadline(self.timeout if timeout is None else timeout)
        self._send_line(self._line(words, ()), operation, deadline)
        self._await_invitation(words, operation, deadline)
        self._wire.send(body, deadline, operation)
        answer = self._read_answer(operation, deadline, Ending(self._same_prompt, invited=self._prompt))
        if not answer.ok:
            raise self._refused(words, (), answer)
        return answer

    @staticmethod
    def _body(operation: str, text: str) -> bytes:
        found = _DOT_LINE.search(text)
        if found:
            line = text.count("\n", 0, found.end()) + 1
            raise WordRefused(
                operation, "line %d of the text starts with a dot, which ends an upload" % line, "Nothing was sent."
            )
        if "\x00" in text:
            raise WordRefused(operation, "the text contains a NUL character", "Nothing was sent.")
        try:
            return text.replace("\n", "\r\n").encode("utf-8", "surrogateescape") + b"\r\n.\r\n"
        except UnicodeEncodeError:
            raise WordRefused(operation, "the text contains characters that have no UTF-8 form", "Nothing was sent.")

    def _await_invitation(self, words: t.Sequence[Word], operation: str, deadline: wire.Deadline) -> None:
        """Wait for ``+OK``. A prompt may or may not follow it, then or later: it is left to the next read."""

        def judge(buffer: bytearray) -> t.Optional[float]:
            found = _FIRST_STATUS.search(ending.without_noise(bytes(buffer)))
            if found is not None and found.group(1) == b"+OK":
                return 0.0
            return None if ending.find_end(buffer) is None else 0.0 if found else ending.GRACE

        came = ending.without_noise(
            bytes(self._wire.read(judge, deadline, operation, wire.MAX_BANNER, _NOT_UPLOADED))
        )
        found = _FIRST_STATUS.search(came)
        if found is None:
            raise self._broken(operation, "the answer has no status line")
        if found.group(1) != b"+OK":
            raise self._refused(words, (), Answer([], _decode(found.group(2)), False, self._prompt))
        self._wire.buffer[:0] = came[found.end():]

    @property
    def closed(self) -> bool:
        """Whether this end has given the session up."""
        return self._wire.closed

    def close(self) -> None:
        """End the session politely; never raises."""
        if not self._wire.closed:
            deadline = wire.Deadline(min(1.0, self.timeout))
            try:
                self._wire.send(b"QUIT\r\n", deadline, "QUIT")
            except ServerError:
                return
            self._wire.drain(deadline)
            self._wire.close()

    # --- one exchange ---------------------------------------------------------------------------

    def _exchange(
        self,
        words: t.Sequence[Word],
        secret: t.Collection[int] = (),
        timeout: t.Optional[float] = None,
        possible: t.Optional[t.Callable[[str], bool]] = None,
        may_lack_status: bool = False,
    ) -> Answer:
        operation = self._operation(words, secret)
        line = self._line(words, secret)
        deadline = wire.Deadline(self.timeout if timeout is None else timeout)
        expected = Ending.of(
            [str(word) for word in words], possible or self._same_prompt, may_lack_status, deadline.limit / 2
        )
        self._send_line(line, operation, deadline)
        return self._read_answer(operation, deadline, expected)

    def _talk(self, line: str, operation: str, expected: Ending) -> Answer:
        deadline = wire.Deadline(self.timeout)
        self._send_line(line, operation, deadline)
        return self._read_answer(operation, deadline, expected)

    def _send_line(self, line: str, operation: str, deadline: wire.Deadline) -> None:
        try:
            unasked = self._wire.unasked(operation)
        except Unreachable as error:
            told, self._told = self._told, True
            if told or not self._wire.left:
                raise
            raise Unreachable(operation, error.said + self._last_words(), _ENDED_MEANWHILE)
        if unasked:
            farewell = _FIRST_STATUS.findall(unasked)
            if farewell and farewell[-1][0] == b"-ERR":
                self._wire.close()
                said = 'the server gave the session up with the words "%s"' % self._public(_decode(farewell[-1][1]))
                raise Unreachable(operation, said, _ENDED_MEANWHILE)
            raise self._broken(operation, "the server sent %d bytes that nothing asked for" % len(unasked))
        self._wire.send(line.encode("utf-8", "surrogateescape") + b"\r\n", deadline, operation)

    def _read_answer(self, operation: str, deadline: wire.Deadline, expected: Ending) -> Answer:
        """Read to the end. Of a text every byte is kept; out of everything else control sequences are taken."""
        try:
            raw = self._wire.read(expected.judge, deadline, operation, wire.MAX_ANSWER, _uncertain(operation))
        except AnswerTimeout as error:
            raise AnswerTimeout(operation, error.said, error.advice + _SLOW)
        except Unreachable as error:
            self._told = True
            raise Unreachable(operation, error.said + self._last_words(), error.advice)
        end = ending.find_end(raw)
        if end is None or (end.ok is None and not expected.may_lack_status):
            raise self._broken(operation, "the answer has no status line")
        if not expected.possible(end.prompt):
            raise self._broken(operation, "the answer ends with the unexpected prompt %s" % printable(end.prompt, 80))
        # The rest of it comes in front of the next answer.
        self._wire.buffer[:0] = ending.unfinished_noise(bytes(raw[-ending.MAX_PROMPT:]))
        del raw[end.payload_end:]
        payload = ending.without_leading_noise(bytes(raw))
        del raw
        said = _text(payload) if expected.text else _lines(ending.without_noise(payload))
        return Answer(said, _decode(end.status), end.ok is not False, end.prompt)

    def _last_words(self) -> str:
        """The status line with which the server said goodbye, as the end of a message."""
        found = _FIRST_STATUS.findall(ending.without_noise(bytes(self._wire.buffer[-4096:])))
        return '; its last words were "%s"' % self._public(_decode(found[-1][1])) if found else ""

    def _same_prompt(self, prompt: str) -> bool:
        return prompt == self._prompt

    def _line(self, words: t.Sequence[Word], secret: t.Collection[int]) -> str:
        parts = []
        for index, word in enumerate(words):
            if index in secret and not isinstance(word, (Secret, SetValue)):
                word = Secret(word)
            if isinstance(word, Secret):
                self._remember(word)
            try:
                parts.append(quote(word))
            except WordRefused as error:
                raise WordRefused(self._operation(words, secret), error.said, error.advice)
        line = " ".join(parts)
        if len(line.encode("utf-8", "surrogateescape")) > MAX_LINE:
            raise WordRefused(
                self._operation(words, secret), "the command is longer than %d bytes" % MAX_LINE, "Nothing was sent."
            )
        return line

    # --- messages -------------------------------------------------------------------------------

    def _operation(self, words: t.Sequence[Word], secret: t.Collection[int]) -> str:
        """The command as a message names it, with the object that is being edited."""
        edited = [context.describe() for context in self._stack[1:] if len(context.words) > 2]
        return " in ".join([shown(words, secret)] + edited[::-1])

    def _remember(self, secret: Secret) -> None:
        text = secret.reveal()
        for form in (quote(secret)[1:-1], text) if text and not _has_control(text) else ():
            if form not in self._secrets:
                self._secrets.append(form)

    def _public(self, said: str) -> str:
        """What the server said, fit for a message: no secret that this session has sent, no control characters."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            said = said.replace(secret, HIDDEN)
        return printable(said.strip(), 400)

    def _refused(self, words: t.Sequence[Word], secret: t.Collection[int], answer: Answer) -> CommandRefused:
        details = [line.strip() for line in answer.payload if line.strip()]
        said = "; ".join([answer.status] + details[:5]) if answer.status else "; ".join(details[:5])
        # Few sessions have a refusal, and a module's code is compiled anew in each of them.
        from .versions import hint

        named = [member for word in words for member in (word if isinstance(word, SetValue) else (str(word),))]
        advice = hint(self.version, named)
        return CommandRefused(self._operation(words, secret), self._public(said) or "the server refused", advice)

    def _broken(self, operation: str, said: str) -> ProtocolError:
        self._wire.close()
        known = _uncertain(operation) if _may_commit(operation) else "what was not committed is dropped."
        return ProtocolError(operation, said, "The session was ended; %s" % (known[0].lower() + known[1:]))


_FIRST_STATUS = re.compile(rb"(?:\A|\n)(\+OK|-ERR)(?![A-Za-z0-9]):?[ \t]*([^\r\n]*)\r?\n")
_SLOW = " Raise admin_timeout if the server is slow."
_NOT_UPLOADED = "The text was not sent." + _SLOW
_ENDED_MEANWHILE = (
    "A server ends sessions that are idle or too long (idleTimeout of its CLI listener), and all when it restarts. "
    "What was not committed is dropped; run the task again."
)


def _may_commit(operation: str) -> bool:
    """Whether a command may have taken effect for good. An uploaded script may count at once: nobody says when."""
    return operation.split(" ", 1)[0] in ("COMMIT", "SAVE", "DELETE") or operation.startswith("UPDATE SmtpFilters")


def _uncertain(operation: str) -> str:
    if _may_commit(operation):
        return "It is not known whether this took effect; run the task again."
    return "Nothing was committed by it."


def _has_control(text: str) -> bool:
    try:
        check_text(text)
    except WordRefused:
        return True
    return False


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _text(payload: bytes) -> str:
    """A payload that is one text: as :func:`_lines` takes it, in one piece."""
    text = _decode(payload).replace("\r\n", "\n")
    text = text[:-1] if text.endswith(("\n", "\r")) else text
    # Some versions may end a shown text with the end mark of uploads.
    return "" if text == "." else text[:-2] if text.endswith("\n.") else text


def _lines(payload: bytes) -> t.List[str]:
    """Lines of a payload: split at LF, at most one CR taken off the end of each."""
    if not payload:
        return []
    lines = _decode(payload).split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line[:-1] if line.endswith("\r") else line for line in lines]
