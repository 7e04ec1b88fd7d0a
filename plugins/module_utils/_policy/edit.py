# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Edits of a policy: a policy and what somebody wants in, the desired policy out.

Pure functions. Each of them raises :class:`PolicyError` with all problems it found, and then there is no result.
Values are in canonical form already (see ``options``). What an edit does not name stays as it is; None means
"leave alone".
"""

from __future__ import annotations

import typing as t
from dataclasses import fields, replace

from .address import sort_key
from .errors import PolicyError, Problems
from .policy import TLS_FIELDS, Listener, Policy, StartTls
from .rule import AuthRule, ForcedTlsDomain, OpaqueRule, Rule
from .rule_name import default_reject_message, forced_domain_rule_name, is_reserved
from .rule_table import RuleTable, basic_count

#: One wish about a rule or a listener: the module options in canonical form; ``label`` names it in messages.
Entry = t.Mapping[str, t.Any]

#: ``"first"``, ``"last"``, ``{"before": name}``, ``{"after": name}``, or None: keep the place, a new rule comes last.
Position = t.Union[None, str, t.Mapping[str, str]]

#: Address of a listener -> names of the fields that were asked for.
Touched = t.Mapping[str, t.Collection[str]]


# --- listeners and TLS --------------------------------------------------------------------------


def put_listener(policy: Policy, wanted: Listener) -> Policy:
    """Create or change one listener; fields that are None stay as they are.

    A new listener is enabled, and offers STARTTLS when it has a certificate, unless told otherwise.
    """
    return _put_listeners(policy, [wanted], ())


def remove_listener(policy: Policy, address: str) -> Policy:
    """The policy without the listener of this canonical address."""
    kept = tuple(listener for listener in policy.listeners if listener.address != address)
    return policy if len(kept) == len(policy.listeners) else replace(policy, listeners=kept)


def put_tls(
    policy: Policy, addresses: t.Optional[t.Sequence[str]], settings: t.Mapping[str, t.Any], starttls: StartTls
) -> Policy:
    """Change TLS settings of existing listeners (``addresses`` None: of all of them) and STARTTLS of the server.

    ``settings`` holds those of ``TLS_FIELDS`` that are wanted. A listener that does not exist is a problem.
    """
    given = {name: value for name, value in settings.items() if name in TLS_FIELDS and value is not None}
    present = [listener.address for listener in policy.listeners]
    problems = Problems()
    if addresses is None:
        if given and not present:
            problems.add("there is no listener whose TLS settings could be changed; create one with its address")
        addresses = present
    for address in addresses:
        if address not in present:
            there = "there are %s" % ", ".join(present) if present else "there is none at all"
            problems.add("listener %s does not exist; %s" % (address, there))
    problems.raise_any()
    edited = _with_starttls(policy, starttls)
    return _put_listeners(edited, [Listener(address, **given) for address in addresses] if given else [], ())


def check(policy: Policy, touched: Touched) -> None:
    """Refuse what contradicts itself in the listeners an edit touched, looking at what was asked for only.

    Old contradictions in fields nobody mentioned are not the business of this edit. Raises :class:`PolicyError`.
    """
    problems = Problems()
    for listener in policy.listeners:
        asked = touched.get(listener.address)
        if asked is None:
            continue
        name = "listener %s" % listener.address
        about_tls = "tls" in asked or "certificate" in asked
        if about_tls and listener.tls in ("implicit", "starttls") and not listener.certificate:
            advice = "" if "tls" in asked else ", or say tls: none as well"
            problems.add("%s: tls: %s needs a certificate; give certificate%s" % (name, listener.tls, advice))
        if listener.tls == "none" and "tls" in asked and "certificate" in asked and listener.certificate:
            problems.add(
                "%s: tls: none and certificate: %s contradict each other; take one of them away"
                % (name, listener.certificate)
            )
        if listener.tls == "starttls" and "tls" in asked and policy.starttls.inbound is False:
            problems.add(
                "%s: tls: starttls while STARTTLS inbound is off for the whole server; "
                "set starttls inbound (smtp_policy: starttls.inbound, smtp_tls: starttls_inbound) to true, "
                "or give this listener another tls" % name
            )
    problems.raise_any()


def _put_listeners(policy: Policy, wanted: t.Sequence[Listener], removed: t.Collection[str]) -> Policy:
    present = {listener.address: listener for listener in policy.listeners if listener.address not in removed}
    touched: t.Dict[str, t.FrozenSet[str]] = {}
    for wish in wanted:
        given = {field.name: getattr(wish, field.name) for field in fields(Listener) if field.name != "address"}
        given = {name: value for name, value in given.items() if value is not None}
        present[wish.address] = _merged_listener(present.get(wish.address), wish.address, given)
        touched[wish.address] = frozenset(given)
    listeners = tuple(sorted(present.values(), key=lambda listener: sort_key(listener.address)))
    edited = policy if listeners == policy.listeners else replace(policy, listeners=listeners)
    check(edited, touched)
    return edited


def _merged_listener(current: t.Optional[Listener], address: str, given: t.Mapping[str, t.Any]) -> Listener:
    merged = replace(current or Listener(address), **given)
    if current is None and merged.enabled is None:
        merged = replace(merged, enabled=True)
    if "tls" not in given:
        if current is None:
            merged = replace(merged, tls="starttls" if merged.certificate else "none")
        elif given.get("certificate") and current.tls in (None, "none"):
            # A certificate for a listener without TLS means that it shall be used, and not that it is thrown away.
            merged = replace(merged, tls="starttls")
    return merged


def _with_starttls(policy: Policy, wanted: StartTls) -> Policy:
    given = {name: value for name, value in vars(wanted).items() if value is not None}
    merged = replace(policy.starttls, **given)
    return policy if merged == policy.starttls else replace(policy, starttls=merged)


# --- rules --------------------------------------------------------------------------------------


def put_rule(policy: Policy, rule: Rule, position: Position = None) -> Policy:
    """Create or change one authentication rule or forced-TLS domain, and place it.

    It is recognised by its name, and a forced-TLS domain also by domain and direction (it then keeps its name).
    ``before`` and ``after`` are fulfilled anywhere before or after the other rule; only a rule that stands on the
    wrong side moves, to right beside it. ``first`` is behind the server's basic settings.
    """
    if isinstance(rule, AuthRule):
        return put_auth_rule(policy, dict(vars(rule)), position)
    if not isinstance(rule, ForcedTlsDomain):
        raise PolicyError("rule %s cannot be written: its content is not known" % rule.name)
    table = RuleTable(policy.rules)
    name = _put_forced_domain(table, dict(vars(rule)))
    _place(table, name, position, _has_place(policy, name))
    return _with_rules(policy, table)


def put_auth_rule(policy: Policy, entry: Entry, position: Position = None) -> Policy:
    """Create or change one authentication rule, and place it as :func:`put_rule` does.

    ``entry``: ``name``, ``connection``, ``mechanisms`` and ``enabled`` (None: as it is; a new rule is enabled).
    """
    table = RuleTable(policy.rules)
    name = _put_auth_rule(table, entry)
    _place(table, name, position, _has_place(policy, name))
    return _with_rules(policy, table)


def put_forced_domains(policy: Policy, entries: t.Iterable[Entry]) -> Policy:
    """Create or change rules for many domains at once, in linear time; new ones come last.

    Each entry: ``domain``, ``direction``, ``reject_message``, ``name`` and ``enabled``; the last three may be None.
    """
    table = RuleTable(policy.rules)
    _put_all(table, entries, _put_forced_domain, Problems()).raise_any()
    return _with_rules(policy, table)


def remove_rule(policy: Policy, name: str) -> Policy:
    """The policy without the rule of this name. Rules whose content is not known are never removed: a problem."""
    table = RuleTable(policy.rules)
    _remove_rule(table, {"name": name})
    return _with_rules(policy, table)


def remove_forced_domain(policy: Policy, domain: str, direction: t.Optional[str] = None) -> Policy:
    """The policy without the rules that force TLS for one canonical domain in this direction (None: in any)."""
    return remove_forced_domains(policy, (domain,), direction)


def remove_forced_domains(policy: Policy, domains: t.Collection[str], direction: t.Optional[str] = None) -> Policy:
    """The policy without the rules that force TLS for these canonical domains in this direction (None: in any)."""
    gone = frozenset(domains)
    kept = tuple(
        rule
        for rule in policy.rules
        if not isinstance(rule, ForcedTlsDomain) or rule.domain not in gone or direction not in (None, rule.direction)
    )
    return policy if len(kept) == len(policy.rules) else replace(policy, rules=kept)


def put_document(policy: Policy, document: t.Mapping[str, t.Any]) -> Policy:
    """Apply a whole document (from ``options.policy_document``): listeners, STARTTLS, authentication rules, domains.

    What the document does not name stays. The listed authentication rules stand in the order of the list
    afterwards; those that already do are not moved. Problems of all parts are raised together.
    """
    problems = Problems()
    edited = policy
    with problems.collecting():
        listeners = document.get("listeners") or ()
        removed = {entry["address"] for entry in listeners if entry.get("state") == "absent"}
        wanted = [entry["listener"] for entry in listeners if entry.get("state") != "absent"]
        edited = _put_listeners(_with_starttls(policy, document.get("starttls") or StartTls()), wanted, removed)
    table = RuleTable(policy.rules)
    auth_rules = document.get("auth_rules") or ()
    placed = {rule.name.lower() for rule in policy.rules if rule.enabled and rule.event == AuthRule.event}
    _put_all(table, auth_rules, _put_auth_rule, problems)
    _put_all(table, document.get("forced_tls_domains") or (), _put_forced_domain, problems)
    problems.raise_any()
    present = [entry["name"] for entry in auth_rules if entry.get("state") != "absent"]
    enabled = [name for name in present if getattr(table.find(name), "enabled", False)]
    table.arrange(AuthRule.event, enabled, placed)
    return _with_rules(edited, table)


def _with_rules(policy: Policy, table: RuleTable) -> Policy:
    rules = table.result()
    return policy if rules == policy.rules else replace(policy, rules=rules)


def _put_all(
    table: RuleTable, entries: t.Iterable[Entry], put: t.Callable[[RuleTable, Entry], str], problems: Problems
) -> Problems:
    """Removals first: a name that one entry gives up may be taken by another one."""
    listed = list(entries)
    for entry in listed:
        if entry.get("state") == "absent":
            with problems.collecting(_label(entry)):
                _remove_rule(table, entry)
    for entry in listed:
        if entry.get("state") != "absent":
            with problems.collecting(_label(entry)):
                put(table, entry)
    return problems


def _label(entry: Entry) -> str:
    label = entry.get("label")
    return "%s: " % label if label else ""


def _put_auth_rule(table: RuleTable, entry: Entry) -> str:
    current = table.find(entry["name"])
    if isinstance(current, ForcedTlsDomain):
        raise PolicyError(
            "rule %s forces TLS for %s; an authentication rule needs another name" % (current.name, current.domain)
        )
    name = _free_name(entry["name"], current, AuthRule.event)
    table.put(AuthRule(name, entry["connection"], tuple(entry["mechanisms"]), _enabled(entry, current)))
    return name


def _put_forced_domain(table: RuleTable, entry: Entry) -> str:
    domain, direction = entry["domain"], entry["direction"]
    known = table.find_domain(domain, direction)
    current: t.Optional[Rule] = known[0] if known else None
    name = current.name if current else entry.get("name") or forced_domain_rule_name(domain)
    if current is None:
        current = table.find(name)
        _check_collision(current, name, domain, direction)
        name = _free_name(name, current, ForcedTlsDomain.event)
    old_message = current.reject_message if isinstance(current, ForcedTlsDomain) else None
    message = entry.get("reject_message") or old_message or default_reject_message(domain)
    table.put(ForcedTlsDomain(name, domain, message, direction, _enabled(entry, current)))
    return name


def _check_collision(current: t.Optional[Rule], name: str, domain: str, direction: str) -> None:
    """Two rules must not share a name; the same rule in another direction is a change of that rule."""
    if isinstance(current, AuthRule):
        raise PolicyError(
            "the rule for %s cannot be called %s: an authentication rule has that name; give it another name"
            % (domain, current.name)
        )
    if not isinstance(current, ForcedTlsDomain):
        return
    if current.domain != domain:
        raise PolicyError(
            "the rules for %s and for %s would both be called %s; give one of them another name (option name)"
            % (current.domain, domain, name)
        )
    if "both" not in (current.direction, direction):
        raise PolicyError(
            "rule %s forces TLS for %s %s already; say direction: both, or give the new rule another name (option name)"
            % (current.name, domain, current.direction)
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


def _remove_rule(table: RuleTable, entry: Entry) -> None:
    if entry.get("domain"):
        for rule in table.find_domain(entry["domain"], entry["direction"]):
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
    table.remove(entry["name"])


# --- positions ----------------------------------------------------------------------------------


def _has_place(policy: Policy, name: str) -> bool:
    """Whether the server calls a rule of this name, so that it stands somewhere."""
    rule = policy.rule(name)
    return rule is not None and rule.enabled


def _place(table: RuleTable, name: str, position: Position, placed: bool) -> None:
    """Move one rule of the table to a position among the rules of its event. Raises :class:`PolicyError`.

    A rule that was ``placed`` before only moves when it stands on the wrong side; a new one comes right beside its anchor.
    """
    if position is None:
        return
    rule = t.cast(Rule, table.find(name))
    others = [other for other in table.group(rule.event) if other.name.lower() != name.lower()]
    if position == "first":
        table.move(name, basic_count(others))
    elif position == "last":
        table.move(name, len(others))
    elif isinstance(position, t.Mapping) and len(position) == 1 and set(position) <= {"before", "after"}:
        ((side, anchor_name),) = position.items()
        _place_beside(table, rule, side, anchor_name, placed)
    else:
        raise PolicyError('position must be "first", "last", {"before": name} or {"after": name}; got %r' % (position,))


def _place_beside(table: RuleTable, rule: Rule, side: str, anchor_name: str, placed: bool) -> None:
    wish = "rule %s cannot be placed %s %s" % (rule.name, side, anchor_name)
    anchor = table.find(anchor_name)
    if anchor is None:
        names = [other.name for other in table.group(rule.event) if other.name.lower() != rule.name.lower()]
        there = "rules there are %s" % ", ".join(names[:20]) if names else "there is no other rule"
        raise PolicyError("%s, which does not exist; %s" % (wish, there))
    if anchor.name.lower() == rule.name.lower():
        raise PolicyError("%s: a rule has no place relative to itself" % wish)
    if anchor.event != rule.event:
        where = "is called by no event" if anchor.event is None else "belongs to another event (%s)" % anchor.event
        raise PolicyError("%s, which %s; order exists inside one event only (%s)" % (wish, where, rule.event))
    if side == "before" and isinstance(anchor, OpaqueRule) and anchor.basic:
        raise PolicyError("%s, which belongs to the server's basic settings; those stand before all rules" % wish)
    if not anchor.enabled:
        return  # Where a disabled rule stands is not known: the server does not call it.
    names = [other.name.lower() for other in table.group(rule.event)]
    place, beside = names.index(rule.name.lower()), names.index(anchor.name.lower())
    if placed and ((place < beside) if side == "before" else (place > beside)):
        return
    names = [name for name in names if name != rule.name.lower()]
    table.move(rule.name, names.index(anchor.name.lower()) + (side == "after"))
