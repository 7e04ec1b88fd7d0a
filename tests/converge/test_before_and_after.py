# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each point of the hardening is red before and green after: unhardened and hardened generations on the same ports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ansible_collections.securemail.smtp.tests.probe.running_postern import (
    ACCOUNT,
    EXPLANATION,
    PASSWORD,
    SERVER_NAME,
    RunningServer,
    hardened,
    initial,
    submission,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))

import outside  # noqa: E402

OLD = {"allowed_versions": ("tls1", "tls1_1", "tls1_2"), "cipher_suite": "ALL:!aNULL:!eNULL"}
FORMS = {
    "rfc9325": {"allowed_versions": ("tls1_2", "tls1_3"), "cipher_suite": outside.FORMS["rfc9325"]["ciphers"]},
    "article": {
        "allowed_versions": ("tls1", "tls1_1", "tls1_2", "tls1_3"), "cipher_suite": outside.FORMS["article"]["ciphers"],
    },
}


@pytest.fixture
def server(tmp_path):
    with RunningServer(tmp_path) as running:
        yield running


@pytest.fixture
def described(lab, free_port):
    """The server in the words of :func:`outside.options`."""
    modes = ("starttls", "starttls", "implicit")
    return {
        "listeners": [{"address": "127.0.0.1:%d" % free_port(), "tls": mode} for mode in modes],
        "server_name": SERVER_NAME, "ca_file": lab.ca_file, "account": ACCOUNT, "password": PASSWORD,
        "local_domain": "example.test", "forced_domain": "mydomain.example", "other_domain": "other.example",
        "explanation": EXPLANATION,
    }


def script(described, mechanisms, form):
    """The script of a server that was hardened in this form."""
    relay, *others = (int(listener["address"].rpartition(":")[2]) for listener in described["listeners"])
    return submission(mechanisms, tuple(others), relay) if form in outside.STRICT else hardened(mechanisms)


def listeners(described, **tls):
    from postern.settings import ListenerSettings, TlsSettings

    return [
        ListenerSettings(
            "127.0.0.1", int(listener["address"].rpartition(":")[2]), ssl_enable=listener["tls"] == "implicit",
            tls=TlsSettings(**tls),
        )
        for listener in described["listeners"]
    ]


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("mechanisms", ["plain login ", "scram-sha-256 "])
def test_each_point_of_the_hardening_is_red_before_and_green_after(server, described, lab, form, mechanisms):
    options = outside.options(form, mechanisms.upper().split(), described)
    # Before: the relay port without TLS, the submission port with old TLS, no submissions port.
    old = listeners(described, cert_file=lab.rsa, **OLD)[1]
    server.activate(initial("unhardened"), listeners(described)[0], old)
    before = outside.look(options)
    extra = {"dh_param_file": lab.dh_params} if form == "article" else {}
    server.activate(script(described, mechanisms, form), *listeners(described, cert_file=lab.rsa, **extra, **FORMS[form]))
    after = outside.look(options)
    rows = outside.compare(before, after, {})
    assert outside.proven(rows) == len(rows), "\n" + outside.table([row for row in rows if not row[4].startswith("ok")])
    assert len(rows) >= 80
    assert PASSWORD not in server.log.read_text()


def test_what_proves_nothing_is_said(server, described, lab):
    options = outside.options("rfc9325", ["PLAIN", "LOGIN"], described)
    server.activate(script(described, "plain login ", "rfc9325"), *listeners(described, cert_file=lab.rsa, **FORMS["rfc9325"]))
    look = outside.look(options)
    verdicts = {row[0]: row[4] for row in outside.compare(look, look, {})}
    assert verdicts["%s: TLSv1.1" % described["listeners"][0]["address"]] == "PROVES NOTHING"
    assert "FAILED" not in verdicts.values()
