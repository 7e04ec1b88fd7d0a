# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wishes about single rules, put into a table of rules.

A wish (``Entry``) holds module options in canonical form; None means "as it is". Each function raises
:class:`PolicyError` for a wish that the table's rules contradict, and has not changed the table then.
"""

from __future__ import annotations

import typing as t

from .errors import PolicyError
from .level import proof_problem
from .rule import (
    AuthRule,
    ForcedTlsDomain,
    ForcedTlsGroup,
    GeneralRule,
    OpaqueRule,
    RelayTlsRule,
    Rule,
)
from .rule_name import is_reserved
from .rule_table import RuleTable

#: One wish about a rule: the module options in canonical form; ``label`` names it in messages.
Entry = t.Mapping[str, t.Any]

_KINDS = {
    AuthRule: "an authentication rule",
    RelayTlsRule: "a relay TLS rule",
    ForcedTlsDomain: "a forced-TLS domain",
    ForcedTlsGroup: "a rule for many forced-TLS domains",
    GeneralRule: "a general rule",
}


def label_of(entry: Entry) -> str:
    """What stands before a problem of this entry."""
    label = entry.get("label")
    return "%s: " % label if label else ""


def kind_of(rule: Rule) -> str:
    """What a rule is, in words."""
    return _KINDS.get(type(rule), "a rule that is not understood")


def put_auth_rule(table: RuleTable, entry: Entry) -> str:
    """Create or change one authentication rule; its name, in the spelling that the table has."""
    current = table.find(entry["name"])
    _check_kind(current, AuthRule)
    name = free_name(entry["name"], current, AuthRule.event)
    table.put(AuthRule(name, entry["connection"], tuple(entry["mechanisms"]), enabled_of(entry, current)))
    return name


def put_relay_tls(table: RuleTable, entry: Entry) -> str:
    """Create or change one relay TLS rule; its name, in the spelling that the table has."""
    current = table.find(entry["name"])
    _check_kind(current, RelayTlsRule)
    name = free_name(entry["name"], current, RelayTlsRule.event)
    level, said = entry["level"], {}
    for what, only in (("versions", level), ("match", "secure"), ("fingerprints", "fingerprint")):
        known = getattr(current, what) if isinstance(current, RelayTlsRule) and level == only else None
        given = entry.get(what)
        said[what] = known if given is None else given or None
        if known and given and frozenset(known) == frozenset(given):
            said[what] = known  # The same in another order.
    problem = proof_problem(level, said["match"], said["fingerprints"], "rule %s" % name)
    if problem is not None:
        raise PolicyError(problem)
    table.put(RelayTlsRule(name, level, enabled=enabled_of(entry, current), **said))
    return name


def put_general_rule(table: RuleTable, entry: Entry) -> str:
    """Create or change one general rule; its name, in the spelling that the table has.

    A rule of another kind that has its name becomes this one: whether it says the same only the server can tell. An
    event that nobody said is the one that it has, if it can run there, else the first one in which it can
    and is meant (``general_rule.first_event``).
    """
    from .general_rule import first_event, rule_of

    current = table.find(entry["name"])
    enabled = entry.get("enabled")
    if enabled is None:
        enabled = current is None or current.event is None or current.enabled
    # Where a rule belongs that no event calls is not kept: then it is where it would come first.
    event = entry.get("event") if enabled else None
    if event is None:
        here = current.event if current is not None and (enabled or not current.enabled) else None
        event = here if here in entry["events"] else first_event(entry)
    name = free_name(entry["name"], None if isinstance(current, GeneralRule) else current, event)
    table.put(rule_of(current.name if current else name, event, entry, current, enabled))
    return current.name if current else name


def remove(table: RuleTable, entry: Entry, kind: t.Optional[t.Type[Rule]] = None) -> None:
    """Take away the rule of a name, which must be of this kind. Rules whose content is not known are never removed."""
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


def _check_kind(current: t.Optional[Rule], kind: t.Type[Rule]) -> None:
    """A name that a rule of another known kind has is not free; what is none of these kinds may be taken over."""
    if current is None or isinstance(current, (GeneralRule, OpaqueRule, kind)):
        return
    what = _KINDS[kind]
    if isinstance(current, ForcedTlsDomain):
        raise PolicyError("rule %s forces TLS for %s; %s needs another name" % (current.name, current.domain, what))
    raise PolicyError("rule %s is %s; %s needs another name" % (current.name, _KINDS[type(current)], what))


def free_name(name: str, current: t.Optional[Rule], event: str) -> str:
    """The name under which a rule is written: the existing spelling, if the rule may be taken over."""
    if isinstance(current, OpaqueRule):
        if current.basic or is_reserved(current.name):
            raise PolicyError("rule %s belongs to the server's basic settings; choose another name" % current.name)
    if isinstance(current, OpaqueRule) or (isinstance(current, GeneralRule) and current.enabled):
        if current.event not in (None, event):
            raise PolicyError(
                "rule %s exists and is of another kind (event %s); choose another name" % (current.name, current.event)
            )
    elif is_reserved(name):
        raise PolicyError("rule name %s belongs to the server (WA_...); choose another name" % name)
    return current.name if current else name


def enabled_of(entry: Entry, current: t.Optional[Rule]) -> bool:
    """What was asked for; else as it was. A rule taken over from a place that no event calls counts as new."""
    wanted = entry.get("enabled")
    if wanted is not None:
        return bool(wanted)
    return True if current is None or current.event is None or isinstance(current, GeneralRule) else current.enabled
