# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The list of checks: what a hardened server shows a stranger, in the present-day form or in the article's.

``modern``: TLS 1.2 and 1.3, forward secrecy and authenticated encryption only. ``article``: TLS 1.0 to 1.3 and the
hardening article's list of DHE suites, which needs a DH file; mail is sent with TLS 1.2 and 1.3, or with TLS 1.1 and 1.2 as
the article says. Everything else is the same in both.
"""

from __future__ import annotations

import functools
import typing as t

from . import envelope, listening, login, negotiation, relaying
from .check import Check, Verdict, compare, proven, run_all, table
from .relaying import Partners
from .sasl import MECHANISMS
from .target import Endpoint, Target, endpoints

__all__ = ["Check", "Partners", "Target", "Verdict", "checks", "compare", "proven", "run_all", "table", "FORMS"]

FORMS = ("modern", "article")

#: Why a check may pass on a server that nobody hardened yet.
_NEW = ""
_ANY_SERVER = "every mail server does"
_UNHARDENED_TOO = "an unhardened server does too"
_ENGINE = "the program sees to it, not a setting"
_LIBRARY = "TLS libraries of today cannot speak it"
_SAME_CERTIFICATE = "the same certificate is in use before"
_OFFERED = "a listener with a certificate offers it"
_NOT_A_RULE = "nothing is forced before"
#: RFC 3207 section 4 forbids to demand TLS of everybody on a public relay port; of some, it may be.
_FORCED = "RFC 3207 section 4, hardening article"
#: A sender that wants TLS does not send without it.
_REQUIRED = "RFC 3207 section 6, hardening article"
_ALL_CHOSEN = "all mechanisms are chosen"

_ACCEPTED = {"modern": ("TLSv1.2", "TLSv1.3"), "article": ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")}
_RELAYED = {"modern": ("TLSv1.2", "TLSv1.3"), "article": ("TLSv1.1", "TLSv1.2")}

#: Versions, oldest first, and who says what to do about them.
_VERSIONS = {
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
    partners: t.Optional[Partners] = None,
) -> t.List[Check]:
    """All checks for a server that was hardened in this form.

    ``mechanisms`` are the ones that were chosen for TLS connections, ``dh_bits`` the least length of the DH prime
    (article). With ``partners``, what the server sends is looked at too. Raises ValueError for an unknown form or a mechanism that the probe does not speak.
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
    if partners is not None:
        found += _relaying(listeners[1], partners, form)
    return found


#: A line of the list: what is looked at, what is expected, who asks for it, why it may hold before (_NEW: it may not),
#: and the look with its arguments.
_Line = t.Tuple[t.Any, ...]


def _listed(at: Endpoint, lines: t.Iterable[_Line], title: str = "") -> t.List[Check]:
    return [
        Check("%s: %s" % (title or at.name, name), expected, source, functools.partial(look, at, *more), before)
        for name, expected, source, before, look, *more in lines
    ]


def _before_tls(at: Endpoint) -> t.List[Check]:
    return _listed(at, (
        ("greeting in clear", "220 without TLS", "RFC 5321 section 3.1", _ANY_SERVER, listening.greets),
        ("STARTTLS in clear", "offered", "RFC 3207 section 4", _OFFERED, listening.offers_starttls),
        ("AUTH in clear", "not offered", "RFC 4954 section 4, RFC 8314 section 3", _NEW, login.not_offered_in_clear),
        ("AUTH PLAIN in clear", "refused at once", "RFC 4954 section 4", _NEW, login.refused_in_clear, "PLAIN"),
        ("AUTH LOGIN in clear", "refused at once", "RFC 4954 section 4", _NEW, login.refused_in_clear, "LOGIN"),
    ))


def _inside_tls(at: Endpoint, chosen: t.Sequence[str]) -> t.List[Check]:
    every = _ALL_CHOSEN if set(chosen) == set(MECHANISMS) else _NEW
    offered = "exactly %s" % " ".join(chosen) if chosen else "no mechanism"
    neither = "neither offered nor accepted"
    lines: t.List[_Line] = [
        ("STARTTLS inside TLS", neither, "RFC 3207 section 4.2", _ENGINE, listening.hides_starttls),
        ("AUTH inside TLS", offered, "RFC 4954 section 4", every, login.offered_in_tls, chosen),
    ]
    if at.mode == "implicit":
        silent = "silent, TLS from the first byte"
        lines.append(("in clear", silent, "RFC 8314 section 3.3", _NEW, listening.silent_in_clear))
    return _listed(at, lines)


def _logins(at: Endpoint, chosen: t.Sequence[str]) -> t.List[Check]:
    lines: t.List[_Line] = []
    for name in chosen:
        right, wrong = "AUTH %s, right password" % name, "AUTH %s, wrong password" % name
        lines += [
            (right, "235", "RFC 4954 section 4", _UNHARDENED_TOO, login.accepts, name),
            (wrong, "535", "RFC 4954 section 6", _UNHARDENED_TOO, login.refuses_wrong_password, name),
        ]
    for name in MECHANISMS:
        if name not in chosen:
            title = "AUTH %s, not chosen" % name
            lines.append((title, "refused at once", "RFC 4954 section 4", _NEW, login.refuses_mechanism, name))
    return _listed(at, lines)


def _tls(at: Endpoint, form: str, dh_bits: int) -> t.List[Check]:
    lines: t.List[_Line] = []
    for version, source in _VERSIONS.items():
        if version in _ACCEPTED[form]:
            lines.append((version, "accepted", source, _UNHARDENED_TOO, negotiation.accepts_version, version))
        else:
            before = _LIBRARY if version.startswith("SSL") else _NEW
            lines.append((version, "refused", source, before, negotiation.refuses_version, version))
    cbc, rsa, worthless = negotiation.CBC_SUITES, negotiation.RSA_SUITES, negotiation.WORTHLESS_SUITES
    if form == "modern":
        lines.append(("CBC suites", "refused", "RFC 9325 section 4.2", _NEW, negotiation.refuses_suites, cbc))
    else:
        dhe = "one is negotiated, DH of %d bits or more" % dh_bits
        lines.append(("DHE suites", dhe, "RFC 9325 section 4", _NEW, negotiation.negotiates_dhe, dh_bits))
    nobody, trusted = "anonymous and NULL suites", "trusted for the server's name"
    lines += [
        ("RSA key exchange", "refused", "RFC 9325 section 4.1", _NEW, negotiation.refuses_suites, rsa),
        (nobody, "refused", "RFC 9325 section 4.1", _ENGINE, negotiation.refuses_suites, worthless),
        ("certificate", trusted, "RFC 9525", _SAME_CERTIFICATE, negotiation.certificate_is_trusted),
    ]
    return _listed(at, lines)


def _seam(at: Endpoint) -> t.List[Check]:
    injected, late = "command injected behind STARTTLS", "command between STARTTLS and handshake"
    silent = "no effect, no reply inside TLS"
    return _listed(at, (
        (injected, silent, "RFC 3207 section 6, CVE-2011-0411", _ENGINE, listening.forgets_plaintext),
        (late, "the handshake fails", "RFC 3207 section 6", _ENGINE, listening.refuses_late_plaintext),
        ("MAIL inside TLS without EHLO", "503", "RFC 3207 section 4.2", _ENGINE, listening.wants_ehlo_again),
    ))


def _mail(listeners: t.Sequence[Endpoint]) -> t.List[Check]:
    refused, other = "refused with its explanation", "accepted where the forced one is refused"
    found = _listed(listeners[0], (
        ("MAIL from before STARTTLS", "forgotten", "RFC 3207 section 4.2", _ENGINE, listening.forgets_transaction),
        ("forced domain in clear", refused, _FORCED, _NEW, envelope.forced_domain_refused_in_clear),
        ("other domain in clear", other, _FORCED, _NEW, envelope.other_domain_accepted_in_clear),
        ("forced domain inside TLS", "accepted", _FORCED, _NOT_A_RULE, envelope.forced_domain_accepted_in_tls),
    ))
    for listener in listeners:
        found += _listed(listener, (
            ("recipient elsewhere, no login", "refused", "RFC 5321 section 3.6.1", _ENGINE, envelope.relays_for_nobody),
        ))
    return found


def _relaying(at: Endpoint, partners: Partners, form: str) -> t.List[Check]:
    patience = partners.patience
    nothing = "gets nothing, and nothing in clear; the next host gets it inside TLS"
    waits = "waits, and is sent inside TLS then"
    lines: t.List[_Line] = [
        ("STARTTLS offered", "used", "RFC 3207 section 4", _NEW, relaying.uses_starttls, partners.offering, patience),
        ("no STARTTLS", nothing, _REQUIRED, _NEW, relaying.passes_by, partners.without_tls, patience),
        ("STARTTLS offered later", waits, _REQUIRED, _NEW, relaying.waits_for_tls, partners.later, patience),
    ]
    for version, destination in partners.only.items():
        name, source = "%s only" % version, _VERSIONS[version]
        if version in _RELAYED[form]:
            expected = "gets it with %s" % version
            lines.append((name, expected, source, _NEW, relaying.sends_with, destination, patience, version))
        else:
            lines.append((name, nothing, source, _NEW, relaying.passes_by, destination, patience))
    for fault, destination in partners.forced.items():
        lines.append(("forced domain, %s" % fault, nothing, _REQUIRED, _NEW, relaying.passes_by, destination, patience))
    return _listed(at, lines, "relaying")
