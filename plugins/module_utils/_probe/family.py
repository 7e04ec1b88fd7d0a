# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Families of cipher suites that a requirement can forbid, by the words of a suite's OpenSSL name.

Unlike :func:`.suites.family`, which says the one worst thing about a suite, a suite is in every family that fits:
``DES-CBC3-SHA`` is ``3des``, ``cbc``, ``rsa`` and ``sha1``.
"""

from __future__ import annotations

import typing as t

from .suites import is_aead, is_cbc, key_exchange

_Test = t.Callable[[str, t.FrozenSet[str]], bool]

#: Name of the family -> whether a suite, given with the words of its name, is in it.
FAMILIES: t.Dict[str, _Test] = {
    # Nobody proves who he is.
    "anonymous": lambda name, words: bool(words & {"ADH", "AECDH"}),
    "null": lambda name, words: "NULL" in words or name.startswith("TLS_SHA"),
    "export": lambda name, words: any(word.startswith("EXP") for word in words),
    "rc2": lambda name, words: "RC2" in words,
    "rc4": lambda name, words: "RC4" in words,
    "des": lambda name, words: "DES" in words and "CBC3" not in words,
    "3des": lambda name, words: "DES" in words and "CBC3" in words,
    "idea": lambda name, words: "IDEA" in words,
    "md5": lambda name, words: "MD5" in words,
    # A MAC of SHA-1; suites with authenticated encryption have none.
    "sha1": lambda name, words: name.endswith("-SHA"),
    "cbc": lambda name, words: is_cbc(name),
    # RSA key transport and fixed ECDH: not forward secret.
    "rsa": lambda name, words: key_exchange(name) == "RSA",
    "static-ecdh": lambda name, words: key_exchange(name) == "ECDH",
    "dhe": lambda name, words: key_exchange(name) == "DHE",
    "no-aead": lambda name, words: not is_aead(name),
    # An authentication tag of 64 bits.
    "ccm8": lambda name, words: name.endswith(("CCM8", "CCM_8_SHA256")),
}


def members(names: t.Iterable[str], forbidden: t.Iterable[str]) -> t.List[str]:
    """Those of the suites that are in one of the families, or are named themselves, in their order."""
    wanted = list(forbidden)
    return [name for name in names if any(_belongs(name, word) for word in wanted)]


def _belongs(name: str, word: str) -> bool:
    test = FAMILIES.get(word)
    return name == word if test is None else test(name, frozenset(name.split("-")))
