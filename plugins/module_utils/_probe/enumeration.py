# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find out what a server accepts by offering much, taking out what it chose, and offering the rest until it refuses.

A server names only what it chooses, so that each suite and each group that it accepts costs a connection; all that it
refuses together costs one. What is bad is looked for first, so that a search that has to end early still shows it.
"""

from __future__ import annotations

import typing as t

from .records import OFFERED_GROUPS
from .reply import SERVER_CLOSED, SERVER_REPLY
from .suites import OLD_GROUPS, TLS13_GROUPS, WEAK_FAMILIES, all_suites_of, family, key_exchange
from .tls import Handshake

#: Forward secrecy or authenticated encryption is missing (RFC 9325 section 4.1).
POOR_FAMILIES = ("rsa", "cbc")
SOUND_FAMILIES = ("dhe", "ecdhe")

#: ``offer(version, ciphers, purpose, **hello)``: one connection. Raises nothing.
Offer = t.Callable[..., Handshake]


def wide_groups(version: str) -> t.Tuple[str, ...]:
    """All groups that a hello of ``version`` may name, what clients usually offer first."""
    table = TLS13_GROUPS if version == "TLSv1.3" else OLD_GROUPS
    return OFFERED_GROUPS + tuple(name for name in table if name not in OFFERED_GROUPS)


class Search:
    """What a search knows: ``found`` in the order of finding, ``refused``, and why it ended early.

    ``trouble`` is the handshake that showed nothing, None while there was none.
    """

    def __init__(self) -> None:
        self.found: t.List[str] = []
        self.refused: t.Set[str] = set()
        self.trouble: t.Optional[Handshake] = None
        #: Refused by closing since the server last accepted something: a server that has had enough closes too.
        self.doubtful: t.Set[str] = set()

    def open(self, names: t.Iterable[str]) -> t.List[str]:
        """Those of the names that are neither found nor refused."""
        return [name for name in names if name not in self.found and name not in self.refused]

    def refuse(self, names: t.Iterable[str], handshake: Handshake) -> None:
        """Take down that the server refused all of these together."""
        names = set(names)
        self.refused |= names
        if handshake.side == SERVER_CLOSED:
            self.doubtful |= names

    def doubt(self, control: Handshake) -> None:
        """``control`` showed that the server closes whatever it is offered now: what it closed at is not refused."""
        if self.doubtful:
            self.trouble = self.trouble or control


class SuiteSearch(Search):
    """The suites that one version accepts; ``first`` is the handshake that shows that ``version`` is accepted.

    ``choices`` are the offers with what was chosen from each.
    """

    def __init__(self, version: str, offer: Offer, offered: t.Sequence[str], first: Handshake) -> None:
        super().__init__()
        self.version = version
        self._offer = offer
        self.choices: t.List[t.Tuple[t.Tuple[str, ...], str]] = []
        self._take(offered, first)

    @property
    def complete(self) -> bool:
        """Whether every suite of the table is either found or refused."""
        return not self.left() and self.trouble is None

    def left(self, families: t.Optional[t.Container[str]] = None, exchange: t.Optional[str] = None) -> t.List[str]:
        """What is neither found nor refused, of some families or one kind of key exchange."""
        return [
            name
            for name in self.open(all_suites_of(self.version))
            if (families is None or family(name) in families)
            and (exchange is None or key_exchange(name) == exchange)
        ]

    def ask(self, names: t.Sequence[str], what: str) -> bool:
        """Offer these; True when one of them was chosen."""
        handshake = self._offer(self.version, names, "%s: %s" % (self.version, what), groups=wide_groups(self.version))
        if handshake.accepted:
            return self._take(names, handshake)
        if handshake.refused:
            self.refuse(names, handshake)
        else:
            self.trouble = handshake
        return False

    def _take(self, offered: t.Sequence[str], handshake: Handshake) -> bool:
        name = str(handshake.cipher)
        self.choices.append((tuple(offered), name))
        if name not in self.found:
            self.found.append(name)
        return True

    def sample(self, families: t.Sequence[str], what: str) -> None:
        """Find one suite of each of these families that the server accepts."""
        there = {family(name) for name in self.found}
        left = [name for name in self.left(families) if family(name) not in there]
        while left and self.trouble is None and self.ask(left, what):
            there.add(family(self.found[-1]))
            left = [name for name in left if family(name) not in there]

    def all_of(self, families: t.Sequence[str], what: str) -> None:
        """Find every suite of these families that the server accepts."""
        left = self.left(families)
        while left and self.trouble is None and self.ask(left, what):
            left = self.left(families)

    def diffie_hellman(self) -> None:
        """Have one DHE suite chosen, if the server has any and none was yet."""
        if self.trouble is None and not any(key_exchange(name) == "DHE" for name in self.found):
            left = self.left(POOR_FAMILIES + SOUND_FAMILIES, "DHE")
            if left:
                self.ask(left, "DHE suites")

    def whose_order(self) -> t.Optional[str]:
        """Whose order of suites decides: "server" or "client"; None when it cannot be told.

        One suite was chosen where another accepted one stood before it: the server's. Where it stood behind, it is
        offered once more with the two the other way round.
        """
        pairs = sorted(
            {
                (chosen, other)
                for offered, chosen in self.choices
                for other in self.found
                if other in offered and other != chosen
            },
            # Servers may let a client that puts ChaCha20 first have its way, and nobody else.
            key=lambda pair: ("CHACHA" in pair[0] + pair[1], self.found.index(pair[0]), self.found.index(pair[1])),
        )
        for chosen, other in pairs:
            for offered, name in self.choices:
                if name == chosen and other in offered and offered.index(other) < offered.index(chosen):
                    return "server"
        if not pairs or self.trouble is not None:
            return None
        chosen, other = pairs[0]
        if not self.ask([other, chosen], "order of suites"):
            return None
        return "server" if self.choices[-1][1] == chosen else "client"


def sample_weak(searches: t.Sequence[SuiteSearch]) -> None:
    """First of all: which families of weak suites there are."""
    for search in searches:
        search.sample(WEAK_FAMILIES, "weak suites")


def sample_poor(searches: t.Sequence[SuiteSearch]) -> None:
    """Then whether there are suites without forward secrecy, and without authenticated encryption."""
    for search in searches:
        search.sample(POOR_FAMILIES, "suites without forward secrecy or in CBC mode")


def all_suites(searches: t.Sequence[SuiteSearch]) -> None:
    """Then all of them, the weak ones of all versions before the sound ones of any."""
    for families, what in (
        (WEAK_FAMILIES, "weak suites"),
        (POOR_FAMILIES, "suites without forward secrecy or in CBC mode"),
        (SOUND_FAMILIES, "other suites"),
    ):
        for search in searches:
            search.all_of(families, what)


class ModernSearch:
    """Suites and groups of TLS 1.3, which a server chooses independently: one connection shows one of each.

    No key share is sent, so that the server says in a HelloRetryRequest which group it would have (RFC 8446 section
    4.1.4). ``first`` is the handshake that showed that TLS 1.3 is accepted.
    """

    VERSION = "TLSv1.3"

    def __init__(self, offer: Offer, first: Handshake) -> None:
        self._offer = offer
        self.suites, self.groups = Search(), Search()
        self._without_share = False
        if first.cipher in all_suites_of(self.VERSION):
            self.suites.found.append(str(first.cipher))
        if first.group in TLS13_GROUPS:
            self.groups.found.append(str(first.group))

    def suites_left(self) -> t.List[str]:
        """Suites that are neither found nor refused."""
        return self.suites.open(all_suites_of(self.VERSION))

    def groups_left(self) -> t.List[str]:
        """Groups that are neither found nor refused."""
        return self.groups.open(wide_groups(self.VERSION))

    def run(self) -> None:
        """All of it. Both ends may stay open when the server stops answering."""
        if not self.suites.found or not self.groups.found:
            self._end(Handshake(False, side=SERVER_REPLY, detail="chose what was not offered"))
            return
        while self.suites.trouble is None and (self.suites_left() or self.groups_left()):
            suites, groups = self.suites_left(), self.groups_left()
            handshake = self._ask(suites or self.suites.found, groups or self.groups.found)
            if handshake.accepted:
                if not self._take(handshake):
                    self._end(Handshake(False, side=SERVER_REPLY, detail="chooses what was not offered"))
            elif not handshake.refused:
                self._end(handshake)
            elif not self._without_share and not self._works_without_share(handshake):
                self._only_suites(suites)
                return
            elif suites and groups:
                self._which(suites, groups, handshake)
            elif suites:
                self.suites.refuse(suites, handshake)
            else:
                self.groups.refuse(groups, handshake)

    def _which(self, suites: t.List[str], groups: t.List[str], refusal: Handshake) -> None:
        # Was it the suites or the groups? With suites that are known to be good it can only be the groups.
        handshake = self._ask(self.suites.found, groups)
        if handshake.accepted:
            self.suites.refuse(suites, refusal)
            self._take(handshake)
        elif handshake.refused:
            self.groups.refuse(groups, handshake)
        else:
            self._end(handshake)

    def _works_without_share(self, refusal: Handshake) -> bool:
        handshake = self._ask(self.suites.found, self.groups.found)
        self._without_share = handshake.accepted
        if not handshake.accepted:
            words = "does not answer an offer without a key share (%s)" % refusal
            self.groups.trouble = Handshake(False, side=handshake.side, detail=words)
        return handshake.accepted

    def _only_suites(self, left: t.List[str]) -> None:
        # A server that never asks for another group: its suites can be had with the share that it took.
        while left and self.suites.trouble is None:
            handshake = self._offer(self.VERSION, left, "%s: suites" % self.VERSION)
            if handshake.accepted and handshake.cipher in left:
                self.suites.found.append(handshake.cipher)
            elif handshake.refused:
                self.suites.refuse(left, handshake)
            else:
                self.suites.trouble = handshake
            left = self.suites_left()

    def _ask(self, suites: t.Sequence[str], groups: t.Sequence[str]) -> Handshake:
        handshake = self._offer(
            self.VERSION, suites, "%s: suites and groups" % self.VERSION, groups=tuple(groups), key_share=False
        )
        self._without_share = self._without_share or handshake.accepted
        return handshake

    def _take(self, handshake: Handshake) -> bool:
        news = False
        if handshake.cipher in self.suites_left():
            self.suites.found.append(handshake.cipher)
            news = True
        if handshake.group in self.groups_left():
            self.groups.found.append(handshake.group)
            news = True
        return news

    def _end(self, handshake: Handshake) -> None:
        self.suites.trouble = self.suites.trouble or handshake
        self.groups.trouble = self.groups.trouble or handshake


class OldGroupSearch(Search):
    """The curves of ECDHE before TLS 1.3, less those that are ``known`` already. ``suites`` are ECDHE ones.

    ``own_curve`` is that of an ECDSA certificate. Many servers want to see it in the offer too (RFC 8422 section 5.3).
    What such a server does not choose where its own curve stands last, nobody can have: with that curve it chooses
    something else, and without it it refuses.
    """

    def __init__(
        self,
        version: str,
        offer: Offer,
        suites: t.Sequence[str],
        known: t.Sequence[str] = (),
        own_curve: t.Optional[str] = None,
    ) -> None:
        super().__init__()
        self.version = version
        self._offer = offer
        self._suites = tuple(suites)
        self._left = [name for name in wide_groups(version) if name not in known]
        self._own = own_curve if own_curve in OLD_GROUPS else None

    def run(self) -> None:
        """All of it."""
        last: t.List[str] = []
        while self._left and self.trouble is None:
            handshake = self._ask(self._left + last)
            if handshake.accepted and handshake.group in self._left:
                self.found.append(handshake.group)
                self._left.remove(handshake.group)
            elif handshake.refused and self._own and self._own not in self._left + last:
                last = [self._own]
            elif handshake.refused or handshake.accepted and handshake.group in last:
                self.refuse(self._left, handshake)
                return
            elif handshake.accepted:
                self.trouble = Handshake(False, side=SERVER_REPLY, detail="chooses a group that was not offered")
            else:
                self.trouble = handshake

    def _ask(self, groups: t.Sequence[str]) -> Handshake:
        return self._offer(self.version, self._suites, "%s: groups" % self.version, groups=tuple(groups))
