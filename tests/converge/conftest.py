# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules against a real server: one bundled MTA for each test, on ports of its own."""

from __future__ import annotations

import socket
import sys

import pytest
from lab import Lab
from mta_process import PASSWORD, POSTERN, SCRIPT, Mta, Result, call


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """Certificates, keys and DH files, made once."""
    return Lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="session")
def password_hash():
    """The administrator's password as the server stores it."""
    sys.path.insert(0, str(POSTERN))
    from postern.passwords import hash_password

    return hash_password(PASSWORD)


@pytest.fixture(autouse=True)
def backups(tmp_path, monkeypatch):
    """The folder for the backups of a test, instead of the one in somebody's home."""
    monkeypatch.setenv("SECUREMAIL_BACKUP_DIR", str(tmp_path / "backups"))
    return tmp_path / "backups"


@pytest.fixture
def start_mta(tmp_path, password_hash):
    """A function that starts a server with a policy script, and with more tables in its bootstrap file."""
    running = []

    def start(script: bytes = SCRIPT, bootstrap: str = "") -> Mta:
        mta = Mta(tmp_path, password_hash, script, bootstrap)
        running.append(mta)
        mta.start()
        return mta

    yield start
    for mta in running:
        mta.stop()


@pytest.fixture
def mta(start_mta):
    """A server with the basic settings and no listener."""
    return start_mta()


def _runner(mta: Mta):
    def run_module(name: str, /, check: bool = False, **parameters) -> Result:
        parameters.setdefault("admin_port", mta.port)
        parameters.setdefault("admin_password", PASSWORD)
        return call(name, parameters, check)

    return run_module


@pytest.fixture
def runner():
    """Makes the function that runs modules against one server."""
    return _runner


@pytest.fixture
def run(mta):
    """Run a module against the server: ``run("smtp_listener", address=…, check=True)``."""
    return _runner(mta)


@pytest.fixture(scope="session")
def shared_mta(tmp_path_factory, password_hash):
    """One server for all tests that must not change it."""
    mta = Mta(tmp_path_factory.mktemp("shared"), password_hash, SCRIPT)
    mta.start()
    yield mta
    mta.stop()


@pytest.fixture(scope="session")
def shared_run(shared_mta):
    """As ``run``, against the shared server."""
    return _runner(shared_mta)


@pytest.fixture
def free_port():
    """A function that gives a TCP port of the loopback interface that nothing listens on."""

    def choose() -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    return choose
