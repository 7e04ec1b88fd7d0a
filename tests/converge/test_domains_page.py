# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The complete example of the page about domains works when it is pasted, and what holds then is the table of that page."""

from __future__ import annotations

import json
import re
from pathlib import Path

from mta_process import PASSWORD, play

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "domains.md").read_text()


def table() -> list[tuple[str, ...]]:
    """The lines of the page's table of what holds: domain, direction, level, source, exception."""
    (found,) = re.findall(r"\| domain \| direction .*\n\| ---.*\n((?:\|.*\n)+)", PAGE)
    return sorted(tuple(cell.strip(" `") for cell in line.strip("|").split("|")) for line in found.splitlines())


def pasted(folder: Path) -> Path:
    """The page's playbook with its list of partners beside it, and a file with the password."""
    playbook = folder / "pasted.yml"
    playbook.write_text(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0].replace("hosts: mail", "hosts: all"))
    (folder / "partners.txt").write_text(re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)[0])
    (folder / "vault.json").write_text(json.dumps({"vault_admin_password": PASSWORD}))
    return playbook


def test_the_complete_example_and_the_list_to_print(mta, run, lab, free_port, tmp_path):
    playbook, vault = pasted(tmp_path), "@%s" % (tmp_path / "vault.json")
    for changed in ("changed=3", "changed=0"):
        assert changed in play(playbook, mta.port, "-e", vault, "--diff")
    held = []
    for one in run("smtp_info")["coverage"]:
        exception = "no" if not one["exception"] else "until %s" % one["until"] if one["until"] else "yes"
        assert bool(one["reason"]) is one["exception"]
        held.append((one["domain"], one["direction"], one["level"], one["source"], exception))
    assert sorted(held) == table()

    for domain in ("partner.example", "press.partner.example", "xn--bcher-kva.example"):
        run("smtp_account", domain=domain, postmaster_password=PASSWORD)
    address = "127.0.0.1:%d" % free_port()
    run("smtp_listener", address=address, tls="starttls", certificate=lab.ecdsa)
    variables = {
        "audit_targets": [address], "audit_checks": ["dialogue", "forced_domains"], "audit_fail_on": "never", "target": "all",
        "audit_dest": str(tmp_path / "out"), "audit_admin_password": PASSWORD,
    }
    play(Path("securemail.smtp.audit"), mta.port, "-e", json.dumps(variables))
    text = (tmp_path / "out" / "smtp-audit.json").read_text()
    (result,) = json.loads(text)["results"]
    assert PASSWORD not in text and len(result["coverage"]) == len(held)
    seen = {one["domain"]: one["last_seen"] for one in result["coverage"] if one["direction"] == "inbound"}
    assert {domain: look and (look["state"], look["looks"]) for domain, look in seen.items()} == {
        # Over TLS only, in clear and inside TLS; taken in clear; which names there are below it nobody outside knows.
        "partner.example": ("pass", 2), "xn--bcher-kva.example": ("pass", 2), "press.partner.example": ("pass", 1),
        ".partner.example": None,
    }
    page = (tmp_path / "out" / "smtp-audit.html").read_text()
    assert "appliance is replaced, ticket 88; until 2030-04-21" in page
