# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How all mail is sent: the security level of smtp(8) and the versions that it speaks (TLS_README, postconf(5)).

One rule for all mail is the level in main.cf. Entries of policy tables and options of transports in master.cf come before it;
those that ask for less are told.
"""

from __future__ import annotations

import re
import typing as t

from ..._policy.errors import PolicyError
from ..._policy.policy import Policy, RelayHost
from ..._policy.rule import RelayTlsRule
from . import tls_values
from .configuration import Draft, _State
from .strictest import Defaults, TlsPolicy, weaker

LEVEL = "smtp_tls_security_level"
PROTOCOLS = ("smtp_tls_protocols", "smtp_tls_mandatory_protocols")

#: What each level matches a certificate with.
_MATCHES = {"secure": "smtp_tls_secure_cert_match", "fingerprint": "smtp_tls_fingerprint_cert_match"}

_REQUIRED = ("encrypt", "verify", "secure", "fingerprint")

#: What holds at least where a domain's own records decide.
_AT_LEAST = {"dane": "may", "dane-only": "encrypt"}

#: Levels that Postfix knows.
_KNOWN = ("none", "may", "encrypt", "dane", "dane-only", "verify", "secure", "fingerprint")


def level(conf: _State) -> str:
    """The level of all mail; where none is set the old switches count (postconf(5))."""
    found = conf.value(LEVEL).lower()
    if found:
        return found
    if conf.value("smtp_enforce_tls") == "yes":
        return "verify"
    return "may" if conf.value("smtp_use_tls") == "yes" else "none"


def general(conf: _State) -> TlsPolicy:
    """What holds where no table has an answer. A level that Postfix does not know stops mail, and counts as none here."""
    found = level(conf)
    return TlsPolicy(found if found in _KNOWN else "none")


def defaults(conf: _State) -> Defaults:
    """What main.cf says where an entry of a table says nothing."""
    return Defaults(
        tls_values.versions_of(conf.value(PROTOCOLS[0])),
        tls_values.versions_of(conf.value(PROTOCOLS[1])),
        _items(conf.value(_MATCHES["secure"]).lower()),
        _items(conf.value(_MATCHES["fingerprint"]).upper()),
    )


def unusable(conf: _State, wanted: t.Optional[str]) -> str:
    """What a level needs and this Postfix does not have, in words; "" for nothing."""
    if wanted in ("verify", "secure") and not conf.value("smtp_tls_CAfile") and not conf.value("smtp_tls_CApath"):
        return (
            "level %s checks certificates, and this Postfix trusts no authority; set smtp_tls_CAfile or smtp_tls_CApath in main.cf"
            % wanted
        )
    if wanted in ("dane", "dane-only") and conf.value("smtp_dns_support_level") != "dnssec":
        return (
            "level %s is about signed records (RFC 7672), and smtp_dns_support_level is \"%s\"; with a resolver on this host that "
            "checks signatures set it to dnssec in main.cf" % (wanted, conf.value("smtp_dns_support_level"))
        )
    return ""


def read(conf: _State, notes: t.List[str]) -> t.List[RelayTlsRule]:
    """The rule for all mail, where the level is more than STARTTLS if it is offered, or versions are chosen."""
    set_to = level(conf)
    found = _AT_LEAST.get(set_to, set_to)
    chosen = conf.main.get(PROTOCOLS[1] if found in _REQUIRED else PROTOCOLS[0]) is not None
    versions = tls_values.versions_of(conf.value(PROTOCOLS[found in _REQUIRED])) if chosen else None
    if found != set_to:
        notes.append("%s is %s: where a domain publishes records they decide; a rule for all mail says what holds at least" % (LEVEL, set_to))
    if found not in _REQUIRED and not (found == "may" and versions):
        return []
    match: t.Optional[t.Tuple[str, ...]] = None
    fingerprints: t.Optional[t.Tuple[str, ...]] = None
    if found == "fingerprint":
        fingerprints = tuple(sorted(_items(conf.value(_MATCHES[found]).upper())))
    elif found == "secure" and conf.main.get(_MATCHES[found]) is not None:
        match = _items(conf.value(_MATCHES[found]).lower())
    return [RelayTlsRule("relay_tls", found, versions, match=match, fingerprints=fingerprints)]


def starttls(conf: _State) -> t.Optional[bool]:
    """Whether mail is sent over TLS to hosts that offer it."""
    return level(conf) != "none"


def host(conf: _State, notes: t.List[str]) -> t.Optional[RelayHost]:
    """The host that takes all mail; most have none."""
    if not conf.value("relayhost"):
        return None
    from . import relay_host

    return relay_host.read(conf, notes)


def write(draft: Draft, before: Policy, desired: Policy) -> None:
    """Set the level and the versions, and the relay host. Raises ``PolicyError``."""
    if desired.relay != before.relay:
        from . import relay_host

        relay_host.write(draft, before.relay, desired.relay)
    rule, old = _rule(desired), _rule(before)
    outbound = desired.starttls.outbound
    if rule == old and outbound in (None, before.starttls.outbound):
        return
    if rule is None:
        goal = "none" if outbound is False else level(draft) if level(draft) in _AT_LEAST else "may"
        if old is not None:
            for name in [*PROTOCOLS, *filter(None, [_MATCHES.get(old.level)])]:
                draft.unset(name)
            draft.actions.append("take away the rule for all mail that is sent")
    else:
        if outbound is False and before.starttls.outbound is not False:
            raise PolicyError("starttls outbound: false contradicts rule %s, which sends mail over TLS (level %s)" % (rule.name, rule.level))
        _check(draft, rule)
        goal = level(draft) if level(draft) in _AT_LEAST else rule.level
        _set_versions(draft, rule, old)
        draft.actions.append(
            "send mail at level %s%s" % (rule.level, " with %s" % ", ".join(rule.versions) if rule.versions else "")
        )
    if level(draft) != goal:
        draft.set(LEVEL, goal)
        if rule is None:
            draft.actions.append("switch STARTTLS outbound %s" % ("off" if goal == "none" else "on"))
    if rule is not None:
        _look_at_transports(draft, rule)
        _look_at_tables(draft, rule)


def _items(text: str) -> t.Tuple[str, ...]:
    """The items of a list of names or fingerprints: in the latter a colon separates nothing."""
    prints = re.fullmatch(r"[0-9A-F:,\s|]*", text)
    return tuple(word for word in re.split(r"[,\s|]+" if prints else r"[,\s:|]+", text) if word)


def _rule(policy: Policy) -> t.Optional[RelayTlsRule]:
    return next(iter(policy.relay_rules()), None)


def _check(draft: Draft, rule: RelayTlsRule) -> None:
    problem = unusable(draft, rule.level)
    current = level(draft)
    if not problem and current in _AT_LEAST and not weaker(rule.level, current):
        problem = (
            "%s is %s, which level %s would take away from domains that publish records; take it out of main.cf first if that is "
            "meant, or ask for level %s at most" % (LEVEL, current, rule.level, _AT_LEAST[current])
        )
    if problem:
        raise PolicyError("rule %s: %s" % (rule.name, problem))


def _set_versions(draft: Draft, rule: RelayTlsRule, old: t.Optional[RelayTlsRule]) -> None:
    if rule.versions is None:
        if old is not None and old.versions is not None:
            for name in PROTOCOLS:
                draft.unset(name)
    else:
        from .listeners import knows_ranges

        text = tls_values.protocols(rule.versions, knows_ranges(draft))
        for name in PROTOCOLS:
            if draft.main.get(name) is None or not tls_values.same_protocols(draft.value(name), text):
                draft.set(name, text)
    if rule.level == "fingerprint":
        draft.set(_MATCHES["fingerprint"], ", ".join(rule.fingerprints or ()))
        use_sha256(draft)
    elif rule.level == "secure":
        if not rule.match:
            draft.unset(_MATCHES["secure"])
        elif set(rule.match) != set(_items(draft.value(_MATCHES["secure"]).lower())):
            draft.set(_MATCHES["secure"], ", ".join(rule.match))


def use_sha256(draft: Draft) -> None:
    """Fingerprints of a policy are SHA-256; older installations count in MD5. Raises ``PolicyError`` where those are in use."""
    if draft.value("smtp_tls_fingerprint_digest").lower() == "sha256":
        return
    old = [word for word in re.split(r"[,\s|]+", draft.base.value(_MATCHES["fingerprint"])) if word]
    if any(len(word) < 64 for word in old):
        raise PolicyError(
            "smtp_tls_fingerprint_digest is %s, and smtp_tls_fingerprint_cert_match has fingerprints of that kind; replace them by SHA-256 ones"
            % draft.value("smtp_tls_fingerprint_digest")
        )
    from .outbound import old_fingerprints

    entries = old_fingerprints(draft)
    if entries:
        raise PolicyError(
            "smtp_tls_fingerprint_digest is %s, and other tables of policies have fingerprints of that kind for %s; replace them by SHA-256 ones"
            % (draft.value("smtp_tls_fingerprint_digest"), ", ".join(entries[:5]))
        )
    draft.set("smtp_tls_fingerprint_digest", "sha256")


def _look_at_transports(draft: Draft, rule: RelayTlsRule) -> None:
    """Options of transports come before main.cf. Raises ``PolicyError`` for those that ask for less."""
    problems = []
    for service in draft.master.services:
        if service.type != "unix" or service.command != "smtp":
            continue
        own = draft.own(LEVEL, service)
        if own is not None and weaker(own.lower() or "none", rule.level):
            problems.append(
                "master.cf line %d: the transport %s has %s=%s, less than the rule %s asks for; take that option away"
                % (service.option_line(LEVEL), service.name, LEVEL, own, rule.name)
            )
        for name in PROTOCOLS:
            value = draft.own(name, service)
            if value is not None and rule.versions and not set(tls_values.versions_of(value) or ()) <= set(rule.versions):
                problems.append(
                    "master.cf line %d: the transport %s has %s=%s, more than the rule %s allows; take that option away"
                    % (service.option_line(name), service.name, name, value, rule.name)
                )
    if problems:
        raise PolicyError(*problems)


def _look_at_tables(draft: Draft, rule: RelayTlsRule) -> None:
    """Entries of other people's tables that ask for less come before the rule: they are told and left alone."""
    from .outbound import weaker_entries

    weak = weaker_entries(draft, rule.level)
    if weak:
        shown = ", ".join(weak[:5]) + (" and %d more" % (len(weak) - 5) if len(weak) > 5 else "")
        draft.warnings.append("rule %s does not hold for these entries of smtp_tls_policy_maps, which ask for less: %s" % (rule.name, shown))
