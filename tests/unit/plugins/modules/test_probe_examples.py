# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples of ``smtp_probe`` as inquiries, and what its documentation says of them. Nobody is asked anything."""

from __future__ import annotations

import pytest
import yaml

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.securemail.smtp.plugins.module_utils._probe import inquiry, question
from ansible_collections.securemail.smtp.plugins.module_utils._probe.survey import CHECKS, DEFAULT_CHECKS
from ansible_collections.securemail.smtp.plugins.module_utils._probe.verdict import FAIL_ON
from ansible_collections.securemail.smtp.plugins.modules import smtp_probe

VALUES = {
    "{{ vault_anna_password }}": "secret-of-the-vault",
    "{{ smtp.policy }}": {
        "listeners": [{"address": "0.0.0.0:%d" % port, "versions": ["TLSv1.2"]} for port in (25, 587)],
        "forced_tls_domains": [{"domain": "forced.example", "direction": "inbound"}],
        "rule_order": {},
    },
}
OPTIONS = yaml.safe_load(smtp_probe.DOCUMENTATION)["options"]


def resolved(value):
    if isinstance(value, dict):
        return {key: resolved(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [resolved(entry) for entry in value]
    return VALUES[value] if isinstance(value, str) and "{{" in value else value


def asked(options):
    validator = ArgumentSpecValidator(smtp_probe.argument_spec())
    result = validator.validate(question.spelled_out(resolved(options)))
    assert not result.error_messages
    return inquiry.inquiry(result.validated_parameters)


TASKS = {
    task["name"]: task["securemail.smtp.smtp_probe"]
    for task in yaml.safe_load(smtp_probe.EXAMPLES)
    if "securemail.smtp.smtp_probe" in task
}


@pytest.mark.parametrize("name", TASKS)
def test_an_example_is_an_inquiry(name):
    found = asked(TASKS[name])
    assert found.listeners and not found.notices
    for listener in found.listeners:
        rows = found.expectation.requirements(listener)
        assert bool(rows) is ("expect" in TASKS[name])
        assert "declared" not in [requirement.check for requirement in rows]


def test_the_policy_of_an_example_is_compared_with_everything_in_it():
    found = asked(TASKS["Compare it with the policy and with two profiles"])
    relay, submission = found.listeners
    assert submission.credentials.user == "anna@example.org"
    kinds = [
        {(requirement.check, requirement.origin) for requirement in found.expectation.requirements(listener)}
        for listener in (relay, submission)
    ]
    for each in kinds:
        assert {("version", "policy"), ("forced_clear", "policy"), ("version", "rfc9325")} <= each


def test_the_documentation_has_the_groups_that_there_are():
    assert set(OPTIONS["checks"]["choices"]) == set(CHECKS)
    usual = OPTIONS["checks"]["description"][1]
    assert [name for name in CHECKS if "V(%s)" % name in usual.partition(", with")[0]] == list(DEFAULT_CHECKS)
    assert set(OPTIONS["fail_on"]["choices"]) == set(FAIL_ON)


def test_the_password_has_its_place_where_ansible_hides_it():
    assert smtp_probe.argument_spec()["targets"]["options"]["password"]["no_log"] is True
