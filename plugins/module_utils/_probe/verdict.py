# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The judge: what was observed of a listener, against what is asked of it. It looks at nothing itself.

What could not be observed is ``unobservable`` with the words and the side of the fact, never a pass. What a
requirement is about may not exist at a listener: where the observation shows that (a version that is refused has no
suites), the row passes and says so; where it does not show it, the row is unobservable.
"""

from __future__ import annotations

import re
import typing as t

from .._policy.reply_code import says
from .finding import Finding, Judge, Parameters, settled, simple, unseen
from .observation import Observation
from .reply import NOT_ASKED, SERVER_BUSY, SERVER_REPLY
from .requirement import ERROR, FAIL, PASS, UNOBSERVABLE, Requirement, Row
from .tls_verdict import TLS_JUDGES

#: Words of a connection that did not even leave this host. "No route to host" is what firewalls let say, too.
_NOBODY_ASKED = re.compile(r"\Ano address for |\Ano answer about the name |: Network is unreachable\Z")

#: Values of ``fail_on``, and what they are about (:func:`failed`).
FAIL_ON = ("error", "warning", "never")


def judge(observation: Observation, requirements: t.Iterable[Requirement]) -> t.List[Row]:
    """One row for each requirement, in the same order."""
    rows = []
    for requirement in requirements:
        finding = JUDGES[requirement.check](observation, requirement.parameters)
        rows.append(
            Row(
                listener=observation.listener.address,
                check=requirement.check,
                parameters=requirement.parameters,
                title=requirement.title,
                expected=requirement.expected,
                seen=finding.seen,
                verdict=finding.verdict,
                severity=requirement.severity,
                source=requirement.source,
                origin=requirement.origin,
                side=finding.side,
                evidence=finding.evidence,
            )
        )
    return rows


def failed(rows: t.Iterable[Row], fail_on: str = "error") -> t.List[Row]:
    """The rows for which a run fails, errors first.

    ``error``: what failed and is an error, and the first error of a listener of which nothing could be seen at all: a run
    that saw nothing has proven nothing. ``warning``: everything that failed, and what could not be observed though
    it can be seen from outside in principle. ``never``: none. Raises ValueError for another word.
    """
    if fail_on not in FAIL_ON:
        raise ValueError("fail_on must be one of %s; got %r" % (", ".join(FAIL_ON), fail_on))
    if fail_on == "never":
        return []
    rows = list(rows)
    found = [row for row in rows if row.verdict == FAIL and row.severity == ERROR]
    if fail_on == "error":
        found += _unseen_listeners(rows)
    else:
        found += [row for row in rows if row.verdict == FAIL and row.severity != ERROR]
        found += [row for row in rows if row.verdict == UNOBSERVABLE and row.check != "outside"]
    return found


def _unseen_listeners(rows: t.Sequence[Row]) -> t.List[Row]:
    """The first error of each listener that shows no more than that it is there. One that is not there fails already."""
    found: t.Dict[str, t.List[Row]] = {}
    for row in rows:
        there = row.check in ("reachable", "declared") and row.verdict != FAIL
        if not there and row.check != "outside" and row.side != NOT_ASKED:
            found.setdefault(row.listener, []).append(row)
    unseen = [asked for asked in found.values() if all(row.verdict == UNOBSERVABLE for row in asked)]
    return [row for asked in unseen for row in [row for row in asked if row.severity == ERROR][:1]]


# ---- the conversation


def _declared(_observation: Observation, parameters: Parameters) -> Finding:
    return Finding(FAIL, parameters.get("reason") or "the policy has no such listener")


def _outside(_observation: Observation, parameters: Parameters) -> Finding:
    return Finding(UNOBSERVABLE, "not observable: %s" % parameters["why"])


def _reachable(observation: Observation, parameters: Parameters) -> Finding:
    """A listener that must not be there passes when the connection was refused or nobody answered.

    Not when nobody was asked: a name without an address, and no way from here, say nothing about the listener.
    """
    fact = observation.fact("reachable")
    wanted = parameters.get("reachable", True)
    if not fact.observable or (not wanted and fact.value is False and _NOBODY_ASKED.search(fact.seen)):
        return unseen(fact)
    return settled(fact.value is wanted, [fact])


def _greeting(observation: Observation, _parameters: Parameters) -> Finding:
    """A greeting 4xx says that the server has no time, and nothing else."""
    fact = observation.fact("banner")
    if not fact.observable:
        return unseen(fact)
    if 400 <= fact.value["code"] < 500:
        return Finding(UNOBSERVABLE, fact.seen, fact.side or SERVER_BUSY, fact.evidence)
    return settled(fact.value["code"] == 220, [fact])


def _tls_mode(observation: Observation, parameters: Parameters) -> Finding:
    """Which of ``none``, ``starttls`` and ``implicit`` a listener is, as far as looking in one mode can tell."""
    wanted, looked = parameters["mode"], observation.listener.tls
    banner = observation.fact("banner")
    if looked == "implicit":
        # In this mode a banner was read inside TLS.
        if banner.observable:
            return settled(wanted == "implicit", [banner], "TLS from the first byte")
        return unseen(banner, "looked at as a listener with implicit TLS: %s" % banner.seen)
    if not banner.observable:
        return unseen(banner, "looked at as a listener that speaks in clear first: %s" % banner.seen)
    offered = observation.fact("starttls_offered")
    if wanted == "implicit":
        return settled(False, [banner], "speaks in clear first: %s" % banner.seen)
    if not offered.observable:
        return unseen(offered)
    return settled(offered.value is (wanted == "starttls"), [offered, banner])


def _silent_in_clear(observation: Observation, parameters: Parameters) -> Finding:
    """About implicit TLS only: any other listener has to speak first. Where one does, it does not apply and passes."""
    if observation.listener.tls == "implicit":
        return simple("silent_in_clear", True)(observation, parameters)
    banner = observation.fact("banner")
    if not banner.observable:
        return unseen(banner)
    return Finding(PASS, "does not apply: this listener speaks in clear first", evidence=banner.evidence)


def _starttls_offered(observation: Observation, parameters: Parameters) -> Finding:
    return simple("starttls_offered", bool(parameters.get("offered", True)))(observation, parameters)


# ---- authentication and mail


def _named(prefix: str, parameter: str, wanted: t.Any) -> Judge:
    """As :func:`.finding.simple`, for facts that are named after a parameter."""

    def look(observation: Observation, parameters: Parameters) -> Finding:
        return simple("%s.%s" % (prefix, parameters[parameter]), wanted)(observation, parameters)

    return look


def _offered(name: str) -> Judge:
    def look(observation: Observation, parameters: Parameters) -> Finding:
        fact = observation.fact(name)
        if not fact.observable:
            return unseen(fact)
        return settled(set(fact.value) == set(parameters["mechanisms"]), [fact])

    return look


def _first(reply: t.Mapping[str, t.Any]) -> str:
    return "%d %s" % (reply["code"], reply.get("text") or "")


def _mail_refused(name: str) -> Judge:
    """The judge of a refusal of MAIL; its words are those of the rule, when the policy says which."""

    def look(observation: Observation, parameters: Parameters) -> Finding:
        fact = observation.fact(name)
        if not fact.observable:
            return unseen(fact)
        code, explanation = fact.value["code"], parameters.get("explanation")
        if 400 <= code < 500:
            return Finding(UNOBSERVABLE, fact.seen, fact.side or SERVER_BUSY, fact.evidence)
        right = not explanation or says(code, fact.value.get("text") or "", explanation)
        return settled(500 <= code < 600 and right, [fact])

    return look


def _forced_clear(observation: Observation, parameters: Parameters) -> Finding:
    """530 wants a login or STARTTLS of everybody, so that the rule of the domain did not come to be asked."""
    fact = observation.fact("forced_clear.%s" % parameters["domain"])
    if not fact.observable:
        return unseen(fact)
    code, message = fact.value["code"], parameters.get("reject_message")
    right = not message or says(code, fact.value.get("text") or "", message)
    if 400 <= code < 500:
        return Finding(UNOBSERVABLE, fact.seen, fact.side or SERVER_BUSY, fact.evidence)
    if code == 530 and not (message and right):
        words = "refused before the domain counts: %s" % _first(fact.value)
        return Finding(UNOBSERVABLE, words, fact.side or SERVER_REPLY, fact.evidence)
    return settled(500 <= code < 600 and right, [fact])


def _accepted(prefix: str) -> Judge:
    """The judge of a reply to RCPT that must be 2xx. 4xx and 530 say nothing about the domain."""

    def look(observation: Observation, parameters: Parameters) -> Finding:
        fact = observation.fact("%s.%s" % (prefix, parameters["domain"]))
        if not fact.observable:
            return unseen(fact)
        code = fact.value["code"]
        if 400 <= code < 500:
            return Finding(UNOBSERVABLE, fact.seen, fact.side or SERVER_BUSY, fact.evidence)
        if code == 530:
            words = "refused before the domain counts: %s" % _first(fact.value)
            return Finding(UNOBSERVABLE, words, fact.side or SERVER_REPLY, fact.evidence)
        return settled(200 <= code < 300, [fact])

    return look


#: Every kind of check has exactly one judge.
JUDGES: t.Dict[str, Judge] = {
    "declared": _declared,
    "tls_mode": _tls_mode,
    "reachable": _reachable,
    "greeting": _greeting,
    "silent_in_clear": _silent_in_clear,
    "starttls_offered": _starttls_offered,
    "starttls_works": simple("starttls_works", True),
    "starttls_inside_tls": simple("starttls_inside_tls", False),
    "auth_offered_clear": _offered("auth_offered_clear"),
    "auth_refused_clear": _named("auth_clear", "mechanism", "refused"),
    "auth_offered_tls": _offered("auth_offered_tls"),
    "auth_refused_tls": _named("auth_tls", "mechanism", "refused"),
    "login": _named("login", "mechanism", True),
    "wrong_password": _named("wrong_password", "mechanism", 535),
    "injection": simple("injection", False),
    "late_plaintext": simple("late_plaintext", False),
    "ehlo_again": simple("ehlo_again", True),
    "transaction_forgotten": simple("transaction_forgotten", True),
    "open_relay": simple("open_relay", False),
    "mail_refused_clear": _mail_refused("mail_clear"),
    "mail_refused_tls": _mail_refused("mail_tls"),
    "forced_clear": _forced_clear,
    "forced_tls": _accepted("forced_tls"),
    "other_clear": _accepted("other_clear"),
    "outside": _outside,
}
JUDGES.update(TLS_JUDGES)
