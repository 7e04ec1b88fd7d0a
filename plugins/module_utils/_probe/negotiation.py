# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at TLS itself: versions, cipher suites, the size of the Diffie-Hellman group, the certificate."""

from __future__ import annotations

import typing as t

from .check import Verdict, blameless, judged, unobservable
from .smtp import (
    LOCAL_LIBRARY,
    SERVER_ALERT,
    SERVER_CLOSED,
    CertificateRefused,
    Unobservable,
    lenient_context,
    verifying_context,
)
from .suites import ARTICLE_SUITES, OLD_SUITES, TLS12_SUITES, family
from .target import Endpoint
from .tls import Handshake

def _of(*families: str) -> t.Tuple[str, ...]:
    return tuple(name for name in list(TLS12_SUITES) + list(OLD_SUITES) if family(name) in families)


#: What is left out today (RFC 9325 section 4.2): no authenticated encryption, or no forward secrecy.
CBC_SUITES = _of("cbc")
RSA_SUITES = _of("rsa")
#: Nobody proves who he is, or nothing is encrypted.
WORTHLESS_SUITES = _of("anonymous", "null")


def accepts_version(endpoint: Endpoint, version: str) -> Verdict:
    """The server negotiates this version when only it is offered, and to the end where the local library can."""
    handshake = endpoint.offer(version)
    if blameless(handshake):
        return unobservable(handshake)
    return _completed(endpoint, version, handshake) if handshake.accepted else judged(False, handshake)


def refuses_version(endpoint: Endpoint, version: str) -> Verdict:
    """The server refuses this version, and for no other reason than the version."""
    handshake = endpoint.offer(version)
    if handshake.accepted:
        return judged(False, handshake)
    if not handshake.refused:
        return unobservable(handshake)
    if handshake.side == SERVER_ALERT and handshake.detail == "protocol_version":
        return judged(True, handshake)
    return _with_control(handshake, _any_version(endpoint))


def refuses_suites(endpoint: Endpoint, suites: t.Sequence[str]) -> Verdict:
    """Offered only these suites in TLS 1.2, the server refuses; offered others, it does not."""
    handshake = endpoint.offer("TLSv1.2", suites)
    if handshake.accepted:
        return judged(False, handshake)
    if not handshake.refused:
        return unobservable(handshake)
    return _with_control(handshake, endpoint.offer("TLSv1.2"))


def negotiates_dhe(endpoint: Endpoint, bits: int, suites: t.Sequence[str] = ARTICLE_SUITES) -> Verdict:
    """Offered only DHE suites in TLS 1.2, the server takes one, with a prime of at least ``bits`` bits."""
    handshake = endpoint.offer("TLSv1.2", suites)
    if blameless(handshake):
        return unobservable(handshake)
    if not handshake.accepted or (handshake.dh_bits or 0) < bits:
        return judged(False, handshake)
    return _completed(endpoint, "TLSv1.2", handshake, suites)


def certificate_is_trusted(endpoint: Endpoint) -> Verdict:
    """A sender that checks certificates (RFC 9525) accepts chain, name and dates."""
    target = endpoint.target
    try:
        with endpoint.through(verifying_context(target.ca_file)) as conversation:
            return judged(True, "trusted for %s, %s" % (target.server_name or target.host, conversation.tls_version))
    except CertificateRefused as error:
        return judged(False, error.reason)


def _completed(endpoint: Endpoint, version: str, begun: Handshake, suites: t.Sequence[str] = ()) -> Verdict:
    # The offer by hand ends half way: a server whose signature or key is no good for this version fails only now.
    try:
        with endpoint.through(lenient_context(version, suites)) as conversation:
            conversation.ehlo(endpoint.target.client_name)
    except Unobservable as error:
        if error.side == LOCAL_LIBRARY:
            return judged(True, "%s (not completed: %s)" % (begun, error.reason))
        if error.side in (SERVER_ALERT, SERVER_CLOSED):
            return judged(False, "%s, but then %s" % (begun, error))
        raise
    return judged(True, begun)


def _any_version(endpoint: Endpoint) -> Handshake:
    handshake = endpoint.offer("TLSv1.3")
    return handshake if handshake.accepted else endpoint.offer("TLSv1.2")


def _with_control(refusal: Handshake, control: Handshake) -> Verdict:
    # A listener that refuses whatever it is offered has not refused *this*.
    if control.accepted:
        return judged(True, refusal)
    words = "refuses (%s), but takes nothing else either (%s)" % (refusal, control)
    return unobservable(Handshake(False, side=control.side, detail=words))
