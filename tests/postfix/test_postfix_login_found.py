# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logins of a Postfix as they are found: listeners that contradict, filters that only hide, lists that refuse in other words."""

from __future__ import annotations

import smtplib
import stat

import postfix_accounts
import pytest
from debian import Unavailable
from test_postfix_login import PASSWORD, USER, client, general, offers, rule

LOGIN_FIRST = "530 5.7.0 Authentication required"
STARTTLS_FIRST = "530 5.7.0 Must issue a STARTTLS command first"
ON = "smtpd_sasl_auth_enable = yes\n"


@pytest.fixture
def start(make_host, free_port, lab):
    """A function that starts a host with accounts: a listener for each of these options, ``ports`` are theirs."""

    def make(*options: str, main: str = "", mechanisms=postfix_accounts.MECHANISMS):
        ports = [free_port() for unused in options]
        lines = (f"127.0.0.1:{port} inet n - n - - smtpd\n{text}" for port, text in zip(ports, options))
        settings = postfix_accounts.settings() + f"smtpd_tls_chain_files = {lab.rsa}\n"
        host = make_host("".join(lines), main=settings + main, domains=["a.test"])
        postfix_accounts.add(host, {USER: PASSWORD}, mechanisms)
        host.start()
        host.ports = ports
        return host

    return make


def mechanisms(result) -> dict[str, list[str]]:
    return {one["connection"]: one["mechanisms"] for one in result["policy"]["auth_rules"]}


def names(result) -> set[str]:
    return {one["name"] for one in result["policy"]["rules"]}


def heard(port: int, tls: bool = True, login: bool = False) -> str:
    """The answer to a message for a user of the host."""
    with client(port, tls) as found:
        if login:
            found.login(USER, PASSWORD)
        code, words = found.mail("a@b.test")
        if code == 250:
            code, words = found.rcpt("u@a.test")
        return f"{code} {words.decode()}"


def accepts(port: int, mechanism: str) -> bool:
    """Whether a login can be begun, offered or not."""
    with client(port) as found:
        code = found.docmd("AUTH", mechanism)[0]
        if code == 334:
            found.docmd("*")
        return code == 334


def test_a_mechanism_that_is_only_hidden_is_said_and_goes(start, run):
    host = start("", main=ON + "smtpd_sasl_mechanism_filter = plain, scram-sha-256\nsmtpd_tls_auth_only = yes\n")
    (port,) = host.ports
    assert offers(port, tls=True) == {"PLAIN", "SCRAM-SHA-256"} and accepts(port, "LOGIN")
    info = run(host, "smtp_info")
    assert mechanisms(info) == {"plain": [], "tls": ["SCRAM-SHA-256", "PLAIN", "LOGIN"]}
    assert any("LOGIN is not offered and works all the same" in text for text in info["notes"]), info["notes"]
    policy = {"auth_rules": [rule("t", "tls", "PLAIN", "SCRAM-SHA-256")]}
    assert run(host, "smtp_policy", **policy).get("changed")
    assert offers(port, tls=True) == {"PLAIN", "SCRAM-SHA-256"} and not accepts(port, "LOGIN")
    assert not run(host, "smtp_policy", **policy)["changed"]


@pytest.mark.parametrize("words, left", [
    ("!login, static:all", ["SCRAM-SHA-256", "PLAIN", "LOGIN"]),
    ("!login", []),
])
def test_a_filter_is_read_as_postfix_reads_it(start, run, words, left):
    host = start("", main=ON + f"smtpd_sasl_mechanism_filter = {words}\n")
    info = run(host, "smtp_info")
    assert mechanisms(info)["tls"] == left
    if left:
        assert offers(host.ports[0], tls=True) == {"SCRAM-SHA-256", "PLAIN"}
    else:
        # No process of it lives long enough to say anything.
        with pytest.raises(smtplib.SMTPServerDisconnected):
            offers(host.ports[0], tls=True)
        assert any("nobody is answered" in text for text in info["notes"]), info["notes"]


def test_a_listener_that_is_open_is_read_and_closed(start, run):
    closed = "  -o smtpd_tls_auth_only=yes\n"
    host = start(closed, closed, "  -o smtpd_tls_auth_only=no\n  -o smtpd_sasl_mechanism_filter=login\n", main=ON)
    before = run(host, "smtp_info")
    assert mechanisms(before)["plain"] == ["SCRAM-SHA-256", "PLAIN", "LOGIN"]
    assert any("differ from those elsewhere" in text for text in before["notes"]), before["notes"]
    policy = {"auth_rules": [rule("p", "plain"), rule("t", "tls", "PLAIN", "LOGIN")]}
    assert run(host, "smtp_policy", **policy).get("changed")
    for port in host.ports:
        assert (offers(port, tls=False), offers(port, tls=True)) == (set(), {"PLAIN", "LOGIN"})
    assert not run(host, "smtp_policy", **policy)["changed"]


def test_a_listener_that_says_no_is_a_rule_also_where_all_are_off(start, run):
    host = start("  -o smtpd_sasl_auth_enable=no\n", "")
    relay, users = host.ports
    assert names(run(host, "smtp_info")) == {f"relay_{relay}_offers_no_login"}
    assert run(host, "smtp_auth_rule", name="t", connection="tls", mechanisms=["PLAIN"]).get("changed")
    assert offers(users, tls=True) == {"PLAIN"} and not offers(relay, tls=True), "who said no keeps it"
    # Without the rule it has logins like all others.
    assert run(host, "smtp_rule", name=f"relay_{relay}_offers_no_login", state="absent").get("changed")
    assert offers(relay, tls=True) == {"PLAIN"}


def test_a_rule_about_a_port_outlives_the_logins_of_others(start, run):
    host = start("", "  -o smtpd_sasl_auth_enable=yes\n")
    relay, users = host.ports
    assert names(run(host, "smtp_info")) == {f"relay_{relay}_offers_no_login"}
    result = run(host, "smtp_policy", auth_rules=[], prune=["auth_rules"])
    assert result.get("changed") and not offers(users, tls=True), result
    assert names(result) == {f"relay_{relay}_offers_no_login"}
    assert run(host, "smtp_auth_rule", name="t", connection="tls", mechanisms=["PLAIN"]).get("changed")
    assert not offers(relay, tls=True)


def test_rules_that_allow_nothing_are_no_logins_and_are_kept(start, run):
    host = start("", main=ON)
    policy = {"auth_rules": [rule("p", "plain"), rule("t", "tls")]}
    assert run(host, "smtp_policy", **policy).get("changed")
    assert not offers(host.ports[0], tls=True)
    again = run(host, "smtp_policy", **policy)
    assert not again["changed"] and mechanisms(again) == {"plain": [], "tls": []}, again
    result = run(host, "smtp_policy", auth_rules=[], prune=["auth_rules"], allow_unsafe=True)
    assert result.get("changed") and not result["policy"]["auth_rules"], result


def test_each_sasl_server_that_listeners_ask_is_asked(start, run):
    host = start("", "  -o smtpd_sasl_type=dovecot\n  -o smtpd_sasl_path=private/auth\n", main=ON)
    policy = {"auth_rules": [rule("p", "plain"), rule("t", "tls", "PLAIN")]}
    before = host.main_cf.read_bytes()
    result = run(host, "smtp_policy", **policy)
    assert result["failed"] and "socket of Dovecot" in result["msg"] and host.main_cf.read_bytes() == before, result
    with dovecot(host, "PLAIN"):
        assert run(host, "smtp_policy", **policy).get("changed")
        for port in host.ports:
            assert (offers(port, tls=False), offers(port, tls=True)) == (set(), {"PLAIN"})
            assert heard(port, login=True).startswith("250")
        assert not run(host, "smtp_policy", **policy)["changed"]


def test_what_dovecot_has_and_a_filter_hides_works_and_is_said(start, run):
    host = start("", main=ON + "smtpd_sasl_type = dovecot\nsmtpd_sasl_path = private/auth\nsmtpd_sasl_mechanism_filter = plain\n")
    with dovecot(host, "PLAIN", "LOGIN"):
        info = run(host, "smtp_info")
        assert offers(host.ports[0], tls=True) == {"PLAIN"} and accepts(host.ports[0], "LOGIN")
        assert mechanisms(info)["tls"] == ["PLAIN", "LOGIN"] and any("works all the same" in text for text in info["notes"]), info


def test_a_listener_that_comes_is_like_the_others_and_changes_none(start, run, free_port, lab):
    own = "  -o smtpd_sasl_auth_enable=yes\n  -o smtpd_sasl_type=dovecot\n  -o smtpd_sasl_path=private/auth\n"
    host = start("", own + "  -o smtpd_tls_auth_only=yes\n", main="smtpd_sasl_path = nothing\n")
    relay, users = host.ports
    port = free_port()
    with dovecot(host, "PLAIN"):
        host.reload()
        before = run(host, "smtp_info")
        assert mechanisms(before) == {"plain": [], "tls": ["PLAIN"]} and names(before) == {f"relay_{relay}_offers_no_login"}
        old = host.master_cf.read_text()
        result = run(host, "smtp_listener", address=f"127.0.0.1:{port}", tls="starttls", certificate=str(lab.rsa))
        assert result.get("changed"), result
        for one in (port, users):
            assert (offers(one, tls=False), offers(one, tls=True)) == (set(), {"PLAIN"})
        assert heard(port, login=True).startswith("250") and not offers(relay, tls=True)
        assert set(old.splitlines()) < set(host.master_cf.read_text().splitlines())


def test_a_listener_that_comes_does_not_open_the_others(start, run, free_port, lab):
    host = start("  -o smtpd_tls_auth_only=yes\n", "", main=ON)
    closed, opened = host.ports
    assert mechanisms(run(host, "smtp_info"))["plain"] == ["SCRAM-SHA-256", "PLAIN", "LOGIN"]
    assert run(host, "smtp_listener", address=f"127.0.0.1:{free_port()}", tls="starttls", certificate=str(lab.rsa)).get("changed")
    assert not offers(closed, tls=False) and offers(opened, tls=False)


def test_a_listener_in_clear_only_follows_rules_for_tls_only(start, run):
    host = start("  -o smtpd_tls_security_level=none\n")
    policy = {"auth_rules": [rule("p", "plain"), rule("t", "tls", "PLAIN")]}
    assert run(host, "smtp_policy", **policy).get("changed")
    assert not offers(host.ports[0], tls=False)
    again = run(host, "smtp_policy", **policy)
    assert not again["changed"] and not names(again), again


def dovecot(host, *names: str):
    try:
        return postfix_accounts.dovecot(host, {USER: PASSWORD}, names)
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_a_listener_that_hides_auth_has_no_logins(start, run):
    host = start("  -o smtpd_discard_ehlo_keywords=auth\n", "", main=ON)
    hiding, other = host.ports
    assert offers(other, tls=True) and not accepts(hiding, "PLAIN")
    assert names(run(host, "smtp_info")) == {f"relay_{hiding}_offers_no_login"}
    before = host.master_cf.read_bytes()
    result = run(host, "smtp_rule", name=f"relay_{hiding}_offers_no_login", state="absent")
    assert result["failed"] and "hides AUTH" in result["msg"] and host.master_cf.read_bytes() == before, result


LISTS = {
    "client": "  -o smtpd_client_restrictions=permit_sasl_authenticated,reject\n",
    "longer": "  -o { smtpd_helo_restrictions = reject_invalid_helo_hostname, permit_sasl_authenticated, reject }\n",
    "relay": "  -o smtpd_recipient_restrictions=\n  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject\n",
    "old": "  -o smtpd_relay_restrictions=\n  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject\n",
    "debian": "  -o smtpd_client_restrictions=$mua_client_restrictions\n",
}
MUA = "mua_client_restrictions = permit_sasl_authenticated, reject\n"


@pytest.mark.parametrize("form", LISTS)
def test_usual_lists_that_require_a_login_are_read_and_taken_away(start, run, form):
    host = start(LISTS[form], main=ON + MUA)
    (port,) = host.ports
    assert heard(port).startswith("554 5.7.1") and heard(port, login=True).startswith("250")
    name = f"submission_{port}_needs_login"
    (found,) = run(host, "smtp_info")["policy"]["rules"]
    assert found["name"] == name and found["actions"][1]["value"] == "554 5.7.1 Access denied"
    assert run(host, "smtp_rule", name=name, state="absent").get("changed")
    assert heard(port).startswith("250")
    with client(port) as stranger:
        stranger.mail("a@b.test")
        assert stranger.rcpt("u@elsewhere.test")[0] >= 400, "nobody relays for strangers"


@pytest.mark.parametrize("form", ["client", "relay", "old", "debian"])
def test_the_words_of_a_refusal_are_those_of_the_rule(start, run, form):
    host = start(LISTS[form], main=ON + MUA)
    (port,) = host.ports
    wanted = general(f"submission_{port}_needs_login", port, "authUser", "", LOGIN_FIRST)
    result = run(host, "smtp_policy", rules=[wanted])
    assert result.get("changed"), result
    assert heard(port).startswith("530 5.7.0") and heard(port).endswith("Authentication required")
    assert heard(port, login=True).startswith("250")
    assert not run(host, "smtp_policy", rules=[wanted])["changed"]


def test_a_list_that_refuses_before_in_other_words_is_named(start, run):
    host = start(LISTS["longer"], main=ON)
    (port,) = host.ports
    result = run(host, "smtp_policy", rules=[general("x", port, "authUser", "", LOGIN_FIRST)])
    assert result["failed"] and "refuses with '554 5.7.1 Access denied' before" in result["msg"], result


def test_lists_that_let_others_in_require_no_login(start, run):
    host = start(
        "  -o smtpd_client_restrictions=permit_mynetworks,permit_sasl_authenticated,reject\n",
        "  -o smtpd_client_restrictions=$mua_nothing\n",
        main=ON + "mynetworks = 127.0.0.0/8\n",
    )
    info = run(host, "smtp_info")
    assert not info["policy"]["rules"] and [heard(port)[:3] for port in host.ports] == ["250", "250"]
    assert any("$mua_nothing" in text and "refuses nobody" in text for text in info["notes"]), info["notes"]


def test_refusals_that_do_not_wait_come_when_somebody_can_have_logged_in(start, run):
    host = start("  -o smtpd_sender_restrictions=reject_non_fqdn_sender\n", "", main=ON + "smtpd_delay_reject = no\n")
    busy, free = host.ports
    result = run(host, "smtp_policy", rules=[general("x", busy, "authUser", "", LOGIN_FIRST)])
    assert result["failed"] and "lists of its own" in result["msg"], "a client's list is gone through before the login"
    assert run(host, "smtp_policy", rules=[general("x", free, "authUser", "", LOGIN_FIRST)]).get("changed")
    assert heard(free).startswith("530 5.7.0") and heard(free, login=True).startswith("250")


def test_tls_from_the_first_byte_follows_the_rule_that_tls_is_needed(start, run):
    host = start("  -o smtpd_tls_wrappermode=yes\n", "")
    implicit, other = host.ports
    wanted = general("x", implicit, "isSSLConnection", "no", STARTTLS_FIRST)
    assert run(host, "smtp_policy", rules=[wanted]).get("changed")
    assert not run(host, "smtp_policy", rules=[wanted])["changed"]
    assert heard(other, tls=False).startswith("250"), "the other port is as it was"
    result = run(host, "smtp_rule", name="x", state="absent")
    assert result.get("changed") and "smtpd_tls_security_level" not in host.master_cf.read_text(), result


@pytest.fixture
def without_filter(start, tmp_path):
    """A host whose postconf does not know the parameter, as before Postfix 3.6, with the folder of that program."""

    def make(**options):
        host = start("", **options)
        folder = tmp_path / "commands"
        folder.mkdir()
        for path in host.command_directory.iterdir():
            if path.name != "postconf":
                (folder / path.name).symlink_to(path)
        command = folder / "postconf"
        command.write_text(f"#!/bin/sh\n{host.command_directory}/postconf \"$@\" | grep -v ^smtpd_sasl_mechanism_filter\nexit 0\n")
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
        return host, str(folder)

    return make


def test_before_3_6_the_file_of_the_sasl_server_chooses(without_filter, run):
    host, folder = without_filter(main=ON)
    policy = {"auth_rules": [rule("p", "plain"), rule("t", "tls", "PLAIN")], "command_directory": folder}
    result = run(host, "smtp_policy", **policy)
    assert result.get("changed"), result
    assert offers(host.ports[0], tls=True) == {"PLAIN"} and "mechanism_filter" not in host.main_cf.read_text()
    assert not run(host, "smtp_policy", **policy)["changed"]


def test_before_3_6_nothing_chooses_where_that_file_is_elsewhere(without_filter, run):
    host, folder = without_filter(main=ON + "smtpd_sasl_path = elsewhere\n")
    result = run(host, "smtp_policy", auth_rules=[rule("p", "plain"), rule("t", "tls", "PLAIN")], command_directory=folder)
    assert result["failed"] and "came with 3.6" in result["msg"], result
