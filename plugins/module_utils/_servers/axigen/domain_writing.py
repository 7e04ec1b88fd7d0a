# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The method of a forced-TLS domain, or of many of them, as it is written: in the shape that ``domain_forms`` reads."""

from __future__ import annotations

import typing as t

from ..._policy.rule import EVERY_DOMAIN, ForcedTlsDomain, ForcedTlsGroup
from . import refusals
from .domain_forms import FORCED, STARTTLS, VERSIONS, DomainRule, encryption_test, group_message
from .script_edit import new_if, new_set


def statements(rule: DomainRule, dialect: t.Any) -> t.List[t.Any]:
    """The body of the method. Raises :class:`NotSupported` when the dialect has no known name for a part of it."""
    if rule.direction == "outbound":
        test = _test_of(rule, dialect, dialect.relay.domain_var)
        body = [new_set(variable, value) for variable, value in outbound_sets(rule, dialect)]
        if isinstance(rule, ForcedTlsGroup):
            return [new_if("any", [(*test[:2], domain) for domain in rule.domains], body)]
        return body if rule.domain == EVERY_DOMAIN else [new_if("all", [test], body)]
    in_clear = (encryption_test(dialect), "isSSLConnection", "no")
    if isinstance(rule, ForcedTlsGroup):
        test = _test_of(rule, dialect, dialect.rcpt_domain_var)
        message = group_message(dialect) if rule.reject_message is None else rule.reject_message
        body = [new_set(variable, value) for variable, value in _refusing(message)]
        return [new_if("all", [in_clear], [new_if("any", [(*test[:2], domain) for domain in rule.domains], body)])]
    test = _test_of(rule, dialect, dialect.rcpt_domain_var)
    notes = _notes(rule, dialect)
    if not rule.forces:
        body = [new_set(variable, value) for variable, value in [(dialect.inbound_level_var, "may"), *notes]]
        # Without a condition it could not be told from an outbound rule.
        return [new_if("all", [in_clear if rule.domain == EVERY_DOMAIN else test], body)]
    message = t.cast(str, rule.reject_message)
    if rule.domain[0] in ".*" and dialect.inbound_level_var is not None:
        sets = [(dialect.inbound_level_var, FORCED), (dialect.inbound_message_var, message), *notes]
        body = [new_set(variable, value) for variable, value in sets]
        return body if rule.domain == EVERY_DOMAIN else [new_if("all", [test], body)]
    body = [new_set(variable, value) for variable, value in [*_refusing(message), *notes]]
    return [new_if("all", [in_clear] if rule.domain == EVERY_DOMAIN else [in_clear, test], body)]


_Sets = t.List[t.Tuple[str, str]]


def _refusing(message: str) -> _Sets:
    return [("smtpAction", "reject"), ("smtpExplanation", message)]


def outbound_sets(rule: DomainRule, dialect: t.Any) -> _Sets:
    """Variable and value for all that an outbound rule says. Raises :class:`NotSupported` for unknown versions."""
    found = [(dialect.relay.level_var, t.cast(str, rule.level))]
    if rule.level == "none":
        # The stricter of both switches holds.
        found.append((STARTTLS, "no"))
    found += version_sets(rule, dialect)
    found += proof_sets(rule, dialect)
    return found if isinstance(rule, ForcedTlsGroup) else found + _notes(rule, dialect)


def proof_sets(rule: t.Any, dialect: t.Any) -> _Sets:
    """Variable and value for the names and fingerprints that a peer may have, if the rule says any.

    They stand behind the level: a new one begins without those of the level before it.
    """
    names = dialect.relay
    found = [(names.match_var, rule.match), (names.fingerprint_var, rule.fingerprints)]
    return [(name, "".join(word + " " for word in words)) for name, words in found if words is not None]


def version_sets(rule: t.Any, dialect: t.Any) -> _Sets:
    """Variable and value for the versions, if the rule has any; a blank stands behind each, as WebAdmin writes it."""
    if rule.versions is None:
        return []
    known = dict(dialect.version_names)
    unknown = [version for version in rule.versions if version not in known]
    if unknown:
        # The spelling of listeners is another one, and a word that the server does not know may switch all of them on.
        what = "the protocol version %s (known are %s)" % (", ".join(unknown), ", ".join(known) or "none")
        raise refusals.unknown_name("write rule %s" % rule.name, what, dialect, "script_versions")
    return [(VERSIONS, "".join(token + " " for token in dialect.script_tokens(rule.versions)))]


def _notes(rule: ForcedTlsDomain, dialect: t.Any) -> _Sets:
    found = [(dialect.reason_var, rule.reason), (dialect.until_var, rule.until)]
    return [(name, value) for name, value in found if value is not None]


def check_names(rule: DomainRule, dialect: t.Any) -> None:
    """Raises :class:`NotSupported` when the dialect has no known name for a part of a rule."""
    outbound = rule.direction == "outbound"
    _test_of(rule, dialect, dialect.relay.domain_var if outbound else dialect.rcpt_domain_var)
    version_sets(rule, dialect)


def _test_of(rule: DomainRule, dialect: t.Any, variable: t.Optional[str]) -> t.Tuple[str, str, str]:
    """The test for the domain of a rule (of a group: for the first one). Raises :class:`NotSupported`."""
    missing = None
    if rule.direction == "outbound":
        missing = None in (variable, dialect.relay.level_var, dialect.relay.match_var)
    domain = rule.domains[0] if isinstance(rule, ForcedTlsGroup) else rule.domain
    if missing or not _is_known(rule, domain, dialect):
        raise refusals.domain(rule, dialect)
    if domain.startswith("."):
        return dialect.subdomain_test, t.cast(str, variable), domain[1:]
    return dialect.equals_test, t.cast(str, variable), domain


def _is_known(rule: DomainRule, domain: str, dialect: t.Any) -> bool:
    """Whether the dialect has all names for a rule."""
    if domain.startswith(".") and dialect.subdomain_test is None:
        return False
    if isinstance(rule, ForcedTlsDomain):
        if (rule.reason is not None and dialect.reason_var is None) or (rule.until and dialect.until_var is None):
            return False
        if rule.direction == "inbound" and not rule.forces and dialect.inbound_level_var is None:
            return False
    if rule.direction == "outbound":
        return True
    needs_level = domain.startswith(".") and dialect.inbound_level_var is None
    return not needs_level and (domain == EVERY_DOMAIN or dialect.rcpt_domain_var is not None)
