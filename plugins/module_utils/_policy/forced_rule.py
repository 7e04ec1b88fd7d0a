# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rule for one domain: what it says when an entry was applied to it, and what a new one is called."""

from __future__ import annotations

import typing as t

from .coverage import Cover, shown_level
from .errors import PolicyError
from .level import forces, proof_problem, strength
from .rule import DIRECTIONS, AuthRule, ForcedTlsDomain, ForcedTlsGroup, RelayTlsRule, Rule
from .rule_entry import Entry, enabled_of, free_name, kind_of
from .rule_name import default_reject_message, forced_domain_rule_name, names_a_group
from .rule_table import DomainRule, RuleTable

#: How an entry says inbound that mail is taken over TLS only.
_FORCED = "encrypt"

#: Level of a new outbound rule for a domain when nobody says another one and nothing covers it.
DEFAULT_LEVEL = "encrypt"


class Settings(t.NamedTuple):
    """What a rule says about its domain. The names are those of :class:`ForcedTlsDomain`."""

    reject_message: t.Optional[str]
    enabled: bool
    level: t.Optional[str]
    versions: t.Optional[t.Tuple[str, ...]]
    match: t.Optional[t.Tuple[str, ...]]
    reason: t.Optional[str]
    until: t.Optional[str]
    fingerprints: t.Optional[t.Tuple[str, ...]]


def settings_of(rule: ForcedTlsDomain) -> Settings:
    """What a rule says."""
    return Settings(
        rule.reject_message,
        rule.enabled,
        rule.level,
        rule.versions,
        rule.match,
        rule.reason,
        rule.until,
        rule.fingerprints,
    )


def rule_of(name: str, domain: str, direction: str, settings: Settings) -> ForcedTlsDomain:
    """The rule that says it."""
    message, enabled, *rest = settings
    return ForcedTlsDomain(name, domain, message, direction, enabled, *rest)


def is_exceptional(domain: str, direction: str, settings: Settings, cover: Cover) -> bool:
    """Whether these settings make an exception: mail may travel in clear, or more is asked for other domains."""
    if settings.level is None and direction == "inbound":
        return False
    level = settings.level or DEFAULT_LEVEL
    return not forces(level) or cover.stricter(domain, direction, level) is not None


def says_nothing_new(rule: DomainRule, entry: Entry, cover: Cover) -> bool:
    """Whether an entry asks for nothing new, as far as one look tells; False: a closer one is needed."""
    enabled, level, message = entry.get("enabled"), entry.get("level"), entry.get("reject_message")
    if (enabled is not None and enabled != rule.enabled) or (message is not None and message != rule.reject_message):
        return False
    if entry.get("reason") is not None or entry.get("until") is not None:
        return False
    if rule.direction == "inbound":
        # An explanation that says nothing makes way for the default one.
        return rule.level is None and level in (None, _FORCED) and rule.reject_message != ""
    if level is None:
        if not forces(rule.level or "") or cover.covers(rule.direction):
            return False
    elif level != rule.level:
        return False
    return all(
        entry.get(name) is None or (entry[name] or None) == getattr(rule, name)
        for name in ("versions", "match", "fingerprints")
    )


def settings_for(rule: ForcedTlsDomain, entry: Entry, cover: Cover, enabled: bool) -> Settings:
    """What a rule says with what the entry gives, and with what its direction needs and nobody gave.

    Where no level is given the strictest wins: the rule's own one, and that of what covers it. Raises
    :class:`PolicyError`.
    """
    noted = bool(entry.get("reason")) or entry.get("until") is not None
    message, versions, match, known = None, None, None, None
    if rule.direction == "inbound":
        level = entry.get("level")
        if level is None and noted:
            level = rule.level  # Of an exception only the note is new.
        if level is None or forces(level):
            level = None
            message = entry.get("reject_message") or rule.reject_message or default_reject_message(rule.domain)
        elif entry.get("reject_message"):
            raise PolicyError(
                "reject_message says why mail in clear is refused, and the rule for %s inbound has level %s, which "
                "refuses none; leave it out" % (rule.domain, level)
            )
    else:
        level = entry.get("level") or _strictest(rule, noted, cover)
        if level != "none":
            versions = rule.versions if entry.get("versions") is None else entry["versions"] or None
        match = _match(rule, entry, level)
        known = _fingerprints(rule, entry, level, cover)
        problem = proof_problem(level, entry.get("match"), known, "the rule for %s" % rule.domain)
        if problem is not None:
            raise PolicyError(problem)
    reason, until = entry.get("reason") or None, entry.get("until") or None
    found = Settings(message, enabled, level, versions, match, reason, until, known)
    if level == rule.level or is_exceptional(rule.domain, rule.direction, found, cover):
        if entry.get("reason") is None and rule.reason is not None:
            found = found._replace(reason=rule.reason)
        if entry.get("until") is None and rule.until is not None:
            found = found._replace(until=rule.until)
    if (entry.get("reason") or entry.get("until")) and entry.get("level") is None:
        _check_note(rule, found, cover)
    return found


def _check_note(rule: ForcedTlsDomain, found: Settings, cover: Cover) -> None:
    """Who notes why and how long means an exception: a level that was forgotten would force TLS instead."""
    same = (found.reason, found.until) == (rule.reason, rule.until)
    if not same and not is_exceptional(rule.domain, rule.direction, found, cover):
        raise PolicyError(
            "reason and until belong to an exception, and %s %s would be none: nothing says its level, so that it forces "
            "TLS; say the level of the exception (level: may), or leave them out" % (rule.domain, rule.direction)
        )


def _strictest(rule: ForcedTlsDomain, noted: bool, cover: Cover) -> str:
    if noted and rule.level is not None:
        return rule.level
    level = rule.level if rule.level is not None and forces(rule.level) else DEFAULT_LEVEL
    covering = cover.covering(rule.domain, rule.direction)
    return level if covering is None else max(level, shown_level(covering), key=strength)


def _match(rule: ForcedTlsDomain, entry: Entry, level: str) -> t.Optional[t.Tuple[str, ...]]:
    if level != "secure":
        return None
    match = rule.match if entry.get("match") is None else entry["match"] or None
    if rule.match is not None and frozenset(match or ()) == frozenset(rule.match):
        return rule.match  # The same names in another order.
    return match


def _fingerprints(
    rule: ForcedTlsDomain, entry: Entry, level: str, cover: Cover
) -> t.Optional[t.Tuple[str, ...]]:
    """Those that are given, else the rule's own ones, else those of the rule that gives it its level."""
    given = entry.get("fingerprints")
    if given is not None or level != "fingerprint":
        return given or None
    if rule.fingerprints or entry.get("level") is not None:
        return rule.fingerprints
    covering = cover.covering(rule.domain, rule.direction)
    return None if covering is None else covering.fingerprints


# --- new rules ----------------------------------------------------------------------------------


def add_rule(table: RuleTable, entry: Entry, settings: Settings, exception: bool) -> ForcedTlsDomain:
    """A new rule, last of its event, or in the place of one that was made by hand and has its name.

    Raises :class:`PolicyError` when its name belongs to another rule.
    """
    domain, direction = entry["domain"], entry["direction"]
    name = own_name(entry) or forced_domain_rule_name(domain, direction, exception)
    current = table.find(name)
    check_collision(current, name, domain, direction)
    name = free_name(name, current, DIRECTIONS[direction])
    if current is not None:
        settings = settings._replace(enabled=enabled_of(entry, current))
    rule = rule_of(name, domain, direction, settings)
    table.put(rule)
    return rule


def own_name(entry: Entry) -> t.Optional[str]:
    """The name that somebody wants for the rule of one domain; that of a group was made for many."""
    name = entry.get("name")
    return None if name is None or names_a_group(name) else name


def check_collision(current: t.Optional[Rule], name: str, domain: str, direction: str) -> None:
    """Two rules must not share a name, those of one domain in two directions included. Raises :class:`PolicyError`."""
    if isinstance(current, ForcedTlsGroup):
        raise PolicyError(
            "the rule for %s cannot be called %s: this is the rule for %d domains %s; give it another name "
            "(option name)"
            % (domain, current.name, len(current.domains), current.direction)
        )
    if isinstance(current, (AuthRule, RelayTlsRule)):
        raise PolicyError(
            "the rule for %s cannot be called %s: %s has that name; give it another name"
            % (domain, current.name, kind_of(current))
        )
    if not isinstance(current, ForcedTlsDomain):
        return
    if current.domain != domain:
        raise PolicyError(
            "the rules for %s and for %s would both be called %s; give one of them another name (option name)"
            % (current.domain, domain, name)
        )
    raise PolicyError(
        "rule %s forces TLS for %s %s; give the rule for direction %s another name (option name)"
        % (current.name, domain, current.direction, direction)
    )
