# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""No secret in what a playbook prints at high verbosity, in the server's log, or in what the server stores."""

from __future__ import annotations

import json

import pytest
from mta_process import PASSWORD, play

ACCOUNT_PASSWORD = "Acc-pw-7Qx"
POSTMASTER_PASSWORD = "Pm-pw-8Wy"

PLAYBOOK = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [
            {
                "securemail.smtp.smtp_account": {
                    "domain": "example.test",
                    "account": "alice",
                    "password": ACCOUNT_PASSWORD,
                    "postmaster_password": POSTMASTER_PASSWORD,
                }
            },
            {
                "securemail.smtp.smtp_account": {
                    "domain": "example.test",
                    "account": "alice",
                    "password": ACCOUNT_PASSWORD,
                    "update_password": "always",
                }
            },
            {"securemail.smtp.smtp_auth_rule": {"name": "closed", "connection": "plain", "mechanisms": []}},
            {
                "securemail.smtp.smtp_account": {"domain": "exa mple", "account": "x", "password": ACCOUNT_PASSWORD},
                "ignore_errors": True,
            },
            {"securemail.smtp.smtp_info": {"admin_password": PASSWORD + "-wrong"}, "ignore_errors": True},
            {"securemail.smtp.smtp_info": {}},
        ],
    }
]


@pytest.fixture
def playbook_output(mta, tmp_path):
    """Everything that ``ansible-playbook -vvv --diff`` prints, on both channels."""
    playbook = tmp_path / "secrets.yml"
    playbook.write_text(json.dumps(PLAYBOOK))
    return play(playbook, mta.port, "-vvv", "--diff", SECUREMAIL_ADMIN_PASSWORD=PASSWORD)


def test_no_secret_is_shown_or_stored(mta, playbook_output):
    assert "changed=3" in playbook_output, playbook_output
    assert '"module_args"' in playbook_output
    stored = b"".join(path.read_bytes() for path in mta.state.rglob("*") if path.is_file())
    for secret in (PASSWORD, ACCOUNT_PASSWORD, POSTMASTER_PASSWORD):
        assert secret not in playbook_output
        assert secret not in mta.log.read_text()
        assert secret.encode() not in stored
    # As the admin protocol spells the administrator's password, which has quotes and a backslash in it.
    assert PASSWORD.replace("\\", "\\\\").replace('"', '\\"') not in playbook_output + mta.log.read_text()
