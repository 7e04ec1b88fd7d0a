# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Submission as a policy (RFC 6409): the general rules that a Postfix can hold, which are about one port each.

* ``submission_PORT_needs_tls``: mail in clear is refused. That is the security level ``encrypt`` of the listeners with that port.
* ``submission_PORT_needs_login``: mail without a login is refused, by a list of restrictions that was empty.
* ``relay_PORT_offers_no_login``: nobody logs in. That is ``smtpd_sasl_auth_enable`` of these listeners.

All other general rules are refused by name: Postfix has lists of restrictions in the place of a language of rules.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import replace

from ..._policy.address import split_address
from ..._policy.errors import PolicyError
from ..._policy.policy import Policy
from ..._policy.rule import Action, AuthRule, Condition, GeneralRule
from . import addresses, authentication, tls_values
from .configuration import Draft, _State
from .master_cf import Service

#: What Postfix says to a client in clear where TLS is required (RFC 3207 section 4), and what we have it say without a login (RFC 4954 section 6).
STARTTLS_FIRST = "530 5.7.0 Must issue a STARTTLS command first"
LOGIN_FIRST = "530 5.7.0 Authentication required"

#: What Postfix says where a list ends with "reject".
_DENIED = "554 5.7.1 Access denied"

#: The own parameter with what refuses those who did not log in.
PARAMETER = "securemail_needs_login"

#: Lists that ours can stand in alone, with the restriction that looks a value up there.
_LISTS = {"smtpd_sender_restrictions": "check_sender_access", "smtpd_client_restrictions": "check_client_access"}

#: Lists that can refuse everybody who did not log in, in the order in which smtpd goes through them: the first refusal is heard.
_ALL_LISTS = (
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
)

#: Those before the ones that keep a server from relaying for strangers.
_EARLY = _ALL_LISTS[:3]

#: One of these has to be in the last two lists, or smtpd(8) ends at once (SMTPD_ACCESS_README).
_GUARDS = frozenset(("reject", "defer", "defer_if_permit", "reject_unauth_destination", "defer_unauth_destination", "check_relay_domains"))

_CLASSIC = re.compile(r"permit_sasl_authenticated[,\s]+reject[,\s]*\Z", re.IGNORECASE)
_OURS = re.compile(r"permit_sasl_authenticated[,\s]+check_(?:sender|client)_access[,\s]+static:\{([^{}]*)\}")

_TLS, _LOGIN, _NONE = "submission_%d_needs_tls", "submission_%d_needs_login", "relay_%d_offers_no_login"

_EXPLAINED = re.compile(r"[45][0-9]{2} [45]\.[0-9]{1,3}\.[0-9]{1,3} [^{}]+")


class _Form(t.NamedTuple):
    """One of the three forms: its name with the port, and the explanation of its refusal."""

    name: str
    port: int
    explanation: str = ""


def canonical_name(rule: GeneralRule) -> t.Optional[str]:
    """The plain name of a rule that is one of the three forms; None for others."""
    form = _form(rule)
    return None if form is None else form.name % form.port


def canonical(rule: GeneralRule) -> GeneralRule:
    """The rule with conditions and actions in the order in which they are read back. Raises ``PolicyError`` for other rules."""
    form = _form(rule)
    if form is None:
        raise PolicyError(_refused(rule))
    return replace(_rule(form), name=rule.name, enabled=rule.enabled)


def read(conf: _State, notes: t.List[str]) -> t.List[GeneralRule]:
    """The rules that the listeners follow. ``notes`` get what only some listeners of a port do, and lists that are empty by mistake."""
    found = []
    logins = any(authentication.enabled(conf, service) for service in conf.smtpd)
    for port, services in sorted(_ports(conf).items()):
        if all(_needs_tls(conf, service) for service in _asked(conf, services)):
            found.append(_rule(_Form(_TLS, port, STARTTLS_FIRST)))
        refusals = {_refusal(conf, service) for service in services}
        if len(refusals) == 1 and "" not in refusals:
            found.append(_rule(_Form(_LOGIN, port, refusals.pop())))
        elif len(refusals) > 1:
            notes.append("port %d: whether a login is needed, and what is said without one, differs between its listeners" % port)
        if (logins and not any(authentication.enabled(conf, service) for service in services)) or all(
            (conf.own("smtpd_sasl_auth_enable", service) or "").lower() == "no" for service in services
        ):
            found.append(_rule(_Form(_NONE, port)))
    for service in conf.smtpd:
        for name in _ALL_LISTS:
            own = conf.own(name, service)
            if own and not conf.value(name, service):
                notes.append(
                    "master.cf line %d: %s=%s of %s refers to what main.cf does not have, so it refuses nobody"
                    % (service.option_line(name), name, own, service.name)
                )
    return found


def write(draft: Draft, before: Policy, desired: Policy) -> None:
    """Have the listeners follow the rules. Raises ``PolicyError`` for rules that cannot be said."""
    wanted = [rule for rule in desired.rules if isinstance(rule, GeneralRule)]
    there = [rule for rule in before.rules if isinstance(rule, GeneralRule)]
    mechanisms = [rule for rule in desired.rules if isinstance(rule, AuthRule)]
    same = mechanisms == [rule for rule in before.rules if isinstance(rule, AuthRule)]
    if wanted == there and same and before.listeners == desired.listeners:
        return
    problems = [_refused(rule) for rule in wanted if _form(rule) is None]
    if problems:
        raise PolicyError(*problems)
    goals = {form.name % form.port: form for form in map(_form, wanted) if form is not None}
    # A listener that came or changed may follow less than its port's rules say: what is in force now counts.
    present = {form.name % form.port: form for form in map(_form, read(draft, [])) if form is not None}
    ports = _ports(draft)
    for name, form in sorted(goals.items()):
        if present.get(name) == form:
            continue
        if form.port not in ports:
            problems.append("rule %s: there is no listener with port %d" % (name, form.port))
            continue
        with_problem = _put(draft, form, ports[form.port])
        if with_problem:
            problems.append("rule %s: %s" % (name, with_problem))
    for name, form in sorted(present.items()):
        # Rules about logins are for all listeners: a new one has them, too.
        ours = form.name == _NONE or any(rule.name == name for rule in there)
        if name not in goals and form.port in ports and ours:
            with_problem = _take(draft, form, ports[form.port], any(rule.mechanisms for rule in mechanisms))
            if with_problem:
                problems.append("without the rule %s: %s" % (name, with_problem))
    if problems:
        raise PolicyError(*problems)


# --- the forms ------------------------------------------------------------------------------------


def _form(rule: GeneralRule) -> t.Optional[_Form]:
    conditions = {one.variable: one.value for one in rule.conditions}
    port = conditions.pop("smtpPort", "")
    if rule.match == "any" and len(rule.conditions) > 1 or not port.isdigit() or len(rule.conditions) != len(conditions) + 1:
        return None
    if any(one.test not in ("is", "isCase") for one in rule.conditions) or any(one.kind != "set" for one in rule.actions):
        return None
    actions = {one.name: one.value for one in rule.actions}
    if not conditions and actions == {"plainConnAuthTypes": "none", "secureConnAuthTypes": "none"}:
        return _Form(_NONE, int(port))
    if set(actions) != {"smtpAction", "smtpExplanation"} or actions["smtpAction"] != "reject" or rule.event != "mail":
        return None
    explanation = actions["smtpExplanation"]
    if conditions == {"isSSLConnection": "no"} and explanation == STARTTLS_FIRST:
        return _Form(_TLS, int(port), explanation)
    if conditions == {"authUser": ""} and (_EXPLAINED.fullmatch(explanation)):
        return _Form(_LOGIN, int(port), explanation)
    return None


def _rule(form: _Form) -> GeneralRule:
    """The rule in the form that a policy has it."""
    conditions = [Condition("smtpPort", "is", str(form.port))]
    if form.name == _NONE:
        actions = (Action("set", "plainConnAuthTypes", "none"), Action("set", "secureConnAuthTypes", "none"))
        return GeneralRule(_NONE % form.port, "ehlo", "all", tuple(conditions), actions)
    conditions.append(Condition("isSSLConnection", "is", "no") if form.name == _TLS else Condition("authUser", "is", ""))
    refusal = (Action("set", "smtpAction", "reject"), Action("set", "smtpExplanation", form.explanation))
    return GeneralRule(form.name % form.port, "mail", "all", tuple(conditions), refusal)


def _refused(rule: GeneralRule) -> str:
    return (
        "rule %s: a Postfix holds three general rules for a port: mail in clear is refused (smtpPort and isSSLConnection no: %r), mail "
        "without a login is refused (smtpPort and authUser empty: any explanation with its codes, like %r), nobody logs in (smtpPort "
        "alone: plainConnAuthTypes and secureConnAuthTypes none). What this one says is a list of restrictions there, which an "
        "administrator writes" % (rule.name, STARTTLS_FIRST, LOGIN_FIRST)
    )


# --- what listeners do ----------------------------------------------------------------------------


def _ports(conf: _State) -> t.Dict[int, t.List[Service]]:
    found: t.Dict[int, t.List[Service]] = {}
    for service in conf.smtpd:
        for port in {split_address(address)[1] for address in addresses.sockets(conf, service).addresses}:
            found.setdefault(port, []).append(service)
    return found


def _level(conf: _State, service: Service) -> str:
    from .listeners import level

    return level(conf, service)


def _asked(conf: _State, services: t.Sequence[Service]) -> t.Sequence[Service]:
    """Who must require TLS so that a port does: those at which a client can be in clear, if there are any."""
    return [service for service in services if not authentication.yes(conf, "smtpd_tls_wrappermode", service)] or services


def _needs_tls(conf: _State, service: Service) -> bool:
    """Whether TLS is required; where it is there from the first byte, whether somebody wrote so."""
    if authentication.yes(conf, "smtpd_tls_wrappermode", service):
        return tls_values.receiving_level(conf.own("smtpd_tls_security_level", service) or "") in tls_values.REQUIRED
    return _level(conf, service) in tls_values.REQUIRED


def _refusal(conf: _State, service: Service) -> str:
    """What somebody hears who did not log in; "" where mail is taken from them."""
    for name in _ALL_LISTS:
        value = conf.value(name, service)
        ours = _OURS.match(value)
        if ours:
            return ours.group(1).strip()
        if _refuses_strangers(value):
            return _DENIED
    return ""


def _refuses_strangers(value: str) -> bool:
    """Whether a list ends with "reject" for all but those who logged in."""
    login = False
    for word in re.split(r"[,\s]+", value.strip().lower()):
        if word == "reject":
            return login
        if word == "permit_sasl_authenticated":
            login = True
        elif not word.startswith("reject_"):
            # It may permit, or have a word behind it that is no restriction.
            return False
    return False


def _put(draft: Draft, form: _Form, services: t.Sequence[Service]) -> str:
    """Make listeners follow a rule; returns why they cannot."""
    if form.name == _TLS:
        for service in _asked(draft, services):
            if not _needs_tls(draft, service):
                if not authentication.speaks_tls(draft, service):
                    return "the listener %s has no STARTTLS that could be required; say tls: starttls for it" % service.name
                draft.set("smtpd_tls_security_level", "encrypt", service)
        draft.actions.append("require TLS at port %d" % form.port)
    elif form.name == _NONE:
        for service in services:
            draft.set("smtpd_sasl_auth_enable", "no", service)
        draft.actions.append("allow no logins at port %d" % form.port)
    else:
        for service in services:
            if _refusal(draft, service) != form.explanation:
                problem = _require_login(draft, form, service)
                if problem:
                    return problem
        draft.actions.append("require logins at port %d" % form.port)
    return ""


def _require_login(draft: Draft, form: _Form, service: Service) -> str:
    for name in _EARLY:
        value = draft.value(name, service)
        if _OURS.fullmatch(value) or _CLASSIC.match(value):
            # It says the same in other words, and nothing else.
            draft.unset(name, service)
            if draft.value(name, service) == value:
                draft.set(name, "", service)
    late = draft.value("smtpd_delay_reject", service).lower() == "no"
    for name, restriction in _LISTS.items():
        # A permit ends its list: in front of other restrictions it would switch these off for who logs in. And before
        # somebody could log in nothing can be asked about it.
        if draft.value(name, service) or (late and name == "smtpd_client_restrictions"):
            continue
        text = "permit_sasl_authenticated, %s static:{%s}" % (restriction, form.explanation)
        if name == "smtpd_sender_restrictions" and draft.main.get(PARAMETER) in (None, text):
            draft.set(PARAMETER, text)
            draft.set(name, "$" + PARAMETER, service)
        else:
            draft.set(name, text, service)
        heard = _refusal(draft, service)
        if heard != form.explanation:
            return "the listener %s has a list of its own that refuses with %r before" % (service.name, heard)
        return ""
    return (
        "the listener %s has lists of its own in %s, and a permit for logins in front of them would switch them off; put "
        '"permit_sasl_authenticated, reject" where you want it' % (service.name, " and ".join(_LISTS))
    )


def _take(draft: Draft, form: _Form, services: t.Sequence[Service], logins: bool) -> str:
    """What is no rule any more; ``logins``: there are to be some. Returns why that cannot be."""
    if form.name == _TLS:
        for service in _asked(draft, services):
            draft.unset("smtpd_tls_security_level", service)
            if _needs_tls(draft, service):
                draft.set("smtpd_tls_security_level", "may", service)
        draft.actions.append("require no TLS at port %d" % form.port)
    elif form.name == _NONE:
        for service in services:
            draft.unset("smtpd_sasl_auth_enable", service)
            if logins and not authentication.yes(draft, "smtpd_sasl_auth_enable", service):
                draft.set("smtpd_sasl_auth_enable", "yes", service)
            if logins and not authentication.enabled(draft, service):
                return "%s hides AUTH (smtpd_discard_ehlo_keywords), and nobody can log in there" % service.name
        draft.actions.append("allow logins at port %d" % form.port)
    else:
        for service in services:
            for name in _ALL_LISTS:
                value = draft.value(name, service)
                if draft.own(name, service) is not None and (_OURS.match(value) or _refuses_strangers(value)):
                    draft.unset(name, service)
            problem = _guard(draft, service)
            if problem:
                return problem
        if PARAMETER not in draft.master.text:
            draft.unset(PARAMETER)
        draft.actions.append("require no logins at port %d" % form.port)
    return ""


def _guard(draft: Draft, service: Service) -> str:
    """Nobody relays for strangers, whatever list was taken away."""
    guards = _ALL_LISTS[3:]

    def guarded() -> bool:
        return any(_GUARDS & tls_values.words(draft.value(name, service)) for name in guards)

    for name in guards:
        if not guarded() and draft.own(name, service) == "":
            draft.unset(name, service)
    if guarded():
        return ""
    return "%s would have no list that keeps strangers from relaying; put reject_unauth_destination into smtpd_relay_restrictions" % service.name
