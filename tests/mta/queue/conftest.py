# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A queue as an administrator finds it: beside a bootstrap file."""

from __future__ import annotations

import os

import pytest
from postern.queue.store import Store


@pytest.fixture
def config(tmp_path):
    """A bootstrap file; the queue is ``state/queue.sqlite3`` beside it."""
    user = "root" if os.geteuid() == 0 else ""
    path = tmp_path / "postern.toml"
    path.write_text(
        f'host_name = "mail.example.test"\nuser = "{user}"\n'
        f'state_dir = "{tmp_path}/state"\nrun_dir = "{tmp_path}/run"\n'
    )
    (tmp_path / "state").mkdir()
    return path


@pytest.fixture
def store(config):
    """Its queue, as the server has it open."""
    store = Store(config.parent / "state" / "queue.sqlite3")
    yield store
    store.close()
