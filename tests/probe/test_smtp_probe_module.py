# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module ``smtp_probe`` as Ansible runs it, against servers that were set up by the other modules."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import threading
from pathlib import Path

import pytest
import running_postern as bundled

sys.path.append(str(Path(__file__).resolve().parents[1] / "converge"))

from lab import NAME, Lab  # noqa: E402
from mta_process import PASSWORD as ADMIN_PASSWORD  # noqa: E402
from mta_process import SCRIPT, Mta, call, play  # noqa: E402

HOST = "127.0.0.2"
USER, PASSWORD = "alice@example.test", "Acc-pw-7Qx"
EXPLANATION = "Only over TLS, please"
QUICK = {"timeout": 5, "total_timeout": 30}


def probe(targets, check=False, **options):
    return call("smtp_probe", {**QUICK, "targets": targets, **options}, check)


def warned(result):
    return " ".join(str(warning) for warning in result.get("warnings", []))


def verdicts(result):
    return {(row["listener"], row["title"], row["origin"]): row["verdict"] for row in result["rows"]}


def free_ports(count):
    """Ports of the test's address that nothing listens on."""
    with contextlib.ExitStack() as held:
        found = []
        for _number in range(count):
            holder = held.enter_context(socket.socket())
            holder.bind((HOST, 0))
            found.append(holder.getsockname()[1])
        return found


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def site(tmp_path_factory, lab):
    """A hardened server as the modules make it: its addresses, and what ``smtp_info`` says of it."""
    sys.path.insert(0, str(bundled.FILES))
    from postern.passwords import hash_password

    ports = free_ports(3)
    relay, submission, submissions = ("%s:%d" % (HOST, port) for port in ports)
    mta = Mta(tmp_path_factory.mktemp("mta"), hash_password(ADMIN_PASSWORD), SCRIPT)
    mta.start()

    def run(name, **parameters):
        result = call(name, dict(parameters, admin_port=mta.port, admin_password=ADMIN_PASSWORD), False)
        assert not result.get("failed"), result
        return result

    try:
        for domain in ("example.test", "mydomain.example"):
            run("smtp_account", domain=domain, account="alice", password=PASSWORD, postmaster_password=PASSWORD)
        run(
            "smtp_policy",
            tls={"versions": ["TLSv1.2", "TLSv1.3"], "ciphers": "ECDHE+AESGCM:ECDHE+CHACHA20", "certificate": lab.ecdsa},
            listeners=[
                {"address": relay, "tls": "starttls"},
                {"address": submission, "tls": "starttls"},
                {"address": submissions, "tls": "implicit"},
            ],
            starttls={"inbound": True},
            auth_rules=[
                {"name": "closed", "connection": "plain", "mechanisms": []},
                {"name": "open", "connection": "tls", "mechanisms": ["PLAIN", "LOGIN"]},
            ],
            forced_tls_domains=[{"domain": "mydomain.example", "reject_message": EXPLANATION}],
        )
        policy = run("smtp_info")["policy"]
        yield Site(mta, [relay, submission, submissions], policy, lab)
    finally:
        mta.stop()


class Site:
    def __init__(self, mta, addresses, policy, lab):
        self.mta, self.addresses, self.policy, self.lab = mta, addresses, policy, lab

    def targets(self, **more):
        """All listeners; ``more`` for each of them."""
        *starttls, implicit = self.addresses
        modes = {**dict.fromkeys(starttls, "starttls"), implicit: "implicit"}
        return [{"address": address, "tls": mode, "server_name": NAME, **more} for address, mode in modes.items()]


@pytest.fixture(scope="module")
def unhardened(tmp_path_factory, lab):
    """The address of a listener with old TLS and AUTH in clear."""
    old = {"allowed_versions": ("tls1", "tls1_1", "tls1_2"), "cipher_suite": "ALL:!aNULL:!eNULL"}
    with bundled.RunningServer(tmp_path_factory.mktemp("unhardened")) as server:
        server.activate(bundled.initial("unhardened"), bundled.listener("127.0.0.1", cert_file=lab.rsa, **old))
        yield "127.0.0.1:%d" % server.port


# ---- expectations


@pytest.fixture(scope="module")
def answer(site):
    """A hardened server against its own policy and a profile, with a login."""
    return probe(
        site.targets(username=USER, password=PASSWORD, local_domain="example.test", other_domain="example.test"),
        expect=dict(site.policy, profile="intermediate"), ca_file=site.lab.ca_file,
    )


def test_a_server_is_what_smtp_info_says_of_it(site, answer):
    assert not answer.get("failed"), answer["msg"]
    assert answer["changed"] is False
    assert [document["listener"] for document in answer["observations"]] == site.addresses
    found = verdicts(answer)
    relay, submission, submissions = site.addresses
    assert found[relay, "TLSv1.1", "policy"] == "pass"
    assert found[submissions, "TLSv1.3", "policy"] == "pass"
    assert found[submission, "AUTH PLAIN in clear", "policy"] == "pass"
    assert found[submission, "login with PLAIN", "policy"] == "pass"
    assert found[relay, "mail for mydomain.example in clear", "policy"] == "pass"
    assert {row["origin"] for row in answer["rows"]} == {"policy", "intermediate"}
    # What the policy says is what is there; a profile may find more.
    left = [row for row in answer["rows"] if row["origin"] == "policy" and row["verdict"] != "pass"]
    assert not left
    assert not answer.get("warnings")


def test_numbers_are_those_of_the_documents(answer):
    summary, rows = answer["summary"], answer["rows"]
    for verdict in ("pass", "fail", "unobservable"):
        assert summary[verdict] == sum(1 for row in rows if row["verdict"] == verdict)
    assert summary["connections"] == sum(document["connections"] for document in answer["observations"])
    assert (summary["listeners"], summary["hosts"], summary["unreachable"], summary["throttled"]) == (3, 1, [], [])
    for row in rows:
        (document,) = [each for each in answer["observations"] if each["listener"] == row["listener"]]
        assert set(row["evidence"]) <= {dialogue["number"] for dialogue in document["dialogues"]}


def test_another_policy_is_not_what_the_server_does(site):
    other = json.loads(json.dumps(site.policy))
    for listener in other["listeners"]:
        listener["versions"] = ["TLSv1.1", "TLSv1.2"]
    result = probe(site.targets()[:1], expect=other, checks=["dialogue", "versions"], fail_on="error")
    assert result["failed"]
    rows = {row["title"]: row for row in result["rows"] if row["check"] == "version"}
    assert (rows["TLSv1.1"]["verdict"], rows["TLSv1.1"]["expected"]) == ("fail", "accepted")
    # The declared version is missing, and it is said who refused it.
    assert rows["TLSv1.1"]["side"] == "server alert"
    assert (rows["TLSv1.3"]["verdict"], rows["TLSv1.3"]["expected"]) == ("fail", "refused")
    for part in (site.addresses[0], "TLSv1.1", "expected accepted", "seen"):
        assert part in result["msg"]


def test_listeners_of_the_policy_that_nobody_looks_at_are_named(site):
    result = probe(site.targets()[:1], expect=site.policy, checks=["dialogue"])
    warning = warned(result)
    assert "no target covers" in warning
    assert site.addresses[0] not in warning
    assert site.addresses[1] in warning and site.addresses[2] in warning


def test_what_was_not_asked_for_fails_nothing(site):
    result = probe(site.targets()[:1], expect="intermediate", checks=["versions"], fail_on="warning")
    assert not result.get("failed"), result["msg"]
    sides = {row["side"] for row in result["rows"] if row["verdict"] == "unobservable" and row["check"] != "outside"}
    assert sides == {"not asked for"} and not result.get("warnings")


def test_nothing_expected_is_nothing_failed(site, unhardened):
    result = probe([unhardened])
    assert not result.get("failed") and result["rows"] == []
    assert result["observations"][0]["facts"]["version.TLSv1"]["value"] is True


@pytest.mark.parametrize(
    "profile, option", [("intermediate", "expect"), (["modern", "rfc9325"], "expect"), (["intermediate"], "profile")]
)
def test_a_server_that_nobody_hardened_fails(unhardened, profile, option):
    result = probe([unhardened], checks=["dialogue", "versions", "auth"], **{option: profile})
    assert result["failed"] and result["changed"] is False
    rows = [row for row in result["rows"] if row["title"] == "TLSv1"]
    assert rows and {row["verdict"] for row in rows} == {"fail"}
    assert {row["origin"] for row in rows} <= set([profile] if isinstance(profile, str) else profile)
    assert "TLSv1: expected refused, seen" in result["msg"] and rows[0]["source"] in result["msg"]
    assert result["observations"] and result["summary"]["fail"]


@pytest.mark.parametrize("fail_on, fails", [("error", True), ("warning", True), ("never", False)])
def test_fail_on(unhardened, fail_on, fails):
    result = probe([unhardened], expect="intermediate", checks=["versions"], fail_on=fail_on)
    assert bool(result.get("failed")) is fails
    assert result["summary"]["fail"]


def test_what_could_not_be_seen_fails_on_warning_only():
    with socket.socket() as holder:
        # Bound and not listening: every connection is refused.
        holder.bind((HOST, 0))
        address = "%s:%d" % holder.getsockname()
        results = {
            fail_on: probe([address], expect={"auth_rules": [{"connection": "tls", "mechanisms": []}]}, fail_on=fail_on)
            for fail_on in ("warning", "never")
        }
    assert results["warning"]["failed"] and not results["never"].get("failed")
    assert results["never"]["summary"]["unreachable"] == [address]
    assert results["never"]["summary"]["pass"] == 0
    # Where nothing fails, somebody is told.
    assert "could not be observed" in warned(results["never"]) and address in warned(results["never"])
    assert "could not be observed" not in warned(results["warning"])


def test_check_mode_is_the_same(site):
    options = {"expect": site.policy, "checks": ["dialogue", "versions"], "evidence": False}
    run, check = (probe(site.targets()[:1], check, **options) for check in (False, True))
    assert check["changed"] is False and not check.get("failed")
    assert verdicts(run) == verdicts(check) and verdicts(run)


def test_without_evidence_there_are_no_dialogues(site, answer):
    result = probe(site.targets()[:1], checks=["dialogue"], evidence=False)
    assert [document["dialogues"] for document in result["observations"]] == [[]]
    assert all(document["dialogues"] for document in answer["observations"])


# ---- bad options: one clear error, and no connection


OK = "127.0.0.1:{port}"
BAD = [
    ({"targets": []}, ["targets is empty"]),
    ({"targets": [OK, "mail.example.org"]}, ["targets #2", "port is missing"]),
    ({"targets": [OK, "2001:db8::25:587"]}, ["targets #2", "brackets"]),
    ({"targets": [OK, "[2001:db8::25]"]}, ["targets #2", "port is missing"]),
    ({"targets": [OK, "mail.example.org:0"]}, ["targets #2", "65535"]),
    ({"targets": [OK, "mail.example.org:smtp"]}, ["targets #2", "port"]),
    ({"targets": [OK, 25]}, ["targets #2", "number"]),
    ({"targets": [OK, "0.0.0.0:25"]}, ["targets #2", "no host"]),
    ({"targets": [OK, "[::]:25"]}, ["targets #2", "no host"]),
    ({"targets": [OK, "smtp://mail.example.org:25"]}, ["targets #2", "URL"]),
    ({"targets": [OK, "anna@mail.example.org:25"]}, ["targets #2", "mail address"]),
    ({"targets": [OK, "exa mple.org:25"]}, ["targets #2", "exa mple.org"]),
    ({"targets": [OK, "a..b:25", "c:x"]}, ["targets #2", "targets #3"]),
    ({"targets": [OK, OK]}, ["targets #2", "#1"]),
    ({"targets": [{"address": OK, "tls": True}]}, ["targets #1", "tls", "implicit"]),
    ({"targets": [{"address": OK, "tls": "ssl"}]}, ["targets #1", "tls", "starttls"]),
    ({"targets": [{"address": OK, "server_name": "192.0.2.1"}]}, ["server_name", "SNI"]),
    ({"targets": [{"address": OK, "server_name": "*.example.org"}]}, ["server_name", "one domain"]),
    ({"targets": [{"address": OK, "username": "anna"}]}, ["targets #1", "password is missing"]),
    ({"targets": [{"address": OK, "password": PASSWORD}]}, ["targets #1", "username is missing"]),
    ({"targets": [{"address": OK, "forced_tls_domains": ["a@b.example"]}]}, ["forced_tls_domains #1", "mail address"]),
    ({"targets": [{"address": OK, "forced_tls_domains": [{"name": "b.example"}]}]}, ["forced_tls_domains", "domain"]),
    ({"targets": [{"address": OK, "other_domain": "*"}]}, ["other_domain"]),
    ({"targets": [{"address": OK, "local_domain": "1.2.3.4"}]}, ["local_domain"]),
    ({"targets": [{"address": OK, "recipient": "a b"}]}, ["recipient"]),
    ({"targets": [{"address": OK, "ca_file": "/nonexistent/ca.pem"}]}, ["ca_file", "/nonexistent/ca.pem"]),
    ({"targets": [{"address": OK, "port": 25}]}, ["port", "address"]),
    ({"targets": [OK], "ca_file": "/nonexistent/ca.pem"}, ["ca_file", "/nonexistent/ca.pem"]),
    ({"targets": [OK], "client_name": "two words"}, ["client_name"]),
    ({"targets": [OK], "checks": ["everything"]}, ["checks", "everything"]),
    ({"targets": [OK], "checks": []}, ["checks is empty"]),
    ({"targets": [OK], "checks": ["login"]}, ["login", "username"]),
    ({"targets": [OK], "expect": "perfect"}, ["expect", "perfect", "intermediate"]),
    ({"targets": [OK], "expect": ["modern", "perfect"]}, ["expect", "perfect"]),
    ({"targets": [OK], "expect": 1}, ["expect", "number 1"]),
    ({"targets": [OK], "expect": {}}, ["expect is empty"]),
    ({"targets": [OK], "profile": ["perfect"]}, ["profile", "perfect"]),
    ({"targets": [OK], "expect": {"profile": "perfect"}}, ["expect.profile", "perfect"]),
    ({"targets": [OK], "expect": {"listener": []}}, ["expect", "listener is no part", "listeners"]),
    ({"targets": [OK], "expect": {"policy": {}, "version": "10"}}, ["expect", "give the key policy"]),
    ({"targets": [OK], "expect": {"listeners": {"address": "x"}}}, ["expect.listeners", "list of dictionaries"]),
    ({"targets": [OK], "expect": {"starttls": True}}, ["expect.starttls", "dictionary"]),
    ({"targets": [OK], "expect": {"listeners": [{"address": "mail:25"}]}}, ["expect.listeners #1", "mail:25"]),
    ({"targets": [OK], "expect": {"listeners": [{"address": "[::]:25", "versions": ["1.4"]}]}}, ["expect.listeners #1", "1.4"]),
    ({"targets": [OK], "expect": {"auth_rules": [{"mechanisms": ["PLAIN"]}]}}, ["expect.auth_rules #1", "connection"]),
    ({"targets": [OK], "expect": {"auth_rules": [{"connection": "tls"}]}}, ["expect.auth_rules #1", "mechanisms"]),
    ({"targets": [OK], "expect": {"forced_tls_domains": [{"domain": "x@y"}]}}, ["expect.forced_tls_domains #1", "x@y"]),
    ({"targets": [OK], "fail_on": "always"}, ["fail_on", "always"]),
    ({"targets": [OK], "timeout": 0}, ["timeout", "0.1"]),
    ({"targets": [OK], "total_timeout": "nan"}, ["total_timeout", "nan"]),
    ({"targets": [OK], "max_connections": 0}, ["max_connections"]),
    ({"targets": [OK], "pause": -1}, ["pause"]),
    ({"targets": [OK], "parallel": 0}, ["parallel"]),
    ({"targets": [OK, "c:x"], "expect": "perfect", "parallel": 0}, ["targets #2", "perfect", "parallel"]),
]


def filled(value, port):
    if isinstance(value, str):
        return value.replace("{port}", str(port))
    if isinstance(value, dict):
        return {key: filled(inner, port) for key, inner in value.items()}
    return [filled(inner, port) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("parameters, parts", BAD, ids=range(len(BAD)))
def test_bad_options_are_named_before_anybody_is_asked(parameters, parts):
    with socket.create_server(("127.0.0.1", 0)) as door:
        result = call("smtp_probe", filled(parameters, door.getsockname()[1]), False)
        knocked, _unused, _unused = select.select([door], [], [], 0)
    assert result.get("failed"), result
    for part in parts:
        assert part in result["msg"], result["msg"]
    assert "Traceback" not in result.output and PASSWORD not in result.output
    assert not knocked


# ---- secrets


def test_no_secret_is_shown(site, tmp_path):
    relay_password = "Rel-pw-5Rt"
    policy = dict(site.policy, relay={"host": "smtp.example.net", "username": "us", "password": relay_password})
    target = site.targets(username=USER, password=PASSWORD)[1]
    task = {"targets": [target], "expect": policy, "checks": ["dialogue", "auth", "login", "wrong_password"], **QUICK}
    tasks = [
        {"securemail.smtp.smtp_probe": task, "register": "seen"},
        {"ansible.builtin.debug": {"var": "seen"}},
        # Ansible itself refuses this one, and shows what it got.
        {"securemail.smtp.smtp_probe": dict(task, parallel="many"), "ignore_errors": True},
        {"securemail.smtp.smtp_probe": dict(task, targets=[dict(target, tls="ssl")]), "ignore_errors": True},
    ]
    playbook = tmp_path / "probe.yml"
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    output = play(playbook, site.mta.port, "-vvv")
    assert "login.PLAIN" in output and "ignored=2" in output and output.count('"module_args"') >= 3
    for secret in (PASSWORD, relay_password):
        assert secret not in output
        assert secret not in site.mta.log.read_text()


# ---- many hosts


class Door:
    """A port that greets each client as soon as ``may_greet`` is set, and sets ``came`` when there is one."""

    def __init__(self, host, may_greet, came):
        self._server = socket.create_server((host, 0))
        self.address = "%s:%d" % self._server.getsockname()[:2]
        self._may_greet, self._came = may_greet, came
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                client, _address = self._server.accept()
            except OSError:
                return
            self._came.set()
            with client, contextlib.suppress(OSError):
                client.settimeout(20)
                if self._may_greet.wait(20):
                    client.sendall(b"220 door.example.test\r\n")
                while client.recv(4096):
                    client.sendall(b"502 5.5.1 not here\r\n")

    def close(self):
        self._may_greet.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


@contextlib.contextmanager
def doors(*hosts):
    """Doors at these hosts; the first one greets nobody before somebody came to the last one."""
    last_came, always = threading.Event(), threading.Event()
    always.set()
    made = []
    try:
        for place, host in enumerate(hosts):
            may = last_came if place == 0 else always
            came = last_came if place == len(hosts) - 1 else threading.Event()
            made.append(Door(host, may, came))
        yield [door.address for door in made]
    finally:
        for door in made:
            door.close()


def banners(result):
    return [document["facts"]["banner"]["observable"] for document in result["observations"]]


def test_a_host_that_keeps_one_waiting_does_not_keep_the_others_waiting():
    with doors("127.0.0.11", "127.0.0.12") as addresses:
        result = probe([{"address": address, "tls": "none"} for address in addresses], checks=["dialogue"], timeout=15)
    # The first one greets only because the second one was asked meanwhile.
    assert banners(result) == [True, True]
    assert result["summary"]["hosts"] == 2


def test_listeners_of_one_host_wait_for_each_other():
    with doors("127.0.0.11", "127.0.0.11") as addresses:
        targets = [{"address": address, "tls": "none"} for address in addresses]
        result = probe(targets, checks=["dialogue"], timeout=0.5, parallel=10)
    # The first one would greet if the second one were asked meanwhile, and nobody asks it before the first is done.
    assert banners(result) == [False, True]
    assert result["summary"]["hosts"] == 1
