# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules that log in as a delegated administrator: what its permissions allow is done, anything else is named."""

from __future__ import annotations

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._servers.axigen.cli import AdminSession
from mta_process import PASSWORD

USER = {"admin_user": "tlsbot", "admin_password": "bot secret"}


@pytest.fixture
def bot(mta):
    """A function that gives the user ``tlsbot`` these permissions and no others."""

    def make(*names):
        session = AdminSession("127.0.0.1", mta.port, timeout=20)
        try:
            session.login("admin", PASSWORD)
            session.enter("ENTER", "AACL")
            session.enter("ADD", "admin-user", "name", USER["admin_user"], "password", USER["admin_password"])
            for name in names:
                session.command("GRANT", "permission", name)
            session.leave("DONE")
            session.leave("DONE")
        finally:
            session.close()

    return make


@pytest.fixture
def wanted(lab, free_port):
    """A policy with a listener and a rule."""
    return {
        "listeners": [{"address": "127.0.0.1:%d" % free_port(), "certificate": lab.ecdsa}],
        "auth_rules": [{"name": "closed", "connection": "plain", "mechanisms": []}],
        **USER,
    }


def test_documented_permissions_are_enough_for_a_policy(run, bot, wanted):
    bot("manageCLI", "manageSMTPIn", "manageSMTPOut", "manageServerConfig", "manageServerFilters")
    first = run("smtp_policy", **wanted)
    assert first["changed"] and not first.get("failed")
    assert run("smtp_policy", **wanted)["changed"] is False


def test_permission_to_look_predicts_the_change_and_names_what_is_missing(run, bot, wanted):
    bot("manageCLI", "manageServerFilters")
    before = run("smtp_info")["policy"]
    assert run("smtp_info", **USER)["policy"] == before
    assert run("smtp_policy", check=True, **wanted)["changed"] is True
    result = run("smtp_policy", **wanted)
    assert result["failed"] and "manageSMTPIn" in result["msg"]
    assert USER["admin_password"] not in result.output
    assert run("smtp_info")["policy"] == before


def test_whoever_may_change_listeners_but_not_the_server_leaves_nothing_behind(run, bot, wanted):
    bot("manageCLI", "manageServerFilters", "manageSMTPIn")
    before = run("smtp_info")["policy"]
    result = run("smtp_policy", **wanted)
    assert result["failed"] and "manageServerConfig" in result["msg"]
    assert run("smtp_info")["policy"] == before


@pytest.mark.parametrize(
    ("names", "reason"), [(("manageCLI",), "manageServerFilters"), (("manageSMTPIn",), "manageCLI")]
)
def test_whoever_may_not_read_the_script_or_not_log_in_is_told_so(run, bot, names, reason):
    bot(*names)
    result = run("smtp_info", **USER)
    assert result["failed"] and reason in result["msg"]
    assert USER["admin_password"] not in result.output
