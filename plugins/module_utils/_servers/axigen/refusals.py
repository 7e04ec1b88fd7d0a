# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said to somebody who asks for rules that this server cannot hold, or for which no name is known."""

from __future__ import annotations

import typing as t

from ..._policy.level import LATER_LEVELS, strength
from ..._policy.rule import EVERY_DOMAIN, ForcedTlsDomain, ForcedTlsGroup, RelayTlsRule
from ..base import NotSupported


def domain(rule: t.Union[ForcedTlsDomain, ForcedTlsGroup], dialect: t.Any) -> NotSupported:
    """Why a rule for domains cannot be written here."""
    operation = "write rule %s" % rule.name
    first = rule.domains[0] if isinstance(rule, ForcedTlsGroup) else rule.domain
    if rule.direction == "outbound":
        try:
            check_outbound(operation, dialect)
        except NotSupported as refusal:
            return refusal
    elif dialect.rcpt_domain_var is None and first != EVERY_DOMAIN:
        return unknown_name(operation, "the domain of the recipient", dialect, "recipient_domain_variable")
    if first.startswith(".") and dialect.subdomain_test is None:
        return NotSupported(
            operation,
            'the dialect profile "%s" has no known test for subdomains: this server compares whole domains, so that one '
            "rule for all subdomains of %s would never match" % (dialect.name, first[1:]),
            "No key of dialect_profile says one. Name each subdomain; the bundled MTA has such rules.",
        )
    if isinstance(rule, ForcedTlsDomain) and not rule.forces:
        return NotSupported(
            operation,
            'the dialect profile "%s" has no known script name for the level of mail that comes in, so that nothing '
            "can be excepted from a rule for more domains (%s)" % (dialect.name, first),
            "No key of dialect_profile says one. Name the domains that are forced instead of all but some; the bundled "
            "MTA has exceptions.",
        )
    if isinstance(rule, ForcedTlsDomain) and (rule.reason or rule.until):
        return NotSupported(
            operation,
            'the dialect profile "%s" has no known script name for the reason of a rule and its last day' % dialect.name,
            "No key of dialect_profile says one. Leave reason and until out, and keep them where the task is; the "
            "bundled MTA keeps them in its script.",
        )
    return NotSupported(
        operation,
        'the dialect profile "%s" has no known script name for the level of mail that comes in, which a rule for '
        "subdomains (%s) sets" % (dialect.name, first),
        "No key of dialect_profile says one. Name each subdomain; the bundled MTA has such rules.",
    )


def no_level(rule: t.Union[ForcedTlsDomain, ForcedTlsGroup, RelayTlsRule], dialect: t.Any) -> str:
    """Why a level cannot be had on a server whose levels are known."""
    there = ", ".join(dialect.relay.levels)
    if rule.level in LATER_LEVELS:
        return (
            "rule %s: TLS level %s comes later: what a domain publishes about itself (DANE, MTA-STS) is not looked up "
            "yet, and nothing weaker is taken instead; this server has %s" % (rule.name, rule.level, there)
        )
    return "rule %s: this server has no TLS level %s; it has %s" % (rule.name, rule.level, there)


def check_outbound(operation: str, dialect: t.Any) -> None:
    """Refuse rules for domains of outgoing mail where no name for them is known. Raises :class:`NotSupported`."""
    if None in (dialect.relay.domain_var, dialect.relay.level_var, dialect.relay.match_var):
        raise NotSupported(
            operation,
            'the dialect profile "%s" has no known script name for the domain that mail is relayed to and for its TLS '
            "level, match and fingerprints" % dialect.name,
            "Nobody has seen a server of this kind that has them, so that they cannot be learned either and no key of "
            "dialect_profile says them. A relay TLS rule (smtp_relay_tls) is about all mail that goes out; the bundled "
            "MTA has rules for single domains.",
        )


def unknown_name(operation: str, what: str, dialect: t.Any, key: str) -> NotSupported:
    """The refusal of an operation that needs a name which the dialect profile does not have.

    ``key`` is the one of the option ``dialect_profile`` that says the name.
    """
    return NotSupported(
        operation,
        'the dialect profile "%s" has no known script name for %s (key %s of dialect_profile)' % (dialect.name, what, key),
        "No public document shows such a name, and none is guessed. The playbook securemail.smtp.learn finds it with a "
        "sample rule that is made in WebAdmin, and writes dialect_profile into the inventory; the bundled MTA knows all "
        "names.",
    )


def check_relay_tls(rule: RelayTlsRule, dialect: t.Any) -> None:
    """Refuse a level that the server cannot hold for all mail. Raises :class:`NotSupported`."""
    operation = "write rule %s (level %s)" % (rule.name, rule.level)
    names = dialect.relay
    if strength(rule.level) > strength("encrypt") and None in (names.level_var, names.match_var):
        raise NotSupported(
            operation,
            'the dialect profile "%s" has no known script name for a TLS level at which a peer must prove who it is, and '
            "none for names (match) and fingerprints" % dialect.name,
            "Nobody has seen a server of this kind that has them, so that no key of dialect_profile says them. This "
            "server can hold level may%s; the bundled MTA has the levels verify, secure and fingerprint."
            % (" and level encrypt" if names.ssl == "required" else ", and level encrypt where relay_ssl is required"),
        )
    if rule.level == "may" or dialect.relay.ssl == "required":
        return
    if dialect.relay.ssl == "implicit":
        raise NotSupported(
            operation,
            "on this server %s opens TLS from the first byte (relay_ssl: implicit in the dialect profile), which the "
            "hosts that mail goes to do not speak on port 25: no mail would leave" % dialect.relay.ssl_var,
            "No setting of this server requires STARTTLS. Level may limits the versions and does not require TLS; a "
            "relay host with tls: implicit can be used with it.",
        )
    raise NotSupported(
        operation,
        'it is not known what %s does on a server of the dialect profile "%s": it may require TLS, or open TLS '
        "without STARTTLS, which mail servers on port 25 do not understand" % (dialect.relay.ssl_var, dialect.name),
        "Make one such rule in WebAdmin, send mail to a server with STARTTLS and to one without, and say what was "
        "seen: relay_ssl: required (or implicit) in dialect_profile. Level may, which limits the versions and does not "
        "require TLS, can be written; the bundled MTA has both levels.",
    )
