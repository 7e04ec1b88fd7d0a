# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the rules of a policy let a stranger do at one listener: log in by which mechanisms, and begin to send mail.

Rules are gone through in their order, with what is known of somebody who comes with the probe's name and sender and
has not logged in. A rule that depends on anything else (where the client comes from, what DNS says of it) leaves open
what it would decide, and what is open is not asked for.
"""

from __future__ import annotations

import typing as t

from .observation import Listener

_Document = t.Mapping[str, t.Any]

#: Kind of connection -> the variable that its mechanisms are in.
_MECHANISMS = {"plain": "plainConnAuthTypes", "tls": "secureConnAuthTypes"}


class Refusal(t.NamedTuple):
    """How MAIL is refused: ``reject`` or ``tmpreject``, and the explanation; None: it is made when the rule runs."""

    action: str
    explanation: t.Optional[str]


class Admission:
    """The rules of a policy (as :func:`.declared.declared` gives it) for one listener.

    ``inside``: inside TLS, else in clear.
    """

    def __init__(self, document: _Document, listener: Listener, inside: bool) -> None:
        self._document = document
        sender = listener.sender
        self._known = {
            "smtpPort": str(listener.port),
            "isSSLConnection": "yes" if inside else "no",
            "ehloHost": listener.client_name,
            "isESMTP": "yes",
            "authUser": "",
            "mailFrom": sender,
            "mailFromDomain": sender.rpartition("@")[2],
        }

    def mechanisms(self, connection: str) -> t.Optional[t.List[str]]:
        """The mechanisms that a ``plain`` or ``tls`` connection may use; None: the policy does not say which."""
        found: t.Optional[t.List[str]] = None
        for rule in self._in_order("ehlo"):
            if "connection" in rule:
                if rule["connection"] == connection:
                    found = list(rule["mechanisms"])
                continue
            for action in rule["actions"]:
                if action.kind == "set" and action.name == _MECHANISMS[connection]:
                    holds = self._holds(rule)
                    if holds is None:
                        found = None
                    elif holds:
                        found = [] if action.value == "none" else action.value.split()
        return found

    def refusal(self) -> t.Optional[Refusal]:
        """How the stranger's MAIL is refused; None: it is not, or not for certain."""
        action: t.Optional[str] = None
        explanation: t.Optional[str] = ""
        for rule in self._in_order("mail"):
            values = {one.name: one.value for one in rule.get("actions", ()) if one.kind == "set"}
            if not {"smtpAction", "smtpExplanation"} & set(values):
                continue
            holds = self._holds(rule)
            if holds is None:
                action = None if "smtpAction" in values else action
                explanation = None if "smtpExplanation" in values else explanation
            elif holds:
                action = values.get("smtpAction", action)
                explanation = values.get("smtpExplanation", explanation)
        if action not in ("reject", "tmpreject"):
            return None
        return Refusal(action, None if not explanation or "%" in explanation else explanation)

    # ---- rules

    def _in_order(self, event: str) -> t.List[t.Mapping[str, t.Any]]:
        """The enabled rules of an event: as ``rule_order`` has them, else authentication rules before general ones."""
        rules = [rule for rule in self._document.get("rules") or () if rule["event"] == event]
        if event == "ehlo":
            rules = list(self._document.get("auth_rules") or ()) + rules
        order = (self._document.get("rule_order") or {}).get(event) or ()
        names = [str(name).lower() for name in order]
        places = {name: place for place, name in enumerate(names)}
        if all(str(rule.get("name")).lower() in places for rule in rules if rule["enabled"]):
            rules.sort(key=lambda rule: places.get(str(rule.get("name")).lower(), len(places)))
        return [rule for rule in rules if rule["enabled"]]

    def _holds(self, rule: _Document) -> t.Optional[bool]:
        """Whether the conditions of a general rule hold; None: that depends on what is not known here."""
        found = [self._true(condition) for condition in rule["conditions"]]
        # All of them: one that does not hold decides. Any of them: one that does.
        decides = bool(rule["match"] == "any" and found)
        if decides in found:
            return decides
        return None if None in found else not decides

    def _true(self, condition: t.Any) -> t.Optional[bool]:
        value = self._known.get(condition.variable)
        if value is None or "%" in condition.value:
            return None
        if condition.test in ("is", "isCase"):
            return value.lower() == condition.value.lower()
        if condition.test == "greaterThan":
            return int(value) > int(condition.value)
        return None
