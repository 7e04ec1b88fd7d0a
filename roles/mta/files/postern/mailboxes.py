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

An address is looked for among the aliases first, then among the accounts with the other names that the admin interface
gives them, then both without its tag, then its domain's alias for everything else. All of it happens at RCPT, so that
what nobody can get is refused there and comes back to nobody (RFC 5321 section 3.6.2: no notification to a forged sender).
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from .smtp.address import SyntaxRefused, parse_path

#: Addresses that one may stand for, and aliases of aliases.
MAX_TARGETS, MAX_DEPTH = 100, 10
KEYS = ("subaddress", "aliases")

#: Local part, domain, and whether it is a mailbox of this server.
Destination = tuple[str, str, bool]


@dataclass(frozen=True)
class Mailboxes:
    """The values of the table. ``aliases``: (local part in lower case, domain) to addresses; an empty local part is all."""

    subaddress: str = "+"
    aliases: Mapping[tuple[str, str], tuple[tuple[str, str], ...]] = field(default_factory=dict)

    def destinations(
        self, local: str, domain: str, account: Callable[[str, str], str | None], is_here: Callable[[str], bool]
    ) -> tuple[Destination, ...] | None:
        """Where mail for ``local@domain`` goes, each once; None when nobody has this address, empty: it is thrown away.

        ``account`` names the account that a local part and domain mean, None for none; ``is_here`` says whether a domain
        is one of this server's.
        """
        search = _Search(self, account, is_here)
        return tuple(search.found)[:MAX_TARGETS] if search.reach(local.lower(), domain, frozenset()) else None


class _Search:
    """One look-up; ``found`` fills with destinations."""

    def __init__(self, rules: Mailboxes, account, is_here) -> None:
        self._rules = rules
        self._account = account
        self._is_here = is_here
        self.found: dict[Destination, None] = {}

    def reach(self, local: str, domain: str, passed: frozenset[tuple[str, str]]) -> bool:
        """Find who gets mail for this address; False when nobody has it. ``passed``: aliases that led here.

        One that leads back to itself means the mailbox of that name.
        """
        aliases, separator = self._rules.aliases, self._rules.subaddress
        if (local, domain) in aliases and (local, domain) not in passed:
            return self._follow((local, domain), passed)
        account = self._account(local, domain)
        if account is not None:
            self.found[account, domain, True] = None
            return True
        base = local.partition(separator)[0] if separator else ""
        if base and base != local and self.reach(base, domain, passed | {("", domain)}):
            return True
        if ("", domain) in aliases and ("", domain) not in passed:
            return self._follow(("", domain), passed)
        return False

    def _follow(self, alias: tuple[str, str], passed: frozenset[tuple[str, str]]) -> bool:
        targets = self._rules.aliases[alias]
        passed |= {alias}
        if len(passed) > MAX_DEPTH or len(self.found) > MAX_TARGETS:
            return False
        reached = not targets
        for local, domain in targets:
            if self._is_here(domain):
                reached = self.reach(local.lower(), domain, passed) or reached
            else:
                self.found[local, domain, False] = None
                reached = True
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
        elif not isinstance(value, dict):
            problem(key, 'it must be a table: "address" = ["address", ...]', "local")
        else:
            found[key] = dict(_aliases(value, problem))
    return Mailboxes(**found)


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
