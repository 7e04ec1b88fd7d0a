# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The receiving half of the bundled mail server, in an event loop of its own thread."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

FILES = Path(__file__).resolve().parents[2] / "roles" / "mta" / "files"
SERVER_NAME = "mail.example.test"
DOMAINS = ("example.test", "mydomain.example", "other.example")
ACCOUNT, PASSWORD = "anna@example.test", "s3cret-Anna"
EXPLANATION = "Accepting only secure delivery (STARTTLS) for mydomain.example"
_RULE = """
method allow_only_tls_for_mydomain_example {
\tif (
\t\tallOf (
\t\t\tisCase (isSSLConnection, "no"),
\t\t\tisCase (rcptDomain, "mydomain.example")
\t\t)
\t) {
\t\tset (smtpAction, "reject");
\t\tset (smtpExplanation, "%s");
\t}
}
""" % EXPLANATION

STARTTLS_FIRST = "530 5.7.0 Must issue a STARTTLS command first"
LOGIN_FIRST = "530 5.7.0 Authentication required"
_REFUSING = """
method %s {
\tif (allOf (%s)) { set (smtpAction, "reject"); set (smtpExplanation, "%s"); }
}
"""
_NO_LOGIN = """
method no_login {
\tif (is (smtpPort, "%d")) { set (plainConnAuthTypes, "none"); set (secureConnAuthTypes, "none"); }
}
"""


class RunningServer:
    """``activate`` one generation after another; one account in ``example.test``. A context manager."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(FILES))
        from postern.directory import Directory
        from postern.log import Log
        from postern.queue.store import Store
        from postern.smtp.listener import SmtpService

        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        directory = Directory(str(folder / "directory.sqlite3"))
        for domain in DOMAINS:
            directory.create_domain(domain, PASSWORD)
        directory.put_account("example.test", "anna", PASSWORD)
        self._directory, self._store = directory, Store(folder / "queue.sqlite3")
        self.log = folder / "postern.log"

        async def service() -> SmtpService:
            return SmtpService(directory, self._store, Log(str(self.log)), SERVER_NAME)

        self._service = self._run(service())

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def activate(self, script: str, *listeners) -> None:
        """Run a policy script on these listeners (``postern.settings.ListenerSettings``)."""
        from postern.settings import Generation

        self._run(self._service.activate(Generation(1, SERVER_NAME, listeners, script.encode())))

    @property
    def port(self) -> int:
        """The port of the only listener."""
        (address,) = self._service.listening
        return int(address.rpartition(":")[2])

    def close(self) -> None:
        """Stop serving and end the thread."""
        self._run(self._service.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._store.close()
        self._directory.close()


def initial(name: str) -> str:
    """A policy script that the server comes with: "unhardened" or "hardened"."""
    return (FILES / "initial" / ("%s.script" % name)).read_text()


def hardened(mechanisms: str) -> str:
    """The hardened script with these mechanisms, and mail for mydomain.example over TLS only."""
    script = initial("hardened").replace("scram-sha-256 plain login ", mechanisms)
    assert mechanisms in script
    call = "event onRcptTo {\n\tcall (allow_only_tls_for_mydomain_example);"
    assert "event onRcptTo {" in script
    return script.replace("event onRcptTo {", call) + _RULE


def submission(mechanisms: str, users: tuple[int, ...] = (), servers: int | None = None) -> str:
    """The hardened script, and nobody sends mail in clear or without a login: on the ports ``users``, without any on all.

    On the port ``servers`` nobody logs in.
    """
    script, calls = hardened(mechanisms), ""
    for port in users or (0,):
        here = f'is (smtpPort, "{port}"), ' if port else ""
        for name, condition, words in (
            (f"needs_login_{port}", 'isCase (authUser, "")', LOGIN_FIRST),
            (f"needs_tls_{port}", 'isCase (isSSLConnection, "no")', STARTTLS_FIRST),
        ):
            script += _REFUSING % (name, here + condition, words)
            calls += f"\n\tcall ({name});"
    if servers is not None:
        assert "\tcall (enableAUTH_on_SSL);\n" in script
        script = script.replace("\tcall (enableAUTH_on_SSL);\n", "\tcall (enableAUTH_on_SSL);\n\tcall (no_login);\n")
        script += _NO_LOGIN % servers
    assert "event onMailFrom {" in script
    return script.replace("event onMailFrom {", "event onMailFrom {" + calls)


def listener(host: str, implicit: bool = False, limits: dict[str, int] | None = None, **tls):
    """The settings of a listener on a port that the kernel gives (``postern.settings.ListenerSettings``).

    ``limits`` are further fields of them, ``tls`` are fields of its ``TlsSettings``.
    """
    from postern.settings import ListenerSettings, TlsSettings

    return ListenerSettings(host, 0, ssl_enable=implicit, tls=TlsSettings(**tls), **(limits or {}))
