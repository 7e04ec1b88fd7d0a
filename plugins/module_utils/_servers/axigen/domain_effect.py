# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether rules for domains mean in a script what they say: what runs later, or is stricter, decides.

What decides about a domain is what is said about itself, about its subdomains' parents and about every domain. What is
said about less of it is more special, and meant. An exception without effect is an error: mail would wait or be refused
that somebody has promised to take. Any other rule without effect is a warning.
"""

from __future__ import annotations

import typing as t

from ..._policy import level as levels
from ..._policy.errors import PolicyError
from ..._policy.policy import Policy
from ..._policy.rule import EVERY_DOMAIN, ForcedTlsDomain, ForcedTlsGroup, RelayTlsRule
from . import script as language
from .domain_forms import STARTTLS, VERSIONS
from .rules import EVENT_NAMES, Executed, RuleReader

#: Names in a message; more are counted.
MAX_NAMES = 3


class Later(t.NamedTuple):
    """Who sets a variable, to what (None: a statement that is not understood may do it), and how late."""

    who: str
    value: t.Optional[str]
    place: int


_Scope = t.Dict[str, Later]


class _Said:
    """What an event sets for which domains, seen from its end: the last one of each scope."""

    def __init__(self) -> None:
        self.everywhere: _Scope = {}
        self._domains: t.Dict[str, _Scope] = {}
        self._parents = False

    def scope(self, domain: str) -> _Scope:
        """What is said about exactly these domains."""
        if domain == EVERY_DOMAIN:
            return self.everywhere
        self._parents = self._parents or domain.startswith(".")
        return self._domains.setdefault(domain, {})

    def last(self, domain: str, variable: str) -> t.Optional[Later]:
        """Who decides about a variable for all of a domain; None when nobody does."""
        found = self.everywhere.get(variable)
        for scope in self._covering(domain):
            later = scope.get(variable)
            if later is not None and (found is None or later.place > found.place):
                found = later
        return found

    def _covering(self, domain: str) -> t.Iterator[_Scope]:
        if domain == EVERY_DOMAIN:
            return
        if domain in self._domains:
            yield self._domains[domain]
        place = domain.find(".", 1) if self._parents else -1
        while place > 0:
            if domain[place:] in self._domains:
                yield self._domains[domain[place:]]
            place = domain.find(".", place + 1)


# --- what goes out ----------------------------------------------------------------------------------


class Outbound:
    """Everything that a script says about mail that goes out."""

    def __init__(self, reader: RuleReader, statements: t.Sequence[Executed], policy: Policy) -> None:
        self._reader = reader
        self._names = reader.dialect.relay
        self._level = (self._names.level_var or "").lower()
        self._match = (self._names.match_var or "").lower()
        self._known = (self._names.fingerprint_var or "").lower()
        self._policy = policy
        self._what = {
            VERSIONS.lower(): "its versions have",
            self._names.ssl_var.lower(): "its level has",
            STARTTLS.lower(): "its level has",
            self._level: "its level has",
            self._match: "its names have",
            self._known: "its fingerprints have",
        }
        self._rules: t.Dict[str, t.Any] = {
            rule.name.lower(): rule
            for rule in reader.rules()
            if rule.enabled and (isinstance(rule, RelayTlsRule) or is_domain(rule, "outbound"))
        }
        self._said = _Said()
        self._written: t.Dict[t.Tuple[t.Any, ...], t.List[t.Any]] = {}
        self._lost: t.Dict[t.Tuple[str, str], t.List[str]] = {}
        self._exceptions: t.Dict[str, t.Dict[str, None]] = {}
        for place in range(len(statements) - 1, -1, -1):
            self._step(place, *statements[place])

    def _step(self, place: int, where: str, statement: t.Any) -> None:
        rule = self._rules.get(where.lower())
        if isinstance(statement, language.Set):
            if rule is not None:
                self._compare(rule, EVERY_DOMAIN, statement)
            self._said.everywhere.setdefault(statement.variable.lower(), Later(where, statement.value, place))
        elif isinstance(statement, language.Unknown):
            for variable in self._reader.reach.variables(statement):
                self._said.everywhere.setdefault(variable, Later(where, None, place))
        elif isinstance(rule, (ForcedTlsDomain, ForcedTlsGroup)):
            body = self._sets(statement) if isinstance(statement, ForcedTlsDomain) else statement.body
            for domain in domains_of(rule):
                scope = self._said.scope(domain)
                for inner in reversed(body):
                    self._compare(rule, domain, inner)
                    scope.setdefault(inner.variable.lower(), Later(where, inner.value, place))

    def _sets(self, rule: ForcedTlsDomain) -> t.List[t.Any]:
        """What a rule sets, as it would be written."""
        key = (rule.level, rule.versions, rule.match, rule.fingerprints)
        if key not in self._written:
            from .domain_writing import outbound_sets

            pairs = outbound_sets(rule, self._reader.dialect)
            self._written[key] = [language.Set(variable, value) for variable, value in pairs]
        return self._written[key]

    def _compare(self, rule: t.Any, domain: str, statement: t.Any) -> None:
        """Note what a rule sets to no effect."""
        key = statement.variable.lower()
        what = self._what.get(key)
        later = self._said.last(domain, key) if what is not None else None
        if what is None or later is None:
            return
        if isinstance(rule, RelayTlsRule) and key in (self._level, self._match, self._known):
            # It is the default, and what is said for every domain stands behind it on purpose.
            if is_domain(self._rules.get(later.who.lower()), "outbound"):
                return
        if later.value is None:
            self._note(what, "perhaps no effect, because %s" % unsure(later.who, statement.variable), rule)
        elif sorted(later.value.lower().split()) != sorted(statement.value.lower().split()):
            why = "%s stands behind it and sets %s" % (later.who, statement.variable)
            if self._is_error(rule, key, later.value):
                self._exceptions.setdefault(rule.name, {})[why] = None
            else:
                self._note(what, "no effect, because " + why, rule)

    def _note(self, what: str, why: str, rule: t.Any) -> None:
        names = self._lost.setdefault((what, why), [])
        if not names or names[-1] != rule.name:
            names.append(rule.name)

    def _is_error(self, rule: t.Any, key: str, value: str) -> bool:
        """Whether a later value takes an exception back."""
        if not is_exception(rule):
            return False
        if key == STARTTLS.lower():
            return value.strip().lower() != "no"
        word = value.strip().lower()
        return key == self._level and word in levels.LEVELS and stricter(word, rule.level)

    def exceptions(self) -> t.Dict[str, str]:
        """What keeps exceptions from being ones, by rule: each names the rule and what is stricter."""
        found = dict(self._exceptions)
        switch = self._said.everywhere.get(self._names.ssl_var.lower())
        required = switch is not None and (switch.value or "").strip().lower() == "yes" and self._names.ssl == "required"
        relay = self._policy.relay
        for rule in self._rules.values():
            if not is_exception(rule) or not stricter("encrypt", rule.level):
                continue
            if switch is not None and required:
                why = "%s sets %s, so that all mail needs TLS" % (switch.who, self._names.ssl_var)
                found.setdefault(rule.name, {})[why] = None
            if relay is not None and relay.tls == "implicit":
                why = "all mail goes to the relay host %s, where TLS begins at once (tls: implicit)" % relay.host
                found.setdefault(rule.name, {})[why] = None
            elif relay is not None and relay.username and not relay.clear_text_login and rule.level == "none":
                why = "the relay host %s wants a login, which goes inside TLS only (clear_text_login)" % relay.host
                found.setdefault(rule.name, {})[why] = None
        return {name: _without_effect(name, list(whys), self._rules[name.lower()]) for name, whys in found.items()}

    def warnings(self) -> t.List[str]:
        """Rules without effect, and what the relay host makes of rules."""
        found = []
        for (what, why), names in reversed(list(self._lost.items())):
            if len(names) <= MAX_NAMES:
                found += ["rule %s: %s %s" % (name, what, why) for name in reversed(names)]
            else:
                found.append("%s: %s %s" % (named(names[::-1]), what.replace("its", "their", 1), why))
        return found + self._names_of_others() + self._weaker_than_relay_host() + self._not_met()

    def _names_of_others(self) -> t.List[str]:
        """Domains at level secure without names of their own, for which names count that another rule gives."""
        found: t.Dict[str, t.List[str]] = {}
        for rule in self._rules.values():
            if isinstance(rule, RelayTlsRule) or rule.level != "secure" or rule.match is not None:
                continue
            for domain in domains_of(rule):
                later, level = self._said.last(domain, self._match), self._said.last(domain, self._level)
                # A level begins without the names of the one before it.
                if later is not None and level is not None and later.place > level.place:
                    found.setdefault(later.who, []).append(rule.name)
                    break
        return [
            "%s: certificates are accepted for the names that %s sets, because there are none of its own (match)"
            % (named(names), who)
            for who, names in found.items()
        ]

    def _weaker_than_relay_host(self) -> t.List[str]:
        """Outbound domains whose level is weaker than that of the relay host, which takes their mail."""
        relay = self._policy.relay
        if relay is None or relay.level not in levels.LEVELS:
            return []
        found: t.Dict[str, t.List[t.Any]] = {}
        for rule in self._rules.values():
            if is_domain(rule, "outbound") and stricter(relay.level, rule.level):
                found.setdefault(rule.level, []).append(rule)
        return [
            "%s: mail for %s goes to the relay host at level %s, weaker than the relay host's own level %s"
            % (named([rule.name for rule in some]), _domains(some), level, relay.level)
            for level, rules in found.items()
            for some in _bundles(rules)
        ]

    def _not_met(self) -> t.List[str]:
        """Outbound domains with names that the relay host, which takes their mail, cannot be expected to have."""
        relay = self._policy.relay
        if relay is None:
            return []
        found: t.Dict[t.Tuple[str, ...], t.List[t.Any]] = {}
        pinned: t.List[t.Any] = []
        for rule in self._rules.values():
            if isinstance(rule, RelayTlsRule):
                continue
            if rule.match and not any(_covers(name, relay.host) for name in rule.match):
                found.setdefault(rule.match, []).append(rule)
            elif rule.fingerprints:
                pinned.append(rule)
        return [
            "%s: mail for %s goes to the relay host %s, and waits unless that has one of the fingerprints"
            % (named([rule.name for rule in some]), _domains(some), relay.host)
            for some in _bundles(pinned)
        ] + [
            "%s: mail for %s goes to the relay host %s, and waits unless the certificate there is for %s"
            % (named([rule.name for rule in some]), _domains(some), relay.host, " or ".join(match))
            for match, rules in found.items()
            for some in _bundles(rules)
        ]


# --- what comes in ----------------------------------------------------------------------------------


class Inbound:
    """Everything that a script says about the level of mail that comes in."""

    def __init__(self, reader: RuleReader, statements: t.Sequence[Executed]) -> None:
        self._rules: t.Dict[str, t.Any] = {
            rule.name.lower(): rule for rule in reader.rules() if rule.enabled and is_domain(rule, "inbound")
        }
        self._level = (reader.dialect.inbound_level_var or "").lower()
        #: Domain (or ``*``) -> the rule that refuses its mail in clear, whatever the level.
        self._refused: t.Dict[str, str] = {}
        self._excepted = [rule for rule in self._rules.values() if not rule.forces]
        self._later: t.Dict[str, t.Dict[str, None]] = {}
        self._lost: t.List[str] = []
        self._said = _Said()
        if self._level and any(rule.domain[0] in ".*" or not rule.forces for rule in self._singles()):
            for place in range(len(statements) - 1, -1, -1):
                self._step(reader, place, *statements[place])

    def _singles(self) -> t.Iterator[ForcedTlsDomain]:
        return (rule for rule in self._rules.values() if isinstance(rule, ForcedTlsDomain))

    def _step(self, reader: RuleReader, place: int, where: str, statement: t.Any) -> None:
        rule = self._rules.get(where.lower())
        if rule is None or isinstance(statement, language.Set):
            if isinstance(statement, language.Set) and statement.variable.lower() == self._level:
                if rule is not None:
                    self._compare(rule, EVERY_DOMAIN, statement)
                self._said.everywhere.setdefault(self._level, Later(where, statement.value, place))
            elif isinstance(statement, language.Unknown) and self._level in reader.reach.variables(statement):
                self._said.everywhere.setdefault(self._level, Later(where, None, place))
            return
        # A rule that stands for its method refuses by itself.
        body = () if isinstance(statement, ForcedTlsDomain) else statement.body
        sets = [inner for inner in body if isinstance(inner, language.Set)]
        level = next((inner for inner in sets if inner.variable.lower() == self._level), None)
        for domain in domains_of(rule):
            if level is None:
                self._refused.setdefault(domain, rule.name)
            else:
                self._compare(rule, domain, level)
                self._said.scope(domain).setdefault(self._level, Later(where, level.value, place))

    def _compare(self, rule: t.Any, domain: str, statement: t.Any) -> None:
        later = self._said.last(domain, self._level)
        if later is None:
            return
        if later.value is None:
            self._lost.append(
                "rule %s: its level has perhaps no effect, because %s"
                % (rule.name, unsure(later.who, statement.variable))
            )
        elif levels.forces(later.value.strip().lower()) != levels.forces(statement.value.strip().lower()):
            why = "%s stands behind it and sets %s" % (later.who, statement.variable)
            if rule.forces:
                self._lost.append("rule %s: its level has no effect, because %s" % (rule.name, why))
            else:
                self._later.setdefault(rule.name, {})[why] = None

    def exceptions(self) -> t.Dict[str, str]:
        """What keeps exceptions from being ones, by rule: each names the rule and what is stricter."""
        found = dict(self._later)
        for rule in self._excepted:
            for domain in (rule.domain, EVERY_DOMAIN):
                if domain in self._refused:
                    why = "rule %s refuses all of this mail in clear" % self._refused[domain]
                    found.setdefault(rule.name, {})[why] = None
        return {name: _without_effect(name, list(whys), self._rules[name.lower()]) for name, whys in found.items()}

    def warnings(self) -> t.List[str]:
        """Rules without effect."""
        return self._lost[::-1]


# --- both -------------------------------------------------------------------------------------------


def check(reader: RuleReader, before: Policy, desired: Policy, old: t.Optional[RuleReader]) -> None:
    """Exceptions must be ones. Raises ``PolicyError``; what was no exception before may stay so."""
    found = _idle_exceptions(reader, desired)
    if found:
        known = set() if old is None else set(_idle_exceptions(old, before))
        problems = [problem for name, problem in found.items() if name not in known]
        if problems:
            raise PolicyError(*problems)


def _idle_exceptions(reader: RuleReader, policy: Policy) -> t.Dict[str, str]:
    if not any(is_exception(rule) and rule.enabled for rule in policy.rules):
        return {}
    outbound = Outbound(reader, list(reader.executed(EVENT_NAMES["relay"], whole=True)), policy)
    inbound = Inbound(reader, list(reader.executed(EVENT_NAMES["rcpt"], whole=True)))
    found = inbound.exceptions()
    found.update(outbound.exceptions())
    return found


def is_domain(rule: t.Any, direction: str) -> bool:
    """Whether a rule is about domains in this direction."""
    return isinstance(rule, (ForcedTlsDomain, ForcedTlsGroup)) and rule.direction == direction


def is_exception(rule: t.Any) -> bool:
    """Whether a rule says that mail shall be protected less than other mail."""
    return isinstance(rule, ForcedTlsDomain) and (not rule.forces or rule.reason is not None)


def domains_of(rule: t.Union[ForcedTlsDomain, ForcedTlsGroup]) -> t.Tuple[str, ...]:
    """The domains of a rule, as they are in it."""
    return rule.domains if isinstance(rule, ForcedTlsGroup) else (rule.domain,)


def stricter(one: t.Optional[str], other: t.Optional[str]) -> bool:
    """Whether a level is stricter than another one; a level that is none is not."""
    return levels.LEVELS.index(one or "none") > levels.LEVELS.index(other or "none")


def named(names: t.Sequence[str]) -> str:
    """Some names of rules in words."""
    more = " and %d more" % (len(names) - MAX_NAMES) if len(names) > MAX_NAMES else ""
    return "%s %s%s" % ("rule" if len(names) == 1 else "rules", ", ".join(names[:MAX_NAMES]), more)


def unsure(where: str, variable: str) -> str:
    """Why nobody knows about a variable."""
    return "a statement in %s, which stands behind, is not understood and may set %s" % (where, variable)


def _without_effect(name: str, whys: t.Sequence[str], rule: t.Any) -> str:
    way = "mail for %s" if rule.direction == "inbound" else "mail to %s"
    return (
        "rule %s excepts %s (level %s) and would have no effect: %s. Change or remove what is stricter, or the exception"
        % (name, way % shown(rule.domain), rule.level, "; ".join(whys))
    )


def shown(domain: str) -> str:
    """A domain in a sentence."""
    return "every domain" if domain == EVERY_DOMAIN else domain


def _domains(rules: t.Sequence[t.Any]) -> str:
    found = [domain for rule in rules for domain in domains_of(rule)]
    more = " and %d more" % (len(found) - MAX_NAMES) if len(found) > MAX_NAMES else ""
    return ", ".join(map(shown, found[:MAX_NAMES])) + more


def _bundles(rules: t.Sequence[t.Any]) -> t.List[t.Sequence[t.Any]]:
    """Each rule for itself while there are few."""
    return [rules] if len(rules) > MAX_NAMES else [[rule] for rule in rules]


def _covers(name: str, host: str) -> bool:
    return host.endswith(name) if name.startswith(".") else host == name
