# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks in the README work when they are pasted: only host, ports, path and passwords are replaced here."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from mta_process import PASSWORD, play

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
ROLE_README = ROOT / "roles" / "secure_smtp" / "README.md"
RELAY_PASSWORD = "provider-pw 1"


def pasted(folder: Path, telling: str, module: str = "smtp_policy") -> tuple[Path, str]:
    """A file with the README's one playbook with this module in whose text these words stand, and the text."""
    blocks = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    (text,) = [block for block in blocks if module in block and telling in block]
    playbook = folder / "pasted.yml"
    playbook.write_text(text.replace("hosts: mail", "hosts: all"))
    return playbook, text


def converges(playbook: Path, port: int) -> None:
    """The first run changes something, the second one nothing."""
    vault = playbook.with_name("vault.json")
    vault.write_text(json.dumps({"vault_admin_password": PASSWORD, "vault_relay_password": RELAY_PASSWORD}))
    for changed in ("changed=1", "changed=0"):
        output = play(playbook, port, "-e", "@%s" % vault, "--diff")
        assert changed in output
        assert RELAY_PASSWORD not in output


def test_the_playbook_of_the_readme(mta, run, lab, free_port, tmp_path):
    playbook, original = pasted(tmp_path, "disableAUTH_on_non_SSL")
    assert len(original.splitlines()) <= 12
    text = playbook.read_text().replace("/etc/mail/mail.pem", lab.ecdsa)
    for address in re.findall(r"0\.0\.0\.0:\d+", text):
        text = text.replace(address, "127.0.0.1:%d" % free_port())
    playbook.write_text(text)
    converges(playbook, mta.port)
    policy = run("smtp_info")["policy"]
    assert [listener["tls"] for listener in policy["listeners"]] == ["starttls", "starttls"]
    assert [rule["name"] for rule in policy["auth_rules"]] == ["disableAUTH_on_non_SSL", "enableAUTH_on_SSL"]
    assert [rule["domain"] for rule in policy["forced_tls_domains"]] == ["mydomain.com"]
    assert [(rule["level"], rule["versions"]) for rule in policy["relay_tls"]] == [("encrypt", ["TLSv1.2", "TLSv1.3"])]


def test_the_playbooks_about_mail_that_is_sent(mta, run, tmp_path):
    playbook, _original = pasted(tmp_path, "direction: outbound")
    converges(playbook, mta.port)
    (domain,) = run("smtp_info")["policy"]["forced_tls_domains"]
    assert (domain["direction"], domain["level"], domain["match"]) == ("outbound", "secure", [".partner.example"])
    run("smtp_forced_tls_domain", domain="partner.example", direction="outbound", state="absent")
    playbook, _original = pasted(tmp_path, " relay:")
    converges(playbook, mta.port)
    relay = run("smtp_info")["policy"]["relay"]
    assert (relay["host"], relay["port"], relay["level"]) == ("smtp.provider.example", 465, "verify")
    assert "password" not in relay


def test_the_playbook_about_defaults_and_exceptions(mta, run, tmp_path):
    run("smtp_forced_tls_domain", domain="old.example", direction="outbound")
    playbook, _original = pasted(tmp_path, "every_domain", "smtp_forced_tls_domain")
    converges(playbook, mta.port)
    coverage = run("smtp_info")["coverage"]
    assert [(row["domain"], row["level"], row["exception"]) for row in coverage] == [
        ("*", "encrypt", False),
        (".gov.example", "secure", False),
        ("fax.example", "none", True),
    ]


def test_the_playbook_about_what_a_stranger_sees(mta, run, lab, free_port, tmp_path):
    """It passes on the hardened listener of the README, and fails, naming the row, when TLS 1.1 is allowed."""
    playbook, original = pasted(tmp_path, "expect: rfc9325", "smtp_probe")
    port = free_port()
    target = '[{address: "127.0.0.1:%d", tls: starttls, server_name: mail.example.test, ca_file: "%s"}]' % (port, lab.ca_file)
    targets = re.search(r"targets: (.*)\n", original).group(1)
    playbook.write_text(playbook.read_text().replace(targets, target))
    listener = {"address": "127.0.0.1:%d" % port, "tls": "starttls", "certificate": lab.ecdsa, "ciphers": "ECDHE+AESGCM"}
    run("smtp_policy", listeners=[dict(listener, versions=["TLSv1.2", "TLSv1.3"])], starttls={"inbound": True},
        auth_rules=[{"name": "clear", "connection": "plain", "mechanisms": []}])
    assert "changed=0" in play(playbook, mta.port)
    run("smtp_listener", **dict(listener, versions=["TLSv1.1", "TLSv1.2"], ciphers="ALL:!aNULL:!eNULL"))
    with pytest.raises(AssertionError, match="TLSv1.1: expected refused.*RFC 8996"):
        play(playbook, mta.port)


def test_the_playbook_of_the_role(mta, run, lab, free_port, tmp_path):
    """A domain may be a name alone; what no variable names stays; one is told where the backup is."""
    text = re.findall(r"```yaml\n(.*?)```", ROLE_README.read_text(), re.DOTALL)[0]
    playbook = tmp_path / "pasted.yml"
    playbook.write_text(
        text.replace("hosts: mail", "hosts: all\n  gather_facts: false").replace("/etc/mail/mail.example.com.pem", lab.ecdsa)
    )
    listener = {"address": "127.0.0.1:%d" % free_port(), "tls": "starttls"}
    run("smtp_listener", **listener, certificate=lab.rsa, dh_params=lab.dh_params)
    given = {"vault_admin_password": PASSWORD, "secure_smtp_listeners": [listener], "secure_smtp_backup": "host"}
    (tmp_path / "given.json").write_text(json.dumps(given))
    output = play(playbook, mta.port, "-e", "@%s" % (tmp_path / "given.json"))
    assert "changed=1" in output and "The state before is kept in" in output
    policy = run("smtp_info")["policy"]
    assert [(found["certificate"], found["dh_params"]) for found in policy["listeners"]] == [(lab.ecdsa, lab.dh_params)]
    domains = policy["forced_tls_domains"]
    assert [(one["domain"], one["direction"]) for one in domains] == [
        ("mydomain.com", "inbound"),
        ("partner.example", "outbound"),
    ]
    # What the role does not declare goes when it is told so, what is kept apart.
    for name in ("extra", "local_extra"):
        assert run("smtp_auth_rule", name=name, connection="tls", mechanisms=[], enabled=False)["changed"]
    exception = {"domain": "old.partner.example", "direction": "outbound", "level": "may", "reason": "old", "until": "2001-01-01"}
    given.update(
        # Where there are exceptions the default is a domain.
        secure_smtp_relay_tls=[],
        secure_smtp_forced_tls_domains=[{"domain": "*", "direction": "outbound"}, exception],
        secure_smtp_prune=True,
        secure_smtp_keep={"auth_rules": ["local_*"]},
        secure_smtp_allow_unsafe=True,
        secure_smtp_expired_exceptions="warn",
    )
    (tmp_path / "given.json").write_text(json.dumps(given))
    output = play(playbook, mta.port, "-e", "@%s" % (tmp_path / "given.json"))
    assert "changed=1" in output and "2001-01-01" in output
    policy = run("smtp_info")["policy"]
    assert [rule["name"] for rule in policy["auth_rules"]] == ["disableAUTH_on_non_SSL", "enableAUTH_on_SSL", "local_extra"]
    assert [rule["domain"] for rule in policy["forced_tls_domains"]] == ["*", "old.partner.example"]
    assert policy["relay_tls"] == []
