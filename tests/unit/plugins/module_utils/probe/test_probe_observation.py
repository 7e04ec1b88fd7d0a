# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._probe.observation import (
    Credentials,
    Dialogue,
    Fact,
    ForcedDomain,
    Observation,
    from_document,
    listener,
)


@pytest.mark.parametrize("address, host, port, tls, name", [
    ("mx.example.org:25", "mx.example.org", 25, "starttls", "mx.example.org"),
    ("MX.Example.org.:587", "mx.example.org", 587, "starttls", "mx.example.org"),
    ("[::1]:465", "::1", 465, "implicit", None),
    ("127.0.0.1:2525", "127.0.0.1", 2525, "starttls", None),
    ("b\u00fccher.example:25", "xn--bcher-kva.example", 25, "starttls", "xn--bcher-kva.example"),
    # IDNA 2008: a sharp s is a letter of its own.
    ("stra\u00dfe.example:25", "xn--strae-oqa.example", 25, "starttls", "xn--strae-oqa.example"),
    ("mail_1:25", "mail_1", 25, "starttls", "mail_1"),
])
def test_a_listener_of_an_address(address, host, port, tls, name):
    found = listener(address)
    assert (found.address, found.host, found.port, found.tls, found.server_name) == (address, host, port, tls, name)


def test_what_is_said_counts_more_than_what_is_usual():
    found = listener("127.0.0.1:465", "starttls", "M\u00fcller.example", local_domain="example.org")
    assert (found.tls, found.server_name, found.local_domain) == ("starttls", "xn--mller-kva.example", "example.org")


@pytest.mark.parametrize("address, words", [
    ("mx.example.org", "an address is like"),
    ("mx.example.org:smtp", "an address is like"),
    ("mx.example.org:0", "an address is like"),
    ("mx.example.org:65536", "an address is like"),
    (":25", "is not a host name"),
    ("::1:25", "IPv6 needs brackets"),
    ("[127.0.0.1]:25", "brackets are for IPv6"),
    ("[mx.example.org]:25", "brackets are for IPv6"),
    ("a b.example:25", "is not a host name"),
    ("b\u00fc\u0000.example:25", "host name"),
    ("-mx.example:25", "is not a host name"),
    ("x" * 64 + ".example:25", "is not a host name"),
])
def test_what_is_no_address(address, words):
    with pytest.raises(ValueError, match=words):
        listener(address)


@pytest.mark.parametrize("different", [
    {"recipient": "post master"},
    {"sender": "a@b>\r\nDATA"},
    {"foreign_domain": "x\r\n"},
    {"forced_domains": (ForcedDomain("evil.test>\r\nDATA"),)},
    {"other_domain": "a\0"},
    {"client_name": "me.test\n"},
    {"credentials": Credentials("anna", "a\0b")},
    {"tls": "ssl"},
])
def test_what_cannot_be_said_to_a_server(different):
    with pytest.raises(ValueError):
        listener("127.0.0.1:25", **different)


def observation():
    where = listener("b\u00fccher.example:25", credentials=Credentials("anna", "right horse"))
    facts = {
        "banner": Fact({"code": 220, "text": "ready"}, "220 ready", evidence=(1,)),
        "version.SSLv2": Fact(None, "no answer in 10 s", "network", False, (2, 3)),
    }
    dialogues = (Dialogue(1, "conversation", ("S: 220 ready", "C: QUIT"), 0.25),)
    return Observation(where, facts, dialogues, 3, 1.5, ("dialogue", "versions"))


def test_an_observation_travels_as_a_document():
    seen = observation()
    document = json.loads(json.dumps(seen.document()))
    assert sorted(document) == [
        "checks", "connections", "dialogues", "facts", "listener", "seconds", "server_name", "tls",
    ]
    again = from_document(document)
    assert again.document() == document
    assert again.fact("version.SSLv2") == seen.fact("version.SSLv2")
    assert (again.listener.host, again.listener.credentials) == ("xn--bcher-kva.example", None)


def test_a_fact_that_was_not_looked_at():
    assert observation().fact("open_relay") == Fact(None, "not looked at", "not asked for", observable=False)


def test_no_password_in_a_repr_or_a_document():
    assert "right horse" not in repr(observation())
    assert "right horse" not in json.dumps(observation().document())
