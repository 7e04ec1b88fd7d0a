# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our probe and independent judges look at the same servers and must say the same, but for what is listed, with reasons."""

from __future__ import annotations

from dataclasses import dataclass

import differences
import grid
import pytest
import scanners
import witnesses
from claims import Claims, disagreements


@dataclass(frozen=True)
class Case:
    """A server that runs, and what our probe says about it."""

    running: grid.Running
    ours: Claims


@pytest.fixture(scope="module")
def case(request, certificates):
    """One server of the grid, seen by our probe. It runs for all judges, whose tests stand next to each other."""
    try:
        with grid.server(request.param).running(certificates) as running:
            yield Case(running, witnesses.ours(witnesses.observe(running)))
    except grid.CannotRun as reason:
        if grid.must_run():
            raise
        pytest.skip(str(reason))


PAIRS = [
    (name, judge)
    for name in grid.NAMES
    for judge in witnesses.JUDGES
    if judge != "testssl" or name in witnesses.TESTSSL_SERVERS
]


@pytest.mark.parametrize(("case", "judge"), PAIRS, indirect=["case"], scope="module")
def test_our_probe_and_an_independent_judge_say_the_same(case, judge):
    try:
        scanner = witnesses.scanner(judge)
        theirs = witnesses.JUDGES[judge](scanner, case.running)
    except scanners.Unavailable as reason:
        if grid.must_run():
            raise
        pytest.skip(str(reason))
    name = case.running.server.name
    found = disagreements(case.ours, theirs)
    listed = [one for one in differences.DIFFERENCES if one.concerns(judge, name)]
    new = [str(one) for one in found if not any(row.explains(judge, name, one) for row in listed)]
    assert not new, f"{judge} {scanner.version} about {name}:\n" + "\n".join(new)
    if differences.is_known_version(judge, scanner.version):
        gone = [row for row in listed if not any(row.explains(judge, name, one) for one in found)]
        assert not gone, "no longer seen: take it out of tests/judges/differences.py"
