# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules against a real Postfix: an instance for each test, on ports of its own."""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
from pathlib import Path

import pytest
from ansible_collections.securemail.smtp.tests.converge.lab import Lab
from ansible_collections.securemail.smtp.tests.converge.mta_process import Result, call

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))

from postfix_host import TEMPLATE, PostfixHost  # noqa: E402


@pytest.fixture(scope="session")
def lab():
    """Certificates, keys and DH files that Postfix can read, made once."""
    folder = Path(tempfile.mkdtemp(prefix="securemail-lab-"))
    folder.chmod(0o755)
    yield Lab(folder)
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def backups(tmp_path, monkeypatch):
    """The folder for the backups of a test, instead of the one in somebody's home."""
    monkeypatch.setenv("SECUREMAIL_BACKUP_DIR", str(tmp_path / "backups"))
    return tmp_path / "backups"


@pytest.fixture
def make_host(monkeypatch):
    """A function that makes an instance (see PostfixHost), which is not started; programs find it in this environment."""
    made = []

    def make(services: str = "", main: str = "", domains=(), template: str = TEMPLATE) -> PostfixHost:
        folder = Path(tempfile.mkdtemp(prefix="securemail-postfix-"))
        folder.chmod(0o755)
        host = PostfixHost(folder, services, main, domains, template)
        made.append(host)
        for name, value in host.environment().items():
            monkeypatch.setenv(name, value)
        return host

    yield make
    for host in made:
        host.stop()
        shutil.rmtree(host.folder)


@pytest.fixture
def run():
    """Run a module against a host: ``run(host, "smtp_listener", address=…, check=True)``."""

    def run_module(host: PostfixHost, name: str, /, check: bool = False, **options: object) -> Result:
        return call(name, {"server": "postfix", "config_directory": str(host.config_directory), **options}, check)

    return run_module


@pytest.fixture(scope="session")
def free_port():
    """A function that gives a TCP port of the loopback interface that nothing listens on, each one once."""
    given = set()

    def choose() -> int:
        while True:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            if port not in given:
                given.add(port)
                return port

    return choose
