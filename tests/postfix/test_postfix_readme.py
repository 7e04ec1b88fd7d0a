# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks that the documentation shows for a Postfix, run as they stand but for files and ports."""

from __future__ import annotations

import re
from pathlib import Path

import postfix_accounts
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("document", ["README.md", "docs/postfix.md"])
def test_a_playbook_of_the_documentation(make_host, run, lab, free_port, document):
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)
    (text,) = [block for block in blocks if "server: postfix" in block and "secure_smtp_" not in block]
    text = re.sub(r"0\.0\.0\.0:(25|587|465)\b", lambda _match: f"127.0.0.1:{free_port()}", text)
    (play,) = yaml.safe_load(text.replace("/etc/ssl/private/mail.pem", lab.rsa))
    defaults = play.get("module_defaults", {}).get("group/securemail.smtp.smtp", {})
    (task,) = play["tasks"]
    options = {**defaults, **task["securemail.smtp.smtp_policy"]}
    assert play["become"] and options.pop("server") == "postfix"
    host = make_host(main=postfix_accounts.settings(), domains=["mydomain.com"])
    postfix_accounts.add(host, {"alice@mydomain.com": "pass word"})
    host.start()
    first = run(host, "smtp_policy", **options)
    assert first.get("changed"), first
    for listener in options["listeners"]:
        host.wait_listening("127.0.0.1", int(listener["address"].rpartition(":")[2]))
    assert not run(host, "smtp_policy", **options)["changed"]
