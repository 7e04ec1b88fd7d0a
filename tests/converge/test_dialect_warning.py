# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An unverified dialect profile is a warning for tasks about rules, and noise for all others."""

from __future__ import annotations

import pytest
from ansible.module_utils.basic import AnsibleModule

RULE = {"name": "disableAUTH_on_non_SSL", "state": "absent"}


@pytest.fixture
def warned(monkeypatch):
    """The warnings of this test about the profile. Ansible itself keeps those of the whole process."""
    shown = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda self, warning, **options: shown.append(warning))
    return lambda word="unverified": [warning for warning in shown if word in warning]


@pytest.mark.parametrize(
    "module, parameters",
    [
        ("smtp_tls", {"starttls_inbound": True}),
        ("smtp_listener", {"address": "127.0.0.1:2525", "state": "absent"}),
        ("smtp_policy", {"starttls": {"inbound": True}}),
        ("smtp_account", {"domain": "example.test", "state": "absent"}),
    ],
)
def test_not_where_no_rule_is_meant(shared_run, warned, module, parameters):
    result = shared_run(module, check=True, dialect="axigen", **parameters)
    assert "failed" not in result, result["msg"]
    assert warned() == []


@pytest.mark.parametrize("module, parameters", [("smtp_auth_rule", RULE), ("smtp_policy", {"auth_rules": [RULE]})])
def test_where_rules_are_meant(shared_run, warned, module, parameters):
    shared_run(module, check=True, **parameters)
    assert warned() == []
    shared_run(module, check=True, dialect="axigen", **parameters)
    assert len(warned()) == 1


def test_info_notes_it(shared_run):
    assert any("unverified" in note for note in shared_run("smtp_info", dialect="axigen")["notes"])


def test_names_of_the_bundled_server_for_another_one(start_mta, warned, shared_run):
    """Who says a dialect is believed, and told what that does."""
    mta = start_mta(bootstrap='[emulation]\nversion = "10.5.12|Linux|x86_64"\n')
    for module, parameters in (("smtp_info", {}), ("smtp_auth_rule", RULE)):
        shared_run(module, dialect="postern", **parameters)
        assert warned("dialect: postern") == []
    shared_run("smtp_auth_rule", dialect="postern", admin_port=mta.port, **RULE)
    (warning,) = warned("dialect: postern")
    assert "version 10.5.12," in warning
