# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one listener does about TLS itself: versions, cipher suites, groups, the certificate.

All but two things are asked by ClientHellos made by hand, so that the answer is the server's and never the local
library's. A refusal counts only where the server accepts something else: who refuses everything has not refused *this*.
"""

from __future__ import annotations

import typing as t

from . import enumeration
from .certificate import curve_of
from .certificate_survey import FACTS as CERTIFICATE_FACTS
from .certificate_survey import CertificateSurvey
from .enumeration import ModernSearch, OldGroupSearch, Search, SuiteSearch, wide_groups
from .library import lenient_context
from .records import ENCRYPT_THEN_MAC, EXTENDED_MASTER_SECRET, RENEGOTIATION_INFO
from .reply import LOCAL_LIBRARY, NOT_ASKED, SERVER_ALERT, SERVER_CLOSED, Unobservable
from .suites import OLD_GROUPS, VERSIONS, is_cbc, key_exchange, suites_of
from .tls import Handshake
from .visit import Visit

GROUPS_OF_FACTS = ("versions", "suites", "certificate")

#: What is asked first: without these two nothing else is worth asking.
CURRENT = ("TLSv1.2", "TLSv1.3")
#: Versions whose handshake the local library may be able to complete.
COMPLETED = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
#: Versions that say in clear what they negotiate, newest first.
OLD = ("TLSv1.2", "TLSv1.1", "TLSv1", "SSLv3")

_HELLO_FACTS = ("compression", "extended_master_secret", "secure_renegotiation", "encrypt_then_mac")
_SUITE_FACTS = ("server_preference", "dh_bits", "groups") + _HELLO_FACTS

#: What a client of today offers by itself; beyond that, a handshake that fails may be the local library's doing.
_USUAL_GROUPS = ("X25519", "P-256", "P-384", "P-521", "X448")
_USUAL_TLS13 = ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256")


def survey(visit: Visit, checks: t.Container[str]) -> None:
    """Note the facts of the groups versions, suites and certificate, as far as they are asked for.

    Raises nothing for what a server or network does. What has to come in between can: see :class:`TlsSurvey`.
    """
    found = TlsSurvey(visit, checks)
    found.begin()
    found.finish()


def fact_names(checks: t.Container[str]) -> t.List[str]:
    """The facts that :func:`survey` notes in any case, whatever the server does."""
    found = ["version.%s" % version for version in VERSIONS] if "versions" in checks else []
    found += _SUITE_FACTS if "suites" in checks else ()
    found += CERTIFICATE_FACTS if "certificate" in checks else ()
    return found


class _Unasked(Handshake):
    """A connection that did not come as far as the ClientHello: who closed it has refused none of what was in there."""

    @property
    def refused(self) -> bool:
        return False


class TlsSurvey:
    """The survey in two parts: :meth:`begin` is versions and certificate, :meth:`finish` the many offers of suites."""

    def __init__(self, visit: Visit, checks: t.Container[str]) -> None:
        self.visit = visit
        self.wanted = [name for name in GROUPS_OF_FACTS if name in checks]
        #: The first handshake of each version that was offered, and the connection that shows it.
        self.first: t.Dict[str, t.Tuple[Handshake, int]] = {}
        #: Accepted handshakes of TLS 1.2 and older, with their connections.
        self._seen: t.List[t.Tuple[Handshake, int]] = []
        self._searches: t.List[Search] = []
        #: Numbers of connections by their purpose.
        self._numbers: t.Dict[str, t.List[int]] = {}
        #: Versions that were refused by closing, by a server that then closed at everything.
        self._doubted: t.Set[str] = set()

    def begin(self) -> None:
        """Versions and certificate."""
        if not self.wanted:
            return
        self._offer_versions(CURRENT)
        current = [self.first[version][0] for version in CURRENT]
        unasked = all(isinstance(handshake, _Unasked) for handshake in current)
        if unasked and self._conversed() is None and self.visit.no_tls is None:
            # Nobody got as far as a ClientHello, twice: there is nothing to be had by knocking on.
            self.visit.no_tls = Unobservable(current[-1].detail, current[-1].side)
        certificate = CertificateSurvey(self.visit) if "certificate" in self.wanted else None
        if certificate is not None:
            # With TLS 1.2 the same handshake shows that this version can be completed as well.
            certificate.trust("TLSv1.2" if self._accepts("TLSv1.2") and self._conversed() == "TLSv1.3" else None)
        if self.wanted != ["certificate"] or not self._accepted():
            self._offer_versions([version for version in VERSIONS if version not in CURRENT])
            self._control_versions()
        if self.wanted != ["certificate"]:
            self._note_versions()
        if certificate is not None:
            certificate.note([self.first[version] for version in OLD if version in self.first])
        if "versions" in self.wanted:
            self._complete_versions({} if certificate is None else certificate.completed)

    def finish(self) -> None:
        """Suites and groups; after :meth:`begin`."""
        if "suites" not in self.wanted:
            return
        searches = [self._suite_search(version) for version in OLD if self._accepts(version)]
        modern = ModernSearch(self._offer, self.first["TLSv1.3"][0]) if self._accepts("TLSv1.3") else None
        self._searches = list(searches) + ([modern.suites, modern.groups] if modern is not None else [])
        enumeration.sample_weak(searches)
        for search in searches[:1]:
            search.diffie_hellman()
        if modern is not None:
            modern.run()
        enumeration.sample_poor(searches)
        old_groups = self._old_groups(searches, modern)
        order = self._order(searches)
        enumeration.all_suites(searches)
        if order is None:
            order = self._order(searches)
        self._control_searches()
        self._note_suites(searches, modern)
        self._note_groups(old_groups, modern, searches)
        self._note_order(order, searches)
        self._note_dh(searches)
        self._note_hello_facts(searches)

    # ---- connections

    def _offer(
        self, version: str, ciphers: t.Optional[t.Sequence[str]], purpose: str, **hello: t.Any
    ) -> Handshake:
        try:
            handshake = self.visit.offer(version, ciphers, purpose, **hello)
        except Unobservable as error:
            return _Unasked(False, side=error.side, detail=error.reason)
        self._numbers.setdefault(purpose, []).append(self.visit.number)
        if handshake.accepted:
            for search in self._searches:
                search.doubtful.clear()
            if version != "TLSv1.3":
                self._seen.append((handshake, self.visit.number))
        return handshake

    def _accepts(self, version: str) -> bool:
        return version in self.first and self.first[version][0].accepted

    def _accepted(self) -> t.List[str]:
        # The newest first: an old one may be accepted by something in front of the server.
        return [version for version in reversed(list(VERSIONS)) if self._accepts(version)]

    # ---- versions

    def _offer_versions(self, versions: t.Sequence[str]) -> None:
        for version in versions:
            hello: t.Dict[str, t.Any] = {}
            if version not in ("SSLv2", "SSLv3"):
                hello["groups"] = wide_groups(version)
            if version not in ("SSLv2", "TLSv1.3"):
                hello["compression"] = True
            handshake = self._offer(version, None, "%s offered" % version, **hello)
            self.first[version] = (handshake, self.visit.number)

    def _control_versions(self) -> None:
        """Look whether the server still accepts what it accepted before, if it closed at old versions."""
        accepted = self._accepted()
        # An accepted offer behind the closing shows that the server was not tired of its client.
        latest = max([self.first[version][1] for version in accepted] or [0])
        doubtful = [
            version
            for version, (handshake, number) in self.first.items()
            if handshake.side == SERVER_CLOSED and number > latest
        ]
        if not accepted or not doubtful:
            return
        control = self._control(accepted[0])
        if control.accepted:
            return
        for version in doubtful:
            handshake, number = self.first[version]
            words = "%s, but now at %s too (%s)" % (handshake.detail, accepted[0], control.detail)
            self.first[version] = (Handshake(False, side=control.side, detail=words), number)
            self._doubted.add(version)

    def _control(self, version: str) -> Handshake:
        """Offer again what was accepted. A server that closes now talks to nobody like us any more."""
        control = self._offer(version, None, "%s offered again" % version, groups=wide_groups(version))
        if control.side == SERVER_CLOSED:
            self.visit.budget.blocked("closes at %s, which it accepted before" % version)
        return control

    def _is_unseen(self, version: str) -> bool:
        handshake = self.first[version][0]
        return not handshake.accepted and (not handshake.refused or version in self._doubted)

    def _note_versions(self) -> None:
        control = bool(self._accepted()) or self._conversed() is not None
        for version in VERSIONS:
            handshake, number = self.first[version]
            name, evidence = "version.%s" % version, self._evidence(number)
            if handshake.accepted:
                self.visit.note(name, True, handshake, evidence=evidence)
            elif self._is_unseen(version):
                self.visit.unseen(name, Unobservable(handshake.detail, handshake.side), evidence)
            elif not control and (handshake.side, handshake.detail) != (SERVER_ALERT, "protocol_version"):
                words = "refuses (%s), but takes nothing else either" % handshake
                self.visit.unseen(name, Unobservable(words, handshake.side), evidence)
            else:
                self.visit.note(name, False, handshake, handshake.side, evidence)

    @staticmethod
    def _evidence(number: int) -> t.Tuple[int, ...]:
        return (number,) if number else ()

    # ---- handshakes that the local library completes

    def _conversed(self) -> t.Optional[str]:
        """The version of the conversation that came before, None when there was none inside TLS."""
        session = self.visit.facts.get("tls_session")
        found = session.value if session is not None and session.observable else None
        return found.get("version") if isinstance(found, dict) else None

    def _complete_versions(self, completed: t.Dict[str, t.Tuple[str, int]]) -> None:
        conversed = self._conversed()
        if conversed is not None:
            evidence = self.visit.facts["tls_session"].evidence or (0,)
            completed.setdefault(conversed, ("in the conversation", evidence[0]))
        for version in COMPLETED:
            if self._accepts(version) and version in completed:
                words, number = completed[version]
                self.visit.note("version_completed.%s" % version, True, words, evidence=self._evidence(number))
            elif self._accepts(version):
                self._complete(version)

    def _complete(self, version: str) -> None:
        name, begun = "version_completed.%s" % version, self.first[version][0]
        try:
            with self.visit.secure("%s completed" % version, lenient_context(version), banner=False) as conversation:
                words = "%s %s" % (conversation.tls_version, conversation.cipher)
        except Unobservable as error:
            missing = _beyond_the_library(begun)
            if error.side not in (SERVER_ALERT, SERVER_CLOSED):
                self.visit.unseen(name, error)
            elif missing:
                self.visit.unseen(name, Unobservable("the local library does not offer %s" % missing, LOCAL_LIBRARY))
            else:
                self.visit.note(name, False, "%s, but then %s" % (begun, error), error.side)
        else:
            self.visit.note(name, True, words)

    # ---- suites and groups

    def _suite_search(self, version: str) -> SuiteSearch:
        return SuiteSearch(version, self._offer, suites_of(version), self.first[version][0])

    def _old_groups(
        self, searches: t.Sequence[SuiteSearch], modern: t.Optional[ModernSearch]
    ) -> t.Optional[OldGroupSearch]:
        """Curves before TLS 1.3, of the newest version that may have any."""
        for search in searches:
            suites = [name for name in search.found if key_exchange(name) == "ECDHE"] or search.left(exchange="ECDHE")
            if not suites or search.version == "SSLv3":
                continue
            known = [name for name in modern.groups.found if name in OLD_GROUPS] if modern is not None else []
            own = None
            if any("ECDSA" in name for name in suites):
                own = curve_of((self.first[search.version][0].chain or (b"",))[0])
            groups = OldGroupSearch(search.version, self._offer, suites, known, own)
            self._searches.append(groups)
            groups.run()
            return groups
        return None

    @staticmethod
    def _order(searches: t.Sequence[SuiteSearch]) -> t.Optional[str]:
        for search in searches:
            if len(search.found) > 1:
                return search.whose_order()
        return None

    def _control_searches(self) -> None:
        """Where the server closed, and accepted nothing since: does it still accept what it accepted before?"""
        if not any(search.doubtful for search in self._searches) or not self._accepted():
            return
        control = self._control(self._accepted()[0])
        if not control.accepted:
            for search in self._searches:
                search.doubt(control)

    def _trouble(self, searches: t.Sequence[t.Optional[Search]]) -> t.Optional[Handshake]:
        for search in searches:
            if search is not None and search.trouble is not None:
                return search.trouble
        return None

    def _versions_trouble(self, versions: t.Sequence[str]) -> t.Optional[Unobservable]:
        """Why it is not known whether some of these versions are accepted; None when it is known of all."""
        for version in versions:
            fact = self.visit.facts["version.%s" % version]
            if not fact.observable:
                return Unobservable(fact.seen, fact.side)
        return None

    def _note_suites(self, searches: t.Sequence[SuiteSearch], modern: t.Optional[ModernSearch]) -> None:
        for search in searches:
            self._note_list(search.version, search, search.complete)
        if modern is not None:
            complete = modern.suites.trouble is None and not modern.suites_left()
            self._note_list("TLSv1.3", modern.suites, complete)
        for version in VERSIONS:
            fact = self.visit.facts["version.%s" % version]
            if version != "SSLv2" and not fact.observable:
                self.visit.unseen("suites.%s" % version, Unobservable(fact.seen, fact.side), fact.evidence)

    def _note_list(self, version: str, search: Search, complete: bool) -> None:
        side, words = "", _listed(search.found, "suite")
        if not complete:
            trouble = search.trouble or Handshake(False, side=NOT_ASKED, detail="not tried")
            side, words = trouble.side, "%s; not all were tried: %s" % (words, trouble.detail)
        value = {"accepted": list(search.found), "complete": complete}
        self.visit.note("suites.%s" % version, value, words, side, self._suite_numbers(version))

    def _suite_numbers(self, version: str) -> t.List[int]:
        """The connections that show the suites of a version."""
        found = [self.first[version][1]]
        for purpose, numbers in self._numbers.items():
            if purpose.startswith(version + ": ") and not purpose.endswith(": groups"):
                found += numbers
        return found

    def _note_groups(
        self,
        old: t.Optional[OldGroupSearch],
        modern: t.Optional[ModernSearch],
        searches: t.Sequence[SuiteSearch],
    ) -> None:
        found = list(modern.groups.found) if modern is not None else []
        found += [name for name in (old.found if old is not None else ()) if name not in found]
        trouble = self._trouble([modern.groups if modern is not None else None, old])
        unknown = self._versions_trouble(OLD[:3] + ("TLSv1.3",))
        if trouble is None and unknown is not None:
            trouble = Handshake(False, side=unknown.side, detail=unknown.reason)
        if trouble is None and old is None:
            trouble = next((search.trouble for search in searches if search.left(exchange="ECDHE")), None)
        if not found and trouble is not None:
            self.visit.unseen("groups", Unobservable(trouble.detail, trouble.side))
            return
        words = _listed(found, "group")
        if trouble is not None:
            words = "%s; not all were tried: %s" % (words, trouble.detail)
        numbers = [number for purpose, made in self._numbers.items() if purpose.endswith("groups") for number in made]
        numbers += [self.first[version][1] for version in ("TLSv1.3",) + OLD if self._accepts(version)]
        value = {"accepted": found, "complete": trouble is None}
        self.visit.note("groups", value, words, trouble.side if trouble is not None else "", numbers)

    def _note_order(self, order: t.Optional[str], searches: t.Sequence[SuiteSearch]) -> None:
        if order is not None:
            words = {"server": "the server's order decides", "client": "the client's order decides"}[order]
            version = next(search.version for search in searches if len(search.found) > 1)
            self.visit.note("server_preference", order, words, evidence=self._suite_numbers(version))
            return
        self._does_not_apply("server_preference", searches, "no two suites of TLS 1.2 or older to choose from")

    def _does_not_apply(self, name: str, searches: t.Sequence[SuiteSearch], words: str) -> None:
        """Not observable: for want of an answer, or because there is nothing to look at (then no side is named)."""
        trouble = self._trouble(searches)
        error = self._versions_trouble(OLD) or Unobservable(words, "")
        if trouble is not None:
            error = Unobservable(trouble.detail, trouble.side)
        numbers = [number for search in searches for number in self._suite_numbers(search.version)]
        self.visit.unseen(name, error, numbers or [self.first[version][1] for version in OLD if self.first[version][1]])

    def _note_dh(self, searches: t.Sequence[SuiteSearch]) -> None:
        primes = [(handshake.dh_bits, handshake, number) for handshake, number in self._seen if handshake.dh_bits]
        if not primes:
            self._does_not_apply("dh_bits", searches, "no DHE suite is accepted")
            return
        bits, handshake, number = min(primes, key=lambda prime: prime[0])
        words = "%d bits with %s, %s" % (bits, handshake.cipher, handshake.version)
        self.visit.note("dh_bits", bits, words, "", (number,))

    def _note_hello_facts(self, searches: t.Sequence[SuiteSearch]) -> None:
        if not searches:
            for name in _HELLO_FACTS:
                self._does_not_apply(name, searches, "nothing older than TLS 1.3 is accepted")
            return
        version = searches[0].version
        seen = [(handshake, number) for handshake, number in self._seen if handshake.version == version]
        handshake, number = seen[0]
        words = "DEFLATE" if handshake.compressed else "none"
        self.visit.note("compression", handshake.compressed, words, "", (number,))
        for name, extension, words in (
            ("extended_master_secret", EXTENDED_MASTER_SECRET, "extended master secret"),
            ("secure_renegotiation", RENEGOTIATION_INFO, "secure renegotiation"),
        ):
            self._note_extension(name, seen[:1], extension, words)
        blocks = [pair for pair in seen if is_cbc(str(pair[0].cipher))]
        if blocks:
            self._note_extension("encrypt_then_mac", blocks, ENCRYPT_THEN_MAC, "encrypt-then-MAC")
        else:
            self._does_not_apply("encrypt_then_mac", searches, "no CBC suite of %s is accepted" % version)

    def _note_extension(
        self, name: str, seen: t.Sequence[t.Tuple[Handshake, int]], extension: int, words: str
    ) -> None:
        without = [pair for pair in seen if extension not in pair[0].extensions]
        handshake, number = (without or seen)[0]
        said = "without %s" % words if without else "with %s" % words
        self.visit.note(name, not without, "%s, %s %s" % (handshake.version, handshake.cipher, said), "", (number,))


def _listed(names: t.Sequence[str], noun: str) -> str:
    if not names:
        return "no %s" % noun
    return "%d %s%s: %s" % (len(names), noun, "" if len(names) == 1 else "s", ", ".join(names))


def _beyond_the_library(handshake: Handshake) -> str:
    """What of a handshake that was begun by hand the local library does not offer; "" when it offers all of it."""
    if handshake.version == "TLSv1.3":
        known: t.Iterable[str] = _USUAL_TLS13
    else:
        known = [cipher["name"] for cipher in lenient_context().get_ciphers()]
    if handshake.cipher not in known:
        return str(handshake.cipher)
    return "" if handshake.group is None or handshake.group in _USUAL_GROUPS else handshake.group
