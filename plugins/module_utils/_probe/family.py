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

_Test = t.Callable[[str], bool]


def _with(*words: str) -> _Test:
    """Whether the name has one of these words."""
    return lambda name: not set(words).isdisjoint(name.split("-"))


def _by(exchange: str) -> _Test:
    return lambda name: key_exchange(name) == exchange


#: Name of the family -> whether a suite is in it.
FAMILIES: t.Dict[str, _Test] = {
    # Nobody proves who he is.
    "anonymous": _with("ADH", "AECDH"),
    "null": lambda name: "NULL" in name.split("-") or name.startswith("TLS_SHA"),
    "export": _with("EXP", "EXP1024"),
    "rc2": _with("RC2"),
    "rc4": _with("RC4"),
    "des": lambda name: "DES" in name.split("-") and "CBC3" not in name,
    "3des": _with("CBC3"),
    "idea": _with("IDEA"),
    "md5": _with("MD5"),
    # A MAC of SHA-1; suites with authenticated encryption have none.
    "sha1": lambda name: name.endswith("-SHA"),
    "cbc": is_cbc,
    # RSA key transport and fixed ECDH: not forward secret.
    "rsa": _by("RSA"),
    "static-ecdh": _by("ECDH"),
    "dhe": _by("DHE"),
    "no-aead": lambda name: not is_aead(name),
    # An authentication tag of 64 bits.
    "ccm8": lambda name: name.endswith(("CCM8", "CCM_8_SHA256")),
}


def members(names: t.Iterable[str], forbidden: t.Iterable[str]) -> t.List[str]:
    """Those of the suites that are in one of the families, or are named themselves, in their order."""
    wanted = list(forbidden)
    return [name for name in names if any(_belongs(name, word) for word in wanted)]


def _belongs(name: str, word: str) -> bool:
    test = FAMILIES.get(word)
    return name == word if test is None else test(name)
