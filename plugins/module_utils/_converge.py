# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a server's present policy to the desired one: read, edit, plan, and then the transaction that writes.

This is the only place that knows check mode. It goes the same way up to the plan; then it stops.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ._goal import Goal, Safety
from ._policy.policy import Policy
from ._policy.value import Value
from ._servers.base import Conflict, MailServer


@dataclass(init=False, repr=False, eq=False)
class Outcome(Value):
    """What a convergence did, or in check mode would do: the policies before and after, actions in order.

    ``rule_warnings`` say nothing to somebody who manages no rules. ``backup`` is the folder with the state before,
    ``files_before`` that state in the server's own form; passwords may be in it.
    """

    changed: bool
    before: Policy
    after: Policy
    actions: t.Tuple[str, ...] = ()
    warnings: t.Tuple[str, ...] = ()
    rule_warnings: t.Tuple[str, ...] = ()
    backup: str = ""
    files_before: t.Mapping[str, str] = field(default_factory=dict, repr=False)


def converge(server: MailServer, goal: Goal, check_mode: bool, safety: Safety) -> Outcome:
    """Bring the server to a goal.

    A server that somebody else changed between reading and writing is read and planned once more;
    the second time it is an error. Raises ``PolicyError`` (nothing was written) and ``ServerError``.
    """
    try:
        return _converge_once(server, goal, check_mode, safety)
    except Conflict:
        return _converge_once(server, goal, check_mode, safety)


def _converge_once(server: MailServer, goal: Goal, check_mode: bool, safety: Safety) -> Outcome:
    snapshot = server.read()
    plan = goal.plan(server, snapshot)
    backup = ""
    if plan.actions:
        # Most runs change nothing, and a module's code is compiled anew in each of them.
        from ._transaction import Transaction

        transaction = Transaction(server, goal, snapshot, plan, safety)
        if not check_mode:
            backup = transaction.run()
    return Outcome(
        changed=bool(plan.actions),
        before=snapshot.policy,
        after=plan.desired,
        actions=plan.actions,
        warnings=snapshot.notes + plan.warnings,
        rule_warnings=snapshot.rule_notes,
        backup=backup,
        files_before=snapshot.files,
    )
