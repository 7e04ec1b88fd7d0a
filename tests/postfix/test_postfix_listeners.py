# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each setting of a listener on a Postfix, seen by who connects to it."""

from __future__ import annotations

import socket
import ssl

import pytest

DHE = "DHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"


@pytest.fixture
def pair(make_host, free_port):
    """Two listeners that offer STARTTLS, running."""
    ports = [free_port(), free_port()]
    host = make_host("".join(f"127.0.0.1:{port} inet n - n - - smtpd\n  -o syslog_name=p{port}\n" for port in ports))
    host.start()
    host.ports = ports
    host.addresses = [f"127.0.0.1:{port}" for port in ports]
    return host


def reply(stream) -> str:
    lines = []
    while not lines or lines[-1][3:4] == b"-":
        lines.append(stream.readline())
    return b"".join(lines).decode()


def secured(port: int, implicit: bool = False, **wanted) -> ssl.SSLSocket | str:
    """A connection inside TLS, or what was said instead. ``wanted``: version, ciphers."""
    context = ssl._create_unverified_context()
    context.set_ciphers(wanted.get("ciphers", "ALL") + ":@SECLEVEL=0")
    version = wanted.get("version")
    context.minimum_version = version or ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = version or ssl.TLSVersion.MAXIMUM_SUPPORTED
    plain = socket.create_connection(("127.0.0.1", port), 20)
    try:
        if not implicit:
            stream = plain.makefile("rb")
            reply(stream)
            plain.sendall(b"EHLO x\r\n")
            if "STARTTLS" not in reply(stream):
                plain.close()
                return "not offered"
            plain.sendall(b"STARTTLS\r\n")
            said = reply(stream)
            if not said.startswith("220"):
                plain.close()
                return said
        return context.wrap_socket(plain)
    except OSError as error:
        plain.close()
        return str(error)


def speaks(port: int, **wanted) -> bool:
    found = secured(port, **wanted)
    if isinstance(found, str):
        return False
    found.close()
    return True


V = ssl.TLSVersion


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_versions_ciphers_and_their_order(pair, run, lab):
    first, second = pair.ports
    options = {"address": pair.addresses[0], "tls": "starttls", "certificate": lab.rsa, "versions": ["TLSv1.1", "TLSv1.2"],
               "ciphers": DHE, "prefer_server_ciphers": True, "dh_params": lab.dh_params}
    result = run(pair, "smtp_listener", **options)
    assert result.get("changed"), result
    assert [speaks(first, version=version) for version in (V.TLSv1, V.TLSv1_1, V.TLSv1_2, V.TLSv1_3)] == [False, False, True, False]
    # The list has no suite that TLS 1.1 knows.
    with secured(first, version=V.TLSv1_2, ciphers="ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256") as found:
        assert found.cipher()[0] == "DHE-RSA-AES128-GCM-SHA256", "the server's order"
    assert not speaks(first, version=V.TLSv1_2, ciphers="ECDHE-RSA-AES256-GCM-SHA384")
    # The other listener has no certificate of its own and stays as it was.
    assert run(pair, "smtp_info")["policy"]["listeners"][1 if first < second else 0]["versions"][0] == "TLSv1"
    again = run(pair, "smtp_listener", **options)
    assert not again["changed"], again


def test_a_setting_that_all_agree_on_is_in_main_cf_and_one_of_them_alone_at_the_service(pair, run, lab):
    assert run(pair, "smtp_tls", versions=["TLSv1.2", "TLSv1.3"], certificate=lab.rsa).get("changed")
    assert "smtpd_tls_protocols = >=TLSv1.2\n" in pair.main_cf.read_text()
    assert "protocols" not in pair.master_cf.read_text()
    assert run(pair, "smtp_listener", address=pair.addresses[1], versions=["TLSv1.3"]).get("changed")
    assert pair.postconf("-h", "smtpd_tls_protocols").strip() == ">=TLSv1.2"
    assert pair.master_cf.read_text().count("smtpd_tls_protocols=>=TLSv1.3") == 1
    assert speaks(pair.ports[0], version=V.TLSv1_2) and not speaks(pair.ports[1], version=V.TLSv1_2)
    # Back to what all have: nothing is left at the service.
    assert run(pair, "smtp_tls", versions=["TLSv1.2", "TLSv1.3"]).get("changed")
    assert "protocols" not in pair.master_cf.read_text()


@pytest.mark.parametrize("spelling", ["!SSLv2, !SSLv3, !TLSv1, !TLSv1.1", "TLSv1.2 TLSv1.3", ">=TLSv1.2", "!SSLv2,!SSLv3,!TLSv1,!TLSv1.1"])
def test_another_spelling_of_the_same_is_left_alone(pair, run, lab, spelling):
    for name in ("smtpd_tls_protocols", "smtpd_tls_mandatory_protocols"):
        pair.main_cf.write_text(f"{pair.main_cf.read_text()}{name} = {spelling}\n")
    run(pair, "smtp_tls", certificate=lab.rsa)
    before = pair.main_cf.read_bytes()
    assert not run(pair, "smtp_tls", versions=["TLSv1.2", "TLSv1.3"])["changed"]
    assert pair.main_cf.read_bytes() == before


def test_modes_and_the_way_between_them(pair, run, lab):
    first = pair.ports[0]
    for tls, works in (("implicit", (True, False)), ("starttls", (False, True)), ("none", (False, False))):
        result = run(pair, "smtp_listener", address=pair.addresses[0], tls=tls, certificate=None if tls == "none" else lab.rsa)
        assert result.get("changed") and result["listener"]["tls"] == tls, result
        assert (speaks(first, implicit=True), speaks(first)) == works
    assert f"  -o syslog_name=p{first}\n" in pair.master_cf.read_text()


def test_limits_and_a_client_certificate_are_asked_for(pair, run, lab):
    limits = {"idle_timeout": 77, "max_connections": 30, "peer_max_connections": 3, "peer_max_interval_connections": 900, "peer_interval": 60}
    result = run(pair, "smtp_listener", address=pair.addresses[0], request_client_certificate=True, certificate=lab.rsa, tls="starttls", **limits)
    assert result.get("changed"), result
    assert {name: result["listener"][name] for name in limits} == limits
    assert pair.master_cf.read_text().partition(pair.addresses[0])[2].split()[:7] == ["inet", "n", "-", "n", "-", "30", "smtpd"]
    held = [socket.create_connection(("127.0.0.1", pair.ports[0]), 20) for unused in range(3)]
    assert all(one.recv(3) == b"220" for one in held)
    with socket.create_connection(("127.0.0.1", pair.ports[0]), 20) as fourth:
        assert fourth.recv(3) == b"421"
    for one in held:
        one.close()


@pytest.mark.parametrize("option, value, words", [
    ("max_interval_connections", 5, "peer_max_interval_connections"),
    ("idle_timeout", 0, "always has one"),
    ("denied_networks", ["192.0.2.0/24"], "smtpd_client_restrictions"),
])
def test_what_there_is_no_word_for_is_refused_by_its_name(pair, run, option, value, words):
    before = pair.master_cf.read_bytes(), pair.main_cf.read_bytes()
    result = run(pair, "smtp_listener", address=pair.addresses[0], **{option: value})
    assert result["failed"] and option in result["msg"] and words in result["msg"], result
    assert (pair.master_cf.read_bytes(), pair.main_cf.read_bytes()) == before


def test_a_listener_comes_is_switched_off_and_on_and_goes(pair, run, lab, free_port):
    port = free_port()
    address = f"127.0.0.1:{port}"
    before = pair.master_cf.read_text()
    assert run(pair, "smtp_listener", address=address, tls="implicit", certificate=lab.rsa).get("changed")
    assert speaks(port, implicit=True)
    there = pair.master_cf.read_text()
    assert run(pair, "smtp_listener", address=address, enabled=False).get("changed")
    assert not run(pair, "smtp_listener", address=address, enabled=False)["changed"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 20)
    assert not run(pair, "smtp_info")["policy"]["listeners"][sorted([*pair.ports, port]).index(port)]["enabled"]
    assert run(pair, "smtp_listener", address=address, enabled=True).get("changed")
    assert pair.master_cf.read_text() == there and speaks(port, implicit=True)
    assert run(pair, "smtp_listener", address=address, state="absent").get("changed")
    assert pair.master_cf.read_text() == before


def test_a_port_that_somebody_has_is_refused_before_anything_is_written(pair, run, lab):
    before = pair.master_cf.read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for check in (True, False):
            result = run(pair, "smtp_listener", address=f"127.0.0.1:{port}", tls="implicit", certificate=lab.rsa, check=check)
            assert result["failed"] and "could not listen there" in result["msg"], result
    assert pair.master_cf.read_bytes() == before and not isinstance(secured(pair.ports[0]), ssl.SSLSocket)
    result = run(pair, "smtp_listener", address="192.0.2.77:2525", tls="none")
    assert result["failed"] and "could not listen there" in result["msg"], "an address of another host"


def test_certificates_that_postfix_could_not_use_are_refused(pair, run, lab, tmp_path):
    key, mark, rest = open(lab.rsa).read().partition("-----BEGIN CERTIFICATE-----")
    wrong = tmp_path / "wrong.pem"
    wrong.write_text(mark + rest + key)
    for path, words in ((str(wrong), "before the certificates"), (lab.mismatched(), "key"), ("/nowhere.pem", "no such file")):
        result = run(pair, "smtp_listener", address=pair.addresses[0], tls="starttls", certificate=path)
        assert result["failed"] and words in result["msg"], result


def test_dh_parameters_without_a_suite_for_them_are_not_written(pair, run, lab):
    result = run(pair, "smtp_listener", address=pair.addresses[0], tls="starttls", certificate=lab.rsa, ciphers="ECDHE+AESGCM", dh_params=lab.dh_params)
    assert result.get("changed") and result["listener"]["dh_params"] == "", result
    assert "dh_params was not set" in result.output


def test_starttls_of_the_whole_server_goes_and_comes(pair, run, lab):
    run(pair, "smtp_tls", certificate=lab.rsa)
    assert all(speaks(port) for port in pair.ports)
    for on in (False, True):
        result = run(pair, "smtp_tls", starttls_inbound=on)
        assert result.get("changed") and result["starttls"]["inbound"] is on, result
        assert [speaks(port) for port in pair.ports] == [on, on]
        assert not run(pair, "smtp_tls", starttls_inbound=on)["changed"]


def test_a_backup_brings_all_of_it_back(pair, run, lab):
    run(pair, "smtp_tls", certificate=lab.rsa)
    before = {name: (pair.config_directory / name).read_bytes() for name in ("main.cf", "master.cf")}
    first = run(pair, "smtp_tls", versions=["TLSv1.3"])
    run(pair, "smtp_forced_tls_domain", domains=["a.test"])
    assert (pair.config_directory / "securemail" / "inbound").exists()
    result = run(pair, "smtp_restore", src=first["backup_file"])
    assert result.get("changed"), result
    assert {name: (pair.config_directory / name).read_bytes() for name in before} == before
    assert not (pair.config_directory / "securemail" / "inbound").exists()
    assert not run(pair, "smtp_restore", src=first["backup_file"])["changed"]


def test_an_old_switch_that_contradicts_is_refused_with_its_line(pair, run, lab):
    text = pair.main_cf.read_text().replace("smtpd_tls_security_level=may\n", "smtpd_use_tls = no\n")
    pair.main_cf.write_text(text)
    number = text.splitlines().index("smtpd_use_tls = no") + 1
    assert any("smtpd_use_tls" in note and f"line {number}" in note for note in run(pair, "smtp_info")["notes"])
    result = run(pair, "smtp_tls", starttls_inbound=True, certificate=lab.rsa)
    assert result["failed"] and f"main.cf line {number}: smtpd_use_tls = no contradicts smtpd_tls_security_level = may" in result["msg"], result
    assert pair.main_cf.read_text() == text


def test_a_host_that_a_panel_writes_is_refused_unless_somebody_says_so(pair, run, lab):
    pair.main_cf.write_text(pair.main_cf.read_text() + "virtual_transport = plesk_virtual\nsmtpd_sasl_path = /private/plesk_saslauthd\n")
    result = run(pair, "smtp_tls", certificate=lab.rsa)
    assert result["failed"] and "Plesk" in result["msg"] and "allow_generated" in result["msg"], result
    assert run(pair, "smtp_tls", certificate=lab.rsa, allow_generated=True).get("changed")


def test_no_accounts_and_no_names_to_learn(pair, run):
    result = run(pair, "smtp_account", domain="a.test", postmaster_password="pass word")
    assert result["failed"] and "SASL server" in result["msg"], result
    result = run(pair, "smtp_dialect", sample_domain="a.test", sample_mechanisms=["PLAIN"], sample_versions=["TLSv1.2"])
    assert result["failed"] and "policy script" in result["msg"], result


# --- entries that are more than one listener, or less ----------------------------------------------


@pytest.fixture
def double(make_host, free_port, lab):
    """A bare port in both families, running: one entry, two listeners."""
    port = free_port()
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"this host has no ::1: {error}")
    host = make_host(f"{port} inet n - n - - smtpd\n", main=f"inet_interfaces = loopback-only\ninet_protocols = all\nsmtpd_tls_chain_files = {lab.rsa}\n")
    host.start()
    host.port = port
    host.addresses = [f"127.0.0.1:{port}", f"[::1]:{port}"]
    return host


def test_an_entry_of_two_listeners_is_switched_as_a_whole(double, run):
    there = double.master_cf.read_text()
    for enabled in (False, True):
        result = run(double, "smtp_listener", address=double.addresses[1], enabled=enabled)
        assert result.get("changed") and "for all of them" in result.output, result
        assert [one["enabled"] for one in run(double, "smtp_info")["policy"]["listeners"]] == [enabled] * 2
        assert not run(double, "smtp_listener", address=double.addresses[0], enabled=enabled)["changed"]
    assert double.master_cf.read_text() == there


def test_listeners_of_one_entry_agree_or_are_refused(double, run, lab):
    before = double.master_cf.read_bytes()
    two = [{"address": address, "idle_timeout": 100 + place} for place, address in enumerate(double.addresses)]
    result = run(double, "smtp_policy", listeners=two)
    assert result["failed"] and "cannot differ in idle_timeout" in result["msg"], result
    assert double.master_cf.read_bytes() == before
    result = run(double, "smtp_policy", listeners=[{**one, "idle_timeout": 100} for one in two])
    assert result.get("changed") and double.postconf("-h", "smtpd_timeout").strip() == "100s", result


def test_a_part_of_an_entry_is_no_new_listener(make_host, free_port, run):
    port = free_port()
    host = make_host(f"{port} inet n - n - - smtpd\n", main="inet_interfaces = all\ninet_protocols = ipv4\n")
    before = host.master_cf.read_bytes()
    result = run(host, "smtp_listener", address=f"127.0.0.1:{port}", tls="none")
    assert result["failed"] and f"listens at 0.0.0.0:{port} already" in result["msg"], result
    assert host.master_cf.read_bytes() == before


def test_both_can_be_there_and_each_has_its_own(make_host, free_port, run, lab):
    port = free_port()
    host = make_host(
        f"{port} inet n - n - - smtpd\n127.0.0.1:{port} inet n - n - - smtpd\n -o smtpd_tls_wrappermode=yes\n",
        main=f"inet_interfaces = all\ninet_protocols = ipv4\nsmtpd_tls_chain_files = {lab.rsa}\n",
    )
    host.start()
    assert speaks(port, implicit=True)
    result = run(host, "smtp_listener", address=f"0.0.0.0:{port}", idle_timeout=77)
    assert result.get("changed"), result
    assert speaks(port, implicit=True)


def test_a_family_that_postfix_is_told_to_leave_out_is_refused(make_host, free_port, run):
    host = make_host(f"127.0.0.1:{free_port()} inet n - n - - smtpd\n", main="inet_protocols = ipv4\n")
    host.start()
    before = host.master_cf.read_bytes()
    result = run(host, "smtp_listener", address=f"[::1]:{free_port()}", tls="none")
    assert result["failed"] and "inet_protocols leaves out the family of ::1" in result["msg"], result
    # It would have ended with the next reload.
    assert host.master_cf.read_bytes() == before and host.pid


def test_a_listener_that_is_off_takes_what_it_is_given(pair, run, lab):
    run(pair, "smtp_tls", certificate=lab.rsa)
    assert run(pair, "smtp_listener", address=pair.addresses[0], enabled=False).get("changed")
    result = run(pair, "smtp_listener", address=pair.addresses[0], versions=["TLSv1.3"], max_connections=7)
    assert result.get("changed"), result
    assert result["listener"]["enabled"] is False and result["listener"]["versions"] == ["TLSv1.3"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", pair.ports[0]), 20)
    # One setting for all, those that are off included.
    result = run(pair, "smtp_tls", versions=["TLSv1.2", "TLSv1.3"])
    assert result.get("changed"), result
    assert not run(pair, "smtp_tls", versions=["TLSv1.2", "TLSv1.3"])["changed"]
    assert run(pair, "smtp_listener", address=pair.addresses[0], enabled=True).get("changed")
    assert speaks(pair.ports[0], version=V.TLSv1_2)


def test_a_listener_can_come_switched_off(pair, run, lab, free_port):
    port = free_port()
    options = {"address": f"127.0.0.1:{port}", "enabled": False, "tls": "implicit", "certificate": lab.rsa, "versions": ["TLSv1.3"]}
    first = run(pair, "smtp_listener", **options)
    assert first.get("changed"), first
    assert first["listener"]["enabled"] is False and first["listener"]["tls"] == "implicit"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 20)
    assert not run(pair, "smtp_listener", **options)["changed"]
    assert run(pair, "smtp_listener", address=options["address"], enabled=True).get("changed")
    assert speaks(port, implicit=True, version=V.TLSv1_3) and not speaks(port, implicit=True, version=V.TLSv1_2)


def test_an_entry_that_is_off_stays_off_where_another_one_serves_its_address(pair, run, lab):
    run(pair, "smtp_tls", certificate=lab.rsa)
    first, port = pair.addresses[0], pair.ports[0]
    assert run(pair, "smtp_listener", address=first, enabled=False).get("changed")
    # Somebody wrote it anew, beside the one that is off.
    pair.master_cf.write_text(pair.master_cf.read_text() + f"{first} inet n - n - - smtpd\n")
    pair.reload()
    pair.wait_listening("127.0.0.1", port)
    result = run(pair, "smtp_listener", address=first, versions=["TLSv1.3"])
    assert result.get("changed"), result
    assert pair.master_cf.read_text().count(f"\n{first}") == 1
    assert speaks(port, version=V.TLSv1_3) and not speaks(port, version=V.TLSv1_2)
