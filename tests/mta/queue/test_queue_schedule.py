# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schedule of attempts, days in microseconds."""

from __future__ import annotations

import pytest
from postern.delivery.schedule import Schedule

HOUR = 3600


def attempts(schedule: Schedule, received: float = 0.0) -> list[float]:
    """When mail is tried that nobody takes, until it is given up."""
    times = [received]
    while not schedule.is_over(received, times[-1]):
        times.append(schedule.next_attempt(received, len(times) - 1, times[-1]))
    return times


def test_the_waits_grow_and_then_stay():
    # 4 h is the moment at which the sender is told; without it the waits are as they are written.
    times = attempts(Schedule(warn_after=0))
    waits = [round((after - before) / 60) for before, after in zip(times, times[1:])]
    assert waits[:8] == [5, 15, 30, 60, 120, 240, 240, 240]
    assert set(waits[5:-1]) == {240}


@pytest.mark.parametrize("received", [0.0, 1_700_000_000.25])
def test_the_sender_is_told_and_the_mail_given_up_on_time(received):
    schedule = Schedule()
    times = attempts(schedule, received)
    assert times[-1] == received + 5 * 24 * HOUR
    late = [time for time in times if schedule.is_late(received, time)]
    assert late[0] == received + 4 * HOUR
    assert times == sorted(set(times))


def test_a_short_list_of_waits():
    assert attempts(Schedule(retry=(0.25,), lifetime=1, warn_after=0)) == [0, 0.25, 0.5, 0.75, 1]
    schedule = Schedule(warn_after=0)
    assert not schedule.is_late(0, 1e9)


def test_mail_older_than_its_lifetime_is_over_at_once():
    # A server that was off for a week: the attempt is made, and then it is over.
    schedule = Schedule()
    assert schedule.is_over(0, 7 * 24 * HOUR)
    assert schedule.next_attempt(0, 3, 7 * 24 * HOUR) > 7 * 24 * HOUR
