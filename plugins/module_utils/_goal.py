# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run wants of a server, and how careful it is on the way."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ._policy.policy import Policy
from ._policy.value import Value
from ._servers.base import MailServer, Plan, Snapshot


@dataclass(init=False, repr=False, eq=False)
class Safety(Value):
    """How careful a run is. ``save``: the change survives a restart of the server.

    ``backup_dir`` is the folder that the state before the change is kept in, "" for no backup; ``peer`` (``host:port``
    of the admin interface) names the server there, ``facts`` are kept with it. ``probe_address`` is a listener
    (``ip:port``) to prove rules with, "" for the server's own ones, which are reached as ``hosts``; ``timeout`` is the
    limit for a proof in seconds.
    """

    save: bool = True
    backup_dir: str = ""
    peer: str = ""
    facts: t.Mapping[str, str] = field(default_factory=dict)
    probe_address: str = ""
    hosts: t.Tuple[str, ...] = ()
    timeout: float = 30.0


class Goal:
    """What a run wants of a server: a plan from any state, and whether a state is what the plan meant."""

    #: Whether rules that it brings are to be proved.
    proves = True

    def plan(self, server: MailServer, snapshot: Snapshot) -> Plan:
        """The way there from ``snapshot``. Raises ``PolicyError`` and ``ServerError``."""
        raise NotImplementedError

    def verify(self, server: MailServer, plan: Plan, found: Snapshot) -> None:
        """Raises ``ReadBackError`` when ``found`` is not what the plan meant."""
        raise NotImplementedError


class Edited(Goal):
    """The policy as an edit makes it."""

    def __init__(self, edit: t.Callable[[Policy], Policy]) -> None:
        self._edit = edit

    def plan(self, server: MailServer, snapshot: Snapshot) -> Plan:
        return server.plan(snapshot, self._edit(snapshot.policy))

    def verify(self, server: MailServer, plan: Plan, found: Snapshot) -> None:
        from ._read_back import verify

        verify(found.policy, plan.desired)
