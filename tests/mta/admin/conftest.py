# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures around :mod:`admin_harness`."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest

from admin_harness import AdminHarness, Loop, RawClient
from postern.admin.authentication import set_password
from postern.admin.server import ConnectionLimits
from postern.admin.session import Limits


@pytest.fixture
def loop() -> t.Iterator[Loop]:
    runner = Loop()
    yield runner
    runner.close()


@pytest.fixture
def new_server(loop: Loop, tmp_path: Path) -> t.Iterator[t.Callable[..., AdminHarness]]:
    """Makes a server with other limits than the usual ones."""
    made: list[AdminHarness] = []

    def make(limits: Limits | None = None, connections: ConnectionLimits = ConnectionLimits()) -> AdminHarness:
        state_dir = tmp_path / f"state{len(made)}"
        os.mkdir(state_dir)
        harness = AdminHarness(loop, state_dir, limits, connections)
        harness.start()
        made.append(harness)
        return harness

    yield make
    for harness in made:
        harness.stop()


@pytest.fixture
def server(new_server: t.Callable[..., AdminHarness]) -> AdminHarness:
    """A server with the usual limits."""
    return new_server()


@pytest.fixture
def admin(server: AdminHarness) -> RawClient:
    """A client that is logged in."""
    return server.client().login()


@pytest.fixture
def whole(loop: Loop, tmp_path: Path) -> t.Iterator[t.Any]:
    """A whole server: what is committed is there on the network."""
    whole_server = pytest.importorskip("whole_server", reason="the receiving half needs scramp")
    set_password(str(tmp_path), whole_server.HASH)
    server = whole_server.Whole(loop, tmp_path).start()
    yield server
    server.stop()
