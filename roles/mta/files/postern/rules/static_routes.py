# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Static routes: what the bootstrap file says about mail for a domain, whatever the policy script does.

::

    [[route]]
    domain = "partner.example"            # ".partner.example": what is below it; "*": all other domains
    host = "mail.partner.example"         # none: the domain's mail exchangers
    port = 25
    tls = "starttls"                      # or "implicit": TLS from the first byte
    level = "secure"                      # the least that TLS must be: none may encrypt verify secure fingerprint
    match = ["mail.partner.example"]      # names for level secure; none: the domain's, or the host's
    fingerprints = []                     # for level fingerprint: SHA-256 of certificates or keys
    versions = ["TLSv1.2", "TLSv1.3"]
    user = ""                             # login at the host
    password_file = ""                    # one line; the server's user reads it

A route is where a message goes and the least that TLS must be. The script's ``onRelay`` can name another host, and it
can raise the level: of both wishes the stricter one holds, in level, versions, names and fingerprints.
"""

from __future__ import annotations

import os
import typing as t
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from .domain import domain_name
from .errors import PolicyError
from .relay import (
    MAX_FINGERPRINTS, SMTP_PORT, SUBMISSIONS_PORT, VERSIONS, Relay, RelayRefused, fingerprint, host_or_address,
    match_name, stricter,
)  # fmt: skip
from .variables import LEVELS

#: Every domain that has no route of its own.
EVERY_DOMAIN = "*"
#: Octets of a password file; a larger one is something else.
MAX_PASSWORD = 4096

_TLS_STATUS = "4.7.5"
#: By these the script says what TLS must be.
_ABOUT_TLS = frozenset(("tlslevel", "sslenabled", "allowstarttls"))


class PasswordUnreadable(Exception):
    """A password file cannot be used; the text names it and never what is in it."""


@dataclass(frozen=True)
class Route:
    """One table. ``domain`` is canonical; ``level`` and ``versions`` are empty and ``port`` is 0 where it says nothing.

    ``implicit``: TLS from the first byte, None where nothing is said. The other fields are those of
    :class:`~.relay.Relay`; ``password_file`` is a path.
    """

    domain: str
    host: str = ""
    port: int = 0
    implicit: bool | None = None
    level: str = ""
    match: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    user: str = ""
    password_file: str = ""

    @property
    def begins_with_tls(self) -> bool:
        """Whether the host speaks TLS from the first byte."""
        return self.port == SUBMISSIONS_PORT if self.implicit is None else self.implicit

    def password(self) -> str:
        """What the file holds, without the line's end. Raises :class:`PasswordUnreadable`."""
        if not self.password_file:
            return ""
        try:
            with open(self.password_file, "rb") as file:
                content = file.read(MAX_PASSWORD + 1)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise PasswordUnreadable(f"password file {self.password_file}: {reason}") from None
        try:
            found = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            found = ""
        if not found or len(content) > MAX_PASSWORD or set(found) & set("\r\n\0"):
            raise PasswordUnreadable(f"password file {self.password_file}: it must hold one line of UTF-8 text")
        return found


class Routes:
    """All routes; ``every`` domain has at most one that counts: its own, else the nearest parent's, else ``*``."""

    def __init__(self, routes: Sequence[Route] = ()) -> None:
        self._routes = {route.domain: route for route in routes}

    def find(self, domain: str) -> Route | None:
        """The route of a recipient domain (A-label; an address literal has no parents)."""
        found = (self._routes[name] for name in _covering(domain.lower().rstrip(".")) if name in self._routes)
        return next(found, None)

    def hold(self, domain: str, relay: Relay, said: Collection[str]) -> Relay:
        """What the script decided and the domain's route together are; ``said`` are the variables that it has set.

        Raises :class:`~.relay.RelayRefused` when there is nothing that both would accept.
        """
        route = self.find(domain) if self._routes else None
        if route is None:
            return relay
        by_script = relay.level if relay.implicit or not _ABOUT_TLS.isdisjoint(said) else ""
        level = stricter(route.level, by_script or LEVELS[0]) if route.level else relay.level
        if route.begins_with_tls:
            level = stricter(level, "encrypt")
        relay = _sent(relay, route, said)
        if relay.implicit:
            level = stricter(level, "encrypt")
        return replace(
            relay,
            level=level,
            versions=_both(relay.versions, route.versions, "TLS versions", route, "allowedsslversions" in said),
            match=_common(relay.match, route) if level == "secure" else relay.match,
            fingerprints=_both(relay.fingerprints, route.fingerprints, "fingerprints", route, bool(relay.fingerprints)),
            reason=f"static route {route.domain}" if level == route.level != by_script else relay.reason,
        )


def _covering(domain: str) -> Iterator[str]:
    yield domain
    place = -1 if domain.startswith("[") else domain.find(".")
    while place >= 0:
        yield domain[place:]
        place = domain.find(".", place + 1)
    yield EVERY_DOMAIN


def _sent(relay: Relay, route: Route, said: Collection[str]) -> Relay:
    """Where it goes. A host of the script comes with the script's port and login, and with nothing of the route's."""
    if relay.host:
        return relay
    if not route.host:
        port = relay.port if "remotesmtpport" in said else route.port
        implicit = relay.implicit if relay.implicit or "remotesmtptls" in said else route.begins_with_tls
        return replace(relay, port=port or _usual_port(implicit), implicit=implicit)
    implicit = route.begins_with_tls
    try:
        password = route.password()
    except PasswordUnreadable as error:
        raise RelayRefused(f"static route {route.domain}: {error}") from None
    return replace(
        relay,
        host=route.host,
        port=route.port or _usual_port(implicit),
        implicit=implicit,
        user=route.user,
        password=password,
        clear_login=False,
    )


def _usual_port(implicit: bool) -> int:
    return SUBMISSIONS_PORT if implicit else SMTP_PORT


def _both(script: tuple[str, ...], route: tuple[str, ...], what: str, by: Route, said: bool) -> tuple[str, ...]:
    if not route or not said:
        return route or script
    found = tuple(each for each in script if each in route)
    if not found:
        raise RelayRefused(f"the policy and the static route {by.domain} have no {what} in common", _TLS_STATUS)
    return found


def _common(script: tuple[str, ...], route: Route) -> tuple[str, ...]:
    """Names that both accept; a leading dot stands for all below. Who names none accepts what the other one names."""
    if not script or not route.match:
        return script or route.match
    pairs = ((script, route.match), (route.match, script))
    found = dict.fromkeys(name for these, those in pairs for name in these if _accepted(name, those))
    if not found:
        raise RelayRefused(
            f"the policy and the static route {route.domain} have no names of a certificate in common", _TLS_STATUS
        )
    return tuple(found)


def _accepted(name: str, names: Collection[str]) -> bool:
    return any(name == other or (other.startswith(".") and name.endswith(other)) for other in names)


# --- the tables of the bootstrap file -------------------------------------------------------------

#: Takes a key, what is wrong with it and its table.
Problem = Callable[[str, str, str], None]

_TEXTS = ("domain", "host", "tls", "level", "user", "password_file")
_LISTS = ("match", "fingerprints", "versions")
_KEYS = ("domain", "host", "port", "tls", "level", *_LISTS, "user", "password_file")


def read(tables: object, problem: Problem, folder: str) -> tuple[Route, ...]:
    """The routes of ``[[route]]``; relative paths are below ``folder``. What is wrong is told to ``problem``."""
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problem("route", "it must be tables: [[route]]", "")
        return ()
    found: list[Route] = []
    for number, table in enumerate(tables, 1):
        section = f"route[{number}]"
        route = _Table(table, section, problem, folder).route()
        if route.domain and any(route.domain == other.domain for other in found):
            problem("domain", f"{route.domain} has another route already", section)
        found.append(route)
    return tuple(found)


class _Table:
    """One table; every problem of it is told."""

    def __init__(self, table: dict[str, t.Any], section: str, problem: Problem, folder: str) -> None:
        self._table = table
        self._section = section
        self._tell = problem
        self._folder = folder

    def route(self) -> Route:
        for key in self._table:
            if key not in _KEYS:
                self._problem(key, f"unknown key; known are: {', '.join(_KEYS)}")
        texts = {key: self._text(key) for key in _TEXTS}
        match, fingerprints, versions = (self._list(key) for key in _LISTS)
        route = Route(
            domain=self._domain(texts["domain"]),
            host=self._read("host", host_or_address, texts["host"]),
            port=self._port(),
            implicit=self._implicit(texts["tls"]),
            level=self._level(texts["level"]),
            match=tuple(self._read("match", match_name, word) for word in match),
            fingerprints=tuple(dict.fromkeys(self._read("fingerprints", fingerprint, word) for word in fingerprints)),
            versions=self._versions(versions),
            user=texts["user"],
            password_file=texts["password_file"] and os.path.join(self._folder, texts["password_file"]),
        )
        self._check(route)
        return route

    def _problem(self, key: str, reason: str) -> None:
        self._tell(key, reason, self._section)

    def _check(self, route: Route) -> None:
        """What no single key is to blame for."""
        if bool(route.user) != bool(route.password_file):
            lacking, given = ("password_file", "user") if route.user else ("user", "password_file")
            self._problem(lacking, f"it is missing, and there is {given}")
        if route.user and not route.host:
            self._problem("user", "there is no host to log in at")
        if route.user and route.level == "none":
            self._problem("level", "a login is not sent without TLS")
        if route.match and route.level != "secure":
            self._problem("match", "names are for level secure alone")
        if route.fingerprints and route.level != "fingerprint":
            self._problem("fingerprints", "they are for level fingerprint alone")
        if route.level == "fingerprint" and not self._table.get("fingerprints"):
            self._problem("fingerprints", "level fingerprint needs at least one")
        if len(route.fingerprints) > MAX_FINGERPRINTS:
            self._problem("fingerprints", f"there are {len(route.fingerprints)}, at most {MAX_FINGERPRINTS}")

    def _text(self, key: str) -> str:
        value = self._table.get(key, "")
        if isinstance(value, str) and value.isprintable():
            return value
        self._problem(key, "it must be a text in quotes, without control characters")
        return ""

    def _list(self, key: str) -> list[str]:
        value = self._table.get(key, [])
        if isinstance(value, list) and all(isinstance(word, str) for word in value):
            return value
        self._problem(key, "it must be a list of texts in quotes")
        return []

    def _read(self, key: str, reading: Callable[[str], str], text: str) -> str:
        try:
            return reading(text) if text or key != "host" else ""
        except ValueError as error:
            self._problem(key, str(error))
            return ""

    def _domain(self, text: str) -> str:
        try:
            return domain_name(text, "it", every=True)
        except PolicyError as error:
            self._problem("domain", str(error) if text else "it is missing")
            return ""

    def _port(self) -> int:
        port = self._table.get("port", 0)
        if "port" not in self._table or (isinstance(port, int) and not isinstance(port, bool) and 1 <= port <= 65535):
            return port
        self._problem("port", "it must be a whole number from 1 to 65535")
        return 0

    def _implicit(self, word: str) -> bool | None:
        if word not in ("", "starttls", "implicit"):
            self._problem("tls", f"{word!r} is neither starttls nor implicit")
        return word == "implicit" if word else None

    def _level(self, word: str) -> str:
        if word and word not in LEVELS:
            self._problem("level", f"this server has no level {word!r}; it has {', '.join(LEVELS)}")
            return ""
        return word

    def _versions(self, names: list[str]) -> tuple[str, ...]:
        known = sorted({VERSIONS.index(name) for name in names if name in VERSIONS})
        if any(name not in VERSIONS for name in names):
            self._problem("versions", f"known are: {', '.join(VERSIONS)}")
        elif known and known[-1] - known[0] + 1 != len(known):
            self._problem("versions", "there is a gap, which TLS cannot express: name all versions in between")
        return tuple(VERSIONS[number] for number in known)
