# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an address of this server's domains means besides the mailbox of that name.

A table of the bootstrap file::

    [local]
    subaddress = "+"                            # what begins a tag: user+tag@ is user@; empty: nothing does

    [local.aliases]
    "info@example.com" = ["anna@example.com", "boss@partner.example"]
    "@example.com" = ["office@example.com"]     # everything else at this domain
    "noreply@example.com" = []                  # taken and thrown away

    [local.lmtp]                                # who has the mailboxes of a domain, when they are no Maildirs here
    "example.com" = "unix:/run/dovecot/lmtp"    # also host:port; "" means Maildirs
    "*" = "127.0.0.1:24"                        # all other domains; lmtp = "..." in [local] is the same

An address is looked for among the aliases first, then among the accounts with the other names that the admin interface
gives them, then both without its tag, then its domain's alias for everything else. All of it happens at RCPT, so that
what nobody can get is refused there and comes back to nobody (RFC 5321 section 3.6.2: no notification to a forged sender).
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from .delivery.lmtp_place import OTHERS, Place, read_place
from .smtp.address import SyntaxRefused, parse_path

#: Addresses that one may stand for, and aliases of aliases.
MAX_TARGETS, MAX_DEPTH = 100, 10
KEYS = ("subaddress", "aliases", "lmtp")

#: Local part, domain, whether it is a mailbox of this server, and what that was called when there was a tag.
Destination = tuple[str, str, bool, str]


@dataclass(frozen=True)
class Mailboxes:
    """The values of the table. ``aliases``: (local part in lower case, domain) to addresses; an empty local part is all.
    ``lmtp``: domain to where its mailboxes are, None for Maildirs here."""

    subaddress: str = "+"
    aliases: Mapping[tuple[str, str], tuple[tuple[str, str], ...]] = field(default_factory=dict)
    lmtp: Mapping[str, Place | None] = field(default_factory=dict)

    def destinations(
        self, local: str, domain: str, account: Callable[[str, str], str | None], is_here: Callable[[str], bool]
    ) -> tuple[Destination, ...] | None:
        """Where mail for ``local@domain`` goes, each once; None when nobody has this address, empty: it is thrown away.

        ``account`` names the account that a local part and domain mean, None for none; ``is_here`` says whether a domain
        is one of this server's.
        """
        search = _Search(self, account, is_here)
        if not search.reach(local, domain, frozenset()) or len(search.found) > MAX_TARGETS:
            # Nobody rather than some of them: who sends would never learn of the others.
            return None
        return tuple((*found, called) for found, called in search.found.items())


class _Search:
    """One look-up; ``found`` fills with destinations."""

    def __init__(self, rules: Mailboxes, account, is_here) -> None:
        self._rules = rules
        self._account = account
        self._is_here = is_here
        #: To what each was called.
        self.found: dict[tuple[str, str, bool], str] = {}
        #: Aliases that were followed, and what came of it: each is followed once, however many lead to it.
        self._known: dict[tuple[str, str], bool] = {}

    def reach(self, name: str, domain: str, passed: frozenset[tuple[str, str]], tag: str = "") -> bool:
        """Find who gets mail for this address; False when nobody has it. ``passed``: aliases that led here; ``tag``: what
        was taken off the name.

        One that leads back to itself means the mailbox of that name.
        """
        aliases, separator = self._rules.aliases, self._rules.subaddress
        local = name.lower()
        if (local, domain) in aliases and (local, domain) not in passed:
            return self._follow((local, domain), passed)
        account = self._account(local, domain)
        if account is not None:
            self.found.setdefault((account, domain, True), f"{account}{tag}@{domain}" if tag else "")
            return True
        base = name.partition(separator)[0] if separator else ""
        if base and base != name and self.reach(base, domain, passed | {("", domain)}, name[len(base) :]):
            return True
        if ("", domain) in aliases and ("", domain) not in passed:
            return self._follow(("", domain), passed)
        return False

    def _follow(self, alias: tuple[str, str], passed: frozenset[tuple[str, str]]) -> bool:
        if alias in self._known:
            return self._known[alias]
        targets = self._rules.aliases[alias]
        passed |= {alias}
        if len(passed) > MAX_DEPTH or len(self.found) > MAX_TARGETS:
            return False
        reached = not targets
        for local, domain in targets:
            if self._is_here(domain):
                reached = self.reach(local, domain, passed) or reached
            else:
                self.found[local, domain, False] = ""
                reached = True
        self._known[alias] = reached
        return reached


def read(table: dict[str, t.Any], problem: Callable[[str, str, str], None]) -> Mailboxes:
    """The table as a value; ``problem(key, reason, section)`` is told of each key that cannot be used."""
    found: dict[str, t.Any] = {}
    for key, value in table.items():
        if key not in KEYS:
            problem(key, f"unknown key; known are: {', '.join(KEYS)}", "local")
        elif key == "subaddress":
            if isinstance(value, str) and len(value) <= 1 and value not in ("@", '"', "/", " "):
                found[key] = value
            else:
                problem(key, "it must be one character, or empty", "local")
        elif key == "lmtp":
            found[key] = _places(value, problem)
        elif not isinstance(value, dict):
            problem(key, 'it must be a table: "address" = ["address", ...]', "local")
        else:
            found[key] = dict(_aliases(value, problem))
    return Mailboxes(**found)


def _places(value: t.Any, problem: Callable[[str, str, str], None]) -> dict[str, Place | None]:
    """Domains, ``*`` for all others, and where their mailboxes are."""
    section, table = ("local.lmtp", value) if isinstance(value, dict) else ("local", {OTHERS: value})
    found: dict[str, Place | None] = {}
    for name, text in table.items():
        key = name if section == "local.lmtp" else "lmtp"
        try:
            if not isinstance(text, str):
                raise ValueError("it must be a text: unix:/path, host:port, or empty for Maildirs")
            domain = name if name == OTHERS else _address("x@" + name)[1]
            found[domain] = read_place(text) if text else None
        except ValueError as error:
            problem(key, str(error), section)
    return found


def _aliases(table: dict[str, t.Any], problem: Callable[[str, str, str], None]) -> Iterator:
    for name, targets in table.items():
        if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
            problem(name, "it must be a list of addresses", "local.aliases")
            continue
        try:
            key = ("", _address("x" + name)[1]) if name.startswith("@") else _address(name)
            places = tuple(dict.fromkeys(_address(target) for target in targets))
        except ValueError as error:
            problem(name, str(error), "local.aliases")
            continue
        if len(places) > MAX_TARGETS:
            problem(name, f"more than {MAX_TARGETS} addresses", "local.aliases")
        else:
            yield (key[0].lower(), key[1]), places


def _address(text: str) -> tuple[str, str]:
    """Local part and domain (A-label). Raises ValueError that names the text."""
    try:
        mailbox, parameters = parse_path(f"TO:<{text}>", "TO:", False, utf8=True)
    except SyntaxRefused as refused:
        raise ValueError(f"{text!r} is no address: {refused}") from None
    if parameters or not mailbox.domain or mailbox.literal:
        raise ValueError(f"{text!r} is no address with a domain")
    return mailbox.local_part, mailbox.domain
