# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look at one listener once, with as few connections as it takes: everything that is asked about it becomes a fact."""

from __future__ import annotations

import typing as t

from . import conversation_survey, session_survey, tls_survey
from .budget import Budget
from .observation import Listener, Observation
from .visit import Visit

#: The groups of facts, in the order in which they are asked for in documents.
CHECKS = (
    "dialogue",
    "auth",
    "session",
    "relay",
    "forced_domains",
    "versions",
    "certificate",
    "suites",
    "login",
    "wrong_password",
)
#: What is looked at when nobody says anything. ``login`` and ``forced_domains`` join when there is something to try.
DEFAULT_CHECKS = tuple(name for name in CHECKS if name not in ("login", "wrong_password", "forced_domains"))


def asked(listener: Listener, checks: t.Optional[t.Iterable[str]] = None) -> t.Tuple[str, ...]:
    """The groups to look at, in the order of :data:`CHECKS`. Raises ValueError for an unknown one.

    To all of :data:`DEFAULT_CHECKS`, what the listener brings the means for is added.
    """
    wanted = set(DEFAULT_CHECKS if checks is None else checks)
    unknown = sorted(wanted.difference(CHECKS))
    if unknown:
        raise ValueError("unknown checks: %s; known are %s" % (", ".join(unknown), ", ".join(CHECKS)))
    if wanted.issuperset(DEFAULT_CHECKS):
        wanted.update(["login"] if listener.credentials else [])
        wanted.update(["forced_domains"] if listener.forced_domains else [])
    return tuple(name for name in CHECKS if name in wanted)


def observe(listener: Listener, checks: t.Optional[t.Iterable[str]], budget: Budget) -> Observation:
    """All facts of the groups ``checks`` (None: the usual ones), as far as ``budget`` goes.

    The seconds of the budget count from its making. Raises ValueError for an unknown group, and nothing for what a
    server or a network does: what could not be seen is a fact that says so.
    """
    groups = asked(listener, checks)
    visit = Visit(listener, budget)
    conversation = conversation_survey.survey(visit, groups)
    if listener.tls == "implicit" and "dialogue" in groups:
        session_survey.silence(visit)
    tls = None if listener.tls == "none" else tls_survey.TlsSurvey(visit, groups)
    if tls is not None:
        tls.begin()
    if listener.tls == "starttls" and "session" in groups:
        session_survey.seam(visit, conversation.offered_inside is not None)
    if tls is not None:
        # Many connections: what is asked with few of them comes before.
        tls.finish()
    if listener.credentials:
        for name in ("login", "wrong_password"):
            if name in groups:
                offered, trouble = conversation.offered_inside, conversation.trouble
                session_survey.logins(visit, offered, trouble, name == "wrong_password")
    session_survey.doubt_silence(visit)
    if budget.turned_away:
        visit.note("throttled", True, budget.turned_away, evidence=())
    else:
        visit.note("throttled", False, "never turned away", evidence=())
    return Observation(listener, visit.facts, visit.dialogues, budget.connections, budget.seconds, groups)
