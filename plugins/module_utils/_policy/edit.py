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

from . import forced_edit, rule_entry
from .address import sort_key
from .coverage import check as coverage_check
from .coverage import check_every_domain, check_floor, check_relay_host
from .errors import PolicyError, Problems
from .policy import TLS_FIELDS, Listener, Policy, StartTls
from .position import Position, general_end, place
from .relay_host import RelayWish, merged
from .rule import DIRECTIONS, AuthRule, ForcedTlsDomain, GeneralRule, RelayTlsRule, Rule
from .rule_entry import Entry
from .rule_table import RuleTable, basic_count

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


def check(policy: Policy, touched: Touched, known: t.Collection[str] = ()) -> None:
    """Refuse what contradicts itself in the listeners an edit touched, looking at what was asked for only.

    Old contradictions in fields nobody mentioned are not the business of this edit, and neither are listeners
    (``known``) that may offer STARTTLS while the server has it off, where somebody asks for exactly that. Raises
    :class:`PolicyError`.
    """
    problems = Problems()
    for listener in policy.listeners:
        asked = touched.get(listener.address)
        if asked is None:
            continue
        name = "listener %s" % listener.address
        about_tls = "tls" in asked or "certificate" in asked
        if about_tls and listener.tls in ("implicit", "starttls") and not listener.certificate:
            advice = "" if "tls" in asked else ", or take TLS away with tls: none (smtp_listener, smtp_policy)"
            problems.add("%s: tls: %s needs a certificate; give certificate%s" % (name, listener.tls, advice))
        if listener.tls == "none" and "tls" in asked and "certificate" in asked and listener.certificate:
            problems.add(
                "%s: tls: none and certificate: %s contradict each other; take one of them away"
                % (name, listener.certificate)
            )
        off = policy.starttls.inbound is False and listener.address not in known
        if listener.tls == "starttls" and "tls" in asked and off:
            problems.add(
                "%s: tls: starttls while STARTTLS inbound is off for the whole server; "
                "set starttls inbound (smtp_policy: starttls.inbound, smtp_tls: starttls_inbound) to true, "
                "or give this listener another tls" % name
            )
    problems.raise_any()


def _known_without_starttls(policy: Policy, wanted: StartTls) -> t.FrozenSet[str]:
    """Listeners that could offer STARTTLS already, when the server has it off and is asked to keep it so.

    What was read from such a server says both, and can be asked for.
    """
    if wanted.inbound is not False or policy.starttls.inbound is not False:
        return frozenset()
    return frozenset(listener.address for listener in policy.listeners if listener.tls == "starttls")


def _put_listeners(
    policy: Policy, wanted: t.Sequence[Listener], removed: t.Collection[str], known: t.Collection[str] = ()
) -> Policy:
    present = {listener.address: listener for listener in policy.listeners if listener.address not in removed}
    touched: t.Dict[str, t.FrozenSet[str]] = {}
    for wish in wanted:
        given = {field.name: getattr(wish, field.name) for field in fields(Listener) if field.name != "address"}
        given = {name: value for name, value in given.items() if value is not None}
        present[wish.address] = _merged_listener(present.get(wish.address), wish.address, given)
        touched[wish.address] = frozenset(given)
    listeners = tuple(sorted(present.values(), key=lambda listener: sort_key(listener.address)))
    edited = policy if listeners == policy.listeners else replace(policy, listeners=listeners)
    check(edited, touched, known)
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


# --- mail that goes out -------------------------------------------------------------------------


def put_relay(policy: Policy, wish: t.Optional[RelayWish]) -> Policy:
    """Set or take away the relay host; None leaves it alone. Raises :class:`PolicyError`."""
    if wish is None:
        return policy
    relay = merged(policy.relay, wish)
    return policy if relay == policy.relay else replace(policy, relay=relay)


# --- rules --------------------------------------------------------------------------------------


def put_rule(policy: Policy, rule: Rule, position: Position = None) -> Policy:
    """Create or change one authentication rule, relay TLS rule or forced-TLS domain, and place it.

    It is recognised by its name, and a forced-TLS domain also by domain and direction (it then keeps its name).
    ``before`` and ``after`` are fulfilled anywhere before or after the other rule; only a rule that stands on the
    wrong side moves, to right beside it. ``first`` is behind the server's basic settings.
    """
    put = _PUTS.get(type(rule))
    if put is None:
        raise PolicyError("rule %s cannot be written: its content is not known" % rule.name)
    return _put_one(policy, dict(vars(rule)), put, position)


def put_auth_rule(policy: Policy, entry: Entry, position: Position = None) -> Policy:
    """Create or change one authentication rule, and place it as :func:`put_rule` does.

    ``entry``: ``name``, ``connection``, ``mechanisms`` and ``enabled`` (None: as it is; a new rule is enabled).
    """
    return _put_one(policy, entry, rule_entry.put_auth_rule, position)


def put_relay_tls(policy: Policy, entry: Entry, position: Position = None) -> Policy:
    """Create or change one relay TLS rule, and place it as :func:`put_rule` does; new ones before those of domains.

    ``entry``: ``name``, ``level``, ``versions``, ``match``, ``fingerprints`` and ``enabled``; None means as it is, but
    for the first two. It is the default of all domains: what it makes an exception needs a reason.
    """
    edited = _put_one(policy, entry, rule_entry.put_relay_tls, position)
    problems = Problems()
    coverage_check(policy, edited, (), problems)
    problems.raise_any()
    check_floor(policy, edited)
    check_relay_host(policy, edited)
    return edited


def put_general_rule(policy: Policy, entry: Entry, position: Position = None) -> Policy:
    """Create or change one general rule, and place it as :func:`put_rule` does.

    ``entry`` is what ``general_rule.general_rule`` makes of options.
    """
    return _put_one(policy, entry, rule_entry.put_general_rule, position)


def put_forced_domains(
    policy: Policy,
    entries: t.Iterable[Entry],
    keep: t.Optional[t.Any] = None,
    directions: t.Collection[str] = (),
    allow_unsafe: bool = False,
) -> Policy:
    """Create, change or remove (``state``) rules for many domains at once, in linear time; new ones come last.

    Each entry: ``domain``, ``direction`` (one of them: ``inbound`` or ``outbound``), ``name``, ``enabled``, ``level``,
    ``reason``, ``until``, ``form`` and what belongs to the direction: ``reject_message``, or ``versions``,
    ``match`` and ``fingerprints``. All but the first two may be None. Of ``directions`` all other rules for domains go,
    unless ``keep`` (a ``keep.Keep``) holds their domain or name. ``allow_unsafe``: every domain may be forced on a public
    port 25.
    """
    table = RuleTable(policy.rules)
    problems = Problems()
    entries = list(entries)
    if directions:
        forced_edit.prune_forced(table, entries, keep, problems, directions)
    forced_edit.put_forced(table, entries, problems)
    problems.raise_any()
    forced_edit.finish(policy, table, entries, problems)
    problems.raise_any()
    edited = _with_rules(policy, table)
    check_floor(policy, edited)
    check_every_domain(policy, edited, allow_unsafe)
    return edited


def remove_rule(policy: Policy, name: str, kind: t.Optional[t.Type[Rule]] = None) -> Policy:
    """The policy without the rule of this name, which must be of this kind (None: of any known one).

    Rules whose content is not known are never removed: a problem.
    """
    table = RuleTable(policy.rules)
    rule_entry.remove(table, {"name": name}, kind)
    return _with_rules(policy, table)


def remove_forced_domain(policy: Policy, domain: str, direction: t.Optional[str] = None) -> Policy:
    """The policy without the rules that force TLS for one canonical domain in this direction (None: in any)."""
    return remove_forced_domains(policy, (domain,), direction)


def remove_forced_domains(policy: Policy, domains: t.Collection[str], direction: t.Optional[str] = None) -> Policy:
    """The policy without the rules that force TLS for these canonical domains in this direction (None: in any)."""
    directions = DIRECTIONS if direction is None else (direction,)
    return put_forced_domains(
        policy,
        [{"domain": domain, "direction": one, "state": "absent"} for domain in domains for one in directions],
    )


def put_document(policy: Policy, document: t.Mapping[str, t.Any]) -> Policy:
    """Apply a whole document (from ``options.policy_document``): listeners, STARTTLS, relay host, all kinds of rules.

    What the document does not name stays, unless it is pruned (``prune``: section -> what stays all the same). The
    listed rules of a section stand in the order of the list afterwards; those that already do are not moved. In an
    event relay TLS rules stand before rules for domains, and new ones before general rules, too. Problems of all parts
    are raised together.
    """
    problems = Problems()
    pruned: t.Mapping[str, t.Any] = document.get("prune") or {}
    edited = policy
    with problems.collecting():
        listeners = document.get("listeners") or ()
        removed = {entry["address"] for entry in listeners if entry.get("state") == "absent"}
        if "listeners" in pruned:
            from .prune import surplus_listeners

            removed |= surplus_listeners(policy, listeners, pruned["listeners"])
        wanted = [entry["listener"] for entry in listeners if entry.get("state") != "absent"]
        starttls = document.get("starttls") or StartTls()
        known = _known_without_starttls(policy, starttls)
        edited = _put_listeners(_with_starttls(policy, starttls), wanted, removed, known)
    with problems.collecting():
        edited = put_relay(edited, document.get("relay"))
    table = RuleTable(policy.rules)
    # What goes makes room: its name may be taken by what comes.
    if pruned:
        _prune(table, policy, document, pruned, problems)
    lists = (
        (AuthRule, "auth_rules"),
        (RelayTlsRule, "relay_tls"),
        (GeneralRule, "rules"),
    )
    for kind, key in lists:
        _put_all(table, document.get(key) or (), kind, problems)
    # The last of them is the default for the domains.
    _arrange(policy, table, RelayTlsRule.event, document.get("relay_tls") or (), _relay_end)
    _before_domains(table, document.get("relay_tls") or ())
    domains = document.get("forced_tls_domains") or ()
    if domains:
        forced_edit.put_forced(table, domains, problems)
    problems.raise_any()
    if domains or "forced_tls_domains" in pruned:
        forced_edit.finish(edited, table, domains, problems)
    elif document.get("relay_tls"):
        # The default for all domains may be another one now.
        coverage_check(policy, replace(policy, rules=table.result()), (), problems)
    problems.raise_any()
    _arrange(policy, table, AuthRule.event, document.get("auth_rules") or ())
    # Once more, now that rules for domains may run that did not before.
    _arrange(policy, table, RelayTlsRule.event, document.get("relay_tls") or (), _relay_end)
    _before_domains(table, document.get("relay_tls") or ())
    _arrange_general(policy, table, document.get("rules") or ())
    _before_special(table, document.get("auth_rules") or (), document.get("rules") or ())
    edited = _with_rules(edited, table)
    check_floor(policy, edited)
    check_relay_host(policy, edited)
    check_every_domain(policy, edited, bool(document.get("allow_unsafe")))
    if pruned and not document.get("allow_unsafe"):
        from .prune import check_pruned

        check_pruned(policy, edited, document)
    return edited


def _prune(
    table: RuleTable, policy: Policy, document: t.Mapping[str, t.Any], pruned: t.Mapping[str, t.Any], problems: Problems
) -> None:
    """Take away what the sections of rules do not name."""
    from .prune import prune_named

    for section, keep in pruned.items():
        if section == "forced_tls_domains":
            forced_edit.prune_forced(table, document.get(section) or (), keep, problems)
        elif section != "listeners":
            prune_named(table, policy, section, document, keep)


_Put = t.Callable[[RuleTable, Entry], str]

_PUTS: t.Dict[t.Type[t.Any], _Put] = {
    AuthRule: rule_entry.put_auth_rule,
    RelayTlsRule: rule_entry.put_relay_tls,
    ForcedTlsDomain: forced_edit.put_one,
    GeneralRule: rule_entry.put_general_rule,
}


def _put_one(policy: Policy, entry: Entry, put: _Put, position: Position) -> Policy:
    table = RuleTable(policy.rules)
    name = put(table, entry)
    place(table, name, position, _has_place(policy, name))
    return _with_rules(policy, table)


def _put_all(table: RuleTable, entries: t.Iterable[Entry], kind: t.Type[t.Any], problems: Problems) -> None:
    """Removals first: a name that one entry gives up may be taken by another one."""
    listed = list(entries)
    for entry in listed:
        if entry.get("state") == "absent":
            with problems.collecting(_label(entry)):
                rule_entry.remove(table, entry, kind)
    for entry in listed:
        if entry.get("state") != "absent":
            with problems.collecting(_label(entry)):
                _PUTS[kind](table, entry)


def _label(entry: Entry) -> str:
    label = entry.get("label")
    return "%s: " % label if label else ""


def _arrange(
    policy: Policy,
    table: RuleTable,
    event: str,
    entries: t.Sequence[Entry],
    end: t.Callable[[t.Sequence[Rule]], int] = len,
) -> None:
    """Bring the enabled ones of the listed rules into the order of the list; ``end`` is where new ones come."""
    names = _enabled(table, entries)
    if names:
        placed = {rule.name.lower() for rule in policy.rules if rule.enabled and rule.event == event}
        table.arrange(event, names, placed, end)


def _arrange_general(policy: Policy, table: RuleTable, entries: t.Sequence[Entry]) -> None:
    """Bring the listed general rules of each event into the order of the list; new ones come before domains."""
    by_event: t.Dict[t.Optional[str], t.List[Entry]] = {}
    for entry in entries:
        rule = table.find(entry["name"]) if entry.get("state") != "absent" else None
        if rule is not None:
            by_event.setdefault(rule.event, []).append(entry)
    for event, listed in by_event.items():
        if event is not None:
            _arrange(policy, table, event, listed, general_end)


def _enabled(table: RuleTable, entries: t.Sequence[Entry]) -> t.List[str]:
    present = [entry["name"] for entry in entries if entry.get("state") != "absent"]
    return [name for name in present if getattr(table.find(name), "enabled", False)]


def _relay_end(rules: t.Sequence[Rule]) -> int:
    """Where a new relay TLS rule comes: before general rules and those for domains, which decide after it."""
    end = general_end(rules)
    for index, rule in enumerate(rules[:end]):
        if isinstance(rule, GeneralRule) and rule.enabled:
            return max(index, basic_count(rules))
    return end


def _before_domains(table: RuleTable, entries: t.Sequence[Entry]) -> None:
    """Move listed relay TLS rules that stand behind rules for domains, and would decide instead of them."""
    names = {name.lower() for name in _enabled(table, entries)}
    rules = table.group(RelayTlsRule.event) if names else []
    end = general_end(rules)
    late = [rule.name for rule in rules[end:] if rule.name.lower() in names]
    for index, name in enumerate(late, end):
        table.move(name, index)


def _before_special(table: RuleTable, auth: t.Sequence[Entry], general: t.Sequence[Entry]) -> None:
    """Move listed authentication rules that stand behind a listed general rule about the mechanisms of some
    connections, and would decide about these, too: the special rule decides.
    """
    names = {name.lower() for name in _enabled(table, auth)}
    special = {name.lower() for name in _enabled(table, general) if _is_special(table.find(name))} if names else set()
    rules = table.group(AuthRule.event) if special else []
    first = next((index for index, rule in enumerate(rules) if rule.name.lower() in special), len(rules))
    late = [rule.name for rule in rules[first:] if rule.name.lower() in names]
    for index, name in enumerate(late, first):
        table.move(name, index)


def _is_special(rule: t.Optional[Rule]) -> bool:
    return (
        isinstance(rule, GeneralRule)
        and bool(rule.conditions)
        and any(action.name in ("plainConnAuthTypes", "secureConnAuthTypes") for action in rule.actions)
    )


def _has_place(policy: Policy, name: str) -> bool:
    """Whether the server calls a rule of this name, so that it stands somewhere."""
    rule = policy.rule(name)
    return rule is not None and rule.enabled


def _with_rules(policy: Policy, table: RuleTable) -> Policy:
    rules = table.result()
    return policy if rules == policy.rules else replace(policy, rules=rules)
