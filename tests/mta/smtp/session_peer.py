# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The session core under a test's hands: what a connection does for it, without sockets and without a disk."""

from __future__ import annotations

from postern.rules.engine import compile_script
from postern.smtp.session import Session
from postern.smtp.state import (
    CheckPassword,
    Discard,
    Ends,
    Output,
    Pause,
    Site,
    Spill,
    StartTls,
    StoreMessage,
    TlsState,
)
from wire_server import HOST_NAME, OPEN_SCRIPT, PASSWORD, USER

TLS = TlsState("TLSv1.3", "TLS_AES_256_GCM_SHA384")


def make_site(directory, log=lambda *names, **fields: None, script: str = OPEN_SCRIPT, **settings) -> Site:
    """A site with fixed ids and time, so that two sessions can be compared."""
    defaults = {"starttls": True, "new_id": lambda: 1, "clock": lambda: 0.0}
    return Site(
        server_name=HOST_NAME, rules=compile_script(script), accounts=directory, log=log, **{**defaults, **settings}
    )


class SessionPeer:
    """One session, and what a connection and a queue would know of it.

    ``said``: what the session sent. ``stored``: envelope and text of each message that is durable. ``kept``: pieces of
    the text that is coming. ``trouble``: called before a piece or message is kept, returns "full", "failed" or
    nothing. ``check``: takes login and password, returns what a password check does.
    """

    def __init__(self, site: Site, implicit: bool = False, trouble=lambda: "", check=None) -> None:
        self.session = Session(site, Ends("127.0.0.1", 1, "127.0.0.1", 25))
        self.said = b""
        self.stored: list = []
        self.kept: dict[int, bytes] = {}
        self.action = None
        self.closed = False
        self._read = 0
        self._trouble = trouble
        self._check = check or check_password
        if not implicit:
            self._take(self.session.open())

    # --- as a connection does ---------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Bytes that arrive while an action may be under way."""
        if not self.closed:
            self._take(self.session.receive(data))

    def act(self) -> bool:
        """Do the action that the session waits for; False when there is none, or it is a handshake."""
        action, self.action = self.action, None
        session = self.session
        if isinstance(action, CheckPassword):
            self._take(session.password_checked(self._check(action.login, action.password)))
        elif isinstance(action, Spill):
            trouble = self._trouble()
            if trouble:
                self.kept.clear()
                self._take(session.not_spilled(trouble == "full"))
            else:
                self.kept[action.message_id] = self.kept.get(action.message_id, b"") + action.data
                self._take(session.spilled())
        elif isinstance(action, Pause):
            self._take(session.go_on())
        elif isinstance(action, Discard):
            del self.kept[action.message_id]
            self._take(session.discarded())
        elif isinstance(action, StoreMessage):
            assert bool(self.kept) == action.spooled
            text = self.kept.pop(action.envelope.id, b"") + action.body
            trouble = self._trouble()
            if trouble:
                self._take(session.not_stored(trouble == "full"))
            else:
                assert action.envelope.size == len(text)
                self.stored.append((action.envelope, text))
                self._take(session.stored())
        else:
            self.action = action
            return False
        return True

    def secure(self) -> None:
        """The handshake that the session asked for, or the one of implicit TLS."""
        implicit = self.action is None
        assert implicit or isinstance(self.action, StartTls)
        self.session, self.action = self.session.secured(TLS), None
        if implicit:
            self._take(self.session.open())

    def _take(self, output: Output) -> None:
        assert not self.closed, "the session spoke after its end"
        self.said += output.data
        self.closed = output.close
        self.action = output.action
        if self.closed:
            # A connection that ends has the queue forget what was kept.
            self.kept.clear()

    # --- as a client of a test does ---------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Bytes that arrive; whatever the session asks for is done at once."""
        self.feed(data)
        while self.act():
            pass

    def line(self) -> bytes:
        """The next line that the session sent; empty when there is none, which is right behind the end only."""
        line, end, _rest = self.said[self._read :].partition(b"\r\n")
        self._read += len(line) + len(end)
        assert line or end or self.closed, "the session has nothing to say"
        return line + end

    @property
    def unread(self) -> bytes:
        """What was said and not read."""
        return self.said[self._read :]


def check_password(login: str, password: str) -> str | bool:
    """What a password check tells the session: the account, or False."""
    return USER if (login.lower(), password) == (USER, PASSWORD) else False
