# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fast lane for forced-TLS domains: the text of most methods, in which only domain and explanation are others.

There may be a hundred thousand of them. What is not letter for letter in this shape goes the long way over statements
(``domain_forms``, ``domain_writing``); both ways give the same.
"""

from __future__ import annotations

import typing as t

from ..._policy.rule import ForcedTlsDomain
from .domain_forms import CANONICAL, CANONICAL_LENGTH, encryption_test

_IF = "\n\tif (\n\t\tallOf (\n\t\t\t"
_IN_CLEAR = '%s (isSSLConnection, "no"),\n\t\t\t'
_REFUSED = '")\n\t\t)\n\t) {\n\t\tset (smtpAction, "reject");\n\t\tset (smtpExplanation, "'
_END = '");\n\t}\n'


#: Level, versions, names, reason, last day and fingerprints of an outbound rule.
_Rest = t.Tuple[t.Any, ...]


class Lane:
    """Reads the methods of one script's text, and writes new ones, for one dialect."""

    def __init__(self, text: str, dialect: t.Any) -> None:
        self._text = text
        self._dialect = dialect
        self._inbound = self._outbound = ""
        if dialect.rcpt_domain_var is not None:
            self._inbound = _IF + _IN_CLEAR % encryption_test(dialect)
            self._inbound += '%s (%s, "' % (dialect.equals_test, dialect.rcpt_domain_var)
        if dialect.relay.domain_var is not None:
            self._outbound = _IF + '%s (%s, "' % (dialect.equals_test, dialect.relay.domain_var)
        #: What stands behind the domain of an outbound rule -> the rest of the rule, and back.
        self._known: t.Dict[str, _Rest] = {}
        self._written: t.Dict[_Rest, str] = {}

    def read(
        self, block: t.Any, long_way: t.Callable[[t.Any], t.Optional[t.Any]]
    ) -> t.Optional[t.Any]:
        """The rule that a plain method is, as one that is called; None when it is none."""
        text = self._text
        start, end = block.body_span
        if self._inbound and text.startswith(self._inbound, start):
            start += len(self._inbound)
            stop = text.find('"', start)
            domain = text[start:stop]
            behind = stop + len(_REFUSED)
            last = end - len(_END)
            if behind <= last and text.startswith(_REFUSED, stop) and text.startswith(_END, last) and _is_plain(domain):
                message = text[behind:last]
                if '"' not in message and "\r" not in message:
                    return ForcedTlsDomain(block.name, domain, message)
        elif self._outbound and text.startswith(self._outbound, start):
            start += len(self._outbound)
            stop = text.find('"', start)
            domain = text[start:stop]
            if _is_plain(domain):
                behind_it = text[stop:end]
                rest = self._known.get(behind_it)
                if rest is not None:
                    return ForcedTlsDomain(block.name, domain, None, "outbound", True, *rest)
                rule = long_way(block)
                if isinstance(rule, ForcedTlsDomain) and rule.direction == "outbound":
                    self._known[behind_it] = _rest(rule)
                return rule
        return long_way(block)

    def write(self, rule: t.Any) -> t.Optional[str]:
        """The body of a new method, with LF line ends; None where the long way must be gone."""
        if not isinstance(rule, ForcedTlsDomain) or not _is_plain(rule.domain):
            return None
        if rule.direction == "inbound":
            message = rule.reject_message
            if not self._inbound or rule.level is not None or rule.reason is not None or rule.until is not None:
                return None
            if message is None or '"' in message or "\r" in message or "\n" in message:
                return None
            return "".join((self._inbound, rule.domain, _REFUSED, message, _END))
        if not self._outbound:
            return None
        rest = _rest(rule)
        if rest not in self._written:
            from .domain_writing import statements
            from .script_edit import rendered

            text = rendered(statements(rule, self._dialect))
            if not text.startswith(self._outbound + rule.domain + '"'):
                return None
            self._written[rest] = text[len(self._outbound) + len(rule.domain) :]
        return self._outbound + rule.domain + self._written[rest]


def _rest(rule: ForcedTlsDomain) -> _Rest:
    return rule.level, rule.versions, rule.match, rule.reason, rule.until, rule.fingerprints


def _is_plain(domain: str) -> bool:
    return len(domain) <= CANONICAL_LENGTH and CANONICAL.match(domain) is not None and "--" not in domain
