# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Role and playbooks on a Postfix, as people run them: hardened, the backup on the controller, brought back."""

from __future__ import annotations

import json
from pathlib import Path

import postfix_accounts
from ansible_collections.securemail.smtp.tests.converge.mta_process import play

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"


def test_the_role_with_the_backup_on_the_controller_and_back(make_host, lab, free_port, tmp_path):
    ports = [free_port() for unused in range(3)]
    host = make_host(
        f"127.0.0.1:{ports[0]} inet n - n - - smtpd\n", domains=["a.test"],
        main=f"smtpd_tls_chain_files = {lab.ecdsa}\n{postfix_accounts.settings()}",
    )
    postfix_accounts.add(host, {"alice@a.test": "pass word"})
    host.start()
    modes = ("starttls", "starttls", "implicit")
    (tmp_path / "variables.json").write_text(json.dumps({
        "secure_smtp_server": "postfix",
        "secure_smtp_config_directory": str(host.config_directory),
        "secure_smtp_certificate": lab.ecdsa,
        "secure_smtp_listeners": [{"address": f"127.0.0.1:{port}", "tls": tls} for port, tls in zip(ports, modes)],
        "secure_smtp_relay_ports": ports[:1],
        "secure_smtp_forced_tls_domains": ["a.test"],
        "secure_smtp_backup": "controller",
        "secure_smtp_backup_dir": str(tmp_path / "controller"),
        "target": "localhost",
    }))
    variables = ("-e", f"@{tmp_path / 'variables.json'}")
    files = ("main.cf", "master.cf", "sasl/smtpd.conf")
    before = {name: (host.config_directory / name).read_bytes() for name in files}
    (tmp_path / "hosts.yml").write_text((PLAYBOOKS / "secure_smtp.yml").read_text())
    play(tmp_path / "hosts.yml", 1, *variables, SECUREMAIL_BACKUP_DIR=str(tmp_path / "host"))
    assert {name: (host.config_directory / name).read_bytes() for name in files} != before
    (folder,) = (tmp_path / "controller" / "localhost").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["backup.json", "main.cf", "master.cf", "smtpd.conf"]
    restore = (*variables, "-e", f"securemail_backup={folder}", "-e", "securemail_backup_on=controller")
    assert "changed=1" in play(PLAYBOOKS / "restore.yml", 1, *restore)
    assert {name: (host.config_directory / name).read_bytes() for name in files} == before
    assert "changed=0" in play(PLAYBOOKS / "restore.yml", 1, *restore)
