# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exceptions have a last day, ``until``; what happens to a task when it is over."""

from __future__ import annotations

import datetime
import typing as t

from .coverage import exceptions, shown_level
from .errors import PolicyError
from .policy import Policy

#: Values of the option ``expired_exceptions``.
WARN, FAIL = CHOICES = ("warn", "fail")


def expired(policy: Policy, day: datetime.date) -> t.List[str]:
    """A sentence about each exception whose last day was before ``day``."""
    date = day.isoformat()
    return [
        "rule %s: the exception for %s %s (level %s) was to end on %s%s; take it away or give it another until"
        % (rule.name, rule.domain, rule.direction, shown_level(rule), rule.until, _because(rule.reason))
        for rule in exceptions(policy)
        if rule.until is not None and rule.until < date
    ]


def check_expired(policy: Policy, choice: str, day: datetime.date) -> t.List[str]:
    """What to warn of when exceptions of a policy are over. With ``fail`` they are a :class:`PolicyError` instead."""
    said = expired(policy, day)
    if said and choice == FAIL:
        raise PolicyError(*said)
    return said


def _because(reason: t.Optional[str]) -> str:
    return " (reason: %s)" % reason if reason else ""
