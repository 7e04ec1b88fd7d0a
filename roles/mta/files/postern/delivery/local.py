# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Local delivery: from the queue into the Maildirs of this server's accounts.

One thread takes messages from the durable queue in the order of their acceptance. The file is synced before
the recipient is taken off the queue, so a crash in between repeats the delivery, and the repeated delivery
finds the file (see :mod:`maildir`). Recipients at other domains are left to :mod:`remote`.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future, wait
from pathlib import Path

from ..queue.store import Envelope, Recipient, Store, id_text
from .maildir import UnsafeName, deliver, mailbox_folder

#: Seconds until a mailbox that could not be written (no room, no permission) is tried again.
RETRY_AFTER = 60.0


class LocalDelivery:
    """Delivers to ``<root>/<domain>/<local part>/Maildir``; ``root`` is ``<state_dir>/domains``."""

    def __init__(self, store: Store, root: str | Path, log, retry_after: float = RETRY_AFTER) -> None:
        self._store = store
        self._root = Path(root)
        self._log = log
        self._retry_after = retry_after
        self._waiting: queue.SimpleQueue[tuple[int, bool] | None] = queue.SimpleQueue()
        self._timers: set[threading.Timer] = set()
        self._stopping = threading.Event()
        self._going = threading.Event()
        self._going.set()
        self._finishing: Future[None] | None = None
        self._thread = threading.Thread(target=self._run, name="local-delivery", daemon=True)

    def start(self) -> None:
        """Take up what the queue holds from before, then everything that is accepted from now on."""
        self._store.on_added(self._added)
        for message in self._store.open_local():
            self._waiting.put((message, True))
        self._thread.start()

    def pause(self, paused: bool) -> None:
        """Leave in the queue what is there, or go on with it. The message in hand is finished."""
        if paused:
            self._going.clear()
        else:
            self._going.set()

    def close(self) -> None:
        """Finish the message in hand and stop; what is left stays in the queue. Blocks until then."""
        self._stopping.set()
        self._going.set()
        for timer in tuple(self._timers):
            timer.cancel()
        self._waiting.put(None)
        if self._thread.ident is not None:
            self._thread.join()
        if self._finishing is not None:
            # Changes are committed in their order: behind the last one there is none.
            wait((self._finishing,))

    def _added(self, envelope: Envelope) -> None:
        if any(recipient.is_local for recipient in envelope.recipients):
            self._waiting.put((envelope.id, False))

    def _run(self) -> None:
        while True:
            found = self._waiting.get()
            self._going.wait()
            if found is None or self._stopping.is_set():
                return
            message, again = found
            try:
                self._deliver(message, again)
            except Exception as error:
                # Whatever is wrong with one message must not stop the delivery of the others.
                reason = f"{type(error).__name__}: {error}"
                self._log.event("delivery.error", level="error", id=id_text(message), error=reason)
                self._later(message)

    def _deliver(self, message: int, again: bool) -> None:
        found = self._store.load(message)
        if found is None:
            return
        envelope, recipients, body = found
        done = []
        for number, recipient in recipients.items():
            if recipient.is_local and self._put(envelope, number, recipient, body, again):
                done.append(number)
        if done:
            # Not waited for: if it gets lost, the repeated delivery finds the file.
            self._finishing = self._store.finish(message, tuple(done))
            self._finishing.add_done_callback(lambda future: self._finished(message, future))
        if any(r.is_local and number not in done for number, r in recipients.items()):
            self._later(message)

    def _finished(self, message: int, future: "Future[None]") -> None:
        error = future.exception()
        if error is not None:
            self._log.event("delivery.error", level="error", id=id_text(message), error=str(error))
            self._later(message)

    def _put(self, envelope: Envelope, number: int, recipient: Recipient, body: bytes, again: bool) -> bool:
        name = f"{envelope.id >> 20}.{id_text(envelope.id)}-{number}.postern"
        # RFC 5321 section 4.4: the last MTA writes the envelope sender as Return-Path.
        content = b"Return-Path: <%s>\r\n%s" % (envelope.sender.encode("utf-8", "replace"), body)
        address = f"{recipient.local_part}@{recipient.domain}"
        try:
            # The Maildir convention keeps lines as the host's programs write them: LF alone.
            written = deliver(
                mailbox_folder(self._root, recipient.domain, recipient.local_part),
                name,
                content.replace(b"\r\n", b"\n"),
                again,
            )
        except (OSError, UnsafeName) as error:
            self._log.event(
                "delivery.failed", level="warning", id=id_text(envelope.id), recipient=address, error=str(error)
            )
            return False
        self._log.event(
            "delivery.local", id=id_text(envelope.id), recipient=address, result="written" if written else "there"
        )
        return True

    def _later(self, message: int) -> None:
        if self._stopping.is_set():
            return

        def again() -> None:
            self._timers.discard(timer)
            self._waiting.put((message, True))

        timer = threading.Timer(self._retry_after, again)
        timer.daemon = True
        self._timers.add(timer)
        timer.start()
