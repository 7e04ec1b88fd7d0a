# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configurations as they are found on hosts: each converges, and what is somebody else's keeps its bytes."""

from __future__ import annotations

import smtplib
import ssl
from pathlib import Path

import pytest

FOUND = Path(__file__).with_name("found")
MODERN = ["TLSv1.2", "TLSv1.3"]


def text(name: str, **ports: int) -> str:
    """A file as it was found, on ports that an instance of a test can have."""
    found = (FOUND / name).read_bytes().decode()
    for word, port in ports.items():
        found = found.replace(word.upper(), str(port))
    return found


def unchanged(before: str, after: str, *owned: str) -> None:
    """All lines but those that name an owned parameter are there, in their order, byte for byte."""
    kept = iter(after.splitlines())
    for line in before.splitlines():
        if not any(name in line for name in owned):
            assert line in kept, f"{line!r} is lost or moved"


def said(result) -> str:
    return " ".join(str(part) for part in (result.get("msg", ""), *result.get("notes", ()), result.output))


# --- main.cf is not lines of "name = value" -------------------------------------------------------


@pytest.fixture
def odd(make_host, free_port):
    port = free_port()
    return make_host(f"127.0.0.1:{port} inet n - n - - smtpd\n", main=text("odd-main.cf"), template="")


def test_lines_that_mean_something_else_are_told_with_their_numbers(odd, run):
    notes = run(odd, "smtp_info")["notes"]
    lines = odd.main_cf.read_text().splitlines()
    number = {word: next(place for place, line in enumerate(lines, 1) if word in line) for word in ("never in clear", "level=may", "smtpd_banner")}
    assert any(f"line {number['never in clear']}: what stands behind a value belongs to it: smtpd_tls_auth_only" in note for note in notes)
    assert any(f"line {number['level=may']}: what stands behind a value belongs to it: smtp_tls_security_level = may encrypt" in note for note in notes)
    assert any(f"line {number['smtpd_banner']}: an indented line goes on with the value above" in note for note in notes)
    assert any("smtpd_tls_security_level more than once" in note for note in notes)
    assert any("smtpd_tls_protocols = !SSLv2, !SSLv3 is an old list: it lets TLSv1 and TLSv1.1 in" in note for note in notes)


def test_a_setting_that_another_one_swallowed_is_not_deleted(odd, run, lab):
    before = odd.main_cf.read_bytes()
    port = int(odd.master_cf.read_text().partition("127.0.0.1:")[2].split()[0])
    result = run(odd, "smtp_listener", address=f"127.0.0.1:{port}", tls="starttls", certificate=lab.rsa)
    assert result["failed"] and "smtpd_banner" in result["msg"] and "smtpd_tls_security_level" in result["msg"]
    assert odd.main_cf.read_bytes() == before


def test_a_file_without_a_last_line_end_loses_nothing(odd, run, lab):
    # Somebody put the swallowed line right.
    odd.main_cf.write_text(odd.main_cf.read_text().replace("  smtpd_banner", "smtpd_banner"))
    before = odd.main_cf.read_text()
    options = {"starttls_inbound": True, "versions": MODERN, "certificate": lab.rsa}
    assert run(odd, "smtp_tls", check=True, **options).get("changed") and odd.main_cf.read_text() == before
    first = run(odd, "smtp_tls", **options)
    after = odd.main_cf.read_text()
    assert first.get("changed") and first["listeners"][0]["versions"] == MODERN, first
    unchanged(before, after, "smtpd_tls_protocols", "smtpd_tls_chain_files")
    assert "##### end of file, add your settings below\n" in after
    assert odd.postconf("-h", "smtpd_tls_protocols", "smtpd_tls_mandatory_protocols").split() == [">=TLSv1.2", ">=TLSv1.2"]
    assert odd.postconf("-h", "smtpd_client_restrictions").strip() == "permit_mynetworks, reject_unauth_pipelining, permit"
    assert not run(odd, "smtp_tls", **options)["changed"]


# --- one port under several names -----------------------------------------------------------------


@pytest.fixture
def named(make_host):
    """Not started: these are the ports of the machine."""
    return make_host(text("named-ports-master.cf"), main="inet_interfaces = all\ninet_protocols = all\n")


def test_three_spellings_are_one_port(named, run):
    listeners = {one["address"]: one for one in run(named, "smtp_info")["policy"]["listeners"]}
    assert listeners["0.0.0.0:465"]["tls"] == listeners["[::]:465"]["tls"] == "implicit"
    assert set(listeners) == {
        "0.0.0.0:25", "[::]:25", "0.0.0.0:465", "[::]:465", "192.0.2.10:587", "[2001:db8::25]:25", "127.0.0.1:10025",
    }


@pytest.mark.parametrize("spelling", ["smtps", "submissions", "465", ":465"])
def test_an_entry_is_taken_over_and_no_second_one_made(named, run, lab, spelling):
    named.master_cf.write_text(named.master_cf.read_text().replace("smtps     inet", f"{spelling:9} inet"))
    before = named.master_cf.read_text()
    options = {"address": "0.0.0.0:465", "tls": "implicit", "versions": MODERN, "certificate": lab.rsa}
    first = run(named, "smtp_listener", **options)
    assert first.get("changed") and first["listener"]["tls"] == "implicit", first
    assert "[::]:465" in said(first), "the entry is the other family's, too"
    after = named.master_cf.read_text()
    unchanged(before, after)
    assert after.count(f"{spelling} ") == before.count(f"{spelling} ") and "0.0.0.0:465" not in after
    assert not run(named, "smtp_listener", **options)["changed"]


def test_two_entries_for_one_port_stop_the_run_with_both_lines(make_host, run, lab):
    host = make_host(text("double-port-master.cf"), main="inet_interfaces = all\n")
    before = host.master_cf.read_bytes()
    first, second = (
        number for number, line in enumerate(host.master_cf.read_text().splitlines(), 1) if line.startswith(("smtps", "465"))
    )
    result = run(host, "smtp_listener", address="0.0.0.0:465", tls="implicit", certificate=lab.rsa)
    assert result["failed"] and f"line {first}" in result["msg"] and f"line {second}" in result["msg"], result
    assert host.master_cf.read_bytes() == before


def test_one_family_of_an_entry_cannot_go_alone(named, run):
    result = run(named, "smtp_listener", address="0.0.0.0:465", state="absent")
    assert result["failed"] and "[::]:465" in result["msg"]


# --- the service line is a comment, its options are not --------------------------------------------


@pytest.fixture
def stray(make_host, free_port):
    """The ports of the machine are not a test's: the entry has one of its own."""
    port = free_port()
    host = make_host(text("stray-options-master.cf").replace("smtp      inet", f"127.0.0.1:{port} inet"))
    host.public = port
    return host


def test_stray_options_are_told_as_what_they_do(stray, run):
    info = run(stray, "smtp_info")
    (rule,) = [rule for rule in info["policy"]["rules"] if rule["name"] == f"submission_{stray.public}_needs_tls"]
    assert rule["event"] == "mail"
    (note,) = [note for note in info["notes"] if "is a comment, and the options below it are none" in note]
    assert f"127.0.0.1:{stray.public}" in note and "smtpd_tls_security_level=encrypt" in note


def test_a_new_listener_leaves_stray_options_where_they_are_and_says_so(stray, run, lab, free_port):
    before = stray.master_cf.read_text()
    address = f"127.0.0.1:{free_port()}"
    first = run(stray, "smtp_listener", address=address, tls="starttls", certificate=lab.rsa)
    assert first.get("changed"), first
    unchanged(before, stray.master_cf.read_text())
    assert stray.master_cf.read_text().count(f"\n{address} ") == 1
    assert "belong to the service" in said(first)
    assert not run(stray, "smtp_listener", address=address, tls="starttls", certificate=lab.rsa)["changed"]


# --- smtp_tls_policy_maps is in use already ----------------------------------------------------------


@pytest.fixture
def mapped(make_host):
    host = make_host(main=text("policy-maps-main.cf"), template="")
    for name in ("tls_policy", "transport"):
        (host.config_directory / name).write_text(text(f"policy-maps-{name}"))
        host.run("postmap", "-c", str(host.config_directory), f"hash:{host.config_directory}/{name}")
    return host


def answer(host, key: str) -> str:
    """What Postfix does for a next hop: the first table with an answer decides."""
    value = host.postconf("-xh", "smtp_tls_policy_maps").strip()
    for table in [word.strip(" ,") for word in value.replace("inline:{ {", "inline:{{").split(", ") if not word.startswith("socketmap")]:
        found = host.run("postmap", "-c", str(host.config_directory), "-q", key, table.replace("{{", "{ {"), check=False).strip()
        if found and "fatal" not in found:
            return found
    return ""


def test_nothing_that_is_stricter_or_cannot_be_compared_is_lowered(mapped, run):
    before = {path.name: path.read_bytes() for path in mapped.config_directory.iterdir() if path.is_file()}
    result = run(
        mapped, "smtp_forced_tls_domain", direction="outbound", level="encrypt", versions=MODERN,
        domains=["partner.test", "dane.test", "relay.example.test"],
    )
    # The socket may say what it likes about dane.test, and the level of all mail is dane.
    assert result["failed"] and "dane_test" in result["msg"] and "socketmap" in result["msg"], result
    assert {path.name: path.read_bytes() for path in mapped.config_directory.iterdir() if path.is_file()} == before


def test_the_strictest_of_what_is_there_and_what_is_asked_holds(mapped, run):
    before = mapped.main_cf.read_text()
    policy = (mapped.config_directory / "tls_policy").read_bytes()
    options = {"direction": "outbound", "level": "encrypt", "versions": MODERN, "domains": ["partner.test", "relay.example.test"]}
    first = run(mapped, "smtp_forced_tls_domain", **options)
    assert first.get("changed"), first
    assert (mapped.config_directory / "tls_policy").read_bytes() == policy
    unchanged(before, mapped.main_cf.read_text(), "smtp_tls_policy_maps")
    assert "hash:${config_directory}/tls_policy," in mapped.main_cf.read_text(), "expansions stay as written"
    assert answer(mapped, "partner.test").startswith("secure match=mx.partner.test:.hosting.test")
    relay = answer(mapped, "[relay.example.test]:587").split()
    assert relay[:2] == ["secure", "match=relay.example.test"] and "protocols=>=TLSv1.2" in relay
    assert not run(mapped, "smtp_forced_tls_domain", **options)["changed"]


# --- inbound tables, habits and temporary refusals -----------------------------------------------------


@pytest.fixture
def guarded(make_host, free_port):
    port = free_port()
    host = make_host(
        f"127.0.0.1:{port} inet n - n - - smtpd\n", template="",
        # What it takes is handed on, so that mail for these domains comes in and goes out.
        main=text("recipient-access-main.cf") + "relay_domains = example.test, sub.example.test, other.test\n",
    )
    host.port = port
    (host.config_directory / "recipient_access").write_text(text("recipient-access"))
    (host.config_directory / "senders").write_text("/^spam@/ REJECT\n")
    host.run("postmap", "-c", str(host.config_directory), f"hash:{host.config_directory}/recipient_access")
    return host


def rcpt(host, *recipients: str, tls: bool = False) -> list[tuple[int, str]]:
    """What is said to these recipients of one message."""
    with smtplib.SMTP("127.0.0.1", host.port, timeout=20) as client:
        client.ehlo("client.example")
        if tls:
            client.starttls(context=ssl._create_unverified_context())
            client.ehlo("client.example")
        assert client.mail("a@elsewhere.example")[0] == 250
        return [(code, words.decode()) for code, words in (client.rcpt(one) for one in recipients)]


def test_a_domain_is_itself_and_its_recipients_hear_why(guarded, run, lab):
    guarded.main_cf.write_text(guarded.main_cf.read_text() + f"smtpd_tls_chain_files = {lab.rsa}\n")
    guarded.start()
    before = guarded.main_cf.read_text()
    message = "TLS is required for example.test, see https://mail.example.test/tls"
    options = {"domains": ["example.test"], "direction": "both", "reject_message": message}
    first = run(guarded, "smtp_forced_tls_domain", **options)
    assert first.get("changed"), first
    assert f"127.0.0.1:{guarded.port}" in " ".join(first["actions"]), "where the rule is active"
    unchanged(before, guarded.main_cf.read_text())
    recipients = ("u@example.test", "abuse@example.test", "closed@example.test", "u@sub.example.test", "u@other.test")
    clear = rcpt(guarded, *recipients)
    assert [code for code, _words in clear] == [523, 523, 523, 250, 250]
    assert clear[0][1].startswith("5.7.1 ") and clear[0][1].endswith(message)
    inside = rcpt(guarded, *recipients, tls=True)
    # The list made by hand is where it was: behind a permit for this client.
    assert [code for code, _words in inside] == [250] * 5
    # One rule for subdomains in both directions.
    assert answer(guarded, "example.test").startswith("encrypt") and not answer(guarded, "sub.example.test")
    assert not run(guarded, "smtp_forced_tls_domain", **options)["changed"]


def test_versions_of_a_listener_are_those_of_both_halves(guarded, run, lab):
    run(guarded, "smtp_listener", address=f"127.0.0.1:{guarded.port}", versions=MODERN, certificate=lab.rsa)
    assert guarded.postconf("-h", "smtpd_tls_protocols", "smtpd_tls_mandatory_protocols").split() == [">=TLSv1.2", ">=TLSv1.2"]


# --- types of tables -----------------------------------------------------------------------------------


def with_types(host, *gone: str) -> None:
    """Tables of these types are not to be had: their packages are not there."""
    path = host.config_directory / "dynamicmaps.cf"
    path.write_text("".join(line + "\n" for line in path.read_text().splitlines() if line.split()[0] not in gone))


def kind(host) -> str:
    return host.postconf("-h", "smtpd_recipient_restrictions").partition("/recipient_domain, ")[2].partition(":")[0]


@pytest.mark.parametrize("main, gone, wanted", [
    ("", (), "lmdb"),
    ("default_database_type = cdb\n", ("lmdb",), "cdb"),
    ("default_database_type = lmdb\n", ("lmdb", "cdb"), "texthash"),
    ("virtual_alias_maps = hash:${config_directory}/aliases\n", (), "hash"),
])
def test_a_type_of_tables_is_one_that_this_host_can_open(make_host, run, main, gone, wanted):
    host = make_host(main=main, domains=["a.test"])
    (host.config_directory / "aliases").write_text("")
    with_types(host, *gone)
    first = run(host, "smtp_forced_tls_domain", domains=["a.test", "b.test"])
    assert first.get("changed") and kind(host) == wanted, first
    table = f"{wanted}:{host.config_directory}/securemail/inbound"
    assert host.run("postmap", "-c", str(host.config_directory), "-q", "a.test", table).strip() == "reject_plaintext_session"
    assert ("texthash" in said(first)) == (wanted == "texthash")
    assert not run(host, "smtp_forced_tls_domain", domains=["a.test", "b.test"])["changed"]


def test_another_type_after_an_upgrade_converges_once_and_leaves_nothing_stale(make_host, run):
    host = make_host(domains=["a.test"])
    folder = host.config_directory / "securemail"
    run(host, "smtp_forced_tls_domain", domains=["a.test"])
    assert (folder / "inbound.lmdb").exists()
    with_types(host, "lmdb")
    assert not run(host, "smtp_info")["policy"]["forced_tls_domains"], "what cannot be opened is not in force"
    again = run(host, "smtp_forced_tls_domain", domains=["a.test"])
    assert again["changed"] and kind(host) == "hash", again
    assert (folder / "inbound.db").exists() and not (folder / "inbound.lmdb").exists()
    assert not run(host, "smtp_forced_tls_domain", domains=["a.test"])["changed"]


def test_tables_of_others_that_cannot_be_opened_are_told_and_left(make_host, run):
    host = make_host(main="virtual_alias_maps = lmdb:${config_directory}/aliases\n", domains=["a.test"])
    with_types(host, "lmdb")
    first = run(host, "smtp_forced_tls_domain", domains=["a.test"])
    assert first.get("changed") and "virtual_alias_maps has a table of type lmdb" in said(first)
    assert "virtual_alias_maps = lmdb:${config_directory}/aliases\n" in host.main_cf.read_text()
