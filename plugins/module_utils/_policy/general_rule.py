# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""General rules: conditions and actions from options and for people, and the event that follows from them.

A rule runs in the first event of a mail transaction in which everything that it tests and sets is known and has an
effect: the latest stage that any of its parts needs. Whoever wants a later one says so.
"""

from __future__ import annotations

import typing as t

from . import general_variable as vocabulary
from .errors import PolicyError, Problems, arrived, shown
from .rule import EVENTS, Action, Condition, GeneralRule
from .rule_name import rule_name

Params = t.Mapping[str, t.Any]

#: What a part of a rule needs: its words for people, and the events that have it.
_Need = t.Tuple[str, t.Tuple[str, ...]]

#: Names of the events in the policy script, for those who know them from there.
_EVENT_NAMES = {
    "onconnect": "connect",
    "onehlo": "ehlo",
    "onmailfrom": "mail",
    "onrcptto": "rcpt",
    "onheadersreceived": "headers",
    "ondatareceived": "data",
    "onrelay": "relay",
}

#: Events that clients who are going to use STARTTLS meet in clear, and variables that tell it.
BEFORE_STARTTLS = ("connect", "ehlo")
_ENCRYPTION = ("isSSLConnection", "sslVersion", "sslCipher", "sslClientVerified", "sslClientFingerprint")

MATCHES = ("all", "any")

#: More conditions and actions than anybody writes by hand; a list of domains is what other rules are for.
MAX_PARTS = 1000


# --- from options -------------------------------------------------------------------------------


def general_rule(params: Params, label: str = "") -> t.Dict[str, t.Any]:
    """One general rule as an entry for ``edit.put_general_rule``. ``label`` names the entry of a list.

    ``event`` is None when nobody said it; ``events`` are all in which the rule can run. Raises :class:`PolicyError`.
    """
    prefix = "%s: " % label if label else ""
    problems = Problems()
    entry: t.Dict[str, t.Any] = {"label": label, "state": params.get("state") or "present"}
    entry["enabled"] = params.get("enabled")
    with problems.collecting(prefix):
        entry["name"] = rule_name(params.get("name"))
    if entry["state"] == "present":
        with problems.collecting(prefix):
            entry["event"] = _event(params.get("event"))
        with problems.collecting(prefix):
            entry.update(content(params.get("match"), params.get("conditions"), params.get("actions")))
            _check_codes(entry["actions"])
            _check_fingerprints(entry["actions"])
            entry["actions"] = _level_first(entry["actions"])
        if "events" in entry and entry.get("event") not in (None,) + entry["events"]:
            problems.add(
                prefix
                + "event %s has not all that the rule tests and sets; it can run in %s"
                % (entry["event"], ", ".join(entry["events"]))
            )
    problems.raise_any()
    return entry


def content(match: t.Any, conditions: t.Any, actions: t.Any) -> t.Dict[str, t.Any]:
    """What a rule says, canonical: ``match``, ``conditions``, ``actions``, and the ``events`` in which it can run.

    Raises :class:`PolicyError` with all that is wrong.
    """
    problems = Problems()
    tested: t.List[Condition] = []
    done: t.List[Action] = []
    how = "all"
    with problems.collecting():
        how = _match(match)
    for option, given, read, into in (
        ("conditions", conditions, _condition, tested),
        ("actions", actions, _action, done),
    ):
        with problems.collecting():
            for position, part in enumerate(_parts(given, option), 1):
                with problems.collecting():
                    into.append(read(part, "%s #%d" % (option, position)))
    problems.raise_any()
    tested = list(dict.fromkeys(tested))
    if len(tested) < 2:
        how = "all"
    with problems.collecting():
        check(how, tested, done)
    events: t.Tuple[str, ...] = ()
    with problems.collecting():
        events = events_of(tested, done)
    problems.raise_any()
    return {"match": how, "conditions": tuple(tested), "actions": tuple(done), "events": events}


def _event(value: t.Any) -> t.Optional[str]:
    if value is None:
        return None
    text = value.strip().lower() if isinstance(value, str) else ""
    text = _EVENT_NAMES.get(text, text)
    if text not in EVENTS:
        got = shown(value) if isinstance(value, str) else arrived(value)
        raise PolicyError("event must be one of %s; got %s" % (", ".join(EVENTS), got))
    return text


def _match(value: t.Any) -> str:
    if value is None:
        return "all"
    text = value.strip().lower() if isinstance(value, str) else ""
    if text not in MATCHES:
        got = shown(value) if isinstance(value, str) else arrived(value)
        raise PolicyError("match must be one of %s; got %s" % (", ".join(MATCHES), got))
    return text


def _parts(given: t.Any, option: str) -> t.Sequence[t.Any]:
    if given is None:
        what = "write [] for a rule that always holds" if option == "conditions" else "a rule does something"
        raise PolicyError("%s is missing; %s" % (option, what))
    if not isinstance(given, (list, tuple)):
        raise PolicyError("%s must be a list of dictionaries; got %s" % (option, arrived(given)))
    if len(given) > MAX_PARTS:
        raise PolicyError("%s must have %d entries at most; got %d" % (option, MAX_PARTS, len(given)))
    if option == "actions" and not given:
        raise PolicyError("actions is empty; a rule does something")
    return given


def _condition(part: t.Any, option: str) -> Condition:
    if not isinstance(part, t.Mapping):
        raise PolicyError("%s must be a dictionary with variable, test and value; got %s" % (option, arrived(part)))
    tested = vocabulary.variable(part.get("variable"), "%s variable" % option, writes=False)
    test = vocabulary.test_name(part.get("test"), tested, "%s test" % option)
    return Condition(tested.name, test, vocabulary.tested_value(tested, test, part.get("value"), "%s value" % option))


def _action(part: t.Any, option: str) -> Action:
    if not isinstance(part, t.Mapping) or (part.get("set") is None) == (part.get("call") is None):
        raise PolicyError("%s must be a dictionary with set and value, or with call" % option)
    if part.get("call") is not None:
        if part.get("value") is not None:
            raise PolicyError("%s: value belongs to set; a method that is called has none" % option)
        return Action("call", vocabulary.method(part["call"], "%s call" % option))
    written = vocabulary.variable(part["set"], "%s set" % option, writes=True)
    return Action("set", written.name, vocabulary.written_value(written, part.get("value"), "%s value" % option))


def _check_codes(actions: t.Sequence[Action]) -> None:
    """A reply code in an explanation must fit what the rule does. One that stands on a server already may say anything."""
    from . import reply_code

    values = {action.name: action.value for action in actions if action.kind == "set"}
    if "smtpExplanation" in values:
        reply_code.check(values["smtpExplanation"], values.get("smtpAction"), "actions: smtpExplanation")


def _check_fingerprints(actions: t.Sequence[Action]) -> None:
    """At level fingerprint nobody but who is named is meant, and at no other one would a name have an effect."""
    from .level import proof_problem

    values = {action.name: action.value for action in actions if action.kind == "set"}
    if "tlsLevel" in values or "tlsFingerprints" in values:
        problem = proof_problem(values.get("tlsLevel"), None, values.get("tlsFingerprints", "").split())
        if problem is not None:
            raise PolicyError("actions: tlsLevel and tlsFingerprints: " + problem)


#: What belongs to a level: a new one begins without it.
_OF_LEVEL = frozenset(("tlsMatch", "tlsFingerprints", "tlsExplanation", "tlsReason", "tlsUntil"))


def _level_first(actions: t.Sequence[Action]) -> t.Tuple[Action, ...]:
    """The actions with a level in front of what belongs to it; who says both does not mean to lose the one."""
    found: t.List[Action] = []
    place = 0
    for action in actions:
        if action.kind != "set":
            place = len(found) + 1
        if action.name == "tlsLevel":
            found.insert(place, action)
        else:
            found.append(action)
    return tuple(found) if _lost(actions) else tuple(actions)


def _lost(actions: t.Sequence[Action]) -> t.FrozenSet[str]:
    """What a level that is set behind it takes away."""
    places = [index for index, action in enumerate(actions) if action.name == "tlsLevel"]
    in_front = actions[: places[-1]] if places else ()
    return frozenset(action.name for action in in_front if action.name in _OF_LEVEL)


# --- what fits together -------------------------------------------------------------------------


def check(match: str, conditions: t.Sequence[Condition], actions: t.Sequence[Action]) -> None:
    """Refuse what can never hold, what is said twice and what lacks something. Raises :class:`PolicyError`."""
    problems = Problems()
    wanted: t.Dict[str, str] = {}
    for condition in conditions if match == "all" else ():
        if condition.test not in ("isCase", "is") or "%" in condition.value:
            continue
        known = wanted.setdefault(condition.variable, condition.value)
        if known.lower() != condition.value.lower():
            problems.add(
                "conditions: %s cannot be %s and %s together, so that the rule would never hold; say match: any"
                % (condition.variable, shown(known), shown(condition.value))
            )
    values: t.Dict[str, str] = {}
    fresh: t.Set[str] = set()
    for action in actions:
        if action.kind == "set":
            if action.name in fresh:
                problems.add("actions: %s is set twice, and only the last value counts" % action.name)
            fresh.add(action.name)
            values[action.name] = action.value
            continue
        fresh.clear()
        problems_of_call = [name for name in vocabulary.METHODS[action.name.lower()][2] if not values.get(name)]
        for name in problems_of_call:
            problems.add("actions: %s needs %s; set it in front of the call" % (action.name, name))
    problems.raise_any()


def events_of(conditions: t.Sequence[Condition], actions: t.Sequence[Action]) -> t.Tuple[str, ...]:
    """The events in which a rule of these parts can run, in the order of a mail transaction.

    Raises :class:`PolicyError` when no event has all of them.
    """
    needs = list(_needs(conditions, actions))
    found = tuple(event for event in EVENTS if all(event in events for _what, events in needs))
    if found:
        return found
    first = needs[0]
    other = next((need for need in needs if not set(need[1]) & set(first[1])), None)
    pair = (first, other) if other is not None else tuple(dict.fromkeys(needs))
    raise PolicyError(
        "no event of a mail transaction has all of it: "
        + "; ".join("%s in %s" % (what, ", ".join(events)) for what, events in pair)
    )


def first_event(said: Params) -> str:
    """Where a rule (of :func:`content`) runs when nobody says it: the first event that has all of it.

    Before STARTTLS every client speaks in clear: what refuses clients for that waits until they ask for something.
    """
    events = t.cast("t.Sequence[str]", said["events"])
    refuses = any(one.name == "smtpAction" and one.value in ("reject", "tmpreject") for one in said["actions"])
    if refuses and any(one.variable in _ENCRYPTION for one in said["conditions"]):
        return next((event for event in events if event not in BEFORE_STARTTLS), events[0])
    return events[0]


def _needs(conditions: t.Sequence[Condition], actions: t.Sequence[Action]) -> t.Iterator[_Need]:
    values = []
    for condition in conditions:
        yield "%s is known" % condition.variable, vocabulary.VARIABLES[condition.variable.lower()].tested
        values.append(condition.value)
    for action in actions:
        if action.kind == "call":
            yield "%s does something" % action.name, vocabulary.METHODS[action.name.lower()][1]
            continue
        yield "%s has an effect" % action.name, vocabulary.VARIABLES[action.name.lower()].written
        values.append(action.value)
    for value in values:
        for name in vocabulary.references(value):
            found = vocabulary.VARIABLES[name.lower()]
            if found.tested:
                yield "%s is known" % found.name, found.tested


def meaning(match: str, conditions: t.Iterable[Condition], actions: t.Iterable[Action]) -> t.Tuple[t.Any, ...]:
    """What is equal for two rules that do the same; the order of conditions, and of values before a call, is not."""
    done: t.List[t.Any] = []
    values: t.List[Action] = []
    for action in actions:
        if action.kind == "set":
            values.append(action)
        else:
            done += [frozenset(values), _lost(values), action]
            values = []
    return match, frozenset(conditions), tuple(done + [frozenset(values), _lost(values)])


def rule_of(name: str, event: str, entry: Params, current: t.Any, enabled: bool) -> GeneralRule:
    """The rule that an entry means; where it says the same as ``current``, in the order that this has."""
    found = GeneralRule(name, event, entry["match"], entry["conditions"], entry["actions"], enabled)
    if isinstance(current, GeneralRule) and rule_meaning(current) == rule_meaning(found):
        return GeneralRule(name, event, current.match, current.conditions, current.actions, enabled)
    return found


def rule_meaning(rule: GeneralRule) -> t.Tuple[t.Any, ...]:
    """:func:`meaning` of a rule."""
    return meaning(rule.match, rule.conditions, rule.actions)


# --- for people ---------------------------------------------------------------------------------


def general_document(rule: GeneralRule) -> t.Dict[str, t.Any]:
    """A general rule as plain data, in the vocabulary of the options."""
    return {
        "name": rule.name,
        "event": rule.event,
        "match": rule.match,
        "conditions": [condition._asdict() for condition in rule.conditions],
        "actions": [
            {"call": action.name} if action.kind == "call" else {"set": action.name, "value": action.value}
            for action in rule.actions
        ],
        "enabled": rule.enabled,
    }
