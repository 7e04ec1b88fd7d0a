# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configurations as people have them: what is known is read, what is not is null, what a version lacks is refused."""

from __future__ import annotations

import pytest
from habits import OtherServer, Shows

from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.axigen.configuration_files import (
    CIPHERS,
    COMMENTED,
    FULL,
    SHORT,
)

#: HELP and version of a server of the 8/9 era.
OLD = {"version": "9.0.1", "without": ("preferServerCipherSuiteOrder", "tls1_3")}


@pytest.fixture
def other():
    """A function that puts a server with other habits in front of a real one; returns it."""
    opened = []

    def start(mta, habits):
        opened.append(OtherServer(mta.port, habits))
        return opened[-1]

    yield start
    for server in opened:
        server.close()


@pytest.fixture
def read(shared_run, shared_mta, other):
    """A function that reads a configuration as ``smtp_info`` shows it."""

    def gather(configuration):
        result = shared_run("smtp_info", admin_port=other(shared_mta, Shows(configuration)).port)
        assert "failed" not in result, result
        return result

    return gather


def by_address(result):
    return {listener["address"]: listener for listener in result["policy"]["listeners"]}


@pytest.mark.parametrize(
    "configuration, addresses",
    [
        (SHORT, ["0.0.0.0:25"]),
        (COMMENTED, ["0.0.0.0:587", "127.0.0.1:25"]),
        (FULL, ["0.0.0.0:25", "0.0.0.0:465", "0.0.0.0:587"]),
    ],
    ids=["short", "commented", "full"],
)
def test_every_spelling_is_read(read, configuration, addresses):
    result = read(configuration)
    assert sorted(by_address(result)) == addresses
    assert result["changed"] is False


def test_short_file_says_nothing_about_tls(read):
    """Not known is null: neither "no TLS" nor a default that nobody has read."""
    (listener,) = read(SHORT)["policy"]["listeners"]
    told = {name: value for name, value in listener.items() if value is not None}
    assert told == {"address": "0.0.0.0:25", "enabled": True}
    assert {"tls", "versions", "ciphers", "prefer_server_ciphers", "certificate"} <= set(listener)


def test_names_in_any_case_and_values_as_they_are(read):
    listeners = by_address(read(COMMENTED))
    first, second = listeners["127.0.0.1:25"], listeners["0.0.0.0:587"]
    assert first["versions"] == ["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2"]
    assert (first["ciphers"], first["certificate"], first["tls"]) == ("HIGH:!aNULL:!MD5", "", "none")
    assert (first["request_client_certificate"], first["prefer_server_ciphers"]) == (True, None)
    assert (second["tls"], second["certificate"], second["ciphers"]) == ("starttls", "axigen_cert.pem", None)


def test_implicit_tls_and_an_attribute_that_nobody_knows(read):
    listeners = by_address(read(FULL))
    assert [listeners[address]["tls"] for address in ("0.0.0.0:25", "0.0.0.0:587", "0.0.0.0:465")] == [
        "starttls",
        "starttls",
        "implicit",
    ]
    for listener in listeners.values():
        assert listener["ciphers"] == CIPHERS
        assert (listener["ca_file"], listener["dh_params"]) == ("", "axigen_dh.pem")
        assert "futureAttribute" not in listener


@pytest.mark.parametrize(
    "words, receiving, sending",
    [
        ("services = (log processing smtp cli webadmin)", True, True),
        ("Services = (processing smtpIncoming SMTPOUTGOING log)", True, True),
        ("services = (smtpIncoming)", True, False),
        ("services = smtpOutgoing", False, True),
        ("services = ()", False, False),
        ("", None, None),
    ],
)
def test_services(read, words, receiving, sending):
    """The word smtp stands for both services; a server that does not say which it starts is not guessed at."""
    result = read(SHORT.replace("services = (log processing smtp cli webadmin)", words))
    assert result["services"] == {"receiving": receiving, "sending": sending}
    assert any("no listener answers" in note for note in result["notes"]) is (receiving is False)
    assert any("mail to other hosts waits" in note for note in result["notes"]) is (sending is False)


def test_services_of_the_bundled_server(shared_run):
    assert shared_run("smtp_info")["services"] == {"receiving": True, "sending": True}


class TestVersionLacks:
    """Left alone when it is not asked for, and a clear error when it is."""

    ADDRESS = "0.0.0.0:587"

    @pytest.fixture
    def old(self, run, mta, other):
        """An old server: the listener is there, and shown in the old file."""
        assert run("smtp_listener", address=self.ADDRESS, enabled=False)["changed"]
        return other(mta, Shows(COMMENTED, **OLD))

    def test_left_alone(self, run, old):
        result = run("smtp_tls", check=True, admin_port=old.port, listeners=[self.ADDRESS], ciphers="ECDHE+AESGCM")
        assert result["changed"] is True, result
        (before,), (after,) = (result["diff"][side]["listeners"] for side in ("before", "after"))
        assert {name for name in after if after[name] != before[name]} == {"ciphers"}
        assert before["prefer_server_ciphers"] is None

    def test_asked_for(self, run, old):
        asked = (
            ({"prefer_server_ciphers": True}, "preferServerCipherSuiteOrder", "prefer_server_ciphers"),
            ({"versions": ["1.2", "1.3"]}, "tls1_3", "versions"),
        )
        for options, name, option in asked:
            for check in (True, False):
                result = run(
                    "smtp_tls", check=check, admin_port=old.port, listeners=[self.ADDRESS], dialect="postern", **options
                )
                assert result["failed"]
                for part in (self.ADDRESS, "version 9.0.1", name, option, "from 10.3 on"):
                    assert part in result["msg"], result["msg"]
        assert not {line.split()[0].upper() for line in old.said} & {b"SET", b"COMMIT", b"DONE", b"SAVE"}
        assert b"BACK" in old.said
