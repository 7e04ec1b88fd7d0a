# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a stranger sees of the two servers: each thing that the policy and the profile ask for, judged alike."""

from __future__ import annotations

import json

import pytest
import wire
from wire import outside

ROLES = ("relay", "submission", "submissions")


def moved() -> dict:
    """Options of ``smtp_probe`` for the second server: the same with other ports."""
    known = wire.facts()
    ports = json.loads((wire.folder() / "moved.json").read_text(encoding="utf-8"))
    listeners = [
        {**listener, "address": "127.0.0.1:%s" % ports[role]} for role, listener in zip(ROLES, known["server"]["listeners"])
    ]
    return outside.options(known["form"], known["mechanisms"], {**known["server"], "listeners": listeners})


EXPECTED = outside.requirements(wire.options())
THERE = outside.requirements(moved())


@pytest.fixture(scope="module")
def first():
    """What was seen of the bundled server."""
    return outside.look(wire.options())


@pytest.fixture(scope="module")
def second():
    """What was seen of the Postfix."""
    return outside.look(moved())


def test_the_same_is_asked_of_both():
    assert [wanted.title for _address, wanted in EXPECTED] == [wanted.title for _address, wanted in THERE]
    assert len(EXPECTED) >= 80


@pytest.mark.parametrize("number", range(len(EXPECTED)), ids=[f"{place} {one[1].title}" for place, one in enumerate(EXPECTED)])
def test_both_show_it(first, second, number):
    (address, wanted), (there, also) = EXPECTED[number], THERE[number]
    rows = first[outside.key(address, wanted)], second[outside.key(there, also)]
    assert [row.verdict for row in rows] == ["pass", "pass"], [f"expected {row.expected}; seen {row.seen}" for row in rows]
