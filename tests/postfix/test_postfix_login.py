# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may log in at a Postfix, and where mail is taken from users only: set, read back, and tried."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import ExitStack

import postfix_accounts
import pytest
from debian import Unavailable

USER, PASSWORD = "alice@a.test", "s3cret pass"
SUBMISSION = "submission_%d_needs_login", "submission_%d_needs_tls", "relay_%d_offers_no_login"


@pytest.fixture
def start(make_host, free_port, lab):
    """A function that starts a host with accounts: two listeners, with these options."""

    def make(*options: str, main: str = "", mechanisms=postfix_accounts.MECHANISMS):
        ports = [free_port() for unused in options]
        services = "".join(f"127.0.0.1:{port} inet n - n - - smtpd\n{lines}" for port, lines in zip(ports, options))
        tls = f"smtpd_tls_chain_files = {lab.rsa}\n"
        host = make_host(services, main=postfix_accounts.settings() + tls + main, domains=["a.test"])
        postfix_accounts.add(host, {USER: PASSWORD}, mechanisms)
        host.start()
        host.ports = ports
        return host

    return make


def client(port: int, tls: bool = True) -> smtplib.SMTP:
    found = smtplib.SMTP("127.0.0.1", port, timeout=20)
    found.ehlo("x")
    if tls:
        found.starttls(context=ssl._create_unverified_context())
        found.ehlo("x")
    return found


def offers(port: int, tls: bool) -> set[str]:
    with client(port, tls) as found:
        return set(found.esmtp_features.get("auth", "").split())


def rule(name: str, connection: str, *mechanisms: str) -> dict:
    return {"name": name, "connection": connection, "mechanisms": list(mechanisms), "enabled": True}


NOBODY = {"action": [{"set": "plainConnAuthTypes", "value": "none"}, {"set": "secureConnAuthTypes", "value": "none"}]}


def general(name: str, port: int, variable: str = "", value: str = "", explanation: str = "") -> dict:
    conditions = [{"variable": "smtpPort", "value": port}]
    if not variable:
        return {"name": name, "conditions": conditions, "actions": NOBODY["action"], "enabled": True}
    actions = [{"set": "smtpAction", "value": "reject"}, {"set": "smtpExplanation", "value": explanation}]
    return {"name": name, "event": "mail", "conditions": [*conditions, {"variable": variable, "value": value}], "actions": actions, "enabled": True}


def test_none_in_clear_and_chosen_ones_over_tls(start, run):
    host = start("", "  -o smtpd_sasl_auth_enable=yes\n")
    (port, other) = host.ports
    before = run(host, "smtp_info")["policy"]
    assert [rule["mechanisms"] for rule in before["auth_rules"]] == [["SCRAM-SHA-256", "PLAIN", "LOGIN"]] * 2
    assert [rule["name"] for rule in before["rules"]] == [f"relay_{port}_offers_no_login"]
    assert offers(other, tls=False) == {"SCRAM-SHA-256", "PLAIN", "LOGIN"} and not offers(port, tls=True)
    policy = {"auth_rules": [rule("off", "plain"), rule("on", "tls", "SCRAM-SHA-256", "PLAIN")]}
    for check in (True, False):
        result = run(host, "smtp_policy", check=check, **policy)
        assert result.get("changed"), result
        assert {one["name"] for one in result["policy"]["auth_rules"]} == {"off", "on"}, "they take over what was there"
    assert not offers(other, tls=False) and offers(other, tls=True) == {"SCRAM-SHA-256", "PLAIN"}
    with client(other) as found:
        assert found.login(USER, PASSWORD)[0] == 235
    with client(other) as found:
        # The one that is not offered does not work either.
        assert found.docmd("AUTH", "LOGIN")[0] == 535
    assert not offers(port, tls=True), "a port without logins stays one"
    assert not run(host, "smtp_policy", **policy)["changed"]
    assert "sasldb_path" in (host.config_directory / "sasl" / "smtpd.conf").read_text()


@pytest.mark.parametrize("plain, secure, in_clear", [
    (("SCRAM-SHA-256", "PLAIN"), ("SCRAM-SHA-256", "PLAIN"), {"SCRAM-SHA-256", "PLAIN"}),
    (("SCRAM-SHA-256",), ("SCRAM-SHA-256", "PLAIN"), {"SCRAM-SHA-256"}),
])
def test_what_differs_by_passwords_in_clear_only_can_be_said(start, run, plain, secure, in_clear):
    host = start("")
    policy = {"auth_rules": [rule("p", "plain", *plain), rule("t", "tls", *secure)]}
    assert run(host, "smtp_policy", **policy).get("changed")
    assert (offers(host.ports[0], tls=False), offers(host.ports[0], tls=True)) == (in_clear, set(secure))
    assert not run(host, "smtp_policy", **policy)["changed"]


@pytest.mark.parametrize("plain, secure, words", [
    (("PLAIN",), ("SCRAM-SHA-256", "PLAIN"), "one list of mechanisms for all connections"),
    ((), ("GSSAPI",), "no plugin for GSSAPI"),
])
def test_what_cannot_be_said_is_refused_with_what_can(start, run, plain, secure, words):
    host = start("")
    before = host.main_cf.read_bytes()
    result = run(host, "smtp_policy", auth_rules=[rule("p", "plain", *plain), rule("t", "tls", *secure)])
    assert result["failed"] and words in result["msg"], result
    assert host.main_cf.read_bytes() == before


def test_options_of_a_listener_that_contradict_go(start, run):
    on = "  -o smtpd_sasl_auth_enable=yes\n"
    host = start(f"{on}  -o smtpd_tls_auth_only=no\n  -o syslog_name=x\n", on, main="smtpd_tls_auth_only = yes\n")
    assert offers(host.ports[0], tls=False)
    run(host, "smtp_policy", auth_rules=[rule("p", "plain"), rule("t", "tls", "PLAIN")])
    assert [offers(port, tls=False) for port in host.ports] == [set(), set()]
    assert "smtpd_tls_auth_only" not in host.master_cf.read_text() and "  -o syslog_name=x\n" in host.master_cf.read_text()


def test_two_rules_for_one_setting_are_refused_and_no_rules_are_no_logins(start, run):
    host = start("")
    first = run(host, "smtp_auth_rule", name="one", connection="tls", mechanisms=["PLAIN"])
    assert first.get("changed") and first["rule"]["name"] == "one", first
    result = run(host, "smtp_auth_rule", name="two", connection="tls", mechanisms=["LOGIN"])
    assert result["failed"] and "one and two" in result["msg"] or "two and one" in result["msg"], result
    assert run(host, "smtp_policy", auth_rules=[{"name": "one", "state": "absent"}], prune=["auth_rules"]).get("changed")
    assert not offers(host.ports[0], tls=True)


def test_users_come_over_tls_and_log_in_before_they_send(start, run):
    host = start("  -o smtpd_sasl_auth_enable=yes\n", "")
    users, relay = host.ports
    rules = [
        general(f"submission_{users}_needs_login", users, "authUser", "", "530 5.7.0 Authentication required"),
        general("my_own_name", users, "isSSLConnection", "no", "530 5.7.0 Must issue a STARTTLS command first"),
        general(f"relay_{relay}_offers_no_login", relay),
    ]
    policy = {"auth_rules": [rule("p", "plain"), rule("t", "tls", "PLAIN")], "rules": rules}
    assert run(host, "smtp_policy", **policy).get("changed")
    with client(users, tls=False) as found:
        assert found.mail("a@b.test") == (530, b"5.7.0 Must issue a STARTTLS command first")
    with client(users) as found:
        assert found.mail("a@b.test")[0] == 250
        code, words = found.rcpt("u@a.test")
        assert code == 530 and words.endswith(b"Authentication required")
    with client(users) as found:
        found.login(USER, PASSWORD)
        assert found.mail("a@b.test")[0] == 250 and found.rcpt("u@a.test")[0] == 250
    with client(relay) as found:
        assert found.mail("a@b.test")[0] == 250 and found.rcpt("u@a.test")[0] == 250
    again = run(host, "smtp_policy", **policy)
    assert not again["changed"]
    assert {one["name"] for one in again["policy"]["rules"]} == {one["name"] for one in rules}
    # And back: nothing of it is left.
    absent = [{"name": one["name"], "state": "absent"} for one in rules[:2]]
    assert run(host, "smtp_policy", rules=absent).get("changed")
    with client(users, tls=False) as found:
        assert found.mail("a@b.test")[0] == 250 and found.rcpt("u@a.test")[0] == 250
    assert "securemail_needs_login" not in host.main_cf.read_text()


def test_lists_of_others_are_not_switched_off_for_who_logs_in(start, run):
    lists = "  -o smtpd_sender_restrictions=reject_unknown_sender_domain\n  -o smtpd_client_restrictions=permit_mynetworks\n"
    host = start(lists)
    before = host.master_cf.read_bytes()
    (port,) = host.ports
    result = run(host, "smtp_policy", rules=[general("x", port, "authUser", "", "530 5.7.0 Authentication required")])
    assert result["failed"] and "lists of its own" in result["msg"], result
    assert host.master_cf.read_bytes() == before


def test_the_usual_way_of_requiring_a_login_is_recognised(start, run):
    host = start("  -o smtpd_tls_security_level=encrypt\n  -o smtpd_sasl_auth_enable=yes\n  -o smtpd_client_restrictions=permit_sasl_authenticated,reject\n")
    (port,) = host.ports
    rules = {one["name"]: one for one in run(host, "smtp_info")["policy"]["rules"]}
    assert set(rules) == {f"submission_{port}_needs_login", f"submission_{port}_needs_tls"}
    assert rules[f"submission_{port}_needs_login"]["actions"][1]["value"].startswith("554")


def test_other_general_rules_are_refused_by_name(start, run):
    host = start("")
    result = run(
        host, "smtp_rule", name="limit", conditions=[{"variable": "remoteSmtpIp", "value": "192.0.2.1"}],
        actions=[{"set": "smtpAction", "value": "reject"}],
    )
    assert result["failed"] and "rule limit" in result["msg"] and "three general rules" in result["msg"], result


@pytest.fixture
def dovecot(start):
    """A host whose logins are a real Dovecot's, and the function that starts that with its mechanisms."""
    host = start("", main=postfix_accounts.dovecot_settings())
    with ExitStack() as stack:

        def serve(*mechanisms: str):
            try:
                return stack.enter_context(postfix_accounts.dovecot(host, {USER: PASSWORD}, mechanisms))
            except Unavailable as reason:
                pytest.skip(str(reason))

        host.serve = serve
        yield host


def test_mechanisms_are_asked_of_dovecot(dovecot, run):
    policy = {"auth_rules": [rule("p", "plain"), rule("t", "tls", "PLAIN", "LOGIN")]}
    before = dovecot.main_cf.read_bytes()
    result = run(dovecot, "smtp_policy", **policy)
    assert result["failed"] and "socket of Dovecot" in result["msg"] and dovecot.main_cf.read_bytes() == before, result
    dovecot.serve("PLAIN", "LOGIN", "SCRAM-SHA-256")
    result = run(dovecot, "smtp_policy", **policy)
    assert result["failed"] and "SCRAM-SHA-256" in result["msg"] and "auth_mechanisms" in result["msg"], "it would be let through"
    result = run(dovecot, "smtp_policy", auth_rules=[rule("p", "plain"), rule("t", "tls", "GSSAPI")])
    assert result["failed"] and "no mechanism GSSAPI" in result["msg"], result
    policy["auth_rules"][1]["mechanisms"] += ["SCRAM-SHA-256"]
    assert run(dovecot, "smtp_policy", **policy).get("changed")
    (port,) = dovecot.ports
    assert not offers(port, tls=False) and offers(port, tls=True) == {"PLAIN", "LOGIN", "SCRAM-SHA-256"}
    with client(port) as found:
        assert found.login(USER, PASSWORD)[0] == 235
    assert not run(dovecot, "smtp_policy", **policy)["changed"]
