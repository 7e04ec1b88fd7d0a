# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The receiving half of the bundled mail server in an event loop of its own, with one listener."""

from __future__ import annotations

import asyncio
import sys
import threading
import typing as t
from pathlib import Path

FILES = Path(__file__).resolve().parents[2] / "roles" / "mta" / "files"
_SERVER_NAME = "mail.example.test"


class PosternThread:
    """A server for one domain with one mailbox. A context manager; ``folder`` holds its databases and its log."""

    def __init__(self, folder: Path, domain: str, mailbox: str) -> None:
        if str(FILES) not in sys.path:
            sys.path.insert(0, str(FILES))
        from postern.directory import Directory
        from postern.log import Log
        from postern.queue.store import Store
        from postern.smtp.listener import SmtpService

        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._directory, self._store = Directory(str(folder / "directory.sqlite3")), Store(folder / "queue.sqlite3")
        self._directory.create_domain(domain, "not used")
        self._directory.put_account(domain, mailbox, "not used")
        self._service = SmtpService(self._directory, self._store, Log(str(folder / "postern.log")), _SERVER_NAME)

    def __enter__(self) -> "PosternThread":
        return self

    def __exit__(self, *_exc: object) -> None:
        self._run(self._service.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._store.close()
        self._directory.close()

    def listen(self, host: str, port: int, implicit: bool, **tls: t.Any) -> None:
        """Listen at this place only, with these TLS settings, and no limit that a scanner could run into."""
        from postern.settings import Generation, ListenerSettings, TlsSettings

        listener = ListenerSettings(
            host, port, ssl_enable=implicit, tls=TlsSettings(**tls), max_interval_connections=0,
            peer_max_interval_connections=0, peer_max_connections=0, max_connections=0,
        )
        script = (FILES / "initial" / "hardened.script").read_bytes()
        self._run(self._service.activate(Generation(1, _SERVER_NAME, (listener,), script)))

    def _run(self, coroutine: t.Coroutine[t.Any, t.Any, t.Any]) -> t.Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)
