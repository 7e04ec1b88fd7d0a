# Copyright (c) 2026, securemail.smtp contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest


@pytest.fixture
def authority(tmp_path):
    """Makes certificates; skips where cryptography is not installed."""
    pytest.importorskip("cryptography", reason="making certificates needs cryptography")
    from ansible_collections.securemail.smtp.tests.unit.plugins.module_utils.probe.credentials import Authority

    return Authority(tmp_path)
