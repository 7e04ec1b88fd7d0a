# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Domains whose mail a Postfix takes over TLS only: seen on the wire, beside lists and tables of others."""

from __future__ import annotations

import random
import re
import smtplib
import ssl

import pytest

OURS = "check_recipient_access pipemap:{regexp:${config_directory}/securemail/recipient_domain, %s:${config_directory}/securemail/inbound}"
REPLY = "5.7.1 Session encryption is required"
OF_ONE = REPLY + ". Accepting only secure delivery (STARTTLS) for %s"
DEFAULT = OF_ONE % "this domain"


@pytest.fixture
def port(free_port):
    return free_port()


@pytest.fixture
def host(make_host, port, lab):
    """An instance with one listener, and domains of which a test forces some."""
    host = make_host(
        f"127.0.0.1:{port} inet n - n - - smtpd\n",
        domains=["forced.test", "sub.forced.test", "deep.sub.forced.test", "free.test", "notforced.test"],
        main=f"smtpd_tls_chain_files = {lab.rsa}\n",
    )
    host.start()
    host.wait_listening("127.0.0.1", port)
    return host


class Session(smtplib.SMTP):
    """A conversation at the recipients of one message."""

    def __init__(self, port: int, tls: bool = False, utf8: bool = False) -> None:
        super().__init__("127.0.0.1", port, timeout=20)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.starttls(context=context)
        self.ehlo("client.test")
        assert self.docmd("MAIL FROM:<a@client.test>" + (" SMTPUTF8" if utf8 else ""))[0] == 250

    def to(self, address: str) -> str:
        """The reply to a recipient."""
        self.send(f"RCPT TO:<{address}>\r\n".encode())
        code, text = self.getreply()
        return f"{code} {text.decode()}"


def replies(port: int, *addresses: str, **how: bool) -> list[str]:
    with Session(port, **how) as session:
        return [session.to(address) for address in addresses]


def codes(port: int, *addresses: str, **how: bool) -> list[str]:
    return [reply[:3] for reply in replies(port, *addresses, **how)]


def force(run, host, *domains, check=False, **options):
    result = run(host, "smtp_forced_tls_domain", check, domains=list(domains), **options)
    assert not result.get("failed"), result
    return result


def anew(host, port: int) -> None:
    """With its files as they are now: a reload takes effect some time later."""
    host.stop()
    host.start()
    host.wait_listening("127.0.0.1", port)


def files(host) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in host.config_directory.rglob("*") if path.is_file() and "maps" not in path.name}


# --- on the wire ----------------------------------------------------------------------------------


def test_one_recipient_is_refused_and_no_other(host, run, port):
    text = "TLS is required for forced.test, it costs $0 and ${recipient}, see https://mail.forced.test/tls"
    assert force(run, host, "forced.test", reject_message=text)["changed"]
    seen = replies(port, "a@forced.test", "b@free.test", "c@FORCED.test", "d@sub.forced.test", "e@forced.test.", "f@notforced.test", "@x.test:g@forced.test")
    refused = f"523 {REPLY}. {text}"
    assert seen[0] == refused
    assert [reply[:3] for reply in seen] == ["523", "250", "523", "250", "523", "250", "523"]
    assert codes(port, "a@forced.test", "b@free.test", tls=True) == ["250", "250"]
    assert not force(run, host, "forced.test", reject_message=text)["changed"]


def test_check_mode_says_it_and_writes_nothing(host, run, port):
    before = files(host)
    told = force(run, host, "forced.test", check=True)
    assert told["changed"] and "127.0.0.1:%d" % port in str(told), told
    assert files(host) == before
    assert codes(port, "a@forced.test") == ["250"]


def test_the_most_special_rule_decides_whatever_the_habit_of_the_host(host, run, port):
    force(run, host, {"domain": ".forced.test"}, {"domain": "deep.sub.forced.test", "level": "may", "reason": "old partner", "until": "2099-01-01"})
    names = ["forced.test", "sub.forced.test", "deep.sub.forced.test", "notforced.test"]
    assert codes(port, *(f"a@{name}" for name in names)) == ["250", "523", "250", "250"]
    host.run("postconf", "-c", str(host.config_directory), "-e", "parent_domain_matches_subdomains = ")
    anew(host, port)
    assert codes(port, *(f"a@{name}" for name in names)) == ["250", "523", "250", "250"]


def test_the_last_domain_takes_everything_with_it(host, run, port):
    before = files(host)
    force(run, host, "forced.test")
    force(run, host, "free.test", reject_message=None)
    assert replies(port, "a@forced.test", "a@free.test") == [f"523 {DEFAULT}"] * 2
    force(run, host, "forced.test", state="absent")
    assert codes(port, "a@forced.test", "a@free.test") == ["250", "523"]
    force(run, host, "free.test", state="absent")
    assert codes(port, "a@forced.test", "a@free.test") == ["250", "250"]
    assert files(host) == before


def test_a_code_that_somebody_set_comes_back(host, run, port):
    host.run("postconf", "-c", str(host.config_directory), "-e", "plaintext_reject_code = 554")
    before = files(host)
    force(run, host, "forced.test", reject_message="530 5.7.1 Say STARTTLS first")
    assert replies(port, "a@forced.test") == [f"530 {REPLY}. Say STARTTLS first"]
    assert not force(run, host, "forced.test", reject_message="530 5.7.1 Say STARTTLS first")["changed"]
    assert force(run, host, "forced.test", reject_message="523 5.7.1 Say it")["changed"]
    assert not force(run, host, "forced.test", reject_message="523 5.7.1 Say it")["changed"]
    force(run, host, "forced.test", state="absent")
    assert files(host) == before


@pytest.mark.parametrize("entries, words", [
    ([{"domain": "forced.test", "reject_message": "one"}, {"domain": "free.test", "reject_message": "two"}], "one explanation"),
    ([{"domain": "forced.test", "reject_message": "523 5.7.10 Encryption needed"}], "no other enhanced status code"),
    ([{"domain": "*"}], "every domain"),
    ([{"domain": "stra\u00dfe.test"}, {"domain": "strasse.test"}], "in letters they are one"),
])
def test_what_one_table_cannot_say_is_refused(host, run, entries, words):
    before = files(host)
    result = run(host, "smtp_forced_tls_domain", domains=entries)
    assert result.get("failed") and words in result["msg"], result
    assert files(host) == before


def test_letters(make_host, run, free_port):
    port = free_port()
    names = ["m\u00fcller.test", "xn--mller-kva.test", "stra\u00dfe.test", "xn--strae-oqa.test", "a.m\u00fcller.test"]
    host = make_host(f"127.0.0.1:{port} inet n - n - - smtpd\n", domains=names)
    host.start()
    host.wait_listening("127.0.0.1", port)
    force(run, host, "M\u00dcLLER.test", "stra\u00dfe.test", ".m\u00fcller.test")
    assert not force(run, host, "m\u00fcller.test", "xn--strae-oqa.test")["changed"]
    addresses = [f"a@{name}" for name in (*names, "M\u00dcLLER.test", "STRA\u00dfE.test")]
    assert codes(port, *addresses, utf8=True) == ["523"] * 7


# --- beside what others have made -----------------------------------------------------------------


def test_lists_of_others_keep_their_order_and_their_effect(make_host, run, free_port, lab):
    port, other, filtered, inside = free_port(), free_port(), free_port(), free_port()
    listed = """\
smtpd_recipient_restrictions =
    permit_mynetworks,
    check_recipient_access hash:${config_directory}/recipient_access,
    # comes last
    reject_unauth_destination
"""
    host = make_host(
        f"127.0.0.1:{port} inet n - n - - smtpd\n"
        f"127.0.0.1:{other} inet n - n - - smtpd\n  -o smtpd_recipient_restrictions=permit_mynetworks,reject -o syslog_name=other\n"
        f"127.0.0.1:{filtered} inet n - n - - smtpd\n  -o content_filter=\n  -o smtpd_recipient_restrictions=permit_mynetworks,reject\n"
        f"127.0.0.1:{inside} inet n - n - - smtpd\n  -o smtpd_tls_security_level=encrypt -o smtpd_recipient_restrictions=\n",
        domains=["example.test", "free.test"],
        main=f"mynetworks = 127.0.0.0/8\n{listed}smtpd_tls_chain_files = {lab.rsa}\n"
        f"smtpd_reject_footer_maps = regexp:${{config_directory}}/footers\n",
    )
    access = host.config_directory / "recipient_access"
    access.write_text("abuse@example.test\tOK\nclosed@example.test\tREJECT no longer in use\nexample.test\tDUNNO\n")
    (host.config_directory / "footers").write_text("/^5/ call us\n")
    host.run("postmap", "-c", str(host.config_directory), f"hash:{access}")
    host.start()
    host.wait_listening("127.0.0.1", port)
    before, texts = files(host), (host.main_cf.read_text(), host.master_cf.read_text())

    result = force(run, host, "example.test")
    told = str(result["warnings"])
    assert "permit_mynetworks" in told and "abuse@example.test" in told and f"127.0.0.1:{filtered} gives back" in told, told
    where = next(line for line in result["actions"] if "example.test" in line) if "actions" in result else str(result)
    assert f"127.0.0.1:{port}, 127.0.0.1:{other}" in where and str(filtered) not in where.partition("(at ")[2].partition(")")[0], where
    for place in (port, other):
        assert replies(place, "a@example.test") == [f"523 {OF_ONE % 'example.test'}"]
    assert codes(filtered, "a@example.test", "b@free.test") == ["250", "250"]
    assert codes(other, "b@free.test") == codes(port, "b@free.test") == codes(port, "a@example.test", tls=True) == ["250"]
    # A table of theirs is asked in clear by nobody who may relay; from elsewhere it says what it said.
    host.run("postconf", "-c", str(host.config_directory), "-e", "mynetworks = 192.0.2.0/24")
    anew(host, port)
    with Session(port, tls=True) as session:
        assert [session.to(f"{name}@example.test")[:3] for name in ("abuse", "closed", "a")] == ["250", "554", "250"]
    host.run("postconf", "-c", str(host.config_directory), "-e", "mynetworks = 127.0.0.0/8")
    assert host.main_cf.read_text().replace(f"    {OURS % 'hash'},\n", "").startswith(texts[0].partition("smtpd_reject_footer")[0])
    assert not force(run, host, "example.test")["changed"]

    force(run, host, "example.test", state="absent")
    assert files(host) == before


def test_names_in_lists_empty_lists_and_a_filter_without_a_list(make_host, run, free_port):
    port, named, empty, given = (free_port() for _port in range(4))
    host = make_host(
        f"127.0.0.1:{port} inet n - n - - smtpd\n"
        f"127.0.0.1:{named}\tinet  n - n - - smtpd\n#  a comment\n  -o {{ smtpd_recipient_restrictions = $usual, reject }}\n"
        f"127.0.0.1:{empty} inet n - n - - smtpd -o smtpd_recipient_restrictions=\n"
        f"127.0.0.1:{given} inet n - n - - smtpd\n  -o smtpd_authorized_xforward_hosts=127.0.0.0/8\n",
        domains=["forced.test", "free.test"],
        main="mynetworks = 127.0.0.0/8\nusual = strangers, permit_mynetworks\nsmtpd_restriction_classes = strangers\n"
        "strangers = ${mynetworks? {reject_non_fqdn_sender} : {reject}}\nsmtpd_recipient_restrictions=$usual\n",
    )
    host.start()
    host.wait_listening("127.0.0.1", port)
    before = files(host)
    force(run, host, "forced.test")
    assert [codes(place, "a@forced.test", "a@free.test") for place in (port, named, empty, given)] == [["523", "250"]] * 3 + [["250", "250"]]
    assert not force(run, host, "forced.test")["changed"]
    force(run, host, "forced.test", state="absent")
    assert files(host) == before


def test_moved_behind_a_permit_it_is_not_in_force_and_comes_back(host, run, port):
    host.run("postconf", "-c", str(host.config_directory), "-e", "mynetworks = 127.0.0.0/8")
    force(run, host, "forced.test")
    text = host.main_cf.read_text()
    line = next(line for line in text.splitlines() if line.startswith("smtpd_recipient_restrictions"))
    item = line.partition("= ")[2]
    for moved, holds in ((f"reject_unknown_recipient_domain, reject_rbl_client bl.test, {item}", True), (f"permit_mynetworks, {item}", False)):
        host.main_cf.write_text(text.replace(item, moved))
        anew(host, port)
        info = run(host, "smtp_info")
        assert bool(info["policy"]["forced_tls_domains"]) == holds
        assert any("something that permits" in note for note in info["notes"]) != holds, info["notes"]
    assert codes(port, "a@forced.test") == ["250"]
    assert force(run, host, "forced.test")["changed"]
    assert codes(port, "a@forced.test") == ["523"]
    assert not force(run, host, "forced.test")["changed"]


def test_what_was_not_in_force_and_is_not_asked_for_is_named(host, run, port):
    force(run, host, "forced.test", "free.test")
    text = host.main_cf.read_text()
    host.main_cf.write_text(text.replace("check_recipient_access pipemap", "permit_mynetworks, check_recipient_access pipemap") + "soft_bounce = yes\n")
    result = force(run, host, "forced.test")
    assert "not in force" in str(result["warnings"]) and "free.test" in str(result["warnings"]), result["warnings"]
    anew(host, port)
    assert codes(port, "a@forced.test", "a@free.test") == ["423", "250"]
    assert any("for now only" in note for note in run(host, "smtp_info")["notes"])


def test_a_code_of_a_listener_and_a_lost_explanation_are_mended(host, run, port):
    force(run, host, "forced.test", "free.test")
    host.run("postconf", "-c", str(host.config_directory), "-P", f"127.0.0.1:{port}/inet/plaintext_reject_code=450")
    anew(host, port)
    assert replies(port, "a@forced.test")[0][:9] == "450 4.7.1"
    assert any("not with the explanation" in note for note in run(host, "smtp_info")["notes"])
    assert force(run, host, "forced.test")["changed"]
    assert replies(port, "a@forced.test", "a@free.test") == [f"523 {DEFAULT}"] * 2
    (host.config_directory / "securemail" / "explanation").unlink()
    anew(host, port)
    assert force(run, host, "free.test")["changed"]
    assert replies(port, "a@forced.test", "a@free.test") == [f"523 {DEFAULT}"] * 2
    assert not force(run, host, "forced.test", "free.test")["changed"]


def test_a_listener_that_comes_has_the_rules(host, run, port, free_port, lab):
    host.run("postconf", "-c", str(host.config_directory), "-P", f"127.0.0.1:{port}/inet/smtpd_recipient_restrictions=permit_mynetworks")
    force(run, host, "forced.test")
    new = free_port()
    result = run(host, "smtp_listener", address=f"127.0.0.1:{new}", tls="starttls", certificate=lab.rsa)
    assert result.get("changed"), result
    host.wait_listening("127.0.0.1", new)
    assert codes(new, "a@forced.test") == ["523"]


def test_behind_postscreen(make_host, run, free_port):
    port = free_port()
    host = make_host(
        f"127.0.0.1:{port} inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd\n  -o smtpd_recipient_restrictions=permit_mynetworks\n"
        "dnsblog unix - - n - 0 dnsblog\ntlsproxy unix - - n - 0 tlsproxy\n",
        domains=["forced.test", "free.test"], main="mynetworks = 127.0.0.0/8\n",
    )
    host.start()
    host.wait_listening("127.0.0.1", port)
    assert "smtpd" in str(force(run, host, "forced.test"))
    assert codes(port, "a@forced.test", "a@free.test") == ["523", "250"]
    assert not force(run, host, "forced.test")["changed"]


def test_what_was_made_by_hand_is_told_and_left(host, run, port):
    table = host.config_directory / "tls_access"
    table.write_text("free.test needs_tls\n")
    host.run("postmap", "-c", str(host.config_directory), f"lmdb:{table}")
    host.run(
        "postconf", "-c", str(host.config_directory), "-e", "smtpd_restriction_classes = needs_tls", "needs_tls = reject_plaintext_session",
        "smtpd_recipient_restrictions = check_recipient_access lmdb:${config_directory}/tls_access",
    )
    anew(host, port)
    notes = run(host, "smtp_info")["notes"]
    assert any("tls_access (free.test)" in note for note in notes), notes
    force(run, host, "forced.test")
    assert codes(port, "a@forced.test", "a@free.test") == ["523", "523"]
    force(run, host, "forced.test", state="absent")
    assert codes(port, "a@forced.test", "a@free.test") == ["250", "450"]
    assert table.read_text() == "free.test needs_tls\n"


def test_who_names_our_table_elsewhere_is_told_before_it_goes(host, run, port):
    force(run, host, "forced.test")
    host.run("postconf", "-c", str(host.config_directory), "-e", f"smtpd_etrn_restrictions = {OURS % 'lmdb'}")
    result = run(host, "smtp_forced_tls_domain", domains=["forced.test"], state="absent")
    assert result.get("failed") and "smtpd_etrn_restrictions names" in result["msg"], result
    assert codes(port, "a@forced.test") == ["523"]


# --- types of tables ------------------------------------------------------------------------------


def own(host) -> set[str]:
    return {path.name for path in (host.config_directory / "securemail").iterdir()}


def test_a_type_that_is_gone_makes_way_once(host, run, port):
    host.run("postconf", "-c", str(host.config_directory), "-e", "alias_maps = cdb:${config_directory}/aliases")
    force(run, host, "forced.test")
    assert "inbound.cdb" in own(host)
    # The package goes, as with an upgrade.
    dynamic = host.config_directory / "dynamicmaps.cf"
    text = dynamic.read_text()
    dynamic.write_text("".join(line + "\n" for line in text.splitlines() if not line.startswith("cdb")))
    notes = run(host, "smtp_info")["notes"]
    assert any("alias_maps has a table of type cdb" in note for note in notes), notes
    assert force(run, host, "forced.test")["changed"]
    assert "inbound.cdb" not in own(host) and "inbound.lmdb" in own(host)
    assert "alias_maps = cdb:${config_directory}/aliases" in host.main_cf.read_text()
    assert codes(port, "a@forced.test", "a@free.test") == ["523", "250"]
    assert not force(run, host, "forced.test")["changed"]
    # It comes back: the tables stay as they are.
    dynamic.write_text(text)
    assert not force(run, host, "forced.test")["changed"]
    assert "inbound.lmdb" in own(host)


def test_without_any_type_that_has_an_index(host, run, port, tmp_path):
    # Debian's Postfix has Berkeley DB built in; this one says that it has no more than some builds have.
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("postmap", "postfix"):
        (programs / name).symlink_to(host.command_directory / name)
    script = programs / "postconf"
    script.write_text(f"""#!/bin/sh
case "$*" in *" -m") {host.command_directory}/postconf "$@" | grep -vxE 'hash|btree|lmdb|cdb';; *) exec {host.command_directory}/postconf "$@";; esac
""")
    script.chmod(0o755)
    options = {"command_directory": str(programs)}
    result = force(run, host, "forced.test", **options)
    assert "texthash" in str(result["warnings"]), result
    assert own(host) == {"inbound", "recipient_domain", "explanation"}
    assert codes(port, "a@forced.test", "a@free.test") == ["523", "250"]
    assert force(run, host, "free.test", **options)["changed"]
    assert codes(port, "a@forced.test", "a@free.test") == ["523", "523"]
    assert not force(run, host, "free.test", **options)["changed"]
    # A type with an index comes with a package: the tables that are there stay until they are written.
    assert not force(run, host, "free.test")["changed"]
    assert force(run, host, "free.test", state="absent")["changed"]
    assert "inbound.lmdb" in own(host)
    assert codes(port, "a@forced.test", "a@free.test") == ["523", "250"]


def keys(host, *addresses: str) -> list[str]:
    """What Postfix's own program finds for each."""
    item = host.postconf("-hx", "smtpd_recipient_restrictions").strip().partition(" ")[2]
    said = host.run("postmap", "-c", str(host.config_directory), "-q", "-", item, text="\n".join(addresses) + "\n", check=False)
    found = dict(line.split("\t") for line in said.splitlines() if "\t" in line)
    return [found.get(address, "") for address in addresses]


def test_by_chance_the_table_says_what_the_rules_say(host, run):
    chance = random.Random(7)
    labels = ["a", "b", "c-d", "xn--mller-kva"]
    names = [".".join(chance.choice(labels) for _label in range(chance.randint(1, 4))) + ".test" for _name in range(60)]
    entries = {}
    for name in names[:40]:
        domain = chance.choice(["", "."]) + name
        entries[domain] = {"domain": domain} if chance.random() < 0.6 else {"domain": domain, "level": "may", "reason": "r", "until": "2099-01-01"}
    force(run, host, *entries.values())

    def meant(name: str) -> str:
        chain = [name]
        while "." in name:
            name = name.partition(".")[2]
            chain.append("." + name)
        rule = next((entries[key] for key in chain if key in entries), None)
        return "" if rule is None else "dunno" if "level" in rule else "reject_plaintext_session"

    assert keys(host, *(f"u@{name}" for name in names)) == [meant(name) for name in names]
    assert "reject_plaintext_session" in map(meant, names) and "" in map(meant, names)


def test_an_index_that_says_something_else_is_what_counts(host, run, port):
    force(run, host, "forced.test", "free.test")
    table = host.config_directory / "securemail" / "inbound"
    text = table.read_text()
    # Edited and never built: everything is in force as it was.
    table.write_text(re.sub(r"free\.test.*\n", "", text))
    assert len(run(host, "smtp_info")["policy"]["forced_tls_domains"]) == 2
    # Built: one is gone.
    host.run("postmap", "-c", str(host.config_directory), f"lmdb:{table}")
    assert [rule["domain"] for rule in run(host, "smtp_info")["policy"]["forced_tls_domains"]] == ["forced.test"]
    assert force(run, host, "free.test")["changed"]
    assert table.read_text() == text
    (host.config_directory / "securemail" / "inbound.lmdb").write_bytes(b"broken")
    assert run(host, "smtp_info")["policy"]["forced_tls_domains"] == []
    assert force(run, host, "forced.test", "free.test")["changed"]
    assert codes(port, "a@forced.test", "a@free.test") == ["523", "523"]
