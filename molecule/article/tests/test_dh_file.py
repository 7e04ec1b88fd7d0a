# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the DH file is for."""

from __future__ import annotations

import pytest
import wire
from ansible_collections.securemail.smtp.plugins.module_utils._probe import tls


DHE = ("DHE-RSA-AES128-SHA256", "DHE-RSA-AES256-SHA")


@pytest.mark.parametrize("suite", DHE)
def test_dhe_needs_the_dh_file(suite):
    facts = wire.facts()
    submission = int(facts["server"]["listeners"][1]["address"].rpartition(":")[2])
    with_file = tls.offer("127.0.0.1", submission, "TLSv1.2", "starttls", [suite])
    assert (with_file.accepted, with_file.cipher, with_file.dh_bits) == (True, suite, 2048)
    without = tls.offer("127.0.0.1", facts["twin_port"], "TLSv1.2", "starttls", [suite])
    assert not without.accepted
    assert without.side in ("server alert", "server closed"), without
