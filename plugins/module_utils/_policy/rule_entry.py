# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wishes about single rules, put into a table of rules.

A wish (``Entry``) holds module options in canonical form; None means "as it is". Each function raises
:class:`PolicyError` for a wish that the table's rules contradict, and has not changed the table then.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from .errors import PolicyError
from .level import forces
from .rule import DIRECTIONS, AuthRule, ForcedTlsDomain, OpaqueRule, RelayTlsRule, Rule
from .rule_name import default_reject_message, forced_domain_rule_name, is_reserved
from .rule_table import RuleTable

#: One wish about a rule: the module options in canonical form; ``label`` names it in messages.
Entry = t.Mapping[str, t.Any]

#: Level of a new outbound rule for a domain when nobody says another one.
DEFAULT_LEVEL = "encrypt"

_KINDS = {AuthRule: "an authentication rule", RelayTlsRule: "a relay TLS rule", ForcedTlsDomain: "a forced-TLS domain"}


def put_auth_rule(table: RuleTable, entry: Entry) -> str:
    """Create or change one authentication rule; its name, in the spelling that the table has."""
    current = table.find(entry["name"])
    _check_kind(current, AuthRule)
    name = _free_name(entry["name"], current, AuthRule.event)
    table.put(AuthRule(name, entry["connection"], tuple(entry["mechanisms"]), _enabled(entry, current)))
    return name


def put_relay_tls(table: RuleTable, entry: Entry) -> str:
    """Create or change one relay TLS rule; its name, in the spelling that the table has."""
    current = table.find(entry["name"])
    _check_kind(current, RelayTlsRule)
    name = _free_name(entry["name"], current, RelayTlsRule.event)
    versions = entry.get("versions")
    if versions is None and isinstance(current, RelayTlsRule):
        versions = current.versions
    table.put(RelayTlsRule(name, entry["level"], versions, _enabled(entry, current)))
    return name


def put_forced_domain(table: RuleTable, entry: Entry) -> str:
    """Create or change the rule for one domain in one direction; its name.

    A rule is recognised by what it says and keeps its name. Where a server has several for this domain and direction,
    all of them get what was asked for: the server may heed any.
    """
    domain, direction = entry["domain"], entry["direction"]
    known = _meant(table, entry)
    for rule in [_changed(rule, entry, _enabled(entry, rule)) for rule in known]:
        table.put(rule)
    if known:
        return known[0].name
    name = entry.get("name") or forced_domain_rule_name(domain, direction)
    current = table.find(name)
    _check_collision(current, name, domain, direction)
    name = _free_name(name, current, DIRECTIONS[direction])
    blank = ForcedTlsDomain(name, domain, None, direction)
    table.put(_changed(blank, entry, _enabled(entry, current)))
    return name


def remove(table: RuleTable, entry: Entry, kind: t.Optional[t.Type[Rule]] = None) -> None:
    """Take away the rules for a domain in one direction, or the rule of a name, which must be of this kind.

    Rules whose content is not known are never removed.
    """
    if entry.get("domain"):
        for rule in _meant(table, entry):
            table.remove(rule.name)
        return
    current = table.find(entry["name"])
    if isinstance(current, OpaqueRule):
        if current.basic or is_reserved(current.name):
            raise PolicyError("rule %s belongs to the server's basic settings and is not removed" % current.name)
        raise PolicyError(
            "rule %s is not removed: its content was made by other hands and is not understood; "
            "remove it where it was made, or take it over first (state: present)" % current.name
        )
    if current is not None and kind is not None and not isinstance(current, kind):
        raise PolicyError(
            "rule %s is not removed: it is %s and not %s" % (current.name, _KINDS[type(current)], _KINDS[kind])
        )
    table.remove(entry["name"])


# --- inside -------------------------------------------------------------------------------------


def _meant(table: RuleTable, entry: Entry) -> t.List[ForcedTlsDomain]:
    """The rules for the domain and direction of an entry; for an ``exact`` one those that have its name as well."""
    known = table.find_domain(entry["domain"], entry["direction"])
    if not entry.get("exact"):
        return known
    named = [rule for rule in known if rule.name.lower() == entry["name"].lower()]
    if known and not named and entry.get("state") != "absent":
        raise PolicyError(
            "rule %s forces TLS for %s %s, and there is no rule %s for it; one rule is enough, leave this entry out"
            % (known[0].name, entry["domain"], entry["direction"], entry["name"])
        )
    return named


def _changed(rule: ForcedTlsDomain, entry: Entry, enabled: bool) -> ForcedTlsDomain:
    """The rule with what the entry gives, and with what its direction needs and nobody gave."""
    if rule.direction == "inbound":
        message = entry.get("reject_message") or rule.reject_message or default_reject_message(rule.domain)
        return replace(rule, reject_message=message, enabled=enabled)
    kept = rule.level if rule.level is not None and forces(rule.level) else DEFAULT_LEVEL
    level = entry.get("level") or kept
    versions = rule.versions if entry.get("versions") is None else entry["versions"]
    match = rule.match if entry.get("match") is None else entry["match"]
    if level != "secure":
        if entry.get("match") is not None:
            raise PolicyError(
                "match names certificates for level secure, and the rule for %s has level %s; say level: secure"
                % (rule.domain, level)
            )
        match = None
    elif rule.match is not None and frozenset(match or ()) == frozenset(rule.match):
        match = rule.match  # The same names in another order.
    return replace(rule, reject_message=None, enabled=enabled, level=level, versions=versions, match=match)


def _check_kind(current: t.Optional[Rule], kind: t.Type[Rule]) -> None:
    """A name that a rule of another known kind has is not free."""
    if current is None or isinstance(current, (OpaqueRule, kind)):
        return
    what = _KINDS[kind]
    if isinstance(current, ForcedTlsDomain):
        raise PolicyError("rule %s forces TLS for %s; %s needs another name" % (current.name, current.domain, what))
    raise PolicyError("rule %s is %s; %s needs another name" % (current.name, _KINDS[type(current)], what))


def _check_collision(current: t.Optional[Rule], name: str, domain: str, direction: str) -> None:
    """Two rules must not share a name, those of one domain in two directions included."""
    if isinstance(current, (AuthRule, RelayTlsRule)):
        raise PolicyError(
            "the rule for %s cannot be called %s: %s has that name; give it another name"
            % (domain, current.name, _KINDS[type(current)])
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


def _free_name(name: str, current: t.Optional[Rule], event: str) -> str:
    """The name under which a rule is written: the existing spelling, if the rule may be taken over."""
    if isinstance(current, OpaqueRule):
        if current.basic or is_reserved(current.name):
            raise PolicyError("rule %s belongs to the server's basic settings; choose another name" % current.name)
        if current.event not in (None, event):
            raise PolicyError(
                "rule %s exists and is of another kind (event %s); choose another name" % (current.name, current.event)
            )
    elif is_reserved(name):
        raise PolicyError("rule name %s belongs to the server (WA_...); choose another name" % name)
    return current.name if current else name


def _enabled(entry: Entry, current: t.Optional[Rule]) -> bool:
    """What was asked for; else as it was. A rule taken over from a place that no event calls counts as new."""
    wanted = entry.get("enabled")
    if wanted is not None:
        return bool(wanted)
    return True if current is None or current.event is None else current.enabled
