# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose files are looked at when the admin interface is on loopback: this host's, or those at the end of a tunnel."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("choice", ["auto", "local", None])
def test_missing_here(shared_run, tmp_path, free_port, choice):
    given = {} if choice is None else {"server_files": choice}
    path = str(tmp_path / "elsewhere.pem")
    result = shared_run("smtp_listener", check=True, address="127.0.0.1:%d" % free_port(), certificate=path, **given)
    assert result["failed"] and path in result["msg"] and "server_files: remote" in result["msg"]


def test_on_another_host(shared_run, shared_mta, tmp_path, free_port):
    """Check mode predicts the listener; in a run the server itself judges, which here has no such file either."""
    listener = {"address": "127.0.0.1:%d" % free_port(), "certificate": str(tmp_path / "elsewhere.pem")}
    result = shared_run("smtp_listener", check=True, server_files="remote", **listener)
    assert "failed" not in result and result["changed"]
    result = shared_run("smtp_listener", server_files="remote", **listener)
    assert result["failed"] and "elsewhere.pem" in result["server_said"]
