# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""W24 to W27: mail that must go over TLS, at every level and to every kind of peer; Postfix has the second opinion."""

from __future__ import annotations

import pytest
from forced_tls import CLEAR, DIFFERENCES, KINDS, LEVELS, TLS, Observed, differs, faults, plain
from forced_tls_run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory, program):
    """All cells of the table, each tried once."""
    return Run(tmp_path_factory.mktemp("forced-tls"), program("posttls_finger"))


def kinds(promise: int):
    """The peers of a promise, at all levels."""
    return pytest.mark.parametrize("level", LEVELS), pytest.mark.parametrize(
        "kind", [kind for kind in KINDS if kind.promise == promise], ids=lambda kind: kind.name
    )


def cells(promise: int):
    """A test for each cell of a promise."""

    def mark(test):
        for each in kinds(promise):
            test = each(test)
        return test

    return mark


@cells(24)
def test_w24_without_tls_mail_goes_out_or_waits_as_its_level_says(run, kind, level):
    assert not faults(kind, level, run.observed[kind.name, level])


@cells(25)
def test_w25_a_level_is_what_the_certificate_proves(run, kind, level):
    assert not faults(kind, level, run.observed[kind.name, level])


@cells(26)
def test_w26_a_handshake_that_fails(run, kind, level):
    assert not faults(kind, level, run.observed[kind.name, level])


@cells(27)
def test_w27_what_comes_with_the_220(run, kind, level):
    assert not faults(kind, level, run.observed[kind.name, level])


# --- the second opinion -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.unasked], ids=lambda kind: kind.name)
def test_w24_w25_w26_w27_postfix_would_do_the_same(run, kind):
    new, gone = [], []
    for level in LEVELS:
        ours, theirs = plain(run.observed[kind.name, level].verdict), run.asked[kind.name, level]
        listed = differs(kind, level)
        if listed is None and theirs != ours:
            new.append(f"{level}: ours {ours}, Postfix {theirs}")
        if listed is not None and (theirs == ours or theirs != listed.postfix):
            gone.append(f"{level}: listed as Postfix {listed.postfix}, it says {theirs} and ours {ours}")
    assert not new, f"{kind.name}: " + "; ".join(new)
    assert not gone, f"{kind.name}, see DIFFERENCES in forced_tls.py: " + "; ".join(gone)


def test_w24_w25_w26_w27_every_listed_difference_is_one_that_is_looked_for():
    asked = {(kind.name, level) for kind in KINDS if not kind.unasked for level in LEVELS}
    assert all((one.kind, level) in asked for one in DIFFERENCES for level in one.levels)


def test_w24_w25_w26_w27_can_fail(run):
    """A server that takes every level for a weaker one is found out wherever the two are not the same."""
    for weaker, stricter in zip(LEVELS, LEVELS[1:]):
        for kind in KINDS:
            said = run.observed[kind.name, weaker]
            wrong = faults(kind, stricter, Observed(said.verdict))
            assert bool(wrong) == (kind.verdict(weaker) != kind.verdict(stricter)), (kind.name, stricter)
    # Each step from one level to the next shows in some peer.
    assert all(any(kind.verdict(a) != kind.verdict(b) for kind in KINDS) for a, b in zip(LEVELS, LEVELS[1:]))


def test_w27_can_fail(run):
    """Whoever goes on with that peer, as Postfix does, is found out."""
    (kind,) = [kind for kind in KINDS if kind.promise == 27]
    for level in LEVELS[2:]:
        assert run.asked[kind.name, level] == TLS
        assert faults(kind, level, Observed(TLS))
    assert faults(kind, "may", Observed(CLEAR)), "in clear, but not on a new connection"
