# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked about which listeners, and the asking: many listeners, several hosts at a time, one of each host.

Options become values here before any connection is made, so that all bad input is named in one error. Then each
listener is looked at once, and what was seen is compared with what is expected as often as anybody likes.
"""

from __future__ import annotations

import time
import typing as t
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from .._policy.errors import Problems, arrived, shown
from . import declared, expected, profiles
from .budget import Budget
from .observation import ForcedDomain, Listener, Observation
from .question import Params, listeners
from .reply import NOT_ASKED
from .requirement import FAIL, PASS, UNOBSERVABLE, Requirement, Row
from .survey import CHECKS, DEFAULT_CHECKS, observe
from .verdict import failed, judge

#: Groups of checks that need a login name and its password.
_LOGINS = ("login", "wrong_password")

#: Forced domains of an expected policy that are tried on each listener. Those that a target names are all tried.
TRIED_DOMAINS = 50

#: Failing rows that a message names.
_NAMED = 5


@dataclass(frozen=True)
class Limits:
    """How much one listener is asked to bear: as in :class:`.budget.Budget`."""

    max_connections: int = 60
    timeout: float = 10.0
    total_timeout: float = 60.0
    pause: float = 0.0

    def budget(self) -> Budget:
        """A fresh allowance; its time begins to run now."""
        return Budget(self.max_connections, self.timeout, self.total_timeout, self.pause)


@dataclass(frozen=True)
class Expectation:
    """What listeners are compared with: names of profiles, and a policy as :func:`.declared.declared` gives it."""

    profiles: t.Tuple[str, ...] = ()
    policy: t.Optional[t.Mapping[str, t.Any]] = None

    def requirements(self, asked: Listener) -> t.List[Requirement]:
        """All that is asked of one listener: the policy first, then each profile."""
        found: t.List[Requirement] = []
        if self.policy is not None:
            found += expected.declared_requirements(self.policy, asked)
        for name in self.profiles:
            found += expected.profile_requirements(name, asked)
        return found


def expectation(expect: t.Any = None, profile: t.Any = None) -> Expectation:
    """What the options ``expect`` and ``profile`` ask for. Raises :class:`PolicyError`.

    ``expect`` is the name of a profile, a list of names, or a policy which may have the key ``profile`` too.
    """
    problems = Problems()
    names: t.Dict[str, None] = {}
    policy: t.Optional[t.Mapping[str, t.Any]] = None
    if isinstance(expect, dict):
        rest = {name: value for name, value in expect.items() if name != "profile"}
        _profiles(expect.get("profile"), "expect.profile", names, problems)
        with problems.collecting():
            policy = declared.declared(rest) if rest else None
        if not expect:
            problems.add("expect is empty; leave it out to expect nothing")
    else:
        _profiles(expect, "expect", names, problems)
        if isinstance(expect, (list, tuple)) and not expect:
            problems.add("expect is empty; leave it out to expect nothing")
    _profiles(profile, "profile", names, problems)
    problems.raise_any()
    return Expectation(tuple(names), policy)


def _profiles(value: t.Any, option: str, names: t.Dict[str, None], problems: Problems) -> None:
    if value is None:
        return
    entries = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(entries, (list, tuple)):
        problems.add("%s must be the name of a profile or a policy; got %s" % (option, arrived(value)))
        return
    for entry in entries:
        if not isinstance(entry, str):
            problems.add("%s must hold names of profiles; got %s" % (option, arrived(entry)))
        elif entry not in profiles.NAMES:
            problems.add("%s: there is no profile %s; there are %s" % (option, shown(entry), ", ".join(profiles.NAMES)))
        else:
            names.setdefault(entry)


@dataclass(frozen=True)
class Inquiry:
    """Which listeners are asked what, and what they are compared with. ``parallel`` is hosts at the same time."""

    listeners: t.Tuple[Listener, ...]
    checks: t.Tuple[str, ...] = tuple(DEFAULT_CHECKS)
    expectation: Expectation = Expectation()
    limits: Limits = Limits()
    parallel: int = 5
    #: What a person should know about the inquiry itself.
    notices: t.Tuple[str, ...] = ()

    def hosts(self) -> t.List[t.List[int]]:
        """The places of the listeners, those of one host together, in the order given."""
        found: t.Dict[str, t.List[int]] = {}
        for place, asked in enumerate(self.listeners):
            found.setdefault(asked.host, []).append(place)
        return list(found.values())

    def ask(self) -> Answer:
        """Look at every listener once, and judge. Nothing that a server or network does is raised."""
        begun = time.monotonic()
        seen: t.Dict[int, Observation] = {}

        def look(places: t.Sequence[int]) -> None:
            for place in places:
                seen[place] = observe(self.listeners[place], self.checks, self.limits.budget())

        hosts = self.hosts()
        with warnings.catch_warnings():
            # Filters belong to the process. Whoever of the threads changes them for a moment comes back to this one.
            warnings.simplefilter("ignore", DeprecationWarning)
            with ThreadPoolExecutor(min(self.parallel, len(hosts)) or 1) as pool:
                for done in [pool.submit(look, places) for places in hosts]:
                    done.result()
        observations = tuple(seen[place] for place in range(len(self.listeners)))
        rows = [row for found in observations for row in judge(found, self.expectation.requirements(found.listener))]
        return Answer(observations, tuple(rows), len(hosts), time.monotonic() - begun)


@dataclass(frozen=True)
class Answer:
    """What was seen, and what became of what was expected. ``seconds`` is the time that passed for all together."""

    observations: t.Tuple[Observation, ...]
    rows: t.Tuple[Row, ...]
    hosts: int
    seconds: float

    def documents(self, evidence: bool = True) -> t.List[t.Dict[str, t.Any]]:
        """The observations as plain data, the dialogues left out when nobody wants the ``evidence``."""
        found = [observation.document() for observation in self.observations]
        return found if evidence else [dict(document, dialogues=[]) for document in found]

    def failing(self, fail_on: str) -> t.List[Row]:
        """The rows that fail a task (:data:`.verdict.FAIL_ON`). What nobody asked the probe to look at never does."""
        return list(failed([row for row in self.rows if row.side != NOT_ASKED], fail_on))

    def summary(self) -> t.Dict[str, t.Any]:
        """Numbers and names for people."""
        found: t.Dict[str, t.Any] = {
            verdict: sum(1 for row in self.rows if row.verdict == verdict) for verdict in (PASS, FAIL, UNOBSERVABLE)
        }
        found["listeners"] = len(self.observations)
        found["hosts"] = self.hosts
        found["connections"] = sum(observation.connections for observation in self.observations)
        found["seconds"] = round(self.seconds, 3)
        for name, fact, value in (("unreachable", "reachable", False), ("throttled", "throttled", True)):
            found[name] = [
                observation.listener.address
                for observation in self.observations
                if observation.fact(fact).value is value
            ]
        return found

    def unseen(self, failing: t.Sequence[Row]) -> t.List[str]:
        """A notice about rows that were to be observed, were not, and are not among the failing ones."""
        rows = [row for row in self.rows if row.verdict == UNOBSERVABLE and row.check != "outside"]
        rows = [row for row in rows if row.side != NOT_ASKED and row not in failing]
        if not rows:
            return []
        first: t.Dict[str, Row] = {}
        for row in rows:
            first.setdefault(row.listener, row)
        named = ["%s: %s: %s" % (row.listener, row.title, row.seen) for row in list(first.values())[:_NAMED]]
        if len(first) > _NAMED:
            named.append("and %d more listeners" % (len(first) - _NAMED))
        return [
            "%d of %d checks could not be observed, so they are neither passed nor failed: %s"
            % (len(rows), len(self.rows), "; ".join(named))
        ]

    def words(self, failing: t.Sequence[Row]) -> str:
        """The first of the failing rows in one sentence."""
        # A policy and several profiles may ask for one thing: each keeps its row, and people read of it once.
        found: t.Dict[t.Tuple[str, ...], t.Dict[str, None]] = {}
        for row in failing:
            found.setdefault((row.listener, row.title, row.expected, row.seen), {})[row.source] = None
        named = [
            "%s: %s: expected %s, seen %s (%s)" % (what + ("; ".join(sources),))
            for what, sources in list(found.items())[:_NAMED]
        ]
        if len(found) > _NAMED:
            named.append("and %d more" % (len(found) - _NAMED))
        return "%d of %d checks failed: %s" % (len(failing), len(self.rows), "; ".join(named))


def inquiry(params: Params) -> Inquiry:
    """The inquiry that the options of ``smtp_probe`` describe. Raises :class:`PolicyError` with all that is wrong."""
    problems = Problems()
    asked: t.List[Listener] = []
    expect = Expectation()
    with problems.collecting():
        asked = listeners(params["targets"], params.get("ca_file"), params.get("client_name"))
    with problems.collecting():
        expect = expectation(params.get("expect"), params.get("profile"))
    checks = _checks(params.get("checks"), asked, problems)
    limits = Limits(**{name: params[name] for name in ("max_connections", "timeout", "total_timeout", "pause")})
    _check_limits(limits, params["parallel"], problems)
    problems.raise_any()
    notices: t.List[str] = []
    asked = with_policy_domains(asked, expect, notices)
    notices += uncovered(asked, expect)
    return Inquiry(tuple(asked), checks, expect, limits, params["parallel"], tuple(notices))


def _checks(
    names: t.Optional[t.Sequence[str]], asked: t.Sequence[Listener], problems: Problems
) -> t.Tuple[str, ...]:
    if names is None:
        return tuple(DEFAULT_CHECKS)
    if not names:
        problems.add("checks is empty; leave it out for the usual ones: %s" % ", ".join(DEFAULT_CHECKS))
    needy = [name for name in _LOGINS if name in names]
    if needy and asked and not any(target.credentials for target in asked):
        problems.add("checks: %s needs username and password, and no target has them" % ", ".join(needy))
    return tuple(name for name in CHECKS if name in names)


def _check_limits(limits: Limits, parallel: int, problems: Problems) -> None:
    for name, least in (("max_connections", 1), ("timeout", 0.1), ("total_timeout", 0.1), ("pause", 0)):
        value = getattr(limits, name)
        # A number that is no number is not less than anything either.
        if not least <= value <= 86400:
            problems.add("%s must be from %g to 86400; got %s" % (name, least, value))
    if not 1 <= parallel <= 100:
        problems.add("parallel must be from 1 to 100; got %s" % parallel)


def with_policy_domains(
    asked: t.Sequence[Listener], expect: Expectation, notices: t.List[str]
) -> t.List[Listener]:
    """The listeners with the forced domains of the expected policy, exceptions first: they must be tried to be seen."""
    policy = expect.policy or {}
    known = {
        entry["domain"]: ForcedDomain(entry["domain"], entry.get("reject_message"), exempt)
        for exempt, entries in ((True, declared.exempt_domains(policy)), (False, declared.forced_domains(policy)))
        for entry in entries
        # Which names there are below a domain nobody outside knows.
        if entry["domain"][0] not in ".*"
    }
    tried = list(known.values())[:TRIED_DOMAINS]
    if len(known) > len(tried):
        notices.append(
            "%d forced-TLS domains are expected and the first %d are tried; those that a target names in "
            "forced_tls_domains are all tried" % (len(known), len(tried))
        )
    found = []
    for target in asked:
        own = {forced.domain: forced for forced in target.forced_domains}
        more = tuple(forced for forced in tried if forced.domain not in own)
        found.append(replace(target, forced_domains=target.forced_domains + more))
    return found


def uncovered(asked: t.Sequence[Listener], expect: Expectation) -> t.List[str]:
    """A notice about the listeners of the expected policy that are not among those that are looked at."""
    if expect.policy is None:
        return []
    policy = expect.policy
    matches = [expected.declared_listener(policy, target)[0] for target in asked]
    covered = [match["address"] for match in matches if match is not None]
    missing = [
        entry["address"]
        for entry in policy.get("listeners") or ()
        if entry["enabled"] and entry["address"] not in covered
    ]
    if not missing:
        return []
    words = "the expected policy has listeners that no target covers, so nothing is said about them: %s"
    return [words % ", ".join(missing)]
