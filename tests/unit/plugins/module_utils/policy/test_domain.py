# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Domains: every spelling of one domain is one entry, and what is no domain is refused. Non-ASCII is escaped."""

from __future__ import annotations

import random
import unicodedata

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy.domain import domain_name, domain_names
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError

CANONICAL = [
    ("partner.test", "partner.test"),
    ("Partner.Test", "partner.test"),
    ("PARTNER.TEST", "partner.test"),
    ("partner.test.", "partner.test"),
    ("  partner.test\t", "partner.test"),
    ("partner.test\r\n", "partner.test"),
    ("@kunde.test", "kunde.test"),
    ("*.cloud.test", ".cloud.test"),
    (".cloud.test", ".cloud.test"),
    ("*.Cloud.Test.", ".cloud.test"),
    ("localhost", "localhost"),
    ("a.b.c.d.e.test", "a.b.c.d.e.test"),
    ("3com.test", "3com.test"),
    ("my-domain.test", "my-domain.test"),
    ("1.2.3.4.test", "1.2.3.4.test"),
    ("a" * 63 + ".test", "a" * 63 + ".test"),
    (".".join(["a" * 49] * 5) + ".tst", ".".join(["a" * 49] * 5) + ".tst"),
    # umlauts, composed and decomposed, upper case, with the final dot
    ("b\u00fccher.test", "xn--bcher-kva.test"),
    ("B\u00fccher.test", "xn--bcher-kva.test"),
    ("B\u00dcCHER.TEST.", "xn--bcher-kva.test"),
    ("bu\u0308cher.test", "xn--bcher-kva.test"),
    ("BU\u0308CHER.test", "xn--bcher-kva.test"),
    ("xn--bcher-kva.test", "xn--bcher-kva.test"),
    ("XN--BCHER-KVA.test", "xn--bcher-kva.test"),
    ("*.b\u00fccher.test", ".xn--bcher-kva.test"),
    ("m\u00fcller.b\u00fccher.test", "xn--mller-kva.xn--bcher-kva.test"),
    # IDNA 2008 keeps the sharp s and the final sigma, the old mapping did not
    ("stra\u00dfe.test", "xn--strae-oqa.test"),
    ("STRA\u1e9eE.test", "xn--strae-oqa.test"),
    ("strasse.test", "strasse.test"),
    ("xn--strae-oqa.test", "xn--strae-oqa.test"),
    ("\u03c3\u03c6\u03b1\u03bb\u03bc\u03b1\u03c2.test", "xn--mxaa3ae5abv.test"),
    # other scripts
    ("\u043f\u043e\u0447\u0442\u0430.test", "xn--80a1acny.test"),
    ("\u041f\u041e\u0427\u0422\u0410.test", "xn--80a1acny.test"),
    ("\u4f8b\u5b50.test", "xn--fsqu00a.test"),
    ("\u4f8b\u5b50\u3002test", "xn--fsqu00a.test"),
    ("\uff50\uff41\uff52\uff54\uff4e\uff45\uff52.test", "partner.test"),
    ("\u05d3\u05d5\u05d0\u05e8.test", "xn--4dbfg1f.test"),
    ("\u0928\u0939\u0940\u0902.test", "xn--i1b9e4b2a.test"),
    ("col\u00b7legi.test", "xn--collegi-xma.test"),
    # an A-label that a registry gave away under older rules is compared and not judged
    ("xn--ls8h.test", "xn--ls8h.test"),
]

REFUSED = [
    (123.456, "got the number 123.456"),
    (25, "got the number 25"),
    ("123.456", "got the number 123.456"),
    (True, "got the boolean true"),
    (None, "got nothing"),
    ([], "got a list"),
    ("", "empty"),
    ("   ", "empty"),
    ("*", "every domain cannot be meant here"),
    (".", "empty label"),
    ("..", "empty label"),
    ("@", "empty label"),
    ("*.", "empty label"),
    ("a..test", "empty label"),
    ("..test", "empty label"),
    ("test..", "empty label"),
    ("user@example.test", "mail address"),
    ("@@example.test", "mail address"),
    ("exa mple.test", "blanks inside"),
    ("exa\tmple.test", "blanks inside"),
    ("exa\nmple.test", "blanks inside"),
    ("exa\u00a0mple.test", "blanks inside"),
    ("example.test\0", "U+0000"),
    ("ex\u00adample.test", "U+00AD"),
    ("ex\u200bample.test", "U+200B"),
    ("ex\u202eample.test", "U+202E"),
    ("-bad.test", "hyphen"),
    ("bad-.test", "hyphen"),
    ("-", "hyphen"),
    ("ab--cd.test", "third and fourth"),
    ("a" * 64 + ".test", "more than 63 octets"),
    ("\u00fc" * 60 + ".test", "more than 63 octets"),
    (".".join(["a" * 49] * 5) + ".test", "more than 253 octets"),
    ("[192.0.2.1]", "address literal"),
    ("[IPv6:2001:db8::1]", "address literal"),
    ("2001:db8::1", "address literal or a port"),
    ("192.0.2.1", "the last part is a number"),
    ("example.123", "the last part is a number"),
    ("example.test:25", "address literal or a port"),
    ("https://example.test", "address literal or a port"),
    ("example.test/x", "path"),
    ("ex*mple.test", "wildcard"),
    ("*.*.test", "wildcard"),
    ("*example.test", "wildcard"),
    ("under_score.test", '"_"'),
    ("a,b.test", '","'),
    ('a"b.test', '"""'),
    ("a%b.test", '"%"'),
    ("a;b.test", '";"'),
    # labels that decode to nothing, to ASCII, or not back to themselves
    ("xn--.test", "hyphen"),
    ("xn--a.test", "does not decode"),
    ("xn--99999999.test", "does not decode"),
    ("xn--bcher-KVA9.test", "does not decode"),
    ("xn--abc-.test", "hyphen"),
    # not letters or digits of IDNA 2008
    ("\u2603.test", "U+2603"),
    ("\U0001f4a9.test", "U+1F4A9"),
    ("\u2764\ufe0f.test", "U+"),
    ("a\u2044b.test", "U+2044"),
    ("\u0301a.test", "combining mark"),
    ("\u00fc-.test", "hyphen"),
    ("-\u00fc.test", "hyphen"),
    ("\u00fcb--x.test", "third and fourth"),
    ("a\u00b7b.test", "U+00B7"),
    ("a\u200db\u00fc.test", "U+200D"),
    ("\ufb01sch.test", "U+FB01"),
    ("\u2460.test", "U+2460"),
    ("a\u30fbb.test", "U+30FB"),
    ("\u0661\u06f1.test", "U+"),
    ("\u05d0a.test", "directions"),
    ("1\u05d0.test", "directions"),
]


@pytest.mark.parametrize(("given", "canonical"), CANONICAL)
def test_a_domain_has_one_spelling(given, canonical):
    assert domain_name(given) == canonical
    assert domain_name(canonical) == canonical


@pytest.mark.parametrize(("given", "advice"), REFUSED)
def test_what_is_no_domain_is_refused_by_name(given, advice):
    with pytest.raises(PolicyError) as caught:
        domain_name(given, "domains #3")
    (problem,) = caught.value.problems
    assert problem.startswith('domains #3 must be a domain name like "example.com"; got ')
    assert advice in problem
    assert problem.isprintable()


def test_sharp_s_and_double_s_are_two_domains():
    domains, _notices = domain_names(["stra\u00dfe.test", "strasse.test"])
    assert domains == ("strasse.test", "xn--strae-oqa.test")


def test_a_list_is_a_set():
    given = ["b.test", "A.test", "a.test.", "@c.test", "", "  ", "*.a.test"]
    expected = (".a.test", "a.test", "b.test", "c.test")
    assert domain_names(given)[0] == expected
    shuffled = given[:]
    random.Random(9).shuffle(shuffled)
    assert domain_names(shuffled)[0] == expected
    assert domain_names([]) == ((), [])
    assert domain_names("Example.TEST, other.test,partner.test")[0] == ("example.test", "other.test", "partner.test")


def test_a_sign_that_was_taken_off_draws_a_notice():
    domains, notices = domain_names(["a.test", "@kunde.test"], "domains")
    assert domains == ("a.test", "kunde.test")
    assert notices == ['domains #2: "@kunde.test" was read as the domain kunde.test, without the @']


def test_all_bad_entries_are_named_in_one_error():
    given = ["good.test", "user@example.test", "", "exa mple.test", "-bad.test", "a" * 64 + ".test", "[192.0.2.1]", 1.5]
    with pytest.raises(PolicyError) as caught:
        domain_names(given, "domains")
    assert [problem.split(" must")[0] for problem in caught.value.problems] == [
        "domains #2",
        "domains #4",
        "domains #5",
        "domains #6",
        "domains #7",
        "domains #8",
    ]


def test_twenty_bad_entries_are_shown_and_the_rest_is_counted():
    with pytest.raises(PolicyError) as caught:
        domain_names(["bad domain %d" % number for number in range(1000)])
    assert len(caught.value.problems) == 1000
    assert caught.value.shown == [*caught.value.problems[:20], "and 980 more"]
    assert str(caught.value) == "; ".join(caught.value.shown)


def test_no_list_is_an_error():
    with pytest.raises(PolicyError, match="domains must be a list"):
        domain_names(None)


# --- judged by another implementation -----------------------------------------------------------


def _spelled(encode, label):
    try:
        return encode(label + ".test")
    except (PolicyError, UnicodeError):
        return None


def _labels():
    """Labels of a few letters from scripts with context rules and directions, in the form that mapping leaves alone."""
    choose = random.Random(2008)
    ranges = ((0xE0, 0x250), (0x370, 0x400), (0x5B0, 0x6FF), (0x900, 0x980), (0x3041, 0x30FF), (0x4E00, 0x4E50))
    pool = [chr(point) for first, last in ranges for point in range(first, last)] + list("abl1-\u00b7\u200d")
    for _index in range(20000):
        label = "".join(choose.choice(pool) for _letter in range(choose.randint(1, 5)))
        if unicodedata.normalize("NFC", label.lower()) == label and not label.isascii():
            yield label


def test_labels_are_encoded_as_the_reference_implementation_does():
    idna = pytest.importorskip("idna", reason="the package idna judges; it is not installed")
    labels = [label for label in _labels() if all(unicodedata.category(letter) != "Cn" for letter in label)]
    assert len(labels) > 5000
    different = [
        (ascii(label), ours, theirs)
        for label in labels
        for ours, theirs in [(_spelled(domain_name, label), _spelled(lambda name: idna.encode(name).decode(), label))]
        if ours != theirs
    ]
    assert different == []
