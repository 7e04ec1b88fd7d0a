# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which rule decides how mail for a domain is protected, and which rules are exceptions from a stricter one.

The most special rule decides: that of the domain itself, then that of the longest parent (``.example.com``), then that
for every domain (``*``). A rule that is weaker than the one for more domains is an exception and has a reason; it never
arises from the order of rules or from a missing entry. Only enabled rules count.
"""

from __future__ import annotations

import typing as t

from .errors import PolicyError, Problems
from .level import LEVELS, asks_who, forces, strength
from .policy import Policy
from .rule import (
    DIRECTIONS,
    EVERY_DOMAIN,
    Condition,
    ForcedTlsDomain,
    ForcedTlsGroup,
    GeneralRule,
    RelayTlsRule,
    Rule,
)
from .rule_entry import label_of
from .rule_table import RuleTable

#: Where the level of a domain comes from.
EXACT, PARENT, DEFAULT = "exact", "parent", "default"

#: How an inbound rule that forces TLS is called where levels are shown.
_FORCED = "encrypt"

#: Most rules that one problem names.
_SHOWN = 20

_Key = t.Tuple[str, str]


def shown_level(rule: t.Union[ForcedTlsDomain, ForcedTlsGroup]) -> str:
    """The level of a rule in words, inbound too: ``encrypt`` for mail that is taken over TLS only."""
    return rule.level or _FORCED


class Cover:
    """The rules for subdomains and for every domain. Of several for the same the last one counts.

    Behind all of them stands what a relay TLS rule asks of peers: who they are is proven to it, or no mail goes out.
    """

    def __init__(self, rules: t.Iterable[Rule]) -> None:
        self._rules: t.Dict[str, t.Dict[str, ForcedTlsDomain]] = {direction: {} for direction in DIRECTIONS}
        self._last: t.Optional[ForcedTlsDomain] = None
        for rule in rules:
            if isinstance(rule, ForcedTlsDomain):
                self.add(rule)
            elif isinstance(rule, RelayTlsRule):
                self._last = _as_default(rule) or self._last

    def add(self, rule: ForcedTlsDomain) -> None:
        """Take one rule into account; one that is disabled or for a whole domain covers nothing."""
        if rule.domain[0] in ".*":
            known = self._rules[rule.direction]
            if rule.enabled:
                known[rule.domain] = rule
            elif rule.domain in known and known[rule.domain].name.lower() == rule.name.lower():
                del known[rule.domain]

    def covers(self, direction: str) -> bool:
        """Whether any rule of this direction covers anything."""
        return bool(self._rules[direction]) or (self._last is not None and direction == "outbound")

    def covering(self, domain: str, direction: str) -> t.Optional[ForcedTlsDomain]:
        """The rule that decides when there is none for the domain itself."""
        return next(self.all_covering(domain, direction), None)

    def all_covering(self, domain: str, direction: str) -> t.Iterator[ForcedTlsDomain]:
        """All rules that are for this domain among others, the most special one first."""
        known = self._rules[direction]
        if known:
            for wider in _wider(domain):
                if wider in known:
                    yield known[wider]
        if self._last is not None and direction == "outbound":
            yield self._last

    def stricter(self, domain: str, direction: str, level: str) -> t.Optional[ForcedTlsDomain]:
        """The rule that decides without one for the domain itself, if it asks for more than this level."""
        rule = self.covering(domain, direction)
        return rule if rule is not None and strength(shown_level(rule)) > strength(level) else None


def _as_default(rule: RelayTlsRule) -> t.Optional[ForcedTlsDomain]:
    """What a relay TLS rule says for a domain about which nothing else is said; None: nothing that rules replace.

    That there is TLS at all is asked by another switch, which no rule for a domain turns off (``check_floor``).
    """
    if not rule.enabled or not asks_who(rule.level):
        return None
    return ForcedTlsDomain(
        rule.name,
        EVERY_DOMAIN,
        None,
        "outbound",
        level=rule.level,
        versions=rule.versions,
        match=rule.match,
        fingerprints=rule.fingerprints,
    )


def is_exception(rule: ForcedTlsDomain, cover: Cover) -> bool:
    """Whether mail may travel in clear under this rule, or it is weaker than the one for more domains."""
    return not rule.forces or cover.stricter(rule.domain, rule.direction, shown_level(rule)) is not None


# --- what holds ---------------------------------------------------------------------------------


def effective(policy: Policy) -> t.List[t.Dict[str, t.Any]]:
    """How mail for each domain that a rule names is protected in each direction for which there is a rule.

    Dictionaries with ``domain``, ``direction``, ``level``, ``source`` (``exact``, ``parent`` or ``default``: which rule
    decides), ``exception``, ``reason``, ``until`` and ``rule`` (the name of the one that decides), sorted. A relay TLS
    rule that asks for TLS wherever mail goes decides where the rule for a domain asks for less.
    """
    exact: t.Dict[_Key, ForcedTlsDomain] = {}
    domains: t.Dict[str, None] = {}
    for rule in policy.forced_domains():
        domains.setdefault(rule.domain)
        if rule.enabled:
            exact[rule.domain, rule.direction] = rule
    cover, floor = Cover((*policy.relay_rules(), *exact.values())), _floor(policy)
    found = []
    for domain in sorted(domains):
        for direction in DIRECTIONS:
            decides = exact.get((domain, direction)) or cover.covering(domain, direction)
            if decides is not None and floor is not None and direction == "outbound" and not decides.forces:
                # Its own level the rule for the domain has replaced; that there is TLS it has not.
                found.append(dict(_row(domain, direction, floor, DEFAULT, False), level=_FORCED))
            elif decides is not None:
                exceptional = is_exception(decides, cover)
                found.append(_row(domain, direction, decides, _source(decides.domain), exceptional))
    return found


def _row(
    domain: str, direction: str, rule: t.Union[ForcedTlsDomain, RelayTlsRule], source: str, exceptional: bool
) -> t.Dict[str, t.Any]:
    """What is shown of a domain, and of the rule that decides."""
    return {
        "domain": domain,
        "direction": direction,
        "level": rule.level or _FORCED,
        "source": source,
        "exception": exceptional,
        "reason": getattr(rule, "reason", None),
        "until": getattr(rule, "until", None),
        "rule": rule.name,
    }


def _floor(policy: Policy) -> t.Optional[RelayTlsRule]:
    """The relay TLS rule that asks for TLS wherever mail goes, if any; no rule for a domain makes it weaker."""
    asking = [rule for rule in policy.relay_rules() if rule.enabled and forces(rule.level)]
    return asking[-1] if asking else None


def _source(domain: str) -> str:
    return {"*": DEFAULT, ".": PARENT}.get(domain[0], EXACT)


def exceptions(policy: Policy) -> t.Iterator[ForcedTlsDomain]:
    """The enabled rules that are exceptions, those of a group one by one."""
    cover = Cover(policy.rules)
    for rule in policy.rules:
        if isinstance(rule, ForcedTlsDomain):
            if rule.enabled and is_exception(rule, cover):
                yield rule
        elif isinstance(rule, ForcedTlsGroup) and rule.enabled and cover.covers(rule.direction):
            yield from (member for member in rule.members() if is_exception(member, cover))


# --- what must not arise ------------------------------------------------------------------------


def check(before: Policy, after: Policy, entries: t.Iterable[t.Mapping[str, t.Any]], problems: Problems) -> None:
    """Exceptions need a reason: those of new and changed rules, and those that a new or changed rule makes of others.

    ``entries`` are what was asked for. What was an exception without a reason before and has
    not changed is not the business of this edit.
    """
    without = [rule for rule in exceptions(after) if not rule.reason]
    if not without:
        return
    old = {_identity(rule): rule for rule in exceptions(before) if not rule.reason}
    names = {_identity(rule) for rule in without}
    known = {_identity(rule): rule for rule in before.forced_domains() if _identity(rule) in names}
    cover = Cover(after.rules)
    labels = {(entry["domain"], entry["direction"]): label_of(entry) for entry in entries}
    weakened: t.Dict[ForcedTlsDomain, t.List[ForcedTlsDomain]] = {}
    for rule in without:
        identity = _identity(rule)
        if old.get(identity) == rule:
            continue
        stricter = cover.stricter(rule.domain, rule.direction, shown_level(rule))
        if stricter is not None and known.get(identity) == rule and identity[:2] not in labels:
            weakened.setdefault(stricter, []).append(rule)
        else:
            problems.add(labels.get(identity[:2], "") + _without_reason(rule, stricter))
    for cause, rules in weakened.items():
        problems.add(_newly_weaker(cause, rules))


def _identity(rule: ForcedTlsDomain) -> t.Tuple[str, str, str]:
    return rule.domain, rule.direction, rule.name.lower()


def _without_reason(rule: ForcedTlsDomain, stricter: t.Optional[ForcedTlsDomain]) -> str:
    said = "%s %s at level %s is an exception" % (rule.domain, rule.direction, shown_level(rule))
    if stricter is not None:
        said += " from rule %s for %s, which asks for %s" % (stricter.name, stricter.domain, shown_level(stricter))
    return said + (
        "; an exception is written as one: give it a reason (option reason; tlsReason in a general rule) and, if it shall end, a last day (until)"
    )


def _newly_weaker(cause: ForcedTlsDomain, rules: t.Sequence[ForcedTlsDomain]) -> str:
    named = ["%s (%s)" % (rule.domain, shown_level(rule)) for rule in rules[:_SHOWN]]
    if len(rules) > _SHOWN:
        named.append("and %d more" % (len(rules) - _SHOWN))
    return (
        "rule %s for %s %s at level %s would make exceptions of rules that the server has and nobody named: %s; "
        "name them with a level that is as strict, or with a reason (option reason), or take them away (state: absent)"
        % (cause.name, cause.domain, cause.direction, shown_level(cause), ", ".join(named))
    )


def check_floor(before: Policy, after: Policy) -> None:
    """Refuse exceptions that would have no effect, because a relay TLS rule asks for TLS wherever mail goes.

    What was so before is not the business of this edit. Raises :class:`PolicyError`.
    """
    floor = _floor(after)
    if floor is None:
        return
    old = set(_outbound_in_clear(before)) if _floor(before) is not None else set()
    idle = [rule for rule in _outbound_in_clear(after) if rule not in old]
    if idle:
        named = ["%s (%s)" % (rule.domain, shown_level(rule)) for rule in idle[:_SHOWN]]
        if len(idle) > _SHOWN:
            named.append("and %d more" % (len(idle) - _SHOWN))
        raise PolicyError(
            "relay TLS rule %s asks for TLS wherever mail goes, and these exceptions outbound would have no effect: "
            '%s; say the default as a domain "*" with level: encrypt instead, from which there are exceptions'
            % (floor.name, ", ".join(named))
        )


def check_relay_host(before: Policy, after: Policy) -> None:
    """Refuse a relay TLS rule that would make the way to the relay host less sure than the host's own level.

    What was so before is not the business of this edit. Raises :class:`PolicyError`.
    """
    rule = _weaker_than_relay_host(after)
    if rule is not None and after.relay is not None and rule != _weaker_than_relay_host(before):
        raise PolicyError(
            "relay TLS rule %s has level %s, and the relay host %s has level %s: the rule stands behind and "
            "would decide, with less; give the rule a level that is as strict, or the relay host one that is not stricter"
            % (rule.name, rule.level, after.relay.host, after.relay.level)
        )


def _weaker_than_relay_host(policy: Policy) -> t.Optional[RelayTlsRule]:
    asking = [rule for rule in policy.relay_rules() if rule.enabled and asks_who(rule.level)]
    if not asking or policy.relay is None or policy.relay.level not in LEVELS:
        return None
    return asking[-1] if strength(policy.relay.level) > strength(asking[-1].level) else None


def _outbound_in_clear(policy: Policy) -> t.Iterator[ForcedTlsDomain]:
    for rule in policy.rules:
        if isinstance(rule, ForcedTlsDomain) and rule.direction == "outbound" and rule.enabled and not rule.forces:
            yield rule


# --- every domain, on a port that everybody uses -------------------------------------------------


def check_every_domain(before: Policy, desired: Policy, allow_unsafe: bool) -> None:
    """Refuse that a public port 25 begins to take mail over TLS only for every domain (RFC 3207 section 4).

    Where that is so already, nothing is refused. Raises :class:`PolicyError`.
    """
    said = None if allow_unsafe else shut_out(before, desired)
    if said is not None:
        raise PolicyError(said + ". Name the domains, or say allow_unsafe: true if nobody else sends there")


def shut_out(before: Policy, desired: Policy) -> t.Optional[str]:
    """What is wrong when a public port 25 begins to refuse all mail in clear, by whatever rule; None: it does not."""
    cause = _forces_everything(desired)
    public = _public(desired) if cause is not None else []
    if not public or (_forces_everything(before) is not None and set(public) <= set(_public(before))):
        return None
    return (
        "%s: listener%s %s on port 25 would refuse all mail in clear, which a server of the public Internet must not do "
        "(RFC 3207 section 4): senders without TLS could not reach it at all"
        % (cause, "s" if len(public) > 1 else "", ", ".join(public))
    )


def _forces_everything(policy: Policy) -> t.Optional[str]:
    """What takes no mail in clear, whatever its domain; None: nothing does."""
    for rule in policy.rules:
        if isinstance(rule, ForcedTlsDomain) and rule.domain == EVERY_DOMAIN:
            if rule.direction == "inbound" and rule.enabled and rule.forces:
                return 'domain "*" inbound'
        if isinstance(rule, GeneralRule) and rule.enabled and rule.event != "relay" and _refuses_clear(rule):
            return "rule %s" % rule.name
    return None


def _refuses_clear(rule: GeneralRule) -> bool:
    """Whether a general rule refuses the mail of every stranger who sends in clear to port 25."""
    every = all if rule.match == "all" else any
    if rule.conditions and not every(map(_is_usual, rule.conditions)):
        return False
    values = {action.name: action.value for action in rule.actions if action.kind == "set"}
    if rule.event == "rcpt" and forces(values.get("tlsLevel", "")):
        return True
    clear = [one for one in rule.conditions if one.variable == "isSSLConnection" and _is_usual(one)]
    return bool(clear) and values.get("smtpAction") in ("reject", "tmpreject")


#: What holds of any stranger who sends in clear to port 25.
_USUAL = {"isSSLConnection": "no", "authUser": "", "smtpPort": "25"}


def _is_usual(condition: Condition) -> bool:
    return condition.test in ("isCase", "is") and _USUAL.get(condition.variable) == condition.value.lower()


def _public(policy: Policy) -> t.List[str]:
    """The addresses of enabled listeners on port 25 that others than this host reach."""
    found = []
    for listener in policy.listeners:
        host, _colon, port = listener.address.rpartition(":")
        if port == "25" and listener.enabled is not False and not (host.startswith("127.") or host == "[::1]"):
            found.append(listener.address)
    return found


# --- order --------------------------------------------------------------------------------------


def arrange(table: RuleTable) -> None:
    """General rules before those that they cover, because the last word of a script counts.

    A rule for more domains moves to right before the first one that it covers, if it stands behind that; nothing else
    moves. Linear in the rules.
    """
    for direction, event in DIRECTIONS.items():
        rules = table.group(event)
        general = {
            rule.domain: index
            for index, rule in enumerate(rules)
            if isinstance(rule, ForcedTlsDomain) and rule.enabled and rule.domain[0] in ".*"
        }
        if general:
            _arrange_event(table, event, rules, general)


def _arrange_event(table: RuleTable, event: str, rules: t.Sequence[Rule], general: t.Mapping[str, int]) -> None:
    """``general``: domain of a rule for more than one domain -> its last place."""
    first: t.Dict[str, int] = {}
    for index, rule in enumerate(rules):
        if isinstance(rule, (ForcedTlsDomain, ForcedTlsGroup)) and rule.enabled:
            for domain in rule.domains if isinstance(rule, ForcedTlsGroup) else (rule.domain,):
                for wider in _wider(domain):
                    if wider in general:
                        first.setdefault(wider, index)
    late = [domain for domain, index in general.items() if first.get(domain, index) < index]
    if not late:
        return
    before: t.Dict[int, t.List[Rule]] = {}
    # The more general first, where several come to one place.
    for domain in sorted(late, key=lambda domain: (0, "") if domain == EVERY_DOMAIN else (domain.count("."), domain)):
        before.setdefault(first[domain], []).append(rules[general[domain]])
    moved = {rules[general[domain]].name.lower() for domain in late}
    arranged: t.List[Rule] = []
    for index, rule in enumerate(rules):
        arranged += before.get(index, ())
        if rule.name.lower() not in moved:
            arranged.append(rule)
    table.reorder(event, arranged)


def _wider(domain: str) -> t.Iterator[str]:
    """The domains of rules that would cover this one."""
    dot = domain.find(".", 1)
    while dot > 0:
        yield domain[dot:]
        dot = domain.find(".", dot + 1)
    if domain != EVERY_DOMAIN:
        yield EVERY_DOMAIN
