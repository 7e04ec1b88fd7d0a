# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The comparison itself: it can fail, its table names what there is, and its document is the one in docs."""

from __future__ import annotations

from pathlib import Path

import claims
import differences
import grid
import pytest
import witnesses

SAID = {
    **claims.versions(["TLSv1.2", "TLSv1.3"]),
    **claims.version_suites("TLSv1.2", ["AES128-SHA", "DHE-RSA-AES128-SHA"]),
    **claims.certificate("mail.example.test", ["mail.example.test"], "2026-01-02T03:04:05Z", "2026-02-02T03:04:05Z",
                         "RSA", "2048", "ecdsa-with-SHA256", "ab" * 32),
}


def test_judges_that_say_the_same_agree():
    assert claims.disagreements(SAID, dict(SAID)) == []


@pytest.mark.parametrize(
    "lie",
    [
        {"TLSv1.1": "accepted"},
        {"TLSv1.2 AES128-SHA": None},
        {"TLSv1.1 AES128-SHA": "accepted"},
        {"certificate not after": "2026-02-02T03:04:06Z"},
        {"certificate SHA-256": "ac" * 32},
        {"certificate key length": None},
    ],
)
def test_one_line_that_differs_is_found_in_either_direction(lie):
    liar = {claim: said for claim, said in {**SAID, **lie}.items() if said is not None}
    for ours, theirs in ((SAID, liar), (liar, SAID)):
        assert [found.claim for found in claims.disagreements(ours, theirs)] == list(lie)


def test_dates_are_the_same_in_every_form_that_judges_write():
    assert len({claims.moment(text) for text in (
        "2026-11-02T17:14:00Z", "2026-11-02T17:14:00", "2026-11-02T17:14:00+00:00", "Nov  2 17:14:00 2026 GMT",
    )}) == 1
    minute = {**SAID, "certificate not before": claims.moment("2026-01-02 03:04")}
    assert claims.disagreements(SAID, minute) == []
    assert claims.disagreements(SAID, {**SAID, "certificate not before": claims.moment("2026-01-02 03:05")})
    with pytest.raises(ValueError, match="not a date"):
        claims.moment("yesterday")


@pytest.mark.parametrize(
    ("name", "openssl"),
    [
        ("TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"),
        ("TLS_AKE_WITH_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
        ("TLS_ECDHE_RSA_WITH_ARIA_256_GCM_SHA384", "ECDHE-ARIA256-GCM-SHA384"),
        ("EDH-RSA-DES-CBC3-SHA", "DHE-RSA-DES-CBC3-SHA"),
        ("AES128-SHA", "AES128-SHA"),
    ],
)
def test_a_suite_has_one_name(name, openssl):
    assert claims.openssl_name(name) == openssl


def test_every_row_names_judges_and_servers_that_there_are():
    for row in differences.DIFFERENCES:
        assert set(row.judges) <= set(witnesses.JUDGES) == set(differences.JUDGES)
        assert set(row.servers) <= set(grid.NAMES)
        assert row.why.endswith(".")
    assert set(witnesses.TESTSSL_SERVERS) <= set(grid.NAMES)


def test_a_row_explains_its_own_disagreement_only():
    row = differences.Difference(("nmap",), ("python",), "SSLv3 *", "Because.", "accepted", "nothing")
    found = claims.Disagreement("SSLv3 AES128-SHA", "accepted", "nothing")
    assert row.explains("nmap", "python", found)
    assert not row.explains("sslscan", "python", found)
    assert not row.explains("nmap", "postern-rsa", found)
    assert not row.explains("nmap", "python", claims.Disagreement("SSLv3 AES128-SHA", "nothing", "accepted"))
    assert not row.explains("nmap", "python", claims.Disagreement("TLSv1 AES128-SHA", "accepted", "nothing"))


def test_the_document_is_made_of_the_table():
    path = Path(__file__).resolve().parents[2] / "docs" / "judges.md"
    assert path.read_text(encoding="utf-8") == differences.document(), (
        "make it again: python tests/judges/differences.py > docs/judges.md"
    )
