# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Upgrades of the bundled server by its role: what fails half way leaves the old one whole, and no restart is lost."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROLE = Path(__file__).resolve().parents[2] / "roles" / "mta"


class Site:
    """A host with a role of its own that can be changed, and the server that it has made."""

    def __init__(self, folder: Path) -> None:
        self.role, self.prefix, self._folder = folder / "roles" / "mta", folder / "site", folder
        shutil.copytree(ROLE, self.role, symlinks=False, ignore=shutil.ignore_patterns("__pycache__"))
        # The packages of this environment: what is to be seen here is not how they are installed.
        (self.prefix / "lib").mkdir(parents=True)
        (self.prefix / "lib" / "venv").symlink_to(sys.prefix)
        self.archive, self.config = self.prefix / "lib" / "postern.pyz", self.prefix / "etc" / "postern.toml"
        with socket.create_server(("127.0.0.1", 0)) as found:
            self._port = found.getsockname()[1]
        (folder / "play.yml").write_text("- hosts: localhost\n  gather_facts: false\n  roles: [mta]\n")

    def new_version(self, text: str) -> None:
        """The next run has another program."""
        with open(self.role / "files" / "postern" / "__init__.py", "a", encoding="utf-8") as source:
            source.write(f"# {text}\n")

    def run(self, password: str = "adm1n", **variables: str) -> str:
        """One run of the role; returns what it printed, with "failed" in front when it failed."""
        given = {
            "ansible_connection": "local", "ansible_python_interpreter": sys.executable, "mta_prefix": str(self.prefix),
            "mta_user": "root" if os.geteuid() == 0 else "", "mta_admin_address": f"127.0.0.1:{self._port}",
            "mta_host_name": "mail.example.test", "mta_admin_password": password, "mta_python": sys.executable,
            "mta_archive_cache": str(self._folder / "cache"), "mta_service_manager": "supervised", **variables,
        }  # fmt: skip
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "-e", json.dumps(given), "play.yml"],
            cwd=self._folder, capture_output=True, text=True, timeout=300, check=False,
            env={**os.environ, "ANSIBLE_ROLES_PATH": str(self._folder / "roles"), "ANSIBLE_NOCOLOR": "1",
                 "ANSIBLE_PIPELINING": "1",
                 "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml"},
        )  # fmt: skip
        return ("failed\n" if done.returncode else "") + done.stdout + done.stderr

    def program(self, *command: str) -> str:
        """Run a command of the installed program."""
        python = self.prefix / "lib" / "venv" / "bin" / "python"
        return subprocess.run(
            [python, self.archive, *command, "--config", self.config], capture_output=True, text=True, check=False
        ).stdout  # fmt: skip

    def status(self) -> dict:
        """What the server says about itself."""
        return json.loads(self.program("status"))


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    if made.archive.exists():
        made.program("stop")


def test_an_upgrade_that_fails_leaves_the_old_one_and_no_restart_is_lost(site):
    first = site.run(mta_metrics_address="127.0.0.1:0")
    assert not first.startswith("failed"), first
    began, archive, config = site.status(), site.archive.read_bytes(), site.config.read_bytes()
    assert began["stale"] == [] and began["metrics"]

    # A mistake in the configuration: neither file is replaced, and what is named is the file of the host.
    site.new_version("two")
    refused = site.run(mta_host_name="-x")
    assert refused.startswith("failed") and f"{site.config}:" in refused and "host_name" in refused
    assert (site.archive.read_bytes(), site.config.read_bytes()) == (archive, config)
    assert site.status() == began

    # A failure between the new program and the restart: the server is older than its files, and says so.
    broken = site.run(password="a\tb")
    assert broken.startswith("failed") and site.archive.read_bytes() != archive
    assert site.status()["server_pid"] == began["server_pid"] and "program" in site.status()["stale"]
    assert not list(site.archive.parent.glob("*.next.*"))

    # The next run changes nothing, and restarts.
    last = site.run()
    assert not last.startswith("failed"), last
    now = site.status()
    assert now["stale"] == [] and now["server_pid"] != began["server_pid"]
