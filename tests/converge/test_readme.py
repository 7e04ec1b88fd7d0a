# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook in the README works when it is pasted: only host, ports, path and password are replaced here."""

from __future__ import annotations

import json
import re
from pathlib import Path

from mta_process import PASSWORD, play

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_playbook_of_the_readme(mta, run, lab, free_port, tmp_path):
    (text,) = [block for block in re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL) if "smtp_policy" in block]
    assert len(text.splitlines()) <= 12
    text = text.replace("hosts: mail", "hosts: all").replace("/etc/mail/mail.pem", lab.ecdsa)
    for address in re.findall(r"0\.0\.0\.0:\d+", text):
        text = text.replace(address, "127.0.0.1:%d" % free_port())
    playbook = tmp_path / "pasted.yml"
    playbook.write_text(text)
    vault = tmp_path / "vault.json"
    vault.write_text(json.dumps({"vault_admin_password": PASSWORD}))
    for changed in ("changed=1", "changed=0"):
        assert changed in play(playbook, mta.port, "-e", "@%s" % vault)
    policy = run("smtp_info")["policy"]
    assert [listener["tls"] for listener in policy["listeners"]] == ["starttls", "starttls"]
    assert [rule["name"] for rule in policy["auth_rules"]] == ["disableAUTH_on_non_SSL", "enableAUTH_on_SSL"]
    assert [rule["domain"] for rule in policy["forced_tls_domains"]] == ["mydomain.com"]
