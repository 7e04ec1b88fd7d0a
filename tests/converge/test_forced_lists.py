# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lists of forced-TLS domains as they come from other people's systems, against a running server."""

from __future__ import annotations

import os
import random

import pytest
from test_steps import assert_only_read

MODULE = "smtp_forced_tls_domain"

#: One domain in many spellings, a list as mail and spreadsheets leave it.
SPELLINGS = [
    "Partner.Test", "partner.test.", "  partner.test\t", "B\u00fccher.test", "xn--bcher-kva.test", "b\u00fccher.test.",
    "@kunde.test", "*.cloud.test", ".cloud.test", "CLOUD.test", "", "stra\u00dfe.test", "PARTNER.TEST",
]  # fmt: skip
CANONICAL = [".cloud.test", "cloud.test", "kunde.test", "partner.test", "xn--bcher-kva.test", "xn--strae-oqa.test"]


def unchanged(result):
    return result.get("changed") is False and result["diff"] == {"before": "", "after": ""}


def test_one_domain_in_eleven_spellings_and_in_another_order_each_day(run, mta, tmp_path):
    first = run(MODULE, domains=SPELLINGS, direction="both")
    assert [rule["domain"] for rule in first["forced_tls_domains"][::2]] == CANONICAL
    assert first["counts"] == {"listed": 12, "added": 12, "changed": 0, "removed": 0, "unchanged": 0}
    assert "@kunde.test" in str(first["warnings"])
    script, given = mta.script(), list(SPELLINGS)
    for seed in range(3):
        random.Random(seed).shuffle(given)
        again = run(MODULE, domains=given, direction="both", prune=True)
        assert unchanged(again), again
        assert again["counts"]["unchanged"] == 12 and again["forced_tls_domains"] == []
    # The same list as a text, as a file that other programs wrote, and as what smtp_info says.
    text = "\ufeff# partners\r\n" + "\r\n".join(given) + "  # and no more"
    assert unchanged(run(MODULE, content=text, direction="both", prune=True))
    path = tmp_path / "partners %d.txt"
    path.write_bytes(text.encode())
    assert unchanged(run(MODULE, source=str(path), direction="both", prune=True))
    known = run("smtp_info")["policy"]["forced_tls_domains"]
    assert unchanged(run(MODULE, domains=known, direction="both", prune=True))
    assert mta.script() == script


def test_a_prune_takes_what_the_list_does_not_name_and_nothing_else(run, mta):
    run(MODULE, domains=["a.test", "b.test", "lab.test", {"domain": "c.test", "name": "by_hand"}], direction="both")
    before = mta.script()
    wanted = {"domains": ["B.test", "new.test"], "prune": True, "keep": ["LAB.*", "by_hand*"]}
    checked = run(MODULE, check=True, **wanted)
    assert mta.script() == before
    result = run(MODULE, **wanted)
    assert result["counts"] == {"listed": 2, "added": 1, "changed": 0, "removed": 1, "unchanged": 1}
    assert [rule["domain"] for rule in result["forced_tls_domains"]] == ["new.test"]
    assert (checked["diff"], checked["actions"], checked["counts"]) == (result["diff"], result["actions"], result["counts"])
    assert '"a.test"' in result["diff"]["before"] and '"b.test"' not in "".join(result["diff"].values())
    there = [(rule["domain"], rule["direction"]) for rule in run("smtp_info")["policy"]["forced_tls_domains"]]
    # The other direction is nobody's business here, and WA_ methods are never touched.
    assert there == [
        ("a.test", "outbound"), ("b.test", "inbound"), ("b.test", "outbound"), ("c.test", "inbound"), ("c.test", "outbound"),
        ("lab.test", "inbound"), ("lab.test", "outbound"), ("new.test", "inbound"),
    ]  # fmt: skip
    assert mta.script().count(b"method WA_") == before.count(b"method WA_") == 3
    for empty in ({"domains": []}, {"domains": ["x.test"], "state": "absent"}, {"content": "# nobody\n"}):
        refused = run(MODULE, prune=True, **empty)
        assert refused["failed"] and "allow_unsafe: true" in refused["msg"]
    gone = run(MODULE, domains=[], prune=True, direction="both", allow_unsafe=True)
    assert gone["counts"]["removed"] == 8 and mta.script().count(b"method ") == 3


def test_entries_with_settings_of_their_own_and_exceptions(run):
    partners = [
        {"domain": "*", "level": "encrypt"},
        {"domain": ".gov.test", "level": "secure", "match": [".gov.test"]},
        {"domain": "old.gov.test", "level": "may", "reason": "ticket 88", "until": "2020-12-31"},
        {"domain": "fax.test", "level": "none", "reason": "accepted by the CISO"},
        "plain.test",
        {"domain": "gone.test", "state": "absent"},
    ]
    run(MODULE, domain="gone.test", direction="outbound")
    wanted = {"domains": partners, "direction": "outbound", "every_domain": True}
    refused = run(MODULE, expired_exceptions="fail", **wanted)
    assert refused["failed"] and "2020-12-31" in refused["msg"]
    result = run(MODULE, **wanted)
    assert result.get("counts") == {"listed": 6, "added": 5, "changed": 0, "removed": 1, "unchanged": 0}, result
    assert "old.gov.test" in str(result["warnings"]) and "2020-12-31" in str(result["warnings"])
    levels = {rule["domain"]: rule["level"] for rule in result["forced_tls_domains"]}
    assert levels == {"*": "encrypt", ".gov.test": "secure", "old.gov.test": "may", "fax.test": "none", "plain.test": "encrypt"}
    random.Random(1).shuffle(partners)
    assert unchanged(run(MODULE, **wanted))
    # The strictest wins where nobody says a level, and what is weaker must be written as an exception.
    (strict,) = run(MODULE, domain="x.gov.test", direction="outbound")["forced_tls_domains"]
    assert strict["level"] == "secure"
    weak = run(MODULE, domain="y.gov.test", direction="outbound", level="encrypt")
    assert weak["failed"] and "reason" in weak["msg"] and ".gov.test" in weak["msg"]


def test_one_method_for_many_domains(run, mta):
    domains = ["p%d.test" % number for number in range(5)] + [".sub.test"]
    result = run(MODULE, domains=domains, form="compact")
    assert [rule["form"] for rule in result["forced_tls_domains"]] == ["method"] + ["compact"] * 5
    assert mta.script().count(b"method ") == 5
    assert unchanged(run(MODULE, domains=domains[::-1], prune=True))
    fewer = run(MODULE, domains=domains[1:], prune=True)
    assert fewer["counts"] == {"listed": 5, "added": 0, "changed": 0, "removed": 1, "unchanged": 5}
    run(MODULE, domains=domains[1:], form="method")
    assert mta.script().count(b"method ") == 8
    assert run(MODULE, domains=domains[1:], form="method")["changed"] is False


def test_a_pipe_without_a_writer_is_not_waited_for(shared_run, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in shared_run(MODULE, source=str(tmp_path / "pipe"))["msg"]


@pytest.mark.parametrize("check", [True, False], ids=["check", "run"])
@pytest.mark.parametrize(
    "parameters, parts",
    [
        (
            {"domains": ["ok.test"] * 9000 + [123.456, "user@example.test", "exa mple.test", "-bad.test", "a" * 64 + ".test", "[192.0.2.1]"]},
            ["domains #9001", "number 123.456, quote it", "#9002", "mail address", "#9003", "#9004", "#9005", "#9006"],
        ),
        ({"domains": ["-%d.test" % number for number in range(50)]}, ["domains #20 ", "and 30 more"]),
        ({"domains": ["a.test", {"domain": "A.test.", "enabled": False}]}, ["#1 and #2", "a.test", "enabled"]),
        ({"domains": ["a.test", "*"]}, ["#2", "every_domain: true"]),
        ({"domains": [{"domain": "a.test", "levle": "may"}]}, ["domains #1", "levle"]),
        ({"content": "a.test\n\n# c\nb c.test, d.test\n"}, ["content line 4", "blanks"]),
        ({"content": "\n"}, ["content holds no domain"]),
        ({"source": "/no/such/list"}, ["source /no/such/list cannot be read", "No such file", "content"]),
        ({"source": "/etc"}, ["source /etc cannot be read", "directory"]),
        ({"source": ""}, ["source is empty; give the path of a file"]),
        ({"source": "/dev/zero"}, ["source /dev/zero cannot be read", "no regular file"]),
        ({"domain": "a.test", "domains": ["b.test"]}, ["mutually exclusive", "domains"]),
        ({}, ["domain", "domains", "content", "source"]),
        ({"domain": "a.test", "prune": True}, ["prune", "list"]),
        ({"domains": ["a.test"], "keep": ["b*"]}, ["keep", "prune: true"]),
        ({"domain": "a.test", "override": ["dane"]}, ["override", "leave it out"]),
        ({"domain": "a.test", "level": "may"}, ["a.test", "reason"]),
        ({"domains": ["a.test"], "name": "n"}, ["name is for one domain"]),
    ],
    ids=lambda value: None if isinstance(value, list) else "-".join(value) or "nothing",
)
def test_bad_lists_are_refused_before_anything_is_written(shared_run, shared_mta, check, parameters, parts):
    before = len(shared_mta.verbs())
    result = shared_run(MODULE, check=check, **parameters)
    assert result.get("failed"), result
    for part in parts:
        assert part in result["msg"]
    assert result["msg"].count("domains #") <= 21
    assert_only_read(shared_mta.verbs()[before:])
