# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What swaks is offered before TLS and inside it. The servers that are wrong are twins with one fault each."""

from __future__ import annotations

import re

import pytest
from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.twin import smtp_twin

import swaks_words
from judged_server import Place

#: RFC 2920, RFC 1870, RFC 6152, RFC 2034.
USUAL = ("PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES")
#: Of a server that keeps what it says: these need more than the keyword (RFC 3030, RFC 8689).
NOT_HELD = ("CHUNKING", "BINARYMIME", "REQUIRETLS")


@pytest.fixture(scope="module")
def swaks(program):
    """Runs swaks up to a command, at a place of the server."""

    def run(place: Place, last: str, *more: str) -> str:
        # 0: it came to the end; the others say that the server refused.
        return program("swaks").run(*place.swaks, "--helo", "client.test", "--quit-after", last, *more, statuses=range(64))

    return run


def clear_complaints(swaks, place: Place, usual: tuple[str, ...] = USUAL) -> list[str]:
    """What is wrong with the banner and the first answer to EHLO, in clear."""
    transcript = swaks(place, "FIRST-EHLO")
    banner, ehlo = swaks_words.exchanges(transcript)[0], swaks_words.answer(transcript, "EHLO", False)
    found = [f"no {keyword}" for keyword in (*usual, "STARTTLS") if keyword not in ehlo.keywords]
    found += [f"{keyword} in clear" for keyword in ("AUTH", *NOT_HELD) if keyword in ehlo.keywords]
    if re.search(r"\d+\.\d+|postern", banner.last.removeprefix("220"), re.IGNORECASE):
        found.append("the banner says which version it is")
    return found


def tls_complaints(swaks, place: Place, login: bool, usual: tuple[str, ...] = USUAL) -> list[str]:
    """What is wrong with the answer to EHLO inside TLS."""
    ehlo = swaks_words.answer(swaks(place, "EHLO", *(() if place.implicit else ("--tls",))), "EHLO", True)
    found = [f"no {keyword}" for keyword in usual if keyword not in ehlo.keywords]
    found += [f"{keyword} inside TLS" for keyword in ("STARTTLS", *NOT_HELD) if keyword in ehlo.keywords]
    if login and "PLAIN" not in ehlo.keywords.get("AUTH", ""):
        found.append("no login")
    if not login and "AUTH" in ehlo.keywords:
        # RFC 6409 section 3.3: users have ports of their own.
        found.append("a login on a relay port")
    return found


def test_w1_in_clear_there_is_starttls_and_no_login(hardened, swaks):
    assert clear_complaints(swaks, hardened.relay) == []
    assert clear_complaints(swaks, hardened.submission) == []


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({"clear_mechanisms": ("PLAIN",)}, "AUTH in clear"),
        ({"offers_starttls": False}, "no STARTTLS"),
        ({"greeting": "220 twin.example.test ESMTP 1.2.3"}, "the banner says which version it is"),
    ],
)
def test_w1_can_fail(swaks, authority, fault, complaint):
    with smtp_twin(context=authority.context(), **fault) as twin:
        assert clear_complaints(swaks, Place(twin.port), ("PIPELINING",)) == [complaint]


def test_w2_inside_tls_there_is_a_login_and_no_starttls(hardened, swaks):
    assert tls_complaints(swaks, hardened.relay, login=False) == []
    assert tls_complaints(swaks, hardened.submission, login=True) == []
    assert tls_complaints(swaks, hardened.submissions, login=True) == []


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [({"starttls_inside_tls": True}, "STARTTLS inside TLS"), ({"tls_mechanisms": ()}, "no login")],
)
@pytest.mark.parametrize("implicit", [False, True])
def test_w2_can_fail(swaks, authority, fault, complaint, implicit):
    with smtp_twin(context=authority.context(), implicit=implicit, **fault) as twin:
        assert tls_complaints(swaks, Place(twin.port, implicit), True, ("PIPELINING",)) == [complaint]


def test_w2_can_fail_on_a_relay_port(swaks, authority):
    with smtp_twin(context=authority.context()) as twin:
        assert tls_complaints(swaks, Place(twin.port), False, ("PIPELINING",)) == ["a login on a relay port"]
