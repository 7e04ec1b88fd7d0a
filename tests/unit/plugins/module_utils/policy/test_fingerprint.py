# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fingerprints in every spelling that programs print, and what is none."""

from __future__ import annotations

import hashlib

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.fingerprint import MOST, fingerprints

DIGEST = hashlib.sha256(b"a certificate").digest()
CANONICAL = DIGEST.hex(":").upper()


def problems_of(values):
    with pytest.raises(PolicyError) as caught:
        fingerprints(values)
    return caught.value.problems


@pytest.mark.parametrize(
    "given",
    [
        CANONICAL,
        CANONICAL.lower(),
        DIGEST.hex(),
        " %s\t" % DIGEST.hex().upper(),
        DIGEST.hex(" "),
        "sha256:" + DIGEST.hex(),
        "SHA256: " + CANONICAL,
        "sha256 Fingerprint=" + CANONICAL,
        "SHA-256 " + "Fingerprint=" + CANONICAL,
    ],
)
def test_one_spelling_of_many(given):
    assert fingerprints([given, DIGEST.hex()]) == (CANONICAL,)


def test_their_order_means_nothing():
    others = [hashlib.sha256(bytes([number])).hexdigest() for number in range(MOST)]
    assert fingerprints(others) == fingerprints(others[::-1]) == tuple(sorted(fingerprints(others)))
    assert fingerprints([]) == ()
    assert problems_of([*others, CANONICAL]) == ("fingerprints must name 20 fingerprints at most; got 21",)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (hashlib.sha1(b"x").hexdigest(), "(40 digits, as SHA-1 has)"),
        (hashlib.md5(b"x").hexdigest(), "(32 digits, as MD5 has)"),
        ("sha1:" + DIGEST.hex(), '64 hexadecimal digits with or without colons; got "sha1:'),
        (DIGEST.hex()[:-2], "(62 digits)"),
        (DIGEST.hex()[:-1], '%s"; openssl' % DIGEST.hex()[:-1]),
        (CANONICAL + ":", "openssl x509 -in cert.pem -noout -fingerprint -sha256 prints it"),
        ("", 'got ""'),
        (17, "got the number 17, quote it"),
        (None, "got nothing"),
    ],
)
def test_what_is_no_fingerprint(given, said):
    (problem,) = problems_of([CANONICAL, given])
    assert problem.startswith("fingerprints #2 must be a SHA-256 fingerprint") and said in problem


def test_all_are_named_by_their_places():
    assert [problem.split(" must")[0] for problem in problems_of(["x", CANONICAL, "y"])] == ["fingerprints #1", "fingerprints #3"]
    assert problems_of(17) == ('fingerprints must be a list like ["9F:86:D0:...:0A:08"]; got the number 17, quote it',)
