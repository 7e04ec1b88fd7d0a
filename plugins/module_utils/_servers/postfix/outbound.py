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
from ..._policy.rule import EVERY_DOMAIN, ForcedTlsDomain
from . import sending_level, strictest, table
from .configuration import Draft, _State
from .maps import Answer, first_answers, maps
from .next_hop import Hop, chain, hops
from .policy_tables import MAPS, TABLE, foreign_levels, in_force, is_ours
from .slot import canonical_name
from .strictest import Defaults, Incomparable, TlsPolicy

#: Begins a comment that says what was asked: the domain, and the policy.
_ASKED = "#? "

_MAX_NAMES = 5

#: Levels of a policy that Postfix has, under the same name.
LEVELS = ("none", "may", "encrypt", "dane", "dane-only", "verify", "secure", "fingerprint")

#: Levels that no resolver of published policies can ask more than.
_STRONG = ("secure", "fingerprint")

_EXCEPTIONS = ("none", "may")

Rules = t.Sequence[ForcedTlsDomain]


def read(conf: _State, notes: t.List[str]) -> t.List[ForcedTlsDomain]:
    """The domains for which at least what was asked is in force."""
    asked = dict(_asked(conf.own_text(TABLE) or ""))
    if not asked:
        return []
    keys = hops(conf, list(asked), notes)
    answers = in_force(conf, {domain: chain(hop.key) for domain, hop in keys.items()}, notes)
    defaults, general = sending_level.defaults(conf), sending_level.general(conf)
    rules = []
    for domain, policy in asked.items():
        hop = keys[domain]
        if hop.problem:
            notes.append("the rule for mail to %s has no effect: %s" % (domain, hop.problem))
            continue
        problem = _lacking(policy, answers[domain], general, defaults, hop.key)
        if problem:
            notes.append("the rule for mail to %s is not in force: %s" % (domain, problem))
            continue
        rules.append(_rule(domain, policy))
    return rules


def write(draft: Draft, before: Policy, desired: Policy) -> None:
    """Put the domains into the table, and the relay host. Raises ``PolicyError`` for what would be dead, or weaken what stands."""
    rules, there = _rules(desired), _rules(before)
    host = None
    if desired.relay is not None or before.relay is not None:
        from . import relay_host

        host = relay_host.wanted(before, desired, draft.own_text(TABLE))
    needed = bool(rules) or host is not None
    if rules == there and before.relay == desired.relay and not (needed and _moved(draft)):
        return
    if not needed:
        _take_away(draft)
    else:
        lines, comments = _lines(draft, rules)
        text = _source(lines, comments) + ("" if host is None else _host_lines(draft, host))
        draft.table(TABLE, text, stale=(table.in_force(draft.base, TABLE) or {}) != dict(table.entries(text)))
        _place(draft, table.kind(draft), any(True for unused in table.entries(text)))
    _say(draft, there, rules)


# --- policies as values ---------------------------------------------------------------------------


def _rules(policy: Policy) -> t.List[ForcedTlsDomain]:
    return [rule for rule in policy.rules if isinstance(rule, ForcedTlsDomain) and rule.direction == "outbound"]


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


def _lacking(policy: TlsPolicy, answer: Answer, general: TlsPolicy, defaults: Defaults, key: str) -> str:
    """What is in force for a next hop, where that is less than what was asked; "" else."""
    if answer.behind:
        return "%s is asked before, and may say anything" % answer.behind
    try:
        found = general if answer.text is None else strictest.parse(answer.text)
    except ValueError as error:
        return str(error)
    if strictest.covers(found, policy, defaults, key):
        return ""
    return '"%s" is' % answer.text if answer.text is not None else "%s = %s is" % (sending_level.LEVEL, general.level)


def _asked(text: str) -> t.Iterator[t.Tuple[str, TlsPolicy]]:
    for line in text.splitlines():
        if line.startswith(_ASKED):
            domain, unused, policy = line[len(_ASKED) :].partition("\t")
            try:
                yield domain, strictest.parse(policy)
            except ValueError:
                # Somebody edited the comment; the rule is no more what it was.
                continue


def _source(lines: t.Mapping[str, t.Tuple[str, str]], comments: t.Mapping[str, str]) -> str:
    """The text of the table: for each domain what was asked, then what is written for its next hop."""
    head = (
        "# Domains that mail is sent to over TLS only. Written by the Ansible collection securemail.smtp: change it there.\n"
        "# Behind \"%s\" is what was asked; an entry holds what other tables ask for the same next hop, too.\n" % _ASKED.strip()
    )
    found = [head]
    written = set()
    for domain in sorted(comments):
        found.append("%s%s\t%s\n" % (_ASKED, domain, comments[domain]))
        if domain in lines:
            key, value = lines[domain]
            # Domains that share a next hop share its entry.
            found += ["%s\t%s\n" % (one, value) for one in _spellings(key) if one not in written]
            written.update(_spellings(key))
    return "".join(found)


def _spellings(key: str) -> t.Tuple[str, ...]:
    """A next hop in A-labels, and in letters where that is another spelling: mail of SMTPUTF8 clients has those."""
    if "xn--" not in key:
        return (key,)
    from ..._policy.domain import readable

    return (key, readable(key))


# --- what is to be written ------------------------------------------------------------------------


def _moved(draft: Draft) -> bool:
    """Whether what lies below the entries changes with this plan, or is not what they were made for."""
    return (
        sending_level.general(draft) != sending_level.general(draft.base)
        or sending_level.defaults(draft) != sending_level.defaults(draft.base)
        or (table.in_force(draft.base, TABLE) or {}) != dict(table.entries(draft.own_text(TABLE) or ""))
    )


def _host_lines(draft: Draft, host: t.Any) -> str:
    """What was asked for the relay host, and its entry. Raises ``PolicyError``."""
    from . import relay_host
    from .tls_values import knows_ranges

    key = relay_host.key(draft)
    foreign = [one for one in maps(draft.value(MAPS)) if not is_ours(one)]
    answer = first_answers(draft, foreign, {key: chain(key)})[key]
    policy, general = relay_host.policy(host), sending_level.general(draft)
    try:
        if answer.text is None and not answer.behind and not strictest.weaker(general.level, policy.level) and policy.level in _EXCEPTIONS:
            line: t.Optional[TlsPolicy] = None
        else:
            line = _line(policy, answer, general, sending_level.defaults(draft), key)
    except (Incomparable, ValueError) as error:
        raise PolicyError("relay host %s: %s" % (host.host, _left_alone(error, answer, general, key))) from None
    text = "%s%s\t%s\n" % (relay_host.ASKED, key, host.level)
    return text + ("" if line is None else "%s\t%s\n" % (key, line.text(knows_ranges(draft))))


def _lines(draft: Draft, rules: Rules) -> t.Tuple[t.Dict[str, t.Tuple[str, str]], t.Dict[str, str]]:
    """For each domain its line (none where other tables ask for enough), and what was asked."""
    from .tls_values import knows_ranges

    ranges = knows_ranges(draft)
    problems: t.List[str] = []
    keys = hops(draft, [rule.domain for rule in rules], draft.warnings)
    foreign = [one for one in maps(draft.value(MAPS)) if not is_ours(one)]
    answers = first_answers(draft, foreign, {domain: chain(hop.key) for domain, hop in keys.items() if hop.key})
    defaults, general = sending_level.defaults(draft), sending_level.general(draft)
    lines: t.Dict[str, t.Tuple[str, str]] = {}
    written: t.Dict[str, t.Tuple[str, str]] = {}
    for rule in rules:
        domain, hop, policy = rule.domain, keys[rule.domain], _policy(rule)
        problem = _unusable(draft, rule) or hop.problem
        if not problem:
            answer = answers[domain]
            try:
                line = _line(policy, answer, general, defaults, hop.key)
            except (Incomparable, ValueError) as error:
                problem = _left_alone(error, answer, general, hop.key)
            else:
                text = line.text(ranges) if line is not None else ""
                first, known = written.setdefault(hop.key, (domain, text))
                if known != text:
                    problem = "mail for %s goes to the same next hop %s, and both cannot be said" % (first, hop.key)
                elif line is not None:
                    lines[domain] = (hop.key, text)
                _tell(draft, domain, hop, policy, answer, line, text)
        if problem:
            problems.append("rule %s: %s" % (rule.name, problem))
    if not foreign and draft.value("smtp_tls_per_site"):
        problems.append(
            "main.cf has smtp_tls_per_site, which Postfix no longer looks into once there is a table in %s; move its entries "
            "into a table there first" % MAPS
        )
    if any(rule.level == "fingerprint" for rule in rules):
        sending_level.use_sha256(draft)
    if problems:
        raise PolicyError(*problems)
    _tell_of_subdomains(draft, rules)
    return lines, {rule.domain: _policy(rule).text(ranges) for rule in rules}


def _line(
    policy: TlsPolicy, answer: Answer, general: TlsPolicy, defaults: Defaults, key: str
) -> t.Optional[TlsPolicy]:
    """What our table needs for one next hop; None: nothing, what stands is enough.

    Raises :class:`Incomparable`, and ``ValueError`` for what stands and Postfix cannot read.
    """
    if answer.behind and policy.level not in _STRONG:
        raise Incomparable(
            "%s is asked below ours, cannot be looked into here and may ask for more than %s; in front of it only level secure "
            "or fingerprint weakens nothing" % (answer.behind, policy.level)
        )
    if answer.text is not None:
        theirs = strictest.parse(answer.text)
        if policy.level in _EXCEPTIONS and not strictest.covers(policy, theirs, defaults, key):
            raise Incomparable("an exception (level %s) would weaken what another table asks" % policy.level)
        if not answer.behind and strictest.covers(theirs, policy, defaults, key):
            return None
        return strictest.combined(policy, theirs, defaults, key)
    if policy.level in _EXCEPTIONS:
        # From what is said of all mail there may be exceptions.
        return policy
    try:
        return strictest.combined(policy, general, defaults, key)
    except Incomparable:
        if general.level in ("dane", "dane-only"):
            raise
        # Both say who a host must be, and the rule for the domain is the more special one.
        return strictest.combined(policy, TlsPolicy("encrypt"), defaults, key)


def _left_alone(error: Exception, answer: Answer, general: TlsPolicy, key: str) -> str:
    if answer.text is not None:
        return '%s; what stands for the next hop %s is "%s", and it is left alone' % (error, key, answer.text)
    if answer.behind and answer.behind in str(error):
        return str(error)
    return "%s; %s = %s is left as it is for the next hop %s: say level: %s, or leave the domain out" % (
        error,
        sending_level.LEVEL,
        general.level,
        key,
        "dane-only, which sends no mail without what the domain publishes",
    )


def _unusable(draft: Draft, rule: ForcedTlsDomain) -> str:
    if rule.domain == EVERY_DOMAIN:
        return "every domain is what a rule for all mail is about; use smtp_relay_tls (relay_tls)"
    if rule.level not in LEVELS:
        return "Postfix has no level %s: nothing of its own looks up what a domain publishes so; it has %s" % (rule.level, ", ".join(LEVELS))
    return sending_level.unusable(draft, rule.level)


def _tell(
    draft: Draft, domain: str, hop: Hop, policy: TlsPolicy, answer: Answer, line: t.Optional[TlsPolicy], text: str
) -> None:
    """What the entry is that nobody asked for in these words."""
    if hop.remark:
        draft.warnings.append(hop.remark)
    if line is None:
        draft.warnings.append("mail to %s: another table asks for enough already (%s %s), and it is left to it" % (domain, hop.key, answer.text))
    elif answer.text is not None and line != policy:
        draft.warnings.append("mail to %s: the entry for %s keeps what another table asks (%s): %s" % (domain, hop.key, answer.text, text))


def _tell_of_subdomains(draft: Draft, rules: Rules) -> None:
    """Entries of others for single subdomains decide for these, whatever a rule for all subdomains says."""
    wide = [rule for rule in rules if rule.domain.startswith(".")]
    if not wide:
        return
    known = {rule.domain for rule in rules}
    for key, level in foreign_levels(draft):
        for rule in wide:
            if key.endswith(rule.domain) and key not in known and key != rule.domain and strictest.weaker(level, rule.level or ""):
                draft.warnings.append("mail to %s: another table has %s %s, which decides for that subdomain" % (rule.domain, key, level))


def _place(draft: Draft, kind: str, needed: bool) -> None:
    """Our table is asked first, where it has entries."""
    written = re.compile(r"[a-z]+:\$\{config_directory\}/securemail/%s\b" % TABLE)
    item = table.reference(kind, TABLE)
    current = draft.main.get(MAPS) or ""
    if not needed:
        draft.edit_main(draft.main.without_item(MAPS, written))
    elif not (current == item or current.startswith((item + ",", item + " "))):
        rest = draft.main.without_item(MAPS, written)
        if rest.get(MAPS):
            draft.actions.append("ask the table %s before the others of %s: the first answer decides" % (item, MAPS))
        draft.edit_main(rest.with_first(MAPS, item))


def _take_away(draft: Draft) -> None:
    _place(draft, "", False)
    draft.table(TABLE, None)


def _say(draft: Draft, there: Rules, rules: Rules) -> None:
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
