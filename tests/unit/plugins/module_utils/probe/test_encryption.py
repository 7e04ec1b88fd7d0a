# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a connection behind STARTTLS counts as encrypted: what is an answer, and what is none."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._encryption import ask
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.twin import (
    EXPLANATION,
    FORCED,
    OTHER,
    Behaviour,
    Server,
    Session,
    smtp_twin,
)


@pytest.fixture
def asked(authority):
    """A function: the answer of a twin that is different in what is named."""
    context = authority.context(kind="ec")

    def answer(domain=FORCED, explanation=EXPLANATION, **different):
        with smtp_twin(context=context, **different) as twin:
            return ask("127.0.0.1", twin.port, domain, explanation, 10.0)

    return answer


def test_it_counts(asked):
    answer = asked(clear_mechanisms=("LOGIN",))
    assert (answer.after_starttls, answer.clear_login, answer.tls_login) == (
        True,
        frozenset(["LOGIN"]),
        frozenset(["PLAIN", "LOGIN"]),
    )


def test_a_refusal_for_another_reason_is_not_the_rule_s(asked):
    assert asked(forces=(FORCED,), hosts=()).after_starttls is True


def test_it_does_not_count(asked):
    assert asked(forces_inside_tls=True).after_starttls is False


def test_blanks_in_the_explanation_do_not_matter(asked):
    assert asked(explanation=EXPLANATION.replace(" ", " \t ")).after_starttls is True


@pytest.mark.parametrize(
    "different, reason",
    [
        ({"domain": OTHER}, "not refused with the explanation of the rule (250 2.1.5 OK)"),
        ({"explanation": "another"}, "not refused with the explanation of the rule (550 5.7.1 Accepting only"),
        ({"offers_starttls": False}, "the listener offers no STARTTLS"),
        ({"greeting": "554 5.7.1 Not for you"}, "the banner is 554 5.7.1 Not for you"),
        ({"overrule": {"STARTTLS": "454 4.7.0 Not now"}}, "the reply to STARTTLS is 454 4.7.0 Not now"),
        ({"overrule": {"MAIL": "530 5.7.0 Log in"}}, "the reply to MAIL is 530 5.7.0 Log in"),
        ({"overrule": {"RCPT": "421 4.3.2 Too busy"}}, "421 4.3.2 Too busy"),
        ({"overrule": {"EHLO": "502 5.5.1 No"}}, "EHLO refused: 502 5.5.1 No"),
        ({"explanation": " "}, "not refused with the explanation of the rule"),
        ({"breaks_off_behind_hello": True}, ""),
    ],
)
def test_no_answer_is_no_answer(asked, different, reason):
    answer = asked(**different)
    assert answer.after_starttls is None
    assert reason in answer.reason and answer.reason


def test_a_server_that_does_not_decide_now(authority):
    class Undecided(Session):
        def do_rcpt(self, line):
            if not self.inside_tls:
                return super().do_rcpt(line)
            return self.say("450 4.7.1 Come back later")

    behaviour = Behaviour(context=authority.context(kind="ec"))
    with Server(lambda sock: Undecided(sock, behaviour).serve()) as twin:
        answer = ask("127.0.0.1", twin.port, FORCED, EXPLANATION, 10.0)
    assert answer.after_starttls is None
    assert "does not want to decide now (450 4.7.1 Come back later)" in answer.reason
