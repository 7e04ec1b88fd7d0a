# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Another server's habits, to try clients on: its version, its names, what it does where this server does otherwise.

Names that no public source shows differ from server to server. Here a server can be given any: it then understands
these and no longer its own. Everything behind the script's names (what the session knows, what a delivery does) keeps
the canonical names, so translation happens in one place: where a script is compiled, and where a set of words is read.

A table of the bootstrap file::

    [emulation]
    version = "10.5.12|Linux|x86_64"
    encrypted_after_starttls = true
    script_active = "commit"
    relay_ssl = "required"
    unknown_statements = "ignored"
    extensions = false
    [emulation.names]
    plainConnAuthTypes = "authForPlain"
    [emulation.values]
    none = "nothing"
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field
from functools import cached_property

from . import ADMIN_VERSION
from .rules.variables import ASKED, LACKED_MECHANISMS, MECHANISMS, OWN_ASKED, OWN_MECHANISMS, OWN_TOLD, TOLD

#: Tests of the script language, in the dialect's spelling.
TESTS = ("isCase", "is", "greaterThan", "ipRange")
#: Those that are this server's own.
OWN_TESTS = ("isSubdomainOf",)
#: Words in sets: no mechanism, every mechanism, mechanisms, protocol versions.
VERSION_WORDS = ("tls10", "tls11", "tls12", "tls13")
WORDS = ("none", "all", *MECHANISMS, *LACKED_MECHANISMS, *VERSION_WORDS)

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_SEPARATORS = re.compile(r"[\s(),]+")
#: Old clients read the fields of the first part as numbers.
_VERSION = re.compile(r"\d+(?:\.\d+)+[!-{}~]*(?:\|[!-{}~]+){0,2}")
#: Stands before names that do not exist: no script can write it.
_HIDDEN = "-"

_CHOICES = {
    "script_active": ("commit", "upload"),
    "relay_ssl": ("required", "implicit"),
    "unknown_statements": ("refused", "ignored"),
}
_SWITCHES = ("encrypted_after_starttls", "extensions")
_KEYS = ("version", *_CHOICES, *_SWITCHES, "names", "values")


@dataclass(frozen=True)
class Emulation:
    """What a server calls things and how it behaves. The default is this server itself.

    ``encrypted_after_starttls``: ``isSSLConnection`` is yes after STARTTLS. ``script_active``: a policy script counts,
    and is on disk, at the server's ``commit``, or already at its ``upload``. ``relay_ssl``: ``sslEnabled`` set to yes
    makes TLS ``required``, or opens it at once (``implicit``). ``unknown_statements``: a script that holds some is
    ``refused``, or they do nothing (``ignored``). ``extensions``: this server's own variables, tests,
    admin commands and mechanism exist. ``names``, ``tests`` and ``values`` hold what has another name, canonical name
    (in lower case) to name in scripts; the canonical name does not exist then.
    """

    version: str = ADMIN_VERSION
    encrypted_after_starttls: bool = True
    script_active: str = "commit"
    relay_ssl: str = "required"
    unknown_statements: str = "refused"
    extensions: bool = True
    names: t.Mapping[str, str] = field(default_factory=dict)
    tests: t.Mapping[str, str] = field(default_factory=dict)
    values: t.Mapping[str, str] = field(default_factory=dict)

    def variable(self, name: str) -> str:
        """The canonical name, in lower case, of a variable in a script. One that does not exist is nobody's."""
        return self._variables.get(name.lower(), name.lower())

    def test(self, name: str) -> str:
        """The canonical name, in lower case, of a test in a script."""
        return self._tests.get(name.lower(), name.lower())

    def words(self, value: str) -> list[str]:
        """The members of a set as canonical words in lower case. A word that nobody knows is kept."""
        return [self._words.get(word, word) for word in _SEPARATORS.split(value.lower()) if word]

    def has_mechanism(self, word: str) -> bool:
        """Whether this canonical word is a mechanism that is offered when every one is allowed."""
        return self.extensions or word not in OWN_MECHANISMS

    def mechanism_words(self, value: str) -> list[str] | None:
        """The words of a set of mechanisms; None when nothing in it is known, and the default holds on.

        Where "no mechanism" has another name, a server that took every unknown word for it would hide that a client
        writes the wrong one. Under its own name this server knows no such doubt: what it does not know is not offered.
        """
        words = self.words(value)
        if "none" not in self.values or not words:
            return words
        return words if any(word in WORDS for word in words) else None

    @cached_property
    def _variables(self) -> dict[str, str]:
        return _reverse(self.names, () if self.extensions else OWN_TOLD + OWN_ASKED)

    @cached_property
    def _tests(self) -> dict[str, str]:
        return _reverse(self.tests, () if self.extensions else OWN_TESTS)

    @cached_property
    def _words(self) -> dict[str, str]:
        return _reverse(self.values)


#: The default.
ITSELF = Emulation()


def _reverse(renamed: t.Mapping[str, str], hidden: t.Collection[str] = ()) -> dict[str, str]:
    """Names in scripts to canonical ones, all in lower case; what does not exist is there under a name of nobody."""
    gone = {name.lower(): _HIDDEN + name.lower() for name in (*hidden, *renamed)}
    return gone | {other.lower(): canonical for canonical, other in renamed.items()}


# --- the table of the bootstrap file --------------------------------------------------------------

#: Takes a key, what is wrong with it and its table.
Problem = t.Callable[[str, str, str], None]


def read(table: dict[str, t.Any], problem: Problem) -> Emulation:
    """The table ``[emulation]``. What is wrong is told to ``problem``; the result is then of no use."""
    found: dict[str, t.Any] = {}
    for key, value in table.items():
        if key not in _KEYS:
            problem(key, f"unknown key; known are: {', '.join(_KEYS)}", "emulation")
        elif key in _SWITCHES:
            if not isinstance(value, bool):
                problem(key, "it must be true or false", "emulation")
            found[key] = value is True
        elif key in _CHOICES:
            if value not in _CHOICES[key]:
                problem(key, f"it must be one of: {', '.join(_CHOICES[key])}", "emulation")
            found[key] = value
        elif key == "version":
            if not isinstance(value, str) or not _VERSION.fullmatch(value):
                problem(key, 'it must be a text like "10.5.12|Linux|x86_64", a number first', "emulation")
            found[key] = value
        elif not isinstance(value, dict):
            problem(key, f"it must be a table: [emulation.{key}]", "emulation")
            table = {**table, key: {}}
    own = found.get("extensions", True)
    variables = TOLD + ASKED + (OWN_TOLD + OWN_ASKED if own else ())
    all_tests = TESTS + (OWN_TESTS if own else ())
    known = {name.lower(): name for name in variables + all_tests}
    names = _renamed(table.get("names", {}), known, "names", _NAME, "a name of letters, digits and _", problem)
    tests = {name.lower() for name in all_tests}
    found["names"] = {name: other for name, other in names.items() if name not in tests}
    found["tests"] = {name: other for name, other in names.items() if name in tests}
    words = {word: word for word in WORDS if own or word not in OWN_MECHANISMS}
    found["values"] = _renamed(table.get("values", {}), words, "values", _WORD, "one word without quotes", problem)
    return Emulation(**found)


def _renamed(
    table: dict[str, t.Any],
    known: dict[str, str],
    section: str,
    pattern: re.Pattern[str],
    what: str,
    problem: Problem,
) -> dict[str, str]:
    """Canonical names in lower case to names in scripts; ``known`` has all that there are, by lower-case name."""
    section = f"emulation.{section}"
    found: dict[str, str] = {}
    for key, value in table.items():
        name = key.lower()
        if name not in known:
            problem(key, f"there is nothing of this name to rename; there are: {', '.join(known.values())}", section)
        elif name in found:
            problem(key, "it is renamed twice", section)
        elif not isinstance(value, str) or not (pattern.fullmatch(value) or (name == "none" and value == "")):
            problem(key, f"it must be {what}", section)
        else:
            found[name] = value
    # Names that other things keep, then those that are given.
    taken = {name: kept for name, kept in known.items() if name not in found}
    for name, other in found.items():
        if other.lower() in taken:
            problem(known[name], f"{other} is the name of {taken[other.lower()]} already", section)
        taken.setdefault(other.lower(), known[name])
    return found
