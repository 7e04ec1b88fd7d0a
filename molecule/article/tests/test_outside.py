# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a stranger on the network sees of the hardened server."""

from __future__ import annotations

import pytest
import wire
from ansible_collections.securemail.smtp.plugins.module_utils._probe import tls


@pytest.mark.parametrize("check", wire.checks(), ids=lambda check: check.name)
def test_from_outside(check):
    verdict = check.run()
    assert verdict.passed, f"expected {check.expected}; seen {verdict} ({check.source})"


DHE = ("DHE-RSA-AES128-SHA256", "DHE-RSA-AES256-SHA")


@pytest.mark.parametrize("suite", DHE)
def test_dhe_needs_the_dh_file(suite):
    facts = wire.facts()
    with_file = tls.offer("127.0.0.1", facts["target"]["submission_port"], "TLSv1.2", "starttls", [suite])
    assert (with_file.accepted, with_file.cipher, with_file.dh_bits) == (True, suite, 2048)
    without = tls.offer("127.0.0.1", facts["twin_port"], "TLSv1.2", "starttls", [suite])
    assert not without.accepted
    assert without.side in ("server alert", "server closed"), without
