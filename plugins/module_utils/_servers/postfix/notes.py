# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a policy says and Postfix has no words for: names of rules, reasons, last days, rules that are switched off.

It is kept in an own file beside the tables (``notes.json``). What is in force is never read from there: a note about
something that Postfix does not do says nothing.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import replace

from ..._policy.rule import Action, AuthRule, Condition, ForcedTlsDomain, GeneralRule, RelayTlsRule, Rule
from ..base import ProtocolError
from .slot import canonical_name, in_order, slot

FORMAT = 1

_KINDS: t.Dict[str, t.Type[t.Any]] = {
    "auth": AuthRule,
    "relay": RelayTlsRule,
    "domain": ForcedTlsDomain,
    "general": GeneralRule,
}

#: What a domain's rule says and its line in a table does not.
_REMARKS = ("reason", "until")


class Notes:
    """The notes of one Postfix. ``said``: slot -> what is noted of its rule; ``off`` are rules that are switched off."""

    def __init__(self, said: t.Mapping[str, t.Mapping[str, str]], off: t.Sequence[Rule] = ()) -> None:
        self.said = dict(said)
        self.off = tuple(off)

    def named(self, rules: t.Iterable[Rule]) -> t.Tuple[Rule, ...]:
        """What is in force, under the names that it was given, and what is switched off."""
        found = list(rules)
        if self.said:
            found = [replace(rule, **self.said.get(slot(rule), {})) for rule in found]
        return in_order(found + list(self.off))

    def has_name(self, rule: Rule) -> bool:
        """Whether somebody gave the rule in this slot its name."""
        return "name" in self.said.get(slot(rule), {})


def parse(text: t.Optional[str], path: str) -> Notes:
    """The notes of a file; None: there is none. Raises :class:`ProtocolError` for one that cannot be read."""
    if text is None:
        return Notes({})
    try:
        document = json.loads(text)
        if document.get("format") != FORMAT:
            raise ValueError("format %r is not known here" % document.get("format"))
        return Notes(document["rules"], [_rule(entry) for entry in document["off"]])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(
            "read the notes %s" % path,
            "%s" % error,
            "They hold names of rules, reasons and rules that are off. Mend the file, or move it away: then rules get their "
            "plain names again.",
        ) from None


def written(rules: t.Iterable[Rule]) -> t.Tuple[t.Optional[str], t.Tuple[Rule, ...]]:
    """The notes that rules need (None: none), and the rules that Postfix is told: those that are on, under plain names."""
    said: t.Dict[str, t.Dict[str, str]] = {}
    off, told = [], []
    for rule in rules:
        if not rule.enabled:
            off.append(rule)
            continue
        plain = canonical_name(rule)
        known = {} if rule.name == plain else {"name": rule.name}
        remarks = {name: getattr(rule, name) for name in _REMARKS if getattr(rule, name, None)}
        if known or remarks:
            said[slot(rule)] = dict(known, **remarks)
        told.append(bare(rule, plain))
    if not said and not off:
        return None, tuple(told)
    document = {"format": FORMAT, "rules": said, "off": [_document(rule) for rule in off]}
    return json.dumps(document, indent=1, sort_keys=True) + "\n", tuple(told)


def bare(rule: Rule, name: str = "") -> Rule:
    """A rule without what only notes can hold."""
    changes: t.Dict[str, t.Any] = {"name": name or canonical_name(rule)}
    changes.update({remark: None for remark in _REMARKS if getattr(rule, remark, None)})
    return replace(rule, **changes)


def _document(rule: Rule) -> t.Dict[str, t.Any]:
    kind = next(name for name, one in _KINDS.items() if isinstance(rule, one))
    return dict({name: value for name, value in vars(rule).items() if value is not None}, kind=kind)


def _rule(entry: t.Mapping[str, t.Any]) -> Rule:
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items() if name != "kind"}
    kind = _KINDS[entry["kind"]]
    if kind is GeneralRule:
        values["conditions"] = tuple(Condition(*one) for one in values["conditions"])
        values["actions"] = tuple(Action(*one) for one in values["actions"])
    return kind(**values)
