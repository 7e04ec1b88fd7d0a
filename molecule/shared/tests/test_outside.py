# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a stranger on the network sees of the hardened server: all that the policy and the profile ask for."""

from __future__ import annotations

import pytest
import wire
from wire import outside

EXPECTED = outside.requirements(wire.options())


@pytest.fixture(scope="module")
def rows():
    """What was seen, in one visit to each listener."""
    return outside.look(wire.options())


@pytest.mark.parametrize("address, wanted", EXPECTED, ids=[f"{address} {wanted.title}" for address, wanted in EXPECTED])
def test_from_outside(rows, address, wanted):
    row = rows[outside.key(address, wanted)]
    assert row.verdict == "pass", f"expected {row.expected}; seen {row.seen} ({row.source})"


def test_a_whole_hardening_is_looked_at():
    assert len(EXPECTED) >= 80
