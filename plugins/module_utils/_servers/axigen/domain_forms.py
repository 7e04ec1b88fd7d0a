# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the method of a forced-TLS domain, or of many of them, says in the policy script: how it is read.

Inbound, a whole domain is refused in clear by the script itself, in the form that WebAdmin makes. Subdomains, every
domain and exceptions set a level instead, because only then the most special rule can have the last word. Outbound all
of them set a level. Names come from the dialect; None is a form that the server does not have. ``domain_writing`` is
the way back.
"""

from __future__ import annotations

import re
import typing as t

from ..._policy import level as levels
from ..._policy.domain import domain_name
from ..._policy.errors import PolicyError
from ..._policy.rule import EVERY_DOMAIN, ForcedTlsDomain, ForcedTlsGroup
from ..._policy.rule_name import default_reject_message
from ..._policy.tls import tls_versions
from . import script as language

#: Variables of the event onRelay whose names every server of the dialect has.
STARTTLS = "allowStartTLS"
VERSIONS = "allowedSSLVersions"

#: The level of an inbound rule that forces TLS, where it is written as a level.
FORCED = "encrypt"

DomainRule = t.Union[ForcedTlsDomain, ForcedTlsGroup]
_Values = t.Dict[str, str]


def plain_sets(statements: t.Sequence[t.Any]) -> t.Optional[_Values]:
    """The variables (lower case) that different ``set`` statements give a value; None if anything else stands there."""
    values: _Values = {}
    for statement in statements:
        if not isinstance(statement, language.Set) or statement.variable.lower() in values:
            return None
        values[statement.variable.lower()] = statement.value
    return values


# --- reading ------------------------------------------------------------------------------------


def read_condition(name: str, condition: t.Any, enabled: bool, dialect: t.Any) -> t.Optional[DomainRule]:
    """The rule that a method with one ``if`` and nothing else is, or None."""
    tests, inner = condition.tests, condition.body
    if len(tests) == 2 and condition.match == "all":
        return _refused_domain(name, condition, enabled, dialect)
    if len(tests) == 1 and _is_in_clear(tests[0], dialect):
        if len(inner) == 1 and isinstance(inner[0], language.If):
            return _refused_group(name, inner[0], enabled, dialect)
        return _refused_everything(name, inner, enabled, dialect)
    values = plain_sets(inner)
    if not values:
        return None
    if len(tests) > 1:
        return _outbound_group(name, condition, values, enabled, dialect)
    variable = tests[0].variable.lower()
    if variable == _lower(dialect.relay.domain_var):
        domain = _tested(tests[0], dialect, False)
        return None if domain is None else _outbound(name, domain, values, enabled, dialect)
    if variable == _lower(dialect.rcpt_domain_var):
        domain = _tested(tests[0], dialect, True)
        return None if domain is None else _inbound_level(name, domain, values, enabled, dialect)
    return None


def read_values(name: str, values: t.Mapping[str, str], enabled: bool, dialect: t.Any) -> t.Optional[ForcedTlsDomain]:
    """The rule for every domain that a method of nothing but ``set`` is, or None."""
    if _lower(dialect.inbound_message_var) in values:
        return _inbound_level(name, EVERY_DOMAIN, values, enabled, dialect)
    if _lower(dialect.relay.level_var) in values:
        return _outbound(name, EVERY_DOMAIN, values, enabled, dialect)
    return None


def _lower(name: t.Optional[str]) -> str:
    """A name as a key; one that is not known is in no script."""
    return name.lower() if name is not None else "\0"


def _is_in_clear(test: t.Any, dialect: t.Any) -> bool:
    return (
        test.variable.lower() == "issslconnection"
        and test.name.lower() == encryption_test(dialect).lower()
        and test.value.lower() == "no"
    )


def encryption_test(dialect: t.Any) -> str:
    """The test that compares isSSLConnection."""
    return dialect.encryption_test or dialect.equals_test


def _tested(test: t.Any, dialect: t.Any, exactly: bool) -> t.Optional[str]:
    """The domain of a test. ``exactly``: in no other spelling than the canonical one, which the variable has."""
    word = test.name.lower()
    # A test for equality with ".example.test" is true for no domain; nor is one for subdomains of it.
    domain = _read_domain(test.value.lower() if exactly else test.value)
    if domain is None or domain.startswith("."):
        return None
    if word == dialect.equals_test.lower():
        return None if exactly and domain != test.value.lower() else domain
    if word == _lower(dialect.subdomain_test) and domain == test.value.lower():
        return "." + domain
    return None


def _refused_domain(name: str, condition: t.Any, enabled: bool, dialect: t.Any) -> t.Optional[ForcedTlsDomain]:
    """A domain whose mail the script refuses in clear."""
    secure, domain = condition.tests
    if secure.variable.lower() != "issslconnection":
        secure, domain = domain, secure
    if domain.variable.lower() != _lower(dialect.rcpt_domain_var):
        return None
    if domain.name.lower() != dialect.equals_test.lower() or not _is_in_clear(secure, dialect):
        return None
    compared = domain.value.lower()
    # What is compared for equality with another spelling of a domain, or with ".example.test", may meet none.
    if _read_domain(compared) != compared or compared.startswith("."):
        return None
    refused = _refusal(condition.body, dialect)
    if refused is None:
        return None
    message, reason, until = refused
    return ForcedTlsDomain(name, compared, message, "inbound", enabled, reason=reason, until=until)


def _refused_everything(
    name: str, body: t.Sequence[t.Any], enabled: bool, dialect: t.Any
) -> t.Optional[ForcedTlsDomain]:
    """Everything that comes in clear, refused by the script; or taken, as an exception."""
    refused = _refusal(body, dialect)
    if refused is not None:
        message, reason, until = refused
        return ForcedTlsDomain(name, EVERY_DOMAIN, message, "inbound", enabled, reason=reason, until=until)
    values = plain_sets(body)
    rule = _inbound_level(name, EVERY_DOMAIN, values, enabled, dialect) if values else None
    return rule if rule is not None and not rule.forces else None


def _refused_group(name: str, condition: t.Any, enabled: bool, dialect: t.Any) -> t.Optional[ForcedTlsGroup]:
    domains = _tested_group(condition, dialect.rcpt_domain_var, dialect, True)
    refused = _refusal(condition.body, dialect)
    if domains is None or refused is None:
        return None
    message, reason, until = refused
    if reason is not None or until is not None:
        return None
    default = group_message(dialect)
    return ForcedTlsGroup(name, domains, None if message.lower() == default.lower() else message, "inbound", enabled)


def group_message(dialect: t.Any) -> str:
    """The default explanation of a group: the server puts the recipient's domain into it."""
    return default_reject_message("%%%s%%" % dialect.rcpt_domain_var)


def _tested_group(
    condition: t.Any, variable: t.Optional[str], dialect: t.Any, exactly: bool
) -> t.Optional[t.Tuple[str, ...]]:
    """The domains of a group: whole ones, two at least."""
    key, equals = _lower(variable), dialect.equals_test.lower()
    if condition.match != "any" or len(condition.tests) < 2:
        return None
    found: t.Set[str] = set()
    for test in condition.tests:
        if test.name.lower() != equals or test.variable.lower() != key:
            return None
        domain = _tested(test, dialect, exactly)
        if domain is None:
            return None
        found.add(domain)
    return tuple(sorted(found)) if len(found) > 1 else None


#: Explanation, reason, until.
_Refusal = t.Tuple[str, t.Optional[str], t.Optional[str]]


def _refusal(body: t.Sequence[t.Any], dialect: t.Any) -> t.Optional[_Refusal]:
    values = plain_sets(body)
    if values is None or values.pop("smtpaction", "").strip().lower() != "reject":
        return None
    message = values.pop("smtpexplanation", None)
    noted = _noted(values, dialect)
    if message is None or noted is None or values:
        return None
    return (language.lines_of(message), *noted)


def _inbound_level(
    name: str, domain: str, found: t.Mapping[str, str], enabled: bool, dialect: t.Any
) -> t.Optional[ForcedTlsDomain]:
    """A rule that says how mail may arrive. A whole domain that is forced has another form."""
    values = dict(found)
    level = values.pop(_lower(dialect.inbound_level_var), "").strip().lower()
    message = values.pop(_lower(dialect.inbound_message_var), None)
    noted = _noted(values, dialect)
    if values or noted is None:
        return None
    reason, until = noted
    if level == "may" and message is None:
        return ForcedTlsDomain(name, domain, None, "inbound", enabled, "may", None, None, reason, until)
    if level == FORCED and message is not None and domain[0] in ".*":
        text = language.lines_of(message)
        return ForcedTlsDomain(name, domain, text, "inbound", enabled, None, None, None, reason, until)
    return None


def _outbound(
    name: str, domain: str, values: _Values, enabled: bool, dialect: t.Any
) -> t.Optional[ForcedTlsDomain]:
    said = _outbound_values(values, dialect)
    return None if said is None else ForcedTlsDomain(name, domain, None, "outbound", enabled, *said)


def _outbound_group(
    name: str, condition: t.Any, values: _Values, enabled: bool, dialect: t.Any
) -> t.Optional[ForcedTlsGroup]:
    domains = _tested_group(condition, dialect.relay.domain_var, dialect, False)
    said = _outbound_values(values, dialect) if domains is not None else None
    if domains is None or said is None:
        return None
    level, versions, match, reason, until, known = said
    if not levels.forces(level) or reason is not None or until is not None:
        return None
    return ForcedTlsGroup(name, domains, None, "outbound", enabled, level, versions, match, known)


_Words = t.Optional[t.Tuple[str, ...]]

#: Level, versions, names, reason, until, fingerprints.
_Outbound = t.Tuple[str, _Words, _Words, t.Optional[str], t.Optional[str], _Words]


def _outbound_values(found: t.Mapping[str, str], dialect: t.Any) -> t.Optional[_Outbound]:
    names = dialect.relay
    values = dict(found)
    level = values.get(_lower(names.level_var), "").strip().lower()
    versions = read_versions(values.pop(VERSIONS.lower(), None), dialect)
    proof = read_proof(values, dialect)
    noted = _noted(values, dialect)
    if level == "none" and (versions is not None or values.pop(STARTTLS.lower(), "").strip().lower() != "no"):
        return None
    if values or noted is None or versions is NO_VERSIONS or level not in names.levels:
        return None
    if proof is None:
        return None
    match, known = proof
    return (level, versions, match, *noted, known)


def read_proof(values: _Values, dialect: t.Any) -> t.Optional[t.Tuple[_Words, _Words]]:
    """Names and fingerprints, taken out of ``values`` with the level; None when they are not what a rule of it has."""
    keys = list(map(_lower, (dialect.relay.level_var, dialect.relay.match_var, dialect.relay.fingerprint_var)))
    order = [key for key in values if key in keys]
    level, names, text = (values.pop(key, None) for key in keys)
    # What stands in front of a level is gone when that is set.
    if level is None or order[0] != keys[0]:
        return None
    level = level.strip().lower()
    match, known = None, None
    if names is not None:
        match = tuple(names.lower().split())
        # At any other level they would be read and have no effect.
        if not match or level != "secure":
            return None
    if text is not None or level == "fingerprint":
        # Few scripts have any, and a module's code is compiled anew in each task.
        from ..._policy.fingerprint import fingerprints

        try:
            known = fingerprints((text or "").replace(",", " ").split())
        except PolicyError:
            return None
        if not known or level != "fingerprint":
            return None
    return match, known


#: What the options take: no character that a script or a server makes something else of.
_REASON = re.compile(r'[^"%\\\x00-\x1f\x7f-\x9f]{1,400}\Z')
_UNTIL = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])\Z")


def _noted(values: _Values, dialect: t.Any) -> t.Optional[t.Tuple[t.Optional[str], t.Optional[str]]]:
    """Reason and until, taken out of ``values``; None when they are what no rule has."""
    if not values:
        return None, None
    reason, until = values.pop(_lower(dialect.reason_var), None), values.pop(_lower(dialect.until_var), None)
    if (reason is not None and not _REASON.match(reason)) or (until is not None and not _UNTIL.match(until)):
        return None
    return reason, until


#: Domains that are canonical as they stand: most of those that a script holds, and there may be ten thousand.
CANONICAL = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,4}[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?\Z")
CANONICAL_LENGTH = 200


def _read_domain(text: str) -> t.Optional[str]:
    if len(text) <= CANONICAL_LENGTH and CANONICAL.match(text) and "--" not in text:
        return text
    try:
        return domain_name(text)
    except PolicyError:
        return None


#: A value that is no set of versions which a rule could ask for: empty, with a gap or with a word that is no version.
NO_VERSIONS = ("",)


def read_versions(value: t.Optional[str], dialect: t.Any) -> t.Optional[t.Tuple[str, ...]]:
    """Protocol versions, oldest first; None when nothing is said, :data:`NO_VERSIONS` for what no rule says."""
    if value is None:
        return None
    words = value.strip("() ").lower().split()
    found = dialect.script_versions(words)
    try:
        if {token.lower() for token in dialect.script_tokens(found)} != set(words):
            return NO_VERSIONS
        return tls_versions(found)
    except (PolicyError, ValueError):
        return NO_VERSIONS
