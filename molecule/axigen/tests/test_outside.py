# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a stranger on the network sees of the hardened server."""

from __future__ import annotations

import pytest
import wire


@pytest.mark.parametrize("check", wire.checks(), ids=lambda check: check.name)
def test_from_outside(check):
    verdict = check.run()
    assert verdict.passed, f"expected {check.expected}; seen {verdict} ({check.source})"
