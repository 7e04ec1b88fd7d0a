# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every kind of check: what it is called, what a server that passes does, which facts it needs, its parameters.

The texts are templates of English for people; a report in another language has its own for the same keys and the same
placeholders (:func:`title`, :func:`expected`). Nothing here looks at a server.
"""

from __future__ import annotations

import typing as t


class Kind(t.NamedTuple):
    """``title`` and ``expected`` are templates, ``group`` is the group of facts (``survey.CHECKS``) that are needed.

    ``group`` is "always" for what every observation has, and "" for what no observation can have.
    """

    title: str
    expected: str
    group: str


CATALOGUE: t.Dict[str, Kind] = {
    "declared": Kind("listener of the policy", "the policy names it", ""),
    "tls_mode": Kind("TLS mode", "%(mode)s", "dialogue"),
    "reachable": Kind("connection", "taken", "always"),
    "greeting": Kind("greeting", "220", "dialogue"),
    "silent_in_clear": Kind("in clear", "silent, TLS from the first byte", "dialogue"),
    "starttls_offered": Kind("STARTTLS in clear", "offered", "dialogue"),
    "starttls_works": Kind("STARTTLS", "answered with 220, and the handshake succeeds", "dialogue"),
    "starttls_inside_tls": Kind("STARTTLS inside TLS", "neither offered nor accepted", "dialogue"),
    "version": Kind("%(version)s", "accepted", "versions"),
    "suites": Kind("suites of %(version)s", "none but %(allowed)s", "suites"),
    "suite_offered": Kind("a wanted suite of %(version)s", "one of %(any_of)s is accepted", "suites"),
    "server_preference": Kind("order of suites", "the server's decides", "suites"),
    "groups": Kind("groups for the key exchange", "none but %(allowed)s", "suites"),
    "group_offered": Kind("group %(group)s", "accepted", "suites"),
    "dh_size": Kind("DH size", "%(bits)s bits or more, or no DHE", "suites"),
    "compression": Kind("TLS compression", "off", "suites"),
    "extended_master_secret": Kind("extended master secret", "used", "suites"),
    "secure_renegotiation": Kind("secure renegotiation", "announced", "suites"),
    "encrypt_then_mac": Kind("CBC suites", "with encrypt-then-MAC only, or none", "suites"),
    "certificate_trusted": Kind("certificate chain", "leads to a trusted authority", "certificate"),
    "certificate_name": Kind("name in the certificate", "the one that was asked for", "certificate"),
    "certificate_valid": Kind("validity of the certificate", "has begun, %(days_left)s days are left", "certificate"),
    "certificate_lifetime": Kind("lifetime of the certificate", "%(days)s days or less", "certificate"),
    "certificate_key": Kind(
        "key of the certificate", "RSA of %(rsa_bits)s bits, elliptic curve of %(ec_bits)s bits, or more", "certificate"
    ),
    "certificate_signature": Kind("signature of the certificate", "not with %(forbidden)s", "certificate"),
    "auth_offered_clear": Kind("AUTH in clear", "offers exactly %(mechanisms)s", "auth"),
    "auth_refused_clear": Kind("AUTH %(mechanism)s in clear", "refused at once", "auth"),
    "auth_offered_tls": Kind("AUTH inside TLS", "offers exactly %(mechanisms)s", "auth"),
    "auth_refused_tls": Kind("AUTH %(mechanism)s inside TLS", "refused at once", "auth"),
    "login": Kind("login with %(mechanism)s", "235 for the right password", "login"),
    "wrong_password": Kind("%(mechanism)s with a wrong password", "535", "wrong_password"),
    "injection": Kind("command injected behind STARTTLS", "no effect, no reply inside TLS", "session"),
    "late_plaintext": Kind("command between STARTTLS and handshake", "the handshake fails", "session"),
    "ehlo_again": Kind("MAIL inside TLS without EHLO", "503, where anybody has to say EHLO", "session"),
    "transaction_forgotten": Kind("MAIL from before STARTTLS", "forgotten", "session"),
    "open_relay": Kind("recipient elsewhere, no login", "refused", "relay"),
    "mail_refused_clear": Kind("MAIL in clear", 'refused with "%(explanation)s"', "relay"),
    "mail_refused_tls": Kind("MAIL inside TLS without a login", 'refused with "%(explanation)s"', "relay"),
    "forced_clear": Kind("mail for %(domain)s in clear", 'refused with "%(reject_message)s"', "forced_domains"),
    "forced_tls": Kind("mail for %(domain)s inside TLS", "accepted", "forced_domains"),
    "other_clear": Kind("mail for %(domain)s in clear", "accepted", "forced_domains"),
    "outside": Kind("%(what)s", "cannot be seen from outside: %(why)s", ""),
}

#: Other words for ``expected`` that some values of the parameters need, by the key that :func:`key` gives.
VARIANTS: t.Dict[str, str] = {
    "reachable.no": "not taken",
    "starttls_offered.no": "not offered",
    "version.no": "refused",
    "suites.forbidden": "none of %(forbidden)s",
    "suites.unknown": "none but those of the list %(ciphers)s",
    "server_preference.client": "the client's decides",
    "certificate_valid.now": "has begun and has not ended",
    "auth_offered_clear.none": "not offered",
    "auth_offered_tls.none": "not offered",
    "certificate_key.curves": "RSA of %(rsa_bits)s bits or more, or one of the curves %(curves)s",
    "certificate_key.no_rsa": "one of the curves %(curves)s",
    "mail_refused_clear.any": "refused",
    "mail_refused_tls.any": "refused",
    "forced_clear.any": "refused",
}

#: Parameters of each kind: those that it must have, and those that it may have.
PARAMETERS: t.Dict[str, t.Tuple[t.Tuple[str, ...], t.Tuple[str, ...]]] = {
    "declared": ((), ("reason",)),
    "tls_mode": (("mode",), ()),
    "reachable": ((), ("reachable",)),
    "starttls_offered": ((), ("offered",)),
    "version": (("version", "accepted"), ()),
    "suites": (("version",), ("allowed", "forbidden", "ciphers", "reason")),
    "suite_offered": (("version", "any_of"), ()),
    "server_preference": (("by",), ()),
    "groups": (("allowed",), ()),
    "group_offered": (("group",), ()),
    "dh_size": (("bits",), ()),
    "certificate_valid": ((), ("days_left",)),
    "certificate_lifetime": (("days",), ()),
    "certificate_key": (("rsa_bits", "ec_bits"), ("curves",)),
    "certificate_signature": (("forbidden",), ("of",)),
    "auth_offered_clear": (("mechanisms",), ()),
    "auth_refused_clear": (("mechanism",), ()),
    "auth_offered_tls": (("mechanisms",), ()),
    "auth_refused_tls": (("mechanism",), ()),
    "login": (("mechanism",), ()),
    "wrong_password": (("mechanism",), ()),
    "mail_refused_clear": ((), ("explanation",)),
    "mail_refused_tls": ((), ("explanation",)),
    "forced_clear": (("domain",), ("reject_message",)),
    "forced_tls": (("domain",), ()),
    "other_clear": (("domain",), ()),
    "outside": (("what", "why"), ()),
}

#: Names of a list that a text shows before it stops.
_SHOWN = 8

TITLES: t.Dict[str, str] = {check: kind.title for check, kind in CATALOGUE.items()}

EXPECTED: t.Dict[str, str] = {check: kind.expected for check, kind in CATALOGUE.items()}
EXPECTED.update(VARIANTS)


def key(check: str, parameters: t.Mapping[str, t.Any]) -> str:
    """The key of :data:`EXPECTED` for a check with these parameters: the check itself, or one of :data:`VARIANTS`."""
    variant = _VARIANT.get(check)
    name = variant(parameters) if variant is not None else ""
    return "%s.%s" % (check, name) if name else check


def title(check: str, parameters: t.Mapping[str, t.Any], texts: t.Mapping[str, str] = TITLES) -> str:
    """What the check is called; ``texts`` are templates by check, in whatever language."""
    return texts[check] % placeholders(parameters)


def expected(check: str, parameters: t.Mapping[str, t.Any], texts: t.Mapping[str, str] = EXPECTED) -> str:
    """What a passing server does; ``texts`` are templates by :func:`key`, in whatever language."""
    return texts[key(check, parameters)] % placeholders(parameters)


def placeholders(parameters: t.Mapping[str, t.Any]) -> t.Dict[str, str]:
    """The parameters as words: lists are joined, long ones are cut and end with their length in brackets."""
    return {name: _words(value) for name, value in parameters.items()}


def _words(value: t.Any) -> str:
    if isinstance(value, (list, tuple)):
        names = [str(name) for name in value]
        if len(names) <= _SHOWN:
            return ", ".join(names)
        return "%s, ... (%d)" % (", ".join(names[:_SHOWN]), len(names))
    return "" if value is None else str(value)


def _unless(name: str, word: str = "no") -> t.Callable[[t.Mapping[str, t.Any]], str]:
    return lambda parameters: "" if parameters.get(name, True) else word


def _suites(parameters: t.Mapping[str, t.Any]) -> str:
    if parameters.get("forbidden") is not None:
        return "forbidden"
    return "" if parameters.get("allowed") is not None else "unknown"


def _key(parameters: t.Mapping[str, t.Any]) -> str:
    if not parameters.get("curves"):
        return ""
    return "curves" if parameters["rsa_bits"] else "no_rsa"


_VARIANT: t.Dict[str, t.Callable[[t.Mapping[str, t.Any]], str]] = {
    "reachable": _unless("reachable"),
    "starttls_offered": _unless("offered"),
    "version": _unless("accepted"),
    "suites": _suites,
    "server_preference": lambda parameters: "client" if parameters["by"] == "client" else "",
    "certificate_key": _key,
    "certificate_valid": lambda parameters: "" if parameters.get("days_left") else "now",
    "auth_offered_clear": _unless("mechanisms", "none"),
    "auth_offered_tls": _unless("mechanisms", "none"),
    "mail_refused_clear": lambda parameters: "" if parameters.get("explanation") else "any",
    "mail_refused_tls": lambda parameters: "" if parameters.get("explanation") else "any",
    "forced_clear": lambda parameters: "" if parameters.get("reject_message") else "any",
}
