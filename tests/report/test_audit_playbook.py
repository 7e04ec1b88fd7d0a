# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook ``audit`` on a whole inventory: a real server, a closed port, hosts that cannot be probed; a week later, too."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "probe"))

import running_postern as bundled  # noqa: E402
from odd_certificates import NAME, Office  # noqa: E402


ADMIN_PASSWORD = "s3cret-Admin"


class Audit:
    """An inventory and a folder for reports. ``run`` returns the exit status and the output of ``ansible-playbook``."""

    def __init__(self, folder: Path, port: int, closed: int) -> None:
        self.folder, self.out = folder, folder / "out"
        mail = {
            "address": f"127.0.0.1:{port}", "server_name": NAME, "local_domain": "example.test",
            "username": bundled.ACCOUNT, "password": bundled.PASSWORD,
        }
        # Nobody answers there.
        admin = {"audit_admin_password": ADMIN_PASSWORD, "audit_admin_from": "localhost", "audit_admin_port": closed}
        hosts = {
            NAME: {"audit_targets": [mail], "audit_checks": ["dialogue", "auth", "login"]},
            "closed.example.test": {"audit_targets": [f"127.0.0.1:{closed}"], "audit_checks": ["dialogue"], **admin},
            "odd.example.test": {"audit_targets": ["no address"]},
            "unset.example.test": {"audit_targets": "{{ nobody_set_this }}"},
            "far.example.test": {"audit_targets": ["127.0.0.1:25"], "audit_from": "scanner.example.test"},
        }
        # Nothing of it answers: the host that looks is out of reach itself.
        scanner = {"ansible_host": "127.0.0.1", "ansible_port": closed, "ansible_connection": "ssh"}
        inventory = {
            "mail": {"hosts": {name: {} for name in hosts}},
            "other": {"hosts": {"scanner.example.test": scanner}},
        }
        for name, variables in hosts.items():
            inventory["mail"]["hosts"][name] = variables
        (folder / "inventory.json").write_text(json.dumps(inventory))

    def run(self, *options: str, **variables) -> tuple[int, str]:
        values = {
            "audit_dest": str(self.out), "audit_fail_on": "never",
            "ansible_python_interpreter": sys.executable, **variables,
        }
        collections = os.environ.get("PYTHONPATH", "").split(os.pathsep)[0]
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", "-i", str(self.folder / "inventory.json"), "-e", json.dumps(values),
             "securemail.smtp.audit", *options],
            env=dict(os.environ, ANSIBLE_NOCOLOR="1", ANSIBLE_COLLECTIONS_PATH=collections, ANSIBLE_HOME=str(self.folder / "home"),
                     ANSIBLE_SSH_RETRIES="0", ANSIBLE_LOCALHOST_WARNING="false"),
            capture_output=True, text=True, check=False,
        )
        return done.returncode, done.stdout + done.stderr

    @property
    def document(self) -> dict:
        return json.loads((self.out / "smtp-audit.json").read_text())

    @property
    def page(self) -> str:
        return (self.out / "smtp-audit.html").read_text()


@pytest.fixture
def closed():
    """A port that is taken and that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def server(tmp_path):
    with bundled.RunningServer(tmp_path) as running:
        yield running


def changed(output: str) -> int:
    """How many tasks changed something."""
    return sum(int(number) for number in re.findall(r"changed=(\d+)", output))


def test_an_inventory_is_audited_and_audited_again(tmp_path, server, closed):
    pem = Office(tmp_path).server_pem("ec", NAME, 60)
    server.activate(bundled.initial("unhardened"), bundled.listener("127.0.0.1", cert_file=pem))
    audit = Audit(tmp_path, server.port, closed)

    # A look that finds something fails, behind the report, which has every host.
    status, output = audit.run("-vvv", audit_language="de", audit_fail_on="error")
    assert status == 2, output
    assert "AUTH PLAIN in clear" in output and str(audit.out / "smtp-audit.html") in output
    document = audit.document
    assert [result["host"] for result in document["results"]] == [
        NAME, "closed.example.test", "odd.example.test", "unset.example.test", "far.example.test",
    ]
    errors = {result["host"]: result.get("error") for result in document["results"]}
    assert "the port is missing" in errors["odd.example.test"]
    assert "127.0.0.1" in errors["far.example.test"]
    assert errors["unset.example.test"] is None
    assert document["summary"]["hosts_not_probed"] == 3, errors
    rows = {(row["listener"], row["title"]): row for result in document["results"] for row in result["rows"]}
    assert rows[f"127.0.0.1:{server.port}", "AUTH PLAIN in clear"]["verdict"] == "fail"
    assert rows[f"127.0.0.1:{closed}", "connection"]["verdict"] == "fail"
    assert '<html lang="de">' in audit.page and "3 Hosts: keine Prüfung möglich." in audit.page
    suites = ElementTree.parse(audit.out / "smtp-audit.xml").getroot()
    assert document["results"][1]["coverage_error"] in output and "Die Regeln dieses Servers waren nicht lesbar" in audit.page
    assert "closed.example.test: its rules could not be read" in output
    assert len(suites) == 6 and suites.get("errors") == "4" and int(suites.get("failures")) > 2
    # Nobody's password is anywhere, although it was shown to the server.
    dialogues = json.dumps(document["results"][0]["observations"][0]["dialogues"])
    assert "AUTH" in dialogues
    for text in (output, audit.page, json.dumps(document), (audit.out / "smtp-audit.xml").read_text()):
        assert bundled.PASSWORD not in text and ADMIN_PASSWORD not in text and "AGFubmFAZXhhbXBsZS50ZXN0" not in text

    # Nothing has changed: no task says so, and the report does.
    status, output = audit.run(audit_language="de")
    assert (status, changed(output)) == (2, 0), "a variable that is not set stays an error of Ansible's own"
    assert "Seit dem Bericht vom" in audit.page and "hat sich nichts geändert" in audit.page
    assert not (audit.out / "smtp-audit-history").exists()

    # Somebody hardened the server.
    server.activate(bundled.hardened("plain login "), bundled.listener("127.0.0.1", cert_file=pem))
    status, output = audit.run("--limit", f"{NAME},closed.example.test")
    assert (status, changed(output)) == (0, 1), output
    changes = audit.document["changes"]
    assert changes["gone_hosts"] == ["odd.example.test", "unset.example.test", "far.example.test"]
    better = {row["title"] for row in changes["rows"] if row["direction"] == "better"}
    assert {"AUTH in clear", "AUTH PLAIN in clear", "AUTH LOGIN in clear"} <= better
    assert not [row for row in changes["rows"] if row["direction"] == "worse"]
    assert "auth_offered_clear" in {fact["fact"] for fact in changes["facts"]}
    assert '<html lang="en">' in audit.page and "Compared with the report of" in audit.page
    assert len(list((audit.out / "smtp-audit-history").iterdir())) == 1


def test_an_audit_of_nobody_fails(tmp_path, closed):
    audit = Audit(tmp_path, closed, closed)
    status, output = audit.run(target="mial")
    assert status == 2 and "nobody in mial" in output
    assert not audit.out.exists()
