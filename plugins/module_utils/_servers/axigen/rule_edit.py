# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the policy that a script holds to another one: which methods, call lines and basic settings change.

Only what differs is touched.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from ..._policy.errors import PolicyError
from ..._policy.level import strength
from ..._policy.policy import Policy
from ..._policy.rule import AuthRule, ForcedTlsDomain, ForcedTlsGroup, GeneralRule, OpaqueRule, Rule
from ..._policy.rule_table import RuleTable, longest_rising
from ..._policy.value import Value
from . import relay_host
from . import script as language
from .rule_forms import STARTTLS, content, statements
from .rules import EVENT_NAMES, EVENTS, PREDEFINED, RELAY_PLACE, STARTTLS_PLACES, RuleReader, once
from .script_edit import ScriptEdit


#: Rules by name in lower case.
_Rules = t.Mapping[str, Rule]

#: What is done to a rule, and its name.
_Action = t.Tuple[str, str]


@dataclass(init=False, repr=False, eq=False)
class Edited(Value):
    """The new script, what was done in words, the desired policy with the basic settings that had to be made, and what
    somebody should know before it is done."""

    script: language.Script
    actions: t.List[str]
    desired: Policy
    warnings: t.List[str] = field(default_factory=list)


def edit_rules(
    reader: RuleReader, before: Policy, desired: Policy, general: t.Optional[t.Collection[str]] = None
) -> Edited:
    """The script that holds ``desired`` instead of ``before``, which is what ``reader`` reads from it.

    ``general`` are the names (lower case) of rules that are wanted as general ones, whatever they turned out to be;
    None: those that are.

    Raises :class:`NotSupported` for a rule that has no known form on this server, ``PolicyError`` for one whose method
    is not its own.
    """
    # A rule that is taken over may be called twice.
    desired = replace(desired, rules=tuple(once(desired.rules)))
    if general is None:
        general = {rule.name.lower() for rule in desired.rules if isinstance(rule, GeneralRule)}
    edit = ScriptEdit(reader.script)
    # Before the rules, because rules must stand behind the basic settings.
    settings = _Settings(edit, reader)
    setting_actions = _change_settings(settings, before, desired)
    actions: t.List[_Action] = []
    warnings: t.List[str] = []
    methods = {block.name.lower() for block in reader.script.methods}
    old = {rule.name.lower(): rule for rule in before.rules if not isinstance(rule, OpaqueRule)}
    opaque = {rule.name.lower() for rule in before.rules if isinstance(rule, OpaqueRule)}
    new = {rule.name.lower(): rule for rule in desired.rules}
    for key, rule in old.items():
        if key not in new:
            edit.remove_call(EVENT_NAMES[rule.event], rule.name)
            edit.remove_method(rule.name)
            actions.append(("remove", rule.name))
    for key, rule in new.items():
        if isinstance(rule, OpaqueRule):
            continue
        current = old.get(key)
        if current is rule or (current is not None and content(current) == content(rule)):
            continue
        if current is None:
            _check_method(reader, rule)
        text = None if key in methods else reader.lane.write(rule)
        if text is None:
            edit.put_method(rule.name, statements(rule, reader.dialect))
        else:
            edit.put_new_method(rule.name, text)
        actions.append(("change" if current is not None or key in opaque else "add", rule.name))
        if isinstance(rule, ForcedTlsGroup) and not reader.dialect.verified:
            warnings.append(
                "rule %s is one rule for %d domains (form: compact), which WebAdmin does not show: it warns of such a "
                "script and offers to overwrite it, and all rules would be lost; keep a backup, and refuse that offer"
                % (rule.name, len(rule.domains))
            )
        if key in opaque and key in methods:
            warnings.append(
                "rule %s was made or changed by hand and does something that is not understood: the task has its "
                "name, so all that it did is replaced by what the task says" % rule.name
            )
        elif isinstance(current, GeneralRule) and key not in general:
            warnings.append(
                "rule %s says something else than the task, by other hands or by smtp_rule (section rules): the task has "
                "its name, so all that it did is replaced by what the task says" % rule.name
            )
    gone = set(old) - set(new)
    foreign = {key for key, rule in new.items() if isinstance(rule, OpaqueRule)}
    gone_events = {old[key].event for key in gone}
    old_calls, new_calls = _calls(_without_repeats(edit, reader, before, new), foreign), _calls(desired, foreign)
    for event, name in EVENT_NAMES.items():
        calls = _place_calls(edit, name, old_calls.get(event, {}), new_calls.get(event, {}), gone, foreign)
        if calls or event in gone_events:
            _check_event(reader, name)
        actions += calls
    strict = [action for action in actions if not _loosens(action, old, new)]
    loose = [action for action in actions if _loosens(action, old, new)]
    lines = _in_words(strict) + setting_actions[False] + _in_words(loose) + setting_actions[True]
    return Edited(edit.result(), lines, settings.policy(desired), warnings)


def _without_repeats(edit: ScriptEdit, reader: RuleReader, before: Policy, new: _Rules) -> Policy:
    """What stood there, but for general rules that were called twice: understood is one that is called once."""
    repeated = [rule for key, rule in new.items() if isinstance(rule, GeneralRule) and key in reader.repeated]
    if not repeated:
        return before
    for rule in repeated:
        for event in EVENT_NAMES.values():
            edit.remove_call(event, rule.name)
    names = {rule.name.lower() for rule in repeated}
    return replace(before, rules=tuple(rule for rule in before.rules if rule.name.lower() not in names))


def _loosens(action: _Action, old: _Rules, new: _Rules) -> bool:
    """Whether less is asked of mail and clients afterwards. The server gets all at once; the order is for people."""
    verb, name = action
    before, after = old.get(name.lower()), new.get(name.lower())
    if verb in ("remove", "disable"):
        return not _allows(before)
    levels = getattr(before, "level", None), getattr(after, "level", None)
    if levels[0] is not None and levels[1] is not None:
        return strength(levels[1]) < strength(levels[0])
    return _allows(after)


def _allows(rule: t.Optional[Rule]) -> bool:
    """Whether a rule permits what would not be without it: an exception, or passwords in clear."""
    if isinstance(rule, ForcedTlsDomain):
        return not rule.forces
    return isinstance(rule, AuthRule) and rule.connection == "plain" and bool(rule.mechanisms)


#: More rules than these, of which the same is done, are one line that names some of them.
_MAX_LINES, _MAX_NAMES = 20, 3


def _in_words(actions: t.Sequence[_Action]) -> t.List[str]:
    """Actions in order; those that are one line stand where the first of them does."""
    by_verb: t.Dict[str, t.List[str]] = {}
    for verb, name in actions:
        by_verb.setdefault(verb, []).append(name)
    lines: t.List[str] = []
    for verb, name in actions:
        names = by_verb.get(verb, [])
        if len(names) > _MAX_LINES:
            some, more = ", ".join(names[:_MAX_NAMES]), len(names) - _MAX_NAMES
            lines.append("%s %d rules: %s and %d more" % (verb, len(names), some, more))
            del by_verb[verb]
        elif names:
            lines.append("%s rule %s" % (verb, name))
    return lines


def _check_method(reader: RuleReader, rule: Rule) -> None:
    """A method that was not this rule's may become it only if nothing else relies on it."""
    if rule.name.lower() in PREDEFINED:
        raise PolicyError("rule name %s belongs to the server (a predefined method); choose another name" % rule.name)
    if reader.called_elsewhere(rule.name, t.cast(str, rule.event)):
        raise PolicyError(
            "rule %s cannot be written: the policy script may run a method of that name from another place than event "
            "%s itself (another method, a condition, or a statement that is not understood); choose another name"
            % (rule.name, EVENT_NAMES[t.cast(str, rule.event)])
        )


def _check_event(reader: RuleReader, event: str) -> None:
    """Calls are put into an event, or taken out, when it is one."""
    blocks = [block for block in reader.script.events if block.name.lower() == event.lower()]
    if len(blocks) > 1:
        lines = ", ".join(str(reader.script.position(block.span[0])[0]) for block in blocks)
        raise PolicyError(
            "the policy script has event %s at lines %s, and it is not known which of them the server runs; make them "
            "one, then run the task again" % (event, lines)
        )


#: A call: the method's name in lower case, and the number among the calls of a foreign method; of a rule that is
#: understood the last call counts (-1).
_Place = t.Tuple[str, int]


def _calls(policy: Policy, foreign: t.Set[str]) -> t.Dict[str, t.Dict[_Place, str]]:
    """For each event its calls in order, with the names as they are spelled."""
    found: t.Dict[str, t.Dict[_Place, str]] = {}
    counts: t.Dict[t.Tuple[str, str], int] = {}
    for rule in policy.rules:
        event = rule.event
        if event is None or not rule.enabled:
            continue
        key = rule.name.lower()
        number = -1
        if key in foreign:
            number = counts[event, key] = counts.get((event, key), -1) + 1
        calls = found.setdefault(event, {})
        calls.pop((key, number), None)
        calls[key, number] = rule.name
    return found


def _place_calls(
    edit: ScriptEdit,
    event: str,
    before: t.Dict[_Place, str],
    desired: t.Dict[_Place, str],
    removed: t.Set[str],
    foreign: t.Set[str],
) -> t.List[_Action]:
    """Move as few calls as possible, and none of ``foreign``, so that the event calls ``desired`` in order."""
    actions: t.List[_Action] = []
    wanted = {place: index for index, place in enumerate(desired)}
    kept: t.List[_Place] = []
    behind_old, behind_new = _behind(before, foreign), _behind(desired, foreign)
    for place, name in before.items():
        if place in wanted:
            kept += [place] if behind_old[place] == behind_new[place] else []
        elif place[0] not in removed:
            edit.remove_call(event, name)
            actions.append(("disable", name))
    still = {kept[index] for index in longest_rising([wanted[place] for place in kept])}
    places = list(desired)
    following: t.List[t.Optional[_Place]] = [None] * len(places)
    next_still = None
    for index in range(len(places) - 1, -1, -1):
        following[index] = next_still
        if places[index] in still:
            next_still = places[index]
    for index, place in enumerate(places):
        if place in still:
            continue
        name, next_still = desired[place], following[index]
        if index:
            edit.put_call(event, name, after=desired[places[index - 1]], number=places[index - 1][1])
        elif next_still is not None:
            edit.put_call(event, name, before=desired[next_still], number=next_still[1])
        else:
            edit.put_call(event, name)
        actions.append(("move" if place in before else "call", name))
    return actions


def _behind(places: t.Iterable[_Place], foreign: t.Set[str]) -> t.Dict[_Place, int]:
    """How many foreign calls stand in front of each call."""
    found: t.Dict[_Place, int] = {}
    count = 0
    for place in places:
        found[place] = count
        count += place[0] in foreign
    return found


# --- basic settings -----------------------------------------------------------------------------


def _change_settings(settings: _Settings, before: Policy, desired: Policy) -> t.Dict[bool, t.List[str]]:
    """What is done, in words; under True what asks for less than before."""
    actions: t.Dict[bool, t.List[str]] = {False: [], True: []}
    for direction, place in STARTTLS_PLACES.items():
        wanted = getattr(desired.starttls, direction)
        if wanted is None or wanted == getattr(before.starttls, direction):
            continue
        settings.set(place, STARTTLS, "yes" if wanted else "no")
        actions[not wanted].append("set STARTTLS %s to %s" % (direction, "yes" if wanted else "no"))
    if desired.relay != before.relay:
        for variable, value in relay_host.lines(desired.relay, settings.reader.dialect):
            settings.set(RELAY_PLACE, variable, value)
        actions[False].append(_relay_action(before, desired))
    actions[False] += settings.actions()
    return actions


def _relay_action(before: Policy, desired: Policy) -> str:
    """What happens to the relay host, without any of its values but host and port."""
    if desired.relay is None:
        return "remove the relay host"
    known = () if before.relay is None else vars(before.relay)
    fields = [name for name, value in vars(desired.relay).items() if name in known and value != known[name]]
    what = " (%s)" % ", ".join(fields) if fields else ""
    return "%s relay host %s port %d%s" % ("change" if fields else "set", desired.relay.host, desired.relay.port, what)


class _Settings:
    """Values in the methods of the server's basic settings, which are made and called where they are not."""

    def __init__(self, edit: ScriptEdit, reader: RuleReader) -> None:
        self.edit = edit
        self.reader = reader
        self._ready: t.Set[str] = set()
        self._called: t.List[t.Tuple[str, str]] = []

    def set(self, place: t.Tuple[str, str], variable: str, value: t.Optional[str]) -> None:
        """Give a variable its value, or take its line out."""
        event, method = place
        if value is None:
            self.edit.remove_value(method, variable)
            return
        if method not in self._ready:
            self._ready.add(method)
            self._make(event, method)
        self.edit.set_value(method, variable, value)

    def _make(self, event: str, method: str) -> None:
        if self.reader.script.method(method) is None:
            self.edit.put_method(method, [])
        if not self.reader.calls(event, method):
            _check_event(self.reader, event)
            self.edit.put_call(event, method, after=())
            self._called.append((event, method))

    def actions(self) -> t.List[str]:
        """Calls of methods that were there: whatever else they hold begins to count."""
        return ["call rule %s" % method for _event, method in self._called if self.reader.script.method(method)]

    def policy(self, desired: Policy) -> Policy:
        """The desired policy with the methods that are called now and were not."""
        if not self._called:
            return desired
        table = RuleTable(desired.rules)
        for event, method in self._called:
            block = self.reader.script.method(method)
            rule = OpaqueRule(block.name if block else method, EVENTS[event.lower()], basic=True)
            table.put(rule)
            table.move(rule.name, 0)
        return replace(desired, rules=table.result())
