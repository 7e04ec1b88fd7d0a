# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is due for other hosts and what of it is being tried: message ids and domains, nothing else, and not too many.

The queue file is the truth; this is the part of it that is next. Domains take turns, so that ten thousand messages
for one domain do not hold up a single one for another; nor do domains whose one host is busy.
"""

from __future__ import annotations

from collections import deque

#: Pairs of message and domain that are kept in memory, and of one domain.
LIMIT, PER_DOMAIN = 20_000, 2_000
#: Attempts under way, waiting for DNS or a place included, and of one domain.
HANDS, HANDS_PER_DOMAIN = 200, 5


class Backlog:
    """Due work and work in hand. A pair is in it at most once, so it is never tried twice at a time."""

    def __init__(
        self,
        limit: int = LIMIT,
        per_domain: int = PER_DOMAIN,
        hands: int = HANDS,
        hands_per_domain: int = HANDS_PER_DOMAIN,
    ) -> None:
        self.limit, self.per_domain = limit, per_domain
        self._hands, self._hands_per_domain = hands, hands_per_domain
        self._known: set[tuple[int, str]] = set()
        self._ready: dict[str, deque[int]] = {}
        #: Domains that have something ready and a hand free, in the order of their turns.
        self._turns: dict[str, None] = {}
        self._in_hand: dict[str, int] = {}
        self._busy = 0
        self._parked: dict[str, deque[tuple[int, str]]] = {}
        #: Pairs of a message whose attempt is not over.
        self._open: dict[int, int] = {}
        self._cut: set[str] = set()
        self._full = False

    def add(self, message: int, domain: str) -> None:
        """This is due. What there is no room for is in the queue file, and :attr:`wants_more` will tell."""
        if (message, domain) in self._known:
            return
        if len(self._known) >= self.limit:
            self._full = True
        elif len(self._ready.get(domain, ())) >= self.per_domain:
            self._cut.add(domain)
        else:
            self._known.add((message, domain))
            self._open[message] = self._open.get(message, 0) + 1
            self._ready.setdefault(domain, deque()).append(message)
            self._offer(domain)

    def begin_fill(self) -> None:
        """The queue file is about to be read: what was left out until now will be found there."""
        self._cut.clear()
        self._full = False

    def fill(self, pairs: list[tuple[int, str]], cut: bool) -> None:
        """Take what :meth:`Store.due_remote` found."""
        counts: dict[str, int] = {}
        for message, domain in pairs:
            self.add(message, domain)
            counts[domain] = counts.get(domain, 0) + 1
        if cut:
            self._full = self._full or len(pairs) >= self.limit
            self._cut.update(domain for domain, count in counts.items() if count >= self.per_domain)

    @property
    def wants_more(self) -> bool:
        """Whether the queue file holds more that is due, and there is room for it."""
        if self._full and len(self._known) <= self.limit // 2:
            return True
        return any(domain not in self._ready for domain in self._cut)

    def take(self) -> tuple[int, str] | None:
        """The next pair to try, which is then in hand; None when there is none or the hands are full."""
        if self._busy >= self._hands or not self._turns:
            return None
        domain = next(iter(self._turns))
        # To the end of the row of domains.
        del self._turns[domain]
        messages = self._ready[domain]
        message = messages.popleft()
        if not messages:
            del self._ready[domain]
        self._busy += 1
        self._in_hand[domain] = self._in_hand.get(domain, 0) + 1
        self._offer(domain)
        return message, domain

    def done(self, message: int, domain: str) -> None:
        """The attempt is over, and what came of it is in the queue file."""
        self._known.discard((message, domain))
        self._end(message)
        self._let_go(domain)

    def set_aside(self, message: int, domain: str) -> None:
        """The attempt is over; what came of it will be in the queue file, and the pair is not tried before."""
        self._end(message)
        self._let_go(domain)

    def forget(self, message: int, domain: str) -> None:
        """What was set aside is in the queue file now."""
        self._known.discard((message, domain))

    def open(self, message: int) -> int:
        """How many domains of a message are due or being tried."""
        return self._open.get(message, 0)

    def park(self, message: int, domain: str, address: str) -> None:
        """The attempt did not begin, because enough others wait for that address already."""
        self._parked.setdefault(address, deque()).append((message, domain))
        self._let_go(domain)

    def unpark(self, address: str, all_of_them: bool) -> bool:
        """There is room for one more at that address, or for all; returns whether that brought something."""
        parked = self._parked.get(address)
        if parked is None:
            return False
        while parked:
            message, domain = parked.popleft()
            # They had their turn before.
            self._ready.setdefault(domain, deque()).appendleft(message)
            self._offer(domain)
            if not all_of_them:
                break
        if not parked:
            del self._parked[address]
        return True

    def _end(self, message: int) -> None:
        left = self._open[message] - 1
        if left:
            self._open[message] = left
        else:
            del self._open[message]

    def _offer(self, domain: str) -> None:
        if domain in self._ready and self._in_hand.get(domain, 0) < self._hands_per_domain:
            self._turns.setdefault(domain)

    def _let_go(self, domain: str) -> None:
        self._busy -= 1
        left = self._in_hand[domain] - 1
        if left:
            self._in_hand[domain] = left
        else:
            del self._in_hand[domain]
        self._offer(domain)
