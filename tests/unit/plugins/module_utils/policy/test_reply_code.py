# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reply codes that the explanation of a rule begins with."""

from __future__ import annotations

import pytest
from ansible_collections.securemail.smtp.plugins.module_utils._policy import general_rule, reply_code, rule_name
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("530 5.7.0 Log in first", (530, "Log in first")),
        ("451 4.7.1   Later", (451, "Later")),
        ("530-5.7.0 Log in", (530, "Log in")),
        ("523 5.7.10", (523, "")),
        ("530 4.7.0 Mixed", (None, "530 4.7.0 Mixed")),
        ("250 2.0.0 OK", (None, "250 2.0.0 OK")),
        ("587 5.7.0 is a port", (None, "587 5.7.0 is a port")),
        ("530 5.7.0.1 is blocked", (None, "530 5.7.0.1 is blocked")),
        ("530 Log in", (None, "530 Log in")),
        ("", (None, "")),
    ],
)
def test_codes_and_text(text, found):
    assert reply_code.split(text) == found


@pytest.mark.parametrize(
    ("code", "text", "explanation", "right"),
    [
        (530, "Log in", "530 5.7.0 Log in", True),
        (550, "530 5.7.0 Log in", "530 5.7.0 Log in", True),
        (550, "Log in", "530 5.7.0 Log in", False),
        (550, "Log in", "Log in", True),
        (530, "Log out", "530 5.7.0 Log in", False),
        (550, "250 2.0.0 OK", "250 2.0.0 OK", True),
        (250, "OK", "250 2.0.0 OK", False),
    ],
)
def test_a_reply_says_what_the_rule_says(code, text, explanation, right):
    assert reply_code.says(code, text, explanation) is right


def _rule(explanation, action=None):
    actions = [{"set": "smtpExplanation", "value": explanation}]
    actions += [{"set": "smtpAction", "value": action}] if action else []
    return general_rule.general_rule({"name": "x", "conditions": [], "actions": actions})


@pytest.mark.parametrize(
    ("explanation", "action"),
    [
        ("530 5.7.0 Log in", "reject"),
        ("451 4.7.1 Later", "tmpreject"),
        ("451 4.7.1 Later", None),
        ("530 5.7.0 Log in", None),
        ("250 2.0.0 Welcome", "accept"),
        ("530 Log in", "reject"),
        ("5.7.0 Log in", "reject"),
        ("192 addresses are listed", "reject"),
    ],
)
def test_codes_that_fit_and_texts_that_are_none(explanation, action):
    assert _rule(explanation, action)["actions"][0].value == explanation


@pytest.mark.parametrize(
    ("explanation", "action", "advice"),
    [
        ("250 2.0.0 OK", "reject", "reject takes codes like 530 5.7.0"),
        ("451 4.7.1 Later", "reject", "reject takes codes like 530 5.7.0"),
        ("530 5.7.0 Log in", "tmpreject", "tmpreject takes codes like 451 4.7.1"),
        ("530 4.7.0 Mixed", "reject", "reject takes codes like"),
        ("587 5.7.0 is a port", "reject", "reject takes codes like"),
        ("250 2.0.0 OK", None, "a refusal has codes like 530 5.7.0 or 451 4.7.1"),
    ],
)
def test_codes_that_do_not_fit(explanation, action, advice):
    with pytest.raises(PolicyError) as raised:
        _rule(explanation, action)
    (problem,) = raised.value.problems
    assert "actions: smtpExplanation begins with the reply code" in problem and advice in problem


def test_the_explanation_of_a_domain():
    assert rule_name.reject_message("523 5.7.10 TLS, please") == "523 5.7.10 TLS, please"
    with pytest.raises(PolicyError, match="reject_message begins with the reply code"):
        rule_name.reject_message("250 2.0.0 OK")
