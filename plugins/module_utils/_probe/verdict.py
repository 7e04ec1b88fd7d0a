# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The judge: what was observed of a listener, against what is asked of it. It looks at nothing itself.

What could not be observed is ``unobservable`` with the words and the side of the fact, never a pass. What a
requirement is about may not exist at a listener: where the observation shows that (a version that is refused has no
suites), the row passes and says so; where it does not show it, the row is unobservable.
"""

from __future__ import annotations

import typing as t

from .family import members
from .observation import Fact, Observation
from .requirement import ERROR, FAIL, PASS, UNOBSERVABLE, Requirement, Row
from .smtp import SERVER_BUSY, SERVER_REPLY
from .suites import VERSIONS, is_cbc

#: Values of ``fail_on``, and what they are about (:func:`failed`).
FAIL_ON = ("error", "warning", "never")

#: Versions whose suites name the key exchange, and whose hellos hold the extensions of old.
_UP_TO_TLS12 = tuple(version for version in VERSIONS if version not in ("SSLv2", "TLSv1.3"))

_SHOWN = 8

_Parameters = t.Mapping[str, t.Any]


class Finding(t.NamedTuple):
    """A verdict, in words what it rests on, the side that refused or is in the way, and the evidence."""

    verdict: str
    seen: str
    side: str = ""
    evidence: t.Tuple[int, ...] = ()


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

    ``error``: what failed and is an error. ``warning``: everything that failed, and what could not be observed though
    it can be seen from outside in principle. ``never``: none. Raises ValueError for another word.
    """
    if fail_on not in FAIL_ON:
        raise ValueError("fail_on must be one of %s; got %r" % (", ".join(FAIL_ON), fail_on))
    if fail_on == "never":
        return []
    rows = list(rows)
    found = [row for row in rows if row.verdict == FAIL and row.severity == ERROR]
    if fail_on == "warning":
        found += [row for row in rows if row.verdict == FAIL and row.severity != ERROR]
        found += [row for row in rows if row.verdict == UNOBSERVABLE and row.check != "outside"]
    return found


# ---- findings from facts


def _found(good: bool, facts: t.Sequence[Fact], seen: t.Optional[str] = None) -> Finding:
    """Pass or fail; words and side are those of the first fact unless there are better words."""
    evidence = sorted({number for fact in facts for number in fact.evidence})
    words = facts[0].seen if seen is None else seen
    return Finding(PASS if good else FAIL, words, facts[0].side, tuple(evidence))


def _unseen(fact: Fact, seen: t.Optional[str] = None) -> Finding:
    return Finding(UNOBSERVABLE, fact.seen if seen is None else seen, fact.side, fact.evidence)


def _list(names: t.Sequence[str]) -> str:
    if len(names) <= _SHOWN:
        return ", ".join(names)
    return "%s and %d more" % (", ".join(names[:_SHOWN]), len(names) - _SHOWN)


def _simple(name: str, wanted: t.Any) -> t.Callable[[Observation, _Parameters], Finding]:
    """The judge of a fact that has exactly one good value."""

    def look(observation: Observation, _parameters: _Parameters) -> Finding:
        fact = observation.fact(name)
        return _found(fact.value == wanted, [fact]) if fact.observable else _unseen(fact)

    return look


def _named(prefix: str, parameter: str, wanted: t.Any) -> t.Callable[[Observation, _Parameters], Finding]:
    """As :func:`_simple`, for facts that are named after a parameter."""

    def look(observation: Observation, parameters: _Parameters) -> Finding:
        return _simple("%s.%s" % (prefix, parameters[parameter]), wanted)(observation, parameters)

    return look


def _refused(observation: Observation, versions: t.Sequence[str]) -> t.Optional[t.List[Fact]]:
    """The facts that show that none of these versions is accepted, or None when they do not show it."""
    facts = [observation.fact("version." + version) for version in versions]
    return facts if all(fact.observable and fact.value is False for fact in facts) else None


# ---- the conversation


def _declared(_observation: Observation, parameters: _Parameters) -> Finding:
    return Finding(FAIL, parameters.get("reason") or "the policy has no such listener")


def _outside(_observation: Observation, parameters: _Parameters) -> Finding:
    return Finding(UNOBSERVABLE, "not observable: %s" % parameters["why"])


def _reachable(observation: Observation, parameters: _Parameters) -> Finding:
    """A listener that must not be there passes when the connection was refused or nobody answered."""
    fact = observation.fact("reachable")
    if not fact.observable:
        return _unseen(fact)
    return _found(fact.value is parameters.get("reachable", True), [fact])


def _greeting(observation: Observation, _parameters: _Parameters) -> Finding:
    """A greeting 4xx says that the server has no time, and nothing else."""
    fact = observation.fact("banner")
    if not fact.observable:
        return _unseen(fact)
    if 400 <= fact.value["code"] < 500:
        return Finding(UNOBSERVABLE, fact.seen, fact.side or SERVER_BUSY, fact.evidence)
    return _found(fact.value["code"] == 220, [fact])


def _tls_mode(observation: Observation, parameters: _Parameters) -> Finding:
    """Which of ``none``, ``starttls`` and ``implicit`` a listener is, as far as looking in one mode can tell."""
    wanted, looked = parameters["mode"], observation.listener.tls
    banner = observation.fact("banner")
    if looked == "implicit":
        # In this mode a banner was read inside TLS.
        if banner.observable:
            return _found(wanted == "implicit", [banner], "TLS from the first byte")
        return _unseen(banner, "looked at as a listener with implicit TLS: %s" % banner.seen)
    if not banner.observable:
        return _unseen(banner, "looked at as a listener that speaks in clear first: %s" % banner.seen)
    offered = observation.fact("starttls_offered")
    if wanted == "implicit":
        return _found(False, [banner], "speaks in clear first: %s" % banner.seen)
    if not offered.observable:
        return _unseen(offered)
    return _found(offered.value is (wanted == "starttls"), [offered, banner])


def _silent_in_clear(observation: Observation, parameters: _Parameters) -> Finding:
    """About implicit TLS only: any other listener has to speak first, so there it does not apply and passes."""
    if observation.listener.tls != "implicit":
        return Finding(PASS, "does not apply: this listener speaks in clear first")
    return _simple("silent_in_clear", True)(observation, parameters)


def _starttls_offered(observation: Observation, parameters: _Parameters) -> Finding:
    return _simple("starttls_offered", bool(parameters.get("offered", True)))(observation, parameters)


# ---- versions, suites, groups


def _version(observation: Observation, parameters: _Parameters) -> Finding:
    fact = observation.fact("version." + parameters["version"])
    return _found(fact.value is parameters["accepted"], [fact]) if fact.observable else _unseen(fact)


def _suites(observation: Observation, parameters: _Parameters) -> Finding:
    """A version that is refused has no suites and passes. A list with a bad suite fails, be it complete or not."""
    version = parameters["version"]
    refused = _refused(observation, [version])
    if refused is not None:
        return _found(True, refused, "%s is refused, and so are its suites" % version)
    fact = observation.fact("suites." + version)
    if not fact.observable:
        accepted = observation.fact("version." + version)
        return _unseen(fact if accepted.observable else accepted)
    found = fact.value["accepted"]
    if parameters.get("forbidden") is not None:
        bad = members(found, parameters["forbidden"])
    elif parameters.get("allowed") is not None:
        bad = [name for name in found if name not in parameters["allowed"]]
    else:
        return _unseen(fact, "%s; accepted are %s" % (parameters.get("reason") or "no list to compare", _list(found)))
    if bad:
        return _found(False, [fact], "accepts %s" % _list(bad))
    if not fact.value["complete"]:
        return _unseen(fact, "nothing else so far, but not all suites were tried: %s" % fact.seen)
    return _found(True, [fact], "accepts %s" % (_list(found) or "none"))


def _suite_offered(observation: Observation, parameters: _Parameters) -> Finding:
    """Does not apply, and passes, where the version is refused: whether it may be is another requirement."""
    version = parameters["version"]
    refused = _refused(observation, [version])
    if refused is not None:
        return _found(True, refused, "does not apply: %s is refused" % version)
    fact = observation.fact("suites." + version)
    if not fact.observable:
        accepted = observation.fact("version." + version)
        return _unseen(fact if accepted.observable else accepted)
    there = [name for name in fact.value["accepted"] if name in parameters["any_of"]]
    if there:
        return _found(True, [fact], "accepts %s" % _list(there))
    if not fact.value["complete"]:
        return _unseen(fact, "none so far, but not all suites were tried: %s" % fact.seen)
    return _found(False, [fact], "accepts only %s" % (_list(fact.value["accepted"]) or "none"))


def _known_suites(observation: Observation) -> t.Tuple[t.List[str], bool, t.List[Fact]]:
    """All suites of SSL 3.0 to TLS 1.2 that are known to be accepted, whether these are all, and the facts."""
    names: t.Dict[str, None] = {}
    complete, facts = True, []
    for version in _UP_TO_TLS12:
        refused = _refused(observation, [version])
        if refused is not None:
            facts += refused
            continue
        fact = observation.fact("suites." + version)
        if not fact.observable:
            complete = False
            continue
        facts.append(fact)
        names.update(dict.fromkeys(fact.value["accepted"]))
        complete = complete and bool(fact.value["complete"])
    return list(names), complete, facts


def _server_preference(observation: Observation, parameters: _Parameters) -> Finding:
    """With less than two suites of TLS 1.2 and older there is no order: the requirement does not apply and passes."""
    fact = observation.fact("server_preference")
    if fact.observable:
        return _found(fact.value == parameters["by"], [fact])
    names, complete, facts = _known_suites(observation)
    if complete and len(names) < 2:
        return _found(True, facts, "does not apply: accepts %s" % (names[0] if names else "nothing before TLS 1.3"))
    return _unseen(fact)


def _groups(observation: Observation, parameters: _Parameters) -> Finding:
    fact = observation.fact("groups")
    if not fact.observable:
        return _unseen(fact)
    found = fact.value["accepted"]
    bad = [name for name in found if name not in parameters["allowed"]]
    if bad:
        return _found(False, [fact], "accepts %s" % _list(bad))
    if not fact.value["complete"]:
        return _unseen(fact, "nothing else so far, but not all groups were tried: %s" % fact.seen)
    return _found(True, [fact], "accepts %s" % (_list(found) or "none"))


def _group_offered(observation: Observation, parameters: _Parameters) -> Finding:
    fact = observation.fact("groups")
    if not fact.observable:
        return _unseen(fact)
    if parameters["group"] in fact.value["accepted"]:
        return _found(True, [fact], "accepted")
    if not fact.value["complete"]:
        return _unseen(fact, "not so far, but not all groups were tried: %s" % fact.seen)
    return _found(False, [fact], "refused; accepts %s" % (_list(fact.value["accepted"]) or "none"))


def _dh_size(observation: Observation, parameters: _Parameters) -> Finding:
    """Passes where it is known that no DHE suite is accepted; unobservable where that is not known."""
    fact = observation.fact("dh_bits")
    if fact.observable:
        return _found(fact.value >= parameters["bits"], [fact])
    names, complete, facts = _known_suites(observation)
    if complete and not members(names, ["dhe"]):
        return _found(True, facts, "accepts no DHE suite")
    return _unseen(fact)


def _old_hello(name: str, wanted: bool) -> t.Callable[[Observation, _Parameters], Finding]:
    """The judge of what a ServerHello of TLS 1.2 or older says.

    TLS 1.3 settled all of it (RFC 8446), so that a listener that is known to refuse everything older passes.
    """

    def look(observation: Observation, _parameters: _Parameters) -> Finding:
        fact = observation.fact(name)
        if fact.observable:
            return _found(fact.value is wanted, [fact])
        refused = _refused(observation, _UP_TO_TLS12)
        if refused is not None:
            return _found(True, refused, "settled by TLS 1.3: everything older is refused")
        return _unseen(fact)

    return look


def _encrypt_then_mac(observation: Observation, _parameters: _Parameters) -> Finding:
    """About CBC suites only: passes where it is known that none is accepted (RFC 7366 section 3)."""
    fact = observation.fact("encrypt_then_mac")
    names, complete, facts = _known_suites(observation)
    cbc = [name for name in names if is_cbc(name)]
    if complete and not cbc:
        return _found(True, facts, "accepts no CBC suite")
    if not fact.observable:
        return _unseen(fact)
    if fact.value or cbc:
        return _found(bool(fact.value), [fact])
    return _unseen(fact, "%s, but not all suites were tried" % fact.seen)


# ---- the certificate


def _certificate_valid(observation: Observation, parameters: _Parameters) -> Finding:
    """``days_left`` counts from the observation; more of them than the certificate lives for: it has not begun."""
    fact = observation.fact("certificate")
    if not fact.observable:
        return _unseen(fact)
    left, wanted = fact.value["days_left"], parameters.get("days_left") or 0
    if left < 0:
        return _found(False, [fact], "ended %s" % fact.value["not_after"])
    if left > fact.value["lifetime_days"]:
        return _found(False, [fact], "begins %s" % fact.value["not_before"])
    return _found(left >= wanted, [fact], "%d days left, until %s" % (left, fact.value["not_after"]))


def _certificate_lifetime(observation: Observation, parameters: _Parameters) -> Finding:
    fact = observation.fact("certificate")
    if not fact.observable:
        return _unseen(fact)
    days = fact.value["lifetime_days"]
    return _found(days <= parameters["days"], [fact], "%d days" % days)


#: Other names of curves -> the names in this module.
_CURVES = {
    "prime256v1": "P-256",
    "secp256r1": "P-256",
    "secp384r1": "P-384",
    "secp521r1": "P-521",
    "brainpoolp256r1": "brainpoolP256r1",
    "brainpoolp384r1": "brainpoolP384r1",
    "brainpoolp512r1": "brainpoolP512r1",
}


def _certificate_key(observation: Observation, parameters: _Parameters) -> Finding:
    """RSA and DSA keys need ``rsa_bits`` (None: there must be none), all others ``ec_bits`` and one of the ``curves``."""
    fact = observation.fact("certificate")
    if not fact.observable:
        return _unseen(fact)
    kind, bits = fact.value["key"], fact.value["key_bits"]
    if kind in ("RSA", "DSA"):
        least = parameters["rsa_bits"]
        return _found(least is not None and bits >= least, [fact], "%s, %d bits" % (kind, bits))
    curve = str(fact.value.get("curve") or kind)
    curve = _CURVES.get(curve.lower(), curve)
    curves = parameters.get("curves")
    good = bits >= parameters["ec_bits"] and (not curves or curve in curves)
    return _found(good, [fact], "%s, %d bits" % (curve, bits))


def _certificate_signature(observation: Observation, parameters: _Parameters) -> Finding:
    """Looks at the whole chain that was sent, where that can be seen; at the server's own only with ``of`` "leaf".

    The signature of a root on itself proves nothing and is passed over. ``forbidden`` names hashes ("sha1"), "pkcs1"
    for RSA signatures other than PSS, and "rsa" for all RSA signatures.
    """
    leaf, chain = observation.fact("certificate"), observation.fact("chain")
    if parameters.get("of") == "leaf":
        chain = leaf
    if not leaf.observable and not chain.observable:
        return _unseen(leaf)
    facts = [fact for fact in (leaf, chain) if fact.observable][: 1 if chain is leaf else 2]
    found = [leaf.value] if leaf.observable else []
    if chain is not leaf and chain.observable:
        found += list(chain.value)
    bad = [
        "%s signed with %s" % (certificate.get("subject") or "a certificate", certificate["signature"])
        for number, certificate in enumerate(found)
        if (number == 0 or not certificate.get("self_signed"))
        and any(_signed_with(certificate, word) for word in parameters["forbidden"])
    ]
    if bad:
        return _found(False, facts, _list(list(dict.fromkeys(bad))))
    names = list(dict.fromkeys(certificate["signature"] for certificate in found))
    return _found(True, facts, _list(names))


def _signed_with(certificate: t.Mapping[str, t.Any], word: str) -> bool:
    signature = str(certificate["signature"]).lower()
    if word in ("pkcs1", "rsa"):
        return "rsa" in signature and (word == "rsa" or "pss" not in signature)
    return str(certificate.get("signature_hash") or "").lower().replace("-", "") == word


# ---- authentication and mail


def _offered(name: str) -> t.Callable[[Observation, _Parameters], Finding]:
    def look(observation: Observation, parameters: _Parameters) -> Finding:
        fact = observation.fact(name)
        if not fact.observable:
            return _unseen(fact)
        return _found(set(fact.value) == set(parameters["mechanisms"]), [fact])

    return look


def _first(reply: t.Mapping[str, t.Any]) -> str:
    return "%d %s" % (reply["code"], reply.get("text") or "")


def _forced_clear(observation: Observation, parameters: _Parameters) -> Finding:
    """530 wants a login or STARTTLS of everybody, so that the rule of the domain did not come to be asked."""
    fact = observation.fact("forced_clear.%s" % parameters["domain"])
    if not fact.observable:
        return _unseen(fact)
    code, message = fact.value["code"], parameters.get("reject_message")
    right = not message or fact.value.get("text") == message
    if 400 <= code < 500:
        return Finding(UNOBSERVABLE, fact.seen, fact.side or SERVER_BUSY, fact.evidence)
    if code == 530 and not (message and right):
        words = "refused before the domain counts: %s" % _first(fact.value)
        return Finding(UNOBSERVABLE, words, fact.side or SERVER_REPLY, fact.evidence)
    return _found(500 <= code < 600 and right, [fact])


def _accepted(prefix: str) -> t.Callable[[Observation, _Parameters], Finding]:
    """The judge of a reply to RCPT that must be 2xx. 4xx and 530 say nothing about the domain."""

    def look(observation: Observation, parameters: _Parameters) -> Finding:
        fact = observation.fact("%s.%s" % (prefix, parameters["domain"]))
        if not fact.observable:
            return _unseen(fact)
        code = fact.value["code"]
        if 400 <= code < 500:
            return Finding(UNOBSERVABLE, fact.seen, fact.side or SERVER_BUSY, fact.evidence)
        if code == 530:
            words = "refused before the domain counts: %s" % _first(fact.value)
            return Finding(UNOBSERVABLE, words, fact.side or SERVER_REPLY, fact.evidence)
        return _found(200 <= code < 300, [fact])

    return look


#: Every kind of check has exactly one judge.
JUDGES: t.Dict[str, t.Callable[[Observation, _Parameters], Finding]] = {
    "declared": _declared,
    "tls_mode": _tls_mode,
    "reachable": _reachable,
    "greeting": _greeting,
    "silent_in_clear": _silent_in_clear,
    "starttls_offered": _starttls_offered,
    "starttls_works": _simple("starttls_works", True),
    "starttls_inside_tls": _simple("starttls_inside_tls", False),
    "version": _version,
    "suites": _suites,
    "suite_offered": _suite_offered,
    "server_preference": _server_preference,
    "groups": _groups,
    "group_offered": _group_offered,
    "dh_size": _dh_size,
    "compression": _old_hello("compression", False),
    "extended_master_secret": _old_hello("extended_master_secret", True),
    "secure_renegotiation": _old_hello("secure_renegotiation", True),
    "encrypt_then_mac": _encrypt_then_mac,
    "certificate_trusted": _simple("certificate_trusted", True),
    "certificate_name": _simple("certificate_name", True),
    "certificate_valid": _certificate_valid,
    "certificate_lifetime": _certificate_lifetime,
    "certificate_key": _certificate_key,
    "certificate_signature": _certificate_signature,
    "auth_offered_clear": _offered("auth_offered_clear"),
    "auth_refused_clear": _named("auth_clear", "mechanism", "refused"),
    "auth_offered_tls": _offered("auth_offered_tls"),
    "auth_refused_tls": _named("auth_tls", "mechanism", "refused"),
    "login": _named("login", "mechanism", True),
    "wrong_password": _named("wrong_password", "mechanism", 535),
    "injection": _simple("injection", False),
    "late_plaintext": _simple("late_plaintext", False),
    "ehlo_again": _simple("ehlo_again", True),
    "transaction_forgotten": _simple("transaction_forgotten", True),
    "open_relay": _simple("open_relay", False),
    "forced_clear": _forced_clear,
    "forced_tls": _accepted("forced_tls"),
    "other_clear": _accepted("other_clear"),
    "outside": _outside,
}
