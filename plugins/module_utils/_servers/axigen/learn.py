# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of a server's policy script, derived from sample rules that somebody made between two looks at it.

Nothing is guessed: a sample that does not say exactly what was asked for teaches nothing, and the reason is told. No
text of a script gets out of here but names and single words of the samples: a script may hold a password.
"""

from __future__ import annotations

import re
import typing as t

from ..._policy.errors import PolicyError, shown
from ..._policy.mechanism import ORDER as MECHANISMS
from . import profile
from . import sample as samples
from . import script as language
from .description import Finder, SampleError, bare_name
from .dialect import VERSIONS
from .learned import Learned, Missing
from .rule_forms import VERSIONS as VERSIONS_VARIABLE

#: Documented variables that no sample is about, beside those that :mod:`profile` knows: somebody took a wrong entry.
_OTHERS = (
    "smtpIp", "smtpPort", "remoteSmtpIp", "ehloHost", "isESMTP", "authUser", "mailFromDomain", "smtpGreeting",
    "allow8bitMime", "allowBinaryData", "allowPipelining", "allowDSN", "localDelivery", "remoteDelivery", "maxDataSize",
    "maxRcptCount", "maxReceivedHeaders", "waitProcessingTimeout",
)  # fmt: skip
#: All of them in lower case.
KNOWN = frozenset(name.lower() for name in profile.DOCUMENTED + _OTHERS)

#: Words that can stand for a whole set.
_COLLECTIVE = ("all", "any", "none")
_TLS_WORD = re.compile(r"(?P<family>ssl|tls)v?(?P<major>[0-9])(?P<minor>[0-9])?\Z")


# --- derivation -----------------------------------------------------------------------------------


def derive(
    before: t.Mapping[str, t.Any],
    script: language.Script,
    version: str,
    domain: str,
    mechanisms: t.Sequence[str],
    versions: t.Sequence[str],
) -> Learned:
    """The profile that the samples in ``script`` tell; ``before`` comes from :func:`checked_description`.

    ``domain``, ``mechanisms`` and ``versions`` are those that the samples were to be made with, in canonical form.
    """
    learned = Learned({"format": profile.FORMAT, "server_version": version})
    if before.get("server_version") not in (None, version):
        learned.notes.append(
            "the first look was at version %s, this one at %s: if it is not the same server, the result means nothing"
            % (shown(str(before["server_version"])), version)
        )
    _Derivation(learned, Finder(before, script), domain, mechanisms, versions).run()
    try:
        profile.checked(learned.profile)
    except PolicyError as error:
        # Each name came out of a sample that fits; together they contradict each other, and none can be trusted.
        names = [key for key in learned.profile if key.endswith("_variable")]
        for key in names:
            del learned.profile[key]
        learned.missing.append(Missing(tuple(names), samples.PREFIX + "*", "the samples contradict: %s" % error))
    return learned


class _Derivation:
    """One derivation: reads each sample and notes what it tells."""

    def __init__(
        self,
        learned: Learned,
        finder: Finder,
        domain: str,
        mechanisms: t.Sequence[str],
        versions: t.Sequence[str],
    ) -> None:
        self.learned = learned
        self.finder = finder
        self.domain = domain
        self.mechanisms = list(mechanisms)
        self.versions = list(versions)
        every = samples.samples(domain, mechanisms, versions)
        self.plain, self.tls, self.forced, self.relay = every
        known = dict.fromkeys(self.mechanisms + list(MECHANISMS))
        self.single_mechanisms = [samples.mechanism_sample(one) for one in known]
        self.single_versions = [samples.version_sample(one) for one in VERSIONS]
        finder.expect(one.name for one in (*every, *self.single_mechanisms, *self.single_versions))

    def run(self) -> None:
        """Read all samples, in an order in which each can be compared with those before it."""
        plain = self._reading(self.plain, self._auth_set)
        tls = self._reading(self.tls, self._auth_set)
        if plain is not None and tls is not None and plain.variable.lower() == tls.variable.lower():
            reason = "it sets the same variable as %s: one of the two is about the wrong kind of connections"
            self.learned.miss(self.plain.keys + self.tls.keys, self.tls, reason % self.plain.name)
        else:
            self._learn_plain(plain)
            self._learn_tls(tls)
            self._note_swapped(plain, tls)
        self._reading(self.forced, self._learn_forced)
        self._reading(self.relay, self._learn_relay)

    def _reading(self, one: samples.Sample, read: t.Callable[[samples.Sample, language.Block], t.Any]) -> t.Any:
        """What ``read`` makes of a sample; None when it is not there or wrong, which is noted."""
        try:
            block = self.finder.find(one.name)
            if block is None:
                raise SampleError(self.finder.absence(one.name))
            self.learned.methods.append(block.name)
            self._check_event(one, block)
            return read(one, block)
        except SampleError as error:
            self.learned.miss(one.keys, one, str(error))
            return None

    def _check_event(self, one: samples.Sample, block: language.Block) -> None:
        events = self.finder.events(block)
        if events:
            self.learned.called.add(one.name)
        if not events:
            self.learned.notes.append(
                "rule %s is not called, so that it is not seen whether %s is its event" % (block.name, one.event)
            )
        elif [event.lower() for event in events] != [one.event.lower()]:
            raise SampleError(
                "it is called from %s, and rules of this kind are written into %s: either it has a condition or an "
                "action that was not asked for, or this server's rules work in another way"
                % (", ".join(events), one.event)
            )

    # --- authentication ---------------------------------------------------------------------------

    def _auth_set(self, one: samples.Sample, block: language.Block) -> language.Set:
        (found,) = _only_sets(block, 1)
        _check_variable(found.variable)
        if not isinstance(block.statements[0], language.Set):
            # With a condition that nobody meets it shows nothing at a listener, although it is called.
            self.learned.called.discard(one.name)
        return found

    def _learn_plain(self, found: t.Optional[language.Set]) -> None:
        if found is None:
            return
        try:
            if len(_words(found.value)) > 1:
                raise SampleError(
                    "its value has several words: is a type still allowed, or is it the rule for SSL connections?"
                )
            if [word.lower() for word in _words(found.value)] in (["all"], ["any"]):
                raise SampleError("its value is the word for all types: none of them must be allowed")
            if not profile.is_value(found.value):
                raise SampleError("its value has a character that cannot be written")
            if spelled_mechanism(found.value.strip(" ()")) is not None:
                raise SampleError("its value is %s, a mechanism: no type must be allowed" % shown(found.value.strip()))
        except SampleError as error:
            self.learned.miss(self.plain.keys, self.plain, str(error))
            return
        self.learned.profile["plain_auth_variable"] = found.variable
        self.learned.profile["no_authentication"] = found.value

    def _learn_tls(self, found: t.Optional[language.Set]) -> None:
        if found is None:
            return
        words = _words(found.value)
        none = self.learned.profile.get("no_authentication")
        if none is not None and words == _words(none):
            reason = "its value is the one for no authentication: its types were not chosen"
            self.learned.miss(self.tls.keys, self.tls, reason)
            return
        if len(words) < min(2, len(self.mechanisms)):
            # One word for several may be "all", or "none".
            self.learned.miss(
                self.tls.keys,
                self.tls,
                "its value is %d word(s) for %d types: choose exactly %s"
                % (len(words), len(self.mechanisms), ", ".join(self.mechanisms)),
            )
            return
        self.learned.profile["tls_auth_variable"] = found.variable
        single = self._single_words(self.single_mechanisms, found.variable, 1)
        self._assign(
            "mechanisms", self.tls, words, self.mechanisms, single, spelled_mechanism, samples.mechanism_sample
        )

    def _note_swapped(self, plain: t.Optional[language.Set], tls: t.Optional[language.Set]) -> None:
        """A name is no proof of anything, but one that says the opposite is worth a second look."""
        if plain is None or tls is None:
            return
        speaks_of_tls = re.compile(r"(?i)ssl|tls|secure")
        if speaks_of_tls.search(plain.variable) and not speaks_of_tls.search(tls.variable):
            self.learned.notes.append(
                "the rule %s sets %s and the rule %s sets %s: by their names they may be the wrong way round. Look "
                "whether each is about the connections that it was to be about; probe_address tries it when both are "
                "enabled"
                % (self.plain.name, plain.variable, self.tls.name, tls.variable)
            )

    # --- domain of the recipient ------------------------------------------------------------------

    def _learn_forced(self, _one: samples.Sample, block: language.Block) -> None:
        condition = _only_condition(block)
        if condition.match != "all" and len(condition.tests) > 1:
            raise SampleError("its conditions are joined with ANY: choose ALL")
        if len(condition.tests) != 2:
            raise SampleError("it has %d condition(s), and must have two" % len(condition.tests))
        secure = [test for test in condition.tests if test.variable.lower() == "issslconnection"]
        others = [test for test in condition.tests if test.variable.lower() != "issslconnection"]
        if len(secure) != 1:
            raise SampleError(
                "one condition must be that the connection is SSL (isSSLConnection); its conditions are about %s"
                % ", ".join(test.variable for test in condition.tests)
            )
        if secure[0].value.strip().lower() != "no":
            raise SampleError("its condition on SSL must be no: mail that arrives in clear is what it is about")
        _check_variable(others[0].variable)
        if others[0].value.strip().lower() != self.domain:
            raise SampleError(
                "it compares %s with something else than the domain %s" % (others[0].variable, self.domain)
            )
        values = {one.variable.lower(): one.value for one in _sets(condition.body)}
        if values.get("smtpaction", "").strip().lower() != "reject":
            raise SampleError("its action is not reject (smtpAction)")
        if not values.get("smtpexplanation", "").strip():
            raise SampleError("it has no explanation (smtpExplanation)")
        more = sorted(set(values) - {"smtpaction", "smtpexplanation"})
        if more:
            self.learned.notes.append(
                "rule %s also sets %s, which rules of this collection do not" % (block.name, ", ".join(more))
            )
        if self.finder.events(block):
            self.learned.explanation = values["smtpexplanation"]
        self.learned.profile["recipient_domain_variable"] = others[0].variable
        self.learned.profile["equals_test"] = others[0].name
        if secure[0].name.lower() != others[0].name.lower():
            self.learned.profile["encryption_test"] = secure[0].name

    # --- mail that goes out -----------------------------------------------------------------------

    def _learn_relay(self, one: samples.Sample, block: language.Block) -> None:
        found = {each.variable.lower(): each for each in _only_sets(block, 2)}
        value = found.pop(VERSIONS_VARIABLE.lower(), None)
        if value is None:
            reason = "it does not set %s: choose the SSL versions" % VERSIONS_VARIABLE
            self.learned.miss(("script_versions",), one, reason)
        else:
            single = self._single_words(self.single_versions, VERSIONS_VARIABLE, 2)
            words = _words(value.value)
            self._assign(
                "script_versions", one, words, self.versions, single, _spelled_version, samples.version_sample
            )
        try:
            self._learn_requirement(list(found.values()))
        except SampleError as error:
            self.learned.miss(("relay_ssl_variable",), one, str(error))

    def _learn_requirement(self, rest: t.Sequence[language.Set]) -> None:
        if not rest:
            raise SampleError("it sets nothing but %s: switch SSL encryption on" % VERSIONS_VARIABLE)
        if len(rest) > 1:
            raise SampleError("it sets %s: it must have no other action" % ", ".join(one.variable for one in rest))
        _check_variable(rest[0].variable)
        if rest[0].value.strip().lower() != "yes":
            raise SampleError("it gives %s another value than yes: switch SSL encryption on" % rest[0].variable)
        self.learned.profile["relay_ssl_variable"] = rest[0].variable

    # --- words of sets ----------------------------------------------------------------------------

    def _single_words(self, singles: t.Sequence[samples.Sample], variable: str, sets: int) -> t.Dict[str, str]:
        """Words that have a sample rule of their own: canonical name to word."""
        words: t.Dict[str, str] = {}
        for one in singles:
            try:
                block = self.finder.find(one.name)
                if block is None:
                    continue
                self.learned.methods.append(block.name)
                values = {each.variable.lower(): each.value for each in _only_sets(block, sets)}
                found = _words(values.get(variable.lower(), ""))
                if len(found) != 1:
                    raise SampleError("it must set %s to one word, and sets it to %d" % (variable, len(found)))
                words[one.subject] = found[0]
            except SampleError as error:
                self.learned.miss(one.keys, one, str(error))
        return words

    def _assign(
        self,
        key: str,
        one: samples.Sample,
        words: t.Sequence[str],
        asked: t.Sequence[str],
        single: t.Mapping[str, str],
        spelled: t.Callable[[str], t.Optional[str]],
        single_sample: t.Callable[[str], samples.Sample],
    ) -> None:
        """Which word means which name: by a sample rule of its own, by its spelling, or as the only one left."""
        found: t.Dict[str, str] = {}
        taken: t.Dict[str, str] = {}

        def assign(name: str, word: str) -> None:
            if name in found and found[name].lower() != word.lower():
                raise SampleError("both %s and %s could be %s" % (shown(found[name]), shown(word), name))
            if taken.setdefault(word.lower(), name) != name:
                raise SampleError("the word %s would be %s and %s" % (shown(word), taken[word.lower()], name))
            found[name] = word

        try:
            bad = [word for word in words if not profile.is_word(word)]
            if bad:
                raise SampleError("its set has a word that cannot be written: %s" % shown(bad[0]))
            for name, word in single.items():
                assign(name, word)
            left = []
            for word in dict.fromkeys(words):
                name = spelled(word)
                if word.lower() in taken:
                    continue
                if name is None or name in single:
                    left.append(word)
                else:
                    assign(name, word)
            unnamed = [name for name in asked if name not in found]
            if len(left) == 1 and len(unnamed) == 1 and left[0].lower() not in _COLLECTIVE:
                assign(unnamed[0], left[0])
                self.learned.notes.append(
                    "%s: the word %s was taken for %s, because it is the only one that is left"
                    % (one.name, shown(left[0]), unnamed[0])
                )
            elif left:
                if any(word.lower() in _COLLECTIVE for word in left):
                    raise SampleError("its set has a word that stands for all or for none: choose single ones")
                ways = [single_sample(name).name for name in unnamed] or [single_sample("NAME").name]
                raise SampleError(
                    "it is not seen what the word%s %s mean%s: make one rule more for each, with only that one chosen, "
                    "named %s"
                    % (
                        "s" if len(left) > 1 else "",
                        ", ".join(map(shown, left)),
                        "" if len(left) > 1 else "s",
                        ", ".join(ways),
                    )
                )
            elif unnamed:
                reason = "it has no word for %s: not chosen, or not on this server (the others are learned)"
                self.learned.miss((key,), one, reason % ", ".join(unnamed))
        except SampleError as error:
            self.learned.miss((key,), one, str(error))
        if found:
            order = {name: index for index, name in enumerate(MECHANISMS + VERSIONS)}
            self.learned.profile[key] = dict(sorted(found.items(), key=lambda pair: order.get(pair[0], len(order))))


# --- reading one sample ---------------------------------------------------------------------------


def _only_condition(block: language.Block) -> language.If:
    """The one ``if`` that a method is."""
    conditions = [one for one in block.statements if isinstance(one, language.If)]
    if not conditions and all(isinstance(one, language.Set) for one in block.statements):
        raise SampleError("it has no condition")
    if len(conditions) > 1:
        raise SampleError("it has %d separate conditions (if), and must have one with two tests" % len(conditions))
    if len(block.statements) != 1 or not conditions:
        raise SampleError("it is not one condition with its actions, but something else as well")
    return conditions[0]


def _only_sets(block: language.Block, most: int) -> t.List[language.Set]:
    """The variables that a method sets, 1 to ``most``. A condition around all of them changes no name."""
    statements = block.statements
    if len(statements) == 1 and isinstance(statements[0], language.If):
        statements = statements[0].body
    found = _sets(statements)
    if not found:
        raise SampleError("it does nothing: no action was chosen")
    if len(found) > most:
        raise SampleError("it sets %s: it must have no other action" % ", ".join(one.variable for one in found))
    return found


def _sets(statements: t.Sequence[language.Statement]) -> t.List[language.Set]:
    found: t.Dict[str, language.Set] = {}
    for one in statements:
        if isinstance(one, language.If):
            raise SampleError("it has a condition (if) inside or beside another one, or beside its actions")
        if isinstance(one, language.Call):
            raise SampleError("it calls %s: it must have no other action" % one.method)
        if not isinstance(one, language.Set):
            raise SampleError("it holds a statement that is not understood (an else, or one of a newer server)")
        if one.variable.lower() in found:
            raise SampleError("it sets %s twice" % one.variable)
        found[one.variable.lower()] = one
    return list(found.values())


def _check_variable(name: str) -> None:
    if name.lower() in KNOWN:
        raise SampleError(
            "it is about %s, whose meaning is documented and another one: a wrong entry was chosen" % name
        )
    if not profile.is_name(name):
        raise SampleError("%s cannot be the name of a variable" % shown(name))


def _words(value: str) -> t.List[str]:
    return re.split(r"[\s(),;]+", value.strip(" \t\r\n(),;")) if value.strip(" \t\r\n(),;") else []


def spelled_mechanism(word: str) -> t.Optional[str]:
    """The mechanism that a word spells, in any case, with or without its hyphens."""
    return _SPELLED.get(bare_name(word))


_SPELLED = {bare_name(name): name for name in MECHANISMS}


def _spelled_version(word: str) -> t.Optional[str]:
    """The protocol version that a word spells: tls12, TLSv1.2, tls1_2 alike."""
    found = _TLS_WORD.match(bare_name(word))
    if found is None:
        return None
    minor = found.group("minor") or "0"
    name = "%sv%s" % (found.group("family").upper(), found.group("major"))
    return {one: one for one in VERSIONS}.get(name if minor == "0" else "%s.%s" % (name, minor))
