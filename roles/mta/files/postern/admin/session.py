# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One admin session without a socket: lines in, answers out.

Login, the stack of contexts, multi-line uploads and the limits of a session. Uncommitted changes
belong to the session and are gone with it.
"""

from __future__ import annotations

import inspect
import typing as t
from dataclasses import dataclass

from ..directory import Directory
from ..log import Log
from . import accounts, layout
from .configuration import Configuration
from .contexts import MAX_UPLOAD, Context, Refusal, Reply, ServerContext, named, nothing_more, text
from .protocol import MAX_LINE, SyntaxProblem, Word, answer, tokenize

BANNER = "Welcome to the administration of postern\r\nYou must login first.\r\n"

#: Resolves to whether the pair is right. Raises :class:`Busy`.
Authenticate = t.Callable[[str, str], t.Awaitable[bool]]


class Busy(Exception):
    """Too many logins are being checked at this moment."""


@dataclass(frozen=True)
class Limits:
    """Limits of one session; 0 means none, except for the number of lines of a command."""

    max_errors: int = 20
    max_auth_errors: int = 5
    max_auth_commands: int = 20


class Output(t.NamedTuple):
    """What to send, in one write, and whether the connection ends behind it."""

    data: bytes
    close: bool = False


class AdminSession:
    """One connection's state. ``peer`` is for the log only."""

    def __init__(
        self,
        configuration: Configuration,
        directory: Directory,
        authenticate: Authenticate,
        log: Log,
        peer: str,
        limits: Limits = Limits(),
    ) -> None:
        self.configuration = configuration
        self.directory = directory
        self.multiline_eof = "."
        self._authenticate = authenticate
        self._log = log
        self._peer = peer
        self._limits = limits
        self._user: str | None = None
        self._errors = 0
        self._auth_errors = 0
        self._auth_commands = 0
        self._options = {"quiet": "off", "console-codes": "off"}
        self._upload: _Upload | None = None
        self._login = _login_context(self)
        self._stack: list[Context] = []

    # --- what contexts use ----------------------------------------------------------------------

    def push(self, context: Context) -> Reply:
        """Enter a context."""
        self._stack.append(context)
        return Reply()

    def pop(self) -> None:
        """Leave the innermost context."""
        self._stack.pop()

    async def save_config(self, arguments: list[Word]) -> Reply:
        """SAVE CONFIG, in every context that has it."""
        if arguments:
            raise Refusal("SAVE CONFIG takes no path here: the server writes its own files only")
        try:
            await self.configuration.save()
        except OSError as error:
            raise Refusal(f"the configuration cannot be saved: {error.filename}: {error.strerror}") from None
        return Reply(text=f"generation {self.configuration.running.number} is saved")

    # --- what the connection uses ---------------------------------------------------------------

    @property
    def line_limit(self) -> int:
        """How long the next line may be, in bytes."""
        return MAX_UPLOAD if self._upload else MAX_LINE

    def greeting(self) -> bytes:
        """What is sent first."""
        return (BANNER + "<login> ").encode("ascii")

    async def handle(self, line: bytes) -> Output:
        """Take one line without its end. An upload's lines are answered by nothing until the last one."""
        if self._upload is not None:
            return await self._take_body(line)
        if self._user is not None:
            return await self._take_password(line)
        if not self._stack:
            self._auth_commands += 1
            if 0 < self._limits.max_auth_commands < self._auth_commands:
                return self._end("too many commands before login")
        return await self._take_command(line.decode("utf-8", "surrogateescape"))

    # --- inside ---------------------------------------------------------------------------------

    @property
    def _context(self) -> Context:
        return self._stack[-1] if self._stack else self._login

    @property
    def _prompt(self) -> str:
        return self._context.prompt if self._stack else "<login> "

    def _end(self, reason: str) -> Output:
        self._log.event("admin.closed", level="warning", peer=self._peer, reason=reason)
        return Output(answer(b"", False, f"{reason}; the connection is closed", ""), close=True)

    async def _take_command(self, line: str) -> Output:
        context, words = self._context, []
        try:
            words = tokenize(line)
            if not words or not isinstance(words[0], str):
                raise Refusal("a command is missing")
            verb, arguments = context.find(words)
            result = verb.run(arguments)
            reply = await result if inspect.isawaitable(result) else result
        except (Refusal, SyntaxProblem) as error:
            self._record(context, words, ok=False)
            return self._refused(str(error))
        self._record(context, words, ok=True)
        if reply.upload is not None:
            self._upload = _Upload(reply.upload, self.multiline_eof)
            return Output(answer(b"", True, reply.text, ""))
        if self._user is not None:
            return Output(b"<password> ")
        return Output(answer(reply.payload, True, reply.text, "" if reply.close else self._prompt), reply.close)

    def _refused(self, reason: str) -> Output:
        self._errors += 1
        if 0 < self._limits.max_errors < self._errors:
            return self._end(f"{reason}; too many errors")
        return Output(answer(b"", False, reason, self._prompt))

    def _record(self, context: Context, words: list[Word], ok: bool) -> None:
        """Log verb and object, and only words that this server knows: anything else may be a misplaced secret."""
        known = {word for verb in context.verbs for word in verb.words}
        node = getattr(context, "node", None)
        if node is not None:
            known.update(attribute.name.upper() for attribute in node.section.attributes)
        known.update(("PASSWORD", "ATTR", "MULTILINEEOF"))
        verb, target = (self._public(word, known) for word in (*words, "", "")[:2])
        self._log.event("admin.command", verb=verb.upper(), object=target, ok=ok, peer=self._peer)

    @staticmethod
    def _public(word: Word, known: set[str]) -> str:
        return word if isinstance(word, str) and (not word or word.upper() in known) else "?"

    # --- login

    def begin_login(self, user: str) -> None:
        """USER: the next line is the password."""
        self._user = user

    async def _take_password(self, line: bytes) -> Output:
        user, self._user = t.cast(str, self._user), None
        try:
            right = await self._authenticate(user, line.decode("utf-8", "surrogateescape"))
        except Busy:
            return Output(answer(b"", False, "too many logins at this moment; try again", self._prompt))
        self._log.event("admin.login", level="info" if right else "warning", ok=right, peer=self._peer)
        if right:
            self._stack.append(_root_context(self))
            return Output(answer(b"", True, "Authentication successful", self._prompt))
        self._auth_errors += 1
        if 0 < self._limits.max_auth_errors <= self._auth_errors:
            return self._end("Authentication failed; too many failed logins")
        return Output(answer(b"", False, "Authentication failed", self._prompt))

    def set_option(self, name: str, value: str) -> None:
        """SET in the login context; kept, and without effect: answers are minimal and never coloured."""
        self._options[name] = value

    def options(self) -> list[tuple[str, str]]:
        """What SHOW in the login context shows."""
        return list(self._options.items())

    # --- upload

    async def _take_body(self, line: bytes) -> Output:
        upload = t.cast(_Upload, self._upload)
        if not upload.take(line):
            return Output(b"")
        self._upload = None
        if upload.size > MAX_UPLOAD:
            return self._refused(f"the text is larger than {MAX_UPLOAD} bytes; nothing was changed")
        try:
            reply = await upload.run(b"\n".join(upload.body))
        except Refusal as error:
            return self._refused(str(error))
        return Output(answer(reply.payload, True, reply.text, self._prompt))


class _Upload:
    """The lines of an upload. Beyond the size limit they are counted and dropped, but still waited for:
    a body line must never be taken for a command."""

    def __init__(self, run: t.Callable[[bytes], t.Awaitable[Reply]], ending: str) -> None:
        self.run = run
        self.body: list[bytes] = []
        self.size = 0
        self._ending = ending.encode("utf-8", "surrogateescape")

    def take(self, line: bytes) -> bool:
        """Take a line; True when it was the last one."""
        if line == self._ending:
            return True
        if self._ending == b"." and line.startswith(b".."):
            line = line[1:]
        self.size += len(line) + 1
        if self.size <= MAX_UPLOAD:
            self.body.append(line)
        else:
            self.body.clear()
        return False


# --- the outer contexts -------------------------------------------------------------------------


def _login_context(session: AdminSession) -> Context:
    context = Context(session, "LOGIN", ("login",))

    def user(arguments: list[Word]) -> Reply:
        name, rest = named(arguments, "name", "the user")
        nothing_more(rest)
        session.begin_login(name)
        return Reply()

    def version(arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        return Reply(layout.lines(session.configuration.emulation.version))

    def option(name: str) -> t.Callable[[list[Word]], Reply]:
        def change(arguments: list[Word]) -> Reply:
            if len(arguments) != 1 or text(arguments[0]).lower() not in ("on", "off"):
                raise Refusal(f"{name} takes on or off")
            session.set_option(name, text(arguments[0]).lower())
            return Reply()

        return change

    def show(arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        return Reply(layout.attributes("The current context has the following attributes:", session.options()))

    context.add("USER", user, "<name>", "log in; the password is asked for")
    context.add("GET VERSION", version, "", "show the version")
    context.add("SET QUIET", option("quiet"), "on|off", "kept, without effect")
    context.add("SET CONSOLE-CODES", option("console-codes"), "on|off", "kept, without effect")
    context.add("SHOW", show, "", "show these options")
    context.add_common(None, None, None)
    return context


def _root_context(session: AdminSession) -> Context:
    context = Context(session, "ROOT", ())

    def server(arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        return session.push(ServerContext(session))

    def show(arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        pairs = [("multilineEOF", f'"{session.multiline_eof}"')]
        return Reply(layout.attributes("The current context has the following attributes:", pairs))

    def ending(arguments: list[Word]) -> Reply:
        if len(arguments) != 1 or not 1 <= len(text(arguments[0])) <= 64:
            raise Refusal("multilineEOF takes one text of 1 to 64 characters")
        session.multiline_eof = text(arguments[0])
        return Reply()

    def version(arguments: list[Word]) -> Reply:
        nothing_more(arguments)
        return Reply(layout.lines(session.configuration.emulation.version))

    context.add("CONFIG SERVER", server, "", "enter the SERVER context")
    context.add("SAVE CONFIG", session.save_config, "", "save the running configuration for the next start")
    context.add("SET multilineEOF", ending, "<text>", "the line that ends an upload, in this session")
    context.add("GET VERSION", version, "", "show the version")
    context.add("SHOW", show, "", "show the options of this session")
    accounts.declare(context)
    context.add_common(None, None, None)
    return context
