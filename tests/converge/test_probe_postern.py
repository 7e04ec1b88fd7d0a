# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The probe's checks against the bundled mail server: unhardened and hardened generations on the same ports."""

from __future__ import annotations

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._probe import judge
from ansible_collections.securemail.smtp.plugins.module_utils._probe.suites import ARTICLE_SUITES
from ansible_collections.securemail.smtp.tests.probe.running_postern import (
    EXPLANATION,
    PASSWORD,
    RunningServer,
    hardened,
    initial,
)


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
