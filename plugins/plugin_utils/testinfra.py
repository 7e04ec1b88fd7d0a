# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sentences about SMTP listeners for Molecule's testinfra and for any other pytest.

In a ``conftest.py``, with the folder that holds ``ansible_collections`` on ``PYTHONPATH``::

    pytest_plugins = ["ansible_collections.securemail.smtp.plugins.plugin_utils.testinfra"]

and in a test::

    def test_submission(smtp):
        submission = smtp.listener("mail.example.org:587")
        submission.offers_starttls()
        submission.refuses_plain_auth()
        submission.refuses_version("TLSv1.1")
        submission.meets("intermediate")

Every sentence returns True or raises AssertionError with what was expected, what was seen and who asks for it; an
``assert`` before it is for readers only. What could not be seen raises too: a test never passes for what nobody saw.
Listeners are looked at from where pytest runs, when the first sentence needs it, and once in a test module;
:meth:`Smtp.forget` makes the next sentence look again.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._probe import inquiry, question
from ansible_collections.securemail.smtp.plugins.module_utils._probe.catalogue import CATALOGUE
from ansible_collections.securemail.smtp.plugins.module_utils._probe.expected import TRIED_IN_CLEAR
from ansible_collections.securemail.smtp.plugins.module_utils._probe.family import FAMILIES
from ansible_collections.securemail.smtp.plugins.module_utils._probe.observation import (
    Fact,
    Listener,
    Observation,
)
from ansible_collections.securemail.smtp.plugins.module_utils._probe.requirement import (
    ERROR,
    PASS,
    UNOBSERVABLE,
    Requirement,
    Row,
)
from ansible_collections.securemail.smtp.plugins.module_utils._probe.suites import SUITES
from ansible_collections.securemail.smtp.plugins.module_utils._probe.survey import CHECKS, observe
from ansible_collections.securemail.smtp.plugins.module_utils._probe.verdict import judge

try:
    import pytest
except ImportError:  # Whoever writes tests without pytest makes an Smtp by hand.
    pytest = None

#: The origin of requirements that are made here.
ORIGIN = "test"

#: Groups whose facts say why there are none of another group.
_BESIDE = {"suites": ("versions",)}

#: Groups that nobody looks at by accident: they need a password, or may lock an account.
_ASKED_FOR = ("login", "wrong_password")

#: Lines of a dialogue that a failure shows.
_LINES = 8


class Smtp:
    """Listeners by their addresses, each looked at once. The arguments are the defaults of all listeners.

    ``ca_file``: authorities for certificates, the system's when None. ``timeout`` and ``total_timeout`` in seconds,
    ``max_connections`` and ``pause`` as options of ``smtp_probe``; they count anew when something new is looked at.
    """

    def __init__(
        self,
        ca_file: t.Optional[str] = None,
        client_name: str = "probe.invalid",
        timeout: float = 10.0,
        total_timeout: float = 60.0,
        max_connections: int = 60,
        pause: float = 0.0,
    ) -> None:
        self._ca_file = ca_file
        self._client_name = client_name
        self._limits = inquiry.Limits(max_connections, timeout, total_timeout, pause)
        self._known: t.Dict[Listener, SmtpListener] = {}

    def listener(
        self,
        address: str,
        tls: t.Optional[str] = None,
        server_name: t.Optional[str] = None,
        username: t.Optional[str] = None,
        password: t.Optional[str] = None,
        forced_tls_domains: t.Sequence[t.Union[str, t.Mapping[str, str]]] = (),
        **more: t.Any,
    ) -> SmtpListener:
        """The listener at "host:port"; arguments, and ``more`` of them, are those of an entry of ``targets`` of
        ``smtp_probe``. The same arguments give the same object. Raises ValueError with all that is wrong with them.
        """
        target = dict(
            more,
            address=address,
            tls=tls,
            server_name=server_name,
            username=username,
            password=password,
            forced_tls_domains=list(forced_tls_domains),
        )
        unknown = sorted(set(more) - {"other_domain", "local_domain", "recipient", "ca_file"})
        if unknown:
            raise TypeError("a listener has no %s" % ", ".join(unknown))
        (target,) = question.spelled_out({"targets": [target]})["targets"]
        try:
            ca_file = question.readable_file(self._ca_file, "ca_file") if self._ca_file else None
            asked = question.target_listener(target, ca_file, self._client_name)
        except PolicyError as error:
            raise ValueError(str(error)) from None
        if asked not in self._known:
            self._known[asked] = SmtpListener(asked, self._limits)
        return self._known[asked]

    def forget(self) -> None:
        """From now on everything is looked at again: a server was restarted, or its settings were changed."""
        for known in self._known.values():
            known.forget()


class SmtpListener:
    """One listener. Sentences return True or raise AssertionError; versions, mechanisms and domains as in a policy."""

    def __init__(self, asked: Listener, limits: inquiry.Limits = inquiry.Limits()) -> None:
        self._asked = asked
        self._limits = limits
        self._seen: t.Optional[Observation] = None

    def __repr__(self) -> str:
        return "<SMTP listener %s, tls %s>" % (self._asked.address, self._asked.tls)

    # ---- looking

    def forget(self) -> None:
        """The next sentence looks again."""
        self._seen = None

    def observation(self, *groups: str) -> Observation:
        """What is known, with these groups of checks looked at (names as in ``checks`` of ``smtp_probe``)."""
        unknown = sorted(set(groups) - set(CHECKS))
        if unknown:
            raise ValueError("there are no checks %s; there are %s" % (", ".join(unknown), ", ".join(CHECKS)))
        wanted = set(groups)
        for group in groups:
            wanted.update(_BESIDE.get(group, ()))
        known = self._seen.checks if self._seen is not None else ()
        missing = [group for group in CHECKS if group in wanted and group not in known]
        if missing or self._seen is None:
            self._add(self._asked, missing or ["dialogue"])
        return self._seen

    def _add(self, asked: Listener, groups: t.Sequence[str]) -> None:
        # A password is shown to nobody but those who are asked about it, and domains are tried when it is about them.
        if not set(groups) & set(_ASKED_FOR):
            asked = replace(asked, credentials=None)
        if "forced_domains" not in groups:
            asked = replace(asked, forced_domains=(), other_domain=None)
        found = replace(observe(asked, groups, self._limits.budget()), listener=self._asked)
        self._seen = found if self._seen is None else _joined(self._seen, found)

    def fact(self, name: str, group: str) -> Fact:
        """A fact by its name, as ``fact("banner", "dialogue")``; names and groups as ``smtp_probe`` returns them."""
        return self.observation(group).fact(name)

    def rows(self, *expected: t.Any) -> t.List[Row]:
        """One row for each thing that these profiles (names) and policies (dictionaries) ask of this listener."""
        found: t.List[Row] = []
        for one in expected:
            try:
                expectation = inquiry.expectation(one)
            except PolicyError as error:
                raise ValueError(str(error)) from None
            (asked,) = inquiry.with_policy_domains([self._asked], expectation, [])
            self._try_domains(asked)
            found += self._judged(expectation.requirements(asked))
        return found

    def _judged(self, requirements: t.Sequence[Requirement], *groups: str) -> t.List[Row]:
        wanted = {CATALOGUE[requirement.check].group for requirement in requirements} & set(CHECKS)
        wanted -= {"wrong_password"} if self._asked.credentials is not None else set(_ASKED_FOR)
        wanted.update(groups)
        # Domains are looked at by name, when somebody names them.
        wanted.discard("forced_domains")
        return judge(self.observation(*sorted(wanted)), requirements)

    def _try_domains(self, asked: Listener) -> None:
        """Look at the forced domains of this listener, and at its control, that were not looked at yet."""
        known = {} if self._seen is None else self._seen.facts
        new = tuple(forced for forced in asked.forced_domains if "forced_clear.%s" % forced.domain not in known)
        if new:
            self._add(replace(asked, forced_domains=new), ["forced_domains"])

    def _holds(self, *requirements: Requirement) -> bool:
        return _passed(self._asked, self._judged(requirements), self._seen)

    # ---- connecting and greeting

    def is_reachable(self) -> bool:
        """A connection is taken."""
        return self._holds(_asked("reachable", "RFC 5321 section 3.1"))

    def is_not_reachable(self) -> bool:
        """No connection is taken."""
        return self._holds(_asked("reachable", "test", reachable=False))

    def greets(self) -> bool:
        """The greeting is 220."""
        return self._holds(_asked("greeting", "RFC 5321 section 3.1"))

    def is_silent_in_clear(self) -> bool:
        """Nothing is answered to a client that speaks in clear; of listeners with implicit TLS only."""
        if self._asked.tls != "implicit":
            raise ValueError("%r is not one with implicit TLS; any other has to speak first" % self)
        return self._holds(_asked("silent_in_clear", "RFC 8314 section 3.3"))

    # ---- STARTTLS and what was said before it

    def offers_starttls(self) -> bool:
        """STARTTLS is offered in clear, and works."""
        source = "RFC 3207 section 4"
        return self._holds(_asked("starttls_offered", source, offered=True), _asked("starttls_works", source))

    def offers_no_starttls(self) -> bool:
        """STARTTLS is not offered in clear."""
        return self._holds(_asked("starttls_offered", "RFC 3207 section 4", offered=False))

    def hides_starttls_inside_tls(self) -> bool:
        """Inside TLS, STARTTLS is neither offered nor accepted."""
        return self._holds(_asked("starttls_inside_tls", "RFC 3207 section 4.2"))

    def forgets_what_was_said_before_tls(self) -> bool:
        """Nothing that came in clear has an effect inside TLS: no injected command, no EHLO, no MAIL."""
        return self._holds(
            _asked("injection", "RFC 3207 section 6, CVE-2011-0411"),
            _asked("late_plaintext", "RFC 3207 section 6"),
            _asked("ehlo_again", "RFC 3207 section 4.2"),
            _asked("transaction_forgotten", "RFC 3207 section 4.2"),
        )

    # ---- TLS

    def accepts_version(self, *versions: str) -> bool:
        """These protocol versions are accepted, as ``accepts_version("TLSv1.2", "TLSv1.3")``."""
        return self._holds(*(_version(version, True) for version in _several(versions)))

    def refuses_version(self, *versions: str) -> bool:
        """These protocol versions are refused, by the server itself."""
        return self._holds(*(_version(version, False) for version in _several(versions)))

    def accepts_suite(self, version: str, *suites: str) -> bool:
        """The version is accepted with one of these suites (OpenSSL's names) at least."""
        wanted = _asked("suite_offered", "RFC 9325 section 4.2", version=version, any_of=list(_several(suites)))
        return self._holds(_version(version, True), wanted)

    def accepts_no_other_suites(self, version: str, *suites: str) -> bool:
        """The version is refused, or accepted with none but these suites (OpenSSL's names)."""
        return self._holds(_asked("suites", "RFC 9325 section 4.2", version=version, allowed=list(_several(suites))))

    def refuses_suites(self, version: str, *families: str) -> bool:
        """The version is refused, or has no suite of these families ("RC4", "3DES", "CBC", "NULL") or names."""
        forbidden = [_family(name) for name in _several(families)]
        return self._holds(_asked("suites", "RFC 9325 section 4.1", version=version, forbidden=forbidden))

    def decides_the_suite(self) -> bool:
        """The server's order of suites decides, not the client's."""
        return self._holds(_asked("server_preference", "RFC 9325 section 4.2", by="server"))

    def negotiates_no_groups_but(self, *groups: str) -> bool:
        """Keys are exchanged in none but these groups ("X25519", "P-256", "ffdhe3072")."""
        return self._holds(_asked("groups", "RFC 9325 section 4.2", allowed=list(_several(groups))))

    def has_dh_of(self, bits: int) -> bool:
        """The prime of DHE suites has so many bits or more, or there are no DHE suites."""
        return self._holds(_asked("dh_size", "RFC 9325 section 4.1", bits=bits))

    def does_not_compress(self) -> bool:
        """There is no compression in TLS."""
        return self._holds(_asked("compression", "RFC 9325 section 3.3"))

    # ---- the certificate

    def presents_trusted_certificate(self) -> bool:
        """The chain leads to a trusted authority, in its time, and the name is the one that was asked for.

        Without a name to ask for (an IP address) there is nothing to be trusted."""
        return self._holds(
            _asked("certificate_trusted", "RFC 5280 section 6"), _asked("certificate_name", "RFC 9525 section 6")
        )

    def certificate_lasts(self, days: int) -> bool:
        """The certificate is valid, for so many days at least."""
        return self._holds(_asked("certificate_valid", "RFC 5280 section 4.1.2.5", days_left=days))

    def certificate_key_has(self, rsa_bits: int = 2048, ec_bits: int = 256) -> bool:
        """The key of the certificate has so many bits or more."""
        return self._holds(_asked("certificate_key", "RFC 9325 section 4.5", rsa_bits=rsa_bits, ec_bits=ec_bits))

    # ---- logging in

    def refuses_plain_auth(self) -> bool:
        """In clear no mechanism is offered, and those that show the password are refused at once."""
        source = "RFC 8314 section 3.3, RFC 4954 section 4"
        return self._holds(
            _asked("auth_offered_clear", source, mechanisms=[]),
            *(_asked("auth_refused_clear", source, mechanism=name) for name in TRIED_IN_CLEAR),
        )

    def offers_mechanisms(self, *mechanisms: str) -> bool:
        """Inside TLS exactly these mechanisms are offered; without any: none."""
        named = sorted(name.upper() for name in mechanisms)
        return self._holds(_asked("auth_offered_tls", "RFC 4954 section 3", mechanisms=named))

    def refuses_mechanism(self, *mechanisms: str) -> bool:
        """Inside TLS these mechanisms are refused at once, offered or not."""
        source = "RFC 4954 section 4"
        return self._holds(
            *(_asked("auth_refused_tls", source, mechanism=name.upper()) for name in _several(mechanisms))
        )

    def accepts_login(self, *mechanisms: str) -> bool:
        """Inside TLS the password of this listener is accepted by these mechanisms."""
        return self._logs_in("login", "RFC 4954 section 4", mechanisms)

    def refuses_wrong_password(self, *mechanisms: str) -> bool:
        """Inside TLS a wrong password gets 535 from these mechanisms. Servers may lock an account for it."""
        return self._logs_in("wrong_password", "RFC 4954 section 6", mechanisms)

    def _logs_in(self, check: str, source: str, mechanisms: t.Sequence[str]) -> bool:
        if self._asked.credentials is None:
            raise ValueError("%r has no username and password to log in with" % self)
        wanted = [_asked(check, source, mechanism=name.upper()) for name in _several(mechanisms)]
        return _passed(self._asked, self._judged(wanted, check), self._seen)

    # ---- mail

    def is_no_open_relay(self) -> bool:
        """A recipient in somebody else's domain is refused without a login."""
        return self._holds(_asked("open_relay", "RFC 5321 section 3.6.1"))

    def refuses_mail_in_clear(self, explanation: t.Optional[str] = None) -> bool:
        """MAIL in clear is refused (with this explanation), as on a port for users."""
        return self._holds(_asked("mail_refused_clear", "RFC 3207 section 4", explanation=explanation))

    def refuses_mail_without_login(self, explanation: t.Optional[str] = None) -> bool:
        """MAIL inside TLS is refused (with this explanation) before a login, as on a port for users."""
        return self._holds(_asked("mail_refused_tls", "RFC 6409 section 4.3", explanation=explanation))

    def forces_tls_for(self, domain: str, reject_message: t.Optional[str] = None) -> bool:
        """Mail for the domain is refused in clear (with this message) and accepted inside TLS."""
        asked = self._with_domains([{"domain": domain, "reject_message": reject_message}])
        (forced,) = asked.forced_domains
        self._try_domains(asked)
        source = "RFC 3207 section 4"
        clear = {"domain": forced.domain}
        if reject_message is not None:
            clear["reject_message"] = reject_message
        return self._holds(_asked("forced_clear", source, **clear), _asked("forced_tls", source, domain=forced.domain))

    def takes_mail_in_clear_for(self, domain: str) -> bool:
        """Mail for this domain is accepted in clear: nothing is forced for it."""
        (control,) = self._with_domains([{"domain": domain}]).forced_domains
        name = "other_clear.%s" % control.domain
        if self._seen is None or name not in self._seen.facts:
            # Looked at beside a domain that is forced, or alone.
            self._add(replace(self._asked, other_domain=control.domain), ["forced_domains"])
        return self._holds(_asked("other_clear", "RFC 3207 section 4", domain=control.domain))

    def _with_domains(self, entries: t.Sequence[t.Mapping[str, t.Any]]) -> Listener:
        target = {"address": self._asked.address, "forced_tls_domains": entries}
        try:
            domains = question.target_listener(target).forced_domains
        except PolicyError as error:
            raise ValueError(str(error)) from None
        return replace(self._asked, forced_domains=domains)

    # ---- profiles and policies

    def meets(self, *profiles: str, strict: bool = False) -> bool:
        """What these profiles ask for is done; ``strict``: what they only recommend is done too."""
        if not profiles:
            raise ValueError("no profile is named")
        return self._meets(self.rows(*profiles), strict)

    def meets_policy(self, policy: t.Mapping[str, t.Any], strict: bool = False) -> bool:
        """What a policy says is done, as far as it can be seen from outside; a policy as ``smtp_info`` returns it."""
        return self._meets(self.rows(dict(policy)), strict)

    def _meets(self, rows: t.Sequence[Row], strict: bool) -> bool:
        # What nobody can see from outside says nothing about the server.
        visible = [row for row in rows if row.check != "outside" and (strict or row.severity == ERROR)]
        return _passed(self._asked, visible, self._seen)


def _asked(check: str, source: str, **parameters: t.Any) -> Requirement:
    return Requirement(check, parameters, ERROR, source, ORIGIN)


#: Who asks for a version, and who against it.
_VERSION_SOURCES = {"SSLv2": "RFC 6176", "SSLv3": "RFC 7568", "TLSv1": "RFC 8996", "TLSv1.1": "RFC 8996"}


def _version(version: str, accepted: bool) -> Requirement:
    known = tuple(_VERSION_SOURCES) + ("TLSv1.2", "TLSv1.3")
    if version not in known:
        raise ValueError("there is no version %s; there are %s" % (version, ", ".join(known)))
    source = _VERSION_SOURCES.get(version, "RFC 9325 section 3.1.1")
    return _asked("version", source, version=version, accepted=accepted)


def _family(name: str) -> str:
    """As the judge calls it. Of a family that nobody knows no server has a suite, so it must not be asked about."""
    if name.lower() in FAMILIES:
        return name.lower()
    if name not in SUITES:
        raise ValueError("%s is no suite and no family of suites; families are %s" % (name, ", ".join(FAMILIES)))
    return name


def _several(names: t.Sequence[str]) -> t.Sequence[str]:
    # A sentence about nothing would always be true.
    if not names:
        raise ValueError("nothing is named")
    return names


# ---- one observation of several looks


def _joined(first: Observation, second: Observation) -> Observation:
    """Two looks at one listener as one; the connections of the second are numbered on."""
    offset = first.connections
    facts = dict(first.facts)
    for name, fact in second.facts.items():
        facts[name] = replace(fact, evidence=tuple(number + offset for number in fact.evidence))
    dialogues = tuple(replace(dialogue, number=dialogue.number + offset) for dialogue in second.dialogues)
    return Observation(
        listener=first.listener,
        facts=facts,
        dialogues=first.dialogues + dialogues,
        connections=first.connections + second.connections,
        seconds=first.seconds + second.seconds,
        checks=first.checks + tuple(group for group in second.checks if group not in first.checks),
    )


# ---- what a failure says


def _passed(asked: Listener, rows: t.Sequence[Row], seen: t.Optional[Observation]) -> bool:
    failing = [row for row in rows if row.verdict != PASS]
    if failing:
        raise AssertionError(_failure(asked, rows, failing, seen))
    return True


def _failure(
    asked: Listener, rows: t.Sequence[Row], failing: t.Sequence[Row], seen: t.Optional[Observation]
) -> str:
    lines = ["%s: %d of %d checks did not pass" % (asked.address, len(failing), len(rows))]
    for row in failing:
        words = row.seen
        if row.verdict == UNOBSERVABLE:
            words = words if words.startswith("not observable") else "not observable: %s" % words
        lines += [
            "%s" % row.title,
            "    expected: %s" % row.expected,
            "    seen:     %s%s" % (words, " (%s)" % row.side if row.side else ""),
            "    source:   %s" % row.source,
        ]
        lines += ["    %s" % line for line in _evidence(row, seen)]
    return "\n".join(lines)


def _evidence(row: Row, seen: t.Optional[Observation]) -> t.List[str]:
    """The end of the connection that shows it, where there is one."""
    dialogues = [] if seen is None else [dialogue for dialogue in seen.dialogues if dialogue.number in row.evidence]
    if not dialogues:
        return []
    last = dialogues[-1]
    return ["connection %d, %s:" % (last.number, last.purpose)] + ["  %s" % line for line in last.lines[-_LINES:]]


if pytest is not None:

    @pytest.fixture(scope="module")
    def smtp() -> Smtp:
        """Listeners, looked at once in a test module. For other defaults make a fixture of that name that returns
        ``Smtp(ca_file=…)``."""
        return Smtp()
