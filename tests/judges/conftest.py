# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests with independent judges share. Modules beside this file can be imported by all of them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.credentials import Authority

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "devtools"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A skipped test is one that failed where all judges are wanted (``./dev judges``): nothing was judged."""
    report = yield
    if report.skipped and os.environ.get("SECUREMAIL_JUDGES") == "all":
        report.outcome, report.longrepr = "failed", f"{item.name} was not judged: {call.excinfo.value if call.excinfo else ''}"
    return report


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """The servers' certificates by the kind of key: PEM files with key and certificate."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    return {kind: authority.server_pem(kind) for kind in ("ec", "rsa")}


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """Whoever signs certificates for the server that all wire tests look at, and for its clients."""
    return Authority(tmp_path_factory.mktemp("judged-authority"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory):
    """A client's certificate that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger")).server_pem("ec", "client.test")


@pytest.fixture(scope="session")
def hardened(tmp_path_factory, authority):
    """The server that is judged, as the role leaves it."""
    from judged_server import JudgedServer

    with JudgedServer(tmp_path_factory.mktemp("hardened"), authority) as server:
        server.accounts()
        server.harden()
        yield server


@pytest.fixture(scope="session")
def must_run():
    """A context for what unpacks programs by itself: where they cannot be had the test is skipped, or fails; see programs."""
    import programs

    return programs.needed


@pytest.fixture(scope="session")
def program():
    """The program of a judge by its name; a test is skipped where it cannot be had."""
    import programs

    return programs.get
