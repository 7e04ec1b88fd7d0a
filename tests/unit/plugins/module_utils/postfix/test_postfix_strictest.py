# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two policies for one next hop: what is at least as strict as both, and what cannot be said."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._servers.postfix.strictest import (
    DOMAIN,
    Defaults,
    Incomparable,
    combined,
    covers,
    parse,
    weaker,
)

LEVELS = ("none", "may", "encrypt", "dane", "dane-only", "verify", "secure", "fingerprint")
OLD = Defaults(("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"), ("TLSv1.2", "TLSv1.3"), DOMAIN, ("AA:01",))
KEY = "partner.test"


@pytest.mark.parametrize(
    "text, again",
    [
        ("ENCRYPT", "encrypt"),
        ("secure match=MX.Partner.TEST:.hosting.test", "secure match=mx.partner.test:.hosting.test"),
        ("secure  match=a.test\tmatch=b.test", "secure match=a.test:b.test"),
        ("encrypt protocols=!SSLv2:!SSLv3:!TLSv1:!TLSv1.1", "encrypt protocols=>=TLSv1.2"),
        ("encrypt protocols=TLSv1.2 ciphers=high", "encrypt protocols=>=TLSv1.2:<=TLSv1.2 ciphers=high"),
        ("encrypt protocols=!TLSv1.2", "encrypt protocols=!SSLv2:!SSLv3:!TLSv1.2"),
        ("fingerprint match=aa:01|bb:02 match=cc:03", "fingerprint match=AA:01 match=BB:02 match=CC:03"),
        ("may exclude=aNULL, servername=hostname", "may exclude=aNULL servername=hostname"),
    ],
)
def test_text(text, again):
    assert parse(text).text(True) == again
    assert parse(again).text(True) == again


def test_text_before_ranges():
    assert parse("encrypt protocols=>=TLSv1.2").text(False) == "encrypt protocols=!SSLv2:!SSLv3:!TLSv1:!TLSv1.1"


@pytest.mark.parametrize("text", ["", "encrypted", "encrypt protocols=TLSv1.2,TLSv1.4", "may protocols=SSLv3", "encrypt high"])
def test_what_postfix_refuses(text):
    with pytest.raises(ValueError):
        parse(text)


@pytest.mark.parametrize(
    "asked, found, result",
    [
        ("encrypt", "may", "encrypt"),
        ("encrypt", "none", "encrypt"),
        ("encrypt", "encrypt", "encrypt"),
        ("encrypt", "verify", "verify"),
        ("verify", "encrypt ciphers=high exclude=RC4", "verify ciphers=high exclude=RC4"),
        ("encrypt protocols=>=TLSv1.2", "secure match=mx.partner.test:.hosting.test", "secure match=mx.partner.test:.hosting.test protocols=>=TLSv1.2"),
        ("encrypt protocols=>=TLSv1.3", "secure protocols=>=TLSv1.2", "secure protocols=>=TLSv1.3"),
        ("encrypt protocols=>=TLSv1.2", "may protocols=!TLSv1.3", "encrypt protocols=>=TLSv1.2:<=TLSv1.2"),
        ("encrypt protocols=>=TLSv1", "encrypt protocols=!TLSv1.1", "encrypt protocols=!SSLv2:!SSLv3:!TLSv1.1"),
        ("secure", "secure match=mx.partner.test", "secure match=mx.partner.test"),
        ("secure match=mx.partner.test", "secure", "secure match=mx.partner.test"),
        ("secure match=mx.partner.test", "secure match=mx.partner.test:mx.other.test", "secure match=mx.partner.test"),
        ("secure match=a.mx.test", "secure match=.mx.test", "secure match=a.mx.test"),
        ("secure", "secure match=nexthop", "secure match=nexthop"),
        ("fingerprint match=AA:01", "encrypt", "fingerprint match=AA:01"),
        ("fingerprint match=AA:01 match=BB:02", "fingerprint match=AA:01", "fingerprint match=AA:01"),
        ("fingerprint match=AA:01 match=BB:02", "fingerprint", "fingerprint"),
        ("encrypt", "may protocols=>=TLSv1", "encrypt protocols=>=TLSv1.2"),
        ("encrypt protocols=>=TLSv1", "may", "encrypt protocols=>=TLSv1"),
        ("dane-only", "encrypt", "dane-only"),
        ("encrypt", "dane-only", "dane-only"),
        ("dane-only", "dane", "dane-only"),
        ("dane", "may", "dane"),
        ("may", "dane", "dane"),
    ],
)
def test_combined(asked, found, result):
    made = combined(parse(asked), parse(found), OLD, KEY)
    assert made == parse(result)
    assert covers(made, parse(asked), OLD, KEY)
    assert covers(made, parse(found), OLD, KEY)


@pytest.mark.parametrize(
    "asked, found, said",
    [
        ("encrypt", "dane", "encrypt and dane cannot be compared"),
        ("secure", "dane", "secure and dane cannot be compared"),
        ("secure", "dane-only", "secure and dane-only cannot be compared"),
        ("fingerprint match=AA:01", "secure", "fingerprint and secure cannot be compared"),
        ("secure", "secure match=mx.hosting.test", "they match different names (nexthop:dot-nexthop; mx.hosting.test)"),
        ("secure match=mx.hosting.test", "secure", "they match different names (mx.hosting.test; nexthop:dot-nexthop)"),
        ("secure match=a.test:b.test", "secure match=b.test:c.test", "they match different names (a.test:b.test; b.test:c.test)"),
        ("secure", "verify match=mx.hosting.test", "they match different names (nexthop:dot-nexthop; mx.hosting.test)"),
        ("fingerprint match=CC:03", "fingerprint", "they match different certificates (CC:03; AA:01)"),
        ("encrypt protocols=>=TLSv1.3", "may protocols=<=TLSv1.2", "no protocol version is allowed by both (TLSv1.3; TLSv1, TLSv1.1, TLSv1.2)"),
    ],
)
def test_incomparable(asked, found, said):
    with pytest.raises(Incomparable) as caught:
        combined(parse(asked), parse(found), OLD, KEY)
    assert said in str(caught.value)
    assert not covers(parse(found), parse(asked), OLD, KEY)


def test_names_that_main_cf_says():
    other = OLD._replace(secure=("mx.hosting.test",))
    assert combined(parse("secure"), parse("encrypt"), other, KEY) == parse("secure match=nexthop:dot-nexthop")
    assert not covers(parse("secure"), parse("secure"), other, KEY)
    with pytest.raises(Incomparable):
        combined(parse("secure"), parse("secure"), other, KEY)


def test_brackets_and_ports_are_no_part_of_a_name():
    assert covers(parse("secure match=mx.partner.test"), parse("secure"), OLD, "[partner.test]:587")
    assert not covers(parse("secure match=mx.partner.test"), parse("secure"), OLD, "[mx.hosting.test]:587")


def test_levels_are_a_partial_order():
    order = {pair for pair in itertools.product(LEVELS, repeat=2) if weaker(*pair)}
    assert not {(other, one) for one, other in order} & order
    assert all((one, third) in order for (one, other), (between, third) in itertools.product(order, repeat=2) if other == between)
    assert not weaker("encrypt", "dane")
    assert not weaker("dane", "encrypt")


@pytest.mark.parametrize("asked", LEVELS)
@pytest.mark.parametrize("found", LEVELS)
def test_nothing_is_weakened(asked, found):
    one, other = parse(asked + " protocols=>=TLSv1.2"), parse(found + " ciphers=high protocols=!TLSv1.3")
    try:
        both = combined(one, other, OLD, KEY)
    except Incomparable:
        assert not covers(one, other, OLD, KEY) and not covers(other, one, OLD, KEY)
    else:
        assert covers(both, one, OLD, KEY) and covers(both, other, OLD, KEY)
        assert both.rest == ("ciphers=high",)
        assert both.level in (asked, found)
