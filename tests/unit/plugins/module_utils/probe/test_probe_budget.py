# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._probe.budget import Budget
from ansible_collections.securemail.smtp.plugins.module_utils._probe.reply import Unobservable


def refusal(budget):
    with pytest.raises(Unobservable) as caught:
        budget.spend()
    return caught.value


def test_connections_are_counted_and_end():
    budget = Budget(max_connections=2)
    assert [budget.spend(), budget.spend()] == [1, 2]
    error = refusal(budget)
    assert (error.reason, error.side) == ("the budget of 2 connections is used up", "probe budget")
    assert (budget.connections, budget.turned_away) == (2, "")


def test_a_step_is_never_longer_than_what_is_left():
    assert Budget(step_timeout=3, total_timeout=100).step() == 3
    assert 0 < Budget(step_timeout=100, total_timeout=50).step() <= 50
    over = Budget(total_timeout=0)
    with pytest.raises(Unobservable, match="0 s for this listener are used up"):
        over.step()
    assert refusal(over).side == "probe budget"
    assert over.connections == 0


def test_a_pause_does_not_outlast_the_budget():
    budget = Budget(total_timeout=0.05, pause=600)
    budget.spend()
    assert "are used up" in refusal(budget).reason
    assert budget.connections == 1


def test_two_connections_in_a_row_that_are_turned_away_are_the_last():
    budget = Budget()
    for unused in range(2):
        budget.spend()
        # Said twice of one connection, it counts once.
        budget.sent_away("421 too many")
        budget.sent_away("421 too many")
    error = refusal(budget)
    assert (error.reason, error.side) == ("turned away: 421 too many", "server busy")
    assert budget.connections == 2


def test_one_that_is_let_in_between_makes_a_difference():
    budget = Budget()
    for turn in range(6):
        budget.spend()
        if turn % 2 == 0:
            budget.sent_away("421 too many")
    assert (budget.connections, budget.turned_away) == (6, "421 too many")


def test_a_session_that_is_ended_is_not_a_client_that_is_turned_away():
    budget = Budget()
    for unused in range(5):
        budget.spend()
        budget.sent_away("421 too many errors", at_the_door=False)
    assert budget.spend() == 6
    assert budget.turned_away == "421 too many errors"
