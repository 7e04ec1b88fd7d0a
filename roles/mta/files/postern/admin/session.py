# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One admin session without a socket: lines in, answers out.

Login, the stack of contexts, permissions, multi-line uploads and the limits of a session. Uncommitted changes
belong to the session and are gone with it.
"""

from __future__ import annotations

import inspect
import typing as t
from dataclasses import dataclass

from ..directory import Directory
from ..log import Log
from . import entrance, permissions
from .aacl import ADMIN, AccessList
from .configuration import Configuration
from .contexts import MAX_UPLOAD, Context, Refusal, Reply, Verb
from .protocol import MAX_LINE, SyntaxProblem, Word, answer, coloured, tokenize
from .tree import Node

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

    @classmethod
    def of(cls, server: Node) -> Limits:
        """The ones that the CLI context of a configuration says."""
        values = server.parts["cli"].values
        return cls(*(int(t.cast(int, values[name])) for name in ("maxErrors", "maxAuthErrors", "maxAuthCommands")))


class Output(t.NamedTuple):
    """What to send, in one write, and whether the connection ends behind it."""

    data: bytes
    close: bool = False


class AdminSession:
    """One connection's state. ``peer`` is for the log only, ``queue_file`` is where mail waits.

    ``limits`` are those of the configuration that runs when the session begins, unless they are given.
    ``queue_changed`` is called when somebody has held, released or deleted mail; ``host_name`` is in notifications.
    """

    def __init__(
        self,
        configuration: Configuration,
        directory: Directory,
        access: AccessList,
        authenticate: Authenticate,
        log: Log,
        peer: str,
        queue_file: str,
        limits: Limits | None = None,
        queue_changed: t.Callable[[], None] = lambda: None,
        host_name: str = "localhost",
    ) -> None:
        self.host_name = host_name
        self.queue_changed = queue_changed
        self.configuration = configuration
        self.directory = directory
        self.access = access
        self.queue_file = queue_file
        self.multiline_eof = "."
        #: Who is logged in, in lower case; empty before that.
        self.user = ""
        self.quiet = False
        self.console_codes = False
        self._authenticate = authenticate
        self._log = log
        self._peer = peer
        self._limits = limits or Limits.of(configuration.running.tree)
        self._claimed: str | None = None
        self._errors = 0
        self._auth_errors = 0
        self._auth_commands = 0
        self._upload: _Upload | None = None
        self._login = entrance.login_context(self)
        self._stack: list[Context] = []

    # --- what contexts use ----------------------------------------------------------------------

    def push(self, context: Context) -> Reply:
        """Enter a context."""
        self._stack.append(context)
        return Reply()

    def pop(self) -> None:
        """Leave the innermost context."""
        self._stack.pop()

    async def authenticate(self, user: str, password: str) -> bool:
        """Whether the pair is right. Raises :class:`Refusal` when too many are being checked."""
        try:
            return await self._authenticate(user, password)
        except Busy:
            raise Refusal("too many logins at this moment; try again") from None

    def begin_login(self, user: str) -> None:
        """USER: the next line is the password."""
        self._claimed = user

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
        return (BANNER + self._prompt).encode("ascii")

    @property
    def body_end(self) -> bytes | None:
        """During an upload the line that ends it: what comes goes to :meth:`handle_body` then, not to :meth:`handle`."""
        return self._upload.ending if self._upload else None

    async def handle_body(self, lines: bytes, ended: bool) -> Output:
        """Take some lines of an upload, LF behind each; nothing is answered until the one that ends it was there."""
        upload = t.cast(_Upload, self._upload)
        upload.take(lines)
        if not ended:
            return Output(b"")
        self._upload = None
        if upload.size > MAX_UPLOAD:
            return self._refused(f"the text is larger than {MAX_UPLOAD} bytes; nothing was changed")
        try:
            reply = await upload.run(upload.text())
        except Refusal as error:
            return self._refused(str(error))
        return self._done(reply)

    async def handle(self, line: bytes) -> Output:
        """Take one line without its end."""
        if self._claimed is not None:
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
        if self._claimed is not None:
            prompt = "<password> "
        else:
            prompt = self._context.prompt if self._stack else "<login> "
        return coloured(prompt) if self.console_codes else prompt

    def _done(self, reply: Reply, close: bool = False) -> Output:
        """A command that was done. A quiet session gets what it asked for and a bare status."""
        payload = getattr(reply.payload, "quiet", reply.payload) if self.quiet else reply.payload
        prompt = "" if close or reply.upload else self._prompt
        return Output(answer(payload, True, "" if self.quiet else reply.text, prompt), close)

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
            self._authorize(context, verb, arguments)
            result = verb.run(arguments)
            reply = await result if inspect.isawaitable(result) else result
        except (Refusal, SyntaxProblem) as error:
            self._record(context, words, ok=False)
            return self._refused(str(error))
        self._record(context, words, ok=True)
        if reply.upload is not None:
            self._upload = _Upload(reply.upload, self.multiline_eof)
            return self._done(reply)
        if self._claimed is not None:
            return Output(self._prompt.encode("ascii"))
        return self._done(reply, reply.close)

    def _authorize(self, context: Context, verb: Verb, arguments: list[Word]) -> None:
        """The one place where permissions are enforced. Raises :class:`Refusal` that names what is missing."""
        if self.user in ("", ADMIN) or verb.words[0] in ("HELP", "BACK", "EXIT", "QUIT"):
            return
        needed = permissions.needed(context.segments, verb.words)
        if not self.access.may(self.user, needed, _domain(context, verb, arguments)):
            names = " or ".join(needed or (permissions.LOGIN,))
            raise Refusal(
                f"{' '.join(verb.words)} in the {context.title} context needs the permission {names};"
                " nothing was changed"
            )

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
        self._log.event("admin.command", verb=verb.upper(), object=target, ok=ok, user=self.user, peer=self._peer)

    @staticmethod
    def _public(word: Word, known: set[str]) -> str:
        return word if isinstance(word, str) and (not word or word.upper() in known) else "?"

    # --- login

    async def _take_password(self, line: bytes) -> Output:
        user, self._claimed = t.cast(str, self._claimed).lower(), None
        try:
            right = await self.authenticate(user, line.decode("utf-8", "surrogateescape"))
        except Refusal as busy:
            return Output(answer(b"", False, str(busy), self._prompt))
        reason = "" if right else "Authentication failed"
        if right and user != ADMIN and not self.access.may(user, ()):
            reason = f"Authentication failed: the permission {permissions.LOGIN} is needed to log in here"
        # Only names that exist are logged: any other may be a password that was typed too early.
        self._log.event(
            "admin.login", level="warning" if reason else "info", user=user if right else "?", ok=not reason,
            peer=self._peer,
        )  # fmt: skip
        if not reason:
            self.user = user
            self._stack.append(entrance.root_context(self))
            return self._done(Reply(text="Authentication successful"))
        self._auth_errors += 1
        if 0 < self._limits.max_auth_errors <= self._auth_errors:
            return self._end(f"{reason}; too many failed logins")
        return Output(answer(b"", False, reason, self._prompt))


def _domain(context: Context, verb: Verb, arguments: list[Word]) -> str:
    """The domain that a command is about; empty when it is about none."""
    words = [word for word in arguments[:2] if isinstance(word, str)]
    if verb.words[1:] == ("DOMAIN",) and words:
        return words[-1 if words[0].lower() == "name" else 0].lower().removesuffix(".")
    return getattr(context, "domain_name", "")


class _Upload:
    """The lines of an upload. Beyond the size limit they are counted and dropped, but still waited for:
    a body line must never be taken for a command."""

    def __init__(self, run: t.Callable[[bytes], t.Awaitable[Reply]], ending: str) -> None:
        self.run = run
        self.size = 0
        self.ending = ending.encode("utf-8", "surrogateescape")
        self._parts: list[bytes] = []

    def take(self, lines: bytes) -> None:
        """Take complete lines, LF behind each."""
        if self.ending == b".":
            lines = (b"\n" + lines).replace(b"\n..", b"\n.")[1:]
        self.size += len(lines)
        if self.size <= MAX_UPLOAD:
            self._parts.append(lines)
        else:
            self._parts.clear()

    def text(self) -> bytes:
        """The whole text; the last line's end is not part of it."""
        return b"".join(self._parts)[:-1]
