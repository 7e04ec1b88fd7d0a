# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a session asks for and has to wait for: a password, pieces of a long text, the end of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..queue.store import Store, StoreError
from ..receiving import Receiving
from .handshakes import Handshakes
from .passwordcheck import PasswordChecker
from .session import Session
from .state import CheckPassword, Discard, Output, Spill, StoreMessage
from .watch import Watch

if TYPE_CHECKING:
    from ..queue.spool import Spool


@dataclass(frozen=True)
class Services:
    """What all connections share."""

    store: Store
    passwords: PasswordChecker
    log: Any
    watch: Watch
    handshakes: Handshakes
    receiving: Receiving = Receiving()


class Errands:
    """Runs the actions of one connection, one at a time. ``peer`` is the client's address."""

    __slots__ = ("_peer", "_services", "_spool")

    def __init__(self, services: Services, peer: str) -> None:
        self._services = services
        self._peer = peer
        self._spool: Spool | None = None

    @property
    def keeps_text(self) -> bool:
        """Whether the queue has pieces of a text that is no message yet."""
        return self._spool is not None

    async def run(self, session: Session, action: CheckPassword | Spill | Discard | StoreMessage) -> Output:
        """Do what ``session`` asks for, and tell it; returns what it says then."""
        if isinstance(action, CheckPassword):
            found = await self._services.passwords.check(action.login, action.password, self._peer)
            return session.password_checked(found)
        if isinstance(action, Spill):
            return await self._spill(session, action)
        if isinstance(action, Discard):
            await self.forget_text()
            return session.discarded()
        return await self._store(session, action)

    async def forget_text(self) -> None:
        """Have the queue forget the pieces of a text that will not become a message."""
        spool, self._spool = self._spool, None
        if spool is not None:
            await spool.drop()

    async def _spill(self, session: Session, action: Spill) -> Output:
        try:
            if self._spool is None:
                self._spool = self._services.store.spool(action.message_id)
            await self._spool.write(action.data)
        except StoreError as error:
            log_unstored(self._services, error)
            await self.forget_text()
            return session.not_spilled(error.full)
        return session.spilled()

    async def _store(self, session: Session, action: StoreMessage) -> Output:
        """The end of a text of which the queue has pieces; a shorter one needs no errand."""
        try:
            await self._spool.finish(action.envelope, action.body)
            self._spool = None
        except StoreError as error:
            log_unstored(self._services, error)
            await self.forget_text()
            return session.not_stored(error.full)
        return session.stored()


def log_unstored(services: Services, error: StoreError) -> None:
    """Say why a message was not stored, unless it concerns the whole queue: that is in the log already, once."""
    if not error.known:
        services.log.event("queue.error", level="error", error=str(error))
