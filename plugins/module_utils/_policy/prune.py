# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A document that is the whole truth about some of its sections: what they do not name goes.

What no section can name is never pruned: rules that are not understood and the server's own basic settings.
"""

from __future__ import annotations

import typing as t

from .address import listener_address
from .domain import domain_name
from .errors import PolicyError, Problems, arrived, few, listed, shown
from .keep import Keep, Only
from .policy import Listener, Policy
from .rule import Action, AuthRule, GeneralRule, RelayTlsRule, Rule
from .rule_table import RuleTable


def _domain_or_rule(value: str, option: str) -> str:
    """A domain in canonical form; the name of a rule has no dot and needs none."""
    return value if value.isidentifier() else domain_name(value, option, True)


#: Sections of a document that are lists, and how a name without a wildcard is written there.
SECTIONS: t.Dict[str, t.Optional[t.Callable[[str, str], str]]] = {
    "listeners": listener_address,
    "auth_rules": None,
    "relay_tls": None,
    "rules": None,
    "forced_tls_domains": _domain_or_rule,
}

#: Sections of rules that are recognised by their names.
_NAMED: t.Dict[str, t.Type[t.Any]] = {"auth_rules": AuthRule, "relay_tls": RelayTlsRule, "rules": GeneralRule}

_Entries = t.Sequence[t.Mapping[str, t.Any]]
_Keep = t.Union[Keep, Only]


def prune_sections(params: t.Mapping[str, t.Any]) -> t.Dict[str, _Keep]:
    """The sections that ``prune``, ``prune_only`` and ``keep`` make whole, with what stays in them all the same.

    Raises :class:`PolicyError` for a section that the document does not have.
    """
    problems = Problems()
    given = [section for section in SECTIONS if params.get(section) is not None]
    wanted: t.List[str] = []
    with problems.collecting():
        wanted = _wanted(params.get("prune"), given)
    for section in wanted:
        if section not in given:
            problems.add(
                "prune names %s, and there are no %s in this task; give %s: [] to mean none" % (section, section, section)
            )
    patterns: t.Dict[str, t.Mapping[str, t.Any]] = {
        option: params.get(option) or {} for option in ("keep", "prune_only")
    }
    sections: t.Dict[str, _Keep] = {}
    for section, canonical in SECTIONS.items():
        with problems.collecting():
            kept, only = (Keep(given.get(section), "%s.%s" % (option, section), canonical) for option, given in patterns.items())
            if section in wanted:
                sections[section] = kept if patterns["prune_only"].get(section) is None else Only(only, kept)
        for option, given in patterns.items():
            if given.get(section) and section not in wanted:
                problems.add(
                    "%s.%s: %s is not pruned; name it in prune, or leave %s.%s out"
                    % (option, section, section, option, section)
                )
    problems.raise_any()
    return sections


def _wanted(value: t.Any, given: t.List[str]) -> t.List[str]:
    if value is None or isinstance(value, bool):
        return given if value else []
    if isinstance(value, str) and value.strip().lower() in _SWITCHES:
        return given if _SWITCHES[value.strip().lower()] else []
    if not isinstance(value, (str, list)):
        raise PolicyError("prune must be a boolean or a list of %s; got %s" % (", ".join(SECTIONS), arrived(value)))
    names = []
    for number, name in enumerate(listed(value, "prune", "[listeners]"), 1):
        if name not in SECTIONS:
            got = shown(name) if isinstance(name, str) else arrived(name)
            raise PolicyError("prune #%d must be one of %s; got %s" % (number, ", ".join(SECTIONS), got))
        names.append(name)
    return names


#: What a boolean is when it comes as a text (as with -e on a command line).
_SWITCHES = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


def surplus_listeners(policy: Policy, entries: _Entries, keep: _Keep) -> t.Set[str]:
    """Addresses of listeners that no entry names and no pattern keeps."""
    named = {entry["address"] for entry in entries}
    return {
        listener.address
        for listener in policy.listeners
        if listener.address not in named and not keep.holds(listener.address)
    }


def prune_named(
    table: RuleTable, policy: Policy, section: str, document: t.Mapping[str, t.Any], keep: _Keep
) -> None:
    """Take away the rules of a section's kind that no entry names and no pattern keeps.

    A general rule may say what a typed one does, and then it is the server's typed one.
    """
    kind = _NAMED[section]
    named = {entry["name"].lower() for own in (section, "rules") for entry in document.get(own) or ()}
    for rule in policy.rules:
        if isinstance(rule, kind) and rule.name.lower() not in named and not keep.holds(rule.name):
            table.remove(rule.name)


# --- what a prune must not do by accident -------------------------------------------------------


def check_pruned(before: Policy, after: Policy, document: t.Mapping[str, t.Any]) -> None:
    """Refuse a prune that leaves a server without a listener, without what keeps passwords off connections in clear, or
    without the rules for domains because the list of them is empty.

    What an entry of the document takes away itself is meant. Raises :class:`PolicyError`.
    """
    problems = Problems()
    sections = document["prune"]
    if "listeners" in sections:
        gone = _gone(before.listeners, after.listeners, document["listeners"], "address")
        if any(_open(listener) for listener in gone) and not any(_open(listener) for listener in after.listeners):
            problems.add(
                "prune would remove every enabled listener (%s), and the server would take no mail any more; name them "
                "in listeners or in keep.listeners, or say allow_unsafe: true"
                % ", ".join(few([listener.address for listener in gone], "%d more"))
            )
    rule = _plain_rule(before)
    if "auth_rules" in sections and rule is not None and not rule.mechanisms:
        now = _plain_rule(after)
        unsafe = bool(now.mechanisms) if now is not None else not any(map(_closes, after.rules))
        if unsafe and _gone([rule], after.rules, document["auth_rules"], "name"):
            problems.add(
                "prune would remove rule %s, which keeps passwords off connections in clear, and nothing in this task "
                "does the same%s; give a rule with connection: plain and mechanisms: [], name it in keep.auth_rules, or "
                "say allow_unsafe: true"
                % (rule.name, "" if now is None else " (rule %s allows %s)" % (now.name, ", ".join(now.mechanisms)))
            )
    if "forced_tls_domains" in sections:
        _check_domains(before, after, document["forced_tls_domains"], problems)
    problems.raise_any()


def _check_domains(before: Policy, after: Policy, entries: _Entries, problems: Problems) -> None:
    """A list of domains with nothing in it is a broken export more often than a wish."""
    if any(entry["state"] == "present" for entry in entries):
        return
    stay = {(rule.domain, rule.direction) for rule in after.forced_domains()}
    stay.update((entry["domain"], entry["direction"]) for entry in entries)
    gone = {(rule.domain, rule.direction) for rule in before.forced_domains()} - stay
    if gone:
        problems.add(
            "prune: forced_tls_domains names no domain whose rules shall stay, so that every rule for a domain would be "
            "removed%s (%s); list the domains, or say allow_unsafe: true"
            % (
                " but for what keep.forced_tls_domains names" if stay else "",
                ", ".join(few(sorted("%s %s" % one for one in gone), "%d more")),
            )
        )


def _gone(
    before: t.Collection[t.Any], after: t.Iterable[t.Any], entries: _Entries, key: str
) -> t.List[t.Any]:
    """What was there, is not there now as a thing of its kind, and is named by no entry."""
    kinds = {type(thing) for thing in before}
    there = {getattr(thing, key).lower() for thing in after if type(thing) in kinds}
    there.update(entry[key].lower() for entry in entries)
    return [thing for thing in before if getattr(thing, key).lower() not in there]


def _closes(rule: Rule) -> bool:
    """Whether a general rule says what keeps passwords off connections in clear; the server reads it as that rule."""
    if not isinstance(rule, GeneralRule) or rule.conditions or not rule.enabled:
        return False
    return Action("set", "plainConnAuthTypes", "none") in rule.actions


def _open(listener: Listener) -> bool:
    return listener.enabled is not False


def _plain_rule(policy: Policy) -> t.Optional[AuthRule]:
    """The rule that decides how clients log in without TLS: the last one that the server applies."""
    found: t.Optional[Rule] = None
    for rule in policy.rules:
        if isinstance(rule, AuthRule) and rule.enabled and rule.connection == "plain":
            found = rule
    return found
