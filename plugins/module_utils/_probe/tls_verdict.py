# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The judge's part about TLS: versions, suites, groups, what a ServerHello says, certificates."""

from __future__ import annotations

import typing as t

from .family import members
from .finding import Finding, Judge, Parameters, all_refused, listed, settled, simple, unseen
from .observation import Fact, Observation
from .reply import LOCAL_LIBRARY
from .requirement import UNOBSERVABLE
from .suites import VERSIONS, is_cbc

#: Versions whose suites name the key exchange, and whose hellos hold the extensions of old.
_UP_TO_TLS12 = tuple(version for version in VERSIONS if version not in ("SSLv2", "TLSv1.3"))


# ---- versions, suites, groups


def _version(observation: Observation, parameters: Parameters) -> Finding:
    fact = observation.fact("version." + parameters["version"])
    return settled(fact.value is parameters["accepted"], [fact]) if fact.observable else unseen(fact)


def _suites_of(observation: Observation, version: str) -> Fact:
    """The suites of a version, or why they could not be observed: that the version itself could not is the better reason."""
    fact, accepted = observation.fact("suites." + version), observation.fact("version." + version)
    return fact if fact.observable or accepted.observable else accepted


def _suites(observation: Observation, parameters: Parameters) -> Finding:
    """A version that is refused has no suites and passes. A list with a bad suite fails, be it complete or not."""
    version = parameters["version"]
    refused = all_refused(observation, [version])
    if refused is not None:
        return settled(True, refused, "%s is refused, and so are its suites" % version)
    fact = _suites_of(observation, version)
    if not fact.observable:
        return unseen(fact)
    found = fact.value["accepted"]
    if parameters.get("forbidden") is not None:
        bad = members(found, parameters["forbidden"])
    elif parameters.get("allowed") is not None:
        bad = [name for name in found if name not in parameters["allowed"]]
    else:
        return unseen(fact, "%s; accepted are %s" % (parameters.get("reason") or "no list to compare", listed(found)))
    if bad:
        return settled(False, [fact], "accepts %s" % listed(bad))
    if not fact.value["complete"]:
        return unseen(fact, "nothing else so far, but not all suites were tried: %s" % fact.seen)
    return settled(True, [fact], "accepts %s" % (listed(found) or "none"))


def _suite_offered(observation: Observation, parameters: Parameters) -> Finding:
    """Does not apply, and passes, where the version is refused: whether it may be is another requirement."""
    version = parameters["version"]
    refused = all_refused(observation, [version])
    if refused is not None:
        return settled(True, refused, "does not apply: %s is refused" % version)
    fact = _suites_of(observation, version)
    if not fact.observable:
        return unseen(fact)
    there = [name for name in fact.value["accepted"] if name in parameters["any_of"]]
    if there:
        return settled(True, [fact], "accepts %s" % listed(there))
    if not fact.value["complete"]:
        return unseen(fact, "none so far, but not all suites were tried: %s" % fact.seen)
    return settled(False, [fact], "accepts only %s" % (listed(fact.value["accepted"]) or "none"))


def _known_suites(observation: Observation) -> t.Tuple[t.List[str], bool, t.List[Fact]]:
    """All suites of SSL 3.0 to TLS 1.2 that are known to be accepted, whether these are all, and the facts."""
    names: t.Dict[str, None] = {}
    complete, facts = True, []
    for version in _UP_TO_TLS12:
        refused = all_refused(observation, [version])
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


def _server_preference(observation: Observation, parameters: Parameters) -> Finding:
    """With less than two suites of TLS 1.2 and older there is no order: the requirement does not apply and passes."""
    fact = observation.fact("server_preference")
    if fact.observable:
        return settled(fact.value == parameters["by"], [fact])
    names, complete, facts = _known_suites(observation)
    if complete and len(names) < 2:
        return settled(True, facts, "does not apply: accepts %s" % (names[0] if names else "nothing before TLS 1.3"))
    return unseen(fact)


def _groups(observation: Observation, parameters: Parameters) -> Finding:
    fact = observation.fact("groups")
    if not fact.observable:
        return unseen(fact)
    found = fact.value["accepted"]
    bad = [name for name in found if name not in parameters["allowed"]]
    if bad:
        return settled(False, [fact], "accepts %s" % listed(bad))
    if not fact.value["complete"]:
        return unseen(fact, "nothing else so far, but not all groups were tried: %s" % fact.seen)
    return settled(True, [fact], "accepts %s" % (listed(found) or "none"))


def _group_offered(observation: Observation, parameters: Parameters) -> Finding:
    fact = observation.fact("groups")
    if not fact.observable:
        return unseen(fact)
    if parameters["group"] in fact.value["accepted"]:
        return settled(True, [fact], "accepted")
    if not fact.value["complete"]:
        return unseen(fact, "not so far, but not all groups were tried: %s" % fact.seen)
    return settled(False, [fact], "refused; accepts %s" % (listed(fact.value["accepted"]) or "none"))


def _dh_size(observation: Observation, parameters: Parameters) -> Finding:
    """Passes where it is known that no DHE suite is accepted; unobservable where that is not known."""
    fact = observation.fact("dh_bits")
    if fact.observable:
        return settled(fact.value >= parameters["bits"], [fact])
    names, complete, facts = _known_suites(observation)
    if complete and not members(names, ["dhe"]):
        return settled(True, facts, "accepts no DHE suite")
    return unseen(fact)


def _old_hello(name: str, wanted: bool) -> Judge:
    """The judge of what a ServerHello of TLS 1.2 or older says.

    TLS 1.3 settled all of it (RFC 8446), so that a listener that is known to refuse everything older passes.
    """

    def look(observation: Observation, _parameters: Parameters) -> Finding:
        fact = observation.fact(name)
        if fact.observable:
            return settled(fact.value is wanted, [fact])
        refused = all_refused(observation, _UP_TO_TLS12)
        if refused is not None:
            return settled(True, refused, "settled by TLS 1.3: everything older is refused")
        return unseen(fact)

    return look


def _encrypt_then_mac(observation: Observation, _parameters: Parameters) -> Finding:
    """About CBC suites only: passes where it is known that none is accepted (RFC 7366 section 3)."""
    fact = observation.fact("encrypt_then_mac")
    names, complete, facts = _known_suites(observation)
    cbc = [name for name in names if is_cbc(name)]
    if complete and not cbc:
        return settled(True, facts, "accepts no CBC suite")
    if not fact.observable:
        return unseen(fact)
    if fact.value or cbc:
        return settled(bool(fact.value), [fact])
    return unseen(fact, "%s, but not all suites were tried" % fact.seen)


# ---- the certificate


def _certificate_valid(observation: Observation, parameters: Parameters) -> Finding:
    """``days_left`` counts from the observation, as all of the certificate's dates do here."""
    fact = observation.fact("certificate")
    if not fact.observable:
        return unseen(fact)
    left, wanted = fact.value["days_left"], parameters.get("days_left") or 0
    if left < 0:
        return settled(False, [fact], "ended %s" % fact.value["not_after"])
    if not fact.value["begun"]:
        return settled(False, [fact], "begins %s" % fact.value["not_before"])
    return settled(left >= wanted, [fact], "%d days left, until %s" % (left, fact.value["not_after"]))


def _certificate_lifetime(observation: Observation, parameters: Parameters) -> Finding:
    fact = observation.fact("certificate")
    if not fact.observable:
        return unseen(fact)
    days = fact.value["lifetime_days"]
    return settled(days <= parameters["days"], [fact], "%d days" % days)


def _certificate_key(observation: Observation, parameters: Parameters) -> Finding:
    """RSA and DSA keys need ``rsa_bits`` (None: none is good), all others ``ec_bits`` and one of the ``curves``."""
    fact = observation.fact("certificate")
    if not fact.observable:
        return unseen(fact)
    kind, bits = fact.value["key"], fact.value["key_bits"]
    if not bits:
        words = "the length of a key of this kind (%s) is unknown" % kind
        return Finding(UNOBSERVABLE, words, LOCAL_LIBRARY, fact.evidence)
    if kind in ("RSA", "DSA"):
        least = parameters["rsa_bits"]
        return settled(least is not None and bits >= least, [fact], "%s, %d bits" % (kind, bits))
    curve = str(fact.value.get("curve") or kind)
    curves = parameters.get("curves")
    good = bits >= parameters["ec_bits"] and (not curves or curve in curves)
    return settled(good, [fact], "%s, %d bits" % (curve, bits))


def _certificate_signature(observation: Observation, parameters: Parameters) -> Finding:
    """Looks at the whole chain that was sent, where that can be seen; at the server's own only with ``of`` "leaf".

    The signature of a root on itself proves nothing and is passed over. ``forbidden`` names hashes ("sha1"), "pkcs1"
    for RSA signatures other than PSS, and "rsa" for all RSA signatures.
    """
    leaf, chain = observation.fact("certificate"), observation.fact("chain")
    if parameters.get("of") == "leaf":
        chain = leaf
    if not leaf.observable and not chain.observable:
        return unseen(leaf)
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
        return settled(False, facts, listed(list(dict.fromkeys(bad))))
    names = list(dict.fromkeys(certificate["signature"] for certificate in found))
    return settled(True, facts, listed(names))


def _signed_with(certificate: t.Mapping[str, t.Any], word: str) -> bool:
    signature = str(certificate["signature"]).lower()
    if word in ("pkcs1", "rsa"):
        return "rsa" in signature and (word == "rsa" or "pss" not in signature)
    return str(certificate.get("signature_hash") or "").lower().replace("-", "") == word


#: Every kind of check about TLS has exactly one judge.
TLS_JUDGES: t.Dict[str, Judge] = {
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
    "certificate_trusted": simple("certificate_trusted", True),
    "certificate_name": simple("certificate_name", True),
    "certificate_valid": _certificate_valid,
    "certificate_lifetime": _certificate_lifetime,
    "certificate_key": _certificate_key,
    "certificate_signature": _certificate_signature,
}
