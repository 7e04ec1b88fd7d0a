# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The certificate of one listener: what it says, what comes with it, and what the local TLS library thinks of it."""

from __future__ import annotations

import ssl
import typing as t

from .certificate import MAX_CHAIN, Certificate, Unreadable, fingerprint, sent_chain, short
from .library import lenient_context, verifying_context
from .reply import LOCAL_LIBRARY, NOT_ASKED, SERVER_ALERT, SERVER_CLOSED, SERVER_REPLY, CertificateRefused, Unobservable
from .smtp import Conversation
from .tls import Handshake
from .visit import Visit

FACTS = ("certificate", "chain", "certificate_trusted", "certificate_name")

#: Sides of a handshake that came to nothing although the connection was there: another one may do better.
_TLS_SIDES = (SERVER_ALERT, SERVER_CLOSED, LOCAL_LIBRARY)

_NO_NAME = Unobservable("there is no name to compare with (server_name)", NOT_ASKED)


class _Shown(t.NamedTuple):
    """The leaf and the chain (None: not to be seen) in DER, the connection that shows them, or why there are none."""

    leaf: t.Optional[bytes]
    chain: t.Optional[t.Tuple[bytes, ...]]
    number: int
    trouble: t.Optional[Unobservable]


class CertificateSurvey:
    """First :meth:`trust`, then :meth:`note`. ``completed``: versions of the handshakes that the library completed.

    Its values are words and the number of the connection.
    """

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.completed: t.Dict[str, t.Tuple[str, int]] = {}
        self._shown = _Shown(None, None, 0, None)

    def trust(self, version: t.Optional[str] = None) -> None:
        """Note whether the local library trusts the chain, whatever name is in it (``certificate_trusted``).

        ``version`` is the newest one that is offered at first. Raises nothing.
        """
        self._shown = self._trust(version)

    def note(self, handshakes: t.Sequence[t.Tuple[Handshake, int]]) -> None:
        """Note the other facts. ``handshakes`` are those by hand, with their connections: before TLS 1.3 they show it.

        Raises nothing.
        """
        shown = self._shown
        for handshake, number in handshakes:
            if handshake.chain:
                shown = _Shown(handshake.chain[0], handshake.chain, number, None)
                break
        else:
            if shown.leaf is None and (shown.trouble is None or shown.trouble.side in _TLS_SIDES):
                shown = self._unchecked(shown)
        evidence = (shown.number,) if shown.number else ()
        if shown.leaf is None:
            trouble = shown.trouble or Unobservable("no certificate was sent", SERVER_REPLY)
            for name in ("certificate", "chain", "certificate_name"):
                self.visit.unseen(name, trouble, evidence)
            return
        self._note_leaf(shown.leaf, evidence)
        self._note_chain(shown.chain, evidence)

    def _trust(self, version: t.Optional[str]) -> _Shown:
        name = "certificate_trusted"
        trouble = Unobservable("not tried", NOT_ASKED)
        for limit, lowered in ([(version, False)] if version else []) + [(None, False), (None, True)]:
            try:
                context = self._careful_context(limit, lowered)
                with self.visit.secure("certificate chain checked", context, banner=False) as conversation:
                    words = "trusted: %s" % (self.visit.listener.ca_file or "the system's authorities")
                    self.visit.note(name, True, words)
                    return self._handshake_shows(conversation)
            except CertificateRefused as refusal:
                self.visit.note(name, False, refusal.reason, refusal.side)
                return _Shown(None, None, self.visit.number, None)
            except Unobservable as error:
                trouble = error
                if error.side not in _TLS_SIDES:
                    break
        self.visit.unseen(name, trouble)
        return _Shown(None, None, self.visit.number, trouble)

    def _handshake_shows(self, conversation: Conversation) -> _Shown:
        version = str(conversation.tls_version)
        self.completed.setdefault(version, ("%s %s" % (version, conversation.cipher), self.visit.number))
        return _Shown(conversation.certificate, sent_chain(conversation.tls_socket), self.visit.number, None)

    def _unchecked(self, shown: _Shown) -> _Shown:
        """What a handshake without any checking shows, where the hellos by hand show no certificate."""
        try:
            with self.visit.secure("certificate looked at", lenient_context(), banner=False) as conversation:
                return self._handshake_shows(conversation)
        except Unobservable as error:
            return _Shown(None, None, self.visit.number, shown.trouble or error)

    def _careful_context(self, limit: t.Optional[str], lowered: bool) -> ssl.SSLContext:
        context = verifying_context(self.visit.listener.ca_file)
        context.check_hostname = False
        # Python 3.13 is stricter about the form of certificates than any mail server that sends.
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
        if limit is not None:
            context.maximum_version = getattr(ssl.TLSVersion, limit.replace(".", "_"))
        if lowered:
            lenient = lenient_context()
            context.minimum_version = lenient.minimum_version
            try:
                context.set_ciphers("ALL:@SECLEVEL=0")
            except ssl.SSLError as error:
                raise Unobservable(str(error.reason), LOCAL_LIBRARY) from None
        return context

    def _note_leaf(self, der: bytes, evidence: t.Tuple[int, ...]) -> None:
        visit, name = self.visit, self.visit.listener.server_name
        try:
            leaf = Certificate(der)
        except Unreadable as error:
            trouble = Unobservable("%s (SHA-256 of the certificate: %s)" % (error.reason, fingerprint(der)), error.side)
            visit.unseen("certificate", trouble, evidence)
            visit.unseen("certificate_name", trouble if name else _NO_NAME, evidence)
            return
        visit.note("certificate", leaf.facts, leaf, evidence=evidence)
        if not name:
            visit.unseen("certificate_name", _NO_NAME, evidence)
        elif leaf.is_for(name):
            visit.note("certificate_name", True, "is for %s" % short(name), evidence=evidence)
        else:
            names = ", ".join(leaf.facts["names"][:5]) + (", ..." if len(leaf.names) > 5 else "")
            words = "is not for %s: %s" % (short(name), leaf.name_trouble or names or "it has no names")
            visit.note("certificate_name", False, words, evidence=evidence)

    def _note_chain(self, chain: t.Optional[t.Tuple[bytes, ...]], evidence: t.Tuple[int, ...]) -> None:
        if chain is None:
            words = "TLS 1.3 hides it, and Python shows it from version 3.10 on"
            self.visit.unseen("chain", Unobservable(words, LOCAL_LIBRARY), evidence)
            return
        try:
            found = [Certificate(der).without_names() for der in chain[:MAX_CHAIN]]
        except Unreadable as error:
            self.visit.unseen("chain", Unobservable(error.reason, error.side), evidence)
            return
        subjects = " < ".join(short(part["subject"], 80) or "no name" for part in found[:5])
        words = "%d certificate%s: %s" % (len(chain), "" if len(chain) == 1 else "s", subjects)
        self.visit.note("chain", found, words, evidence=evidence)
