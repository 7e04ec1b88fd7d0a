# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The list of checks: what a hardened server shows a stranger, in the present-day form or in the article's.

``modern``: TLS 1.2 and 1.3, forward secrecy and authenticated encryption only. ``article``: TLS 1.0 to 1.3 and the
hardening article's list of DHE suites, which needs a DH file. Everything else is the same in both.
"""

from __future__ import annotations

import functools
import typing as t

from . import envelope, listening, login, negotiation
from .check import Check, Verdict, compare, proven, run_all, table
from .sasl import MECHANISMS
from .target import Endpoint, Target, endpoints

__all__ = ["Check", "Target", "Verdict", "checks", "compare", "proven", "run_all", "table", "FORMS"]

FORMS = ("modern", "article")

#: Why a check may pass on a server that nobody hardened yet.
_ANY_SERVER = "every mail server does"
_UNHARDENED_TOO = "an unhardened server does too"
_ENGINE = "the program sees to it, not a setting"
_LIBRARY = "TLS libraries of today cannot speak it"
_SAME_CERTIFICATE = "the same certificate is in use before"
_OFFERED = "a listener with a certificate offers it"
_NOT_A_RULE = "nothing is forced before"
_ALL_CHOSEN = "all mechanisms are chosen"

_VERSIONS = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_ACCEPTED = {"modern": ("TLSv1.2", "TLSv1.3"), "article": ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")}

_VERSION_SOURCES = {
    "SSLv2": "RFC 6176",
    "SSLv3": "RFC 7568",
    "TLSv1": "RFC 8996",
    "TLSv1.1": "RFC 8996",
    "TLSv1.2": "RFC 9325 section 3.1.1",
    "TLSv1.3": "RFC 9325 section 3.1.1",
}


def checks(
    target: Target,
    form: str = "modern",
    mechanisms: t.Sequence[str] = ("PLAIN", "LOGIN"),
    dh_bits: int = 2048,
) -> t.List[Check]:
    """All checks for a server that was hardened in this form.

    ``mechanisms`` are the ones that were chosen for TLS connections, ``dh_bits`` the least length of the DH prime (article).
    Raises ValueError for an unknown form or a mechanism that the probe does not speak.
    """
    if form not in FORMS:
        raise ValueError("unknown form %r: known are %s" % (form, ", ".join(FORMS)))
    chosen = tuple(name.upper() for name in mechanisms)
    unknown = [name for name in chosen if name not in MECHANISMS]
    if unknown:
        raise ValueError("the probe does not speak %s: it knows %s" % (", ".join(unknown), ", ".join(MECHANISMS)))
    listeners = endpoints(target)
    with_starttls = [listener for listener in listeners if listener.mode == "starttls"]
    with_login = [listener for listener in listeners if listener.name != "relay"]
    found: t.List[Check] = []
    for listener in with_starttls:
        found += _before_tls(listener)
    for listener in listeners:
        found += _inside_tls(listener, chosen)
    for listener in with_login:
        found += _logins(listener, chosen)
    for listener in listeners:
        found += _tls(listener, form, dh_bits)
    for listener in with_starttls:
        found += _seam(listener)
    found += _mail(listeners)
    return found


def _check(
    listener: Endpoint, name: str, expected: str, source: str, look: t.Callable[..., Verdict], *more: t.Any, before: str = ""
) -> Check:
    return Check("%s: %s" % (listener.name, name), expected, source, functools.partial(look, listener, *more), before)


def _before_tls(at: Endpoint) -> t.List[Check]:
    return [
        _check(at, "greeting in clear", "220 without TLS", "RFC 5321 section 3.1", listening.greets, before=_ANY_SERVER),
        _check(at, "STARTTLS in clear", "offered", "RFC 3207 section 4", listening.offers_starttls, before=_OFFERED),
        _check(at, "AUTH in clear", "not offered", "RFC 4954 section 4, RFC 8314 section 3", login.not_offered_in_clear),
        _check(at, "AUTH PLAIN in clear", "refused at once", "RFC 4954 section 4", login.refused_in_clear, "PLAIN"),
        _check(at, "AUTH LOGIN in clear", "refused at once", "RFC 4954 section 4", login.refused_in_clear, "LOGIN"),
    ]


def _inside_tls(at: Endpoint, chosen: t.Sequence[str]) -> t.List[Check]:
    every = _ALL_CHOSEN if set(chosen) == set(MECHANISMS) else ""
    offered = "exactly %s" % " ".join(chosen) if chosen else "no mechanism"
    found = [
        _check(at, "STARTTLS inside TLS", "neither offered nor accepted", "RFC 3207 section 4.2",
               listening.hides_starttls, before=_ENGINE),
        _check(at, "AUTH inside TLS", offered, "RFC 4954 section 4", login.offered_in_tls, chosen, before=every),
    ]
    if at.mode == "implicit":
        found.append(
            _check(at, "in clear", "silent, TLS from the first byte", "RFC 8314 section 3.3", listening.silent_in_clear)
        )
    return found


def _logins(at: Endpoint, chosen: t.Sequence[str]) -> t.List[Check]:
    found = []
    for name in chosen:
        found += [
            _check(at, "AUTH %s, right password" % name, "235", "RFC 4954 section 4", login.accepts, name,
                   before=_UNHARDENED_TOO),
            _check(at, "AUTH %s, wrong password" % name, "535", "RFC 4954 section 6", login.refuses_wrong_password, name,
                   before=_UNHARDENED_TOO),
        ]
    for name in MECHANISMS:
        if name not in chosen:
            found.append(
                _check(at, "AUTH %s, not chosen" % name, "refused at once", "RFC 4954 section 4", login.refuses_mechanism, name)
            )
    return found


def _tls(at: Endpoint, form: str, dh_bits: int) -> t.List[Check]:
    found = []
    for version in _VERSIONS:
        source = _VERSION_SOURCES[version]
        if version in _ACCEPTED[form]:
            found.append(
                _check(at, version, "accepted", source, negotiation.accepts_version, version, before=_UNHARDENED_TOO)
            )
        else:
            library = _LIBRARY if version.startswith("SSL") else ""
            found.append(
                _check(at, version, "refused", source, negotiation.refuses_version, version, before=library)
            )
    if form == "modern":
        found += [
            _check(at, "CBC suites", "refused", "RFC 9325 section 4.2", negotiation.refuses_suites, negotiation.CBC_SUITES),
            _check(at, "RSA key exchange", "refused", "RFC 9325 section 4.1", negotiation.refuses_suites, negotiation.RSA_SUITES),
        ]
    else:
        found += [
            _check(at, "DHE suites", "one is negotiated, DH of %d bits or more" % dh_bits, "hardening article; RFC 9325 section 4.1",
                   negotiation.negotiates_dhe, dh_bits),
            _check(at, "RSA key exchange", "refused", "RFC 9325 section 4.1", negotiation.refuses_suites, negotiation.RSA_SUITES),
        ]
    found += [
        _check(at, "anonymous and NULL suites", "refused", "RFC 9325 section 4.1", negotiation.refuses_suites,
               negotiation.WORTHLESS_SUITES, before=_ENGINE),
        _check(at, "certificate", "trusted for the server's name", "RFC 9525, RFC 8314 section 4.3",
               negotiation.certificate_is_trusted, before=_SAME_CERTIFICATE),
    ]
    return found


def _seam(at: Endpoint) -> t.List[Check]:
    return [
        _check(at, "command injected behind STARTTLS", "no effect, no reply inside TLS", "RFC 3207 section 6, CVE-2011-0411",
               listening.forgets_plaintext, before=_ENGINE),
        _check(at, "command between STARTTLS and handshake", "the handshake fails", "RFC 3207 section 6",
               listening.refuses_late_plaintext, before=_ENGINE),
        _check(at, "MAIL inside TLS without EHLO", "503", "RFC 3207 section 4.2", listening.wants_ehlo_again, before=_ENGINE),
    ]


def _mail(listeners: t.Sequence[Endpoint]) -> t.List[Check]:
    relay = listeners[0]
    article = "hardening article; RFC 3207 section 4"
    found = [
        _check(relay, "MAIL from before STARTTLS", "forgotten", "RFC 3207 section 4.2", listening.forgets_transaction,
               before=_ENGINE),
        _check(relay, "forced domain in clear", "refused with its explanation", article,
               envelope.forced_domain_refused_in_clear),
        _check(relay, "other domain in clear", "accepted where the forced one is refused", article,
               envelope.other_domain_accepted_in_clear),
        _check(relay, "forced domain inside TLS", "accepted", article, envelope.forced_domain_accepted_in_tls,
               before=_NOT_A_RULE),
    ]
    for listener in listeners:
        found.append(
            _check(listener, "recipient elsewhere, no login", "refused", "RFC 5321 section 3.6.1, RFC 6409 section 6.1",
                   envelope.relays_for_nobody, before=_ENGINE)
        )
    return found
