# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The probe's checks against the bundled mail server: unhardened and hardened generations on the same ports."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._probe import judge
from ansible_collections.securemail.smtp.plugins.module_utils._probe.suites import ARTICLE_SUITES

FILES = Path(__file__).resolve().parents[2] / "roles" / "mta" / "files"
PASSWORD = "s3cret-Anna"
EXPLANATION = "Accepting only secure delivery (STARTTLS) for mydomain.example"
RULE = """
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


class RunningServer:
    """The receiving half of the server in an event loop of its own; ``activate`` another generation at any time."""

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
        for domain in ("example.test", "mydomain.example", "other.example"):
            directory.create_domain(domain, PASSWORD)
        directory.put_account("example.test", "anna", PASSWORD)
        self._directory, self._store = directory, Store(folder / "queue.sqlite3")
        self.log = folder / "postern.log"
        self._service = SmtpService(directory, self._store, Log(str(self.log)), "mail.example.test")

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def activate(self, script: str, *listeners) -> None:
        from postern.settings import Generation

        self._run(self._service.activate(Generation(1, "mail.example.test", listeners, script.encode())))

    def close(self) -> None:
        self._run(self._service.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._store.close()
        self._directory.close()


@pytest.fixture
def server(tmp_path):
    running = RunningServer(tmp_path)
    yield running
    running.close()


@pytest.fixture
def target(lab, free_port):
    relay, submission, submissions = (free_port() for unused in range(3))
    return judge.Target(
        "127.0.0.1", relay, submission, submissions, "anna@example.test", PASSWORD, "example.test", "mydomain.example",
        "other.example", EXPLANATION, lab.ca_file, "mail.example.test",
    )


def listeners(target, **tls):
    from postern.settings import ListenerSettings, TlsSettings

    settings = TlsSettings(**tls)
    return [
        ListenerSettings("127.0.0.1", port, ssl_enable=port == target.submissions_port, tls=settings)
        for port in (target.relay_port, target.submission_port, target.submissions_port)
    ]


def initial(name):
    return (FILES / "initial" / ("%s.script" % name)).read_text()


def hardened(mechanisms):
    script = initial("hardened").replace("scram-sha-256 plain login ", mechanisms)
    assert mechanisms in script
    call = "event onRcptTo {\n\tcall (allow_only_tls_for_mydomain_example);"
    assert "event onRcptTo {" in script
    return script.replace("event onRcptTo {", call) + RULE


OLD = {"allowed_versions": ("tls1", "tls1_1", "tls1_2"), "cipher_suite": "ALL:!aNULL:!eNULL"}
FORMS = {
    "modern": {"allowed_versions": ("tls1_2", "tls1_3")},
    "article": {"allowed_versions": ("tls1", "tls1_1", "tls1_2", "tls1_3"), "cipher_suite": ":".join(ARTICLE_SUITES)},
}


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("mechanisms", ["plain login ", "scram-sha-256 "])
def test_each_point_of_the_hardening_is_red_before_and_green_after(server, target, lab, form, mechanisms):
    checks = judge.checks(target, form, mechanisms.upper().split())
    # Before: the relay port without TLS, the submission port with old TLS, no submissions port.
    relay, submission, unused = listeners(target, cert_file=lab.rsa, **OLD)
    server.activate(initial("unhardened"), listeners(target)[0], submission)
    before = judge.run_all(checks)
    extra = {"dh_param_file": lab.dh_params} if form == "article" else {}
    server.activate(hardened(mechanisms), *listeners(target, cert_file=lab.rsa, **extra, **FORMS[form]))
    after = judge.run_all(checks)
    rows = judge.compare(checks, before, after)
    assert judge.proven(rows) == len(rows), "\n" + judge.table([row for row in rows if not row[4].startswith("ok")])
    assert len(rows) >= 60
    # What could not be seen before is what was not there before: the submissions port, and TLS on the relay port.
    unseen = [verdict.seen for verdict in before if verdict.outcome == "unobservable"]
    assert all("no connection" in words or "STARTTLS" in words for words in unseen)
    assert PASSWORD not in server.log.read_text()


def test_dhe_is_not_negotiated_without_a_dh_file(server, target, lab):
    server.activate(hardened("plain "), *listeners(target, cert_file=lab.rsa, **FORMS["article"]))
    verdicts = [check.run() for check in judge.checks(target, "article") if check.name.endswith(": DHE suites")]
    assert [verdict.outcome for verdict in verdicts] == ["fail"] * 3
    # An alert or a closed connection, but the server's own doing.
    assert all(verdict.seen.startswith("server ") for verdict in verdicts)
