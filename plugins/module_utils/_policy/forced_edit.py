# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Edits of forced-TLS domains in a table of rules: thousands at once, alone or in groups, in linear time.

An entry is about one domain in one direction (see ``forced_options``); None means "as it is". General rules come first,
so that those for single domains know what covers them. Groups are taken apart and put together at the end, once each.
"""

from __future__ import annotations

import typing as t

from dataclasses import replace

from .coverage import Cover, arrange, check
from .errors import PolicyError, Problems
from .forced_group import Change, Groups, may_be_together
from .forced_rule import add_rule, is_exceptional, rule_of, says_nothing_new, settings_for, settings_of
from .policy import Policy
from .rule import DIRECTIONS, EVERY_DOMAIN, ForcedTlsDomain, ForcedTlsGroup, RelayTlsRule
from .rule_entry import Entry, enabled_of, label_of
from .rule_table import DomainRule, RuleTable

if t.TYPE_CHECKING:
    from .keep import Keep

_Key = t.Tuple[str, str]


def put_forced(table: RuleTable, entries: t.Iterable[Entry], problems: Problems) -> None:
    """Create, change or remove (``state``) the rules of many domains.

    Removals come first: a name that one entry gives up may be taken by another one. A rule is recognised by domain and
    direction and keeps its name. Where a server has several for both, all get what was asked for: the server may heed
    any. After problems the table is of no use.
    """
    present = []
    groups = Groups(table)
    for entry in entries:
        if entry.get("state") == "absent":
            for rule in _meant(groups, entry):
                groups.remove(rule, entry["domain"])
        else:
            present.append(entry)
    groups.drop_empty()
    cover = Cover((*table.group(RelayTlsRule.event), *table.domain_rules()))
    for entry in _general_first(present):
        try:
            _put(table, groups, cover, entry)
        except PolicyError as error:
            for problem in error.problems:
                problems.add(label_of(entry) + problem)
    groups.settle(problems)


def put_one(table: RuleTable, entry: Entry) -> str:
    """Create or change the rule for one domain in one direction; its name. Raises :class:`PolicyError`."""
    problems = Problems()
    put_forced(table, (entry,), problems)
    problems.raise_any()
    return table.find_forced(entry["domain"], entry["direction"])[0].name


def prune_forced(
    table: RuleTable,
    entries: t.Iterable[Entry],
    keep: t.Optional[Keep],
    problems: Problems,
    directions: t.Collection[str] = tuple(DIRECTIONS),
) -> None:
    """Take away the rules, and members of groups, that are not listed and not kept.

    To be done before :func:`put_forced`: what goes covers no new rule. Only rules that are understood are removed, and
    those of ``directions`` only. Where an entry has the name of one of several rules for its domain, only that one is
    listed.
    """
    listed: t.Dict[_Key, t.Set[str]] = {}
    for entry in entries:
        if entry.get("state") != "absent":
            listed.setdefault((entry["domain"], entry["direction"]), set()).add((entry.get("name") or "").lower())
    groups = Groups(table)
    for rule in table.domain_rules():
        if rule.direction in directions:
            for domain in rule.domains if isinstance(rule, ForcedTlsGroup) else (rule.domain,):
                if not _is_listed(table, rule, domain, listed) and not (keep and keep.holds(domain, rule.name)):
                    groups.remove(rule, domain)
    groups.drop_empty()
    groups.settle(problems)


def finish(before: Policy, table: RuleTable, entries: t.Collection[Entry], problems: Problems) -> None:
    """After :func:`put_forced`, what must hold for all rules together.

    General rules stand before special ones, what a general rule says about certificates does not reach rules that say
    something else, and every new exception has a reason (else it is a problem).
    """
    _own_names(before, table)
    arrange(table)
    check(before, replace(before, rules=table.result()), entries, problems)


# --- one entry ----------------------------------------------------------------------------------


def _general_first(entries: t.List[Entry]) -> t.List[Entry]:
    """Every domain, then parents, the wider ones first, then whole domains in the order given."""
    general = [entry for entry in entries if entry["domain"][0] in ".*"]
    if not general:
        return entries
    general.sort(key=lambda entry: 0 if entry["domain"] == EVERY_DOMAIN else entry["domain"].count("."))
    return general + [entry for entry in entries if entry["domain"][0] not in ".*"]


def _meant(groups: Groups, entry: Entry) -> t.List[DomainRule]:
    """The rules for the domain and direction of an entry; for an ``exact`` one those that have its name as well.

    Where several are listed by their names each is made, as on the server that they were read from.
    """
    known = groups.known(entry["domain"], entry["direction"])
    if not entry.get("exact"):
        return known
    named = [rule for rule in known if rule.name.lower() == entry["name"].lower()]
    others = [rule for rule in known if rule.name.lower() not in entry["exact"]]
    if others and not named and entry.get("state") != "absent":
        raise PolicyError(
            "rule %s forces TLS for %s %s, and there is no rule %s for it; one rule is enough, leave this entry out"
            % (others[0].name, entry["domain"], entry["direction"], entry["name"])
        )
    return named


def _put(table: RuleTable, groups: Groups, cover: Cover, entry: Entry) -> None:
    domain, direction, form = entry["domain"], entry["direction"], entry.get("form")
    known = _meant(groups, entry)
    if not known:
        blank = ForcedTlsDomain("", domain, None, direction)
        settings = settings_for(blank, entry, cover, enabled_of(entry, None))
        exception = is_exceptional(domain, direction, settings, cover)
        if form == "compact" and may_be_together(domain, settings, exception):
            groups.seek(Change(entry, settings, True, exception))
        else:
            cover.add(add_rule(table, entry, settings, exception))
        return
    if len(known) == 1 and (form is None or isinstance(known[0], ForcedTlsGroup) == (form == "compact")):
        if says_nothing_new(known[0], entry, cover):
            return
    alone = [rule.member(domain) if isinstance(rule, ForcedTlsGroup) else rule for rule in known]
    wanted = [settings_for(rule, entry, cover, enabled_of(entry, rule)) for rule in alone]
    _check_form(known, entry)
    for rule, before, settings in zip(known, alone, wanted):
        same = settings == settings_of(before)
        if isinstance(rule, ForcedTlsGroup):
            if not same or form == "method":
                exception = is_exceptional(domain, direction, settings, cover)
                together = form != "method" and may_be_together(domain, settings, exception)
                groups.change(rule, Change(entry, settings, together, exception, None, rule.name.lower()))
            continue
        if form == "compact":
            exception = is_exceptional(domain, direction, settings, cover)
            if may_be_together(domain, settings, exception):
                groups.seek(Change(entry, settings, True, exception, rule))
                continue
        if not same:
            changed = rule_of(rule.name, domain, direction, settings)
            table.put(changed)
            cover.add(changed)


def _check_form(known: t.Sequence[DomainRule], entry: Entry) -> None:
    """Of several rules for one domain none can be chosen."""
    if len(known) > 1 and entry.get("form") is not None:
        together = entry["form"] == "compact"
        if any(isinstance(rule, ForcedTlsGroup) != together for rule in known):
            raise PolicyError(
                "form: %s is about one rule, and %s %s has several: %s; take them away first (state: absent)"
                % (entry["form"], entry["domain"], entry["direction"], ", ".join(rule.name for rule in known))
            )


def _is_listed(table: RuleTable, rule: DomainRule, domain: str, listed: t.Mapping[_Key, t.Set[str]]) -> bool:
    names = listed.get((domain, rule.direction))
    if names is None or "" in names or rule.name.lower() in names:
        return names is not None
    return not any(other.name.lower() in names for other in table.find_forced(domain, rule.direction))


# --- the whole ----------------------------------------------------------------------------------


def _own_names(before: Policy, table: RuleTable) -> None:
    """A rule at level secure without names for certificates says its own where a more general rule has some.

    In a script the last word counts, and those of the general rule would be it. What an edit does not change keeps what
    it says, and so what it means.
    """
    cover = Cover(rule for rule in table.group(DIRECTIONS["outbound"]) if getattr(rule, "match", None))
    if not cover.covers("outbound"):
        return
    old = {id(rule) for rule in before.rules}
    groups = Groups(table)
    for rule in table.domain_rules():
        if rule.level != "secure" or rule.match is not None or not rule.enabled:
            continue
        for domain in rule.domains if isinstance(rule, ForcedTlsGroup) else (rule.domain,):
            wider = next(cover.all_covering(domain, "outbound"), None)
            if wider is None or (id(wider) in old and id(rule) in old):
                continue
            match = ("." + domain, domain) if domain[0] not in ".*" else (domain,)
            if isinstance(rule, ForcedTlsGroup):
                settings = settings_of(rule.member(domain))._replace(match=match)
                entry = {"domain": domain, "direction": rule.direction}
                groups.change(rule, Change(entry, settings, False, False, None, rule.name.lower()))
            else:
                table.put(rule_of(rule.name, domain, rule.direction, settings_of(rule)._replace(match=match)))
    groups.settle(Problems())
