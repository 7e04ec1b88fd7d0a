# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mail that is sent over TLS only, by domain: an own table in front of smtp_tls_policy_maps (postconf(5), TLS_README).

The first table with an answer decides with all of it, and the key is the next hop. So each entry of ours holds what others ask for
the same next hop too, and where theirs is enough there is none of ours. What was asked stands in the text of the table, as
a comment beside each entry: what is in force may be more.
"""

from __future__ import annotations

import re
import typing as t

from ..._policy.errors import PolicyError
from ..._policy.policy import Policy
from ..._policy.rule import ForcedTlsDomain
from . import relay, strictest, table
from .configuration import Draft, _State
from .maps import Map, ask, maps
from .next_hop import hops
from .slot import canonical_name
from .strictest import Incomparable, TlsPolicy

_MAPS = "smtp_tls_policy_maps"

#: The own file.
TABLE = "outbound"

#: Begins a comment that says what was asked: the domain, and the policy.
_ASKED = "#? "

_MAX_NAMES = 5

#: Levels of a policy that Postfix has under the same name.
LEVELS = ("none", "may", "encrypt", "verify", "secure", "fingerprint")


def read(conf: _State, notes: t.List[str]) -> t.List[ForcedTlsDomain]:
    """The domains for which at least what was asked is in force."""
    text = conf.own_text(TABLE)
    if text is None:
        return []
    asked = dict(_asked(text))
    listed = maps(conf.value(_MAPS))
    ours = table.in_force(conf, TABLE)
    if ours is None and any(True for unused in table.entries(text)):
        return []
    place = next((number for number, one in enumerate(listed) if one.text.endswith("/securemail/%s" % TABLE)), None)
    if ours and place != 0:
        notes.append("%s does not begin with the table of domains that force TLS: entries before it may hide them" % _MAPS)
        return []
    problems: t.List[str] = []
    keys = hops(conf, list(asked), problems)
    others = _answers(conf, [one for number, one in enumerate(listed) if number != place], [hop.key for hop in keys.values() if hop.key])
    rules = []
    for domain, policy in asked.items():
        hop = keys[domain]
        if hop.problem:
            notes.append("the rule for mail to %s has no effect: %s" % (domain, hop.problem))
            continue
        found = (ours or {}).get(hop.key) or others.get(hop.key)
        in_force = strictest.parse(found) if found else _general(conf)
        if not strictest.covers(in_force, policy, relay.general_versions(conf)):
            notes.append("the rule for mail to %s is not in force: %s is" % (domain, found or in_force.level))
            continue
        rules.append(_rule(domain, policy))
    return rules


def write(draft: Draft, before: Policy, desired: Policy) -> None:
    """Put the domains into the table. Raises ``PolicyError`` for what would be dead, or weaken what stands."""
    rules = [rule for rule in desired.rules if isinstance(rule, ForcedTlsDomain) and rule.direction == "outbound"]
    there = [rule for rule in before.rules if isinstance(rule, ForcedTlsDomain) and rule.direction == "outbound"]
    if rules == there:
        return
    if not rules:
        _take_away(draft)
        draft.actions.append("send mail to %s as to others" % _some([rule.domain for rule in there]))
        return
    lines, comments = _lines(draft, rules)
    kind = table.kind(draft)
    text = _source(lines, comments)
    draft.table(TABLE, text, stale=(table.in_force(draft.base, TABLE) or {}) != dict(table.entries(text)))
    _place(draft, kind, bool(lines))
    _say(draft, there, rules)


def weaker_entries(conf: _State, level: str) -> t.List[str]:
    """Entries of other people's tables that can be listed and ask for less than this level: ``key level``."""
    if level not in strictest.ORDER:
        return []
    found = []
    for one in maps(conf.value(_MAPS)):
        if not one.is_static or one.text.endswith("/securemail/%s" % TABLE) or one.kind in ("regexp", "pcre", "static", "inline", "randmap"):
            continue
        directory = getattr(conf, "base", conf).directory
        for line in conf.programs.postmap("-s", one.text.replace("proxy:", "", 1), directory=directory).lines:
            key, unused, value = line.partition("\t")
            word = value.split()[0].lower() if value.split() else ""
            if word in strictest.ORDER and strictest.ORDER.index(word) < strictest.ORDER.index(level):
                found.append("%s %s" % (key, word))
    return found


# --- policies as values ---------------------------------------------------------------------------


def _policy(rule: ForcedTlsDomain) -> TlsPolicy:
    match = rule.fingerprints if rule.level == "fingerprint" else rule.match
    return TlsPolicy(rule.level or "encrypt", tuple(match or ()), rule.versions)


def _rule(domain: str, policy: TlsPolicy) -> ForcedTlsDomain:
    prints = policy.level == "fingerprint"
    rule = ForcedTlsDomain(
        "",
        domain,
        None,
        "outbound",
        level=policy.level,
        versions=policy.versions,
        match=policy.match if policy.match and not prints else None,
        fingerprints=policy.match if prints else None,
    )
    return ForcedTlsDomain(**dict(vars(rule), name=canonical_name(rule)))


def _general(conf: _State) -> TlsPolicy:
    """What holds where no table has an answer."""
    return TlsPolicy(relay.level(conf) or "none", versions=relay.general_versions(conf))


def _asked(text: str) -> t.Iterator[t.Tuple[str, TlsPolicy]]:
    for line in text.splitlines():
        if line.startswith(_ASKED):
            domain, unused, policy = line[len(_ASKED) :].partition("\t")
            yield domain, strictest.parse(policy)


def _source(lines: t.Mapping[str, t.Tuple[str, str]], comments: t.Mapping[str, str]) -> str:
    """The text of the table: for each domain what was asked, then what is written for its next hop."""
    head = (
        "# Domains that mail is sent to over TLS only. Written by the Ansible collection securemail.smtp: change it there.\n"
        "# Behind \"%s\" is what was asked; an entry holds what other tables ask for the same next hop, too.\n" % _ASKED.strip()
    )
    found = [head]
    for domain in sorted(comments):
        found.append("%s%s\t%s\n" % (_ASKED, domain, comments[domain]))
        if domain in lines:
            found.append("%s\t%s\n" % lines[domain])
    return "".join(found)


# --- what is to be written ------------------------------------------------------------------------


def _lines(
    draft: Draft, rules: t.Sequence[ForcedTlsDomain]
) -> t.Tuple[t.Dict[str, t.Tuple[str, str]], t.Dict[str, str]]:
    """For each domain its line (none where other tables ask for enough), and what was asked."""
    from .listeners import knows_ranges

    ranges = knows_ranges(draft)
    problems: t.List[str] = []
    asked = {rule.domain: rule for rule in rules}
    keys = hops(draft, list(asked), draft.warnings)
    foreign = [one for one in maps(draft.value(_MAPS)) if not one.text.endswith("/securemail/%s" % TABLE)]
    answers = _answers(draft, foreign, [hop.key for hop in keys.values() if hop.key])
    dynamic = [one.text for one in foreign if not one.is_static]
    versions = relay.general_versions(draft)
    lines: t.Dict[str, t.Tuple[str, str]] = {}
    written: t.Dict[str, str] = {}
    for domain, rule in asked.items():
        hop, policy = keys[domain], _policy(rule)
        problem = hop.problem or _unusable(draft, rule)
        if not problem:
            found = answers.get(hop.key)
            try:
                line = _line(draft, policy, found, dynamic, versions)
            except (Incomparable, ValueError) as error:
                problem = "%s; what stands for the next hop %s is %s, and it is left alone" % (
                    error,
                    hop.key,
                    '"%s"' % found if found else "%s = %s" % (relay.LEVEL, relay.level(draft)),
                )
            else:
                if line is not None and written.setdefault(hop.key, line.text(ranges)) != line.text(ranges):
                    problem = "mail for another domain of these goes to the same next hop %s, and both cannot be said" % hop.key
                elif line is not None:
                    lines[domain] = (hop.key, line.text(ranges))
                    if found and line != policy:
                        draft.warnings.append(
                            "mail to %s: the entry for %s keeps what another table asks (%s): %s" % (domain, hop.key, found, line.text(ranges))
                        )
                elif found:
                    draft.warnings.append("mail to %s: another table asks for enough already (%s %s)" % (domain, hop.key, found))
        if problem:
            problems.append("rule %s: %s" % (rule.name, problem))
    if any(rule.level == "fingerprint" for rule in rules):
        relay.use_sha256(draft)
    if problems:
        raise PolicyError(*problems)
    return lines, {domain: _policy(rule).text(ranges) for domain, rule in asked.items()}


def _line(
    draft: Draft,
    policy: TlsPolicy,
    found: t.Optional[str],
    dynamic: t.Sequence[str],
    versions: t.Optional[t.Tuple[str, ...]],
) -> t.Optional[TlsPolicy]:
    """What our table needs for one next hop; None: nothing, what stands is enough. Raises :class:`Incomparable`."""
    if found is not None:
        theirs = strictest.parse(found)
        if strictest.covers(theirs, policy, versions):
            return None
        return strictest.combined(policy, theirs, versions if theirs.versions is None and policy.versions is None else None)
    if dynamic and policy.level != "secure":
        raise Incomparable(
            "%s would be asked after ours and may ask for more than %s; only level secure is enough in front of it" % (", ".join(dynamic), policy.level)
        )
    general = _general(draft)
    if general.level in ("dane", "dane-only"):
        raise Incomparable("%s and %s cannot be compared" % (policy.level, general.level))
    if general.level in strictest.ORDER and policy.level in strictest.ORDER:
        if strictest.ORDER.index(general.level) > strictest.ORDER.index(policy.level) and policy.level not in ("none", "may"):
            # The rule for all mail is stricter: versions are all that is left to say.
            return strictest.combined(policy, general, versions) if policy.versions is not None else None
    return policy


def _unusable(draft: Draft, rule: ForcedTlsDomain) -> str:
    if rule.domain == "*":
        return "every domain is the rule for all mail (relay_tls)"
    if rule.level not in LEVELS:
        return "Postfix has no level %s in this policy; it has %s" % (rule.level, ", ".join(LEVELS))
    if rule.level in ("verify", "secure") and not draft.value("smtp_tls_CAfile") and not draft.value("smtp_tls_CApath"):
        return "level %s checks certificates, and this Postfix trusts no authority; set smtp_tls_CAfile or smtp_tls_CApath in main.cf" % rule.level
    return ""


def _answers(conf: _State, foreign: t.Sequence[Map], keys: t.Sequence[str]) -> t.Dict[str, str]:
    """What other tables answer to next hops, the first one first."""
    found: t.Dict[str, str] = {}
    every = list(dict.fromkeys(keys))
    for one in foreign:
        if one.is_static:
            for key, value in ask(conf, one, every).items():
                found.setdefault(key, value)
    return found


def _place(draft: Draft, kind: str, needed: bool) -> None:
    """Our table is asked first, where it has entries."""
    written = re.compile(r"[a-z]+:\$\{config_directory\}/securemail/%s" % TABLE)
    item = table.reference(kind, TABLE)
    current = draft.main.get(_MAPS) or ""
    if not needed:
        draft.edit_main(draft.main.without_item(_MAPS, written))
    elif not (current == item or current.startswith((item + ",", item + " "))):
        rest = draft.main.without_item(_MAPS, written)
        if rest.get(_MAPS):
            draft.actions.append("ask the table %s before the others of %s: the first answer decides" % (item, _MAPS))
        draft.edit_main(rest.with_first(_MAPS, item))


def _take_away(draft: Draft) -> None:
    _place(draft, "", False)
    draft.table(TABLE, None)


def _say(draft: Draft, there: t.Sequence[ForcedTlsDomain], rules: t.Sequence[ForcedTlsDomain]) -> None:
    old = {rule.domain: rule for rule in there}
    new = {rule.domain: rule for rule in rules}
    levels: t.Dict[str, t.List[str]] = {}
    for domain, rule in new.items():
        if old.get(domain) != rule:
            levels.setdefault(rule.level or "", []).append(domain)
    for level, domains in levels.items():
        draft.actions.append("send mail to %s at level %s" % (_some(domains), level))
    gone = [domain for domain in old if domain not in new]
    if gone:
        draft.actions.append("send mail to %s as to others" % _some(gone))


def _some(domains: t.Sequence[str]) -> str:
    more = len(domains) - _MAX_NAMES
    return ", ".join(domains[:_MAX_NAMES]) + (" and %d more" % more if more > 0 else "")
