# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lists of forced-TLS domains: settings of their own and in common, exceptions, duplicates, contradictions."""

from __future__ import annotations

import pytest

from ansible_collections.securemail.smtp.plugins.module_utils._policy import forced_options, options
from ansible_collections.securemail.smtp.plugins.module_utils._policy.errors import PolicyError
from ansible_collections.securemail.smtp.plugins.module_utils._policy.forced_options import forced_domains


def problems_of(call, *arguments):
    with pytest.raises(PolicyError) as caught:
        call(*arguments)
    return list(caught.value.problems)


def read(*domains, **common):
    entries, _notices = forced_domains(dict(common, domains=list(domains)))
    return entries


def settings(entry, *names):
    return tuple(entry[name] for name in names)


# --- own settings and common ones ---------------------------------------------------------------


def test_common_settings_hold_where_an_entry_says_nothing_and_where_they_mean_something():
    entries = read(
        "plain.test",
        {"domain": "own.test", "level": "secure", "match": ["mx.own.test"]},
        {"domain": "in.test", "direction": "inbound"},
        {"domain": "old.test", "level": "none", "reason": "old"},
        {"domain": "gone.test", "state": "absent"},
        direction="both",
        level="verify",
        versions=[1.3],
        reject_message="No",
        form="compact",
    )
    names = ("domain", "direction", "level", "versions", "match", "reject_message", "form", "state")
    assert [settings(entry, *names) for entry in entries] == [
        ("gone.test", "inbound", "encrypt", None, None, "No", "compact", "absent"),
        ("gone.test", "outbound", "verify", ("TLSv1.3",), None, None, "compact", "absent"),
        ("in.test", "inbound", "encrypt", None, None, "No", "compact", "present"),
        # An exception has no message and stands alone, and without TLS there are no versions.
        ("old.test", "inbound", "may", None, None, None, None, "present"),
        ("old.test", "outbound", "none", None, None, None, None, "present"),
        ("own.test", "inbound", "encrypt", None, None, "No", "compact", "present"),
        ("own.test", "outbound", "secure", ("TLSv1.3",), ("mx.own.test",), None, "compact", "present"),
        ("plain.test", "inbound", "encrypt", None, None, "No", "compact", "present"),
        ("plain.test", "outbound", "verify", ("TLSv1.3",), None, None, "compact", "present"),
    ]


def test_texts_and_names_of_many_entries_are_their_own():
    entries = read(*({"domain": "%s.test" % name, "name": name, "reject_message": name * 3} for name in "abc"))
    assert [settings(entry, "name", "reject_message") for entry in entries] == [("a", "aaa"), ("b", "bbb"), ("c", "ccc")]


def test_the_form_for_many_is_for_whole_domains():
    assert [entry["form"] for entry in read("a.test", ".a.test", "*", form="compact", every_domain=True)] == [
        None,
        None,
        "compact",
    ]
    (problem,) = problems_of(read, {"domain": ".a.test", "form": "compact"})
    assert problem == "domains #1: form: compact is for whole domains; .a.test needs a rule of its own"


def test_a_document_that_was_read_means_the_same():
    (entry,) = read(
        {
            "domain": "a.test", "direction": "outbound", "level": "may", "reject_message": None, "versions": ["TLSv1.2"],
            "match": None, "reason": "B\u00fcro, 2. Stock", "until": "2026-12-31", "form": "method", "name": "n", "enabled": True,
        }
    )  # fmt: skip
    assert settings(entry, "level", "reason", "until", "form", "name", "enabled") == (
        "may", "B\u00fcro, 2. Stock", "2026-12-31", "method", "n", True,
    )  # fmt: skip


@pytest.mark.parametrize("given", [{}, {"level": "encrypt"}, {"direction": "outbound", "level": "secure"}])
@pytest.mark.parametrize("blank", ["", " "])
def test_a_note_that_is_empty_takes_one_away(given, blank):
    (entry,) = read(dict(given, domain="a.test", reason=blank, until=blank))
    assert (entry["reason"], entry["until"]) == ("", "")
    (entry,) = read(dict(given, domain="a.test", reason=None, until=None))
    assert (entry["reason"], entry["until"]) == (None, None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"level": "none"}, "level: none cannot be asked of mail that comes in, where the sending server decides how"),
        ({"level": "may", "reject_message": "x"}, "reject_message means nothing for an exception, which has level: may"),
        ({"level": "may", "form": "compact"}, "form: compact means nothing for an exception"),
        ({"level": "encrypt", "reason": "x"}, "reason belongs to an exception, and level: encrypt is none"),
        ({"direction": "outbound", "level": "none", "versions": ["1.2"]}, "versions mean nothing without TLS"),
        ({"direction": "outbound", "level": "may", "match": ["x.test"]}, "match has a meaning with level: secure only"),
        ({"reason": 'say "no"'}, "reason must be 1 to 200 printable characters"),
        ({"reason": "x" * 201}, "reason must be 1 to 200 printable characters"),
        (
            {"direction": "outbound", "level": "secure", "fingerprints": ["A1" * 32]},
            "fingerprints have a meaning with level: fingerprint only; got level: secure",
        ),
        (
            {"direction": "outbound", "level": "fingerprint", "match": ["x.test"], "fingerprints": ["A1" * 32]},
            "match has a meaning with level: secure only; got level: fingerprint",
        ),
        ({"direction": "outbound", "level": "fingerprint", "fingerprints": []}, "level: fingerprint needs fingerprints, the"),
        ({"fingerprints": ["A1" * 32]}, "fingerprints belongs to direction outbound and means nothing with direction"),
        ({"level": "fingerprint"}, "level: fingerprint cannot be asked of mail that comes in"),
        ({"until": "2026-02-30"}, 'until must be the last day of the exception like "2026-12-31"; got "2026-02-30"'),
        ({"until": "31.12.2026"}, "until must be the last day"),
        ({"until": 2026}, "until must be the last day of the exception like \"2026-12-31\"; got the number 2026"),
        ({"override": ["dane"]}, "override: [dane] is refused: this server does neither DANE nor MTA-STS"),
        ({"override": ["tlsa"]}, 'override knows dane, mta-sts; got "tlsa"'),
        ({"state": "gone"}, 'state must be one of present, absent; got "gone"'),
        ({"enabled": "perhaps"}, 'enabled must be true or false; got "perhaps"'),
        ({"directions": "both"}, 'an entry has no "directions"; it has direction, domain, enabled,'),
        ({"domain": 123.456}, "domain must be a domain name like \"example.com\"; got the number 123.456, quote it"),
        ({"domain": None}, 'domain must be a domain name like "example.com"; got nothing'),
    ],
)
def test_what_is_no_entry(given, said):
    (problem,) = problems_of(read, "good.test", dict({"domain": "a.test"}, **given))
    assert problem.startswith("domains #2: " + said)


# --- thousands of them --------------------------------------------------------------------------


def test_all_bad_entries_are_named_at_once_and_twenty_of_them_shown():
    domains = ["p%d.test" % number for number in range(10_000)]
    for number in range(0, 3000, 100):
        domains[number] = "-bad%d.test" % number if number % 200 else {"domain": "p.test", "level": "strong"}
    with pytest.raises(PolicyError) as caught:
        read(*domains)
    assert len(caught.value.problems) == 30
    assert str(caught.value).count("domains #") == 20
    assert "domains #1901 must" in str(caught.value) and "domains #2001" not in str(caught.value)
    assert str(caught.value).endswith("and 10 more")


def test_what_is_wrong_with_all_is_said_once():
    assert len(problems_of(lambda: read("a.test", "b.test", "c.test", direction="outbound", reject_message="x"))) == 1


def test_equal_entries_are_one_and_contradictions_name_both_places():
    assert len(read("B\u00fccher.test", {"domain": "xn--bcher-kva.test."}, "@BU\u0308CHER.test", {"domain": "b\u00fccher.test"})) == 1
    many = ["a%d.test" % number for number in range(50)] + [{"domain": "A%d.test." % number, "enabled": False} for number in range(50)]
    with pytest.raises(PolicyError) as caught:
        read(*many)
    assert caught.value.problems[0] == "domains #1 and #51 both mean a0.test and contradict each other: enabled"
    assert len(caught.value.problems) == 50 and str(caught.value).count("contradict") == 20
    # From a text, places are lines.
    lines = [(3, "a.test"), (9, "A.test")]
    assert len(forced_domains({}, lines, "content line %d")[0]) == 1


def test_the_level_that_was_said_counts_in_contradictions():
    wishes = [
        {"domain": "bank.test", "direction": "both", "level": "secure", "match": ["mx.bank.test"]},
        {"domain": "BANK.test.", "direction": "inbound", "level": "encrypt"},
    ]
    said = "forced_tls_domains #1 and #2 both mean bank.test and contradict each other: level"
    assert problems_of(options.policy_document, {"forced_tls_domains": wishes}) == [said]
    # Who says nothing contradicts nobody who wants what is done anyway.
    entries = read(wishes[0], {"domain": "bank.test"})
    assert [settings(entry, "direction", "level") for entry in entries] == [("inbound", "encrypt"), ("outbound", "secure")]
    assert len(problems_of(read, {"domain": "bank.test"}, {"domain": "bank.test", "level": "may"})) == 1


def test_two_rules_for_one_domain_are_entries_with_different_names():
    entries = read({"domain": "a.test", "name": "one"}, {"domain": "a.test", "name": "two"}, {"domain": "a.test", "name": "ONE"})
    assert [settings(entry, "name", "exact") for entry in entries] == [
        (name, frozenset(("one", "two"))) for name in ("one", "two")
    ]
    assert read({"domain": "a.test", "name": "one"}, {"domain": "a.test", "name": "One"})[0]["exact"] is None


def test_every_domain_is_a_flag_of_its_own():
    (problem,) = problems_of(read, "a.test", "*")
    assert problem.startswith("domains #2 must be a domain name") and "say every_domain: true when that is meant" in problem
    assert [entry["domain"] for entry in read("a.test", {"domain": "*"}, every_domain=True)] == ["*", "a.test"]
    assert options.policy_document({"forced_tls_domains": [{"domain": "*"}]})[0]["forced_tls_domains"][0]["domain"] == "*"


def test_notices_are_few():
    _entries, notices = forced_domains({"domains": ["@a%d.test" % number for number in range(25)]})
    assert len(notices) == 21
    assert notices[-1] == "and 5 more entries that begin with @"


# --- prune --------------------------------------------------------------------------------------


def test_a_prune_needs_a_list_with_something_in_it():
    present, absent = read("a.test"), read("a.test", state="absent")
    pruned = forced_options.pruned_directions
    assert pruned({"prune": True, "direction": "both"}, present) == ("inbound", "outbound")
    assert pruned({"prune": True, "direction": "outbound"}, present) == ("outbound",)
    assert pruned({"prune": False}, []) == ()
    for entries in ([], absent):
        (problem,) = problems_of(pruned, {"prune": True, "direction": "inbound"}, entries)
        assert "every forced-TLS domain for direction inbound would be removed; say allow_unsafe: true" in problem
        assert pruned({"prune": True, "allow_unsafe": True}, entries) == ("inbound",)
    assert "give a list" in problems_of(pruned, {"prune": True, "domain": "a.test"}, present)[0]
    assert "say prune: true" in problems_of(pruned, {"keep": ["*"]}, present)[0]
