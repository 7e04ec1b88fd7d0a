# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tester's limits are not the server's strength: four servers that scanners get wrong, one run of the module."""

from __future__ import annotations

import json
import ssl
import threading
import typing as t
import warnings

import pytest
import running_postern as bundled
import zoo
from ansible_collections.securemail.smtp.plugins.module_utils._probe.library import lenient_context
from ansible_collections.securemail.smtp.tests.converge.mta_process import call
from odd_certificates import NAME

ALL = ("tls1", "tls1_1", "tls1_2", "tls1_3")
NOTHING_THERE = {"no DHE suite is accepted"}
#: Seconds for a step: what the slow server may take, and what the mute one takes away.
STEP = 15.0


def between(office, oldest: ssl.TLSVersion, newest: ssl.TLSVersion) -> ssl.SSLContext:
    """A server's context as a configuration says it, at the library's default security level."""
    context = office.context(kind="rsa", days=60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = oldest, newest
    return context


class Run(t.NamedTuple):
    """One run of the module: its result, and observations and rows by the name of the server."""

    result: dict[str, t.Any]
    observations: dict[str, dict[str, t.Any]]
    rows: dict[str, list[dict[str, t.Any]]]

    def fact(self, server: str, name: str) -> dict[str, t.Any]:
        return self.observations[server]["facts"][name]

    def row(self, server: str, check: str, **parameters: t.Any) -> dict[str, t.Any]:
        (found,) = (
            row for row in self.rows[server]
            if row["check"] == check and parameters.items() <= row["parameters"].items()
        )
        return found


def run(addresses: dict[str, str], **options: t.Any) -> Run:
    """Run the module against servers by name."""
    targets = [{"address": address, "server_name": NAME} for address in addresses.values()]
    result = call("smtp_probe", {"targets": targets, "timeout": STEP, **options}, False)
    names = {address: name for name, address in addresses.items()}
    observations = {names[found["listener"]]: found for found in result["observations"]}
    rows: dict[str, list[dict[str, t.Any]]] = {name: [] for name in addresses}
    for row in result["rows"]:
        rows[names[row["listener"]]].append(row)
    return Run(result, observations, rows)


@pytest.fixture(scope="module")
def old(office, tmp_path_factory):
    """Server 1: TLS 1.0 to 1.3 are really on, because it lowers its own security level."""
    certificate = office.server_pem("rsa", NAME, 60)
    with bundled.RunningServer(tmp_path_factory.mktemp("old")) as server:
        listener = bundled.listener("127.0.0.2", cert_file=certificate, allowed_versions=ALL)
        server.activate(bundled.hardened("plain login "), listener)
        yield f"127.0.0.2:{server.port}"


@pytest.fixture(scope="module")
def refusing(office):
    """Server 2: TLS 1.1 is on in the configuration, and the library refuses it."""
    context = between(office, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2)
    with zoo.smtp(context=context, host="127.0.0.3") as server:
        yield server.address


@pytest.fixture(scope="module")
def limited(office, tmp_path_factory):
    """Server 3: 421 4.7.0 from the sixth connection in a minute on."""
    certificate = office.server_pem("rsa", NAME, 60)
    with bundled.RunningServer(tmp_path_factory.mktemp("limited")) as server:
        listener = bundled.listener("127.0.0.4", limits={"peer_max_interval_connections": 5}, cert_file=certificate)
        server.activate(bundled.hardened("plain login "), listener)
        yield f"127.0.0.4:{server.port}"


@pytest.fixture(scope="module")
def fast_is_done():
    """Set when a server that is not slow has been looked at for a while."""
    return threading.Event()


@pytest.fixture(scope="module")
def fast(office, fast_is_done):
    """A server like others, which tells when its fifth connection came."""

    def count(caller: zoo.Caller) -> None:
        if caller.number == 5:
            fast_is_done.set()

    with zoo.smtp(context=office.context(days=60), host="127.0.0.6", before=count) as server:
        yield server.address


@pytest.fixture(scope="module")
def slow(office, fast_is_done):
    """Server 4: takes the connection and says nothing, as long as no other server is being looked at."""

    def wait(caller: zoo.Caller) -> None:
        while not fast_is_done.wait(0.05):
            if caller.over.is_set():
                raise EOFError

    with zoo.smtp(context=office.context(days=60), host="127.0.0.5", before=wait) as server:
        yield server.address


@pytest.fixture(scope="module")
def found(old, refusing, limited, slow, fast):
    """One run; the slow server is the first in the list."""
    servers = {"slow": slow, "old": old, "refusing": refusing, "limited": limited, "fast": fast}
    policy = {"listeners": [{"address": refusing, "tls": "starttls", "versions": ["TLSv1.1", "TLSv1.2"]}]}
    both = run({"refusing": refusing}, expect=policy, fail_on="error")
    return {"profile": run(servers, expect={"profile": "intermediate"}), "policy": both}


def test_old_versions_are_found_without_the_local_library(found):
    profile = found["profile"]
    for version in ("TLSv1", "TLSv1.1"):
        fact = profile.fact("old", "version.%s" % version)
        assert (fact["value"], fact["observable"]) == (True, True), fact
        # The evidence is a connection on which the ClientHello was made by hand.
        lines = [
            line
            for number in fact["evidence"]
            for part in profile.observations["old"]["dialogues"]
            if part["number"] == number
            for line in part["lines"]
        ]
        assert any(line.startswith("C: ClientHello %s" % version) for line in lines), lines
        row = profile.row("old", "version", version=version)
        assert (row["verdict"], row["severity"]) == ("fail", "error"), row
    assert profile.result["failed"] and "TLSv1" in profile.result["msg"], profile.result["msg"]


def test_the_local_library_is_no_judge_of_old_versions(office, old, monkeypatch):
    # Take TLS 1.0 and 1.1 away from this side: what is found must not change.
    from ansible_collections.securemail.smtp.plugins.module_utils._probe import library, reply, tls_survey, visit

    def today(version=None, suites=()):
        if version in ("TLSv1", "TLSv1.1"):
            raise reply.Unobservable("%s: unsupported protocol" % version, reply.LOCAL_LIBRARY)
        context = lenient_context(version, suites)
        if version is None:
            context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    for module in (library, tls_survey, visit):
        if hasattr(module, "lenient_context"):
            monkeypatch.setattr(module, "lenient_context", today)
    found = run({"old": old}, expect={"profile": "intermediate"}, checks=["versions"])
    for version in ("TLSv1", "TLSv1.1"):
        assert found.fact("old", "version.%s" % version)["value"] is True
        completed = found.observations["old"]["facts"]["version_completed.%s" % version]
        assert (completed["observable"], completed["side"]) == (False, "local library"), completed
        assert found.row("old", "version", version=version)["verdict"] == "fail"


def test_what_a_configuration_says_and_the_library_refuses(found):
    policy = found["policy"]
    accepted = [
        name.partition(".")[2]
        for name, fact in policy.observations["refusing"]["facts"].items()
        if name.startswith("version.") and fact["value"]
    ]
    assert accepted == ["TLSv1.2"]
    fact = policy.fact("refusing", "version.TLSv1.1")
    assert (fact["value"], fact["side"]) == (False, "server alert"), fact
    # What OpenSSL says of a version that its security level forbids is a matter of its own version.
    assert fact["seen"] in ("server alert: handshake_failure", "server alert: internal_error")
    row = policy.row("refusing", "version", version="TLSv1.1")
    assert (row["verdict"], row["side"]) == ("fail", "server alert"), row
    assert policy.row("refusing", "version", version="TLSv1.2")["verdict"] == "pass"
    assert policy.result["failed"]


def test_a_server_that_throttles_is_neither_good_nor_bad(found):
    profile = found["profile"]
    observation, rows = profile.observations["limited"], profile.rows["limited"]
    # Five were answered, two turned away; then the probe stopped knocking, and it says how many it made.
    assert observation["connections"] == 7 == len(observation["dialogues"])
    assert profile.fact("limited", "throttled")["value"] is True
    blocked = [row for row in rows if "421 4.7.0" in row["seen"]]
    assert blocked, rows
    assert {row["verdict"] for row in blocked} == {"unobservable"}
    assert {row["side"] for row in blocked} == {"server busy"}
    # What was seen before is no worse for it.
    assert profile.row("limited", "starttls_offered")["verdict"] == "pass"
    assert not [row for row in rows if row["verdict"] == "fail" and "421" in row["seen"]]
    for row in rows:
        assert not row["evidence"] or row["verdict"] == "unobservable" or max(row["evidence"]) <= 5, row
    assert observation["listener"] in json.dumps(profile.result["summary"]["throttled"])


def test_a_slow_server_takes_nobody_elses_time(found, fast_is_done):
    # Its banner came only after another server had been looked at, though it stands first in the list.
    profile = found["profile"]
    assert fast_is_done.is_set()
    assert profile.row("slow", "starttls_offered")["verdict"] == "pass"
    assert profile.fact("slow", "banner")["value"]["code"] == 220
    timing = profile.fact("slow", "timing")["value"]
    assert timing["banner"] > timing["ehlo"]
    for server in ("slow", "fast"):
        assert profile.fact(server, "version.TLSv1.3")["value"] is True
    assert profile.fact("fast", "throttled")["value"] is False


def test_a_server_that_stays_silent_is_reported_at_the_end_of_its_step(fast):
    with zoo.Place(lambda caller: caller.hold(), host="127.0.0.7") as mute:
        found = run({"mute": mute.address, "fast": fast}, expect={"profile": "intermediate"}, timeout=0.5, fail_on="never")
    rows = found.rows["mute"]
    assert {row["verdict"] for row in rows if row["check"] != "reachable"} == {"unobservable"}, rows
    assert "no answer in 0.5 s" in found.fact("mute", "banner")["seen"]
    assert found.fact("mute", "banner")["side"] == "network"
    assert found.row("fast", "starttls_offered")["verdict"] == "pass"


def test_each_refusal_carries_its_side(found):
    for one in found.values():
        for observation in one.observations.values():
            for name, fact in observation["facts"].items():
                refused = name.startswith("version.") and fact["value"] is False
                # Where there is nothing to look at, nobody is in the way.
                unseen = not fact["observable"] and fact["seen"] not in NOTHING_THERE
                assert fact["side"] or not (refused or unseen), (name, fact)
